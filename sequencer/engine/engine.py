"""The venue, sans-I/O: inputs in, effects and sealed chunks out. It matches, the law decides, the chunk records.

A pure function of the state it was opened on and of its inputs, each with its own time: the journal replays to the same
root. Nothing reaches the store before `flush`, which the edge calls once the inputs are durable in the journal.
"""

from typing import Final, Protocol

import msgspec

from prover.signing.receipts import is_soft
from prover.signing.signed import SignedOperation
from prover.state.levels import Levels
from prover.state.state import State
from prover.state.trial import next_chunk, preview
from prover.stf import codes, constants, containers, encoding
from prover.stf.replay import UNCONSUMED, Chunk, is_entry, serves_queue
from prover.stf.words import word_at
from sequencer.engine.asked import bracket
from sequencer.engine.asked.linked import forget, settle
from sequencer.engine.asked.reducing import follow
from sequencer.engine.committing import Committing
from sequencer.engine.effects import (
    Accepted,
    AnyEffect,
    Applied,
    EntryConsumed,
    Fired,
    MarketChanged,
    Opened,
    Processed,
    Reason,
    Refused,
    Repeated,
    Rescued,
    Settled,
    SoftlyCancelled,
    Switched,
    Ticked,
    number,
    refused,
)
from sequencer.engine.ledger import Ledger
from sequencer.engine.liquidator import Liquidator
from sequencer.engine.money.moved import moved
from sequencer.engine.open_chunk import OpenChunk, SealedChunks
from sequencer.engine.order_book import Limits, order_id
from sequencer.engine.orders import EVERY_SLOT, Orders
from sequencer.engine.placing import Admitted, Arrival, check_soft_cancel, fits, judge, keeps_place, still_entitled
from sequencer.engine.post_mortem import Case
from sequencer.engine.queue import Queue
from sequencer.engine.records import (
    CURSOR_KEY,
    SIGNERS_KEY,
    Input,
    SealedChunk,
    StagedStore,
    Terms,
    Writes,
    signers_of,
)

# What a rebuilt store counts on from rises by one in so many milliseconds, more than there are inputs in them on an
# average of all that is between two rebuilds.
_REBUILT_EVERY_MS: Final = 4
# Requests after which free collateral may no longer cover what an account has open.
UNCOVERING: Final = (constants.WITHDRAW, constants.TRANSFER, constants.SET_LEVERAGE)


class EngineLimits(msgspec.Struct, frozen=True):
    """What the venue holds at most."""

    book: Limits = Limits(orders=100_000, orders_of_account=64)
    # A chunk is closed to new inputs at this many bytes, so that most inputs find a chunk with room.
    chunk_bytes: int = 6_400
    # One tick may reach any number of triggers: so many are sent into the books by it and by each input after it.
    fired_stops: int = 200
    # As many may end at one: so many leave the books by it and by each input after it.
    expired_orders: int = 200
    # What inputs overflowed waits for the end of the chunk that the last of them went on in: so many chunks at most.
    waiting_chunks: int = 16


class Keeper(Protocol):
    """Whoever keeps books of what inputs come to, in the same atomic write as the state."""

    def note(self, processed: Processed, given: Input) -> None:
        """An input that changed something; its effects are numbered."""

    def writes(self) -> Writes:
        """What has changed since the last call, as the store keeps it."""


