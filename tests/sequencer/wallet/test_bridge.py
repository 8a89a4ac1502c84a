"""What a wallet refuses to do on L1 before anything is sent: by an L1 and a node of a few answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from l1_bridge.addresses import checksum_address
from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Unavailable
from l1_bridge.client.values import Block, Log, Receipt
from l1_bridge.codec import events
from l1_bridge.contracts.artifact import bridge_artifact
from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.signing.receipts import chained, receipt_digest
from prover.stf import constants, containers
from sequencer.client.client import NodeClient
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import ReceiptView, Status
from sequencer.schema.values import as_hex
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.errors import (
    BadInput,
    BrokenReceipt,
    InsufficientFunds,
    L1Refused,
    L1Unreachable,
    QueueOverdue,
    WalletError,
    WrongChain,
)
from sequencer.wallet.keys import Key, SigningKey
from sequencer.wallet.record import KeptReceipt
from sequencer.wallet.trust import Venue
from sequencer.wallet.verified import Verified, WalletOptions
from tests.sequencer.answers import answer
from tests.sequencer.wallet.test_typed_data import VENUE

KEY = Key(b"\x05" * 32)
DOLLAR = 1_000_000
GOVERNED = msgspec.structs.replace(VENUE, governor=KEY.address)


class Node(NodeClient):
    """Knows one account of somebody else, and which chain it serves."""

    def __init__(self, chain_id: int) -> None:
        super().__init__("http://node")
        self.chain_id = chain_id

    async def status(self) -> Status:
        return answer(Status, chain_id=self.chain_id)

    async def account(self, account: int) -> AccountView:
        return answer(AccountView, account=account, owner="0x" + "13" * 20)

    async def faucet(self, address: bytes) -> Any:
        assert address == KEY.address


class L1(L1Client):
    """Every call's answer is one word; what is sent is kept."""

    def __init__(self, word: int = 0, ether: int = 0, failure: Exception | None = None) -> None:
        super().__init__("http://l1")
        self.word = word
        self.ether = ether
        self.failure = failure
        self.sent: list[tuple[bytes | None, bytes]] = []

    async def eth_call(self, *arguments: Any, **given: Any) -> bytes:
        if self.failure is not None:
            raise self.failure
        return self.word.to_bytes(32, "big")

    async def balance(self, *arguments: Any) -> int:
        return self.ether

    async def fees(self, most_wei: int | None = None) -> tuple[int, int]:
        return 10**9, 1

    async def block(self, *arguments: Any) -> Block | None:
        return None

    async def send(self, signer: Any, to: bytes | None, data: bytes = b"", *arguments: Any, **given: Any) -> Receipt:
        self.sent.append((to, data))
        raise L1Rejected(3, "sent")


class Settled(Verified):
    """A venue that is settled already: what stands on L1 has tests of its own."""

    known = VENUE

    async def venue(self) -> Venue:
        return self.known


def bridge(l1: L1, venue: Venue = VENUE, key: SigningKey | None = KEY, chain_id: int = 31_337) -> Bridge:
    """The contract as the key's address uses it."""
    node = Node(chain_id)
    verified = Settled(node, l1, Path("nowhere"), WalletOptions())
    verified.known = venue
    return Bridge(node, l1, verified, KEY.address, key, WalletOptions(poll_seconds=0.1), Path("nowhere"))


@pytest.mark.trio
async def test_play_money_is_for_devnets() -> None:
    with pytest.raises(WrongChain, match="this is chain 1"):
        await bridge(L1(), chain_id=1).take_play_money()
    await bridge(L1()).take_play_money()


