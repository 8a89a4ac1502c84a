"""One HTTP/1.1 connection over h11: bounds, checks against foreign pages, routes; hands upgrades to the WebSocket."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

import h11
import msgspec
import trio
import wsproto
from wsproto.events import AcceptConnection
from wsproto.events import Request as WebSocketRequest

from sequencer.api.rpc.entrance import Entrance
from sequencer.api.rpc.errors import (
    BAD_HTTP,
    FORBIDDEN_HOST,
    FORBIDDEN_ORIGIN,
    NO_PATH,
    RATE_LIMITED,
    SHUTTING_DOWN,
    TOO_LARGE,
    TOO_SLOW,
    WRONG_METHOD,
    CallError,
)
from sequencer.api.rpc.jsonrpc import JSON, MSGPACK
from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.machine import waited_seconds

RECEIVE_BYTES: Final = 65_536
# What arrives at once may hold ten thousand pieces: so many are read before the node's other tasks have their turn.
PIECES_A_TURN: Final = 64
HEAD_TOO_LARGE: Final = 431
LINGER_BYTES: Final = 4_000_000
# Whoever was refused for asking too much is read no further than this to be told so.
SHED_BYTES: Final = 131_072
WEBSOCKET_PATH: Final = "/ws"
MOST_GATHER_MS: Final = 1_000
LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
JSON_TYPE: Final = "application/json"

STATUS_OF: Final[dict[str, int]] = {
    BAD_HTTP.name: 400,
    FORBIDDEN_HOST.name: 403,
    FORBIDDEN_ORIGIN.name: 403,
    NO_PATH.name: 404,
    WRONG_METHOD.name: 405,
    TOO_SLOW.name: 408,
    SHUTTING_DOWN.name: 503,
    TOO_LARGE.name: 413,
    RATE_LIMITED.name: 429,
}
# Pages that say whether the node lives are always given; any other costs tokens, as calls do.
FREE_PAGES: Final = frozenset({"/health", "/ready"})
PAGE_TOKENS: Final = 20
# Of a folder's files, which only have to be sent: a browser asks for a hundred of them at once.
FILE_TOKENS: Final = 1


class Answer(msgspec.Struct, frozen=True):
    """What a path gives: status, content type, body and further headers in lower case."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


Page = Callable[[str], Awaitable[Answer]]

_DIGITS: Final = re.compile(r"[0-9]{1,4}")


class Access(msgspec.Struct, frozen=True):
    """Who may call: names that this node answers to, and origins of pages beside the local ones."""

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def check_host(self, host: str | None) -> None:
        """Against DNS rebinding: a foreign name that resolves to this machine is refused."""
        if host is None or _name_of(host) not in LOCAL_NAMES | self.hosts:
            raise CallError(FORBIDDEN_HOST)

    def check_origin(self, origin: str | None) -> None:
        """Programs send no origin; pages of this machine and configured ones may call, all others may not."""
        if origin is None or origin in self.origins:
            return
        parts = _split(origin)
        if parts is None or parts[0] not in ("http", "https") or parts[1] not in LOCAL_NAMES:
            raise CallError(FORBIDDEN_ORIGIN)


def _split(origin: str) -> tuple[str, str | None] | None:
    try:
        parts = urlsplit(origin)
        return parts.scheme, parts.hostname
    except ValueError:
        return None


def _name_of(host: str) -> str | None:
    parts = _split(f"//{host}")
    return parts[1] if parts is not None and "/" not in host and "@" not in host else None


class VanishedError(Exception):
    """The peer is gone or takes nothing any more: nothing is left to be said to it."""


class Upgrade(msgspec.Struct, frozen=True):
    """An accepted WebSocket: its protocol state, the bytes that accept it, and what the peer sent ahead.

    gather_seconds: how long what feeds tell adds up before it goes out, as the peer has asked.
    """

    protocol: wsproto.WSConnection
    accept: bytes
    rest: bytes
    gather_seconds: float


async def send(stream: trio.abc.Stream, data: bytes, seconds: float) -> None:
    """Sends all or raises VanishedError; a peer that does not read is as gone as one that left."""
    with trio.move_on_after(seconds) as scope:
        try:
            await stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise VanishedError from None
    if scope.cancelled_caught:
        raise VanishedError


async def receive(stream: trio.abc.Stream) -> bytes:
    """The next bytes, empty at the end; raises VanishedError."""
    try:
        return bytes(await stream.receive_some(RECEIVE_BYTES))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise VanishedError from None


async def linger(stream: trio.abc.Stream, seconds: float, budget: int = LINGER_BYTES) -> None:
    """Ends our side and lets the peer finish: closing over unread bytes would reset away what we last sent."""
    with trio.move_on_after(seconds):
        try:
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            while budget > 0 and (data := await receive(stream)):
                budget -= len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, VanishedError):
            return


