"""What a node stands on: whose key, and which rollup; where that does not go together it says so and does not start."""

import re
import shutil
from contextlib import closing
from errno import EACCES
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec.batch import BridgeId
from prover.contracts.deployment import Deployment, DeploymentRecord, WrongContracts
from prover.state.genesis import DEVNET_POSTING_FEE_MICROS, legal_globals
from prover.state.leveldb import LevelDbStore
from prover.stf import constants
from sequencer.engine.money.posting import pays
from sequencer.engine.records import IDENTITY_KEY
from sequencer.l1.poster import byte_micros
from sequencer.node.config import CannotStart, DatadirUnusable, L1Unusable, NodeConfig
from sequencer.node.datadir import held
from sequencer.node.opening import (
    connected,
    keep_levels,
    leave_levels,
    new_genesis,
    open_journal,
    operator_of,
    parameters_of,
    remembering_engine,
    rollup_of,
)
from sequencer.sequencing.staged_store import BufferedStore
from tests.prover.world import GENESIS
from tests.sequencer.datadirs import datadir, flip, history
from tests.sequencer.node_process import some_l1
from tests.sequencer.node_world import DOMAIN, World
from tests.soak.house import ROOT

BRIDGE, MINE = b"\x01" * 20, b"\x05" * 20
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


@pytest.mark.trio
async def test_where_a_rollup_is_that_no_disk_remembers_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is paid for, and the datadir is removed again."""

    async def deployed(*given: object) -> DeploymentRecord:
        return RECORD

    monkeypatch.setattr("sequencer.node.opening._deployed", deployed)
    config = NodeConfig(datadir=tmp_path, l1_rpc_url="http://l1.invalid", is_deploy_allowed=True)
    with held(tmp_path) as datadir:
        (tmp_path / "deployment.tmp").symlink_to("/dev/full")
        with pytest.raises(DatadirUnusable, match=f"No space .*: start with --rollup-address 0x{BRIDGE.hex()}"):
            await rollup_of(config, datadir, cast(L1Client, Chain(31_337)), development_key(0))


def test_a_new_rollup_begins_with_what_its_operator_chose() -> None:
    config = NodeConfig(datadir=Path("node"), posting_fee_micros=22_848, grace_ms=60_000, maker_fee_ppm=1)
    config = msgspec.structs.replace(config, taker_fee_ppm=2, minimum_notional_micros=3)
    globals = legal_globals(new_genesis(config, 1, MINE))
    assert (globals.operator, globals.posting_fee, globals.grace_period) == (MINE, 22_848, 60_000)
    listed = globals.markets[: globals.market_count]
    assert {(row.maker_fee_ppm, row.taker_fee_ppm, row.minimum_notional) for row in listed} == {(1, 2, 3)}
    on_devnet = NodeConfig(datadir=Path("node"))
    assert legal_globals(new_genesis(on_devnet, 31_337, MINE)).posting_fee == DEVNET_POSTING_FEE_MICROS


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({}, r"On chain 1 bytes cost money: .*--posting-fee-micros"),
        ({"posting_fee_micros": 0}, "the posting fee is above zero and at most a dollar"),
        ({"posting_fee_micros": 1_000_001}, "the posting fee is above zero and at most a dollar"),
        ({"posting_fee_micros": 1, "grace_ms": 3_600_001}, "a grace lasts at most an hour"),
        ({"posting_fee_micros": 1, "maker_fee_ppm": 65_536}, "fees fit what orders can sign"),
        ({"posting_fee_micros": 1, "minimum_notional_micros": 2**104}, "the minimum notional can be reached"),
    ],
)
def test_no_rollup_begins_with_what_the_law_does_not_know(chosen: dict[str, int], sentence: str) -> None:
    config = msgspec.structs.replace(NodeConfig(datadir=Path("node")), **chosen)
    with pytest.raises(CannotStart, match=sentence):
        new_genesis(config, 1, MINE)


@pytest.mark.trio
async def test_a_new_bridge_is_made_with_what_its_operator_chose(tmp_path: Path) -> None:
    with some_l1(tmp_path / "l1") as l1:
        config = NodeConfig(datadir=tmp_path / "node", l1_rpc_url=l1.url, is_deploy_allowed=True)
        given = {"bond_wei": 5, "entry_fee_wei": 0, "minimum_deposit_micros": 7, "posting_fee_micros": 8}
        config = msgspec.structs.replace(config, **given)
        async with L1Client(l1.url, L1Options(poll_seconds=0.05)) as client:
            with held(config.datadir) as opened:
                record = await rollup_of(config, opened, client, development_key(0))
            made = await parameters_of(client, record.deployment.bridge)
    assert (made.bond_wei, made.entry_fee_wei, made.minimum_deposit_micros) == (5, 0, 7)
    assert legal_globals(record.genesis).posting_fee == 8


def test_the_posting_fee_of_the_manual_pays_for_the_longest_request() -> None:
    manual = (ROOT / "docs/operating.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) gwei \| ([\d,]+) \| ([\d,.]+) \|$", manual, re.MULTILINE)
    assert len(rows) == 3
    for gwei, fee, notional in rows:
        a_byte = byte_micros(int(float(gwei) * 10**9), 3_000 * 10**6)
        assert int(fee.replace(",", "")) == a_byte * constants.SET_AGENT_LENGTH
        listed = legal_globals(GENESIS).markets[0]
        micros = round(float(notional.replace(",", "")) * 10**6)
        assert pays(listed, 1, micros, a_byte)
        assert not pays(listed, 1, micros - 10**6, a_byte)


@pytest.fixture
def as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of every contract is the shipped one."""

    async def read(client: L1Client, bridge: bytes) -> Deployment:
        return RECORD.deployment

    monkeypatch.setattr("sequencer.node.opening.read", read)


