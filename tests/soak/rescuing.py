"""What the operator of a random history tries on the weakest accounts, and a rescue as large as the law takes it."""

from prover.state.trial import decide_rescue
from prover.stf import codes, constants, containers, margin
from tests.soak.crowd import Crowd
from tests.soak.ledger import FIRST


class Rescuing(Crowd):
    """Rescues at the edges of what is allowed, and of what is not."""

    def turnover_left(self, market: int) -> int:
        """Notional that a market's fund may still take in this hour."""
        globals = self.ledger.globals
        row, _ = margin.settle(globals.risk, self.ledger.account(market + 1), self.ledger.now)
        most = max(margin.equity(globals.risk, row), 0) * constants.TURNOVER_MULTIPLE
        held = abs(row.positions[market].size) * globals.risk.price[market]
        return most - max(globals.markets[market].turned_over % constants.UNWOUND, held)

    def enter_rescue(self, index: int) -> None:
        """A stranger has the fund rescue somebody, mostly as far as the law lets it."""
        rng = self.rng
        late = rng.choice([0, 0, 0, -1, -60_000])
        market = self.largest_position(self.ledger.account(index))
        lots = rng.choice([2**56 - 1, 2**56 - 1, 1, max(1, self.turnover_left(market) // self.prices[market])])
        self.ledger.enter_rescue(self.ledger.now + late, containers.Rescue(0, market, index, 0, lots))

    def maker_for(self, market: int, side: int, lots: int, price: int, other: int) -> int | None:
        """The place of a fresh maker order of whoever has most money, `other` aside, sometimes of anybody."""
        rows = self.ledger.rows
        able = [index for index in rows if index >= FIRST and index != other]
        if not able:
            return None
        index = max(able, key=lambda index: margin.collateral(rows[index]))
        if self.rng.random() < 0.2:
            index = self.rng.choice(able)
        return self.admit(self.order(index, market, side, max(1, lots), max(1, price)))

    def rescue_some(self) -> None:
        """The operator tries what may help the weakest accounts, and some of what may not."""
        rng = self.rng
        risk = self.ledger.globals.risk
        tried = 0
        for index in self.holders():
            row = self.ledger.account(index)
            every = margin.sums(risk, row, constants.MARKETS)
            equity = margin.collateral(row) + every.value
            if every.maintenance == 0 or (equity >= every.maintenance and rng.random() > 0.02):
                continue
            tried += 1
            if tried > 4:
                break
            if rng.random() < 0.08:
                choices = [self.enter_rescue]
            elif rng.random() < 0.15:
                choices = [self.liquidate, self.take_over, self.deleverage]
            elif equity < 0:
                choices = [self.take_over, self.deleverage, self.deleverage]
            elif equity * 3 < every.maintenance * 2:
                choices = [self.take_over, self.liquidate]
            else:
                choices = [self.liquidate]
            rng.choice(choices)(index)
        for index in self.idle():
            if rng.random() < 0.2:
                self.wind_up(index)
        for market in self.unsettled():
            if self.ledger.account(market + 1).positions[market].size and rng.random() < 0.5:
                rng.choice([self.unwind, self.reduce, self.call])(market)

    def liquidate(self, index: int) -> None:
        """About as many lots as are needed, at a price between the oracle's and the worst that the law allows."""
        rng = self.rng
        risk = self.ledger.globals.risk
        row, _ = margin.settle(risk, self.ledger.account(index), self.ledger.now)
        every = margin.sums(risk, row, constants.MARKETS)
        equity = margin.collateral(row) + every.value
        market = self.largest_position(row)
        size = row.positions[market].size
        oracle, maintenance_ppm = self.prices[market], risk.maintenance_ppm[market]
        ratio = max(0.0, equity / every.maintenance)
        worst = maintenance_ppm / constants.PPM * min(ratio, 1.5 * (1 - ratio))
        share = rng.choice([0.0, rng.uniform(0, 1), rng.uniform(0.9, 1.1), rng.uniform(-1, 0)]) * worst
        price = self.moved(oracle, -share if size > 0 else share)
        needed = margin.ceil_div(max(every.initial - equity, 1) * constants.PPM, oracle * risk.initial_ppm[market])
        needed += rng.choice([0, 0, 1, 2, needed // 10])
        lots = min(abs(size), rng.choice([needed, needed, max(1, needed // 2), abs(size)]))
        self.ledger.make_room(constants.ORDER, constants.LIQUIDATE)
        maker = self.maker_for(market, constants.BUY if size > 0 else constants.SELL, lots, price, index)
        if maker is not None:
            self.ledger.rescue(constants.LIQUIDATE, containers.Rescue(maker, 0, index, 0, lots))

    def wind_up(self, index: int) -> None:
        """Whoever may be left with nothing but a debt is called, by the operator or by a stranger."""
        positions = self.ledger.account(index).positions
        held = [market for market, position in enumerate(positions) if position.size]
        market = self.rng.choice(held or range(self.ledger.globals.market_count))
        move = containers.Rescue(0, market, index, 0, 0)
        if self.rng.random() < 0.5:
            self.ledger.rescue(constants.TAKE_OVER, move)
        else:
            self.ledger.enter_rescue(self.ledger.now, move)

    def lots_of(self, size: int) -> int:
        return self.rng.choice([abs(size), abs(size), max(1, abs(size) // 3), 1, abs(size) + 1])

    def take_over(self, index: int) -> None:
        """The fund takes some of the largest position, mostly no more than its money lets it turn over."""
        row = self.ledger.account(index)
        market = self.largest_position(row)
        if self.rng.random() < 0.05:
            market = self.rng.choice(self.unsettled())
        lots = self.lots_of(row.positions[market].size)
        if self.rng.random() < 0.7:
            lots = min(lots, max(1, self.turnover_left(market) // self.prices[market]))
        self.ledger.rescue(constants.TAKE_OVER, containers.Rescue(0, market, index, 0, lots))

    def deleverage(self, index: int) -> None:
        """Somebody opposite, mostly the one with the most profit, bears what the fund does not."""
        row = self.ledger.account(index)
        market = self.largest_position(row)
        size = row.positions[market].size
        opposite = [
            other for other in self.holders() if self.ledger.account(other).positions[market].size * size < 0
        ] or [self.somebody()]

        def profit(other: int) -> int:
            held = self.ledger.account(other).positions[market]
            return held.size * self.prices[market] - held.cost

        def equity(other: int) -> int:
            return margin.equity(self.ledger.globals.risk, self.ledger.account(other))

        drawn = self.rng.random()
        other = max(opposite, key=profit) if drawn < 0.6 else self.rng.choice(opposite)
        if drawn > 0.8:
            other = min(opposite, key=equity)
        held = abs(self.ledger.account(other).positions[market].size)
        lots = min(abs(size), held or 1) if self.rng.random() < 0.7 else self.lots_of(size)
        self.ledger.rescue(constants.DELEVERAGE, containers.Rescue(0, market, index, other, lots))

    def unwind(self, market: int) -> None:
        """The fund gives some of its position to a maker close to the oracle price."""
        rng = self.rng
        size = self.ledger.account(market + 1).positions[market].size
        price = self.moved(self.prices[market], rng.choice([0, 0, rng.uniform(-0.002, 0.002)]))
        lots = rng.choice([abs(size), max(1, abs(size) // 2), 1, abs(size) + 1])
        self.ledger.make_room(constants.ORDER, constants.UNWIND)
        maker = self.maker_for(market, constants.BUY if size > 0 else constants.SELL, lots, price, 0)
        if maker is not None:
            self.ledger.rescue(constants.UNWIND, containers.Rescue(maker, 0, 0, 0, lots))

    def reduce(self, market: int) -> None:
        """The fund gives somebody opposite about as many lots as bring it back to its requirement."""
        risk, index = self.ledger.globals.risk, market + 1
        row, _ = margin.settle(risk, self.ledger.account(index), self.ledger.now)
        size = row.positions[market].size
        most = max(margin.equity(risk, row), 0) * constants.PPM // (risk.initial_ppm[market] * self.prices[market])
        needed = abs(size) - most + self.rng.choice([-1, 0, 0, 1])
        rows = {other: self.ledger.account(other).positions[market].size for other in self.holders()}
        opposite = [other for other, held in rows.items() if held * size < 0]
        if opposite:
            other = max(opposite, key=lambda other: abs(rows[other]))
            lots = max(1, min(abs(size), abs(rows[other]), needed))
            self.ledger.rescue(constants.DELEVERAGE, containers.Rescue(0, market, index, other, lots))

    def call(self, market: int) -> None:
        """A stranger has a fund called, mostly in vain."""
        lots = self.rng.choice([2**56 - 1, 0])
        self.ledger.enter_rescue(self.ledger.now, containers.Rescue(0, market, market + 1, 0, lots))

    def rescue_fully(self, index: int) -> bool:
        """One rescue of an account below zero, the largest that the law takes; False when it takes none."""
        ledger = self.ledger
        row, _ = margin.settle(ledger.globals.risk, ledger.account(index), ledger.now)
        if margin.collateral(row) + margin.sums(ledger.globals.risk, row, constants.MARKETS).value >= 0:
            return False
        for market in self.unsettled():
            size = row.positions[market].size
            if size == 0:
                continue
            if self.largest_allowed(constants.TAKE_OVER, market, index, 0, abs(size)):
                return True
            for other in self.holders():
                held = ledger.account(other).positions[market].size
                lots = min(abs(size), abs(held))
                if held * size < 0 and self.largest_allowed(constants.DELEVERAGE, market, index, other, lots):
                    return True
        return False

    def largest_allowed(self, tag: int, market: int, index: int, other: int, most: int) -> bool:
        """Applies the rescue with as many lots as the law takes, found by bisection below the first refusal."""

        def allowed(lots: int) -> bool:
            move = containers.Rescue(0, market, index, other, lots)
            return decide_rescue(self.ledger.chunk, tag, move).code == codes.OK

        probes = probe_lots(most)
        taken = next((lots for lots in probes if allowed(lots)), None)
        if taken is None:
            return False
        low, high = taken, probes[probes.index(taken) - 1]
        while high - low > 1 and taken != most:
            middle = (low + high) // 2
            low, high = (middle, high) if allowed(middle) else (low, middle)
        return self.ledger.rescue(tag, containers.Rescue(0, market, index, other, low)) == codes.OK


def probe_lots(most: int) -> list[int]:
    """The numbers of lots at which a rescue is tried before it counts as impossible: all, half, a few, one."""
    return sorted({most, max(1, most // 2), max(1, most // 16), 1}, reverse=True)
