"""What anybody may ask about rescues, and who is told."""

from typing import Any

import msgspec
import pytest

from prover.stf import constants
from sequencer.api.rpc.errors import CallError
from sequencer.engine.post_mortem import FORCED_CLOSE, FORCED_RESCUE, KINDS, LIQUIDATION, UNWINDING
from sequencer.engine.ranking import Place
from sequencer.views.account import view
from sequencer.views.markets import names
from sequencer.views.rankings import Rankings
from tests.sequencer.desk import Desk
from tests.sequencer.node_world import BUY, DOLLAR, FIRST, PRICES, SELL, START, deposit, owner, tick

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
async def fallen(desk: Any) -> Desk:
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
    (told,) = await fallen.ask("catenary_postMortems", account=FIRST)
    assert told["kind"] == "liquidation"
    assert told["market"] == "BTC"
    assert told["counterparty"] == FIRST + 2
    assert told["signers"] == [0, 1, 2, 3, 4]
    assert int(told["equity_before_micros"]) < int(told["maintenance_before_micros"])
    assert told["finality"] == "sequenced"
    assert (told["counted_at"], told["price_ticks"]) == ("judged_prices", 593_950)
    assert told["quote_micros"] == str(593_950 * told["lots"])
    assert await fallen.ask("catenary_postMortems", account=FIRST + 2) == [told]
    assert await fallen.ask("catenary_postMortems") == [told]
    assert await fallen.ask("catenary_postMortems", account=FIRST + 1) == []


@pytest.mark.parametrize("kind", KINDS.values())
async def test_each_kind_is_told_with_its_own_formulas(fallen: Desk, kind: str) -> None:
    engine = fallen.venue.engine
    engine.rescues.append(msgspec.structs.replace(engine.rescues[-1], kind=kind))
    told, _ = await fallen.ask("catenary_postMortems")
    formulas = told["formulas"]
    at_judged = kind in (LIQUIDATION, FORCED_CLOSE)
    assert ("zero_price" in formulas) == (kind != UNWINDING)
    assert formulas.get("zero_price", "oracle_price").startswith("judged_price" if at_judged else "oracle_price")
    assert ("one_lot_less" in formulas) == (kind in (LIQUIDATION, FORCED_RESCUE))
    assert ("fee" in formulas) == ("fillable_price" in formulas) == (kind == LIQUIDATION)
    assert (kind == FORCED_CLOSE) == formulas["judged_price"].startswith("the worse")


async def test_a_rescue_is_told_on_its_channel_once(fallen: Desk) -> None:
    assert "rescues" in fallen.channels.names()
    await fall(fallen, BREAK, 1)
    assert "rescues" not in fallen.channels.names()


async def test_an_account_s_channel_tells_a_rescue_with_the_account_as_it_always_tells_it(desk: Any) -> None:
    await desk.order(1, SELL, PRICES[0], HEAVY)
    await desk.order(0, BUY, PRICES[0], HEAVY)
    await desk.order(2, BUY, 593_950, HEAVY)
    desk.channels.told = []
    await fall(desk, BREAK)
    (told,) = [data for name, data in desk.channels.told if name == f"account:{FIRST}" and "rescue" in data]
    account = desk.account(FIRST)
    assert told.keys() == account.keys() | {"rescue"}
    assert told["positions"][0].keys() == account["positions"][0].keys() >= {"deleveraging_rank"}


async def test_the_ranking_and_the_rank_in_an_account_are_the_same(fallen: Desk) -> None:
    shorts = await fallen.ask("catenary_deleveragingRanking", market="BTC", side="short")
    assert [place["account"] for place in shorts] == [FIRST + 1]
    longs = await fallen.ask("catenary_deleveragingRanking", market=0, side="long")
    # Bought below the oracle price: a profit, however small.
    assert [place["account"] for place in longs] == [FIRST + 2]
    assert fallen.account(FIRST + 1)["positions"][0]["deleveraging_rank"] == 1
    assert fallen.account(FIRST)["positions"][0]["deleveraging_rank"] is None
    with pytest.raises(CallError):
        await fallen.ask("catenary_deleveragingRanking", market="DOGE", side="short")


async def test_a_rank_is_of_the_account_as_it_stands_among_the_others_of_the_last_tick(desk: Any) -> None:
    for trader, lots in ((1, 300_000), (2, 200_000), (3, 100_000)):
        await desk.order(0, BUY, PRICES[0], lots, slot=trader)
        await desk.order(trader, SELL, PRICES[0], lots)
    await fall(desk, 595_000, 1)

    def ranks() -> list[int | None]:
        accounts = [desk.account(FIRST + trader) for trader in range(4)]
        return [account["positions"][0]["deleveraging_rank"] for account in accounts]

    assert ranks() == [None, 1, 2, 3]
    ranking = await desk.ask("catenary_deleveragingRanking", market="BTC", side="short")
    assert [(place["account"], place["rank"]) for place in ranking] == [(FIRST + 1, 1), (FIRST + 2, 2), (FIRST + 3, 3)]
    # With ten times the money its leverage is the lowest at once; who comes first instead is told with the next tick.
    await desk.venue.submit(deposit(owner(1), 100_000 * DOLLAR, FIRST + 1))
    assert ranks() == [None, 3, 2, 3]
    await fall(desk, 595_000, 1)
    assert ranks() == [None, 3, 1, 2]


async def test_equal_scores_stand_by_account_and_an_insurance_account_nowhere(desk: Any) -> None:
    for trader in (2, 1):
        await desk.order(0, BUY, PRICES[0], 100_000, slot=trader)
        await desk.order(trader, SELL, PRICES[0], 100_000)
    await fall(desk, 595_000, 1)
    engine = desk.venue.engine
    account = engine.account(FIRST + 1)
    called = names(engine.globals)

    def place(index: int) -> Place | None:
        """Of somebody with the first's position."""
        seen = view(engine.globals.risk, account, desk.clock.now, called, index, 0, {})
        return Rankings(engine).places(seen).get("BTC")

    first, second = place(FIRST + 1), place(FIRST + 2)
    assert first is not None
    assert second is not None
    assert (first.rank, first.ahead, second.rank, second.behind) == (1, None, 2, None)
    assert first.behind is not None
    assert second.ahead is not None
    assert (first.behind.account, second.ahead.account) == (FIRST + 2, FIRST + 1)
    # Of a stranger with a position like theirs: behind the lower indexes.
    stranger = place(FIRST + 3)
    assert stranger is not None
    assert stranger.rank == 3
    assert place(FIRST - 1) is None


async def test_an_insurance_account_is_seen_and_an_absent_one_is_not(fallen: Desk) -> None:
    fund = await fallen.ask("catenary_account", account=1)
    (told,) = await fallen.ask("catenary_postMortems")
    assert fund["collateral_micros"] == told["fee_micros"]
    with pytest.raises(CallError):
        await fallen.ask("catenary_account", account=4)
