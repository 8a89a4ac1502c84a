"""What a sequencer signed for a process that trades all the time: kept off the orders' way, or said to be lost."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing

from prover.stf import constants, containers
from sequencer.schema.answers import AcknowledgementView, FillView, OrderResult, ReceiptView
from sequencer.wallet.errors import BrokenReceipt, L1Unreachable, WalletError
from sequencer.wallet.record import AcknowledgementRecord, KeptAcknowledgement, KeptReceipt, ReceiptRecord
from sequencer.wallet.word import keeping
from sequencer.wallet.word.keeping import Keeping
from sequencer.wallet.word.promises import Given, taken_lots
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.answers import answer
from tests.sequencer.wallet.word.test_promises import given as promise

RECEIPT = answer(ReceiptView)
PROMISE = promise()


class Seat:
    """The bridge as both are held to it; L1 answers once a test lets it."""

    def __init__(self, directory: Path) -> None:
        self.asked: list[int] = []
        self.given: list[Given] = []
        self.answers = trio.Event()
        # So many looks find L1 away; in so many of them nobody can say of slot 13.
        self.away = 0
        self.unsure = 0
        self.looked_at: list[float] = []
        self.record = AcknowledgementRecord(directory / "acknowledged")
        self.head = 76

    async def _look(self, count: int) -> None:
        self.asked.append(count)
        self.looked_at.append(trio.current_time())
        await self.answers.wait()
        if self.away:
            self.away -= 1
            raise L1Unreachable("away")

    def said(self, slots: list[int]) -> list[bool]:
        """Of whom nobody can say, in one look more."""
        open_ones = [slot == 13 and self.unsure > 0 for slot in slots]
        self.unsure -= any(open_ones)
        return open_ones

    async def words_on(self, venue: Any, cancels: Any, now_ms: int) -> list[KeptReceipt | WalletError]:
        await self._look(len(cancels))
        unsaid = self.said([message.slot for message, _ in cancels])
        return [
            L1Unreachable("unsure")
            if is_unsaid
            else answer(KeptReceipt, slot=message.slot)
            if given
            else BrokenReceipt("none")
            for (message, given), is_unsaid in zip(cancels, unsaid, strict=True)
        ]

    async def first_block(self, venue: Any) -> int:
        return self.head


class Promised:
    """The same seat, as acknowledgements are held to it."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self.record = seat.record
        self.first_block = seat.first_block

    async def words_on(self, venue: Any, all_given: list[Given]) -> list[KeptAcknowledgement | WalletError]:
        await self._seat._look(len(all_given))
        unsaid = self._seat.said([each.expected.slot for each in all_given])
        return [
            L1Unreachable("unsure")
            if is_unsaid
            else BrokenReceipt("none")
            if each.given is None
            else KeptAcknowledgement(
                1, "", "", each.block, msgspec.structs.replace(each.given, slot=each.expected.slot)
            )
            for each, is_unsaid in zip(all_given, unsaid, strict=True)
        ]


class Scene:
    """A process that keeps, a seat, and what the log says was lost."""

    def __init__(self, directory: Path) -> None:
        self.seat = Seat(directory)
        self.receipts = ReceiptRecord(directory / "receipts")
        self.lost: list[str] = []
        self.waits: list[tuple[int, int]] = []
        log = SimpleNamespace(
            error=lambda event, *, why, **named: self.lost.append(why),
            warning=lambda event, *, waiting, pause_seconds, why: self.waits.append((waiting, pause_seconds)),
        )
        venue = SimpleNamespace(block=5)
        promised = Promised(self.seat)
        self.keeping = Keeping(
            cast(Any, venue), cast(Any, self.seat), self.receipts, cast(Any, promised), cast(Any, log)
        )

    def cancel(self, slot: int, given: ReceiptView | None = RECEIPT) -> None:
        """A receipt comes."""
        self.keeping.cancelled(containers.Request(17, slot, 1, 1, 2), given)

    def order(self, slot: int, given: AcknowledgementView | None = PROMISE) -> None:
        """An acknowledgement comes."""
        result = answer(OrderResult, acknowledgement=given)
        self.keeping.ordered(17, slot, 9, result, self.keeping.block)

    def play(self, come: Callable[[int], None], count: int) -> list[str]:
        """So many come, one after the other, before L1 answers; the names of those that are kept or lost then.

        Seconds pass in which all wait for them alone.
        """
        clock = trio.testing.MockClock()

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.keeping.run)
                for slot in range(count):
                    come(slot)
                    await trio.testing.wait_all_tasks_blocked()
                self.seat.answers.set()
                ends_at = time.monotonic() + PATIENCE_SECONDS
                while len(self.receipts.read()) + len(self.seat.record.read()) + len(self.lost) < count:
                    assert time.monotonic() < ends_at, "neither kept nor lost"
                    await trio.testing.wait_all_tasks_blocked(0.001)
                    clock.jump(0.5)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

        trio.run(main, clock=clock)
        return self.lost


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """One."""
    return Scene(tmp_path)


