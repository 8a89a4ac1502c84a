"""What a wallet knows of its venue when the node is gone or proves nothing yet."""

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from l1_bridge.client.client import L1Client
from prover.state import genesis
from prover.state.genesis import genesis_bytes
from prover.stf import encoding
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError, Misfit, NodeUnreachable, Rejected
from sequencer.schema.answers import Status
from sequencer.wallet.errors import BadProof, L1Unreachable, NotGenuine, NotYet, WrongChain
from sequencer.wallet.pin import PIN_FILE, RollupPin, introduction
from sequencer.wallet.trust import ProvenGlobals, Venue, VerdictCache
from sequencer.wallet.verified import Verified, WalletOptions
from tests.sequencer.wallet.test_typed_data import VENUE


class Node(NodeClient):
    """Answers every question in one way."""

    def __init__(self, failure: Exception) -> None:
        super().__init__("http://node")
        self.failure = failure

    async def status(self) -> Status:
        raise self.failure

    async def globals(self, final: bool = False) -> Any:
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


FAILURES = (
    GONE,
    Misfit("the answer does not fit"),
    Rejected(-32_603, "INTERNAL", "something broke"),
    WrongChain("the node serves chain 1"),
    NotGenuine("the node names another referee"),
    BadProof("the node's globals are not the committed ones"),
)


@pytest.mark.trio
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_an_unknown_rollup_has_to_be_named_whatever_a_node_says(tmp_path: Path, failure: ClientError) -> None:
    with pytest.raises(ClientError, match=f"{failure}: name the rollup with --rollup-address, and L1 is enough"):
        await verified(Verified, failure, tmp_path).forced_venue()


@pytest.mark.trio
async def test_without_an_l1_nothing_helps(tmp_path: Path) -> None:
    with pytest.raises(L1Unreachable, match=r"^the L1 is gone$"):
        await verified(Verified, L1Unreachable("the L1 is gone"), tmp_path).forced_venue()
    with pytest.raises(L1Unreachable):
        await verified(Verified, GONE, tmp_path, expected_rollup=VENUE.rollup).forced_venue()


