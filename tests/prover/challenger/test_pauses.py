"""Pauses double up to their bound, each thing has its own, and success begins anew; on a clock that is set by hand."""

import pytest
import trio.testing

from prover.challenger.pauses import FIRST_SECONDS, MOST_SECONDS, Pauses

pytestmark = pytest.mark.trio


async def test_what_was_never_postponed_is_due() -> None:
    assert Pauses().is_due("anything")


async def test_a_pause_doubles_up_to_its_bound_and_ends(mock_clock: trio.testing.MockClock) -> None:
    pauses = Pauses()
    seconds = [pauses.postpone("proof") for _ in range(8)]
    assert seconds == [2, 4, 8, 16, 32, 64, 120, 120]
    assert (seconds[0], seconds[-1]) == (FIRST_SECONDS, MOST_SECONDS)
    mock_clock.jump(MOST_SECONDS - 0.5)
    assert not pauses.is_due("proof")
    mock_clock.jump(0.5)
    assert pauses.is_due("proof")


async def test_each_thing_has_a_pause_of_its_own_and_success_ends_it() -> None:
    pauses = Pauses()
    pauses.postpone("proof")
    pauses.postpone(7)
    assert not pauses.is_due(7)
    assert pauses.is_due(8)
    pauses.end(7)
    assert pauses.is_due(7)
    assert not pauses.is_due("proof")
    assert pauses.postpone(7) == FIRST_SECONDS
