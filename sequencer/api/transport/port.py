"""A port on 127.0.0.1: h11 and wsproto under trio, whatever is spoken on it, and nothing from outside ends it."""

import errno
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Final

import msgspec
import structlog
import trio

from sequencer.api.rpc.entrance import Entrance
from sequencer.api.rpc.errors import TOO_MANY_CONNECTIONS, CallError
from sequencer.api.rpc.jsonrpc import JSON
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.transport.http import JSON_TYPE, Access, HttpConnection, Page, VanishedError, send
from sequencer.api.transport.websocket import WebSocketConnection

HOST: Final = "127.0.0.1"
REFUSAL_SECONDS: Final = 1.0


class ApiConfig(msgspec.Struct, frozen=True):
    """`port` 0 takes any free port; `version`, the package's, stands in the OpenRPC document."""

    port: int = 9545
    version: str = msgspec.field(default_factory=lambda: version("catenary"))
    limits: Limits = Limits()
    access: Access = Access()


def _new_incident() -> str:
    return secrets.token_hex(8)


class Surroundings(msgspec.Struct, frozen=True):
    """What the server takes from its process, and a test gives it instead."""

    log: structlog.typing.FilteringBoundLogger = msgspec.field(default_factory=lambda: structlog.get_logger("api"))
    clock: Callable[[], float] = time.monotonic
    new_incident: Callable[[], str] = _new_incident


class CannotListenError(Exception):
    """The port cannot be had; the text is one sentence for the operator."""


async def open_port(port: int) -> trio.SocketListener:
    """Listens on the node's address; CannotListenError where that cannot be."""
    try:
        (listener,) = await trio.open_tcp_listeners(port, host=HOST)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListenError(
                f"Port {port} of {HOST} is in use by another process: stop it or choose another port (0: any)."
            ) from error
        raise CannotListenError(f"Port {port} of {HOST} cannot be opened: {error.strerror or error}.") from error
    return listener


def address_of(stream: trio.abc.Stream) -> str:
    """Whose connection it is; empty where it is no socket's."""
    if not isinstance(stream, trio.SocketStream):
        return ""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""


class Port:
    """One port of this machine and whoever is connected to it; `await nursery.start(port.serve)` gives its number."""

    def __init__(
        self,
        config: ApiConfig,
        entrance: Entrance,
        metrics: ApiMetrics,
        pages: Mapping[str, Page],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        """`pages` maps a path, or a folder ending in a slash, to what answers GET there."""
        self.dispatcher = entrance
        self._config = config
        self._metrics = metrics
        self._pages = dict(pages)
        self._log = log
        self._stopping = trio.Event()
        # Each with the address that it is from.
        self._open: dict[HttpConnection | WebSocketConnection, str] = {}
        # Of an address that owes something, before they are spoken to.
        self._pausing = 0

    def stop(self) -> None:
        """Begins the graceful end: no new connections or calls, running calls are answered, then `serve` returns."""
        self._stopping.set()

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until `stop`, then drains for at most `drain_seconds`; reports the port. Raises CannotListenError."""
        listener = await self._listen()
        port: int = listener.socket.getsockname()[1]
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                serve_listeners = partial(
                    trio.serve_listeners, self.handle_stream, [listener], handler_nursery=connections
                )
                accepting.start_soon(serve_listeners)
                task_status.started(port)
                await self._stopping.wait()
                self.dispatcher.is_draining = True
                accepting.cancel_scope.cancel()
            for connection in list(self._open):
                connection.drain()
            connections.cancel_scope.deadline = trio.current_time() + self._config.limits.drain_seconds
        if connections.cancel_scope.cancelled_caught:
            self._log.warning("api.drain_deadline", seconds=self._config.limits.drain_seconds)

    async def _listen(self) -> trio.SocketListener:
        listener = await open_port(self._config.port)
        # Inherited by every accepted socket: what a slow reader leaves in the kernel must be bounded too.
        listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, self._config.limits.socket_send_bytes)
        return listener

    async def handle_stream(self, stream: trio.abc.Stream) -> None:
        """Serves one connection. Invariant: nothing that happens in it leaves this method but a cancellation."""
        try:
            async with stream:
                address = address_of(stream)
                if not await self._paused(address) or (
                    len(self._open) >= self._config.limits.connections and not self._make_room()
                ):
                    await self._refuse(stream)
                else:
                    await self._serve_stream(stream, address)
        except VanishedError:
            pass
        except Exception as error:
            self._note_failure(error)
        except BaseExceptionGroup as group:
            failures, cancellations = group.split(Exception)
            if failures is not None:
                self._note_failure(failures)
            if cancellations is not None:
                raise cancellations from None

    def _make_room(self) -> bool:
        """Ends an idle connection of the address that has the most; first one that never asked, then the longest idle.

        Else whoever opens all that there are and says nothing would lock everybody else out.
        """
        counts = Counter(self._open.values())
        idle = [(counts[address], connection) for connection, address in self._open.items() if connection.is_idle]
        if not idle:
            return False
        _, victim = min(idle, key=lambda one: (-one[0], one[1].is_used, one[1].idle_since))
        victim.evict()
        self._metrics.closed.labels("EVICTED").inc()
        return True

    def _note_failure(self, error: Exception) -> None:
        if isinstance(error, ExceptionGroup):
            _, rest = error.split(VanishedError)
            if rest is None:
                return
            error = rest
        self.dispatcher.incident(error)

    async def _paused(self, address: str) -> bool:
        """Whoever hangs up to be rid of what he owes gains nothing by it: he waits. False where too many wait already.

        They take nobody's place meanwhile, so they have a bound of their own.
        """
        pause_seconds = self.dispatcher.pause_seconds(address)
        if pause_seconds == 0:
            return True
        if self._pausing >= self._config.limits.pausing_connections:
            return False
        self._pausing += 1
        try:
            with self._metrics.pausing.track_inprogress():
                await trio.sleep(pause_seconds)
        finally:
            self._pausing -= 1
        return True

    async def _serve_stream(self, stream: trio.abc.Stream, address: str) -> None:
        limits = self._config.limits
        http = HttpConnection(
            stream,
            self.dispatcher,
            limits,
            self._config.access,
            self._pages,
            lambda reason: self._metrics.refused.labels(reason).inc(),
            address,
        )
        with self._metrics.connections.track_inprogress():
            self._open[http] = address
            try:
                upgrade = await http.run()
            finally:
                del self._open[http]
            if upgrade is None:
                return
            websocket = WebSocketConnection(
                stream,
                upgrade,
                self.dispatcher,
                limits,
                lambda reason: self._metrics.closed.labels(reason).inc(),
                address,
            )
            self._open[websocket] = address
            try:
                await websocket.run()
            finally:
                del self._open[websocket]

    async def _refuse(self, stream: trio.abc.Stream) -> None:
        self._metrics.refused.labels(TOO_MANY_CONNECTIONS.name).inc()
        body = self.dispatcher.refusal(CallError(TOO_MANY_CONNECTIONS), JSON)
        head = f"HTTP/1.1 503 \r\ncontent-type: {JSON_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        await send(stream, head.encode() + body, REFUSAL_SECONDS)
