"""The state transition of one chunk, operation by operation: total over every chunk body.

Beside replay.vy this text differs by its calls and its rows: here rows are dictionaries over tree addresses, filled
from outside on first touch; there they are arrays authenticated by a witness. The order of look-ups is the same in
both, because a witness carries one hint a look-up.
"""

from typing import Final, Protocol

import msgspec

from prover.stf import (
    codes,
    constants,
    containers,
    custody,
    debts,
    encoding,
    margin,
    markets,
    merkle,
    rescue,
    signatures,
    trading,
)
from prover.stf.words import Recover, bytes32, int256, keccak256, uint256, word_at


class Rows(Protocol):
    """Where a chunk finds accounts and slots that it has not touched yet; an absent one is the empty container."""

    def account(self, index: int) -> containers.Account:
        """The account at an index of 24 bits; PROTOCOL.md 4.3."""
        ...

    def slot(self, leaf_index: int) -> containers.Slot:
        """The order slot at a tree address (account << 8 | slot); PROTOCOL.md 4.4."""
        ...


class Kind(msgspec.Struct, frozen=True, gc=False):
    """What an operation takes of a chunk's room."""

    length: int
    weight: int
    accounts: int
    slots: int


KINDS: Final[dict[int, Kind]] = {
    constants.FILL: Kind(constants.FILL_LENGTH, constants.FILL_WEIGHT, 0, 0),
    constants.ORDER: Kind(constants.ORDER_LENGTH, constants.ORDER_WEIGHT, 1, 1),
    constants.TICK: Kind(constants.TICK_HEAD_LENGTH, constants.TICK_WEIGHT, 0, 0),
    constants.DEPOSIT: Kind(constants.DEPOSIT_LENGTH, constants.DEPOSIT_WEIGHT, 1, 0),
    constants.WITHDRAW: Kind(constants.WITHDRAW_LENGTH, constants.WITHDRAW_WEIGHT, 1, 1),
    constants.TRANSFER: Kind(constants.TRANSFER_LENGTH, constants.TRANSFER_WEIGHT, 2, 1),
    constants.CANCEL: Kind(constants.CANCEL_LENGTH, constants.CANCEL_WEIGHT, 1, 1),
    constants.SET_AGENT: Kind(constants.SET_AGENT_LENGTH, constants.SET_AGENT_WEIGHT, 1, 1),
    constants.SET_LEVERAGE: Kind(constants.SET_LEVERAGE_LENGTH, constants.SET_LEVERAGE_WEIGHT, 1, 1),
    constants.LIQUIDATE: Kind(constants.LIQUIDATE_LENGTH, constants.LIQUIDATE_WEIGHT, 2, 0),
    constants.TAKE_OVER: Kind(constants.TAKE_OVER_LENGTH, constants.TAKE_OVER_WEIGHT, 2, 0),
    constants.DELEVERAGE: Kind(constants.DELEVERAGE_LENGTH, constants.DELEVERAGE_WEIGHT, 3, 0),
    constants.UNWIND: Kind(constants.UNWIND_LENGTH, constants.UNWIND_WEIGHT, 1, 0),
    constants.CLOSE_STEP: Kind(constants.CLOSE_STEP_LENGTH, constants.CLOSE_STEP_WEIGHT, 3, 0),
    constants.CANCEL_ALL: Kind(constants.CANCEL_ALL_LENGTH, constants.CANCEL_ALL_WEIGHT, 1, 0),
    constants.FORCED_RESCUE: Kind(constants.ENTRY_HEAD_LENGTH, constants.FORCED_RESCUE_WEIGHT, 2, 0),
    constants.FORCED_WITHDRAW: Kind(constants.ENTRY_HEAD_LENGTH, constants.FORCED_WITHDRAW_WEIGHT, 1, 0),
    constants.FORCED_CLOSE: Kind(constants.ENTRY_HEAD_LENGTH, constants.FORCED_CLOSE_WEIGHT, 1, 0),
    constants.LEAVE: Kind(constants.ENTRY_HEAD_LENGTH, constants.LEAVE_WEIGHT, 1, 0),
    constants.FORCED_AGENT: Kind(constants.ENTRY_HEAD_LENGTH, constants.FORCED_AGENT_WEIGHT, 1, 0),
    constants.FORCED_TICK: Kind(constants.ENTRY_HEAD_LENGTH, constants.FORCED_TICK_WEIGHT, 0, 0),
    constants.SET_MARKET: Kind(constants.ENTRY_HEAD_LENGTH, constants.SET_MARKET_WEIGHT, 0, 0),
    constants.SET_VENUE: Kind(constants.ENTRY_HEAD_LENGTH, constants.SET_VENUE_WEIGHT, 0, 0),
}


