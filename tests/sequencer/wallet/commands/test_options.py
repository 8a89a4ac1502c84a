"""What an order and a grant are made of, read from a command line."""

from typing import Any

import pytest

from prover.stf import constants
from sequencer.client.clock import wall_clock_ms
from sequencer.schema.answers import MarketView
from sequencer.wallet.commands.options import guards, order_terms, read_grant
from sequencer.wallet.drafts import OrderTerms
from sequencer.wallet.errors import BadInput, NotYet
from sequencer.wallet.trust import ListedMarket
from tests.sequencer.answers import answer

BTC = ListedMarket(0, "BTC", 5, 100, 450, 50_000)
AGENT = "0x" + "ab" * 20
PLAIN: dict[str, Any] = {
    "side": "sell",
    "size": "0.25",
    "price": "$60000.5",
    "time_in_force": "gtt",
    "post_only": False,
    "reduce_only": False,
    "trigger_above": None,
    "trigger_below": None,
    "expires": None,
    "max_fee_ppm": None,
    "slot": None,
    "usd": None,
    "slippage": None,
    "stop": None,
    "target": None,
}


def test_decimals_become_lots_and_ticks() -> None:
    assert order_terms(BTC, PLAIN) == OrderTerms(market=0, side=constants.SELL, size=25_000, limit_price=600_005)
    given = PLAIN | {"trigger_below": "1000", "expires": "10m", "time_in_force": "ioc", "slot": 7}
    assert order_terms(BTC, given) == OrderTerms(
        market=0,
        side=constants.SELL,
        size=25_000,
        limit_price=600_005,
        time_in_force=constants.IMMEDIATE_OR_CANCEL,
        trigger=constants.TRIGGER_AT_OR_BELOW,
        trigger_price=10_000,
        lifetime_ms=600_000,
        slot=7,
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": "0.000001"}, "the smallest step is 0.00001 BTC"),
        ({"price": "60000.25"}, "the smallest step is 0.1 dollars"),
        ({"trigger_above": "1", "trigger_below": "2"}, "one trigger"),
        ({"expires": "soon"}, "is not a duration"),
    ],
)
def test_an_order_off_the_grid_is_bad_input(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        order_terms(BTC, PLAIN | changes)


def seen(ticks: int, age_ms: int = 0) -> MarketView:
    """Bitcoin as a node shows it."""
    return answer(MarketView, name="BTC", price_ticks=ticks, tick_time_ms=wall_clock_ms() - age_ms)


def test_an_order_without_a_price_is_one_at_the_market() -> None:
    at_market = PLAIN | {"price": None, "time_in_force": None}
    sold = order_terms(BTC, at_market, seen(600_000))
    assert (sold.limit_price, sold.time_in_force) == (570_000, constants.IMMEDIATE_OR_CANCEL)
    bought = order_terms(BTC, at_market | {"side": "buy", "slippage": "0.5%"}, seen(600_000))
    assert (bought.limit_price, bought.size) == (603_000, 25_000)
    assert order_terms(BTC, PLAIN | {"time_in_force": None}).time_in_force == constants.GOOD_TILL_TIME


def test_a_trigger_without_a_price_is_measured_at_the_trigger() -> None:
    stop = PLAIN | {"price": None, "time_in_force": None, "trigger_below": "50000", "reduce_only": True}
    terms = order_terms(BTC, stop)
    assert (terms.limit_price, terms.trigger_price, terms.time_in_force) == (450_000, 500_000, 1)
    assert order_terms(BTC, stop | {"slippage": "2"}).limit_price == 490_000
    target = stop | {"side": "buy", "trigger_below": "40000", "slippage": "1"}
    assert order_terms(BTC, target).limit_price == 404_000


def test_dollars_buy_no_more_than_they_are() -> None:
    dollars = PLAIN | {"size": None, "usd": "100", "side": "buy"}
    assert order_terms(BTC, dollars, seen(500_000)).size == 100 * 10**6 // 600_005
    # What is sold is sold at the better price: no more lots than that.
    assert order_terms(BTC, dollars | {"side": "sell"}, seen(700_000)).size == 100 * 10**6 // 700_000
    at_market = dollars | {"price": None, "time_in_force": None, "slippage": "1"}
    assert order_terms(BTC, at_market, seen(500_000)).size == 100 * 10**6 // 505_000


@pytest.mark.parametrize(
    ("trigger", "price", "at"),
    [
        # A stop that waits below is filled near its trigger, whatever the price is today, and a target near its own.
        ({"trigger_below": "50000"}, 600_000, 500_000),
        ({"trigger_above": "70000"}, 600_000, 700_000),
        # One that is reached already is filled near today's.
        ({"trigger_below": "50000"}, 470_000, 470_000),
        ({"trigger_above": "50000"}, 600_000, 600_000),
        # A limit that is higher than both is what it is filled at.
        ({"trigger_above": "50000", "price": "65000"}, 600_000, 650_000),
    ],
)
def test_dollars_of_what_waits_are_measured_where_it_fires(trigger: dict[str, Any], price: int, at: int) -> None:
    waits = PLAIN | {"size": None, "usd": "100", "side": "sell", "price": None, "time_in_force": None} | trigger
    # Without a --price the limit is ten percent below the trigger.
    assert order_terms(BTC, waits, seen(price)).size == 100 * 10**6 // at


@pytest.mark.parametrize(
    ("changes", "view", "kind", "sentence"),
    [
        ({"price": None}, (600_000, 21_000), NotYet, r"is \d\d+ s old"),
        ({"price": None}, (0, 0), NotYet, "no oracle price"),
        ({"price": None, "slippage": "5.1"}, (600_000, 0), BadInput, "--slippage 5 at most"),
        ({"slippage": "1"}, None, BadInput, "not both"),
        ({"price": None, "post_only": True}, (600_000, 0), BadInput, "name its --price"),
        ({"price": None, "trigger_below": "9", "slippage": "100"}, None, BadInput, "below 100"),
        ({"usd": "100"}, (600_000, 0), BadInput, "--size or --usd"),
        ({"size": None}, None, BadInput, "--size or --usd"),
        ({"size": None, "usd": "0.5"}, (600_000, 0), BadInput, "do not buy one lot"),
    ],
)
def test_what_cannot_be_measured_is_said(
    changes: dict[str, Any], view: tuple[int, int] | None, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        order_terms(BTC, PLAIN | changes, seen(*view) if view else None)


def test_a_bracket_closes_what_its_entry_opens() -> None:
    given = PLAIN | {"side": "buy", "stop": "55000", "target": "70000.5"}
    stop, target = guards(BTC, order_terms(BTC, given), given, None)
    assert (stop.side, stop.size, stop.reduce_only) == (constants.SELL, 25_000, True)
    assert (stop.trigger, stop.trigger_price, stop.limit_price) == (2, 550_000, 495_000)
    assert (target.trigger, target.trigger_price, target.limit_price) == (1, 700_005, 630_005)
    short = PLAIN | {"side": "sell", "stop": "70000", "target": "50000"}
    stop, target = guards(BTC, order_terms(BTC, short), short, None)
    assert (stop.side, stop.trigger, stop.limit_price) == (constants.BUY, 1, 770_000)
    assert (target.trigger, target.limit_price) == (2, 550_000)
    assert guards(BTC, order_terms(BTC, PLAIN), PLAIN, None) == []


@pytest.mark.parametrize(
    ("changes", "view", "sentence"),
    [
        ({"stop": "60001"}, None, "the stop of this entry lies below its price"),
        ({"target": "60000.5"}, None, "the target of this entry lies above its price"),
        ({"side": "sell", "stop": "50000"}, None, "the stop of this entry lies above its price"),
        ({"stop": "50000", "reduce_only": True}, None, "no --reduce-only"),
        ({"stop": "61000", "price": None}, (600_000, 0), "lies below its price"),
        ({"stop": "50001", "price": None, "trigger_above": "50000"}, None, "lies below its price"),
    ],
)
def test_a_bracket_on_the_wrong_side_is_bad_input(
    changes: dict[str, Any], view: tuple[int, int] | None, sentence: str
) -> None:
    given = PLAIN | {"side": "buy"} | changes
    market = seen(*view) if view else None
    with pytest.raises(BadInput, match=sentence):
        guards(BTC, order_terms(BTC, given, market), given, market)


def test_a_grant_lasts_from_now_on() -> None:
    before = wall_clock_ms()
    grant = read_grant(AGENT, "24h", 0, 255)
    assert (grant.agent.hex(), grant.first_slot, grant.last_slot) == (AGENT[2:], 0, 255)
    assert before + 86_400_000 <= grant.expires_at_ms <= wall_clock_ms() + 86_400_000


@pytest.mark.parametrize(
    ("address", "expires", "slots", "sentence"),
    [
        ("0x12", "24h", (0, 255), "is not an address"),
        (AGENT, "soon", (0, 255), "is not a duration"),
        (AGENT, "24h", (3, 2), "run from --first-slot up to --last-slot"),
        (AGENT, "24h", (0, 0), "orders stand in 1 to 255"),
        (AGENT, "9999999d", (0, 255), "cannot last as long as 9999999d"),
    ],
)
def test_a_grant_without_slot_or_end_is_bad_input(
    address: str, expires: str, slots: tuple[int, int], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_grant(address, expires, *slots)
