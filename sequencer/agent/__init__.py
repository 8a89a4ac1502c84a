"""A trader's own process: what he wants done while he is away, by an agent's key and a journal that survives."""
