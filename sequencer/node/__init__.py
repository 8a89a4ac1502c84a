"""The program that runs the venue."""
