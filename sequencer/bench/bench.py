"""`bench`: signed orders through signature check, matching, law, tree and LevelDB, and what a challenger makes of them.

The parts are the node's without its sockets: rows to the signature workers, the engine in one thread, the journal
synced before anything is acknowledged, sealed chunks with their witnesses in LevelDB. Their order is not the node's:
where `Sequencer` waits for each sync, the next groups are processed meanwhile (`GroupCommitter`, `Engine.stage`), so
that the figure is what the parts can carry. Orders are signed before the clock runs.
"""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from coincurve import PrivateKey, PublicKey
from rich.console import Console
from rich.table import Table

from l1_bridge.hashing import keccak
from prover.signing.recover import recover_fast
from prover.state import state
from prover.state.leveldb import LevelDbStore
from prover.stf import codes, constants, containers
from prover.stf.replay import Chunk
from sequencer.bench import flow
from sequencer.bench.group_committer import GroupCommitter
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.sequencing import journal
from sequencer.sequencing.signature_pool import Verifiers, signed_row
from sequencer.sequencing.staged_store import BufferedStore

# As many inputs as are sequenced, synced and acknowledged together at most.
GROUP_ORDERS: Final = 64
_GROUPS_IN_FLIGHT: Final = 6
# Fills the books before the clock runs, and tells how many orders the clock will see.
_WARM_BLOCKS: Final = 10
# Signed orders are held in memory, 150 bytes each: the run ends early when they are used up.
MAX_SIGNED: Final = 2_000_000
_SPARE: Final = 1.7
_LONGEST_RAW_SECONDS: Final = 1.0
_RAW_SIGNATURES: Final = 500
_JOURNAL_LIMITS: Final = journal.Limits(segment_bytes=2**26, pending_bytes=2**24)

ORDERS_PER_FILL: Final = (2.0, 2.5)


class Summary(msgspec.Struct):
    """What one run measured. `ratio`: orders over raw recovers of all cores; the replay: one core, recover included."""

    fills_per_second: float
    orders_per_second: float
    recovers_per_second: float
    ratio: float
    replay_fills_per_second: float
    orders_per_fill: float
    roots_equal: bool
    root: str
    seconds: float
    orders: int
    fills: int
    rejected: dict[str, int]
    accounts: int
    positions_per_account: int
    chunks: int
    signed_orders: int
    recovers_per_second_before: float
    recovers_per_second_after: float
    recover_processes: int
    verifier_processes: int
    # On a machine that others use, too, CPU time says what the rates above cannot.
    recover_cpu_micros: float
    engine_cpu_micros_per_order: float
    verifier_cpu_micros_per_order: float
    witnesses: bool


class _Tally(msgspec.Struct):
    """What was acknowledged, and how long it took."""

    orders: int = 0
    fills: int = 0
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    seconds: float = 0.0

    def count(self, outcomes: list[Processed]) -> None:
        """Counts what has been acknowledged."""
        self.orders += len(outcomes)
        for outcome in outcomes:
            self.fills += len(outcome.fills)
            if outcome.code != codes.OK:
                self.rejected[codes.SENTENCE[outcome.code][0]] += 1


class _Group(msgspec.Struct):
    operations: list[bytes]
    signers: list[bytes]
    verified: trio.Event


