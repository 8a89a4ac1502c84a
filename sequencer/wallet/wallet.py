"""A trader's side of the venue: builds every operation itself, signs it only for a genuine rollup, believes only L1."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from l1_bridge.addresses import checksum_address
from l1_bridge.client.client import L1Client
from prover.signing import operations
from prover.signing.operations import order_name
from prover.signing.receipts import Acknowledgement
from prover.stf import constants, containers
from sequencer.client.client import NodeClient
from sequencer.client.delivery import Placing, delivered, placed
from sequencer.client.errors import Rejected
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import AcknowledgementView, OrderResult, RequestResult
from sequencer.schema.writing import to_wire
from sequencer.wallet.drafts import (
    Draft,
    OrderTerms,
    Place,
    RequestTerms,
    order_draft,
    permitted_slots,
    request_draft,
    sized_refusal,
    with_recovery_id,
)
from sequencer.wallet.errors import BadInput, BrokenReceipt, L1Unreachable, WalletError
from sequencer.wallet.keys import SigningKey
from sequencer.wallet.record import (
    CANCEL_ALL_SLOT,
    AcknowledgementRecord,
    KeptReceipt,
    ReceiptRecord,
    Signed,
    SignedRecord,
    last_sequence,
    next_slot,
)
from sequencer.wallet.trust import Venue
from sequencer.wallet.verified import MAX_CLOCK_SKEW_MS, Verified, WalletOptions
from sequencer.wallet.word.promises import BrokenPromise, Promises, taken_lots

if TYPE_CHECKING:
    from sequencer.wallet.bridge import Bridge, Broken


class Wallet:
    """One address at one node and one L1. Without a key it can look, draft and prove, but not sign."""

    def __init__(
        self,
        node: NodeClient,
        l1: L1Client,
        address: bytes,
        directory: Path,
        key: SigningKey | None = None,
        options: WalletOptions | None = None,
    ) -> None:
        assert key is None or key.address == address, "the key is the address's own"
        options = options or WalletOptions()
        self.node = node
        self.address = address
        self.record = SignedRecord(directory / f"{checksum_address(address)}.signed.jsonl")
        self.promises = Promises(
            l1, AcknowledgementRecord(directory / f"{checksum_address(address)}.acknowledged.jsonl")
        )
        self.receipts = ReceiptRecord(directory / f"{checksum_address(address)}.receipts.jsonl")
        self.verified = Verified(node, l1, directory, options)
        self._l1 = l1
        self._key = key
        self._options = options
        self._directory = directory
        self._clock_ms = options.clock_ms

    @functools.cached_property
    def bridge(self) -> "Bridge":
        """The rollup's contract as this address uses it."""
        # A twentieth of a reading command's start, and none of those needs it.
        from sequencer.wallet.bridge import Bridge

        return Bridge(self.node, self._l1, self.verified, self.address, self._key, self._options, self._directory)

    async def venue(self) -> Venue:
        """The venue behind the node, found genuine on L1."""
        return await self.verified.venue()

    async def own_account(self, account: int | None) -> int:
        """The account to act on: the given one, or the only one that the address owns."""
        if account is not None:
            return _traders(account)
        owned = await self.node.accounts(self.address)
        if not owned:
            raise BadInput(
                f"{checksum_address(self.address)} has no account yet: `catenary wallet deposit` opens one; an agent "
                "names its owner's account with --account"
            )
        return _only(owned)

    async def forced_account(self, account: int | None) -> int:
        """The account to act on through L1: the given one, or the only one that L1 proves to be the address's."""
        if account is not None:
            return _traders(account)
        return _only(await self.bridge.entries.own_accounts(await self.verified.forced_venue()))

    # Building. Nothing here is taken from the node but which slots it holds busy.

    async def draft_order(self, terms: OrderTerms, account: int) -> Draft:
        """An order as it would be signed now."""
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            return order_draft(venue, terms, self._place(venue, account, view, entries, terms.slot))

    async def draft_request(self, terms: RequestTerms, account: int) -> Draft:
        """A withdrawal, transfer, cancel, grant or bound as it would be signed now."""
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            return self._request(venue, terms, account, view, entries)

    def _request(
        self, venue: Venue, terms: RequestTerms, account: int, view: AccountView, entries: dict[str, Signed]
    ) -> Draft:
        assert terms.kind != "cancel" or terms.slot != CANCEL_ALL_SLOT, "a cancel names its slot"
        wanted = CANCEL_ALL_SLOT if terms.kind == "cancel_all" else terms.slot or None
        return request_draft(venue, terms, self._place(venue, account, view, entries, wanted), self.address)

    def _place(
        self, venue: Venue, account: int, view: AccountView, entries: dict[str, Signed], wanted: int | None
    ) -> Place:
        slot = self._slot(venue, account, view, entries, wanted)
        return Place(account, slot, self._created_at(venue, account, slot, view, entries))

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

    async def order(
        self, terms: OrderTerms, account: int, beside: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[Draft, OrderResult]:
        """Signs and submits an order; Rejected with the law's code where it is refused. beside: what is not signed."""
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            drafted = order_draft(venue, terms, self._place(venue, account, view, entries, terms.slot))
            signature = self._sign(venue, drafted, entries)
        block = await self.promises.first_block(venue)
        try:
            result = await placed(self.node, (to_wire(drafted.fields), signature, beside))
        except Rejected as refusal:
            self._note(drafted, "refused")
            raise sized_refusal(refusal, venue.market(terms.market)) from None
        self._note(drafted, result.status)
        await self._keep_promise(venue, drafted, result.acknowledgement, taken_lots(result), block)
        return drafted, result

    async def bracket(
        self, entry: OrderTerms, guards: Sequence[OrderTerms], account: int, beside: Mapping[str, Any]
    ) -> list[tuple[Draft, OrderResult | Rejected]]:
        """Signs and submits an entry and the orders that come after it, of which one cancels the other."""
        venue = await self.venue()
        market = venue.market(entry.market)
        view = await self.node.account(account)
        placings: list[Placing] = []
        drafts: list[Draft] = []
        with self.record.locked() as entries:
            for terms in (entry, *guards):
                drafted = order_draft(venue, terms, self._place(venue, account, view, entries, terms.slot))
                asked = dict(beside)
                if drafts:
                    first = drafts[0].message
                    name = order_name(account, first.slot, first.sequence)
                    asked = {"after": name, "group": beside["group"] or first.sequence % (2**32 - 1) + 1}
                drafts.append(drafted)
                placings.append((to_wire(drafted.fields), self._sign(venue, drafted, entries), asked))
        block = await self.promises.first_block(venue)
        results = await delivered(self.node, placings)
        for drafted, result in zip(drafts, results, strict=True):
            self._note(drafted, "refused" if isinstance(result, Rejected) else result.status)
            if not isinstance(result, Rejected):
                await self._keep_promise(venue, drafted, result.acknowledgement, taken_lots(result), block)
        told = [sized_refusal(result, market) if isinstance(result, Rejected) else result for result in results]
        return [*zip(drafts, told, strict=True)]

    async def request(self, terms: RequestTerms, account: int) -> tuple[Draft, RequestResult]:
        """Signs and submits a withdrawal, transfer, cancel, grant or bound; Rejected where it is refused."""
        kind = terms.kind
        venue = await self.venue()
        view = await self.node.account(account)
        with self.record.locked() as entries:
            drafted = self._request(venue, terms, account, view, entries)
            signature = self._sign(venue, drafted, entries)
            covered = {
                digest
                for digest, entry in entries.items()
                if kind in ("cancel", "cancel_all")
                and (entry.account, entry.kind, entry.rollup) == (account, "order", checksum_address(venue.rollup))
                and (kind == "cancel_all" or entry.slot == terms.slot)
                and not entry.is_done
            }
        block = await self.promises.first_block(venue)
        try:
            result = await self.node.request(kind, to_wire(drafted.fields), signature)
        except Rejected:
            self._note(drafted, "refused")
            raise
        self._note(drafted, "applied")
        message = drafted.message
        if kind in ("cancel", "cancel_all") and message.max_posting_fee == 0:
            # Without the sequencer's word what it was to take out counts as open.
            assert isinstance(message, containers.Request)
            self.receipts.append([await self.bridge.word_on(venue, message, result.receipt, self._clock_ms())])
        else:
            await self._keep_promise(venue, drafted, result.acknowledgement, 0, block)
        self.record.mark(covered, "cancelled")
        return drafted, result

    async def _keep_promise(
        self, venue: Venue, drafted: Draft, given: AcknowledgementView | None, filled_lots: int, block: int
    ) -> None:
        """What was taken is taken, whatever its promise is worth: the owner is told, and nothing is undone."""
        expected = Acknowledgement(
            operations.TAG_OF_KIND[drafted.kind],
            drafted.message.account,
            drafted.message.slot,
            drafted.message.sequence,
            filled_lots,
            self._clock_ms(),
        )
        try:
            await self.promises.keep(venue, expected, given, block)
        except (BrokenReceipt, L1Unreachable) as error:
            self._options.warn(f"no promise that this will be posted: {error}")

    async def broken_promises(self, also: AcknowledgementRecord | None = None) -> tuple[int, list[BrokenPromise]]:
        """How many acknowledgements of this rollup are kept, and which of them L1 does not bear out."""
        venue = await self.venue()
        here = (venue.chain_id, checksum_address(venue.rollup))
        every = [*self.promises.record.read(), *(also.read() if also else [])]
        kept = [one for one in every if (one.chain_id, one.rollup) == here]
        return len(kept), await self.promises.broken(venue, kept)

    async def checked_receipts(self, also: ReceiptRecord | None = None) -> tuple[list[KeptReceipt], list["Broken"]]:
        """The receipts of this rollup that are kept, and what L1 holds against them."""
        venue = await self.venue()
        here = (venue.chain_id, checksum_address(venue.rollup))
        kept = [
            one for one in [*self.receipts.read(), *(also.read() if also else [])] if (one.chain_id, one.rollup) == here
        ]
        return kept, await self.bridge.broken(venue, kept)

    def _sign(self, venue: Venue, drafted: Draft, entries: dict[str, Signed]) -> bytes:
        """The 65-byte signature; recorded before it exists anywhere else. entries: of the record, which is locked."""
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
        entries[entry.digest] = entry
        return with_recovery_id(compact)

    def _note(self, drafted: Draft, status: str) -> None:
        self.record.mark({"0x" + drafted.digest.hex()}, status)
        self.record.compact(self._clock_ms())


def _traders(account: int) -> int:
    if not constants.RESERVED_ACCOUNTS <= account < constants.NEW_ACCOUNT:
        raise BadInput(f"{account} is no trader's account")
    return account


def _only(owned: list[int]) -> int:
    if len(owned) > 1:
        raise BadInput(f"this address owns the accounts {', '.join(map(str, owned))}: name one with --account")
    return owned[0]
