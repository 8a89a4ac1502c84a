"""Kills in small: one of each kind loses nothing, and what would be lost, doubled or elsewhere is noticed."""

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from sequencer.devnet.signing_account import SigningAccount
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_world import BUY, DOMAIN, SELL, key
from tests.soak import kills
from tests.soak.kills import KINDS, History, NeverCame, Stream, all_posted, kinds_of

LOTS = 100


def test_one_end_of_each_kind_loses_nothing() -> None:
    # Eight processes on an L1: ten seconds of processor time, for ends that no test in one process has.
    summary, violations = kills.run(len(KINDS), 1)
    assert violations == []
    assert list(summary)[-4:] == ["kills", "lost", "duplicated", "root_mismatches"]
    assert (summary["kills"], [summary["kills_" + kind] for kind in KINDS]) == (4, [1, 1, 1, 1])
    assert summary["acknowledged"] > 0
    assert summary["batches"] > 0


def test_every_kind_is_drawn() -> None:
    drawn = kinds_of(Random(1), 100)
    assert (len(drawn), set(drawn), drawn[:4]) == (100, set(KINDS), list(KINDS))
    assert kinds_of(Random(1), 2) == list(KINDS[:2])


def rows_of(lots: int) -> list[dict[str, Any]]:
    """Fills of an account that come to so many lots."""
    return [{"side": "buy" if lots > 0 else "sell", "size_lots": abs(lots), "chunk": 1, "operation_index": 2}]


def looked(
    positions: tuple[int, int],
    filled: tuple[int, int],
    open_orders: list[dict[str, Any]],
    history_rows: list[dict[str, Any]] | None = None,
) -> dict[str, int]:
    """What a look counts: lots that are held, lots that were acknowledged, and what is open of the first trader.

    history_rows: the first trader's, where they are not what he holds.
    """
    history = History(Random(1), None, [])
    history._streams = [Stream(SigningAccount(key(0), DOMAIN, lambda: 1), side) for side in (SELL, BUY)]
    accounts = [{"positions": [{"size_lots": held}]} for held in positions]
    first = rows_of(positions[0]) if history_rows is None else history_rows
    # A page each, of the first trader two.
    pages = [{"fills": first[:1], "older": "1-1"}, {"fills": first[1:], "older": ""}]
    answers = [*accounts, open_orders, [], *pages, {"fills": rows_of(positions[1]), "older": ""}]
    client = SimpleNamespace(
        call=lambda method, **params: answers.pop(0),
        answer=lambda method, **params: {"error": params},
        status=lambda: {"posted": {"root": "0x11"}},
    )
    for stream, lots in zip(history._streams, filled, strict=True):
        stream.filled = lots
    history._streams[0].standing = {
        10: {"slot": 10, "sequence": 5, "expires_at_ms": 1 << 60},
        11: {"slot": 11, "sequence": 5, "expires_at_ms": 0},
    }
    history._streams[0].cancelled = {12: 7}

    async def head() -> Any:
        return SimpleNamespace(last_root=b"\x11")

    history._head = head
    trio.run(history._look, SimpleNamespace(client=client))
    assert sum("is not open" in line for line in history.said) <= history.counts["lost"]
    return {name: history.counts[name] for name in ("lost", "duplicated", "root_mismatches")}


OPEN = [{"slot": 10, "sequence": 5}]


@pytest.mark.parametrize(
    ("positions", "open_orders", "lost", "duplicated"),
    [
        ((-2 * LOTS, 2 * LOTS), OPEN, 0, 0),
        # One order of each was under way.
        ((-4 * LOTS, 4 * LOTS), OPEN, 0, 0),
        ((-5 * LOTS, 5 * LOTS), OPEN, 0, LOTS),
        ((-LOTS, LOTS), OPEN, LOTS, 0),
        ((-2 * LOTS, 3 * LOTS), OPEN, LOTS, 0),
        ((-2 * LOTS, 2 * LOTS), [], 1, 0),
        ((-2 * LOTS, 2 * LOTS), [{"slot": 10, "sequence": 4}], 1, 0),
        ((-2 * LOTS, 2 * LOTS), [*OPEN, {"slot": 12, "sequence": 7}], 0, 1),
        ((-2 * LOTS, 2 * LOTS), [*OPEN, {"slot": 12, "sequence": 8}], 0, 0),
    ],
)
def test_what_is_lost_or_doubled_is_counted(
    positions: tuple[int, int], open_orders: list[dict[str, Any]], lost: int, duplicated: int
) -> None:
    counted = looked(positions, (LOTS, LOTS), open_orders)
    assert counted == {"lost": lost, "duplicated": duplicated, "root_mismatches": 0}


def test_what_was_under_way_is_not_known_at_the_next_look_either_and_a_loss_is_counted_once() -> None:
    stream = Stream(SigningAccount(key(0), DOMAIN, lambda: 1), SELL)
    standing = {"sequence": 5, "expires_at_ms": 1 << 60}
    stream.standing = {slot: standing | {"slot": slot} for slot in (10, 11, 12)}
    # A cancel of the first was sent, and the node was killed before its answer.
    stream.in_flight = 10
    assert [order["slot"] for order in stream.missing([{"slot": 12, "sequence": 5}], 0)] == [11]
    stream.in_flight = 0
    assert stream.missing([{"slot": 12, "sequence": 5}], 0) == []
    assert [order["slot"] for order in stream.missing([], 0)] == [12]


@pytest.mark.parametrize(
    ("rows", "lost", "duplicated"),
    [
        (rows_of(-2 * LOTS), 0, 0),
        ([], 2 * LOTS, 0),
        (rows_of(-LOTS), LOTS, 0),
        (rows_of(-LOTS) * 2, 0, 1),
        ([*rows_of(-LOTS), rows_of(-LOTS)[0] | {"operation_index": 3}], 0, 0),
    ],
)
def test_a_fill_that_history_lacks_or_has_twice_is_counted(
    rows: list[dict[str, Any]], lost: int, duplicated: int
) -> None:
    counted = looked((-2 * LOTS, 2 * LOTS), (LOTS, LOTS), OPEN, rows)
    assert counted == {"lost": lost, "duplicated": duplicated, "root_mismatches": 0}


def test_a_wait_ends_and_says_what_it_waited_for() -> None:
    status = {
        "sequenced": {"operations": 2, "chunk": 9},
        "posted": {"chunks": 7},
        "reasons": [{"code": "NOT_POSTING"}],
    }
    asked = []

    def told() -> dict[str, Any]:
        asked.append(trio.current_time())
        return status

    async def wait() -> None:
        await all_posted(SimpleNamespace(client=SimpleNamespace(status=told)))

    said = r"in 600 seconds: 2 operations are open, 7 chunks of 9 are posted, .* \['NOT_POSTING'\]"
    with pytest.raises(NeverCame, match=said):
        trio.run(wait, clock=trio.testing.MockClock(autojump_threshold=0))
    assert asked[-1] - asked[0] > PATIENCE_SECONDS
    status["sequenced"], status["posted"] = {"operations": 0, "chunk": 9}, {"chunks": 9}
    trio.run(wait, clock=trio.testing.MockClock(autojump_threshold=0))
