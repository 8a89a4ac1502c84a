"""How long a wallet waits for its entry, what it believes meanwhile, and that nothing is paid twice for its word."""

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Timeout, L1Unavailable, L1Unconfirmed
from l1_bridge.client.values import Block, Log
from l1_bridge.codec import calls
from prover.history.outcomes import Outcome, Rebuilt
from prover.signing import operations
from prover.state.state import State
from prover.stf import codes, constants, containers, encoding
from sequencer.client.client import NodeClient
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.schema.answers import EntryView
from sequencer.wallet.entries import AccountRecord, Entered, Entries, Forced, KnownAccounts, guarded
from sequencer.wallet.errors import BadInput, L1Refused, L1Unreachable, NotYet, WalletError
from sequencer.wallet.keys import Key
from sequencer.wallet.pin import pin_of
from sequencer.wallet.trust import ProvenAccount, Venue
from sequencer.wallet.units import time_text
from tests.sequencer.answers import answer
from tests.sequencer.wallet.test_typed_data import VENUE

pytestmark = pytest.mark.trio

MINE, STRANGER = b"\x05" * 20, b"\x06" * 20
INCLUSION = 3_600
SENT_AT = 1_800_000_000


def entered(tag: int, **fields: Any) -> Entered:
    """Entry 7 of the queue, about account 17."""
    values: dict[str, Any] = dict.fromkeys(containers.Entry.__struct_fields__, 0)
    values |= {"sender": containers.NOBODY, "agent": containers.NOBODY, "account": 17}
    payload = operations.entry_payload(tag, msgspec.convert(values | fields, containers.Entry))
    operation = operations.entry_bytes(tag, MINE, 1_000 * SENT_AT, payload)
    return Entered(7, operation, SENT_AT, SENT_AT + 1, b"\x09" * 32)


LEAVE = entered(constants.LEAVE)
EVERYTHING = entered(constants.FORCED_CLOSE, market=0, amount=operations.ALL_LOTS)
PART = entered(constants.FORCED_CLOSE, market=0, amount=5)
GRANT = entered(constants.FORCED_AGENT, agent=STRANGER, agent_index=1, expires_at=9, last_slot=3)
CANCEL_ALL = entered(constants.FORCED_AGENT, agent_index=constants.FLOOR_INDEX)
WITHDRAW = entered(constants.FORCED_WITHDRAW, amount=5)
LEFT = msgspec.structs.replace(encoding.no_account(), owner=MINE, floor=1_000 * SENT_AT + 10_001)
HOLDING = msgspec.structs.replace(
    LEFT, positions=[containers.Position(5, 5, 0), *LEFT.positions[1:]], agents=[0] * constants.AGENTS
)


class L1(L1Client):
    """A clock that a second of sleep moves by one; silent from a time on."""

    def __init__(self, silent_from: float = float("inf")) -> None:
        super().__init__("http://l1")
        self.silent_from = silent_from

    async def block(self, *arguments: Any) -> Block | None:
        now = trio.current_time()
        if now >= self.silent_from:
            raise L1Unavailable("the L1 is gone")
        return Block(1, bytes(32), bytes(32), SENT_AT + int(now), 0)


class Node(NodeClient):
    """Says one thing of every entry."""

    def __init__(self, said: EntryView | Exception | None) -> None:
        super().__init__("http://node")
        self.said = said

    async def queue_entry(self, index: int) -> EntryView | None:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class Known(Entries):
    """Entries over a bridge, proofs and a replay that a test gives."""

    done, proven, replays, recipient = 0, None, 0, MINE
    found: Outcome | None = None

    async def _inclusion_seconds(self, venue: Venue) -> int:
        return INCLUSION

    async def _head(self, venue: Venue) -> calls.BatchRecord:
        return calls.BatchRecord(3, bytes(32), bytes(32), 1, 1, self.done, 0)

    async def _account(self, venue: Venue, account: int) -> ProvenAccount | None:
        assert account == 17
        return self.proven

    async def _pays(self, venue: Venue, withdrawal: int, recipient: bytes) -> bool:
        return recipient == self.recipient

    async def _rebuilt(self, venue: Venue, until: int | None = None) -> Rebuilt:
        self.replays += 1
        outcomes = {} if self.found is None else {7: self.found}
        # No test looks into the state.
        return Rebuilt(cast(State, None), outcomes, [], 3, 0, contradicted=False)


def known(said: EntryView | Exception | None = None, l1: L1 | None = None, **given: Any) -> tuple[Known, list[str]]:
    """Entries, and what is told of them."""
    told: list[str] = []
    record = AccountRecord(Path("nowhere"), MINE, None)
    entries = Known(Node(said), l1 or L1(), MINE, told.append, 1.0, record)
    for name, value in given.items():
        setattr(entries, name, value)
    return entries, told


