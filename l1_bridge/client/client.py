"""The trio edge to an L1 node over JSON-RPC: calls, transactions and their fees, logs across reorganisations."""

import itertools
import math
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
import trio

from l1_bridge.recursion import recursion_limit_kept

# The first ten accounts of "test test test test test test test test test test test junk": known to everyone, for
# devnets only.
DEVELOPMENT_KEYS = tuple(
    bytes.fromhex(key)
    for key in (
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
        "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
        "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
        "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
        "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
    )
)

Tag = str | int
_Item = TypeVar("_Item")
_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_BATCH_LIMIT = 100
# A full batch is 0.4 MB of hex: 64 MiB are 160 of them, and decoded they still fit a small machine.
_ANSWER_LIMIT_BYTES = 64 << 20
# A refusal costs one answer, a timeout the whole wait: that one shrinks a page faster.
_REFUSED_DIVISOR, _TIMED_OUT_DIVISOR = 2, 8
_BACKOFF_FIRST_SECONDS = 0.1
_BACKOFF_MAX_SECONDS = 3.0
_POLL_FIRST_SECONDS = 0.02
# geth and anvil replace a waiting transaction only for 10% more of both fees; an eighth more is safely above.
_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 9, 8
_SEND_TIMEOUT_SECONDS = 120.0
# EIP-7623: 21000 gas and ten for each token, a zero byte being one token and any other four.
_FLOOR_BASE_GAS, _FLOOR_TOKEN_GAS, _NONZERO_TOKENS = 21_000, 10, 4


class L1Error(Exception):
    """Anything that went wrong between us and the L1; one sentence."""


class L1Unavailable(L1Error):
    """The node could not be reached or answered nonsense, after all retries: try again later."""


class L1TooLarge(L1Unavailable):
    """The answer passes this client's limit: asking the same again is useless, asking for less may help."""


class L1NoAnswer(L1Unavailable):
    """The node took the request and gave no answer in time."""


class L1Rejected(L1Error):
    """The node, or the contract, said no. `code` is JSON-RPC's, `reason` the decoded revert text, `data` the raw."""

    def __init__(self, code: int, reason: str, data: bytes = b"") -> None:
        super().__init__(f"{reason} (code {code})")
        self.code = code
        self.reason = reason
        self.data = data


class L1WrongChain(L1Error):
    """The node serves another chain than the one asked for."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"the L1 node serves chain {actual}, not chain {expected}")
        self.expected = expected
        self.actual = actual


class L1ReorgTooDeep(L1Error):
    """The chain reorganised deeper than the follower remembers: rebuild from an older block."""


class L1Timeout(L1Error):
    """The transaction was not confirmed in time; it may still be mined. `transaction_hashes` are all that were sent."""

    def __init__(self, transaction_hashes: Sequence[bytes]) -> None:
        super().__init__("not confirmed in time: " + ", ".join("0x" + item.hex() for item in transaction_hashes))
        self.transaction_hashes = tuple(transaction_hashes)


class Block(msgspec.Struct, frozen=True):
    """Header fields that the project uses; `timestamp` in seconds, `base_fee_wei` per gas."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_wei: int


class Log(msgspec.Struct, frozen=True):
    """One event log of a mined block."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    transaction_index: int
    log_index: int


class Receipt(msgspec.Struct, frozen=True):
    """A mined transaction's outcome."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    contract_address: bytes | None
    logs: tuple[Log, ...]


class Applied(msgspec.Struct, frozen=True):
    """A block joined the followed chain; its logs in order."""

    block: Block
    logs: tuple[Log, ...]


class Reverted(msgspec.Struct, frozen=True):
    """A block that was applied left the chain; newest first."""

    block: Block


