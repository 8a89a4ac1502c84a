"""One nonce of one signer on its way into a block, under as many fees as it takes."""

import math
from typing import Any

import trio

from l1_bridge.client.errors import L1Rejected
from l1_bridge.client.keys import TransactionSigner
from l1_bridge.client.reading import L1Reader
from l1_bridge.client.rpc import CALL_TIMEOUT_SECONDS
from l1_bridge.client.values import Receipt, to_hex

_POLL_FIRST_SECONDS = 0.02
# geth and anvil replace a waiting transaction only for 10% more of both fees; an eighth more is safely above.
_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 9, 8
# EIP-7623: 21000 gas and ten for each token, a zero byte being one token and any other four.
_FLOOR_BASE_GAS, _FLOOR_TOKEN_GAS, _NONZERO_TOKENS = 21_000, 10, 4


def floor_gas(data: bytes) -> int:
    """Least gas of a transaction with this calldata, whatever it executes (EIP-7623)."""
    zeros = data.count(0)
    return _FLOOR_BASE_GAS + _FLOOR_TOKEN_GAS * (zeros + _NONZERO_TOKENS * (len(data) - zeros))


class Pending:
    """One nonce of one signer on its way into a block, under as many fees as it takes."""

    def __init__(
        self,
        client: L1Reader,
        signer: TransactionSigner,
        to: bytes | None,
        data: bytes,
        value: int,
        gas: int,
        chain_id: int,
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
        deadline = trio.current_time() + client.options.resubmit_seconds
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
                deadline = trio.current_time() + client.options.resubmit_seconds
            await trio.sleep(pause)
            pause = min(1.5 * pause, client.options.poll_seconds)

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
            await self._client.call("eth_sendRawTransaction", [to_hex(raw)], timeout_seconds=CALL_TIMEOUT_SECONDS)
        except L1Rejected:
            # A retried request may have been heard the first time: what the node knows was submitted.
            if await self._client.call("eth_getTransactionByHash", [to_hex(self.hashes[-1])]) is None:
                raise

    async def _raise_fees(self) -> None:
        now_fee, now_tip = await self._client.fees()
        fields = self._fields
        max_fee = max(now_fee, math.ceil(fields["maxFeePerGas"] * _BUMP_NUMERATOR / _BUMP_DENOMINATOR))
        tip = max(now_tip, math.ceil(fields["maxPriorityFeePerGas"] * _BUMP_NUMERATOR / _BUMP_DENOMINATOR))
        if max_fee > self._client.options.max_fee_wei:
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
