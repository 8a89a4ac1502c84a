"""What a re-sequencing makes void of that which was signed, by owner: each is told what is gone and what to send again.

An order's bytes are known as taken until they expire, filled or not: it has to be signed anew. Any other request was
never kept but in a chunk: where that is void, the same bytes are good until they expire. A soft cancel is not among
them: what it took out stays out.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from prover.signing.operations import SIGNED_NAMES
from prover.signing.receipts import is_soft
from prover.signing.signed import recovered
from prover.state.state import State
from prover.state.store import Store
from prover.stf import codes, constants, containers, encoding
from prover.stf.replay import is_entry
from prover.stf.signatures import entrusted
from prover.stf.words import word_at
from sequencer.engine.life.lives import Life, voided
from sequencer.engine.records import (
    CLIENT_KEY,
    HEAD_KEY,
    LIFE_KEY,
    ORDER_KEY,
    RING_KEY,
    VOID_KEY,
    OpenOrder,
    VoidedOperation,
    void_key,
)

# Readers find it for so long.
_KEPT_MS: Final = 7 * 24 * constants.HOUR

# Of what somebody signed: tag, account, slot and sequence.
Name = tuple[int, int, int, int]


def voided_rows(
    old: Store, chunks: Iterable[tuple[int, Sequence[bytes]]], tail: Sequence[bytes], until_ms: int
) -> Iterator[tuple[bytes, bytes]]:
    """The rows of the new store that say what is void, with those of earlier times that readers may still look for.

    chunks: number and operations of each void chunk; tail: operations that are in no chunk. until_ms: when it ended.
    """
    void = Void()
    for number, operations in (*chunks, (0, tail)):
        for operation in operations:
            void.note(operation, number, until_ms)
    for _, value in old.iterate(ORDER_KEY):
        # What rests was acknowledged as well, long before the void chunks perhaps.
        void.note(msgspec.msgpack.decode(value, type=OpenOrder).operation, 0, until_ms)
    kept = (msgspec.msgpack.decode(value, type=VoidedOperation) for _, value in old.iterate(VOID_KEY))
    yield from void.rows(until_ms, kept)


def life_rows(old: Store, chunk: int, until_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """The lives of orders as the new store keeps them: without what stood in chunks above one, which is void."""
    for prefix in (HEAD_KEY, RING_KEY, CLIENT_KEY):
        yield from old.iterate(prefix)
    for key, value in old.iterate(LIFE_KEY):
        life = msgspec.msgpack.decode(value, type=Life)
        yield key, msgspec.msgpack.encode(life) if voided(life, chunk, until_ms) else value


class Void:
    """Operations that somebody signed and that are void, each once, with the first chunk in which it stood."""

    def __init__(self) -> None:
        self._found: dict[Name, tuple[VoidedOperation, bytes]] = {}

    def note(self, operation: bytes, chunk: int, until_ms: int) -> None:
        """It stood in a chunk that is void, 0 for in none; until_ms: when that ended."""
        if (given := _signed(operation)) is not None:
            tag = operation[0]
            void = VoidedOperation(tag, given.account, given.slot, given.sequence, given.expires_at, chunk, until_ms)
            self._found.setdefault((tag, given.account, given.slot, given.sequence), (void, operation))

    def stands(self, operation: bytes) -> None:
        """It has come again, in a chunk that is not void."""
        if (name := name_of(operation)) is not None:
            self._found.pop(name, None)

    def require_signers(self, state: State) -> None:
        """Lets go of what neither the owner has signed, by this state, nor an agent: a liar writes what he likes."""
        for name, (void, operation) in list(self._found.items()):
            signer = recovered(state.domain, operation)
            if entrusted(state.account(void.account), signer, void.slot, void.voided_at) != codes.OK:
                del self._found[name]

    def rows(self, now_ms: int, kept: Iterable[VoidedOperation] = ()) -> Iterator[tuple[bytes, bytes]]:
        """What readers may still look for, with what was kept of earlier times."""
        everything = (*kept, *(void for void, _ in self._found.values()))
        for place, one in enumerate(one for one in everything if one.voided_at + _KEPT_MS > now_ms):
            yield void_key(one.account, place), msgspec.msgpack.encode(one)


def _signed(operation: bytes) -> containers.Order | containers.Request | None:
    """What an operation says that is some owner's own."""
    if not operation or is_entry(operation[0]) or is_soft(operation):
        return None
    if operation[0] == constants.ORDER:
        return encoding.order(word_at(operation, 1), word_at(operation, 32))
    if operation[0] in SIGNED_NAMES:
        return encoding.request(operation[0], word_at(operation, 1), word_at(operation, 31))
    return None


def name_of(operation: bytes) -> Name | None:
    """What tells an operation that is some owner's own from every other one."""
    given = _signed(operation)
    return None if given is None else (operation[0], given.account, given.slot, given.sequence)
