"""When a gateway does not begin, and the one line that says why."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from click.testing import CliRunner

from prover.cli.main import cli
from prover.stf import containers
from sequencer.gateway import running
from sequencer.gateway.running import _Keeping
from sequencer.wallet.errors import BrokenReceipt, L1Unreachable
from sequencer.wallet.record import KeptReceipt, ReceiptRecord
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.answers import answer
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


class Seat:
    """The bridge as receipts are held to it; L1 answers once a test lets it."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers = trio.Event()
        self.is_away = False

    async def words_on(self, venue: Any, cancels: Any, now_ms: int) -> list[KeptReceipt | BrokenReceipt]:
        self.asked.append(len(cancels))
        await self.answers.wait()
        if self.is_away:
            raise L1Unreachable("away")
        return [
            answer(KeptReceipt, slot=message.slot) if given else BrokenReceipt("none") for message, given in cancels
        ]


async def kept(
    path: Path, count: int, *, is_away: bool = False, given: Any = True
) -> tuple[list[int], list[int], list[str]]:
    """How many each look was for, the slots that are kept, and what the log says of the others."""
    seat, record = Seat(), ReceiptRecord(path)
    seat.is_away = is_away
    lost: list[str] = []
    log = SimpleNamespace(error=lambda event, *, why, **named: lost.append(why))
    keeping = _Keeping(cast(Any, None), cast(Any, seat), record, cast(Any, log))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeping.run)
        for slot in range(count):
            keeping.add((containers.Request(17, slot, 1, 1, 2), given))
            await trio.testing.wait_all_tasks_blocked()
        seat.answers.set()
        with trio.fail_after(PATIENCE_SECONDS):
            while len(record.read()) + len(lost) < count:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    return seat.asked, [one.slot for one in record.read()], lost


def test_receipts_that_come_while_l1_is_asked_share_the_next_look(tmp_path: Path) -> None:
    assert trio.run(kept, tmp_path / "receipts", 5) == ([1, 4], [0, 1, 2, 3, 4], [])


def test_what_is_no_receipt_or_cannot_be_held_to_l1_is_said_aloud(tmp_path: Path) -> None:
    none = trio.run(partial(kept, tmp_path / "receipts", 3, given=None))
    assert none == ([1, 2], [], ["none"] * 3)
    assert trio.run(partial(kept, tmp_path / "receipts", 3, is_away=True)) == ([1, 2], [], ["away"] * 3)


def test_receipts_that_wait_for_l1_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_RECEIPTS", 2)
    asked, slots, lost = trio.run(kept, tmp_path / "receipts", 5)
    assert (asked, slots, lost) == ([1, 2], [0, 1, 2], ["2 wait for L1 already"] * 2)


def test_the_options_stand_in_a_file_as_well(world: World, tmp_path: Path) -> None:
    config = tmp_path / "catenary.toml"
    config.write_text(f'[gateway]\nsigner = [["{SIGNER}", {world.account}, "absent"]]\n')
    assert "no keystore" in refused(world, "--config", str(config))[1]
