"""The campaign of memory: a short load is sampled, and what grows is a violation."""

from tests.soak import memory


def test_a_short_load_is_sampled() -> None:
    # What a node has at its start says nothing of how it grows.
    summary, _ = memory.run(40, 3)
    assert summary["fills"] >= 40
    assert summary["orders"] >= summary["fills"]
    assert summary["rss_mb_end"] > 0


def test_what_grows_once_it_is_warm_is_a_violation() -> None:
    flat = [{"fills": at, "orders": 4 * at, "rss_mb": 100.0 + (at > 10) * 5} for at in range(0, 101, 5)]
    grown = [{"fills": at, "orders": 4 * at, "rss_mb": 100.0 + at} for at in range(0, 101, 5)]
    assert memory.violations(memory.told(flat, 100)) == []
    assert memory.told(flat, 100)["rss_mb_by_quarter"] == [105.0] * 4
    assert (memory.told(flat, 100)["growth_percent"], memory.told(flat, 100)["bytes_an_order"]) == (0.0, 0.0)
    assert len(memory.violations(memory.told(grown, 100))) == 1
    # From the first half's 150 to 200, a mebibyte for each four orders.
    assert (memory.told(grown, 100)["growth_percent"], memory.told(grown, 100)["bytes_an_order"]) == (33.3, 262_144.0)
    # Of a long load from where the longest list is full.
    assert memory.told([{**one, "fills": 1_000 * one["fills"]} for one in grown], 100_000)["rss_mb_warm"] == 110.0
    assert memory.told([], 100)["bytes_an_order"] == 0.0
