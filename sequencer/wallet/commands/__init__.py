"""The commands of `catenary wallet`."""
