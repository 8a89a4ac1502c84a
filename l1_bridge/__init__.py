"""Money, bytes and time: the contracts on L1 and what talks to them; not one margin rule."""
