"""What a stream says is held to itself and to L1, and what is kept of it is bounded."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from prover.state.store import MemoryStore
from prover.stf import codes, constants
from sequencer.engine.effects import Applied, Filled, Processed, Ticked
from sequencer.engine.money.touched import Behind
from sequencer.engine.records import Fill
from sequencer.history.lists import Lists
from sequencer.history.records import TRADES as TRADED
from sequencer.history.records import Kept, Trade
from sequencer.schema.answers import Book, MarketView
from sequencer.schema.subscriptions import Subscribed
from sequencer.schema.writing import to_wire as plain
from sequencer.soft import told
from sequencer.soft.told import MOST_FILLS, MOST_LEVELS, Message, Told, Untrue
from sequencer.views.books import fill_view
from sequencer.views.markets import market_views
from tests.sequencer.node_world import World

TRADES, BOOK, PRICES = "trades:BTC", "book:BTC", "prices"
GLOBALS = World(2).engine.globals
LEFT = Behind(0, 0, 0)


def to_wire(value: Any) -> Any:
    """As it comes out of JSON."""
    return msgspec.json.decode(msgspec.json.encode(plain(value)))


def fill(chunk: int, operation: int = 0, **changes: Any) -> Fill:
    """One of BTC."""
    usual: dict[str, Any] = {
        "market": 0, "price": 600_000, "size": 10, "maker": 17, "taker": 18, "maker_order": "0x" + "11" * 10,
        "taker_order": "0x" + "22" * 10, "maker_side": 0, "fee": 5, "time": 1, "maker_fee": 2, "chunk": chunk,
        "operation": operation,
    }  # fmt: skip
    return Fill(**{**usual, **changes})


class L1:
    """What a follower's engine shows of L1, and the stream beside it."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace(globals=GLOBALS, chunk_count=0)
        self.lists = Lists(MemoryStore())
        # Of what was before, nothing is kept.
        self.lists.append(TRADED, 0, Trade(0, 0, 0, fill(0)))
        self.lists.let_go(TRADED, 0, Kept(0, 1), 0, 1)
        self.told = Told(self.engine, self.lists)
        self.sequence = 0
        self.told.answered(TRADES, Subscribed(TRADES, "one", 0, [], []))

    def tell(self, *fills: Fill) -> None:
        """The next messages of the feed."""
        for one in fills:
            self.sequence += 1
            self.told.heard(Message(TRADES, "one", self.sequence, to_wire(fill_view(GLOBALS, one))))

    def post(self, chunk: int, *fills: Fill) -> None:
        """A chunk comes onto L1."""
        self.engine.chunk_count = chunk
        for one in fills:
            self.lists.append(TRADED, 0, Trade(one.time, one.operation, one.chunk, one))
        applied = Applied(operation_tag=0, code=codes.OK, account=None, accounts=[], chunk=chunk, operation=0)
        filled = [Filled(fill=one, maker_fee=0, taker_fee=one.fee, maker=LEFT, taker=LEFT) for one in fills]
        self.told.posted(Processed(code=codes.OK, effects=[applied, *filled], changed=True))

    @property
    def chunks(self) -> list[int]:
        """Of the fills that are not posted."""
        return [one.chunk for one in self.told.fills("BTC")]


@pytest.fixture
def l1() -> L1:
    return L1()


def test_what_is_told_stands_until_l1_holds_it(l1: L1) -> None:
    l1.tell(fill(1), fill(1, 1), fill(2), fill(4))
    assert l1.chunks == [1, 1, 2, 4]
    assert l1.told.fills("BTC", 2) == l1.told.fills("BTC")[2:]
    assert l1.told.fills("ETH") == []
    l1.post(1, fill(1), fill(1, 1))
    assert l1.chunks == [2, 4]
    l1.post(2, fill(2))
    l1.post(3)
    # Told behind its batch it is L1's already.
    l1.post(5, fill(4), fill(5))
    l1.tell(fill(5), fill(6))
    assert l1.chunks == [6]


def test_a_stream_may_begin_anywhere(l1: L1) -> None:
    l1.post(7, fill(6), fill(7))
    told = [to_wire(fill_view(GLOBALS, one)) for one in (fill(3), fill(6), fill(7), fill(8))]
    l1.told.answered(TRADES, Subscribed(TRADES, "two", 9, told, []))
    assert (l1.chunks, l1.told.since(TRADES)) == ([8], ("two", 9))
    l1.post(8, fill(8))
    assert l1.chunks == []


