"""The tree at a posted root, so that membership is shown against what L1 holds and not what the node says."""

from collections.abc import Iterable

from prover.state.state import genesis_commitment, leaf_hash
from prover.state.tree import StateTree


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
        written = dict(leaves)
        self.payloads.update(written)
        self.tree.update({leaf: leaf_hash(leaf, payload) for leaf, payload in written.items()})
