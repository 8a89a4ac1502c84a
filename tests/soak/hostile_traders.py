"""Traders against the pool, with an honest operator and an honest liquidator: what strangers have settled stays theirs.

One owner has accounts on every side and hands positions on within the band, splits money, leaves through L1, while
prices move by five basis points to ten percent a tick, books are thin and the fund is empty, small or large. Whatever
happens, what the vault holds at the end covers what strangers have paid in or what had settled, but for jumps by which
others only win back what they had lost: at most open interest times the move while a rescue waits for its prices.
"""

from random import Random
from typing import Final

from prover.signing import operations
from prover.state.trial import decide_rescue
from prover.stf import codes, constants, containers, encoding, margin
from tests.soak.hostile_seat import (
    FUND,
    OPERATOR,
    PRICE,
    SHIPPED,
    STEP,
    STRANGER,
    Seat,
    own_trade,
    row,
    signed,
    size,
    value,
)
from tests.soak.ledger import signature
from tests.soak.rescuing import probe_lots
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW

# An owner of money alone, one who makes thin books, and one who holds a little; then the traders' own accounts.
IDLE, MAKER, HOLDER = range(constants.RESERVED_ACCOUNTS, constants.RESERVED_ACCOUNTS + 3)
OWN: Final = range(HOLDER + 1, HOLDER + 8)
STRANGERS: Final = (IDLE, MAKER, HOLDER)
# Prices of a hand-over away from the oracle's, ppm of it.
BAND: Final = 49_500
TICKS: Final = 60
ROUNDS: Final = 3
# Ticks until a rescue has the second price that it asks for, and three in a row: also the price before them counts.
WAITS: Final = constants.STEADY_TICKS