class Signer:
    """A private key in memory; signs L1 transactions."""

    def __init__(self, private_key: bytes) -> None:
        """Raises ValueError when the 32 bytes are no key."""
        from eth_keys.datatypes import PrivateKey
        from eth_utils.exceptions import ValidationError

        try:
            key = PrivateKey(private_key)
            self._address = bytes(key.public_key.to_canonical_address())
        except (ValidationError, ValueError):
            raise ValueError("not a private key: 32 bytes between 1 and the order of secp256k1 are needed") from None
        self._private_key = private_key

    @classmethod
    def from_keystore(cls, keystore: str | bytes, password: str) -> Self:
        """From Keystore V3 JSON; takes about a second of CPU; ValueError for a wrong password or file."""
        with recursion_limit_kept():
            from eth_account import Account

        try:
            content = msgspec.json.decode(keystore, type=dict[str, Any])
            return cls(bytes(Account.decrypt(content, password)))
        except (ValueError, KeyError, TypeError, NotImplementedError, msgspec.DecodeError) as error:
            raise ValueError(f"the keystore cannot be opened: {error}") from None

    @property
    def address(self) -> bytes:
        """20 bytes."""
        return self._address

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[bytes, bytes]:
        """(raw bytes, hash) of an EIP-1559 transaction given by its JSON-RPC field names."""
        with recursion_limit_kept():
            from eth_account import Account

        signed = Account.sign_transaction(transaction, self._private_key)
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def __repr__(self) -> str:
        return f"Signer(0x{self._address.hex()})"


def development_key(index: int) -> Signer:
    """Signer 0..9 of the well-known development mnemonic."""
    if not 0 <= index < len(DEVELOPMENT_KEYS):
        raise ValueError(f"development keys have the numbers 0 to {len(DEVELOPMENT_KEYS) - 1}")
    return Signer(DEVELOPMENT_KEYS[index])


