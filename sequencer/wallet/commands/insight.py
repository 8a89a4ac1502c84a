"""`catenary wallet preview | explain | contribution | post-mortem`: an account looked through; the node's word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
import msgspec

from prover.stf import constants
from sequencer.wallet.commands.options import account_option, listed_price, market_grid, order_options, order_terms
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.errors import BadInput

if TYPE_CHECKING:
    from sequencer.schema.accounts import Contribution, Explained, Preview
    from sequencer.schema.answers import PostMortemView
    from sequencer.wallet.commands.grid import Grid
    from sequencer.wallet.drafts import OrderTerms
    from sequencer.wallet.wallet import Wallet

    _Operation: TypeAlias = Callable[[Grid, int, Wallet], Awaitable[dict[str, Any]]]

_WORD = "the node's word, nothing was signed or sent"


@click.group()
def preview() -> None:
    """Show an account before and after an order, transfer or withdrawal that is not sent.

    With its margin call, buying power and deleveraging ranks: what the next tick would tell at the same prices.
    """


@preview.command("order")
@order_options
@account_option
@command
def preview_order(settings: Settings, account: int | None, **given: Any) -> None:
    """What an order would fill now, and what the account would be."""

    async def operation(grid: Grid, index: int, wallet: Wallet) -> dict[str, Any]:
        market = grid.listed(given["market"])
        return unsigned_order(order_terms(market, given, await listed_price(wallet, market, given)), index)

    _preview(settings, account, operation)


@preview.command("withdraw")
@click.option("--amount", required=True, help="Dollars.")
@click.option("--recipient", help="Your own address by default.")
@account_option
@command
def preview_withdraw(settings: Settings, amount: str, recipient: str | None, account: int | None) -> None:
    """What a withdrawal would leave."""
    from sequencer.wallet.units import parse_address, parse_money

    micros = parse_money(amount)
    to = None if recipient is None else parse_address(recipient)

    async def operation(grid: Grid, index: int, wallet: Wallet) -> dict[str, Any]:
        return {"kind": "withdraw", "account": index, "amount_micros": micros, "recipient": to or wallet.address}

    _preview(settings, account, operation)


@preview.command("transfer")
@click.option("--amount", required=True, help="Dollars.")
@click.option("--to-account", type=int, required=True, help="Another account of the same owner.")
@account_option
@command
def preview_transfer(settings: Settings, amount: str, to_account: int, account: int | None) -> None:
    """What a transfer would leave here and make there."""
    from sequencer.wallet.units import parse_money

    micros = parse_money(amount)
    if not constants.RESERVED_ACCOUNTS <= to_account < constants.NEW_ACCOUNT:
        raise BadInput(f"{to_account} is no trader's account")

    async def operation(grid: Grid, index: int, wallet: Wallet) -> dict[str, Any]:
        return {"kind": "transfer", "account": index, "amount_micros": micros, "to_account": to_account}

    _preview(settings, account, operation)


def unsigned_order(terms: OrderTerms, account: int) -> dict[str, Any]:
    """The signed fields that the terms decide; the node fills in slot and times."""
    from sequencer.client.clock import wall_clock_ms

    fields: dict[str, Any] = {
        "kind": "order",
        "account": account,
        "market": terms.market,
        "side": terms.side,
        "size_lots": terms.size,
        "limit_price_ticks": terms.limit_price,
        "time_in_force": terms.time_in_force,
        "post_only": terms.post_only,
        "reduce_only": terms.reduce_only,
        "trigger": terms.trigger,
        "trigger_price_ticks": terms.trigger_price,
    }
    if terms.slot is not None:
        fields["slot"] = terms.slot
    if terms.max_fee_ppm is not None:
        fields["max_fee_ppm"] = terms.max_fee_ppm
    if terms.lifetime_ms is not None:
        now = wall_clock_ms()
        fields |= {"created_at_ms": now, "expires_at_ms": now + terms.lifetime_ms}
    return fields


def _preview(settings: Settings, account: int | None, operation: _Operation) -> None:
    from sequencer.wallet.commands.fields import outlook_fields

    async def action(wallet: Wallet) -> Report:
        from sequencer.wallet.commands.tables import change_table

        grid = await market_grid(wallet)
        index = await wallet.own_account(account)
        seen = await wallet.node.preview(await operation(grid, index, wallet))
        states = {
            name: None if view is None else outlook_fields(view, grid)
            for name in ("before", "after", "if_filled", "other_before", "other_after")
            for view in [getattr(seen, name)]
        }
        fields = {
            "account": index,
            "finality": seen.finality,
            "code": seen.code,
            "refusal": seen.refusal,
            "status": seen.status,
            "filled_lots": str(seen.filled_lots),
            "remaining_lots": str(seen.remaining_lots),
            "fees_micros": str(seen.fees_micros),
            "leaving": seen.leaving,
            "fills": [{"price_ticks": fill.price_ticks, "size_lots": str(fill.size_lots)} for fill in seen.fills],
            **states,
        }
        shown: list[Any] = [_preview_text(seen, grid)]
        if seen.leaving:
            shown.append(f"{len(seen.leaving)} open orders would leave, which nothing would cover any more:")
            shown += [f"  {name}" for name in seen.leaving]
        for columns in (
            (("before", seen.before), ("after", seen.after), ("if filled", seen.if_filled)),
            (("before", seen.other_before), ("after", seen.other_after)),
        ):
            known = [(name, view) for name, view in columns if view is not None]
            if known:
                shown.append(change_table(known, grid))
        return Report(fields, shown)

    run_action(settings, action, signing=False)


def _preview_text(seen: Preview, grid: Grid) -> str:
    from sequencer.wallet.drafts import sized_text
    from sequencer.wallet.units import money_text

    market = seen.operation.market
    refusal = (
        seen.refusal if market is None else sized_text(seen.refusal, seen.largest_size_lots, grid.listed(str(market)))
    )
    why = f" ({refusal})" if refusal else ""
    fees = f", fees {money_text(seen.fees_micros)}" if seen.fills else ""
    fills = f", {len(seen.fills)} fill{'s' if len(seen.fills) > 1 else ''}" if seen.fills else ""
    return f"would be {seen.status}{why}{fills}{fees}: {_WORD}"


@click.command()
@account_option
@click.option("--only", help="Only numbers whose name contains this, such as BTC or margin_ratio, with their inputs.")
@click.option("--full", is_flag=True, help="Every number with its inputs, in micro-dollars, lots and ticks.")
@command
def explain(settings: Settings, account: int | None, only: str | None, full: bool) -> None:
    """Show where an account's numbers come from: the pool's in short, --full every one with its inputs."""
    from sequencer.schema.writing import to_wire

    async def action(wallet: Wallet) -> Report:
        index = await wallet.own_account(account)
        found = await wallet.node.explain(index)
        chosen = [number for number in found.numbers if only is None or only.lower() in number.name.lower()]
        if only is not None and not chosen:
            raise BadInput(f"no number's name contains {only!r}; there are {', '.join(n.name for n in found.numbers)}")
        fields = {
            "account": index,
            "numbers": [
                {
                    "name": number.name,
                    "value": None if number.value is None else str(number.value),
                    "unit": number.unit,
                    "formula": number.formula,
                    "inputs": to_wire({name: _digits(value) for name, value in number.inputs.items()}),
                }
                for number in chosen
            ],
        }
        if full or only is not None:
            return Report(fields, [f"account {index}: {_WORD}", *(_explained_text(number) for number in chosen)])
        short = sorted(filter(_is_of_the_pool, chosen), key=_place)
        grid = await market_grid(wallet)
        more = f"{len(chosen) - len(short)} more numbers, and all inputs: --full, or --only NAME"
        return Report(fields, [f"account {index}: {_WORD}", *(_short_text(number, grid) for number in short), more])

    run_action(settings, action, signing=False)


def _digits(value: int | list[int]) -> str | list[str]:
    return [str(item) for item in value] if isinstance(value, list) else str(value)


# What somebody looks for first.
_FIRST: Final = (
    "equity", "margin_ratio", "free_collateral", "withdrawable", "liquidation_price", "fall_to_liquidation",
    "rise_to_liquidation", "initial", "maintenance", "reserved", "leverage", "margin_usage", "collateral", "settled",
)  # fmt: skip


def _is_of_the_pool(number: Explained) -> bool:
    """Whether a number is the whole account's and not nothing, or says where a position ends."""
    name = number.name
    return name.endswith(".liquidation_price") or ("." not in name and (name in _FIRST or number.value != 0))


