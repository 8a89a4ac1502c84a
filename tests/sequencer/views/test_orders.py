"""Orders in the words of the API: a step as it was told is the step that is kept."""

import msgspec

from prover.signing import operations
from sequencer.schema.answers import OrderTerms
from sequencer.views.orders import event_view, life_view, refusal_view, refused_view, terms_view
from tests.sequencer.node_world import BTC, BUY, FIRST, PRICES, SELL, START, World, order

PRICE = PRICES[BTC]


def test_what_was_told_is_what_is_kept() -> None:
    world = World(2)
    told = world.order(0, SELL, PRICE).told
    told += [one for one in world.order(1, BUY, PRICE, 400).told if one.place[0] == FIRST]
    globals, place = world.engine.globals, (FIRST, 1, START)
    life = world.engine.orders.lives.find(*place)
    assert life is not None
    seen = life_view(globals, place, life)
    assert seen.events == [event_view(globals, one) for one in told]
    assert [(one.event, one.price_ticks, one.role) for one in seen.events] == [
        ("accepted", None, ""),
        ("resting", None, ""),
        ("filled", PRICE, "maker"),
    ]
    given = order(START, FIRST, SELL, PRICE)
    assert seen.terms == OrderTerms(
        size_lots=given.size,
        limit_price_ticks=PRICE,
        time_in_force=given.time_in_force,
        post_only=False,
        reduce_only=False,
        trigger=0,
        trigger_price_ticks=0,
        expires_at_ms=given.expires_at,
    )
    assert (seen.status, seen.fees_micros) == ("partially_filled", seen.events[-1].fee_micros)


def test_a_refusal_names_its_rule_and_an_unlisted_market_nothing() -> None:
    world = World(1)
    outcome = world.order(0, SELL, PRICE, 1)
    given = order(START, FIRST, SELL, PRICE, 1, market=15)
    event = refusal_view(world.engine.globals, given, "mine", outcome, START)
    assert (event.reason, event.market, event.client_id, event.side) == ("TOO_SMALL", "", "mine", "sell")
    assert refused_view(event).events == [event]


def test_what_waits_for_a_trigger_is_told_as_it_was_signed() -> None:
    given = msgspec.structs.replace(
        order(START, FIRST, SELL, PRICE, 700), reduce_only=1, time_in_force=1, trigger=2, trigger_price=PRICE - 5
    )
    terms = terms_view(operations.order_bytes(given, b"\1" * 64)[:-64])
    assert (terms.size_lots, terms.reduce_only, terms.post_only, terms.time_in_force) == (700, True, False, 1)
    assert (terms.trigger, terms.trigger_price_ticks, terms.expires_at_ms) == (2, PRICE - 5, given.expires_at)
