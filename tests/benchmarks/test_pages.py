"""The recorded visit of a page is one that a node answers; what it costs `tests.benchmarks.pages` measures."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from sequencer.client.clock import wall_clock_ms
from sequencer.client.socket import connected
from sequencer.devnet.signing_account import SigningAccount
from tests.benchmarks.pages import (
    GATHER_MS,
    MOST_GATHER_MS,
    ORDERS_A_SECOND,
    RECORDED,
    addressed,
    gathered,
    paced,
    paired,
    visit,
    watched_in,
)
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Node, funded, node_inside, still_prices
from tests.sequencer.node_world import DOLLAR, key

pytestmark = pytest.mark.slow

# A page asks for so much at most in a visit of all views; see `tests.benchmarks.pages` for what that costs.
MOST_CALLS: Final = 120
MOST_PREVIEWS: Final = 16
MOST_BYTES: Final = 20_000


async def answers_of(node: Node, trader: SigningAccount) -> list[dict[str, Any]]:
    """All calls of a visit in their order, and what came of each."""
    await funded(node, [trader], 1_000 * DOLLAR)
    answers: list[dict[str, Any]] = []
    with trio.fail_after(PATIENCE_SECONDS):
        async with connected(node.url + paced()) as socket:
            for _, call in visit():
                await socket.send(addressed(call, trader.account, "0x" + trader.address.hex(), wall_clock_ms()))
                while "id" not in (message := json.loads(await socket.receive())):
                    assert message["method"] == "catenary_subscription"
                answers.append(message)
    return answers


def test_a_node_answers_all_of_the_recorded_visit(tmp_path: Path) -> None:
    with node_inside(tmp_path / "node", "--no-oracle") as node, still_prices(node.url, node.domain):
        trader = SigningAccount(key(0), node.domain, wall_clock_ms)
        answers = trio.run(answers_of, node, trader)
    assert [answer for answer in answers if "result" not in answer] == []
    assert len(answers) == len(visit())


def test_a_visit_asks_for_little() -> None:
    methods = [json.loads(call)["method"] for _, call in visit()]
    assert len(methods) <= MOST_CALLS
    assert methods.count("catenary_preview") <= MOST_PREVIEWS
    assert RECORDED.stat().st_size < MOST_BYTES


def test_a_recorded_call_is_somebodys_and_of_now() -> None:
    call = '{"account":"$account","channel":"account:$account","owner":"$owner","expires_at_ms":"$now+5"}'
    assert addressed(call, 7, "0xab", 1_000) == (
        '{"account":7,"channel":"account:7","owner":"0xab","expires_at_ms":1005}'
    )


def test_what_one_node_does_dearer_than_the_other_is_in_no_pair() -> None:
    dearer, watching = (1.0, 1.25), 1.04
    turns = [watched_in(turn) for turn in range(4)]
    assert turns == [0, 1, 1, 0]
    ratios = [watching * dearer[watched] / dearer[1 - watched] for watched in turns]
    assert ratios != pytest.approx([watching] * 4)
    assert paired(ratios) == pytest.approx([watching] * 2)


def test_what_adds_up_is_of_as_many_orders_however_fast_a_node_takes_them() -> None:
    assert gathered(ORDERS_A_SECOND) == GATHER_MS
    assert gathered(ORDERS_A_SECOND / 2) == 2 * GATHER_MS
    # A node lets nobody wait for longer.
    assert gathered(ORDERS_A_SECOND / 100) == MOST_GATHER_MS
