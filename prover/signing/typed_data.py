"""Operations as wallets show and sign them: EIP-712 typed data."""

from typing import Any, Final

from l1_bridge.codec.batch import BridgeId
from prover.stf import constants, containers

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
_MAXIMUM: Final = ("max_posting_fee", "max_posting_fee_micros", "uint24")
_TIMES: Final[_Fields] = [("created_at", "created_at_ms", "uint48"), ("expires_at", "expires_at_ms", "uint48")]
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
            _MAXIMUM,
        ],
    ),
    constants.WITHDRAW: (
        "Withdraw",
        [*_HEAD, *_TIMES, ("amount", "amount_micros", "uint64"), ("recipient", "recipient", "address"), _MAXIMUM],
    ),
    constants.TRANSFER: (
        "Transfer",
        [*_HEAD, *_TIMES, ("amount", "amount_micros", "uint64"), ("other", "to_account", "uint24"), _MAXIMUM],
    ),
    constants.CANCEL: ("Cancel", [*_HEAD, *_TIMES, _MAXIMUM]),
    constants.CANCEL_ALL: ("CancelAll", [_HEAD[0], _HEAD[2], *_TIMES, _MAXIMUM]),
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
            _MAXIMUM,
        ],
    ),
    constants.SET_LEVERAGE: ("SetLeverage", [*_HEAD, *_TIMES, ("amount", "initial_ppm", "uint24"), _MAXIMUM]),
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
