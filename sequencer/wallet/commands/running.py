"""What all wallet commands share: options, password, one line and one exit status for every failure."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
import msgspec

from prover.cli.options import config_option
from sequencer.client.errors import ClientError
from sequencer.wallet.errors import WrongPassword

if TYPE_CHECKING:
    from sequencer.client.access import Identity
    from sequencer.wallet.keys import SigningKey
    from sequencer.wallet.wallet import Wallet

DEFAULT_DIRECTORY: Final = Path("~/.catenary/wallets")
PASSWORD_VARIABLE: Final = "CATENARY_WALLET_PASSWORD"
# What a node says moves no cursor back over what this wallet says: bell, backspace, vertical tab, form feed, return.
_CONTROLS: Final = dict.fromkeys((7, 8, 11, 12, 13))


class Settings(msgspec.Struct, frozen=True):
    """The options that all commands share."""

    node_url: str
    l1_rpc_url: str
    rollup_address: str | None
    keystore: str
    wallet_dir: Path
    password_file: Path | None
    poll_interval: float
    as_json: bool

    @property
    def path(self) -> Path:
        """The keystore's file."""
        from sequencer.wallet.keys import keystore_path

        return keystore_path(self.wallet_dir, self.keystore)

    @property
    def directory(self) -> Path:
        """Where the record of signatures and the verdicts are kept."""
        return self.wallet_dir.expanduser()

    def password(self, confirm: bool = False) -> str:
        """From the file, the environment or the terminal, in this order; WrongPassword where there is none."""
        from prover.cli.keys import PasswordUnreadable, read_password

        if self.password_file is not None:
            try:
                return read_password(self.password_file)
            except PasswordUnreadable as error:
                raise WrongPassword(str(error)) from None
        if PASSWORD_VARIABLE in os.environ:
            password = os.environ[PASSWORD_VARIABLE]
        else:
            try:
                password = click.prompt(
                    f"Password of {self.path.name}", hide_input=True, confirmation_prompt=confirm, err=True
                )
            except click.Abort:
                raise WrongPassword(
                    f"no password was given: use --password-file or the variable {PASSWORD_VARIABLE}"
                ) from None
        if not password:
            raise WrongPassword("an empty password protects nothing")
        return password

    def key(self) -> SigningKey:
        """The key of an unlocked session where one runs, else of the keystore, for its password."""
        from sequencer.wallet.keys import open_keystore
        from sequencer.wallet.unlocked import key_of

        if not self.path.exists():
            return open_keystore(self.path, "")
        return key_of(self.directory, self.path) or open_keystore(self.path, self.password())


class Report(msgspec.Struct):
    """What a command found: fields for programs, lines or tables for people."""

    fields: dict[str, Any]
    shown: list[Any] = []


Action: TypeAlias = "Callable[[Wallet], Awaitable[Report]]"


def variable(name: str) -> str:
    return f"CATENARY_WALLET_{name}"


