"""L1 nodes that lie, lag or leave out: unknown and why, others are asked, and nothing known is wiped for one answer."""

import math
from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
import structlog
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.values import Block
from l1_bridge.codec.batch import BridgeId
from l1_bridge.codec.calls import encode_call
from l1_bridge.contracts.artifact import bridge_artifact
from l1_bridge.hashing import keccak
from prover.challenger.challenger import Challenger, Settings
from prover.challenger.nodes import MOST_BLOCKS_BEHIND, UNDECIDED_SECONDS, Nodes
from prover.challenger.report import Report
from prover.contracts import deployment
from prover.history.history import ChainReplay
from prover.history.records import MEMORY_BLOCKS
from prover.state.store import MemoryStore, StoreUnavailable
from tests.l1_bridge.l1_nodes import L1Node
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.liars import (
    Forked,
    Slow,
    another_hash,
    forged_word,
    later,
    newest_number,
    reward_for_nobody,
    selector,
    topic,
    without_batch,
)
from tests.prover.challenger.runs import Guard, Hanging, Recorder, dead, honest, lying_blocks, played, sent_by
from tests.prover.conftest import POLL_SECONDS
from tests.prover.l1_faults import Tamper, Tampering
from tests.prover.world import (
    CHALLENGER,
    PARAMETERS,
    World,
    lied,
    opened,
    stolen,
)

pytestmark = pytest.mark.trio


def lying_call(name: str, answer: Callable[[str], str]) -> Tamper:
    """A node that answers one view of the bridge its own way."""
    selector = "0x" + bridge_artifact().functions[name].selector.hex()

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        return answer(result) if method == "eth_call" and params[0]["data"].startswith(selector) else result

    return tamper


@pytest.mark.stage(build=lied)
@pytest.mark.parametrize(
    ("second", "alarm"),
    [
        (lying_call("is_canonical", lambda _: "0x" + "00" * 32), "L1_DISAGREES"),
        (lying_call("record", lambda result: "0x" + "11" * 224), "L1_DISAGREES"),
        (lying_call("record", lambda result: "0x11"), "SECOND_L1_UNAVAILABLE"),
        (lying_blocks, "L1_DISAGREES"),
        (lying_call("is_canonical", lambda _: "0x"), "SECOND_L1_UNAVAILABLE"),
        (lambda method, params, result: None if method == "eth_getBlockByNumber" else result, None),
    ],
    ids=["no such batch", "another parent", "no parent", "another branch", "no answer", "still behind"],
)
async def test_two_l1_nodes_that_disagree_send_nothing(
    guard: Guard, world: World, client: L1Client, second: Tamper, alarm: str | None
) -> None:
    before = await sent_by(client, CHALLENGER)
    assert not (await guard.once(second=second)).held
    assert guard.alarms == ([] if alarm is None else [alarm])
    assert guard.said.names("proof_sent") == []
    assert await sent_by(client, CHALLENGER) == before
    # The verdict was right all the time: with two nodes that agree it is acted upon.
    assert (await guard.once(second=honest)).proofs_won == 1


@pytest.mark.stage(build=lied)
async def test_a_second_l1_node_that_agrees_lets_the_proof_pass(guard: Guard, world: World) -> None:
    summary = await guard.once(second=honest)
    assert (summary.held, summary.proofs_won) == (True, 1)


@pytest.mark.stage(build=lied)
async def test_a_second_l1_node_that_does_not_answer_sends_nothing(
    guard: Guard, world: World, client: L1Client
) -> None:
    before = await sent_by(client, CHALLENGER)

    def down(method: str, params: list[Any], result: Any) -> Any:
        raise L1Unavailable("down") from None

    assert not (await guard.once(second=down)).held
    assert guard.alarms == ["SECOND_L1_UNAVAILABLE"]
    assert await sent_by(client, CHALLENGER) == before


# Nodes that leave something out.


class Forgotten:
    """How often a replay was wiped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wiped = 0
        wipe = ChainReplay.wipe

        def counted(replay: ChainReplay) -> None:
            self.wiped += 1
            wipe(replay)

        monkeypatch.setattr(ChainReplay, "wipe", counted)


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Forgotten:
    return Forgotten(monkeypatch)


def omitting(event: str, times: int = 10**6) -> Tamper:
    """A node that leaves such logs out, so many times that it would have to tell them."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        nonlocal times
        if method != "eth_getLogs" or times == 0:
            return result
        told = [log for log in result if log["topics"][0] != topic(event)]
        times -= len(told) < len(result)
        return told

    return tamper


async def read(guard: Guard, world: World) -> None:
    """Up to a first batch, by an honest node; then a second one."""
    assert (await guard.once()).held
    await world.deposit(2)
    await world.commit([world.venue.trade(await world.now_ms())])


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize("event", ["BatchCommitted", "Enqueued"])
async def test_a_log_that_comes_late_is_asked_for_again_and_nothing_is_wiped(
    guard: Guard, world: World, forgotten: Forgotten, event: str
) -> None:
    await read(guard, world)
    summary = await guard.once(tamper=omitting(event, 3))
    assert (summary.held, summary.tip, summary.valid_tip) == (True, 2, 2)
    assert (guard.alarms, forgotten.wiped) == ([], 0)


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize("event", ["BatchCommitted", "Enqueued"])
async def test_a_log_that_one_node_leaves_out_is_read_from_another(
    guard: Guard, world: World, forgotten: Forgotten, event: str
) -> None:
    await read(guard, world)
    summary = await guard.once(tamper=omitting(event), second=honest)
    assert (summary.held, summary.tip, forgotten.wiped) == (True, 2, 0)
    assert guard.alarms == []


