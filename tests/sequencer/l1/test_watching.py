"""The facts as two kinds of L1 give them: a store that can post is postable, and one that cannot says why."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import structlog
import trio

from l1_bridge.client.errors import L1Reverted, L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.codec import calls
from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.signing.operations import deposit_bytes
from prover.stf import constants, containers
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.funding import fund
from sequencer.l1.poster import Clocks, Overdue, Poster
from sequencer.l1.watching import Watch
from sequencer.sequencing.admission import Taking
from sequencer.sequencing.sequencer import Sequencer
from sequencer.sequencing.venue_clock import VenueClock
from tests.l1_bridge.l1_nodes import embedded_l1
from tests.sequencer.l1.test_poster import CLOCKS, OPERATOR, Site, site
from tests.sequencer.node_world import BUY, DOLLAR, PRICES, SELL, World, owner

pytestmark = pytest.mark.trio
LAG_MS = DEVNET_PARAMETERS.max_lag_seconds * 1_000
DAY = 86_400


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


class Guard:
    """A watch over a world of a site, with a clock that only a test moves."""

    def __init__(self, here: Site, world: World | None = None, **options: Any) -> None:
        self.now = 0.0
        self.world = world or here.world
        venue = SimpleNamespace(engine=self.world.engine, now_ms=lambda: self.world.now)
        self.poster = options.pop("poster", None) or Poster(
            here.client, OPERATOR, here.deployment, self.world.engine, Clocks(lambda: self.world.now, lambda: self.now)
        )
        self.clock = VenueClock(lambda: self.world.now, lambda: self.world.now, has_slots=False)
        options = {"is_posting": True, "max_lag_seconds": LAG_MS // 1_000, "venue_clock": self.clock, **options}
        self.watch = Watch(here.client, cast(Sequencer, venue), self.poster, clock=lambda: self.now, **options)

    async def codes(self) -> list[str]:
        """What stands after a look."""
        await self.watch.look()
        self.watch.tell()
        return [reason.code for reason in self.watch.reasons]


async def moved(here: Site, seconds: int) -> None:
    """Moves L1's clock and mines a block."""
    await here.client.call("evm_increaseTime", [seconds])
    await here.client.call("evm_mine", [])


async def send(here: Site, name: str, *arguments: int, key: int = 0) -> None:
    """A call of the bridge by somebody."""
    await here.client.send(
        development_key(key), here.deployment.bridge, calls.encode_call(name, *arguments), gas=400_000
    )


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[Site, Guard]]:
    """A site with one batch on L1, and its watch."""
    async with site() as here:
        here.seal(1)
        assert await here.poster.post_once()
        yield here, Guard(here)


async def check_postable_and_not(here: Site) -> None:
    """What holds on any kind of L1: the same batch is of one store and not of another."""
    here.seal(1)
    guard = Guard(here)
    assert guard.watch.taking is Taking.NOTHING, "nothing is taken before L1 was read"
    assert await guard.codes() == []
    assert await here.poster.post_once()
    assert await guard.codes() == []
    assert guard.watch.taking is Taking.ALL
    lost = Guard(here, here.another_world(constants.TICK_STEP))
    lost.world.tick()
    assert await lost.codes() == ["OTHER_HISTORY"]
    # The same key at another store that has a history.
    lost.world.seal()
    assert await Guard(here, lost.world).codes() == ["SECOND_NODE"]


async def test_a_store_is_postable_where_the_newest_batch_is_its_own(quiet: list[dict[str, Any]]) -> None:
    async with site() as here:
        await check_postable_and_not(here)
    assert [(line["event"], line["reasons"]) for line in quiet if line["event"].startswith("postable")] == [
        ("postable.no", ["OTHER_HISTORY"]),
        ("postable.no", ["SECOND_NODE"]),
    ]


