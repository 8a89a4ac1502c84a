"""The command: where options come from, what it says when it cannot run, and that it loads only what is asked for."""

import json
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
import trio
from click.testing import CliRunner, Result

from l1_bridge.client.client import L1Client
from l1_bridge.codec.calls import encode_creation
from prover.cli import keys, running
from prover.cli import main as commands
from prover.cli.main import SHORT_HELP, Commands, cli
from prover.cli.options import config_option, output_options
from prover.state.leveldb import LevelDbStore
from tests.l1_bridge.l1_nodes import L1Node
from tests.patience import PATIENCE_SECONDS
from tests.prover.world import World

ROOT = Path(__file__).parents[3]
BRIDGE = "0x" + "11" * 20
DOWN = "http://127.0.0.1:1"


def run(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


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


# Options.


def probe() -> click.Group:
    """A command that says what it was given."""

    @click.group(cls=Commands)
    def group() -> None:
        """Root."""

    @group.group()
    def wallet() -> None:
        """Nested."""

    @wallet.command()
    @click.option("--l1-rpc-url", default="http://default")
    @click.option("--lots", "size", type=int, default=1)
    @output_options
    @config_option
    def order(l1_rpc_url: str, size: int, json: bool, log_level: str) -> None:
        """Probe."""
        click.echo(f"{l1_rpc_url} {size} {json} {log_level}")

    return group


def probed(tmp_path: Path, toml: str | None, *arguments: str, **environment: str) -> str:
    config: list[str] = []
    if toml is not None:
        (tmp_path / "node.toml").write_text(toml)
        config = ["--config", str(tmp_path / "node.toml")]
    result = CliRunner().invoke(probe(), ["wallet", "order", *config, *arguments], env=environment)
    return result.output.strip().splitlines()[-1] if result.exit_code else result.output.strip()


def test_flag_beats_environment_beats_toml_beats_default(tmp_path: Path) -> None:
    toml = '[wallet.order]\nlots = 3\n[common]\nl1-rpc-url = "http://toml"\njson = true\n'
    assert probed(tmp_path, None) == "http://default 1 False info"
    assert probed(tmp_path, toml) == "http://toml 3 True info"
    assert probed(tmp_path, toml, CATENARY_WALLET_ORDER_LOTS="4") == "http://toml 4 True info"
    both = probed(tmp_path, toml, "--lots", "5", CATENARY_WALLET_ORDER_LOTS="4")
    assert both == "http://toml 5 True info"
    # The variable has the option's name, not the parameter's.
    assert probed(tmp_path, toml, CATENARY_WALLET_ORDER_SIZE="4") == "http://toml 3 True info"
    # A command's own table beats the common one; underscores are as good as dashes.
    own = toml.replace("lots = 3", 'l1_rpc_url = "http://own"')
    assert probed(tmp_path, own) == "http://own 1 True info"


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("lots = ", "is not TOML"),
        ("\xff", "is not TOML"),
        ("[wallet.order]\nlot = 3", "[wallet.order] has no option 'lot'"),
        ("[common]\nlots = 3", "[common] has no option 'lots'"),
        ("[wallet]\norder = 3", "order is a table, not a value"),
        ('[wallet.order]\nlots = "many"', "'many' is not a valid integer"),
        ("[wallet.order]\nconfig = 'x'", "has no option 'config'"),
    ],
)
def test_an_unreadable_config_is_one_line(tmp_path: Path, toml: str, sentence: str) -> None:
    (tmp_path / "node.toml").write_bytes(toml.encode("latin-1"))
    result = CliRunner().invoke(probe(), ["wallet", "order", "--config", str(tmp_path / "node.toml")])
    assert result.exit_code == 2
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_a_missing_config_is_one_line(tmp_path: Path) -> None:
    result = run("verify", "--config", str(tmp_path / "absent.toml"))
    assert result.exit_code == 2
    assert "cannot be read: No such file" in result.output


@pytest.mark.parametrize("address", ["", "0x", "11" * 20, "0x" + "11" * 19, "0x" + "1_" * 20, "0x" + "gg" * 20])
def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    result = run("verify", "--l1-rpc-url", DOWN, "--rollup-address", address)
    assert result.exit_code == 2
    assert "is not an address" in result.output


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
    node_world: World, node: L1Node, tmp_path: Path
) -> None:
    bridge = "0x" + node_world.bridge.address.hex()
    token = "0x" + node_world.token.hex()
    for arguments, sentence in (
        (command(node.url, bridge, tmp_path, "--chain-id", "1"), "serves chain 31337, not chain 1"),
        (command(node.url, BRIDGE, tmp_path), "there is no contract at 0x1111"),
        (command(node.url, token, tmp_path), "is not the shipped RollupBridge"),
    ):
        code, _, stderr = await ended(*arguments)
        assert (code, len(stderr.splitlines())) == (3, 1)
        assert sentence in stderr