@pytest.mark.stage(build=opened)
async def test_what_another_node_told_is_gone_on_from_with_the_first(
    guard: Guard, world: World, forgotten: Forgotten
) -> None:
    async with (
        L1Client(guard.url, L1Options(attempts=1), transport=Tampering(omitting("Enqueued"))) as first,
        L1Client(guard.url) as second,
    ):
        replay = ChainReplay(guard.store, world.bridge)
        challenger = Challenger(first, replay, guard.said, Settings(second_client=second, poll_seconds=0.01))
        for expected in (1, 2):
            await challenger.run(once=True)
            assert (challenger.finish().held, replay.cursor.tip) == (True, expected)
            assert challenger._follower._client is first
            await world.deposit(2)
            await world.commit()
    assert forgotten.wiped == 0


@pytest.mark.stage(build=opened)
async def test_a_log_that_nobody_tells_leaves_a_reason_and_is_asked_for_from_deeper_each_time(
    guard: Guard, world: World, client: L1Client, forgotten: Forgotten
) -> None:
    async with L1Client(guard.url, L1Options(attempts=1), transport=Tampering(omitting("Enqueued"))) as lying:
        replay = ChainReplay(guard.store, world.bridge)
        challenger = Challenger(client, replay, guard.said, Settings(poll_seconds=0.01))
        await challenger.run(once=True)
        agreed = replay.records.blocks()[-1].number
        await world.deposit(2)
        challenger._nodes._client = lying
        challenger._follower = challenger._follow()
        with structlog.testing.capture_logs() as logs:
            await challenger.run(once=True)
        oldest = replay.records.blocks()[0].number
        asked = [entry["from_block"] for entry in logs if entry["event"] == "asking_again"]
        assert asked == [agreed + 1] * 4 + [oldest + 1] * 3 + [0]
        # Nobody is woken before the blocks were asked again, and then he is.
        heard = [entry["event"] for entry in logs if entry["event"] in ("history_gap", "asking_again", "alarm")]
        assert heard == ["history_gap", "asking_again"] * 4 + ["alarm", "asking_again"] * 4 + ["alarm"]
        assert forgotten.wiped == 1
        assert not challenger.finish().held
        assert "queue entr" in replay.cursor.incomplete
    # A node that has it ends it.
    assert (await guard.once()).held


@pytest.mark.stage(build=opened)
async def test_one_run_ends_where_nobody_tells_what_is_missing(guard: Guard, world: World, client: L1Client) -> None:
    await read(guard, world)
    left_out = int(await client.call("eth_blockNumber"), 16)
    await world.commit()
    found_out = left_out + 1
    await client.call("anvil_mine", ["0x8"])

    def omitted(method: str, params: list[Any], result: Any) -> Any:
        logs = method == "eth_getLogs"
        return [log for log in result if int(log["blockNumber"], 16) != left_out] if logs else result

    options = L1Options(attempts=1, page_blocks=2)
    async with L1Client(guard.url, options, transport=Tampering(omitted)) as lying:
        challenger = Challenger(lying, ChainReplay(guard.store, world.bridge), guard.said, Settings(poll_seconds=0.01))
        with trio.fail_after(PATIENCE_SECONDS):
            await challenger.run(once=True)
        assert not challenger.finish().held
    async with L1Client(guard.url, L1Options(attempts=1), transport=Tampering(omitted)) as lying:
        replay = ChainReplay(MemoryStore(), world.bridge)
        assert await Challenger(lying, replay, guard.said, Settings())._step(once=False)
        # No block behind it is read: the memory is for going back.
        assert (replay.records.blocks()[-1].number, bool(replay.cursor.incomplete)) == (found_out, True)
    assert (await guard.once()).tip == 3


@pytest.mark.stage(build=lied)
async def test_one_run_ends_where_the_chain_ended_and_answers_on_a_machine_that_is_slower_than_it(
    guard: Guard, client: L1Client
) -> None:
    slow, options = Slow(client, 0), L1Options(poll_seconds=POLL_SECONDS, attempts=1)
    async with L1Client(guard.url, options, transport=slow) as behind:
        settings = Settings(signer=development_key(CHALLENGER), poll_seconds=POLL_SECONDS)
        replay = ChainReplay(guard.store, guard.world.bridge)
        challenger = Challenger(behind, replay, guard.said, settings)
        began = await newest_number(client)
        with trio.fail_after(PATIENCE_SECONDS):
            await challenger.run(once=True)
        summary = challenger.finish()
    assert (summary.held, summary.fraud, summary.proofs_won, guard.alarms) == (True, 1, 1, [])
    # The end went away all the while, further than a node may be behind where nobody stops.
    assert await newest_number(client) > replay.records.blocks()[-1].number + MOST_BLOCKS_BEHIND
    assert replay.records.blocks()[-1].number > began


