"""`catenary wallet isolated`: positions in accounts of their own, whose losses reach no other account.

Nothing is remembered here: which accounts are the owner's, and what they hold, is asked of the node every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from prover.stf import codes, constants
from sequencer.client.errors import ClientError, Rejected
from sequencer.wallet.commands.insight import unsigned_order
from sequencer.wallet.commands.options import order_terms, parse_slippage
from sequencer.wallet.commands.requests import order_report
from sequencer.wallet.commands.running import Report, Settings, command, run_action, warn
from sequencer.wallet.errors import BadInput, NotGenuine, NotYet
from sequencer.wallet.units import SIDES, TIMES_IN_FORCE

if TYPE_CHECKING:
    from sequencer.schema.accounts import AccountView, PositionView
    from sequencer.schema.answers import MarketView
    from sequencer.wallet.drafts import OrderTerms
    from sequencer.wallet.trust import ListedMarket, Venue
    from sequencer.wallet.wallet import Wallet

# 10^-4 percent are a millionth.
# What an order of `isolated open` is besides side, size, price and time in force.
_PLAIN_ORDER: Final = {
    "post_only": False,
    "reduce_only": False,
    "trigger_above": None,
    "trigger_below": None,
    "expires": None,
    "max_fee_ppm": None,
    "slot": None,
    "usd": None,
    "slippage": None,
}


@click.group()
def isolated() -> None:
    """Positions in accounts of their own: a loss there reaches no other account."""


# Without the environment of other commands' --account: what is emptied here is named here.
_isolated_option = click.option("--account", type=int, required=True, help="The isolated account.")
_cross_option = click.option("--from", "cross", type=int, help="The cross account; your first one by default.")


async def accounts(wallet: Wallet, cross: int | None, isolated: int | None) -> int:
    """The cross account; BadInput unless it and the isolated one are two accounts of the owner's."""
    owned = await wallet.node.accounts(wallet.address)
    if not owned:
        await wallet.own_account(None)
    chosen = owned[0] if cross is None else cross
    for account in (chosen, isolated):
        if account is not None and account not in owned:
            raise BadInput(f"account {account} is not yours: you own {', '.join(map(str, owned))}")
    if chosen == isolated:
        raise BadInput(f"account {chosen} is the cross account itself: name another one")
    return chosen


@isolated.command("open")
@click.option("--market", required=True, help="Name or index, such as BTC.")
@click.option("--amount", required=True, help="Dollars that leave the cross account; one of them is the creation fee.")
@click.option("--side", type=click.Choice(sorted(SIDES)), help="With --size and --price: a first order.")
@click.option("--size", help="In units of the market, such as 0.25.")
@click.option("--price", help="Limit in dollars, such as 60000.5.")
@click.option("--time-in-force", type=click.Choice(sorted(TIMES_IN_FORCE)), default="gtt", show_default=True)
@_cross_option
@command
def open_isolated(settings: Settings, cross: int | None, amount: str, **given: Any) -> None:
    """Open an account with money of the cross account, and place its first order."""
    from sequencer.wallet.units import money_text, parse_money

    micros = parse_money(amount)
    if micros <= constants.CREATION_FEE:
        raise BadInput(f"{money_text(constants.CREATION_FEE)} of the amount is the creation fee: give more")
    asked = [given[name] is not None for name in ("side", "size", "price")]
    if any(asked) and not all(asked):
        raise BadInput("a first order takes --side, --size and --price")

    async def action(wallet: Wallet) -> Report:
        market = (await wallet.venue()).market(given["market"])
        # Read before money moves: a number off the grid must not leave an account without its order.
        terms = order_terms(market, {**_PLAIN_ORDER, **given}) if all(asked) else None
        return await open_account(wallet, market, await accounts(wallet, cross, None), micros, terms)

    run_action(settings, action, signing=True)


