"""A venue that dies: the real task, journal and engine over a disk and a store that fail where the seed says.

One run sends a crowd's operations to one venue after another, each opened on what the last left behind. What was
acknowledged must be there, and what the journal holds must make the same engine as if nothing had ever failed.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import trio

from prover.state.store import MemoryStore
from prover.stf import codes
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.sequencing.journal import Disk, Journal, JournalFailed, Limits
from sequencer.sequencing.sequencer import Sequencer
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import DOMAIN, check_chunks, check_conservation, genesis_store, picture, replayed
from tests.simulation.crowd import Crowd

LIMITS: Final = Limits(segment_bytes=40_000, pending_bytes=1 << 20)
# Fewer operations than this are on their way to the venue at one time. With one alone nothing is left to the scheduler,
# so that a run of an even seed is the same every time; in an odd one it decides which of them share a sync.
_FLIGHT: Final = 8
POINTS: Final = (
    "journal: nothing written",
    "journal: half written",
    "journal: written, not synced, lost",
    "journal: written, not synced, kept",
    "journal: synced",
    "journal: names changed",
    "store: nothing written",
    "store: written",
)


class Crash(Exception):
    """The process ends here."""


class Fate:
    """Where and when the next crash happens, counted over disk and store together."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.point = ""
        self._left = 0
        self.crashed: Counter[str] = Counter()

    def draw(self) -> None:
        """Chooses the next crash."""
        self.point = self._random.choice(POINTS)
        is_rare = self.point.startswith("store") or self.point == "journal: names changed"
        self._left = self._random.randrange(1, 5 if is_rare else 20)

    def strikes(self, *points: str) -> bool:
        """Whether the process ends at one of these points, now that it is reached once more."""
        if self.point not in points:
            return False
        self._left -= 1
        return self._left == 0

    def crash(self) -> None:
        """The end."""
        self.crashed[self.point] += 1
        self.point = ""
        raise Crash


class FailingDisk(Disk):
    """A disk that loses what was not synced, or keeps it, as the fate says."""

    def __init__(self, fate: Fate, random: Random, is_lying: bool = False) -> None:
        """`is_lying`: it says that it synced and did not, so that the checks have something to find."""
        self._fate = fate
        self._random = random
        self._is_lying = is_lying
        self._synced: dict[int, int] = {}

    def write(self, file: int, data: memoryview) -> int:
        """Appends, all or a part or nothing of it before a crash."""
        if self._fate.strikes("journal: nothing written"):
            self._fate.crash()
        if self._fate.strikes("journal: half written"):
            super().write(file, data[: self._random.randrange(len(data))])
            self._fate.crash()
        known = os.fstat(file)
        self._synced.setdefault(known.st_ino, known.st_size)
        return super().write(file, data)

    def sync(self, file: int) -> None:
        """Syncs, or crashes before or after it."""
        if self._fate.strikes("journal: written, not synced, lost"):
            known = os.fstat(file)
            os.ftruncate(file, self._synced.get(known.st_ino, known.st_size))
            self._fate.crash()
        if self._fate.strikes("journal: written, not synced, kept"):
            self._fate.crash()
        super().sync(file)
        known = os.fstat(file)
        if not self._is_lying:
            self._synced[known.st_ino] = known.st_size
        if self._fate.strikes("journal: synced"):
            self._fate.crash()

    def sync_directory(self, directory: int) -> None:
        """The names on the disk, or a crash before that."""
        if self._fate.strikes("journal: names changed"):
            self._fate.crash()
        super().sync_directory(directory)


class RememberingJournal(Journal):
    """A journal whose truncated records are kept for the checks."""

    def __init__(self, gone: dict[int, bytes], *options: Any) -> None:
        self._gone = gone
        super().__init__(*options)

    def truncate_before(self, sequence: int) -> None:
        """Keeps what is about to go."""
        if self.can_truncate_before(sequence):
            self._gone.update((at, record) for at, record in self.replay(self.first_sequence) if at < sequence)
        super().truncate_before(sequence)

    def everything(self) -> list[bytes]:
        """All records since the first."""
        still = list(self.replay(self.first_sequence))
        return [self._gone[at] for at in range(1, still[0][0] if still else self.first_sequence)] + [
            record for _, record in still
        ]


