"""What pages cost each order: `python -m tests.benchmarks.pages`.

Two nodes, each in a process of its own, take the bench's flow of orders in the same seconds, as fast as they do; one of
them is watched by ten visits of the shipped page, each on a connection of its own, as `tests.browser.recording` has
written them down, and then the other. Counted is each node's own processor time an order: what else the machine does,
and what grows with a node's history, falls on both.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from math import inf, sqrt
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio

from sequencer.bench import flow
from sequencer.bench.bench import GROUP_ORDERS
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import Rejected
from sequencer.client.socket import Socket, connected
from sequencer.devnet.signing_account import SignedMessage, SigningAccount
from tests.benchmarks.listeners import cpu_seconds
from tests.sequencer.node_process import NodeProcess, funded, running, still_prices
from tests.sequencer.node_world import DOLLAR, key

RECORDED: Final = Path(__file__).parent / "page.jsonl"
PAGES: Final = 10
_SEED: Final = 13
# Where a refusal says that it is one.
_HEAD: Final = 40
_LATER: Final = re.compile(r'"\$now\+(\d+)"')
# As an operator runs it, but for prices that stand still and one process whose time is counted.
_FLAGS: Final = (
    "--no-oracle",
    "--verifiers",
    "0",
    "--preflight-workers",
    "0",
    "--seal-seconds",
    "1",
    "--post-interval",
    "5",
)
_CALLERS: Final = 3
_IDLE_SECONDS: Final = 20
# What one process of a node takes on one core by its API, about.
ORDERS_A_SECOND: Final = 1_000
# As the page connects: so long what it is told adds up.
GATHER_MS: Final = 250
MOST_GATHER_MS: Final = 1_000


def visit() -> list[tuple[int, str]]:
    """The recorded calls, each with its milliseconds; `addressed` makes them somebody's."""
    return [(int(at), json.dumps(call, separators=(",", ":"))) for at, call in map(json.loads, _lines())]


def _lines() -> list[str]:
    return RECORDED.read_text().splitlines()


def paced(gather_ms: int = GATHER_MS) -> str:
    """What the page puts behind the address to which it connects."""
    return f"?gather_ms={gather_ms}"


def gathered(orders_a_second: float) -> int:
    """For as many orders as the page's time has where there are `ORDERS_A_SECOND`: as a visit's second is stretched."""
    return min(round(GATHER_MS * ORDERS_A_SECOND / orders_a_second), MOST_GATHER_MS)


