"""EIP-712 digests of what wallets and oracle signers sign, and who may act on an account when."""

from struct import Struct
from typing import Final

from prover.stf import codes, constants, containers, encoding
from prover.stf.words import Recover, abi_encode, address, bytes32, concat, int256, keccak256, uint256

ORDER_TYPE: Final = keccak256(
    b"Order(uint24 account,uint8 market,uint8 side,uint56 size_lots,uint48 limit_price_ticks,uint8 slot,"
    b"uint48 sequence,uint48 created_at_ms,uint48 expires_at_ms,uint8 time_in_force,bool post_only,"
    b"bool reduce_only,uint8 trigger,uint48 trigger_price_ticks,uint16 max_fee_ppm,"
    b"uint24 max_posting_fee_micros)"
)
WITHDRAW_TYPE: Final = keccak256(
    b"Withdraw(uint24 account,uint8 slot,uint48 sequence,uint48 created_at_ms,uint48 expires_at_ms,"
    b"uint64 amount_micros,address recipient,uint24 max_posting_fee_micros)"
)
TRANSFER_TYPE: Final = keccak256(
    b"Transfer(uint24 account,uint8 slot,uint48 sequence,uint48 created_at_ms,uint48 expires_at_ms,"
    b"uint64 amount_micros,uint24 to_account,uint24 max_posting_fee_micros)"
)
CANCEL_TYPE: Final = keccak256(
    b"Cancel(uint24 account,uint8 slot,uint48 sequence,uint48 created_at_ms,uint48 expires_at_ms,"
    b"uint24 max_posting_fee_micros)"
)
CANCEL_ALL_TYPE: Final = keccak256(
    b"CancelAll(uint24 account,uint48 sequence,uint48 created_at_ms,uint48 expires_at_ms,uint24 max_posting_fee_micros)"
)
SET_AGENT_TYPE: Final = keccak256(
    b"SetAgent(uint24 account,uint8 slot,uint48 sequence,uint48 created_at_ms,uint48 expires_at_ms,"
    b"uint8 agent_index,address agent,uint48 agent_expires_at_ms,uint8 first_slot,uint8 last_slot,"
    b"uint24 max_posting_fee_micros)"
)
SET_LEVERAGE_TYPE: Final = keccak256(
    b"SetLeverage(uint24 account,uint8 slot,uint48 sequence,uint48 created_at_ms,uint48 expires_at_ms,"
    b"uint24 initial_ppm,uint24 max_posting_fee_micros)"
)
TICK_TYPE: Final = keccak256(b"Tick(uint48 time_ms,uint48[16] prices_ticks,int32[16] premiums_ppb)")

ORDER_WORDS: Final = Struct(">32s" + "24xQ" * 16)

# Half of the order of secp256k1: a larger s is the malleable twin of a signature.
HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def digest(domain: bytes32, struct_hash: bytes32) -> bytes32:
    """What is signed: a struct in the rollup's domain; PROTOCOL.md 5.1."""
    return keccak256(concat(b"\x19\x01", domain, struct_hash))


def order_hash(order: containers.Order) -> bytes32:
    """The struct hash of an order; PROTOCOL.md 5.2."""
    # One pack of seventeen words: this digest stands on the sequencer's hot path.
    return keccak256(
        ORDER_WORDS.pack(
            ORDER_TYPE,
            order.account,
            order.market,
            order.side,
            order.size,
            order.limit_price,
            order.slot,
            order.sequence,
            order.created_at,
            order.expires_at,
            order.time_in_force,
            order.post_only,
            order.reduce_only,
            order.trigger,
            order.trigger_price,
            order.max_fee_ppm,
            order.max_posting_fee,
        )
    )


