"""The page that the node serves: its files, the libraries that it stands on, and the types of what it is told."""
