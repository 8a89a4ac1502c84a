"""Operations forced through L1's queue by a wallet: each serves its owner, none serves anybody else."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from l1_bridge.addresses import checksum_address
from prover.stf import codes, constants
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.schema.answers import EntryView, QueueView
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.commands.force import come_of
from sequencer.wallet.entries import AccountRecord, Forced, KnownAccounts
from sequencer.wallet.keys import Key, open_keystore
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.answers import answer
from tests.sequencer.node_process import A_WHILE_SECONDS, Node
from tests.sequencer.wallet_node import Answer, Shell, lying_node, still_node, trader_of

DOLLAR = 1_000_000
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One venue for all tests of this file."""
    with still_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture(scope="module")
def trader(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Whose account it is."""
    return trader_of(node, tmp_path_factory.mktemp("trader"))


@pytest.fixture(scope="module")
def stranger(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Whose account it is not."""
    return trader_of(node, tmp_path_factory.mktemp("stranger"))


def collateral(shell: Shell) -> int:
    """Micro-dollars in the only account of a wallet."""
    return int(shell.json("positions")["accounts"][0]["collateral_micros"])


@pytest.mark.parametrize("is_done", [True, False])
def test_what_is_half_done_says_where_its_end_is_told(is_done: bool) -> None:
    found = Forced(
        queue_index=7, transaction_hash="0x09", due_at=1, account=17, code=codes.OK, done=is_done, batch=9, proven=True
    )
    said = " ".join(come_of(constants.LEAVE, found).shown)
    assert ("under way" in said) is not is_done
    assert ("what it comes to: catenary wallet force status 7" in said) is not is_done
    assert "paid as withdrawal" not in said


def test_an_owner_takes_money_out_and_nobody_else_does(trader: Shell, stranger: Shell) -> None:
    done = trader.json("force", "withdraw", "--amount", "40")
    assert (done["operation"], done["code"], done["done"]) == ("forced_withdraw", 0, True)
    assert done["withdrawal"] is not None
    assert collateral(trader) == 4_960 * DOLLAR

    account = trader.environment["CATENARY_WALLET_ACCOUNT"]
    line, summary = stranger.fails(14, "force", "withdraw", "--amount", "1", account=account)
    assert "NOT_OWNER" in line
    assert summary["rejection"] == "NOT_OWNER"
    assert collateral(trader) == 4_960 * DOLLAR


def test_an_agent_is_granted_and_dismissed_without_a_signature(trader: Shell) -> None:
    agent = "0x" + "5a" * 20
    assert trader.json("force", "agent", "--agent", agent, "--last-slot", "9")["code"] == 0
    granted = trader.json("positions")["accounts"][0]["agents"][0]
    assert (granted["address"].lower(), granted["first_slot"], granted["last_slot"]) == (agent, 0, 9)
    assert trader.json("force", "agent")["code"] == 0
    assert trader.json("positions")["accounts"][0]["agents"][0] is None
    line, _ = trader.fails(2, "force", "agent", "--agent", agent, "--first-slot", "9", "--last-slot", "3")
    assert "--first-slot" in line


def test_every_order_that_was_signed_is_void(trader: Shell, node: Node) -> None:
    order = ("order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--price", "30000")
    trader.json(*order)
    assert trader.json("positions")["accounts"][0]["open_orders"]
    # An entry has the time of its block, and what has a later sequence stays.
    signed_by, ends_at = wall_clock_ms(), time.monotonic() + PATIENCE_SECONDS
    while node.l1_time_ms() <= signed_by:
        assert time.monotonic() < ends_at
        time.sleep(0.1)
    assert trader.json("force", "cancel-all")["code"] == 0
    assert trader.json("positions")["accounts"][0]["open_orders"] == []


def test_a_position_that_is_not_there_is_not_closed(trader: Shell) -> None:
    line, _ = trader.fails(14, "force", "close", "--market", "BTC")
    assert "OVERFILLED" in line


def test_a_healthy_account_is_not_rescued(trader: Shell, stranger: Shell) -> None:
    account = trader.environment["CATENARY_WALLET_ACCOUNT"]
    assert account is not None
    rescue = ("force", "rescue", "--target", account, "--market", "BTC")
    # Without a position there is nothing that could ever be rescued.
    line, _ = stranger.fails(14, *rescue)
    assert "HEALTHY" in line
    order = ("order", "--market", "BTC", "--size", "0.01", "--time-in-force", "ioc")
    trader.json(*order, "--side", "buy", "--price", "70000")
    assert trader.json("positions")["accounts"][0]["positions"]
    line, _ = stranger.fails(14, *rescue)
    assert "HEALTHY" in line
    trader.json(*order, "--side", "sell", "--price", "50000")
    assert trader.json("positions")["accounts"][0]["positions"] == []


def test_ticks_stand_right_in_front_of_the_rescue_that_they_are_evidence_for(trader: Shell, stranger: Shell) -> None:
    account = trader.environment["CATENARY_WALLET_ACCOUNT"]
    assert account is not None
    rescue = ("force", "rescue", "--target", account, "--market", "BTC")
    # Of no signer at all: consumed by the law with a code of its own, and in front of the rescue.
    tick = ("--tick", "0x06" + bytes(8).hex())
    line, _ = stranger.fails(14, *rescue, *tick * 3)
    assert "HEALTHY" in line
    line, _ = stranger.fails(2, *rescue, *tick * 4)
    assert "at most 3 ticks" in line


def test_what_is_no_tick_costs_nothing(trader: Shell) -> None:
    for text, sentence in (("zz", "hex"), ("0x07", "begin with 06"), ("", "begin with 06")):
        line, _ = trader.fails(2, "force", "tick", "--tick", text)
        assert sentence in line


def test_without_a_node_an_unknown_rollup_has_to_be_named(trader: Shell, node: Node, tmp_path: Path) -> None:
    elsewhere = {"dir": str(tmp_path), "keystore": str(trader.directory / "default.json"), "node_url": NOWHERE}
    line, _ = trader.fails(10, "force", "withdraw", "--amount", "1", **elsewhere)
    assert "--rollup-address" in line
    before = collateral(trader)
    arguments = ("force", "withdraw", "--amount", "1", "--timeout", "0")
    assert trader.json(*arguments, "--rollup-address", "0x" + node.rollup.hex(), **elsewhere)["code"] is None
    # This wallet knows its rollup.
    assert trader.json(*arguments, node_url=NOWHERE)["code"] is None
    # The node was not asked, and serves it all the same: the next entry comes behind it.
    assert trader.json("force", "withdraw", "--amount", "1")["code"] == 0
    assert collateral(trader) == before - 3 * DOLLAR


ERROR = {"error": {"code": -32_603, "message": "something broke", "data": {"name": "INTERNAL"}}}


@pytest.mark.parametrize("lie", [{"result": {"chain_id": 1}}, ERROR, {"result": "17"}, b"<html>", None])
def test_a_node_that_lies_stops_nobody(trader: Shell, lie: Answer) -> None:
    before = collateral(trader)
    with lying_node(lambda method, params: lie) as url:
        withdraw = ("force", "withdraw", "--amount", "1", "--timeout", "0")
        assert trader.json(*withdraw, node_url=url)["code"] is None
    assert trader.json("force", "cancel-all")["code"] == 0
    assert collateral(trader) == before - DOLLAR


def stranger_of(account: int, withdrawal: int, proof: Answer) -> Callable[[str, dict[str, Any]], Answer]:
    """A node that gives a stranger's account for everybody's, and calls everything done."""

    def lie(method: str, params: dict[str, Any]) -> Answer:
        if method == "catenary_accounts":
            return {"result": [account]}
        if method == "catenary_queue":
            told = answer(
                EntryView, index=params["index"], account=account, name="OK", done=True, withdrawal=withdrawal
            )
            return {"result": msgspec.to_builtins(QueueView(params["index"] + 1, None, [told]))}
        return proof

    return lie


def test_whose_account_it_is_l1_says_and_no_node(trader: Shell, stranger: Shell, node: Node) -> None:
    mine, other = (int(shell.environment["CATENARY_WALLET_ACCOUNT"] or 0) for shell in (trader, stranger))
    withdraw = ("force", "withdraw", "--amount", "1")
    # Its own proof of the stranger's account: true, and of no use.
    with lying_node(stranger_of(other, 0, {"result": node.client.call("catenary_proof", account=other)})) as url:
        done = trader.json(*withdraw, account=None, node_url=url)
        assert (done["account"], done["code"], done["done"], done["proven"]) == (mine, 0, True, True)
        assert done["withdrawal"] is not None
        assert trader.json("force", "status", str(done["queue_index"]), node_url=url) == done
        # Named, it is somebody else's all the same.
        for shown in ((), ("--timeout", "0")):
            entered = trader.run(*withdraw, *shown, "--json", account=str(other), node_url=url)
            assert (entered.exit_code, '"done": true' in entered.stdout) == (0 if shown else 14, False)
        line, summary = trader.fails(14, "force", "status", str(done["queue_index"] + 1), "--replay", node_url=url)
        assert "NOT_OWNER" in line
        assert (summary["code"], summary["proven"]) == (-33_000 - codes.NOT_OWNER, True)
    # An honest node's proof shows the same, and so does L1 alone.
    for question in ((), ("--replay",)):
        told = trader.json("force", "status", str(done["queue_index"]), *question)
        # Which withdrawal is this entry's, no proof shows.
        unlike = {"batch": 0, "proven": bool(question)}
        assert told | {"batch": 0} == done | unlike
        line, summary = trader.fails(14, "force", "status", str(done["queue_index"] + 1), *question)
        assert summary["proven"]


def key_of(shell: Shell) -> Key:
    """A trader's own."""
    return open_keystore(shell.directory / "default.json", shell.environment["CATENARY_WALLET_PASSWORD"] or "")


def test_accounts_that_were_found_once_are_proven_again_and_not_replayed_for(node: Node, tmp_path: Path) -> None:
    trader, stranger = (trader_of(node, tmp_path / name) for name in ("trader", "stranger"))
    mine, theirs = (int(shell.environment["CATENARY_WALLET_ACCOUNT"] or 0) for shell in (trader, stranger))
    key = key_of(trader)
    kept = trader.directory / f"{checksum_address(key.address)}.accounts.json"
    withdraw = ("force", "withdraw", "--amount", "1")

    def replays(shell: Shell = trader) -> bool:
        """One forced command about the only account of the key; whether it had to replay L1's log for that."""
        result = shell.run(*withdraw, "--timeout", "0", "--json", account=None, node_url=NOWHERE)
        assert result.exit_code == 0, result.stderr
        account = json.loads(result.stdout.splitlines()[-1])["account"]
        assert account == (mine if shell is trader else theirs)
        return "replaying" in result.stderr

    # By then a batch on L1 has both.
    for shell in (trader, stranger):
        assert shell.json(*withdraw)["batch"] is not None
    assert [replays(stranger), replays(), replays()] == [True, True, False]
    # Its own entries, served since, are no reason.
    assert trader.json(*withdraw)["batch"] is not None
    assert not replays()
    true = kept.read_bytes()
    # A lie that somebody else wrote, and lies that bear the key's own signature: each is found out and deleted.
    found = msgspec.json.decode(true, type=KnownAccounts)
    proof = found.proofs[mine]
    other = kept.parent.parent / "stranger" / f"{checksum_address(key_of(stranger).address)}.accounts.json"
    their = msgspec.json.decode(other.read_bytes(), type=KnownAccounts)
    record = AccountRecord(kept, key.address, key)
    kept.write_bytes(other.read_bytes())
    assert replays()
    changed = msgspec.structs.replace
    for lie in (
        their,
        changed(found, proofs={mine: changed(proof, leaf=their.proofs[theirs].leaf)}),
        changed(found, batch=found.batch - 1),
        changed(found, batch=10**6, proofs={mine: changed(proof, batch=10**6)}),
        changed(found, batch=1, proofs={mine: changed(proof, batch=1)}),
    ):
        record.keep(lie)
        assert replays(), lie
        assert msgspec.json.decode(kept.read_bytes(), type=KnownAccounts).batch >= found.batch
    # Of another rollup, or of none: it says nothing here.
    for lie in (changed(found, rollup=changed(found.rollup, genesis_root="0x00")), changed(found, proofs={})):
        record.keep(lie)
        assert replays(), lie
    # Logs from a block on that leave batches out are no logs.
    record.keep(changed(found, block=10**9))
    assert replays()
    # An account that came later: there are two now, and the wallet chooses none.
    kept.write_bytes(true)
    trader.json("deposit", "--amount", "100", "--faucet", account=None)
    assert trader.json(*withdraw)["batch"] is not None
    line, _ = trader.fails(2, *withdraw, "--timeout", "0", account=None, node_url=NOWHERE)
    assert "--account" in line
    assert len(msgspec.json.decode(kept.read_bytes(), type=KnownAccounts).proofs) == 2


def test_a_strangers_account_is_not_shown_as_ones_own(trader: Shell, stranger: Shell, node: Node) -> None:
    theirs = int(stranger.environment["CATENARY_WALLET_ACCOUNT"] or 0)

    def lie(method: str, params: dict[str, Any]) -> Answer:
        if method == "catenary_accounts":
            return {"result": [theirs]}
        return {name: told for name, told in node.client.answer(method, **params).items() if name != "id"}

    # By then a batch on L1 has the account.
    assert stranger.json("force", "cancel-all")["batch"] is not None
    with lying_node(lie) as url:
        line, summary = trader.fails(21, "positions", account=None, node_url=url)
        assert f"the node says that account {theirs} is this address's, and L1 that it is " in line
        assert summary["error"] == "BAD_PROOF"
        # Who asks for it by its number may look.
        assert trader.json("positions", account=str(theirs), node_url=url)["accounts"][0]["account"] == theirs


def test_who_is_interrupted_is_told_what_may_have_been_sent(trader: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sequencer.wallet.bridge.Bridge.force", interrupted)
    ended = trader.run("force", "cancel-all")
    assert ended.exit_code == 1
    assert "what was sent before may still be mined or sequenced: `wallet force status`" in ended.stderr


def test_a_key_without_an_account_names_one(node: Node, tmp_path: Path) -> None:
    nobody = Shell(node, tmp_path)
    nobody.json("new", "--light-kdf")
    line, _ = nobody.fails(2, "leave")
    assert "nothing on L1 proves that an account belongs to" in line
    assert "--account" in line
    assert nobody.json("force", "status")["entries"] == []
    line, _ = nobody.fails(2, "force", "status", "4000")
    assert "has no entry 4000" in line


@pytest.mark.parametrize("arguments", [("leave",), ("force", "close", "--market", "BTC")])
def test_who_waits_is_kept_in_prices_unless_he_says_no(
    trader: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    asked: list[list[str] | None] = []

    async def force(self: Bridge, *given: Any, ticks_of: list[NodeClient] | None) -> Forced:
        asked.append(None if ticks_of is None else [source.url for source in ticks_of])
        return Forced(queue_index=7, transaction_hash="0x", due_at=0, account=17, code=0, done=True)

    monkeypatch.setattr(Bridge, "force", force)
    trader.json(*arguments)
    trader.json(*arguments, "--tick-url", "http://one.invalid", "--tick-url", "http://two.invalid")
    trader.json(*arguments, "--no-ticks")
    assert asked == [[], ["http://one.invalid", "http://two.invalid"], None]


def test_who_trades_leaves_whole(trader: Shell, node: Node) -> None:
    order = ("order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--time-in-force", "ioc")
    trader.json(*order, "--price", "70000")
    assert trader.json("positions")["accounts"][0]["positions"]
    account = int(trader.environment["CATENARY_WALLET_ACCOUNT"] or 0)
    with lying_node(stranger_of(account + 1, 3, ERROR)) as url:
        left = trader.json("leave", account=None, node_url=url)
    assert (left["operation"], left["account"], left["code"], left["proven"]) == ("leave", account, 0, True)
    # Where a tick has been left out just now it waits until three come in a row.
    assert left["done"]
    assert left["withdrawal"] is not None
    held = trader.json("positions")["accounts"][0]
    assert (held["positions"], held["settled_micros"]) == ([], "0")
    told = trader.json("force", "status", str(left["queue_index"]))
    assert (told["done"], told["proven"], told["withdrawal"]) == (True, True, left["withdrawal"])
    # Nor is a node needed for the last step, or believed.
    node.pass_time(A_WHILE_SECONDS)
    claim = ("claim", str(left["withdrawal"]), "--wait", "--timeout", str(PATIENCE_SECONDS))
    paid = trader.json(*claim, node_url=NOWHERE)
    assert paid["recipient"] == trader.json("address")["address"]
    line, _ = trader.fails(15, *claim, "--replay")
    assert "has been paid already" in line