async def open_account(
    wallet: Wallet, market: ListedMarket, source: int, micros: int, terms: OrderTerms | None
) -> Report:
    """Opens an account by a transfer and places its first order, or neither: what would be refused is not sent.

    Where the order is refused all the same, for something that came in between, the money goes back.
    """
    from l1_bridge.addresses import checksum_address
    from sequencer.wallet.drafts import RequestTerms, sized_refusal
    from sequencer.wallet.units import money_text

    if terms is not None:
        seen = await wallet.node.preview(unsigned_order(terms, source), micros)
        if seen.status == "refused":
            name = codes.SENTENCE[seen.code][0] if seen.code in codes.SENTENCE else seen.refusal
            why = "" if seen.refusal == name else f"{seen.refusal} "
            most = {} if seen.largest_size_lots is None else {"largest_size_lots": str(seen.largest_size_lots)}
            sentence = f"{why}Account and first order would be refused together: nothing was signed or sent"
            raise sized_refusal(Rejected(-33_000 - seen.code, name, sentence, most), market)
    transfer = RequestTerms(kind="transfer", amount=micros, other=constants.NEW_ACCOUNT)
    # Invariant: the first order is signed for no account that was there before, whatever the node calls new.
    rollup = checksum_address((await wallet.venue()).rollup)
    signed = {entry.account for entry in wallet.record.read() if entry.rollup == rollup}
    known = {*await wallet.node.accounts(wallet.address), *signed, source}
    drafted, result = await wallet.request(transfer, source)
    opened = result.account_opened
    if opened is None or opened in known or not constants.RESERVED_ACCOUNTS <= opened < constants.NEW_ACCOUNT:
        raise NotGenuine(f"the node took the transfer but calls {opened} the opened account: nothing more is signed")
    fields = {
        "account": opened,
        "cross_account": source,
        "market": market.name,
        "amount_micros": str(micros),
        "creation_fee_micros": str(constants.CREATION_FEE),
        "digest": "0x" + drafted.digest.hex(),
        "order": None,
        "finality": "sequenced",
    }
    held = money_text(micros - constants.CREATION_FEE)
    told = f"account {opened} is open and holds {held}, sequenced (the node's word)"
    if terms is None:
        trade = f"catenary wallet order --account {opened} --market {market.name} ..."
        return Report(fields, [drafted.text, told, f"trade with: {trade}"])
    try:
        placed = order_report(*await wallet.order(terms, opened), market)
    except Rejected as error:
        back = (await wallet.node.account(opened)).withdrawable_micros
        await wallet.request(RequestTerms(kind="transfer", amount=back, other=source), opened)
        warn(f"account {opened} was opened, its first order refused, and {money_text(back)} went back to {source}")
        error.data |= {"account": opened, "returned_micros": str(back)}
        raise
    except ClientError as error:
        warn(f"{told}; what became of its first order is not known")
        error.data |= {"account": opened}
        raise
    return Report({**fields, "order": placed.fields}, [drafted.text, told, *placed.shown])


@isolated.command()
@_isolated_option
@click.option("--amount", required=True, help="Dollars.")
@_cross_option
@command
def topup(settings: Settings, account: int, amount: str, cross: int | None) -> None:
    """Move dollars from the cross account into an isolated one."""
    from sequencer.wallet.drafts import RequestTerms
    from sequencer.wallet.units import parse_money

    micros = parse_money(amount)

    async def action(wallet: Wallet) -> Report:
        source = await accounts(wallet, cross, account)
        drafted, _ = await wallet.request(RequestTerms(kind="transfer", amount=micros, other=account), source)
        fields = {
            "account": account,
            "cross_account": source,
            "amount_micros": str(micros),
            "digest": "0x" + drafted.digest.hex(),
            "finality": "sequenced",
        }
        return Report(fields, [f"{drafted.text} from account {source}: sequenced (the node's word)"])

    run_action(settings, action, signing=True)


@isolated.command()
@_isolated_option
@click.option("--slippage", help="Worst price as percent from the oracle price; the market's whole band by default.")
@click.option("--to", "--from", "cross", type=int, help="The cross account; your first one by default.")
@command
def close(settings: Settings, account: int, slippage: str | None, cross: int | None) -> None:
    """Cancel all, close the position, move what may leave back to the cross account; repeat to go on.

    Orders of your other accounts that stand in its way leave.
    """
    most_ppm = parse_slippage(slippage)

    async def action(wallet: Wallet) -> Report:
        target = await accounts(wallet, cross, account)
        shown: list[Any] = []
        try:
            fields = await close_account(wallet, account, target, most_ppm, shown)
        except ClientError:
            for line in shown:
                warn(line)
            raise
        return Report(fields, shown)

    run_action(settings, action, signing=True)


