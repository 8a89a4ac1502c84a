"""What bytes on L1 cost beyond what they pay: the operator bears it, of each owner and in all, within bounds a day.

A fill pays fees, a taker's order and a request the posting fee. Whose order is too small to pay for its own bytes
brings them up, maker or taker: a crowd of them costs nobody else anything, and once its account has had its part of the
day it leaves the book when somebody meets it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from prover.stf import constants, containers, margin
from sequencer.engine.records import UNPAID_KEY, StagedStore

# What the operator bears in a day of UTC, micro-dollars: of one owner, and of all together.
OF_OWNER: Final = 10 * 10**6
OF_ALL: Final = 1_000 * 10**6
# Nor more of an account than so much of its settled money, parts per million.
OF_MONEY_PPM: Final = 10_000
# What a whole position's exit, or a withdrawal, costs the operator beyond its fees is at most so much of it, parts per
# million.
COST_PPM: Final = 10_000
# What an order that rests costs when somebody meets it.
_MAKER_BYTES: Final = constants.ORDER_LENGTH + constants.FILL_LENGTH
_DAY_MS: Final = 86_400_000
_NOTHING: Final[Mapping[bytes, int]] = {}


def is_dear(byte_micros: int) -> bool:
    """Whether the highest posting fee does not cover the longest request."""
    return constants.SET_AGENT_LENGTH * byte_micros > constants.MOST_POSTING_FEE


def fees(listed: containers.Market, lots: int, price: int) -> int:
    """What both sides of fills of so many lots pay, micro-dollars, rounded down."""
    return lots * price * (listed.maker_fee_ppm + listed.taker_fee_ppm) // constants.PPM


def pays(listed: containers.Market, lots: int, price: int, byte_micros: int) -> bool:
    """Whether the fees of an order of so many lots that rests pay for its bytes."""
    return fees(listed, lots, price) >= _MAKER_BYTES * byte_micros


def is_worth(cost: int, leaving: int) -> bool:
    """Whether the exit of a whole position, or a withdrawal, is worth what its bytes cost beyond its fees."""
    return cost * constants.PPM <= leaving * COST_PPM


class Payer(msgspec.Struct, frozen=True):
    """An account whose bytes are not paid for, its owner, and micro-dollars of it that have settled."""

    account: int
    owner: bytes
    settled: int

    @property
    def keys(self) -> tuple[bytes, bytes, bytes]:
        """What its costs are counted of: itself, its owner, all."""
        return self.account.to_bytes(4, "big"), self.owner, b""


def payer(risk: containers.Risk, index: int, account: containers.Account, now_ms: int) -> Payer:
    """Who brings up bytes of an account.

    What it has just won counts for nothing: an own other account may have lost it, and had its part of the day before.
    """
    return Payer(index, account.owner, margin.matured(risk.debts, account, now_ms).settled)


class Unpaid:
    """Micro-dollars that bytes of the day of UTC cost beyond what they paid: of each account, of each owner, of all.

    byte_micros: what a byte on L1 costs at the input, 0 where nobody knows or counts. They follow from the inputs, so
    that they are the same after a restart.
    """

    def __init__(self, store: StagedStore) -> None:
        self.byte_micros = 0
        self._store = store
        self._day = 0
        self._costs: dict[bytes, int] = {}
        for key, value in store.iterate(UNPAID_KEY):
            day, cost = msgspec.msgpack.decode(value, type=tuple[int, int])
            # All of one day: those of an earlier one go with the first of the next.
            self._day = day
            self._costs[key[len(UNPAID_KEY) :]] = cost

    def of(self, key: bytes, now_ms: int) -> int:
        """That of an account, an owner or all, by a payer's key, on the day of a time."""
        return self._costs.get(key, 0) if now_ms // _DAY_MS == self._day else 0

    def bears(self, payer: Payer, now_ms: int, imagined: Mapping[bytes, int] = _NOTHING) -> bool:
        """Whether the operator bears more of an account.

        imagined: what may have come to the keys of it and of others beside what is counted.
        """
        of_account, of_owner, of_all = (self.of(key, now_ms) + imagined.get(key, 0) for key in payer.keys)
        # By what it holds: a crowd of accounts of a dollar would use up what is borne of all, and keep others out. And
        # by owner: the same dollars would go from one of his accounts to the next.
        is_within = of_account < payer.settled * OF_MONEY_PPM // constants.PPM and of_owner < OF_OWNER
        return is_within and of_all < OF_ALL

    def note(self, payer: Payer, cost: int, now_ms: int) -> None:
        """Counts what bytes of an account cost beyond what they paid; nothing where they paid for themselves."""
        if cost <= 0:
            return
        writes: dict[bytes, bytes | None] = {}
        if now_ms // _DAY_MS != self._day:
            writes = {UNPAID_KEY + key: None for key in self._costs}
            self._day, self._costs = now_ms // _DAY_MS, {}
        for key in payer.keys:
            known = self._costs[key] = self._costs.get(key, 0) + cost
            writes[UNPAID_KEY + key] = msgspec.msgpack.encode((self._day, known))
        self._store.write(writes, sync=False)
