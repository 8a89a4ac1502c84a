"""The tree at a posted root, so that membership is shown against what L1 holds and not what the node says."""

from collections.abc import Iterable

from prover.state.state import genesis_commitment
from prover.state.tree import StateTree
from prover.stf import encoding


class PostedState:
    """Tree and leaves after the first `chunks` chunks."""

    def __init__(self, genesis: bytes) -> None:
        _, leaves = genesis_commitment(genesis)
        self.tree = StateTree()
        self.payloads: dict[int, bytes] = {}
        self.chunks = 0
        self._put(leaves)

    def advance(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        """Applies the rows that one chunk wrote."""
        self._put(leaves)
        self.chunks += 1

    def _put(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        hashes: dict[int, bytes] = {}
        for leaf, payload in leaves:
            self.payloads[leaf] = payload
            if leaf & 255 == 0:
                hashes[leaf] = encoding.account_hash(encoding.account_from_payload(payload))
            else:
                hashes[leaf] = encoding.slot_hash(encoding.slot_from_payload(payload))
        self.tree.update(hashes)
