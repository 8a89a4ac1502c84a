"""Where the facts are gathered by which a store knows whether it can post: L1 is asked at each of its blocks."""

import math
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Unavailable
from l1_bridge.client.values import Block
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import ArtifactError, bridge_artifact
from sequencer.l1 import postable
from sequencer.l1.postable import BridgeFacts, Facts, Reason
from sequencer.l1.poster import Poster
from sequencer.sequencing.admission import Taking
from sequencer.sequencing.sequencer import Sequencer
from sequencer.sequencing.venue_clock import VenueClock

_LOOK_SECONDS: Final = 1.0
_SAID_SECONDS: Final = 60.0
# A node behind a balancer may be some blocks behind the one that answered before: its word is older, not other.
_LAGGING_SECONDS: Final = 30.0


async def meet_time(client: L1Client, clock: VenueClock, newest: Block | None = None) -> None:
    """Lets a clock meet L1's: its newest block, or what one made now would carry on a devnet. L1Error."""
    if clock.has_slots:
        seconds = (newest or await client.newest_block()).timestamp
    else:
        seconds = await client.next_timestamp()
    clock.met_l1(seconds * 1_000)


class _Seen(msgspec.Struct, frozen=True):
    """A block at which the bridge was asked, when, and what it said; None where there was no bridge."""

    block: Block
    at: float
    bridge: BridgeFacts | None


