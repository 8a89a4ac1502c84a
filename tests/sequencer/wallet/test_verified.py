"""What a wallet knows of its venue when the node is gone or proves nothing yet."""

from pathlib import Path
from typing import Any

import pytest

from l1_bridge.client.client import L1Client
from sequencer.client.client import NodeClient
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.schema.answers import Status
from sequencer.wallet.errors import L1Unreachable, NotYet, WrongChain
from sequencer.wallet.trust import Venue
from sequencer.wallet.verified import Verified, WalletOptions
from tests.sequencer.wallet.test_typed_data import VENUE


class Node(NodeClient):
    """Answers every question in one way."""

    def __init__(self, failure: Exception) -> None:
        super().__init__("http://node")
        self.failure = failure

    async def status(self) -> Status:
        raise self.failure

    async def globals(self) -> Any:
        raise self.failure

    async def proof(self, account: int) -> Any:
        raise self.failure

    async def withdrawal_proof(self, index: int) -> Any:
        raise self.failure


class Settled(Verified):
    """A venue that is settled already."""

    async def venue(self) -> Venue:
        return VENUE


NOT_READY = Rejected(-32_000, "NOT_READY", "no batch yet")
REFUSED = Rejected(-32_001, "NO_ACCOUNT", "there is none")
GONE = NodeUnreachable("gone")
# Nobody listens there, and nobody is asked.
L1 = L1Client("http://127.0.0.1:1")


def verified(kind: type[Verified], failure: Exception, directory: Path, **options: Any) -> Verified:
    """What is known with a node that fails in one way."""
    return kind(Node(failure), L1, directory, WalletOptions(**options))


@pytest.mark.trio
async def test_what_is_in_no_posted_batch_may_come_and_a_refusal_stays_one(tmp_path: Path) -> None:
    known = verified(Settled, NOT_READY, tmp_path)
    for question in (known.globals, lambda: known.account(17), lambda: known.withdrawal(3)):
        with pytest.raises(NotYet):
            await question()
    known = verified(Settled, REFUSED, tmp_path)
    for question in (known.globals, lambda: known.account(17), lambda: known.withdrawal(3)):
        with pytest.raises(Rejected, match="NO_ACCOUNT"):
            await question()


@pytest.mark.trio
async def test_without_a_node_the_rollup_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(NodeUnreachable, match="name the rollup with --rollup-address"):
        await verified(Verified, GONE, tmp_path).forced_venue()


@pytest.mark.trio
async def test_a_named_rollup_is_looked_for_on_l1_alone(tmp_path: Path) -> None:
    told: list[str] = []
    known = verified(Verified, GONE, tmp_path, expected_rollup=VENUE.rollup, warn=told.append)
    with pytest.raises(L1Unreachable):
        await known.forced_venue()
    assert told == ["the node is no help (gone): L1 alone has to do"]


@pytest.mark.trio
async def test_a_wrong_chain_is_no_silent_node(tmp_path: Path) -> None:
    known = verified(Verified, WrongChain("another"), tmp_path, expected_rollup=VENUE.rollup)
    with pytest.raises(WrongChain, match="another"):
        await known.forced_venue()
