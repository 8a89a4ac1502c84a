# pragma version 0.4.3
"""
@title Replay
@license MIT
@notice The state transition of one chunk from an authenticated witness: total over every chunk body.
@dev Reverts only for the caller's fault: a witness that does not authenticate, a leaf missing, too little gas.
     The sequencer chooses the body alone, and no body makes it revert. Layouts: PROTOCOL.md, Chunk and Witness.
"""

from prover.stf import codes
from prover.stf import constants
from prover.stf import containers
from prover.stf import debts
from prover.stf import encoding
from prover.stf import margin
from prover.stf import merkle


interface ITrading:
    def check_order(signed: containers.Signed, account: containers.Account, markets: containers.Market[16], market_count: int256, now: int256) -> (int256, containers.Order): pure
    def fill(risk: containers.Risk, clock: containers.Clock, market: containers.Market, posting_fee: int256, maker: containers.Side, taker: containers.Side, size: int256) -> containers.Filled: pure


interface ICustody:
    def deposit(entry: containers.Deposit, index: int256, account: containers.Account, owing: containers.Debts, now: int256) -> (int256, containers.Account): pure
    def book(signed: containers.Signed, terms: containers.Terms, index: int256, account: containers.Account, other: containers.Account, slot: containers.Slot) -> containers.Booked: pure
    def enter(tag: int256, risk: containers.Risk, clock: containers.Clock, withdrawal_count: int256, head: uint256, tail: uint256, account: containers.Account) -> containers.Entered: pure


interface IRescue:
    def decide(tag: int256, under: containers.Conditions, move: containers.Rescue, account: containers.Account, other: containers.Side, insurance: containers.Account) -> containers.Rescued: pure


interface IMarkets:
    def tick(domain: bytes32, globals: containers.Globals, now: int256, operation: Bytes[1_616]) -> containers.Ticked: view
    def change(tail: uint256, label: bytes32, fractions: uint256, bounds: uint256, listed: containers.Market, initial_ppm: int256, maintenance_ppm: int256, price: int256, market_count: int256, now: int256) -> containers.Changed: pure
    def check_venue(tail: uint256, signers: uint256[7], posting_fee: int256, grace_period: int256, changed_at: int256, now: int256) -> int256: pure
    def take(pool: containers.Pool, owing: containers.Debts, debt: int256, now: int256) -> (containers.Pool, containers.Debts): pure


interface IIdentity:
    def globals(shifted: Bytes[13_852]) -> (uint256, uint256, uint256, containers.Globals): pure


COLLATERAL_BIAS: constant(int256) = 2**127
COMMITMENT_BYTES: constant(uint256) = 288
GLOBALS_BYTES: constant(uint256) = 13_824
IDENTITY: constant(address) = 0x0000000000000000000000000000000000000004
# The longest tick, 9 + 7 * (65 + 16 * 10) = 1_584, and a word to read past its end.
MAX_TICK_BYTES: constant(uint256) = 1_616

TRADING: public(immutable(address))
CUSTODY: public(immutable(address))
MARKETS: public(immutable(address))
RESCUE: public(immutable(address))


@deploy
def __init__(trading: address, custody: address, markets: address, rescue: address):
    """Fixes the family contracts; PROTOCOL.md 11.1."""
    TRADING = trading
    CUSTODY = custody
    MARKETS = markets
    RESCUE = rescue


