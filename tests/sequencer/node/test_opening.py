"""What a node stands on: whose key, and which rollup; where that does not go together it says so and does not start."""

from pathlib import Path
from typing import cast

import msgspec
import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from prover.contracts.deployment import Deployment, DeploymentRecord
from sequencer.node.config import CannotStart, DatadirUnusable, NodeConfig
from sequencer.node.datadir import held
from sequencer.node.opening import operator_of, rollup_of

BRIDGE = b"\x01" * 20
RECORD = DeploymentRecord(Deployment(31_337, BRIDGE, b"\x02" * 20, b"\x03" * 20), b"genesis")


class Chain:
    """An L1 that only says which chain it is."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def chain_id(self) -> int:
        """Its number."""
        return self.number


def test_a_devnet_has_a_key_for_everybody_and_another_chain_has_none() -> None:
    config = NodeConfig(datadir=Path("node"), development_key=3)
    assert operator_of(config, 31_337).address == development_key(3).address
    with pytest.raises(CannotStart, match=r"chain 1 .*--keystore"):
        operator_of(config, 1)
    own = msgspec.structs.replace(config, operator=development_key(7))
    assert operator_of(own, 1) is own.operator


@pytest.mark.trio
@pytest.mark.parametrize(
    ("chain", "named", "sentence"),
    [
        (1, b"", "belongs to chain 31337, this L1 is chain 1"),
        (31_337, b"\x09" * 20, f"belongs to the rollup 0x{BRIDGE.hex()}"),
    ],
)
async def test_a_datadir_of_another_chain_or_rollup(tmp_path: Path, chain: int, named: bytes, sentence: str) -> None:
    config = NodeConfig(datadir=tmp_path, l1_rpc_url="http://l1.invalid", rollup_address=named)
    with held(tmp_path) as datadir:
        datadir.keep_record(RECORD)
        with pytest.raises(DatadirUnusable, match=sentence):
            await rollup_of(config, datadir, cast(L1Client, Chain(chain)), development_key(0))


@pytest.mark.trio
async def test_nothing_is_deployed_on_somebodys_l1_unasked(tmp_path: Path) -> None:
    config = NodeConfig(datadir=tmp_path, l1_rpc_url="http://l1.invalid")
    with held(tmp_path) as datadir:
        with pytest.raises(CannotStart, match=r"--rollup-address.*--deploy"):
            await rollup_of(config, datadir, cast(L1Client, Chain(31_337)), development_key(0))
        assert datadir.record() is None
