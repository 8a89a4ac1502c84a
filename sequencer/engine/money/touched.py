"""What a touch of an account has come to: funding that was due, a settled market's position, what a trade left.

Read off the rows that the law left; nothing here decides anything.
"""

from typing import Final

import msgspec

from prover.stf import constants, containers, encoding, margin

_POSITIONS: Final = range(constants.MARKETS)


class Behind(msgspec.Struct, frozen=True, array_like=True):
    """One side behind a fill. lots: its position, signed; money in micro-dollars.

    realised: what the law booked as profit or loss, of lots that are gone, pro rata.
    """

    lots: int
    realised: int
    collateral: int


class Sides(msgspec.Struct, frozen=True, array_like=True):
    """Both sides behind a trade without orders. bought: lots that who was rescued has bought, sold where negative."""

    bought: int
    rescued: Behind
    other: Behind


class Funding(msgspec.Struct, frozen=True, array_like=True):
    """Funding of one position: it paid lots * (index - index_before) / 10^9 micro-dollars, before any rounding."""

    market: int
    lots: int
    index_before: int
    index: int

    @property
    def owed(self) -> int:
        """What it paid, in 10^-9 micro-dollars."""
        return self.lots * (self.index - self.index_before)


class Folded(msgspec.Struct, frozen=True, array_like=True):
    """A position of a settled market that has become money."""

    market: int
    lots: int
    realised: int


class Touch(msgspec.Struct, frozen=True, array_like=True):
    """What was due of an account when it was touched. paid: funding of all positions, rounded up once; micro-dollars.

    collateral: the account's, once both were booked.
    """

    paid: int
    collateral: int
    funding: list[Funding]
    folded: list[Folded]


def touched(risk: containers.Risk, before: containers.Account, after: containers.Account) -> Touch | None:
    """What was due between two rows of an account at these indices; None where nothing was."""
    if before.positions == after.positions:
        return None
    funding: list[Funding] = []
    folded: list[Folded] = []
    for market in _POSITIONS:
        held, left = before.positions[market], after.positions[market]
        # The law compares by identity as well: a position that was written is another object.
        if held is left or held is containers.EMPTY:
            continue
        old, new, index = encoding.unpack(held), encoding.unpack(left), risk.funding_index[market]
        if old.funding != index and (new.size == 0 or new.funding == index):
            funding.append(Funding(market, old.size, old.funding, index))
        if new.size == 0 and risk.initial_ppm[market] == 0:
            folded.append(Folded(market, old.size, old.size * risk.price[market] - old.cost))
    if not funding and not folded:
        return None
    paid = margin.ceil_div(sum(leg.owed for leg in funding), constants.FUNDING_SCALE)
    collateral = margin.collateral(before) - paid + sum(leg.realised for leg in folded)
    return Touch(paid, collateral, funding, folded)


def behind(before: containers.Account, after: containers.Account, market: int, quote: int) -> Behind:
    """One side behind a trade that it paid so many micro-dollars for, or got them where they are negative."""
    old, new = encoding.unpack(before.positions[market]), encoding.unpack(after.positions[market])
    realised = margin.carried(old, new.size - old.size, quote) - old.cost - quote
    return Behind(new.size, realised, margin.collateral(after))


def behind_rescue(before: containers.Account, after: containers.Account, market: int) -> Behind:
    """One side behind a rescue without an order, settled before it: what it bears and makes good is realised too."""
    money = margin.collateral(after)
    return Behind(encoding.unpack(after.positions[market]).size, money - margin.collateral(before), money)


class LastRows:
    """The rows of accounts as the last input left them, of those that the open chunk has loaded."""

    def __init__(self) -> None:
        self._rows: dict[int, containers.Account] = {}

    def carry(self, loaded: dict[int, containers.Account]) -> None:
        """The open chunk is cut within an input: what it has loaded stands as it was before that input."""
        self._rows = {**loaded, **self._rows}

    def passed(self, index: int, loaded: containers.Account | None, now: containers.Account) -> containers.Account:
        """The row before the input that has just ended, which left `now`; loaded: as it was before the open chunk."""
        before = self._rows.get(index, loaded)
        self._rows[index] = now
        return now if before is None else before
