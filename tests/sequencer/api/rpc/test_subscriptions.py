"""Feeds and bounds without sockets."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from sequencer.api.rpc.errors import ALREADY_SUBSCRIBED, CallError
from sequencer.api.rpc.jsonrpc import JSON, MSGPACK, Call, Codec, Push, Session
from sequencer.api.rpc.limits import Limits, TokenBucket
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.rpc.subscriptions import Feed, Feeds, Rings, Subscription
from sequencer.schema.subscriptions import Subscribe
from sequencer.schema.writing import to_json


class Recorder:
    """A subscriber that keeps what it gets."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.has_overflowed = False

    def push(self, message: Push, codec: Codec, place: object) -> None:
        self.sequences.append(msgspec.json.decode(message.encoded(codec))["params"]["sequence"])

    def overflow(self) -> None:
        self.has_overflowed = True


@given(published=st.integers(0, 30), since=st.integers(-3, 40), ring=st.integers(1, 12))
def test_a_replay_is_whole_or_a_snapshot(published: int, since: int, ring: int) -> None:
    feed = Feed("ticks", "run.1", lambda: {"as_of": feed.sequence}, Limits(ring_messages=ring), Rings(10**6))
    for number in range(published):
        feed.publish(number)
    state = feed.state_since(since, "run.1")
    assert state.sequence == published
    if max(0, published - ring) <= since <= published:
        assert state.snapshot is None
        assert [update["sequence"] for update in state.updates] == list(range(since + 1, published + 1))
    else:
        assert (state.snapshot, state.updates) == ({"as_of": published}, [])


@pytest.mark.parametrize("epoch", [None, "run.2"])
def test_a_sequence_of_another_life_gets_a_snapshot(epoch: str | None) -> None:
    feed = Feed("ticks", "run.1", lambda: "state", Limits(), Rings(10**6))
    feed.publish(1)
    assert feed.state_since(1, epoch).snapshot == "state"


def test_a_message_is_written_and_framed_once_for_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    framed: list[bytes] = []
    sent: list[bytes] = []

    def count(value: object) -> bytes:
        written.append(value)
        return to_json(value)

    def frame(body: bytes, codec: Codec) -> bytes:
        framed.append(body)
        return b"frame " + body

    class Connection:
        def push(self, message: Push, codec: Codec, place: object) -> None:
            sent.append(message.framed(codec, frame))

    monkeypatch.setattr("sequencer.api.rpc.subscriptions.to_json", count)
    feed = Feed("ticks", "run.1", dict, Limits(), Rings(10**6))
    for codec in (*[JSON] * 10, *[MSGPACK] * 10):
        session = Session(TokenBucket(1, 9, lambda: 0.0))
        feed.subscriptions[session] = Subscription(cast(Any, Connection()), codec, 9)
        feed.subscriptions[session].release()
    feed.publish({"price": 1})
    # Its head and its data, and a frame of each shape.
    assert (len(written), len(framed), len(sent)) == (2, 2, 20)
    assert len({id(one) for one in sent}) == 2
    feed.publish({"price": 2})
    assert (len(written), len(framed), len(sent)) == (4, 4, 40)


def test_the_ring_is_bounded_in_bytes() -> None:
    feed = Feed("ticks", "run.1", lambda: "state", Limits(ring_bytes=1_000), Rings(10**6))
    for _ in range(20):
        feed.publish("x" * 200)
    assert feed.state_since(19, "run.1").snapshot is None
    assert feed.state_since(10, "run.1").snapshot == "state"


def test_messages_before_the_answer_are_held_back_and_bounded() -> None:
    recorder = Recorder()
    subscription = Subscription(recorder, JSON, most_held=2)
    pushes = [Push(b'{"params":{"sequence":%d}}' % number) for number in range(4)]
    subscription.deliver(pushes[0])
    subscription.deliver(pushes[1])
    assert recorder.sequences == []
    subscription.deliver(pushes[2])
    assert recorder.has_overflowed
    subscription.release()
    subscription.deliver(pushes[3])
    assert recorder.sequences == [0, 1, 3]


def test_of_states_that_wait_for_the_answer_the_newest_is_kept() -> None:
    recorder = Recorder()
    subscription = Subscription(recorder, JSON, most_held=2)
    for number, is_whole in enumerate((True, True, False, True, True)):
        subscription.deliver(Push(b'{"params":{"sequence":%d}}' % number, is_whole=is_whole))
    assert recorder.has_overflowed
    subscription.release()
    assert recorder.sequences == [1, 2]


def test_what_nobody_was_told_ends_the_replay() -> None:
    feed = Feed("ticks", "run.1", lambda: "state", Limits(), Rings(10**6))
    feed.publish(1)
    feed.skip()
    assert feed.state_since(1, "run.1").snapshot == "state"
    assert feed.state_since(2, "run.1").snapshot is None
    feed.publish(3)
    assert [update["sequence"] for update in feed.state_since(2, "run.1").updates] == [3]


