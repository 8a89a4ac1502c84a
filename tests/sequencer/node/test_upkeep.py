"""`catenary datadir` as an operator has it: what it says, and its exit codes."""

import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from prover.state.leveldb import LevelDbStore
from sequencer.engine.records import CHUNK_KEY, number_key
from sequencer.l1.resequence import STATE
from sequencer.node.datadir import Datadir, held
from sequencer.node.upkeep import datadir as command
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.datadirs import datadir, engine_of, flip, history
from tests.sequencer.node_process import FAST, Node, node_inside, own_logging, some_l1
from tests.sequencer.node_process import command as node_command
from tests.sequencer.node_world import picture


def asked(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, objects of stdout, and stderr."""
    with own_logging():
        result = CliRunner().invoke(command, [*arguments, "--json", "--log-level", "error"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_from_check_over_back_up_and_damage_to_repair(tmp_path: Path) -> None:
    world = history()
    path = str(datadir(tmp_path / "node", world))
    code, (summary,), _ = asked("check", "--datadir", path)
    assert (code, summary["sound"], summary["chunks"], summary["findings"]) == (0, True, 6, [])
    code, (summary,), _ = asked("backup", "--datadir", path, "--to", str(tmp_path / "copy"))
    assert (code, summary["chunks"]) == (0, 6)
    (tmp_path / "node" / STATE / "CURRENT").unlink()
    code, said, _ = asked("check", "--datadir", path)
    assert (code, said[0]["code"], said[-1]["sound"]) == (1, "STORE", False)
    code, said, error = asked("backup", "--datadir", path, "--to", str(tmp_path / "other"))
    assert (code, "What is damaged is not backed up" in error) == (4, True)
    code, (summary,), _ = asked("repair", "--datadir", path, "--backup", str(tmp_path / "copy"))
    assert (code, summary["how"]) == (0, "the back-up and the journal")
    assert picture(engine_of(tmp_path / "node")) == picture(world.engine)
    code, (summary,), _ = asked("restore", "--datadir", str(tmp_path / "restored"), "--from", str(tmp_path / "copy"))
    assert (code, summary["chunks"]) == (0, 6)
    assert picture(engine_of(tmp_path / "restored")) == picture(world.engine)


def test_what_would_lose_something_needs_a_word(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    flip(sorted((path / "journal").glob("*.journal"))[-1], 0.9)
    code, _, error = asked("repair", "--datadir", str(path))
    assert code == 4
    assert "--accept-loss gives that up" in error
    assert not list(path.glob("*.damaged.*"))
    code, (summary,), _ = asked("repair", "--datadir", str(path), "--accept-loss")
    assert (code, summary["how"]) == (0, "the journal was cut at its damage")
    assert "behind record" in summary["lost"]
    (path / STATE / "CURRENT").unlink()
    code, _, error = asked("repair", "--datadir", str(path), "--accept-loss")
    assert (code, "say --l1-rpc-url" in error) == (2, True)


def test_what_is_no_datadir_or_somebodys_is_said(tmp_path: Path) -> None:
    code, _, error = asked("check", "--datadir", str(tmp_path / "nowhere"))
    assert (code, "There is no datadir" in error) == (4, True)
    path = datadir(tmp_path / "node", history())
    with held(path) as running:
        running.keep()
        for arguments in (["check"], ["backup", "--to", str(tmp_path / "copy")], ["repair"]):
            code, _, error = asked(arguments[0], "--datadir", str(path), *arguments[1:])
            assert (code, "in use by another node" in error) == (4, True)
    (path / "deployment.json").unlink()
    code, _, error = asked("check", "--datadir", str(path))
    assert (code, "`catenary datadir repair`" in error) == (4, True)
    code, (summary,), _ = asked("repair", "--datadir", str(path))
    assert (code, summary["how"]) == (0, "deployment.json was written anew; nothing to mend")
    assert asked("check", "--datadir", str(path))[0] == 0
    code, _, error = asked("restore", "--datadir", str(tmp_path / "new"), "--from", str(path))
    assert (code, "is no back-up" in error) == (4, True)


def posted(node: Node) -> None:
    """Until L1 holds a batch of it."""
    ended = time.monotonic() + PATIENCE_SECONDS
    while node.client.status()["posted"]["batch"] == 0:
        assert time.monotonic() < ended
        time.sleep(0.05)


def test_a_datadir_behind_its_l1_or_without_a_state_follows_l1(tmp_path: Path) -> None:
    path = tmp_path / "node"
    with some_l1(tmp_path / "l1") as l1:
        url = ("--l1-rpc-url", l1.url)
        with node_inside(path, *url, "--deploy") as node:
            posted(node)
            rollup = "0x" + node.rollup.hex()
        assert asked("check", "--datadir", str(path), *url)[0] == 0
        assert asked("backup", "--datadir", str(path), "--to", str(tmp_path / "copy"))[0] == 0
        with node_inside(path, *url) as node:
            before = node.client.status()["posted"]["batch"]
            ended = time.monotonic() + PATIENCE_SECONDS
            while node.client.status()["posted"]["batch"] <= before + 1:
                assert time.monotonic() < ended
                time.sleep(0.05)
        shutil.rmtree(path)
        assert asked("restore", "--datadir", str(path), "--from", str(tmp_path / "copy"))[0] == 0
        code, said, _ = asked("check", "--datadir", str(path), *url)
        assert (code, said[0]["code"]) == (1, "OTHER_HISTORY")
        assert asked("repair", "--datadir", str(path), *url)[0] == 4
        code, (summary,), _ = asked("repair", "--datadir", str(path), *url, "--accept-loss")
        assert (code, summary["how"]) == (0, "rebuilt from L1")
        assert asked("check", "--datadir", str(path), *url)[0] == 0
        shutil.rmtree(path / STATE)
        (path / "deployment.json").unlink()
        named = (*url, "--rollup-address", rollup, "--accept-loss")
        assert asked("repair", "--datadir", str(path), *named)[0] == 0
        with node_inside(path, *url) as node:
            assert node.client.status()["ready"]


def test_records_that_are_lost_come_again_from_l1_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "node"
    with some_l1(tmp_path / "l1") as l1:
        url = ("--l1-rpc-url", l1.url)
        with node_inside(path, *url, "--deploy") as node:
            posted(node)
        wanted = asked("chunk", "--datadir", str(path), "1")[1]
        # Its journal does not lead to the state any more, as behind a repair.
        Datadir(path, is_kept=True).begin_journal(b"")
        store = LevelDbStore(path / STATE)
        store.write({number_key(CHUNK_KEY, 1): None}, sync=True)
        store.close()
        code, said, _ = asked("check", "--datadir", str(path))
        assert (code, said[0]["code"]) == (1, "CHUNK")
        code, _, error = asked("chunk", "--datadir", str(path), "1")
        assert (code, "--l1-rpc-url has it made of what L1 holds" in error) == (4, True)
        assert asked("chunk", "--datadir", str(path), "1", *url)[1] == wanted
        assert asked("repair", "--datadir", str(path))[0] == 4
        code, (summary,), _ = asked("repair", "--datadir", str(path), *url)
        assert (code, summary["how"], "lost" in summary) == (0, "the records of chunks that L1 holds", False)
        assert asked("check", "--datadir", str(path), *url)[0] == 0
        assert asked("chunk", "--datadir", str(path), "1")[1] == wanted
        with node_inside(path, *url) as node:
            assert node.client.status()["ready"]


@pytest.mark.parametrize("limit", [100_000, 300_000])
def test_a_full_disk_ends_in_a_line_and_a_code(tmp_path: Path, limit: int) -> None:
    with some_l1(tmp_path / "l1") as l1:
        options = ["--datadir", str(tmp_path / "node"), "--port", "0", *FAST, "--l1-rpc-url", l1.url, "--deploy"]
        # No file may grow larger: to a program it is a disk that takes no more.
        ended = subprocess.run(
            node_command(*options, "--verifiers", "0"),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert ended.returncode == 4, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "disk refuses" in ended.stderr or "cannot be" in ended.stderr
        # What was acknowledged is there.
        assert asked("check", "--datadir", str(tmp_path / "node"))[0] == 0
