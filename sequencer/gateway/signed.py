"""Who signed an action, by Hyperliquid's rules: the hash of its bytes in a phantom agent, sources "a" and "b".

A signature of source "a" is valid on Hyperliquid itself: whoever sees it could use it there. So "b" alone is taken, and
a signer is a fresh key that owns nothing anywhere.
"""

import re
from typing import Any, Final

import msgpack
import msgspec

from l1_bridge.addresses import checksum_address
from l1_bridge.hashing import keccak
from prover.signing.recover import recover_fast
from sequencer.gateway.refusals import Refused

_DOMAIN: Final = keccak(
    keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak(b"Exchange")
    + keccak(b"1")
    + (1337).to_bytes(32, "big")
    + bytes(32)
)
_AGENT: Final = keccak(b"Agent(string source,bytes32 connectionId)")
TAKEN_SOURCE: Final = "b"
REFUSED_SOURCE: Final = "a"
# r and s come without leading zeros.
_WORD: Final = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_UINT64: Final = 2**64


class Signature(msgspec.Struct, frozen=True):
    """As it comes: r and s in hexadecimal digits."""

    r: str
    s: str
    v: int


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """What is posted to /exchange. The action keeps the order of its keys, which is signed."""

    action: dict[str, Any]
    nonce: int
    signature: Signature
    vault_address: str | None = None
    expires_after: int | None = None


def envelope(payload: object) -> Envelope:
    """A posted action; Refused where it is none."""
    try:
        read = msgspec.convert(payload, Envelope)
    except msgspec.ValidationError as error:
        raise Refused(f"Failed to deserialize the JSON body into the target type: {error}") from None
    if not isinstance(read.action.get("type"), str):
        raise Refused("Failed to deserialize the JSON body into the target type: an action has a type")
    if not 0 <= read.nonce < _UINT64 or not 0 <= (read.expires_after or 0) < _UINT64:
        raise Refused("nonce and expiresAfter are milliseconds since 1970")
    if not (_WORD.fullmatch(read.signature.r) and _WORD.fullmatch(read.signature.s)):
        raise Refused("r and s of a signature are 0x and at most 64 hexadecimal digits")
    if read.vault_address is not None and not _ADDRESS.fullmatch(read.vault_address):
        raise Refused("vaultAddress is 0x and 40 hexadecimal digits")
    return read


def connection_id(given: Envelope) -> bytes:
    """The hash of an action, its nonce, its vault and its expiry; Refused for what cannot be packed."""
    try:
        packed: bytes = msgpack.packb(given.action)
    except (ValueError, OverflowError, TypeError) as error:
        raise Refused(f"the action cannot be packed: {error}") from None
    data = packed + given.nonce.to_bytes(8, "big")
    data += b"\x00" if given.vault_address is None else b"\x01" + bytes.fromhex(given.vault_address[2:])
    if given.expires_after is not None:
        data += b"\x00" + given.expires_after.to_bytes(8, "big")
    return keccak(data)


def signer_of(given: Envelope, source: str) -> bytes:
    """Whose signature it is, were it of that source; twenty zero bytes where it is nobody's."""
    agent = keccak(_AGENT + keccak(source.encode()) + connection_id(given))
    digest = keccak(b"\x19\x01" + _DOMAIN + agent)
    signature = given.signature
    v = signature.v + 27 if signature.v in (0, 1) else signature.v
    return recover_fast(digest, v, int(signature.r, 16), int(signature.s, 16))


def unknown(given: Envelope, recovered: bytes) -> str:
    """What a program reads whose signature leads to nobody that is served."""
    return (
        f"User or API Wallet {checksum_address(recovered)} does not exist. That is the address to which this signature "
        f"recovers over the action's hash 0x{connection_id(given).hex()} with source {TAKEN_SOURCE}: where it is no "
        "address of yours, something else was signed than was sent; where it is, it is not registered with --signer."
    )


def mainnet(signer: bytes) -> str:
    """What a program reads that signs for Hyperliquid's mainnet."""
    return (
        f'This action of {checksum_address(signer)} is signed with source "{REFUSED_SOURCE}": it would be valid on '
        f'Hyperliquid\'s mainnet as well, for whoever sees it. Sign with source "{TAKEN_SOURCE}" (SDK: any base_url '
        "but the mainnet's; ccxt: options sandboxMode), and with a key that is used nowhere else."
    )
