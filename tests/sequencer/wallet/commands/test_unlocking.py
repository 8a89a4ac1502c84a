"""`catenary wallet unlock | lock | address` without a node: what is asked, what is told, what is not promised."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from prover.cli.main import cli

PASSWORD = "correct horse"


class Shell:
    """`catenary wallet` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.environment: dict[str, str | None] = {
            "CATENARY_WALLET_DIR": str(directory),
            "CATENARY_WALLET_PASSWORD": PASSWORD,
        }

    def run(self, *arguments: str, typed: str | None = None, password: str | None = PASSWORD) -> Result:
        """One command; without a password it is asked for."""
        environment = self.environment | {"CATENARY_WALLET_PASSWORD": password}
        return CliRunner().invoke(cli, ["wallet", *arguments], input=typed, env=environment)

    def json(self, *arguments: str, status: int = 0, **given: Any) -> dict[str, Any]:
        """The one object of a command that ends with a status."""
        result = self.run(*arguments, "--json", **given)
        assert result.exit_code == status, (result.stdout, result.stderr, result.exception)
        said: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return said


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A wallet that is locked at the end."""
    made = Shell(tmp_path)
    made.json("new", "--light-kdf")
    yield made
    made.run("lock")


def test_it_is_unlocked_until_it_is_locked(shell: Shell) -> None:
    locked = shell.json("address")
    assert locked["unlocked_until_ms"] is None
    made = shell.json("unlock", "--minutes", "5")
    assert made["address"] == locked["address"]
    assert made["unlocked_until_ms"] is not None
    assert shell.json("address")["unlocked_until_ms"] is not None
    told = shell.run("address").stdout.splitlines()
    assert told[0] == locked["address"]
    assert told[1].startswith("unlocked until 20")
    assert shell.json("lock") == {"ok": True, "address": locked["address"], "was_unlocked": True}
    assert shell.json("lock")["was_unlocked"] is False
    assert shell.json("address") == locked
    assert len(shell.run("address").stdout.splitlines()) == 1


def test_the_password_is_asked_for_once(shell: Shell) -> None:
    asked = shell.run("unlock", typed=f"{PASSWORD}\n", password=None)
    assert asked.exit_code == 0, asked.stderr
    assert asked.stderr.count("Password of default.json") == 1
    assert PASSWORD not in asked.stdout + asked.stderr


def test_without_the_right_password_nothing_is_unlocked(shell: Shell) -> None:
    assert shell.json("unlock", status=17, password="wrong horse")["error"] == "WRONG_PASSWORD"
    assert shell.json("unlock", "--keystore", "missing", status=18)["error"] == "KEYSTORE_MISSING"
    assert shell.run("unlock", "--minutes", "0").exit_code == 2
    assert shell.json("address")["unlocked_until_ms"] is None


def test_the_help_says_what_it_does_not_protect_against(shell: Shell) -> None:
    shown = " ".join(shell.run("unlock", "--help").stdout.split())
    for part in ("programs that run as your user", "Nor from root", "swapped to disk"):
        assert part in shown
