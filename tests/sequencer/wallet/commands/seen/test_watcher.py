"""What is watched: the newest of the node's feeds, and what L1 proved last; where nothing is told, that is said."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.client.feeds import Away, Frame, Gap, Opened, Told
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import AccountUpdate, Book, MarketView, Status
from sequencer.wallet.commands.seen import watcher as watching
from sequencer.wallet.commands.seen.watcher import Watcher, watched
from sequencer.wallet.errors import L1Unreachable, NotYet
from sequencer.wallet.wallet import Wallet
from tests.sequencer.answers import answer

pytestmark = pytest.mark.trio

VIEW = answer(AccountView, account=17)
BTC, ETH = answer(MarketView, name="BTC"), answer(MarketView, name="ETH")


class Proving:
    """L1, as far as it shows an account."""

    def __init__(self, *proofs: object) -> None:
        self._proofs = iter(proofs)

    async def account(self, index: int) -> object:
        proof = next(self._proofs)
        if isinstance(proof, Exception):
            raise proof
        return proof


class Telling:
    """A node whose feeds a test speaks on: what is followed is noted, an exception ends them."""

    url = "http://node"
    identify = None

    def __init__(self) -> None:
        self.followed: list[str] = []
        self._send, self._receive = trio.open_memory_channel[Frame | Exception](9)

    async def status(self) -> Status:
        return answer(Status)

    async def tell(self, *frames: Frame | Exception) -> None:
        """These, to the end."""
        for frame in frames:
            await self._send.send(frame)
        await trio.testing.wait_all_tasks_blocked()

    @asynccontextmanager
    async def feeds(self, url: str, channels: list[str], identify: None) -> AsyncIterator[Any]:
        """In place of a connection."""
        self.followed += channels
        yield self

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Frame:
        frame = await self._receive.receive()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def follow(self, channel: str) -> None:
        self.followed.append(channel)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Telling:
    """One whose feeds stand in for a connection."""
    telling = Telling()
    monkeypatch.setattr(watching, "Feeds", telling.feeds)
    return telling


def opened(channel: str, data: Any) -> Opened:
    """A channel's first."""
    return Opened(channel, "one", 1, data)


@asynccontextmanager
async def looking(node: Telling, *proofs: object) -> AsyncIterator[Watcher]:
    """A watcher of account 17."""
    wallet = SimpleNamespace(node=node, verified=Proving(*proofs))
    async with watched(cast(Wallet, wallet), 17) as watcher:
        yield watcher


async def test_the_newest_of_each_channel_is_seen_once_all_have_spoken(
    node: Telling, autojump_clock: trio.testing.MockClock
) -> None:
    proof = object()
    async with looking(node, proof) as watcher:
        await node.tell(opened("prices", [BTC]), opened("account:17", VIEW))
        assert node.followed == ["prices", "account:17", "book:BTC"]
        with pytest.raises(NodeUnreachable, match="does not begin"):
            await watcher.look()
        first, second = Book("BTC", [(1, 1)], []), Book("BTC", [(2, 1)], [])
        await node.tell(opened("book:BTC", first))
        assert (await watcher.look()).markets == [(BTC, first)]
        update = answer(AccountUpdate, account=17, equity_micros=5)
        await node.tell(Gap("book:BTC", "one", 1), opened("book:BTC", second), Told("account:17", "one", 2, update))
        seen = await watcher.look()
        assert (seen.view, seen.markets, seen.proven) == (update, [(BTC, second)], proof)


async def test_a_market_that_is_listed_meanwhile_is_watched_as_well(node: Telling) -> None:
    async with looking(node, None) as watcher:
        await node.tell(opened("prices", [BTC]), opened("account:17", VIEW), opened("book:BTC", Book("BTC", [], [])))
        await node.tell(Told("prices", "one", 2, [BTC, ETH]), opened("book:ETH", Book("ETH", [], [])))
        assert node.followed[-1] == "book:ETH"
        assert [market.name for market, _ in (await watcher.look()).markets] == ["BTC", "ETH"]


async def test_what_is_cut_off_is_said_until_it_is_told_again(
    node: Telling, autojump_clock: trio.testing.MockClock
) -> None:
    whole = (opened("prices", []), opened("account:17", VIEW))
    async with looking(node, None) as watcher:
        await node.tell(Away("it is away", 0.5))
        with pytest.raises(NodeUnreachable, match="it is away"):
            await watcher.look()
        await node.tell(*whole)
        assert (await watcher.look()).view == VIEW
        # Not for long: what is shown is soon old.
        began = trio.current_time()
        await node.tell(Away("it has ended", 0.5))
        with pytest.raises(NodeUnreachable, match="it has ended"):
            await watcher.look()
        assert trio.current_time() - began < 5
        # What comes back at once is waited for.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.tell, *whole)
            assert (await watcher.look()).view == VIEW


async def test_an_account_that_nobody_tells_of_is_no_watched_one(node: Telling) -> None:
    async with looking(node) as watcher:
        await node.tell(Rejected(-1, "NO_CHANNEL", "no"))
        with pytest.raises(Rejected, match="NO_CHANNEL"):
            await watcher.look()


async def test_what_was_proven_stays_while_l1_shows_no_newer_proof(
    node: Telling, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = object(), object()
    async with looking(node, first, NotYet("later"), L1Unreachable("away"), second) as watcher:
        await node.tell(opened("prices", []), opened("account:17", VIEW))
        found = []
        for _ in range(4):
            found.append((await watcher.look()).proven)
            # Within ten seconds nothing is asked again.
            assert (await watcher.look()).proven is found[-1]
            await trio.sleep(10)
    assert found == [first, first, first, second]
