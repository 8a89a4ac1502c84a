"""Options that commands share, and where their values come from: flag > environment > TOML (`--config`) > default.

The TOML has a table a command, [challenger] or [wallet.order], and a table [common] for the names that commands share.
"""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from l1_bridge.addresses import AddressError, address_bytes
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID

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
_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Options = TypeVar("_Options")


class AddressType(click.ParamType[bytes]):
    """0x and forty hexadecimal digits -> 20 bytes."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """20 bytes; a usage error for anything else."""
        if isinstance(value, bytes):
            return value
        text = str(value)
        try:
            return address_bytes(text)
        except AddressError:
            pass
        self.fail(f"{text[:80]!r} is not an address: 0x and 40 hexadecimal digits", param, ctx)


class HostName(click.ParamType[str]):
    """A name or an address without a port -> as requests that come for it say it."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Lower case; a usage error for anything that no request could come for."""
        text = str(value).lower()
        if not _HOST_NAME.fullmatch(text):
            self.fail(f"{text[:80]!r} is no name of a host: say it without scheme, port and path", param, ctx)
        return text


class PageOrigin(click.ParamType[str]):
    """scheme://host[:port] -> as browsers write it: lower case, without its scheme's own port."""

    name = "origin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A usage error for anything that no browser sends, such as * or a path."""
        text = str(value).lower()
        try:
            parts = urlsplit(text)
            scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        except ValueError:
            scheme, host, port = "", "", None
        said = f"{scheme}://{host}" + ("" if port is None else f":{port}")
        if scheme not in _DEFAULT_PORTS or not _HOST_NAME.fullmatch(host) or text != said:
            self.fail(f"{text[:80]!r} is no origin: say https://host or https://host:port", param, ctx)
        return f"{scheme}://{host}" if port == _DEFAULT_PORTS[scheme] else said


def gathered(kind: Callable[..., _Options]) -> Callable[[Callable[[_Options], None]], Callable[..., None]]:
    """Below a command's options: hands all of them to the function as one struct."""

    def decorate(function: Callable[[_Options], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            function(kind(**given))

        return command

    return decorate


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
    import tomllib

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
