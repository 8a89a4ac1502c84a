"""The byzantine campaign: a small one, and replays with an old fault that it finds."""

from typing import Any

import msgspec
import trio

from l1_bridge.client.values import Block
from l1_bridge.codec.events import BatchCommitted
from prover.history.history import ChainReplay
from prover.history.records import Reason, Verdict
from tests.soak import byzantine
from tests.soak.byzantine_lies import LAST, LIES, ROWS
from tests.soak.byzantine_scene import PARENTS, Scene


class ClosedHeads(ChainReplay):
    """As a replay once was: it takes the queue's hash for that of what is done, and an open head for a gap."""

    def _committed(self, block: Block, event: BatchCommitted) -> None:
        commitment = event.batch.commitment
        if commitment.queue_taken != commitment.queue_count:
            self._lose("an open head")
            return
        super()._committed(block, event)


class Believing(ChainReplay):
    """Looks at the last root alone."""

    def _replay_chunks(self, block: Block, event: BatchCommitted, parent: Any) -> Any:
        judged = super()._replay_chunks(block, event, parent)
        if judged.verdict == Verdict.FRAUD and judged.chunk_index < len(event.batch.chunks) - 1:
            return msgspec.structs.replace(judged, verdict=Verdict.VALID, reason=Reason.NONE)
        return judged


def test_whatever_the_bridge_takes_is_judged_and_whatever_is_false_is_proven() -> None:
    summary, broken = byzantine.run(1, 4)

    assert broken == []
    assert (summary["undetected"], summary["unproven"], summary["false_verdicts"]) == (0, 0, 0)
    assert summary["never_taken"] == []
    assert summary["classes"] == len(LIES) + len(byzantine.HEADERS) >= 80
    assert summary["honest"] >= 60
    assert summary["runs"] >= summary["classes"] + summary["honest"]
    # Draws outside the space are refused, each for its own reason.
    assert {"NOT_SEAT_HOLDER", "PARENT", "QUEUE_COUNT"} <= set(summary["refused_by_reason"])


def test_a_replay_that_takes_an_open_head_for_a_gap_is_found() -> None:
    campaign = byzantine.Campaign(4, ClosedHeads)
    campaign.run(1, {name: lie for name, lie in LAST.items() if "head" in name})

    assert any("a head that was never opened" in line for line in campaign.undetected)
    # An honest batch that ends with its leaver half out as well.
    assert any(line.startswith("honest waiting 7 False") for line in campaign.false_verdicts)


def test_a_replay_that_looks_at_the_last_root_alone_is_found() -> None:
    campaign = byzantine.Campaign(5, Believing)
    campaign.run(1, {name: LIES[name] for name in ("middle root at random", "middle tree_root", "money moved")})

    assert campaign.undetected
    assert not campaign.false_verdicts


def test_every_field_of_a_leaf_and_every_word_has_its_class() -> None:
    words = ("tree_root", "withdrawals_root", "withdrawn_total", "globals_hash", "timestamp", "queue")
    assert all(any(name.startswith(f"last {word}") for name in LAST) for word in words)
    assert {"account owner", "account agents", "position cost", "slot filled", "market fund"} <= set(ROWS)


def test_scenes_stand_in_every_state_of_the_queue() -> None:
    ends = set()
    for parent in PARENTS:
        scene: Scene = trio.run(Scene.make, 7, parent)
        opened = scene.parent_commitment.queue_taken - scene.parent_commitment.queue_count
        assert opened == parent.endswith("head")
        assert bool(scene.entries) == (parent not in ("empty", "lone_head"))
        for taken in range(len(scene.entries) + 1):
            for steps in (False, True):
                end = scene.honest(scene.parts(taken, steps)).commitment
                left = scene.queue_length - end.queue_taken
                ends.add((end.queue_taken > end.queue_count, left > 0, scene.is_late))
        assert scene.bodies([[]])[0][0] >> 7 == scene.is_late == (parent in ("late", "late_head"))
    # An open head or none, something waits behind it or nothing does; in time and late.
    assert {(head, waits, False) for head in (False, True) for waits in (False, True)} <= ends
    assert {(False, True, True), (False, False, True), (True, True, True)} <= ends
