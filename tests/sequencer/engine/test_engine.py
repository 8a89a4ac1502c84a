"""The engine case by case: what an input comes to, and that chunk, journal and store say the same afterwards."""

from prover.stf import codes, constants, containers, margin
from sequencer.engine.effects import Fired, Left, Processed, Reason
from sequencer.engine.engine import Engine, EngineLimits
from sequencer.engine.order_book import Limits
from sequencer.engine.records import TAKEN_KEY, Input
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DEPOSITOR,
    DOLLAR,
    DOMAIN,
    ETH,
    FIRST,
    FOK,
    IOC,
    LOTS,
    PRICES,
    RECIPIENT,
    SELL,
    START,
    World,
    check_chunks,
    deposit,
    key,
    order,
    owner,
    picture,
    replayed,
    signed_order,
    tick,
)

PRICE = PRICES[BTC]


def moved(percent: float) -> tuple[int, ...]:
    """Prices with BTC moved."""
    return (int(PRICE * (1 + percent / 100)), PRICES[1], PRICES[2])


# Orders.


def test_a_trade() -> None:
    world = World(2)
    made = world.order(0, SELL, PRICE)
    assert (made.code, made.status, made.remaining, made.fills) == (codes.OK, "resting", LOTS, [])
    taken = world.order(1, BUY, PRICE + 100, 400)
    assert (taken.status, taken.filled, taken.remaining) == ("filled", 400, 0)
    assert [(fill.price, fill.size, fill.maker, fill.taker) for fill in taken.fills] == [(PRICE, 400, FIRST, FIRST + 1)]
    assert world.resting() == [(0, 1, 600)]
    assert (world.position(0), world.position(1)) == (-400, 400)
    world.check()


def test_what_is_left_of_a_crossing_order_rests() -> None:
    world = World(2)
    world.order(0, SELL, PRICE, 400)
    taken = world.order(1, BUY, PRICE)
    assert (taken.status, taken.filled, taken.remaining) == ("partially_filled", 400, 600)
    assert world.resting() == [(1, 1, 600)]
    world.check()


def test_the_better_price_and_the_earlier_order_first() -> None:
    world = World(5)
    world.order(0, SELL, PRICE + 10)
    world.order(1, SELL, PRICE)
    world.order(2, SELL, PRICE)
    taken = world.order(4, BUY, PRICE + 10, 3 * LOTS)
    assert [fill.maker - FIRST for fill in taken.fills] == [1, 2, 0]
    world.check()


def test_the_same_order_again_is_the_same_answer_and_nothing_twice() -> None:
    world = World(2)
    operation = signed_order(order(world.now, FIRST, SELL, PRICE), key(0))
    first = world.process(operation)
    world.order(1, BUY, PRICE, 300)
    before = len(world.journal)
    again = world.process(operation)
    assert (again.code, again.status, again.order, again.changed) == (codes.OK, "partially_filled", first.order, False)
    assert (again.filled, again.remaining) == (300, LOTS - 300)
    world.order(1, BUY, PRICE, LOTS - 300, slot=2)
    done = world.process(operation)
    assert (done.code, done.changed, done.status, done.filled) == (codes.OK, False, "filled", LOTS)
    assert [fill.size for fill in done.fills] == [300, LOTS - 300]
    assert len(world.journal) == before + 1
    assert world.position(0) == -LOTS
    world.check()


def test_an_open_order_with_a_signature_of_somebody_else_is_no_repetition() -> None:
    world = World(2)
    given = order(world.now, FIRST, SELL, PRICE)
    world.process(signed_order(given, key(0)))
    refused = world.process(signed_order(given, key(1)))
    assert (refused.code, refused.changed) == (codes.BAD_SIGNATURE, False)
    assert world.resting() == [(0, 1, LOTS)]


def test_an_immediate_order_is_executed_once() -> None:
    world = World(3)
    world.order(0, SELL, PRICE, 400)
    operation = signed_order(order(world.now, FIRST + 1, BUY, PRICE, time_in_force=IOC), key(1))
    assert world.process(operation).filled == 400
    world.order(2, SELL, PRICE, 400)
    again = world.process(operation)
    assert (again.code, again.changed, again.status, again.filled) == (codes.OK, False, "expired", 400)
    assert [(fill.price, fill.size) for fill in again.fills] == [(PRICE, 400)]
    # Nobody else's signature opens it.
    assert world.process(signed_order(order(world.now, FIRST + 1, BUY, PRICE, time_in_force=IOC), key(2))).code != 0
    assert world.position(1) == 400
    world.check()


def test_what_the_venue_expired_does_not_come_back_by_repetition() -> None:
    world = World(2)
    world.order(0, SELL, PRICE, 400)
    operation = signed_order(order(world.now, FIRST, BUY, PRICE, slot=2), key(0))
    assert (world.process(operation).status, world.resting()) == ("expired", [(0, 1, 400)])
    world.request(constants.CANCEL, 0, slot=1)
    assert (world.process(operation).status, world.process(operation).changed) == ("expired", False)
    for _ in range(3):
        world.seal()
        world.tick()
    assert world.process(operation).status == "expired"
    assert world.resting() == []
    world.seal()
    reopened = Engine(BufferedStore(world.store), DOMAIN)
    again = reopened.process(Input(world.now, operation, owner(0)))
    assert (again.code, again.status, again.changed) == (codes.OK, "expired", False)
    world.check(flush_every=1)


