"""What a wallet signs when the node is hostile or gone: its own time, its own slot, recorded before it is sent."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.signing.signatures import compact
from prover.signing.typed_data import SIGNED
from prover.state.state import State, create
from prover.state.store import MemoryStore
from prover.stf import codes, constants, containers, encoding
from prover.stf.replay import Chunk
from sequencer.client.client import Fields, NodeClient
from sequencer.client.delivery import Placing
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.schema.accounts import AccountView, AgentView, OpenOrder, SlotHint
from sequencer.schema.answers import OrderResult, RequestResult
from sequencer.wallet.drafts import OrderTerms, RequestTerms
from sequencer.wallet.errors import BadInput, WalletError
from sequencer.wallet.keys import Key
from sequencer.wallet.record import Signed
from sequencer.wallet.trust import Venue
from sequencer.wallet.verified import WalletOptions
from sequencer.wallet.wallet import Wallet
from tests.sequencer.answers import answer
from tests.sequencer.wallet.test_trust import GENESIS
from tests.sequencer.wallet.test_typed_data import PRIVATE_KEY, VENUE

NOW = 1_800_000_000_000
KEY = Key(PRIVATE_KEY)
AGENT = Key(b"\x07" * 32)
ACCOUNT = 17
BUY = OrderTerms(market=0, side=constants.BUY, size=25_000, limit_price=600_005)


def account_view(**changes: Any) -> AccountView:
    """An account without positions and orders."""
    return answer(AccountView, **{"account": ACCOUNT, "owner": "0x" + KEY.address.hex(), **changes})


class LawNode(NodeClient):
    """A node that is nothing but the law: every submission becomes a chunk's operation on a state of its own."""

    def __init__(self) -> None:
        super().__init__("http://node")
        self.now = NOW
        self.state: State = create(MemoryStore(), VENUE.domain, GENESIS)
        deposit = containers.Deposit(b"\x55" * 20, KEY.address, constants.NEW_ACCOUNT, 5_000_000_000)
        self.apply(operations.deposit_bytes(deposit))
        self.view = account_view()
        self.failure: WalletError | None = None
        self.codes: list[int] = []
        self.submitted: list[Fields] = []

    def apply(self, operation: bytes) -> int:
        """The law's code."""
        chunk: Chunk = self.state.chunk(recover_fast)
        chunk.open(self.now)
        code = chunk.apply(operation)
        self.state.seal(chunk)
        return code

    def judge(self, operation: bytes, fields: Fields) -> None:
        """Applies an operation, or fails as told to."""
        self.submitted.append(fields)
        if self.failure is not None:
            raise self.failure
        code = self.apply(operation)
        self.codes.append(code)
        if code != codes.OK:
            raise Rejected(-33_000 - code, *codes.SENTENCE[code])

    async def account(self, account: int) -> AccountView:
        return self.view

    async def orders(self, signed: Sequence[Placing]) -> list[OrderResult | Rejected]:
        ((order, signature, *_),) = signed
        fields = {own: int(order[name]) for own, name, _ in SIGNED[constants.ORDER][1]}
        message = containers.Order(**fields, unused=0)
        try:
            self.judge(operations.order_bytes(message, compact(signature)), order)
        except Rejected as refusal:
            return [refusal]
        return [answer(OrderResult, status="resting")]

    async def request(self, kind: str, request: Fields, signature: bytes) -> RequestResult:
        fields: dict[str, Any] = {"slot": 0, "amount": 0, "other": 0, "recipient": containers.NOBODY}
        tag = operations.TAG_OF_KIND[kind]
        for own, name, of_type in SIGNED[tag][1]:
            fields[own] = bytes.fromhex(request[name][2:]) if of_type == "address" else int(request[name])
        message = containers.Request(**fields)
        self.judge(operations.request_bytes(tag, message, compact(signature)), request)
        return answer(RequestResult)


class TrustingWallet(Wallet):
    """A wallet whose venue is settled already: what stands on L1 has tests of its own."""

    async def venue(self) -> Venue:
        return VENUE


def with_wallet(
    directory: Path, node: LawNode, action: Callable[[Wallet], Awaitable[Any]], now: int = NOW, key: Key | None = KEY
) -> Any:
    """The outcome of an action of a wallet at a time."""

    async def main() -> Any:
        l1 = L1Client("http://l1")
        address = KEY.address if key is None else key.address
        return await action(TrustingWallet(node, l1, address, directory, key, WalletOptions(clock_ms=lambda: now)))

    # An answer that does not come is waited for, in no time.
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def recorded(directory: Path, node: LawNode) -> list[Signed]:
    """What the wallet has kept of its signatures."""

    async def read(wallet: Wallet) -> list[Signed]:
        return wallet.record.read()

    entries: list[Signed] = with_wallet(directory, node, read)
    return entries


