# pragma version 0.4.3
"""
@title Rescue
@license MIT
@notice Liquidation through the book, take-over by an insurance account, deleveraging, unwinding, forced close.
        Formulas: PROTOCOL.md, rescue. The zero price of an account is the one at which equity over maintenance stays
        as it is.
"""

from prover.stf import codes
from prover.stf import constants
from prover.stf import containers
from prover.stf import encoding
from prover.stf import margin
from prover.stf import trading


@internal
@pure
def judged_at(kinder: bool, risk: containers.Risk, previous: int256[16], account: containers.Account) -> containers.Risk:
    # One signed price in sixty must not suffice: of the last two prices each position is judged at its better one
    # where others act on an account, and at its worse one where its owner does.
    price: int256[16] = risk.price
    for market: int256 in range(constants.MARKETS):
        long: bool = encoding.unpack(account.positions[market]).size > 0
        if previous[market] != 0 and (long == (previous[market] > price[market])) == kinder:
            price[market] = previous[market]
    return containers.Risk(
        price=price,
        funding_index=risk.funding_index,
        initial_ppm=risk.initial_ppm,
        maintenance_ppm=risk.maintenance_ppm,
    )


@internal
@pure
def largest(risk: containers.Risk, account: containers.Account) -> int256:
    found: int256 = 0
    most: int256 = 0
    for market: int256 in range(constants.MARKETS):
        size: int256 = encoding.unpack(account.positions[market]).size
        maintenance: int256 = margin.requirement(risk.price[market], size, risk.maintenance_ppm[market])
        if maintenance > most:
            most = maintenance
            found = market
    return found


@internal
@pure
def check_rescue(clock: containers.Clock, listed: containers.Market, price: int256) -> int256:
    if not margin.trades(listed, price):
        return codes.NO_MARKET
    if not clock.priced:
        return codes.STALE
    if clock.grace:
        return codes.GRACE
    if not clock.steady:
        return codes.UNSTEADY
    return codes.OK


@internal
@pure
def check_forced(clock: containers.Clock, listed: containers.Market, price: int256) -> int256:
    # Priced: not much older than the entry. A grace keeps no forced path waiting, and no ticks at all only for a while.
    if not margin.trades(listed, price):
        return codes.NO_MARKET
    if not clock.priced:
        return codes.STALE
    if not clock.steady:
        return codes.UNSTEADY
    return codes.OK


@internal
@pure
def check_maker(price: int256, listed: containers.Market, maker: containers.Order, account: containers.Account, slot: containers.Slot, lots: int256) -> int256:
    if maker.time_in_force != constants.GOOD_TILL_TIME:
        return codes.POST_ONLY
    if abs(maker.limit_price - price) * constants.PPM > price * listed.band_ppm:
        return codes.PRICE_BAND
    if listed.maker_fee_ppm > maker.max_fee_ppm:
        return codes.FEE_ABOVE_MAXIMUM
    return trading.check_order_now(maker, account, slot, price, lots)


@internal
@pure
def made(risk: containers.Risk, clock: containers.Clock, listed: containers.Market, maker: containers.Order, account: containers.Account, lots: int256, fee: int256) -> containers.Traded:
    oracle: int256 = risk.price[maker.market]
    growing_ppm: int256 = margin.scaled_ppm(listed, oracle, listed.open_interest + lots, risk.initial_ppm[maker.market])
    size: int256 = trading.signed_size(maker, lots)
    return trading.trade(risk, clock, account, maker.market, size, maker.limit_price, fee, growing_ppm)


@internal
@pure
def maker_slot_after(maker: containers.Order, slot: containers.Slot, lots: int256) -> containers.Slot:
    return containers.Slot(sequence=maker.sequence, filled=trading.filled_before(maker, slot) + lots)


@internal
@pure
def interest_growth(old_size: int256, size: int256) -> int256:
    return max(old_size + size, 0) - max(old_size, 0)


@internal
@pure
def signed_lots(position: containers.Position, lots: int256) -> int256:
    if position.size > 0:
        return lots
    return -lots


