"""A store that goes back to an earlier chunk has the history that it had there, beside what the oracle has said."""

from copy import deepcopy

import msgspec
import pytest

from prover.state.store import MemoryStore
from sequencer.engine.engine import Engine
from sequencer.history.history import History
from sequencer.history.lists import Lists
from sequencer.history.records import (
    CANDLES,
    FILLS,
    HISTORY_KEY,
    INTERVALS,
    LISTED_KEY,
    MINUTE,
    OF_ORACLE,
    OF_TRADES,
    RATES,
    SERIES,
    TRADES,
    series_of,
)
from sequencer.history.records import Kept as Few
from sequencer.history.voided import history_rows
from sequencer.l1.resequence import Kept, rebuild
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.history import ledgers
from tests.sequencer.history.ledgers import flow, history_of
from tests.sequencer.node_world import BTC, BUY, DOMAIN, FIRST, PRICES, SELL, genesis


def without_the_oracle(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """History without candles of the oracle's prices, and of an hour's funding the index alone."""
    told = {}
    for key, row in rows.items():
        if key.startswith(HISTORY_KEY + RATES.letter):
            row = msgspec.msgpack.encode(msgspec.msgpack.decode(row)[:-3])
        if not is_of_oracle(key):
            told[key] = row
    return told


def is_of_oracle(key: bytes) -> bool:
    """Whether a row is of a series of the oracle's candles."""
    letter = key[len(LISTED_KEY) :][:1] if key.startswith(LISTED_KEY) else key[len(HISTORY_KEY) :][:1]
    at = len(LISTED_KEY if key.startswith(LISTED_KEY) else HISTORY_KEY) + 1
    owner = int.from_bytes(key[at : at + 4], "big")
    return letter == CANDLES.letter and owner % SERIES // len(INTERVALS) == OF_ORACLE


def test_a_long_candle_keeps_what_it_had_of_trades_that_are_no_longer_kept() -> None:
    world = ledgers.Kept()
    for step, move in enumerate((0, 70, -40, 20, 30)):
        if step < 4:
            world.later(2 * MINUTE)
        world.order(0, SELL, PRICES[BTC] + move, 100, slot=1 + step)
        world.order(1, BUY, PRICES[BTC] + move, 100, slot=1 + step)
    world.seal()
    day = series_of(BTC, OF_TRADES, list(INTERVALS).index("1d"))
    then, chunk = deepcopy(world.rows(CANDLES, day)), world.engine.chunk_count
    ended, indices = world.engine.state.commitment.timestamp, list(world.engine.globals.risk.funding_index)
    world.order(0, SELL, PRICES[BTC] + 95, 100, slot=9)
    world.order(1, BUY, PRICES[BTC] + 95, 100, slot=9)
    world.history.kept = {"trades": Few(3, 400)}
    world.history.let_go(world.now, 99)
    world.seal()
    assert world.rows(CANDLES, day) != then
    new = MemoryStore()
    new.write(dict(history_rows(world.store, chunk, ended, indices)), sync=False)
    assert [Lists(new).last(CANDLES, day)] == then
    assert (then[0].count, then[0].high - PRICES[BTC], then[0].low - PRICES[BTC]) == (5, 70, -40)


@pytest.mark.parametrize("seed", range(3))
def test_what_stood_in_void_chunks_is_gone_and_nothing_else(seed: int) -> None:
    world = ledgers.Kept()
    flow(world, seed, 60)
    world.seal()
    then, chunk = history_of(deepcopy(world.store)), world.engine.chunk_count
    ended, indices = world.engine.state.commitment.timestamp, list(world.engine.globals.risk.funding_index)
    flow(world, seed + 50, 60)
    world.seal()
    assert world.engine.chunk_count > chunk
    kept = dict(history_rows(world.store, chunk, ended, indices))
    # A list that began behind the chunk is empty, which is as good as none.
    none = {key for key, row in kept.items() if key.startswith(LISTED_KEY) and msgspec.msgpack.decode(row) == [0, 0]}
    assert without_the_oracle({key: row for key, row in kept.items() if key not in none}) == without_the_oracle(then)
    now = history_of(world.store)
    assert {key: row for key, row in kept.items() if is_of_oracle(key)} == {
        key: row for key, row in now.items() if is_of_oracle(key)
    }


def test_a_venue_goes_on_with_its_books_behind_a_void_chunk() -> None:
    world = ledgers.Kept()
    world.order(0, SELL, PRICES[BTC])
    world.order(1, BUY, PRICES[BTC], 300)
    world.seal()
    kept = world.engine.chunk_count
    world.order(2, BUY, PRICES[BTC], 200)
    world.seal()
    new = MemoryStore()
    world.store.write({b"midentity": b"here"}, sync=False)
    # As the genesis of this world has funds, its root is looked for by the store alone.
    rebuild(world.store, new, Kept(DOMAIN, genesis(), kept, len(world.journal)), iter(()))
    engine = Engine(BufferedStore(new), DOMAIN)
    history = History(engine)
    lists = Lists(new)
    assert lists.ends(TRADES, BTC) == (0, 1)
    assert lists.ends(FILLS, FIRST + 2) == (0, 0)
    assert lists.last(CANDLES, series_of(BTC, 0, 0)).lots == 300
    assert history.day(BTC, world.now).lots == 300
