"""Keys that sign L1 transactions, the well-known ones of every devnet among them."""

from collections.abc import Callable
from typing import Any, Final, Protocol, Self

import msgspec

from l1_bridge.hashing import keccak
from l1_bridge.recursion import recursion_limit_kept

# The chain of anvil, hardhat and the embedded L1: nobody's money.
DEVELOPMENT_CHAIN_ID: Final = 31_337
# The first ten accounts of "test test test test test test test test test test test junk": known to everyone, for
# devnets only.
DEVELOPMENT_KEYS = tuple(
    bytes.fromhex(key)
    for key in (
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
        "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
        "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
        "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
        "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
    )
)


# EIP-1559, by JSON-RPC field names in the order of the signed list; the access list follows, empty here.
_SIGNED_FIELDS: Final = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data")
_EIP_1559: Final = b"\x02"


class TransactionSigner(Protocol):
    """Whoever signs L1 transactions for one address."""

    @property
    def address(self) -> bytes:
        """20 bytes."""

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[bytes, bytes]:
        """(raw bytes, hash) of an EIP-1559 transaction given by its JSON-RPC field names."""


class DigestSigner:
    """Signs L1 transactions by a key that it never sees: `sign` makes a compact signature (EIP-2098) of 32 bytes."""

    def __init__(self, address: bytes, sign: Callable[[bytes], bytes]) -> None:
        self._address = address
        self._sign = sign

    @property
    def address(self) -> bytes:
        """20 bytes."""
        return self._address

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[bytes, bytes]:
        """(raw bytes, hash) of an EIP-1559 transaction without access list, given by its JSON-RPC field names."""
        assert not transaction.get("accessList"), "no caller has one"
        items = [_rlp(transaction.get(name, b"")) for name in _SIGNED_FIELDS] + [_rlp_list([])]
        compact = self._sign(keccak(_EIP_1559 + _rlp_list(items)))
        parity_and_s = int.from_bytes(compact[32:], "big")
        signature = (parity_and_s >> 255, int.from_bytes(compact[:32], "big"), parity_and_s & (1 << 255) - 1)
        raw = _EIP_1559 + _rlp_list([*items, *map(_rlp, signature)])
        return raw, keccak(raw)


def signed_by(transaction: dict[str, Any], signature: tuple[int, int, int]) -> tuple[bytes, bytes]:
    """(address, hash) of who signed an EIP-1559 transaction without access list, by (parity, r, s); ValueError."""
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    items = [_rlp(transaction[name]) for name in _SIGNED_FIELDS] + [_rlp_list([])]
    try:
        key = Signature(vrs=signature).recover_public_key_from_msg_hash(keccak(_EIP_1559 + _rlp_list(items)))
    except (BadSignature, ValidationError) as error:
        raise ValueError(f"not a signature: {error}") from None
    return bytes(key.to_canonical_address()), keccak(_EIP_1559 + _rlp_list([*items, *map(_rlp, signature)]))


def _rlp(value: bytes | int) -> bytes:
    item = value.to_bytes((value.bit_length() + 7) // 8, "big") if isinstance(value, int) else value
    return item if len(item) == 1 and item[0] < 0x80 else _rlp_prefix(0x80, len(item)) + item


def _rlp_list(items: list[bytes]) -> bytes:
    content = b"".join(items)
    return _rlp_prefix(0xC0, len(content)) + content


def _rlp_prefix(base: int, size: int) -> bytes:
    if size < 56:
        return bytes([base + size])
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(length)]) + length


class Signer:
    """A private key in memory; signs L1 transactions, and what else its owner signs."""

    def __init__(self, private_key: bytes) -> None:
        """Raises ValueError when the 32 bytes are no key."""
        from eth_keys.datatypes import PrivateKey
        from eth_utils.exceptions import ValidationError

        try:
            key = PrivateKey(private_key)
            self._address = bytes(key.public_key.to_canonical_address())
        except (ValidationError, ValueError):
            raise ValueError("not a private key: 32 bytes between 1 and the order of secp256k1 are needed") from None
        self._private_key = private_key

    @classmethod
    def from_keystore(cls, keystore: str | bytes, password: str) -> Self:
        """From Keystore V3 JSON; takes about a second of CPU; ValueError for a wrong password or file."""
        from l1_bridge.client.keystore import decrypt

        try:
            content = msgspec.json.decode(keystore, type=dict[str, Any])
            signer = cls(decrypt(content, password))
        except (ValueError, msgspec.DecodeError) as error:
            raise ValueError(f"the keystore cannot be opened: {error}") from None
        # The address in the file is not covered by the password: whoever changed it wants something sent there.
        if str(content.get("address", signer.address.hex())).removeprefix("0x").lower() != signer.address.hex():
            raise ValueError("the keystore names another address than that of its key")
        return signer

    @property
    def address(self) -> bytes:
        """20 bytes."""
        return self._address

    def sign(self, digest: bytes) -> bytes:
        """64-byte compact signature (EIP-2098) of 32 bytes."""
        from eth_keys.datatypes import PrivateKey

        signature = PrivateKey(self._private_key).sign_msg_hash(digest)
        return bytes(signature.r.to_bytes(32, "big") + (signature.v << 255 | signature.s).to_bytes(32, "big"))

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[bytes, bytes]:
        """(raw bytes, hash) of an EIP-1559 transaction given by its JSON-RPC field names."""
        with recursion_limit_kept():
            from eth_account import Account

        signed = Account.sign_transaction(transaction, self._private_key)
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def __repr__(self) -> str:
        return f"Signer(0x{self._address.hex()})"


def development_key(index: int) -> Signer:
    """Signer 0..9 of the well-known development mnemonic."""
    if not 0 <= index < len(DEVELOPMENT_KEYS):
        raise ValueError(f"development keys have the numbers 0 to {len(DEVELOPMENT_KEYS) - 1}")
    return Signer(DEVELOPMENT_KEYS[index])
