"""Subscriptions as Hyperliquid's WebSocket has them, fed by one stream of the node for all who listen."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
import structlog
import trio

from sequencer.api.rpc.jsonrpc import JSON, Push, Session
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.subscriptions import Subscription
from sequencer.client.errors import ClientError, Rejected
from sequencer.client.feeds import Away, Gap, Opened, Told
from sequencer.client.wide import wide_feeds
from sequencer.gateway import shapes
from sequencer.gateway.exact import oid_of
from sequencer.gateway.info import Info
from sequencer.gateway.past import Since, candle_told, interval_of
from sequencer.gateway.refusals import Refused
from sequencer.gateway.trader import Trader, identity
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import Book, FillView, MarketView, OrderEvent
from sequencer.schema.history import CandleView
from sequencer.schema.writing import to_json

# Fills of a market that are remembered.
_RECENT: Final = 200
# What tells of fills.
_FILLED: Final = ("userFills", "userEvents")
# So many candles at the end of a series change.
_CANDLES: Final = 2
# Where the node cannot go on behind what it told: some rows are not told at all.
_CURSOR_ENDED: Final = frozenset(("CURSOR_GONE", "CURSOR_UNKNOWN"))
_OF_COIN: Final = frozenset(("l2Book", "bbo", "trades", "candle", "activeAssetCtx", "activeAssetData"))
_OF_USER: Final = frozenset(
    (
        "userEvents",
        "userFills",
        "userFundings",
        "orderUpdates",
        "clearinghouseState",
        "openOrders",
        "webData2",
        "activeAssetData",
    )
)
KINDS: Final = frozenset(("allMids",)) | _OF_COIN | _OF_USER


class _Key(msgspec.Struct, frozen=True):
    """What is listened to; coin, user and interval are empty where a kind has none."""

    kind: str
    coin: str
    user: str
    interval: str = ""

    @property
    def name(self) -> str:
        return ":".join((self.kind, self.coin, self.user, *([self.interval] if self.interval else [])))


class Streams:
    """Who listens to what, and the newest that was told of each market."""

    def __init__(self, limits: Limits, clock_ms: Callable[[], int]) -> None:
        self._limits = limits
        self._clock_ms = clock_ms
        self._log = structlog.get_logger("gateway")
        self._markets: dict[str, MarketView] = {}
        self._books: dict[str, Book] = {}
        self._best: dict[str, tuple[Any, Any]] = {}
        self._fills: dict[str, deque[FillView]] = {}
        # By market and length: the two newest candles as they were told.
        self._candles: dict[str, list[CandleView]] = {}
        # By user: up to where funding was told, and fills.
        self._paid: dict[str, str] = {}
        self._filled: dict[str, str] = {}
        self._listeners: dict[_Key, dict[Session, Subscription]] = {}
        self._follow: Callable[[str], Awaitable[None]] | None = None

    # Listening.

    def key(self, subscription: object, info: Info) -> _Key:
        """What a subscription names; Refused for what there is not."""
        asked = subscription if isinstance(subscription, dict) else {}
        kind = asked.get("type")
        if not isinstance(kind, str) or kind not in KINDS:
            raise Refused(f"Invalid subscription: Catenary's gateway tells {', '.join(sorted(KINDS))}")
        coin = str(asked.get("coin", "")) if kind in _OF_COIN else ""
        if kind in _OF_COIN and coin not in self._markets:
            raise Refused(f"Invalid subscription: there is no coin {coin[:64]!r} here")
        if kind in _OF_USER:
            info.trader(asked)
        user = str(asked["user"]).lower() if kind in _OF_USER else ""
        return _Key(kind, coin, user, interval_of(asked) if kind == "candle" else "")

    def listen(self, key: _Key, session: Session) -> Subscription:
        """From here on a connection is told, once what it gives is released; Refused where it listens already."""
        if session.subscriber is None:
            raise Refused("Subscriptions need a WebSocket at /ws")
        if key.name in session.leave_by_channel:
            raise Refused(f"Already subscribed: {key.name}")
        most = self._limits.connection_subscriptions
        if len(session.leave_by_channel) >= most:
            raise Refused(f"Too many subscriptions: a connection has {most}")
        subscription = Subscription(session.subscriber, JSON, self._limits.queue_messages)
        self._listeners.setdefault(key, {})[session] = subscription
        session.leave_by_channel[key.name] = lambda: self._leave(key, session)
        return subscription

    def _leave(self, key: _Key, session: Session) -> None:
        del session.leave_by_channel[key.name]
        del self._listeners[key][session]
        if not self._listeners[key]:
            del self._listeners[key]
            if key.kind == "userFundings":
                self._paid.pop(key.user, None)
            if not any(_Key(kind, "", key.user) in self._listeners for kind in _FILLED):
                self._filled.pop(key.user, None)

    async def snapshot(self, key: _Key, info: Info) -> tuple[str, Any] | None:
        """What is told at once: the channel and its data; None of one that tells only what happens."""
        question = {"type": key.kind, "coin": key.coin, "user": key.user}
        now = self._clock_ms()
        if key.kind == "allMids":
            return "allMids", {"mids": self._mids()}
        if key.kind == "orderUpdates":
            return None
        if key.kind in _FILLED:
            told, newest = await info.past.filled(info.trader(question).account, "")
            self._filled.setdefault(key.user, newest)
            snapshot = {"isSnapshot": True, "user": key.user, "fills": told[::-1]}
            return ("userFills", snapshot) if key.kind == "userFills" else None
        if key.kind == "userFundings":
            told, newest = await info.past.paid(info.trader(question).account, "")
            self._paid.setdefault(key.user, newest)
            return "userFundings", {"isSnapshot": True, "user": key.user, "fundings": told}
        if key.kind == "candle":
            return await self._newest_candle(key, info)
        if key.kind == "activeAssetData":
            return "activeAssetData", await info.asset_data(question)
        if key.kind in ("clearinghouseState", "openOrders", "webData2"):
            return key.kind, await self._of_account(key, info)
        market, book = self._markets[key.coin], self._books.get(key.coin, Book(key.coin, [], []))
        if key.kind == "l2Book":
            return key.kind, shapes.levels(market, book, now)
        if key.kind == "bbo":
            return key.kind, shapes.bbo(market, book, now)
        if key.kind == "trades":
            return key.kind, [shapes.trade(fill, market) for fill in self._fills.get(key.coin, ())]
        return key.kind, {"coin": key.coin, "ctx": shapes.context(market, book, (await info.days()).get(key.coin))}

    async def _newest_candle(self, key: _Key, info: Info) -> tuple[str, Any] | None:
        """None where nothing was traded yet. From the first listener on a market's candles are followed."""
        if self._follow is not None:
            await self._follow(f"candles:{key.coin}:{key.interval}")
        asked = {"coin": key.coin, "interval": key.interval}
        found = await info.past.newest_candle(asked)
        return None if found is None else ("candle", found)

    async def _of_account(self, key: _Key, info: Info) -> dict[str, Any]:
        told: dict[str, Any] = {"user": key.user, "dex": ""}
        question = {"user": key.user}
        if key.kind != "openOrders":
            told["clearinghouseState"] = await info.clearinghouse(question)
        if key.kind != "clearinghouseState":
            orders = await info.ask({"type": "openOrders", **question})
            told["orders" if key.kind == "openOrders" else "openOrders"] = orders
        return told

    # Telling.

    async def run(
        self,
        url: str,
        traders: Mapping[str, Trader],
        info: Info,
        most: int,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """For ever; started once all channels are open. traders: by the address that asks, in small letters.

        most: channels of one connection to the node; where there are more there are more connections.
        """
        accounts = {trader.account for trader in traders.values()}
        markets = await info.markets()
        channels = ["prices"]
        channels += [f"{family}:{market.name}" for market in markets for family in ("book", "trades")]
        channels += [f"{family}:{account}" for account in sorted(accounts) for family in ("account", "orders")]
        waiting = set(channels)
        by_account = {trader.account: trader for trader in traders.values()}
        async with wide_feeds(url, channels, most, identify=partial(identity, by_account)) as feeds:
            self._follow = feeds.follow
            async for frame in feeds:
                if isinstance(frame, Away):
                    why, pause = frame.why, frame.pause_seconds
                    self._log.warning("gateway.away", why=why, pause_seconds=pause, channels_missing=len(waiting))
                    continue
                if frame.channel in waiting and isinstance(frame, Opened):
                    waiting.remove(frame.channel)
                    if not waiting:
                        task_status.started()
                try:
                    await self._heard(frame, traders, info, feeds.follow)
                except (Refused, ClientError) as error:
                    # The node was asked beside its stream and gave no answer: the next frame is told.
                    self._log.warning("gateway.untold", channel=frame.channel, why=str(error))

    async def _heard(
        self,
        frame: Opened | Told | Gap,
        traders: Mapping[str, Trader],
        info: Info,
        follow: Callable[[str], Awaitable[None]],
    ) -> None:
        if isinstance(frame, Gap):
            # What is missed of states comes with the next one; of fills with the snapshot that follows a gap.
            return
        family, _, name = frame.channel.partition(":")
        if family == "prices":
            await self._told_prices(frame.data, info, follow)
        elif family == "book":
            self._told_book(name, frame.data)
        elif family == "trades":
            self._told_trades(name, frame.data if isinstance(frame, Opened) else [frame.data], frame)
        elif family == "candles":
            self._told_candles(name, frame.data[-_CANDLES:])
        elif family == "account":
            await self._told_account(frame.data, traders, info)
            if isinstance(frame, Opened) or frame.data.rescue is not None:
                await self._told_filled(int(name), traders, info)
        elif not isinstance(frame, Opened):
            self._told_orders(int(name), frame.data, traders)
            if any(event.event == "filled" for event in frame.data):
                await self._told_filled(int(name), traders, info)

    async def _told_prices(
        self, markets: list[MarketView], info: Info, follow: Callable[[str], Awaitable[None]]
    ) -> None:
        listed = [market.name for market in markets if self._markets and market.name not in self._markets]
        self._markets = {market.name: market for market in markets}
        for name in listed:
            await follow(f"book:{name}")
            await follow(f"trades:{name}")
        self._tell(_Key("allMids", "", ""), "allMids", {"mids": self._mids()})
        heard = [market for market in markets if _Key("activeAssetCtx", market.name, "") in self._listeners]
        days = await info.days() if heard else {}
        for market in heard:
            context = shapes.context(market, self._books.get(market.name, Book("", [], [])), days.get(market.name))
            key = _Key("activeAssetCtx", market.name, "")
            self._tell(key, "activeAssetCtx", {"coin": market.name, "ctx": context})

    def _told_book(self, name: str, book: Book) -> None:
        self._books[name] = book
        market = self._markets.get(name)
        if market is None:
            return
        now = self._clock_ms()
        if (key := _Key("l2Book", name, "")) in self._listeners:
            self._tell(key, "l2Book", shapes.levels(market, book, now))
        best = (book.bids[:1], book.asks[:1])
        if best != self._best.get(name):
            self._best[name] = best
            self._tell(_Key("bbo", name, ""), "bbo", shapes.bbo(market, book, now))
            self._tell(_Key("allMids", "", ""), "allMids", {"mids": self._mids()})

    def _mids(self) -> dict[str, str]:
        empty = Book("", [], [])
        return {
            name: shapes.middle(market, self._books.get(name, empty)) or shapes.price(market, market.price_ticks)
            for name, market in self._markets.items()
        }

    def _told_candles(self, name: str, candles: list[CandleView]) -> None:
        """Those that are not as they were told."""
        coin, _, interval = name.partition(":")
        known, self._candles[name] = self._candles.get(name), candles
        market = self._markets.get(coin)
        if market is None or known is None:
            # What was before the first listener came stands in his first answer.
            return
        for candle in candles:
            if candle not in known:
                self._tell(_Key("candle", coin, "", interval), "candle", candle_told(candle, market, interval))

    async def _told_paid(self, user: str, trader: Trader, info: Info) -> None:
        """Funding that was booked since the last time."""
        told = await self._since(self._paid, user, trader, info.past.paid)
        if told:
            self._tell(_Key("userFundings", "", user), "userFundings", {"user": user, "fundings": told})

    async def _told_filled(self, account: int, traders: Mapping[str, Trader], info: Info) -> None:
        """Fills since the last time, by the account's own history: a trade may be told without its accounts."""
        for user, trader in traders.items():
            told = await self._since(self._filled, user, trader, info.past.filled) if trader.account == account else []
            if told:
                self._tell(_Key("userFills", "", user), "userFills", {"user": user, "fills": told})
                self._tell(_Key("userEvents", "", user), "user", {"fills": told})

    async def _since(self, cursors: dict[str, str], user: str, trader: Trader, ask: Since) -> list[dict[str, Any]]:
        """What has come behind a user's cursor, which goes on to its end; nothing where nobody listens."""
        if user not in cursors:
            return []
        told: list[dict[str, Any]] = []
        try:
            told, newest = await ask(trader.account, cursors[user])
        except Rejected as refusal:
            if refusal.rejection not in _CURSOR_ENDED:
                raise
            self._log.warning("gateway.gap", account=trader.account, why=str(refusal))
            _, newest = await ask(trader.account, "")
        if user in cursors:
            cursors[user] = newest
        return told

    def _told_trades(self, name: str, fills: list[FillView], frame: Opened | Told) -> None:
        known = self._fills.setdefault(name, deque(maxlen=_RECENT))
        market = self._markets.get(name)
        before = {(fill.chunk, fill.operation_index) for fill in known}
        fresh = [fill for fill in fills if (fill.chunk, fill.operation_index) not in before]
        is_first = isinstance(frame, Opened) and not known
        known.extend(fresh)
        if market is not None and fresh and not is_first:
            self._tell(_Key("trades", name, ""), "trades", [shapes.trade(fill, market) for fill in fresh])

    def _told_orders(self, account: int, events: list[OrderEvent], traders: Mapping[str, Trader]) -> None:
        for user, trader in traders.items():
            if trader.account == account:
                updates = [
                    shapes.update(event, self._markets[event.market], trader.placed.get(oid_of(event.order_id)))
                    for event in events
                    if event.market in self._markets
                    and (event.event not in ("accepted", "filled") or event.status == "filled")
                ]
                if updates:
                    self._tell(_Key("orderUpdates", "", user), "orderUpdates", updates)

    async def _told_account(self, view: AccountView, traders: Mapping[str, Trader], info: Info) -> None:
        for user, trader in traders.items():
            if trader.account != view.account:
                continue
            for kind in ("clearinghouseState", "openOrders", "webData2"):
                if (key := _Key(kind, "", user)) in self._listeners:
                    state = shapes.clearinghouse(view, self._markets, self._clock_ms())
                    orders = [
                        shapes.open_order(order, self._markets[order.market])
                        for order in view.open_orders
                        if order.market in self._markets
                    ]
                    told: dict[str, Any] = {"user": user, "dex": ""}
                    if kind != "openOrders":
                        told["clearinghouseState"] = state
                    if kind != "clearinghouseState":
                        told["orders" if kind == "openOrders" else "openOrders"] = orders
                    self._tell(key, kind, told)
            await self._told_paid(user, trader, info)
            for name in self._markets:
                if (key := _Key("activeAssetData", name, user)) in self._listeners:
                    question = {"user": user, "coin": name}
                    self._tell(key, "activeAssetData", await info.asset_data(question))

    def _tell(self, key: _Key, channel: str, data: Any) -> None:
        listeners = self._listeners.get(key)
        if listeners:
            message = Push(to_json({"channel": channel, "data": data}))
            for subscription in list(listeners.values()):
                subscription.deliver(message)