# Codes that leave an entry of the L1 queue where it is.
UNCONSUMED: Final = (codes.FULL, codes.HEAD_UNFINISHED, codes.UNSTEADY)

# Codes of a step that end the head: below zero, which is for deleveraging; beyond its limit; without a price for long.
HEAD_ENDS: Final = (codes.INSOLVENT, codes.LIMIT, codes.STALE)

_NO_ORDER: Final = encoding.order(0, 0)
_NO_SLOT: Final = encoding.no_slot()


def operation_length(body: bytes, at: int) -> int:
    """Bytes of the operation that starts at `at`; 0 when its tag is unknown or it is cut off; PROTOCOL.md 6.2."""
    kind = KINDS.get(body[at])
    if kind is None:
        return 0
    size = kind.length
    left = len(body) - at
    if body[at] == constants.TICK and left >= size:
        size += tick_reports_length(body[at + 7], body[at + 8])
    if body[at] >= constants.FORCED_RESCUE and left >= size:
        size += encoding.entry_length(word_at(body, at + 1))
        if size > constants.MAX_ENTRY_BYTES:
            return 0
    return size if size <= left else 0


def tick_reports_length(signer_count: int, market_count: int) -> int:
    """Bytes of a tick's reports; PROTOCOL.md 8.6."""
    return signer_count * (constants.TICK_SIGNER_LENGTH + constants.TICK_MARKET_LENGTH * market_count)


def payload_length(tag: int, tail: uint256) -> int:
    """Bytes that the payload of a queue entry must have; `tail` is its first word; PROTOCOL.md 4.9."""
    if tag == constants.FORCED_TICK:
        return constants.TICK_HEAD_LENGTH - 1 + tick_reports_length(tail >> 200 & 255, tail >> 192 & 255)
    return {
        constants.FORCED_RESCUE: constants.FORCED_RESCUE_LENGTH,
        constants.FORCED_WITHDRAW: constants.FORCED_WITHDRAW_LENGTH,
        constants.FORCED_CLOSE: constants.FORCED_CLOSE_LENGTH,
        constants.LEAVE: constants.LEAVE_LENGTH,
        constants.FORCED_AGENT: constants.FORCED_AGENT_LENGTH,
        constants.SET_MARKET: constants.SET_MARKET_LENGTH,
        constants.SET_VENUE: constants.SET_VENUE_LENGTH,
    }[tag]


def take_tick(globals: containers.Globals, ticked: containers.Ticked, queued: int) -> None:
    """Prices, indices and clocks as a tick leaves them; PROTOCOL.md 8.6."""
    new_hour = ticked.time // constants.HOUR != globals.tick_time // constants.HOUR
    for market, listed in enumerate(globals.markets):
        listed.previous_price = ticked.previous_price[market]
        listed.premium_ppb = ticked.premium_ppb[market]
        if new_hour:
            listed.turned_over = 0
            listed.paid_out = 0
        listed.settling = ticked.settling[market]
    globals.risk = containers.Risk(
        price=ticked.price,
        funding_index=ticked.funding_index,
        initial_ppm=globals.risk.initial_ppm,
        maintenance_ppm=globals.risk.maintenance_ppm,
        debts=globals.risk.debts,
    )
    globals.tick_time = ticked.time
    globals.grace_until = ticked.grace_until
    globals.streak = ticked.streak
    globals.tick_queued = queued
    for market, listed in enumerate(globals.markets):
        is_ended = ticked.status[market] == constants.MARKET_SETTLED and listed.status != constants.MARKET_SETTLED
        listed.status = ticked.status[market]
        if is_ended:
            listed.open_interest = 0
            set_fractions(globals, market, 0, 0)


def set_fractions(globals: containers.Globals, market: int, initial_ppm: int, maintenance_ppm: int) -> None:
    """The two fractions of a market anew; PROTOCOL.md 8.22."""
    # Chunks share the columns of a risk: whoever changes one makes it anew.
    initial, maintenance = globals.risk.initial_ppm.copy(), globals.risk.maintenance_ppm.copy()
    initial[market], maintenance[market] = initial_ppm, maintenance_ppm
    globals.risk = msgspec.structs.replace(globals.risk, initial_ppm=initial, maintenance_ppm=maintenance)