def request_hash(tag: int256, request: containers.Request) -> bytes32:
    """The struct hash of what is signed and no order; PROTOCOL.md 5.2."""
    head: bytes = abi_encode(request.account, request.slot, request.sequence, request.created_at, request.expires_at)
    if tag == constants.WITHDRAW:
        return keccak256(
            concat(WITHDRAW_TYPE, head, abi_encode(request.amount, request.recipient, request.max_posting_fee))
        )
    if tag == constants.TRANSFER:
        return keccak256(
            concat(TRANSFER_TYPE, head, abi_encode(request.amount, request.other, request.max_posting_fee))
        )
    if tag == constants.SET_AGENT:
        agent: bytes = abi_encode(
            request.other,
            request.recipient,
            request.amount,
            request.first_slot,
            request.last_slot,
            request.max_posting_fee,
        )
        return keccak256(concat(SET_AGENT_TYPE, head, agent))
    if tag == constants.SET_LEVERAGE:
        return keccak256(concat(SET_LEVERAGE_TYPE, head, abi_encode(request.amount, request.max_posting_fee)))
    if tag == constants.CANCEL:
        return keccak256(concat(CANCEL_TYPE, head, abi_encode(request.max_posting_fee)))
    return keccak256(
        abi_encode(
            CANCEL_ALL_TYPE,
            request.account,
            request.sequence,
            request.created_at,
            request.expires_at,
            request.max_posting_fee,
        )
    )


def tick_hash(time: int256, prices: list[int256], premiums: list[int256]) -> bytes32:
    """The struct hash of one signer's prices and premiums; PROTOCOL.md 5.2."""
    return keccak256(abi_encode(TICK_TYPE, time, keccak256(abi_encode(*prices)), keccak256(abi_encode(*premiums))))


def recover(digest: bytes32, r: uint256, parity_and_s: uint256, ecrecover: Recover) -> address:
    """Who signed a digest; nobody where the signature is none; PROTOCOL.md 5.3."""
    # EIP-2098: the parity of y stands in the highest bit of s, so v is 27 or 28 by construction.
    s: uint256 = parity_and_s & (2**255 - 1)
    if s > HALF_ORDER:
        return containers.NOBODY
    return ecrecover(digest, 27 + (parity_and_s >> 255), r, s)


def timely(sequence: int256, created_at: int256, expires_at: int256, lifetime: int256, now: int256) -> int256:
    """Whether something signed is valid now; PROTOCOL.md 6.5."""
    if created_at > now + constants.CLOCK_TOLERANCE:
        return codes.NOT_YET
    if expires_at < now:
        return codes.EXPIRED
    if expires_at > created_at + lifetime:
        return codes.LIFETIME
    # Invariant: nobody can sign a sequence so high that a slot is used up for ever.
    if sequence > created_at:
        return codes.SEQUENCE_AHEAD
    return codes.OK


def unused(sequence: int256, lowest: int256, next_sequence: int256) -> int256:
    """Whether a sequence is neither cancelled nor used; PROTOCOL.md 6.5."""
    if sequence < lowest:
        return codes.CANCELLED
    if sequence < next_sequence:
        return codes.USED
    return codes.OK


def owned(account: containers.Account, signer: address) -> int256:
    """Whether the owner signed; PROTOCOL.md 6.5."""
    if account.owner == containers.NOBODY:
        return codes.NO_ACCOUNT
    if signer != account.owner:
        return codes.BAD_SIGNATURE
    return codes.OK


def entrusted(account: containers.Account, signer: address, slot: int256, now: int256) -> int256:
    """Whether the owner signed, or an agent for this slot; PROTOCOL.md 6.5."""
    code: int256 = owned(account, signer)
    if code != codes.BAD_SIGNATURE or signer == containers.NOBODY:
        return code
    for i in range(constants.AGENTS):
        agent: uint256 = account.agents[i]
        if encoding.agent_address(agent) != signer:
            continue
        # Slot 0 stands for every slot: a grant that begins there covers cancel-all.
        if encoding.bits(agent, 8, 8) > slot or encoding.bits(agent, 0, 8) < slot or encoding.bits(agent, 16, 48) < now:
            code = codes.AGENT_LIMITS
            continue
        return codes.OK
    return code


def permitted(
    authority: int256,
    terms: containers.Terms,
    request: containers.Request,
    account: containers.Account,
    slot: containers.Slot,
) -> int256:
    """Whether a request is signed by whoever may, valid now, not used, and pays the posting fee; PROTOCOL.md 6.5."""
    if authority != codes.OK:
        return authority
    code: int256 = timely(
        request.sequence, request.created_at, request.expires_at, constants.REQUEST_LIFETIME, terms.clock.now
    )
    if code != codes.OK:
        return code
    code = unused(request.sequence, account.floor, slot.sequence)
    if code != codes.OK:
        return code
    if terms.posting_fee > request.max_posting_fee:
        return codes.FEE_ABOVE_MAXIMUM
    return codes.OK
