"""What lasts of a venue beside its state: fills, trades, funding, movements, candles. Pure."""
