# pragma version 0.4.3
"""
@title Markets
@license MIT
@notice Ticks: one quorum of signed messages moves every price, and funding accrues from the signed premium.
        Parameters: what the governor may change, in which ranges, how far and how often; a market's listing and its end.
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
    """Whether a tick is newer, of the grid, and of as many signers and markets as it must; PROTOCOL.md 8.6."""
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
    """The middle one of an odd number of values; PROTOCOL.md 7.6."""
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
def funding_rate(terms: uint256, premium_ppb: int256) -> int256:
    """What longs pay to shorts of their notional, ppb an hour; PROTOCOL.md 7.5."""
    cap: int256 = encoding.funding_cap(terms)
    damping: int256 = encoding.funding_damping(terms)
    # An interest near the premium takes its place; from a premium far off it takes as much as the damping.
    damped: int256 = premium_ppb + max(min(encoding.funding_interest(terms) - premium_ppb, damping), -damping)
    return max(min(damped, cap), -cap)


@internal
@pure
def accrued(funding_index: int256, rate_ppb: int256, price: int256, elapsed: int256) -> int256:
    """A funding index after a rate of so many ms; PROTOCOL.md 7.5."""
    # An hour's billionths of ticks are units of the index: 10^-9 micro-dollar a lot.
    growth: int256 = margin.floor_div(rate_ppb * price * min(elapsed, constants.TICK_GAP), constants.HOUR)
    # At the bound the index stands still: funding stops, nothing reverts.
    return max(min(funding_index + growth, constants.FUNDING_BOUND - 1), -constants.FUNDING_BOUND + 1)


@internal
@view
def tick_signer(domain: bytes32, time: int256, market_count: int256, offset: uint256) -> (address, int256[16], int256[16]):
    """One report of a tick: its signer, prices and premiums; PROTOCOL.md 8.6."""
    prices: int256[16] = empty(int256[16])
    premiums: int256[16] = empty(int256[16])
    at: uint256 = offset
    for market: int256 in range(market_count, bound=16):
        packed: uint256 = merkle.at(at)
        prices[market] = encoding.bits(packed, 208, 48)
        premiums[market] = encoding.premium(packed)
        at += 10
    digest: bytes32 = signatures.digest(domain, signatures.tick_hash(time, prices, premiums))
    return signatures.recover(digest, merkle.at(at), merkle.at(at + 32)), prices, premiums


@internal
@pure
def check_signer(index: int256, last: int256, signer: address, signers: uint256[7]) -> int256:
    """Whether a report is of an oracle signer, and they stand in order; PROTOCOL.md 8.6."""
    if index <= last:
        if index == last:
            return codes.DUPLICATE_SIGNER
        return codes.UNSORTED_SIGNERS
    if index >= constants.SIGNERS or signer == containers.NOBODY or convert(signer, uint256) != signers[index]:
        return codes.BAD_SIGNERS
    return codes.OK


@internal
@pure
def counted(price: int256, known: int256, named: int256) -> int256:
    """A median price, but none where it is the first and far from the one that the listing named; PROTOCOL.md 8.6."""
    if known != 0 or named == 0:
        return price
    # Its listing or its signers are wrong by a unit: it has no price until both say the same.
    if price > named * constants.LISTING_MULTIPLE or named > price * constants.LISTING_MULTIPLE:
        return 0
    return price


@internal
@pure
def settling(listed: containers.Market, price: int256, last: int256, time: int256) -> (int256, int256, int256):
    """Whether a settling market is over at this tick, its price, and what is counted of its hour; PROTOCOL.md 8.22."""
    # An hour of the clock, that begins an hour or more after its announcement: whoever orders picks no span.
    start: int256 = (time - 1) // constants.HOUR * constants.HOUR
    counted_sum: int256 = listed.settling // constants.SETTLING_SHIFT
    counted_time: int256 = listed.settling % constants.SETTLING_SHIFT
    expected: int256 = price
    if last <= start:
        # The hour's mean settles it, and stays its price for ever; too many gaps, and another hour must do.
        if counted_time >= constants.LEAST_SETTLING_TIME:
            return 1, counted_sum // counted_time, 0
        counted_sum = 0
        counted_time = 0
    if start >= listed.changed_at + constants.HOUR:
        lasted: int256 = min(time - max(last, start), constants.TICK_GAP)
        counted_sum = counted_sum + price * lasted
        counted_time = counted_time + lasted
        # What it would settle at, if the price stayed: an account that stood at the price could owe at the mean, and
        # whoever knows most of the mean could leave at the price.
        left: int256 = start + constants.HOUR - time
        if counted_time + left >= constants.LEAST_SETTLING_TIME:
            expected = (counted_sum + price * left) // (counted_time + left)
    return 0, expected, counted_sum * constants.SETTLING_SHIFT + counted_time


@internal
@view
def reported(domain: bytes32, signers: uint256[7], market_count: int256, time: int256, signer_count: int256, operation: uint256) -> (int256, int256[7][16], int256[7][16]):
    """Whether all reports of a tick are of oracle signers, and what they say of each market; PROTOCOL.md 8.6."""
    prices: int256[7][16] = empty(int256[7][16])
    premiums: int256[7][16] = empty(int256[7][16])
    code: int256 = codes.OK
    last: int256 = -1
    at: uint256 = operation + 9
    for i: int256 in range(signer_count, bound=7):
        index: int256 = encoding.bits(merkle.at(at), 248, 8)
        signer: address = containers.NOBODY
        price: int256[16] = empty(int256[16])
        premium: int256[16] = empty(int256[16])
        signer, price, premium = self.tick_signer(domain, time, market_count, at + 1)
        code = self.check_signer(index, last, signer, signers)
        if code != codes.OK:
            return code, prices, premiums
        last = index
        for market: int256 in range(market_count, bound=16):
            prices[market][i] = price[market]
            premiums[market][i] = premium[market]
        at += convert(constants.TICK_SIGNER_LENGTH + constants.TICK_MARKET_LENGTH * market_count, uint256)
    return codes.OK, prices, premiums


@internal
@pure
def undecided(code: int256, time: int256, grace_until: int256) -> containers.Ticked:
    """A tick of which nothing is known but when it is; PROTOCOL.md 8.6."""
    return containers.Ticked(
        code=code,
        time=time,
        grace_until=grace_until,
        streak=1,
        price=empty(int256[16]),
        premium_ppb=empty(int256[16]),
        funding_index=empty(int256[16]),
        settling=empty(int256[16]),
        status=empty(int256[16]),
        previous_price=empty(int256[16]),
    )


@internal
@view
def tick(domain: bytes32, globals: containers.Globals, now: int256, operation: uint256) -> containers.Ticked:
    """Whether a tick is a quorum's, and the prices and funding that follow; PROTOCOL.md 8.6."""
    head: uint256 = merkle.at(operation + 1)
    time: int256 = encoding.bits(head, 208, 48)
    signer_count: int256 = encoding.bits(head, 200, 8)
    code: int256 = self.check_tick(time, signer_count, encoding.bits(head, 192, 8), globals, now)
    ticked: containers.Ticked = self.undecided(code, time, globals.grace_until)
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
    ticked.code, prices, premiums = self.reported(domain, globals.signers, market_count, time, signer_count, operation)
    if ticked.code != codes.OK:
        return ticked
    is_priced: bool = False
    for market: int256 in range(market_count, bound=16):
        listed: containers.Market = globals.markets[market]
        ticked.status[market] = listed.status
        ticked.price[market] = globals.risk.price[market]
        ticked.funding_index[market] = globals.risk.funding_index[market]
        # A named price stands until there is one.
        ticked.previous_price[market] = listed.previous_price
        if listed.status == constants.MARKET_SETTLED:
            is_priced = True
            ticked.previous_price[market] = ticked.price[market]
            continue
        price: int256 = self.median(prices[market], signer_count)
        price = self.counted(price, ticked.price[market], listed.previous_price)
        if price != 0:
            is_priced = True
            # What stood while it was set aside is no price before the one that comes back.
            ticked.previous_price[market] = 0
            if listed.previous_price != constants.SET_ASIDE:
                ticked.previous_price[market] = ticked.price[market]
            ticked.price[market] = price
            ticked.premium_ppb[market] = self.median(premiums[market], signer_count)
            ticked.funding_index[market] = self.accrued(
                globals.risk.funding_index[market],
                self.funding_rate(listed.funding_terms, ticked.premium_ppb[market]),
                ticked.price[market],
                time - globals.tick_time,
            )
        elif ticked.price[market] != 0:
            # Set aside alone: its price and index stand, it is only reduced, and the others go on. Nobody else has to
            # trade at what stands: no previous price says so.
            ticked.previous_price[market] = constants.SET_ASIDE
            if listed.status == constants.MARKET_OPEN:
                ticked.status[market] = constants.MARKET_REDUCE_ONLY
        if listed.status == constants.MARKET_SETTLING:
            is_over: int256 = 0
            price_now: int256 = 0
            hour: int256 = 0
            is_over, price_now, hour = self.settling(listed, ticked.price[market], globals.tick_time, time)
            if is_over == 1:
                ticked.status[market] = constants.MARKET_SETTLED
            ticked.price[market] = price_now
            ticked.settling[market] = hour
    if not is_priced:
        ticked.code = codes.ZERO_PRICE
    return ticked