async def test_so_it_is_on_the_embedded_l1(tmp_path: Path) -> None:
    with embedded_l1(tmp_path) as l1:
        async with site(l1.url) as here:
            await check_postable_and_not(here)


async def test_the_queue_that_was_taken_is_held_to_the_bridges_own_hash() -> None:
    async with guarded() as (here, guard):
        snapshot = await here.client.call("evm_snapshot", [])
        payees = [(owner(0), 1_000 * DOLLAR)]
        await fund(here.client, development_key(3), here.deployment.token, here.deployment.bridge, payees)
        assert await guard.codes() == [], "what L1 holds beyond what was taken is no contradiction"
        payer = development_key(3).address
        booked = containers.Deposit(payer, owner(0), constants.NEW_ACCOUNT, 1_000 * DOLLAR)
        guard.world.process(deposit_bytes(booked))
        assert await guard.codes() == []
        # L1 is reorganised to where the deposit never was, and then another one comes.
        assert await here.client.call("evm_revert", [snapshot])
        await here.client.call("anvil_mine", ["0x8"])
        assert await guard.codes() == ["OTHER_QUEUE"]
        assert guard.watch.taking is Taking.CANCELS
        assert await guard.poster.other_queue_behind("latest", 1, guard.world.engine.view.commitment.queue_hash) is None
        payees = [(owner(1), 1_000 * DOLLAR)]
        await fund(here.client, development_key(4), here.deployment.token, here.deployment.bridge, payees)
        assert await guard.codes() == ["OTHER_QUEUE"]
        assert await guard.poster.other_queue_behind("latest", 1, guard.world.engine.view.commitment.queue_hash) == 1
        assert await guard.poster.other_queue_behind("latest", 0, bytes(32)) is None


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("asked", ["head", "queue_length", "seat", "frozen_at"])
async def test_an_entry_that_is_taken_while_l1_is_asked_is_held_to_the_bridge_at_the_next_look(
    asked: str, is_told: bool
) -> None:
    async with guarded() as (here, guard):
        payees = [(owner(0), 1_000 * DOLLAR)]
        await fund(here.client, development_key(3), here.deployment.token, here.deployment.bridge, payees)
        payer = development_key(3).address
        payee = owner(0) if is_told else owner(1)
        booked = deposit_bytes(containers.Deposit(payer, payee, constants.NEW_ACCOUNT, 1_000 * DOLLAR))
        guard.world.tick()
        assert guard.world.engine.open_operations, "an open chunk goes on in the object that was looked at"
        here.wire.meanwhile = asked, lambda: guard.world.process(booked)
        assert await guard.codes() == []
        assert guard.world.engine.view.commitment.queue_taken == 1
        assert await guard.codes() == ([] if is_told else ["OTHER_QUEUE"])


async def test_the_seat_is_looked_at_all_the_time() -> None:
    async with guarded() as (here, guard):
        newest = await here.client.newest_block()
        await send(here, "resign", newest.timestamp + 100)
        assert await guard.codes() == ["SEAT_RESIGNED"]
        assert guard.watch.taking is Taking.ALL
        # Its time comes without a block: nobody is asked for that.
        await here.client.call("evm_increaseTime", [200])
        assert await guard.codes() == ["SEAT_OPEN"]
        assert guard.watch.taking is Taking.NOTHING
        await moved(here, 0)
        assert await guard.codes() == ["SEAT_OPEN"]
        rival = Poster(here.client, development_key(1), here.deployment, here.world.engine, CLOCKS)
        assert not await rival.is_seat_new()
        await rival.take_seat("http://127.0.0.1:2")
        assert await guard.codes() == ["OTHER_SEAT"]
        # Who only reads needs none.
        assert await Guard(here, is_posting=False).codes() == []


async def test_a_frozen_bridge_takes_nothing_any_more() -> None:
    async with guarded() as (here, guard):
        payees = [(owner(0), DOLLAR)]
        await fund(here.client, development_key(3), here.deployment.token, here.deployment.bridge, payees)
        await moved(here, 8 * DAY)
        here.world.now += 8 * DAY * 1_000
        await send(here, "freeze", key=5)
        assert await guard.codes() == ["FROZEN", "OLD_PRICES"]


