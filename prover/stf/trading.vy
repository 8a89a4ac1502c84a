# pragma version 0.4.3
"""
@title Trading
@license MIT
@notice Orders, fills and cancels: check_* decides with a code, the rest builds what the decision leads to.
"""

from prover.stf import codes
from prover.stf import constants
from prover.stf import containers
from prover.stf import encoding
from prover.stf import margin
from prover.stf import signatures


@internal
@pure
def check_order(order: containers.Order, account: containers.Account, signer: address, markets: containers.Market[16], market_count: int256, now: int256) -> int256:
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
    code = signatures.timely(order.sequence, order.created_at, order.expires_at, lifetime, now)
    if code != codes.OK:
        return code
    if order.market >= market_count:
        return codes.NO_MARKET
    if order.reduce_only == 0 and order.size * order.limit_price < markets[order.market].minimum_notional:
        return codes.TOO_SMALL
    return codes.OK


@internal
@pure
def filled_before(order: containers.Order, slot: containers.Slot) -> int256:
    if slot.sequence == order.sequence:
        return slot.filled
    return 0


@internal
@pure
def triggered(order: containers.Order, price: int256) -> bool:
    if order.trigger == constants.TRIGGER_AT_OR_ABOVE:
        return price >= order.trigger_price
    if order.trigger == constants.TRIGGER_AT_OR_BELOW:
        return price <= order.trigger_price
    return True


@internal
@pure
def signed_size(order: containers.Order, size: int256) -> int256:
    if order.side == constants.BUY:
        return size
    return -size


@internal
@pure
def check_order_now(order: containers.Order, account: containers.Account, slot: containers.Slot, price: int256, size: int256) -> int256:
    code: int256 = signatures.unused(order.sequence, account.floor, slot.sequence)
    if code != codes.OK:
        return code
    if size == 0 or size > order.size - self.filled_before(order, slot):
        return codes.OVERFILLED
    if not self.triggered(order, price):
        return codes.NOT_TRIGGERED
    if order.reduce_only == 1:
        held: containers.Position = encoding.unpack(account.positions[order.market])
        if abs(held.size) < size or (held.size > 0) == (order.side == constants.BUY):
            return codes.REDUCE_ONLY
    return codes.OK


@internal
@pure
def check_pair(price: int256, priced: bool, market: containers.Market, posting_fee: int256, maker: containers.Order, taker: containers.Order, size: int256) -> int256:
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
    if self.signed_size(taker, maker.limit_price - taker.limit_price) > 0:
        return codes.NOT_CROSSED
    if abs(maker.limit_price - price) * constants.PPM > price * market.band_ppm:
        return codes.PRICE_BAND
    if market.maker_fee_ppm > maker.max_fee_ppm or market.taker_fee_ppm > taker.max_fee_ppm:
        return codes.FEE_ABOVE_MAXIMUM
    if posting_fee > taker.max_posting_fee:
        return codes.FEE_ABOVE_MAXIMUM
    return codes.OK


@internal
@pure
def trade(risk: containers.Risk, clock: containers.Clock, account: containers.Account, market: int256, size: int256, price: int256, fee: int256, growing_ppm: int256) -> containers.Traded:
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account, clock.now)
    others: containers.Sums = margin.sums(risk, settled, market)
    old: containers.Position = encoding.unpack(settled.positions[market])
    new_size: int256 = old.size + size
    new_cost: int256 = old.cost + size * price
    change: int256 = -fee
    if new_size == 0:
        change = change - new_cost
    collateral: int256 = margin.collateral(settled)
    # A position that turns is a new one, however small: else turn after turn would take its cost past the bound.
    growing: bool = abs(new_size) > abs(old.size) or new_size * old.size < 0
    if abs(new_size) >= constants.SIZE_BOUND or (growing and abs(new_cost) >= constants.COST_BOUND) or abs(collateral + change) >= constants.COLLATERAL_BOUND:
        return containers.Traded(code=codes.OUT_OF_BOUNDS, account=account, growth=0, dust=0)
    if growing and clock.grace:
        return containers.Traded(code=codes.GRACE, account=account, growth=0, dust=0)
    if growing and growing_ppm == constants.NO_GROWTH:
        return containers.Traded(code=codes.MARKET_REDUCES, account=account, growth=0, dust=0)
    oracle: int256 = risk.price[market]
    leg_ppm: int256 = max(risk.initial_ppm[market], settled.initial_ppm)
    if growing:
        leg_ppm = max(growing_ppm, settled.initial_ppm)
    before: int256 = collateral + others.value + old.size * oracle - old.cost
    after: int256 = before + size * (oracle - price) - fee
    maintenance_before: int256 = others.maintenance + margin.requirement(oracle, old.size, risk.maintenance_ppm[market])
    maintenance_after: int256 = others.maintenance + margin.requirement(oracle, new_size, risk.maintenance_ppm[market])
    initial_after: int256 = others.initial + margin.requirement(oracle, new_size, leg_ppm)
    if after < initial_after and not margin.only_reduced(old.size, new_size, before, after, maintenance_before, maintenance_after):
        return containers.Traded(code=codes.MARGIN, account=account, growth=0, dust=0)
    traded: containers.Account = margin.moved(risk, settled, market, size, size * price, fee)
    return containers.Traded(code=codes.OK, account=traded, growth=max(new_size, 0) - max(old.size, 0), dust=dust)


