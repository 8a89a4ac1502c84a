"""What a venue of so many accounts costs: a tick that hurts nobody, a fill, memory, and a start.

The state is planted: accounts in pairs, one long and one short of the same lots in one to three markets, far from their
maintenance, four order slots each. It is opened in processes of its own, one for each number of accounts, as a node
opens it: store, tree, engine, margin calls, and the first tick, since nobody is served well before it; first without a
dump of the tree's levels, for what a start takes then, and to leave one. Times are of the processor, so that the
machine's other work counts less; the start is also told by the wall clock.
"""

import importlib
import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from prover.signing.operations import order_bytes
from prover.state import levels
from prover.state.leveldb import LevelDbStore
from prover.stf import codes, constants, containers, encoding
from sequencer.engine.effects import Processed
from sequencer.engine.records import Input
from sequencer.node.opening import leave_levels, remembering_engine
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.margin_calls import MarginCalls
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    PRICES,
    SELL,
    START,
    genesis,
    order,
    owner,
    tick,
)
from tests.twins.venue import Leaves, account, planted, with_funds

SMALL: Final = 1_000
MOST_TICKS_APART: Final = 2.0
MOST_START_SECONDS: Final = 5.0
MOST_RSS_MB: Final = 400
_SLOTS: Final = 4
_TICKS: Final = 15
_FILLS: Final = 300
_OWNERS: Final = 64
_WRITTEN_AT_ONCE: Final = 20_000


def plant(path: Path, accounts: int, seed: int) -> None:
    """A store in which so many accounts hold positions that are far from their maintenance."""
    rng = Random(seed)
    globals = with_funds(encoding.globals_from_bytes(genesis()))
    globals.tick_time = START
    globals.risk.price[: len(PRICES)] = PRICES
    rows: dict[int, containers.Account] = {}
    slots: dict[int, containers.Slot] = {}
    for index in range(FIRST, FIRST + accounts, 2):
        pair: tuple[dict[int, containers.Position], ...] = ({}, {})
        for market in rng.sample(range(len(PRICES)), rng.choice((1, 1, 2, 3))):
            size = rng.randrange(100, 10_000) * DOLLAR // PRICES[market]
            cost = size * PRICES[market] * rng.randrange(950, 1_051) // 1_000
            for held, side in zip(pair, (1, -1), strict=True):
                held[market] = containers.Position(size=side * size, cost=side * cost, funding=0)
            globals.markets[market].open_interest += size
        for place, positions in enumerate(pair):
            money = rng.randrange(30_000, 60_000) * DOLLAR
            rows[index + place] = account(owner((index + place) % _OWNERS), money, positions)
            globals.deposited_total += money
            for slot in range(1, _SLOTS + 1):
                slots[index + place << constants.SLOT_BITS | slot] = containers.Slot(sequence=START - slot, filled=1)
    for market, price in enumerate(PRICES):
        globals.markets[market].previous_price = price
    state = planted(globals, Leaves({constants.FEE_ACCOUNT: account(owner(99), 0), **rows}, slots), START)
    store = LevelDbStore(path)
    entries = state.store.iterate(b"")
    while some := dict(islice(entries, _WRITTEN_AT_ONCE)):
        store.write(some, sync=False)
    store.close()


class Venue:
    """The engine on a planted store, and what a node keeps beside it at each tick."""

    def __init__(self, path: Path) -> None:
        self.engine = remembering_engine(BufferedStore(LevelDbStore(path)), DOMAIN, path.with_name(levels.NAME))
        self.calls = MarginCalls(self.engine)
        self.now = START
        self.told = 0

    def process(self, operation: bytes, signer: bytes = b"") -> Processed:
        outcome = self.engine.process(Input(self.now, operation, signer))
        assert outcome.code == codes.OK, outcome
        self.engine.flush(self.engine.inputs)
        return outcome

    def tick(self, prices: tuple[int, ...]) -> float:
        """Processor seconds of one tick, up to its margin calls; the chunk before it is sealed as by time."""
        self.process(b"")
        self.now += constants.TICK_STEP - self.now % constants.TICK_STEP
        operation = tick(self.now, prices)
        began = time.process_time()
        outcome = self.process(operation)
        called = self.calls.look()
        seconds = time.process_time() - began
        self.told += len(outcome.rescues) + len(called)
        return seconds

    def fill(self, maker: int, taker: int) -> float:
        """Processor seconds of two orders that fill each other."""
        price = self.engine.globals.risk.price[BTC]
        orders = [order(self.now, index, side, price, slot=9) for index, side in ((maker, SELL), (taker, BUY))]
        signed = [(order_bytes(given, bytes(64)), self.engine.account(given.account).owner) for given in orders]
        began = time.process_time()
        outcomes = [self.process(operation, signer) for operation, signer in signed]
        seconds = time.process_time() - began
        assert len(outcomes[-1].fills) == 1, outcomes
        return seconds


