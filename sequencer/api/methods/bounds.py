"""What a caller may ask, and how much of it is left."""

from prover.stf import constants
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.api.rpc.limits import Limits
from sequencer.engine import order_book
from sequencer.schema.answers import LimitsView, Tokens, VenueLimits
from sequencer.schema.params import MOST_ORDERS, NoParams


class Bounds:
    """The handler."""

    def __init__(self, limits: Limits, book: order_book.Limits) -> None:
        """limits: the server's."""
        self._limits = limits
        self._venue = VenueLimits(
            account_orders=book.orders_of_account,
            place_micros=book.micros_of_place,
            book_orders=book.orders,
            orders_a_call=MOST_ORDERS,
            order_life_ms=constants.ORDER_LIFETIME,
            immediate_life_ms=constants.IMMEDIATE_LIFETIME,
            trigger_life_ms=constants.STOP_LIFETIME,
            request_life_ms=constants.REQUEST_LIFETIME,
        )

    @method("catenary_limits", "What a caller may ask of this node, and how much of it is left to him.")
    async def limits(self, params: NoParams, call: Call) -> LimitsView:
        limits = self._limits
        session = call.session
        assert session.address is not None, "a node's connections are each from somewhere"
        return LimitsView(
            connection=Tokens(session.bucket.left, int(limits.connection_rate), limits.connection_burst),
            address=Tokens(session.address.left, int(limits.address_rate), limits.address_burst),
            token_bytes=limits.token_bytes,
            connections=limits.connections,
            calls_in_flight=limits.calls_in_flight,
            batch_calls=limits.batch_calls,
            body_bytes=limits.body_bytes,
            answer_bytes=limits.answer_bytes,
            connection_subscriptions=limits.connection_subscriptions,
            idle_ms=int(limits.idle_seconds * 1_000),
            call_ms=int(limits.call_seconds * 1_000),
            venue=self._venue,
        )
