"""Orders as they are told: each step of a life, and what a life has come to."""

from prover.signing.operations import order_name
from prover.stf import codes, constants, containers, encoding
from prover.stf.words import word_at
from sequencer.engine.effects import Processed
from sequencer.engine.life.lives import Life
from sequencer.engine.life.steps import Place, Told
from sequencer.engine.order_book import order_id
from sequencer.schema.answers import OrderEvent, OrderResult, OrderTerms
from sequencer.views.books import fill_view, side_of
from sequencer.views.markets import names


def event_view(globals: containers.Globals, told: Told) -> OrderEvent:
    """One step as it happened."""
    step = told.step
    return OrderEvent(
        order_id=order_name(*told.place),
        client_id=told.client,
        account=told.place[0],
        market=names(globals)[told.market],
        side=side_of(told.side),
        event=step.event,
        status=step.status,
        reason=step.reason,
        detail=step.detail,
        lots=step.lots,
        filled_lots=step.filled,
        remaining_lots=step.left,
        price_ticks=None if step.fill is None else step.fill.price,
        role=step.role,
        fee_micros=step.fee,
        time_ms=step.time,
        sequence=step.sequence,
    )


def refusal_view(
    globals: containers.Globals, order: containers.Order, client: str, outcome: Processed, now: int
) -> OrderEvent:
    """That an order was not taken: the law's code as reason, the venue's sentence as detail."""
    called = names(globals)
    return OrderEvent(
        order_id=order_id(order),
        client_id=client,
        account=order.account,
        market=called[order.market] if order.market < len(called) else "",
        side=side_of(order.side),
        event="refused",
        status="refused",
        reason=codes.SENTENCE[outcome.code][0],
        detail=outcome.refusal,
        lots=order.size,
        filled_lots=0,
        remaining_lots=order.size,
        price_ticks=None,
        role="",
        fee_micros=0,
        time_ms=now,
        sequence=0,
    )


def life_view(globals: containers.Globals, place: Place, life: Life) -> OrderResult:
    """What an order has come to, with its steps."""
    return OrderResult(
        order_id=order_name(*place),
        client_id=life.client,
        status=life.status,
        reason=life.detail or life.reason,
        filled_lots=life.filled,
        remaining_lots=life.left,
        fees_micros=life.fees,
        fills=[fill_view(globals, fill) for fill in life.fills],
        blocking_order_id="",
        blocking_lots=0,
        events=[event_view(globals, Told(place, life.market, life.side, life.client, step)) for step in life.steps],
        untold_events=life.untold,
        terms=terms_view(life.signed),
        finality="sequenced",
    )


def terms_view(signed: bytes) -> OrderTerms:
    """An order's bytes without the signature, read."""
    whole = signed.ljust(constants.ORDER_LENGTH, b"\0")
    order = encoding.order(word_at(whole, 1), word_at(whole, 32))
    return OrderTerms(
        size_lots=order.size,
        limit_price_ticks=order.limit_price,
        time_in_force=order.time_in_force,
        post_only=order.post_only == 1,
        reduce_only=order.reduce_only == 1,
        trigger=order.trigger,
        trigger_price_ticks=order.trigger_price,
        expires_at_ms=order.expires_at,
    )


def refused_view(event: OrderEvent) -> OrderResult:
    """What is known of an order that was never taken."""
    return OrderResult(
        order_id=event.order_id,
        client_id=event.client_id,
        status=event.status,
        reason=event.reason,
        filled_lots=0,
        remaining_lots=event.remaining_lots,
        fees_micros=0,
        fills=[],
        blocking_order_id="",
        blocking_lots=0,
        events=[event],
        untold_events=0,
        finality="sequenced",
    )
