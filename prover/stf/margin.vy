# pragma version 0.4.3
"""
@title Margin
@license MIT
@notice Funding due, equity, requirements, and the one rule of every change: healthy, or only reduced.
        Formulas: PROTOCOL.md, margin law. Sums leave one market out, so that before and after differ in one leg.
"""

from prover.stf import constants
from prover.stf import containers
from prover.stf import debts
from prover.stf import encoding


@internal
@pure
def floor_div(numerator: int256, denominator: int256) -> int256:
    """A quotient rounded down, below zero as well; PROTOCOL.md 3."""
    if numerator >= 0:
        return numerator // denominator
    return -((denominator - 1 - numerator) // denominator)


@internal
@pure
def ceil_div(numerator: int256, denominator: int256) -> int256:
    """A quotient rounded up, against whoever pays it; PROTOCOL.md 3."""
    return -self.floor_div(-numerator, denominator)


@internal
@pure
def requirement(price: int256, size: int256, ppm: int256) -> int256:
    """What a position of this size requires at this fraction, rounded up; PROTOCOL.md 7.2."""
    return unsafe_div(unsafe_add(unsafe_mul(unsafe_mul(abs(size), price), ppm), constants.PPM - 1), constants.PPM)


@internal
@pure
def collateral(account: containers.Account) -> int256:
    """All money of an account, matured or not; PROTOCOL.md 4.3."""
    return account.settled + account.older + account.fresh


@internal
@pure
def scaled_ppm(market: containers.Market, price: int256, open_interest: int256, base_ppm: int256) -> int256:
    """The initial fraction of a leg that grows, by open interest and fund; -1 where none may; PROTOCOL.md 7.4."""
    if market.status != constants.MARKET_OPEN:
        return constants.NO_GROWTH
    fund: int256 = max(market.fund, 0)
    lower: int256 = min(market.interest_lower, fund * constants.FUND_MULTIPLE_LOWER)
    upper: int256 = min(market.interest_upper, fund * constants.FUND_MULTIPLE_UPPER)
    notional: int256 = open_interest * price
    if notional >= upper:
        return constants.PPM
    if notional <= lower:
        return base_ppm
    return base_ppm + self.ceil_div((constants.PPM - base_ppm) * (notional - lower), upper - lower)


@internal
@pure
def trades(market: containers.Market, price: int256) -> bool:
    """Whether a market is listed, not settled, and has a price; PROTOCOL.md 7.4."""
    return market.status != constants.MARKET_CLOSED and market.status != constants.MARKET_SETTLED and price != 0


@internal
@pure
def closed(account: containers.Account, market: int256, lots: int256) -> bool:
    """Whether nothing is left of what a head asks to close; PROTOCOL.md 8.15."""
    if market < constants.MARKETS:
        return lots == 0 or account.positions[market] == containers.EMPTY
    for held: int256 in range(constants.MARKETS):
        if account.positions[held] != containers.EMPTY:
            return False
    return True


@internal
@pure
def matured(owing: containers.Debts, account: containers.Account, now: int256) -> containers.Account:
    """Fresh and older money, moved on by the epochs that have passed, its part of debts paid; PROTOCOL.md 7.1."""
    epoch: int256 = debts.today(owing, now)
    factor: int256 = debts.latest(owing)
    if account.epoch == epoch and account.factor == factor:
        return account
    settled: int256 = 0
    older: int256 = 0
    fresh: int256 = 0
    settled, older, fresh = debts.aged(owing, account, epoch)
    return containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=settled,
        older=older,
        fresh=fresh,
        epoch=epoch,
        initial_ppm=account.initial_ppm,
        agents=account.agents,
        positions=account.positions,
        factor=factor,
    )


@internal
@pure
def booked(account: containers.Account, change: int256, positions: uint256[16]) -> containers.Account:
    """An account after a profit or a loss; PROTOCOL.md 7.1."""
    # Profit is fresh; a loss eats fresh, older and settled money in turn.
    settled: int256 = account.settled
    older: int256 = account.older
    fresh: int256 = account.fresh + change
    if fresh < 0:
        older = older + fresh
        fresh = 0
    if older < 0:
        settled = settled + older
        older = 0
    # What an account owes is paid first: money that pays for others' debts is there.
    if settled < 0:
        by_fresh: int256 = min(fresh, -settled)
        fresh = fresh - by_fresh
        settled = settled + by_fresh
        by_older: int256 = min(older, -settled)
        older = older - by_older
        settled = settled + by_older
    return containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=settled,
        older=older,
        fresh=fresh,
        epoch=account.epoch,
        initial_ppm=account.initial_ppm,
        agents=account.agents,
        positions=positions,
        factor=account.factor,
    )


@internal
@pure
def carried(old: containers.Position, size: int256, quote: int256) -> int256:
    """What a position has cost after a trade: of lots that are gone it is money, pro rata; PROTOCOL.md 7.4."""
    new_size: int256 = old.size + size
    if new_size * old.size < 0:
        return self.floor_div(quote * abs(new_size), abs(size))
    if abs(new_size) < abs(old.size):
        return self.floor_div(old.cost * abs(new_size), abs(old.size))
    return old.cost + quote


