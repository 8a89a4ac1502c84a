"""A hostile seat before a bridge of few words: signed prices that nobody chooses, chunks, and rules of a commit.

The law is the shipped one, on rows in dictionaries. Of the bridge stands here what bounds an operator in time: the lag
of a batch's first chunk, the queue and its order, and late batches. Signatures name their signer, as in ledger.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from l1_bridge.codec.batch import MAX_CHUNKS
from l1_bridge.hashing import keccak
from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.signing import operations
from prover.state.genesis import DEVNET_MARKETS
from prover.stf import constants, containers, encoding, margin
from prover.stf.constants import PPM
from prover.stf.replay import KINDS, Chunk
from tests.soak.ledger import recover, signature
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS

MINUTE: Final = 60_000
DAY: Final = 86_400_000
# Of anything in a history, ms after its first price.
ENTERED: Final = 30 * MINUTE
# Plans of an operator that it plays, of those that it weighs.
PLAYED: Final = 2
STEP: Final = constants.TICK_STEP
PRICE: Final = 600_000
# A stranger, the operator's own accounts, and the fund of the one market.
VICTIM, OWN, OTHER_OWN, THIRD_OWN = range(constants.RESERVED_ACCOUNTS, constants.RESERVED_ACCOUNTS + 4)
FUND: Final = constants.insurance_account(0)
STRANGER, OPERATOR, WATCHER = OWNERS[1:4]
RICH: Final = 10**12 * DOLLAR


class Rules(NamedTuple):
    """What a bridge and a law leave an operator, ms: the lag of its clock, and how old a price may be in a step.

    drain: kilogas of the queue that excuse a batch whose end leaves a late entry behind, 0 where nothing does.
    """

    lag: int = DEVNET_PARAMETERS.max_lag_seconds * 1_000
    inclusion: int = DEVNET_PARAMETERS.inclusion_seconds * 1_000
    unseat: int = DEVNET_PARAMETERS.unseat_seconds * 1_000
    step_age: int = constants.MAX_PRICE_AGE
    drain: int = 0


SHIPPED: Final = Rules()
# Law 3: six hours of lag from a batch's end, steps at any price, and work that excuses.
OLD_RULES: Final = Rules(lag=21_600_000, step_age=21_600_000, drain=15_360)


class Refused(Exception):
    """The bridge takes no such batch."""


class Prices:
    """One signed price each five seconds, drawn before anybody acts: a path by the minute, and its noise."""

    def __init__(self, rng: Random, minutes: int) -> None:
        walk = rng.choice([0.0, 0.0002, 0.001, 0.003])
        drift = rng.choice([0.0, 0.0, 0.0, -0.0003, 0.0003])
        jumps = {rng.randrange(minutes): rng.choice([-1, 1]) * rng.choice([0.01, 0.05, 0.2, 0.6]) for _ in range(3)}
        if rng.random() < 0.3:
            jumps = {}
        price = float(PRICE)
        self.base: list[int] = []
        for minute in range(minutes):
            price *= 1 + drift + rng.uniform(-walk, walk) + jumps.get(minute, 0.0)
            price = min(max(price, PRICE / 20), PRICE * 20)
            self.base.append(round(price))
        most = rng.choice([0, 200, 2_000, 10_000])
        self.noise = [rng.randint(-most, most) for _ in range(MINUTE // STEP)]

    def at(self, time: int) -> int:
        """The last price that is signed at a time."""
        noise = self.noise[time % MINUTE // STEP]
        return self.base[(time - NOW) // MINUTE] * (PPM + noise) // PPM

    def low(self, begin: int, end: int) -> int:
        """The lowest of the whole minutes around a time."""
        return min(self.base[(begin - NOW) // MINUTE : (end - NOW) // MINUTE + 1]) * (PPM + min(self.noise)) // PPM

    def high(self, begin: int, end: int) -> int:
        """The highest of them."""
        return max(self.base[(begin - NOW) // MINUTE : (end - NOW) // MINUTE + 1]) * (PPM + max(self.noise)) // PPM

    def worst_fall(self, begin: int, end: int, within: int, kept_ppm: int) -> int:
        """The most by which a price, less what is kept of it, is above a later one `within` ms; ticks, 0 for none."""
        span = within // MINUTE + 1
        worst = 0
        for time in range(begin, end, MINUTE):
            last = min(time + span * MINUTE, end)
            worst = max(worst, self.high(time, time) * (PPM - kept_ppm) // PPM + 1 - self.low(time, last))
        return worst

    def worst_rise(self, begin: int, end: int, within: int, kept_ppm: int) -> int:
        """The most by which a later price is above one with what is kept of it."""
        span = within // MINUTE + 1
        worst = 0
        for time in range(begin, end, MINUTE):
            last = min(time + span * MINUTE, end)
            worst = max(worst, self.high(time, last) + 1 - self.low(time, time) * (PPM + kept_ppm) // PPM)
        return worst


def grid(time: int) -> int:
    """The last time of a tick that is not after a time."""
    return time // STEP * STEP


def row(owner: bytes, dollars: int, lots: int = 0, price: int = PRICE) -> containers.Account:
    """An account with settled dollars and lots that were bought or sold at a price."""
    return holding(owner, dollars * DOLLAR, lots, price)


def holding(owner: bytes, micros: int, lots: int, price: int) -> containers.Account:
    """As `row`, in micro-dollars."""
    return venue.account(owner, micros, {0: venue.position(lots, lots * price)} if lots else {})


def value(account: containers.Account, price: int) -> int:
    """All that an account holds, at a price."""
    held = encoding.unpack(account.positions[0])
    return margin.collateral(account) + held.size * price - held.cost


def size(account: containers.Account) -> int:
    """Lots that an account holds."""
    return encoding.unpack(account.positions[0]).size


def signed(time: int, price: int) -> bytes:
    """The tick of a time: one signer stands for the quorum, which is honest."""
    return operations.tick_bytes(time, 1, [(0, [price], [0], signature(venue.SIGNERS[0]))])


def tick(prices: Prices, time: int) -> bytes:
    """The signed tick of a time."""
    return signed(time, prices.at(time))


def ticks(prices: Prices, last: int) -> list[bytes]:
    """Three in a row."""
    return [tick(prices, time) for time in (last - 2 * STEP, last - STEP, last)]


class Seat:
    """Whoever may post: chunks as the law takes them, and a batch of them as the bridge does."""

    def __init__(self, rows: Mapping[int, containers.Account], rules: Rules, **market: int) -> None:
        self.rules = rules
        self.rows = {constants.FEE_ACCOUNT: venue.account(venue.OPERATOR, 0), FUND: row(containers.NOBODY, 0), **rows}
        self.slots: dict[int, containers.Slot] = {}
        # Fees and a grace only take from what an operator wins.
        globals = venue.free_of_charge(listings=DEVNET_MARKETS[:1], quorum=1, signer_count=1, prices=(PRICE,))
        globals.streak, globals.grace_period = constants.STEADY_TICKS, 0
        for name, changed in market.items():
            setattr(globals.markets[0], name, changed)
        globals.markets[0].fund = margin.collateral(self.rows[FUND])
        globals.markets[0].open_interest = sum(max(size(each), 0) for each in self.rows.values())
        globals.next_account = max(self.rows) + 1
        none = containers.NO_HASH
        self.globals = globals
        self.commitment = containers.Commitment(constants.LAW_VERSION, none, none, 0, 0, 0, none, NOW, none)
        # Of the queue: when L1 took an entry, and its bytes; and the chain over so many of them.
        self.queue: list[tuple[int, bytes]] = []
        self.chain = [none]
        self.parent = self.commitment
        self.chunks: list[tuple[int, bool]] = []
        self.work = 0
        # Prices at the end of each chunk so far.
        self.seen = [PRICE]

    def account(self, index: int) -> containers.Account:
        """A row; the empty one where there is none."""
        return self.rows.get(index) or encoding.no_account()

    def slot(self, leaf_index: int) -> containers.Slot:
        """A slot, likewise."""
        return self.slots.get(leaf_index) or encoding.no_slot()

    @property
    def now(self) -> int:
        """The chain's clock, ms."""
        return self.commitment.timestamp

    def enqueue(self, time: int, tag: int, payload: bytes, sender: bytes) -> bytes:
        """What somebody enters on L1."""
        return self.entered(time, operations.entry_bytes(tag, sender, time, payload))

    def entered(self, time: int, operation: bytes) -> bytes:
        """An operation at the queue's end: a deposit, or what `enqueue` wraps."""
        self.queue.append((time, operation))
        self.chain.append(keccak(self.chain[-1] + keccak(operation)))
        return operation

    def chunk(self, time: int, *bodies: bytes, is_late: bool = False) -> tuple[int, ...]:
        """One more chunk, by the law; answers with its codes."""
        chunk = Chunk(venue.DOMAIN, self.commitment, self.globals, self, recover)
        stated = time + constants.QUEUE_ONLY_BIT * is_late
        chunk.run(stated.to_bytes(constants.TIMESTAMP_LENGTH, "big") + b"".join(bodies))
        taken = chunk.commitment.queue_taken - self.commitment.queue_taken
        first = self.commitment.queue_taken
        self.work += sum(KINDS[operation[0]].weight for _, operation in self.queue[first : first + taken])
        self.rows.update(chunk.accounts)
        self.slots.update(chunk.slots)
        self.globals, self.commitment = chunk.globals, chunk.commitment
        self.chunks.append((time, is_late))
        self.seen.append(self.globals.risk.price[0])
        return tuple(chunk.operation_codes)

    def trial(self, time: int, *bodies: bytes) -> Chunk:
        """A chunk that comes to nothing."""
        chunk = Chunk(venue.DOMAIN, self.commitment, self.globals, self, recover)
        chunk.run(time.to_bytes(constants.TIMESTAMP_LENGTH, "big") + b"".join(bodies))
        return chunk

    def is_late(self, now: int) -> bool:
        """Whether a batch on top of the last one that ends at `now` serves the queue alone."""
        return not self.rules.drain and self._waits(self.parent, now, now)

    def _waits(self, of: containers.Commitment, time: int, now: int) -> bool:
        """Whether an entry that a commitment leaves behind has waited for the inclusion time."""
        waiting = self.queue[of.queue_count : of.queue_count + 1]
        return any(entered <= now and time >= entered + self.rules.inclusion for entered, _ in waiting)

    def refusal(self, now: int) -> str:
        """Why the bridge does not take the chunks since the last batch, nothing if it does; PROTOCOL.md 10.2."""
        rules, end = self.rules, self.commitment
        known = sum(entered <= now for entered, _ in self.queue)
        # Law 3 counted from the last chunk.
        counted = end.timestamp if rules.drain else self.chunks[0][0]
        if not 0 < len(self.chunks) <= MAX_CHUNKS:
            return "CHUNK_COUNT"
        if end.timestamp > now:
            return "TIMESTAMP_AHEAD"
        if counted + rules.lag < now:
            return "TIMESTAMP_BEHIND"
        if end.queue_taken > known:
            return "QUEUE_COUNT"
        if end.queue_hash != self.chain[end.queue_taken]:
            return "QUEUE_HASH"
        if rules.drain:
            is_owed = self._waits(end, end.timestamp, now) and self.work < rules.drain
        else:
            is_owed = self._waits(self.parent, end.timestamp, now) and not all(late for _, late in self.chunks)
        return "INCLUSION" if is_owed else ""

    def commit(self, now: int) -> None:
        """Posts what was built since the last batch, at a time of L1."""
        refusal = self.refusal(now)
        if refusal:
            raise Refused(refusal)
        self.parent = msgspec.structs.replace(self.commitment)
        self.chunks, self.work = [], 0


