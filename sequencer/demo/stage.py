"""How the demo looks: acts, steps and bars for a person, events for a program."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from prover.cli.running import StandardOutput


class Stage:
    """What a person sees: acts, steps, bars; with --json one event a line instead."""

    def __init__(self, output: StandardOutput) -> None:
        self.output = output
        self.console = Console(highlight=False, quiet=output.as_json)
        self._started = time.monotonic()
        self._act = 0

    def act(self, title: str) -> None:
        """A new act."""
        self._act += 1
        self.console.print()
        self.console.rule(f"[bold]{self._act}. {title}[/]  [dim]{self.seconds:.0f} s[/]", align="left")
        if self.output.as_json:
            self.output.event("act", number=self._act, title=title, seconds=round(self.seconds, 1))

    def step(self, text: str, **fields: Any) -> None:
        """Something happened."""
        self.console.print(f"  [green]✓[/] {text}")
        if self.output.as_json:
            self.output.event("step", text=text, **fields)

    def alarm(self, text: str) -> None:
        """Something bad happened, on purpose."""
        self.console.print(f"  [bold red]![/] {text}")
        if self.output.as_json:
            self.output.event("step", text=text)

    def bar(self) -> Progress:
        """A progress bar for work that has a length."""
        columns = (TextColumn("  [cyan]{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
        return Progress(*columns, TimeElapsedColumn(), console=self.console, disable=self.output.as_json)

    @property
    def seconds(self) -> float:
        """Since the curtain rose."""
        return time.monotonic() - self._started
