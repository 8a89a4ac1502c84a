"""The state transition function: every stem twice, NAME.py beside NAME.vy. Pure: no clock, randomness, float or I/O."""
