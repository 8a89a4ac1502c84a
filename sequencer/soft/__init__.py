"""What a node that follows shows beside L1: the sequencer's stream, checked, and marked as not yet posted."""
