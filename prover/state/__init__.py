"""The authenticated state: tree, witness and the stores under them."""
