"""Bytes to containers and containers to hashes; layouts in PROTOCOL.md.

Fields are cut from whole words, so that reading them costs a shift and a mask and no length runs past the operation.
"""

from typing import Final

from prover.stf import constants, containers
from prover.stf.words import address, address_word, bytes32, int256, keccak256, uint256, word

SIZE_BIAS: Final = 2**63
COST_BIAS: Final = 2**111
FUNDING_BIAS: Final = 2**79
PREMIUM_BIAS: Final = 2**31
COLLATERAL_BIAS: Final = 2**127
COMMITMENT_BYTES: Final = 288
GLOBALS_BYTES: Final = 13_824
ACCOUNT_PAYLOAD_BYTES: Final = 152

# keccak256 of the 26 zero words of an account that does not exist.
EMPTY_ACCOUNT: Final = bytes.fromhex("0f7a6db47eb8d2e04d65d498d8b486f86775766269241e0b5467dc9c9b361f09")


def bits(packed: uint256, low: uint256, width: uint256) -> int256:
    """So many bits of a word, from this one up; PROTOCOL.md 6.1."""
    return (packed >> low) & ((1 << width) - 1)


def to_address(packed: uint256) -> address:
    """The address in the first twenty bytes of a word; PROTOCOL.md 6.1."""
    return bits(packed, 96, 160).to_bytes(20, "big")


def agent_address(agent: uint256) -> address:
    """Whom an agent word trusts; PROTOCOL.md 4.3."""
    return to_address(agent << 32)


def agent_word(agent: address, expires_at: int256, first_slot: int256, last_slot: int256) -> uint256:
    """An agent with its expiry and its slots in one word; PROTOCOL.md 4.3."""
    return (int.from_bytes(agent, "big") << 64) | (expires_at << 16) | (first_slot << 8) | last_slot


def unpack(position: containers.Position) -> containers.Position:
    """Size, cost and funding index of a position; PROTOCOL.md 4.5."""
    return position


def pack(size: int256, cost: int256, funding: int256) -> containers.Position:
    """A position as an account holds it: none where the size is zero; PROTOCOL.md 4.5."""
    if size == 0:
        return containers.EMPTY
    return containers.Position(size=size, cost=cost, funding=funding)


def order(head: uint256, tail: uint256) -> containers.Order:
    """The fields of an order; PROTOCOL.md 8.7."""
    return containers.Order(
        account=bits(head, 232, 24),
        market=bits(head, 224, 8),
        side=bits(head, 216, 1),
        size=bits(head, 152, 56),
        limit_price=bits(head, 104, 48),
        slot=bits(head, 208, 8),
        sequence=bits(head, 56, 48),
        created_at=bits(head, 8, 48),
        expires_at=bits(tail, 208, 48),
        time_in_force=bits(head, 217, 2),
        post_only=bits(head, 219, 1),
        reduce_only=bits(head, 220, 1),
        trigger=bits(head, 221, 2),
        trigger_price=bits(tail, 160, 48),
        max_fee_ppm=bits(tail, 144, 16),
        max_posting_fee=bits(tail, 120, 24),
        unused=bits(head, 223, 1),
    )


def request(tag: int256, head: uint256, tail: uint256) -> containers.Request:
    """The fields of what is signed and no order, zero where it has none; PROTOCOL.md 8.2 to 8.5, 8.9, 8.10."""
    amount: int256 = 0
    other: int256 = 0
    recipient: address = containers.NOBODY
    first_slot: int256 = 0
    last_slot: int256 = 0
    # The three bytes before the signature.
    max_posting_fee: int256 = bits(head, 56, 24)
    if tag == constants.WITHDRAW:
        amount = bits(head, 16, 64)
        recipient = to_address(tail)
        max_posting_fee = bits(tail, 72, 24)
    if tag == constants.TRANSFER:
        amount = bits(head, 16, 64)
        other = bits(tail, 232, 24)
        max_posting_fee = bits(tail, 208, 24)
    if tag == constants.SET_AGENT:
        amount = bits(head, 32, 48)
        first_slot = bits(head, 24, 8)
        last_slot = bits(head, 16, 8)
        recipient = to_address(tail)
        other = bits(tail, 88, 8)
        max_posting_fee = bits(tail, 64, 24)
    if tag == constants.SET_LEVERAGE:
        amount = bits(head, 56, 24)
        max_posting_fee = bits(head, 32, 24)
    return containers.Request(
        account=bits(head, 232, 24),
        slot=bits(head, 224, 8),
        sequence=bits(head, 176, 48),
        created_at=bits(head, 128, 48),
        expires_at=bits(head, 80, 48),
        amount=amount,
        other=other,
        recipient=recipient,
        first_slot=first_slot,
        last_slot=last_slot,
        max_posting_fee=max_posting_fee,
    )


