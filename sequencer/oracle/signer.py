"""One oracle signer: reads prices, measures the premium in the public book, signs every grid time, tells the nodes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog
import trio

from prover.signing.reports import Report, signed_report
from prover.stf import codes, constants
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError, Rejected
from sequencer.oracle.premium import Measured, PremiumRule, premium_ppb
from sequencer.oracle.price_filter import PriceFilter, Silent
from sequencer.oracle.price_sources import PriceSource
from sequencer.oracle.terms import Terms
from sequencer.schema.answers import Book, MarketView
from sequencer.schema.params import BOOK_LEVELS

_BOOK_SECONDS: Final = 1.5
# A report that is not there by the next grid time is worth nothing.
_SUBMIT_SECONDS: Final = constants.TICK_STEP / 1_000
_QUORUM: Final = codes.SENTENCE[codes.QUORUM][0]


class SignerKey(msgspec.Struct, frozen=True):
    """Which of the genesis' signers, and its key: `sign` makes a compact signature of 64 bytes of a digest."""

    index: int
    sign: Callable[[bytes], bytes]


class Step(msgspec.Struct, frozen=True):
    """What a signer did at one grid time: its report, or why there is none; what each node answered, by URL."""

    time_ms: int
    report: Report | None = None
    reason: str = ""
    answers: dict[str, str] = {}

    @property
    def is_taken(self) -> bool:
        """Whether a node has the report."""
        return any(answer in ("counted", "tick", "spare", "REPEATED_REPORT") for answer in self.answers.values())


class OracleSigner:
    """One key, one source, one or more nodes. Invariant: it signs one message a grid time, never two different ones."""

    def __init__(
        self,
        key: SignerKey,
        terms: Terms,
        source: PriceSource,
        price_filter: PriceFilter,
        nodes: Sequence[NodeClient],
        now_ms: Callable[[], int],
        premium_rule: PremiumRule,
    ) -> None:
        """Each of `nodes` shows its book and has the report."""
        self._key = key
        self._terms = terms
        self._source = source
        self._price_filter = price_filter
        self._nodes = list(nodes)
        self._now_ms = now_ms
        self._premium_rule = premium_rule
        # What was signed last, until books were looked at by it; the premiums that they had then, node by node.
        self._prices: list[int] = []
        self._between: list[list[int]] = []
        self._signed_ms = 0
        # Markets said to have no price, and those whose earlier one was signed, as the log has them.
        self._told: tuple[list[str], list[str]] = [], []
        self._log = structlog.get_logger("oracle").bind(signer=key.index)

    def follow(self, terms: Terms, source: PriceSource) -> None:
        """Goes on with markets that were listed; what it signed and what it knows of the others stays."""
        self._terms, self._source = terms, source
        self._prices, self._between = [], []
        self._price_filter.follow(terms.markets)

    async def run(self, count: int | None = None, told: Callable[[Step], None] = lambda step: None) -> bool:
        """Reports at every grid time, `count` times or for ever; `told` hears of each.

        It begins with the next one: a process that was restarted may have signed for this one already. False: a node
        takes no report of so many markets, so the terms have to be asked for anew.
        """
        done = 0
        now = self._now_ms()
        self._signed_ms = max(self._signed_ms, now - now % constants.TICK_STEP)
        while count is None or done < count:
            now = self._now_ms()
            time = now - now % constants.TICK_STEP
            if time > self._signed_ms:
                step = await self.step(time)
                told(step)
                done += 1
                if done != count and _QUORUM in step.answers.values():
                    return False
            else:
                await self._wait((self._signed_ms + constants.TICK_STEP - now) / 1_000)
        return True

    async def _wait(self, seconds: float) -> None:
        """Until the next grid time, or until books were looked at at a moment that nobody knows beforehand.

        What stands in a book at grid times alone, of whoever takes it back for nothing right after them, makes no
        premium.
        """
        prices, self._prices = self._prices, []
        if not prices:
            await trio.sleep(seconds)
            return
        await trio.sleep(self._premium_rule.moment() * max(seconds - _BOOK_SECONDS, 0))
        self._between = await self._measured(prices)

    async def step(self, time_ms: int) -> Step:
        """One grid time, which must be later than the last: sign and submit, or say why not."""
        assert time_ms > self._signed_ms, "one message a grid time"
        self._signed_ms = time_ms
        try:
            prices = self._price_filter.prices(time_ms, await self._source.quotes(time_ms))
        except Silent as silent:
            self._log.warning("oracle.silent", time_ms=time_ms, reason=str(silent))
            return Step(time_ms, reason=str(silent))
        told = self._price_filter.without, self._price_filter.held
        if self._told != told:
            self._told = told
            self._log.warning("oracle.without_price", time_ms=time_ms, markets=told[0], held=told[1])
        # Of all nodes that show all books in time, now and between, the premium nearest to nothing; none where none
        # does. Nobody can check a book, since whoever shows it also decides who meets it: a node alone makes a premium
        # larger, and any other one makes it as small as its own.
        measured = [*await self._measured(prices), *self._between]
        premiums = [min(column, key=abs) for column in zip(*measured, strict=True)] or [0] * len(prices)
        self._prices, self._between = prices, []
        report = signed_report(self._terms.domain, self._key.sign, time_ms, self._key.index, prices, premiums)
        answers: dict[str, str] = {}
        async with trio.open_nursery() as nursery:
            for node in self._nodes:
                nursery.start_soon(self._submit, node, report, answers)
        return Step(time_ms, report, answers=answers)

    async def _measured(self, prices: list[int]) -> list[list[int]]:
        """The premiums by the books of each node that shows all of them in time."""
        measured: list[list[int]] = []
        async with trio.open_nursery() as nursery:
            for node in self._nodes:
                nursery.start_soon(self._measure, node, prices, measured)
        return measured

    async def _measure(self, node: NodeClient, prices: list[int], measured: list[list[int]]) -> None:
        rule = self._premium_rule
        books: dict[int, Book] = {}
        markets: list[MarketView] = []
        with trio.move_on_after(_BOOK_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read_markets, node, markets)
                for index in range(len(prices)):
                    nursery.start_soon(_read_book, node, index, books)
        if len(books) < len(prices) or len(markets) < len(prices):
            self._log.warning("oracle.no_book", node=node.url)
            return
        measured.append(
            [
                premium_ppb(books[i].bids, books[i].asks, Measured(price, of.open_interest_lots, of.band_ppm), rule)
                if price
                else 0
                for i, (price, of) in enumerate(zip(prices, markets, strict=False))
            ]
        )

    async def _submit(self, node: NodeClient, report: Report, answers: dict[str, str]) -> None:
        answers[node.url] = "TOO_SLOW"
        with trio.move_on_after(_SUBMIT_SECONDS):
            try:
                answers[node.url] = (await node.report(msgspec.structs.asdict(report))).status
            except Rejected as error:
                answers[node.url] = error.rejection
            except ClientError as error:
                answers[node.url] = error.name
        if answers[node.url] not in ("counted", "tick", "spare"):
            self._log.warning("oracle.refused", node=node.url, code=answers[node.url], time_ms=report.time_ms)


async def _read_markets(node: NodeClient, markets: list[MarketView]) -> None:
    with suppress(ClientError):
        markets += await node.markets()


async def _read_book(node: NodeClient, market: int, books: dict[int, Book]) -> None:
    # No book, no premium: the price goes out all the same.
    with suppress(ClientError):
        books[market] = await node.book(market, BOOK_LEVELS)
