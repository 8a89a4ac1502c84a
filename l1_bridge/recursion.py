"""Imports that must not change how deep this process may recurse."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Restores the interpreter's recursion limit, which py-ecc and whoever imports it raise for their pairings.

    Nothing here recurses that deep, and a process that parses what strangers send has to meet its limit before it
    meets the end of its stack.
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
