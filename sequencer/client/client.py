"""The typed client of a node: a method for each of the node's, answers as the schema's structs."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from sequencer.client.access import Confidant, Identify, hidden_account
from sequencer.client.connection import Connection
from sequencer.client.errors import Misfit, NodeUnreachable, Rejected, rejection
from sequencer.schema.accounts import AccountView, Contribution, Explanation, OpenOrder, Preview, VoidedView
from sequencer.schema.answers import (
    AccountProof,
    AnsweredOrder,
    BatchView,
    Book,
    DepositsView,
    EntryView,
    FaucetPayment,
    GlobalsProof,
    LimitsView,
    MarketView,
    MovedPrice,
    OrderResult,
    PostMortemView,
    QueueView,
    ReportAnswer,
    ReportRound,
    RequestResult,
    Status,
    TypedData,
    WithdrawalProof,
    WithdrawalView,
)
from sequencer.schema.history import (
    CandlesPage,
    EquityPage,
    FillsPage,
    FundingPaymentsPage,
    FundingRatesPage,
    OrdersPage,
    StatisticsView,
    TradesPage,
    TransfersPage,
)
from sequencer.schema.values import decode_value

_METHOD_OF_KIND: Final = {
    "cancel_all": "catenary_cancelAll",
    "set_agent": "catenary_setAgent",
    "set_leverage": "catenary_setLeverage",
}

Fields = Mapping[str, Any]
_Answer = TypeVar("_Answer")


class NodeClient:
    """JSON-RPC to one node. NodeUnreachable when there is no answer, Rejected when the answer is no.

    Nothing is sent twice by itself: whether an unanswered operation was applied must be asked, not guessed.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = 30.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url
        # Who looks, where a node tells what is an account's alone to nobody else.
        self.identify: Identify | None = None
        self._confidant = Confidant(url, timeout_seconds)
        self._connection = Connection(url, timeout_seconds=timeout_seconds, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._confidant.close()
        await self._connection.close()

    async def call(self, method: str, **params: Any) -> Any:
        """The plain result of one call by its full name; params by name."""
        try:
            return await self._connection.call(method, params)
        except Rejected as refusal:
            account = hidden_account(refusal)
            if account is None or self.identify is None:
                raise
            return await self._confidant.call(account, self.identify, method, params)

    async def _typed(self, kind: type[_Answer], method: str, **params: Any) -> _Answer:
        answer: _Answer = self._convert(await self.call(method, **params), kind, method)
        return answer

    def _convert(self, value: Any, kind: Any, method: str) -> Any:
        try:
            return msgspec.convert(value, kind, strict=False, dec_hook=decode_value)
        except msgspec.ValidationError as error:
            raise Misfit(f"the answer of {self.url} to {method} does not fit: {error}") from None

    async def status(self) -> Status:
        """Where the node stands."""
        return await self._typed(Status, "catenary_status")

    async def limits(self) -> LimitsView:
        """What may be asked, and how much of it is left to this client's connection and address."""
        return await self._typed(LimitsView, "catenary_limits")

    async def markets(self) -> list[MarketView]:
        """All markets with their prices."""
        return await self._typed(list[MarketView], "catenary_markets")

    async def accounts(self, owner: bytes) -> list[int]:
        """Indexes of the owner's accounts, ascending."""
        return sorted(await self._typed(list[int], "catenary_accounts", owner=owner))

    async def account(self, account: int) -> AccountView:
        """One account as it stands."""
        return await self._typed(AccountView, "catenary_account", account=account)

    async def open_orders(self, account: int) -> list[OpenOrder]:
        """The orders that the node holds for an account."""
        return await self._typed(list[OpenOrder], "catenary_openOrders", account=account)

    async def voided(self, account: int) -> list[VoidedView]:
        """What was acknowledged to an account and is void, the newest first."""
        return await self._typed(list[VoidedView], "catenary_voided", account=account)

    async def book(self, market: str | int, levels: int = 10) -> Book:
        """Price levels of one market."""
        return await self._typed(Book, "catenary_book", market=market, levels=levels)

    async def fills(self, account: int, **span: Any) -> FillsPage:
        """A page of an account's fills; span: before, after, from_ms, to_ms and limit, here and below."""
        return await self._typed(FillsPage, "catenary_fills", account=account, **span)

    async def trades(self, market: str | int, **span: Any) -> TradesPage:
        """A page of a market's fills."""
        return await self._typed(TradesPage, "catenary_trades", market=market, **span)

    async def candles(self, market: str | int, interval: str, source: str = "trades", **span: Any) -> CandlesPage:
        """A page of candles of a market's trades, or of its oracle price."""
        asked = {"market": market, "interval": interval, "source": source, **span}
        return await self._typed(CandlesPage, "catenary_candles", **asked)

    async def funding_payments(self, account: int, **span: Any) -> FundingPaymentsPage:
        """A page of funding that an account paid or received."""
        return await self._typed(FundingPaymentsPage, "catenary_fundingPayments", account=account, **span)

    async def funding_rates(self, market: str | int, **span: Any) -> FundingRatesPage:
        """A page of a market's funding, hour by hour."""
        return await self._typed(FundingRatesPage, "catenary_fundingRates", market=market, **span)

    async def transfers(self, account: int, **span: Any) -> TransfersPage:
        """A page of deposits, transfers, withdrawals and fees of an account."""
        return await self._typed(TransfersPage, "catenary_transfers", account=account, **span)

    async def equity(self, account: int, **span: Any) -> EquityPage:
        """A page of what an account was worth."""
        return await self._typed(EquityPage, "catenary_equity", account=account, **span)

    async def order_history(self, account: int, before: str = "", limit: int = 20) -> OrdersPage:
        """A page of an account's orders, the newest first, with all their steps."""
        asked = {"account": account, "before": before, "limit": limit}
        return await self._typed(OrdersPage, "catenary_orderHistory", **asked)

    async def statistics(self, market: str | int | None = None) -> list[StatisticsView]:
        """Trades of the last 24 hours, of one market or of all."""
        return await self._typed(list[StatisticsView], "catenary_statistics", market=market)

    async def batches(self, limit: int = 20) -> list[BatchView]:
        """The newest batches by the node's word."""
        return await self._typed(list[BatchView], "catenary_batches", limit=limit)

    async def typed_data(self, operation: Fields) -> TypedData:
        """What the node says is to be signed; never sign it without building it yourself."""
        return await self._typed(TypedData, "catenary_typedData", operation=operation)

    async def preview(self, operation: Fields, opened_with_micros: int | None = None) -> Preview:
        """What an order, transfer or withdrawal would come to; nothing is sent.

        opened_with_micros: an order in an account that a transfer of so much from its own would open.
        """
        params = {"operation": operation, "opened_with_micros": opened_with_micros}
        return await self._typed(Preview, "catenary_preview", **params)

    async def explain(self, account: int) -> Explanation:
        """Every number of an account with its formula and inputs."""
        return await self._typed(Explanation, "catenary_explain", account=account)

    async def contribution(self, account: int, shock_bp: int, market: int | None) -> Contribution:
        """What each position does to the pool, and what a shock of all markets or of one would liquidate."""
        return await self._typed(
            Contribution, "catenary_contribution", account=account, shock_bp=shock_bp, market=market
        )

    async def queue_entry(self, index: int) -> EntryView | None:
        """What a queue entry came to; None before it is consumed."""
        told = await self._typed(QueueView, "catenary_queue", index=index)
        return next(iter(told.entries), None)

    async def globals(self, final: bool = False) -> GlobalsProof:
        """The globals at the newest posted root, or at the newest final one."""
        return await self._typed(GlobalsProof, "catenary_globals", final=final)

    async def post_mortems(self, account: int, limit: int) -> list[PostMortemView]:
        """The newest rescues in which an account had a part, the newest first."""
        return await self._typed(list[PostMortemView], "catenary_postMortems", account=account, limit=limit)

    async def order(self, order: Fields, signature: bytes, **terms: Any) -> OrderResult:
        """Submit one signed order; sent again it is answered with what it has come to. terms: as in SignedOrder."""
        return await self._typed(OrderResult, "catenary_order", order=order, signature=signature, **terms)

    async def fate(self, **named: Any) -> OrderResult:
        """What became of an order: by order_id, by account and client_id, or by account and slot; Rejected."""
        return await self._typed(OrderResult, "catenary_order", **named)

    async def orders(
        self, signed: Sequence[tuple[Fields, bytes] | tuple[Fields, bytes, Fields]]
    ) -> list[OrderResult | Rejected]:
        """Submit many, each with its terms if it has some; a refusal stands in its order's place and harms no other."""
        answers = await self.batch(
            [
                {"order": order, "signature": signature, **(terms[0] if terms else {})}
                for order, signature, *terms in signed
            ]
        )
        return [_order_or_rejection(answer) for answer in answers]

    async def batch(self, items: Sequence[Fields]) -> list[AnsweredOrder]:
        """Submit orders and soft cancels, mixed: items as BatchItem has them; each is answered for itself."""
        answers = await self._typed(list[AnsweredOrder], "catenary_orders", orders=items)
        if len(answers) != len(items):
            raise NodeUnreachable("the node answered another number of orders than were sent")
        return answers

    async def request(self, kind: str, request: Fields, signature: bytes) -> RequestResult:
        """Submit a signed request of any kind that is no order."""
        method = _METHOD_OF_KIND.get(kind, f"catenary_{kind}")
        return await self._typed(RequestResult, method, request=request, signature=signature)

    async def schedule_cancel(self, request: Fields, signature: bytes, at_ms: int) -> RequestResult:
        """Set the dead-man switch: a signed soft cancel of all, which happens at `at_ms`; 0 takes it back."""
        method = "catenary_scheduleCancel"
        return await self._typed(RequestResult, method, request=request, signature=signature, at_ms=at_ms)

    async def withdrawals(self, *, account: int | None = None, recipient: bytes | None = None) -> list[WithdrawalView]:
        """Withdrawals of an account or to a recipient."""
        chosen: dict[str, Any] = {"account": account} if recipient is None else {"recipient": recipient}
        return await self._typed(list[WithdrawalView], "catenary_withdrawals", **chosen)

    async def deposits(self, owner: bytes) -> DepositsView:
        """Deposits to an owner that are on L1 and in no account yet."""
        return await self._typed(DepositsView, "catenary_deposits", owner=owner)

    async def withdrawal_proof(self, index: int) -> WithdrawalProof:
        """What a claim on L1 needs, once a posted batch holds the withdrawal."""
        return await self._typed(WithdrawalProof, "catenary_withdrawalProof", index=index)

    async def proof(self, account: int) -> AccountProof:
        """The account's membership in the last posted root."""
        return await self._typed(AccountProof, "catenary_proof", account=account)

    async def report(self, report: Fields) -> ReportAnswer:
        """Submit an oracle signer's report."""
        return await self._typed(ReportAnswer, "catenary_report", **report)

    async def reports(self, limit: int = 10) -> list[ReportRound]:
        """What the oracle's signers reported of the newest grid times."""
        return await self._typed(list[ReportRound], "catenary_reports", limit=limit)

    async def move_price(self, market: str | int, ppm: int) -> MovedPrice:
        """By how much a devnet's simulated price moves at its next step; Rejected where signers report prices."""
        return await self._typed(MovedPrice, "catenary_movePrice", market=market, ppm=ppm)

    async def faucet(self, address: bytes) -> FaucetPayment:
        """Play dollars and a little ether; devnets only."""
        return await self._typed(FaucetPayment, "catenary_faucet", address=address)


def _order_or_rejection(answer: AnsweredOrder) -> OrderResult | Rejected:
    if answer.error is not None:
        return rejection(msgspec.structs.asdict(answer.error))
    if answer.result is None:
        raise NodeUnreachable("the node's answer to catenary_orders does not fit: neither result nor error")
    return answer.result
