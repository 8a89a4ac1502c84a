"""The one sender of a key: one nonce at a time, the oldest first, under as many fees as it takes and never above a cap.

The nonce is read from the chain and never from the pool: what waits there under it is replaced, whoever sent it, also
before a restart; and a gap that a reorganisation has left is filled before anything is sent behind it. Two versions of
one nonce are never both mined, so that trying again does not pay twice.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
import trio

from l1_bridge.client.errors import L1Error, L1Rejected, L1Superseded, L1Timeout, L1Unavailable, L1Unconfirmed
from l1_bridge.client.keys import TransactionSigner
from l1_bridge.client.reading import L1Reader
from l1_bridge.client.rpc import CALL_TIMEOUT_SECONDS
from l1_bridge.client.values import Receipt, to_hex

_POLL_FIRST_SECONDS: Final = 0.02
# geth and anvil replace a waiting transaction only for 10% more of both fees; an eighth more is safely above.
_BUMP: Final = (9, 8)
# What waits under our nonce and is not known here is outbid in larger steps: each one costs a refused request.
_OUTBID: Final = (5, 4)
# EIP-7623: 21000 gas and ten for each token, a zero byte being one token and any other four.
_FLOOR_BASE_GAS, _FLOOR_TOKEN_GAS, _NONZERO_TOKENS = 21_000, 10, 4
# A node behind a balancer may count a transaction before it has the receipt: so often it is asked again.
_ROUNDS_WITHOUT_RECEIPT: Final = 5
_REMEMBERED: Final = 16
_SAY_AGAIN_SECONDS: Final = 60.0
# A hundred kilobytes are not sent anew at every look: a pool behind a balancer shows a transaction late.
_SEND_AGAIN_SECONDS: Final = 5.0
# So long another node is waited for beside the one that a transaction goes to: it is a second way, and no obstacle.
_OTHERS_SECONDS: Final = 10.0
_GWEI: Final = 10**9


def floor_gas(data: bytes) -> int:
    """Least gas of a transaction with this calldata, whatever it executes (EIP-7623)."""
    zeros = data.count(0)
    return _FLOOR_BASE_GAS + _FLOOR_TOKEN_GAS * (zeros + _NONZERO_TOKENS * (len(data) - zeros))


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On what terms a transaction is sent.

    confirmations: blocks that have to hold it, 1 = mined. timeout_seconds: when the wait ends. max_fee_wei: per gas, of
    replacements too, where it is below the client's own. replaces: whether what the key has in the pool gives way, as
    is right where each decision is made anew; otherwise it is waited for. tell: hears why it waits, instead of the log.
    nonce: under this one and none other. above_wei: an eighth more than this per gas is offered at least.
    others: nodes that are given the same bytes; any of them may say that they are mined.
    """

    confirmations: int = 1
    timeout_seconds: float = 600.0
    max_fee_wei: int | None = None
    replaces: bool = False
    tell: Callable[[str], None] | None = None
    nonce: int | None = None
    above_wei: int = 0
    others: tuple[L1Reader, ...] = ()


DEFAULT_TERMS: Final = Terms()
# Of a key that one program alone uses, and that decides anew on what the chain holds.
OWN_TERMS: Final = Terms(replaces=True)


class Waiting(msgspec.Struct, frozen=True):
    """A transaction that is under way: since when in trio's time, what it offers per gas, and what it waits for."""

    since: float
    nonce: int
    max_fee_wei: int
    why: str


class Sender:
    """All transactions of one key over one client. `waiting`: the one that is under way, if any."""

    def __init__(self, client: L1Reader, address: bytes) -> None:
        self.client = client
        self.address = address
        self.waiting: Waiting | None = None
        self._lock = trio.Lock()
        self._sent: dict[int, bytes] = {}

    async def send(self, signer: TransactionSigner, fields: dict[str, Any], terms: Terms) -> Receipt:
        """Signs, submits and waits; `fields` as eth-account has them, without nonce and fees."""
        async with self._lock:
            pending = Pending(self, signer, fields, terms)
            try:
                with trio.fail_after(terms.timeout_seconds):
                    return await pending.confirmed()
            except trio.TooSlowError:
                raise L1Timeout(pending.hashes, self.waiting.why if self.waiting is not None else "") from None
            finally:
                self.waiting = None

    def remember(self, nonce: int, raw: bytes) -> None:
        """What was sent last under a nonce: a reorganisation may ask for it again."""
        self._sent[nonce] = raw
        while len(self._sent) > _REMEMBERED:
            del self._sent[min(self._sent)]

    def remembered(self, nonce: int) -> bytes | None:
        """What was sent last under a nonce, if it was sent here and not long ago."""
        return self._sent.get(nonce)


