"""The bridge's bytes: batches, calls, events and records, as calldata and logs have them."""
