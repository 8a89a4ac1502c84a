"""Where each number of an account comes from, what each position adds to or takes from the pool, and what a shock does.

An explanation is for recomputing: a formula in plain arithmetic over named inputs, with `ceil_div`, `max`, `min`, `abs`
and `sum` as in PROTOCOL.md. The values are the law's own; the formulas are text beside them.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from prover.stf import codes, constants, containers, encoding, margin, rescue
from prover.stf.replay import one_side
from sequencer.account_view import (
    BASIS_POINTS,
    DEEPEST_FALL_BP,
    HIGHEST_RISE_BP,
    AccountView,
    PositionView,
    only,
    positions_of,
    ratio_ppm,
    room_of_price,
    room_of_shock,
    standing,
    view,
)

# A formula that begins so is a search; the two values that prove its result stand behind it.
SEARCH: Final = "the first "


class Explained(msgspec.Struct, frozen=True):
    """One number: value = formula over inputs. unit: micros, lots, ticks, ppm, bp or what else is said."""

    name: str
    value: int | None
    unit: str
    formula: str
    inputs: dict[str, int | list[int]]


class Leg(msgspec.Struct, frozen=True):
    """What one position does to the pool; micro-dollars.

    to_equity: what it adds (takes, if negative) now. to_free = to_equity - initial, to_room = to_equity - maintenance:
    what free collateral and the room above maintenance would lose without it. share_ppm: of the account's maintenance
    requirement. margin_ratio_without_ppm: the account's, were the position closed at the oracle price without a fee.
    """

    market: int
    size_lots: int
    to_equity_micros: int
    initial_micros: int
    maintenance_micros: int
    to_free_micros: int
    to_room_micros: int
    share_ppm: int | None
    margin_ratio_without_ppm: int | None


class Reduced(msgspec.Struct, frozen=True):
    """A position that would be reduced by this many lots at least, and what it had lost by the shock."""

    market: int
    lots: int
    lost_micros: int


class Shocked(msgspec.Struct, frozen=True):
    """An account after prices moved by shock_bp, all of them or one market's; moved prices are rounded down to ticks.

    liquidated: in order, empty where the account stays at or above maintenance. The position with the largest
    requirement goes first, no more of it than brings the account back to its initial requirement, closed at the moved
    oracle price without a fee: worse prices close more. deficit_micros: what is missing once all is closed.
    """

    shock_bp: int
    market: int | None
    equity_micros: int
    initial_micros: int
    maintenance_micros: int
    margin_ratio_ppm: int | None
    liquidated: list[Reduced]
    deficit_micros: int


class Saved(msgspec.Struct, frozen=True):
    """Collateral that the positions need to be at their initial requirement: together, and each in an own account."""

    together_micros: int
    isolated_micros: int
    saved_micros: int


class Contribution(msgspec.Struct, frozen=True):
    """Positions by what they take from the pool, the largest requirement first."""

    equity_micros: int
    legs: list[Leg]
    saved: Saved
    shocked: Shocked


def contribution(
    globals: containers.Globals,
    clock: containers.Clock,
    account: containers.Account,
    shock_bp: int,
    shocked_market: int | None,
) -> Contribution:
    """What each position adds and takes, and what a shock (-9,999 bp or more) of all or of one market's prices does."""
    risk = globals.risk
    settled, _ = margin.settle(risk, account, clock.now)
    now = standing(risk, settled)
    legs: list[Leg] = []
    for market, held in positions_of(settled):
        leg = standing(risk, only(settled, market))
        legs.append(
            Leg(
                market=market,
                size_lots=held.size,
                to_equity_micros=leg.equity,
                initial_micros=leg.initial,
                maintenance_micros=leg.maintenance,
                to_free_micros=leg.equity - leg.initial,
                to_room_micros=leg.room,
                share_ppm=ratio_ppm(leg.maintenance, now.maintenance),
                margin_ratio_without_ppm=ratio_ppm(now.maintenance - leg.maintenance, now.equity),
            )
        )
    legs.sort(key=lambda leg: (-leg.maintenance_micros, leg.market))
    return Contribution(
        now.equity, legs, saved(risk, settled), shocked(globals, clock, settled, shock_bp, shocked_market)
    )


