"""Forty attackers against one node: a fair client's orders and cancels, ticks, memory, and what was acknowledged.

A third of the attackers sends a hundred orders a call whose signatures are not the owner's, a third good ones, a third
bodies that are dear to read, metrics and documents; three hundred further connections say nothing. Their bytes are made
beforehand and sent by a process of the lowest priority. Latency is the node's own, from the last byte read to the
answer, as `server-timing` tells it, without what the machine kept the node from running: its other users would be
counted else, and the attackers themselves, who are somewhere else in life. The wall clock is told beside it. At the end
the node is killed, and the life of each order that was acknowledged is asked of another one on its datadir: it is open,
filled, or over for a reason that may end it. An expired order is not lost, one that nobody knows is.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import msgspec
import trio

from l1_bridge.hashing import keccak
from prover.stf import constants
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from sequencer.engine.effects import Reason
from sequencer.engine.life.lives import OPEN
from tests.sequencer.node_process import Client, NodeProcess, funded, running

ATTACKERS: Final = 40
IDLE: Final = 300
MOST_TIMES: Final = 4.0
# Below so much a p99 is the machine's and no queue's.
LEAST_P99_MS: Final = 25.0
MOST_RSS_MB: Final = 300
_ORDERS: Final = 100
_BODIES: Final = 4
_TOLD: Final = 20
_FAIR_SLOTS: Final = 40
_LOTS: Final = 1_000
_MICROS: Final = 50_000 * 10**6
_TICK_MS: Final = constants.TICK_STEP


def http_bytes(body: bytes, path: str = "/") -> bytes:
    """A request, whole."""
    verb = b"POST" if body else b"GET"
    head = verb + b" " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
    return head + (b"Content-Length: %d\r\n\r\n" % len(body) + body if body else b"\r\n")


def call_bytes(method: str, params: object) -> bytes:
    """A call, encoded."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def orders_of(account: SigningAccount, price: int, garble: bool) -> bytes:
    """A hundred orders that rest far from the market, one a slot."""
    given = []
    for slot in range(1, _ORDERS + 1):
        fields, signature = account.order(0, constants.BUY, 1_000, price - slot, slot, post_only=True)
        if garble:
            signature = signature[:40] + bytes([signature[40] ^ 1]) + signature[41:]
        given.append({"order": fields, "signature": "0x" + signature.hex()})
    return http_bytes(call_bytes("catenary_orders", {"orders": json.loads(json.dumps(given, default=str))}))


def dear_bodies(rng: Random) -> list[bytes]:
    """What costs the most to read, and pages that cost the most to write."""
    floats = b"[" + b",".join([b"1e300"] * 166_000) + b"]"
    nested = b'{"jsonrpc":"2.0","id":1,"method":"catenary_orders","params":' + floats[:120_000] + b"]}"
    pages = [http_bytes(b"", path) for path in ("/metrics", "/openrpc.json")]
    found = [http_bytes(floats), http_bytes(nested), http_bytes(call_bytes("rpc.discover", {})), *pages]
    rng.shuffle(found)
    return found


async def attack(port: int, bodies: list[bytes], address: str) -> None:
    """One attacker: a body after the other, back to back, on a new connection where the node ends it."""
    while True:
        with suppress(OSError, trio.BrokenResourceError, ValueError):
            stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=address)
            async with stream:
                for body in bodies * 1_000:
                    await stream.send_all(body)
                    await read_answer(stream)
        await trio.sleep(0.01)


