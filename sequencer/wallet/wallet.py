"""A trader's side of the venue: builds every operation itself, signs it only for a genuine rollup, believes only L1."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio

from l1_bridge.client.client import L1Client, L1Error, L1Rejected, Receipt, Signer
from l1_bridge.codec import batch
from l1_bridge.contracts.artifact import ArtifactError, load_artifact
from prover.contracts.deployment import DEVNET_CHAINS
from prover.stf import codes, constants, containers
from sequencer.client.client import AccountView, EntryView, NodeClient, OrderResult, RequestResult, Status, wire
from sequencer.wallet.announcements import Announcement, announcements
from sequencer.wallet.drafts import (
    Draft,
    OrderTerms,
    RequestTerms,
    draft,
    permitted_slots,
    request_text,
    with_recovery_id,
)
from sequencer.wallet.errors import (
    BadInput,
    BadProof,
    InsufficientFunds,
    L1Refused,
    L1Unreachable,
    NodeUnreachable,
    NotGenuine,
    NotYet,
    Rejected,
    WalletError,
    WrongChain,
)
from sequencer.wallet.keys import Key
from sequencer.wallet.pin import RollupPin, introduction
from sequencer.wallet.record import CANCEL_ALL_SLOT, Signed, SignedRecord, last_sequence, next_slot
from sequencer.wallet.trust import (
    ProvenAccount,
    ProvenWithdrawal,
    Venue,
    VerdictCache,
    check_markets,
    examine,
    examine_alone,
    listed_markets,
    prove_account,
    prove_globals,
    prove_withdrawal,
)
from sequencer.wallet.units import checksum_address, milliseconds, money_text, units_text

MAX_CLOCK_SKEW_MS: Final = 5_000
REQUEST_LIFETIME_MS: Final = 60_000
# Measured on the shipped contracts (approve 46k, deposit 105k to 153k, claim 119k) and doubled: real tokens cost more.
_Event = TypeVar("_Event")

APPROVE_GAS: Final = 100_000
DEPOSIT_GAS: Final = 350_000
CLAIM_GAS: Final = 350_000


class Deposited(msgspec.Struct, frozen=True):
    """A deposit that the node has booked."""

    account: int
    amount_micros: int
    queue_index: int
    transaction_hash: str


class Forced(msgspec.Struct, frozen=True):
    """An entry of the L1 queue. code: what it came to, None while the node has not said so."""

    queue_index: int
    transaction_hash: str
    due_at: int
    code: int | None
    rejection: str
    done: bool
    withdrawal: int | None


class Claimed(msgspec.Struct, frozen=True):
    """A withdrawal that L1 has paid."""

    index: int
    recipient: str
    amount_micros: int
    batch: int
    transaction_hash: str
    gas_used: int


class Wallet:
    """One address at one node and one L1. Without a key it can look, draft and prove, but not sign."""

    def __init__(
        self,
        node: NodeClient,
        l1: L1Client,
        address: bytes,
        directory: Path,
        *,
        key: Key | None = None,
        expected_rollup: bytes | None = None,
        warn: Callable[[str], None] = lambda sentence: None,
        tell: Callable[[str], None] = lambda sentence: None,
        clock_ms: Callable[[], int] = milliseconds,
        poll_seconds: float = 1.0,
    ) -> None:
        assert key is None or key.address == address, "the key is the address's own"
        self.node = node
        self.l1 = l1
        self.address = address
        self.record = SignedRecord(directory / f"{checksum_address(address)}.signed.jsonl")
        self._cache = VerdictCache(directory / "verified.json")
        self._pin = RollupPin(directory / "rollup.json")
        self._key = key
        self._expected_rollup = expected_rollup
        self._warn = warn
        self._tell = tell
        self._clock_ms = clock_ms
        self._poll_seconds = poll_seconds
        self._venue: Venue | None = None
        self._venue_alone: Venue | None = None
        self._bridge = batch.bridge_artifact()
        self._token = load_artifact("MockDollar")

    # Whom this wallet deals with.

    async def venue(self, status: Status | None = None) -> Venue:
        """The venue behind the node, once it was found genuine on L1; asked once a wallet."""
        if self._venue is None:
            status = status or await self.node.status()
            skew = status.now_ms - self._clock_ms()
            if abs(skew) > MAX_CLOCK_SKEW_MS:
                where = "ahead of" if skew > 0 else "behind"
                self._warn(f"the node's clock is {abs(skew) / 1000:.1f} s {where} this one: orders may be refused")
            venue = await examine(self.l1, status, self._cache, self._expected_rollup)
            venue = await self._as_governed(venue)
            check_markets(venue, await self.node.markets())
            if self._pin.admit(venue, is_named=self._expected_rollup is not None):
                for sentence in introduction(venue, self._pin):
                    self._tell(sentence)
            self._venue = venue
        return self._venue

    async def forced_venue(self) -> Venue:
        """The venue for a forced operation: with the node where it is honest, else by L1 and the rollup's address.

        L1 alone knows the markets of genesis; whatever was listed since is called by its index.
        """
        try:
            return await self.venue()
        except (NodeUnreachable, NotGenuine, BadProof) as error:
            if self._expected_rollup is None:
                if not isinstance(error, NodeUnreachable):
                    raise
                raise NodeUnreachable(
                    "the node does not answer: name the rollup with --rollup-address, and L1 is enough"
                ) from None
            if self._venue_alone is None:
                self._warn(f"the node is no help ({error}): L1 alone has to do")
                self._venue_alone = await examine_alone(self.l1, self._expected_rollup, self._cache)
            return self._venue_alone

    async def announcements(self) -> list[Announcement]:
        """What the venue's governor has announced, the oldest first."""
        return await self._announced(await self.forced_venue())

    async def _announced(self, venue: Venue) -> list[Announcement]:
        identity = batch.BridgeId(venue.chain_id, venue.rollup)
        try:
            made: list[Announcement] = await self._guarded(announcements(self.l1, identity, venue.block))
        except (batch.LogError, ArtifactError) as error:
            raise L1Unreachable(f"the L1 node's logs are not the bridge's: {error}") from None
        return made

    async def posted_globals(self, venue: Venue) -> containers.Globals | None:
        """The globals by the newest posted batch, proven against L1; None before the first."""
        try:
            proof = await self.node.globals()
        except Rejected as error:
            if error.rejection == "NOT_READY":
                return None
            raise
        return await prove_globals(self.l1, venue, proof)

    async def _as_governed(self, venue: Venue) -> Venue:
        # What the code is stands for ever; what it charges and lists does not, where there is a governor.
        globals = None if venue.governor == containers.NOBODY else await self.posted_globals(venue)
        if globals is None:
            return venue
        signers = tuple(signer for signer in globals.signers if signer != containers.NOBODY)
        return msgspec.structs.replace(
            venue, markets=listed_markets(globals), posting_fee_micros=globals.posting_fee, oracle_signers=signers
        )

    async def own_account(self, account: int | None) -> int:
        """The account to act on: the given one, or the only one that the address owns."""
        if account is not None:
            if not constants.RESERVED_ACCOUNTS <= account < constants.NEW_ACCOUNT:
                raise BadInput(f"{account} is no trader's account")
            return account
        owned = await self.node.accounts(self.address)
        if not owned:
            raise BadInput(
                f"{checksum_address(self.address)} has no account yet: `catenary wallet deposit` opens one; an agent "
                "names its owner's account with --account"
            )
        if len(owned) > 1:
            raise BadInput(f"this address owns the accounts {', '.join(map(str, owned))}: name one with --account")
        return owned[0]

    # Building. Nothing here is taken from the node but which slots it holds busy.

    async def draft_order(self, terms: OrderTerms, account: int) -> Draft:
        """An order as it would be signed now."""
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            return self._order(venue, terms, account, view, entries)

    def _order(
        self, venue: Venue, terms: OrderTerms, account: int, view: AccountView, entries: dict[str, Signed]
    ) -> Draft:
        market = venue.market(terms.market)
        immediate = terms.time_in_force != constants.GOOD_TILL_TIME
        longest = constants.IMMEDIATE_LIFETIME if immediate else constants.ORDER_LIFETIME
        lifetime = longest if terms.lifetime_ms is None else terms.lifetime_ms
        if lifetime > longest:
            raise BadInput(f"this order may live {longest // 1000} s at most, not {lifetime / 1000:g} s")
        if terms.size >= constants.SIZE_BOUND or max(terms.limit_price, terms.trigger_price) >= 2**48:
            raise BadInput("size or price is larger than the law can hold")
        if terms.post_only and immediate:
            raise BadInput("a post-only order rests in the book: it cannot be ioc or fok")
        fee = max(market.maker_fee_ppm, market.taker_fee_ppm) if terms.max_fee_ppm is None else terms.max_fee_ppm
        slot = self._slot(venue, account, view, entries, terms.slot)
        created_at = self._created_at(venue, account, slot, view, entries)
        order = containers.Order(
            account=account,
            market=market.index,
            side=terms.side,
            size=terms.size,
            limit_price=terms.limit_price,
            slot=slot,
            sequence=created_at,
            created_at=created_at,
            expires_at=created_at + lifetime,
            time_in_force=terms.time_in_force,
            post_only=int(terms.post_only),
            reduce_only=int(terms.reduce_only),
            trigger=terms.trigger,
            trigger_price=terms.trigger_price,
            max_fee_ppm=fee,
            max_posting_fee=venue.posting_fee_micros,
            unused=0,
        )
        size = units_text(order.size, market.size_decimals)
        price = units_text(order.limit_price, market.price_decimals)
        side = "buy" if order.side == constants.BUY else "sell"
        return draft(venue, "order", order, order.size * order.limit_price, f"{side} {size} {market.name} at {price}")

    async def draft_request(self, terms: RequestTerms, account: int) -> Draft:
        """A withdrawal, transfer, cancel, grant or bound as it would be signed now."""
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            return self._request(venue, terms, account, view, entries)

    def _request(
        self, venue: Venue, terms: RequestTerms, account: int, view: AccountView, entries: dict[str, Signed]
    ) -> Draft:
        kind = terms.kind
        assert kind != "cancel" or terms.slot != CANCEL_ALL_SLOT, "a cancel names its slot"
        wanted = CANCEL_ALL_SLOT if kind == "cancel_all" else terms.slot or None
        slot = self._slot(venue, account, view, entries, wanted)
        created_at = self._created_at(venue, account, slot, view, entries)
        request = containers.Request(
            account=account,
            slot=slot,
            sequence=created_at,
            created_at=created_at,
            expires_at=created_at + REQUEST_LIFETIME_MS,
            amount=terms.amount,
            other=terms.other,
            # Invariant: money goes to the address of the key that signs, unless somebody else is named.
            recipient=self.address if kind == "withdraw" and terms.recipient == containers.NOBODY else terms.recipient,
            first_slot=terms.first_slot,
            last_slot=terms.last_slot,
        )
        value = terms.amount if kind in ("withdraw", "transfer") else 0
        return draft(venue, kind, request, value, request_text(kind, request))

    def _slot(
        self, venue: Venue, account: int, view: AccountView, entries: dict[str, Signed], wanted: int | None
    ) -> int:
        permitted = permitted_slots(view, self.address, self._clock_ms())
        if wanted is not None:
            if wanted not in permitted:
                what = "every slot" if wanted == CANCEL_ALL_SLOT else f"slot {wanted}"
                raise BadInput(f"this key is an agent of account {account}, and its grant does not cover {what}")
            return wanted
        held = {order.slot for order in view.open_orders}
        hinted = None if view.slots_hint is None else view.slots_hint.slot
        rollup = checksum_address(venue.rollup)
        return next_slot(entries.values(), account, self._clock_ms(), held, hinted, rollup, permitted)

    def _created_at(self, venue: Venue, account: int, slot: int, view: AccountView, entries: dict[str, Signed]) -> int:
        """The local time, at least one above everything that was signed for the slot; it is the sequence as well."""
        now = self._clock_ms()
        lowest = max(last_sequence(entries.values(), account, slot, checksum_address(venue.rollup)) + 1, view.floor)
        if view.slots_hint is not None and view.slots_hint.slot == slot:
            lowest = max(lowest, view.slots_hint.sequence)
        # Invariant: no node can talk this wallet into signing a time that is not this computer's own.
        if lowest > now + MAX_CLOCK_SKEW_MS:
            raise BadInput(f"slot {slot} of account {account} has a sequence ahead of this clock: set the clock")
        return max(now, lowest)

    # Signing and sending.

    async def order(self, terms: OrderTerms, account: int) -> tuple[Draft, OrderResult]:
        """Signs and submits an order; Rejected with the law's code where it is refused."""
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            drafted = self._order(venue, terms, account, view, entries)
            signature = self._sign(venue, drafted)
        try:
            result = await self.node.order(wire(drafted.fields), signature)
        except Rejected:
            self._note(drafted, "refused")
            raise
        self._note(drafted, result.status)
        return drafted, result

    async def request(self, terms: RequestTerms, account: int) -> tuple[Draft, RequestResult]:
        """Signs and submits a withdrawal, transfer, cancel, grant or bound; Rejected where it is refused."""
        kind = terms.kind
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            drafted = self._request(venue, terms, account, view, entries)
            signature = self._sign(venue, drafted)
            covered = {
                digest
                for digest, entry in entries.items()
                if kind in ("cancel", "cancel_all")
                and (entry.account, entry.kind, entry.rollup) == (account, "order", checksum_address(venue.rollup))
                and (kind == "cancel_all" or entry.slot == terms.slot)
                and not entry.is_done
            }
        try:
            result = await self.node.request(kind, wire(drafted.fields), signature)
        except Rejected:
            self._note(drafted, "refused")
            raise
        self._note(drafted, "applied")
        self.record.mark(covered, "cancelled")
        return drafted, result

    def _sign(self, venue: Venue, drafted: Draft) -> bytes:
        """The 65-byte signature; recorded before it exists anywhere else. Only while the record is locked."""
        if self._key is None:
            raise WalletError("this wallet was opened without its key")
        compact = self._key.sign(drafted.digest)
        message = drafted.message
        entry = Signed(
            digest="0x" + drafted.digest.hex(),
            kind=drafted.kind,
            chain_id=venue.chain_id,
            rollup=checksum_address(venue.rollup),
            account=message.account,
            slot=message.slot,
            sequence=message.sequence,
            expires_at_ms=message.expires_at,
            value_micros=drafted.value_micros,
            text=drafted.text,
        )
        self.record.append([entry])
        return with_recovery_id(compact)

    def _note(self, drafted: Draft, status: str) -> None:
        self.record.mark({"0x" + drafted.digest.hex()}, status)
        self.record.compact(self._clock_ms())

    # L1.

    async def take_play_money(self) -> None:
        """Play dollars and a little ether from the node's faucet; WrongChain where there is no play money."""
        status = await self.node.status()
        if status.chain_id not in DEVNET_CHAINS:
            raise WrongChain(f"the faucet gives play money on devnets only, this is chain {status.chain_id}")
        await self.node.faucet(self.address)

    async def deposit(self, amount_micros: int, account: int | None, timeout_seconds: float) -> Deposited:
        """Approves and deposits dollars on L1, then waits until the node has booked them; None opens an account.

        An insurance account takes money from anybody, and gives none back.
        """
        venue = await self.venue()
        if amount_micros < venue.minimum_deposit_micros:
            raise BadInput(f"the bridge takes {money_text(venue.minimum_deposit_micros)} at least")
        is_insurance = account is not None and constants.FEE_ACCOUNT < account < constants.RESERVED_ACCOUNTS
        mine = "0x" + self.address.hex()
        if account is not None and not is_insurance and (await self.node.account(account)).owner.lower() != mine:
            raise BadInput(f"account {account} is somebody else's: the law would refund the deposit as a withdrawal")
        held = await self.token_balance()
        if held < amount_micros:
            needed = f"{money_text(amount_micros)} are needed on L1, {checksum_address(self.address)} has"
            raise InsufficientFunds(f"{needed} {money_text(held)}")
        await self._require_ether(APPROVE_GAS + DEPOSIT_GAS)
        before = set(await self.node.accounts(self.address))
        if await self._ask(self._token, venue.token, "allowance", self.address, venue.rollup) < amount_micros:
            approval = self._token.encode_call("approve", venue.rollup, amount_micros)
            await self._send(venue.token, approval, APPROVE_GAS)
        index = constants.NEW_ACCOUNT if account is None else account
        receipt = await self._send(venue.rollup, batch.encode_deposit(self.address, index, amount_micros), DEPOSIT_GAS)
        entry = self._entry_of(venue, receipt).index
        with trio.move_on_after(timeout_seconds):
            while (await self.node.status()).sequenced.queue_count <= entry:
                await trio.sleep(self._poll_seconds)
            if account is None:
                opened = set(await self.node.accounts(self.address)) - before
                if not opened:
                    raise Rejected(0, "REFUNDED", f"deposit {entry} opened no account and became a withdrawal")
                account = min(opened)
            return Deposited(account, amount_micros, entry, "0x" + receipt.transaction_hash.hex())
        raise NotYet(
            f"deposit {entry} is on L1 (0x{receipt.transaction_hash.hex()}), but the node has not booked it within "
            f"{timeout_seconds:g} s; it will, or the sequencer loses its seat"
        )

    async def force(self, tag: int, payload: bytes, timeout_seconds: float) -> Forced:
        """Queues an operation on L1, where nobody can leave it out, and waits for what the node says it came to."""
        venue = await self.forced_venue()
        fee = (await self._parameters(venue)).entry_fee_wei
        return await self._queued(
            venue, batch.encode_entry(tag, payload), batch.entry_gas(payload), fee, timeout_seconds
        )

    async def announce(self, tag: int, payload: bytes) -> Announcement:
        """The governor says on L1 what is to change; anybody may enact it after the venue's delay."""
        venue = await self.forced_venue()
        self._require_governor(venue)
        gas = batch.entry_gas(payload)
        await self._require_ether(gas)
        receipt = await self._send(venue.rollup, self._bridge.encode_call("announce", tag, payload), gas)
        event = self._event_of(venue, receipt, batch.Announced)
        return Announcement(event.announcement, tag, payload, event.enactable_at, "waiting")

    async def retract(self, announcement: bytes) -> None:
        """The governor takes back what it announced."""
        venue = await self.forced_venue()
        self._require_governor(venue)
        gas = batch.entry_gas(b"")
        await self._require_ether(gas)
        await self._send(venue.rollup, self._bridge.encode_call("retract", announcement), gas)

    async def enact(self, tag: int, payload: bytes, timeout_seconds: float) -> Forced:
        """Queues what was announced long enough ago, as anybody may, and waits for what it came to."""
        venue = await self.forced_venue()
        data = self._bridge.encode_call("enact", tag, payload)
        return await self._queued(venue, data, batch.entry_gas(payload), 0, timeout_seconds)

    def _require_governor(self, venue: Venue) -> None:
        if venue.governor != self.address:
            who = "nobody" if venue.governor == containers.NOBODY else checksum_address(venue.governor)
            raise BadInput(f"{checksum_address(self.address)} is not the governor of this venue, {who} is")

    async def _queued(self, venue: Venue, data: bytes, gas: int, fee: int, timeout_seconds: float) -> Forced:
        await self._require_ether(gas, fee)
        receipt = await self._send(venue.rollup, data, gas, fee)
        entry = self._entry_of(venue, receipt)
        found: EntryView | None = None
        with trio.move_on_after(timeout_seconds):
            while found is None:
                await trio.sleep(self._poll_seconds)
                with suppress(NodeUnreachable):
                    found = await self.node.queue_entry(entry.index)
        return Forced(
            queue_index=entry.index,
            transaction_hash="0x" + receipt.transaction_hash.hex(),
            due_at=entry.due_at,
            code=None if found is None else found.code,
            rejection="" if found is None or found.code == codes.OK else found.name,
            done=found is not None and found.done,
            withdrawal=None if found is None else found.withdrawal,
        )

    async def _parameters(self, venue: Venue) -> batch.Parameters:
        data = await self._guarded(self.l1.eth_call(venue.rollup, self._bridge.encode_call("parameters")))
        return batch.decode_record(batch.Parameters, data)

    def _entry_of(self, venue: Venue, receipt: Receipt) -> batch.Enqueued:
        return self._event_of(venue, receipt, batch.Enqueued)

    def _event_of(self, venue: Venue, receipt: Receipt, kind: type[_Event]) -> _Event:
        identity = batch.BridgeId(venue.chain_id, venue.rollup)
        for log in receipt.logs:
            if log.address == venue.rollup:
                event = batch.decode_log(identity, log)
                if isinstance(event, kind):
                    return event
        raise L1Unreachable(f"the L1 node's receipt holds no {kind.__name__} of the bridge")

    async def prove(self, account: int) -> ProvenAccount:
        """The account as the last posted batch holds it, by a proof against L1; NotYet, or BadProof for a lie."""
        venue = await self.venue()
        try:
            proof = await self.node.proof(account)
        except Rejected as error:
            if error.rejection != "NOT_READY":
                raise
            raise NotYet(f"the node has no proof of account {account} in a posted batch ({error})") from None
        return await prove_account(self.l1, venue, account, proof)

    async def prove_withdrawal(self, index: int) -> ProvenWithdrawal:
        """A withdrawal as a posted batch holds it, by a proof against L1; NotYet, or BadProof for a lie."""
        venue = await self.venue()
        try:
            proof = await self.node.withdrawal_proof(index)
        except Rejected as error:
            if error.rejection != "NOT_READY":
                raise
            raise NotYet(f"withdrawal {index} is in no posted batch by the node's word") from None
        return await prove_withdrawal(self.l1, venue, index, proof)

    async def claim(self, index: int, wait: bool, timeout_seconds: float) -> Claimed:
        """Has L1 pay a withdrawal once its batch is final; NotYet before that; `wait` waits as long as the time-out."""
        venue = await self.venue()
        if await self._ask(self._bridge, venue.rollup, "is_claimed", index):
            raise L1Refused(f"withdrawal {index} has been paid already")
        deadline = trio.current_time() + (timeout_seconds if wait else 0)
        while True:
            try:
                proven = await self._final_withdrawal(venue, index)
                break
            except NotYet:
                if trio.current_time() >= deadline:
                    raise
            await trio.sleep(self._poll_seconds)
        await self._require_ether(CLAIM_GAS)
        calldata = batch.encode_claim(proven.batch_number, proven.commitment, proven.withdrawal, proven.proof)
        receipt = await self._send(venue.rollup, calldata, CLAIM_GAS)
        return Claimed(
            index=index,
            recipient=checksum_address(proven.withdrawal.recipient),
            amount_micros=proven.withdrawal.amount_micros,
            batch=proven.batch_number,
            transaction_hash="0x" + receipt.transaction_hash.hex(),
            gas_used=receipt.gas_used,
        )

    async def _final_withdrawal(self, venue: Venue, index: int) -> ProvenWithdrawal:
        proven = await self.prove_withdrawal(index)
        final_at = await self._ask(self._bridge, venue.rollup, "final_at", proven.batch_number)
        head = await self._guarded(self.l1.block("latest"))
        left = final_at - (0 if head is None else head.timestamp)
        if left > 0:
            raise NotYet(f"withdrawal {index} is posted in batch {proven.batch_number}, which is final in {left} s")
        return proven

    async def token_balance(self) -> int:
        """Micro-dollars of the address on L1."""
        venue = await self.venue()
        balance: int = await self._ask(self._token, venue.token, "balanceOf", self.address)
        return balance

    async def ether_balance(self) -> int:
        """Wei of the address on L1."""
        balance: int = await self._guarded(self.l1.balance(self.address))
        return balance

    async def _require_ether(self, gas: int, value_wei: int = 0) -> None:
        fee, _ = await self._guarded(self.l1.fees())
        held = await self.ether_balance()
        if held < gas * fee + value_wei:
            raise InsufficientFunds(
                f"the L1 transactions may cost {(gas * fee + value_wei) / 10**18:.6f} ether, "
                f"{checksum_address(self.address)} has {held / 10**18:.6f}"
            )

    async def _ask(self, artifact: Any, address: bytes, function: str, *arguments: Any) -> Any:
        data = await self._guarded(self.l1.eth_call(address, artifact.encode_call(function, *arguments)))
        return artifact.decode_result(function, data)

    async def _send(self, to: bytes, data: bytes, gas: int, value_wei: int = 0) -> Receipt:
        if self._key is None:
            raise WalletError("this wallet was opened without its key")
        receipt: Receipt = await self._guarded(self.l1.send(Signer(self._key.expose()), to, data, value_wei, gas=gas))
        return receipt

    async def _guarded(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except L1Rejected as error:
            raise L1Refused(f"L1 refused: {error.reason}") from None
        except L1Error as error:
            raise L1Unreachable(str(error)) from None
