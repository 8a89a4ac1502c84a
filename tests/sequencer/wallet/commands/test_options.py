"""What an order and a grant are made of, read from a command line."""

from typing import Any

import pytest

from prover.stf import constants
from sequencer.client.clock import wall_clock_ms
from sequencer.wallet.commands.options import order_terms, read_grant
from sequencer.wallet.drafts import OrderTerms
from sequencer.wallet.errors import BadInput
from sequencer.wallet.trust import ListedMarket

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
