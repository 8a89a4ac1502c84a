"""Every explained number recomputed from its formula, and contributions that add up to the pool."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.stf import codes, containers, encoding, margin, rescue
from sequencer.account_explain import SEARCH, Explained, Reduced, Saved, contribution, explain, saved, shocked
from sequencer.account_view import positions_of, view
from tests.sequencer.node_world import DOLLAR, START, genesis
from tests.sequencer.test_account_view import EXAMPLES, account_of, oracle, risk_of, worlds

# What a formula may name beside its inputs.
WORDS: dict[str, Any] = {
    "ceil_div": lambda n, d: -(-n // d), "abs": abs, "max": max, "min": min, "sum": sum, "zip": zip, "None": None,
}  # fmt: skip


CLOCK = containers.Clock(now=START, priced=True, grace=False, steady=True)


def globals_at(risk: containers.Risk) -> containers.Globals:
    """A venue's globals over these prices and fractions."""
    return msgspec.structs.replace(encoding.globals_from_bytes(genesis()), risk=risk)


def recompute(number: Explained) -> int | None:
    """The formula, over the inputs and nothing else."""
    value: int | None = eval(number.formula, {"__builtins__": {}, **WORDS, **number.inputs})
    return value


@EXAMPLES
@given(worlds())
def test_every_formula_gives_its_value(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    found = explain(risk, account, START, lambda market: f"M{market}")
    names = [number.name for number in found]
    assert len(set(names)) == len(names)
    for number in found:
        if not number.formula.startswith(SEARCH):
            assert recompute(number) == number.value, number


@EXAMPLES
@given(worlds())
def test_no_number_of_the_view_is_left_out(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    seen = view(risk, account, START)
    values = {number.name: number.value for number in explain(risk, account, START, lambda market: f"M{market}")}
    for name in (
        "collateral",
        "settled",
        "equity",
        "initial",
        "maintenance",
        "notional",
        "free_collateral",
        "withdrawable",
    ):
        assert values[name] == getattr(seen, f"{name}_micros")
    for name in ("margin_usage", "margin_ratio", "leverage"):
        assert values[name] == getattr(seen, f"{name}_ppm")
    assert values["fall_to_liquidation"] == seen.fall_bp
    assert values["rise_to_liquidation"] == seen.rise_bp
    for leg in seen.positions:
        of = f"M{leg.market}"
        assert values[f"{of}.liquidation_price"] == leg.liquidation_price_ticks
        for name in ("value", "unrealised", "notional", "initial", "maintenance"):
            assert values[f"{of}.{name}"] == getattr(leg, f"{name}_micros")


@EXAMPLES
@given(worlds())
def test_a_search_is_proven_by_the_room_on_both_sides(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    healthy = margin.settle(risk, account, START)[0]
    if oracle(risk, healthy)["equity_micros"] < oracle(risk, healthy)["maintenance_micros"]:
        return
    values = {number.name: number.value for number in explain(risk, account, START, str)}
    for name, value in values.items():
        if name.endswith(("room_at_liquidation_price", "room_after")):
            assert value is not None
            assert value < 0
        if name.endswith(("room_one_tick_before", "room_one_bp_before")):
            assert value is not None
            assert value >= 0


# Contribution.


@EXAMPLES
@given(worlds())
def test_contributions_add_up_to_the_pool(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    seen = view(risk, account, START)
    found = contribution(globals_at(risk), CLOCK, account, -1_000, None)
    assert seen.collateral_micros + sum(leg.to_equity_micros for leg in found.legs) == seen.equity_micros
    assert (
        seen.collateral_micros + sum(leg.to_free_micros for leg in found.legs)
        == seen.equity_micros - seen.initial_micros
    )
    room = seen.equity_micros - seen.maintenance_micros
    assert seen.collateral_micros + sum(leg.to_room_micros for leg in found.legs) == room
    assert [leg.maintenance_micros for leg in found.legs] == sorted(
        (leg.maintenance_micros for leg in seen.positions), reverse=True
    )
    settled, _ = margin.settle(risk, account, START)
    for leg in found.legs:
        positions = [containers.EMPTY if m == leg.market else held for m, held in enumerate(settled.positions)]
        # Closed at the oracle price without a fee: its gain becomes collateral.
        without = msgspec.structs.replace(settled, settled=settled.settled + leg.to_equity_micros, positions=positions)
        assert oracle(risk, without)["margin_ratio_ppm"] == leg.margin_ratio_without_ppm


@EXAMPLES
@given(worlds())
def test_one_pool_never_needs_more_than_isolated_positions(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    found = saved(risk, account)
    assert found.saved_micros == found.isolated_micros - found.together_micros >= 0
    for level, accounts in (
        (found.together_micros, [dict(positions_of(account))]),
        (found.isolated_micros, [{market: held} for market, held in positions_of(account)]),
    ):
        total = 0
        for held in accounts:
            positions = {market: (p.size, p.cost, risk.funding_index[market]) for market, p in held.items()}
            numbers = oracle(risk, account_of(0, positions, initial_ppm=account.initial_ppm))
            total += max(0, numbers["initial_micros"] - numbers["equity_micros"])
        assert total == level


def test_a_gain_stands_for_a_loss_in_one_pool() -> None:
    # Up 100 dollars in one market, down 80 in the other, 60 dollars of requirements in each.
    risk = risk_of([1_000_000, 1_000_000], [30_000, 30_000], [60_000, 60_000], [0, 0])
    account = account_of(0, {0: (1_000, 900 * DOLLAR, 0), 1: (-1_000, -920 * DOLLAR, 0)})
    assert saved(risk, account) == Saved(100 * DOLLAR, 140 * DOLLAR, 40 * DOLLAR)


def test_a_shock_liquidates_the_largest_requirement_first_and_no_lot_more_than_needed() -> None:
    risk = risk_of([1_000_000, 500_000], [30_000, 50_000], [60_000, 100_000], [0, 0])
    account = account_of(150 * DOLLAR, {0: (1_000, 1_000 * DOLLAR, 0), 1: (1_000, 500 * DOLLAR, 0)})
    assert shocked(globals_at(risk), CLOCK, account, -500, None).liquidated == []
    found = shocked(globals_at(risk), CLOCK, account, -700, None)
    # 45 dollars are left; 27.90 and 23.25 are needed to stay, 55.80 and 46.50 to be healthy again.
    assert (found.equity_micros, found.maintenance_micros, found.deficit_micros) == (45 * DOLLAR, 51_150_000, 0)
    # All of market 0 leaves 46.50 to be covered by 45: another 33 lots go.
    assert found.liquidated == [Reduced(0, 1_000, 70 * DOLLAR), Reduced(1, 33, 35 * DOLLAR)]
    left = account_of(45 * DOLLAR, {1: (967, 967 * 465_000, 0)})
    at = risk_of([930_000, 465_000], [30_000, 50_000], [60_000, 100_000], [0, 0])
    assert oracle(at, left)["initial_micros"] <= 45 * DOLLAR
    more = account_of(45 * DOLLAR, {1: (968, 968 * 465_000, 0)})
    assert oracle(at, more)["initial_micros"] > 45 * DOLLAR


def test_a_shock_in_one_market_liquidates_elsewhere() -> None:
    """How a loss nibbles at the pool: a small fall here, and the large position there has to go."""
    risk = risk_of([1_000_000, 1_000_000], [10_000, 50_000], [20_000, 100_000], [0, 0])
    account = account_of(120 * DOLLAR, {0: (3_000, 3_000 * DOLLAR, 0), 1: (-1_000, -1_000 * DOLLAR, 0)})
    found = shocked(globals_at(risk), CLOCK, account, -200, 0)
    assert found.market == 0
    assert [entry.market for entry in found.liquidated] == [1]
    assert found.liquidated[0].lost_micros == 0
    assert shocked(globals_at(risk), CLOCK, account, -200, 1).liquidated == []


def test_what_cannot_be_paid_is_a_deficit_and_everything_goes() -> None:
    risk = risk_of([1_000_000], [10_000], [20_000], [0])
    account = account_of(50 * DOLLAR, {0: (-1_000, -1_000 * DOLLAR, 0)})
    found = shocked(globals_at(risk), CLOCK, account, 1_000, None)
    assert found.margin_ratio_ppm is None
    assert found.deficit_micros == 50 * DOLLAR
    assert found.liquidated == [Reduced(0, 1_000, 100 * DOLLAR)]


@EXAMPLES
@given(worlds(), st.integers(-9_999, 20_000))
def test_a_shock_is_the_account_at_moved_prices(
    world: tuple[containers.Risk, containers.Account], shock_bp: int
) -> None:
    risk, account = world
    settled, _ = margin.settle(risk, account, START)
    found = shocked(globals_at(risk), CLOCK, settled, shock_bp, None)
    prices = [max(1, price * (10_000 + shock_bp) // 10_000) if price else 0 for price in risk.price]
    moved = msgspec.structs.replace(risk, price=prices)
    expected = oracle(moved, settled)
    assert found.equity_micros == expected["equity_micros"]
    assert found.maintenance_micros == expected["maintenance_micros"]
    is_below = expected["equity_micros"] < expected["maintenance_micros"]
    assert bool(found.liquidated) == (is_below and bool(positions_of(settled)))
    sizes = {market: abs(held.size) for market, held in positions_of(settled)}
    assert all(0 < entry.lots <= sizes[entry.market] for entry in found.liquidated)
    # Only the last may be closed in part.
    assert all(entry.lots == sizes[entry.market] for entry in found.liquidated[:-1])
    if found.liquidated and expected["equity_micros"] >= 0:
        first = found.liquidated[0]
        asked = rescue.unbounded(settled), first.market, moved.price[first.market]
        assert rescue.check_liquidation(moved, *asked, first.lots)[0] == codes.OK
        more = rescue.check_liquidation(moved, *asked, first.lots + 1)[0]
        assert more == (codes.OVERFILLED if first.lots == sizes[first.market] else codes.TOO_MANY_LOTS)


def test_an_owners_own_bound_makes_no_liquidation_larger() -> None:
    risk = risk_of([600_000], [12_000], [20_000], [0])
    shocks = [
        shocked(globals_at(risk), CLOCK, account_of(900 * DOLLAR, held, initial_ppm=bound), -50, None).liquidated
        for bound in (0, 100_000, 500_000)
        for held in [{0: (100_000, 100_000 * 600_000, 0)}]
    ]
    assert [[entry.lots for entry in found] for found in shocks] == [[49_749]] * 3


@pytest.mark.parametrize("market", [None, 0])
def test_an_account_without_positions_has_nothing_to_say(market: int | None) -> None:
    found = contribution(globals_at(risk_of([5], [10], [20], [0])), CLOCK, account_of(7, {}), -5_000, market)
    assert (found.equity_micros, found.legs, found.saved) == (7, [], Saved(0, 0, 0))
    assert found.shocked.liquidated == []
