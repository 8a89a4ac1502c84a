"""Rows of history as they are told."""

from collections.abc import Callable
from typing import Any

import msgspec

from prover.stf import constants, containers, markets
from sequencer.history.history import Day
from sequencer.history.lists import Page
from sequencer.history.records import Candle, Movement, OwnFill, Payment, Rate, Sample, Trade
from sequencer.schema.answers import FillView
from sequencer.schema.history import (
    CandleView,
    EquityPoint,
    FundingLeg,
    FundingNow,
    FundingPaymentView,
    FundingRateView,
    OwnFillView,
    StatisticsView,
    TransferView,
)
from sequencer.views.books import fill_view
from sequencer.views.markets import names


def paged(page: Page, view: Callable[[Any], Any]) -> tuple[list[Any], dict[str, str]]:
    """A page's rows as they are told, and its two cursors."""
    cursors = {
        "older": "" if page.older is None else str(page.older),
        "newer": "" if page.newer is None else str(page.newer),
    }
    return [view(row) for row in page.rows], cursors


def own_fill_view(globals: containers.Globals, own: OwnFill) -> OwnFillView:
    """A fill as its account has it."""
    return OwnFillView(
        market=names(globals)[own.market],
        side="buy" if own.lots > 0 else "sell",
        role=own.role,
        size_lots=abs(own.lots),
        price_ticks=own.price,
        fee_micros=own.fee,
        order_id=own.order,
        client_id=own.client,
        position_lots=own.position,
        realised_micros=own.realised,
        collateral_micros=own.collateral,
        counterparty=own.other,
        chunk=own.chunk,
        operation_index=own.operation,
        time_ms=own.time,
        sequence=own.mark,
    )


def trade_view(globals: containers.Globals, trade: Trade) -> FillView:
    """A fill as everybody sees it."""
    return fill_view(globals, trade.fill)


def candle_view(candle: Candle) -> CandleView:
    """One candle."""
    return CandleView(
        start_ms=candle.time,
        open_ticks=candle.open,
        high_ticks=candle.high,
        low_ticks=candle.low,
        close_ticks=candle.close,
        volume_lots=candle.lots,
        quote_micros=candle.quote,
        trades=candle.count,
    )


def payment_view(globals: containers.Globals, payment: Payment) -> FundingPaymentView:
    """Funding that was paid."""
    called = names(globals)
    legs = [
        FundingLeg(
            market=called[leg.market],
            size_lots=leg.lots,
            index_before=leg.index_before,
            index=leg.index,
            owed_nanos=leg.owed,
        )
        for leg in payment.funding
    ]
    return FundingPaymentView(
        paid_micros=payment.paid,
        collateral_micros=payment.collateral,
        positions=legs,
        time_ms=payment.time,
        sequence=payment.mark,
    )


def rate_view(rate: Rate) -> FundingRateView:
    """Funding of an hour."""
    return FundingRateView(
        hour_ms=rate.time,
        index_before=rate.index_before,
        index=rate.index,
        rate_ppb=rate.rate,
        premium_ppb=rate.premium,
        price_ticks=rate.price,
    )


def funding_now(market: str, rate: Rate) -> FundingNow:
    """This hour's funding of a market."""
    return FundingNow(market=market, **msgspec.structs.asdict(rate_view(rate)))


def transfer_view(movement: Movement) -> TransferView:
    """Money that came or left."""
    return TransferView(
        kind=movement.kind,
        amount_micros=movement.amount,
        fee_micros=movement.fee,
        other=movement.other,
        withdrawal=movement.withdrawal,
        collateral_micros=movement.collateral,
        time_ms=movement.time,
        sequence=movement.mark,
    )


def equity_point(sample: Sample) -> EquityPoint:
    """What an account was worth."""
    return EquityPoint(time_ms=sample.time, equity_micros=sample.equity, collateral_micros=sample.collateral)


def statistics_view(globals: containers.Globals, market: int, day: Day, now_ms: int) -> StatisticsView:
    """A market's last 24 hours."""
    listed = globals.markets[market]
    is_over = listed.status == constants.MARKET_SETTLED
    return StatisticsView(
        market=names(globals)[market],
        volume_lots=day.lots,
        volume_micros=day.quote,
        trades=day.count,
        open_ticks=day.open,
        high_ticks=day.high,
        low_ticks=day.low,
        close_ticks=day.close,
        price_ticks=globals.risk.price[market],
        open_interest_lots=listed.open_interest,
        funding_rate_ppb=0 if is_over else markets.funding_rate(listed.funding_terms, listed.premium_ppb),
        time_ms=now_ms,
    )
