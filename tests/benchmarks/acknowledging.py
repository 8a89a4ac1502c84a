"""What it costs to promise: a group's tree and signature, and a path for each answer.

python -m tests.benchmarks.acknowledging        microseconds an answer, in groups of several sizes
"""

import time

from prover.signing.receipts import Acknowledgement
from prover.signing.signatures import sign
from prover.stf import constants
from sequencer.sequencing.acknowledging import Group

_SIZES = (1, 10, 100, 256)
_RUNS = 30


def microseconds(size: int) -> float:
    """Of one answer, the best of some runs."""
    best = float("inf")
    for _ in range(_RUNS):
        members = [Acknowledgement(constants.ORDER, 17, 3, 1_000 + at, 5, 2_000) for at in range(size)]
        began = time.perf_counter()
        group = Group(members)
        group.signature(bytes(32), lambda digest: sign(b"\x07" * 32, digest))
        for place in range(size):
            group.path(place)
        best = min(best, time.perf_counter() - began)
    return best * 1e6 / size


if __name__ == "__main__":
    for size in _SIZES:
        print(f"{size:>4} in a group: {microseconds(size):.1f} us an answer")