def test_a_higher_sequence_replaces_and_a_lower_one_is_used() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.now += 5
    assert world.order(0, SELL, PRICE + 50).status == "resting"
    assert world.resting() == [(0, 1, LOTS)]
    assert world.engine.books[BTC].depth(1)[1][0][0] == PRICE + 50
    refused = world.order(0, SELL, PRICE, created_at=world.now - 1)
    assert (refused.code, refused.changed) == (codes.USED, False)
    # The same sequence with other contents is another order: neither replaces the other.
    assert world.order(0, SELL, PRICE + 51).code == codes.USED
    world.now += 1
    assert world.order(0, BUY, PRICES[ETH], market=ETH).status == "resting"
    assert (world.resting(BTC), world.resting(ETH)) == ([], [(0, 1, LOTS)])
    world.check()


def test_cancel_takes_the_slot_up_to_its_sequence() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.order(0, SELL, PRICE + 1, slot=2)
    world.order(0, BUY, PRICE - 1, slot=3, trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price=PRICE - 100)
    assert world.request(constants.CANCEL, 0, slot=1, sequence=START - 1).code == codes.OK
    assert len(world.resting()) == 2
    cancelled = world.request(constants.CANCEL, 0, slot=1)
    assert (cancelled.code, cancelled.markets, cancelled.account) == (codes.OK, {BTC}, FIRST)
    assert world.request(constants.CANCEL, 0, slot=3).code == codes.OK
    assert (world.resting(), world.waiting()) == ([(0, 2, LOTS)], [])
    assert (world.order(0, SELL, PRICE).status, world.resting()) == ("cancelled", [(0, 2, LOTS)])
    assert world.order(0, SELL, PRICE + 7).code == codes.USED
    assert world.request(constants.CANCEL, 0, slot=1).code == codes.USED
    world.check()


def test_cancel_all_takes_books_and_triggers_of_every_market() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.order(0, BUY, PRICES[ETH], market=ETH, slot=2)
    world.order(0, BUY, PRICE - 1, slot=3, trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price=PRICE - 100)
    world.order(1, SELL, PRICE)
    assert world.request(constants.CANCEL_ALL, 0, slot=0).code == codes.OK
    assert (world.resting(), world.resting(ETH), world.waiting()) == ([(1, 1, LOTS)], [], [])
    assert world.order(0, SELL, PRICE, slot=9).code == codes.CANCELLED
    world.now += 1
    assert world.order(0, SELL, PRICE, slot=9).code == codes.OK
    world.check()


def test_orders_of_the_past_leave_at_a_tick_and_are_never_filled() -> None:
    world = World(3)
    world.order(0, SELL, PRICE, expires_at=START + 1_000)
    world.order(1, SELL, PRICE, expires_at=START + 60_000)
    armed = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 1, "expires_at": START + 1_000}
    world.order(2, SELL, PRICE, **armed)
    world.now += 1_001
    world.seal()
    taken = world.order(2, BUY, PRICE, 100, slot=2)
    assert [fill.maker for fill in taken.fills] == [FIRST + 1]
    assert world.resting() == [(1, 1, LOTS - 100)]
    assert world.order(0, SELL, PRICE, created_at=START - 1, expires_at=START + 1_000).code == codes.EXPIRED
    ticked = world.tick(moved(1))
    assert (ticked.fills, world.waiting()) == ([], [])
    world.check()


def test_an_open_order_whose_time_has_passed_is_told_as_such() -> None:
    world = World(1)
    operation = signed_order(order(START, FIRST, SELL, PRICE, expires_at=START + 1_000), key(0))
    assert world.process(operation).status == "resting"
    world.seal()
    world.now += 1_001
    assert world.process(operation).code == codes.EXPIRED


def test_an_open_order_whose_time_has_passed_is_told_what_was_filled_of_it() -> None:
    world = World(2)
    operation = signed_order(order(START, FIRST, SELL, PRICE, expires_at=START + 1_000), key(0))
    world.process(operation)
    world.order(1, BUY, PRICE, 400)
    world.seal()
    world.now += 1_001
    again = world.process(operation)
    assert (again.code, again.changed, again.filled, again.remaining) == (codes.OK, False, 400, LOTS - 400)


def test_immediate_and_fill_or_kill() -> None:
    world = World(4)
    world.order(0, SELL, PRICE, 300)
    world.order(1, SELL, PRICE, 300)
    immediate = world.order(2, BUY, PRICE, 100, time_in_force=IOC)
    assert (immediate.status, immediate.filled) == ("filled", 100)
    killed = world.order(2, BUY, PRICE, 500, time_in_force=FOK, slot=2)
    assert (killed.status, killed.filled, killed.refusal) == ("expired", 0, "ALL_OR_NOTHING")
    whole = world.order(2, BUY, PRICE, 200, time_in_force=FOK, slot=3)
    assert (whole.status, whole.filled) == ("filled", 200)
    rest = world.order(3, BUY, PRICE, time_in_force=IOC)
    assert (rest.status, rest.filled, rest.remaining) == ("expired", 300, LOTS - 300)
    assert world.resting() == []
    world.check()


