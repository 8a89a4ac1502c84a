"""Whether a bridge's logs up to a block are all that it wrote: its own storage at that block says so.

A node that has lost its logs, or lags with them, answers with none, in time and with status 200. What the bridge keeps,
how many entries its queue has, their running hash and the newest batch, comes from another store of the same node, and
with the chain's own root over it: an absence is taken for a fact only where both say so.
"""

from l1_bridge.client.reading import L1Reader
from l1_bridge.codec.calls import BatchRecord, decode_record, encode_call
from l1_bridge.contracts.artifact import ArtifactError


async def missing_entry(client: L1Reader, bridge: bytes, block: int, known: tuple[int, bytes]) -> str:
    """What logs up to a block did not tell of the queue, of which `known` is (entries, hash up to there); or nothing.

    L1Error where the node does not answer for this block.
    """
    count, queue_hash = known
    answer = await client.eth_call(bridge, encode_call("queue_length"), block)
    if not answer:
        return await _silence(client, bridge, block)
    length = int.from_bytes(answer, "big")
    if length > count:
        return f"block {block}: the bridge has {length} queue entries, by its logs {count}"
    # Fewer: read from a later block, and a node that went back is not one that lacks logs.
    if length == count and await client.eth_call(bridge, encode_call("queue_hash", count), block) != queue_hash:
        return f"block {block}: the bridge's queue has another hash than its logs give after {count} entries"
    return ""


async def missing_batch(client: L1Reader, bridge: bytes, block: int, tip: tuple[int, bytes | None]) -> str:
    """What logs up to a block did not tell of the batches; `tip` is the newest number, and its hash if known.

    Empty where nothing is missing. L1Error where the node does not answer for this block.
    """
    number, batch_hash = tip
    answer = await client.eth_call(bridge, encode_call("head"), block)
    if not answer:
        return await _silence(client, bridge, block)
    try:
        record = decode_record(BatchRecord, answer)
    except ArtifactError as error:
        return f"block {block}: the bridge does not say which batch is its newest: {error}"
    if record.number != number or (batch_hash is not None and record.batch_hash != batch_hash):
        return f"block {block}: the bridge is at batch {record.number}, its logs at batch {number}"
    return ""


async def _silence(client: L1Reader, bridge: bytes, block: int) -> str:
    """Nothing is missing of a bridge that did not stand yet."""
    return f"block {block}: the bridge says nothing" if await client.code(bridge, block) else ""
