"""What a trader has written for his agent: one account, one key, and tasks, each in a slot of its own."""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import httpx
import msgspec

from prover.stf import constants
from sequencer.wallet.errors import BadInput

MOST_TASKS: Final = 32
MOST_LISTENERS: Final = 8
_FILE_BYTES: Final = 262_144

Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,32}$")]
Slot = Annotated[int, msgspec.Meta(ge=1, le=255)]
Decimal = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
Account = Annotated[int, msgspec.Meta(ge=constants.RESERVED_ACCOUNTS, lt=constants.NEW_ACCOUNT)]
Side = Literal["buy", "sell"]


class _Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Name
    market: str
    slot: Slot


class Twap(_Task, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A size in slices, one an interval, each at the market within a slippage (percent of the oracle price)."""

    side: Side
    size: Decimal
    slices: Annotated[int, msgspec.Meta(ge=2, le=10_000)]
    interval_seconds: Annotated[int, msgspec.Meta(ge=15, le=86_400)]
    slippage: Decimal
    reduce_only: bool = False


class Keep(_Task, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order that rests until it is filled, signed for a time and signed again before that ends."""

    side: Side
    size: Decimal
    price: Decimal
    lifetime_seconds: Annotated[int, msgspec.Meta(ge=120, le=86_400)] = 3_600
    post_only: bool = False
    reduce_only: bool = False


class Trail(_Task, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stop for the whole position, signed anew so far (percent) behind the best price that was seen.

    step: by how much of the price the trigger has to move (percent) to be signed again; slippage: of the trigger.
    """

    trail: Decimal
    step: Decimal = "0.1"
    slippage: Decimal = "10"


class TopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dollars from another account of the owner where maintenance over equity reaches a percentage.

    owner_keystore: no agent can transfer, so that this takes the owner's own key, which can do anything.
    """

    from_account: Account
    owner_keystore: str
    at_percent: Annotated[int, msgspec.Meta(ge=1, le=100)]
    amount: Decimal
    most_a_day: Decimal


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a margin call of a level and above is told, and what goes wrong: URLs by POST, commands on their input."""

    webhooks: Annotated[list[str], msgspec.Meta(max_length=MOST_LISTENERS)] = []
    commands: Annotated[list[list[str]], msgspec.Meta(max_length=MOST_LISTENERS)] = []
    at_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. journal: what was signed, and what came of it; never share one between two configurations."""

    account: Account
    keystore: str
    journal: str
    node_url: str = "http://127.0.0.1:9545"
    l1_rpc_url: str = "http://127.0.0.1:8545"
    wallet_dir: str = "~/.catenary/wallets"
    poll_seconds: Seconds = 1
    twap: list[Twap] = []
    keep: list[Keep] = []
    trail: list[Trail] = []
    top_up: TopUp | None = None
    alerts: Alerts = Alerts()

    @property
    def tasks(self) -> list[Twap | Keep | Trail]:
        """Every task with a slot."""
        return [*self.twap, *self.keep, *self.trail]


def read_config(path: Path) -> Config:
    """A file of TOML; BadInput that names what is wrong."""
    try:
        content = path.read_bytes()
        if len(content) > _FILE_BYTES:
            raise BadInput(f"{path} is larger than {_FILE_BYTES} bytes")
        config = msgspec.convert(tomllib.loads(content.decode()), Config)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"{path} is no configuration of an agent: {error}") from None
    for what, found in (("name", [task.name for task in config.tasks]), ("slot", [task.slot for task in config.tasks])):
        if len(set(found)) < len(found):
            raise BadInput(f"{path}: two tasks have the same {what}")
    if len(config.tasks) > MOST_TASKS:
        raise BadInput(f"{path}: {len(config.tasks)} tasks, at most {MOST_TASKS} are taken")
    if config.top_up is not None and config.top_up.from_account == config.account:
        raise BadInput(f"{path}: top_up takes from another account than it gives to")
    for place, url in enumerate(config.alerts.webhooks, 1):
        # Its path is a secret.
        if not _is_web(url):
            raise BadInput(f"{path}: webhook {place} of alerts is no http or https URL with a host")
    if any(not command for command in config.alerts.commands):
        raise BadInput(f"{path}: a command of alerts is empty")
    return config


def _is_web(url: str) -> bool:
    """Whether whoever sends to it understands it."""
    try:
        parsed = httpx.URL(url)
        return parsed.scheme in ("http", "https") and bool(parsed.host)
    except (httpx.InvalidURL, ValueError):
        return False
