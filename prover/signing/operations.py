"""Operations as wallets sign them and batches carry them: canonical bytes, EIP-712 typed data, signatures."""

from struct import Struct
from typing import Any, Final

from coincurve import PrivateKey

from l1_bridge.codec.batch import BridgeId
from l1_bridge.hashing import keccak
from prover.stf import constants, containers, encoding, signatures
from prover.stf.words import word_at

DOMAIN_NAME: Final = "Catenary"
DOMAIN_VERSION: Final = "1"

_DOMAIN_FIELDS: Final = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]

# Name of the signed struct, then (container field, signed name, signed type) in signing order.
_Fields = list[tuple[str, str, str]]
_HEAD: Final[_Fields] = [
    ("account", "account", "uint24"),
    ("slot", "slot", "uint8"),
    ("sequence", "sequence", "uint48"),
]
_TIMES: Final[_Fields] = [("created_at", "created_at_ms", "uint48"), ("expires_at", "expires_at_ms", "uint48")]
# What the API and the wallet call the signed operations.
TAG_OF_KIND: Final = {
    "order": constants.ORDER,
    "withdraw": constants.WITHDRAW,
    "transfer": constants.TRANSFER,
    "cancel": constants.CANCEL,
    "cancel_all": constants.CANCEL_ALL,
    "set_agent": constants.SET_AGENT,
    "set_leverage": constants.SET_LEVERAGE,
}
# What the API and the wallet call the entries of the L1 queue.
ENTRY_NAMES: Final = {
    constants.DEPOSIT: "deposit",
    constants.FORCED_RESCUE: "forced_rescue",
    constants.FORCED_WITHDRAW: "forced_withdraw",
    constants.FORCED_CLOSE: "forced_close",
    constants.LEAVE: "leave",
    constants.FORCED_AGENT: "forced_agent",
    constants.FORCED_TICK: "forced_tick",
    constants.SET_MARKET: "set_market",
    constants.SET_VENUE: "set_venue",
}
# All of a position, whatever becomes of it until then: the law cuts lots to its size.
ALL_LOTS: Final = constants.SIZE_BOUND - 1
SIGNED: Final[dict[int, tuple[str, _Fields]]] = {
    constants.ORDER: (
        "Order",
        [
            ("account", "account", "uint24"),
            ("market", "market", "uint8"),
            ("side", "side", "uint8"),
            ("size", "size_lots", "uint56"),
            ("limit_price", "limit_price_ticks", "uint48"),
            ("slot", "slot", "uint8"),
            ("sequence", "sequence", "uint48"),
            *_TIMES,
            ("time_in_force", "time_in_force", "uint8"),
            ("post_only", "post_only", "bool"),
            ("reduce_only", "reduce_only", "bool"),
            ("trigger", "trigger", "uint8"),
            ("trigger_price", "trigger_price_ticks", "uint48"),
            ("max_fee_ppm", "max_fee_ppm", "uint16"),
            ("max_posting_fee", "max_posting_fee_micros", "uint24"),
        ],
    ),
    constants.WITHDRAW: (
        "Withdraw",
        [*_HEAD, *_TIMES, ("amount", "amount_micros", "uint64"), ("recipient", "recipient", "address")],
    ),
    constants.TRANSFER: (
        "Transfer",
        [*_HEAD, *_TIMES, ("amount", "amount_micros", "uint64"), ("other", "to_account", "uint24")],
    ),
    constants.CANCEL: ("Cancel", [*_HEAD, *_TIMES]),
    constants.CANCEL_ALL: ("CancelAll", [_HEAD[0], _HEAD[2], *_TIMES]),
    constants.SET_AGENT: (
        "SetAgent",
        [
            *_HEAD,
            *_TIMES,
            ("other", "agent_index", "uint8"),
            ("recipient", "agent", "address"),
            ("amount", "agent_expires_at_ms", "uint48"),
            ("first_slot", "first_slot", "uint8"),
            ("last_slot", "last_slot", "uint8"),
        ],
    ),
    constants.SET_LEVERAGE: ("SetLeverage", [*_HEAD, *_TIMES, ("amount", "initial_ppm", "uint24")]),
}


