"""What a node knew of its L1 when it last heard of it: with that it comes up again while L1 is away."""

from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.client.values import Block
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import ArtifactError
from l1_bridge.files import keep_bound, read_bound
from sequencer.l1.postable import BridgeFacts

# Within the datadir.
KNOWN: Final = "known.msgpack"


class Known(msgspec.Struct, frozen=True):
    """The bridge's parameters as it answers them, for ether does not fit 64 bits, and what it said at the newest block.

    horizon_seconds: L1's time up to which every entry of the queue was read, None where that does not matter.
    """

    words: bytes
    block: Block
    bridge: BridgeFacts
    horizon_seconds: int | None

    @property
    def parameters(self) -> calls.Parameters:
        """What the bridge was deployed with."""
        return calls.decode_record(calls.Parameters, self.words)


def words_of(parameters: calls.Parameters) -> bytes:
    """The parameters as the bridge answers them."""
    words = (word if isinstance(word, bytes) else word.to_bytes(32, "big") for word in parameters.words())
    return b"".join(word.rjust(32, b"\x00") for word in words)


def read_known(directory: Path, domain: bytes) -> Known | None:
    """What the last run of this rollup kept; None where it kept nothing that can be read."""
    content = read_bound(directory / KNOWN, domain)
    try:
        found = None if content is None else msgspec.msgpack.decode(content, type=Known)
        return found if found is not None and found.parameters else None
    except (msgspec.DecodeError, ArtifactError):
        return None


def keep_known(directory: Path, domain: bytes, known: Known) -> None:
    """Kept for the next run."""
    keep_bound(directory / KNOWN, domain, msgspec.msgpack.encode(known))
