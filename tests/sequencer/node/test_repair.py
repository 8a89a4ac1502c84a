"""A damaged datadir is mended from what holds the whole of it, and what would lose something is not done unasked."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast
from unittest.mock import patch

import msgspec
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from prover.contracts.deployment import DeploymentRecord
from prover.state.leveldb import LevelDbStore
from prover.state.store import StoreUnavailable
from prover.stf.constants import ORDER
from sequencer.engine.records import IDENTITY_KEY, WRITE_KEY, Input, number_key
from sequencer.l1.rebuild import UNFINISHED
from sequencer.l1.resequence import STATE
from sequencer.node import repair
from sequencer.node.backup import back_up
from sequencer.node.checking import JOURNAL_LIMITS, Checked, check, check_state
from sequencer.node.config import DatadirUnusable
from sequencer.node.datadir import Datadir, held
from sequencer.node.repair import Irreparable, Mended, cut_journal, mend, settle_record
from sequencer.sequencing.journal import Journal
from tests.sequencer.datadirs import RECORD, datadir, engine_of, flip, history, log_of
from tests.sequencer.node_world import BRIDGE, World, picture

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def played() -> World:
    """What the venue did."""
    return history()


@pytest.fixture(scope="module")
def made(played: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its datadir, which every test copies."""
    return datadir(tmp_path_factory.mktemp("made") / "node", played)


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return shutil.copytree(made, tmp_path / "node")


def mended(path: Path, backup: Path | None = None) -> Mended:
    """As the command does it."""
    with held(path) as datadir:
        datadir.keep()
        return trio.run(mend, datadir, RECORD, backup, None)


def _goes_on_otherwise(journal: Path, cursor: int) -> None:
    """Behind what the state contains comes what nobody has signed for it: an order that was taken once already."""
    with closing(Journal(journal, JOURNAL_LIMITS)) as opened:
        records = [given for _, given in opened.replay(1)]
    given = [msgspec.msgpack.decode(each, type=Input) for each in records]
    order = next(each for each, read in zip(records, given, strict=True) if read.operation[:1] == bytes([ORDER]))
    for segment in journal.glob("*.journal"):
        segment.unlink()
    with closing(Journal(journal, JOURNAL_LIMITS)) as opened:
        opened.append([*records[:cursor], order])
        opened.commit()


def is_as_before(path: Path, world: World) -> bool:
    """Whether a start has everything that was acknowledged, books included."""
    checked = check(path / STATE, path / "journal", RECORD)
    return checked.is_sound and picture(engine_of(path)) == picture(world.engine)


def put_aside(path: Path) -> list[str]:
    """What was damaged, and is kept."""
    return sorted(entry.name for entry in path.iterdir() if ".damaged." in entry.name)


def test_where_room_is_missing_nothing_is_called_lost(path: Path, played: World) -> None:
    """Whoever read that it is would give up what a larger disk brings back."""
    flip(next((path / STATE).glob("*.l*")), 0.5)
    full = OSError(28, "No space left on device")
    as_copied = shutil.Error([("from", "to", str(full))])
    as_stored = StoreUnavailable("The store cannot be written: IO error: 000003.log: No space left on device.")
    for kind, place in ((full, "_copy"), (as_copied, "_copy"), (as_stored, "_whole")):
        with patch.object(repair, place, side_effect=kind), pytest.raises(DatadirUnusable) as refused:
            mended(path)
        assert "needs room: " in str(refused.value)
        assert str(refused.value).count("No space left on device") == 1
        assert "lose" not in str(refused.value)
        assert (put_aside(path), (path / UNFINISHED).exists()) == ([], False)
    assert mended(path).lost == ""
    assert is_as_before(path, played)


@pytest.mark.parametrize("error", [L1Unavailable("it went away"), StoreUnavailable("no room")])
def test_what_was_to_be_given_up_stands_until_l1_has_given_all_in_its_place(
    path: Path, played: World, error: Exception
) -> None:
    async def given_up(opened: Datadir) -> None:
        # No client is asked: the replay fails before.
        with patch("sequencer.l1.rebuild._replayed", side_effect=error), pytest.raises(type(error)):
            await repair.mend_from_l1(opened, RECORD, cast(L1Client, None))

    with held(path) as opened:
        opened.keep()
        trio.run(given_up, opened)
    assert (put_aside(path), (path / UNFINISHED).exists()) == ([], False)
    assert is_as_before(path, played)


def test_what_is_whole_is_left_alone(path: Path, played: World) -> None:
    assert mended(path).how == "nothing to mend"
    assert put_aside(path) == []
    assert is_as_before(path, played)


