"""What a datadir holds, compared with itself: every row read, every record followed from genesis to the newest root."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.codec import calls
from l1_bridge.codec.batch import Withdrawal, WithdrawalTree
from l1_bridge.hashing import keccak
from prover.contracts.deployment import DeploymentRecord
from prover.state.audit import conservation
from prover.state.leveldb import LevelDbStore
from prover.state.state import State, StateError, genesis_commitment
from prover.state.store import Store, StoreUnavailable
from prover.stf import encoding
from sequencer.engine.engine import Engine
from sequencer.engine.records import (
    CHUNK_KEY,
    CURSOR_KEY,
    IDENTITY_KEY,
    QUEUE_KEY,
    ROOT_KEY,
    WITHDRAWAL_KEY,
    EntryRecord,
    Input,
    SealedChunk,
    WithdrawalRecord,
)
from sequencer.sequencing.journal import Journal, JournalError, Limits, has_segments
from sequencer.sequencing.staged_store import BufferedStore, require_every_write

JOURNAL_LIMITS: Final = Limits(segment_bytes=64 << 20, pending_bytes=64 << 20)


class Finding(msgspec.Struct, frozen=True):
    """What is wrong: a stable code, and one sentence."""

    code: str
    sentence: str


class Checked(msgspec.Struct):
    """What was found of a datadir. cursor: the last journal record that the state contains; root: of the state."""

    findings: list[Finding]
    chunks: int = 0
    cursor: int = 0
    journal_first: int = 0
    journal_last: int = 0
    rows: int = 0
    root: bytes = b""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def is_journal_alone(self) -> bool:
        """Whether what was found is the journal's, and nothing the state's."""
        return bool(self.findings) and all(finding.code.startswith("JOURNAL") for finding in self.findings)


def check(state: Path, journal: Path, record: DeploymentRecord) -> Checked:
    """Reads all of both, opening them as a start does: a journal's torn end is cut."""
    checked = Checked([])
    check_state(state, record, checked)
    check_journal(journal, checked)
    if checked.is_sound:
        _follow_on(state, journal, record, checked)
    return checked


def check_state(state: Path, record: DeploymentRecord, checked: Checked) -> None:
    """Every row of the store, against each other and against the genesis."""
    if not state.exists():
        checked.findings.append(Finding("NO_STATE", f"There is no {state}."))
        return
    try:
        store = LevelDbStore(state, is_strict=True)
    except StoreUnavailable as error:
        checked.findings.append(Finding("STORE", str(error)))
        return
    try:
        checked.findings += _asked(_identity, store, record, checked)
        # Of another rollup's rows nothing follows.
        for look in () if checked.findings else (_writes, _state, _chunks, _withdrawals, _entries):
            checked.findings += _asked(look, store, record, checked)
    finally:
        store.close()


def check_journal(journal: Path, checked: Checked) -> None:
    """Every record of the journal, and that it goes on where the state ends."""
    if not has_segments(journal):
        # Opening it would begin a new one.
        checked.findings.append(Finding("JOURNAL_GONE", f"There is no journal in {journal}."))
        return
    try:
        opened = Journal(journal, JOURNAL_LIMITS)
    except JournalError as error:
        checked.findings.append(Finding("JOURNAL", str(error)))
        return
    try:
        checked.journal_first, checked.journal_last = opened.first_sequence, opened.durable_sequence
        if not opened.first_sequence <= checked.cursor + 1 <= opened.durable_sequence + 1:
            said = (
                f"The journal has records {opened.first_sequence} to {opened.durable_sequence}, and the state ends "
                f"with record {checked.cursor}."
            )
            checked.findings.append(Finding("JOURNAL_GAP", said))
        for _, given in opened.replay(opened.first_sequence):
            msgspec.msgpack.decode(given, type=Input)
    except (JournalError, msgspec.DecodeError) as error:
        checked.findings.append(Finding("JOURNAL", str(error)))
    finally:
        opened.close()


def _follow_on(state: Path, journal: Path, record: DeploymentRecord, checked: Checked) -> None:
    """That the records behind the state come to something there, as at a start; nothing is written."""
    store, opened = LevelDbStore(state, is_strict=True), Journal(journal, JOURNAL_LIMITS)
    try:
        engine = Engine(BufferedStore(store), record.deployment.domain)
        for sequence, given in opened.replay(engine.cursor + 1):
            if not engine.process(msgspec.msgpack.decode(given, type=Input)).changed:
                said = f"Record {sequence} of the journal is of another state: it does not follow."
                checked.findings.append(Finding("JOURNAL", said))
                return
            if engine.sealed:
                engine.stage(sequence)
    finally:
        opened.close()
        store.close()


