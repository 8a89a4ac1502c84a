"""The node's directory: one holder, one rollup, and nothing left of a first start that failed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from prover.contracts.deployment import Deployment, DeploymentRecord
from sequencer.node.config import DatadirUnusable
from sequencer.node.datadir import Datadir, held

RECORD = DeploymentRecord(Deployment(31_337, b"\x01" * 20, b"\x02" * 20, b"\x03" * 20), b"genesis")


class Failed(Exception):
    """Whatever ends a start."""


def start(path: Path, act: Callable[[Datadir], None]) -> None:
    """A start that does something and then fails."""
    with held(path) as datadir:
        act(datadir)
        raise Failed


def fail(path: Path, act: Callable[[Datadir], None] = lambda _: None) -> None:
    """The same, expected."""
    with pytest.raises(Failed):
        start(path, act)


def deploy(datadir: Datadir) -> None:
    """What a first start writes before it is up."""
    datadir.keep_record(RECORD)
    datadir.l1.mkdir()
    (datadir.l1 / "chain").write_text("blocks")


def come_up(datadir: Datadir) -> None:
    """A start that is worth something."""
    deploy(datadir)
    datadir.keep()


def check(datadir: Datadir) -> None:
    """All of it is there."""
    assert datadir.record() == RECORD
    assert (datadir.l1 / "chain").read_text() == "blocks"


def test_a_first_start_that_failed_leaves_nothing(tmp_path: Path) -> None:
    fail(tmp_path / "home" / "node", deploy)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_there_stays_as_empty_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    fail(tmp_path / "node", deploy)
    assert list(tmp_path.iterdir()) == [tmp_path / "node"]
    assert list((tmp_path / "node").iterdir()) == []


def test_a_parent_that_somebody_uses_by_now_stays(tmp_path: Path) -> None:
    def meanwhile(datadir: Datadir) -> None:
        (datadir.path.parent / "wallet").write_text("a key")

    fail(tmp_path / "home" / "node", meanwhile)
    assert list((tmp_path / "home").iterdir()) == [tmp_path / "home" / "wallet"]


def test_what_came_up_once_outlives_every_failure(tmp_path: Path) -> None:
    fail(tmp_path / "node", come_up)
    fail(tmp_path / "node", check)
    with held(tmp_path / "node") as datadir:
        check(datadir)


def test_what_is_not_a_datadir_yet_but_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    fail(tmp_path)
    assert (tmp_path / "notes").read_text() == "mine"


def test_it_has_one_holder_and_the_second_disturbs_nothing(tmp_path: Path) -> None:
    with held(tmp_path / "node") as datadir:
        datadir.keep_record(RECORD)
        with pytest.raises(DatadirUnusable, match="in use by another node"), held(tmp_path / "node"):
            raise AssertionError
        assert datadir.record() == RECORD
        datadir.keep()
    with held(tmp_path / "node") as datadir:
        assert datadir.record() == RECORD


def test_a_new_one_has_no_record_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    with held(tmp_path / "node") as datadir:
        assert datadir.record() is None
        datadir.keep_record(RECORD)
        (tmp_path / "node" / "deployment.json").write_text("{")
        with pytest.raises(DatadirUnusable, match="damaged"):
            datadir.record()
