"""The state as L1 holds it: the tree that is sequenced, and the way back that the chunks behind L1 have kept.

A witness brings every row that its chunk has loaded, as it was before. So what is posted costs what is not posted yet,
however old the venue is.
"""

from collections.abc import Iterator
from typing import Self

from l1_bridge.hashing import ZERO_HASH
from prover.state import witness
from prover.state.state import leaf_hash
from prover.state.store import StoreUnavailable
from prover.state.tree import TreeError
from prover.stf import constants, encoding
from sequencer.engine.engine import Engine
from sequencer.engine.records import SealedChunk


class WayBackGone(Exception):
    """L1 holds less than the store can still go back to: the witnesses of what was final are let go of."""


class PostedState:
    """Tree and rows after the first `chunks` chunks. Membership is shown against what L1 holds, not what the node says.

    Invariant: a row that no chunk behind `chunks` and up to `seen` has written is the store's, once all that were
    sealed are seen.
    """

    def __init__(self, engine: Engine, chunks: int, behind: list[SealedChunk]) -> None:
        """behind: all that were sealed since, with their witnesses. StoreUnavailable where they lead elsewhere."""
        self._engine = engine
        self.chunks = chunks
        self.seen = engine.chunk_count
        # Of every row that was written behind `chunks`, and of those that `advance` has written: what it is here.
        self._rows: dict[int, bytes] = {}
        self._tree = engine.state.tree.copied(self._leaves_of)
        rows: dict[int, bytes] = {}
        for chunk in behind:
            _keep_earlier(rows, chunk)
        self._put(rows)
        began = encoding.commitment_from_bytes(behind[0].witness[: encoding.COMMITMENT_BYTES]) if behind else None
        if self.root != (began or engine.state.commitment).tree_root:
            raise StoreUnavailable(f"The witnesses behind chunk {chunks} do not lead back to its root.")

    @classmethod
    def at(cls, engine: Engine, chunks: int) -> Self:
        """What stood after so many chunks. WayBackGone, StoreUnavailable."""
        return cls(engine, chunks, [_behind(engine, number) for number in range(chunks + 1, engine.chunk_count + 1)])

    def reaches(self, chunks: int) -> bool:
        """Whether this is the nearest place from which to come to `chunks`: no more lies between than was seen."""
        return self.chunks <= chunks <= self.seen

    def advance(self, chunks: int) -> None:
        """Sees what was sealed since, and goes on to the state after so many chunks. WayBackGone, StoreUnavailable."""
        for number in range(self.seen + 1, self._engine.chunk_count + 1):
            _keep_earlier(self._rows, _behind(self._engine, number))
            self.seen = number
        for number in range(self.chunks + 1, chunks + 1):
            record = self._engine.chunk_record(number)
            assert record is not None, "a posted chunk is kept"
            self._put(dict(record.leaves))
            self.chunks = number

    @property
    def root(self) -> bytes:
        """The tree's root."""
        return self._tree.root

    def path(self, leaf: int) -> list[bytes]:
        """The 32 siblings from a leaf up to below the root. StoreUnavailable where its account's rows are others."""
        try:
            return self._tree.path(leaf)
        except (TreeError, ValueError) as error:
            raise StoreUnavailable(f"The store is not the state of its root: {error}.") from None

    def payload(self, leaf: int) -> bytes:
        """The row at a leaf as it is hashed; nothing where there is none."""
        held = self._rows.get(leaf)
        if held is None:
            held = self._engine.state.payload(leaf)
        return held if held and leaf_hash(leaf, held) != ZERO_HASH else b""

    def _put(self, rows: dict[int, bytes]) -> None:
        try:
            self._tree.update({leaf: leaf_hash(leaf, payload) for leaf, payload in rows.items()})
        except (TreeError, ValueError) as error:
            raise StoreUnavailable(f"The store is not the state of its root: {error}.") from None
        # Behind the tree, which asks for an account's leaves as they stood.
        self._rows.update(rows)

    def _leaves_of(self, account: int) -> Iterator[tuple[int, bytes]]:
        """The leaves of an account that the tree knows by its node alone."""
        first = account << constants.SLOT_BITS
        for leaf in range(first, first + (1 << constants.SLOT_BITS)):
            payload = self.payload(leaf)
            if payload:
                yield leaf, leaf_hash(leaf, payload)


def _keep_earlier(rows: dict[int, bytes], chunk: SealedChunk) -> None:
    """Adds what a chunk has written over, unless an earlier one has."""
    before = witness.rows(chunk.witness)
    for leaf, _ in chunk.leaves:
        rows.setdefault(leaf, before[leaf])


def _behind(engine: Engine, number: int) -> SealedChunk:
    """A chunk with its witness."""
    chunk = engine.chunk_begun(number)
    if chunk is None or not chunk.witness:
        raise WayBackGone(f"the witness of chunk {number} is gone")
    return chunk
