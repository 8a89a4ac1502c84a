"""A signer against a node's real API: what it signs, when it is silent, what the node answers."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from prover.signing import operations
from prover.state.genesis import TIERS, label
from prover.stf import codes, constants, containers
from sequencer.client.client import NodeClient
from sequencer.client.errors import Rejected
from sequencer.devnet.signing_account import SigningAccount
from sequencer.oracle.price_sources import Market, Quote
from sequencer.oracle.signer import Step
from sequencer.oracle.terms import Expected, Terms, TermsDiffer, agreed_terms
from tests.sequencer.node_world import BRIDGE, CHAIN_ID, DOLLAR, DOMAIN, FIRST, PRICES, START, deposit, key, owner
from tests.sequencer.oracle_world import DOLLARS, MARKETS, TERMS, OracleWorld, Says, signer, trio_clock_ms

STEP = constants.TICK_STEP


@pytest.fixture
async def world(tmp_path: Path, nursery: trio.Nursery) -> Any:
    world = OracleWorld(tmp_path)
    await world.start(nursery)
    yield world
    nursery.cancel_scope.cancel()


async def at_step(world: OracleWorld, signers: list[Any], time: int) -> list[Step]:
    """All of them at one grid time, in order; returns when the venue has decided on a tick, if there is one."""
    steps = [await signer.step(time) for signer in signers]
    if any("tick" in step.answers.values() for step in steps):
        while not (found := world.reports.desk.at(time)) or not found.code:
            await trio.lowlevel.checkpoint()
    return steps


# Signing and submitting.


@pytest.mark.trio
async def test_a_market_that_most_sources_have_lost_is_set_aside_and_the_others_go_on(
    world: OracleWorld, mock_clock: trio.testing.MockClock
) -> None:
    node = world.client()
    sources = [Says() for _ in range(5)]
    signers = [signer(index, [node], sources[index]) for index in range(5)]
    await at_step(world, signers, START)
    globals = world.venue.engine.globals
    for source in sources[:3]:
        source.dollars = (*DOLLARS[:2], None)
    steps: list[Step] = []
    for count in range(1, 8):
        mock_clock.jump(STEP / 1_000)
        steps = await at_step(world, signers, START + count * STEP)
        # What they had is signed for fifteen seconds; in half a minute without one they say that there is none.
        is_silent = 3 < count < 7
        assert [step.report is None for step in steps] == [is_silent] * 3 + [False] * 2
    assert "tick" in steps[-1].answers.values()
    globals = world.venue.engine.globals
    assert globals.tick_time == steps[-1].time_ms
    # Its price stands and it is only reduced; the others have theirs.
    assert globals.risk.price[:3] == list(PRICES)
    assert [market.status for market in globals.markets[:3]] == [
        constants.MARKET_OPEN, constants.MARKET_OPEN, constants.MARKET_REDUCE_ONLY,
    ]  # fmt: skip


@pytest.mark.trio
async def test_five_signers_make_a_tick_and_two_are_spares(
    world: OracleWorld, mock_clock: trio.testing.MockClock
) -> None:
    node = world.client()
    sources = [Says((60_000.0 + index, 3_000.0, 150.0)) for index in range(7)]
    steps = await at_step(world, [signer(index, [node], sources[index]) for index in range(7)], START)
    assert [step.answers["http://node"] for step in steps] == ["counted"] * 4 + ["tick"] + ["spare"] * 2
    assert all(step.is_taken for step in steps)
    globals = world.venue.engine.globals
    assert globals.tick_time == START
    assert globals.risk.price[:3] == [600_020, *PRICES[1:]]
    (round,) = await node.reports()
    assert (round.time_ms, round.chosen, round.code) == (START, [0, 1, 2, 3, 4], "OK")
    assert [row.prices_ticks[0] for row in round.reports] == [600_000 + 10 * index for index in range(7)]
    assert await node.call("catenary_reports", time_ms=START) == [msgspec.to_builtins(round)]
    assert await node.call("catenary_reports", time_ms=START + STEP) == []


@pytest.mark.trio
async def test_two_lying_signers_stay_within_the_honest(world: OracleWorld, mock_clock: trio.testing.MockClock) -> None:
    node = world.client()
    for step, (lie, place) in enumerate([(1.0, (0, 1)), (900_000.0, (5, 6)), (0.1, (0, 6)), (70_000.0, (2, 3))]):
        time = START + step * STEP
        mock_clock.jump(STEP / 1_000 if step else 0)
        sources = [Says((60_000.0 + index, 3_000.0, 150.0)) for index in range(7)]
        for liar in place:
            sources[liar] = Says((lie, 1.0, 100_000.0))
        await at_step(world, [signer(index, [node], sources[index]) for index in range(7)], time)
        risk = world.venue.engine.globals.risk
        assert world.tick_time == time
        assert 600_000 <= risk.price[0] <= 600_060
        assert risk.price[1:3] == list(PRICES[1:])


@pytest.mark.trio
async def test_a_signer_reports_to_several_nodes_and_one_that_is_away_harms_nobody(
    world: OracleWorld, tmp_path: Path, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    other = OracleWorld(tmp_path / "other")
    await other.start(nursery)
    away = OracleWorld(tmp_path / "away")
    away.transport.is_away = True
    nodes = [away.client("http://away"), world.client("http://one"), other.client("http://two")]
    step = await signer(0, nodes).step(START)
    assert step.answers == {"http://away": "NODE_UNREACHABLE", "http://one": "counted", "http://two": "counted"}
    assert step.is_taken
    nobody = await signer(1, nodes[:1]).step(START)
    assert nobody.report is not None
    assert not nobody.is_taken


@pytest.mark.trio
async def test_what_the_node_refuses_has_a_name(world: OracleWorld, mock_clock: trio.testing.MockClock) -> None:
    node = world.client()
    assert (await signer(0, [node], key_index=1).step(START)).answers == {"http://node": "BAD_SIGNERS"}
    assert (await signer(0, [node]).step(START + 2 * STEP)).answers == {"http://node": "OFF_GRID"}
    assert (await signer(0, [node]).step(START - 5 * STEP)).answers == {"http://node": "LATE_REPORT"}
    assert (await signer(0, [node]).step(START)).is_taken
    again = await signer(0, [node]).step(START)
    assert again.answers == {"http://node": "REPEATED_REPORT"}
    assert again.is_taken
    report = {"time_ms": START, "signer_index": 1, "prices_ticks": [1], "premiums_ppb": [0], "signature": "0x00"}
    with pytest.raises(Rejected, match="INVALID_PARAMS"):
        await node.call("catenary_report", **report)
    with pytest.raises(Rejected, match="INVALID_PARAMS"):
        await node.call("catenary_report", **{**report, "signature": "0x" + "00" * 64, "prices_ticks": [-1]})
    with pytest.raises(Rejected, match="INVALID_PARAMS"):
        await node.call("catenary_report", **{**report, "signature": "0x" + "00" * 64, "premiums_ppb": [2**31]})


@pytest.mark.trio
async def test_a_node_with_prices_of_its_own_takes_no_reports(
    tmp_path: Path, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    world = OracleWorld(tmp_path, is_taking=False)
    await world.start(nursery)
    assert (await signer(0, [world.client()]).step(START)).answers == {"http://node": "NO_REPORTS"}
    assert world.reports.desk.newest(1) == []
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_a_source_without_a_price_keeps_the_signer_silent(
    world: OracleWorld, mock_clock: trio.testing.MockClock
) -> None:
    step = await signer(0, [world.client()], Says((60_000.0, None, 150.0))).step(START)
    assert (step.report, step.reason, step.answers) == (None, "ETH: no price", {})
    assert world.reports.desk.newest(1) == []


@pytest.mark.trio
async def test_the_premium_is_read_from_the_public_book(world: OracleWorld, mock_clock: trio.testing.MockClock) -> None:
    node = world.client()
    await at_step(world, [signer(index, [node]) for index in range(5)], START)
    for trader in range(2):
        await world.venue.submit(deposit(owner(trader), 1_000_000 * DOLLAR))
    buyer = SigningAccount(key(0), DOMAIN, trio_clock_ms, FIRST)
    # A bid for 1,200 dollars, half a percent above the signer's own price: 5,000 ppm in eight hours.
    await node.order(*buyer.order(0, constants.BUY, 2_000, 603_000, 1))
    step = await signer(5, [node]).step(START + STEP)
    assert step.report is not None
    assert step.report.premiums_ppb == (500_000, 0, 0)
    less = await signer(6, [node], Says((60_180.0, 3_000.0, 150.0))).step(START + STEP)
    assert less.report is not None
    assert less.report.premiums_ppb == (10**9 * 120 // 60_180 // 8, 0, 0)
    # No book, no premium, and the price goes out all the same.
    world.transport.is_away = True
    alone = await signer(4, [node]).step(START + STEP)
    assert alone.report is not None
    assert alone.report.premiums_ppb == (0, 0, 0)


@pytest.mark.trio
@pytest.mark.parametrize(("held_seconds", "premium"), [(1.0, 0), (5.0, 500_000)])
async def test_what_stands_in_a_book_at_grid_times_alone_makes_no_premium(
    world: OracleWorld,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    held_seconds: float,
    premium: int,
) -> None:
    """A bid that nobody meets in a second, and that a soft cancel takes back for nothing."""
    true = NodeClient.book

    async def book(self: NodeClient, market: int, depth: int) -> Any:
        is_there = (trio_clock_ms() - START + 500) % STEP < held_seconds * 1_000
        empty = await true(self, market, depth)
        return msgspec.structs.replace(empty, bids=[(PRICES[market] * 104 // 100, 10**9)] if is_there else [])

    monkeypatch.setattr(NodeClient, "book", book)
    steps: list[Step] = []
    # The first measures at one moment alone.
    await signer(0, [world.client()], moment=lambda: 0.9).run(3, steps.append)
    signed = [step.report.premiums_ppb for step in steps if step.report is not None]
    assert signed == [(500_000,) * 3, (premium,) * 3, (premium,) * 3]


@pytest.mark.trio
async def test_of_several_nodes_the_premium_nearest_to_nothing_is_signed(
    world: OracleWorld, mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has signed an order: a node says that somebody bids far above the price, or sells far below it."""
    shown = {"http://high": 1.04, "http://low": 0.96, "http://near": 1.002}
    true = NodeClient.book

    async def book(self: NodeClient, market: int, depth: int) -> Any:
        level = [(round(PRICES[market] * shown[self.url]), 10**9)] if self.url in shown else []
        is_bid = shown.get(self.url, 1) > 1
        empty = await true(self, market, depth)
        return msgspec.structs.replace(empty, bids=level if is_bid else [], asks=[] if is_bid else level)

    monkeypatch.setattr(NodeClient, "book", book)
    high, low, near, honest = (world.client(url) for url in (*shown, "http://node"))

    async def signed(place: int, *nodes: NodeClient) -> tuple[int, ...]:
        step = await signer(place, list(nodes)).step(START)
        assert step.report is not None
        return step.report.premiums_ppb

    # Of one node it is that node's word, up to the cap, and nothing can be said against it.
    assert await signed(0, high) == (500_000,) * 3
    assert await signed(1, low) == (-500_000,) * 3
    assert await signed(2, high, low, near) == (250_000,) * 3
    assert await signed(3, near, high, honest) == (0,) * 3


