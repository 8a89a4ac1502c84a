"""What L1 can never take any more is void: the venue goes back to its last posted chunk, and says so.

A batch must begin less than the bridge's max_lag behind L1's clock, and serve the queue alone where an entry waited
too long. What was taken otherwise no commit can ever hold, so the state is built anew at the last posted chunk, in a
store beside the old one.
Deposits are consumed again from the queue, which L1 keeps. Open orders do not come back: they were signed hours ago at
other prices, and what is left of them followed from void fills. That each was taken once stays known until it expires,
because the cancels of the void chunks are void too: else who kept an order's bytes could execute it after its cancel.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.hashing import keccak
from prover.signing.operations import SIGNED_NAMES
from prover.signing.receipts import is_soft
from prover.state.leveldb import LevelDbStore
from prover.state.state import State, genesis_commitment, state_writes
from prover.state.store import Store
from prover.stf import constants, containers, encoding
from prover.stf.replay import is_entry, operation_length
from prover.stf.words import word_at
from sequencer.engine.post_mortem import KINDS, PostMortem
from sequencer.engine.records import (
    CHUNK_KEY,
    CURSOR_KEY,
    IDENTITY_KEY,
    NOT_BEFORE_KEY,
    QUEUE_KEY,
    RECEIPTS_KEY,
    RESCUE_KEY,
    ROOT_KEY,
    SIGNERS_KEY,
    TAKEN_KEY,
    WITHDRAWAL_KEY,
    EntryRecord,
    Input,
    SealedChunk,
    WithdrawalRecord,
    place_key,
    signers_of,
    tick_of,
)
from sequencer.history.voided import history_rows
from sequencer.l1.voided import life_rows, voided_rows

STATE: Final = "state"
_REBUILT: Final = "state.rebuilt"
_REPLACED: Final = "state.replaced"
# Of stores that were replaced so many stay, the newest: each is as large as the venue's.
MOST_REPLACED: Final = 4
_WRITE_BYTES: Final = 8 << 20
_NAMES: Final = {**SIGNED_NAMES, constants.FILL: "fill", constants.TICK: "tick", **KINDS}


class Voided(msgspec.Struct, frozen=True):
    """What was given up. `operations` by kind, entries apart: L1 keeps their queue; `inputs` were in no chunk."""

    kept_chunks: int
    void_chunks: int
    operations: dict[str, int]
    entries: int
    inputs: int

    @property
    def operation_count(self) -> int:
        """Operations of the void chunks that will never be on L1, and acknowledged inputs behind them."""
        return sum(self.operations.values()) + self.inputs


class Kept(msgspec.Struct, frozen=True):
    """What the new store is made of: chunks up to `chunk`; `cursor` is the journal's last record, where it begins."""

    domain: bytes
    genesis: bytes
    chunk: int
    cursor: int


