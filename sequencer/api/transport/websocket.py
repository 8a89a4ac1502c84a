"""One WebSocket over wsproto: calls in, answers and feed messages out through a bounded queue."""

import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio
import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from sequencer.api.rpc.entrance import Entrance
from sequencer.api.rpc.jsonrpc import JSON, MSGPACK, Codec, Push
from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.http import PIECES_A_TURN, WEBSOCKET_PATH, Upgrade, receive, send

COALESCED_BYTES: Final = 65_536

CLOSED_NORMALLY: Final = 1000
GOING_AWAY: Final = 1001
MESSAGE_TOO_LARGE: Final = 1009
TOO_SLOW_A_READER: Final = 4008
IDLE: Final = 4009
EXPELLED: Final = 4010

REASONS: Final[dict[int, str]] = {
    CLOSED_NORMALLY: "",
    GOING_AWAY: "SHUTTING_DOWN",
    MESSAGE_TOO_LARGE: "TOO_LARGE",
    TOO_SLOW_A_READER: "SLOW_CONSUMER: subscribe again with since and epoch of the last message",
    IDLE: "IDLE",
    EXPELLED: "PRIVATE: the key that was shown is no owner's or agent's any more",
}


class _Frame:
    """One frame that waits. is_told: of a feed, and no answer; place: in which a later one may come."""

    __slots__ = ("data", "is_told", "place")

    def __init__(self, data: bytes, is_told: bool, place: object) -> None:
        self.data = data
        self.is_told = is_told
        self.place = place


class Outbox:
    """Frames on their way out. Invariant: never more than the bounds; feed messages overflow it, answers wait."""

    def __init__(self, most_frames: int, most_bytes: int) -> None:
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._frames: deque[_Frame] = deque()
        self._bytes = 0
        # The frames that give way to a later one of their place.
        self._giving_way: dict[object, _Frame] = {}
        # Those that wait and are no feed's.
        self._answers = 0
        self._changed = trio.Event()
        self._urged = trio.Event()
        self._is_finished = False

    def _is_urgent(self) -> bool:
        is_half_full = 2 * len(self._frames) >= self._most_frames or 2 * self._bytes >= self._most_bytes
        return self._is_finished or self._answers > 0 or is_half_full

    def _has_room(self, size: int) -> bool:
        # An empty queue takes any frame: an answer may be larger than the whole bound.
        return not self._frames or (len(self._frames) < self._most_frames and self._bytes + size <= self._most_bytes)

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        self._urge()

    def _urge(self) -> None:
        if self._is_urgent():
            self._urged.set()

    def offer(self, data: bytes) -> bool:
        """Queues a frame without waiting; False if there is no room."""
        return self._is_finished or self._queued(_Frame(data, False, None))

    def tell(self, data: bytes, place: object, *, is_whole: bool) -> bool:
        """Queues a feed's frame; a whole one takes the place of one that waits there. False if there is no room."""
        if self._is_finished:
            return True
        waiting = self._giving_way.pop(place, None)
        if not is_whole or waiting is None:
            frame = _Frame(data, True, place if is_whole else None)
            if is_whole:
                self._giving_way[place] = frame
            return self._queued(frame)
        self._giving_way[place] = waiting
        self._bytes += len(data) - len(waiting.data)
        waiting.data = data
        self._urge()
        return self._bytes <= self._most_bytes or len(self._frames) == 1

    def _queued(self, frame: _Frame) -> bool:
        if not self._has_room(len(frame.data)):
            return False
        self._frames.append(frame)
        self._bytes += len(frame.data)
        self._answers += not frame.is_told
        self._note_change()
        return True

    async def put(self, data: bytes) -> None:
        """Queues a frame, waiting for room."""
        while not self.offer(data):
            await self._changed.wait()

    async def take(self) -> bytes | None:
        """The next frames as one piece of bytes; None once it is finished and empty."""
        while not self._frames:
            if self._is_finished:
                return None
            await self._changed.wait()
        piece = bytearray(self._next())
        while self._frames and len(piece) < COALESCED_BYTES:
            piece += self._next()
        self._bytes -= len(piece)
        self._note_change()
        return bytes(piece)

    async def gather(self, seconds: float) -> None:
        """Lets what feeds tell add up for so long; an answer, the end and a queue that is half full do not wait."""
        self._urged = trio.Event()
        if not self._is_urgent():
            with trio.move_on_after(seconds):
                await self._urged.wait()

    def _next(self) -> bytes:
        frame = self._frames.popleft()
        self._answers -= not frame.is_told
        if self._giving_way.get(frame.place) is frame:
            del self._giving_way[frame.place]
        return frame.data

    def finish(self, last: bytes, *, drop: bool) -> None:
        """Takes `last` as the last frame; `drop` gives up what feeds have told and has not gone out yet."""
        if self._is_finished:
            return
        if drop:
            self._frames = deque(frame for frame in self._frames if not frame.is_told)
            self._giving_way.clear()
            self._bytes = sum(len(frame.data) for frame in self._frames)
        self._frames.append(_Frame(last, False, None))
        self._bytes += len(last)
        self._answers += 1
        self._is_finished = True
        self._note_change()


