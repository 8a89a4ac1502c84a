"""What a group took is promised in one signature, made once and only where it is asked for."""

from random import Random
from typing import Any

import pytest

from prover.signing.receipts import Acknowledgement, Found, acknowledged_digest, began_ms, is_soft, root_of
from prover.signing.signatures import address_of, sign
from prover.signing.signed import SignedOperation, read, signer_of
from prover.stf import constants
from sequencer.engine.effects import Processed
from sequencer.engine.engine import EngineLimits
from sequencer.sequencing import acknowledging
from sequencer.sequencing.acknowledging import Acknowledgements
from tests.sequencer.node_world import BUY, DOMAIN, FIRST, SELL, START, World, key, order, request, signed_request

SEAT = b"\x09" * 32


def taken(world: World, operation: bytes) -> tuple[SignedOperation, Processed, int]:
    """An operation and what came of it."""
    signed = read(DOMAIN, operation)
    assert signed is not None
    return signed, world.process(operation), world.now


def an_order(world: World, trader: int, side: int, **changes: Any) -> bytes:
    """A signed order at the oracle price."""
    return world.signed(order(world.now, FIRST + trader, side, 600_000, 1_000, **changes), trader)


def test_each_of_a_group_leads_to_one_signature() -> None:
    world, kept = World(3), Acknowledgements()
    group = [
        taken(world, an_order(world, 0, SELL)),
        taken(world, an_order(world, 1, BUY)),
        taken(world, an_order(world, 2, BUY)),
    ]
    kept.note(group)
    signatures = []
    for place, (signed, _, _) in enumerate(group):
        found = kept.of(signed)
        assert found is not None
        assert found[1] == place
        member, path = found[0].members[place], found[0].path(place)
        assert (member.account, member.filled_lots, member.time_ms) == (FIRST + place, 1_000 * (place == 1), START)
        signature = found[0].signature(DOMAIN, lambda digest: sign(SEAT, digest))
        digest = acknowledged_digest(DOMAIN, root_of(member.leaf, place, path))
        assert signer_of(digest, signature) == address_of(SEAT)
        signatures.append(signature)
    assert len(set(signatures)) == 1


def test_a_group_is_signed_once() -> None:
    world, kept = World(1), Acknowledgements()
    given = taken(world, an_order(world, 0, SELL))
    kept.note([given])
    asked: list[bytes] = []

    def count(digest: bytes) -> bytes:
        asked.append(digest)
        return sign(SEAT, digest)

    found = kept.of(given[0])
    assert found is not None
    assert found[0].path(0) == []
    assert found[0].signature(DOMAIN, count) == found[0].signature(DOMAIN, count)
    assert len(asked) == 1


def test_nothing_is_promised_of_what_was_refused_or_has_a_receipt() -> None:
    world, kept = World(2), Acknowledgements()
    refused = taken(world, an_order(world, 0, SELL, created_at=START - 2 * constants.ORDER_LIFETIME))
    cancel = signed_request(constants.CANCEL, request(world.now, FIRST, slot=1, max_posting_fee=0), key(0))
    soft = taken(world, cancel)
    assert is_soft(cancel)
    transfer = signed_request(constants.TRANSFER, request(world.now, FIRST, amount=10**7, other=FIRST + 1), key(0))
    moved = taken(world, transfer)
    kept.note([refused, soft, moved])
    assert kept.of(refused[0]) is None
    assert kept.of(soft[0]) is None
    # Another owner's account: refused as well.
    assert kept.of(moved[0]) is None


def test_the_same_order_again_has_the_promise_that_it_had() -> None:
    world, kept = World(1), Acknowledgements()
    given = taken(world, an_order(world, 0, SELL))
    kept.note([given])
    first = kept.of(given[0])
    again = taken(world, given[0].operation)
    assert not again[1].changed
    kept.note([again])
    assert kept.of(again[0]) == first


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledging, "_KEPT", 2)
    world, kept = World(3), Acknowledgements()
    given = [taken(world, an_order(world, trader, SELL)) for trader in range(3)]
    for each in given:
        kept.note([each])
    assert [kept.of(signed) is not None for signed, _, _ in given] == [False, True, True]


@pytest.mark.parametrize("seed", range(3))
def test_what_an_honest_venue_posts_bears_out_every_promise(seed: int) -> None:
    """Random orders and transfers, several of them in a chunk and some over its end."""
    random = Random(seed)
    world, kept = World(4, EngineLimits(chunk_bytes=900)), Acknowledgements()
    given: list[Acknowledgement] = []
    for _ in range(300):
        world.now += random.choice((0, 0, 1, 700))
        if world.now - world.engine.globals.tick_time >= 2 * constants.TICK_STEP:
            world.tick()
        trader = random.randrange(4)
        if random.random() < 0.1:
            asked = request(
                world.now, FIRST + trader, slot=random.randrange(100, 256), amount=100_000 + random.randrange(9)
            )
            operation = signed_request(constants.SET_LEVERAGE, asked, key(trader))
        else:
            price = 600_000 + random.randrange(-3, 4) * 10
            side, slot = random.choice((BUY, SELL)), random.randrange(1, 30)
            wanted = order(world.now, FIRST + trader, side, price, random.randrange(200, 3_000), slot=slot)
            operation = world.signed(wanted, trader)
        one = taken(world, operation)
        kept.note([one])
        found = kept.of(one[0])
        if found is not None:
            given.append(found[0].members[0])
    world.now += 1
    world.seal()
    bodies = [chunk.body for chunk in world.sealed]
    assert len(bodies) > 20
    assert sum(promise.filled_lots > 0 for promise in given) > 30
    assert sum(promise.tag == constants.SET_LEVERAGE for promise in given) > 5
    for promise in given:
        held = Found(promise)
        for body in bodies:
            if began_ms(body) <= promise.time_ms:
                held.read(body)
        assert held.is_whole, promise
