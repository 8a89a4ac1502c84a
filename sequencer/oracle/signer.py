"""One oracle signer: reads prices, measures the premium in the public book, signs every grid time, tells the nodes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.addresses import address_bytes
from prover.signing.reports import Report, signed_report
from prover.signing.typed_data import domain_separator
from prover.stf import codes, constants
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError, Rejected
from sequencer.oracle.price_sources import Guard, Market, PriceSource, Silent
from sequencer.schema.answers import Book
from sequencer.schema.params import BOOK_LEVELS

# The premium is a rate for eight hours, as on other venues; the law counts by the hour.
PREMIUM_HOURS: Final = 8
_BOOK_SECONDS: Final = 1.5
# A report that is not there by the next grid time is worth nothing.
_SUBMIT_SECONDS: Final = constants.TICK_STEP / 1_000
_PPM: Final = 1_000_000
# Lots are counted in millionths while an impact price is measured.
_SCALE: Final = 10**6
_QUORUM: Final = codes.SENTENCE[codes.QUORUM][0]

Levels = Sequence[tuple[int, int]]


def impact_ppm(levels: Levels, index_ticks: int, notional_micros: int) -> int | None:
    """Average price of trading `notional_micros` through one side, in ppm of the index price; None if it is too thin.

    Rounded down. Levels without price or size are no levels.
    """
    left = notional_micros
    scaled_lots = 0
    for price, size in levels:
        if price <= 0 or size <= 0:
            continue
        taken = min(left, price * size)
        scaled_lots += taken * _SCALE // price
        left -= taken
        if left == 0:
            return notional_micros * _SCALE * _PPM // (scaled_lots * index_ticks) if scaled_lots else None
    return None


def premium_ppm(bids: Levels, asks: Levels, index_ticks: int, notional_micros: int, cap_ppm: int) -> int:
    """How far the book stands off the index price, ppm an hour, clamped to +-cap_ppm.

    (max(0, impact bid - index) - max(0, index - impact ask)) / index / 8 h, towards zero. A side that does not hold
    the notional adds nothing, so an empty book has none.
    """
    bid = impact_ppm(bids, index_ticks, notional_micros)
    ask = impact_ppm(asks, index_ticks, notional_micros)
    above = max(0, bid - _PPM) if bid is not None else 0
    below = max(0, _PPM - ask) if ask is not None else 0
    off = above - below
    rate = abs(off) // PREMIUM_HOURS
    return max(-cap_ppm, min(cap_ppm, rate if off >= 0 else -rate))


class Terms(msgspec.Struct, frozen=True):
    """What a signer's word is about: one deployment and its markets in order. Only new markets ever change it."""

    domain: bytes
    markets: tuple[Market, ...]


class Expected(msgspec.Struct, frozen=True):
    """What the operator knows beforehand; None where a node may tell. `markets`: some may still be to come."""

    chain_id: int | None = None
    rollup_address: bytes | None = None
    markets: tuple[Market, ...] | None = None


class TermsDiffer(Exception):
    """A node is of another deployment than was asked for, or lists other markets."""


async def agreed_terms(node: NodeClient, expected: Expected) -> Terms:
    """The terms by a node's word, as far as the operator has not fixed them; TermsDiffer where they contradict him."""
    status = await node.status()
    listed = tuple(Market(market.name, market.price_decimals) for market in await node.markets())
    address = address_bytes(status.rollup_address)
    known = expected.markets and expected.markets[: len(listed)]
    for name, wanted, found in (
        ("chain", expected.chain_id, status.chain_id),
        ("rollup", expected.rollup_address and "0x" + expected.rollup_address.hex(), "0x" + address.hex()),
        ("list of markets", known and _listed(known), _listed(listed)),
    ):
        if wanted is not None and wanted != found:
            raise TermsDiffer(f"the node at {node.url} has the {name} {found}, expected was {wanted}")
    return Terms(domain_separator(status.chain_id, address), listed)


def _listed(markets: Sequence[Market]) -> str:
    return " ".join(f"{market.name}:{market.price_decimals}" for market in markets)


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
        signer_index: int,
        sign: Callable[[bytes], bytes],
        terms: Terms,
        source: PriceSource,
        guard: Guard,
        nodes: Sequence[NodeClient],
        now_ms: Callable[[], int],
        *,
        impact_micros: int,
        premium_cap_ppm: int,
    ) -> None:
        """`sign` makes 64 compact bytes of a digest. The first of `nodes` that answers shows the book."""
        self.signer_index = signer_index
        self._sign = sign
        self._terms = terms
        self._source = source
        self._guard = guard
        self._nodes = list(nodes)
        self._now_ms = now_ms
        self._impact_micros = impact_micros
        self._premium_cap_ppm = premium_cap_ppm
        self._signed_ms = 0
        self._log = structlog.get_logger("oracle").bind(signer=signer_index)

    def follow(self, terms: Terms, source: PriceSource) -> None:
        """Goes on with markets that were listed; what it signed and what it knows of the others stays."""
        self._terms, self._source = terms, source
        self._guard.follow(terms.markets)

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
                await trio.sleep((self._signed_ms + constants.TICK_STEP - now) / 1_000)
        return True

    async def step(self, time_ms: int) -> Step:
        """One grid time, which must be later than the last: sign and submit, or say why not."""
        assert time_ms > self._signed_ms, "one message a grid time"
        self._signed_ms = time_ms
        try:
            prices = self._guard.prices(time_ms, await self._source.quotes(time_ms))
        except Silent as silent:
            self._log.warning("oracle.silent", time_ms=time_ms, reason=str(silent))
            return Step(time_ms, reason=str(silent))
        premiums = await self._premiums(prices)
        report = signed_report(self._terms.domain, self._sign, time_ms, self.signer_index, prices, premiums)
        answers: dict[str, str] = {}
        async with trio.open_nursery() as nursery:
            for node in self._nodes:
                nursery.start_soon(self._submit, node, report, answers)
        return Step(time_ms, report, answers=answers)

    async def _premiums(self, prices: list[int]) -> list[int]:
        """From the first node that shows all books in time; 0 for each market where none does."""
        for node in self._nodes:
            books: dict[int, Book] = {}
            try:
                with trio.fail_after(_BOOK_SECONDS):
                    async with trio.open_nursery() as nursery:
                        for index in range(len(prices)):
                            nursery.start_soon(_read_book, node, index, books)
            except trio.TooSlowError:
                self._log.warning("oracle.no_book", node=node.url)
                continue
            if len(books) == len(prices):
                return [
                    premium_ppm(books[i].bids, books[i].asks, price, self._impact_micros, self._premium_cap_ppm)
                    for i, price in enumerate(prices)
                ]
            self._log.warning("oracle.no_book", node=node.url)
        return [0] * len(prices)

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


async def _read_book(node: NodeClient, market: int, books: dict[int, Book]) -> None:
    # No book, no premium: the price goes out all the same.
    with suppress(ClientError):
        books[market] = await node.book(market, BOOK_LEVELS)
