"""What an account is worth and may do: the functions that decide, asked without deciding.

No formula of the margin law stands here: equity and requirements are those of `prover.standing.met_by_order`, what open
orders reserve is the engine's `reservation`, prices at which something happens are searched for, by asking it at other
prices. Every answer is after all funding that is due. Fractions are ppm, rounded against the account.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from prover.standing import Standing, met_by_order
from prover.state.trial import NO_ORDER, one_side, taker_fee
from prover.stf import codes, constants, containers, encoding, margin
from sequencer.engine.reservation import Cover, Open, cover, most_lots_beside
from sequencer.schema.accounts import AgentView, BuyingPower, Maturing, Outlook, PositionView
from sequencer.schema.params import HIGHEST_SHOCK_BP, LOWEST_SHOCK_BP
from sequencer.schema.values import as_hex
from sequencer.views.markets import names

# Field of 6 bytes (PROTOCOL.md, table of bounds).
HIGHEST_PRICE: Final = 2**48 - 1
BASIS_POINTS: Final = 10_000


def ratio_ppm(part: int, whole: int) -> int | None:
    """part / whole in ppm, rounded up; 0 of nothing is 0, and of a debt, or of nothing something, there is no ratio."""
    if part == 0 == whole:
        return 0
    return margin.ceil_div(part * constants.PPM, whole) if whole > 0 else None


def positions_of(account: containers.Account) -> list[tuple[int, containers.Position]]:
    """Market and position, by market."""
    held = [(market, encoding.unpack(packed)) for market, packed in enumerate(account.positions)]
    return [(market, position) for market, position in held if position.size != 0]


def only(account: containers.Account, market: int) -> containers.Account:
    """The account with the position of one market and no collateral: what the others do not touch."""
    positions = [packed if index == market else containers.EMPTY for index, packed in enumerate(account.positions)]
    return msgspec.structs.replace(account, settled=0, older=0, fresh=0, positions=positions)


def view(
    risk: containers.Risk,
    account: containers.Account,
    now_ms: int,
    called: Sequence[str],
    index: int,
    posting_fee: int,
    open: Open,
) -> Outlook:
    """An account at the oracle prices, its profit matured up to `now_ms`; without buying power, ranks and margin call.

    called: the markets by name; posting_fee: micro-dollars that taking money out costs; open: its open orders.
    """
    settled, _ = margin.settle(risk, account, now_ms)
    now = met_by_order(risk, settled)
    needed = cover(risk, settled, open)
    # The fee eats the youngest money first.
    free = min(margin.collateral(settled), margin.spendable(risk, settled, constants.WITHDRAWAL_FLOOR_PPM))
    # What is over counts as money already.
    still = dict(positions_of(settled))
    positions = [
        _position_view(risk, settled, market, held, called[market])
        for market, held in positions_of(account)
        if market in still
    ]
    return Outlook(
        account=index,
        owner=as_hex(account.owner),
        floor=account.floor,
        collateral_micros=margin.collateral(settled),
        settled_micros=settled.settled,
        maturing=_maturing(risk.debts, settled),
        initial_ppm=settled.initial_ppm,
        agents=[_agent(packed) for packed in settled.agents],
        equity_micros=now.equity,
        initial_micros=now.initial,
        maintenance_micros=now.maintenance,
        notional_micros=now.notional,
        reserved_micros=needed.required - now.initial,
        free_collateral_micros=max(0, needed.free),
        withdrawable_micros=max(0, min(settled.settled, free - posting_fee)),
        margin_usage_ppm=ratio_ppm(now.initial, now.equity),
        margin_ratio_ppm=ratio_ppm(now.maintenance, now.equity),
        leverage_ppm=ratio_ppm(now.notional, now.equity),
        fall_bp=uniform_shock(risk, settled, -1, -LOWEST_SHOCK_BP),
        rise_bp=uniform_shock(risk, settled, 1, HIGHEST_SHOCK_BP),
        positions=positions,
        buying_power=[],
        margin_call_percent=0,
        finality="sequenced",
    )


def _position_view(
    risk: containers.Risk, settled: containers.Account, market: int, held: containers.Position, name: str
) -> PositionView:
    """A position with the funding that it owes, in an account that has paid it."""
    leg = met_by_order(risk, only(settled, market))
    owed = held.size * (risk.funding_index[market] - held.funding)
    return PositionView(
        market=name,
        size_lots=held.size,
        cost_micros=held.cost,
        price_ticks=risk.price[market],
        value_micros=held.size * risk.price[market],
        notional_micros=leg.notional,
        pending_funding_micros=margin.ceil_div(owed, constants.FUNDING_SCALE),
        unrealised_micros=leg.equity,
        initial_micros=leg.initial,
        maintenance_micros=leg.maintenance,
        liquidation_price_ticks=liquidation_price(risk, settled, market),
        deleveraging_rank=None,
    )


def standing_of(seen: Outlook) -> Standing:
    """What the margin call of an account as it is seen is judged by."""
    return Standing(seen.equity_micros, seen.initial_micros, seen.maintenance_micros, seen.notional_micros)


def _maturing(owing: containers.Debts, settled: containers.Account) -> list[Maturing]:
    """Older money settles when the epoch ends, fresh money one epoch later; by as much later as money is behind."""
    ends = (settled.epoch + 1) * constants.EPOCH + max(-owing.clock, 0)
    steps = ((settled.older, ends), (settled.fresh, ends + constants.EPOCH))
    return [Maturing(amount, at) for amount, at in steps if amount]


def _agent(packed: int) -> AgentView | None:
    if packed == 0:
        return None
    return AgentView(
        as_hex(encoding.agent_address(packed)),
        encoding.bits(packed, 16, 48),
        encoding.bits(packed, 8, 8),
        encoding.bits(packed, 0, 8),
    )


def room_of_price(risk: containers.Risk, settled: containers.Account, market: int) -> Callable[[int], int]:
    """The room of a settled account as a function of one market's price, all others as they are."""
    others = margin.sums(risk, settled, market)
    spare = margin.collateral(settled) + others.value - others.maintenance
    alone = only(settled, market)
    moved = msgspec.structs.replace(risk, price=risk.price.copy())

    def room(price: int) -> int:
        moved.price[market] = price
        return spare + met_by_order(moved, alone).room

    return room


