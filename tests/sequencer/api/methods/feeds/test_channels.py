"""Feeds of a venue: a state once a group and where somebody listens, in the turn of the answers; accounts beside."""

import math
import threading
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry
from trio.testing import MockClock

from prover.stf import constants
from sequencer.api.rpc.errors import NO_CHANNEL, CallError
from sequencer.api.rpc.jsonrpc import JSON, Call, Codec, Push, Session
from sequencer.api.rpc.limits import Limits, TokenBucket
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.history.records import TRADES
from sequencer.schema.depth import Depth, DepthChange, Mirror
from sequencer.schema.subscriptions import Subscribe, Subscribed
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.desk import Desk
from tests.sequencer.node_world import BTC, BUY, FIRST, PRICES, SELL, key, order, signed_order, tick

pytestmark = pytest.mark.trio
PRICE = PRICES[BTC]


class Reader:
    """A connection that keeps what it is told."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self.session = Session(TokenBucket(1, 9, lambda: 0.0), subscriber=cast(Any, self))
        self.told: list[dict[str, Any]] = []

    def push(self, message: Push, codec: Codec, place: object) -> None:
        self.told.append(msgspec.json.decode(message.encoded(codec))["params"])

    async def subscribe(self, channel: str, since: int | None = None, epoch: str | None = None) -> Subscribed:
        after: list[Any] = []
        call = cast(Call, SimpleNamespace(session=self.session, codec=JSON, after_answer=after))
        answer = await self._feeds.subscribe(Subscribe(channel, since, epoch), call)
        for each in after:
            each()
        return answer

    def leave(self, channel: str) -> None:
        self.session.leave_by_channel[channel]()

    def heard(self) -> list[str]:
        """Channels of what was told since the last question."""
        told, self.told = self.told, []
        return [message["channel"] for message in told]


class Told:
    """A desk whose feeds are real."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.feeds = Feeds("run", Limits(), ApiMetrics(CollectorRegistry()))
        self.channels = desk.methods._channels
        self.channels._markets_open = 0
        desk.venue.ended.remove(desk._tell)
        desk.venue.ended.append(desk.methods.ended)
        desk.methods.open_feeds(self.feeds)

    def signed(self, trader: int, side: int, price: int, size: int = 100, **changes: Any) -> bytes:
        return signed_order(order(self.desk.clock.now, FIRST + trader, side, price, size, **changes), key(trader))


@pytest.fixture
def venue(desk: Desk) -> Told:
    return Told(desk)


def told_change(message: dict[str, Any]) -> DepthChange:
    return msgspec.convert(message["data"], DepthChange)


@pytest.mark.parametrize("seed", range(3))
async def test_a_book_kept_by_changes_is_the_venues(venue: Told, seed: int) -> None:
    random, reader = Random(seed), Reader(venue.feeds)
    opened = await reader.subscribe("book_deltas:BTC")
    book, sequence = Mirror(msgspec.convert(opened.snapshot, Depth)), opened.sequence
    changed = 0
    for _ in range(60):
        venue.desk.clock.now += 1
        group = [
            venue.signed(
                random.randrange(4),
                random.choice((BUY, SELL)),
                PRICE + random.randrange(-80, 81),
                random.choice((100, 200, 300)),
                slot=random.randrange(1, 100),
            )
            for _ in range(random.randrange(1, 5))
        ]
        await venue.desk.venue.submit_all(group)
        for message in reader.told:
            change = told_change(message)
            assert (change.previous, message["sequence"]) == (sequence, sequence + 1)
            assert book.change(change)
            sequence = message["sequence"]
            changed += 1
        reader.told = []
        assert (book.bids, book.asks) == venue.desk.venue.engine.books[BTC].depth(50)
    assert changed > 30
    # Whoever comes now has the same.
    other = await Reader(venue.feeds).subscribe("book_deltas:BTC")
    last = msgspec.convert(other.snapshot, Depth)
    assert (last.bids, last.asks, other.sequence) == (book.bids, book.asks, sequence)


