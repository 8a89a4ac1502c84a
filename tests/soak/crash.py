"""A real crash: the BTC minutes of January 2022 through the engine and its liquidator, beside full liquidation.

BTC is recorded (CATENARY_MARKET_DATA: the folder of the series, or the file itself). ETH and SOL are made from it: each
step is beta times the step of BTC and noise, beta and noise drawn from the seed; they are no market data. A minute is
walked in three ticks of the grid through its recorded prices, the extreme against its direction, the other one, the
close: nothing is interpolated, and a minute of the market is fifteen seconds of the venue. The law's hourly caps are
therefore four times as tight. Premiums are zero, so that nothing is paid but by price.

Accounts enter in pairs at random moments and do nothing afterwards. Makers quote anew before every tick around the
price that it brings, as those do who watch the market outside, wider and thinner after a large move.

Full liquidation is a model of accounts outside the engine, whose law has none: judged by the same rule, an account
below maintenance sells everything into the same ladder, best price first; what the ladder does not take waits for the
next tick; below zero it is closed at the oracle price and its market's fund pays while it can. `full_like_for_like`
keeps the law's limits of price, pays its fee and is taken over below close-out, so that only the number of lots
differs; `full_for_free` sells at any price and pays nothing, which flatters it.

What a liquidation takes is counted at the prices at which it is judged, moves of the market aside: once for the first
one of every account, up to the rescue that leaves it healthy, and once for all of the path. Equity at the end is told
beside it and is another question: whoever is liquidated gently is still in the market, and what the market does to him
later is in that figure.
"""

import csv
import gzip
import io
import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from prover.standing import judged_by_rescue
from prover.state.trial import decide_rescue, next_chunk
from prover.stf import codes, constants, containers, encoding, margin
from sequencer.engine.post_mortem import DELEVERAGING, LIQUIDATION, TAKE_OVER, UNWINDING, PostMortem
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    ETH,
    FIRST,
    SELL,
    SOL,
    World,
    check_conservation,
    deposit,
    owner,
)
from tests.soak.rescuing import probe_lots

SERIES: Final = "btc-perp-1m-2022-01.csv.gz"
MARKETS: Final = (BTC, ETH, SOL)
TICKS_OF_A_MINUTE: Final = 3
PPB: Final = 1_000_000_000
# Ticks at the first minute: 3,000 dollars of ETH and 150 of SOL.
_STARTS: Final = (300_000, 1_500_000)
# Beta in thousandths and the most noise of a tick, both ends of what is drawn.
_BETAS: Final = ((1_050, 1_400), (1_200, 1_900))
_NOISES_PPM: Final = ((100, 300), (200, 600))
# Half of the spread in a calm market, and where the levels of a ladder stand, in halves of the spread.
_HALF_SPREAD_PPM: Final = (200, 250, 500)
_LEVELS: Final = (1, 4, 12)
# Dollars of a level for each account of the venue: one to six percent of a market's open interest together.
_DEPTH_DOLLARS: Final = (64, 128, 256)
_MAKERS: Final = 2
# Above the least notional of every market.
_LEAST_QUOTE: Final = 20 * DOLLAR
_MAKER_DOLLARS: Final = 50_000_000
_AUDIT_EVERY: Final = 600
_REST_TICKS: Final = 40
_UNTIL: Final = 600_000


class Scene(NamedTuple):
    """Insurance of a market in dollars for each account of the venue, and by what depth is divided."""

    fund_dollars: int
    thinness: int


# A twenty-fifth of the interest that an account opens in a market, some 6,000 dollars, is the least that stands for it.
SCENES: Final = {"ample": Scene(1_000, 1), "scarce": Scene(250, 16)}

Prices = tuple[int, int, int]
Ladder = list[tuple[int, int]]


class Minute(NamedTuple):
    """A recorded minute, prices in ticks of BTC (a tenth of a dollar)."""

    time: str
    open: int
    high: int
    low: int
    close: int


class NoSeries(SystemExit):
    """The recording is not there."""


def series_path() -> Path:
    """Where the recording is; NoSeries where CATENARY_MARKET_DATA does not say."""
    named = Path(os.environ.get("CATENARY_MARKET_DATA", ""))
    path = named if named.is_file() else named / SERIES
    if not path.is_file():
        raise NoSeries(f"CATENARY_MARKET_DATA names no folder with {SERIES}, nor the file: there is no crash to walk")
    return path


