"""`catenary wallet govern`: what a venue's governor announces, and what anybody enacts once it has waited."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from prover.state import genesis
from prover.stf import constants
from sequencer.wallet.commands.force import come_of, timeout_option
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.errors import BadInput
from sequencer.wallet.units import parse_units

if TYPE_CHECKING:
    from prover.stf import containers
    from sequencer.wallet.announcements import Announcement
    from sequencer.wallet.wallet import Wallet

_STATUSES: Final = {
    "open": constants.MARKET_OPEN,
    "reduce-only": constants.MARKET_REDUCE_ONLY,
    "settling": constants.MARKET_SETTLING,
}
_NAME_BYTES: Final = 31
# A listing is enacted so long before the next one may be: the law takes markets in their order, and refuses for good.
_APART_SECONDS: Final = 86_400
_PARAMETERS: Final = {
    "initial_ppm": "Initial fraction.",
    "maintenance_ppm": "Maintenance fraction.",
    "maker_fee_ppm": "Of the maker's notional.",
    "taker_fee_ppm": "Of the taker's notional.",
    "band_ppm": "How far a fill may stray from the oracle price.",
    "unwind_band_ppm": "How far an insurance account may sell from it.",
    "funding_cap_ppb": "Most funding an hour, in 10^-9.",
    "funding_interest_ppb": "Funding that a market tends to, an hour, in 10^-9.",
    "funding_damping_ppb": "How far it moves a premium towards that, an hour, in 10^-9.",
    "minimum_notional_micros": "Least notional of an order that grows.",
    "interest_lower_micros": "Open interest from which growing legs need more.",
    "interest_upper_micros": "Open interest at which they need all of it.",
}


def _parameter_options(otherwise: str) -> Callable[[Any], Any]:
    def added(function: Any) -> Any:
        for name, sentence in reversed(_PARAMETERS.items()):
            option = "--" + name.replace("_", "-")
            least = None if name == "funding_interest_ppb" else 0
            function = click.option(option, name, type=click.IntRange(least), help=f"{sentence} {otherwise}")(function)
        return function

    return added


@click.group()
def govern() -> None:
    """What a venue lists, asks for and charges: announced by its governor, enacted by anybody after its delay.

    The law keeps parameters within ranges and steps, one change of a market in thirty days.
    """


@govern.command("list")
@click.option("--name", required=True, help="Of the new market, such as DOGE.")
@click.option(
    "--size-decimals", type=click.IntRange(0, 6), required=True, help="Decimals of a lot; ticks take the rest."
)
@click.option("--price", required=True, help="What it costs now, in dollars: a coarse price is refused.")
@click.option("--tier", type=click.Choice(list(genesis.TIERS)), required=True, help="Whose parameters it begins with.")
@_parameter_options("As the tier has it if not given.")
@command
def govern_list(settings: Settings, name: str, size_decimals: int, price: str, tier: str, **asked: int | None) -> None:
    """Announce a new market, at any leverage within the law's ranges.

    Oracle signers need its price from its enactment on.
    """
    from prover.signing import operations
    from prover.stf import codes, markets

    if not (name.isascii() and name.isprintable() and 0 < len(name) <= _NAME_BYTES):
        raise BadInput(f"a name has 1 to {_NAME_BYTES} ASCII characters")
    price_ticks = _price_ticks(price, size_decimals)
    stands = msgspec.structs.asdict(genesis.TIERS[tier].listing(name, size_decimals))
    values = {field: stands[field] if asked[field] is None else asked[field] for field in _PARAMETERS}

    async def action(wallet: Wallet) -> Report:
        venue = await wallet.verified.forced_venue()
        made = [one for one in await wallet.bridge.announcements() if _listing(one) is not None]
        coming = [given for given in map(_listing, made) if given is not None]
        taken = [market.name for market in venue.markets] + genesis.market_names([given.label for given in coming])
        if name.isdigit() or name.upper() in map(str.upper, taken):
            raise BadInput(f"{name} is taken, announced already, or a number: a market needs a name of its own")
        index = max([len(venue.markets), *(given.market + 1 for given in coming)])
        if index >= constants.MARKETS:
            raise BadInput(f"a venue lists {constants.MARKETS} markets at most")
        others = [one.enactable_at for one in made if (given := _listing(one)) and given.market >= len(venue.markets)]
        if others and await wallet.bridge.enactable_from() < max(others) + _APART_SECONDS:
            raise BadInput(
                "another market was announced within a day and is not listed yet: whoever enacted the second before it"
                " would have the law refuse it, and it were gone for a month; enact that one, or ask again in a day"
            )
        label = genesis.label(name, size_decimals)
        given = _parameters(index, constants.MARKET_OPEN, label, price_ticks, values)
        if not markets.in_range(given) or markets.check_listing(given) != codes.OK:
            raise BadInput("a parameter is outside the law's ranges: PROTOCOL.md 7.8")
        return await _announced(wallet, constants.SET_MARKET, operations.market_payload(given))

    run_action(settings, action, signing=True)


def _parameters(
    index: int, status: int, label: bytes, price_ticks: int, values: dict[str, Any]
) -> containers.Parameters:
    """What a market would be; its options are called as the law's fields are, money with its unit behind."""
    from prover.stf import containers

    fields = {name.removesuffix("_micros"): value for name, value in values.items()}
    return containers.Parameters(market=index, status=status, label=label, price=price_ticks, **fields)