async def read_answer(stream: trio.SocketStream) -> None:
    """One answer, thrown away; ValueError at the end of the stream."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += await _some(stream)
    head = bytes(data[:end]).lower()
    left = int(head.split(b"content-length:")[1].split()[0]) - (len(data) - end - 4)
    while left > 0:
        left -= len(await _some(stream))


async def _some(stream: trio.SocketStream) -> bytes:
    data = bytes(await stream.receive_some(65_536))
    if not data:
        raise ValueError("the end")
    return data


async def attackers(port: int, folder: Path) -> None:
    """All of them, until this process is ended."""
    bodies = [path.read_bytes() for path in sorted(folder.iterdir())]
    async with trio.open_nursery() as nursery:
        for index in range(ATTACKERS):
            mine = [body for place, body in enumerate(bodies) if place % ATTACKERS == index]
            nursery.start_soon(attack, port, mine, f"127.0.0.{2 + index % 5}")
        for _ in range(IDLE):
            with suppress(OSError):
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                nursery.start_soon(_hold, stream)
        await trio.sleep_forever()


async def _hold(stream: trio.SocketStream) -> None:
    with suppress(OSError, trio.BrokenResourceError):
        await stream.receive_some()


@contextmanager
def attacked(port: int, folder: Path) -> Any:
    """While attackers run in a process of the lowest priority."""
    command = [sys.executable, "-m", "tests.soak.overload", str(port), str(folder)]
    process = subprocess.Popen(command, preexec_fn=lambda: os.nice(19) and None)
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Acknowledged(msgspec.Struct):
    """What the node has said of an order, and what may have ended it since: asked for, answered or not."""

    expires_at_ms: int
    filled_lots: int
    ends: set[str]


def lost(said: Acknowledged, life: dict[str, Any] | None, is_open: bool, now_ms: int) -> str:
    """Why an order is lost by what its life tells behind the kill; empty where it is not."""
    if life is None:
        return "nobody knows it"
    if life["filled_lots"] < said.filled_lots:
        return "a fill is gone"
    if life["status"] in OPEN:
        return "" if is_open else "its life is open, and it is in no book"
    if is_open:
        return "its life is over, and it is in a book"
    if life["status"] == "filled":
        return "" if life["filled_lots"] == _LOTS else "it is filled in part"
    if life["reason"] == Reason.EXPIRED:
        return "" if said.expires_at_ms <= now_ms else "it has expired before its time"
    ends = {*said.ends, Reason.DISPLACED, Reason.MARGIN}
    return "" if life["reason"] in ends else f"it ended as {life['status']}, {life['reason'] or 'for no reason'}"


class Fair:
    """One client that sends one order at a time, takes some back, and notes what the node has said."""

    def __init__(self, url: str, account: SigningAccount, price: int) -> None:
        self.account = account
        self.price = price
        self.orders: list[float] = []
        self.cancels: list[float] = []
        # Of both, with what the machine kept the node from running.
        self.walls: list[float] = []
        self.acknowledged: dict[str, Acknowledged] = {}
        self.refused = 0
        self._newest: dict[int, Acknowledged] = {}
        self._url = url

    async def trade(self, seconds: float) -> None:
        """For so long; a call every twentieth of a second."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, verify=False, timeout=60) as client:
            until = trio.current_time() + seconds
            count = 0
            while trio.current_time() < until:
                count += 1
                slot = 1 + count % _FAIR_SLOTS
                fields, signature = self.account.order(0, constants.BUY, _LOTS, self.price - slot, slot, post_only=True)
                self._may_end(slot, Reason.REPLACED)
                answer = await self._call(client, "catenary_order", "order", fields, signature, self.orders)
                if answer is not None:
                    said = Acknowledged(fields["expires_at_ms"], answer["filled_lots"], set())
                    self.acknowledged[answer["order_id"]] = self._newest[slot] = said
                if count % 4 == 0:
                    fields, signature = self.account.cancel(slot)
                    self._may_end(slot, Reason.CANCELLED)
                    await self._call(client, "catenary_cancel", "request", fields, signature, self.cancels)
                await trio.sleep(0.05)

    def _may_end(self, slot: int, reason: Reason) -> None:
        if slot in self._newest:
            self._newest[slot].ends.add(reason)

    def ended(self, client: Client) -> tuple[Counter[str], list[str]]:
        """What became of all that was acknowledged, counted by status and reason; and why which are lost."""
        told = client.call("catenary_openOrders", account=self.account.account)
        standing, now = {order["order_id"] for order in told}, wall_clock_ms()
        fates: Counter[str] = Counter()
        gone = []
        for name, said in self.acknowledged.items():
            life = client.answer("catenary_order", order_id=name).get("result")
            fates["unknown" if life is None else life["reason"] or life["status"]] += 1
            if why := lost(said, life, name in standing, now):
                gone.append(f"{name}: {why}")
        return fates, gone

    async def _call(
        self, client: httpx.AsyncClient, method: str, name: str, fields: object, signature: bytes, times: list[float]
    ) -> Any:
        params = {name: fields, "signature": "0x" + signature.hex()}
        body = call_bytes(method, json.loads(json.dumps(params, default=str)))
        try:
            told = await client.post("/", content=body)
        except httpx.TransportError:
            self.refused += 1
            return None
        times.append(own_ms(told.headers["server-timing"]))
        self.walls.append(wall_ms(told.headers["server-timing"]))
        answer = told.json()
        self.refused += "result" not in answer
        return answer.get("result")