@internal
@pure
def stepped(old: int256, new: int256) -> bool:
    """Whether a parameter moves by at most a quarter of itself; PROTOCOL.md 7.8."""
    return abs(new - old) * constants.STEP_DIVISOR <= old


@internal
@pure
def nudged(old: int256, new: int256, least: int256) -> bool:
    """Whether a parameter moves by at most a quarter of itself, or by its least step; PROTOCOL.md 7.8."""
    return abs(new - old) <= max(abs(old) // constants.STEP_DIVISOR, least)


@internal
@pure
def in_range(given: containers.Parameters) -> bool:
    """Whether a market's parameters are within the law's ranges; PROTOCOL.md 7.8."""
    if given.initial_ppm < constants.LEAST_INITIAL_PPM or given.initial_ppm > constants.PPM:
        return False
    if given.maintenance_ppm < constants.LEAST_MAINTENANCE_PPM:
        return False
    if (
        given.maintenance_ppm * constants.MAINTENANCE_DENOMINATOR
        > given.initial_ppm * constants.MAINTENANCE_NUMERATOR
    ):
        return False
    if given.maker_fee_ppm > given.taker_fee_ppm or given.taker_fee_ppm > constants.MOST_FEE_PPM:
        return False
    if given.band_ppm < constants.LEAST_BAND_PPM or given.band_ppm > constants.MOST_BAND_PPM:
        return False
    if given.unwind_band_ppm < constants.LEAST_UNWIND_BAND_PPM:
        return False
    # Less than a forced close pays: else a fund gave back to an owner's own orders more than it takes of him.
    if given.unwind_band_ppm > constants.MOST_UNWIND_BAND_PPM:
        return False
    if given.funding_cap_ppb > constants.MOST_FUNDING_CAP_PPB:
        return False
    if abs(given.funding_interest_ppb) > constants.MOST_FUNDING_INTEREST_PPB:
        return False
    if given.funding_damping_ppb > constants.MOST_FUNDING_DAMPING_PPB:
        return False
    if given.minimum_notional == 0 or given.minimum_notional > constants.MOST_MINIMUM_NOTIONAL:
        return False
    # No fund stands for interest that has no bound.
    return given.interest_lower < given.interest_upper


@internal
@pure
def check_step(given: containers.Parameters, listed: containers.Market, initial_ppm: int256, maintenance_ppm: int256) -> bool:
    """Whether every parameter moves by at most one step; PROTOCOL.md 7.8."""
    if not self.stepped(initial_ppm, given.initial_ppm) or not self.stepped(maintenance_ppm, given.maintenance_ppm):
        return False
    if abs(given.maker_fee_ppm - listed.maker_fee_ppm) > constants.FEE_STEP_PPM:
        return False
    if abs(given.taker_fee_ppm - listed.taker_fee_ppm) > constants.FEE_STEP_PPM:
        return False
    terms: uint256 = listed.funding_terms
    if not self.nudged(encoding.funding_cap(terms), given.funding_cap_ppb, constants.FUNDING_STEP_PPB):
        return False
    if not self.nudged(encoding.funding_interest(terms), given.funding_interest_ppb, constants.FUNDING_STEP_PPB):
        return False
    if not self.nudged(encoding.funding_damping(terms), given.funding_damping_ppb, constants.FUNDING_STEP_PPB):
        return False
    if not self.stepped(listed.band_ppm, given.band_ppm):
        return False
    if not self.stepped(listed.minimum_notional, given.minimum_notional):
        return False
    if not self.stepped(listed.unwind_band_ppm, given.unwind_band_ppm):
        return False
    # Whoever lifts the bounds lifts what the fund stands for.
    return self.stepped(listed.interest_lower, given.interest_lower) and self.stepped(listed.interest_upper, given.interest_upper)


@internal
@pure
def check_listing(given: containers.Parameters) -> int256:
    """Whether a market may be listed; PROTOCOL.md 8.22."""
    if given.status != constants.MARKET_OPEN or given.label == containers.NO_HASH:
        return codes.OUT_OF_RANGE
    if encoding.size_decimals(given.label) > constants.MOST_SIZE_DECIMALS:
        return codes.OUT_OF_RANGE
    # Coarser, and it could fall to nothing, and a tick be wider than bands.
    if given.price < constants.LEAST_LISTING_TICKS:
        return codes.OUT_OF_RANGE
    return codes.OK


@internal
@pure
def check_change(given: containers.Parameters, listed: containers.Market, initial_ppm: int256, maintenance_ppm: int256, price: int256, now: int256) -> int256:
    """Whether a listed market may be changed like this now; PROTOCOL.md 8.22."""
    if listed.status >= constants.MARKET_SETTLING:
        return codes.NO_MARKET
    if given.label != listed.label or given.status < constants.MARKET_OPEN:
        return codes.OUT_OF_RANGE
    # A price is named until there is one.
    if given.price != 0 and (price != 0 or given.price < constants.LEAST_LISTING_TICKS):
        return codes.OUT_OF_RANGE
    # Whoever holds a position has had the time of a reduce-only market before its last hour begins.
    last: int256 = constants.MARKET_REDUCE_ONLY
    if listed.status == constants.MARKET_REDUCE_ONLY:
        last = constants.MARKET_SETTLING
    if given.status > last:
        return codes.OUT_OF_RANGE
    if listed.changed_at != 0 and now < listed.changed_at + constants.PARAMETER_PERIOD:
        return codes.TOO_SOON
    if not self.check_step(given, listed, initial_ppm, maintenance_ppm):
        return codes.STEP_LIMIT
    return codes.OK


@internal
@pure
def change(given: containers.Parameters, listed: containers.Market, initial_ppm: int256, maintenance_ppm: int256, price: int256, market_count: int256, now: int256) -> containers.Changed:
    """Whether a market is listed or changed, and what it is afterwards; PROTOCOL.md 8.22."""
    changed: containers.Changed = containers.Changed(
        code=codes.OK, listed=listed, initial_ppm=initial_ppm, maintenance_ppm=maintenance_ppm
    )
    if given.market > market_count:
        changed.code = codes.NO_MARKET
    elif not self.in_range(given):
        changed.code = codes.OUT_OF_RANGE
    elif given.market == market_count:
        changed.code = self.check_listing(given)
    else:
        changed.code = self.check_change(given, listed, initial_ppm, maintenance_ppm, price, now)
    if changed.code != codes.OK:
        return changed
    named: int256 = listed.previous_price
    if given.price != 0:
        named = given.price
    changed.initial_ppm = given.initial_ppm
    if given.status == constants.MARKET_SETTLING:
        # Most of its mean may be known while its price moves: whatever stands in it counts in full until it is over.
        changed.initial_ppm = constants.PPM
    changed.maintenance_ppm = given.maintenance_ppm
    changed.listed = containers.Market(
        label=given.label,
        status=given.status,
        maker_fee_ppm=given.maker_fee_ppm,
        taker_fee_ppm=given.taker_fee_ppm,
        band_ppm=given.band_ppm,
        unwind_band_ppm=given.unwind_band_ppm,
        funding_terms=encoding.funding_terms(
            given.funding_cap_ppb, given.funding_interest_ppb, given.funding_damping_ppb
        ),
        minimum_notional=given.minimum_notional,
        previous_price=named,
        premium_ppb=listed.premium_ppb,
        open_interest=listed.open_interest,
        interest_lower=given.interest_lower,
        interest_upper=given.interest_upper,
        fund=listed.fund,
        turned_over=listed.turned_over,
        paid_out=listed.paid_out,
        changed_at=now,
        settling=0,
    )
    return changed


@internal
@pure
def check_venue(given: containers.VenueParameters, signers: uint256[7], posting_fee: int256, grace_period: int256, changed_at: int256, now: int256) -> int256:
    """Whether the venue may be changed like this now; PROTOCOL.md 8.23."""
    # What costs L1 bytes is never free: a signed maximum of zero says that a request is not to be posted.
    if given.posting_fee == 0 or given.posting_fee > constants.MOST_POSTING_FEE:
        return codes.OUT_OF_RANGE
    if given.grace_period > constants.MAX_GRACE:
        return codes.OUT_OF_RANGE
    if given.signer != containers.NOBODY:
        # One signer takes the place of another: the quorum stands as it was chosen.
        if given.signer_index >= constants.SIGNERS:
            return codes.OUT_OF_RANGE
        if signers[given.signer_index] == convert(containers.NOBODY, uint256):
            return codes.OUT_OF_RANGE
        for i: int256 in range(constants.SIGNERS):
            if signers[i] == convert(given.signer, uint256):
                return codes.OUT_OF_RANGE
    if changed_at != 0 and now < changed_at + constants.PARAMETER_PERIOD:
        return codes.TOO_SOON
    if not self.nudged(posting_fee, given.posting_fee, constants.POSTING_FEE_STEP):
        return codes.STEP_LIMIT
    if not self.nudged(grace_period, given.grace_period, constants.GRACE_STEP):
        return codes.STEP_LIMIT
    return codes.OK
