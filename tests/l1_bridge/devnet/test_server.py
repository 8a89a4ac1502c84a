"""The embedded L1 as a process: it continues after any end, and no request or client can bring it down."""

import json
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import Signer, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.values import Receipt, as_block, to_hex
from l1_bridge.devnet.chain import DevnetChain
from l1_bridge.devnet.database import ChainDatabase
from l1_bridge.hashing import keccak
from tests.l1_bridge.l1_nodes import L1Node, embedded_l1, probe_initcode, refused_devnet
from tests.patience import PATIENCE_SECONDS

INCREASE, COUNT = keccak(b"increase()")[:4], keccak(b"count()")[:4]


@pytest.fixture(scope="module")
def datadir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("l1")


@pytest.fixture(scope="module")
def node(datadir: Path) -> Iterator[L1Node]:
    with embedded_l1(datadir, "--max-ahead", "600", "--block-period", "60") as running:
        yield running


def post(node: L1Node, body: bytes, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS, verify=False) as http:
        return http.post(node.url, content=body, headers=headers)


def ask(node: L1Node, method: str, *params: Any) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer: dict[str, Any] = post(node, json.dumps(request).encode()).json()
    return answer


async def check_links(client: L1Client) -> None:
    """Every block from the head to genesis is there, and each is the parent of the next."""
    head = await client.block()
    assert head is not None
    blocks = await client.blocks(0, head.number)
    for parent, child in pairwise(blocks):
        assert parent is not None
        assert child is not None
        assert child.parent_hash == parent.hash
        assert child.timestamp > parent.timestamp


@pytest.mark.trio
async def test_a_restart_continues_the_chain(tmp_path: Path) -> None:
    owner = development_key(0)
    with embedded_l1(tmp_path, "--max-ahead", "600") as node:
        async with L1Client(node.url) as client:
            genesis, probe = await client.block(0), (await client.deploy(owner, probe_initcode(), gas=1_000_000))[0]
            receipts = [await client.send(owner, probe, INCREASE, gas=100_000) for _ in range(3)]
            head = await client.block()
        assert node.stop() == 0
        assert not (tmp_path / "devnet.json").exists()
    assert head is not None
    with embedded_l1(tmp_path, "--max-ahead", "600") as node:
        ready = json.loads((tmp_path / "devnet.json").read_text())
        assert ready["url"] == node.url
        assert ready["block_number"] >= head.number
        async with L1Client(node.url) as client:
            assert await client.block(0) == genesis
            assert as_block(await client.call("eth_getBlockByHash", [to_hex(head.hash), False])) == head
            assert [await client.receipt(item.transaction_hash) for item in receipts] == receipts
            assert len(await client.logs(probe, [], 0, head.number)) == 3
            await client.send(owner, probe, INCREASE, gas=100_000)
            assert await client.eth_call(probe, COUNT) == (4).to_bytes(32, "big")
            await check_links(client)


@pytest.mark.trio
async def test_kill_9_while_sending_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: list[Receipt] = []
    with embedded_l1(tmp_path, "--max-ahead", "600") as node:
        async with L1Client(node.url, L1Options(attempts=1, silence_seconds=0)) as client:
            probe, _ = await client.deploy(development_key(0), probe_initcode(), gas=1_000_000)

            async def keep_sending(signer: Signer) -> None:
                while True:
                    try:
                        answered.append(await client.send(signer, probe, INCREASE, gas=100_000))
                    except L1Error:
                        return

            async with trio.open_nursery() as nursery:
                for index in range(1, 4):
                    nursery.start_soon(keep_sending, development_key(index))
                with trio.fail_after(PATIENCE_SECONDS):
                    while len(answered) < 25:
                        await trio.sleep(0)
                node.kill()
    with embedded_l1(tmp_path, "--max-ahead", "600") as node:
        async with L1Client(node.url) as client:
            assert [await client.receipt(item.transaction_hash) for item in answered] == answered
            head = await client.block()
            assert head is not None
            await check_links(client)
            sent = [await client.nonce(development_key(index).address) for index in range(1, 4)]
            count = int.from_bytes(await client.eth_call(probe, COUNT), "big")
            logs = await client.logs(probe, [], 0, head.number)
            # State, nonces and index agree with one another, and hold at least what was answered.
            assert sum(sent) == count == len(logs) >= len(answered)
            await client.send(development_key(1), probe, INCREASE, gas=100_000)
            assert int.from_bytes(await client.eth_call(probe, COUNT), "big") == count + 1


