"""The program that holds keys: it builds, checks and signs, and believes what L1 proves."""
