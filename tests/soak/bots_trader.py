"""Two trading bots, as a stranger writes them who has docs/bots.md and nothing else, each with books of its own.

A bot knows what it signed, what it was answered and what it was told. After a gap it asks for the fate of each order
whose end it has not heard. Its ledger is made of these alone: fills by order and step, funding by its payments.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Final, TypeVar

import msgspec
import trio

from prover.stf import constants
from sequencer.client.client import Fields, NodeClient
from sequencer.client.delivery import Placing, delivered
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.client.feeds import Away, Feeds, Frame, Gap, Told
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.answers import Book, MarketView, OrderEvent, OrderResult
from sequencer.schema.history import FundingPaymentsPage, FundingPaymentView

BUY, SELL = constants.BUY, constants.SELL
_NANOS: Final = 10**9
# What one input came to has sequences that differ by less.
_INPUT: Final = 1 << 24
_OVER: Final = frozenset(("filled", "cancelled", "expired", "reduced", "voided", "refused"))
_PAUSE_SECONDS: Final = 0.2
_MAKING_SLOT, _TAKING_SLOT, _AT_ONCE_SLOT = 1, 20, 40
# Of the price: how far a quote stands from it, and an order that nobody meets.
_SPREAD: Final = 2_000
_FAR: Final = 33
_LEAST_DOLLARS, _MOST_DOLLARS = 50, 300

_Answer = TypeVar("_Answer")


class Sent(msgspec.Struct):
    """An order as its bot knows it; status is empty as long as nobody has said what became of it."""

    status: str = ""
    filled: int = 0


class Reckoned(msgspec.Struct):
    """What a ledger comes to. differences: where what was told does not fit what is held."""

    collateral: int
    lots: dict[str, int]
    costs: dict[str, int]
    differences: list[str]


class Ledger:
    """An account by what its bot was answered and told: by nothing else."""

    def __init__(self, deposited: int) -> None:
        self.sent: dict[str, Sent] = {}
        self._deposited = deposited
        # Of all orders, by order and step: told twice it stands here once.
        self._fills: dict[tuple[str, int], OrderEvent] = {}

    @property
    def fills(self) -> int:
        """How many fills it knows."""
        return len(self._fills)

    def lots(self, market: str) -> int:
        """What it holds of a market."""
        return sum(_signed(fill) for fill in self._fills.values() if fill.market == market)

    def note(self, event: OrderEvent) -> None:
        """A step that was told, on a channel or with a fate."""
        if event.event == "filled":
            self._fills[event.order_id, event.sequence] = event
        order = self.sent.get(event.order_id)
        if order is not None and event.status in _OVER and event.event != "refused":
            self.know(event.order_id, event.status, event.filled_lots)

    def know(self, order_id: str, status: str, filled: int) -> None:
        """What an order has come to: what is over stays as it is."""
        order = self.sent[order_id]
        if order.status not in _OVER:
            order.status = status
        order.filled = max(order.filled, filled)

    def open_ends(self) -> list[str]:
        """Orders of which more is to be asked: they are not over, or not all of their fills are known."""
        told = self.of_orders()
        return [name for name, order in self.sent.items() if order.status not in _OVER or told[name][1] != order.filled]

    def of_orders(self) -> dict[str, tuple[str, int, int]]:
        """Status, filled lots and fees of each order, by its fills."""
        sums = {name: [0, 0] for name in self.sent}
        for fill in self._fills.values():
            sums[fill.order_id][0] += fill.lots
            sums[fill.order_id][1] += fill.fee_micros
        return {name: (self.sent[name].status, lots, fees) for name, (lots, fees) in sums.items()}

    def reckon(self, payments: list[FundingPaymentView]) -> Reckoned:
        """Deposits, fills and funding in the order in which the venue did them."""
        found = Reckoned(self._deposited, {}, {}, [])
        steps: list[tuple[int, OrderEvent | FundingPaymentView]] = []
        steps += [(fill.sequence, fill) for fill in self._fills.values()]
        steps += [(payment.sequence, payment) for payment in payments]
        # Of one input funding is booked before fills, whose accounts it was due of.
        for _, step in sorted(steps, key=lambda one: (one[0] // _INPUT, isinstance(one[1], OrderEvent), one[0])):
            if isinstance(step, OrderEvent):
                _fill(found, step)
            else:
                _pay(found, step)
        return found


def _signed(fill: OrderEvent) -> int:
    return fill.lots if fill.side == "buy" else -fill.lots


def _fill(found: Reckoned, fill: OrderEvent) -> None:
    """Profit and loss of lots that are closed are money, at their part of what the position has cost."""
    assert fill.price_ticks is not None
    market, lots = fill.market, _signed(fill)
    before, paid = found.lots.get(market, 0), found.costs.get(market, 0) + lots * fill.price_ticks
    held, cost = before + lots, paid
    if held * before < 0:
        cost = held * fill.price_ticks
    elif abs(held) < abs(before):
        cost = found.costs[market] * abs(held) // abs(before)
    found.lots[market], found.costs[market] = held, cost
    found.collateral -= fill.fee_micros + paid - cost


def _pay(found: Reckoned, payment: FundingPaymentView) -> None:
    owed = 0
    for leg in payment.positions:
        held = found.lots.get(leg.market, 0)
        if held != leg.size_lots or leg.owed_nanos != held * (leg.index - leg.index_before):
            found.differences.append(f"funding of {leg.size_lots} lots of {leg.market} where {held} are held")
        owed += leg.owed_nanos
    if payment.paid_micros != -(-owed // _NANOS):
        found.differences.append(f"funding of {payment.paid_micros} micro-dollars for {owed} nanos")
    found.collateral -= payment.paid_micros


async def asked(ask: Callable[[], Awaitable[_Answer]]) -> _Answer | Rejected:
    """What a node answers, asked again until it does."""
    while True:
        try:
            return await ask()
        except Rejected as refusal:
            return refusal
        except NodeUnreachable:
            await trio.sleep(_PAUSE_SECONDS)


class Bot:
    """One account, one key, one connection for calls and one for feeds, both through whatever cuts them."""

    def __init__(self, url: str, signing: SigningAccount, random: Random, deposited: int) -> None:
        self.ledger = Ledger(deposited)
        self.reconnects = 0
        self.random = random
        self.signing = signing
        self.node = NodeClient(url)
        self.prices: dict[str, MarketView] = {}
        self.books: dict[str, Book] = {}
        # By slot: what was sent there last.
        self.newest: dict[int, str] = {}
        self._url = url

    async def listen(self, markets: Sequence[str]) -> None:
        """Hears its channels until cancelled, whatever becomes of the connection."""
        books = [f"book:{market}" for market in markets]
        async with Feeds(self._url, ["prices", f"orders:{self.signing.account}", *books]) as feeds:
            async for frame in feeds:
                await self.heard(frame)

    async def heard(self, frame: Frame) -> None:
        """One frame; behind a gap it asks for what it cannot have heard."""
        if isinstance(frame, Away):
            self.reconnects += 1
        elif isinstance(frame, Gap):
            if frame.channel.startswith("orders:"):
                await self.ask_for_ends()
        elif frame.channel == "prices":
            self.prices = {market.name: market for market in frame.data}
        elif frame.channel.startswith("book:"):
            self.books[frame.data.market] = frame.data
        elif isinstance(frame, Told):
            for event in frame.data:
                self.ledger.note(event)

    async def ask_for_ends(self) -> None:
        """What became of each order whose end, or all of whose fills, it does not know."""
        for name in self.ledger.open_ends():
            answer = await asked(partial(self.node.fate, order_id=name))
            if isinstance(answer, OrderResult):
                for event in answer.events:
                    self.ledger.note(event)
                self.ledger.know(name, answer.status, answer.filled_lots)

    async def send(self, signed: Sequence[tuple[Fields, bytes]], replaces: str = "") -> None:
        """Signed orders until each one's fate is known, by the name of what stands there or as new ones."""
        terms = {"replaces": replaces} if replaces else {}
        placings: list[Placing] = [
            (fields, signature, {"client_id": f"bot-{len(self.ledger.sent) + place}", **terms})
            for place, (fields, signature) in enumerate(signed)
        ]
        names = ["0x{account:06x}{slot:02x}{sequence:012x}".format(**fields) for fields, _ in signed]
        for name, (fields, _) in zip(names, signed, strict=True):
            self.ledger.sent[name] = Sent()
            self.newest[fields["slot"]] = name
        answers = await asked(partial(delivered, self.node, placings))
        # Refused together they were refused each.
        each = [answers] * len(names) if isinstance(answers, Rejected) else answers
        for name, answer in zip(names, each, strict=True):
            if isinstance(answer, Rejected):
                self.ledger.know(name, "refused", 0)
            else:
                self.ledger.know(name, answer.status, answer.filled_lots)

    async def cancel(self, slot: int) -> None:
        """A soft cancel of whatever stands in a slot; where its answer is lost another is signed."""
        await asked(lambda: self.node.request("cancel", *self.signing.cancel(slot)))

    def lots(self, market: MarketView) -> int:
        """Of an order: some hundred dollars."""
        return self.random.randrange(_LEAST_DOLLARS, _MOST_DOLLARS) * 10**6 // market.price_ticks

    async def quote(self, market: MarketView) -> None:
        """The maker's turn: both sides anew, one of them smaller, or one of them gone."""
        away = market.price_ticks // _SPREAD
        slots = {side: _MAKING_SLOT + 2 * market.index + side for side in (BUY, SELL)}
        chosen = self.random.random()
        side = self.random.choice((BUY, SELL))
        if chosen < 0.15:
            await self.cancel(slots[side])
            return
        is_replacing = chosen < 0.3 and slots[side] in self.newest
        quotes = [
            self.signing.order(
                market.index, each, self.lots(market), market.price_ticks + (away if each == SELL else -away),
                slots[each], post_only=True,
            )
            for each in ((side,) if is_replacing else (BUY, SELL))
        ]  # fmt: skip
        await self.send(quotes, self.newest[slots[side]] if is_replacing else "")

    async def take(self, market: MarketView) -> None:
        """The taker's turn: what stands, all that it holds, or an order that nobody meets."""
        chosen, slot = self.random.random(), _TAKING_SLOT + market.index
        side, size = self.random.choice((BUY, SELL)), self.lots(market)
        if chosen < 0.2:
            away = market.price_ticks // _FAR * (-1 if side == BUY else 1)
            await self.send([self.signing.order(market.index, side, size, market.price_ticks + away, slot)])
            return
        if chosen < 0.3:
            await self.cancel(slot)
            return
        held = self.ledger.lots(market.name)
        if chosen < 0.5 and held:
            side, size = (SELL if held > 0 else BUY), abs(held)
        book = self.books[market.name]
        levels = book.asks if side == BUY else book.bids
        if levels:
            kind = constants.FILL_OR_KILL if chosen > 0.95 else constants.IMMEDIATE_OR_CANCEL
            await self.send([self.signing.order(market.index, side, size, levels[0][0], _AT_ONCE_SLOT, kind)])

    async def close(self) -> None:
        """Takes out all that is open, and hears of all of it."""
        for slot in sorted(self.newest):
            await self.cancel(slot)
        await self.ask_for_ends()

    async def payments(self) -> list[FundingPaymentView]:
        """All funding that it paid or received, the newest first."""
        found: list[FundingPaymentView] = []
        page = await asked(partial(self.node.funding_payments, self.signing.account))
        while isinstance(page, FundingPaymentsPage):
            found += page.payments
            if not page.older:
                break
            page = await asked(partial(self.node.funding_payments, self.signing.account, before=page.older))
        return found


def rising(now_ms: Callable[[], int]) -> Callable[[], int]:
    """A clock that never says the same twice: an order's sequence is its time."""
    last = 0

    def now() -> int:
        nonlocal last
        last = max(last + 1, now_ms())
        return last

    return now
