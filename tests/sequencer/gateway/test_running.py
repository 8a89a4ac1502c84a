"""When a gateway does not begin, and the one line that says why."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from prover.cli.main import cli
from tests.sequencer.gateway.conftest import SIGNER, World
from tests.sequencer.node_process import own_logging

pytestmark = pytest.mark.slow


def refused(world: World, *options: str, **changed: str) -> tuple[int, str]:
    """The exit code and what is said."""
    environment = world.owner.environment
    named = {
        "node-url": str(environment["CATENARY_WALLET_NODE_URL"]),
        "l1-rpc-url": str(environment["CATENARY_WALLET_L1_RPC_URL"]),
        "wallet-dir": str(world.owner.directory),
        "password-file": str(world.owner.directory.parent / "password"),
        "port": "0",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    shared = [part for name, value in named.items() for part in (f"--{name}", value)]
    with own_logging():
        result = CliRunner().invoke(cli, ["gateway", "--json", *shared, *options])
    assert not isinstance(result.exception, BaseExceptionGroup), result.exception
    return result.exit_code, result.output


def signer(account: int, keystore: str = "agent", address: str = SIGNER) -> tuple[str, ...]:
    """One registration."""
    return ("--signer", address, str(account), keystore)


def test_without_a_signer_there_is_nothing_to_do(world: World) -> None:
    assert "Say who trades what" in refused(world)[1]


def test_a_key_that_was_not_let_trade_is_refused_with_what_to_do(world: World) -> None:
    world.owner.json("new", "--light-kdf", "--keystore", "stranger")
    code, said = refused(world, *signer(world.account, "stranger"))
    assert code == 2
    assert "catenary wallet agent set" in said


def test_a_signer_is_a_fresh_key(world: World) -> None:
    owner = str(world.owner.json("address")["address"])
    assert "a signer is a fresh key" in refused(world, *signer(world.account, address=owner))[1]
    agent = json.loads((world.owner.directory / "agent.json").read_text())["address"]
    assert (
        "a signer is a fresh key" in refused(world, *signer(world.account, address="0x" + agent.removeprefix("0x")))[1]
    )


def test_a_signer_trades_one_account_and_an_account_has_one_agent(world: World) -> None:
    twice = refused(world, *signer(world.account), *signer(world.account))
    assert (twice[0], "registered twice" in twice[1]) == (2, True)
    other = signer(world.account, "stranger", "0x" + "12" * 20)
    assert "one keystore" in refused(world, *signer(world.account), *other)[1]


def test_what_cannot_be_reached_or_opened_ends_in_one_line(world: World, tmp_path: Path) -> None:
    code, said = refused(world, *signer(world.account), node_url="http://127.0.0.1:1")
    assert (code, "cannot be reached" in said) == (10, True)
    code, said = refused(world, *signer(world.account), l1_rpc_url="http://127.0.0.1:1")
    assert code == 3
    assert "no keystore" in refused(world, *signer(world.account, "absent"))[1]
    (tmp_path / "wrong").write_text("wrong\n")
    assert refused(world, *signer(world.account), password_file=str(tmp_path / "wrong"))[0] == 17
    assert "12 hours" in refused(world, *signer(world.account), "--good-till", "12 hours")[1]
    port = world.url.rpartition(":")[2]
    assert "in use" in refused(world, *signer(world.account), port=port)[1]


def test_the_options_stand_in_a_file_as_well(world: World, tmp_path: Path) -> None:
    config = tmp_path / "catenary.toml"
    config.write_text(f'[gateway]\nsigner = [["{SIGNER}", {world.account}, "absent"]]\n')
    assert "no keystore" in refused(world, "--config", str(config))[1]
