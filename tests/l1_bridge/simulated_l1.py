"""An L1 in memory that behaves as a real one under stress: a pool with geth's rules, blocks, reorganisations.

It executes on a real EVM where it is given one; without, transactions move nothing and succeed. Nothing waits and
nothing is random: whoever drives it says when a block comes, what a pool forgets and how deep the chain turns.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec
import rlp
from eth_account import Account

from l1_bridge.client.values import to_hex
from l1_bridge.hashing import keccak
from tests.l1_bridge.evm import Evm, Log, Reverted

GENESIS_TIME: Final = 1_800_000_000
GWEI: Final = 10**9
CHAIN_ID: Final = 31_337
_EMPTY_HASH: Final = bytes(32)
_SIGNATURE: Final = {"v": 9, "r": 10, "s": 11}


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str, data: bytes | None = None) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = to_hex(data)


@dataclass(frozen=True)
class Transaction:
    """A signed transaction of type 2."""

    raw: bytes
    sender: bytes
    nonce: int
    tip: int
    max_fee: int
    gas: int
    to: bytes
    value: int
    data: bytes

    @property
    def hash(self) -> bytes:
        """As JSON-RPC names it."""
        return keccak(self.raw)

    def told(self) -> dict[str, Any]:
        """As JSON-RPC gives it."""
        fields = rlp.decode(self.raw[1:])
        names = {"chainId": 0, "nonce": 1, "maxPriorityFeePerGas": 2, "maxFeePerGas": 3, "gas": 4, "value": 6}
        told = {name: hex(int.from_bytes(fields[at], "big")) for name, at in (names | _SIGNATURE).items()}
        return told | {"hash": to_hex(self.hash), "to": to_hex(self.to), "input": to_hex(self.data), "type": "0x2"}

    @classmethod
    def decode(cls, raw: bytes) -> "Transaction":
        """From what eth_sendRawTransaction carries."""
        fields = rlp.decode(raw[1:])
        nonce, tip, max_fee, gas, value = (int.from_bytes(fields[at], "big") for at in (1, 2, 3, 4, 6))
        sender = bytes.fromhex(Account.recover_transaction(raw)[2:])
        return cls(raw, sender, nonce, tip, max_fee, gas, bytes(fields[5]), value, bytes(fields[7]))


@dataclass
class Block:
    """One block: `views` are answers of contracts as of its end, `checkpoint` the EVM before it."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    base_fee: int
    bodies: list[Transaction] = field(default_factory=list)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    views: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    nonces: dict[bytes, int] = field(default_factory=dict)
    checkpoint: Any = None


