"""One question: can this store post onto this L1? Facts in, reasons why not out; pure.

Whoever acts for the venue asks here and nowhere else: `/ready`, what is taken of that which is signed, the metric, the
log and a start. A reason stands for as long as its facts do.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from l1_bridge.codec import calls
from prover.stf import constants
from sequencer.sequencing.admission import Taking

# A node that does not answer, or a batch that it does not take, is weather for so long.
PATIENCE_SECONDS: Final = 60


class BridgeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the bridge says at one block of L1.

    head_holder: who committed the newest batch. taken: so many entries of the queue this store contained when it asked;
    chain_hash: the bridge's hash chain after as many, None where its queue is shorter. A head_chunk of None: the newest
    batch ends in a root that this store never had.
    """

    head: calls.BatchRecord
    head_holder: bytes
    head_chunk: int | None
    seat: calls.Seat
    queue_length: int
    taken: int
    taken_hash: bytes
    chain_hash: bytes | None
    frozen_at: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one moment of this store and of the bridge. Times in milliseconds, of the venue's clock.

    operator: the address that posts, None for a node that only reads. bridge: None where L1 has not told yet;
    is_bridge_gone: the L1 node has no such contract. unanswered_seconds: for how long it has told nothing.
    oldest_ms: since when the oldest input waits that L1 does not hold, None where none does; lag_ms: how old the bridge
    takes it. l1_ahead_ms: how far L1's clock, by which it does so, is ahead of the venue's. clock_skew_ms: how far the
    machine's clock is from the time that is sequenced, 0 while it is believed.
    trouble: what L1 said to the last batch, for how long, and whether the bridge itself refused it.
    stalled_seconds: for how long something has waited and no batch came, beyond the pause that the node makes.
    """

    operator: bytes | None
    bridge: BridgeFacts | None
    chunk_count: int
    now_ms: int
    lag_ms: int
    oldest_ms: int | None
    tick_ms: int
    is_bridge_gone: bool = False
    unanswered_seconds: float = 0.0
    l1_ahead_ms: int = 0
    clock_skew_ms: int = 0
    trouble: str = ""
    trouble_seconds: float = 0.0
    is_refused: bool = False
    stalled_seconds: float = 0.0


class Reason(msgspec.Struct, frozen=True):
    """Why this store cannot post, or may soon not: a stable code, a sentence, and what is taken meanwhile.

    is_blocking: the node is not ready. Otherwise it is told and nothing follows from it.
    """

    code: str
    sentence: str
    taking: Taking = Taking.ALL
    is_blocking: bool = True


def reasons(facts: Facts) -> tuple[Reason, ...]:
    """Every reason that stands, the one that takes least first."""
    found = [reason for ask in _ASKED for reason in ask(facts)]
    return tuple(sorted(found, key=lambda reason: (not reason.is_blocking, reason.taking)))


def blocking(standing: Iterable[Reason]) -> list[Reason]:
    """Those for which the node is not ready."""
    return [reason for reason in standing if reason.is_blocking]


_FOLLOWING_L1: Final = (
    "`catenary datadir repair --accept-loss` with --l1-rpc-url makes this one anew from L1, what it has is put aside."
)


def taken(standing: Iterable[Reason]) -> Taking:
    """How much of what is signed is taken while these stand."""
    return min((reason.taking for reason in standing), default=Taking.ALL)


def _history(facts: Facts) -> list[Reason]:
    """Whether the bridge's newest batch is of this store.

    Where it is not, nothing is taken at all: a receipt for a cancel would bind the key to what another store fills.
    """
    bridge = facts.bridge
    if bridge is None or bridge.head_chunk is not None:
        return []
    batch = f"Batch {bridge.head.number} on L1"
    if facts.operator is not None and bridge.head_holder == facts.operator and facts.chunk_count:
        said = (
            f"{batch} was posted with this node's key and is not of this datadir: another node posts with the same "
            "key, or this is an older copy. One of the two has to end; what this one took since their common batch is "
            f"never posted. {_FOLLOWING_L1}"
        )
        return [Reason("SECOND_NODE", said, Taking.NOTHING)]
    begins = "has no history at all" if facts.chunk_count == 0 else "never had its root"
    said = (
        f"{batch} was posted by 0x{bridge.head_holder.hex()}, and this datadir {begins}: nothing of it can ever be "
        f"posted behind that batch. Bring back the datadir that the batch is from. {_FOLLOWING_L1}"
    )
    return [Reason("OTHER_HISTORY", said, Taking.NOTHING)]


def _queue(facts: Facts) -> list[Reason]:
    """Whether the queue that this store has taken is the beginning of the bridge's."""
    bridge = facts.bridge
    if bridge is None or bridge.chain_hash == bridge.taken_hash:
        return []
    if bridge.chain_hash is None:
        said = f"This store has taken {bridge.taken} entries of the L1 queue, which has {bridge.queue_length}:"
    else:
        said = f"The first {bridge.taken} entries of the L1 queue are not those that this store has taken:"
    said += " L1 was reorganised behind finality. A restart re-sequences once L1's final part says the same."
    return [Reason("OTHER_QUEUE", said, Taking.CANCELS)]


