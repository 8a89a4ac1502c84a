"""The machine's Chromium, driven by Playwright; a page remembers all that a browser complains of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

from tests.patience import PATIENCE_SECONDS

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM: Final = next((found for found in map(shutil.which, NAMES) if found), None)
WIDE: Final = (1440, 900)
NARROW: Final = (390, 844)
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
    """A page, and what its console has said."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", self._fail)
        page.set_default_timeout(PATIENCE_SECONDS * 1_000)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _fail(self, error: Error) -> None:
        self.complaints.append(f"thrown: {error.message}")


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
        yield found
        assert found.complaints == [], found.complaints
    finally:
        context.close()