@pytest.mark.trio
@pytest.mark.usefixtures("as_shipped")
async def test_a_rollup_whose_genesis_contradicts_itself_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def logged(client: L1Client, identity: BridgeId) -> tuple[bytes, int]:
        raise WrongContracts("the bridge's genesis bytes do not give its first root")

    monkeypatch.setattr("sequencer.node.opening.logged_genesis", logged)
    config = NodeConfig(datadir=tmp_path, l1_rpc_url="http://l1.invalid", rollup_address=BRIDGE)
    with held(tmp_path) as datadir:
        with pytest.raises(L1Unusable, match="cannot be served: the bridge's genesis bytes do not give its first root"):
            await rollup_of(config, datadir, cast(L1Client, Chain(31_337)), development_key(0))
        assert datadir.record() is None


@pytest.mark.trio
@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("genesis", "answer", "kind", "sentence"),
    [
        (GENESIS, b"\x09" * 32, DatadirUnusable, "has another genesis than the rollup, 0x0909"),
        (b"genesis", b"\x09" * 32, DatadirUnusable, "genesis in the datadir .* cannot be used"),
        (GENESIS, L1Unavailable("gone"), L1Unusable, "does not say what the rollup began with: gone"),
    ],
)
async def test_a_datadir_of_another_genesis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, genesis: bytes, answer: Any, kind: type[CannotStart], sentence: str
) -> None:
    async def root(client: L1Client, bridge: bytes) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    monkeypatch.setattr("sequencer.node.opening.genesis_root", root)
    config = NodeConfig(datadir=tmp_path, l1_rpc_url="http://l1.invalid")
    with held(tmp_path) as datadir:
        datadir.keep_record(msgspec.structs.replace(RECORD, genesis=genesis))
        with pytest.raises(kind, match=sentence):
            await rollup_of(config, datadir, cast(L1Client, Chain(31_337)), development_key(0))


@pytest.mark.trio
async def test_a_node_remembers_its_tree_and_says_in_one_line_where_it_does_not(tmp_path: Path) -> None:
    world, dump = World(), tmp_path / "levels"
    await keep_levels(world.engine, dump)
    with capture_logs() as lines:
        assert remembering_engine(BufferedStore(world.store), DOMAIN, dump).state.root == world.engine.state.root
    assert [(line["event"], line.get("accounts_spared", 0) > 0) for line in lines] == [("levels.used", True)]

    dump.write_bytes(dump.read_bytes()[:-1])
    with capture_logs() as lines:
        assert remembering_engine(BufferedStore(world.store), DOMAIN, dump).state.root == world.engine.state.root
    assert [(line["event"], line.get("why")) for line in lines] == [("levels.refused", "it is torn or damaged")]

    leave_levels(world.engine, dump)
    with capture_logs() as lines:
        remembering_engine(BufferedStore(world.store), DOMAIN, dump)
    assert [line["event"] for line in lines] == ["levels.used"]


