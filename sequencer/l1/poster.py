"""Sealed chunks to L1: pre-flight on the shipped bytecode, one batch at a time on the canonical head, no other."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected, L1Reverted, L1Superseded, L1Unavailable
from l1_bridge.client.keys import Signer
from l1_bridge.client.sending import OWN_TERMS
from l1_bridge.client.values import Block
from l1_bridge.codec import batch, calls
from l1_bridge.contracts.artifact import ArtifactError
from prover.contracts.deployment import Deployment
from prover.stf import constants, containers
from sequencer.engine.engine import Engine
from sequencer.engine.money.posting import is_dear
from sequencer.engine.records import SealedChunk
from sequencer.l1.postable import is_far_ahead
from sequencer.l1.preflight import LocalVerdicts, Preflight, PreflightPolicy
from sequencer.views.markets import index_of

# A batch stays below the 131,072 bytes that the public mempool takes.
MAX_BATCH_BYTES: Final = 96_000
# Per byte: 16 of calldata or the floor of 40, 8 in the log, hashing and memory; fixed: checks, record, a cold start.
_GAS_PER_BYTE: Final = 64
# The market whose oracle price says what L1's gas is worth.
_ETHER: Final = "ETH"
_GAS_FIXED: Final = 1_000_000
_SEAT_GAS: Final = 600_000
# The bridge keeps so many bytes of it.
_ENDPOINT_LIMIT: Final = 128
_LONGEST_PAUSE_SECONDS: Final = 60.0


class Overdue(Exception):
    """What waits can never be posted: it is too old for the bridge, or trades where only the queue may be served."""


class SeatTaken(Exception):
    """Somebody else holds the committer's seat."""


class Clocks(msgspec.Struct, frozen=True):
    """The time that is sequenced, in milliseconds, and seconds that only go forward."""

    venue_ms: Callable[[], int]
    seconds: Callable[[], float] = trio.current_time


async def seat_now(client: L1Client, bridge: bytes) -> calls.Seat:
    """Who may commit in a block that is made now; all zero where nobody may. Raises L1Error.

    Whoever resigned holds nothing from his time on, also where L1 makes no block that says so.
    """
    held = calls.decode_record(calls.Seat, await client.eth_call(bridge, calls.encode_call("seat")))
    if held.handover_at and await client.next_timestamp() >= held.handover_at:
        return calls.Seat(bytes(20), 0, 0, 0)
    return held