def test_post_only_is_refused_where_it_would_take() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    refused = world.order(1, BUY, PRICE, post_only=1)
    assert (refused.code, refused.changed) == (codes.POST_ONLY, False)
    assert world.order(1, BUY, PRICE - 1, post_only=1).status == "resting"
    world.check()


def test_post_only_that_fires_into_the_other_side_expires() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    fires = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 1, "post_only": 1}
    assert world.order(1, BUY, PRICE, **fires).status == "armed"
    assert world.tick(moved(0.1)).fills == []
    assert (world.resting(), world.waiting()) == ([(0, 1, LOTS)], [])
    world.check()


def test_nobody_trades_with_himself() -> None:
    world = World(2)
    second = world.process(deposit(owner(0), 1_000 * DOLLAR)).account
    assert second is not None
    world.order(1, SELL, PRICE - 1, 100)
    world.order(0, SELL, PRICE)
    for index, account in enumerate((FIRST, second), start=2):
        taken = world.process(signed_order(order(world.now, account, BUY, PRICE, 300, slot=index), key(0)))
        assert (taken.status, taken.refusal) == ("expired", "SELF_TRADE")
    assert world.resting() == [(0, 1, LOTS)]
    assert (world.position(0), world.position(1)) == (100, -100)
    world.check()


def test_reduce_only_makers_give_no_more_than_their_position() -> None:
    world = World(4)
    world.order(0, SELL, PRICE, 500)
    world.order(1, BUY, PRICE, 500)
    assert world.order(1, SELL, PRICE + 10, LOTS, reduce_only=1, slot=2).status == "resting"
    assert world.order(2, SELL, PRICE + 20, LOTS, reduce_only=1).code == codes.REDUCE_ONLY
    world.order(3, SELL, PRICE + 20, 200)
    taken = world.order(2, BUY, PRICE + 20, 700)
    assert [(fill.maker - FIRST, fill.size) for fill in taken.fills] == [(1, 500), (3, 200)]
    assert (world.resting(), world.position(1)) == ([], 0)
    world.check()


def test_a_reduce_only_taker_stops_at_flat() -> None:
    world = World(3)
    world.order(0, SELL, PRICE, 500)
    world.order(1, BUY, PRICE, 500)
    world.order(2, BUY, PRICE, LOTS)
    taken = world.order(1, SELL, PRICE, LOTS, reduce_only=1, slot=2)
    assert (taken.filled, world.position(1)) == (500, 0)
    assert world.resting() == [(2, 1, 500)]
    world.check()


# Triggers.


def test_triggers_fire_in_the_order_they_were_armed() -> None:
    world = World(4)
    world.order(0, BUY, PRICE - 2_000, 300)
    stop = {"trigger": constants.TRIGGER_AT_OR_BELOW, "slot": 2}
    assert world.order(1, SELL, PRICE - 2_000, 200, trigger_price=PRICE - 1_000, **stop).status == "armed"
    assert world.order(2, SELL, PRICE - 2_000, 200, trigger_price=PRICE - 500, **stop).status == "armed"
    assert world.order(3, SELL, PRICE - 2_000, 200, trigger_price=PRICE - 50_000, **stop).status == "armed"
    ticked = world.tick((PRICE - 1_000, PRICES[1], PRICES[2]))
    assert [(fill.taker - FIRST, fill.size) for fill in ticked.fills] == [(1, 200), (2, 100)]
    assert {FIRST, FIRST + 1, FIRST + 2} <= ticked.accounts
    assert (world.waiting(), world.resting()) == ([(3, 2)], [(2, 2, 100)])
    world.check(flush_every=1)


def test_an_order_whose_trigger_is_reached_already_goes_to_the_book() -> None:
    world = World(1)
    placed = world.order(0, SELL, PRICE, trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price=PRICE)
    assert placed.status == "resting"


def test_a_fired_order_that_the_price_left_again_is_not_taken() -> None:
    world = World(2)
    world.order(0, SELL, PRICE - 100, trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price=PRICE - 500)
    world.tick((PRICE - 500, PRICES[1], PRICES[2]))
    assert world.resting() == [(0, 1, LOTS)]
    world.tick()
    # The law asks for the trigger at every fill, so the maker leaves, and the taker's order rests.
    taken = world.order(1, BUY, PRICE)
    assert (taken.status, world.resting()) == ("resting", [(1, 1, LOTS)])
    world.check()


def test_a_replaced_trigger_does_not_fire() -> None:
    world = World(2)
    world.order(0, SELL, PRICE - 100, trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price=PRICE - 500)
    world.now += 1
    world.order(0, BUY, PRICE - 5_000)
    world.tick((PRICE - 500, PRICES[1], PRICES[2]))
    assert (world.waiting(), world.resting()) == ([], [(0, 1, LOTS)])
    assert world.engine.books[BTC].depth(1)[0][0][0] == PRICE - 5_000
    world.check()