def revert_reason(data: bytes) -> str:
    """Text of Error(string) or Panic(uint256) revert data; empty when it is neither."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        if data[:4] == _ERROR_STRING:
            return str(decode(["string"], data[4:])[0])
        if data[:4] == _PANIC:
            return f"panic {decode(['uint256'], data[4:])[0]:#x}"
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return ""
    return ""


def floor_gas(data: bytes) -> int:
    """Least gas of a transaction with this calldata, whatever it executes (EIP-7623)."""
    zeros = data.count(0)
    return _FLOOR_BASE_GAS + _FLOOR_TOKEN_GAS * (zeros + _NONZERO_TOKENS * (len(data) - zeros))


class L1Client:
    """JSON-RPC to one L1 node. Addresses, hashes and data are bytes; amounts are wei.

    Transport failures are retried with growing pauses, then raise L1Unavailable. Every method can be cancelled. Ranges
    of blocks are asked for in pages that shrink to what the node can answer, down to one block.
    """

    def __init__(
        self,
        url: str,
        *,
        chain_id: int | None = None,
        timeout_seconds: float = 20.0,
        attempts: int = 5,
        page_blocks: int = 1_000,
        confirmations: int = 1,
        resubmit_seconds: float = 48.0,
        max_fee_wei: int = 500 * 10**9,
        poll_seconds: float = 1.0,
        answer_limit_bytes: int = _ANSWER_LIMIT_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """With `chain_id` given, entering the client checks it. `max_fee_wei` per gas is never exceeded."""
        self.url = url
        self._expected_chain_id = chain_id
        self._chain_id: int | None = None
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._page_blocks = page_blocks
        self._confirmations = confirmations
        self._resubmit_seconds = resubmit_seconds
        self._max_fee_wei = max_fee_wei
        self._poll_seconds = poll_seconds
        self._answer_limit_bytes = answer_limit_bytes
        self._log_pages = _Pages(page_blocks)
        self._header_pages = _Pages(_BATCH_LIMIT)
        self._request_ids = itertools.count(1)
        self._senders: dict[bytes, trio.Lock] = {}
        # Proxies of the environment are not for the L1; plain HTTP needs no certificate store, which is slow to load.
        verify: bool | ssl.SSLContext = url.startswith("https:")
        self._http = httpx.AsyncClient(
            trust_env=False, verify=verify, limits=httpx.Limits(max_connections=16), transport=transport
        )

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

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # JSON-RPC.

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_seconds: float | None = None, hasty: bool = False
    ) -> Any:
        """One request; the decoded result. Raises L1Rejected or L1Unavailable; `hasty`: at the first timeout."""
        request = {"jsonrpc": "2.0", "id": next(self._request_ids), "method": method, "params": list(params)}
        return _result(await self._post(request, timeout_seconds, hasty))

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, timeout_seconds: float | None = None, hasty: bool = False
    ) -> list[Any]:
        """Results in the order of the calls, a hundred to a request; the first error is raised."""
        results: list[Any] = []
        for start in range(0, len(calls), _BATCH_LIMIT):
            requests = [
                {"jsonrpc": "2.0", "id": next(self._request_ids), "method": method, "params": list(params)}
                for method, params in calls[start : start + _BATCH_LIMIT]
            ]
            answers = await self._post(requests, timeout_seconds, hasty)
            if not isinstance(answers, list):
                _result(answers)
                raise L1Unavailable("the L1 node answered a batch with a single result")
            by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
            for request in requests:
                if request["id"] not in by_id:
                    raise L1Unavailable("the L1 node left out a part of a batch")
                results.append(_result(by_id[request["id"]]))
        return results

    async def _post(self, request: Any, timeout_seconds: float | None, hasty: bool) -> Any:
        content = msgspec.json.encode(request)
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        pause = _BACKOFF_FIRST_SECONDS
        for attempt in range(1, self._attempts + 1):
            try:
                with trio.fail_after(limit):
                    return await self._post_once(content)
            except (trio.TooSlowError, _GatewayTimeoutError) as error:
                if hasty or attempt == self._attempts:
                    raise L1NoAnswer(
                        f"the L1 node at {self.url}: {str(error) or f'no answer in {limit:g} s'}"
                    ) from error
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, _BadAnswerError) as error:
                if attempt == self._attempts or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                    raise L1Unavailable(f"the L1 node at {self.url}: {str(error) or type(error).__name__}") from error
            await trio.sleep(pause)
            pause = min(2 * pause, _BACKOFF_MAX_SECONDS)
        raise AssertionError("attempts is at least one")

    async def _post_once(self, content: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        # trio's deadline around this covers all of it, so httpx needs no timeouts of its own.
        request = self._http.build_request("POST", self.url, content=content, headers=headers, timeout=None)
        request.stream = _Body(content)
        response = await self._http.send(request, stream=True)
        try:
            body = await self._body_of(response)
        finally:
            with trio.CancelScope(shield=True):
                await response.aclose()
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answer = None
        if response.status_code == 504:
            raise _GatewayTimeoutError("HTTP status 504")
        if response.status_code in (429, 502, 503):
            raise _BadAnswerError(f"HTTP status {response.status_code}")
        if response.status_code == 413 and not isinstance(answer, dict | list):
            raise L1TooLarge(f"the L1 node at {self.url}: HTTP status 413")
        if not isinstance(answer, dict | list):
            raise _BadAnswerError(f"HTTP status {response.status_code} without JSON-RPC")
        return answer

    async def _body_of(self, response: httpx.Response) -> bytes:
        limit = self._answer_limit_bytes
        too_large = L1TooLarge(f"the L1 node at {self.url}: an answer of more than {limit} bytes")
        # Its word for its own answer, before a byte of that is read; h11 lets only digits through.
        if int(response.headers.get("Content-Length", 0)) > limit:
            raise too_large
        body = bytearray()
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > limit:
                    # Raised from here, or with contextlib.aclosing around the outermost, httpx's nested generators
                    # would be left to the garbage collector: closed first, the next read fails and unwinds them all.
                    await response.aclose()
        except (httpx.HTTPError, httpx.StreamError):
            if len(body) <= limit:
                raise
        if len(body) > limit:
            raise too_large
        return bytes(body)

    # Reading.

    async def chain_id(self) -> int:
        """The node's chain id, asked once; L1WrongChain when it is not the expected one."""
        if self._chain_id is None:
            actual = _integer(await self.call("eth_chainId"))
            if self._expected_chain_id not in (None, actual):
                raise L1WrongChain(self._expected_chain_id or 0, actual)
            self._chain_id = actual
        return self._chain_id

    async def client_version(self) -> str:
        """What the node calls itself."""
        return str(await self.call("web3_clientVersion"))

    async def block(self, tag: Tag = "latest") -> Block | None:
        """Header by number or tag (latest, safe, finalized, pending); None when the node has no such block."""
        return _block(await self.call("eth_getBlockByNumber", [_tag(tag), False]))

    async def next_timestamp(self) -> int:
        """Seconds that a block made now would carry, as far as the node says; the newest block's where it does not."""
        # A pending block has no hash on most nodes, so it is no Block.
        pending = await self.call("eth_getBlockByNumber", ["pending", False])
        if isinstance(pending, dict) and pending.get("timestamp") is not None:
            return _integer(pending["timestamp"])
        newest = await self.block("latest")
        if newest is None:
            raise L1Unavailable("the L1 node has no latest block")
        return newest.timestamp

    async def block_by_hash(self, block_hash: bytes) -> Block | None:
        """Header by hash; None when the node has no such block."""
        return _block(await self.call("eth_getBlockByHash", [_hex(block_hash), False]))

    async def blocks(self, first: int, last: int) -> list[Block | None]:
        """Headers first..last inclusive, in batches; L1TooLarge or L1NoAnswer when even one is too much."""

        async def ask(start: int, stop: int) -> list[Block | None]:
            calls = [("eth_getBlockByNumber", [hex(number), False]) for number in range(start, stop + 1)]
            return [_block(item) for item in await self.batch(calls, hasty=start < stop)]

        return await self._header_pages.collect(first, last, ask)

    async def code(self, address: bytes, block: Tag = "latest") -> bytes:
        """Runtime code; empty for an account without."""
        return _bytes(await self.call("eth_getCode", [_hex(address), _tag(block)]))

    async def balance(self, address: bytes, block: Tag = "latest") -> int:
        """Wei."""
        return _integer(await self.call("eth_getBalance", [_hex(address), _tag(block)]))

    async def nonce(self, address: bytes, block: Tag = "latest") -> int:
        """Number of transactions sent by the account."""
        return _integer(await self.call("eth_getTransactionCount", [_hex(address), _tag(block)]))

    async def storage(self, address: bytes, slot: int, block: Tag = "latest") -> int:
        """One storage word."""
        return _integer(await self.call("eth_getStorageAt", [_hex(address), hex(slot), _tag(block)]))

    async def eth_call(
        self,
        to: bytes | None,
        data: bytes,
        block: Tag = "latest",
        *,
        sender: bytes | None = None,
        gas: int | None = None,
        value: int = 0,
        timeout_seconds: float = _SEND_TIMEOUT_SECONDS,
    ) -> bytes:
        """Returned bytes of a simulated call; L1Rejected with code 3 and the reason when it reverts."""
        request: dict[str, str] = {"data": _hex(data)}
        if to is not None:
            request["to"] = _hex(to)
        if sender is not None:
            request["from"] = _hex(sender)
        if gas is not None:
            request["gas"] = hex(gas)
        if value:
            request["value"] = hex(value)
        return _bytes(await self.call("eth_call", [request, _tag(block)], timeout_seconds=timeout_seconds))

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Receipt of a mined transaction, None while it is not mined."""
        return _receipt(await self.call("eth_getTransactionReceipt", [_hex(transaction_hash)]))

    async def logs(
        self,
        address: bytes | Sequence[bytes] | None,
        topics: Sequence[bytes | Sequence[bytes] | None],
        first_block: int,
        last_block: int,
    ) -> list[Log]:
        """Logs of the blocks first..last inclusive; a position of `topics` is one topic, alternatives, or None.

        L1Rejected, L1TooLarge or L1NoAnswer when the node cannot give the logs even of one block.
        """
        query: dict[str, Any] = {"topics": [_topic(item) for item in topics]}
        if address is not None:
            query["address"] = _hex(address) if isinstance(address, bytes) else [_hex(item) for item in address]

        async def ask(start: int, stop: int) -> list[Log]:
            page = query | {"fromBlock": hex(start), "toBlock": hex(stop)}
            answer = await self.call("eth_getLogs", [page], hasty=start < stop)
            return [_log(item) for item in _list(answer)]

        return await self._log_pages.collect(first_block, last_block, ask)

    # Sending.

    async def send(
        self,
        signer: Signer,
        to: bytes | None,
        data: bytes = b"",
        value: int = 0,
        *,
        gas: int,
        confirmations: int | None = None,
        timeout_seconds: float = 600.0,
    ) -> Receipt:
        """Sign, submit and wait until `confirmations` blocks hold it (1 = mined).

        One transaction of a signer is in flight at a time. Fees are raised when it stays unmined, up to
        `max_fee_wei`. Raises L1Rejected when it is refused or reverts, L1Timeout when it stays unconfirmed.
        """
        if gas < floor_gas(data):
            # anvil takes such a transaction and drops it without a word, so the node cannot be left to say it.
            raise L1Rejected(-32000, f"gas {gas} is below the calldata floor of {floor_gas(data)}")
        chain_id = await self.chain_id()
        async with self._senders.setdefault(signer.address, trio.Lock()):
            pending = _Pending(self, signer, to, data, value, gas, chain_id)
            try:
                with trio.fail_after(timeout_seconds):
                    receipt = await pending.confirmed(self._confirmations if confirmations is None else confirmations)
            except trio.TooSlowError:
                raise L1Timeout(pending.hashes) from None
        if not receipt.succeeded:
            raise await self._revert_of(signer, to, data, value, gas, receipt)
        return receipt

    async def deploy(
        self, signer: Signer, initcode: bytes, *, gas: int, value: int = 0, confirmations: int | None = None
    ) -> tuple[bytes, Receipt]:
        """(contract address, receipt) of a new contract; `initcode` includes the encoded constructor arguments."""
        receipt = await self.send(signer, None, initcode, value, gas=gas, confirmations=confirmations)
        if receipt.contract_address is None:
            raise L1Unavailable("the L1 node's receipt of a deployment names no contract")
        return receipt.contract_address, receipt

    async def _revert_of(
        self, signer: Signer, to: bytes | None, data: bytes, value: int, gas: int, receipt: Receipt
    ) -> L1Rejected:
        where = f"transaction 0x{receipt.transaction_hash.hex()} in block {receipt.block_number}"
        try:
            # The state before the block is close to what the transaction saw; the exact one no node keeps.
            await self.eth_call(to, data, receipt.block_number - 1, sender=signer.address, gas=gas, value=value)
        except L1Rejected as error:
            return L1Rejected(3, error.reason, error.data)
        except L1Unavailable:
            pass
        return L1Rejected(3, f"{where} failed for no reproducible reason, {receipt.gas_used} of {gas} gas used")

    async def fees(self) -> tuple[int, int]:
        """(max fee, priority fee) in wei per gas: twice the base fee and the node's advice."""
        head = await self.block("latest")
        if head is None:
            raise L1Unavailable("the L1 node has no latest block")
        try:
            tip = _integer(await self.call("eth_maxPriorityFeePerGas"))
        except L1Rejected:
            tip = 10**9
        fee = min(2 * head.base_fee_wei + tip, self._max_fee_wei)
        return fee, min(tip, fee)

    # Following.

    def follow(
        self,
        address: bytes | Sequence[bytes] | None,
        from_block: int,
        *,
        depth: int | str = 0,
        topics: Sequence[bytes | Sequence[bytes] | None] = (),
        memory_blocks: int = 256,
        resume: Sequence[Block] = (),
    ) -> "Follower":
        """Follow blocks and an address's logs from `from_block` on.

        `depth` is a tag ("finalized", "safe") or the number of blocks to stay behind the latest. `resume` are the
        newest blocks already applied, oldest first, as `Follower.remembered` gave them before a restart.
        """
        return Follower(self, address, topics, from_block, depth, memory_blocks, self._poll_seconds, resume)


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
            stop = min(start + self._size - 1, last)
            count = stop - start + 1
            try:
                found.extend(await ask(start, stop))
            except (L1Rejected, L1TooLarge, L1NoAnswer) as error:
                # Nodes limit the size of an answer, each with codes and words of its own, or fail at it without any.
                if count == 1:
                    raise
                divisor = _TIMED_OUT_DIVISOR if isinstance(error, L1NoAnswer) else _REFUSED_DIVISOR
                self._size = max(1, count // divisor)
                continue
            start = stop + 1
            if count == self._size:
                # In small steps: past the limit again, the same blocks are asked for twice.
                self._size = min(self._size + self._size // 4 + 1, self._limit)
        return found


class Follower:
    """Turns a chain that may reorganise into Applied and Reverted events; holds at most `memory_blocks` headers.

    Invariant: the events, replayed in order, leave exactly the blocks from_block..`position` of one chain.
    """

    def __init__(
        self,
        client: L1Client,
        address: bytes | Sequence[bytes] | None,
        topics: Sequence[bytes | Sequence[bytes] | None],
        from_block: int,
        depth: int | str,
        memory_blocks: int,
        poll_seconds: float,
        resume: Sequence[Block],
    ) -> None:
        self._client = client
        self._address = address
        self._topics = topics
        self._from_block = from_block
        self._depth = depth
        self._poll_seconds = poll_seconds
        self._recent: deque[Block] = deque(resume, maxlen=memory_blocks)

    @property
    def remembered(self) -> tuple[Block, ...]:
        """The newest applied blocks, oldest first: keep them to resume."""
        return tuple(self._recent)

    @property
    def next_block(self) -> int:
        """Number of the block that will be applied next."""
        return self._recent[-1].number + 1 if self._recent else self._from_block

    async def poll(self) -> list[Applied | Reverted]:
        """What happened since the last poll, at most one page of blocks; empty when nothing did."""
        target = await self._target()
        if target is None:
            return []
        reverted = await self._unwind(target)
        if reverted:
            # Answered at once: a failure further down must not lose events whose blocks are forgotten already.
            return list(reverted)
        first = self.next_block
        # A page per poll bounds memory, and lets a caller store its progress on the way through a long history.
        last = min(target, first + min(self._client._page_blocks, self._recent.maxlen or 1) - 1)
        return list(await self._advance(first, last)) if first <= last else []

    async def events(self) -> AsyncIterator[Applied | Reverted]:
        """Events for ever; asks every `poll_seconds` while nothing new is there. Transport failures end it."""
        while True:
            found = await self.poll()
            for event in found:
                yield event
            if not found:
                await trio.sleep(self._poll_seconds)

    async def run(self, handle: Callable[[Applied | Reverted], Awaitable[None]]) -> None:
        """Hand every event to `handle`, for ever; waits out an unreachable or refusing node, not too large answers."""
        while True:
            try:
                found = await self.poll()
            except L1TooLarge:
                raise
            except (L1Unavailable, L1Rejected):
                # A rate limit or a header that a node behind a balancer lacks is a refusal in form only.
                found = []
            for event in found:
                await handle(event)
            if not found:
                await trio.sleep(self._poll_seconds)

    async def _target(self) -> int | None:
        if isinstance(self._depth, str):
            head = await self._client.block(self._depth)
            return None if head is None else head.number
        head = await self._client.block("latest")
        return None if head is None else head.number - self._depth

    async def _unwind(self, target: int) -> list[Reverted]:
        kept = len(self._recent)
        while kept:
            # A target below what was applied is a node that lags or that went back: compare what both sides have.
            index = min(kept - 1, target - self._recent[0].number)
            if index < 0:
                return []
            actual = await self._client.block(self._recent[index].number)
            if actual is None:
                return []
            if actual.hash == self._recent[index].hash:
                break
            kept = index
        if kept == len(self._recent):
            return []
        if kept == 0 and self._recent[0].number > self._from_block:
            raise L1ReorgTooDeep(
                f"none of the {len(self._recent)} remembered blocks up to {self._recent[-1].number} "
                "is part of the L1 chain any more"
            )
        return [Reverted(self._recent.pop()) for _ in range(len(self._recent) - kept)]

    async def _advance(self, first: int, last: int) -> list[Applied]:
        blocks: list[Block] = []
        parent = self._recent[-1].hash if self._recent else None
        for block in await self._client.blocks(first, last):
            # A broken link means that the chain changed while we read: the next poll sees it whole.
            if block is None or (parent is not None and block.parent_hash != parent):
                break
            blocks.append(block)
            parent = block.hash
        if not blocks:
            return []
        logs: dict[bytes, list[Log]] = {block.hash: [] for block in blocks}
        for log in await self._client.logs(self._address, self._topics, first, blocks[-1].number):
            if log.block_hash not in logs:
                return []
            logs[log.block_hash].append(log)
        still = await self._client.block(blocks[-1].number)
        if still is None or still.hash != blocks[-1].hash:
            return []
        self._recent.extend(blocks)
        return [Applied(block, tuple(logs[block.hash])) for block in blocks]


class _Body(httpx.AsyncByteStream):
    """A request body in one piece. httpx's own is an async generator, which a broken connection leaves unfinished."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._given = False

    def __aiter__(self) -> "_Body":
        self._given = False
        return self

    async def __anext__(self) -> bytes:
        if self._given:
            raise StopAsyncIteration
        self._given = True
        return self._content


class _BadAnswerError(Exception):
    """What came back is not JSON-RPC."""


class _GatewayTimeoutError(Exception):
    """Something before the node waited for it in vain."""


class _Pending:
    """One nonce of one signer on its way into a block, under as many fees as it takes."""

    def __init__(
        self, client: L1Client, signer: Signer, to: bytes | None, data: bytes, value: int, gas: int, chain_id: int
    ) -> None:
        self.hashes: list[bytes] = []
        self._client = client
        self._signer = signer
        self._fields: dict[str, Any] = {
            "type": 2,
            "chainId": chain_id,
            "data": data,
            "value": value,
            "gas": gas,
            "accessList": [],
        }
        if to is not None:
            self._fields["to"] = to
        self._raw = b""

    async def confirmed(self, confirmations: int) -> Receipt:
        """Submit, resubmit with higher fees, and return the receipt once it is deep enough."""
        client = self._client
        await self._submit_first()
        deadline = trio.current_time() + client._resubmit_seconds
        pause = _POLL_FIRST_SECONDS
        mined = False
        while True:
            receipt = await self._receipt()
            if receipt is not None:
                mined = True
                if confirmations <= 1:
                    return receipt
                head = await client.block("latest")
                if head is not None and head.number - receipt.block_number + 1 >= confirmations:
                    return receipt
            elif mined:
                # A reorganisation threw it out: the same bytes are valid again.
                mined = False
                await self._submit(self._raw)
            elif trio.current_time() >= deadline:
                await self._raise_fees()
                deadline = trio.current_time() + client._resubmit_seconds
            await trio.sleep(pause)
            pause = min(1.5 * pause, client._poll_seconds)

    async def _submit_first(self) -> None:
        for attempt in range(3):
            self._fields["nonce"] = await self._client.nonce(self._signer.address, "pending")
            max_fee, tip = await self._client.fees()
            self._fields |= {"maxFeePerGas": max_fee, "maxPriorityFeePerGas": tip}
            self._sign()
            try:
                await self._submit(self._raw)
                return
            except L1Rejected as error:
                # Nonce or base fee moved between asking and sending: the key is used elsewhere, or a block came.
                moved = "nonce" in error.reason.lower() or "base fee" in error.reason.lower()
                if attempt == 2 or not moved:
                    raise
                self.hashes.pop()

    def _sign(self) -> None:
        self._raw, transaction_hash = self._signer.sign_transaction(self._fields)
        self.hashes.append(transaction_hash)

    async def _submit(self, raw: bytes) -> None:
        try:
            await self._client.call("eth_sendRawTransaction", [_hex(raw)], timeout_seconds=_SEND_TIMEOUT_SECONDS)
        except L1Rejected:
            # A retried request may have been heard the first time: what the node knows was submitted.
            if await self._client.call("eth_getTransactionByHash", [_hex(self.hashes[-1])]) is None:
                raise

    async def _raise_fees(self) -> None:
        now_fee, now_tip = await self._client.fees()
        fields = self._fields
        max_fee = max(now_fee, math.ceil(fields["maxFeePerGas"] * _BUMP_NUMERATOR / _BUMP_DENOMINATOR))
        tip = max(now_tip, math.ceil(fields["maxPriorityFeePerGas"] * _BUMP_NUMERATOR / _BUMP_DENOMINATOR))
        if max_fee > self._client._max_fee_wei:
            return
        fields |= {"maxFeePerGas": max_fee, "maxPriorityFeePerGas": min(tip, max_fee)}
        self._sign()
        try:
            await self._submit(self._raw)
        except L1Rejected:
            # An earlier one was mined meanwhile, or the node wants a larger raise: the receipts or the next round tell.
            self.hashes.pop()

    async def _receipt(self) -> Receipt | None:
        for transaction_hash in reversed(self.hashes):
            receipt = await self._client.receipt(transaction_hash)
            if receipt is not None:
                return receipt
        return None


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise L1Unavailable("the L1 node's answer is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        raise L1Rejected(-32603, str(error))
    code = error.get("code")
    data = error.get("data")
    raw = b""
    if isinstance(data, str) and data.startswith("0x"):
        try:
            raw = bytes.fromhex(data[2:])
        except ValueError:
            raw = b""
    reason = revert_reason(raw) or str(error.get("message", "no reason given"))
    raise L1Rejected(code if isinstance(code, int) else -32603, reason, raw)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _tag(tag: Tag) -> str:
    return hex(tag) if isinstance(tag, int) else tag


def _topic(item: bytes | Sequence[bytes] | None) -> Any:
    if item is None or isinstance(item, bytes):
        return None if item is None else _hex(item)
    return [_hex(topic) for topic in item]


def _integer(value: Any) -> int:
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        raise L1Unavailable("the L1 node answered something else than a quantity") from None


def _bytes(value: Any) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError):
        raise L1Unavailable("the L1 node answered something else than data") from None


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise L1Unavailable("the L1 node answered something else than a list")
    return value


def _block(value: Any) -> Block | None:
    if value is None:
        return None
    try:
        return Block(
            number=_integer(value["number"]),
            hash=_bytes(value["hash"]),
            parent_hash=_bytes(value["parentHash"]),
            timestamp=_integer(value["timestamp"]),
            base_fee_wei=_integer(value.get("baseFeePerGas", "0x0")),
        )
    except (KeyError, TypeError, AttributeError):
        raise L1Unavailable("the L1 node answered something else than a block") from None


def _log(value: Any) -> Log:
    try:
        return Log(
            address=_bytes(value["address"]),
            topics=tuple(_bytes(topic) for topic in value["topics"]),
            data=_bytes(value["data"]),
            block_number=_integer(value["blockNumber"]),
            block_hash=_bytes(value["blockHash"]),
            transaction_hash=_bytes(value["transactionHash"]),
            transaction_index=_integer(value["transactionIndex"]),
            log_index=_integer(value["logIndex"]),
        )
    except (KeyError, TypeError):
        raise L1Unavailable("the L1 node answered something else than a log") from None


def _receipt(value: Any) -> Receipt | None:
    if value is None or value.get("blockHash") is None:
        return None
    try:
        created = value.get("contractAddress")
        return Receipt(
            transaction_hash=_bytes(value["transactionHash"]),
            block_number=_integer(value["blockNumber"]),
            block_hash=_bytes(value["blockHash"]),
            succeeded=_integer(value["status"]) == 1,
            gas_used=_integer(value["gasUsed"]),
            effective_gas_price_wei=_integer(value.get("effectiveGasPrice", "0x0")),
            contract_address=None if created is None else _bytes(created),
            logs=tuple(_log(item) for item in _list(value["logs"])),
        )
    except (KeyError, TypeError):
        raise L1Unavailable("the L1 node answered something else than a receipt") from None
