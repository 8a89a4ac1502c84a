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
from prover.stf import encoding
from prover.stf import margin
from prover.stf import merkle


interface ITrading:
    def check_order(signed: containers.Signed, account: containers.Account, markets: containers.Market[16], market_count: int256, now: int256) -> (int256, containers.Order): pure
    def fill(risk: containers.Risk, clock: containers.Clock, market: containers.Market, posting_fee: int256, maker: containers.Order, taker: containers.Order, maker_account: containers.Account, taker_account: containers.Account, maker_slot: containers.Slot, taker_slot: containers.Slot, size: int256) -> containers.Filled: pure
    def book(signed: containers.Signed, account: containers.Account, slot: containers.Slot, now: int256) -> containers.Booked: pure


interface ICustody:
    def deposit(entry: containers.Deposit, index: int256, account: containers.Account) -> (int256, containers.Account): pure
    def book(signed: containers.Signed, risk: containers.Risk, clock: containers.Clock, withdrawal_count: int256, index: int256, account: containers.Account, other: containers.Account, slot: containers.Slot) -> containers.Booked: pure


interface IRescue:
    def decide(tag: int256, risk: containers.Risk, previous: int256[16], clock: containers.Clock, listed: containers.Market, move: containers.Rescue, maker: containers.Order, account: containers.Account, other: containers.Account, insurance: containers.Account, slot: containers.Slot) -> containers.Rescued: pure


interface IMarkets:
    def tick(domain: bytes32, globals: containers.Globals, now: int256, operation: Bytes[1_504]) -> containers.Ticked: view


COLLATERAL_BIAS: constant(int256) = 2**127
COMMITMENT_BYTES: constant(uint256) = 288
GLOBALS_BYTES: constant(uint256) = 11_360
# The longest tick, 9 + 7 * (65 + 16 * 9) = 1_472, and a word to read past its end.
MAX_TICK_BYTES: constant(uint256) = 1_504

TRADING: public(immutable(address))
CUSTODY: public(immutable(address))
MARKETS: public(immutable(address))
RESCUE: public(immutable(address))


@deploy
def __init__(trading: address, custody: address, markets: address, rescue: address):
    TRADING = trading
    CUSTODY = custody
    MARKETS = markets
    RESCUE = rescue


# What an operation takes of a chunk's room. length 0: no such tag.
struct Kind:
    length: int256
    weight: int256
    accounts: int256
    slots: int256


@internal
@pure
def kind(tag: int256) -> Kind:
    if tag == constants.FILL:
        return Kind(length=constants.FILL_LENGTH, weight=constants.FILL_WEIGHT, accounts=0, slots=0)
    if tag == constants.ORDER:
        return Kind(length=constants.ORDER_LENGTH, weight=constants.ORDER_WEIGHT, accounts=1, slots=1)
    if tag == constants.TICK:
        return Kind(length=constants.TICK_HEAD_LENGTH, weight=constants.TICK_WEIGHT, accounts=0, slots=0)
    if tag == constants.DEPOSIT:
        return Kind(length=constants.DEPOSIT_LENGTH, weight=constants.DEPOSIT_WEIGHT, accounts=1, slots=0)
    if tag == constants.WITHDRAW:
        return Kind(length=constants.WITHDRAW_LENGTH, weight=constants.WITHDRAW_WEIGHT, accounts=1, slots=1)
    if tag == constants.TRANSFER:
        return Kind(length=constants.TRANSFER_LENGTH, weight=constants.TRANSFER_WEIGHT, accounts=2, slots=1)
    if tag == constants.CANCEL:
        return Kind(length=constants.CANCEL_LENGTH, weight=constants.CANCEL_WEIGHT, accounts=1, slots=1)
    if tag == constants.SET_AGENT:
        return Kind(length=constants.SET_AGENT_LENGTH, weight=constants.SET_AGENT_WEIGHT, accounts=1, slots=1)
    if tag == constants.SET_LEVERAGE:
        return Kind(length=constants.SET_LEVERAGE_LENGTH, weight=constants.SET_LEVERAGE_WEIGHT, accounts=1, slots=1)
    if tag == constants.LIQUIDATE:
        return Kind(length=constants.LIQUIDATE_LENGTH, weight=constants.LIQUIDATE_WEIGHT, accounts=2, slots=0)
    if tag == constants.TAKE_OVER:
        return Kind(length=constants.TAKE_OVER_LENGTH, weight=constants.TAKE_OVER_WEIGHT, accounts=2, slots=0)
    if tag == constants.DELEVERAGE:
        return Kind(length=constants.DELEVERAGE_LENGTH, weight=constants.DELEVERAGE_WEIGHT, accounts=3, slots=0)
    if tag == constants.UNWIND:
        return Kind(length=constants.UNWIND_LENGTH, weight=constants.UNWIND_WEIGHT, accounts=1, slots=0)
    if tag == constants.CANCEL_ALL:
        return Kind(length=constants.CANCEL_ALL_LENGTH, weight=constants.CANCEL_ALL_WEIGHT, accounts=1, slots=0)
    return Kind(length=0, weight=0, accounts=0, slots=0)


