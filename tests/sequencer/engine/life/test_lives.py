"""Lives of orders: every step in its turn, the same after a restart, and no more of them than the horizon says."""

from copy import deepcopy

import msgspec
import pytest

from prover.signing.operations import order_name
from prover.state.store import MemoryStore
from prover.stf import codes, constants
from sequencer.engine.effects import Accepted, Left, Reason
from sequencer.engine.engine import Engine
from sequencer.engine.life import lives
from sequencer.engine.life.lives import (
    MOST_STEPS,
    MOST_SUMS,
    VOIDED,
    Life,
    Lives,
    _leave_untold,
    place_of,
    voided,
)
from sequencer.engine.life.steps import Step
from sequencer.engine.records import CLIENT_KEY, HEAD_KEY, LIFE_KEY, RING_KEY, Fill, Input, Terms
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOMAIN,
    FIRST,
    IOC,
    LOTS,
    PRICES,
    SELL,
    START,
    World,
    key,
    order,
    owner,
    signed_order,
)

PRICE = PRICES[BTC]


def life_of(engine: Engine, trader: int, slot: int = 1, sequence: int = START) -> Life:
    """The life of an order that was taken."""
    found = engine.orders.lives.find(FIRST + trader, slot, sequence)
    assert found is not None
    return found


def events(life: Life) -> list[tuple[str, int, str]]:
    """What happened, with lots and role."""
    return [(step.event, step.lots, step.role) for step in life.steps]


def test_both_sides_of_a_trade_with_role_and_own_fee() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.now += 7
    (fill,) = world.order(1, BUY, PRICE, 400, slot=2).fills
    maker, taker = life_of(world.engine, 0), life_of(world.engine, 1, 2, world.now)
    assert events(maker) == [("accepted", LOTS, ""), ("resting", LOTS, ""), ("filled", 400, "maker")]
    assert events(taker) == [("accepted", 400, ""), ("filled", 400, "taker")]
    assert (maker.status, maker.filled, maker.left) == ("partially_filled", 400, 600)
    assert (taker.status, taker.filled, taker.left, taker.fills) == ("filled", 400, 0, [fill])
    assert maker.fees + taker.fees == fill.fee
    assert maker.fees == fill.maker_fee < taker.fees
    assert [step.time for step in maker.steps] == [START, START, START + 7]
    sequences = [step.sequence for step in maker.steps]
    assert sequences == sorted(set(sequences))


def test_every_end_has_its_reason() -> None:
    world = World(3)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE, LOTS + 1, time_in_force=IOC, slot=2)
    world.order(1, SELL, PRICE + 9, reduce_only=1, slot=3)
    world.order(2, BUY, PRICE - 9, expires_at=START + 1_000, slot=4)
    world.order(0, BUY, PRICE - 9, slot=5)
    world.request(constants.CANCEL_ALL, 0, slot=0, max_posting_fee=0)
    world.tick()
    ends = [(1, 2), (2, 4), (0, 5)]
    told = [life_of(world.engine, trader, slot) for trader, slot in ends]
    assert [(one.status, one.reason) for one in told] == [
        ("expired", "unfilled"),
        ("expired", "expired"),
        ("cancelled", "cancelled"),
    ]
    assert (told[0].detail, told[0].filled, told[0].left) == ("UNCROSSED", LOTS, 1)


def test_what_became_of_orders_is_the_same_after_a_crash_and_after_a_restart() -> None:
    world = World(2)
    operation = signed_order(order(START, FIRST + 1, BUY, PRICE, 400, slot=2), key(1))
    world.order(0, SELL, PRICE)
    world.seal()
    given = Input(world.now, operation, owner(1), terms=Terms(client="mine-1"))
    first = world.engine.process(given)
    world.journal.append(given)
    # The journal alone has it.
    crashed = Engine(BufferedStore(deepcopy(world.store)), DOMAIN)
    assert crashed.orders.lives.find(FIRST + 1, 2, START) is None
    for late in world.journal[crashed.cursor :]:
        crashed.process(late)
    world.seal()
    restarted = Engine(BufferedStore(world.store), DOMAIN)
    for engine in (world.engine, crashed, restarted):
        again = engine.process(Input(world.now + 9, operation, owner(1)))
        assert (again.code, again.changed, again.status) == (codes.OK, False, first.status)
        assert again.fills == first.fills
        assert engine.orders.lives.named(FIRST + 1, "mine-1") == (2, START)
        assert events(life_of(engine, 1, 2)) == [("accepted", 400, ""), ("filled", 400, "taker")]
    # Somebody else's signature of the same fields learns nothing.
    assert restarted.process(Input(world.now, operation[:-64] + b"\x01" * 64, owner(0))).code != codes.OK


