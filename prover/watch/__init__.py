"""Which accounts a new price can bring near their maintenance, found without a look at all the others."""
