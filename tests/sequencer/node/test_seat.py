"""`catenary seat` as two operators have it."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from l1_bridge.client.keys import development_key
from sequencer.l1.seating import WORD
from sequencer.node.seat import seat as command
from tests.sequencer.node_process import node_inside, own_logging, some_l1


def asked(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the last object of stdout, and stderr."""
    with own_logging():
        result = CliRunner().invoke(command, [*arguments, "--json", "--log-level", "error"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    lines = result.stdout.splitlines()
    return result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr


def test_a_seat_goes_from_one_operator_to_the_next_and_the_bond_home(tmp_path: Path) -> None:
    with some_l1(tmp_path / "l1") as l1:
        with node_inside(tmp_path / "node", "--l1-rpc-url", l1.url, "--deploy") as node:
            on_l1 = ("--l1-rpc-url", l1.url, "--rollup-address", "0x" + node.rollup.hex())
            code, held, _ = asked("show", *on_l1)
            first, second = ("0x" + development_key(index).address.hex() for index in (0, 1))
            assert (code, held["holder"], held["bond_id"]) == (0, first, 1)
            code, paid, _ = asked("bond-ahead", *on_l1, "--development-key", "1", "--endpoint-url", "http://next")
            assert (code, paid["bond_id"], paid["holder"]) == (0, 2, second)
            code, _, error = asked("hand-over", "--datadir", str(tmp_path / "node"), "7")
            assert (code, "Not handed over: bond 7 is not whole" in error) == (2, True)
            code, told, _ = asked("hand-over", "--datadir", str(tmp_path / "node"), "2")
            assert (code, told["bond_id"], "0x" + told["successor"]) == (0, 2, second)
        assert asked("show", *on_l1)[1]["holder"] == second
        code, _, error = asked("withdraw", *on_l1, "--development-key", "1", "2")
        assert (code, "SEATED" in error) == (3, True)
        code, _, error = asked("hand-over", "--datadir", str(tmp_path / "node"), "2")
        assert (code, "No node runs on" in error) == (4, True)
        chosen = ("--l1-rpc-url", l1.url, "--development-key", "1")
        with node_inside(tmp_path / "node", *chosen) as node:
            assert node.client.status()["ready"]


def test_a_node_without_a_seat_says_so_and_one_that_cannot_be_asked_is_not(tmp_path: Path) -> None:
    with some_l1(tmp_path / "l1") as l1, node_inside(tmp_path / "node", "--l1-rpc-url", l1.url, "--deploy") as node:
        rollup = ("--rollup-address", "0x" + node.rollup.hex())
        with node_inside(tmp_path / "reader", "--l1-rpc-url", l1.url, "--follow", *rollup):
            code, _, error = asked("hand-over", "--datadir", str(tmp_path / "reader"), "2")
            assert (code, "posts nothing, and has no seat" in error) == (2, True)
            # No room for what is asked.
            (tmp_path / "reader" / "hand-over.tmp").symlink_to("/dev/full")
            code, _, error = asked("hand-over", "--datadir", str(tmp_path / "reader"), "2")
            assert (code, "No space left on device" in error, "hand-over.json" in error) == (4, True, True)


def test_a_second_bond_is_said_where_a_first_one_was(tmp_path: Path) -> None:
    code, _, error = asked("bond-again", "--datadir", str(tmp_path))
    assert (code, "--take-seat alone says it" in error) == (2, True)
    (tmp_path / WORD).write_bytes(b"{}")
    assert asked("bond-again", "--datadir", str(tmp_path))[0] == 0
    assert list(tmp_path.iterdir()) == []