async def test_a_change_that_is_left_out_is_noticed(venue: Told) -> None:
    reader = Reader(venue.feeds)
    book = Mirror(msgspec.convert((await reader.subscribe("book_deltas:BTC")).snapshot, Depth))
    for step in range(3):
        await venue.desk.venue.submit(venue.signed(0, BUY, PRICE - step, slot=1 + step))
    first, second, third = (told_change(message) for message in reader.told)
    assert book.change(first)
    assert not book.change(third)
    assert third.previous != first.previous + 1
    assert second.bids != []


async def test_a_group_is_told_in_the_turn_in_which_it_is_answered(venue: Told, autojump_clock: MockClock) -> None:
    reader = Reader(venue.feeds)
    for channel in ("book:BTC", "book_deltas:BTC", "trades:BTC", f"orders:{FIRST}", "candles:BTC:1m"):
        await reader.subscribe(channel)
    turns: list[list[str]] = []

    async def send() -> None:
        sides = [(0, SELL), (1, BUY), (0, SELL), (1, BUY)]
        group = [venue.signed(trader, side, PRICE, slot=5 + place) for place, (trader, side) in enumerate(sides)]
        await venue.desk.venue.submit_all(group)
        turns.append(reader.heard())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
    (told,) = turns
    assert [told.count(name) for name in ("trades:BTC", f"orders:{FIRST}", "candles:BTC:1m")] == [2, 4, 1]
    # Both of the book at most once a group, and not where it is as it was.
    assert told.count("book:BTC") <= 1
    assert told.count("book_deltas:BTC") <= 1


async def test_whoever_comes_while_a_group_is_made_durable_is_told_nothing_twice(
    venue: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer, reader = venue.desk.venue, Reader(venue.feeds)
    await sequencer.submit(venue.signed(0, SELL, PRICE))
    is_synced, commit = threading.Event(), sequencer.journal.commit

    def slow() -> None:
        assert is_synced.wait(PATIENCE_SECONDS)
        commit()

    monkeypatch.setattr(sequencer.journal, "commit", slow)
    opened: list[Subscribed] = []

    async def join(channel: str) -> None:
        opened.append(await reader.subscribe(channel))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sequencer.submit, venue.signed(1, BUY, PRICE))
        while sequencer.is_told:
            await trio.lowlevel.checkpoint()
        for channel in ("trades:BTC", f"orders:{FIRST}"):
            nursery.start_soon(join, channel)
        await trio.testing.wait_all_tasks_blocked()
        # The fill is there, and may yet be lost.
        seen = sequencer.history.lists.ends(TRADES, BTC)[1], list(opened)
        is_synced.set()
    assert seen == (1, [])
    told = {answer.channel: answer.snapshot for answer in opened}
    assert [len(told["trades:BTC"]), told[f"orders:{FIRST}"], reader.heard()] == [1, [], []]
    # Whoever comes between two groups waits for nothing, and is told what comes then.
    other = Reader(venue.feeds)
    assert len((await other.subscribe("trades:BTC")).snapshot) == 1
    await sequencer.submit_all([venue.signed(0, SELL, PRICE, slot=2), venue.signed(1, BUY, PRICE, slot=2)])
    assert other.heard() == ["trades:BTC"]


@pytest.mark.parametrize("key", [f"0{FIRST}", f"00{FIRST}", "-1", "", "x", "99999999"])
@pytest.mark.parametrize("family", ["account:", "orders:"])
async def test_an_account_has_one_channel_by_one_spelling(venue: Told, family: str, key: str) -> None:
    with pytest.raises(CallError) as error:
        await Reader(venue.feeds).subscribe(family + key)
    assert error.value.error is NO_CHANNEL
    assert (await Reader(venue.feeds).subscribe(f"{family}{FIRST}")).snapshot is not None