def read_minutes(path: Path) -> list[Minute]:
    """All rows of the recording."""
    with gzip.open(path) as packed:
        rows = csv.DictReader(io.StringIO(packed.read().decode()))
        columns = ("open", "high", "low", "close")
        return [Minute(row["timestamp"], *(int(Decimal(row[column]) * 10) for column in columns)) for row in rows]


def deepest(minutes: list[Minute], hours: int) -> list[Minute]:
    """The window of so many hours in which the price fell most; everything for 0 hours."""
    span = hours * 60
    if span == 0 or span >= len(minutes):
        return minutes
    starts = range(len(minutes) - span)
    begin = min(starts, key=lambda at: minutes[at + span].close * PPB // minutes[at].close)
    return minutes[begin : begin + span + 1]


def walked(minutes: list[Minute]) -> list[int]:
    """Three BTC prices a minute."""
    path: list[int] = []
    for minute in minutes:
        against, along = (minute.low, minute.high) if minute.close >= minute.open else (minute.high, minute.low)
        path += [against, along, minute.close]
    return path


class Derivation(NamedTuple):
    """How a market follows BTC: thousandths, and ppm of noise a tick at most."""

    beta_milli: int
    noise_ppm: int


def derivations(seed: int) -> tuple[Derivation, ...]:
    """What the seed says of ETH and SOL."""
    random = Random(f"{seed}/derivation")
    return tuple(
        Derivation(random.randint(*betas), random.randint(*noises))
        for betas, noises in zip(_BETAS, _NOISES_PPM, strict=True)
    )


def derived(path: list[int], seed: int) -> list[Prices]:
    """BTC with ETH and SOL beside it, ticks; integers throughout."""
    random = Random(f"{seed}/noise")
    rules = derivations(seed)
    # A millionth of a tick is kept, so that rounding brings no drift.
    scaled = [start * constants.PPM for start in _STARTS]
    found: list[Prices] = []
    for before, now in zip([path[0], *path], path, strict=False):
        step_ppb = (now - before) * PPB // before
        for place, rule in enumerate(rules):
            noise_ppb = 1_000 * random.randint(-rule.noise_ppm, rule.noise_ppm)
            growth = PPB + rule.beta_milli * step_ppb // 1_000 + noise_ppb
            scaled[place] = max(constants.PPM, scaled[place] * growth // PPB)
        found.append((now, scaled[0] // constants.PPM, scaled[1] // constants.PPM))
    return found


def ladder(market: int, price: int, moved_ppm: int, dollars: int) -> tuple[Ladder, Ladder]:
    """A maker's bids and asks, the best first; a move makes them wider, and one of a thousandth halves them."""
    half = max(_HALF_SPREAD_PPM[market], moved_ppm // 8)
    bids: Ladder = []
    asks: Ladder = []
    for level, depth in zip(_LEVELS, _DEPTH_DOLLARS, strict=True):
        thinned = depth * dollars * DOLLAR * 1_000 // (1_000 + moved_ppm)
        lots = max(thinned, _LEAST_QUOTE) // price
        away = price * half * level // constants.PPM + 1
        bids.append((price - away, lots))
        asks.append((price + away, lots))
    return bids, asks


class Pair(NamedTuple):
    """Two accounts that enter against each other: legs of (market, signed dollars of the first one)."""

    first: int
    enters: int
    legs: list[tuple[int, int]]


class Full:
    """Full-account liquidation of the same accounts on the same path, by accounting alone."""

    def __init__(self, funds: list[int], is_like_for_like: bool) -> None:
        self.is_like_for_like = is_like_for_like
        self.money: dict[int, int] = {}
        self.held: dict[int, dict[int, tuple[int, int]]] = {}
        self.funds = funds
        self.first_equity: dict[int, int] = {}
        self.closing: set[int] = set()
        self.counts: Counter[str] = Counter()
        self.taken: Counter[int] = Counter()

    def enter(self, index: int, row: containers.Account) -> None:
        """An account as the engine has it when its positions are opened."""
        self.money[index] = margin.collateral(row)
        every = {market: encoding.unpack(row.positions[market]) for market in MARKETS}
        self.held[index] = {market: (held.size, held.cost) for market, held in every.items() if held.size}

    def equity(self, index: int, prices: Prices) -> int:
        """At given prices."""
        return self.money[index] + sum(
            size * prices[market] - cost for market, (size, cost) in self.held[index].items()
        )

    def maintenance(self, index: int, prices: Prices, maintenance_ppm: list[int]) -> int:
        """At given prices."""
        held = self.held[index]
        return sum(margin.requirement(prices[market], held[market][0], maintenance_ppm[market]) for market in held)

    def is_closing(self) -> bool:
        """Whether anybody is still being sold out."""
        return any(self.held[index] for index in self.closing)

    def judged(self, index: int, previous: Prices, prices: Prices) -> Prices:
        """The better of the last two prices of each position, as the law judges."""
        found = list(prices)
        for market, (size, _) in self.held[index].items():
            found[market] = (max if size > 0 else min)(previous[market], prices[market])
        return found[0], found[1], found[2]

    def tick(
        self, previous: Prices, prices: Prices, ladders: list[tuple[Ladder, Ladder]], maintenance_ppm: list[int]
    ) -> None:
        """Sells out whoever is below maintenance, the worst first."""
        left = [([*bids] * _MAKERS, [*asks] * _MAKERS) for bids, asks in ladders]
        for bids, asks in left:
            bids.sort(reverse=True)
            asks.sort()
        due: list[tuple[int, int]] = []
        for index, held in self.held.items():
            if not held:
                continue
            at = self.judged(index, previous, prices)
            equity = self.equity(index, at)
            needed = self.maintenance(index, at, maintenance_ppm)
            if index in self.closing or equity < needed:
                due.append((equity * PPB // needed, index))
            if index not in self.closing and equity < needed:
                self.first_equity[index] = equity
                self.closing.add(index)
        for _, index in sorted(due):
            self._close(index, self.judged(index, previous, prices), prices, left, maintenance_ppm)

    def _close(
        self,
        index: int,
        judged: Prices,
        prices: Prices,
        left: list[tuple[Ladder, Ladder]],
        maintenance_ppm: list[int],
    ) -> None:
        held = self.held[index]
        before = self.equity(index, judged)
        if before >= 0:
            for market in sorted(held, key=lambda market: -abs(held[market][0]) * prices[market]):
                self._sell(index, market, left[market][0 if held[market][0] > 0 else 1], judged, maintenance_ppm)
        after = self.equity(index, judged)
        needed = self.maintenance(index, judged, maintenance_ppm)
        if after < 0 or (self.is_like_for_like and held and after * 3 < needed * 2):
            self._cover(index, prices)
            after = 0
        self.taken[index] += max(before, 0) - after

    def _cover(self, index: int, prices: Prices) -> None:
        """The fund takes what is left at the zero price: the account keeps nothing."""
        held = self.held[index]
        market = max(held, key=lambda market: abs(held[market][0]) * prices[market], default=BTC)
        change = self.equity(index, prices)
        paid = min(-change, self.funds[market])
        self.funds[market] -= paid
        self.counts["fund_paid"] += max(paid, 0)
        self.counts["unpaid"] += max(-change - paid, 0)
        self.counts["take_overs"] += 1
        self.money[index] = 0
        held.clear()

    def _sell(self, index: int, market: int, side: Ladder, judged: Prices, maintenance_ppm: list[int]) -> None:
        while market in self.held[index] and side:
            size, cost = self.held[index][market]
            price, lots = side[0]
            closed = min(abs(size), lots)
            signed = closed if size > 0 else -closed
            fee = 0
            if self.is_like_for_like:
                allowed = self._fee(index, market, signed, price, judged, maintenance_ppm)
                if allowed is None:
                    return
                fee = allowed
            self.money[index] -= fee
            self.funds[market] += fee
            self.counts["fees"] += fee
            self.counts["liquidations"] += 1
            if closed == abs(size):
                self.money[index] -= cost - signed * price
                del self.held[index][market]
            else:
                self.held[index][market] = (size - signed, cost - signed * price)
            side[0] = (price, lots - closed)
            if closed == lots:
                side.pop(0)

    def _fee(
        self, index: int, market: int, signed: int, price: int, judged: Prices, maintenance_ppm: list[int]
    ) -> int | None:
        """The law's fee (PROTOCOL.md, rescue); None beyond its limits of price."""
        equity = self.equity(index, judged)
        needed = self.maintenance(index, judged, maintenance_ppm)
        size, ppm = self.held[index][market][0], maintenance_ppm[market]
        freed = margin.requirement(judged[market], size, ppm) - margin.requirement(judged[market], size - signed, ppm)
        gain = signed * (price - judged[market])
        if (equity + gain) * needed < equity * (needed - freed):
            return None
        # An account that is healthy again is sold on: the second limit would ask for more than the oracle price.
        allowance = abs(signed) * judged[market] * 3 * ppm * (needed - equity)
        if equity < needed and gain * 2 * constants.PPM * needed + allowance < 0:
            return None
        improvement = equity + gain - margin.ceil_div(equity * (needed - freed), needed)
        share = abs(signed) * price * ppm // constants.PPM * constants.LIQUIDATION_FEE_PPM // constants.PPM
        return max(min(share, improvement), 0)


class Crash:
    """The venue on the path: accounts, makers, funds, and what its rescues came to."""

    def __init__(self, accounts: int, seed: int, path: list[Prices], scene: Scene) -> None:
        self.path = path
        self.scene = scene
        self.random = Random(f"{seed}/accounts")
        self.accounts = accounts + accounts % 2
        self.world = World(funds=False)
        self.fund = self.accounts * scene.fund_dollars * DOLLAR
        self.full = [Full([self.fund] * len(MARKETS), is_like_for_like) for is_like_for_like in (True, False)]
        self.counts: Counter[str] = Counter()
        # Of each liquidated account: equity before its first rescue, and whether it has been healthy since.
        self.first_equity: dict[int, int] = {}
        self.healed: set[int] = set()
        self.first_taken: Counter[int] = Counter()
        self.taken: Counter[int] = Counter()
        self.deleveraged: set[int] = set()
        self.broken: list[str] = []
        self.pairs = self._open()

    @property
    def traders(self) -> range:
        """The accounts that enter in pairs; makers stand behind them."""
        return range(FIRST, FIRST + self.accounts)

    def _open(self) -> list[Pair]:
        world, random = self.world, self.random
        initial = world.engine.globals.risk.initial_ppm
        pairs: list[Pair] = []
        for first in range(0, self.accounts, 2):
            legs: list[tuple[int, int]] = []
            for market in random.sample(MARKETS, random.choice((1, 1, 2, 3))):
                legs.append((market, random.choice((1, -1)) * round(10 ** random.uniform(3, 5))))
            pairs.append(Pair(first, random.randrange(2, max(3, len(self.path) * 8 // 10)), legs))
            notional = sum(abs(dollars) for _, dollars in legs)
            needed_ppm = sum(abs(dollars) * initial[market] for market, dollars in legs) // notional
            for trader in (first, first + 1):
                # From three times to nine tenths of what the initial requirement allows, each side on its own.
                leverage = 3 * (0.9 * constants.PPM / needed_ppm / 3) ** random.random()
                self._deposit(trader, round(notional * DOLLAR / leverage))
        for maker in range(_MAKERS):
            self._deposit(self.accounts + maker, _MAKER_DOLLARS * DOLLAR)
        for market in MARKETS:
            self._deposit(self.accounts + _MAKERS, self.fund, market + 1)
        return sorted(pairs, key=lambda pair: pair.enters)

    def _deposit(self, trader: int, amount: int, account: int = constants.NEW_ACCOUNT) -> None:
        assert self.world.process(deposit(owner(trader), amount, account)).code == codes.OK

    def run(self) -> None:
        """The whole path, then ticks at its last price until nothing moves."""
        previous = self.path[0]
        self._tick(previous, previous)
        waiting = self.pairs[::-1]
        for place, prices in enumerate(self.path):
            self._tick(previous, prices)
            while waiting and waiting[-1].enters <= place:
                self._enter(waiting.pop(), prices)
            previous = prices
            if place % _AUDIT_EVERY == 0:
                self._audit(place)
        for _ in range(_REST_TICKS):
            if not self._tick(previous, previous) and not any(full.is_closing() for full in self.full):
                break
        self._audit(len(self.path))
        self._at_rest()

    def _tick(self, previous: Prices, prices: Prices) -> list[PostMortem]:
        world = self.world
        moves = [abs(now - before) * constants.PPM // before for before, now in zip(previous, prices, strict=True)]
        dollars = self.accounts // (_MAKERS * self.scene.thinness)
        ladders = [ladder(market, prices[market], moves[market], dollars) for market in MARKETS]
        if world.engine.globals.tick_time:
            self._quote(previous, prices, ladders)
        world.seal()
        outcome = world.tick(prices)
        assert outcome.code == codes.OK
        world.sealed.clear()
        for record in outcome.rescues:
            self._note(record)
        clock = world.engine.view.clock()
        if clock.steady and not clock.grace:
            for full in self.full:
                full.tick(previous, prices, ladders, world.engine.globals.risk.maintenance_ppm)
        return outcome.rescues

    def _quote(self, previous: Prices, prices: Prices, ladders: list[tuple[Ladder, Ladder]]) -> None:
        world = self.world
        for market in MARKETS:
            # The side that gives way moves first, so that no maker meets another's old quote.
            sides = (BUY, SELL) if prices[market] < previous[market] else (SELL, BUY)
            for side in sides:
                for maker in range(_MAKERS):
                    for level, (price, lots) in enumerate(ladders[market][side == SELL]):
                        slot = 1 + market * 2 * len(_LEVELS) + side * len(_LEVELS) + level
                        until = world.now + _UNTIL
                        outcome = world.order(
                            self.accounts + maker, side, price, lots, market=market, slot=slot, expires_at=until
                        )
                        self.counts[f"quote {outcome.status or codes.SENTENCE[outcome.code][0]}"] += 1

    def _enter(self, pair: Pair, prices: Prices) -> None:
        world = self.world
        for place, (market, dollars) in enumerate(pair.legs):
            price = prices[market]
            lots = abs(dollars) * DOLLAR // price
            side = BUY if dollars > 0 else SELL
            for trader, taken in ((pair.first, side), (pair.first + 1, 1 - side)):
                outcome = world.order(trader, taken, price, lots, market=market, slot=1 + place)
                self.counts[f"entry {outcome.status or codes.SENTENCE[outcome.code][0]}"] += 1
        for trader in (pair.first, pair.first + 1):
            for full in self.full:
                full.enter(FIRST + trader, world.engine.account(FIRST + trader))

    def _note(self, record: PostMortem) -> None:
        self.counts[record.kind] += 1
        self.counts[f"{record.kind} lots"] += record.lots
        if record.kind == UNWINDING:
            return
        self.counts["fund_paid"] += record.paid_by_fund_micros
        self.counts["fees"] += record.fee_micros
        if record.kind == DELEVERAGING:
            self.deleveraged.add(record.counterparty)
        index = record.account
        took = max(record.equity_before_micros, 0) - max(record.equity_after_micros, 0)
        self.taken[index] += took
        self.first_equity.setdefault(index, record.equity_before_micros)
        if index not in self.healed:
            self.first_taken[index] += took
        if record.equity_after_micros >= record.maintenance_after_micros:
            self.healed.add(index)

    def _audit(self, place: int) -> None:
        try:
            check_conservation(self.world.engine)
        except AssertionError as error:
            self.broken.append(f"conservation after tick {place}: {str(error)[:200]}")

    def equity(self, index: int) -> int:
        """Of an account as the engine has it, at the last prices."""
        engine = self.world.engine
        return judged_by_rescue(engine.globals, engine.account(index), self.world.now).equity

    def _at_rest(self) -> None:
        """Nobody is below zero whom the law lets his fund or anybody opposite still help."""
        engine = self.world.engine
        for index in self.traders:
            equity = self.equity(index)
            if equity >= 0:
                continue
            self.counts["below_zero"] += 1
            self.counts["below_zero micros"] -= equity
            for tag, move in self._helps(index):
                if decide_rescue(next_chunk(engine.view, self.world.now), tag, move).code == codes.OK:
                    told = f"{tag} of {move.lots} lots in market {move.market} with {move.other} is possible"
                    self.broken.append(f"account {index} is left at {equity}: {told}")
                    break

    def _helps(self, index: int) -> Iterator[tuple[int, containers.Rescue]]:
        engine = self.world.engine
        for market in MARKETS:
            size = self._size(index, market)
            if size == 0:
                continue
            for lots in probe_lots(abs(size)):
                yield constants.TAKE_OVER, containers.Rescue(maker=0, market=market, account=index, other=0, lots=lots)
            for other in range(FIRST, engine.globals.next_account):
                theirs = self._size(other, market)
                if theirs * size < 0:
                    for lots in probe_lots(min(abs(size), abs(theirs))):
                        yield constants.DELEVERAGE, containers.Rescue(0, market, index, other, lots)

    def _size(self, index: int, market: int) -> int:
        return encoding.unpack(self.world.engine.account(index).positions[market]).size

    def summary(self) -> dict[str, Any]:
        """Both columns: gentle is the engine, and full liquidation in its two readings."""
        counts = self.counts
        equity = sum(max(value, 0) for value in self.first_equity.values())
        gentle = {
            "liquidated": len(self.first_equity),
            "liquidations": counts[LIQUIDATION],
            "take_overs": counts[TAKE_OVER],
            "deleveragings": counts[DELEVERAGING],
            "deleveraged_lots": counts[f"{DELEVERAGING} lots"],
            "deleveraged_accounts": len(self.deleveraged),
            "unwindings": counts[UNWINDING],
            **_kept(equity, self.first_taken.total()),
            "taken_on_all_of_the_path_micros": self.taken.total(),
            "equity_at_end_micros": sum(max(0, self.equity(index)) for index in self.first_equity),
            "fees_micros": counts["fees"],
            "insurance_used_micros": counts["fund_paid"],
            "below_zero_at_end": counts["below_zero"],
            "below_zero_at_end_micros": counts["below_zero micros"],
        }
        columns = dict(
            zip(("full_like_for_like", "full_for_free"), (self._full(full) for full in self.full), strict=True)
        )
        return {
            "fund_micros_of_a_market": self.fund,
            "depth_dollars_of_a_side": sum(_DEPTH_DOLLARS) * self.accounts // self.scene.thinness,
            "conservation_held": not any(line.startswith("conservation") for line in self.broken),
            "gentle": gentle,
            **columns,
        }

    def _full(self, full: Full) -> dict[str, Any]:
        last = self.path[-1]
        return {
            "liquidated": len(full.first_equity),
            "liquidations": full.counts["liquidations"],
            "take_overs": full.counts["take_overs"],
            **_kept(sum(max(value, 0) for value in full.first_equity.values()), full.taken.total()),
            "taken_on_all_of_the_path_micros": full.taken.total(),
            "equity_at_end_micros": sum(full.equity(index, last) for index in full.first_equity),
            "fees_micros": full.counts["fees"],
            "insurance_used_micros": full.counts["fund_paid"],
            "borne_by_nobody_micros": full.counts["unpaid"],
        }


def _kept(equity: int, taken: int) -> dict[str, int]:
    kept = equity - taken
    return {
        "equity_at_first_liquidation_micros": equity,
        "kept_micros": kept,
        "kept_ppm": kept * constants.PPM // max(equity, 1),
    }


def judged(name: str, told: dict[str, Any]) -> list[str]:
    """What of a scene's figures breaks the promise."""
    gentle, full = told["gentle"], told["full_like_for_like"]
    broken: list[str] = []
    # Shares of the equity at the first rescue: whoever recovers before anybody bids is liquidated in one column only.
    if gentle["liquidated"] and gentle["kept_ppm"] < full["kept_ppm"]:
        broken.append(f"{name}: gentle keeps {gentle['kept_ppm']} ppm of equity, full liquidation {full['kept_ppm']}")
    taken = "taken_on_all_of_the_path_micros"
    if gentle[taken] > full[taken]:
        broken.append(f"{name}: gentle takes {gentle[taken]} on all of the path, full liquidation {full[taken]}")
    return broken


def run(accounts: int, seed: int, hours: int = 48) -> tuple[dict[str, Any], list[str]]:
    """The deepest fall of so many hours (0: the whole month), once with ample and once with scarce money and books."""
    minutes = deepest(read_minutes(series_path()), hours)
    path = derived(walked(minutes), seed)
    summary, broken = walk(accounts, seed, path)
    rules = dict(zip(("ETH", "SOL"), derivations(seed), strict=True))
    return {
        "from": minutes[0].time,
        "to": minutes[-1].time,
        "ticks": len(path),
        "eth_and_sol": "derived from BTC by beta and noise, no market data",
        **{f"{name}_beta_milli": rule.beta_milli for name, rule in rules.items()},
        **{f"{name}_noise_ppm": rule.noise_ppm for name, rule in rules.items()},
        "change_ppm": [now * constants.PPM // was - constants.PPM for was, now in zip(path[0], path[-1], strict=True)],
        **summary,
    }, broken


def walk(accounts: int, seed: int, path: list[Prices]) -> tuple[dict[str, Any], list[str]]:
    """Every scene on one path."""
    scenes: dict[str, Any] = {}
    broken: list[str] = []
    for name, scene in SCENES.items():
        crash = Crash(accounts, seed, path, scene)
        crash.run()
        scenes[name] = crash.summary()
        broken += [f"{name}: {line}" for line in crash.broken] + judged(name, scenes[name])
    gentle = [told["gentle"] for told in scenes.values()]
    totals = {
        total: sum(told[total] for told in gentle)
        for total in ("liquidated", "liquidations", "take_overs", "deleveragings", "deleveraged_lots")
    }
    return {"scenes": scenes, "accounts": accounts + accounts % 2, **totals, "violations": len(broken)}, broken
