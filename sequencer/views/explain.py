"""Where each number of an account comes from.

An explanation is for recomputing: a formula in plain arithmetic over named inputs, with `ceil_div`, `max`, `min`, `abs`
and `sum` as in PROTOCOL.md and `//` rounding down. The values are the law's own; the formulas are text beside them.
"""

from collections.abc import Callable, Mapping
from typing import Final

from prover.state.trial import taker_fee
from prover.stf import codes, constants, containers, debts, encoding, margin
from sequencer.engine.ranking import Place, score
from sequencer.engine.reservation import NOTHING, Open, Sums, if_filled, of_market
from sequencer.schema.accounts import BuyingPower, Explained, MarginCall, Outlook, PositionView
from sequencer.schema.params import HIGHEST_SHOCK_BP, LOWEST_SHOCK_BP
from sequencer.views.account import (
    BASIS_POINTS,
    code_of_fill,
    covered_lots,
    outlook,
    positions_of,
    room_of_price,
    room_of_shock,
)
from sequencer.views.margin_calls import EASING, LEVELS
from sequencer.views.markets import names

# A formula that begins so is a search; the values that prove its result stand behind it.
SEARCH: Final = ("the first ", "the largest ")


class _Sheet:
    """Numbers in the order in which they can be recomputed."""

    def __init__(self) -> None:
        self.found: list[Explained] = []

    def add(self, name: str, value: int | None, unit: str, formula: str, **inputs: int | list[int]) -> None:
        self.found.append(Explained(name, value, unit, formula, inputs))


def explain(
    globals: containers.Globals,
    clock: containers.Clock,
    index: int,
    account: containers.Account,
    open: Open,
    look: MarginCall | None,
    places_of: Callable[[Outlook], Mapping[str, Place]],
) -> list[Explained]:
    """Every number that is told of an account, each over the state or over numbers that stand before it.

    open: what its open orders reserve margin for; look: the last tick's, which the margin call is from; places_of: the
    deleveraging ranks of an account as it is seen.
    """
    risk = globals.risk
    seen = outlook(globals, clock, index, account, open)
    called = names(globals)
    settled, _ = margin.settle(risk, account, clock.now)
    sheet = _Sheet()
    shown = [(called.index(position.market), position) for position in seen.positions]
    owed = [_explain_position(sheet, market, position, risk, account) for market, position in shown]
    over = [market for market, _ in positions_of(account) if market not in dict(shown)]
    owed += [_explain_owed(sheet, called[market], market, risk, account) for market in over]
    folded = [_explain_folded(sheet, called[market], market, risk, account) for market in over]
    payment = margin.ceil_div(sum(owed), constants.FUNDING_SCALE)
    sheet.add("funding_payment", payment, "micros", f"ceil_div(sum(owed), {constants.FUNDING_SCALE})", owed=owed)
    sheet.add("folded", sum(folded), "micros", "sum(settled_values)", settled_values=folded)
    _explain_money(sheet, seen, account, risk.debts, clock.now, payment, sum(folded))
    reserved = [_explain_reserved(sheet, called[market], market, risk, settled, sums) for market, sums in open.items()]
    sheet.add("reserved", sum(reserved), "micros", "sum(markets)", markets=reserved)
    _explain_pool(sheet, seen, globals.posting_fee)
    _explain_call(sheet, look)
    places = places_of(seen)
    for market, position in shown:
        _explain_liquidation(sheet, market, position, risk, settled)
        _explain_place(sheet, position, seen, places.get(position.market))
    held_markets = [market for market, _ in shown]
    for direction in (-1, 1):
        _explain_shock(sheet, direction, seen, held_markets, risk, settled)
    for power in seen.buying_power:
        _explain_power(sheet, power, seen, globals, clock, account, open)
    return sheet.found


