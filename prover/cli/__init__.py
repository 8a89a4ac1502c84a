"""The command `catenary`: options, keys, output and how a run starts, fails and stops."""
