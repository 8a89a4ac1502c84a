"""Two bots trade over a connection that is cut at random, with a node that is killed: their own books stay right.

Maker and taker (bots_trader) reach `catenary node` through a proxy that ends each connection after so many bytes, in
the middle of whatever they are of; the node is ended by SIGKILL and comes up again on its datadir. Then both close
what they hold, and what their ledgers come to is held to the node's accounts, orders and fills, and to the bridge: the
accounts of a posted batch, proven by their path to the root that it keeps.
"""

import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.options import L1Options
from prover.stf import constants, containers, encoding, margin
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.history import MOST_ORDERS
from sequencer.wallet.trust import VerdictCache, examine_alone, prove_account
from tests.sequencer.node_process import Client, Node, funded, some_l1
from tests.sequencer.node_world import DOLLAR, key
from tests.soak.bots_trader import BUY, SELL, Bot, Ledger, Reckoned, rising
from tests.soak.cutting import CuttingProxy
from tests.soak.kills import all_posted, fills_of, until
from tests.soak.kills_process import KilledNode, prepare

MARKETS: Final = ("BTC", "ETH")
KILLS: Final = 2
_DEPOSIT_MICROS: Final = 1_000_000 * DOLLAR
_MEAN_BYTES: Final = 25_000
_LONGEST_PAUSE_SECONDS: Final = 0.5
# In each part of a run, between two kills, however short it is meant to be.
_LEAST_FILLS: Final = 10
_LEAST_CUTS: Final = 4
_CLOSING_SLOT: Final = 50


class Truth(msgspec.Struct):
    """One account as others have it: node and bridge say its collateral and positions, the node alone the rest.

    orders: by name, status with filled lots and fees; fills: how many there are.
    """

    node: tuple[int, dict[str, int]]
    bridge: tuple[int, dict[str, int]]
    orders: dict[str, tuple[str, int, int]]
    fills: int


def differences(ledger: Ledger, reckoned: Reckoned, truth: Truth) -> list[str]:
    """Where a bot's books are not what node and bridge have."""
    own = (reckoned.collateral, {market: lots for market, lots in reckoned.lots.items() if lots})
    found = list(reckoned.differences)
    for who, has in (("node", truth.node), ("bridge", truth.bridge)):
        if has != own:
            found.append(f"the {who} has {has}, the bot {own}")
    if truth.fills != ledger.fills:
        found.append(f"the node has {truth.fills} fills, the bot {ledger.fills}")
    for name, told in ledger.of_orders().items():
        if name in truth.orders and truth.orders[name] != told:
            found.append(f"order {name}: the node has {truth.orders[name]}, the bot {told}")
    return found


def unknown(ledger: Ledger, truth: Truth) -> list[str]:
    """Orders that one of bot and node takes for taken alone, or of which the bot does not know what became."""
    taken = {name for name, sent in ledger.sent.items() if sent.status not in ("", "refused")}
    found = [f"order {name} has no fate" for name, sent in ledger.sent.items() if not sent.status]
    return found + [f"order {name} is one's alone" for name in sorted(taken ^ set(truth.orders))]


