"""The campaign of memory: a short load is sampled, and what grows is a violation."""

from tests.soak import memory


def test_a_short_load_is_sampled() -> None:
    # What a node has at its start says nothing of how it grows.
    summary, _ = memory.run(40, 3)
    assert summary["fills"] >= 40
    assert summary["orders"] >= summary["fills"]
    assert summary["rss_mb_end"] > 0


def test_what_grows_behind_the_first_quarter_is_a_violation() -> None:
    flat = [{"fills": at, "rss_mb": 100.0 + (at > 10) * 5} for at in range(0, 101, 5)]
    grown = [{"fills": at, "rss_mb": 100.0 + at} for at in range(0, 101, 5)]
    assert memory.violations(memory.told(flat, 100)) == []
    assert memory.told(flat, 100)["rss_mb_by_quarter"] == [105.0] * 4
    assert len(memory.violations(memory.told(grown, 100))) == 1
    assert memory.told(grown, 100)["growth_percent"] == 60.0
