"""The margin campaign's reading of what comes by the queue of L1, a forced close step by step included."""

from prover.stf import codes, constants
from prover.stf.constants import PPM
from tests.soak.margin_rescues import Rescues
from tests.soak.readings import ceil, sign


class Queue(Rescues):
    """Each handler returns the accounts that its entry may touch."""

    def _begun(self, limit: int) -> None:
        self.head_entered, self.head_limit = self.step.entered_at, limit
        self.is_outlasted = False

    def _outlasting(self) -> None:
        """What came half an hour behind a head, and behind any tick, and has passed it, ends it at the next step."""
        taken = self.step.entered_at and self.step.code not in (codes.HEAD_UNFINISHED, codes.UNSTEADY)
        if taken and self.step.head is not None:
            self.is_outlasted |= self.step.entered_at > max(self.head_entered, self.ticks[-1][0]) + 1_800_000

    def _priced(self) -> None:
        """Three ticks in a row, the last newer than the entry, and as young as for a trade, or by the queue."""
        assert self.step.move is not None
        self._steady(False, self.step.move.market)
        last = self.ticks[-1][0]
        self.claim(last > self.head_entered, "older than the entry", f"{last} of {self.head_entered}")
        self.claim(not self.is_outlasted, "head", "closed though it was over")
        young = self.step.now - last <= (1_800_000 if self.tick_queued else 20_000)
        self.claim(young, "stale", f"{last} at {self.step.now}")

    def _ended(self, number: int, asked: int, market: int) -> set[int]:
        """A step that closes nothing and ends the head; one that found no price for long pays a leaver all the same."""
        self.claim(self.ledger.head is None, "head", f"{self.ledger.head} goes on")
        before = self.step.before[number]
        if self.step.code == codes.STALE:
            last = self.ticks[-1][0]
            gone = self.step.now > max(self.head_entered + 1_800_000, last + 3 * 86_400_000)
            late = self.is_outlasted or gone
            held = {market for market, position in enumerate(before.positions) if position.size} - set(self.over)
            aside = {market} if asked != constants.MARKETS else held
            ends = late or (market in held and aside <= self.unpriced)
            self.claim(ends, "ended early", f"at {self.step.now}, unpriced {self.unpriced}")
            self.accepted["left_without_a_price"] += not late
            if asked == constants.MARKETS:
                unpaid = self.ledger.chunk.commitment.withdrawn_total - self.paid_out
                if unpaid == 0:
                    return set()
                ages = self._touch(number)
                ages.settled -= self._released(number, before, ages, constants.EVERYTHING)
                self._others_stay(number, constants.MARKETS)
                self._aged(number, True)
                return {number}
            return set()
        self._priced()
        worse = self.judged(before, kinder=False)
        if self.step.code == codes.LIMIT:
            size, price = before.positions[asked].size, worse[asked]
            beyond = price < self.head_limit if size > 0 else price > self.head_limit
            self.claim(self.head_limit > 0 and beyond, "limit", f"{price} of {self.head_limit}")
        else:
            self.claim(self.read(before, worse).equity < 0, "head", f"account {number} ended, and not below zero")
        return set()

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
        lots = min(entry.amount, abs(before.positions[entry.market].size))
        head = self.ledger.head
        self.claim(head == (entry.account, entry.market, lots) and lots > 0, "head", f"{head} not {lots}")
        self.claim(self.step.head is None, "head", "two at a time")
        self._begun(entry.limit)
        return set()

    def _leave(self) -> set[int]:
        entry = self.step.entry
        assert entry is not None
        before, row = self.step.before[entry.account], self.ledger.account(entry.account)
        self.claim(before.owner == entry.sender, "owner", f"account {entry.account}")
        self.claim(row.floor > self.step.now + 10_000 and not any(row.agents), "floor", f"{row.floor} {row.agents}")
        holds = any(p.size for market, p in enumerate(before.positions) if market not in self.over)
        expected = (entry.account, constants.MARKETS, 0) if holds else self.step.head
        self.claim(self.ledger.head == expected, "head", f"{self.ledger.head} not {expected}")
        if holds:
            self.claim(self.step.head is None, "head", "two at a time")
            self._begun(0)
        ages = self._touch(entry.account)
        if not holds:
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
        step, given = self.step, self.step.parameters
        assert given is not None
        listed, risk = self.ledger.globals.markets[given.market], self.ledger.globals.risk
        # In its last hour a market counts in full.
        initial = PPM if given.status == constants.MARKET_SETTLING else given.initial_ppm
        found = (listed.status, listed.taker_fee_ppm, risk.initial_ppm[given.market])
        self.claim(found == (given.status, given.taker_fee_ppm, initial), "parameters", f"{found}")
        self.claim(given.market not in self.over, "parameters", "a market that is over came back")
        if given.price:
            self.claim(given.price >= 10_000 and given.interest_upper > 0, "listing", f"{given}")
            self.named[given.market] = given.price
            self.accepted["listing"] += 1
        if given.status == constants.MARKET_SETTLING:
            self.settling[given.market] = (step.now + 2 * constants.HOUR - 1) // constants.HOUR * constants.HOUR
        return set()

    def _close_step(self) -> set[int]:
        """A forced close at the worse of two prices, one percent off at most; a leaver is paid at the end."""
        move, head = self.step.move, self.step.head
        assert move is not None
        assert head is not None
        number, asked, most = head
        market, insurance = move.market, move.market + 1
        self.claim(asked in (market, constants.MARKETS), "head", f"{asked} but {market}")
        if self.step.code != codes.OK:
            return self._ended(number, asked, market)
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
        self._priced()
        left = abs(size) if asked == constants.MARKETS else most
        self.claim(0 < lots <= min(move.lots, left, abs(size)), "lots", f"{lots} of {size}, {left} left")
        worse = self.judged(before, kinder=False)
        price, was = worse[market], self.read(before, worse)
        self.claim(was.equity >= 0, "closed below zero", f"account {number}: {was}")
        within = self.head_limit == 0 or (price >= self.head_limit if size > 0 else price <= self.head_limit)
        self.claim(within, "limit", f"{price} of {self.head_limit}")
        # What it may lose and keep E/MM: nothing where none is left to lose.
        maintenance = self.maintenance_after(before, market, closed, worse)
        spare = max(was.equity - ceil(was.equity * maintenance, was.maintenance), 0)
        discount = min(lots * price // 100, spare)
        quote = closed * price - discount
        is_fund = move.other == insurance
        self.step.before.setdefault(insurance, self._none)
        fund = self.step.before[insurance]
        opposite = self.step.before[move.other]
        bore = self.read(opposite, self.prices)
        is_debtor = not is_fund and bore.equity < 0
        missing = borne = paid = 0
        if not is_fund:
            held = opposite.positions[market]
            self.claim(not self.fund_takes(market, closed, quote), "fund first", f"{lots} of {market}")
            self.claim(held.size * size < 0 and lots <= abs(held.size), "lots", f"{lots} against {held.size}")
        if is_debtor:
            # Below zero at both prices.
            self.claim(self.read(opposite, self.judged(opposite)).equity < 0, "debtor", f"{bore}")
            won = (size * price - before.positions[market].cost) * lots // abs(size)
            # To his zero price, once he has what the price gives him: the leaver, then the fund, then whoever has won.
            gained = closed * self.prices[market] - quote
            missing = max(self.premium(opposite, market, -closed) - gained, 0)
            most = min(won, spare, self.unsettled_gain(number, was.equity))
            borne = max(min(missing, most - discount), 0)
            paid = min(missing - borne, self.payable(market, fund))
        self.accepted["close_by_counterparty"] += not is_fund and not is_debtor
        self.accepted["close_by_debtor"] += is_debtor
        self.accepted["debtor_unpaid"] += missing > borne
        held = opposite.positions[market]
        turned_over = max(abs(held.size + closed) - abs(held.size), 0) * self.prices[market]
        self._moved(number, market, -closed, borne - quote, 0, leaves, chosen=True)
        self._moved(move.other, market, closed, quote - missing, 0, chosen=not is_fund)
        now = self.read(self.ledger.account(move.other), self.prices)
        if is_fund:
            self._taken(market, turned_over, 0, fund)
        else:
            self.claim(now.equity >= bore.equity, "counterparty", f"{bore} -> {now}")
        if missing > borne:
            self._zero_price(move.other)
            self._moved(insurance, market, 0, 0, paid)
            self._capped(market, 0, paid, fund)
            after = self.read(self.ledger.account(insurance), self.prices)
            self.claim(paid == 0 or after.equity >= after.initial, "fund below its requirement", f"{after}")
        if missing > borne + paid:
            self._collect(missing - borne - paid)
        return {number, move.other, insurance}
