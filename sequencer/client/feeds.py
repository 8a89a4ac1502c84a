"""Channels of a node over one WebSocket that comes back: what was missed is told, and where it cannot be, that is."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import msgspec
import trio

from sequencer.client.access import ACCESS, CHALLENGE, Identify, Identity, decoded, hidden_account
from sequencer.client.errors import Rejected, rejection
from sequencer.client.socket import Cut, Socket, connected
from sequencer.schema.access import ChallengeView
from sequencer.schema.channels import is_whole, told_on
from sequencer.schema.subscriptions import NOTIFICATION, Subscribed
from sequencer.schema.writing import to_wire

# A connection that is silent for so long is asked whether it is there, and given up after as long again.
QUIET_SECONDS: Final = 30.0
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
# What a node says to a subscription that another time may succeed.
_LATER: Final = frozenset(("RATE_LIMITED", "TOO_MANY_SUBSCRIPTIONS", "SHUTTING_DOWN", "NOT_READY", "TIMEOUT"))
_ALIVE: Final = 0


class Opened(msgspec.Struct, frozen=True):
    """A channel's whole state as of `sequence`, of the schema's type."""

    channel: str
    epoch: str
    sequence: int
    data: Any


class Told(msgspec.Struct, frozen=True):
    """The next message of a channel, of the schema's type; its sequence is the one before and one.

    Of a channel that tells states some may be left out: each message is all of it.
    """

    channel: str
    epoch: str
    sequence: int
    data: Any


class Gap(msgspec.Struct, frozen=True):
    """Messages behind this sequence are lost for good: the node no longer holds them, or began anew. Opened follows."""

    channel: str
    epoch: str
    sequence: int


class Away(msgspec.Struct, frozen=True):
    """The connection is gone; it is tried again after the pause, and what was missed is asked for."""

    why: str
    pause_seconds: float


Frame: TypeAlias = Opened | Told | Gap | Away


class _Message(msgspec.Struct, frozen=True):
    """Whatever comes: an answer by its id, or a message of a feed."""

    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: dict[str, Any] | None = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()


class _Update(msgspec.Struct, frozen=True):
    channel: str
    epoch: str
    sequence: int
    data: msgspec.Raw


class Feeds:
    """`async for frame in feeds`: of all channels, each one's frames in order, none twice and none left out unsaid.

    Nothing runs beside the loop: a reader that is too slow is closed by the node, and goes on where it stopped.
    Rejected where a node knows no such channel, Misfit where it speaks another version.
    """

    def __init__(
        self,
        url: str,
        channels: Sequence[str],
        *,
        identify: Identify | None = None,
        shake: Callable[[], float] = random.random,
    ) -> None:
        """identify: who listens, where a node tells an account's channels to nobody else.

        shake: between 0 and 1, so that a thousand readers of a node that starts anew do not come at once.
        """
        self._url = url
        self._types = {channel: told_on(channel) for channel in channels}
        self._shake = shake
        self._last: dict[str, tuple[str, int]] = {}
        self._ready: deque[Frame] = deque()
        self._asked: dict[int, str] = {}
        self._identify = identify
        self._known: dict[int, Identity] = {}
        # On this connection: channels that are told once a key is shown, accounts whose key was, and what is asked.
        self._hidden: list[tuple[str, int]] = []
        self._shown: set[int] = set()
        self._showing: set[int] = set()
        self._challenged = 0
        self._challenge: ChallengeView | None = None
        self._calls = _ALIVE
        self._stack = AsyncExitStack()
        self._socket: Socket | None = None
        self._pause = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        while not self._ready:
            try:
                await self._step()
            except Cut as cut:
                await self._stack.aclose()
                self._socket = None
                self._pause = min(
                    max(2 * self._pause, FIRST_PAUSE_SECONDS, 2 * cut.after_seconds), LONGEST_PAUSE_SECONDS
                )
                self._ready.append(Away(str(cut), self._pause))
        return self._ready.popleft()

    @property
    def channels(self) -> int:
        """How many it follows."""
        return len(self._types)

    async def follow(self, channel: str) -> None:
        """One channel more, also while another task reads."""
        if channel in self._types:
            return
        self._types[channel] = told_on(channel)
        if self._socket is not None:
            try:
                await self._subscribe(self._socket, channel)
            except Cut:
                # The next step finds the same, and asks for all channels on the next connection.
                return

    async def _step(self) -> None:
        if self._socket is None:
            # Half of the pause and as much again by chance.
            await trio.sleep(self._pause * (1 + self._shake()) / 2)
            self._asked.clear()
            self._hidden.clear()
            self._shown.clear()
            self._showing.clear()
            self._challenged, self._challenge = 0, None
            socket = await self._stack.enter_async_context(connected(self._url))
            asked: set[str] = set()
            # Meanwhile some may be added.
            while left := [channel for channel in self._types if channel not in asked]:
                asked.add(left[0])
                await self._subscribe(socket, left[0])
            self._socket = socket
        self._take(await self._next(self._socket))
        if self._hidden:
            await self._show(self._socket)

    async def _show(self, socket: Socket) -> None:
        """Asks for a challenge, and once it is there shows the keys and asks for the channels again."""
        assert self._identify is not None, "nothing is hidden from who shows nothing"
        if self._challenge is None:
            for _, account in self._hidden:
                # Before the challenge, which stands for a minute: whoever is asked for a password takes his time.
                if account not in self._known:
                    self._known[account] = await self._identify(account)
            if not self._challenged:
                self._challenged = await self._send(socket, CHALLENGE, {})
            return
        ready = [(channel, account) for channel, account in self._hidden if account in self._known]
        self._hidden = [hidden for hidden in self._hidden if hidden not in ready]
        for channel, account in ready:
            if account not in self._shown:
                self._shown.add(account)
                shown = self._known[account].shown(self._url, account, self._challenge)
                self._showing.add(await self._send(socket, ACCESS, to_wire(shown)))
            await self._subscribe(socket, channel)
        self._challenged, self._challenge = 0, None

    async def _send(self, socket: Socket, method: str, params: dict[str, Any]) -> int:
        self._calls += 1
        await socket.send(_call(self._calls, method, params))
        return self._calls

    async def _subscribe(self, socket: Socket, channel: str) -> None:
        self._calls += 1
        self._asked[self._calls] = channel
        params: dict[str, Any] = {"channel": channel}
        if channel in self._last:
            params["epoch"], params["since"] = self._last[channel]
        await socket.send(_call(self._calls, "catenary_subscribe", params))

    async def _next(self, socket: Socket) -> str:
        with trio.move_on_after(QUIET_SECONDS):
            return await socket.receive()
        await socket.send(_call(_ALIVE, "catenary_status", {}))
        with trio.move_on_after(QUIET_SECONDS):
            return await socket.receive()
        raise Cut(f"it has said nothing for {2 * QUIET_SECONDS:g} s")

    def _take(self, text: str) -> None:
        came: _Message = self._decoded(text.encode(), _Message)
        if came.method == NOTIFICATION:
            self._tell(self._decoded(came.params, _Update))
        elif came.id is None and came.error is not None:
            # A message that was not read: which one, nobody says.
            self._refused(rejection(came.error))
        elif came.id in self._asked:
            channel = self._asked.pop(came.id)
            if came.error is not None:
                self._hide(channel, rejection(came.error))
                return
            self._pause = 0.0
            self._answered(channel, self._decoded(came.result, Subscribed))
        elif came.error is not None and (came.id in self._showing or came.id == self._challenged):
            self._refused(rejection(came.error))
        elif came.id == self._challenged:
            self._challenge = self._decoded(came.result, ChallengeView)

    def _hide(self, channel: str, refusal: Rejected) -> None:
        """A channel that is not told: it waits for a key, where there is one that was not shown yet."""
        account = hidden_account(refusal)
        if account is None or self._identify is None or account in self._shown:
            self._refused(refusal)
        else:
            self._hidden.append((channel, account))

    def _refused(self, refusal: Rejected) -> None:
        if refusal.rejection in _LATER:
            wait_ms = refusal.data.get("retry_after_ms")
            raise Cut(str(refusal), wait_ms / 1_000 if isinstance(wait_ms, int) else 0.0)
        raise refusal

    def _answered(self, channel: str, answer: Subscribed) -> None:
        known = self._last.get(channel)
        if answer.snapshot is None and known is not None and known[0] == answer.epoch:
            for update in answer.updates:
                self._tell(self._converted(update, _Update))
            return
        if known is not None:
            self._ready.append(Gap(channel, *known))
        self._last[channel] = (answer.epoch, answer.sequence)
        data = self._converted(answer.snapshot, self._types[channel][0])
        self._ready.append(Opened(channel, answer.epoch, answer.sequence, data))

    def _tell(self, update: _Update) -> None:
        epoch, last = self._last.get(update.channel, ("", 0))
        is_next = update.sequence > last if is_whole(update.channel) else update.sequence == last + 1
        if update.channel not in self._types or epoch != update.epoch or not is_next:
            # Nothing is guessed of what lies between: it is asked for.
            raise Cut(f"message {update.sequence} of {update.channel} does not follow the one before")
        self._last[update.channel] = (update.epoch, update.sequence)
        data = self._decoded(update.data, self._types[update.channel][1])
        self._ready.append(Told(update.channel, update.epoch, update.sequence, data))

    def _decoded(self, text: bytes | msgspec.Raw, kind: Any) -> Any:
        return decoded(text, kind, self._url)

    def _converted(self, value: Any, kind: Any) -> Any:
        return self._decoded(msgspec.json.encode(value), kind)


def _call(number: int, method: str, params: dict[str, Any]) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).decode()