def test_a_rescue_is_told_and_no_batch_is_asked_for_it(l1: L1) -> None:
    l1.tell(fill(1, taker_order=""), fill(2))
    l1.post(1)
    l1.tell(fill(3, taker_order=""))
    assert l1.chunks == [2, 3]


@pytest.mark.parametrize(
    ("code", "posted", "told"),
    [
        ("NOT_POSTED", [fill(2)], []),
        ("NOT_POSTED", [fill(1, price=600_001), fill(2)], []),
        ("NOT_POSTED", [fill(1, taker=19), fill(2)], []),
        ("OMITTED", [fill(1), fill(1, 1), fill(2)], []),
    ],
)
def test_a_batch_that_holds_something_else(l1: L1, code: str, posted: list[Fill], told: list[Fill]) -> None:
    l1.tell(fill(1), fill(2))
    with pytest.raises(Untrue) as untrue:
        l1.post(2, *posted)
    assert untrue.value.code == code


def test_what_is_told_behind_its_batch(l1: L1) -> None:
    l1.tell(fill(1))
    l1.post(3, fill(1), fill(2), fill(3))
    with pytest.raises(Untrue) as untrue:
        l1.tell(fill(3))
    assert untrue.value.code == "OMITTED"
    other = L1()
    other.post(3, fill(1), fill(3))
    other.tell(fill(1))
    with pytest.raises(Untrue) as untrue:
        other.tell(fill(2))
    assert untrue.value.code == "NOT_POSTED"


def test_an_order_of_places_and_of_sequences(l1: L1) -> None:
    l1.tell(fill(2))
    with pytest.raises(Untrue) as untrue:
        l1.tell(fill(1))
    assert untrue.value.code == "OUT_OF_ORDER"
    for epoch, sequence in (("one", 4), ("one", 2), ("two", 3)):
        with pytest.raises(Untrue) as untrue:
            l1.told.heard(Message(TRADES, epoch, sequence, to_wire(fill_view(GLOBALS, fill(3)))))
        assert untrue.value.code == "GAP"
    with pytest.raises(Untrue) as untrue:
        l1.told.heard(Message("trades:NONE", "one", 3, None))
    assert untrue.value.code == "MISFIT"


def test_a_feed_goes_on_with_what_was_missed_or_says_so(l1: L1) -> None:
    l1.tell(fill(1))
    l1.told.cut()
    missed = [
        {"channel": TRADES, "epoch": "one", "sequence": number, "data": to_wire(fill_view(GLOBALS, fill(number)))}
        for number in (2, 3)
    ]
    l1.told.answered(TRADES, Subscribed(TRADES, "one", 3, None, missed))
    assert l1.chunks == [1, 2, 3]
    for epoch, sequence, updates in (("one", 5, []), ("two", 3, []), ("one", 4, missed)):
        with pytest.raises(Untrue) as untrue:
            l1.told.answered(TRADES, Subscribed(TRADES, epoch, sequence, None, updates))
        assert untrue.value.code == "GAP"
    with pytest.raises(Untrue) as untrue:
        l1.told.answered(BOOK, Subscribed(TRADES, "one", 3, [], []))
    assert untrue.value.code == "MISFIT"


@pytest.mark.parametrize(
    "changes",
    [{"price": -1}, {"size": 1 << 63}, {"chunk": 1 << 70}, {"fee": -(1 << 63)}, {"market": 1}, {"maker_order": "0x11"}],
)
def test_a_fill_that_is_none(l1: L1, changes: dict[str, Any]) -> None:
    with pytest.raises(Untrue) as untrue:
        l1.tell(fill(**{"chunk": 1, **changes}))
    assert untrue.value.code == "MISFIT"


def test_a_liar_cannot_make_it_grow(l1: L1) -> None:
    fills = [fill(1 + number // 100, number % 100) for number in range(MOST_FILLS + 500)]
    l1.tell(*fills)
    assert len(l1.told.fills("BTC")) == MOST_FILLS
    # What was let go of is L1's to tell, and no contradiction.
    l1.post(4, *(one for one in fills if one.chunk <= 4))
    l1.post(6, *(one for one in fills if 4 < one.chunk <= 6))
    assert l1.told.fills("BTC")[0].chunk == 7


def view(**changes: Any) -> list[MarketView]:
    """The markets, with another first one."""
    first, *others = market_views(GLOBALS)
    return [msgspec.structs.replace(first, **changes), *others]


def test_prices_are_those_of_their_tick(l1: L1) -> None:
    told = l1.told
    told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(view()), []))
    assert told.markets == market_views(GLOBALS)
    time, price = view()[0].tick_time_ms, view()[0].price_ticks
    later = [msgspec.structs.replace(one, tick_time_ms=time + 5_000, price_ticks=price + 1) for one in view()]
    told.heard(Message(PRICES, "one", 1, to_wire(later)))
    l1.post(1)
    for code, lie in (("OUT_OF_ORDER", view()), ("MISFIT", [*later] * 20)):
        with pytest.raises(Untrue) as untrue:
            told.heard(Message(PRICES, "one", told.since(PRICES)[1] + 1, to_wire(lie)))
        assert untrue.value.code == code
    told.cut()
    assert told.markets == []