def measured(path: Path, accounts: int, seed: int, begun: float, *, is_start_alone: bool) -> dict[str, Any]:
    """The figures of one venue, in this process; begun: when it was started, by the monotonic clock."""
    importlib.import_module("sequencer.node.commands")
    venue = Venue(path)
    first = venue.tick(PRICES)
    start, wall = time.process_time(), time.monotonic() - begun
    if is_start_alone:
        leave_levels(venue.engine, path.with_name(levels.NAME))
        return {"start_seconds": round(start, 2)}
    rng = Random(seed)
    ticks = []
    for _ in range(_TICKS):
        ticks.append(venue.tick(tuple(price * rng.randrange(999, 1_002) // 1_000 for price in PRICES)))
    fills = []
    for _ in range(_FILLS):
        # One after the other, as the engine demands of a slot's sequences.
        venue.now += 1
        maker, taker = (rng.randrange(FIRST + side, FIRST + accounts, 2) for side in (0, 1))
        fills.append(venue.fill(maker, taker))
    after = [venue.tick(PRICES) for _ in range(3)]
    return {
        "accounts": accounts,
        "tick_ms": round(median(ticks) * 1e3, 2),
        "first_tick_ms": round(first * 1e3, 1),
        "tick_after_fills_ms": round(after[0] * 1e3, 2),
        "fill_us": round(median(fills) * 1e6),
        "rss_mb": peak_mb(),
        "start_seconds": round(start, 2),
        "start_wall_seconds": round(wall, 2),
        "told": venue.told,
    }


def peak_mb() -> int:
    """The most memory that this process has had; what getrusage says includes that of its parent."""
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) // 1_024


def violations(figures: list[dict[str, Any]]) -> list[str]:
    """What is dearer than promised."""
    least = figures[0]
    broken = []
    for one in figures:
        name = f"{one['accounts']} accounts"
        if one["told"]:
            broken.append(f"{name}: a tick that was to hurt nobody told {one['told']} things")
        if one["tick_ms"] > MOST_TICKS_APART * least["tick_ms"]:
            broken.append(f"{name}: a tick is {one['tick_ms']} ms, with {least['accounts']} it is {least['tick_ms']}")
        if one["start_seconds"] > MOST_START_SECONDS:
            broken.append(f"{name}: {one['start_seconds']} processor seconds to start")
        if one["rss_mb"] > MOST_RSS_MB:
            broken.append(f"{name}: {one['rss_mb']} MB")
    return broken


def run(accounts: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Figures of a small venue and of one with so many accounts; the summary is that of the last."""
    figures = []
    for count in sorted({min(SMALL, accounts), accounts}):
        with TemporaryDirectory() as folder:
            plant(Path(folder) / "state", count, seed)
            given = [str(Path(folder) / "state"), str(count), str(seed)]
            without = _in_a_process(*given, "start")
            told = _in_a_process(*given, "all")
            figures.append({**told, "start_without_levels_seconds": without["start_seconds"]})
    return {**figures[-1], "beside": figures[:-1]}, violations(figures)


def _in_a_process(*given: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.soak.scale", *given, str(time.monotonic())]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(told.stdout.splitlines()[-1]))


if __name__ == "__main__":
    path, accounts, seed, what, begun = sys.argv[1:]
    print(json.dumps(measured(Path(path), int(accounts), int(seed), float(begun), is_start_alone=what == "start")))
