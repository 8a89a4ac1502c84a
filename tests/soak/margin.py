"""Random histories of accounts on the Python law, held against an independent reading of PROTOCOL.md, step by step.

Nothing here calls the law's own checks: equity, requirements, judged prices, ages of money, caps of an hour and what
every party's row must become are computed anew from rows as they stood before the step. Prices jump by up to `JUMP_PPM`
between two ticks. After each step: conservation exactly, sizes, open interest, the mirror of every fund, funding dust,
ages of money, caps of the hour, and no account changed that is no party. At rest: nobody below zero whom his fund or
somebody opposite could still help (`at_rest`).
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec

from prover.stf import codes, constants, containers
from prover.stf.constants import FUNDING_SCALE, PPM
from tests.soak.histories import FIRST, History, Ledger, Step, probe_lots
from tests.vectors.law_table import NAMES, UNKNOWN

SHOWN: Final = 10
# How far prices jump between two ticks, which a campaign must reach, and what is too small for a history.
JUMP_PPM: Final = 400_000
LEAST: Final = {"operations": 30, "accounts": 8, "markets": 3}
# Kinds beyond the tags: each is one of several things that a tag can come to.
KINDS: Final = (
    *(name for tag, name in NAMES.items() if tag not in (UNKNOWN, constants.SET_VENUE)),
    "insurance_deposit",
    "opening_transfer",
    "refund",
    "close_by_counterparty",
    "close_by_debtor",
    "leaver_paid",
    "forced_liquidation",
    "forced_take_over",
    "listing",
    "settlement",
    "folding",
)
RESCUES: Final = (constants.LIQUIDATE, constants.TAKE_OVER, constants.DELEVERAGE, constants.UNWIND)


def ceil(numerator: int, denominator: int) -> int:
    """The integer at or above a quotient."""
    return -(-numerator // denominator)


def sign(size: int) -> int:
    """1 for a long, -1 for a short, 0 for none."""
    return (size > 0) - (size < 0)


class Reading(NamedTuple):
    """An account at given prices, its funding paid and rounded against it, micro-dollars."""

    equity: int
    initial: int
    maintenance: int
    notional: int
    largest: int


class Ages:
    """An account's money by the epoch in which it was earned; what is two epochs old may leave."""

    def __init__(self) -> None:
        self.settled = 0
        self.earned: dict[int, int] = {}

    def book(self, change: int, epoch: int) -> None:
        """Profit belongs to its epoch; a loss eats the youngest money first."""
        if change > 0:
            self.earned[epoch] = self.earned.get(epoch, 0) + change
            return
        left = -change
        for earlier in sorted(self.earned, reverse=True):
            eaten = min(left, self.earned[earlier])
            left -= eaten
            self.earned[earlier] -= eaten
        self.settled -= left

    def at(self, epoch: int) -> tuple[int, int, int]:
        """Settled, older and fresh money as an epoch sees it."""
        old = sum(amount for earlier, amount in self.earned.items() if earlier <= epoch - 2)
        return self.settled + old, self.earned.get(epoch - 1, 0), self.earned.get(epoch, 0)

    @property
    def total(self) -> int:
        """All of it."""
        return self.settled + sum(self.earned.values())