def domain_separator(chain_id: int, bridge: bytes) -> bytes:
    """EIP-712 domain separator of one deployment, as its bridge fixed it for ever."""
    return BridgeId(chain_id, bridge).domain_separator()


def signed_fields(tag: int, message: containers.Order | containers.Request) -> dict[str, Any]:
    """The fields of an operation under their signed names; addresses are bytes."""
    fields: dict[str, Any] = {}
    for field, name, kind in SIGNED[tag][1]:
        value = getattr(message, field)
        fields[name] = bool(value) if kind == "bool" else value
    return fields


def typed_data(
    tag: int, message: containers.Order | containers.Request, chain_id: int, bridge: bytes
) -> dict[str, Any]:
    """What eth_signTypedData_v4 signs for an operation: an object ready for any wallet."""
    name, fields = SIGNED[tag]
    values = {
        signed_name: "0x" + value.hex() if isinstance(value, bytes) else value
        for signed_name, value in signed_fields(tag, message).items()
    }
    return {
        "types": {
            "EIP712Domain": _DOMAIN_FIELDS,
            name: [{"name": signed_name, "type": kind} for _, signed_name, kind in fields],
        },
        "primaryType": name,
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": "0x" + bridge.hex(),
        },
        "message": values,
    }


def order_digest(domain: bytes, order: containers.Order) -> bytes:
    """The 32 bytes that an order's owner signs."""
    return signatures.digest(domain, signatures.order_hash(order))


def request_digest(domain: bytes, tag: int, request: containers.Request) -> bytes:
    """The 32 bytes that an account's owner signs for a request."""
    return signatures.digest(domain, signatures.request_hash(tag, request))


# An order's fields as they stand in its bytes, and as seventeen words of what is signed: nothing is decoded between.
_ORDER_BYTES: Final = Struct(">x3sBBB7s6s6s6s6s6s2s3s")
_ORDER_WORDS: Final = Struct(">32s29x3s31xB31xB25x7s26x6s31xB26x6s26x6s26x6s31xB31xB31xB31xB26x6s30x2s29x3s")


def _order_struct_hash(operation: bytes) -> bytes:
    """`signatures.order_hash` of an order in its bytes."""
    account, market, flags, slot, size, price, sequence, created, expires, trigger_price, fee, posting = (
        _ORDER_BYTES.unpack_from(operation)
    )
    return keccak(
        _ORDER_WORDS.pack(
            signatures.ORDER_TYPE,
            account,
            market,
            flags & 1,
            size,
            price,
            slot,
            sequence,
            created,
            expires,
            flags >> 1 & 3,
            flags >> 3 & 1,
            flags >> 4 & 1,
            flags >> 5 & 3,
            trigger_price,
            fee,
            posting,
        )
    )


def signed_digest(domain: bytes, operation: bytes) -> bytes:
    """The 32 bytes that were signed for a whole operation with one signer, from its bytes."""
    tag = operation[0]
    if tag == constants.ORDER:
        struct_hash = _order_struct_hash(operation)
    else:
        request = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
        struct_hash = signatures.request_hash(tag, request)
    return signatures.digest(domain, struct_hash)


def tick_digest(domain: bytes, time: int, prices: list[int], premiums: list[int]) -> bytes:
    """The 32 bytes that an oracle signer signs; both lists have sixteen entries, zero where there is no market."""
    return signatures.digest(domain, signatures.tick_hash(time, prices, premiums))


def sign(private_key: bytes, digest: bytes) -> bytes:
    """64-byte compact signature (EIP-2098), low s."""
    return compact(PrivateKey(private_key).sign_recoverable(digest, hasher=None))


def compact(signature: bytes) -> bytes:
    """r, s, v (65 bytes, v in {0, 1, 27, 28}) or an already compact signature -> 64 bytes; ValueError on others.

    A high s cannot be written compactly, so it is refused here with the same words as by the law.
    """
    if len(signature) == 64:
        return signature
    if len(signature) != 65 or signature[64] not in (0, 1, 27, 28):
        raise ValueError("a signature is 64 bytes (EIP-2098) or 65 bytes with v in {0, 1, 27, 28}")
    s = int.from_bytes(signature[32:64], "big")
    if s > signatures.HALF_ORDER:
        raise ValueError("s is above half of the curve's order: the malleable twin of a signature")
    parity = signature[64] % 27 if signature[64] >= 27 else signature[64]
    return signature[:32] + (s | parity << 255).to_bytes(32, "big")


