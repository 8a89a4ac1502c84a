"""What each position adds to or takes from the pool, what sharing one pool saves, and what a shock does."""

from collections.abc import Mapping

import msgspec

from prover.standing import met_by_order
from prover.state.trial import one_side
from prover.stf import codes, constants, containers, margin, rescue
from sequencer.schema.accounts import Contribution, Leg, Reduced, Saved, Shocked, ShockedLeg
from sequencer.views.account import BASIS_POINTS, only, positions_of, ratio_ppm
from sequencer.views.markets import names


class Moves(msgspec.Struct, frozen=True):
    """A shock of -9,999 bp or more, of all markets or of one. betas_bp: by market, how much of it that market takes."""

    shock_bp: int
    market: int | None = None
    betas_bp: Mapping[int, int] = {}

    def moved(self, market: int, price: int) -> int:
        """A price after the shock, rounded down to ticks; never below one. 0, no price, stays."""
        if not price or self.market not in (None, market):
            return price
        factor = BASIS_POINTS**2 + self.shock_bp * self.betas_bp.get(market, BASIS_POINTS)
        return max(1, price * factor // BASIS_POINTS**2)


def contribution(
    globals: containers.Globals, clock: containers.Clock, index: int, account: containers.Account, moves: Moves
) -> Contribution:
    """What each position adds and takes, and what a shock does."""
    risk = globals.risk
    settled, _ = margin.settle(risk, account, clock.now)
    now = met_by_order(risk, settled)
    legs: list[Leg] = []
    called = names(globals)
    for market, held in positions_of(settled):
        leg = met_by_order(risk, only(settled, market))
        legs.append(
            Leg(
                market=called[market],
                size_lots=held.size,
                to_equity_micros=leg.equity,
                initial_micros=leg.initial,
                maintenance_micros=leg.maintenance,
                to_free_micros=leg.equity - leg.initial,
                to_room_micros=leg.room,
                share_ppm=ratio_ppm(leg.maintenance, now.maintenance),
                margin_ratio_without_ppm=ratio_ppm(now.maintenance - leg.maintenance, now.equity),
            )
        )
    legs.sort(key=lambda leg: (-leg.maintenance_micros, called.index(leg.market)))
    return Contribution(
        account=index,
        equity_micros=now.equity,
        legs=legs,
        saved=saved(risk, settled),
        shocked=shocked(globals, clock, settled, moves),
        finality="sequenced",
    )


def saved(risk: containers.Risk, settled: containers.Account) -> Saved:
    """What sharing one pool saves: there, the gains of one position stand for the losses and requirements of others."""
    legs = [met_by_order(risk, only(settled, market)) for market, _ in positions_of(settled)]
    together = max(0, sum(leg.initial for leg in legs) - sum(leg.equity for leg in legs))
    isolated = sum(max(0, leg.initial - leg.equity) for leg in legs)
    return Saved(together, isolated, isolated - together)


def shocked(globals: containers.Globals, clock: containers.Clock, settled: containers.Account, moves: Moves) -> Shocked:
    """A settled account after a shock, and what would be liquidated in which order."""
    risk = globals.risk
    moved = msgspec.structs.replace(risk, price=[moves.moved(market, price) for market, price in enumerate(risk.price)])
    after = met_by_order(moved, settled)
    there = msgspec.structs.replace(globals, risk=moved)
    liquidated = _liquidated(globals, there, clock, settled) if after.room < 0 else []
    return Shocked(
        shock_bp=moves.shock_bp,
        market=None if moves.market is None else names(globals)[moves.market],
        equity_micros=after.equity,
        initial_micros=after.initial,
        maintenance_micros=after.maintenance,
        margin_ratio_ppm=ratio_ppm(after.maintenance, after.equity),
        legs=[_leg_of(globals, moved, settled, market) for market, _ in positions_of(settled)],
        liquidated=liquidated,
        deficit_micros=max(0, -after.equity),
    )


def _leg_of(
    globals: containers.Globals, moved: containers.Risk, settled: containers.Account, market: int
) -> ShockedLeg:
    leg = met_by_order(moved, only(settled, market))
    return ShockedLeg(names(globals)[market], moved.price[market], leg.equity, leg.initial, leg.maintenance)


def _liquidated(
    here: containers.Globals, there: containers.Globals, clock: containers.Clock, settled: containers.Account
) -> list[Reduced]:
    risk, moved = here.risk, there.risk
    found: list[Reduced] = []
    # The law judges it without the owner's own bound, which must not make a liquidation any larger.
    left = rescue.unbounded(settled)
    largest_first = sorted(
        positions_of(settled), key=lambda entry: (-met_by_order(moved, only(settled, entry[0])).maintenance, entry[0])
    )
    for market, held in largest_first:
        if met_by_order(moved, left).room >= 0:
            break
        lots = _fewest_lots(there, clock, left, market, held.size)
        lost = held.size * (risk.price[market] - moved.price[market])
        found.append(Reduced(names(here)[market], lots, lost))
        left = _closed(there, clock, left, market, held.size, lots)
    return found


def _closed(
    globals: containers.Globals,
    clock: containers.Clock,
    account: containers.Account,
    market: int,
    size: int,
    lots: int,
) -> containers.Account:
    """The account with so many lots liquidated at the oracle price; as it is where the law does not take that."""
    risk = globals.risk
    price, maintenance_ppm = risk.price[market], risk.maintenance_ppm[market]
    closed = lots if size > 0 else -lots
    every = margin.sums(risk, account, constants.MARKETS)
    equity = margin.collateral(account) + every.value
    _, _, fee = rescue.liquidated(equity, every.maintenance, size, price, maintenance_ppm, price, closed)
    traded = one_side(globals, clock, account, market, -closed, price, fee)
    return traded.account if traded.code == codes.OK else account


def _fewest_lots(
    globals: containers.Globals, clock: containers.Clock, account: containers.Account, market: int, size: int
) -> int:
    """The fewest lots that bring the account to its initial requirement; all where none do, or leave no order."""

    def is_enough(lots: int) -> bool:
        after = met_by_order(globals.risk, _closed(globals, clock, account, market, size, lots))
        return after.equity >= after.initial

    low, high = 0, abs(size)
    while high - low > 1:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    is_dust = (abs(size) - high) * globals.risk.price[market] < globals.markets[market].minimum_notional
    return abs(size) if is_dust else high
