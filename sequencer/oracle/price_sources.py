"""Where an oracle signer's prices come from: what a source is, and the simulated ones."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from prover.stf import constants
from sequencer.devnet.prices import STEP_DEVIATION

_HOUR_STEPS: Final = 3_600_000 // constants.TICK_STEP
# A simulated price forgets half of a move in an hour: it stays near its start for ever.
_KEEP: Final = 0.5 ** (1 / _HOUR_STEPS)
_BLOCK_STEPS: Final = 6 * _HOUR_STEPS
# Twelve half-lives: what lies before them weighs less than a four-thousandth of what lies inside.
_WARM_UP_STEPS: Final = 12 * _HOUR_STEPS


class Market(msgspec.Struct, frozen=True):
    """A market as a signer needs it: a tick is 10^-price_decimals dollars."""

    name: str
    price_decimals: int


class Quote(msgspec.Struct, frozen=True):
    """A price in dollars, and when it was true, ms."""

    dollars: float
    observed_ms: int


class PriceSource(Protocol):
    """Gives a quote a market for a grid time, None where it has none. Never raises for what comes from outside."""

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """In the order of the markets."""


class SourceError(Exception):
    """A source that cannot be used at all; one sentence for the operator."""


def read_time_ms(text: str) -> int:
    """Milliseconds of a Unix time in s or ms, or of ISO 8601 (UTC if it names no zone); ValueError for the rest."""
    if text.isascii() and text.isdigit():
        number = int(text)
        return number if number >= 10**11 else number * 1_000
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000)


class SimulatedPrices:
    """Seeded prices that wander around their start, with jumps of all markets at once in one direction.

    A price is a function of seed and time alone: it is computed from a fixed point before each block of six hours, so
    signers that start at different moments say the same. That is a tenth of a second of CPU, once a block.
    """

    def __init__(self, seed: int, start_dollars: Sequence[float], jumps_per_hour: float, jump_ppm: int) -> None:
        """`jump_ppm`: size of each jump, up or down by even chances."""
        self._seed = seed
        self._start_dollars = list(start_dollars)
        self._jump_chance = -math.expm1(-jumps_per_hour / _HOUR_STEPS)
        self._jump = math.log1p(jump_ppm / 1_000_000)
        self._block = -1
        self._step = -1
        self._moves: list[float] = []

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """The simulated prices of a grid time."""
        moves = self._moved(time_ms // constants.TICK_STEP)
        return [Quote(start * math.exp(move), time_ms) for start, move in zip(self._start_dollars, moves, strict=True)]

    def _moved(self, step: int) -> list[float]:
        if self._block != step // _BLOCK_STEPS or self._step > step:
            self._block = step // _BLOCK_STEPS
            self._step = self._block * _BLOCK_STEPS - _WARM_UP_STEPS
            self._moves = [0.0] * len(self._start_dollars)
        while self._step < step:
            self._step += 1
            draw = random.Random(self._seed << 64 | self._step)
            jump = 0.0
            if draw.random() < self._jump_chance:
                jump = self._jump if draw.random() < 0.5 else -self._jump
            self._moves = [move * _KEEP + draw.gauss(0, STEP_DEVIATION) + jump for move in self._moves]
        return self._moves


class NoisyPrices:
    """Another source as one signer sees it: each quote off by at most `noise_ppm`, seeded by signer and time."""

    def __init__(self, source: PriceSource, noise_ppm: int, signer_index: int) -> None:
        self._source = source
        self._noise_ppm = noise_ppm
        self._signer_index = signer_index

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """The other source's quotes, a little off."""
        draw = random.Random(time_ms << 8 | self._signer_index)
        return [
            quote
            if quote is None
            else Quote(quote.dollars * (1 + draw.uniform(-1, 1) * self._noise_ppm / 1_000_000), quote.observed_ms)
            for quote in await self._source.quotes(time_ms)
        ]
