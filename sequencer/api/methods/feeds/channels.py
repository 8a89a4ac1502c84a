"""What is told on channels, and to whom: the one that listens to the sequencer for all subscribers."""

from collections.abc import Callable
from typing import Final

import msgspec

from sequencer.api.methods.accounts import Accounts
from sequencer.api.methods.feeds.effect_channels import ACCOUNT, BOOK, PRICES, keys, speaking
from sequencer.api.methods.rollup import Rollup
from sequencer.api.rpc.subscriptions import Channel, Feeds
from sequencer.engine.effects import Processed, accounts_of, markets_of
from sequencer.engine.engine import Engine
from sequencer.history.history import History
from sequencer.history.lists import Asked
from sequencer.history.records import TRADES
from sequencer.schema.accounts import MarginCall
from sequencer.schema.answers import AccountUpdate, FillView, OrderEvent, PostMortemView
from sequencer.schema.channels import TOLD_ON
from sequencer.views.books import book, fill_view, open_orders
from sequencer.views.history import trade_view
from sequencer.views.margin_calls import MarginCalls
from sequencer.views.markets import market_views, names
from sequencer.views.orders import event_view
from sequencer.views.rescues import post_mortem_view

_LEVELS: Final = 20
_TRADES: Final = 50
_BATCHES: Final = 20
_RESCUES: Final = 20
_CALLS: Final = 200

_SENTENCES: Final = {
    "prices": "All markets, at every tick.",
    "book:": "The price levels of the market that the key names, at every change.",
    "trades:": "The fills of the market that the key names.",
    "account:": "The account that the key numbers, whenever something concerns it.",
    "orders:": "The lives of orders of the account that the key numbers: what is open, then what each input came to.",
    "margin_calls": "Every margin call whose level changed.",
    "rescues": "Every liquidation or other rescue.",
    "batches": "The newest batch whenever those on L1 changed.",
}
CHANNELS: Final = tuple(Channel(name, sentence, *TOLD_ON[name]) for name, sentence in _SENTENCES.items())


class Channels:
    """Listens to what was sequenced and posted. Valuing costs more than telling: nobody listens to most accounts."""

    def __init__(
        self, engine: Engine, history: History, accounts: Accounts, rollup: Rollup, calls: MarginCalls
    ) -> None:
        self._engine = engine
        self._history = history
        self._accounts = accounts
        self._rollup = rollup
        self._calls = calls
        self._feeds: Feeds | None = None
        self._markets_open = 0
        self._looked_at_ms = engine.globals.tick_time

    def open(self, feeds: Feeds) -> None:
        """Opens the channels."""
        self._feeds = feeds
        engine = self._engine
        feeds.declare(*CHANNELS)
        feeds.open("prices", lambda: market_views(engine.globals))
        feeds.open("batches", lambda: self._rollup.newest_batches(_BATCHES))
        self._open_markets(feeds)
        feeds.family("account:", self._account_snapshot)
        feeds.family("orders:", self._orders_snapshot)
        feeds.open("margin_calls", lambda: self._calls.standing(_CALLS))
        feeds.open(
            "rescues",
            lambda: [post_mortem_view(engine.globals, record) for record in list(engine.rescues)[-_RESCUES:]],
        )

    def _account_snapshot(self, key: str) -> Callable[[], object] | None:
        return None if not self._is_account(key) else lambda: self._accounts.account_view(int(key))

    def _orders_snapshot(self, key: str) -> Callable[[], object] | None:
        return None if not self._is_account(key) else lambda: open_orders(self._engine, int(key))

    def _is_account(self, key: str) -> bool:
        is_number = key.isascii() and key.isdigit() and len(key) <= 8
        return is_number and int(key) < self._engine.globals.next_account

    def _open_markets(self, feeds: Feeds) -> None:
        """Opens the channels of markets that were listed since."""
        engine, called = self._engine, names(self._engine.globals)
        for index in range(self._markets_open, len(called)):
            feeds.open(f"book:{called[index]}", lambda index=index: book(engine, index, _LEVELS))  # type: ignore[misc]
            feeds.open(f"trades:{called[index]}", lambda index=index: self._trades(index))  # type: ignore[misc]
        self._markets_open = len(called)

    def _trades(self, market: int) -> list[FillView]:
        """The newest fills of a market, the oldest first."""
        page = self._history.lists.page(TRADES, market, Asked(limit=_TRADES))
        return [trade_view(self._engine.globals, row) for row in reversed(page.rows)]

    def sequenced(self, outcome: Processed) -> None:
        """Tells the feeds about a durable input."""
        if self._feeds is None:
            return
        feeds, globals = self._feeds, self._engine.globals
        called = names(globals)
        self._open_markets(feeds)
        effects = outcome.effects
        for index in keys(effects, BOOK, markets_of):
            feeds.publish(f"book:{called[index]}", book(self._engine, index, _LEVELS))
        for fill in outcome.fills:
            feeds.publish(f"trades:{called[fill.market]}", fill_view(globals, fill))
        for account in keys(effects, ACCOUNT, accounts_of):
            self._tell_account(feeds, account)
        self._tell_orders(feeds, outcome)
        if speaking(effects, PRICES):
            feeds.publish("prices", market_views(globals))
        for record in outcome.rescues:
            rescue = post_mortem_view(globals, record)
            feeds.publish("rescues", rescue)
            for account in (record.account, record.counterparty):
                self._tell_account(feeds, account, rescue=rescue)
        self._tell_calls(feeds)

    def refused(self, event: OrderEvent) -> None:
        """Tells the feeds that an order was not taken."""
        if self._feeds is not None:
            self._feeds.publish(f"orders:{event.account}", [event])

    def _tell_orders(self, feeds: Feeds, outcome: Processed) -> None:
        """One message an account and input."""
        for account in dict.fromkeys(told.place[0] for told in outcome.told):
            channel = f"orders:{account}"
            if feeds.is_open(channel):
                own = [told for told in outcome.told if told.place[0] == account]
                feeds.publish(channel, [event_view(self._engine.globals, told) for told in own])

    def posted(self) -> None:
        """Tells the feeds that the batches on L1 changed."""
        if self._feeds is not None:
            self._feeds.publish("batches", self._rollup.newest_batches(1))

    def _tell_calls(self, feeds: Feeds) -> None:
        """Looks once a tick at who is near a call, and tells the changed calls on `margin_calls` and `account:N`."""
        globals = self._engine.globals
        if globals.tick_time == self._looked_at_ms:
            return
        self._looked_at_ms = globals.tick_time
        for call in self._calls.look():
            feeds.publish("margin_calls", call)
            self._tell_account(feeds, call.account, margin_call=call)

    def _tell_account(
        self, feeds: Feeds, account: int, *, margin_call: MarginCall | None = None, rescue: PostMortemView | None = None
    ) -> None:
        channel = f"account:{account}"
        if feeds.is_open(channel):
            told = msgspec.structs.asdict(self._accounts.account_view(account))
            feeds.publish(channel, AccountUpdate(**told, margin_call=margin_call, rescue=rescue))
