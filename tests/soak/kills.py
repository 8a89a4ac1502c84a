"""Kill -9 of a venue at any moment, and what was acknowledged: under load, in a start, a rebuild from L1, a hand-over.

Two traders send order behind order and soft cancels to `catenary node`, on an L1 of its own; the process is killed and
started again on its datadir. Each acknowledged fill stands once in the history of its account. Behind a rebuild the
datadir is gone, behind a hand-over another key holds the seat and a copy of it. After each return every acknowledged
fill is in the positions, once; every resting order is in its slot unless it is over, nothing that was cancelled is
back, and the bridge's newest batch is the node's. At the end of each history all of it is replayed from L1's logs
alone, which has to end where node and bridge are.
"""

import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import calls
from prover.history.history import ChainReplay
from prover.history.verify import verify
from prover.state.store import MemoryStore
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from sequencer.node.datadir import answered, ask
from sequencer.schema.history import MOST_ROWS
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Client, Node, deployment_of, funded, some_l1
from tests.sequencer.node_world import BUY, DOLLAR, LOTS, SELL, key
from tests.soak.kills_process import KilledNode, prepare

KINDS: Final = ("load", "start", "rebuild", "hand_over")
# Of ten kills so many are of each kind.
_WEIGHTS: Final = (4, 3, 1, 2)
KILLS_OF_A_HISTORY: Final = 25
_BOND_WEI: Final = 20 * 10**18
_LOTS: Final = LOTS // 10
# Of what is filled at once or not at all; what rests has slots of its own.
_TAKING_SLOT: Final = 1
_FIRST_SLOT: Final = 10
_SLOTS: Final = 40
# Three percent of a bitcoin's price, which simulated prices do not move while a history lasts.
_AWAY_TICKS: Final = 18_000
# Of a start from its first moment: to where most of them are up.
_START_SECONDS: Final = 2.5
_HAND_OVER_SECONDS: Final = 6.0
# Of each load, before its end is drawn.
_LEAST_ACKNOWLEDGED: Final = 10
# An order that is nearly over when it is looked for is not looked for.
_NEARLY_MS: Final = 15_000


class Stream:
    """A trader who sends one order after the other until the node is gone, and keeps what was acknowledged.

    filled: lots that he took since the last look; standing: what rests, by slot; cancelled: sequences, by slot;
    in_flight: the slot of what was sent and not answered.
    """

    def __init__(self, trader: SigningAccount, side: int) -> None:
        self.filled = 0
        self.acknowledged = 0
        self.standing: dict[int, dict[str, Any]] = {}
        self.cancelled: dict[int, int] = {}
        self.in_flight = 0
        self.trader = trader
        self._side = side

    def run(self, url: str, price: int, is_over: threading.Event) -> None:
        """Until the node is gone, or nothing more is wanted."""
        sequence, sent = 0, 0
        with Client(url) as client:
            while not is_over.is_set():
                # A tick of the clock each, so that none replaces another by accident.
                while (now := wall_clock_ms()) <= sequence:
                    pass
                sequence, sent = now, sent + 1
                try:
                    self._send(client, price, sent)
                except httpx.HTTPError:
                    return

    def _send(self, client: Client, price: int, sent: int) -> None:
        slot = _FIRST_SLOT + sent // 3 % _SLOTS
        is_cancel, is_resting = sent % 7 == 0, sent % 3 == 0
        self.in_flight = slot if is_cancel or is_resting else _TAKING_SLOT
        if is_cancel:
            request, signature = self.trader.cancel(slot)
            if "result" in client.answer("catenary_cancel", request=request, signature="0x" + signature.hex()):
                self.acknowledged += 1
                self.cancelled[slot] = request["sequence"]
                self.standing.pop(slot, None)
        else:
            away = (-1 if self._side == BUY else 1) * _AWAY_TICKS if is_resting else 0
            order, signature = self.trader.order(
                0, self._side, _LOTS, price + away, slot if is_resting else _TAKING_SLOT, post_only=is_resting
            )
            answer = client.answer("catenary_order", order=order, signature="0x" + signature.hex()).get("result")
            if answer is not None:
                self.acknowledged += 1
                self.filled += answer["filled_lots"]
                if answer["status"] == "resting" and is_resting:
                    self.standing[slot] = order
        self.in_flight = 0

    def missing(self, open_orders: list[dict[str, Any]], now_ms: int) -> list[dict[str, Any]]:
        """Those that stand and are not open, though they are not over."""
        known = {order["slot"]: order["sequence"] for order in open_orders}
        # What was under way may have been a cancel, and was taken or not: of its slot nothing is known from here on.
        self.standing.pop(self.in_flight, None)
        self.standing = {s: order for s, order in self.standing.items() if order["expires_at_ms"] > now_ms + _NEARLY_MS}
        gone = {slot: order for slot, order in self.standing.items() if known.get(slot, -1) < order["sequence"]}
        # Each is counted once.
        self.standing = {slot: order for slot, order in self.standing.items() if slot not in gone}
        return list(gone.values())

    def returned(self, open_orders: list[dict[str, Any]]) -> int:
        """How many are open that a receipt has taken out."""
        return sum(order["sequence"] <= self.cancelled.get(order["slot"], -1) for order in open_orders)


