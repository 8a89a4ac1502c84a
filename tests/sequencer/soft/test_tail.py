"""The stream of a node is followed while it is honest: cut it comes back, and a lie ends it for good."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
import structlog
import trio
import trio.testing
import wsproto
from prometheus_client import CollectorRegistry

from prover.contracts.deployment import Deployment
from sequencer.api.rpc.jsonrpc import Call, Registry
from sequencer.api.transport.port import ApiConfig, Surroundings
from sequencer.api.transport.server import Server
from sequencer.client.socket import MESSAGE_BYTES, Cut, Socket, connected
from sequencer.engine.effects import Processed
from sequencer.schema.answers import Book, FillView, MarketView
from sequencer.schema.params import NoParams
from sequencer.soft import tail
from sequencer.soft.tail import DROPPED, Tail
from sequencer.soft.told import Told, Untrue
from sequencer.views.books import fill_view
from sequencer.views.markets import market_views, names
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import own_logging
from tests.sequencer.soft.test_told import GLOBALS, L1, fill

pytestmark = pytest.mark.trio
AT = Deployment(31_337, b"\x11" * 20, b"\x12" * 20, b"\x13" * 20)


class Venue:
    """A sequencer's feeds and the one method that is asked beside."""

    def __init__(self, epoch: str, rollup: bytes = AT.bridge) -> None:
        registry = Registry()
        registry.add("catenary_status", self.status, params=NoParams, result=dict[str, Any], description="Stands.")
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        around = Surroundings(log=log)
        self.server = Server(ApiConfig(port=0), registry, metrics=CollectorRegistry(), epoch=epoch, surroundings=around)
        self.rollup = rollup
        self.fills: list[FillView] = []
        feeds = self.server.feeds
        feeds.open("prices", lambda: market_views(GLOBALS))
        for name in names(GLOBALS):
            feeds.open("book:" + name, lambda name=name: Book(name, [(1, 1)], []))
            feeds.open("trades:" + name, lambda: [])

    async def status(self, params: NoParams, call: Call) -> dict[str, Any]:
        word = "0x" + "00" * 32
        return {
            "chain_id": AT.chain_id, "rollup_address": "0x" + self.rollup.hex(), "referee_address": "0x" + "12" * 20,
            "token_address": "0x" + "13" * 20, "l1_block": 1, "law_version": 4, "state_root": word,
            "sequenced": {"chunk": 0, "operations": 0, "timestamp_ms": 0, "queue_count": 0},
            "posted": {"batch": 0, "chunks": 0, "root": ""}, "final": {"batch": 0}, "now_ms": 0, "grace_until_ms": 0,
            "ready": True, "reasons": [],
        }  # fmt: skip

    def tell(self, chunk: int) -> None:
        """A fill of BTC."""
        self.server.feeds.publish("trades:BTC", fill_view(GLOBALS, fill(chunk)))


@asynccontextmanager
async def served(venue: Venue, port: int = 0) -> AsyncIterator[int]:
    """The venue on a port."""
    venue.server._config = msgspec.structs.replace(venue.server._config, port=port)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(venue.server.serve)
        nursery.cancel_scope.cancel()


class Reader:
    """A tail beside an L1 that says what the test wants."""

    def __init__(self, port: int) -> None:
        self.l1 = L1()
        self.changed: list[str] = []
        self.l1.told = Told(self.l1.engine, self.l1.lists)
        self.tail = Tail(f"http://127.0.0.1:{port}", self.l1.told, AT, self.changed.append)

    @property
    def chunks(self) -> list[int]:
        return self.l1.chunks

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while not holds():
                await trio.sleep(0.005)

    async def stands(self, standing: str) -> None:
        await self.until(lambda: self.tail.standing.standing == standing)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """What is logged, whatever a command has set up before."""
    with own_logging():
        structlog.reset_defaults()
        with structlog.testing.capture_logs() as lines:
            yield lines


