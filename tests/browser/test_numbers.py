"""What the page costs: redraws a frame whatever arrives, and memory whatever has arrived."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Tab, tab
from tests.sequencer.node_process import Node

INJECTED: Final = Path(__file__).parent / "injected"
UPDATES: Final = 200_000
MOST_GROWTH: Final = 20 * 2**20


@pytest.fixture
def flooded(browser: Browser, venue: Node) -> Iterator[Tab]:
    """A page whose socket a test may speak through."""
    with tab(browser, venue.url) as found:
        for name in ("wire.js", "flood.js"):
            found.page.add_init_script(path=INJECTED / name)
        found.page.goto("/#/trade/BTC")
        expect(found.page.locator("#page")).to_contain_text("BTC")
        found.page.evaluate("() => wire.opened('book_deltas:')")
        yield found


def flood(found: Tab, updates: int, per_frame: int) -> dict[str, Any]:
    """Tells the page so much; how it went."""
    base = found.page.locator('script[type="module"]').get_attribute("src")
    assert base is not None
    asked = {"updates": updates, "perFrame": per_frame, "base": base.removesuffix("app.js"), "seed": updates}
    told: dict[str, Any] = found.page.evaluate("(asked) => flood(asked)", asked)
    return told


def heap(found: Tab) -> int:
    """Bytes that are in use once all is collected that may be."""
    session = found.page.context.new_cdp_session(found.page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return int(used)


def test_it_is_redrawn_once_a_frame_and_keeps_nothing_of_what_has_passed(flooded: Tab) -> None:
    # What is kept of lists is full, and what is compiled is compiled.
    assert flood(flooded, 20_000, 200)["most"] == 1
    before = heap(flooded)
    told = flood(flooded, UPDATES, 1_000)
    grown = heap(flooded) - before

    assert (told["most"], told["torn"]) == (1, 0)
    assert grown < MOST_GROWTH