def test_a_price_that_l1_does_not_have(l1: L1) -> None:
    with pytest.raises(Untrue) as untrue:
        l1.told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(view(price_ticks=1)), []))
    assert untrue.value.code == "OTHER_PRICE"


STEP = constants.TICK_STEP


def at(steps: int, price: int) -> list[MarketView]:
    """The markets so many ticks behind the one at which L1 stands, at one price."""
    time = GLOBALS.tick_time + steps * STEP
    return [msgspec.structs.replace(one, tick_time_ms=time, price_ticks=price) for one in view()]


def ticked(steps: int, *prices: int) -> Ticked:
    """As L1 has that tick."""
    whole = [*prices, *[0] * (constants.MARKETS - len(prices))]
    return Ticked(time_ms=GLOBALS.tick_time + steps * STEP, markets=GLOBALS.market_count, prices=whole)


@pytest.fixture
def ticks(l1: L1) -> L1:
    """L1 at its tick, and a stream that has told the next three at prices of 101, 102 and 103."""
    l1.told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(view()), []))
    for steps in (1, 2, 3):
        l1.told.heard(Message(PRICES, "one", steps, to_wire(at(steps, 100 + steps))))
    return l1


@pytest.mark.parametrize(
    ("code", "posted"),
    [
        ("", [(1, 101), (2, 102), (3, 103)]),
        ("", [(1, 101)]),
        # Not the last one that a batch holds, nor the first.
        ("OTHER_PRICE", [(1, 101), (2, 99), (3, 103)]),
        ("OTHER_PRICE", [(1, 99), (2, 102), (3, 103)]),
        ("OTHER_PRICE", [(1, 101), (2, 102), (3, 104)]),
        # Told, and passed over on L1: it never was.
        ("NOT_POSTED", [(1, 101), (3, 103)]),
        ("NOT_POSTED", [(4, 104)]),
    ],
)
def test_every_tick_that_was_told_is_held_to_l1(ticks: L1, code: str, posted: list[tuple[int, int]]) -> None:
    effects = [ticked(steps, *[price] * GLOBALS.market_count) for steps, price in posted]
    outcome = Processed(code=codes.OK, effects=effects, changed=True)
    if not code:
        ticks.told.posted(outcome)
        assert [one.price_ticks for one in ticks.told.markets] == [103] * GLOBALS.market_count
        return
    with pytest.raises(Untrue) as untrue:
        ticks.told.posted(outcome)
    assert (untrue.value.code, untrue.value.is_by_l1) == (code, True)


@pytest.mark.parametrize(
    ("code", "steps", "price", "is_shown"),
    [
        ("", 2, 102, True),
        ("OTHER_PRICE", 2, 99, False),
        ("NOT_POSTED", 1, 101, False),
        # Before anything that is known of L1.
        ("", -1, 77, False),
    ],
)
def test_a_tick_that_is_told_behind_its_batch(l1: L1, code: str, steps: int, price: int, is_shown: bool) -> None:
    count = GLOBALS.market_count
    l1.engine.globals = msgspec.structs.replace(GLOBALS, tick_time=GLOBALS.tick_time + 3 * STEP)
    effects = [ticked(2, *[102] * count), ticked(3, *[103] * count)]
    l1.told.posted(Processed(code=codes.OK, effects=effects, changed=True))
    told = Subscribed(PRICES, "one", 0, to_wire(at(steps, price)), [])
    if code:
        with pytest.raises(Untrue) as untrue:
            l1.told.answered(PRICES, told)
        assert untrue.value.code == code
        return
    l1.told.answered(PRICES, told)
    assert bool(l1.told.markets) == is_shown


def test_a_market_that_is_listed_behind_a_tick_has_no_price_in_it(ticks: L1) -> None:
    """What it was told with is the price of its listing, which L1 has later."""
    lacking = ticked(1, *[101] * (GLOBALS.market_count - 1))
    ticks.told.posted(Processed(code=codes.OK, effects=[lacking], changed=True))
    assert ticks.told.markets


