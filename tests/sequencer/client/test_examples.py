"""Every program of docs/examples, run as a reader would run it, against a real node."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from l1_bridge.client.keystore import encrypt
from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.accounts import AccountView
from sequencer.schema.writing import to_wire
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import PRICES, ROOT, Node, funded, node_inside, still_prices

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "docs" / "examples"
LINES = 100
KEY = b"\x61" * 32
MAKER_KEY = b"\x62" * 32


class World(msgspec.Struct, frozen=True):
    """A node, whose prices the test moves, an owner of two accounts, and a maker."""

    node: Node
    prices: list[int]
    owner: SigningAccount
    second: int
    maker: SigningAccount
    options: tuple[str, ...]

    def place(self, account: SigningAccount, side: int, lots: int, price: int, slot: int, force: int = 0) -> None:
        """One order of BTC that is taken."""
        fields, signature = account.order(0, side, lots, price, slot, force)
        self.node.client.call("catenary_order", order=to_wire(fields), signature="0x" + signature.hex())

    def seen(self) -> AccountView:
        """The owner's account, which the node shows to its owner alone."""

        async def main() -> AccountView:
            async with NodeClient(self.node.url) as client:
                client.identify = self.owner.identify
                return await client.account(self.owner.account)

        return trio.run(main)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With a keystore of the owner's key, as an operator has one; the node keeps accounts private."""
    directory = tmp_path_factory.mktemp("examples")
    prices = list(PRICES)
    options = ("--no-oracle", "--private-channels")
    with node_inside(directory / "node", *options) as node, still_prices(node.url, node.domain, prices):
        owner, maker = (SigningAccount(key, node.domain, wall_clock_ms) for key in (KEY, MAKER_KEY))
        trio.run(funded, node, [owner, maker, owner], 1_000 * 10**6)
        owned: list[int] = []
        while len(owned) < 2:
            owned = sorted(node.client.call("catenary_accounts", owner="0x" + owner.address.hex()))
        (directory / "key.json").write_bytes(msgspec.json.encode(encrypt(KEY, owner.address, "a password", 2**12)))
        (directory / "password").write_text("a password\n")
        options = ("--rollup-address", "0x" + node.rollup.hex(), "--chain-id", str(node.chain_id))
        options += ("--keystore", str(directory / "key.json"), "--password-file", str(directory / "password"))
        owner.account = owned[0]
        yield World(node, prices, owner, owned[1], maker, options)


@contextmanager
def running(world: World, name: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """An example as a process; it has to end by itself."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--node-url", world.node.url, *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def said(world: World, name: str, *options: str) -> list[str]:
    """What an example prints until its end."""
    with running(world, name, *options) as process:
        assert process.stdout is not None
        return process.stdout.read().splitlines()


def test_market_maker(world: World) -> None:
    lines = said(world, "market_maker", *world.options, "--account", str(world.owner.account), "--quotes", "2")
    bid, ask = f"bid {PRICES[0] - 300} resting", f"ask {PRICES[0] + 300} resting"
    assert lines == [bid, ask, bid, ask, "quotes taken back"]
    assert world.seen().open_orders == []


def test_taker(world: World) -> None:
    options = (*world.options, "--account", str(world.owner.account), "--below", "600100")
    world.place(world.maker, constants.SELL, 100, 600_050, 1)
    (line,) = said(world, "taker", *options)
    assert line.startswith("bought 100 lots for 60005000 micro-dollars")
    # The same purchase again asks first.
    world.place(world.maker, constants.SELL, 100, 600_050, 1)
    assert said(world, "taker", *options) == ["taker-1 is filled: 100 lots"]
    assert said(world, "taker", *options, "--name", "taker-2")[0].startswith("bought 100 lots")


def test_liquidation_watcher_and_transfer_guard(world: World) -> None:
    lots = next(power.buy_lots for power in world.seen().buying_power if power.market == "BTC") * 9 // 10
    moved = ("--account", str(world.owner.account), "--from-account", str(world.second))
    limits = ("--above-percent", "50", "--step-micros", "30000000", "--most-micros", "50000000")
    with (
        running(world, "liquidation_watcher", "--events", "1") as watcher,
        running(world, "transfer_guard", *world.options, *moved, *limits) as guard,
    ):
        world.place(world.maker, constants.SELL, lots, PRICES[0], 3)
        world.place(world.owner, constants.BUY, lots, PRICES[0], 3, constants.IMMEDIATE_OR_CANCEL)
        world.prices[0] = PRICES[0] * 995 // 1_000
        assert watcher.stdout is not None
        # The node keeps accounts private: whose call it is, his own channel says.
        assert watcher.stdout.readline() == "margin call: an account at 50%\n"
        assert guard.stdout is not None
        first, second = guard.stdout.readline(), guard.stdout.readline()
    assert first.startswith("moved 30000000 micro-dollars at")
    assert first.rstrip().endswith("20000000 may follow")
    assert second.startswith("moved 20000000 micro-dollars at")
    assert second.rstrip().endswith("0 may follow")


def test_an_example_can_be_read_at_a_glance() -> None:
    examples = sorted(EXAMPLES.glob("*.py"))
    assert [path.stem for path in examples] == ["liquidation_watcher", "market_maker", "taker", "transfer_guard"]
    assert [path.name for path in examples if len(Path(path).read_text().splitlines()) >= LINES] == []
