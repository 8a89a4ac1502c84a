"""A damaged datadir is mended from what holds the whole of it, and what would lose something is not done unasked."""

import os
import shutil
from pathlib import Path

import pytest
import trio

from sequencer.l1.rebuild import UNFINISHED
from sequencer.l1.resequence import STATE
from sequencer.node.backup import back_up
from sequencer.node.checking import check
from sequencer.node.datadir import held
from sequencer.node.repair import Irreparable, Mended, cut_journal, mend
from tests.sequencer.datadirs import RECORD, datadir, engine_of, flip, history, log_of
from tests.sequencer.node_world import BRIDGE, World, picture


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


def is_as_before(path: Path, world: World) -> bool:
    """Whether a start has everything that was acknowledged, books included."""
    checked = check(path / STATE, path / "journal", RECORD)
    return checked.is_sound and picture(engine_of(path)) == picture(world.engine)


def put_aside(path: Path) -> list[str]:
    """What was damaged, and is kept."""
    return sorted(entry.name for entry in path.iterdir() if ".damaged." in entry.name)


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


def test_without_a_journal_the_state_goes_on(path: Path, played: World) -> None:
    shutil.rmtree(path / "journal")
    with pytest.raises(Irreparable):
        mended(path)
    with held(path) as opened:
        opened.keep()
        cut_journal(opened, RECORD)
    assert check(path / STATE, path / "journal", RECORD).is_sound
    assert engine_of(path).chunk_count == played.engine.chunk_count