@pytest.mark.trio
@pytest.mark.parametrize(
    ("l1", "amount", "account", "kind", "sentence"),
    [
        (L1(), VENUE.minimum_deposit_micros - 1, None, BadInput, r"\$1.00 at least"),
        (L1(), DOLLAR, 17, BadInput, "account 17 is somebody else's"),
        (L1(DOLLAR - 1), DOLLAR, None, InsufficientFunds, r"\$1.00 are needed on L1"),
        (L1(DOLLAR), DOLLAR, None, InsufficientFunds, "may cost 0.000450 ether"),
        (L1(DOLLAR), DOLLAR, constants.insurance_account(2), InsufficientFunds, "may cost 0.000450 ether"),
        (L1(failure=L1Unavailable("gone")), DOLLAR, None, L1Unreachable, "gone"),
        (L1(failure=L1Rejected(3, "no")), DOLLAR, None, L1Refused, "L1 refused: no"),
    ],
    ids=["little", "another's", "no dollars", "no ether", "a gift", "no L1", "a refusal"],
)
async def test_a_deposit_that_cannot_be_is_not_sent(
    l1: L1, amount: int, account: int | None, kind: type[WalletError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        await bridge(l1).deposit(amount, account, 1)
    assert l1.sent == []


class Queued(L1):
    """A bridge of which one entry was due `waited` seconds ago; or none, or it is frozen."""

    def __init__(self, waited: int | None, frozen_at: int = 0) -> None:
        super().__init__(word=DOLLAR, ether=10**18)
        self.head = Block(7, b"7" * 32, b"6" * 32, 1_000_000, 1)
        due_at = 0 if waited is None else self.head.timestamp - waited
        freeze_at = due_at and due_at + DEVNET_PARAMETERS.window_seconds + DEVNET_PARAMETERS.freeze_grace_seconds
        told = {
            "frozen_at": (frozen_at,),
            "parameters": msgspec.structs.astuple(DEVNET_PARAMETERS),
            "deadlines": (3, due_at, due_at, freeze_at),
        }
        self.told = {
            bridge_artifact().functions[name].selector: b"".join(
                word.rjust(32, b"\0") if isinstance(word, bytes) else word.to_bytes(32, "big") for word in words
            )
            for name, words in told.items()
        }

    async def eth_call(self, *arguments: Any, **given: Any) -> bytes:
        return self.told.get(arguments[1][:4]) or await super().eth_call(*arguments, **given)

    async def block(self, *arguments: Any) -> Block | None:
        return self.head


class Asked(Node):
    """Knows no account."""

    async def accounts(self, owner: bytes) -> list[int]:
        return []


def depositing(l1: L1) -> Bridge:
    """A wallet that has all that a deposit needs."""
    node = Asked(31_337)
    verified = Settled(node, l1, Path("nowhere"), WalletOptions())
    return Bridge(node, l1, verified, KEY.address, KEY, WalletOptions(poll_seconds=0.1), Path("nowhere"))


INCLUSION = DEVNET_PARAMETERS.inclusion_seconds


@pytest.mark.trio
@pytest.mark.parametrize(
    ("l1", "sentence"),
    [
        (Queued(INCLUSION), "entry 3 of the queue is overdue by 0 s, and the bridge freezes in 601230 s"),
        (Queued(700_000), "freezes in 0 s unless it is served"),
        (Queued(None, frozen_at=5), "the bridge is frozen"),
    ],
    ids=["overdue", "due to freeze", "frozen"],
)
async def test_no_deposit_goes_into_a_queue_that_nobody_serves(l1: Queued, sentence: str) -> None:
    with pytest.raises(QueueOverdue, match=sentence) as refused:
        await depositing(l1).deposit(DOLLAR, None, 1)
    assert (refused.value.name, refused.value.status, l1.sent) == ("QUEUE_OVERDUE", 23, [])


@pytest.mark.trio
@pytest.mark.parametrize(
    ("l1", "anyway"), [(Queued(None), False), (Queued(INCLUSION - 1), False), (Queued(700_000), True)]
)
async def test_a_deposit_into_a_queue_that_is_served_or_anyway_is_sent(l1: Queued, anyway: bool) -> None:
    with pytest.raises(L1Refused, match="sent"):
        await depositing(l1).deposit(DOLLAR, None, 1, anyway=anyway)
    assert len(l1.sent) == 1


@pytest.mark.trio
async def test_a_frozen_bridge_takes_no_deposit_anyway() -> None:
    with pytest.raises(QueueOverdue, match="frozen"):
        await depositing(Queued(None, frozen_at=5)).deposit(DOLLAR, None, 1, anyway=True)


@pytest.mark.trio
async def test_what_was_paid_is_not_claimed_again() -> None:
    l1 = L1(word=1)
    with pytest.raises(L1Refused, match="withdrawal 7 has been paid already"):
        await bridge(l1).claim(7, wait=True, timeout_seconds=1)
    assert l1.sent == []


@pytest.mark.trio
async def test_only_the_governor_announces_and_retracts() -> None:
    for venue, who in ((VENUE, "nobody"), (msgspec.structs.replace(VENUE, governor=b"\x13" * 20), "0x1313")):
        l1 = L1(ether=10**18)
        with pytest.raises(BadInput, match=f"is not the governor of this venue, {who}"):
            await bridge(l1, venue).announce(constants.SET_MARKET, b"")
        with pytest.raises(BadInput, match=f"is not the governor of this venue, {who}"):
            await bridge(l1, venue).retract(bytes(32))
        assert l1.sent == []
    l1 = L1(ether=10**18)
    with pytest.raises(L1Refused, match="L1 refused: sent"):
        await bridge(l1, GOVERNED).retract(bytes(32))
    assert [to for to, _ in l1.sent] == [VENUE.rollup]


@pytest.mark.trio
async def test_without_a_key_nothing_is_sent() -> None:
    l1 = L1(ether=10**18)
    with pytest.raises(WalletError, match="without its key"):
        await bridge(l1, GOVERNED, key=None).retract(bytes(32))
    assert l1.sent == []


# Receipts of soft cancels.


class SeatedL1(L1):
    """An L1 on which somebody holds the seat, by default a key, and a log of who has taken it, by default he alone."""

    def __init__(self, holder: bytes = KEY.address, log: Sequence[bytes] | None = None) -> None:
        super().__init__()
        self.holder = holder
        self.log = [holder] if log is None else log

    async def eth_call(self, *arguments: Any, **given: Any) -> bytes:
        return b"".join(word.rjust(32, b"\x00") for word in (self.holder, b"\x01", b"\x02", b""))

    async def block(self, *arguments: Any) -> Block | None:
        return answer(Block, number=77)

    async def logs(self, *arguments: Any, **given: Any) -> list[Log]:
        topics = [
            (events.topic_of(events.SeatTaken), holder.rjust(32, b"\x00"), bytes(31) + b"\x01") for holder in self.log
        ]
        url = (32).to_bytes(32, "big") + bytes(32)
        return [Log(VENUE.rollup, each, url, 5 + at, bytes(32), bytes(32), 0, 0) for at, each in enumerate(topics)]


class OpenL1(SeatedL1):
    """One on which the seat is open: some held it, or nobody ever did."""

    def __init__(self, *held: bytes) -> None:
        super().__init__(bytes(20), held)


NOW = 1_800_000_000_000
CANCEL = containers.Request(17, 3, NOW, NOW, NOW + 60_000)


def given(key: Key = KEY, domain: bytes = VENUE.domain, **changes: Any) -> ReceiptView:
    """What a node answers to the soft cancel."""
    fields = {"account": 17, "slot": 3, "sequence": NOW, "time_ms": NOW + 5, **changes}
    receipt = chained(bytes(32), **fields)
    signature = key.sign(receipt_digest(domain, receipt))
    return ReceiptView(**fields, running_hash=as_hex(receipt.running_hash), signature=as_hex(signature))


async def word_on(view: ReceiptView | None) -> KeptReceipt:
    """What the wallet keeps of it."""
    return await bridge(SeatedL1()).word_on(VENUE, CANCEL, view, NOW)


@pytest.mark.trio
async def test_a_receipt_that_the_seat_signed_is_kept() -> None:
    kept = await word_on(given())
    assert (kept.account, kept.slot, kept.sequence, kept.time_ms, kept.block) == (17, 3, NOW, NOW + 5, 77)
    assert kept.holder == checksum_address(KEY.address)
    assert kept.rollup == checksum_address(VENUE.rollup)


@pytest.mark.trio
@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (None, "gave no receipt"),
        (given(slot=4), "something else"),
        (given(sequence=NOW - 1), "something else"),
        (given(account=18), "something else"),
        (given(time_ms=NOW + constants.CLOCK_TOLERANCE + 1), "has not come"),
        (given(Key(b"\x06" * 32)), "not signed by the seat"),
        (given(domain=bytes(32)), "not signed by the seat"),
        (msgspec.structs.replace(given(), running_hash=as_hex(bytes(32))), "not signed by the seat"),
    ],
)
async def test_a_receipt_that_is_no_evidence_is_told_and_not_kept(view: ReceiptView | None, sentence: str) -> None:
    with pytest.raises(BrokenReceipt, match=sentence) as caught:
        await word_on(view)
    assert "cancel again with --hard" in str(caught.value)