def set_market(globals: containers.Globals, operation: bytes, now: int) -> int:
    """The governor's word on one market; PROTOCOL.md 8.22."""
    at = constants.ENTRY_HEAD_LENGTH
    given = encoding.parameters(
        word_at(operation, at), operation[at + 2 : at + 34], word_at(operation, at + 34), word_at(operation, at + 66)
    )
    if given.market >= constants.MARKETS:
        return codes.NO_MARKET
    changed = markets.change(
        given,
        globals.markets[given.market],
        globals.risk.initial_ppm[given.market],
        globals.risk.maintenance_ppm[given.market],
        globals.risk.price[given.market],
        globals.market_count,
        now,
    )
    if changed.code == codes.OK:
        globals.markets[given.market] = changed.listed
        set_fractions(globals, given.market, changed.initial_ppm, changed.maintenance_ppm)
        globals.market_count = max(globals.market_count, given.market + 1)
    return changed.code


def set_venue(globals: containers.Globals, tail: uint256, now: int) -> int:
    """The governor's word on the whole venue; PROTOCOL.md 8.23."""
    given = encoding.venue_parameters(tail)
    code = markets.check_venue(
        given, globals.signers, globals.posting_fee, globals.grace_period, globals.venue_changed_at, now
    )
    if code == codes.OK:
        globals.posting_fee = given.posting_fee
        globals.grace_period = given.grace_period
        globals.venue_changed_at = now
        if given.signer != containers.NOBODY:
            globals.signers = globals.signers.copy()
            globals.signers[given.signer_index] = given.signer
    return code


def outlasts(globals: containers.Globals, entry_time: int) -> bool:
    """Whether the head has found no price before an entry of this time that passes it; PROTOCOL.md 4.9."""
    # By L1's clock, and behind all ticks that were entered before: whoever orders has only his own clock and ticks.
    return entry_time > max(globals.head_time, globals.tick_time) + constants.HEAD_PATIENCE


