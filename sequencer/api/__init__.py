"""The transport edge of the node: JSON-RPC 2.0 over HTTP and WebSocket; knows nothing of margin or matching."""
