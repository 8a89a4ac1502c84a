"""From the log of the largest batch to the proof of its last chunk: processor time and memory of one challenger.

python -m tests.benchmarks.proof_path        24 chunks of 21 signed trades each, the last one steals
"""

import json
import resource
import time

import trio

from l1_bridge.codec.batch import MAX_CHUNKS
from l1_bridge.codec.calls import encode_prove_fraud
from prover.contracts.referee import LocalReferee
from prover.history.records import Verdict
from prover.signing import operations
from prover.stf import constants
from tests.prover.history.test_history import Reader, judgements
from tests.prover.world import DOLLAR, EvmChain, Lie, World, theft

TRADES = 21
LOTS = 1_000


def chunk(world: World, now_ms: int, number: int) -> list[bytes]:
    """Trades between two accounts in slots of their own, to and fro."""
    made: list[bytes] = []
    for at in range(TRADES):
        seller, buyer = (17, 18) if at % 2 else (18, 17)
        fields = {"size": LOTS, "slot": 1 + at, "sequence": 1 + number}
        made.append(world.venue.order(seller - 17, seller, now_ms, side=constants.SELL, **fields))
        made.append(world.venue.order(buyer - 17, buyer, now_ms, **fields))
        made.append(operations.fill_bytes(2 * at, 2 * at + 1, LOTS))
    return made


async def measured() -> dict[str, float]:
    """What one batch takes."""
    world = await World.make(EvmChain())
    reader = Reader(world)
    await world.open_accounts()
    reader.catch_up()
    now_ms = await world.now_ms()
    bodies = [chunk(world, now_ms, number) for number in range(MAX_CHUNKS)]
    bodies[0] = [world.venue.tick(now_ms), *bodies[0][:-3]]
    event = await world.commit(bodies, [Lie(MAX_CHUNKS - 1, patch=theft(17, 18, 1_000 * DOLLAR))])
    began = time.process_time()
    verdict = judgements(reader.catch_up())[-1]
    judged = time.process_time()
    assert (verdict.verdict, verdict.chunk_index) == (Verdict.FRAUD, MAX_CHUNKS - 1), verdict
    dispute = reader.replay.dispute()
    assert dispute is not None
    calldata = encode_prove_fraud(dispute.batch, dispute.chunk_index, dispute.witness)
    made = time.process_time()
    # As before each proof that is sent: by the shipped bytecode, on this machine.
    body = dispute.batch.chunks[dispute.chunk_index].body
    LocalReferee().replay(world.bridge.domain_separator(), dispute.pre_root, body, dispute.witness)
    tried = time.process_time()
    return {
        "body_bytes": sum(len(each.body) for each in event.batch.chunks),
        "calldata_bytes": len(calldata),
        "judged_seconds": round(judged - began, 3),
        "made_seconds": round(made - judged, 3),
        "tried_seconds": round(tried - made, 3),
        "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024, 1),
    }


if __name__ == "__main__":
    print(json.dumps(trio.run(measured)))
