"""The journal of a bench that goes on sequencing while it is synced."""

from collections.abc import Sequence

import trio

from sequencer.sequencing.journal import Journal, JournalFailed


class GroupCommitter:
    """Whatever is appended while one sync runs shares the next one.

    `run` must be running. A caller who is cancelled while it waits takes nothing from the others, and its own records
    stay in the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._work = trio.Event()
        self._synced = trio.Event()
        self._stopped: str | None = None

    def append(self, records: Sequence[bytes]) -> int:
        """Fix the records' place in the journal and return the last one's sequence.

        Order in the journal is order of the calls. JournalFull, JournalFailed: nothing was appended.
        """
        self._check_running()
        sequence = self._journal.append(records)
        self._work.set()
        return sequence

    async def wait(self, sequence: int) -> None:
        """Return once the record is durable; JournalFailed if that will not be known before a restart."""
        await trio.lowlevel.checkpoint()
        while self._journal.durable_sequence < sequence:
            self._check_running()
            await self._synced.wait()

    async def run(self) -> None:
        """Sync in a worker thread until cancelled; JournalFailed after telling everybody who waits."""
        assert self._stopped is None, "a committer runs once"
        reason = "The journal has been stopped."
        try:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                # Not abandoned on cancellation: a sync under way is awaited, and those who wait for it are told.
                await trio.to_thread.run_sync(self._journal.commit)
                self._wake()
        except JournalFailed as error:
            reason = str(error)
            raise
        finally:
            self._stopped = reason
            self._wake()

    def _wake(self) -> None:
        synced = self._synced
        self._synced = trio.Event()
        synced.set()

    def _check_running(self) -> None:
        if self._stopped is not None:
            raise JournalFailed(self._stopped)
