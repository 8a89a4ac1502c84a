"""The venue: order book, engine, batcher, journal, poster, API, wallet and node."""