@pytest.mark.stage(build=opened)
async def test_one_run_ends_where_a_node_tells_of_an_end_that_it_does_not_show(guard: Guard, world: World) -> None:
    def ahead(method: str, params: list[Any], result: Any) -> Any:
        is_newest = method == "eth_getBlockByNumber" and params[0] == "latest"
        return result | {"number": hex(int(result["number"], 16) + 8)} if is_newest else result

    with trio.fail_after(PATIENCE_SECONDS):
        assert (await guard.once(tamper=ahead)).tip == 1


@pytest.mark.stage(build=lied)
async def test_a_node_whose_bridge_stands_otherwise_is_not_acted_upon(
    guard: Guard, world: World, client: L1Client
) -> None:
    before = await sent_by(client, CHALLENGER)
    for second in (
        lying_call("head", lambda _: "0x" + "00" * 224),
        lying_call("queue_length", lambda _: "0x" + "01" * 32),
    ):
        assert not (await guard.once(second=second)).held
        assert guard.alarms[-1] == "L1_DISAGREES"
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=opened)
async def test_a_node_that_does_not_say_how_the_bridge_stands_leaves_it_open(guard: Guard, world: World) -> None:
    assert (await guard.once()).held
    assert not (await guard.once(tamper=lying_call("head", lambda _: "0x"))).held
    assert not (await guard.once(second=lying_call("head", lambda _: "0x"))).held
    assert not (await guard.once(second=lying_call("queue_length", lambda _: "0x01"))).held


@pytest.mark.stage(build=lied)
@pytest.mark.parametrize("view", ["is_canonical", "record"])
async def test_an_answer_that_is_none_says_of_no_batch_that_it_is_gone(
    guard: Guard, client: L1Client, view: str
) -> None:
    before = await sent_by(client, CHALLENGER)
    with pytest.raises(L1Unavailable):
        await guard.once(tamper=lying_call(view, lambda _: "0x"))
    assert await sent_by(client, CHALLENGER) == before
    assert (await guard.once()).proofs_won == 1


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_call"])
async def test_null_is_no_answer(guard: Guard, world: World, forgotten: Forgotten, method: str) -> None:
    await read(guard, world)
    with pytest.raises(L1Unavailable, match="something else than"):
        await guard.once(tamper=lambda asked, params, result: None if asked == method else result)
    assert (guard.summary.held, forgotten.wiped) == (False, 0)
    assert (await guard.once()).tip == 2


# Nodes that lag, and nodes of another chain.


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize(("blocks", "held"), [(MOST_BLOCKS_BEHIND, True), (MOST_BLOCKS_BEHIND + 1, False)])
async def test_a_node_that_ends_long_before_the_other_is_told(
    guard: Guard, world: World, client: L1Client, blocks: int, held: bool
) -> None:
    newest = await client.call("eth_getBlockByNumber", ["latest", False])
    await client.call("anvil_mine", [hex(blocks)])

    def lagging(method: str, params: list[Any], result: Any) -> Any:
        return newest if method == "eth_getBlockByNumber" and params[0] == "latest" else result

    assert (await guard.once(tamper=lagging, second=honest)).held == held
    assert guard.alarms == ([] if held else ["L1_DISAGREES"])


@pytest.mark.stage(build=opened)
async def test_a_node_that_gives_no_blocks_before_its_newest_leaves_it_open(
    guard: Guard, world: World, client: L1Client
) -> None:
    assert (await guard.once()).held
    last = int((await client.call("eth_getBlockByNumber", ["latest", False]))["number"], 16)
    await client.call("anvil_mine", [hex(MOST_BLOCKS_BEHIND + 1)])

    def holes(method: str, params: list[Any], result: Any) -> Any:
        is_block = method == "eth_getBlockByNumber" and params[0] != "latest"
        return None if is_block and int(params[0], 16) > last else result

    async with L1Client(guard.url, L1Options(attempts=1), transport=Tampering(holes)) as client_of_holes:
        replay = ChainReplay(guard.store, world.bridge)
        challenger = Challenger(client_of_holes, replay, guard.said, Settings())
        assert not await challenger._step(once=False)
        assert not challenger.finish().held


