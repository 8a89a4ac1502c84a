"""What waits on L1 is replaced, and what is void is told with what can be done about it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from l1_bridge.client.keys import DigestSigner
from l1_bridge.client.values import to_hex
from sequencer.schema.accounts import VoidedView
from sequencer.wallet.commands.again import voided_text
from sequencer.wallet.keys import open_keystore
from tests.l1_bridge.simulated_l1 import GWEI, Refused, SimulatedL1
from tests.sequencer.wallet_node import Answer, Shell, lying_node

NOWHERE = "http://127.0.0.1:9"
HOUR_MS = 3_600_000
NOON_MS = 1_800_014_400_000


def shell_of(directory: Path, l1_url: str = NOWHERE, url: str = NOWHERE) -> Shell:
    """A wallet with a key, at an L1 and a node that only say what a test lets them."""
    node: Any = SimpleNamespace(url=url, l1_url=l1_url)
    shell = Shell(node, directory)
    shell.json("new", "--light-kdf")
    return shell


def waiting(shell: Shell, l1: SimulatedL1) -> bytes:
    """A transaction of the wallet's key that is in the pool, and too cheap; its hash."""
    key = open_keystore(shell.directory / "default.json", "correct horse")
    fields = {"chainId": l1.chain_id, "nonce": 0, "maxFeePerGas": 2 * GWEI, "maxPriorityFeePerGas": GWEI}
    signer = DigestSigner(key.address, key.sign)
    raw, sent = signer.sign_transaction(fields | {"gas": 50_000, "to": bytes(20), "value": 0, "data": b"\x07"})
    l1.answer("eth_sendRawTransaction", [to_hex(raw)])
    l1.base_fee = 50 * GWEI
    return sent


@pytest.mark.parametrize("is_dropped", [False, True])
def test_what_waits_is_sent_again_dearer_and_what_was_mined_is_told(tmp_path: Path, is_dropped: bool) -> None:
    l1 = SimulatedL1(lambda: 0)

    def answered(method: str, params: Any) -> Answer:
        try:
            answer = l1.answer(method, params)
        except Refused as error:
            return {"error": error.error}
        if method == "eth_sendRawTransaction":
            l1.mine()
        return {"result": answer}

    with lying_node(answered) as url:
        shell = shell_of(tmp_path, url)
        sent = waiting(shell, l1)
        options = ("--drop",) if is_dropped else ()
        done = shell.json("replace", to_hex(sent), *options)
        (body,) = l1.head.bodies
        assert (done["mined"], done["nonce"], done["transaction_hash"]) == ("replacement", 0, to_hex(body.hash))
        assert (body.data, body.max_fee > 50 * GWEI) == (b"" if is_dropped else b"\x07", True)
        # Whoever asks again for what was mined hears so, and pays for nothing.
        again = shell.json("replace", to_hex(body.hash))
        assert (again["mined"], again["transaction_hash"], len(l1.blocks)) == ("original", to_hex(body.hash), 2)
        assert "knows no such transaction" in shell.fails(15, "replace", "0x" + "11" * 32)[0]
    assert "is no hash" in shell.fails(2, "replace", "0x12")[0]


def test_what_a_node_gives_for_it_is_not_signed(tmp_path: Path) -> None:
    l1 = SimulatedL1(lambda: 0)

    def lie(method: str, params: Any) -> Answer:
        answer = l1.answer(method, params)
        return {"result": answer | {"to": "0x" + "22" * 20} if method == "eth_getTransactionByHash" else answer}

    with lying_node(lie) as url:
        shell = shell_of(tmp_path, url)
        sent = waiting(shell, l1)
        assert "is another transaction" in shell.fails(3, "replace", to_hex(sent))[0]
    assert [item.hash for pool in l1.pool.values() for item in pool.values()] == [sent]


def void(**changes: Any) -> VoidedView:
    """A withdrawal that is void since noon."""
    usual = VoidedView(
        operation="withdraw",
        order_id=None,
        slot=0,
        sequence=7,
        expires_at_ms=NOON_MS + HOUR_MS,
        chunk=12,
        voided_at_ms=NOON_MS,
        send_again="as_signed",
    )
    return msgspec.structs.replace(usual, **changes)


def test_what_is_void_is_told_with_what_can_be_sent_again(tmp_path: Path) -> None:
    told = voided_text(void(), NOON_MS)
    assert told.startswith("withdraw, slot 0, sequence 7, in chunk 12, void since 2027-01-15 12:00:00")
    assert "may until 2027-01-15 13:00:00" in told
    assert "has expired" in voided_text(void(), NOON_MS + HOUR_MS)
    order = voided_text(void(operation="order", send_again="sign_anew", chunk=None), NOON_MS)
    assert "in no chunk" in order
    assert order.endswith("send it anew if you still want it")
    for found in ([void()], []):
        with lying_node(lambda method, params, found=found: {"result": msgspec.to_builtins(found)}) as url:
            shell = shell_of(tmp_path / str(len(found)), url=url)
            told_by_command = shell.json("voided", account="29")
            assert told_by_command["voided"] == msgspec.to_builtins(found)