class WorkingState:
    """The state as a chunk works on it: rows loaded so far, globals and commitment, orders admitted, room taken.

    `accounts` and `slots` hold the rows as they stand now, `loaded_accounts` and `loaded_slots` as they stood before
    the chunk; `lookups` the tree addresses in the order in which the law asked for them.
    """

    def __init__(
        self,
        domain: bytes32,
        commitment: containers.Commitment,
        globals: containers.Globals,
        rows: Rows,
        ecrecover: Recover,
    ) -> None:
        self.domain = domain
        self.pre_commitment = commitment
        self.pre_globals = globals
        self.commitment = msgspec.structs.replace(commitment)
        self.globals = copy_globals(globals)
        self.rows = rows
        self.ecrecover = ecrecover
        fee_account = rows.account(constants.FEE_ACCOUNT)
        self.accounts: dict[int, containers.Account] = {constants.FEE_ACCOUNT: fee_account}
        self.loaded_accounts: dict[int, containers.Account] = {constants.FEE_ACCOUNT: fee_account}
        self.slots: dict[int, containers.Slot] = {}
        self.loaded_slots: dict[int, containers.Slot] = {}
        self.lookups: list[int] = []
        self.orders: list[containers.Order] = []
        self.order_index: dict[tuple[int, int, int], int] = {}
        self.operation_codes: list[int] = []
        self.queue_only = False
        self.debt = 0
        self.weight = 0
        self.account_references = 0
        self.slot_references = 0

    def open(self, timestamp: int, queue_only: bool = False) -> None:
        """Sets the chunk's clock in milliseconds, never behind the state's, and whom it serves; PROTOCOL.md 6.2."""
        self.queue_only = queue_only
        self._go_on(timestamp)

    def _go_on(self, timestamp: int) -> None:
        """Time passes, and money ages with it unless the chunk serves the queue alone; PROTOCOL.md 7.9."""
        before = self.commitment.timestamp
        self.commitment.timestamp = max(before, timestamp)
        if self.queue_only:
            owing = self.globals.risk.debts
            clock = debts.stood(owing.clock, before, self.commitment.timestamp)
            self.globals.risk = msgspec.structs.replace(
                self.globals.risk, debts=containers.Debts(clock=clock, factors=owing.factors)
            )

    def has_room(self, *tags: int) -> bool:
        """Whether operations of these tags, one after the other, would none of them be FULL; PROTOCOL.md 6.2."""
        weight, accounts, slots = self.weight, self.account_references, self.slot_references
        for tag in tags:
            taken = KINDS[tag]
            weight += taken.weight
            accounts += taken.accounts
            slots += taken.slots
        return (
            weight <= constants.MAX_WEIGHT
            and accounts <= constants.MAX_ACCOUNT_REFERENCES
            and slots <= constants.MAX_SLOT_REFERENCES
        )

    def _count(self, taken: Kind) -> None:
        """What an operation takes of the chunk's room, whatever its code will be; PROTOCOL.md 6.2."""
        self.weight += taken.weight
        self.account_references += taken.accounts
        self.slot_references += taken.slots

    def clock(self) -> containers.Clock:
        """The chunk's time, and what it allows that moves risk or money out; PROTOCOL.md 7."""
        now = self.commitment.timestamp
        return containers.Clock(
            now=now,
            priced=now - self.globals.tick_time <= constants.MAX_PRICE_AGE,
            grace=now < self.globals.grace_until,
            steady=self.globals.streak == constants.STEADY_TICKS,
        )

    def conditions(self, tag: int, market: int, entered_at: int = 0) -> containers.Conditions:
        """What a rescue in a market is decided under, or a step by what its head asks for; PROTOCOL.md 7.7, 8.15."""
        globals = self.globals
        of_head = tag == constants.CLOSE_STEP
        return containers.Conditions(
            risk=globals.risk,
            previous=[max(listed.previous_price, 0) for listed in globals.markets],
            clock=self.clock(),
            listed=globals.markets[market],
            tick_time=globals.tick_time,
            tick_queued=globals.tick_queued,
            entered_at=globals.head_time if of_head else entered_at,
            limit=globals.head_limit if of_head else 0,
        )

    def _account(self, index: int) -> containers.Account:
        """The row of an account, loaded at its first look-up; PROTOCOL.md 11.2."""
        self.lookups.append(index << constants.SLOT_BITS)
        account = self.accounts.get(index)
        if account is None:
            account = self.accounts[index] = self.loaded_accounts[index] = self.rows.account(index)
        return account

    def _slot(self, leaf_index: int) -> containers.Slot:
        """The row of an order slot, likewise; PROTOCOL.md 11.2."""
        # Slot 0 is the account itself: no such slot, and the law refuses it before it looks.
        if leaf_index & 255 == 0:
            return encoding.no_slot()
        self.lookups.append(leaf_index)
        slot = self.slots.get(leaf_index)
        if slot is None:
            slot = self.slots[leaf_index] = self.loaded_slots[leaf_index] = self.rows.slot(leaf_index)
        return slot

    def _side(self, order: containers.Order) -> containers.Side:
        """An admitted order with its account and its slot; PROTOCOL.md 6.3."""
        slot = self.slots[(order.account << 8) | order.slot]
        return containers.Side(order=order, account=self.accounts[order.account], slot=slot)

    def _signer(self, operation: bytes, struct_hash: bytes32) -> bytes:
        """Who signed an operation's last 64 bytes; PROTOCOL.md 5.3."""
        size = len(operation)
        return signatures.recover(
            signatures.digest(self.domain, struct_hash),
            word_at(operation, size - 64),
            word_at(operation, size - 32),
            self.ecrecover,
        )

    def _put(self, index: int, account: containers.Account) -> None:
        """An account as an operation leaves it, and the sums of unsettled money with it; PROTOCOL.md 7.9."""
        globals = self.globals
        # A preview fills orders that no look-up has loaded.
        before = self.accounts.get(index) or self.rows.account(index)
        globals.pool = debts.touched(globals.pool, globals.risk.debts, before, account, self.commitment.timestamp)
        self.accounts[index] = account

    def _collect(self, debt: int) -> None:
        """Unsettled money pays what is owed; PROTOCOL.md 7.9."""
        globals = self.globals
        globals.pool, owing = debts.take(globals.pool, globals.risk.debts, debt, self.commitment.timestamp)
        globals.risk = msgspec.structs.replace(globals.risk, debts=owing)

    def _credit_fees(self, amount: int) -> None:
        """What the fee account earns: as young as any profit; PROTOCOL.md 4.7, 7.9."""
        if amount > 0:
            # Settled at once, profit that has to wait could leave as fees of trades with oneself.
            fees = self.accounts[constants.FEE_ACCOUNT]
            today = margin.matured(self.globals.risk.debts, fees, self.commitment.timestamp)
            self._put(constants.FEE_ACCOUNT, msgspec.structs.replace(today, fresh=today.fresh + amount))

    def _append_withdrawal(self, recipient: bytes, amount: int) -> None:
        """One leaf of the withdrawals tree; PROTOCOL.md 4.8."""
        globals = self.globals
        leaf = encoding.withdrawal_hash(globals.withdrawal_count, recipient, amount)
        globals.frontier = merkle.append(globals.frontier, globals.withdrawal_count, leaf)
        globals.withdrawal_count += 1
        self.commitment.withdrawn_total += amount