def elsewhere(chain: str | None, times: int = 10**6) -> Tamper:
    """A node that tells another chain, which has no bridge, so many blocks long; under its id or under ours."""

    def other(block_hash: str) -> str:
        return "0x" + keccak(block_hash.encode()).hex()

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        nonlocal times
        if method == "eth_chainId" and chain is not None:
            return chain
        if times > 0 and method.startswith("eth_getBlock"):
            times -= 1
            return result | {"hash": other(result["hash"]), "parentHash": other(result["parentHash"])}
        return [] if times > 0 and method == "eth_getLogs" else result

    return tamper


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize(
    ("tamper", "second", "alarms", "wiped"),
    [
        (elsewhere("0x1"), None, ["REORG_TOO_DEEP", "L1_DISAGREES"], 0),
        (elsewhere(None), honest, ["REORG_TOO_DEEP", "L1_DISAGREES"], 0),
        (elsewhere(None, 6), None, ["REORG_TOO_DEEP"], 0),
        (elsewhere(None), None, ["REORG_TOO_DEEP", "NO_BRIDGE"], 1),
    ],
    ids=["another chain", "the other node keeps it", "for a while", "again and again"],
)
async def test_a_node_of_another_chain_is_no_reason_to_forget(
    guard: Guard,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    forgotten: Forgotten,
    tamper: Tamper,
    second: Tamper | None,
    alarms: list[str],
    wiped: int,
) -> None:
    monkeypatch.setattr("prover.challenger.challenger.MEMORY_BLOCKS", 2)
    assert (await guard.once()).held
    summary = await guard.once(tamper=tamper, second=second)
    assert guard.alarms[:2] == alarms
    assert summary.held == (wiped == 0 and len(alarms) == 1)
    assert forgotten.wiped == wiped
    if not wiped:
        assert (await guard.once()).held


@pytest.mark.stage(build=opened)
async def test_answers_of_another_chain_count_only_in_a_row(
    guard: Guard, world: World, monkeypatch: pytest.MonkeyPatch, forgotten: Forgotten
) -> None:
    monkeypatch.setattr("prover.challenger.challenger.MEMORY_BLOCKS", 2)
    assert (await guard.once()).held
    # Three blocks are asked for each time, and the sixth time in a row would be believed.
    transport = Tampering(elsewhere(None, 5 * 3))
    async with L1Client(guard.url, L1Options(attempts=1), transport=transport) as client:
        challenger = Challenger(client, ChainReplay(guard.store, world.bridge), guard.said, Settings())
        for _ in range(2):
            transport.tamper = elsewhere(None, 5 * 3)
            await challenger.run(once=True)
            assert (challenger.finish().held, forgotten.wiped) == (True, 0)
    assert guard.alarms == ["REORG_TOO_DEEP"] * 2


async def test_what_stays_open_is_told_after_a_while(autojump_clock: trio.testing.MockClock) -> None:
    said = Recorder()
    bridge = BridgeId(31_337, b"\x11" * 20)
    nodes = Nodes(cast(L1Client, None), None, ChainReplay(MemoryStore(), bridge), Report(said, None))
    for seconds in (0.0, UNDECIDED_SECONDS - 1):
        await trio.sleep(seconds)
        assert not nodes.leave_open("the node says nothing")
    assert said.said == []
    await trio.sleep(1)
    for _ in range(2):
        nodes.leave_open("the node says nothing")
    assert [(each["code"], each["detail"]) for each in said.said] == [("L1_UNDECIDED", "the node says nothing")]


# A lie stands once its window has passed: who fails, lies or says nothing holds its proof up for a while alone.


class Capped(Tampering):
    """Gives no logs of more than so many bytes in one answer, and receipts only if it is told to."""

    def __init__(self, receipts: bool) -> None:
        super().__init__(honest)
        self._receipts = receipts

    def _change(self, asked: Any, answer: Any) -> None:
        is_large = asked["method"] == "eth_getLogs" and len(str(answer.get("result"))) > 2_000
        if is_large or (asked["method"] == "eth_getTransactionReceipt" and not self._receipts):
            answer.pop("result", None)
            answer["error"] = {"code": -32602, "message": "Log response size exceeded"}


async def hiding(client: L1Client, bridge: bytes) -> Tamper:
    """A node for which there is no second batch, in its logs and in the bridge's storage alike."""
    selectors = {name: "0x" + bridge_artifact().functions[name].selector.hex() for name in ("head", "is_canonical")}
    first = "0x" + (await client.eth_call(bridge, encode_call("record", 1))).hex()

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            number = "0x" + (2).to_bytes(32, "big").hex()
            return [log for log in result if log["topics"][:2] != [topic("BatchCommitted"), number]]
        if method == "eth_call" and params[0]["data"].startswith(selectors["head"]):
            return first
        return (
            "0x" + bytes(32).hex()
            if method == "eth_call" and selectors["is_canonical"] in params[0]["data"]
            else result
        )

    return tamper


