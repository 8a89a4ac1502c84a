"""What a chunk of L1 is booked by: the same effects as its inputs had, as far as its bytes say them.

Names that clients gave, and fills of rescues, are not in them.
"""

from collections.abc import Iterable

from prover.history.outcomes import Met, Replayed
from prover.state.trial import maker_fee
from prover.stf import codes, constants
from sequencer.engine.effects import AnyEffect, Filled, PaidOut, Settled, Ticked
from sequencer.engine.money.moved import moved, paid_out
from sequencer.engine.money.touched import behind, touched
from sequencer.engine.order_book import order_id
from sequencer.engine.records import Fill, tick_of


def effects_of(replayed: Replayed, chunk: int, forced: Iterable[tuple[int, PaidOut]] = ()) -> list[AnyEffect]:
    """Fills, funding, movements and ticks of a chunk of that number, in their order; not numbered.

    forced: what forced paths have paid, with the accounts that it came from.
    """
    state = replayed.state
    fills = {met.place: met for met in replayed.fills}
    effects: list[AnyEffect] = []
    for place, step in enumerate(replayed.steps):
        if place in fills:
            effects.append(_filled(fills[place], replayed, chunk))
        rows = {index: after for index, (_, after) in step.rows.items()}
        at = rows.__getitem__
        effects += moved(step.operation, step.code, step.opened, at, step.posting_fee, step.withdrawals)
        for index, (before, after) in step.rows.items():
            touch = None if index == constants.FEE_ACCOUNT else touched(step.risk, before, after)
            if touch is not None:
                effects.append(Settled(account=index, touch=touch))
        tick = tick_of(step.operation)
        if tick and step.code == codes.OK:
            prices = list(step.risk.price)
            effects.append(
                Ticked(time_ms=int.from_bytes(tick[1:7], "big"), markets=state.globals.market_count, prices=prices)
            )
    effects += [paid_out(account, state.account(account), payment) for account, payment in forced]
    return effects


def _filled(met: Met, replayed: Replayed, chunk: int) -> Filled:
    state, maker = replayed.state, met.maker
    own = maker_fee(state.globals.markets[maker.market], met.lots, maker.limit_price)
    fill = Fill(
        market=maker.market,
        price=maker.limit_price,
        size=met.lots,
        maker=maker.account,
        taker=met.taker.account,
        maker_order=order_id(maker),
        taker_order=order_id(met.taker),
        maker_side=maker.side,
        fee=met.fee,
        time=state.commitment.timestamp,
        chunk=chunk,
        operation=met.place,
        maker_fee=own,
    )
    quote = met.lots * maker.limit_price * (1 if maker.side == constants.BUY else -1)
    sides = [
        behind(before, after, maker.market, paid)
        for before, after, paid in zip(met.before, met.after, (quote, -quote), strict=True)
    ]
    return Filled(fill=fill, maker_fee=own, taker_fee=met.fee - own, maker=sides[0], taker=sides[1])
