"""How an account stands as a rescue judges it: what the venue's liquidator and the challenger's guard both look at."""

from fractions import Fraction

import msgspec

from prover.stf import constants, containers, margin, rescue


class Health(msgspec.Struct, frozen=True):
    """An account at some prices, base fractions; micro-dollars. largest: a market's index."""

    equity: int
    initial: int
    maintenance: int
    largest: int

    @property
    def is_below(self) -> bool:
        """Whether the law would have it rescued; an account without positions has nothing to be taken over."""
        return 0 < self.maintenance > self.equity

    @property
    def ratio(self) -> Fraction:
        """Equity over maintenance: below 1 the account is liquidated, below 2/3 taken over."""
        return Fraction(self.equity, self.maintenance)


def judged_risk(globals: containers.Globals, settled: containers.Account, kinder: bool = True) -> containers.Risk:
    """The prices at which a rescue judges a settled account (PROTOCOL.md §7.7); a close step takes the worse ones."""
    previous = [listed.previous_price for listed in globals.markets]
    return rescue.judged_at(kinder, globals.risk, previous, settled)


def standing(risk: containers.Risk, settled: containers.Account) -> Health:
    """A settled account at the given prices."""
    every = margin.sums(risk, rescue.unbounded(settled), constants.MARKETS)
    equity = margin.collateral(settled) + every.value
    return Health(equity, every.initial, every.maintenance, rescue.largest(risk, settled))


def health(globals: containers.Globals, account: containers.Account, now_ms: int) -> Health:
    """An account as the law judges it before a rescue, settled first."""
    settled, _ = margin.settle(globals.risk, account, now_ms)
    return standing(judged_risk(globals, settled), settled)
