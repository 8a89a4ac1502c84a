"""Orders and fills: check_* decides with a code, the rest builds what the decision leads to."""

from prover.stf import codes, constants, containers, encoding, margin, signatures
from prover.stf.words import address, int256


def check_order(
    order: containers.Order,
    account: containers.Account,
    signer: address,
    markets: list[containers.Market],
    market_count: int256,
    now: int256,
) -> int256:
    """Whether an order is admitted to the chunk; PROTOCOL.md 8.7."""
    if order.account < constants.RESERVED_ACCOUNTS:
        return codes.RESERVED
    code: int256 = signatures.entrusted(account, signer, order.slot, now)
    if code != codes.OK:
        return code
    if order.unused != 0 or order.slot == 0 or order.size == 0 or order.limit_price == 0:
        return codes.NOT_CANONICAL
    if order.time_in_force > constants.FILL_OR_KILL or order.trigger > constants.TRIGGER_AT_OR_BELOW:
        return codes.NOT_CANONICAL
    if order.post_only == 1 and order.time_in_force != constants.GOOD_TILL_TIME:
        return codes.NOT_CANONICAL
    if (order.trigger == constants.NO_TRIGGER) != (order.trigger_price == 0):
        return codes.NOT_CANONICAL
    lifetime: int256 = constants.ORDER_LIFETIME
    if order.time_in_force != constants.GOOD_TILL_TIME:
        lifetime = constants.IMMEDIATE_LIFETIME
    # A stop must not die overnight; what may grow must not be filled for ever by whoever kept it.
    if order.reduce_only == 1 and order.trigger != constants.NO_TRIGGER:
        lifetime = constants.STOP_LIFETIME
    code = signatures.timely(order.sequence, order.created_at, order.expires_at, lifetime, now)
    if code != codes.OK:
        return code
    if order.market >= market_count:
        return codes.NO_MARKET
    if order.reduce_only == 0 and order.size * order.limit_price < markets[order.market].minimum_notional:
        return codes.TOO_SMALL
    return codes.OK


def filled_before(order: containers.Order, slot: containers.Slot) -> int256:
    """Lots of an order that are filled already; PROTOCOL.md 8.8."""
    if slot.sequence == order.sequence:
        return slot.filled
    return 0


def triggered(order: containers.Order, price: int256) -> bool:
    """Whether the oracle price has reached an order's trigger; PROTOCOL.md 8.8."""
    if order.trigger == constants.TRIGGER_AT_OR_ABOVE:
        return price >= order.trigger_price
    if order.trigger == constants.TRIGGER_AT_OR_BELOW:
        return price <= order.trigger_price
    return True


def signed_size(order: containers.Order, size: int256) -> int256:
    """Lots as a position counts them, negative for a seller; PROTOCOL.md 7.4."""
    if order.side == constants.BUY:
        return size
    return -size


def check_order_now(
    order: containers.Order, account: containers.Account, slot: containers.Slot, price: int256, size: int256
) -> int256:
    """Whether so many lots of an order may be filled now; PROTOCOL.md 8.8."""
    code: int256 = signatures.unused(order.sequence, account.floor, slot.sequence)
    if code != codes.OK:
        return code
    if size == 0 or size > order.size - filled_before(order, slot):
        return codes.OVERFILLED
    if not triggered(order, price):
        return codes.NOT_TRIGGERED
    if order.reduce_only == 1:
        held: containers.Position = encoding.unpack(account.positions[order.market])
        if abs(held.size) < size or (held.size > 0) == (order.side == constants.BUY):
            return codes.REDUCE_ONLY
    return codes.OK


def check_pair(
    price: int256,
    priced: bool,
    market: containers.Market,
    posting_fee: int256,
    maker: containers.Order,
    taker: containers.Order,
    size: int256,
) -> int256:
    """Whether two orders may trade with each other at the maker's limit; PROTOCOL.md 8.8."""
    if maker.account == taker.account:
        return codes.SAME_ACCOUNT
    if maker.market != taker.market or maker.side == taker.side:
        return codes.MISMATCHED
    if not margin.trades(market, price):
        return codes.NO_MARKET
    if not priced:
        return codes.STALE
    if taker.post_only == 1 or maker.time_in_force != constants.GOOD_TILL_TIME:
        return codes.POST_ONLY
    if taker.time_in_force == constants.FILL_OR_KILL and size != taker.size:
        return codes.ALL_OR_NOTHING
    if signed_size(taker, maker.limit_price - taker.limit_price) > 0:
        return codes.NOT_CROSSED
    if abs(maker.limit_price - price) * constants.PPM > price * market.band_ppm:
        return codes.PRICE_BAND
    if market.maker_fee_ppm > maker.max_fee_ppm or market.taker_fee_ppm > taker.max_fee_ppm:
        return codes.FEE_ABOVE_MAXIMUM
    if posting_fee > taker.max_posting_fee:
        return codes.FEE_ABOVE_MAXIMUM
    return codes.OK