class Run:
    """One venue, two bots, some kills."""

    def __init__(self, random: Random, directory: Path, seconds: float, kills: int) -> None:
        """seconds: of each part, of which there is one more than there are kills."""
        self.counts: Counter[str] = Counter()
        self.said: list[str] = []
        self._random = random
        self._directory = directory
        self._seconds = seconds
        self._kills = kills
        self._url = ""

    async def run(self, l1_url: str) -> None:
        """All of it."""
        self._l1_url = l1_url
        self._process = self._started("--deploy")
        try:
            node = await self._up()
            signers = [SigningAccount(key(index), node.domain, rising(wall_clock_ms)) for index in range(2)]
            await funded(node, signers, _DEPOSIT_MICROS)
            proxy = CuttingProxy(self._random, _MEAN_BYTES, lambda: int(self._url.rpartition(":")[2]))
            async with proxy.serving() as url:
                bots = [Bot(url, signer, Random(self._random.random()), _DEPOSIT_MICROS) for signer in signers]
                node = await self._trade(node, proxy, bots)
                self.counts["cuts"] = proxy.cuts
                proxy.is_cutting = False
                await self._compare(node, bots)
                for bot in bots:
                    await bot.node.close()
            node.client.close()
        finally:
            self._process.kill()

    def _started(self, *options: str) -> KilledNode:
        return KilledNode(self._directory / "node", self._l1_url, 0, *options)

    async def _up(self) -> Node:
        node = await self._process.ready()
        assert node is not None, f"the node has ended: {self._process.last}"
        self._url = node.url
        return node

    async def _trade(self, node: Node, proxy: CuttingProxy, bots: list[Bot]) -> Node:
        """All parts, and the closing, with cuts to the end; the node that is up behind the last kill."""
        is_over = trio.Event()
        async with trio.open_nursery() as listening:
            for bot in bots:
                listening.start_soon(bot.listen, MARKETS)
            async with trio.open_nursery() as trading:
                for bot, turn in zip(bots, (Bot.quote, Bot.take), strict=True):
                    trading.start_soon(self._turns, bot, turn, is_over)
                for part in range(self._kills + 1):
                    await self._part(proxy, bots)
                    if part < self._kills:
                        self._process.kill()
                        self.counts["kills"] += 1
                        node.client.close()
                        self._process = self._started("--rollup-address", "0x" + node.rollup.hex())
                        node = await self._up()
                is_over.set()
            for market in MARKETS:
                await self._flatten(*bots, market)
            listening.cancel_scope.cancel()
        return node

    async def _turns(self, bot: Bot, turn: Any, is_over: trio.Event) -> None:
        while not is_over.is_set():
            market = self._random.choice(MARKETS)
            if market in bot.prices and market in bot.books:
                await turn(bot, bot.prices[market])
            with trio.move_on_after(bot.random.uniform(0, _LONGEST_PAUSE_SECONDS)):
                await is_over.wait()

    async def _part(self, proxy: CuttingProxy, bots: list[Bot]) -> None:
        """So many seconds, and until something was traded and cut in it."""
        fills, cuts = bots[0].ledger.fills, proxy.cuts

        async def still() -> str:
            traded, cut = bots[0].ledger.fills - fills, proxy.cuts - cuts
            return "" if traded >= _LEAST_FILLS and cut >= _LEAST_CUTS else f"{traded} fills, {cut} cuts"

        await trio.sleep(self._seconds)
        await until("a part with fills and cuts", still)

    async def _flatten(self, maker: Bot, taker: Bot, market: str) -> None:
        """Nothing stays open and nothing is held: what is money is whole then."""
        while True:
            for bot in (maker, taker):
                await bot.close()
            held, at = taker.ledger.lots(market), taker.prices[market]
            if held == 0:
                return
            side, other = (BUY, SELL) if held > 0 else (SELL, BUY)
            await maker.send([maker.signing.order(at.index, side, abs(held), at.price_ticks, _CLOSING_SLOT)])
            kind = constants.IMMEDIATE_OR_CANCEL
            await taker.send([taker.signing.order(at.index, other, abs(held), at.price_ticks, _CLOSING_SLOT, kind)])

    # What must hold.

    async def _compare(self, node: Node, bots: list[Bot]) -> None:
        await all_posted(node)
        async with L1Client(self._l1_url, L1Options(poll_seconds=0.05)) as l1:
            for bot in bots:
                truth = await self._truth(l1, node, bot)
                reckoned = bot.ledger.reckon(await bot.payments())
                wrong, unsure = differences(bot.ledger, reckoned, truth), unknown(bot.ledger, truth)
                self.said += wrong + unsure
                figures = {
                    "orders": len(bot.ledger.sent), "fills": bot.ledger.fills, "reconnects": bot.reconnects,
                    "ledger_differences": len(wrong), "unknown_fates": len(unsure),
                }  # fmt: skip
                self.counts.update(figures)

    async def _truth(self, l1: L1Client, node: Node, bot: Bot) -> Truth:
        account, client = bot.signing.account, node.client
        seen = client.call("catenary_account", account=account)
        held = {position["market"]: position["size_lots"] for position in seen["positions"]}
        return Truth(
            node=(int(seen["collateral_micros"]), held),
            bridge=await self._proven(l1, node, bot),
            orders=orders_of(client, account),
            fills=len(fills_of(client, account)),
        )

    async def _proven(self, l1: L1Client, node: Node, bot: Bot) -> tuple[int, dict[str, int]]:
        """Of the newest posted batch."""
        venue = await examine_alone(l1, node.rollup, VerdictCache(self._directory / "verdicts.json"))
        proof = await bot.node.proof(bot.signing.account)
        proven = (await prove_account(l1, venue, bot.signing.account, proof)).account
        return of_row(proven)


def of_row(account: containers.Account) -> tuple[int, dict[str, int]]:
    """Collateral and positions of an account's leaf."""
    held = {market: encoding.unpack(account.positions[place]).size for place, market in enumerate(MARKETS)}
    return margin.collateral(account), {market: lots for market, lots in held.items() if lots}


def orders_of(client: Client, account: int) -> dict[str, tuple[str, int, int]]:
    """All orders that were taken, as the node has them."""
    found: dict[str, tuple[str, int, int]] = {}
    before = ""
    while True:
        page = client.call("catenary_orderHistory", account=account, before=before, limit=MOST_ORDERS)
        for order in page["orders"]:
            found[order["order_id"]] = (order["status"], order["filled_lots"], int(order["fees_micros"]))
        before = page["older"]
        if not before:
            return found


def play(random: Random, seconds: float, kills: int) -> Run:
    """Bots over a venue of their own, kills + 1 parts of so many seconds each."""
    prepare()
    with tempfile.TemporaryDirectory(prefix="catenary-bots-") as name, structlog.testing.capture_logs():
        made = Run(random, Path(name), seconds, kills)
        with some_l1(Path(name) / "l1") as l1:
            trio.run(made.run, l1.url)
    return made


def run(minutes: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """So many minutes with two kills."""
    made = play(Random(seed), minutes * 60 / (KILLS + 1), KILLS)
    names = ("cuts", "kills", "orders", "fills", "reconnects", "ledger_differences", "unknown_fates")
    return {name: made.counts[name] for name in names}, made.said
