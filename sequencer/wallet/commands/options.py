"""Options and their reading that several wallet commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from prover.stf import constants
from sequencer.wallet.commands.running import variable, warn
from sequencer.wallet.errors import BadInput, L1Unreachable, NotYet
from sequencer.wallet.units import SIDES, TIMES_IN_FORCE

if TYPE_CHECKING:
    from sequencer.schema.answers import MarketView
    from sequencer.wallet.commands.grid import Grid
    from sequencer.wallet.drafts import OrderTerms
    from sequencer.wallet.trust import ListedMarket
    from sequencer.wallet.wallet import Wallet

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Seconds(click.FloatRange):
    """Seconds to wait, none or more: what is no number would end a command after its transaction left."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not found >= 0:
            self.fail(f"{value} is not in the range x>=0.", param, ctx)
        return found


SECONDS: Final = _Seconds(min=0)
account_option = click.option(
    "--account", type=int, envvar=variable("ACCOUNT"), help="Account index; needed if you own several."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would be signed, compare it with the node's typed data, sign nothing."
)

_ORDER_OPTIONS: Final = (
    click.option("--market", required=True, help="Name or index, such as BTC."),
    click.option("--side", required=True, type=click.Choice(sorted(SIDES))),
    click.option("--size", help="In units of the market, such as 0.25."),
    click.option(
        "--usd", help="Instead of --size: so many dollars at the higher of limit and trigger, or oracle price."
    ),
    click.option("--price", help="Limit in dollars, such as 60000.5; without it at the market."),
    click.option(
        "--slippage", help="Without --price: percent from the oracle price; the whole band by default, 10 of a trigger."
    ),
    click.option(
        "--time-in-force", type=click.Choice(sorted(TIMES_IN_FORCE)), help="gtt by default, without --price ioc."
    ),
    click.option("--post-only", is_flag=True, help="Never take: refused if it would."),
    click.option("--reduce-only", is_flag=True, help="Only shrink a position."),
    click.option("--trigger-above", help="Wait until the oracle price is at or above this."),
    click.option("--trigger-below", help="Wait until the oracle price is at or below this."),
    click.option("--expires", help="Lifetime such as 30s, 10m or 24h; the longest by default."),
    click.option("--max-fee-ppm", type=click.IntRange(0, 65_535), help="Fee limit; what L1 lists by default."),
    click.option("--slot", type=click.IntRange(1, 255), help="Order slot; the lowest free one by default."),
)

# What is asked of the venue beside what is signed; no law holds it to that.
_BESIDE_OPTIONS: Final = (
    click.option("--client-id", default="", help="Your own name for it, by which it can be asked for."),
    click.option(
        "--self-trade",
        type=click.Choice(["cancel_taker", "cancel_maker", "decrement"]),
        default="cancel_taker",
        show_default=True,
        help="Where it meets an order of yours.",
    ),
    click.option("--group", type=click.IntRange(0, 2**32 - 1), default=0, help="Of its orders one cancels the other."),
    click.option("--stop", help="Price at which a reduce-only stop closes what was filled, at the market."),
    click.option("--target", help="Price at which a reduce-only order takes the profit, at the market."),
)


class Grant(msgspec.Struct, frozen=True):
    """What another key may do for an account: trade in some slots, up to a time."""

    agent: bytes
    expires_at_ms: int
    first_slot: int
    last_slot: int


_SLOT_OPTIONS: Final = (
    click.option(
        "--first-slot", type=click.IntRange(0, 255), default=0, show_default=True, help="0 includes cancel-all."
    ),
    click.option("--last-slot", type=click.IntRange(0, 255), default=255, show_default=True, help="Last order slot."),
)


def slot_options(command: _Command) -> _Command:
    """Adds the slots of a grant; `read_grant` reads them."""
    for option in reversed(_SLOT_OPTIONS):
        command = option(command)
    return command


def read_grant(address: str, expires: str, first_slot: int, last_slot: int) -> Grant:
    """A grant from now on; BadInput for slots in which no order can stand, and for one that never ends."""
    from sequencer.client.clock import wall_clock_ms
    from sequencer.wallet.units import parse_address, parse_duration

    agent = parse_address(address)
    expires_at = wall_clock_ms() + parse_duration(expires)
    if first_slot > last_slot or last_slot == 0:
        raise BadInput("an agent's slots run from --first-slot up to --last-slot, and orders stand in 1 to 255")
    if expires_at >= 2**48:
        raise BadInput(f"a grant cannot last as long as {expires}")
    return Grant(agent, expires_at, first_slot, last_slot)


def order_options(command: _Command) -> _Command:
    """Adds what an order is made of; `order_terms` reads it."""
    for option in reversed(_ORDER_OPTIONS):
        command = option(command)
    return command


def beside_options(command: _Command) -> _Command:
    """Adds what may be asked beside an order; `beside` and `guards` read it."""
    for option in reversed(_BESIDE_OPTIONS):
        command = option(command)
    return command


def beside(given: dict[str, Any]) -> dict[str, Any]:
    """What is asked of the venue beside the order."""
    return {name: given[name] for name in ("client_id", "self_trade", "group")}


