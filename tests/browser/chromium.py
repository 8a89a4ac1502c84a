"""The machine's Chromium, driven by Playwright; a page remembers all that a browser complains of."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect, sync_playwright

from tests.patience import PATIENCE_SECONDS

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM: Final = next((found for found in map(shutil.which, NAMES) if found), None)
WIDE: Final = (1440, 900)
NARROW: Final = (390, 844)
# A node is looked at again.
_LOOK_MS: Final = 200
_WRONG: Final = ("error:", "warning:", "thrown:", "failed:")
# Of the test that runs: what they were told stands beside its failure.
OPENED: Final[list["Tab"]] = []
# No network but what a test serves, no graphics card; what a test reads of the heap is exact.
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-precise-memory-info",
    "--js-flags=--expose-gc",
)


class Tab:
    """A page. `told`: all that its console has said, that it threw, and that it was not given, in turn.

    `excused`: what a test brings about, as text that a complaint holds.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.told: list[str] = []
        self.excused: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", self._fail)
        page.on("requestfailed", self._miss)
        page.set_default_timeout(PATIENCE_SECONDS * 1_000)

    @property
    def complaints(self) -> list[str]:
        """What no page may say, but for what is excused."""
        wrong = [line for line in self.told if line.startswith(_WRONG)]
        return [line for line in wrong if not any(text in line for text in self.excused)]

    def _hear(self, message: ConsoleMessage) -> None:
        self.told.append(f"{message.type}: {message.text}")

    def _fail(self, error: Error) -> None:
        self.told.append(f"thrown: {error.stack or error.message}")

    def _miss(self, request: Request) -> None:
        # What is under way when a page is left is given up.
        kind = "left" if request.failure == "net::ERR_ABORTED" else "failed"
        self.told.append(f"{kind}: {request.method} {request.url} {request.failure}")


def until(page: Page, is_so: Callable[[], bool]) -> None:
    """Awaits what a node alone tells; a test that hangs ends."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < ends_at, "it never came"
        page.wait_for_timeout(_LOOK_MS)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without a window, ended at the end."""
    expect.set_options(timeout=PATIENCE_SECONDS * 1_000)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(
    browser: Browser, url: str, *, size: tuple[int, int] = WIDE, scheme: str = "dark", motion: str = "reduce"
) -> Iterator[Tab]:
    """A page of a profile of its own: nobody has been there before. It says nothing wrong, to its end."""
    context = browser.new_context(
        base_url=url,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="light" if scheme == "light" else "dark",
        reduced_motion="reduce" if motion == "reduce" else "no-preference",
        locale="en-US",
    )
    try:
        found = Tab(context.new_page())
        OPENED.append(found)
        yield found
        assert found.complaints == [], found.complaints
    finally:
        context.close()
