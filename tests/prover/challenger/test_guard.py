"""The guard on a real L1: what a sequencer omits stands in the queue once, and nobody pays for what changes nothing."""

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
import trio
import trio.testing
from click.testing import CliRunner

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Timeout
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.values import Receipt
from l1_bridge.codec import calls, events
from l1_bridge.contracts.artifact import load_artifact
from prover.challenger import guard as guarding_module
from prover.challenger.challenger import Challenger, Settings
from prover.challenger.guard import SourceError, report_source
from prover.challenger.guard_plan import (
    Guard,
    Plan,
    Report,
    Round,
    whole_ticks,
)
from prover.challenger.guard_purse import Policy
from prover.challenger.guard_queue import Waiting
from prover.challenger.report import Summary
from prover.cli.commands import ChallengerOptions, challenger, guard_policy
from prover.cli.main import cli
from prover.history.history import ChainReplay
from prover.signing import operations, signatures
from prover.signing.reports import Report as VenueReport
from prover.signing.reports import tick_digest
from prover.standing import judged_by_rescue
from prover.state.store import MemoryStore
from prover.stf import codes, constants, containers, encoding
from sequencer.sequencing.report_desk import Kept, round_view
from sequencer.sequencing.report_desk import Round as VenueRound
from tests import patience
from tests.l1_bridge.l1_nodes import L1Node
from tests.prover.challenger.runs import Guard as Run
from tests.prover.challenger.runs import (
    Hanging,
    Recorder,
    command,
    dead,
    honest,
    lying_blocks,
    mine,
    played,
    purse,
    queued_on,
    sent_by,
)
from tests.prover.conftest import POLL_SECONDS
from tests.prover.l1_faults import Tamper, Tampering
from tests.prover.world import (
    CHALLENGER,
    DEPOSITOR,
    DOLLAR,
    PARAMETERS,
    PRICES,
    RIVAL,
    SIGNER_KEYS,
    TRADERS,
    Lie,
    World,
    false_tree,
    opened,
)
from tests.twins.venue import begun

pytestmark = pytest.mark.trio

FALLEN = (591_000, *PRICES[1:])
MAKER, LOSER, SECOND_LOSER = 17, 18, 19
PATIENCE = 60
SIZE = 800_000
FUND = 200_000 * DOLLAR
POOR = 20_000 * DOLLAR


@pytest.fixture
def world(node_world: World) -> World:
    return node_world


def told(found: VenueRound) -> dict[str, Any]:
    """A round as a node tells it."""
    plain: dict[str, Any] = msgspec.to_builtins(round_view(found))
    return plain


class Watch:
    """One guarding challenger with its store; its memory lives as long as it does."""

    def __init__(self, world: World, client: L1Client, **options: Any) -> None:
        self.world, self.client, self.said = world, client, Recorder()
        self.replay = ChainReplay(options.pop("store", None) or MemoryStore(), world.bridge)
        terms = {name: options.pop(name) for name in ("hour_wei", "max_fee_wei", "share_ppm") if name in options}
        policy = Policy(options.pop("patience", PATIENCE) * 1_000, **terms)
        options = {"signer": development_key(CHALLENGER), "guard": policy} | options
        self.challenger = Challenger(client, self.replay, self.said, Settings(poll_seconds=POLL_SECONDS, **options))
        self.taken = 0

    async def once(self) -> Summary:
        """Up to the head, until there is nothing more to do."""
        with trio.fail_after(patience.PATIENCE_SECONDS):
            await self.challenger.run(once=True)
        return self.challenger.finish()

    def queued(self) -> list[bytes]:
        """What the queue holds that no batch has consumed."""
        entries = range(self.replay.state.commitment.queue_count, self.replay.cursor.queue_length)
        return [self.replay.records.queue_operation(index) or b"" for index in entries]

    def moves(self) -> list[tuple[int, int, int]]:
        """Market, account and lots of the rescues that wait."""
        found = [operation for operation in self.queued() if operation[0] == constants.FORCED_RESCUE]
        moves = [encoding.rescue(constants.FORCED_RESCUE, int.from_bytes(op[29:].ljust(32, b"\x00"))) for op in found]
        return [(move.market, move.account, move.lots) for move in moves]


@asynccontextmanager
async def watching(world: World, node: L1Node, kind: type[L1Client] = L1Client, **options: Any) -> AsyncIterator[Watch]:
    async with kind(node.url, L1Options(poll_seconds=POLL_SECONDS, attempts=2)) as client:
        yield Watch(world, client, **options)


async def asked_again(guard: Watch, times: int = 20) -> None:
    """Waits until a guard that runs has asked its L1 so many times more."""
    until, count = trio.Event(), 0
    ask = guard.challenger._nodes.followed.call

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count > times:
            until.set()
        return await ask(*arguments, **options)

    guard.challenger._nodes.followed.call = counted  # type: ignore[method-assign]
    await until.wait()


async def give(world: World, owner: bytes, index: int, amount_micros: int) -> None:
    """A deposit into an account, or an insurance account."""
    token, holder = load_artifact("MockDollar"), world.chain.address(DEPOSITOR)
    await world.chain.send(DEPOSITOR, world.token, token.encode_call("mint", holder, amount_micros))
    await world.chain.send(DEPOSITOR, world.token, token.encode_call("approve", world.bridge.address, amount_micros))
    (event,) = await world.send(DEPOSITOR, calls.encode_deposit(owner, index, amount_micros))
    assert isinstance(event, events.Enqueued)
    world.waiting.append(event.operation)


async def later(world: World, client: L1Client, prices: Sequence[int] | None, seconds: int = 5) -> None:
    """Some time, and a batch at its end; its sequencer liquidates nobody. Prices None: a batch without a tick."""
    await mine(client, seconds)
    now = await world.now_ms()
    await world.commit([[] if prices is None else [world.venue.tick(now, prices)]])


async def steady(world: World, client: L1Client, prices: Sequence[int]) -> None:
    """Three ticks in a row."""
    await mine(client, 15)
    now = await world.now_ms()
    await world.commit([[world.venue.tick(now - late * constants.TICK_STEP, prices) for late in (2, 1, 0)]])