class Poster:
    """Commits what the engine sealed."""

    def __init__(
        self,
        client: L1Client,
        signer: Signer,
        deployment: Deployment,
        engine: Engine,
        clocks: Clocks,
        *,
        post_seconds: float = 5.0,
        preflight: Preflight | None = None,
    ) -> None:
        self._client = client
        self._signer = signer
        self._deployment = deployment
        self._engine = engine
        self.post_seconds = post_seconds
        self.preflight = preflight or Preflight(LocalVerdicts(deployment.domain), PreflightPolicy())
        first = engine.chunk_begun(1)
        self._genesis_root = engine.state.root if first is None else first.pre_root
        self._parameters: calls.Parameters | None = None
        self._others_bonds: set[int] = set()
        # Whether the oldest chunk waits for L1's clock, and that was said.
        self._is_waiting = False
        self.batches_posted = 0
        self._clocks = clocks
        # Since when there is trouble, in seconds of the clock, and whether it is the bridge itself that says no.
        self.trouble = ""
        self.trouble_since = 0.0
        self.is_refused = False
        # What a byte costs at L1's price of gas, in micro-dollars; 0 where nobody knows what ether is worth.
        self.byte_micros = 0
        self._log = structlog.get_logger("poster")

    @property
    def operator(self) -> bytes:
        """The address that posts."""
        return self._signer.address

    @property
    def bridge(self) -> bytes:
        """The address that is posted to."""
        return self._deployment.bridge

    async def is_seat_new(self) -> bool:
        """Whether nobody has ever bonded for this rollup. Raises L1Error."""
        return await self._client.word(self._deployment.bridge, calls.encode_call("bond_count")) == 0

    async def take_seat(self, endpoint_url: str) -> None:
        """Takes the committer's seat with the bond, unless this key holds it already; SeatTaken otherwise."""
        seat = await self.seat()
        if seat.holder == self._signer.address:
            return
        if seat.bond_id:
            raise SeatTaken(f"the committer's seat is held by 0x{seat.holder.hex()}")
        bond_wei = (await self._fixed()).bond_wei
        data = calls.encode_call("take_seat", endpoint_url[:_ENDPOINT_LIMIT])
        await self._client.send(
            self._signer, self._deployment.bridge, data, value=bond_wei, gas=_SEAT_GAS, terms=OWN_TERMS
        )
        self._log.info("seat.taken", holder="0x" + self._signer.address.hex(), bond_wei=bond_wei)

    async def seat(self) -> calls.Seat:
        """Who may commit in a block that is made now, and since when. Raises L1Error."""
        return await seat_now(self._client, self._deployment.bridge)

    async def bonds(self, block: int) -> list[calls.Bond]:
        """Every bond that this key has put up as of a block, whatever became of it. Raises L1Error."""
        bridge = self._deployment.bridge
        count = await self._client.word(bridge, calls.encode_call("bond_count"), block)
        bonds = {}
        for bond_id in range(1, count + 1):
            if bond_id not in self._others_bonds:
                answer = await self._client.eth_call(bridge, calls.encode_call("bond", bond_id), block)
                bonds[bond_id] = calls.decode_record(calls.Bond, answer)
        own = [bond for bond in bonds.values() if bond.holder == self._signer.address]
        if len(own) < len(bonds):
            await self._settle_others({number for number, bond in bonds.items() if bond.holder != self._signer.address})
        return own

    async def _settle_others(self, found: set[int]) -> None:
        """Notes those of others' bonds that are final: a holder never changes, and they are not asked for again.

        Whoever puts bonds up and takes them home pays gas alone for it, and makes no later question any longer.
        """
        final = await self._client.block("finalized")
        if final is None:
            return
        try:
            count = await self._client.word(self._deployment.bridge, calls.encode_call("bond_count"), final.number)
        except L1Rejected as error:
            # A node that has no state of so old a block: they are asked for once more.
            self._log.debug("bonds.final_unknown", error=str(error))
            return
        self._others_bonds |= {number for number in found if number <= count}

    async def run(self) -> None:
        """Posts until cancelled. PreflightFailed and Overdue end the node; trouble with L1 is waited out.

        `trouble` says what L1 answered last, empty when it took a batch or there was none to post.
        """
        pause = self.post_seconds
        while True:
            try:
                await self.look_at_gas()
                posted = await self.post_once()
                self.trouble = ""
                pause = self.post_seconds
            except L1Superseded as error:
                # Something older of this key was mined: what is due now is decided anew, and at once.
                posted, pause = False, self.post_seconds
                self._note(error)
                self._log.warning("post.superseded", error=str(error))
            except (L1Error, ArtifactError) as error:
                # What no bridge would answer comes from a node that has none: on another chain, or not there yet.
                posted = False
                self._note(error)
                pause = min(2 * pause, max(_LONGEST_PAUSE_SECONDS, self.post_seconds))
                self._log.warning("post.failed", error=str(error), next_in_seconds=pause)
            if not posted:
                await trio.sleep(pause)

    def _note(self, error: Exception) -> None:
        is_refused = isinstance(error, L1Reverted)
        if not self.trouble or is_refused != self.is_refused:
            self.trouble_since = self._clocks.seconds()
        self.trouble, self.is_refused = str(error), is_refused

    def trouble_seconds(self) -> float:
        """How long posting has been in trouble; 0 where it is in none."""
        return self._clocks.seconds() - self.trouble_since if self.trouble else 0

    async def look_at_gas(self) -> None:
        """Asks L1 for its price of gas, and the venue's oracle for that of ether; without one nothing is dear."""
        head = await self._client.block("latest")
        ether = ether_micros(self._engine.globals)
        if head is None or ether is None:
            return
        was, self.byte_micros = self.byte_micros, byte_micros(head.base_fee_wei, ether)
        if is_dear(was) != is_dear(self.byte_micros):
            self._log.warning("l1.dear" if is_dear(self.byte_micros) else "l1.cheap", base_fee_wei=head.base_fee_wei)

    async def head(self, block: str | int = "latest") -> tuple[calls.BatchRecord, int]:
        """The batch that the next commit builds on, and how many of our chunks it contains. Raises ForeignHead."""
        data = await self._client.eth_call(self._deployment.bridge, calls.encode_call("head"), block)
        record = calls.decode_record(calls.BatchRecord, data)
        number = self.chunk_of(record)
        if number is None:
            raise ForeignHead(f"batch {record.number} on L1 ends in a root that this node never had")
        return record, number

    def chunk_of(self, record: calls.BatchRecord) -> int | None:
        """How many of our chunks stand on L1 where this batch is the newest; None where it is not built from them."""
        number = self._engine.chunk_with_root(record.last_root)
        if number is None and record.number == 0 and record.last_root == self._genesis_root:
            return 0
        return number

    async def _fixed(self) -> calls.Parameters:
        if self._parameters is None:
            answer = await self._client.eth_call(self._deployment.bridge, calls.encode_call("parameters"))
            self._parameters = calls.decode_record(calls.Parameters, answer)
        return self._parameters

    async def head_and_owed(self) -> tuple[calls.BatchRecord, int, calls.QueueEntry | None]:
        """As `head`, and the oldest entry of the queue that the batch does not serve, None where it serves all.

        Invariant: all of one block: an entry that came, or that a reorganisation took, between two answers would be
        owed by a batch that serves it, or by none. Raises L1Error.
        """
        block = await self._client.newest_block()
        try:
            record, number = await self.head(block.number)
            owed = await self._oldest_owed(record, block.number)
        except L1Reverted:
            # An index that was there at the block is none at another one of its number: no verdict of the bridge's.
            await self._require_still(block)
            raise
        await self._require_still(block)
        return record, number, owed

    async def _oldest_owed(self, record: calls.BatchRecord, block: int) -> calls.QueueEntry | None:
        bridge = self._deployment.bridge
        if record.queue_count == await self._client.word(bridge, calls.encode_call("queue_length"), block):
            return None
        answer = await self._client.eth_call(bridge, calls.encode_call("queue_entry", record.queue_count), block)
        return calls.decode_record(calls.QueueEntry, answer)

    async def _require_still(self, block: Block) -> None:
        again = await self._client.block(block.number)
        if again is None or again.hash != block.hash:
            raise L1Unavailable(f"L1 has replaced block {block.number} while it was asked what the queue is owed")

    async def bonded(self) -> tuple[int, int]:
        """What may come home of bonds of this key, in wei, and what was burned or slashed of them. Raises L1Error."""
        bonds = await self.bonds((await self._client.newest_block()).number)
        whole = (await self._fixed()).bond_wei
        # Nothing is left of one that was taken home, and nothing is missing of it; of a slashed one nothing comes home.
        left = [0 if bond.slashed else bond.amount_wei for bond in bonds]
        return sum(left), sum(
            whole - wei for bond, wei in zip(bonds, left, strict=True) if bond.slashed or bond.amount_wei
        )

    async def _late_ms(self, owed: calls.QueueEntry | None) -> int | None:
        """From which time on a batch behind one that owes this serves the queue alone; None where it owes none."""
        return None if owed is None else (owed.enqueued_at + (await self._fixed()).inclusion_seconds) * 1_000

    def _sealed_behind(self, first: int) -> list[SealedChunk]:
        """What stands behind chunk `first`, as many as a batch holds at most."""
        chunks = []
        for number in range(first + 1, first + 1 + batch.MAX_CHUNKS):
            chunk = self._engine.chunk_record(number)
            if chunk is None:
                break
            chunks.append(chunk)
        return chunks

    async def _taken_of(self, chunks: list[SealedChunk], owed: calls.QueueEntry | None) -> list[SealedChunk]:
        """The most of these that the bridge takes in one batch behind one that owes this; empty where it takes none."""
        times = [(_timestamp_ms(chunk), chunk.body) for chunk in chunks]
        return chunks[: batch_length(times, await self._late_ms(owed))]

    async def _is_too_old(self, time_ms: int, now_seconds: int) -> bool:
        """Whether the bridge takes no batch any more whose first chunk is of this time."""
        return time_ms < (now_seconds - (await self._fixed()).max_lag_seconds) * 1_000

    async def _is_far_ahead(self, now_seconds: int) -> bool:
        """Whether what is taken now would be too old as soon: nothing that waits is given up for it."""
        ahead_ms = now_seconds * 1_000 - self._clocks.venue_ms()
        return is_far_ahead(ahead_ms, (await self._fixed()).max_lag_seconds * 1_000)

    async def overdue_behind(self, final_block: str | int, open_since_ms: int | None = None) -> int | None:
        """The chunk behind which nothing can ever be posted, None where it can. Raises L1Error.

        open_since_ms: the time of what was taken and is in no chunk yet, if there is any.
        What follows from it cannot be undone: L1 has to have said so in its final part too.
        """
        try:
            record, first, owed = await self.head_and_owed()
        except ForeignHead:
            return None
        chunks = self._sealed_behind(first)
        if chunks:
            open_since_ms = chunks[0].began_ms if await self._taken_of(chunks, owed) else 0
        if open_since_ms is None:
            return None
        now_seconds = await self._client.next_timestamp()
        if not await self._is_too_old(open_since_ms, now_seconds) or await self._is_far_ahead(now_seconds):
            return None
        await self._require_final(record, final_block)
        return first

    async def other_queue_behind(self, final_block: str | int, taken: int, taken_hash: bytes) -> int | None:
        """The chunk behind which nothing can be posted, because L1's queue is another than what was taken of it.

        taken, taken_hash: entries of the queue, those that are in no chunk yet as well, and their hash chain. A queue
        that is shorter proves nothing: it may be that of a node that lags. Raises L1Error.
        """
        try:
            record, first = await self.head()
        except ForeignHead:
            return None
        bridge = self._deployment.bridge
        length = await self._client.word(bridge, calls.encode_call("queue_length"), final_block)
        if not 0 < taken <= length:
            return None
        answer = await self._client.eth_call(bridge, calls.encode_call("queue_entry", taken - 1), final_block)
        if calls.decode_record(calls.QueueEntry, answer).chain_hash == taken_hash:
            return None
        await self._require_final(record, final_block)
        return first

    async def _require_final(self, record: calls.BatchRecord, final_block: str | int) -> None:
        """L1Unavailable unless L1's final part has the same newest batch."""
        final, _ = await self.head(final_block)
        if final.batch_hash != record.batch_hash:
            raise L1Unavailable(f"batch {record.number} is not final yet; start again when it is")

    async def post_once(self) -> bool:
        """Commits one batch if anything is sealed beyond the head; whether it did. Raises Overdue."""
        record, first, owed = await self.head_and_owed()
        sealed = self._sealed_behind(first)
        if not sealed:
            return False
        chunks = await self._taken_of(sealed, owed)
        now_seconds = await self._client.next_timestamp()
        if not chunks or await self._is_too_old(chunks[0].began_ms, now_seconds):
            if await self._is_far_ahead(now_seconds):
                return False
            raise Overdue(_overdue(first))
        # L1 takes nothing from ahead of its own clock: what this node sealed in L1's future waits for it.
        while chunks and _timestamp_ms(chunks[-1]) > now_seconds * 1_000:
            chunks.pop()
        if not chunks:
            ahead_ms = _timestamp_ms(sealed[0]) - now_seconds * 1_000
            # L1 counts whole seconds: what is left of one is no news.
            if not self._is_waiting and ahead_ms >= 1_000:
                self._is_waiting = True
                self._log.warning("post.waits", chunk=sealed[0].number, ahead_of_l1_seconds=round(ahead_ms / 1_000, 1))
            return False
        self._is_waiting = False
        await self.preflight.judge(chunks)
        data = self._encode(record, chunks)
        # Asked before it is paid for: a refusal costs nothing, and says why.
        refused = await self._refusal(data)
        if refused:
            raise L1Reverted(refused)
        receipt = await self._client.send(
            self._signer, self._deployment.bridge, data, gas=_commit_gas(data), terms=OWN_TERMS
        )
        self.batches_posted += 1
        size = sum(len(chunk.body) for chunk in chunks)
        self._log.info("batch.posted", number=record.number + 1, chunks=len(chunks), bytes=size, gas=receipt.gas_used)
        return True

    def _encode(self, record: calls.BatchRecord, chunks: list[SealedChunk]) -> bytes:
        return calls.encode_commit(
            record.number,
            record.batch_hash,
            [batch.Chunk(chunk.body, chunk.post_root) for chunk in chunks],
            batch.Commitment.decode(chunks[-1].commitment),
        )

    async def _refusal(self, data: bytes) -> str:
        """Why the bridge would not take this commit now; empty where it would."""
        try:
            await self._client.eth_call(
                self._deployment.bridge, data, "pending", sender=self._signer.address, gas=_commit_gas(data)
            )
        except L1Reverted as error:
            return error.reason or "the bridge refuses the batch without a reason"
        except L1Rejected as error:
            # The node's own refusal is no verdict: what it will not simulate it may still take.
            self._log.warning("post.not_simulated", error=str(error))
        return ""


