"""Operations before they are signed: what is left out filled in, and the fields as the law has them."""

from collections.abc import Callable
from typing import Any

import msgspec

from prover.signing import operations
from prover.stf import constants, containers
from sequencer.api.rpc.errors import INVALID_PARAMS, CallError
from sequencer.engine.engine import Engine
from sequencer.engine.records import Terms
from sequencer.schema.params import OrderFields, RequestFields, SignedOrder, UnsignedOperation
from sequencer.schema.values import decode_value
from sequencer.schema.writing import writer
from sequencer.views.books import SELF_TRADES, free_slot

_plain = writer(UnsignedOperation)


class Drafted(msgspec.Struct, frozen=True):
    """An operation before it is signed; `operation` is what was asked for with all fields."""

    tag: int
    message: containers.Order | containers.Request
    operation: UnsignedOperation


class Drafter:
    """Fills in by the node's clock and by the slots that an account has free."""

    def __init__(self, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def draft(self, operation: UnsignedOperation) -> Drafted:
        """An operation with everything that was left out filled in; CallError for fields that do not fit."""
        fields: dict[str, Any] = _plain(operation)
        tag = operations.TAG_OF_KIND[fields.pop("kind")]
        self._fill_in(tag, fields)
        message: containers.Order | containers.Request
        try:
            if tag == constants.ORDER:
                message = order_of(msgspec.convert(fields, OrderFields, dec_hook=decode_value))
            else:
                message = request_of(tag, msgspec.convert(fields, RequestFields, dec_hook=decode_value))
        except msgspec.ValidationError as error:
            raise CallError(INVALID_PARAMS, str(error)) from None
        whole = {"kind": operation.kind, **fields}
        return Drafted(tag, message, msgspec.convert(whole, UnsignedOperation, dec_hook=decode_value))

    def _fill_in(self, tag: int, fields: dict[str, Any]) -> None:
        created = int(fields.setdefault("created_at_ms", self._now_ms()))
        lifetime = constants.REQUEST_LIFETIME
        if tag == constants.ORDER:
            defaults = {
                "time_in_force": 0, "post_only": False, "reduce_only": False, "trigger": 0, "trigger_price_ticks": 0,
                "max_fee_ppm": 1_000,
            }  # fmt: skip
            for name, value in defaults.items():
                fields.setdefault(name, value)
            is_resting = fields["time_in_force"] == constants.GOOD_TILL_TIME
            lifetime = constants.HOUR if is_resting else constants.IMMEDIATE_LIFETIME
            if fields["reduce_only"] and fields["trigger"] != constants.NO_TRIGGER:
                lifetime = constants.STOP_LIFETIME
        # A cancel is soft unless it says otherwise.
        is_cancel = tag in (constants.CANCEL, constants.CANCEL_ALL)
        fields.setdefault("max_posting_fee_micros", 0 if is_cancel else constants.MOST_POSTING_FEE)
        fields.setdefault("sequence", created)
        fields.setdefault("expires_at_ms", created + lifetime)
        if tag != constants.CANCEL_ALL:
            fields.setdefault("slot", free_slot(self._engine, fields["account"]))


def order_of(fields: OrderFields) -> containers.Order:
    """An order as the law has it."""
    return containers.Order(
        account=fields.account,
        market=fields.market,
        side=fields.side,
        size=int(fields.size_lots),
        limit_price=int(fields.limit_price_ticks),
        slot=fields.slot,
        sequence=int(fields.sequence),
        created_at=int(fields.created_at_ms),
        expires_at=int(fields.expires_at_ms),
        time_in_force=fields.time_in_force,
        post_only=int(fields.post_only),
        reduce_only=int(fields.reduce_only),
        trigger=fields.trigger,
        trigger_price=int(fields.trigger_price_ticks),
        max_fee_ppm=fields.max_fee_ppm,
        max_posting_fee=fields.max_posting_fee_micros,
        unused=0,
    )


def terms_of(given: SignedOrder) -> Terms | None:
    """What is asked of the venue beside what is signed; None for nothing."""
    terms = Terms(
        client=given.client_id,
        self_trade=SELF_TRADES[given.self_trade],
        group=given.group,
        after=given.after,
        replaces=given.replaces,
    )
    return None if terms == Terms() else terms


def sized(order: containers.Order) -> containers.Order:
    """The order, if every field fits its signed type; CallError if not."""
    wide = order.size >> 56 or order.limit_price >> 48 or order.sequence >> 48 or order.trigger_price >> 48
    if wide or order.created_at >> 48 or order.expires_at >> 48:
        raise CallError(INVALID_PARAMS, "A field is wider than its signed type.")
    return order


def request_of(tag: int, fields: RequestFields) -> containers.Request:
    """A request of any kind as the law has it."""
    amount, other, recipient = int(fields.amount_micros), fields.to_account, fields.recipient
    if tag == constants.SET_AGENT:
        amount, other, recipient = int(fields.agent_expires_at_ms), fields.agent_index, fields.agent
    elif tag == constants.SET_LEVERAGE:
        amount = fields.initial_ppm
    return containers.Request(
        account=fields.account,
        slot=fields.slot,
        sequence=int(fields.sequence),
        created_at=int(fields.created_at_ms),
        expires_at=int(fields.expires_at_ms),
        amount=amount,
        other=other,
        recipient=bytes(recipient),
        first_slot=fields.first_slot,
        last_slot=fields.last_slot,
        max_posting_fee=fields.max_posting_fee_micros,
    )


def sized_request(tag: int, request: containers.Request) -> containers.Request:
    """The request, if every field fits its signed type; CallError if not."""
    wide = request.amount >> 48 if tag == constants.SET_AGENT else 0
    if wide or request.sequence >> 48 or request.created_at >> 48 or request.expires_at >> 48:
        raise CallError(INVALID_PARAMS, "A field is wider than its signed type.")
    return request
