"""Rounds of an agent against a real node: what it signs is there once, whatever dies in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from l1_bridge.client.client import L1Client
from sequencer.agent.alerts import Alerts
from sequencer.agent.config import Alerts as AlertTerms
from sequencer.agent.config import Config, Keep, TopUp, Trail, Twap
from sequencer.agent.hand import Hand
from sequencer.agent.journal import Journal, Progress, Signed
from sequencer.agent.rounds import Round
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import NodeUnreachable
from sequencer.schema.accounts import AccountView
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.errors import BadInput
from sequencer.wallet.keys import Key, keystore_path, open_keystore
from sequencer.wallet.verified import Verified, WalletOptions
from sequencer.wallet.word.keeping import keeping_of
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Node
from tests.sequencer.wallet_node import Shell, still_node, trader_of

pytestmark = pytest.mark.slow
DOLLAR = 1_000_000
SELL = ("order", "--market", "BTC", "--side", "sell", "--price", "59000", "--time-in-force", "ioc")
PASSWORD = "correct horse"
BID = Keep(name="bid", market="BTC", slot=21, side="buy", size="0.01", price="59000")
STOP = Trail(name="stop", market="BTC", slot=22, trail="2", step="0.1", slippage="5")


class World(msgspec.Struct, frozen=True):
    """A venue, an owner with an agent, and somebody to trade with."""

    node: Node
    owner: Shell
    other: Shell
    account: int

    def keys(self) -> tuple[Key, Key]:
        """The agent's and the owner's."""
        directory = self.owner.directory
        return (
            open_keystore(keystore_path(directory, "agent"), PASSWORD),
            open_keystore(keystore_path(directory, "default"), PASSWORD),
        )

    def open_orders(self) -> dict[int, dict[str, Any]]:
        """By slot."""
        found = self.node.client.call("catenary_openOrders", account=self.account)
        return {order["slot"]: order for order in found}

    def position(self) -> int:
        """Lots of bitcoin."""
        view = self.node.client.call("catenary_account", account=self.account)
        return sum(int(one["size_lots"]) for one in view["positions"] if one["market"] == "BTC")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One of each for all tests of this file."""
    with still_node(tmp_path_factory.mktemp("node"), "--no-maker") as node:
        owner = trader_of(node, tmp_path_factory.mktemp("owner"))
        other = trader_of(node, tmp_path_factory.mktemp("other"))
        account = int(owner.environment["CATENARY_WALLET_ACCOUNT"] or 0)
        agent = owner.json("new", "--light-kdf", keystore="agent")["address"]
        owner.json("agent", "set", "--agent", agent, "--expires", "30d", "--first-slot", "0", "--last-slot", "99")
        yield World(node, owner, other, account)


class Failing(Hand):
    """A hand that dies at a moment: before what it signed is sent, or before it is answered."""

    dies = ""

    async def _send(self, signed: Signed, block: int) -> None:
        if self.dies == "before":
            raise NodeUnreachable("killed")
        if self.dies == "behind":
            fields, signature = signed.fields, bytes.fromhex(signed.signature[2:])
            await self.node.order(fields, signature, **signed.beside)
            raise NodeUnreachable("killed")
        await super()._send(signed, block)


class Played(msgspec.Struct):
    """An agent that goes round by hand."""

    rounds: Round
    hand: Failing
    journal: Journal
    told: list[tuple[str, str]]
    alerted: list[dict[str, Any]]

    def of(self, task: str) -> Progress:
        """How far a task is."""
        return self.journal.of(task)