class _Venue:
    """Engine, journal and verifiers, several groups in flight; `now_ms` is the bench's own clock."""

    def __init__(
        self, engine: Engine, store: BufferedStore, venue_journal: journal.Journal, verifiers: Verifiers, seed: int
    ) -> None:
        self.engine = engine
        self._store = store
        self.now_ms = flow.START
        self._journal = venue_journal
        self._committer = GroupCommitter(venue_journal)
        self._appended = 0
        self._verifiers = verifiers
        self._seed = seed
        self._ticks: list[bytes] = []
        self._ticked = 0

    def sign_ticks(self, seconds: float) -> None:
        """Signs what the oracle will say within the next seconds."""
        count = int((self.now_ms - flow.START) / constants.TICK_STEP + seconds * 1_000 / constants.TICK_STEP) + 2
        self._ticks += [flow.tick(self._seed, number) for number in range(len(self._ticks), count)]

    async def run(self) -> None:
        """Syncs the journal until cancelled."""
        await self._committer.run()

    async def sequence(self, given: list[Input]) -> list[Processed]:
        """Processes inputs, and returns their outcomes once all of them are durable."""
        outcomes = self._process(given)
        await self._settle(self._appended)
        return outcomes

    async def drive(self, orders: list[bytes], seconds: float) -> _Tally:
        """Sequences orders until they or the seconds are used up; counts what was acknowledged by then."""
        tally = _Tally()
        started = time.perf_counter()
        verified, to_sequence = trio.open_memory_channel[_Group](_GROUPS_IN_FLIGHT)
        sequenced, to_acknowledge = trio.open_memory_channel[tuple[list[Processed], int]](_GROUPS_IN_FLIGHT)

        async def acknowledge() -> None:
            async for outcomes, last in to_acknowledge:
                await self._settle(last)
                tally.count(outcomes)
                tally.seconds = time.perf_counter() - started

        clock_started = self.now_ms
        async with trio.open_nursery() as acknowledging, trio.open_nursery() as verifying:
            acknowledging.start_soon(acknowledge)
            verifying.start_soon(self._verify, orders, verified)
            async with to_sequence, sequenced:
                async for group in to_sequence:
                    await group.verified.wait()
                    elapsed = time.perf_counter() - started
                    if elapsed >= seconds:
                        break
                    self.now_ms = clock_started + int(elapsed * 1_000)
                    self._tick()
                    now = self.now_ms
                    given = zip(group.operations, group.signers, strict=True)
                    outcomes = self._process([Input(now, operation, signer) for operation, signer in given])
                    await sequenced.send((outcomes, self._appended))
            verifying.cancel_scope.cancel()
        return tally

    def _process(self, given: list[Input]) -> list[Processed]:
        """Applies inputs, and has the journal write what they changed; nothing is durable yet."""
        outcomes: list[Processed] = []
        records: list[bytes] = []
        for one in given:
            outcome = self.engine.process(one)
            outcomes.append(outcome)
            if outcome.changed:
                records.append(msgspec.msgpack.encode(one))
            if self.engine.sealed:
                self._appended = self._committer.append(records)
                self.engine.stage(self._appended)
                records = []
        if records:
            self._appended = self._committer.append(records)
        return outcomes

    async def _settle(self, sequence: int) -> None:
        """Waits until the journal is durable, and writes the chunks that this allows to be written."""
        await self._committer.wait(sequence)
        store = self._store
        staged = store.staged(self._journal.durable_sequence)
        if staged is not None:
            await trio.to_thread.run_sync(store.persist, staged)
            store.persisted(staged)

    def _tick(self) -> None:
        number = (self.now_ms - flow.START) // constants.TICK_STEP
        if self._ticked <= number:
            self._ticked = number + 1
            (outcome,) = self._process([Input(self.now_ms, self._ticks[number])])
            assert outcome.code == codes.OK, f"the bench's tick was refused: {outcome.code}"

    async def _verify(self, orders: list[bytes], send: trio.MemorySendChannel[_Group]) -> None:
        async with send, trio.open_nursery() as nursery:
            for at in range(0, len(orders), GROUP_ORDERS):
                group = _Group(orders[at : at + GROUP_ORDERS], [], trio.Event())
                nursery.start_soon(self._recover, group)
                await send.send(group)

    async def _recover(self, group: _Group) -> None:
        group.signers = await self._verifiers.recover([signed_row(flow.DOMAIN, order) for order in group.operations])
        group.verified.set()


def raw_recovers(seconds: float) -> tuple[float, float]:
    """Public keys that the library alone recovers in one process: how many a second, and CPU seconds for each."""
    key = PrivateKey(keccak(b"catenary bench raw"))
    digests = [keccak(b"%d" % index) for index in range(_RAW_SIGNATURES)]
    signed = [(key.sign_recoverable(digest, hasher=None), digest) for digest in digests]
    count = 0
    cpu = time.process_time()
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        for signature, digest in signed:
            PublicKey.from_signature_and_message(signature, digest, hasher=None)
        count += _RAW_SIGNATURES
    return count / elapsed, (time.process_time() - cpu) / count


def replay(directory: Path, genesis: bytes, engine: Engine, first: int) -> tuple[bool, float]:
    """A challenger's replay of every sealed chunk from `first` on, timed, on one core over a store of its own.

    Whether each root was the sealed one, and the seconds. What was sealed before `first` is replayed untimed.
    """
    store = LevelDbStore(directory)
    try:
        replayed = state.create(store, flow.DOMAIN, genesis)
        equal = True
        seconds = 0.0
        for number in range(1, engine.chunk_count + 1):
            record = engine.chunk_record(number)
            assert record is not None, "what was sealed was written"
            started = time.perf_counter()
            chunk: Chunk = replayed.chunk(recover_fast)
            chunk.run(record.body)
            root = replayed.seal(chunk)
            if number >= first:
                seconds += time.perf_counter() - started
            equal = equal and root == record.post_root
        return equal and replayed.root == engine.state.root, seconds
    finally:
        store.close()


