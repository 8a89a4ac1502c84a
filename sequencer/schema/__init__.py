"""Every object on the wire, once: for the server, its clients, the page and OpenRPC."""
