"""More channels than a connection may have: as many connections as they need, and each frame once."""

from collections import Counter

import pytest
import trio

from sequencer.client import feeds
from sequencer.client.errors import Rejected
from sequencer.client.feeds import Away, Opened, Told
from sequencer.client.wide import WideFeeds, wide_feeds
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.client.test_feeds import Venue, served

pytestmark = pytest.mark.trio


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long between two tries."""
    monkeypatch.setattr(feeds, "LONGEST_PAUSE_SECONDS", 0.01)


async def opened(stream: WideFeeds, count: int) -> list[str]:
    """The channels of the next frames, each of which opens one."""
    found = []
    with trio.fail_after(PATIENCE_SECONDS):
        for _ in range(count):
            frame = await anext(stream)
            assert isinstance(frame, Opened), frame
            found.append(frame.channel)
    return sorted(found)


def crowd(**limits: int) -> Venue:
    """A venue with books of seven markets, of which a connection may follow two."""
    venue = Venue("one", connection_subscriptions=2, **limits)
    for market in "ABCDE":
        venue.server.feeds.open(f"book:{market}", lambda: venue.book)
    return venue


async def test_channels_are_spread_over_as_many_connections_as_they_need() -> None:
    venue, channels = crowd(), [f"book:{market}" for market in "ABCDE"]
    async with served(venue) as port, wide_feeds(f"http://127.0.0.1:{port}", channels, 2) as stream:
        assert await opened(stream, 5) == channels
        assert stream.connections == 3
        for _ in range(3):
            venue.server.feeds.publish("book:A", venue.book)
            venue.server.feeds.publish("book:E", venue.book)
        told = Counter[str]()
        with trio.fail_after(PATIENCE_SECONDS):
            for _ in range(6):
                frame = await anext(stream)
                assert isinstance(frame, Told)
                told[frame.channel] += 1
                assert frame.sequence == told[frame.channel]
        assert told == {"book:A": 3, "book:E": 3}


async def test_a_channel_more_goes_where_there_is_room_and_only_once() -> None:
    async with served(crowd()) as port, wide_feeds(f"http://127.0.0.1:{port}", ["book:A"], 2) as stream:
        assert await opened(stream, 1) == ["book:A"]
        await stream.follow("book:B")
        assert await opened(stream, 1) == ["book:B"]
        assert stream.connections == 1
        await stream.follow("book:A")
        await stream.follow("book:C")
        assert await opened(stream, 1) == ["book:C"]
        assert stream.connections == 2


async def test_a_channel_that_is_added_before_there_is_a_connection_is_followed() -> None:
    async with served(crowd()) as port, wide_feeds(f"http://127.0.0.1:{port}", ["book:A"], 2) as stream:
        await stream.follow("book:B")
        assert await opened(stream, 2) == ["book:A", "book:B"]


async def test_where_the_node_has_no_room_it_says_so_until_it_has() -> None:
    venue, channels = crowd(node_subscriptions=3), [f"book:{market}" for market in "ABCD"]
    async with served(venue) as port, wide_feeds(f"http://127.0.0.1:{port}", channels, 2) as stream:
        with trio.fail_after(PATIENCE_SECONDS):
            async for frame in stream:
                if isinstance(frame, Away):
                    assert "TOO_MANY_SUBSCRIPTIONS" in frame.why
                    break


async def test_what_no_node_has_ends_all_of_it() -> None:
    async with served(crowd()) as port:
        with pytest.RaisesGroup(pytest.RaisesExc(Rejected, match="NO_CHANNEL")):
            async with wide_feeds(f"http://127.0.0.1:{port}", ["book:A", "book:B", "book:NONE"], 2) as stream:
                async for _ in stream:
                    pass
