# pragma version 0.4.3
"""
@title Encoding
@license MIT
@notice Bytes to containers and containers to hashes; layouts in PROTOCOL.md. Fields are cut from whole words,
        so that reading them costs a shift and a mask and no length can run past the operation.
"""

from prover.stf import constants
from prover.stf import containers

SIZE_BIAS: constant(int256) = 2**63
COST_BIAS: constant(int256) = 2**111
FUNDING_BIAS: constant(int256) = 2**79
PREMIUM_BIAS: constant(int256) = 2**31
COST_MASK: constant(uint256) = 2**112 - 1
FUNDING_MASK: constant(uint256) = 2**80 - 1

# keccak256 of the 26 zero words of an account that does not exist.
EMPTY_ACCOUNT: constant(bytes32) = 0x0f7a6db47eb8d2e04d65d498d8b486f86775766269241e0b5467dc9c9b361f09


@internal
@pure
def bits(packed: uint256, low: uint256, width: uint256) -> int256:
    """So many bits of a word, from this one up; PROTOCOL.md 6.1."""
    return convert((packed >> low) & ~(max_value(uint256) << width), int256)


@internal
@pure
def to_address(packed: uint256) -> address:
    """The address in the first twenty bytes of a word; PROTOCOL.md 6.1."""
    return convert(convert(packed >> 96, uint160), address)


@internal
@pure
def agent_address(agent: uint256) -> address:
    """Whom an agent word trusts; PROTOCOL.md 4.3."""
    return self.to_address(agent << 32)


@internal
@pure
def agent_word(agent: address, expires_at: int256, first_slot: int256, last_slot: int256) -> uint256:
    """An agent with its expiry and its slots in one word; PROTOCOL.md 4.3."""
    return (convert(agent, uint256) << 64) | convert((expires_at << 16) | (first_slot << 8) | last_slot, uint256)


@internal
@pure
def unpack(word: uint256) -> containers.Position:
    """Size, cost and funding index of a position; PROTOCOL.md 4.5."""
    if word == containers.EMPTY:
        return containers.Position(size=0, cost=0, funding=0)
    return containers.Position(
        size=unsafe_sub(convert(word >> 192, int256), SIZE_BIAS),
        cost=unsafe_sub(convert((word >> 80) & COST_MASK, int256), COST_BIAS),
        funding=unsafe_sub(convert(word & FUNDING_MASK, int256), FUNDING_BIAS),
    )


@internal
@pure
def pack(size: int256, cost: int256, funding: int256) -> uint256:
    """A position as an account holds it: none where the size is zero; PROTOCOL.md 4.5."""
    if size == 0:
        return containers.EMPTY
    return (
        (convert(size + SIZE_BIAS, uint256) << 192)
        | (convert(cost + COST_BIAS, uint256) << 80)
        | convert(funding + FUNDING_BIAS, uint256)
    )


@internal
@pure
def order(head: uint256, tail: uint256) -> containers.Order:
    """The fields of an order; PROTOCOL.md 8.7."""
    return containers.Order(
        account=self.bits(head, 232, 24),
        market=self.bits(head, 224, 8),
        side=self.bits(head, 216, 1),
        size=self.bits(head, 152, 56),
        limit_price=self.bits(head, 104, 48),
        slot=self.bits(head, 208, 8),
        sequence=self.bits(head, 56, 48),
        created_at=self.bits(head, 8, 48),
        expires_at=self.bits(tail, 208, 48),
        time_in_force=self.bits(head, 217, 2),
        post_only=self.bits(head, 219, 1),
        reduce_only=self.bits(head, 220, 1),
        trigger=self.bits(head, 221, 2),
        trigger_price=self.bits(tail, 160, 48),
        max_fee_ppm=self.bits(tail, 144, 16),
        max_posting_fee=self.bits(tail, 120, 24),
        unused=self.bits(head, 223, 1),
    )


