"""History as it is asked for and told: pages of lists, the newest first, with cursors that last."""

from typing import Annotated, Final, Literal

import msgspec

from sequencer.schema.answers import FillView, OrderResult
from sequencer.schema.params import MarketKey, TimeMs
from sequencer.schema.values import AccountIndex, Micros, OrderIdIfAny, Side, Whole

MOST_ROWS: Final = 500
# Each with all its steps.
MOST_ORDERS: Final = 50

Rows = Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS)]
CursorText = Annotated[str, msgspec.Meta(max_length=34, pattern="^([0-9a-f]{1,16}-[0-9a-f]{1,16})?$")]
Orders = Annotated[int, msgspec.Meta(ge=1, le=MOST_ORDERS)]
Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
Source = Literal["trades", "oracle"]


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of a list. Without `after` the newest rows first; `before`: a page's `older`, for the page before it.

    after: a page's `newer`; what came since then, the oldest first. from_ms, to_ms: of times from the one on and before
    the other.
    """

    before: CursorText = ""
    after: CursorText = ""
    from_ms: TimeMs | None = None
    to_ms: TimeMs | None = None
    limit: Rows = 100


class AccountSpan(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of an account's list."""

    account: AccountIndex


class MarketSpan(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the list of a market, by name or index."""

    market: MarketKey


class CandleSpan(MarketSpan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of candles of a market's trades, or of its oracle price."""

    interval: Interval
    source: Source = "trades"


class StatisticsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One market by name or index, or all."""

    market: MarketKey | None = None


class Paged(msgspec.Struct, frozen=True, kw_only=True):
    """older: asks for the rows before these, empty where there are none; newer: for what is to come, empty for all."""

    older: str
    newer: str


class OwnFillView(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as one account has it.

    role: maker or taker; liquidation, take_over, deleveraging, forced_close, forced_rescue or unwinding where no order
    of the account stood; settlement, of a market that is over. fee_micros: its own, with its posting fee.
    position_lots: behind it, signed. realised_micros: as the law books it, of the lots that were closed, before
    fees; a fill that only opens has 0. collateral_micros: behind it. counterparty: the account at the other end.
    """

    market: str
    side: Side
    role: str
    size_lots: Whole
    price_ticks: Whole
    fee_micros: Micros
    order_id: OrderIdIfAny
    client_id: str
    position_lots: Whole
    realised_micros: Micros
    collateral_micros: Micros
    counterparty: int
    chunk: int
    operation_index: int
    time_ms: int
    sequence: Whole


class FillsPage(Paged, frozen=True, kw_only=True):
    """catenary_fills."""

    fills: list[OwnFillView]


class TradesPage(Paged, frozen=True, kw_only=True):
    """catenary_trades."""

    trades: list[FillView]


class CandleView(msgspec.Struct, frozen=True, kw_only=True):
    """One candle; where nothing was traded there is none. quote_micros: what its lots came to."""

    start_ms: int
    open_ticks: Whole
    high_ticks: Whole
    low_ticks: Whole
    close_ticks: Whole
    volume_lots: Whole
    quote_micros: Micros
    trades: int


class CandlesPage(Paged, frozen=True, kw_only=True):
    """catenary_candles; the newest one may still change, under the same cursor."""

    market: str
    interval: Interval
    source: Source
    candles: list[CandleView]


class FundingLeg(msgspec.Struct, frozen=True, kw_only=True):
    """Funding of one position: it owed size_lots * (index - index_before) / 10^9 micro-dollars, which is owed_nanos."""

    market: str
    size_lots: Whole
    index_before: Whole
    index: Whole
    owed_nanos: Micros


class FundingPaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """Funding that was booked when an account was touched. paid_micros: of all positions, rounded up once; negative
    where it was received. An untouched position accrues, and stands in the account's pending funding. sequence: behind
    the fills of its input (those with the same sequence // 2^24), before which it was booked."""

    paid_micros: Micros
    collateral_micros: Micros
    positions: list[FundingLeg]
    time_ms: int
    sequence: Whole


class FundingPaymentsPage(Paged, frozen=True, kw_only=True):
    """catenary_fundingPayments."""

    payments: list[FundingPaymentView]


class FundingRateView(msgspec.Struct, frozen=True, kw_only=True):
    """Funding of a market in one hour. A lot paid (index - index_before) / 10^9 micro-dollars in it.

    rate_ppb, premium_ppb, price_ticks: of the hour's last tick; rates are an hour's.
    """

    hour_ms: int
    index_before: Whole
    index: Whole
    rate_ppb: Whole
    premium_ppb: Whole
    price_ticks: Whole


class FundingNow(FundingRateView, frozen=True, kw_only=True):
    """The hour's funding of a market, as of the last tick."""

    market: str


class FundingRatesPage(Paged, frozen=True, kw_only=True):
    """catenary_fundingRates; the newest hour still changes."""

    market: str
    rates: list[FundingRateView]


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came or left beside trades. kind: deposit, transfer, withdrawal, or fee of a request.

    amount_micros: negative where it left; fee_micros: beside it. other: the account at the other end of a transfer;
    withdrawal: its index in the tree, by which catenary_withdrawals says how far it has come.
    """

    kind: str
    amount_micros: Micros
    fee_micros: Micros
    other: int | None
    withdrawal: int | None
    collateral_micros: Micros
    time_ms: int
    sequence: Whole


class TransfersPage(Paged, frozen=True, kw_only=True):
    """catenary_transfers."""

    transfers: list[TransferView]


class EquityPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What an account was worth at a time."""

    time_ms: int
    equity_micros: Micros
    collateral_micros: Micros


class EquityPage(Paged, frozen=True, kw_only=True):
    """catenary_equity."""

    points: list[EquityPoint]


class OrdersOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account's orders, the newest first; before: a page's `older`."""

    account: AccountIndex
    before: CursorText = ""
    limit: Orders = 20


class OrdersPage(msgspec.Struct, frozen=True):
    """catenary_orderHistory. older: asks for the orders before these, empty where there are none."""

    orders: list[OrderResult]
    older: str


class StatisticsView(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of a market in the last 24 hours, to the minute; prices are None where there was none."""

    market: str
    volume_lots: Whole
    volume_micros: Micros
    trades: int
    open_ticks: Whole | None
    high_ticks: Whole | None
    low_ticks: Whole | None
    close_ticks: Whole | None
    price_ticks: Whole
    open_interest_lots: Whole
    funding_rate_ppb: int
    time_ms: int
