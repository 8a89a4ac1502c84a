"""Soft cancels: out of the books at once, without a byte on L1, never for want of room; hard ones are posted and paid.

The case O1: a maker's cancels were refused after 64 of them, then taken one every two seconds, while quotes stood.
"""

from typing import Any

import pytest

from prover.signing.receipts import chained
from prover.stf import codes, constants
from sequencer.engine.effects import Left, Processed, SoftlyCancelled
from sequencer.engine.engine import Engine
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.preview import preview_order
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOMAIN,
    FIRST,
    LOTS,
    PRICES,
    SELL,
    World,
    key,
    order,
    owner,
    request,
    signed_request,
    void_all,
)

PRICE = PRICES[BTC]


def soft(world: World, trader: int = 0, slot: int = 1, **changes: Any) -> Processed:
    """A cancel of one slot, or of all (0), that nobody may post."""
    tag = constants.CANCEL if slot else constants.CANCEL_ALL
    return world.request(tag, trader, **({"slot": slot, "max_posting_fee": 0} | changes))


def test_a_maker_cancels_as_often_as_it_quotes() -> None:
    world = World(2)
    world.seal()
    money = world.engine.account(FIRST)
    for _ in range(300):
        world.now += 1
        assert world.order(0, SELL, PRICE + 50).status == "resting"
        taken_out = soft(world)
        assert (taken_out.code, taken_out.changed, world.resting()) == (codes.OK, True, [])
    # Nothing of it stands in a chunk, and nothing was paid.
    assert world.engine.open_operations == 0
    assert world.engine.account(FIRST) == money
    world.check()


def test_a_soft_cancel_has_a_receipt_on_top_of_the_last() -> None:
    world = World(2)
    before = bytes(32)
    for slot in (3, 0, 3):
        world.now += 1
        world.order(0, SELL, PRICE + 50, slot=3)
        world.now += 1
        outcome = soft(world, slot=slot)
        assert outcome.receipt == chained(before, FIRST, slot, world.now, world.now)
        assert isinstance(outcome.effects[0], SoftlyCancelled)
        assert [type(effect) for effect in outcome.effects[1:]] == [Left]
        before = outcome.receipt.running_hash
    # It goes on after a restart.
    world.tick()
    world.seal()
    engine = Engine(BufferedStore(world.store), DOMAIN)
    world.engine = engine
    outcome = soft(world, slot=9)
    assert outcome.receipt is not None
    assert outcome.receipt.running_hash == chained(before, FIRST, 9, world.now, world.now).running_hash


def test_what_was_signed_before_comes_back_by_nobodys_hand() -> None:
    world = World(2)
    held = world.now
    world.now += 10
    assert soft(world, slot=1).code == codes.OK
    # The law would take it: the venue has said that it will not.
    assert world.order(0, SELL, PRICE + 50, slot=1, created_at=held).code == codes.USED
    assert world.order(0, SELL, PRICE + 50, slot=2, created_at=held).status == "resting"
    world.now += 1
    assert world.order(0, SELL, PRICE + 50, slot=1).status == "resting"
    world.now += 10
    assert soft(world, slot=0).code == codes.OK
    assert world.resting() == []
    assert world.order(0, SELL, PRICE + 50, slot=200, created_at=world.now - 1).code == codes.USED
    world.tick()
    world.seal()
    world.engine = Engine(BufferedStore(world.store), DOMAIN)
    assert world.order(0, SELL, PRICE + 50, slot=200, created_at=world.now - 6_000).code == codes.USED


def test_a_partly_filled_order_leaves_softly_too_and_its_slot_goes_on() -> None:
    world = World(2)
    world.order(0, SELL, PRICE, 2_000)
    assert world.order(1, BUY, PRICE, 500).status == "filled"
    operations = world.engine.open_operations
    assert soft(world).code == codes.OK
    assert (world.resting(), world.engine.open_operations) == ([], operations)
    assert world.order(1, BUY, PRICE, 500, slot=2).status == "resting"
    world.now += 1
    assert world.order(0, SELL, PRICE, 500).status == "filled"
    world.check()


