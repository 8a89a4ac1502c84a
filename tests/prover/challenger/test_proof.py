"""A lie becomes one transaction, and nothing else does: who must agree, who was faster, and its gas."""

import math
from typing import Any, Final

import msgspec
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from prover.challenger.challenger import Challenger, Settings
from prover.challenger.proof import proof_gas
from prover.contracts.referee import GAS_LIMIT, LocalReferee, transaction_gas
from prover.history.history import ChainReplay
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.state import witness
from prover.stf import constants, containers
from tests.l1_bridge.l1_nodes import L1Node
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.liars import another_hash, later, newest_number, selector
from tests.prover.challenger.runs import Guard, honest, mine, played, sent_by
from tests.prover.conftest import POLL_SECONDS
from tests.prover.l1_faults import Tampering
from tests.prover.world import (
    CHALLENGER,
    PARAMETERS,
    RIVAL,
    TRADERS,
    Lie,
    Venue,
    World,
    false_tree,
    lied,
    stolen,
)

pytestmark = pytest.mark.trio

NO: Final = "0x" + "00" * 32


@pytest.mark.stage(build=stolen)
async def test_two_challengers_at_once_and_the_slower_ends_quietly(
    world: World, node: L1Node, client: L1Client
) -> None:
    first, second = Guard(world, node.url), Guard(world, node.url)
    # Nothing is mined before both have sent.
    await client.call("evm_setAutomine", [False])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: first.once(role=CHALLENGER))
        nursery.start_soon(lambda: second.once(role=RIVAL))
        await first.said.until("proof_sent")
        await second.said.until("proof_sent")
        while await client.nonce(development_key(RIVAL).address, "pending") == await sent_by(client, RIVAL) or (
            await client.nonce(development_key(CHALLENGER).address, "pending") == await sent_by(client, CHALLENGER)
        ):
            await trio.sleep(POLL_SECONDS)
        await client.call("evm_mine")
        await client.call("evm_setAutomine", [True])
    won = [guard.summary.proofs_won for guard in (first, second)]
    assert sorted(won) == [0, 1]
    assert [guard.summary.held for guard in (first, second)] == [True, True]
    assert first.alarms == second.alarms == []
    loser = (first, second)[won.index(0)]
    assert loser.said.names("proof_superseded")


@pytest.mark.stage(build=lied)
async def test_after_the_window_a_fraud_is_an_alarm_and_no_transaction(
    guard: Guard, world: World, client: L1Client
) -> None:
    await mine(client, PARAMETERS.window_seconds)
    before = await sent_by(client, CHALLENGER)
    summary = await guard.once()
    assert not summary.held
    assert guard.alarms == ["FINAL_FRAUD"]
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=lied)
async def test_watching_sends_nothing_and_says_that_the_promise_does_not_hold(
    guard: Guard, world: World, client: L1Client
) -> None:
    before = await sent_by(client, CHALLENGER)
    assert not (await guard.once(role=None)).held
    assert guard.said.names("would_prove")
    assert await sent_by(client, CHALLENGER) == before


async def test_libraries_that_disagree_send_nothing(guard: Guard, world: World, client: L1Client) -> None:
    await world.commit([[world.venue.tick(await world.now_ms())]], [Lie(0, claim=false_tree)])
    before = await sent_by(client, CHALLENGER)
    summary = await guard.once(second_recover=lambda *_: bytes(20))
    assert (summary.held, summary.unknown) == (False, 1)
    assert guard.alarms == ["LIBRARIES"]
    assert await sent_by(client, CHALLENGER) == before


async def test_a_law_that_differs_from_the_referee_sends_nothing(guard: Guard, world: World, client: L1Client) -> None:
    await world.commit([[world.venue.tick(await world.now_ms())]])
    before = await sent_by(client, CHALLENGER)

    def nobody(digest: bytes, v: int, r: int, s: int) -> bytes:
        return bytes(20)

    summary = await guard.once(recover=nobody, second_recover=nobody)
    assert (summary.held, summary.fraud) == (False, 1)
    assert guard.alarms == ["REFEREE"]
    assert await sent_by(client, CHALLENGER) == before


