"""Keys that are shown to a real node which keeps accounts private: by the client, its feeds and the wallet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from prover.stf import constants
from sequencer.agent.alerts import Alerts
from sequencer.agent.config import Config, TopUp
from sequencer.agent.hand import Hand
from sequencer.agent.journal import Journal
from sequencer.agent.rounds import Round
from sequencer.client.access import Confidant, Identity, hidden_account
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.delivery import delivered
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.client.feeds import Away, Feeds, Gap, Opened, Told
from sequencer.client.socket import Cut, Socket
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.access import ChallengeView
from sequencer.wallet.keys import keystore_path, open_keystore
from sequencer.wallet.verified import Verified, WalletOptions
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Node, funded, node_inside, still_prices
from tests.sequencer.wallet_node import trader_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose prices stand still, and which keeps accounts private."""
    directory: Path = tmp_path_factory.mktemp("private") / "node"
    options = ("--no-oracle", "--private-channels")
    with node_inside(directory, *options) as node, still_prices(node.url, node.domain):
        yield node


@pytest.fixture(scope="module")
def accounts(node: Node) -> list[SigningAccount]:
    """Two that have money."""
    found = [SigningAccount(bytes([byte]) * 32, node.domain, wall_clock_ms) for byte in (0x78, 0x79)]
    trio.run(funded, node, found, 1_000 * 10**6)
    return found


def within(run: Any, *given: Any) -> Any:
    async def main() -> Any:
        with trio.fail_after(PATIENCE_SECONDS):
            return await run(*given)

    return trio.run(main)


def test_a_client_shows_its_key_by_itself_and_only_where_it_is_asked(
    node: Node, accounts: list[SigningAccount]
) -> None:
    asked: list[int] = []
    own, other = accounts

    async def identify(account: int) -> Identity:
        asked.append(account)
        return await own.identify(account)

    async def main() -> None:
        async with NodeClient(node.url) as client:
            await client.markets()
            with pytest.raises(Rejected) as refusal:
                await client.account(own.account)
            assert (refusal.value.rejection, hidden_account(refusal.value)) == ("PRIVATE", own.account)
            client.identify = identify
            assert (await client.account(own.account)).account == own.account
            order = own.order(0, constants.BUY, 100, 590_000, 1)
            (placed,) = await delivered(client, [(*order, {"client_id": "mine"})])
            found = await client.fate(account=own.account, client_id="mine")
            assert (found.order_id, found.status) == (placed.order_id, "resting")
            assert [each.order_id for each in await client.open_orders(own.account)] == [placed.order_id]
            assert (await client.transfers(own.account)).transfers[0].kind == "deposit"
            with pytest.raises(Rejected, match="neither the owner's nor an agent's"):
                await client.account(other.account)
            # A connection that has ended meanwhile is made anew.
            assert client._confidant._socket is not None
            await client._confidant._socket._stream.aclose()
            assert (await client.account(own.account)).account == own.account

    within(main)
    assert set(asked) == {own.account, other.account}


def test_feeds_show_a_key_by_themselves(node: Node, accounts: list[SigningAccount]) -> None:
    own, other = accounts
    channels = ["prices", f"account:{own.account}", f"orders:{own.account}"]

    async def main() -> None:
        async with Feeds(node.url, channels, identify=own.identify, shake=lambda: 0.0) as feeds:
            opened = set()
            while opened != set(channels):
                frame = await anext(feeds)
                opened |= {frame.channel} if isinstance(frame, Opened) else set()
            async with NodeClient(node.url) as client:
                await delivered(client, [(*own.order(0, constants.BUY, 100, 590_000, 2), {})])
            await told(feeds, "orders:")
            # Behind a cut they show it again, and go on where they were.
            assert feeds._socket is not None
            await feeds._socket._stream.aclose()
            while not isinstance(await anext(feeds), Away):
                pass
            assert not [frame for frame in await told(feeds, "account:") if isinstance(frame, Away | Gap | Opened)]
        for listens in (Feeds(node.url, channels), Feeds(node.url, channels, identify=other.identify)):
            async with listens as feeds:
                with pytest.raises(Rejected, match="PRIVATE"):
                    await told(feeds, "account:")

    within(main)


