"""What a wallet does through the rollup's contract on L1: deposits, forced entries, governance, claims."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio

from l1_bridge.addresses import checksum_address
from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import DigestSigner
from l1_bridge.client.replacing import Replaced, replace
from l1_bridge.client.sending import Terms
from l1_bridge.client.values import Receipt
from l1_bridge.codec import batch, calls, events
from l1_bridge.contracts.artifact import Artifact, ArtifactError, bridge_artifact, load_artifact
from prover.contracts import deployment
from prover.contracts.deployment import DEVNET_CHAINS
from prover.signing import receipts as signed
from prover.signing.receipts import breaks, signer_of_receipt
from prover.stf import constants, containers
from sequencer.client.client import NodeClient
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.schema.answers import ReceiptView
from sequencer.wallet.announcements import Announcement, announcements
from sequencer.wallet.entries import AccountRecord, Entered, Entries, Forced, Prices, Seat, guarded, logged, seat_of
from sequencer.wallet.errors import (
    BadInput,
    BadProof,
    BrokenReceipt,
    InsufficientFunds,
    L1Refused,
    L1Unreachable,
    NotYet,
    QueueOverdue,
    WalletError,
    WrongChain,
)
from sequencer.wallet.keys import SigningKey
from sequencer.wallet.record import KeptReceipt
from sequencer.wallet.trust import ProvenWithdrawal, Venue
from sequencer.wallet.units import money_text
from sequencer.wallet.verified import Verified, WalletOptions

# Measured on the shipped contracts (approve 46k, deposit 105k to 153k, claim 119k) and doubled: real tokens cost more.
APPROVE_GAS: Final = 100_000
DEPOSIT_GAS: Final = 350_000
CLAIM_GAS: Final = 350_000

_Event = TypeVar("_Event")
_ADVICE: Final = "; what it was to take out may be filled until it expires: cancel again with --hard"


class Deposited(msgspec.Struct, frozen=True):
    """A deposit that the node has booked."""

    account: int
    amount_micros: int
    queue_index: int
    transaction_hash: str


class Claimed(msgspec.Struct, frozen=True):
    """A withdrawal that L1 has paid."""

    index: int
    recipient: str
    amount_micros: int
    batch: int
    transaction_hash: str
    gas_used: int


class Broken(msgspec.Struct, frozen=True):
    """An order on L1 that a receipt had taken out: the evidence is the receipt beside this chunk of this batch."""

    receipt: KeptReceipt
    batch: int
    chunk: int
    slot: int
    sequence: int
    committer: str

    @property
    def sentence(self) -> str:
        """For people."""
        seat = "the seat that signed it" if self.committer == self.receipt.holder else f"another seat, {self.committer}"
        return (
            f"batch {self.batch}, chunk {self.chunk} holds the order of account {self.receipt.account} in slot "
            f"{self.slot}, sequence {self.sequence}, which a receipt had taken out; posted by {seat}"
        )


def _signed(kept: KeptReceipt) -> signed.Receipt:
    running_hash = bytes.fromhex(kept.running_hash.removeprefix("0x"))
    return signed.Receipt(kept.account, kept.slot, kept.sequence, kept.time_ms, running_hash)


def _fitting(message: containers.Request, given: ReceiptView | None, now_ms: int) -> ReceiptView:
    if given is None:
        raise BrokenReceipt(f"the node gave no receipt for the soft cancel{_ADVICE}")
    if (given.account, given.slot, given.sequence) != (message.account, message.slot, message.sequence):
        raise BrokenReceipt(f"the node's receipt is for something else than was cancelled{_ADVICE}")
    # Later than now it would be no evidence of what is filled until then.
    if given.time_ms > now_ms + constants.CLOCK_TOLERANCE:
        raise BrokenReceipt(f"the node's receipt is of a time that has not come{_ADVICE}")
    return given


def _signer(venue: Venue, given: ReceiptView) -> bytes:
    running_hash = bytes.fromhex(given.running_hash[2:])
    receipt = signed.Receipt(given.account, given.slot, given.sequence, given.time_ms, running_hash)
    return signer_of_receipt(venue.domain, receipt, bytes.fromhex(given.signature[2:]))


def _kept(venue: Venue, given: ReceiptView, seat: Seat) -> KeptReceipt:
    holder = seat.require(_signer(venue, given), "the node's receipt", _ADVICE)
    return KeptReceipt(
        chain_id=venue.chain_id,
        rollup=checksum_address(venue.rollup),
        holder=holder,
        block=seat.block,
        account=given.account,
        slot=given.slot,
        sequence=given.sequence,
        time_ms=given.time_ms,
        running_hash=given.running_hash,
        signature=given.signature,
    )


class Bridge:
    """The contract as one address uses it; without a key it only looks. The node tells what became of things."""

    def __init__(
        self,
        node: NodeClient,
        l1: L1Client,
        verified: Verified,
        address: bytes,
        key: SigningKey | None,
        options: WalletOptions,
        directory: Path,
    ) -> None:
        record = AccountRecord(directory / f"{checksum_address(address)}.accounts.json", address, key)
        self.entries = Entries(node, l1, address, options.tell, options.poll_seconds, record)
        self._node = node
        self._l1 = l1
        self._verified = verified
        self._address = address
        self._key = key
        self._poll_seconds = options.poll_seconds
        self._tell = options.tell
        # Never in the place of what this key has sent before: that may be what its owner is waiting for.
        self._terms = Terms(tell=options.tell)
        self._bridge = bridge_artifact()
        self._token = load_artifact("MockDollar")

    # Money in.

    async def take_play_money(self) -> None:
        """Play dollars and a little ether from the node's faucet; WrongChain where there is no play money."""
        status = await self._node.status()
        if status.chain_id not in DEVNET_CHAINS:
            raise WrongChain(f"the faucet gives play money on devnets only, this is chain {status.chain_id}")
        await self._node.faucet(self._address)

    async def deposit(
        self, amount_micros: int, account: int | None, timeout_seconds: float, *, anyway: bool = False
    ) -> Deposited:
        """Approves and deposits dollars on L1, then waits until the node has booked them; None opens an account.

        An insurance account takes money from anybody, and gives none back. anyway: also where the queue is overdue,
        QueueOverdue otherwise.
        """
        venue = await self._verified.venue()
        if amount_micros < venue.minimum_deposit_micros:
            raise BadInput(f"the bridge takes {money_text(venue.minimum_deposit_micros)} at least")
        is_insurance = account is not None and constants.FEE_ACCOUNT < account < constants.RESERVED_ACCOUNTS
        mine = "0x" + self._address.hex()
        if account is not None and not is_insurance and (await self._node.account(account)).owner.lower() != mine:
            raise BadInput(f"account {account} is somebody else's: the law would refund the deposit as a withdrawal")
        held = await self.token_balance()
        if held < amount_micros:
            needed = f"{money_text(amount_micros)} are needed on L1, {checksum_address(self._address)} has"
            raise InsufficientFunds(f"{needed} {money_text(held)}")
        await self._require_ether(APPROVE_GAS + DEPOSIT_GAS)
        await self._require_served(venue, anyway)
        before = set(await self._node.accounts(self._address))
        if await self._ask(self._token, venue.token, "allowance", self._address, venue.rollup) < amount_micros:
            approval = self._token.encode_call("approve", venue.rollup, amount_micros)
            await self._send(venue.token, approval, APPROVE_GAS)
        index = constants.NEW_ACCOUNT if account is None else account
        receipt = await self._send(venue.rollup, calls.encode_deposit(self._address, index, amount_micros), DEPOSIT_GAS)
        entry = self._entry_of(venue, receipt).index
        with trio.move_on_after(timeout_seconds):
            while (await self._node.status()).sequenced.queue_count <= entry:
                await trio.sleep(self._poll_seconds)
            if account is None:
                opened = set(await self._node.accounts(self._address)) - before
                if not opened:
                    raise Rejected(0, "REFUNDED", f"deposit {entry} opened no account and became a withdrawal")
                account = min(opened)
            return Deposited(account, amount_micros, entry, "0x" + receipt.transaction_hash.hex())
        raise NotYet(
            f"deposit {entry} is on L1 (0x{receipt.transaction_hash.hex()}), but the node has not booked it within "
            f"{timeout_seconds:g} s; it will, or the sequencer loses its seat: do not deposit it again"
        )

    async def _require_served(self, venue: Venue, anyway: bool) -> None:
        """That the queue is served: a deposit that no batch has taken when the bridge freezes is nobody's for ever."""
        head = await guarded(self._l1.newest_block())
        views = [calls.encode_call(name) for name in ("frozen_at", "parameters", "deadlines")]
        frozen, given, told = [await guarded(self._l1.eth_call(venue.rollup, view, head.number)) for view in views]
        try:
            parameters = calls.decode_record(calls.Parameters, given)
            clocks = calls.decode_record(calls.Deadlines, told)
        except ArtifactError as error:
            raise L1Unreachable(f"the L1 node does not say how long the queue waits: {error}") from error
        if int.from_bytes(frozen, "big"):
            raise QueueOverdue("the bridge is frozen: it takes no deposit, and pays final withdrawals alone")
        late_at = min(clocks.due_at + parameters.inclusion_seconds, clocks.freeze_at)
        if clocks.due_at == 0 or head.timestamp < late_at or anyway:
            return
        overdue, left = head.timestamp - late_at, clocks.freeze_at - head.timestamp
        raise QueueOverdue(
            f"entry {clocks.entry_index} of the queue is overdue by {overdue} s, and the bridge freezes in "
            f"{max(left, 0)} s unless it is served: what is deposited now would then be lost (--anyway to insist)"
        )

    # Receipts of soft cancels.

    async def word_on(
        self, venue: Venue, message: containers.Request, given: ReceiptView | None, now_ms: int
    ) -> KeptReceipt:
        """The sequencer's word on a soft cancel, as it is kept; BrokenReceipt where it is none."""
        (word,) = await self.words_on(venue, [(message, given)], now_ms)
        if isinstance(word, WalletError):
            raise word
        return word

    async def words_on(
        self, venue: Venue, cancels: Sequence[tuple[containers.Request, ReceiptView | None]], now_ms: int
    ) -> list[KeptReceipt | BrokenReceipt | L1Unreachable]:
        """The same of many, for one look at the seat; where it is none BrokenReceipt stands in its place, and
        L1Unreachable where nobody can say yet."""
        signers = {_signer(venue, given) for _, given in cancels if given is not None}
        seat = await seat_of(self._l1, venue, signers)
        found: list[KeptReceipt | BrokenReceipt | L1Unreachable] = []
        for message, given in cancels:
            try:
                found.append(_kept(venue, _fitting(message, given, now_ms), seat))
            except (BrokenReceipt, L1Unreachable) as error:
                found.append(error)
        return found

    async def broken(self, venue: Venue, receipts: Sequence[KeptReceipt]) -> list[Broken]:
        """What L1 holds against receipts: orders in chunks that began after a receipt had taken them out."""
        if not receipts:
            return []
        head = await guarded(self._l1.newest_block())
        first = min(kept.block for kept in receipts)
        found: list[Broken] = []
        for _, event in await logged(self._l1, venue, events.BatchCommitted, first, head.number):
            header = event.batch.header
            for number, chunk in enumerate(event.batch.chunks):
                for kept in receipts:
                    order = breaks(_signed(kept), chunk.body)
                    if order is not None:
                        committer = checksum_address(header.committer)
                        found.append(Broken(kept, header.number, number, order.slot, order.sequence, committer))
        return found

    # Entries of the queue.

    async def force(
        self,
        tag: int,
        payload: bytes,
        timeout_seconds: float | None,
        evidence: Sequence[bytes] = (),
        ticks_of: Sequence[NodeClient] | None = None,
    ) -> Forced:
        """Queues an operation on L1, where nobody can leave it out, and waits for what it comes to.

        evidence: at most three signed ticks that stand right in front of it, in the same transaction.
        ticks_of: whoever may give ticks beside the node, for a close or leave that is kept while it is waited for.
        """
        venue = await self._verified.forced_venue()
        fee = (await guarded(self._parameters(venue))).entry_fee_wei
        prices: Prices | None = None
        if ticks_of is not None and timeout_seconds != 0:

            async def enter(tick: bytes) -> bytes:
                entry = constants.FORCED_TICK, tick[1:]
                entered = await self._queued(venue, calls.encode_entry(*entry), calls.entry_gas(entry[1]), fee)
                return entered.transaction_hash

            known, sources = await self.entries.standing(venue), (self._node, *ticks_of)
            prices = Prices(self._l1, venue, known, sources, enter, self._tell)
        entries = [*((constants.FORCED_TICK, tick[1:]) for tick in evidence), (tag, payload)]
        data = calls.encode_entries(entries) if evidence else calls.encode_entry(tag, payload)
        gas = sum(calls.entry_gas(each) for _, each in entries)
        entered = await self._queued(venue, data, gas, fee * len(entries))
        return await self.entries.outcome(venue, entered, timeout_seconds, prices)

    # Governance.

    async def announcements(self) -> list[Announcement]:
        """What the venue's governor has announced, the oldest first."""
        venue = await self._verified.forced_venue()
        identity = batch.BridgeId(venue.chain_id, venue.rollup)
        try:
            return await guarded(announcements(self._l1, identity, venue.block))
        except (events.LogError, ArtifactError) as error:
            raise L1Unreachable(f"the L1 node's logs are not the bridge's: {error}") from None

    async def enactable_from(self) -> int:
        """From when on anybody may enact what is announced now, L1 seconds."""
        venue = await self._verified.forced_venue()
        delay = (await guarded(self._parameters(venue))).governance_delay_seconds
        return (await guarded(self._l1.newest_block())).timestamp + delay

    async def announce(self, tag: int, payload: bytes) -> Announcement:
        """The governor says on L1 what is to change; anybody may enact it after the venue's delay."""
        venue = await self._verified.forced_venue()
        self._require_governor(venue)
        gas = calls.entry_gas(payload)
        await self._require_ether(gas)
        receipt = await self._send(venue.rollup, self._bridge.encode_call("announce", tag, payload), gas)
        event = self._event_of(venue, receipt, events.Announced)
        return Announcement(event.announcement, tag, payload, event.enactable_at, "waiting")

    async def retract(self, announcement: bytes) -> None:
        """The governor takes back what it announced."""
        venue = await self._verified.forced_venue()
        self._require_governor(venue)
        gas = calls.entry_gas(b"")
        await self._require_ether(gas)
        await self._send(venue.rollup, self._bridge.encode_call("retract", announcement), gas)

    async def enact(self, tag: int, payload: bytes, timeout_seconds: float | None) -> Forced:
        """Queues what was announced long enough ago, as anybody may, and waits for what it came to."""
        venue = await self._verified.forced_venue()
        data = self._bridge.encode_call("enact", tag, payload)
        entered = await self._queued(venue, data, calls.entry_gas(payload), 0)
        return await self.entries.outcome(venue, entered, timeout_seconds)

    def _require_governor(self, venue: Venue) -> None:
        if venue.governor != self._address:
            who = "nobody" if venue.governor == containers.NOBODY else checksum_address(venue.governor)
            raise BadInput(f"{checksum_address(self._address)} is not the governor of this venue, {who} is")

    async def _queued(self, venue: Venue, data: bytes, gas: int, fee: int) -> Entered:
        await self._require_ether(gas, fee)
        receipt = await self._send(venue.rollup, data, gas, fee)
        return Entered.of(self._entry_of(venue, receipt), receipt.transaction_hash)

    async def _parameters(self, venue: Venue) -> calls.Parameters:
        data = await self._l1.eth_call(venue.rollup, self._bridge.encode_call("parameters"))
        return calls.decode_record(calls.Parameters, data)

    def _entry_of(self, venue: Venue, receipt: Receipt) -> events.Enqueued:
        return self._event_of(venue, receipt, events.Enqueued)

    def _event_of(self, venue: Venue, receipt: Receipt, kind: type[_Event]) -> _Event:
        identity = batch.BridgeId(venue.chain_id, venue.rollup)
        # The last one: what evidence stands in front of.
        for log in reversed(receipt.logs):
            if log.address == venue.rollup:
                event = events.decode_log(identity, log)
                if isinstance(event, kind):
                    return event
        raise L1Unreachable(f"the L1 node's receipt holds no {kind.__name__} of the bridge")

    # Money out.

    async def claim(self, index: int, wait: bool, timeout_seconds: float, by_replay: bool = False) -> Claimed:
        """Has L1 pay a withdrawal once its batch is final; NotYet before that; `wait` waits as long as the time-out.

        A node that proves nothing, or is not to be asked, is replaced by a replay of L1's log.
        """
        venue = await self._verified.forced_venue()
        if await self._ask(self._bridge, venue.rollup, "is_claimed", index):
            raise L1Refused(f"withdrawal {index} has been paid already")
        deadline = trio.current_time() + (timeout_seconds if wait else 0)
        while True:
            try:
                proven = await self._final_withdrawal(venue, index, by_replay)
                break
            except NotYet:
                if trio.current_time() >= deadline:
                    raise
            await trio.sleep(self._poll_seconds)
        await self._require_ether(CLAIM_GAS)
        calldata = calls.encode_claim(proven.batch_number, proven.commitment, proven.withdrawal, proven.proof)
        receipt = await self._send(venue.rollup, calldata, CLAIM_GAS)
        return Claimed(
            index=index,
            recipient=checksum_address(proven.withdrawal.recipient),
            amount_micros=proven.withdrawal.amount_micros,
            batch=proven.batch_number,
            transaction_hash="0x" + receipt.transaction_hash.hex(),
            gas_used=receipt.gas_used,
        )

    async def _final_withdrawal(self, venue: Venue, index: int, by_replay: bool) -> ProvenWithdrawal:
        if by_replay:
            return await self.entries.final_withdrawal(venue, index)
        try:
            proven = await self._verified.withdrawal(index)
        except (NodeUnreachable, Rejected, BadProof):
            return await self.entries.final_withdrawal(venue, index)
        final_at = await self._ask(self._bridge, venue.rollup, "final_at", proven.batch_number)
        left = final_at - (await guarded(self._l1.newest_block())).timestamp
        if left > 0:
            raise NotYet(f"withdrawal {index} is posted in batch {proven.batch_number}, which is final in {left} s")
        return proven

    async def token_balance(self) -> int:
        """Micro-dollars of the address on L1."""
        venue = await self._verified.venue()
        balance: int = await self._ask(self._token, venue.token, "balanceOf", self._address)
        return balance

    async def ether_balance(self) -> int:
        """Wei of the address on L1."""
        return await guarded(self._l1.balance(self._address))

    async def _require_ether(self, gas: int, value_wei: int = 0) -> None:
        fee, _ = await guarded(self._l1.fees())
        held = await self.ether_balance()
        if held < gas * fee + value_wei:
            raise InsufficientFunds(
                f"the L1 transactions may cost {(gas * fee + value_wei) / 10**18:.6f} ether, "
                f"{checksum_address(self._address)} has {held / 10**18:.6f}"
            )

    async def _ask(self, artifact: Artifact, address: bytes, function: str, *arguments: Any) -> Any:
        return await guarded(deployment.view(self._l1, artifact, address, function, *arguments))

    async def replace(self, transaction_hash: bytes, max_fee_wei: int | None, is_dropped: bool) -> Replaced:
        """Sends what waits on L1 again at its nonce, dearer, or nothing in its place; what was mined in the end.

        max_fee_wei: most per gas, the client's own by default. L1Refused, L1Unreachable, NotYet.
        """
        terms = msgspec.structs.replace(self._terms, max_fee_wei=max_fee_wei)
        sent = replace(self._l1, self._signer(), transaction_hash, terms, is_dropped=is_dropped)
        return await guarded(sent)

    def _signer(self) -> DigestSigner:
        if self._key is None:
            raise WalletError("this wallet was opened without its key")
        return DigestSigner(self._key.address, self._key.sign)

    async def _send(self, to: bytes, data: bytes, gas: int, value_wei: int = 0) -> Receipt:
        return await guarded(self._l1.send(self._signer(), to, data, value_wei, gas=gas, terms=self._terms))
