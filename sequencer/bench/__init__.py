"""Signature check, matching, law, tree and LevelDB, measured together."""
