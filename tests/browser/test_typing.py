"""What is typed stays as it was typed, and what would come of it is told of the newest words alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from prover.stf.constants import SELL
from tests.browser.chromium import tab
from tests.browser.played import Played
from tests.browser.quoted import Quoted

INJECTED = Path(__file__).parent / "injected"
ASKED = "(count) => held.questions.length === count"
CARET = "(field) => [field.value, field.selectionStart, field.selectionEnd, document.activeElement === field]"

# Whether the page is told that nobody sees it.
HIDE = "((is) => Object.defineProperty(document, 'hidden', { configurable: true, get: () => is }))"


@pytest.fixture
def form(browser: Browser, still: Quoted) -> Iterator[Page]:
    """The order form of somebody with 1,000 dollars, for an order at the market."""
    with tab(browser, still.node.url) as found:
        Played(still.node, 1_000).enter(found)
        found.page.add_init_script(path=INJECTED / "held.js")
        found.page.goto("/#/trade/BTC")
        found.page.get_by_label("Type", exact=True).select_option("market")
        expect(found.page.locator(".slider")).to_contain_text("0.8")
        yield found.page


def lots(page: Page) -> list[int]:
    """The sizes that were asked about, in turn."""
    found: list[int] = page.evaluate("() => held.questions.map((one) => Number(one.operation.size_lots))")
    return found


def test_the_newest_words_win_whatever_comes_when(form: Page, still: Quoted) -> None:
    size = form.get_by_role("textbox", name="Size", exact=True)
    outlook = form.locator(".outlook")
    form.evaluate("() => { held.isHolding = true; }")
    size.press_sequentially("0.0345")
    # "0.0", "0.00" and the like are no size: the first question is of three hundredths.
    form.wait_for_function(ASKED, arg=1)
    size.press("ArrowLeft")
    size.press("ArrowLeft")
    before = size.evaluate(CARET)
    assert before == ["0.0345", 4, 4, True]

    # Sixty updates of the book while the answer is away, the last of them seen.
    for at in range(60):
        still.quote(0, SELL, 100, 600_200 - at, 50 + at % 30)
    expect(form.locator(".depth")).to_contain_text("60,014.1")
    assert size.evaluate(CARET) == before
    expect(outlook).to_have_attribute("aria-busy", "true")
    expect(outlook.locator(".will")).to_have_count(0)

    # The first answer is of what the form says no more: it is not shown, and the newest question alone is asked next.
    form.evaluate("() => held.release(0)")
    form.wait_for_function(ASKED, arg=2)
    assert lots(form) == [3_000, 3_450]
    expect(outlook.locator(".will")).to_have_count(0)
    assert size.evaluate(CARET) == before
    form.evaluate("() => held.release(1)")
    expect(outlook.locator(".fate")).to_contain_text("0.0345 filled")
    # An answer that comes again says nothing.
    form.evaluate("() => held.release(0)")
    expect(outlook.locator(".fate")).to_contain_text("0.0345 filled")
    assert size.evaluate(CARET) == before
    form.evaluate("() => { held.isHolding = false; }")


def test_another_side_takes_the_old_answer_away(form: Page) -> None:
    outlook = form.locator(".outlook")
    form.evaluate("() => { held.isHolding = true; }")
    form.get_by_role("textbox", name="Size", exact=True).fill("0.02")
    form.evaluate("() => held.release(0)")
    expect(outlook.locator(".fate")).to_contain_text("0.02 filled at 60,006.0")
    form.get_by_role("button", name="Sell", exact=True).click()
    expect(outlook.locator(".will")).to_have_count(0)

    # Its answer comes once the form is back on the other side.
    sold = form.evaluate("() => held.reach(1)")
    form.get_by_role("button", name="Buy", exact=True).click()
    form.evaluate("(at) => held.release(at)", sold)
    bought = form.evaluate("() => held.reach(0)")
    form.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(outlook.locator(".will")).to_have_count(0)
    form.evaluate("(at) => held.release(at)", bought)
    expect(outlook.locator(".fate")).to_contain_text("0.02 filled at 60,006.0")


def test_what_prices_make_of_a_form_is_asked_for_again_where_somebody_looks_alone(form: Page) -> None:
    form.get_by_role("textbox", name="Size", exact=True).fill("0.0345")
    asked = "(count) => held.questions.length > count"
    # Every tick is a reason to ask again.
    form.wait_for_function(asked, arg=1)
    unseen = form.evaluate(f"{HIDE}(true), held.questions.length")
    form.wait_for_timeout(3_000)
    assert form.evaluate("() => held.questions.length") == unseen
    form.evaluate(f"{HIDE}(false)")
    form.wait_for_function(asked, arg=unseen)
