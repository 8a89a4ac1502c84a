"""What the kernel says of time without a core is read, never falls, and is nothing where it says nothing."""

import threading
import time
import weakref
from pathlib import Path

import pytest

from sequencer.api.transport import machine
from tests.patience import PATIENCE_SECONDS


def test_it_never_falls_and_is_that_of_the_thread() -> None:
    told = [machine.waited_seconds() for _ in range(3)]
    assert told == sorted(told)
    assert told[0] >= 0


@pytest.mark.parametrize(("content", "seconds"), [("5 2500000000 7\n", 2.5), ("", 0.0)])
def test_it_is_the_second_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, seconds: float) -> None:
    (tmp_path / "schedstat").write_text(content)
    monkeypatch.setattr(machine, "_PATH", str(tmp_path / "schedstat"))
    monkeypatch.setattr(machine, "_OWN", threading.local())
    assert machine.waited_seconds() == seconds


def test_a_kernel_that_does_not_say_it_took_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(machine, "_OWN", threading.local())
    assert machine.waited_seconds() == 0.0


def test_threads_that_follow_each_other_have_each_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's number comes back with the next one, and the file of the one that has ended is closed."""
    files: list[weakref.ref[machine._Kept]] = []

    class Noted(machine._Kept):
        def __init__(self) -> None:
            super().__init__()
            files.append(weakref.ref(self))

    monkeypatch.setattr(machine, "_Kept", Noted)
    told: list[float] = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: told.append(machine.waited_seconds()))
        thread.start()
        thread.join()
    assert (len(told), len(files)) == (3, 3)
    assert [file() for file in files] == [None] * 3


def test_a_file_without_a_thread_behind_it_says_nothing() -> None:
    kept: list[machine._Kept] = []
    thread = threading.Thread(target=lambda: kept.append(machine._Kept()))
    thread.start()
    thread.join()
    # The kernel's own end of a thread comes a moment after Python's.
    end = time.monotonic() + PATIENCE_SECONDS
    while kept[0].read():
        assert time.monotonic() < end
        time.sleep(0.001)
