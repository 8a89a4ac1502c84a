"""Whom the venue rescues, in which order and by how many lots: policy over what the law allows.

The law fixes prices and the most lots. That funds in trouble go first, then whoever lacks most, through the book before
the insurance account takes over, and who is deleveraged when nothing else is left (`ranking.py`): anybody with the
state can recompute it, nobody can prove that it was kept.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from prover.standing import counted_by_rescue, judged_by_rescue, may_begin, won_where_over
from prover.stf import codes, constants, containers, encoding, margin, rescue
from prover.stf.replay import HEAD_ENDS
from sequencer.engine.committing import Committing
from sequencer.engine.effects import AnyEffect, Rescued
from sequencer.engine.placing import reducible
from sequencer.engine.post_mortem import Case
from sequencer.engine.ranking import Side, Stand, is_traders, stand, worst_first

# At most so many rescues a tick: they stand in the same chunks as everybody's trades.
RESCUES_OF_A_TICK: Final = 64
# Of these at most so many for accounts without positions, and as many for funds, before whoever lacks most.
_SET_APART: Final = 16
_MAKERS_TRIED: Final = 64
_STEPS_OF_AN_ACCOUNT: Final = 16
_STEPS_OF_A_TURN: Final = 4

_Facing = list[tuple[containers.Order, int]]


def most_lots(code_of: Callable[[int], int], most: int, *too_many: int) -> int:
    """The most lots, up to `most`, whose code is OK, where too many of them say `too_many`; 0 where none is OK."""
    if most <= 0:
        return 0
    code = code_of(most)
    if code not in too_many:
        return most if code == codes.OK else 0
    if code_of(1) in too_many:
        return 0
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        if code_of(middle) in too_many:
            high = middle
        else:
            low = middle
    return low if code_of(low) == codes.OK else 0


class Liquidator:
    """One pass over the accounts after a tick. effects: what came of it so far."""

    def __init__(self, committing: Committing) -> None:
        self.effects: list[AnyEffect] = []
        self._committing = committing
        self._chunk = committing.chunk
        self._now = committing.now
        self._left = RESCUES_OF_A_TICK
        self._stands: dict[tuple[int, int, int], tuple[containers.Account, Stand | None]] = {}
        self._sides: dict[tuple[int, int], Side] = {}

    def run(self) -> None:
        """Funds below maintenance first, then whoever lacks most, then all funds; small orders are met behind all."""
        clock = self._chunk.view.clock()
        if not clock.steady or clock.grace or not clock.priced:
            return
        self._chunk.note_changed()
        near = self._committing.ledger.watchlist.near(self._chunk.globals.risk, self._chunk.account)
        rows = [(index, self._chunk.account(index)) for index in near if is_traders(index)]
        self._within(_SET_APART, partial(self._call, rows))
        self._within(_SET_APART, self._relieve)
        worst = worst_first(self._chunk.globals, clock.now, rows)
        # In turns: else four accounts, each met by bids of a hundredth of it, took all of a tick's places.
        turn = worst
        for _ in range(_STEPS_OF_AN_ACCOUNT // _STEPS_OF_A_TURN):
            turn = [index for index in turn if self._steps(partial(self._step, index), _STEPS_OF_A_TURN)]
        markets = range(self._chunk.globals.market_count)
        for market in markets:
            self._steps(partial(self._unwind, market, is_small=False))
            self._steps(partial(self._reduce, market))
        # Orders that cost nearly nothing take no step from anybody that the fund or larger ones could help.
        for index in worst:
            self._steps(partial(self._meet_small, index))
        for market in markets:
            self._steps(partial(self._unwind, market, is_small=True))

    def _within(self, most: int, rescue_some: Callable[[], None]) -> None:
        """Rescues, so many of those that are left at most."""
        kept = max(self._left - most, 0)
        self._left -= kept
        rescue_some()
        self._left += kept

    def _steps(self, step: Callable[[], bool], most: int = _STEPS_OF_AN_ACCOUNT) -> bool:
        """Steps of one account while there are any, so many at most; whether it took all of them."""
        return all(self._left > 0 and step() for _ in range(most))

    def _relieve(self) -> None:
        """What all others count on: no crowd comes before a fund below maintenance, and its lots are offered first."""
        for market in range(self._chunk.globals.market_count):
            if self._is_below(constants.insurance_account(market)):
                self._steps(partial(self._unwind, market, is_small=False))
                self._steps(partial(self._reduce, market))

    def _is_below(self, index: int) -> bool:
        return judged_by_rescue(self._chunk.globals, self._chunk.account(index), self._now).is_below

    def _call(self, rows: list[tuple[int, containers.Account]]) -> None:
        """Calls whoever is left below zero without a position, once enough of those who won it there have money."""
        globals = self._chunk.globals
        open_ = [market for market in range(globals.market_count) if globals.risk.initial_ppm[market] != 0]
        idle = [(index, row) for index, row in rows if all(row.positions[m] is containers.EMPTY for m in open_)]
        judged = ((index, judged_by_rescue(globals, row, self._now)) for index, row in idle)
        missing = {index: -found.equity for index, found in judged if found.is_left_owing}
        if not missing:
            return
        left = sum(missing.values())
        for won, index, market in sorted(self._winners(), reverse=True):
            if left <= 0:
                break
            self._wind_up(index, market)
            left -= won
        for index in sorted(missing, key=lambda index: -missing[index]):
            self._wind_up(index, 0)

    def _winners(self) -> Iterator[tuple[int, int, int]]:
        """Micro-dollars won in markets that are over and not touched since, whose they are, and one of the markets."""
        for index in filter(is_traders, self._committing.ledger.holders):
            won, market = won_where_over(self._chunk.globals.risk, self._chunk.account(index))
            if won > 0:
                yield won, index, market

    def _wind_up(self, index: int, market: int) -> None:
        if self._left > 0:
            move = containers.Rescue(maker=0, market=market, account=index, other=0, lots=1)
            code = self._carry_out(constants.TAKE_OVER, move, None)
            assert code == codes.OK, f"what is over waits for nothing: {code}"

    def _step(self, index: int) -> bool:
        """One rescue of one account; whether there was any."""
        chunk = self._chunk
        clock = chunk.view.clock()
        account = chunk.account(index)
        judged = judged_by_rescue(chunk.globals, account, clock.now)
        if judged.equity >= judged.maintenance:
            return False
        settled, _ = margin.settle(chunk.globals.risk, account, clock.now)
        legs = self._legs(settled, judged.equity)
        if not legs:
            # What it holds stands in markets without a price.
            return False
        # The largest first; where nobody takes any of it, what requires half as much is sold before it is too late.
        if judged.equity >= 0 and self._through_books(index, legs, is_small=False):
            return True
        if judged.is_close_out and any(self._take_over(index, market, held) for market, held in legs):
            return True
        return judged.equity < 0 and self._deleverage(index, settled)

    def _legs(self, settled: containers.Account, equity: int) -> list[tuple[int, int]]:
        """Markets that a rescue may begin in, the largest requirement first, and the lots that are held there."""
        markets = may_begin(self._chunk.globals, settled, equity)
        return [(market, encoding.unpack(settled.positions[market]).size) for market in markets]

    def _meet_small(self, index: int) -> bool:
        """One rescue of one account by an order that is small beside its position."""
        globals, account = self._chunk.globals, self._chunk.account(index)
        judged = judged_by_rescue(globals, account, self._now)
        if not judged.is_below or judged.equity < 0:
            return False
        settled, _ = margin.settle(globals.risk, account, self._now)
        return self._through_books(index, self._legs(settled, judged.equity), is_small=True)

    def _through_books(self, index: int, legs: list[tuple[int, int]], *, is_small: bool) -> bool:
        return any(self._through_book(index, market, held, is_small=is_small) for market, held in legs)

    def _facing(self, index: int, market: int, held: int, *, is_small: bool) -> _Facing:
        """Others' orders that a position could be closed against, and lots that they take, the best first.

        is_small: of those that take less than a hundredth of it, else of the others. A reduce-only order of one lot
        costs its maker nothing: neither a crowd of them nor an owner's own orders hide the ones behind, and what does
        not pay for its bytes on L1 is met within what the operator bears.
        """
        chunk, owner = self._chunk, self._chunk.account(index).owner
        found: _Facing = []
        for maker, resting in self._committing.resting_against(market, held):
            if (not is_small and resting * 100 < abs(held)) or not self._committing.bears(maker):
                continue
            account = chunk.account(maker.account)
            offered = min(abs(held), reducible(maker, account, resting))
            # An owner's own order would be a trade with oneself.
            if account.owner != owner and (offered * 100 < abs(held)) == is_small:
                found.append((maker, offered))
            if len(found) == _MAKERS_TRIED:
                break
        return found

    def _through_book(self, index: int, market: int, held: int, *, is_small: bool) -> bool:
        committing = self._committing
        for maker, offered in self._facing(index, market, held, is_small=is_small):
            move = containers.Rescue(maker=0, market=market, account=index, other=0, lots=offered)
            lots = self._most(constants.LIQUIDATE, move, maker, codes.TOO_MANY_LOTS)
            if lots > 0:
                code = self._carry_out(constants.LIQUIDATE, _of(move, lots), maker)
                if code == codes.OK:
                    return True
            else:
                code = committing.rescue_code(constants.LIQUIDATE, move, maker)
            if code == codes.LIQUIDATION_PRICE:
                return False
            self.effects += committing.drop_if_at_fault(maker, max(offered, 1), code)
        return False

    def _take_over(self, index: int, market: int, held: int) -> bool:
        move = containers.Rescue(maker=0, market=market, account=index, other=0, lots=abs(held))
        lots = self._most(constants.TAKE_OVER, move, None, codes.FUND_LIMIT)
        if lots == 0:
            return False
        return self._carry_out(constants.TAKE_OVER, _of(move, lots), None) == codes.OK

    def _deleverage(self, index: int, settled: containers.Account) -> bool:
        """Against whoever is in profit and can bear the loss, then against anybody, at the cost of unsettled money."""
        risk = self._chunk.globals.risk
        dearest_first = sorted(
            ((market, encoding.unpack(position).size) for market, position in enumerate(settled.positions)),
            key=lambda entry: -abs(entry[1]) * risk.price[entry[0]] * risk.maintenance_ppm[entry[0]],
        )
        open_legs = [(market, held) for market, held in dearest_first if held]
        for market, held in open_legs:
            borne = self._borne(settled, market, held)
            # The same whoever bears it: no crowd of hopeless accounts is worth a look at everybody.
            if borne <= self._opposite(market, held).bears and self._deleverage_some(index, market, held, borne, True):
                return True
        # What nobody has won is paid by unsettled money, whoever gives up his position for nothing.
        return any(self._deleverage_some(index, market, held, 0, False) for market, held in open_legs)

    def _deleverage_some(self, index: int, market: int, held: int, borne: int, is_paid: bool) -> bool:
        """Against one of those who may bear so much for a lot; is_paid: as few lots as leave nothing owed."""
        for other in self._opposite(market, held).asked(abs(held), borne):
            move = self._against(index, market, held, other)
            lots = most_lots(partial(self._paid, move), move.lots, codes.TOO_MANY_LOTS) if is_paid else move.lots
            if lots and self._carry_out(constants.DELEVERAGE, _of(move, lots), None) == codes.OK:
                return True
        return False

    def _paid(self, move: containers.Rescue, lots: int) -> int:
        """The law's code for deleveraging so many lots, too many where they leave more owed than roundings."""
        decided = self._committing.decided(constants.DELEVERAGE, _of(move, lots), None)
        return codes.TOO_MANY_LOTS if decided.debt > lots else decided.code

    def _borne(self, settled: containers.Account, market: int, held: int) -> int:
        """What somebody would bear of one lot's loss after the fund has paid what it may; micro-dollars."""
        globals = self._chunk.globals
        risk = globals.risk
        premium = rescue.premium_of(risk, settled, market, 1 if held > 0 else -1)
        settled_fund, _ = margin.settle(risk, self._chunk.account(constants.insurance_account(market)), self._now)
        fund = counted_by_rescue(risk, settled_fund)
        quarter = max(fund.equity, 0) * constants.PAYOUT_PPM // constants.PPM - globals.markets[market].paid_out
        payable = min(fund.equity - fund.initial, quarter)
        return max(premium - max(payable, 0), 0)

    def _against(self, index: int, market: int, held: int, other: int) -> containers.Rescue:
        """As many lots as both have."""
        theirs = abs(encoding.unpack(self._chunk.account(other).positions[market]).size)
        return containers.Rescue(maker=0, market=market, account=index, other=other, lots=min(abs(held), theirs))

    def _opposite(self, market: int, held: int) -> Side:
        """Who stands against a position; until a rescue is taken it is the same."""
        side = -1 if held > 0 else 1
        known = self._sides.get((market, side))
        if known is None:
            holders = filter(is_traders, self._committing.ledger.holders)
            stands = {index: found for index in holders if (found := self._stand(market, side, index))}
            known = Side(stands, max((found.bears for found in stands.values()), default=-1))
            self._sides[(market, side)] = known
        return known

    def _stand(self, market: int, side: int, index: int) -> Stand | None:
        account = self._chunk.account(index)
        known = self._stands.get((index, market, side))
        # Prices stand still during a pass: it is the same while the row is.
        if known is None or known[0] is not account:
            found = stand(self._chunk.globals, self._now, market, side, account)
            known = self._stands[(index, market, side)] = account, found
        return known[1]

    def _unwind(self, market: int, *, is_small: bool) -> bool:
        """One sale of a fund's lots into the book; whether there was any."""
        committing, fund = self._committing, constants.insurance_account(market)
        held = encoding.unpack(self._chunk.account(fund).positions[market]).size
        if not held:
            return False
        for maker, offered in self._facing(fund, market, held, is_small=is_small):
            move = containers.Rescue(maker=0, market=market, account=0, other=0, lots=offered)
            lots = self._most(constants.UNWIND, move, maker, codes.FUND_LIMIT)
            if lots > 0:
                return self._carry_out(constants.UNWIND, _of(move, lots), maker) == codes.OK
            code = committing.rescue_code(constants.UNWIND, move, maker)
            if code in (codes.PRICE_BAND, codes.FUND_LIMIT):
                return False
            # Whoever left or has no margin keeps nobody behind him from the fund's lots.
            self.effects += committing.drop_if_at_fault(maker, max(offered, 1), code)
        return False

    def _reduce(self, market: int) -> bool:
        """What no order takes of a fund below maintenance goes to whoever stands opposite, as few lots as help it."""
        index = constants.insurance_account(market)
        held = encoding.unpack(self._chunk.account(index).positions[market]).size
        if not held or not self._is_below(index):
            return False
        for other in self._opposite(market, held).asked(abs(held), 0):
            move = self._against(index, market, held, other)
            lots = self._most(constants.DELEVERAGE, move, None, codes.TOO_MANY_LOTS)
            if lots and self._carry_out(constants.DELEVERAGE, _of(move, lots), None) == codes.OK:
                return True
        return False

    def _most(self, tag: int, move: containers.Rescue, maker: containers.Order | None, *too_many: int) -> int:
        return most_lots(partial(self._code, tag, move, maker), move.lots, *too_many)

    def _code(self, tag: int, move: containers.Rescue, maker: containers.Order | None, lots: int) -> int:
        return self._committing.rescue_code(tag, _of(move, lots), maker)

    def close_head(self) -> None:
        """Goes on with the forced close that is under way: the insurance account first, then the ranking."""
        chunk = self._chunk
        while chunk.globals.head_account != 0 and self._left > 0:
            if not self._close_some(chunk.globals.head_account):
                return

    def _close_some(self, index: int) -> bool:
        """One step for one account; whether there was any."""
        committing, chunk = self._committing, self._chunk
        globals = chunk.globals
        # What is over has been folded before the law looks at it.
        account, _ = margin.settle(globals.risk, chunk.account(index), self._now)
        every = globals.head_market == constants.MARKETS
        sizes = [encoding.unpack(position).size for position in account.positions]
        # Of all markets only those that are held: a step on another closes nothing while one of them is left.
        held = [market for market, size in enumerate(sizes) if size]
        markets = (held or [0]) if every else [globals.head_market]
        # The largest first; one that is gone is stepped on once, which ends the entry. Of legs that move as one, once
        # they have waited, those that the last tick was good for: else the others would have to wait alone.
        waited = self._now > globals.head_time + constants.HEAD_PATIENCE
        for market in sorted(markets, key=partial(_place, globals, sizes, waited)):
            lots = abs(sizes[market]) if every else min(abs(sizes[market]), globals.head_lots)
            if market >= globals.market_count:
                continue
            fund = containers.Rescue(0, market, index, constants.insurance_account(market), max(lots, 1))
            taken = self._most(constants.CLOSE_STEP, fund, None, codes.FUND_LIMIT)
            code = committing.rescue_code(constants.CLOSE_STEP, fund, None) if taken == 0 else codes.OK
            if code == codes.UNSTEADY:
                # The head's own standing, whoever is on the other side.
                return False
            if code in HEAD_ENDS:
                taken = 1
            if taken > 0 and self._ended(_of(fund, taken)):
                return True
            if sizes[market] and self._close_against(index, market, sizes[market], lots):
                return True
        return False

    def _close_against(self, index: int, market: int, held: int, lots: int) -> bool:
        # Closed at the oracle price with the penalty on top nobody loses. Debtors come last: what one lacks whoever
        # closes bears, as far as his lots have won.
        there = self._opposite(market, held)
        for other in [*there.asked(lots, 0), *there.debtors]:
            move = self._against(index, market, held, other)
            if self._ended(_of(move, min(lots, move.lots))):
                return True
        return False

    def _ended(self, move: containers.Rescue) -> bool:
        """Takes a step; whether the law took it, which an end of the entry that closes nothing is too."""
        return self._carry_out(constants.CLOSE_STEP, move, None) in (codes.OK, *HEAD_ENDS)

    def _carry_out(self, tag: int, move: containers.Rescue, maker: containers.Order | None) -> int:
        committing = self._committing
        case = Case(committing.chunk, committing.ledger.tick_signers, tag, move)
        code, fill, effects = committing.rescue(tag, move, maker)
        self.effects += effects
        if code == codes.OK:
            self._left -= 1
            self._sides.clear()
            record = case.record(fill)
            insurance = constants.insurance_account(move.market)
            paired = tag in (constants.DELEVERAGE, constants.CLOSE_STEP)
            self.effects.append(
                Rescued(
                    operation_tag=tag,
                    market=move.market,
                    accounts=list({case.account: 0, insurance: 0, (move.other if paired else insurance): 0}),
                    record=None if record is None else committing.ledger.note_rescue(record),
                    sides=None if record is None or maker is not None else case.sides(record),
                )
            )
            if case.account >= constants.RESERVED_ACCOUNTS:
                self.effects += committing.drop_uncovered(case.account)
        return code


def _place(globals: containers.Globals, sizes: list[int], waited: bool, market: int) -> tuple[bool, bool, int]:
    """Where a market stands among those that a head is closed in."""
    price, previous = globals.risk.price[market], max(globals.markets[market].previous_price, 0)
    gained = previous != 0 and sizes[market] * (price - previous) > 0
    # One without a price ends the entry, and waits for all others.
    return previous == 0, not (waited and gained), -abs(sizes[market]) * price


def _of(move: containers.Rescue, lots: int) -> containers.Rescue:
    return msgspec.structs.replace(move, lots=lots)