@internal
@pure
def liquidation_fee(lots: int256, price: int256, maintenance_ppm: int256, improvement: int256) -> int256:
    maintenance: int256 = lots * price * maintenance_ppm // constants.PPM
    return max(min(maintenance * constants.LIQUIDATION_FEE_PPM // constants.PPM, improvement), 0)


@internal
@pure
def check_liquidation(judged: containers.Risk, base: containers.Account, market: int256, price: int256, lots: int256) -> (int256, int256):
    every: containers.Sums = margin.sums(judged, base, constants.MARKETS)
    equity: int256 = margin.collateral(base) + every.value
    if equity >= every.maintenance:
        return codes.HEALTHY, 0
    if equity < 0:
        return codes.INSOLVENT, 0
    if self.largest(judged, base) != market:
        return codes.NOT_LARGEST, 0
    position: containers.Position = encoding.unpack(base.positions[market])
    if lots == 0 or lots > abs(position.size):
        return codes.OVERFILLED, 0
    oracle: int256 = judged.price[market]
    maintenance_ppm: int256 = judged.maintenance_ppm[market]
    initial_ppm: int256 = judged.initial_ppm[market]
    closed: int256 = self.signed_lots(position, lots)
    gain: int256 = closed * (price - oracle)
    maintenance_after: int256 = (
        every.maintenance
        - margin.requirement(oracle, position.size, maintenance_ppm)
        + margin.requirement(oracle, position.size - closed, maintenance_ppm)
    )
    # Never worse than the zero price, nor than oracle * (1 -+ 1.5 * mmf * (1 - E / MM)): at the zero price alone the
    # whole account could be sold to a friend without one lot too many.
    if (equity + gain) * every.maintenance < equity * maintenance_after:
        return codes.LIQUIDATION_PRICE, 0
    allowance: int256 = 3 * maintenance_ppm * (every.maintenance - equity)
    if gain * 2 * constants.PPM * every.maintenance + lots * oracle * allowance < 0:
        return codes.LIQUIDATION_PRICE, 0
    # One lot less must leave it below its initial requirement.
    fewer: int256 = self.signed_lots(position, lots - 1)
    initial_before: int256 = (
        every.initial
        - margin.requirement(oracle, position.size, initial_ppm)
        + margin.requirement(oracle, position.size - fewer, initial_ppm)
    )
    if equity + fewer * (price - oracle) >= initial_before:
        return codes.TOO_MANY_LOTS, 0
    improvement: int256 = equity + gain - margin.ceil_div(equity * maintenance_after, every.maintenance)
    return codes.OK, self.liquidation_fee(lots, price, maintenance_ppm, improvement)


@internal
@pure
def unbounded(account: containers.Account) -> containers.Account:
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
    )


@internal
@pure
def liquidate(risk: containers.Risk, previous: int256[16], clock: containers.Clock, listed: containers.Market, move: containers.Rescue, maker: containers.Order, account: containers.Account, other: containers.Account, insurance: containers.Account, slot: containers.Slot) -> containers.Rescued:
    refused: containers.Rescued = self.untouched(account, other, insurance, slot)
    market: int256 = maker.market
    price: int256 = maker.limit_price
    refused.code = self.check_rescue(clock, listed, risk.price[market])
    if refused.code != codes.OK:
        return refused
    refused.code = self.check_maker(risk.price[market], listed, maker, other, slot, move.lots)
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account, clock.now)
    fee: int256 = 0
    refused.code, fee = self.check_liquidation(self.judged_at(True, risk, previous, settled), self.unbounded(settled), market, price, move.lots)
    if refused.code != codes.OK:
        return refused
    old: containers.Position = encoding.unpack(settled.positions[market])
    if (old.size > 0) != (maker.side == constants.BUY):
        refused.code = codes.MISMATCHED
        return refused
    maker_fee: int256 = margin.ceil_div(move.lots * price * listed.maker_fee_ppm, constants.PPM)
    taken: containers.Traded = self.made(risk, clock, listed, maker, other, move.lots, maker_fee)
    if taken.code != codes.OK:
        refused.code = taken.code
        if taken.code == codes.MARGIN:
            refused.code = codes.MAKER_MARGIN
        return refused
    closed: int256 = self.signed_lots(old, move.lots)
    return containers.Rescued(
        code=codes.OK,
        account=margin.moved(risk, settled, market, -closed, -closed * price, fee),
        other=taken.account,
        insurance=margin.booked(insurance, fee, insurance.positions),
        slot=self.maker_slot_after(maker, slot, move.lots),
        fee=maker_fee,
        growth=taken.growth + self.interest_growth(old.size, -closed),
        dust=dust + taken.dust,
        turned_over=0,
        paid_out=0,
    )