def watched_in(turn: int) -> int:
    """Which of the two is watched: in the two turns of a pair either one, and either first as often."""
    return (turn + turn // 2) % 2


def paired(ratios: Sequence[float]) -> list[float]:
    """Of each two turns their geometric mean: what the one node does dearer is once above and once below the line."""
    return [sqrt(one * other) for one, other in zip(ratios[::2], ratios[1::2], strict=True)]


def addressed(call: str, account: int, owner: str, now_ms: int) -> str:
    """A recorded call as somebody sends it now."""
    call = _LATER.sub(lambda found: str(now_ms + int(found[1])), call)
    return call.replace('"$account"', str(account)).replace("$account", str(account)).replace("$owner", owner)


class Crowd:
    """Traders who want what the bench's flow wants, a call after another of each of some."""

    def __init__(self, traders: list[SigningAccount], at_once: int) -> None:
        self._traders = traders
        self._at_once = at_once
        self._wishes = (wish for number in count() for wish in flow.wishes(_SEED, len(traders), number))
        self._waiting: list[tuple[int, trio.Event]] = []
        self._until: float = 0
        self.orders = 0
        self.refused = 0

    def _signed(self) -> SignedMessage:
        wish = next(self._wishes)
        return self._traders[wish.account].order(
            wish.market, wish.side, wish.size_lots, wish.price_ticks, wish.slot, post_only=bool(wish.post_only)
        )

    async def trade(self, client: NodeClient, orders: float = inf) -> None:
        """So many, or until it is stopped, as fast as the node takes them."""
        self._until = self.orders + orders
        async with trio.open_nursery() as nursery:
            for _ in range(_CALLERS):
                nursery.start_soon(self._call, client)

    def stop(self) -> None:
        """No further call."""
        self._until = 0

    async def _call(self, client: NodeClient) -> None:
        while self.orders < self._until:
            answers = await client.orders([self._signed() for _ in range(self._at_once)])
            self.orders += len(answers)
            self.refused += sum(isinstance(answer, Rejected) for answer in answers)
            for due, event in self._waiting:
                if due <= self.orders:
                    event.set()
            self._waiting = [one for one in self._waiting if not one[1].is_set()]

    async def until(self, orders: int) -> None:
        """Once so many were answered."""
        if self.orders < orders:
            event = trio.Event()
            self._waiting.append((orders, event))
            await event.wait()


class Visitors:
    """Who looks on by the page. A second of a visit is as many orders: how busy the machine is changes nothing."""

    def __init__(self, url: str, crowd: Crowd, accounts: list[tuple[int, str]]) -> None:
        self._url = url
        self._crowd = crowd
        self._accounts = accounts
        self.messages = 0
        self.bytes = 0
        self.refused: Counter[str] = Counter()

    async def look(self, gather_ms: int) -> None:
        """One visit of each, all at once."""
        began = self._crowd.orders
        url = self._url + paced(gather_ms)
        async with trio.open_nursery() as nursery:
            for account, owner in self._accounts:
                nursery.start_soon(self._visit, url, began, account, owner)

    async def _visit(self, url: str, began: int, account: int, owner: str) -> None:
        async with connected(url) as socket, trio.open_nursery() as nursery:
            nursery.start_soon(self._hear, socket)
            for at, call in visit():
                await self._crowd.until(began + at * ORDERS_A_SECOND // 1_000)
                await socket.send(addressed(call, account, owner, wall_clock_ms()))
            nursery.cancel_scope.cancel()

    async def _hear(self, socket: Socket) -> None:
        while True:
            text = await socket.receive()
            self.messages += 1
            self.bytes += len(text)
            if '"error":' in text[:_HEAD]:
                self.refused[json.loads(text)["error"]["data"]["name"]] += 1


class Side:
    """A node with traders and visitors of its own, and what it has spent on them."""

    def __init__(self, node: NodeProcess, signers: list[SigningAccount], pages: int, at_once: int) -> None:
        self.node = node
        self.crowd = Crowd(signers, at_once)
        watching = [(signer.account, "0x" + signer.address.hex()) for signer in signers[:pages]]
        self.visitors = Visitors(node.url, self.crowd, watching)
        self._spent = self._orders = self._at = self._idle = 0.0

    def begin(self) -> None:
        """Counts from here."""
        self._orders, self._at = self.crowd.orders, trio.current_time()
        self._spent = cpu_seconds(self.node.process.pid)

    @property
    def orders_a_second(self) -> float:
        """Since it was begun."""
        return (self.crowd.orders - self._orders) / (trio.current_time() - self._at)

    @property
    def idle(self) -> float:
        """Processor seconds a second of a node that nobody asks: it looks at L1 by the clock, whatever else it does."""
        return self._idle

    def was_idle(self) -> None:
        """Nobody has asked since it was begun."""
        self._idle = (cpu_seconds(self.node.process.pid) - self._spent) / (trio.current_time() - self._at)

    def micros(self) -> float:
        """Processor time of an order since it was begun."""
        spent = cpu_seconds(self.node.process.pid) - self._spent - self._idle * (trio.current_time() - self._at)
        return spent * 1e6 / (self.crowd.orders - self._orders)


async def measured(nodes: Sequence[NodeProcess], pages: int, pairs: int, at_once: int, traders: int) -> dict[str, Any]:
    """CPU micro-seconds of an order of two nodes in the same seconds, one alone and one watched, then the other way."""
    sides: list[Side] = []
    for node in nodes:
        signers = [SigningAccount(key(index), node.domain, wall_clock_ms) for index in range(traders)]
        await funded(node, signers, 10_000 * DOLLAR)
        sides.append(Side(node, signers, pages, at_once))
    orders = visit()[-1][0] * ORDERS_A_SECOND // 1_000
    micros: dict[bool, list[float]] = {False: [], True: []}
    rates: list[float] = []
    async with NodeClient(nodes[0].url) as first, NodeClient(nodes[1].url) as second:
        clients = first, second
        for side in sides:
            side.begin()
        await trio.sleep(_IDLE_SECONDS)
        for side in sides:
            side.was_idle()
            side.begin()
        async with trio.open_nursery() as nursery:
            for side, client in zip(sides, clients, strict=True):
                nursery.start_soon(side.crowd.trade, client, orders // 4)
        gather_ms = gathered(min(side.orders_a_second for side in sides))
        for turn in range(2 * pairs):
            watched = watched_in(turn)
            for side in sides:
                side.begin()
            async with trio.open_nursery() as nursery:
                for side, client in zip(sides, clients, strict=True):
                    nursery.start_soon(side.crowd.trade, client)
                await sides[watched].visitors.look(gather_ms)
                for index, side in enumerate(sides):
                    micros[index == watched].append(side.micros())
                    rates.append(side.orders_a_second)
                    side.crowd.stop()
    ratios = [after / before for before, after in zip(*micros.values(), strict=True)]
    of_pairs = paired(ratios)
    return {
        "pages": pages,
        "orders_at_once": at_once,
        "orders": sum(side.crowd.orders for side in sides),
        "refused_orders": sum(side.crowd.refused for side in sides),
        "orders_a_second": round(median(rates)),
        "gather_ms": gather_ms,
        "idle_micros_a_second": [round(side.idle * 1e6) for side in sides],
        "micros_per_order_alone": round(median(micros[False]), 1),
        "micros_per_order_watched": round(median(micros[True]), 1),
        "ratio": round(median(of_pairs), 3),
        "pairs": [round(ratio, 3) for ratio in of_pairs],
        "turns": [round(ratio, 3) for ratio in ratios],
        "messages": sum(side.visitors.messages for side in sides),
        "bytes": sum(side.visitors.bytes for side in sides),
        "refused_calls": dict(sum((side.visitors.refused for side in sides), Counter[str]())),
    }


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--pairs", type=int, default=3, help="turns in which each node is watched once (3)")
    parser.add_argument("--at-once", type=int, default=GROUP_ORDERS, help="orders of a call (64)")
    parser.add_argument("--traders", type=int, default=100)
    given = parser.parse_args()
    with ExitStack() as stack:
        nodes: list[NodeProcess] = []
        for _ in range(2):
            node = stack.enter_context(running(Path(stack.enter_context(TemporaryDirectory())), *_FLAGS))
            stack.enter_context(still_prices(node.url, node.domain))
            nodes.append(node)
        print(json.dumps(trio.run(measured, nodes, given.pages, given.pairs, given.at_once, given.traders)))


if __name__ == "__main__":
    main()