def test_a_port_in_use_is_one_line(tmp_path: Path, node: L1Node) -> None:
    port = node.url.rpartition(":")[2]
    refused = refused_devnet("--datadir", str(tmp_path / "other"), "--port", port)
    assert refused.exit_code != 0
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert "cannot be listened on" in refused.stderr
    assert not (tmp_path / "other" / "chain").exists()


def test_a_datadir_in_use_or_of_another_chain_is_one_line(tmp_path: Path, datadir: Path, node: L1Node) -> None:
    refused = refused_devnet("--datadir", str(datadir), "--port", "0")
    assert refused.exit_code != 0
    assert refused.stderr.count("\n") == 1
    assert "is in use by another process" in refused.stderr
    DevnetChain(ChainDatabase(tmp_path / "chain"), 31_337).close()
    refused = refused_devnet("--datadir", str(tmp_path), "--port", "0", "--chain-id", "7")
    assert refused.exit_code != 0
    assert refused.stderr == "Error: the datadir holds chain 31337, not chain 7\n"
    (tmp_path / "file").write_text("")
    refused = refused_devnet("--datadir", str(tmp_path / "file"), "--port", "0")
    assert refused.exit_code != 0
    assert "cannot be opened" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"7", -32600),
        (b"null", -32600),
        (b"[]", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":[],"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_noSuchMethod"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"__class__"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x1"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[7]}', -32602),
        (b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'] * 1001) + b"]", -32600),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
def test_garbage_is_answered_with_an_error(node: L1Node, body: bytes, code: int) -> None:
    response = post(node, body)
    assert response.status_code == 200
    assert response.json()["error"]["code"] == code
    assert ask(node, "eth_chainId")["result"] == "0x7a69"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", ["0x" + "zz" * 20, "latest"]),
        ("eth_getBalance", ["0x" + "00" * 20, "newest"]),
        ("eth_getBalance", ["0x" + "00" * 20, "0x"]),
        ("eth_getBalance", ["0x" + "00" * 20, "0x1_0"]),
        ("eth_getBalance", ["0x" + "00" * 20, "0x-1"]),
        ("eth_getBalance", ["0x" + "00" * 20, "0x" + "f" * 65]),
        ("eth_getBalance", ["0x" + "00" * 20, {"blockHash": "0x00"}]),
        ("eth_getStorageAt", ["0x" + "00" * 20, 0, "latest"]),
        ("eth_getBlockByNumber", ["latest", "yes"]),
        ("eth_getBlockByHash", ["0x1234", False]),
        ("eth_getTransactionReceipt", ["latest"]),
        ("eth_call", ["0x00"]),
        ("eth_call", [{"to": "0x00"}]),
        ("eth_call", [{"data": "0x0"}]),
        ("eth_call", [{"gas": 5}]),
        ("eth_getLogs", [[]]),
        ("eth_getLogs", [{"topics": ["0x00"]}]),
        ("eth_getLogs", [{"topics": [None] * 5}]),
        ("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x0"}]),
        ("eth_getLogs", [{"fromBlock": "0x0", "blockHash": "0x" + "00" * 32}]),
        ("eth_feeHistory", ["0x0", "latest"]),
        ("eth_sendRawTransaction", ["0x 00"]),
    ],
)
def test_wrong_parameters_are_named(node: L1Node, method: str, params: list[Any]) -> None:
    error = ask(node, method, *params)["error"]
    assert error["code"] == -32602
    assert len(error["message"]) > 10