@internal
@pure
def untouched(account: containers.Account, other: containers.Account, insurance: containers.Account, slot: containers.Slot) -> containers.Rescued:
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
    )


@internal
@pure
def premium_of(risk: containers.Risk, base: containers.Account, market: int256, closed: int256) -> int256:
    # What the account gets above the oracle price at its zero price; less than nothing while equity is above zero.
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


@internal
@pure
def funded(risk: containers.Risk, clock: containers.Clock, listed: containers.Market, insurance: containers.Account, market: int256, closed: int256, quote: int256, paid_out: int256) -> containers.Funded:
    fund: int256 = max(listed.fund, 0)
    taking: containers.Account = insurance
    dust: int256 = 0
    taking, dust = margin.settle(risk, insurance, clock.now)
    held: containers.Position = encoding.unpack(taking.positions[market])
    # What makes the fund's own position smaller is no turnover.
    turned_over: int256 = max(abs(held.size + closed) - abs(held.size), 0) * risk.price[market]
    refused: containers.Funded = containers.Funded(
        code=codes.OUT_OF_BOUNDS, account=insurance, growth=0, dust=0, turned_over=0
    )
    if abs(held.size + closed) >= constants.SIZE_BOUND or abs(held.cost + quote) >= constants.COST_BOUND:
        return refused
    taking = margin.moved(risk, taking, market, closed, quote, 0)
    after: containers.Sums = margin.sums(risk, taking, constants.MARKETS)
    # Nor does it need money of its own, where it pays nobody: else a fund in trouble could keep others from leaving.
    if turned_over + paid_out > 0 and (
        listed.turned_over + turned_over > fund * constants.TURNOVER_MULTIPLE
        or (listed.paid_out + paid_out) * constants.PPM > fund * constants.PAYOUT_PPM
        or margin.collateral(taking) + after.value < after.initial
    ):
        refused.code = codes.FUND_LIMIT
        return refused
    return containers.Funded(
        code=codes.OK,
        account=taking,
        growth=self.interest_growth(held.size, closed),
        dust=dust,
        turned_over=turned_over,
    )


@internal
@pure
def fewest(every: containers.Sums, oracle: int256, size: int256, initial_ppm: int256, discount: int256) -> int256:
    # The fewest lots that bring an account back to its initial requirement, at oracle * (1 -+ discount / (2 * MM * 10^6)).
    relief: int256 = oracle * (2 * every.maintenance * initial_ppm - discount)
    if relief <= 0:
        return abs(size)
    others: int256 = every.initial - margin.requirement(oracle, size, initial_ppm)
    missing: int256 = abs(size) * oracle * initial_ppm - (every.value - others) * constants.PPM
    return min(max(margin.ceil_div(2 * every.maintenance * missing, relief), 0), abs(size))