class Counted(LocalReferee):
    """The shipped referee, and how often it was asked."""

    asked = 0

    def replay(self, domain: bytes, pre_root: bytes, body: bytes, witness: bytes, gas: int = GAS_LIMIT) -> bytes:
        """Counted."""
        Counted.asked += 1
        return super().replay(domain, pre_root, body, witness, gas)


@pytest.mark.stage(build=stolen)
async def test_a_node_that_denies_the_batch_that_its_storage_ends_with_is_told(
    guard: Guard, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counted, "asked", 0)
    monkeypatch.setattr("prover.challenger.proof.UNDECIDED_SECONDS", 0.1)
    before = await sent_by(client, CHALLENGER)

    def denied(method: str, params: list[Any], result: Any) -> Any:
        return NO if method == "eth_call" and params[0]["data"].startswith(selector("is_canonical")) else result

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: guard.run(once=False, tamper=denied, referee=Counted))
            await guard.said.until("alarm")
            nursery.cancel_scope.cancel()
    assert guard.alarms == ["L1_DISAGREES"]
    assert await sent_by(client, CHALLENGER) == before
    # Looked at again and again, and asked once.
    assert Counted.asked == 1
    assert (await guard.once()).proofs_won == 1


class Refusing(Tampering):
    """Says that the bridge refuses a proof, so often."""

    def __init__(self, times: int, reason: str) -> None:
        super().__init__(lambda method, params, result: result)
        self._left = times
        self._reason = reason

    def _change(self, asked: Any, answer: Any) -> None:
        if (
            asked["method"] == "eth_call"
            and asked["params"][0]["data"].startswith(selector("prove_fraud"))
            and self._left
        ):
            self._left -= 1
            answer.pop("result", None)
            answer["error"] = {"code": 3, "message": f"execution reverted: {self._reason}"}


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize(
    ("reason", "alarms"), [("HONEST_CHUNK", ["SIMULATION"]), ("FINAL", ["SIMULATION"]), ("NOT_CANONICAL", [])]
)
async def test_no_word_of_a_node_ends_a_dispute_for_good(
    guard: Guard, world: World, reason: str, alarms: list[str]
) -> None:
    options = L1Options(poll_seconds=POLL_SECONDS, attempts=2)
    async with L1Client(guard.url, options, transport=Refusing(1, reason)) as lying:
        settings = Settings(signer=development_key(CHALLENGER), poll_seconds=POLL_SECONDS)
        challenger = Challenger(lying, ChainReplay(guard.store, world.bridge), guard.said, settings)
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(challenger.run)
                await guard.said.until("rolled_back")
                nursery.cancel_scope.cancel()
    assert guard.alarms == alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("has_second", [False, True])
async def test_a_node_that_says_that_the_window_has_passed_holds_a_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, has_second: bool
) -> None:
    await client.call("evm_mine")
    # No batch is in that block: its time alone is forged, under its own hash.
    lie = later(await newest_number(client), 31_536_000)
    before = await sent_by(client, CHALLENGER)
    await played(guard, Tampering(lie), Tampering(honest) if has_second else None, math.inf, "alarm")
    assert await sent_by(client, CHALLENGER) == before
    assert guard.alarms == (["L1_DISAGREES"] if has_second else ["FINAL_FRAUD"])
    await played(guard, Tampering(lie), Tampering(honest) if has_second else None, 0.5, "rolled_back")
    assert "L1_ALONE" in guard.alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=lied)