@internal
@pure
def moved(risk: containers.Risk, settled: containers.Account, market: int256, size: int256, quote: int256, fee: int256) -> containers.Account:
    """An account after a settled trade of its position in one market; PROTOCOL.md 7.4."""
    old: containers.Position = encoding.unpack(settled.positions[market])
    cost: int256 = self.carried(old, size, quote)
    positions: uint256[16] = settled.positions
    positions[market] = encoding.pack(old.size + size, cost, risk.funding_index[market])
    return self.booked(settled, cost - old.cost - quote - fee, positions)


@internal
@pure
def filled_up(risk: containers.Risk, before: containers.Account, account: containers.Account) -> containers.Account:
    """An account whose money and positions have made good what the others lost, when others closed; PROTOCOL.md 7.4."""
    # Others chose what was closed. Left as money, what one leg of a hedge has won would pay for their debts, and what
    # the other leg has lost would be its owner's deposit. Closed is the losing leg: what the other one has won, open,
    # pays for it ahead of the deposit, or that would be gone, and the rest profit that has not settled.
    lost: int256[16] = empty(int256[16])
    net: int256 = 0
    for market: int256 in range(constants.MARKETS):
        if account.positions[market] != containers.EMPTY:
            held: containers.Position = encoding.unpack(account.positions[market])
            lost[market] = unsafe_sub(held.cost, unsafe_mul(held.size, risk.price[market]))
            net = unsafe_add(net, lost[market])
    filled: int256 = min(account.older + account.fresh, net)
    if filled <= 0:
        filled = max(account.settled - before.settled, net)
        if filled >= 0:
            return account
    left: int256 = filled
    positions: uint256[16] = account.positions
    for market: int256 in range(constants.MARKETS):
        part: int256 = min(max(lost[market], min(left, 0)), max(left, 0))
        if part != 0:
            leg: containers.Position = encoding.unpack(positions[market])
            positions[market] = encoding.pack(leg.size, leg.cost - part, leg.funding)
            left = left - part
    return self.booked(before, self.collateral(account) - self.collateral(before) - filled, positions)


@internal
@pure
def settle(risk: containers.Risk, account: containers.Account, now: int256) -> (containers.Account, int256):
    """An account with matured profit and paid funding, and the dust of the rounding; PROTOCOL.md 7.1."""
    today: containers.Account = self.matured(risk.debts, account, now)
    due: bool = False
    owed: int256 = 0
    folded: int256 = 0
    positions: uint256[16] = account.positions
    for market: int256 in range(constants.MARKETS):
        if positions[market] == containers.EMPTY:
            continue
        position: containers.Position = encoding.unpack(positions[market])
        funding_index: int256 = risk.funding_index[market]
        if position.funding != funding_index:
            due = True
            owed = unsafe_add(owed, unsafe_mul(position.size, unsafe_sub(funding_index, position.funding)))
            positions[market] = encoding.pack(position.size, position.cost, funding_index)
        # A settled market has no requirement: its positions become money at their next touch.
        if risk.initial_ppm[market] == 0:
            due = True
            folded = folded + position.size * risk.price[market] - position.cost
            positions[market] = containers.EMPTY
    if not due:
        return today, 0
    # One rounding for all positions, against the account; the remainder is kept as dust.
    payment: int256 = self.ceil_div(owed, constants.FUNDING_SCALE)
    return self.booked(today, folded - payment, positions), payment * constants.FUNDING_SCALE - owed


@internal
@pure
def sums(risk: containers.Risk, account: containers.Account, left_out: int256) -> containers.Sums:
    """Value, notional and both requirements over all positions but one; PROTOCOL.md 7.2."""
    value: int256 = 0
    notional: int256 = 0
    initial: int256 = 0
    maintenance: int256 = 0
    for market: int256 in range(constants.MARKETS):
        if account.positions[market] == containers.EMPTY or market == left_out:
            continue
        position: containers.Position = encoding.unpack(account.positions[market])
        price: int256 = risk.price[market]
        value = unsafe_sub(unsafe_add(value, unsafe_mul(position.size, price)), position.cost)
        notional = unsafe_add(notional, unsafe_mul(abs(position.size), price))
        initial = unsafe_add(initial, self.requirement(price, position.size, max(risk.initial_ppm[market], account.initial_ppm)))
        maintenance = unsafe_add(maintenance, self.requirement(price, position.size, risk.maintenance_ppm[market]))
    return containers.Sums(value=value, notional=notional, initial=initial, maintenance=maintenance)


@internal
@pure
def equity(risk: containers.Risk, account: containers.Account) -> int256:
    """Equity of a settled account; PROTOCOL.md 7.2."""
    return self.collateral(account) + self.sums(risk, account, constants.MARKETS).value


@internal
@pure
def spendable(risk: containers.Risk, account: containers.Account, floor_ppm: int256) -> int256:
    """How much may leave a settled account; PROTOCOL.md 7.3."""
    every: containers.Sums = self.sums(risk, account, constants.MARKETS)
    kept: int256 = self.ceil_div(every.notional * floor_ppm, constants.PPM)
    return self.collateral(account) + every.value - max(every.initial, kept)


@internal
@pure
def only_reduced(old_size: int256, new_size: int256, before: int256, after: int256, maintenance_before: int256, maintenance_after: int256) -> bool:
    """Whether a position only shrank, and equity over maintenance did not fall; PROTOCOL.md 7.4."""
    if abs(new_size) > abs(old_size) or new_size * old_size < 0:
        return False
    if maintenance_after > maintenance_before:
        return False
    return after * maintenance_before >= before * maintenance_after