async def foreign_head(client: L1Client | None, record: DeploymentRecord, state: Path) -> Finding | None:
    """That the bridge's newest batch is not of this state; None where it is, and without an L1 or a state. L1Error."""
    if client is None:
        return None
    answer = await client.eth_call(record.deployment.bridge, calls.encode_call("head"))
    head = calls.decode_record(calls.BatchRecord, answer)
    if not state.exists() or (head.number == 0 and head.last_root == record.genesis_root):
        return None
    try:
        store = LevelDbStore(state, is_strict=True)
    except StoreUnavailable:
        return None
    try:
        if store.get(ROOT_KEY + head.last_root) is not None:
            return None
    finally:
        store.close()
    said = f"Batch {head.number} on L1 ends in a root that this datadir never had: it is older, or of another venue."
    return Finding("OTHER_HISTORY", said)


_Look = Callable[[Store, DeploymentRecord, Checked], Iterator[Finding]]


def _asked(look: _Look, store: Store, record: DeploymentRecord, checked: Checked) -> Iterator[Finding]:
    """What one look finds; that it cannot read on is a finding of its own."""
    try:
        yield from look(store, record, checked)
    except StoreUnavailable as error:
        yield Finding("STORE", str(error))
    except StateError as error:
        yield Finding("STATE", f"{error}.")
    except (msgspec.DecodeError, ValueError) as error:
        yield Finding("ROW", f"A row of the store cannot be read: {error}.")


def _identity(store: Store, record: DeploymentRecord, checked: Checked) -> Iterator[Finding]:
    said = store.get(IDENTITY_KEY)
    if said is None:
        yield Finding("IDENTITY", "The state does not say of which rollup it is.")
    elif said != record.encode():
        at, own = (f"0x{each.deployment.bridge.hex()}" for each in (DeploymentRecord.decode(said), record))
        yield Finding(
            "IDENTITY", f"The state is of the rollup {at}, deployment.json of {own}, or their genesis differs."
        )


def _writes(store: Store, record: DeploymentRecord, checked: Checked) -> Iterator[Finding]:
    # All of them: a block whose checksum is wrong is found where it is read.
    checked.rows = sum(1 for _ in store.iterate(b""))
    cursor = store.get(CURSOR_KEY)
    counts = (0, 0, 0) if cursor is None else msgspec.msgpack.decode(cursor, type=tuple[int, int, int])
    checked.cursor, checked.chunks, _ = counts
    require_every_write(store)
    yield from ()


def _state(store: Store, record: DeploymentRecord, checked: Checked) -> Iterator[Finding]:
    state = State(store, record.deployment.domain)
    checked.root = state.root
    if not conservation(state).sound:
        yield Finding("MONEY", "The accounts do not hold what came in less what went out.")


def _chunks(store: Store, record: DeploymentRecord, checked: Checked) -> Iterator[Finding]:
    """Records lead from the genesis root to the state's, row by row."""
    first, leaves = genesis_commitment(record.genesis)
    root, rows, number = encoding.state_root(first), dict(leaves), 0
    for _, value in store.iterate(CHUNK_KEY):
        chunk = msgspec.msgpack.decode(value, type=SealedChunk)
        number += 1
        if chunk.number != number:
            yield Finding("CHUNK", f"The record of chunk {number} is missing: {chunk.number} stands there.")
            return
        if chunk.pre_root != root or keccak(chunk.commitment) != chunk.post_root:
            yield Finding("CHUNK", f"The record of chunk {number} does not follow from the one before it.")
            return
        if store.get(ROOT_KEY + chunk.post_root) != number.to_bytes(8, "big"):
            yield Finding("CHUNK", f"Chunk {number} is not found by its root.")
        root = chunk.post_root
        rows.update(chunk.leaves)
    if (number, root) != (checked.chunks, checked.root or root):
        yield Finding("CHUNK", f"The records end with chunk {number}, the state with chunk {checked.chunks}.")
    elif {int.from_bytes(key[1:], "big"): value for key, value in store.iterate(b"l")} != rows:
        yield Finding("CHUNK", "The rows that the chunks wrote are not those of the state.")


def _withdrawals(store: Store, record: DeploymentRecord, checked: Checked) -> Iterator[Finding]:
    found = [msgspec.msgpack.decode(value, type=WithdrawalRecord) for _, value in store.iterate(WITHDRAWAL_KEY)]
    tree = WithdrawalTree([Withdrawal(one.index, one.recipient, one.amount).leaf() for one in found])
    commitment = encoding.commitment_from_bytes(store.get(b"commitment") or b"")
    if tree.root != commitment.withdrawals_root:
        yield Finding("WITHDRAWALS", f"The {len(found)} withdrawals that are listed are not those of the state.")


def _entries(store: Store, record: DeploymentRecord, checked: Checked) -> Iterator[Finding]:
    commitment = encoding.commitment_from_bytes(store.get(b"commitment") or b"")
    indices = [msgspec.msgpack.decode(value, type=EntryRecord).index for _, value in store.iterate(QUEUE_KEY)]
    if indices != list(range(commitment.queue_taken)):
        said = f"The queue's entries that are listed are not the {commitment.queue_taken} that the state has taken."
        yield Finding("ENTRIES", said)
