"""The margin campaign's reading of rescues: when each is allowed, and what it makes of its parties."""

from fractions import Fraction
from itertools import pairwise

from prover.stf import constants, containers
from prover.stf.constants import PPM
from tests.soak.ledger import FIRST
from tests.soak.readings import Ages, Reading, Readings, all_money, ceil, sign


class Rescues(Readings):
    """Each handler returns the accounts that its operation may touch."""

    def _steady(self, silence: bool, market: int) -> None:
        """Three ticks in a row, or, where it may wait no longer, none for five minutes; the last one with a price."""
        self.claim(market not in self.unpriced, "without a price", f"market {market}")
        last = self.ticks[-3:]
        steady = len(last) == 3 and all(later[0] - earlier[0] == 5_000 for earlier, later in pairwise(last))
        steady = steady or (silence and self.step.now - last[-1][0] > 300_000)
        self.claim(steady, "unsteady", f"{[at for at, _ in last]} at {self.step.now}")

    def _allowed(self, market: int) -> None:
        """No rescue without three ticks in a row, in a grace, at an old price."""
        last = self.ticks[-3:]
        self._steady(False, market)
        self.claim(not self.in_grace, "grace", "a rescue in a grace")
        self.claim(self.step.now - last[-1][0] <= 20_000, "stale", f"{self.step.now}")

    def _first(self, before: containers.Account, judged: Reading, market: int) -> None:
        """Below zero whatever is held, above it what requires half as much as the largest."""
        needed, most = (self._required(before, each) for each in (market, judged.largest))
        self.claim(judged.equity < 0 or 2 * needed >= most, "largest first", f"{judged} market {market}")

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

    def _liquidate(self) -> set[int]:
        step, move, order = self.step, self.step.move, self.step.maker
        assert move is not None
        assert order is not None
        self._allowed(order.market)
        market, price, lots = order.market, order.limit_price, move.lots
        before, risk = step.before[move.account], self.ledger.globals.risk
        judged = self.judged(before)
        was = self.read(before, judged)
        size, oracle = before.positions[market].size, judged[market]
        self.claim(0 <= was.equity < was.maintenance, "liquidated in health", f"{was}")
        self._first(before, was, market)
        self.claim(0 < lots <= abs(size), "lots", f"{lots} of {size}")
        closed = sign(size) * lots
        insurance = market + 1
        fund = step.before.get(insurance, self._none)
        fee = all_money(self.ledger.account(insurance)) - sum(self.money_of(fund))
        self.claim(0 <= fee <= lots * price // 100, "liquidation fee", f"{fee}")
        self._moved(move.account, market, -closed, -closed * price, fee)
        maker = self._maker(lots)
        self._fees(ceil(lots * price * self.ledger.globals.markets[market].maker_fee_ppm, PPM))
        self._arrived(insurance).book(fee, self.epoch)
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
        fewer = sign(size) * self._enough(market, oracle, abs(size), lots)
        equity = was.equity + fewer * (price - oracle)
        bettered = equity - Fraction(
            was.equity * self.maintenance_after(before, market, fewer, judged), was.maintenance
        )
        tenth = Fraction(abs(fewer) * price * risk.maintenance_ppm[market], 10 * PPM)
        left = equity - max(min(tenth, bettered), 0)
        initial = was.initial + self.needed_change(risk.initial_ppm[market], oracle, size, fewer)
        self.claim(left < initial, "too many lots", f"{abs(fewer)} instead of {lots}: {left} of {initial}")
        return {move.account, maker, insurance, constants.FEE_ACCOUNT}

    def _enough(self, market: int, oracle: int, size: int, lots: int) -> int:
        """The most lots that must not have been enough: one less, or, of all, what leaves the smallest order."""
        least = ceil(self.ledger.globals.markets[market].minimum_notional, oracle) if lots == size else 0
        return max(min(lots - 1, size - least), 0)

    def _capped(self, market: int, grown: int, paid: int, fund: containers.Account) -> None:
        """By the fund's equity as it stood before: ten times taken in an hour and held, a quarter paid out in one."""
        self.hour_grown[market] += grown
        self.hour_paid[market] += paid
        equity = max(self.read(fund, self.prices).equity, 0)
        if grown:
            held = abs(self.ledger.account(market + 1).positions[market].size) * self.prices[market]
            self.claim(self.hour_grown[market] <= equity * 10, "turnover cap", f"{self.hour_grown} of {equity}")
            self.claim(held <= equity * 10, "inventory cap", f"{held} of {equity}")
        if paid:
            self.claim(self.hour_paid[market] * 4 <= equity, "payout cap", f"{self.hour_paid} of {equity}")

    def _take_over(self) -> set[int]:
        move = self.step.move
        assert move is not None
        if self._is_idle(move):
            return self._wound_up(move)
        self._allowed(move.market)
        market, insurance = move.market, move.market + 1
        before, taking = self.step.before[move.account], self.step.before.get(insurance, self._none)
        size, oracle = before.positions[market].size, self.prices[market]
        was = self.read(before, self.judged(before))
        self.claim(was.equity * 3 < was.maintenance * 2, "taken over in health", f"{was}")
        self._first(before, was, market)
        self.claim(0 < move.lots <= abs(size), "lots", f"{move.lots} of {size}")
        closed = sign(size) * move.lots
        premium = self.premium(before, market, closed)
        self.step.before.setdefault(insurance, taking)
        self._moved(move.account, market, -closed, -closed * oracle - premium, 0)
        self._moved(insurance, market, closed, closed * oracle + premium, 0)
        self._zero_price(move.account)
        held = taking.positions[market].size
        grown = max(abs(held + closed) - abs(held), 0)
        self._taken(market, grown * oracle, max(premium, 0), taking)
        return {move.account, insurance}

    def fund_takes(self, market: int, closed: int, quote: int, paid: int = 0) -> bool:
        """Whether a market's fund, as it was before, may take so many signed lots for a quote, `paid` of it beyond."""
        taking = self.step.before[market + 1]
        held, price = taking.positions[market].size, self.prices[market]
        grown = max(abs(held + closed) - abs(held), 0)
        every = self.read(taking, self.prices)
        fund = max(every.equity, 0)
        ppm = self.ledger.globals.risk.initial_ppm[market]
        initial = every.initial + self.needed_change(ppm, price, held, -closed)
        stands = max(self.hour_grown[market] + grown * price, abs(held + closed) * price)
        pays = (self.hour_paid[market] + paid) * 4 <= fund
        is_small = grown == 0 or stands <= 10 * fund
        is_able = pays and every.equity + closed * price - quote >= initial
        return is_small and (is_able or (grown == 0 and paid == 0))

    def _taken(self, market: int, grown: int, paid: int, fund: containers.Account) -> None:
        """A fund keeps its caps, and its requirement, but where it grows by nothing and pays nobody."""
        self._capped(market, grown, paid, fund)
        after = self.read(self.ledger.account(market + 1), self.prices)
        is_free = grown == 0 and paid == 0
        self.claim(is_free or after.equity >= after.initial, "fund below its requirement", f"{after}")

    def _forced_rescue(self) -> set[int]:
        """The fund in the liquidator's place: gently where it still can be, else as in a take-over."""
        step, move = self.step, self.step.move
        assert move is not None
        if move.account == move.market + 1:
            return self._called()
        if move.account < FIRST:
            return self._sent_home()
        if self._is_idle(move):
            return self._wound_up(move)
        self._steady(True, move.market)
        self.claim(self.ticks[-1][0] + 300_000 >= step.entered_at, "stale", f"entered at {step.entered_at}")
        market, insurance = move.market, move.market + 1
        before, taking = step.before[move.account], step.before.setdefault(insurance, self._none)
        size, oracle = before.positions[market].size, self.prices[market]
        judged = self.read(before, self.judged(before))
        self.claim(judged.equity < judged.maintenance, "liquidated in health", f"{judged}")
        self._first(before, judged, market)
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
            # So many lots would have left it below its requirement; roundings of requirements aside.
            enough = self._enough(market, oracle, abs(size), lots)
            left = was.initial - enough * oracle * Fraction(risk.initial_ppm[market], PPM)
            fewer = was.equity - enough * each - left
            self.claim(fewer < 2, "too many lots", f"{enough} instead of {lots}: {fewer}")
            maintenance = self.maintenance_after(before, market, closed, self.prices)
            self.claim(after * was.maintenance >= was.equity * maintenance, "E/MM lowered", f"{was} -> {after}")
        else:
            self.accepted["forced_take_over"] += 1
        self._moved(move.account, market, -closed, -closed * oracle - premium, 0)
        if judged.equity < 0 and not self.fund_takes(market, closed, closed * oracle + premium, premium):
            # What is below zero goes to the fund whatever that may take; of the rest it pays what it may.
            paid = min(premium, self.payable(market, taking))
            self._moved(insurance, market, closed, closed * oracle, paid)
            self.hour_paid[market] += paid
            self.accepted["beyond_the_fund"] += 1
            if premium > paid:
                self._collect(premium - paid)
            return {move.account, insurance}
        self._moved(insurance, market, closed, closed * oracle + premium, 0)
        held = taking.positions[market].size
        grown = max(abs(held + closed) - abs(held), 0)
        self._taken(market, grown * oracle, max(premium, 0), taking)
        return {move.account, insurance}

    def _required(self, row: containers.Account, market: int) -> int:
        """What a position requires at judged prices."""
        worth = abs(row.positions[market].size) * self.judged(row)[market]
        return ceil(worth * self.ledger.globals.risk.maintenance_ppm[market], PPM)

    def _is_idle(self, move: containers.Rescue) -> bool:
        """Whether an account holds nothing, or something in a market that is over and is named."""
        positions = self.step.before[move.account].positions
        holds = any(position.size for market, position in enumerate(positions) if market not in self.over)
        return not holds or (move.market in self.over and positions[move.market].size != 0)

    def _wound_up(self, move: containers.Rescue) -> set[int]:
        """What is over becomes money; who then holds nothing and is below zero stands at nothing, and others paid."""
        before = self.step.before[move.account]
        positions = before.positions
        holds = any(position.size for market, position in enumerate(positions) if market not in self.over)
        debt = 0 if holds else max(-self.read(before, self.prices).equity, 0)
        folds = positions[move.market].size != 0
        self.claim(folds or debt > 0, "wound up", f"account {move.account}: {debt}")
        self._touch(move.account).settled += debt
        self._others_stay(move.account, constants.MARKETS)
        self._aged(move.account, True)
        self.indebted.discard(move.account)
        if debt > 0:
            self._collect(debt)
        self.accepted["wound_up"] += 1
        self.accepted["left_owing"] += debt > 0
        return {move.account}

    def _called(self) -> set[int]:
        """A fund below zero at both prices stands at nothing again, and unsettled money has paid for it."""
        step, move = self.step, self.step.move
        assert move is not None
        before = step.before.setdefault(move.account, self._none)
        # Only what it holds waits for a price.
        if before.positions[move.market].size and move.market not in self.over:
            self._steady(True, move.market)
            self.claim(self.ticks[-1][0] + 300_000 >= step.entered_at, "stale", f"entered at {step.entered_at}")
        judged, was = self.read(before, self.judged(before)), self.read(before, self.prices)
        self.claim(judged.equity < 0, "called above zero", f"{judged}")
        self._touch(move.account).settled -= was.equity
        self._others_stay(move.account, constants.MARKETS)
        self._aged(move.account, True)
        self._collect(-was.equity)
        self.accepted["fund_called"] += 1
        return {move.account}

    def _sent_home(self) -> set[int]:
        """All money of the fund of a market that is over goes to that of the first one that is not."""
        move = self.step.move
        assert move is not None
        home = next(market for market in range(self.market_count) if market not in self.over)
        self.claim(move.account - 1 in self.over and move.market == home, "home", f"{move.account} to {move.market}")
        ages = self._touch(move.account)
        self.claim(ages.total > 0, "home", f"{ages.total}")
        self.ages.setdefault(home + 1, Ages()).settled += ages.total
        ages.book(-ages.total, self.epoch)
        self._others_stay(move.account, constants.MARKETS)
        self._aged(move.account, True)
        self._aged(home + 1, False)
        self.accepted["sent_home"] += 1
        return {move.account, home + 1}

    def _zero_price(self, number: int) -> None:
        """A fund or counterparty takes at the zero price: E/MM at current prices stays, to a micro-dollar."""
        was = self.read(self.step.before[number], self.prices)
        now = self.read(self.ledger.account(number), self.prices)
        off = now.equity - Fraction(was.equity * now.maintenance, was.maintenance)
        self.claim(0 <= off < 1, "zero price", f"{was} -> {now}")

    def _deleverage(self) -> set[int]:
        move = self.step.move
        assert move is not None
        self._allowed(move.market)
        market, insurance, lots = move.market, move.market + 1, move.lots
        if move.account == insurance:
            return self._reduce(move)
        before, other = self.step.before[move.account], self.step.before[move.other]
        paying = self.step.before.setdefault(insurance, self._none)
        size, oracle = before.positions[market].size, self.prices[market]
        held = other.positions[market]
        was = self.read(before, self.judged(before))
        self.claim(was.equity < 0, "deleveraged above zero", f"{was}")
        self.claim(held.size * size < 0 and 0 < lots <= min(abs(size), abs(held.size)), "lots", f"{lots} of {size}")
        closed = sign(size) * lots
        premium = max(self.premium(before, market, closed), 0)
        paid = min(premium, self.payable(market, paying))
        profit = max(held.size * oracle - held.cost, 0)
        bore = self.read(other, self.prices)
        after = self.maintenance_after(other, market, -closed, self.prices)
        spare = max(bore.equity - after, bore.equity - ceil(bore.equity * after, bore.maintenance))
        won = min(profit * lots // abs(held.size), self.unsettled_gain(move.other, bore.equity))
        borne = min(premium - paid, won, spare)
        self._moved(move.account, market, -closed, -closed * oracle - premium, 0)
        self._moved(move.other, market, closed, closed * oracle + borne, 0, chosen=True)
        # The fund pays first, and all that it may.
        self._moved(insurance, market, 0, 0, paid)
        self.claim(self.read(other, self.prices).equity >= 0, "counterparty", f"account {move.other} owes")
        self._zero_price(move.account)
        bears = self.read(self.ledger.account(move.other), self.prices)
        kept = bears.equity >= bears.maintenance or bears.equity * bore.maintenance >= bore.equity * bears.maintenance
        self.claim(borne == 0 or kept, "counterparty", f"{bore} -> {bears}")
        settled = self.ages[move.other].at(self.epoch)[0]
        self.claim(borne == 0 or bears.equity >= settled, "settled money", f"{bears} of {settled}")
        self.accepted["bore_less_than_won"] += won < profit * lots // abs(held.size)
        self._capped(market, 0, paid, paying)
        after = self.read(self.ledger.account(insurance), self.prices)
        self.claim(paid == 0 or after.equity >= after.initial, "fund below its requirement", f"{after}")
        if premium > paid + borne:
            self._collect(premium - paid - borne)
        return {move.account, move.other, insurance}

    def _reduce(self, move: containers.Rescue) -> set[int]:
        """A fund below maintenance gives lots away at the oracle price, as few as bring it back."""
        market, insurance, lots = move.market, move.market + 1, move.lots
        fund, other = self.step.before[insurance], self.step.before[move.other]
        judged, size, held = self.judged(fund), fund.positions[market].size, other.positions[market].size
        was = self.read(fund, judged)
        self.claim(was.equity < was.maintenance, "reduced in health", f"{was}")
        self.claim(held * size < 0 and 0 < lots <= min(abs(size), abs(held)), "lots", f"{lots} of {size}")
        self.claim(self.read(other, self.prices).equity >= 0, "counterparty", f"account {move.other} owes")
        ppm = self.ledger.globals.risk.initial_ppm[market]
        fewer = ceil((abs(size) - lots + 1) * judged[market] * ppm, PPM)
        self.claim(was.equity < fewer, "too many lots", f"one less than {lots}: {was.equity} of {fewer}")
        quote = sign(size) * lots * self.prices[market]
        debt = max(self.premium(fund, market, sign(size) * lots), 0)
        self._moved(insurance, market, -sign(size) * lots, -quote - debt, 0)
        self._moved(move.other, market, sign(size) * lots, quote, 0, chosen=True)
        if debt > 0:
            self._collect(debt)
        self.accepted["fund_reduced"] += 1
        return {insurance, move.other}

    def _unwind(self) -> set[int]:
        move, order = self.step.move, self.step.maker
        assert move is not None
        assert order is not None
        self._allowed(order.market)
        market, price, insurance = order.market, order.limit_price, order.market + 1
        before, oracle = self.step.before[insurance], self.prices[market]
        size, equity = before.positions[market].size, max(self.read(before, self.prices).equity, 0)
        self.claim(0 < move.lots <= abs(size), "lots", f"{move.lots} of {size}")
        band = self.ledger.globals.markets[market].unwind_band_ppm
        worse = sign(size) * (oracle - price)
        self.claim(worse <= max(1, Fraction(oracle * band, PPM)), "unwinding price", f"{price} at {oracle}")
        closed = sign(size) * move.lots
        self._moved(insurance, market, -closed, -closed * price, 0)
        maker = self._maker(move.lots)
        self._fees(ceil(move.lots * price * self.ledger.globals.markets[market].maker_fee_ppm, PPM))
        self.hour_unwound[market] += move.lots * oracle
        told = f"unwound {self.hour_unwound} of {equity}"
        self.claim(self.hour_unwound[market] <= equity * 10, "turnover cap", told)
        return {maker, insurance, constants.FEE_ACCOUNT}