class Engine:
    """Books, the open chunk, and the state under them.

    cursor: the last input that the closed batches of the store contain; inputs: those that the venue contains.
    """

    def __init__(
        self, store: StagedStore, domain: bytes, limits: EngineLimits | None = None, levels: Levels | None = None
    ) -> None:
        """Opens on the state in `store`; StateError when it holds none. levels: what is remembered of its tree."""
        self.limits = limits or EngineLimits()
        self.store = store
        self.domain = domain
        accounts: dict[int, bytes] = {}
        self.state = State(store, domain, accounts, levels)
        cursor = store.get(CURSOR_KEY)
        counts = (0, 0, 0) if cursor is None else msgspec.msgpack.decode(cursor, type=tuple[int, int, int])
        self.cursor, chunk_count, arrivals = counts
        self.inputs = self.cursor
        self._sealed = SealedChunks(store, chunk_count)
        self._open = OpenChunk(self.state, self._sealed)
        self._orders = Orders(store, self.limits.book, arrivals)
        # Behind a rebuild effects are counted on from a number that neither its rows nor what is lost have reached.
        self._counted_from = self._orders.not_before_ms // _REBUILT_EVERY_MS
        self._ledger = Ledger(store, self.state.globals.risk, accounts)
        self._open.watched_by += self._ledger.watching
        self._queue = Queue(store)
        self._committing = Committing(self._open, self._orders, self._ledger, self._queue)
        # Whether orders that are over stand in the books, as the last look at them has found.
        self._is_expiring = self._orders.has_expired(self.globals.tick_time)
        self.keepers: list[Keeper] = []
        # What is seen from outside.
        self.open_chunk = self._open
        self.orders = self._orders
        self.books = self._orders.books
        self.triggers = self._orders.triggers
        self.ledger = self._ledger
        self.holders = self._ledger.holders
        self.withdrawals = self._ledger.withdrawals
        self.rescues = self._ledger.rescues
        self.entries = self._queue.entries
        self.account = self._open.account
        self.slot = self._open.slot
        self.accounts_of = self._ledger.accounts_of
        self.voided_of = self._ledger.voided_of
        self.open_orders = self._orders.open_of
        self.chunk_record = self._sealed.record
        self.chunk_with_root = self._sealed.with_root
        self.chunk_begun = self._sealed.begun

    @property
    def view(self) -> Chunk:
        """The state as it stands with the open chunk; on an empty chunk nothing but the state."""
        return self._open.view

    @property
    def globals(self) -> containers.Globals:
        """The globals with everything sequenced so far."""
        return self._open.globals

    @property
    def open_operations(self) -> int:
        """Operations in the open chunk."""
        return self._open.operations

    @property
    def chunk_count(self) -> int:
        """Sealed chunks."""
        return self._sealed.count

    @property
    def sealed(self) -> list[SealedChunk]:
        """Chunks of closed batches since the last flush; one that an input overflowed is none of them yet."""
        return self._sealed.closed

    @property
    def tick_signers(self) -> list[int]:
        """Indices of the oracle signers of the last tick."""
        return self._ledger.tick_signers

    def signer_of(self, order: containers.Order) -> bytes:
        """Who signed an open order: the account's owner or an agent."""
        return self._orders.signed(order).signer

    # Inputs.

    def process(self, given: Input, signed: SignedOperation | None = None) -> Processed:
        """Applies one input; a refused one leaves nothing behind. signed: its operation, if it is decoded already."""
        self._open.signer = given.signer
        self._open.queue_only = given.queue_only
        self._open.was_cut = False
        self._committing.now = given.now
        self._ledger.unpaid.byte_micros = given.byte_micros
        tag = given.operation[0] if given.operation else None
        code = codes.OK
        if tag is None:
            effects = self._go_on()
            is_changing = self._open.was_cut or self.open_operations > 0 or bool(effects)
        else:
            # A soft cancel puts nothing into a chunk, whatever that may take.
            if given.queue_only and not serves_queue(tag) and not is_soft(given.operation):
                code, effects = codes.QUEUE_ONLY, [refused(codes.QUEUE_ONLY)]
            elif tag == constants.ORDER:
                code, effects = self._order(given, signed)
            elif is_soft(given.operation):
                code, effects = self._soft_cancel(given)
            else:
                code, effects = self._plain(given)
            is_changing = bool(effects) and not isinstance(effects[0], Refused | Repeated)
        processed = Processed(code=code, effects=effects, changed=is_changing)
        if is_changing:
            effects += settle(self._committing, effects)
            effects += bracket.settle(self._committing, effects)
            effects += follow(self._committing, processed.accounts)
            forget(self._committing, effects)
            touches = self._open.touched(processed.accounts)
            effects += [Settled(account=index, touch=touch) for index, touch in touches]
            self.inputs += 1
            number(effects, self._counted_from + self.inputs)
            processed.told.extend(self._orders.lives.note(effects, given))
            self._ledger.touched((index, self.account(index)) for index in processed.accounts)
            for keeper in self.keepers:
                keeper.note(processed, given)
        # Invariant: what is flushed ends at an input, so that the journal goes on right behind it. A chunk that was
        # overflowed ends within an input, and is written with a later one.
        if tag is None or self._open.body_size >= self.limits.chunk_bytes or self._has_waited_enough():
            self._seal()
        return processed

    def _has_waited_enough(self) -> bool:
        """Whether overflowed chunks have nothing to wait for, or are too many."""
        waiting = self._sealed.waiting
        return waiting > 0 and (self.open_operations == 0 or waiting >= self.limits.waiting_chunks)

    # What is kept.

    def _seal(self) -> None:
        """Seals the open chunk, and closes a batch of writes that ends with the last input that was counted."""
        self._open.seal()
        if not self._sealed.waiting:
            return
        writes = self._orders.writes(self.state.commitment.timestamp) | self._sealed.close()
        for keeper in self.keepers:
            writes |= keeper.writes()
        self.cursor = self.inputs
        writes[SIGNERS_KEY] = bytes(self._ledger.tick_signers)
        counts = (self.cursor, self.chunk_count, self._orders.arrivals)
        writes[CURSOR_KEY] = msgspec.msgpack.encode(counts)
        self.store.write(writes, sync=True)
        self.store.stage(self.cursor)

    def flush(self, durable: int) -> list[SealedChunk]:
        """Writes the chunks sealed since the last flush, which the journal's first `durable` inputs came to."""
        sealed = self.stage(durable)
        if sealed:
            self.store.flush()
        return sealed

    def stage(self, appended: int) -> list[SealedChunk]:
        """As `flush`, but leaves the writing to the caller, who has `store.staged` once the journal is durable."""
        assert self.cursor <= appended, "what is written is in the journal"
        return self._sealed.fetch()

    # Orders.

    def _order(self, given: Input, signed: SignedOperation | None) -> tuple[int, list[AnyEffect]]:
        order = _order_of(given, signed)
        arrival = Arrival(order, given.operation, given.signer, given.terms)
        chunk = self._open.open(given.now)
        said = judge(self._orders, chunk, arrival)
        is_placed = isinstance(said, Admitted) and not said.is_armed
        if is_placed and not fits(self._orders, chunk, order, self._open.has_room):
            # Judged by the clock of the chunk that it will stand in: refused, it seals nothing.
            said = judge(self._orders, next_chunk(chunk, given.now), arrival)
            if isinstance(said, Admitted):
                # Invariant: sealed before the input has changed anything, a chunk ends at the input before it.
                self._seal()
                chunk = self._open.open(given.now)
        if isinstance(said, Refused):
            return said.code, [said]
        if isinstance(said, Repeated):
            return codes.OK, [said]
        self._orders.take(order, 0 if given.terms is None else given.terms.group)
        accepted = _accepted(order, chunk.commitment.timestamp)
        held = said.replaced
        if held is not None and keeps_place(self._orders, chunk, order, held, said.is_armed):
            return codes.OK, [accepted, *self._committing.take_over(arrival, held)]
        effects: list[AnyEffect] = [] if held is None else [self._committing.leave(held, Reason.REPLACED)]
        replaces = held is not None
        if said.is_armed:
            effects += self._committing.arm(arrival, replaces=replaces, is_dormant=said.is_dormant)
        else:
            effects += bracket.end_entry(self._committing, given.terms)
            effects += self._committing.place(arrival, replaces=replaces)
        return codes.OK, [accepted, *effects]

    def _soft_cancel(self, given: Input) -> tuple[int, list[AnyEffect]]:
        """Out of the books without a byte on L1: never refused for want of room, and never posted."""
        tag, operation = given.operation[0], given.operation
        request = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
        now = max(given.now, self.view.commitment.timestamp)
        terms = given.terms or Terms()
        code = check_soft_cancel(self.view, tag, request, given.signer, now, handed_in=terms.asked)
        if code != codes.OK:
            return code, [refused(code)]
        if terms.at is not None:
            return self._switch(request, terms.at)
        if terms.asked is not None:
            return codes.OK, self._committing.drop_all(request.account, Reason.DISCONNECTED)
        receipt = self._orders.void(request, now)
        dropped = self._committing.drop_cancelled(request, tag == constants.CANCEL_ALL)
        return codes.OK, [SoftlyCancelled(account=request.account, receipt=receipt), *dropped]

    def _switch(self, request: containers.Request, at: int) -> tuple[int, list[AnyEffect]]:
        """A cancel of all that is to happen later; the newest that was signed counts, and may come again."""
        if request.slot != EVERY_SLOT:
            return codes.NOT_CANONICAL, [refused(codes.NOT_CANONICAL)]
        if self._orders.switches.is_known(request.account, at, request.sequence):
            return codes.OK, []
        if request.sequence <= self._orders.switches.sequence(request.account):
            return codes.USED, [refused(codes.USED)]
        self._orders.switches.put(request.account, at, request.sequence)
        return codes.OK, [Switched(account=request.account, at_ms=at)]

    # Operations that are no orders.

    def _plain(self, given: Input) -> tuple[int, list[AnyEffect]]:
        operation, tag = given.operation, given.operation[0]
        chunk = self._open.open(given.now)
        has_room = self._open.has_room(len(operation), [tag]) and not self._open.is_outrun(operation)
        trial = preview(chunk if has_room else next_chunk(chunk, given.now), operation)
        code = trial.operation_codes[0]
        if code in UNCONSUMED or (code != codes.OK and not is_entry(tag)):
            return code, [refused(code)]
        if not has_room:
            self._seal()
            chunk = self._open.open(given.now)
        case = (
            _case(self._open, self.tick_signers, operation)
            if tag == constants.FORCED_RESCUE and code == codes.OK
            else None
        )
        next_account = self.globals.next_account
        paid_before = chunk.commitment.withdrawn_total
        entry_index = chunk.commitment.queue_taken
        assert chunk.apply(operation) == code, "a preview is the law's own word"
        self._open.append(operation)
        applied = Applied(
            operation_tag=tag,
            code=code,
            account=None,
            accounts=[index for index in trial.accounts if index != constants.FEE_ACCOUNT],
            chunk=self.chunk_count + 1,
            operation=self.open_operations - 1,
        )
        effects: list[AnyEffect] = [applied]
        if self.globals.next_account > next_account:
            owner = self.account(next_account).owner
            self._ledger.opened(next_account, owner)
            effects.append(Opened(account=next_account, owner=owner))
        after = self.globals
        effects += moved(operation, code, next_account, self.account, after.posting_fee, after.withdrawal_count)
        if is_entry(tag):
            effects.append(_noted(self._queue, self.view, entry_index, applied, operation))
        if tag == constants.TICK:
            effects += self._ticked(operation)
        elif tag == constants.DEPOSIT:
            effects += self._deposited(applied, operation, next_account)
        elif is_entry(tag):
            if code == codes.OK:
                effects += self._entered(applied, operation, paid_before, case)
        else:
            effects += self._requested(applied, operation)
        return code, effects

    def _deposited(self, applied: Applied, operation: bytes, next_account: int) -> list[AnyEffect]:
        entry = encoding.deposit(word_at(operation, 1), word_at(operation, 21))
        applied.account = next_account if entry.account == constants.NEW_ACCOUNT else entry.account
        return [self._committing.pay_out(entry.depositor, entry.amount)] if applied.code == codes.REFUNDED else []

    def _requested(self, applied: Applied, operation: bytes) -> list[AnyEffect]:
        tag = applied.operation_tag
        request = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
        applied.account = request.account
        self._committing.note_request(request.account, len(operation))
        effects = self._committing.drop_cancelled(request, tag == constants.CANCEL_ALL)
        if tag == constants.SET_AGENT:
            effects += self._drop_dismissed(request.account)
        if tag in UNCOVERING:
            effects += self._committing.drop_uncovered(request.account)
        if tag == constants.WITHDRAW:
            effects.append(self._committing.pay_out(request.recipient, request.amount))
        return effects

    def _entered(self, applied: Applied, operation: bytes, paid_before: int, case: Case | None) -> list[AnyEffect]:
        """What an entry of the L1 queue that the law took means for books, feeds and lists."""
        tag = applied.operation_tag
        tail = word_at(operation, constants.ENTRY_HEAD_LENGTH)
        if tag == constants.FORCED_TICK:
            return self._ticked(operation[constants.ENTRY_HEAD_LENGTH - 1 :])
        if tag == constants.SET_MARKET:
            return [MarketChanged(market=tail >> 248), *self._committing.drop_refused_by_markets()]
        if case is not None:
            applied.account = case.account
            record = case.record(None)
            kept = None if record is None else self._ledger.note_rescue(record)
            rescued = Rescued(operation_tag=tag, market=case.move.market, accounts=[case.account], record=kept)
            rescued.sides = None if record is None else case.sides(record)
            return [rescued, *self._committing.drop_uncovered(case.account)]
        if tag == constants.SET_VENUE:
            return []
        entry = encoding.entry(tag, word_at(operation, 1), tail)
        applied.account = entry.account
        effects = self._drop_dismissed(entry.account)
        effects += self._committing.note_payment(self._queue.entries[-1], paid_before)
        effects += self._go_on_closing()
        return effects + self._committing.drop_uncovered(entry.account)

    # Open orders that a request, an entry or a tick takes out.

    def _drop_dismissed(self, account: int) -> list[AnyEffect]:
        """Takes out what no longer has a signer, or is void: the law would still fill what the open chunk holds."""
        floor = self.account(account).floor
        effects: list[AnyEffect] = []
        for order, _, _ in self.open_orders(account):
            if order.sequence < floor:
                effects.append(self._committing.leave(order, Reason.CANCELLED))
            elif still_entitled(self.view, order, self.signer_of(order)) != codes.OK:
                effects.append(self._committing.leave(order, Reason.DISMISSED))
        return effects

    def _ticked(self, tick: bytes) -> list[AnyEffect]:
        globals = self.globals
        prices = list(globals.risk.price)
        effects: list[AnyEffect] = [Ticked(time_ms=globals.tick_time, markets=globals.market_count, prices=prices)]
        self._ledger.tick_signers = signers_of(tick)
        effects += self._expire()
        effects += self._committing.drop_refused_by_markets()
        liquidator = Liquidator(self._committing)
        # In a chunk that serves the queue alone nothing is filled or liquidated at all.
        if not self.view.queue_only:
            liquidator.run()
        # Rescues come first: else whoever arms the most stops would put them between a debtor and his bids.
        return [*effects, *liquidator.effects, *self._fire(), *self._go_on_closing()]

    def has_more(self, now: int, queue_only: bool) -> bool:
        """Whether an empty input at this time takes out expired orders or sends stops into the books.

        What a tick has left of them comes before any new order.
        """
        if queue_only:
            return False
        if self._is_expiring or self._orders.switches.is_due(now):
            return True
        if not self._orders.is_due(self.globals.risk.price):
            return False
        return _may_fire(self.view if self.open_operations else next_chunk(self.view, now))

    def _expire(self) -> list[AnyEffect]:
        """Takes out orders that are over, a bounded number an input: the others are filled no more."""
        effects = self._committing.end_switches(self.limits.expired_orders)
        effects += self._committing.expire(self.limits.expired_orders)
        self._is_expiring = self._orders.has_expired(self._committing.ticked_at)
        return effects

    def _fire(self) -> list[AnyEffect]:
        """Sends stops that oracle prices reach into the books, a bounded number an input: the others stay armed.

        Once what has expired is out, stops among it.
        """
        if self._is_expiring or self._open.queue_only or not _may_fire(self.view):
            return []
        effects: list[AnyEffect] = []
        for order, known in self._orders.fire(self.globals.risk.price, self.limits.fired_stops):
            name = order_id(order)
            effects.append(Fired(order=name, account=order.account, market=order.market, lots=known.remaining))
            effects += bracket.end_entry(self._committing, known.terms)
            effects += self._committing.send(order, known)
        return effects

    def _go_on(self) -> list[AnyEffect]:
        """What the clock alone brings on: the rest of what a tick began, then a forced close under way."""
        effects = self._expire()
        if self._orders.is_due(self.globals.risk.price):
            self._open.open(self._committing.now)
            effects += self._fire()
        return [*effects, *self._go_on_closing()]

    def _go_on_closing(self) -> list[AnyEffect]:
        if self.globals.head_account == 0:
            return []
        # By its clock, not by that of the last chunk: a step may have to wait until ticks have been missing long.
        self._open.open(self._committing.now)
        liquidator = Liquidator(self._committing)
        liquidator.close_head()
        return liquidator.effects