def address_of(private_key: bytes) -> bytes:
    """The 20-byte address of a private key."""
    return keccak(PrivateKey(private_key).public_key.format(compressed=False)[1:])[12:]


def order_bytes(order: containers.Order, signature: bytes) -> bytes:
    """113 bytes: tag, order word (48), compact signature."""
    flags = (
        order.side
        | order.time_in_force << 1
        | order.post_only << 3
        | order.reduce_only << 4
        | order.trigger << 5
        | order.unused << 7
    )
    return b"".join(
        [
            bytes([constants.ORDER]),
            order.account.to_bytes(3, "big"),
            bytes([order.market, flags, order.slot]),
            order.size.to_bytes(7, "big"),
            order.limit_price.to_bytes(6, "big"),
            order.sequence.to_bytes(6, "big"),
            order.created_at.to_bytes(6, "big"),
            order.expires_at.to_bytes(6, "big"),
            order.trigger_price.to_bytes(6, "big"),
            order.max_fee_ppm.to_bytes(2, "big"),
            order.max_posting_fee.to_bytes(3, "big"),
            signature,
        ]
    )


def request_bytes(tag: int, request: containers.Request, signature: bytes) -> bytes:
    """A request's bytes: tag, fields, compact signature; their lengths are constants of the law."""
    tail = b""
    if tag == constants.WITHDRAW:
        tail = request.amount.to_bytes(8, "big") + request.recipient
    elif tag == constants.TRANSFER:
        tail = request.amount.to_bytes(8, "big") + request.other.to_bytes(3, "big")
    elif tag == constants.SET_AGENT:
        tail = b"".join(
            [
                request.amount.to_bytes(6, "big"),
                bytes([request.first_slot, request.last_slot]),
                request.recipient,
                bytes([request.other]),
            ]
        )
    elif tag == constants.SET_LEVERAGE:
        tail = request.amount.to_bytes(3, "big")
    return b"".join(
        [
            bytes([tag]),
            request.account.to_bytes(3, "big"),
            bytes([request.slot]),
            request.sequence.to_bytes(6, "big"),
            request.created_at.to_bytes(6, "big"),
            request.expires_at.to_bytes(6, "big"),
            tail,
            signature,
        ]
    )


def deposit_bytes(deposit: containers.Deposit) -> bytes:
    """52 bytes: tag, depositor, owner, account, amount; the same bytes stand in the L1 queue."""
    return b"".join(
        [
            bytes([constants.DEPOSIT]),
            deposit.depositor,
            deposit.owner,
            deposit.account.to_bytes(3, "big"),
            deposit.amount.to_bytes(8, "big"),
        ]
    )


def fill_bytes(maker: int, taker: int, size: int) -> bytes:
    """10 bytes: tag, the two orders' places in the chunk, lots."""
    return bytes([constants.FILL, maker, taker]) + size.to_bytes(7, "big")


def rescue_bytes(tag: int, move: containers.Rescue) -> bytes:
    """A liquidation, take-over or step of a close (12 bytes), deleveraging (15) or unwinding (9), as in a chunk."""
    lots = move.lots.to_bytes(7, "big")
    first = move.maker if tag in (constants.LIQUIDATE, constants.UNWIND) else move.market
    if tag == constants.UNWIND:
        return bytes([tag, first]) + lots
    if tag == constants.CLOSE_STEP:
        return bytes([tag, first]) + move.other.to_bytes(3, "big") + lots
    other = move.other.to_bytes(3, "big") if tag == constants.DELEVERAGE else b""
    return bytes([tag, first]) + move.account.to_bytes(3, "big") + lots + other


