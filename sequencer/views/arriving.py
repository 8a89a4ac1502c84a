"""Deposits under way: they stand in a block of L1, and nothing has sequenced them yet."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from l1_bridge.codec.events import Enqueued
from prover.stf import constants, containers, encoding
from prover.stf.words import word_at

# Each costs its depositor a transaction; what comes beyond is told once others have their place.
MOST_DEPOSITS: Final = 10_000


class Arrival(msgspec.Struct, frozen=True):
    """A deposit in the bridge's queue. block: of L1; entered_at: L1's time there, in seconds."""

    index: int
    block: int
    entered_at: int
    deposit: containers.Deposit


class Arriving:
    """Deposits by their place in the queue. final: the newest block of L1 up to which the node consumes the queue."""

    def __init__(self, most: int = MOST_DEPOSITS) -> None:
        self.final = -1
        self._most = most
        self._arrivals: OrderedDict[int, Arrival] = OrderedDict()

    def add(self, block: int, event: Enqueued) -> None:
        """An entry of the queue as a block of L1 holds it, in the order of the queue."""
        operation = event.operation
        if operation[0] != constants.DEPOSIT or len(self._arrivals) >= self._most:
            return
        deposit = encoding.deposit(word_at(operation, 1), word_at(operation, 21))
        self._arrivals[event.index] = Arrival(event.index, block, event.enqueued_at, deposit)

    def revert(self, block: int) -> None:
        """This block of L1, and all behind it, are no more."""
        while self._arrivals and next(reversed(self._arrivals.values())).block >= block:
            self._arrivals.popitem()

    def drop(self, taken: int) -> None:
        """So many entries of the queue were sequenced."""
        while self._arrivals and next(iter(self._arrivals)) < taken:
            self._arrivals.popitem(last=False)

    def of(self, owner: bytes, account: int | None = None) -> Iterator[Arrival]:
        """What is under way to an owner, or to an account, the first first."""
        for arrival in self._arrivals.values():
            if arrival.deposit.owner == owner or arrival.deposit.account == account:
                yield arrival
