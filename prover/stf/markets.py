"""Ticks: one quorum of signed messages moves every price, and funding accrues from the signed premium."""

from prover.stf import codes, constants, containers, encoding, margin, signatures
from prover.stf.words import Recover, address, bytes32, int256, uint256, word_at


def check_tick(
    time: int256, signer_count: int256, market_count: int256, globals: containers.Globals, now: int256
) -> int256:
    if time % constants.TICK_STEP != 0 or time > now + constants.CLOCK_TOLERANCE:
        return codes.OFF_GRID
    if time <= globals.tick_time:
        return codes.OLD_TICK
    if signer_count != globals.quorum or market_count != globals.market_count:
        return codes.QUORUM
    return codes.OK


def median(reports: list[int256], count: int256) -> int256:
    ranked: list[int256] = reports.copy()
    for i in range(1, constants.SIGNERS):
        if i >= count:
            break
        value: int256 = ranked[i]
        place: int256 = i
        for j in range(constants.SIGNERS):  # noqa: B007  (Vyper's loop)
            if place == 0 or ranked[place - 1] <= value:
                break
            ranked[place] = ranked[place - 1]
            place = place - 1
        ranked[place] = value
    return ranked[count // 2]


def accrued(funding_index: int256, premium_ppm: int256, cap_ppm: int256, price: int256, elapsed: int256) -> int256:
    rate_ppm: int256 = max(min(premium_ppm, cap_ppm), -cap_ppm)
    growth: int256 = margin.floor_div(rate_ppm * price * min(elapsed, constants.TICK_GAP), constants.FUNDING_DIVISOR)
    # At the bound the index stands still: funding stops, nothing reverts.
    return max(min(funding_index + growth, constants.FUNDING_BOUND - 1), -constants.FUNDING_BOUND + 1)


def tick_signer(
    domain: bytes32, time: int256, market_count: int256, operation: bytes, offset: uint256, ecrecover: Recover
) -> tuple[address, list[int256], list[int256]]:
    prices: list[int256] = [0] * constants.MARKETS
    premiums: list[int256] = [0] * constants.MARKETS
    at: uint256 = offset
    for market in range(market_count):
        packed: uint256 = word_at(operation, at)
        prices[market] = encoding.bits(packed, 208, 48)
        premiums[market] = encoding.premium(packed)
        at += 9
    digest: bytes32 = signatures.digest(domain, signatures.tick_hash(time, prices, premiums))
    return signatures.recover(digest, word_at(operation, at), word_at(operation, at + 32), ecrecover), prices, premiums


def tick(
    domain: bytes32, globals: containers.Globals, now: int256, operation: bytes, ecrecover: Recover
) -> containers.Ticked:
    head: uint256 = word_at(operation, 1)
    time: int256 = encoding.bits(head, 208, 48)
    signer_count: int256 = encoding.bits(head, 200, 8)
    ticked: containers.Ticked = containers.Ticked(
        code=check_tick(time, signer_count, encoding.bits(head, 192, 8), globals, now),
        time=time,
        grace_until=globals.grace_until,
        streak=1,
        price=[0] * constants.MARKETS,
        premium_ppm=[0] * constants.MARKETS,
        funding_index=[0] * constants.MARKETS,
    )
    if ticked.code != codes.OK:
        return ticked
    prices: list[list[int256]] = [[0] * constants.SIGNERS for _ in range(constants.MARKETS)]
    premiums: list[list[int256]] = [[0] * constants.SIGNERS for _ in range(constants.MARKETS)]
    market_count: int256 = globals.market_count
    # Whoever withholds ticks gains nothing by it: the same grace that spares an account lets nobody take money out.
    if globals.tick_time != 0 and time - globals.tick_time > constants.TICK_GAP:
        ticked.grace_until = time + globals.grace_period
    if time - globals.tick_time == constants.TICK_STEP:
        ticked.streak = min(globals.streak + 1, constants.STEADY_TICKS)
    last: int256 = -1
    at: uint256 = 9
    for i in range(signer_count):
        index: int256 = encoding.bits(word_at(operation, at), 248, 8)
        signer: address = containers.NOBODY
        price: list[int256] = [0] * constants.MARKETS
        premium: list[int256] = [0] * constants.MARKETS
        signer, price, premium = tick_signer(domain, time, market_count, operation, at + 1, ecrecover)
        if index <= last or index >= constants.SIGNERS:
            ticked.code = codes.BAD_SIGNERS
            return ticked
        if signer == containers.NOBODY or signer != globals.signers[index]:
            ticked.code = codes.BAD_SIGNERS
            return ticked
        last = index
        for market in range(market_count):
            if price[market] == 0:
                ticked.code = codes.ZERO_PRICE
                return ticked
            prices[market][i] = price[market]
            premiums[market][i] = premium[market]
        at += constants.TICK_SIGNER_LENGTH + constants.TICK_MARKET_LENGTH * market_count
    for market in range(market_count):
        ticked.price[market] = median(prices[market], signer_count)
        ticked.premium_ppm[market] = median(premiums[market], signer_count)
        ticked.funding_index[market] = accrued(
            globals.risk.funding_index[market],
            ticked.premium_ppm[market],
            globals.markets[market].funding_cap_ppm,
            ticked.price[market],
            time - globals.tick_time,
        )
    return ticked
