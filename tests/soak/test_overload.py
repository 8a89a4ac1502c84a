"""The campaign of forty attackers: a short one that loses nothing, and what it would call a violation."""

from typing import Any

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
    assert sum(summary["fates"].values()) >= summary["fair_orders"]
    assert (summary["lost"], summary["acknowledged_lost"], summary["fair_refused"]) == ([], 0, 0)


def test_an_order_that_was_acknowledged_is_open_filled_or_over_for_a_reason_that_may_end_it() -> None:
    def life(status: str, reason: str = "", filled: int = 0) -> dict[str, Any]:
        return {"status": status, "reason": reason, "filled_lots": filled}

    said = overload.Acknowledged(expires_at_ms=1_000, filled_lots=0, ends={"replaced"})
    for told, is_open, now in (
        (life("resting"), True, 999),
        (life("partially_filled", "", 5), True, 999),
        (life("filled", "", 1_000), False, 999),
        (life("expired", "expired"), False, 1_000),
        (life("cancelled", "replaced"), False, 999),
        (life("cancelled", "displaced"), False, 999),
    ):
        assert overload.lost(said, told, is_open, now) == "", told
    for told, is_open, why in (
        (None, False, "nobody knows it"),
        (life("resting"), False, "its life is open, and it is in no book"),
        (life("cancelled", "replaced"), True, "its life is over, and it is in a book"),
        (life("filled", "", 999), False, "it is filled in part"),
        (life("expired", "expired"), False, "it has expired before its time"),
        (life("cancelled", "cancelled"), False, "it ended as cancelled, cancelled"),
        (life("voided", "voided"), False, "it ended as voided, voided"),
        (life("cancelled"), False, "it ended as cancelled, for no reason"),
    ):
        assert overload.lost(said, told, is_open, 999) == why, told
    filled = overload.Acknowledged(expires_at_ms=1_000, filled_lots=6, ends=set())
    assert overload.lost(filled, life("partially_filled", "", 5), True, 999) == "a fill is gone"


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