def faulty(kind: str) -> httpx.AsyncBaseTransport:
    """A node that does not answer what has to be known."""
    return {"dead": Tampering(dead), "hanging": Hanging(), "capped": Capped(receipts=False)}[kind]


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("kind", ["dead", "hanging", "capped"])
@pytest.mark.parametrize("place", [0, 1])
async def test_one_node_that_fails_holds_a_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, kind: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover.challenger.nodes.UNDECIDED_SECONDS", 0.1)
    # Of a call a node that hangs is given two minutes; the second one is not waited for as long.
    monkeypatch.setattr("prover.challenger.nodes._SECOND_SECONDS", 1.0 if kind == "hanging" else PATIENCE_SECONDS)
    before = await sent_by(client, CHALLENGER)
    nodes = [faulty(kind), Tampering(honest)]
    # A second node that is capped is not asked for logs: it agrees.
    if (kind, place) != ("capped", 1):
        # Without the rule nothing is ever sent.
        await played(guard, nodes[place], nodes[1 - place], math.inf, "alarm")
        assert set(guard.alarms) <= {"L1_UNDECIDED", "SECOND_L1_UNAVAILABLE"}
        assert await sent_by(client, CHALLENGER) == before
        nodes = [faulty(kind), Tampering(honest)]
    await played(guard, nodes[place], nodes[1 - place], 0.5, "rolled_back")
    assert ("L1_ALONE" in guard.alarms) == ((kind, place) != ("capped", 1))
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
async def test_logs_of_one_block_that_are_too_large_are_read_by_receipt(guard: Guard, world: World) -> None:
    await played(guard, Capped(receipts=True), None, math.inf, "rolled_back")
    assert guard.alarms == []
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("place", [0, 1])
async def test_a_node_that_hides_a_batch_holds_its_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, place: int
) -> None:
    before = await sent_by(client, CHALLENGER)
    lie = await hiding(client, world.bridge.address)
    nodes = [Tampering(lie), Tampering(honest)]
    await played(guard, nodes[place], nodes[1 - place], math.inf, "alarm")
    assert guard.alarms == ["L1_DISAGREES"]
    assert await sent_by(client, CHALLENGER) == before
    nodes = [Tampering(lie), Tampering(honest)]
    await played(guard, nodes[place], nodes[1 - place], 0.5, "proof_mined")
    assert "L1_ALONE" in guard.alarms
    assert (await world.head()).number == 1
    assert await sent_by(client, CHALLENGER) == before + 1


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("place", [0, 1])
async def test_a_node_that_hides_a_batch_deeper_than_is_remembered_holds_its_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pauses are much shorter than the patience, as they are with ten minutes of it.
    monkeypatch.setattr("prover.challenger.pauses.FIRST_SECONDS", 0.001)
    monkeypatch.setattr("prover.challenger.pauses.MOST_SECONDS", 0.001)
    lie = await hiding(client, world.bridge.address)
    await client.call("anvil_mine", [hex(MEMORY_BLOCKS + 1)])
    nodes = [Tampering(lie), Tampering(honest)]
    await played(guard, nodes[place], nodes[1 - place], 2.0, "rolled_back")
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
async def test_a_node_that_hides_a_batch_and_says_that_its_block_has_left_holds_its_proof_up_for_a_while(
    guard: Guard, world: World
) -> None:
    """Its logs lack the batch, its storage has it, and whenever it is asked again the block is another one."""
    asked = False

    def lie(method: str, params: list[Any], result: Any) -> Any:
        nonlocal asked
        if method == "eth_getLogs":
            return without_batch(result, 2)
        if method == "eth_call" and params[0]["data"].startswith(selector("queue_length")):
            asked = True
        elif method == "eth_getBlockByNumber" and params[0] != "latest" and asked:
            asked = False
            return another_hash(result)
        return result

    await played(guard, Tampering(lie), Tampering(honest), 0.5, "rolled_back")
    assert "L1_ALONE" in guard.alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize("count", [40, MEMORY_BLOCKS - 56, MEMORY_BLOCKS + 44])
async def test_a_node_that_makes_up_blocks_holds_a_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, count: int
) -> None:
    """More of them than the honest node has, or more than are remembered, and it stands by all of them afterwards."""
    assert (await guard.once(second=honest)).held
    forked = await Forked.at(client, count)
    await world.steal()
    if count > 40:
        await client.call("anvil_mine", [hex(2 * MEMORY_BLOCKS)])
    await played(guard, forked, Tampering(honest), 0.5, "rolled_back")
    assert "L1_ALONE" in guard.alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=opened)
async def test_a_node_that_is_always_a_block_ahead_hides_nothing(guard: Guard, world: World, client: L1Client) -> None:
    """Its blocks are the real ones but for the newest, which it makes up: the other node never has that one."""
    assert (await guard.once(second=honest)).held
    await world.steal()
    hides = await hiding(client, world.bridge.address)
    forked = await Forked.at(client, 1)
    plain = forked.tamper
    forked.tamper = lambda method, params, result: plain(method, params, hides(method, params, result))
    await played(guard, forked, Tampering(honest), 0.5, "rolled_back")
    assert "L1_DISAGREES" in guard.alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize("blocks", [1, MOST_BLOCKS_BEHIND + 1, MEMORY_BLOCKS + 1])
async def test_a_second_node_that_is_behind_on_the_same_chain_contradicts_nothing(
    guard: Guard, world: World, client: L1Client, blocks: int
) -> None:
    last = await newest_number(client)
    await world.commit()
    await client.call("anvil_mine", [hex(blocks)])

    def behind(method: str, params: list[Any], result: Any) -> Any:
        is_block = method == "eth_getBlockByNumber" and result is not None and int(result["number"], 16) > last
        return (newest if params[0] == "latest" else None) if is_block else result

    newest = await client.call("eth_getBlockByNumber", [hex(last), False])
    await guard.once(second=behind)
    assert guard.alarms == []
    async with L1Client(guard.url, transport=Tampering(behind)) as second:
        replay = ChainReplay(guard.store, world.bridge)
        nodes = Nodes(client, second, replay, Report(guard.said, None), 600.0)
        assert not await nodes.agree(replay.records.blocks()[-1])
        assert nodes._doubted_since is None
        assert nodes.undecided.startswith("the second L1 node does not have block")