async def positions(world: World, client: L1Client, losers: int = 1, fund: int = FUND, size: int = SIZE) -> None:
    """Accounts 18 and on are long against account 17, with a fund behind the market."""
    await world.deposit(0, 100_000 * DOLLAR)
    for loser in range(1, losers + 1):
        await world.deposit(loser, (10_000 + 100 * (loser - 1)) * DOLLAR)
    if fund:
        await give(world, TRADERS[0], 1, fund)
    await later(world, client, PRICES)
    now = await world.now_ms()
    body = [world.venue.order(0, MAKER, now, side=constants.SELL, size=size * losers)]
    for loser in range(1, losers + 1):
        body += [
            world.venue.order(loser, MAKER + loser, now, size=size),
            operations.fill_bytes(0, loser, size),
        ]
    await world.commit([body])
    assert all(held(world, MAKER + loser) == size for loser in range(1, losers + 1))


async def under_water(world: World, client: L1Client, losers: int = 1, fund: int = FUND) -> None:
    """Two ticks at the fallen price, or the better one would still judge."""
    await positions(world, client, losers, fund)
    await later(world, client, FALLEN)
    await later(world, client, FALLEN)
    state = world.venue.state
    for loser in range(1, losers + 1):
        assert judged_by_rescue(state.globals, state.account(MAKER + loser), state.commitment.timestamp).is_below


# What an entry may cost at 10 gwei, and half of what it then costs more; see `Dear`.
ONE_ENTRY = 27 * 10**14


class Dear(L1Client):
    """As if L1 asked for 10 gwei."""

    async def fees(self, most_wei: int | None = None) -> tuple[int, int]:
        return 10 * 10**9, 10**9


def held(world: World, index: int) -> int:
    return encoding.unpack(world.venue.state.account(index).positions[0]).size


async def enqueue(world: World, tag: int, payload: bytes, role: int = RIVAL) -> None:
    await world.send(role, calls.encode_entry(tag, payload), PARAMETERS.entry_fee_wei)


# Rescues.


@pytest.mark.stage(build=under_water)
async def test_an_account_that_the_sequencer_leaves_alone_is_rescued_from_l1(
    world: World, node: L1Node, client: L1Client
) -> None:
    before = await sent_by(client, CHALLENGER)
    async with watching(world, node) as guard:
        await guard.once()
        await later(world, client, FALLEN, PATIENCE)
        state = world.venue.state
        judged = judged_by_rescue(state.globals, state.account(LOSER), state.commitment.timestamp)
        summary = await guard.once()
        assert (summary.entries_sent, summary.held) == (1, True)
        assert guard.moves() == [(0, LOSER, operations.ALL_LOTS)]
        (said,) = guard.said.names("entry_enqueued")
        assert (said["kind"], said["account"], said["market"]) == ("forced_rescue", LOSER, 0)
        assert said["at_risk_micros"] == judged.at_risk
        assert said["gas_used"] < 125_000
        assert said["cost_wei"] > PARAMETERS.entry_fee_wei
        assert await sent_by(client, CHALLENGER) == before + 1
        # The sequencer has to take it, after three ticks in a row, and the law closes the position.
        world.waiting = guard.queued()
        await later(world, client, FALLEN)
        assert held(world, LOSER) == SIZE
        assert (await guard.once()).entries_sent == 1, "it still waits"
        await steady(world, client, FALLEN)
        world.waiting = guard.queued()
        await later(world, client, FALLEN)
        assert held(world, LOSER) == 0
        assert held(world, 1) == SIZE
        summary = await guard.once()
        assert (summary.held, summary.entries_sent, guard.queued()) == (True, 1, [])
        assert summary.root == world.venue.state.root
        assert encoding.unpack(guard.replay.state.account(LOSER).positions[0]).size == 0


@pytest.mark.stage(build=positions)
async def test_healthy_accounts_cost_nothing(world: World, node: L1Node, client: L1Client) -> None:
    before = await sent_by(client, CHALLENGER)
    async with watching(world, node, patience=0) as guard:
        assert (await guard.once()).entries_sent == 0
        # One fallen price is not enough: the better of the last two judges.
        await later(world, client, FALLEN)
        assert (await guard.once()).entries_sent == 0
        assert guard.said.names("rescue_refused") == []
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=under_water)
async def test_without_guard_nothing_is_enqueued(world: World, node: L1Node, client: L1Client) -> None:
    async with watching(world, node, guard=None) as challenger:
        await challenger.once()
        await later(world, client, FALLEN, PATIENCE)
        assert ((await challenger.once()).entries_sent, challenger.queued()) == (0, [])


@pytest.mark.stage(build=under_water)
async def test_nobody_is_rescued_before_patience_has_passed(world: World, node: L1Node, client: L1Client) -> None:
    async with watching(world, node) as guard:
        await guard.once()
        for _ in range(2):
            await later(world, client, FALLEN, 25)
            assert (await guard.once()).entries_sent == 0
        # L1 time alone is nobody's guilt: what happened meanwhile may only not be posted yet.
        await mine(client, 30)
        assert (await guard.once()).entries_sent == 0
        await later(world, client, FALLEN, 5)
        assert (await guard.once()).entries_sent == 1


@pytest.mark.stage(build=under_water)
async def test_who_recovers_in_between_is_waited_for_anew(world: World, node: L1Node, client: L1Client) -> None:
    async with watching(world, node) as guard:
        await guard.once()
        await later(world, client, PRICES, 30)
        await guard.once()
        for seconds in (5, 5, 30):
            await later(world, client, FALLEN, seconds)
            assert (await guard.once()).entries_sent == 0
        await later(world, client, FALLEN, 40)
        assert (await guard.once()).entries_sent == 1


@pytest.mark.stage(build=under_water)
async def test_a_pending_entry_is_not_paid_for_again(world: World, node: L1Node, client: L1Client) -> None:
    async with watching(world, node, patience=0) as guard:
        assert (await guard.once()).entries_sent == 1
        for _ in range(2):
            await later(world, client, FALLEN)
            assert (await guard.once()).entries_sent == 1
        assert len(guard.queued()) == 1
        # Neither does a new process with the same key.
        async with watching(world, node, patience=0) as again:
            assert (await again.once()).entries_sent == 0


@pytest.mark.stage(build=under_water)
async def test_an_entry_of_somebody_else_is_as_good_if_it_asks_for_all(
    world: World, node: L1Node, client: L1Client
) -> None:
    await enqueue(world, constants.FORCED_RESCUE, operations.forced_rescue_payload(0, LOSER, SIZE))
    async with watching(world, node, patience=0) as guard:
        assert (await guard.once()).entries_sent == 0


