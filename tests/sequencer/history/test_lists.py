"""Lists: pages that no new row moves, cursors that are known for what they are, and an end at either side."""

from random import Random

import pytest

from prover.state.store import MemoryStore
from sequencer.history.lists import Asked, Cursor, CursorGone, CursorUnknown, Lists
from sequencer.history.records import HISTORY_KEY, SAMPLES, Kept, Sample

DAY = 86_400_000
OWNER = 17


class Listed:
    """A list over a store of its own, written now and then."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.lists = Lists(self.store)

    def add(self, *times: int) -> None:
        for time in times:
            self.lists.append(SAMPLES, OWNER, Sample(time, time * 3 + 1, 0, time, time))

    def write(self) -> None:
        self.store.write(self.lists.writes(), sync=False)

    def page(self, limit: int = 3, **asked: object) -> tuple[list[int], Cursor | None, Cursor | None]:
        page = self.lists.page(SAMPLES, OWNER, Asked(limit=limit, **asked))  # type: ignore[arg-type]
        return [row.time for row in page.rows], page.older, page.newer


@pytest.fixture
def listed() -> Listed:
    return Listed()


def test_the_newest_come_first_and_older_pages_are_not_moved_by_new_rows(listed: Listed) -> None:
    listed.add(*range(10, 18))
    times, older, newer = listed.page()
    assert times == [17, 16, 15]
    listed.add(18, 19)
    listed.write()
    listed.add(20)
    assert older is not None
    times, older, _ = listed.page(before=older)
    assert times == [14, 13, 12]
    times, older, _ = listed.page(before=older)
    assert (times, older) == ([11, 10], None)
    times, older, newest = listed.page(after=newer)
    assert (times, older) == ([18, 19, 20], None)
    assert listed.page(after=newest) == ([], None, newest)


def test_pages_of_times(listed: Listed) -> None:
    listed.add(10, 10, 20, 30, 30, 40)
    assert listed.page(9, from_ms=10, to_ms=30)[0] == [20, 10, 10]
    assert listed.page(9, from_ms=30)[0] == [40, 30, 30]
    assert listed.page(9, to_ms=10)[0] == []
    assert listed.page(9, from_ms=41) == ([], None, Cursor(5, 121))
    times, older, _ = listed.page(2, from_ms=20, to_ms=40)
    assert times == [30, 30]
    assert listed.page(9, before=older, from_ms=20)[0] == [20]


def test_an_empty_list_has_no_cursor(listed: Listed) -> None:
    assert listed.page() == ([], None, None)
    with pytest.raises(CursorUnknown):
        listed.page(after=Cursor(0, 1))


def test_a_cursor_of_another_history_is_known_as_such(listed: Listed) -> None:
    listed.add(10, 20)
    listed.write()
    for wrong in (Cursor(1, 31), Cursor(2, 61), Cursor(0, 0)):
        for side in ("before", "after"):
            with pytest.raises(CursorUnknown):
                listed.page(**{side: wrong})
    assert Cursor.of(str(Cursor(1, 61))) == Cursor(1, 61)
    for text in ("", "-", "1", "01-1", "1-g", "-1-1", "1-1-1", " 1-1", "1_0-1", "f" * 17 + "-1"):
        with pytest.raises(CursorUnknown):
            Cursor.of(text)


def test_rows_that_are_gone_are_a_gap_for_whoever_comes_after_them_and_an_end_for_who_goes_back(listed: Listed) -> None:
    listed.add(*range(10, 20))
    _, third, _ = listed.page(7)
    assert third == Cursor(3, 40)
    listed.write()
    assert listed.lists.let_go(SAMPLES, OWNER, Kept(6, 400), 0, 99) == 4
    listed.write()
    assert listed.page(9)[0] == list(range(19, 13, -1))
    assert listed.page(9, before=third) == ([], None, None)
    assert listed.page(9, after=third)[0] == list(range(14, 20))
    with pytest.raises(CursorGone):
        listed.page(after=Cursor(2, 37))
    assert sum(1 for _ in listed.store.iterate(HISTORY_KEY)) == 6


def test_what_is_old_goes_and_the_last_row_stays(listed: Listed) -> None:
    listed.add(0, DAY, 2 * DAY, 3 * DAY)
    assert listed.lists.let_go(SAMPLES, OWNER, Kept(99, 2), 4 * DAY, 99) == 2
    assert listed.page(9)[0] == [3 * DAY, 2 * DAY]
    assert listed.lists.let_go(SAMPLES, OWNER, Kept(99, 2), 40 * DAY, 99) == 1
    assert listed.page(9)[0] == [3 * DAY]


@pytest.mark.parametrize("seed", range(3))
def test_whoever_follows_misses_nothing_and_has_nothing_twice(listed: Listed, seed: int) -> None:
    random, time, seen = Random(seed), 0, list[int]()
    listed.add(0)
    _, _, cursor = listed.page(1)
    for _ in range(200):
        for _ in range(random.randrange(3)):
            time += 1
            listed.add(time)
        if random.random() < 0.3:
            listed.write()
        if random.random() < 0.2:
            listed.lists = Lists(listed.store) if not listed.lists._rows else listed.lists
        if random.random() < 0.5:
            times, _, cursor = listed.page(random.randrange(1, 4), after=cursor)
            seen += times
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 50


def test_memory_of_ends_is_bounded_and_the_store_has_them() -> None:
    store = MemoryStore()
    lists = Lists(store, remembered_ends=10)
    for owner in range(50):
        lists.append(SAMPLES, owner, Sample(owner, owner, 0, 1, 1))
        store.write(lists.writes(), sync=False)
    assert len(lists._ends) <= 11
    assert all(lists.ends(SAMPLES, owner) == (0, 1) for owner in range(50))