# What an operation takes of a chunk's room, by its tag: length, weight, account and slot references in 7, 11, 2 and 1 bit.
# Twelve tags a word, since a table of words is written to memory whole at each look.
KINDS_LOW: constant(int256) = (
    (constants.DEPOSIT_LENGTH * 2**14 + constants.DEPOSIT_WEIGHT * 2**3 + 1 * 2 + 0) * 2**21
    + (constants.WITHDRAW_LENGTH * 2**14 + constants.WITHDRAW_WEIGHT * 2**3 + 1 * 2 + 1) * 2**42
    + (constants.TRANSFER_LENGTH * 2**14 + constants.TRANSFER_WEIGHT * 2**3 + 2 * 2 + 1) * 2**63
    + (constants.CANCEL_LENGTH * 2**14 + constants.CANCEL_WEIGHT * 2**3 + 1 * 2 + 1) * 2**84
    + (constants.CANCEL_ALL_LENGTH * 2**14 + constants.CANCEL_ALL_WEIGHT * 2**3 + 1 * 2 + 0) * 2**105
    + (constants.TICK_HEAD_LENGTH * 2**14 + constants.TICK_WEIGHT * 2**3 + 0 * 2 + 0) * 2**126
    + (constants.ORDER_LENGTH * 2**14 + constants.ORDER_WEIGHT * 2**3 + 1 * 2 + 1) * 2**147
    + (constants.FILL_LENGTH * 2**14 + constants.FILL_WEIGHT * 2**3 + 0 * 2 + 0) * 2**168
    + (constants.SET_AGENT_LENGTH * 2**14 + constants.SET_AGENT_WEIGHT * 2**3 + 1 * 2 + 1) * 2**189
    + (constants.SET_LEVERAGE_LENGTH * 2**14 + constants.SET_LEVERAGE_WEIGHT * 2**3 + 1 * 2 + 1) * 2**210
    + (constants.LIQUIDATE_LENGTH * 2**14 + constants.LIQUIDATE_WEIGHT * 2**3 + 2 * 2 + 0) * 2**231
)
KINDS_HIGH: constant(int256) = (
    (constants.TAKE_OVER_LENGTH * 2**14 + constants.TAKE_OVER_WEIGHT * 2**3 + 2 * 2 + 0) * 2**0
    + (constants.DELEVERAGE_LENGTH * 2**14 + constants.DELEVERAGE_WEIGHT * 2**3 + 3 * 2 + 0) * 2**21
    + (constants.UNWIND_LENGTH * 2**14 + constants.UNWIND_WEIGHT * 2**3 + 1 * 2 + 0) * 2**42
    + (constants.CLOSE_STEP_LENGTH * 2**14 + constants.CLOSE_STEP_WEIGHT * 2**3 + 3 * 2 + 0) * 2**63
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.FORCED_RESCUE_WEIGHT * 2**3 + 2 * 2 + 0) * 2**84
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.FORCED_WITHDRAW_WEIGHT * 2**3 + 1 * 2 + 0) * 2**105
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.FORCED_CLOSE_WEIGHT * 2**3 + 1 * 2 + 0) * 2**126
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.LEAVE_WEIGHT * 2**3 + 1 * 2 + 0) * 2**147
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.FORCED_AGENT_WEIGHT * 2**3 + 1 * 2 + 0) * 2**168
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.FORCED_TICK_WEIGHT * 2**3 + 0 * 2 + 0) * 2**189
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.SET_MARKET_WEIGHT * 2**3 + 0 * 2 + 0) * 2**210
    + (constants.ENTRY_HEAD_LENGTH * 2**14 + constants.SET_VENUE_WEIGHT * 2**3 + 0 * 2 + 0) * 2**231
)


struct Kind:
    length: int256
    weight: int256
    accounts: int256
    slots: int256


@internal
@pure
def kind(tag: int256) -> Kind:
    """What an operation of a tag takes of a chunk's room, all zero for none; PROTOCOL.md 6.1."""
    packed: int256 = 0
    if tag < 12:
        packed = KINDS_LOW >> convert(21 * tag, uint256)
    elif tag < 24:
        packed = KINDS_HIGH >> convert(21 * (tag - 12), uint256)
    return Kind(
        length=(packed >> 14) & 127,
        weight=(packed >> 3) & 2_047,
        accounts=(packed >> 1) & 3,
        slots=packed & 1,
    )


@internal
@view
def row(hint: uint256, account_count: uint256, account_at: uint256[44], index: int256) -> uint256:
    """The row that a hint names, which must be this account's; PROTOCOL.md 11.2."""
    found: uint256 = merkle.at(hint) >> 248
    assert found < account_count and convert(account_at[found], int256) == index, "hint"
    return found


@internal
@pure
def tick_reports_length(signer_count: int256, market_count: int256) -> int256:
    """Bytes of a tick's reports; PROTOCOL.md 8.6."""
    return signer_count * (constants.TICK_SIGNER_LENGTH + constants.TICK_MARKET_LENGTH * market_count)


@internal
@pure
def payload_length(tag: int256, tail: uint256) -> int256:
    """Bytes that the payload of a queue entry must have, by its tag and first word; PROTOCOL.md 4.9."""
    if tag == constants.FORCED_TICK:
        return constants.TICK_HEAD_LENGTH - 1 + self.tick_reports_length(encoding.bits(tail, 200, 8), encoding.bits(tail, 192, 8))
    if tag == constants.FORCED_CLOSE:
        return constants.FORCED_CLOSE_LENGTH
    if tag == constants.LEAVE:
        return constants.LEAVE_LENGTH
    if tag == constants.FORCED_AGENT:
        return constants.FORCED_AGENT_LENGTH
    if tag == constants.SET_MARKET:
        return constants.SET_MARKET_LENGTH
    if tag == constants.SET_VENUE:
        return constants.SET_VENUE_LENGTH
    # A rescue and a withdrawal are of one length.
    return constants.FORCED_RESCUE_LENGTH