class SimulatedL1:
    """One chain; `clock` gives seconds since its genesis, `views` are calls that are answered at any block."""

    def __init__(
        self,
        clock: Callable[[], float],
        evm: Evm | None = None,
        views: Iterable[tuple[bytes, bytes]] = (),
        chain_id: int = CHAIN_ID,
    ) -> None:
        self.chain_id = chain_id
        self.clock = clock
        self.evm = evm
        self.base_fee = GWEI
        self.finality_blocks = 4
        self.pool: dict[bytes, dict[int, Transaction]] = {}
        self._views = list(views)
        self._forks = 0
        self._floor = 0
        self.blocks = [Block(0, keccak(b"genesis of a simulated chain"), _EMPTY_HASH, self._now(), self.base_fee)]
        self._look(self.blocks[0])

    # What happens to it.

    @property
    def head(self) -> Block:
        """The newest block."""
        return self.blocks[-1]

    def _now(self) -> int:
        return GENESIS_TIME + int(self.clock())

    def mine(self, takes: bool = True) -> Block:
        """One more block, with all of the pool that pays its base fee and follows from what was mined; or without."""
        parent = self.head
        timestamp = max(parent.timestamp + 1, self._now())
        seed = parent.hash + timestamp.to_bytes(8, "big") + self._forks.to_bytes(8, "big")
        block = Block(
            parent.number + 1, keccak(seed), parent.hash, timestamp, self.base_fee, nonces=dict(parent.nonces)
        )
        if self.evm is not None:
            block.checkpoint = self.evm._revm.snapshot()
            self.evm.now = timestamp
        self.blocks.append(block)
        for sender, waiting in self.pool.items() if takes else ():
            while (found := waiting.get(block.nonces.get(sender, 0))) is not None and found.max_fee >= self.base_fee:
                del waiting[found.nonce]
                self._execute(block, found)
        self._look(block)
        return block

    def _execute(self, block: Block, given: Transaction) -> None:
        block.nonces[given.sender] = given.nonce + 1
        status, gas_used, logs = 1, 21_000, ()
        if self.evm is not None and given.data:
            try:
                done = self.evm.send(given.sender, given.to, given.data, value_wei=given.value, gas=given.gas)
                gas_used, logs = done.gas_used, done.logs
            except Reverted as error:
                status, gas_used = 0, error.gas_used
        place = {
            "blockHash": to_hex(block.hash),
            "blockNumber": hex(block.number),
            "transactionHash": to_hex(given.hash),
            "transactionIndex": hex(len(block.bodies)),
        }
        written = self.write(block, place, logs)
        block.bodies.append(given)
        fee = min(given.max_fee, block.base_fee + given.tip)
        outcome = {"status": hex(status), "gasUsed": hex(gas_used), "effectiveGasPrice": hex(fee), "logs": written}
        block.receipts.append(place | outcome | {"contractAddress": None})

    def write(self, block: Block, place: dict[str, str], logs: Iterable[Log]) -> list[dict[str, Any]]:
        """Puts what a contract logged into a block."""
        written = []
        for log in logs:
            topics = [to_hex(topic) for topic in log.topics]
            index = hex(len(block.logs))
            written.append(
                place | {"address": to_hex(log.address), "topics": topics, "data": to_hex(log.data), "logIndex": index}
            )
            block.logs.append(written[-1])
        return written

    def found(self, creation: bytes, logs: Iterable[Log]) -> None:
        """The first block, which no reorganisation takes: a contract's creation and what its constructor logged."""
        block = self.mine()
        place = {
            "blockHash": to_hex(block.hash),
            "blockNumber": hex(block.number),
            "transactionHash": to_hex(keccak(creation)),
            "transactionIndex": "0x0",
        }
        self.write(block, place, logs)
        self._floor = block.number

    def _look(self, block: Block) -> None:
        if self.evm is not None:
            for to, data in self._views:
                block.views[to, data] = self.evm.call(bytes(20), to, data)

    def reorganise(self, depth: int, keeps: Callable[[Transaction], bool] = lambda _: True) -> list[Transaction]:
        """The newest blocks go, as many others and one come; what `keeps` says is in the pool again, else forgotten."""
        depth = min(depth, self.head.number - self._floor)
        gone = [body for block in self.blocks[-depth:] for body in block.bodies] if depth else []
        if depth and self.evm is not None:
            self.evm._revm.revert(self.blocks[-depth].checkpoint)
        del self.blocks[len(self.blocks) - depth :]
        self._forks += 1
        for body in gone:
            if keeps(body):
                self.pool.setdefault(body.sender, {}).setdefault(body.nonce, body)
        for _ in range(depth + 1):
            self.mine(takes=False)
        return gone

    def forget(self, chosen: Callable[[Transaction], bool] = lambda _: True) -> None:
        """A pool drops what it was given."""
        for waiting in self.pool.values():
            for nonce in [nonce for nonce, item in waiting.items() if chosen(item)]:
                del waiting[nonce]

    # What it answers.

    def serve(self, request: httpx.Request) -> httpx.Response:
        """One HTTP request, for httpx.MockTransport."""
        return httpx.Response(200, content=self.respond(request.content))

    def respond(self, content: bytes) -> bytes:
        """One JSON-RPC body, single or a batch."""
        asked = msgspec.json.decode(content)
        if isinstance(asked, list):
            return msgspec.json.encode([self._response(call) for call in asked])
        return msgspec.json.encode(self._response(asked))

    def _response(self, call: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            return answer | {"result": self.answer(call["method"], call["params"])}
        except Refused as refusal:
            return answer | {"error": refusal.error}

    def answer(self, method: str, params: list[Any]) -> Any:
        """The result of one call; Refused."""
        handler = getattr(self, "_" + re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), method), None)
        if handler is None:
            raise Refused(-32601, f"the method {method} does not exist")
        return handler(*params)

    def _eth_chain_id(self) -> str:
        return hex(self.chain_id)

    def _eth_block_number(self) -> str:
        return hex(self.head.number)

    def _eth_max_priority_fee_per_gas(self) -> str:
        return hex(GWEI)

    def at(self, tag: str) -> Block | None:
        """The block of a tag or number."""
        if tag in ("latest", "pending"):
            return self.head
        number = max(0, self.head.number - self.finality_blocks) if tag in ("finalized", "safe") else int(tag, 16)
        return self.blocks[number] if number < len(self.blocks) else None

    def _eth_get_block_by_number(self, tag: str, _: bool) -> dict[str, Any] | None:
        block = self.at(tag)
        if block is None:
            return None
        return {
            "number": hex(block.number),
            "hash": None if tag == "pending" else to_hex(block.hash),
            "parentHash": to_hex(block.parent),
            "timestamp": hex(self._now() if tag == "pending" else block.timestamp),
            "baseFeePerGas": hex(self.base_fee if tag == "latest" else block.base_fee),
        }

    def _eth_get_transaction_count(self, address: str, tag: str) -> str:
        block = self.at(tag)
        if block is None:
            raise Refused(-32000, "header not found")
        sender = bytes.fromhex(address[2:])
        count = block.nonces.get(sender, 0)
        while tag == "pending" and count in self.pool.get(sender, {}):
            count += 1
        return hex(count)

    def _eth_get_balance(self, address: str, tag: str) -> str:
        return hex(10**24)

    def _eth_get_code(self, address: str, tag: str) -> str:
        return to_hex(b"" if self.evm is None else self.evm.code(bytes.fromhex(address[2:])))

    def _eth_send_raw_transaction(self, raw: str) -> str:
        given = Transaction.decode(bytes.fromhex(raw[2:]))
        mined = self.head.nonces.get(given.sender, 0)
        waiting = self.pool.setdefault(given.sender, {})
        if given.nonce < mined:
            raise Refused(-32000, f"nonce too low: next nonce {mined}, tx nonce {given.nonce}")
        old = waiting.get(given.nonce)
        if old is not None and old.raw == given.raw:
            raise Refused(-32000, "already known")
        if old is not None and (given.max_fee * 10 < old.max_fee * 11 or given.tip * 10 < old.tip * 11):
            raise Refused(-32000, "replacement transaction underpriced")
        waiting[given.nonce] = given
        return to_hex(given.hash)

    def _eth_get_transaction_by_hash(self, transaction_hash: str) -> dict[str, Any] | None:
        for waiting in self.pool.values():
            for item in waiting.values():
                if to_hex(item.hash) == transaction_hash:
                    return item.told() | {"blockHash": None}
        receipt = self._eth_get_transaction_receipt(transaction_hash)
        if receipt is None:
            return None
        bodies = [item for block in self.blocks for item in block.bodies if to_hex(item.hash) == transaction_hash]
        return bodies[0].told() | {"blockHash": receipt["blockHash"]} if bodies else None

    def _eth_get_transaction_receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        for block in reversed(self.blocks):
            for receipt in block.receipts:
                if receipt["transactionHash"] == transaction_hash:
                    return receipt
        return None

    def _eth_get_logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = (int(query[name], 16) for name in ("fromBlock", "toBlock"))
        wanted = query.get("address")
        found = [log for block in self.blocks[first : last + 1] for log in block.logs]
        topics = query.get("topics") or [None]
        found = [log for log in found if topics[0] is None or log["topics"][:1] == [topics[0]]]
        return [log for log in found if wanted is None or log["address"] in wanted]

    def _eth_call(self, call: dict[str, str], tag: str) -> str:
        block = self.at(tag)
        if block is None:
            raise Refused(-32000, "header not found")
        to, data = (bytes.fromhex(call[name][2:]) for name in ("to", "data"))
        if (to, data) in block.views and tag != "pending":
            return to_hex(block.views[to, data])
        if self.evm is None:
            return "0x"
        sender = bytes.fromhex(call.get("from", "0x" + "00" * 20)[2:])
        try:
            with self.evm.rolled_back():
                if tag == "pending":
                    self.evm.now = self._now()
                gas, value = int(call.get("gas", "0x1c9c380"), 16), int(call.get("value", "0x0"), 16)
                return to_hex(self.evm.send(sender, to, data, value_wei=value, gas=gas).output)
        except Reverted as error:
            raise Refused(3, f"execution reverted: {error.reason}", error.output) from None
