"""The sequencing task: one at a time, durable before it is acknowledged, told to everybody after it is durable."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec
import structlog
import trio

from prover.stf import codes, constants, encoding
from prover.stf.words import word_at
from sequencer.engine import Engine, Input, Outcome, SealedChunk
from sequencer.journal import Journal, JournalError

_GROUP_LIMIT: Final = 256
_QUEUE_LIMIT: Final = 4_096

# What lowers risk or brings money in is taken however long the backlog is.
_ALWAYS_TAKEN: Final = (constants.CANCEL, constants.CANCEL_ALL, constants.TICK, constants.DEPOSIT)


class Backlogged(Exception):  # noqa: N818 - named for what the caller is told
    """Too many chunks wait to be posted: nothing that grows risk is taken until the backlog shrinks."""


class Listener(Protocol):
    """Who is told about inputs once they are durable."""

    def sequenced(self, outcome: Outcome) -> None:
        """One input was applied."""
        ...

    def sealed(self, chunks: list[SealedChunk]) -> None:
        """Chunks were written."""
        ...


class _Waiting(msgspec.Struct):
    given: Input
    done: trio.Event
    outcome: Outcome | None = None


class Venue:
    """Inputs from everywhere, one after another, through engine, journal and store."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        now_ms: Callable[[], int],
        *,
        seal_seconds: float = 1.0,
        backlog_chunks: int = 256,
        listeners: Iterable[Listener] = (),
    ) -> None:
        """Replays what the journal holds beyond the engine's store; JournalError when it is damaged."""
        self.engine = engine
        self.journal = journal
        self.now_ms = now_ms
        self.seal_seconds = seal_seconds
        self.backlog_chunks = backlog_chunks
        self.posted_chunks = 0
        self.listeners = list(listeners)
        self._log = structlog.get_logger("venue")
        self._send, self._receive = trio.open_memory_channel[_Waiting](_QUEUE_LIMIT)
        self.replayed = self._replay()

    def _replay(self) -> int:
        cursor, durable = self.engine.cursor, self.journal.durable_sequence
        if cursor > durable:
            raise JournalError(f"The journal ends at record {durable}, before record {cursor} that the state contains.")
        count = 0
        for sequence, record in self.journal.replay(self.engine.cursor + 1):
            outcome = self.engine.process(msgspec.msgpack.decode(record, type=Input))
            assert outcome.changed, "only what changed something was journaled"
            if self.engine.sealed:
                self.engine.flush(sequence)
            count += 1
        self.journal.truncate_before(self.engine.cursor + 1)
        return count

    @property
    def backlog(self) -> int:
        """Sealed chunks that L1 does not hold yet."""
        return self.engine.chunk_count - self.posted_chunks

    async def submit(self, operation: bytes) -> Outcome:
        """Sequences one operation; returns once it is durable. Raises Backlogged."""
        tag = operation[0] if operation else 0
        if self.backlog >= self.backlog_chunks and not self._always_taken(operation):
            raise Backlogged
        signed = tag not in (0, constants.TICK, constants.DEPOSIT)
        signer = self.engine.recover_signer(operation) if signed else b""
        waiting = _Waiting(Input(self.now_ms(), operation, signer), trio.Event())
        await self._send.send(waiting)
        await waiting.done.wait()
        assert waiting.outcome is not None
        return waiting.outcome

    def _always_taken(self, operation: bytes) -> bool:
        if not operation or operation[0] in _ALWAYS_TAKEN:
            return True
        is_order = operation[0] == constants.ORDER
        return is_order and encoding.order(word_at(operation, 1), word_at(operation, 32)).reduce_only == 1

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sequences until cancelled. An exception in here is our bug or a dead disk: the node stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._seal_by_time)
            task_status.started()
            async for first in self._receive:
                group = [first]
                while len(group) < _GROUP_LIMIT:
                    try:
                        group.append(self._receive.receive_nowait())
                    except trio.WouldBlock:
                        break
                start = 0
                while start < len(group):
                    start = await self._sequence(group, start)

    async def _sequence(self, group: list[_Waiting], start: int) -> int:
        """Processes inputs up to the first that seals, makes them durable, answers them; where to go on."""
        records: list[bytes] = []
        stop = start
        while stop < len(group):
            waiting = group[stop]
            waiting.outcome = self.engine.process(waiting.given)
            stop += 1
            if waiting.outcome.changed:
                records.append(msgspec.msgpack.encode(waiting.given))
            if self.engine.sealed:
                break
        with trio.CancelScope(shield=True):
            # Invariant: what was processed is made durable and answered whole, also while the node is stopping.
            if records:
                self.journal.append(records)
                await trio.to_thread.run_sync(self.journal.commit)
            sealed = self.engine.flush(self.journal.durable_sequence)
            if self.journal.can_truncate_before(self.engine.cursor + 1):
                # The store holds what these records came to, and was synced.
                await trio.to_thread.run_sync(self.journal.truncate_before, self.engine.cursor + 1)
        for waiting in group[start:stop]:
            assert waiting.outcome is not None
            waiting.done.set()
            if waiting.outcome.changed:
                for listener in self.listeners:
                    listener.sequenced(waiting.outcome)
        if sealed:
            for listener in self.listeners:
                listener.sealed(sealed)
        return stop

    async def _seal_by_time(self) -> None:
        while True:
            await trio.sleep(self.seal_seconds)
            if self.engine.open_operations:
                await self.submit(b"")


def refusal(outcome: Outcome) -> str | None:
    """The name of the rule that refused an input, None where it was applied."""
    return None if outcome.code in (codes.OK, codes.REFUNDED) else codes.SENTENCE[outcome.code][0]
