"""The law in both languages, the state it acts on, and what proves with it."""