@pytest.mark.stage(build=under_water)
@pytest.mark.parametrize(
    "payload",
    [
        operations.forced_rescue_payload(0, LOSER, 1),
        operations.forced_rescue_payload(1, LOSER, SIZE),
        operations.forced_rescue_payload(255, LOSER, SIZE),
    ],
    ids=["one lot", "another market", "no market"],
)
async def test_no_owner_holds_the_guard_off_with_an_entry_that_rescues_little(
    world: World, node: L1Node, client: L1Client, payload: bytes
) -> None:
    await enqueue(world, constants.FORCED_RESCUE, payload)
    async with watching(world, node, patience=0) as guard:
        assert (await guard.once()).entries_sent == 1
        await steady(world, client, FALLEN)
        world.waiting = guard.queued()
        await later(world, client, FALLEN)
        assert held(world, LOSER) == 0


@pytest.mark.stage(build=under_water)
async def test_what_waits_in_the_pool_is_not_sent_twice(world: World, node: L1Node, client: L1Client) -> None:
    key = development_key(CHALLENGER)
    before = await sent_by(client, CHALLENGER)
    await client.call("evm_setAutomine", [False])
    try:
        async with watching(world, node, patience=0) as guard, trio.open_nursery() as guarding:
            guarding.start_soon(guard.challenger.run)
            with trio.fail_after(patience.PATIENCE_SECONDS):
                while await client.nonce(key.address, "pending") == before:
                    await trio.sleep(POLL_SECONDS)
                await asked_again(guard)
            guarding.cancel_scope.cancel()
        assert await client.nonce(key.address, "pending") == before + 1
        async with watching(world, node, patience=0) as again:
            assert (await again.once()).entries_sent == 0
        assert await client.nonce(key.address, "pending") == before + 1
    finally:
        await client.call("evm_setAutomine", [True])
    await mine(client)


@pytest.mark.stage(build=under_water, losers=2)
async def test_where_most_is_at_risk_goes_first_and_the_budget_ends_it(
    world: World, node: L1Node, client: L1Client
) -> None:
    # Account 18 has less money behind as many lots.
    async with watching(world, node, Dear, patience=0, hour_wei=ONE_ENTRY) as guard:
        with structlog.testing.capture_logs() as logs:
            assert ((await guard.once()).entries_sent, guard.moves()) == (1, [(0, LOSER, operations.ALL_LOTS)])
            await later(world, client, FALLEN)
            assert (await guard.once()).entries_sent == 1
        assert [entry["event"] for entry in logs if entry["event"] == "guard_budget"] == ["guard_budget"]
        async with watching(world, node, Dear, patience=0, hour_wei=2 * ONE_ENTRY) as richer:
            assert (await richer.once()).entries_sent == 1
            assert [account for _, account, _ in richer.moves()] == [LOSER, SECOND_LOSER]


@pytest.mark.stage(build=under_water, losers=2)
async def test_after_an_hour_by_l1_and_by_the_own_clock_there_is_a_new_budget(
    world: World, node: L1Node, client: L1Client
) -> None:
    async with watching(world, node, Dear, patience=0, hour_wei=ONE_ENTRY) as guard:
        own_ms, guarding = 1_000 * await world.chain.now(), guard.challenger._guarding
        assert guarding is not None
        guarding._wall_ms = lambda: own_ms
        assert (await guard.once()).entries_sent == 1
        world.waiting = guard.queued()
        await later(world, client, FALLEN, 3_300)
        assert (await guard.once()).entries_sent == 1
        # An L1 node that lies may say any time: of L1's alone none is enough.
        await later(world, client, FALLEN, 300)
        assert (await guard.once()).entries_sent == 1
        own_ms += 3_600_000
        await later(world, client, FALLEN)
        assert (await guard.once()).entries_sent == 2
        assert guard.moves() == [(0, SECOND_LOSER, operations.ALL_LOTS)]


@pytest.mark.stage(build=under_water, losers=2)
async def test_neither_a_restart_nor_a_new_beginning_refills_the_budget(
    world: World, node: L1Node, client: L1Client
) -> None:
    store = MemoryStore()
    async with watching(world, node, Dear, patience=0, hour_wei=ONE_ENTRY, store=store) as guard:
        assert (await guard.once()).entries_sent == 1
        (paid,) = guard.replay.records.payments()
        (said,) = guard.said.names("entry_enqueued")
        assert paid.wei == said["cost_wei"]
    for begin_again in (False, True):
        async with watching(world, node, Dear, patience=0, hour_wei=ONE_ENTRY, store=store) as again:
            if begin_again:
                again.replay.lose("a log is missing")
            assert (await again.once()).entries_sent == 0
            assert again.replay.records.payments() == (paid,)
    async with watching(world, node, Dear, patience=0, hour_wei=ONE_ENTRY) as forgetful:
        assert (await forgetful.once()).entries_sent == 1


@pytest.mark.stage(build=under_water)
async def test_what_was_sent_counts_by_its_bound_until_its_receipt_is_seen(
    world: World, node: L1Node, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: Any, **__: Any) -> Receipt:
        raise L1Timeout([b"\x01" * 32])

    monkeypatch.setattr(Dear, "send", lost)
    async with watching(world, node, Dear, patience=0) as guard:
        assert (await guard.once()).entries_sent == 0
        (paid,) = guard.replay.records.payments()
        assert paid.wei == PARAMETERS.entry_fee_wei + calls.entry_gas(bytes(11)) * Policy().max_fee_wei


@pytest.mark.stage(build=under_water)
@pytest.mark.parametrize(("most_gwei", "sent"), [(9, 0), (10, 1)])
async def test_while_l1_asks_for_too_much_nothing_is_entered(
    world: World, node: L1Node, client: L1Client, most_gwei: int, sent: int
) -> None:
    async with watching(world, node, Dear, patience=0, max_fee_wei=most_gwei * 10**9) as guard:
        with structlog.testing.capture_logs() as logs:
            assert (await guard.once()).entries_sent == sent
        assert [entry["event"] for entry in logs if entry["event"] == "guard_fee"] == ["guard_fee"] * (1 - sent)


