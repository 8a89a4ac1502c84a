"""What each position adds to or takes from the pool, what sharing one pool saves, and what a shock does."""

import msgspec

from prover.standing import met_by_order
from prover.state.trial import one_side
from prover.stf import codes, constants, containers, margin, rescue
from sequencer.schema.accounts import Contribution, Leg, Reduced, Saved, Shocked
from sequencer.views.account import BASIS_POINTS, only, positions_of, ratio_ppm
from sequencer.views.markets import names


def contribution(
    globals: containers.Globals,
    clock: containers.Clock,
    index: int,
    account: containers.Account,
    shock_bp: int,
    shocked_market: int | None,
) -> Contribution:
    """What each position adds and takes, and what a shock (-9,999 bp or more) of all or of one market's prices does."""
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
        shocked=shocked(globals, clock, settled, shock_bp, shocked_market),
        finality="sequenced",
    )


def saved(risk: containers.Risk, settled: containers.Account) -> Saved:
    """What sharing one pool saves: there, the gains of one position stand for the losses and requirements of others."""
    legs = [met_by_order(risk, only(settled, market)) for market, _ in positions_of(settled)]
    together = max(0, sum(leg.initial for leg in legs) - sum(leg.equity for leg in legs))
    isolated = sum(max(0, leg.initial - leg.equity) for leg in legs)
    return Saved(together, isolated, isolated - together)


def shocked(
    globals: containers.Globals,
    clock: containers.Clock,
    settled: containers.Account,
    shock_bp: int,
    market: int | None,
) -> Shocked:
    """A settled account after a shock, and what would be liquidated in which order."""
    risk = globals.risk
    moved = msgspec.structs.replace(
        risk,
        price=[
            max(1, price * (BASIS_POINTS + shock_bp) // BASIS_POINTS) if price and market in (None, index) else price
            for index, price in enumerate(risk.price)
        ],
    )
    after = met_by_order(moved, settled)
    there = msgspec.structs.replace(globals, risk=moved)
    liquidated = _liquidated(globals, there, clock, settled) if after.room < 0 else []
    return Shocked(
        shock_bp=shock_bp,
        market=None if market is None else names(globals)[market],
        equity_micros=after.equity,
        initial_micros=after.initial,
        maintenance_micros=after.maintenance,
        margin_ratio_ppm=ratio_ppm(after.maintenance, after.equity),
        liquidated=liquidated,
        deficit_micros=max(0, -after.equity),
    )


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
