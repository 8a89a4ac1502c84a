"""What pages cost each order: `python -m tests.benchmarks.pages`.

A node in a process of its own takes the bench's flow of orders, as one call after another or as many at a time, in
turns with nobody and with ten visits of the shipped page, each on a connection of its own, as `tests.browser.recording`
has written them down. Counted is the node's processor time an order; the two are compared within one run, so that the
ratio says something on any machine.
"""

import argparse
import json
import re
from collections import Counter
from itertools import count
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
# As the page connects.
PACE: Final = "?gather_ms=250"


def visit() -> list[tuple[int, str]]:
    """The recorded calls, each with its milliseconds; `addressed` makes them somebody's."""
    return [(int(at), json.dumps(call, separators=(",", ":"))) for at, call in map(json.loads, _lines())]


def _lines() -> list[str]:
    return RECORDED.read_text().splitlines()


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
        self.orders = 0
        self.refused = 0

    def _signed(self) -> SignedMessage:
        wish = next(self._wishes)
        return self._traders[wish.account].order(
            wish.market, wish.side, wish.size_lots, wish.price_ticks, wish.slot, post_only=bool(wish.post_only)
        )

    async def trade(self, client: NodeClient, orders: int) -> None:
        """So many, as fast as the node takes them."""
        until = self.orders + orders
        async with trio.open_nursery() as nursery:
            for _ in range(_CALLERS):
                nursery.start_soon(self._call, client, until)

    async def _call(self, client: NodeClient, until: int) -> None:
        while self.orders < until:
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
        self._url = url + PACE
        self._crowd = crowd
        self._accounts = accounts
        self.messages = 0
        self.bytes = 0
        self.refused: Counter[str] = Counter()

    async def look(self) -> None:
        """One visit of each, all at once."""
        began = self._crowd.orders
        async with trio.open_nursery() as nursery:
            for account, owner in self._accounts:
                nursery.start_soon(self._visit, began, account, owner)

    async def _visit(self, began: int, account: int, owner: str) -> None:
        async with connected(self._url) as socket, trio.open_nursery() as nursery:
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


async def _idle(node: NodeProcess) -> float:
    """Processor seconds a second of a node that nobody asks: it looks at L1 by the clock, whatever else it does."""
    began, at = cpu_seconds(node.process.pid), trio.current_time()
    await trio.sleep(_IDLE_SECONDS)
    return (cpu_seconds(node.process.pid) - began) / (trio.current_time() - at)


async def measured(node: NodeProcess, pages: int, rounds: int, at_once: int, traders: int) -> dict[str, Any]:
    """CPU micro-seconds of an order, the median of the rounds, without pages and with them."""
    signers = [SigningAccount(key(index), node.domain, wall_clock_ms) for index in range(traders)]
    await funded(node, signers, 10_000 * DOLLAR)
    crowd = Crowd(signers, at_once)
    visitors = Visitors(node.url, crowd, [(signer.account, "0x" + signer.address.hex()) for signer in signers[:pages]])
    orders = visit()[-1][0] * ORDERS_A_SECOND // 1_000
    micros: dict[bool, list[float]] = {False: [], True: []}
    async with NodeClient(node.url) as client:
        idle = await _idle(node)
        await crowd.trade(client, orders // 4)
        # Each goes first as often.
        for turn in range(rounds):
            for is_watched in (turn % 2 == 1, turn % 2 == 0):
                before, began, at = crowd.orders, cpu_seconds(node.process.pid), trio.current_time()
                async with trio.open_nursery() as nursery:
                    if is_watched:
                        nursery.start_soon(visitors.look)
                    await crowd.trade(client, orders)
                spent = cpu_seconds(node.process.pid) - began - idle * (trio.current_time() - at)
                micros[is_watched].append(spent * 1e6 / (crowd.orders - before))
    alone, watched = (median(micros[is_watched]) for is_watched in (False, True))
    return {
        "pages": pages,
        "orders_at_once": at_once,
        "orders": crowd.orders,
        "refused_orders": crowd.refused,
        "idle_micros_a_second": round(idle * 1e6),
        "micros_per_order_alone": round(alone, 1),
        "micros_per_order_watched": round(watched, 1),
        "ratio": round(watched / alone, 3),
        "ratios": [round(after / before, 3) for before, after in zip(*micros.values(), strict=True)],
        "messages": visitors.messages,
        "bytes": visitors.bytes,
        "refused_calls": dict(visitors.refused),
    }


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--rounds", type=int, default=4, help="with and without, each so often (4)")
    parser.add_argument("--at-once", type=int, default=GROUP_ORDERS, help="orders of a call (64)")
    parser.add_argument("--traders", type=int, default=100)
    given = parser.parse_args()
    with (
        TemporaryDirectory() as directory,
        running(Path(directory), *_FLAGS) as node,
        still_prices(node.url, node.domain),
    ):
        print(json.dumps(trio.run(measured, node, given.pages, given.rounds, given.at_once, given.traders)))


if __name__ == "__main__":
    main()