def _place(number: Explained) -> int:
    name = number.name.rpartition(".")[2]
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _short_text(number: Explained, grid: Grid) -> str:
    from sequencer.wallet.units import money_text, percent_text

    if number.value is None:
        value = "none"
    elif number.unit == "micros":
        value = money_text(number.value)
    elif number.unit == "ppm":
        value = percent_text(number.value)
    elif number.unit == "ticks":
        value = f"${grid.price(number.name.partition('.')[0], number.value)}"
    else:
        value = f"{number.value:,} {number.unit}"
    return f"{number.name} = {value}\n    = {number.formula}"


def _explained_text(number: Explained) -> str:
    value = "none" if number.value is None else f"{number.value:,} {number.unit}"
    inputs = ", ".join(f"{name} = {given}" for name, given in number.inputs.items())
    return f"{number.name} = {value}\n    = {number.formula}" + (f"\n    {inputs}" if inputs else "")


@click.command()
@click.option("--shock", default="-10", show_default=True, help="Percent that prices move, such as -10 or 25.5.")
@click.option("--market", help="Only this market's price moves; all of them by default.")
@account_option
@command
def contribution(settings: Settings, shock: str, market: str | None, account: int | None) -> None:
    """Show what each position adds to or takes from the pool, and what a shock would liquidate first."""
    basis_points = _basis_points(shock)

    async def action(wallet: Wallet) -> Report:
        grid = await market_grid(wallet)
        index = await wallet.own_account(account)
        chosen = None if market is None else grid.listed(market).index
        found = await wallet.node.contribution(index, basis_points, chosen)
        return Report(_contribution_fields(found, grid), _contribution_shown(found, grid))

    run_action(settings, action, signing=False)


