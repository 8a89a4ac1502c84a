"""Scenes on anvil, and the challenger's own process before them: a few lies, and a challenger that only watches."""

from collections.abc import Iterator

import pytest

from l1_bridge.codec import calls
from l1_bridge.codec.calls import encode_call
from tests.soak.byzantine_lies import LIES
from tests.soak.byzantine_process import InProcesses, Stage, acts_of


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage.raised() as raised:
        yield raised


@pytest.mark.slow
def test_a_process_proves_on_anvil_what_is_false_on_the_fast_evm(stage: Stage) -> None:
    campaign = InProcesses(9, stage)
    scenes = [campaign._watched("waiting"), campaign._watched("late_head")]
    for name in ("last tree_root", "middle root at random", "money moved"):
        campaign._lie(name, LIES[name], scenes)

    assert (campaign.undetected, campaign.unproven, campaign.false_verdicts) == ([], [], [])
    assert campaign.by_class.total() == 3
    assert campaign.processes >= 3
    for scene in (each.scene for each in scenes):
        stage.play(acts_of(scene))
        bridge = scene.rollup.bridge.address
        assert stage.head(bridge) == calls.decode_record(
            calls.BatchRecord, scene.chain.evm.call(scene.sender, bridge, encode_call("head"))
        )


@pytest.mark.slow
def test_a_process_that_only_watches_is_found(stage: Stage) -> None:
    campaign = InProcesses(9, stage, "--watch")
    campaign._lie("last tree_root", LIES["last tree_root"], [campaign._watched("waiting")])

    assert [line.split(":")[0] for line in campaign.unproven] == ["last tree_root"]
