"""What is told on channels, and to whom: the one that listens to the sequencer for all subscribers."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import msgspec
import trio

from sequencer.api.methods.accounts import Accounts
from sequencer.api.methods.feeds.effect_channels import ACCOUNT, BOOK, keys
from sequencer.api.methods.feeds.states import States
from sequencer.api.methods.privacy import FAMILIES, Privacy
from sequencer.api.methods.rollup import Rollup
from sequencer.api.rpc.subscriptions import Channel, Feeds
from sequencer.engine.effects import Processed, accounts_of, markets_of
from sequencer.engine.engine import Engine
from sequencer.history.history import History
from sequencer.history.records import INTERVALS
from sequencer.schema.accounts import MarginCall
from sequencer.schema.answers import AccountUpdate, OrderEvent, PostMortemView
from sequencer.schema.channels import TOLD_ON
from sequencer.views.books import fill_view, open_orders
from sequencer.views.margin_calls import MarginCalls
from sequencer.views.markets import market_views, names
from sequencer.views.orders import event_view
from sequencer.views.rescues import post_mortem_view

# A hundredth of the node's time at most goes into accounts that are told.
_RESTS: Final = 99
_BATCHES: Final = 20
_RESCUES: Final = 20
_CALLS: Final = 200

_SENTENCES: Final = {
    "prices": "All markets, at every tick.",
    "book:": "The price levels of the market that the key names, at every change.",
    "book_deltas:": "The fifty best levels a side of the market that the key names, then whichever have changed.",
    "trades:": "The fills of the market that the key names.",
    "candles:": "The two newest candles of trades of a market and length, as BTC:1m, whenever they have changed.",
    "funding": "This hour's funding of every market, at every tick.",
    "account:": "The account that the key numbers, as soon as there is time after something has concerned it.",
    "orders:": "The lives of orders of the account that the key numbers: what is open, then what each input came to.",
    "margin_calls": "Every margin call whose level changed.",
    "rescues": "Every liquidation or other rescue.",
    "batches": "The newest batch whenever those on L1 changed.",
}
CHANNELS: Final = tuple(Channel(name, sentence, *TOLD_ON[name]) for name, sentence in _SENTENCES.items())


_BOOK: Final = "book:"
_DELTAS: Final = "book_deltas:"
_ACCOUNT: Final = "account:"
_CANDLES: Final = "candles:"
# What an account is told for beside its state.
_Extra = tuple[MarginCall | None, PostMortemView | None]


class Channels:
    """Listens to what was sequenced and posted, and tells each state once a group of inputs, if anybody listens.

    Valuing an account costs more than sequencing an order: it is done by a task of its own, which rests after each one
    so many times as long as it has worked.
    """

    def __init__(
        self,
        engine: Engine,
        history: History,
        accounts: Accounts,
        rollup: Rollup,
        calls: MarginCalls,
        privacy: Privacy,
    ) -> None:
        self._engine = engine
        self._accounts = accounts
        self._rollup = rollup
        self._calls = calls
        self._privacy = privacy
        self._states = States(engine, history, privacy)
        self._feeds: Feeds | None = None
        self._markets_open = 0
        self._looked_at_ms = engine.globals.tick_time
        # Since the last group: whose books have changed, where was traded.
        self._books: set[int] = set()
        self._traded: set[int] = set()
        # Accounts that are to be told, in their order.
        self._due: dict[int, list[_Extra]] = {}
        self._has_due = trio.Event()
        # What the channel of the account that was valued last had told then.
        self._valued_at = 0

    def open(self, feeds: Feeds) -> None:
        """Opens the channels."""
        self._feeds = feeds
        engine, states = self._engine, self._states
        feeds.declare(*CHANNELS)
        feeds.open("prices", lambda: market_views(engine.globals))
        feeds.open("funding", states.funding)
        feeds.open("batches", lambda: self._rollup.newest_batches(_BATCHES))
        self._open_markets(feeds)
        feeds.family(_CANDLES, states.candles_of)
        feeds.family(_ACCOUNT, self._account_snapshot)
        feeds.family("orders:", self._orders_snapshot)
        feeds.open("margin_calls", lambda: [*map(self._privacy.call_told, self._calls.standing(_CALLS))])
        feeds.open(
            "rescues",
            lambda: [post_mortem_view(engine.globals, record) for record in list(engine.rescues)[-_RESCUES:]],
        )

    def _account_snapshot(self, key: str) -> Callable[[], object] | None:
        return None if not self._is_account(key) else lambda: self._accounts.account_view(int(key))

    def _orders_snapshot(self, key: str) -> Callable[[], object] | None:
        return None if not self._is_account(key) else lambda: open_orders(self._engine, int(key))

    def _is_account(self, key: str) -> bool:
        # Of one spelling: on a channel of another nothing would ever be told.
        is_number = key.isascii() and key.isdigit() and len(key) <= 8 and key == str(int(key))
        return is_number and int(key) < self._engine.globals.next_account

    def _open_markets(self, feeds: Feeds) -> None:
        """Opens the channels of markets that were listed since."""
        states, called = self._states, names(self._engine.globals)
        for index in range(self._markets_open, len(called)):
            feeds.open(f"trades:{called[index]}", partial(states.trades, index))
            for family, state in ((_BOOK, states.book), (_DELTAS, states.depth)):
                feeds.open(family + called[index], partial(self._state_of, feeds, family, state, index))
        self._markets_open = len(called)

    def _state_of(self, feeds: Feeds, family: str, state: Callable[[int, bool], object], market: int) -> object:
        """A market's state as the next message goes on from it."""
        return state(market, names(self._engine.globals)[market] in feeds.heard(family))

    def sequenced(self, outcome: Processed) -> None:
        """Tells the feeds what a durable input was, and notes what it has changed."""
        if self._feeds is None:
            return
        feeds, globals = self._feeds, self._engine.globals
        called = names(globals)
        self._open_markets(feeds)
        effects = outcome.effects
        self._books.update(keys(effects, BOOK, markets_of))
        for fill in outcome.fills:
            self._traded.add(fill.market)
            feeds.publish(f"trades:{called[fill.market]}", self._privacy.fill_told(fill_view(globals, fill)))
        for account in keys(effects, ACCOUNT, accounts_of):
            self._note_account(feeds, account)
        self._tell_orders(feeds, outcome)
        for record in outcome.rescues:
            rescue = post_mortem_view(globals, record)
            feeds.publish("rescues", rescue)
            for account in (record.account, record.counterparty):
                self._note_account(feeds, account, rescue=rescue)

    def ended(self) -> None:
        """Tells every state that a group of inputs has changed, in the turn in which the group was answered."""
        if self._feeds is None:
            return
        feeds, states = self._feeds, self._states
        called = names(self._engine.globals)
        for index in sorted(self._books):
            self._tell_book(feeds, index, called[index])
        for index in sorted(self._traded):
            for interval in INTERVALS:
                channel = f"{_CANDLES}{called[index]}:{interval}"
                if feeds.changed(channel):
                    feeds.tell(channel, states.candles(index, interval, 2), is_whole=False)
        self._books.clear()
        self._traded.clear()
        if self._engine.globals.tick_time != self._looked_at_ms:
            self._looked_at_ms = self._engine.globals.tick_time
            self._ticked(feeds)
        feeds.settle()

    def _tell_book(self, feeds: Feeds, index: int, name: str) -> None:
        channel = _BOOK + name
        if feeds.changed(channel) and (told := self._states.next_book(index)) is not None:
            feeds.tell(channel, told)
        channel = _DELTAS + name
        if feeds.changed(channel):
            change = self._states.next_change(index, feeds.sequence(channel))
            if change is not None:
                feeds.tell(channel, change, is_whole=False)

    def _ticked(self, feeds: Feeds) -> None:
        """Prices have moved: so has whatever is valued by them, and who is near a margin call."""
        for channel, make in (
            ("prices", lambda: market_views(self._engine.globals)),
            ("funding", self._states.funding),
        ):
            if feeds.changed(channel):
                feeds.tell(channel, make())
        for family in FAMILIES:
            feeds.review(family)
        for key in feeds.heard(_ACCOUNT):
            self._note_account(feeds, int(key))
        for account, call in self._calls.look().items():
            feeds.publish("margin_calls", self._privacy.call_told(call))
            self._note_account(feeds, account, call)

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

    # Accounts.

    def _note_account(
        self, feeds: Feeds, account: int, call: MarginCall | None = None, rescue: PostMortemView | None = None
    ) -> None:
        if feeds.changed(f"{_ACCOUNT}{account}"):
            extras = self._due.setdefault(account, [])
            if call is not None or rescue is not None:
                extras.append((call, rescue))
            self._has_due.set()

    async def run(self, durable: Callable[[], Awaitable[None]]) -> None:
        """Tells accounts, the first first, until cancelled; durable: returns once what is shown is in the journal."""
        while True:
            await self._has_due.wait()
            began = trio.current_time()
            channel, updates = self.next_account()
            spent = trio.current_time() - began
            if not channel:
                self._has_due = trio.Event()
                continue
            await durable()
            began = trio.current_time()
            self.tell_account(channel, updates)
            await trio.sleep(_RESTS * (spent + trio.current_time() - began))

    def next_account(self) -> tuple[str, list[AccountUpdate]]:
        """The channel of the account that waits longest, and what is to be told on it; empty where none waits."""
        account = next(iter(self._due), None)
        if account is None:
            return "", []
        extras, channel = self._due.pop(account), f"{_ACCOUNT}{account}"
        if self._feeds is None or not self._feeds.changed(channel):
            return channel, []
        self._valued_at = self._feeds.sequence(channel)
        told = msgspec.structs.asdict(self._accounts.account_view(account))
        return channel, [
            AccountUpdate(**told, margin_call=call, rescue=rescue) for call, rescue in extras or [(None, None)]
        ]

    def tell_account(self, channel: str, updates: Sequence[AccountUpdate]) -> None:
        """Tells what was valued, if anybody listens still, and nobody has come since to a newer snapshot."""
        feeds = self._feeds
        if feeds is not None and feeds.changed(channel) and feeds.sequence(channel) == self._valued_at:
            for update in updates:
                is_whole = update.margin_call is None and update.rescue is None
                feeds.tell(channel, update, is_whole=is_whole)