def _seat(facts: Facts) -> list[Reason]:
    """Whether the key that posts holds the seat. Nobody else's receipt for a cancel is worth anything."""
    if facts.operator is None or facts.bridge is None:
        return []
    if facts.bridge.frozen_at:
        said = "The bridge is frozen: it takes no batch any more."
        return [Reason("FROZEN", said, Taking.CANCELS)]
    seat = facts.bridge.seat
    if not seat.bond_id:
        said = "Nobody holds the committer's seat. Whoever takes it puts up a bond: start with --take-seat."
        return [Reason("SEAT_OPEN", said, Taking.NOTHING)]
    if 0 < seat.handover_at * 1_000 <= facts.now_ms + facts.l1_ahead_ms:
        # By the clock alone: an L1 that makes no block says so with none.
        said = f"The committer's seat was resigned and has opened at {seat.handover_at}: start with --take-seat."
        return [Reason("SEAT_OPEN", said, Taking.NOTHING)]
    if seat.holder != facts.operator:
        said = f"The committer's seat is held by 0x{seat.holder.hex()}, not by this node's key."
        return [Reason("OTHER_SEAT", said, Taking.NOTHING)]
    if seat.handover_at:
        said = f"The committer's seat was resigned and opens at {seat.handover_at}."
        return [Reason("SEAT_RESIGNED", said, is_blocking=False)]
    return []


def _bridge(facts: Facts) -> list[Reason]:
    """Whether L1 answers, and has the bridge at all."""
    if facts.is_bridge_gone:
        return [Reason("NO_BRIDGE", "The L1 node has no bridge at this rollup's address.", Taking.CANCELS)]
    if facts.bridge is None:
        return [Reason("UNREAD", "L1 has not said yet where the bridge stands.", Taking.NOTHING)]
    if facts.unanswered_seconds >= PATIENCE_SECONDS:
        said = f"L1 has not answered for {facts.unanswered_seconds:.0f} s."
        return [Reason("L1_AWAY", said, is_blocking=False)]
    return []


def is_far_ahead(l1_ahead_ms: int, lag_ms: int) -> bool:
    """Whether L1's clock is so far ahead of the venue's that what is taken now is late at once.

    Nothing is given up then: what came in its place would begin no later.
    """
    return 2 * l1_ahead_ms >= lag_ms


def _ahead(facts: Facts) -> list[Reason]:
    """Whether this is a chain that was moved by hand: any other one's time is the venue's."""
    if not is_far_ahead(facts.l1_ahead_ms, facts.lag_ms):
        return []
    said = (
        f"L1's clock is {facts.l1_ahead_ms // 1_000} s ahead of the venue's, and the bridge takes no batch that begins "
        f"{facts.lag_ms // 1_000} s behind it: "
    )
    until = ", until the machine's clock and that of L1, which somebody has moved, agree again."
    if facts.l1_ahead_ms < facts.lag_ms:
        return [Reason("L1_AHEAD", f"{said}only what lowers risk is taken{until}", Taking.REDUCING)]
    return [Reason("L1_AHEAD", f"{said}nothing can be posted{until}", Taking.NOTHING)]


