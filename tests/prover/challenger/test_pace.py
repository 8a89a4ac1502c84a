"""Who comes nearer to the end of the chain too slowly, and whether that is the node's doing."""

import pytest

from prover.challenger.pace import Pace


def looked(lags: list[int], waited: float = 0.0) -> tuple[bool, bool]:
    """What the last of these lags comes to, five minutes apart, where a day may pass."""
    pace, now, found = Pace(1_000.0), 1_000.0, (False, False)
    for lag in lags:
        now += 300
        assert pace.is_due(now, 600)
        assert not pace.is_due(now - 1, 600)
        pace.waited(waited)
        found = pace.look(now, lag, 86_400)
    return found


@pytest.mark.parametrize(
    ("lags", "is_behind"),
    [
        ([5_000], False),
        ([5_000, 5_000], True),
        ([5_000, 5_100], True),
        # 288 times five minutes are a day.
        ([28_900, 28_800], False),
        ([28_900, 28_801], True),
        ([28_900, 28_801, 28_000], False),
        ([3, 0], False),
    ],
)
def test_whoever_does_not_reach_the_end_in_time_is_behind(lags: list[int], is_behind: bool) -> None:
    assert looked(lags)[0] == is_behind


@pytest.mark.parametrize(("waited", "is_waiting"), [(149.0, False), (151.0, True)])
def test_it_is_the_nodes_doing_where_most_of_the_time_goes_into_waiting(waited: float, is_waiting: bool) -> None:
    assert looked([5_000, 5_000], waited) == (True, is_waiting)


def test_from_the_end_on_all_is_counted_anew() -> None:
    pace = Pace(0.0)
    pace.look(300.0, 5_000, 86_400)
    pace.reached(400.0)
    assert pace.since == 400.0
    assert not pace.is_due(699.0, 600)
    assert pace.look(700.0, 5_000, 86_400) == (False, False)
