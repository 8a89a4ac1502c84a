"""Orders in the words of the API: a step as it was told is the step that is kept."""

from sequencer.views.orders import event_view, life_view, refusal_view, refused_view
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
    assert (seen.status, seen.fees_micros) == ("partially_filled", seen.events[-1].fee_micros)


def test_a_refusal_names_its_rule_and_an_unlisted_market_nothing() -> None:
    world = World(1)
    outcome = world.order(0, SELL, PRICE, 1)
    given = order(START, FIRST, SELL, PRICE, 1, market=15)
    event = refusal_view(world.engine.globals, given, "mine", outcome, START)
    assert (event.reason, event.market, event.client_id, event.side) == ("TOO_SMALL", "", "mine", "sell")
    assert refused_view(event).events == [event]
