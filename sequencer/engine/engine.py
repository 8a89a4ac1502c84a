"""The venue, sans-I/O: inputs in, outcomes and sealed chunks out. It matches, the law decides, the chunk records.

A pure function of the state it was opened on and of its inputs, each with its own time: the journal replays to the same
root. Nothing reaches the store before `flush`, which the edge calls once the inputs are durable in the journal.
"""

from collections import defaultdict, deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

import msgspec

from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.signing.signatures import signed_digest
from prover.state.state import State
from prover.state.trial import NO_ORDER, decide_fill, decide_rescue, one_side, peek_account, peek_slot, preview
from prover.stf import codes, constants, containers, encoding, margin, signatures, trading
from prover.stf.replay import UNCONSUMED, Chunk, is_entry
from prover.stf.words import word_at
from sequencer.engine.liquidator import Liquidator
from sequencer.engine.order_book import BookFull, Limits, OrderBook, Stop, TriggerBook, order_id
from sequencer.engine.post_mortem import Case, PostMortem
from sequencer.engine.records import (
    CHUNK_KEY,
    CURSOR_KEY,
    ORDER_KEY,
    QUEUE_KEY,
    RESCUE_KEY,
    ROOT_KEY,
    SIGNERS_KEY,
    TAKEN_KEY,
    WITHDRAWAL_KEY,
    EntryRecord,
    Fill,
    Input,
    OpenOrder,
    SealedChunk,
    StagedStore,
    WithdrawalRecord,
    signers_of,
)

_REMEMBERED_FILLS: Final = 10_000
_REMEMBERED_RESCUES: Final = 10_000
_REMEMBERED_ENTRIES: Final = 10_000
# Where an order's bytes name its market.
_MARKET_AT: Final = 4
_HIGHEST_PRICE: Final = 2**48 - 1
_ANY_FILL: Final = bytes([constants.FILL]) + bytes(constants.FILL_LENGTH - 1)


class Outcome(msgspec.Struct):
    """What an input came to. code: of the law; status: of an order; changed: whether anything has to be durable.

    account: whose input it was; opened: the account that came to be with it.
    """

    code: int
    status: str = ""
    refusal: str = ""
    order: str = ""
    filled: int = 0
    remaining: int = 0
    fills: list[Fill] = []
    rescues: list[PostMortem] = []
    chunk: int = 0
    operation: int = 0
    withdrawal: int | None = None
    account: int | None = None
    opened: int | None = None
    changed: bool = False
    accounts: set[int] = set()
    markets: set[int] = set()


class Admitted(msgspec.Struct, frozen=True):
    """An order that the venue takes. replaced: the order whose slot it takes; is_armed: it waits for its trigger."""

    replaced: containers.Order | None
    is_armed: bool


# What a wallet sends and no fee is paid for.
_FREE: Final = (
    constants.CANCEL,
    constants.CANCEL_ALL,
    constants.WITHDRAW,
    constants.TRANSFER,
    constants.SET_AGENT,
    constants.SET_LEVERAGE,
)


class EngineLimits(msgspec.Struct, frozen=True):
    """What the venue holds at most."""

    book: Limits = Limits(orders=100_000, orders_of_account=255)
    # A chunk is closed to new inputs at this many bytes, so that most inputs find a chunk with room.
    chunk_bytes: int = 7_000
    # Cancels, payments, grants and bounds pay nothing and cost L1 bytes: so many at once, then one every so often.
    free_operations: int = 64
    free_refill_ms: int = 2_000


