"""An order admitted decoded and verified is the same to a chunk as its bytes."""

import pytest

from prover.signing.recover import recover_fast
from prover.stf import codes
from prover.stf.replay import Chunk
from tests.sequencer.node_world import BTC, BUY, FIRST, PRICES, World, key, order, owner, signed_order


def left(chunk: Chunk) -> list[object]:
    """Everything that an order changes."""
    references = chunk.weight, chunk.account_references, chunk.slot_references
    return [
        chunk.operation_codes,
        chunk.orders,
        chunk.order_index,
        chunk.lookups,
        chunk.accounts,
        chunk.slots,
        references,
    ]


@pytest.mark.parametrize(
    ("trader", "changes", "code"),
    [
        (0, {}, codes.OK),
        (1, {}, codes.BAD_SIGNATURE),
        (0, {"size": 1}, codes.TOO_SMALL),
        (0, {"market": 9}, codes.NO_MARKET),
        (0, {"slot": 0}, codes.NOT_CANONICAL),
        (0, {"expires_at": 1, "created_at": 0}, codes.EXPIRED),
    ],
)
def test_admitted_decoded_as_from_its_bytes(trader: int, changes: dict[str, int], code: int) -> None:
    world = World(2)
    world.seal()
    given = order(world.now, FIRST, BUY, PRICES[BTC], **changes)
    chunks = [world.engine.state.chunk(recover_fast) for _ in range(2)]
    for chunk in chunks:
        chunk.open(world.now)
    by_bytes, decoded = chunks
    assert by_bytes.apply(signed_order(given, key(trader))) == code
    assert decoded.admit(given, owner(trader)) == code
    assert left(decoded) == left(by_bytes)


def test_a_full_chunk_admits_nothing() -> None:
    world = World(1)
    world.seal()
    chunks = [world.engine.state.chunk(recover_fast) for _ in range(2)]
    by_bytes, decoded = chunks
    for slot in range(1, 60):
        given = order(world.now, FIRST, BUY, PRICES[BTC], slot=slot)
        assert by_bytes.apply(signed_order(given, key(0))) == decoded.admit(given, owner(0))
    assert decoded.operation_codes[-1] == codes.FULL
    assert left(decoded) == left(by_bytes)
