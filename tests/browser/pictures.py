"""Pictures of every view, dark and light, in three widths: `python -m tests.browser.pictures DIRECTORY`.

To look at. Prints what a reader waits for: first paint, a keystroke until its preview is drawn, frames a second while a
book changes sixty times a second.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from playwright.sync_api import Browser, expect

from prover.stf.constants import BUY, SELL
from tests.browser.chromium import Tab, browsing, tab
from tests.browser.conftest import USUAL
from tests.browser.played import Played
from tests.sequencer.node_process import Node, node_inside, some_l1

INJECTED: Final = Path(__file__).parent / "injected"
VIEWS: Final = ("trade/BTC", "pool", "rollup", "learn")
SIZES: Final = ((1440, 900), (1024, 768), (390, 844))
SCHEMES: Final = ("dark", "light")
_ROUNDS: Final = 5


def show(found: Tab, view: str) -> None:
    """A view with what it shows."""
    found.page.goto(f"/#/{view}")
    expect(found.page.locator("main h2").first).to_be_attached()
    expect(found.page.locator("main").get_by_text("Waiting for the node")).to_have_count(0)


def take(browser: Browser, node: Node, trader: Played, directory: Path) -> int:
    """Every view; how many."""
    many = 0
    for size, scheme in product(SIZES, SCHEMES):
        with tab(browser, node.url, size=size, scheme=scheme) as found:
            trader.enter(found)
            for view in VIEWS:
                show(found, view)
                many += taken(found, directory, f"{view.partition('/')[0]}-{size[0]}-{scheme}")
    return many


def taken(found: Tab, directory: Path, name: str) -> int:
    """One more, once a chart has drawn its frames."""
    found.page.wait_for_timeout(1_000)
    found.page.screenshot(path=directory / f"{name}.png", full_page=True)
    return 1


def scenes(browser: Browser, node: Node, directory: Path) -> int:
    """What stands there at first, in trouble, with many orders and much money, and while the node is away; how many."""
    called, rich = Played(node, 100), Played(node, 900_000_000)
    called.take(0, BUY, 940_000)
    rich.take(0, BUY, 20)
    for slot in range(60, 120):
        rich.rest(slot % 3, slot)
    many = 0
    for size, scheme in ((SIZES[0], "dark"), (SIZES[-1], "light")):
        for name, trader, views, kept in (
            ("empty", None, VIEWS[:2], {}),
            ("call", called, VIEWS[:2], {}),
            ("rich", rich, VIEWS[:2], {"trade-table": "orders"}),
        ):
            with tab(browser, node.url, size=size, scheme=scheme) as found:
                if trader is not None:
                    trader.enter(found, **kept)
                for view in views:
                    show(found, view)
                    many += taken(found, directory, f"{name}-{view.partition('/')[0]}-{size[0]}-{scheme}")
        with tab(browser, node.url, size=size, scheme=scheme) as found:
            called.enter(found)
            found.excused = ["WebSocket"]
            found.page.add_init_script(path=INJECTED / "wire.js")
            show(found, VIEWS[0])
            found.page.evaluate("() => wire.cut()")
            expect(found.page.locator("header.top")).to_contain_text("node away")
            many += taken(found, directory, f"away-trade-{size[0]}-{scheme}")
    return many


def first_paint(browser: Browser, node: Node, trader: Played) -> float:
    """Milliseconds until there is something to see, of a browser that was never here: the median of some."""
    found: list[float] = []
    for _ in range(_ROUNDS):
        with tab(browser, node.url) as fresh:
            trader.enter(fresh)
            show(fresh, "trade/BTC")
            script = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found.append(fresh.page.evaluate(script))
    return round(median(found))


def preview(browser: Browser, node: Node, trader: Played) -> float:
    """Milliseconds from a keystroke in the order form to the frame in which its preview stands; the median."""
    with tab(browser, node.url) as found:
        trader.enter(found)
        found.page.add_init_script(path=INJECTED / "keystroke.js")
        show(found, "trade/BTC")
        size = found.page.get_by_role("textbox", name="Size", exact=True)
        found.page.get_by_role("button", name="Oracle", exact=True).click()
        size.fill("0.01")
        found.page.evaluate("() => wait.steady()")
        waited: list[float] = []
        for digit in "23432":
            size.press("Backspace")
            size.press(digit)
            waited.append(found.page.evaluate("() => wait.ended()"))
        return round(median(waited))


def frames(browser: Browser, node: Node, trader: Played) -> dict[str, Any]:
    """Frames a second while a book is told anew sixty times a second, and without."""
    with tab(browser, node.url) as found:
        trader.enter(found)
        for name in ("wire.js", "flood.js"):
            found.page.add_init_script(path=INJECTED / name)
        show(found, "trade/BTC")
        found.page.evaluate("() => wire.opened('book_deltas:')")
        base = found.page.locator('script[type="module"]').get_attribute("src") or ""
        asked = {"updates": 300, "perFrame": 1, "base": base.removesuffix("app.js"), "seed": 1}
        told = found.page.evaluate("(asked) => flood(asked)", asked)
        # Two frames are waited for around each update.
        return {"frames_per_second": round(2_000 * told["frames"] / told["ms"]), "redraws_a_frame": told["most"]}


def main() -> None:
    """Pictures into the directory, figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as place, some_l1(Path(place) / "l1") as l1:
        flags = ("--l1-rpc-url", l1.url, "--deploy", "--page-l1-url", l1.url)
        with node_inside(Path(place) / "node", *flags, usual=USUAL) as node, browsing() as browser:
            trader = Played(node, 200)
            trader.take(0, BUY, 500_000)
            trader.take(1, SELL, 400_000)
            many = take(browser, node, trader, directory) + scenes(browser, node, directory)
            figures: dict[str, Any] = {"pictures": many}
            figures["first_paint_ms"] = first_paint(browser, node, trader)
            figures["preview_ms"] = preview(browser, node, trader)
            figures |= frames(browser, node, trader)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
