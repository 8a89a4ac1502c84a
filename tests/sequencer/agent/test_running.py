"""The command: it begins and ends as a process does, says what is wrong in one line, and its status asks nobody."""

import json
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result
from trio.testing import MockClock

from prover.cli.main import cli
from sequencer.agent.config import read_config
from sequencer.agent.hand import OVER
from sequencer.agent.journal import Began, Ended, Journal, Stopped
from sequencer.agent.rounds import Round
from sequencer.agent.running import go_round, journal_path
from sequencer.client.errors import NodeUnreachable
from tests.sequencer.agent.test_config import WHOLE, written


def agent(*arguments: str) -> Result:
    """One command."""
    return CliRunner().invoke(cli, ["agent", *arguments])


def test_status_reads_the_journal(tmp_path: Path) -> None:
    config = written(tmp_path, WHOLE)
    with Journal(tmp_path / "agent.jsonl") as journal:
        journal.add(Began("in", "terms", 1))
        journal.add(Ended("in", "0xa", 40, "expired (unfilled)"))
        journal.add(Began("bid", "terms", 1))
        journal.add(Stopped("bid", "filled"))
        # Also while an agent runs on it.
        told = agent("status", str(config), "--json")
    assert told.exit_code == 0, told.output
    tasks = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(one["task"], one["state"], one["filled_lots"]) for one in tasks[:-1]] == [
        ("in", "under way", 40),
        ("bid", "over: filled", 0),
        ("stop", "not begun", 0),
    ]
    assert (tasks[-1]["tasks"], tasks[-1]["given_today_micros"]) == (3, "0")
    assert "in: under way, 40 lots filled" in agent("status", str(config)).stdout


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    for command in ("run", "status"):
        failed = agent(command, str(tmp_path / "none.toml"))
        assert failed.exit_code == 2
        assert "cannot be read" in failed.stderr
    missing = agent("run", str(written(tmp_path, WHOLE)), "--password-file", str(tmp_path / "none"))
    assert missing.exit_code != 0
    assert len(missing.stderr.splitlines()) == 1


def test_a_journal_stands_beside_its_configuration(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, WHOLE))
    assert journal_path(tmp_path / "agent.toml", config) == tmp_path / "agent.jsonl"


def test_what_is_over_is_no_open_status() -> None:
    assert OVER.isdisjoint(("resting", "armed", "dormant", "partially_filled"))


@pytest.mark.trio
async def test_a_node_that_is_away_is_asked_more_and_more_rarely(autojump_clock: MockClock) -> None:
    class Away(Round):
        """Asked when."""

        def __init__(self) -> None:
            self.asked: list[float] = []

        async def go(self) -> None:
            self.asked.append(trio.current_time())
            if len(self.asked) != 4:
                raise NodeUnreachable("away")

    rounds = Away()
    began = trio.current_time()
    with trio.move_on_after(90):
        await go_round(rounds, 1)
    assert [round(at - began) for at in rounds.asked[:8]] == [0, 2, 6, 14, 15, 17, 21, 29]
    assert round(rounds.asked[-1] - rounds.asked[-2]) == 30