def entry_bytes(tag: int, sender: bytes, time: int, payload: bytes) -> bytes:
    """An entry of the L1 queue as the bridge writes it: tag, sender 20, its block's time in ms 6, length 2, payload."""
    return b"".join([bytes([tag]), sender, time.to_bytes(6, "big"), len(payload).to_bytes(2, "big"), payload])


def entry_payload(tag: int, entry: containers.Entry) -> bytes:
    """What the sender of a forced withdrawal (11 bytes), close (11), leave (3) or grant (32) writes."""
    account = entry.account.to_bytes(3, "big")
    if tag == constants.LEAVE:
        return account
    if tag == constants.FORCED_WITHDRAW:
        return account + entry.amount.to_bytes(8, "big")
    if tag == constants.FORCED_CLOSE:
        return account + bytes([entry.market]) + entry.amount.to_bytes(7, "big")
    return b"".join(
        [
            account,
            bytes([entry.agent_index]),
            entry.agent,
            entry.expires_at.to_bytes(6, "big"),
            bytes([entry.first_slot, entry.last_slot]),
        ]
    )


def forced_rescue_payload(market: int, account: int, lots: int) -> bytes:
    """11 bytes: whom the insurance account is to rescue, and of how many lots at most."""
    return bytes([market]) + account.to_bytes(3, "big") + lots.to_bytes(7, "big")


def market_payload(given: containers.Parameters) -> bytes:
    """86 bytes: what the governor would have of a market; OverflowError for what no field can hold."""
    fractions = (
        given.initial_ppm,
        given.maintenance_ppm,
        given.maker_fee_ppm,
        given.taker_fee_ppm,
        given.band_ppm,
        given.funding_cap_ppm,
    )
    return b"".join(
        [
            bytes([given.market, given.status]),
            given.label,
            *(fraction.to_bytes(3, "big") for fraction in fractions),
            given.minimum_notional.to_bytes(8, "big"),
            given.interest_lower.to_bytes(13, "big"),
            given.interest_upper.to_bytes(13, "big"),
        ]
    )


def market_parameters(payload: bytes) -> containers.Parameters:
    """What 86 bytes of `market_payload` say; ValueError for another length."""
    if len(payload) != constants.SET_MARKET_LENGTH:
        raise ValueError(f"parameters of a market are {constants.SET_MARKET_LENGTH} bytes, these are {len(payload)}")
    fractions = [int.from_bytes(payload[at : at + 3], "big") for at in range(34, 52, 3)]
    bounds = [int.from_bytes(payload[at:end], "big") for at, end in ((52, 60), (60, 73), (73, 86))]
    return containers.Parameters(payload[0], payload[1], payload[2:34], *fractions, *bounds)


def venue_parameters(payload: bytes) -> containers.VenueParameters:
    """What 27 bytes of `venue_payload` say; ValueError for another length."""
    if len(payload) != constants.SET_VENUE_LENGTH:
        raise ValueError(f"parameters of a venue are {constants.SET_VENUE_LENGTH} bytes, these are {len(payload)}")
    numbers = int.from_bytes(payload[:3], "big"), int.from_bytes(payload[3:6], "big")
    return containers.VenueParameters(*numbers, payload[6], payload[7:])


def venue_payload(given: containers.VenueParameters) -> bytes:
    """27 bytes: what the governor would have of the venue."""
    return b"".join(
        [
            given.posting_fee.to_bytes(3, "big"),
            given.grace_period.to_bytes(3, "big"),
            bytes([given.signer_index]),
            given.signer,
        ]
    )


def tick_bytes(time: int, market_count: int, reports: list[tuple[int, list[int], list[int], bytes]]) -> bytes:
    """A tick from (signer index, prices, premiums, compact signature), signers strictly increasing."""
    parts = [bytes([constants.TICK]), time.to_bytes(6, "big"), bytes([len(reports), market_count])]
    for index, prices, premiums, signature in reports:
        parts.append(bytes([index]))
        for market in range(market_count):
            parts.append(prices[market].to_bytes(6, "big"))
            parts.append((premiums[market] + (1 << 23)).to_bytes(3, "big"))
        parts.append(signature)
    return b"".join(parts)