def room_of_shock(risk: containers.Risk, settled: containers.Account, direction: int) -> Callable[[int], int]:
    """The room of a settled account, in ten-thousandths of a micro-dollar, when all prices move by some basis points.

    Moved prices are not rounded to ticks: everything is scaled instead. direction: 1 up, -1 down.
    """
    scaled = msgspec.structs.replace(
        settled,
        settled=margin.collateral(settled) * BASIS_POINTS,
        older=0,
        fresh=0,
        positions=[
            encoding.pack(held.size, held.cost * BASIS_POINTS, held.funding)
            for held in map(encoding.unpack, settled.positions)
        ],
    )

    def room(shock_bp: int) -> int:
        factor = BASIS_POINTS + direction * shock_bp
        return met_by_order(msgspec.structs.replace(risk, price=[price * factor for price in risk.price]), scaled).room

    return room


def liquidation_price(risk: containers.Risk, settled: containers.Account, market: int) -> int | None:
    """The first tick price, on the way against the position of a settled account, at which it is below maintenance.

    One tick before it the account is not. Where it is below at every price of this market, the price as it stands.
    """
    size = encoding.unpack(settled.positions[market]).size
    assert size != 0, "only a position has a liquidation price"
    room = room_of_price(risk, settled, market)
    # Invariant: maintenance grows by at most one micro-dollar a lot and tick, so room never rises on this way.
    safe, unsafe = (HIGHEST_PRICE, 1) if size > 0 else (1, HIGHEST_PRICE)
    if room(safe) < 0:
        return risk.price[market]
    return _first_below(room, safe, unsafe)


def uniform_shock(risk: containers.Risk, settled: containers.Account, direction: int, most_bp: int) -> int | None:
    """The smallest move of all prices in basis points at which a settled account is below maintenance."""
    count = len(positions_of(settled))
    room = room_of_shock(risk, settled, direction)
    # Room is a straight line of the shock, less under one for each requirement that is rounded up. So where room is
    # `count` or more, nothing before it on the way down is below zero; only from there to the crossing one has to look.
    near = 0
    while (here := room(near)) < count:
        if here < 0:
            return near
        if near == most_bp:
            return None
        near += 1
    found = _first_below(room, near, most_bp)
    at = most_bp if found is None else found
    while (here := room(at)) < count:
        if here < 0:
            found = at
        at -= 1
    return found


def _first_below(room: Callable[[int], int], safe: int, unsafe: int) -> int | None:
    """The first place from `safe` to `unsafe` where room is below zero, None where it is not at `unsafe`.

    Room is not below zero at `safe` and never rises on the way, nearly on a straight line: guessed by it, and halved
    where the guess did not help.
    """
    room_safe, room_unsafe = room(safe), room(unsafe)
    assert room_safe >= 0, "the search starts where there is room"
    if room_unsafe >= 0:
        return None
    way = 1 if unsafe > safe else -1
    guesses = 0
    while abs(unsafe - safe) > 1:
        distance = abs(unsafe - safe)
        step = distance // 2 if guesses % 4 == 3 else distance * room_safe // (room_safe - room_unsafe)
        guesses += 1
        place = safe + way * min(max(step, 1), distance - 1)
        here = room(place)
        if here < 0:
            unsafe, room_unsafe = place, here
        else:
            safe, room_safe = place, here
    return unsafe


class _Beside(msgspec.Struct, frozen=True):
    """An account beside its open orders, settled and added up once for every market and side that is asked about."""

    globals: containers.Globals
    clock: containers.Clock
    account: containers.Account
    open: Open
    settled: containers.Account
    now: Standing
    needed: Cover


