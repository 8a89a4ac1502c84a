"""Pure: books, matching and rescues around the law; inputs in, effects and sealed chunks out."""
