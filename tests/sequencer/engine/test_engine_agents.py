"""Agents in the venue: what they may send, and what becomes of their orders once nobody trusts them any more."""

import pytest

from prover.stf import codes, constants
from sequencer.engine.engine import Engine
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOMAIN,
    FIRST,
    LOTS,
    PRICES,
    RECIPIENT,
    SELL,
    START,
    World,
    key,
    request,
    signed_request,
)

PRICE = PRICES[BTC]
AGENT, OTHER_AGENT = 50, 51


def agent_request(world: World, tag: int, trader: int, agent: int = AGENT, **changes: int) -> int:
    """The code of a request for a trader's account that an agent signed."""
    given = request(world.now, FIRST + trader, **changes)
    return world.process(signed_request(tag, given, key(agent))).code


def test_an_agent_s_order_rests_is_filled_and_takes() -> None:
    world = World(3)
    assert world.agent_order(AGENT, 0, SELL, PRICE).code == codes.BAD_SIGNATURE
    assert world.grant(0, AGENT).code == codes.OK
    assert world.agent_order(AGENT, 0, SELL, PRICE).status == "resting"
    # A grant of one account says nothing of another's.
    assert world.agent_order(AGENT, 1, SELL, PRICE).code == codes.BAD_SIGNATURE
    world.seal()
    taken = world.order(1, BUY, PRICE, 400)
    assert [(fill.maker, fill.size) for fill in taken.fills] == [(FIRST, 400)]
    world.order(2, BUY, PRICE - 10, 300)
    assert world.agent_order(AGENT, 0, SELL, PRICE - 10, 300, slot=2).status == "filled"
    assert (world.position(0), world.resting()) == (-700, [(0, 1, 600)])
    world.check(flush_every=1)


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_dismissed_agent_s_orders_leave_and_the_owner_s_stay(is_sealed: bool) -> None:
    world = World(3)
    world.grant(0, AGENT)
    world.grant(0, OTHER_AGENT, index=1, slot=251)
    armed = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 500}
    world.agent_order(AGENT, 0, SELL, PRICE)
    world.order(0, SELL, PRICE + 10, slot=2)
    world.agent_order(OTHER_AGENT, 0, SELL, PRICE + 20, slot=3)
    assert world.agent_order(AGENT, 0, SELL, PRICE - 600, slot=4, **armed).status == "armed"
    # A part is filled first: the open chunk then holds the agent's order, and the law would go on filling it.
    assert world.order(1, BUY, PRICE, 300).filled == 300
    if is_sealed:
        world.seal()
    world.now += 1
    gone = world.dismiss(0)
    assert (gone.code, gone.markets) == (codes.OK, {BTC})
    assert (world.resting(), world.waiting()) == ([(0, 2, LOTS), (0, 3, LOTS)], [])
    taken = world.order(1, BUY, PRICE + 20, 2 * LOTS, slot=2)
    assert [fill.size for fill in taken.fills] == [LOTS, LOTS]
    assert world.agent_order(AGENT, 0, SELL, PRICE, slot=5).code == codes.BAD_SIGNATURE
    world.tick((PRICE - 600, *PRICES[1:]))
    assert world.position(0) == -300 - 2 * LOTS
    world.check(flush_every=1)


def test_an_agent_who_is_put_in_the_other_s_place_and_one_whose_grant_is_renewed() -> None:
    world = World(2)
    world.grant(0, AGENT)
    world.grant(0, OTHER_AGENT, index=1, slot=251)
    world.agent_order(AGENT, 0, SELL, PRICE, slot=1)
    world.agent_order(OTHER_AGENT, 0, SELL, PRICE, slot=2)
    world.now += 1
    # Renewed: nothing leaves.
    assert world.grant(0, AGENT, amount=world.now + 2 * constants.HOUR).markets == set()
    # Narrowed to slots that its order is not in: that one leaves.
    assert world.grant(0, OTHER_AGENT, index=1, slot=251, first_slot=3).markets == {BTC}
    assert world.resting() == [(0, 1, LOTS)]
    # Replaced.
    world.now += 1
    world.grant(0, OTHER_AGENT)
    assert world.resting() == []
    world.check()