def test_unknown_blocks_and_transactions_are_null(node: L1Node) -> None:
    nothing = "0x" + "ab" * 32
    assert ask(node, "eth_getBlockByNumber", hex(10**9), False)["result"] is None
    assert ask(node, "eth_getBlockByNumber", "0x" + "f" * 64, False)["result"] is None
    assert ask(node, "eth_getBlockByHash", nothing, True)["result"] is None
    assert ask(node, "eth_getTransactionByHash", nothing)["result"] is None
    assert ask(node, "eth_getTransactionReceipt", nothing)["result"] is None
    assert ask(node, "eth_getBalance", "0x" + "00" * 20, hex(10**9))["error"]["code"] == -32001
    assert ask(node, "eth_getLogs", {"blockHash": nothing})["error"]["code"] == -32000


@pytest.mark.parametrize("raw", ["", "00", "02", "c0", "02c0", "05f8", "ff" * 500, "02f8" + "00" * 90])
def test_transactions_that_are_none_are_refused(node: L1Node, raw: str) -> None:
    error = ask(node, "eth_sendRawTransaction", "0x" + raw)["error"]
    assert error["code"] == -32000
    assert "transaction is not valid" in error["message"]


def test_an_oversized_request_is_refused_before_it_is_read(node: L1Node) -> None:
    with socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2])), PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: l1\r\nContent-Length: 4194305\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
    inside = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":["' + b" " * (4 << 20)
    assert post(node, inside[: 4 << 20]).json()["error"]["code"] == -32700
    assert ask(node, "eth_chainId")["result"] == "0x7a69"


def test_other_http_is_refused(node: L1Node) -> None:
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as http:
        assert http.get(node.url).status_code == 405
    with socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2])), PATIENCE_SECONDS) as connection:
        connection.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")
    assert ask(node, "eth_chainId")["result"] == "0x7a69"


def test_a_page_of_any_host_may_ask(node: L1Node) -> None:
    asked = {"origin": "http://127.0.0.1:9545", "access-control-request-method": "POST"}
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as http:
        allowed = http.options(node.url, headers=asked)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, "*")
        assert allowed.headers["access-control-allow-headers"] == "content-type"
        assert http.get(node.url).headers["access-control-allow-origin"] == "*"


def test_clients_that_vanish_leave_the_node_alone(node: L1Node) -> None:
    port = int(node.url.rpartition(":")[2])
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",true]}'
    whole = b"POST / HTTP/1.1\r\nHost: l1\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    for size in (0, 5, len(whole) // 2, len(whole) - 1, len(whole)):
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        # A reset instead of a farewell.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.sendall(whole[:size])
        connection.close()
    assert ask(node, "eth_chainId")["result"] == "0x7a69"
    assert node.process.poll() is None


def test_notifications_and_batches(node: L1Node) -> None:
    silent = {"jsonrpc": "2.0", "method": "eth_chainId"}
    asked = silent | {"id": "a"}
    assert post(node, json.dumps(silent).encode()).content == b""
    assert post(node, json.dumps([silent, silent]).encode()).content == b""
    answers = post(node, json.dumps([asked, silent, 7, asked | {"method": "x"}]).encode()).json()
    assert answers[0] == {"jsonrpc": "2.0", "id": "a", "result": "0x7a69"}
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32600, -32601]


def test_simple_answers(node: L1Node) -> None:
    assert ask(node, "web3_clientVersion")["result"].startswith("catenary-devnet")
    assert ask(node, "net_version")["result"] == "31337"
    assert ask(node, "eth_syncing")["result"] is False
    assert int(ask(node, "eth_gasPrice")["result"], 16) >= int(ask(node, "eth_maxPriorityFeePerGas")["result"], 16)
    history = ask(node, "eth_feeHistory", "0x4", "latest", [10, 90])["result"]
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1 == len(history["reward"]) + 1
    assert ask(node, "eth_estimateGas", {"to": "0x" + "11" * 20, "value": "0x0"})["result"] == hex(21_000)


def test_pending_time_is_wall_clock(node: L1Node) -> None:
    asked_at = int(time.time())
    pending = ask(node, "eth_getBlockByNumber", "pending", False)["result"]
    assert pending["hash"] is None
    assert int(pending["timestamp"], 16) >= asked_at - 1
