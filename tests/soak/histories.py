"""Random histories for the margin campaign: a venue on the Python law alone, and what its crowd and operator try.

Signatures are not the subject: the r of a signature names its signer, so that every byte still goes through the law.
"""

from collections.abc import Callable, Sequence
from math import copysign
from random import Random
from typing import Final, NamedTuple

import msgspec

from prover.signing import operations
from prover.state.genesis import MarketListing, genesis_bytes
from prover.state.trial import decide_rescue
from prover.stf import codes, constants, containers, encoding, margin
from prover.stf.replay import Chunk
from tests.twins import venue as twins_venue

NOW: Final = twins_venue.NOW
DOLLAR: Final = twins_venue.DOLLAR
OWNERS: Final = twins_venue.OWNERS[1:7]
AGENTS: Final = twins_venue.OWNERS[10:13]
SIGNER: Final = twins_venue.OWNERS[9]
FIRST: Final = constants.RESERVED_ACCOUNTS
# Long enough that a rescue pass which still moves something is broken, not slow.
MAX_PASS: Final = 400
# Of a price between two ticks, and how many markets a history begins with.
MOST_JUMP: Final = 0.4
MARKET_COUNTS: Final = (3, 3, 4)


def signature(signer: bytes) -> bytes:
    """64 bytes that `recover` answers with this signer."""
    return signer.rjust(32, b"\x00") + bytes(32)


def recover(_digest: bytes, _v: int, r: int, _s: int) -> bytes:
    """The signer that a signature of `signature` names."""
    return r.to_bytes(32, "big")[12:]


class Step(NamedTuple):
    """One operation as it went through the law, and every account as it stood before.

    head: account, market (16 for all) and lots of the forced close that was under way, if one was. entered_at: when an
    entry was written on L1.
    """

    tag: int
    code: int
    now: int
    before: dict[int, containers.Account]
    maker: containers.Order | None = None
    taker: containers.Order | None = None
    size: int = 0
    request: containers.Request | None = None
    deposit: containers.Deposit | None = None
    move: containers.Rescue | None = None
    entry: containers.Entry | None = None
    parameters: containers.Parameters | None = None
    entered_at: int = 0
    head: tuple[int, int, int] | None = None
    time: int = 0
    prices: Sequence[int] = ()
    premiums: Sequence[int] = ()


