"""Between the socket and the law an order is built, encoded and hashed once."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from prover.signing import operations
from prover.signing import signatures as signing
from prover.stf import encoding
from prover.stf import signatures as law
from prover.stf.replay import Chunk
from tests.sequencer.desk import RELEASED, Desk, submitted
from tests.sequencer.node_world import BTC, BUY, DOLLAR, FIRST, PRICES, SELL, START, deposit, order, owner, tick


def counted(counts: Counter[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its calls counted."""

    def counting(*arguments: Any, **named: Any) -> Any:
        counts[name] += 1
        return function(*arguments, **named)

    return counting


@pytest.mark.trio
async def test_one_order_is_decoded_encoded_and_hashed_once(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    await nursery.start(desk.venue.run)
    for index in range(2):
        await desk.venue.submit(deposit(owner(index), 10_000 * DOLLAR))
    await desk.venue.submit(tick(START))
    counts: Counter[str] = Counter()
    for module, name in (
        (encoding, "order"),
        (operations, "order_bytes"),
        (law, "order_hash"),
        (law, "digest"),
        (signing, "signed_digest"),
    ):
        monkeypatch.setattr(module, name, counted(counts, name, getattr(module, name)))
    monkeypatch.setattr(Chunk, "admit", counted(counts, "admit", Chunk.admit))
    sells = submitted(order(desk.clock.now, FIRST, SELL, PRICES[BTC]), 0)
    buys = submitted(order(desk.clock.now, FIRST + 1, BUY, PRICES[BTC]), 1)
    counts.clear()
    for given in (sells, buys):
        answer = await desk.methods.operations.order(given, RELEASED)
    assert answer.status == "filled"
    # Both stand in a chunk, which the law has taken them into: from what the edge had made of them. The
    # other two digests are of the groups that acknowledge them.
    assert counts == {"order_bytes": 2, "order_hash": 2, "digest": 4, "admit": 2}