def saved(risk: containers.Risk, settled: containers.Account) -> Saved:
    """What sharing one pool saves: there, the gains of one position stand for the losses and requirements of others."""
    legs = [standing(risk, only(settled, market)) for market, _ in positions_of(settled)]
    together = max(0, sum(leg.initial for leg in legs) - sum(leg.equity for leg in legs))
    isolated = sum(max(0, leg.initial - leg.equity) for leg in legs)
    return Saved(together, isolated, isolated - together)


def shocked(
    globals: containers.Globals,
    clock: containers.Clock,
    settled: containers.Account,
    shock_bp: int,
    market: int | None,
) -> Shocked:
    """A settled account after a shock, and what would be liquidated in which order."""
    risk = globals.risk
    moved = msgspec.structs.replace(
        risk,
        price=[
            max(1, price * (BASIS_POINTS + shock_bp) // BASIS_POINTS) if price and market in (None, index) else price
            for index, price in enumerate(risk.price)
        ],
    )
    after = standing(moved, settled)
    there = msgspec.structs.replace(globals, risk=moved)
    liquidated = _liquidated(globals, there, clock, settled) if after.room < 0 else []
    return Shocked(
        shock_bp=shock_bp,
        market=market,
        equity_micros=after.equity,
        initial_micros=after.initial,
        maintenance_micros=after.maintenance,
        margin_ratio_ppm=ratio_ppm(after.maintenance, after.equity),
        liquidated=liquidated,
        deficit_micros=max(0, -after.equity),
    )


def _liquidated(
    here: containers.Globals, there: containers.Globals, clock: containers.Clock, settled: containers.Account
) -> list[Reduced]:
    risk, moved = here.risk, there.risk
    found: list[Reduced] = []
    # The law judges it without the owner's own bound, which must not make a liquidation any larger.
    left = rescue.unbounded(settled)
    largest_first = sorted(
        positions_of(settled), key=lambda entry: (-standing(moved, only(settled, entry[0])).maintenance, entry[0])
    )
    for market, held in largest_first:
        if standing(moved, left).equity >= standing(moved, left).initial:
            break
        lots = _fewest_lots(there, clock, left, market, held.size)
        lost = held.size * (risk.price[market] - moved.price[market])
        found.append(Reduced(market, lots, lost))
        left = _closed(there, clock, left, market, held.size, lots)
    return found


def _closed(
    globals: containers.Globals,
    clock: containers.Clock,
    account: containers.Account,
    market: int,
    size: int,
    lots: int,
) -> containers.Account:
    """The account with so many lots closed at the oracle price; as it is where the law does not take that."""
    change = -lots if size > 0 else lots
    traded = one_side(globals, clock, account, market, change, globals.risk.price[market], 0)
    return traded.account if traded.code == codes.OK else account


def _fewest_lots(
    globals: containers.Globals, clock: containers.Clock, account: containers.Account, market: int, size: int
) -> int:
    """The fewest lots whose closing brings the account to its initial requirement; all where none do."""

    def is_enough(lots: int) -> bool:
        after = standing(globals.risk, _closed(globals, clock, account, market, size, lots))
        return after.equity >= after.initial

    low, high = 0, abs(size)
    while high - low > 1:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return high


class _Sheet:
    """Numbers in the order in which they can be recomputed."""

    def __init__(self) -> None:
        self.found: list[Explained] = []

    def add(self, name: str, value: int | None, unit: str, formula: str, **inputs: int | list[int]) -> None:
        self.found.append(Explained(name, value, unit, formula, inputs))


def explain(
    risk: containers.Risk, account: containers.Account, now_ms: int, name_of: Callable[[int], str]
) -> list[Explained]:
    """Every number of the account's view, each over the state or over numbers that stand before it."""
    seen = view(risk, account, now_ms)
    matured = margin.matured(account, now_ms)
    settled, _ = margin.settle(risk, account, now_ms)
    sheet = _Sheet()
    owed = [_explain_position(sheet, name_of(position.market), position, risk, account) for position in seen.positions]
    shown = {position.market for position in seen.positions}
    over = [market for market, _ in positions_of(account) if market not in shown]
    owed += [_explain_owed(sheet, name_of(market), market, risk, account) for market in over]
    folded = [_explain_folded(sheet, name_of(market), market, risk, account) for market in over]
    payment = margin.ceil_div(sum(owed), constants.FUNDING_SCALE)
    sheet.add("funding_payment", payment, "micros", f"ceil_div(sum(owed), {constants.FUNDING_SCALE})", owed=owed)
    sheet.add("folded", sum(folded), "micros", "sum(settled_values)", settled_values=folded)
    _explain_pool(sheet, seen, matured, payment, sum(folded))
    for position in seen.positions:
        _explain_liquidation(sheet, name_of(position.market), position, risk, settled)
    for name, found, direction in (("fall", seen.fall_bp, -1), ("rise", seen.rise_bp, 1)):
        _explain_shock(sheet, name, found, direction, seen, risk, settled)
    return sheet.found


def _explain_position(
    sheet: _Sheet, name: str, position: PositionView, risk: containers.Risk, account: containers.Account
) -> int:
    """Adds what one position is worth and needs; gives the funding that it owes."""
    held = encoding.unpack(account.positions[position.market])
    owed = _explain_owed(sheet, name, position.market, risk, account)
    at = {"size": held.size, "price": position.price_ticks}
    sheet.add(f"{name}.value", position.value_micros, "micros", "size * price", **at)
    sheet.add(f"{name}.unrealised", position.unrealised_micros, "micros", "size * price - cost", **at, cost=held.cost)
    sheet.add(f"{name}.notional", position.notional_micros, "micros", "abs(size) * price", **at)
    for level, value, ppm in (
        ("initial", position.initial_micros, max(risk.initial_ppm[position.market], account.initial_ppm)),
        ("maintenance", position.maintenance_micros, risk.maintenance_ppm[position.market]),
    ):
        formula = f"ceil_div(abs(size) * price * {level}_ppm, {constants.PPM})"
        sheet.add(f"{name}.{level}", value, "micros", formula, **at, **{f"{level}_ppm": ppm})
    return owed


def _explain_owed(sheet: _Sheet, name: str, market: int, risk: containers.Risk, account: containers.Account) -> int:
    """Adds the funding that one position owes."""
    held = encoding.unpack(account.positions[market])
    index = risk.funding_index[market]
    owed = held.size * (index - held.funding)
    formula = "size * (funding_index - settled_index)"
    indices = {"funding_index": index, "settled_index": held.funding}
    sheet.add(f"{name}.funding_owed", owed, "10^-9 micros", formula, size=held.size, **indices)
    return owed


def _explain_folded(sheet: _Sheet, name: str, market: int, risk: containers.Risk, account: containers.Account) -> int:
    """Adds what a position in a market that is over has become: money at the account's next touch."""
    held = encoding.unpack(account.positions[market])
    price = risk.price[market]
    worth = held.size * price - held.cost
    at = {"size": held.size, "price": price, "cost": held.cost}
    sheet.add(f"{name}.settled_value", worth, "micros", "size * price - cost", **at)
    return worth


def _explain_pool(sheet: _Sheet, seen: AccountView, matured: containers.Account, payment: int, folded: int) -> None:
    """Adds the account's own numbers; `matured` is the account before funding and before it is folded."""
    before = margin.collateral(matured)
    legs = seen.positions
    collateral, equity, initial = seen.collateral_micros, seen.equity_micros, seen.initial_micros
    formula = "collateral_before + folded - funding_payment"
    change = {"folded": folded, "funding_payment": payment}
    sheet.add("collateral", collateral, "micros", formula, collateral_before=before, **change)
    money = {"settled": matured.settled, "older": matured.older, "fresh": matured.fresh}
    # Profit is fresh; a loss eats fresh, older and settled money in turn.
    formula = "settled + min(0, older + min(0, fresh + folded - funding_payment))"
    sheet.add("settled", seen.settled_micros, "micros", formula, **money, **change)
    unrealised = [leg.unrealised_micros for leg in legs]
    formula = "collateral + sum(unrealised)"
    sheet.add("equity", equity, "micros", formula, collateral=collateral, unrealised=unrealised)
    for name, value, parts in (
        ("initial", initial, [leg.initial_micros for leg in legs]),
        ("maintenance", seen.maintenance_micros, [leg.maintenance_micros for leg in legs]),
        ("notional", seen.notional_micros, [leg.notional_micros for leg in legs]),
    ):
        sheet.add(name, value, "micros", "sum(positions)", positions=parts)
    formula = "max(0, equity - initial)"
    sheet.add("free_collateral", seen.free_collateral_micros, "micros", formula, equity=equity, initial=initial)
    tenth = f"ceil_div(notional * {constants.WITHDRAWAL_FLOOR_PPM}, {constants.PPM})"
    sheet.add(
        "withdrawable",
        seen.withdrawable_micros,
        "micros",
        f"max(0, min(settled, equity - max(initial, {tenth})))",
        settled=seen.settled_micros,
        equity=equity,
        initial=initial,
        notional=seen.notional_micros,
    )
    for name, ratio, part, of in (
        ("margin_usage", seen.margin_usage_ppm, "initial", initial),
        ("margin_ratio", seen.margin_ratio_ppm, "maintenance", seen.maintenance_micros),
        ("leverage", seen.leverage_ppm, "notional", seen.notional_micros),
    ):
        formula = f"0 if {part} == 0 == equity else None if equity <= 0 else ceil_div({part} * {constants.PPM}, equity)"
        sheet.add(name, ratio, "ppm", formula, equity=equity, **{part: of})


def _explain_liquidation(
    sheet: _Sheet, name: str, position: PositionView, risk: containers.Risk, settled: containers.Account
) -> None:
    price, market = position.liquidation_price_ticks, position.market
    held = encoding.unpack(settled.positions[market])
    others = margin.sums(risk, settled, market)
    formula = f"{SEARCH}price against the position with room < 0, this price alone moving; none where there is none"
    sheet.add(f"{name}.liquidation_price", price, "ticks", formula)
    if price is None:
        return
    room = room_of_price(risk, settled, market)
    inputs = {
        "others": margin.collateral(settled) + others.value,
        "others_maintenance": others.maintenance,
        "size": held.size,
        "cost": held.cost,
        "maintenance_ppm": risk.maintenance_ppm[market],
    }
    requirement = f"ceil_div(abs(size) * price * maintenance_ppm, {constants.PPM})"
    formula = f"others + size * price - cost - others_maintenance - {requirement}"
    before = price + (1 if held.size > 0 else -1)
    sheet.add(f"{name}.room_at_liquidation_price", room(price), "micros", formula, price=price, **inputs)
    sheet.add(f"{name}.room_one_tick_before", room(before), "micros", formula, price=before, **inputs)


def _explain_shock(
    sheet: _Sheet,
    name: str,
    found: int | None,
    direction: int,
    seen: AccountView,
    risk: containers.Risk,
    settled: containers.Account,
) -> None:
    most = DEEPEST_FALL_BP if direction < 0 else HIGHEST_RISE_BP
    formula = f"{SEARCH}move of all prices, of {most} bp at most, with room < 0; none where there is none"
    sheet.add(f"{name}_to_liquidation", found, "bp", formula)
    if found is None:
        return
    room = room_of_shock(risk, settled, direction)
    inputs: dict[str, int | list[int]] = {
        "collateral": seen.collateral_micros,
        "values": [leg.value_micros for leg in seen.positions],
        "costs": [leg.cost_micros for leg in seen.positions],
        "notionals": [leg.notional_micros for leg in seen.positions],
        "maintenance_ppms": [risk.maintenance_ppm[leg.market] for leg in seen.positions],
    }
    moved = f"({BASIS_POINTS} {'-' if direction < 0 else '+'} move)"
    requirement = f"sum(ceil_div(n * {moved} * m, {constants.PPM}) for n, m in zip(notionals, maintenance_ppms))"
    formula = f"(collateral - sum(costs)) * {BASIS_POINTS} + sum(values) * {moved} - {requirement}"
    for label, move in (("room_after", found), ("room_one_bp_before", found - 1)):
        if move >= 0:
            sheet.add(f"{name}.{label}", room(move), "10^-4 micros", formula, move=move, **inputs)
