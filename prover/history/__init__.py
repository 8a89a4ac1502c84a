"""The canonical history from L1's logs alone, and a verdict on every batch."""