@pytest.mark.stage(build=stolen)
async def test_a_second_node_that_lacks_the_block_of_a_roll_back_contradicts_nothing(
    guard: Guard, client: L1Client
) -> None:
    assert (await guard.once(second=honest)).proofs_won == 1
    last = await newest_number(client) - 1
    newest = await client.call("eth_getBlockByNumber", [hex(last), False])

    def behind(method: str, params: list[Any], result: Any) -> Any:
        is_block = method == "eth_getBlockByNumber" and result is not None and int(result["number"], 16) > last
        return (newest if params[0] == "latest" else None) if is_block else result

    # What the logs told up to that block is looked up, not what they came to since.
    assert not (await guard.once(second=behind)).held
    assert guard.alarms == []


@pytest.mark.stage(build=opened)
async def test_blocks_of_one_nodes_word_can_be_taken_back(guard: Guard, world: World, client: L1Client) -> None:
    async with L1Client(guard.url) as second:
        replay = ChainReplay(guard.store, world.bridge)
        challenger = Challenger(client, replay, guard.said, Settings(second_client=second, poll_seconds=0.01))
        nodes = challenger._nodes
        await challenger.run(once=True)
        shared = nodes.agreed
        assert shared == replay.shared == replay.records.blocks()[-1].number
        forked = await Forked.at(client, 3 * MEMORY_BLOCKS)
        await client.call("anvil_mine", [hex(4 * MEMORY_BLOCKS)])
        async with L1Client(guard.url, transport=forked) as lying:
            nodes._client = lying
            challenger._follower = challenger._follow()
            for _ in range(3):
                assert await challenger._step(once=False)
        assert replay.shared == shared
        assert replay.records.blocks()[-1].number == shared + 3 * MEMORY_BLOCKS
        assert nodes.undecided.startswith("the two L1 nodes have different blocks")
        # All of them, and the memory that there would be without them.
        assert replay.records.blocks()[0].number == max(shared - MEMORY_BLOCKS + 1, replay.cursor.from_block)
        assert replay.rewind(shared)
        # What both have told is not kept for ever.
        nodes._client = client
        challenger._follower = challenger._follow()
        await challenger.run(once=True)
        await client.call("evm_mine")
        await challenger.run(once=True)
        assert len(replay.records.blocks()) == MEMORY_BLOCKS + 1


@pytest.mark.stage(build=opened)
async def test_nobody_reads_for_ever_beyond_what_both_nodes_tell(
    guard: Guard, world: World, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover.challenger.nodes.MOST_KEPT_BLOCKS", MEMORY_BLOCKS)
    answers: dict[str, Tamper] = {"second": honest}
    transport = Tampering(lambda *asked: answers["second"](*asked))
    async with L1Client(guard.url, L1Options(attempts=1), transport=transport) as second:
        replay = ChainReplay(guard.store, world.bridge)
        challenger = Challenger(client, replay, guard.said, Settings(second_client=second, patience_seconds=60))
        nodes, now = challenger._nodes, 1_000.0
        monkeypatch.setattr(trio, "current_time", lambda: now)
        await challenger.run(once=True)
        await client.call("anvil_mine", [hex(MEMORY_BLOCKS)])
        assert await challenger._step(once=False)
        last = replay.records.blocks()[-1]
        for answers["second"] in (dead, lying_blocks):
            nodes._pauses.end("shared")
            assert not await nodes.may_read_on(last)
            now += 130
            # A node that is silent is waited for no longer than ever; one that has other blocks is followed then.
            assert await nodes.may_read_on(last) == (answers["second"] is dead)
        assert nodes._doubted_since is not None
        answers["second"] = honest
        now += 130
        assert await nodes.may_read_on(last)
        assert replay.shared == last.number


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> int:
    """So few blocks that one node alone has told are kept, and things are tried again soon."""
    for name, value in {
        "prover.challenger.nodes.MOST_KEPT_BLOCKS": 2 * MEMORY_BLOCKS,
        "prover.history.history.MOST_KEPT_BLOCKS": 2 * MEMORY_BLOCKS,
        "prover.challenger.pauses.FIRST_SECONDS": 0.02,
        "prover.challenger.pauses.MOST_SECONDS": 0.1,
    }.items():
        monkeypatch.setattr(name, value)
    return 2 * MEMORY_BLOCKS


@pytest.mark.stage(build=opened)
async def test_a_node_that_contradicts_for_longer_than_is_kept_holds_a_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, kept: int
) -> None:
    await client.call("anvil_mine", [hex(kept + MEMORY_BLOCKS)])
    await world.steal()
    await played(guard, Tampering(honest), Tampering(lying_blocks), 1, "rolled_back")
    assert guard.said.names("proof_sent")[0]["alone"]