def deposit(head: uint256, tail: uint256) -> containers.Deposit:
    """The fields of a deposit; PROTOCOL.md 8.1."""
    return containers.Deposit(
        depositor=to_address(head),
        owner=to_address(tail),
        account=bits(tail, 72, 24),
        amount=bits(tail, 8, 64),
    )


def rescue(tag: int256, head: uint256) -> containers.Rescue:
    """The fields of a rescue or a close step, zero where it has none; PROTOCOL.md 8.11 to 8.16."""
    account: int256 = 0
    other: int256 = 0
    lots: int256 = bits(head, 192, 56)
    if tag != constants.UNWIND:
        account = bits(head, 224, 24)
        lots = bits(head, 168, 56)
    if tag == constants.DELEVERAGE:
        other = bits(head, 144, 24)
    if tag == constants.CLOSE_STEP:
        other = account
        account = 0
    return containers.Rescue(
        maker=bits(head, 248, 8),
        market=bits(head, 248, 8),
        account=account,
        other=other,
        lots=lots,
    )


def entry(tag: int256, head: uint256, tail: uint256) -> containers.Entry:
    """The fields of an entry from an account's owner, zero where it has none; PROTOCOL.md 8.17 to 8.20."""
    market: int256 = 0
    amount: int256 = 0
    limit: int256 = 0
    agent: address = containers.NOBODY
    agent_index: int256 = 0
    expires_at: int256 = 0
    first_slot: int256 = 0
    last_slot: int256 = 0
    if tag == constants.FORCED_WITHDRAW:
        amount = bits(tail, 168, 64)
    if tag == constants.LEAVE:
        amount = constants.EVERYTHING
    if tag == constants.FORCED_CLOSE:
        market = bits(tail, 224, 8)
        amount = bits(tail, 168, 56)
        limit = bits(tail, 120, 48)
    if tag == constants.FORCED_AGENT:
        agent_index = bits(tail, 224, 8)
        agent = to_address(tail << 32)
        expires_at = bits(tail, 16, 48)
        first_slot = bits(tail, 8, 8)
        last_slot = bits(tail, 0, 8)
    return containers.Entry(
        sender=to_address(head),
        time=entry_time(head),
        account=bits(tail, 232, 24),
        market=market,
        amount=amount,
        limit=limit,
        agent=agent,
        agent_index=agent_index,
        expires_at=expires_at,
        first_slot=first_slot,
        last_slot=last_slot,
    )


def entry_time(head: uint256) -> int256:
    """When L1 took an entry, ms; PROTOCOL.md 4.9."""
    return bits(head, 48, 48)


def entry_length(head: uint256) -> int256:
    """Bytes of an entry's payload; PROTOCOL.md 4.9."""
    return bits(head, 32, 16)


def parameters(tail: uint256, label: bytes32, fractions: uint256, bounds: uint256) -> containers.Parameters:
    """What a market would be by the governor's entry; PROTOCOL.md 8.22."""
    return containers.Parameters(
        market=bits(tail, 248, 8),
        status=bits(tail, 240, 8),
        label=label,
        initial_ppm=bits(fractions, 232, 24),
        maintenance_ppm=bits(fractions, 208, 24),
        maker_fee_ppm=bits(fractions, 192, 16),
        taker_fee_ppm=bits(fractions, 176, 16),
        band_ppm=bits(fractions, 152, 24),
        unwind_band_ppm=bits(fractions, 136, 16),
        funding_cap_ppb=bits(fractions, 104, 32),
        funding_interest_ppb=bits(fractions, 72, 32) - PREMIUM_BIAS,
        funding_damping_ppb=bits(fractions, 40, 32),
        minimum_notional=bits(fractions, 0, 40),
        price=bits(bounds, 208, 48),
        interest_lower=bits(bounds, 104, 104),
        interest_upper=bits(bounds, 0, 104),
    )


