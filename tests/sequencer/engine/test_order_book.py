"""The book matches as a list sorted by price and arrival does, and refuses what would break it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.stf import constants
from prover.stf.containers import Order
from sequencer.engine.order_book import (
    HEAP_SLACK,
    Limits,
    OrderBook,
    Stop,
    TriggerBook,
    order_id,
)

MARKET = 3
ROOMY = Limits(orders=10_000, orders_of_account=255)
BUY, SELL = constants.BUY, constants.SELL


def order(**changes: int) -> Order:
    fields: dict[str, Any] = {
        "account": 17,
        "market": MARKET,
        "side": BUY,
        "size": 10,
        "limit_price": 100,
        "slot": 1,
        "sequence": 1,
        "created_at": 1_000,
        "expires_at": 5_000,
        "time_in_force": constants.GOOD_TILL_TIME,
        "post_only": 0,
        "reduce_only": 0,
        "trigger": constants.NO_TRIGGER,
        "trigger_price": 0,
        "max_fee_ppm": 1_000,
        "max_posting_fee": 100,
        "unused": 0,
    }
    return Order(**(fields | changes))


def book_of(*orders: Order) -> OrderBook:
    book = OrderBook(MARKET, ROOMY)
    for each in orders:
        book.add(each, each.size)
    return book


class NaiveBook:
    """A list; every question is answered by sorting and filtering it."""

    def __init__(self) -> None:
        self.entries: list[tuple[Order, int]] = []

    def side(self, side: int) -> list[tuple[Order, int]]:
        sign = -1 if side == BUY else 1
        return sorted((entry for entry in self.entries if entry[0].side == side), key=lambda e: sign * e[0].limit_price)

    def depth(self, side: int, levels: int) -> list[tuple[int, int]]:
        sums: dict[int, int] = {}
        for resting, remaining in self.side(side):
            sums[resting.limit_price] = sums.get(resting.limit_price, 0) + remaining
        return list(sums.items())[:levels]

    def crossing(self, taker: Order) -> list[tuple[Order, int]]:
        sign = 1 if taker.side == BUY else -1
        return [e for e in self.side(1 - taker.side) if sign * (taker.limit_price - e[0].limit_price) >= 0]

    def take(self, taker: Order, faulty: set[int]) -> tuple[list[tuple[Order, int]], int, Stop]:
        """Fills, lots left and why it stopped; makers of `faulty` accounts are removed on sight."""
        fills: list[tuple[Order, int]] = []
        left = taker.size
        for maker, remaining in self.crossing(taker):
            if left == 0:
                break
            if maker.account == taker.account:
                return fills, left, Stop.SELF_TRADE
            if taker.time_in_force == constants.FILL_OR_KILL and remaining < left:
                return fills, left, Stop.ALL_OR_NOTHING
            size = 0 if maker.account in faulty else min(left, remaining)
            at = next(i for i, entry in enumerate(self.entries) if entry[0] is maker)
            if size == 0 or size == remaining:
                del self.entries[at]
            else:
                self.entries[at] = (maker, remaining - size)
            if size:
                fills.append((maker, size))
                left -= size
        return fills, left, Stop.UNCROSSED if left else Stop.FILLED


def take(book: OrderBook, taker: Order, faulty: set[int]) -> tuple[list[tuple[Order, int]], int, Stop | None]:
    """What the engine does with a match when the law finds the makers of `faulty` accounts at fault."""
    fills: list[tuple[Order, int]] = []
    matching = book.match(taker, taker.size)
    for maker, size in matching:
        if maker.account in faulty:
            assert book.remove(maker.account, maker.slot) is maker
        else:
            book.filled(maker, size)
            fills.append((maker, size))
            assert matching.remaining == taker.size - sum(lots for _, lots in fills)
    return fills, matching.remaining, matching.stop


PLACED = st.fixed_dictionaries(
    {
        "account": st.integers(17, 21),
        "slot": st.integers(1, 4),
        "side": st.sampled_from((BUY, SELL)),
        "limit_price": st.integers(95, 105),
        "size": st.integers(1, 12),
        "time_in_force": st.sampled_from((0, 0, 0, 1, 2)),
        "expires_at": st.integers(0, 60),
        "faulty": st.sets(st.integers(17, 21), max_size=1),
    }
)
CANCELLED = st.tuples(st.integers(17, 21), st.integers(1, 4))
STEPS = st.lists(st.one_of(PLACED, PLACED, PLACED, CANCELLED, st.integers(0, 60)), max_size=60)


def assert_alike(book: OrderBook, naive: NaiveBook) -> None:
    assert book.resting() == naive.entries
    assert len(book) == len(naive.entries)
    for levels in (1, 3, 100):
        assert book.depth(levels) == (naive.depth(BUY, levels), naive.depth(SELL, levels))
    bids, asks = book.depth(1)
    assert not bids or not asks or bids[0][0] < asks[0][0]


@given(STEPS)
@settings(max_examples=250)
def test_matches_as_a_sorted_list_does(steps: list[Any]) -> None:
    book, naive = OrderBook(MARKET, ROOMY), NaiveBook()
    placed = filled = left = removed = 0
    for sequence, step in enumerate(steps):
        if isinstance(step, int):
            gone = book.expire(step, len(naive.entries))
            expected = [resting for resting, _ in naive.entries if resting.expires_at < step]
            assert gone == sorted(expected, key=lambda o: o.expires_at)
            removed += sum(remaining for resting, remaining in naive.entries if resting.expires_at < step)
            naive.entries = [entry for entry in naive.entries if entry[0].expires_at >= step]
        elif isinstance(step, tuple):
            held = [entry for entry in naive.entries if (entry[0].account, entry[0].slot) == step]
            assert book.remaining(*step) == sum(remaining for _, remaining in held)
            assert book.remove(*step) is (held[0][0] if held else None)
            removed += sum(remaining for _, remaining in held)
            naive.entries = [entry for entry in naive.entries if entry not in held]
        else:
            fields = dict(step)
            faulty = fields.pop("faulty")
            taker = order(sequence=sequence + 1, **fields)
            older = book.get(taker.account, taker.slot)
            if older is not None:
                removed += book.remaining(taker.account, taker.slot)
                book.remove(taker.account, taker.slot)
                naive.entries = [entry for entry in naive.entries if entry[0] is not older]
            assert book.would_cross(taker) == bool(naive.crossing(taker))
            before = sum(remaining for _, remaining in naive.entries)
            outcome = take(book, taker, faulty)
            assert outcome == naive.take(taker, faulty)
            fills, rest, stop = outcome
            took = sum(size for _, size in fills)
            assert took + rest == taker.size
            removed += before - took - sum(remaining for _, remaining in naive.entries)
            placed, filled = placed + taker.size, filled + 2 * took
            if stop is Stop.UNCROSSED and taker.time_in_force == constants.GOOD_TILL_TIME:
                book.add(taker, rest)
                naive.entries.append((taker, rest))
            else:
                removed += rest
        assert_alike(book, naive)
    left = sum(remaining for _, remaining in book.resting())
    assert placed == filled + left + removed


@given(STEPS)
@settings(max_examples=60)
def test_added_again_by_arrival_the_orders_make_the_same_book(steps: list[Any]) -> None:
    book = OrderBook(MARKET, ROOMY)
    for sequence, step in enumerate(steps):
        if isinstance(step, dict) and book.get(step["account"], step["slot"]) is None:
            taker = order(sequence=sequence + 1, **{k: v for k, v in step.items() if k != "faulty"})
            _, rest, stop = take(book, taker, step["faulty"])
            if stop is Stop.UNCROSSED and taker.time_in_force == constants.GOOD_TILL_TIME:
                book.add(taker, rest)
    again = OrderBook(MARKET, ROOMY)
    for resting, remaining in book.resting():
        again.add(resting, remaining)
    assert again.resting() == book.resting()
    for side in (BUY, SELL):
        sweep = order(account=99, side=side, size=2**40, limit_price=1_000 if side == BUY else 1)
        assert take(again, sweep, set()) == take(book, sweep, set())


def test_price_comes_before_time_and_time_before_size() -> None:
    early = order(account=20, side=SELL, limit_price=101, size=1)
    late = order(account=21, side=SELL, limit_price=101, size=50)
    cheap = order(account=22, side=SELL, limit_price=100, size=2)
    book = book_of(early, late, cheap)
    fills, rest, stop = take(book, order(limit_price=101, size=10), set())
    assert fills == [(cheap, 2), (early, 1), (late, 7)]
    assert (rest, stop) == (0, Stop.FILLED)
    assert book.depth(5) == ([], [(101, 43)])


def test_a_partly_filled_maker_keeps_its_place() -> None:
    first = order(account=20, side=SELL)
    second = order(account=21, side=SELL)
    book = book_of(first, second)
    assert take(book, order(size=4), set())[0] == [(first, 4)]
    assert take(book, order(size=8), set())[0] == [(first, 6), (second, 2)]


def test_nothing_changes_until_the_book_is_told() -> None:
    resting = order(account=20, side=SELL)
    book = book_of(resting)
    matching = book.match(order(size=4), 4)
    assert next(iter(matching)) == (resting, 4)
    assert book.resting() == [(resting, 10)]
    assert matching.remaining == 4
    assert matching.stop is None


def test_a_fill_smaller_than_proposed_is_proposed_again_until_the_maker_goes() -> None:
    reducing = order(account=20, side=SELL, size=10, reduce_only=1)
    behind = order(account=21, side=SELL, size=10)
    book = book_of(reducing, behind)
    sizes = []
    matching = book.match(order(size=12), 12)
    for maker, size in matching:
        sizes.append((maker.account, size))
        if maker is behind:
            book.filled(maker, size)
        elif len(sizes) == 1:
            book.filled(maker, 3)
        else:
            book.remove(maker.account, maker.slot)
    assert sizes == [(20, 10), (20, 7), (21, 9)]
    assert (matching.remaining, matching.stop) == (0, Stop.FILLED)


def test_who_is_passed_over_keeps_his_place_and_is_not_proposed_again() -> None:
    makers = [order(account=20 + place, side=SELL, limit_price=100 + place // 2, size=10) for place in range(5)]
    book = book_of(*makers)
    sizes = []
    matching = book.match(order(limit_price=101, size=30), 30)
    for maker, size in matching:
        sizes.append((maker.account, size))
        if maker in makers[:2] or len(sizes) == 4:
            matching.pass_over()
        elif maker is makers[2]:
            # Some of it first.
            book.filled(maker, 4)
        else:
            book.remove(maker.account, maker.slot)
    assert sizes == [(20, 10), (21, 10), (22, 10), (22, 6), (23, 10)]
    assert (matching.remaining, matching.stop) == (26, Stop.UNCROSSED)
    assert book.resting() == [(makers[0], 10), (makers[1], 10), (makers[2], 6), (makers[4], 10)]


def test_a_proposal_that_is_ignored_is_a_bug() -> None:
    proposals = iter(book_of(order(account=20, side=SELL)).match(order(), 10))
    next(proposals)
    with pytest.raises(AssertionError):
        next(proposals)


def test_own_order_stops_the_taker_and_keeps_its_place() -> None:
    better = order(account=20, side=SELL, limit_price=99, size=3)
    own = order(account=17, slot=2, side=SELL, limit_price=100)
    book = book_of(better, own)
    taker = order(size=8)
    assert take(book, taker, set()) == ([(better, 3)], 5, Stop.SELF_TRADE)
    assert book.resting() == [(own, 10)]
    assert book.would_cross(taker)


def test_another_account_of_the_owner_is_its_own_too() -> None:
    sibling = order(account=18, side=SELL)
    book = book_of(sibling)
    matching = book.match(order(), 10, lambda maker: maker.account in (17, 18))
    assert list(matching) == []
    assert (matching.stop, matching.remaining) == (Stop.SELF_TRADE, 10)
    matching = book.match(order(), 10, lambda maker: maker.account == 17)
    assert next(iter(matching)) == (sibling, 10)


@pytest.mark.parametrize(("size", "fills", "stop"), [(10, 1, Stop.FILLED), (11, 0, Stop.ALL_OR_NOTHING)])
def test_fill_or_kill_takes_one_maker_whole_or_nobody(size: int, fills: int, stop: Stop) -> None:
    book = book_of(order(account=20, side=SELL), order(account=21, side=SELL, size=100))
    outcome = take(book, order(size=size, time_in_force=constants.FILL_OR_KILL), set())
    assert len(outcome[0]) == fills
    assert outcome[2] is stop


@pytest.mark.parametrize(("price", "crosses"), [(99, False), (100, True), (101, True)])
def test_would_cross_at_the_other_side_s_price(price: int, crosses: bool) -> None:
    assert book_of(order(account=20, side=SELL)).would_cross(order(limit_price=price)) is crosses
    assert book_of(order(account=20, side=BUY)).would_cross(order(side=SELL, limit_price=200 - price)) is crosses


@pytest.mark.parametrize(
    "wrong",
    [
        order(market=MARKET + 1),
        order(side=SELL, account=18),
        order(time_in_force=constants.IMMEDIATE_OR_CANCEL, slot=2),
        order(sequence=2),
    ],
    ids=["market", "crossing", "immediate", "slot in use"],
)
def test_what_may_not_rest_is_a_bug(wrong: Order) -> None:
    book = book_of(order())
    with pytest.raises(AssertionError):
        book.add(wrong, wrong.size)
    assert book.resting() == [(order(), 10)]


def test_fills_of_strangers_and_of_too_many_lots_are_bugs() -> None:
    book = book_of(order())
    for maker, size in ((order(slot=2), 1), (order(sequence=2), 1), (order(), 11), (order(), 0)):
        with pytest.raises(AssertionError):
            book.filled(maker, size)
    assert book.depth(1) == ([(100, 10)], [])


def test_a_full_book_takes_nobody() -> None:
    book = OrderBook(MARKET, Limits(orders=2, orders_of_account=255))
    book.add(order(account=20), 10)
    assert book.has_room()
    book.add(order(account=21), 10)
    assert (book.has_room(), book.has_room(gone=1)) == (False, True)
    with pytest.raises(AssertionError, match="room is made"):
        book.add(order(account=22), 10)
    assert [resting.account for resting, _ in book.resting()] == [20, 21]
    book.remove(20, 1)
    book.add(order(account=22), 10)
    assert len(book) == 2


def test_the_order_with_the_least_behind_it_would_leave_first_and_of_equal_ones_the_newest() -> None:
    book = OrderBook(MARKET, ROOMY)
    assert book.least() is None
    for account, slot, behind in ((17, 1, 50), (17, 2, 25), (18, 1, 25), (19, 1, 30)):
        book.add(order(account=account, slot=slot), 10, behind)
    assert book.count_of(17) == 2
    for place in ((18, 1), (17, 2), (19, 1), (17, 1)):
        least = book.least()
        assert least is not None
        assert (least.order.account, least.order.slot) == place
        book.remove(*place)
    assert book.least() is None


def test_what_stands_behind_an_order_only_falls() -> None:
    book = OrderBook(MARKET, ROOMY)
    for account, slot, behind in ((17, 1, 100), (17, 2, 50), (18, 1, 60)):
        book.add(order(account=account, slot=slot), 10, behind)
    assert book.rate(17, 400) == []
    assert [(entry.order.slot, entry.behind) for entry in book.rate(17, 20)] == [(1, 10), (2, 10)]
    assert book.rate(99, 5) == []
    least = book.least()
    assert least is not None
    assert (least.order.account, least.order.slot) == (17, 2)
    # However often it falls, the heap holds few entries that are void.
    for money in range(19, 1, -1):
        book.rate(17, money)
    assert len(book._roster._backing._heap) <= 2 * len(book) + HEAP_SLACK + 1


def test_an_order_is_good_at_its_last_millisecond() -> None:
    resting = order(expires_at=5_000)
    book = book_of(resting)
    assert book.expire(5_000, 1) == []
    assert book.expire(5_001, 1) == [resting]
    assert (len(book), book.depth(1)) == (0, ([], []))


def test_so_many_expire_at_a_time_the_earliest_first() -> None:
    for book, resting in (
        (OrderBook(MARKET, ROOMY), [order(account=17 + n, expires_at=5_000 - n) for n in range(5)]),
        (TriggerBook(MARKET, ROOMY), [stop_order(70, True, account=17 + n, expires_at=5_000 - n) for n in range(5)]),
    ):
        for each in resting:
            book.add(each, each.size) if isinstance(book, OrderBook) else book.arm(each)
        assert [book.expire(5_000, 3), book.has_expired(5_000)] == [[resting[4], resting[3], resting[2]], True]
        assert [book.expire(5_000, 3), book.has_expired(5_000)] == [[resting[1]], False]
        assert (book.has_expired(5_001), book.expire(5_001, 0), len(book)) == (True, [], 1)


def test_orders_that_come_and_go_leave_nothing_behind() -> None:
    book, waiting = OrderBook(MARKET, ROOMY), TriggerBook(MARKET, ROOMY)
    for sequence in range(2_000):
        book.add(order(sequence=sequence), 10)
        book.remove(17, 1)
        waiting.arm(order(sequence=sequence, trigger=constants.TRIGGER_AT_OR_ABOVE, trigger_price=9))
        waiting.remove(17, 1)
    for agenda in (book._roster._expiries, waiting._roster._expiries, waiting._above):
        assert len(agenda._heap) <= HEAP_SLACK + 1
    assert book._bids.levels == {}
    assert book._roster._accounts == {}


def stop_order(price: int, above: bool, **changes: int) -> Order:
    trigger = constants.TRIGGER_AT_OR_ABOVE if above else constants.TRIGGER_AT_OR_BELOW
    return order(trigger=trigger, trigger_price=price, **changes)


def fired(book: TriggerBook, price: int) -> list[Order]:
    """The orders whose triggers a price reaches, as they are taken out one by one."""
    found: list[Order] = []
    while (order := book.due(price)) is not None:
        assert book.remove(order.account, order.slot) is order
        found.append(order)
    return found


@given(
    st.lists(st.tuples(st.integers(90, 110), st.booleans(), st.integers(0, 60)), max_size=40),
    st.lists(st.one_of(st.integers(85, 115), st.tuples(st.integers(0, 60)), st.sets(st.integers(0, 39))), max_size=20),
)
@settings(max_examples=150)
def test_triggers_fire_as_the_law_says_first_armed_first(armed: list[tuple[int, bool, int]], steps: list[Any]) -> None:
    book = TriggerBook(MARKET, ROOMY)
    waiting = [
        stop_order(price, above, account=17 + index, expires_at=expires_at)
        for index, (price, above, expires_at) in enumerate(armed)
    ]
    for each in waiting:
        book.arm(each)
    for step in steps:
        if isinstance(step, set):
            gone = [each for each in waiting if each.account - 17 in step]
            assert all(book.remove(each.account, each.slot) is each for each in gone)
        elif isinstance(step, tuple):
            gone = sorted((each for each in waiting if each.expires_at < step[0]), key=lambda o: o.expires_at)
            assert book.expire(step[0], len(waiting)) == gone
        else:
            gone = [
                each
                for each in waiting
                if (step >= each.trigger_price if each.trigger == 1 else step <= each.trigger_price)
            ]
            assert sorted(fired(book, step), key=waiting.index) == gone
        waiting = [each for each in waiting if each not in gone]
        assert book.waiting() == waiting
        assert len(book) == len(waiting)


def test_a_trigger_fires_once_and_at_its_price() -> None:
    book = TriggerBook(MARKET, ROOMY)
    rise, fall = stop_order(110, True, account=20), stop_order(90, False, account=21)
    book.arm(rise)
    book.arm(fall)
    assert fired(book, 109) == []
    assert fired(book, 91) == []
    assert fired(book, 110) == [rise]
    assert fired(book, 110) == []
    assert fired(book, 90) == [fall]


def test_the_nearest_trigger_is_reached_first_and_of_two_directions_the_first_armed() -> None:
    book = TriggerBook(MARKET, ROOMY)
    given = [(110, True), (105, True), (107, False), (120, False), (105, True)]
    stops = [stop_order(price, rises, account=20 + number) for number, (price, rises) in enumerate(given)]
    for stop in stops:
        book.arm(stop)
    # On the way down 120 was passed before 107.
    assert [stop.account - 20 for stop in fired(book, 107)] == [1, 3, 2, 4]
    assert book.due(107) is None
    assert book.waiting() == [stops[0]]


def test_a_slot_used_again_waits_with_the_new_trigger() -> None:
    book = TriggerBook(MARKET, ROOMY)
    book.arm(stop_order(110, True))
    assert book.remove(17, 1) == stop_order(110, True)
    assert book.remove(17, 1) is None
    newer = stop_order(120, True, sequence=2)
    book.arm(newer)
    assert fired(book, 115) == []
    assert book.get(17, 1) is newer
    assert book.orders_of(17) == [newer]
    assert fired(book, 120) == [newer]
    assert book.get(17, 1) is None


def test_a_full_trigger_book_takes_nobody() -> None:
    book = TriggerBook(MARKET, Limits(orders=1, orders_of_account=1))
    book.arm(stop_order(110, True), 7)
    assert not book.has_room()
    with pytest.raises(AssertionError, match="room is made"):
        book.arm(stop_order(110, True, account=18))
    least = book.least()
    assert least is not None
    assert least.behind == 7
    assert book.waiting() == [stop_order(110, True)]


@pytest.mark.parametrize("wrong", [order(), stop_order(110, True, market=MARKET + 1)], ids=["no trigger", "market"])
def test_what_may_not_wait_is_a_bug(wrong: Order) -> None:
    book = TriggerBook(MARKET, ROOMY)
    with pytest.raises(AssertionError):
        book.arm(wrong)
    assert len(book) == 0


@given(st.integers(0, 2**24 - 1), st.integers(0, 255), st.integers(0, 2**48 - 1))
def test_an_order_id_says_account_slot_and_sequence(account: int, slot: int, sequence: int) -> None:
    name = order_id(order(account=account, slot=slot, sequence=sequence))
    assert name == f"0x{account:06x}{slot:02x}{sequence:012x}"
