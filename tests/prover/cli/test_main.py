"""The command: what it says when it cannot run, and that it loads only what is asked for."""

import json
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.codec.calls import encode_creation
from prover.cli import main as commands
from prover.cli import running
from prover.cli.main import SHORT_HELP
from prover.state.leveldb import LevelDbStore
from tests.l1_bridge.l1_nodes import L1Node
from tests.patience import PATIENCE_SECONDS
from tests.prover.cli.conftest import Ended, run
from tests.prover.world import World

ROOT = Path(__file__).parents[3]
BRIDGE = "0x" + "11" * 20
DOWN = "http://127.0.0.1:1"


def command(url: str, bridge: str, datadir: Path, *options: str) -> list[str]:
    return [
        *("challenger", "--l1-rpc-url", url, "--rollup-address", bridge, "--datadir", str(datadir)),
        *("--once", "--json", "--log-level", "error", *options),
    ]


async def ended(*arguments: str) -> tuple[int, list[dict[str, object]], str]:
    """Exit code, JSON lines, stderr of the command as a process."""
    done = await trio.run_process(
        [sys.executable, "-m", "prover.cli.main", *arguments],
        cwd=ROOT,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_wei_and_bytes_in_json_are_strings() -> None:
    shown = running.plain("", {"reward_wei": 10**19, "root": b"\x01", "gas": 7, "list": [b"\x02"]})
    assert shown == {"reward_wei": "10000000000000000000", "root": "0x01", "gas": 7, "list": ["0x02"]}


# Commands are entry points.


def test_every_command_is_an_entry_point_and_the_list_has_its_own_words() -> None:
    entries = {entry.name: entry for entry in entry_points(group=commands.GROUP)}
    assert set(entries) == set(SHORT_HELP)
    for name, said in SHORT_HELP.items():
        command = entries[name].load()
        assert command.name == name
        assert " ".join((command.help or "").split()).startswith(said.removesuffix("."))


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports from start to end, in a process of its own."""
    program = (
        "import sys\n"
        "from prover.cli.main import cli\n"
        f"cli({list(arguments)!r}, standalone_mode=False)\n"
        "print('modules', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_only_the_asked_command_is_imported() -> None:
    rooms = {name: entry.module for entry in entry_points(group=commands.GROUP) for name in [entry.name]}
    assert not imported("--help") & set(rooms.values())
    for name in ("challenger", "demo"):
        others = set(rooms.values()) - {rooms[name]}
        seen = imported(name, "--help")
        assert rooms[name] in seen
        assert not seen & others
    assert not any(module.startswith("sequencer") for module in imported("verify", "--help"))


def test_an_unknown_command_is_a_usage_error() -> None:
    unknown = run("dmeo")
    assert unknown.exit_code == 2
    assert "No such command" in unknown.output


def test_an_installation_without_its_entry_points_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "GROUP", "catenary.absent")
    absent = run("node")
    assert absent.exit_code == 2
    assert "install it again" in absent.output


def test_a_command_that_does_not_import_is_an_error_and_not_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sequencer.node.commands", None)
    assert isinstance(run("node").exception, ImportError)
    assert run("verify", "--help").exit_code == 0


# What keeps a command from running.


@pytest.mark.trio
async def test_no_l1_is_one_line_and_code_3(tmp_path: Path) -> None:
    code, said, stderr = await ended(*command(DOWN, BRIDGE, tmp_path))
    assert code == 3
    assert stderr.startswith("Error: There is no L1: ")
    assert len(stderr.splitlines()) == 1
    assert [(line["event"], line["exit_code"]) for line in said] == [("failed", 3)]


@pytest.mark.trio
async def test_a_wrong_chain_or_contract_is_one_line_and_code_3(
    node_world: World, node: L1Node, tmp_path: Path, quietly: Ended
) -> None:
    bridge = "0x" + node_world.bridge.address.hex()
    token = "0x" + node_world.token.hex()
    for arguments, sentence in (
        (command(node.url, bridge, tmp_path, "--chain-id", "1"), "serves chain 31337, not chain 1"),
        (command(node.url, BRIDGE, tmp_path), "there is no contract at 0x1111"),
        (command(node.url, token, tmp_path), "is not the shipped RollupBridge"),
    ):
        code, _, stderr = await quietly(*arguments)
        assert (code, len(stderr.splitlines())) == (3, 1)
        assert sentence in stderr


@pytest.mark.trio
async def test_a_bridge_under_another_referee_is_refused(
    node_world: World, node: L1Node, client: L1Client, tmp_path: Path, quietly: Ended
) -> None:
    from l1_bridge.codec.batch import Commitment
    from prover.state.state import genesis_commitment
    from prover.stf import encoding
    from tests.prover.world import GENESIS

    opened = Commitment.decode(encoding.commitment_bytes(genesis_commitment(GENESIS)[0]))
    creation = encode_creation(node_world.token, node_world.token, node_world.parameters, opened, GENESIS)
    bridge = await node_world.chain.deploy(creation)
    code, _, stderr = await quietly(*command(node.url, "0x" + bridge.hex(), tmp_path))
    assert code == 3
    assert "is not the shipped FraudReferee" in stderr


@pytest.mark.trio
async def test_a_datadir_of_another_bridge_in_use_or_unwritable_is_one_line_and_code_4(
    node_world: World, client: L1Client, node: L1Node, tmp_path: Path, quietly: Ended
) -> None:
    other = await World.make(node_world.chain)
    code, said, _ = await quietly(*command(node.url, "0x" + other.bridge.address.hex(), tmp_path))
    assert (code, said[-1]["event"], said[-1]["held"]) == (0, "summary", True)
    bridge = "0x" + node_world.bridge.address.hex()
    code, _, stderr = await quietly(*command(node.url, bridge, tmp_path))
    assert (code, len(stderr.splitlines())) == (4, 1)
    assert f"belongs to the bridge 0x{other.bridge.address.hex()} on chain 31337" in stderr

    held = LevelDbStore(tmp_path / "used" / "replay")
    code, _, stderr = await quietly(*command(node.url, bridge, tmp_path / "used"))
    held.close()
    assert (code, len(stderr.splitlines())) == (4, 1)
    assert "is in use by another process" in stderr
    # Which is no damage, that would be put aside.
    assert [one.name for one in (tmp_path / "used").iterdir()] == ["replay"]

    (tmp_path / "file").write_text("")
    code, _, stderr = await quietly(*command(node.url, bridge, tmp_path / "file"))
    assert (code, len(stderr.splitlines())) == (4, 1)


@pytest.mark.trio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly_with_a_summary(
    node_world: World, node: L1Node, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = [one for one in command(node.url, "0x" + node_world.bridge.address.hex(), tmp_path) if one != "--once"]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "prover.cli.main", *arguments], cwd=ROOT, stdout=-1
    )
    assert process.stdout is not None
    said = b""
    with trio.fail_after(PATIENCE_SECONDS):
        while b"started" not in said:
            said += await process.stdout.receive_some()
        process.send_signal(number)
        while received := await process.stdout.receive_some():
            said += received
        await process.stdout.aclose()
        assert json.loads(said.splitlines()[-1])["event"] == "summary"
        assert await process.wait() in (0, 1)
