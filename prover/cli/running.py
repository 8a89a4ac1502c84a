"""How a command runs: what it prints, how it starts, fails and stops."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    import trio

EXIT_BROKEN: Final = 1  # the promise of the command did not hold
EXIT_USAGE: Final = 2
EXIT_L1: Final = 3  # missing or wrong L1, chain or contracts
EXIT_DATADIR: Final = 4  # in use, foreign, damaged


_Error = TypeVar("_Error", bound=BaseException)


def first_of(errors: BaseExceptionGroup[_Error]) -> _Error:
    """The first error of a group, however deep it lies."""
    error: _Error | BaseExceptionGroup[_Error] = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class CommandFailed(click.ClickException):
    """Ends a command with one line on stderr and an exit code."""

    def __init__(self, sentence: str, exit_code: int = EXIT_BROKEN) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a class variable and reads the instance's


class StandardOutput:
    """An Output on stdout: lines of text for humans, or one JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def event(self, name: str, text: str | None = None, /, *, colour: str | None = None, **fields: Any) -> None:
        """One thing that happened; humans see `text`, if there is one."""
        if self.as_json:
            self._json({"event": name, **fields})
        elif text is not None:
            click.secho(text, fg=colour)

    def summary(self, title: str, fields: Mapping[str, Any], *, good: bool) -> None:
        """The last line: all fields as JSON, or as a small table."""
        if self.as_json:
            self._json({"event": "summary", **fields})
            return
        click.secho(title, fg="green" if good else "red", bold=True)
        width = max(len(name) for name in fields)
        for name, value in fields.items():
            click.echo(f"  {name.replace('_', ' '):<{width}}  {_shown(value)}")

    def _json(self, fields: Mapping[str, Any]) -> None:
        import msgspec

        click.echo(msgspec.json.encode({name: plain(name, value) for name, value in fields.items()}).decode())


def plain(name: str, value: Any) -> Any:
    """A value as JSON carries it: bytes as 0x-hex, wei as decimal strings, enumerations by value."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [plain(name, item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(str(key), item) for key, item in value.items()}
    if name.endswith("_wei") and isinstance(value, int):
        return str(value)
    return value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value) or "none"
    shown = plain("", value)
    return f"{shown:,}" if isinstance(shown, int) else str(shown)


def configure_logging(level: str, as_json: bool) -> None:
    """Structured logs on stderr: JSON beside --json, else for humans, coloured on a terminal."""
    import structlog

    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if as_json else _unchanged,
            structlog.processors.JSONRenderer() if as_json else renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _unchanged(logger: Any, name: str, event: Any) -> Any:
    return event


def run(output: StandardOutput, main: Callable[[], Awaitable[bool]]) -> None:
    """Run a command's main; exit 0 if it says that its promise held, else by one line and an exit code."""
    import trio

    try:
        held = trio.run(main)
    except BaseException as raised:
        failed = failure(raised)
        if failed is None:
            raise
        if output.as_json:
            output.event("failed", error=failed.message, exit_code=failed.exit_code)
        raise failed from None
    if not held:
        raise click.exceptions.Exit(EXIT_BROKEN)


def failure(raised: BaseException) -> CommandFailed | None:
    """What a human is told of an error that comes from outside; None for a defect of ours."""
    # Here and not above: a command that only prints its help needs neither the law nor an EVM.
    from l1_bridge.client.errors import L1Error, L1Unavailable, L1WrongChain
    from prover.contracts.deployment import WrongContracts
    from prover.history.records import ForeignStore
    from prover.state.state import StateError
    from prover.state.store import StoreUnavailable

    error = raised
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, L1Unavailable):
        return CommandFailed(f"There is no L1: {error}", EXIT_L1)
    if isinstance(error, L1WrongChain):
        return CommandFailed(f"This is the wrong L1: {error}.", EXIT_L1)
    if isinstance(error, WrongContracts):
        return CommandFailed(f"These are not the shipped contracts: {error}.", EXIT_L1)
    if isinstance(error, L1Error):
        return CommandFailed(f"The L1 refused: {error}", EXIT_L1)
    if isinstance(error, StoreUnavailable | ForeignStore | StateError):
        return CommandFailed(str(error), EXIT_DATADIR)
    return None


@asynccontextmanager
async def until_signal() -> "AsyncIterator[trio.CancelScope]":
    """The body runs until SIGTERM or SIGINT cancels it; what follows the block runs in either case."""
    import trio

    async with trio.open_nursery() as nursery:
        await nursery.start(_watch_signals, nursery.cancel_scope)
        yield nursery.cancel_scope
        nursery.cancel_scope.cancel()


async def _watch_signals(scope: "trio.CancelScope", *, task_status: "trio.TaskStatus[None]") -> None:
    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def replay_directory(datadir: Path) -> Path:
    """Where a datadir holds what was rebuilt from L1; CommandFailed where it cannot be made."""
    path = datadir.expanduser() / "replay"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be made: {os.strerror(error.errno or 0)}.", EXIT_DATADIR) from None
    return path
