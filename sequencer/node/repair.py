"""A datadir that is damaged, mended: from what is left of it, from a back-up, from its journal, or from L1.

Each way builds a whole state beside the damaged one, which is put aside and never deleted, and is taken only where it
passes the check of all of it. What loses something that was acknowledged is done only when that was asked for.
"""

import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from prover.contracts.deployment import DeploymentRecord
from prover.state.leveldb import LevelDbStore
from prover.state.state import StateError
from prover.state.store import StoreUnavailable
from sequencer.client.clock import wall_clock_ms
from sequencer.engine.engine import Engine
from sequencer.engine.records import CHUNK_KEY, CURSOR_KEY, ROOT_KEY, Input, number_key
from sequencer.history.history import History
from sequencer.l1 import rebuild
from sequencer.l1.resequence import STATE, sync_directory
from sequencer.node.checking import JOURNAL_LIMITS, Checked, check, check_state
from sequencer.node.config import DatadirUnusable
from sequencer.node.datadir import Datadir, lineage_of
from sequencer.sequencing.journal import Journal, JournalError, whole_records
from sequencer.sequencing.rederiving import NotMade, posted, rederived
from sequencer.sequencing.staged_store import BufferedStore

DAMAGED: Final = "damaged"
# By which a way says that it leads nowhere.
_NOT_SO: Final = (StoreUnavailable, StateError, JournalError, NotMade, L1Error)


class Mended(msgspec.Struct, frozen=True):
    """How a datadir was mended; chunks: of the state that it has now. lost: a sentence, empty where nothing is."""

    how: str
    chunks: int
    root: str
    lost: str = ""


class Irreparable(Exception):
    """Nothing that is here gives the whole state; the message says what would."""


async def mend(datadir: Datadir, record: DeploymentRecord, backup: Path | None, client: L1Client | None) -> Mended:
    """Mends the datadir without losing anything that was acknowledged. Irreparable, with what was tried.

    client: of the L1, which may still hold what is lost here; None where there is none.
    """
    state, journal = datadir.path / STATE, datadir.journal
    checked = check(state, journal, record)
    if checked.is_sound:
        return Mended("nothing to mend", checked.chunks, "0x" + checked.root.hex())
    tried = [finding.sentence for finding in checked.findings]
    for how, make in _ways(datadir, record, backup, client):
        with _beside(datadir.path) as unfinished:
            try:
                await make(unfinished)
                found = _whole(unfinished, journal, record)
            except (*_NOT_SO, OSError, msgspec.DecodeError) as error:
                tried.append(f"{how}: {error}")
                continue
            put_aside(datadir.path, STATE)
            _take(datadir.path, unfinished)
            datadir.checkpoint.unlink(missing_ok=True)
            return Mended(how, found.chunks, "0x" + found.root.hex())
    raise Irreparable(" ".join(tried))


def cut_journal(datadir: Datadir, record: DeploymentRecord) -> Mended:
    """Keeps a sound state, and of a damaged journal what comes before the damage. What is behind it is lost."""
    with _beside(datadir.path) as unfinished:
        shutil.copytree(datadir.path / STATE, unfinished)
        store = LevelDbStore(unfinished, is_strict=True)
        try:
            engine = Engine(BufferedStore(store), record.deployment.domain)
            History(engine)
            last = _apply(engine, _tail(datadir.journal, engine.cursor))
            if engine.open_operations:
                engine.process(Input(last, b""))
                engine.flush(engine.inputs)
            kept = engine.inputs
            _, chunks, arrivals = msgspec.msgpack.decode(store.get(CURSOR_KEY) or b"", type=tuple[int, int, int])
            # The journal begins anew behind it.
            store.write({CURSOR_KEY: msgspec.msgpack.encode((0, chunks, arrivals))}, sync=True)
            lost = f"whatever the journal held behind record {kept}"
        except StoreUnavailable as error:
            raise DatadirUnusable(f"{error}") from None
        finally:
            store.close()
        checked = Checked([])
        check_state(unfinished, record, checked)
        if not checked.is_sound:
            raise Irreparable(" ".join(finding.sentence for finding in checked.findings))
        put_aside(datadir.path, "journal")
        put_aside(datadir.path, STATE)
        _take(datadir.path, unfinished)
        datadir.begin_journal(b"")
        return Mended("the journal was cut at its damage", checked.chunks, "0x" + checked.root.hex(), lost)


async def mend_from_l1(datadir: Datadir, record: DeploymentRecord, client: L1Client) -> Mended:
    """Gives up all that L1 does not hold. L1Error, Contradicted; killed meanwhile, the next start goes on with it."""
    put_aside(datadir.path, "journal")
    put_aside(datadir.path, STATE)
    datadir.checkpoint.unlink(missing_ok=True)
    datadir.begin_journal(b"")
    told = await rebuild.rebuild_state(client, record, datadir.path, wall_clock_ms(), lambda batch, of: None)
    lost = "open orders, soft cancels, and what was acknowledged and not posted"
    return Mended("rebuilt from L1", told.chunks, told.root, lost)


