"""The stage of the attacks on margin and rescue: a victim, an attacker, and a pool that holds the other side."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prover.signing import operations
from prover.state.state import State
from prover.state.trial import peek_account
from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin
from prover.stf.replay import Chunk
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

VICTIM, ATTACKER, POOL = 17, 18, 19
BTC: Final = 600_000
ETH: Final = 300_000
SOL: Final = 1_500_000
# 60,000 dollars; 1,200 of initial and 720 of maintenance margin.
BITCOIN: Final = 100_000
INITIAL_PPM: Final = 20_000
MAINTENANCE_PPM: Final = 12_000
STEP: Final = constants.TICK_STEP
PPM: Final = constants.PPM


def held(
    lots: int, dollars: int, entry: int = BTC, owner: bytes = OWNERS[1], market: int = 0, **changes: Any
) -> containers.Account:
    """An account with settled dollars and lots of a market that were bought or sold at `entry`."""
    return account(owner, dollars * DOLLAR, {market: position(lots, lots * entry)}, **changes)


def stage(
    rows: Mapping[int, containers.Account], fund: int = 0, market: Mapping[str, int] | None = None, **changes: Any
) -> State:
    """These rows, market 0's fund of so many dollars, and a rich pool on the other side; rescues may begin."""
    absent = {
        1: account(containers.NOBODY, fund * DOLLAR),
        VICTIM: account(),
        ATTACKER: account(OWNERS[2], 10**6 * DOLLAR),
    }
    every = absent | dict(rows)
    other_side = {}
    for index in range(3):
        size = sum(row.positions[index].size for row in every.values())
        cost = sum(row.positions[index].cost for row in every.values())
        other_side[index] = position(-size, -cost)
    every.setdefault(POOL, account(OWNERS[3], 10**9 * DOLLAR, other_side))
    globals = venue.free_of_charge(**({"streak": constants.STEADY_TICKS} | changes))
    for name, value in (market or {}).items():
        setattr(globals.markets[0], name, value)
    return venue.balanced(globals, every)


def value(row: containers.Account, *prices: int) -> int:
    """An account's equity at these prices of the first markets, by its own sum."""
    held = zip(row.positions, (*prices, *(BTC, ETH, SOL)[len(prices) :]), strict=False)
    return row.settled + row.older + row.fresh + sum(each.size * price - each.cost for each, price in held)


def row_of(chunk: Chunk, index: int) -> containers.Account:
    """An account as a chunk of the Python law leaves it."""
    return peek_account(chunk, index)


def size_of(row: containers.Account, market: int = 0) -> int:
    """Lots that an account holds."""
    return encoding.unpack(row.positions[market]).size


def ticks(state: State, *prices: int, step: int = STEP, premium: int = 0) -> int:
    """One tick a price, `step` apart, through both twins; answers with the time of the last."""
    now = state.globals.tick_time
    for price in prices:
        now += step
        tick = venue.tick(now, [price, ETH, SOL], [premium])
        assert venue.run(state, tick, timestamp=now).codes == (c.OK,)
    return now


def bid(price: int, lots: int = BITCOIN, now: int = NOW, index: int = ATTACKER, **fields: Any) -> bytes:
    """A resting order of the attacker that buys; further fields by name."""
    owner = {VICTIM: 1, ATTACKER: 2, POOL: 3}[index]
    order = venue.order(index, size=lots, limit_price=price, **(venue.at(now) | fields))
    return venue.signed_order(order, venue.KEYS[owner])


def ask(price: int, lots: int = BITCOIN, now: int = NOW, index: int = ATTACKER, **fields: Any) -> bytes:
    """A resting order of the attacker that sells."""
    return bid(price, lots, now, index, side=constants.SELL, **fields)


def rescue(tag: int, lots: int = BITCOIN, account: int = VICTIM, other: int = POOL, market: int = 0) -> bytes:
    """A rescue of the victim, or a step of a forced close, against the first order of the chunk or `other`."""
    return operations.rescue_bytes(tag, containers.Rescue(0, market, account, other, lots))


def liquidate(lots: int = BITCOIN, **fields: int) -> bytes:
    """A liquidation of the victim against the first order of the chunk."""
    return rescue(constants.LIQUIDATE, lots, **fields)


def forced(tag: int, index: int = VICTIM, sender: bytes = OWNERS[1], time: int = NOW - 1, **fields: Any) -> bytes:
    """An entry of the L1 queue that an account's owner writes."""
    return venue.entry(tag, venue.owned(tag, index, **fields), sender, time)


def forced_rescue(index: int = VICTIM, lots: int = 2**56 - 1, time: int = NOW) -> bytes:
    """An entry of the L1 queue by which a stranger has an account rescued."""
    payload = operations.forced_rescue_payload(0, index, lots)
    return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, time)


def ceil(numerator: int, denominator: int) -> int:
    """The integer at or above a quotient."""
    return -(-numerator // denominator)


def debts(rows: Iterable[containers.Account], price: int) -> int:
    """What accounts below zero owe at a price of market 0: the hole that others have to fill."""
    return sum(max(-value(row, price), 0) for row in rows)


assert margin.requirement(BTC, BITCOIN, INITIAL_PPM) == 1_200 * DOLLAR
assert margin.requirement(BTC, BITCOIN, MAINTENANCE_PPM) == 720 * DOLLAR
