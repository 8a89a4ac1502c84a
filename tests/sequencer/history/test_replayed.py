"""Books made of chunks alone are those that the inputs have made, but for what no byte says."""

from collections import ChainMap
from typing import Any

import msgspec
import pytest

from l1_bridge.codec.batch import Chunk
from prover.history.outcomes import Outcome, replay_chunk
from prover.state.state import State
from prover.state.store import MemoryStore
from prover.stf import constants
from sequencer.engine.effects import PaidOut, Ticked, number
from sequencer.history.books import Books, Seen
from sequencer.history.lists import Lists
from sequencer.history.records import CANDLES, FILLS, MOVEMENTS, PAYMENTS, RATES, SERIES, TRADES, Kind
from sequencer.history.replayed import effects_of
from tests.sequencer.history import ledgers
from tests.sequencer.history.ledgers import flow
from tests.sequencer.node_world import DOMAIN, FIRST, PRICES, genesis_store


def rows_of(lists: Lists, kind: Kind, owner: int) -> list[Any]:
    """A list without what a chunk does not say."""
    first, end = lists.ends(kind, owner)
    unsaid = {"mark": 0, "client": ""} if kind is FILLS else {"mark": 0}
    return [msgspec.structs.replace(lists.row(kind, owner, at), **unsaid) for at in range(first, end)]


@pytest.mark.parametrize("seed", range(3))
def test_what_the_bytes_say_is_booked_alike(seed: int) -> None:
    world = ledgers.Kept()
    flow(world, seed, 150)
    world.seal()
    store = genesis_store()
    kept = MemoryStore()
    state, lists = State(store, DOMAIN), Lists(kept)
    books, waiting = Books(lists), dict[bytes, bytes | None]()
    for at in range(1, world.engine.chunk_count + 1):
        record = world.engine.chunk_record(at)
        assert record is not None
        replayed = replay_chunk(state, Chunk(record.body, record.post_root), 1, ChainMap({}, dict[int, Outcome]()), [])
        assert replayed is not None
        effects = effects_of(replayed, at)
        number(effects, at)
        books.book(effects, Seen(at, state.commitment.timestamp, state.globals))
        # As of a batch: what it has written is read at its end, and not before.
        waiting |= lists.writes()
        if at % 5 == 0:
            kept.write(waiting, sync=False)
    kept.write(waiting, sync=False)
    globals = world.engine.globals
    for account in range(FIRST, globals.next_account):
        for kind in (FILLS, PAYMENTS, MOVEMENTS):
            told, booked = rows_of(world.history.lists, kind, account), rows_of(lists, kind, account)
            assert told == booked, (kind.name, account)
    for market in range(globals.market_count):
        assert rows_of(world.history.lists, TRADES, market) == rows_of(lists, TRADES, market)
        assert rows_of(world.history.lists, RATES, market) == rows_of(lists, RATES, market)
        for series in range(market * SERIES, market * SERIES + SERIES):
            assert rows_of(world.history.lists, CANDLES, series) == rows_of(lists, CANDLES, series)


def test_what_a_forced_path_has_paid_is_a_withdrawal() -> None:
    world = ledgers.Kept()
    world.seal()
    state = State(genesis_store(), DOMAIN)
    record = world.engine.chunk_record(1)
    assert record is not None
    replayed = replay_chunk(state, Chunk(record.body, record.post_root), 1, ChainMap({}, dict[int, Outcome]()), [])
    assert replayed is not None
    paid = PaidOut(withdrawal=3, recipient=b"\x01" * 20, amount=5)
    lists = Lists(genesis_store())
    effects = effects_of(replayed, 1, [(FIRST, paid)])
    Books(lists).book(effects, Seen(1, 0, state.globals))
    first, second = rows_of(lists, MOVEMENTS, FIRST)
    assert (first.kind, second.kind, second.amount, second.withdrawal) == ("deposit", "withdrawal", -5, 3)
    assert rows_of(lists, MOVEMENTS, constants.FEE_ACCOUNT) == []


def test_every_tick_of_a_chunk_is_told_with_its_own_prices() -> None:
    world = ledgers.Kept()
    world.seal()
    ticks: list[tuple[int, list[int]]] = []
    for price in (610_000, 605_000, 0, 620_000):
        world.tick((price, *PRICES[1:]))
        ticks.append((world.engine.globals.tick_time, list(world.engine.globals.risk.price)))
    world.seal()
    state, told = State(genesis_store(), DOMAIN), list[tuple[int, list[int]]]()
    for at in range(1, world.engine.chunk_count + 1):
        record = world.engine.chunk_record(at)
        assert record is not None
        replayed = replay_chunk(state, Chunk(record.body, record.post_root), 1, ChainMap({}, dict[int, Outcome]()), [])
        assert replayed is not None
        found = [one for one in effects_of(replayed, at) if isinstance(one, Ticked)]
        told += [(one.time_ms, one.prices) for one in found]
    assert told[-4:] == ticks
    assert ticks[2][1] == ticks[1][1]