def test_what_comes_while_l1_is_asked_shares_the_next_look(scene: Scene) -> None:
    assert scene.play(scene.cancel, 5) == []
    assert (scene.seat.asked, [one.slot for one in scene.receipts.read()]) == ([1, 4], [0, 1, 2, 3, 4])


def test_acknowledgements_are_kept_with_the_block_that_was_before_them(scene: Scene) -> None:
    assert scene.play(scene.order, 3) == []
    kept = scene.seat.record.read()
    assert (scene.seat.asked, [one.given.slot for one in kept]) == ([1, 2], [0, 1, 2])
    # L1 was asked behind them: what is sent from here on stands in no earlier block.
    assert ({one.block for one in kept}, scene.keeping.block) == ({5}, 76)


@pytest.mark.parametrize("kind", ["cancel", "order"])
def test_what_is_no_word_of_the_seat_is_said_aloud(scene: Scene, kind: str) -> None:
    come: Callable[[int, None], None] = getattr(scene, kind)
    assert scene.play(lambda slot: come(slot, None), 3) == ["none"] * 3


def test_what_l1_does_not_answer_is_asked_again_until_it_does(scene: Scene) -> None:
    """Both kinds; of an outage that lasts no second look is closer than the one before it, and none a minute away."""
    scene.seat.away = 2 * 9
    assert scene.play(lambda slot: scene.order(slot) if slot % 2 else scene.cancel(slot), 3) == []
    assert [one.slot for one in scene.receipts.read()] == [0, 2]
    assert [one.given.slot for one in scene.seat.record.read()] == [1]
    assert scene.waits == [(3, pause) for pause in (1, 2, 4, 8, 16, 32, 60, 60, 60)]
    looks = scene.seat.looked_at[::2]
    paused = [after - before for before, after in pairwise(looks)]
    assert all(pause <= took <= pause + 1 for (_, pause), took in zip(scene.waits, paused, strict=True)), paused


@pytest.mark.parametrize("kind", ["cancel", "order"])
def test_of_whom_l1_cannot_say_yet_is_asked_again_and_nobody_waits_for_it(scene: Scene, kind: str) -> None:
    come: Callable[[int], None] = getattr(scene, kind)
    scene.seat.unsure = 2
    assert scene.play(lambda slot: come(13 if slot == 0 else slot), 3) == []
    slots = {"cancel": lambda: [one.slot for one in scene.receipts.read()],
             "order": lambda: [one.given.slot for one in scene.seat.record.read()]}[kind]()  # fmt: skip
    assert slots == [1, 2, 13]
    # Of two looks that did not say of 13, the second one had the others with it.
    assert scene.waits == [(3, 1), (1, 2)]


def test_what_cannot_be_written_is_written_later(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    full = iter([WalletError("no space"), WalletError("no space")])
    append = scene.receipts.append

    def appended(entries: Any) -> None:
        for error in full:
            raise error
        append(entries)

    monkeypatch.setattr(scene.receipts, "append", appended)
    assert scene.play(lambda slot: scene.order(slot) if slot else scene.cancel(slot), 2) == []
    # What can be written does not wait for what cannot.
    assert scene.waits == [(1, 1), (1, 2)]
    assert (len(scene.receipts.read()), len(scene.seat.record.read())) == (1, 1)


def test_what_still_waits_at_the_end_is_said_aloud(scene: Scene) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.keeping.run)
            scene.cancel(1)
            scene.order(2)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert scene.lost == ["L1 had not answered when it was ended"] * 2
    assert (scene.receipts.read(), scene.seat.record.read()) == ([], [])


def test_what_waits_for_l1_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_WAITING", 2)
    assert scene.play(scene.order, 5) == ["2 wait for L1 already"] * 3
    assert [one.given.slot for one in scene.seat.record.read()] == [0, 1]


def test_what_an_order_took_at_its_arrival_is_told_from_what_came_later() -> None:
    given = answer(AcknowledgementView, tag=constants.ORDER, time_ms=100)

    def fill(lots: int, time_ms: int, **sides: str) -> FillView:
        return answer(FillView, size_lots=lots, time_ms=time_ms, **sides)

    own = "0x" + "1" * 20
    fills = [
        fill(5, 90, taker_order_id=own),
        fill(7, 100, maker_order_id=own),
        fill(11, 101, taker_order_id=own),
    ]
    result = answer(OrderResult, order_id=own, filled_lots=23, fills=fills, acknowledgement=given)
    assert taken_lots(result) == 5
    # Fills that are not shown are believed to be of its arrival.
    assert taken_lots(msgspec.structs.replace(result, fills=[])) == 23