@internal
@pure
def fill(risk: containers.Risk, clock: containers.Clock, market: containers.Market, posting_fee: int256, maker: containers.Order, taker: containers.Order, maker_account: containers.Account, taker_account: containers.Account, maker_slot: containers.Slot, taker_slot: containers.Slot, size: int256) -> containers.Filled:
    refused: containers.Filled = containers.Filled(
        code=codes.OK,
        maker=maker_account,
        taker=taker_account,
        maker_slot=maker_slot,
        taker_slot=taker_slot,
        fee=0,
        growth=0,
        dust=0,
    )
    oracle: int256 = risk.price[maker.market]
    refused.code = self.check_pair(oracle, clock.priced, market, posting_fee, maker, taker, size)
    if refused.code != codes.OK:
        return refused
    refused.code = self.check_order_now(maker, maker_account, maker_slot, oracle, size)
    if refused.code != codes.OK:
        return refused
    refused.code = self.check_order_now(taker, taker_account, taker_slot, oracle, size)
    if refused.code != codes.OK:
        return refused
    # As if the whole size opened interest: what both sides come to is known only after both are decided.
    growing_ppm: int256 = margin.scaled_ppm(
        market, oracle, market.open_interest + size, risk.initial_ppm[maker.market]
    )
    # Invariant: the fill price is the maker's own limit; a notional is exact, only the fees round, against the payer.
    price: int256 = maker.limit_price
    maker_fee: int256 = margin.ceil_div(size * price * market.maker_fee_ppm, constants.PPM)
    taker_fee: int256 = margin.ceil_div(size * price * market.taker_fee_ppm, constants.PPM)
    # Once an order, however many fills it is cut into: the signed maximum is a total.
    if self.filled_before(taker, taker_slot) == 0:
        taker_fee = taker_fee + posting_fee
    made: containers.Traded = self.trade(risk, clock, maker_account, maker.market, self.signed_size(maker, size), price, maker_fee, growing_ppm)
    if made.code != codes.OK:
        refused.code = made.code
        if made.code == codes.MARGIN:
            refused.code = codes.MAKER_MARGIN
        return refused
    taken: containers.Traded = self.trade(risk, clock, taker_account, taker.market, self.signed_size(taker, size), price, taker_fee, growing_ppm)
    if taken.code != codes.OK:
        refused.code = taken.code
        if taken.code == codes.MARGIN:
            refused.code = codes.TAKER_MARGIN
        return refused
    return containers.Filled(
        code=codes.OK,
        maker=made.account,
        taker=taken.account,
        maker_slot=containers.Slot(sequence=maker.sequence, filled=self.filled_before(maker, maker_slot) + size),
        taker_slot=containers.Slot(sequence=taker.sequence, filled=self.filled_before(taker, taker_slot) + size),
        fee=maker_fee + taker_fee,
        growth=made.growth + taken.growth,
        dust=made.dust + taken.dust,
    )


@internal
@pure
def cancel(request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, fee=0, dust=0)
    if request.slot == 0:
        return refused
    refused.code = signatures.permitted(signatures.entrusted(account, signer, request.slot, now), request, account, slot, now)
    if refused.code != codes.OK:
        return refused
    cancelled: containers.Slot = containers.Slot(sequence=request.sequence + 1, filled=0)
    return containers.Booked(code=codes.OK, account=account, other=account, slot=cancelled, fee=0, dust=0)


@internal
@pure
def cancel_all(request: containers.Request, account: containers.Account, signer: address, now: int256) -> containers.Booked:
    untouched: containers.Slot = containers.Slot(sequence=0, filled=0)
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=untouched, fee=0, dust=0)
    if request.slot != 0:
        return refused
    refused.code = signatures.permitted(signatures.entrusted(account, signer, 0, now), request, account, untouched, now)
    if refused.code != codes.OK:
        return refused
    raised: containers.Account = containers.Account(
        owner=account.owner,
        floor=request.sequence + 1,
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=account.initial_ppm,
        agents=account.agents,
        positions=account.positions,
    )
    return containers.Booked(code=codes.OK, account=raised, other=account, slot=untouched, fee=0, dust=0)


@internal
@pure
def set_agent(request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, fee=0, dust=0)
    if request.slot == 0 or request.other >= constants.AGENTS or request.first_slot > request.last_slot:
        return refused
    # Nobody is an agent by the one word that is zero.
    if request.recipient == containers.NOBODY and (request.amount != 0 or request.last_slot != 0):
        return refused
    refused.code = signatures.permitted(signatures.owned(account, signer), request, account, slot, now)
    if refused.code != codes.OK:
        return refused
    agents: uint256[2] = account.agents
    agents[request.other] = encoding.agent_word(request.recipient, request.amount, request.first_slot, request.last_slot)
    trusted: containers.Account = containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=account.initial_ppm,
        agents=agents,
        positions=account.positions,
    )
    used: containers.Slot = containers.Slot(sequence=request.sequence + 1, filled=0)
    return containers.Booked(code=codes.OK, account=trusted, other=account, slot=used, fee=0, dust=0)


@internal
@pure
def set_leverage(request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, fee=0, dust=0)
    if request.slot == 0 or request.amount > constants.PPM:
        return refused
    refused.code = signatures.permitted(signatures.owned(account, signer), request, account, slot, now)
    if refused.code != codes.OK:
        return refused
    bounded: containers.Account = containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=request.amount,
        agents=account.agents,
        positions=account.positions,
    )
    used: containers.Slot = containers.Slot(sequence=request.sequence + 1, filled=0)
    return containers.Booked(code=codes.OK, account=bounded, other=account, slot=used, fee=0, dust=0)


@internal
@pure
def book(tag: int256, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    if tag == constants.CANCEL:
        return self.cancel(request, account, slot, signer, now)
    if tag == constants.SET_AGENT:
        return self.set_agent(request, account, slot, signer, now)
    if tag == constants.SET_LEVERAGE:
        return self.set_leverage(request, account, slot, signer, now)
    return self.cancel_all(request, account, signer, now)