async def test_a_node_that_answers_with_nothing_is_no_l1_without_the_bridge() -> None:
    """Where its code stands it has lost a state: what was heard before goes on."""
    async with guarded() as (here, guard):
        assert await guard.codes() == []
        here.wire.is_mute = True
        await here.client.call("evm_mine", [])
        assert await guard.codes() == []
        assert await Guard(here).codes() == ["UNREAD"]
        here.wire.is_mute = False
        assert await guard.codes() == []


async def test_an_l1_without_the_bridge_and_an_l1_that_lags() -> None:
    async with guarded() as (here, guard):
        assert await guard.codes() == []
        nowhere = msgspec.structs.replace(here.deployment, bridge=b"\x77" * 20)
        poster = Poster(here.client, OPERATOR, nowhere, here.world.engine, CLOCKS)
        assert await Guard(here, poster=poster).codes() == ["NO_BRIDGE"]
        # An older block than the last one that was read says nothing new, unless it stays so.
        height = (await here.client.newest_block()).number
        await here.client.call("anvil_reorg", [1, []])
        await here.client.call("anvil_rollback", [1])
        assert (await here.client.newest_block()).number < height
        guard.now = 29.0
        record, _ = await here.poster.head()
        assert record.number == 0
        assert guard.watch._seen is not None
        assert await guard.codes() == []
        assert guard.watch._seen.block.number == height
        guard.now = 30.0
        await guard.codes()
        assert guard.watch._seen.block.number == height - 1


