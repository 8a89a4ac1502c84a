"""Every object on the wire, once: for the methods that answer it, the Python client and the OpenRPC document."""
