"""The bench measures what it says: signed distinct orders, durable chunks, and a replay that would notice a lie."""

import itertools
import json
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from click.testing import CliRunner

from prover.state import state
from prover.state.store import MemoryStore
from prover.stf import codes, constants, encoding
from prover.stf.words import word_at
from sequencer.bench import bench, commands, flow
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.sequencing.signature_pool import signed_row
from sequencer.sequencing.signature_worker import Recoverer
from sequencer.sequencing.staged_store import BufferedStore

pytestmark = pytest.mark.slow

SEED = 7
ACCOUNTS = 200
# So many blocks fill the books.
FILLING_BLOCKS = 6


def open_engine() -> Engine:
    store = MemoryStore()
    state.create(store, flow.DOMAIN, flow.genesis(SEED))
    return Engine(BufferedStore(store), flow.DOMAIN)


def owners() -> dict[int, bytes]:
    return {constants.RESERVED_ACCOUNTS + index: flow.address(flow.key(SEED, index)) for index in range(ACCOUNTS)}


def account_of(order: bytes) -> int:
    return encoding.order(word_at(order, 1), word_at(order, 32)).account


def opened_engine() -> Engine:
    """Deposits and opening positions, sealed."""
    engine = open_engine()
    signers = owners()
    paid_in = (*flow.endowments(SEED), *flow.deposits(SEED, ACCOUNTS))
    given = [Input(flow.START, operation) for operation in (flow.tick(SEED, 0), *paid_in)]
    given += [Input(flow.START, order, signers[account_of(order)]) for order in flow.opening_orders(SEED, ACCOUNTS)]
    given.append(Input(flow.START, b""))
    for one in given:
        assert engine.process(one).code == codes.OK
    engine.flush(len(given))
    return engine


def test_every_order_is_distinct_and_signed_by_its_owner() -> None:
    orders = flow.opening_orders(SEED, 20) + flow.orders_of([flow.block(SEED, 20, number) for number in range(2)])
    assert len(set(orders)) == len(orders) == 2_000 + 20 * flow.MARKET_COUNT
    recover = Recoverer().recover
    signers = owners()
    for order in orders:
        assert recover(signed_row(flow.DOMAIN, order)) == signers[account_of(order)]
    assert flow.block(SEED, 20, 1) == flow.block(SEED, 20, 1)
    assert flow.block(SEED, 20, 1) != flow.block(SEED + 1, 20, 1)


def test_the_flow_has_two_to_two_and_a_half_orders_a_fill_and_four_positions_an_account() -> None:
    engine = opened_engine()
    signers = owners()
    orders = fills = 0
    for number in range(FILLING_BLOCKS + 3):
        for order in flow.orders_of([flow.block(SEED, ACCOUNTS, number)]):
            outcome = engine.process(Input(flow.START, order, signers[account_of(order)]))
            assert outcome.code in (codes.OK, codes.POST_ONLY)
            if number >= FILLING_BLOCKS:
                orders += 1
                fills += len(outcome.fills)
    lowest, highest = bench.ORDERS_PER_FILL
    assert lowest <= orders / fills <= highest
    for index in signers:
        held = [market for market, position in enumerate(engine.account(index).positions) if position.size != 0]
        assert held == list(range(flow.MARKET_COUNT))


def test_a_replay_ends_at_the_sealed_roots_and_notices_a_changed_chunk(tmp_path: Path) -> None:
    engine = opened_engine()
    genesis = flow.genesis(SEED)
    assert bench.replay(tmp_path / "honest", genesis, engine, first=2)[0]
    number = engine.chunk_count
    lie = engine.chunk_record(number)
    assert lie is not None
    # One bit of the first signature: its order is refused, and what it filled is not booked.
    assert lie.body[constants.TIMESTAMP_LENGTH] == constants.ORDER
    body = bytearray(lie.body)
    body[constants.TIMESTAMP_LENGTH + constants.ORDER_LENGTH - 1] ^= 1
    lie.body = bytes(body)
    engine.store.write({b"mchunk" + number.to_bytes(8, "big"): msgspec.msgpack.encode(lie)}, sync=True)
    assert not bench.replay(tmp_path / "lie", genesis, engine, first=1)[0]


