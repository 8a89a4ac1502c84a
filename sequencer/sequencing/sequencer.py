"""The sequencing task: one at a time, durable before it is acknowledged, told to everybody after it is durable."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import structlog
import trio

from prover.signing.signed import SignedOperation, read, signer_of
from prover.stf import codes, constants
from prover.stf.replay import is_entry
from sequencer.engine.effects import Processed, refused
from sequencer.engine.engine import Engine
from sequencer.engine.money.posting import is_dear
from sequencer.engine.open_chunk import entered_ms
from sequencer.engine.records import CANCEL_TAKER, Input, Terms
from sequencer.history.history import History
from sequencer.sequencing.acknowledging import Acknowledgements
from sequencer.sequencing.admission import Taking, Untaken, is_taken, lowers_risk, needs_paid_bytes
from sequencer.sequencing.journal import Journal, JournalError
from sequencer.sequencing.paying import takes
from sequencer.sequencing.signature_pool import VerifierError

_GROUP_LIMIT: Final = 256
# So many are processed before the node's other tasks have their turn.
_INPUTS_A_TURN: Final = 8
# In operations of one lane.
_LANE_LIMIT: Final = 4_096

_ORDER: Final = bytes([constants.ORDER])
_TICK: Final = bytes([constants.TICK])

# Lanes, the first served first: prices, with the rescues that they bring, and entries of the queue; what takes orders
# back or moves margin to where it is needed; all else. In each they keep their order of arrival.
_PRICES, _RELIEF, _REST = range(3)
LANES: Final = ("prices", "relief", "rest")
_RELIEVES: Final = (constants.CANCEL, constants.CANCEL_ALL, constants.TRANSFER)


class NotTaken(Exception):
    """What was given is not taken now; `why`: too much waits to be posted, or what is taken could not be posted."""

    def __init__(self, why: Untaken) -> None:
        super().__init__(why.name)
        self.why = why


class Listener(Protocol):
    """Who is told about inputs once they are durable."""

    def sequenced(self, outcome: Processed) -> None:
        """One input was applied."""
        ...


class Recoverer(Protocol):
    """Whoever finds the signers of rows, as `signature_pool.Verifiers` does."""

    async def recover(self, rows: Sequence[bytes]) -> list[bytes]:
        """The address behind each row; VerifierError."""
        ...


class _Waiting:
    """An operation at its place in the order of arrival. Its signer may still be looked for."""

    __slots__ = ("done", "is_given_up", "lane", "now", "operation", "outcome", "signed", "signer", "terms")

    def __init__(self, now: int, operation: bytes, signed: SignedOperation | None, signer: bytes | None) -> None:
        """signed: the operation as the edge has decoded it, None where it has no one signer."""
        self.now = now
        self.operation = operation
        self.signed = signed
        self.signer = signer
        self.terms: Terms | None = None
        self.is_given_up = False
        self.lane = _lane_of(operation)
        self.done = trio.Event()
        self.outcome: Processed | Untaken | None = None

    @property
    def answer(self) -> Processed | Untaken:
        """What came of it, once it is done."""
        assert self.outcome is not None, "what has a signer is sequenced"
        return self.outcome


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
        # Before the replay: what the journal holds is booked with it.
        self.history = History(engine)
        self.journal = journal
        self.now_ms = now_ms
        self.seal_seconds = seal_seconds
        self.backlog_chunks = backlog_chunks
        self._posted_chunks = posted_chunks
        # How much of what is signed could be posted; whoever reads L1 says so.
        self.taking: Callable[[], Taking] = lambda: Taking.ALL
        # What a byte costs on L1, in micro-dollars, 0 where nothing is counted; whoever reads L1 says so.
        self.byte_micros: Callable[[], int] = lambda: 0
        # Whether entries have waited so long at a time that a chunk serves the queue alone; whoever reads L1 says so.
        self.is_late: Callable[[int], bool] = lambda now_ms: False
        # Whether the queue was not read for so long that no chunk is lawful for sure.
        self.is_blind: Callable[[int], bool] = lambda now_ms: False
        self.listeners: list[Listener] = []
        # Called once a group was answered and told, in the same turn.
        self.ended: list[Callable[[], None]] = []
        self.acknowledgements = Acknowledgements()
        self._recoverer = recoverer
        self._log = structlog.get_logger("venue")
        self._lanes: tuple[deque[_Waiting], ...] = (deque(), deque(), deque())
        # Something has come, or the signer of something that waits is known.
        self._news = trio.Event()
        self._has_room = trio.Event()
        # Set once what is being processed is durable.
        self._is_durable = trio.Event()
        self._is_durable.set()
        # Whether all that the engine shows is durable, answered and told.
        self.is_told = True
        # What the journal's last sync took.
        self.sync_seconds = 0.0
        self.replayed = self._replay()

    def _replay(self) -> int:
        cursor, durable = self.engine.cursor, self.journal.durable_sequence
        if cursor > durable:
            raise JournalError(f"The journal ends at record {durable}, before record {cursor} that the state contains.")
        count = 0
        for sequence, record in self.journal.replay(self.engine.cursor + 1):
            if not self.engine.process(msgspec.msgpack.decode(record, type=Input)).changed:
                # Only what changed something was journaled.
                raise JournalError(f"Record {sequence} of the journal is of another state: it does not follow.")
            if self.engine.sealed:
                self.engine.stage(sequence)
            count += 1
        # Behind the last one: a journal that does not belong here changes nothing.
        self.engine.store.flush()
        self.journal.truncate_before(self.engine.cursor + 1)
        return count

    def seated(self, since_ms: int) -> None:
        """The seat that orders here was taken at a time; what was created before it is refused from now on.

        Who held it before may have given receipts for soft cancels that nobody else knows. Set behind the replay: what
        the journal holds was taken by this node. A store that was rebuilt from L1 may know a later time.
        """
        self.engine.orders.not_before_ms = max(since_ms, self.engine.orders.not_before_ms)

    @property
    def backlog(self) -> int:
        """Sealed chunks that L1 does not hold yet."""
        return self.engine.chunk_count - self._posted_chunks()

    @property
    def is_backlogged(self) -> bool:
        """Whether so much waits to be posted that nothing is taken which grows risk."""
        return self.backlog >= self.backlog_chunks

    def _why_not(self, operation: bytes, signed: SignedOperation | None) -> Untaken | None:
        """Why an operation is not taken now; None where it is."""
        if not is_taken(self.taking(), operation, signed):
            return Untaken.NOT_POSTABLE
        is_unpaid = is_dear(self.byte_micros()) and needs_paid_bytes(operation, signed)
        if is_unpaid or (self.is_backlogged and not lowers_risk(operation, signed)):
            return Untaken.BACKLOG
        return None

    async def submit(self, operation: bytes | SignedOperation, taken: Callable[[], None] = lambda: None) -> Processed:
        """Sequences one operation; returns once it is durable. Raises NotTaken.

        `taken` is called once it has its place in the order of arrival.
        """
        (outcome,) = await self.submit_all([operation], taken)
        if isinstance(outcome, Untaken):
            raise NotTaken(outcome)
        return outcome

    async def submit_all(
        self,
        operations: Sequence[bytes | SignedOperation],
        taken: Callable[[], None] = lambda: None,
        terms: Sequence[Terms | None] = (),
    ) -> list[Processed | Untaken]:
        """Sequences operations one behind the other; returns once all are durable, or why one was not taken.

        One that comes as bytes and has one signer is decoded here, once. terms: of each, or of none.
        A caller who gives up takes along what has no signer yet; what has one is sequenced all the same.
        """
        waiting: list[_Waiting | Untaken] = []
        for given in operations:
            if isinstance(given, bytes):
                signed = read(self.engine.domain, given) if _has_signer(given) else None
                operation = given
            else:
                signed, operation = given, given.operation
            why_not = self._why_not(operation, signed)
            waiting.append(why_not or _Waiting(self.now_ms(), operation, signed, self._signer(signed)))
        for one, asked in zip(waiting, terms, strict=False):
            if isinstance(one, _Waiting):
                one.terms = asked
        sent = [one for one in waiting if isinstance(one, _Waiting)]
        searched = [one for one in sent if one.signer is None]
        if sent:
            # All or none: whoever is in the queue has somebody who looks for its signer.
            while any(len(self._lanes[one.lane]) >= _LANE_LIMIT for one in sent):
                await self._has_room.wait()
            for one in sent:
                self._lanes[one.lane].append(one)
            self._note_news()
        try:
            taken()
            if searched:
                await self._find_signers(searched)
        finally:
            for one in searched:
                one.is_given_up = one.signer is None
            self._note_news()
        for one in sent:
            await one.done.wait()
        return [one if isinstance(one, Untaken) else one.answer for one in waiting]

    def hand_in(self, signed: SignedOperation, terms: Terms) -> None:
        """Gives one whose signer is known its place in the order of arrival; nobody waits for what comes of it."""
        assert signed.signer is not None, "nobody would look for the signer"
        waiting = _Waiting(self.now_ms(), signed.operation, signed, signed.signer)
        waiting.terms = terms
        self._lanes[waiting.lane].append(waiting)
        self._note_news()

    def _signer(self, signed: SignedOperation | None) -> bytes | None:
        """The signer where it needs no search, empty where there is none or many; None where it has to be found."""
        if signed is None:
            return b""
        if signed.signer is None and self._recoverer is None:
            return signer_of(signed.digest, signed.operation)
        return signed.signer

    async def _find_signers(self, searched: list[_Waiting]) -> None:
        assert self._recoverer is not None
        try:
            signers = await self._recoverer.recover([one.signed.row for one in searched if one.signed is not None])
        except VerifierError as error:
            # Slower, and right: nobody is refused because a worker died.
            self._log.warning("verifiers.failed", error=str(error))
            signers = [signer_of(one.signed.digest, one.operation) for one in searched if one.signed is not None]
        for one, signer in zip(searched, signers, strict=True):
            one.signer = signer

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sequences until cancelled. An exception in here is our bug or a dead disk: the node stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._seal_by_time)
            task_status.started()
            while True:
                is_behind = self._has_more()
                if is_behind:
                    await self._sequence([_Waiting(self.now_ms(), b"", None, b"")])
                group = list(self._next(is_behind))
                if group:
                    await self._sequence(group)
                elif not is_behind:
                    await self._news.wait()

    async def durable(self) -> None:
        """Returns once all that the engine shows at the call is in the journal."""
        await self._is_durable.wait()

    def waiting(self, lane: int) -> int:
        """Operations that wait in a lane."""
        return len(self._lanes[lane])

    def _note_news(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _next(self, is_behind: bool) -> Iterator[_Waiting]:
        """What is sequenced next, the first lane first; of a lane nothing whose signer is not known passes by another.

        Orders wait until a tick's work is done; prices, cancels and the queue's entries do not.
        """
        count = 0
        for lane in self._lanes:
            for waiting in lane:
                if waiting.signer is None and not waiting.is_given_up:
                    break
                if is_behind and waiting.operation[:1] == _ORDER:
                    continue
                count += 1
                if count > _GROUP_LIMIT:
                    return
                yield waiting

    def _has_to_wait(self, waiting: _Waiting) -> bool:
        """Whether it is a new order, and a tick that came before it has not done with the books yet."""
        return waiting.operation[:1] == _ORDER and self._has_more()

    def _has_more(self) -> bool:
        now = self.now_ms()
        # Asked for each order: how late the queue is, is looked at only where there is more to do.
        return self.engine.has_more(now, queue_only=False) and not self.is_late(now)

    async def _sequence(self, group: list[_Waiting]) -> None:
        """Processes inputs up to the first that seals, makes them durable, answers them; the others wait on."""
        records: list[bytes] = []
        done: list[_Waiting] = []
        self._is_durable = trio.Event()
        self.is_told = False
        for waiting in group:
            if done and self._has_to_wait(waiting):
                break
            done.append(waiting)
            if waiting.is_given_up:
                continue
            given = self._input(waiting)
            waiting.outcome = Untaken.BACKLOG if given is None else self._process(given, waiting.signed)
            if len(done) % _INPUTS_A_TURN == 0:
                # Whoever comes meanwhile is read and placed; what is processed is made durable all the same.
                await trio.lowlevel.cancel_shielded_checkpoint()
            if isinstance(waiting.outcome, Processed) and waiting.outcome.changed:
                records.append(msgspec.msgpack.encode(given))
            if self.engine.sealed:
                break
        self._take_out(done)
        with trio.CancelScope(shield=True):
            # Invariant: what was processed is made durable and answered whole, also while the node is stopping.
            if records:
                self.journal.append(records)
                began = trio.current_time()
                await trio.to_thread.run_sync(self.journal.commit)
                self.sync_seconds = trio.current_time() - began
            self._is_durable.set()
            self.engine.stage(self.journal.durable_sequence)
            await self._write()
        self._answer(done)

    def _answer(self, done: list[_Waiting]) -> None:
        self.acknowledgements.note(
            (waiting.signed, waiting.outcome, waiting.now)
            for waiting in done
            if waiting.signed is not None and isinstance(waiting.outcome, Processed)
        )
        for waiting in done:
            if waiting.outcome is None:
                continue
            waiting.done.set()
            if isinstance(waiting.outcome, Processed) and waiting.outcome.changed:
                for listener in self.listeners:
                    listener.sequenced(waiting.outcome)
        self.is_told = True
        for ended in self.ended:
            ended()

    async def _write(self) -> None:
        """Brings closed batches to the disk, in a thread: the node's other tasks do not wait for its sync."""
        staged = self.engine.store.staged(self.journal.durable_sequence)
        if staged is None:
            return
        await trio.to_thread.run_sync(self.engine.store.persist, staged)
        self.engine.store.persisted(staged)
        if self.journal.can_truncate_before(staged.cursor + 1):
            # The store holds what these records came to, and was synced.
            await trio.to_thread.run_sync(self.journal.truncate_before, staged.cursor + 1)

    def _take_out(self, done: list[_Waiting]) -> None:
        for place, lane in enumerate(self._lanes):
            gone = {id(one) for one in done if one.lane == place}
            while lane and id(lane[0]) in gone:
                gone.discard(id(lane.popleft()))
            # Of orders that wait for a tick's work, what stands behind them was taken.
            if gone:
                kept = [one for one in lane if id(one) not in gone]
                lane.clear()
                lane.extend(kept)
        self._has_room.set()
        self._has_room = trio.Event()

    def _process(self, given: Input, signed: SignedOperation | None) -> Processed:
        if given.operation[:1] == _TICK and self.is_blind(given.now):
            # All else is no entry either, and refused as what is late.
            return Processed(code=codes.QUEUE_ONLY, effects=[refused(codes.QUEUE_ONLY)], changed=False)
        return self.engine.process(given, signed)

    def _input(self, waiting: _Waiting) -> Input | None:
        """What waits as an input; None where nobody pays for its bytes."""
        assert waiting.signer is not None, "only what has a signer, or none by law, is next"
        byte_micros = self.byte_micros()
        # By what the engine holds now: orders that came before it in its call are in the books.
        self_trade = CANCEL_TAKER if waiting.terms is None else waiting.terms.self_trade
        signed = waiting.signed
        if signed is not None and not takes(self.engine, signed, byte_micros, waiting.now, self_trade):
            return None
        # An entry brings its time: by that the chunk is judged in which it will stand.
        is_late = self.is_late(max(waiting.now, entered_ms(waiting.operation)))
        return Input(waiting.now, waiting.operation, waiting.signer, is_late, waiting.terms, byte_micros)

    async def _seal_by_time(self) -> None:
        while True:
            await trio.sleep(self.seal_seconds)
            # A forced close goes on by the clock alone where no tick comes that would move it, and so does what a tick
            # has left: stops that waited for the end of a grace.
            commitment = self.engine.view.commitment
            is_closing = commitment.queue_taken > commitment.queue_count
            if self.engine.open_operations or is_closing or self._has_more():
                await self.submit(b"")


def _lane_of(operation: bytes) -> int:
    if not _has_signer(operation):
        return _PRICES
    return _RELIEF if operation[0] in _RELIEVES else _REST


def _has_signer(operation: bytes) -> bool:
    """Whether an operation has one signer: not a seal, a tick or an entry of the L1 queue."""
    return bool(operation) and operation[0] != constants.TICK and not is_entry(operation[0])
