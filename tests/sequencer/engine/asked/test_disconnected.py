"""A cancel that was handed in for a connection's end: judged when it came, and for what its signer may by then."""

from prover.stf import codes, constants
from sequencer.engine.effects import Left, Processed, Reason
from sequencer.engine.records import Terms
from tests.sequencer.node_world import BTC, BUY, FIRST, PRICES, SELL, World, key, request, signed_request

PRICE = PRICES[BTC]


def disconnected(world: World, asked: int, signer: int = 0, **changes: object) -> Processed:
    """The end of a connection of trader 0, for which somebody has signed when it was asked."""
    given = request(asked, FIRST, **{"slot": 0, "max_posting_fee": 0, **changes})
    return world.process(signed_request(constants.CANCEL_ALL, given, key(signer)), Terms(asked=asked))


def left(outcome: Processed) -> list[Reason]:
    """Why orders left."""
    return [effect.reason for effect in outcome.effects if isinstance(effect, Left)]


def test_all_that_is_open_leaves_also_what_came_after_the_signature() -> None:
    world = World(2)
    asked = world.now
    world.order(0, SELL, PRICE + 10)
    world.order(1, SELL, PRICE + 10)
    # Long after the request has expired.
    while world.now < asked + 2 * constants.REQUEST_LIFETIME:
        world.seal()
        world.now += constants.TICK_GAP - constants.TICK_STEP
        world.tick()
    world.order(0, BUY, PRICE - 10, slot=2)
    world.order(1, BUY, PRICE - 10, slot=2)
    ended = disconnected(world, asked)
    assert (ended.code, ended.receipt) == (codes.OK, None)
    assert left(ended) == [Reason.DISCONNECTED]
    assert [place[:2] for place in world.resting()] == [(1, 2)]
    world.check()


def test_where_nothing_is_open_nothing_is_journaled() -> None:
    world = World(1)
    ended = disconnected(world, world.now)
    assert (ended.code, ended.changed, ended.effects) == (codes.OK, False, [])
    # And what comes then is taken: it is no cancel of what is still to come.
    assert world.order(0, SELL, PRICE + 10).status == "resting"
    world.check()


def test_whoever_may_not_cancel_all_by_then_cancels_nothing() -> None:
    world = World(3)
    world.order(0, SELL, PRICE + 10)
    asked = world.now
    assert disconnected(world, asked, signer=1).code == codes.BAD_SIGNATURE
    world.grant(0, 2)
    world.now += 1
    world.dismiss(0, sequence=world.now)
    assert disconnected(world, asked, signer=2).code == codes.BAD_SIGNATURE
    # What was too old when it was handed in is no better later.
    assert disconnected(world, asked, created_at=asked - constants.REQUEST_LIFETIME - 20_000).code != codes.OK
    assert len(world.resting()) == 1
    world.check()