def funding_terms(cap_ppb: int256, interest_ppb: int256, damping_ppb: int256) -> uint256:
    """A market's terms of funding in one word; PROTOCOL.md 4.6."""
    return (cap_ppb << 64) | ((interest_ppb + PREMIUM_BIAS) << 32) | damping_ppb


def funding_cap(terms: uint256) -> int256:
    """The most that funding comes to, ppb an hour; PROTOCOL.md 4.6."""
    return bits(terms, 64, 32)


def funding_interest(terms: uint256) -> int256:
    """What funding tends to, ppb an hour; PROTOCOL.md 4.6."""
    return bits(terms, 32, 32) - PREMIUM_BIAS


def funding_damping(terms: uint256) -> int256:
    """How far a premium is moved towards that, ppb an hour; PROTOCOL.md 4.6."""
    return bits(terms, 0, 32)


def size_decimals(label: bytes32) -> int256:
    """The last byte of a market's label; PROTOCOL.md 4.6."""
    return label[31]


def venue_parameters(tail: uint256) -> containers.VenueParameters:
    """What the venue would be by the governor's entry; PROTOCOL.md 8.23."""
    return containers.VenueParameters(
        posting_fee=bits(tail, 232, 24),
        grace_period=bits(tail, 208, 24),
        signer_index=bits(tail, 200, 8),
        signer=to_address(tail << 56),
    )


def premium(packed: uint256) -> int256:
    """A signer's premium of one market, ppb an hour; PROTOCOL.md 8.6."""
    return bits(packed, 176, 32) - PREMIUM_BIAS


def position_word(position: containers.Position) -> bytes:
    """A position packed: size, cost and funding index, each biased; no position is zero; PROTOCOL.md 4.5."""
    if position.size == 0:
        return containers.NO_HASH
    return (
        ((position.size + SIZE_BIAS) << 192) | ((position.cost + COST_BIAS) << 80) | (position.funding + FUNDING_BIAS)
    ).to_bytes(32, "big")


def position_from_word(encoded: bytes) -> containers.Position:
    """The inverse of `position_word`; PROTOCOL.md 4.5."""
    value: int = int.from_bytes(encoded, "big")
    if value == 0:
        return containers.EMPTY
    return containers.Position(
        size=bits(value, 192, 64) - SIZE_BIAS,
        cost=bits(value, 80, 112) - COST_BIAS,
        funding=bits(value, 0, 80) - FUNDING_BIAS,
    )


def account_head(account: containers.Account) -> bytes:
    """The nine words of an account before its positions; PROTOCOL.md 4.3."""
    return b"".join(
        [
            address_word(account.owner),
            word(account.floor),
            word(account.settled),
            word(account.older),
            word(account.fresh),
            word(account.epoch),
            word(account.initial_ppm),
            word(account.agents[0]),
            word(account.agents[1]),
        ]
    )


def account_hash(account: containers.Account) -> bytes32:
    """The leaf of an account; PROTOCOL.md 4.3."""
    # Invariant: emptiness is decided by the whole hash, never by one zero field.
    digest: bytes32 = keccak256(
        account_head(account)
        + b"".join([position_word(position) for position in account.positions])
        + word(account.factor)
    )
    if digest == EMPTY_ACCOUNT:
        return containers.NO_HASH
    return digest


def slot_hash(slot: containers.Slot) -> bytes32:
    """The leaf of an order slot; PROTOCOL.md 4.4."""
    if slot.sequence == 0 and slot.filled == 0:
        return containers.NO_HASH
    return keccak256(word((slot.sequence << 64) | slot.filled))


def withdrawal_hash(index: int256, recipient: address, amount: int256) -> bytes32:
    """A leaf of the withdrawals tree; PROTOCOL.md 4.8."""
    return keccak256(word(constants.WITHDRAWAL_TAG) + word(index) + address_word(recipient) + word(amount))


