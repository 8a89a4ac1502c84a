"""Every explained number recomputed from its formula, and contributions that add up to the pool."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.stf import codes, constants, containers, debts, encoding, margin, rescue
from sequencer.engine.ranking import Place
from sequencer.schema.accounts import Explained, MarginCall, Outlook, Reduced, Saved
from sequencer.views.account import Standing, code_of_fill, outlook, positions_of
from sequencer.views.contribution import Moves, contribution, saved, shocked
from sequencer.views.explain import SEARCH, explain
from sequencer.views.margin_calls import LEVELS, next_level
from tests.sequencer.node_world import BTC, BUY, DOLLAR, ETH, FIRST, PRICES, SELL, START, World, genesis
from tests.sequencer.views.test_account import EXAMPLES, NAMES, account_of, holder, oracle, risk_of, seen_at, worlds

# What a formula may name beside its inputs.
WORDS: dict[str, Any] = {
    "ceil_div": lambda n, d: -(-n // d), "abs": abs, "max": max, "min": min, "sum": sum, "zip": zip, "None": None,
}  # fmt: skip


CLOCK = containers.Clock(now=START, priced=True, grace=False, steady=True)
# What an account is told with and nothing computes: what the state or a signature says, and how far it has come.
GIVEN: Final = {
    "account", "owner", "floor", "initial_ppm", "agents", "market", "size_lots", "cost_micros", "price_ticks",
    "slots_hint", "open_orders", "finality", "root", "has_voided",
}  # fmt: skip
UNITS: Final = ("_micros", "_lots", "_ppm", "_percent", "_ms")
OF_ANOTHER_NAME: Final = {
    "fall_bp": "fall_to_liquidation",
    "rise_bp": "rise_to_liquidation",
    "liquidation_price_ticks": "liquidation_price",
    "buy_lots": "could_buy",
    "sell_lots": "could_sell",
}


def told_numbers(told: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, int | None]]:
    """Every number of an answer of catenary_account but the given ones, by the name under which it is explained."""
    for field, value in told.items():
        if field in GIVEN:
            continue
        name = OF_ANOTHER_NAME.get(field, field)
        for unit in UNITS:
            name = name.removesuffix(unit)
        if isinstance(value, list):
            for place, item in enumerate(value):
                yield from told_numbers(item, f"{item['market']}." if "market" in item else f"{name}.{place}.")
        else:
            yield prefix + name, None if value is None else int(value)


def globals_at(risk: containers.Risk) -> containers.Globals:
    """A venue's globals over these prices and fractions."""
    return msgspec.structs.replace(encoding.globals_from_bytes(genesis()), risk=risk, market_count=len(NAMES))


def explained(
    risk: containers.Risk, account: containers.Account, clock: containers.Clock = CLOCK
) -> dict[str, Explained]:
    """The numbers of an account that no tick has looked at and nobody ranked, by name."""
    found = explain(globals_at(risk), clock, FIRST, account, {}, None, lambda seen: {})
    assert len({number.name for number in found}) == len(found)
    return {number.name: number for number in found}


def recompute(number: Explained) -> int | None:
    """The formula, over the inputs and nothing else."""
    value: int | None = eval(number.formula, {"__builtins__": {}, **WORDS, **number.inputs})
    return value


@EXAMPLES
@given(worlds())
def test_every_formula_gives_its_value(world: tuple[containers.Risk, containers.Account]) -> None:
    for number in explained(*world).values():
        if not number.formula.startswith(SEARCH):
            assert recompute(number) == number.value, number


