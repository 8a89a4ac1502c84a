"""What an L1 node says: blocks, accounts, calls and logs, ranges in pages that shrink to what it can answer."""

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import trio

from l1_bridge.client.errors import (
    L1Busy,
    L1NoAnswer,
    L1Pruned,
    L1Rejected,
    L1Reverted,
    L1TooLarge,
    L1Unavailable,
    L1WrongChain,
)
from l1_bridge.client.options import DEFAULT_OPTIONS, L1Options
from l1_bridge.client.rpc import BATCH_LIMIT, CALL_TIMEOUT_SECONDS, JsonRpc
from l1_bridge.client.values import (
    Block,
    Log,
    Receipt,
    Tag,
    as_block,
    as_bytes,
    as_count,
    as_hash,
    as_integer,
    as_list,
    as_log,
    as_receipt,
    as_time,
    tag_text,
    to_hex,
    topic_text,
)

_Item = TypeVar("_Item")
# A refusal costs one answer, a timeout the whole wait: that one shrinks a page faster.
_REFUSED_DIVISOR, _TIMED_OUT_DIVISOR = 2, 8
# How a node says that it does not take a tag: some call it unavailable.
_REFUSED = (L1Rejected, L1Busy)
_WORD_BYTES = 32
# Whoever fills blocks with batches, 185 kB each, chooses what a page of blocks holds: more logs are not held at once.
MOST_LOG_BYTES: Final = 32 << 20


