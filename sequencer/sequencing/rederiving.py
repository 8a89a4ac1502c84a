"""What was let go of of an old chunk is made again: replayed from genesis by the bodies that the store keeps.

Each chunk on the way has to come to the root that its record says. It costs what replaying all of them costs, so it is
asked of a store that no node runs on.
"""

from collections import ChainMap

import msgspec

from l1_bridge.codec.batch import Chunk, Withdrawal
from prover.history.outcomes import Outcome, replay_chunk
from prover.state.state import State, create
from prover.state.store import MemoryStore, Store
from prover.stf import encoding
from sequencer.engine.records import CHUNK_KEY, SealedChunk, number_key


class NotMade(Exception):
    """It cannot be made again; the text says where that ends."""


def rederived(store: Store, domain: bytes, genesis: bytes, number: int) -> tuple[SealedChunk, State]:
    """A chunk from 1 on with its whole witness, and the state behind it. NotMade; `store` is only read."""
    state = create(MemoryStore(), domain, genesis)
    outcomes: dict[int, Outcome] = {}
    withdrawals: list[Withdrawal] = []
    record = _record(store, 1)
    for at in range(1, number + 1):
        record = _record(store, at)
        if record.pre_root != state.root:
            raise NotMade(f"chunk {at} does not begin where chunk {at - 1} ends")
        here: dict[int, Outcome] = {}
        told = replay_chunk(
            state,
            Chunk(record.body, record.post_root),
            0,
            ChainMap(here, outcomes),
            withdrawals,
            has_witness=at == number,
        )
        if told is None or encoding.commitment_bytes(state.commitment) != record.commitment:
            raise NotMade(f"chunk {at} does not replay to its root")
        outcomes |= here
        if at == number:
            if record.witness not in (b"", told.witness):
                raise NotMade(f"the witness that is kept of chunk {at} is another one than its replay gives")
            record.witness = told.witness
    return record, state


def _record(store: Store, number: int) -> SealedChunk:
    value = store.get(number_key(CHUNK_KEY, number))
    if value is None:
        raise NotMade(f"there is no record of chunk {number}")
    try:
        return msgspec.msgpack.decode(value, type=SealedChunk)
    except msgspec.DecodeError:
        raise NotMade(f"the record of chunk {number} is damaged") from None