def _beside(globals: containers.Globals, clock: containers.Clock, account: containers.Account, open: Open) -> _Beside:
    risk = globals.risk
    settled, _ = margin.settle(risk, account, clock.now)
    return _Beside(globals, clock, account, open, settled, met_by_order(risk, settled), cover(risk, settled, open))


def outlook(
    globals: containers.Globals, clock: containers.Clock, index: int, account: containers.Account, open: Open
) -> Outlook:
    """An account at a clock beside its open orders, with its buying power in every listed market."""
    seen = view(globals.risk, account, clock.now, names(globals), index, globals.posting_fee, open)
    beside = _beside(globals, clock, account, open)
    powers = [_power(beside, market) for market in range(globals.market_count)]
    return msgspec.structs.replace(seen, buying_power=powers)


def buying_power(
    globals: containers.Globals, clock: containers.Clock, account: containers.Account, market: int, open: Open
) -> BuyingPower:
    """How much of a market an account could buy and sell now at the oracle price, fees paid; stale prices aside."""
    return _power(_beside(globals, clock, account, open), market)


def _power(beside: _Beside, market: int) -> BuyingPower:
    return BuyingPower(
        market=names(beside.globals)[market],
        buy_lots=_most_lots(beside, market, 1),
        sell_lots=_most_lots(beside, market, -1),
    )


def code_of_fill(
    globals: containers.Globals,
    clock: containers.Clock,
    account: containers.Account,
    market: int,
    direction: int,
    lots: int,
) -> int:
    """What the law says of a taker's fill at the oracle price; direction: 1 buys, -1 sells."""
    listed, price = globals.markets[market], globals.risk.price[market]
    if not margin.trades(listed, price):
        return codes.NO_MARKET
    fee = taker_fee(listed, lots, price, globals.posting_fee)
    return one_side(globals, clock, account, market, direction * lots, price, fee).code


def covered_lots(
    globals: containers.Globals,
    clock: containers.Clock,
    account: containers.Account,
    market: int,
    direction: int,
    open: Open,
) -> int:
    """The most lots at the oracle price that equity covers beside open orders; direction: 1 buys, -1 sells."""
    return _covered_lots(_beside(globals, clock, account, open), market, direction)


def _covered_lots(beside: _Beside, market: int, direction: int) -> int:
    risk = beside.globals.risk
    if not beside.open or not margin.trades(beside.globals.markets[market], risk.price[market]):
        return constants.SIZE_BOUND
    side = constants.BUY if direction > 0 else constants.SELL
    taker = msgspec.structs.replace(NO_ORDER, market=market, side=side, limit_price=risk.price[market])
    return most_lots_beside(beside.needed, risk, beside.settled, beside.open, taker, is_armed=False)


def _most_lots(beside: _Beside, market: int, direction: int) -> int:
    most = _covered_lots(beside, market, direction)

    def is_taken(lots: int) -> bool:
        asked = beside.globals, beside.clock, beside.account, market, direction, lots
        return lots <= most and code_of_fill(*asked) == codes.OK

    # What closes a position is taken in a healthy account and in one that is only reduced; past it, more lots need
    # more and pay more, so that one bound parts what is taken from what is not.
    held = encoding.unpack(beside.account.positions[market]).size
    closing = min(abs(held), most) if held * direction < 0 else 0
    found = last_taken(is_taken, closing, min(most, _about(beside, market, direction)))
    return found if found != closing or closing == 0 or is_taken(closing) else 0


def _about(beside: _Beside, market: int, direction: int) -> int:
    """About how many lots equity covers: exact but for rounding where more open interest asks for no more margin."""
    globals, settled, now = beside.globals, beside.settled, beside.now
    risk, listed = globals.risk, globals.markets[market]
    price, ppm = risk.price[market], max(risk.initial_ppm[market], settled.initial_ppm)
    held = encoding.unpack(settled.positions[market]).size
    others = now.initial - margin.requirement(price, held, ppm)
    room = (now.equity - others - globals.posting_fee) * constants.PPM
    return (room - direction * held * price * ppm) // max(price * (ppm + listed.taker_fee_ppm), 1)


def last_taken(is_taken: Callable[[int], bool], taken: int, guess: int) -> int:
    """The last number from `taken` on that is taken, where one bound parts those from all behind it.

    Sought from the guess on, in steps that double.
    """
    step, beyond = 1, max(guess, taken) + 1
    if is_taken(beyond):
        taken = beyond
        while is_taken(taken + step):
            taken += step
            step *= 2
        beyond = taken + step
    else:
        while beyond - step > taken and not is_taken(beyond - step):
            beyond -= step
            step *= 2
        taken = max(taken, beyond - step)
    while beyond - taken > 1:
        middle = (taken + beyond) // 2
        if is_taken(middle):
            taken = middle
        else:
            beyond = middle
    return taken
