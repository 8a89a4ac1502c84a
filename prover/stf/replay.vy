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
from prover.stf import merkle
from prover.stf import signatures


interface ITrading:
    def check_order(order: containers.Order, account: containers.Account, signer: address, markets: containers.Market[16], market_count: int256, now: int256) -> int256: pure
    def fill(risk: containers.Risk, fresh: bool, market: containers.Market, posting_fee: int256, maker: containers.Order, taker: containers.Order, maker_account: containers.Account, taker_account: containers.Account, maker_slot: containers.Slot, taker_slot: containers.Slot, size: int256) -> containers.Filled: pure
    def cancel(request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked: pure
    def cancel_all(request: containers.Request, account: containers.Account, signer: address, now: int256) -> containers.Booked: pure


interface ICustody:
    def deposit(entry: containers.Deposit, index: int256, account: containers.Account) -> (int256, containers.Account): pure
    def withdraw(risk: containers.Risk, fresh: bool, withdrawal_count: int256, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked: pure
    def transfer(risk: containers.Risk, fresh: bool, request: containers.Request, account: containers.Account, other: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked: pure


interface IMarkets:
    def tick(domain: bytes32, globals: containers.Globals, now: int256, operation: Bytes[1_504]) -> containers.Ticked: view


COLLATERAL_BIAS: constant(int256) = 2**127
COMMITMENT_BYTES: constant(uint256) = 288
GLOBALS_BYTES: constant(uint256) = 8_704
# The longest tick, 9 + 7 * (65 + 16 * 9) = 1_472, and a word to read past its end.
MAX_TICK_BYTES: constant(uint256) = 1_504

TRADING: public(immutable(address))
CUSTODY: public(immutable(address))
MARKETS: public(immutable(address))


@deploy
def __init__(trading: address, custody: address, markets: address):
    TRADING = trading
    CUSTODY = custody
    MARKETS = markets


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
    leaves: uint256[97] = empty(uint256[97])
    old: bytes32[97] = empty(bytes32[97])
    new: bytes32[97] = empty(bytes32[97])
    rows: uint256[97] = empty(uint256[97])
    accounts: containers.Account[49] = empty(containers.Account[49])
    account_at: uint256[49] = empty(uint256[49])
    account_count: uint256 = 0
    slots: containers.Slot[48] = empty(containers.Slot[48])
    slot_at: uint256[48] = empty(uint256[48])
    slot_count: uint256 = 0
    for i: uint256 in range(leaf_count, bound=97):
        word = merkle.at(offset)
        leaf: uint256 = word >> 224
        assert i == 0 or leaf > leaves[i - 1], "order"
        leaves[i] = leaf
        if leaf & 255 == 0:
            account: containers.Account = empty(containers.Account)
            account.owner = encoding.to_address(merkle.at(offset + 4))
            word = merkle.at(offset + 24)
            account.floor = encoding.bits(word, 200, 56)
            account.collateral = encoding.bits(word, 72, 128) - COLLATERAL_BIAS
            held: uint256 = (word >> 56) & 65_535
            offset += 49
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
    orders: containers.Order[48] = empty(containers.Order[48])
    order_account: uint256[48] = empty(uint256[48])
    order_slot: uint256[48] = empty(uint256[48])
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
        fresh: bool = now - globals.tick_time <= constants.MAX_PRICE_AGE
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
                    fresh,
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
                    accounts[0].collateral = accounts[0].collateral + filled.fee
                    globals.markets[market].open_interest = globals.markets[market].open_interest + filled.growth
                    globals.funding_dust = globals.funding_dust + filled.dust

        elif tag == constants.TICK:
            ticked: containers.Ticked = staticcall IMarkets(MARKETS).tick(domain, globals, now, slice(msg.data, start, MAX_TICK_BYTES))
            code = ticked.code
            if code == codes.OK:
                for market: int256 in range(constants.MARKETS):
                    globals.markets[market].previous_price = globals.risk.price[market]
                    globals.markets[market].premium_ppm = ticked.premium_ppm[market]
                globals.risk.price = ticked.price
                globals.risk.funding_index = ticked.funding_index
                globals.tick_time = ticked.time

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
            if code == codes.REFUNDED:
                if globals.withdrawal_count < constants.MAX_WITHDRAWALS:
                    refund: bytes32 = encoding.withdrawal_hash(globals.withdrawal_count, entry.depositor, entry.amount)
                    globals.frontier = merkle.append(globals.frontier, globals.withdrawal_count, refund)
                    globals.withdrawal_count = globals.withdrawal_count + 1
                    commitment.withdrawn_total = commitment.withdrawn_total + entry.amount
                else:
                    code = codes.WITHDRAWALS_FULL
                    accounts[0].collateral = accounts[0].collateral + entry.amount

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
            if tag == constants.ORDER:
                order: containers.Order = encoding.order(head, merkle.at(start + 32))
                signer: address = signatures.recover(
                    signatures.digest(domain, signatures.order_hash(order)), merkle.at(start + 49), merkle.at(start + 81)
                )
                code = staticcall ITrading(TRADING).check_order(order, accounts[account_row], signer, globals.markets, globals.market_count, now)
                if code == codes.OK:
                    orders[order_count] = order
                    order_account[order_count] = account_row
                    order_slot[order_count] = slot_row
                    order_count = order_count + 1
            else:
                request: containers.Request = encoding.request(tag, head, merkle.at(start + 31))
                signature: uint256 = start + convert(size, uint256) - 64
                signer: address = signatures.recover(
                    signatures.digest(domain, signatures.request_hash(tag, request)), merkle.at(signature), merkle.at(signature + 32)
                )
                booked: containers.Booked = empty(containers.Booked)
                if tag == constants.CANCEL_ALL:
                    booked = staticcall ITrading(TRADING).cancel_all(request, accounts[account_row], signer, now)
                elif tag == constants.CANCEL:
                    booked = staticcall ITrading(TRADING).cancel(request, accounts[account_row], slots[slot_row], signer, now)
                elif tag == constants.WITHDRAW:
                    booked = staticcall ICustody(CUSTODY).withdraw(
                        globals.risk, fresh, globals.withdrawal_count, request, accounts[account_row], slots[slot_row], signer, now
                    )
                else:
                    other_row: uint256 = merkle.at(hint) >> 248
                    hint += 1
                    assert other_row < account_count and convert(account_at[other_row], int256) == request.other, "hint"
                    booked = staticcall ICustody(CUSTODY).transfer(
                        globals.risk, fresh, request, accounts[account_row], accounts[other_row], slots[slot_row], signer, now
                    )
                    if booked.code == codes.OK:
                        accounts[other_row] = booked.other
                code = booked.code
                if code == codes.OK:
                    accounts[account_row] = booked.account
                    if tag != constants.CANCEL_ALL:
                        slots[slot_row] = booked.slot
                    globals.funding_dust = globals.funding_dust + booked.dust
                    if tag == constants.WITHDRAW:
                        paid: bytes32 = encoding.withdrawal_hash(globals.withdrawal_count, request.recipient, request.amount)
                        globals.frontier = merkle.append(globals.frontier, globals.withdrawal_count, paid)
                        globals.withdrawal_count = globals.withdrawal_count + 1
                        commitment.withdrawn_total = commitment.withdrawn_total + request.amount
        operation_codes.append(code)

    for i: uint256 in range(leaf_count, bound=97):
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
