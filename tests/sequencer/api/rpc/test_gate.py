"""Whose call is served next: whoever asked for least, each its share, and what waits too long is refused unread."""

from typing import Any

import pytest
import trio
import trio.testing

from sequencer.api.rpc.errors import CallError
from sequencer.api.rpc.gate import Gate, Share
from sequencer.api.rpc.limits import Limits

pytestmark = pytest.mark.trio


class Crowd:
    """Calls of several connections at one gate; `served` in the order in which their turns came."""

    def __init__(self, nursery: trio.Nursery, **limits: Any) -> None:
        self.gate = Gate(Limits(**limits))
        self.served: list[str] = []
        self.refused: list[str] = []
        self._nursery = nursery
        self._shares: dict[str, Share] = {}
        self._ends: dict[str, trio.Event] = {}

    async def call(self, name: str, cost: int, size: int = 1) -> trio.CancelScope:
        """Starts a call of the connection that the name's first letter is; it holds its turn until `end`."""
        scope = trio.CancelScope()
        self._nursery.start_soon(self._call, name, cost, size, scope)
        await trio.testing.wait_all_tasks_blocked()
        return scope

    async def _call(self, name: str, cost: int, size: int, scope: trio.CancelScope) -> None:
        share = self._shares.setdefault(name[0], Share())
        self._ends[name] = trio.Event()
        with scope:
            try:
                end_turn = await self.gate.turn(share, cost, size)
            except CallError as error:
                self.refused.append(f"{name} {error.error.name}")
                return
            self.served.append(name)
            try:
                await self._ends[name].wait()
            finally:
                end_turn()
                end_turn()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await trio.testing.wait_all_tasks_blocked()


async def test_who_asks_for_little_comes_before_all_that_wait_for_much(nursery: trio.Nursery) -> None:
    crowd = Crowd(nursery, small_call_tokens=0, large_tokens=100)
    for name in ("a1", "a2", "b1", "b2"):
        await crowd.call(name, 100)
    await crowd.call("c1", 1)
    assert crowd.served == ["a1"]
    for name in ("a1", "b1", "c1", "a2"):
        await crowd.end(name)
    # One of each in turn, and the newcomer before anybody's second.
    assert crowd.served == ["a1", "b1", "c1", "a2", "b2"]


async def test_small_calls_do_not_wait_for_large_ones(nursery: trio.Nursery) -> None:
    crowd = Crowd(nursery, small_call_tokens=8, small_tokens=10, large_tokens=100)
    for name, cost in (("a1", 100), ("a2", 100), ("b1", 8), ("c1", 2), ("d1", 1)):
        await crowd.call(name, cost)
    assert (crowd.served, crowd.gate.waiting) == (["a1", "b1", "c1"], 2)
    await crowd.end("b1")
    assert crowd.served == ["a1", "b1", "c1", "d1"]


async def test_what_is_larger_than_all_the_room_runs_alone(nursery: trio.Nursery) -> None:
    crowd = Crowd(nursery, large_tokens=100)
    for name in ("a1", "b1"):
        await crowd.call(name, 900)
    assert crowd.served == ["a1"]
    await crowd.end("a1")
    assert crowd.served == ["a1", "b1"]


async def test_who_is_far_ahead_and_what_is_too_much_at_once_are_refused(nursery: trio.Nursery) -> None:
    crowd = Crowd(nursery, large_tokens=100, ahead_tokens=150, waiting_bytes=30)
    for name in ("a1", "a2", "a3"):
        await crowd.call(name, 100, size=10)
    assert (crowd.served, crowd.refused) == (["a1"], ["a3 RATE_LIMITED"])
    await crowd.call("b1", 100, size=21)
    assert crowd.refused == ["a3 RATE_LIMITED", "b1 RATE_LIMITED"]
    await crowd.call("c1", 100, size=20)
    assert (crowd.gate.waiting_bytes, crowd.gate.shed) == (30, 2)
    await crowd.end("a1")
    await crowd.end("c1")
    assert (crowd.served, crowd.gate.waiting_bytes) == (["a1", "c1", "a2"], 0)


async def test_who_gives_up_leaves_his_place_to_the_next(nursery: trio.Nursery) -> None:
    crowd = Crowd(nursery, large_tokens=100)
    await crowd.call("a1", 100)
    waiting = await crowd.call("b1", 100, size=7)
    await crowd.call("c1", 100, size=5)
    waiting.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert (crowd.gate.waiting, crowd.gate.waiting_bytes) == (1, 5)
    await crowd.end("a1")
    assert crowd.served == ["a1", "c1"]


async def test_who_is_called_and_gives_up_at_once_hands_his_turn_on(nursery: trio.Nursery) -> None:
    crowd = Crowd(nursery, large_tokens=100)
    running = await crowd.call("a1", 100)
    waiting = await crowd.call("b1", 100)
    await crowd.call("c1", 100)
    crowd._ends["a1"].set()
    await trio.lowlevel.checkpoint()
    waiting.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert "c1" in crowd.served
    running.cancel()


async def test_large_calls_have_half_of_the_time_while_somebody_asks_for_little(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    crowd = Crowd(nursery, small_call_tokens=8, large_tokens=100)
    for name, cost in (("a1", 100), ("b1", 100), ("d1", 100), ("c1", 1)):
        await crowd.call(name, cost)
    mock_clock.jump(0.4)
    await crowd.end("a1")
    assert crowd.served == ["a1", "c1"]
    mock_clock.jump(0.39)
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.served == ["a1", "c1"]
    mock_clock.jump(0.02)
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.served == ["a1", "c1", "b1"]
    # Nobody has asked for little for a second: no rest.
    mock_clock.jump(1.0)
    await crowd.end("b1")
    assert crowd.served == ["a1", "c1", "b1", "d1"]


async def test_whoever_gives_up_while_the_large_rest_hands_his_turn_on(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    crowd = Crowd(nursery, small_call_tokens=8, large_tokens=100)
    await crowd.call("a1", 100)
    resting = await crowd.call("b1", 100)
    for name, cost in (("d1", 100), ("c1", 1)):
        await crowd.call(name, cost)
    mock_clock.jump(0.5)
    await crowd.end("a1")
    resting.cancel()
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(0.6)
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.served == ["a1", "c1", "d1"]