def _explain_position(
    sheet: _Sheet, market: int, position: PositionView, risk: containers.Risk, account: containers.Account
) -> int:
    """Adds what one position is worth and needs; gives the funding that it owes."""
    name = position.market
    held = encoding.unpack(account.positions[market])
    owed = _explain_owed(sheet, name, market, risk, account)
    formula = f"ceil_div(owed, {constants.FUNDING_SCALE})"
    sheet.add(f"{name}.pending_funding", position.pending_funding_micros, "micros", formula, owed=owed)
    at = {"size": held.size, "price": position.price_ticks}
    sheet.add(f"{name}.value", position.value_micros, "micros", "size * price", **at)
    sheet.add(f"{name}.unrealised", position.unrealised_micros, "micros", "size * price - cost", **at, cost=held.cost)
    sheet.add(f"{name}.notional", position.notional_micros, "micros", "abs(size) * price", **at)
    fractions = {"initial_ppm": risk.initial_ppm[market], "own_initial_ppm": account.initial_ppm}
    formula = f"ceil_div(abs(size) * price * max(initial_ppm, own_initial_ppm), {constants.PPM})"
    sheet.add(f"{name}.initial", position.initial_micros, "micros", formula, **at, **fractions)
    ppm = risk.maintenance_ppm[market]
    formula = f"ceil_div(abs(size) * price * maintenance_ppm, {constants.PPM})"
    sheet.add(f"{name}.maintenance", position.maintenance_micros, "micros", formula, **at, maintenance_ppm=ppm)
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


def _explain_reserved(
    sheet: _Sheet, name: str, market: int, risk: containers.Risk, settled: containers.Account, sums: Sums
) -> int:
    """Adds what the open orders of a market need above the position; gives it."""
    held, price = encoding.unpack(settled.positions[market]).size, risk.price[market]
    initial = of_market(risk, settled, market, held, NOTHING)
    fractions = {"initial_ppm": risk.initial_ppm[market], "own_initial_ppm": settled.initial_ppm}
    after = "abs(size + lots) * price * max(initial_ppm, own_initial_ppm)"
    formula = (
        f"ceil_div({after}, {constants.PPM}) + worse if abs(size + lots) > abs(size) or (size + lots) * size < 0 else 0"
    )
    found: dict[str, int] = {}
    for label, lots, worse in (
        ("if_bought", sums.buy_lots, sums.buy_worse),
        ("if_sold", -sums.sell_lots, sums.sell_worse),
    ):
        found[label] = if_filled(risk, settled, market, held, lots, worse)
        inputs = {"size": held, "lots": lots, "price": price, "worse": worse}
        sheet.add(f"{name}.{label}", found[label], "micros", formula, **inputs, **fractions)
    reserved = of_market(risk, settled, market, held, sums) - initial
    formula = "max(0, if_bought - initial, if_sold - initial)"
    sheet.add(f"{name}.reserved", reserved, "micros", formula, **found, initial=initial)
    return reserved


