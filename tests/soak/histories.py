"""Random histories for the margin campaign: a venue on the Python law alone, and what its crowd and operator try."""

from math import copysign
from typing import Final

from prover.stf import codes, constants, containers, margin
from tests.soak.ledger import AGENTS
from tests.soak.rescuing import Rescuing
from tests.twins import venue as twins_venue

OWNERS: Final = twins_venue.OWNERS[1:7]
# Long enough that a rescue pass which still moves something is broken, not slow.
MAX_PASS: Final = 400
# Of a price between two ticks.
MOST_JUMP: Final = 0.4


class History(Rescuing):
    """One history from one seed: build leverage, let prices jump, rescue, and bring it to rest."""

    def run(self, events: int = 40) -> None:
        """The whole history up to the rescue pass, after which nothing more can be rescued."""
        self.begin()
        ends_at = self.rng.randrange(events // 2) if self.has_life else events
        for number in range(events):
            if number == ends_at:
                self.market_life()
            self.event()
        self.rest()

    def begin(self) -> None:
        """Steady ticks, deposits of the crowd and of funds, and the first positions."""
        rng = self.rng
        for _ in range(3):
            self.tick(self.prices)
        for _ in range(rng.randrange(8, 11)):
            amount = round(10 ** rng.uniform(9, 10.7))
            self.deposit(rng.choice(OWNERS), constants.NEW_ACCOUNT, amount)
        # One deep account can stand against most others.
        self.deposit(rng.choice(OWNERS), constants.NEW_ACCOUNT, 10**12)
        # In three of ten histories all funds are poor: what grows to many times a fund is more than it may take over.
        least, most = (8.5, 9.5) if rng.random() < 0.3 else (9.5, 11.5)
        for market in range(self.market_count):
            # Without a fund nothing grows on credit.
            if rng.random() < 0.95:
                self.deposit(OWNERS[0], market + 1, round(10 ** rng.uniform(least, most)))
        for _ in range(rng.randrange(7, 12)):
            self.trade()

    def event(self) -> None:
        """Something of everything, at random."""
        rng = self.rng
        self.tick([self.moved(price, rng.uniform(-0.004, 0.004)) for price in self.prices])
        draw = rng.random()
        if draw < 0.42:
            self.jump()
        elif draw < 0.50:
            gaps = [60_000, 65_000, 900_000, constants.HOUR, constants.EPOCH, 2 * constants.EPOCH]
            self.gap(rng.choice([*gaps, 2 * constants.PRICES_GONE]))
        elif draw < 0.62:
            self.trade()
        elif draw < 0.68:
            self.close_some()
        elif draw < 0.76:
            self.take_out()
        elif draw < 0.83:
            self.settings()
        elif draw < 0.93:
            self.force()
        else:
            entry = rng.choice([*range(1, self.market_count + 1), self.somebody(), constants.NEW_ACCOUNT, 60])
            self.deposit(self.ledger.account(entry).owner, entry, round(10 ** rng.uniform(6, 10)))
        self.rescue_some()
        self.step_on()

    def jump(self) -> None:
        """Prices jump, one of them so that some account comes to a chosen E/MM, and stay there for another tick."""
        rng = self.rng
        prices = list(self.prices)
        if rng.random() < 0.2:
            market = rng.randrange(self.market_count)
            share = rng.uniform(-MOST_JUMP, MOST_JUMP)
            # One of ten goes the whole way.
            share = copysign(MOST_JUMP, share) if abs(share) > 0.9 * MOST_JUMP else share
            prices[market] = self.moved(prices[market], share)
        index = self.holder()
        if index is not None:
            row = self.ledger.account(index)
            every = margin.sums(self.ledger.globals.risk, row, constants.MARKETS)
            equity = margin.collateral(row) + every.value
            market = self.largest_position(row)
            aim = rng.uniform(-0.6, 1.0) * every.maintenance
            share = (aim - equity) / (row.positions[market].size * prices[market])
            if abs(share) <= MOST_JUMP and prices[market] == self.prices[market]:
                prices[market] = self.moved(prices[market], share)
        self.tick(prices)
        if rng.random() < 0.15:
            self.rescue_some()
        self.tick([self.moved(price, rng.uniform(-0.0005, 0.0005)) for price in prices])

    def close_against_debtor(self) -> None:
        """Whoever stands opposite somebody below zero closes before anybody is rescued, against just him."""
        ledger = self.ledger
        risk = ledger.globals.risk
        found: list[tuple[int, int, int, int, int]] = []
        for debtor in self.holders():
            row, _ = margin.settle(risk, ledger.account(debtor), ledger.now)
            if margin.equity(risk, row) >= 0:
                continue
            for market in self.unsettled():
                size = row.positions[market].size
                # A fund that may take the lots comes first: mostly it is too small for many of them.
                fund = max(margin.collateral(ledger.account(market + 1)), 1)
                for index in self.holders():
                    held = ledger.account(index).positions[market].size
                    if held * size < 0:
                        lots = min(abs(size), abs(held))
                        found.append((lots * self.prices[market] * 1_000 // fund, debtor, market, index, lots))
        if found:
            _, debtor, market, index, lots = max(found)
            entry = containers.Entry(
                sender=ledger.account(index).owner,
                time=ledger.now - 60_000,
                account=index,
                market=market,
                amount=lots,
                limit=0,
                agent=AGENTS[2],
                agent_index=0,
                expires_at=0,
                first_slot=0,
                last_slot=0,
            )
            ledger.enter(constants.FORCED_CLOSE, entry)
            ledger.rescue(constants.CLOSE_STEP, containers.Rescue(0, market, index, debtor, lots))

    def gap(self, length: int) -> None:
        """Ticks stop for a while; somebody tries what silence and the grace forbid; then they are steady again."""
        silence = self.rng.choice([0, 0, 20_001, 50_000, constants.FORCED_PRICE_AGE + 1, constants.HEAD_PATIENCE + 1])
        if length > constants.PRICES_GONE:
            silence = self.rng.choice([constants.PRICES_GONE, constants.PRICES_GONE + 1])
        if 0 < silence < length:
            self.ledger.open(self.next_tick + silence)
            if self.rng.random() < 0.7:
                # Somebody's entry about nobody, by whose time a head has waited.
                self.ledger.enter(constants.LEAVE, self.nothing())
            self.step_on()
            self.force()
        self.tick([self.moved(price, self.rng.uniform(-0.02, 0.02)) for price in self.prices], length)
        self.rng.choice([self.trade, self.take_out, self.rescue_some, self.force])()
        for _ in range(3):
            self.tick(self.prices)

    def nothing(self) -> containers.Entry:
        """A stranger would leave with the fee account."""
        return containers.Entry(AGENTS[0], self.ledger.now, 0, 0, 0, 0, containers.NOBODY, 0, 0, 0, 0)

    def force(self) -> None:
        """Something by the queue of L1, mostly by whom it is for, and mostly at a young price."""
        rng = self.rng
        held = self.holders()
        index = rng.choice(held) if held and rng.random() < 0.8 else self.somebody()
        row = self.ledger.account(index)
        # Mostly from before the last tick: nodes take entries when they are final.
        time = self.ledger.now + rng.choice([0, 0, -1, *[-60_000] * 8])
        if rng.random() < 0.05:
            self.enter_rescue(index)
            return
        market = rng.choice([m for m in self.unsettled() if row.positions[m].size] or [0])
        amount = abs(row.positions[market].size) * rng.choice([1, 1, 2]) // rng.choice([1, 1, 3])
        tag = rng.choice([constants.FORCED_WITHDRAW, constants.FORCED_CLOSE, constants.LEAVE, constants.FORCED_AGENT])
        if tag == constants.FORCED_WITHDRAW:
            amount = rng.choice([constants.EVERYTHING, max(0, row.settled), max(0, row.settled) // 2, 1])
        entry = containers.Entry(
            sender=AGENTS[0] if rng.random() < 0.03 else row.owner,
            time=time,
            account=index,
            market=market,
            amount=amount,
            limit=rng.choice([0, 0, 1, round(self.prices[market] * rng.uniform(0.9, 1.1)), 2**48 - 1]),
            agent=AGENTS[2],
            agent_index=rng.randrange(2),
            expires_at=self.ledger.now + constants.EPOCH,
            first_slot=0,
            last_slot=150,
        )
        self.ledger.enter(tag, entry)
        self.step_on()

    def step_on(self) -> None:
        """The operator goes on with a forced close: against the fund, or whoever is opposite."""
        rng = self.rng
        for _ in range(6):
            head = self.ledger.head
            if head is None:
                return
            index, market, lots = head
            sizes = [position.size for position in self.ledger.account(index).positions]
            if market == constants.MARKETS:
                market = rng.choice([m for m in self.unsettled() if sizes[m]] or [0])
                lots = abs(sizes[market])
            lots = max(1, rng.choice([lots, lots, lots, lots // 2, lots + 1]))
            opposite = [o for o in self.holders() if self.ledger.account(o).positions[market].size * sizes[market] < 0]
            owing = [o for o in opposite if margin.equity(self.ledger.globals.risk, self.ledger.account(o)) < 0]
            other = rng.choice([market + 1, market + 1, *opposite[:3], *owing * 3, self.somebody()])
            if other != market + 1:
                lots = min(lots, abs(self.ledger.account(other).positions[market].size) or 1)
            self.ledger.rescue(constants.CLOSE_STEP, containers.Rescue(0, market, index, other, lots))

    def market_life(self) -> None:
        """One market is listed, another comes to its end: reduce-only, a month later an hour of settling, then over."""
        rng = self.rng
        ledger = self.ledger
        if self.market_count < 5:
            self.change(self.market_count, constants.MARKET_OPEN)
        market = max(self.unsettled(), key=lambda m: ledger.globals.markets[m].open_interest * self.prices[m])
        self.change(market, constants.MARKET_REDUCE_ONLY)
        if ledger.globals.market_count > self.market_count:
            named = ledger.globals.markets[self.market_count].previous_price
            self.market_count += 1
            kept = self.prices
            if rng.random() < 0.5:
                # Wrong by a unit, in the listing or in the reports.
                self.tick([*kept, rng.choice([4 * named + 1, -(-named // 4) - 1])])
            self.prices = [*kept, rng.choice([4 * named, -(-named // 4), round(named * rng.uniform(0.3, 3))])]
        self.tick(self.prices)
        self.trade()
        self.close_some()
        self.rescue_some()
        self.step_on()
        # Too soon, and then not.
        self.change(market, constants.MARKET_SETTLING)
        self.tick(self.prices, constants.PARAMETER_PERIOD)
        self.finish_head()
        if self.change(market, constants.MARKET_SETTLING) != codes.OK:
            return
        # Three quarters of the first full hour that begins an hour later, give or take a minute, or the next one.
        for _ in range(20):
            if ledger.globals.markets[market].status != constants.MARKET_SETTLING:
                break
            last = ledger.globals.tick_time
            begin = -(-(max(last, ledger.globals.markets[market].changed_at + constants.HOUR)) // constants.HOUR)
            self.tick(self.prices, begin * constants.HOUR - last + rng.choice([0, 30_000]))
            for _ in range(rng.choice([44, 46, 46])):
                self.tick([self.moved(price, rng.uniform(-0.003, 0.003)) for price in self.prices], 60_000)
            end = (begin + 1) * constants.HOUR
            self.tick(self.prices, end - ledger.globals.tick_time + constants.TICK_STEP)
        self.change(market, constants.MARKET_OPEN)
        # Its fund goes home: to the first market that is not over, and to no other one.
        for home in self.unsettled()[::-1]:
            ledger.enter_rescue(ledger.now, containers.Rescue(0, home, market + 1, 0, 1))
        for _ in range(3):
            self.tick(self.prices)
        # One market has no price for a while, which stops no other.
        if len(left := self.unsettled()) > 1:
            kept = self.prices
            for _ in range(3):
                self.tick([0 if each == left[-1] else price for each, price in enumerate(kept)])
            self.tick(kept)

    def finish_head(self) -> None:
        """A forced close that is under way is brought to its end, as far as it has one, at steady ticks."""
        for _ in range(8):
            if self.ledger.head is None:
                return
            self.tick(self.prices)
            self.step_on()

    def change(self, market: int, status: int) -> int:
        """The governor gives a market a status, its parameters as they are or a little off."""
        globals = self.ledger.globals
        like = 0 if market == self.market_count else market
        listed = globals.markets[like]
        given = containers.Parameters(
            market=market,
            status=status,
            label=listed.label,
            initial_ppm=globals.risk.initial_ppm[like],
            maintenance_ppm=globals.risk.maintenance_ppm[like],
            maker_fee_ppm=listed.maker_fee_ppm,
            taker_fee_ppm=listed.taker_fee_ppm + self.rng.choice([0, 100, 101]),
            band_ppm=listed.band_ppm,
            unwind_band_ppm=listed.unwind_band_ppm,
            **twins_venue.terms_of(listed),
            minimum_notional=listed.minimum_notional,
            price=round(10 ** self.rng.uniform(3.9, 6)) if market == self.market_count else 0,
            interest_lower=listed.interest_lower,
            interest_upper=listed.interest_upper,
        )
        return self.ledger.set_market(given)

    def rest(self) -> None:
        """A last jump, steady ticks without premium until no grace is left, then rescues to a fixed point.

        Whoever is left without a position is called at last, and what is over becomes money.
        """
        none = [0] * self.market_count
        self.finish_head()
        self.jump()
        self.tick(self.prices)
        self.close_against_debtor()
        self.finish_head()
        for _ in range(7):
            self.tick(self.prices, premiums=none)
        for _ in range(MAX_PASS):
            rescued = [self.rescue_fully(index) for index in self.holders()]
            if not any(rescued):
                break
        else:
            raise AssertionError("the rescue pass comes to no fixed point")
        for index in self.idle():
            self.wind_up(index)
