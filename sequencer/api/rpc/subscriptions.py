"""Feeds: a sequence number on every message, a snapshot or the missed messages on every (re)subscription."""

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import trio

from sequencer.api.rpc.errors import (
    ALREADY_SUBSCRIBED,
    NO_CHANNEL,
    NOT_STREAMING,
    NOT_SUBSCRIBED,
    PRIVATE,
    TOO_MANY_SUBSCRIPTIONS,
    CallError,
)
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call, Codec, Push, Session, Subscriber, to_plain
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.schema.subscriptions import NOTIFICATION, Subscribe, Subscribed, Unsubscribe, Unsubscribed
from sequencer.schema.writing import Writer, to_json, writer

Snapshot = Callable[[], object]

# What a message that is held costs beside its bytes.
_MESSAGE_BYTES: Final = 64


class Channel(msgspec.Struct, frozen=True):
    """What is told on a channel, or, where `name` ends in a colon, on each of a family that goes on with a key."""

    name: str
    description: str
    snapshot: Any
    message: Any


class Written(msgspec.Struct, frozen=True):
    """A channel's own types as they travel; a channel that is not declared is told as it is."""

    snapshot: Writer
    message: Writer


_AS_IT_IS: Final = Written(writer(Any), writer(Any))


class Subscription:
    """One connection's place in one feed; holds messages back until the answer to its subscribe is on its way."""

    def __init__(self, subscriber: Subscriber, codec: Codec, most_held: int) -> None:
        self._subscriber = subscriber
        self._codec = codec
        self._held: deque[Push] | None = deque(maxlen=most_held)

    def deliver(self, message: Push) -> None:
        """Queues a message, or keeps it for `release`; what does not fit makes the connection close, never a gap."""
        if self._held is None:
            self._subscriber.push(message, self._codec, self)
        elif self._held and self._held[-1].is_whole and message.is_whole:
            self._held[-1] = message
        elif len(self._held) == self._held.maxlen:
            self._subscriber.overflow()
        else:
            self._held.append(message)

    def release(self, *first: Push) -> None:
        """Sends what comes first and what was held back; from here on messages go out as they come."""
        held, self._held = self._held or (), None
        for message in (*first, *held):
            self._subscriber.push(message, self._codec, self)


class Rings:
    """What all rings hold together: where it is too much, the one that has been silent longest is emptied.

    Who has read that channel to its end loses nothing.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held: OrderedDict[Feed, int] = OrderedDict()
        self.bytes = 0

    def spoken(self, feed: "Feed", held_bytes: int) -> None:
        """A feed has told something, and its ring holds so much now."""
        self.let_go(feed)
        self._held[feed] = held_bytes
        self.bytes += held_bytes
        while self.bytes > self._most_bytes:
            oldest = next(iter(self._held))
            self.let_go(oldest)
            oldest.empty()

    def let_go(self, feed: "Feed") -> None:
        """A feed's ring holds nothing."""
        self.bytes -= self._held.pop(feed, 0)


class Feed:
    """One channel. Invariant: sequences are consecutive, and the ring holds the newest of them without a gap."""

    def __init__(
        self,
        name: str,
        epoch: str,
        snapshot: Snapshot,
        limits: Limits,
        rings: Rings,
        written: Written = _AS_IT_IS,
    ) -> None:
        self.name = name
        self._rings = rings
        self._written = written
        self.epoch = epoch
        self.sequence = 0
        self._snapshot = snapshot
        self._limits = limits
        self._ring: deque[bytes] = deque()
        self._ring_bytes = 0
        self.subscriptions: dict[Session, Subscription] = {}

    def publish(self, data: object, *, is_whole: bool = False) -> int:
        """Sends `data` to every subscriber as the next message; gives its sequence. Never waits.

        is_whole: it is the state; who reads slowly is told the newest of them alone.
        """
        self.sequence += 1
        encoded = to_json(self._written.message(data))
        head = {"channel": self.name, "epoch": self.epoch, "sequence": self.sequence}
        params = to_json(head)[:-1] + b',"data":' + encoded + b"}"
        message = Push(
            b'{"jsonrpc":"2.0","method":"' + NOTIFICATION.encode() + b'","params":' + params + b"}", is_whole=is_whole
        )
        self._ring.append(params)
        self._ring_bytes += len(params)
        while len(self._ring) > self._limits.ring_messages or self._ring_bytes > self._limits.ring_bytes:
            self._ring_bytes -= len(self._ring.popleft())
        self._rings.spoken(self, self._ring_bytes + len(self._ring) * _MESSAGE_BYTES)
        for subscription in list(self.subscriptions.values()):
            subscription.deliver(message)
        return self.sequence

    def skip(self) -> None:
        """Something has changed that nobody was told: whoever comes again begins with a snapshot."""
        self.sequence += 1
        self._rings.let_go(self)
        self.empty()

    def empty(self) -> None:
        """Forgets what it told: whoever has missed some of it begins with a snapshot."""
        self._ring.clear()
        self._ring_bytes = 0

    def state_since(self, since: int | None, epoch: str | None) -> Subscribed:
        """The missed messages if the ring still holds all of them, else a snapshot."""
        first_held = self.sequence - len(self._ring) + 1
        if since is not None and epoch == self.epoch and first_held - 1 <= since <= self.sequence:
            missed = list(self._ring)[since - first_held + 1 :]
            updates = [msgspec.json.decode(params) for params in missed]
            return Subscribed(self.name, self.epoch, self.sequence, None, updates)
        snapshot = to_plain(self._written.snapshot(self._snapshot()))
        return Subscribed(self.name, self.epoch, self.sequence, snapshot, [])