@pytest.mark.stage(build=under_water)
async def test_what_waits_is_replaced_up_to_the_cap_and_no_further(
    world: World, node: L1Node, client: L1Client
) -> None:
    asked, _ = await client.fees()
    most, offers = asked * 3 // 2, set()
    await client.call("evm_setAutomine", [False])
    try:
        async with (
            L1Client(node.url, L1Options(poll_seconds=POLL_SECONDS, attempts=2, resubmit_seconds=0.05)) as capped,
            trio.open_nursery() as guarding,
        ):
            guard = Watch(world, capped, patience=0, max_fee_wei=most)
            guarding.start_soon(guard.challenger.run)
            with trio.fail_after(patience.PATIENCE_SECONDS):
                while not any("cap" in waiting.why for waiting in capped.waiting):
                    offers |= {waiting.max_fee_wei for waiting in capped.waiting}
                    await trio.sleep(POLL_SECONDS)
            guarding.cancel_scope.cancel()
        pool = await client.call("txpool_content")
        (waiting,) = [sent for of_one in pool["pending"].values() for sent in of_one.values()]
        assert asked < int(waiting["maxFeePerGas"], 16) <= most
        assert len(offers) > 1
        assert max(offers) <= most
    finally:
        await client.call("evm_setAutomine", [True])
    await mine(client)


@pytest.mark.stage(build=under_water)
async def test_what_the_bridge_would_refuse_is_not_sent(world: World, node: L1Node, client: L1Client) -> None:
    before = await sent_by(client, CHALLENGER)
    async with watching(world, node, patience=0) as guard:
        guarding = guard.challenger._guarding
        assert guarding is not None
        false = msgspec.structs.replace(PARAMETERS, entry_fee_wei=PARAMETERS.entry_fee_wei - 1)
        guarding._parameters = guard.client, false
        with structlog.testing.capture_logs() as logs:
            assert (await guard.once()).entries_sent == 0
        assert "guard_send" in [entry["event"] for entry in logs]
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=under_water)
async def test_i3_a_long_queue_is_taken_in_slices_and_once(
    world: World, node: L1Node, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding_module, "_ENTRIES_AT_ONCE", 2)
    taken: list[int] = []
    take = Waiting.take

    def counted(waiting: Waiting, operation: bytes, chain_hash: bytes) -> None:
        taken.append(waiting.next)
        take(waiting, operation, chain_hash)

    monkeypatch.setattr(Waiting, "take", counted)
    for _ in range(5):
        await give(world, TRADERS[0], 1, FUND)
    world.waiting = []
    first = world.venue.state.commitment.queue_taken
    async with watching(world, node, patience=0) as guard:
        assert (await guard.once()).entries_sent == 1
        # The last is what the guard itself entered.
        assert taken == list(range(first, first + 6))
        await mine(client)
        assert (await guard.once()).entries_sent == 1
        assert len(taken) == 6
        await later(world, client, FALLEN)
        await guard.once()
        assert taken[6:] == taken[:6], "another state begins anew"


@pytest.mark.stage(build=under_water, fund=POOR)
async def test_nothing_is_paid_where_the_fund_could_not_take_it(
    world: World, node: L1Node, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fund on which leverage stands would take it, were it not that it may hold nothing.
    monkeypatch.setattr(constants, "TURNOVER_MULTIPLE", 0)
    before = await sent_by(client, CHALLENGER)
    async with watching(world, node, patience=0) as guard:
        assert (await guard.once()).entries_sent == 0
        await later(world, client, FALLEN)
        assert (await guard.once()).entries_sent == 0
        (said,) = guard.said.names("rescue_refused")
        assert (said["account"], said["code"]) == (LOSER, "FUND_LIMIT")
        assert await sent_by(client, CHALLENGER) == before
        monkeypatch.setattr(constants, "TURNOVER_MULTIPLE", 1)
        # Money for the fund that waits in the queue counts: it is consumed before the rescue.
        await give(world, TRADERS[0], 1, FUND)
        world.waiting = []
        assert (await guard.once()).entries_sent == 1


@pytest.mark.stage(build=under_water, fund=POOR)
async def test_where_there_is_nothing_to_enter_another_block_is_waited_for(
    world: World, node: L1Node, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "TURNOVER_MULTIPLE", 0)
    planned = 0
    plan = Guard.plan

    def counted(*arguments: Any) -> Plan:
        nonlocal planned
        planned += 1
        return plan(*arguments)

    monkeypatch.setattr(Guard, "plan", counted)
    async with watching(world, node, patience=0) as guard:
        for expected in (1, 1):
            await guard.once()
            assert planned == expected
        await mine(client)
        await guard.once()
        assert planned == 2


# Ten times 60,000 dollars: one position of 472,800 fits, of a second one a part.
@pytest.mark.stage(build=under_water, losers=2, fund=60_000 * DOLLAR)
async def test_two_rescues_share_one_fund(world: World, node: L1Node, client: L1Client) -> None:
    before = await sent_by(client, CHALLENGER)
    async with watching(world, node, patience=0) as guard:
        sent = (await guard.once()).entries_sent
        first, second, *_ = guard.moves()
        assert (first, second[:2]) == ((0, LOSER, operations.ALL_LOTS), (0, SECOND_LOSER))
        assert SIZE // 5 < second[2] < SIZE // 3
        # Both in one transaction; what the discount then pays for comes behind.
        assert await sent_by(client, CHALLENGER) - before == sent - 1


# Nothing on a tip that is not valid.


@pytest.mark.stage(build=under_water)
async def test_on_a_fraud_that_stands_nothing_is_enqueued(world: World, node: L1Node, client: L1Client) -> None:
    await world.commit([[]], [Lie(0, claim=false_tree)])
    await mine(client, PARAMETERS.window_seconds)
    before = await sent_by(client, CHALLENGER)
    async with watching(world, node, patience=0) as guard:
        summary = await guard.once()
        assert (summary.entries_sent, summary.held, guard.queued()) == (0, False, [])
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=under_water)
async def test_on_an_unknown_verdict_nothing_is_enqueued(world: World, node: L1Node, client: L1Client) -> None:
    await world.commit([[world.venue.tick(await world.now_ms() + 5_000, FALLEN)]], [Lie(0, claim=false_tree)])
    async with watching(world, node, patience=0) as guard:
        guard.replay._second_recover = lambda *_: bytes(20)
        summary = await guard.once()
        assert (summary.unknown, summary.entries_sent, summary.held) == (1, 0, False)


@pytest.mark.stage(build=under_water)
async def test_once_a_fraud_is_rolled_back_the_guard_goes_on(world: World, node: L1Node, client: L1Client) -> None:
    await world.commit([[]], [Lie(0, claim=false_tree)])
    async with watching(world, node, patience=0) as guard:
        summary = await guard.once()
        assert (summary.proofs_won, summary.entries_sent, summary.held) == (1, 1, True)