def test_a_tick_whose_triggers_overflow_a_chunk() -> None:
    world = World(60)
    for trader in range(30):
        world.order(trader, BUY, PRICE - 2_000, LOTS)
    for trader in range(30, 60):
        fires = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 500 - trader}
        world.order(trader, SELL, PRICE - 2_000, LOTS, **fires)
    world.seal()
    before = world.engine.chunk_count
    ticked = world.tick((PRICE - 1_000, PRICES[1], PRICES[2]))
    assert len(ticked.fills) == 30
    # The tick and twenty pairs are a chunk; the second one goes on being filled.
    assert world.engine.chunk_count == before + 1
    assert [fill.chunk for fill in ticked.fills] == [before + 1] * 20 + [before + 2] * 10
    assert world.engine.open_operations == 30
    assert world.resting() == []
    world.check(flush_every=1)


def stopped(world: World, traders: range, below: int = 500) -> None:
    """One stop of each trader, which sells where the price has fallen by so many ticks."""
    for trader in traders:
        fields = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - below, "slot": 2}
        assert world.order(trader, SELL, PRICE - 2_000, 100, **fields).status == "armed"


def fired(outcome: Processed) -> list[int]:
    """Whose stops an input sent into the books."""
    return [effect.account - FIRST for effect in outcome.effects if isinstance(effect, Fired)]


def test_a_tick_sends_a_bounded_number_of_stops_and_empty_inputs_send_the_rest() -> None:
    world = World(9, EngineLimits(fired_stops=3))
    world.order(0, BUY, PRICE - 1_000, 500)
    stopped(world, range(1, 9))
    down = (PRICE - 600, *PRICES[1:])
    engine = world.engine
    assert not engine.has_more(world.now, queue_only=False)
    assert fired(world.tick(down)) == [1, 2, 3]
    assert engine.has_more(world.now, queue_only=False)
    # Not where the queue alone is served, nor at a price that is too old.
    assert not engine.has_more(world.now, queue_only=True)
    rounds = []
    while engine.has_more(world.now, queue_only=False):
        rounds.append(fired(world.process(b"")))
    assert rounds == [[4, 5, 6], [7, 8]]
    assert world.process(b"").changed is False
    assert [trader for trader, _, _ in world.resting()] == [6, 7, 8]
    assert (world.waiting(), world.position(0)) == ([], 500)
    # Cut off anywhere, a node that opens again goes on with the same stops.
    for kept in range(len(world.journal) - 2, len(world.journal) + 1):
        again = replayed(world.journal[:kept], 1, world.limits)
        for given in world.journal[kept:]:
            assert again.has_more(given.now, queue_only=False)
            again.process(given)
        assert picture(again) == picture(engine)
    world.check(flush_every=1)


def expired(outcome: Processed) -> list[int]:
    """Whose orders an input took out because their time had passed."""
    gone = [effect for effect in outcome.effects if isinstance(effect, Left)]
    return [effect.account - FIRST for effect in gone if effect.reason is Reason.EXPIRED]


def test_a_tick_takes_out_a_bounded_number_of_expired_orders_and_empty_inputs_the_rest() -> None:
    world = World(10)
    for place in range(450):
        fires = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE * 2} if place % 2 else {}
        world.order(place % 9, SELL, PRICE, 100, slot=place // 9 + 1, expires_at=START + 500, **fires)
    world.seal()
    counts = [len(expired(world.tick()))]
    while world.engine.has_more(world.now, queue_only=False):
        counts.append(len(expired(world.process(b""))))
    assert counts == [200, 200, 50]
    assert world.process(b"").changed is False
    assert (world.resting(), world.waiting()) == ([], [])
    # Cut off anywhere, a node that opens again goes on with the same orders.
    for kept in range(len(world.journal) - 2, len(world.journal) + 1):
        again = replayed(world.journal[:kept], 1, world.limits)
        for given in world.journal[kept:]:
            assert again.has_more(given.now, queue_only=False)
            again.process(given)
        assert picture(again) == picture(world.engine)
    world.check(flush_every=1)


def test_an_expired_order_that_waits_to_leave_is_filled_by_nobody() -> None:
    """By the clock of the chunk, which began before their end, the law would fill all of them."""
    world = World(6, EngineLimits(expired_orders=1))
    world.seal()
    world.order(4, SELL, PRICE + 1, 100)
    world.order(5, BUY, PRICE + 1, 100)
    for trader in range(3):
        world.order(trader, SELL, PRICE, 100, expires_at=START + 500)
    stopped(world, range(4, 5), below=1)
    world.order(3, SELL, PRICE + 1, 100)
    ticked = world.tick((PRICE - 1, *PRICES[1:]))
    assert world.engine.view.commitment.timestamp == START
    # The stop waits until all that has expired is out.
    assert (expired(ticked), fired(ticked)) == ([0], [])
    taken = world.order(5, BUY, PRICE + 1, 100, slot=3)
    assert ([fill.maker - FIRST for fill in taken.fills], expired(taken)) == ([3], [1, 2])
    assert fired(world.process(b"")) == [4]
    assert not world.engine.has_more(world.now, queue_only=False)
    world.check(flush_every=1)


def test_a_rescue_passes_over_an_expired_order_that_waits_to_leave() -> None:
    world = World(3)
    for trader in range(2):
        world.order(trader, BUY, PRICE, 100, expires_at=START + 500 + trader)
    found = world.engine.orders.resting_against
    assert [maker.account - FIRST for maker, _ in found(BTC, 100, START + 500)] == [0, 1]
    assert [maker.account - FIRST for maker, _ in found(BTC, 100, START + 501)] == [1]


def test_what_was_due_and_is_no_longer_reached_waits_on() -> None:
    world = World(5, EngineLimits(fired_stops=2))
    stopped(world, range(4))
    assert fired(world.tick(moved(-0.1))) == [0, 1]
    world.tick()
    assert not world.engine.has_more(world.now, queue_only=False)
    assert [trader for trader, _ in world.waiting()] == [2, 3]
    world.check()


def test_due_stops_wait_for_a_price_that_is_young_and_for_the_end_of_a_grace() -> None:
    world = World(5, EngineLimits(fired_stops=1))
    stopped(world, range(3))
    world.tick(moved(-0.1))
    assert world.engine.has_more(world.now, queue_only=False)
    world.seal()
    world.now += constants.MAX_PRICE_AGE + 1
    assert not world.engine.has_more(world.now, queue_only=False)
    assert (fired(world.process(b"")), len(world.waiting())) == ([], 1)
    world.check()


def test_markets_take_turns() -> None:
    world = World(9, EngineLimits(fired_stops=2))
    stopped(world, range(3))
    fall = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICES[ETH] - 1, "slot": 3, "market": ETH}
    world.order(8, SELL, PRICES[ETH] - 9, 100, **fall)
    assert fired(world.tick((PRICE - 600, PRICES[ETH] - 2, PRICES[2]))) == [0, 8]