@internal
@pure
def request(tag: int256, head: uint256, tail: uint256) -> containers.Request:
    """The fields of what is signed and no order, zero where it has none; PROTOCOL.md 8.2 to 8.5, 8.9, 8.10."""
    amount: int256 = 0
    other: int256 = 0
    recipient: address = containers.NOBODY
    first_slot: int256 = 0
    last_slot: int256 = 0
    # The three bytes before the signature.
    max_posting_fee: int256 = self.bits(head, 56, 24)
    if tag == constants.WITHDRAW:
        amount = self.bits(head, 16, 64)
        recipient = self.to_address(tail)
        max_posting_fee = self.bits(tail, 72, 24)
    if tag == constants.TRANSFER:
        amount = self.bits(head, 16, 64)
        other = self.bits(tail, 232, 24)
        max_posting_fee = self.bits(tail, 208, 24)
    if tag == constants.SET_AGENT:
        amount = self.bits(head, 32, 48)
        first_slot = self.bits(head, 24, 8)
        last_slot = self.bits(head, 16, 8)
        recipient = self.to_address(tail)
        other = self.bits(tail, 88, 8)
        max_posting_fee = self.bits(tail, 64, 24)
    if tag == constants.SET_LEVERAGE:
        amount = self.bits(head, 56, 24)
        max_posting_fee = self.bits(head, 32, 24)
    return containers.Request(
        account=self.bits(head, 232, 24),
        slot=self.bits(head, 224, 8),
        sequence=self.bits(head, 176, 48),
        created_at=self.bits(head, 128, 48),
        expires_at=self.bits(head, 80, 48),
        amount=amount,
        other=other,
        recipient=recipient,
        first_slot=first_slot,
        last_slot=last_slot,
        max_posting_fee=max_posting_fee,
    )


@internal
@pure
def deposit(head: uint256, tail: uint256) -> containers.Deposit:
    """The fields of a deposit; PROTOCOL.md 8.1."""
    return containers.Deposit(
        depositor=self.to_address(head),
        owner=self.to_address(tail),
        account=self.bits(tail, 72, 24),
        amount=self.bits(tail, 8, 64),
    )


@internal
@pure
def rescue(tag: int256, head: uint256) -> containers.Rescue:
    """The fields of a rescue or a close step, zero where it has none; PROTOCOL.md 8.11 to 8.16."""
    account: int256 = 0
    other: int256 = 0
    lots: int256 = self.bits(head, 192, 56)
    if tag != constants.UNWIND:
        account = self.bits(head, 224, 24)
        lots = self.bits(head, 168, 56)
    if tag == constants.DELEVERAGE:
        other = self.bits(head, 144, 24)
    if tag == constants.CLOSE_STEP:
        other = account
        account = 0
    return containers.Rescue(
        maker=self.bits(head, 248, 8),
        market=self.bits(head, 248, 8),
        account=account,
        other=other,
        lots=lots,
    )


@internal
@pure
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
        amount = self.bits(tail, 168, 64)
    if tag == constants.LEAVE:
        amount = constants.EVERYTHING
    if tag == constants.FORCED_CLOSE:
        market = self.bits(tail, 224, 8)
        amount = self.bits(tail, 168, 56)
        limit = self.bits(tail, 120, 48)
    if tag == constants.FORCED_AGENT:
        agent_index = self.bits(tail, 224, 8)
        agent = self.to_address(tail << 32)
        expires_at = self.bits(tail, 16, 48)
        first_slot = self.bits(tail, 8, 8)
        last_slot = self.bits(tail, 0, 8)
    return containers.Entry(
        sender=self.to_address(head),
        time=self.entry_time(head),
        account=self.bits(tail, 232, 24),
        market=market,
        amount=amount,
        limit=limit,
        agent=agent,
        agent_index=agent_index,
        expires_at=expires_at,
        first_slot=first_slot,
        last_slot=last_slot,
    )


@internal
@pure
def entry_time(head: uint256) -> int256:
    """When L1 took an entry, ms; PROTOCOL.md 4.9."""
    return self.bits(head, 48, 48)


@internal
@pure
def entry_length(head: uint256) -> int256:
    """Bytes of an entry's payload; PROTOCOL.md 4.9."""
    return self.bits(head, 32, 16)


