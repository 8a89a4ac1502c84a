"""A datadir that is damaged, mended: from what is left of it, from a back-up, from its journal, or from L1.

Each way builds a whole state beside the damaged one, which is put aside and never deleted, and is taken only where it
passes the check of all of it. What loses something that was acknowledged is done only when that was asked for.
"""

import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Unavailable
from prover.contracts.deployment import DeploymentRecord, logged_genesis, read
from prover.state.leveldb import LevelDbStore
from prover.state.state import StateError
from prover.state.store import StoreUnavailable
from sequencer.client.clock import wall_clock_ms
from sequencer.engine.engine import Engine
from sequencer.engine.records import CHUNK_KEY, CURSOR_KEY, IDENTITY_KEY, ROOT_KEY, Input, number_key
from sequencer.history.history import History
from sequencer.l1 import rebuild
from sequencer.l1.resequence import STATE, sync_directory
from sequencer.node.checking import JOURNAL_LIMITS, Checked, check, check_state, foreign_head
from sequencer.node.config import WRITABLE, DatadirUnusable, is_of_the_disk
from sequencer.node.datadir import RECORD, Datadir, lineage_of
from sequencer.sequencing.journal import Journal, JournalError, has_segments, whole_records
from sequencer.sequencing.rederiving import NotMade, posted, rederived
from sequencer.sequencing.staged_store import BufferedStore

DAMAGED: Final = "damaged"
WRITTEN_ANEW: Final = "deployment.json was written anew"
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


async def settle_record(
    datadir: Datadir, backup: Path | None, client: L1Client | None, named: bytes | None
) -> tuple[DeploymentRecord, bool]:
    """The rollup that a datadir is of, and whether it was written anew: its record is gone, damaged, or another's.

    By the state itself, a back-up, or the L1 with the bridge's name, in this order. named: the bridge that is wanted,
    which decides where they differ. Irreparable where nothing here says it; WrongContracts, L1Error.
    """
    said: list[DeploymentRecord] = []
    for source in (partial(identity_of, datadir.path / STATE), datadir.record, partial(_recorded_in, backup)):
        with suppress(StoreUnavailable, DatadirUnusable, ValueError):
            said += [record for record in (source(),) if record is not None and record not in said]
    fitting = [record for record in said if named in (None, record.deployment.bridge)]
    if len({record.deployment.bridge for record in fitting}) > 1:
        names = " and ".join(f"0x{record.deployment.bridge.hex()}" for record in fitting)
        raise Irreparable(f"The files of {datadir.path} are of different rollups, {names}: say --rollup-address.")
    if not fitting:
        if client is None or named is None:
            raise Irreparable(
                f"The datadir {datadir.path} does not say which rollup it is of: say --l1-rpc-url and --rollup-address."
            )
        deployment = await read(client, named)
        logged = await logged_genesis(client, deployment.identity)
        if logged is None:
            raise L1Unavailable("the L1 node does not give the bridge's genesis log")
        fitting = [DeploymentRecord(deployment, logged[0])]
    with suppress(DatadirUnusable):
        if datadir.record() == fitting[0]:
            return fitting[0], False
    put_aside(datadir.path, RECORD)
    datadir.keep_record(fitting[0])
    return fitting[0], True


def identity_of(state: Path) -> DeploymentRecord | None:
    """The rollup that a store is of; None without one, or where it does not say. StoreUnavailable, ValueError."""
    if not state.exists():
        return None
    with closing(LevelDbStore(state, is_strict=True)) as store:
        said = store.get(IDENTITY_KEY)
    return None if said is None else DeploymentRecord.decode(said)


def _recorded_in(backup: Path | None) -> DeploymentRecord | None:
    return None if backup is None else Datadir(backup, is_kept=True).record()