@pytest.mark.stage(build=under_water)
async def test_while_two_l1_nodes_disagree_nothing_is_enqueued(world: World, node: L1Node, client: L1Client) -> None:
    async with (
        L1Client(node.url, L1Options(attempts=1), transport=Tampering(lying_blocks)) as second,
        watching(world, node, patience=0, second_client=second) as guard,
    ):
        assert (await guard.once()).entries_sent == 0


@pytest.mark.stage(build=under_water)
@pytest.mark.parametrize("kind", ["dead", "hanging", "on another branch"])
@pytest.mark.parametrize("place", [0, 1])
async def test_one_l1_node_that_fails_holds_a_rescue_up_for_a_while(
    guard: Run, client: L1Client, kind: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover.challenger.nodes.UNDECIDED_SECONDS", 0.1)
    # Of a call a node that hangs is given two minutes; the second one is not waited for as long.
    second_seconds = 1.0 if kind == "hanging" else patience.PATIENCE_SECONDS
    monkeypatch.setattr("prover.challenger.nodes._SECOND_SECONDS", second_seconds)
    before = await sent_by(client, CHALLENGER)

    def nodes() -> list[httpx.AsyncBaseTransport]:
        tamper = dead if kind == "dead" else lying_blocks
        faulty = Hanging() if kind == "hanging" else Tampering(tamper)
        return [faulty, Tampering(honest)] if place == 0 else [Tampering(honest), faulty]

    # Without the rule nothing is ever entered.
    await played(guard, *nodes(), math.inf, "alarm", Policy(0))
    assert "L1_ALONE" not in guard.alarms
    assert await sent_by(client, CHALLENGER) == before
    await played(guard, *nodes(), 0.5, "entry_enqueued", Policy(0))
    assert "L1_ALONE" in guard.alarms
    (said,) = guard.said.names("entry_enqueued")
    assert said["alone"]
    assert await sent_by(client, CHALLENGER) == before + 1


class Swallowing(Tampering):
    """Takes transactions and passes none on."""

    def __init__(self) -> None:
        super().__init__(honest)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(request.content)
        if isinstance(asked, dict) and asked["method"] == "eth_sendRawTransaction":
            answer = {"jsonrpc": "2.0", "id": asked["id"], "result": "0x" + bytes(32).hex()}
            return httpx.Response(200, content=msgspec.json.encode(answer))
        return await super().handle_async_request(request)


@pytest.mark.stage(build=under_water)
async def test_an_l1_node_that_swallows_a_rescue_is_not_the_only_way(guard: Run, client: L1Client) -> None:
    before = await sent_by(client, CHALLENGER)
    await played(guard, Swallowing(), Tampering(honest), math.inf, "entry_enqueued", Policy(0))
    (said,) = guard.said.names("entry_enqueued")
    assert not said["alone"]
    assert await sent_by(client, CHALLENGER) == before + 1


def dearest(method: str, params: list[Any], result: Any) -> Any:
    """A node that advises a fee which nobody gives."""
    return hex(10**12) if method == "eth_maxPriorityFeePerGas" else result


def waiting(method: str, params: list[Any], result: Any) -> Any:
    """A node that holds a transaction of everybody's."""
    is_asked = method == "eth_getTransactionCount" and params[1] == "pending"
    return hex(int(result, 16) + 1) if is_asked else result


def poor(method: str, params: list[Any], result: Any) -> Any:
    """A node on which nobody has a wei."""
    return "0x0" if method == "eth_getBalance" else result


@pytest.mark.stage(build=under_water)
@pytest.mark.parametrize("lie", [dearest, waiting, poor])
async def test_what_one_l1_node_says_of_the_key_stops_no_rescue(guard: Run, client: L1Client, lie: Tamper) -> None:
    before = await sent_by(client, CHALLENGER)
    with structlog.testing.capture_logs():
        await played(guard, Tampering(lie), Tampering(honest), math.inf, "entry_enqueued", Policy(0))
    assert guard.alarms == []
    assert await sent_by(client, CHALLENGER) == before + 1


@pytest.mark.stage(build=under_water)
@pytest.mark.parametrize(
    "holds_wei", [1, 10**15, 16 * 10**17], ids=["nothing", "the fee and no gas", "less than a proof may need"]
)
async def test_what_l1_would_refuse_is_not_sent(world: World, node: L1Node, client: L1Client, holds_wei: int) -> None:
    poor = development_key(9)
    balance = await client.balance(poor.address)
    await client.call("anvil_setBalance", ["0x" + poor.address.hex(), hex(holds_wei)])
    try:
        async with watching(world, node, Dear, patience=0, signer=poor) as guard:
            assert (await guard.once()).entries_sent == 0
            assert guard.replay.records.payments() == ()
    finally:
        await client.call("anvil_setBalance", ["0x" + poor.address.hex(), hex(balance)])


@pytest.mark.stage(build=under_water)
async def test_what_a_proof_may_need_is_kept_and_the_rest_is_spent(
    world: World, node: L1Node, client: L1Client
) -> None:
    thrifty = development_key(9)
    balance = await client.balance(thrifty.address)
    await client.call("anvil_setBalance", ["0x" + thrifty.address.hex(), hex(18 * 10**17)])
    try:
        async with watching(world, node, Dear, patience=0, signer=thrifty) as guard:
            assert (await guard.once()).entries_sent == 1
    finally:
        await client.call("anvil_setBalance", ["0x" + thrifty.address.hex(), hex(balance)])


async def test_a_guard_needs_a_key(world: World, node: L1Node) -> None:
    with pytest.raises(ValueError, match="needs a key"):
        async with watching(world, node, signer=None):
            pass


# Ticks.


def reports(
    world: World, time_ms: int, prices: Sequence[int] = PRICES, signers: Sequence[int] = range(7)
) -> VenueRound:
    """What a node keeps of one grid time."""
    every = [*prices, *[0] * (constants.MARKETS - len(prices))]
    premiums = [0] * constants.MARKETS
    digest = tick_digest(world.venue.domain, time_ms, every, premiums)
    kept = VenueRound(time_ms)
    for index in signers:
        signature = signatures.sign(SIGNER_KEYS[index], digest)
        report = VenueReport(time_ms, index, tuple(prices), tuple(premiums[: len(prices)]), signature)
        kept.kept[index] = Kept(report, time_ms)
    return kept


Answer = Callable[[], Any]


class Node:
    """A source of reports in the words of the node's API."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.source = report_source("http://127.0.0.1:9", httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        asked = msgspec.json.decode(request.content)
        assert (asked["method"], asked["params"]) == ("catenary_reports", {"limit": 12})
        answer = self.answer()
        if isinstance(answer, bytes):
            return httpx.Response(200, content=answer)
        content = {"jsonrpc": "2.0", "id": asked["id"], "result": [told(found) for found in answer]}
        return httpx.Response(200, content=msgspec.json.encode(content))


async def silent(world: World, client: L1Client, seconds: int = PATIENCE + 20) -> int:
    """A sequencer that posts no tick for so long; the newest grid time."""
    await later(world, client, None, seconds)
    return await newest_time(world)


async def newest_time(world: World) -> int:
    """The newest grid time that has passed."""
    return (await world.now_ms()) - 5_000


async def positions_and_silence(world: World, client: L1Client) -> None:
    """Positions that are healthy at the last tick, and none for longer than patience."""
    await positions(world, client)
    await silent(world, client)


async def opened_and_silent(world: World, client: L1Client) -> None:
    """Two accounts without positions, and no tick for longer than patience."""
    await world.open_accounts()
    await silent(world, client)


async def under_water_and_silent(world: World, client: L1Client) -> None:
    """An account below maintenance that no fallen tick would show healthy, and none for longer than patience."""
    await under_water(world, client)
    await silent(world, client)


@pytest.mark.stage(build=positions_and_silence)
async def test_ticks_that_the_sequencer_withholds_are_forced_with_the_rescue_that_they_show(
    world: World, node: L1Node, client: L1Client
) -> None:
    newest = await newest_time(world)
    told = Node(
        lambda: [
            *(reports(world, newest - late * constants.TICK_STEP, FALLEN) for late in range(3)),
            reports(world, newest + 5_000, signers=range(4)),
        ]
    )
    async with watching(world, node, source=told.source) as guard:
        assert (await guard.once()).entries_sent == 4
        assert [entry[0] for entry in guard.queued()] == [constants.FORCED_TICK] * 3 + [constants.FORCED_RESCUE]
        said = guard.said.names("entry_enqueued")
        assert [each["tick_time_ms"] for each in said[:3]] == [newest - 10_000, newest - 5_000, newest]
        assert (said[3]["account"], said[0]["gas_used"] < 700_000) == (LOSER, True)
        # As long as they wait in the queue, they are not bought again.
        assert (await guard.once()).entries_sent == 4
        world.waiting = guard.queued()
        await later(world, client, None)
        assert (world.venue.state.globals.tick_time, world.venue.state.globals.risk.price[0]) == (newest, FALLEN[0])
        assert held(world, LOSER) == 0
        assert (await guard.once()).held


@pytest.mark.stage(build=positions_and_silence)
async def test_ticks_in_which_a_market_has_no_price_are_forced_like_any(
    world: World, node: L1Node, client: L1Client
) -> None:
    newest = await newest_time(world)
    aside = [*FALLEN[:-1], 0]
    told = Node(lambda: [reports(world, newest - late * constants.TICK_STEP, aside) for late in range(3)])
    async with watching(world, node, source=told.source) as guard:
        assert (await guard.once()).entries_sent == 4
        assert [entry[0] for entry in guard.queued()] == [constants.FORCED_TICK] * 3 + [constants.FORCED_RESCUE]
        world.waiting = guard.queued()
        await later(world, client, None)
        assert world.venue.state.globals.markets[len(aside) - 1].previous_price == constants.SET_ASIDE
        assert held(world, LOSER) == 0


@pytest.mark.stage(build=opened_and_silent)
async def test_i4_no_tick_is_bought_for_nobody(world: World, node: L1Node, client: L1Client) -> None:
    newest = await newest_time(world)
    told = Node(lambda: [reports(world, newest - late * constants.TICK_STEP, FALLEN) for late in range(3)])
    async with watching(world, node, source=told.source) as guard:
        assert ((await guard.once()).entries_sent, guard.queued(), told.asked) == (0, [], 1)
        # It is asked again only after a pause.
        await guard.once()
        assert told.asked == 1


@pytest.mark.stage(build=opened)
async def test_young_prices_ask_nobody(world: World, node: L1Node, client: L1Client) -> None:
    newest = await silent(world, client, PATIENCE - 30)
    told = Node(lambda: [reports(world, newest)])
    async with watching(world, node, source=told.source) as guard:
        assert ((await guard.once()).entries_sent, told.asked) == (0, 0)


async def test_without_accounts_nobody_needs_a_price(world: World, node: L1Node, client: L1Client) -> None:
    newest = await silent(world, client)
    told = Node(lambda: [reports(world, newest)])
    async with watching(world, node, source=told.source) as guard:
        assert ((await guard.once()).entries_sent, told.asked) == (0, 0)


def forged(world: World, time_ms: int, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A node's answer with three of seven reports changed: one quorum less."""
    found = told(reports(world, time_ms, FALLEN))
    for report in found["reports"][:3]:
        change(report)
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": [found]})


@pytest.mark.stage(build=under_water_and_silent)
@pytest.mark.parametrize(
    "answer",
    [
        lambda world, newest: b"garbage",
        lambda world, newest: b"",
        lambda world, newest: b"[" * 100_000,
        lambda world, newest: b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}',
        lambda world, newest: b'{"result":[{"time_ms":-1,"reports":[]}]}',
        lambda world, newest: b" " * (2 << 20),
        lambda world, newest: [],
        lambda world, newest: [reports(world, newest, FALLEN, range(4))],
        lambda world, newest: [reports(world, newest - newest % 5_000 + 1, FALLEN)],
        lambda world, newest: [reports(world, newest - 1_000_000, FALLEN)],
        lambda world, newest: [reports(world, newest - 245_000, FALLEN)],
        lambda world, newest: [reports(world, newest + 3_600_000, FALLEN)],
        lambda world, newest: [reports(world, newest, FALLEN[:2])],
        lambda world, newest: forged(world, newest, lambda report: report["prices_ticks"].__setitem__(0, 1)),
        lambda world, newest: forged(world, newest, lambda report: report.update(signer_index=6)),
        lambda world, newest: forged(world, newest, lambda report: report.update(signature="0x" + "00" * 64)),
        lambda world, newest: forged(world, newest, lambda report: report.update(signature="0x" + "ff" * 65)),
        lambda world, newest: forged(world, newest, lambda report: report.update(signature="0x12")),
        lambda world, newest: forged(world, newest, lambda report: report["prices_ticks"].__setitem__(0, 2**48)),
    ],
    ids=[
        *("text", "nothing", "nested", "an error", "no round", "too much", "no rounds", "four signers", "off the grid"),
        *(
            "too old",
            "newer and still old",
            "of the future",
            "two markets",
            "other prices",
            "another signer",
            "no signature",
        ),
        *("no parity", "short", "too large a price"),
    ],
)
async def test_a_source_of_garbage_costs_nothing(
    world: World, node: L1Node, client: L1Client, answer: Callable[[World, int], Any]
) -> None:
    newest = await newest_time(world)
    before = await sent_by(client, CHALLENGER)
    told = Node(lambda: answer(world, newest))
    async with watching(world, node, source=told.source) as guard:
        summary = await guard.once()
        assert (summary.entries_sent, summary.held, told.asked) == (0, True, 1)
        # It is asked again only after a pause.
        await guard.once()
        assert told.asked == 1
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=under_water_and_silent)
async def test_a_source_that_is_down_and_none_at_all_cost_nothing(world: World, node: L1Node, client: L1Client) -> None:
    for source in (report_source("http://127.0.0.1:1"), report_source("nonsense"), None):
        async with watching(world, node, source=source) as guard:
            assert ((await guard.once()).entries_sent, guard.queued()) == (0, [])