def _price_ticks(price: str, size_decimals: int) -> int:
    """The price that a listing names; the law refuses a coarse one, which could fall to nothing."""
    least = constants.LEAST_LISTING_TICKS
    ticks: list[int] = [parse_units(price, 12, "price", "dollars") // 10 ** (6 + decimals) for decimals in range(7)]
    if ticks[size_decimals] >= 2**48:
        raise BadInput(f"{price} dollars are {ticks[size_decimals]} ticks, more than a price can be")
    if ticks[size_decimals] >= least:
        return ticks[size_decimals]
    fits = max((decimals for decimals in range(size_decimals) if ticks[decimals] >= least), default=None)
    way = "list more of it as one, such as a thousand" if fits is None else f"--size-decimals {fits} would do"
    raise BadInput(f"{price} dollars are {ticks[size_decimals]} ticks, fewer than {least:,}: {way}")


def _listing(one: Announcement) -> containers.Parameters | None:
    """The parameters of an announcement that may still change a market."""
    from prover.signing import operations

    if one.tag != constants.SET_MARKET or one.state not in ("waiting", "enactable"):
        return None
    try:
        return operations.market_parameters(one.payload)
    except ValueError:
        return None


@govern.command("market")
@click.option("--market", required=True, help="Name or index, such as BTC.")
@click.option("--status", type=click.Choice(list(_STATUSES)), help="As it is if not given.")
@click.option("--price", help="Of a market that has none yet, in dollars: names it anew.")
@_parameter_options("As it is if not given.")
@command
def govern_market(settings: Settings, market: str, status: str | None, price: str | None, **given: int | None) -> None:
    """Announce other parameters of a market, or its end: reduce-only, a month later settling.

    What is not given stays as the newest posted batch has it.
    """
    from prover.signing import operations
    from prover.stf import encoding

    async def action(wallet: Wallet) -> Report:
        venue = await wallet.venue()
        index = venue.market(market).index
        globals = await wallet.verified.globals()
        now = globals.markets[index]
        stands = {
            "initial_ppm": globals.risk.initial_ppm[index],
            "maintenance_ppm": globals.risk.maintenance_ppm[index],
            "maker_fee_ppm": now.maker_fee_ppm,
            "taker_fee_ppm": now.taker_fee_ppm,
            "band_ppm": now.band_ppm,
            "unwind_band_ppm": now.unwind_band_ppm,
            "funding_cap_ppb": encoding.funding_cap(now.funding_terms),
            "funding_interest_ppb": encoding.funding_interest(now.funding_terms),
            "funding_damping_ppb": encoding.funding_damping(now.funding_terms),
            "minimum_notional_micros": now.minimum_notional,
            "interest_lower_micros": now.interest_lower,
            "interest_upper_micros": now.interest_upper,
        }
        values = {name: stands[name] if given[name] is None else given[name] for name in _PARAMETERS}
        asked = now.status if status is None else _STATUSES[status]
        if price is not None and globals.risk.price[index] != 0:
            raise BadInput("the market has a price: its listing's is named no more")
        price_ticks = 0 if price is None else _price_ticks(price, now.label[31])
        parameters = _parameters(index, asked, now.label, price_ticks, values)
        try:
            payload = operations.market_payload(parameters)
        except OverflowError:
            raise BadInput("a value is larger than its field") from None
        return await _announced(wallet, constants.SET_MARKET, payload)

    run_action(settings, action, signing=True)


@govern.command("venue")
@click.option(
    "--posting-fee-micros", type=click.IntRange(0, 2**24 - 1), required=True, help="Of an order's first fill."
)
@click.option("--grace-ms", type=click.IntRange(0, 2**24 - 1), required=True, help="Grace after missing ticks.")
@click.option("--signer-index", type=click.IntRange(0, constants.SIGNERS - 1), help="Whose place a new signer takes.")
@click.option("--signer", help="The new oracle signer's address.")
@command
def govern_venue(
    settings: Settings, posting_fee_micros: int, grace_ms: int, signer_index: int | None, signer: str | None
) -> None:
    """Announce the venue's posting fee and grace, and one oracle signer in the place of another."""
    from prover.signing import operations
    from prover.stf import containers
    from sequencer.wallet.units import parse_address

    if (signer_index is None) != (signer is None):
        raise BadInput("--signer-index and --signer go together")
    address = containers.NOBODY if signer is None else parse_address(signer)
    given = containers.VenueParameters(posting_fee_micros, grace_ms, signer_index or 0, address)

    async def action(wallet: Wallet) -> Report:
        return await _announced(wallet, constants.SET_VENUE, operations.venue_payload(given))

    run_action(settings, action, signing=True)


@govern.command("show")
@command
def govern_show(settings: Settings) -> None:
    """Show every announcement and what has become of it, from L1 alone."""

    async def action(wallet: Wallet) -> Report:
        made = await wallet.bridge.announcements()
        shown = [line for one in made for line in announcement_text(one)]
        return Report({"announcements": [_fields(one) for one in made]}, shown or ["nothing was ever announced"])

    run_action(settings, action, signing=False)


@govern.command("retract")
@click.option("--announcement", required=True, help="Its hash, as `govern show` tells it.")
@command
def govern_retract(settings: Settings, announcement: str) -> None:
    """Take an announcement back."""
    digest = _hash(announcement)

    async def action(wallet: Wallet) -> Report:
        await wallet.bridge.retract(digest)
        return Report({"announcement": "0x" + digest.hex()}, ["retracted"])

    run_action(settings, action, signing=True)


@govern.command("enact")
@click.option("--announcement", required=True, help="Its hash, as `govern show` tells it.")
@timeout_option
@command
def govern_enact(settings: Settings, announcement: str, timeout: float | None) -> None:
    """Queue what has waited long enough, as anybody may."""
    digest = _hash(announcement)

    async def action(wallet: Wallet) -> Report:
        made = [one for one in await wallet.bridge.announcements() if one.announcement == digest]
        if not made:
            raise BadInput(f"nothing with the hash 0x{digest.hex()} was announced")
        found = await wallet.bridge.enact(made[-1].tag, made[-1].payload, timeout)
        return come_of(made[-1].tag, found)

    run_action(settings, action, signing=True)


def _hash(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise BadInput(f"{text!r} is no hash of 32 bytes in hex")
    return digest


async def _announced(wallet: Wallet, tag: int, payload: bytes) -> Report:
    made = await wallet.bridge.announce(tag, payload)
    return Report(_fields(made), announcement_text(made))


def _fields(one: Announcement) -> dict[str, Any]:
    from prover.signing import operations

    return {
        "announcement": "0x" + one.announcement.hex(),
        "operation": operations.ENTRY_NAMES[one.tag],
        "payload": "0x" + one.payload.hex(),
        "enactable_at": one.enactable_at,
        "state": one.state,
        "parameters": _plain(one),
    }


def _plain(one: Announcement) -> dict[str, Any] | None:
    """What the payload says, by name; None where it says nothing."""
    from l1_bridge.addresses import checksum_address
    from prover.signing import operations
    from prover.stf import containers

    try:
        if one.tag == constants.SET_MARKET:
            market = operations.market_parameters(one.payload)
            (name,) = genesis.market_names([market.label])
            statuses = {number: status for status, number in _STATUSES.items()}
            fields = msgspec.structs.asdict(market) | {"status": statuses.get(market.status, market.status)}
            return {**fields, "label": name, "size_decimals": market.label[31]}
        venue = operations.venue_parameters(one.payload)
        is_signer = venue.signer != containers.NOBODY
        return msgspec.structs.asdict(venue) | {"signer": checksum_address(venue.signer) if is_signer else None}
    except ValueError:
        return None


def announcement_text(one: Announcement) -> list[str]:
    """One announcement: what, from when on, and where it stands."""
    from prover.signing import operations
    from sequencer.wallet.units import time_text

    said = _plain(one)
    values = "nothing that the law could take" if said is None else ", ".join(f"{k} {v}" for k, v in said.items())
    return [
        f"{operations.ENTRY_NAMES[one.tag]} 0x{one.announcement.hex()}: {one.state}",
        f"   enactable from {time_text(one.enactable_at * 1_000)}, for two weeks",
        f"   {values}",
    ]
