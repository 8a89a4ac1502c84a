"""What a guard may pay: so much ether an hour and a day, and of what it saves no more than a share; no I/O."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from l1_bridge.codec.calls import entry_gas
from prover.history.records import Payment
from prover.stf import constants

# An honest venue rescues within one tick and posts within minutes; a queue entry is due an hour after its arrival at
# the earliest. Ten minutes spare it what is only not posted yet, and cost the account a sixth of that hour.
PATIENCE_SECONDS: Final = 600
CLOSE_OUT_SECONDS: Final = 180
ETHER: Final = 10**18
# Three ticks and a rescue at a fee of 100 gwei, twice.
HOUR_ETHER: Final = 0.25
DAY_ETHER: Final = 1.0
SHARE_PERCENT: Final = 10.0
# Too dear an ether only makes a guard thriftier.
ETHER_DOLLARS: Final = 5_000.0
MAX_FEE_GWEI: Final = 100.0
DAY: Final = 24 * constants.HOUR


class Policy(msgspec.Struct, frozen=True):
    """How long a guard waits, ms, less for who is to be taken over whole; and what it pays: wei within 3,600 s and
    within a day of L1 time, at most a share of the money at risk, an ether being worth so many micro-dollars, and
    nothing while L1 asks for more per gas."""

    patience_ms: int = PATIENCE_SECONDS * 1_000
    hour_wei: int = int(HOUR_ETHER * ETHER)
    day_wei: int = int(DAY_ETHER * ETHER)
    share_ppm: int = int(SHARE_PERCENT * 10_000)
    ether_micros: int = int(ETHER_DOLLARS * 1_000_000)
    max_fee_wei: int = int(MAX_FEE_GWEI * 10**9)
    close_out_ms: int = CLOSE_OUT_SECONDS * 1_000


class Priced(Protocol):
    """What an entry costs depends on its payload alone."""

    @property
    def payload(self) -> bytes:
        """Its bytes behind tag, sender and time."""


class Purse:
    """What is left of a policy's budget after payments, at an L1 time and at what L1 asks for then."""

    def __init__(
        self, policy: Policy, payments: Sequence[Payment], now_ms: int, entry_fee_wei: int, gas_price_wei: int
    ) -> None:
        self._policy = policy
        self._entry_fee_wei, self._gas_price_wei = entry_fee_wei, gas_price_wei
        self._left = [
            (whole - sum(paid.wei for paid in payments if paid.at_ms > now_ms - span), whole)
            for span, whole in ((constants.HOUR, policy.hour_wei), (DAY, policy.day_wei))
        ]

    def copy(self) -> "Purse":
        """Another one with as much in it."""
        copied = Purse(self._policy, (), 0, self._entry_fee_wei, self._gas_price_wei)
        copied._left = self._left
        return copied

    def cost(self, payload: bytes) -> int:
        """Wei that an entry costs at most: its fee, and all the gas that it may use at the fee that is offered."""
        return self._entry_fee_wei + entry_gas(payload) * self._gas_price_wei

    def price(self, entries: Iterable[Priced]) -> int:
        """Wei that these cost together."""
        return sum(self.cost(entry.payload) for entry in entries)

    def bound(self, entries: Sequence[Priced]) -> int:
        """Wei that these cost together if what is sent has to be replaced up to the highest fee that a guard gives."""
        gas = sum(entry_gas(entry.payload) for entry in entries)
        return len(entries) * self._entry_fee_wei + gas * max(self._gas_price_wei, self._policy.max_fee_wei)

    def is_worth(self, at_risk: int, cost: int) -> bool:
        """Whether so many micro-dollars at risk are worth so many wei, as things stand in the purse.

        What is left gets dearer: of half a budget half the share is paid. So no row of small accounts empties it for
        a large one, which finds an entry unless as much was at risk in those before it.
        """
        policy = self._policy
        return all(
            cost <= left
            and cost * policy.ether_micros * constants.PPM * whole <= at_risk * policy.share_ppm * left * ETHER
            for left, whole in self._left
        )

    def pay(self, cost: int) -> None:
        """Takes it out."""
        self._left = [(left - cost, whole) for left, whole in self._left]