class HttpConnection:
    """Serves requests one after the other, pipelined or not, until either side ends or a WebSocket begins."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        dispatcher: Entrance,
        limits: Limits,
        access: Access,
        pages: Mapping[str, Page],
        refused: Callable[[str], None],
        address: str = "",
    ) -> None:
        # Whether it has ever asked for anything, whether it asks for nothing now, and since when.
        self.is_used = False
        self.is_idle = True
        self.idle_since = trio.current_time()
        self._stream = stream
        self._dispatcher = dispatcher
        self._limits = limits
        self._access = access
        self._pages = pages
        self._refused = refused
        self._session = dispatcher.session(address)
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._is_paid = False
        self._waiting = trio.CancelScope()
        self._reading = trio.CancelScope()

    def drain(self) -> None:
        """Ends the connection if it waits for a request; one that is being served is answered first."""
        self._waiting.cancel()

    def evict(self) -> None:
        """Ends a connection that asks for nothing, or has not asked whole yet."""
        self.is_idle = False
        self._waiting.cancel()
        self._reading.cancel()

    async def run(self) -> Upgrade | None:
        """Returns an upgrade to serve on the same stream, or None once all is said; raises VanishedError."""
        while await self._has_bytes():
            refusal: CallError | None = None
            upgrade: Upgrade | None = None
            answer: Answer | None = None
            request: h11.Request | None = None
            body = b""
            with trio.move_on_after(self._limits.request_seconds) as self._reading:
                try:
                    request = await self._head()
                    if request is None:
                        return None
                    self._check(request)
                    upgrade = await self._upgrade(request)
                    if upgrade is None:
                        body = await self._body(request)
                except CallError as error:
                    refusal = error
                except h11.RemoteProtocolError as error:
                    is_too_large = error.error_status_hint == HEAD_TOO_LARGE
                    refusal = CallError(TOO_LARGE if is_too_large else BAD_HTTP, str(error)[:200])
                except (wsproto.utilities.ProtocolError, UnicodeError) as error:
                    refusal = CallError(BAD_HTTP, str(error)[:200])
            if self._reading.cancelled_caught:
                refusal = CallError(TOO_SLOW)
            self.is_idle = False
            read_at, waited = trio.current_time(), waited_seconds()
            if upgrade is not None:
                return upgrade
            if refusal is None and request is not None:
                self.is_used = True
                try:
                    answer = await self._answer(request, body)
                except CallError as error:
                    refusal = error
            if refusal is not None or answer is None:
                await self._refuse(request, refusal or CallError(BAD_HTTP))
                return None
            # From the last byte read to the answer: what a caller waits for that is the node's own doing.
            took = f"node;dur={(trio.current_time() - read_at) * 1_000:.1f}"
            # Of that, what the node was ready to do and had no core for.
            took += f", away;dur={(waited_seconds() - waited) * 1_000:.1f}"
            left = ("ratelimit", f'"connection";r={self._session.bucket.left}')
            await self._send(request, answer, ("server-timing", took), left, is_last=self._dispatcher.is_draining)
            if self._connection.our_state is not h11.DONE:
                await linger(self._stream, self._limits.linger_seconds)
                return None
            self._connection.start_next_cycle()
        return None

    async def _has_bytes(self) -> bool:
        """Waits between two requests; False at the end, after idling too long and when the node drains."""
        if self._connection.trailing_data[0]:
            return True
        if self._dispatcher.is_draining:
            return False
        self._waiting = trio.CancelScope(deadline=trio.current_time() + self._limits.idle_seconds)
        self.idle_since, self.is_idle = trio.current_time(), True
        data = b""
        with self._waiting:
            data = await receive(self._stream)
        self._connection.receive_data(data)
        return data != b""

    async def _next_event(self) -> h11.Event:
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Event):
                return event
            if event is h11.PAUSED:
                raise CallError(BAD_HTTP)
            if self._connection.they_are_waiting_for_100_continue:
                proceed = self._connection.send(h11.InformationalResponse(status_code=100, headers=[]))
                await send(self._stream, proceed or b"", self._limits.send_seconds)
            self._connection.receive_data(await receive(self._stream))

    async def _head(self) -> h11.Request | None:
        event = await self._next_event()
        return event if isinstance(event, h11.Request) else None

    def _check(self, request: h11.Request) -> None:
        self._access.check_host(_header(request, b"host"))
        if request.method not in (b"GET", b"HEAD") or _header(request, b"upgrade") is not None:
            self._access.check_origin(_header(request, b"origin"))
        length = int(_header(request, b"content-length") or 0)
        if length > self._limits.body_bytes:
            raise CallError(TOO_LARGE, data={"limit": "body_bytes", "most": self._limits.body_bytes})
        # Before they are read: what is refused here costs the node no memory.
        self._dispatcher.pay_bytes(self._session, length)
        self._is_paid = length > 0

    async def _upgrade(self, request: h11.Request) -> Upgrade | None:
        if _path(request) != WEBSOCKET_PATH:
            return None
        if self._dispatcher.is_draining:
            raise CallError(SHUTTING_DOWN)
        protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        protocol.initiate_upgrade_connection(list(request.headers), request.target)
        event = await self._next_event()
        if not isinstance(event, h11.EndOfMessage) or not isinstance(next(protocol.events(), None), WebSocketRequest):
            raise CallError(BAD_HTTP, "A WebSocket handshake has no body.")
        # No extensions: with compression a short frame could unfold into gigabytes before its size is known.
        accept = protocol.send(AcceptConnection(extensions=[]))
        return Upgrade(protocol, accept, self._connection.trailing_data[0], _gather_seconds(request))

    async def _body(self, request: h11.Request) -> bytes:
        body, pieces = bytearray(), 0
        while True:
            event = await self._next_event()
            if isinstance(event, h11.EndOfMessage):
                return bytes(body)
            if not isinstance(event, h11.Data):
                raise VanishedError
            body += event.data
            if len(body) > self._limits.body_bytes:
                raise CallError(TOO_LARGE, data={"limit": "body_bytes", "most": self._limits.body_bytes})
            pieces += 1
            if pieces % PIECES_A_TURN == 0:
                await trio.lowlevel.checkpoint()

    async def _answer(self, request: h11.Request, body: bytes) -> Answer:
        path = _path(request)
        if request.method == b"OPTIONS":
            allow = (
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-headers", "content-type"),
                ("access-control-max-age", "600"),
            )
            return Answer(204, "", b"", allow)
        if request.method == b"POST":
            if path not in self._dispatcher.paths:
                raise CallError(WRONG_METHOD if self._page(path) else NO_PATH)
            is_msgpack = "msgpack" in (_header(request, b"content-type") or "")
            codec = MSGPACK if is_msgpack else JSON
            reply = await self._dispatcher.handle(body, codec, self._session, is_paid=self._is_paid, path=path)
            if reply.body is None:
                return Answer(204, "", b"")
            return Answer(200, codec.content_type, reply.body)
        if request.method not in (b"GET", b"HEAD"):
            raise CallError(WRONG_METHOD)
        page = self._page(path)
        if page is None:
            raise CallError(WRONG_METHOD if path in self._dispatcher.paths else NO_PATH)
        if path not in FREE_PAGES:
            await self._pay_page(PAGE_TOKENS if path in self._pages else FILE_TOKENS)
        try:
            return await page(path)
        except Exception as error:
            return Answer(500, JSON_TYPE, self._dispatcher.refusal(self._dispatcher.incident(error, path=path), JSON))

    async def _pay_page(self, cost: int) -> None:
        """Waits for the tokens where they are there soon: a browser that is refused a file does not ask again."""
        missing_seconds = self._session.bucket.wait_seconds(cost)
        if 0 < missing_seconds <= self._limits.longest_pause_seconds:
            # Not a rounding too early.
            await trio.sleep(missing_seconds + 0.001)
        self._dispatcher.pay(self._session, cost)

    def _page(self, path: str) -> Page | None:
        """The page at exactly this path, else the longest registered folder above it."""
        page = self._pages.get(path)
        while page is None and "/" in path.strip("/"):
            path = path.rstrip("/").rpartition("/")[0] + "/"
            page = self._pages.get(path)
        return page

    async def _refuse(self, request: h11.Request | None, refusal: CallError) -> None:
        self._refused(refusal.error.name)
        body = self._dispatcher.refusal(refusal, JSON)
        answer = Answer(STATUS_OF.get(refusal.error.name, 400), JSON_TYPE, body)
        await self._send(request, answer, is_last=True)
        budget = SHED_BYTES if refusal.error is RATE_LIMITED else LINGER_BYTES
        await linger(self._stream, self._limits.linger_seconds, budget)

    async def _send(self, request: h11.Request | None, answer: Answer, *more: tuple[str, str], is_last: bool) -> None:
        headers = [("x-content-type-options", "nosniff")]
        if all(name != "cache-control" for name, _ in answer.headers):
            headers.append(("cache-control", "no-store"))
        if answer.status != 204:
            headers += [("content-type", answer.content_type), ("content-length", str(len(answer.body)))]
        origin = _header(request, b"origin") if request is not None else None
        if origin is not None and answer.status != 403:
            headers += [("access-control-allow-origin", origin), ("vary", "origin")]
        if is_last:
            headers.append(("connection", "close"))
        headers += [*answer.headers, *more]
        try:
            data = self._connection.send(h11.Response(status_code=answer.status, headers=headers)) or b""
            if answer.body and (request is None or request.method != b"HEAD"):
                data += self._connection.send(h11.Data(data=answer.body)) or b""
            data += self._connection.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:
            raise VanishedError from None
        await send(self._stream, data, self._limits.send_seconds)


def _header(request: h11.Request, name: bytes) -> str | None:
    """All values of a header in one; two origins or hosts then match none."""
    values = [value for key, value in request.headers if key == name]
    return b",".join(values).decode("latin-1") if values else None


def _gather_seconds(request: h11.Request) -> float:
    given = parse_qs(request.target.partition(b"?")[2].decode("latin-1")).get("gather_ms", ["0"])
    if len(given) > 1 or not _DIGITS.fullmatch(given[0]) or int(given[0]) > MOST_GATHER_MS:
        raise CallError(BAD_HTTP, f"gather_ms is a whole number of 0 to {MOST_GATHER_MS}.")
    return int(given[0]) / 1_000


def _path(request: h11.Request) -> str:
    return request.target.partition(b"?")[0].decode("latin-1")