async def test_a_state_that_nobody_hears_is_not_made_and_begins_with_a_snapshot(
    venue: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, valued = Reader(venue.feeds), list[int]()
    view = venue.desk.methods.accounts.account_view
    monkeypatch.setattr(venue.desk.methods.accounts, "account_view", lambda index: valued.append(index) or view(index))
    name = f"account:{FIRST}"
    opened = await reader.subscribe(name)
    reader.leave(name)
    valued.clear()
    await venue.desk.venue.submit(venue.signed(0, BUY, PRICE - 9))
    assert venue.channels.next_account() == ("", [])
    assert valued == []
    again = await reader.subscribe(name, since=opened.sequence, epoch=opened.epoch)
    assert again.snapshot is not None
    assert again.sequence > opened.sequence
    assert [len(again.snapshot["open_orders"]), valued] == [1, [FIRST]]


async def test_an_account_is_valued_once_for_fifty_readers_and_not_where_orders_are_sequenced(
    venue: Told, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    valued: list[float] = []
    view = venue.desk.methods.accounts.account_view

    def slow(index: int) -> Any:
        valued.append(trio.current_time())
        autojump_clock.jump(0.01)
        return view(index)

    readers = [Reader(venue.feeds) for _ in range(50)]
    for reader in readers:
        await reader.subscribe(f"account:{FIRST}")
    monkeypatch.setattr(venue.desk.methods.accounts, "account_view", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(venue.desk.methods.run)
        for step in range(30):
            await venue.desk.venue.submit(venue.signed(0, BUY, PRICE - step, slot=1 + step))
            assert len(valued) <= 1 + step
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    # Thirty-nine times as long as it takes nothing is valued; a clock that has jumped far counts so much more coarsely.
    coarse = 2 * 40 * math.ulp(valued[-1])
    assert all(second - first >= 0.4 - coarse for first, second in pairwise(valued))
    told = [len(reader.told) for reader in readers]
    assert told == [len(valued)] * 50
    assert len(readers[0].told[-1]["data"]["open_orders"]) == 30


async def test_whoever_comes_to_a_newer_snapshot_is_not_told_what_was_valued_before_it(venue: Told) -> None:
    name, submit = f"account:{FIRST}", venue.desk.venue.submit
    first, other = Reader(venue.feeds), Reader(venue.feeds)
    await first.subscribe(name)
    await submit(venue.signed(0, BUY, PRICE - 9))
    valued = venue.channels.next_account()
    first.leave(name)
    await submit(venue.signed(0, BUY, PRICE - 8, slot=2))
    assert len((await other.subscribe(name)).snapshot["open_orders"]) == 2
    venue.channels.tell_account(*valued)
    assert other.heard() == []
    await submit(venue.signed(0, BUY, PRICE - 7, slot=3))
    venue.channels.tell_account(*venue.channels.next_account())
    assert [len(message["data"]["open_orders"]) for message in other.told] == [3]


async def test_a_tick_is_told_to_whoever_hears_an_account_and_a_call_is_never_left_out(venue: Told) -> None:
    desk, reader = venue.desk, Reader(venue.feeds)
    await desk.venue.submit_all([venue.signed(1, SELL, PRICE, 750_000), venue.signed(0, BUY, PRICE, 750_000)])
    await reader.subscribe(f"account:{FIRST}")
    await reader.subscribe("funding")
    desk.clock.now += constants.TICK_STEP
    await desk.venue.submit(b"")
    await desk.venue.submit(tick(desk.clock.now, (595_000, *PRICES[1:])))
    channel, updates = venue.channels.next_account()
    assert channel == f"account:{FIRST}"
    assert [update.margin_call is not None for update in updates] == [True]
    venue.channels.tell_account(channel, updates)
    assert reader.heard() == ["funding", channel]
    assert venue.channels.next_account()[0] == ""
