"""The node as callers see it: the methods and channels, JSON-RPC 2.0 under them, HTTP and WebSocket under that."""
