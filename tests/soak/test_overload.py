"""The campaign of forty attackers: a short one that loses nothing, and what it would call a violation."""

from tests.soak import overload

GOOD = {
    "fair_p99_ms_before": 30.0,
    "fair_p99_ms_during": 120.0,
    "cancel_p99_ms_during": 120.0,
    "ticks_missed": 0,
    "acknowledged_lost": 0,
    "fair_refused": 0,
    "monitor_silent": 0,
    "rss_mb_max": 300,
}


def test_nothing_that_was_acknowledged_is_lost_under_attack() -> None:
    # How long an answer took is the machine's matter here; what became of it is not.
    summary, _ = overload.run(2, 3)

    assert summary["fair_orders"] > 0
    assert (summary["acknowledged_lost"], summary["fair_refused"]) == (0, 0)


def test_what_the_machine_did_with_others_is_not_the_nodes() -> None:
    assert overload.wall_ms("node;dur=120.5, away;dur=100.0") == 120.5
    assert overload.own_ms("node;dur=120.5, away;dur=100.0") == 20.5
    # Where the kernel does not say it, all of it counts.
    assert overload.own_ms("node;dur=120.5, away;dur=0.0") == overload.own_ms("node;dur=120.5") == 120.5
    assert overload.own_ms("node;dur=1.0, away;dur=1.1") == 0


def test_what_is_slow_missed_lost_or_large_is_a_violation() -> None:
    assert overload.violations(GOOD) == []
    for name, value in (
        ("fair_p99_ms_during", 121.0),
        ("cancel_p99_ms_during", 121.0),
        ("ticks_missed", 1),
        ("acknowledged_lost", 1),
        ("fair_refused", 1),
        ("monitor_silent", 1),
        ("rss_mb_max", 301),
    ):
        assert len(overload.violations({**GOOD, name: value})) == 1, name