def test_an_order_whose_grant_ran_out_leaves_at_its_next_match() -> None:
    world = World(3)
    world.grant(0, AGENT, amount=START + 3_000)
    world.agent_order(AGENT, 0, SELL, PRICE)
    world.order(1, SELL, PRICE)
    world.seal()
    # To the last millisecond of the grant it is as good as any.
    world.now = START + 3_000
    assert [fill.maker for fill in world.order(2, BUY, PRICE, 300).fills] == [FIRST]
    world.seal()
    world.now += 1
    reopened = Engine(BufferedStore(world.store), DOMAIN)
    assert [order.account for order, _ in reopened.books[BTC].resting()] == [FIRST, FIRST + 1]
    taken = world.order(2, BUY, PRICE, 300, slot=2)
    assert [fill.maker for fill in taken.fills] == [FIRST + 1]
    assert (taken.status, world.resting()) == ("filled", [(1, 1, LOTS - 300)])
    assert world.agent_order(AGENT, 0, SELL, PRICE, slot=2).code == codes.AGENT_LIMITS
    # The one before it has left; where nobody else stands there, the taker's order rests.
    world.grant(0, OTHER_AGENT, amount=world.now + 100, created_at=world.now)
    world.agent_order(OTHER_AGENT, 0, BUY, PRICE - 50, slot=3)
    world.seal()
    world.now += 101
    alone = world.order(2, SELL, PRICE - 50, slot=3)
    assert (alone.status, alone.fills) == ("resting", [])
    world.check(flush_every=1)


def test_a_trigger_whose_agent_s_grant_ran_out_fires_into_nothing() -> None:
    world = World(3)
    world.grant(0, AGENT, amount=START + 3_000)
    world.grant(1, AGENT)
    fires = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 100}
    for trader in (0, 1):
        assert world.agent_order(AGENT, trader, BUY, PRICE + 200, **fires).status == "armed"
    world.order(2, SELL, PRICE + 200, 3 * LOTS)
    world.seal()
    ticked = world.tick((PRICE + 100, *PRICES[1:]))
    assert [(fill.taker, fill.size) for fill in ticked.fills] == [(FIRST + 1, LOTS)]
    assert (world.waiting(), world.resting()) == ([], [(2, 1, 2 * LOTS)])
    assert world.position(0) == 0
    world.check()


def test_a_grant_that_runs_out_between_two_chunks_of_one_match() -> None:
    """The first chunk's clock stands before the end of the grant, the second one's after it."""
    world = World(60)
    world.grant(59, AGENT, amount=START + 500)
    for trader in range(50):
        world.order(trader, SELL, PRICE + trader, 100)
    assert world.engine.open_operations
    assert world.engine.view.commitment.timestamp == START
    world.now += 900
    before = world.engine.chunk_count
    taken = world.agent_order(AGENT, 59, BUY, PRICE + 100, 5_000)
    assert world.engine.chunk_count > before
    assert 0 < taken.filled < 5_000
    assert (taken.status, taken.refusal) == ("expired", "AGENT_LIMITS")
    assert len(world.resting()) == 50 - len(taken.fills)
    # The makers are not at fault: they serve the next one.
    assert world.order(58, BUY, PRICE + 100, 5_000 - taken.filled).status == "filled"
    world.check(flush_every=1)


def test_an_agent_cancels_within_its_slots_and_takes_no_money() -> None:
    world = World(2)
    world.grant(0, AGENT, first_slot=0, last_slot=9)
    world.grant(0, OTHER_AGENT, index=1, slot=251, first_slot=5, last_slot=9)
    world.order(0, SELL, PRICE, slot=4)
    world.order(0, SELL, PRICE, slot=5)
    world.order(0, SELL, PRICE, slot=10)
    assert agent_request(world, constants.CANCEL, 0, slot=10) == codes.AGENT_LIMITS
    assert agent_request(world, constants.CANCEL, 0, OTHER_AGENT, slot=4) == codes.AGENT_LIMITS
    assert len(world.resting()) == 3
    assert agent_request(world, constants.CANCEL, 0, slot=4) == codes.OK
    assert agent_request(world, constants.CANCEL, 0, OTHER_AGENT, slot=5) == codes.OK
    assert world.resting() == [(0, 10, LOTS)]
    # Cancel-all is in slot 0 and reaches every slot: only a range that begins there covers it.
    assert agent_request(world, constants.CANCEL_ALL, 0, OTHER_AGENT, slot=0) == codes.AGENT_LIMITS
    assert agent_request(world, constants.CANCEL_ALL, 0, slot=0) == codes.OK
    assert world.resting() == []
    world.now += 1
    for tag, fields in (
        (constants.WITHDRAW, {"amount": 1, "recipient": RECIPIENT}),
        (constants.TRANSFER, {"amount": 1, "other": FIRST + 1}),
        (constants.SET_LEVERAGE, {"amount": 100_000}),
        (constants.SET_AGENT, {"amount": START + constants.HOUR, "recipient": RECIPIENT}),
    ):
        assert agent_request(world, tag, 0, slot=1, **fields) == codes.BAD_SIGNATURE  # type: ignore[arg-type]
    world.check()
