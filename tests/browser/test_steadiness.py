"""Nothing that is read jumps: while a view loads, while an order is filled, and under sixty updates a second."""

from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser

from prover.stf.constants import BUY, SELL
from tests.browser.chromium import NARROW, WIDE, tab
from tests.browser.played import Played
from tests.browser.test_views import VIEWS, show
from tests.sequencer.node_process import Node

INJECTED: Final = Path(__file__).parent / "injected"
# Cumulative layout shift, as browsers measure it; they call less than 0.1 good.
MOST_SHIFT: Final = 0.02
CASES: Final = tuple(product(VIEWS, (WIDE, NARROW)))
# Two a step, since a step waits for two frames.
FLOOD: Final[dict[str, Any]] = {"updates": 600, "perFrame": 2, "seed": 1}


@pytest.fixture(scope="module")
def trader(venue: Node) -> Played:
    """With a position."""
    found = Played(venue, 400)
    found.take(0, BUY, 200_000)
    return found


@pytest.mark.parametrize(("view", "size"), CASES, ids=[f"{view.partition('/')[0]}-{size[0]}" for view, size in CASES])
def test_nothing_jumps(browser: Browser, venue: Node, trader: Played, view: str, size: tuple[int, int]) -> None:
    with tab(browser, venue.url, size=size) as found:
        page = found.page
        trader.enter(found)
        for name in ("shifts.js", "wire.js", "flood.js"):
            page.add_init_script(path=INJECTED / name)
        show(found, view)
        page.evaluate("() => wire.opened('account:')")
        trader.take(1, SELL, 20_000)
        base = page.locator('script[type="module"]').get_attribute("src") or ""
        page.evaluate("(asked) => flood(asked)", {**FLOOD, "base": base.removesuffix("app.js")})

        shifts = page.evaluate("() => shifts")
        assert shifts["total"] < MOST_SHIFT, "\n".join(shifts["moved"])


def test_a_jump_would_be_found(browser: Browser, venue: Node) -> None:
    with tab(browser, venue.url) as found:
        found.page.add_init_script(path=INJECTED / "shifts.js")
        show(found, "learn")
        found.page.evaluate("() => document.querySelector('main').insertAdjacentHTML('beforebegin', '<hr>'.repeat(20))")
        found.page.wait_for_function("(most) => shifts.total > most", arg=MOST_SHIFT)