def test_an_order_that_the_account_may_no_longer_send_is_answered_all_the_same() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    operation = signed_order(order(START, FIRST + 1, BUY, PRICE, time_in_force=IOC), key(1))
    assert world.process(operation).status == "filled"
    world.now += constants.IMMEDIATE_LIFETIME + 1
    world.seal()
    assert (world.process(operation).status, world.process(operation).changed) == ("filled", False)


class Ring:
    """Lives over a store of their own, of orders that come and go."""

    def __init__(self, horizon: int) -> None:
        self.store = MemoryStore()
        self.lives = Lives(BufferedStore(self.store), horizon)
        self.sequence = 0

    def take(self, slot: int, client: str = "", *, leaves: bool = True) -> int:
        """One order, of account 17; its sequence."""
        self.sequence += 1
        shared = {"order": order_name(17, slot, self.sequence), "account": 17, "market": BTC}
        accepted = Accepted(**shared, side=BUY, price=1, size=1, time_ms=0)
        left = [Left(**shared, lots=1, reason=Reason.CANCELLED)] if leaves else []
        self.lives.note([accepted, *left], Input(0, b"", terms=Terms(client)))
        return self.sequence

    def kept(self, slot: int) -> list[int]:
        """Sequences of a slot that are known."""
        return [one for one in range(1, self.sequence + 1) if self.lives.find(17, slot, one) is not None]

    def write(self) -> None:
        """Everything into the store, and forgotten in memory."""
        self.store.write(self.lives.writes(), sync=True)


def test_the_oldest_are_forgotten_and_open_ones_never() -> None:
    ring = Ring(4)
    ring.take(9, "open", leaves=False)
    for name in range(6):
        ring.take(1, f"n{name}")
        ring.write()
    assert ring.kept(1) == [5, 6, 7]
    assert ring.kept(9) == [1]
    assert (ring.lives.named(17, "n0"), ring.lives.named(17, "n5")) == (None, (1, 7))
    assert ring.lives.named(17, "open") == (9, 1)
    assert ring.lives.newest(17, 1) == 7
    assert ring.lives.newest(17, 2) is None
    rows = [key for prefix in (LIFE_KEY, RING_KEY, CLIENT_KEY) for key, _ in ring.store.iterate(prefix)]
    assert len(rows) == 4 + 4 + 4


def test_a_name_belongs_to_the_newest_order_of_it() -> None:
    ring = Ring(2)
    for _ in range(4):
        ring.take(1, "same")
    assert ring.lives.named(17, "same") == (1, 4)


def test_of_many_steps_the_first_and_the_newest_are_kept() -> None:
    world = World(2)
    world.order(0, SELL, PRICE, 300_000)
    for _ in range(MOST_STEPS + 20):
        world.now += 1
        world.order(1, BUY, PRICE, 1_000, time_in_force=IOC, slot=3)
    life = life_of(world.engine, 0)
    assert len(life.steps) == MOST_STEPS
    assert life.untold == 2 + MOST_STEPS + 20 - MOST_STEPS
    assert life.filled == (MOST_STEPS + 20) * 1_000
    assert [step.event for step in life.steps[:3]] == ["accepted", "resting", "filled"]
    again = world.process(signed_order(order(START, FIRST, SELL, PRICE, 300_000), key(0))).repeated
    assert again is not None
    # The sum is of all fills, those that are not told among them.
    assert (again.fees, again.untold, len(again.fills)) == (life.fees, life.untold, len(life.fills))
    assert again.fees > sum(fill.maker_fee for fill in again.fills)


def test_what_l1_can_never_take_is_taken_back() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE, 100)
    world.seal()
    world.order(1, BUY, PRICE, 200, slot=2)
    life = msgspec.msgpack.decode(msgspec.msgpack.encode(life_of(world.engine, 0)), type=Life)
    kept = life.fills[0].chunk
    assert voided(life, kept, 5)
    assert (life.status, life.filled, life.left, life.fees) == (VOIDED, 100, LOTS - 100, life.fills[0].maker_fee)
    assert life.steps[-1].event == VOIDED
    whole = life_of(world.engine, 1, 1)
    assert not voided(whole, kept, 5)
    assert isinstance(whole.steps[0], Step)


