"""What the venue reads from L1 and posts there."""
