"""A transaction that waits is replaced at its nonce by a dearer one: of the two one is mined, and it is told which.

What an L1 node says of the waiting one is signed again only where its hash is the one that was named and its signature
is the key's own: a node that lies would otherwise choose what is signed.
"""

from typing import Any, Final

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Superseded, L1Unavailable
from l1_bridge.client.keys import TransactionSigner, signed_by
from l1_bridge.client.sending import Terms
from l1_bridge.client.values import Receipt, as_bytes, as_integer, to_hex

_TRANSFER_GAS: Final = 21_000


class Replaced(msgspec.Struct, frozen=True):
    """What became of a nonce: the receipt of what was mined with it, and whether that is what was waiting before."""

    nonce: int
    is_original: bool
    receipt: Receipt


class Waiting(msgspec.Struct, frozen=True):
    """A signed transaction as a node gave it, found to be the one that was named."""

    sender: bytes
    fields: dict[str, Any]

    @property
    def nonce(self) -> int:
        """Of its sender."""
        return int(self.fields["nonce"])


async def replace(
    client: L1Client, signer: TransactionSigner, transaction_hash: bytes, terms: Terms, *, is_dropped: bool = False
) -> Replaced:
    """Sends the same again at the same nonce and dearer, or with `is_dropped` nothing at all, and waits for either.

    L1Rejected where it is not known, another key's, or the one that takes its place reverts; else as `send`.
    """
    waiting = await find(client, transaction_hash)
    if waiting.sender != signer.address:
        raise L1Rejected(-32000, f"0x{transaction_hash.hex()} is a transaction of 0x{waiting.sender.hex()}")
    receipt = await client.receipt(transaction_hash)
    if receipt is not None:
        return Replaced(waiting.nonce, True, receipt)
    fields = waiting.fields
    data, value, gas, to = fields["data"], fields["value"], fields["gas"], fields["to"]
    if is_dropped:
        data, value, gas, to = b"", 0, _TRANSFER_GAS, signer.address
    dearer = msgspec.structs.replace(terms, replaces=True, nonce=waiting.nonce, above_wei=fields["maxFeePerGas"])
    try:
        sent = await client.send(signer, to, data, value, gas=gas, terms=dearer)
    except L1Superseded:
        receipt = await client.receipt(transaction_hash)
        if receipt is None:
            raise
        return Replaced(waiting.nonce, True, receipt)
    return Replaced(waiting.nonce, sent.transaction_hash == transaction_hash, sent)


async def find(client: L1Client, transaction_hash: bytes) -> Waiting:
    """The transaction of a hash. L1Rejected where the node has none, L1Unavailable where it gives another."""
    found = await client.call("eth_getTransactionByHash", [to_hex(transaction_hash)])
    if found is None:
        why = "the L1 node knows no such transaction: another node's pool may hold it, or it was dropped"
        raise L1Rejected(-32000, f"{why}; nothing was sent")
    try:
        fields = {
            "chainId": as_integer(found["chainId"]),
            "nonce": as_integer(found["nonce"]),
            "maxPriorityFeePerGas": as_integer(found["maxPriorityFeePerGas"]),
            "maxFeePerGas": as_integer(found["maxFeePerGas"]),
            "gas": as_integer(found["gas"]),
            "to": as_bytes(found["to"]),
            "value": as_integer(found["value"]),
            "data": as_bytes(found["input"]),
        }
        signature = as_integer(found["v"]), as_integer(found["r"]), as_integer(found["s"])
        sender, signed_hash = signed_by(fields, signature)
    except (KeyError, TypeError, ValueError) as error:
        raise L1Unavailable(f"the L1 node gives a transaction of another kind: {error!r}") from None
    if signed_hash != transaction_hash or fields["chainId"] != await client.chain_id():
        raise L1Unavailable(f"what the L1 node gives for 0x{transaction_hash.hex()} is another transaction")
    return Waiting(sender, fields)