def _basis_points(text: str) -> int:
    """Hundredths of a percent; BadInput for what is no percentage with two decimals."""
    sign = -1 if text.strip().startswith("-") else 1
    whole, _, fraction = text.strip().lstrip("+-").removesuffix("%").partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 4) or not (fraction or "0").isascii():
        raise BadInput(f"{text!r} is no percentage such as -10 or 25.5")
    if fraction and not (fraction.isdigit() and len(fraction) <= 2):
        raise BadInput(f"{text!r} is no percentage with at most two decimals")
    value = sign * (int(whole) * 100 + int((fraction or "0").ljust(2, "0")))
    if not -10_000 < value <= 100_000:
        raise BadInput("prices move by more than -100% and by 1000% at most")
    return value


def _contribution_fields(found: Contribution, grid: Grid) -> dict[str, Any]:
    return {
        "account": found.account,
        "equity_micros": str(found.equity_micros),
        "legs": [
            {
                "market": grid.name(leg.market),
                "size": grid.size(leg.market, leg.size_lots),
                "to_equity_micros": str(leg.to_equity_micros),
                "maintenance_micros": str(leg.maintenance_micros),
                "to_free_micros": str(leg.to_free_micros),
                "to_room_micros": str(leg.to_room_micros),
                "share_ppm": leg.share_ppm,
                "margin_ratio_without_ppm": leg.margin_ratio_without_ppm,
            }
            for leg in found.legs
        ],
        "saved_micros": str(found.saved.saved_micros),
        "together_micros": str(found.saved.together_micros),
        "isolated_micros": str(found.saved.isolated_micros),
        "shock_bp": found.shocked.shock_bp,
        "shocked_equity_micros": str(found.shocked.equity_micros),
        "shocked_margin_ratio_ppm": found.shocked.margin_ratio_ppm,
        "deficit_micros": str(found.shocked.deficit_micros),
        "liquidated": [
            {
                "market": grid.name(entry.market),
                "size": grid.size(entry.market, entry.lots),
                "lost_micros": str(entry.lost_micros),
            }
            for entry in found.shocked.liquidated
        ],
    }


def _contribution_shown(found: Contribution, grid: Grid) -> list[Any]:
    from rich.table import Table

    from sequencer.wallet.units import money_text, move_text, percent_text

    table = Table(
        "market", "size", "adds to equity", "needs to stay", "of all needs", "ratio without it",
        title=f"account {found.account}, {_WORD}", title_justify="left",
    )  # fmt: skip
    for leg in found.legs:
        table.add_row(
            grid.name(leg.market),
            grid.size(leg.market, leg.size_lots),
            money_text(leg.to_equity_micros),
            money_text(leg.maintenance_micros),
            percent_text(leg.share_ppm),
            percent_text(leg.margin_ratio_without_ppm),
        )
    saved, shocked = found.saved, found.shocked
    of = "all prices" if shocked.market is None else f"the price of {grid.name(shocked.market)}"
    move = move_text(abs(shocked.shock_bp), -1 if shocked.shock_bp < 0 else 1)
    after = f"equity {money_text(shocked.equity_micros)}, margin ratio {percent_text(shocked.margin_ratio_ppm)}"
    spared = f": {money_text(saved.saved_micros)} saved" if saved.saved_micros > 0 else ", nothing is saved now"
    lines = [
        f"one pool needs {money_text(saved.together_micros)}, isolated positions {money_text(saved.isolated_micros)}"
        + spared,
        f"{of} {move}: {after}",
    ]
    if not shocked.liquidated:
        lines.append("  nothing would be liquidated")
    for place, entry in enumerate(shocked.liquidated, 1):
        lost = f"after losing {money_text(entry.lost_micros)}" if entry.lost_micros > 0 else "which had lost nothing"
        lines.append(f"  {place}. at least {grid.size(entry.market, entry.lots)} {grid.name(entry.market)}, {lost}")
    if shocked.deficit_micros:
        lines.append(f"  {money_text(shocked.deficit_micros)} would be missing")
    return [*([table] if found.legs else []), *lines]


