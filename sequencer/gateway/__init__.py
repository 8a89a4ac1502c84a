"""`catenary gateway`: programs written for Hyperliquid, unmodified, on this venue."""