_COMMON: Final = (
    click.option(
        "--node-url",
        "--rollup-rpc",
        default="http://127.0.0.1:9545",
        envvar=variable("NODE_URL"),
        show_default=True,
        help="The node's JSON-RPC.",
    ),
    click.option(
        "--l1-rpc-url",
        "--l1-eth-rpc",
        default="http://127.0.0.1:8545",
        envvar=variable("L1_RPC_URL"),
        show_default=True,
        help="An L1 node that you trust.",
    ),
    click.option(
        "--rollup-address",
        envvar=variable("ROLLUP_ADDRESS"),
        help="Refuse any other rollup; by default, any but the first.",
    ),
    click.option(
        "--keystore",
        default="default",
        envvar=variable("KEYSTORE"),
        show_default=True,
        help="A keystore file, or a name in the wallet directory.",
    ),
    click.option(
        "--wallet-dir",
        type=click.Path(path_type=Path),
        default=DEFAULT_DIRECTORY,
        envvar=variable("DIR"),
        show_default=True,
        help="Keystores, signed orders, verified contracts.",
    ),
    click.option(
        "--password-file",
        type=click.Path(path_type=Path),
        envvar=variable("PASSWORD_FILE"),
        help=f"File whose first line is the password; else {PASSWORD_VARIABLE}, else a prompt.",
    ),
    click.option(
        "--poll-interval",
        type=click.FloatRange(0.05),
        default=1.0,
        envvar=variable("POLL_INTERVAL"),
        show_default=True,
        help="Seconds between two questions while waiting.",
    ),
    click.option("--json", "as_json", is_flag=True, envvar=variable("JSON"), help="One JSON object a line."),
)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the shared options; the command gets them as `settings`, and its errors become one line and a status."""

    @functools.wraps(function)
    def run(**given: Any) -> None:
        shared = {name: given.pop(name) for name in Settings.__struct_fields__}
        settings = Settings(**shared)
        try:
            function(settings, **given)
        except ClientError as error:
            _fail(settings, error)

    decorated: Callable[..., None] = config_option(run)
    for option in reversed(_COMMON):
        decorated = option(decorated)
    return decorated


def _fail(settings: Settings, error: ClientError) -> None:
    sentence = str(error)
    wrong_signature = [
        f"{name} {error.data[name]}" for name in ("recovered", "expected_owner", "digest") if name in error.data
    ]
    if wrong_signature:
        sentence += f" ({', '.join(wrong_signature)})"
    click.echo(f"error: {sentence}", err=True)
    if settings.as_json:
        click.echo(json.dumps({**error.data, "ok": False, "error": error.name, "sentence": str(error)}))
    sys.exit(error.status)


def show(settings: Settings, report: Report) -> None:
    if settings.as_json:
        click.echo(json.dumps({"ok": True, **report.fields}))
        return
    for item in report.shown:
        if isinstance(item, str):
            told = item.translate(_CONTROLS)
            # A file or a pipe gets each line whole.
            click.echo(wrapped(told, shutil.get_terminal_size().columns) if sys.stdout.isatty() else told)
        else:
            # a third of such a command's start: imported where something is drawn
            from rich.console import Console

            # Styles come with the items: a market's name is no markup, and no picture's name, whose table loads long.
            Console(highlight=False, soft_wrap=True, markup=False, emoji=False).print(item)


def wrapped(text: str, width: int) -> str:
    """Lines as a terminal shows them whole: broken between words, what goes on further in."""
    lines = []
    for line in text.split("\n"):
        inwards = line[: len(line) - len(line.lstrip())] + "  "
        lines += textwrap.wrap(
            line, width, subsequent_indent=inwards, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)


def warn(sentence: str) -> None:
    click.echo(f"warning: {sentence}", err=True)


def tell(sentence: str) -> None:
    click.echo(f"notice: {sentence}", err=True)


def run_action(settings: Settings, action: Action, *, signing: bool) -> None:
    """Opens the wallet, runs an action on it, shows the report; the password is asked for where something is signed."""
    import trio

    from sequencer.wallet.keys import keystore_address

    key = settings.key() if signing else None
    address = keystore_address(settings.path) if key is None else key.address
    try:
        show(settings, trio.run(functools.partial(_with_wallet, settings, address, key, action)))
    except KeyboardInterrupt:
        if signing:
            warn("what was sent before may still be mined or sequenced: `wallet force status` and `orders` list it")
        raise


async def _identity(settings: Settings, wallet: Wallet, key: SigningKey | None, account: int) -> Identity:
    """Who looks, where a node keeps accounts private: the keystore's key, for its password."""
    from sequencer.client.access import Identity

    # The domain is L1's word, never the node's.
    domain = (await wallet.venue()).domain
    return Identity(domain, (key or settings.key()).sign)


async def _with_wallet(settings: Settings, address: bytes, key: SigningKey | None, action: Action) -> Report:
    import trio

    from l1_bridge.client.client import L1Client
    from l1_bridge.client.options import L1Options
    from sequencer.client.client import NodeClient
    from sequencer.wallet.units import parse_address
    from sequencer.wallet.verified import WalletOptions
    from sequencer.wallet.wallet import Wallet

    expected = None if settings.rollup_address is None else parse_address(settings.rollup_address)
    options = WalletOptions(expected_rollup=expected, warn=warn, tell=tell, poll_seconds=settings.poll_interval)
    # One page: a log is found by address and topic, and nodes that limit the range make the client halve it.
    l1 = L1Client(settings.l1_rpc_url, L1Options(attempts=2, page_blocks=1 << 40, poll_seconds=settings.poll_interval))
    async with NodeClient(settings.node_url) as node:
        try:
            wallet = Wallet(node, l1, address, settings.directory, key, options)
            node.identify = functools.partial(_identity, settings, wallet, key)
            return await action(wallet)
        finally:
            with trio.CancelScope(shield=True):
                await l1.close()