# Chunks.


def test_one_order_against_more_makers_than_a_chunk_holds() -> None:
    world = World(130)
    for trader in range(125):
        world.order(trader, SELL, PRICE + trader, 100)
    world.seal()
    before = world.engine.chunk_count
    taken = world.order(129, BUY, PRICE + 200, 13_000)
    assert (taken.filled, taken.remaining, taken.status) == (12_500, 500, "partially_filled")
    # A taker and 32 makers are a chunk; the fourth one goes on being filled.
    assert world.engine.chunk_count == before + 3
    assert [fill.chunk - before for fill in taken.fills] == [1] * 32 + [2] * 32 + [3] * 32 + [4] * 29
    world.seal()
    chunks = [world.engine.chunk_record(number) for number in range(before + 1, world.engine.chunk_count + 1)]
    assert sum(chunk.operations for chunk in chunks if chunk) == 125 * 2 + len(chunks)
    world.check(flush_every=1)


def test_a_refused_input_leaves_no_clock_behind() -> None:
    world = World(2)
    world.seal()
    world.now += 8_000
    assert world.order(0, SELL, PRICE, size=1).code == codes.TOO_SMALL
    assert world.process(tick(START)).code == codes.OLD_TICK
    world.now -= 8_000
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    assert world.engine.view.commitment.timestamp == world.now
    world.check()


def test_a_seal_with_nothing_open_changes_nothing() -> None:
    world = World(1)
    world.seal()
    assert world.process(b"").changed is False
    assert world.order(0, SELL, PRICE, size=1).code == codes.TOO_SMALL
    assert world.process(b"").changed is False
    world.check()


def test_a_chunk_never_goes_back_in_time() -> None:
    world = World(2)
    world.seal()
    world.now -= 5_000
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    assert world.engine.view.commitment.timestamp == START
    world.check()


def test_the_wrong_law_is_seen() -> None:
    """The checks of this file see a difference: a chunk whose root somebody changed does not replay."""
    world = World(2)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    world.seal()
    chunk = world.sealed[-1]
    chunk.post_root = bytes(32)
    assert world.engine.chunk_record(chunk.number) != chunk
    other = [Input(given.now + (given.operation == b""), given.operation, given.signer) for given in world.journal]
    other[-2] = Input(other[-2].now + 1, other[-2].operation, other[-2].signer)
    assert picture(replayed(world.journal, 0))["root"] == world.engine.state.root
    world.order(0, SELL, PRICE, slot=2)
    assert picture(replayed(world.journal, 0)) != picture(replayed(other, 0))


# Makers that block.


def test_quotes_that_the_price_left_behind_make_room() -> None:
    world = World(4)
    world.order(0, SELL, PRICE - 100)
    world.order(1, SELL, PRICE + 60_000)
    world.tick(moved(9))
    # A seller far below the oracle is out of the band to its own harm; one above it only waits.
    taken = world.order(2, BUY, PRICE + 60_000, 500)
    assert [fill.maker - FIRST for fill in taken.fills] == [1]
    assert world.resting() == [(1, 1, LOTS - 500)]
    world.check()


def test_a_taker_out_of_the_band_takes_nothing_and_moves_nobody() -> None:
    world = World(3)
    world.order(0, SELL, PRICE + 40_000)
    taken = world.order(1, BUY, PRICE + 40_000)
    assert (taken.code, taken.status, taken.refusal) == (codes.OK, "expired", "PRICE_BAND")
    assert world.resting() == [(0, 1, LOTS)]
    world.check()


