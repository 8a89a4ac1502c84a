"""What a terminal shows of what a command draws."""

from io import StringIO

from rich.console import Console, RenderableType


def drawn(*items: RenderableType, width: int = 200) -> str:
    """Plain text, one item behind the other."""
    console = Console(width=width, file=StringIO())
    for item in items:
        console.print(item)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()