class FailingStore:
    """A store whose atomic writes happen or do not happen before a crash."""

    def __init__(self, store: MemoryStore, fate: Fate) -> None:
        self._store = store
        self._fate = fate

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`."""
        return self._store.get(key)

    def write(self, puts: Mapping[bytes, bytes | None], sync: bool) -> None:
        """All or nothing, then perhaps the end."""
        assert sync, "what is not synced may be lost"
        if self._fate.strikes("store: nothing written"):
            self._fate.crash()
        self._store.write(puts, sync)
        if self._fate.strikes("store: written"):
            self._fate.crash()

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries by prefix."""
        return self._store.iterate(prefix)

    def close(self) -> None:
        """Nothing to close."""


class Uninterrupted:
    """An engine that a journal alone made and that never failed; each check goes on where the last one ended."""

    def __init__(self) -> None:
        self._given: list[Input] = []
        self._engine = replayed([], 0)

    def upto(self, records: list[Input]) -> Engine:
        """The engine after these; from the beginning where they are not what it knows and more."""
        known = len(self._given)
        if records[:known] != self._given:
            known, self._engine = 0, replayed([], 0)
        for count, given in enumerate(records[known:], start=known + 1):
            assert self._engine.process(given).changed
            if self._engine.sealed:
                self._engine.flush(count)
        self._given = records
        return self._engine


class Simulation:
    """One seed's run."""

    def __init__(
        self, seed: int, steps: int, directory: Path, is_disk_lying: bool = False, sweeps: float = 0.0
    ) -> None:
        self.is_disk_lying = is_disk_lying
        self.seed = seed
        self.random = Random(seed)
        self.crowd = Crowd(seed, sweeps)
        self.fate = Fate(self.random)
        self.steps = steps
        self.directory = directory
        self.store = genesis_store()
        self.uninterrupted = Uninterrupted()
        self.gone: dict[int, bytes] = {}
        self.restarts = 0
        self.replayed = 0
        self.restarts_between = 0
        self.acknowledged: list[tuple[Input, Processed]] = []
        self.seen: Counter[str] = Counter()

    async def run(self) -> None:
        """Sequencer after venue, until the crowd has sent everything; then the checks."""
        left = self.steps
        while left > 0:
            self.fate.draw()
            left -= await self._life(left)
        self.fate.point = ""
        await self._life(0)

    async def _life(self, left: int) -> int:
        """One process from its start to its end; how many operations it was sent."""
        sent = 0
        disk = FailingDisk(self.fate, self.random, self.is_disk_lying)
        try:
            journal = RememberingJournal(self.gone, self.directory, LIMITS, disk, self.random.randbytes)
        except Crash:
            return 0
        try:
            engine = Engine(BufferedStore(FailingStore(self.store, self.fate)), DOMAIN)
            venue = Sequencer(engine, journal, lambda: self.crowd.now, seal_seconds=1e9)
            self.replayed += venue.replayed
            # What the last input overflowed waits for the chunk in which it went on.
            self.restarts_between += engine.chunk_count > 0 and engine.chunk_record(engine.chunk_count) is None
            self._check(engine, journal)
            async with trio.open_nursery() as nursery:
                await nursery.start(venue.run)
                while sent < left:
                    flight = min(left - sent, self.random.randrange(1, _FLIGHT) if self.seed % 2 else 1)
                    async with trio.open_nursery() as callers:
                        for _ in range(flight):
                            now, operation = self.crowd.step(engine)
                            sent += 1
                            await callers.start(self._send, venue, now, operation)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            # A crash of the disk comes wrapped by the journal where it is an OSError, bare where it is the end.
            if group.split((Crash, JournalFailed, trio.Cancelled))[1] is not None:
                raise
        except Crash:
            pass
        finally:
            journal.close()
        self.restarts += 1
        return sent

    async def _send(
        self,
        venue: Sequencer,
        now: int,
        operation: bytes,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        # The venue reads its clock at the call, so operations are handed over one by one, and wait together.
        task_status.started()
        outcome = await venue.submit(operation)
        self.seen[codes.SENTENCE[outcome.code][0]] += 1
        if outcome.changed:
            self.acknowledged.append((Input(now, operation), outcome))

    def _check(self, engine: Engine, journal: RememberingJournal) -> None:
        """After a start: nothing acknowledged is missing, and no crash has left a trace."""
        records = [msgspec.msgpack.decode(record, type=Input) for record in journal.everything()]
        assert len(records) >= len(self.acknowledged), "everything acknowledged is in the journal"
        kept = Counter(given.operation for given in records)
        for given, _ in self.acknowledged:
            kept[given.operation] -= 1
            assert kept[given.operation] >= 0, "an acknowledged operation is gone"
        uninterrupted = self.uninterrupted.upto(records)
        assert uninterrupted.view.commitment == engine.view.commitment, "the open chunk is the same"
        assert uninterrupted.globals == engine.globals
        assert picture(uninterrupted) == picture(engine), "the same roots, books and accounts"
        check_conservation(engine)

    def finish(self) -> dict[str, Any]:
        """Checks of the whole, and what happened."""
        journal = RememberingJournal(self.gone, self.directory, LIMITS)
        engine = Engine(BufferedStore(self.store), DOMAIN)
        Sequencer(engine, journal, lambda: self.crowd.now)
        self._check(engine, journal)
        engine.process(Input(self.crowd.now, b""))
        engine.flush(engine.inputs)
        check_chunks(self.store, engine)
        journal.close()
        return {
            "seed": self.seed,
            "restarts": self.restarts,
            "restarts_between": self.restarts_between,
            "replayed": self.replayed,
            "acknowledged": len(self.acknowledged),
            "chunks": engine.chunk_count,
            "truncated": len(self.gone),
            "crashes": dict(self.fate.crashed),
            "by_code": dict(self.seen),
        }


def simulate(seed: int, steps: int, is_disk_lying: bool = False, sweeps: float = 0.0) -> dict[str, Any]:
    """One run; an AssertionError is a violation, a JournalError or StateError too.

    sweeps: in which share of the steps a taker begins to gather more makers than a chunk holds.
    """
    with tempfile.TemporaryDirectory(prefix="catenary-simulation-") as directory:
        simulation = Simulation(seed, steps, Path(directory), is_disk_lying, sweeps)
        trio.run(simulation.run)
        return simulation.finish()
