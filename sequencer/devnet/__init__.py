"""What a devnet brings along: signed prices and somebody to trade with."""
