"""The page in a real browser, against a real node on a real L1."""
