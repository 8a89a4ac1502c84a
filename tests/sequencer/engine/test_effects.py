"""Effects: one life of an order, each step with its reason, role and own fee, numbered for ever."""

from typing import Any, Final

import msgspec

from l1_bridge.hashing import keccak
from prover.stf import codes, constants
from sequencer.engine.effects import (
    EFFECTS_VERSION,
    Accepted,
    AnyEffect,
    Armed,
    Effect,
    Filled,
    Fired,
    Left,
    PaidOut,
    Processed,
    Reason,
    Refused,
    Rested,
)
from sequencer.engine.engine import Engine
from sequencer.engine.order_book import order_id
from sequencer.engine.records import Input
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    IOC,
    LOTS,
    PRICES,
    RECIPIENT,
    SELL,
    START,
    World,
    key,
    order,
    owner,
    signed_order,
)

PRICE = PRICES[BTC]
# A shape that was told stays in this table; another one is another version.
SHAPES: Final = {
    1: "6c1d467e1a8e8e7d",
    2: "155eeca603e34748",
    3: "84df6cac8054bcae",
    4: "1e028cdc40a384d0",
    5: "ec2a805f776963d8",
    6: "a8b4c5c16b7dc5d7",
    7: "aa5892123f0e1d73",
    8: "3fd658fd4a893fce",
    9: "48919b844019e38c",
    10: "a42768119d04f7cd",
    11: "e70fe015c1d769dc",
    12: "f63c1939889341be",
}


def kinds(processed: Processed) -> list[type[Effect]]:
    """What happened, by kind."""
    return [type(effect) for effect in processed.effects]


def reasons(processed: Processed) -> list[tuple[int, int, Reason]]:
    """Who left: account, lots that were not filled, why."""
    return [
        (effect.account - FIRST, effect.lots, effect.reason) for effect in processed.effects if isinstance(effect, Left)
    ]


def without_words(schema: Any) -> Any:
    """A schema that says what a value looks like, and nothing of what it means."""
    if isinstance(schema, dict):
        return {key: without_words(value) for key, value in schema.items() if key != "description"}
    return [without_words(item) for item in schema] if isinstance(schema, list) else schema


def test_a_version_of_the_effects_has_one_shape() -> None:
    _, kinds = msgspec.json.schema_components([AnyEffect])
    assert keccak(msgspec.json.encode(without_words(kinds), order="sorted")).hex()[:16] == SHAPES[EFFECTS_VERSION]


def test_an_order_is_accepted_rests_and_is_filled_in_parts() -> None:
    world = World(2)
    made = world.order(0, SELL, PRICE)
    assert kinds(made) == [Accepted, Rested]
    taken = world.order(1, BUY, PRICE, 400)
    assert kinds(taken) == [Accepted, Filled]
    (filled,) = [effect for effect in taken.effects if isinstance(effect, Filled)]
    name = order_id(order(START, FIRST, SELL, PRICE))
    assert (filled.fill.maker_order, filled.fill.taker_order) == (name, taken.order)
    assert filled.maker_fee + filled.taker_fee == filled.fill.fee
    ppm = world.engine.globals.markets[BTC].maker_fee_ppm
    assert filled.maker_fee == -(-400 * PRICE * ppm // constants.PPM) > 0
    assert kinds(world.order(1, BUY, PRICE, LOTS, slot=2)) == [Accepted, Filled, Rested]


def test_why_an_order_leaves() -> None:
    world = World(5)
    world.order(0, SELL, PRICE)
    assert reasons(world.request(constants.CANCEL, 0, slot=1)) == [(0, LOTS, Reason.CANCELLED)]
    world.order(0, SELL, PRICE, slot=2)
    world.now += 1
    assert reasons(world.order(0, SELL, PRICE + 1, slot=2)) == [(0, LOTS, Reason.REPLACED)]
    unfilled = world.order(1, BUY, PRICE, time_in_force=IOC)
    assert reasons(unfilled) == [(1, LOTS, Reason.UNFILLED)]
    assert unfilled.refusal == "UNCROSSED"
    world.order(2, BUY, PRICE - 100, expires_at=world.now + 1_000)
    assert reasons(world.tick()) == [(2, LOTS, Reason.EXPIRED)]
    world.grant(3, 4)
    world.agent_order(4, 3, BUY, PRICE - 100)
    world.now += 1
    assert reasons(world.dismiss(3)) == [(3, LOTS, Reason.DISMISSED)]
    world.check()


def test_a_reduce_only_order_with_nothing_left_to_reduce() -> None:
    world = World(3)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    world.order(1, SELL, PRICE + 5, reduce_only=1, slot=3)
    world.order(2, BUY, PRICE + 1)
    # It goes with the position, and meets nobody any more.
    assert reasons(world.order(1, SELL, PRICE + 1, slot=4)) == [(1, LOTS, Reason.REDUCED)]
    assert world.position(1) == 0
    assert reasons(world.order(2, BUY, PRICE + 5, slot=2, time_in_force=IOC)) == [(2, LOTS, Reason.UNFILLED)]
    world.check()


def test_a_trigger_is_armed_and_fired() -> None:
    world = World(2)
    waits = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 10}
    assert kinds(world.order(0, BUY, PRICE, **waits)) == [Accepted, Armed]
    ticked = world.tick((PRICE + 20, *PRICES[1:]))
    assert [kind for kind in kinds(ticked) if kind in (Fired, Rested)] == [Fired, Rested]


def test_a_refusal_is_alone_and_has_no_number() -> None:
    world = World(1)
    refused = world.order(0, SELL, PRICE, size=1)
    assert refused.effects == [Refused(code=codes.TOO_SMALL)]
    assert (refused.changed, refused.effects[0].sequence) == (False, 0)


def test_numbers_rise_over_all_inputs_and_are_the_same_after_a_restart() -> None:
    world = World(2)
    seen = [effect.sequence for effect in world.order(0, SELL, PRICE).effects]
    for price in (PRICE, PRICE - 1):
        seen += [effect.sequence for effect in world.order(1, BUY, price, 100, slot=PRICE - price + 1).effects]
    world.seal()
    assert seen == sorted(set(seen))
    assert seen[0] > 0
    operation = signed_order(order(world.now, FIRST, SELL, PRICE + 9, slot=9), key(0))
    reopened = Engine(BufferedStore(world.store), DOMAIN)
    again = reopened.process(Input(world.now, operation, owner(0)))
    assert again.effects == world.process(operation).effects
    assert again.effects[0].sequence > seen[-1]


def test_effects_travel_as_they_are() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    told = [
        *world.order(1, BUY, PRICE).effects,
        *world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT).effects,
        *world.tick().effects,
    ]
    assert PaidOut in {type(effect) for effect in told}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=list[AnyEffect]) == told
    assert msgspec.json.decode(msgspec.json.encode(told), type=list[AnyEffect]) == told