def test_a_soft_cancel_needs_a_signature_that_may_in_time() -> None:
    world = World(2)
    world.order(0, SELL, PRICE + 50)
    given = request(world.now, FIRST, slot=1, max_posting_fee=0)
    assert world.process(signed_request(constants.CANCEL, given, key(1))).code == codes.BAD_SIGNATURE
    for changes, code in (
        ({"expires_at": world.now - 1, "created_at": world.now - 2}, codes.EXPIRED),
        ({"created_at": world.now + 10_001}, codes.NOT_YET),
        ({"sequence": world.now + 1}, codes.SEQUENCE_AHEAD),
        ({"expires_at": world.now + constants.REQUEST_LIFETIME + 1}, codes.LIFETIME),
    ):
        outcome = soft(world, **changes)
        assert (outcome.code, outcome.changed) == (code, False)
    nowhere = request(world.now, FIRST, slot=0, max_posting_fee=0)
    assert world.process(signed_request(constants.CANCEL, nowhere, key(0))).code == codes.NOT_CANONICAL
    assert len(world.resting()) == 1
    # An older one than the order takes nothing out.
    assert soft(world, sequence=world.now - 1).code == codes.OK
    assert len(world.resting()) == 1


@pytest.mark.parametrize("tag", [constants.CANCEL, constants.CANCEL_ALL])
def test_a_hard_cancel_stands_in_a_chunk_and_is_paid(tag: int) -> None:
    world = World(2)
    world.order(0, SELL, PRICE + 50)
    money = world.engine.account(FIRST).settled
    outcome = world.request(tag, 0, slot=1 if tag == constants.CANCEL else 0)
    assert (outcome.code, outcome.receipt, world.resting()) == (codes.OK, None, [])
    assert world.engine.open_operations > outcome.operation > 0 or outcome.chunk > 0
    assert world.engine.account(FIRST).settled == money - world.engine.globals.posting_fee
    world.check()


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_forced_cancel_all_takes_out_what_was_signed_before_its_entry(is_sealed: bool) -> None:
    world = World(3)
    armed = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 500}
    world.order(0, SELL, PRICE)
    assert world.order(0, SELL, PRICE - 600, slot=2, **armed).status == "armed"
    world.order(1, SELL, PRICE + 10)
    # A part is filled first: the open chunk then holds the order.
    assert world.order(2, BUY, PRICE, 300).filled == 300
    world.now += 1
    entered_at = world.now
    world.order(0, SELL, PRICE + 20, slot=3)
    if is_sealed:
        world.seal()
    world.now += 1
    gone = world.process(void_all(entered_at, FIRST, owner(0)))
    assert (gone.code, gone.markets) == (codes.OK, {BTC})
    # What has the entry's own time, or a later one, is not below the floor.
    assert world.engine.account(FIRST).floor == entered_at
    assert (world.resting(), world.waiting()) == ([(1, 1, LOTS), (0, 3, LOTS)], [])
    world.check(flush_every=1)


def test_a_new_seat_takes_no_order_that_was_created_before_it() -> None:
    world = World(2)
    operation = world.signed(order(world.now, FIRST, SELL, PRICE), 0)
    # Whoever held the seat may have given a receipt for it: this node knows of none.
    world.now += 5
    world.engine.orders.not_before_ms = world.now
    refused = world.process(operation)
    assert (refused.code, refused.changed) == (codes.CANCELLED, False)
    assert "before this node's seat was taken" in refused.refusal
    seen = preview_order(world.engine, order(world.now - 1, FIRST, SELL, PRICE), world.now)
    assert (seen.status, seen.code) == ("refused", codes.CANCELLED)
    assert world.order(0, SELL, PRICE).status == "resting"
    # What is open already is told again, and cancels of what is older are taken.
    again = world.signed(order(world.now, FIRST, SELL, PRICE), 0)
    world.engine.orders.not_before_ms += 1
    assert world.process(again).status == "resting"
    assert world.request(constants.CANCEL, 0, slot=1, max_posting_fee=0).code == codes.OK
    world.check()
