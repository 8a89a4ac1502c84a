"""What the node tells a new trader to paste: it reaches this venue, with this program, and disturbs no other wallet."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from l1_bridge.addresses import checksum_address
from sequencer.node.first_trade import Place, as_called, hint, wallet_directory
from sequencer.wallet.commands.running import DEFAULT_DIRECTORY
from sequencer.wallet.commands.wallet import wallet
from sequencer.wallet.errors import WrongChain
from sequencer.wallet.pin import PIN_FILE, RollupPin
from sequencer.wallet.trust import Venue
from tests.sequencer.wallet.test_typed_data import VENUE

USUAL = ("http://127.0.0.1:9545", "http://127.0.0.1:8545")
OTHER = ("http://127.0.0.1:9645", "http://127.0.0.1:8645")


def place_of(venue: Venue, urls: tuple[str, str] = USUAL) -> Place:
    """Where a node serves this venue."""
    at = venue.location
    return Place(*urls, at.chain_id, at.genesis_block_hash, at.rollup, at.genesis_root)


def elsewhere() -> Venue:
    """The same contracts on another L1."""
    return msgspec.structs.replace(
        VENUE, location=msgspec.structs.replace(VENUE.location, genesis_block_hash=b"\x07" * 32)
    )


def pasted(lines: list[str]) -> list[str]:
    """The lines that are commands."""
    return [line.strip() for line in lines if line.startswith("  ")]


def options_of(line: str) -> dict[str, object]:
    """What the wallet's own command line makes of it: a mistyped flag is a usage error."""
    words = [word for word in shlex.split(line) if not word.startswith("CATENARY_WALLET_PASSWORD=")]
    assert words[:2] == ["catenary", "wallet"]
    command = wallet.commands[words[2]]
    with command.make_context(words[2], words[3:], parent=click.Context(wallet)) as context:
        return dict(context.params)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newcomer's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CATENARY_WALLET_DIR", raising=False)
    return tmp_path


def test_the_usual_venue_needs_no_flag(home: Path) -> None:
    lines = hint("catenary", place_of(VENUE), wallet_directory())
    assert lines[0].startswith("Three lines")
    new, deposit, order = pasted(lines)
    assert new == "CATENARY_WALLET_PASSWORD=play catenary wallet new"
    assert deposit == "CATENARY_WALLET_PASSWORD=play catenary wallet deposit --faucet --amount 5000"
    assert order.endswith("--price 70000 --time-in-force ioc")
    assert [options_of(line) for line in (new, deposit, order)]
    assert len(lines) == 4


def test_other_ports_are_said_where_they_are_needed_and_nowhere_else(home: Path) -> None:
    new, *trading = pasted(hint("catenary", place_of(VENUE, OTHER), wallet_directory()))
    assert "http" not in new
    assert len(trading) == 2
    for line in trading:
        options = options_of(line)
        assert (options["node_url"], options["l1_rpc_url"]) == OTHER
    (_, deposit, _) = pasted(hint("catenary", place_of(VENUE, (OTHER[0], USUAL[1])), wallet_directory()))
    assert "--node-url" in deposit
    assert "--l1-rpc-url" not in deposit


def test_a_wallet_that_is_there_is_not_made_again(home: Path) -> None:
    directory = wallet_directory()
    directory.mkdir(parents=True)
    (directory / "default.json").write_text("{}")
    for is_pinned in (False, True):
        if is_pinned:
            RollupPin(directory / PIN_FILE).admit(VENUE, is_named=False)
        lines = hint("catenary", place_of(VENUE), directory)
        assert lines[0].startswith("Two lines to a trade with the wallet in ~/.catenary/wallets")
        assert [line.split()[2] for line in pasted(lines)] == ["deposit", "order"]
        assert "--wallet-dir" not in "\n".join(lines)


def test_a_wallet_of_another_venue_is_left_alone_and_both_ways_are_said(home: Path) -> None:
    directory = wallet_directory()
    directory.mkdir(parents=True)
    (directory / "default.json").write_text("{}")
    RollupPin(directory / PIN_FILE).admit(elsewhere(), is_named=False)
    lines = hint("catenary", place_of(VENUE), directory)
    assert lines[0].startswith("Three lines")
    chosen = {Path(str(options_of(line)["wallet_dir"])).expanduser() for line in pasted(lines)}
    assert len(chosen) == 1
    own = chosen.pop()
    assert own != directory
    # What is pasted is admitted there, and would have been refused here.
    assert RollupPin(own / PIN_FILE).admit(VENUE, is_named=False)
    with pytest.raises(WrongChain):
        RollupPin(directory / PIN_FILE).admit(VENUE, is_named=False)
    # The other way: the old wallet, with this venue named.
    assert "~/.catenary/wallets is of another venue" in lines[-1]
    assert f"--rollup-address {checksum_address(VENUE.rollup)}" in lines[-1]
    assert not RollupPin(directory / PIN_FILE).admit(VENUE, is_named=True)
    # The next start finds the wallet that this one began.
    (own / "default.json").write_text("{}")
    again = hint("catenary", place_of(VENUE), directory)
    assert again[0].startswith("Two lines")
    assert all(f"--wallet-dir ~/{own.relative_to(home)}" in line for line in pasted(again))


def test_a_damaged_pin_is_nobodys_venue(home: Path) -> None:
    directory = wallet_directory()
    directory.mkdir(parents=True)
    (directory / PIN_FILE).write_text("{")
    assert all("--wallet-dir" in line for line in pasted(hint("catenary", place_of(VENUE), directory)))


def test_a_wallet_directory_of_the_environment_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATENARY_WALLET_DIR", str(home / "my keys"))
    line = pasted(hint("catenary", place_of(VENUE), wallet_directory()))[0]
    assert options_of(line)["wallet_dir"] == home / "my keys"
    monkeypatch.delenv("CATENARY_WALLET_DIR")
    assert wallet_directory() == DEFAULT_DIRECTORY.expanduser()


def test_the_program_is_named_as_a_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin" / "catenary"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    assert as_called(str(script), None, sys.executable) == "catenary"
    # Another one of that name comes first in the path, or none: then as it was typed.
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert as_called(str(script), None, sys.executable) == str(script)
    assert as_called(os.path.join("bin", "catenary"), None, sys.executable) == "bin/catenary"
    assert as_called("-c", None, sys.executable) == "catenary"
    assert as_called(str(script), "prover.cli.main", "python") == "python -m prover.cli.main"


def test_a_module_is_named_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "venue_command.py").write_text(
        "from sequencer.node.first_trade import program_name\nprint(program_name())\n"
    )
    roots = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[3])))
    for words, named in (
        (["-m", "venue_command"], f"{sys.executable} -m venue_command"),
        (["-c", "import venue_command"], "catenary"),
    ):
        said = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "PYTHONPATH": roots},
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == named