class Pending:
    """One transaction on its way into a block, under as many fees as it takes; `hashes` are all that were sent."""

    def __init__(self, sender: Sender, signer: TransactionSigner, fields: dict[str, Any], terms: Terms) -> None:
        client = sender.client
        self.hashes: list[bytes] = []
        self._sender = sender
        self._client = client
        self._signer = signer
        self._terms = terms
        self._cap = min(client.options.max_fee_wei, terms.max_fee_wei or client.options.max_fee_wei)
        self._fields = fields | {"nonce": -1, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
        self._raw = b""
        self._since = trio.current_time()
        self._raise_at = self._again_at = math.inf
        self._rounds_without_receipt = 0
        self._gap_since: float | None = None
        self._said: dict[str, float] = {}
        self._log = structlog.get_logger("l1")

    async def confirmed(self) -> Receipt:
        """The receipt once it is deep enough. L1Rejected, L1Superseded; L1Unavailable only while nothing was sent."""
        pause = _POLL_FIRST_SECONDS
        silent_since: float | None = None
        while True:
            try:
                receipt = await self._round()
                silent_since = None
                if receipt is not None:
                    return receipt
            except L1Unavailable as error:
                if not self.hashes:
                    raise
                # What is in the pool does not need us: a rate limit meanwhile is no reason to lose sight of it.
                now = trio.current_time()
                silent_since = now if silent_since is None else silent_since
                if now - silent_since >= self._client.options.silence_seconds:
                    raise L1Unconfirmed(self.hashes, error) from error
                self._wait("silent", str(error))
            await trio.sleep(pause)
            pause = min(1.5 * pause, self._client.options.poll_seconds)

    async def _round(self) -> Receipt | None:
        """Looks once at receipt, chain and pool, and does the one thing that is due; the receipt where all is done."""
        receipt = await self._receipt()
        if receipt is not None:
            return receipt if await self._is_deep(receipt) else None
        mined = await self._client.nonce(self._signer.address, "latest")
        nonce: int = self._fields["nonce"]
        if not self._raw:
            await self._begin(mined)
        elif mined > nonce:
            self._rounds_without_receipt += 1
            if self._rounds_without_receipt >= _ROUNDS_WITHOUT_RECEIPT:
                raise L1Superseded(self.hashes, f"another transaction of this key was mined with nonce {nonce}")
        elif mined < nonce:
            await self._fill(mined, nonce)
        else:
            self._rounds_without_receipt, self._gap_since = 0, None
            await self._look_after()
        return None

    async def _is_deep(self, receipt: Receipt) -> bool:
        if self._terms.confirmations <= 1:
            return True
        head = await self._client.block("latest")
        return head is not None and head.number - receipt.block_number + 1 >= self._terms.confirmations

    async def _begin(self, mined: int) -> None:
        """The first version, at the oldest nonce that is not mined, once the cap lets it into a block."""
        chosen = self._terms.nonce
        if chosen is not None and mined > chosen:
            raise L1Superseded(self.hashes, f"another transaction of this key was mined with nonce {chosen}")
        if chosen is not None and mined < chosen:
            self._wait("pool", f"an earlier transaction of this key, nonce {mined}, has to be mined first")
            return
        if not self._terms.replaces and await self._client.nonce(self._signer.address, "pending") > mined:
            self._wait("pool", f"an earlier transaction of this key, nonce {mined}, waits to be mined")
            return
        self._fields["nonce"] = mined
        fee, tip = await self._client.fees(self._cap)
        if not await self._is_dear():
            await self._offer(min(max(fee, _raised(self._terms.above_wei, _BUMP)), self._cap), tip)

    async def _is_dear(self) -> bool:
        """Whether no block takes what may be offered; it is not sent then, for most nodes refuse it."""
        base_fee = (await self._client.newest_block()).base_fee_wei
        if base_fee > self._cap:
            self._wait("fee", f"L1 asks for {base_fee / _GWEI:g} gwei per gas, the cap is {self._cap / _GWEI:g}")
        return base_fee > self._cap

    async def _offer(self, fee: int, tip: int) -> bool:
        """Submits a version at these fees, at more where another one waits under its nonce; whether it was taken."""
        while True:
            raw, transaction_hash = self._signer.sign_transaction(
                self._fields | {"maxFeePerGas": fee, "maxPriorityFeePerGas": min(tip, fee)}
            )
            self.hashes.append(transaction_hash)
            try:
                await self._submit(raw, transaction_hash)
            except L1Rejected as error:
                self.hashes.pop()
                words = error.reason.lower()
                if not _is_about_pool(words):
                    raise
                if not _is_outbid(words) or not (self._terms.replaces or self.hashes):
                    # Nonce or base fee moved between asking and sending: the next round reads them again.
                    self._wait("refused", f"the L1 node does not take it now: {error.reason}")
                    return False
                if fee >= self._cap:
                    self._wait("outbid", f"what waits under nonce {self._fields['nonce']} offers as much as the cap")
                    return False
                fee, tip = min(_raised(fee, _OUTBID), self._cap), _raised(tip, _OUTBID)
                continue
            except L1Unavailable:
                # It may have been heard: from here on it is one of those that may be mined.
                self._keep(raw, fee, tip)
                raise
            self._keep(raw, fee, tip)
            return True

    def _keep(self, raw: bytes, fee: int, tip: int) -> None:
        self._raw = raw
        self._fields |= {"maxFeePerGas": fee, "maxPriorityFeePerGas": min(tip, fee)}
        now = trio.current_time()
        self._raise_at, self._again_at = now + self._client.options.resubmit_seconds, now + _SEND_AGAIN_SECONDS
        self._sender.remember(self._fields["nonce"], raw)
        self._sender.waiting = Waiting(self._since, self._fields["nonce"], fee, "to be mined")

    async def _submit(self, raw: bytes, transaction_hash: bytes) -> None:
        async with trio.open_nursery() as nursery:
            for other in self._terms.others:
                nursery.start_soon(self._give, other, raw)
            failure = await self._refusal(raw, transaction_hash)
        if failure is not None:
            raise failure

    async def _give(self, other: L1Reader, raw: bytes) -> None:
        """The same bytes to one of the other nodes, whose refusal is none: it may know them already."""
        try:
            with trio.fail_after(_OTHERS_SECONDS):
                await other.call("eth_sendRawTransaction", [to_hex(raw)])
        except (L1Error, trio.TooSlowError) as error:
            self._log.info("l1.not_given", place=other.place, error=str(error))

    async def _refusal(self, raw: bytes, transaction_hash: bytes) -> L1Error | None:
        """Why the node does not take it, if it does not."""
        try:
            await self._client.call("eth_sendRawTransaction", [to_hex(raw)], timeout_seconds=CALL_TIMEOUT_SECONDS)
        except L1Rejected as error:
            # A retried request may have been heard the first time: what the node knows was submitted.
            return None if await self._is_known(transaction_hash) else error
        except L1Error as error:
            return error
        return None

    async def _is_known(self, transaction_hash: bytes) -> bool:
        return await self._client.call("eth_getTransactionByHash", [to_hex(transaction_hash)]) is not None

    async def _look_after(self) -> None:
        """Raises the fees of what waits too long or offers too little, and sends again what a pool has dropped."""
        base_fee = (await self._client.newest_block()).base_fee_wei
        is_short = base_fee > self._fields["maxFeePerGas"]
        if (is_short or trio.current_time() >= self._raise_at) and await self._raise_fees(base_fee):
            return
        if is_short and await self._is_dear():
            return
        if trio.current_time() >= self._again_at and not await self._is_known(self.hashes[-1]):
            self._again_at = trio.current_time() + _SEND_AGAIN_SECONDS
            self._wait("dropped", "no pool holds it any more, it is sent again")
            try:
                await self._submit(self._raw, self.hashes[-1])
            except L1Rejected as error:
                # An earlier version may be there, or was mined meanwhile: the receipts or the next round tell.
                self._wait("refused", f"the L1 node does not take it now: {error.reason}")

    async def _raise_fees(self, base_fee: int) -> bool:
        """Whether a version with higher fees was taken."""
        self._raise_at = trio.current_time() + self._client.options.resubmit_seconds
        now_fee, now_tip = await self._client.fees(self._cap)
        fee = max(now_fee, _raised(self._fields["maxFeePerGas"], _BUMP))
        tip = max(now_tip, _raised(self._fields["maxPriorityFeePerGas"], _BUMP))
        if fee > self._cap or base_fee > self._cap:
            self._wait("cap", f"it offers {self._fields['maxFeePerGas'] / _GWEI:g} gwei, the cap lets no more be added")
            return False
        taken = await self._offer(fee, tip)
        if taken:
            self._wait("raised", f"not mined yet, it offers {fee / _GWEI:g} gwei per gas now")
        return taken

    async def _fill(self, mined: int, nonce: int) -> None:
        """A reorganisation took what stood below: the same bytes are valid again, and ours waits behind them."""
        self._wait("gap", f"L1 has forgotten nonce {mined}, it is sent again before nonce {nonce}")
        now = trio.current_time()
        self._gap_since = now if self._gap_since is None else self._gap_since
        if now < self._again_at:
            return
        self._again_at = now + _SEND_AGAIN_SECONDS
        for lower in range(mined, nonce):
            raw = self._sender.remembered(lower)
            if raw is not None:
                try:
                    await self._client.call("eth_sendRawTransaction", [to_hex(raw)])
                except L1Rejected as error:
                    self._log.info("l1.not_sent_again", nonce=lower, error=str(error))
            elif now - self._gap_since >= self._client.options.resubmit_seconds:
                # A pool brings back by itself what it knew. Ours is not taken for the missing one: both could be mined.
                raise L1Timeout(self.hashes, f"nonce {lower} left the chain and nobody sends it again")

    async def _receipt(self) -> Receipt | None:
        """As any node has it; an error only where the one that it was sent by fails and none of the others has it."""
        if not self.hashes or not self._terms.others:
            return await self._receipt_of(self._client)
        found: list[Receipt] = []
        failures: list[L1Error] = []

        async def ask(client: L1Reader, scope: trio.CancelScope) -> None:
            try:
                with trio.move_on_after(math.inf if client is self._client else _OTHERS_SECONDS):
                    receipt = await self._receipt_of(client)
                    if receipt is not None:
                        found.append(receipt)
                        scope.cancel()
            except L1Error as error:
                failures.extend([error] if client is self._client else [])

        async with trio.open_nursery() as nursery:
            for client in (self._client, *self._terms.others):
                nursery.start_soon(ask, client, nursery.cancel_scope)
        if not found and failures:
            raise failures[0]
        return found[0] if found else None

    async def _receipt_of(self, client: L1Reader) -> Receipt | None:
        for transaction_hash in reversed(self.hashes):
            receipt = await client.receipt(transaction_hash)
            if receipt is not None:
                return receipt
        return None

    def _wait(self, kind: str, why: str) -> None:
        """What it waits for now, for whoever looks, and a line, the same kind again after a minute."""
        now, nonce = trio.current_time(), self._fields["nonce"]
        self._sender.waiting = Waiting(self._since, nonce, self._fields["maxFeePerGas"], why)
        if now - self._said.get(kind, -math.inf) < _SAY_AGAIN_SECONDS:
            return
        self._said[kind] = now
        if self._terms.tell is not None:
            self._terms.tell(f"waiting for L1: {why}")
        else:
            self._log.warning("l1.waiting", why=why, nonce=nonce, seconds=round(now - self._since, 1))


def _raised(fee: int, step: tuple[int, int]) -> int:
    return -(-fee * step[0] // step[1])


def _is_outbid(words: str) -> bool:
    return "underpriced" in words or "replace" in words


def _is_about_pool(words: str) -> bool:
    """Whether a refusal is about what is in pool or block at this moment, and not about the transaction."""
    return _is_outbid(words) or any(
        word in words for word in ("nonce", "base fee", "basefee", "fee cap", "already known", "already imported")
    )