@internal
@pure
def take_over(tag: int256, risk: containers.Risk, previous: int256[16], clock: containers.Clock, listed: containers.Market, move: containers.Rescue, account: containers.Account, insurance: containers.Account) -> containers.Rescued:
    unused: containers.Slot = containers.Slot(sequence=0, filled=0)
    refused: containers.Rescued = self.untouched(account, account, insurance, unused)
    market: int256 = move.market
    oracle: int256 = risk.price[market]
    forced: bool = tag == constants.FORCED_RESCUE
    if forced:
        refused.code = self.check_forced(clock, listed, oracle)
    else:
        refused.code = self.check_rescue(clock, listed, oracle)
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account, clock.now)
    judged: containers.Risk = self.judged_at(True, risk, previous, settled)
    every: containers.Sums = margin.sums(judged, settled, constants.MARKETS)
    equity: int256 = margin.collateral(settled) + every.value
    # The close-out requirement is two thirds of maintenance; whoever forces it stands in for the missing liquidator.
    if equity * 3 >= every.maintenance * 2 and not (forced and equity < every.maintenance):
        refused.code = codes.HEALTHY
        return refused
    if self.largest(judged, settled) != market:
        refused.code = codes.NOT_LARGEST
        return refused
    old: containers.Position = encoding.unpack(settled.positions[market])
    lots: int256 = move.lots
    if forced:
        lots = min(lots, abs(old.size))
    if lots == 0 or lots > abs(old.size):
        refused.code = codes.OVERFILLED
        return refused
    # The rule chose the account at the kinder prices; what it pays is counted at today's.
    every = margin.sums(risk, self.unbounded(settled), constants.MARKETS)
    equity = margin.collateral(settled) + every.value
    gentle: bool = forced and equity * 3 >= every.maintenance * 2
    discount: int256 = 3 * risk.maintenance_ppm[market] * (every.maintenance - equity)
    if gentle:
        every_with_money: containers.Sums = containers.Sums(
            value=equity, notional=0, initial=every.initial, maintenance=every.maintenance
        )
        lots = min(lots, self.fewest(every_with_money, oracle, old.size, risk.initial_ppm[market], discount))
    closed: int256 = self.signed_lots(old, lots)
    premium: int256 = 0
    if gentle:
        premium = -(lots * oracle * discount // (2 * constants.PPM * every.maintenance))
    else:
        premium = self.premium_of(risk, settled, market, closed)
    quote: int256 = closed * oracle + premium
    paid_out: int256 = max(premium, 0)
    fund: containers.Funded = self.funded(risk, clock, listed, insurance, market, closed, quote, paid_out)
    if fund.code != codes.OK:
        refused.code = fund.code
        return refused
    return containers.Rescued(
        code=codes.OK,
        account=margin.moved(risk, settled, market, -closed, -quote, 0),
        other=account,
        insurance=fund.account,
        slot=unused,
        fee=0,
        growth=self.interest_growth(old.size, -closed) + fund.growth,
        dust=dust + fund.dust,
        turned_over=fund.turned_over,
        paid_out=paid_out,
    )


@internal
@pure
def check_counterparty(risk: containers.Risk, settled: containers.Account, market: int256, closed: int256, borne: int256) -> int256:
    held: containers.Position = encoding.unpack(settled.positions[market])
    if held.size * closed >= 0 or abs(held.size) < abs(closed):
        return codes.NO_OPPOSITE
    every: containers.Sums = margin.sums(risk, settled, constants.MARKETS)
    before: int256 = margin.collateral(settled) + every.value
    # Closed at the oracle price, with the fund paying all of it, nobody loses anything; a debt keeps its position.
    if borne == 0 and before >= 0:
        return codes.OK
    oracle: int256 = risk.price[market]
    # Nobody pays more for another's loss than what the lots that are taken have won.
    profit: int256 = held.size * oracle - held.cost
    if profit <= 0 or borne * abs(held.size) > profit * abs(closed):
        return codes.NOT_IN_PROFIT
    maintenance_after: int256 = (
        every.maintenance
        - margin.requirement(oracle, held.size, risk.maintenance_ppm[market])
        + margin.requirement(oracle, held.size + closed, risk.maintenance_ppm[market])
    )
    if before - borne < maintenance_after and not margin.only_reduced(
        held.size, held.size + closed, before, before - borne, every.maintenance, maintenance_after
    ):
        return codes.MARGIN
    return codes.OK


@internal
@pure
def deleverage(risk: containers.Risk, previous: int256[16], clock: containers.Clock, listed: containers.Market, move: containers.Rescue, account: containers.Account, other: containers.Account, insurance: containers.Account) -> containers.Rescued:
    unused: containers.Slot = containers.Slot(sequence=0, filled=0)
    refused: containers.Rescued = self.untouched(account, other, insurance, unused)
    market: int256 = move.market
    oracle: int256 = risk.price[market]
    refused.code = self.check_rescue(clock, listed, oracle)
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account, clock.now)
    judged: containers.Risk = self.judged_at(True, risk, previous, settled)
    if margin.collateral(settled) + margin.sums(judged, settled, constants.MARKETS).value >= 0:
        refused.code = codes.HEALTHY
        return refused
    old: containers.Position = encoding.unpack(settled.positions[market])
    if move.lots == 0 or move.lots > abs(old.size):
        refused.code = codes.OVERFILLED
        return refused
    closed: int256 = self.signed_lots(old, move.lots)
    premium: int256 = max(self.premium_of(risk, settled, market, closed), 0)
    paying: containers.Account = insurance
    paying_dust: int256 = 0
    paying, paying_dust = margin.settle(risk, insurance, clock.now)
    every: containers.Sums = margin.sums(risk, paying, constants.MARKETS)
    allowed: int256 = min(
        margin.collateral(paying) + every.value - every.initial,
        max(listed.fund, 0) * constants.PAYOUT_PPM // constants.PPM - listed.paid_out,
    )
    # The fund pays all that it may before anybody else bears a micro-dollar.
    paid_out: int256 = max(min(premium, allowed), 0)
    borne: int256 = premium - paid_out
    bearing: containers.Account = other
    bearing_dust: int256 = 0
    bearing, bearing_dust = margin.settle(risk, other, clock.now)
    refused.code = self.check_counterparty(risk, bearing, market, closed, borne)
    if refused.code != codes.OK:
        return refused
    held: containers.Position = encoding.unpack(bearing.positions[market])
    quote: int256 = closed * oracle
    return containers.Rescued(
        code=codes.OK,
        account=margin.moved(risk, settled, market, -closed, -quote - premium, 0),
        other=margin.moved(risk, bearing, market, closed, quote + borne, 0),
        insurance=margin.booked(paying, -paid_out, paying.positions),
        slot=unused,
        fee=0,
        growth=self.interest_growth(old.size, -closed) + self.interest_growth(held.size, closed),
        dust=dust + paying_dust + bearing_dust,
        turned_over=0,
        paid_out=paid_out,
    )


