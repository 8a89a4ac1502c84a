"""The embedded L1: a JSON-RPC node of its own process whose chain survives restarts."""