class WebSocketConnection:
    """Serves one accepted WebSocket; text frames are JSON, binary frames msgpack."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        upgrade: Upgrade,
        dispatcher: Entrance,
        limits: Limits,
        closed: Callable[[str], None],
        address: str = "",
    ) -> None:
        self.is_used = True
        self._stream = stream
        self._protocol = upgrade.protocol
        self._upgrade = upgrade
        self._dispatcher = dispatcher
        self._limits = limits
        self._closed = closed
        self._session = dispatcher.session(address, self)
        self._outbox = Outbox(limits.queue_messages, limits.queue_bytes)
        self._in_flight = trio.Semaphore(limits.calls_in_flight)
        self._waiting: deque[tuple[bytes, Codec]] = deque()
        self._waiting_bytes = 0
        self._waiting_changed = trio.Event()
        self._reading = trio.CancelScope()
        self._code: int | None = None
        self._heard_at = trio.current_time()
        self._is_receiving = False
        self._is_reading = True
        self._message = bytearray()

    @property
    def is_idle(self) -> bool:
        """Whether it listens to nothing and asks for nothing."""
        is_asking = self._in_flight.value < self._limits.calls_in_flight or self._waiting
        is_expected = self._session.leave_by_channel or self._session.at_end
        return self._code is None and not is_asking and not is_expected

    @property
    def idle_since(self) -> float:
        """When it was last heard."""
        return self._heard_at

    def evict(self) -> None:
        """Ends a connection that listens to nothing and asks for nothing."""
        self._end(IDLE)

    def drain(self) -> None:
        """Takes no further call; those that run are answered, then the peer is told to go."""
        self._end(GOING_AWAY)

    def push(self, message: Push, codec: Codec, place: object) -> None:
        """Queues a feed message; a full queue closes the connection."""
        if self._code is not None or not self._is_open():
            return
        frame = message.framed(codec, self._frame)
        if not self._outbox.tell(frame, place, is_whole=message.is_whole):
            self.overflow()

    def overflow(self) -> None:
        """A gap in a feed would be worse than a closed connection: the peer resubscribes from its last sequence.

        Nothing more is read or told; what was asked is answered first, if the peer reads that.
        """
        self._end(TOO_SLOW_A_READER)
        self._close_session()

    def expel(self) -> None:
        """Nothing more is told, from this turn on; what waits to go out of the feeds is dropped."""
        self._end(EXPELLED)
        self._close_session()

    async def run(self) -> None:
        """Returns once the connection is over; raises VanishedError."""
        try:
            async with trio.open_nursery() as nursery:
                await send(self._stream, self._upgrade.accept, self._limits.send_seconds)
                written = trio.Event()
                nursery.start_soon(self._write, written)
                nursery.start_soon(self._watch)
                async with trio.open_nursery() as calls:
                    calls.start_soon(self._start_calls, calls)
                    with self._reading:
                        await self._read()
                    self._give_up_waiting()
                    if self._code is None:
                        calls.cancel_scope.cancel()
                self._close_session()
                self._say_goodbye()
                await written.wait()
                await self._await_goodbye()
                nursery.cancel_scope.cancel()
        finally:
            self._close_session()

    def _close_session(self) -> None:
        """The node stops where it says so, and where this task is cancelled from outside."""
        is_cancelled = trio.current_effective_deadline() == -math.inf
        self._session.close(is_stopping=is_cancelled or self._dispatcher.is_draining)

    def _is_open(self) -> bool:
        return self._protocol.state is ConnectionState.OPEN

    def _end(self, code: int) -> None:
        if self._code is None:
            self._code = code
            self._closed(REASONS[code].partition(":")[0])
        self._reading.cancel()

    def _say_goodbye(self) -> None:
        code = CLOSED_NORMALLY if self._code is None else self._code
        last = b""
        if self._is_open():
            last = self._protocol.send(CloseConnection(code=code, reason=REASONS[code] or None))
        self._outbox.finish(last, drop=code in (TOO_SLOW_A_READER, EXPELLED))

    async def _await_goodbye(self) -> None:
        """Waits for the peer's close frame: closing over unread bytes would reset away what we last sent."""
        with trio.move_on_after(self._limits.linger_seconds), suppress(wsproto.utilities.ProtocolError):
            while self._protocol.state is ConnectionState.LOCAL_CLOSING and (data := await receive(self._stream)):
                self._protocol.receive_data(data)
                for _ in self._protocol.events():
                    pass

    async def _write(self, written: trio.Event) -> None:
        while (piece := await self._outbox.take()) is not None:
            await send(self._stream, piece, self._limits.send_seconds)
            if self._upgrade.gather_seconds:
                await self._outbox.gather(self._upgrade.gather_seconds)
        written.set()

    async def _watch(self) -> None:
        """Pings a quiet peer and leaves a silent one; time in which we do not read is not the peer's silence."""
        while True:
            await trio.sleep(self._limits.idle_seconds / 2)
            if not self._is_receiving:
                continue
            if trio.current_time() - self._heard_at >= self._limits.idle_seconds:
                self._end(IDLE)
                return
            if self._is_open():
                self._outbox.offer(self._protocol.send(Ping()))

    async def _read(self) -> None:
        data = self._upgrade.rest
        while True:
            if data:
                try:
                    self._protocol.receive_data(data)
                    for count, event in enumerate(self._protocol.events(), start=1):
                        if not await self._take(event):
                            return
                        if count % PIECES_A_TURN == 0:
                            await trio.lowlevel.checkpoint()
                except wsproto.utilities.RemoteProtocolError as error:
                    hint = error.event_hint
                    if isinstance(hint, CloseConnection):
                        self._outbox.finish(self._protocol.send(hint), drop=False)
                    return
            self._is_receiving = True
            data = await receive(self._stream)
            self._is_receiving = False
            self._heard_at = trio.current_time()
            if not data:
                return

    async def _take(self, event: wsproto.events.Event) -> bool:
        """One event of the peer; False ends the connection."""
        if isinstance(event, TextMessage | BytesMessage):
            self._message += event.data.encode() if isinstance(event, TextMessage) else event.data
            if len(self._message) > self._limits.body_bytes:
                self._end(MESSAGE_TOO_LARGE)
                return False
            if event.message_finished:
                body = bytes(self._message)
                self._message.clear()
                await self._add_waiting(body, JSON if isinstance(event, TextMessage) else MSGPACK)
        elif isinstance(event, Ping):
            await self._outbox.put(self._protocol.send(event.response()))
        elif isinstance(event, CloseConnection):
            self._outbox.finish(self._protocol.send(event.response()), drop=False)
            return False
        return True

    async def _add_waiting(self, body: bytes, codec: Codec) -> None:
        """Lets a message wait for its turn. Reading goes on meanwhile, for pings and the peer's end, but not for ever:
        past the bounds on calls in flight and on waiting bytes it stops, and TCP holds the peer back.
        """
        await self._in_flight.acquire()
        while self._waiting and self._waiting_bytes + len(body) > self._limits.body_bytes:
            await self._waiting_changed.wait()
        self._waiting.append((body, codec))
        self._waiting_bytes += len(body)
        self._note_waiting_changed()

    def _give_up_waiting(self) -> None:
        """What has not started when reading ends never starts; no answer was promised for it."""
        self._waiting.clear()
        self._is_reading = False
        self._note_waiting_changed()

    def _note_waiting_changed(self) -> None:
        self._waiting_changed.set()
        self._waiting_changed = trio.Event()

    async def _start_calls(self, calls: trio.Nursery) -> None:
        """Starts the messages in their order, each once the one before has its place."""
        while True:
            while not self._waiting:
                if not self._is_reading:
                    return
                await self._waiting_changed.wait()
            body, codec = self._waiting.popleft()
            self._waiting_bytes -= len(body)
            self._note_waiting_changed()
            turn = trio.Event()
            calls.start_soon(self._serve, body, codec, turn)
            await turn.wait()

    async def _serve(self, body: bytes, codec: Codec, turn: trio.Event) -> None:
        try:
            reply = await self._dispatcher.handle(body, codec, self._session, turn.set, path=WEBSOCKET_PATH)
            if reply.body is not None and self._is_open():
                await self._outbox.put(self._frame(reply.body, codec))
            for callback in reply.after_answer:
                callback()
        finally:
            turn.set()
            self._in_flight.release()

    def _frame(self, body: bytes, codec: Codec) -> bytes:
        if codec.text:
            return self._protocol.send(TextMessage(data=body.decode()))
        return self._protocol.send(BytesMessage(data=body))
