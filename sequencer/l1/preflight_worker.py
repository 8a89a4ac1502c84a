"""One pre-flight worker: chunks come in by stdin, the referee's word goes out by stdout, until stdin ends.

message   length 4, big-endian | msgpack of Asked        answer   length 4 | msgpack of Verdict
"""

import os
import signal
import sys
from typing import Final

import msgspec

from prover.contracts.referee import LocalReferee, RefereeRefused

LENGTH_BYTES: Final = 4


class Asked(msgspec.Struct, array_like=True):
    """What a referee replays."""

    domain: bytes
    pre_root: bytes
    body: bytes
    witness: bytes


class Verdict(msgspec.Struct, array_like=True):
    """The root that a chunk ends in by the referee; None where it refuses to say, and why."""

    root: bytes | None = None
    refusal: str = ""


def main() -> None:
    """Answers until stdin ends."""
    # Ctrl-C reaches the whole foreground group; the parent ends its workers itself, by closing their stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nobody waits for it but the next batch.
    os.nice(10)
    referee = LocalReferee()
    source = sys.stdin.buffer
    while head := source.read(LENGTH_BYTES):
        body = source.read(int.from_bytes(head, "big"))
        asked = msgspec.msgpack.decode(body, type=Asked)
        try:
            verdict = Verdict(referee.replay(asked.domain, asked.pre_root, asked.body, asked.witness))
        except RefereeRefused as error:
            verdict = Verdict(refusal=str(error))
        answer = msgspec.msgpack.encode(verdict)
        left = memoryview(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        while left:
            left = left[os.write(1, left) :]


if __name__ == "__main__":
    main()
