"""The journal comes back as it was, cut off or not; what is damaged, or held by another, is refused."""

import os
from pathlib import Path
from typing import Any

import pytest

from sequencer.agent.journal import Began, Ended, Journal, Paid, Record, Signed, Stopped, read_story
from sequencer.wallet.errors import BadInput, WalletError


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
    with Journal(path) as journal:
        for line in LINES:
            journal.add(line)
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
    with Journal(tmp_path / "j") as journal:
        for line in (*LINES, Began("t", "other terms", 2)):
            journal.add(line)
        assert (journal.of("t").filled, journal.of("t").open, journal.last_sequence) == (0, None, {3: 9})


def test_a_line_that_a_crash_cut_off_was_never_sent(tmp_path: Path) -> None:
    with Journal(path := tmp_path / "j") as journal:
        journal.add(LINES[0])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"signed","task":')
    assert read_story(path).of("t").orders == 0
    with Journal(path) as journal:
        assert journal.of("t").began == LINES[0]
        journal.add(signed("0xc"))
    assert read_story(path).of("t").orders == 1


def test_a_line_that_a_full_disk_takes_a_part_of_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Journal(path := tmp_path / "j") as journal:
        journal.add(LINES[0])
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:5]))
        with pytest.raises(WalletError, match="a part of a line"):
            journal.add(signed("0xa"))
        monkeypatch.undo()
        assert journal.of("t").orders == 0
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
