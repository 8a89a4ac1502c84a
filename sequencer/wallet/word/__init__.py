"""The sequencer's word: what it promised, kept, and compared with what it posted."""
