"""An account that is watched: a line for files, and a screen on which trouble stands first."""

import msgspec
import pytest

from sequencer.schema.accounts import AccountView, PositionView
from sequencer.schema.answers import Sequenced, Status
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.commands.seen.watcher import Seen
from sequencer.wallet.commands.seen.watching import health, line, screen
from sequencer.wallet.trust import ListedMarket
from tests.sequencer.answers import answer
from tests.sequencer.wallet.commands.drawn import drawn

GRID = Grid([ListedMarket(0, "BTC", 5, 100, 450, 50_000)])
HELD = answer(PositionView, market="BTC", size_lots=-300, liquidation_price_ticks=None, deleveraging_rank=None)
VIEW = answer(
    AccountView,
    account=17,
    equity_micros=10_000_000,
    initial_micros=5_000_000,
    maintenance_micros=3_000_000,
    free_collateral_micros=4_000_000,
    margin_ratio_ppm=300_000,
    positions=[HELD],
    finality="sequenced",
)


def seen(**changes: object) -> Seen:
    """One look at the account."""
    status = answer(Status, now_ms=1_800_000_000_000, sequenced=answer(Sequenced, chunk=3))
    return Seen(msgspec.structs.replace(VIEW, **changes), status, [], None)


def test_a_line_has_what_a_log_of_an_account_needs() -> None:
    assert line(seen(), GRID) == (
        "2027-01-15 08:00:00 UTC  account 17  equity $10.00  margin ratio 30.00%  free $4.00  -0.003 BTC  0 open orders"
    )
    assert "30.00%; MARGIN CALL at 80%" in line(seen(margin_call_percent=80), GRID)
    assert "no position" in line(seen(positions=[]), GRID)


def test_a_margin_call_is_the_first_thing_on_the_screen() -> None:
    text = drawn(screen(seen(margin_call_percent=80), GRID, 100))
    assert text.startswith(" MARGIN CALL at 80%")
    assert "MARGIN CALL" not in drawn(screen(seen(), GRID, 100))
    assert "not proven yet" in text


@pytest.mark.parametrize(
    ("ratio", "full", "text"),
    [(0, 0, "0.00%"), (300_000, 30, "30.00%"), (2_000_000, 100, "200.00%"), (None, 100, "no equity")],
)
def test_the_bar_of_trouble_is_full_where_liquidation_begins(ratio: int | None, full: int, text: str) -> None:
    view = msgspec.structs.replace(VIEW, margin_ratio_ppm=ratio, equity_micros=0)
    (bar,) = health(view, 100)
    assert str(bar).count("█") == full
    assert str(bar).endswith(text)
    # The calls that are still ahead are marked.
    assert str(bar).count("|") == sum(percent >= full for percent in (50, 70, 80, 90))


def test_the_bar_of_the_pool_says_whose_it_is() -> None:
    _, bar, words = health(VIEW, 100)
    assert [str(bar).count(part) for part in "█▒·"] == [30, 20, 50]
    assert "stays $3.00" in str(words)
    assert "free $4.00" in str(words)
    # No place is lost where more is needed than there is.
    _, bar, _ = health(msgspec.structs.replace(VIEW, initial_micros=50_000_000), 100)
    assert [str(bar).count(part) for part in "█▒·"] == [30, 70, 0]
