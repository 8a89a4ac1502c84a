"""A WebSocket to another node, from its caller's end: whole text messages, each within a bound."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import trio
import wsproto
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Request, TextMessage
from wsproto.utilities import ProtocolError

# Where a node speaks as a WebSocket.
PATH: Final = "/ws"
CONNECT_SECONDS: Final = 10
# More than all messages of a channel that a node holds (Limits.ring_bytes), which come as one answer.
MESSAGE_BYTES: Final = 2_000_000
_PIECE_BYTES: Final = 65_536
# A part of a message counts for as much: parts of nothing are parts, too.
_PART_BYTES: Final = 64
# What arrives at once may hold ten thousand frames: so many are read before the node's other tasks have their turn.
_FRAMES_A_TURN: Final = 64
_SECURE: Final = ("https", "wss")


class Cut(Exception):
    """The other end is away, or is not spoken to any more: later it may be there again, where it says so not before."""

    def __init__(self, why: str, after_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.after_seconds = after_seconds


class Socket:
    """One open connection. Memory: a message and a piece of the stream at most."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        # Several tasks may send: what is made first goes out first.
        self._sending = trio.Lock()
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._events: Iterator[Event] = iter(())
        self._drawn = 0
        self._is_over = False
        self._parts: list[str] = []
        self._size = 0

    async def open(self, host: str, path: str) -> None:
        """Asks to speak as a WebSocket; Cut where the other end does not."""
        await self._send(Request(host=host, target=path))
        if not isinstance(await self._event(), AcceptConnection):
            raise Cut("it speaks no WebSocket")

    async def send(self, text: str) -> None:
        """One message; Cut where it does not go out."""
        await self._send(TextMessage(data=text))

    async def receive(self) -> str:
        """The next message; Cut at the end, and at what is no text or too large."""
        while True:
            event = await self._event()
            if isinstance(event, Ping):
                await self._send(event.response())
            elif isinstance(event, TextMessage):
                self._parts.append(event.data)
                self._size += max(_PART_BYTES, len(event.data))
                if self._size > MESSAGE_BYTES:
                    raise Cut(f"a message of over {MESSAGE_BYTES} bytes")
                if event.message_finished:
                    text, self._parts, self._size = "".join(self._parts), [], 0
                    return text
            elif isinstance(event, BytesMessage | CloseConnection):
                raise Cut("it has ended the connection" if isinstance(event, CloseConnection) else "a binary message")

    async def _send(self, event: Event) -> None:
        try:
            async with self._sending:
                await self._stream.send_all(self._protocol.send(event))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ProtocolError) as error:
            raise Cut(f"nothing goes out: {error or type(error).__name__}") from None

    async def _event(self) -> Event:
        """The next one; frames are read as they are drawn."""
        while True:
            self._drawn += 1
            if self._drawn % _FRAMES_A_TURN == 0:
                await trio.lowlevel.checkpoint()
            try:
                event = next(self._events, None)
                if event is not None:
                    return event
                if self._is_over:
                    raise Cut("it has ended the connection")
                data = await self._stream.receive_some(_PIECE_BYTES)
                self._is_over = not data
                self._protocol.receive_data(bytes(data) or None)
                self._events = iter(self._protocol.events())
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ProtocolError) as error:
                raise Cut(f"nothing comes in: {error or type(error).__name__}") from None


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Socket]:
    """A connection to the node at a URL of http, https, ws or wss, asked as its query says; Cut where there is none."""
    at = urlsplit(url)
    host, is_secure = at.hostname or "", at.scheme in _SECURE
    stream: trio.abc.Stream | None = None
    try:
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await trio.open_tcp_stream(host, at.port or (443 if is_secure else 80))
                if is_secure:
                    context = ssl.create_default_context()
                    stream = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
                socket = Socket(stream)
                path = at.path.rstrip("/") + PATH + ("?" + at.query if at.query else "")
                await socket.open(at.netloc.rpartition("@")[2], path)
        except (OSError, ValueError, trio.TooSlowError, trio.BrokenResourceError) as error:
            raise Cut(f"it cannot be reached: {error or type(error).__name__}") from None
        yield socket
    finally:
        if stream is not None:
            with trio.move_on_after(1, shield=True):
                await trio.aclose_forcefully(stream)
