"""What the kernel says of time without a core is read, never falls, and is nothing where it says nothing."""

from pathlib import Path
from threading import Thread, get_ident

import pytest

from sequencer.api.transport import machine


def test_it_never_falls_and_is_that_of_the_thread() -> None:
    told = [machine.waited_seconds() for _ in range(3)]
    assert told == sorted(told)
    assert told[0] >= 0


@pytest.mark.parametrize(("content", "seconds"), [("5 2500000000 7\n", 2.5), ("", 0.0)])
def test_it_is_the_second_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, seconds: float) -> None:
    (tmp_path / "schedstat").write_text(content)
    monkeypatch.setattr(machine, "_PATH", str(tmp_path / "schedstat"))
    monkeypatch.setattr(machine, "_opened", machine._opened.__wrapped__)
    assert machine.waited_seconds() == seconds


def test_a_kernel_that_does_not_say_it_took_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(machine, "_opened", machine._opened.__wrapped__)
    assert machine.waited_seconds() == 0.0


def test_a_thread_that_has_the_name_of_one_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[int] = []

    def asked() -> None:
        machine.waited_seconds()
        gone.append(get_ident())

    thread = Thread(target=asked)
    thread.start()
    thread.join()
    monkeypatch.setattr(machine, "get_ident", lambda: gone[0])
    assert machine.waited_seconds() == 0.0
