"""JSON-RPC 2.0 without a socket: dispatch, limits, errors, subscriptions, the OpenRPC document."""
