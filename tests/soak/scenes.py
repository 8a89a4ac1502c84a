"""States made for one chunk: what a rescue needs, and what a chain of random chunks seldom comes to."""

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

from prover.signing import operations
from prover.stf import codes as c
from prover.stf import constants, containers
from prover.stf.replay import KINDS, is_entry
from tests.twins import venue
from tests.vectors.law_table import PAIRS

_RESCUES: Final = (
    constants.LIQUIDATE,
    constants.TAKE_OVER,
    constants.DELEVERAGE,
    constants.UNWIND,
    constants.CLOSE_STEP,
    constants.FORCED_RESCUE,
)
_ENTRIES: Final = tuple(tag for tag in sorted(KINDS) if is_entry(tag) and tag not in (constants.DEPOSIT, *_RESCUES))
_OTHERS: Final = (
    (constants.FILL, c.MARKET_REDUCES),
    (constants.FILL, c.GRACE),
    (constants.WITHDRAW, c.GRACE),
    (constants.TRANSFER, c.GRACE),
    (constants.TRANSFER, c.ACCOUNTS_FULL),
)
# What only scenes aim at.
SCENES: Final = frozenset(
    {pair for pair in PAIRS if pair[0] in (*_RESCUES, *_ENTRIES) and pair[1] not in (c.FULL, c.MALFORMED)}
    | {pair for pair in PAIRS if pair[1] == c.QUEUE_ONLY}
    | set(_OTHERS)
)
PRICE: Final = 600_000
ACCOUNT: Final = venue.FIRST
MAKER: Final = venue.FIRST + 1
WINNER: Final = venue.FIRST + 2
_MAINTENANCE_PPM: Final = 12_000
_RICH: Final = 10**15
# What the call of a fund may come to.
_OF_A_CALL: Final = (c.OK, c.HEALTHY, c.STALE, c.UNSTEADY)


