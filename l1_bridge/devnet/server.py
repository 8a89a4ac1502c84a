"""The embedded L1: a process of its own that serves a py-evm chain as Ethereum JSON-RPC on one local port."""

import json
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import trio

from l1_bridge.recursion import recursion_bounded

if TYPE_CHECKING:
    from l1_bridge.devnet.chain import Call, DevnetChain, Header

CLIENT_NAME = "catenary-devnet/py-evm"
REQUEST_LIMIT_BYTES = 4 << 20
REQUEST_SECONDS = 30
BATCH_LIMIT = 1_000
LOG_LIMIT = 10_000
ANSWER_LIMIT_BYTES = 32 << 20
CALL_GAS_LIMIT = 60_000_000
SHUTDOWN_SECONDS = 5
TICK_SECONDS = 0.2
# Executions hold the interpreter for seconds: few at once, on slots of their own, so that plain reads pass them.
EXECUTION_SLOTS, READING_SLOTS = 4, 8
_EXECUTING = frozenset(("eth_call", "eth_estimateGas", "eth_sendRawTransaction"))
_MAX_WORD = (1 << 256) - 1
# Any page of any host may ask, as of other devnets: here is nothing but play money and what everybody may see.
_ANY_PAGE = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", b"86400"),
)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RpcError(Exception):
    """A JSON-RPC error: stable code, one sentence, and data where the code has any."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class DevnetRpc:
    """Bytes of a JSON-RPC request in, bytes of the answer out; knows nothing of the transport."""

    def __init__(self, chain: "DevnetChain") -> None:
        self._chain = chain
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "web3_clientVersion": lambda _: CLIENT_NAME,
            "net_version": lambda _: str(chain.chain_id),
            "eth_chainId": lambda _: hex(chain.chain_id),
            "eth_syncing": lambda _: False,
            "eth_blockNumber": lambda _: hex(chain.head.block_number),
            "eth_gasPrice": lambda _: hex(chain.pending_header().base_fee_per_gas + self._tip()),
            "eth_maxPriorityFeePerGas": lambda _: hex(self._tip()),
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._transaction_count,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate_gas,
            "eth_sendRawTransaction": self._send_raw_transaction,
            "eth_getTransactionByHash": self._transaction_by_hash,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
        }

    @staticmethod
    def executes(body: bytes) -> bool:
        """Whether the request may run the EVM for long; a guess from its bytes, wrong at no harm."""
        return any(name.encode() in body for name in _EXECUTING)

    def handle(self, body: bytes) -> bytes:
        """Answer one request or batch; never raises. Empty for notifications, which have no answer."""
        try:
            with recursion_bounded():
                request = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return _encode(_error(None, RpcError(-32700, "the request is not JSON")))
        if not isinstance(request, list):
            answer = self._answer(request)
            return b"" if answer is None else _encode(answer)
        if not 1 <= len(request) <= BATCH_LIMIT:
            return _encode(_error(None, RpcError(-32600, f"a batch has 1 to {BATCH_LIMIT} requests")))
        answers: list[bytes] = []
        size = 0
        for item in request:
            answer = self._answer(item)
            if answer is None:
                continue
            encoded = _encode(answer)
            size += len(encoded)
            if size > ANSWER_LIMIT_BYTES:
                encoded = _encode(_error(answer["id"], RpcError(-32005, "the batch's answer is too large")))
                size += len(encoded) - len(_encode(answer))
            answers.append(encoded)
        return b"[" + b",".join(answers) + b"]" if answers else b""

    def _answer(self, request: Any) -> dict[str, Any] | None:
        if not isinstance(request, dict):
            return _error(None, RpcError(-32600, "a request is a JSON object"))
        identity = request.get("id")
        if not isinstance(identity, str | int | float | None) or isinstance(identity, bool):
            return _error(None, RpcError(-32600, "id is a number, a string or null"))
        try:
            result = self._dispatch(request)
        except RpcError as error:
            answer = _error(identity, error)
            if error.code == -32600:
                # No valid request, so no notification either: it has an answer in any case.
                return answer
        except Exception as error:
            # Whatever a request provokes ends that request only.
            print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            answer = _error(identity, RpcError(-32603, f"internal error: {type(error).__name__}"))
        else:
            answer = {"jsonrpc": "2.0", "id": identity, "result": result}
        return answer if "id" in request else None

    def _dispatch(self, request: dict[str, Any]) -> Any:
        from eth.vm.interrupt import EVMMissingData

        from l1_bridge.devnet.chain import PRUNED, RefusedError

        method, params = request.get("method"), request.get("params", [])
        if request.get("jsonrpc") != "2.0" or not isinstance(method, str):
            raise RpcError(-32600, 'a request has "jsonrpc": "2.0" and a method')
        if not isinstance(params, list):
            raise RpcError(-32602, "params is a list")
        if method not in self._methods:
            raise RpcError(-32601, f"the method {method[:64]} does not exist")
        try:
            return self._methods[method](params)
        except RefusedError as error:
            data = None if error.data is None else _data(error.data)
            raise RpcError(error.code, error.message, data) from None
        except EVMMissingData:
            raise RpcError(PRUNED, "pruned history unavailable: the state of this block is not kept any more") from None

    # One method of the protocol each.

    def _tip(self) -> int:
        from l1_bridge.devnet.chain import PRIORITY_FEE_WEI

        return PRIORITY_FEE_WEI

    def _block_by_number(self, params: list[Any]) -> Any:
        header = self._header(params, 0, default=None)
        return None if header is None else self._render_block(header, _flag(params, 1))

    def _block_by_hash(self, params: list[Any]) -> Any:
        header = self._chain.header_by_hash(_bytes(params, 0, 32))
        return None if header is None else self._render_block(header, _flag(params, 1))

    def _balance(self, params: list[Any]) -> str:
        return hex(self._chain.balance(self._state(params, 1), _bytes(params, 0, 20)))

    def _code(self, params: list[Any]) -> str:
        return _data(self._chain.code(self._state(params, 1), _bytes(params, 0, 20)))

    def _storage(self, params: list[Any]) -> str:
        slot = _quantity(_param(params, 1), "storage slot")
        return _data(self._chain.storage(self._state(params, 2), _bytes(params, 0, 20), slot).to_bytes(32, "big"))

    def _transaction_count(self, params: list[Any]) -> str:
        return hex(self._chain.nonce(self._state(params, 1), _bytes(params, 0, 20)))

    def _call(self, params: list[Any]) -> str:
        from l1_bridge.devnet.chain import revert_error

        result = self._chain.execute(self._state(params, 1), self._call_object(params))
        if result.error is not None:
            raise revert_error(result)
        return _data(result.output)

    def _estimate_gas(self, params: list[Any]) -> str:
        from l1_bridge.devnet.chain import TRANSACTION_GAS_LIMIT

        call = self._call_object(params)
        call = msgspec.structs.replace(call, gas=min(call.gas, TRANSACTION_GAS_LIMIT))
        return hex(self._chain.estimate_gas(self._state(params, 1), call))

    def _call_object(self, params: list[Any]) -> "Call":
        from l1_bridge.devnet.chain import Call

        fields = _param(params, 0)
        if not isinstance(fields, dict):
            raise RpcError(-32602, "the first parameter is a transaction object")
        given = {name: value for name, value in fields.items() if value is not None}
        data = given.get("input", given.get("data", "0x"))
        gas = _quantity(given["gas"], "gas") if "gas" in given else CALL_GAS_LIMIT
        return Call(
            sender=_parse_bytes(given["from"], "from", 20) if "from" in given else bytes(20),
            to=_parse_bytes(given["to"], "to", 20) if "to" in given else b"",
            data=_parse_bytes(data, "data"),
            value=_quantity(given["value"], "value") if "value" in given else 0,
            gas=min(gas, CALL_GAS_LIMIT),
        )

    def _send_raw_transaction(self, params: list[Any]) -> str:
        return _data(self._chain.send(_bytes(params, 0)))

    def _transaction_by_hash(self, params: list[Any]) -> Any:
        from l1_bridge.devnet.chain import render_transaction

        transaction_hash = _bytes(params, 0, 32)
        waiting = self._chain.open_transaction(transaction_hash)
        found = self._chain.database.transaction(transaction_hash)
        # Looked at last: what is written and not sealed yet is in no block that anybody else is told of.
        waiting = self._chain.open_transaction(transaction_hash) or (waiting if found is None else None)
        return _raw(found) if waiting is None else render_transaction(waiting, None, None)

    def _receipt(self, params: list[Any]) -> Any:
        transaction_hash = _bytes(params, 0, 32)
        found = self._chain.database.receipt(transaction_hash)
        # Looked at last: who is told that it is mined asks for the newest state next, and has to find it there.
        return _raw(found) if self._chain.open_transaction(transaction_hash) is None else None

    def _logs(self, params: list[Any]) -> list[msgspec.Raw]:
        query = _param(params, 0)
        if not isinstance(query, dict):
            raise RpcError(-32602, "the first parameter is a filter object")
        first, last = self._log_range(query)
        address = query.get("address")
        listed = address if isinstance(address, list) else [] if address is None else [address]
        addresses = {_parse_bytes(item, "address", 20) for item in listed}
        topics = _topic_filter(query.get("topics"))
        wanted_first = topics[0] if topics else set()
        self._chain.require_history(first, addresses, wanted_first)
        found: list[msgspec.Raw] = []
        size = 0
        for row in self._chain.database.logs(first, last):
            if addresses and row.address not in addresses:
                continue
            present = row.topics
            if len(topics) > len(present) or any(
                wanted and topic not in wanted for wanted, topic in zip(topics, present, strict=False)
            ):
                continue
            found.append(msgspec.Raw(row.json))
            size += len(row.json)
            if len(found) > LOG_LIMIT or size > ANSWER_LIMIT_BYTES:
                raise RpcError(
                    -32005, f"more than {LOG_LIMIT} logs or {ANSWER_LIMIT_BYTES} bytes: ask for fewer blocks"
                )
        # What was dropped while it was read is missing here.
        self._chain.require_history(first, addresses, wanted_first)
        return found

    def _log_range(self, query: dict[str, Any]) -> tuple[int, int]:
        head = self._chain.head.block_number
        if query.get("blockHash") is not None:
            if query.get("fromBlock") is not None or query.get("toBlock") is not None:
                raise RpcError(-32602, "a filter has blockHash or a range, not both")
            header = self._chain.header_by_hash(_parse_bytes(query["blockHash"], "blockHash", 32))
            if header is None:
                raise RpcError(-32000, "unknown block")
            return header.block_number, header.block_number
        first, last = (
            head if value is None else self._number(value) for value in (query.get("fromBlock"), query.get("toBlock"))
        )
        if first > last:
            raise RpcError(-32602, "fromBlock is after toBlock")
        return first, min(last, head)

    def _fee_history(self, params: list[Any]) -> dict[str, Any]:
        count = _quantity(_param(params, 0), "block count")
        newest = self._number(_param(params, 1))
        if not 1 <= count <= 1024:
            raise RpcError(-32602, "the block count is 1 to 1024")
        oldest = max(0, newest - count + 1)
        headers = [self._chain.header(number) for number in range(oldest, newest + 1)]
        known = [header for header in headers if header is not None]
        if len(known) != len(headers):
            raise RpcError(-32000, "request beyond head block")
        answer: dict[str, Any] = {
            "oldestBlock": hex(oldest),
            "baseFeePerGas": [hex(header.base_fee_per_gas) for header in known]
            + [hex(self._chain.pending_header().base_fee_per_gas)],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in known],
        }
        percentiles = params[2] if len(params) > 2 else None
        if isinstance(percentiles, list) and percentiles:
            # Every transaction is mined at any tip, so the advice is the same for all percentiles.
            answer["reward"] = [[hex(self._tip())] * len(percentiles[:100]) for _ in known]
        return answer

    # Blocks.

    def _number(self, tag: Any) -> int:
        head: int = self._chain.head.block_number
        if tag in ("safe", "finalized"):
            return max(0, head - self._chain.finality_depth)
        named = {"latest": head, "pending": head, "earliest": 0}
        if isinstance(tag, str) and tag in named:
            return named[tag]
        return _quantity(tag, "block number")

    def _header(self, params: list[Any], index: int, default: str | None) -> "Header | None":
        tag = params[index] if len(params) > index else None
        if tag is None:
            tag = default
        if isinstance(tag, dict):
            if "blockHash" in tag:
                return self._chain.header_by_hash(_parse_bytes(tag["blockHash"], "blockHash", 32))
            tag = tag.get("blockNumber")
        if tag is None:
            raise RpcError(-32602, f"parameter {index + 1} is missing")
        return self._chain.pending_header() if tag == "pending" else self._chain.header(self._number(tag))

    def _state(self, params: list[Any], index: int) -> "Header":
        header = self._header(params, index, default="latest")
        if header is None:
            raise RpcError(-32001, "block not found")
        return header

    def _render_block(self, header: "Header", full: bool) -> dict[str, Any]:
        # An unsealed header has a number above the head's.
        sealed = header.block_number <= self._chain.head.block_number
        body = self._chain.database.block_body(header.block_number) if sealed else None
        size, hashes = body or (0, [])
        return {
            "number": hex(header.block_number),
            "hash": _data(header.hash) if sealed else None,
            "parentHash": _data(header.parent_hash),
            "timestamp": hex(header.timestamp),
            "gasLimit": hex(header.gas_limit),
            "gasUsed": hex(header.gas_used),
            "baseFeePerGas": hex(header.base_fee_per_gas),
            "miner": _data(header.coinbase),
            "difficulty": "0x0",
            "extraData": _data(header.extra_data),
            "logsBloom": _data(header.bloom.to_bytes(256, "big")),
            "mixHash": _data(header.mix_hash),
            "nonce": _data(header.nonce),
            "sha3Uncles": _data(header.uncles_hash),
            "stateRoot": _data(header.state_root),
            "transactionsRoot": _data(header.transaction_root),
            "receiptsRoot": _data(header.receipt_root),
            "withdrawalsRoot": _data(header.withdrawals_root),
            "parentBeaconBlockRoot": _data(header.parent_beacon_block_root),
            "requestsHash": _data(header.requests_hash),
            "blobGasUsed": hex(header.blob_gas_used),
            "excessBlobGas": hex(header.excess_blob_gas),
            "size": hex(size or self._chain.empty_size(header)),
            "uncles": [],
            "withdrawals": [],
            "transactions": [_raw(self._chain.database.transaction(item)) if full else _data(item) for item in hashes],
        }


def _encode(answer: dict[str, Any]) -> bytes:
    return msgspec.json.encode(answer)


def _error(identity: Any, error: RpcError) -> dict[str, Any]:
    content: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        content["data"] = error.data
    return {"jsonrpc": "2.0", "id": identity, "error": content}


def _data(value: bytes) -> str:
    return "0x" + value.hex()


def _raw(value: bytes | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value)


def _param(params: list[Any], index: int) -> Any:
    if index >= len(params):
        raise RpcError(-32602, f"parameter {index + 1} is missing")
    return params[index]


def _flag(params: list[Any], index: int) -> bool:
    value = params[index] if len(params) > index else False
    if not isinstance(value, bool):
        raise RpcError(-32602, f"parameter {index + 1} is true or false")
    return value


def _bytes(params: list[Any], index: int, size: int | None = None) -> bytes:
    return _parse_bytes(_param(params, index), f"parameter {index + 1}", size)


def _parse_bytes(value: Any, name: str, size: int | None = None) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise RpcError(-32602, f"{name} is a string of hexadecimal digits that starts with 0x")
    try:
        # fromhex alone would skip spaces.
        parsed = bytes.fromhex(value[2:]) if value.isalnum() else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise RpcError(-32602, f"{name} is not hexadecimal")
    if size is not None and len(parsed) != size:
        raise RpcError(-32602, f"{name} has {size} bytes, not {len(parsed)}")
    return parsed


def _quantity(value: Any, name: str) -> int:
    # Python's int() takes underscores, signs and spaces; a quantity has none.
    if not isinstance(value, str) or not value.startswith("0x") or not 3 <= len(value) <= 66 or not value.isalnum():
        raise RpcError(-32602, f"{name} is a hexadecimal quantity such as 0x1f")
    try:
        parsed = int(value, 16)
    except ValueError:
        raise RpcError(-32602, f"{name} is a hexadecimal quantity such as 0x1f") from None
    assert parsed <= _MAX_WORD
    return parsed


def _topic_filter(value: Any) -> list[set[bytes]]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > 4:
        raise RpcError(-32602, "topics is a list of at most four positions")
    positions: list[set[bytes]] = []
    for item in value:
        listed = item if isinstance(item, list) else [] if item is None else [item]
        # null among alternatives matches everything, as geth has it.
        alternatives = set() if None in listed else {_parse_bytes(topic, "topic", 32) for topic in listed}
        positions.append(alternatives)
    return positions


class DevnetServer:
    """The ASGI application: HTTP POST of JSON-RPC, everything else refused; each request in a thread."""

    def __init__(self, rpc: DevnetRpc) -> None:
        self._rpc = rpc
        self._executing = trio.CapacityLimiter(EXECUTION_SLOTS)
        self._reading = trio.CapacityLimiter(READING_SLOTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection scope."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        if scope["method"] == "OPTIONS":
            await _respond(send, 204, b"")
            return
        if scope["method"] != "POST":
            await _respond(send, 405, _encode(_error(None, RpcError(-32600, "send JSON-RPC requests by HTTP POST"))))
            return
        body = await _read_body(scope, receive)
        if body is None:
            text = f"a request has at most {REQUEST_LIMIT_BYTES} bytes and arrives within {REQUEST_SECONDS} s"
            await _respond(send, 413, _encode(_error(None, RpcError(-32600, text))))
            return
        limiter = self._executing if self._rpc.executes(body) else self._reading
        answer = await trio.to_thread.run_sync(self._rpc.handle, body, limiter=limiter)
        await _respond(send, 200 if answer else 204, answer)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read_body(scope: Scope, receive: Receive) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > REQUEST_LIMIT_BYTES):
            return None
    body = bytearray()
    with trio.move_on_after(REQUEST_SECONDS):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > REQUEST_LIMIT_BYTES:
                return None
            if not message.get("more_body", False):
                return bytes(body)
    return None


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_ANY_PAGE]
    if status == 413:
        # The rest of an oversized body is not read, so the connection cannot serve another request.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _repeat(work: Callable[[], None]) -> None:
    limiter = trio.CapacityLimiter(1)
    while True:
        try:
            await trio.to_thread.run_sync(work, limiter=limiter)
        except Exception as error:
            print(f"internal error in {work.__name__}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        await trio.sleep(TICK_SECONDS)


async def serve(
    chain: "DevnetChain", listener: socket.socket, announce: Callable[[], None], exit_with_stdin: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT, or the end of stdin where that is asked for.

    A call still executing `SHUTDOWN_SECONDS` later is abandoned with the process.
    """
    import signal

    from hypercorn.config import Config
    from hypercorn.trio import serve as hypercorn_serve

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.errorlog = None
    config.accesslog = None
    config.keep_alive_timeout = 75
    config.keep_alive_max_requests = 1 << 62
    config.graceful_timeout = 1
    config.include_server_header = False
    config.backlog = 256
    stopping = trio.Event()

    def stop() -> None:
        stopping.set()
        # The chain is whole at every moment, so leaving an execution behind loses nothing that was answered.
        abandon = threading.Timer(SHUTDOWN_SECONDS, os._exit, (0,))
        abandon.daemon = True
        abandon.start()

    async def wait_for_signal() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                if stopping.is_set():
                    os._exit(1)
                stop()

    async def wait_for_stdin() -> None:
        # Whoever started this process holds the other end, and cannot take it along into a sudden death.
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
            while await stream.receive_some(4_096):
                pass
        if not stopping.is_set():
            stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_signal)
        if exit_with_stdin:
            nursery.start_soon(wait_for_stdin)
        nursery.start_soon(_repeat, chain.tick)
        nursery.start_soon(_repeat, chain.tidy)
        app: Any = DevnetServer(DevnetRpc(chain))
        await nursery.start(partial(_started, announce, hypercorn_serve, app, config, stopping))
        await stopping.wait()
        nursery.cancel_scope.cancel()