async def test_that_the_window_has_passed_is_believed_of_two_nodes_or_of_the_own_time(
    guard: Guard, world: World, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mine(client, PARAMETERS.window_seconds)
    before = await sent_by(client, CHALLENGER)
    replay, now = ChainReplay(guard.store, world.bridge), 1_000.0
    async with L1Client(guard.url) as first, L1Client(guard.url) as second:
        settings = Settings(signer=development_key(CHALLENGER), second_client=second, patience_seconds=60)
        challenger = Challenger(first, replay, guard.said, settings)
        for event in await challenger._follower.poll():
            await challenger._handle(event)
        dispute, proving, last = replay.dispute(), challenger._proving, replay.records.blocks()[-1]
        assert dispute is not None
        assert proving._ended(dispute, last)
        assert await proving._is_final(dispute)
        monkeypatch.setattr(trio, "current_time", lambda: now)
        proving._known_since[dispute.batch_hash] = now
        challenger._nodes._second = None
        # It insists against one node as long as that could lie, and never after the window.
        assert [await proving._is_final(dispute), proving._insists(dispute, "no")] == [False, False]
        now += PARAMETERS.window_seconds
        assert await proving._is_final(dispute)
        assert not await proving.answer(dispute, last)
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("has_second", [False, True])
async def test_a_node_that_always_has_a_block_more_to_read_holds_a_proof_up_for_a_while(
    guard: Guard, world: World, has_second: bool
) -> None:
    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            return another_hash(result)
        return NO if method == "eth_call" and params[0]["data"].startswith(selector("is_canonical")) else result

    await played(guard, Tampering(lie), Tampering(honest) if has_second else None, 0.5, "rolled_back")
    assert "L1_ALONE" in guard.alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
async def test_a_block_more_to_read_is_read_at_once_and_once(
    guard: Guard, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = ChainReplay(guard.store, world.bridge)
    lie = Tampering(lambda method, params, result: another_hash(result) if params[:1] == ["latest"] else result)
    async with L1Client(guard.url, transport=lie) as client:
        settings = Settings(signer=development_key(CHALLENGER), patience_seconds=60)
        challenger = Challenger(client, replay, guard.said, settings)
        for event in await challenger._follower.poll():
            await challenger._handle(event)
        dispute, last = replay.dispute(), replay.records.blocks()[-1]
        assert dispute is not None

        async def holds(_: object) -> bool:
            return False

        monkeypatch.setattr(challenger._nodes, "hold", holds)
        assert [await challenger._proving.answer(dispute, last) for _ in range(3)] == [True, False, False]
        # What was said against it is over with the dispute.
        assert challenger._proving._opposed_since
        challenger._proving.rest()
        assert not challenger._proving._opposed_since


@pytest.mark.stage(build=stolen)
async def test_what_a_liar_makes_up_costs_one_proof_an_eighth_of_the_window(
    guard: Guard, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = ChainReplay(guard.store, world.bridge)
    async with L1Client(guard.url) as client:
        challenger = Challenger(client, replay, guard.said, Settings(patience_seconds=30))
        for event in await challenger._follower.poll():
            await challenger._handle(event)
    dispute, proving = replay.dispute(), challenger._proving
    assert dispute is not None
    another = msgspec.structs.replace(dispute, batch_hash=bytes(32))
    now = 1_000.0
    monkeypatch.setattr(trio, "current_time", lambda: now)

    # Not before the patience is over, then once, then once in an eighth of the window, for whatever batch it is.
    assert [proving._insists(each, "no") for each in (dispute, another)] == [False, False]
    now += 29
    assert not proving._insists(dispute, "no")
    now += 1
    assert [proving._insists(each, "no") for each in (dispute, dispute, another)] == [True, False, False]
    now += PARAMETERS.window_seconds / 8 - 1
    assert not proving._insists(another, "no")
    now += 1
    assert [proving._insists(each, "no") for each in (another, dispute)] == [True, False]

    # Where the window is long, an hour later, then twice as long each time: twelve in seven days, where there were 168.
    long = msgspec.structs.replace(replay.cursor, window_seconds=604_800)
    monkeypatch.setattr(ChainReplay, "cursor", property(lambda _: long))
    proving._insistence.clear()
    now += 86_400
    sent, begun = [], now
    while now < begun + 604_800:
        if proving._insists(dispute, "no"):
            sent.append(now - begun)
        now += 600
    assert sent[:6] == [0, 3_600, 3 * 3_600, 7 * 3_600, 15 * 3_600, 31 * 3_600]
    assert len(sent) == 12

    # What another node tells has turns of its own.
    async with L1Client(guard.url) as other:
        challenger._nodes._client = other
        assert [proving._insists(each, "no") for each in (dispute, another)] == [True, False]


@pytest.mark.stage(build=stolen)
async def test_a_proof_that_is_mined_and_fails_is_not_paid_for_every_two_minutes(
    guard: Guard, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if L1 had made gas dearer; and a node that runs out of it while it simulates does not say so.
    monkeypatch.setattr("prover.challenger.proof.proof_gas", lambda *_: 560_000)
    before = await sent_by(client, CHALLENGER)
    replay = ChainReplay(guard.store, guard.world.bridge)
    settings = Settings(signer=development_key(CHALLENGER), poll_seconds=POLL_SECONDS, patience_seconds=60)
    challenger = Challenger(client, replay, guard.said, settings)
    for event in await challenger._follower.poll():
        await challenger._handle(event)
    dispute, proving = replay.dispute(), challenger._proving
    assert dispute is not None
    assert not await proving.answer(dispute, await client.newest_block())
    assert (await sent_by(client, CHALLENGER) - before, guard.alarms) == (1, ["PROOF_FAILED"])
    long = msgspec.structs.replace(replay.cursor, window_seconds=604_800)
    monkeypatch.setattr(ChainReplay, "cursor", property(lambda _: long))
    begun, last, passed = trio.current_time(), await client.newest_block(), 0
    monkeypatch.setattr(trio, "current_time", lambda: begun + passed)
    asked: list[int] = []

    async def prove(*_: object) -> bool:
        asked.append(passed)
        return False

    monkeypatch.setattr(proving, "_prove", prove)
    while passed < 86_400:
        passed += 600
        await proving.answer(dispute, last)
    # After the patience, then as seldom as against a node's word.
    assert asked == [1_200, 4_800, 12_000, 26_400, 55_200]
    proving.rest()
    assert proving._in_vain == {}


@pytest.mark.stage(build=stolen)
async def test_a_reorganisation_that_drops_the_proof_sends_it_again(
    guard: Guard, world: World, client: L1Client
) -> None:
    snapshot = await client.call("evm_snapshot")
    assert (await guard.once()).proofs_won == 1
    await client.call("evm_revert", [snapshot])
    await mine(client, 7)
    assert (await world.head()).number == 2
    summary = await guard.once()
    assert (summary.held, summary.proofs_sent, summary.proofs_won) == (True, 1, 1)
    assert (await world.head()).number == 1


def bodies_of_no_use(venue: Venue, now_ms: int) -> dict[str, bytes]:
    """Full chunks of what costs the referee most for what the law counts: refusals, and fills between many orders."""
    time = now_ms.to_bytes(6, "big")
    orders = b"".join(venue.order(i % 4, 17 + i, now_ms, side=i % 2) for i in range(40))
    return {
        "empty": b"",
        "fills of nothing": time + operations.fill_bytes(0, 0, 1) * 759,
        "ticks of nothing": time + (b"\x06" + bytes(8)) * (constants.MAX_OPERATIONS - 1),
        "unsigned withdrawals": time + (b"\x02" + bytes(114)) * 66,
        "orders and fills": time
        + orders
        + b"".join(operations.fill_bytes(i % 40, (i + 1) % 40, 99) for i in range(307)),
    }


async def test_the_gas_limit_is_enough_for_every_body(world: World) -> None:
    venue = Venue(world.bridge)
    now_ms = await world.now_ms()
    entry = [containers.Deposit(b"\x55" * 20, TRADERS[i % 4], constants.NEW_ACCOUNT, 10**10) for i in range(40)]
    venue.batch([[operations.deposit_bytes(one) for one in entry], [venue.tick(now_ms)]], now_ms)
    referee = LocalReferee()
    for name, body in bodies_of_no_use(venue, now_ms).items():
        chunk = venue.state.chunk(recover_fast)
        chunk.run(body)
        proof = witness.build(venue.state.tree, chunk)
        referee.replay(venue.domain, venue.state.root, body, proof)
        calldata = bytes([1]) * (len(body) + len(proof))
        limit = proof_gas(chunk.weight, calldata, 0)
        assert transaction_gas(referee.gas_used * 64 // 63 + 300_000, calldata) < limit < GAS_LIMIT, name


async def test_the_gas_limit_follows_the_weight_and_stays_within_a_transaction() -> None:
    assert proof_gas(1_000, bytes(1_000), 0) - proof_gas(0, bytes(1_000), 0) > 1_000_000
    assert proof_gas(9_000, b"\x01" * 100_000, 0) <= GAS_LIMIT
    assert proof_gas(10**6, b"", 0) == GAS_LIMIT
    # The bridge refuses to begin below its floor.
    assert proof_gas(0, b"", 10_000_000) > 10_000_000