def test_what_is_known_of_ticks_is_bounded(l1: L1) -> None:
    for steps in range(1, 1_100):
        l1.told.posted(Processed(code=codes.OK, effects=[ticked(steps, 1)], changed=True))
    assert len(l1.told._posted_ticks) == 1_024


def test_a_market_that_is_left_out_of_its_tick(l1: L1) -> None:
    with pytest.raises(Untrue) as untrue:
        l1.told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(view()[:-1]), []))
    assert untrue.value.code == "OTHER_PRICE"


def test_of_one_tick_there_is_one_price(l1: L1) -> None:
    """Else a lie that was shown could be told away before L1 holds the tick."""
    told, time = l1.told, view()[0].tick_time_ms + 5_000
    later = [msgspec.structs.replace(one, tick_time_ms=time) for one in view()]
    told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(later), []))
    # A market that is listed meanwhile has no price in it; what is left out was told.
    told.heard(Message(PRICES, "one", 1, to_wire(later[:2])))
    told.heard(Message(PRICES, "one", 2, to_wire(later)))
    lie = msgspec.structs.replace(later[-1], price_ticks=later[-1].price_ticks + 1)
    with pytest.raises(Untrue) as untrue:
        told.heard(Message(PRICES, "one", 3, to_wire([*later[:-1], lie])))
    assert (untrue.value.code, untrue.value.is_by_l1) == ("TWO_PRICES", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "x" * 33},
        {"status": "x" * 33},
        {"posting_fee_micros": 1 << 64},
        {"initial_ppm": -(1 << 63)},
        {"fund_micros": 1 << 127},
    ],
)
def test_a_market_that_is_none(l1: L1, changes: dict[str, Any]) -> None:
    with pytest.raises(Untrue) as untrue:
        l1.told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(view(**changes)), []))
    assert (untrue.value.code, l1.told.markets) == ("MISFIT", [])


def test_a_market_whose_money_is_as_wide_as_the_law_has_it(l1: L1) -> None:
    l1.told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(view(interest_upper_micros=(1 << 104) - 1)), []))
    assert l1.told.markets[0].interest_upper_micros == (1 << 104) - 1


def test_what_is_quoted_of_a_lie_is_short_and_of_one_line(l1: L1) -> None:
    lie = to_wire(fill_view(GLOBALS, fill(1))) | {"taker_side": "\n" * 100_000}
    with pytest.raises(Untrue) as untrue:
        l1.told.heard(Message(TRADES, "one", 1, lie))
    assert untrue.value.code == "MISFIT"
    assert len(str(untrue.value)) < 500
    assert str(untrue.value).isprintable()


def test_old_fills_cost_no_look_at_all_that_l1_holds(l1: L1, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    place = told._posted_place
    monkeypatch.setattr(told, "_posted_place", lambda one: looked.append(1) or place(one))
    monkeypatch.setattr(told, "fill_view", lambda globals, one: looked.append(1) or fill_view(globals, one))
    held = [fill(1_000 + number) for number in range(1_000)]
    l1.post(1_999, *held)
    looked.clear()
    # Older than what is remembered, and then all of that.
    l1.tell(*(fill(1 + number) for number in range(100)), *held[:100])
    assert len(looked) < 200 * 40
    assert l1.chunks == []


def test_a_book_is_sorted_and_short(l1: L1) -> None:
    told, level = l1.told, (600_000, 5)
    told.answered(BOOK, Subscribed(BOOK, "one", 0, to_wire(Book("BTC", [level, (599_999, 1)], [(600_001, 1)])), []))
    assert told.book("BTC") is not None
    lies = [
        Book("ETH", [level], []),
        Book("BTC", [level, level], []),
        Book("BTC", [], [level, (599_999, 1)]),
        Book("BTC", [(600_000 - step, 1) for step in range(MOST_LEVELS + 1)], []),
        Book("BTC", [(600_000, -1)], []),
    ]
    for number, lie in enumerate(lies, start=1):
        with pytest.raises(Untrue) as untrue:
            told.heard(Message(BOOK, "one", number, to_wire(lie)))
        assert untrue.value.code == "MISFIT"
    told.cut()
    assert told.book("BTC") is None


def test_what_is_forgotten_begins_anew(l1: L1) -> None:
    l1.tell(fill(1))
    l1.told.forget()
    assert (l1.chunks, l1.told.since(TRADES), l1.told.book("BTC")) == ([], None, None)
    assert set(l1.told.channels()) >= {PRICES, TRADES, BOOK}
