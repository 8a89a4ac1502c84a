"""What talks to an L1 node from trio: calls and receipts, logs across reorganisations, transactions, keys."""