@internal
@view
def replay(domain: bytes32, pre_root: bytes32, body: uint256, body_length: uint256, witness: uint256) -> (bytes32, DynArray[int256, 910]):
    """
    @param body Where the chunk body starts in the call data; `body_length` its bytes.
    @param witness Where the witness starts in the call data.
    @return The post-root, and the code of every operation.
    """
    commitment: containers.Commitment = abi_decode(slice(msg.data, witness, COMMITMENT_BYTES), containers.Commitment)
    globals: containers.Globals = abi_decode(slice(msg.data, witness + COMMITMENT_BYTES, GLOBALS_BYTES), containers.Globals)
    assert encoding.state_root(commitment) == pre_root, "pre-root"
    assert encoding.globals_hash(globals) == commitment.globals_hash, "globals"

    # Rows: one for each tree address, strictly increasing, so that no account or slot stands in two places.
    offset: uint256 = witness + COMMITMENT_BYTES + GLOBALS_BYTES
    word: uint256 = merkle.at(offset)
    leaf_count: uint256 = word >> 248
    hint: uint256 = offset + 3
    offset = hint + ((word >> 232) & 65_535)
    leaves: uint256[89] = empty(uint256[89])
    old: bytes32[89] = empty(bytes32[89])
    new: bytes32[89] = empty(bytes32[89])
    rows: uint256[89] = empty(uint256[89])
    accounts: containers.Account[45] = empty(containers.Account[45])
    account_at: uint256[45] = empty(uint256[45])
    account_count: uint256 = 0
    slots: containers.Slot[44] = empty(containers.Slot[44])
    slot_at: uint256[44] = empty(uint256[44])
    slot_count: uint256 = 0
    for i: uint256 in range(leaf_count, bound=89):
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
            held: uint256 = merkle.at(offset + 142) >> 240
            offset += 144
            for market: uint256 in range(16):
                if (held >> market) & 1 == 1:
                    account.positions[market] = merkle.at(offset)
                    offset += 32
            old[i] = encoding.account_hash(account)
            rows[i] = account_count
            accounts[account_count] = account
            account_at[account_count] = leaf >> 8
            account_count += 1
        else:
            slot: containers.Slot = containers.Slot(
                sequence=encoding.bits(word, 168, 56),
                filled=encoding.bits(word, 104, 64),
            )
            offset += 19
            old[i] = encoding.slot_hash(slot)
            rows[i] = slot_count
            slots[slot_count] = slot
            slot_at[slot_count] = leaf
            slot_count += 1
    assert account_count > 0 and account_at[0] == 0, "fee account"

    operation_codes: DynArray[int256, 910] = []
    orders: containers.Order[44] = empty(containers.Order[44])
    order_account: uint256[44] = empty(uint256[44])
    order_slot: uint256[44] = empty(uint256[44])
    order_count: int256 = 0
    weight: int256 = 0
    account_references: int256 = 0
    slot_references: int256 = 0
    length: int256 = convert(body_length, int256)
    at: int256 = constants.TIMESTAMP_LENGTH
    if length >= at:
        commitment.timestamp = max(commitment.timestamp, encoding.bits(merkle.at(body), 208, 48))
    now: int256 = commitment.timestamp
    for i: int256 in range(constants.MAX_OPERATIONS):
        if at >= length:
            break
        start: uint256 = body + convert(at, uint256)
        first: uint256 = merkle.at(start)
        tag: int256 = convert(first >> 248, int256)
        taken: Kind = self.kind(tag)
        size: int256 = taken.length
        if tag == constants.TICK and length - at >= constants.TICK_HEAD_LENGTH:
            size = size + encoding.bits(first, 192, 8) * (constants.TICK_SIGNER_LENGTH + constants.TICK_MARKET_LENGTH * encoding.bits(first, 184, 8))
        if size == 0 or size > length - at:
            operation_codes.append(codes.MALFORMED)
            break
        at = at + size
        if weight + taken.weight > constants.MAX_WEIGHT or account_references + taken.accounts > constants.MAX_ACCOUNT_REFERENCES or slot_references + taken.slots > constants.MAX_SLOT_REFERENCES:
            operation_codes.append(codes.FULL)
            continue
        weight = weight + taken.weight
        account_references = account_references + taken.accounts
        slot_references = slot_references + taken.slots
        head: uint256 = merkle.at(start + 1)
        clock: containers.Clock = containers.Clock(
            now=now,
            priced=now - globals.tick_time <= constants.MAX_PRICE_AGE,
            grace=now < globals.grace_until,
            steady=globals.streak == constants.STEADY_TICKS,
        )
        code: int256 = codes.OK

        if tag == constants.FILL:
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
                    orders[maker],
                    orders[taker],
                    accounts[order_account[maker]],
                    accounts[order_account[taker]],
                    slots[order_slot[maker]],
                    slots[order_slot[taker]],
                    encoding.bits(head, 184, 56),
                )
                code = filled.code
                if code == codes.OK:
                    accounts[order_account[maker]] = filled.maker
                    accounts[order_account[taker]] = filled.taker
                    slots[order_slot[maker]] = filled.maker_slot
                    slots[order_slot[taker]] = filled.taker_slot
                    accounts[0].settled = accounts[0].settled + filled.fee
                    globals.markets[market].open_interest = globals.markets[market].open_interest + filled.growth
                    globals.funding_dust = globals.funding_dust + filled.dust

        elif tag == constants.TICK:
            ticked: containers.Ticked = staticcall IMarkets(MARKETS).tick(domain, globals, now, slice(msg.data, start, MAX_TICK_BYTES))
            code = ticked.code
            if code == codes.OK:
                for market: int256 in range(constants.MARKETS):
                    globals.markets[market].previous_price = globals.risk.price[market]
                    globals.markets[market].premium_ppm = ticked.premium_ppm[market]
                    if ticked.time // constants.HOUR != globals.tick_time // constants.HOUR:
                        globals.markets[market].turned_over = 0
                        globals.markets[market].paid_out = 0
                globals.risk.price = ticked.price
                globals.risk.funding_index = ticked.funding_index
                globals.tick_time = ticked.time
                globals.grace_until = ticked.grace_until
                globals.streak = ticked.streak

        elif tag == constants.DEPOSIT:
            entry: containers.Deposit = encoding.deposit(head, merkle.at(start + 21))
            index: int256 = entry.account
            if entry.account == constants.NEW_ACCOUNT:
                index = globals.next_account
            row: uint256 = merkle.at(hint) >> 248
            hint += 1
            assert row < account_count and convert(account_at[row], int256) == index, "hint"
            code, accounts[row] = staticcall ICustody(CUSTODY).deposit(entry, index, accounts[row])
            commitment.queue_count = commitment.queue_count + 1
            commitment.queue_hash = keccak256(concat(commitment.queue_hash, keccak256(slice(msg.data, start, 52))))
            commitment.queue_work = commitment.queue_work + taken.weight
            globals.deposited_total = globals.deposited_total + entry.amount
            if code == codes.OK and entry.account == constants.NEW_ACCOUNT:
                globals.next_account = globals.next_account + 1
            if code == codes.OK and index > constants.FEE_ACCOUNT and index < constants.RESERVED_ACCOUNTS:
                globals.markets[index - 1].fund = globals.markets[index - 1].fund + entry.amount
            if code == codes.REFUNDED:
                if globals.withdrawal_count < constants.MAX_WITHDRAWALS:
                    refund: bytes32 = encoding.withdrawal_hash(globals.withdrawal_count, entry.depositor, entry.amount)
                    globals.frontier = merkle.append(globals.frontier, globals.withdrawal_count, refund)
                    globals.withdrawal_count = globals.withdrawal_count + 1
                    commitment.withdrawn_total = commitment.withdrawn_total + entry.amount
                else:
                    code = codes.WITHDRAWALS_FULL
                    accounts[0].settled = accounts[0].settled + entry.amount

        elif tag >= constants.LIQUIDATE and tag <= constants.UNWIND:
            move: containers.Rescue = encoding.rescue(tag, head)
            by_order: bool = tag == constants.LIQUIDATE or tag == constants.UNWIND
            if by_order and move.maker >= order_count:
                code = codes.NO_ORDER
            elif not by_order and move.market >= globals.market_count:
                code = codes.NO_MARKET
            elif tag != constants.UNWIND and move.account < constants.RESERVED_ACCOUNTS:
                code = codes.RESERVED
            elif tag == constants.DELEVERAGE and move.other < constants.RESERVED_ACCOUNTS:
                code = codes.RESERVED
            else:
                market: int256 = move.market
                other: int256 = move.other
                if by_order:
                    market = orders[move.maker].market
                    other = orders[move.maker].account
                if other == move.account and (tag == constants.LIQUIDATE or tag == constants.DELEVERAGE):
                    code = codes.SAME_ACCOUNT
                else:
                    rescued_row: uint256 = 0
                    if tag != constants.UNWIND:
                        rescued_row = merkle.at(hint) >> 248
                        hint += 1
                        assert rescued_row < account_count and convert(account_at[rescued_row], int256) == move.account, "hint"
                    insurance_row: uint256 = merkle.at(hint) >> 248
                    hint += 1
                    assert insurance_row < account_count and convert(account_at[insurance_row], int256) == market + 1, "hint"
                    other_row: uint256 = 0
                    maker_slot: uint256 = 0
                    if by_order:
                        other_row = order_account[move.maker]
                        maker_slot = order_slot[move.maker]
                    elif tag == constants.DELEVERAGE:
                        other_row = merkle.at(hint) >> 248
                        hint += 1
                        assert other_row < account_count and convert(account_at[other_row], int256) == other, "hint"
                    previous: int256[16] = empty(int256[16])
                    for m: int256 in range(constants.MARKETS):
                        previous[m] = globals.markets[m].previous_price
                    maker_order: containers.Order = empty(containers.Order)
                    slot: containers.Slot = empty(containers.Slot)
                    if by_order:
                        maker_order = orders[move.maker]
                        slot = slots[maker_slot]
                    rescued: containers.Rescued = staticcall IRescue(RESCUE).decide(
                        tag, globals.risk, previous, clock, globals.markets[market], move, maker_order,
                        accounts[rescued_row], accounts[other_row], accounts[insurance_row], slot
                    )
                    code = rescued.code
                    if code == codes.OK:
                        if tag != constants.UNWIND:
                            accounts[rescued_row] = rescued.account
                        if tag != constants.TAKE_OVER:
                            accounts[other_row] = rescued.other
                        if by_order:
                            slots[maker_slot] = rescued.slot
                        accounts[insurance_row] = rescued.insurance
                        globals.markets[market].fund = margin.collateral(rescued.insurance)
                        globals.markets[market].turned_over = globals.markets[market].turned_over + rescued.turned_over
                        globals.markets[market].paid_out = globals.markets[market].paid_out + rescued.paid_out
                        globals.markets[market].open_interest = globals.markets[market].open_interest + rescued.growth
                        accounts[0].settled = accounts[0].settled + rescued.fee
                        globals.funding_dust = globals.funding_dust + rescued.dust

        else:
            account_row: uint256 = merkle.at(hint) >> 248
            hint += 1
            assert account_row < account_count and account_at[account_row] == head >> 232, "hint"
            slot_row: uint256 = 0
            if taken.slots == 1:
                slot_index: uint256 = head >> 224
                if tag == constants.ORDER:
                    slot_index = (head >> 232 << 8) | ((head >> 208) & 255)
                # Slot 0 is the account itself: no such slot, and the law refuses it before it looks.
                if slot_index & 255 != 0:
                    slot_row = merkle.at(hint) >> 248
                    hint += 1
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
                    order_count = order_count + 1
            else:
                booked: containers.Booked = empty(containers.Booked)
                other_row: uint256 = account_row
                opening: bool = False
                if tag != constants.WITHDRAW and tag != constants.TRANSFER:
                    booked = staticcall ITrading(TRADING).book(signed, accounts[account_row], slots[slot_row], now)
                else:
                    index: int256 = convert(head >> 232, int256)
                    if tag == constants.TRANSFER:
                        index = encoding.bits(signed.tail, 232, 24)
                        opening = index == constants.NEW_ACCOUNT
                        if opening:
                            index = globals.next_account
                        other_row = merkle.at(hint) >> 248
                        hint += 1
                        assert other_row < account_count and convert(account_at[other_row], int256) == index, "hint"
                    booked = staticcall ICustody(CUSTODY).book(
                        signed, globals.risk, clock, globals.withdrawal_count, index, accounts[account_row], accounts[other_row], slots[slot_row]
                    )
                code = booked.code
                if code == codes.OK:
                    if tag == constants.TRANSFER:
                        accounts[other_row] = booked.other
                        if opening:
                            globals.next_account = globals.next_account + 1
                    accounts[account_row] = booked.account
                    if tag != constants.CANCEL_ALL:
                        slots[slot_row] = booked.slot
                    accounts[0].settled = accounts[0].settled + booked.fee
                    globals.funding_dust = globals.funding_dust + booked.dust
                    if tag == constants.WITHDRAW:
                        amount: int256 = encoding.bits(head, 16, 64)
                        paid: bytes32 = encoding.withdrawal_hash(globals.withdrawal_count, encoding.to_address(signed.tail), amount)
                        globals.frontier = merkle.append(globals.frontier, globals.withdrawal_count, paid)
                        globals.withdrawal_count = globals.withdrawal_count + 1
                        commitment.withdrawn_total = commitment.withdrawn_total + amount
        operation_codes.append(code)

    for i: uint256 in range(leaf_count, bound=89):
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