class History:
    """One venue from its first deposit on, killed so many times. counts: what must be nothing, and figures."""

    def __init__(self, random: Random, directory: Path, kinds: list[str]) -> None:
        """kinds: of the kills, in their order."""
        self.counts: Counter[str] = Counter()
        self.said: list[str] = []
        self._random = random
        self._directory = directory
        self._kinds = kinds
        self._key = 0
        self._number = 0
        self._bought = 0
        self._last = ""

    @property
    def _datadir(self) -> Path:
        return self._directory / f"operator-{self._number}"

    async def run(self, l1_url: str) -> None:
        """Kills until enough were, and then the replay of all."""
        self._l1_url, self._rollup = l1_url, b""
        async with L1Client(l1_url, L1Options(poll_seconds=0.05)) as self._l1:
            self._process = self._started()
            try:
                await self._play()
            finally:
                self._process.kill()

    async def _play(self) -> None:
        node = await self._up()
        self._deployment, self._rollup = deployment_of(node), node.rollup
        traders = [SigningAccount(key(index), node.domain, wall_clock_ms) for index in range(2)]
        await funded(node, traders, 1_000_000 * DOLLAR)
        self._streams = [Stream(trader, side) for trader, side in zip(traders, (SELL, BUY), strict=True)]
        while self._kinds:
            node = await self._ended(self._kinds[0], node)
            await self._look(node)
        await self._replay(node)
        node.client.close()

    # One end after the other.

    async def _ended(self, kind: str, node: Node) -> Node:
        """Load, an end of this kind, and the node that is up behind it."""
        price = node.client.call("catenary_markets")[0]["price_ticks"]
        is_over = threading.Event()
        threads = [threading.Thread(target=one.run, args=(node.url, price, is_over)) for one in self._streams]
        for thread in threads:
            thread.start()
        try:
            await self._loaded()
            if kind == "rebuild":
                await self._let_go(is_over, threads)
                await all_posted(node)
            if kind == "hand_over":
                await self._ask_to_leave()
            if kind in ("load", "hand_over"):
                self._kill(kind)
            else:
                # The kills that count come behind it.
                self._process.kill()
        finally:
            await self._let_go(is_over, threads)
        node.client.close()
        if kind == "rebuild":
            shutil.rmtree(self._datadir)
            for stream in self._streams:
                stream.standing.clear()
        if kind == "hand_over":
            await self._succeed()
        self._process = self._started()
        if kind != "load":
            await self._kill_starts(kind)
        return await self._up()

    async def _loaded(self) -> None:
        """Until enough was acknowledged that can be lost, and a moment more."""
        wanted = sum(one.acknowledged for one in self._streams) + _LEAST_ACKNOWLEDGED

        async def still() -> str:
            acknowledged = sum(one.acknowledged for one in self._streams)
            return "" if acknowledged >= wanted else f"{acknowledged} operations are acknowledged, of {wanted}"

        await until("a load that can be lost", still)
        await trio.sleep(self._random.uniform(0, 0.7))

    async def _let_go(self, is_over: threading.Event, threads: list[threading.Thread]) -> None:
        is_over.set()
        for thread in threads:
            await trio.to_thread.run_sync(thread.join, PATIENCE_SECONDS)

    def _kill(self, kind: str) -> None:
        if self._process.has_ended:
            # It has handed its seat over meanwhile.
            return
        self._process.kill()
        self.counts[kind] += 1
        self._kinds.remove(kind)
        self._last = kind

    async def _kill_starts(self, kind: str) -> None:
        """Kills what comes up once or twice more, at any moment, as long as kills of this kind are wanted."""
        for _ in range(self._random.randrange(1, 3)):
            if kind not in self._kinds:
                return
            await trio.sleep(self._random.uniform(0, _START_SECONDS))
            if self._process.has_ended:
                # Whatever ended it is told by the next start.
                self._process = self._started()
                return
            self._kill(kind)
            self._process = self._started()

    async def _ask_to_leave(self) -> None:
        """Asks for a hand-over to the other key, and waits for any part of it."""
        other, at = development_key(1 - self._key), self._deployment.bridge
        seat = calls.decode_record(calls.Seat, await self._l1.eth_call(at, calls.encode_call("seat")))
        data = calls.encode_call("bond_ahead", "http://next", seat.bond_id)
        await self._l1.send(other, at, data, value=_BOND_WEI, gas=600_000)
        ask(self._datadir, await self._l1.word(at, calls.encode_call("bond_count")))
        with trio.move_on_after(self._random.uniform(0, _HAND_OVER_SECONDS)):
            while answered(self._datadir) is None:
                await trio.sleep(0.01)

    async def _succeed(self) -> None:
        """Whom L1 names goes on, with a copy of the datadir where it is the other one."""
        # What was sent is mined, or was never sent.
        wanted = (await self._l1.newest_block()).number + 2

        async def still() -> str:
            newest = (await self._l1.newest_block()).number
            return "" if newest >= wanted else f"L1's newest block is {newest}, not {wanted}"

        await until("two blocks of L1", still)
        seat = calls.decode_record(
            calls.Seat, await self._l1.eth_call(self._deployment.bridge, calls.encode_call("seat"))
        )
        if seat.holder == development_key(1 - self._key).address:
            before = self._datadir
            self._key, self._number = 1 - self._key, self._number + 1
            shutil.copytree(before, self._datadir)
            self.counts["seats_handed_over"] += 1

    def _started(self) -> KilledNode:
        rollup = ("--rollup-address", "0x" + self._rollup.hex()) if self._rollup else ("--deploy",)
        return KilledNode(self._datadir, self._l1_url, self._key, *rollup)

    async def _up(self) -> Node:
        node = await self._process.ready()
        if node is None:
            raise NotUp(f"code {self._process.code}: {self._process.last}")
        return node

    # What must hold.

    async def _look(self, node: Node) -> None:
        accounts = [node.client.call("catenary_account", account=one.trader.account) for one in self._streams]
        sold, bought = (sum(held["size_lots"] for held in account["positions"]) for account in accounts)
        taken = sum(one.filled for one in self._streams)
        # Each stream had at most one order under way that nobody has answered.
        most = taken + _LOTS * len(self._streams)
        self.counts["lost"] += max(0, taken - (bought - self._bought)) + abs(sold + bought)
        self.counts["duplicated"] += max(0, bought - self._bought - most)
        self._bought = bought
        for one in self._streams:
            found = node.client.call("catenary_openOrders", account=one.trader.account)
            for order in one.missing(found, wall_clock_ms()):
                self.counts["lost"] += 1
                fate = node.client.answer("catenary_order", account=one.trader.account, slot=order["slot"])
                self.said.append(f"behind a kill of kind {self._last}: {order} is not open: {fate}; open: {found}")
            self.counts["duplicated"] += one.returned(found)
            one.filled = 0
        for one, held in zip(self._streams, (sold, bought), strict=True):
            rows = fills_of(node.client, one.trader.account)
            # Of one account all fills come to its position, and one operation of a chunk is a fill once.
            self.counts["lost"] += abs(held - sum(_lots_of(row) for row in rows))
            self.counts["duplicated"] += len(rows) - len({(row["chunk"], row["operation_index"]) for row in rows})
        with trio.move_on_after(PATIENCE_SECONDS):
            while (await self._head()).last_root.hex() not in node.client.status()["posted"]["root"]:
                await trio.sleep(0.1)
            return
        self._mismatch(f"the bridge's head is never the node's: {node.client.status()}")

    async def _head(self) -> calls.BatchRecord:
        answer = await self._l1.eth_call(self._deployment.bridge, calls.encode_call("head"))
        return calls.decode_record(calls.BatchRecord, answer)

    def _mismatch(self, said: str) -> None:
        self.counts["root_mismatches"] += 1
        self.said.append(said)

    async def _replay(self, node: Node) -> None:
        """From L1's logs alone; ticks go on meanwhile, so the bridge's own head is what it has to be."""
        await all_posted(node)
        replay = ChainReplay(MemoryStore(), self._deployment.identity)
        report = await verify(self._l1, replay, self._deployment.token, tell=lambda notice: None)
        if not report.held:
            self._mismatch(f"L1 does not replay to the bridge's root: {report}")
        self.counts["acknowledged"] += sum(one.acknowledged for one in self._streams)
        self.counts["batches"] += report.batches


