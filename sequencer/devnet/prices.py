"""Signed prices: the seven signers of a devnet, and a random walk for them to sign."""

import random
from typing import Final

from l1_bridge.hashing import keccak
from prover.stf import constants

# Public knowledge, for devnets only: the keys keccak("catenary devnet oracle signer" + index).
DEVNET_QUORUM: Final = 5
START_DOLLARS: Final = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0}
# One standard deviation of a step of five seconds, about 60% a year.
STEP_DEVIATION: Final = 0.00024


def devnet_signer_keys() -> list[bytes]:
    """The private keys of the seven devnet signers."""
    return [keccak(b"catenary devnet oracle signer" + bytes([index])) for index in range(constants.SIGNERS)]


class RandomWalk:
    """A seeded walk a market, from where the prices stand; the same seed and steps give the same prices."""

    def __init__(self, seed: int, labels: list[tuple[str, int]], start: list[int] | None = None) -> None:
        """`labels`: name and size decimals by market; `start` continues from prices in ticks."""
        self._random = random.Random(seed)
        self.prices: list[int] = []
        self.premiums: list[int] = []
        self.follow(labels)
        self.prices = [known or price for known, price in zip(start or self.prices, self.prices, strict=False)]

    def follow(self, labels: list[tuple[str, int]], named: list[int] | None = None) -> None:
        """Begins a price for each market that was listed since: the one that its listing named, in ticks, if any."""
        for market in range(len(self.prices), len(labels)):
            name, decimals = labels[market]
            usual = round(START_DOLLARS.get(name, 100.0) * 10 ** (6 - decimals))
            self.prices.append((named[market] if named else 0) or usual)
            self.premiums.append(0)

    def move(self, market: int, ppm: int) -> None:
        """Moves a price beside its walk, which goes on from there."""
        self.prices[market] = max(1, self.prices[market] * (1_000_000 + ppm) // 1_000_000)

    def step(self, drift_ppm: int = 0) -> tuple[list[int], list[int]]:
        """The next prices in ticks and premiums in ppb an hour."""
        for index, price in enumerate(self.prices):
            move = self._random.gauss(drift_ppm / 1_000_000, STEP_DEVIATION)
            self.prices[index] = max(1, round(price * (1 + move)))
            pull = round(self.premiums[index] * 0.95 + self._random.gauss(0, 20_000))
            self.premiums[index] = max(-400_000, min(400_000, pull))
        return list(self.prices), list(self.premiums)