@pytest.mark.trio
async def test_a_bridge_under_another_referee_is_refused(
    node_world: World, node: L1Node, client: L1Client, tmp_path: Path
) -> None:
    from l1_bridge.codec.batch import Commitment
    from prover.state.state import genesis_commitment
    from prover.stf import encoding
    from tests.prover.world import GENESIS

    opened = Commitment.decode(encoding.commitment_bytes(genesis_commitment(GENESIS)[0]))
    creation = encode_creation(node_world.token, node_world.token, node_world.parameters, opened, GENESIS)
    bridge = await node_world.chain.deploy(creation)
    code, _, stderr = await ended(*command(node.url, "0x" + bridge.hex(), tmp_path))
    assert code == 3
    assert "is not the shipped FraudReferee" in stderr


@pytest.mark.trio
async def test_a_datadir_of_another_bridge_in_use_or_unwritable_is_one_line_and_code_4(
    node_world: World, client: L1Client, node: L1Node, tmp_path: Path
) -> None:
    other = await World.make(node_world.chain)
    code, said, _ = await ended(*command(node.url, "0x" + other.bridge.address.hex(), tmp_path))
    assert (code, said[-1]["event"], said[-1]["held"]) == (0, "summary", True)
    bridge = "0x" + node_world.bridge.address.hex()
    code, _, stderr = await ended(*command(node.url, bridge, tmp_path))
    assert (code, len(stderr.splitlines())) == (4, 1)
    assert f"belongs to the bridge 0x{other.bridge.address.hex()} on chain 31337" in stderr

    held = LevelDbStore(tmp_path / "used" / "replay")
    code, _, stderr = await ended(*command(node.url, bridge, tmp_path / "used"))
    held.close()
    assert (code, len(stderr.splitlines())) == (4, 1)
    assert "is in use by another process" in stderr

    (tmp_path / "file").write_text("")
    code, _, stderr = await ended(*command(node.url, bridge, tmp_path / "file"))
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


def test_without_a_key_only_a_devnet_is_served(tmp_path: Path) -> None:
    with pytest.raises(running.CommandFailed, match="--keystore is required"):
        keys.load_signer(1, None, None, 0)
    assert keys.load_signer(31_337, None, None, 0).address.hex().startswith("f39fd6")


def test_a_keystore_pays_and_a_wrong_password_is_one_line(tmp_path: Path) -> None:
    from eth_account import Account

    key = b"\x07" * 32
    keystore, password = tmp_path / "key.json", tmp_path / "password"
    keystore.write_text(json.dumps(Account.encrypt(key, "secret", kdf="scrypt", iterations=2)))
    password.write_text("secret\n")
    assert keys.load_signer(1, keystore, password, 0).address == bytes.fromhex(Account.from_key(key).address[2:])
    password.write_text("wrong\n")
    with pytest.raises(running.CommandFailed, match="keystore cannot be opened"):
        keys.load_signer(1, keystore, password, 0)
    password.write_text("")
    with pytest.raises(running.CommandFailed, match="empty"):
        keys.load_signer(1, keystore, password, 0)
    with pytest.raises(running.CommandFailed, match="cannot be read"):
        keys.load_signer(1, tmp_path / "absent", password, 0)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\nsecond line\n", "secret"),
        (b"secret\r\n", "secret"),
        # What only some readers of lines take for an end of one belongs to the password.
        (b"form\x0cfeed\n", "form\x0cfeed"),
        ("line\u2028separator\x85\n".encode(), "line\u2028separator\x85"),
        (b"carriage\rreturn\n", "carriage\rreturn"),
        (b" spaces \n", " spaces "),
    ],
)
def test_a_password_is_the_first_line_of_its_file(tmp_path: Path, content: bytes, password: str) -> None:
    (tmp_path / "password").write_bytes(content)
    assert keys.read_password(tmp_path / "password") == password


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"\nsecret\n", "is empty"), (b"\r\nsecret\n", "is empty"), (b"\xff\n", "is not text")],
)
def test_a_file_without_a_password_in_its_first_line_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(keys.PasswordUnreadable, match=sentence):
        keys.read_password(tmp_path / "password")
