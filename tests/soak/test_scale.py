"""The campaign of many accounts: a small one, and what it would call too dear."""

from tests.soak import scale


def test_a_venue_is_planted_opened_and_measured() -> None:
    summary, broken = scale.run(40, 3)

    # How long it took is the machine's matter; that a tick told nothing is not.
    assert [line for line in broken if "told" in line] == []
    assert (summary["accounts"], summary["told"], summary["beside"]) == (40, 0, [])
    assert summary["tick_ms"] > 0 < summary["fill_us"]


def test_what_grows_with_the_accounts_is_a_violation() -> None:
    small = {"accounts": 1_000, "tick_ms": 1.0, "start_seconds": 0.3, "rss_mb": 60, "told": 0}
    large = {"accounts": 100_000, "tick_ms": 2.0, "start_seconds": 5.0, "rss_mb": 400, "told": 0}
    assert scale.violations([small, large]) == []
    for name, value in (("tick_ms", 2.1), ("start_seconds", 5.1), ("rss_mb", 401), ("told", 1)):
        (line,) = scale.violations([small, {**large, name: value}])
        assert line.startswith("100000 accounts: ")
