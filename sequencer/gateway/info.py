"""Questions as Hyperliquid's /info takes them, answered by the node's own methods."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from l1_bridge.addresses import AddressError, address_bytes, checksum_address
from sequencer.client.client import NodeClient
from sequencer.gateway import shapes
from sequencer.gateway.exact import dollars, is_cloid, oid_of, place_of, ratio
from sequencer.gateway.past import Past, Question, between
from sequencer.gateway.refusals import Refused
from sequencer.gateway.trader import Trader
from sequencer.schema.accounts import OpenOrder
from sequencer.schema.answers import MarketView, OrderResult
from sequencer.schema.history import StatisticsView

_FILLS: Final = 200
_TRADES: Final = 50
_BOOK_LEVELS: Final = 20
_RATE_DECIMALS: Final = 6
# What a node does not keep, or what is not here at all.
_NOT_TOLD: Final = {
    "userRateLimit": "the node counts tokens of a connection, not requests of an address",
    "portfolio": "the node keeps samples of an account's equity, catenary_equity, and no such series",
    "vaultDetails": "there are no vaults here",
}


class Info:
    """Answers for every address that is served: a signer's, or that of its account's owner."""

    def __init__(
        self,
        node: NodeClient,
        traders: Mapping[bytes, Trader],
        clock_ms: Callable[[], int],
    ) -> None:
        self._node = node
        self._traders = traders
        self._clock_ms = clock_ms
        self.past = Past(node, self._market, self.trader)
        self._answers: Mapping[str, Callable[[Question], Awaitable[Any]]] = {
            "meta": self._meta,
            "spotMeta": self._spot_meta,
            "metaAndAssetCtxs": self._contexts,
            "spotMetaAndAssetCtxs": self._spot_contexts,
            "perpDexs": self._dexs,
            "allMids": self._mids,
            "l2Book": self._book,
            "recentTrades": self._trades,
            "clearinghouseState": self.clearinghouse,
            "spotClearinghouseState": self._spot_state,
            "activeAssetData": self.asset_data,
            "openOrders": self._open_orders,
            "frontendOpenOrders": self._open_orders,
            "orderStatus": self._order_status,
            "historicalOrders": self._historical,
            "candleSnapshot": self.past.candles,
            "fundingHistory": self.past.funding,
            "userFunding": self.past.user_funding,
            "userNonFundingLedgerUpdates": self.past.ledger,
            "userFills": self.fills,
            "userFillsByTime": self.fills,
            "userFees": self._fees,
            "extraAgents": self._agents,
            "subAccounts": self._none,
            "userAbstraction": self._abstraction,
            "userRole": self._role,
            "maxBuilderFee": self._no_fee,
        }

    async def ask(self, question: object) -> Any:
        """The answer; Refused where there is none, ClientError where the node gives none."""
        if not isinstance(question, dict) or not isinstance(question.get("type"), str):
            raise Refused("Failed to deserialize the JSON body into the target type: a question has a type")
        kind = question["type"]
        if question.get("dex"):
            raise Refused(f"there is one exchange here, and none is called {str(question['dex'])[:64]!r}")
        answer = self._answers.get(kind)
        if answer is None:
            reason = _NOT_TOLD.get(kind, f"it answers {', '.join(sorted(self._answers))}")
            raise Refused(f"Catenary's gateway does not answer {kind[:64]!r}: {reason}")
        return await answer(question)

    # Markets.

    async def markets(self) -> list[MarketView]:
        """All markets by index."""
        return await self._node.markets()

    async def days(self) -> dict[str, StatisticsView]:
        """The last 24 hours of each market."""
        return {each.market: each for each in await self._node.statistics()}

    async def _meta(self, question: Question) -> Any:
        return shapes.meta(await self.markets())

    async def _spot_meta(self, question: Question) -> Any:
        return shapes.spot_meta()

    async def _contexts(self, question: Question) -> Any:
        markets = await self.markets()
        days = await self.days()
        contexts = [
            shapes.context(market, await self._node.book(market.name, 1), days.get(market.name)) for market in markets
        ]
        return [shapes.meta(markets), contexts]

    async def _spot_contexts(self, question: Question) -> Any:
        return [shapes.spot_meta(), []]

    async def _dexs(self, question: Question) -> Any:
        return [None]

    async def _mids(self, question: Question) -> Any:
        """The middle of each book; where there is none the oracle price, as the mark is."""
        markets = await self.markets()
        return {
            market.name: shapes.middle(market, await self._node.book(market.name, 1))
            or shapes.price(market, market.price_ticks)
            for market in markets
        }

    async def _book(self, question: Question) -> Any:
        market = await self._market(question)
        return shapes.levels(market, await self._node.book(market.name, _BOOK_LEVELS), self._clock_ms())

    async def _trades(self, question: Question) -> Any:
        market = await self._market(question)
        page = await self._node.trades(market.name, limit=_TRADES)
        return [shapes.trade(fill, market) for fill in page.trades]

    async def _market(self, question: Question) -> MarketView:
        coin = question.get("coin")
        found = next((market for market in await self.markets() if market.name == coin), None)
        if found is None:
            raise Refused(f"there is no coin {str(coin)[:64]!r} here")
        return found

    # Accounts.

    def trader(self, question: Question) -> Trader:
        """Whose account is asked about."""
        user = question.get("user")
        try:
            address = address_bytes(str(user))
        except AddressError as error:
            raise Refused(f"user {str(user)[:64]!r}: {error}") from None
        found = self._traders.get(address)
        if found is None:
            raise Refused(f"{checksum_address(address)} is neither a signer of this gateway nor an owner it trades for")
        return found

    async def clearinghouse(self, question: Question) -> Any:
        """The account, its positions and its margin."""
        view = await self._node.account(self.trader(question).account)
        markets = {market.name: market for market in await self.markets()}
        return shapes.clearinghouse(view, markets, self._clock_ms())

    async def _spot_state(self, question: Question) -> Any:
        self.trader(question)
        return {"balances": []}

    async def asset_data(self, question: Question) -> Any:
        """How much more could be bought and sold in one market."""
        market = await self._market(question)
        view = await self._node.account(self.trader(question).account)
        power = next((one for one in view.buying_power if one.market == market.name), None)
        lots = (0, 0) if power is None else (power.buy_lots, power.sell_lots)
        return {
            "user": question["user"],
            "coin": market.name,
            "leverage": {"type": "cross", "value": shapes.most_leverage(market)},
            "maxTradeSzs": [shapes.size(market, each) for each in lots],
            "availableToTrade": [dollars(each * market.price_ticks) for each in lots],
            "markPx": shapes.price(market, market.price_ticks),
        }

    async def _open_orders(self, question: Question) -> Any:
        trader = self.trader(question)
        orders = await self._node.open_orders(trader.account)
        # Asked for after what names them: a market that was listed meanwhile is among them.
        markets = {market.name: market for market in await self.markets()}
        return [shapes.open_order(order, markets[order.market]) for order in orders]

    async def _order_status(self, question: Question) -> Any:
        trader = self.trader(question)
        named = question.get("oid")
        if is_cloid(named):
            result = await trader.fate(None, str(named))
        elif isinstance(named, int) and place_of(named) is not None:
            result = await trader.fate(named)
        else:
            raise Refused(f"oid {str(named)[:64]!r} is neither an order's number nor a cloid")
        if result is None:
            return {"status": "unknownOid"}
        told = self._status_of(trader, result, await trader.standing(), await self.markets())
        return {"status": "order", "order": told}

    def _status_of(
        self, trader: Trader, result: OrderResult, standing: Mapping[int, OpenOrder], markets: Sequence[MarketView]
    ) -> dict[str, Any]:
        number = oid_of(result.order_id)
        last = result.events[-1]
        wanted, is_open = trader.placed.get(number), standing.get(number)
        market = next(each for each in markets if each.name == last.market)
        if is_open is not None:
            order = shapes.open_order(is_open, market)
        elif wanted is not None:
            order = shapes.wanted_order(number, wanted, market, result.remaining_lots)
        else:
            order = shapes.told_order(result, market)
        return {
            "order": order,
            "status": shapes.order_status(result.status, last.reason),
            "statusTimestamp": last.time_ms,
        }

    async def _historical(self, question: Question) -> Any:
        """The newest orders, the newest first."""
        trader = self.trader(question)
        orders = await self.past.orders(trader)
        standing, markets = await trader.standing(), await self.markets()
        return [self._status_of(trader, result, standing, markets) for result in orders]

    async def fills(self, question: Question) -> Any:
        """The newest fills, the newest first; between two times where they are given."""
        trader = self.trader(question)
        told = await self._node.fills(trader.account, limit=_FILLS, **between(question))
        markets = {market.name: market for market in await self.markets()}
        return [shapes.own_fill(fill, markets[fill.market]) for fill in told.fills]

    async def _fees(self, question: Question) -> Any:
        """The highest of all markets, for no rate is the user's own here; posting fees come on top."""
        self.trader(question)
        markets = await self.markets()
        return {
            "userCrossRate": ratio(max(each.taker_fee_ppm for each in markets), 10**6, _RATE_DECIMALS),
            "userAddRate": ratio(max(each.maker_fee_ppm for each in markets), 10**6, _RATE_DECIMALS),
            "activeReferralDiscount": "0",
        }

    async def _agents(self, question: Question) -> Any:
        view = await self._node.account(self.trader(question).account)
        return [
            {"name": f"agent {index}", "address": grant.address, "validUntil": grant.expires_at_ms}
            for index, grant in enumerate(view.agents)
            if grant is not None
        ]

    async def _none(self, question: Question) -> Any:
        return None

    async def _abstraction(self, question: Question) -> Any:
        return "disabled"

    async def _role(self, question: Question) -> Any:
        try:
            self.trader(question)
        except Refused:
            return {"role": "missing"}
        return {"role": "user"}

    async def _no_fee(self, question: Question) -> Any:
        return 0