def test_makers_without_margin_leave_and_the_next_one_serves() -> None:
    world = World(0)
    for index, dollars in enumerate((15, 1_000, 1_000)):
        world.process(deposit(owner(index), dollars * DOLLAR))
    world.process(tick(START))
    world.order(0, SELL, PRICE, LOTS)
    world.order(0, SELL, PRICE, LOTS, slot=2)
    world.order(1, SELL, PRICE + 1, LOTS)
    taken = world.order(2, BUY, PRICE + 1, 2 * LOTS)
    assert [fill.maker - FIRST for fill in taken.fills] == [0, 1]
    assert (taken.status, world.resting()) == ("filled", [])
    world.check()


def test_a_taker_without_margin_takes_nothing() -> None:
    world = World(0)
    world.process(deposit(owner(0), 1_000 * DOLLAR))
    world.process(deposit(owner(1), 5 * DOLLAR))
    world.process(tick(START))
    world.order(0, SELL, PRICE)
    assert world.order(1, BUY, PRICE).code == codes.TAKER_MARGIN
    assert world.resting() == [(0, 1, LOTS)]


# Full books.


def small(orders: int, places: int = 2, micros_of_place: int = 10**15) -> EngineLimits:
    """Books of so few orders, and accounts of so few places that no money adds to."""
    return EngineLimits(book=Limits(orders, places, micros_of_place))


def test_an_account_has_so_many_places_in_all_books_together() -> None:
    world = World(2, small(10))
    world.order(0, SELL, PRICE + 1)
    world.order(0, SELL, PRICES[ETH], market=ETH, slot=2)
    refused = world.order(0, SELL, PRICE + 9, slot=3, trigger=constants.TRIGGER_AT_OR_ABOVE, trigger_price=PRICE + 5)
    assert (refused.code, refused.changed) == (codes.FULL, False)
    assert "2 open orders and 2 places" in refused.refusal
    assert world.order(0, SELL, PRICE + 9, slot=3).code == codes.FULL
    # What fills at once needs none, and what replaces another takes its place.
    world.order(1, BUY, PRICE)
    assert world.order(0, SELL, PRICE, LOTS, slot=3).status == "filled"
    world.now += 1
    assert world.order(0, SELL, PRICE + 9, slot=2).status == "resting"
    world.check()


def test_a_hundred_dollars_of_equity_are_a_place_more() -> None:
    world = World(2, small(10, 1, 100 * DOLLAR), dollars=250)
    codes_of = [world.order(0, SELL, PRICE + slot, 100, slot=slot).code for slot in range(1, 6)]
    assert codes_of == [codes.OK] * 3 + [codes.FULL] * 2
    # It is equity and not collateral: a loss that is open counts.
    world.order(1, SELL, PRICE, 3_000)
    assert world.order(0, BUY, PRICE, 3_000, slot=9, time_in_force=IOC).status == "filled"
    world.tick(moved(-3))
    world.request(constants.CANCEL, 0, slot=1, max_posting_fee=0)
    assert world.order(0, SELL, PRICE + 9, 100, slot=8, reduce_only=1).code == codes.FULL
    world.check()


def test_two_dollars_keep_nobody_out_of_a_full_book() -> None:
    world = World(0, small(6, 64))
    poor, rich = range(3), 3
    for trader in range(4):
        world.process(deposit(owner(trader), (2 if trader in poor else 1_000) * DOLLAR))
    world.tick()
    for trader in poor:
        for slot in (1, 2):
            assert world.order(trader, BUY, PRICE - 10, 20, slot=slot).status == "resting"
    # Among equals whoever was there first stays.
    world.process(deposit(owner(4), 2 * DOLLAR))
    assert world.order(4, BUY, PRICE - 10, 20).status == "resting", "its first, with two dollars behind it"
    assert world.order(4, BUY, PRICE - 10, 20, slot=2).code == codes.FULL
    taken = [world.order(rich, BUY, PRICE - 9, 20, slot=slot) for slot in range(1, 6)]
    assert [outcome.status for outcome in taken] == ["resting"] * 5
    left = [effect for outcome in taken for effect in outcome.effects if isinstance(effect, Left)]
    assert {effect.reason for effect in left} == {Reason.DISPLACED}
    assert [effect.account - FIRST for effect in left] == [1, 0, 4, 2, 1]
    assert len(world.resting()) == 6
    world.check()


def test_money_that_has_left_keeps_no_place() -> None:
    world = World(3, small(2, 64), dollars=1_000)
    world.order(0, BUY, PRICE - 10, 20)
    world.order(1, BUY, PRICE - 10, 20)
    assert world.order(2, BUY, PRICE - 10, 20).code == codes.FULL
    paid = world.request(constants.WITHDRAW, 0, slot=9, amount=998 * DOLLAR, recipient=RECIPIENT)
    assert (paid.code, len(world.resting())) == (codes.OK, 2)
    # Known after a restart as well, from the store.
    world.seal()
    again = Engine(BufferedStore(world.store), DOMAIN, world.limits)
    for engine in (world.engine, again):
        least = engine.books[BTC].least()
        assert least is not None
        assert (least.order.account, least.behind) == (FIRST, margin.collateral(engine.account(FIRST)))
    assert world.order(2, BUY, PRICE - 10, 20).status == "resting"
    assert [trader for trader, _, _ in world.resting()] == [1, 2]
    world.check()


