"""Datadirs of a venue that has traded, without an L1, and what befalls them."""

from pathlib import Path
from typing import Final

import msgspec

from prover.contracts.deployment import Deployment, DeploymentRecord
from prover.state.leveldb import LevelDbStore
from prover.state.store import MemoryStore
from prover.stf import constants
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.l1.rebuild import write_genesis
from sequencer.l1.resequence import STATE
from sequencer.node.datadir import Datadir
from sequencer.sequencing.journal import Journal, Limits
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import BRIDGE, BUY, CHAIN_ID, DOLLAR, DOMAIN, PRICES, RECIPIENT, SELL, World, genesis

RECORD: Final = DeploymentRecord(Deployment(CHAIN_ID, BRIDGE, b"\x02" * 20, b"\x03" * 20), genesis())
# Small segments, so that a journal has many.
SMALL: Final = Limits(segment_bytes=6_000, pending_bytes=1 << 20)


def history() -> World:
    """Some chunks, a withdrawal, and orders that rest."""
    world = World(2, funds=False)
    for number in range(6):
        world.order(0, SELL, PRICES[0] + 100, 100, slot=10 + number)
        world.order(0, SELL, PRICES[0], 100, slot=2)
        world.order(1, BUY, PRICES[0], 100, slot=2)
        world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT)
        world.seal()
        world.tick()
    world.order(1, BUY, PRICES[0] - 100, 100, slot=9)
    return world


def datadir(path: Path, world: World) -> Path:
    """What a node would have on disk, killed after the last input; the datadir."""
    path.mkdir(parents=True)
    (path / "deployment.json").write_bytes(RECORD.encode())
    write_genesis(path / STATE, RECORD)
    Datadir(path, is_kept=True).begin_journal(RECORD.genesis_root)
    store = LevelDbStore(path / STATE)
    journal = Journal(path / "journal", SMALL)
    engine = Engine(BufferedStore(store), DOMAIN)
    for given in world.journal:
        journal.append([msgspec.msgpack.encode(given)])
        journal.commit()
        assert engine.process(given).changed
        engine.flush(journal.durable_sequence)
    journal.close()
    store.close()
    return path


def engine_of(path: Path) -> Engine:
    """The engine that a start has: state, and the journal behind it. It goes on in memory, with the files closed."""
    rows = MemoryStore()
    store = LevelDbStore(path / STATE, is_strict=True)
    rows.write(dict(store.iterate(b"")), sync=False)
    store.close()
    journal = Journal(path / "journal", SMALL)
    engine = Engine(BufferedStore(rows), DOMAIN)
    for sequence, given in journal.replay(engine.cursor + 1):
        assert engine.process(msgspec.msgpack.decode(given, type=Input)).changed
        if engine.sealed:
            engine.flush(sequence)
    journal.close()
    return engine


def flip(path: Path, place: float) -> None:
    """One bit of a file, so far into it."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)


def log_of(path: Path) -> Path:
    """LevelDB's log."""
    (log,) = (path / STATE).glob("*.log")
    return log