async def measure(
    directory: Path, seconds: float, seed: int, accounts: int, say: Callable[[str], None] = lambda _: None
) -> Summary:
    """One whole run in an empty directory."""
    cores = len(os.sched_getaffinity(0))
    genesis = flow.genesis(seed)
    store = LevelDbStore(directory / "state")
    state.create(store, flow.DOMAIN, genesis)
    buffered = BufferedStore(store)
    engine = Engine(buffered, flow.DOMAIN)
    venue_journal = journal.Journal(directory / "journal", _JOURNAL_LIMITS)
    verifiers = Verifiers()
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as executor:
        async with trio.open_nursery() as nursery:
            await nursery.start(verifiers.run)
            venue = _Venue(engine, buffered, venue_journal, verifiers, seed)
            nursery.start_soon(venue.run)
            say(f"{accounts} accounts deposit, and take a position in each of {flow.MARKET_COUNT} markets")
            warm_rate = await _open(venue, executor, seed, accounts)
            count = min(int(warm_rate * seconds * _SPARE), MAX_SIGNED) // flow.BLOCK_ORDERS + 1
            say(f"signing {count * flow.BLOCK_ORDERS} orders")
            signed = flow.blocks(executor, seed, accounts, _WARM_BLOCKS, count)
            orders = flow.orders_of(signed)
            venue.sign_ticks(seconds)
            say("raw recover rate")
            raw_seconds = min(seconds, _LONGEST_RAW_SECONDS)
            before, recover_cpu = _raw_rate(executor, cores, raw_seconds)
            say(f"measuring for {seconds} seconds")
            first = engine.chunk_count + 1
            cpu = time.process_time()
            verifier_cpu = _cpu_seconds(verifiers.worker_pids)
            tally = await venue.drive(orders, seconds)
            cpu = time.process_time() - cpu
            verifier_cpu = _cpu_seconds(verifiers.worker_pids) - verifier_cpu
            await venue.sequence([Input(venue.now_ms, b"")])
            after, recover_cpu_after = _raw_rate(executor, cores, raw_seconds)
            nursery.cancel_scope.cancel()
    say(f"replaying {engine.chunk_count} chunks")
    equal, replay_seconds = replay(directory / "replayed", genesis, engine, first)
    positions = min(_positions(engine, constants.RESERVED_ACCOUNTS + index) for index in range(accounts))
    venue_journal.close()
    store.close()
    recovers = (before + after) / 2
    return Summary(
        fills_per_second=tally.fills / tally.seconds,
        orders_per_second=tally.orders / tally.seconds,
        recovers_per_second=recovers,
        ratio=tally.orders / tally.seconds / recovers,
        replay_fills_per_second=tally.fills / replay_seconds,
        orders_per_fill=tally.orders / tally.fills,
        roots_equal=equal,
        root="0x" + engine.state.root.hex(),
        seconds=tally.seconds,
        orders=tally.orders,
        fills=tally.fills,
        rejected=dict(tally.rejected),
        accounts=accounts,
        positions_per_account=positions,
        chunks=engine.chunk_count - first + 1,
        signed_orders=len(orders),
        recovers_per_second_before=before,
        recovers_per_second_after=after,
        recover_processes=cores,
        verifier_processes=verifiers.worker_count,
        recover_cpu_micros=min(recover_cpu, recover_cpu_after) * 1e6,
        engine_cpu_micros_per_order=cpu * 1e6 / tally.orders,
        verifier_cpu_micros_per_order=verifier_cpu * 1e6 / tally.orders,
        witnesses=True,
    )


async def _open(venue: _Venue, executor: ProcessPoolExecutor, seed: int, accounts: int) -> float:
    """Deposits, opening positions and full books; orders a second at the end of it."""
    venue.sign_ticks(seconds=600.0)
    paid_in = [*flow.endowments(seed), *flow.deposits(seed, accounts)]
    deposits = await venue.sequence([Input(flow.START, deposit) for deposit in paid_in])
    assert all(outcome.code == codes.OK for outcome in deposits)
    opening = await venue.drive(flow.opening_orders(seed, accounts), seconds=float("inf"))
    assert not opening.rejected, opening.rejected
    assert opening.fills == opening.orders // 2, "every account has its positions"
    warm = await venue.drive(flow.orders_of(flow.blocks(executor, seed, accounts, 0, _WARM_BLOCKS)), float("inf"))
    await venue.sequence([Input(venue.now_ms, b"")])
    return warm.orders / warm.seconds


def _raw_rate(executor: ProcessPoolExecutor, processes: int, seconds: float) -> tuple[float, float]:
    """Recovers a second of all processes at once, and the CPU seconds of one recover."""
    found = list(executor.map(raw_recovers, [seconds] * processes))
    return sum(rate for rate, _ in found), min(cpu for _, cpu in found)


def _positions(engine: Engine, index: int) -> int:
    return sum(position is not containers.EMPTY for position in engine.account(index).positions)


def _cpu_seconds(pids: set[int]) -> float:
    """User and system time of processes, as the kernel counts it."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def progress(json_lines: bool) -> Iterator[Callable[[str], None]]:
    """Says on a terminal what a run is at; nothing beside JSON."""
    if json_lines:
        yield lambda _: None
        return
    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda text: status.update(text)


def table(summary: Summary) -> Table:
    """The summary for human eyes."""
    rows = Table(show_header=False)
    values: dict[str, Any] = msgspec.to_builtins(summary)
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{code} {count}" for code, count in sorted(value.items())) or "none"
        elif isinstance(value, float):
            value = f"{value:,.3f}" if value < 100 else f"{value:,.0f}"
        rows.add_row(name.replace("_", " "), str(value))
    return rows