def test_a_full_trigger_book_is_shared_alike() -> None:
    world = World(2, small(1, 64), dollars=50)
    stop = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 5}
    assert world.order(0, BUY, PRICE + 5, 20, **stop).status == "armed"
    assert world.order(1, BUY, PRICE + 5, 20, **stop).code == codes.FULL
    world.process(deposit(owner(1), DOLLAR, FIRST + 1))
    assert world.order(1, BUY, PRICE + 5, 20, **stop).status == "armed"
    assert world.waiting() == [(1, 1)]
    world.check()


def test_a_full_book_still_trades_and_still_replaces() -> None:
    world = World(4, small(3))
    for slot in (1, 2):
        world.order(0, SELL, PRICE + slot, slot=slot)
    world.order(1, SELL, PRICE + 5)
    assert world.order(2, BUY, PRICE + 1, LOTS // 2, time_in_force=IOC).status == "filled"
    assert world.order(2, BUY, PRICE + 1, LOTS, slot=2).status == "partially_filled"
    world.now += 1
    assert world.order(0, SELL, PRICE + 7, slot=2).status == "resting"
    assert world.resting() == [(1, 1, LOTS), (2, 2, LOTS // 2), (0, 2, LOTS)]
    world.check()


# Money.


def test_deposits_open_top_up_and_come_back() -> None:
    world = World(1, funds=False)
    opened = world.process(deposit(owner(5), 50 * DOLLAR))
    assert (opened.code, opened.account, world.engine.accounts_of(owner(5))) == (codes.OK, FIRST + 1, [FIRST + 1])
    again = world.process(deposit(owner(5), 7 * DOLLAR, FIRST + 1))
    assert (again.code, again.account) == (codes.OK, FIRST + 1)
    assert world.engine.account(FIRST + 1).settled == 57 * DOLLAR
    for index, wrong in enumerate(
        (
            deposit(owner(5), 3 * DOLLAR, FIRST),
            deposit(owner(5), 3 * DOLLAR, FIRST + 50),
            deposit(bytes(20), 3 * DOLLAR),
            deposit(owner(5), 3 * DOLLAR, constants.FEE_ACCOUNT),
        )
    ):
        refunded = world.process(wrong)
        assert (refunded.code, refunded.withdrawal, refunded.changed) == (codes.REFUNDED, index, True)
    assert [(record.recipient, record.amount) for record in world.engine.withdrawals] == [(DEPOSITOR, 3 * DOLLAR)] * 4
    insured = world.process(deposit(owner(5), 3 * DOLLAR, BTC + 1))
    assert (insured.code, insured.account, insured.opened) == (codes.OK, BTC + 1, None)
    assert [market.fund for market in world.engine.globals.markets[:2]] == [3 * DOLLAR, 0]
    assert world.engine.view.commitment.queue_count == 8
    assert world.engine.accounts_of(owner(5)) == [FIRST + 1]
    # The insurance account is nobody's, also after a restart.
    world.seal()
    assert Engine(BufferedStore(world.store), DOMAIN).accounts_of(containers.NOBODY) == []
    world.check(flush_every=1)


def test_withdrawals_and_transfers() -> None:
    world = World(1)
    second = world.process(deposit(owner(0), 10 * DOLLAR)).account
    paid = world.request(constants.WITHDRAW, 0, amount=100 * DOLLAR, recipient=RECIPIENT)
    assert (paid.code, paid.withdrawal) == (codes.OK, 0)
    record = world.engine.withdrawals[0]
    assert (record.recipient, record.amount) == (RECIPIENT, 100 * DOLLAR)
    assert record.chunk == world.engine.chunk_count + 1
    moved_over = world.request(constants.TRANSFER, 0, slot=9, amount=5 * DOLLAR, other=second)
    assert (moved_over.code, moved_over.accounts) == (codes.OK, {FIRST, second})
    too_much = world.request(constants.WITHDRAW, 0, slot=8, amount=10**12, recipient=RECIPIENT)
    assert (too_much.code, too_much.changed) == (codes.COLLATERAL, False)
    assert world.request(constants.WITHDRAW, 0, amount=1, recipient=RECIPIENT).code == codes.USED
    assert len(world.engine.withdrawals) == 1
    world.check()


def test_a_transfer_opens_an_account_of_its_owner() -> None:
    world = World(2)
    fees = world.engine.account(constants.FEE_ACCOUNT).fresh
    second = FIRST + 2
    new = {"amount": 100 * DOLLAR, "other": constants.NEW_ACCOUNT}
    for slot, amount, code in ((8, constants.CREATION_FEE, codes.TOO_SMALL), (9, 10**12, codes.COLLATERAL)):
        refused = world.request(constants.TRANSFER, 0, slot=slot, **{**new, "amount": amount})
        assert (refused.code, refused.opened, refused.changed) == (code, None, False)
    assert world.engine.accounts_of(owner(0)) == [FIRST]
    opened = world.request(constants.TRANSFER, 0, **new)
    assert (opened.code, opened.account, opened.opened) == (codes.OK, FIRST, second)
    assert opened.accounts == {FIRST, second}
    row = world.engine.account(second)
    assert (row.owner, row.settled) == (owner(0), 100 * DOLLAR - constants.CREATION_FEE)
    assert (
        world.engine.account(constants.FEE_ACCOUNT).fresh
        == fees + constants.CREATION_FEE + world.engine.globals.posting_fee
    )
    assert world.request(constants.TRANSFER, 0, slot=7, amount=DOLLAR, other=second).opened is None
    assert world.engine.accounts_of(owner(0)) == [FIRST, second]
    # The new account trades; its losses are its own.
    world.order(1, SELL, PRICE)
    taken = world.process(signed_order(order(world.now, second, BUY, PRICE), key(0)))
    assert (taken.status, world.position(2), world.position(0)) == ("filled", LOTS, 0)
    # Listed under its owner after a restart, from the journal and from the store.
    assert replayed(world.journal, 0).accounts_of(owner(0)) == [FIRST, second]
    world.seal()
    assert Engine(BufferedStore(world.store), DOMAIN).accounts_of(owner(0)) == [FIRST, second]
    world.check(flush_every=1)


def test_an_owner_s_bound_of_leverage_refuses_orders_and_liquidates_nobody() -> None:
    world = World(2, dollars=100)
    lots = 5_000
    world.order(0, SELL, PRICE, lots + 50)
    assert world.order(1, BUY, PRICE, lots).status == "filled"
    # 3,000 dollars of BTC at a tenth: 300 dollars, and there are less than 100.
    assert world.request(constants.SET_LEVERAGE, 1, amount=100_000).code == codes.OK
    assert world.order(1, BUY, PRICE, 50, slot=2).code == codes.TAKER_MARGIN
    assert world.request(constants.WITHDRAW, 1, slot=201, amount=DOLLAR, recipient=RECIPIENT).code == codes.MARGIN
    assert world.order(1, SELL, PRICE + 10, 50, slot=3).status == "resting"
    assert world.request(constants.SET_LEVERAGE, 1, slot=202, amount=constants.PPM + 1).code == codes.NOT_CANONICAL
    assert world.request(constants.SET_LEVERAGE, 1, slot=202, amount=0).code == codes.OK
    assert world.order(1, BUY, PRICE, 50, slot=2).status == "filled"
    world.check()


def test_a_withdrawal_from_an_order_s_slot_takes_the_order_along() -> None:
    world = World(1)
    world.order(0, SELL, PRICE, slot=7)
    world.now += 1
    paid = world.request(constants.WITHDRAW, 0, slot=7, amount=DOLLAR, recipient=RECIPIENT)
    assert (paid.code, world.resting()) == (codes.OK, [])
    world.check()


def test_withdrawals_wait_for_a_fresh_price() -> None:
    world = World(1)
    world.seal()
    world.now += constants.MAX_PRICE_AGE + 1
    stale = world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT)
    assert (stale.code, stale.changed) == (codes.STALE, False)
    assert world.order(0, SELL, PRICE).code == codes.STALE
    assert world.request(constants.CANCEL_ALL, 0, slot=0).code == codes.OK
    world.tick()
    assert world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT).code == codes.OK
    world.check()


def test_an_order_of_nobody_s_account() -> None:
    world = World(1)
    assert world.order(70, SELL, PRICE).code == codes.NO_ACCOUNT
    given = order(world.now, 3, SELL, PRICE)
    assert world.process(signed_order(given, key(0))).code == codes.RESERVED
    assert world.engine.account(FIRST + 70).owner == containers.NOBODY
    check_chunks(world.store, world.engine)


def test_what_was_taken_is_forgotten_when_it_has_expired_and_not_before() -> None:
    def taken() -> set[tuple[int, int]]:
        kept = [int.from_bytes(key[-4:], "big") for key, _ in world.store.iterate(TAKEN_KEY)]
        return {(place >> 8, place & 255) for place in kept}

    world = World(2)
    short = signed_order(order(START, FIRST, SELL, PRICE, slot=1, expires_at=START + 5_000), key(0))
    long = signed_order(order(START, FIRST + 1, SELL, PRICE, slot=1, expires_at=START + 20_000), key(1))
    world.process(short)
    world.process(long)
    # Replaced by one that ends sooner: the first one could still be executed.
    world.now += 1
    world.order(1, SELL, PRICE + 1, slot=1, expires_at=START + 10_000)
    world.tick()
    world.seal()
    assert taken() == {(FIRST, 1), (FIRST + 1, 1)}
    assert world.process(short).status == "resting"
    for expected in ({(FIRST + 1, 1)}, {(FIRST + 1, 1)}, {(FIRST + 1, 1)}, set()):
        world.tick()
        world.seal()
        assert taken() == expected
        # What it came to is known for longer than its place is taken.
        assert world.process(short).status == "expired"
        assert world.process(long).status == "cancelled"
        used = order(START, FIRST + 1, SELL, PRICE + 9, slot=1, expires_at=START + 20_000)
        assert world.process(signed_order(used, key(1))).code == (codes.USED if expected else codes.EXPIRED)
    world.order(0, SELL, PRICE, slot=1)
    world.tick()
    world.check()
    assert taken() == {(FIRST, 1)}
