"""What was acknowledged, and turned out badly for the operator, is left out of what is posted: nothing proves it wrong.

No receipt binds a trade, so all that stands is that nobody is told "posted" of what is not, and for how long it can be.
"""

from typing import Any

import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.contracts.artifact import bridge_artifact
from prover.contracts.referee import RefereeRefused
from prover.stf import codes, constants, encoding
from sequencer.engine.engine import Engine
from sequencer.engine.records import SealedChunk
from sequencer.schema.answers import AccountProof
from sequencer.schema.values import as_hex
from sequencer.wallet.errors import BadProof
from sequencer.wallet.trust import ProvenAccount, prove_account
from tests.sequencer.node_world import BTC, BUY, DOMAIN, FIRST, PRICES, SELL, World, check_chunks, referee
from tests.sequencer.wallet.test_typed_data import VENUE

PRICE = PRICES[BTC]
RISE = 20_000
LOTS = 1_000
OPERATOR, TRADER = FIRST, FIRST + 1


def sequenced(is_honest: bool) -> World:
    """The operator sells to a trader, who is told so, and then the price rises; a dropping one leaves the trade out."""
    world = World(2)
    world.order(0, SELL, PRICE, LOTS)
    world.seal()
    if is_honest:
        taken = world.order(1, BUY, PRICE, LOTS)
        assert (taken.code, taken.filled) == (codes.OK, LOTS)
    world.tick((PRICE + RISE, *PRICES[1:]))
    world.seal()
    return world


@pytest.fixture(scope="module")
def told() -> World:
    """What was acknowledged."""
    return sequenced(is_honest=True)


@pytest.fixture(scope="module")
def posted() -> World:
    """What comes to L1."""
    return sequenced(is_honest=False)


def worth(engine: Engine, account: int) -> int:
    """Collateral, and the only position at the oracle price; micro-dollars."""
    row = engine.account(account)
    held = encoding.unpack(row.positions[BTC])
    return row.settled + row.older + row.fresh + held.size * engine.globals.risk.price[BTC] - held.cost


def proof_of(engine: Engine, account: int, batch: int) -> AccountProof:
    """What a node says of an account: true in the state that it has."""
    data = encoding.commitment_bytes(engine.state.commitment)
    return AccountProof(
        batch=batch,
        leaf=as_hex(encoding.account_payload(engine.account(account))),
        path=[as_hex(sibling) for sibling in engine.state.tree.path(account << constants.SLOT_BITS)],
        commitment=[as_hex(data[at : at + 32]) for at in range(0, len(data), 32)],
    )


class L1(L1Client):
    """A bridge whose newest batch ends in one root."""

    def __init__(self, root: bytes) -> None:
        super().__init__("http://l1")
        self._root = root

    async def eth_call(self, to: bytes, data: bytes, *arguments: Any, **given: Any) -> bytes:
        assert data == bridge_artifact().encode_call("record", 1)
        return (1).to_bytes(32, "big") + bytes(32) + self._root + bytes(4 * 32)


async def seen(l1: L1, engine: Engine) -> ProvenAccount:
    """What the trader's wallet makes of the node's proof."""
    return await prove_account(l1, VENUE, TRADER, proof_of(engine, TRADER, 1))


def test_off_who_takes_the_answer_for_the_trade_loses_what_it_has_won(told: World, posted: World) -> None:
    # Both histories follow the law: of the one that is posted nothing can be proven.
    for world in (told, posted):
        check_chunks(world.store, world.engine)
    gained = worth(told.engine, TRADER) - worth(posted.engine, TRADER)
    kept = worth(posted.engine, OPERATOR) - worth(told.engine, OPERATOR)
    assert gained > LOTS * RISE * 9 // 10
    assert kept > LOTS * RISE


@pytest.mark.trio
async def test_on_posted_is_said_by_a_proof_alone(told: World, posted: World) -> None:
    l1 = L1(posted.engine.state.root)
    assert encoding.unpack(told.engine.account(TRADER).positions[BTC]).size == LOTS
    # The state in which the trade stands opens no root on L1.
    with pytest.raises(BadProof, match="does not open the root of batch 1"):
        await seen(l1, told.engine)
    # What does shows that there is no position.
    found = await seen(l1, posted.engine)
    assert encoding.unpack(found.account.positions[BTC]).size == 0
    # Once the trade is posted, the same proof shows it.
    found = await seen(L1(told.engine.state.root), told.engine)
    assert encoding.unpack(found.account.positions[BTC]).size == LOTS


def test_on_what_is_posted_is_dropped_by_nobody(told: World, posted: World) -> None:
    """Behind the trade, the chunk that forgets it is no chunk: its witness opens another state."""
    with_trade, without = told.sealed[-1], posted.sealed[-1]
    assert (with_trade.pre_root, with_trade.post_root != without.post_root) == (without.pre_root, True)
    assert replays(with_trade, with_trade.pre_root)
    assert replays(without, without.pre_root)
    assert not replays(without, with_trade.post_root)


def replays(chunk: SealedChunk, pre_root: bytes) -> bool:
    """Whether the shipped bytecode takes a chunk from a root to the one that is claimed for it."""
    try:
        return referee().replay(DOMAIN, pre_root, chunk.body, chunk.witness) == chunk.post_root
    except RefereeRefused:
        return False
