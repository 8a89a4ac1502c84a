"""A challenger's monitor on 127.0.0.1: /verdicts, /health and /metrics over HTTP/1.1, for a page and for Prometheus.

It tells what anybody could find out from L1, so any page may ask; it is asked for nothing else, and knows no key.
"""

import errno
from collections.abc import Callable, Mapping
from typing import Final

import h11
import msgspec
import trio

from prover.challenger.verdicts import Verdicts
from prover.history.records import Verdict

HOST: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 32
# Of one connection, from its first byte to its last.
CONNECTION_SECONDS: Final = 10.0
_MOST_BYTES: Final = 8_192
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"

# Status, content type, body.
Answer = tuple[int, str, bytes]


class CannotListenError(Exception):
    """The port cannot be had; one sentence."""


class Monitor:
    """One port; one request a connection, of a bounded number at a time."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._places = trio.CapacityLimiter(MOST_CONNECTIONS)
        self._pages: Mapping[str, Callable[[], Answer]] = {
            "/verdicts": self._told,
            "/health": self._health,
            "/metrics": self._metrics,
        }

    async def serve(self, port: int, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """For ever; reports its URL. port: 0 for any free one. CannotListenError."""
        try:
            listeners = await trio.open_tcp_listeners(port, host=HOST)
        except OSError as error:
            why = "is in use by another process" if error.errno == errno.EADDRINUSE else f"cannot be had: {error}"
            raise CannotListenError(f"Port {port} of {HOST} {why}; --monitor-port says another one.") from None
        own = listeners[0].socket.getsockname()[1]
        task_status.started(f"http://{HOST}:{own}")
        await trio.serve_listeners(self.handle, listeners)

    async def handle(self, stream: trio.abc.Stream) -> None:
        """One connection. Invariant: nothing of it leaves this method but a cancellation."""
        async with stream:
            try:
                self._places.acquire_nowait()
            except trio.WouldBlock:
                return
            try:
                with trio.move_on_after(CONNECTION_SECONDS):
                    await self._speak(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                self._places.release()

    async def _speak(self, stream: trio.abc.Stream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_BYTES)
        try:
            answer = await self._answered(connection, stream)
        except h11.RemoteProtocolError:
            answer = (400, _TEXT, b"That is no request of HTTP/1.1.\n")
        if answer is None:
            return
        status, kind, body = answer
        headers = [
            ("content-type", kind),
            ("content-length", str(len(body))),
            ("access-control-allow-origin", "*"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("connection", "close"),
        ]
        try:
            for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                await stream.send_all(connection.send(event) or b"")
        except h11.LocalProtocolError:
            # Who has spoken so wrongly that he cannot be answered.
            return

    async def _answered(self, connection: h11.Connection, stream: trio.abc.Stream) -> Answer | None:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(_MOST_BYTES)))
            elif isinstance(event, h11.Request):
                if event.method != b"GET":
                    return 405, _TEXT, b"GET alone.\n"
                page = self._pages.get(event.target.partition(b"?")[0].decode("ascii", "replace"))
                return page() if page else (404, _TEXT, b"There are /verdicts, /health and /metrics.\n")
            else:
                return None

    def _told(self) -> Answer:
        return 200, _JSON, msgspec.json.encode(self._verdicts.told())

    def _health(self) -> Answer:
        is_silent = self._verdicts.is_silent
        told = {"is_silent": is_silent, "heard_ms": self._verdicts.heard.at_ms}
        return 503 if is_silent else 200, _JSON, msgspec.json.encode(told)

    def _metrics(self) -> Answer:
        heard, every = self._verdicts.heard, self._verdicts.newest_first
        name = "catenary_challenger_"
        lines = [
            *_gauge(name + "tip", "Newest batch of the bridge.", heard.tip),
            *_gauge(name + "valid_tip", "Newest batch that is valid with all before it.", heard.valid_tip),
            *_gauge(name + "alarms", "Alarms since the start.", heard.alarms),
            *_gauge(name + "heard_seconds", "When L1 was heard last, since 1970.", heard.at_ms / 1_000),
            f"# HELP {name}verdicts Of the batches that are remembered.",
            f"# TYPE {name}verdicts gauge",
            *(f'{name}verdicts{{verdict="{one}"}} {sum(each.verdict == one for each in every)}' for one in Verdict),
        ]
        return 200, "text/plain; version=0.0.4", "".join(f"{line}\n" for line in lines).encode()


def _gauge(name: str, says: str, value: float) -> list[str]:
    return [f"# HELP {name} {says}", f"# TYPE {name} gauge", f"{name} {value}"]
