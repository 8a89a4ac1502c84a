"""Two libraries, one answer: what L1's ecrecover says of any signature."""

import subprocess
import sys

import pytest

from prover.signing import signatures
from prover.signing.recover import CURVE_ORDER, recover_fast, recover_slow
from prover.stf.containers import NOBODY

KEY = b"\x07" * 32
DIGEST = bytes(range(32))


def parts(signature: bytes) -> tuple[int, int, int]:
    r = int.from_bytes(signature[:32], "big")
    packed = int.from_bytes(signature[32:], "big")
    return 27 + (packed >> 255), r, packed & (2**255 - 1)


@pytest.mark.parametrize("recover", [recover_fast, recover_slow])
def test_the_signer_is_found(recover: object) -> None:
    v, r, s = parts(signatures.sign(KEY, DIGEST))
    assert recover(DIGEST, v, r, s) == signatures.address_of(KEY)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("v", "r", "s"),
    [
        (26, 1, 1),
        (29, 1, 1),
        (27, 0, 1),
        (27, 1, 0),
        (27, CURVE_ORDER, 1),
        (27, 1, CURVE_ORDER),
        (27, 5, 1),
        (28, CURVE_ORDER - 1, 7),
    ],
)
def test_what_is_no_signature_has_the_same_signer_in_both(v: int, r: int, s: int) -> None:
    assert recover_fast(DIGEST, v, r, s) == recover_slow(DIGEST, v, r, s)
    if v not in (27, 28) or not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER):
        assert recover_fast(DIGEST, v, r, s) == NOBODY


@pytest.mark.parametrize(
    "loading",
    [
        "import prover.signing.recover",
        "from l1_bridge.client.keys import Signer; Signer(bytes([1]) * 32).address",
        "import sequencer.wallet.keys, prover.signing.recover",
        "import sequencer.node.node, sequencer.demo.demo, sequencer.wallet.commands.wallet",
    ],
)
def test_a_deeply_nested_message_does_not_overflow_the_stack(loading: str) -> None:
    # Importing py-ecc raises the recursion limit; a parser of strangers' bytes relies on it.
    program = (
        "import sys; before = sys.getrecursionlimit()\n"
        f"{loading}; import msgspec\n"
        "assert sys.getrecursionlimit() == before, sys.getrecursionlimit()\n"
        "try: msgspec.json.decode(b'[' * 100_000)\n"
        "except (RecursionError, msgspec.DecodeError): print('refused')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended.stderr
