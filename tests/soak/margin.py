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
from itertools import pairwise, zip_longest
from typing import Any, Final

from prover.stf import codes, constants, containers
from prover.stf.constants import FUNDING_SCALE, PPM
from prover.stf.replay import HEAD_ENDS
from tests.soak.histories import History
from tests.soak.ledger import FIRST, Ledger, Step
from tests.soak.margin_queue import Queue
from tests.soak.readings import all_money, ceil, sign
from tests.soak.rescuing import probe_lots
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
    "unsettled_transfer",
    "fund_reduced",
    "beyond_the_fund",
    "fund_called",
    "debt_taken",
    "held",
    "let_go",
    "refund",
    "misnamed",
    "close_by_counterparty",
    "close_by_debtor",
    "made_good",
    "paid_by_open",
    "bore_less_than_won",
    "leaver_paid",
    "forced_liquidation",
    "forced_take_over",
    "listing",
    "settlement",
    "mean_to_come",
    "folding",
    "wound_up",
    "sent_home",
    "set_aside",
)
RESCUES: Final = (constants.LIQUIDATE, constants.TAKE_OVER, constants.DELEVERAGE, constants.UNWIND)


class Watch(Queue):
    """Checks every step of one history."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.handlers: dict[int, Callable[[], set[int]]] = {
            constants.DEPOSIT: self._deposit,
            constants.WITHDRAW: self._payment,
            constants.TRANSFER: self._payment,
            constants.CANCEL: self._request,
            constants.CANCEL_ALL: self._request,
            constants.SET_AGENT: self._request,
            constants.SET_LEVERAGE: self._request,
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
        is_end = tag == constants.CLOSE_STEP and step.code in HEAD_ENDS
        if step.code == codes.OK or is_end or (tag == constants.DEPOSIT and step.code == codes.REFUNDED):
            handler = self.handlers.get(tag)
            touched = handler() if handler else set()
            self.accepted[NAMES[tag]] += step.code == codes.OK
            self.accepted["refund"] += step.code == codes.REFUNDED
            self.accepted["head_over"] += is_end
        else:
            self.refused[f"{NAMES[tag]}:{codes.SENTENCE[step.code][0]}"] += 1
        self._outlasting()
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
            if all_money(row) < min(all_money(before), sum(self.money_of(before))):
                asked = [one.account for one in (step.maker, step.taker, step.request, step.entry) if one]
                asked += [step.head[0]] if step.head else []
                self.claim(index in asked, "paid unsigned", f"account {index}")
        dust = ledger.globals.funding_dust
        settlements = sum(1 for index in touched if self.owed(step.before.get(index)) != 0)
        told = f"{dust_before} -> {dust} by {touched}"
        self.claim(0 <= dust - dust_before <= settlements * (FUNDING_SCALE - 1), "dust", told)
        self.dust = dust
        self._conserved()

    def _deposit(self) -> set[int]:
        entry = self.step.deposit
        assert entry is not None
        self.paid_in += entry.amount
        if self.step.code == codes.REFUNDED:
            self.paid_out += entry.amount
            return set()
        opening = entry.account == constants.NEW_ACCOUNT
        index = self.ledger.globals.next_account - 1 if opening else entry.account
        self._arrived(index).settled += entry.amount
        self.accepted["insurance_deposit"] += index < FIRST
        self._aged(index, not opening)
        return {index}

    def _payment(self) -> set[int]:
        step, request = self.step, self.step.request
        assert request is not None
        before = step.before[request.account]
        ages, fee = self._charged(request)
        self._others_stay(request.account, constants.MARKETS)
        epoch = self.epoch
        most = ages.at(epoch)[0] if step.tag == constants.WITHDRAW else ages.total
        self.claim(request.amount <= most, "unsettled money left", f"{request.amount} of {most}")
        was = self.read(before, self.prices, own=True)
        kept = max(was.initial, ceil(was.notional, 10))
        left = was.equity - fee - request.amount
        self.claim(left >= kept, "payment margin", f"{was} less {request.amount} and {fee}")
        self.claim(not self.in_grace, "grace", "money left in a grace")
        if step.tag == constants.WITHDRAW:
            ages.settled -= request.amount
            self.paid_out += request.amount
            self._aged(request.account, True)
            self._fees(fee)
            return {request.account, constants.FEE_ACCOUNT}
        opening = request.other == constants.NEW_ACCOUNT
        other = self.ledger.globals.next_account - 1 if opening else request.other
        creation = constants.CREATION_FEE if opening else 0
        received = self._arrived(other)
        self.accepted["unsettled_transfer"] += ages.at(epoch)[0] < ages.total
        ages.give(request.amount, received, epoch)
        received.book(-creation, epoch)
        self.accepted["opening_transfer"] += opening
        self._aged(request.account, True)
        self._aged(other, True)
        owners = self.ledger.account(other).owner == self.ledger.account(request.account).owner
        self.claim(owners, "owner", f"account {other}")
        self._fees(fee + creation)
        return {request.account, other, constants.FEE_ACCOUNT}

    def _request(self) -> set[int]:
        """A request that moves no money but its fee: whoever signed it has to be able to pay that, no more."""
        request = self.step.request
        assert request is not None
        was = self.read(self.step.before[request.account], self.prices)
        _, fee = self._charged(request)
        self.claim(was.equity >= fee, "posted below zero", f"account {request.account}: {was} less {fee}")
        self._others_stay(request.account, constants.MARKETS)
        self._aged(request.account, True)
        self._fees(fee)
        return {request.account, constants.FEE_ACCOUNT}

    def _tick(self) -> set[int]:
        step, risk = self.step, self.ledger.globals.risk
        said = self.said(step.prices)
        for market, (before, price) in enumerate(zip(self.signed, said, strict=False)):
            # What has no price stands where it was.
            if price == 0 or before == 0:
                continue
            moved = abs(price - before)
            # To the next whole tick.
            self.claim(2 * moved * PPM <= 2 * before * JUMP_PPM + PPM, "jump", f"market {market}: {before} -> {price}")
            self.largest_jump_ppm = max(self.largest_jump_ppm, moved * PPM // before)
        earlier = self.ticks[-1][1] if self.ticks else []
        self.signed = [price or before for price, before in zip_longest(said, self.signed, fillvalue=0)]
        self.tick_queued = step.tag == constants.FORCED_TICK
        last = self.ticks[-1][0] if self.ticks else 0
        elapsed = min(step.time - last, constants.TICK_GAP)
        prices = list(said)
        known = [*earlier, *[0] * len(said)]
        none = {market for market, price in enumerate(said) if price == 0}
        self.unpriced = none | self.without | {market for market in range(len(said)) if known[market] == 0}
        self.without = none
        for market, price in enumerate(said):
            if market in self.over:
                prices[market] = self.over[market]
                continue
            if price == 0 and market in self.named:
                prices[market] = 0
                self.accepted["misnamed"] += 1
                continue
            if price == 0:
                prices[market] = earlier[market]
                status = self.ledger.globals.markets[market].status
                self.claim(status not in (0, constants.MARKET_OPEN), "set aside", f"market {market}: {status}")
                self.accepted["set_aside"] += 1
                continue
            self.index[market] += self.rate(market, step.premiums[market]) * price * elapsed // constants.HOUR
        self.claim(self.index == risk.funding_index, "funding index", f"{risk.funding_index}")
        if last and step.time - last > constants.TICK_GAP:
            self.grace_until = step.time + self.ledger.globals.grace_period
        if step.time // constants.HOUR != last // constants.HOUR:
            self.hour_grown.clear()
            self.hour_unwound.clear()
            self.hour_paid.clear()
        medians = list(prices)
        for market, earliest in list(self.settling.items()):
            mean = self._hour_mean(market, earliest, last)
            if step.time > ceil(last, 3_600_000) * 3_600_000 and mean is not None:
                del self.settling[market]
                self.over[market] = prices[market] = mean
                self.accepted["settlement"] += 1
        self.medians.append((step.time, medians))
        for market, earliest in self.settling.items():
            mean = self._hour_mean(market, earliest, step.time, to_come=True)
            prices[market] = prices[market] if mean is None else mean
            self.accepted["mean_to_come"] += mean is not None
        self.ticks.append((step.time, prices))
        self.claim(prices == risk.price[: self.market_count], "price", f"{risk.price} not {prices}")
        statuses = [self.ledger.globals.markets[market].status for market in range(self.market_count)]
        if self.still_owed > 0:
            self._collect(0)
        over = {market for market, status in enumerate(statuses) if status == constants.MARKET_SETTLED}
        self.claim(over == set(self.over), "settlement", f"{over} not {self.over}")
        return set()

    def _hour_mean(self, market: int, earliest: int, last: int, to_come: bool = False) -> int | None:
        """The mean over the hour of the clock in which the last tick stands, each price for as long as it lasted.

        To come: as if the price of the last tick stood until the hour is over.
        """
        begin = (ceil(last, 3_600_000) - 1) * 3_600_000
        counted = [
            (prices[market], min(at - max(before, begin), 60_000))
            for (before, _), (at, prices) in pairwise(self.medians)
            if at > begin
        ]
        if to_come:
            counted.append((self.medians[-1][1][market], begin + 3_600_000 - last))
        total = sum(lasted for _, lasted in counted)
        if begin < earliest or total < 45 * 60_000:
            return None
        return sum(price * lasted for price, lasted in counted) // total

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

    def at_rest(self) -> None:
        """After the rescue pass: whoever is below zero, nobody may help any more, by this module's own reading.

        For every account with E < 0 at judged prices: at each of `probe_lots`, its largest position is more than its
        fund may take over, and whoever is opposite in any market is below zero too. `left` counts who stays below
        zero although all that is true, and why a stronger law could do more.
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
                        told = f"account {number}: {other} may take lots of {market}"
                        self.claim(self.read(held, self.prices).equity < 0, "left below zero", told)

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
        every = self.read(taking, self.prices)
        fund = max(every.equity, 0)
        held = taking.positions[market].size
        grown = max(abs(held + closed) - abs(held), 0)
        ppm = self.ledger.globals.risk.initial_ppm[market]
        initial = every.initial + self.needed_change(ppm, self.prices[market], taking.positions[market].size, -closed)
        if grown == 0 and premium <= 0:
            return True
        stands = max(self.hour_grown[market] + grown * self.prices[market], abs(held + closed) * self.prices[market])
        return (
            (grown == 0 or stands <= 10 * fund)
            and (self.hour_paid[market] + max(premium, 0)) * 4 <= fund
            and every.equity - premium >= initial
        )


def _same_money(before: containers.Account | None, row: containers.Account) -> bool:
    if before is None:
        return all_money(row) == 0 and not any(position.size for position in row.positions)
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
