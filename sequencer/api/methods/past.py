"""What is asked about the past: pages of fills, trades, candles, funding, transfers, equity and orders."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

from sequencer.api.methods.lookup import NO_ACCOUNT, NO_MARKET, own, require_account, require_market
from sequencer.api.methods.privacy import Privacy
from sequencer.api.rpc.errors import CURSOR_GONE, CURSOR_UNKNOWN, INVALID_PARAMS, CallError
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.engine.engine import Engine
from sequencer.history.history import History
from sequencer.history.lists import Asked, Cursor, CursorGone, CursorUnknown, Page
from sequencer.history.records import (
    CANDLES,
    FILLS,
    INTERVALS,
    MOVEMENTS,
    OF_ORACLE,
    OF_TRADES,
    PAYMENTS,
    RATES,
    SAMPLES,
    TRADES,
    Kind,
    series_of,
)
from sequencer.schema.history import (
    AccountSpan,
    CandlesPage,
    CandleSpan,
    EquityPage,
    FillsPage,
    FundingPaymentsPage,
    FundingRatesPage,
    MarketSpan,
    OrdersOf,
    OrdersPage,
    Span,
    StatisticsOf,
    StatisticsView,
    TradesPage,
    TransfersPage,
)
from sequencer.views.history import (
    candle_view,
    equity_point,
    own_fill_view,
    paged,
    payment_view,
    rate_view,
    statistics_view,
    trade_view,
    transfer_view,
)
from sequencer.views.markets import names
from sequencer.views.orders import life_view

_OF_A_MARKET: Final = (NO_MARKET, CURSOR_GONE, CURSOR_UNKNOWN)
_OF_AN_ACCOUNT: Final = (NO_ACCOUNT, CURSOR_GONE, CURSOR_UNKNOWN)
_SOURCES: Final = {"trades": OF_TRADES, "oracle": OF_ORACLE}
_PLACES: Final = {name: place for place, name in enumerate(INTERVALS)}

_View = Callable[[Any], Any]
_Told = tuple[list[Any], dict[str, str]]


class Past:
    """The handlers."""

    def __init__(self, engine: Engine, history: History, now_ms: Callable[[], int], privacy: Privacy) -> None:
        self._engine = engine
        self._history = history
        self._now_ms = now_ms
        self._privacy = privacy

    def _of_account(self, kind: Kind, params: AccountSpan, view: _View) -> _Told:
        require_account(self._engine, params.account)
        return self._paged(kind, params.account, params, view)

    def _paged(self, kind: Kind, owner: int, params: Span, view: _View) -> _Told:
        return paged(page_of(self._history, kind, owner, params), view)

    @method(
        "catenary_fills",
        "An account's fills, with role, own fee and what each left.",
        errors=_OF_AN_ACCOUNT,
        of_account=own,
    )
    async def fills(self, params: AccountSpan, call: Call) -> FillsPage:
        rows, cursors = self._of_account(FILLS, params, partial(own_fill_view, self._engine.globals))
        return FillsPage(fills=rows, **cursors)

    @method("catenary_trades", "A market's fills.", errors=_OF_A_MARKET)
    async def trades(self, params: MarketSpan, call: Call) -> TradesPage:
        market = require_market(self._engine, params.market)
        rows, cursors = self._paged(TRADES, market, params, partial(trade_view, self._engine.globals))
        return TradesPage(trades=[self._privacy.fill_told(fill) for fill in rows], **cursors)

    @method("catenary_candles", "Candles of a market's trades or of its oracle price.", errors=_OF_A_MARKET)
    async def candles(self, params: CandleSpan, call: Call) -> CandlesPage:
        market = require_market(self._engine, params.market)
        series = series_of(market, _SOURCES[params.source], _PLACES[params.interval])
        rows, cursors = self._paged(CANDLES, series, params, candle_view)
        called = names(self._engine.globals)[market]
        return CandlesPage(market=called, interval=params.interval, source=params.source, candles=rows, **cursors)

    @method(
        "catenary_fundingPayments", "Funding that an account paid or received.", errors=_OF_AN_ACCOUNT, of_account=own
    )
    async def funding_payments(self, params: AccountSpan, call: Call) -> FundingPaymentsPage:
        rows, cursors = self._of_account(PAYMENTS, params, partial(payment_view, self._engine.globals))
        return FundingPaymentsPage(payments=rows, **cursors)

    @method("catenary_fundingRates", "A market's funding, hour by hour.", errors=_OF_A_MARKET)
    async def funding_rates(self, params: MarketSpan, call: Call) -> FundingRatesPage:
        market = require_market(self._engine, params.market)
        rows, cursors = self._paged(RATES, market, params, rate_view)
        return FundingRatesPage(market=names(self._engine.globals)[market], rates=rows, **cursors)

    @method(
        "catenary_transfers",
        "Deposits, transfers, withdrawals and fees of an account.",
        errors=_OF_AN_ACCOUNT,
        of_account=own,
    )
    async def transfers(self, params: AccountSpan, call: Call) -> TransfersPage:
        rows, cursors = self._of_account(MOVEMENTS, params, transfer_view)
        return TransfersPage(transfers=rows, **cursors)

    @method("catenary_equity", "What an account was worth, sampled.", errors=_OF_AN_ACCOUNT, of_account=own)
    async def equity(self, params: AccountSpan, call: Call) -> EquityPage:
        rows, cursors = self._of_account(SAMPLES, params, equity_point)
        return EquityPage(points=rows, **cursors)

    @method(
        "catenary_orderHistory",
        "An account's orders, with all their steps.",
        errors=(NO_ACCOUNT, CURSOR_UNKNOWN),
        of_account=own,
    )
    async def orders(self, params: OrdersOf, call: Call) -> OrdersPage:
        require_account(self._engine, params.account)
        before = cursor_of(params.before)
        lives = self._engine.orders.lives.past(
            params.account, None if before is None else before.number, params.limit + 1
        )
        told = [life_view(self._engine.globals, place, life) for _, place, life in lives[: params.limit]]
        older = ""
        if len(lives) > params.limit:
            number, place, _ = lives[params.limit - 1]
            older = str(Cursor(number, place[2]))
        return OrdersPage(told, older)

    @method("catenary_statistics", "Trades of the last 24 hours, of one market or of all.", errors=(NO_MARKET,))
    async def statistics(self, params: StatisticsOf, call: Call) -> list[StatisticsView]:
        engine, now = self._engine, self._now_ms()
        if params.market is None:
            chosen = list(range(engine.globals.market_count))
        else:
            chosen = [require_market(engine, params.market)]
        told: list[StatisticsView] = []
        for market in chosen:
            told.append(statistics_view(engine.globals, market, self._history.day(market, now), now))
            # A day is made of its minutes: others have their turn between two markets.
            await trio.lowlevel.checkpoint()
        return told


def page_of(history: History, kind: Kind, owner: int, params: Span) -> Page:
    """A page of a list; CallError CURSOR_GONE, CURSOR_UNKNOWN, INVALID_PARAMS."""
    if params.before and params.after:
        raise CallError(INVALID_PARAMS, "A page is before a cursor or after one.")
    before, after = cursor_of(params.before), cursor_of(params.after)
    asked = Asked(limit=params.limit, before=before, after=after, from_ms=params.from_ms, to_ms=params.to_ms)
    try:
        return history.lists.page(kind, owner, asked)
    except CursorGone:
        raise CallError(CURSOR_GONE) from None
    except CursorUnknown:
        raise CallError(CURSOR_UNKNOWN) from None


def cursor_of(text: str) -> Cursor | None:
    """The cursor that was given, None where none was; CallError CURSOR_UNKNOWN."""
    try:
        return Cursor.of(text) if text else None
    except CursorUnknown:
        raise CallError(CURSOR_UNKNOWN) from None
