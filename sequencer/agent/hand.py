"""What signs and sends for an agent: each order is in the journal before it leaves, and sent until it is known."""

from collections.abc import Callable
from typing import Any, Final

from prover.signing.operations import order_name
from prover.stf import constants, containers
from sequencer.agent.journal import Ended, Journal, Signed
from sequencer.client.access import Identity
from sequencer.client.client import NodeClient
from sequencer.client.delivery import delivered
from sequencer.client.errors import Rejected
from sequencer.schema.answers import OrderResult
from sequencer.schema.writing import to_wire
from sequencer.wallet.drafts import (
    OrderTerms,
    Place,
    RequestTerms,
    order_draft,
    request_draft,
    with_recovery_id,
)
from sequencer.wallet.keys import SigningKey
from sequencer.wallet.trust import Venue
from sequencer.wallet.word.keeping import Keeping

# Of an order that ended so, nothing more is filled.
OVER: Final = frozenset(("filled", "cancelled", "expired", "reduced", "voided", "refused"))


class Hand:
    """One account, one agent's key. Invariant: nothing is sent that does not stand in the journal."""

    def __init__(
        self,
        node: NodeClient,
        venue: Venue,
        account: int,
        key: SigningKey,
        journal: Journal,
        clock_ms: Callable[[], int],
        keeping: Keeping | None = None,
    ) -> None:
        """keeping: where what the sequencer signs is kept."""
        self.node = node
        self.venue = venue
        self.account = account
        self.clock_ms = clock_ms
        self._key = key
        self._journal = journal
        self._keeping = keeping

    def identity(self, key: SigningKey | None) -> Identity:
        """By which a node that keeps accounts private knows a key, the agent's where it is None."""
        return Identity(self.venue.domain, (key or self._key).sign)

    async def place(self, task: str, terms: OrderTerms, part: int) -> None:
        """Signs an order, writes it down, sends it; NodeUnreachable where it is not known what came of it."""
        assert terms.slot is not None, "each task has its slot"
        draft = order_draft(self.venue, terms, Place(self.account, terms.slot, self._time(terms.slot)))
        message = draft.message
        number = self._journal.of(task).orders
        signed = Signed(
            task=task,
            order_id=order_name(self.account, message.slot, message.sequence),
            fields=to_wire(draft.fields),
            signature="0x" + with_recovery_id(self._key.sign(draft.digest)).hex(),
            beside={"client_id": f"{task}.{message.sequence}.{number}"},
            part=part,
        )
        self._journal.add(signed)
        await self._send(signed, 0 if self._keeping is None else self._keeping.block)

    async def _send(self, signed: Signed, block: int) -> None:
        """Sends an order, for the first time or again: nothing happens twice. block: it is in none of L1 before."""
        signature = bytes.fromhex(signed.signature[2:])
        (outcome,) = await delivered(self.node, [(signed.fields, signature, signed.beside)])
        if isinstance(outcome, Rejected):
            self._end(signed, 0, outcome.rejection)
        else:
            if self._keeping is not None:
                slot, sequence = int(signed.fields["slot"]), int(signed.fields["sequence"])
                self._keeping.ordered(self.account, slot, sequence, outcome, block)
            self._note(signed, outcome)

    async def ask(self, signed: Signed) -> None:
        """Finds out what came of an order that was open when it was last heard of; what never arrived is sent again."""
        try:
            self._note(signed, await self.node.fate(order_id=signed.order_id))
        except Rejected as unknown:
            if unknown.rejection != "UNKNOWN_ORDER":
                raise
            if self.clock_ms() > signed.expires_at + constants.CLOCK_TOLERANCE:
                self._end(signed, 0, "never taken")
            else:
                # Another run may have sent it, and nobody knows when.
                await self._send(signed, self.venue.block)

    async def cancel(self, slot: int) -> None:
        """Takes the order in a slot out; Rejected, NodeUnreachable."""
        terms = RequestTerms(kind="cancel", slot=slot, is_soft=True)
        draft = request_draft(self.venue, terms, Place(self.account, slot, self._time(slot)), self._key.address)
        signature = with_recovery_id(self._key.sign(draft.digest))
        result = await self.node.request("cancel", to_wire(draft.fields), signature)
        if self._keeping is not None:
            assert isinstance(draft.message, containers.Request)
            self._keeping.cancelled(draft.message, result.receipt)

    def _time(self, slot: int) -> int:
        """The clock, and above all that was signed for the slot before."""
        last = self._journal.last_sequence.get(slot, 0)
        self._journal.last_sequence[slot] = max(self.clock_ms(), last + 1)
        return self._journal.last_sequence[slot]

    def _note(self, signed: Signed, found: OrderResult) -> None:
        if found.status in OVER:
            why = f"{found.status} ({found.reason})" if found.reason else found.status
            self._end(signed, found.filled_lots, why)

    def _end(self, signed: Signed, filled: int, why: str) -> None:
        self._journal.add(Ended(signed.task, signed.order_id, filled, why))


async def pay(
    node: NodeClient, venue: Venue, key: SigningKey, amounts: tuple[int, int, int], clock_ms: Callable[[], int]
) -> Any:
    """A transfer between two accounts of the owner who signs. amounts: from, to, micro-dollars."""
    source, target, micros = amounts
    view = await node.account(source)
    slot = 1 if view.slots_hint is None else view.slots_hint.slot
    terms = RequestTerms(kind="transfer", amount=micros, other=target)
    draft = request_draft(venue, terms, Place(source, slot, clock_ms()), key.address)
    return await node.request("transfer", to_wire(draft.fields), with_recovery_id(key.sign(draft.digest)))
