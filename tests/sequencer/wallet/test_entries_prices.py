"""What keeps a close or leave from ending without a price while its owner waits: what is believed, and what is paid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.codec import calls
from l1_bridge.codec.batch import BridgeId
from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.signing.signatures import address_of
from prover.stf import codes, constants
from sequencer.client.client import NodeClient
from sequencer.client.errors import NodeUnreachable
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from sequencer.schema.answers import ReportRound
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.entries import (
    PRICELESS_SECONDS,
    AccountRecord,
    Entered,
    Entries,
    Forced,
    Prices,
    tick_time,
)
from sequencer.wallet.errors import InsufficientFunds, NotYet
from sequencer.wallet.trust import ListedMarket, Venue
from sequencer.wallet.verified import WalletOptions
from tests.sequencer.answers import answer
from tests.sequencer.node_world import PRICES, signed_tick
from tests.sequencer.wallet.test_bridge import KEY, L1, Settled
from tests.sequencer.wallet.test_entries import HOLDING, INCLUSION, LEAVE, LEFT, SENT_AT, hint, known, posted
from tests.sequencer.wallet.test_typed_data import VENUE as PLAIN

pytestmark = pytest.mark.trio

KEYS = devnet_signer_keys()
VENUE = msgspec.structs.replace(
    PLAIN,
    oracle_signers=tuple(address_of(key) for key in KEYS),
    oracle_quorum=DEVNET_QUORUM,
    markets=tuple(ListedMarket(index, name, 5, 100, 450, 50_000) for index, name in enumerate(("BTC", "ETH", "SOL"))),
)
BEGAN = calls.BatchRecord(3, bytes(32), bytes(32), 1, 1, 7, 0)
STEP = constants.TICK_STEP // 1_000


def tick(now: int, keys: Sequence[bytes] = KEYS[:DEVNET_QUORUM], domain: bytes = VENUE.domain) -> bytes:
    """What a quorum signs at the newest grid time of these seconds."""
    return signed_tick(domain, list(keys), 1_000 * (now // STEP * STEP), list(PRICES), [0, 0, 0])


class Source(NodeClient):
    """Gives the tick of `age` seconds ago, or something else."""

    def __init__(self, clock: "Scene", age: int = 0, said: Any = None) -> None:
        super().__init__("http://source")
        self.clock, self.age, self.said, self.asked = clock, age, said, 0

    async def reports(self, limit: int = 10) -> list[ReportRound]:
        self.asked += 1
        if isinstance(self.said, Exception):
            raise self.said
        made = tick(self.clock.now - self.age) if self.said is None else self.said
        return [answer(ReportRound, tick="0x" + made.hex()), answer(ReportRound, tick="")]


class Scene:
    """An L1 that is looked at every twelve seconds behind an entry, and what is posted and entered there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = SENT_AT
        self.posted: list[bytes] | Exception = []
        self.entered: list[tuple[int, bytes]] = []
        self.failure: Exception | None = None
        self.told: list[str] = []
        self.read = 0

        async def posted_ticks(l1: L1Client, bridge: BridgeId, record: calls.BatchRecord, block: int) -> list[bytes]:
            assert (bridge.address, record, block) == (VENUE.rollup, BEGAN, 10)
            self.read += 1
            if isinstance(self.posted, Exception):
                raise self.posted
            return self.posted

        monkeypatch.setattr("prover.history.outcomes.posted_ticks", posted_ticks)

    def prices(self, *sources: NodeClient) -> Prices:
        """Looked after by an owner who asks these."""
        return Prices(L1Client("http://l1"), VENUE, (BEGAN, 9), sources, self.enter, self.told.append)

    async def enter(self, given: bytes) -> bytes:
        """Pays, or fails."""
        self.entered.append((self.now - SENT_AT, given))
        if self.failure is not None:
            raise self.failure
        return bytes(32)

    async def look(self, prices: Prices, until: int, posting: int = 0) -> None:
        """Time passes; a tick is posted every so many seconds, if any."""
        while self.now - SENT_AT < until:
            self.now += 12
            if posting and isinstance(self.posted, list) and (self.now - SENT_AT) % posting < 12:
                self.posted.append(tick(self.now))
            await prices.look(LEAVE, self.now)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_a_tick_is_entered_every_twenty_minutes_and_each_is_told(scene: Scene) -> None:
    await scene.look(scene.prices(Source(scene)), INCLUSION)
    at = [seconds for seconds, _ in scene.entered]
    assert len(at) == 2
    assert all(PRICELESS_SECONDS <= later - before <= 1_800 - 300 for before, later in zip([0, *at], at, strict=False))
    assert [tick_time(VENUE, given, 1_000 * scene.now) for _, given in scene.entered] == [
        1_000 * ((SENT_AT + seconds) // STEP * STEP) for seconds in at
    ]
    assert len(scene.told) == 2
    assert all("leave does not end without one" in said and "--no-ticks" in said for said in scene.told)


async def test_where_ticks_are_posted_nothing_is_paid_or_told(scene: Scene) -> None:
    source = Source(scene)
    await scene.look(scene.prices(source), INCLUSION, posting=600)
    assert (scene.entered, scene.told, source.asked) == ([], [], 0)
    # L1's log is read once a price of it is old, and not whenever it is looked at.
    assert 0 < scene.read <= 6


@pytest.mark.parametrize(
    "forged",
    [
        lambda now: tick(now, KEYS[:3] + KEYS[4:6]),
        lambda now: tick(now, KEYS[:1]),
        lambda now: tick(now, domain=bytes(32)),
        lambda now: tick(now)[:-1],
        lambda now: tick(now) + b"\x00",
        lambda now: b"\x07" + tick(now)[1:],
        lambda now: tick(now + 30),
        lambda now: b"\x06",
    ],
    ids=["others", "one alone", "another venue", "short", "long", "no tick", "of tomorrow", "bare"],
)
async def test_what_no_quorum_signed_is_no_price(scene: Scene, forged: Any) -> None:
    """Of a batch on L1 as little as of a source: of that it is said once, and nothing is paid for it."""
    lying = Source(scene)
    lying.said = forged(SENT_AT + 1_212)
    await scene.look(scene.prices(lying), 1_212)
    assert scene.entered == []
    assert len(scene.told) == 1
    assert "none that is young and signed is to be had" in scene.told[0]
    scene.posted = [forged(SENT_AT + 1_272)]
    await scene.look(scene.prices(lying, Source(scene)), 1_272)
    assert len(scene.entered) == 1


async def test_an_old_tick_is_not_entered(scene: Scene) -> None:
    """By its own time an entry behind an old price ends what it is to keep."""
    old = Source(scene, age=PRICELESS_SECONDS + STEP)
    prices = scene.prices(old)
    await scene.look(prices, 3_000)
    assert (scene.entered, len(scene.told)) == ([], 1)
    old.age = PRICELESS_SECONDS - 2 * STEP
    await scene.look(prices, 3_100)
    assert len(scene.entered) == 1


async def test_a_source_that_fails_is_said_once_and_another_one_helps(scene: Scene) -> None:
    silent = Source(scene, said=NodeUnreachable("gone"))
    prices = scene.prices(silent)
    await scene.look(prices, 1_600)
    assert (scene.entered, len(scene.told)) == ([], 1)
    assert silent.asked <= (1_600 - PRICELESS_SECONDS) // 60 + 1
    silent.said = None
    await scene.look(prices, 1_700)
    assert len(scene.entered) == 1


async def test_a_log_that_says_nothing_is_no_price(scene: Scene) -> None:
    scene.posted = L1Unavailable("the L1 node's logs at batch 4: try again")
    await scene.look(scene.prices(Source(scene)), 1_300)
    assert len(scene.entered) == 1
    assert "does not say which prices were posted" in scene.told[0]


async def test_what_was_not_sent_is_tried_again_and_what_may_be_mined_is_not(scene: Scene) -> None:
    scene.failure = InsufficientFunds("the L1 transactions may cost 1 ether")
    await scene.look(scene.prices(Source(scene)), 1_500)
    assert 2 <= len(scene.entered) <= 6
    assert sum("may cost 1 ether" in said for said in scene.told) == 1
    scene.entered.clear()
    scene.now, scene.failure = SENT_AT, NotYet("a transaction was sent and may still be mined")
    await scene.look(scene.prices(Source(scene)), 2_300)
    assert len(scene.entered) == 1


async def test_prices_are_looked_after_until_the_end_and_no_longer(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    entries, _ = known(hint(), proven=posted(HOLDING, count=7))

    async def ends() -> None:
        await trio.sleep(1_500.5)
        entries.proven, entries.done = posted(LEFT), 8

    seen: list[int] = []

    class Looking(Prices):
        async def look(self, entered: Any, now: int) -> None:
            seen.append(now - SENT_AT)

    looking = Looking(L1Client("http://l1"), VENUE, (BEGAN, 9), (), scene.enter, scene.told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends)
        found = await entries.outcome(VENUE, LEAVE, None, looking)
    assert (found.code, found.done) == (codes.OK, True)
    assert seen == list(range(1_501))
    # Queued behind another's it is looked after as well; once its time is over nothing is.
    seen.clear()
    entries, _ = known()
    with pytest.raises(NotYet):
        await entries.outcome(VENUE, LEAVE, 1_510, looking)
    assert seen == list(range(1_501, 1_510))


class Waiting(Entries):
    """Where nothing is waited for: prices are looked after once, twenty minutes behind the entry."""

    given: Prices | None = None

    async def standing(self, venue: Venue) -> tuple[calls.BatchRecord, int]:
        return BEGAN, 9

    async def outcome(self, venue: Venue, entered: Entered, *given: Any) -> Forced:
        _, self.given = given
        if self.given is not None:
            await self.given.look(entered, SENT_AT + PRICELESS_SECONDS + 1)
        return Forced(queue_index=7, transaction_hash="", due_at=0, account=17)


class Paying(Bridge):
    """A bridge of whose transactions only what they are is noted."""

    def __init__(self, node: NodeClient, told: list[str]) -> None:
        l1, options = L1(), WalletOptions(tell=told.append)
        verified = Settled(node, l1, Path("nowhere"), options)
        verified.known = VENUE
        super().__init__(node, l1, verified, KEY.address, KEY, options, Path("nowhere"))
        record = AccountRecord(Path("nowhere"), KEY.address, None)
        self.entries = self.waiting = Waiting(node, l1, KEY.address, told.append, 1.0, record)
        self.queued: list[tuple[bytes, int, int]] = []

    async def _parameters(self, venue: Venue) -> calls.Parameters:
        return DEVNET_PARAMETERS

    async def _queued(self, venue: Venue, data: bytes, gas: int, fee: int) -> Entered:
        self.queued.append((data, gas, fee))
        return LEAVE


async def test_what_is_entered_for_a_leave_is_a_tick_for_the_bridges_fee(scene: Scene) -> None:
    scene.now += PRICELESS_SECONDS + 1
    silent, giving = Source(scene, said=NodeUnreachable("gone")), Source(scene)
    paying = Paying(silent, scene.told)
    await paying.force(constants.LEAVE, b"abc", None, ticks_of=[giving])
    payload, fee = tick(scene.now)[1:], DEVNET_PARAMETERS.entry_fee_wei
    left, entered = paying.queued
    assert left == (calls.encode_entry(constants.LEAVE, b"abc"), calls.entry_gas(b"abc"), fee)
    assert entered == (calls.encode_entry(constants.FORCED_TICK, payload), calls.entry_gas(payload), fee)
    assert (silent.asked, giving.asked, len(scene.told)) == (1, 1, 1)


@pytest.mark.parametrize(("seconds", "is_on"), [(None, False), (0, True)])
async def test_who_does_not_want_it_or_does_not_wait_pays_for_no_tick(
    scene: Scene, seconds: float | None, is_on: bool
) -> None:
    scene.now += PRICELESS_SECONDS + 1
    paying = Paying(Source(scene), scene.told)
    await paying.force(constants.LEAVE, b"abc", seconds, ticks_of=[] if is_on else None)
    assert (len(paying.queued), paying.waiting.given, scene.told) == (1, None, [])