def test_the_law_takes_what_the_wallet_signs(tmp_path: Path) -> None:
    node = LawNode()

    async def action(wallet: Wallet) -> None:
        await wallet.order(BUY, ACCOUNT)
        await wallet.order(msgspec.structs.replace(BUY, time_in_force=constants.IMMEDIATE_OR_CANCEL), ACCOUNT)
        await wallet.order(msgspec.structs.replace(BUY, trigger=1, trigger_price=600_000, reduce_only=True), ACCOUNT)
        await wallet.request(RequestTerms(kind="cancel", slot=1), ACCOUNT)
        await wallet.request(RequestTerms(kind="cancel_all"), ACCOUNT)
        await wallet.order(BUY, ACCOUNT)

    with_wallet(tmp_path, node, action)
    # Without a price nothing fills, but every operation is admitted, in one and the same millisecond.
    assert node.codes == [codes.OK] * 6
    statuses = [(entry.kind, entry.slot, entry.status) for entry in recorded(tmp_path, node)]
    assert statuses == [
        ("order", 1, "cancelled"),
        ("order", 2, "cancelled"),
        ("order", 3, "cancelled"),
        ("cancel", 1, "applied"),
        ("cancel_all", 0, "applied"),
        ("order", 1, "resting"),
    ]


def test_the_law_takes_grants_and_bounds(tmp_path: Path) -> None:
    node = LawNode()
    grant = RequestTerms(
        kind="set_agent", other=1, recipient=AGENT.address, amount=NOW + 60_000, first_slot=100, last_slot=110
    )

    async def action(wallet: Wallet) -> None:
        await wallet.request(grant, ACCOUNT)
        await wallet.request(RequestTerms(kind="set_leverage", amount=333_334), ACCOUNT)

    with_wallet(tmp_path, node, action)
    account = node.state.account(ACCOUNT)
    assert account.agents == [0, encoding.agent_word(AGENT.address, NOW + 60_000, 100, 110)]
    assert account.initial_ppm == 333_334
    entries = recorded(tmp_path, node)
    # Neither moves money by itself.
    assert [(entry.kind, entry.value_micros, entry.status) for entry in entries] == [
        ("set_agent", 0, "applied"),
        ("set_leverage", 0, "applied"),
    ]
    assert "as agent 1 in slots 100 to 110 until 2027-01-15 08:01:00 UTC" in entries[0].text
    with_wallet(tmp_path, node, lambda wallet: wallet.request(RequestTerms(kind="set_agent", other=1), ACCOUNT))
    assert node.state.account(ACCOUNT).agents == [0, 0]
    with pytest.raises(Rejected, match="NOT_CANONICAL"):
        with_wallet(tmp_path, node, lambda wallet: wallet.request(RequestTerms(kind="set_agent", other=2), ACCOUNT))
    too_much = RequestTerms(kind="set_leverage", amount=1_000_001)
    with pytest.raises(Rejected, match="NOT_CANONICAL"):
        with_wallet(tmp_path, node, lambda wallet: wallet.request(too_much, ACCOUNT))


async def requested(terms: RequestTerms, wallet: Wallet) -> None:
    """Signs and submits a request for the account."""
    await wallet.request(terms, ACCOUNT)


def granted(node: LawNode, owner_directory: Path, first_slot: int, last_slot: int) -> None:
    """Lets the agent trade for a minute, and has the node say so."""
    terms = RequestTerms(
        kind="set_agent", recipient=AGENT.address, amount=NOW + 60_000, first_slot=first_slot, last_slot=last_slot
    )
    with_wallet(owner_directory, node, lambda wallet: wallet.request(terms, ACCOUNT))
    shown = AgentView("0x" + AGENT.address.hex(), NOW + 60_000, first_slot, last_slot)
    node.view = account_view(agents=[shown, None])