class ForeignHead(L1Error):
    """The bridge's head is not built from this node's chunks; it must not build on it."""


def ether_micros(globals: containers.Globals) -> int | None:
    """What one ether is worth by the oracle, in micro-dollars; None where the venue lists no such market."""
    market = index_of(globals, _ETHER)
    if market is None or globals.risk.price[market] == 0:
        return None
    return int(globals.risk.price[market] * 10 ** globals.markets[market].label[31])


def byte_micros(base_fee_wei: int, ether: int) -> int:
    """What a byte costs, in micro-dollars, rounded up."""
    return -(-_GAS_PER_BYTE * base_fee_wei * ether // 10**18)


def _commit_gas(data: bytes) -> int:
    return _GAS_FIXED + _GAS_PER_BYTE * len(data)


def _timestamp_ms(chunk: SealedChunk) -> int:
    return batch.Commitment.decode(chunk.commitment).timestamp_ms


def batch_length(chunks: Sequence[tuple[int, bytes]], late_ms: int | None) -> int:
    """How many chunks, each a time in milliseconds and a body, the bridge takes in one batch; 0 where it takes none.

    late_ms: from which time on a batch serves the queue alone, by what its parent owes.
    """
    size = lawful = 0
    for count, (time_ms, body) in enumerate(chunks[: batch.MAX_CHUNKS], start=1):
        size += len(body)
        # All of them serve the queue alone, or none does.
        if size > MAX_BATCH_BYTES or is_queue_only(body) != is_queue_only(chunks[0][1]):
            break
        # By its last time: one that serves the queue alone may end late for the first time with a later chunk.
        if is_queue_only(body) == (late_ms is not None and time_ms >= late_ms):
            lawful = count
    return lawful


def is_queue_only(body: bytes) -> bool:
    """Whether a chunk serves the queue alone."""
    return int.from_bytes(body[: constants.TIMESTAMP_LENGTH], "big") >= constants.QUEUE_ONLY_BIT


def _overdue(first: int) -> str:
    return (
        f"the chunks behind chunk {first} were not posted in time and L1 will never take them: a restart re-sequences"
    )