class Chunk(WorkingState):
    """One chunk being replayed or built: operation by operation, `operation_codes` one code each."""

    def run(self, body: bytes) -> None:
        """Replays a whole chunk body; never raises, whatever the bytes; PROTOCOL.md 6.2."""
        at = constants.TIMESTAMP_LENGTH
        if len(body) >= at:
            stated = int.from_bytes(body[:at], "big")
            self.open(stated % constants.QUEUE_ONLY_BIT, stated >= constants.QUEUE_ONLY_BIT)
        while at < len(body):
            size = operation_length(body, at)
            if size == 0:
                self.operation_codes.append(codes.MALFORMED)
                break
            self.apply(body[at : at + size])
            at += size

    def apply(self, operation: bytes) -> int:
        """Applies one whole operation of a known tag; returns its code; PROTOCOL.md 6.2."""
        tag: int256 = operation[0]
        if not self.has_room(tag):
            self.operation_codes.append(codes.FULL)
            return codes.FULL
        taken = KINDS[tag]
        self._count(taken)
        if self.queue_only and not serves_queue(tag):
            code = codes.QUEUE_ONLY
        elif is_entry(tag):
            code = self._entry(tag, operation)
        elif tag == constants.FILL:
            code = self._fill(operation)
        elif tag == constants.TICK:
            code = self._tick(operation, 0)
        elif tag == constants.ORDER:
            code = self._order(operation)
        elif tag == constants.CLOSE_STEP:
            code = self._step(encoding.rescue(tag, word_at(operation, 1)))
        elif constants.LIQUIDATE <= tag <= constants.UNWIND:
            code = self._rescue(tag, encoding.rescue(tag, word_at(operation, 1)), 0)
        else:
            code = self._request(tag, operation, taken.slots)
        if self.debt > 0:
            self._collect(self.debt)
            self.debt = 0
        self.operation_codes.append(code)
        return code

    def admit(self, order: containers.Order, signer: bytes) -> int:
        """As `apply` of bytes that decode to `order` and whose signature recovers to `signer`; PROTOCOL.md 8.7."""
        assert not self.queue_only, "an order stands in a chunk that takes orders"
        if not self.has_room(constants.ORDER):
            self.operation_codes.append(codes.FULL)
            return codes.FULL
        self._count(KINDS[constants.ORDER])
        account = self._account(order.account)
        self._slot((order.account << 8) | order.slot)
        code = self._admitted(order, account, signer)
        self.operation_codes.append(code)
        return code

    def book_fill(self, maker: containers.Order, taker: containers.Order, filled: containers.Filled) -> None:
        """Books a fill decided on the rows as they stand now; there must be room; PROTOCOL.md 8.8."""
        assert filled.code == codes.OK, filled.code
        self._count(KINDS[constants.FILL])
        self._book(maker, taker, filled)
        self.operation_codes.append(codes.OK)

    def _fill(self, operation: bytes) -> int:
        """A trade between two orders of this chunk; PROTOCOL.md 8.8."""
        maker_index: int256 = operation[1]
        taker_index: int256 = operation[2]
        if maker_index >= len(self.orders) or taker_index >= len(self.orders):
            return codes.NO_ORDER
        maker = self.orders[maker_index]
        taker = self.orders[taker_index]
        globals = self.globals
        filled = trading.fill(
            globals.risk,
            self.clock(),
            globals.markets[maker.market],
            globals.posting_fee,
            self._side(maker),
            self._side(taker),
            int.from_bytes(operation[3:10], "big"),
        )
        if filled.code == codes.OK:
            self._book(maker, taker, filled)
        return filled.code

    def _book(self, maker: containers.Order, taker: containers.Order, filled: containers.Filled) -> None:
        """The rows and sums that a fill leaves; PROTOCOL.md 8.8."""
        self._put(maker.account, filled.maker)
        self._put(taker.account, filled.taker)
        self.slots[(maker.account << 8) | maker.slot] = filled.maker_slot
        self.slots[(taker.account << 8) | taker.slot] = filled.taker_slot
        self._credit_fees(filled.fee)
        self.globals.markets[maker.market].open_interest += filled.growth
        self.globals.funding_dust += filled.dust

    def _tick(self, operation: bytes, queued: int) -> int:
        """One quorum of signed prices; PROTOCOL.md 8.6 and 8.21."""
        ticked = markets.tick(self.domain, self.globals, self.commitment.timestamp, operation, self.ecrecover)
        if ticked.code == codes.OK:
            take_tick(self.globals, ticked, queued)
            if self.globals.pool.owed > 0:
                self._collect(0)
        return ticked.code

    def _entry(self, tag: int, operation: bytes) -> int:
        """An entry of the L1 queue, and whether it is consumed; PROTOCOL.md 4.9."""
        commitment = self.commitment
        head = word_at(operation, 1)
        tail = word_at(operation, constants.ENTRY_HEAD_LENGTH)
        began, risk = commitment.timestamp, self.globals.risk
        if tag != constants.DEPOSIT:
            # It brings its time: a clock that lags L1's makes no good tick one of the future, no old price a young one.
            self._go_on(encoding.entry_time(head))
        if tag == constants.DEPOSIT:
            code = self._deposit(operation)
        elif encoding.entry_length(head) != payload_length(tag, tail):
            code = codes.BAD_ENTRY
        elif tag == constants.FORCED_TICK:
            code = self._tick(operation[constants.ENTRY_HEAD_LENGTH - 1 :], 1)
        elif tag == constants.FORCED_RESCUE:
            code = self._rescue(tag, encoding.rescue(tag, tail), encoding.entry_time(head))
        elif tag == constants.SET_MARKET:
            code = set_market(self.globals, operation, commitment.timestamp)
        elif tag == constants.SET_VENUE:
            code = set_venue(self.globals, tail, commitment.timestamp)
        else:
            code = self._enter(tag, head, tail)
        if code in UNCONSUMED:
            # It waits, with all that follows it: else whoever orders had only to leave out a tick to be rid of it.
            commitment.timestamp, self.globals.risk = began, risk
            return code
        commitment.queue_hash = keccak256(commitment.queue_hash + keccak256(operation))
        commitment.queue_taken += 1
        if self.globals.head_account == 0:
            commitment.queue_count = commitment.queue_taken
        elif tag != constants.DEPOSIT and outlasts(self.globals, encoding.entry_time(head)):
            self.globals.head_limit = constants.HEAD_OVER
        return code

    def _enter(self, tag: int, head: uint256, tail: uint256) -> int:
        """An entry that an account's owner sent; PROTOCOL.md 8.17 to 8.20."""
        entry = encoding.entry(tag, head, tail)
        globals = self.globals
        account = self._account(entry.account)
        entered = custody.enter(tag, globals.risk, self.clock(), globals.withdrawal_count, entry, account)
        if entered.code != codes.OK:
            return entered.code
        if entered.opened and globals.head_account != 0:
            return codes.HEAD_UNFINISHED
        self._book_entered(entry.account, entered)
        if entered.opened:
            globals.head_account = entry.account
            globals.head_market = entry.market if tag == constants.FORCED_CLOSE else constants.MARKETS
            globals.head_lots = entered.lots
            globals.head_time = entry.time
            globals.head_limit = entry.limit
        return codes.OK

    def _book_entered(self, index: int, entered: containers.Entered) -> None:
        """The row, and the payment, that such an entry leaves; PROTOCOL.md 8.17."""
        self._put(index, entered.account)
        self.globals.funding_dust += entered.dust
        if entered.amount != 0:
            self._append_withdrawal(entered.account.owner, entered.amount)

    def _deposit(self, operation: bytes) -> int:
        """Money that arrived on L1; PROTOCOL.md 8.1."""
        globals = self.globals
        entry = encoding.deposit(word_at(operation, 1), word_at(operation, 21))
        index: int256 = entry.account
        if entry.account == constants.NEW_ACCOUNT:
            index = globals.next_account
        owing, now = globals.risk.debts, self.commitment.timestamp
        before = self._account(index)
        code, account = custody.deposit(entry, index, before, owing, now)
        if code == codes.OK:
            self._put(index, account)
        globals.deposited_total += entry.amount
        if code == codes.OK and entry.account == constants.NEW_ACCOUNT:
            globals.next_account += 1
        if code == codes.OK and constants.FEE_ACCOUNT < index < constants.RESERVED_ACCOUNTS:
            globals.markets[constants.insured_market(index)].fund += margin.collateral(account) - margin.collateral(
                before
            )
        if code == codes.REFUNDED:
            if globals.withdrawal_count < constants.MAX_WITHDRAWALS:
                self._append_withdrawal(entry.depositor, entry.amount)
            else:
                code = codes.WITHDRAWALS_FULL
                self._credit_fees(entry.amount)
        return code

    def _step(self, move: containers.Rescue) -> int:
        """A step of the head, and its end; PROTOCOL.md 8.15."""
        globals = self.globals
        every = globals.head_market == constants.MARKETS
        if globals.head_account == 0 or not (every or move.market == globals.head_market):
            return codes.NO_HEAD
        index = globals.head_account
        code = self._rescue(constants.CLOSE_STEP, self.of_head(move), 0)
        done = code in HEAD_ENDS
        if code == codes.OK:
            done = margin.closed(self.accounts[index], globals.head_market, globals.head_lots)
        if done:
            if every and code != codes.INSOLVENT:
                self._pay_leaver(index)
            self.end_head()
        return code

    def end_head(self) -> None:
        """Nothing of the queue that was taken is owed any more; PROTOCOL.md 8.15."""
        globals = self.globals
        self.commitment.queue_count = self.commitment.queue_taken
        globals.head_account = globals.head_market = globals.head_lots = 0
        globals.head_time = globals.head_limit = 0

    def of_head(self, move: containers.Rescue) -> containers.Rescue:
        """A step as the head asks for it; PROTOCOL.md 8.15."""
        globals = self.globals
        lots = move.lots if globals.head_market == constants.MARKETS else min(move.lots, globals.head_lots)
        return msgspec.structs.replace(move, account=globals.head_account, lots=lots, maker=globals.head_market)

    def _pay_leaver(self, index: int) -> None:
        """What may leave with an account that is closed; PROTOCOL.md 8.15."""
        globals = self.globals
        account = self.accounts[index]
        # As if the owner had forced a withdrawal of everything.
        head = int.from_bytes(account.owner, "big") << 96
        tail = index << 232 | constants.EVERYTHING << 168
        entry = encoding.entry(constants.FORCED_WITHDRAW, head, tail)
        entered = custody.enter(
            constants.FORCED_WITHDRAW,
            globals.risk,
            self.clock(),
            globals.withdrawal_count,
            entry,
            account,
        )
        if entered.code == codes.OK:
            self._book_entered(index, entered)

    def _rescue(self, tag: int, move: containers.Rescue, entered_at: int) -> int:
        """A rescue or a step of a close, on the rows that it names; PROTOCOL.md 8.11 to 8.16."""
        globals = self.globals
        by_order = tag in (constants.LIQUIDATE, constants.UNWIND)
        if by_order and move.maker >= len(self.orders):
            return codes.NO_ORDER
        if not by_order and move.market >= globals.market_count:
            return codes.NO_MARKET
        # An insurance account below maintenance is reduced as others are deleveraged.
        insured = tag == constants.DELEVERAGE and move.account == constants.insurance_account(move.market)
        # By an entry a fund below zero is called, and that of another market, once it is settled, goes home.
        homing = tag == constants.FORCED_RESCUE and constants.FEE_ACCOUNT < move.account < constants.RESERVED_ACCOUNTS
        is_reserved = tag != constants.UNWIND and move.account < constants.RESERVED_ACCOUNTS and not homing
        if is_reserved and not insured:
            return codes.RESERVED
        paired = tag == constants.DELEVERAGE or (
            tag == constants.CLOSE_STEP and move.other != constants.insurance_account(move.market)
        )
        if paired and move.other < constants.RESERVED_ACCOUNTS:
            return codes.RESERVED
        market = self.orders[move.maker].market if by_order else move.market
        other = self.orders[move.maker].account if by_order else move.other
        if (tag == constants.LIQUIDATE or paired) and other == move.account:
            return codes.SAME_ACCOUNT
        if tag != constants.UNWIND:
            self._account(move.account)
        insurance = constants.insurance_account(market)
        self._account(insurance)
        if paired:
            self._account(other)
        if by_order:
            facing = self._side(self.orders[move.maker])
        else:
            facing = containers.Side(order=_NO_ORDER, account=self.accounts[other], slot=_NO_SLOT)
        under = self.conditions(tag, market, entered_at)
        row, fund = self.accounts[move.account], self.accounts[insurance]
        if homing:
            rescued = rescue.decide_of_fund(under, move, row, fund)
        else:
            decide = rescue.decide_by_order if by_order else rescue.decide
            rescued = decide(tag, under, move, row, facing, fund)
        if rescued.code == codes.OK:
            if tag == constants.CLOSE_STEP:
                before = abs(encoding.unpack(self.accounts[move.account].positions[market]).size)
                after = abs(encoding.unpack(rescued.account.positions[market]).size)
                globals.head_lots = max(globals.head_lots - before + after, 0)
            if tag != constants.UNWIND:
                self._put(move.account, rescued.account)
            if by_order or paired:
                self._put(other, rescued.other)
            if by_order:
                self.slots[(facing.order.account << 8) | facing.order.slot] = rescued.slot
            self._put(insurance, rescued.insurance)
            listed = globals.markets[market]
            listed.fund = margin.collateral(rescued.insurance)
            if homing:
                globals.markets[constants.insured_market(move.account)].fund = margin.collateral(rescued.account)
            listed.turned_over += rescued.turned_over
            listed.paid_out += rescued.paid_out
            listed.open_interest += rescued.growth
            self._credit_fees(rescued.fee)
            globals.funding_dust += rescued.dust
            self.debt = rescued.debt
        return rescued.code

    def _order(self, operation: bytes) -> int:
        """Admits an order to this chunk; PROTOCOL.md 8.7."""
        order = encoding.order(word_at(operation, 1), word_at(operation, 32))
        account = self._account(order.account)
        self._slot((order.account << 8) | order.slot)
        return self._admitted(order, account, self._signer(operation, signatures.order_hash(order)))

    def _admitted(self, order: containers.Order, account: containers.Account, signer: bytes) -> int:
        """A place in the order table, if the order may have one; PROTOCOL.md 6.3."""
        globals = self.globals
        code = trading.check_order(
            order, account, signer, globals.markets, globals.market_count, self.commitment.timestamp
        )
        if code == codes.OK:
            self.order_index[(order.account, order.slot, order.sequence)] = len(self.orders)
            self.orders.append(order)
        return code

    def _request(self, tag: int, operation: bytes, slots: int) -> int:
        """What an owner or an agent signed that is no order; PROTOCOL.md 8.2 to 8.5, 8.9, 8.10."""
        globals = self.globals
        request = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
        slot_index: uint256 = (request.account << 8) | request.slot
        account = self._account(request.account)
        slot = self._slot(slot_index) if slots == 1 else encoding.no_slot()
        signer = self._signer(operation, signatures.request_hash(tag, request))
        terms = containers.Terms(
            risk=globals.risk,
            clock=self.clock(),
            posting_fee=globals.posting_fee,
            withdrawal_count=globals.withdrawal_count,
        )
        if tag == constants.WITHDRAW:
            booked = custody.withdraw(terms, request, account, slot, signer)
        elif tag == constants.TRANSFER:
            opening = request.other == constants.NEW_ACCOUNT
            index = globals.next_account if opening else request.other
            other = self._account(index)
            booked = custody.transfer(terms, request, index, account, other, slot, signer)
            if booked.code == codes.OK:
                self._put(index, booked.other)
                globals.next_account += opening
        else:
            booked = custody.book(tag, terms, request, account, slot, signer)
        if booked.code == codes.OK:
            self._put(request.account, booked.account)
            if tag != constants.CANCEL_ALL:
                self.slots[slot_index] = booked.slot
            self._credit_fees(booked.fee)
            globals.funding_dust += booked.dust
            if tag == constants.WITHDRAW:
                self._append_withdrawal(request.recipient, request.amount)
        return booked.code


def is_entry(tag: int) -> bool:
    """Whether an operation of this tag comes from the L1 queue; PROTOCOL.md 4.9."""
    return tag == constants.DEPOSIT or tag >= constants.FORCED_RESCUE


def serves_queue(tag: int) -> bool:
    """Whether a chunk that serves the queue alone takes operations of this tag; PROTOCOL.md 6.2."""
    return is_entry(tag) or tag in (constants.TICK, constants.CLOSE_STEP)


def copy_globals(globals: containers.Globals) -> containers.Globals:
    """A copy that shares nothing a chunk writes in place; PROTOCOL.md 4.6."""
    return msgspec.structs.replace(globals, markets=[msgspec.structs.replace(market) for market in globals.markets])
