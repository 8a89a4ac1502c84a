"""One signature worker: rows come in by stdin, addresses go out by stdout, until stdin ends.

piece     row count 2, big-endian | row | row | ...      row: digest 32 | compact signature 64 (EIP-2098)
answer    address 20 | address 20 | ...                  twenty zero bytes where nobody signed
"""

import os
import signal
import sys
from typing import Final

from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from l1_bridge.hashing import keccak

COUNT_LENGTH: Final = 2
ROW_LENGTH: Final = 96
ADDRESS_LENGTH: Final = 20

# Repeated here and held equal by a test: the law's modules are not worth loading for two constants.
_HALF_ORDER: Final = bytes.fromhex("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")
_NOBODY: Final = bytes(ADDRESS_LENGTH)

_UNCOMPRESSED: Final = 2
_POINT_LENGTH: Final = 65


class Recoverer:
    """What `signatures.recover` with `recover_fast` answers, without an object for each signature (a tenth faster)."""

    def __init__(self) -> None:
        self._signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        self._key = ffi.new("secp256k1_pubkey *")
        self._point = ffi.new("unsigned char[]", _POINT_LENGTH)
        self._point_length = ffi.new("size_t *", _POINT_LENGTH)
        self._point_bytes = ffi.buffer(self._point, _POINT_LENGTH)

    def recover(self, row: bytes) -> bytes:
        """The address that signed a row; twenty zero bytes where there is none."""
        parity = row[64] >> 7
        s = bytes([row[64] & 0x7F]) + row[65:]
        if s > _HALF_ORDER:
            return _NOBODY
        context = GLOBAL_CONTEXT.ctx
        # Zero and whatever reaches the curve's order are refused by these two themselves.
        if not lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
            context, self._signature, row[32:64] + s, parity
        ):
            return _NOBODY
        if not lib.secp256k1_ecdsa_recover(context, self._key, self._signature, row[:32]):
            return _NOBODY
        lib.secp256k1_ec_pubkey_serialize(context, self._point, self._point_length, self._key, _UNCOMPRESSED)
        return keccak(self._point_bytes[1:])[12:]

    def recover_all(self, rows: bytes) -> bytes:
        """The addresses of many rows, joined."""
        recover = self.recover
        return b"".join([recover(rows[at : at + ROW_LENGTH]) for at in range(0, len(rows), ROW_LENGTH)])


def main() -> None:
    """Answers pieces until stdin ends."""
    # Ctrl-C reaches the whole foreground group; the parent ends its workers itself, by closing their stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    recoverer = Recoverer()
    source = sys.stdin.buffer
    while head := source.read(COUNT_LENGTH):
        size = int.from_bytes(head, "big") * ROW_LENGTH
        rows = source.read(size)
        if len(rows) < size:
            return
        answer = memoryview(recoverer.recover_all(rows))
        while answer:
            answer = answer[os.write(1, answer) :]


if __name__ == "__main__":
    main()