def _explain_money(
    sheet: _Sheet,
    seen: Outlook,
    account: containers.Account,
    owing: containers.Debts,
    now_ms: int,
    payment: int,
    folded: int,
) -> None:
    """Adds what is settled and what matures: first the state's three parts as time has moved them on."""
    epoch = f"now // {constants.EPOCH}"
    # While a debt is owed, or the queue alone is served, nothing matures: time stands still and goes on from there.
    behind_ms = max(-owing.clock, 0)
    matured = margin.matured(owing, account, now_ms)
    now_ms = owing.clock if owing.clock > 0 else now_ms - behind_ms
    _, older, fresh = debts.aged(owing, account, account.epoch)
    unsettled = {"older_before": account.older, "older": older, "fresh_before": account.fresh, "fresh": fresh}
    paid = account.older + account.fresh - older - fresh
    sheet.add("paid_for_debts", paid, "micros", "older_before - older + fresh_before - fresh", **unsettled)
    given = {"settled": account.settled, "older": older, "fresh": fresh, "epoch": account.epoch}
    for name, value, formula in (
        (
            "settled",
            matured.settled,
            f"settled + (older if {epoch} > epoch else 0) + (fresh if {epoch} > epoch + 1 else 0)",
        ),
        ("older", matured.older, f"older if {epoch} == epoch else fresh if {epoch} == epoch + 1 else 0"),
        ("fresh", matured.fresh, f"fresh if {epoch} == epoch else 0"),
    ):
        sheet.add(f"matured.{name}", value, "micros", formula, **given, now=now_ms)
    money = {"settled": matured.settled, "older": matured.older, "fresh": matured.fresh}
    change = {"folded": folded, "funding_payment": payment}
    formula = "settled + older + fresh + folded - funding_payment"
    sheet.add("collateral", seen.collateral_micros, "micros", formula, **money, **change)
    # Profit is fresh; a loss eats fresh, older and settled money in turn; what the account owes itself is paid first.
    change_of = folded - payment
    left = {
        "settled": matured.settled + min(0, matured.older + min(0, matured.fresh + change_of)),
        "older": max(0, matured.older + min(0, matured.fresh + change_of)),
        "fresh": max(0, matured.fresh + change_of),
    }
    for name, formula in (
        ("settled", "settled + min(0, older + min(0, fresh + folded - funding_payment))"),
        ("older", "max(0, older + min(0, fresh + folded - funding_payment))"),
        ("fresh", "max(0, fresh + folded - funding_payment)"),
    ):
        sheet.add(f"changed.{name}", left[name], "micros", formula, **money, **change)
    formula = "settled + min(max(0, -settled), older + fresh)"
    sheet.add("settled", seen.settled_micros, "micros", formula, **left)
    steps = {
        (now_ms // constants.EPOCH + 1) * constants.EPOCH: "older - min(older, max(0, -settled - fresh))",
        (now_ms // constants.EPOCH + 2) * constants.EPOCH: "fresh - min(fresh, max(0, -settled))",
    }
    for place, step in enumerate(seen.maturing):
        formula = steps[step.settles_at_ms - behind_ms]
        sheet.add(f"maturing.{place}.amount", step.amount_micros, "micros", formula, **left)
        ends = (step.settles_at_ms - behind_ms) // constants.EPOCH - now_ms // constants.EPOCH
        formula = f"({epoch} + {ends}) * {constants.EPOCH} + behind"
        sheet.add(f"maturing.{place}.settles_at", step.settles_at_ms, "ms", formula, now=now_ms, behind=behind_ms)


def _explain_pool(sheet: _Sheet, seen: Outlook, posting_fee: int) -> None:
    """Adds what all positions come to together."""
    legs = seen.positions
    collateral, equity, initial = seen.collateral_micros, seen.equity_micros, seen.initial_micros
    unrealised = [leg.unrealised_micros for leg in legs]
    formula = "collateral + sum(unrealised)"
    sheet.add("equity", equity, "micros", formula, collateral=collateral, unrealised=unrealised)
    for name, value, parts in (
        ("initial", initial, [leg.initial_micros for leg in legs]),
        ("maintenance", seen.maintenance_micros, [leg.maintenance_micros for leg in legs]),
        ("notional", seen.notional_micros, [leg.notional_micros for leg in legs]),
    ):
        sheet.add(name, value, "micros", "sum(positions)", positions=parts)
    formula = "max(0, equity - initial - reserved)"
    needed = {"initial": initial, "reserved": seen.reserved_micros}
    sheet.add("free_collateral", seen.free_collateral_micros, "micros", formula, equity=equity, **needed)
    tenth = f"ceil_div(notional * {constants.WITHDRAWAL_FLOOR_PPM}, {constants.PPM})"
    sheet.add(
        "withdrawable",
        seen.withdrawable_micros,
        "micros",
        f"max(0, min(settled, collateral - posting_fee, equity - max(initial, {tenth}) - posting_fee))",
        settled=seen.settled_micros,
        collateral=collateral,
        posting_fee=posting_fee,
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
    sheet: _Sheet, market: int, position: PositionView, risk: containers.Risk, settled: containers.Account
) -> None:
    name, price = position.market, position.liquidation_price_ticks
    held = encoding.unpack(settled.positions[market])
    others = margin.sums(risk, settled, market)
    formula = (
        "the first price against the position with room < 0, this price alone moving; none where there is none, the "
        "price as it stands where there is no other"
    )
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


def _explain_call(sheet: _Sheet, look: MarginCall | None) -> None:
    """Adds the margin call: of the last tick, which looks only at accounts with positions."""
    if look is None:
        sheet.add("margin_call", 0, "percent", "0")
        return
    assert look.equity_micros is not None, "what was looked at is whole"
    assert look.maintenance_micros is not None, "and all of it"
    # What reaches a level is not below its easing either, so that both halves of the rule are one condition a level.
    reached = f"maintenance * 100 >= equity * (level - {EASING} if level <= previous else level)"
    formula = f"max([0] + [level for level in levels if maintenance > 0 and {reached}])"
    inputs = {"equity": look.equity_micros, "maintenance": look.maintenance_micros, "previous": look.previous_percent}
    sheet.add("margin_call", look.level_percent, "percent", formula, levels=list(LEVELS), **inputs)


def _explain_place(sheet: _Sheet, position: PositionView, seen: Outlook, place: Place | None) -> None:
    """Adds what a position is ranked by for deleveraging, and its place."""
    name = position.market
    inputs = {
        "unrealised": position.unrealised_micros,
        "cost": position.cost_micros,
        "notional": seen.notional_micros,
        "equity": seen.equity_micros,
    }
    own = score(position.unrealised_micros, position.cost_micros, seen.notional_micros, seen.equity_micros)
    formula = f"unrealised * notional * {constants.PPM} // (max(1, abs(cost)) * equity)"
    formula = f"None if unrealised <= 0 or equity <= 0 else {formula}"
    sheet.add(f"{name}.deleveraging_score", int(own * constants.PPM) if own else None, "ppm", formula, **inputs)
    formula = (
        "the first place of its side behind which no score is higher, of equal ones no account lower, all others as of "
        "the last tick; none without a score and for an insurance account"
    )
    sheet.add(f"{name}.deleveraging_rank", None if place is None else place.rank, "place", formula)
    if place is None:
        return
    for label, other in (("ahead", place.ahead), ("behind", place.behind)):
        if other is not None:
            given = {"account": other.account, "score": other.score_ppm}
            sheet.add(f"{name}.score_one_place_{label}", other.score_ppm, "ppm", "score", **given)


def _explain_shock(
    sheet: _Sheet,
    direction: int,
    seen: Outlook,
    held_markets: list[int],
    risk: containers.Risk,
    settled: containers.Account,
) -> None:
    """Adds how far all prices may fall (-1) or rise (1) together, and the room there and one basis point before."""
    name, found, most = (
        ("fall", seen.fall_bp, -LOWEST_SHOCK_BP) if direction < 0 else ("rise", seen.rise_bp, HIGHEST_SHOCK_BP)
    )
    formula = f"the first move of all prices, of {most} bp at most, with room < 0; none where there is none"
    sheet.add(f"{name}_to_liquidation", found, "bp", formula)
    if found is None:
        return
    room = room_of_shock(risk, settled, direction)
    inputs: dict[str, int | list[int]] = {
        "collateral": seen.collateral_micros,
        "values": [leg.value_micros for leg in seen.positions],
        "costs": [leg.cost_micros for leg in seen.positions],
        "notionals": [leg.notional_micros for leg in seen.positions],
        "maintenance_ppms": [risk.maintenance_ppm[market] for market in held_markets],
    }
    moved = f"({BASIS_POINTS} {'-' if direction < 0 else '+'} move)"
    requirement = f"sum(ceil_div(n * {moved} * m, {constants.PPM}) for n, m in zip(notionals, maintenance_ppms))"
    formula = f"(collateral - sum(costs)) * {BASIS_POINTS} + sum(values) * {moved} - {requirement}"
    for label, move in (("room_after", found), ("room_one_bp_before", found - 1)):
        if move >= 0:
            sheet.add(f"{name}.{label}", room(move), "10^-4 micros", formula, move=move, **inputs)


def _explain_power(
    sheet: _Sheet,
    power: BuyingPower,
    seen: Outlook,
    globals: containers.Globals,
    clock: containers.Clock,
    account: containers.Account,
    open: Open,
) -> None:
    """Adds how much could be bought and sold, each proven by what it would leave and by what one lot more would."""
    market = names(globals).index(power.market)
    for label, direction, most in (("could_buy", 1, power.buy_lots), ("could_sell", -1, power.sell_lots)):
        of = f"{power.market}.{label}"
        formula = (
            "the largest fill, at the oracle price and with the taker's fees, that leaves room >= 0, or only reduces "
            "the position and leaves kept >= 0, that no other rule of the law refuses, and that equity covers beside "
            "open orders"
        )
        sheet.add(of, most, "lots", formula, price=globals.risk.price[market])
        if most > 0:
            _explain_fill(sheet, of, "", market, direction * most, seen, globals)
        if open:
            covered = covered_lots(globals, clock, account, market, direction, open)
            formula = "the largest size whose reservation equity covers, or that needs no more than is needed already"
            sheet.add(f"{of}.covered", covered, "lots", formula)
            if covered == most:
                continue
        code = code_of_fill(globals, clock, account, market, direction, most + 1)
        if code == codes.MARGIN:
            _explain_fill(sheet, of, "_one_lot_more", market, direction * (most + 1), seen, globals)
        else:
            formula = f"the first rule of the law that one lot more breaks: {codes.SENTENCE[code][0]}"
            sheet.add(f"{of}.code_one_lot_more", code, "code", formula)


def _explain_fill(
    sheet: _Sheet, name: str, suffix: str, market: int, size: int, seen: Outlook, globals: containers.Globals
) -> None:
    """Adds what a taker's fill of so many signed lots would leave above what it has to leave."""
    risk, listed, ppm = globals.risk, globals.markets[market], constants.PPM
    price, lots = risk.price[market], abs(size)
    leg = next((leg for leg in seen.positions if leg.market == names(globals)[market]), None)
    held, initial, maintenance = (
        (0, 0, 0) if leg is None else (leg.size_lots, leg.initial_micros, leg.maintenance_micros)
    )
    after = held + size
    is_growing = abs(after) > abs(held) or after * held < 0
    leg_ppm = risk.initial_ppm[market]
    if is_growing:
        leg_ppm = _explain_growth(sheet, name, suffix, listed, price, leg_ppm, lots)
    paid = f"ceil_div(lots * price * taker_fee_ppm, {ppm}) + posting_fee"
    equity, fee = seen.equity_micros, taker_fee(listed, lots, price, globals.posting_fee)
    fees = {"taker_fee_ppm": listed.taker_fee_ppm, "posting_fee": globals.posting_fee}
    inputs = {"equity": equity, "lots": lots, "price": price, **fees, "size_after": after}
    others = seen.initial_micros - initial
    formula = f"equity - ({paid}) - others - ceil_div(abs(size_after) * price * max(leg_ppm, own_initial_ppm), {ppm})"
    room = equity - fee - others - margin.requirement(price, after, max(leg_ppm, seen.initial_ppm))
    fractions = {"leg_ppm": leg_ppm, "own_initial_ppm": seen.initial_ppm}
    sheet.add(f"{name}.room{suffix}", room, "micros", formula, **inputs, others=others, **fractions)
    if room < 0 and not is_growing:
        # Whoever only reduces may stay below the initial requirement, as long as equity over maintenance does not fall.
        others, fraction = seen.maintenance_micros - maintenance, risk.maintenance_ppm[market]
        left = f"(others + ceil_div(abs(size_after) * price * maintenance_ppm, {ppm}))"
        formula = f"(equity - ({paid})) * maintenance - equity * {left}"
        needed = others + margin.requirement(price, after, fraction)
        kept = (equity - fee) * seen.maintenance_micros - equity * needed
        before = {"maintenance": seen.maintenance_micros, "others": others, "maintenance_ppm": fraction}
        sheet.add(f"{name}.kept{suffix}", kept, "micros^2", formula, **inputs, **before)


def _explain_growth(
    sheet: _Sheet, name: str, suffix: str, listed: containers.Market, price: int, initial_ppm: int, lots: int
) -> int:
    """Adds the fraction that a leg stands under which grows with this fill; gives it."""
    interest = {"open_interest": listed.open_interest, "lots": lots, "price": price}
    after = (listed.open_interest + lots) * price
    sheet.add(f"{name}.open_notional{suffix}", after, "micros", "(open_interest + lots) * price", **interest)
    bounds = {"interest_lower": listed.interest_lower, "interest_upper": listed.interest_upper}
    lower = f"min(interest_lower, max(fund, 0) * {constants.FUND_MULTIPLE_LOWER})"
    upper = f"min(interest_upper, max(fund, 0) * {constants.FUND_MULTIPLE_UPPER})"
    formula = (
        f"{constants.PPM} if open_notional >= {upper} else initial_ppm + "
        f"ceil_div(({constants.PPM} - initial_ppm) * max(0, open_notional - {lower}), max(1, {upper} - {lower}))"
    )
    found = margin.scaled_ppm(listed, price, listed.open_interest + lots, initial_ppm)
    inputs = {"initial_ppm": initial_ppm, "open_notional": after, "fund": listed.fund, **bounds}
    sheet.add(f"{name}.leg_ppm{suffix}", found, "ppm", formula, **inputs)
    return found