class Scene:
    """An account in trouble, a maker, somebody in profit on the other side, an insurance account."""

    def __init__(self, rng: random.Random, tag: int, code: int) -> None:
        self.rng = rng
        self.tag = tag
        self.code = code
        self.timestamp = venue.NOW
        self.globals = venue.globals_of(streak=constants.STEADY_TICKS)
        # A price before the last that is kinder, worse, or the same.
        away = 3_000 if tag == constants.CLOSE_STEP else 60
        self.globals.markets[0].previous_price = rng.choice([PRICE, PRICE + rng.randrange(-away, away)])
        if tag == constants.FORCED_RESCUE and code == c.OK and rng.random() < 0.3:
            # No ticks in a row, and none for long enough; or just not.
            self.globals.streak = rng.randrange(constants.STEADY_TICKS)
            self.timestamp = venue.NOW + constants.FORCED_PRICE_AGE + rng.choice([0, 1, 1, 1, 10**7])
        self.sign = rng.choice([1, -1])
        self.lots_held = rng.randrange(20_000, 2_000_000)
        self.size = self.sign * self.lots_held
        self.lots = max(1, self.lots_held // rng.choice([10, 20, 100]))
        self.ratio_ppm = {
            constants.LIQUIDATE: rng.randrange(900_000, 990_000),
            constants.TAKE_OVER: rng.randrange(-20_000, 600_000),
            constants.DELEVERAGE: -rng.randrange(1_000, 400_000),
            constants.FORCED_RESCUE: rng.randrange(-20_000, 990_000),
        }.get(tag, 2_000_000)
        self.eth = rng.choice([0, 0, rng.randrange(-1_000, 1_000)])
        self.fund = rng.choice([_RICH, 10**14])
        if tag == constants.DELEVERAGE:
            self.fund = rng.choice([0, 0, 10**6, 10**10])
        # An insurance account below maintenance, on the side of whom it may be reduced against.
        self.reduces = tag == constants.DELEVERAGE and (code == c.TOO_MANY_LOTS or rng.random() < 0.2)
        self.insured = -self.size if tag == constants.UNWIND else 0
        # A fund that is called, in the place of an account.
        self.calls = tag == constants.FORCED_RESCUE and code in _OF_A_CALL and rng.random() < 0.2
        # Somebody who holds nothing, or only in a market that is over.
        self.idle = tag in (constants.TAKE_OVER, constants.FORCED_RESCUE) and code in (c.OK, c.HEALTHY)
        self.idle = self.idle and not self.calls and rng.random() < 0.2
        self.entered_at = venue.NOW
        self.begun = int(tag == constants.CLOSE_STEP)
        self.stepped_market = 0
        self.counterparty = 1
        if tag == constants.CLOSE_STEP:
            self.globals.head_account = ACCOUNT
            self.globals.head_market = rng.choice([0, constants.MARKETS])
            self.globals.head_lots = rng.choice([1, self.lots, self.lots_held])
            self.globals.head_time = venue.NOW - rng.choice([1, 1, 10**6])
            self.globals.tick_queued = rng.randrange(2)
            late = constants.HEAD_PATIENCE if self.globals.tick_queued else constants.MAX_PRICE_AGE
            self.timestamp = venue.NOW + rng.choice([0, 0, rng.randrange(late), late])
            if self.globals.head_market == 0 and rng.random() < 0.3:
                # Further away than the two prices lie apart.
                self.globals.head_limit = PRICE - self.sign * rng.randrange(3_000, 10**5)
            self.counterparty = rng.choice([1, WINNER])
            if self.counterparty == WINNER:
                self.fund = 0
        self.profit_ppm = 100_000
        self.winner_equity: int | None = None
        self.winner_size = -self.size * rng.choice([1, 1, 2])
        self.winner_eth = 0
        self.maker_money = _RICH
        self.maker_size = 0
        self.maker_floor = 0
        self.slots: dict[int, containers.Slot] = {}
        self.maker: dict[str, Any] = {
            "side": constants.BUY if (self.size if tag != constants.UNWIND else self.insured) > 0 else constants.SELL,
            "size": 2 * self.lots_held,
            "limit_price": PRICE,
            "expires_at": venue.NOW + 60_000,
        }

    def aim(self) -> None:
        """One fault for the code that is aimed at."""
        rng, code, tag = self.rng, self.code, self.tag
        changes: dict[int, Callable[[], None]] = {
            c.STALE: lambda: setattr(self, "timestamp", venue.NOW + constants.MAX_PRICE_AGE + 1),
            c.GRACE: lambda: setattr(self.globals, "grace_until", venue.NOW + rng.choice([1, 5_000])),
            c.UNSTEADY: self.unsteady,
            c.INSOLVENT: lambda: setattr(self, "ratio_ppm", -rng.randrange(1_000, 200_000)),
            c.FUND_LIMIT: lambda: setattr(self, "fund", rng.choice([0, 10**6])),
            c.CANCELLED: lambda: setattr(self, "maker_floor", 5),
            c.MAKER_MARGIN: lambda: setattr(self, "maker_money", venue.DOLLAR),
            c.TOO_MANY_LOTS: lambda: setattr(self, "lots", self.lots_held),
            c.MARKET_REDUCES: lambda: setattr(self.globals.markets[0], "status", rng.choice([2, 3])),
        }
        if code in changes:
            changes[code]()
        if tag == constants.FORCED_RESCUE and code == c.FUND_LIMIT:
            self.ratio_ppm = rng.randrange(100_000, 600_000)
        if tag == constants.FORCED_RESCUE and code == c.OK and rng.random() < 0.3:
            # Below zero, and more than the fund may take, or may pay for.
            self.ratio_ppm, self.fund = -rng.randrange(1_000, 400_000), rng.choice([0, 10**6, 10**10, _RICH])
        if tag == constants.FORCED_RESCUE and code == c.OK and rng.random() < 0.3:
            # Twice as large as what the entry names, a little more, or much.
            self.eth = rng.choice([1, -1]) * self.lots_held * rng.choice([3, 4, 5])
        if self.calls:
            # One that holds nothing waits for no price.
            self.insured = rng.choice([0, self.size]) if code in (c.OK, c.HEALTHY) else self.size
            self.fund = rng.choice([0, 10**6]) if code == c.HEALTHY else -rng.randrange(1, 10 ** rng.randrange(1, 12))
        if tag == constants.FORCED_RESCUE and code == c.STALE:
            self.timestamp = venue.NOW
            if rng.random() < 0.3:
                self.globals.markets[0].previous_price = 0
            else:
                self.entered_at = venue.NOW + constants.FORCED_PRICE_AGE + rng.choice([1, 10**6])
        if tag == constants.CLOSE_STEP:
            self.aim_step()
            return
        if code == c.INDEBTED:
            self.winner_equity = -rng.randrange(1, 10**9)
        elif code == c.POST_ONLY:
            self.maker |= {"time_in_force": rng.choice([1, 2]), "expires_at": venue.NOW + 5_000}
        elif code == c.PRICE_BAND:
            away = PRICE * 6 // 100
            self.maker["limit_price"] = PRICE + rng.choice([1, -1]) * away
            if tag == constants.UNWIND and rng.random() < 0.5:
                worse = PRICE * 2 // 1_000
                self.maker["limit_price"] = PRICE - worse if self.insured > 0 else PRICE + worse
        elif code == c.FEE_ABOVE_MAXIMUM:
            self.maker["max_fee_ppm"] = 99
        elif code == c.USED:
            self.slots[(MAKER << 8) | 1] = containers.Slot(sequence=2, filled=0)
        elif code == c.NOT_TRIGGERED:
            self.maker |= {"trigger": 1, "trigger_price": PRICE + 1}
        elif code == c.REDUCE_ONLY:
            self.maker["reduce_only"] = 1
        elif code == c.HEALTHY:
            lowest = {constants.TAKE_OVER: 666_700, constants.DELEVERAGE: 1_000}.get(tag, 1_000_001)
            self.ratio_ppm = lowest + rng.randrange(900_000)
        elif code == c.NOT_LARGEST:
            # More than twice as large, and above zero, where nobody may name the other one either.
            self.eth = rng.choice([1, -1]) * self.lots_held * 5
            self.ratio_ppm = abs(self.ratio_ppm)
        elif code == c.LIQUIDATION_PRICE:
            self.maker["limit_price"] = PRICE - self.sign * PRICE * 2 // 100
        elif code == c.MISMATCHED:
            self.maker["side"] = 1 - self.maker["side"]
        elif code == c.OVERFILLED:
            self.lots = 0 if tag == constants.FORCED_RESCUE else rng.choice([0, self.lots_held + 1])
        elif code == c.OUT_OF_BOUNDS:
            near = (1 if self.maker["side"] == constants.BUY else -1) * (constants.SIZE_BOUND - 1)
            self.maker_size, self.maker_money = near, 2**95
            if tag == constants.FORCED_RESCUE:
                # So far below that nothing but the whole position will do.
                self.ratio_ppm = 600_000
            if tag in (constants.TAKE_OVER, constants.FORCED_RESCUE):
                self.insured, self.fund = self.sign * (constants.SIZE_BOUND - 1), 2**80
        elif code == c.NO_OPPOSITE:
            self.winner_size = rng.choice([0, self.size, -self.sign])
        elif code == c.MARGIN:
            # In profit here, and worth next to nothing for what it lost elsewhere.
            self.fund, self.winner_eth = 0, -1_000
            self.winner_size, self.winner_equity, self.lots = -self.size, 1, self.lots_held
        elif code == c.NO_MARKET:
            self.globals.markets[0].status = constants.MARKET_CLOSED

    def aim_step(self) -> None:
        """One fault of a step of a forced close."""
        rng, code = self.rng, self.code
        if code == c.NO_OPPOSITE:
            self.fund, self.counterparty = 0, WINNER
        if code == c.NO_HEAD:
            if rng.random() < 0.5:
                self.globals.head_market = 1
            else:
                self.begun = self.globals.head_account = 0
        elif code == c.NO_MARKET:
            self.globals.head_market = constants.MARKETS
            self.stepped_market = rng.choice([3, 16, 255])
        elif code == c.RESERVED:
            self.counterparty = rng.choice([0, 2, 16])
        elif code == c.SAME_ACCOUNT:
            self.counterparty = ACCOUNT
        elif code == c.OVERFILLED:
            self.lots = 0
            if rng.random() < 0.5:
                # A market that the account does not hold, while it holds another.
                self.globals.head_market, self.stepped_market, self.lots = constants.MARKETS, 1, 1
                self.counterparty = rng.choice([2, WINNER])
        elif code == c.OUT_OF_BOUNDS:
            self.counterparty, self.insured, self.fund = 1, self.sign * (constants.SIZE_BOUND - 1), 2**80
        elif code == c.FUND_LIMIT:
            # One lot would fit into what a dollar may turn over.
            self.counterparty, self.fund = 1, 0
        elif code == c.FUND_FIRST:
            self.counterparty, self.fund = WINNER, _RICH
        elif code == c.NO_OPPOSITE:
            self.winner_size = rng.choice([0, self.size])
        elif code == c.OK and self.counterparty == WINNER and rng.random() < 0.5:
            # Somebody below zero on the other side, in profit here or not.
            self.profit_ppm = rng.choice([-1, 1]) * rng.randrange(1, 100_000)
            self.winner_equity = -rng.randrange(1, 10 ** rng.randrange(1, 12))
            # What it may pay is far from what the lots are worth.
            self.fund = rng.choice([0, 10**6])
        elif code == c.UNSTEADY:
            self.without_price()
        elif code == c.STALE:
            self.globals.head_time = venue.NOW + rng.choice([-1, 0, 10**5])
            if rng.random() < 0.7:
                self.globals.head_limit = constants.HEAD_OVER
            else:
                self.timestamp = venue.NOW + constants.PRICES_GONE + 1
        elif code == c.LIMIT:
            self.globals.head_market = 0
            self.globals.head_limit = PRICE + self.sign * rng.choice([1, 3_000])

    def unsteady(self) -> None:
        """No ticks in a row, or the last one without a price."""
        if self.tag != constants.FORCED_RESCUE and self.rng.random() < 0.3:
            self.globals.markets[0].previous_price = 0
        else:
            self.globals.streak = self.rng.randrange(3)

    def without_price(self) -> None:
        """One of the reasons for which a head waits."""
        rng = self.rng
        reason = rng.randrange(4)
        if reason > 0:
            self.globals.streak = constants.STEADY_TICKS
        if reason == 1:
            # In a row, and solvent at one of two prices alone.
            self.between_prices()
        elif reason == 2:
            self.globals.head_time = venue.NOW + rng.choice([0, 1])
        elif reason == 3:
            self.globals.tick_queued = rng.randrange(2)
            late = constants.HEAD_PATIENCE if self.globals.tick_queued else constants.MAX_PRICE_AGE
            self.timestamp = venue.NOW + late + 1

    def between_prices(self) -> None:
        """The account is below zero at the worse of its two prices, and above at the better."""
        self.globals.streak = constants.STEADY_TICKS
        better = self.rng.choice([True, False])
        self.globals.markets[0].previous_price = PRICE + (3_000 if (self.sign > 0) == better else -3_000)
        self.ratio_ppm = self.rng.randrange(1_000, 400_000) * (-1 if better else 1)

    def indebt(self) -> None:
        """Sometimes unsettled money has paid for debts, or is about to."""
        rng = self.rng
        # Whoever paid a debt is poorer than he was made to be.
        if self.tag == constants.CLOSE_STEP or self.code == c.FUND_LIMIT or rng.random() < 0.5:
            return
        epochs = sorted(rng.sample(range(venue.EPOCH - 18, venue.EPOCH + 1), rng.randrange(1, constants.FACTORS + 1)))
        exponents = sorted(rng.randrange(rng.choice([2, 300])) for _ in epochs)
        factors = [
            epoch << 96 | up << 64 | rng.randrange(2**32, 2**64) for epoch, up in zip(epochs, exponents, strict=True)
        ]
        clock = rng.choice([0, 0, venue.NOW - 1, venue.NOW - 2 * constants.EPOCH, -1, -rng.randrange(constants.EPOCH)])
        self.globals.risk.debts = containers.Debts(clock, [0] * (constants.FACTORS - len(factors)) + factors)
        sums = [rng.choice([0, rng.randrange(10**4), rng.randrange(10**12)]) for _ in range(4)]
        self.globals.pool = containers.Pool(venue.EPOCH - rng.randrange(3), *sums)

    def ages(self, most: int) -> dict[str, int]:
        """Unsettled money of some time, and the factor of its last touch."""
        rng = self.rng
        if self.tag == constants.CLOSE_STEP or rng.random() < 0.3:
            return {}
        known = [0, *(factor % constants.FACTOR_BOUND for factor in self.globals.risk.debts.factors)]
        older, fresh = rng.randrange(most), rng.randrange(most)
        return {"older": older, "fresh": fresh, "epoch": venue.EPOCH - rng.randrange(4), "factor": rng.choice(known)}

    def build(self) -> tuple[Any, list[bytes], int]:
        """The state, the chunk's operations, its clock."""
        self.aim()
        price, eth_price = PRICE, self.globals.risk.price[1]
        legs = ((self.lots_held, price), (abs(self.eth), eth_price))
        maintenance = sum(-(-lots * at * _MAINTENANCE_PPM // constants.PPM) for lots, at in legs)
        equity = maintenance * self.ratio_ppm // constants.PPM
        money = self.rng.randrange(0, 10**10)
        held = {0: venue.position(self.size, money + self.size * price - equity)}
        if self.eth:
            held[1] = venue.position(self.eth, self.eth * eth_price)
        if self.idle:
            held, money = self.left(held)
        notional = abs(self.winner_size) * price
        won = notional * self.profit_ppm // constants.PPM
        winner = {0: venue.position(self.winner_size, self.winner_size * price - won)}
        winner_money = 10**13
        if self.winner_equity is not None:
            winner[1] = venue.position(self.winner_eth, self.winner_eth * eth_price)
            winner_money = self.winner_equity - won
        if self.reduces:
            self.insured = self.size
            share = self.ratio_ppm if self.code == c.HEALTHY else self.rng.randrange(100_000, 900_000)
            self.fund = -(-self.lots_held * price * _MAINTENANCE_PPM // constants.PPM) * share // constants.PPM
        self.indebt()
        rows = {
            ACCOUNT: venue.account(
                venue.OWNERS[1], money, held, initial_ppm=self.rng.choice([0, 0, 200_000]), **self.ages(1_000)
            ),
            MAKER: venue.account(
                venue.OWNERS[2],
                self.maker_money,
                {0: venue.position(self.maker_size, self.maker_size * price)},
                self.maker_floor,
                **self.ages(10**6),
            ),
            WINNER: venue.account(venue.OWNERS[3], winner_money, winner, **self.ages(1_000)),
            1: venue.account(
                containers.NOBODY,
                self.fund,
                {0: venue.position(self.insured, self.insured * price)},
                **self.ages(1_000),
            ),
        }
        self.globals.markets[0].fund = self.fund
        rows = {index: aged(self.rng, row) for index, row in rows.items()}
        state = venue.build_state(self.globals, rows, self.slots, begun=self.begun)
        return state, self.chunk(), self.timestamp

    def left(self, held: dict[int, containers.Position]) -> tuple[dict[int, containers.Position], int]:
        """The positions and the money of somebody who holds nothing, or only in a market that is over."""
        money = self.rng.randrange(1, 10 ** self.rng.randrange(1, 12))
        if self.code == c.OK and self.rng.random() < 0.5:
            self.globals.markets[0].status = constants.MARKET_SETTLED
            self.globals.risk.initial_ppm[0] = self.globals.risk.maintenance_ppm[0] = 0
            return held, self.rng.choice([1, -1]) * money
        return {}, -money if self.code == c.OK else money

    def chunk(self) -> list[bytes]:
        """A maker's order and the rescue."""
        rng, code, tag = self.rng, self.code, self.tag
        fields: dict[str, int] = {"lots": self.lots}
        by_order = tag in (constants.LIQUIDATE, constants.UNWIND)
        if code == c.NO_ORDER:
            fields["maker"] = rng.choice([1, 7, 255])
        elif code == c.RESERVED:
            # A fund may be called, or be of a market that is over.
            fields |= {"account": 0 if tag == constants.FORCED_RESCUE else rng.randrange(17)}
            if tag == constants.DELEVERAGE and rng.random() < 0.5:
                fields = {"lots": self.lots, "other": rng.randrange(17)}
        elif code == c.NO_ACCOUNT:
            fields["account"] = rng.choice([999, constants.NEW_ACCOUNT])
        elif code == c.SAME_ACCOUNT:
            fields |= {"account": MAKER} if tag == constants.LIQUIDATE else {"other": ACCOUNT}
        elif code == c.NO_MARKET and not by_order and rng.random() < 0.5:
            fields["market"] = rng.choice([3, 16, 255])
        if tag == constants.FORCED_RESCUE:
            market, index = fields.get("market", 0), fields.get("account", 1 if self.calls else ACCOUNT)
            payload = bent(rng, code, operations.forced_rescue_payload(market, index, self.lots))
            return [venue.entry(tag, payload, venue.DEPOSITOR, self.entered_at)]
        if tag == constants.CLOSE_STEP:
            move = containers.Rescue(0, fields.get("market", self.stepped_market), 0, self.counterparty, self.lots)
            return [operations.rescue_bytes(tag, move)]
        if self.reduces and "account" not in fields:
            fields["account"] = 1
        move = containers.Rescue(**({"maker": 0, "market": 0, "account": ACCOUNT, "other": WINNER, "lots": 0} | fields))
        order = venue.signed_order(venue.order(MAKER, **self.maker), venue.KEYS[2])
        return [order, operations.rescue_bytes(tag, move)]


def home_scene(rng: random.Random, code: int) -> tuple[Any, list[bytes], int]:
    """The fund of market 1, which is over, goes to that of the first market that is not."""
    globals = venue.globals_of()
    over = {1} if rng.random() < 0.7 else {0, 1}
    market = 2 if 0 in over else 0
    for each in over:
        globals.markets[each].status = constants.MARKET_SETTLED
        globals.risk.initial_ppm[each] = globals.risk.maintenance_ppm[each] = 0
    size, price = rng.choice([0, 5_000, -5_000]), globals.risk.price[1]
    money = rng.choice([1, 10**9])
    if code == c.COLLATERAL:
        money = rng.choice([0, -1, -(10**9)])
    elif code == c.NO_MARKET:
        market = rng.choice([{0, 1, 2} - over - {market}, {3}, {16}]).pop() if len(over) == 1 else rng.choice([0, 3])
        if rng.random() < 0.3:
            globals.risk.initial_ppm[1], market = 20_000, 0
    rich = constants.COLLATERAL_BOUND - (1 if code == c.OUT_OF_BOUNDS else 10**10)
    held = {1: venue.position(size, size * price)} if size else {}
    rows = {2: venue.account(containers.NOBODY, money, held, fresh=5 if code == c.OK else 0)}
    if market < 16:
        rows[market + 1] = venue.account(containers.NOBODY, rich)
    for index, row in rows.items():
        globals.markets[index - 1].fund = row.settled + row.fresh
    payload = operations.forced_rescue_payload(market, 2, rng.choice([0, 1]))
    return venue.build_state(globals, rows), [venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR)], venue.NOW


def aged(rng: random.Random, row: containers.Account) -> containers.Account:
    """The same account, now and then with money that matures or has matured, and a little funding due."""
    changes: dict[str, Any] = {"epoch": venue.EPOCH - rng.choice([0, 0, 1, 2])}
    if row.owner != containers.NOBODY and row.settled > 0:
        older, fresh = rng.randrange(row.settled // 2 + 1), rng.randrange(row.settled // 2 + 1)
        changes |= {"settled": row.settled - older - fresh, "older": older, "fresh": fresh}
    if rng.random() < 0.5:
        # Of at most 2,000,000 lots it is a micro-dollar or none: nothing that was aimed at is missed.
        changes["positions"] = [
            msgspec.structs.replace(held, funding=held.funding + rng.choice([-1, 1])) if held.size else held
            for held in row.positions
        ]
    return msgspec.structs.replace(row, **changes)


def scene(rng: random.Random, tag: int, code: int) -> tuple[Any, list[bytes], int]:
    """A state, operations and a clock that come to (tag, code), by construction or nearly."""
    if code == c.QUEUE_ONLY:
        operation = bytes([tag]) + rng.randbytes(KINDS[tag].length - 1)
        return venue.build_state(venue.globals_of()), [operation], venue.NOW + constants.QUEUE_ONLY_BIT
    if tag == constants.FORCED_RESCUE and (code == c.COLLATERAL or rng.random() < 0.1):
        return home_scene(rng, code)
    if tag in _RESCUES:
        return Scene(rng, tag, code).build()
    if tag in _ENTRIES:
        return entry_scene(rng, tag, code)
    globals = venue.globals_of()
    if code == c.MARKET_REDUCES:
        globals.markets[0].status = rng.choice([constants.MARKET_REDUCE_ONLY, constants.MARKET_SETTLING])
    elif code == c.ACCOUNTS_FULL:
        globals.next_account = constants.NEW_ACCOUNT
    else:
        globals.grace_until = venue.NOW + rng.choice([1, 9_000])
    rows = {index: venue.account(venue.OWNERS[1 + index % 2], _RICH) for index in (ACCOUNT, MAKER)}
    state = venue.build_state(globals, rows)
    key = {index: venue.KEYS[1 + index % 2] for index in rows}
    if tag == constants.FILL:
        sides = ((ACCOUNT, constants.SELL), (MAKER, constants.BUY))
        orders = [venue.signed_order(venue.order(index, side=side), key[index]) for index, side in sides]
        return state, [*orders, operations.fill_bytes(0, 1, 1_000)], venue.NOW
    fields: dict[str, Any] = {"amount": rng.randrange(2 * 10**6, 10**9), "recipient": venue.RECIPIENT}
    if tag == constants.TRANSFER:
        fields = {"amount": fields["amount"], "other": constants.NEW_ACCOUNT}
    return state, [venue.signed_request(tag, venue.request(ACCOUNT, **fields), key[ACCOUNT])], venue.NOW


def bent(rng: random.Random, code: int, payload: bytes) -> bytes:
    """A payload of a wrong length, where that is what is aimed at."""
    if code != c.BAD_ENTRY:
        return payload
    return rng.choice([payload[:-1], payload + b"\x00", b"", payload + bytes(300)])


def entry_scene(rng: random.Random, tag: int, code: int) -> tuple[Any, list[bytes], int]:
    """An entry of the L1 queue over an account with or without a position."""
    globals = venue.globals_of(streak=rng.randrange(4))
    size = rng.choice([1, -1]) * rng.randrange(1_000, 10**6)
    held = {0: venue.position(size, size * PRICE)} if rng.random() < 0.6 else {}
    money = rng.choice([-5, 10**4]) if code == c.COLLATERAL else 10**12
    if code == c.COLLATERAL and money > 0:
        held = {0: venue.position(10**6, 10**6 * PRICE)}
    if (tag == constants.FORCED_CLOSE and code == c.OK) or code == c.HEAD_UNFINISHED:
        held = {0: venue.position(size, size * PRICE)}
    if rng.random() < 0.3 and code == c.OK:
        globals.grace_until = venue.NOW + 1_000
    row = venue.account(venue.OWNERS[1], money, held, fresh=rng.choice([0, 10**9]))
    time = venue.NOW + rng.choice([0, -5_000, constants.FORCED_PRICE_AGE])
    if rng.random() < 0.2:
        # All but a close and a leave pass one that is under way.
        globals.head_account, globals.head_market = MAKER, constants.MARKETS
    if code == c.HEAD_UNFINISHED:
        globals.head_account, globals.head_market = rng.choice([ACCOUNT, MAKER]), rng.choice([0, constants.MARKETS])
    elif tag in (constants.FORCED_CLOSE, constants.LEAVE) and code == c.OK:
        globals.head_account = globals.head_market = 0
    if code == c.TOO_SOON:
        time = venue.NOW
    if tag == constants.LEAVE and rng.random() < 0.3:
        time = venue.NOW + 10**7
    # What is refused leaves all globals as they are, and a head that it outlasts would not be.
    globals.head_time = 0 if code == c.OK or globals.head_account == 0 else time
    payload, sender = _payload(rng, tag, code, globals), venue.OWNERS[1]
    if code == c.NOT_OWNER:
        sender = rng.choice([venue.DEPOSITOR, venue.OWNERS[2]])
    if tag in (constants.SET_MARKET, constants.SET_VENUE):
        sender = venue.OPERATOR
    state = venue.build_state(globals, {ACCOUNT: row, MAKER: row}, begun=int(globals.head_account != 0))
    return state, [venue.entry(tag, bent(rng, code, payload), sender, time)], venue.NOW


def _payload(rng: random.Random, tag: int, code: int, globals: containers.Globals) -> bytes:
    if tag == constants.FORCED_TICK:
        return _tick_payload(rng, code)
    if tag == constants.SET_VENUE:
        return _venue_payload(rng, code, globals)
    if tag == constants.SET_MARKET:
        return _market_payload(rng, code, globals)
    fields: dict[str, Any] = {"amount": rng.choice([1, 10**6, 2**56 - 1]), "limit": rng.choice([0, 1, 2**48 - 1])}
    fields |= {"expires_at": venue.NOW, "agent_index": 1}
    fields |= {"agent": rng.choice(venue.AGENTS), "last_slot": 255}
    index = ACCOUNT
    if code == c.RESERVED:
        index = rng.randrange(17)
    elif code == c.NO_ACCOUNT:
        index = rng.choice([999, constants.NEW_ACCOUNT])
    elif code == c.COLLATERAL and rng.random() < 0.3:
        fields["amount"] = 0
    elif code == c.NO_MARKET:
        fields["market"] = rng.choice([16, 255])
    elif code == c.OVERFILLED:
        fields |= rng.choice([{"market": 2}, {"amount": 0}])
    elif code == c.BAD_ENTRY and tag == constants.FORCED_AGENT:
        bad: list[dict[str, Any]] = [{"agent_index": 2}, {"agent_index": 3}, {"first_slot": 255, "last_slot": 1}]
        fields |= rng.choice([*bad, {"agent": containers.NOBODY}])
    elif tag == constants.FORCED_AGENT and rng.random() < 0.3:
        fields |= {"agent_index": constants.FLOOR_INDEX, "agent": containers.NOBODY, "expires_at": 0, "last_slot": 0}
    return venue.owned(tag, index, **fields)


def _tick_payload(rng: random.Random, code: int) -> bytes:
    prices = [PRICE + rng.randrange(100), 300_000, 1_500_000]
    changes: dict[int, dict[str, Any]] = {
        # The last of them is on time for an entry that is as late.
        c.OFF_GRID: {"time": venue.NOW + rng.choice([1, 15_000, constants.FORCED_PRICE_AGE])},
        c.OLD_TICK: {"time": venue.NOW - rng.choice([0, 5_000])},
        c.QUORUM: {"signers": range(rng.choice([3, 4, 6, 7]))},
        c.DUPLICATE_SIGNER: {"signers": rng.choice([[0, 0, 1, 2, 3], [0, 1, 2, 3, 3]])},
        c.UNSORTED_SIGNERS: {"signers": rng.choice([[0, 1, 2, 4, 3], [1, 0, 1, 2, 3]])},
        c.BAD_SIGNERS: {"forged": rng.randrange(5)},
        c.ZERO_PRICE: {"prices": [0, 0, 0]},
    }
    return venue.tick(**({"time": venue.NOW + 5_000, "prices": prices} | changes.get(code, {})))[1:]


def _venue_payload(rng: random.Random, code: int, globals: containers.Globals) -> bytes:
    fee, grace = rng.choice([0, 1, rng.randrange(1, 10**6)]), rng.choice([0, rng.randrange(constants.MAX_GRACE)])
    globals.posting_fee, globals.grace_period = fee, grace
    fee_step, grace_step = max(fee // 4, constants.POSTING_FEE_STEP), max(grace // 4, constants.GRACE_STEP)
    given: dict[str, Any] = {
        "posting_fee": min(max(fee + rng.choice([1, fee_step, -fee_step]), 1), constants.MOST_POSTING_FEE),
        "grace_period": min(max(grace + rng.choice([0, grace_step, -grace_step]), 0), constants.MAX_GRACE),
    }
    if code == c.STEP_LIMIT:
        globals.posting_fee, globals.grace_period = min(fee, 10**5), min(grace, 10**6)
        given |= rng.choice(
            [
                {"posting_fee": globals.posting_fee + max(globals.posting_fee // 4, constants.POSTING_FEE_STEP) + 1},
                {"grace_period": globals.grace_period + max(globals.grace_period // 4, constants.GRACE_STEP) + 1},
            ]
        )
    given |= {"signer_index": rng.randrange(7), "signer": rng.choice([containers.NOBODY, venue.OWNERS[9]])}
    if code == c.TOO_SOON:
        globals.venue_changed_at = venue.NOW - rng.choice([0, constants.PARAMETER_PERIOD - 1])
    elif rng.random() < 0.3:
        globals.venue_changed_at = venue.NOW - constants.PARAMETER_PERIOD
    if code == c.OUT_OF_RANGE:
        globals.signers[6] = containers.NOBODY
        given |= rng.choice(
            [
                {"posting_fee": constants.MOST_POSTING_FEE + 1},
                {"posting_fee": 0},
                {"grace_period": constants.MAX_GRACE + 1},
                {"signer_index": 7, "signer": venue.OWNERS[9]},
                {"signer_index": 6, "signer": venue.OWNERS[9]},
                {"signer": globals.signers[2]},
            ]
        )
    return operations.venue_payload(containers.VenueParameters(**given))


def _market_payload(rng: random.Random, code: int, globals: containers.Globals) -> bytes:
    market = rng.randrange(4)
    status = rng.choice([1, 2]) if market < 3 else 1
    source, risk = globals.markets[market % 3], globals.risk
    if market < 3 and code == c.OK and rng.random() < 0.3:
        source.status = constants.MARKET_REDUCE_ONLY
        status = rng.choice([1, 2, 3])
    given: dict[str, Any] = {
        "market": market,
        "status": status,
        "label": source.label if market < 3 else b"DOGE".ljust(31, b"\x00") + b"\x01",
        "initial_ppm": risk.initial_ppm[market % 3] * rng.choice([100, 110, 125, 75]) // 100,
        "maintenance_ppm": risk.maintenance_ppm[market % 3] * rng.choice([100, 90, 75]) // 100,
        "maker_fee_ppm": source.maker_fee_ppm + rng.choice([0, 100, -100]),
        "taker_fee_ppm": source.taker_fee_ppm + rng.choice([0, 100]),
        "band_ppm": source.band_ppm,
        "unwind_band_ppm": source.unwind_band_ppm + rng.choice([0, source.unwind_band_ppm // 4]),
        "funding_cap_ppb": venue.terms_of(source)["funding_cap_ppb"] * 5 // 4,
        "funding_interest_ppb": rng.choice([0, 12_500, -12_500]),
        "funding_damping_ppb": rng.choice([0, 12_500]),
        "minimum_notional": source.minimum_notional,
        "price": rng.choice([10_000, 2**48 - 1]) if market == 3 else 0,
        "interest_lower": 0 if market == 3 else source.interest_lower * rng.choice([75, 100, 125]) // 100,
        "interest_upper": 10**12 if market == 3 else source.interest_upper * rng.choice([75, 100, 125]) // 100,
    }
    if code == c.NO_MARKET:
        given["market"] = rng.choice([4, 15, 16, 255])
        if rng.random() < 0.3 and market < 3:
            given["market"] = market
            source.status = rng.choice([constants.MARKET_SETTLING, constants.MARKET_SETTLED])
    elif code == c.OUT_OF_RANGE:
        given |= rng.choice(
            [
                {"initial_ppm": rng.choice([4_999, constants.PPM + 1])},
                {"maintenance_ppm": rng.choice([2_499, constants.PPM])},
                {"maker_fee_ppm": 1_000, "taker_fee_ppm": 999},
                {"taker_fee_ppm": 1_001},
                {"band_ppm": rng.choice([9_999, 500_001])},
                {"unwind_band_ppm": rng.choice([99, 5_001])},
                {"funding_cap_ppb": 40_000_001},
                {"funding_interest_ppb": rng.choice([125_001, -125_001])},
                {"funding_damping_ppb": 125_001},
                {"price": 9_999},
                {"minimum_notional": rng.choice([0, 10**9 + 1])},
                {"interest_lower": 0, "interest_upper": 0},
                {"interest_lower": 1, "interest_upper": 0},
                {"interest_lower": 2, "interest_upper": 2},
                {"status": rng.choice([0, 3, 4, 255])},
                {"label": b"\x00" * 32},
            ]
        )
        if market == 3 and rng.random() < 0.3:
            given["label"] = b"DOGE".ljust(31, b"\x00") + b"\x07"
    elif code == c.TOO_SOON:
        given["market"], given["label"] = 0, globals.markets[0].label
        globals.markets[0].changed_at = venue.NOW - rng.choice([0, constants.PARAMETER_PERIOD - 1])
    elif code == c.STEP_LIMIT:
        given["market"], given["label"], source = 1, globals.markets[1].label, globals.markets[1]
        source.interest_lower, source.interest_upper = 10**12, 2 * 10**12
        kept = {"interest_lower": 10**12, "interest_upper": 2 * 10**12, "initial_ppm": risk.initial_ppm[1]}
        kept |= {"maintenance_ppm": risk.maintenance_ppm[1], "taker_fee_ppm": source.taker_fee_ppm}
        given |= kept | {"maker_fee_ppm": source.maker_fee_ppm, "status": 1}
        given |= rng.choice(
            [
                {"initial_ppm": risk.initial_ppm[1] * 5 // 4 + 1},
                {"maintenance_ppm": risk.maintenance_ppm[1] * 3 // 4 - 1},
                {"taker_fee_ppm": source.taker_fee_ppm + 101},
                {"maker_fee_ppm": source.maker_fee_ppm + 101},
                {"band_ppm": source.band_ppm * 5 // 4 + 1},
                {"unwind_band_ppm": source.unwind_band_ppm * 5 // 4 + 1},
                {"funding_cap_ppb": venue.terms_of(source)["funding_cap_ppb"] * 3 // 4 - 1},
                {"funding_interest_ppb": rng.choice([12_501, -12_501])},
                {"funding_damping_ppb": 12_501},
                {"minimum_notional": source.minimum_notional * 2},
                {"interest_lower": 0},
                {"interest_upper": 3 * 10**12},
            ]
        )
    if given["market"] == 3 and code == c.OK:
        given["status"] = 1
    return operations.market_payload(containers.Parameters(**given))
