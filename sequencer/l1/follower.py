"""A node without the seat: its state is what the batches on L1 come to, chunk by chunk, and it goes back where they do.

It has no books and takes nothing: what is not posted only the sequencer knows.
"""

from collections import ChainMap, deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.codec.batch import extend_queue_hash
from l1_bridge.codec.events import BatchCommitted, BridgeEvent, Enqueued, RolledBack
from l1_bridge.hashing import keccak
from prover.history.outcomes import Outcome, Replayed, replay_chunk
from prover.state.store import Store
from prover.stf import codes, constants, encoding
from sequencer.engine.effects import (
    AnyEffect,
    Applied,
    EntryConsumed,
    Opened,
    PaidOut,
    Processed,
    number,
)
from sequencer.engine.engine import Engine
from sequencer.engine.records import (
    CHUNK_KEY,
    CURSOR_KEY,
    NOT_BEFORE_KEY,
    QUEUE_KEY,
    UNDO_KEY,
    VOID_KEY,
    EntryRecord,
    SealedChunk,
    VoidedOperation,
    WithdrawalRecord,
    Writes,
    number_key,
    signers_of,
)
from sequencer.history.lists import Lists
from sequencer.l1.bridge_view import PostedBatch
from sequencer.l1.following import QueueGap, QueueUnreadable
from sequencer.l1.postable import Reason
from sequencer.l1.rebuild import StoreKeeper
from sequencer.l1.resequence import operations_of
from sequencer.l1.voided import Void, name_of
from sequencer.sequencing.admission import Taking
from sequencer.sequencing.rederiving import sealed_chunk
from sequencer.sequencing.staged_store import BufferedStore

FOLLOWING: Final = "FOLLOWING"
CONTRADICTED: Final = "CONTRADICTED"
# So many batches, the newest, are taken back by what they have replaced; no L1 goes back so far every day.
_MOST_UNDONE: Final = 256


class GoBack(Exception):
    """What was followed is not on L1 any more, or never came to its root: the state is opened anew behind a chunk.

    contradicted: the hash of a batch that does not replay, which is not tried again.
    """

    def __init__(self, chunks: int, contradicted: bytes = b"") -> None:
        super().__init__(f"back to chunk {chunks}")
        self.chunks = chunks
        self.contradicted = contradicted


class _Undo(msgspec.Struct, frozen=True, array_like=True):
    """What stood where a batch has written, by key; `chunks` are those that the store holds with it."""

    chunks: int
    rows: Writes


def step_back(store: Store, chunks: int, genesis_root: bytes) -> bool:
    """Takes back all that came behind a chunk, in one write; False where more would have to be than is remembered.

    Owners are told of what was theirs in it, until it comes again.
    """
    _, held, _ = msgspec.msgpack.decode(store.get(CURSOR_KEY) or b"", type=tuple[int, int, int])
    undos = {_number(key): msgspec.msgpack.decode(value, type=_Undo) for key, value in store.iterate(UNDO_KEY)}
    undone: Writes = {}
    at = held
    for before, undo in sorted(undos.items(), reverse=True):
        if at <= chunks:
            break
        if undo.chunks != at:
            # Of a batch that is not of this store any more.
            return False
        undone |= undo.rows
        at = before
    commitment = undone.get(b"commitment")
    last = genesis_root if chunks == 0 else _chunk(store, chunks).post_root
    if at != chunks or commitment is None or keccak(commitment) != last:
        return False
    undone |= {key: None for key, _ in store.iterate(UNDO_KEY) if _number(key) >= chunks}
    buffered = BufferedStore(store)
    buffered.write(undone | _void_rows(store, undone, range(chunks + 1, held + 1)), sync=True)
    buffered.stage(0)
    buffered.flush()
    return True


def entries_behind(store: Store, chunks: int) -> int:
    """How many entries of L1's queue the state behind a chunk has taken."""
    if chunks == 0:
        return 0
    return encoding.commitment_from_bytes(_chunk(store, chunks).commitment).queue_taken


def _number(key: bytes) -> int:
    return int.from_bytes(key[-8:], "big")


def _chunk(store: Store, number: int) -> SealedChunk:
    return msgspec.msgpack.decode(store.get(number_key(CHUNK_KEY, number)) or b"", type=SealedChunk)


def _is_kept(key: bytes, before: int) -> bool:
    """What stays: since when nothing older is taken, and that witnesses of older chunks are gone."""
    return key == NOT_BEFORE_KEY or (key.startswith(CHUNK_KEY) and _number(key) <= before)