@pytest.mark.stage(build=under_water_and_silent)
async def test_a_source_that_had_nothing_is_asked_again_in_the_same_block(
    world: World, node: L1Node, client: L1Client
) -> None:
    newest = await newest_time(world)
    told = Node(lambda: [reports(world, newest, FALLEN)] if told.asked > 1 else [])
    async with watching(world, node, source=told.source) as guard:
        assert ((await guard.once()).entries_sent, told.asked) == (0, 1)
        guarding = guard.challenger._guarding
        assert guarding is not None
        guarding._pauses.end("source")
        assert ((await guard.once()).entries_sent, told.asked) == (2, 2)


@pytest.mark.stage(build=under_water_and_silent)
async def test_reports_for_another_bridge_are_none(world: World, node: L1Node, client: L1Client) -> None:
    newest = await newest_time(world)
    foreign = World(world.chain, bytes(20), world.token, PARAMETERS)
    told = Node(lambda: [reports(foreign, newest, FALLEN)])
    async with watching(world, node, source=told.source) as guard:
        assert (await guard.once()).entries_sent == 0


async def test_a_source_with_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(SourceError, match="no answer"):
        await report_source("http://127.0.0.1:9", httpx.MockTransport(hang))()


def out_of_patience(guard: Any, world: World) -> None:
    """As if the guard had watched the loser since the beginning."""
    deciding = guard.challenger._guarding._guard
    deciding._since, deciding._seen = {LOSER: 0}, world.venue.state.root


