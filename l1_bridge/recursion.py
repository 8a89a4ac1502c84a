"""How deep this process may recurse: no import changes it, and what strangers nest meets it before the stack ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Python's own default.
DEPTH: Final = 1_000


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


@contextmanager
def recursion_bounded() -> Iterator[None]:
    """Around each parser of strangers' bytes, which recurses by their nesting: RecursionError at `DEPTH`.

    Whatever any library has made of the interpreter's limit: at 100,000, as py-ecc sets it, a hundred kilobytes of
    brackets end the process and not the call. Nothing may be awaited inside.
    """
    limit = sys.getrecursionlimit()
    if limit <= DEPTH:
        yield
        return
    sys.setrecursionlimit(DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
