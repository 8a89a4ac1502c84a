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
from prover.state.store import Store
from prover.stf import constants, containers, encoding
from prover.stf.replay import is_entry
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


def voided_rows(
    old: Store, chunks: Iterable[tuple[int, Sequence[bytes]]], tail: Sequence[bytes], until_ms: int
) -> Iterator[tuple[bytes, bytes]]:
    """The rows of the new store that say what is void, with those of earlier times that readers may still look for.

    chunks: number and operations of each void chunk; tail: operations that are in no chunk. until_ms: when it ended.
    """
    found: dict[tuple[int, int, int, int], VoidedOperation] = {}
    for number, operations in (*chunks, (0, tail)):
        for operation in operations:
            _note(found, operation, number, until_ms)
    for _, value in old.iterate(ORDER_KEY):
        # What rests was acknowledged as well, long before the void chunks perhaps.
        _note(found, msgspec.msgpack.decode(value, type=OpenOrder).operation, 0, until_ms)
    kept = (msgspec.msgpack.decode(value, type=VoidedOperation) for _, value in old.iterate(VOID_KEY))
    everything = [*(one for one in kept if one.voided_at + _KEPT_MS > until_ms), *found.values()]
    for place, one in enumerate(everything):
        yield void_key(one.account, place), msgspec.msgpack.encode(one)


def life_rows(old: Store, chunk: int, until_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """The lives of orders as the new store keeps them: without what stood in chunks above one, which is void."""
    for prefix in (HEAD_KEY, RING_KEY, CLIENT_KEY):
        yield from old.iterate(prefix)
    for key, value in old.iterate(LIFE_KEY):
        life = msgspec.msgpack.decode(value, type=Life)
        yield key, msgspec.msgpack.encode(life) if voided(life, chunk, until_ms) else value


def _note(found: dict[tuple[int, int, int, int], VoidedOperation], operation: bytes, chunk: int, until_ms: int) -> None:
    """Notes an operation that somebody signed, once, with the first chunk in which it stood."""
    if not operation or is_entry(operation[0]) or is_soft(operation):
        return
    tag = operation[0]
    given: containers.Order | containers.Request
    if tag == constants.ORDER:
        given = encoding.order(word_at(operation, 1), word_at(operation, 32))
    elif tag in SIGNED_NAMES:
        given = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
    else:
        return
    voided = VoidedOperation(tag, given.account, given.slot, given.sequence, given.expires_at, chunk, until_ms)
    found.setdefault((tag, given.account, given.slot, given.sequence), voided)
