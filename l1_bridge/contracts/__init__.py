"""The contracts that hold money, their compiled artifacts, and what reads and makes those."""
