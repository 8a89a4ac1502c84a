"""Channels over a connection that is cut: what was missed is told, what is lost is said, and nothing comes twice."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry

from sequencer.api.methods.feeds.channels import CHANNELS
from sequencer.api.rpc.jsonrpc import Registry
from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.port import ApiConfig, Surroundings
from sequencer.api.transport.server import Server
from sequencer.client import feeds
from sequencer.client.errors import Misfit, Rejected
from sequencer.client.feeds import Away, Feeds, Frame, Gap, Opened, Told
from sequencer.client.socket import Cut, connected
from sequencer.schema.answers import Book
from sequencer.schema.channels import TOLD_ON, told_on
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.trio


class Venue:
    """A server with the book of one market."""

    def __init__(self, epoch: str, **limits: int) -> None:
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        config = ApiConfig(port=0, limits=Limits(**limits))
        around = Surroundings(log=log)
        self.server = Server(config, Registry(), metrics=CollectorRegistry(), epoch=epoch, surroundings=around)
        self.price = 0
        self.server.feeds.open("book:BTC", lambda: self.book)
        self.server.feeds.open("book:ETH", lambda: self.book)

    @property
    def book(self) -> Book:
        return Book("BTC", [(self.price, 1)], [])

    def tell(self) -> None:
        self.price += 1
        self.server.feeds.publish("book:BTC", self.book)


@asynccontextmanager
async def served(venue: Venue, port: int = 0) -> AsyncIterator[int]:
    """The venue on a port."""
    venue.server._config = msgspec.structs.replace(venue.server._config, port=port)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(venue.server.serve)
        nursery.cancel_scope.cancel()


async def next_of(stream: Feeds, kind: type[Any]) -> Any:
    """The next frame of a kind; connections that cannot be had yet are passed over."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            frame: Frame = await anext(stream)
            if isinstance(frame, kind):
                return frame
            assert isinstance(frame, Away), frame


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long between two tries."""
    monkeypatch.setattr(feeds, "LONGEST_PAUSE_SECONDS", 0.01)


async def test_what_was_missed_while_it_was_away_is_told() -> None:
    venue = Venue("one")
    async with served(venue) as port, Feeds(f"http://127.0.0.1:{port}", ["book:BTC"]) as stream:
        opened = await next_of(stream, Opened)
        assert (opened.sequence, opened.data) == (0, Book("BTC", [(0, 1)], []))
        venue.tell()
        assert await next_of(stream, Told) == Told("book:BTC", opened.epoch, 1, Book("BTC", [(1, 1)], []))
        assert stream._socket is not None
        await stream._socket._stream.aclose()
        venue.tell()
        venue.tell()
        assert [(await next_of(stream, Told)).sequence for _ in range(2)] == [2, 3]
        venue.tell()
        assert (await next_of(stream, Told)).data == Book("BTC", [(4, 1)], [])


async def test_what_the_node_no_longer_holds_is_a_gap_before_the_state() -> None:
    venue = Venue("one", ring_messages=2)
    async with served(venue) as port, Feeds(f"http://127.0.0.1:{port}", ["book:BTC"]) as stream:
        opened = await next_of(stream, Opened)
        assert stream._socket is not None
        await stream._socket._stream.aclose()
        for _ in range(3):
            venue.tell()
        assert await next_of(stream, Gap) == Gap("book:BTC", opened.epoch, 0)
        assert (await next_of(stream, Opened)).sequence == 3


async def test_a_node_that_began_anew_is_a_gap_as_well() -> None:
    async with served(Venue("one")) as port:
        stream = Feeds(f"http://127.0.0.1:{port}", ["book:BTC"])
        first = await next_of(stream, Opened)
    assert (await next_of(stream, Away)).why
    async with stream, served(Venue("two"), port):
        assert await next_of(stream, Gap) == Gap("book:BTC", first.epoch, 0)
        assert (await next_of(stream, Opened)).epoch != first.epoch


async def test_a_channel_is_added_on_the_way_and_comes_back_too() -> None:
    venue = Venue("one")
    async with served(venue) as port, Feeds(f"http://127.0.0.1:{port}", ["book:BTC"]) as stream:
        await next_of(stream, Opened)
        await stream.follow("book:ETH")
        assert (await next_of(stream, Opened)).channel == "book:ETH"
        assert stream._socket is not None
        await stream._socket._stream.aclose()
        venue.tell()
        assert (await next_of(stream, Told)).channel == "book:BTC"
        await stream.follow("book:ETH")


async def test_a_channel_that_no_node_has_is_refused() -> None:
    with pytest.raises(KeyError):
        Feeds("http://127.0.0.1:1", ["nonsense"])
    async with served(Venue("one")) as port, Feeds(f"http://127.0.0.1:{port}", ["book:DOGE"]) as stream:
        with pytest.raises(Rejected, match="NO_CHANNEL"):
            await next_of(stream, Opened)


async def test_what_does_not_fit_the_schema_is_no_frame() -> None:
    venue = Venue("one")
    async with served(venue) as port, Feeds(f"http://127.0.0.1:{port}", ["book:BTC"]) as stream:
        await next_of(stream, Opened)
        venue.server.feeds.publish("book:BTC", {"market": 7})
        with pytest.raises(Misfit):
            await next_of(stream, Told)


async def test_pauses_grow_and_are_shaken(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LONGEST_PAUSE_SECONDS", 15.0)

    def never(url: str) -> Any:
        raise feeds.Cut("away")

    monkeypatch.setattr(feeds, "connected", never)
    async with Feeds("http://node", ["prices"], shake=lambda: 1.0) as stream:
        pauses, times = [], []
        for _ in range(7):
            frame = await anext(stream)
            assert isinstance(frame, Away)
            pauses.append(frame.pause_seconds)
            times.append(trio.current_time())
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx(pauses[:-1])


async def test_a_silent_node_is_asked_and_then_left(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    class Silent:
        async def send(self, text: str) -> None:
            sent.append(msgspec.json.decode(text)["method"])

        async def receive(self) -> str:
            return await trio.sleep_forever()

    @asynccontextmanager
    async def silent(url: str) -> AsyncIterator[Any]:
        yield Silent()

    monkeypatch.setattr(feeds, "connected", silent)
    async with Feeds("http://node", ["prices"]) as stream:
        frame = await anext(stream)
    assert isinstance(frame, Away)
    assert "said nothing" in frame.why
    assert sent == ["catenary_subscribe", "catenary_status"]
    assert trio.current_time() == pytest.approx(2 * feeds.QUIET_SECONDS)


class Speaking:
    """A connection on which these come, one after the other, and then nothing."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = iter(messages)

    async def send(self, text: str) -> None:
        pass

    async def receive(self) -> str:
        for message in self._messages:
            return msgspec.json.encode(message).decode()
        return await trio.sleep_forever()


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"id": None, "error": {"code": -1, "message": "Wait.", "data": {"name": "RATE_LIMITED"}}}, "RATE_LIMITED"),
        (
            {
                "method": "catenary_subscription",
                "params": {"channel": "book:XRP", "epoch": "", "sequence": 1, "data": {}},
            },
            "message 1 of book:XRP",
        ),
    ],
)
async def test_what_answers_no_question_ends_the_connection_and_not_the_reader(
    monkeypatch: pytest.MonkeyPatch, message: dict[str, Any], why: str
) -> None:
    @asynccontextmanager
    async def speaking(url: str) -> AsyncIterator[Any]:
        yield Speaking(message)

    monkeypatch.setattr(feeds, "connected", speaking)
    async with Feeds("http://node", ["book:BTC"]) as stream:
        frame = await anext(stream)
    assert isinstance(frame, Away)
    assert why in frame.why


