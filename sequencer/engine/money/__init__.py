"""Money that an input moved beside the law, for those who keep books: read off the rows before and after it."""