def guards(market: ListedMarket, entry: OrderTerms, given: dict[str, Any], seen: MarketView | None) -> list[OrderTerms]:
    """The stop and the target of an entry, as far as they are asked for; BadInput for one on the wrong side of it."""
    from sequencer.wallet.drafts import TRIGGERED_SLIPPAGE_PPM, guard_terms

    found: list[OrderTerms] = []
    opens_at = entry.limit_price
    if given["price"] is None:
        opens_at = entry.trigger_price or (seen.price_ticks if seen is not None else 0)
    for name, is_stop in (("stop", True), ("target", False)):
        if given[name] is None:
            continue
        if entry.reduce_only:
            raise BadInput("an entry opens a position: --stop and --target go with no --reduce-only")
        at = _ticks(market, given[name], f"{name} price")
        is_below = is_stop is (entry.side == constants.BUY)
        if at == opens_at or (at > opens_at) is is_below:
            raise BadInput(f"the {name} of this entry lies {'below' if is_below else 'above'} its price")
        found.append(guard_terms(entry, trigger_price=at, is_stop=is_stop, away_ppm=TRIGGERED_SLIPPAGE_PPM))
    return found


def parse_slippage(text: str | None) -> int | None:
    """Percent as parts per million; None for none. BadInput."""
    from sequencer.wallet.drafts import PERCENT_DECIMALS
    from sequencer.wallet.units import parse_units

    return None if text is None else parse_units(text.removesuffix("%"), PERCENT_DECIMALS, "slippage", "percent")


async def listed_price(wallet: Wallet, market: ListedMarket, given: dict[str, Any]) -> MarketView | None:
    """The node's view of a market, where an order has to be measured at its price; NotYet where it has none."""
    if given["price"] is not None and given["usd"] is None:
        return None
    found = next((seen for seen in await wallet.node.markets() if seen.index == market.index), None)
    if found is None:
        raise NotYet(f"the node gives no price of {market.name}")
    return found


# Which way, and the price.
_Trigger = tuple[int, int]


def _ticks(market: ListedMarket, text: str, what: str) -> int:
    from sequencer.wallet.units import parse_units

    return parse_units(text.removeprefix("$"), market.price_decimals, what, "dollars")


def _limit(market: ListedMarket, given: dict[str, Any], seen: MarketView | None, trigger_price: int) -> int:
    from sequencer.client.clock import wall_clock_ms
    from sequencer.wallet.drafts import TRIGGERED_SLIPPAGE_PPM, market_limit, worst_price

    side, away = SIDES[given["side"]], parse_slippage(given["slippage"])
    if given["price"] is not None:
        if away is not None:
            raise BadInput("an order has a --price or a --slippage, not both")
        return _ticks(market, given["price"], "price")
    if given["post_only"]:
        raise BadInput("a post-only order rests: name its --price")
    if trigger_price:
        away = TRIGGERED_SLIPPAGE_PPM if away is None else away
        if away >= constants.PPM:
            raise BadInput("a --slippage is below 100 percent")
        return worst_price(trigger_price, side, away)
    assert seen is not None, "an order at the market is measured at a price"
    return market_limit(market, seen, side, away, wall_clock_ms())


def _size(market: ListedMarket, given: dict[str, Any], seen: MarketView | None, limit: int, trigger: _Trigger) -> int:
    """Lots of a size, or of dollars: a buyer spends no more of them however the order is filled.

    A seller gets about as many: what waits for its trigger is filled near that, wherever the price stands today.
    """
    from sequencer.wallet.units import parse_money, parse_units

    if (given["size"] is None) is (given["usd"] is None):
        raise BadInput("say how much: --size or --usd")
    if given["size"] is not None:
        return parse_units(given["size"], market.size_decimals, "size", market.name)
    assert seen is not None, "dollars are measured at a price"
    kind, price = trigger
    waits = seen.price_ticks < price if kind == constants.TRIGGER_AT_OR_ABOVE else seen.price_ticks > price > 0
    lots = parse_money(given["usd"]) // max(limit, price if waits else seen.price_ticks, 1)
    if lots == 0:
        raise BadInput(f"{given['usd']} dollars do not buy one lot of {market.name}")
    return lots


def order_terms(market: ListedMarket, given: dict[str, Any], seen: MarketView | None = None) -> OrderTerms:
    """Lots and ticks of the decimals; BadInput with the grid's step where one is off it.

    seen: as `listed_price` finds it.
    """
    from sequencer.wallet.drafts import OrderTerms
    from sequencer.wallet.units import parse_duration

    if given["trigger_above"] is not None and given["trigger_below"] is not None:
        raise BadInput("an order has one trigger: --trigger-above or --trigger-below")
    trigger, trigger_price = constants.NO_TRIGGER, 0
    if given["trigger_above"] is not None:
        trigger, trigger_price = constants.TRIGGER_AT_OR_ABOVE, _ticks(market, given["trigger_above"], "trigger price")
    elif given["trigger_below"] is not None:
        trigger, trigger_price = constants.TRIGGER_AT_OR_BELOW, _ticks(market, given["trigger_below"], "trigger price")
    limit = _limit(market, given, seen, trigger_price)
    in_force = given["time_in_force"] or ("ioc" if given["price"] is None else "gtt")
    return OrderTerms(
        market=market.index,
        side=SIDES[given["side"]],
        size=_size(market, given, seen, limit, (trigger, trigger_price)),
        limit_price=limit,
        time_in_force=TIMES_IN_FORCE[in_force],
        post_only=given["post_only"],
        reduce_only=given["reduce_only"],
        trigger=trigger,
        trigger_price=trigger_price,
        lifetime_ms=None if given["expires"] is None else parse_duration(given["expires"]),
        max_fee_ppm=given["max_fee_ppm"],
        slot=given["slot"],
    )


async def market_grid(wallet: Wallet) -> Grid:
    """What lots and ticks mean: from L1; from the node with a warning where L1 cannot be asked."""
    from sequencer.wallet.commands.grid import Grid, listed

    try:
        return Grid((await wallet.venue()).markets)
    except L1Unreachable as error:
        warn(f"nothing here is checked against L1: {error}")
        return Grid(listed(await wallet.node.markets()))