async def test_what_l1_said_stands_while_it_is_away_and_the_deadlines_run_by_its_clock() -> None:
    async with guarded() as (here, guard):
        here.wire.is_cut = True
        assert await guard.codes() == ["UNREAD"]
        here.wire.is_cut = False
        assert await guard.codes() == []
        here.wire.is_cut = True
        # Sealed now and not posted: from here the bridge's lag runs.
        here.seal(1)
        waiting = here.world.engine.chunk_record(2)
        assert waiting is not None
        # L1's clock was ahead of the world's when it spoke last, and goes on as that does.
        ahead_ms = guard.clock.l1_ahead_ms
        assert 900_000 < ahead_ms < 1_100_000
        began = waiting.began_ms - ahead_ms
        guard.now = 60.0
        for waited_ms, codes, taking in (
            (LAG_MS // 2 - 1, [], Taking.ALL),
            (LAG_MS // 2, ["LATE"], Taking.REDUCING),
            (LAG_MS - 1, ["LATE"], Taking.REDUCING),
            (LAG_MS, ["OVERDUE"], Taking.NOTHING),
        ):
            guard.world.now = began + waited_ms
            assert await guard.codes() == [*codes, "OLD_PRICES", "L1_AWAY"]
            assert guard.watch.taking is taking
        guard.world.now = began + LAG_MS // 2
        began = waiting.began_ms
        # Back within the lag, by less than a minute of L1's clock: all that was acknowledged is posted.
        here.seal(30)
        here.wire.is_cut = False
        waited = (await here.client.newest_block()).timestamp - began // 1_000
        await moved(here, LAG_MS // 1_000 - waited - 50)
        while await here.poster.post_once():
            pass
        assert await here.posted() == [(chunk.body, chunk.post_root) for chunk in here.world.sealed]
        guard.world.now = (await here.client.next_timestamp()) * 1_000
        assert await guard.codes() == ["OLD_PRICES"]
        # What is in no chunk yet waits as well.
        here.world.tick()
        guard.world.now += LAG_MS // 2
        assert await guard.codes() == ["LATE", "OLD_PRICES"]


async def test_where_l1_was_moved_far_ahead_one_reason_says_so_and_nothing_is_given_up_before() -> None:
    """What came in the place of what is too late would begin no later, and be too late again."""
    async with guarded() as (here, guard):
        assert await guard.codes() == []
        snapshot = await here.client.call("evm_snapshot", [])
        here.seal(2)
        await moved(here, 2 * LAG_MS // 1_000)
        guard.now = 1_000.0
        for _ in range(3):
            assert await guard.codes() == ["L1_AHEAD"]
            assert not await here.poster.post_once()
        assert guard.watch.taking is Taking.NOTHING
        assert here.poster.trouble == ""
        assert await here.poster.overdue_behind("latest", here.world.now) is None
        # The machine's clock is set to L1's: now it helps to begin anew, and where the poster says so a start does.
        here.world.now += 2 * LAG_MS
        with pytest.raises(Overdue, match="behind chunk 1 "):
            await here.poster.post_once()
        assert await here.poster.overdue_behind("latest") == 1
        # Or L1 is moved back: what waits is posted, all of it.
        here.world.now -= 2 * LAG_MS
        assert await here.client.call("evm_revert", [snapshot])
        assert await guard.codes() == []
        assert await here.poster.post_once()
        assert await here.posted() == [(chunk.body, chunk.post_root) for chunk in here.world.sealed]


@pytest.mark.parametrize(("short_seconds", "is_far"), [(60, False), (0, True)])
async def test_half_of_the_lag_ahead_is_where_beginning_anew_helps_no_more(short_seconds: int, is_far: bool) -> None:
    async with guarded() as (here, guard):
        here.seal(1)
        begun = here.world.now
        await moved(here, 2 * LAG_MS // 1_000)
        here.world.now = 1_000 * await here.client.next_timestamp() - LAG_MS // 2 + short_seconds * 1_000
        assert here.world.now - begun > LAG_MS
        if is_far:
            assert not await here.poster.post_once()
        else:
            with pytest.raises(Overdue):
                await here.poster.post_once()
        assert (await guard.codes())[0] == ("L1_AHEAD" if is_far else "OVERDUE")


async def test_the_posters_trouble_is_told_once_it_lasts() -> None:
    async with guarded() as (_, guard):
        assert await guard.codes() == []
        guard.poster._note(L1Unavailable("no answer"))
        guard.now = 59.0
        guard.poster._note(L1Unavailable("still none"))
        assert await guard.codes() == []
        guard.now = 60.0
        assert await guard.codes() == ["NOT_POSTING"]
        # Another kind of trouble begins anew.
        guard.poster._note(L1Reverted("QUEUE_COUNT"))
        assert await guard.codes() == []
        guard.now = 120.0
        assert await guard.codes() == ["REFUSED"]
        guard.poster.trouble = ""
        assert await guard.codes() == []


async def test_a_batch_that_does_not_come_is_told_whatever_the_poster_knows() -> None:
    """His transaction may wait for ever, or the node that he asks say nothing at all: he is in no trouble then."""
    async with guarded() as (here, guard):
        pause = guard.poster.post_seconds
        assert await guard.codes() == []
        # Where nothing waits none has to come.
        guard.now = 1_000.0
        assert await guard.codes() == []
        here.seal(1)
        guard.now += pause + 59
        assert await guard.codes() == []
        guard.now += 1
        assert await guard.codes() == ["NOT_POSTING"]
        assert guard.watch.taking is Taking.ALL
        # Trouble that changes its kind is no new beginning of this.
        guard.poster._note(L1Reverted("QUEUE_COUNT"))
        assert await guard.codes() == ["NOT_POSTING"]
        guard.poster.trouble = ""
        # More comes, and waits, while batches come: each is a sign of life.
        for _ in range(3):
            assert await here.poster.post_once()
            here.seal(1)
            guard.now += pause + 59
            assert await guard.codes() == []
        guard.now += pause + 60
        assert await guard.codes() == ["NOT_POSTING"]
        assert await Guard(here, is_posting=False).codes() == []


async def test_it_judges_while_l1_does_not_answer(quiet: list[dict[str, Any]]) -> None:
    async with guarded() as (here, guard), trio.open_nursery() as nursery:
        nursery.start_soon(guard.watch.run)
        while guard.watch.taking is not Taking.ALL:
            await trio.sleep(0.01)
        held = trio.Event()

        async def hanging(*arguments: Any) -> Any:
            held.set()
            await trio.sleep_forever()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(here.client, "newest_block", hanging)
            await held.wait()
            guard.now = 60.0
            while [reason.code for reason in guard.watch.reasons] != ["L1_AWAY"]:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_prices_and_clock_are_facts_as_well() -> None:
    async with guarded() as (here, _):
        skew = 0
        clock = VenueClock(lambda: wall_clock_ms() + skew, wall_clock_ms)
        guard = Guard(here, venue_clock=clock)
        assert await guard.codes() == []
        guard.world.now += constants.MAX_PRICE_AGE
        assert await guard.codes() == []
        guard.world.now += 1
        skew = -5_000
        assert await guard.codes() == ["CLOCK", "OLD_PRICES"]
        assert guard.watch.taking is Taking.ALL
        fresh = here.another_world()
        assert await Guard(here, fresh).codes() == ["OTHER_HISTORY", "NO_PRICES"]


async def test_each_silence_of_l1_has_a_line_one_a_minute_and_one_at_its_end(quiet: list[dict[str, Any]]) -> None:
    async with guarded() as (here, guard):
        assert await guard.codes() == []
        here.wire.is_cut = True
        for guard.now in (1.0, 2.0, 60.0, 61.0, 62.0):
            await guard.codes()
        here.wire.is_cut = False
        for guard.now in (63.0, 64.0):
            assert await guard.codes() == []
        # One that answers every other time floods no log.
        for guard.now in (65.0, 120.0, 121.0):
            here.wire.is_cut = True
            await guard.codes()
            here.wire.is_cut = False
            await guard.codes()
    told = [(line["event"], line["silent_seconds"]) for line in quiet if line["event"].startswith("l1.")]
    assert told == [
        ("l1.unread", 1.0),
        ("l1.unread", 61.0),
        ("l1.read_again", 63.0),
        ("l1.unread", 1.0),
        ("l1.read_again", 1.0),
    ]


async def test_it_goes_on_looking(quiet: list[dict[str, Any]]) -> None:
    async with guarded() as (here, guard), trio.open_nursery() as nursery:
        nursery.start_soon(guard.watch.run)
        while guard.watch.taking is not Taking.ALL:
            await trio.sleep(0.01)
        await send(here, "resign", (await here.client.newest_block()).timestamp + 100)
        await moved(here, 200)
        while guard.watch.taking is not Taking.NOTHING:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    told = [(line["event"], line["reasons"]) for line in quiet if line["event"].startswith("postable")]
    assert told[-1] == ("postable.no", ["SEAT_OPEN"])


async def test_what_an_input_overflowed_is_as_old_as_its_own_first_operation() -> None:
    async with site() as here:
        world = World(46)
        world.seal()
        posted, began = world.engine.chunk_count, world.now
        guard = Guard(here, world)
        world.order(44, SELL, PRICES[0], 100)
        world.order(45, BUY, PRICES[0], 100)
        world.now += 900
        for trader in range(40):
            world.order(trader, SELL, PRICES[0] + trader, 100)
        assert world.order(45, BUY, PRICES[0] + 50, 4_000, slot=2).filled == 4_000
        # It waits for the chunk in which the order went on, and is told to nobody who posts.
        assert (world.engine.chunk_count, world.engine.chunk_record(posted + 1)) == (posted + 1, None)
        assert world.engine.view.commitment.timestamp == began + 900
        assert guard.watch._oldest_ms(posted) == began
