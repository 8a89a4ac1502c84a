"""A back-up is whole or refused, and nothing is restored over anything."""

import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from sequencer.l1.resequence import STATE
from sequencer.node.backup import back_up, read_backup, restore
from sequencer.node.checking import check
from sequencer.node.config import DatadirUnusable
from tests.sequencer.datadirs import RECORD, datadir, engine_of, flip, history
from tests.sequencer.node_world import BRIDGE, picture


def test_what_was_backed_up_comes_back(tmp_path: Path) -> None:
    world = history()
    path = datadir(tmp_path / "node", world)
    (path / "state.damaged.1").mkdir()
    (path / "state.damaged.1" / "junk").write_text("junk")
    made = back_up(path, tmp_path / "copy", BRIDGE, 6, 30, b"\x01")
    assert (made.chunks, made.cursor, made.root) == (6, 30, "0x01")
    assert {name.split("/")[0] for name in made.files} == {STATE, "journal", "deployment.json"}
    shutil.rmtree(path)
    assert restore(tmp_path / "copy", path) == made
    assert check(path / STATE, path / "journal", RECORD).is_sound
    assert picture(engine_of(path)) == picture(world.engine)


def test_nothing_is_copied_over_anything(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    back_up(path, tmp_path / "copy", BRIDGE, 6, 30, b"")
    with pytest.raises(DatadirUnusable, match="is there already"):
        back_up(path, tmp_path / "copy", BRIDGE, 6, 30, b"")
    with pytest.raises(DatadirUnusable, match="is not empty"):
        restore(tmp_path / "copy", path)
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "copy", tmp_path / "empty")
    assert (tmp_path / "empty" / "deployment.json").exists()


def test_a_copy_is_not_made_within_what_it_is_of(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    for target in (path / "copy", path / "deep" / "copy", path / ".." / "node" / "copy"):
        with pytest.raises(DatadirUnusable, match="in the datadir itself"):
            back_up(path, target, BRIDGE, 6, 30, b"")
    back_up(path, path / ".." / "copy", BRIDGE, 6, 30, b"")
    with pytest.raises(DatadirUnusable, match="in the back-up itself"):
        restore(tmp_path / "copy", tmp_path / "copy" / "node")
    assert sorted(each.name for each in path.iterdir()) == ["deployment.json", "journal", STATE]


def test_of_a_copy_that_finds_no_room_nothing_is_left(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    made = back_up(path, tmp_path / "copy", BRIDGE, 6, 30, b"")
    room = len(made.files) - 1

    def full(file: int) -> None:
        nonlocal room
        room -= 1
        if room <= 0:
            raise OSError(28, "No space left on device")

    before = sorted(each.name for each in tmp_path.iterdir())
    for act in (
        lambda: back_up(path, tmp_path / "other", BRIDGE, 6, 30, b""),
        lambda: restore(tmp_path / "copy", tmp_path / "other"),
    ):
        room = len(made.files) - 1
        with patch("sequencer.node.backup.os.fsync", full), pytest.raises(OSError, match="No space"):
            act()
        assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_a_copy_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    made = back_up(path, tmp_path / "copy", BRIDGE, 6, 30, b"")
    segment = tmp_path / "copy" / next(name for name in made.files if name.startswith("journal/"))
    flip(segment, 0.5)
    for act in (lambda: read_backup(tmp_path / "copy"), lambda: restore(tmp_path / "copy", tmp_path / "other")):
        with pytest.raises(DatadirUnusable, match=f"is damaged: journal/{segment.name} is not what was copied"):
            act()
    assert not (tmp_path / "other").exists()
    segment.unlink()
    with pytest.raises(DatadirUnusable, match="is damaged"):
        read_backup(tmp_path / "copy")
    (tmp_path / "copy" / "backup.json").unlink()
    # As a copy that was interrupted.
    with pytest.raises(DatadirUnusable, match="is no back-up"):
        read_backup(tmp_path / "copy")


def test_a_list_of_another_version_or_that_leads_elsewhere(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    back_up(path, tmp_path / "copy", BRIDGE, 6, 30, b"")
    listed = tmp_path / "copy" / "backup.json"
    text = listed.read_text()
    listed.write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(DatadirUnusable, match="of version 2"):
        read_backup(tmp_path / "copy")
    listed.write_text(text.replace('"deployment.json"', '"../node/deployment.json"'))
    with pytest.raises(DatadirUnusable, match="is damaged"):
        read_backup(tmp_path / "copy")
