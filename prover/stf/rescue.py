"""Liquidation through the book, take-over by an insurance account, deleveraging, unwinding, forced close.

Formulas: PROTOCOL.md, rescue. The zero price of an account is the one at which equity over maintenance stays as it is.
"""

from prover.stf import codes, constants, containers, custody, encoding, margin, trading
from prover.stf.words import int256


def judged_at(
    kinder: bool, risk: containers.Risk, previous: list[int256], account: containers.Account
) -> containers.Risk:
    """Of the last two prices the kinder or the worse one for each position; PROTOCOL.md 7.7."""
    # One signed price in sixty must not suffice: of the last two prices each position is judged at its better one
    # where others act on an account, and at its worse one where its owner does.
    price: list[int256] = risk.price.copy()
    for market in range(constants.MARKETS):
        long: bool = encoding.unpack(account.positions[market]).size > 0
        if previous[market] != 0 and (long == (previous[market] > price[market])) == kinder:
            price[market] = previous[market]
    return containers.Risk(
        price=price,
        funding_index=risk.funding_index,
        initial_ppm=risk.initial_ppm,
        maintenance_ppm=risk.maintenance_ppm,
        debts=risk.debts,
    )


def largest(risk: containers.Risk, previous: list[int256], account: containers.Account) -> int256:
    """The market of the largest maintenance requirement, of those that have a price; PROTOCOL.md 7.7."""
    found: int256 = 0
    most: int256 = 0
    for market in range(constants.MARKETS):
        size: int256 = encoding.unpack(account.positions[market]).size
        maintenance: int256 = margin.requirement(risk.price[market], size, risk.maintenance_ppm[market])
        if maintenance > most and previous[market] != 0:
            most = maintenance
            found = market
    return found


def check_largest(
    judged: containers.Risk, previous: list[int256], account: containers.Account, equity: int256, market: int256
) -> int256:
    """Whether this is the position to begin with; PROTOCOL.md 7.7."""
    first: int256 = largest(judged, previous, account)
    # Of two equal ones a lot decides which is the larger, and whoever orders trades one before each entry; and where no
    # order grows and no fund takes, the largest would shield the rest. So what is half as large may be named, and below
    # zero, where all has to go, whatever is held.
    named: int256 = encoding.unpack(account.positions[market]).size
    most: int256 = encoding.unpack(account.positions[first]).size
    required: int256 = margin.requirement(judged.price[market], named, judged.maintenance_ppm[market])
    if equity < 0 or required * 2 >= margin.requirement(judged.price[first], most, judged.maintenance_ppm[first]):
        return codes.OK
    return codes.NOT_LARGEST


def check_rescue(under: containers.Conditions, market: int256) -> int256:
    """Whether the sequencer may rescue in a market now; PROTOCOL.md 7.7."""
    if not margin.trades(under.listed, under.risk.price[market]):
        return codes.NO_MARKET
    if not under.clock.priced:
        return codes.STALE
    if under.clock.grace:
        return codes.GRACE
    # What stands in a market without a price says nothing of it.
    if not under.clock.steady or under.previous[market] == 0:
        return codes.UNSTEADY
    return codes.OK


def check_evidence(under: containers.Conditions, market: int256) -> int256:
    """Whether the last ticks are what a forced rescue may be decided at; PROTOCOL.md 8.16."""
    if under.tick_time + constants.FORCED_PRICE_AGE < under.entered_at or under.previous[market] == 0:
        return codes.STALE
    if not under.clock.steady and under.clock.now <= under.tick_time + constants.FORCED_PRICE_AGE:
        return codes.UNSTEADY
    return codes.OK


def check_forced(under: containers.Conditions, move: containers.Rescue, account: containers.Account) -> int256:
    """Whether anybody may force a rescue of an account now; PROTOCOL.md 8.16."""
    # What can never be done waits for nothing. A grace keeps no forced path waiting, no ticks at all only for a while.
    if not margin.trades(under.listed, under.risk.price[move.market]):
        return codes.NO_MARKET
    if move.lots == 0 or account.positions[move.market] == containers.EMPTY:
        return codes.OVERFILLED
    return check_evidence(under, move.market)


def check_maker(
    price: int256,
    listed: containers.Market,
    maker: containers.Order,
    account: containers.Account,
    slot: containers.Slot,
    lots: int256,
) -> int256:
    """Whether a resting order may take lots of a rescue; PROTOCOL.md 7.7."""
    if maker.time_in_force != constants.GOOD_TILL_TIME:
        return codes.POST_ONLY
    if abs(maker.limit_price - price) * constants.PPM > price * listed.band_ppm:
        return codes.PRICE_BAND
    if listed.maker_fee_ppm > maker.max_fee_ppm:
        return codes.FEE_ABOVE_MAXIMUM
    return trading.check_order_now(maker, account, slot, price, lots)


def made(under: containers.Conditions, maker: containers.Side, lots: int256, fee: int256) -> containers.Traded:
    """The maker's side of a rescue; PROTOCOL.md 8.11."""
    market: int256 = maker.order.market
    growing_ppm: int256 = margin.scaled_ppm(
        under.listed, under.risk.price[market], under.listed.open_interest + lots, under.risk.initial_ppm[market]
    )
    leg: containers.Leg = containers.Leg(
        market=market,
        size=trading.signed_size(maker.order, lots),
        price=maker.order.limit_price,
        fee=fee,
        growing_ppm=growing_ppm,
    )
    return trading.trade(under.risk, under.clock, maker.account, leg)


def maker_slot_after(maker: containers.Order, slot: containers.Slot, lots: int256) -> containers.Slot:
    """The maker's slot after a rescue; PROTOCOL.md 8.11."""
    return containers.Slot(sequence=maker.sequence, filled=trading.filled_before(maker, slot) + lots)