@pytest.mark.stage(build=under_water)
async def test_a_rescue_at_an_old_price_brings_its_tick_along(world: World, node: L1Node, client: L1Client) -> None:
    # Older than a forced rescue may find it, and younger than patience.
    newest = await silent(world, client, 400)
    told = Node(lambda: [reports(world, newest, FALLEN)])
    async with watching(world, node, patience=600, source=told.source) as guard:
        await guard.once()
        assert told.asked == 0
    async with watching(world, node, patience=600, source=told.source) as guard:
        out_of_patience(guard, world)
        assert (await guard.once()).entries_sent == 2
        assert [operation[0] for operation in guard.queued()] == [constants.FORCED_TICK, constants.FORCED_RESCUE]
        tick, waits = guard.queued()
        world.waiting = [tick, waits]
        await later(world, client, None)
        assert held(world, LOSER) == SIZE
        # No second tick comes: the rescue goes by the one there is.
        world.waiting = [waits]
        await later(world, client, None, constants.FORCED_PRICE_AGE // 1_000)
        assert held(world, LOSER) == 0


@pytest.mark.stage(build=under_water)
async def test_three_ticks_in_a_row_and_the_rescue_are_one_transaction(
    world: World, node: L1Node, client: L1Client
) -> None:
    newest = await silent(world, client, 400)
    row = [reports(world, newest - number * constants.TICK_STEP, FALLEN) for number in range(3)]
    told = Node(lambda: row)
    async with watching(world, node, patience=600, source=told.source) as guard:
        out_of_patience(guard, world)
        sent = await sent_by(client, CHALLENGER)
        assert (await guard.once()).entries_sent == 4
        assert await sent_by(client, CHALLENGER) == sent + 1
        assert [operation[0] for operation in guard.queued()] == [constants.FORCED_TICK] * 3 + [constants.FORCED_RESCUE]
        # Nobody has to wait for anything: whoever orders serves all of them at once.
        world.waiting = guard.queued()
        await later(world, client, None)
        assert held(world, LOSER) == 0


@pytest.mark.stage(build=under_water)
async def test_a_tick_that_shows_the_account_healthy_is_not_bought_for_it(
    world: World, node: L1Node, client: L1Client
) -> None:
    newest = await silent(world, client, 400)
    told = Node(lambda: [reports(world, newest)])
    async with watching(world, node, patience=600, source=told.source) as guard:
        out_of_patience(guard, world)
        assert ((await guard.once()).entries_sent, told.asked, guard.queued()) == (0, 1, [])


# Decisions alone.


@pytest.mark.stage(build=under_water)
async def test_a_silent_sequencer_does_not_stop_the_clock_for_ever(world: World, client: L1Client) -> None:
    state, lag = world.venue.state, PARAMETERS.max_lag_seconds * 1_000
    since = state.commitment.timestamp
    guard = Guard(Policy(PATIENCE * 1_000), bytes(20))
    assert not guard.is_due(state, since, lag)
    assert guard._ripe(state, since + lag + PATIENCE * 1_000 - 1, lag) == []
    assert guard._ripe(state, since + lag + PATIENCE * 1_000, lag) == [LOSER]


@pytest.mark.stage(build=under_water)
async def test_a_queue_longer_than_a_chunk_is_tried_in_full(world: World, client: L1Client) -> None:
    state, now = world.venue.state, world.venue.state.commitment.timestamp
    guard = Guard(Policy(0), bytes(20))
    small = operations.entry_bytes(
        constants.FORCED_RESCUE, bytes(20), now, operations.forced_rescue_payload(0, LOSER, SIZE // 100)
    )
    root = state.root
    for count in (0, 21, 50):
        plan = guard.plan(state, queued_on(state, now, [small] * count), now, 0, purse())
        assert [entry.account for entry in plan.entries] == [LOSER]
    # In a hundred steps all of it is closed: there is nothing left to pay for.
    assert guard.plan(state, queued_on(state, now, [small] * 100), now, 0, purse()).entries == ()
    assert guard.plan(state, queued_on(state, now), now, 0, purse(hour_wei=0)).entries == ()
    assert state.root == root
    assert held(world, LOSER) == SIZE


@pytest.mark.stage(build=under_water)
async def test_an_open_head_counts_as_done(world: World, client: L1Client) -> None:
    state, now = world.venue.state, world.venue.state.commitment.timestamp
    closing = operations.entry_bytes(
        constants.FORCED_CLOSE, TRADERS[0], now, MAKER.to_bytes(3, "big") + b"\x00" + SIZE.to_bytes(7, "big") + bytes(6)
    )
    probe = state.chunk(lambda *_: bytes(20))
    assert (probe.apply(closing), begun(probe.commitment)) == (codes.OK, 1)
    plan = Guard(Policy(0), bytes(20)).plan(state, queued_on(state, now, [closing]), now, 0, purse())
    assert [entry.account for entry in plan.entries] == [LOSER]


async def test_of_more_than_a_quorum_the_lowest_signers_count(world: World) -> None:
    globals: containers.Globals = world.venue.state.globals
    time_ms = 5_000_000
    found = msgspec.convert(told(reports(world, time_ms)), Round)
    shuffled = msgspec.structs.replace(found, reports=tuple(reversed(found.reports)) + found.reports[:2])
    (tick,) = whole_ticks(world.venue.domain, globals, [shuffled], 0, time_ms)
    assert tick == world.venue.tick(time_ms, premium_ppb=0)
    assert list(whole_ticks(world.venue.domain, globals, [shuffled], time_ms, time_ms)) == []
    assert list(whole_ticks(world.venue.domain, globals, [shuffled], 0, time_ms - 1)) == []
    unknown = msgspec.structs.replace(found, reports=tuple(r for r in found.reports if r.signer_index > 2))
    assert isinstance(found.reports[0], Report)
    assert list(whole_ticks(world.venue.domain, globals, [unknown], 0, time_ms)) == []


async def test_a_forged_report_does_not_spoil_a_round(world: World) -> None:
    found = msgspec.convert(told(reports(world, 5_000_000)), Round)
    forged = msgspec.structs.replace(found.reports[0], prices_ticks=(1, 1, 1))
    spoilt = msgspec.structs.replace(found, reports=(forged, *found.reports[1:]))
    (tick,) = whole_ticks(world.venue.domain, world.venue.state.globals, [spoilt], 0, 5_000_000)
    assert tick[9] == 1


async def test_a_second_position_is_rescued_behind_the_first(world: World, client: L1Client) -> None:
    for trader in range(2):
        await world.deposit(trader, (100_000, 10_000)[trader] * DOLLAR)
    await give(world, TRADERS[0], 1, FUND)
    await give(world, TRADERS[0], 2, FUND)
    await later(world, client, PRICES)
    now, body = await world.now_ms(), []
    for market in range(2):
        terms = {"market": market, "size": 400_000, "limit_price": PRICES[market], "slot": 1 + market}
        body += [
            world.venue.order(0, MAKER, now, side=constants.SELL, **terms),
            world.venue.order(1, LOSER, now, **terms),
            operations.fill_bytes(2 * market, 2 * market + 1, 400_000),
        ]
    await world.commit([body])
    for _ in range(2):
        await later(world, client, (580_000, *PRICES[1:]))
    state, now = world.venue.state, world.venue.state.commitment.timestamp
    guard = Guard(Policy(0), bytes(20))
    (first,) = guard.plan(state, queued_on(state, now), now, 0, purse()).entries
    assert (first.account, first.market) == (LOSER, 0)
    pending = operations.entry_bytes(constants.FORCED_RESCUE, bytes(20), now, first.payload)
    # An hour in the queue each would be too slow, and the owner might have entered the first himself.
    (second,) = guard.plan(state, queued_on(state, now, [pending]), now, 0, purse()).entries
    assert (second.account, second.market) == (LOSER, 1)
    behind = operations.entry_bytes(constants.FORCED_RESCUE, bytes(20), now, second.payload)
    assert guard.plan(state, queued_on(state, now, [pending, behind]), now, 0, purse()).entries == ()


# The command.


@pytest.mark.stage(build=under_water)
async def test_the_command_guards(world: World, node: L1Node, client: L1Client, tmp_path: Path) -> None:
    arguments = command(world, node.url, tmp_path, "--once", "--guard", "--guard-patience", "0")
    ended = await trio.run_process(arguments, capture_stdout=True, capture_stderr=True)
    said = [msgspec.json.decode(line) for line in ended.stdout.splitlines()]
    assert [line["account"] for line in said if line["event"] == "entry_enqueued"] == [LOSER]
    assert (said[-1]["entries_sent"], said[-1]["held"]) == (1, True)


async def test_the_command_has_the_defaults_of_the_guard() -> None:
    defaults = {option.name: option.default for option in challenger.params}
    given = {name: defaults[name] for name in ChallengerOptions.__struct_fields__ if name.startswith("guard_")}
    options = dict.fromkeys(ChallengerOptions.__struct_fields__) | given
    assert guard_policy(ChallengerOptions(**options)) == Policy()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--guard", "--watch"], "does not go with --watch"),
        (["--guard-tick-url", "http://127.0.0.1:9"], "with --guard alone"),
        (["--guard", "--guard-hour-ether", "-1"], "--guard-hour-ether"),
        (["--guard", "--guard-day-ether", "-1"], "--guard-day-ether"),
        (["--guard", "--guard-share", "0"], "--guard-share"),
        (["--guard", "--guard-share", "101"], "--guard-share"),
        (["--guard", "--guard-ether-price", "0"], "--guard-ether-price"),
        (["--guard", "--guard-max-fee-gwei", "0"], "--guard-max-fee-gwei"),
        (["--guard", "--guard-patience", "-1"], "--guard-patience"),
    ],
)
async def test_options_that_guard_nothing_are_usage_errors(tmp_path: Path, options: list[str], sentence: str) -> None:
    arguments = ["challenger", "--l1-rpc-url", "http://127.0.0.1:1", "--rollup-address", "0x" + "11" * 20]
    ended = CliRunner().invoke(cli, [*arguments, "--datadir", str(tmp_path), "--once", *options])
    assert ended.exit_code == 2
    assert sentence in ended.output
    assert "Traceback" not in ended.output