class OnL1:
    """What stands on L1, whatever is asked for."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.asked: list[tuple[bytes, int | None]] = []

    async def __call__(self, l1: L1Client, rollup: bytes, cache: VerdictCache, pinned_chain: int | None) -> Venue:
        self.asked.append((rollup, pinned_chain))
        return self.venue


@pytest.mark.trio
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_a_rollup_that_is_named_or_pinned_is_looked_for_on_l1_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: ClientError
) -> None:
    found = OnL1(VENUE)
    monkeypatch.setattr("sequencer.wallet.verified.examine_alone", found)
    told: list[str] = []
    for options in ({"expected_rollup": VENUE.rollup}, {}):
        known = verified(Verified, failure, tmp_path, tell=told.append, warn=told.append, **options)
        assert await known.forced_venue() == await known.forced_venue() == VENUE
    assert found.asked == [(VENUE.rollup, None), (VENUE.rollup, VENUE.chain_id)]
    # The first use pins it, and the second needs no name. Nobody listed anything here: the node is not asked at all.
    assert told == introduction(VENUE, RollupPin(tmp_path / PIN_FILE))


@pytest.mark.trio
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_what_was_listed_since_genesis_needs_a_proof_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: ClientError
) -> None:
    governed = msgspec.structs.replace(VENUE, governor=b"\x13" * 20)
    monkeypatch.setattr("sequencer.wallet.verified.examine_alone", OnL1(governed))
    told: list[str] = []
    known = verified(Verified, failure, tmp_path, expected_rollup=VENUE.rollup, warn=told.append)
    assert await known.forced_venue() == governed
    assert told == [f"the node is no help ({failure}): markets listed since genesis have an index and no name"]


@pytest.mark.trio
async def test_a_pin_to_another_rollup_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RollupPin(tmp_path / PIN_FILE).admit(VENUE, is_named=False)
    forked = msgspec.structs.replace(VENUE.location, genesis_block_hash=b"\x09" * 32)
    monkeypatch.setattr(
        "sequencer.wallet.verified.examine_alone", OnL1(msgspec.structs.replace(VENUE, location=forked))
    )
    with pytest.raises(WrongChain, match="is pinned to rollup"):
        await verified(Verified, GONE, tmp_path).forced_venue()
    assert await verified(Verified, GONE, tmp_path, expected_rollup=VENUE.rollup).forced_venue()


class Governor(NodeClient):
    """Gives globals of one kind as posted, and of another as final; what is none is not ready."""

    def __init__(self, posted: ProvenGlobals | None, final: ProvenGlobals | None) -> None:
        super().__init__("http://node")
        self.given = {False: posted, True: final}

    async def globals(self, final: bool = False) -> Any:
        if self.given[final] is None:
            raise NOT_READY
        return self.given[final]


def proven(count: int, number: int, final_in: int, decimals: int = 3) -> ProvenGlobals:
    """Globals that list BTC, and a market of these decimals for each more."""
    globals = encoding.globals_from_bytes(genesis_bytes(VENUE.operator, list(VENUE.oracle_signers), 1))
    names = (genesis.label("BTC", 5), *(genesis.label(f"NEW{index}", decimals) for index in range(1, count)))
    for index, name in enumerate(names):
        globals.markets[index] = msgspec.structs.replace(globals.markets[0], label=name)
    globals.market_count = count
    return ProvenGlobals(number, globals, final_in)


@pytest.mark.trio
@pytest.mark.parametrize(
    ("posted", "final", "signed_for"),
    [
        (None, None, ["BTC"]),
        (proven(1, 9, 60), None, ["BTC"]),
        (proven(2, 9, 0), None, ["BTC", "NEW1"]),
        (proven(2, 9, 60), None, ["BTC"]),
        (proven(2, 9, 60), proven(1, 4, 0), ["BTC"]),
        (proven(2, 9, 60), proven(2, 4, 0), ["BTC", "NEW1"]),
        (proven(3, 9, 60), proven(2, 4, 0), ["BTC", "NEW1"]),
        # What is called final and is not.
        (proven(2, 9, 60), proven(2, 8, 30), ["BTC"]),
    ],
)
async def test_new_markets_come_from_final_batches_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    posted: ProvenGlobals | None,
    final: ProvenGlobals | None,
    signed_for: list[str],
) -> None:
    known = governed_by(tmp_path, monkeypatch, posted, final)
    venue = await known.forced_venue()
    assert [market.name for market in venue.markets if market.final_in == 0] == signed_for


def governed_by(
    directory: Path, monkeypatch: pytest.MonkeyPatch, posted: ProvenGlobals | None, final: ProvenGlobals | None
) -> Verified:
    """A wallet of a governed venue that stands on L1, and what its node proves."""

    async def as_given(l1: L1Client, venue: Venue, proof: Any) -> ProvenGlobals:
        return cast(ProvenGlobals, proof)

    governed = msgspec.structs.replace(VENUE, governor=b"\x13" * 20)
    monkeypatch.setattr("sequencer.wallet.verified.examine_alone", OnL1(governed))
    monkeypatch.setattr("sequencer.wallet.verified.prove_globals", as_given)
    return Verified(Governor(posted, final), L1, directory, WalletOptions(expected_rollup=VENUE.rollup))


@pytest.mark.trio
async def test_a_batch_that_changes_a_final_label_is_a_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    known = governed_by(tmp_path, monkeypatch, proven(2, 9, 60, decimals=2), proven(2, 4, 0))
    known._options = WalletOptions(expected_rollup=VENUE.rollup, warn=told.append)
    # A forced path goes on with what L1 alone knows.
    assert [market.name for market in (await known.forced_venue()).markets] == ["BTC"]
    assert "batch 9 on L1 changes the label of market 1, which was final as NEW1 of 3 decimals" in told[0]