def globals_bytes(globals: containers.Globals) -> bytes:
    """The canonical bytes of globals: 432 ABI words in field order, 13,824 bytes; PROTOCOL.md 4.6."""
    risk: containers.Risk = globals.risk
    words: list[bytes] = [
        word(globals.next_account),
        word(globals.market_count),
        word(globals.quorum),
        word(globals.tick_time),
        word(globals.posting_fee),
        word(globals.deposited_total),
        word(globals.funding_dust),
        word(globals.withdrawal_count),
        word(globals.grace_period),
        word(globals.grace_until),
        word(globals.streak),
        word(globals.head_account),
        word(globals.head_market),
        word(globals.head_lots),
        word(globals.venue_changed_at),
        word(globals.head_time),
        word(globals.head_limit),
        word(globals.tick_queued),
        address_word(globals.operator),
    ]
    words += [address_word(signer) for signer in globals.signers]
    words += globals.frontier
    for column in (risk.price, risk.funding_index, risk.initial_ppm, risk.maintenance_ppm):
        words += [word(value) for value in column]
    words += [word(value) for value in (risk.debts.clock, *risk.debts.factors)]
    for market in globals.markets:
        words += [
            market.label,
            word(market.status),
            word(market.maker_fee_ppm),
            word(market.taker_fee_ppm),
            word(market.band_ppm),
            word(market.unwind_band_ppm),
            word(market.funding_terms),
            word(market.minimum_notional),
            word(market.previous_price),
            word(market.premium_ppb),
            word(market.open_interest),
            word(market.interest_lower),
            word(market.interest_upper),
            word(market.fund),
            word(market.turned_over),
            word(market.paid_out),
            word(market.changed_at),
            word(market.settling),
        ]
    pool: containers.Pool = globals.pool
    words += [word(value) for value in (pool.epoch, pool.older, pool.fresh, pool.receivable, pool.owed)]
    return b"".join(words)


def globals_hash(globals: containers.Globals) -> bytes32:
    """The hash of the canonical bytes of globals; PROTOCOL.md 4.6."""
    return keccak256(globals_bytes(globals))


def commitment_bytes(commitment: containers.Commitment) -> bytes:
    """The nine words whose hash is the state root, 288 bytes; PROTOCOL.md 4.7."""
    return (
        word(commitment.law_version)
        + commitment.tree_root
        + commitment.withdrawals_root
        + word(commitment.withdrawn_total)
        + word(commitment.queue_count)
        + word(commitment.queue_taken)
        + commitment.queue_hash
        + word(commitment.timestamp)
        + commitment.globals_hash
    )


def state_root(commitment: containers.Commitment) -> bytes32:
    """The hash of the commitment's nine words; PROTOCOL.md 4.7."""
    return keccak256(commitment_bytes(commitment))


def _signed(data: bytes, offset: int) -> int:
    """A signed number of one word; PROTOCOL.md 4.1."""
    return int.from_bytes(data[offset : offset + 32], "big", signed=True)


