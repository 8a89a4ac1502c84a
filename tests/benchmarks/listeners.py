"""What readers of one account cost each order: `python -m tests.benchmarks.listeners`.

Orders of a node's sequencer, each in a group of its own with a journal on the disk, in turns with nobody and with
readers of `account:N`; without sockets, or with `--sockets` a node in a process of its own, whose processor time is
counted, and a WebSocket for each reader. The two are compared within one run: the ratio says something on any machine.
"""

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Final, cast

import trio
from prometheus_client import CollectorRegistry

from prover.stf import constants
from sequencer.api.rpc.jsonrpc import JSON, Call, Codec, Push, Session
from sequencer.api.rpc.limits import Limits, TokenBucket
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.socket import connected
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.subscriptions import Subscribe
from tests.sequencer.desk import Desk
from tests.sequencer.node_process import NodeProcess, funded, running
from tests.sequencer.node_world import BUY, DOLLAR, FIRST, PRICES, START, deposit, key, order, owner, signed_order, tick

_SLOTS: Final = 40


class _Reader:
    """A connection that takes what it is told, as text."""

    def __init__(self) -> None:
        self.session = Session(TokenBucket(1, 9, lambda: 0.0), subscriber=cast(Any, self))
        self.frames = 0

    def push(self, message: Push, codec: Codec, place: object) -> None:
        """One frame."""
        self.frames += len(message.encoded(codec)) > 0

    def overflow(self) -> None:
        """Never: nothing waits here."""


async def measured(directory: Path, readers: int, rounds: int, orders: int) -> dict[str, float]:
    """CPU micro-seconds of an order, the median of the rounds, without and with readers."""
    desk = Desk(directory)
    feeds = Feeds("run", Limits(), ApiMetrics(CollectorRegistry()))
    desk.methods._channels._markets_open = 0
    desk.venue.ended[:] = [desk.methods.ended]
    desk.methods.open_feeds(feeds)
    listening = [_Reader() for _ in range(readers)]
    micros: dict[bool, list[float]] = {False: [], True: []}
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.venue.run)
        nursery.start_soon(desk.methods.run)
        await desk.venue.submit(deposit(owner(0), 10_000 * DOLLAR))
        await desk.venue.submit(tick(START))
        for count in range(2 * rounds):
            is_heard = count % 2 == 1
            for reader in listening if is_heard else ():
                call = SimpleNamespace(session=reader.session, codec=JSON, after_answer=[])
                await feeds.subscribe(Subscribe(f"account:{FIRST}"), cast(Call, call))
                call.after_answer[0]()
            await _round(desk, orders)
            began = time.process_time()
            await _round(desk, orders)
            micros[is_heard].append((time.process_time() - began) * 1e6 / orders)
            for reader in listening if is_heard else ():
                reader.session.leave_by_channel[f"account:{FIRST}"]()
        nursery.cancel_scope.cancel()
    alone, heard = (median(micros[is_heard]) for is_heard in (False, True))
    return {
        "readers": readers,
        "micros_per_order_alone": round(alone, 1),
        "micros_per_order_heard": round(heard, 1),
        "ratio": round(heard / alone, 3),
        "frames": sum(reader.frames for reader in listening),
    }


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far, its threads' too."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def of_node(node: NodeProcess, readers: int, rounds: int, orders: int) -> dict[str, float]:
    """The same of a node that serves its readers."""
    trader = SigningAccount(key(0), node.domain, wall_clock_ms)
    await funded(node, [trader], 10_000 * DOLLAR)
    price = node.client.call("catenary_markets")[0]["price_ticks"] * 97 // 100
    micros: dict[bool, list[float]] = {False: [], True: []}
    frames = [0]
    async with NodeClient(node.url) as client:

        async def play() -> None:
            for step in range(orders):
                await client.orders([trader.order(0, BUY, 100, price - step % 50, 1 + step % _SLOTS)])

        for count in range(2 * rounds):
            is_heard = count % 2 == 1
            async with trio.open_nursery() as nursery:
                for _ in range(readers if is_heard else 0):
                    await nursery.start(_listen, node.url, trader.account, frames)
                await play()
                began = cpu_seconds(node.process.pid)
                await play()
                micros[is_heard].append((cpu_seconds(node.process.pid) - began) * 1e6 / orders)
                nursery.cancel_scope.cancel()
    alone, heard = (median(micros[is_heard]) for is_heard in (False, True))
    return {
        "readers": readers,
        "micros_per_order_alone": round(alone, 1),
        "micros_per_order_heard": round(heard, 1),
        "ratio": round(heard / alone, 3),
        "frames": frames[0],
    }


async def _listen(
    url: str, account: int, frames: list[int], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    async with connected(url) as socket:
        call = {"jsonrpc": "2.0", "id": 1, "method": "catenary_subscribe", "params": {"channel": f"account:{account}"}}
        await socket.send(json.dumps(call))
        await socket.receive()
        task_status.started()
        while True:
            await socket.receive()
            frames[0] += 1


async def _round(desk: Desk, orders: int) -> None:
    for step in range(orders):
        desk.clock.now += 1
        if step % 900 == 0:
            desk.clock.now += constants.TICK_STEP - desk.clock.now % constants.TICK_STEP
            await desk.venue.submit(b"")
            await desk.venue.submit(tick(desk.clock.now))
        given = order(desk.clock.now, FIRST, BUY, PRICES[0] - 1_000 - step % 50, 100, slot=1 + step % _SLOTS)
        outcome = await desk.venue.submit(signed_order(given, key(0)))
        assert outcome.code == 0, outcome


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5, help="with and without, each so often (5)")
    parser.add_argument("--orders", type=int, default=600, help="of a round (600)")
    parser.add_argument("--sockets", action="store_true", help="a node in a process of its own, and WebSockets")
    given = parser.parse_args()
    with TemporaryDirectory() as directory:
        if given.sockets:
            with running(Path(directory), "--verifiers", "0", "--preflight-workers", "0") as node:
                print(json.dumps(trio.run(of_node, node, given.readers, given.rounds, given.orders)))
            return
        print(json.dumps(trio.run(measured, Path(directory), given.readers, given.rounds, given.orders)))


if __name__ == "__main__":
    main()
