"""A process that the demo starts, and what it says."""

import json
import signal
from typing import Any

import trio

from prover.cli.running import CommandFailed


class Child:
    """A process of the demo that speaks one JSON object a line."""

    def __init__(self, name: str, process: trio.Process) -> None:
        self.name = name
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._changed = trio.Event()
        self._is_over = False

    async def read(self) -> None:
        """Collects what the process says until it ends."""
        assert self.process.stdout is not None
        rest = b""
        async for piece in self.process.stdout:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    continue
            self._wake()
        self._is_over = True
        self._wake()

    async def said(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first line that is this event with these fields; CommandFailed when the process ends without it."""
        seen = 0
        while True:
            for line in self.lines[seen:]:
                if line.get("event") == event and all(line.get(key) == value for key, value in fields.items()):
                    return line
                if line.get("event") == "failed":
                    raise CommandFailed(f"{self.name} failed: {line.get('error')}")
            seen = len(self.lines)
            if self._is_over:
                raise CommandFailed(f"{self.name} ended before it said {event!r}")
            await self._changed.wait()

    async def stop(self) -> None:
        """SIGTERM, then a kill: the end of the process in any case."""
        with trio.CancelScope(shield=True):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                with trio.move_on_after(20):
                    await self.process.wait()
            if self.process.poll() is None:
                self.process.kill()
                await self.process.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