async def _started(
    announce: Callable[[], None],
    hypercorn_serve: Any,
    app: Any,
    config: Any,
    stopping: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(hypercorn_serve, app, config, shutdown_trigger=stopping.wait, mode="asgi"))
        announce()
        task_status.started()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((host, port))
    listener.setblocking(False)
    return listener


class Options(msgspec.Struct, frozen=True):
    """The flags of the command."""

    datadir: Path
    host: str
    port: int
    chain_id: int
    block_period: float
    finality_depth: int
    max_ahead: int
    history_blocks: int
    exit_with_stdin: bool


@click.command(context_settings={"auto_envvar_prefix": "CATENARY_DEVNET", "show_default": True})
@click.option("--datadir", type=click.Path(path_type=Path), required=True, help="Where the chain is kept.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8545, help="Port to listen on, 0 for any free one.")
@click.option("--chain-id", type=click.IntRange(1, 2**53 - 1), default=31337, help="Chain id of a new chain.")
@click.option("--block-period", type=click.FloatRange(0), default=1.0, help="Seconds between empty blocks, 0: none.")
@click.option("--finality-depth", type=click.IntRange(0), default=2, help="Blocks that finalized lies behind latest.")
@click.option("--max-ahead", type=click.IntRange(0), default=15, help="Seconds a block may lie ahead of the clock.")
@click.option(
    "--history-blocks", type=click.IntRange(256), default=100_000, help="So many are kept at least, at most twice that."
)
@click.option("--exit-with-stdin", is_flag=True, help="End when standard input ends, as it does with a killed parent.")
def main(**flags: Any) -> None:
    """Serve the embedded L1; print one JSON line with the bound port when it is ready."""
    options = Options(**flags)
    # Before the engine is imported: eth-hash's automatic choice is five to ten times slower than this one.
    os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
    from l1_bridge.devnet.chain import DevnetChain
    from l1_bridge.devnet.database import ChainDatabase, DatadirError

    try:
        listener = _listen(options.host, options.port)
    except (OSError, UnicodeError) as error:
        raise click.ClickException(f"{options.host}:{options.port} cannot be listened on: {error}") from None
    try:
        database = ChainDatabase(options.datadir / "chain")
        chain = DevnetChain(
            database,
            options.chain_id,
            block_period_seconds=options.block_period,
            max_ahead_seconds=options.max_ahead,
            finality_depth=options.finality_depth,
            history_blocks=options.history_blocks,
        )
    except DatadirError as error:
        raise click.ClickException(str(error)) from None
    bound_host, bound_port = listener.getsockname()[:2]
    ready = {
        "event": "ready",
        "url": f"http://{bound_host}:{bound_port}",
        "host": bound_host,
        "port": bound_port,
        "chain_id": options.chain_id,
        "genesis_hash": _data(chain.genesis_hash),
        "block_number": chain.head.block_number,
        "pid": os.getpid(),
    }
    ready_file = options.datadir / "devnet.json"

    def announce() -> None:
        temporary = ready_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(ready) + "\n")
        temporary.replace(ready_file)
        print(json.dumps(ready), flush=True)

    # EVM calls nest deeper than the default stack of a thread allows.
    threading.stack_size(64 << 20)
    trio.run(serve, chain, listener, announce, options.exit_with_stdin)
    chain.close()
    ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