def _deadline(facts: Facts) -> list[Reason]:
    """Full trading for half of what the bridge allows, what lowers risk for the other half, then nothing.

    The half that is left is for posting: behind the whole, all that was taken since is void.
    """
    if facts.oldest_ms is None or is_far_ahead(facts.l1_ahead_ms, facts.lag_ms):
        return []
    waited_ms = facts.now_ms + facts.l1_ahead_ms - facts.oldest_ms
    if waited_ms < facts.lag_ms // 2:
        return []
    said = f"What was taken {waited_ms // 1_000} s ago is not on L1 yet, and the bridge takes"
    if waited_ms < facts.lag_ms:
        left_seconds = (facts.lag_ms - waited_ms) // 1_000
        return [Reason("LATE", f"{said} it for {left_seconds} s more: only what lowers risk is.", Taking.REDUCING)]
    said += " it no more: all that was taken since is void. A restart re-sequences once L1 answers."
    return [Reason("OVERDUE", said, Taking.NOTHING)]


def _clock(facts: Facts) -> list[Reason]:
    """The time that is sequenced is right all the same: it does not follow a jump."""
    if not facts.clock_skew_ms:
        return []
    side = "ahead of" if facts.clock_skew_ms > 0 else "behind"
    said = f"The machine's clock is {abs(facts.clock_skew_ms)} ms {side} the venue's, which does not follow it."
    return [Reason("CLOCK", said)]


def _prices(facts: Facts) -> list[Reason]:
    """Which operations need a price that is young, the law itself says."""
    if not facts.tick_ms:
        return [Reason("NO_PRICES", "The oracle has given no price yet.")]
    if facts.now_ms - facts.tick_ms <= constants.MAX_PRICE_AGE:
        return []
    said = f"The newest prices are {(facts.now_ms - facts.tick_ms) // 1_000} s old."
    return [Reason("OLD_PRICES", said)]


def _trouble(facts: Facts) -> list[Reason]:
    """What the bridge itself refuses for so long will not be taken later either.

    Whoever posts may be in no trouble that he knows of: his transaction waits, or nobody answers him at all.
    """
    if facts.trouble and facts.trouble_seconds >= PATIENCE_SECONDS:
        since = f"for {facts.trouble_seconds:.0f} s: {facts.trouble}"
        if facts.is_refused:
            return [Reason("REFUSED", f"The bridge has refused this store's next batch {since}.", Taking.CANCELS)]
        return [Reason("NOT_POSTING", f"No batch came onto L1 {since}.")]
    if facts.stalled_seconds >= PATIENCE_SECONDS:
        said = f"No batch came onto L1 for {facts.stalled_seconds:.0f} s longer than it should take, and one waits."
        return [Reason("NOT_POSTING", said)]
    return []


_ASKED: Final[tuple[Callable[[Facts], list[Reason]], ...]] = (
    _history,
    _queue,
    _seat,
    _bridge,
    _ahead,
    _deadline,
    _clock,
    _prices,
    _trouble,
)
CODES: Final = (
    "SECOND_NODE",
    "OTHER_HISTORY",
    "OTHER_QUEUE",
    "FROZEN",
    "SEAT_OPEN",
    "OTHER_SEAT",
    "SEAT_RESIGNED",
    "NO_BRIDGE",
    "UNREAD",
    "L1_AWAY",
    "L1_AHEAD",
    "LATE",
    "OVERDUE",
    "CLOCK",
    "NO_PRICES",
    "OLD_PRICES",
    "REFUSED",
    "NOT_POSTING",
)