class L1Reader(JsonRpc):
    """What the node knows, without a key."""

    def __init__(
        self, url: str, options: L1Options = DEFAULT_OPTIONS, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(url, options, transport=transport)
        self._chain_id: int | None = None
        self._log_pages = _Pages(options.page_blocks)
        self._header_pages = _Pages(BATCH_LIMIT)

    async def __aenter__(self) -> Self:
        try:
            await self.chain_id()
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def chain_id(self, again: bool = False) -> int:
        """The node's chain id, asked once, or `again`; L1WrongChain when it is not the expected one."""
        if self._chain_id is not None and not again:
            return self._chain_id
        actual = as_integer(await self.call("eth_chainId"))
        if self.options.chain_id not in (None, actual):
            raise L1WrongChain(self.options.chain_id or 0, actual)
        if self._chain_id is None:
            # What is signed stays for the chain that was met first.
            self._chain_id = actual
        return actual

    async def client_version(self) -> str:
        """What the node calls itself."""
        return str(await self.call("web3_clientVersion"))

    async def block(self, tag: Tag = "latest") -> Block | None:
        """Header by number or tag (latest, safe, finalized); None when the node has no such block, or no such tag."""
        try:
            return as_block(await self.call("eth_getBlockByNumber", [tag_text(tag), False]))
        except L1Rejected:
            # Before the first finalized block, and where a chain has none, nodes refuse the name instead.
            if tag not in ("safe", "finalized"):
                raise
            return None

    async def next_timestamp(self) -> int:
        """Seconds that a block made now would carry, as far as the node says; the newest block's where it does not."""
        # A pending block has no hash on most nodes, so it is no Block.
        try:
            pending = await self.call("eth_getBlockByNumber", ["pending", False])
        except _REFUSED:
            pending = None
        if isinstance(pending, dict) and pending.get("timestamp") is not None:
            return as_time(pending["timestamp"])
        return (await self.newest_block()).timestamp

    async def newest_block(self) -> Block:
        """The latest block; L1Unavailable where the node gives none, so that nobody takes that for an empty chain."""
        newest = await self.block("latest")
        if newest is None:
            raise L1Unavailable("the L1 node gives no latest block")
        return newest

    async def blocks(self, first: int, last: int) -> list[Block | None]:
        """Headers first..last inclusive, in batches; L1TooLarge or L1NoAnswer when even one is too much."""
        return await self._header_pages.collect(first, last, self._headers)

    async def page_of_blocks(self, first: int, last: int) -> tuple[list[Block | None], int]:
        """Likewise the first of them, as many as one batch holds, and the last number of it."""
        return await self._header_pages.page(first, last, self._headers)

    async def _headers(self, first: int, last: int) -> list[Block | None]:
        calls = [("eth_getBlockByNumber", [hex(number), False]) for number in range(first, last + 1)]
        return [as_block(item) for item in await self.batch(calls, hasty=first < last)]

    async def code(self, address: bytes, block: Tag = "latest") -> bytes:
        """Runtime code; empty for an account without."""
        return as_bytes(await self.call("eth_getCode", [to_hex(address), tag_text(block)]))

    async def balance(self, address: bytes, block: Tag = "latest") -> int:
        """Wei."""
        return as_integer(await self.call("eth_getBalance", [to_hex(address), tag_text(block)]))

    async def nonce(self, address: bytes, block: Tag = "latest") -> int:
        """Number of transactions sent by the account."""
        return as_count(await self._at("eth_getTransactionCount", [to_hex(address)], block))

    async def storage(self, address: bytes, slot: int, block: Tag = "latest") -> int:
        """One storage word."""
        return as_integer(await self.call("eth_getStorageAt", [to_hex(address), hex(slot), tag_text(block)]))

    async def eth_call(
        self,
        to: bytes | None,
        data: bytes,
        block: Tag = "latest",
        *,
        sender: bytes | None = None,
        gas: int | None = None,
        value: int = 0,
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> bytes:
        """Returned bytes of a simulated call; L1Reverted with the reason when it reverts."""
        request: dict[str, str] = {"data": to_hex(data)}
        if to is not None:
            request["to"] = to_hex(to)
        if sender is not None:
            request["from"] = to_hex(sender)
        if gas is not None:
            request["gas"] = hex(gas)
        if value:
            request["value"] = hex(value)
        return as_bytes(await self._at("eth_call", [request], block, timeout_seconds))

    async def word(self, to: bytes, data: bytes, block: Tag = "latest") -> int:
        """The one word that a view returns; L1Unavailable for any other answer, for nothing is no zero."""
        answer = await self.eth_call(to, data, block)
        if len(answer) != _WORD_BYTES:
            raise L1Unavailable(f"the L1 node answers a view of 0x{to.hex()} with {len(answer)} bytes, not with a word")
        return int.from_bytes(answer, "big")

    async def _at(self, method: str, params: list[Any], block: Tag, timeout_seconds: float | None = None) -> Any:
        """A question about the state at a block; at the newest one where the node does not take "pending"."""
        try:
            return await self.call(method, [*params, tag_text(block)], timeout_seconds=timeout_seconds)
        except L1Reverted:
            raise
        except _REFUSED:
            if block != "pending":
                raise
        return await self.call(method, [*params, "latest"], timeout_seconds=timeout_seconds)

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Receipt of a mined transaction, None while it is not mined."""
        return as_receipt(await self.call("eth_getTransactionReceipt", [to_hex(transaction_hash)]))

    async def creation(self, transaction_hash: bytes) -> bytes:
        """What a mined transaction ran to create a contract, arguments included; empty where it called one instead.

        L1Unavailable where the node does not know it any more.
        """
        found = await self.call("eth_getTransactionByHash", [to_hex(transaction_hash)])
        if not isinstance(found, dict):
            raise L1Unavailable(f"the L1 node does not know transaction {to_hex(transaction_hash)}")
        return as_bytes(found.get("input")) if found.get("to") is None else b""

    async def logs(
        self,
        address: bytes | Sequence[bytes] | None,
        topics: Sequence[bytes | Sequence[bytes] | None],
        first_block: int,
        last_block: int,
    ) -> list[Log]:
        """Logs of the blocks first..last inclusive; a position of `topics` is one topic, alternatives, or None.

        L1Rejected, L1TooLarge or L1NoAnswer when the node cannot give the logs even of one block, L1Pruned when it has
        let go of the oldest of them.
        """
        return await self._log_pages.collect(first_block, last_block, self._logs_of(address, topics))

    async def page_of_logs(
        self,
        address: bytes | Sequence[bytes] | None,
        topics: Sequence[bytes | Sequence[bytes] | None],
        first_block: int,
        last_block: int,
    ) -> tuple[list[Log], int]:
        """Likewise of the first blocks of the range, as many as one answer holds, and the last of them."""
        return await self._log_pages.page(first_block, last_block, self._logs_of(address, topics))

    def _logs_of(
        self, address: bytes | Sequence[bytes] | None, topics: Sequence[bytes | Sequence[bytes] | None]
    ) -> Callable[[int, int], Awaitable[list[Log]]]:
        query: dict[str, Any] = {"topics": [topic_text(item) for item in topics]}
        if address is not None:
            query["address"] = to_hex(address) if isinstance(address, bytes) else [to_hex(item) for item in address]

        async def ask(start: int, stop: int) -> list[Log]:
            page = query | {"fromBlock": hex(start), "toBlock": hex(stop)}
            try:
                answer = await self.call("eth_getLogs", [page], hasty=start < stop)
            except L1Pruned:
                raise
            except (L1Rejected, L1TooLarge, L1NoAnswer):
                found = await self._logs_by_receipt(start, query) if start == stop else None
                if found is None:
                    raise
                return found
            return [as_log(item) for item in as_list(answer)]

        return ask

    async def _logs_by_receipt(self, number: int, query: dict[str, Any]) -> list[Log] | None:
        """Logs of one block that are too much for one answer, transaction by transaction; None where that fails too.

        Anybody may fill a block with logs beyond what a provider gives at once: nobody is to be blind for it.
        """
        try:
            # Hasty: a node that answers nothing was waited for already.
            block = await self.call("eth_getBlockByNumber", [hex(number), False], hasty=True)
            header = as_block(block)
            if header is None:
                return None
            found, held = [], 0
            for item in as_list(block.get("transactions")):
                receipt = await self.receipt(as_hash(item))
                if receipt is None or receipt.block_hash != header.hash:
                    # The block left the chain meanwhile, or the node lacks a part of it.
                    return None
                # As they come: whatever a node makes of the others is held no longer than one answer.
                wanted = [log for log in receipt.logs if _is_wanted(log, query)]
                found += wanted
                held += sum(log.held_bytes for log in wanted)
                if held > MOST_LOG_BYTES:
                    return None
        except (L1Rejected, L1Unavailable):
            return None
        return found

    async def fees(self, most_wei: int | None = None) -> tuple[int, int]:
        """(max fee, priority fee) in wei per gas: twice the base fee and the node's advice, within the cap."""
        head = await self.newest_block()
        try:
            tip = as_integer(await self.call("eth_maxPriorityFeePerGas"))
        except L1Rejected:
            tip = 10**9
        fee = min(2 * head.base_fee_wei + tip, self.options.max_fee_wei if most_wei is None else most_wei)
        return fee, min(tip, fee)


def _is_wanted(log: Log, query: dict[str, Any]) -> bool:
    """Whether a filter, as eth_getLogs is asked, lets a log through."""
    address = query.get("address", to_hex(log.address))
    if to_hex(log.address) not in ([address] if isinstance(address, str) else address):
        return False
    topics = query["topics"]
    if len(topics) > len(log.topics):
        return False
    for wanted, topic in zip(topics, log.topics, strict=False):
        if wanted is not None and to_hex(topic) not in ([wanted] if isinstance(wanted, str) else wanted):
            return False
    return True


class _Pages:
    """How many blocks are asked for at once; kept between calls, since the next page is likely as full as this one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = limit

    async def collect(self, first: int, last: int, ask: Callable[[int, int], Awaitable[list[_Item]]]) -> list[_Item]:
        """All of first..last inclusive; what one block alone cannot give is raised."""
        found: list[_Item] = []
        start = first
        while start <= last:
            items, stop = await self.page(start, last, ask)
            found.extend(items)
            start = stop + 1
        return found

    async def page(
        self, first: int, last: int, ask: Callable[[int, int], Awaitable[list[_Item]]]
    ) -> tuple[list[_Item], int]:
        """What one answer holds of first..last inclusive, and the last block of it."""
        while True:
            stop = min(first + self._size - 1, last)
            count = stop - first + 1
            try:
                found = await ask(first, stop)
            except (L1Rejected, L1TooLarge, L1NoAnswer) as error:
                # Nodes limit the size of an answer, each with codes and words of its own, or fail at it without any.
                if count == 1 or isinstance(error, L1Pruned):
                    raise
                divisor = _TIMED_OUT_DIVISOR if isinstance(error, L1NoAnswer) else _REFUSED_DIVISOR
                self._size = max(1, count // divisor)
                continue
            if count == self._size:
                # In small steps: past the limit again, the same blocks are asked for twice.
                self._size = min(self._size + self._size // 4 + 1, self._limit)
            return found, stop