def hint(code: int = codes.OK, withdrawal: int | None = None, index: int = 7, *, done: bool = True) -> EntryView:
    """The node's word."""
    name = codes.SENTENCE[code][0]
    return answer(EntryView, index=index, code=code, name=name, done=done, withdrawal=withdrawal)


def posted(account: containers.Account, count: int = 8, taken: int = 8) -> ProvenAccount:
    """An account in a batch on L1 that was done with so many entries, and took so many."""
    return ProvenAccount(9, account, 0, count, taken)


@pytest.mark.parametrize("said", [None, NodeUnreachable("gone"), Rejected(1, "NO", "no"), hint(), hint(index=6)])
@pytest.mark.parametrize(("seconds", "waited"), [(None, INCLUSION), (5, 5)])
async def test_it_waits_by_the_clock_of_l1_and_says_for_what(
    autojump_clock: trio.testing.MockClock, said: Any, seconds: float | None, waited: int
) -> None:
    entries, told = known(said)
    with pytest.raises(NotYet, match="leave is entry 7 of the L1 queue") as late:
        await entries.outcome(VENUE, LEAVE, seconds)
    assert trio.current_time() == waited
    (notice,) = told
    assert f"late from {time_text(1_000 * (SENT_AT + INCLUSION))} of L1's clock" in notice
    for sentence in (notice, str(late.value)):
        assert "`catenary wallet force status 7`" in sentence
    assert "do not enter it again" in str(late.value)
    assert ("and is late" in str(late.value)) is (seconds is None)
    assert ("though the node says OK" in str(late.value)) is (said == hint())
    assert (late.value.data["queue_index"], late.value.data["code"], late.value.data["done"]) == (7, None, False)


async def test_who_does_not_wait_is_told_where_it_stands() -> None:
    entries, told = known(hint())
    stands = await entries.outcome(VENUE, LEAVE, 0)
    assert stands == Forced(queue_index=7, transaction_hash="0x" + "09" * 32, due_at=SENT_AT + 1, account=17)
    assert told == []


async def test_an_l1_that_falls_silent_does_not_unmake_an_entry(autojump_clock: trio.testing.MockClock) -> None:
    entries, _ = known(l1=L1(silent_from=3))
    with pytest.raises(L1Unreachable, match="the L1 is gone; leave is entry 7 of the L1 queue all the same") as lost:
        await entries.outcome(VENUE, LEAVE, None)
    assert "`catenary wallet force status 7` goes on" in str(lost.value)
    assert lost.value.data["queue_index"] == 7


@pytest.mark.parametrize(
    ("entry", "account", "withdrawal"),
    [
        (LEAVE, LEFT, 3),
        (EVERYTHING, LEFT, None),
        (CANCEL_ALL, HOLDING, None),
        (GRANT, msgspec.structs.replace(LEFT, agents=[0, encoding.agent_word(STRANGER, 9, 0, 3), 0]), None),
    ],
)
async def test_what_a_node_says_counts_where_a_posted_account_shows_it(
    entry: Entered, account: containers.Account, withdrawal: int | None
) -> None:
    entries, _ = known(hint(withdrawal=withdrawal), proven=posted(account))
    found = await entries.outcome(VENUE, entry, None)
    assert (found.code, found.done, found.withdrawal, found.batch) == (codes.OK, True, withdrawal, 9)
    assert found.proven
    assert entries.replays == 0


@pytest.mark.parametrize(
    ("entry", "account", "withdrawal"), [(PART, HOLDING, None), (WITHDRAW, HOLDING, 3), (LEAVE, LEFT, None)]
)
async def test_what_no_later_state_shows_stays_the_nodes_word(
    entry: Entered, account: containers.Account, withdrawal: int | None
) -> None:
    entries, _ = known(hint(withdrawal=withdrawal), proven=posted(account))
    found = await entries.outcome(VENUE, entry, None)
    assert (found.code, found.done, found.withdrawal, found.batch) == (codes.OK, True, withdrawal, 9)
    assert (found.proven, entries.replays) == (False, 0)


@pytest.mark.parametrize(
    ("entry", "account", "given"),
    [
        (LEAVE, HOLDING, {}),
        (LEAVE, msgspec.structs.replace(LEFT, floor=0), {}),
        (LEAVE, LEFT, {"withdrawal": 3, "recipient": STRANGER}),
        (EVERYTHING, HOLDING, {}),
        (CANCEL_ALL, msgspec.structs.replace(LEFT, floor=1_000 * SENT_AT - 1), {}),
        (WITHDRAW, LEFT, {}),
        (WITHDRAW, LEFT, {"withdrawal": 3, "recipient": STRANGER}),
        (GRANT, HOLDING, {}),
    ],
)
async def test_what_it_does_not_show_is_replayed(
    entry: Entered, account: containers.Account, given: dict[str, Any]
) -> None:
    recipient = given.get("recipient", MINE)
    truth = Outcome(codes.FUND_LIMIT, True, None, 2)
    said = hint(withdrawal=given.get("withdrawal"))
    entries, _ = known(said, proven=posted(account), recipient=recipient, found=truth)
    found = await entries.outcome(VENUE, entry, None)
    assert (found.code, found.rejection, found.batch, found.proven) == (codes.FUND_LIMIT, "FUND_LIMIT", 2, True)
    assert entries.replays == 1


