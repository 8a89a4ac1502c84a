"""What became of an order, at any time: from its life, or from the refusals that are remembered until a restart."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from prover.stf import codes, containers
from sequencer.api.rpc.errors import INVALID_PARAMS, UNKNOWN_ORDER, CallError
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.engine.life.lives import place_of
from sequencer.engine.life.steps import Place
from sequencer.schema.answers import OrderEvent, OrderResult
from sequencer.schema.params import OrderCall
from sequencer.views.orders import life_view, refusal_view, refused_view

# Refusals change nothing and stand in no journal: so many are remembered, of all accounts together.
REMEMBERED: Final = 10_000
# A sequence as it is signed.
_SEQUENCE_BITS: Final = 48
# Before the law has found that the account's own key signed, or without asking it.
_BY_ANYBODY: Final = (
    codes.BAD_SIGNATURE,
    codes.AGENT_LIMITS,
    codes.NO_ACCOUNT,
    codes.RESERVED,
    codes.QUEUE_ONLY,
)


class Fates:
    """tell: whom a refusal is told, with the account that it is of."""

    def __init__(self, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._refusals: OrderedDict[Place, OrderEvent] = OrderedDict()
        self.tell: Callable[[OrderEvent], None] = lambda event: None

    def refused(self, order: containers.Order, client: str, outcome: Processed) -> None:
        """Remembers and tells that an order which the account's own key signed was not taken."""
        place = (order.account, order.slot, order.sequence)
        if outcome.code in _BY_ANYBODY or self._engine.orders.lives.find(*place) is not None:
            # Where an order of that name was taken, its life is told, and no refusal of what came behind it.
            return
        event = refusal_view(self._engine.globals, order, client, outcome, self._now_ms())
        self._refusals[place] = event
        self._refusals.move_to_end(place)
        while len(self._refusals) > REMEMBERED:
            self._refusals.popitem(last=False)
        self.tell(event)

    def asked(self, params: OrderCall) -> OrderResult:
        """What became of the order that is named; CallError UNKNOWN_ORDER where nothing is known of it."""
        account, slot, sequence = self._place(params)
        lives = self._engine.orders.lives
        newest = lives.newest(account, slot) if sequence is None else sequence
        life = None if newest is None else lives.find(account, slot, newest)
        if life is not None and newest is not None:
            return life_view(self._engine.globals, (account, slot, newest), life)
        told = (event for place, event in reversed(self._refusals.items()) if place[:2] == (account, slot))
        found = next(told, None) if sequence is None else self._refusals.get((account, slot, sequence))
        if found is None:
            raise CallError(UNKNOWN_ORDER, data={"account": account, "slot": slot})
        return refused_view(found)

    def _place(self, params: OrderCall) -> tuple[int, int, int | None]:
        """Account, slot and sequence of what is asked for; None for the newest of the slot."""
        if params.order_id is not None:
            return place_of(params.order_id)
        if params.account is None or (params.slot is None) is not bool(params.client_id):
            raise CallError(
                INVALID_PARAMS,
                "Submit an order with its signature, or name one: by order_id, or account and slot or client_id.",
            )
        if params.slot is not None:
            if params.sequence is not None and params.sequence >> _SEQUENCE_BITS:
                # It would be the name of an order of another slot.
                raise CallError(INVALID_PARAMS, "A field is wider than its signed type.")
            return params.account, params.slot, None if params.sequence is None else int(params.sequence)
        named = self._engine.orders.lives.named(params.account, params.client_id)
        if named is not None:
            return params.account, *named
        for (account, slot, sequence), event in reversed(self._refusals.items()):
            if account == params.account and event.client_id == params.client_id:
                return account, slot, sequence
        raise CallError(UNKNOWN_ORDER, data={"account": params.account, "client_id": params.client_id})