class Traders:
    """One history: what traders try between two ticks, and what an honest operator does at each."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        scale = round(10 ** rng.uniform(3, 6.5))
        fund = rng.choice([0, scale // 100, scale // 10, scale])
        self.book = rng.choice([0, scale // 1_000, scale // 10]) * DOLLAR // PRICE
        # Interest is bounded by the fund, or by the market, whose bounds a larger fund would not lower.
        bounds = {"interest_lower": 2**60, "interest_upper": 2**61} if rng.random() < 0.5 else {}
        own = {index: row(OPERATOR, scale * rng.choice([1, 1, 3]) // 10) for index in OWN}
        held = {HOLDER: row(STRANGER, scale), MAKER: row(STRANGER, 100 * scale), IDLE: row(STRANGER, 100 * scale)}
        self.seat = Seat({FUND: row(containers.NOBODY, fund), **held, **own}, SHIPPED, **bounds)
        self.seat.globals.deposited_total = sum(margin.collateral(each) for each in self.seat.rows.values())
        self.now, self.price, self.sequence = NOW, PRICE, 0
        # The last signed prices, for as long as a rescue may wait for the next ones; what strangers lose at most.
        self.prices = [PRICE]
        self.exposed = self.bound = 0

    @property
    def oracle(self) -> int:
        """The last price."""
        return self.seat.globals.risk.price[0]

    def tick(self, price: int, time: int = 0) -> None:
        """A price, and what an honest operator does at it."""
        self.price, self.now = price, max(time, self.now + STEP)
        self.prices = [*self.prices[-WAITS:], price]
        assert self.seat.chunk(self.now, signed(self.now, price)) == (codes.OK,)
        globals = self.seat.globals
        self.exposed = globals.markets[0].open_interest * (max(self.prices) - min(self.prices))
        before = globals.pool.owed
        self.honest()
        if self.seat.globals.pool.owed > before:
            # A jump that nothing unsettled pays for: whoever won by it has won back what he had lost before.
            self.bound += self.exposed

    def run(self) -> int:
        """The whole history; what strangers have lost of settled money and deposits, micro-dollars."""
        rng = self.rng
        for _ in range(3):
            self.tick(PRICE)
        self.hold()
        trend = rng.choice([-1, 1])
        most = rng.choice([0.0005, 0.0015, 0.01, 0.1])
        for _ in range(rng.randrange(2, 6)):
            self.open(trend)
        for _ in range(rng.randrange(TICKS // 4, TICKS)):
            change = trend * most if rng.random() < 0.7 else rng.uniform(-most, most)
            if rng.random() < 0.03:
                change = rng.uniform(-0.1, 0.1)
            if rng.random() < 0.05:
                # Some of what was won matures on the way.
                self.pass_epoch()
            self.tick(max(round(self.price * (1 + change)), 1_000))
            for _ in range(rng.randrange(3)):
                self.act(trend)
        for _ in range(ROUNDS):
            self.pass_epoch()
            for _ in range(3):
                self.tick(max(round(self.price * (1 + rng.choice([0, rng.uniform(-most, most)]))), 1_000))
            for index in OWN:
                self.withdraw(index)
        if any(value(self.seat.account(index), self.oracle) < 0 for index in (FUND, *STRANGERS, *OWN)):
            # The second price that it would take is not there yet.
            self.bound += self.exposed
        return self.lost()

    def pass_epoch(self) -> None:
        """The rest of an epoch, in which nothing moves: whoever is below zero has been rescued before it."""
        for _ in range(constants.STEADY_TICKS):
            self.tick(self.price)
        self.tick(self.price, (self.now // constants.EPOCH + 1) * constants.EPOCH)

    def lost(self) -> int:
        """What the vault is short of once the traders are gone."""
        seat = self.seat
        vault = seat.globals.deposited_total - seat.commitment.withdrawn_total
        owed = 0
        for index in STRANGERS:
            account, _ = margin.settle(seat.globals.risk, seat.account(index), self.now)
            owed += max(min(account.settled, value(account, self.oracle)), 0)
        return max(owed - vault, 0)

    # What traders do

    def act(self, trend: int) -> None:
        """Something of one own account, mostly a hand-over of what has won."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.4:
            self.hand_over()
        elif draw < 0.6:
            self.open(trend if rng.random() < 0.7 else -trend)
        elif draw < 0.75:
            self.withdraw(rng.choice(OWN))
        elif draw < 0.9:
            self.move_money(*rng.sample(OWN, 2))
        else:
            self.leave(rng.choice(OWN))

    def fill(self, seller: int, buyer: int, lots: int, price: int) -> bool:
        """A trade between two accounts, as the law decides."""
        code = self.seat.chunk(self.now, *own_trade(self.seat, self.now, lots, price, seller, buyer))[-1]
        return code == codes.OK

    def hold(self) -> None:
        """A stranger's small position."""
        lots = self.seat.account(HOLDER).settled // 10 // PRICE
        seller, buyer = self.rng.sample([HOLDER, MAKER], 2)
        self.fill(seller, buyer, max(lots, 200), self.oracle)

    def open(self, trend: int) -> None:
        """Own accounts trade with each other, as much as their money allows."""
        first, second = self.rng.sample(OWN, 2)
        seat = self.seat
        free = min(max(value(seat.account(index), self.oracle), 0) for index in (first, second))
        most = free * constants.PPM // seat.globals.risk.initial_ppm[0] // self.oracle
        for lots in (most * 99 // 100, most // 2, most // 8):
            if lots > 0 and self.fill(*((first, second) if trend > 0 else (second, first)), lots, self.oracle):
                return

    def hand_over(self) -> None:
        """An account sells what has won to another one, at the edge of the band or at the oracle price."""
        rng, seat = self.rng, self.seat
        holders = [index for index in OWN if size(seat.account(index))]
        if not holders:
            return

        def won(index: int) -> int:
            held = encoding.unpack(seat.account(index).positions[0])
            return held.size * self.oracle - held.cost

        winner = max(holders, key=won) if rng.random() < 0.8 else rng.choice(holders)
        heir = rng.choice([index for index in OWN if index != winner])
        lots = abs(size(seat.account(winner)))
        is_long = size(seat.account(winner)) > 0
        away = rng.choice([0, BAND, BAND // 2]) * (1 if is_long else -1)
        price = self.oracle * (constants.PPM + away) // constants.PPM
        pair = (winner, heir) if is_long else (heir, winner)
        for part in (lots, lots // 2, lots // 8):
            if part and self.fill(*pair, part, price):
                return

    def request(self, tag: int, index: int, amount: int, **fields: object) -> None:
        """A signed request of an own account."""
        self.sequence += 1
        values = venue.at(self.now) | {"slot": 2, "sequence": self.sequence, "amount": amount} | fields
        message = venue.request(index, **values)
        self.seat.chunk(self.now, operations.request_bytes(tag, message, signature(OPERATOR)))

    def free(self, index: int) -> containers.Account:
        """An account as it is settled now."""
        return margin.settle(self.seat.globals.risk, self.seat.account(index), self.now)[0]

    def withdraw(self, index: int) -> None:
        """All that may leave."""
        account = self.free(index)
        may = margin.spendable(self.seat.globals.risk, account, constants.WITHDRAWAL_FLOOR_PPM)
        if min(may, account.settled) > 0:
            self.request(constants.WITHDRAW, index, min(may, account.settled), recipient=venue.RECIPIENT)

    def move_money(self, index: int, other: int) -> None:
        """Money goes to another own account."""
        may = margin.spendable(self.seat.globals.risk, self.free(index), constants.WITHDRAWAL_FLOOR_PPM)
        if may > 1:
            self.request(constants.TRANSFER, index, self.rng.choice([may, may // 2]), other=other)

    def leave(self, index: int) -> None:
        """An account leaves through L1, against the fund or whoever of the own is opposite."""
        seat = self.seat
        payload = venue.owned(constants.LEAVE, index)
        self.seat.chunk(self.now, seat.enqueue(self.now - STEP - 1, constants.LEAVE, payload, OPERATOR))
        for _ in range(2):
            lots = abs(size(seat.account(index)))
            opposite = [other for other in OWN if size(seat.account(other)) * size(seat.account(index)) < 0]
            for other in (FUND, *sorted(opposite, key=lambda other: value(seat.account(other), self.oracle))):
                most = min(lots, abs(size(seat.account(other)))) if other != FUND else lots
                move = containers.Rescue(0, 0, index, other, max(most, 1))
                seat.chunk(self.now, operations.rescue_bytes(constants.CLOSE_STEP, move))
        # Nobody keeps a queue waiting here: what is left of a head ends with the next steps.

    # What the operator does

    def honest(self) -> None:
        """Everybody below maintenance is liquidated, taken over or deleveraged, as far as the law lets it."""
        for _ in range(ROUNDS):
            done = [self.rescued(index) for index in (*OWN, HOLDER)]
            if not any(done):
                break
        self.unwind()

    def rescued(self, index: int) -> bool:
        """Whether something was done for an account."""
        seat = self.seat
        if not size(seat.account(index)):
            return False
        account = self.free(index)
        every = margin.sums(seat.globals.risk, account, constants.MARKETS)
        equity = margin.collateral(account) + every.value
        if equity >= every.maintenance:
            return False
        lots = abs(size(account))
        if equity >= 0 and self.liquidated(index, lots):
            return True
        taken = equity * 3 < every.maintenance * 2 and self.largest(constants.TAKE_OVER, index, FUND, lots)
        if equity >= 0 or size(seat.account(index)) == 0:
            return taken
        opposite = [other for other in (*OWN, *STRANGERS) if size(seat.account(other)) * size(account) < 0]

        def won(other: int) -> int:
            held = encoding.unpack(seat.account(other).positions[0])
            return held.size * self.oracle - held.cost

        # What the fund has not taken goes to whoever has won most, at once.
        for other in sorted(opposite, key=won, reverse=True):
            taken |= self.largest(constants.DELEVERAGE, index, other, min(lots, abs(size(seat.account(other)))))
        return taken

    def maker(self, is_buying: bool, lots: int) -> bytes:
        """A resting order of the thin book, at the oracle price."""
        sequence = self.seat.slot(MAKER << 8 | 1).sequence + 1
        side = constants.BUY if is_buying else constants.SELL
        order = venue.order(
            MAKER, side=side, size=lots, limit_price=self.oracle, sequence=sequence, **venue.at(self.now)
        )
        return operations.order_bytes(order, signature(STRANGER))

    def liquidated(self, index: int, lots: int) -> bool:
        """Whether the book takes some of an account."""
        is_buying = size(self.seat.account(index)) > 0
        for part in probe_lots(min(lots, self.book)) if self.book else ():
            order = self.maker(is_buying, max(part, 200))
            move = operations.rescue_bytes(constants.LIQUIDATE, containers.Rescue(0, 0, index, 0, part))
            if self.seat.chunk(self.now, order, move)[-1] == codes.OK:
                return True
        return False

    def largest(self, tag: int, index: int, other: int, most: int) -> bool:
        """The largest rescue of an account that the law takes, if it takes any."""
        if not size(self.seat.account(index)) or most == 0:
            return False
        trial = self.seat.trial(self.now)
        for lots in probe_lots(min(most, abs(size(self.seat.account(index))))):
            move = containers.Rescue(0, 0, index, other, lots)
            if decide_rescue(trial, tag, move).code == codes.OK:
                return self.seat.chunk(self.now, operations.rescue_bytes(tag, move)) == (codes.OK,)
        return False

    def unwind(self) -> None:
        """The fund gives back what it holds: to the book, and below maintenance to whoever is opposite."""
        held = size(self.seat.account(FUND))
        if held and self.book:
            lots = min(abs(held), self.book)
            order = self.maker(held > 0, max(lots, 200))
            move = operations.rescue_bytes(constants.UNWIND, containers.Rescue(0, 0, 0, 0, lots))
            self.seat.chunk(self.now, order, move)
        for other in (*OWN, *STRANGERS):
            if size(self.seat.account(other)) * size(self.seat.account(FUND)) < 0:
                self.largest(constants.DELEVERAGE, FUND, other, abs(size(self.seat.account(other))))
