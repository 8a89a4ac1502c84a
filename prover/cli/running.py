"""What every command shares: where options come from, how output looks, how a run starts, fails and stops.

Precedence: flag > environment > TOML (`--config`) > default. The TOML has a table a command, [challenger] or
[wallet.order], and a table [common] for the names that commands share.
"""

import os
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
import structlog
import trio

from l1_bridge.client.errors import L1Error, L1Unavailable, L1WrongChain
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID, Signer, development_key

EXIT_BROKEN: Final = 1  # the promise of the command did not hold
EXIT_USAGE: Final = 2
EXIT_L1: Final = 3  # missing or wrong L1, chain or contracts
EXIT_DATADIR: Final = 4  # in use, foreign, damaged
# Names that mean the same in every command, and may therefore stand in the TOML's table [common].
COMMON: Final = frozenset(
    (
        "l1-rpc-url",
        "second-l1-rpc-url",
        "rollup-address",
        "chain-id",
        "datadir",
        "keystore",
        "password-file",
        "json",
        "poll-interval",
        "port",
        "log-level",
    )
)
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_MAX_CONFIG_BYTES: Final = 1 << 20
_MAX_PASSWORD_BYTES: Final = 4_096

_Command = TypeVar("_Command", bound=Callable[..., Any])


class CommandFailed(click.ClickException):
    """Ends a command with one line on stderr and an exit code."""

    def __init__(self, sentence: str, exit_code: int = EXIT_BROKEN) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares a class variable and reads the instance's


class AddressType(click.ParamType[bytes]):
    """0x and forty hexadecimal digits -> 20 bytes."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """20 bytes; a usage error for anything else."""
        if isinstance(value, bytes):
            return value
        text = str(value)
        if len(text) == 42 and text[:2] == "0x" and text.isalnum():
            try:
                return bytes.fromhex(text[2:])
            except ValueError:
                pass
        self.fail(f"{text[:80]!r} is not an address: 0x and 40 hexadecimal digits", param, ctx)


def config_option(command: _Command) -> _Command:
    """Adds --config; every command has it."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_load_config,
        help="TOML file with defaults; flags and environment win over it.",
    )(command)


def name_variables(command: click.Command, prefix: str) -> None:
    """Gives each option its environment variable by the name that a user knows, not by the parameter's."""
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar is None:
            option.envvar = f"{prefix}_{_variable(max(option.opts, key=len).lstrip('-'))}"
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            name_variables(each, f"{prefix}_{_variable(name)}")


def _variable(name: str) -> str:
    return name.replace("-", "_").upper()


def output_options(command: _Command) -> _Command:
    """Adds --json and --log-level."""
    command = click.option(
        "--log-level", type=click.Choice(_LOG_LEVELS), default="info", show_default=True, help="Least log shown."
    )(command)
    return click.option("--json", is_flag=True, help="One JSON object a line on stdout, the last is the summary.")(
        command
    )


def key_options(command: _Command) -> _Command:
    """Adds --keystore, --password-file and --development-key: who pays on L1."""
    command = click.option(
        "--development-key",
        type=click.IntRange(0, 9),
        default=3,
        show_default=True,
        help=f"Which well-known key pays on chain {DEVELOPMENT_CHAIN_ID} when no keystore is given.",
    )(command)
    command = click.option(
        "--password-file", type=click.Path(path_type=Path), help="File with the keystore's password."
    )(command)
    return click.option("--keystore", type=click.Path(path_type=Path), help="Keystore V3 file of the L1 account.")(
        command
    )