class Watched:
    """What the node's monitoring port says meanwhile, and its memory."""

    def __init__(self, node: NodeProcess, monitor_url: str) -> None:
        self.ticks: set[int] = set()
        self.silent = 0
        self._node = node
        self._url = monitor_url

    async def run(self) -> None:
        """Asks once a second, on a connection of its own each time."""
        while True:
            try:
                async with httpx.AsyncClient(base_url=self._url, trust_env=False, verify=False, timeout=20) as client:
                    lines = (await client.get("/metrics")).text.splitlines()
                told = next(line for line in lines if line.startswith("catenary_tick_time_ms "))
                self.ticks.add(int(float(told.split()[1])))
            except httpx.TransportError:
                self.silent += 1
            await trio.sleep(1)

    @property
    def missed(self) -> int:
        """Grid times between the first and the last that nobody saw a price of."""
        return (max(self.ticks) - min(self.ticks)) // _TICK_MS + 1 - len(self.ticks)

    @property
    def rss_mb(self) -> int:
        """The most memory that the node has had."""
        told = Path(f"/proc/{self._node.process.pid}/status").read_text()
        return int(told.split("VmHWM:")[1].split()[0]) // 1_024


def wall_ms(timing: str) -> float:
    """Of a `server-timing` the milliseconds from the last byte read to the answer."""
    return float(timing.split("node;dur=")[1].split(",")[0])


def own_ms(timing: str) -> float:
    """The same without those in which the node was ready to run and the machine gave it no core."""
    away = timing.partition("away;dur=")[2]
    return max(0.0, wall_ms(timing) - float(away or 0))


def p99(times: list[float]) -> float:
    """The value that one in a hundred exceeds."""
    return sorted(times)[int(len(times) * 0.99)] if times else 0.0


def violations(found: dict[str, Any]) -> list[str]:
    """What was promised and is not so."""
    broken = []
    bound = MOST_TIMES * max(found["fair_p99_ms_before"], LEAST_P99_MS)
    for name in ("fair_p99_ms_during", "cancel_p99_ms_during"):
        if found[name] > bound:
            broken.append(f"{name} is {found[name]}, more than {bound}")
    for name in ("ticks_missed", "acknowledged_lost", "fair_refused", "monitor_silent"):
        if found[name]:
            broken.append(f"{name} is {found[name]}")
    if found["rss_mb_max"] > MOST_RSS_MB:
        broken.append(f"the node had {found['rss_mb_max']} MB")
    return broken


async def measured(folder: Path, seconds: int, rng: Random) -> dict[str, Any]:
    """The figures of one node."""
    bodies = folder / "bodies"
    bodies.mkdir()
    usual = ("--no-maker", "--verifiers", "2", "--log-level", "warning", "--post-interval", "2")
    with running(folder / "node", *usual) as node:
        accounts = [_account(rng, node.domain, wall_clock_ms) for _ in range(4)]
        await funded(node, accounts, _MICROS)
        price = int(node.client.call("catenary_markets")[0]["price_ticks"]) * 9 // 10
        for index in range(ATTACKERS * _BODIES):
            kind = index % ATTACKERS % 3
            given = [orders_of(accounts[1 + index % 3], price, garble=kind == 0)] if kind < 2 else dear_bodies(rng)
            (bodies / f"{index:04}").write_bytes(given[index // ATTACKERS % len(given)])
        fair, watched = Fair(node.url, accounts[0], price), Watched(node, node.ready["monitor_url"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.run)
            await fair.trade(max(seconds / 3, 2))
            before, fair.orders, fair.cancels = fair.orders, [], []
            walls_before, fair.walls = fair.walls, []
            with attacked(int(node.url.rpartition(":")[2]), bodies):
                await trio.sleep(1)
                await fair.trade(seconds)
            nursery.cancel_scope.cancel()
        memory = watched.rss_mb
        node.kill_with_l1()
    with running(folder / "node", *usual) as node:
        fates, gone = fair.ended(node.client)
    return {
        "fair_p99_ms_before": round(p99(before), 1),
        "fair_p99_ms_during": round(p99(fair.orders), 1),
        "cancel_p99_ms_during": round(p99(fair.cancels), 1),
        "ticks_missed": watched.missed,
        "acknowledged_lost": len(gone),
        "lost": gone[:_TOLD],
        "fates": dict(fates),
        "rss_mb_max": memory,
        "wall_p99_ms_before": p99(walls_before),
        "wall_p99_ms_during": p99(fair.walls),
        "fair_orders": len(fair.orders),
        "fair_refused": fair.refused,
        "monitor_silent": watched.silent,
        "ticks_seen": len(watched.ticks),
    }


def _account(rng: Random, domain: bytes, now_ms: Callable[[], int]) -> SigningAccount:
    return SigningAccount(keccak(rng.randbytes(32)), domain, now_ms)


def run(seconds: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """The figures of so many seconds under attack."""
    with TemporaryDirectory() as folder:
        found = trio.run(measured, Path(folder), seconds, Random(seed))
    return found, violations(found)


if __name__ == "__main__":
    trio.run(attackers, int(sys.argv[1]), Path(sys.argv[2]))
