"""Previews, explanations and contributions in the words of the API."""

from typing import Any

import msgspec
import pytest

from prover.stf import constants
from sequencer.api.methods import accounts
from sequencer.api.rpc.errors import CallError
from sequencer.schema.params import MOST_BETAS, ContributionOf
from sequencer.schema.values import decode_value
from tests.sequencer.desk import RELEASED, Desk
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    FIRST,
    LOTS,
    PRICES,
    SELL,
    deposit,
    key,
    owner,
    request,
    signed_request,
    tick,
)
from tests.sequencer.views.test_explain import told_numbers

pytestmark = pytest.mark.trio
PRICE = PRICES[0]


async def test_an_account_says_all_that_a_trader_sees(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 300_000)
    await desk.order(1, BUY, PRICE, 300_000)
    seen = await desk.ask("catenary_account", account=FIRST + 1)
    # 18,000 dollars of BTC: 2% to open more, 1.2% to stay.
    assert (seen["initial_micros"], seen["maintenance_micros"]) == (str(3_600 * DOLLAR), str(2_160 * DOLLAR))
    equity = int(seen["equity_micros"])
    assert seen["margin_usage_ppm"] == -(-3_600 * DOLLAR * 10**6 // equity)
    assert seen["margin_ratio_ppm"] == -(-2_160 * DOLLAR * 10**6 // equity)
    assert seen["leverage_ppm"] == -(-180_000 * DOLLAR * 10**6 // equity)
    assert seen["margin_call_percent"] == 0
    (position,) = seen["positions"]
    assert position["market"] == "BTC"
    assert 0.9 * PRICE < position["liquidation_price_ticks"] < PRICE
    assert seen["fall_bp"] in range(400, 500)
    assert seen["rise_bp"] is None
    power = {entry["market"]: (entry["buy_lots"], entry["sell_lots"]) for entry in seen["buying_power"]}
    assert power.keys() == {"BTC", "ETH", "SOL"}
    assert power["BTC"][1] > power["BTC"][0] > 0


async def preview(desk: Desk, **operation: Any) -> dict[str, Any]:
    """catenary_preview; all of it is JSON."""
    found: dict[str, Any] = await desk.ask("catenary_preview", operation=operation)
    return found


async def test_a_preview_fills_in_what_is_missing_and_changes_nothing(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 300)
    desk.channels.names()
    fields = {"account": FIRST + 1, "market": 0, "side": 0, "size_lots": 500, "limit_price_ticks": PRICE}
    root = desk.venue.engine.state.root
    seen = await preview(desk, kind="order", **fields)
    assert (seen["code"], seen["status"], seen["filled_lots"], seen["remaining_lots"]) == (
        0,
        "partially_filled",
        300,
        200,
    )
    assert seen["before"]["positions"] == []
    assert [leg["size_lots"] for leg in seen["after"]["positions"]] == [300]
    assert [leg["size_lots"] for leg in seen["if_filled"]["positions"]] == [500]
    assert seen["operation"]["slot"] == 1
    assert seen["finality"] == "preview"
    assert int(seen["fees_micros"]) == 300 * PRICE * 450 // 10**6 + 500
    assert desk.channels.names() == set()
    assert desk.venue.engine.state.root == root
    assert (await desk.ask("catenary_account", account=FIRST + 1))["positions"] == []


async def test_a_deposit_is_previewed_as_the_law_books_it(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 300)
    await desk.order(1, BUY, PRICE, 300)
    root = desk.venue.engine.state.root
    asked = {"account": FIRST + 1, "amount_micros": str(7 * DOLLAR)}
    foreseen = await desk.ask("catenary_previewDeposit", **asked)
    before, after = foreseen["before"], foreseen["after"]
    assert (foreseen["code"], foreseen["finality"]) == (0, "preview")
    for name in ("collateral_micros", "equity_micros", "free_collateral_micros", "withdrawable_micros"):
        assert int(after[name]) - int(before[name]) == 7 * DOLLAR, name
    assert (after["maintenance_micros"], after["initial_micros"]) == (
        before["maintenance_micros"],
        before["initial_micros"],
    )
    assert int(after["margin_ratio_ppm"]) < int(before["margin_ratio_ppm"])
    assert desk.venue.engine.state.root == root

    # As it is once it has come.
    await desk.venue.submit(deposit(owner(1), 7 * DOLLAR, FIRST + 1))
    seen = await desk.ask("catenary_account", account=FIRST + 1)
    assert {name: seen[name] for name in after if name != "finality"} == {
        name: value for name, value in after.items() if name != "finality"
    }


async def test_a_deposit_of_nothing_is_said_to_be_one(desk: Desk) -> None:
    foreseen = await desk.ask("catenary_previewDeposit", account=FIRST, amount_micros="0")
    assert foreseen["refusal"] == "ZERO_AMOUNT"
    assert foreseen["after"] == foreseen["before"]


async def ticked(desk: Desk, *prices: int) -> None:
    """A tick in a chunk of its own; prices of the first markets, the others as they were."""
    desk.clock.now += constants.TICK_STEP
    await desk.venue.submit(b"")
    outcome = await desk.venue.submit(tick(desk.clock.now, (*prices, *PRICES[len(prices) :])))
    assert outcome.code == 0


def without_orders(told: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What catenary_account tells and a preview too."""
    return {
        name: told[name] for name in told if name not in ("slots_hint", "open_orders", "root", "has_voided")
    } | changes


async def test_before_is_the_account_as_it_is_told_and_after_as_it_then_is(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 60_000)
    await desk.order(1, BUY, PRICE, 60_000)
    await ticked(desk, PRICE * 992 // 1_000)
    told = await desk.ask("catenary_account", account=FIRST)
    assert [leg["deleveraging_rank"] for leg in told["positions"]] == [1]
    fields = {"account": FIRST, "market": 1, "side": 1, "size_lots": 5_000, "limit_price_ticks": PRICES[1]}
    seen = await preview(desk, kind="order", **fields)
    assert seen["before"] == without_orders(told, finality="preview")
    # It would rest: nothing but its reservation is taken, 1,500 dollars at 2%.
    assert (seen["after"]["reserved_micros"], seen["after"]["initial_micros"]) == ("30000000", told["initial_micros"])
    free = int(told["free_collateral_micros"]) - 30 * DOLLAR
    assert int(seen["after"]["free_collateral_micros"]) == free
    assert seen["if_filled"]["finality"] == "preview"
    assert [leg["deleveraging_rank"] for leg in seen["if_filled"]["positions"]] == [1, None]
    # Money in: the receiver could buy more, the giver less, and both are told so beforehand.
    await desk.venue.submit(b"")
    paid = request(desk.clock.now, FIRST, amount=50 * DOLLAR, other=constants.NEW_ACCOUNT)
    new = {"kind": "transfer", "account": FIRST, "to_account": constants.NEW_ACCOUNT, "amount_micros": 50 * DOLLAR}
    seen = await preview(desk, **new)
    opened = await desk.venue.submit(signed_request(constants.TRANSFER, paid, key(0)))
    for name, account in (("after", FIRST), ("other_after", opened.opened or 0)):
        then = await desk.ask("catenary_account", account=account)
        assert seen[name] == without_orders(then, finality="preview")
    powers = [seen[name]["buying_power"][0]["buy_lots"] for name in ("before", "after", "other_after")]
    assert powers[0] > powers[1] > powers[2] > 0


async def test_a_margin_call_is_foreseen_with_the_hysteresis_of_the_present_level(desk: Desk) -> None:
    # 360,000 dollars on 10,000, of which 4,320 have to stay.
    await desk.order(0, SELL, PRICE, 600_000)
    await desk.order(1, BUY, PRICE, 600_000)

    async def levels(dollars: int) -> tuple[int, int]:
        fields = {"account": FIRST + 1, "recipient": "0x" + "66" * 20, "amount_micros": dollars * DOLLAR}
        seen = await preview(desk, kind="withdraw", **fields)
        told = await desk.ask("catenary_account", account=FIRST + 1)
        assert seen["before"]["margin_call_percent"] == told["margin_call_percent"]
        return seen["before"]["margin_call_percent"], seen["after"]["margin_call_percent"]

    now = await desk.ask("catenary_account", account=FIRST + 1)
    equity, maintenance = int(now["equity_micros"]) // DOLLAR, int(now["maintenance_micros"]) // DOLLAR
    assert maintenance * 100 < equity * 45
    # Not enough to call, and refused, which changes nothing.
    assert await levels(1) == (0, 0)
    assert await levels(equity - maintenance) == (0, 0)
    # More than a ratio of 50% allows is bought: called after it, not before.
    fields = {"account": FIRST + 1, "market": 1, "side": 0, "limit_price_ticks": PRICES[1], "slot": 2}
    await desk.order(2, SELL, PRICES[1], 500_000, market=1)
    seen = await preview(desk, kind="order", size_lots=200_000, **fields)
    assert (seen["status"], seen["filled_lots"]) == ("filled", 200_000)
    assert (seen["before"]["margin_call_percent"], seen["after"]["margin_call_percent"]) == (0, 50)
    assert int(seen["after"]["maintenance_micros"]) * 100 >= int(seen["after"]["equity_micros"]) * 50
    # A call at 50 that the tick has told is eased below 45 and not below 50.
    await ticked(desk, PRICE * 990 // 1_000)
    assert await levels(1) == (50, 50)
    sell = {"account": FIRST + 1, "market": 0, "side": 1, "limit_price_ticks": PRICE * 990 // 1_000}
    await desk.order(3, BUY, PRICE * 990 // 1_000, 600_000)
    for lots, after in ((190_000, 50), (300_000, 0)):
        seen = await preview(desk, kind="order", size_lots=lots, **sell)
        assert seen["filled_lots"] == lots
        assert (seen["before"]["margin_call_percent"], seen["after"]["margin_call_percent"]) == (50, after)
        assert (int(seen["after"]["margin_ratio_ppm"]) < 450_000) == (after == 0)
        assert int(seen["after"]["margin_ratio_ppm"]) < 500_000


async def test_a_rank_is_foreseen_among_all_others_as_of_the_last_tick(desk: Desk) -> None:
    for trader, lots in ((1, 90_000), (2, 60_000)):
        await desk.order(0, BUY, PRICE, lots, slot=trader)
        await desk.order(trader, SELL, PRICE, lots)
    await ticked(desk, PRICE * 992 // 1_000)
    ranking = await desk.ask("catenary_deleveragingRanking", market="BTC", side="short")
    assert [place["account"] for place in ranking] == [FIRST + 1, FIRST + 2]
    # Money makes no profit: whoever takes some out has more leverage and comes first.
    taken = {"kind": "withdraw", "account": FIRST + 2, "recipient": "0x" + "66" * 20}
    seen = await preview(desk, **taken, amount_micros=4_000 * DOLLAR)
    assert (seen["status"], seen["before"]["positions"][0]["deleveraging_rank"]) == ("applied", 2)
    assert seen["after"]["positions"][0]["deleveraging_rank"] == 1
    little = await preview(desk, **taken, amount_micros=DOLLAR)
    assert little["after"]["positions"][0]["deleveraging_rank"] == 2
    # Whoever turns a position has its profit as money: the lots of the other side have won nothing yet.
    await desk.order(0, SELL, PRICE * 992 // 1_000, 80_000, slot=9)
    fields = {"account": FIRST + 2, "market": 0, "side": 0, "limit_price_ticks": PRICE * 992 // 1_000}
    turned = await preview(desk, kind="order", size_lots=75_000, **fields)
    assert [leg["size_lots"] for leg in turned["after"]["positions"]] == [15_000]
    assert [leg["deleveraging_rank"] for leg in turned["after"]["positions"]] == [None]
    losing = await preview(desk, **{**taken, "account": FIRST}, amount_micros=DOLLAR)
    assert losing["status"] == "applied"
    assert [losing[name]["positions"][0]["deleveraging_rank"] for name in ("before", "after")] == [None, None]
    # Nothing of it has happened.
    assert ranking == await desk.ask("catenary_deleveragingRanking", market="BTC", side="short")


async def test_a_refusal_is_an_answer(desk: Desk) -> None:
    seen = await preview(desk, kind="withdraw", account=FIRST, amount_micros=str(10**12), recipient="0x" + "66" * 20)
    assert (seen["code"], seen["refusal"], seen["status"]) == (31, "COLLATERAL", "refused")
    assert seen["after"] == seen["before"]
    seen = await preview(desk, kind="transfer", account=FIRST, amount_micros=DOLLAR, to_account=FIRST + 1)
    assert seen["refusal"] == "NOT_OWNER"
    assert seen["other_after"] == seen["other_before"]
    good = await preview(desk, kind="withdraw", account=FIRST, amount_micros=7 * DOLLAR, recipient="0x" + "66" * 20)
    assert (good["status"], good["other_after"]) == ("applied", None)
    assert int(good["before"]["equity_micros"]) - int(good["after"]["equity_micros"]) == 7 * DOLLAR + 500


async def test_a_new_account_and_a_bound_of_leverage_are_foreseen(desk: Desk) -> None:
    new = {"kind": "transfer", "account": FIRST, "to_account": constants.NEW_ACCOUNT}
    seen = await preview(desk, **new, amount_micros=50 * DOLLAR)
    assert (seen["status"], seen["other"], seen["other_before"]) == ("applied", FIRST + 4, None)
    assert (seen["other_after"]["account"], seen["fees_micros"]) == (FIRST + 4, str(DOLLAR + 500))
    assert seen["other_after"]["settled_micros"] == str(49 * DOLLAR)
    poor = await preview(desk, **new, amount_micros=DOLLAR)
    assert (poor["refusal"], poor["other_after"], poor["fees_micros"]) == ("TOO_SMALL", None, "0")
    await desk.order(0, SELL, PRICE)
    await desk.order(1, BUY, PRICE)
    bound = await preview(desk, kind="set_leverage", account=FIRST, initial_ppm=100_000)
    assert (bound["status"], bound["other"]) == ("applied", None)
    assert (bound["before"]["initial_ppm"], bound["after"]["initial_ppm"]) == (0, 100_000)
    assert (bound["before"]["initial_micros"], bound["after"]["initial_micros"]) == (str(12 * DOLLAR), str(60 * DOLLAR))
    wrong = await preview(desk, kind="set_leverage", account=FIRST, initial_ppm=1_000_001)
    assert (wrong["refusal"], wrong["after"]) == ("NOT_CANONICAL", wrong["before"])


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ({"kind": "cancel", "account": FIRST}, "INVALID_PARAMS"),
        ({"kind": "set_agent", "account": FIRST}, "INVALID_PARAMS"),
        ({"kind": "set_leverage", "account": FIRST, "initial_ppm": 2**24}, "INVALID_PARAMS"),
        ({"kind": "deposit", "account": FIRST}, "INVALID_PARAMS"),
        ({"account": FIRST}, "INVALID_PARAMS"),
        ({"kind": "order", "account": FIRST}, "INVALID_PARAMS"),
        ({"kind": "order", "account": "17"}, "INVALID_PARAMS"),
        ({"kind": "withdraw", "account": FIRST + 900, "amount_micros": 1}, "NO_ACCOUNT"),
        (
            {"kind": "order", "account": FIRST, "market": 0, "side": 0, "size_lots": 2**60, "limit_price_ticks": 5},
            "INVALID_PARAMS",
        ),
        (
            {"kind": "withdraw", "account": FIRST, "amount_micros": 1, "created_at_ms": 2**60},
            "INVALID_PARAMS",
        ),
    ],
)
async def test_what_cannot_be_previewed_is_refused(desk: Desk, operation: dict[str, Any], name: str) -> None:
    with pytest.raises(CallError) as refused:
        await preview(desk, **operation)
    assert refused.value.error.name == name


async def test_a_preview_costs_a_token_for_each_order_that_it_meets_and_no_more_than_its_bound(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is decided as a fill is, and nobody pays fees for it: a deep book would stop the node for one call."""
    owed = list[int]()
    monkeypatch.setattr(RELEASED.session, "owe", owed.append)
    monkeypatch.setattr(accounts, "MOST_MET", 3)
    for slot in range(1, 5):
        await desk.order(0, SELL, PRICE + slot, 300, slot=slot)
    taken = {"account": FIRST + 1, "market": 0, "side": 0, "limit_price_ticks": PRICE + 9}
    for lots, met in ((300, 1), (900, 3)):
        assert (await preview(desk, kind="order", size_lots=lots, **taken))["filled_lots"] == lots
        assert sum(owed) == met
        owed.clear()
    for kept in ({}, {"opened_with_micros": 1_000 * DOLLAR}):
        with pytest.raises(CallError) as refused:
            await desk.ask("catenary_preview", operation={"kind": "order", "size_lots": 901, **taken}, **kept)
        assert (refused.value.error.name, refused.value.data) == ("TOO_LARGE", {"limit": "orders_met", "most": 3})
        # What was done of it is paid for as well.
        assert sum(owed) == 3
        owed.clear()
    # Nothing is met by what only rests.
    await preview(desk, kind="order", size_lots=901, **{**taken, "limit_price_ticks": PRICE})
    assert owed == []


async def test_an_unknown_market_is_a_refusal_of_the_law(desk: Desk) -> None:
    fields = {"account": FIRST, "market": 9, "side": 0, "size_lots": 500, "limit_price_ticks": PRICE}
    assert (await preview(desk, kind="order", **fields))["refusal"] == "NO_MARKET"


async def test_an_explanation_is_named_and_exact(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 300_000)
    await desk.order(1, BUY, PRICE, 300_000)
    desk.clock.now += constants.TICK_STEP
    await desk.venue.submit(tick(desk.clock.now, PRICES, (300, 0, 0)))
    found = await desk.ask("catenary_explain", account=FIRST + 1)
    numbers = {number["name"]: number for number in found["numbers"]}
    seen = await desk.ask("catenary_account", account=FIRST + 1)
    assert numbers["equity"]["value"] == seen["equity_micros"]
    assert numbers["equity"]["inputs"] == {"collateral": seen["collateral_micros"], "unrealised": ["0"]}
    assert numbers["BTC.maintenance"]["inputs"] == {
        "size": "300000", "price": str(PRICE), "maintenance_ppm": "12000",
    }  # fmt: skip
    assert int(numbers["funding_payment"]["value"]) > 0
    assert int(numbers["BTC.room_at_liquidation_price"]["value"]) < 0
    with pytest.raises(CallError, match="does not exist"):
        await desk.ask("catenary_explain", account=FIRST + 9)


async def test_every_number_of_an_account_s_answer_is_explained(desk: Desk) -> None:
    for market, trader, lots in ((0, 0, 100_000), (1, 2, 900_000), (2, 3, 10_000)):
        await desk.order(trader, SELL, PRICES[market], lots, market=market, slot=1 + market)
        await desk.order(1, BUY, PRICES[market], lots, market=market, slot=1 + market)
    # Bitcoin won and is sold, so that profit matures; of the others one lost and one won, and funding is due.
    up, down = PRICE * 1_006 // 1_000, PRICES[1] * 985 // 1_000
    await ticked(desk, up)
    await desk.order(3, BUY, up, 100_000)
    await desk.order(1, SELL, up, 100_000, slot=9)
    desk.clock.now += constants.TICK_STEP
    await desk.venue.submit(b"")
    await desk.venue.submit(tick(desk.clock.now, (up + 1, down, PRICES[2] + 700), (0, 300, 0)))
    for index in (FIRST, FIRST + 1, FIRST + 2, FIRST + 3, 1):
        seen = await desk.ask("catenary_account", account=index)
        found = await desk.ask("catenary_explain", account=index)
        values = {number["name"]: number["value"] for number in found["numbers"]}
        numbers = {name: None if value is None else str(value) for name, value in told_numbers(seen)}
        assert numbers == {name: values.get(name, "not explained") for name in numbers}
    seen = await desk.ask("catenary_account", account=FIRST + 1)
    numbers = dict(told_numbers(seen))
    assert all(
        numbers[name] for name in ("margin_call", "maturing.0.amount", "SOL.deleveraging_rank", "ETH.pending_funding")
    )
    assert numbers["ETH.deleveraging_rank"] is None
    # A number that were told and not explained would be missed.
    more = dict(told_numbers({**seen, "new_micros": "5", "positions": [{"market": "BTC", "new_ppm": 7}]}))
    assert (more["new"], more["BTC.new"]) == (5, 7)
    assert not {"new", "BTC.new"} & values.keys()


async def test_a_rank_is_explained_by_its_score_and_its_neighbours(desk: Desk) -> None:
    for trader, lots in ((1, 300_000), (2, 200_000), (3, 100_000)):
        await desk.order(0, BUY, PRICE, lots, slot=trader)
        await desk.order(trader, SELL, PRICE, lots)
    await ticked(desk, PRICE * 992 // 1_000)
    ranking = await desk.ask("catenary_deleveragingRanking", market="BTC", side="short")
    assert [(place["account"], place["rank"]) for place in ranking] == [(FIRST + 1, 1), (FIRST + 2, 2), (FIRST + 3, 3)]
    for place in ranking:
        found = await desk.ask("catenary_explain", account=place["account"])
        numbers = {number["name"]: number for number in found["numbers"]}
        assert numbers["BTC.deleveraging_rank"]["value"] == str(place["rank"])
        assert numbers["BTC.deleveraging_score"]["value"] == str(place["score_ppm"])
        for name, at in (("ahead", place["rank"] - 2), ("behind", place["rank"])):
            shown = numbers.get(f"BTC.score_one_place_{name}")
            neighbour = ranking[at] if 0 <= at < len(ranking) else None
            assert (shown is None) == (neighbour is None)
            if shown is not None and neighbour is not None:
                assert shown["inputs"]["account"] == str(neighbour["account"])
                assert shown["value"] == str(neighbour["score_ppm"])
    loser = await desk.ask("catenary_explain", account=FIRST)
    values = {number["name"]: number["value"] for number in loser["numbers"]}
    assert (values["BTC.deleveraging_score"], values["BTC.deleveraging_rank"]) == (None, None)


async def test_a_margin_call_is_explained_by_the_look_that_told_it(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 600_000)
    await desk.order(1, BUY, PRICE, 600_000)

    async def call() -> dict[str, Any]:
        found = await desk.ask("catenary_explain", account=FIRST + 1)
        (number,) = [number for number in found["numbers"] if number["name"] == "margin_call"]
        return dict(number)

    # No tick has looked at its position yet.
    assert ((await call())["value"], (await call())["formula"]) == ("0", "0")
    await ticked(desk, PRICE * 990 // 1_000)
    called = await call()
    seen = await desk.ask("catenary_account", account=FIRST + 1)
    assert (called["value"], called["inputs"]["previous"]) == ("50", "0")
    assert called["inputs"]["equity"] == seen["equity_micros"]
    # What the account does until the next tick changes nothing of it.
    await desk.order(2, BUY, PRICE * 990 // 1_000, 600_000)
    await desk.order(1, SELL, PRICE * 990 // 1_000, 500_000, slot=2)
    assert await call() == called
    await ticked(desk, PRICE * 990 // 1_000)
    assert ((await call())["value"], (await call())["inputs"]["previous"]) == ("0", "50")


async def test_a_contribution_names_its_markets(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 300_000)
    await desk.order(1, BUY, PRICE, 300_000)
    found = await desk.ask("catenary_contribution", account=FIRST + 1, shock_bp=-500, market="BTC")
    assert [leg["market"] for leg in found["legs"]] == ["BTC"]
    assert found["shocked"]["market"] == "BTC"
    assert [entry["market"] for entry in found["shocked"]["liquidated"]] == ["BTC"]
    assert found["saved"]["saved_micros"] == "0"
    whole = await desk.ask("catenary_contribution", account=FIRST + 2)
    assert (whole["legs"], whole["shocked"]["market"], whole["shocked"]["liquidated"]) == ([], None, [])
    with pytest.raises(CallError, match="market"):
        await desk.ask("catenary_contribution", account=FIRST, market="DOGE")


async def test_a_shock_reaches_each_market_by_its_beta(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, 300_000)
    await desk.order(1, BUY, PRICE, 300_000)
    plain = await desk.ask("catenary_contribution", account=FIRST + 1, shock_bp=-500)
    halved = await desk.ask("catenary_contribution", account=FIRST + 1, shock_bp=-1_000, betas_bp={"BTC": 5_000})
    assert halved["shocked"]["legs"] == plain["shocked"]["legs"]
    assert [leg["market"] for leg in plain["shocked"]["legs"]] == ["BTC"]
    with pytest.raises(CallError, match="market"):
        await desk.ask("catenary_contribution", account=FIRST, betas_bp={"DOGE": 1})
    for betas in ({"BTC": 100_001}, {"BTC": -100_001}, {f"M{index}": 1 for index in range(MOST_BETAS + 1)}):
        with pytest.raises(CallError):
            await desk.ask("catenary_contribution", account=FIRST, betas_bp=betas)


@pytest.mark.parametrize("shock_bp", [-10_000, 100_001])
async def test_a_shock_to_nothing_or_beyond_reason_is_no_question(shock_bp: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"account": FIRST, "shock_bp": shock_bp}, ContributionOf, dec_hook=decode_value)


async def test_an_order_of_an_account_that_is_not_there_yet_is_previewed_in_what_a_transfer_would_open(
    desk: Desk,
) -> None:
    await desk.order(1, SELL, PRICES[0], 10 * LOTS)
    fields = {"kind": "order", "account": FIRST, "market": 0, "side": BUY, "limit_price_ticks": PRICES[0]}

    async def opened(micros: int, **more: Any) -> Any:
        return await desk.ask("catenary_preview", operation={**fields, **more}, opened_with_micros=micros)

    seen = await opened(101 * DOLLAR, size_lots=LOTS)
    assert (seen["status"], seen["before"]["account"], seen["after"]["account"]) == ("filled", FIRST + 4, FIRST + 4)
    assert (seen["before"]["equity_micros"], seen["finality"]) == (str(100 * DOLLAR), "preview")
    assert (await opened(DOLLAR, size_lots=LOTS))["refusal"] == "TOO_SMALL"
    assert (await opened(11 * DOLLAR, size_lots=10 * LOTS))["status"] == "refused"
    with pytest.raises(CallError) as refused:
        await desk.ask("catenary_preview", operation={"kind": "set_leverage", "account": FIRST}, opened_with_micros=5)
    assert refused.value.error.name == "INVALID_PARAMS"
