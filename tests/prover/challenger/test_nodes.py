"""A second L1 node: nothing is sent while two nodes tell two stories, or one of them nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.contracts.artifact import bridge_artifact
from tests.prover.challenger.runs import Guard, lying_blocks, sent_by
from tests.prover.l1_faults import Tamper
from tests.prover.world import (
    CHALLENGER,
    World,
    lied,
)

pytestmark = pytest.mark.trio


def lying_call(name: str, answer: Callable[[str], str]) -> Tamper:
    """A node that answers one view of the bridge its own way."""
    selector = "0x" + bridge_artifact().functions[name].selector.hex()

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        return answer(result) if method == "eth_call" and params[0]["data"].startswith(selector) else result

    return tamper


def honest(method: str, params: list[Any], result: Any) -> Any:
    """The node's own answer."""
    return result


@pytest.mark.stage(build=lied)
@pytest.mark.parametrize(
    ("second", "alarm"),
    [
        (lying_call("is_canonical", lambda _: "0x" + "00" * 32), "L1_DISAGREES"),
        (lying_call("record", lambda result: "0x" + "11" * 256), "L1_DISAGREES"),
        (lying_call("record", lambda result: "0x11"), "L1_DISAGREES"),
        (lying_blocks, "L1_DISAGREES"),
        (lying_call("is_canonical", lambda _: "0x"), "L1_DISAGREES"),
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