def test_a_whole_run_ends_with_its_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that goes on by being read: neither a busy machine nor a large heap gives a run fewer orders.
    readings = itertools.count()
    own_time = SimpleNamespace(perf_counter=lambda: next(readings) / 50, process_time=time.process_time)
    monkeypatch.setattr(bench, "time", own_time)
    monkeypatch.setattr(bench, "_WARM_BLOCKS", FILLING_BLOCKS)
    result = CliRunner().invoke(commands.bench, ["--seconds", "1", "--accounts", str(ACCOUNTS), "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["roots_equal"] is True
    assert summary["accounts"] == ACCOUNTS
    assert summary["positions_per_account"] == 4
    assert summary["seconds"] >= 0.5
    assert summary["orders"] <= summary["signed_orders"]
    assert summary["chunks"] > 0
    assert set(summary["rejected"]) <= {"POST_ONLY"}
    assert summary["fills_per_second"] == pytest.approx(summary["fills"] / summary["seconds"])
    assert summary["orders_per_second"] == pytest.approx(summary["orders"] / summary["seconds"])
    assert summary["ratio"] == pytest.approx(summary["orders_per_second"] / summary["recovers_per_second"])
    assert summary["replay_fills_per_second"] > 0
    lowest, highest = bench.ORDERS_PER_FILL
    assert lowest <= summary["orders_per_fill"] <= highest


@pytest.mark.parametrize(
    ("roots_equal", "orders_per_fill", "said"),
    [(False, 2.2, "replay"), (True, 1.9, "1.90 orders a fill"), (True, 2.6, "2.60 orders a fill")],
)
def test_a_run_that_broke_its_promise_does_not_exit_with_zero(
    roots_equal: bool, orders_per_fill: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> bench.Summary:
        rates = dict.fromkeys(bench.Summary.__struct_fields__, 1)
        rejected: dict[str, int] = {}
        return msgspec.convert(
            rates | {"roots_equal": roots_equal, "orders_per_fill": orders_per_fill, "root": "0x", "witnesses": True}
            | {"rejected": rejected},
            bench.Summary,
        )  # fmt: skip

    monkeypatch.setattr(bench, "measure", broken)
    result = CliRunner().invoke(commands.bench, ["--json"])
    assert result.exit_code == 1
    assert said in result.stderr
    assert json.loads(result.stdout)["roots_equal"] is roots_equal


def test_accounts_come_in_pairs() -> None:
    result = CliRunner().invoke(commands.bench, ["--accounts", "201"])
    assert result.exit_code == 2
    assert "even" in result.stderr


class Recorded(MemoryStore):
    """A store that counts its writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, puts: object, sync: bool) -> None:
        self.writes += 1
        super().write(puts, sync)  # type: ignore[arg-type]


def test_a_staged_chunk_is_read_at_once_and_written_when_the_journal_allows_it() -> None:
    store = Recorded()
    state.create(store, flow.DOMAIN, flow.genesis(SEED))
    written = store.writes
    engine = Engine(BufferedStore(store), flow.DOMAIN)
    deposits = flow.deposits(SEED, 4)
    for cursor, deposit in enumerate(deposits, start=1):
        engine.process(Input(flow.START, deposit))
        engine.process(Input(flow.START, b""))
        (sealed,) = engine.stage(2 * cursor)
        assert engine.chunk_record(cursor) == sealed
        assert engine.chunk_with_root(sealed.post_root) == cursor
    buffered = engine.store
    assert store.writes == written
    assert buffered.staged(durable=1) is None
    staged = buffered.staged(durable=5)
    assert staged is not None
    assert (staged.cursor, staged.batches) == (4, 2)
    buffered.persist(staged)
    buffered.persisted(staged)
    assert store.writes == written + 1
    # What was written is a whole state: two chunks, their cursor, and no more.
    reopened = Engine(BufferedStore(store), flow.DOMAIN)
    assert (reopened.cursor, reopened.chunk_count, reopened.accounts_of(owners()[18])) == (4, 2, [18])
    assert reopened.globals.next_account == constants.RESERVED_ACCOUNTS + 2
    assert engine.globals.next_account == constants.RESERVED_ACCOUNTS + 4
    buffered.flush()
    assert store.writes == written + 2
    assert buffered.staged(durable=100) is None
    last = Engine(BufferedStore(store), flow.DOMAIN)
    assert (last.cursor, last.chunk_count, last.state.root) == (8, 4, engine.state.root)
