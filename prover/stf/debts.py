"""A debt that neither a fund nor open profit pays is paid at once by money that has not settled, pro rata.

Nobody is walked over: one factor falls for all unsettled money, and an account keeps the one of its last touch. It is
exponent * 2^64 + mantissa for mantissa / 2^(63 + exponent), the mantissa 32 to 64 bits; 0 stands for one, as long as
there was no debt.
"""

from prover.stf import constants, containers
from prover.stf.words import int256


def today(debts: containers.Debts, now: int256) -> int256:
    """The epoch by which money matures: it stands still while a debt is owed; PROTOCOL.md 7.9."""
    if debts.clock > 0:
        return debts.clock // constants.EPOCH
    return (now + debts.clock) // constants.EPOCH


def stood(clock: int256, before: int256, now: int256) -> int256:
    """The clock that money ages by, once a chunk that serves the queue alone has let time pass; PROTOCOL.md 7.9."""
    # It stands still already; or nothing was before, and this is where it begins.
    if clock > 0 or before == 0:
        return clock
    return clock + before - now


def latest(debts: containers.Debts) -> int256:
    """The factor of unsettled money as it is now; PROTOCOL.md 7.9."""
    return debts.factors[constants.FACTORS - 1] % constants.FACTOR_BOUND


def ended(debts: containers.Debts, epoch: int256) -> int256:
    """The factor at the end of an epoch, or now where that is not over; PROTOCOL.md 7.9."""
    # Older than all that is kept: judged by the oldest.
    found: int256 = debts.factors[0]
    for i in range(1, constants.FACTORS):
        if debts.factors[i] // constants.FACTOR_BOUND <= epoch:
            found = debts.factors[i]
    return found % constants.FACTOR_BOUND


def mantissa(factor: int256) -> int256:
    """The mantissa of a factor; PROTOCOL.md 7.9."""
    if factor == 0:
        return constants.MANTISSA_ONE
    return factor % constants.MANTISSA_BOUND


def kept(amount: int256, before: int256, after: int256) -> int256:
    """What is left of an amount when the factor falls, rounded down; PROTOCOL.md 7.9."""
    halvings: int256 = after // constants.MANTISSA_BOUND - before // constants.MANTISSA_BOUND
    # One that was touched since then has paid already.
    if halvings < 0 or (halvings == 0 and mantissa(after) >= mantissa(before)):
        return amount
    return (amount * mantissa(after) // mantissa(before)) >> min(halvings, 255)


def aged(debts: containers.Debts, account: containers.Account, epoch: int256) -> tuple[int256, int256, int256]:
    """Settled, older and fresh money of an account at an epoch, its part of debts paid; PROTOCOL.md 7.1, 7.9."""
    settled: int256 = account.settled
    older: int256 = account.older
    fresh: int256 = account.fresh
    if account.factor != latest(debts):
        # Money pays for debts until it has settled, at the end of the epoch after the one in which it was made.
        older = kept(older, account.factor, ended(debts, account.epoch))
        fresh = kept(fresh, account.factor, ended(debts, account.epoch + 1))
    if account.epoch < epoch:
        settled = settled + older
        older = fresh
        fresh = 0
    if account.epoch + 1 < epoch:
        settled = settled + older
        older = 0
    return settled, older, fresh


def rolled(pool: containers.Pool, epoch: int256) -> containers.Pool:
    """The sums of unsettled money at an epoch; PROTOCOL.md 7.9."""
    older: int256 = pool.older
    fresh: int256 = pool.fresh
    if pool.epoch < epoch:
        older = fresh
        fresh = 0
    if pool.epoch + 1 < epoch:
        older = 0
    return containers.Pool(epoch=epoch, older=older, fresh=fresh, receivable=pool.receivable, owed=pool.owed)


def touched(
    pool: containers.Pool,
    debts: containers.Debts,
    before: containers.Account,
    after: containers.Account,
    now: int256,
) -> containers.Pool:
    """The sums of unsettled money once an account has become another; PROTOCOL.md 7.9."""
    epoch: int256 = today(debts, now)
    was_settled: int256 = 0
    was_older: int256 = 0
    was_fresh: int256 = 0
    was_settled, was_older, was_fresh = aged(debts, before, epoch)
    settled: int256 = 0
    older: int256 = 0
    fresh: int256 = 0
    settled, older, fresh = aged(debts, after, epoch)
    paid: int256 = before.settled + before.older + before.fresh - was_settled - was_older - was_fresh
    unpaid: int256 = after.settled + after.older + after.fresh - settled - older - fresh
    sums: containers.Pool = rolled(pool, epoch)
    # Each account rounds for itself: the sums may be off by as many micro-dollars, and never below nothing.
    return containers.Pool(
        epoch=epoch,
        older=min(max(sums.older + older - was_older, 0), constants.POOL_BOUND),
        fresh=min(max(sums.fresh + fresh - was_fresh, 0), constants.POOL_BOUND),
        receivable=sums.receivable - paid + unpaid,
        owed=sums.owed,
    )


def lowered(factor: int256, left: int256, whole: int256) -> int256:
    """The factor once so much is left of the whole, rounded down; PROTOCOL.md 7.9."""
    rest: int256 = mantissa(factor) * constants.MANTISSA_BOUND * left // whole
    exponent: int256 = factor // constants.MANTISSA_BOUND + 64
    for _ in range(2):
        if rest >= constants.MANTISSA_BOUND:
            rest = rest >> 32
            exponent = exponent - 32
    if rest < constants.LEAST_MANTISSA:
        # All of it, to the last micro-dollar.
        rest = constants.MANTISSA_ONE
        exponent = exponent + 128
    return min(exponent, constants.MOST_EXPONENT) * constants.MANTISSA_BOUND + rest


def take(
    pool: containers.Pool, debts: containers.Debts, debt: int256, now: int256
) -> tuple[containers.Pool, containers.Debts]:
    """What is owed is taken from unsettled money, and what is left of it keeps all from maturing; PROTOCOL.md 7.9."""
    epoch: int256 = today(debts, now)
    sums: containers.Pool = rolled(pool, epoch)
    owed: int256 = sums.owed + debt
    whole: int256 = sums.older + sums.fresh
    taken: int256 = min(owed, whole)
    factors: list[int256] = debts.factors.copy()
    if taken > 0:
        last: int256 = constants.FACTORS - 1
        factor: int256 = lowered(latest(debts), whole - taken, whole)
        sums = containers.Pool(
            epoch=epoch,
            older=kept(sums.older, latest(debts), factor),
            fresh=kept(sums.fresh, latest(debts), factor),
            receivable=sums.receivable + taken,
            owed=owed - taken,
        )
        if factors[last] // constants.FACTOR_BOUND != epoch:
            for i in range(1, constants.FACTORS):
                factors[i - 1] = factors[i]
        factors[last] = epoch * constants.FACTOR_BOUND + factor
    else:
        sums = containers.Pool(epoch=epoch, older=sums.older, fresh=sums.fresh, receivable=sums.receivable, owed=owed)
    # It goes on from where it stood: what is earned meanwhile is as young then as it was.
    clock: int256 = debts.clock
    if clock <= 0 and sums.owed > constants.MOST_OWED:
        clock = clock + now
    elif clock > 0 and sums.owed <= constants.MOST_OWED:
        clock = clock - now
    return sums, containers.Debts(clock=clock, factors=factors)
