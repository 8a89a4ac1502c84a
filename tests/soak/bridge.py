"""States of a bridge in which the shipped node's own rules build each next batch: one exists always, and is taken.

Everybody around it acts at random: entries of every kind, floods, outages of eight days, stalls of L1's finality,
changes of the seat, liars and late roll-backs. What the bridge says is held against a small model after every act.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from l1_bridge.codec.batch import Chunk, Commitment
from l1_bridge.codec.calls import Deadlines, Seat, decode_record
from l1_bridge.contracts.artifact import Artifact, load_artifact
from l1_bridge.hashing import keccak
from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.stf import constants
from prover.stf.replay import KINDS
from sequencer.l1.following import serves_queue_alone
from sequencer.l1.poster import batch_length
from tests.l1_bridge.evm import Evm, Reverted, account, compile_stub
from tests.l1_bridge.harness import GOVERNOR, Harness, honest_chunk
from tests.l1_bridge.simulation import refusal_of

DAY: Final = 86_400
PARAMETERS: Final = msgspec.structs.replace(
    DEVNET_PARAMETERS, window_seconds=7 * DAY, freeze_grace_seconds=7 * DAY, governor=GOVERNOR
)
INCLUSION_MS: Final = PARAMETERS.inclusion_seconds * 1_000
LAG_MS: Final = PARAMETERS.max_lag_seconds * 1_000
# What is final, and what is consumed where finality stalls: seconds behind L1's clock.
_FINAL_SECONDS: Final = 780
_STALLED_SECONDS: Final = 1_200
_DEEP_SECONDS: Final = 64 * 12
_ACTS: Final = 6


@dataclass
class Entry:
    """An entry of the queue: when L1 took it, its tag, and the bytes that it takes in a chunk."""

    enqueued_at: int
    tag: int
    size: int


@dataclass
class Sealed:
    """A chunk of the node that L1 does not hold yet."""

    body: bytes
    commitment: Commitment


@dataclass
class Model:
    """The bridge in a few words: what each batch of the chain has done of the queue, who sits, and since when."""

    done: list[int] = field(default_factory=lambda: [0])
    lies: set[int] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    holder: bytes = b""
    opens_at: int | None = None


class History:
    """One case: some acts of somebody, the node's answer to each, and what of it the bridge takes."""

    def __init__(self, rng: random.Random, venue: Harness, seen: Counter[str]) -> None:
        self.rng = rng
        self.venue = venue
        self.seen = seen
        self.model = Model()
        self.sealed: list[Sealed] = []
        self.keys = map(account, itertools.count(1_000))
        self.node = next(self.keys)
        self.stall_until = 0
        self.final_at = 0
        self.head_until_ms = 0
        self.stuck: list[str] = []
        self.frozen: list[str] = []
        self.trace: list[str] = []

    @property
    def now(self) -> int:
        """L1's time in seconds."""
        return self.venue.evm.now

    def run(self) -> None:
        """Plays the case."""
        acts: list[Callable[[], None]] = [
            self._enqueue,
            self._enqueue,
            self._flood,
            self._wait,
            self._outage,
            self._cut_off,
            self._stall,
            self._lie,
            self._pass_seat,
            self._idle_rival,
        ]
        self._serve()
        for _ in range(_ACTS):
            act = self.rng.choice(acts)
            self.trace.append(act.__name__.strip("_"))
            act()
            self._check()
            self._serve()
            if act == self._outage:
                self._stay()
            self._check()

    # What others do.

    def _pass(self, seconds: int) -> None:
        self.venue.evm.now = self.now + seconds

    def _enqueue(self, count: int | None = None) -> None:
        for _ in range(count or self.rng.choice([1, 1, 2, 5])):
            tag = self.rng.choice([constants.DEPOSIT, *range(constants.FORCED_RESCUE, constants.SET_MARKET)])
            if tag == constants.DEPOSIT:
                self.venue.deposit()
                size = KINDS[tag].length
            else:
                payload = self._payload(tag)
                fee = PARAMETERS.entry_fee_wei
                self.venue.bridge.send("enqueue", tag, payload, sender=account(77), value_wei=fee)
                size = constants.ENTRY_HEAD_LENGTH + len(payload)
            self.model.entries.append(Entry(self.now, tag, size))
        self._pass(self.rng.choice([0, 12, 600]))

    def _payload(self, tag: int) -> bytes:
        if tag != constants.FORCED_TICK:
            return self.rng.randbytes(self.venue.bridge.call("ENTRY_LENGTHS", tag - constants.FORCED_RESCUE))
        signers, markets = self.rng.choice([(0, 0), (5, 3), (7, 16)])
        size = signers * (constants.TICK_SIGNER_LENGTH + markets * constants.TICK_MARKET_LENGTH)
        return self.rng.randbytes(6) + bytes([signers, markets]) + bytes(size)

    def _flood(self) -> None:
        self._enqueue(self.rng.choice([20, 40, 121]))

    def _wait(self) -> None:
        self._pass(self.rng.choice([1, 12, 600, 3_599, 3_600, 3_601, 7_200]))

    def _outage(self) -> None:
        """The node is down: nothing is sealed, and nothing posted."""
        self._pass(self.rng.choice([60, 1_200, 3_600, 7_200, DAY, 3 * DAY, 8 * DAY]))

    def _cut_off(self) -> None:
        """The node seals and cannot post, often for about as long as the bridge waits for it."""
        if self.rng.random() < 0.5:
            self._enqueue(1)
        step = self.rng.choice([60, 300, 900])
        for _ in range(self.rng.choice([300, 3_400, 3_700, 4_200, 3 * 3_600]) // step):
            self._pass(step)
            if self.model.holder == self.node:
                self._read_and_seal()

    def _stall(self) -> None:
        """Finality stands still; the chain goes on."""
        self.final_at = max(self.final_at, self.now - _FINAL_SECONDS)
        self.stall_until = self.now + self.rng.choice([1_200, 3_600, DAY])
        self._pass(self.rng.choice([600, 1_300, 3_700]))

    def _lie(self) -> None:
        """Somebody else sits, commits a lie and perhaps more, is proven after a while, and everything is as before."""
        if not self._seat_rival():
            return
        is_late = self.venue.is_late(self.venue.next_commitment())
        number = self.venue.commit_lie(sender=self.model.holder, queue_only=is_late)
        self.model.done.append(self._done_at_tip())
        self.model.lies.add(number)
        for _ in range(self.rng.randrange(3)):
            self._pass(self.rng.choice([12, 3_600, DAY]))
            following = self.venue.next_commitment()
            late = self.venue.is_late(following)
            self.venue.commit(following, sender=self.model.holder, queue_only=late)
            self.model.done.append(self._done_at_tip())
        self._pass(self.rng.choice([12, DAY, 4 * DAY]))
        self.venue.prove(number)
        del self.model.done[number:]
        self.model.lies.clear()
        self._seat_is_open()
        self.seen["rolled back"] += 1

    def _idle_rival(self) -> None:
        """Somebody else sits and does nothing, until the first moment at which a stranger may unseat him."""
        if not self._seat_rival():
            return
        self._enqueue(1)
        clocks = self._deadlines()
        self.venue.evm.now = max(self.now, clocks.unseat_at)
        self.venue.bridge.send("unseat", sender=account(78))
        self._seat_is_open()
        self.seen["unseated"] += 1

    def _pass_seat(self) -> None:
        """The node resigns, or hands over to itself under another key."""
        if self.model.holder != self.node:
            return
        if self.rng.random() < 0.5:
            successor = next(self.keys)
            bond_id = self.venue.bridge.call("bond_count") + 1
            bond_wei = PARAMETERS.bond_wei
            held = decode_record(Seat, self.venue.bridge.call_raw("seat"))
            self.venue.bridge.send("bond_ahead", "", held.bond_id, sender=successor, value_wei=bond_wei)
            if not self._may_leave("hand_over", bond_id):
                return
            self.node = self.model.holder = successor
            self.model.opens_at = None
            self.seen["handed over"] += 1
            return
        if self.model.opens_at is None:
            opens_at = self.now + self.rng.choice([0, 600, PARAMETERS.inclusion_seconds])
            if not self._may_leave("resign", opens_at):
                return
            self.model.opens_at = opens_at
            self.seen["resigning"] += 1
            self._pass(self.rng.choice([0, 60, 601]))

    def _may_leave(self, function: str, argument: int) -> bool:
        """Whether the node leaves its seat so; not while it owes work, nor right behind what it served late."""
        refusal = refusal_of(lambda: self.venue.bridge.send(function, argument, sender=self.node))
        assert refusal in (None, "WORK_OWED", "WAS_LATE"), refusal
        return refusal is None

    def _seat_rival(self) -> bool:
        """Whether the seat was open, or could be opened, for somebody who is not the node."""
        if self.model.holder == self.node and self.model.opens_at is None:
            if not self._may_leave("resign", self.now):
                return False
        elif self.model.holder and not (self.model.opens_at is not None and self.now >= self.model.opens_at):
            return False
        rival = next(self.keys)
        self.venue.take_seat(rival)
        self.model.holder, self.model.opens_at = rival, None
        return True

    def _seat_is_open(self) -> None:
        self.model.holder, self.model.opens_at = b"", None

    # What the node does.

    def _serve(self) -> None:
        """Every chance that there is: the seat where it is open, then batches until nothing more can be posted."""
        if self.model.opens_at is not None and self.now >= self.model.opens_at:
            self._seat_is_open()
        if not self.model.holder:
            self.seen["open"] += 1
            if self.rng.random() < 0.5:
                self.node = next(self.keys)
            refusal = refusal_of(lambda: self.venue.take_seat(self.node))
            assert refusal in (None, "LOST_SEAT"), refusal
            if refusal is not None:
                self.node = next(self.keys)
                self.venue.take_seat(self.node)
            self.model.holder = self.node
        if self.model.holder != self.node:
            return
        tip = self.venue.commitments[self.venue.tip]
        stands_on = self.sealed and self.venue.head.queue_count <= self.sealed[0].commitment.queue_count
        if not stands_on or self._parent_root != self.venue.head.last_root or self._is_void():
            self.sealed = []
        self._parent_root = self.venue.head.last_root
        self._read_and_seal()
        while self.sealed:
            if not self._post():
                return
        self.seen["served"] += 1
        self.seen["live tip" if self.venue.tip else "genesis"] += 1
        self._try_freeze(tip)

    def _stay(self) -> None:
        """Until no head is open: an instant between two outages of eight days serves nobody, and is no chance."""
        while self.model.holder == self.node and self.now * 1_000 < self.head_until_ms:
            self.venue.evm.now = -(-self.head_until_ms // 1_000)
            self._serve()

    _parent_root = b""

    def _late_ms(self) -> int | None:
        done = self.model.done[-1]
        if done == len(self.model.entries):
            return None
        return self.model.entries[done].enqueued_at * 1_000 + INCLUSION_MS

    def _is_void(self) -> bool:
        """Whether what is sealed can never be posted: the node goes on from the tip without it."""
        first = self.sealed[0]
        is_too_old = first.commitment.timestamp_ms + LAG_MS < self.now * 1_000
        is_void = is_too_old or not batch_length(self._pairs(), self._late_ms())
        self.seen["void"] += is_void
        return is_void

    def _pairs(self) -> list[tuple[int, bytes]]:
        return [(each.commitment.timestamp_ms, each.body) for each in self.sealed]

    def _post(self) -> bool:
        count = batch_length(self._pairs(), self._late_ms())
        chunks = [Chunk(each.body, each.commitment.root()) for each in self.sealed[:count]]
        try:
            assert count, "no batch"
            self.venue.commit(self.sealed[count - 1].commitment, chunks, sender=self.node)
        except (Reverted, AssertionError) as refusal:
            self.stuck.append(f"{refusal}: {' '.join(self.trace)}")
            return False
        self.seen["late batches"] += self._late_ms() is not None and chunks[0].body[0] >= 128
        self.model.done.append(self.sealed[count - 1].commitment.queue_count)
        self._parent_root = chunks[-1].post_root
        del self.sealed[:count]
        return True

    def _read_and_seal(self) -> None:
        """Chunks until every entry that may be consumed is, and one that trades."""
        horizon = self.now - _FINAL_SECONDS
        if self.now < self.stall_until:
            horizon = min(horizon, self.final_at)
            if self.now - horizon > _STALLED_SECONDS:
                horizon = self.now - _DEEP_SECONDS
        readable = sum(entry.enqueued_at <= horizon for entry in self.model.entries)
        for _ in range(200):
            before = self.sealed[-1].commitment if self.sealed else self.venue.commitments[self.venue.tip]
            if not self._seal(before, readable, horizon):
                return
            after = self.sealed[-1].commitment
            if after.queue_taken >= readable or self.now * 1_000 < self.head_until_ms:
                return

    def _seal(self, before: Commitment, readable: int, horizon: int) -> bool:
        """One more chunk; none where it is not known whether it had to serve the queue alone."""
        time_ms = max(self.now * 1_000, before.timestamp_ms)
        owed = self.model.entries[before.queue_count].enqueued_at * 1_000 if before.queue_count < readable else None
        alone = serves_queue_alone(time_ms, owed, horizon * 1_000, INCLUSION_MS)
        if alone and owed is None:
            self.seen["blind"] += 1
            return False
        taken, weight, size = before.queue_taken, 0, constants.TIMESTAMP_LENGTH
        count = before.queue_count if time_ms < self.head_until_ms else taken
        while taken < readable:
            entry = self.model.entries[taken]
            weight += KINDS[entry.tag].weight
            if weight > constants.MAX_WEIGHT or size + entry.size > constants.MAX_CHUNK_BYTES:
                break
            size += entry.size
            taken += 1
            if time_ms >= self.head_until_ms:
                count = taken
                if entry.tag in (constants.FORCED_CLOSE, constants.LEAVE) and self.rng.random() < 0.1:
                    # A head that only ends after a while: entries behind it are taken, and none of them is done.
                    self.head_until_ms = time_ms + self.rng.choice([1, 60_000, 4_000_000])
                    count = taken - 1
                    self.seen["heads"] += 1
        after = msgspec.structs.replace(
            before,
            timestamp_ms=time_ms,
            tree_root=keccak(self.rng.randbytes(8)),
            queue_count=count,
            queue_taken=taken,
            queue_hash=self.venue.bridge.call("queue_hash", taken),
        )
        body = honest_chunk(after, queue_only=alone).body
        wanted = size if alone else self.rng.choice([size, constants.MAX_CHUNK_BYTES])
        self.sealed.append(Sealed(body + bytes(max(0, wanted - len(body))), after))
        return True

    # What must hold.

    def _try_freeze(self, tip: Commitment) -> None:
        """Right after the node has posted all that it could, nobody can freeze the bridge."""
        with self.venue.evm.rolled_back():
            refusal = refusal_of(lambda: self.venue.bridge.send("freeze", sender=account(79)))
        if refusal is not None:
            return
        self.frozen.append(f"behind {tip.timestamp_ms}: {' '.join(self.trace)}")

    def _deadlines(self) -> Deadlines:
        return decode_record(Deadlines, self.venue.bridge.call_raw("deadlines"))

    def _done_at_tip(self) -> int:
        return self.venue.head.queue_count

    def _check(self) -> None:
        """The bridge is where the model is."""
        assert self.venue.tip == len(self.model.done) - 1
        assert self._deadlines().entry_index == self.model.done[-1]
        assert self.venue.bridge.call("queue_length") == len(self.model.entries)
        seat = decode_record(Seat, self.venue.bridge.call_raw("seat"))
        is_open = self.model.opens_at is not None and self.now >= self.model.opens_at
        assert seat.holder == (bytes(20) if is_open or not self.model.holder else self.model.holder)
        if self.venue.bridge.call("final_number"):
            self.seen["final"] += 1


def _frozen_bridge(venue: Harness) -> None:
    """A frozen bridge takes nothing from anybody, whoever sits and whatever is final."""
    venue.deposit()
    venue.evm.now += PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    venue.bridge.send("freeze", sender=account(79))
    for attempt in (venue.commit, venue.deposit, venue.take_seat):
        assert refusal_of(attempt) == "FROZEN"


def run(size: int, seed: int, artifact: Artifact | None = None) -> tuple[dict[str, Any], list[str]]:
    """So many cases; broken are those in which the node had no batch to post, or was frozen though it served."""
    rng = random.Random(seed)
    stub = compile_stub("StubReferee")
    venue = Harness(Evm(), stub, load_artifact("MockDollar"), PARAMETERS, artifact)
    seen: Counter[str] = Counter()
    stuck: list[str] = []
    frozen: list[str] = []
    with venue.evm.rolled_back():
        _frozen_bridge(venue)
    genesis = dict(venue.commitments)
    for _ in range(size):
        venue.commitments, venue.batches = dict(genesis), {}
        history = History(random.Random(rng.randrange(2**63)), venue, seen)
        with venue.evm.rolled_back():
            history.run()
        stuck += history.stuck
        frozen += history.frozen
    summary = {
        "cases": size,
        "stuck": len(stuck),
        "frozen_while_served": len(frozen),
        "seen": dict(sorted(seen.items())),
    }
    return summary, [*(f"stuck: {line}" for line in stuck[:10]), *(f"frozen: {line}" for line in frozen[:10])]