async def told(feeds: Feeds, family: str) -> list[Any]:
    """Frames up to the next message of a family."""
    frames: list[Any] = []
    while not frames or not (isinstance(frames[-1], Told) and frames[-1].channel.startswith(family)):
        frames.append(await anext(feeds))
    return frames


def test_a_wallet_asks_for_the_password_where_accounts_are_private(node: Node, tmp_path: Path) -> None:
    shell = trader_of(node, tmp_path / "wallets")
    (seen,) = shell.json("positions")["accounts"]
    assert seen["account"] == int(shell.environment["CATENARY_WALLET_ACCOUNT"] or "")
    assert shell.run("orders").exit_code == 0
    refused = shell.run("positions", password=None, password_file=str(tmp_path / "nowhere"))
    assert refused.exit_code != 0
    assert "nowhere" in refused.stderr


def test_an_agent_looks_by_its_own_key_and_where_it_tops_up_by_its_owners(node: Node, tmp_path: Path) -> None:
    shell = trader_of(node, tmp_path / "wallets")
    account = int(shell.environment["CATENARY_WALLET_ACCOUNT"] or "")
    agent = shell.json("new", "--light-kdf", keystore="agent")["address"]
    shell.json("agent", "set", "--agent", agent, "--expires", "30d", "--first-slot", "0", "--last-slot", "99")
    password = shell.environment["CATENARY_WALLET_PASSWORD"] or ""
    keys = [open_keystore(keystore_path(shell.directory, name), password) for name in ("agent", "default")]
    top_up = TopUp(from_account=account, owner_keystore="default", at_percent=70, amount="1", most_a_day="2")
    config = Config(account=account, keystore="agent", journal="", top_up=top_up)

    async def main() -> None:
        async with NodeClient(node.url) as client, L1Client(node.l1_url) as l1:
            venue = await Verified(client, l1, shell.directory, WalletOptions()).venue()
            with Journal(tmp_path / "journal") as journal:
                hand = Hand(client, venue, account, keys[0], journal, wall_clock_ms)
                rounds = Round(config, journal, hand, Alerts([], []), keys[1], lambda name, line: None)
                await rounds.check(keys[0].address)
                await rounds.go()
                assert client.identify is not None
                signed = [(await client.identify(index)).sign(b"\x01" * 32) for index in (account, account + 1)]
                assert signed == [key.sign(b"\x01" * 32) for key in keys]

    within(main)


class Silent(Socket):
    """An end that says nothing, or goes."""

    def __init__(self, goes: bool) -> None:
        self._goes = goes

    async def send(self, text: str) -> None:
        """Whatever it is."""

    async def receive(self) -> str:
        if self._goes:
            raise Cut("it has ended the connection")
        await trio.sleep_forever()
        raise AssertionError


@pytest.mark.parametrize("goes", [True, False])
def test_without_an_answer_it_is_unreachable(accounts: list[SigningAccount], goes: bool) -> None:
    async def main() -> None:
        confidant = Confidant("http://127.0.0.1:1", 5.0)
        confidant._socket = Silent(goes)
        with pytest.raises(NodeUnreachable):
            await confidant.call(17, accounts[0].identify, "catenary_account", {"account": 17})
        assert confidant._socket is None

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("named", ["17", None, -1, 1 << 24, True])
def test_a_node_that_names_no_account_is_shown_nothing(named: object) -> None:
    assert hidden_account(Rejected(-32027, "PRIVATE", "", {"account": named})) is None
    assert hidden_account(Rejected(-32027, "PRIVATE", "", {"account": 17})) == 17
    assert hidden_account(Rejected(-32023, "UNKNOWN_ORDER", "", {"account": 17})) is None


def test_what_is_signed_names_the_node_that_was_asked() -> None:
    signed = []
    identity = Identity(b"\x01" * 32, lambda digest: signed.append(digest) or b"")  # type: ignore[func-returns-value]
    given = ChallengeView("0x" + "22" * 32, 5)
    shown = [
        identity.shown(url, 17, given) for url in ("http://venue.example:9545", "https://VENUE.example/", "http://x")
    ]
    assert [each["host"] for each in shown] == ["venue.example", "venue.example", "x"]
    assert signed[0] == signed[1] != signed[2]
