"""The sequencing task: one at a time, durable before it is acknowledged, told to everybody after it is durable."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog
import trio

from prover.stf import codes, constants, containers, encoding
from prover.stf.replay import is_entry
from prover.stf.words import word_at
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input, SealedChunk
from sequencer.sequencing.journal import Journal, JournalError
from sequencer.sequencing.signature_pool import VerifierError, signed_row

_GROUP_LIMIT: Final = 256
# In calls.
_QUEUE_LIMIT: Final = 4_096

# What lowers risk or brings money in is taken however long the backlog is.
_ALWAYS_TAKEN: Final = (constants.CANCEL, constants.CANCEL_ALL, constants.TICK)


class Backlogged(Exception):
    """Too many chunks wait to be posted: nothing that grows risk is taken until the backlog shrinks."""


class Listener(Protocol):
    """Who is told about inputs once they are durable."""

    def sequenced(self, outcome: Processed) -> None:
        """One input was applied."""
        ...

    def sealed(self, chunks: list[SealedChunk]) -> None:
        """Chunks were written."""
        ...


class Recoverer(Protocol):
    """Whoever finds the signers of rows, as `verifiers.Verifiers` does."""

    async def recover(self, rows: Sequence[bytes]) -> list[bytes]:
        """The address behind each row; VerifierError."""
        ...


class _Waiting:
    """An operation at its place in the order of arrival. Its signer may still be looked for."""

    __slots__ = ("done", "is_given_up", "known", "now", "operation", "outcome", "signer")

    def __init__(self, now: int, operation: bytes, signer: bytes | None) -> None:
        self.now = now
        self.operation = operation
        self.signer = signer
        self.is_given_up = False
        self.known = trio.Event()
        self.done = trio.Event()
        self.outcome: Processed | None = None


class Sequencer:
    """Inputs from everywhere, one after another, through engine, journal and store."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        now_ms: Callable[[], int],
        *,
        seal_seconds: float = 1.0,
        backlog_chunks: int = 256,
        recoverer: Recoverer | None = None,
        posted_chunks: Callable[[], int] = lambda: 0,
    ) -> None:
        """Replays what the journal holds beyond the engine's store; JournalError when it is damaged.

        Without a `recoverer` signatures are checked here and now, at the cost of everybody who waits.
        """
        self.engine = engine
        self.journal = journal
        self.now_ms = now_ms
        self.seal_seconds = seal_seconds
        self.backlog_chunks = backlog_chunks
        self._posted_chunks = posted_chunks
        self.listeners: list[Listener] = []
        self._recoverer = recoverer
        self._log = structlog.get_logger("venue")
        self._send, self._receive = trio.open_memory_channel[list[_Waiting]](_QUEUE_LIMIT)
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
        return self.engine.chunk_count - self._posted_chunks()

    async def submit(self, operation: bytes, taken: Callable[[], None] = lambda: None) -> Processed:
        """Sequences one operation; returns once it is durable. Raises Backlogged.

        `taken` is called once it has its place in the order of arrival.
        """
        (outcome,) = await self.submit_all([operation], taken)
        if outcome is None:
            raise Backlogged
        return outcome

    async def submit_all(
        self, operations: Sequence[bytes], taken: Callable[[], None] = lambda: None
    ) -> list[Processed | None]:
        """Sequences operations one behind the other; returns once all are durable, None for the backlogged ones.

        A caller who gives up takes along what has no signer yet; what has one is sequenced all the same.
        """
        waiting: list[_Waiting | None] = []
        for operation in operations:
            if self.backlog >= self.backlog_chunks and not self._always_taken(operation):
                waiting.append(None)
            else:
                waiting.append(_Waiting(self.now_ms(), operation, self._signer(operation)))
        sent = [one for one in waiting if one is not None]
        searched = [one for one in sent if one.signer is None]
        if sent:
            # All or none: whoever is in the queue has somebody who looks for its signer.
            await self._send.send(sent)
        try:
            taken()
            if searched:
                await self._find_signers(searched)
        finally:
            for one in searched:
                one.is_given_up = one.signer is None
                one.known.set()
        for one in sent:
            await one.done.wait()
        return [None if one is None else one.outcome for one in waiting]

    def _signer(self, operation: bytes) -> bytes | None:
        """The signer where it needs no search, empty where there is none or many; None where it has to be found."""
        if not operation or operation[0] == constants.TICK or is_entry(operation[0]):
            return b""
        return self.engine.recover_signer(operation) if self._recoverer is None else None

    async def _find_signers(self, searched: list[_Waiting]) -> None:
        assert self._recoverer is not None
        try:
            rows = [signed_row(self.engine.domain, one.operation) for one in searched]
            signers = await self._recoverer.recover(rows)
        except VerifierError as error:
            # Slower, and right: nobody is refused because a worker died.
            self._log.warning("verifiers.failed", error=str(error))
            signers = [self.engine.recover_signer(one.operation) for one in searched]
        for one, signer in zip(searched, signers, strict=True):
            one.signer = signer

    def _always_taken(self, operation: bytes) -> bool:
        if not operation or operation[0] in _ALWAYS_TAKEN or is_entry(operation[0]):
            return True
        if operation[0] == constants.SET_AGENT:
            # A grant can wait, a dismissal cannot.
            request = encoding.request(constants.SET_AGENT, word_at(operation, 1), word_at(operation, 31))
            return request.recipient == containers.NOBODY
        is_order = operation[0] == constants.ORDER
        return is_order and encoding.order(word_at(operation, 1), word_at(operation, 32)).reduce_only == 1

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sequences until cancelled. An exception in here is our bug or a dead disk: the node stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._seal_by_time)
            task_status.started()
            async for first in self._receive:
                group = list(first)
                while len(group) < _GROUP_LIMIT:
                    try:
                        group += self._receive.receive_nowait()
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
            if waiting.signer is None and not waiting.known.is_set():
                if stop > start:
                    # Those before it do not wait for its signer.
                    break
                await waiting.known.wait()
            stop += 1
            if waiting.is_given_up:
                continue
            assert waiting.signer is not None
            given = Input(waiting.now, waiting.operation, waiting.signer)
            waiting.outcome = self.engine.process(given)
            if waiting.outcome.changed:
                records.append(msgspec.msgpack.encode(given))
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
            if waiting.outcome is None:
                continue
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
            # A forced close goes on by the clock alone where no tick comes that would move it.
            if self.engine.open_operations or self.engine.view.commitment.queue_open:
                await self.submit(b"")


def refusal(outcome: Processed) -> str | None:
    """The name of the rule that refused an input, None where it was applied."""
    return None if outcome.code in (codes.OK, codes.REFUNDED) else codes.SENTENCE[outcome.code][0]