async def all_posted(node: Node) -> None:
    """Until L1 holds all that was taken."""

    async def still() -> str:
        status = node.client.status()
        sequenced, posted = status["sequenced"], status["posted"]
        if not sequenced["operations"] and posted["chunks"] == sequenced["chunk"]:
            return ""
        reasons = [reason["code"] for reason in status["reasons"]]
        return (
            f"{sequenced['operations']} operations are open, {posted['chunks']} chunks of {sequenced['chunk']} are "
            f"posted, and what stands against it is {reasons}"
        )

    await until("all that was taken to be on L1", still)


def fills_of(client: Client, account: int) -> list[dict[str, Any]]:
    """All that an account's history has of fills."""
    rows, before = list[dict[str, Any]](), ""
    while True:
        page = client.call("catenary_fills", account=account, before=before, limit=MOST_ROWS)
        rows += page["fills"]
        before = page["older"]
        if not before:
            return rows


def _lots_of(row: dict[str, Any]) -> int:
    return row["size_lots"] if row["side"] == "buy" else -row["size_lots"]


class NotUp(Exception):
    """A node that must come up has ended."""


class NeverCame(Exception):
    """What was waited for, and what stood when the wait was over."""


async def until(awaited: str, still: Callable[[], Awaitable[str]]) -> None:
    """Waits until nothing is missing any more; NeverCame with the last thing that was.

    still: what is missing now, empty for nothing.
    """
    end = trio.current_time() + PATIENCE_SECONDS
    while missing := await still():
        if trio.current_time() > end:
            raise NeverCame(f"{awaited} did not come in {PATIENCE_SECONDS} seconds: {missing}")
        await trio.sleep(0.05)