@internal
@pure
def unwind(risk: containers.Risk, clock: containers.Clock, listed: containers.Market, move: containers.Rescue, maker: containers.Order, other: containers.Account, insurance: containers.Account, slot: containers.Slot) -> containers.Rescued:
    refused: containers.Rescued = self.untouched(insurance, other, insurance, slot)
    market: int256 = maker.market
    oracle: int256 = risk.price[market]
    price: int256 = maker.limit_price
    refused.code = self.check_rescue(clock, listed, oracle)
    if refused.code != codes.OK:
        return refused
    refused.code = self.check_maker(oracle, listed, maker, other, slot, move.lots)
    if refused.code != codes.OK:
        return refused
    settled: containers.Account = insurance
    dust: int256 = 0
    settled, dust = margin.settle(risk, insurance, clock.now)
    held: containers.Position = encoding.unpack(settled.positions[market])
    if abs(held.size) < move.lots:
        refused.code = codes.OVERFILLED
        return refused
    if (held.size > 0) != (maker.side == constants.BUY):
        refused.code = codes.MISMATCHED
        return refused
    closed: int256 = self.signed_lots(held, move.lots)
    turned_over: int256 = move.lots * oracle
    if closed * (price - oracle) * constants.PPM + turned_over * constants.UNWIND_BAND_PPM < 0:
        refused.code = codes.PRICE_BAND
        return refused
    if listed.turned_over + turned_over > max(listed.fund, 0) * constants.TURNOVER_MULTIPLE:
        refused.code = codes.FUND_LIMIT
        return refused
    maker_fee: int256 = margin.ceil_div(move.lots * price * listed.maker_fee_ppm, constants.PPM)
    taken: containers.Traded = self.made(risk, clock, listed, maker, other, move.lots, maker_fee)
    if taken.code != codes.OK:
        refused.code = taken.code
        if taken.code == codes.MARGIN:
            refused.code = codes.MAKER_MARGIN
        return refused
    return containers.Rescued(
        code=codes.OK,
        account=insurance,
        other=taken.account,
        insurance=margin.moved(risk, settled, market, -closed, -closed * price, 0),
        slot=self.maker_slot_after(maker, slot, move.lots),
        fee=maker_fee,
        growth=taken.growth + self.interest_growth(held.size, -closed),
        dust=dust + taken.dust,
        turned_over=turned_over,
        paid_out=0,
    )


