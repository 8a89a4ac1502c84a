"""What bytes on L1 cost beyond what they pay: the operator bears it, of each account and in all, within bounds a day.

A fill pays fees, a taker's order and a request the posting fee. Whose order is too small to pay for its own bytes
brings them up, maker or taker: a crowd of them costs nobody else anything, and once its account has had its part of the
day it leaves the book when somebody meets it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from prover.stf import constants, containers
from sequencer.engine.records import UNPAID_KEY, StagedStore

# What the operator bears in a day of UTC, micro-dollars: of one account, and of all together.
OF_ACCOUNT: Final = 10 * 10**6
OF_ALL: Final = 1_000 * 10**6
# Nor more of one than so much of its collateral, parts per million.
OF_MONEY_PPM: Final = 10_000
# What a whole position's exit costs the operator beyond its fees is at most so much of it, parts per million.
COST_PPM: Final = 10_000
# What an order that rests costs when somebody meets it.
_MAKER_BYTES: Final = constants.ORDER_LENGTH + constants.FILL_LENGTH
_DAY_MS: Final = 86_400_000
_NOTHING: Final[Mapping[int, int]] = {}


def is_dear(byte_micros: int) -> bool:
    """Whether the highest posting fee does not cover the longest request."""
    return constants.SET_AGENT_LENGTH * byte_micros > constants.MOST_POSTING_FEE


def fees(listed: containers.Market, lots: int, price: int) -> int:
    """What both sides of fills of so many lots pay, micro-dollars, rounded down."""
    return lots * price * (listed.maker_fee_ppm + listed.taker_fee_ppm) // constants.PPM


def pays(listed: containers.Market, lots: int, price: int, byte_micros: int) -> bool:
    """Whether the fees of an order of so many lots that rests pay for its bytes."""
    return fees(listed, lots, price) >= _MAKER_BYTES * byte_micros


def is_worth(cost: int, lots: int, price: int) -> bool:
    """Whether the exit of a whole position bears what its bytes cost beyond its fees."""
    return cost * constants.PPM <= lots * price * COST_PPM


class Unpaid:
    """Micro-dollars that bytes of the day of UTC cost beyond what they paid, account by account.

    byte_micros: what a byte on L1 costs at the input, 0 where nobody knows or counts. They follow from the inputs, so
    that they are the same after a restart.
    """

    def __init__(self, store: StagedStore) -> None:
        self.byte_micros = 0
        self._store = store
        self._day = 0
        self._costs: dict[int, int] = {}
        for key, value in store.iterate(UNPAID_KEY):
            day, cost = msgspec.msgpack.decode(value, type=tuple[int, int])
            # All of one day: those of an earlier one go with the first of the next.
            self._day = day
            self._costs[int.from_bytes(key[len(UNPAID_KEY) :], "big")] = cost
        self._whole = sum(self._costs.values())

    def of(self, account: int, now_ms: int) -> int:
        """That of an account on the day of a time."""
        return self._costs.get(account, 0) if now_ms // _DAY_MS == self._day else 0

    def bears(self, account: int, money: int, now_ms: int, imagined: Mapping[int, int] = _NOTHING) -> bool:
        """Whether the operator bears more of an account that has so much collateral.

        imagined: what may have come to it and to others beside what is counted.
        """
        whole = self._whole if now_ms // _DAY_MS == self._day else 0
        of = self.of(account, now_ms) + imagined.get(account, 0)
        # By what it holds: a crowd of accounts of a dollar would use up what is borne of all, and keep others out.
        most = min(OF_ACCOUNT, money * OF_MONEY_PPM // constants.PPM)
        return of < most and whole + sum(imagined.values()) < OF_ALL

    def note(self, account: int, cost: int, now_ms: int) -> None:
        """Counts what bytes of an account cost beyond what they paid; nothing where they paid for themselves."""
        if cost <= 0:
            return
        writes: dict[bytes, bytes | None] = {}
        if now_ms // _DAY_MS != self._day:
            writes = {_key(one): None for one in self._costs}
            self._day, self._costs, self._whole = now_ms // _DAY_MS, {}, 0
        self._whole += cost
        known = self._costs[account] = self._costs.get(account, 0) + cost
        writes[_key(account)] = msgspec.msgpack.encode((self._day, known))
        self._store.write(writes, sync=False)


def _key(account: int) -> bytes:
    return UNPAID_KEY + account.to_bytes(4, "big")