def test_of_a_torn_end_nothing_is_lost(path: Path, played: World) -> None:
    log = log_of(path)
    size = log.stat().st_size
    # As a file system leaves it that had the length on the disk, and not the bytes.
    os.truncate(log, size - 500)
    os.truncate(log, size)
    done = mended(path)
    assert (done.how, done.lost) == ("the torn end of the store's log was cut off", "")
    assert put_aside(path) == [f"{STATE}.damaged.1"]
    assert is_as_before(path, played)


def _end_cut(path: Path) -> None:
    first, *others = sorted((path / "journal").glob("*.journal"))
    os.truncate(first, first.stat().st_size // 2)
    for segment in others:
        segment.unlink()


def _gone(path: Path) -> None:
    shutil.rmtree(path / "journal")
    # What a careless start would put there.
    Journal(path / "journal", JOURNAL_LIMITS).close()
    shutil.copy(path.with_name("lineage.json"), path / "journal")


@pytest.mark.parametrize("damage", [_end_cut, _gone])
def test_a_journal_that_has_lost_its_end_takes_no_state_back(path: Path, played: World, damage: Damage) -> None:
    shutil.copy(path / "journal" / "lineage.json", path.with_name("lineage.json"))
    damage(path)
    with pytest.raises(Irreparable, match=r"the whole journal: it ends with chunk [0-2], .* here with chunk 6"):
        mended(path)
    assert put_aside(path) == []
    checked = Checked([])
    check_state(path / STATE, RECORD, checked)
    assert (checked.is_sound, checked.chunks) == (True, played.engine.chunk_count)


def test_the_root_of_rows_that_do_not_belong_together_holds_no_journal_up(
    path: Path, played: World, tmp_path: Path
) -> None:
    world = World(3, funds=False)
    for _ in range(6):
        world.tick()
        world.seal()
    # Another history of this rollup's, whole as a state and with a write of its own missing.
    shutil.rmtree(path / STATE)
    shutil.copytree(datadir(tmp_path / "other", world) / STATE, path / STATE)
    with pytest.raises(Irreparable, match="it never was the state that is here"):
        mended(path)
    with closing(LevelDbStore(path / STATE)) as store:
        store.write({number_key(WRITE_KEY, 2): None}, sync=True)
    assert mended(path).how == "the whole journal"
    assert is_as_before(path, played)


def _identity(value: bytes | None) -> Damage:
    def damage(path: Path) -> None:
        with closing(LevelDbStore(path / STATE)) as store:
            store.write({IDENTITY_KEY: value}, sync=True)

    return damage


OTHER = msgspec.structs.replace(RECORD, deployment=msgspec.structs.replace(RECORD.deployment, bridge=b"\x09" * 20))


def test_a_state_without_its_name_is_held_to_the_genesis_and_named_again(path: Path, played: World) -> None:
    # A journal that does not lead to the state by itself.
    Datadir(path, is_kept=True).begin_journal(b"")
    _identity(None)(path)
    assert [found.code for found in check(path / STATE, path / "journal", RECORD).findings] == ["IDENTITY"]
    assert mended(path).how == "the state says again of which rollup it is"
    assert is_as_before(path, played)


def test_a_state_of_another_rollup_is_never_named_anew(path: Path) -> None:
    Datadir(path, is_kept=True).begin_journal(b"")
    _identity(OTHER.encode())(path)
    with pytest.raises(Irreparable, match=r"The state is of the rollup 0x0909.*the state says of which rollup it is"):
        mended(path)
    assert put_aside(path) == []


def settled(path: Path, backup: Path | None = None, named: bytes | None = None) -> DeploymentRecord:
    """As the command does it, without an L1."""
    at = path / "deployment.json"
    before = at.read_bytes() if at.exists() else None
    with held(path) as datadir:
        datadir.keep()
        record, is_new = trio.run(settle_record, datadir, backup, None, named)
        assert is_new == (before != at.read_bytes())
        return record


@pytest.mark.parametrize("content", [None, b"", RECORD.encode()[:-9], b"\x00" * 90, OTHER.encode().replace(b'"', b"")])
def test_the_record_of_the_rollup_is_the_states_own(path: Path, content: bytes | None) -> None:
    at = path / "deployment.json"
    at.unlink() if content is None else at.write_bytes(content)
    assert settled(path) == RECORD
    assert at.read_bytes() == RECORD.encode()
    assert put_aside(path) == ([] if content is None else ["deployment.json.damaged.1"])
    # Where it is right nothing is put aside.
    assert settled(path) == RECORD
    assert len(put_aside(path)) <= 1


def test_a_record_of_the_same_bridge_with_another_genesis_is_the_states(path: Path) -> None:
    (path / "deployment.json").write_bytes(msgspec.structs.replace(RECORD, genesis=b"\x07").encode())
    assert settled(path) == RECORD


def test_where_record_and_state_name_two_rollups_the_operator_says_which(path: Path) -> None:
    (path / "deployment.json").write_bytes(OTHER.encode())
    with pytest.raises(Irreparable, match=f"0x{BRIDGE.hex()} and 0x{'09' * 20}: say --rollup-address"):
        settled(path)
    assert settled(path, named=b"\x09" * 20) == OTHER
    assert put_aside(path) == []
    assert settled(path, named=BRIDGE) == RECORD
    assert put_aside(path) == ["deployment.json.damaged.1"]


def test_without_a_state_a_back_up_says_which_rollup_it_was(path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path / "copy", BRIDGE, 0, 0, b"")
    shutil.rmtree(path / STATE)
    (path / "deployment.json").unlink()
    for named in (None, BRIDGE):
        with pytest.raises(Irreparable, match="say --l1-rpc-url and --rollup-address"):
            settled(path, named=named)
    assert settled(path, tmp_path / "copy") == RECORD


@pytest.mark.parametrize("fault", ["hole", "CURRENT", "state"])
def test_a_journal_from_the_first_record_on_is_the_whole_venue(path: Path, played: World, fault: str) -> None:
    if fault == "hole":
        flip(log_of(path), 0.3)
    elif fault == "CURRENT":
        (path / STATE / "CURRENT").unlink()
    else:
        shutil.rmtree(path / STATE)
    assert mended(path).how == "the whole journal"
    assert put_aside(path) == ([] if fault == "state" else [f"{STATE}.damaged.1"])
    assert is_as_before(path, played)


def test_a_back_up_goes_on_by_the_journal_behind_it(tmp_path: Path) -> None:
    world = history()
    path = datadir(tmp_path / "node", world)
    back_up(path, tmp_path / "copy", BRIDGE, 0, 0, b"")
    flip(log_of(path), 0.3)
    min((path / "journal").glob("*.journal")).unlink()
    with pytest.raises(Irreparable, match=r"the whole journal: .* are gone"):
        mended(path)
    assert mended(path, tmp_path / "copy").how == "the back-up and the journal"
    assert is_as_before(path, world)


def test_a_journal_that_began_anew_is_not_replayed_on_what_was_before(path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path / "copy", BRIDGE, 0, 0, b"")
    # As a re-sequencing leaves it: what its records came to is void.
    with held(path) as opened:
        opened.keep()
        opened.begin_journal(b"")
    flip(log_of(path), 0.3)
    for backup in (None, tmp_path / "copy"):
        with pytest.raises(Irreparable):
            mended(path, backup)


def test_where_nothing_holds_the_whole_nothing_is_changed(path: Path) -> None:
    flip(log_of(path), 0.3)
    min((path / "journal").glob("*.journal")).unlink()
    before = (path / STATE / log_of(path).name).read_bytes()
    with pytest.raises(Irreparable, match="checksum mismatch"):
        mended(path)
    assert log_of(path).read_bytes() == before
    assert put_aside(path) == []
    assert not (path / UNFINISHED).exists()


def test_of_a_damaged_journal_the_part_before_the_damage_is_kept(path: Path, played: World) -> None:
    segments = sorted((path / "journal").glob("*.journal"))
    last = segments[-1]
    # Behind all that the state contains, before the end.
    flip(last, 0.9)
    cursor = check(path / STATE, path / "journal", RECORD).cursor
    with held(path) as opened:
        opened.keep()
        done = cut_journal(opened, RECORD)
    assert done.lost.startswith("whatever the journal held behind record ")
    assert int(done.lost.split()[-1]) >= cursor
    assert put_aside(path) == ["journal.damaged.1", f"{STATE}.damaged.1"]
    assert check(path / STATE, path / "journal", RECORD).is_sound
    engine = engine_of(path)
    assert (engine.cursor, engine.chunk_count >= played.engine.chunk_count) == (0, True)


def test_a_journal_of_another_venue_is_found_and_cut_off(path: Path, played: World) -> None:
    before = check(path / STATE, path / "journal", RECORD)
    _goes_on_otherwise(path / "journal", before.cursor)
    assert [found.code for found in check(path / STATE, path / "journal", RECORD).findings] == ["JOURNAL"]
    with pytest.raises(Irreparable, match="is of another state"):
        mended(path)
    with held(path) as opened:
        opened.keep()
        done = cut_journal(opened, RECORD)
    assert done.lost == f"whatever the journal held behind record {before.cursor}"
    assert check(path / STATE, path / "journal", RECORD).is_sound
    assert engine_of(path).chunk_count == played.engine.chunk_count


def test_without_a_journal_the_state_goes_on(path: Path, played: World) -> None:
    shutil.rmtree(path / "journal")
    with pytest.raises(Irreparable):
        mended(path)
    with held(path) as opened:
        opened.keep()
        cut_journal(opened, RECORD)
    assert check(path / STATE, path / "journal", RECORD).is_sound
    assert engine_of(path).chunk_count == played.engine.chunk_count
