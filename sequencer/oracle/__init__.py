"""The program that signs prices."""