class Heard(Alerts):
    """Alerts that are kept."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.heard: list[dict[str, Any]] = []

    def tell(self, event: str, **fields: Any) -> None:
        self.heard.append({"event": event, **fields})


def play(world: World, journal: Path, body: Any, **tasks: Any) -> None:
    """Runs `body` with an agent of these tasks on that journal."""
    agent, owner = world.keys()
    config = Config(account=world.account, keystore="agent", journal="", **tasks)

    async def main() -> None:
        async with NodeClient(world.node.url) as node, L1Client(world.node.l1_url) as l1:
            directory, options = world.owner.directory, WalletOptions()
            verified = Verified(node, l1, directory, options)
            venue = await verified.venue()
            bridge = Bridge(node, l1, verified, agent.address, None, options, directory)
            keeping = keeping_of(venue, bridge, l1, directory, agent.address)
            with Journal(journal) as kept:
                hand, alerts = Failing(node, venue, world.account, agent, kept, wall_clock_ms, keeping), Heard()
                told: list[tuple[str, str]] = []
                key = owner if config.top_up is not None else None
                rounds = Round(config, kept, hand, alerts, key, lambda name, line: told.append((name, line)))
                await rounds.check(agent.address)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keeping.run)
                    with trio.fail_after(PATIENCE_SECONDS):
                        await body(Played(rounds, hand, kept, told, alerts.heard))
                    nursery.cancel_scope.cancel()

    trio.run(main)


async def beside(shell: Shell, *arguments: str) -> None:
    """A command of a wallet, in a thread: it has an event loop of its own."""
    await trio.to_thread.run_sync(partial(shell.json, *arguments))


async def until(played: Played, task: str) -> None:
    """Goes round until a task is over."""
    while not played.of(task).stopped:
        await played.rounds.go()
        await trio.sleep(0.05)


@contextmanager
def offered(world: World, side: str, price: str, size: str = "1") -> Iterator[None]:
    """Somebody who trades at a price."""
    base = ("order", "--market", "BTC", "--side", side, "--size", size, "--price", price)
    slot = world.other.json(*base)["slot"]
    yield
    world.other.run("cancel", "--slot", str(slot))


@pytest.mark.parametrize("dies", ["before", "behind"])
def test_slices_go_on_behind_a_kill_and_none_is_doubled(world: World, tmp_path: Path, dies: str) -> None:
    day = 86_400
    slices = Twap(
        name="in", market="BTC", slot=20, side="buy", size="0.03", slices=3, interval_seconds=day, slippage="1"
    )
    before = world.position()

    async def killed(played: Played) -> None:
        played.hand.dies = dies
        with pytest.raises(NodeUnreachable):
            await played.rounds.go()
        assert played.of("in").open is not None

    async def again(played: Played) -> None:
        progress = played.of("in")
        assert progress.open is not None
        while not progress.stopped:
            # A slice is due with each round, however long a round takes.
            assert progress.began is not None
            progress.began = msgspec.structs.replace(progress.began, at=progress.began.at - day * 1_000)
            await played.rounds.go()
        assert world.position() - before == progress.filled
        assert progress.filled <= 3_000
        assert progress.orders <= 3

    with offered(world, "sell", "60000"):
        play(world, tmp_path / "j", killed, twap=[slices])
        play(world, tmp_path / "j", again, twap=[slices])
    assert world.position() > before


def test_an_order_is_kept_until_it_is_filled_and_no_more_of_it(world: World, tmp_path: Path) -> None:
    before = world.position()

    async def body(played: Played) -> None:
        await played.rounds.go()
        first = world.open_orders()[21]
        await beside(world.other, *SELL, "--size", "0.004")
        await played.rounds.go()
        assert world.open_orders()[21]["order_id"] == first["order_id"]
        # Near its end it is signed anew, for what is left.
        standing = played.of("bid").open
        assert standing is not None
        soon = wall_clock_ms() + BID.lifetime_seconds * 125
        due = msgspec.structs.replace(standing, fields={**standing.fields, "expires_at_ms": soon})
        played.of("bid").open = due
        await played.rounds.go()
        second = world.open_orders()[21]
        assert second["order_id"] != first["order_id"]
        assert (second["size_lots"], played.of("bid").filled) == (600, 400)
        await beside(world.other, *SELL, "--size", "0.006")
        await until(played, "bid")
        assert (played.of("bid").stopped, played.of("bid").filled) == ("filled", 1_000)

    play(world, tmp_path / "j", body, keep=[BID])
    assert world.position() - before == 1_000


def test_what_its_owner_takes_out_stays_out_and_other_terms_begin_anew(world: World, tmp_path: Path) -> None:
    async def body(played: Played) -> None:
        await played.rounds.go()
        await beside(world.owner, "cancel", "--slot", "21")
        await until(played, "bid")
        assert played.of("bid").stopped == "cancelled (cancelled)"
        await played.rounds.go()
        assert 21 not in world.open_orders()
        assert [one["event"] for one in played.alerted] == ["task_over"]

    play(world, tmp_path / "j", body, keep=[BID])

    async def other_terms(played: Played) -> None:
        await played.rounds.go()
        assert world.open_orders()[21]["limit_price_ticks"] == 580_000

    other = msgspec.structs.replace(BID, price="58000")
    play(world, tmp_path / "j", other_terms, keep=[other])

    async def changed(played: Played) -> None:
        await played.rounds.go()
        assert world.open_orders()[21]["limit_price_ticks"] == 570_000
        await played.hand.cancel(21)

    play(world, tmp_path / "j", changed, keep=[msgspec.structs.replace(BID, price="57000")])


def test_a_stop_trails_the_price_and_a_restart_does_not_move_it_back(world: World, tmp_path: Path) -> None:
    with offered(world, "sell", "60000"):
        world.owner.json("order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--price", "60000")

    async def body(played: Played) -> None:
        await played.rounds.go()
        stop = world.open_orders()[22]
        assert (stop["status"], stop["reduce_only"], stop["size_lots"]) == ("armed", True, world.position())
        standing = played.of("stop").open
        assert standing is not None
        assert standing.trigger == 588_000
        await played.rounds.go()
        assert played.of("stop").orders == 1

    async def again(played: Played) -> None:
        await played.rounds.go()
        assert played.of("stop").orders == 1
        # Where less is behind it, it moves up.
        assert played.of("stop").open is not None

    play(world, tmp_path / "j", body, trail=[STOP])
    play(world, tmp_path / "j", again, trail=[STOP])

    async def nearer(played: Played) -> None:
        await played.rounds.go()
        standing = played.of("stop").open
        assert standing is not None
        assert standing.trigger == 594_000
        assert world.open_orders()[22]["order_id"] == standing.order_id
        await played.hand.cancel(22)

    play(world, tmp_path / "j", nearer, trail=[msgspec.structs.replace(STOP, trail="1")])


def test_a_refusal_is_told_once_and_waited_for(world: World, tmp_path: Path) -> None:
    crossing = msgspec.structs.replace(BID, name="maker", price="60000", post_only=True)

    async def body(played: Played) -> None:
        for _ in range(3):
            await played.rounds.go()
        assert played.of("maker").orders == 1
        assert [(one["event"], one["why"]) for one in played.alerted] == [("trouble", "POST_ONLY")]

    with offered(world, "sell", "60000"):
        play(world, tmp_path / "j", body, keep=[crossing])


def test_a_node_that_shows_a_market_no_more_is_trouble_and_no_end(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> list[Any]:
        return []

    async def body(played: Played) -> None:
        monkeypatch.setattr(played.hand.node, "markets", nothing)
        await played.rounds.go()
        assert played.of("stop").orders == 0
        assert [(one["event"], one["why"]) for one in played.alerted] == [
            ("trouble", "task stop: the node shows no market BTC")
        ]

    play(world, tmp_path / "j", body, trail=[STOP])


def test_a_margin_call_is_told_where_it_rises_and_dollars_come_within_their_limits(
    world: World, tmp_path: Path
) -> None:
    isolated = world.owner.json("isolated", "open", "--market", "BTC", "--amount", "30")["account"]
    given = TopUp(from_account=isolated, owner_keystore="default", at_percent=80, amount="5", most_a_day="8")

    async def body(played: Played) -> None:
        view = await played.hand.node.account(world.account)

        def called(level: int, ratio: int | None) -> AccountView:
            return msgspec.structs.replace(
                view, margin_call_percent=level, margin_ratio_ppm=ratio, maintenance_micros=DOLLAR
            )

        for level in (0, 50, 80, 80, 70, 0):
            played.rounds._watch(called(level, 0))
        assert [one["level_percent"] for one in played.alerted] == [80, 0]
        await played.rounds._top_up(called(80, 799_999))
        assert played.journal.paid == {}
        for ratio in (800_000, None, None):
            await played.rounds._top_up(called(80, ratio))
            # One behind the other, with time to show.
            await played.rounds._top_up(called(80, ratio))
            played.rounds._paid_at = 0
        assert sum(played.journal.paid.values()) == 8 * DOLLAR
        after = await played.hand.node.account(world.account)
        assert after.collateral_micros - view.collateral_micros == 8 * DOLLAR
        assert played.alerted[-1]["event"] == "trouble"

    play(world, tmp_path / "j", body, top_up=given, alerts=AlertTerms(at_percent=80))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"keep": [msgspec.structs.replace(BID, slot=120)]}, "may not sign for slot 120"),
        ({"keep": [msgspec.structs.replace(BID, market="DOGE")]}, "DOGE"),
        ({"keep": [msgspec.structs.replace(BID, size="0.0000001")]}, "smallest step"),
        ({"trail": [msgspec.structs.replace(STOP, trail="100")]}, "cannot be"),
        (
            {"twap": [Twap(name="x", market="BTC", slot=1, side="buy", size="0.001", slices=1_000,
                           interval_seconds=15, slippage="1")]},
            "worth less than the least order",
        ),
        ({"top_up": TopUp(from_account=99, owner_keystore="default", at_percent=80, amount="5", most_a_day="many")},
         "many"),
    ],
)  # fmt: skip
def test_what_could_never_be_done_is_said_at_the_start(
    world: World, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    async def never(played: Played) -> None:
        raise AssertionError("it begins")

    with pytest.raises(BadInput, match=sentence):
        play(world, tmp_path / "j", never, **changes)


def test_what_the_sequencer_signed_is_kept_for_the_agents_wallet(world: World, tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        told = world.owner.json("receipts", keystore="agent")
        return len(told["receipts"]), told["acknowledgements"]

    async def body(played: Played) -> None:
        receipts, promises = await trio.to_thread.run_sync(held)
        await played.rounds.go()
        await played.hand.cancel(28)
        while await trio.to_thread.run_sync(held) != (receipts + 1, promises + 1):
            await trio.sleep(0.1)

    kept = Keep(name="bid", market="BTC", slot=28, side="buy", size="0.01", price="50000")
    play(world, tmp_path / "j", body, keep=[kept])
