"""What the engine costs an order, without disk, sockets and signatures: `python -m tests.benchmarks.engine_path`.

For comparing two versions of the code: run both in turns, on a machine that does nothing else. The root says whether
they did the same.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

from prover.state import state
from prover.state.leveldb import LevelDbStore
from prover.state.store import MemoryStore, Store
from prover.stf import codes, constants
from sequencer.bench import bench
from sequencer.bench import flow as bench_flow
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.sequencing.staged_store import BufferedStore

_WARM_BLOCKS = 10
_INPUTS_A_MILLISECOND = 20


def measure(blocks: int, seed: int, accounts: int, store: Store) -> dict[str, float | str]:
    """CPU micro-seconds of an order in the engine, by block of a thousand, beside those of a raw recover."""
    state.create(store, bench_flow.DOMAIN, bench_flow.genesis(seed))
    engine = Engine(BufferedStore(store), bench_flow.DOMAIN)
    owner_of = {
        constants.RESERVED_ACCOUNTS + index: bench_flow.address(bench_flow.key(seed, index))
        for index in range(accounts)
    }
    count = 0

    def sequence(operation: bytes) -> None:
        nonlocal count
        count += 1
        is_order = operation[:1] == bytes([constants.ORDER])
        signer = owner_of[int.from_bytes(operation[1:4], "big")] if is_order else b""
        outcome = engine.process(Input(bench_flow.START + count // _INPUTS_A_MILLISECOND, operation, signer))
        assert outcome.code in (codes.OK, codes.POST_ONLY), outcome
        if engine.sealed:
            engine.flush(count)

    opening = bench_flow.opening_orders(seed, accounts)
    flow = [bench_flow.orders_of([bench_flow.block(seed, accounts, number)]) for number in range(_WARM_BLOCKS + blocks)]
    paid_in = (*bench_flow.endowments(seed), *bench_flow.deposits(seed, accounts))
    for operation in (bench_flow.tick(seed, 0), *paid_in, *opening):
        sequence(operation)
    micros: list[float] = []
    for orders in flow:
        started = time.process_time()
        for order in orders:
            sequence(order)
        micros.append((time.process_time() - started) * 1e6 / len(orders))
    sequence(b"")
    measured = micros[_WARM_BLOCKS:]
    recover = bench.raw_recovers(1.0)[1] * 1e6
    return {
        "engine_micros_per_order_least": round(min(measured), 1),
        "engine_micros_per_order_median": round(median(measured), 1),
        "recover_micros": round(recover, 1),
        "engine_over_recover": round(median(measured) / recover, 2),
        "chunks": engine.chunk_count,
        "root": "0x" + engine.state.root.hex(),
    }


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=30, help="blocks of a thousand orders (30)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--leveldb", action="store_true", help="with the disk's store, whose threads count too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = LevelDbStore(Path(directory) / "state") if given.leveldb else MemoryStore()
        print(json.dumps(measure(given.blocks, given.seed, given.accounts, store)))
        store.close()


if __name__ == "__main__":
    main()