def globals_from_bytes(data: bytes) -> containers.Globals:
    """The inverse of `globals_bytes`; ValueError on bytes that are not canonical; PROTOCOL.md 4.6."""
    if len(data) != GLOBALS_BYTES:
        raise ValueError(f"globals are {GLOBALS_BYTES} bytes, not {len(data)}")
    head: list[int] = [_signed(data, 32 * i) for i in range(18)]
    cut: list[bytes] = [data[32 * i : 32 * i + 32] for i in range(GLOBALS_BYTES // 32)]
    columns: list[list[int]] = [[_signed(data, 32 * (58 + 16 * c + m)) for m in range(16)] for c in range(4)]
    rows: list[containers.Market] = [
        containers.Market(cut[139 + 18 * m], *[_signed(data, 32 * (139 + 18 * m + f)) for f in range(1, 18)])
        for m in range(16)
    ]
    owing = containers.Debts(_signed(data, 32 * 122), [_signed(data, 32 * (123 + i)) for i in range(16)])
    decoded = containers.Globals(
        next_account=head[0],
        market_count=head[1],
        quorum=head[2],
        tick_time=head[3],
        posting_fee=head[4],
        deposited_total=head[5],
        funding_dust=head[6],
        withdrawal_count=head[7],
        grace_period=head[8],
        grace_until=head[9],
        streak=head[10],
        head_account=head[11],
        head_market=head[12],
        head_lots=head[13],
        venue_changed_at=head[14],
        head_time=head[15],
        head_limit=head[16],
        tick_queued=head[17],
        operator=cut[18][12:],
        signers=[cut[19 + i][12:] for i in range(7)],
        frontier=cut[26:58],
        risk=containers.Risk(columns[0], columns[1], columns[2], columns[3], owing),
        markets=rows,
        pool=containers.Pool(*[_signed(data, 32 * (427 + i)) for i in range(5)]),
    )
    if globals_bytes(decoded) != data:
        raise ValueError("globals are not canonical")
    return decoded


def commitment_from_bytes(data: bytes) -> containers.Commitment:
    """The inverse of `commitment_bytes`; ValueError on any other length; PROTOCOL.md 4.7."""
    if len(data) != COMMITMENT_BYTES:
        raise ValueError(f"a commitment is {COMMITMENT_BYTES} bytes, not {len(data)}")
    return containers.Commitment(
        law_version=_signed(data, 0),
        tree_root=data[32:64],
        withdrawals_root=data[64:96],
        withdrawn_total=_signed(data, 96),
        queue_count=_signed(data, 128),
        queue_taken=_signed(data, 160),
        queue_hash=data[192:224],
        timestamp=_signed(data, 224),
        globals_hash=data[256:288],
    )


def account_payload_head(account: containers.Account) -> bytes:
    """An account before its positions, 150 bytes; PROTOCOL.md 11.2."""
    return b"".join(
        [
            account.owner,
            account.floor.to_bytes(7, "big"),
            (account.settled + COLLATERAL_BIAS).to_bytes(16, "big"),
            (account.older + COLLATERAL_BIAS).to_bytes(16, "big"),
            (account.fresh + COLLATERAL_BIAS).to_bytes(16, "big"),
            account.epoch.to_bytes(4, "big"),
            account.initial_ppm.to_bytes(3, "big"),
            account.agents[0].to_bytes(28, "big"),
            account.agents[1].to_bytes(28, "big"),
            account.factor.to_bytes(12, "big"),
        ]
    )


def account_payload(account: containers.Account) -> bytes:
    """An account in a witness or a store: its head 150, bitmap of positions 2, 32 a position; PROTOCOL.md 11.2."""
    held: int = 0
    words: list[bytes] = []
    for market, position in enumerate(account.positions):
        if position is not containers.EMPTY:
            held |= 1 << market
            words.append(position_word(position))
    return b"".join(
        [
            account_payload_head(account),
            held.to_bytes(2, "big"),
            *words,
        ]
    )


def account_from_payload(data: bytes) -> containers.Account:
    """The inverse of `account_payload`; ValueError where the length does not fit the bitmap; PROTOCOL.md 11.2."""
    held: int = int.from_bytes(data[150:152], "big")
    if len(data) != ACCOUNT_PAYLOAD_BYTES + 32 * held.bit_count():
        raise ValueError("account payload of a wrong length")
    positions: list[containers.Position] = [containers.EMPTY] * constants.MARKETS
    offset: int = ACCOUNT_PAYLOAD_BYTES
    for market in range(constants.MARKETS):
        if (held >> market) & 1 == 1:
            positions[market] = position_from_word(data[offset : offset + 32])
            offset += 32
    return containers.Account(
        owner=data[:20],
        floor=int.from_bytes(data[20:27], "big"),
        settled=int.from_bytes(data[27:43], "big") - COLLATERAL_BIAS,
        older=int.from_bytes(data[43:59], "big") - COLLATERAL_BIAS,
        fresh=int.from_bytes(data[59:75], "big") - COLLATERAL_BIAS,
        epoch=int.from_bytes(data[75:79], "big"),
        initial_ppm=int.from_bytes(data[79:82], "big"),
        agents=[int.from_bytes(data[82:110], "big"), int.from_bytes(data[110:138], "big")],
        positions=positions,
        factor=int.from_bytes(data[138:150], "big"),
    )


def slot_payload(slot: containers.Slot) -> bytes:
    """An order slot as a witness and a store carry it: sequence 7, filled 8; PROTOCOL.md 11.2."""
    return slot.sequence.to_bytes(7, "big") + slot.filled.to_bytes(8, "big")


def slot_from_payload(data: bytes) -> containers.Slot:
    """The inverse of `slot_payload`; PROTOCOL.md 11.2."""
    return containers.Slot(sequence=int.from_bytes(data[:7], "big"), filled=int.from_bytes(data[7:15], "big"))


def no_account() -> containers.Account:
    """The account that stands at an index nobody opened; PROTOCOL.md 4.3."""
    return containers.Account(
        owner=containers.NOBODY,
        floor=0,
        settled=0,
        older=0,
        fresh=0,
        epoch=0,
        initial_ppm=0,
        agents=[0] * constants.AGENTS,
        positions=[containers.EMPTY] * constants.MARKETS,
    )


def no_slot() -> containers.Slot:
    """The slot that no order has used; PROTOCOL.md 4.4."""
    return containers.Slot(sequence=0, filled=0)