async def test_an_honest_stream_is_shown_and_comes_back_after_a_cut(nursery: trio.Nursery, quiet: Any) -> None:
    venue = Venue("one")
    async with served(venue) as port:
        reader = Reader(port)
        nursery.start_soon(reader.tail.run)
        await reader.stands("open")
        assert reader.tail.reasons == ()
        venue.tell(3)
        await reader.until(lambda: reader.chunks == [3])
        assert reader.l1.told.book("BTC") == Book("BTC", [(1, 1)], [])
        assert [market.name for market in reader.l1.told.markets] == names(GLOBALS)
        assert {"", "prices", "book:BTC", "trades:BTC"} <= set(reader.changed)
    await reader.stands("away")
    # What is true of its moment alone is gone, the fills are not.
    assert (reader.chunks, reader.l1.told.book("BTC"), reader.l1.told.markets) == ([3], None, list[MarketView]())
    # The sequencer starts again: another epoch, and all that was told before is what it tells now.
    async with served(Venue("two"), port):
        await reader.stands("open")
        assert reader.chunks == []
        assert [line["event"] for line in quiet][:2] == ["soft.open", "soft.away"]
        nursery.cancel_scope.cancel()


async def test_a_lie_ends_it_for_good(nursery: trio.Nursery, quiet: Any) -> None:
    venue = Venue("one")
    async with served(venue) as port:
        reader = Reader(port)
        await nursery.start(started, reader)
        await reader.stands("open")
        venue.tell(3)
        await reader.until(lambda: reader.chunks == [3])
        # What L1 shows is L1's alone, whatever is told.
        outcome = reader.l1.post
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader.l1, "told", Heard(reader.tail))
            outcome(3)
        assert (reader.tail.standing.standing, reader.tail.standing.code) == ("dropped", "NOT_POSTED")
        assert reader.chunks == []
        assert [reason.code for reason in reader.tail.reasons] == [DROPPED]
        assert not any(reason.is_blocking for reason in reader.tail.reasons)
        # It is not asked again, and nothing that still comes is read.
        await reader.until(lambda: reader.ended)
        venue.tell(4)
        assert reader.chunks == []
        assert [line["code"] for line in quiet if line["event"] == "soft.dropped"] == ["NOT_POSTED"]