@pytest.mark.parametrize("entry", [LEAVE, EVERYTHING, PART])
@pytest.mark.parametrize("said", [hint(done=False), hint(withdrawal=3), hint(codes.STALE)])
async def test_a_close_goes_on_while_it_is_the_head(
    autojump_clock: trio.testing.MockClock, entry: Entered, said: EntryView
) -> None:
    # Whatever the node says of its end: none of it is in a batch.
    entries, told = known(said, proven=posted(HOLDING, count=7))
    found = await entries.outcome(VENUE, entry, 5)
    assert (found.code, found.done, found.withdrawal, found.batch) == (codes.OK, False, None, 9)
    assert (found.proven, entries.replays) == (entry is not PART, 0)
    assert trio.current_time() == 5
    assert told[1:] == ["batch 9 has begun it: positions are closed at prices that are yet to come"]


@pytest.mark.parametrize(
    "broken", [msgspec.structs.replace(HOLDING, floor=0), msgspec.structs.replace(HOLDING, owner=STRANGER)]
)
async def test_a_head_that_the_law_does_not_give_is_none(
    autojump_clock: trio.testing.MockClock, broken: containers.Account
) -> None:
    entries, _ = known(hint(), proven=posted(broken, count=7))
    with pytest.raises(NotYet, match="no batch on L1 has it"):
        await entries.outcome(VENUE, LEAVE, 5)
    assert entries.replays == 0


async def test_what_passes_the_head_of_another_is_done_though_that_is_not() -> None:
    entries, _ = known(hint(), proven=posted(LEFT, count=4))
    assert (await entries.outcome(VENUE, CANCEL_ALL, None)).done


async def test_a_leave_is_waited_for_until_a_batch_has_what_it_pays(autojump_clock: trio.testing.MockClock) -> None:
    class Closing(Known):
        async def _account(self, venue: Venue, account: int) -> ProvenAccount | None:
            return posted(HOLDING, count=7) if trio.current_time() < 40 else posted(LEFT)

        async def _hint(self, entered: Entered) -> EntryView | None:
            # The node is ahead of what it has posted.
            return hint(done=False) if trio.current_time() < 30 else hint(withdrawal=3)

    entries = Closing(Node(None), L1(), MINE, [].append, 1.0, AccountRecord(Path("nowhere"), MINE, None))
    found = await entries.outcome(VENUE, LEAVE, None)
    assert trio.current_time() == 40
    assert (found.code, found.done, found.withdrawal, found.proven) == (codes.OK, True, 3, True)


@pytest.mark.parametrize("entry", [LEAVE, PART])
@pytest.mark.parametrize("later", [hint(withdrawal=3), hint(codes.STALE), hint(done=False), None])
async def test_a_word_from_before_the_end_is_asked_for_again(entry: Entered, later: EntryView | None) -> None:
    """The batch with the end is posted between the node's word on the entry and its proof of the account."""
    words = [hint(done=False), later]

    class Ended(Known):
        async def _hint(self, entered: Entered) -> EntryView | None:
            return words.pop(0)

    entries = Ended(Node(None), L1(), MINE, [].append, 1.0, AccountRecord(Path("nowhere"), MINE, None))
    entries.proven, entries.found = posted(LEFT), Outcome(codes.LIMIT, True, None, 2)
    found = await entries.outcome(VENUE, entry, None)
    assert (found.done, words) == (True, [])
    if later is None or not later.done:
        # Nor is it believed that nothing has ended what L1 shows to be over.
        assert (found.code, found.proven, entries.replays) == (codes.LIMIT, True, 1)
    else:
        assert (found.code, found.withdrawal, entries.replays) == (later.code, later.withdrawal, 0)


async def test_a_strangers_account_is_never_done_with() -> None:
    theirs = msgspec.structs.replace(LEFT, owner=STRANGER)
    entries, _ = known(hint(withdrawal=3), proven=posted(theirs))
    found = await entries.outcome(VENUE, LEAVE, None)
    assert (found.code, found.rejection, found.withdrawal, found.proven) == (codes.NOT_OWNER, "NOT_OWNER", None, True)


