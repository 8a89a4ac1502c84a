"""A nonce is taken once, however often the gateway starts anew."""

from pathlib import Path

import pytest

from sequencer.gateway.nonces import AHEAD_MS, KEPT, OLDEST_MS, Nonces
from sequencer.gateway.refusals import Refused

START = 1_800_000_000_000


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def test_a_nonce_is_taken_once(tmp_path: Path) -> None:
    clock = Clock()
    nonces = Nonces(tmp_path / "nonce", clock)
    clock.now += 10
    nonces.take(START + 2)
    # Later and earlier ones, in any order.
    nonces.take(START + 9)
    nonces.take(START + 1)
    for used in (START + 2, START + 9):
        with pytest.raises(Refused, match="used already"):
            nonces.take(used)
    assert not (tmp_path / "nonce").exists()


def test_nothing_from_before_a_start_is_taken(tmp_path: Path) -> None:
    clock = Clock()
    Nonces(tmp_path / "nonce", clock).take(START + AHEAD_MS)
    with pytest.raises(Refused, match="older"):
        Nonces(tmp_path / "nonce", clock).take(START)
    # What was ahead of the clock is known after a start as well.
    again = Nonces(tmp_path / "nonce", clock)
    clock.now += 1
    with pytest.raises(Refused, match="older"):
        again.take(START + AHEAD_MS)
    again.take(START + AHEAD_MS + 1)


def test_a_file_that_says_nothing_covers_all_that_could_have_been_taken(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "nonce").write_bytes(b"1800")
    (tmp_path / "torn").write_bytes(b"{")
    Nonces(tmp_path / "nonce", clock).take(START + 1)
    with pytest.raises(Refused, match="older"):
        Nonces(tmp_path / "torn", clock).take(START + AHEAD_MS)


def test_what_cannot_be_written_down_is_not_taken_nor_is_what_comes_before_it(tmp_path: Path) -> None:
    clock = Clock()
    nonces = Nonces(tmp_path / "gone" / "nonce", clock)
    for ahead in (20, 10):
        with pytest.raises(FileNotFoundError):
            nonces.take(START + ahead)
    (tmp_path / "gone").mkdir()
    nonces.take(START + 10)
    with pytest.raises(Refused, match="older"):
        Nonces(tmp_path / "gone" / "nonce", clock).take(START + 10)


def test_the_window_has_two_ends(tmp_path: Path) -> None:
    clock = Clock()
    nonces = Nonces(tmp_path / "nonce", clock)
    with pytest.raises(Refused, match="ahead"):
        nonces.take(START + AHEAD_MS + 1)
    clock.now += OLDEST_MS + 1_000
    with pytest.raises(Refused, match="older"):
        nonces.take(START + 1_000)
    nonces.take(START + 1_001)


def test_below_the_highest_that_are_kept_nothing_is_taken(tmp_path: Path) -> None:
    clock = Clock()
    nonces = Nonces(tmp_path / "nonce", clock)
    clock.now += 1_000
    for each in range(2, KEPT + 2):
        nonces.take(START + each)
    with pytest.raises(Refused, match="highest"):
        nonces.take(START + 1)
    nonces.take(START + KEPT + 2)
    with pytest.raises(Refused, match="highest"):
        nonces.take(START + 2)
