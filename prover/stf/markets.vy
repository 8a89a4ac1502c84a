# pragma version 0.4.3
"""
@title Markets
@license MIT
@notice Ticks: one quorum of signed messages moves every price, and funding accrues from the signed premium.
"""

from prover.stf import codes
from prover.stf import constants
from prover.stf import containers
from prover.stf import encoding
from prover.stf import margin
from prover.stf import merkle
from prover.stf import signatures


@internal
@pure
def check_tick(time: int256, signer_count: int256, market_count: int256, globals: containers.Globals, now: int256) -> int256:
    if time % constants.TICK_STEP != 0 or time > now + constants.CLOCK_TOLERANCE:
        return codes.OFF_GRID
    if time <= globals.tick_time:
        return codes.OLD_TICK
    if signer_count != globals.quorum or market_count != globals.market_count:
        return codes.QUORUM
    return codes.OK


@internal
@pure
def median(reports: int256[7], count: int256) -> int256:
    ranked: int256[7] = reports
    for i: int256 in range(1, constants.SIGNERS):
        if i >= count:
            break
        value: int256 = ranked[i]
        place: int256 = i
        for j: int256 in range(constants.SIGNERS):
            if place == 0 or ranked[place - 1] <= value:
                break
            ranked[place] = ranked[place - 1]
            place = place - 1
        ranked[place] = value
    return ranked[count // 2]


@internal
@pure
def accrued(funding_index: int256, premium_ppm: int256, cap_ppm: int256, price: int256, elapsed: int256) -> int256:
    rate_ppm: int256 = max(min(premium_ppm, cap_ppm), -cap_ppm)
    growth: int256 = margin.floor_div(rate_ppm * price * min(elapsed, constants.TICK_GAP), constants.FUNDING_DIVISOR)
    # At the bound the index stands still: funding stops, nothing reverts.
    return max(min(funding_index + growth, constants.FUNDING_BOUND - 1), -constants.FUNDING_BOUND + 1)


@internal
@view
def tick_signer(domain: bytes32, time: int256, market_count: int256, offset: uint256) -> (address, int256[16], int256[16]):
    prices: int256[16] = empty(int256[16])
    premiums: int256[16] = empty(int256[16])
    at: uint256 = offset
    for market: int256 in range(market_count, bound=16):
        packed: uint256 = merkle.at(at)
        prices[market] = encoding.bits(packed, 208, 48)
        premiums[market] = encoding.premium(packed)
        at += 9
    digest: bytes32 = signatures.digest(domain, signatures.tick_hash(time, prices, premiums))
    return signatures.recover(digest, merkle.at(at), merkle.at(at + 32)), prices, premiums


@internal
@view
def tick(domain: bytes32, globals: containers.Globals, now: int256, operation: uint256) -> containers.Ticked:
    head: uint256 = merkle.at(operation + 1)
    time: int256 = encoding.bits(head, 208, 48)
    signer_count: int256 = encoding.bits(head, 200, 8)
    ticked: containers.Ticked = containers.Ticked(
        code=self.check_tick(time, signer_count, encoding.bits(head, 192, 8), globals, now),
        time=time,
        grace_until=globals.grace_until,
        streak=1,
        price=empty(int256[16]),
        premium_ppm=empty(int256[16]),
        funding_index=empty(int256[16]),
    )
    if ticked.code != codes.OK:
        return ticked
    prices: int256[7][16] = empty(int256[7][16])
    premiums: int256[7][16] = empty(int256[7][16])
    market_count: int256 = globals.market_count
    # Whoever withholds ticks gains nothing by it: the same grace that spares an account lets nobody take money out.
    if globals.tick_time != 0 and time - globals.tick_time > constants.TICK_GAP:
        ticked.grace_until = time + globals.grace_period
    if time - globals.tick_time == constants.TICK_STEP:
        ticked.streak = min(globals.streak + 1, constants.STEADY_TICKS)
    last: int256 = -1
    at: uint256 = operation + 9
    for i: int256 in range(signer_count, bound=7):
        index: int256 = encoding.bits(merkle.at(at), 248, 8)
        signer: address = containers.NOBODY
        price: int256[16] = empty(int256[16])
        premium: int256[16] = empty(int256[16])
        signer, price, premium = self.tick_signer(domain, time, market_count, at + 1)
        if index <= last or index >= constants.SIGNERS:
            ticked.code = codes.BAD_SIGNERS
            return ticked
        if signer == containers.NOBODY or signer != globals.signers[index]:
            ticked.code = codes.BAD_SIGNERS
            return ticked
        last = index
        for market: int256 in range(market_count, bound=16):
            if price[market] == 0:
                ticked.code = codes.ZERO_PRICE
                return ticked
            prices[market][i] = price[market]
            premiums[market][i] = premium[market]
        at += convert(constants.TICK_SIGNER_LENGTH + constants.TICK_MARKET_LENGTH * market_count, uint256)
    for market: int256 in range(market_count, bound=16):
        ticked.price[market] = self.median(prices[market], signer_count)
        ticked.premium_ppm[market] = self.median(premiums[market], signer_count)
        ticked.funding_index[market] = self.accrued(
            globals.risk.funding_index[market],
            ticked.premium_ppm[market],
            globals.markets[market].funding_cap_ppm,
            ticked.price[market],
            time - globals.tick_time,
        )
    return ticked
