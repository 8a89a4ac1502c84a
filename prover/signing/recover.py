"""Signature -> address by two independent libraries; both answer what L1's ecrecover answers, on every input."""

from typing import Final

from coincurve import PublicKey

from l1_bridge.hashing import keccak
from l1_bridge.recursion import recursion_limit_kept
from prover.stf.containers import NOBODY

CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def recover_fast(digest: bytes, v: int, r: int, s: int) -> bytes:
    """The signer by libsecp256k1; twenty zero bytes where there is none."""
    if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER and v in (27, 28)):
        return NOBODY
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v - 27])
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception:
        # libsecp256k1 says "no such point" by a bare Exception.
        return NOBODY
    return keccak(key.format(compressed=False)[1:])[12:]


def recover_slow(digest: bytes, v: int, r: int, s: int) -> bytes:
    """The signer by py-ecc, about 10 ms: the challenger's second opinion."""
    # Here and not above: who never doubts the other library does not wait for this one's pairing to be imported.
    with recursion_limit_kept():
        from py_ecc.secp256k1.secp256k1 import ecdsa_raw_recover

    if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER and v in (27, 28)):
        return NOBODY
    try:
        x, y = ecdsa_raw_recover(digest, (v, r, s))
    except ValueError:
        return NOBODY
    if (x, y) == (0, 0):
        return NOBODY
    return keccak(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:]