async def mend(datadir: Datadir, record: DeploymentRecord, backup: Path | None, client: L1Client | None) -> Mended:
    """Mends the datadir without losing anything that was acknowledged. Irreparable, with what was tried.

    client: of the L1, which may still hold what is lost here; None where there is none.
    """
    state, journal = datadir.path / STATE, datadir.journal
    checked = check(state, journal, record)
    if checked.is_sound:
        foreign = await foreign_head(client, record, state)
        if foreign is not None:
            raise Irreparable(foreign.sentence)
        return Mended("nothing to mend", checked.chunks, "0x" + checked.root.hex())
    tried = [finding.sentence for finding in checked.findings]
    for how, make in _ways(datadir, record, backup, client):
        with _beside(datadir.path) as unfinished:
            try:
                await make(unfinished)
                found = _whole(unfinished, journal, record)
                await _require_no_less(unfinished, found, checked, record, client)
            except (*_NOT_SO, OSError, msgspec.DecodeError) as error:
                if is_of_the_disk(error):
                    # Nobody knows yet what is lost: with room it may be nothing.
                    raise DatadirUnusable(
                        f"{how} needs room: {reason_of(error)}. Nothing was done. {WRITABLE}"
                    ) from None
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
            last = _apply(engine, _tail(datadir.journal, engine.cursor), is_to_end=False)
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
        _begin_journal(datadir)
        return Mended("the journal was cut at its damage", checked.chunks, "0x" + checked.root.hex(), lost)


def _begin_journal(datadir: Datadir) -> None:
    """An empty one, behind the state: a start refuses a state without any."""
    datadir.begin_journal(b"")
    Journal(datadir.journal, JOURNAL_LIMITS).close()


async def mend_from_l1(datadir: Datadir, record: DeploymentRecord, client: L1Client) -> Mended:
    """Gives up all that L1 does not hold. L1Error, Contradicted, StoreUnavailable: then all is where it was.

    Killed at the very end, the next start goes on with it.
    """

    def make_way() -> None:
        put_aside(datadir.path, "journal")
        put_aside(datadir.path, STATE)
        datadir.checkpoint.unlink(missing_ok=True)
        _begin_journal(datadir)

    told = await rebuild.rebuild_state(client, record, datadir.path, wall_clock_ms(), lambda batch, of: None, make_way)
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
    if state.exists():
        yield "the state says again of which rollup it is", partial(_named, state, record)
    if state.exists() and client is not None:
        yield "the records of chunks that L1 holds", partial(_recorded, state, record, client)


async def _left_of(state: Path, target: Path) -> None:
    """What LevelDB itself can still read: whether that is all, the numbers of the writes tell."""
    _copy(state, target)
    LevelDbStore(target).close()


async def _named(state: Path, record: DeploymentRecord, target: Path) -> None:
    """The state as it is, with the row that is missing; whose rows these are the check of them says."""
    _copy(state, target)
    with closing(LevelDbStore(target, is_strict=True)) as store:
        if store.get(IDENTITY_KEY) is not None:
            raise NotMade("the state says of which rollup it is")
        store.write({IDENTITY_KEY: record.encode()}, sync=True)


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


def reason_of(error: Exception) -> str:
    """In one line; copying a directory tells each of its files."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return str(error).removesuffix(".")


def _copy(state: Path, target: Path) -> None:
    shutil.copytree(state, target)
    for name in ("LOCK", "LOG"):
        (target / name).unlink(missing_ok=True)


def _whole(state: Path, journal: Path, record: DeploymentRecord) -> Checked:
    """A state with all of the journal behind it, checked; raises where the two do not fit."""
    if not has_segments(journal):
        raise JournalError(f"there is no journal in {journal}")
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


async def _require_no_less(
    made: Path, found: Checked, before: Checked, record: DeploymentRecord, client: L1Client | None
) -> None:
    """What was made goes on where the damaged state had come to, and holds what L1 does: a journal may have lost its
    end, and be whole up to there. StateError, L1Error."""
    if found.chunks < before.chunks:
        raise StateError(f"it ends with chunk {found.chunks}, and the state that is here with chunk {before.chunks}")
    # Of a state whose rows do not belong together the root says nothing.
    if before.is_journal_alone and before.chunks and not _had(made, before.root):
        raise StateError("it never was the state that is here")
    foreign = await foreign_head(client, record, made)
    if foreign is not None:
        raise StateError(foreign.sentence)


def _had(state: Path, root: bytes) -> bool:
    """Whether a chunk of a state ended in this root."""
    store = LevelDbStore(state, is_strict=True)
    try:
        return store.get(ROOT_KEY + root) is not None
    finally:
        store.close()


def _apply(engine: Engine, records: Iterable[tuple[int, bytes]], *, is_to_end: bool = True) -> int:
    """As a start does it; the time of the last input, in milliseconds. StateError at a record of another state.

    is_to_end: whether all of them have to follow; else those are left out that do not.
    """
    last = 0
    for sequence, record in records:
        given = msgspec.msgpack.decode(record, type=Input)
        if not engine.process(given).changed:
            if not is_to_end:
                break
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
