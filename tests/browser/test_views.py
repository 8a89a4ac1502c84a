"""Every view for everybody: axe-core finds nothing serious, nothing runs out of the window or is scrolled sideways."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect

from prover.stf.constants import BUY, SELL
from tests.browser.chromium import NARROW, WIDE, Tab, tab
from tests.browser.played import Played
from tests.sequencer.node_process import ROOT, Node

AXE: Final = ROOT / "node_modules" / "axe-core" / "axe.min.js"
VIEWS: Final = ("trade/BTC", "pool", "rollup", "learn")
LOOKS: Final = tuple(product((WIDE, NARROW), ("dark", "light")))


@pytest.fixture(scope="module")
def trader(venue: Node) -> Played:
    """Two positions, one pool."""
    found = Played(venue, 200)
    found.take(0, BUY, 500_000)
    found.take(1, SELL, 400_000)
    return found


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0][0]}-{look[1]}")
def looked_at(request: pytest.FixtureRequest, browser: Browser, venue: Node, trader: Played) -> Iterator[Tab]:
    """The trader's page in one size and one scheme."""
    size, scheme = request.param
    with tab(browser, venue.url, size=size, scheme=scheme) as found:
        trader.enter(found)
        yield found


def show(found: Tab, view: str) -> None:
    """A view, once it has what it shows."""
    found.page.goto(f"/#/{view}")
    expect(found.page.locator("header.top")).to_contain_text("account")
    expect(found.page.locator("main").get_by_text("Waiting for the node")).to_have_count(0)
    expect(found.page.locator("main h2").first).to_be_attached()


def faults(found: Tab) -> list[str]:
    """What axe-core calls serious or critical, each with the first elements that it is about."""
    result: dict[str, Any] = found.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    worst = [one for one in result["violations"] if one["impact"] in ("serious", "critical")]
    return [
        f"{one['impact']} {one['id']}: {[(node['target'], node['html'][:120]) for node in one['nodes'][:4]]}"
        for one in worst
    ]


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: no npm")
def test_axe_finds_nothing_serious_and_nothing_runs_out_of_the_window(looked_at: Tab) -> None:
    looked_at.page.add_init_script(path=AXE)
    found: dict[str, list[str]] = {}
    for view in VIEWS:
        show(looked_at, view)
        found[view] = faults(looked_at)
        wide = looked_at.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        if wide[0] > wide[1]:
            found[view].append(f"{wide[0]} pixels wide in a window of {wide[1]}")

    assert found == {view: [] for view in VIEWS}


def sideways(found: Tab) -> list[str]:
    """What is wider than its place, in it or out of it, though a phone shows no more; tabs and markets may be many."""
    script = """() => [...document.querySelectorAll("main *")]
      .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible")
      .filter((one) => one.clientWidth > 1 && !one.matches(".tabs, .markets"))
      .map((one) => `${one.className} ${one.ariaLabel ?? ""}: ${one.scrollWidth} in ${one.clientWidth}`)"""
    told: list[str] = found.page.evaluate(script)
    return told


def test_nothing_has_to_be_scrolled_sideways_on_a_phone(browser: Browser, venue: Node, trader: Played) -> None:
    trader.rest(0, 40)
    with tab(browser, venue.url, size=NARROW) as phone:
        trader.enter(phone)
        found: dict[str, list[str]] = {}
        for view in VIEWS:
            show(phone, view)
            if view == "rollup":
                costs = phone.page.get_by_role("region", name="Table: Batches").locator("tbody tr").nth(1)
                expect(costs).to_contain_text(re.compile(r"0\.0\d+"))
            found[view] = sideways(phone)
        show(phone, "trade/BTC")
        for name in [one.inner_text() for one in phone.page.locator(".area-tables [role=tab]").all()]:
            phone.page.locator(".area-tables [role=tab]", has_text=name).click()
            expect(phone.page.locator(".area-tables")).not_to_contain_text("Asking the node")
            found[name] = sideways(phone)

        assert found == {name: [] for name in found}
        phone.page.evaluate(
            "() => document.querySelector('main .scroll').firstElementChild.style.setProperty('width', '900px')"
        )
        assert len(sideways(phone)) == 1, "what is too wide is found"


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: no npm")
def test_what_is_wrong_would_be_found(opened: Tab) -> None:
    opened.page.add_init_script(path=AXE)
    opened.page.goto("/#/learn")
    expect(opened.page.locator("main h2").first).to_be_attached()
    opened.page.evaluate("() => document.querySelector('main').append(document.createElement('button'))")

    (fault,) = faults(opened)
    assert fault.startswith("critical button-name")