def _void_rows(store: Store, undone: Writes, numbers: range) -> Writes:
    """Those that say what is void, where these chunks are and these rows stand again."""
    ended_ms = encoding.commitment_from_bytes(store.get(b"commitment") or b"").timestamp
    void = Void()
    for chunk in (_chunk(store, place) for place in numbers):
        for operation in operations_of(chunk.body):
            void.note(operation, chunk.number, ended_ms)
    known = dict[bytes, bytes | None](store.iterate(VOID_KEY)) | {
        key: row for key, row in undone.items() if key.startswith(VOID_KEY)
    }
    kept = [msgspec.msgpack.decode(row, type=VoidedOperation) for row in known.values() if row is not None]
    return dict.fromkeys(known) | dict(void.rows(ended_ms, kept))


class Follower:
    """Takes each batch before the view does. In a node that follows it also stands in the queue feeder's place."""

    def __init__(
        self,
        engine: Engine,
        lists: Lists,
        genesis_root: bytes,
        tell: Callable[[Processed], None],
        contradicted: bytes = b"",
    ) -> None:
        """lists: where history is booked. tell: about each chunk, once its batch is stored. contradicted: the batch
        that is not to be replayed."""
        self._engine = engine
        self._genesis_root = genesis_root
        self._tell = tell
        self._contradicted = contradicted
        self._contradicted_number = 0
        unfinished = [entry for entry in engine.entries if not entry.done]
        self._keeper = StoreKeeper(engine.store, chunks=engine.chunk_count, unfinished=unfinished, lists=lists)
        self._undoable = deque(_number(key) for key, _ in engine.store.iterate(UNDO_KEY))
        # What L1 has taken back and not again.
        self._void = {
            (one.tag, one.account, one.slot, one.sequence): (key, one)
            for key, value in engine.store.iterate(VOID_KEY)
            for one in (msgspec.msgpack.decode(value, type=VoidedOperation),)
        }
        # Effects are numbered by the chunk that they are of, across restarts too.
        engine.inputs = engine.chunk_count
        commitment = engine.view.commitment
        self.known: tuple[int, bytes] = (commitment.queue_taken, commitment.queue_hash)
        self.horizon_seconds: int | None = None
        # Until all that L1 has was heard once, batches on what stands behind the store are history, undone since.
        self._is_settled = False
        self._log = structlog.get_logger("follower")

    # As the feeder of the queue: entries come with the batches that take them.

    @property
    def is_waiting(self) -> bool:
        """Whether an entry was read and is in no batch here: the next start reads it again."""
        return self.known[0] > self._engine.view.commitment.queue_taken

    async def consume(self, event: Enqueued) -> None:
        """Nothing is sequenced here; that none is missing is looked at all the same. QueueUnreadable."""
        index, queue_hash = self.known
        if event.index > index:
            raise QueueGap(f"the L1 node gives queue entry {event.index}, the next is {index}")
        if event.index == index:
            if extend_queue_hash(queue_hash, event.operation) != event.chain_hash:
                raise QueueUnreadable(f"queue entry {index} does not follow from those before it")
            self.known = index + 1, event.chain_hash

    async def run(self) -> None:
        """Has nothing to go on with."""
        await trio.sleep_forever()

    # Batches.

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why nothing is taken, and whether L1 holds what does not replay."""
        said = "This node follows the bridge and has no seat: orders go to the sequencer, whose address L1 has."
        found = (Reason(FOLLOWING, said, Taking.NOTHING, is_blocking=False),)
        if not self._contradicted_number:
            return found
        said = f"Batch {self._contradicted_number} on L1 does not replay to its roots: what is shown stands before it."
        return (Reason(CONTRADICTED, said, Taking.NOTHING), *found)

    def hear(self, event: BridgeEvent, batches: Sequence[PostedBatch]) -> None:
        """One event that the view has not taken yet; batches: canonical before it. GoBack."""
        if isinstance(event, RolledBack):
            if event.number <= self._contradicted_number:
                self._contradicted_number = 0
            if self._is_settled:
                self._end_with([one for one in batches if one.number < event.number])
        elif isinstance(event, BatchCommitted):
            self._committed(event, batches)

    def settle(self, batches: Sequence[PostedBatch]) -> None:
        """All that L1 holds was heard: what is here beyond it is not there any more, or never came there. GoBack."""
        self._end_with(batches)
        self._is_settled = True

    def _end_with(self, batches: Sequence[PostedBatch]) -> None:
        kept = next((one.chunks for one in reversed(batches) if one.chunks is not None), 0)
        if kept < self._engine.chunk_count:
            raise GoBack(kept)

    def _committed(self, event: BatchCommitted, batches: Sequence[PostedBatch]) -> None:
        if self._engine.chunk_with_root(event.batch.chunks[-1].post_root) is not None:
            return
        before = [one for one in batches if one.number < event.batch.header.number]
        parent = before[-1].last_root if before else self._genesis_root
        kept = 0 if parent == self._genesis_root else self._engine.chunk_with_root(parent)
        if kept is None or event.batch_hash == self._contradicted:
            # It is contradicted itself, or stands on one that is, and falls with it.
            if not self._contradicted_number:
                self._contradicted_number = event.batch.header.number
                self._log.error("follow.contradicted", batch=self._contradicted_number)
        elif self._engine.state.root != parent:
            if self._is_settled:
                raise GoBack(kept)
        else:
            self._adopt(event, kept)

    def _adopt(self, event: BatchCommitted, kept: int) -> None:
        """A batch becomes the state, whole and in one write, and is told."""
        engine, told = self._engine, []
        before = engine.chunk_count
        for chunk in event.batch.chunks:
            known = {one.index: Outcome(one.code, one.done, one.withdrawal, 0) for one in self._keeper.unfinished}
            first_new = engine.globals.next_account
            replayed = replay_chunk(engine.state, chunk, event.batch.header.number, ChainMap({}, known), [])
            if replayed is None:
                raise GoBack(kept, event.batch_hash)
            writes = self._keeper.keep(replayed)
            sealed = engine.open_chunk.sealed
            sealed.add(sealed_chunk(self._keeper.chunks, replayed))
            # Whoever takes the seat on this store knows of no soft cancel of those who had it.
            not_before = replayed.state.commitment.timestamp + constants.CLOCK_TOLERANCE
            writes |= self._stands(chunk.body)
            engine.store.write({**writes, **sealed.close(), NOT_BEFORE_KEY: not_before.to_bytes(8, "big")}, sync=True)
            told.append(self._noted(replayed, writes, first_new))
        self._remember(before)
        engine.open_chunk.sealed.fetch()
        engine.store.flush()
        self._log.info("batch.followed", number=event.batch.header.number, chunks=len(told))
        for effects in told:
            self._tell(Processed(code=codes.OK, effects=effects, changed=True))

    def _remember(self, before: int) -> None:
        """Closes what the batch writes, with what that replaces: as much as the batch, however large the store is."""
        store = self._engine.store
        store.stage(0)
        staged = store.staged(0)
        assert staged is not None, "a batch has chunks"
        rows = {key: store.written(key) for key in staged.writes if not _is_kept(key, before)}
        undo = _Undo(self._engine.chunk_count, rows)
        writes: Writes = {number_key(UNDO_KEY, before): msgspec.msgpack.encode(undo)}
        self._undoable.append(before)
        while len(self._undoable) > _MOST_UNDONE:
            writes[number_key(UNDO_KEY, self._undoable.popleft())] = None
        store.write(writes, sync=True)
        store.stage(0)

    def _stands(self, body: bytes) -> Writes:
        """What was void and stands in a chunk again is void no more."""
        writes: Writes = {}
        for operation in operations_of(body) if self._void else ():
            found = self._void.pop(name_of(operation) or (0, 0, 0, 0), None)
            if found is not None:
                key, void = found
                writes[key] = None
                self._engine.ledger.stands(void)
        return writes

    def _noted(self, replayed: Replayed, writes: Writes, first_new: int) -> list[AnyEffect]:
        """The engine's lists as its own chunks leave them; what there is to tell."""
        engine, chunk = self._engine, self._keeper.chunks
        ledger = engine.ledger
        accounts = [index for index in replayed.accounts if index != constants.FEE_ACCOUNT]
        # As they are booked, and numbered as there.
        applied = Applied(operation_tag=0, code=codes.OK, account=None, accounts=accounts, chunk=chunk, operation=0)
        effects: list[AnyEffect] = [*self._keeper.effects, applied]
        for index in range(first_new, engine.globals.next_account):
            owner = engine.account(index).owner
            ledger.opened(index, owner)
            effects.append(Opened(account=index, owner=owner))
        for watchlist in engine.open_chunk.watched_by:
            watchlist.note(replayed.accounts)
        ledger.touched((index, engine.account(index)) for index in replayed.accounts)
        for paid in replayed.withdrawals:
            ledger.withdrawals.listed(WithdrawalRecord(paid.index, paid.recipient, paid.amount_micros, chunk))
            effects.append(PaidOut(withdrawal=paid.index, recipient=paid.recipient, amount=paid.amount_micros))
        effects += self._entries(writes)
        if replayed.tick:
            ledger.tick_signers = signers_of(replayed.tick)
        engine.inputs = chunk
        number(effects, chunk)
        return effects

    def _entries(self, writes: Writes) -> list[AnyEffect]:
        entries, effects = self._engine.entries, list[AnyEffect]()
        for at, value in writes.items():
            if not at.startswith(QUEUE_KEY) or value is None:
                continue
            record = msgspec.msgpack.decode(value, type=EntryRecord)
            place = next((place for place, known in enumerate(entries) if known.index == record.index), None)
            if place is not None:
                entries[place] = record
                continue
            entries.append(record)
            effects.append(
                EntryConsumed(
                    index=record.index,
                    operation_tag=record.tag,
                    account=record.account,
                    code=record.code,
                    is_done=record.done,
                )
            )
        return effects
