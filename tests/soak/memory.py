"""Memory of a node under load: so many orders and fills as an hour has, as fast as it takes them, its RSS sampled.

Four traders send calls of forty orders; half of them rest far away and replace what stood in their slot, half meet.
What an hour of a quiet venue has, ten fills a second, is 36,000 fills: `operations_an_hour` says how many were reached.
Growth is between the time when lists of a fixed length are full, the longest of 10,000 fills, and the end; of the same
stretch `bytes_an_order` is the slope of a straight line through all samples, which the noise of single ones moves less.
"""

from pathlib import Path
from random import Random
from statistics import linear_regression
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import msgspec
import trio

from l1_bridge.hashing import keccak
from prover.stf import constants
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from tests.sequencer.node_process import funded, running

FILLS_AN_HOUR: Final = 36_000
# Of all that it has once it is warm, so much may be added until the end.
MOST_GROWTH_PERCENT: Final = 10
# Fills by then; of fewer in all the first half.
WARM_FILLS: Final = 12_000
_ORDERS: Final = 40
_MICROS: Final = 50_000_000 * 10**6
_SLOTS: Final = 200
_SAMPLE_SECONDS: Final = 2.0


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    told = Path(f"/proc/{pid}/status").read_text()
    return int(told.split("VmRSS:")[1].split()[0]) / 1_024


class Load:
    """Two traders opposite each other in one market. orders, fills: acknowledged ones."""

    def __init__(self, url: str, traders: tuple[SigningAccount, SigningAccount], market: int, price: int) -> None:
        self.orders = 0
        self.fills = 0
        self._url = url
        self._traders = traders
        self._market = market
        self._price = price

    async def run(self) -> None:
        """For ever, sides turned with each call, so that positions stay small."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, verify=False, timeout=600) as client:
            turn = 0
            while True:
                turn += 1
                for place, trader in enumerate(self._traders):
                    side = constants.BUY if (turn + place) % 2 else constants.SELL
                    await self._send(client, trader, side, turn)

    async def _send(self, client: httpx.AsyncClient, trader: SigningAccount, side: int, turn: int) -> None:
        away = self._price // 50 * (-1 if side == constants.BUY else 1)
        given = []
        for number in range(_ORDERS):
            slot = 1 + (turn * _ORDERS + number) % _SLOTS
            price = self._price + (away if number % 2 else 0)
            fields, signature = trader.order(self._market, side, 1_000, price, slot)
            given.append({"order": fields, "signature": "0x" + signature.hex()})
        body = msgspec.json.encode(
            {"jsonrpc": "2.0", "id": 1, "method": "catenary_orders", "params": {"orders": given}}
        )
        answer = (await client.post("/", content=body)).json()
        if "result" not in answer:
            await trio.sleep(answer["error"]["data"].get("retry_after_ms", 100) / 1_000)
            return
        taken = [one["result"] for one in answer["result"] if "result" in one]
        self.orders += len(taken)
        self.fills += sum(len(one["fills"]) for one in taken)


async def measured(folder: Path, fills: int, rng: Random) -> dict[str, Any]:
    """The figures of one node until so many fills."""
    samples: list[dict[str, float]] = []
    with running(folder / "node", "--verifiers", "1", "--post-interval", "2", "--log-level", "error") as node:
        traders = [SigningAccount(keccak(rng.randbytes(32)), node.domain, wall_clock_ms) for _ in range(4)]
        await funded(node, traders, _MICROS)
        markets = node.client.call("catenary_markets")
        loads = [
            Load(node.url, (traders[2 * at], traders[2 * at + 1]), at, int(markets[at]["price_ticks"]))
            for at in range(2)
        ]
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for load in loads:
                nursery.start_soon(load.run)
            while (done := sum(load.fills for load in loads)) < fills:
                await trio.sleep(_SAMPLE_SECONDS)
                orders = sum(load.orders for load in loads)
                samples.append({"fills": done, "orders": orders, "rss_mb": round(rss_mb(node.process.pid), 1)})
            nursery.cancel_scope.cancel()
        seconds = trio.current_time() - started
        l1_mb = rss_mb(node.l1_process)
    return told(samples, fills) | {
        "orders": sum(load.orders for load in loads),
        "fills": sum(load.fills for load in loads),
        "load_seconds": round(seconds, 1),
        "l1_rss_mb": round(l1_mb, 1),
    }


def told(samples: list[dict[str, float]], fills: int) -> dict[str, Any]:
    """Where memory stood by quarters of the fills, and how much came once the node was warm."""
    quarters = [
        max((one["rss_mb"] for one in samples if one["fills"] <= fills * quarter / 4), default=0.0)
        for quarter in range(1, 5)
    ]
    warm_at = min(WARM_FILLS, fills // 2)
    warm = max((one["rss_mb"] for one in samples if one["fills"] <= warm_at), default=0.0)
    last = max((one["rss_mb"] for one in samples[-3:]), default=0.0)
    growth = round(100 * (last - warm) / warm, 1) if warm else 0.0
    later = [(one["orders"], one["rss_mb"] * (1 << 20)) for one in samples if one["fills"] >= warm_at]
    is_line = len({orders for orders, _ in later}) > 1
    return {
        "rss_mb_by_quarter": quarters,
        "rss_mb_warm": warm,
        "rss_mb_end": last,
        "growth_percent": growth,
        "bytes_an_order": round(linear_regression(*zip(*later, strict=True)).slope, 1) if is_line else 0.0,
        "operations_an_hour": round(fills / FILLS_AN_HOUR, 2),
    }


def violations(found: dict[str, Any]) -> list[str]:
    """What is not flat."""
    if found["growth_percent"] > MOST_GROWTH_PERCENT:
        return [f"memory grew by {found['growth_percent']}% once it was warm: {found['rss_mb_by_quarter']}"]
    return []


def run(fills: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Until so many fills were acknowledged."""
    with TemporaryDirectory(prefix="catenary-memory-") as folder:
        found = trio.run(measured, Path(folder), fills, Random(seed))
    return found, violations(found)
