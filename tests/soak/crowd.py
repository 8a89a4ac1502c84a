"""What the crowd of a random history tries: trades at every leverage, closes, withdrawals, transfers, settings."""

from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from prover.state.genesis import MarketListing, genesis_bytes
from prover.stf import codes, constants, containers, encoding, margin
from tests.soak.ledger import AGENTS, FIRST, NOW, SIGNER, Ledger, Step
from tests.twins import venue as twins_venue

DOLLAR: Final = twins_venue.DOLLAR
# How many markets a history begins with.
MARKET_COUNTS: Final = (3, 3, 4)


class Crowd:
    """A venue from one seed, and the accounts that trade on it."""

    def __init__(self, seed: str, watch: Callable[[Ledger, Step], None]) -> None:
        self.rng = rng = Random(seed)
        self.market_count = rng.choice(MARKET_COUNTS)
        listings = tuple(self._listing(market) for market in range(self.market_count))
        genesis = genesis_bytes(
            twins_venue.OPERATOR,
            [SIGNER],
            1,
            listings,
            posting_fee_micros=rng.choice([1, 500]),
            grace_period_ms=rng.choice([0, 5_000, 10_000, 15_000]),
        )
        self.ledger = Ledger(encoding.globals_from_bytes(genesis), watch)
        self.sequence = 0
        self.prices = [round(10 ** rng.uniform(3.5, 6)) for _ in range(self.market_count)]
        self.next_tick = NOW
        # A market's life takes a month and sixty ticks: some histories have one.
        self.has_life = rng.random() < 0.12

    def _listing(self, market: int) -> MarketListing:
        rng = self.rng
        initial, maintenance = rng.choice([(20_000, 12_000), (50_000, 30_000), (100_000, 50_000), (200_000, 100_000)])
        # Mostly its fund alone is what bounds it.
        lower = rng.choice([10**9, 10**9, 10**9, 100_000]) * DOLLAR
        return MarketListing(
            name=f"M{market}",
            size_decimals=2,
            initial_ppm=initial,
            maintenance_ppm=maintenance,
            band_ppm=rng.choice([50_000, 200_000]),
            funding_cap_ppb=rng.choice([500_000, 2_000_000, 40_000_000]),
            funding_interest_ppb=rng.choice([0, 12_500, -125_000]),
            funding_damping_ppb=rng.choice([0, 62_500, 125_000]),
            minimum_notional_micros=DOLLAR,
            interest_lower_micros=lower,
            interest_upper_micros=lower * rng.choice([2, 100]),
        )

    def tick(self, prices: list[int], after: int = constants.TICK_STEP, premiums: list[int] | None = None) -> None:
        """A tick `after` milliseconds after the last one, its premiums at random unless told."""
        self.prices = prices
        self.next_tick += after
        if premiums is None:
            spread = self.rng.choice([0, 300_000, 30_000_000])
            premiums = [self.rng.randint(-spread, spread) for _ in prices]
        self.ledger.open(self.next_tick)
        is_forced = self.rng.random() < 0.02
        if is_forced and self.ledger.tick(self.next_tick, prices, premiums, True) == codes.OK:
            return
        self.ledger.tick(self.next_tick, prices, premiums)

    def moved(self, price: int, share: float) -> int:
        """A price moved by a share."""
        return max(1, round(price * (1 + share)))

    def deposit(self, owner: bytes, index: int, amount: int) -> None:
        self.ledger.deposit(containers.Deposit(twins_venue.DEPOSITOR, owner, index, amount))

    def somebody(self) -> int:
        return self.rng.randrange(FIRST, self.ledger.globals.next_account)

    def strong(self) -> int:
        """The one with most money of three."""
        return max([self.somebody() for _ in range(3)], key=lambda index: margin.collateral(self.ledger.account(index)))

    def holders(self) -> list[int]:
        """Every account that holds a position, reserved ones aside."""
        return [
            index
            for index, row in self.ledger.rows.items()
            if index >= FIRST and any(row.positions[market].size for market in self.unsettled())
        ]

    def idle(self) -> list[int]:
        """Every account that owes and holds nothing, or holds what is over; reserved ones aside."""
        holders = set(self.holders())
        rows = ((index, row) for index, row in self.ledger.rows.items() if index >= FIRST and index not in holders)
        return [index for index, row in rows if row.settled < 0 or any(position.size for position in row.positions)]

    def unsettled(self) -> list[int]:
        """Markets that are not over."""
        markets = self.ledger.globals.markets
        return [m for m in range(self.market_count) if markets[m].status != constants.MARKET_SETTLED]

    def holder(self) -> int | None:
        """One that holds a position, the most indebted of three."""
        held = self.holders()
        if not held:
            return None
        risk = self.ledger.globals.risk

        def strength(index: int) -> float:
            row = self.ledger.account(index)
            every = margin.sums(risk, row, constants.MARKETS)
            return (margin.collateral(row) + every.value) / every.maintenance

        return min(self.rng.choices(held, k=3), key=strength)

    def largest_position(self, row: containers.Account) -> int:
        return max(self.unsettled(), key=lambda market: abs(row.positions[market].size) * self.prices[market])

    def order(self, index: int, market: int, side: int, size: int, price: int, **changes: int) -> containers.Order:
        """A fresh order of an account, good now."""
        self.sequence += 1
        return twins_venue.order(
            index,
            market=market,
            side=side,
            size=min(size, 2**56 - 1),
            limit_price=price,
            slot=1 + self.sequence % 200,
            sequence=self.sequence,
            created_at=self.ledger.now,
            expires_at=self.ledger.now + 10_000,
            **changes,
        )

    def signer(self, index: int) -> bytes:
        """The owner; now and then an agent of his, or a stranger."""
        row = self.ledger.account(index)
        draw = self.rng.random()
        if draw < 0.1 and row.agents[0]:
            return encoding.agent_address(row.agents[0])
        return AGENTS[0] if draw > 0.98 else row.owner

    def admit(self, order: containers.Order) -> int | None:
        """The order's place in the chunk; nothing when the law refuses it."""
        taken = self.ledger.order(order, self.signer(order.account)) == codes.OK
        return len(self.ledger.chunk.orders) - 1 if taken else None

    def exchange(self, maker: int, taker: int, market: int, side: int, size: int, price: int) -> None:
        """Two orders and their fill; `side` is the taker's."""
        self.ledger.make_room(constants.ORDER, constants.ORDER, constants.FILL, constants.FILL)
        reduce_only = int(self.rng.random() < 0.05)
        resting = self.admit(self.order(maker, market, 1 - side, size, price))
        taking = self.admit(self.order(taker, market, side, size, price, reduce_only=reduce_only))
        if resting is not None and taking is not None:
            part = self.rng.choice([size, size, size, size, self.rng.randint(1, size), size + 1])
            if self.ledger.fill(resting, taking, part) == codes.OK and (part < size or self.rng.random() < 0.1):
                self.ledger.fill(resting, taking, size - part or size)

    def trade(self) -> None:
        """Two accounts fill each other at some leverage up to and a little beyond what the taker may have."""
        rng = self.rng
        maker, taker = self.strong() if rng.random() < 0.6 else self.somebody(), self.somebody()
        market = rng.choice(self.unsettled())
        risk = self.ledger.globals.risk
        row = self.ledger.account(taker)
        every = margin.sums(risk, row, constants.MARKETS)
        free = margin.collateral(row) + every.value - every.initial
        initial_ppm = max(risk.initial_ppm[market], row.initial_ppm)
        notional = max(free, DOLLAR) * constants.PPM * rng.choice([0.3, 0.6, 0.8, 0.9, 1.02]) / initial_ppm
        price = self.moved(self.prices[market], rng.uniform(-0.01, 0.01))
        self.exchange(maker, taker, market, rng.randrange(2), max(1, int(notional / price)), price)

    def close_some(self) -> None:
        """A holder closes all or some of a position, or turns it."""
        rng = self.rng
        held = self.holders()
        if not held:
            return
        index = rng.choice(held)
        row = self.ledger.account(index)
        market = rng.choice([m for m in self.unsettled() if row.positions[m].size])
        size = row.positions[market].size
        lots = rng.choice([abs(size), abs(size), max(1, abs(size) // 2), abs(size) + 1])
        side = constants.SELL if size > 0 else constants.BUY
        price = self.moved(self.prices[market], rng.uniform(-0.01, 0.01))
        self.exchange(self.strong(), index, market, side, lots, price)

    def asked(self, index: int, **fields: object) -> containers.Request:
        """A fresh request of an account, good now."""
        self.sequence += 1
        return twins_venue.request(
            index,
            slot=1 + self.sequence % 200,
            sequence=self.sequence,
            created_at=self.ledger.now,
            expires_at=self.ledger.now + 10_000,
            **fields,
        )

    def take_out(self) -> None:
        """Withdrawals and transfers, at the edges of what is settled and what is free, and a micro-dollar beyond."""
        rng = self.rng
        for index in rng.choices(range(FIRST, self.ledger.globals.next_account), k=3):
            row, _ = margin.settle(self.ledger.globals.risk, self.ledger.account(index), self.ledger.now)
            free = margin.spendable(self.ledger.globals.risk, row, constants.WITHDRAWAL_FLOOR_PPM)
            edge = rng.choice([row.settled, free, min(row.settled, free), margin.collateral(row)])
            amount = max(0, edge * rng.choice([1, 1, 1, 2]) // 2 + rng.choice([0, 0, 1]))
            if rng.random() < 0.3:
                amount = max(0, edge)
            if rng.random() < 0.5:
                request = self.asked(index, amount=amount, recipient=twins_venue.RECIPIENT)
                self.ledger.request(constants.WITHDRAW, request, self.signer(index))
                continue
            own = [other for other, held in self.ledger.rows.items() if held.owner == row.owner and other >= FIRST]
            to = rng.choice([constants.NEW_ACCOUNT, self.somebody(), *own, *own])
            self.ledger.request(constants.TRANSFER, self.asked(index, amount=amount, other=to), self.signer(index))

    def settings(self) -> None:
        """What moves no money: agents, own leverage, cancels."""
        rng = self.rng
        index = self.somebody()
        tag = rng.choice([constants.SET_AGENT, constants.SET_LEVERAGE, constants.CANCEL, constants.CANCEL_ALL])
        request = self.asked(index)
        if tag == constants.SET_AGENT:
            expires_at = self.ledger.now + rng.choice([-1, 60_000, constants.EPOCH])
            request = self.asked(index, recipient=AGENTS[1], amount=expires_at, first_slot=0, last_slot=150)
        if tag == constants.SET_LEVERAGE:
            request = self.asked(index, amount=rng.choice([0, 30_000, 300_000, constants.PPM + 1]))
        if tag == constants.CANCEL_ALL:
            request = msgspec.structs.replace(request, slot=0)
        self.ledger.request(tag, request, self.signer(index))