def rebuild(old: Store, new: Store, what: Kept, journaled: Iterable[Input]) -> Voided:
    """Writes the state as it stood after the last chunk that is kept into an empty store; `old` is only read.

    journaled: what the journal holds beyond the old store.
    """
    kept = what.chunk
    _, chunk_count, arrivals = msgspec.msgpack.decode(old.get(CURSOR_KEY) or b"", type=tuple[int, int, int])
    assert 0 <= kept <= chunk_count, "what is kept was sealed"
    first_commitment, genesis_leaves = genesis_commitment(what.genesis)
    commitment = encoding.commitment_bytes(first_commitment)
    leaves = dict(genesis_leaves)
    withdrawal_count = 0
    pending = _Pending(new)
    for number in range(1, kept + 1):
        record = _record(old, number)
        commitment = record.commitment
        withdrawal_count = record.withdrawal_count
        leaves.update(record.leaves)
        pending.put(CHUNK_KEY + number.to_bytes(8, "big"), msgspec.msgpack.encode(record))
        pending.put(ROOT_KEY + record.post_root, number.to_bytes(8, "big"))
    if kept == chunk_count:
        # Only inputs that are in no chunk are void.
        root, globals_data = keccak(old.get(b"commitment") or b""), old.get(b"globals") or b""
    else:
        first_void = _record(old, kept + 1)
        root = first_void.pre_root
        globals_data = first_void.witness[encoding.COMMITMENT_BYTES :][: encoding.GLOBALS_BYTES]
    assert keccak(commitment) == root, "the first that is void stands on the last chunk that is kept"
    assert keccak(globals_data) == encoding.commitment_from_bytes(commitment).globals_hash, "the witness's globals"
    voided = Voided(kept, chunk_count - kept, *_count(old, kept, chunk_count), 0)
    taken = dict(old.iterate(TAKEN_KEY))
    pending.put(RECEIPTS_KEY, old.get(RECEIPTS_KEY) or containers.NO_HASH)
    tail = list(journaled)
    for given in tail:
        is_lost = given.operation and given.operation[0] != constants.TICK and not is_entry(given.operation[0])
        if is_lost:
            voided = msgspec.structs.replace(voided, inputs=voided.inputs + 1)
        _take(taken, given.operation)
    for key, value in taken.items():
        pending.put(key, value)
    for key, value in _void_rows(old, range(kept + 1, chunk_count + 1), tail):
        pending.put(key, value)
    indices = encoding.globals_from_bytes(globals_data).risk.funding_index
    ended_ms = encoding.commitment_from_bytes(commitment).timestamp
    for key, value in history_rows(old, kept, ended_ms, indices):
        pending.put(key, value)
    found = 0
    for key, value in old.iterate(WITHDRAWAL_KEY):
        if msgspec.msgpack.decode(value, type=WithdrawalRecord).chunk <= kept:
            pending.put(key, value)
            found += 1
    assert found == withdrawal_count, "the kept withdrawals are the tree's"
    for key, value in old.iterate(RESCUE_KEY):
        if msgspec.msgpack.decode(value, type=PostMortem).chunk <= kept:
            pending.put(key, value)
    for key, value in old.iterate(QUEUE_KEY):
        if msgspec.msgpack.decode(value, type=EntryRecord).chunk <= kept:
            pending.put(key, value)
    pending.flush()
    # The commitment comes last: a store without it holds no state.
    of_store = {name: row for name in (IDENTITY_KEY, NOT_BEFORE_KEY) if (row := old.get(name)) is not None}
    place = {CURSOR_KEY: msgspec.msgpack.encode((what.cursor, kept, arrivals)), SIGNERS_KEY: _last_signers(old, kept)}
    new.write({**of_store, **state_writes(commitment, globals_data, leaves.items()), **place}, sync=True)
    assert State(new, what.domain).root == root, "the leaves hash to the root on L1"
    return voided


def _void_rows(old: Store, numbers: range, tail: list[Input]) -> Iterator[tuple[bytes, bytes]]:
    """What owners are told of the void chunks of these numbers, and of what is in no chunk."""
    chunks = ((number, list(operations_of(_record(old, number).body))) for number in numbers)
    sealed_ms = encoding.commitment_from_bytes(old.get(b"commitment") or b"").timestamp
    ended_ms = max([sealed_ms, *(given.now for given in tail)])
    yield from voided_rows(old, chunks, [given.operation for given in tail], ended_ms)
    yield from life_rows(old, numbers.start - 1, ended_ms)