class Watch:
    """Asks L1 where the bridge stands, and says for which reasons this store cannot post.

    Invariant: until L1 was read once nothing is taken; afterwards what it said last stands, however long it is away.
    """

    def __init__(
        self,
        client: L1Client,
        sequencer: Sequencer,
        poster: Poster,
        *,
        is_posting: bool,
        max_lag_seconds: int,
        venue_clock: VenueClock,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """max_lag_seconds: how far behind L1's clock a batch may begin. clock: the poster's, in seconds."""
        self._client = client
        self._sequencer = sequencer
        self._engine = sequencer.engine
        self._poster = poster
        self._operator = poster.operator if is_posting else None
        self._lag_ms = max_lag_seconds * 1_000
        self._venue_clock = venue_clock
        self._seen: _Seen | None = None
        self._clock = clock
        self._answered_at = clock()
        # When it was said last that it does not answer, and whether it has not answered since.
        self._said_at = -math.inf
        self._is_silent = False
        # The oldest chunk that L1 does not hold, and the time with which it begins.
        self._dated = (0, 0)
        # The newest batch, and when it came, or when nothing waited for one that could come.
        self._newest: int | None = None
        self._moved_at = clock()
        self.reasons: tuple[Reason, ...] = ()
        self.taking = Taking.NOTHING
        self._told: list[str] = []
        # Hears what the bridge said at each new block.
        self.heard: Callable[[Block, BridgeFacts], None] = lambda block, bridge: None
        self._log = structlog.get_logger("postable")

    async def run(self) -> None:
        """Looks for ever, and tells; trouble with L1 is a fact like others, and so is that it does not answer."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_for_ever)
            while True:
                self.judge()
                self.tell()
                await trio.sleep(_LOOK_SECONDS)

    async def _look_for_ever(self) -> None:
        while True:
            await self.look()
            self.tell()
            await trio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Asks L1 once, and judges by what is known then."""
        try:
            await self._ask()
        except L1Error as error:
            self._say_unread(error)
        else:
            if self._is_silent:
                self._log.info("l1.read_again", silent_seconds=round(self._clock() - self._answered_at, 1))
            self._answered_at, self._is_silent = self._clock(), False
        self.judge()

    def _say_unread(self, error: L1Error) -> None:
        """One line where L1 does not answer, and one a minute for as long as it does not, or not always."""
        now = self._clock()
        if now - self._said_at >= _SAID_SECONDS:
            self._said_at, self._is_silent = now, True
            self._log.warning("l1.unread", error=str(error), silent_seconds=round(now - self._answered_at, 1))

    def recall(self, block: Block, bridge: BridgeFacts) -> None:
        """What an earlier run heard last stands until L1 is read."""
        known = msgspec.structs.replace(bridge, head_chunk=self._poster.chunk_of(bridge.head))
        self._seen = _Seen(block, self._clock(), known)
        self.judge()

    def judge(self) -> None:
        """Says anew which reasons stand; L1 is not asked."""
        self.reasons = postable.reasons(self._facts())
        self.taking = postable.taken(self.reasons)

    def tell(self) -> None:
        """One line in the log for each change since it was told last."""
        codes = [reason.code for reason in self.reasons]
        if codes == self._told:
            return
        self._told = codes
        is_blocked = bool(postable.blocking(self.reasons))
        say = self._log.warning if is_blocked else self._log.info
        because = {"because": self.reasons[0].sentence} if codes else {}
        say("postable.no" if is_blocked else "postable.yes", reasons=codes, taken=self.taking.name.lower(), **because)

    async def _ask(self) -> None:
        block = await self._client.newest_block()
        await meet_time(self._client, self._venue_clock, block)
        now = self._clock()
        if self._seen is not None:
            is_older = block.number < self._seen.block.number and now - self._seen.at < _LAGGING_SECONDS
            is_same = block.hash == self._seen.block.hash and not self._has_taken_more(self._seen.bridge)
            if is_older or is_same:
                return
        try:
            bridge = await self._bridge(block)
        except ArtifactError as error:
            # Only where no code stands is there no bridge: a node that has lost a state answers with nothing as well.
            if await self._client.code(self._poster.bridge, block.number):
                raise L1Unavailable(f"the L1 node does not say what the bridge holds: {error}") from None
            bridge = None
        again = await self._client.block(block.number)
        # Where the block was replaced meanwhile the answers are of two chains: the next look has one.
        if again is not None and again.hash == block.hash:
            self._seen = _Seen(block, now, bridge)
            if bridge is not None:
                self.heard(block, bridge)

    def _has_taken_more(self, bridge: BridgeFacts | None) -> bool:
        return bridge is not None and bridge.taken != self._engine.view.commitment.queue_taken

    async def _bridge(self, block: Block) -> BridgeFacts:
        """What the bridge says at a block. L1Error, and ArtifactError where there is none."""
        # Read before anything is awaited: the sequence goes on meanwhile, in the same object.
        commitment = self._engine.view.commitment
        taken, taken_hash = commitment.queue_taken, commitment.queue_hash
        head = calls.decode_record(calls.BatchRecord, await self._call(block, "head"))
        holder = b""
        if head.bond_id:
            holder = calls.decode_record(calls.Bond, await self._call(block, "bond", head.bond_id)).holder
        length = await self._number(block, "queue_length")
        chain_hash: bytes | None = taken_hash
        if taken > length:
            chain_hash = None
        elif taken:
            entry = await self._call(block, "queue_entry", taken - 1)
            chain_hash = calls.decode_record(calls.QueueEntry, entry).chain_hash
        return BridgeFacts(
            head=head,
            head_holder=holder,
            head_chunk=self._poster.chunk_of(head),
            seat=calls.decode_record(calls.Seat, await self._call(block, "seat")),
            queue_length=length,
            taken=taken,
            taken_hash=taken_hash,
            chain_hash=chain_hash,
            frozen_at=await self._number(block, "frozen_at"),
        )

    async def _call(self, block: Block, name: str, *arguments: int) -> bytes:
        data = calls.encode_call(name, *arguments)
        return await self._client.eth_call(self._poster.bridge, data, block.number)

    async def _number(self, block: Block, name: str) -> int:
        return int(bridge_artifact().decode_result(name, await self._call(block, name)))

    def _facts(self) -> Facts:
        poster, now = self._poster, self._clock()
        bridge = None if self._seen is None else self._seen.bridge
        oldest_ms = self._oldest_ms((bridge and bridge.head_chunk) or 0)
        newest = None if bridge is None else bridge.head.number
        ahead_ms = self._venue_clock.l1_ahead_ms
        if oldest_ms is None or newest != self._newest or postable.is_far_ahead(ahead_ms, self._lag_ms):
            self._newest, self._moved_at = newest, now
        return Facts(
            operator=self._operator,
            bridge=bridge,
            chunk_count=self._engine.chunk_count,
            now_ms=self._sequencer.now_ms(),
            lag_ms=self._lag_ms,
            oldest_ms=oldest_ms,
            l1_ahead_ms=ahead_ms,
            tick_ms=self._engine.globals.tick_time,
            is_bridge_gone=self._seen is not None and bridge is None,
            unanswered_seconds=now - self._answered_at,
            clock_skew_ms=self._venue_clock.skew_ms,
            trouble=poster.trouble,
            trouble_seconds=now - poster.trouble_since,
            is_refused=poster.is_refused,
            stalled_seconds=max(0.0, now - self._moved_at - poster.post_seconds) if self._operator else 0.0,
        )

    def _oldest_ms(self, posted: int) -> int | None:
        """When the oldest input was taken that L1 does not hold, by this process or an earlier one; None for none."""
        if self._dated[0] != posted + 1:
            chunk = self._engine.chunk_begun(posted + 1)
            if chunk is None:
                is_open = self._engine.open_operations > 0
                return self._engine.view.commitment.timestamp if is_open else None
            self._dated = posted + 1, chunk.began_ms
        return self._dated[1]
