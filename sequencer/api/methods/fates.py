"""What became of an order, at any time: from its life, or from the refusals that are remembered until a restart."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from prover.stf import codes, containers
from sequencer.api.rpc.errors import INVALID_PARAMS, UNKNOWN_ORDER, CallError
from sequencer.engine.effects import Processed, Repeated
from sequencer.engine.engine import Engine
from sequencer.engine.life.lives import place_of
from sequencer.engine.life.steps import Place
from sequencer.schema.answers import OrderEvent, OrderResult
from sequencer.schema.params import OrderCall
from sequencer.views.orders import life_view, refusal_view, refused_view

# Refusals change nothing and stand in no journal: so many are remembered, of one account and of all together.
OF_ACCOUNT: Final = 200
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


class Refusals:
    """What is remembered of orders that were refused, until a restart.

    Past the bound of all the oldest goes of an account that has as many as any: who is often refused pushes out his
    own.
    """

    def __init__(self, of_account: int = OF_ACCOUNT, most: int = REMEMBERED) -> None:
        self._of_account = of_account
        self._most = most
        self._count = 0
        self._events: dict[int, OrderedDict[tuple[int, int], OrderEvent]] = {}
        # Accounts by how many of theirs are remembered.
        self._holders: list[dict[int, None]] = [{} for _ in range(of_account + 1)]

    def put(self, place: Place, event: OrderEvent) -> None:
        """Remembers one; the newest of a name counts."""
        account, name = place[0], place[1:]
        events = self._events.setdefault(account, OrderedDict())
        if name not in events:
            if len(events) >= self._of_account:
                self._drop(account)
            self._resize(account, len(events), len(events) + 1)
        events[name] = event
        events.move_to_end(name)
        if self._count > self._most:
            self._drop(next(iter(next(filter(None, reversed(self._holders))))))

    def get(self, place: Place) -> OrderEvent | None:
        """The refusal of an order of that name."""
        events = self._events.get(place[0])
        return None if events is None else events.get(place[1:])

    def newest(self, account: int, is_meant: Callable[[tuple[int, int], OrderEvent], bool]) -> OrderEvent | None:
        """The newest refusal of an account that is meant."""
        events = self._events.get(account, OrderedDict())
        return next((event for name, event in reversed(events.items()) if is_meant(name, event)), None)

    def _drop(self, account: int) -> None:
        events = self._events[account]
        events.popitem(last=False)
        self._resize(account, len(events) + 1, len(events))
        if not events:
            del self._events[account]

    def _resize(self, account: int, before: int, after: int) -> None:
        self._count += after - before
        self._holders[before].pop(account, None)
        if after:
            self._holders[after][account] = None


def asked_of(params: OrderCall) -> int | None:
    """Whose order is asked for; None where one is submitted, which its signature speaks for, or none is named."""
    if params.order is not None and params.signature is not None:
        return None
    return params.account if params.order_id is None else place_of(params.order_id)[0]


class Fates:
    """tell: whom a refusal is told, with the account that it is of."""

    def __init__(self, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._refusals = Refusals()
        self.tell: Callable[[OrderEvent], None] = lambda event: None

    def refused(self, order: containers.Order, client: str, outcome: Processed) -> None:
        """Remembers and tells that an order which the account's own key signed was not taken."""
        place = (order.account, order.slot, order.sequence)
        if outcome.code in _BY_ANYBODY or self._engine.orders.lives.find(*place) is not None:
            # Where an order of that name was taken, its life is told, and no refusal of what came behind it.
            return
        event = refusal_view(self._engine.globals, order, client, outcome, self._now_ms())
        self._refusals.put(place, event)
        self.tell(event)

    def known(self, operation: bytes, order: containers.Order, signer: Callable[[], bytes]) -> Repeated | None:
        """What an order that is not taken now has come to before, where it is the same one again, and signed as then.

        signer: who signed it this time, asked for only where there is a life to compare with.
        """
        lives = self._engine.orders.lives
        newest = lives.newest(order.account, order.slot)
        if newest is None or order.sequence > newest or lives.find(order.account, order.slot, order.sequence) is None:
            return None
        return lives.repeated(order.account, order.slot, order.sequence, operation, signer())

    def asked(self, params: OrderCall) -> OrderResult:
        """What became of the order that is named; CallError UNKNOWN_ORDER where nothing is known of it."""
        account, slot, sequence = self.place(params)
        lives = self._engine.orders.lives
        newest = lives.newest(account, slot) if sequence is None else sequence
        life = None if newest is None else lives.find(account, slot, newest)
        if life is not None and newest is not None:
            return life_view(self._engine.globals, (account, slot, newest), life)
        if sequence is None:
            found = self._refusals.newest(account, lambda name, _: name[0] == slot)
        else:
            found = self._refusals.get((account, slot, sequence))
        if found is None:
            raise CallError(UNKNOWN_ORDER, data={"account": account, "slot": slot})
        return refused_view(found)

    def place(self, params: OrderCall) -> tuple[int, int, int | None]:
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
        refused = self._refusals.newest(params.account, lambda _, event: event.client_id == params.client_id)
        if refused is not None:
            return place_of(refused.order_id)
        raise CallError(UNKNOWN_ORDER, data={"account": params.account, "client_id": params.client_id})