def trade(
    risk: containers.Risk, clock: containers.Clock, account: containers.Account, leg: containers.Leg
) -> containers.Traded:
    """Whether one side may trade this leg, and its account afterwards; PROTOCOL.md 7.4."""
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account, clock.now)
    others: containers.Sums = margin.sums(risk, settled, leg.market)
    old: containers.Position = encoding.unpack(settled.positions[leg.market])
    new_size: int256 = old.size + leg.size
    new_cost: int256 = margin.carried(old, leg.size, leg.size * leg.price)
    change: int256 = new_cost - old.cost - leg.size * leg.price - leg.fee
    collateral: int256 = margin.collateral(settled)
    # A position that turns is a new one, however small.
    growing: bool = abs(new_size) > abs(old.size) or new_size * old.size < 0
    if (
        abs(new_size) >= constants.SIZE_BOUND
        or (growing and abs(new_cost) >= constants.COST_BOUND)
        or abs(collateral + change) >= constants.COLLATERAL_BOUND
    ):
        return containers.Traded(code=codes.OUT_OF_BOUNDS, account=account, growth=0, dust=0)
    if growing and clock.grace:
        return containers.Traded(code=codes.GRACE, account=account, growth=0, dust=0)
    if growing and leg.growing_ppm == constants.NO_GROWTH:
        return containers.Traded(code=codes.MARKET_REDUCES, account=account, growth=0, dust=0)
    oracle: int256 = risk.price[leg.market]
    leg_ppm: int256 = max(risk.initial_ppm[leg.market], settled.initial_ppm)
    if growing:
        leg_ppm = max(leg.growing_ppm, settled.initial_ppm)
    before: int256 = collateral + others.value + old.size * oracle - old.cost
    after: int256 = before + leg.size * (oracle - leg.price) - leg.fee
    maintenance_before: int256 = others.maintenance + margin.requirement(
        oracle, old.size, risk.maintenance_ppm[leg.market]
    )
    maintenance_after: int256 = others.maintenance + margin.requirement(
        oracle, new_size, risk.maintenance_ppm[leg.market]
    )
    initial_after: int256 = others.initial + margin.requirement(oracle, new_size, leg_ppm)
    if after < initial_after and not margin.only_reduced(
        old.size, new_size, before, after, maintenance_before, maintenance_after
    ):
        return containers.Traded(code=codes.MARGIN, account=account, growth=0, dust=0)
    traded: containers.Account = margin.moved(risk, settled, leg.market, leg.size, leg.size * leg.price, leg.fee)
    return containers.Traded(code=codes.OK, account=traded, growth=max(new_size, 0) - max(old.size, 0), dust=dust)


def blamed(code: int256, margin_code: int256) -> int256:
    """The code of one side: which of the two lacks margin; PROTOCOL.md 8.8."""
    if code == codes.MARGIN:
        return margin_code
    return code


def fill(
    risk: containers.Risk,
    clock: containers.Clock,
    market: containers.Market,
    posting_fee: int256,
    maker: containers.Side,
    taker: containers.Side,
    size: int256,
) -> containers.Filled:
    """Whether two orders trade, and both accounts and slots afterwards; PROTOCOL.md 8.8."""
    filled: containers.Filled = containers.Filled(
        code=codes.OK,
        maker=maker.account,
        taker=taker.account,
        maker_slot=maker.slot,
        taker_slot=taker.slot,
        fee=0,
        growth=0,
        dust=0,
    )
    oracle: int256 = risk.price[maker.order.market]
    filled.code = check_pair(oracle, clock.priced, market, posting_fee, maker.order, taker.order, size)
    if filled.code == codes.OK:
        filled.code = check_order_now(maker.order, maker.account, maker.slot, oracle, size)
    if filled.code == codes.OK:
        filled.code = check_order_now(taker.order, taker.account, taker.slot, oracle, size)
    if filled.code != codes.OK:
        return filled
    # As if the whole size opened interest: what both sides come to is known only after both are decided.
    leg_ppm: int256 = margin.scaled_ppm(
        market, oracle, market.open_interest + size, risk.initial_ppm[maker.order.market]
    )
    # Invariant: the fill price is the maker's own limit; a notional is exact, only the fees round, against the payer.
    price: int256 = maker.order.limit_price
    maker_fee: int256 = margin.ceil_div(size * price * market.maker_fee_ppm, constants.PPM)
    taker_fee: int256 = margin.ceil_div(size * price * market.taker_fee_ppm, constants.PPM)
    # Once an order, however many fills it is cut into: the signed maximum is a total.
    taken_before: int256 = filled_before(taker.order, taker.slot)
    if taken_before == 0:
        taker_fee = taker_fee + posting_fee
    making: containers.Leg = containers.Leg(
        market=maker.order.market, size=signed_size(maker.order, size), price=price, fee=maker_fee, growing_ppm=leg_ppm
    )
    made: containers.Traded = trade(risk, clock, maker.account, making)
    if made.code != codes.OK:
        filled.code = blamed(made.code, codes.MAKER_MARGIN)
        return filled
    taking: containers.Leg = containers.Leg(
        market=taker.order.market, size=signed_size(taker.order, size), price=price, fee=taker_fee, growing_ppm=leg_ppm
    )
    taken: containers.Traded = trade(risk, clock, taker.account, taking)
    if taken.code != codes.OK:
        filled.code = blamed(taken.code, codes.TAKER_MARGIN)
        return filled
    filled.maker = made.account
    filled.taker = taken.account
    made_before: int256 = filled_before(maker.order, maker.slot)
    filled.maker_slot = containers.Slot(sequence=maker.order.sequence, filled=made_before + size)
    filled.taker_slot = containers.Slot(sequence=taker.order.sequence, filled=taken_before + size)
    filled.fee = maker_fee + taker_fee
    filled.growth = made.growth + taken.growth
    filled.dust = made.dust + taken.dust
    return filled
