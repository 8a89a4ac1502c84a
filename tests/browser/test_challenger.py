"""A real challenger's verdicts beside each batch, its silence said, and a lie that is found, proven and rolled back."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from playwright.sync_api import Browser, expect

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec.batch import BridgeId
from prover.challenger.challenger import Challenger, Settings
from prover.history.history import ChainReplay
from prover.state.store import MemoryStore
from prover.stf.constants import BUY
from sequencer.demo.lying_sequencer import lie
from tests.browser.chromium import tab
from tests.browser.conftest import USUAL
from tests.browser.played import Played
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.runs import Recorder
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


# Longer than the test: a lie that nobody proves within it is the truth.
_WINDOW = ("--window", str(int(PATIENCE_SECONDS)))
_SEAT, _PROVER = 0, 3


def everything_posted(node: Node) -> None:
    """Until L1 holds all that was sequenced before the call."""
    sequenced = node.client.status()["sequenced"]["chunk"]
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while node.client.status()["posted"]["chunks"] < sequenced:
        assert time.monotonic() < ends_at, "it was never posted"
        time.sleep(0.1)


async def proven(l1_url: str, venue: BridgeId) -> None:
    """A challenger with a key has been there, up to L1's head."""
    async with L1Client(l1_url, L1Options(poll_seconds=0.1)) as client:
        settings = Settings(signer=development_key(_PROVER), poll_seconds=0.1)
        await Challenger(client, ChainReplay(MemoryStore(), venue), Recorder(), settings).run(True)


def test_a_lie_is_rolled_back_before_the_readers_eyes(browser: Browser, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with some_l1(tmp_path / "l1") as l1:
        with node_inside(tmp_path / "node", "--l1-rpc-url", l1.url, "--deploy", *_WINDOW, usual=USUAL) as honest:
            trader = Played(honest, 1_000)
            trader.take(0, BUY, 100_000)
            rollup = honest.rollup
            everything_posted(honest)
        flags = ("--l1-rpc-url", l1.url, "--rollup-address", "0x" + rollup.hex(), "--follow", "--page-l1-url", l1.url)
        flags += ("--challenger-url", f"http://127.0.0.1:{port}/")
        with node_inside(tmp_path / "reader", *flags, usual=USUAL) as reader, tab(browser, reader.url) as found:
            # The node that follows comes up anew where it meets a lie, and a browser complains of it by itself.
            found.excused = ["ERR_CONNECTION_REFUSED", "WebSocket connection to"]
            found.page.goto("/#/rollup")
            batches = found.page.get_by_role("region", name="Batches", exact=True)
            disputes = found.page.get_by_role("region", name="Disputes", exact=True)
            node = found.page.get_by_role("region", name="Node", exact=True)
            expect(disputes).to_contain_text("No batch of this venue has been proven wrong")
            with challenger(reader, port, tmp_path / "challenger"):
                number = trio.run(lie, l1.url, rollup, _SEAT, tmp_path / "liar")["batch"]
                first = found.page.locator(f'td:first-child:text-is("{number}")')
                bad = batches.locator("tbody tr").filter(has=first)
                expect(bad).to_contain_text("✗ fraud")
                expect(node).to_contain_text(f"Batch {number} on L1 does not replay")
                expect(disputes).to_contain_text("No batch of this venue has been proven wrong")

                trio.run(proven, l1.url, BridgeId(honest.chain_id, rollup))
                said = disputes.locator(".rolled-back li")
                expect(said).to_contain_text(f"Batch {number} was rolled back, proven wrong in L1 block")
                expect(said).to_contain_text("It alone is void: nothing stood on it.")
                expect(said).to_contain_text("The challenger: ✗ fraud, undone.")
                named = [said.locator(".mono").nth(at).get_attribute("title") or "" for at in (0, 1)]
                wanted = ["0x" + development_key(one).address.hex() for one in (_PROVER, _SEAT)]
                assert [one.lower() for one in named] == wanted
                expect(bad).to_have_count(0)
                expect(node).to_contain_text("✓ ready")