class Feeds:
    """All channels of one node. `epoch` must differ between two runs of the node."""

    def __init__(self, epoch: str, limits: Limits, metrics: ApiMetrics) -> None:
        self._epoch = epoch
        self._limits = limits
        self._metrics = metrics
        self._feeds: dict[str, Feed] = {}
        self.rings = Rings(limits.rings_bytes)
        self._written: dict[str, Written] = {}
        self.channels: list[Channel] = []
        self._families: dict[str, Callable[[str], Snapshot | None]] = {}
        self._opened_count = 0
        self._subscription_count = 0
        # Whether all that snapshots show was told; who tells says so, and calls `settle` once it is.
        self.is_told: Callable[[], bool] = lambda: True
        # Raises CallError where a connection may not be told a channel.
        self.admit: Callable[[str, Session], None] = lambda channel, session: None
        # Who has come while it was not.
        self._joining: dict[trio.Event, Callable[[], None]] = {}

    def declare(self, *channels: Channel) -> None:
        """Says what is told on channels, before they are opened."""
        self.channels += channels
        self._written |= {
            channel.name: Written(writer(channel.snapshot), writer(channel.message)) for channel in channels
        }

    def open(self, channel: str, snapshot: Snapshot) -> Feed:
        """A channel that is there from now on; `snapshot()` gives its state as of the last published message."""
        assert channel not in self._feeds, f"channel {channel} is opened twice"
        self._opened_count += 1
        prefix, colon, _ = channel.partition(":")
        written = self._written.get(prefix + colon, _AS_IT_IS)
        feed = Feed(channel, f"{self._epoch}.{self._opened_count}", snapshot, self._limits, self.rings, written)
        self._feeds[channel] = feed
        return feed

    def family(self, prefix: str, find: Callable[[str], Snapshot | None]) -> None:
        """Channels `prefix` + key that open when first asked for; `find(key)` gives None where there is none."""
        self._families[prefix] = find

    def is_open(self, channel: str) -> bool:
        """Whether anybody has asked for a channel: for a closed one no message has to be made."""
        return channel in self._feeds

    def publish(self, channel: str, data: object) -> None:
        """Publishes to a channel if it is open; a member of a family that nobody has asked for costs nothing."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.publish(data)

    def changed(self, channel: str) -> bool:
        """Whether anybody listens to a channel of states, whose state has changed: then a message is to be made.

        Where nobody does, whoever comes begins with a snapshot.
        """
        feed = self._feeds.get(channel)
        if feed is not None and not feed.subscriptions:
            feed.skip()
        return feed is not None and bool(feed.subscriptions)

    def tell(self, channel: str, data: object, *, is_whole: bool = True) -> None:
        """Publishes a state; is_whole: not where the message says more than that, which nobody may miss."""
        self._feeds[channel].publish(data, is_whole=is_whole)

    def sequence(self, channel: str) -> int:
        """That of the last message of an open channel."""
        return self._feeds[channel].sequence

    def heard(self, prefix: str) -> list[str]:
        """The keys of a family's channels that somebody listens to."""
        names = [name for name, feed in self._feeds.items() if feed.subscriptions and name.startswith(prefix)]
        return [name.removeprefix(prefix) for name in names]

    def review(self, prefix: str) -> None:
        """Ends the connections that may not be told any more what they follow of a family."""
        for key in self.heard(prefix):
            feed = self._feeds[prefix + key]
            for session in list(feed.subscriptions):
                try:
                    self.admit(feed.name, session)
                except CallError:
                    assert session.subscriber is not None, "who follows a channel can be told it"
                    session.subscriber.expel()

    @method(
        "catenary_subscribe",
        "Follows a channel: its state now, or what was missed since a sequence, then every message.",
        errors=(NO_CHANNEL, NOT_STREAMING, ALREADY_SUBSCRIBED, TOO_MANY_SUBSCRIPTIONS, PRIVATE),
    )
    async def subscribe(self, params: Subscribe, call: Call) -> Subscribed:
        """Invariant: a snapshot shows nothing that a message behind it tells again, nor what may yet be lost."""
        if self.is_told():
            return self._join(params, call)
        answers: list[Subscribed | CallError] = []
        has_joined = trio.Event()
        self._joining[has_joined] = partial(self._join_late, params, call, answers)
        try:
            await has_joined.wait()
        finally:
            self._joining.pop(has_joined, None)
        if isinstance(answers[0], CallError):
            raise answers[0]
        return answers[0]

    def settle(self) -> None:
        """All that is shown was told: whoever came meanwhile joins, in this turn."""
        joining, self._joining = self._joining, {}
        for has_joined, join in joining.items():
            join()
            has_joined.set()

    def _join_late(self, params: Subscribe, call: Call, answers: list[Subscribed | CallError]) -> None:
        try:
            answers.append(self._join(params, call))
        except CallError as error:
            answers.append(error)

    def _join(self, params: Subscribe, call: Call) -> Subscribed:
        session, subscriber = call.session, call.session.subscriber
        if subscriber is None:
            raise CallError(NOT_STREAMING)
        if len(session.leave_by_channel) >= self._limits.connection_subscriptions:
            raise CallError(TOO_MANY_SUBSCRIPTIONS, data={"most": self._limits.connection_subscriptions})
        if self._subscription_count >= self._limits.node_subscriptions:
            raise CallError(TOO_MANY_SUBSCRIPTIONS)
        self.admit(params.channel, session)
        feed = self._find(params.channel)
        if session in feed.subscriptions:
            raise CallError(ALREADY_SUBSCRIBED, data={"channel": feed.name})
        state = feed.state_since(params.since, params.epoch)
        subscription = Subscription(subscriber, call.codec, self._limits.queue_messages)
        feed.subscriptions[session] = subscription
        self._subscription_count += 1
        self._metrics.subscriptions.inc()
        session.leave_by_channel[feed.name] = lambda: self._leave(feed, session)
        call.after_answer.append(subscription.release)
        return state

    @method(
        "catenary_unsubscribe",
        "Leaves a channel: no message of it follows the answer.",
        errors=(NOT_STREAMING, NOT_SUBSCRIBED),
    )
    async def unsubscribe(self, params: Unsubscribe, call: Call) -> Unsubscribed:
        if call.session.subscriber is None:
            raise CallError(NOT_STREAMING)
        feed = self._feeds.get(params.channel)
        if feed is None or call.session not in feed.subscriptions:
            raise CallError(NOT_SUBSCRIBED)
        self._leave(feed, call.session)
        return Unsubscribed(feed.name, feed.epoch, feed.sequence)

    def _leave(self, feed: Feed, session: Session) -> None:
        del feed.subscriptions[session]
        del session.leave_by_channel[feed.name]
        self._subscription_count -= 1
        self._metrics.subscriptions.dec()

    def _find(self, channel: str) -> Feed:
        feed = self._feeds.get(channel)
        if feed is not None:
            return feed
        for prefix, find in self._families.items():
            snapshot = find(channel.removeprefix(prefix)) if channel.startswith(prefix) else None
            if snapshot is not None:
                self._make_room()
                return self.open(channel, snapshot)
        raise CallError(NO_CHANNEL)

    def _make_room(self) -> None:
        """Closes the oldest followed-by-nobody channel; its next life gets another epoch, so nobody misses a gap."""
        if len(self._feeds) < self._limits.node_channels:
            return
        for name, feed in self._feeds.items():
            if not feed.subscriptions and any(name.startswith(prefix) for prefix in self._families):
                self.rings.let_go(feed)
                del self._feeds[name]
                return
        raise CallError(TOO_MANY_SUBSCRIPTIONS)