@pytest.mark.trio
async def test_a_disk_that_takes_no_dump_ends_nothing(tmp_path: Path) -> None:
    world, dump = World(), tmp_path / "levels"
    dump.mkdir()
    with capture_logs() as lines:
        await keep_levels(world.engine, dump)
        leave_levels(world.engine, dump)
    assert [line["event"] for line in lines] == ["levels.not_kept"] * 2


def test_a_journal_that_is_gone_from_beside_a_state_is_not_begun_anew(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    for segment in (path / "journal").glob("*.journal"):
        segment.unlink()
    with (
        held(path) as opened,
        pytest.raises(DatadirUnusable, match=r"a state and no journal.*`catenary datadir repair`"),
    ):
        open_journal(opened)
    assert list((path / "journal").glob("*.journal")) == []


def test_a_damaged_journal_says_what_mends_it_and_a_held_one_does_not(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    with held(path) as opened:
        journal = open_journal(opened)
        with pytest.raises(DatadirUnusable, match=r"in use by another process\.$"):
            open_journal(opened)
        journal.close()
        flip(min((path / "journal").glob("*.journal")), 0.001)
        with pytest.raises(DatadirUnusable, match=r"is damaged at byte 0: .* `catenary datadir repair`"):
            open_journal(opened)


def test_what_is_cut_off_a_journal_is_said(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    segment = max((path / "journal").glob("*.journal"))
    whole = segment.stat().st_size
    with held(path) as opened, structlog.testing.capture_logs() as lines:
        open_journal(opened).close()
        assert lines == []
        with segment.open("ab") as file:
            file.write(b"\x01" * 9)
        open_journal(opened).close()
    told = {"segment": segment.name, "offset": whole, "bytes": 9, "event": "journal.cut", "log_level": "warning"}
    assert lines == [told]


def test_a_journal_that_the_disk_refuses_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = datadir(tmp_path / "node", history())

    def refused(*_: object) -> None:
        raise PermissionError(EACCES, "Permission denied")

    monkeypatch.setattr("sequencer.sequencing.journal.os.fdatasync", refused)
    with held(path) as opened, pytest.raises(DatadirUnusable, match=r"Permission denied.* has to own the datadir"):
        open_journal(opened)
    monkeypatch.undo()
    segment = min((path / "journal").glob("*.journal"))
    segment.unlink()
    segment.mkdir()
    with held(path) as opened, pytest.raises(DatadirUnusable, match=r"Is a directory.*`catenary datadir repair`"):
        open_journal(opened)


@pytest.mark.trio
async def test_a_datadir_with_a_journal_alone_is_no_new_one(tmp_path: Path) -> None:
    path = datadir(tmp_path / "node", history())
    (path / "deployment.json").unlink()
    shutil.rmtree(path / "state")
    config = NodeConfig(datadir=path, l1_rpc_url="http://l1.invalid", is_deploy_allowed=True)
    with held(path) as opened, pytest.raises(DatadirUnusable, match=r"neither a state .*`catenary datadir repair`"):
        await rollup_of(config, opened, cast(L1Client, Chain(31_337)), development_key(0))


@pytest.mark.trio
@pytest.mark.parametrize(
    ("row", "sentence"), [(None, "does not say of which rollup"), (b"\x00", "cannot be used: .*malformed")]
)
async def test_a_state_that_does_not_say_its_rollup_says_what_helps(
    tmp_path: Path, row: bytes | None, sentence: str
) -> None:
    path = datadir(tmp_path / "node", history())
    (path / "deployment.json").unlink()
    with closing(LevelDbStore(path / "state")) as store:
        store.write({IDENTITY_KEY: row}, sync=True)
    config = NodeConfig(datadir=path, l1_rpc_url="http://l1.invalid", is_deploy_allowed=True)
    with held(path) as opened, pytest.raises(DatadirUnusable, match=f"{sentence}.*`catenary datadir repair`"):
        await rollup_of(config, opened, cast(L1Client, Chain(31_337)), development_key(0))


@pytest.mark.trio
@pytest.mark.parametrize("left", ["deployment.json", "state"])
async def test_an_embedded_l1_that_is_gone_from_beside_a_venue_is_not_begun_anew(tmp_path: Path, left: str) -> None:
    path = datadir(tmp_path / "node", history())
    (path / "deployment.json").unlink() if left == "state" else shutil.rmtree(path / "state")
    config = NodeConfig(datadir=path)
    with held(path) as opened, pytest.raises(DatadirUnusable, match=r"--l1-rpc-url .*`catenary datadir restore`"):
        async with connected(config, opened):
            raise AssertionError
    assert not (path / "l1").exists()