@internal
@view
def enter(tag: int256, risk: containers.Risk, clock: containers.Clock, withdrawal_count: int256, head: uint256, tail: uint256, account: containers.Account) -> containers.Entered:
    """What an entry of an account's owner comes to; PROTOCOL.md 8.17 to 8.20."""
    return staticcall ICustody(CUSTODY).enter(tag, risk, clock, withdrawal_count, head, tail, account)


@internal
@view
def replay(domain: bytes32, pre_root: bytes32, body: uint256, body_length: uint256, witness: uint256) -> (bytes32, DynArray[int256, 844]):
    """
    @notice What a chunk makes of a state; PROTOCOL.md 6.2, 11.4.
    @param body Where the chunk body starts in the call data; `body_length` its bytes.
    @param witness Where the witness starts in the call data.
    @return The post-root, and the code of every operation.
    """
    commitment: containers.Commitment = abi_decode(slice(msg.data, witness, COMMITMENT_BYTES), containers.Commitment)
    # abi_decode would unroll a setter for each of 432 words. L1's precompile 4 answers with the call data: four bytes of
    # selector, two words, then the bytes, so that 28 bytes ahead of them put the globals on words of their own.
    globals: containers.Globals = empty(containers.Globals)
    ahead: uint256[3] = empty(uint256[3])
    ahead[0], ahead[1], ahead[2], globals = staticcall IIdentity(IDENTITY).globals(
        slice(msg.data, witness + COMMITMENT_BYTES - 28, GLOBALS_BYTES + 28), skip_contract_check=True
    )
    assert encoding.state_root(commitment) == pre_root, "pre-root"
    assert encoding.globals_hash(globals) == commitment.globals_hash, "globals"

    # Rows: one for each tree address, strictly increasing, so that no account or slot stands in two places.
    offset: uint256 = witness + COMMITMENT_BYTES + GLOBALS_BYTES
    word: uint256 = merkle.at(offset)
    leaf_count: uint256 = word >> 248
    hint: uint256 = offset + 3
    offset = hint + ((word >> 232) & 65_535)
    leaves: uint256[87] = empty(uint256[87])
    old: bytes32[87] = empty(bytes32[87])
    new: bytes32[87] = empty(bytes32[87])
    rows: uint256[87] = empty(uint256[87])
    accounts: containers.Account[44] = empty(containers.Account[44])
    account_at: uint256[44] = empty(uint256[44])
    account_count: uint256 = 0
    slots: containers.Slot[43] = empty(containers.Slot[43])
    slot_at: uint256[43] = empty(uint256[43])
    slot_count: uint256 = 0
    for i: uint256 in range(leaf_count, bound=87):
        word = merkle.at(offset)
        leaf: uint256 = word >> 224
        assert i == 0 or leaf > leaves[i - 1], "order"
        leaves[i] = leaf
        if leaf & 255 == 0:
            account: containers.Account = empty(containers.Account)
            word = merkle.at(offset + 4)
            account.owner = encoding.to_address(word)
            account.floor = encoding.bits(word, 40, 56)
            word = merkle.at(offset + 31)
            account.settled = encoding.bits(word, 128, 128) - COLLATERAL_BIAS
            account.older = encoding.bits(word, 0, 128) - COLLATERAL_BIAS
            word = merkle.at(offset + 63)
            account.fresh = encoding.bits(word, 128, 128) - COLLATERAL_BIAS
            account.epoch = encoding.bits(word, 96, 32)
            account.initial_ppm = encoding.bits(word, 72, 24)
            account.agents[0] = merkle.at(offset + 86) >> 32
            account.agents[1] = merkle.at(offset + 114) >> 32
            account.factor = encoding.bits(merkle.at(offset + 142), 160, 96)
            held: uint256 = merkle.at(offset + 154) >> 240
            offset = unsafe_add(offset, 156)
            for market: uint256 in range(16):
                if (held >> market) & 1 == 1:
                    account.positions[market] = merkle.at(offset)
                    offset = unsafe_add(offset, 32)
            old[i] = encoding.account_hash(account)
            rows[i] = account_count
            accounts[account_count] = account
            account_at[account_count] = leaf >> 8
            account_count = unsafe_add(account_count, 1)
        else:
            slot: containers.Slot = containers.Slot(
                sequence=encoding.bits(word, 168, 56),
                filled=encoding.bits(word, 104, 64),
            )
            offset = unsafe_add(offset, 19)
            old[i] = encoding.slot_hash(slot)
            rows[i] = slot_count
            slots[slot_count] = slot
            slot_at[slot_count] = leaf
            slot_count = unsafe_add(slot_count, 1)
    assert account_count > 0 and account_at[0] == 0, "fee account"

    operation_codes: DynArray[int256, 844] = []
    orders: containers.Order[43] = empty(containers.Order[43])
    order_account: uint256[43] = empty(uint256[43])
    order_slot: uint256[43] = empty(uint256[43])
    order_count: int256 = 0
    put: containers.Account[4] = empty(containers.Account[4])
    # What the operations so far have taken of the chunk's room.
    used: Kind = empty(Kind)
    length: int256 = convert(body_length, int256)
    at: int256 = constants.TIMESTAMP_LENGTH
    queue_only: bool = False
    now: int256 = commitment.timestamp
    if length >= at:
        stated: int256 = encoding.bits(merkle.at(body), 208, 48)
        now = max(now, stated % constants.QUEUE_ONLY_BIT)
        queue_only = stated >= constants.QUEUE_ONLY_BIT
        if queue_only:
            # Money does not age by it.
            globals.risk.debts.clock = debts.stood(globals.risk.debts.clock, commitment.timestamp, now)
    for i: int256 in range(constants.MAX_OPERATIONS):
        if at >= length:
            break
        start: uint256 = body + convert(at, uint256)
        first: uint256 = merkle.at(start)
        tag: int256 = convert(first >> 248, int256)
        taken: Kind = self.kind(tag)
        size: int256 = taken.length
        if tag == constants.TICK and length - at >= constants.TICK_HEAD_LENGTH:
            size = size + self.tick_reports_length(encoding.bits(first, 192, 8), encoding.bits(first, 184, 8))
        if tag >= constants.FORCED_RESCUE and size != 0 and length - at >= size:
            size = size + encoding.entry_length(merkle.at(start + 1))
            if size > constants.MAX_ENTRY_BYTES:
                size = 0
        if size == 0 or size > unsafe_sub(length, at):
            operation_codes.append(codes.MALFORMED)
            break
        at = unsafe_add(at, size)
        room: Kind = Kind(
            length=at,
            weight=unsafe_add(used.weight, taken.weight),
            accounts=unsafe_add(used.accounts, taken.accounts),
            slots=unsafe_add(used.slots, taken.slots),
        )
        if room.weight > constants.MAX_WEIGHT or room.accounts > constants.MAX_ACCOUNT_REFERENCES or room.slots > constants.MAX_SLOT_REFERENCES:
            operation_codes.append(codes.FULL)
            continue
        used = room
        head: uint256 = merkle.at(start + 1)
        began: int256 = now
        aged: int256 = globals.risk.debts.clock
        if tag >= constants.FORCED_RESCUE:
            # It brings its time: a clock that lags L1's makes no good tick one of the future, and no old price a young one.
            now = max(now, encoding.entry_time(head))
            if queue_only:
                globals.risk.debts.clock = debts.stood(aged, began, now)
        clock: containers.Clock = containers.Clock(
            now=now,
            priced=now - globals.tick_time <= constants.MAX_PRICE_AGE,
            grace=now < globals.grace_until,
            steady=globals.streak == constants.STEADY_TICKS,
        )
        code: int256 = codes.OK
        # Entries of the L1 queue: a head, and a payload whose first word is the tail.
        queued: bool = tag == constants.DEPOSIT or tag >= constants.FORCED_RESCUE
        # What leaves by this operation, and what it leaves to the fee account and as dust.
        payee: address = containers.NOBODY
        payment: int256 = 0
        fee: int256 = 0
        # Where the rows stand that it leaves, in this order; 44 for none.
        put_at: uint256[4] = [44, 44, 44, 44]
        dust: int256 = 0
        debt: int256 = 0
        tail: uint256 = merkle.at(start + 29)
        tick_at: uint256 = start
        if tag == constants.FORCED_TICK:
            tick_at = start + 28

        if queue_only and not queued and tag != constants.TICK and tag != constants.CLOSE_STEP:
            code = codes.QUEUE_ONLY

        elif tag >= constants.FORCED_RESCUE and encoding.entry_length(head) != self.payload_length(tag, tail):
            code = codes.BAD_ENTRY

        elif tag == constants.FILL:
            maker: int256 = encoding.bits(head, 248, 8)
            taker: int256 = encoding.bits(head, 240, 8)
            if maker >= order_count or taker >= order_count:
                code = codes.NO_ORDER
            else:
                market: int256 = orders[maker].market
                filled: containers.Filled = staticcall ITrading(TRADING).fill(
                    globals.risk,
                    clock,
                    globals.markets[market],
                    globals.posting_fee,
                    containers.Side(order=orders[maker], account=accounts[order_account[maker]], slot=slots[order_slot[maker]]),
                    containers.Side(order=orders[taker], account=accounts[order_account[taker]], slot=slots[order_slot[taker]]),
                    encoding.bits(head, 184, 56),
                )
                code = filled.code
                if code == codes.OK:
                    put[0] = filled.maker
                    put_at[0] = order_account[maker]
                    put[1] = filled.taker
                    put_at[1] = order_account[taker]
                    slots[order_slot[maker]] = filled.maker_slot
                    slots[order_slot[taker]] = filled.taker_slot
                    fee = filled.fee
                    dust = filled.dust
                    globals.markets[market].open_interest = globals.markets[market].open_interest + filled.growth

        elif tag == constants.TICK or tag == constants.FORCED_TICK:
            ticked: containers.Ticked = staticcall IMarkets(MARKETS).tick(domain, globals, now, slice(msg.data, tick_at, MAX_TICK_BYTES))
            code = ticked.code
            if code == codes.OK:
                for market: int256 in range(constants.MARKETS):
                    listed: containers.Market = globals.markets[market]
                    listed.previous_price = ticked.previous_price[market]
                    listed.premium_ppb = ticked.premium_ppb[market]
                    if ticked.time // constants.HOUR != globals.tick_time // constants.HOUR:
                        listed.turned_over = 0
                        listed.paid_out = 0
                    listed.settling = ticked.settling[market]
                    over: bool = ticked.status[market] == constants.MARKET_SETTLED and listed.status != constants.MARKET_SETTLED
                    listed.status = ticked.status[market]
                    if over:
                        listed.open_interest = 0
                        globals.risk.initial_ppm[market] = 0
                        globals.risk.maintenance_ppm[market] = 0
                    globals.markets[market] = listed
                globals.risk.price = ticked.price
                globals.risk.funding_index = ticked.funding_index
                globals.tick_time = ticked.time
                globals.grace_until = ticked.grace_until
                globals.streak = ticked.streak
                globals.tick_queued = 0
                if queued:
                    globals.tick_queued = 1

        elif tag == constants.DEPOSIT:
            entry: containers.Deposit = encoding.deposit(head, merkle.at(start + 21))
            index: int256 = entry.account
            if entry.account == constants.NEW_ACCOUNT:
                index = globals.next_account
            row: uint256 = self.row(hint, account_count, account_at, index)
            hint = unsafe_add(hint, 1)
            code, put[0] = staticcall ICustody(CUSTODY).deposit(entry, index, accounts[row], globals.risk.debts, now)
            if code == codes.OK:
                put_at[0] = row
            globals.deposited_total = globals.deposited_total + entry.amount
            if code == codes.OK and entry.account == constants.NEW_ACCOUNT:
                globals.next_account = globals.next_account + 1
            if code == codes.OK and index > constants.FEE_ACCOUNT and index < constants.RESERVED_ACCOUNTS:
                insured: int256 = constants.insured_market(index)
                globals.markets[insured].fund = globals.markets[insured].fund + margin.collateral(put[0]) - margin.collateral(accounts[row])
            if code == codes.REFUNDED:
                if globals.withdrawal_count < constants.MAX_WITHDRAWALS:
                    payee = entry.depositor
                    payment = entry.amount
                else:
                    code = codes.WITHDRAWALS_FULL
                    fee = entry.amount

        elif tag == constants.CLOSE_STEP and (globals.head_account == 0 or (globals.head_market != constants.MARKETS and globals.head_market != encoding.bits(head, 248, 8))):
            code = codes.NO_HEAD

        elif tag >= constants.LIQUIDATE and tag <= constants.FORCED_RESCUE:
            move: containers.Rescue = encoding.rescue(tag, head)
            entered_at: int256 = 0
            limit: int256 = 0
            if tag == constants.FORCED_RESCUE:
                move = encoding.rescue(tag, tail)
                entered_at = encoding.entry_time(head)
            if tag == constants.CLOSE_STEP:
                move.account = globals.head_account
                move.maker = globals.head_market
                entered_at = globals.head_time
                limit = globals.head_limit
                if globals.head_market != constants.MARKETS:
                    move.lots = min(move.lots, globals.head_lots)
            paired: bool = tag == constants.DELEVERAGE or (tag == constants.CLOSE_STEP and move.other != constants.insurance_account(move.market))
            # An insurance account below maintenance is reduced as others are deleveraged.
            insured: bool = tag == constants.DELEVERAGE and move.account == constants.insurance_account(move.market)
            by_order: bool = tag == constants.LIQUIDATE or tag == constants.UNWIND
            # By an entry a fund below zero is called, and that of another market, once it is settled, goes home.
            homing: bool = tag == constants.FORCED_RESCUE and move.account != constants.FEE_ACCOUNT and move.account < constants.RESERVED_ACCOUNTS
            if by_order and move.maker >= order_count:
                code = codes.NO_ORDER
            elif not by_order and move.market >= globals.market_count:
                code = codes.NO_MARKET
            elif tag != constants.UNWIND and move.account < constants.RESERVED_ACCOUNTS and not insured and not homing:
                code = codes.RESERVED
            elif paired and move.other < constants.RESERVED_ACCOUNTS:
                code = codes.RESERVED
            else:
                market: int256 = move.market
                other: int256 = move.other
                if by_order:
                    market = orders[move.maker].market
                    other = orders[move.maker].account
                if other == move.account and (tag == constants.LIQUIDATE or paired):
                    code = codes.SAME_ACCOUNT
                else:
                    rescued_row: uint256 = 0
                    if tag != constants.UNWIND:
                        rescued_row = self.row(hint, account_count, account_at, move.account)
                        hint = unsafe_add(hint, 1)
                    insurance_row: uint256 = self.row(hint, account_count, account_at, constants.insurance_account(market))
                    hint = unsafe_add(hint, 1)
                    other_row: uint256 = 0
                    maker_slot: uint256 = 0
                    if by_order:
                        other_row = order_account[move.maker]
                        maker_slot = order_slot[move.maker]
                    elif paired:
                        other_row = self.row(hint, account_count, account_at, other)
                        hint = unsafe_add(hint, 1)
                    previous: int256[16] = empty(int256[16])
                    for m: int256 in range(constants.MARKETS):
                        previous[m] = max(globals.markets[m].previous_price, 0)
                    maker_order: containers.Order = empty(containers.Order)
                    slot: containers.Slot = empty(containers.Slot)
                    if by_order:
                        maker_order = orders[move.maker]
                        slot = slots[maker_slot]
                    # The size limit splits the rescues: those against a resting order are of the trading family.
                    family: address = RESCUE
                    if by_order:
                        family = TRADING
                    if homing:
                        family = MARKETS
                    rescued: containers.Rescued = staticcall IRescue(family).decide(
                        tag,
                        containers.Conditions(
                            risk=globals.risk, previous=previous, clock=clock, listed=globals.markets[market],
                            tick_time=globals.tick_time, tick_queued=globals.tick_queued, entered_at=entered_at, limit=limit
                        ),
                        move,
                        accounts[rescued_row],
                        containers.Side(order=maker_order, account=accounts[other_row], slot=slot),
                        accounts[insurance_row],
                    )
                    code = rescued.code
                    if code == codes.OK:
                        if tag == constants.CLOSE_STEP:
                            size_before: int256 = abs(encoding.unpack(accounts[rescued_row].positions[market]).size)
                            size_after: int256 = abs(encoding.unpack(rescued.account.positions[market]).size)
                            globals.head_lots = max(globals.head_lots - size_before + size_after, 0)
                        if tag != constants.UNWIND:
                            put[0] = rescued.account
                            put_at[0] = rescued_row
                        if by_order or paired:
                            put[1] = rescued.other
                            put_at[1] = other_row
                        if by_order:
                            slots[maker_slot] = rescued.slot
                        put[2] = rescued.insurance
                        put_at[2] = insurance_row
                        listed: containers.Market = globals.markets[market]
                        listed.fund = margin.collateral(rescued.insurance)
                        listed.turned_over = listed.turned_over + rescued.turned_over
                        listed.paid_out = listed.paid_out + rescued.paid_out
                        listed.open_interest = listed.open_interest + rescued.growth
                        globals.markets[market] = listed
                        if homing:
                            globals.markets[constants.insured_market(move.account)].fund = margin.collateral(rescued.account)
                        fee = rescued.fee
                        dust = rescued.dust
                        debt = rescued.debt
                    # It ends below zero, which is for deleveraging; beyond its limit; without a price for long; or closed.
                    ended: bool = code == codes.INSOLVENT or code == codes.LIMIT or code == codes.STALE
                    if code == codes.OK:
                        ended = margin.closed(rescued.account, globals.head_market, globals.head_lots)
                    if tag == constants.CLOSE_STEP and ended:
                        if code != codes.INSOLVENT and globals.head_market == constants.MARKETS:
                            # As if the owner had forced a withdrawal of everything.
                            owner: uint256 = convert(rescued.account.owner, uint256) << 96
                            everything: uint256 = (convert(move.account, uint256) << 232) | (convert(constants.EVERYTHING, uint256) << 168)
                            paid: containers.Entered = self.enter(
                                constants.FORCED_WITHDRAW, globals.risk, clock, globals.withdrawal_count, owner, everything, rescued.account
                            )
                            if paid.code == codes.OK:
                                put[3] = paid.account
                                put_at[3] = rescued_row
                                dust = dust + paid.dust
                                payee = paid.account.owner
                                payment = paid.amount
                        commitment.queue_count = commitment.queue_taken
                        globals.head_account = 0
                        globals.head_market = 0
                        globals.head_lots = 0
                        globals.head_time = 0
                        globals.head_limit = 0

        elif tag == constants.SET_MARKET:
            changing: int256 = encoding.bits(tail, 248, 8)
            if changing >= constants.MARKETS:
                code = codes.NO_MARKET
            else:
                changed: containers.Changed = staticcall IMarkets(MARKETS).change(
                    tail, convert(merkle.at(start + 31), bytes32), merkle.at(start + 63), merkle.at(start + 95), globals.markets[changing],
                    globals.risk.initial_ppm[changing], globals.risk.maintenance_ppm[changing], globals.risk.price[changing], globals.market_count, now
                )
                code = changed.code
                if code == codes.OK:
                    globals.markets[changing] = changed.listed
                    globals.risk.initial_ppm[changing] = changed.initial_ppm
                    globals.risk.maintenance_ppm[changing] = changed.maintenance_ppm
                    globals.market_count = max(globals.market_count, changing + 1)

        elif tag == constants.SET_VENUE:
            code = staticcall IMarkets(MARKETS).check_venue(tail, globals.signers, globals.posting_fee, globals.grace_period, globals.venue_changed_at, now)
            if code == codes.OK:
                given: containers.VenueParameters = encoding.venue_parameters(tail)
                globals.posting_fee = given.posting_fee
                globals.grace_period = given.grace_period
                globals.venue_changed_at = now
                if given.signer != containers.NOBODY:
                    globals.signers[given.signer_index] = convert(given.signer, uint256)

        elif tag > constants.FORCED_RESCUE:
            entered_row: uint256 = self.row(hint, account_count, account_at, convert(tail >> 232, int256))
            hint = unsafe_add(hint, 1)
            entered: containers.Entered = self.enter(
                tag, globals.risk, clock, globals.withdrawal_count, head, tail, accounts[entered_row]
            )
            code = entered.code
            if code == codes.OK and entered.opened and globals.head_account != 0:
                code = codes.HEAD_UNFINISHED
            if code == codes.OK:
                put[0] = entered.account
                put_at[0] = entered_row
                dust = entered.dust
                payee = entered.account.owner
                payment = entered.amount
                if entered.opened:
                    globals.head_account = convert(tail >> 232, int256)
                    globals.head_market = constants.MARKETS
                    if tag == constants.FORCED_CLOSE:
                        globals.head_market = encoding.bits(tail, 224, 8)
                        globals.head_limit = encoding.bits(tail, 120, 48)
                    globals.head_lots = entered.lots
                    globals.head_time = encoding.entry_time(head)

        else:
            account_row: uint256 = self.row(hint, account_count, account_at, convert(head >> 232, int256))
            hint = unsafe_add(hint, 1)
            slot_row: uint256 = 0
            if taken.slots == 1:
                slot_index: uint256 = head >> 224
                if tag == constants.ORDER:
                    slot_index = (head >> 232 << 8) | ((head >> 208) & 255)
                # Slot 0 is the account itself: no such slot, and the law refuses it before it looks.
                if slot_index & 255 != 0:
                    slot_row = merkle.at(hint) >> 248
                    hint = unsafe_add(hint, 1)
                    assert slot_row < slot_count and slot_at[slot_row] == slot_index, "hint"
            signature: uint256 = start + convert(size, uint256) - 64
            signed: containers.Signed = containers.Signed(
                domain=domain,
                tag=tag,
                head=head,
                tail=merkle.at(start + 31),
                r=merkle.at(signature),
                parity_and_s=merkle.at(signature + 32),
            )
            if tag == constants.ORDER:
                signed.tail = merkle.at(start + 32)
                order: containers.Order = empty(containers.Order)
                code, order = staticcall ITrading(TRADING).check_order(signed, accounts[account_row], globals.markets, globals.market_count, now)
                if code == codes.OK:
                    orders[order_count] = order
                    order_account[order_count] = account_row
                    order_slot[order_count] = slot_row
                    order_count = unsafe_add(order_count, 1)
            else:
                other_row: uint256 = account_row
                opening: bool = False
                index: int256 = convert(head >> 232, int256)
                if tag == constants.TRANSFER:
                    index = encoding.bits(signed.tail, 232, 24)
                    opening = index == constants.NEW_ACCOUNT
                    if opening:
                        index = globals.next_account
                    other_row = self.row(hint, account_count, account_at, index)
                    hint = unsafe_add(hint, 1)
                booked: containers.Booked = staticcall ICustody(CUSTODY).book(
                    signed,
                    containers.Terms(risk=globals.risk, clock=clock, posting_fee=globals.posting_fee, withdrawal_count=globals.withdrawal_count),
                    index,
                    accounts[account_row],
                    accounts[other_row],
                    slots[slot_row],
                )
                code = booked.code
                if code == codes.OK:
                    if tag == constants.TRANSFER:
                        put[0] = booked.other
                        put_at[0] = other_row
                        if opening:
                            globals.next_account = globals.next_account + 1
                    put[1] = booked.account
                    put_at[1] = account_row
                    if tag != constants.CANCEL_ALL:
                        slots[slot_row] = booked.slot
                    fee = booked.fee
                    dust = booked.dust
                    if tag == constants.WITHDRAW:
                        payee = encoding.to_address(signed.tail)
                        payment = encoding.bits(head, 16, 64)

        for k: uint256 in range(4):
            if k == 3 and fee > 0:
                # What the fee account earns is as young as any profit. A step, which pays whoever leaves, has no fee.
                put_at[3] = 0
                put[3] = margin.matured(globals.risk.debts, accounts[0], now)
                put[3].fresh = put[3].fresh + fee
            if put_at[k] < 44:
                globals.pool = debts.touched(globals.pool, globals.risk.debts, accounts[put_at[k]], put[k], now)
                accounts[put_at[k]] = put[k]
        # At a tick what is still owed is taken too.
        if debt > 0 or (globals.pool.owed > 0 and code == codes.OK and (tag == constants.TICK or tag == constants.FORCED_TICK)):
            globals.pool, globals.risk.debts = staticcall IMarkets(MARKETS).take(globals.pool, globals.risk.debts, debt, now)
        globals.funding_dust = globals.funding_dust + dust
        if payment != 0:
            leaf: bytes32 = encoding.withdrawal_hash(globals.withdrawal_count, payee, payment)
            globals.frontier = merkle.append(globals.frontier, globals.withdrawal_count, leaf)
            globals.withdrawal_count = globals.withdrawal_count + 1
            commitment.withdrawn_total = commitment.withdrawn_total + payment
        # An unsteady rescue waits, with all that follows it: else whoever orders had only to leave out a tick to be
        # rid of it.
        waits: bool = queued and (code == codes.HEAD_UNFINISHED or code == codes.UNSTEADY)
        if waits:
            now = began
            globals.risk.debts.clock = aged
        if queued and not waits:
            entry_bytes: Bytes[1_632] = slice(msg.data, start, 1_632)
            digest: bytes32 = keccak256(slice(entry_bytes, 0, convert(size, uint256)))
            commitment.queue_hash = keccak256(concat(commitment.queue_hash, digest))
            commitment.queue_taken = commitment.queue_taken + 1
            if globals.head_account == 0:
                commitment.queue_count = commitment.queue_taken
            # By L1's clock, and with all ticks that were entered before it: whoever orders has only his own clock and
            # ticks.
            elif tag != constants.DEPOSIT and encoding.entry_time(head) > max(globals.head_time, globals.tick_time) + constants.HEAD_PATIENCE:
                globals.head_limit = constants.HEAD_OVER
        operation_codes.append(code)

    commitment.timestamp = now
    for i: uint256 in range(leaf_count, bound=87):
        if leaves[i] & 255 == 0:
            new[i] = encoding.account_hash(accounts[rows[i]])
        else:
            new[i] = encoding.slot_hash(slots[rows[i]])
    old_root: bytes32 = empty(bytes32)
    new_root: bytes32 = empty(bytes32)
    old_root, new_root = merkle.roots(leaf_count, leaves, old, new, offset)
    assert old_root == commitment.tree_root, "tree root"
    commitment.tree_root = new_root
    commitment.withdrawals_root = merkle.frontier_root(globals.frontier, globals.withdrawal_count)
    commitment.globals_hash = encoding.globals_hash(globals)
    return encoding.state_root(commitment), operation_codes
