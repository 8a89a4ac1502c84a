"""Who acts on L1: proves a false batch, and enters what a sequencer leaves out."""
