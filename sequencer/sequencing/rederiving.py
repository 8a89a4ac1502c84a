"""What an old chunk was, made again: replayed from genesis by what L1 holds of it, or by bodies that the store keeps.

Each chunk on the way has to come to its root: the bridge's as far as L1 is asked, behind that the one of its record. It
costs what replaying all of them costs, so it is asked of a store that no node runs on.
"""

from collections import ChainMap
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.codec.batch import Chunk, Withdrawal
from prover.contracts.deployment import DeploymentRecord, logged_genesis
from prover.history.outcomes import Outcome, Replayed, replay_chunk, standing_chunks
from prover.state.state import State, create
from prover.state.store import MemoryStore, Store
from prover.stf import encoding
from sequencer.engine.records import CHUNK_KEY, SealedChunk, number_key


class NotMade(Exception):
    """It cannot be made again; the text says where that ends."""


async def posted(client: L1Client | None, record: DeploymentRecord) -> AsyncGenerator[Chunk, None]:
    """The chunks that stand on L1, in their order; none without a client. L1Error."""
    if client is None:
        return
    identity = record.deployment.identity
    logged = await logged_genesis(client, identity)
    if logged is None or logged[0] != record.genesis:
        raise L1Unavailable("the L1 node does not give the bridge's genesis log: try again")
    async with aclosing(standing_chunks(client, identity, logged[1])) as standing:
        async for chunk in standing:
            yield chunk


async def rederived(
    store: Store, record: DeploymentRecord, upto: int, chunks: AsyncGenerator[Chunk, None]
) -> AsyncGenerator[tuple[SealedChunk, State], None]:
    """Every chunk from the first one on, and the state behind it; NotMade. `store` is only read.

    chunks: those that L1 holds. What the store keeps of a chunk is given as it is where it is that chunk, else it is
    made anew; a witness that was let go of is made for the last one alone.
    """
    state = create(MemoryStore(), record.deployment.domain, record.genesis)
    outcomes: dict[int, Outcome] = {}
    withdrawals: list[Withdrawal] = []
    async with aclosing(chunks):
        for at in range(1, upto + 1):
            of_l1, own = await anext(chunks, None), _own(store, at)
            source = of_l1
            if source is None:
                source = _chunk_of(own, at, state.root)
            here: dict[int, Outcome] = {}
            is_whole = at == upto or not isinstance(own, SealedChunk) or own.body != source.body
            told = replay_chunk(state, source, 0, ChainMap(here, outcomes), withdrawals, has_witness=is_whole)
            if told is None:
                raise NotMade(f"chunk {at} does not replay to its root")
            outcomes |= here
            yield _joined(own, told, at, is_of_l1=of_l1 is not None), state


def sealed_chunk(number: int, replayed: Replayed) -> SealedChunk:
    """The record of a chunk that L1 holds, as whoever sealed it has it."""
    state = replayed.state
    return SealedChunk(
        number=number,
        body=replayed.body,
        pre_root=replayed.pre_root,
        post_root=state.root,
        commitment=encoding.commitment_bytes(state.commitment),
        witness=replayed.witness,
        operations=replayed.operations,
        withdrawal_count=state.globals.withdrawal_count,
        leaves=state.sealed_leaves,
    )


def _chunk_of(own: SealedChunk | str, at: int, root: bytes) -> Chunk:
    """What is replayed where L1 holds nothing of it."""
    if isinstance(own, str):
        raise NotMade(own)
    if own.pre_root != root:
        raise NotMade(f"chunk {at} does not begin where chunk {at - 1} ends")
    return Chunk(own.body, own.post_root)


def _joined(own: SealedChunk | str, told: Replayed, at: int, *, is_of_l1: bool) -> SealedChunk:
    """A record as it stands where it is of this chunk, with its witness where that was made; else what replay gives."""
    made = sealed_chunk(at, told)
    if isinstance(own, SealedChunk):
        if own.witness == b"" or told.witness in (b"", own.witness):
            whole = msgspec.structs.replace(own, witness=told.witness or own.witness)
            if msgspec.structs.replace(made, witness=whole.witness) == whole:
                return whole
        if not is_of_l1:
            is_same = encoding.commitment_bytes(told.state.commitment) == own.commitment
            said = "the witness that is kept of chunk {} is another one than its replay gives"
            raise NotMade((said if is_same else "chunk {} does not replay to its root").format(at))
    return made


def _own(store: Store, number: int) -> SealedChunk | str:
    """The store's record of a chunk, or why there is none."""
    value = store.get(number_key(CHUNK_KEY, number))
    if value is None:
        return f"there is no record of chunk {number}"
    try:
        return msgspec.msgpack.decode(value, type=SealedChunk)
    except msgspec.DecodeError:
        return f"the record of chunk {number} is damaged"
