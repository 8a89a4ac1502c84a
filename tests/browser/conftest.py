"""One browser a run, one node a file; without a browser every test here is skipped, and says what would bring one."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sequencer.dashboard.libraries import LIBRARIES
from tests.browser.chromium import CHROMIUM, OPENED, Tab, browsing, tab
from tests.browser.quoted import Quoted, quoted
from tests.sequencer.node_process import Node, node_inside, some_l1

# A window that passes while a test looks on; a maker to trade with.
USUAL = ("--window", "3", "--seal-seconds", "0.2", "--post-interval", "0.5")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the pages of a failed test have said stands in its report."""
    report = yield
    if report.failed:
        told = [(one.page.url, "\n".join(one.told) or "nothing") for one in OPENED]
        report.sections += [(f"{url} has said", text) for url, text in told]
    if report.when == "teardown":
        OPENED.clear()
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER: `make browser` installs one; the page is not tried in any")
    if not LIBRARIES.is_dir():
        pytest.skip("the page's libraries are not installed: no npm")
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def venue(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A devnet's node, whose page may ask L1."""
    directory: Path = tmp_path_factory.mktemp("venue")
    with (
        some_l1(directory / "l1") as l1,
        node_inside(
            directory / "node", "--l1-rpc-url", l1.url, "--deploy", "--page-l1-url", l1.url, usual=USUAL
        ) as node,
    ):
        yield node


@pytest.fixture(scope="module")
def still(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quoted]:
    """A venue whose prices and quotes stand still."""
    with quoted(tmp_path_factory.mktemp("still")) as found:
        yield found


@pytest.fixture
def opened(browser: Browser, venue: Node) -> Iterator[Tab]:
    """A first visitor's page."""
    with tab(browser, venue.url) as found:
        yield found