class Heard:
    """Stands in the place of what was told: chunks of L1 go by way of the tail."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail

    def posted(self, outcome: Processed) -> None:
        self._tail.sequenced(outcome)


async def started(reader: Reader, task_status: trio.TaskStatus[None]) -> None:
    """The tail, and a word when it is over."""
    reader.ended = False
    task_status.started()
    await reader.tail.run()
    reader.ended = True


async def ends_by_itself(tail: Tail) -> bool:
    """Whether it is over once nothing is left to be done but to wait for others."""
    over = trio.Event()

    async def run() -> None:
        await tail.run()
        over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return over.is_set()


async def test_who_has_contradicted_himself_is_not_asked_again_when_l1_goes_back() -> None:
    for code, is_asked in (("GAP", False), ("TWO_PRICES", False), ("NOT_POSTED", True), ("OTHER_PRICE", True)):
        before = Tail("http://127.0.0.1:1", L1().told, AT, lambda channel: None, Untrue(code, "A lie."))
        assert before.standing.code == code
        assert (before.liar is None) is is_asked
        after = Tail("http://127.0.0.1:1", L1().told, AT, lambda channel: None, before.liar)
        has_ended = await ends_by_itself(after)
        assert has_ended is not is_asked
        assert (after.standing.standing, bool(after.reasons)) == (("away", False) if is_asked else ("dropped", True))


async def test_a_node_of_another_rollup_is_not_followed(nursery: trio.Nursery) -> None:
    async with served(Venue("one", b"\x99" * 20)) as port:
        reader = Reader(port)
        await reader.tail.run()
        assert (reader.tail.standing.standing, reader.tail.standing.code) == ("dropped", "OTHER_ROLLUP")


async def liar(stream: trio.SocketStream, messages: list[str]) -> None:
    """A server that accepts a WebSocket and says what it likes, whatever it is asked."""
    protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    # Whom it lies to ends the connection.
    with suppress(trio.BrokenResourceError):
        while data := await stream.receive_some():
            protocol.receive_data(bytes(data))
            for event in protocol.events():
                if isinstance(event, wsproto.events.Request):
                    await stream.send_all(protocol.send(wsproto.events.AcceptConnection()))
                    for message in messages:
                        await stream.send_all(protocol.send(wsproto.events.TextMessage(data=message)))


@pytest.mark.parametrize(
    ("message", "standing", "code"),
    [
        ("{", "dropped", "MISFIT"),
        ('{"id":"x"}', "dropped", "MISFIT"),
        ('{"jsonrpc":"2.0","id":0,"result":{"chain_id":1}}', "dropped", "MISFIT"),
        ('{"jsonrpc":"2.0","id":0,"error":{}}', "away", ""),
        ("[" * 2_000, "dropped", "MISFIT"),
        ("x" * (MESSAGE_BYTES + 1), "away", ""),
    ],
)
async def test_whatever_comes_is_bounded_and_ends_nothing_else(
    nursery: trio.Nursery, message: str, standing: str, code: str
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await liar(stream, [message])

    listeners = await nursery.start(trio.serve_tcp, serve, 0)
    reader = Reader(listeners[0].socket.getsockname()[1])
    nursery.start_soon(reader.tail.run)
    await reader.until(lambda: reader.tail.standing.standing == standing and "" in reader.changed)
    assert (reader.tail.standing.code, reader.chunks) == (code, [])
    nursery.cancel_scope.cancel()


class Pieces(trio.abc.Stream):
    """A connection on which this comes, again and again."""

    def __init__(self, piece: bytes) -> None:
        self.received = 0
        self._piece = piece

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self.received += len(self._piece)
        return self._piece

    async def send_all(self, data: Any) -> None:
        pass

    async def wait_send_all_might_not_block(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def socket_of(stream: Pieces) -> Socket:
    """A socket that is open already."""
    socket = Socket(stream)
    socket._protocol = wsproto.Connection(wsproto.ConnectionType.CLIENT)
    return socket


async def test_a_message_in_parts_of_nothing_has_an_end() -> None:
    # An empty text that goes on, then continuations that are empty, too.
    socket = socket_of(Pieces(b"\x00\x00" * 1_000))
    socket._protocol.receive_data(b"\x01\x00")
    with pytest.raises(Cut, match="a message of over"):
        await socket.receive()
    assert len(socket._parts) <= MESSAGE_BYTES // 64 + 1


async def test_many_frames_at_once_leave_the_others_their_turn(nursery: trio.Nursery) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    # Pongs, which nobody answers, and then a message.
    socket = socket_of(Pieces(b"\x8a\x00" * 10_000 + b"\x81\x01x"))
    assert await socket.receive() == "x"
    assert turns > 100
    nursery.cancel_scope.cancel()


class Cutting:
    """A connection on which every question is answered, whatever is asked, and that is cut then."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def send(self, text: str) -> None:
        self.asked.append(msgspec.json.decode(text))

    async def receive(self) -> str:
        if not self.asked:
            raise Cut("enough")
        call = self.asked.pop(0)
        result: Any = await Venue("one").status(NoParams(), None)  # type: ignore[arg-type]
        if call["method"] == "catenary_subscribe":
            channel = call["params"]["channel"]
            kind = channel.partition(":")
            snapshot: Any = [] if kind[0] != "book" else {"market": kind[2], "bids": [], "asks": []}
            result = {"channel": channel, "epoch": "one", "sequence": 0, "snapshot": snapshot, "updates": []}
        return msgspec.json.encode({"id": call["id"], "result": result}).decode()


async def test_who_cuts_and_answers_again_is_read_no_faster(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = 0

    @asynccontextmanager
    async def again(url: str) -> AsyncIterator[Any]:
        nonlocal connections
        connections += 1
        yield Cutting()

    reader = Reader(0)
    messages = 1 + len(reader.l1.told.channels())
    monkeypatch.setattr(tail, "connected", again)
    monkeypatch.setattr(tail, "_MESSAGES_AT_ONCE", 2 * messages)
    monkeypatch.setattr(tail, "_MESSAGES_A_SECOND", messages / 100)
    with trio.move_on_after(1_000):
        await reader.tail.run()
    # Two at once, and one in a hundred seconds.
    assert 10 <= connections <= 13


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://127.0.0.1:99999999", ""])
async def test_where_nothing_answers_it_is_away(url: str) -> None:
    with pytest.raises(Cut):
        async with connected(url):
            raise AssertionError