class Engine:
    """Books, the open chunk, and the state under them."""

    def __init__(self, store: StagedStore, domain: bytes, limits: EngineLimits | None = None) -> None:
        """Opens on the state in `store`; StateError when it holds none. `cursor` is the last input that it contains."""
        self.limits = limits or EngineLimits()
        self.store = store
        self.domain = domain
        self.state = State(self.store, domain)
        cursor = store.get(CURSOR_KEY)
        counts = (0, 0, 0) if cursor is None else msgspec.msgpack.decode(cursor, type=tuple[int, int, int])
        self.cursor, self.chunk_count, self._arrivals = counts
        markets = range(constants.MARKETS)
        self._budgets: dict[int, tuple[int, int]] = {}
        self.books = [OrderBook(market, self.limits.book) for market in markets]
        self.triggers = [TriggerBook(market, self.limits.book) for market in markets]
        self._signed: dict[tuple[int, int], OpenOrder] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._taken: dict[tuple[int, int], tuple[int, int]] = {
            (int.from_bytes(key[-4:-1], "big"), key[-1]): msgspec.msgpack.decode(value, type=tuple[int, int])
            for key, value in store.iterate(TAKEN_KEY)
        }
        self._dirty_taken: set[tuple[int, int]] = set()
        # One entry for each taken place: no later than its end, and put back where the end has moved.
        self._taken_ends = [(until, place) for place, (_, until) in self._taken.items()]
        heapify(self._taken_ends)
        self._accounts_of: defaultdict[bytes, list[int]] = defaultdict(list)
        # Accounts that may hold a position; whoever looks at one that does not may discard it.
        self.holders: set[int] = set()
        self.recent_fills: deque[Fill] = deque(maxlen=_REMEMBERED_FILLS)
        self.withdrawals: list[WithdrawalRecord] = [
            msgspec.msgpack.decode(value, type=WithdrawalRecord) for _, value in store.iterate(WITHDRAWAL_KEY)
        ]
        self.rescues: deque[PostMortem] = deque(
            (msgspec.msgpack.decode(value, type=PostMortem) for _, value in store.iterate(RESCUE_KEY)),
            maxlen=_REMEMBERED_RESCUES,
        )
        self.entries: deque[EntryRecord] = deque(
            (msgspec.msgpack.decode(value, type=EntryRecord) for _, value in store.iterate(QUEUE_KEY)),
            maxlen=_REMEMBERED_ENTRIES,
        )
        # Who signed the last tick: a forced close may come long after it.
        self.tick_signers: list[int] = list(store.get(SIGNERS_KEY) or b"")
        for key, value in store.iterate(b"l"):
            if key[-1] == 0:
                account = encoding.account_from_payload(value)
                index = int.from_bytes(key[1:4], "big")
                if account.owner != containers.NOBODY:
                    self._accounts_of[account.owner].append(index)
                if any(encoding.unpack(position).size for position in account.positions):
                    self.holders.add(index)
        self._load_orders(store)
        self._signer: bytes = b""
        self._chunk: Chunk | None = None
        self._body: list[bytes] = []
        self._body_size = 0
        self.sealed: list[SealedChunk] = []
        self._sealed_within = False

    # What is seen from outside.

    @property
    def view(self) -> Chunk:
        """The state as it stands with the open chunk; on an empty chunk nothing but the state."""
        return self._chunk or self.state.chunk(self._recover)

    def account(self, index: int) -> containers.Account:
        """An account with everything sequenced so far."""
        return self.state.account(index) if self._chunk is None else peek_account(self._chunk, index)

    def slot(self, leaf_index: int) -> containers.Slot:
        """An order slot with everything sequenced so far."""
        return self.state.slot(leaf_index) if self._chunk is None else peek_slot(self._chunk, leaf_index)

    @property
    def globals(self) -> containers.Globals:
        """The globals with everything sequenced so far."""
        return self.state.globals if self._chunk is None else self._chunk.globals

    @property
    def open_operations(self) -> int:
        """Operations in the open chunk."""
        return 0 if self._chunk is None else len(self._chunk.operation_codes)

    def accounts_of(self, owner: bytes) -> list[int]:
        """Indices of an owner's accounts, ascending."""
        return sorted(self._accounts_of.get(owner, ()))

    def open_orders(self, account: int) -> list[tuple[containers.Order, int, bool]]:
        """Open orders of an account as (order, lots left, waits for its trigger)."""
        found: list[tuple[containers.Order, int, bool]] = []
        for book, triggers in zip(self.books, self.triggers, strict=True):
            found += [(order, book.remaining(order.account, order.slot), False) for order in book.orders_of(account)]
            found += [(order, order.size, True) for order in triggers.orders_of(account)]
        return found

    def signer_of(self, order: containers.Order) -> bytes:
        """Who signed an open order: the account's owner or an agent."""
        return self._signed[(order.account, order.slot)].signer

    def recover_signer(self, operation: bytes) -> bytes:
        """Whom the signature of an operation with one signer recovers to; twenty zero bytes where it does not."""
        size = len(operation)
        return signatures.recover(
            signed_digest(self.domain, operation),
            word_at(operation, size - 64),
            word_at(operation, size - 32),
            recover_fast,
        )

    # Inputs.

    def process(self, given: Input) -> Outcome:
        """Applies one input. A refused one leaves nothing behind and says so by `changed`."""
        self._signer = given.signer
        self._sealed_within = False
        if given.operation == b"":
            outcome = Outcome(code=codes.OK, changed=False)
            self._go_on_closing(given.now, outcome)
            outcome.changed = self._sealed_within or self.open_operations > 0
        elif given.operation[0] == constants.ORDER:
            outcome = self._order(given)
        elif given.operation[0] in _FREE and self._spent(given) >= self.limits.free_operations:
            wait_ms = self.limits.free_refill_ms
            sentence = f"This account has used up its operations without a fee; one more every {wait_ms} ms."
            outcome = Outcome(code=codes.FULL, refusal=sentence)
        else:
            outcome = self._plain(given)
            if outcome.changed and given.operation[0] in _FREE:
                self._budgets[_account_of(given)] = (self._spent(given) + 1, given.now)
        self.holders |= outcome.accounts
        if given.operation == b"" or self._sealed_within or self._body_size >= self.limits.chunk_bytes:
            # Invariant: what is flushed ends at an input, so that the journal goes on right behind it.
            self._seal()
        return outcome

    def _spent(self, given: Input) -> int:
        """Operations without a fee that the account still has to wait for; a restart forgets, which refuses nothing."""
        spent, at = self._budgets.get(_account_of(given), (0, given.now))
        return max(0, spent - max(0, given.now - at) // self.limits.free_refill_ms)

    def flush(self, cursor: int) -> list[SealedChunk]:
        """Writes the chunks sealed since the last flush; `cursor` counts the inputs that they contain."""
        sealed = self.stage(cursor)
        if sealed:
            self.store.flush()
        return sealed

    def stage(self, cursor: int) -> list[SealedChunk]:
        """As `flush`, but leaves the writing to the caller, who has `store.staged` once the journal is durable."""
        sealed, self.sealed = self.sealed, []
        if sealed:
            assert self._chunk is None, "an input is processed whole before its chunks are written"
            writes: dict[bytes, bytes | None] = {}
            for key in self._dirty:
                signed = self._signed.get(key)
                place = ORDER_KEY + (key[0] << 8 | key[1]).to_bytes(4, "big")
                writes[place] = None if signed is None else msgspec.msgpack.encode(signed)
            self._dirty.clear()
            self._prune_taken()
            for key in self._dirty_taken:
                taken = self._taken.get(key)
                place = TAKEN_KEY + (key[0] << 8 | key[1]).to_bytes(4, "big")
                writes[place] = None if taken is None else msgspec.msgpack.encode(taken)
            self._dirty_taken.clear()
            for chunk in sealed:
                writes[CHUNK_KEY + chunk.number.to_bytes(8, "big")] = msgspec.msgpack.encode(chunk)
                writes[ROOT_KEY + chunk.post_root] = chunk.number.to_bytes(8, "big")
            self.cursor = cursor
            writes[SIGNERS_KEY] = bytes(self.tick_signers)
            writes[CURSOR_KEY] = msgspec.msgpack.encode((cursor, self.chunk_count, self._arrivals))
            self.store.write(writes, sync=True)
            self.store.stage(cursor)
        return sealed

    def chunk_record(self, number: int) -> SealedChunk | None:
        """A sealed and flushed chunk, from 1 on."""
        value = self.store.get(CHUNK_KEY + number.to_bytes(8, "big"))
        return None if value is None else msgspec.msgpack.decode(value, type=SealedChunk)

    def chunk_with_root(self, root: bytes) -> int | None:
        """The number of the chunk that ended at a root."""
        value = self.store.get(ROOT_KEY + root)
        return None if value is None else int.from_bytes(value, "big")

    # The open chunk.

    def _open(self, now: int) -> Chunk:
        if self._chunk is None:
            self._chunk = self.state.chunk(self._recover)
        if not self._chunk.operation_codes:
            # The clock of a chunk is that of its first operation, not of an input that was refused before it: refused
            # inputs are in no journal, and the node's clock may have been set back since.
            self._chunk.commitment.timestamp = self._chunk.pre_commitment.timestamp
            self._chunk.open(now)
            self._body = [self._chunk.commitment.timestamp.to_bytes(6, "big")]
            self._body_size = constants.TIMESTAMP_LENGTH
        return self._chunk

    def _recover(self, digest: bytes, v: int, r: int, s: int) -> bytes:
        # The edge has recovered the one signer of this input already; a tick has many.
        return self._signer or recover_fast(digest, v, r, s)

    def _append(self, operation: bytes) -> None:
        self._body.append(operation)
        self._body_size += len(operation)

    def _seal(self) -> None:
        chunk = self._chunk
        if chunk is None:
            return
        if not chunk.operation_codes:
            self._chunk = None
            self._body_size = 0
            return
        assert self._body_size <= constants.MAX_CHUNK_BYTES, "the chunk fits"
        proof = self.state.witness(chunk)
        pre_root = self.state.root
        post_root = self.state.seal(chunk)
        self.chunk_count += 1
        self.sealed.append(
            SealedChunk(
                number=self.chunk_count,
                body=b"".join(self._body),
                pre_root=pre_root,
                post_root=post_root,
                commitment=encoding.commitment_bytes(self.state.commitment),
                witness=proof,
                operations=len(chunk.operation_codes),
                withdrawal_count=self.state.globals.withdrawal_count,
                leaves=self.state.sealed_leaves,
            )
        )
        self._chunk = None
        self._body = []
        self._body_size = 0
        self._sealed_within = True

    def _room_for(self, now: int, operations: list[bytes]) -> Chunk:
        """The open chunk, if these operations fit into it together, or a new one."""
        chunk = self._open(now)
        size = self._body_size + sum(len(operation) for operation in operations)
        if size > constants.MAX_CHUNK_BYTES or not chunk.has_room(*(operation[0] for operation in operations)):
            self._seal()
            chunk = self._open(now)
        return chunk

    # Operations that are no orders.

    def _plain(self, given: Input) -> Outcome:
        operation = given.operation
        tag = operation[0]
        chunk = self._room_for(given.now, [operation])
        trial = preview(chunk, operation)
        code = trial.operation_codes[0]
        if code in UNCONSUMED or (code != codes.OK and not is_entry(tag)):
            return Outcome(code=code, changed=self._sealed_within)
        case = self._case(operation) if tag == constants.FORCED_RESCUE and code == codes.OK else None
        next_account = self.globals.next_account
        paid_before = self.view.commitment.withdrawn_total
        entry_index = self.view.commitment.queue_count
        assert chunk.apply(operation) == code, "a preview is the law's own word"
        self._append(operation)
        outcome = Outcome(code=code, changed=True, chunk=self.chunk_count + 1, operation=len(chunk.operation_codes) - 1)
        outcome.accounts = {index for index in trial.accounts if index != constants.FEE_ACCOUNT}
        if self.globals.next_account > next_account:
            outcome.opened = next_account
            self._accounts_of[self.account(next_account).owner].append(next_account)
        if is_entry(tag):
            self._note_entry(entry_index, operation, code, outcome)
        if tag == constants.TICK:
            self._ticked(operation, given.now, outcome)
        elif tag == constants.DEPOSIT:
            entry = encoding.deposit(word_at(operation, 1), word_at(operation, 21))
            outcome.account = entry.account
            if entry.account == constants.NEW_ACCOUNT:
                outcome.account = next_account
            if code == codes.REFUNDED:
                outcome.withdrawal = self._note_withdrawal(entry.depositor, entry.amount)
        elif tag >= constants.FORCED_RESCUE:
            if code == codes.OK:
                self._entered(operation, given.now, paid_before, case, outcome)
        else:
            request = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
            outcome.account = request.account
            self._drop_cancelled(tag, request, outcome)
            if tag == constants.SET_AGENT:
                self._drop_dismissed(request.account, outcome)
            if tag == constants.WITHDRAW:
                outcome.withdrawal = self._note_withdrawal(request.recipient, request.amount)
        return outcome

    def _ticked(self, tick: bytes, now: int, outcome: Outcome) -> None:
        outcome.markets = set(range(self.globals.market_count))
        self.tick_signers = signers_of(tick)
        self._after_tick(now, outcome)

    def _case(self, operation: bytes) -> Case:
        tail = word_at(operation, constants.ENTRY_HEAD_LENGTH)
        return Case(self, constants.FORCED_RESCUE, encoding.rescue(constants.FORCED_RESCUE, tail))

    def _entered(self, operation: bytes, now: int, paid_before: int, case: Case | None, outcome: Outcome) -> None:
        """What an entry of the L1 queue that the law took means for books, feeds and lists."""
        tag = operation[0]
        tail = word_at(operation, constants.ENTRY_HEAD_LENGTH)
        if tag == constants.FORCED_TICK:
            self._ticked(operation[constants.ENTRY_HEAD_LENGTH - 1 :], now, outcome)
        elif tag == constants.SET_MARKET:
            outcome.markets = {tail >> 248}
            self._drop_refused_by_market(tail >> 248, outcome)
        elif case is not None:
            outcome.account, outcome.markets = case.account, {case.move.market}
            self.note_rescue(case.record(None), outcome)
        elif tag != constants.SET_VENUE:
            entry = encoding.entry(tag, word_at(operation, 1), tail)
            outcome.account = entry.account
            self._drop_dismissed(entry.account, outcome)
            self._note_payment(entry.sender, paid_before, outcome)
            self._go_on_closing(now, outcome)

    def _note_payment(self, owner: bytes, paid_before: int, outcome: Outcome) -> None:
        """Lists what a forced path has just paid out, if anything."""
        paid = self.view.commitment.withdrawn_total - paid_before
        if paid > 0:
            outcome.withdrawal = self.entries[-1].withdrawal = self._note_withdrawal(owner, paid)
        self.entries[-1].done = self.view.commitment.queue_open == 0
        self._keep_entry()

    def _drop_refused_by_market(self, market: int, outcome: Outcome) -> None:
        """Takes out what a market that only lets positions shrink, or is settled, fills no more."""
        status = self.globals.markets[market].status
        if status == constants.MARKET_OPEN:
            return
        resting = [order for order, _ in self.books[market].resting()]
        for order in [*resting, *self.triggers[market].waiting()]:
            if status == constants.MARKET_SETTLED or order.reduce_only == 0:
                self._leave(order)
                outcome.accounts.add(order.account)

    def _note_entry(self, index: int, operation: bytes, code: int, outcome: Outcome) -> None:
        """Lists an entry of the L1 queue; what it pays and whether it is done is added where it becomes known."""
        tag = operation[0]
        account = None
        if tag in (constants.FORCED_WITHDRAW, constants.FORCED_CLOSE, constants.LEAVE, constants.FORCED_AGENT):
            account = encoding.entry(tag, 0, word_at(operation, constants.ENTRY_HEAD_LENGTH)).account
        self.entries.append(
            EntryRecord(
                index=index,
                tag=tag,
                sender=operation[1:21],
                account=account,
                code=code,
                done=self.view.commitment.queue_open == 0,
                withdrawal=None,
                chunk=outcome.chunk,
                operation=outcome.operation,
            )
        )
        self._keep_entry()

    def _keep_entry(self) -> None:
        record = self.entries[-1]
        self.store.write({QUEUE_KEY + record.index.to_bytes(8, "big"): msgspec.msgpack.encode(record)}, sync=False)

    def _note_withdrawal(self, recipient: bytes, amount: int) -> int:
        record = WithdrawalRecord(
            index=len(self.withdrawals), recipient=recipient, amount=amount, chunk=self.chunk_count + 1
        )
        assert record.index == self.globals.withdrawal_count - 1, "the list is the tree's"
        self.withdrawals.append(record)
        self.store.write({WITHDRAWAL_KEY + record.index.to_bytes(8, "big"): msgspec.msgpack.encode(record)}, sync=False)
        return record.index

    def _drop_cancelled(self, tag: int, request: containers.Request, outcome: Outcome) -> None:
        for order, _, _ in self.open_orders(request.account):
            of_slot = tag != constants.CANCEL_ALL and order.slot == request.slot
            if (of_slot or tag == constants.CANCEL_ALL) and order.sequence <= request.sequence:
                self._leave(order)
                outcome.markets.add(order.market)

    def _drop_dismissed(self, account: int, outcome: Outcome) -> None:
        """Takes out what no longer has a signer, or is void: the law would still fill what the open chunk holds."""
        floor = self.account(account).floor
        for order, _, _ in self.open_orders(account):
            is_void = order.sequence < floor
            if is_void or still_entitled(self.view, order, self.signer_of(order)) != codes.OK:
                self._leave(order)
                outcome.markets.add(order.market)

    def _after_tick(self, now: int, outcome: Outcome) -> None:
        for market in range(self.globals.market_count):
            for order in self.books[market].expire(now) + self.triggers[market].expire(now):
                self._forget(order)
                outcome.accounts.add(order.account)
            if self.globals.markets[market].status == constants.MARKET_SETTLED:
                self._drop_refused_by_market(market, outcome)
        # Within a grace the law fills nothing that grows, and most makers would: triggers wait for the end of it.
        firing = 0 if self.view.clock().grace else self.globals.market_count
        for market in range(firing):
            for order in self.triggers[market].fired(self.globals.risk.price[market]):
                signed = self._signed[(order.account, order.slot)]
                self._forget(order)
                self._signer = signed.signer
                placed = self._place(order, signed.operation, signed.signer, now)
                outcome.fills += placed.fills
                outcome.accounts |= placed.accounts
        Liquidator(self, now, outcome).run()
        self._go_on_closing(now, outcome)

    def _go_on_closing(self, now: int, outcome: Outcome) -> None:
        if self.view.commitment.queue_open == 1:
            # By its clock, not by that of the last chunk: a step may have to wait until ticks have been missing long.
            self._open(now)
            Liquidator(self, now, outcome).close_head()

    # Rescues, as the liquidator asks for them.

    def resting_against(self, market: int, size: int) -> list[tuple[containers.Order, int]]:
        """Resting orders that a position of so many signed lots could be closed against, the best first."""
        side = constants.SELL if size > 0 else constants.BUY
        limit = 1 if size > 0 else _HIGHEST_PRICE
        closing = msgspec.structs.replace(NO_ORDER, market=market, side=side, limit_price=limit)
        return list(self.books[market].facing(closing))

    def decide_rescue(self, tag: int, move: containers.Rescue, maker: containers.Order | None, now: int) -> int:
        """The law's code for a rescue on top of everything sequenced; nothing changes."""
        return decide_rescue(self._open(now), tag, move, maker or NO_ORDER).code

    def carry_out(
        self, tag: int, move: containers.Rescue, maker: containers.Order | None, now: int, outcome: Outcome
    ) -> tuple[int, Fill | None]:
        """A rescue as the law has it, booked where the law takes it; `outcome` is told who it touched."""
        chunk = self._open(now)
        any_rescue = operations.rescue_bytes(tag, move)
        missing = self._missing_maker(chunk, maker)
        roomy = self._room_for(now, [*(entry for _, entry, _ in missing), any_rescue])
        if roomy is not chunk:
            chunk = roomy
            missing = self._missing_maker(chunk, maker)
        for order, _, signer in missing:
            code = still_entitled(chunk, order, signer)
            if code != codes.OK:
                return code, None
        rescued = decide_rescue(chunk, tag, move, maker or NO_ORDER)
        ends_head = tag == constants.CLOSE_STEP and rescued.code == codes.INSOLVENT
        if rescued.code != codes.OK and not ends_head:
            return rescued.code, None
        fill = None
        self._admit(chunk, missing)
        if maker is not None:
            place = chunk.order_index[(maker.account, maker.slot, maker.sequence)]
            move = msgspec.structs.replace(move, maker=place)
        operation = operations.rescue_bytes(tag, move)
        paid_before = chunk.commitment.withdrawn_total
        code = chunk.apply(operation)
        assert code == rescued.code, f"decided just before: {code}"
        self._append(operation)
        insurance = constants.insurance_account(move.market)
        rescued_account = insurance if tag == constants.UNWIND else move.account
        paired = tag in (constants.DELEVERAGE, constants.CLOSE_STEP)
        outcome.accounts |= {rescued_account, insurance} | ({move.other} if paired else set())
        if ends_head:
            # What its sender is told: it began, and came to nothing.
            self.entries[-1].code = code
        if tag == constants.CLOSE_STEP:
            self._note_payment(self.account(rescued_account).owner, paid_before, outcome)
        outcome.markets.add(move.market)
        if maker is not None:
            self.books[maker.market].filled(maker, move.lots)
            self._shrink(maker, move.lots)
            outcome.accounts.add(maker.account)
            fill = Fill(
                market=maker.market,
                price=maker.limit_price,
                size=move.lots,
                maker=maker.account,
                taker=rescued_account,
                maker_order=order_id(maker),
                taker_order="",
                maker_side=maker.side,
                fee=rescued.fee,
                time=chunk.commitment.timestamp,
                chunk=self.chunk_count + 1,
                operation=len(chunk.operation_codes) - 1,
            )
            outcome.fills.append(fill)
            self.recent_fills.append(fill)
        return code, fill

    def drop_if_at_fault(self, maker: containers.Order, lots: int, code: int, outcome: Outcome) -> None:
        """Takes a resting order out of the book where it was what the law refused a rescue for."""
        chunk = self.view
        gone = (codes.EXPIRED, codes.NOT_YET, codes.AGENT_LIMITS, codes.BAD_SIGNATURE)
        if code in gone or is_maker_at_fault(chunk, maker, lots, code):
            self._leave(maker)
            outcome.accounts.add(maker.account)

    def note_rescue(self, record: PostMortem | None, outcome: Outcome) -> None:
        """Keeps a post-mortem, numbered from 0, where there is one."""
        if record is None:
            return
        number = self.rescues[-1].number + 1 if self.rescues else 0
        record = msgspec.structs.replace(record, number=number)
        self.rescues.append(record)
        outcome.rescues.append(record)
        self.store.write({RESCUE_KEY + number.to_bytes(8, "big"): msgspec.msgpack.encode(record)}, sync=False)

    # Orders.

    def _order(self, given: Input) -> Outcome:
        order = encoding.order(word_at(given.operation, 1), word_at(given.operation, 32))
        place = (order.account, order.slot)
        admitted = self.judge(self._open(given.now), order, given.operation, given.signer)
        if isinstance(admitted, Outcome):
            return admitted
        if admitted.replaced is not None:
            self._leave(admitted.replaced)
        self._take(place, order)
        if admitted.is_armed:
            self.triggers[order.market].arm(order)
            self._remember(order, given.operation, given.signer, order.size, armed=True)
            return Outcome(
                code=codes.OK,
                status="armed",
                order=order_id(order),
                remaining=order.size,
                changed=True,
                account=order.account,
                accounts={order.account},
            )
        return self._place(order, given.operation, given.signer, given.now)

    def judge(self, chunk: Chunk, order: containers.Order, operation: bytes, signer: bytes) -> "Admitted | Outcome":
        """What the venue says of an order at its arrival, on top of `chunk`; nothing changes."""
        place = (order.account, order.slot)
        known = self._signed.get(place)
        globals = chunk.globals
        account = peek_account(chunk, order.account)
        code = trading.check_order(
            order, account, signer, globals.markets, globals.market_count, chunk.commitment.timestamp
        )
        if code != codes.OK:
            return Outcome(code=code)
        if known is not None and known.operation[:49] == operation[:49]:
            # The same order again: the same answer, nothing twice.
            return Outcome(
                code=codes.OK,
                status="armed" if known.armed else "resting",
                order=order_id(order),
                filled=order.size - known.remaining,
                remaining=known.remaining,
            )
        taken_sequence, taken_until = self._taken.get(place, (-1, -1))
        if order.sequence <= taken_sequence and chunk.commitment.timestamp <= taken_until:
            # The law lets an order be filled until it expires; the venue takes each one once.
            return Outcome(code=codes.USED)
        held = None if known is None else self._open_order(known, place)
        slot = peek_slot(chunk, order.account << 8 | order.slot)
        left = order.size - trading.filled_before(order, slot)
        price = globals.risk.price[order.market]
        if not margin.trades(globals.markets[order.market], price):
            return Outcome(code=codes.NO_MARKET)
        if globals.markets[order.market].status != constants.MARKET_OPEN and order.reduce_only == 0:
            return Outcome(code=codes.MARKET_REDUCES)
        if not chunk.clock().priced:
            return Outcome(code=codes.STALE)
        size = self.reducible(order, account, left)
        if left > 0 and size == 0:
            return Outcome(code=codes.REDUCE_ONLY)
        code = trading.check_order_now(order, account, slot, price, size)
        if code not in (codes.OK, codes.NOT_TRIGGERED):
            return Outcome(code=code)
        market = globals.markets[order.market]
        if order.max_fee_ppm < max(market.maker_fee_ppm, market.taker_fee_ppm):
            return Outcome(code=codes.FEE_ABOVE_MAXIMUM)
        if order.max_posting_fee < globals.posting_fee and order.post_only == 0:
            return Outcome(code=codes.FEE_ABOVE_MAXIMUM)
        signed_size = trading.signed_size(order, size)
        fee = -(-size * order.limit_price * market.taker_fee_ppm // constants.PPM) + globals.posting_fee
        if code == codes.OK and order.reduce_only == 0:
            # Covered on its own today: the law asks again at each fill.
            trial = one_side(globals, chunk.clock(), account, order.market, signed_size, order.limit_price, fee)
            if trial.code != codes.OK:
                return Outcome(code=codes.TAKER_MARGIN if trial.code == codes.MARGIN else trial.code)
        if order.post_only == 1 and code == codes.OK and self.books[order.market].would_cross(order):
            return Outcome(code=codes.POST_ONLY)
        refusal = self._no_room(order, held, is_armed=code == codes.NOT_TRIGGERED)
        if refusal:
            return Outcome(code=codes.FULL, refusal=refusal)
        return Admitted(replaced=held, is_armed=code == codes.NOT_TRIGGERED)

    def _open_order(self, signed: OpenOrder, place: tuple[int, int]) -> containers.Order:
        market = signed.operation[_MARKET_AT]
        order = self.triggers[market].get(*place) if signed.armed else self.books[market].get(*place)
        assert order is not None, "an open order stands in one book"
        return order

    def _no_room(self, order: containers.Order, held: containers.Order | None, is_armed: bool) -> str:
        """Why an order could not rest; empty where it could, need not, or takes the place of the one it replaces."""
        books = self.triggers if is_armed else self.books
        book = books[order.market]
        need_not = not is_armed and (
            order.time_in_force != constants.GOOD_TILL_TIME or self.books[order.market].would_cross(order)
        )
        replaces = held is not None and held.market == order.market and book.get(held.account, held.slot) is not None
        if not need_not and not replaces:
            try:
                book.check_room(order.account)
            except BookFull as full:
                return str(full)
        return ""

    @staticmethod
    def reducible(order: containers.Order, account: containers.Account, left: int) -> int:
        """Lots that may be filled now: a reduce-only order never more than the position."""
        if order.reduce_only == 0:
            return left
        held = encoding.unpack(account.positions[order.market]).size
        return min(left, abs(held)) if (held > 0) != (order.side == constants.BUY) else 0

    def _place(self, order: containers.Order, operation: bytes, signer: bytes, now: int) -> Outcome:
        """Matches an order that the law admits, and lets the rest of it rest."""
        book = self.books[order.market]
        slot = self.slot(order.account << 8 | order.slot)
        left = order.size - trading.filled_before(order, slot)
        size = self.reducible(order, self.account(order.account), left)
        outcome = Outcome(code=codes.OK, order=order_id(order), account=order.account, changed=True)
        outcome.accounts = {order.account}
        outcome.markets = {order.market}
        if size <= 0:
            outcome.status = "expired"
            return outcome
        owner = self.account(order.account).owner
        matching = book.match(order, size, lambda account: self.account(account).owner == owner)
        halt = codes.OK
        for maker, lots in matching:
            maker_signed = self._signed[(maker.account, maker.slot)]
            lots = self.reducible(maker, self.account(maker.account), lots)
            if lots == 0:
                self._leave(maker)
                continue
            halt, culprit, fill = self._fill(maker, maker_signed, order, operation, signer, lots, now)
            if fill is not None:
                book.filled(maker, lots)
                self._shrink(maker, lots)
                outcome.fills.append(fill)
                outcome.filled += lots
                outcome.accounts.add(maker.account)
            elif culprit is maker:
                self._leave(maker)
                halt = codes.OK
            else:
                break
        self.recent_fills.extend(outcome.fills)
        outcome.remaining = left - outcome.filled
        resting = order.time_in_force == constants.GOOD_TILL_TIME and halt == codes.OK
        if outcome.remaining == 0:
            outcome.status = "filled"
        elif resting and matching.stop is Stop.UNCROSSED and book.has_room(order.account):
            self._remember(order, operation, signer, outcome.remaining, armed=False)
            book.add(order, outcome.remaining)
            outcome.status = "partially_filled" if outcome.filled else "resting"
        else:
            outcome.status = "expired"
            outcome.refusal = codes.SENTENCE[halt][0] if halt != codes.OK else str(matching.stop or "")
        return outcome

    def _fill(
        self,
        maker: containers.Order,
        maker_signed: OpenOrder,
        taker: containers.Order,
        operation: bytes,
        signer: bytes,
        size: int,
        now: int,
    ) -> tuple[int, containers.Order, Fill | None]:
        """One fill as the law has it: (code, the order at fault, the fill if there was one)."""
        chunk = self._open(now)
        missing = self._missing(chunk, maker, maker_signed, taker, operation, signer)
        roomy = self._room_for(now, [entry for _, entry, _ in missing] + [_ANY_FILL])
        if roomy is not chunk:
            chunk = roomy
            missing = self._missing(chunk, maker, maker_signed, taker, operation, signer)
        clock = chunk.commitment.timestamp
        for order, _, signed_by in missing:
            code = still_entitled(chunk, order, signed_by)
            if code != codes.OK:
                return code, order, None
        filled = decide_fill(chunk, maker, taker, size)
        if filled.code != codes.OK:
            return filled.code, maker if is_maker_at_fault(chunk, maker, size, filled.code) else taker, None
        self._admit(chunk, missing)
        maker_index = chunk.order_index[(maker.account, maker.slot, maker.sequence)]
        taker_index = chunk.order_index[(taker.account, taker.slot, taker.sequence)]
        chunk.book_fill(maker, taker, filled)
        self._append(operations.fill_bytes(maker_index, taker_index, size))
        fill = Fill(
            market=maker.market,
            price=maker.limit_price,
            size=size,
            maker=maker.account,
            taker=taker.account,
            maker_order=order_id(maker),
            taker_order=order_id(taker),
            maker_side=maker.side,
            fee=filled.fee,
            time=clock,
            chunk=self.chunk_count + 1,
            operation=len(chunk.operation_codes) - 1,
        )
        return codes.OK, maker, fill

    def _admit(self, chunk: Chunk, missing: list[tuple[containers.Order, bytes, bytes]]) -> None:
        for _, entry, signed_by in missing:
            self._signer = signed_by
            code = chunk.apply(entry)
            assert code == codes.OK, f"an order checked at its arrival is admitted: {code}"
            self._append(entry)

    def _missing_maker(
        self, chunk: Chunk, maker: containers.Order | None
    ) -> list[tuple[containers.Order, bytes, bytes]]:
        """The maker of a rescue where the chunk does not hold it yet."""
        if maker is None or (maker.account, maker.slot, maker.sequence) in chunk.order_index:
            return []
        signed = self._signed[(maker.account, maker.slot)]
        return [(maker, signed.operation, signed.signer)]

    def _missing(
        self,
        chunk: Chunk,
        maker: containers.Order,
        maker_signed: OpenOrder,
        taker: containers.Order,
        operation: bytes,
        signer: bytes,
    ) -> list[tuple[containers.Order, bytes, bytes]]:
        """Which of the two orders the chunk does not hold yet."""
        missing: list[tuple[containers.Order, bytes, bytes]] = []
        if (maker.account, maker.slot, maker.sequence) not in chunk.order_index:
            missing.append((maker, maker_signed.operation, maker_signed.signer))
        if (taker.account, taker.slot, taker.sequence) not in chunk.order_index:
            missing.append((taker, operation, signer))
        return missing

    # Open orders and their signed bytes.

    def _remember(self, order: containers.Order, operation: bytes, signer: bytes, remaining: int, armed: bool) -> None:
        place = (order.account, order.slot)
        self._arrivals += 1
        self._signed[place] = OpenOrder(self._arrivals, armed, remaining, operation, signer)
        self._dirty.add(place)

    def _take(self, place: tuple[int, int], order: containers.Order) -> None:
        known = self._taken.get(place)
        until = order.expires_at if known is None else max(order.expires_at, known[1])
        if known is None:
            heappush(self._taken_ends, (until, place))
        self._taken[place] = (order.sequence, until)
        self._dirty_taken.add(place)

    def _prune_taken(self) -> None:
        """Forgets what has expired: the law executes none of it again, and the clock of chunks never goes back.

        What a cancel or a floor has made impossible stays until then: it would be possible again after a re-sequencing.
        """
        clock = self.state.commitment.timestamp
        while self._taken_ends and self._taken_ends[0][0] < clock:
            place = self._taken_ends[0][1]
            until = self._taken[place][1]
            if until < clock:
                heappop(self._taken_ends)
                del self._taken[place]
                self._dirty_taken.add(place)
            else:
                heapreplace(self._taken_ends, (until, place))

    def _shrink(self, order: containers.Order, size: int) -> None:
        place = (order.account, order.slot)
        signed = self._signed[place]
        signed.remaining -= size
        self._dirty.add(place)
        if signed.remaining == 0:
            del self._signed[place]

    def _forget(self, order: containers.Order) -> None:
        place = (order.account, order.slot)
        del self._signed[place]
        self._dirty.add(place)

    def _leave(self, order: containers.Order) -> None:
        removed = self.books[order.market].remove(order.account, order.slot)
        if removed is None:
            removed = self.triggers[order.market].remove(order.account, order.slot)
        assert removed is not None, "an open order stands in one book"
        self._forget(order)

    def _load_orders(self, store: StagedStore) -> None:
        entries = [msgspec.msgpack.decode(value, type=OpenOrder) for _, value in store.iterate(ORDER_KEY)]
        for signed in sorted(entries, key=lambda entry: entry.arrival):
            order = encoding.order(word_at(signed.operation, 1), word_at(signed.operation, 32))
            self._signed[(order.account, order.slot)] = signed
            if signed.armed:
                self.triggers[order.market].arm(order)
            else:
                self.books[order.market].add(order, signed.remaining)


def still_entitled(chunk: Chunk, order: containers.Order, signer: bytes) -> int:
    """Whether an order taken earlier would still be admitted to this chunk: the law's code."""
    clock = chunk.commitment.timestamp
    if order.expires_at < clock or order.created_at > clock + constants.CLOCK_TOLERANCE:
        return codes.EXPIRED
    # The owner may have dismissed the agent since, or the grant may have run out.
    return signatures.entrusted(peek_account(chunk, order.account), signer, order.slot, clock)


def is_maker_at_fault(chunk: Chunk, maker: containers.Order, size: int, code: int) -> bool:
    """Of a fill of `size` lots that the law refused with `code`: whether the resting order leaves, not the taker."""
    price = chunk.globals.risk.price[maker.market]
    rows = peek_account(chunk, maker.account), peek_slot(chunk, maker.account << 8 | maker.slot)
    return (
        code == codes.MAKER_MARGIN
        or trading.check_order_now(maker, *rows, price, size) != codes.OK
        or maker.max_fee_ppm < chunk.globals.markets[maker.market].maker_fee_ppm
        or (code == codes.PRICE_BAND and _is_stale_quote(maker, price))
    )


def _is_stale_quote(maker: containers.Order, oracle: int) -> bool:
    """Whether a maker's price left the band on the side that harms the maker: it only blocks the book."""
    return maker.limit_price > oracle if maker.side == constants.BUY else maker.limit_price < oracle


def _account_of(given: Input) -> int:
    return int.from_bytes(given.operation[1:4], "big")
