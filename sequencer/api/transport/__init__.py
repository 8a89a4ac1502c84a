"""Sockets, HTTP and WebSocket under limits and deadlines."""
