"""Pure: what a reader is told about accounts, markets and risks."""
