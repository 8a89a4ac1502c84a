"""The dead-man switch: orders leave at its end and not before, and nobody sets it who may not cancel them all."""

from prover.state.store import MemoryStore
from prover.stf import codes, constants
from sequencer.engine.asked.switch import Switches
from sequencer.engine.effects import Left, Processed, Reason, Switched
from sequencer.engine.records import Terms
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import BTC, BUY, FIRST, PRICES, SELL, World, key, request, signed_request

PRICE = PRICES[BTC]


def switch(world: World, at: int, signer: int = 0, **changes: object) -> Processed:
    """Trader 0's switch, as somebody has signed it."""
    tag = constants.CANCEL if changes.get("slot") else constants.CANCEL_ALL
    given = request(world.now, FIRST, **{"slot": 0, "max_posting_fee": 0, **changes})
    return world.process(signed_request(tag, given, key(signer)), Terms(at=at))


def left(outcome: Processed) -> list[Reason]:
    """Why orders left."""
    return [effect.reason for effect in outcome.effects if isinstance(effect, Left)]


def test_all_orders_of_the_account_leave_at_its_end_and_not_before() -> None:
    world = World(2)
    end = world.now + 5_000
    world.order(0, SELL, PRICE + 10)
    world.order(1, SELL, PRICE + 10)
    assert switch(world, end).code == codes.OK
    assert world.resting() == [(0, 1, 1_000), (1, 1, 1_000)]
    world.order(0, BUY, PRICE - 10, slot=2)
    world.now = end - 1
    assert not world.engine.has_more(world.now, queue_only=False)
    world.process(b"")
    world.now = end
    assert world.engine.has_more(world.now, queue_only=False)
    ended = world.process(b"")
    assert left(ended) == [Reason.SCHEDULED] * 2
    assert world.resting() == [(1, 1, 1_000)]
    # Once: what comes after it stays, and an empty end is an input of the journal too.
    world.order(0, SELL, PRICE + 10, slot=3)
    assert not world.engine.has_more(world.now + 9_000, queue_only=False)
    world.check()


def test_it_is_set_anew_and_taken_back() -> None:
    world = World(1)
    world.order(0, SELL, PRICE + 10)
    first = world.now + 1_000
    switch(world, first)
    world.now += 1
    assert switch(world, first + 60_000).code == codes.OK
    # Whoever has kept the first signature does not bring it back.
    assert switch(world, first, created_at=world.now - 1).code == codes.USED
    world.now = first + 1
    assert not world.engine.has_more(world.now, queue_only=False)
    assert switch(world, 0).effects[0] == Switched(account=FIRST, at_ms=0, sequence=world.engine.inputs << 24)
    world.now += 40_000
    assert left(world.process(b"")) == []
    assert len(world.resting()) == 1


def test_the_same_setting_again_is_answered_the_same_and_does_nothing() -> None:
    world = World(1)
    end = world.now + 1_000
    first = switch(world, end)
    again = switch(world, end)
    assert (first.code, again.code, again.effects, again.changed) == (codes.OK, codes.OK, [], False)
    # With another end it is not the same, and of two with one sequence the first counts.
    assert switch(world, end + 1).code == codes.USED
    made = world.now
    world.now = end
    world.order(0, SELL, PRICE + 10)
    assert left(world.process(b"")) == [Reason.SCHEDULED]
    assert switch(world, end, created_at=made).effects == []
    world.order(0, SELL, PRICE + 10, slot=2)
    assert not world.engine.has_more(world.now + 9_000, queue_only=False)
    world.check()


def test_with_no_orders_it_ends_all_the_same() -> None:
    world = World(1)
    switch(world, world.now + 10)
    world.now += 10
    assert world.process(b"").changed
    world.order(0, SELL, PRICE + 10)
    assert world.process(b"").code == codes.OK
    assert len(world.resting()) == 1
    world.check()


def test_nobody_sets_it_who_may_not_cancel_all() -> None:
    world = World(3)
    assert switch(world, world.now + 10, signer=1).code == codes.BAD_SIGNATURE
    world.grant(0, 2, first_slot=1, last_slot=9)
    assert switch(world, world.now + 10, signer=2).code == codes.AGENT_LIMITS
    assert switch(world, world.now + 10, slot=3).code == codes.NOT_CANONICAL
    assert not world.engine.has_more(world.now + 10, queue_only=False)


def test_a_switch_is_in_the_store() -> None:
    store = MemoryStore()
    switches = Switches(BufferedStore(store))
    switches.put(17, 5, 1)
    switches.put(18, 3, 2)
    store.write(switches.writes(), sync=True)
    again = Switches(BufferedStore(store))
    assert (again.is_due(2), again.is_due(3), again.fire(9), again.sequence(18)) == (False, True, 18, 2)
    assert again.fire(9) == 17
    for at in range(1, 500):
        again.put(17, at, at)
    assert len(again._ends) < 200
    assert (again.is_due(498), again.fire(499)) == (False, 17)
    assert not again.is_due(9)