@pytest.mark.parametrize("said", [None, hint(), hint(codes.NOT_OWNER)])
@pytest.mark.parametrize("proven", [None, posted(LEFT, count=7, taken=7)])
async def test_without_a_proof_that_is_new_enough_l1_alone_tells(said: Any, proven: ProvenAccount | None) -> None:
    entries, _ = known(said, proven=proven, done=8, found=Outcome(codes.OK, True, 5, 2))
    found = await entries.outcome(VENUE, LEAVE, None)
    assert (found.code, found.withdrawal, found.batch, found.proven) == (codes.OK, 5, 2, True)
    # A batch that breaks the law has taken it, and none that keeps it.
    entries.found = None
    with pytest.raises(NotYet, match="no batch up to 3, the newest that follows the law, has it"):
        await entries.outcome(VENUE, LEAVE, None)


async def test_a_refusal_by_the_nodes_word_is_no_proof() -> None:
    entries, _ = known(hint(codes.FUND_LIMIT), proven=posted(HOLDING))
    found = await entries.outcome(VENUE, EVERYTHING, None)
    assert (found.code, found.proven, entries.replays) == (codes.FUND_LIMIT, False, 0)


async def test_an_entry_about_nobodys_account_is_known_by_the_nodes_word() -> None:
    tick = Entered(7, bytes([constants.FORCED_TICK]) + MINE + bytes(32), SENT_AT, SENT_AT, bytes(32))
    entries, _ = known(hint())
    found = await entries.outcome(VENUE, tick, None)
    assert (found.code, found.account, found.proven) == (codes.OK, None, False)


@pytest.mark.parametrize(
    ("failure", "kind", "sentence"),
    [
        (L1Rejected(3, "FROZEN"), L1Refused, "L1 refused: FROZEN"),
        (L1Unavailable("gone"), L1Unreachable, "gone"),
        (L1Timeout([], "an earlier one waits"), L1Unreachable, "nothing was sent: .*an earlier one waits"),
        (L1Timeout([b"\x09" * 32]), NotYet, "may still be mined .0x0909"),
        (L1Unconfirmed([b"\x09" * 32, b"\x08" * 32], "gone"), NotYet, "may still be mined .0x0909.*, 0x0808"),
    ],
)
async def test_what_may_be_mined_is_not_sent_again(failure: Exception, kind: type[WalletError], sentence: str) -> None:
    async def fails() -> None:
        raise failure

    with pytest.raises(kind, match=sentence) as told:
        await guarded(fails())
    assert (kind is NotYet) is ("send nothing again" in str(told.value))


async def test_a_record_of_accounts_is_of_the_key_that_signed_it(tmp_path: Path) -> None:
    path, mine, other = tmp_path / "there" / "accounts.json", Key(b"\x05" * 32), Key(b"\x06" * 32)
    known = KnownAccounts(pin_of(VENUE), 3, 9, {})
    record = AccountRecord(path, mine.address, mine)
    assert record.read() is None
    record.keep(known)
    kept = record.read()
    assert kept is not None
    assert msgspec.structs.replace(kept, signature="") == known
    assert path.stat().st_mode & 0o777 == 0o600
    # Whoever has no key may look, and writes nothing.
    assert AccountRecord(path, mine.address, None).read() == kept
    AccountRecord(tmp_path / "none", mine.address, None).keep(known)
    assert [item.name for item in tmp_path.iterdir()] == ["there"]
    lies = [
        msgspec.json.encode(msgspec.structs.replace(kept, batch=4)),
        msgspec.json.encode(msgspec.structs.replace(kept, signature="")),
        msgspec.json.encode(msgspec.structs.replace(kept, signature="0xzz")),
        msgspec.json.encode(msgspec.structs.replace(kept, signature="0x" + other.sign(known.digest()).hex())),
        b"{",
    ]
    for lie in lies:
        path.write_bytes(lie)
        assert record.read() is None
        assert not path.exists(), lie


class Omitting(L1):
    """One whose log is empty, of a bridge whose queue is not."""

    async def logs(self, *arguments: Any, **given: Any) -> list[Log]:
        return []

    async def eth_call(self, *arguments: Any, **given: Any) -> bytes:
        return (3).to_bytes(32, "big")


async def test_entries_that_a_log_leaves_out_are_no_entries_that_never_were(
    autojump_clock: trio.testing.MockClock,
) -> None:
    entries, _ = known(l1=Omitting())
    with pytest.raises(L1Unreachable, match="hold 0 of the queue's 3 entries"):
        await entries.all(VENUE)
    with pytest.raises(L1Unreachable, match="hold 0 of the queue's 3 entries"):
        await entries.own_accounts(VENUE)
    with pytest.raises(L1Unreachable, match="leave out entry 2 of the queue"):
        await entries.one(VENUE, 2)
    with pytest.raises(BadInput, match="has no entry 3"):
        await entries.one(VENUE, 3)