@pytest.mark.stage(build=opened)
async def test_a_node_that_makes_up_more_blocks_than_are_kept_holds_a_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, kept: int
) -> None:
    forked = await Forked.at(client, 2 * kept)
    await client.call("anvil_mine", [hex(kept + MEMORY_BLOCKS)])
    await world.steal()
    await played(guard, forked, Tampering(honest), 1, "rolled_back")
    assert guard.said.names("proof_sent")[0]["alone"]


@pytest.mark.stage(build=opened)
async def test_what_both_have_told_is_kept_whatever_one_makes_up(
    guard: Guard, world: World, client: L1Client, kept: int
) -> None:
    async with L1Client(guard.url) as second:
        replay = ChainReplay(guard.store, world.bridge)
        challenger = Challenger(client, replay, guard.said, Settings(second_client=second, poll_seconds=0.01))
        await challenger.run(once=True)
        shared = replay.shared
        assert shared is not None
        forked = await Forked.at(client, 2 * kept)
        await client.call("anvil_mine", [hex(2 * kept)])
        async with L1Client(guard.url, transport=forked) as lying:
            challenger._nodes._client = lying
            challenger._follower = challenger._follow()
            while await challenger._step(once=False):
                pass
    blocks = replay.records.blocks()
    assert (replay.shared, challenger._nodes.is_memory_shared) == (shared, True)
    assert blocks[0].number <= shared
    assert blocks[-1].number >= shared + MEMORY_BLOCKS


async def test_a_node_is_followed_for_longer_where_its_chain_was_not_read_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr(trio, "current_time", lambda: now)
    first, second = (cast(L1Client, name) for name in ("first", "second"))
    replay = ChainReplay(MemoryStore(), BridgeId(1, bytes(20)))
    nodes = Nodes(first, second, replay, Report(Recorder(), None), 60)

    def followed_for(has_told: bool, is_end: bool = False) -> float:
        nonlocal now
        left, began = nodes.followed, now
        if has_told:
            nodes.has_told(is_end)
        nodes.doubt("contradicted")
        while not nodes.change_places():
            now += 60
        assert nodes.followed is not left
        return now - began

    # Each in turn: of one there is much to read, the other one is dead.
    assert [followed_for(has_told=at % 2 == 0) for at in range(6)] == [60, 60, 120, 60, 240, 60]
    # Once its end was read there is no more to read next time than this time; nobody is followed for ever.
    assert [followed_for(has_told=True, is_end=at % 2 == 0) for at in range(3)] == [480, 60, 480]
    for _ in range(30):
        longest = followed_for(has_told=True)
    assert longest == 86_400


def silent(method: str, params: list[Any], result: Any) -> Any:
    """A node without a log."""
    return [] if method == "eth_getLogs" else result


def empty(method: str, params: list[Any], result: Any) -> Any:
    """A node without a block."""
    return None if method == "eth_getBlockByNumber" else result


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize(("lie", "alarms"), [(silent, ["NO_BRIDGE"]), (empty, [])])
async def test_one_run_ends_where_a_node_shows_nothing(guard: Guard, lie: Tamper, alarms: list[str]) -> None:
    assert not (await guard.once(tamper=lie)).held
    assert guard.alarms == alarms


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("lie", [silent, empty, lying_blocks])
async def test_a_node_that_shows_nothing_from_the_beginning_holds_a_proof_up_for_a_while(
    guard: Guard, world: World, client: L1Client, lie: Tamper
) -> None:
    # The bridge lies deeper than what is remembered of blocks.
    await client.call("anvil_mine", [hex(MEMORY_BLOCKS + 1)])
    await played(guard, Tampering(lie), Tampering(honest), 0.5, "rolled_back")
    assert "L1_ALONE" in guard.alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("view", ["is_canonical", "prove_fraud"])
async def test_a_node_that_speaks_against_a_proof_holds_it_up_for_a_while(
    guard: Guard, world: World, view: str
) -> None:
    """One node alone: its logs and the bridge's storage show the batch, and it denies it or refuses the simulation."""
    answer = {"is_canonical": "0x" + bytes(32).hex(), "prove_fraud": ""}[view]
    transport = Tampering(lying_call(view, lambda _: answer)) if answer else Disbelieving()
    await played(guard, transport, None, 0.3, "rolled_back")
    assert guard.alarms[-1] == "L1_ALONE"
    assert (await world.head()).number == 1


class Disbelieving(Tampering):
    """Says of every simulated proof that the chunk is honest."""

    def __init__(self) -> None:
        super().__init__(honest)

    def _change(self, asked: Any, answer: Any) -> None:
        selector = "0x" + bridge_artifact().functions["prove_fraud"].selector.hex()
        if asked["method"] == "eth_call" and asked["params"][0]["data"].startswith(selector):
            answer.pop("result", None)
            answer["error"] = {"code": 3, "message": "execution reverted: HONEST_CHUNK"}