@pytest.mark.trio
async def test_it_signs_once_a_grid_time_and_begins_with_the_next(
    world: OracleWorld, autojump_clock: trio.testing.MockClock
) -> None:
    await trio.sleep(1.2)
    steps: list[Step] = []
    await signer(0, [world.client()]).run(3, steps.append)
    assert [step.time_ms for step in steps] == [START + STEP, START + 2 * STEP, START + 3 * STEP]
    assert all(step.is_taken for step in steps)


class Slow:
    """A source that answers late, once."""

    def __init__(self) -> None:
        self.waits = [12.0]

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """The usual prices."""
        await trio.sleep(self.waits.pop() if self.waits else 0)
        return [Quote(dollars, time_ms) for dollars in DOLLARS]


@pytest.mark.trio
async def test_a_slow_source_costs_grid_times_and_nothing_else(
    world: OracleWorld, autojump_clock: trio.testing.MockClock
) -> None:
    steps: list[Step] = []
    await signer(0, [world.client()], Slow()).run(3, steps.append)
    assert [step.time_ms - START for step in steps] == [STEP, 3 * STEP, 4 * STEP]


DOGE = Market("DOGE", 3)


async def listed(world: OracleWorld) -> None:
    """A fourth market, by an entry of the governor."""
    tier = TIERS["small"]
    given = containers.Parameters(
        market=3,
        status=constants.MARKET_OPEN,
        label=label("DOGE", 3),
        initial_ppm=tier.initial_ppm,
        maintenance_ppm=tier.maintenance_ppm,
        maker_fee_ppm=100,
        taker_fee_ppm=450,
        band_ppm=tier.band_ppm,
        unwind_band_ppm=tier.unwind_band_ppm,
        funding_cap_ppb=tier.funding_cap_ppb,
        funding_interest_ppb=tier.funding_interest_ppb,
        funding_damping_ppb=tier.funding_damping_ppb,
        minimum_notional=1,
        price=10_000,
        interest_lower=tier.interest_lower_micros,
        interest_upper=tier.interest_upper_micros,
    )
    payload = operations.market_payload(given)
    entry = operations.entry_bytes(constants.SET_MARKET, containers.NOBODY, START, payload)
    assert (await world.venue.submit(entry)).code == codes.OK