class Ledger:
    """All rows in dictionaries, chunks one after the other; everything applied is shown to `watch`."""

    def __init__(self, globals: containers.Globals, watch: Callable[["Ledger", Step], None]) -> None:
        none = containers.NO_HASH
        commitment = containers.Commitment(constants.LAW_VERSION, none, none, 0, 0, 0, none, 0, NOW, none)
        self.watch = watch
        fees = msgspec.structs.replace(encoding.no_account(), owner=twins_venue.OPERATOR)
        self.rows: dict[int, containers.Account] = {constants.FEE_ACCOUNT: fees}
        self.slots: dict[int, containers.Slot] = {}
        self.chunk = Chunk(twins_venue.DOMAIN, commitment, globals, self, recover)

    def account(self, index: int) -> containers.Account:
        """The row of an account; the empty one where there is none."""
        row = self.rows.get(index)
        return encoding.no_account() if row is None else row

    def slot(self, leaf_index: int) -> containers.Slot:
        """The row of an order slot."""
        return self.slots.get(leaf_index) or encoding.no_slot()

    @property
    def globals(self) -> containers.Globals:
        """As they stand now."""
        return self.chunk.globals

    @property
    def now(self) -> int:
        """The chunk's clock, milliseconds."""
        return self.chunk.commitment.timestamp

    def open(self, timestamp: int) -> None:
        """Begins the next chunk."""
        self.slots.update(self.chunk.slots)
        self.chunk = Chunk(twins_venue.DOMAIN, self.chunk.commitment, self.globals, self, recover)
        self.chunk.open(timestamp)

    def make_room(self, *tags: int) -> None:
        """Begins another chunk at the same time unless these operations still fit."""
        if not self.chunk.has_room(*tags):
            self.open(self.now)

    def apply(self, operation: bytes, **what: object) -> int:
        """Applies an operation and shows it; `what` are the fields of the step that tell what it says."""
        before = dict(self.rows)
        head = self.head
        code = self.chunk.apply(operation)
        self.rows.update(self.chunk.accounts)
        self.watch(self, Step(operation[0], code, self.now, before, head=head, **what))  # type: ignore[arg-type]
        return code

    @property
    def head(self) -> tuple[int, int, int] | None:
        """Account, market and lots of the forced close that is under way."""
        globals = self.globals
        is_open = self.chunk.commitment.queue_open == 1
        return (globals.head_account, globals.head_market, globals.head_lots) if is_open else None

    def tick(self, time: int, prices: list[int], premiums: list[int], is_forced: bool = False) -> int:
        """One oracle signer's tick, by the queue where it is forced."""
        tag = constants.FORCED_TICK if is_forced else constants.TICK
        self.make_room(tag)
        report = (0, prices, premiums, signature(SIGNER))
        operation = operations.tick_bytes(time, len(prices), [report])
        if is_forced:
            operation = operations.entry_bytes(tag, AGENTS[0], time, operation[1:])
        return self.apply(operation, time=time, prices=prices, premiums=premiums)

    def enter(self, tag: int, entry: containers.Entry) -> int:
        """What an owner has entered on L1."""
        self.make_room(tag)
        payload = operations.entry_payload(tag, entry)
        operation = operations.entry_bytes(tag, entry.sender, entry.time, payload)
        return self.apply(operation, entry=entry, entered_at=entry.time)

    def enter_rescue(self, time: int, move: containers.Rescue) -> int:
        """A rescue that a stranger has entered on L1."""
        self.make_room(constants.FORCED_RESCUE)
        payload = operations.forced_rescue_payload(move.market, move.account, move.lots)
        operation = operations.entry_bytes(constants.FORCED_RESCUE, AGENTS[0], time, payload)
        return self.apply(operation, move=move, entered_at=time)

    def set_market(self, given: containers.Parameters) -> int:
        """What the governor would have of a market."""
        self.make_room(constants.SET_MARKET)
        payload = operations.market_payload(given)
        operation = operations.entry_bytes(constants.SET_MARKET, twins_venue.OPERATOR, self.now, payload)
        return self.apply(operation, parameters=given)

    def deposit(self, entry: containers.Deposit) -> int:
        """A deposit from L1."""
        self.make_room(constants.DEPOSIT)
        return self.apply(operations.deposit_bytes(entry), deposit=entry)

    def order(self, order: containers.Order, signer: bytes) -> int:
        """An order; its place in the chunk is the last when the law takes it."""
        return self.apply(operations.order_bytes(order, signature(signer)), maker=order)

    def request(self, tag: int, request: containers.Request, signer: bytes) -> int:
        """A signed request."""
        self.make_room(tag)
        return self.apply(operations.request_bytes(tag, request, signature(signer)), request=request)

    def fill(self, maker: int, taker: int, size: int) -> int:
        """A fill between two orders by their places in the chunk."""
        orders = self.chunk.orders
        return self.apply(
            operations.fill_bytes(maker, taker, size), maker=orders[maker], taker=orders[taker], size=size
        )

    def rescue(self, tag: int, move: containers.Rescue) -> int:
        """A rescue; its maker, where it has one, is admitted to the chunk already."""
        self.make_room(tag)
        by_order = tag in (constants.LIQUIDATE, constants.UNWIND) and move.maker < len(self.chunk.orders)
        maker = self.chunk.orders[move.maker] if by_order else None
        return self.apply(operations.rescue_bytes(tag, move), move=move, maker=maker)