async def test_who_is_told_to_wait_waits_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LONGEST_PAUSE_SECONDS", 15.0)
    data = {"name": "RATE_LIMITED", "retry_after_ms": 3_000}

    @asynccontextmanager
    async def speaking(url: str) -> AsyncIterator[Any]:
        yield Speaking({"id": None, "error": {"code": -1, "message": "Wait.", "data": data}})

    monkeypatch.setattr(feeds, "connected", speaking)
    async with Feeds("http://node", ["book:BTC"]) as stream:
        frame = await anext(stream)
    assert isinstance(frame, Away)
    # Half of the pause is by chance.
    assert frame.pause_seconds == 6.0


async def test_a_refusal_of_what_was_not_read_ends_the_reader_where_waiting_does_not_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def speaking(url: str) -> AsyncIterator[Any]:
        yield Speaking({"id": None, "error": {"code": -1, "message": "No.", "data": {"name": "PARSE_ERROR"}}})

    monkeypatch.setattr(feeds, "connected", speaking)
    async with Feeds("http://node", ["book:BTC"]) as stream:
        with pytest.raises(Rejected, match="PARSE_ERROR"):
            await anext(stream)


async def test_all_that_a_node_holds_of_a_channel_comes_in_one_answer() -> None:
    limits = Limits()
    venue = Venue("one")
    async with served(venue) as port, Feeds(f"http://127.0.0.1:{port}", ["book:BTC"]) as stream:
        await next_of(stream, Opened)
        assert stream._socket is not None
        await stream._socket._stream.aclose()
        large = Book("BTC", [(price, 1) for price in range(150)], [])
        feed = venue.server.feeds._feeds["book:BTC"]
        while feed._ring_bytes < limits.ring_bytes - 1_000 and len(feed._ring) < limits.ring_messages - 1:
            venue.server.feeds.publish("book:BTC", large)
        last = feed.sequence
        assert feed._ring_bytes > limits.ring_bytes * 9 // 10
        assert [(await next_of(stream, Told)).sequence for _ in range(last)] == list(range(1, last + 1))


async def test_a_connection_that_does_not_come_about_is_closed() -> None:
    ended = trio.Event()

    async def deaf(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        while await stream.receive_some():
            pass
        ended.set()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, deaf, 0)
        # What is raised is held while the end is awaited: nobody collects what it refers to.
        with pytest.raises(Cut, match="no WebSocket") as cut:
            await connected(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}").__aenter__()
        with trio.fail_after(PATIENCE_SECONDS):
            await ended.wait()
        assert cut.value
        nursery.cancel_scope.cancel()


async def test_every_channel_of_the_node_is_known() -> None:
    assert {channel.name: (channel.snapshot, channel.message) for channel in CHANNELS} == TOLD_ON
    assert told_on("book:BTC") == TOLD_ON["book:"]