@internal
@pure
def parameters(tail: uint256, label: bytes32, fractions: uint256, bounds: uint256) -> containers.Parameters:
    """What a market would be by the governor's entry; PROTOCOL.md 8.22."""
    return containers.Parameters(
        market=self.bits(tail, 248, 8),
        status=self.bits(tail, 240, 8),
        label=label,
        initial_ppm=self.bits(fractions, 232, 24),
        maintenance_ppm=self.bits(fractions, 208, 24),
        maker_fee_ppm=self.bits(fractions, 192, 16),
        taker_fee_ppm=self.bits(fractions, 176, 16),
        band_ppm=self.bits(fractions, 152, 24),
        unwind_band_ppm=self.bits(fractions, 136, 16),
        funding_cap_ppb=self.bits(fractions, 104, 32),
        funding_interest_ppb=self.bits(fractions, 72, 32) - PREMIUM_BIAS,
        funding_damping_ppb=self.bits(fractions, 40, 32),
        minimum_notional=self.bits(fractions, 0, 40),
        price=self.bits(bounds, 208, 48),
        interest_lower=self.bits(bounds, 104, 104),
        interest_upper=self.bits(bounds, 0, 104),
    )


@internal
@pure
def funding_terms(cap_ppb: int256, interest_ppb: int256, damping_ppb: int256) -> uint256:
    """A market's terms of funding in one word; PROTOCOL.md 4.6."""
    return convert((cap_ppb << 64) | ((interest_ppb + PREMIUM_BIAS) << 32) | damping_ppb, uint256)


@internal
@pure
def funding_cap(terms: uint256) -> int256:
    """The most that funding comes to, ppb an hour; PROTOCOL.md 4.6."""
    return self.bits(terms, 64, 32)


@internal
@pure
def funding_interest(terms: uint256) -> int256:
    """What funding tends to, ppb an hour; PROTOCOL.md 4.6."""
    return self.bits(terms, 32, 32) - PREMIUM_BIAS


@internal
@pure
def funding_damping(terms: uint256) -> int256:
    """How far a premium is moved towards that, ppb an hour; PROTOCOL.md 4.6."""
    return self.bits(terms, 0, 32)


@internal
@pure
def size_decimals(label: bytes32) -> int256:
    """The last byte of a market's label; PROTOCOL.md 4.6."""
    return convert(convert(label, uint256) & 255, int256)


@internal
@pure
def venue_parameters(tail: uint256) -> containers.VenueParameters:
    """What the venue would be by the governor's entry; PROTOCOL.md 8.23."""
    return containers.VenueParameters(
        posting_fee=self.bits(tail, 232, 24),
        grace_period=self.bits(tail, 208, 24),
        signer_index=self.bits(tail, 200, 8),
        signer=self.to_address(tail << 56),
    )


@internal
@pure
def premium(packed: uint256) -> int256:
    """A signer's premium of one market, ppb an hour; PROTOCOL.md 8.6."""
    return self.bits(packed, 176, 32) - PREMIUM_BIAS


@internal
@pure
def account_hash(account: containers.Account) -> bytes32:
    """The leaf of an account; PROTOCOL.md 4.3."""
    # Invariant: emptiness is decided by the whole hash, never by one zero field.
    digest: bytes32 = keccak256(abi_encode(account))
    if digest == EMPTY_ACCOUNT:
        return containers.NO_HASH
    return digest


@internal
@pure
def slot_hash(slot: containers.Slot) -> bytes32:
    """The leaf of an order slot; PROTOCOL.md 4.4."""
    if slot.sequence == 0 and slot.filled == 0:
        return containers.NO_HASH
    return keccak256(abi_encode((convert(slot.sequence, uint256) << 64) | convert(slot.filled, uint256)))


@internal
@pure
def withdrawal_hash(index: int256, recipient: address, amount: int256) -> bytes32:
    """A leaf of the withdrawals tree; PROTOCOL.md 4.8."""
    return keccak256(abi_encode(constants.WITHDRAWAL_TAG, index, recipient, amount))


@internal
@pure
def globals_hash(globals: containers.Globals) -> bytes32:
    """The hash of the canonical bytes of globals; PROTOCOL.md 4.6."""
    return keccak256(abi_encode(globals))


@internal
@pure
def state_root(commitment: containers.Commitment) -> bytes32:
    """The hash of the commitment's nine words; PROTOCOL.md 4.7."""
    return keccak256(abi_encode(commitment))