def test_an_agent_trades_in_its_slots(tmp_path: Path) -> None:
    node = LawNode()
    granted(node, tmp_path, 100, 101)

    async def action(wallet: Wallet) -> None:
        first, _ = await wallet.order(BUY, ACCOUNT)
        second, _ = await wallet.order(BUY, ACCOUNT)
        assert (first.message.slot, second.message.slot) == (100, 101)
        await wallet.request(RequestTerms(kind="cancel", slot=100), ACCOUNT)
        third, _ = await wallet.order(BUY, ACCOUNT)
        assert third.message.slot == 100

    node.codes.clear()
    with_wallet(tmp_path / "agent", node, action, key=AGENT)
    assert node.codes == [codes.OK] * 4
    for terms in (RequestTerms(kind="cancel", slot=99), RequestTerms(kind="cancel_all")):
        with pytest.raises(BadInput, match="its grant does not cover"):
            with_wallet(tmp_path / "agent", node, partial(requested, terms), key=AGENT)
    outside = msgspec.structs.replace(BUY, slot=102)
    with pytest.raises(BadInput, match="its grant does not cover slot 102"):
        with_wallet(tmp_path / "agent", node, lambda wallet: wallet.order(outside, ACCOUNT), key=AGENT)
    # The owner goes on everywhere.
    own, _ = with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT))
    assert own.message.slot == 1
    assert node.codes == [codes.OK] * 5


def test_an_agent_whose_slots_begin_at_zero_cancels_all(tmp_path: Path) -> None:
    node = LawNode()
    granted(node, tmp_path, 0, 2)
    with_wallet(
        tmp_path / "agent",
        node,
        lambda wallet: wallet.request(RequestTerms(kind="cancel_all"), ACCOUNT),
        key=AGENT,
    )
    drafted, _ = with_wallet(tmp_path / "agent", node, lambda wallet: wallet.order(BUY, ACCOUNT), key=AGENT)
    assert drafted.message.slot == 1


def test_an_agent_moves_no_money_and_its_time_ends(tmp_path: Path) -> None:
    node = LawNode()
    granted(node, tmp_path, 0, 255)
    for terms in (
        RequestTerms(kind="withdraw", amount=1),
        RequestTerms(kind="transfer", amount=1, other=18),
        RequestTerms(kind="set_agent", recipient=AGENT.address, amount=2**48 - 1, last_slot=255),
        RequestTerms(kind="set_leverage", amount=0),
    ):
        with pytest.raises(Rejected, match="BAD_SIGNATURE"):
            with_wallet(tmp_path / "agent", node, partial(requested, terms), key=AGENT)
    submitted = len(node.submitted)
    with pytest.raises(BadInput, match="grant for account 17 ended at 2027-01-15 08:01:00 UTC"):
        with_wallet(tmp_path / "agent", node, lambda wallet: wallet.order(BUY, ACCOUNT), now=NOW + 60_001, key=AGENT)
    assert len(node.submitted) == submitted
    # A node that hides the grant's end gains nothing: the law says it.
    lying = AgentView("0x" + AGENT.address.hex(), NOW + 120_000, 0, 255)
    node.view = account_view(agents=[lying, None])
    node.now = NOW + 60_001
    with pytest.raises(Rejected, match="AGENT_LIMITS"):
        with_wallet(tmp_path / "agent", node, lambda wallet: wallet.order(BUY, ACCOUNT), now=NOW + 60_001, key=AGENT)


def test_a_new_account_costs_its_fee(tmp_path: Path) -> None:
    node = LawNode()
    too_small = RequestTerms(kind="transfer", amount=constants.CREATION_FEE, other=constants.NEW_ACCOUNT)
    with pytest.raises(Rejected, match="TOO_SMALL"):
        with_wallet(tmp_path, node, lambda wallet: wallet.request(too_small, ACCOUNT))
    enough = RequestTerms(kind="transfer", amount=constants.CREATION_FEE + 1, other=constants.NEW_ACCOUNT)
    # As far as the law without prices goes.
    with pytest.raises(Rejected, match="STALE"):
        with_wallet(tmp_path, node, lambda wallet: wallet.request(enough, ACCOUNT))
    assert [entry.text for entry in recorded(tmp_path, node)] == [
        "transfer $1.00 to a new account, $1.00 of it as fee",
        "transfer $1.000001 to a new account, $1.00 of it as fee",
    ]


def test_the_laws_refusal_is_the_wallets(tmp_path: Path) -> None:
    node = LawNode()
    with pytest.raises(Rejected, match="STALE"):
        with_wallet(
            tmp_path,
            node,
            lambda wallet: wallet.request(
                RequestTerms(kind="withdraw", amount=1_000_000, recipient=b"\x12" * 20), ACCOUNT
            ),
        )
    with pytest.raises(Rejected, match="SAME_ACCOUNT"):
        with_wallet(
            tmp_path,
            node,
            lambda wallet: wallet.request(RequestTerms(kind="transfer", amount=1, other=ACCOUNT), ACCOUNT),
        )
    assert [entry.status for entry in recorded(tmp_path, node)] == ["refused", "refused"]


