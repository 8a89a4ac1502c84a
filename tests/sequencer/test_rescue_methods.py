"""What anybody may ask about rescues, and who is told."""

from typing import Any

import pytest

from prover.stf import constants
from sequencer.api.errors import CallError
from sequencer.methods import OfAccount
from sequencer.rescue_methods import PostMortemsOf, RankingOf
from tests.sequencer.node_world import BUY, FIRST, PRICES, SELL, START, tick
from tests.sequencer.test_methods import CALL, Desk, desk  # noqa: F401

pytestmark = pytest.mark.trio

HEAVY = 750_000
BREAK = 594_000


async def fall(here: Desk, price: int, count: int = 3) -> None:
    """So many ticks at a price, each in a chunk of its own."""
    for _ in range(count):
        here.clock.now += constants.TICK_STEP
        await here.venue.submit(b"")
        outcome = await here.venue.submit(tick(here.clock.now, (price, *PRICES[1:])))
        assert outcome.code == 0


@pytest.fixture
async def fallen(desk: Any) -> Desk:  # noqa: F811
    """Account FIRST was liquidated into a bid of FIRST + 2, while FIRST + 1 won."""
    assert desk.clock.now == START
    await desk.order(1, SELL, PRICES[0], HEAVY)
    await desk.order(0, BUY, PRICES[0], HEAVY)
    await desk.order(2, BUY, 593_950, HEAVY)
    desk.channels.names()
    await fall(desk, BREAK)
    found: Desk = desk
    return found


async def test_a_post_mortem_is_told_to_whoever_asks(fallen: Desk) -> None:
    methods = fallen.methods._rescues
    (told,) = await methods.post_mortems(PostMortemsOf(account=FIRST), CALL)
    assert told["kind"] == "liquidation"
    assert told["market"] == "BTC"
    assert told["counterparty"] == FIRST + 2
    assert told["signers"] == [0, 1, 2, 3, 4]
    assert int(told["equity_before_micros"]) < int(told["maintenance_before_micros"])
    assert told["finality"] == "sequenced"
    assert "zero_price" in told["formulas"]
    assert await methods.post_mortems(PostMortemsOf(account=FIRST + 2), CALL) == [told]
    assert await methods.post_mortems(PostMortemsOf(), CALL) == [told]
    assert await methods.post_mortems(PostMortemsOf(account=FIRST + 1), CALL) == []


async def test_a_rescue_is_told_on_its_channel_once(fallen: Desk) -> None:
    assert "rescues" in fallen.channels.names()
    await fall(fallen, BREAK, 1)
    assert "rescues" not in fallen.channels.names()


async def test_the_ranking_and_the_rank_in_an_account_are_the_same(fallen: Desk) -> None:
    methods = fallen.methods._rescues
    shorts = await methods.ranking(RankingOf(market="BTC", side="short"), CALL)
    assert [place["account"] for place in shorts] == [FIRST + 1]
    longs = await methods.ranking(RankingOf(market=0, side="long"), CALL)
    # Bought below the oracle price: a profit, however small.
    assert [place["account"] for place in longs] == [FIRST + 2]
    assert fallen.methods.insight.account(FIRST + 1)["positions"][0]["deleveraging_rank"] == 1
    assert fallen.methods.insight.account(FIRST)["positions"][0]["deleveraging_rank"] is None
    with pytest.raises(CallError):
        await methods.ranking(RankingOf(market="DOGE", side="short"), CALL)


async def test_an_insurance_account_is_seen_and_an_absent_one_is_not(fallen: Desk) -> None:
    fund = await fallen.methods.account(OfAccount(account=1), CALL)
    (told,) = await fallen.methods._rescues.post_mortems(PostMortemsOf(), CALL)
    assert fund["collateral_micros"] == told["fee_micros"]
    with pytest.raises(CallError):
        await fallen.methods.account(OfAccount(account=4), CALL)
