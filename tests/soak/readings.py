"""What rows of a history come to by an independent reading of PROTOCOL.md: money, ages, requirements, prices.

Nothing here calls the law's own checks.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, Self

import msgspec

from prover.stf import constants, containers
from prover.stf.constants import FUNDING_SCALE, PPM
from tests.soak.ledger import FIRST, Ledger, Step
from tests.vectors.law_table import NAMES


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

    def book(self, change: int, epoch: int, now: int | None = None) -> None:
        """Profit belongs to its epoch, and a debt of its own comes first; a loss eats the youngest money first."""
        now = epoch if now is None else now
        if change > 0:
            repaid = min(change, max(-self.at(now)[0], 0))
            self.settled += repaid
            self.earned[epoch] = self.earned.get(epoch, 0) + change - repaid
            return
        left = -change
        for earlier in sorted(self.earned, reverse=True):
            eaten = min(left, self.earned[earlier])
            left -= eaten
            self.earned[earlier] -= eaten
        self.settled -= left

    def give(self, amount: int, other: Self, now: int) -> None:
        """Hands money over, the youngest first, each part as old as it is; where it arrives the oldest helps first."""
        parts: list[tuple[int, int]] = []
        for earlier in sorted(self.earned, reverse=True):
            part = min(amount, self.earned[earlier])
            amount -= part
            self.earned[earlier] -= part
            parts.append((part, earlier))
        self.settled -= amount
        other.settled += amount + sum(part for part, earlier in parts if earlier <= now - 2)
        for part, earlier in parts:
            if earlier > now - 2:
                other.book(part, earlier, now)

    def at(self, epoch: int) -> tuple[int, int, int]:
        """Settled, older and fresh money as an epoch sees it."""
        old = sum(amount for earlier, amount in self.earned.items() if earlier <= epoch - 2)
        return self.settled + old, self.earned.get(epoch - 1, 0), self.earned.get(epoch, 0)

    @property
    def total(self) -> int:
        """All of it."""
        return self.settled + sum(self.earned.values())


def all_money(row: containers.Account | None) -> int:
    """All money of an account, of any age; none where there is no account."""
    return 0 if row is None else row.settled + row.older + row.fresh


def share(factor: int) -> Fraction:
    """What a factor stands for: its mantissa over 2^(63 + its exponent); 0 for one."""
    return Fraction(factor % 2**64, 2 ** (63 + factor // 2**64)) if factor else Fraction(1)


def _refill(costs: list[int], have: list[int], change: int) -> None:
    """Changes costs in all by so much, each by what its position has at most, in the order of the markets."""
    left, sign = abs(change), 1 if change > 0 else -1
    for market, value in enumerate(have):
        part = min(left, max(value, 0))
        costs[market] += sign * part
        left -= part


class Readings:
    """One history as this reading sees it; `broken` holds one line for each violation."""

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
        # Markets in which the last tick gave no price, or the first, or the first that came back; those without one.
        self.unpriced: set[int] = set()
        self.without: set[int] = set()
        # Of markets that have no price yet, in ticks.
        self.named: dict[int, int] = {}
        self.largest_jump_ppm = 0
        self.index: list[int] = [0] * constants.MARKETS
        self.grace_until = 0
        self.dust = 0
        self.paid_in = 0
        self.paid_out = 0
        self.hour_grown: Counter[int] = Counter()
        self.hour_unwound: Counter[int] = Counter()
        self.hour_paid: Counter[int] = Counter()
        self.filled: Counter[tuple[int, int, int]] = Counter()
        # Of markets that are over, their prices for ever; of those that settle, when the first hour begins that may.
        self.over: dict[int, int] = {}
        self.settling: dict[int, int] = {}
        # What was signed at each tick, before a mean that is to come takes its place.
        self.medians: list[tuple[int, list[int]]] = []
        self.indebted: set[int] = set()
        # Each time that unsettled money paid: the epoch, the factor from then on. What is owed still, since when
        # nothing matures for it, and for how long that has been so before. By how much roundings may have moved the
        # sums, micro-dollars.
        self.takes: list[tuple[int, int]] = []
        self.still_owed = self.held_at = self.held_before = self.slack = 0
        # Of the close that is under way: when it was entered, its limit. Whether the last tick came by the queue.
        self.head_entered, self.head_limit = 0, 0
        self.is_outlasted = False
        self.tick_queued = False
        self.ledger: Ledger
        self.step: Step

    def claim(self, holds: bool, kind: str, told: str) -> None:
        """Records a violation unless it holds."""
        if not holds:
            self.by_kind[kind] += 1
            what = f"{NAMES.get(self.step.tag)}" if self.steps else "history"
            self.broken.append(f"{self.name} step {self.steps} {what}: {kind}: {told}")

    @property
    def epoch(self) -> int:
        """By which money matures: times in which debts are owed do not count."""
        return ((self.held_at or self.step.now) - self.held_before) // constants.EPOCH

    def money_of(self, row: containers.Account) -> tuple[int, int, int]:
        """Settled, older and fresh money as at an account's last touch, less what they have paid for debts since."""
        known = [factor for _, factor in self.takes]
        since = known.index(row.factor) + 1 if row.factor in known else 0

        def paid(amount: int, last: int) -> int:
            later = [factor for epoch, factor in self.takes[since:] if epoch <= last]
            return int(amount * share(later[-1]) / share(row.factor)) if later else amount

        return row.settled, paid(row.older, row.epoch), paid(row.fresh, row.epoch + 1)

    def unsettled(self, row: containers.Account) -> tuple[int, int]:
        """Older and fresh money of an account as it is now."""
        _, older, fresh = self.money_of(row)
        by_epoch = {row.epoch - 1: older, row.epoch: fresh}
        return by_epoch.get(self.epoch - 1, 0), by_epoch.get(self.epoch, 0)

    def _collect(self, debt: int) -> None:
        """Unsettled money pays what is owed, all of it alike, and what is left keeps all from maturing."""
        pool, debts = self.ledger.globals.pool, self.ledger.globals.risk.debts
        before, factor = self.takes[-1][1] if self.takes else 0, debts.factors[-1] % 2**96
        whole = sum(sum(self.unsettled(row)) for row in self.ledger.rows.values())
        owed, rounding = self.still_owed + debt, len(self.ledger.rows) + self.slack
        taken = owed - pool.owed
        told = f"{taken} of {whole} for {owed}"
        self.claim(abs(taken - min(owed, whole)) <= rounding and taken >= 0, "debt", told)
        if factor != before:
            left = whole * share(factor) / share(before)
            self.claim(left <= whole - taken + rounding, "debt", f"{left} left, {told}")
            self.claim(left + rounding + (whole >> 28) >= whole - taken, "debt", f"only {left} left, {told}")
            self.takes.append((self.epoch, factor))
            self.slack += len(self.ledger.rows) + (whole >> 28) + 1
            self.accepted["debt_taken"] += 1
        self.claim((factor != before) == (taken > 0), "debt", told)
        self.still_owed = pool.owed
        since = 0 if pool.owed <= 100_000_000 else self.held_at or self.step.now
        if self.held_at and not since:
            self.held_before += self.step.now - self.held_at
            self.accepted["let_go"] += 1
        clock = since - self.held_before
        self.claim(debts.clock == clock, "held", f"{debts.clock} not {clock}")
        self.held_at = since
        self.accepted["held"] += since != 0

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

    def said(self, prices: Sequence[int]) -> list[int]:
        """What is signed, but 0 for a first price of less than a quarter or more than four times of the named one."""
        kept = list(prices)
        for market, named in list(self.named.items()):
            if named <= 4 * kept[market] <= 16 * named:
                del self.named[market]
            else:
                kept[market] = 0
        return kept

    def rate(self, market: int, premium: int) -> int:
        """Ppb an hour that longs pay: the interest, or as near to it as damping brings a premium; at most the cap."""
        word = self.ledger.globals.markets[market].funding_terms.to_bytes(12, "big")
        cap, interest, damping = (int.from_bytes(word[at : at + 4], "big") for at in (0, 4, 8))
        near = sorted((premium - damping, interest - 2**31, premium + damping))[1]
        return sorted((-cap, near, cap))[1]

    @property
    def market_count(self) -> int:
        return self.ledger.globals.market_count

    @property
    def prices(self) -> list[int]:
        return self.ticks[-1][1]

    @property
    def in_grace(self) -> bool:
        return self.step.now < self.grace_until

    @property
    def _none(self) -> containers.Account:
        return self.ledger.chunk.rows.account(constants.NEW_ACCOUNT)

    def judged(self, row: containers.Account, kinder: bool = True) -> list[int]:
        """Of the last two ticks' prices the kinder one for each position, or the worse one."""
        now = list(self.prices)
        if len(self.ticks) < 2:
            return now
        # A market that was listed between the two has one price, one that is over or was set aside too.
        for market, earlier in enumerate(self.ticks[-2][1]):
            size = row.positions[market].size
            if size and market not in self.over and market not in self.unpriced:
                now[market] = max(now[market], earlier) if (size > 0) == kinder else min(now[market], earlier)
        return now

    def read(self, row: containers.Account, prices: list[int], own: bool = False) -> Reading:
        """An account at given prices; its owner's own leverage bound only counts where `own` says so."""
        risk = self.ledger.globals.risk
        equity = sum(self.money_of(row)) - ceil(self.owed(row), FUNDING_SCALE)
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
            if needed > most and market not in self.unpriced:
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

    def payable(self, market: int, insurance: containers.Account) -> int:
        """What a fund may still pay out: its free collateral, and what its hour leaves of a quarter."""
        free = self.read(insurance, self.prices)
        quarter = max(free.equity, 0) // 4 - self.hour_paid[market]
        return max(min(free.equity - free.initial, quarter), 0)

    def _conserved(self) -> None:
        ledger = self.ledger
        count = self.market_count
        index = ledger.globals.risk.funding_index
        collateral = cost = owed = unpaid = 0
        unsettled = [0, 0]
        sizes = [0] * count
        longs = [0] * count
        for number, row in ledger.rows.items():
            held = row.settled + row.older + row.fresh
            collateral += held
            unpaid += held - sum(self.money_of(row))
            unsettled = [sum(pair) for pair in zip(unsettled, self.unsettled(row), strict=True)]
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
            # A market that ends below what an account has leaves its debt without a position, until it is called.
            if held < 0 and not holds and number not in range(1, FIRST) and number not in self.indebted:
                self.claim(False, "debt without a position", f"account {number}: {held}")
        globals = ledger.globals
        # Of a market that is over some have their money and some not yet: what is left stands at its price.
        left = sum(sizes[market] * price for market, price in self.over.items())
        pool = globals.pool
        money = left + collateral - cost - pool.receivable - pool.owed
        error = (money - self.paid_in + self.paid_out) * FUNDING_SCALE - owed + globals.funding_dust
        self.claim(error == 0, "conservation", f"{error} / {FUNDING_SCALE} micro-dollars")
        sums = {pool.epoch - 1: pool.older, pool.epoch: pool.fresh}
        found = [sums.get(self.epoch - 1, 0), sums.get(self.epoch, 0)]
        rounding = self.slack + (len(ledger.rows) + self.steps if self.takes else 0)
        off = max(abs(one - other) for one, other in zip(found, unsettled, strict=True))
        self.claim(off <= rounding, "unsettled sums", f"{found} not {unsettled}")
        self.claim(abs(pool.receivable - unpaid) <= rounding, "receivable", f"{pool.receivable} not {unpaid}")
        totals = (globals.deposited_total, ledger.chunk.commitment.withdrawn_total)
        self.claim(totals == (self.paid_in, self.paid_out), "totals", f"{totals}")
        self.claim(not any(size for market, size in enumerate(sizes) if market not in self.over), "sizes", f"{sizes}")
        for market in range(count):
            listed = globals.markets[market]
            interest = 0 if market in self.over else longs[market]
            self.claim(listed.open_interest == interest, "open interest", f"{listed.open_interest} {interest}")
            fund = all_money(ledger.account(market + 1))
            self.claim(listed.fund == fund, "fund", f"market {market}: {listed.fund}, account {fund}")

    def _arrived(self, number: int) -> Ages:
        """The money of an account that something is added to: it has paid for debts, and its funding stays due."""
        ages = self.ages.setdefault(number, Ages())
        before = self.step.before.get(number)
        if before is not None:
            _, older, fresh = self.money_of(before)
            for epoch, paid in ((before.epoch - 1, before.older - older), (before.epoch, before.fresh - fresh)):
                if paid:
                    ages.earned[epoch] -= paid
        return ages

    def _touch(self, number: int) -> Ages:
        """Books what settling an account makes of its money: funding, rounded against it, and what is over."""
        before = self.step.before[number]
        ages = self._arrived(number)
        ages.book(self.gained(before) - ceil(self.owed(before), FUNDING_SCALE), self.epoch)
        if any(before.positions[market].size for market in self.over):
            self.accepted["folding"] += 1
            self.indebted.add(number)
        return ages

    def _charged(self, request: containers.Request) -> tuple[Ages, int]:
        """Settles whoever signed a request, and takes the posting fee, youngest money first; his money, the fee."""
        fee = self.ledger.globals.posting_fee
        self.claim(fee <= request.max_posting_fee, "fee", f"{fee} above what account {request.account} signed")
        ages = self._touch(request.account)
        ages.book(-fee, self.epoch)
        return ages, fee

    def _moved(
        self, number: int, market: int, size: int, quote: int, fee: int, leaves: bool = False, chosen: bool = False
    ) -> None:
        """A party of a fill or rescue pays funding, then the fee, and what closed lots realise; nothing else.

        chosen: by others, so that money and positions make good what the others have lost. leaves: what may leave is
        paid out after that.
        """
        before, row = self.step.before[number], self.ledger.account(number)
        epoch = self.epoch
        ages = self._touch(number)
        whole = ages.at(epoch)[0]
        old = before.positions[market]
        left, cost = old.size + size, Fraction(old.cost + quote)
        if left * old.size < 0:
            # Turned: what is there was bought or sold by this alone.
            cost = Fraction(quote * left, size)
        elif abs(left) < abs(old.size):
            cost = Fraction(old.cost * left, old.size)
        # Rounded down, against whoever cuts.
        expected = (left, cost.numerator // cost.denominator, self.index[market]) if left else (0, 0, 0)
        ages.book(expected[1] - old.cost - quote - fee, epoch)
        costs = [position.cost for position in before.positions]
        costs[market] = expected[1]
        if chosen:
            lots = [position.size for position in before.positions]
            lots[market] = expected[0]
            self._make_good(ages, whole, lots, costs)
            expected = (expected[0], costs[market], expected[2])
        if leaves:
            ages.settled -= self._leaver_paid(number, ages)
        position = row.positions[market]
        self.claim(
            (position.size, position.cost, position.funding) == expected,
            "position",
            f"account {number} market {market}: {position} not {expected}",
        )
        self._others_stay(number, market, costs)
        self._aged(number, True)

    def _make_good(self, ages: Ages, whole: int, lots: list[int], costs: list[int]) -> None:
        """Moves unsettled money into positions at a loss, or what is open in them into settled money, up to `whole`."""
        won = [size * price - cost for size, price, cost in zip(lots, self.prices, costs, strict=False)]
        won = [0 if market in self.over else value for market, value in enumerate(won)]
        settled = ages.at(self.epoch)[0]
        left = min(ages.total - settled, -sum(won))
        paid = min(whole - settled, sum(won))
        if left > 0:
            self.accepted["made_good"] += 1
            ages.book(-left, self.epoch)
            _refill(costs, [-value for value in won], -left)
        elif paid > 0:
            self.accepted["paid_by_open"] += 1
            ages.settled += paid
            _refill(costs, won, paid)

    def unsettled_gain(self, number: int, equity: int) -> int:
        """What of an account's equity has not settled: all that it may bear of another's loss."""
        kept = copy.deepcopy(self.ages.setdefault(number, Ages()))
        settled = self._touch(number).at(self.epoch)[0]
        self.ages[number] = kept
        return max(equity - max(settled, 0), 0)

    def _others_stay(self, number: int, market: int, costs: Sequence[int] = ()) -> None:
        before, row = self.step.before[number], self.ledger.account(number)
        costs = costs or [position.cost for position in before.positions]
        for other in range(self.market_count):
            if other in self.over:
                self.claim(row.positions[other] == containers.EMPTY, "folded", f"account {number} market {other}")
            elif other != market:
                same = row.positions[other].size == before.positions[other].size
                same = same and row.positions[other].cost == costs[other]
                self.claim(same, "position", f"account {number} market {other} moved")

    def _aged(self, number: int, was_settled: bool) -> None:
        row, ages = self.ledger.account(number), self.ages.setdefault(number, Ages())
        told = f"account {number}: {all_money(row)} not {ages.total}"
        self.claim(all_money(row) == ages.total, "money", told)
        if was_settled and (number >= FIRST or number == constants.FEE_ACCOUNT):
            expected = ages.at(self.epoch)
            found = (row.settled, row.older, row.fresh)
            self.claim(found == expected, "ages", f"account {number}: {found} not {expected}")

    def _fees(self, amount: int) -> None:
        if amount > 0:
            self._arrived(constants.FEE_ACCOUNT).book(amount, self.epoch)
        self._aged(constants.FEE_ACCOUNT, amount > 0)

    def _paid_out(self) -> int:
        """What has left the venue in this step."""
        paid = self.ledger.chunk.commitment.withdrawn_total - self.paid_out
        self.paid_out += paid
        return paid

    def _released(self, number: int, row: containers.Account, ages: Ages, asked: int) -> int:
        """What left an account of what was asked for: all that is settled and free, never more; `row` before it."""
        paid = self._paid_out()
        settled = ages.at(self.epoch)[0]
        was = self.read(row, self.prices, own=True)
        is_sure = not self.in_grace and self.step.now - self.ticks[-1][0] <= 20_000
        kept = max(was.initial, ceil(was.notional, 10 if is_sure else 4))
        most = max(min(asked, settled, was.equity - kept), 0)
        self.claim(paid <= max(settled, 0), "unsettled money left", f"account {number}: {paid} of {settled}")
        self.claim(paid == most, "payment margin", f"account {number}: {paid} paid of {most}")
        return paid

    def _leaver_paid(self, number: int, ages: Ages) -> int:
        row = self.ledger.account(number)
        unpaid = row.settled + self.ledger.chunk.commitment.withdrawn_total - self.paid_out
        paid = self._released(number, msgspec.structs.replace(row, settled=unpaid), ages, constants.EVERYTHING)
        self.accepted["leaver_paid"] += paid > 0
        return paid