async def close_account(
    wallet: Wallet, account: int, target: int, most_ppm: int | None, shown: list[Any]
) -> dict[str, Any]:
    """Cancels, closes, moves: each step from what the node holds now, so that another run goes on where one stopped.

    What was done is appended to `shown` as it is done. NotYet while a position is left.
    """
    from sequencer.client.clock import wall_clock_ms
    from sequencer.wallet.drafts import RequestTerms
    from sequencer.wallet.units import money_text

    venue = await wallet.venue()
    view = await wallet.node.account(account)
    if _is_left(view):
        # First, for an order that fills later would open the position again.
        drafted, _ = await wallet.request(RequestTerms(kind="cancel_all", is_soft=True), account)
        shown.append(f"{drafted.text} of account {account}: sequenced (the node's word)")
        view = await wallet.node.account(account)
    orders = []
    if view.positions:
        markets = {market.index: market for market in await wallet.node.markets()}
        for position in view.positions:
            market = venue.market(position.market)
            if market.index not in markets:
                raise NotYet(f"the node gives no price of {market.name}")
            terms = closing_terms(market, markets[market.index], position.size_lots, most_ppm, wall_clock_ms())
            # An order of the same owner that stands in the way leaves: it would stand there at every other run as well.
            placed = order_report(*await wallet.order(terms, account, {"self_trade": "cancel_maker"}), market)
            orders.append(placed.fields)
            shown += placed.shown
        view = await wallet.node.account(account)
    again = f"catenary wallet isolated close --account {account}"
    fields: dict[str, Any] = {"account": account, "cross_account": target, "orders": orders, "again": again}
    if view.positions:
        # What is withdrawable beside a position is what keeps it from being liquidated.
        left = ", ".join(_held_text(venue, position) for position in view.positions)
        raise NotYet(
            f"{left} in account {account} found nobody at the worst price, so no money was moved; run again: {again}",
            {**fields, "closed": False, "moved_micros": "0"},
        )
    # What still matures goes on maturing in the cross account.
    moved = max(0, view.collateral_micros - venue.posting_fee_micros)
    if moved:
        drafted, _ = await wallet.request(RequestTerms(kind="transfer", amount=moved, other=target), account)
        shown.append(f"{drafted.text}: sequenced (the node's word)")
        view = await wallet.node.account(account)
    is_closed = not _is_left(view)
    if is_closed:
        shown.append(f"account {account} is empty")
    else:
        shown.append(f"{money_text(view.collateral_micros)} of account {account} is left: run again: {again}")
    return {
        **fields,
        "closed": is_closed,
        "moved_micros": str(moved),
        "left_micros": str(view.collateral_micros),
        "finality": "sequenced",
    }


def _held_text(venue: Venue, position: PositionView) -> str:
    from sequencer.wallet.units import units_text

    market = venue.market(position.market)
    return f"{units_text(position.size_lots, market.size_decimals)} {market.name}"


def _is_left(view: AccountView) -> bool:
    return bool(view.positions or view.open_orders or view.collateral_micros > 0)


def closing_terms(
    market: ListedMarket, seen: MarketView, size_lots: int, most_ppm: int | None, now_ms: int
) -> OrderTerms:
    """A reduce-only order that closes a position at once, at a worst price so far from the oracle price."""
    from sequencer.wallet.drafts import OrderTerms, market_limit

    side = constants.SELL if size_lots > 0 else constants.BUY
    return OrderTerms(
        market=market.index,
        side=side,
        size=abs(size_lots),
        limit_price=market_limit(market, seen, side, most_ppm, now_ms),
        time_in_force=constants.IMMEDIATE_OR_CANCEL,
        reduce_only=True,
    )
