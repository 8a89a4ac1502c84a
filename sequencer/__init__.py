"""The venue: engine, sequencing, views, API, posting and node; and beside it client, wallet, oracle, demo and bench."""