def _may_fire(chunk: Chunk) -> bool:
    """Within a grace the law fills nothing that grows, and most makers would: triggers wait for the end of it."""
    clock = chunk.clock()
    return clock.priced and not clock.grace and not chunk.queue_only


def _order_of(given: Input, signed: SignedOperation | None) -> containers.Order:
    if signed is None:
        return encoding.order(word_at(given.operation, 1), word_at(given.operation, 32))
    assert isinstance(signed.message, containers.Order)
    return signed.message


def _accepted(order: containers.Order, time_ms: int) -> Accepted:
    return Accepted(
        order=order_id(order),
        account=order.account,
        market=order.market,
        side=order.side,
        price=order.limit_price,
        size=order.size,
        time_ms=time_ms,
    )


def _case(open: OpenChunk, signers: list[int], operation: bytes) -> Case:
    move = encoding.rescue(constants.FORCED_RESCUE, word_at(operation, constants.ENTRY_HEAD_LENGTH))
    return Case(open, signers, constants.FORCED_RESCUE, move)


def _noted(queue: Queue, chunk: Chunk, index: int, applied: Applied, operation: bytes) -> EntryConsumed:
    # The head is owed; whatever passes it is done.
    is_done = chunk.commitment.queue_count != index
    record = queue.note(index, operation, applied.code, is_done, applied.chunk, applied.operation)
    return EntryConsumed(
        index=index, operation_tag=record.tag, account=record.account, code=record.code, is_done=is_done
    )
