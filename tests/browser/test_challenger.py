"""A real challenger's verdicts beside each batch, and its silence said."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import tab
from tests.browser.conftest import USUAL
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import ROOT, Node, node_inside, some_l1


@contextmanager
def challenger(node: Node, port: int, datadir: Path) -> Iterator[None]:
    """One that watches, and tells its verdicts at a port."""
    rollup = "0x" + node.rollup.hex()
    flags = ("--l1-rpc-url", node.l1_url, "--rollup-address", rollup, "--datadir", str(datadir), "--watch", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "prover.cli.main", "challenger", *flags, "--monitor-port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = iter(process.stdout.readline, "")
        assert any('"monitored"' in line for line in said)
        yield
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()


@pytest.fixture(scope="module")
def watched(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, int]]:
    """A node that names a challenger, and the port at which it would be."""
    directory: Path = tmp_path_factory.mktemp("watched")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with some_l1(directory / "l1") as l1:
        url = f"http://127.0.0.1:{port}/"
        flags = ("--l1-rpc-url", l1.url, "--deploy", "--page-l1-url", l1.url, "--challenger-url", url)
        with node_inside(directory / "node", *flags, usual=USUAL) as node:
            yield node, port


def test_its_verdicts_stand_beside_the_batches_and_its_silence_is_said(
    browser: Browser, watched: tuple[Node, int], tmp_path: Path
) -> None:
    node, port = watched
    with tab(browser, node.url) as found:
        # A browser complains by itself of nobody at a port.
        found.excused = ["ERR_CONNECTION_REFUSED"]
        found.page.goto("/#/rollup")
        batches = found.page.get_by_role("region", name="Batches", exact=True)
        expect(batches).to_contain_text("The challenger is silent")
        with challenger(node, port, tmp_path / "challenger"):
            expect(batches.locator("td", has_text="✓ valid").first).to_be_visible()
            expect(batches).not_to_contain_text("silent")
        expect(batches).to_contain_text("The challenger is silent")
        expect(batches.locator("td", has_text="✓ valid").first).to_be_visible()