class Watch:
    """Checks every step of one history; `broken` holds one line for each violation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps = 0
        self.broken: list[str] = []
        self.by_kind: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.ages: dict[int, Ages] = {}
        self.ticks: list[tuple[int, list[int]]] = []
        self.signed: list[int] = []
        self.largest_jump_ppm = 0
        self.index: list[int] = [0] * constants.MARKETS
        self.grace_until = 0
        self.dust = 0
        self.paid_in = 0
        self.paid_out = 0
        self.hour_turned: Counter[int] = Counter()
        self.hour_paid: Counter[int] = Counter()
        self.filled: Counter[tuple[int, int, int]] = Counter()
        # Of markets that are over, their prices for ever; of those that settle, the sum of price times time, and time.
        self.over: dict[int, int] = {}
        self.settling: dict[int, tuple[int, int]] = {}
        self.indebted: set[int] = set()
        self.ledger: Ledger
        self.step: Step
        self.handlers: dict[int, Callable[[], set[int]]] = {
            constants.DEPOSIT: self._deposit,
            constants.WITHDRAW: self._payment,
            constants.TRANSFER: self._payment,
            constants.TICK: self._tick,
            constants.FILL: self._fill,
            constants.LIQUIDATE: self._liquidate,
            constants.TAKE_OVER: self._take_over,
            constants.DELEVERAGE: self._deleverage,
            constants.UNWIND: self._unwind,
            constants.CLOSE_STEP: self._close_step,
            constants.FORCED_RESCUE: self._forced_rescue,
            constants.FORCED_WITHDRAW: self._forced_withdraw,
            constants.FORCED_CLOSE: self._forced_close,
            constants.LEAVE: self._leave,
            constants.FORCED_AGENT: self._forced_agent,
            constants.FORCED_TICK: self._tick,
            constants.SET_MARKET: self._set_market,
        }

    def __call__(self, ledger: Ledger, step: Step) -> None:
        """After every operation."""
        self.ledger, self.step = ledger, step
        self.steps += 1
        tag = step.tag
        touched: set[int] = set()
        dust_before = self.dust
        if step.code == codes.OK or (tag == constants.DEPOSIT and step.code == codes.REFUNDED):
            handler = self.handlers.get(tag)
            touched = handler() if handler else set()
            self.accepted[NAMES[tag]] += step.code == codes.OK
            self.accepted["refund"] += step.code == codes.REFUNDED
        else:
            self.refused[f"{NAMES[tag]}:{codes.SENTENCE[step.code][0]}"] += 1
        rows = ledger.rows
        for index, row in rows.items():
            before = step.before.get(index)
            if before is row:
                continue
            if index not in touched and not _same_money(before, row):
                self.claim(False, "bystander", f"account {index} changed")
            # Funds pay without a position; nobody else does but for what he signed.
            if before is None or 0 < index < FIRST or any(position.size for position in before.positions):
                continue
            if _collateral(row) < _collateral(before):
                asked = [one.account for one in (step.maker, step.taker, step.request, step.entry) if one]
                asked += [step.head[0]] if step.head else []
                self.claim(index in asked, "paid unsigned", f"account {index}")
        dust = ledger.globals.funding_dust
        settlements = sum(1 for index in touched if self.owed(step.before.get(index)) != 0)
        told = f"{dust_before} -> {dust} by {touched}"
        self.claim(0 <= dust - dust_before <= settlements * (FUNDING_SCALE - 1), "dust", told)
        self.dust = dust
        self._conserved()

    def claim(self, holds: bool, kind: str, told: str) -> None:
        """Records a violation unless it holds."""
        if not holds:
            self.by_kind[kind] += 1
            what = f"{NAMES.get(self.step.tag)}" if self.steps else "history"
            self.broken.append(f"{self.name} step {self.steps} {what}: {kind}: {told}")

    # Readings

    def owed(self, row: containers.Account | None) -> int:
        """Funding that an account owes, in FUNDING_SCALE units, exactly."""
        if row is None:
            return 0
        index = self.index
        return sum(
            position.size * (index[market] - position.funding)
            for market, position in enumerate(row.positions[: self.market_count])
            if position.size
        )

    def gained(self, row: containers.Account) -> int:
        """What positions in markets that are over are worth, micro-dollars: money at the account's next touch."""
        positions = [(row.positions[market], price) for market, price in self.over.items()]
        return sum(position.size * price - position.cost for position, price in positions)

    def _touch(self, number: int) -> Ages:
        """Books what settling an account makes of its money: funding, rounded against it, and what is over."""
        before = self.step.before[number]
        ages = self.ages.setdefault(number, Ages())
        ages.book(self.gained(before) - ceil(self.owed(before), FUNDING_SCALE), self.step.now // constants.EPOCH)
        if any(before.positions[market].size for market in self.over):
            self.accepted["folding"] += 1
            self.indebted.add(number)
        return ages

    @property
    def market_count(self) -> int:
        return self.ledger.globals.market_count

    @property
    def prices(self) -> list[int]:
        return self.ticks[-1][1]

    def judged(self, row: containers.Account, kinder: bool = True) -> list[int]:
        """Of the last two ticks' prices the kinder one for each position, or the worse one."""
        now = list(self.prices)
        if len(self.ticks) < 2:
            return now
        # A market that was listed between the two has one price, one that is over too.
        for market, earlier in enumerate(self.ticks[-2][1]):
            size = row.positions[market].size
            if size and market not in self.over:
                now[market] = max(now[market], earlier) if (size > 0) == kinder else min(now[market], earlier)
        return now

    def read(self, row: containers.Account, prices: list[int], own: bool = False) -> Reading:
        """An account at given prices; its owner's own leverage bound only counts where `own` says so."""
        risk = self.ledger.globals.risk
        equity = _collateral(row) - ceil(self.owed(row), FUNDING_SCALE)
        initial = maintenance = notional = most = largest = 0
        for market, price in enumerate(prices):
            position = row.positions[market]
            if position.size == 0:
                continue
            worth = abs(position.size) * price
            equity += position.size * price - position.cost
            if market in self.over:
                continue
            notional += worth
            fraction = max(risk.initial_ppm[market], row.initial_ppm) if own else risk.initial_ppm[market]
            initial += ceil(worth * fraction, PPM)
            needed = ceil(worth * risk.maintenance_ppm[market], PPM)
            maintenance += needed
            if needed > most:
                most, largest = needed, market
        return Reading(equity, initial, maintenance, notional, largest)

    def needed_change(self, ppm: int, price: int, size: int, closed: int) -> int:
        """By how much a requirement changes when `closed` signed lots of `size` are gone."""
        return ceil(abs(size - closed) * price * ppm, PPM) - ceil(abs(size) * price * ppm, PPM)

    def maintenance_after(self, row: containers.Account, market: int, closed: int, prices: list[int]) -> int:
        """The maintenance requirement without `closed` signed lots."""
        ppm = self.ledger.globals.risk.maintenance_ppm[market]
        change = self.needed_change(ppm, prices[market], row.positions[market].size, closed)
        return self.read(row, prices).maintenance + change

    def premium(self, row: containers.Account, market: int, closed: int) -> int:
        """What an account gets above the oracle price, so that its E/MM stays as it is, rounded up."""
        was = self.read(row, self.prices)
        if was.maintenance == 0:
            return 0
        after = Fraction(was.equity * self.maintenance_after(row, market, closed, self.prices), was.maintenance)
        return -((-after.numerator) // after.denominator) - was.equity

    # What must be true of the whole state

    def _conserved(self) -> None:
        ledger = self.ledger
        count = self.market_count
        index = ledger.globals.risk.funding_index
        collateral = cost = owed = 0
        sizes = [0] * count
        longs = [0] * count
        for number, row in ledger.rows.items():
            held = row.settled + row.older + row.fresh
            collateral += held
            holds = False
            for market in range(count):
                position = row.positions[market]
                size = position.size
                if size:
                    holds = True
                    cost += position.cost
                    owed += size * (index[market] - position.funding)
                    sizes[market] += size
                    longs[market] += size if size > 0 else 0
            # A market that ends below what an account has leaves its debt without a position; so does a forced close
            # against somebody whose debt no deleveraging has covered.
            if held < 0 and not holds and number not in range(1, FIRST) and number not in self.indebted:
                self.claim(False, "debt without a position", f"account {number}: {held}")
        globals = ledger.globals
        # Of a market that is over some have their money and some not yet: what is left stands at its price.
        left = sum(sizes[market] * price for market, price in self.over.items())
        error = (left + collateral - cost - self.paid_in + self.paid_out) * FUNDING_SCALE - owed + globals.funding_dust
        self.claim(error == 0, "conservation", f"{error} / {FUNDING_SCALE} micro-dollars")
        totals = (globals.deposited_total, ledger.chunk.commitment.withdrawn_total)
        self.claim(totals == (self.paid_in, self.paid_out), "totals", f"{totals}")
        self.claim(not any(size for market, size in enumerate(sizes) if market not in self.over), "sizes", f"{sizes}")
        for market in range(count):
            listed = globals.markets[market]
            interest = 0 if market in self.over else longs[market]
            self.claim(listed.open_interest == interest, "open interest", f"{listed.open_interest} {interest}")
            fund = _collateral(ledger.account(market + 1))
            self.claim(listed.fund == fund, "fund", f"market {market}: {listed.fund}, account {fund}")

    # What an operation makes of its parties; each returns the accounts that it may touch

    def _moved(self, number: int, market: int, size: int, quote: int, fee: int, leaves: bool = False) -> None:
        """A party of a fill or rescue pays funding, then the fee, and what a full close realises; nothing else.

        leaves: what may leave is paid out after that.
        """
        before, row = self.step.before[number], self.ledger.account(number)
        epoch = self.step.now // constants.EPOCH
        ages = self._touch(number)
        old = before.positions[market]
        expected = (old.size + size, old.cost + quote, self.index[market]) if old.size + size else (0, 0, 0)
        ages.book(-fee - (0 if expected[0] else old.cost + quote), epoch)
        if leaves:
            ages.settled -= self._leaver_paid(number, ages)
        position = row.positions[market]
        self.claim(
            (position.size, position.cost, position.funding) == expected,
            "position",
            f"account {number} market {market}: {position} not {expected}",
        )
        self._others_stay(number, market)
        self._aged(number, True)

    def _others_stay(self, number: int, market: int) -> None:
        before, row = self.step.before[number], self.ledger.account(number)
        for other in range(self.market_count):
            if other in self.over:
                self.claim(row.positions[other] == containers.EMPTY, "folded", f"account {number} market {other}")
            elif other != market:
                same = row.positions[other].size == before.positions[other].size
                same = same and row.positions[other].cost == before.positions[other].cost
                self.claim(same, "position", f"account {number} market {other} moved")

    def _aged(self, number: int, was_settled: bool) -> None:
        row, ages = self.ledger.account(number), self.ages.setdefault(number, Ages())
        told = f"account {number}: {_collateral(row)} not {ages.total}"
        self.claim(_collateral(row) == ages.total, "money", told)
        if was_settled and number >= FIRST:
            expected = ages.at(self.step.now // constants.EPOCH)
            found = (row.settled, row.older, row.fresh)
            self.claim(found == expected, "ages", f"account {number}: {found} not {expected}")

    def _fees(self, amount: int) -> None:
        self.ages.setdefault(constants.FEE_ACCOUNT, Ages()).settled += amount
        self._aged(constants.FEE_ACCOUNT, False)

    def _deposit(self) -> set[int]:
        entry = self.step.deposit
        assert entry is not None
        self.paid_in += entry.amount
        if self.step.code == codes.REFUNDED:
            self.paid_out += entry.amount
            return set()
        opening = entry.account == constants.NEW_ACCOUNT
        index = self.ledger.globals.next_account - 1 if opening else entry.account
        self.ages.setdefault(index, Ages()).settled += entry.amount
        self.accepted["insurance_deposit"] += index < FIRST
        self._aged(index, False)
        return {index}

    def _payment(self) -> set[int]:
        step, request = self.step, self.step.request
        assert request is not None
        before = step.before[request.account]
        ages = self._touch(request.account)
        self._others_stay(request.account, constants.MARKETS)
        settled = ages.at(step.now // constants.EPOCH)[0]
        self.claim(request.amount <= settled, "unsettled money left", f"{request.amount} of {settled}")
        was = self.read(before, self.prices, own=True)
        kept = max(was.initial, ceil(was.notional, 10))
        self.claim(was.equity - request.amount >= kept, "payment margin", f"{was} less {request.amount}")
        self.claim(not self.in_grace, "grace", "money left in a grace")
        ages.settled -= request.amount
        self._aged(request.account, True)
        if step.tag == constants.WITHDRAW:
            self.paid_out += request.amount
            return {request.account}
        opening = request.other == constants.NEW_ACCOUNT
        other = self.ledger.globals.next_account - 1 if opening else request.other
        fee = constants.CREATION_FEE if opening else 0
        self.ages.setdefault(other, Ages()).settled += request.amount - fee
        self.accepted["opening_transfer"] += opening
        self._aged(other, False)
        owners = self.ledger.account(other).owner == self.ledger.account(request.account).owner
        self.claim(owners, "owner", f"account {other}")
        self._fees(fee)
        return {request.account, other, constants.FEE_ACCOUNT}

    def _tick(self) -> set[int]:
        step, risk = self.step, self.ledger.globals.risk
        for market, (before, price) in enumerate(zip(self.signed, step.prices, strict=False)):
            moved = abs(price - before)
            # To the next whole tick.
            self.claim(2 * moved * PPM <= 2 * before * JUMP_PPM + PPM, "jump", f"market {market}: {before} -> {price}")
            self.largest_jump_ppm = max(self.largest_jump_ppm, moved * PPM // before)
        self.signed = list(step.prices)
        last = self.ticks[-1][0] if self.ticks else 0
        elapsed = min(step.time - last, constants.TICK_GAP)
        prices = list(step.prices)
        for market, price in enumerate(step.prices):
            if market in self.over:
                prices[market] = self.over[market]
                continue
            cap = self.ledger.globals.markets[market].funding_cap_ppm
            rate = max(-cap, min(cap, step.premiums[market]))
            self.index[market] += rate * price * elapsed // constants.FUNDING_DIVISOR
        self.claim(self.index == risk.funding_index, "funding index", f"{risk.funding_index}")
        if last and step.time - last > constants.TICK_GAP:
            self.grace_until = step.time + self.ledger.globals.grace_period
        if step.time // constants.HOUR != last // constants.HOUR:
            self.hour_turned.clear()
            self.hour_paid.clear()
        for market, (total, lasted) in list(self.settling.items()):
            total, lasted = total + prices[market] * elapsed, lasted + elapsed
            self.settling[market] = (total, lasted)
            if lasted >= 3_600_000:
                # The mean of an hour, each price for as long as it lasted.
                del self.settling[market]
                self.over[market] = prices[market] = total // lasted
                self.accepted["settlement"] += 1
        self.ticks.append((step.time, prices))
        self.claim(prices == risk.price[: self.market_count], "price", f"{risk.price} not {prices}")
        statuses = [self.ledger.globals.markets[market].status for market in range(self.market_count)]
        over = {market for market, status in enumerate(statuses) if status == constants.MARKET_SETTLED}
        self.claim(over == set(self.over), "settlement", f"{over} not {self.over}")
        return set()

    @property
    def in_grace(self) -> bool:
        return self.step.now < self.grace_until

    def _maker(self, lots: int) -> int:
        """Books the maker's side, its fee to the fee account; returns the maker's account."""
        order = self.step.maker
        assert order is not None
        size = lots if order.side == constants.BUY else -lots
        fee = ceil(lots * order.limit_price * self.ledger.globals.markets[order.market].maker_fee_ppm, PPM)
        self._side(order, size, order.limit_price, fee)
        return order.account

    def _side(self, order: containers.Order, size: int, price: int, fee: int) -> None:
        key = (order.account, order.slot, order.sequence)
        self.filled[key] += abs(size)
        self.claim(self.filled[key] <= order.size, "overfilled", f"{key}")
        signed = ceil(abs(size) * price * order.max_fee_ppm, PPM) + order.max_posting_fee
        self.claim(fee <= signed, "fee", f"{fee} above what {key} signed")
        self._moved(order.account, order.market, size, size * price, fee)
        before, row = self.step.before[order.account], self.ledger.account(order.account)
        was, now = self.read(before, self.prices), self.read(row, self.prices, own=True)
        old, new = before.positions[order.market].size, row.positions[order.market].size
        reduced = abs(new) <= abs(old) and old * new >= 0 and now.maintenance <= was.maintenance
        reduced = reduced and now.equity * was.maintenance >= was.equity * now.maintenance
        self.claim(reduced or now.equity >= now.initial, "fill margin", f"account {order.account}: {was} -> {now}")
        self.claim(not self.in_grace or (abs(new) <= abs(old) and old * new >= 0), "grace", "risk grew in a grace")

    def _fill(self) -> set[int]:
        maker, taker, lots = self.step.maker, self.step.taker, self.step.size
        assert maker is not None
        assert taker is not None
        globals = self.ledger.globals
        price = maker.limit_price
        fee = ceil(lots * price * globals.markets[taker.market].taker_fee_ppm, PPM)
        if self.filled[(taker.account, taker.slot, taker.sequence)] == 0:
            fee += globals.posting_fee
        makers_fee = ceil(lots * price * globals.markets[maker.market].maker_fee_ppm, PPM)
        self._maker(lots)
        self._side(taker, lots if taker.side == constants.BUY else -lots, price, fee)
        self._fees(fee + makers_fee)
        return {maker.account, taker.account, constants.FEE_ACCOUNT}

    # Rescues

    def _steady(self, silence: bool) -> None:
        """Three ticks in a row, or, where it may wait no longer, none for five minutes."""
        last = self.ticks[-3:]
        steady = len(last) == 3 and all(later[0] - earlier[0] == 5_000 for earlier, later in pairwise(last))
        steady = steady or (silence and self.step.now - last[-1][0] > 300_000)
        self.claim(steady, "unsteady", f"{[at for at, _ in last]} at {self.step.now}")

    def _allowed(self) -> None:
        """No rescue without three ticks in a row, in a grace, at an old price."""
        last = self.ticks[-3:]
        self._steady(False)
        self.claim(not self.in_grace, "grace", "a rescue in a grace")
        self.claim(self.step.now - last[-1][0] <= 20_000, "stale", f"{self.step.now}")

    def _liquidate(self) -> set[int]:
        step, move, order = self.step, self.step.move, self.step.maker
        assert move is not None
        assert order is not None
        self._allowed()
        market, price, lots = order.market, order.limit_price, move.lots
        before, risk = step.before[move.account], self.ledger.globals.risk
        judged = self.judged(before)
        was = self.read(before, judged)
        size, oracle = before.positions[market].size, judged[market]
        self.claim(0 <= was.equity < was.maintenance, "liquidated in health", f"{was}")
        self.claim(was.largest == market, "largest first", f"{was} market {market}")
        self.claim(0 < lots <= abs(size), "lots", f"{lots} of {size}")
        closed = sign(size) * lots
        insurance = market + 1
        fee = _collateral(self.ledger.account(insurance)) - _collateral(step.before.get(insurance))
        self.claim(0 <= fee <= lots * price // 100, "liquidation fee", f"{fee}")
        self._moved(move.account, market, -closed, -closed * price, fee)
        maker = self._maker(lots)
        self._fees(ceil(lots * price * self.ledger.globals.markets[market].maker_fee_ppm, PPM))
        self.ages.setdefault(insurance, Ages()).book(fee, step.now // constants.EPOCH)
        self._aged(insurance, False)
        now = self.read(self.ledger.account(move.account), judged)
        self.claim(
            now.equity * was.maintenance >= was.equity * now.maintenance, "E/MM lowered", f"{was} -> {now}, fee {fee}"
        )
        if was.maintenance:
            ratio = Fraction(was.equity, was.maintenance)
            given = Fraction(sign(size) * (oracle - price), oracle)
            bound = Fraction(3 * risk.maintenance_ppm[market], 2 * PPM) * (1 - ratio)
            self.claim(given <= bound, "price", f"{given} below the oracle, {bound} allowed")
        fewer = closed - sign(size)
        equity = was.equity + fewer * (price - oracle)
        initial = was.initial + self.needed_change(risk.initial_ppm[market], oracle, size, fewer)
        self.claim(equity < initial, "too many lots", f"one less than {lots}: {equity} of {initial}")
        return {move.account, maker, insurance, constants.FEE_ACCOUNT}

    def _capped(self, market: int, turned_over: int, paid: int, fund: int) -> None:
        """Caps of the hour, by the fund as it stood before: ten times turned over, a quarter paid out."""
        self.hour_turned[market] += turned_over
        self.hour_paid[market] += paid
        if turned_over:
            self.claim(self.hour_turned[market] <= max(fund, 0) * 10, "turnover cap", f"{self.hour_turned} of {fund}")
        if paid:
            self.claim(self.hour_paid[market] * 4 <= max(fund, 0), "payout cap", f"{self.hour_paid} of {fund}")

    def _take_over(self) -> set[int]:
        move = self.step.move
        assert move is not None
        self._allowed()
        market, insurance = move.market, move.market + 1
        before, taking = self.step.before[move.account], self.step.before.get(insurance, self._none)
        size, oracle = before.positions[market].size, self.prices[market]
        was = self.read(before, self.judged(before))
        self.claim(was.equity * 3 < was.maintenance * 2, "taken over in health", f"{was}")
        self.claim(was.largest == market, "largest first", f"{was} market {market}")
        self.claim(0 < move.lots <= abs(size), "lots", f"{move.lots} of {size}")
        closed = sign(size) * move.lots
        premium = self.premium(before, market, closed)
        fund = _collateral(taking)
        self.step.before.setdefault(insurance, taking)
        self._moved(move.account, market, -closed, -closed * oracle - premium, 0)
        self._moved(insurance, market, closed, closed * oracle + premium, 0)
        self._zero_price(move.account)
        held = taking.positions[market].size
        grown = max(abs(held + closed) - abs(held), 0)
        self._taken(market, grown * oracle, max(premium, 0), fund)
        return {move.account, insurance}

    def _taken(self, market: int, turned_over: int, paid: int, fund: int) -> None:
        """A fund keeps its caps, and its requirement, but where it grows by nothing and pays nobody."""
        self._capped(market, turned_over, paid, fund)
        after = self.read(self.ledger.account(market + 1), self.prices)
        is_free = turned_over == 0 and paid == 0
        self.claim(is_free or after.equity >= after.initial, "fund below its requirement", f"{after}")

    def _forced_rescue(self) -> set[int]:
        """The fund in the liquidator's place: gently where it still can be, else as in a take-over."""
        step, move = self.step, self.step.move
        assert move is not None
        self._steady(True)
        self.claim(self.ticks[-1][0] + 300_000 >= step.entered_at, "stale", f"entered at {step.entered_at}")
        market, insurance = move.market, move.market + 1
        before, taking = step.before[move.account], step.before.setdefault(insurance, self._none)
        size, oracle = before.positions[market].size, self.prices[market]
        judged = self.read(before, self.judged(before))
        self.claim(judged.equity < judged.maintenance, "liquidated in health", f"{judged}")
        self.claim(judged.largest == market, "largest first", f"{judged} market {market}")
        lots = abs(size) - abs(self.ledger.account(move.account).positions[market].size)
        self.claim(0 < lots <= min(move.lots, abs(size)), "lots", f"{lots} of {size}")
        closed = sign(size) * lots
        was = self.read(before, self.prices)
        premium = self.premium(before, market, closed)
        if was.equity * 3 >= was.maintenance * 2:
            self.accepted["forced_liquidation"] += 1
            risk = self.ledger.globals.risk
            share = Fraction(3 * risk.maintenance_ppm[market] * (was.maintenance - was.equity), 2 * PPM)
            each = oracle * share / was.maintenance
            premium = -int(lots * each)
            after = was.equity + premium
            left = was.initial - lots * oracle * Fraction(risk.initial_ppm[market], PPM)
            # One lot less would have left it below its requirement; roundings of requirements aside.
            fewer = was.equity - (lots - 1) * each - left - oracle * Fraction(risk.initial_ppm[market], PPM)
            self.claim(fewer < 2, "too many lots", f"one less than {lots}: {fewer}")
            maintenance = self.maintenance_after(before, market, closed, self.prices)
            self.claim(after * was.maintenance >= was.equity * maintenance, "E/MM lowered", f"{was} -> {after}")
        else:
            self.accepted["forced_take_over"] += 1
        fund = _collateral(taking)
        self._moved(move.account, market, -closed, -closed * oracle - premium, 0)
        self._moved(insurance, market, closed, closed * oracle + premium, 0)
        held = taking.positions[market].size
        grown = max(abs(held + closed) - abs(held), 0)
        self._taken(market, grown * oracle, max(premium, 0), fund)
        return {move.account, insurance}

    # The queue

    def _is_young(self) -> bool:
        return self.ticks[-1][0] + 300_000 >= self.step.entered_at

    def _paid_out(self) -> int:
        """What has left the venue in this step."""
        paid = self.ledger.chunk.commitment.withdrawn_total - self.paid_out
        self.paid_out += paid
        return paid

    def _released(self, number: int, row: containers.Account, ages: Ages, asked: int) -> int:
        """What left an account of what was asked for: all that is settled and free, never more; `row` before it."""
        paid = self._paid_out()
        settled = ages.at(self.step.now // constants.EPOCH)[0]
        was = self.read(row, self.prices, own=True)
        is_sure = not self.in_grace and self.step.now - self.ticks[-1][0] <= 20_000
        kept = max(was.initial, ceil(was.notional, 10 if is_sure else 4))
        most = max(min(asked, settled, was.equity - kept), 0)
        self.claim(paid <= max(settled, 0), "unsettled money left", f"account {number}: {paid} of {settled}")
        self.claim(paid == most, "payment margin", f"account {number}: {paid} paid of {most}")
        return paid

    def _forced_withdraw(self) -> set[int]:
        entry = self.step.entry
        assert entry is not None
        before = self.step.before[entry.account]
        self.claim(before.owner == entry.sender, "owner", f"account {entry.account}")
        ages = self._touch(entry.account)
        paid = self._released(entry.account, before, ages, entry.amount)
        self.claim(paid > 0, "payment margin", "an entry that paid nothing counts as taken")
        ages.settled -= paid
        self._others_stay(entry.account, constants.MARKETS)
        self._aged(entry.account, True)
        return {entry.account}

    def _forced_close(self) -> set[int]:
        entry = self.step.entry
        assert entry is not None
        before = self.step.before[entry.account]
        self.claim(before.owner == entry.sender, "owner", f"account {entry.account}")
        self.claim(self._is_young(), "stale", f"entered at {entry.time}")
        lots = min(entry.amount, abs(before.positions[entry.market].size))
        head = self.ledger.head
        self.claim(head == (entry.account, entry.market, lots) and lots > 0, "head", f"{head} not {lots}")
        return set()

    def _leave(self) -> set[int]:
        entry = self.step.entry
        assert entry is not None
        before, row = self.step.before[entry.account], self.ledger.account(entry.account)
        self.claim(before.owner == entry.sender, "owner", f"account {entry.account}")
        self.claim(row.floor > self.step.now + 10_000 and not any(row.agents), "floor", f"{row.floor} {row.agents}")
        holds = any(p.size for market, p in enumerate(before.positions) if market not in self.over)
        may_close = holds and self._is_young()
        expected = (entry.account, constants.MARKETS, 0) if may_close else None
        self.claim(self.ledger.head == expected, "head", f"{self.ledger.head} not {expected}")
        ages = self._touch(entry.account)
        if not may_close:
            ages.settled -= self._released(entry.account, before, ages, constants.EVERYTHING)
        self._others_stay(entry.account, constants.MARKETS)
        self._aged(entry.account, True)
        return {entry.account}

    def _forced_agent(self) -> set[int]:
        entry = self.step.entry
        assert entry is not None
        self.claim(self.step.before[entry.account].owner == entry.sender, "owner", f"account {entry.account}")
        return set()

    def _set_market(self) -> set[int]:
        given = self.step.parameters
        assert given is not None
        listed, risk = self.ledger.globals.markets[given.market], self.ledger.globals.risk
        # In its last hour a market counts in full.
        initial = PPM if given.status == constants.MARKET_SETTLING else given.initial_ppm
        found = (listed.status, listed.taker_fee_ppm, risk.initial_ppm[given.market])
        self.claim(found == (given.status, given.taker_fee_ppm, initial), "parameters", f"{found}")
        self.claim(given.market not in self.over, "parameters", "a market that is over came back")
        self.accepted["listing"] += listed.open_interest == 0 and risk.price[given.market] == 0
        if given.status == constants.MARKET_SETTLING:
            self.settling[given.market] = (0, 0)
        return set()

    def _close_step(self) -> set[int]:
        """A forced close at the worse of two prices, one percent off at most; a leaver is paid at the end."""
        move, head = self.step.move, self.step.head
        assert move is not None
        assert head is not None
        number, asked, most = head
        market, insurance = move.market, move.market + 1
        self.claim(asked in (market, constants.MARKETS), "head", f"{asked} but {market}")
        before, row = self.step.before[number], self.ledger.account(number)
        leaves = self.ledger.head is None and asked == constants.MARKETS
        size = 0 if market in self.over else before.positions[market].size
        lots = abs(size) - abs(row.positions[market].size)
        closed = sign(size) * lots
        if size == 0:
            ages = self._touch(number)
            if leaves:
                ages.settled -= self._leaver_paid(number, ages)
            self._others_stay(number, constants.MARKETS)
            self._aged(number, True)
            return {number}
        self._steady(True)
        left = abs(size) if asked == constants.MARKETS else most
        self.claim(0 < lots <= min(move.lots, left, abs(size)), "lots", f"{lots} of {size}, {left} left")
        worse = self.judged(before, kinder=False)
        price, was = worse[market], self.read(before, worse)
        self.claim(was.equity >= 0, "closed below zero", f"account {number}: {was}")
        # What it may lose and keep E/MM: nothing where none is left to lose.
        maintenance = self.maintenance_after(before, market, closed, worse)
        spare = max(was.equity - ceil(was.equity * maintenance, was.maintenance), 0)
        discount = min(lots * price // 100, spare)
        quote = closed * price - discount
        is_fund = move.other == insurance
        self.step.before.setdefault(insurance, self._none)
        fund = _collateral(self.step.before[insurance])
        opposite = self.step.before[move.other]
        bore = self.read(opposite, self.prices)
        is_debtor = not is_fund and bore.equity < 0
        if not is_fund:
            held = opposite.positions[market]
            self.claim(not self.fund_takes(market, closed, quote), "fund first", f"{lots} of {market}")
            self.claim(held.size * size < 0 and lots <= abs(held.size), "lots", f"{lots} against {held.size}")
        if is_debtor:
            # Below zero at both prices, unless it has been silent for long.
            is_silent = self.step.now - self.ticks[-1][0] > 300_000
            self.claim(is_silent or self.read(opposite, self.judged(opposite)).equity < 0, "debtor", f"{bore}")
            won = (size * price - before.positions[market].cost) * lots // abs(size)
            missing = self.premium(opposite, market, -closed)
            quote -= max(min(missing, won - discount, spare - discount), 0)
        self.accepted["close_by_counterparty"] += not is_fund and not is_debtor
        self.accepted["close_by_debtor"] += is_debtor
        if is_debtor:
            self.indebted.add(move.other)
        held = opposite.positions[market]
        turned_over = max(abs(held.size + closed) - abs(held.size), 0) * self.prices[market]
        self._moved(number, market, -closed, -quote, 0, leaves)
        self._moved(move.other, market, closed, quote, 0)
        now = self.read(self.ledger.account(move.other), self.prices)
        if is_fund:
            self._taken(market, turned_over, 0, fund)
        else:
            self.claim(now.equity >= bore.equity, "counterparty", f"{bore} -> {now}")
        return {number, move.other}

    def _leaver_paid(self, number: int, ages: Ages) -> int:
        row = self.ledger.account(number)
        unpaid = row.settled + self.ledger.chunk.commitment.withdrawn_total - self.paid_out
        paid = self._released(number, msgspec.structs.replace(row, settled=unpaid), ages, constants.EVERYTHING)
        self.accepted["leaver_paid"] += paid > 0
        return paid

    def fund_takes(self, market: int, closed: int, quote: int) -> bool:
        """Whether a market's fund, as it was before the step, may take so many signed lots for a quote."""
        taking = self.step.before[market + 1]
        fund = max(_collateral(taking), 0)
        held, price = taking.positions[market].size, self.prices[market]
        grown = max(abs(held + closed) - abs(held), 0)
        every = self.read(taking, self.prices)
        ppm = self.ledger.globals.risk.initial_ppm[market]
        initial = every.initial + self.needed_change(ppm, price, held, -closed)
        turned_over = self.hour_turned[market] + grown * price
        pays = self.hour_paid[market] * 4 <= fund
        is_able = turned_over <= 10 * fund and pays and every.equity + closed * price - quote >= initial
        return is_able or grown == 0

    def _zero_price(self, number: int) -> None:
        """A fund or counterparty takes at the zero price: E/MM at current prices stays, to a micro-dollar."""
        was = self.read(self.step.before[number], self.prices)
        now = self.read(self.ledger.account(number), self.prices)
        off = now.equity - Fraction(was.equity * now.maintenance, was.maintenance)
        self.claim(0 <= off < 1, "zero price", f"{was} -> {now}")

    def _deleverage(self) -> set[int]:
        move = self.step.move
        assert move is not None
        self._allowed()
        market, insurance, lots = move.market, move.market + 1, move.lots
        before, other = self.step.before[move.account], self.step.before[move.other]
        paying = self.step.before.setdefault(insurance, self._none)
        size, oracle = before.positions[market].size, self.prices[market]
        held = other.positions[market]
        was = self.read(before, self.judged(before))
        self.claim(was.equity < 0, "deleveraged above zero", f"{was}")
        self.claim(held.size * size < 0 and 0 < lots <= min(abs(size), abs(held.size)), "lots", f"{lots} of {size}")
        closed = sign(size) * lots
        premium = max(self.premium(before, market, closed), 0)
        fund = _collateral(paying)
        paid = min(premium, self.payable(market, paying))
        borne = premium - paid
        self._moved(move.account, market, -closed, -closed * oracle - premium, 0)
        self._moved(move.other, market, closed, closed * oracle + borne, 0)
        # The fund pays first, and all that it may.
        self._moved(insurance, market, 0, 0, paid)
        profit = held.size * oracle - held.cost
        is_spared = borne == 0 and self.read(other, self.prices).equity >= 0
        is_borne = is_spared or (profit > 0 and borne * abs(held.size) <= profit * lots)
        self.claim(is_borne, "bears too much", f"{borne} of {profit}")
        self._zero_price(move.account)
        bore, bears = self.read(other, self.prices), self.read(self.ledger.account(move.other), self.prices)
        kept = bears.equity >= bears.maintenance or bears.equity * bore.maintenance >= bore.equity * bears.maintenance
        self.claim(is_spared or kept, "counterparty", f"{bore} -> {bears}")
        self._capped(market, 0, paid, fund)
        after = self.read(self.ledger.account(insurance), self.prices)
        self.claim(paid == 0 or after.equity >= after.initial, "fund below its requirement", f"{after}")
        return {move.account, move.other, insurance}

    def payable(self, market: int, insurance: containers.Account) -> int:
        """What a fund may still pay out: its free collateral, and what its hour leaves of a quarter."""
        free = self.read(insurance, self.prices)
        quarter = max(_collateral(insurance), 0) // 4 - self.hour_paid[market]
        return max(min(free.equity - free.initial, quarter), 0)

    def _unwind(self) -> set[int]:
        move, order = self.step.move, self.step.maker
        assert move is not None
        assert order is not None
        self._allowed()
        market, price, insurance = order.market, order.limit_price, order.market + 1
        before, oracle = self.step.before[insurance], self.prices[market]
        size, fund = before.positions[market].size, _collateral(before)
        self.claim(0 < move.lots <= abs(size), "lots", f"{move.lots} of {size}")
        self.claim(sign(size) * (oracle - price) * 1_000 <= oracle, "unwinding price", f"{price} at {oracle}")
        closed = sign(size) * move.lots
        self._moved(insurance, market, -closed, -closed * price, 0)
        maker = self._maker(move.lots)
        self._fees(ceil(move.lots * price * self.ledger.globals.markets[market].maker_fee_ppm, PPM))
        self._capped(market, move.lots * oracle, 0, fund)
        return {maker, insurance, constants.FEE_ACCOUNT}

    @property
    def _none(self) -> containers.Account:
        return self.ledger.chunk.rows.account(constants.NEW_ACCOUNT)

    # At rest

    def at_rest(self) -> None:
        """After the rescue pass: whoever is below zero, nobody may help any more, by this module's own reading.

        For every account with E < 0 at judged prices: at each of `probe_lots`, its largest position is more than its
        fund may take over, and no opposite position in any market bears the loss that the fund may not pay. `left`
        counts who stays below zero although all that is true, and why a stronger law could do more.
        """
        for number, row in list(self.ledger.rows.items()):
            if number < FIRST or self.read(row, self.judged(row)).equity >= 0:
                continue
            self.left["accounts"] += 1
            self.left["fund_could_pay_it_all"] += self.is_payable(row)
            self.left["fund_is_opposite_in_profit"] += self.is_opposite_fund(row)
            for market in range(self.market_count):
                size = row.positions[market].size
                if size == 0 or market in self.over:
                    continue
                lots = next((lots for lots in probe_lots(abs(size)) if self.may_take(row, market, lots)), 0)
                self.claim(lots == 0, "left below zero", f"account {number}: the fund may take {lots} of {market}")
                for other, held in self.ledger.rows.items():
                    if other >= FIRST and held.positions[market].size * size < 0:
                        most = min(abs(size), abs(held.positions[market].size))
                        lots = next((lots for lots in probe_lots(most) if self.may_bear(row, held, market, lots)), 0)
                        told = f"account {number}: {other} may bear {lots} of {market}"
                        self.claim(lots == 0, "left below zero", told)

    def is_payable(self, row: containers.Account) -> bool:
        """Whether a fund could pay all that somebody opposite would bear, who is refused for his own equity or loss."""
        for market, position in enumerate(row.positions[: self.market_count]):
            payable = self.payable(market, self.ledger.account(market + 1)) if position.size else 0
            for other, held in self.ledger.rows.items():
                size = held.positions[market].size
                if other >= FIRST and size * position.size < 0:
                    lots = sign(position.size) * min(abs(size), abs(position.size))
                    if self.premium(row, market, lots) <= payable:
                        return True
        return False

    def is_opposite_fund(self, row: containers.Account) -> bool:
        """Whether a market's own insurance account holds an opposite position in profit, its caps used up."""
        for market, position in enumerate(row.positions[: self.market_count]):
            held = self.ledger.account(market + 1).positions[market]
            if held.size * position.size < 0 and held.size * self.prices[market] > held.cost:
                return True
        return False

    def may_take(self, row: containers.Account, market: int, lots: int) -> bool:
        """Whether the fund of a market may take over so many lots of an insolvent account."""
        if self.read(row, self.judged(row)).largest != market:
            return False
        closed = sign(row.positions[market].size) * lots
        premium = self.premium(row, market, closed)
        taking = self.ledger.account(market + 1)
        fund = max(_collateral(taking), 0)
        every = self.read(taking, self.prices)
        held = taking.positions[market].size
        grown = max(abs(held + closed) - abs(held), 0)
        ppm = self.ledger.globals.risk.initial_ppm[market]
        initial = every.initial + self.needed_change(ppm, self.prices[market], taking.positions[market].size, -closed)
        if grown == 0 and premium <= 0:
            return True
        return (
            self.hour_turned[market] + grown * self.prices[market] <= 10 * fund
            and (self.hour_paid[market] + max(premium, 0)) * 4 <= fund
            and every.equity - premium >= initial
        )

    def may_bear(self, row: containers.Account, other: containers.Account, market: int, lots: int) -> bool:
        """Whether a counterparty may be made to bear what the fund does not pay for so many lots."""
        closed = sign(row.positions[market].size) * lots
        premium = max(self.premium(row, market, closed), 0)
        borne = premium - min(premium, self.payable(market, self.ledger.account(market + 1)))
        was = self.read(other, self.prices)
        if borne == 0 and was.equity >= 0:
            return True
        held = other.positions[market]
        profit = held.size * self.prices[market] - held.cost
        if profit <= 0 or borne * abs(held.size) > profit * lots:
            return False
        after = self.maintenance_after(other, market, -closed, self.prices)
        equity = was.equity - borne
        return equity >= after or equity * was.maintenance >= was.equity * after


def _collateral(row: containers.Account | None) -> int:
    return 0 if row is None else row.settled + row.older + row.fresh


def _same_money(before: containers.Account | None, row: containers.Account) -> bool:
    if before is None:
        return _collateral(row) == 0 and not any(position.size for position in row.positions)
    ages = (before.settled, before.older, before.fresh) == (row.settled, row.older, row.fresh)
    return ages and before.positions == row.positions


def watched(seed: int, number: int) -> tuple[Watch, Ledger]:
    """One history of a campaign, alone: what it came to."""
    watch = Watch(f"seed {seed} history {number}")
    history = History(f"{seed}:{number}", watch)
    try:
        history.run()
        watch.at_rest()
    except Exception as error:
        watch.claim(False, "raised", f"{type(error).__name__}: {str(error)[:200]}")
    return watch, history.ledger


def run(cases: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Summary and violations of so many histories."""
    started = time.monotonic()
    by_kind: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    histories_with: Counter[str] = Counter()
    left: Counter[str] = Counter()
    violations = steps = largest_jump_ppm = 0
    fewest = dict.fromkeys(LEAST, 10**9)
    for number in range(cases):
        watch, ledger = watched(seed, number)
        for line in watch.broken:
            violations += 1
            if violations <= SHOWN:
                print(f"VIOLATION {line}", file=sys.stderr)
        by_kind += watch.by_kind
        accepted += watch.accepted
        refused += watch.refused
        histories_with.update(kind for kind, count in watch.accepted.items() if count)
        steps += watch.steps
        left.update(watch.left)
        largest_jump_ppm = max(largest_jump_ppm, watch.largest_jump_ppm)
        counted = (watch.steps, ledger.globals.next_account - FIRST, ledger.globals.market_count)
        fewest = {name: min(fewest[name], count) for name, count in zip(fewest, counted, strict=True)}
    seconds = time.monotonic() - started
    summary = {
        "cases": cases,
        "violations": violations,
        "by_violation": dict(by_kind),
        "operations": steps,
        "fewest": fewest,
        "largest_jump_ppm": largest_jump_ppm,
        "accepted": {kind: accepted[kind] for kind in KINDS},
        "histories_with": {NAMES[tag]: histories_with[NAMES[tag]] for tag in RESCUES},
        "refused": dict(sorted(refused.items())),
        "left_below_zero": dict(left),
        "histories_a_second": round(cases / seconds, 1),
    }
    broken = [f"{violations} violations"] if violations else []
    broken += [f"no {kind} was ever accepted" for kind in KINDS if accepted[kind] == 0]
    if any(fewest[name] < least for name, least in LEAST.items()):
        broken.append(f"a history is too small: {fewest}")
    if largest_jump_ppm < JUMP_PPM:
        broken.append(f"no price jumped by {JUMP_PPM} ppm, the furthest by {largest_jump_ppm}")
    return summary, broken
