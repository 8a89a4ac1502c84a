"""What history asks for over time: how much is kept, and when accounts are valued."""

import pytest
import trio
from trio.testing import MockClock

from sequencer.history.records import FILLS, SAMPLES, Kept
from sequencer.sequencing.bookkeeping import Bookkeeping, kept_of
from tests.sequencer.history import ledgers
from tests.sequencer.node_world import BUY, FIRST, PRICES, SELL


def test_how_much_is_kept_is_said_by_kind() -> None:
    kept = kept_of(["fills=7:30", "trades=9:1"])
    assert (kept["fills"], kept["trades"], kept["funding"]) == (Kept(7, 30), Kept(9, 1), kept_of([])["funding"])
    assert kept_of([])["fills"] == FILLS.kept


@pytest.mark.parametrize(
    "text", ["", "fills", "fills=0:1", "fills=1", "fills=1:0", "orders=1:1", "fills=-1:1", "fills=1:1x"]
)
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="KIND=ROWS:DAYS"):
        kept_of([text])


@pytest.mark.trio
async def test_who_holds_positions_is_valued_once_an_interval_and_once_more_at_the_end(
    autojump_clock: MockClock,
) -> None:
    world = ledgers.Kept()
    world.order(0, SELL, PRICES[0])
    world.order(1, BUY, PRICES[0])
    books = Bookkeeping(world.history, world.engine.holders, lambda: int(trio.current_time() * 1_000), 60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(books.run)
        await trio.sleep(150)
        assert [len(world.rows(SAMPLES, FIRST + trader)) for trader in (0, 1, 2)] == [3, 3, 0]
        world.order(0, BUY, PRICES[0], slot=2)
        world.order(1, SELL, PRICES[0], slot=2)
        assert not world.engine.holders
        await trio.sleep(600)
        nursery.cancel_scope.cancel()
    assert [len(world.rows(SAMPLES, FIRST + trader)) for trader in (0, 1, 2)] == [4, 4, 0]


@pytest.mark.trio
async def test_lists_are_shortened_and_accounts_left_alone_where_nobody_asks(autojump_clock: MockClock) -> None:
    world = ledgers.Kept()
    world.history.kept = {"fills": Kept(1, 400)}
    for slot in (1, 2, 3):
        world.order(0, SELL, PRICES[0], slot=slot)
        world.order(1, BUY, PRICES[0], slot=slot)
    books = Bookkeeping(world.history, world.engine.holders, lambda: world.now, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(books.run)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert len(world.rows(FILLS, FIRST)) == 1
    assert world.rows(SAMPLES, FIRST) == []
