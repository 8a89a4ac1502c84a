"""One account as its agent trades it: free slots, native signatures, and what was placed, by its number."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
import trio

from l1_bridge.addresses import checksum_address
from prover.stf import containers
from sequencer.client.access import Identity, hidden_account
from sequencer.client.client import NodeClient
from sequencer.client.delivery import Placing, delivered
from sequencer.client.errors import ClientError, NodeUnreachable, Rejected
from sequencer.gateway.exact import oid, oid_of, order_name
from sequencer.schema.accounts import OpenOrder
from sequencer.schema.answers import OrderResult
from sequencer.schema.writing import to_wire
from sequencer.wallet.drafts import (
    OrderTerms,
    Place,
    RequestTerms,
    order_draft,
    permitted_slots,
    request_draft,
    with_recovery_id,
)
from sequencer.wallet.errors import BadInput
from sequencer.wallet.keys import SigningKey
from sequencer.wallet.record import CANCEL_ALL_SLOT
from sequencer.wallet.trust import Venue
from sequencer.wallet.word.keeping import Keeping

# Orders whose terms are remembered after they left.
_REMEMBERED: Final = 10_000
_CANCEL_ATTEMPTS: Final = 4
_RETRY_SECONDS: Final = 0.2

Outcome: TypeAlias = OrderResult | ClientError


class Wanted(msgspec.Struct, frozen=True):
    """An order as it is asked for; group: of orders of which one cancels the other, 0 for none.

    replaces: the order that has to stand in its slot. is_guard: it waits for a fill of the first that is asked for;
    after: of this one, by name.
    """

    terms: OrderTerms
    client_id: str = ""
    group: int = 0
    replaces: str = ""
    is_guard: bool = False
    after: str = ""


class Placed(msgspec.Struct, frozen=True):
    """What became of an order, and its number; 0 where it was never signed."""

    number: int
    outcome: Outcome


async def identity(traders: Mapping[int, "Trader"], account: int) -> Identity:
    """Who looks at an account here; BadInput at one that a node names and nobody asked for."""
    if account not in traders:
        raise BadInput(f"account {account} is none of this gateway's")
    return traders[account].identity


class Trader:
    """One account, one agent. Invariant: of two operations the later one is signed with the later time."""

    def __init__(
        self, node: NodeClient, venue: Venue, account: int, key: SigningKey, clock_ms: Callable[[], int]
    ) -> None:
        self.node = node
        self.account = account
        self.venue = venue
        # An order's terms by its number, for as long as they are remembered.
        self.placed: OrderedDict[int, Wanted] = OrderedDict()
        # What the sequencer signs is kept there, in a process that keeps it.
        self.keeping: Keeping | None = None
        self._key = key
        self._clock_ms = clock_ms
        self._signed_at = 0
        # When each slot was last signed for: the one that has rested longest comes next.
        self._used: dict[int, int] = {}
        self.lock = trio.Lock()

    @property
    def agent(self) -> bytes:
        """The address of the key that signs."""
        return self._key.address

    @property
    def identity(self) -> Identity:
        """By which a node that keeps accounts private knows the agent."""
        return Identity(self.venue.domain, self._key.sign)

    async def require_grant(self) -> None:
        """BadInput where the account has not let this agent trade."""
        shown = "0x" + self.agent.hex()
        try:
            view = await self.node.account(self.account)
        except Rejected as refusal:
            if hidden_account(refusal) is None:
                raise
            view = None
        grants = [] if view is None else view.agents
        if view is None or not any(grant is not None and grant.address.lower() == shown for grant in grants):
            raise BadInput(
                f"account {self.account} has not let {checksum_address(self.agent)} trade: its owner does by "
                f"`catenary wallet agent set --account {self.account} --agent {checksum_address(self.agent)} "
                "--expires 30d`"
            )
        permitted_slots(view, self.agent, self._clock_ms())

    async def place(self, wanted: Sequence[Wanted]) -> list[Placed]:
        """Signs and sends orders, each in a slot of its own; what cannot be signed is refused alone. Under `lock`."""
        view = await self.node.account(self.account)
        busy = {order.slot for order in view.open_orders}
        free = set(permitted_slots(view, self.agent, self._clock_ms())) - busy - {CANCEL_ALL_SLOT}
        placings: list[Placing] = []
        found: list[Placed | int] = []
        entry = ""
        for each in wanted:
            try:
                if each.is_guard and not entry:
                    raise BadInput("its entry cannot be placed")
                number, placing = self._signed(each, self._slot(each, free), view.floor, entry)
                entry = entry or order_name(self.account, number)
            except BadInput as error:
                found.append(Placed(0, error))
                continue
            placings.append(placing)
            found.append(number)
        block = 0 if self.keeping is None else self.keeping.block
        outcomes = iter(await self._delivered(placings) if placings else [])
        told = [each if isinstance(each, Placed) else Placed(each, next(outcomes)) for each in found]
        for one in told:
            if self.keeping is not None and isinstance(one.outcome, OrderResult):
                self.keeping.ordered(self.account, one.number & 0xFF, one.number >> 8, one.outcome, block)
        return told

    async def _delivered(self, placings: list[Placing]) -> list[Outcome]:
        try:
            return [*await delivered(self.node, placings)]
        except NodeUnreachable as error:
            return [error] * len(placings)

    def _slot(self, wanted: Wanted, free: set[int]) -> int:
        if wanted.terms.slot is not None:
            return wanted.terms.slot
        if not free:
            raise BadInput("every slot that this agent may use holds an open order")
        slot = min(free, key=lambda slot: (self._used.get(slot, 0), slot))
        free.remove(slot)
        return slot

    def _signed(self, wanted: Wanted, slot: int, floor: int, entry: str) -> tuple[int, Placing]:
        draft = order_draft(self.venue, wanted.terms, Place(self.account, slot, self._time(slot, floor)))
        signature = with_recovery_id(self._key.sign(draft.digest))
        number = oid(draft.message.slot, draft.message.sequence)
        self.placed[number] = wanted
        while len(self.placed) > _REMEMBERED:
            self.placed.popitem(last=False)
        beside: dict[str, str | int] = {"client_id": wanted.client_id, "group": wanted.group}
        beside |= {"replaces": wanted.replaces, "after": entry if wanted.is_guard else wanted.after}
        return number, (to_wire(draft.fields), signature, beside)

    def _time(self, slot: int, floor: int = 0) -> int:
        self._signed_at = self._used[slot] = max(self._clock_ms(), self._signed_at + 1, floor)
        return self._signed_at

    async def standing(self) -> dict[int, OpenOrder]:
        """Open orders by their numbers."""
        return {oid_of(order.order_id): order for order in await self.node.open_orders(self.account)}

    async def cancel(self, slot: int) -> None:
        """Takes the order in a slot out, at once and for nothing; Rejected. The sequencer's receipt is handed on."""
        terms = RequestTerms(kind="cancel", slot=slot, is_soft=True)
        for attempt in range(_CANCEL_ATTEMPTS):
            draft = request_draft(self.venue, terms, Place(self.account, slot, self._time(slot)), self.agent)
            signature = with_recovery_id(self._key.sign(draft.digest))
            try:
                result = await self.node.request("cancel", to_wire(draft.fields), signature)
            except NodeUnreachable:
                # One cancel more does what one did.
                if attempt == _CANCEL_ATTEMPTS - 1:
                    raise
                await trio.sleep(_RETRY_SECONDS * 2**attempt)
                continue
            assert isinstance(draft.message, containers.Request)
            if self.keeping is not None:
                self.keeping.cancelled(draft.message, result.receipt)
            return

    async def schedule_cancel(self, at_ms: int) -> None:
        """All orders leave at a time; 0 takes that back. Rejected, also where the grant does not begin at slot 0."""
        terms = RequestTerms(kind="cancel_all", is_soft=True)
        at = Place(self.account, CANCEL_ALL_SLOT, self._time(CANCEL_ALL_SLOT))
        draft = request_draft(self.venue, terms, at, self.agent)
        await self.node.schedule_cancel(to_wire(draft.fields), with_recovery_id(self._key.sign(draft.digest)), at_ms)

    async def fate(self, number: int | None, client_id: str = "") -> OrderResult | None:
        """What became of an order by its number, or by the client's name for it; None where it was never taken."""
        named = (
            {"account": self.account, "client_id": client_id}
            if number is None
            else {"account": self.account, "slot": number & 0xFF, "sequence": number >> 8}
        )
        try:
            return await self.node.fate(**named)
        except Rejected as refusal:
            if refusal.rejection == "UNKNOWN_ORDER":
                return None
            raise
