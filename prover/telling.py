"""What a program tells while it runs: a protocol that is handed in, so that whoever finds something prints nothing."""

from collections.abc import Mapping
from typing import Any, Protocol


class Output(Protocol):
    """Takes results as they are found. Logs are somebody else's business."""

    def event(self, name: str, text: str | None = None, /, *, colour: str | None = None, **fields: Any) -> None:
        """One thing that happened; humans see `text`, if there is one."""

    def summary(self, title: str, fields: Mapping[str, Any], *, good: bool) -> None:
        """What all of it came to; the last that is told."""


def short(value: bytes) -> str:
    """A hash or an address for human eyes."""
    return f"0x{value[:4].hex()}…"