OTHER = Key(b"\x06" * 32)


@pytest.mark.trio
@pytest.mark.parametrize(
    "l1",
    [
        SeatedL1(OTHER.address, [KEY.address, OTHER.address]),
        SeatedL1(OTHER.address, [KEY.address]),
        OpenL1(OTHER.address, KEY.address),
        OpenL1(KEY.address, OTHER.address),
    ],
)
async def test_a_receipt_of_who_has_held_the_seat_is_kept_as_his(l1: SeatedL1) -> None:
    (kept,) = await bridge(l1).words_on(VENUE, [(CANCEL, given())], NOW)
    assert kept == await word_on(given())


@pytest.mark.trio
async def test_who_never_held_the_seat_has_no_word_by_a_log_that_shows_its_holder() -> None:
    l1 = SeatedL1(OTHER.address, [Key(b"\x07" * 32).address, OTHER.address])
    (none,) = await bridge(l1).words_on(VENUE, [(CANCEL, given())], NOW)
    assert isinstance(none, BrokenReceipt)
    assert "nor by anybody who has held it" in str(none)


@pytest.mark.trio
@pytest.mark.parametrize("l1", [SeatedL1(OTHER.address, []), OpenL1(), OpenL1(OTHER.address)])
async def test_of_a_log_that_may_lack_somebody_nothing_follows_for_whom_it_does_not_show(l1: SeatedL1) -> None:
    with pytest.raises(L1Unreachable, match="does not show everybody who has held the seat"):
        await bridge(l1).word_on(VENUE, CANCEL, given(), NOW)