@click.command("post-mortem")
@click.option("--limit", type=click.IntRange(1, 200), default=5, show_default=True, help="How many, the newest first.")
@account_option
@command
def post_mortem(settings: Settings, limit: int, account: int | None) -> None:
    """Show what decided each liquidation or other rescue in which an account had a part, and what was paid."""

    async def action(wallet: Wallet) -> Report:
        grid = await market_grid(wallet)
        index = await wallet.own_account(account)
        found = await wallet.node.post_mortems(index, limit)
        shown = [line for one in found for line in post_mortem_text(one, grid)]
        fields = {"account": index, "rescues": [_post_mortem_fields(one, grid) for one in found]}
        return Report(fields, [_WORD, *shown] if found else [f"no rescue of account {index} is known"])

    run_action(settings, action, signing=False)


# Where it stands in a chunk, and what the wallet says in its own words.
_UNTOLD: Final = ("chunk", "operation", "formulas", "finality")


def _post_mortem_fields(found: PostMortemView, grid: Grid) -> dict[str, Any]:
    plain: dict[str, Any] = {
        name: str(value) if name.endswith("_micros") and value is not None else value
        for name, value in msgspec.to_builtins(found).items()
        if name not in _UNTOLD
    }
    price = grid.price(found.market, found.price_ticks)
    return {**plain, "market": grid.name(found.market), "size": grid.size(found.market, found.lots), "price": price}


def post_mortem_text(found: PostMortemView, grid: Grid) -> list[str]:
    """One rescue in the order in which it was decided: prices, the account as judged, the price paid, what was left."""
    from sequencer.wallet.units import money_text, time_text

    def price(ticks: int) -> str:
        return f"${grid.price(found.market, ticks)}"

    def standing(equity: int, maintenance: int, initial: int) -> str:
        return f"equity {money_text(equity)}, maintenance {money_text(maintenance)}, initial {money_text(initial)}"

    before = standing(found.equity_before_micros, found.maintenance_before_micros, found.initial_before_micros)
    after = standing(found.equity_after_micros, found.maintenance_after_micros, found.initial_after_micros)
    size = f"{grid.size(found.market, found.lots)} {grid.name(found.market)}"
    paid = f"{price(found.price_ticks)}, {money_text(found.quote_micros)} in all"
    if found.zero_price_ticks is not None:
        # An order's price is whole ticks; any other price is cut to them, as the zero price is.
        rounded = "rounded" if found.price_ticks * found.lots == found.quote_micros else "both rounded"
        paid += f"; zero price {price(found.zero_price_ticks)}, {rounded} for the account"
    signers = ", ".join(str(signer) for signer in found.signers)
    at = "the judged prices" if found.counted_at == "judged_prices" else "the last tick's prices"
    lines = [
        f"{found.number}. {found.kind.replace('_', ' ')} of {size} of account {found.account}, "
        f"{time_text(found.tick_time_ms)}",
        f"   judged at {price(found.judged_price_ticks)}: oracle {price(found.oracle_price_ticks)}, the tick before "
        f"{price(found.previous_price_ticks)}; signed by oracle signers {signers}",
    ]
    judged = (found.judged_equity_micros, found.judged_maintenance_micros)
    if judged != (found.equity_before_micros, found.maintenance_before_micros):
        lines.append(f"   judged: equity {money_text(judged[0])}, maintenance {money_text(judged[1])}")
    lines += [
        f"   before: {before}, at {at}",
        f"   account {found.counterparty} took it at {paid}",
        f"   after:  {after}",
    ]
    if found.one_lot_less_equity_micros is not None and found.one_lot_less_initial_micros is not None:
        equity, initial = found.one_lot_less_equity_micros, found.one_lot_less_initial_micros
        less = f"equity {money_text(equity)}, initial {money_text(initial)}"
        lines.append(f"   with one lot less, after its fee: {less}")
    if found.fee_micros:
        lines.append(f"   fee {money_text(found.fee_micros)}, to the insurance account")
    if found.paid_by_fund_micros:
        lines.append(f"   the insurance account gave {money_text(found.paid_by_fund_micros)} beyond the oracle price")
    return lines
