"""The journal comes back as it was, cut off or not; what is damaged, or held by another, is refused."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sequencer.agent import journal
from sequencer.agent.journal import Began, Ended, Journal, Paid, Record, Signed, Stopped, Story, read_story
from sequencer.wallet.errors import BadInput, WalletError
from tests.sequencer.node_process import ROOT


def signed(order: str, slot: int = 3, sequence: int = 5, part: int = 0) -> Signed:
    """An order that was signed."""
    fields: dict[str, Any] = {
        "slot": slot, "sequence": sequence, "size_lots": 10, "expires_at_ms": 99, "trigger_price_ticks": 7,
    }  # fmt: skip
    return Signed("t", order, fields, "0x00", {"client_id": "t.1"}, part)


LINES: list[Record] = [
    Began("t", "terms", 1),
    signed("0xa", part=2),
    Ended("t", "0xa", 4, "expired (unfilled)"),
    signed("0xb", sequence=9, part=3),
    Paid(20_000, 5),
    Paid(20_000, 6),
    Stopped("other", "filled"),
]


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "of" / "agent.jsonl"
    with Journal(path) as kept:
        for line in LINES:
            kept.add(line)
    assert path.stat().st_mode & 0o777 == 0o600
    with Journal(path) as again:
        stories = (again, read_story(path))
    for story in stories:
        progress = story.of("t")
        assert (progress.filled, progress.part, progress.orders) == (4, 3, 2)
        assert progress.open == LINES[3]
        assert progress.last == LINES[2]
        assert (story.paid, story.last_sequence) == ({20_000: 11}, {3: 9})
        assert story.of("other").stopped == "filled"


def test_a_task_that_begins_anew_has_no_past_but_its_sequences(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as kept:
        for line in (*LINES, Began("t", "other terms", 2)):
            kept.add(line)
        assert (kept.of("t").filled, kept.of("t").open, kept.last_sequence) == (0, None, {3: 9})


def test_a_line_that_a_crash_cut_off_was_never_sent(tmp_path: Path) -> None:
    with Journal(path := tmp_path / "j") as kept:
        kept.add(LINES[0])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"signed","task":')
    assert read_story(path).of("t").orders == 0
    with Journal(path) as kept:
        assert kept.of("t").began == LINES[0]
        kept.add(signed("0xc"))
    assert read_story(path).of("t").orders == 1


def test_a_line_that_a_full_disk_takes_a_part_of_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Journal(path := tmp_path / "j") as kept:
        kept.add(LINES[0])
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:5]))
        with pytest.raises(WalletError, match="a part of a line"):
            kept.add(signed("0xa"))
        monkeypatch.undo()
        assert kept.of("t").orders == 0
    with Journal(path) as again:
        again.add(signed("0xa"))
    assert read_story(path).of("t").orders == 1


def test_damage_is_no_end(tmp_path: Path) -> None:
    (path := tmp_path / "j").write_bytes(b"{}\n")
    for read in (Journal, read_story):
        with pytest.raises(WalletError, match="is damaged"):
            read(path)


def test_two_agents_do_not_share_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(BadInput, match="another agent"):
        Journal(tmp_path / "j")
    with Journal(tmp_path / "j"):
        pass
    with pytest.raises(WalletError, match="cannot be used"):
        Journal(tmp_path)


def same(one: Story, other: Story) -> bool:
    """Whether two stories come to the same."""
    tasks = [{name: vars(progress) for name, progress in story.tasks.items()} for story in (one, other)]
    return tasks[0] == tasks[1] and (one.paid, one.last_sequence) == (other.paid, other.last_sequence)


def test_it_is_written_anew_while_it_grows_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "COMPACT_BYTES", 4_000)
    plain, sizes = Story(), list[int]()
    with Journal(path := tmp_path / "j") as kept:
        for line in LINES:
            kept.add(line)
            plain.take(line)
        for sequence in range(10, 400):
            for line in (signed(f"0x{sequence}", sequence=sequence), Ended("t", f"0x{sequence}", 1, "filled")):
                kept.add(line)
                plain.take(line)
            sizes.append(path.stat().st_size)
            assert same(read_story(path), plain)
        assert same(kept, plain)
        # Also while it runs nobody else takes it.
        with pytest.raises(BadInput, match="another agent"):
            Journal(path)
    assert max(sizes) < 6_000
    assert path.stat().st_mode & 0o777 == 0o600
    with Journal(path) as again:
        assert same(again, plain)
        assert (again.of("t").orders, again.of("t").filled, again.last_sequence) == (392, 394, {3: 399})


def test_what_was_paid_long_ago_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "COMPACT_BYTES", 100)
    with Journal(path := tmp_path / "j") as kept:
        for day in range(20_000, 20_030):
            kept.add(Paid(day, 5))
    assert len(read_story(path).paid) < 20
    assert read_story(path).paid[20_029] == 5


def test_a_journal_that_cannot_be_written_anew_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "COMPACT_BYTES", 1_000)

    def full(*given: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    with Journal(path := tmp_path / "j") as kept:
        line = signed("0xa", sequence=9)
        while path.stat().st_size < 900:
            kept.add(line)
        monkeypatch.setattr(journal, "replace_file", full)
        orders = kept.of("t").orders + 1
        with pytest.raises(WalletError, match="written anew: No space"):
            kept.add(line)
    assert (read_story(path).of("t").orders, read_story(path).of("t").open) == (orders, line)


KILLED = """
import sys
from pathlib import Path
from sequencer.agent import journal
from sequencer.agent.journal import Ended, Journal
from tests.sequencer.agent.test_journal import signed
journal.COMPACT_BYTES = 600
with Journal(Path(sys.argv[1])) as kept:
    sequence = kept.last_sequence.get(3, 0)
    while True:
        sequence += 1
        kept.add(signed(f"0x{sequence}", sequence=sequence))
        kept.add(Ended("t", f"0x{sequence}", 1, "filled"))
        print(sequence, flush=True)
"""


def test_a_kill_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    path, told = tmp_path / "j", 0
    for kills, lines in enumerate((5, 40, 41, 42, 43)):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        for _ in range(lines):
            told = int(process.stdout.readline())
        process.kill()
        # What it said before it was killed counts as well.
        told = max([told, *(int(line) for line in process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        story = read_story(path)
        assert told <= story.last_sequence[3] == story.of("t").orders <= told + 1
        # Of an order whose end a kill has cut off nothing is known here: the agent asks.
        assert told - kills <= story.of("t").filled <= told + 1
