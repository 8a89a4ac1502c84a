"""The chunk that is being filled, its seal on the state below it, and the way of sealed ones to whoever posts them."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from prover.signing.recover import recover_fast
from prover.state.state import State
from prover.state.trial import peek_account, peek_slot
from prover.stf import constants, containers, encoding
from prover.stf.replay import Chunk, is_entry
from prover.stf.words import word_at
from prover.watch.watchlist import Watchlist
from sequencer.engine.money.touched import LastRows, Touch, touched
from sequencer.engine.records import CHUNK_KEY, PRUNED_KEY, ROOT_KEY, SealedChunk, StagedStore, Writes, number_key


def entered_ms(operation: bytes) -> int:
    """The time that an operation brings into its chunk, in milliseconds; 0 where it brings none."""
    if not operation or not is_entry(operation[0]) or operation[0] == constants.DEPOSIT:
        return 0
    return encoding.entry_time(word_at(operation, 1))


class SealedChunks:
    """Sealed chunks on their way to whoever posts them: closed with a batch of writes, then told.

    count: sealed ones since genesis. Invariant: a batch ends where an input ends, and so does its last chunk; one that
    an input overflowed waits for the chunk in which that input went on.
    """

    def __init__(self, store: StagedStore, count: int) -> None:
        self.count = count
        self._store = store
        self._closed = count
        self._told = count
        self._untold: list[SealedChunk] = []

    @property
    def closed(self) -> list[SealedChunk]:
        """Those of closed batches that nobody has fetched yet."""
        return self._untold[: self._closed - self._told]

    @property
    def waiting(self) -> int:
        """How many no batch was closed with yet."""
        return self.count - self._closed

    def add(self, chunk: SealedChunk) -> None:
        """One more is sealed."""
        self.count += 1
        assert chunk.number == self.count, "chunks are numbered as they are sealed"
        self._untold.append(chunk)

    def close(self) -> Writes:
        """What the store keeps of those that waited: a batch ends with them."""
        writes: Writes = {}
        for chunk in self._untold[self._closed - self._told :]:
            writes[number_key(CHUNK_KEY, chunk.number)] = msgspec.msgpack.encode(chunk)
            writes[ROOT_KEY + chunk.post_root] = chunk.number.to_bytes(8, "big")
        self._closed = self.count
        return writes

    def fetch(self) -> list[SealedChunk]:
        """Those of closed batches, which are told from now on: the journal has what they came from."""
        fetched = self.closed
        del self._untold[: len(fetched)]
        self._told = self._closed
        return fetched

    def record(self, number: int) -> SealedChunk | None:
        """A chunk from 1 on that was fetched by `flush` or `stage`.

        Invariant: no other is told, else a chunk could be posted whose inputs the journal may yet lose.
        """
        if number > self._told:
            return None
        value = self._store.get(number_key(CHUNK_KEY, number))
        return None if value is None else msgspec.msgpack.decode(value, type=SealedChunk)

    def prune(self, upto: int, most: int = 64) -> int:
        """Lets go of the witnesses of chunks up to one, so many at a time; how many it was.

        A witness is for the pre-flight before a chunk is posted, and for going back before it: neither comes to what is
        final. Bodies and rows stay: proofs, and the state behind any chunk, are made of them.
        """
        done = int.from_bytes(self._store.get(PRUNED_KEY) or b"", "big")
        end = min(upto, self._told, done + most)
        writes: Writes = {}
        for number in range(done + 1, end + 1):
            record = self.record(number)
            assert record is not None, "what was told is kept"
            record.witness = b""
            writes[number_key(CHUNK_KEY, number)] = msgspec.msgpack.encode(record)
        if writes:
            writes[PRUNED_KEY] = end.to_bytes(8, "big")
            self._store.write(writes, sync=True)
        return len(writes) and end - done

    def begun(self, number: int) -> SealedChunk | None:
        """A chunk from 1 on, told or not: for what it began with alone, which is the end of the chunk before it."""
        waiting = (chunk for chunk in self._untold if chunk.number == number)
        return self.record(number) or next(waiting, None)

    def with_root(self, root: bytes) -> int | None:
        """The number of the chunk that ended at a root, of those that are told."""
        value = self._store.get(ROOT_KEY + root)
        number = 0 if value is None else int.from_bytes(value, "big")
        return number if 0 < number <= self._told else None


class OpenChunk:
    """The state with everything sequenced on top of it.

    sealed: the chunks before this one; signer: who signed the input under way, empty
    where there is none or many; queue_only: the input under way needs a chunk that serves the queue alone; was_cut: it
    has overflowed a chunk; watched_by: who is told of every account that changes.
    """

    def __init__(self, state: State, sealed: SealedChunks) -> None:
        self.state = state
        self.sealed = sealed
        self.signer = b""
        self.queue_only = False
        self.was_cut = False
        self.watched_by: list[Watchlist] = []
        self.body_size = 0
        self._rows = LastRows()
        self._chunk: Chunk | None = None
        self._body: list[bytes] = []

    @property
    def chunk_count(self) -> int:
        """Sealed chunks."""
        return self.sealed.count

    @property
    def view(self) -> Chunk:
        """The state as it stands with the open chunk; on an empty chunk nothing but the state."""
        return self._chunk or self.state.chunk(self._recover)

    def account(self, index: int) -> containers.Account:
        """An account with everything sequenced so far."""
        return self.state.account(index) if self._chunk is None else peek_account(self._chunk, index)

    def slot(self, leaf_index: int) -> containers.Slot:
        """An order slot with everything sequenced so far."""
        return self.state.slot(leaf_index) if self._chunk is None else peek_slot(self._chunk, leaf_index)

    @property
    def globals(self) -> containers.Globals:
        """The globals with everything sequenced so far."""
        return self.state.globals if self._chunk is None else self._chunk.globals

    @property
    def operations(self) -> int:
        """Operations in the open chunk."""
        return 0 if self._chunk is None else len(self._chunk.operation_codes)

    def time(self, now: int) -> int:
        """The clock of the chunk in which an input of this time would stand, in milliseconds.

        What was refused before it moves no empty chunk's clock, as in `open`: whether that chunk is late is asked about
        the time that it will have.
        """
        filled = self._chunk if self._chunk is not None and self._chunk.operation_codes else None
        return max(now, (filled or self.state).commitment.timestamp)

    def open(self, now: int) -> Chunk:
        """The open chunk; its clock is that of its first operation."""
        if self._chunk is None:
            self._chunk = self.state.chunk(self._recover)
        if not self._chunk.operation_codes:
            # Not the clock of an input that was refused before it: refused inputs are in no journal, and the node's
            # clock may have been set back since. Nor how much money aged by it.
            self._chunk.commitment.timestamp = self._chunk.pre_commitment.timestamp
            self._chunk.globals.risk = self._chunk.pre_globals.risk
            self._chunk.open(now, self.queue_only)
            stated = self._chunk.commitment.timestamp + self.queue_only * constants.QUEUE_ONLY_BIT
            self._body = [stated.to_bytes(constants.TIMESTAMP_LENGTH, "big")]
            self.body_size = constants.TIMESTAMP_LENGTH
        return self._chunk

    def has_room(self, size: int, tags: Sequence[int]) -> bool:
        """Whether operations of these tags and so many bytes in all fit into the open chunk; an empty one has to do.

        A chunk serves the queue alone from its first operation to its last, or not at all.
        """
        chunk = self._chunk
        if chunk is None or not chunk.operation_codes:
            return True
        if chunk.queue_only != self.queue_only:
            return False
        return self.body_size + size <= constants.MAX_CHUNK_BYTES and chunk.has_room(*tags)

    def is_outrun(self, operation: bytes) -> bool:
        """Whether an operation would move the clock of a chunk that trades, and has begun.

        An entry of the L1 queue brings its time. Invariant: what trades ends at the time at which it began, when it was
        asked whether a chunk may still trade: of what ends later the bridge may want that it serves the queue alone.
        """
        chunk = self._chunk
        if chunk is None or not chunk.operation_codes or chunk.queue_only:
            return False
        return entered_ms(operation) > chunk.commitment.timestamp

    def cut(self, now: int) -> Chunk:
        """Seals what the input under way has overflowed, and opens the next chunk."""
        rows, loaded = self._rows, {} if self._chunk is None else self._chunk.loaded_accounts
        self.was_cut = self.seal() or self.was_cut
        rows.carry(loaded)
        self._rows = rows
        return self.open(now)

    def touched(self, accounts: Iterable[int]) -> Iterator[tuple[int, Touch]]:
        """What was due of accounts when the input that has just ended touched them; asked once behind each input."""
        chunk = self._chunk
        if chunk is None:
            return
        for index in accounts:
            now = peek_account(chunk, index)
            touch = touched(chunk.globals.risk, self._rows.passed(index, chunk.loaded_accounts.get(index), now), now)
            if touch is not None:
                yield index, touch

    def append(self, operation: bytes) -> None:
        """Adds to the body what the chunk has applied."""
        self._body.append(operation)
        self.body_size += len(operation)

    def note_changed(self) -> None:
        """Tells those who watch which accounts the open chunk has changed, by the law's own rows."""
        if self._chunk is None:
            return
        loaded = self._chunk.loaded_accounts
        changed = [index for index, account in self._chunk.accounts.items() if account is not loaded[index]]
        for watchlist in self.watched_by:
            watchlist.note(changed)

    def seal(self) -> bool:
        """Makes the open chunk the state; whether there was anything in it."""
        self.note_changed()
        self._rows = LastRows()
        chunk, self._chunk = self._chunk, None
        size, self.body_size = self.body_size, 0
        if chunk is None or not chunk.operation_codes:
            return False
        assert size <= constants.MAX_CHUNK_BYTES, "the chunk fits"
        proof = self.state.witness(chunk)
        pre_root = self.state.root
        post_root = self.state.seal(chunk)
        self.sealed.add(
            SealedChunk(
                number=self.chunk_count + 1,
                body=b"".join(self._body),
                pre_root=pre_root,
                post_root=post_root,
                commitment=encoding.commitment_bytes(self.state.commitment),
                witness=proof,
                operations=len(chunk.operation_codes),
                withdrawal_count=self.state.globals.withdrawal_count,
                leaves=self.state.sealed_leaves,
            )
        )
        return True

    def _recover(self, digest: bytes, v: int, r: int, s: int) -> bytes:
        # The edge has recovered the one signer of this input already; a tick has many.
        return self.signer or recover_fast(digest, v, r, s)
