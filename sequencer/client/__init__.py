"""The Python client of the node's API."""
