"""How long a test waits for what must come: it ends a test that hangs, and decides none on a slow machine."""

from typing import Final

PATIENCE_SECONDS: Final = 600
