"""What each kind of task wants, by terms, progress, price and time."""

from typing import Any

import pytest

from prover.stf import constants
from sequencer.agent.config import Keep, Trail, Twap
from sequencer.agent.journal import Began, Progress, Signed
from sequencer.agent.plans import Over, Want, keep, percent, slice_target, trail, twap
from sequencer.schema.answers import MarketView
from sequencer.wallet.errors import BadInput, NotYet
from sequencer.wallet.trust import ListedMarket
from tests.sequencer.answers import answer

BTC = ListedMarket(0, "BTC", 5, 100, 450, 50_000)
START = 1_800_000_000_000
SLICES = Twap(name="in", market="BTC", slot=10, side="buy", size="0.01", slices=10, interval_seconds=60, slippage="1")
STOP = Trail(name="stop", market="BTC", slot=12, trail="2", step="0.1", slippage="5")


def seen(price: int, at: int = START) -> MarketView:
    """Bitcoin as the node shows it."""
    return answer(MarketView, name="BTC", price_ticks=price, tick_time_ms=at)


def begun(filled: int = 0, part: int = -1) -> Progress:
    """A task that began at the start."""
    progress = Progress()
    progress.began, progress.filled, progress.part = Began("in", "", START), filled, part
    return progress


def sliced(progress: Progress, minutes: int, price: int = 600_000) -> tuple[int, int] | str | None:
    """Lots and number of the slice that is wanted, or why there are no more."""
    at = START + minutes * 60_000
    found = twap(SLICES, BTC, seen(price, at), progress, at)
    if isinstance(found, Over):
        return found.why
    return None if found is None else (found.terms.size, found.part)


def test_slices_come_one_an_interval() -> None:
    assert sliced(begun(), 0) == (100, 0)
    assert sliced(begun(100, 0), 0) is None
    assert sliced(begun(100, 0), 1) == (100, 1)
    # What a slice has left over is asked for with the next.
    assert sliced(begun(130, 1), 2) == (170, 2)
    assert sliced(begun(900, 8), 9) == (100, 9)


def test_what_was_missed_is_caught_up_with_three_slices_at_most() -> None:
    assert sliced(begun(100, 0), 8) == (300, 8)


def test_it_ends_with_its_size_or_its_time() -> None:
    assert sliced(begun(1_000, 9), 9) == "filled"
    assert sliced(begun(700, 9), 10) == "its time is over with 300 lots left"


def test_a_slice_is_an_order_at_the_market() -> None:
    found = twap(SLICES, BTC, seen(600_000), begun(), START)
    assert isinstance(found, Want)
    terms = found.terms
    assert (terms.limit_price, terms.time_in_force, terms.slot) == (606_000, constants.IMMEDIATE_OR_CANCEL, 10)
    with pytest.raises(NotYet, match="old"):
        twap(SLICES, BTC, seen(600_000, START - 21_000), begun(), START)


@pytest.mark.parametrize("size", [1, 7, 1_000, 999_999])
@pytest.mark.parametrize("slices", [2, 3, 30])
def test_targets_rise_to_the_whole_size(size: int, slices: int) -> None:
    targets = [slice_target(size, slices, part) for part in range(slices)]
    assert targets == sorted(targets)
    assert targets[-1] == size


def test_what_is_left_of_an_order_is_kept() -> None:
    task = Keep(name="bid", market="BTC", slot=3, side="sell", size="0.01", price="61000.5", post_only=True)
    progress = begun(300)
    found = keep(task, BTC, progress)
    assert isinstance(found, Want)
    assert (found.terms.size, found.terms.limit_price, found.terms.lifetime_ms) == (700, 610_005, 3_600_000)
    assert keep(task, BTC, begun(1_000)) == Over("filled")


def standing(trigger: int, lots: int = 100, side: int = constants.SELL, **changes: Any) -> Progress:
    """A stop that stands."""
    fields = {
        "side": side, "size_lots": lots, "trigger_price_ticks": trigger, "slot": 12, "sequence": 1,
        "expires_at_ms": START + constants.STOP_LIFETIME, **changes,
    }  # fmt: skip
    progress = begun()
    progress.open = Signed("stop", "0x", fields, "", {})
    return progress


def trailed(progress: Progress, price: int, held: int = 100, at: int = START) -> tuple[int, int] | None:
    """Trigger and size of the stop that is wanted."""
    found = trail(STOP, BTC, seen(price), held, progress, at)
    return None if found is None else (found.terms.trigger_price, found.terms.size)


def test_a_stop_follows_the_price_and_never_comes_back() -> None:
    assert trailed(begun(), 600_000) == (588_000, 100)
    assert trailed(standing(588_000), 610_000) == (597_800, 100)
    assert trailed(standing(597_800), 600_000) is None
    # A step of less than a tenth of a percent is not signed.
    assert trailed(standing(588_000), 600_500) is None
    assert trailed(begun(), 600_000, held=-100) == (612_000, 100)
    short = standing(612_000, side=constants.BUY)
    assert trailed(short, 590_000, held=-100) == (601_800, 100)
    assert trailed(short, 620_000, held=-100) is None


def test_a_stop_is_signed_anew_for_another_size_side_or_time() -> None:
    # Where the price has fallen, at the trigger that it had.
    assert trailed(standing(597_800, lots=60), 600_000) == (597_800, 100)
    assert trailed(standing(597_800), 600_000, held=-100) == (612_000, 100)
    old = standing(597_800, expires_at_ms=START + constants.STOP_LIFETIME // 2)
    assert trailed(old, 600_000) == (597_800, 100)


def test_without_position_or_price_there_is_no_stop() -> None:
    assert trailed(begun(), 600_000, held=0) is None
    assert trailed(begun(), 0) is None
    assert trailed(begun(), 600_000, at=START + 21_000) is None


def test_a_stop_is_reduce_only_and_at_the_market() -> None:
    found = trail(STOP, BTC, seen(600_000), 100, begun(), START)
    assert found is not None
    terms = found.terms
    assert (terms.reduce_only, terms.trigger, terms.time_in_force) == (True, constants.TRIGGER_AT_OR_BELOW, 1)
    assert terms.limit_price == 558_600


@pytest.mark.parametrize("text", ["0", "100", "1e3", "-1"])
def test_a_percentage_is_one(text: str) -> None:
    assert percent("0.5%", "step") == 5_000
    with pytest.raises(BadInput):
        percent(text, "step")
