"""The campaign of bad weather in small: it holds, it is the same run every time, and it can fail."""

from contextlib import ExitStack
from random import Random
from unittest.mock import patch

from sequencer.l1 import following
from tests.l1_bridge.weather import KINDS, Fault, drawn
from tests.soak import weather
from tests.soak.weather_scene import BAD_SECONDS, Schedule, play


def test_a_few_cases_do_no_harm() -> None:
    summary, violations = weather.run(2, seed=11, real=0)
    assert violations == []
    assert list(summary)[-8:] == ["cases", "simulated", "real", *weather.HARM]
    assert (summary["cases"], summary["simulated"], summary["real"]) == (2, 2, 0)
    assert summary["faults"]


def test_every_kind_of_fault_is_drawn_and_lasts_within_its_time() -> None:
    faults = drawn(Random(1), 100, 200)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert all(0 <= fault.start < fault.end <= 100 for fault in faults)


def test_a_node_that_believes_an_absence_is_found_out() -> None:
    async def believed(*_: object) -> str:
        return ""

    faults = [Fault("no logs", 0, BAD_SECONDS)]

    class Blind(Schedule):
        """No weather but logs that are missing all the time, also to the node that begins again."""

        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.node_faults, self.reorganisations, self.jumps = faults, [], []
            self.kills = [BAD_SECONDS - 20]

    with patch("tests.soak.weather_scene.Schedule", Blind), ExitStack() as stack:
        assert not play(3).harm
        for name in ("missing_entry", "missing_batch"):
            stack.enter_context(patch.object(following, name, believed))
        # Behind it stands that a gap is read again from the beginning.
        stack.enter_context(patch.object(following, "_TIMES_ASKED", 1))
        assert play(3).harm["stuck"]