@internal
@pure
def close(risk: containers.Risk, previous: int256[16], clock: containers.Clock, listed: containers.Market, move: containers.Rescue, account: containers.Account, other: containers.Account, insurance: containers.Account) -> containers.Rescued:
    unused: containers.Slot = containers.Slot(sequence=0, filled=0)
    refused: containers.Rescued = self.untouched(account, other, insurance, unused)
    market: int256 = move.market
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account, clock.now)
    old: containers.Position = encoding.unpack(settled.positions[market])
    if old.size == 0:
        # Closed by something else, or folded: the touch is all that is left to do. Maker: what the head asks for.
        if move.maker == constants.MARKETS and not margin.closed(settled, constants.MARKETS, 0):
            refused.code = codes.OVERFILLED
            return refused
        refused.account = settled
        refused.dust = dust
        return refused
    lots: int256 = min(move.lots, abs(old.size))
    if lots == 0:
        refused.code = codes.OVERFILLED
        return refused
    # The entry was begun at a young price; a step takes the last there is.
    if not margin.trades(listed, risk.price[market]):
        refused.code = codes.NO_MARKET
        return refused
    if not clock.steady:
        refused.code = codes.UNSTEADY
        return refused
    # Whoever closes picks the moment, an operator even the ticks: he gets the worse of the last two prices.
    judged: containers.Risk = self.judged_at(False, risk, previous, settled)
    if margin.collateral(settled) + margin.sums(judged, settled, constants.MARKETS).value < 0:
        # By one price alone it is not insolvent, and waits for the next tick, unless none has come for long.
        better: containers.Risk = self.judged_at(True, risk, previous, settled)
        refused.code = codes.INSOLVENT
        if clock.priced and margin.collateral(settled) + margin.sums(better, settled, constants.MARKETS).value >= 0:
            refused.code = codes.UNSTEADY
        return refused
    closed: int256 = self.signed_lots(old, lots)
    penalty: int256 = lots * judged.price[market] * constants.FORCED_PENALTY_PPM // constants.PPM
    # Never more than what keeps equity over maintenance as it is: else it would fail exactly where margin is thin.
    spare: int256 = max(-self.premium_of(judged, settled, market, closed), 0)
    discount: int256 = min(penalty, spare)
    quote: int256 = closed * judged.price[market] - discount
    growth: int256 = self.interest_growth(old.size, -closed)
    fund: containers.Funded = self.funded(risk, clock, listed, insurance, market, closed, quote, 0)
    if move.other == market + 1:
        if fund.code != codes.OK:
            refused.code = fund.code
            return refused
        return containers.Rescued(
            code=codes.OK,
            account=margin.moved(risk, settled, market, -closed, -quote, 0),
            other=other,
            insurance=fund.account,
            slot=unused,
            fee=0,
            growth=growth + fund.growth,
            dust=dust + fund.dust,
            turned_over=fund.turned_over,
            paid_out=0,
        )
    if fund.code == codes.OK:
        refused.code = codes.FUND_FIRST
        return refused
    bearing: containers.Account = other
    bearing_dust: int256 = 0
    bearing, bearing_dust = margin.settle(risk, other, clock.now)
    held: containers.Position = encoding.unpack(bearing.positions[market])
    if held.size * closed >= 0 or abs(held.size) < abs(closed):
        refused.code = codes.NO_OPPOSITE
        return refused
    if margin.collateral(bearing) + margin.sums(risk, bearing, constants.MARKETS).value < 0:
        kind: containers.Risk = self.judged_at(True, risk, previous, bearing)
        if clock.priced and margin.collateral(bearing) + margin.sums(kind, bearing, constants.MARKETS).value >= 0:
            refused.code = codes.UNSTEADY
            return refused
        # A debtor is closed too: else he would keep an option against whoever took the lots in his stead. What no
        # deleveraging has covered is lost either way; whoever leaves bears of it what these lots have won.
        won: int256 = (old.size * judged.price[market] - old.cost) * lots // abs(old.size)
        borne: int256 = min(self.premium_of(risk, bearing, market, -closed), min(won, spare) - discount)
        quote = quote - max(borne, 0)
    return containers.Rescued(
        code=codes.OK,
        account=margin.moved(risk, settled, market, -closed, -quote, 0),
        other=margin.moved(risk, bearing, market, closed, quote, 0),
        insurance=insurance,
        slot=unused,
        fee=0,
        growth=growth + self.interest_growth(held.size, closed),
        dust=dust + bearing_dust,
        turned_over=0,
        paid_out=0,
    )


@internal
@pure
def decide(tag: int256, risk: containers.Risk, previous: int256[16], clock: containers.Clock, listed: containers.Market, move: containers.Rescue, maker: containers.Order, account: containers.Account, other: containers.Account, insurance: containers.Account, slot: containers.Slot) -> containers.Rescued:
    if tag == constants.LIQUIDATE:
        return self.liquidate(risk, previous, clock, listed, move, maker, account, other, insurance, slot)
    if tag == constants.CLOSE_STEP:
        return self.close(risk, previous, clock, listed, move, account, other, insurance)
    if tag == constants.TAKE_OVER or tag == constants.FORCED_RESCUE:
        return self.take_over(tag, risk, previous, clock, listed, move, account, insurance)
    if tag == constants.DELEVERAGE:
        return self.deleverage(risk, previous, clock, listed, move, account, other, insurance)
    return self.unwind(risk, clock, listed, move, maker, other, insurance, slot)