def _load_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_CONFIG_BYTES + 1)
        if len(content) > _MAX_CONFIG_BYTES:
            raise ValueError(f"more than {_MAX_CONFIG_BYTES} bytes")
        tables = tomllib.loads(content.decode())
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", ctx, param) from None
    except ValueError as error:
        raise click.BadParameter(f"{path} is not TOML: {error}", ctx, param) from None
    options = {
        option.removeprefix("--"): parameter.name
        for parameter in ctx.command.get_params(ctx)
        for option in parameter.opts
        if option.startswith("--") and parameter.name is not None
    }
    values: dict[str, Any] = {}
    for key, value in _table(ctx, param, path, tables, ["common"]).items():
        if _dashed(key) not in COMMON:
            raise click.BadParameter(f"{path}: [common] has no option {key!r}", ctx, param)
        if _dashed(key) in options:
            values[options[_dashed(key)]] = value
    names = _names(ctx)
    for key, value in _table(ctx, param, path, tables, names).items():
        if isinstance(value, dict):
            continue
        if _dashed(key) not in options or _dashed(key) in ("config", "help"):
            raise click.BadParameter(f"{path}: [{'.'.join(names)}] has no option {key!r}", ctx, param)
        values[options[_dashed(key)]] = value
    ctx.default_map = {**(ctx.default_map or {}), **values}


def _dashed(key: str) -> str:
    return key.replace("_", "-")


def _names(ctx: click.Context) -> list[str]:
    names: list[str] = []
    here: click.Context | None = ctx
    while here is not None and here.parent is not None:
        names.insert(0, here.info_name or "")
        here = here.parent
    return names


def _table(
    ctx: click.Context, param: click.Parameter, path: Path, tables: Mapping[str, Any], names: list[str]
) -> Mapping[str, Any]:
    here: Any = tables
    for name in names:
        here = here.get(name, {})
        if not isinstance(here, dict):
            raise click.BadParameter(f"{path}: {name} is a table, not a value", ctx, param)
    table: Mapping[str, Any] = here
    return table


class Output:
    """Results on stdout: a line of text for humans, or one JSON object a line. Logs are somebody else's business."""

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


def short(value: bytes) -> str:
    """A hash or an address for human eyes."""
    return f"0x{value[:4].hex()}…"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value) or "none"
    shown = plain("", value)
    return f"{shown:,}" if isinstance(shown, int) else str(shown)


def configure_logging(level: str, as_json: bool) -> None:
    """Structured logs on stderr: JSON beside --json, else for humans, coloured on a terminal."""
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


def run(output: Output, main: Callable[[], Awaitable[bool]]) -> None:
    """Run a command's main; exit 0 if it says that its promise held, else by one line and an exit code."""
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
async def until_signal() -> AsyncIterator[trio.CancelScope]:
    """The body runs until SIGTERM or SIGINT cancels it; what follows the block runs in either case."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_watch_signals, nursery.cancel_scope)
        yield nursery.cancel_scope
        nursery.cancel_scope.cancel()


async def _watch_signals(
    scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def load_signer(chain_id: int, keystore: Path | None, password_file: Path | None, development: int) -> Signer:
    """The key that pays on L1; CommandFailed where none is given and the chain is no devnet."""
    if keystore is None:
        if chain_id != DEVELOPMENT_CHAIN_ID:
            raise CommandFailed(f"Chain {chain_id} is not a devnet: --keystore is required.", EXIT_USAGE)
        return development_key(development)
    try:
        content = keystore.read_text()
        if password_file is None:
            password = click.prompt(f"Password of {keystore.name}", hide_input=True, err=True)
        else:
            with password_file.open("rb") as file:
                password = file.read(_MAX_PASSWORD_BYTES).decode().splitlines()[0]
    except OSError as error:
        raise CommandFailed(f"{error.filename} cannot be read: {error.strerror}.", EXIT_USAGE) from None
    except (UnicodeDecodeError, IndexError):
        raise CommandFailed("The password file is empty or not text.", EXIT_USAGE) from None
    try:
        return Signer.from_keystore(content, password)
    except ValueError as error:
        raise CommandFailed(f"{str(error).capitalize()}.", EXIT_USAGE) from None


def replay_directory(datadir: Path) -> Path:
    """Where a datadir holds what was rebuilt from L1; CommandFailed where it cannot be made."""
    path = datadir.expanduser() / "replay"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be made: {os.strerror(error.errno or 0)}.", EXIT_DATADIR) from None
    return path
