"""From an arrival to a durable input: signatures, the journal, the order of inputs."""
