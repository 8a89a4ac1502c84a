"""Previews, explanations and contributions in the words of the API."""

from typing import Any

import msgspec
import pytest

from prover.stf import constants
from sequencer.account_methods import ContributionOf, ExplanationOf, OperationOf
from sequencer.api.errors import CallError
from sequencer.api.values import decode_value
from sequencer.methods import OfAccount
from tests.sequencer.node_world import BUY, DOLLAR, FIRST, PRICES, SELL, tick
from tests.sequencer.test_methods import CALL, Desk, desk  # noqa: F401  (a fixture)

pytestmark = pytest.mark.trio
PRICE = PRICES[0]


async def test_an_account_says_all_that_a_trader_sees(desk: Desk) -> None:  # noqa: F811
    await desk.order(0, SELL, PRICE, 300_000)
    await desk.order(1, BUY, PRICE, 300_000)
    seen = await desk.methods.account(OfAccount(account=FIRST + 1), CALL)
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
    msgspec.json.encode(seen)


async def preview(desk: Desk, **operation: Any) -> dict[str, Any]:  # noqa: F811
    """catenary_preview; all of it is JSON."""
    found = await desk.methods.insight.preview(OperationOf(operation=operation), CALL)
    msgspec.json.encode(found)
    return found


async def test_a_preview_fills_in_what_is_missing_and_changes_nothing(desk: Desk) -> None:  # noqa: F811
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
    assert (await desk.methods.account(OfAccount(account=FIRST + 1), CALL))["positions"] == []


async def test_a_refusal_is_an_answer(desk: Desk) -> None:  # noqa: F811
    seen = await preview(desk, kind="withdraw", account=FIRST, amount_micros=str(10**12), recipient="0x" + "66" * 20)
    assert (seen["code"], seen["refusal"], seen["status"]) == (31, "COLLATERAL", "refused")
    assert seen["after"] == seen["before"]
    seen = await preview(desk, kind="transfer", account=FIRST, amount_micros=DOLLAR, to_account=FIRST + 1)
    assert seen["refusal"] == "NOT_OWNER"
    assert seen["other_after"] == seen["other_before"]
    good = await preview(desk, kind="withdraw", account=FIRST, amount_micros=7 * DOLLAR, recipient="0x" + "66" * 20)
    assert (good["status"], good["other_after"]) == ("applied", None)
    assert int(good["before"]["equity_micros"]) - int(good["after"]["equity_micros"]) == 7 * DOLLAR


async def test_a_new_account_and_a_bound_of_leverage_are_foreseen(desk: Desk) -> None:  # noqa: F811
    new = {"kind": "transfer", "account": FIRST, "to_account": constants.NEW_ACCOUNT}
    seen = await preview(desk, **new, amount_micros=50 * DOLLAR)
    assert (seen["status"], seen["other"], seen["other_before"]) == ("applied", FIRST + 4, None)
    assert (seen["other_after"]["account"], seen["fees_micros"]) == (FIRST + 4, str(DOLLAR))
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
async def test_what_cannot_be_previewed_is_refused(desk: Desk, operation: dict[str, Any], name: str) -> None:  # noqa: F811
    with pytest.raises(CallError) as refused:
        await preview(desk, **operation)
    assert refused.value.error.name == name


async def test_an_unknown_market_is_a_refusal_of_the_law(desk: Desk) -> None:  # noqa: F811
    fields = {"account": FIRST, "market": 9, "side": 0, "size_lots": 500, "limit_price_ticks": PRICE}
    assert (await preview(desk, kind="order", **fields))["refusal"] == "NO_MARKET"


async def test_an_explanation_is_named_and_exact(desk: Desk) -> None:  # noqa: F811
    await desk.order(0, SELL, PRICE, 300_000)
    await desk.order(1, BUY, PRICE, 300_000)
    desk.clock.now += constants.TICK_STEP
    await desk.venue.submit(tick(desk.clock.now, PRICES, (300, 0, 0)))
    found = await desk.methods.insight.explain(ExplanationOf(account=FIRST + 1), CALL)
    numbers = {number["name"]: number for number in found["numbers"]}
    seen = await desk.methods.account(OfAccount(account=FIRST + 1), CALL)
    assert numbers["equity"]["value"] == seen["equity_micros"]
    assert numbers["equity"]["inputs"] == {"collateral": seen["collateral_micros"], "unrealised": ["0"]}
    assert numbers["BTC.maintenance"]["inputs"] == {
        "size": "300000", "price": str(PRICE), "maintenance_ppm": "12000",
    }  # fmt: skip
    assert int(numbers["funding_payment"]["value"]) > 0
    assert int(numbers["BTC.room_at_liquidation_price"]["value"]) < 0
    with pytest.raises(CallError, match="does not exist"):
        await desk.methods.insight.explain(ExplanationOf(account=FIRST + 9), CALL)


async def test_a_contribution_names_its_markets(desk: Desk) -> None:  # noqa: F811
    await desk.order(0, SELL, PRICE, 300_000)
    await desk.order(1, BUY, PRICE, 300_000)
    asked = ContributionOf(account=FIRST + 1, shock_bp=-500, market="BTC")
    found = await desk.methods.insight.contribution(asked, CALL)
    assert [leg["market"] for leg in found["legs"]] == ["BTC"]
    assert found["shocked"]["market"] == "BTC"
    assert [entry["market"] for entry in found["shocked"]["liquidated"]] == ["BTC"]
    assert found["saved"]["saved_micros"] == "0"
    msgspec.json.encode(found)
    whole = await desk.methods.insight.contribution(ContributionOf(account=FIRST + 2), CALL)
    assert (whole["legs"], whole["shocked"]["market"], whole["shocked"]["liquidated"]) == ([], None, [])
    with pytest.raises(CallError, match="market"):
        await desk.methods.insight.contribution(ContributionOf(account=FIRST, market="DOGE"), CALL)


@pytest.mark.parametrize("shock_bp", [-10_000, 100_001])
async def test_a_shock_to_nothing_or_beyond_reason_is_no_question(shock_bp: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"account": FIRST, "shock_bp": shock_bp}, ContributionOf, dec_hook=decode_value)