def put_aside(directory: Path, name: str) -> None:
    """Gives what stands under a name another one; it may still matter to somebody."""
    if (directory / name).exists():
        free = next(n for n in itertools.count(1) if not (directory / f"{name}.{DAMAGED}.{n}").exists())
        (directory / name).rename(directory / f"{name}.{DAMAGED}.{free}")
        sync_directory(directory)


def _ways(
    datadir: Datadir, record: DeploymentRecord, backup: Path | None, client: L1Client | None
) -> Iterator[tuple[str, Callable[[Path], Awaitable[None]]]]:
    """From what costs nothing to what replays everything."""
    state = datadir.path / STATE
    if state.exists():
        yield "the torn end of the store's log was cut off", partial(_left_of, state)
    lineage = lineage_of(datadir.journal)
    if backup is not None and lineage is not None and lineage == lineage_of(backup / "journal"):
        yield "the back-up and the journal", partial(_copied, backup / STATE)
    if lineage is not None and lineage.root == record.genesis_root.hex():
        yield "the whole journal", partial(_begun, record)
    if state.exists() and client is not None:
        yield "the records of chunks that L1 holds", partial(_recorded, state, record, client)


async def _left_of(state: Path, target: Path) -> None:
    """What LevelDB itself can still read: whether that is all, the numbers of the writes tell."""
    _copy(state, target)
    LevelDbStore(target).close()


async def _copied(state: Path, target: Path) -> None:
    _copy(state, target)


async def _begun(record: DeploymentRecord, target: Path) -> None:
    rebuild.write_genesis(target, record)


async def _recorded(state: Path, record: DeploymentRecord, client: L1Client, target: Path) -> None:
    """The state as it is, with the records of chunks that are damaged, or lost, made again by what L1 holds of them."""
    _copy(state, target)
    store = LevelDbStore(target)
    try:
        _, count, _ = msgspec.msgpack.decode(store.get(CURSOR_KEY) or b"", type=tuple[int, int, int])
        async for made, _ in rederived(store, record, count, posted(client, record)):
            row = {number_key(CHUNK_KEY, made.number): msgspec.msgpack.encode(made)}
            row[ROOT_KEY + made.post_root] = made.number.to_bytes(8, "big")
            if any(store.get(key) != value for key, value in row.items()):
                store.write(row, sync=True)
    finally:
        store.close()


def _copy(state: Path, target: Path) -> None:
    shutil.copytree(state, target)
    for name in ("LOCK", "LOG"):
        (target / name).unlink(missing_ok=True)


def _whole(state: Path, journal: Path, record: DeploymentRecord) -> Checked:
    """A state with all of the journal behind it, checked; raises where the two do not fit."""
    if not journal.exists():
        raise JournalError(f"there is no {journal}")
    opened = Journal(journal, JOURNAL_LIMITS)
    try:
        store = LevelDbStore(state, is_strict=True)
        try:
            engine = Engine(BufferedStore(store), record.deployment.domain)
            History(engine)
            if engine.cursor > opened.durable_sequence:
                raise JournalError(f"the journal ends at record {opened.durable_sequence}, before {engine.cursor}")
            # Up to the last chunk that the journal sealed: the rest is what any start replays.
            _apply(engine, opened.replay(engine.cursor + 1))
        finally:
            store.close()
    finally:
        opened.close()
    checked = Checked([])
    check_state(state, record, checked)
    if not checked.is_sound:
        raise StateError(" ".join(finding.sentence for finding in checked.findings))
    return checked


def _apply(engine: Engine, records: Iterable[tuple[int, bytes]]) -> int:
    """As a start does it; the time of the last input, in milliseconds."""
    last = 0
    for sequence, record in records:
        given = msgspec.msgpack.decode(record, type=Input)
        if not engine.process(given).changed:
            raise StateError(f"record {sequence} of the journal is of another state")
        if engine.sealed:
            engine.flush(sequence)
        last = given.now
    return last


def _tail(journal: Path, cursor: int) -> Iterator[tuple[int, bytes]]:
    """What the journal holds whole and without a gap behind a record."""
    following = cursor + 1
    for sequence, given in whole_records(journal):
        if sequence > following:
            return
        if sequence == following:
            yield sequence, given
            following += 1


@contextmanager
def _beside(datadir: Path) -> Iterator[Path]:
    """A place for a state that is being made; what is not taken from there is gone afterwards."""
    unfinished = datadir / rebuild.UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _take(datadir: Path, unfinished: Path) -> None:
    sync_directory(unfinished)
    unfinished.rename(datadir / STATE)
    sync_directory(datadir)