@EXAMPLES
@given(worlds())
def test_no_number_of_the_view_is_left_out(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    found = explained(risk, account)
    told = msgspec.to_builtins(outlook(globals_at(risk), CLOCK, FIRST, account, {}))
    numbers = {name: value for name, value in told_numbers(told) if not name.endswith("deleveraging_rank")}
    assert numbers == {name: found[name].value for name in numbers}


@EXAMPLES
@given(worlds(), st.sampled_from([-1, -9 * constants.HOUR, START - 5, 2 * constants.EPOCH]))
def test_what_is_behind_is_explained_as_the_law_has_it(
    world: tuple[containers.Risk, containers.Account], clock: int
) -> None:
    risk, account = world
    owing = containers.Debts(clock=clock, factors=risk.debts.factors)
    risk = msgspec.structs.replace(risk, debts=owing)
    epoch = debts.today(owing, START)
    account = msgspec.structs.replace(account, epoch=account.epoch - START // constants.EPOCH + epoch)
    found = explained(risk, account)
    for number in found.values():
        assert number.formula.startswith(SEARCH) or recompute(number) == number.value, number
    seen = outlook(globals_at(risk), CLOCK, FIRST, account, {})
    row, _ = margin.settle(risk, account, START)
    assert found["settled"].value == row.settled == seen.settled_micros
    for step in seen.maturing if clock < 0 else []:
        early, ripe = (margin.matured(owing, row, step.settles_at_ms - less).settled for less in (1, 0))
        assert ripe - early == step.amount_micros


@EXAMPLES
@given(worlds())
def test_a_search_is_proven_by_the_room_on_both_sides(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    healthy = margin.settle(risk, account, START)[0]
    if oracle(risk, healthy)["equity_micros"] < oracle(risk, healthy)["maintenance_micros"]:
        return
    for name, value in ((number.name, number.value) for number in explained(risk, account).values()):
        if name.endswith(("room_at_liquidation_price", "room_after")):
            assert value is not None
            assert value < 0
        if name.endswith(("room_one_tick_before", "room_one_bp_before")):
            assert value is not None
            assert value >= 0


@EXAMPLES
@given(worlds(), st.booleans())
def test_buying_power_is_proven_by_what_it_leaves_and_by_one_lot_more(
    world: tuple[containers.Risk, containers.Account], grace: bool
) -> None:
    risk, account = world
    clock = msgspec.structs.replace(CLOCK, grace=grace)
    values = {name: number.value for name, number in explained(risk, account, clock).items()}
    for market in range(globals_at(risk).market_count):
        for label, direction in (("could_buy", 1), ("could_sell", -1)):
            of = f"{NAMES[market]}.{label}"
            most = values[of]
            assert most is not None
            assert most == 0 or (values[f"{of}.room"] or 0) >= 0 or (values[f"{of}.kept"] or 0) >= 0
            refused = code_of_fill(globals_at(risk), clock, account, market, direction, most + 1)
            if refused == codes.MARGIN:
                assert (values[f"{of}.room_one_lot_more"] or 0) < 0
                assert (values.get(f"{of}.kept_one_lot_more") or -1) < 0
            else:
                assert values[f"{of}.code_one_lot_more"] == refused != codes.OK


def numbers_of(world: World, trader: int = 1, market: int = BTC) -> dict[str, Explained]:
    """The numbers of a trader in a venue, formulas proven."""
    engine = world.engine
    found = explain(
        engine.globals,
        engine.view.clock(),
        FIRST + trader,
        engine.account(FIRST + trader),
        world.open(trader),
        None,
        lambda seen: {},
    )
    assert all(number.formula.startswith(SEARCH) or recompute(number) == number.value for number in found)
    return {number.name: number for number in found}


def test_a_leg_that_grows_is_explained_by_the_open_interest() -> None:
    world = holder(0, dollars=100_000)
    free = numbers_of(world)
    assert free["BTC.could_buy.leg_ppm"].value == 20_000
    listed = world.engine.globals.markets[BTC]
    listed.fund, listed.interest_lower, listed.interest_upper = 10**15, 0, 1_000_000 * DOLLAR
    bound = numbers_of(world)
    assert bound["BTC.could_buy.leg_ppm"].inputs["open_notional"] == bound["BTC.could_buy.open_notional"].value
    assert (bound["BTC.could_buy.leg_ppm"].value or 0) > 20_000
    assert (bound["BTC.could_buy"].value or 0) < (free["BTC.could_buy"].value or 0)
    # A fund that is gone lets nothing grow on credit.
    listed.fund = -5
    assert numbers_of(world)["BTC.could_buy.leg_ppm"].value == 10**6


def test_who_may_only_reduce_sees_what_that_leaves() -> None:
    world = World(2, dollars=5_000)
    for market, size in ((BTC, 200_000), (ETH, 300_000)):
        world.order(0, SELL, PRICES[market], size, market=market, slot=1 + market)
        assert world.order(1, BUY, PRICES[market], size, market=market, slot=1 + market).filled == size
    world.tick((PRICES[BTC] * 970 // 1000, *PRICES[1:]))
    found = numbers_of(world)
    # Below the initial requirement with either leg closed: all of one may go, and not a lot more.
    assert found["BTC.could_sell"].value == 200_000
    assert (found["BTC.could_sell.room"].value or 0) < 0 <= (found["BTC.could_sell.kept"].value or -1)
    assert (found["BTC.could_sell.room_one_lot_more"].value or 0) < 0
    assert "BTC.could_sell.kept_one_lot_more" not in found
    assert found["BTC.could_buy"].value == 0


@pytest.mark.parametrize(
    ("status", "sells", "code"),
    [
        (constants.MARKET_OPEN, True, None),
        (constants.MARKET_REDUCE_ONLY, True, codes.MARKET_REDUCES),
        (constants.MARKET_CLOSED, False, codes.NO_MARKET),
    ],
)
def test_what_is_no_question_of_margin_is_explained_by_the_rule(status: int, sells: bool, code: int | None) -> None:
    world = holder(20_000)
    world.engine.globals.markets[BTC].status = status
    found = numbers_of(world)
    if code is None:
        assert (found["BTC.could_sell"].value or 0) > 20_000
        assert "BTC.could_sell.code_one_lot_more" not in found
    else:
        assert found["BTC.could_sell"].value == (20_000 if sells else 0)
        assert found["BTC.could_sell.code_one_lot_more"].value == code
        assert codes.SENTENCE[code][0] in found["BTC.could_sell.code_one_lot_more"].formula
        assert found["BTC.could_buy"].value == 0


def test_what_matures_is_explained_with_its_hour() -> None:
    epoch = START // constants.EPOCH
    risk = risk_of([5], [10_000], [20_000], [0])
    account = account_of(100, {}, older=20, fresh=3, epoch=epoch)
    found = explained(risk, account)
    assert [found[f"maturing.{place}.amount"].value for place in (0, 1)] == [20, 3]
    ends = (epoch + 1) * constants.EPOCH
    assert [found[f"maturing.{place}.settles_at"].value for place in (0, 1)] == [ends, ends + constants.EPOCH]
    # An epoch later what was fresh is the older, and alone.
    later = explained(risk, account, msgspec.structs.replace(CLOCK, now=START + constants.EPOCH))
    assert (later["maturing.0.amount"].value, later["settled"].value) == (3, 120)
    assert later["maturing.0.settles_at"].value == ends + constants.EPOCH
    assert "maturing.1.amount" not in later
    assert all(recompute(later[name]) == later[name].value for name in later if name.startswith(("mat", "settled")))


@given(
    st.sampled_from((0, *LEVELS)),
    st.integers(-10, 400),
    st.one_of(st.integers(0, 500), st.sampled_from([level * 2 + step for level in LEVELS for step in (-10, -1, 0)])),
)
def test_a_margin_call_is_recomputed_from_the_last_look(previous: int, equity: int, maintenance: int) -> None:
    level = next_level(previous, Standing(equity, 0, maintenance, 0))
    look = MarginCall(17, level, previous, None, equity, maintenance, START)
    found = explain(globals_at(risk_of([], [], [], [])), CLOCK, 17, account_of(7, {}), {}, look, lambda seen: {})
    (number,) = [number for number in found if number.name == "margin_call"]
    assert (number.value, recompute(number)) == (level, level)


def test_an_account_without_positions_is_not_looked_at_and_stands_in_no_ranking() -> None:
    found = explained(risk_of([5], [10], [20], [0]), account_of(7, {}))
    assert (found["margin_call"].value, found["margin_call"].formula) == (0, "0")
    assert not [name for name in found if "deleveraging" in name]


def test_a_position_has_a_score_where_it_is_in_profit_and_a_rank_where_it_has_a_place() -> None:
    risk = risk_of([1_000_000, 1_000_000], [30_000, 30_000], [60_000, 60_000], [0, 0])
    account = account_of(100 * DOLLAR, {0: (1_000, 900 * DOLLAR, 0), 1: (1_000, 1_080 * DOLLAR, 0)})
    asked: list[Outlook] = []

    def places_of(seen: Outlook) -> dict[str, Place]:
        asked.append(seen)
        return {"BTC": Place(1, None, None)}

    found = {number.name: number for number in explain(globals_at(risk), CLOCK, FIRST, account, {}, None, places_of)}
    assert asked == [outlook(globals_at(risk), CLOCK, FIRST, account, {})]
    # 100 of 900 dollars, at 2,000 dollars on an equity of 120.
    assert found["BTC.deleveraging_score"].value == 100 * 2_000 * 10**6 // (900 * 120)
    assert found["BTC.deleveraging_rank"].value == 1
    assert not {"BTC.score_one_place_ahead", "BTC.score_one_place_behind"} & found.keys()
    assert (found["ETH.deleveraging_score"].value, found["ETH.deleveraging_rank"].value) == (None, None)


# Contribution.


@EXAMPLES
@given(worlds())
def test_contributions_add_up_to_the_pool(world: tuple[containers.Risk, containers.Account]) -> None:
    risk, account = world
    seen = seen_at(risk, account, START)
    found = contribution(globals_at(risk), CLOCK, FIRST, account, Moves(-1_000))
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
        positions = [
            containers.EMPTY if NAMES[m : m + 1] == (leg.market,) else held for m, held in enumerate(settled.positions)
        ]
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
    assert shocked(globals_at(risk), CLOCK, account, Moves(-500)).liquidated == []
    found = shocked(globals_at(risk), CLOCK, account, Moves(-850))
    # 22.50 dollars are left; 27.45 and 22.875 are needed to stay, 54.90 and 45.75 to be healthy again.
    assert (found.equity_micros, found.maintenance_micros, found.deficit_micros) == (22_500_000, 50_325_000, 0)
    # All of market 0 costs a fee of 2.745 and leaves 22.875 to be covered by 19.755: another 599 lots go.
    assert found.liquidated == [Reduced("BTC", 1_000, 85 * DOLLAR), Reduced("ETH", 599, 42_500_000)]
    at = risk_of([915_000, 457_500], [30_000, 50_000], [60_000, 100_000], [0, 0])
    for lots, fee, is_healthy in ((599, 1_370_212, True), (598, 1_367_925, False)):
        left = account_of(19_755_000 - fee, {1: (1_000 - lots, (1_000 - lots) * 457_500, 0)})
        assert (oracle(at, left)["initial_micros"] <= 19_755_000 - fee) == is_healthy


def test_a_shock_in_one_market_liquidates_elsewhere() -> None:
    """How a loss nibbles at the pool: a small fall here, and the large position there has to go."""
    risk = risk_of([1_000_000, 1_000_000], [10_000, 50_000], [20_000, 100_000], [0, 0])
    account = account_of(120 * DOLLAR, {0: (3_000, 3_000 * DOLLAR, 0), 1: (-1_000, -1_000 * DOLLAR, 0)})
    found = shocked(globals_at(risk), CLOCK, account, Moves(-200, 0))
    assert found.market == "BTC"
    assert [entry.market for entry in found.liquidated] == ["ETH"]
    assert found.liquidated[0].lost_micros == 0
    assert shocked(globals_at(risk), CLOCK, account, Moves(-200, 1)).liquidated == []


def test_each_market_takes_as_much_of_a_shock_as_its_beta_says() -> None:
    risk = risk_of([1_000_001, 1_000_000], [10_000, 50_000], [20_000, 100_000], [0, 0])
    account = account_of(900 * DOLLAR, {0: (3_000, 3_000 * DOLLAR, 0), 1: (-1_000, -1_000 * DOLLAR, 0)})
    # 2 and 3 percent down, and one up; market 0's price is rounded down to a tick.
    found = shocked(globals_at(risk), CLOCK, account, Moves(-200, None, {1: 15_000}))
    assert [(leg.market, leg.price_ticks) for leg in found.legs] == [("BTC", 980_000), ("ETH", 970_000)]
    assert [leg.unrealised_micros for leg in found.legs] == [-60 * DOLLAR, 30 * DOLLAR]
    assert sum(leg.maintenance_micros for leg in found.legs) == found.maintenance_micros
    assert sum(leg.initial_micros for leg in found.legs) == found.initial_micros
    assert found.equity_micros == 870 * DOLLAR
    against = shocked(globals_at(risk), CLOCK, account, Moves(-200, 1, {1: -5_000}))
    assert [leg.price_ticks for leg in against.legs] == [1_000_001, 1_010_000]
    least = shocked(globals_at(risk), CLOCK, account, Moves(-9_999, None, {0: 100_000}))
    assert least.legs[0].price_ticks == 1, "no price falls below a tick"


def test_what_cannot_be_paid_is_a_deficit_and_everything_goes() -> None:
    risk = risk_of([1_000_000], [10_000], [20_000], [0])
    account = account_of(50 * DOLLAR, {0: (-1_000, -1_000 * DOLLAR, 0)})
    found = shocked(globals_at(risk), CLOCK, account, Moves(1_000))
    assert found.margin_ratio_ppm is None
    assert found.deficit_micros == 50 * DOLLAR
    assert found.liquidated == [Reduced("BTC", 1_000, 100 * DOLLAR)]


@EXAMPLES
@given(worlds(), st.integers(-9_999, 20_000))
def test_a_shock_is_the_account_at_moved_prices(
    world: tuple[containers.Risk, containers.Account], shock_bp: int
) -> None:
    risk, account = world
    settled, _ = margin.settle(risk, account, START)
    found = shocked(globals_at(risk), CLOCK, settled, Moves(shock_bp))
    prices = [max(1, price * (10_000 + shock_bp) // 10_000) if price else 0 for price in risk.price]
    moved = msgspec.structs.replace(risk, price=prices)
    expected = oracle(moved, settled)
    assert found.equity_micros == expected["equity_micros"]
    assert found.maintenance_micros == expected["maintenance_micros"]
    is_below = expected["equity_micros"] < expected["maintenance_micros"]
    assert bool(found.liquidated) == (is_below and bool(positions_of(settled)))
    sizes = {NAMES[market]: abs(held.size) for market, held in positions_of(settled)}
    assert all(0 < entry.lots <= sizes[entry.market] for entry in found.liquidated)
    # Only the last may be closed in part.
    assert all(entry.lots == sizes[entry.market] for entry in found.liquidated[:-1])
    if found.liquidated and expected["equity_micros"] >= 0:
        first = found.liquidated[0]
        market = NAMES.index(first.market)
        asked = (
            moved.price,
            rescue.unbounded(settled),
            globals_at(risk).markets[market].minimum_notional,
            market,
            moved.price[market],
        )
        assert rescue.check_liquidation(moved, *asked, first.lots)[0] == codes.OK
        more = rescue.check_liquidation(moved, *asked, first.lots + 1)[0]
        assert more == (codes.OVERFILLED if first.lots == sizes[first.market] else codes.TOO_MANY_LOTS)


def test_an_owners_own_bound_makes_no_liquidation_larger() -> None:
    risk = risk_of([600_000], [12_000], [20_000], [0])
    shocks = [
        shocked(globals_at(risk), CLOCK, account_of(900 * DOLLAR, held, initial_ppm=bound), Moves(-50)).liquidated
        for bound in (0, 100_000, 500_000)
        for held in [{0: (100_000, 100_000 * 600_000, 0)}]
    ]
    assert [[entry.lots for entry in found] for found in shocks] == [[52_925]] * 3


@pytest.mark.parametrize("market", [None, 0])
def test_an_account_without_positions_has_nothing_to_say(market: int | None) -> None:
    found = contribution(
        globals_at(risk_of([5], [10], [20], [0])), CLOCK, FIRST, account_of(7, {}), Moves(-5_000, market)
    )
    assert (found.equity_micros, found.legs, found.saved) == (7, [], Saved(0, 0, 0))
    assert found.shocked.liquidated == []