class History:
    """One history from one seed: build leverage, let prices jump, rescue, and bring it to rest."""

    def __init__(self, seed: str, watch: Callable[[Ledger, Step], None]) -> None:
        self.rng = rng = Random(seed)
        self.market_count = rng.choice(MARKET_COUNTS)
        listings = tuple(self._listing(market) for market in range(self.market_count))
        genesis = genesis_bytes(
            twins_venue.OPERATOR,
            [SIGNER],
            1,
            listings,
            posting_fee_micros=rng.choice([0, 500]),
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
        lower = rng.choice([0, 0, 0, 100_000 * DOLLAR])
        return MarketListing(
            name=f"M{market}",
            size_decimals=2,
            initial_ppm=initial,
            maintenance_ppm=maintenance,
            band_ppm=rng.choice([50_000, 200_000]),
            funding_cap_ppm=rng.choice([500, 2_000, 10_000]),
            minimum_notional_micros=DOLLAR,
            interest_lower_micros=lower,
            interest_upper_micros=lower * rng.choice([2, 100]),
        )

    # What happens

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
        for market in range(self.market_count):
            if rng.random() < 0.75:
                self.deposit(OWNERS[0], market + 1, round(10 ** rng.uniform(8.5, 11.7)))
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
            self.gap(rng.choice([60_000, 65_000, 900_000, constants.HOUR, constants.EPOCH, 2 * constants.EPOCH]))
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

    def tick(self, prices: list[int], after: int = constants.TICK_STEP, premiums: list[int] | None = None) -> None:
        """A tick `after` milliseconds after the last one, its premiums at random unless told."""
        self.prices = prices
        self.next_tick += after
        if premiums is None:
            spread = self.rng.choice([0, 300, 30_000])
            premiums = [self.rng.randint(-spread, spread) for _ in prices]
        self.ledger.open(self.next_tick)
        is_forced = self.rng.random() < 0.02
        if is_forced and self.ledger.tick(self.next_tick, prices, premiums, True) == codes.OK:
            return
        self.ledger.tick(self.next_tick, prices, premiums)

    def moved(self, price: int, share: float) -> int:
        """A price moved by a share."""
        return max(1, round(price * (1 + share)))

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

    def gap(self, length: int) -> None:
        """Ticks stop for a while; somebody tries what silence and the grace forbid; then they are steady again."""
        silence = self.rng.choice([0, 0, 20_001, 50_000, constants.FORCED_PRICE_AGE, constants.FORCED_PRICE_AGE + 1])
        if 0 < silence < length:
            self.ledger.open(self.next_tick + silence)
            self.force()
        self.tick([self.moved(price, self.rng.uniform(-0.02, 0.02)) for price in self.prices], length)
        self.rng.choice([self.trade, self.take_out, self.rescue_some, self.force])()
        for _ in range(3):
            self.tick(self.prices)

    def deposit(self, owner: bytes, index: int, amount: int) -> None:
        self.ledger.deposit(containers.Deposit(twins_venue.DEPOSITOR, owner, index, amount))

    # The crowd

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

    # The queue

    def force(self) -> None:
        """Something by the queue of L1, mostly by whom it is for, and mostly at a young price."""
        rng = self.rng
        held = self.holders()
        index = rng.choice(held) if held and rng.random() < 0.8 else self.somebody()
        row = self.ledger.account(index)
        time = self.ledger.now + rng.choice([0, 0, 0, 0, constants.FORCED_PRICE_AGE, constants.FORCED_PRICE_AGE + 1])
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
            agent=AGENTS[2],
            agent_index=rng.randrange(2),
            expires_at=self.ledger.now + constants.EPOCH,
            first_slot=0,
            last_slot=150,
        )
        self.ledger.enter(tag, entry)
        self.step_on()

    def enter_rescue(self, index: int) -> None:
        """A stranger has the fund rescue somebody, mostly as far as the law lets it."""
        rng = self.rng
        late = rng.choice([0, 0, 0, 0, constants.FORCED_PRICE_AGE, constants.FORCED_PRICE_AGE + 1])
        market = self.largest_position(self.ledger.account(index))
        lots = rng.choice([2**56 - 1, 2**56 - 1, 1, max(1, self.turnover_left(market) // self.prices[market])])
        self.ledger.enter_rescue(self.ledger.now + late, containers.Rescue(0, market, index, 0, lots))

    def turnover_left(self, market: int) -> int:
        """Notional that a market's fund may still take in this hour."""
        listed = self.ledger.globals.markets[market]
        return max(listed.fund, 0) * constants.TURNOVER_MULTIPLE - listed.turned_over

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
            other = rng.choice([market + 1, market + 1, *opposite[:3], self.somebody()])
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
            self.market_count += 1
            self.prices = [*self.prices, round(10 ** rng.uniform(3.5, 6))]
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
        while ledger.globals.markets[market].status == constants.MARKET_SETTLING:
            self.tick([self.moved(price, rng.uniform(-0.003, 0.003)) for price in self.prices], 60_000)
        self.change(market, constants.MARKET_OPEN)
        for _ in range(3):
            self.tick(self.prices)

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
            funding_cap_ppm=listed.funding_cap_ppm,
            minimum_notional=listed.minimum_notional,
            interest_lower=listed.interest_lower,
            interest_upper=listed.interest_upper,
        )
        return self.ledger.set_market(given)

    # The operator

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
        for market in self.unsettled():
            if self.ledger.account(market + 1).positions[market].size and rng.random() < 0.5:
                self.unwind(market)

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

        other = max(opposite, key=profit) if self.rng.random() < 0.8 else self.rng.choice(opposite)
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

    # The end

    def rest(self) -> None:
        """Steady ticks without premium until no grace is left, then rescues of insolvent accounts to a fixed point."""
        none = [0] * self.market_count
        self.finish_head()
        for _ in range(7):
            self.tick(self.prices, premiums=none)
        for _ in range(MAX_PASS):
            rescued = [self.rescue_fully(index) for index in self.holders()]
            if not any(rescued):
                return
        raise AssertionError("the rescue pass comes to no fixed point")

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