@pytest.mark.trio
async def test_who_comes_while_more_is_shown_than_was_told_joins_once_it_is_told() -> None:
    feeds, is_told, answers = Feeds("run", Limits(), ApiMetrics(CollectorRegistry())), [False], list[Any]()
    feeds.is_told = lambda: is_told[0]
    feed = feeds.open("ticks", lambda: feed.sequence)

    async def join(session: Session) -> None:
        call = cast(Call, SimpleNamespace(session=session, codec=JSON, after_answer=[]))
        try:
            answers.append((await feeds.subscribe(Subscribe("ticks"), call)).snapshot)
        except CallError as error:
            answers.append(error.error)

    given_up, joined = (Session(TokenBucket(1, 9, lambda: 0.0), subscriber=Recorder()) for _ in range(2))
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as gone:
                gone.start_soon(join, given_up)
                for _ in range(2):
                    nursery.start_soon(join, joined)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert answers == []
        feed.publish("late")
        is_told[0] = True
        feeds.settle()
    # Of the two calls of one connection either may have come first.
    assert sorted(answers, key=str) == sorted([1, ALREADY_SUBSCRIBED], key=str)
    assert list(feed.subscriptions) == [joined]
    await join(given_up)
    assert answers[-1] == 1


def test_many_channels_with_long_messages_hold_no_more_than_all_may() -> None:
    limits = Limits(rings_bytes=20_000, node_channels=40)
    feeds = Feeds("run", limits, ApiMetrics(CollectorRegistry()))
    feeds.family("account.", lambda key: lambda: f"state of {key}")
    for number in range(40):
        feeds._find(f"account.{number}")
    for _ in range(3):
        for number in range(40):
            feeds.publish(f"account.{number}", "x" * 1_000)
            held = sum(feed._ring_bytes for feed in feeds._feeds.values())
            assert held <= feeds.rings.bytes <= 20_000
    silent, newest = feeds._feeds["account.0"], feeds._feeds["account.39"]
    # Who has missed something of a channel that was silent begins with its state; who has not misses nothing.
    assert silent.state_since(2, silent.epoch).snapshot == "state of 0"
    up_to_date = silent.state_since(3, silent.epoch)
    assert (up_to_date.snapshot, up_to_date.updates) == (None, [])
    assert [update["sequence"] for update in newest.state_since(2, newest.epoch).updates] == [3]
    feeds.publish("account.0", "y")
    assert [update["sequence"] for update in silent.state_since(3, silent.epoch).updates] == [4]
    # A channel that makes room for another, and one that is not told, take their part along.
    before = feeds.rings.bytes
    feeds._find("account.40")
    assert "account.0" not in feeds._feeds
    assert feeds.rings.bytes < before
    before = feeds.rings.bytes
    newest.skip()
    assert feeds.rings.bytes < before


def test_a_message_that_is_longer_than_all_may_hold_is_told_and_not_held() -> None:
    feeds = Feeds("run", Limits(rings_bytes=500), ApiMetrics(CollectorRegistry()))
    feed = feeds.open("ticks", lambda: "state")
    recorder = Recorder()
    feed.subscriptions[Session(TokenBucket(1, 9, lambda: 0.0), subscriber=recorder)] = told = Subscription(
        recorder, JSON, 9
    )
    told.release()
    feed.publish("x" * 1_000)
    assert (recorder.sequences, feeds.rings.bytes) == ([1], 0)
    assert feed.state_since(0, feed.epoch).snapshot == "state"


def test_publishing_where_nobody_looked_costs_nothing_and_a_second_life_has_another_epoch() -> None:
    feeds = Feeds("run", Limits(), ApiMetrics(CollectorRegistry()))
    feeds.publish("account.1", {"x": 1})
    assert feeds.open("ticks", lambda: None).epoch == "run.1"
    assert feeds.open("books", lambda: None).epoch == "run.2"
    with pytest.raises(AssertionError):
        feeds.open("ticks", lambda: None)


def test_a_token_bucket_refills_and_never_overfills() -> None:
    now = [0.0]
    bucket = TokenBucket(rate=2, burst=2, clock=lambda: now[0])
    for _ in range(2):
        assert bucket.wait_seconds() == 0
        bucket.take()
    assert bucket.wait_seconds() == 0.5
    with pytest.raises(AssertionError):
        bucket.take()
    now[0] += 0.5
    assert bucket.wait_seconds() == 0
    now[0] += 1_000
    assert bucket.wait_seconds() == 0
    bucket.take()
    bucket.take()
    assert bucket.wait_seconds() == 0.5