def test_fills_that_are_not_told_are_taken_back_too() -> None:
    world = World(2)
    world.order(0, SELL, PRICE, 1_000 * (MOST_STEPS + 400))
    for turn in range(MOST_STEPS + 100):
        world.order(1, BUY, PRICE, 1_000, slot=2, created_at=world.now + turn, time_in_force=IOC)
    kept = world.engine.chunk_count + 1
    before = msgspec.msgpack.decode(msgspec.msgpack.encode(life_of(world.engine, 0)), type=Life)
    world.seal()
    for turn in range(MOST_STEPS + 100):
        world.order(1, BUY, PRICE, 1_000, slot=3, created_at=world.now + turn, time_in_force=IOC)
    after = life_of(world.engine, 0)
    assert sum(1 for step in after.steps if step.fill is not None and step.fill.chunk > kept) < MOST_STEPS
    assert voided(after, kept, 5)
    assert (after.filled, after.left, after.quote, after.fees) == (
        before.filled,
        before.left,
        before.quote,
        before.fees,
    )


def test_sums_of_many_chunks_are_joined_and_nothing_void_is_told_as_filled() -> None:
    life = Life(b"", b"", 0, SELL, "", "resting", left=10**6)
    for chunk in range(1, MOST_STEPS + MOST_SUMS + 10):
        fill = Fill(0, 1, 1, 17, 18, "", "", SELL, 2, 0, chunk, 0, 1)
        life.steps.append(Step("filled", 0, 1, chunk, "resting", 0, 0, fee=1, fill=fill))
        life.filled, life.left, life.quote, life.fees = life.filled + 1, life.left - 1, life.quote + 1, life.fees + 1
        if len(life.steps) > MOST_STEPS:
            _leave_untold(life)
    assert len(life.sums) == MOST_SUMS
    assert sum(lots for _, lots, _, _ in life.sums) == life.untold
    joined = life.sums[0]
    assert voided(life, joined[0] - 1, 5)
    # The chunks that were joined with the first that is void are taken back with it.
    assert life.filled == MOST_STEPS // 2 == life.quote == life.fees


def test_a_new_order_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1)
    world.order(0, SELL, PRICE + 1)
    world.seal()
    asked: list[bytes] = []
    store = world.engine.store
    get = store.get
    monkeypatch.setattr(store, "get", lambda key: asked.append(bytes(key)) or get(key))
    world.now += 1
    assert world.order(0, SELL, PRICE + 1, slot=2).code == codes.OK
    assert [name for name in asked if name[:5] in (LIFE_KEY, HEAD_KEY, RING_KEY)] == []
    # Its slot has held a newer one: then it is looked for.
    assert world.order(0, SELL, PRICE + 2, slot=2, created_at=world.now - 1).code == codes.USED
    assert any(name.startswith(LIFE_KEY) for name in asked)


def test_heads_in_memory_are_bounded_and_written_before_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "_HEADS_KEPT", 2)
    world = World(4)
    for trader in range(4):
        world.order(trader, SELL, PRICE + 1)
    kept = world.engine.orders.lives
    assert len(kept._heads) == 4
    world.seal()
    for trader in range(4):
        assert kept.newest(FIRST + trader, 1) == world.now
    for account in range(9):
        assert kept.newest(account, 1) is None
    assert len(kept._heads) <= 4


def test_a_name_is_read_as_it_is_written() -> None:
    assert place_of(order_name(17, 255, 2**48 - 1)) == (17, 255, 2**48 - 1)


def test_the_past_of_an_account_is_listed_from_its_newest_order_back() -> None:
    ring = Ring(4)
    open_one = ring.take(9, leaves=False)
    taken = [ring.take(1 + step % 3) for step in range(7)]
    listed = ring.lives.past(17, None, 9)
    assert {place[2] for _, place, _ in listed} == {*taken[-3:], open_one}
    assert [place[2] for _, place, _ in listed if place[2] != open_one] == taken[-1:-4:-1]
    numbers = [number for number, _, _ in listed]
    assert numbers == sorted(numbers, reverse=True)
    assert [one[0] for one in ring.lives.past(17, numbers[1], 1)] == [numbers[2]]
    assert ring.lives.past(18, None, 9) == []