def interest_growth(old_size: int256, size: int256) -> int256:
    """By how many lots one side changes open interest; PROTOCOL.md 7.4."""
    return max(old_size + size, 0) - max(old_size, 0)


def signed_lots(position: containers.Position, lots: int256) -> int256:
    """Lots as a position counts them, negative for a short; PROTOCOL.md 7.7."""
    if position.size > 0:
        return lots
    return -lots


def liquidation_fee(lots: int256, price: int256, maintenance_ppm: int256, improvement: int256) -> int256:
    """What a liquidation pays the insurance account; PROTOCOL.md 7.7."""
    maintenance: int256 = lots * price * maintenance_ppm // constants.PPM
    return max(min(maintenance * constants.LIQUIDATION_FEE_PPM // constants.PPM, improvement), 0)


def liquidated(
    equity: int256,
    maintenance: int256,
    size: int256,
    oracle: int256,
    maintenance_ppm: int256,
    price: int256,
    closed: int256,
) -> tuple[int256, int256, int256]:
    """Gain, maintenance requirement and fee of a liquidation of so many lots; PROTOCOL.md 7.7."""
    gain: int256 = closed * (price - oracle)
    maintenance_after: int256 = (
        maintenance
        - margin.requirement(oracle, size, maintenance_ppm)
        + margin.requirement(oracle, size - closed, maintenance_ppm)
    )
    improvement: int256 = equity + gain - margin.ceil_div(equity * maintenance_after, maintenance)
    return gain, maintenance_after, liquidation_fee(abs(closed), price, maintenance_ppm, improvement)


def check_liquidation(
    judged: containers.Risk,
    previous: list[int256],
    base: containers.Account,
    minimum_notional: int256,
    market: int256,
    price: int256,
    lots: int256,
) -> tuple[int256, int256]:
    """Whether lots may be liquidated at a price, and the fee; PROTOCOL.md 7.7."""
    every: containers.Sums = margin.sums(judged, base, constants.MARKETS)
    equity: int256 = margin.collateral(base) + every.value
    if equity >= every.maintenance:
        return codes.HEALTHY, 0
    if equity < 0:
        return codes.INSOLVENT, 0
    code: int256 = check_largest(judged, previous, base, equity, market)
    if code != codes.OK:
        return code, 0
    position: containers.Position = encoding.unpack(base.positions[market])
    if lots == 0 or lots > abs(position.size):
        return codes.OVERFILLED, 0
    oracle: int256 = judged.price[market]
    maintenance_ppm: int256 = judged.maintenance_ppm[market]
    initial_ppm: int256 = judged.initial_ppm[market]
    gain: int256 = 0
    maintenance_after: int256 = 0
    fee: int256 = 0
    gain, maintenance_after, fee = liquidated(
        equity, every.maintenance, position.size, oracle, maintenance_ppm, price, signed_lots(position, lots)
    )
    # Never worse than the zero price, nor than oracle * (1 -+ 1.5 * mmf * (1 - E / MM)): at the zero price alone the
    # whole account could be sold to a friend without one lot too many.
    if (equity + gain) * every.maintenance < equity * maintenance_after:
        return codes.LIQUIDATION_PRICE, 0
    allowance: int256 = 3 * maintenance_ppm * (every.maintenance - equity)
    if gain * 2 * constants.PPM * every.maintenance + lots * oracle * allowance < 0:
        return codes.LIQUIDATION_PRICE, 0
    # One lot less must leave it below its initial requirement, its fee paid: else the fee takes it back below
    # maintenance. What would be left of it and is no order any more goes with the rest.
    needed: int256 = lots
    if lots == abs(position.size):
        needed = max(lots - max(minimum_notional - 1, 0) // oracle, 1)
    fewer: int256 = signed_lots(position, needed - 1)
    fewer_gain: int256 = 0
    fewer_fee: int256 = 0
    fewer_gain, maintenance_after, fewer_fee = liquidated(
        equity, every.maintenance, position.size, oracle, maintenance_ppm, price, fewer
    )
    initial_before: int256 = (
        every.initial
        - margin.requirement(oracle, position.size, initial_ppm)
        + margin.requirement(oracle, position.size - fewer, initial_ppm)
    )
    if equity + fewer_gain - fewer_fee >= initial_before:
        return codes.TOO_MANY_LOTS, 0
    return codes.OK, fee


def unbounded(account: containers.Account) -> containers.Account:
    """An account without its owner's own bound; PROTOCOL.md 7.7."""
    # The owner's own bound of leverage must not make a liquidation any larger.
    return containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=0,
        agents=account.agents,
        positions=account.positions,
        factor=account.factor,
    )


def liquidate(
    under: containers.Conditions,
    move: containers.Rescue,
    account: containers.Account,
    maker: containers.Side,
    insurance: containers.Account,
) -> containers.Rescued:
    """Whether an account is liquidated against a resting order; PROTOCOL.md 8.11."""
    refused: containers.Rescued = untouched(account, maker.account, insurance, maker.slot)
    market: int256 = maker.order.market
    price: int256 = maker.order.limit_price
    refused.code = check_rescue(under, market)
    if refused.code != codes.OK:
        return refused
    refused.code = check_maker(
        under.risk.price[market], under.listed, maker.order, maker.account, maker.slot, move.lots
    )
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(under.risk, account, under.clock.now)
    fee: int256 = 0
    refused.code, fee = check_liquidation(
        judged_at(True, under.risk, under.previous, settled),
        under.previous,
        unbounded(settled),
        under.listed.minimum_notional,
        market,
        price,
        move.lots,
    )
    if refused.code != codes.OK:
        return refused
    old: containers.Position = encoding.unpack(settled.positions[market])
    if (old.size > 0) != (maker.order.side == constants.BUY):
        refused.code = codes.MISMATCHED
        return refused
    maker_fee: int256 = margin.ceil_div(move.lots * price * under.listed.maker_fee_ppm, constants.PPM)
    taken: containers.Traded = made(under, maker, move.lots, maker_fee)
    if taken.code != codes.OK:
        refused.code = trading.blamed(taken.code, codes.MAKER_MARGIN)
        return refused
    closed: int256 = signed_lots(old, move.lots)
    return containers.Rescued(
        code=codes.OK,
        account=margin.moved(under.risk, settled, market, -closed, -closed * price, fee),
        other=taken.account,
        insurance=margin.booked(margin.matured(under.risk.debts, insurance, under.clock.now), fee, insurance.positions),
        slot=maker_slot_after(maker.order, maker.slot, move.lots),
        fee=maker_fee,
        growth=taken.growth + interest_growth(old.size, -closed),
        dust=dust + taken.dust,
        turned_over=0,
        paid_out=0,
        debt=0,
    )


def untouched(
    account: containers.Account, other: containers.Account, insurance: containers.Account, slot: containers.Slot
) -> containers.Rescued:
    """A rescue that leaves every row as it was; PROTOCOL.md 6.4."""
    return containers.Rescued(
        code=codes.OK,
        account=account,
        other=other,
        insurance=insurance,
        slot=slot,
        fee=0,
        growth=0,
        dust=0,
        turned_over=0,
        paid_out=0,
        debt=0,
    )


def premium_of(risk: containers.Risk, base: containers.Account, market: int256, closed: int256) -> int256:
    """What an account gets above the oracle price at its zero price; PROTOCOL.md 7.7."""
    # Less than nothing while equity is above zero.
    every: containers.Sums = margin.sums(risk, base, constants.MARKETS)
    if every.maintenance == 0:
        return 0
    equity: int256 = margin.collateral(base) + every.value
    size: int256 = encoding.unpack(base.positions[market]).size
    maintenance_after: int256 = (
        every.maintenance
        - margin.requirement(risk.price[market], size, risk.maintenance_ppm[market])
        + margin.requirement(risk.price[market], size - closed, risk.maintenance_ppm[market])
    )
    return margin.ceil_div(equity * maintenance_after, every.maintenance) - equity


def funded(
    under: containers.Conditions,
    insurance: containers.Account,
    market: int256,
    closed: int256,
    quote: int256,
    paid_out: int256,
) -> containers.Funded:
    """Whether the insurance account may take lots, and its row afterwards; PROTOCOL.md 7.7."""
    taking: containers.Account = insurance
    dust: int256 = 0
    taking, dust = margin.settle(under.risk, insurance, under.clock.now)
    most: int256 = max(margin.equity(under.risk, taking), 0)
    held: containers.Position = encoding.unpack(taking.positions[market])
    # What makes the fund's own position smaller is no growth.
    grown: int256 = max(abs(held.size + closed) - abs(held.size), 0) * under.risk.price[market]
    # All that it holds counts too: what it took in other hours it has to unwind before it takes more.
    stands: int256 = max(
        under.listed.turned_over % constants.UNWOUND + grown, abs(held.size + closed) * under.risk.price[market]
    )
    refused: containers.Funded = containers.Funded(
        code=codes.OUT_OF_BOUNDS, account=insurance, growth=0, dust=0, turned_over=0
    )
    if abs(held.size + closed) >= constants.SIZE_BOUND or abs(held.cost + quote) >= constants.COST_BOUND:
        return refused
    taking = margin.moved(under.risk, taking, market, closed, quote, 0)
    after: containers.Sums = margin.sums(under.risk, taking, constants.MARKETS)
    # Nor does it need money of its own, where it pays nobody: else a fund in trouble could keep others from leaving.
    if (grown > 0 and stands > most * constants.TURNOVER_MULTIPLE) or (
        grown + paid_out > 0
        and (
            (under.listed.paid_out + paid_out) * constants.PPM > most * constants.PAYOUT_PPM
            or margin.collateral(taking) + after.value < after.initial
        )
    ):
        refused.code = codes.FUND_LIMIT
        return refused
    return containers.Funded(
        code=codes.OK,
        account=taking,
        growth=interest_growth(held.size, closed),
        dust=dust,
        turned_over=grown,
    )


def affordable(under: containers.Conditions, paying: containers.Account) -> int256:
    """What a settled insurance account may pay beyond the oracle price, whatever it takes; PROTOCOL.md 8.13."""
    every: containers.Sums = margin.sums(under.risk, paying, constants.MARKETS)
    equity: int256 = margin.collateral(paying) + every.value
    quarter: int256 = max(equity, 0) * constants.PAYOUT_PPM // constants.PPM - under.listed.paid_out
    return max(min(equity - every.initial, quarter), 0)


def burdened(
    under: containers.Conditions, insurance: containers.Account, market: int256, closed: int256, premium: int256
) -> tuple[containers.Funded, int256]:
    """A fund that is made to take lots beyond its limits, and what it pays of a premium; PROTOCOL.md 8.16."""
    taking: containers.Account = insurance
    dust: int256 = 0
    taking, dust = margin.settle(under.risk, insurance, under.clock.now)
    paid_out: int256 = min(premium, affordable(under, taking))
    held: containers.Position = encoding.unpack(taking.positions[market])
    fund: containers.Funded = containers.Funded(
        code=codes.OK,
        account=margin.moved(under.risk, taking, market, closed, closed * under.risk.price[market], paid_out),
        growth=interest_growth(held.size, closed),
        dust=dust,
        turned_over=0,
    )
    return fund, paid_out


def fewest(
    under: containers.Conditions,
    market: int256,
    every: containers.Sums,
    equity: int256,
    size: int256,
    discount: int256,
) -> int256:
    """The fewest lots that bring an account back to its initial requirement; PROTOCOL.md 8.16."""
    oracle: int256 = under.risk.price[market]
    initial_ppm: int256 = under.risk.initial_ppm[market]
    # At oracle * (1 -+ discount / (2 * MM * 10^6)).
    relief: int256 = oracle * (2 * every.maintenance * initial_ppm - discount)
    if relief <= 0:
        return abs(size)
    others: int256 = every.initial - margin.requirement(oracle, size, initial_ppm)
    missing: int256 = abs(size) * oracle * initial_ppm - (equity - others) * constants.PPM
    found: int256 = max(margin.ceil_div(2 * every.maintenance * missing, relief), 0)
    if found > 0 and (abs(size) - found) * oracle < under.listed.minimum_notional:
        return abs(size)
    return min(found, abs(size))


def beyond_oracle(
    forced: bool,
    under: containers.Conditions,
    market: int256,
    settled: containers.Account,
    old: containers.Position,
    wanted: int256,
) -> tuple[int256, int256]:
    """The lots that are taken over, and what is paid for them beyond the oracle price; PROTOCOL.md 8.12, 8.16."""
    # The rule chose the account at the kinder prices; what it pays is counted at today's.
    every: containers.Sums = margin.sums(under.risk, unbounded(settled), constants.MARKETS)
    equity: int256 = margin.collateral(settled) + every.value
    if not forced or equity * 3 < every.maintenance * 2:
        return wanted, premium_of(under.risk, settled, market, signed_lots(old, wanted))
    discount: int256 = 3 * under.risk.maintenance_ppm[market] * (every.maintenance - equity)
    lots: int256 = min(wanted, fewest(under, market, every, equity, old.size, discount))
    return lots, -(lots * under.risk.price[market] * discount // (2 * constants.PPM * every.maintenance))


def is_disputed(under: containers.Conditions, settled: containers.Account, equity: int256, needed: int256) -> bool:
    """Whether the last tick alone says less of an account than it needs, and others may follow it; PROTOCOL.md 8.16."""
    # Whoever orders slips in one that is newer than the evidence: what stood before a fall were the tick before it.
    if under.clock.steady or equity < needed or under.clock.now > under.tick_time + constants.PRICES_GONE:
        return False
    return margin.equity(under.risk, settled) < needed


def take_over(
    forced: bool,
    under: containers.Conditions,
    move: containers.Rescue,
    account: containers.Account,
    settled: containers.Account,
    dust: int256,
    insurance: containers.Account,
) -> containers.Rescued:
    """Whether the insurance account takes lots, gently where it is forced early; PROTOCOL.md 8.12, 8.16."""
    unused: containers.Slot = containers.Slot(sequence=0, filled=0)
    refused: containers.Rescued = untouched(account, account, insurance, unused)
    market: int256 = move.market
    oracle: int256 = under.risk.price[market]
    if forced:
        refused.code = check_forced(under, move, account)
    else:
        refused.code = check_rescue(under, market)
    if refused.code != codes.OK:
        return refused
    judged: containers.Risk = judged_at(True, under.risk, under.previous, settled)
    every: containers.Sums = margin.sums(judged, settled, constants.MARKETS)
    equity: int256 = margin.collateral(settled) + every.value
    needed: int256 = 0
    if equity >= every.maintenance:
        needed = every.maintenance
    if forced and is_disputed(under, settled, equity, needed):
        refused.code = codes.UNSTEADY
        return refused
    # The close-out requirement is two thirds of maintenance; whoever forces it stands in for the missing liquidator.
    if equity * 3 >= every.maintenance * 2 and not (forced and equity < every.maintenance):
        refused.code = codes.HEALTHY
        return refused
    refused.code = check_largest(judged, under.previous, settled, equity, market)
    if refused.code != codes.OK:
        return refused
    old: containers.Position = encoding.unpack(settled.positions[market])
    lots: int256 = move.lots
    if forced:
        lots = min(lots, abs(old.size))
    if lots == 0 or lots > abs(old.size):
        refused.code = codes.OVERFILLED
        return refused
    premium: int256 = 0
    lots, premium = beyond_oracle(forced, under, market, settled, old, lots)
    closed: int256 = signed_lots(old, lots)
    quote: int256 = closed * oracle + premium
    paid_out: int256 = max(premium, 0)
    fund: containers.Funded = funded(under, insurance, market, closed, quote, paid_out)
    # Below zero whoever is opposite wins what nobody has. No operator may keep that, and a counterparty that an entry
    # names could hand its position on: so the fund takes it, and what it cannot pay unsettled money does.
    if forced and fund.code == codes.FUND_LIMIT and equity < 0:
        fund, paid_out = burdened(under, insurance, market, closed, premium)
    if fund.code != codes.OK:
        refused.code = fund.code
        return refused
    return containers.Rescued(
        code=codes.OK,
        account=margin.moved(under.risk, settled, market, -closed, -quote, 0),
        other=account,
        insurance=fund.account,
        slot=unused,
        fee=0,
        growth=interest_growth(old.size, -closed) + fund.growth,
        dust=dust + fund.dust,
        turned_over=fund.turned_over,
        paid_out=paid_out,
        debt=max(premium, 0) - paid_out,
    )


def relieved(
    tag: int256,
    under: containers.Conditions,
    move: containers.Rescue,
    account: containers.Account,
    insurance: containers.Account,
) -> containers.Rescued:
    """A take-over, or what somebody has left in a market that is over, or owes without a position; PROTOCOL.md 8.12."""
    forced: bool = tag == constants.FORCED_RESCUE
    ended: containers.Rescued = untouched(account, account, insurance, containers.Slot(sequence=0, filled=0))
    if forced and account.owner == containers.NOBODY:
        ended.code = codes.NO_ACCOUNT
        return ended
    settled: containers.Account = account
    settled, ended.dust = margin.settle(under.risk, account, under.clock.now)
    is_left: bool = margin.closed(settled, constants.MARKETS, 0)
    held: bool = account.positions[move.market] != containers.EMPTY
    is_folded: bool = held and settled.positions[move.market] == containers.EMPTY
    if not is_left and not is_folded:
        return take_over(forced, under, move, account, settled, ended.dust, insurance)
    # It asks for no price: none can change any more what it comes to.
    if is_left:
        ended.debt = max(-margin.collateral(settled), 0)
    if ended.debt == 0 and not is_folded:
        ended.code = codes.HEALTHY
        return ended
    ended.account = custody.credited(settled, ended.debt)
    return ended


def called(under: containers.Conditions, move: containers.Rescue, insurance: containers.Account) -> containers.Rescued:
    """Whether unsettled money pays what an insurance account is below zero; PROTOCOL.md 8.16."""
    refused: containers.Rescued = untouched(insurance, insurance, insurance, containers.Slot(sequence=0, filled=0))
    settled: containers.Account = insurance
    dust: int256 = 0
    settled, dust = margin.settle(under.risk, insurance, under.clock.now)
    if settled.positions[move.market] != containers.EMPTY:
        refused.code = check_evidence(under, move.market)
    if refused.code != codes.OK:
        return refused
    judged: containers.Risk = judged_at(True, under.risk, under.previous, settled)
    equity: int256 = margin.equity(judged, settled)
    if is_disputed(under, settled, equity, 0):
        refused.code = codes.UNSTEADY
        return refused
    if equity >= 0:
        refused.code = codes.HEALTHY
        return refused
    # It keeps its position, which only an operator can give to somebody: from nothing, at the price of the last tick.
    debt: int256 = -margin.equity(under.risk, settled)
    refused.account = custody.credited(settled, debt)
    refused.insurance = refused.account
    refused.dust = dust
    refused.debt = debt
    return refused


def gain(settled: containers.Account, equity: int256) -> int256:
    """What of an account's equity has not settled, open or not; PROTOCOL.md 7.7."""
    return max(equity - max(settled.settled, 0), 0)


def check_counterparty(
    risk: containers.Risk, settled: containers.Account, market: int256, closed: int256, rest: int256
) -> tuple[int256, int256]:
    """Whether another account may have to take lots, and what it bears of the rest; PROTOCOL.md 8.13."""
    held: containers.Position = encoding.unpack(settled.positions[market])
    if held.size * closed >= 0 or abs(held.size) < abs(closed):
        return codes.NO_OPPOSITE, 0
    every: containers.Sums = margin.sums(risk, settled, constants.MARKETS)
    before: int256 = margin.collateral(settled) + every.value
    # A debt keeps its position.
    if before < 0:
        return codes.INDEBTED, 0
    # Nobody pays more for another's loss than what the lots that are taken have won, nor than all that has not settled.
    oracle: int256 = risk.price[market]
    profit: int256 = max(held.size * oracle - held.cost, 0)
    won: int256 = min(profit * abs(closed) // abs(held.size), gain(settled, before))
    maintenance_after: int256 = (
        every.maintenance
        - margin.requirement(oracle, held.size, risk.maintenance_ppm[market])
        + margin.requirement(oracle, held.size + closed, risk.maintenance_ppm[market])
    )
    # Nor than what leaves him above maintenance, or his equity over it as it is.
    spare: int256 = max(
        before - maintenance_after, before - margin.ceil_div(before * maintenance_after, every.maintenance)
    )
    return codes.OK, min(rest, min(won, spare))


def deleverage(
    under: containers.Conditions,
    move: containers.Rescue,
    account: containers.Account,
    other: containers.Account,
    insurance: containers.Account,
) -> containers.Rescued:
    """Whether lots are closed against another account, the fund paying first; PROTOCOL.md 8.13."""
    unused: containers.Slot = containers.Slot(sequence=0, filled=0)
    refused: containers.Rescued = untouched(account, other, insurance, unused)
    market: int256 = move.market
    oracle: int256 = under.risk.price[market]
    refused.code = check_rescue(under, market)
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(under.risk, account, under.clock.now)
    judged: containers.Risk = judged_at(True, under.risk, under.previous, settled)
    if margin.equity(judged, settled) >= 0:
        refused.code = codes.HEALTHY
        return refused
    old: containers.Position = encoding.unpack(settled.positions[market])
    if move.lots == 0 or move.lots > abs(old.size):
        refused.code = codes.OVERFILLED
        return refused
    closed: int256 = signed_lots(old, move.lots)
    premium: int256 = max(premium_of(under.risk, settled, market, closed), 0)
    paying: containers.Account = insurance
    paying_dust: int256 = 0
    paying, paying_dust = margin.settle(under.risk, insurance, under.clock.now)
    # The fund pays all that it may before anybody else bears a micro-dollar.
    paid_out: int256 = min(premium, affordable(under, paying))
    borne: int256 = 0
    bearing: containers.Account = other
    bearing_dust: int256 = 0
    bearing, bearing_dust = margin.settle(under.risk, other, under.clock.now)
    # What neither pays is a debt, and unsettled money pays it.
    refused.code, borne = check_counterparty(under.risk, bearing, market, closed, premium - paid_out)
    if refused.code != codes.OK:
        return refused
    held: containers.Position = encoding.unpack(bearing.positions[market])
    quote: int256 = closed * oracle
    return containers.Rescued(
        code=codes.OK,
        account=margin.moved(under.risk, settled, market, -closed, -quote - premium, 0),
        other=margin.filled_up(
            under.risk, bearing, margin.moved(under.risk, bearing, market, closed, quote + borne, 0)
        ),
        insurance=margin.booked(paying, -paid_out, paying.positions),
        slot=unused,
        fee=0,
        growth=interest_growth(old.size, -closed) + interest_growth(held.size, closed),
        dust=dust + paying_dust + bearing_dust,
        turned_over=0,
        paid_out=paid_out,
        debt=premium - paid_out - borne,
    )


def reduce(
    under: containers.Conditions, move: containers.Rescue, other: containers.Account, insurance: containers.Account
) -> containers.Rescued:
    """Whether an insurance account below maintenance gives lots to somebody opposite; PROTOCOL.md 8.13."""
    refused: containers.Rescued = untouched(insurance, other, insurance, containers.Slot(sequence=0, filled=0))
    market: int256 = move.market
    refused.code = check_rescue(under, market)
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = insurance
    dust: int256 = 0
    settled, dust = margin.settle(under.risk, insurance, under.clock.now)
    judged: containers.Risk = judged_at(True, under.risk, under.previous, settled)
    equity: int256 = margin.equity(judged, settled)
    if equity >= margin.sums(judged, settled, constants.MARKETS).maintenance:
        refused.code = codes.HEALTHY
        return refused
    held: containers.Position = encoding.unpack(settled.positions[market])
    if move.lots == 0 or move.lots > abs(held.size):
        refused.code = codes.OVERFILLED
        return refused
    # It holds nothing elsewhere. One lot less must leave it below its initial requirement.
    left: int256 = abs(held.size) - move.lots + 1
    if equity >= margin.requirement(judged.price[market], left, judged.initial_ppm[market]):
        refused.code = codes.TOO_MANY_LOTS
        return refused
    bearing: containers.Account = other
    bearing_dust: int256 = 0
    bearing, bearing_dust = margin.settle(under.risk, other, under.clock.now)
    closed: int256 = signed_lots(held, move.lots)
    borne: int256 = 0
    refused.code, borne = check_counterparty(under.risk, bearing, market, closed, 0)
    if refused.code != codes.OK:
        return refused
    # At the oracle price, for nothing: what the lots have cost a fund beyond its money is a debt like others.
    premium: int256 = max(premium_of(under.risk, settled, market, closed), 0)
    quote: int256 = closed * under.risk.price[market]
    reduced: containers.Account = margin.moved(under.risk, settled, market, -closed, -quote - premium, 0)
    opposite: int256 = encoding.unpack(bearing.positions[market]).size
    return containers.Rescued(
        code=codes.OK,
        account=reduced,
        other=margin.filled_up(
            under.risk, bearing, margin.moved(under.risk, bearing, market, closed, quote + borne, 0)
        ),
        insurance=reduced,
        slot=refused.slot,
        fee=0,
        growth=interest_growth(held.size, -closed) + interest_growth(opposite, closed),
        dust=dust + bearing_dust,
        turned_over=0,
        paid_out=0,
        debt=premium - borne,
    )


def unwind(
    under: containers.Conditions, move: containers.Rescue, maker: containers.Side, insurance: containers.Account
) -> containers.Rescued:
    """Whether the insurance account's position shrinks against a resting order; PROTOCOL.md 8.14."""
    refused: containers.Rescued = untouched(insurance, maker.account, insurance, maker.slot)
    market: int256 = maker.order.market
    oracle: int256 = under.risk.price[market]
    price: int256 = maker.order.limit_price
    refused.code = check_rescue(under, market)
    if refused.code != codes.OK:
        return refused
    refused.code = check_maker(oracle, under.listed, maker.order, maker.account, maker.slot, move.lots)
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = insurance
    dust: int256 = 0
    settled, dust = margin.settle(under.risk, insurance, under.clock.now)
    held: containers.Position = encoding.unpack(settled.positions[market])
    if abs(held.size) < move.lots:
        refused.code = codes.OVERFILLED
        return refused
    if (held.size > 0) != (maker.order.side == constants.BUY):
        refused.code = codes.MISMATCHED
        return refused
    closed: int256 = signed_lots(held, move.lots)
    turned_over: int256 = move.lots * oracle
    # Never under one tick: where ticks are coarse, no other price is any nearer.
    away: int256 = max(turned_over * under.listed.unwind_band_ppm, move.lots * constants.PPM)
    if closed * (price - oracle) * constants.PPM + away < 0:
        refused.code = codes.PRICE_BAND
        return refused
    most: int256 = max(margin.equity(under.risk, settled), 0) * constants.TURNOVER_MULTIPLE
    if under.listed.turned_over // constants.UNWOUND + turned_over > most:
        refused.code = codes.FUND_LIMIT
        return refused
    maker_fee: int256 = margin.ceil_div(move.lots * price * under.listed.maker_fee_ppm, constants.PPM)
    taken: containers.Traded = made(under, maker, move.lots, maker_fee)
    if taken.code != codes.OK:
        refused.code = trading.blamed(taken.code, codes.MAKER_MARGIN)
        return refused
    return containers.Rescued(
        code=codes.OK,
        account=insurance,
        other=taken.account,
        insurance=margin.moved(under.risk, settled, market, -closed, -closed * price, 0),
        slot=maker_slot_after(maker.order, maker.slot, move.lots),
        fee=maker_fee,
        growth=taken.growth + interest_growth(held.size, -closed),
        dust=dust + taken.dust,
        turned_over=turned_over * constants.UNWOUND,
        paid_out=0,
        debt=0,
    )


def has_waited(under: containers.Conditions) -> bool:
    """Whether a head is so old that a tick is judged as a whole; PROTOCOL.md 8.15."""
    return under.clock.now > under.entered_at + constants.HEAD_PATIENCE


def before(under: containers.Conditions) -> containers.Risk:
    """The prices of the tick before the last; PROTOCOL.md 8.15."""
    price: list[int256] = under.risk.price.copy()
    for market in range(constants.MARKETS):
        if under.previous[market] != 0:
            price[market] = under.previous[market]
    return containers.Risk(
        price=price,
        funding_index=under.risk.funding_index,
        initial_ppm=under.risk.initial_ppm,
        maintenance_ppm=under.risk.maintenance_ppm,
        debts=under.risk.debts,
    )


def waits(under: containers.Conditions, settled: containers.Account) -> bool:
    """Whether one of two prices alone is to blame, and another may still come; PROTOCOL.md 8.15."""
    # Legs that move as one are above zero at the better of two prices and below it at the worse one, at every tick that
    # moves. Who has waited for so long is judged at each of the two ticks by itself.
    if has_waited(under):
        return margin.equity(under.risk, settled) >= 0 or margin.equity(before(under), settled) >= 0
    better: containers.Risk = judged_at(True, under.risk, under.previous, settled)
    return margin.equity(better, settled) >= 0


def closed_at(under: containers.Conditions, settled: containers.Account) -> containers.Risk:
    """The prices at which a head's account is closed; PROTOCOL.md 8.15."""
    # Whoever closes picks the moment, an operator even the ticks: he gets the worse of the last two prices, unless he
    # has waited, is above zero at either tick and below it at the worse prices alone.
    worse: containers.Risk = judged_at(False, under.risk, under.previous, settled)
    if not has_waited(under) or margin.equity(worse, settled) >= 0:
        return worse
    if margin.equity(under.risk, settled) < 0 or margin.equity(before(under), settled) < 0:
        return worse
    return under.risk


def is_over(under: containers.Conditions) -> bool:
    """Whether a head has found no price for so long that it ends; PROTOCOL.md 4.9, 8.15."""
    # By an entry behind it; or by the chain's clock, where no entry passes and prices are gone for days.
    gone: int256 = max(under.entered_at + constants.HEAD_PATIENCE, under.tick_time + constants.PRICES_GONE)
    return under.limit == constants.HEAD_OVER or under.clock.now > gone


def has_price(under: containers.Conditions) -> bool:
    """Whether the last ticks are ones that a step may close at; PROTOCOL.md 8.15."""
    # Newer than the entry: else it were an option on what its sender, or the operator, already knows. And as young as
    # trading asks for, or brought by the queue, which the operator does not order, not long ago.
    if not under.clock.steady or under.tick_time <= under.entered_at:
        return False
    young: bool = under.clock.now - under.tick_time <= constants.HEAD_PATIENCE
    return under.clock.priced or (young and under.tick_queued == 1)


def check_close(
    under: containers.Conditions, judged: containers.Risk, settled: containers.Account, move: containers.Rescue
) -> int256:
    """Whether lots of the head's account may be closed now; PROTOCOL.md 8.15."""
    market: int256 = move.market
    if move.lots == 0:
        return codes.OVERFILLED
    if not margin.trades(under.listed, under.risk.price[market]):
        return codes.NO_MARKET
    if not has_price(under):
        return codes.UNSTEADY
    if under.previous[market] == 0:
        # What stands is no price. Whoever leaves is closed first in the markets that have one.
        for held in range(constants.MARKETS):
            if (
                move.maker == constants.MARKETS
                and settled.positions[held] != containers.EMPTY
                and under.previous[held] != 0
            ):
                return codes.UNSTEADY
        return codes.STALE
    away: int256 = signed_lots(encoding.unpack(settled.positions[market]), judged.price[market] - under.limit)
    if under.limit != 0 and away < 0:
        return codes.LIMIT
    if margin.equity(judged, settled) >= 0:
        return codes.OK
    if waits(under, settled):
        return codes.UNSTEADY
    return codes.INSOLVENT


def check_debtor(
    under: containers.Conditions, bearing: containers.Account, market: int256, closed: int256, quote: int256
) -> tuple[int256, int256]:
    """Whether a counterparty below zero is closed too, and what is missing to its zero price; PROTOCOL.md 8.15."""
    if margin.equity(under.risk, bearing) >= 0:
        return codes.OK, 0
    if waits(under, bearing):
        return codes.UNSTEADY, 0
    # A debtor is closed too: else he would keep an option against whoever took the lots in his stead.
    gained: int256 = closed * under.risk.price[market] - quote
    return codes.OK, max(premium_of(under.risk, bearing, market, -closed) - gained, 0)


def against(
    under: containers.Conditions, step: containers.Rescued, market: int256, closed: int256, quote: int256, most: int256
) -> tuple[containers.Rescued, int256]:
    """A step against another account, and what whoever closes bears of what that one is missing; PROTOCOL.md 8.15."""
    taken: containers.Rescued = step
    bearing: containers.Account = step.other
    bearing, taken.dust = margin.settle(under.risk, step.other, under.clock.now)
    held: containers.Position = encoding.unpack(bearing.positions[market])
    if held.size * closed >= 0 or abs(held.size) < abs(closed):
        taken.code = codes.NO_OPPOSITE
        return taken, 0
    missing: int256 = 0
    taken.code, missing = check_debtor(under, bearing, market, closed, quote)
    if taken.code != codes.OK:
        return taken, 0
    # Whoever closes bears of it what these lots have won, the fund pays what it may, unsettled money the rest: what is
    # owed without a position no rescue would find.
    borne: int256 = max(min(missing, most), 0)
    taken.other = margin.filled_up(
        under.risk, bearing, margin.moved(under.risk, bearing, market, closed, quote - missing, 0)
    )
    taken.growth = interest_growth(held.size, closed)
    if missing > borne:
        paying: containers.Account = step.insurance
        dust: int256 = 0
        paying, dust = margin.settle(under.risk, step.insurance, under.clock.now)
        taken.paid_out = min(missing - borne, affordable(under, paying))
        taken.insurance = margin.booked(paying, -taken.paid_out, paying.positions)
        taken.dust = taken.dust + dust
        taken.debt = missing - borne - taken.paid_out
    return taken, borne


def close(
    under: containers.Conditions,
    move: containers.Rescue,
    account: containers.Account,
    other: containers.Account,
    insurance: containers.Account,
) -> containers.Rescued:
    """Whether a step closes lots, against the insurance account or another one; PROTOCOL.md 8.15."""
    step: containers.Rescued = untouched(account, other, insurance, containers.Slot(sequence=0, filled=0))
    if is_over(under):
        step.code = codes.STALE
        return step
    market: int256 = move.market
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(under.risk, account, under.clock.now)
    old: containers.Position = encoding.unpack(settled.positions[market])
    if old.size == 0:
        # Closed by something else, or folded: the touch is all that is left to do. Maker: what the head asks for.
        if move.maker == constants.MARKETS and not margin.closed(settled, constants.MARKETS, 0):
            step.code = codes.OVERFILLED
            return step
        step.account = settled
        step.dust = dust
        return step
    lots: int256 = min(move.lots, abs(old.size))
    judged: containers.Risk = closed_at(under, settled)
    step.code = check_close(under, judged, settled, move)
    if step.code != codes.OK:
        return step
    closed: int256 = signed_lots(old, lots)
    penalty: int256 = lots * judged.price[market] * constants.FORCED_PENALTY_PPM // constants.PPM
    # Never more than what keeps equity over maintenance as it is: else it would fail exactly where margin is thin.
    spare: int256 = max(-premium_of(judged, settled, market, closed), 0)
    discount: int256 = min(penalty, spare)
    quote: int256 = closed * judged.price[market] - discount
    fund: containers.Funded = funded(under, insurance, market, closed, quote, 0)
    if move.other == constants.insurance_account(market):
        step.code = fund.code
        step.insurance = fund.account
        step.growth = fund.growth
        step.dust = fund.dust
        step.turned_over = fund.turned_over
    elif fund.code == codes.OK:
        step.code = codes.FUND_FIRST
    else:
        won: int256 = (old.size * judged.price[market] - old.cost) * lots // abs(old.size)
        borne: int256 = 0
        most: int256 = min(min(won, spare), gain(settled, margin.equity(judged, settled))) - discount
        step, borne = against(under, step, market, closed, quote, most)
        quote = quote - borne
    if step.code != codes.OK:
        return step
    step.account = margin.filled_up(under.risk, settled, margin.moved(under.risk, settled, market, -closed, -quote, 0))
    step.growth = step.growth + interest_growth(old.size, -closed)
    step.dust = step.dust + dust
    return step


def sent_home(
    under: containers.Conditions, move: containers.Rescue, account: containers.Account, insurance: containers.Account
) -> containers.Rescued:
    """Whether the fund of a settled market goes to that of the first one that is not; PROTOCOL.md 8.16."""
    gone: containers.Rescued = untouched(account, account, insurance, containers.Slot(sequence=0, filled=0))
    source: int256 = constants.insured_market(move.account)
    gone.code = codes.NO_MARKET
    # Only a settled market has a price and no requirement.
    if under.risk.initial_ppm[source] != 0 or under.risk.price[source] == 0:
        return gone
    for market in range(constants.MARKETS):
        if under.risk.initial_ppm[market] != 0:
            if market == move.market:
                gone.code = codes.OK
            break
    if gone.code != codes.OK:
        return gone
    # Its own position became money at the mean, like everybody's.
    gone.account, gone.dust = margin.settle(under.risk, account, under.clock.now)
    amount: int256 = margin.collateral(gone.account)
    if amount <= 0:
        gone.code = codes.COLLATERAL
        return gone
    if margin.collateral(insurance) + amount >= constants.COLLATERAL_BOUND:
        gone.code = codes.OUT_OF_BOUNDS
        return gone
    gone.account = margin.booked(gone.account, -amount, gone.account.positions)
    gone.insurance = custody.credited(insurance, amount)
    return gone


def decide_of_fund(
    under: containers.Conditions, move: containers.Rescue, account: containers.Account, insurance: containers.Account
) -> containers.Rescued:
    """What a forced rescue of an insurance account comes to; PROTOCOL.md 8.16."""
    if move.account == constants.insurance_account(move.market):
        return called(under, move, insurance)
    return sent_home(under, move, account, insurance)


def decide_by_order(
    tag: int256,
    under: containers.Conditions,
    move: containers.Rescue,
    account: containers.Account,
    other: containers.Side,
    insurance: containers.Account,
) -> containers.Rescued:
    """What a rescue against a resting order comes to; PROTOCOL.md 8.11, 8.14."""
    if tag == constants.LIQUIDATE:
        return liquidate(under, move, account, other, insurance)
    return unwind(under, move, other, insurance)


def decide(
    tag: int256,
    under: containers.Conditions,
    move: containers.Rescue,
    account: containers.Account,
    other: containers.Side,
    insurance: containers.Account,
) -> containers.Rescued:
    """What a rescue against an account, or a step of a close, comes to; PROTOCOL.md 8.12, 8.13, 8.15, 8.16."""
    if tag == constants.CLOSE_STEP:
        return close(under, move, account, other.account, insurance)
    if tag == constants.DELEVERAGE and move.account == constants.insurance_account(move.market):
        return reduce(under, move, other.account, insurance)
    if tag == constants.DELEVERAGE:
        return deleverage(under, move, account, other.account, insurance)
    return relieved(tag, under, move, account, insurance)
