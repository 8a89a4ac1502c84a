"""A committer over a journal whose syncs a test holds: nobody is told too early, and everybody is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from sequencer.bench.group_committer import GroupCommitter
from sequencer.sequencing.journal import Journal, JournalFailed
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.sequencing.test_journal import ROOMY, GatedDisk, read, record

pytestmark = pytest.mark.trio


class Venue:
    """A journal behind a gate, its committer, and what became of each caller."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.disk = GatedDisk()
        self.journal = Journal(directory, ROOMY, self.disk)
        self.disk.close()
        self.committer = GroupCommitter(self.journal)
        self.done: dict[bytes, int | str] = {}

    async def call(self, payload: bytes) -> None:
        try:
            sequence = self.committer.append([payload])
            await self.committer.wait(sequence)
            self.done[payload] = sequence
        except JournalFailed as refused:
            self.done[payload] = refused.code

    async def call_all(self, nursery: trio.Nursery, payloads: list[bytes]) -> None:
        """Start the callers one behind the other, each until it waits; the first one's sync has begun."""
        for payload in payloads:
            nursery.start_soon(self.call, payload)
            await trio.testing.wait_all_tasks_blocked()
            assert await trio.to_thread.run_sync(self.disk.begun.wait, PATIENCE_SECONDS)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    venue = Venue(tmp_path / "journal")
    yield venue
    venue.disk.open.set()
    venue.journal.close()


async def test_nobody_is_told_before_the_sync_and_all_who_waited_share_the_next(venue: Venue) -> None:
    payloads = [record(i) for i in range(1, 21)]
    async with trio.open_nursery() as running:
        running.start_soon(venue.committer.run)
        async with trio.open_nursery() as callers:
            await venue.call_all(callers, payloads)
            assert venue.done == {}
            assert venue.journal.durable_sequence == 0
            venue.disk.open.set()
        assert venue.done == {payload: index for index, payload in enumerate(payloads, 1)}
        assert venue.disk.syncs == 2
        await venue.committer.wait(7)
        running.cancel_scope.cancel()
    venue.journal.close()
    assert read(venue.directory) == payloads


async def test_a_caller_who_leaves_takes_nothing_along(venue: Venue) -> None:
    async with trio.open_nursery() as running:
        running.start_soon(venue.committer.run)
        async with trio.open_nursery() as callers:
            await venue.call_all(callers, [record(1)])
            async with trio.open_nursery() as leaving:
                await venue.call_all(leaving, [record(2)])
                leaving.cancel_scope.cancel()
            await venue.call_all(callers, [record(3)])
            venue.disk.open.set()
        assert venue.done == {record(1): 1, record(3): 3}
        running.cancel_scope.cancel()
    venue.journal.close()
    assert read(venue.directory) == [record(1), record(2), record(3)]


async def test_a_failed_sync_is_told_to_everybody(venue: Venue) -> None:
    venue.disk.fails = True
    with pytest.RaisesGroup(JournalFailed):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(venue.committer.run)
            await venue.call_all(nursery, [record(1), record(2)])
            venue.disk.open.set()
    assert venue.done == {record(1): "JOURNAL_FAILED", record(2): "JOURNAL_FAILED"}
    await venue.call(record(3))
    assert venue.done[record(3)] == "JOURNAL_FAILED"
    assert venue.journal.durable_sequence == 0


async def test_stopping_awaits_the_sync_under_way_and_tells_the_rest(venue: Venue) -> None:
    stopping = trio.CancelScope()

    async def run() -> None:
        with stopping:
            await venue.committer.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await venue.call_all(nursery, [record(1), record(2)])
        stopping.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert venue.done == {}
        venue.disk.open.set()
    assert venue.done == {record(1): 1, record(2): "JOURNAL_FAILED"}
    venue.journal.close()
    assert read(venue.directory) == [record(1)]


async def test_appended_first_and_awaited_later(venue: Venue) -> None:
    """The engine fixes an input's place, applies it, and only then waits."""
    sequences = [venue.committer.append([record(i)]) for i in (1, 2)]
    venue.disk.open.set()
    async with trio.open_nursery() as running:
        running.start_soon(venue.committer.run)
        for sequence in reversed(sequences):
            await venue.committer.wait(sequence)
        running.cancel_scope.cancel()
    assert venue.disk.syncs == 1