def own_trade(seat: Seat, time: int, lots: int, price: int, seller: int = OWN, buyer: int = OTHER_OWN) -> list[bytes]:
    """Two orders and their fill, by whoever owns both."""
    bodies = []
    for index, side in ((seller, constants.SELL), (buyer, constants.BUY)):
        sequence = seat.slot(index << 8 | 1).sequence + 1
        order = venue.order(index, side=side, size=lots, limit_price=price, sequence=sequence, **venue.at(time))
        bodies.append(operations.order_bytes(order, signature(seat.account(index).owner)))
    return [*bodies, operations.fill_bytes(0, 1, lots)]


@dataclass
class Case:
    """One history of one path: prices, how long the seat is silent beyond its hour, what it won and its bound.

    strangers: of the bound, what others have won and not waited for.
    """

    rng: Random
    rules: Rules
    gain: int = 0
    bound: int = 0
    strangers: int = 0

    def __post_init__(self) -> None:
        rng = self.rng
        self.silence = rng.choice([0] * 8 + [rng.randrange(constants.HOUR), rng.randrange(DAY - constants.HOUR)])
        self.entered = NOW + ENTERED + rng.randrange(MINUTE)
        # Whatever waits is served by then, or the seat is lost; and a batch is posted within the lag.
        self.until = self.entered + SHIPPED.inclusion + self.silence
        last = self.until + self.rules.lag + constants.HOUR
        self.prices = Prices(rng, (last - NOW) // MINUTE)
        self.lots = round(10 ** rng.uniform(3.5, 6.5))
        self.is_long = rng.random() < 0.5

    @property
    def signed(self) -> int:
        """The stranger's lots."""
        return self.lots if self.is_long else -self.lots

    def won(self, gain: int) -> None:
        """A plan came to this."""
        self.gain = max(self.gain, gain)

    def best(self, weighed: list[tuple[int, Any]]) -> Iterator[Any]:
        """The plans that look best by the prices alone."""
        weighed.sort(key=lambda plan: plan[0], reverse=True)
        for _, plan in weighed[:PLAYED]:
            yield plan

    def range_bound(self, low: int, high: int, share_ppm: int) -> int:
        """Micro-dollars that the lots lose between two prices, and a share of their notional."""
        return self.lots * max(high - low, 0) + self.lots * high * share_ppm // PPM + 1


def posted_at(case: Case, begun: int, rng: Random) -> int:
    """When the operator posts what it dates back to `begun`, mostly at either end or where prices suit it."""
    times = [begun, begun + case.rules.lag, *(begun + rng.randrange(case.rules.lag + 1) for _ in range(3))]
    at = case.prices.at
    return max(times, key=at) if case.is_long == (rng.random() < 0.9) else min(times, key=at)
