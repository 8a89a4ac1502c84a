"""What a trader looks at: markets, and an account as it moves."""
