"""The trio edge to an L1 node over JSON-RPC: what it says, transactions and their fees, logs across reorganisations."""

from collections.abc import Sequence

import httpx

from l1_bridge.client.errors import L1Rejected, L1Reverted, L1Unavailable
from l1_bridge.client.following import Depth, Follower, IsWhole, LogFilter
from l1_bridge.client.keys import TransactionSigner
from l1_bridge.client.options import DEFAULT_OPTIONS, L1Options
from l1_bridge.client.reading import L1Reader
from l1_bridge.client.sending import DEFAULT_TERMS, Sender, Terms, Waiting, floor_gas
from l1_bridge.client.values import Block, Receipt


class L1Client(L1Reader):
    """JSON-RPC to one L1 node. Addresses, hashes and data are bytes; amounts are wei.

    Transport failures are retried with growing pauses, then raise L1Unavailable. Every method can be cancelled. Ranges
    of blocks are asked for in pages that shrink to what the node can answer, down to one block.
    """

    def __init__(
        self, url: str, options: L1Options = DEFAULT_OPTIONS, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(url, options, transport=transport)
        self._senders: dict[bytes, Sender] = {}

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Transactions that are under way and not mined."""
        return tuple(sender.waiting for sender in self._senders.values() if sender.waiting is not None)

    async def send(
        self,
        signer: TransactionSigner,
        to: bytes | None,
        data: bytes = b"",
        value: int = 0,
        *,
        gas: int,
        terms: Terms = DEFAULT_TERMS,
    ) -> Receipt:
        """Sign, submit and wait until it is mined, as deep as the terms say.

        One transaction of a signer is in flight at a time, at its oldest nonce. Raises L1Rejected when it is refused,
        L1Reverted when it reverts, L1Timeout when it stays unconfirmed, L1Superseded when another one took its place,
        L1Unconfirmed when the node falls silent after it was sent.
        """
        if gas < floor_gas(data):
            # anvil takes such a transaction and drops it without a word, so the node cannot be left to say it.
            raise L1Rejected(-32000, f"gas {gas} is below the calldata floor of {floor_gas(data)}")
        fields = {
            "type": 2,
            "chainId": await self.chain_id(),
            "data": data,
            "value": value,
            "gas": gas,
            "accessList": [],
        }
        if to is not None:
            fields["to"] = to
        sender = self._senders.setdefault(signer.address, Sender(self, signer.address))
        receipt = await sender.send(signer, fields, terms)
        if not receipt.succeeded:
            raise await self._revert_of(signer, to, data, value, gas, receipt)
        return receipt

    async def deploy(
        self, signer: TransactionSigner, initcode: bytes, *, gas: int, value: int = 0
    ) -> tuple[bytes, Receipt]:
        """(contract address, receipt) of a new contract; `initcode` includes the encoded constructor arguments."""
        receipt = await self.send(signer, None, initcode, value, gas=gas)
        if receipt.contract_address is None:
            raise L1Unavailable("the L1 node's receipt of a deployment names no contract")
        return receipt.contract_address, receipt

    async def _revert_of(
        self, signer: TransactionSigner, to: bytes | None, data: bytes, value: int, gas: int, receipt: Receipt
    ) -> L1Rejected:
        where = f"transaction 0x{receipt.transaction_hash.hex()} in block {receipt.block_number}"
        try:
            # The state before the block is close to what the transaction saw; the exact one no node keeps.
            await self.eth_call(to, data, receipt.block_number - 1, sender=signer.address, gas=gas, value=value)
        except L1Rejected as error:
            return L1Reverted(error.reason, error.data)
        except L1Unavailable:
            pass
        return L1Reverted(f"{where} failed for no reproducible reason, {receipt.gas_used} of {gas} gas used")

    def follow(
        self,
        address: bytes | Sequence[bytes] | None,
        from_block: int,
        *,
        depth: int | str | Depth = 0,
        topics: Sequence[bytes | Sequence[bytes] | None] = (),
        memory_blocks: int = 256,
        resume: Sequence[Block] = (),
        is_whole: IsWhole | None = None,
    ) -> Follower:
        """Follow blocks and an address's logs from `from_block` on.

        `depth` is a tag ("finalized", "safe"), the number of blocks to stay behind the latest, or both. `resume` are
        the newest blocks already applied, oldest first, as `Follower.remembered` gave them before a restart.
        `is_whole`: whether logs are all that there are; where they are not, the same blocks are asked for again.
        """
        return Follower(self, LogFilter(address, topics), from_block, depth, memory_blocks, resume, is_whole)
