"""What a touch has come to is read off two rows, whatever lies between them."""

import msgspec

from prover.stf import constants, containers, encoding, margin
from sequencer.engine.money.touched import Behind, Folded, Funding, LastRows, behind, behind_rescue, touched
from tests.sequencer.node_world import BTC, BUY, ETH, FIRST, LOTS, PRICES, SELL, World

PRICE = PRICES[BTC]


def held() -> tuple[World, containers.Account]:
    """A world in which trader 1 is long of two markets, and his row."""
    world = World(2)
    for market in (BTC, ETH):
        world.order(0, SELL, PRICES[market], market=market, slot=1 + market)
        world.order(1, BUY, PRICES[market], market=market, slot=1 + market)
    return world, world.engine.account(FIRST + 1)


def test_nothing_is_due_at_the_same_indices() -> None:
    world, row = held()
    richer = msgspec.structs.replace(row, settled=row.settled + 1)
    assert touched(world.engine.globals.risk, row, row) is None
    assert touched(world.engine.globals.risk, row, richer) is None


def test_funding_of_all_positions_is_rounded_up_once() -> None:
    world, row = held()
    risk = world.engine.globals.risk
    for btc, eth in ((7, 5), (-7, -5), (10**9, -3), (1, 0)):
        index = risk.funding_index.copy()
        index[BTC] += btc
        index[ETH] += eth
        later = msgspec.structs.replace(risk, funding_index=index)
        settled, dust = margin.settle(later, row, world.now)
        touch = touched(later, row, settled)
        assert touch is not None
        legs = [(BTC, btc), (ETH, eth)]
        assert touch.funding == [
            Funding(market, LOTS, risk.funding_index[market], index[market]) for market, moved in legs if moved
        ]
        assert touch.paid * constants.FUNDING_SCALE == sum(leg.owed for leg in touch.funding) + dust
        assert touch.collateral == margin.collateral(settled)


def test_a_settled_markets_position_becomes_money() -> None:
    world, row = held()
    risk = world.engine.globals.risk
    fractions, prices = risk.initial_ppm.copy(), risk.price.copy()
    fractions[ETH], prices[ETH] = 0, PRICES[ETH] + 40
    over = msgspec.structs.replace(risk, initial_ppm=fractions, price=prices)
    settled, _ = margin.settle(over, row, world.now)
    touch = touched(over, row, settled)
    assert touch is not None
    assert (touch.folded, touch.funding, touch.paid) == ([Folded(ETH, LOTS, 40 * LOTS)], [], 0)
    assert touch.collateral == margin.collateral(settled)


def test_a_side_has_realised_what_it_closed() -> None:
    world, row = held()
    risk = world.engine.globals.risk
    part = margin.moved(risk, row, BTC, -400, -400 * (PRICE + 9), 0)
    assert behind(row, part, BTC, -400 * (PRICE + 9)) == Behind(600, 400 * 9, margin.collateral(part))
    whole = margin.moved(risk, part, BTC, -600, -600 * (PRICE - 1), 0)
    left = behind(part, whole, BTC, -600 * (PRICE - 1))
    assert left == Behind(0, -600, margin.collateral(whole))
    assert left.realised == margin.collateral(whole) - margin.collateral(part)
    assert encoding.unpack(whole.positions[BTC]).size == 0


def test_behind_a_rescue_what_a_side_bears_is_in_what_it_has_realised() -> None:
    world, row = held()
    risk = world.engine.globals.risk
    part = margin.moved(risk, row, BTC, -400, -400 * (PRICE + 9) + 70, 0)
    assert behind_rescue(row, part, BTC) == Behind(600, 400 * 9 - 70, margin.collateral(part))
    filled = margin.booked(part, -100, part.positions)
    assert behind_rescue(row, filled, BTC).realised == 400 * 9 - 170


def test_rows_are_those_before_the_input_also_where_it_was_cut() -> None:
    _, row = held()
    second, third = (msgspec.structs.replace(row, settled=row.settled + more) for more in (1, 2))
    rows = LastRows()
    assert rows.passed(17, row, second) is row
    assert rows.passed(17, row, third) is second
    rows.carry({17: row, 18: row})
    assert rows.passed(17, third, second) is third
    assert rows.passed(18, second, third) is row
    assert rows.passed(19, None, row) is row
