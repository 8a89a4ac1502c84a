"""The whole story, played: trade, lie, proof, new sequencer, claim."""