@pytest.mark.trio
async def test_a_market_that_is_listed_is_signed_for_from_then_on(
    world: OracleWorld, mock_clock: trio.testing.MockClock
) -> None:
    node = world.client()
    ahead = Expected(CHAIN_ID, BRIDGE, (*MARKETS, DOGE))
    assert await agreed_terms(node, ahead) == TERMS, "what is still to come"
    said: list[Step] = []
    mock_clock.autojump_threshold = 0.01
    first = signer(0, [node])
    assert await first.run(1, said.append)
    await listed(world)
    assert not await first.run(2, said.append), "the list has grown"
    assert [list(step.answers.values()) for step in said] == [["counted"], ["QUORUM"]]
    terms = await agreed_terms(node, ahead)
    assert terms == await agreed_terms(node, Expected()) == Terms(DOMAIN, (*MARKETS, DOGE))
    with pytest.raises(TermsDiffer, match="list of markets"):
        await agreed_terms(node, Expected(markets=MARKETS))
    four = Says((*DOLLARS, 25.0))
    # Whatever the clock does, the one that goes on signs nothing twice.
    signed = said[-1].time_ms
    first.follow(terms, four)
    with pytest.raises(AssertionError, match="one message a grid time"):
        await first.step(signed)
    # All seven follow, and ticks go on with four prices.
    time = START + 10 * STEP
    mock_clock.jump(10 * STEP / 1_000)
    await at_step(world, [signer(index, [node], four, terms=terms) for index in range(5)], time)
    assert world.venue.engine.globals.risk.price[:4] == [600_000, 300_000, 1_500_000, 25_000]