@pytest.mark.trio
async def test_of_whom_nobody_can_say_yet_holds_up_no_other() -> None:
    own = given(OTHER)
    broken = msgspec.structs.replace(own, signature=as_hex(bytes(65)))
    cancels = [(CANCEL, given()), (CANCEL, own), (CANCEL, broken)]
    waits, kept, nobodys = await bridge(SeatedL1(OTHER.address, [])).words_on(VENUE, cancels, NOW)
    assert isinstance(waits, L1Unreachable)
    assert isinstance(kept, KeptReceipt)
    assert kept.holder == checksum_address(OTHER.address)
    assert isinstance(nobodys, BrokenReceipt)
    assert "nobody's key" in str(nobodys)


@pytest.mark.trio
async def test_many_receipts_share_one_look_at_the_seat() -> None:
    class CountedL1(SeatedL1):
        looks = 0

        async def eth_call(self, *arguments: Any, **given: Any) -> bytes:
            self.looks += 1
            return await super().eth_call(*arguments, **given)

    l1 = CountedL1()
    good, none, foreign, again = await bridge(l1).words_on(
        VENUE, [(CANCEL, given()), (CANCEL, None), (CANCEL, given(Key(b"\x06" * 32))), (CANCEL, given())], NOW
    )
    assert good == again == await word_on(given())
    assert "gave no receipt" in str(none)
    assert "not signed by the seat" in str(foreign)
    assert l1.looks == 1


@pytest.mark.trio
async def test_an_l1_without_a_newest_block_has_not_shown_that_no_receipt_was_broken() -> None:
    kept = await word_on(given())
    with pytest.raises(L1Unreachable, match="no latest block"):
        await bridge(L1()).broken(VENUE, [kept])