def test_money_goes_to_the_signer_unless_somebody_is_named(tmp_path: Path) -> None:
    node = LawNode()
    own = with_wallet(
        tmp_path, node, lambda wallet: wallet.draft_request(RequestTerms(kind="withdraw", amount=1), ACCOUNT)
    )
    assert own.message.recipient == KEY.address
    named = with_wallet(
        tmp_path,
        node,
        lambda wallet: wallet.draft_request(RequestTerms(kind="withdraw", amount=1, recipient=b"\x12" * 20), ACCOUNT),
    )
    assert named.message.recipient == b"\x12" * 20


def test_a_clock_that_runs_ahead_signs_what_the_law_does_not_take_yet(tmp_path: Path) -> None:
    node = LawNode()
    tolerated = NOW + constants.CLOCK_TOLERANCE
    with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT), now=tolerated)
    with pytest.raises(Rejected, match="NOT_YET"):
        with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT), now=tolerated + 1)


def test_a_signature_is_recorded_before_it_is_sent(tmp_path: Path) -> None:
    node = LawNode()
    node.failure = NodeUnreachable("gone")
    with pytest.raises(NodeUnreachable):
        with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT))
    (entry,) = recorded(tmp_path, node)
    assert (entry.status, entry.value_micros, entry.slot) == ("signed", 25_000 * 600_005, 1)
    assert entry.expires_at_ms == NOW + constants.HOUR
    # It was sent again as it was, and nobody knows what became of it, so its slot stays taken.
    assert len(node.submitted) > 1
    assert all(fields == node.submitted[0] for fields in node.submitted)
    node.failure = None
    drafted, _ = with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT), now=NOW + 1)
    assert drafted.message.slot == 2


def test_a_node_cannot_make_the_wallet_replace_its_own_order(tmp_path: Path) -> None:
    node = LawNode()
    with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT))
    node.view = account_view(slots_hint=SlotHint(1, 0))
    drafted, _ = with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT))
    assert drafted.message.slot == 2
    node.view = account_view(open_orders=[answer(OpenOrder, slot=slot) for slot in (1, 2, 3)])
    drafted, _ = with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT))
    assert drafted.message.slot == 4


@pytest.mark.parametrize(
    "changes", [{"floor": NOW + 5_001}, {"slots_hint": SlotHint(1, NOW + 5_001)}, {"floor": 2**48 - 1}]
)
def test_a_node_cannot_make_the_wallet_sign_a_foreign_time(tmp_path: Path, changes: dict[str, Any]) -> None:
    node = LawNode()
    node.view = account_view(**changes)
    with pytest.raises(BadInput, match="ahead of this clock"):
        with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT))
    assert recorded(tmp_path, node) == []
    assert node.submitted == []


def test_a_sequence_a_little_ahead_is_waited_into(tmp_path: Path) -> None:
    node = LawNode()
    node.view = account_view(floor=NOW + 40)
    drafted, _ = with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT))
    assert (drafted.message.sequence, drafted.message.created_at) == (NOW + 40, NOW + 40)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lifetime_ms": constants.ORDER_LIFETIME + 1}, "may live 86400 s"),
        ({"time_in_force": 1, "lifetime_ms": 10_001}, "may live 10 s"),
        ({"time_in_force": 2, "post_only": True}, "cannot be ioc or fok"),
        ({"size": 2**56}, "larger than the law"),
        ({"limit_price": 2**48}, "larger than the law"),
        ({"market": 7}, "no market 7"),
    ],
)
def test_what_the_law_would_refuse_is_not_signed(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    node = LawNode()
    with pytest.raises(BadInput, match=sentence):
        with_wallet(tmp_path, node, lambda wallet: wallet.order(msgspec.structs.replace(BUY, **changes), ACCOUNT))
    assert recorded(tmp_path, node) == []


def test_a_wallet_without_key_signs_nothing(tmp_path: Path) -> None:
    node = LawNode()
    with pytest.raises(WalletError, match="without its key"):
        with_wallet(tmp_path, node, lambda wallet: wallet.order(BUY, ACCOUNT), key=None)
    assert recorded(tmp_path, node) == []
    assert PRIVATE_KEY.hex() not in repr(KEY)
