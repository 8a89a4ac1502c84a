"""The command: where options come from, what it says when it cannot run, and that it loads only what is asked for."""

import json
import signal
import sys
import types
from pathlib import Path

import click
import pytest
import trio
from click.testing import CliRunner, Result

from l1_bridge.client.client import L1Client
from l1_bridge.codec.calls import encode_creation
from prover.cli import running as settings
from prover.cli.main import Commands, cli
from prover.state.leveldb import LevelDbStore
from tests.l1_bridge.l1_nodes import L1Node
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
    @settings.output_options
    @settings.config_option
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
    shown = settings.plain("", {"reward_wei": 10**19, "root": b"\x01", "gas": 7, "list": [b"\x02"]})
    assert shown == {"reward_wei": "10000000000000000000", "root": "0x01", "gas": 7, "list": ["0x02"]}


# The venue's commands.


def test_the_venue_is_loaded_only_for_its_commands_and_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[click.Group] = []

    def register(group: click.Group) -> None:
        loaded.append(group)
        group.add_command(click.Command("demo", callback=lambda: click.echo("a demo")))

    module = types.ModuleType("sequencer.node.commands")
    module.register = register  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sequencer.node.commands", module)

    def fresh() -> Commands:
        return Commands("catenary", commands=dict(cli.commands))

    assert CliRunner().invoke(fresh(), ["challenger", "--help"]).exit_code == 0
    assert loaded == []
    assert CliRunner().invoke(fresh(), ["demo"]).output == "a demo\n"
    listed = CliRunner().invoke(fresh(), ["--help"]).output
    assert all(name in listed for name in ("challenger", "verify", "demo"))
    assert len(loaded) == 2
    unknown = CliRunner().invoke(fresh(), ["dmeo"])
    assert unknown.exit_code == 2
    assert "No such command" in unknown.output


def test_a_venue_that_does_not_import_is_an_error_and_not_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sequencer.node.commands", None)
    group = Commands("catenary", commands=dict(cli.commands))
    assert isinstance(CliRunner().invoke(group, ["node"]).exception, ImportError)
    assert CliRunner().invoke(group, ["verify", "--help"]).exit_code == 0


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
    with trio.fail_after(20):
        while b"started" not in said:
            said += await process.stdout.receive_some()
        process.send_signal(number)
        while received := await process.stdout.receive_some():
            said += received
        await process.stdout.aclose()
        assert json.loads(said.splitlines()[-1])["event"] == "summary"
        assert await process.wait() in (0, 1)


def test_without_a_key_only_a_devnet_is_served(tmp_path: Path) -> None:
    with pytest.raises(settings.CommandFailed, match="--keystore is required"):
        settings.load_signer(1, None, None, 0)
    assert settings.load_signer(31_337, None, None, 0).address.hex().startswith("f39fd6")


def test_a_keystore_pays_and_a_wrong_password_is_one_line(tmp_path: Path) -> None:
    from eth_account import Account

    key = b"\x07" * 32
    keystore, password = tmp_path / "key.json", tmp_path / "password"
    keystore.write_text(json.dumps(Account.encrypt(key, "secret", kdf="scrypt", iterations=2)))
    password.write_text("secret\n")
    assert settings.load_signer(1, keystore, password, 0).address == bytes.fromhex(Account.from_key(key).address[2:])
    password.write_text("wrong\n")
    with pytest.raises(settings.CommandFailed, match="keystore cannot be opened"):
        settings.load_signer(1, keystore, password, 0)
    password.write_text("")
    with pytest.raises(settings.CommandFailed, match="empty"):
        settings.load_signer(1, keystore, password, 0)
    with pytest.raises(settings.CommandFailed, match="cannot be read"):
        settings.load_signer(1, tmp_path / "absent", password, 0)