class _Pending:
    """Writes of a bounded size, each synced: LevelDB syncs a write's own log file, not the one before it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writes: dict[bytes, bytes | None] = {}
        self._size = 0

    def put(self, key: bytes, value: bytes) -> None:
        self._writes[key] = value
        self._size += len(key) + len(value)
        if self._size >= _WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        self._store.write(self._writes, sync=True)
        self._writes = {}
        self._size = 0


def _record(store: Store, number: int) -> SealedChunk:
    value = store.get(CHUNK_KEY + number.to_bytes(8, "big"))
    assert value is not None, "what was sealed is kept"
    return msgspec.msgpack.decode(value, type=SealedChunk)


def _count(store: Store, kept: int, chunk_count: int) -> tuple[dict[str, int], int]:
    """Operations by kind, and entries of the L1 queue, of the chunks behind `kept`."""
    tags: Counter[int] = Counter()
    for number in range(kept + 1, chunk_count + 1):
        tags.update(operation[0] for operation in operations_of(_record(store, number).body))
    # An order stands once in every chunk that fills it; it is told as often.
    by_kind = {
        name: tags[tag] for tag, name in _NAMES.items() if tags[tag] and tag != constants.TICK and not is_entry(tag)
    }
    return by_kind, sum(count for tag, count in tags.items() if is_entry(tag))


def _last_signers(store: Store, kept: int) -> bytes:
    """Who signed the last tick up to chunk `kept`."""
    for number in range(kept, 0, -1):
        found = b""
        for operation in operations_of(_record(store, number).body):
            found = tick_of(operation) or found
        if found:
            return bytes(signers_of(found))
    return b""


def operations_of(body: bytes) -> Iterator[bytes]:
    """The whole operations of a chunk: one that somebody else has posted may end in bytes that are none."""
    at = constants.TIMESTAMP_LENGTH
    while at < len(body) and (size := operation_length(body, at)):
        yield body[at : at + size]
        at += size


def _take(taken: dict[bytes, bytes], operation: bytes) -> None:
    given: containers.Order | containers.Request
    if operation and operation[0] == constants.ORDER:
        given = encoding.order(word_at(operation, 1), word_at(operation, 32))
        ends = given.expires_at
    elif operation and is_soft(operation):
        given = encoding.request(operation[0], word_at(operation, 1), word_at(operation, 31))
        # Whatever it took out was signed before it, and may be filled for so long.
        ends = given.created_at + constants.CLOCK_TOLERANCE + constants.STOP_LIFETIME
    else:
        return
    key = place_key(TAKEN_KEY, given.account, given.slot)
    sequence, until = msgspec.msgpack.decode(taken[key], type=tuple[int, int]) if key in taken else (-1, -1)
    taken[key] = msgspec.msgpack.encode((max(given.sequence, sequence), max(ends, until)))


# The swap: at every moment there is one whole store under its name, or the two steps that are left are known.


def settle(datadir: Path, most: int = MOST_REPLACED) -> None:
    """Ends what a crash cut short; afterwards there is one store, the old one or the new one.

    most: of stores that were replaced so many stay beside it.
    """
    state, rebuilt, replaced = datadir / STATE, datadir / _REBUILT, datadir / _REPLACED
    if not state.exists() and rebuilt.exists() and replaced.exists():
        rebuilt.rename(state)
        sync_directory(datadir)
    if state.exists():
        shutil.rmtree(rebuilt, ignore_errors=True)
        if replaced.exists():
            # Kept: what L1 made void may still matter to somebody, and an L1 that lied can be found out later.
            names = [path.name.removeprefix(f"{_REPLACED}.") for path in datadir.glob(f"{_REPLACED}.*")]
            numbers = sorted(int(name) for name in names if name.isdecimal())
            numbers.append(numbers[-1] + 1 if numbers else 1)
            replaced.rename(datadir / f"{_REPLACED}.{numbers[-1]}")
            for number in numbers[: max(0, len(numbers) - most)]:
                shutil.rmtree(datadir / f"{_REPLACED}.{number}", ignore_errors=True)


def resequence(
    datadir: Path,
    old: Store,
    kept: Kept,
    journaled: Iterator[Input],
    reached: Callable[[str], None] = lambda _: None,
    most: int = MOST_REPLACED,
) -> Voided:
    """Puts a store that ends with the last chunk that is kept in the place of `old`, which it closes.

    Killed at any moment, it has happened or not happened; `reached` is called between the steps. most: as for `settle`.
    """
    settle(datadir, most)
    new = LevelDbStore(datadir / _REBUILT)
    try:
        voided = rebuild(old, new, kept, journaled)
    finally:
        new.close()
        old.close()
    sync_directory(datadir / _REBUILT)
    sync_directory(datadir)
    reached("built")
    (datadir / STATE).rename(datadir / _REPLACED)
    sync_directory(datadir)
    reached("old one away")
    (datadir / _REBUILT).rename(datadir / STATE)
    sync_directory(datadir)
    reached("swapped")
    settle(datadir, most)
    return voided


def sync_directory(directory: Path) -> None:
    """Returns when the names in a directory are on the disk."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
