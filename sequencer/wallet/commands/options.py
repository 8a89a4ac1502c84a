"""Options and their reading that several wallet commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from prover.stf import constants
from sequencer.wallet.commands.running import variable, warn
from sequencer.wallet.errors import BadInput, L1Unreachable
from sequencer.wallet.units import SIDES, TIMES_IN_FORCE

if TYPE_CHECKING:
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
    click.option("--size", required=True, help="In units of the market, such as 0.25."),
    click.option("--price", required=True, help="Limit in dollars, such as 60000.5."),
    click.option("--time-in-force", type=click.Choice(sorted(TIMES_IN_FORCE)), default="gtt", show_default=True),
    click.option("--post-only", is_flag=True, help="Never take: refused if it would."),
    click.option("--reduce-only", is_flag=True, help="Only shrink a position."),
    click.option("--trigger-above", help="Wait until the oracle price is at or above this."),
    click.option("--trigger-below", help="Wait until the oracle price is at or below this."),
    click.option("--expires", help="Lifetime such as 30s, 10m or 24h; the longest by default."),
    click.option("--max-fee-ppm", type=click.IntRange(0, 65_535), help="Fee limit; what L1 lists by default."),
    click.option("--slot", type=click.IntRange(1, 255), help="Order slot; the lowest free one by default."),
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


def order_terms(market: ListedMarket, given: dict[str, Any]) -> OrderTerms:
    """Lots and ticks of the decimals; BadInput with the grid's step where one is off it."""
    from sequencer.wallet.drafts import OrderTerms
    from sequencer.wallet.units import parse_duration, parse_units

    def ticks(text: str, what: str) -> int:
        return parse_units(text.removeprefix("$"), market.price_decimals, what, "dollars")

    if given["trigger_above"] is not None and given["trigger_below"] is not None:
        raise BadInput("an order has one trigger: --trigger-above or --trigger-below")
    trigger, trigger_price = constants.NO_TRIGGER, 0
    if given["trigger_above"] is not None:
        trigger, trigger_price = constants.TRIGGER_AT_OR_ABOVE, ticks(given["trigger_above"], "trigger price")
    elif given["trigger_below"] is not None:
        trigger, trigger_price = constants.TRIGGER_AT_OR_BELOW, ticks(given["trigger_below"], "trigger price")
    return OrderTerms(
        market=market.index,
        side=SIDES[given["side"]],
        size=parse_units(given["size"], market.size_decimals, "size", market.name),
        limit_price=ticks(given["price"], "price"),
        time_in_force=TIMES_IN_FORCE[given["time_in_force"]],
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