def kinds_of(random: Random, kills: int) -> list[str]:
    """What is killed: each kind once where there is room, the others as they are drawn."""
    return [*KINDS[:kills], *random.choices(KINDS, _WEIGHTS, k=max(0, kills - len(KINDS)))]


def run(kills: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """So many kills, in histories of 25: how many were lost, doubled, or ended in another root."""
    prepare()
    random = Random(seed)
    counts: Counter[str] = Counter()
    broken: list[str] = []
    for first in range(0, kills, KILLS_OF_A_HISTORY):
        kinds = kinds_of(random, min(KILLS_OF_A_HISTORY, kills - first))
        with tempfile.TemporaryDirectory(prefix="catenary-kills-") as name, structlog.testing.capture_logs():
            history = History(random, Path(name), kinds)
            with some_l1(Path(name) / "l1") as l1:
                try:
                    trio.run(history.run, l1.url)
                except* (NotUp, NeverCame, AssertionError, L1Error) as errors:
                    broken += [f"history {first // KILLS_OF_A_HISTORY}: {error!r}" for error in errors.exceptions]
        counts += history.counts
        broken += history.said
        told = {kind: counts[kind] for kind in KINDS}
        print(f"{sum(told.values())} kills: {dict(counts)}", file=sys.stderr, flush=True)
    harm = {name: counts[name] for name in ("lost", "duplicated", "root_mismatches")}
    broken += [f"{name}: {count}" for name, count in harm.items() if count]
    figures = {name: counts[name] for name in ("acknowledged", "batches", "seats_handed_over")}
    of_kind = {"kills_" + kind: counts[kind] for kind in KINDS}
    return figures | of_kind | {"kills": sum(of_kind.values())} | harm, broken