async def test_the_patience_with_nodes_is_at_most_an_eighth_of_the_window(node: L1Node, world: World) -> None:
    guard = Guard(world, node.url)
    replay = ChainReplay(guard.store, world.bridge)
    async with L1Client(node.url) as client:
        nodes = Nodes(client, None, replay, Report(guard.said, None), 600.0)
        assert nodes.patience == 600.0
        await Challenger(client, replay, guard.said, Settings())._step(once=False)
        assert nodes.patience == replay.cursor.window_seconds / 8 == 75.0
        # One node has no other to change places with.
        nodes.doubt("down")
        assert not nodes.change_places()


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize("has_second", [False, True])
async def test_a_node_that_is_slower_than_l1_keeps_nobody_from_a_proof(
    guard: Guard, world: World, client: L1Client, has_second: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers all that it is asked, truly and in time, and the end of the chain comes no nearer."""
    monkeypatch.setattr("l1_bridge.client.following._POLL_SECONDS", 0.1)
    assert (await guard.once(second=honest)).held
    await world.steal()
    await client.call("anvil_mine", [hex(300)])
    slow = Slow(client, 0.05)
    await played(
        guard, slow, Tampering(honest) if has_second else None, 0.5, "rolled_back" if has_second else "proof_mined"
    )
    # The proof goes out before the end is reached; with another node, that one is followed.
    assert not has_second or {"BEHIND", "L1_ALONE"} <= set(guard.alarms)
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize(("word", "value"), [(2, 1), (2, 2**63), (2, 2**64), (11, 0), (11, 2**63), (11, 2**256 - 1)])
async def test_parameters_of_a_genesis_log_are_held_to_what_the_bridge_has(
    guard: Guard, world: World, client: L1Client, word: int, value: int
) -> None:
    """The window in seconds, and the gas floor of a proof: no hash binds them."""
    await client.call("evm_mine")
    lie = forged_word("Genesis", word, value)
    await played(guard, Tampering(lie), Tampering(honest), 0.5, "rolled_back")
    assert ("PARAMETERS" in guard.alarms) == (value < 2**64)
    assert (await world.head()).number == 1
    cursor = ChainReplay(guard.store, world.bridge).cursor
    assert (cursor.window_seconds, cursor.proof_gas_floor) == (PARAMETERS.window_seconds, PARAMETERS.proof_gas_floor)


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize(
    "lie",
    [
        reward_for_nobody(7),
        reward_for_nobody(2**64),
        forged_word("BatchCommitted", 2, 2**64),
        later(0, 2**50),
    ],
    ids=["a bond that could be", "no bond", "no bond of a batch", "no time"],
)
async def test_words_that_no_chain_has_end_no_program(guard: Guard, world: World, lie: Tamper) -> None:
    await played(guard, Tampering(lie), Tampering(honest), 0.5, "rolled_back")
    assert "UNEXPECTED" not in guard.alarms
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
async def test_whatever_breaks_the_replay_is_a_reason_to_follow_another_node(
    guard: Guard, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = ChainReplay._take

    def breaks(replay: ChainReplay, block: Block, log: Any) -> None:
        if log.topics[0] == bytes(32):
            raise OverflowError("int too big to convert")
        taken(replay, block, log)

    def lie(method: str, params: list[Any], result: Any) -> Any:
        return [log | {"topics": ["0x" + bytes(32).hex()]} for log in result] if method == "eth_getLogs" else result

    monkeypatch.setattr(ChainReplay, "_take", breaks)
    with pytest.raises(OverflowError):
        await guard.once(tamper=lie)
    await played(guard, Tampering(lie), Tampering(honest), 0.5, "rolled_back")
    assert guard.alarms[0] == "UNEXPECTED"
    assert (await world.head()).number == 1


@pytest.mark.stage(build=opened)
async def test_what_the_disk_refuses_ends_the_program(
    guard: Guard, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(replay: ChainReplay, event: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(ChainReplay, "handle", refused)
    with pytest.raises(StoreUnavailable):
        await guard.run(once=False)
    assert guard.alarms == []


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("has_second", [False, True])
async def test_where_the_bridge_began_is_not_one_nodes_word_for_ever(
    guard: Guard, world: World, client: L1Client, has_second: bool
) -> None:
    began = await deployment.first_block(client, world.bridge.address)
    wrong = await newest_number(client)
    assert 0 < began < wrong
    # As where one node has denied the bridge's code when the store was made.
    ChainReplay(guard.store, world.bridge, from_block=wrong)
    await played(guard, Tampering(honest), Tampering(honest) if has_second else None, 0.5, "rolled_back")
    assert ChainReplay(guard.store, world.bridge).cursor.from_block == began
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_node_that_says_a_late_block_hides_no_genesis_that_it_shows(
    guard: Guard, world: World, client: L1Client, is_followed: bool
) -> None:
    # One block after the Genesis, with logs in it: what is read from there on can never fit.
    late = await deployment.first_block(client, world.bridge.address) + 1

    def denies(method: str, params: list[Any], result: Any) -> Any:
        is_old = method == "eth_getCode" and params[1] != "latest" and int(params[1], 16) < late
        return "0x" if is_old else result

    ChainReplay(guard.store, world.bridge, from_block=late)
    nodes = [Tampering(denies), Tampering(honest)]
    await played(guard, *(nodes if is_followed else nodes[::-1]), 0.5, "rolled_back")
    assert ChainReplay(guard.store, world.bridge).cursor.from_block == late - 1
    assert (await world.head()).number == 1
