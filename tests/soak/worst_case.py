"""The dearest chunks there are: dense trees, cold leaves, repeated fills, floods; measured as the whole fraud proof.

Gas is that of the transaction: 21,000, calldata of the whole prove_fraud call, the replay, and what the bridge
itself takes around it (BRIDGE_GAS, held against the real bridge by a test).
"""

import copy
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from l1_bridge.codec.batch import Batch, Chunk, Commitment, Header
from l1_bridge.codec.calls import encode_prove_fraud
from prover.contracts.referee import transaction_gas
from prover.signing import operations
from prover.signing.reports import tick_digest
from prover.state.genesis import MarketListing
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin
from prover.stf.replay import KINDS
from tests.twins import venue
from tests.vectors.law_table import NAMES

GAS_LIMIT: Final = 10_000_000
CALLDATA_LIMIT: Final = 100_000
# What prove_fraud takes beside the referee, with a body and a witness of the largest size.
BRIDGE_GAS: Final = 340_000
PRICE: Final = 600_000
# Sixteen positions that all funding is pending on.
PENDING: Final = 10**9 + 7
# The account that can make any trade.
RICH: Final = 2
# Pairs of who lost and who won come before everybody else.
SICK: Final = 32
BY_ORDER: Final = (constants.LIQUIDATE, constants.UNWIND)
FULL_AGENT: Final = 2**224 - 1


class Proof:
    """One measured fraud proof."""

    def __init__(self, outcome: venue.Outcome, claimed: bytes = b"\xee" * 32) -> None:
        assert outcome.same, "twins differ"
        self.outcome = outcome
        body = outcome.body
        chunks = [Chunk(body, claimed)] + [Chunk(b"", bytes([0xF0 + i % 15]) * 32) for i in range(23)]
        header = Header(2**255 + 5, b"\xdd" * 32, 2**255 + 7, b"\xcc" * 20)
        batch = Batch(header=header, chunks=tuple(chunks), commitment=_no_commitment())
        self.calldata = encode_prove_fraud(batch, 0, outcome.witness)
        self.execution_gas = outcome.gas_used
        self.gas = transaction_gas(outcome.gas_used + BRIDGE_GAS, self.calldata)
        self.calldata_bytes = len(self.calldata)
        self.weight = outcome.chunk.weight

    def describe(self) -> dict[str, int]:
        """What is reported of it."""
        return {
            "gas": self.gas,
            "execution_gas": self.execution_gas,
            "calldata_bytes": self.calldata_bytes,
            "body_bytes": len(self.outcome.body),
            "witness_bytes": len(self.outcome.witness),
            "weight_kilogas": self.weight,
            "operations": len(self.outcome.codes),
        }


def _no_commitment() -> Commitment:
    zero = bytes(32)
    return Commitment(constants.LAW_VERSION, zero, zero, 0, 0, 0, zero, 0, zero)


def spread(count: int) -> list[int]:
    """Account indices that share as little of their paths as indices can: bits of a counter, reversed."""
    found: list[int] = []
    for number in range(1, count + 1):
        reversed_bits = int(format(number, "06b")[::-1], 2)
        found.append(reversed_bits << 18 | 0x2_AAAA)
    return found


_LEAVES_LIMIT: Final = 4
_LEAVES: Final[dict[tuple[Any, ...], venue.Leaves]] = {}


# A forced rescue by E/MM and the funds' money: beyond what they may take, they would pay most of it.
FORCED: Final = (
    ("liquidation", 970_000, 2**70),
    ("take-over", 300_000, 2**70),
    ("beyond the fund", -50_000, 10**12),
    ("beyond a fund of a dollar", -50_000, 10**6),
)


# What a fund has where debtors are closed: nothing, or more than they lack.
INDEBTED_FUNDS: Final = (0, 2**70)


# A bound of open interest without a byte that is zero, which calldata has cheaper.
WIDE: Final = int.from_bytes(b"\x11" * 13, "big")


class Dense:
    """A state whose touched leaves have a sibling on each of the 32 levels; every account holds sixteen positions."""

    def __init__(
        self,
        accounts: int,
        rng: random.Random,
        positions: int = constants.MARKETS,
        slots: Iterable[int] = (0xD5,),
        withdrawal_count: int = 2**31 - 2**9 - 1,
        poor: bool = False,
        sick_ppm: int | None = None,
        leaving: bool = False,
        debtors: bool = False,
        over: bool = False,
        waited: bool = False,
        fund: int = 2**70,
    ) -> None:
        """`sick_ppm`: equity over maintenance of every second account, whose neighbour has won what it lost.

        `leaving`: the first account's leave is under way, against everybody else, since the funds have taken all that
        they may; with `debtors` they are all below zero, and with `waited` it is so old, and so near zero, that each
        tick is judged by itself. `over`: every market is.
        """
        self.rng = rng
        self.market_count = constants.MARKETS
        listings = tuple(
            MarketListing(
                name=f"MARKET{m:02}",
                size_decimals=5,
                initial_ppm=20_000,
                maintenance_ppm=12_000,
                interest_lower_micros=WIDE,
                interest_upper_micros=WIDE + 1,
            )
            for m in range(self.market_count)
        )
        prices = [PRICE + 1_111 * m for m in range(self.market_count)]
        globals = venue.globals_of(listings, 7, 7, prices)
        globals.risk.funding_index = [123_456_789_123 + m for m in range(self.market_count)]
        # Unsettled money has paid for debts in each of the last epochs, and after every account's last touch.
        last = range(venue.EPOCH + 1 - constants.FACTORS, venue.EPOCH + 1)
        factors = [epoch << 96 | (n + 1) << 69 | 2**64 - 3 * n for n, epoch in enumerate(last)]
        globals.risk.debts = containers.Debts(0, factors)
        globals.pool = containers.Pool(venue.EPOCH, 2**60, 2**60, 2**60, 0)
        globals.withdrawal_count = withdrawal_count
        globals.frontier = [rng.randbytes(32) for _ in range(constants.WITHDRAWAL_LEVELS)]
        globals.deposited_total = 2**100 - 1
        globals.funding_dust = 2**90 - 1
        for market in globals.markets:
            market.open_interest = 2**70 - 1
            market.premium_ppb = -1
        self.globals = globals
        self.indices = spread(accounts)
        self.slot_numbers = list(slots)
        self.owner = venue.OWNERS[1]
        self.poor = poor
        self.sick_ppm = sick_ppm
        self.leaving = leaving
        self.debtors = debtors
        self.waited = waited
        globals.streak = constants.STEADY_TICKS
        if leaving:
            globals.head_account, globals.head_market = self.indices[0], constants.MARKETS
            globals.head_time = venue.NOW - 1 - waited * constants.HEAD_PATIENCE
        for number, market in enumerate(globals.markets):
            # Half of them fell as far as the others rose.
            market.previous_price += waited * (1_111 if number % 2 else -1_111)
            market.fund = fund
            market.turned_over = 2**100 if leaving else 0
            market.status = constants.MARKET_SETTLED if over else market.status
        globals.next_account = 2**24 - 2**10
        # Chance and withdrawals stand in the globals alone.
        world = (accounts, positions, tuple(self.slot_numbers), poor, sick_ppm, leaving, debtors, waited, fund)
        leaves = _LEAVES.get(world)
        if leaves is None:
            # Worlds come in runs of the same one.
            if len(_LEAVES) == _LEAVES_LIMIT:
                del _LEAVES[next(iter(_LEAVES))]
            leaves = _LEAVES[world] = self.leaves(positions, fund, prices)
        if over:
            globals.risk.initial_ppm = globals.risk.maintenance_ppm = [0] * constants.MARKETS
        own = copy.copy(leaves)
        own.tree = venue.copy_of(leaves.tree)
        self.state: State = venue.planted(globals, own, begun=int(leaving))

    def leaves(self, positions: int, fund: int, prices: Sequence[int]) -> venue.Leaves:
        """Every leaf that a chunk may touch, and a sibling of each on every level."""
        rows: dict[int, containers.Account] = {}
        slot_rows: dict[int, containers.Slot] = {}
        for place, index in enumerate(self.indices):
            rows[index] = self.row(place, positions)
            for number in self.slot_numbers:
                slot_rows[index << 8 | number] = containers.Slot(sequence=0x11, filled=2**63 + 5)
                for level in range(8):
                    slot_rows[index << 8 | (number ^ 1 << level)] = containers.Slot(sequence=1, filled=1)
            for level in range(8):
                slot_rows[index << 8 | 1 << level] = containers.Slot(sequence=1, filled=1)
        rows[constants.FEE_ACCOUNT] = venue.account(venue.OPERATOR, 2**62 + 12_345, self.held(positions, 10**14, 0))
        for market in range(self.market_count):
            size = -0x1111_1111 if self.leaving else 0x1111_1111
            own = venue.position(size, size * prices[market], self.globals.risk.funding_index[market] - PENDING)
            rows[market + 1] = venue.account(containers.NOBODY, fund, {market: own}, epoch=venue.EPOCH - 1)
        for level in range(8):
            slot_rows[1 << level] = containers.Slot(sequence=1, filled=1)
        for index in [constants.FEE_ACCOUNT, *self.indices]:
            for level in range(constants.ACCOUNT_BITS):
                rows.setdefault(index ^ 1 << level, venue.account(venue.OWNERS[2], 1))
        for index in self.indices:
            for leaf in [number for number in self.slot_numbers if number]:
                slot_rows[index << 8 | leaf] = containers.Slot(sequence=0x11, filled=2**63 + 5)
        return venue.Leaves(rows, {k: v for k, v in slot_rows.items() if k & 255})

    def held(self, positions: int, collateral: int, number: int) -> dict[int, containers.Position]:
        """Positions with funding pending on each; neighbours stand on opposite sides of market 0."""
        indices = self.globals.risk.funding_index
        rows: dict[int, containers.Position] = {}
        for market in range(positions):
            size = (collateral // 40 // PRICE + 0x1111) * (1 if (market or number) % 2 else -1)
            if self.leaving:
                size = abs(size) * (1 if number else -1)
            cost = size * self.globals.risk.price[market] + 98_765_432_101
            rows[market] = venue.position(size, cost, indices[market] - PENDING - market)
        return rows

    def row(self, number: int, positions: int) -> containers.Account:
        collateral = 123_456_789_012_345
        held = self.held(positions, collateral, number)
        # A poor account is below its initial requirement and above zero: it may only reduce.
        ages: dict[str, Any] = {
            # Enough to make good what every position has lost, and more.
            "older": 0x1111_1111_1111,
            "fresh": 0x1111_1111_1111,
            "epoch": venue.EPOCH - 1,
            "factor": 1 << 69 | 2**64 - 1,
            "initial_ppm": 20_001,
            "agents": [encoding.agent_word(b"\x77" * 20, 2**48 - 1, 0, 255), FULL_AGENT],
        }
        if self.sick_ppm is not None and number < SICK:
            return self.pair(number, held, ages)
        if self.waited and number == 0:
            return self.worth(venue.account(self.owner, 0, held, **ages), abs(held[0].size) * 1_111)
        if number == RICH:
            return venue.account(self.owner, collateral << 20, held, **ages)
        if self.debtors and number:
            return venue.account(self.owner, 10**12, held, **ages)
        return venue.account(self.owner, 2_380_000_000_000 if self.poor else collateral, held, **ages)

    def pair(self, number: int, held: dict[int, containers.Position], ages: dict[str, Any]) -> containers.Account:
        """Even numbers: an account in trouble, most of it in a market of its own; odd ones: who won there."""
        market = number // 2 % self.market_count
        price, funding = self.globals.risk.price[market], held[market].funding
        size = abs(held[market].size) * 5 // 4
        if number % 2:
            held[market] = venue.position(-size, -size * price - 10**10, funding)
            return venue.account(self.owner, 10**16, held, **ages)
        held[market] = venue.position(size, size * price, funding)
        row = venue.account(self.owner, 0, held, **ages)
        settled, _ = margin.settle(self.globals.risk, row, venue.NOW)
        assert self.sick_ppm is not None
        maintenance = margin.sums(self.globals.risk, settled, constants.MARKETS).maintenance
        return self.worth(row, maintenance * self.sick_ppm // constants.PPM)

    def worth(self, row: containers.Account, equity: int) -> containers.Account:
        """An account of nothing that has settled, with as much of it as leaves so much equity."""
        settled, _ = margin.settle(self.globals.risk, row, venue.NOW)
        return msgspec.structs.replace(row, settled=equity - margin.equity(self.globals.risk, settled))

    def rescue(self, tag: int, place: int, number: int) -> bytes:
        """A rescue of the `number`th pair; `place`: of the maker's order in the chunk."""
        move = containers.Rescue(
            maker=place,
            market=number,
            account=self.indices[2 * number],
            other=self.indices[2 * number + 1],
            lots=0x1111,
        )
        return operations.rescue_bytes(tag, move if tag in BY_ORDER else msgspec.structs.replace(move, maker=0))

    def makers(self, count: int) -> list[bytes]:
        """Orders that a long in each of the first markets can be closed against."""
        return [
            self.order(
                SICK + market, market=market, side=constants.BUY, limit_price=self.price(market), trigger_price=1
            )
            for market in range(count)
        ]

    def price(self, market: int) -> int:
        """A market's oracle price."""
        return self.globals.risk.price[market]

    # Operations, all of them accepted, each on leaves of its own

    def order(self, number: int, slot: int | None = None, **fields: Any) -> bytes:
        index = self.indices[number]
        fields = {
            "side": number % 2,
            "size": 2**40 + 0x1111111,
            "limit_price": PRICE,
            "slot": self.slot_numbers[0] if slot is None else slot,
            "sequence": 0x1111_1111_11,
            "expires_at": venue.NOW + 0x1111,
            "max_fee_ppm": 0xFFFF,
            "max_posting_fee": 0xFFFFFF,
            "trigger": 1,
            "trigger_price": PRICE - 5,
        } | fields
        return venue.signed_order(venue.order(index, **fields), venue.KEY_OF[self.owner])

    def request(self, tag: int, number: int, other: int = 0, **fields: Any) -> bytes:
        fields = {
            "slot": 0 if tag == constants.CANCEL_ALL else self.slot_numbers[0],
            "sequence": 0x1111_1111_11,
            "expires_at": venue.NOW + 0x1111,
        } | fields
        if tag in (constants.WITHDRAW, constants.TRANSFER):
            fields = {"amount": 0x1111_1111} | fields
        if tag == constants.WITHDRAW:
            fields = {"recipient": b"\x66" * 20} | fields
        if tag == constants.TRANSFER:
            fields = {"other": other if other == constants.NEW_ACCOUNT else self.indices[other]} | fields
        if tag == constants.SET_AGENT:
            fields = {"other": 1, "recipient": b"\x99" * 20, "amount": 2**48 - 1, "last_slot": 255} | fields
        if tag == constants.SET_LEVERAGE:
            fields = {"amount": constants.PPM} | fields
        return venue.signed_request(tag, venue.request(self.indices[number], **fields), venue.KEY_OF[self.owner])

    def entry(self, tag: int, number: int, late: bool = False) -> bytes:
        """An entry of the L1 queue; `late`: so much later than the last price that it is old."""
        index = self.indices[number % len(self.indices)]
        market = number % self.market_count
        sender = self.owner
        if tag == constants.FORCED_TICK:
            payload = self.tick(number)[1:]
        elif tag == constants.FORCED_RESCUE:
            payload = operations.forced_rescue_payload(market, self.indices[2 * number], 0x1111)
        elif tag == constants.SET_VENUE:
            payload = operations.venue_payload(
                containers.VenueParameters(
                    self.state.globals.posting_fee + 9_999, self.state.globals.grace_period + 99_999, 6, b"\x99" * 20
                )
            )
        elif tag == constants.SET_MARKET:
            payload = self.same_market(market)
        else:
            fields = {"agent": b"\x99" * 20, "agent_index": 1, "expires_at": 2**48 - 1, "last_slot": 255}
            payload = venue.owned(tag, index, amount=0x1111_1111, **fields)
        return venue.entry(tag, payload, sender, venue.NOW + (10**9 if late else 0))

    def same_market(self, number: int) -> bytes:
        """A market's parameters as they are, which is as dear as a change."""
        row, risk = self.globals.markets[number], self.globals.risk
        return operations.market_payload(
            containers.Parameters(
                market=number,
                status=row.status,
                label=row.label,
                initial_ppm=risk.initial_ppm[number],
                maintenance_ppm=risk.maintenance_ppm[number],
                maker_fee_ppm=row.maker_fee_ppm,
                taker_fee_ppm=row.taker_fee_ppm,
                band_ppm=row.band_ppm,
                unwind_band_ppm=row.unwind_band_ppm,
                **venue.terms_of(row),
                minimum_notional=row.minimum_notional,
                price=0,
                interest_lower=row.interest_lower,
                interest_upper=row.interest_upper,
            )
        )

    def step(self, number: int) -> bytes:
        """A step of the first account's leave: a market and a counterparty of its own."""
        move = containers.Rescue(0, number % self.market_count, 0, self.indices[number + 1], 0x11)
        return operations.rescue_bytes(constants.CLOSE_STEP, move)

    def deposit(self, number: int, owner: bytes | None = None) -> bytes:
        return venue.deposit(owner or self.owner, 0x1111_1111_1111, self.indices[number], b"\x77" * 20)

    def tick(self, number: int) -> bytes:
        """A tick of seven signers, each below the one before, so that sorting takes every step."""
        moment = venue.NOW + constants.TICK_STEP * (number + 1)
        reports = []
        for signer in range(constants.SIGNERS):
            prices = [price + 11 * number - signer for price in self.globals.risk.price]
            premiums = [-number - signer - 1] * self.market_count
            digest = tick_digest(venue.DOMAIN, moment, prices, premiums)
            reports.append((signer, prices, premiums, venue.sign(venue.SIGNER_KEYS[signer], digest)))
        return operations.tick_bytes(moment, self.market_count, reports)


def measure(state: State, operations_: Iterable[bytes], expected: int | None = None) -> Proof:
    """The proof of one chunk, built of these operations; all of them come to `expected` where one is given."""
    outcome = venue.run(state, *operations_, timestamp=venue.NOW)
    assert expected is None or set(outcome.codes) <= {expected, c.OK}, outcome.codes
    return Proof(outcome)


Make = Callable[[Dense, int], list[bytes]]


def slope(make: Make, low: int, high: int, expected: int = c.OK, **world: Any) -> int:
    """Gas of one operation more, in a fresh dense world each."""
    few, many = (
        measure((dense := Dense(48, random.Random(number), **world)).state, make(dense, number), expected)
        for number in (low, high)
    )
    return -((few.gas - many.gas) // (high - low))


def fills(maker: int, taker: int, count: int, size: int = 0x11) -> list[bytes]:
    """The same fill again and again."""
    return [operations.fill_bytes(maker, taker, size)] * count


def pairs_filled(dense: Dense, count: int) -> list[bytes]:
    """`count` cold orders, each filled once: all leaves change and all funding is settled."""
    orders = [dense.order(number) for number in range(count)]
    return orders + [operations.fill_bytes(number, number + 1, 0x11) for number in range(0, count, 2)]


def kinds() -> dict[int, dict[str, int]]:
    """Gas of one operation more of each kind, by case; the largest is what its weight has to cover."""
    hot = slope(lambda d, n: [d.order(0), d.order(1), *fills(0, 1, n)], 2, 40)
    filled = slope(pairs_filled, 2, 24)

    def ticked_fills(dense: Dense, count: int) -> list[bytes]:
        ticks = [dense.tick(number) for number in range(2)]
        orders = [dense.order(number) for number in range(24)]
        one = [operations.fill_bytes(number, number + 1, 0x11) for number in range(0, 24, 2)]
        return [*orders, *one, ticks[0], *one[:count]]

    return {
        constants.DEPOSIT: {
            "cold": slope(lambda d, n: [d.deposit(i) for i in range(n)], 2, 40),
            "refunded": slope(
                lambda d, n: [d.deposit(i, owner=b"\x99" * 20) for i in range(n)], 2, 40, expected=c.REFUNDED
            ),
        },
        constants.WITHDRAW: {"cold": slope(lambda d, n: [d.request(constants.WITHDRAW, i) for i in range(n)], 2, 40)},
        constants.TRANSFER: {
            "cold": slope(lambda d, n: [d.request(constants.TRANSFER, 2 * i, 2 * i + 1) for i in range(n)], 2, 20),
            "opening": slope(
                lambda d, n: [d.request(constants.TRANSFER, i, other=constants.NEW_ACCOUNT) for i in range(n)], 2, 20
            ),
        },
        constants.SET_AGENT: {"cold": slope(lambda d, n: [d.request(constants.SET_AGENT, i) for i in range(n)], 2, 40)},
        constants.SET_LEVERAGE: {
            "cold": slope(lambda d, n: [d.request(constants.SET_LEVERAGE, i) for i in range(n)], 2, 40)
        },
        constants.LIQUIDATE: {
            "cold": slope(
                lambda d, n: [*d.makers(8), *[d.rescue(constants.LIQUIDATE, i, i) for i in range(n)]],
                2,
                8,
                sick_ppm=970_000,
            )
        },
        constants.TAKE_OVER: {
            "cold": slope(
                lambda d, n: [d.rescue(constants.TAKE_OVER, 0, i) for i in range(n)], 2, 14, sick_ppm=300_000
            ),
            "cold, left owing": slope(
                lambda d, n: [d.rescue(constants.TAKE_OVER, 0, i) for i in range(n)], 2, 14, debtors=True, over=True
            ),
        },
        constants.DELEVERAGE: {
            "cold": slope(
                lambda d, n: [d.rescue(constants.DELEVERAGE, 0, i) for i in range(n)], 2, 14, sick_ppm=-50_000
            )
        },
        constants.UNWIND: {
            "cold": slope(
                lambda d, n: [*d.makers(8), *[d.rescue(constants.UNWIND, i, i) for i in range(n)]],
                2,
                8,
                sick_ppm=970_000,
            )
        },
        constants.CLOSE_STEP: {
            "cold": slope(lambda d, n: [d.step(i) for i in range(n)], 2, 12, leaving=True, fund=0),
            "alone": slope(lambda d, n: [d.step(i) for i in range(n)], 0, 1, leaving=True, fund=0),
            **{
                f"{name}, {fund} of the fund": slope(
                    lambda d, n: [d.step(i) for i in range(n)], low, high, leaving=True, debtors=True, fund=fund
                )
                for name, low, high in (("cold, debtors", 2, 12), ("alone, a debtor", 0, 1))
                for fund in INDEBTED_FUNDS
            },
            "alone, a debtor, waited": slope(
                lambda d, n: [d.step(i) for i in range(n)], 0, 1, leaving=True, debtors=True, waited=True, fund=0
            ),
        },
        constants.FORCED_RESCUE: {
            **{
                name: slope(
                    lambda d, n: [d.entry(constants.FORCED_RESCUE, i) for i in range(n)],
                    2,
                    14,
                    sick_ppm=sick_ppm,
                    fund=fund,
                )
                for name, sick_ppm, fund in FORCED
            },
            "left owing": slope(
                lambda d, n: [d.entry(constants.FORCED_RESCUE, i) for i in range(n)], 2, 14, debtors=True, over=True
            ),
        },
        constants.FORCED_WITHDRAW: _cold_entries(constants.FORCED_WITHDRAW),
        constants.FORCED_CLOSE: {
            # Of all but the first, which is the head.
            "cold, behind another": slope(
                lambda d, n: [d.entry(constants.FORCED_CLOSE, i) for i in range(n)],
                2,
                40,
                expected=c.HEAD_UNFINISHED,
                leaving=True,
            ),
            "alone": slope(lambda d, n: [d.entry(constants.FORCED_CLOSE, i) for i in range(n)], 0, 1),
        },
        constants.LEAVE: {
            "cold, with nothing to close": slope(
                lambda d, n: [d.entry(constants.LEAVE, i) for i in range(n)], 2, 40, positions=0
            ),
            "cold, behind another": slope(
                lambda d, n: [d.entry(constants.LEAVE, i) for i in range(n)],
                2,
                40,
                expected=c.HEAD_UNFINISHED,
                leaving=True,
            ),
            "alone": slope(lambda d, n: [d.entry(constants.LEAVE, i) for i in range(n)], 0, 1),
        },
        constants.FORCED_AGENT: _cold_entries(constants.FORCED_AGENT),
        constants.FORCED_TICK: {
            "seven signers": slope(lambda d, n: [d.entry(constants.FORCED_TICK, i) for i in range(n)], 1, 2)
        },
        constants.SET_MARKET: {
            "every market": slope(lambda d, n: [d.entry(constants.SET_MARKET, i) for i in range(n)], 2, 16),
            "of the largest length": slope(
                lambda d, n: [venue.entry(constants.SET_MARKET, b"\x99" * 1_507)] * n, 1, 4, expected=c.BAD_ENTRY
            ),
        },
        constants.SET_VENUE: {
            "alone": slope(lambda d, n: [d.entry(constants.SET_VENUE, i) for i in range(n)], 0, 1),
            "of the largest length": slope(
                lambda d, n: [venue.entry(constants.SET_VENUE, b"\x99" * 1_507)] * n, 1, 4, expected=c.BAD_ENTRY
            ),
        },
        constants.CANCEL: {"cold": slope(lambda d, n: [d.request(constants.CANCEL, i) for i in range(n)], 2, 40)},
        constants.CANCEL_ALL: {
            "cold": slope(lambda d, n: [d.request(constants.CANCEL_ALL, i) for i in range(n)], 2, 40)
        },
        constants.TICK: {"seven signers": slope(lambda d, n: [d.tick(i) for i in range(n)], 1, 2)},
        constants.ORDER: {
            "cold": slope(lambda d, n: [d.order(i) for i in range(n)], 2, 40),
            # An order pays for its leaves; that a fill changes them later is part of it.
            "cold, changed by a fill": filled - hot // 2,
        },
        constants.FILL: {
            "hot": hot,
            "only reduced": slope(
                lambda d, n: [d.order(0, reduce_only=1), d.order(1), *fills(0, 1, n)], 2, 40, poor=True
            ),
            "funding pending": slope(ticked_fills, 1, 11),
            "refused late": slope(
                lambda d, n: [d.order(RICH, size=2**50), d.order(3, size=2**50), *fills(0, 1, n, 2**45)],
                2,
                40,
                expected=c.TAKER_MARGIN,
            ),
        },
    }


def _cold_entries(tag: int) -> dict[str, int]:
    return {"cold": slope(lambda d, n: [d.entry(tag, i, late=True) for i in range(n)], 2, 40)}


def flood(body_bytes: int) -> list[bytes]:
    """What fills the rest of a body at no weight: the shortest operation, FULL or not."""
    return [operations.tick_bytes(0x1111_1111_1111, 0xEE, [])] * (
        (constants.MAX_CHUNK_BYTES - body_bytes) // constants.TICK_HEAD_LENGTH
    )


def full(dense: Dense, first: list[bytes], then: list[bytes]) -> list[bytes]:
    """`first`, then `then` again and again while there is room, then a flood of what is FULL."""
    chunk: list[bytes] = []
    weight = 0
    size = constants.TIMESTAMP_LENGTH
    repeated = (then[number % len(then)] for number in range(constants.MAX_OPERATIONS)) if then else iter(())
    for operation in [*first, *repeated]:
        taken = KINDS[operation[0]].weight
        if weight + taken > constants.MAX_WEIGHT or size + len(operation) > constants.MAX_CHUNK_BYTES:
            continue
        chunk.append(operation)
        weight += taken
        size += len(operation)
    return chunk + flood(size)


def composites() -> dict[str, Proof]:
    """Chunks that somebody would build who wants a proof to fail."""
    limit = constants.MAX_ACCOUNT_REFERENCES
    rng = random.Random(1)
    proofs: dict[str, Proof] = {}

    def add(name: str, make: Callable[[Dense], list[bytes]], **world: Any) -> None:
        dense = Dense(limit, rng, **world)
        proofs[name] = measure(dense.state, make(dense))

    every_other = [operations.fill_bytes(i, i + 1, 0x11) for i in range(0, limit, 2)]
    add("cold orders, fills, flood", lambda d: full(d, [d.order(i) for i in range(limit)], every_other))
    add("cold orders, fills only", lambda d: full(d, [d.order(i) for i in range(limit)], every_other)[: limit * 3])
    add("poor cold orders, fills, flood", lambda d: full(d, [d.order(i) for i in range(limit)], every_other), poor=True)
    add("two orders, fills, flood", lambda d: full(d, [d.order(0), d.order(1)], fills(0, 1, 1)))
    add("transfers, flood", lambda d: full(d, _transfers(d, limit), []))
    add("transfers, ticks, flood", lambda d: full(d, _transfers(d, limit), [d.tick(i) for i in range(2)]))
    add("withdrawals, flood", lambda d: full(d, [d.request(constants.WITHDRAW, i) for i in range(limit)], []))
    add("refunds, flood", lambda d: full(d, [d.deposit(i, owner=b"\x99" * 20) for i in range(limit)], []))
    add("cancels, flood", lambda d: full(d, [d.request(constants.CANCEL, i) for i in range(limit)], []))
    add("ticks, flood", lambda d: full(d, [d.tick(i) for i in range(2)], []))
    add("empty ticks", lambda d: flood(constants.TIMESTAMP_LENGTH))
    add("fills of nothing", lambda d: full(d, [], fills(0, 0, 1)))
    add(
        "cold orders, ticks and fills in turn",
        lambda d: full(
            d,
            [*[d.order(i) for i in range(limit // 2)], *every_other[: limit // 4], d.tick(0)],
            every_other[: limit // 4],
        ),
    )
    for name, ratio in ((constants.TAKE_OVER, 300_000), (constants.DELEVERAGE, -50_000)):
        add(
            f"{NAMES[name]}, flood",
            lambda d, name=name: full(d, [d.rescue(name, 0, i) for i in range(14)], []),  # type: ignore[misc]
            sick_ppm=ratio,
        )
        add(
            f"{NAMES[name]} again and again, flood",
            lambda d, name=name: full(d, [], [d.rescue(name, 0, i) for i in range(14)]),  # type: ignore[misc]
            sick_ppm=ratio,
        )
    add(
        "liquidations, flood",
        lambda d: full(d, d.makers(10), [d.rescue(constants.LIQUIDATE, i, i) for i in range(10)]),
        sick_ppm=970_000,
    )
    add(
        "unwindings, flood",
        lambda d: full(d, d.makers(10), [d.rescue(constants.UNWIND, i, i) for i in range(10)]),
        sick_ppm=970_000,
    )
    for each, indebted, fund in (
        ("", False, 0),
        (" from debtors", True, 0),
        (" from debtors, a fund pays", True, 2**70),
    ):
        add(
            f"steps of a leave{each}, flood",
            lambda d: full(d, [], [d.step(i) for i in range(limit - 1)]),
            leaving=True,
            debtors=indebted,
            fund=fund,
        )
    for tag in (constants.FORCED_WITHDRAW, constants.LEAVE):
        add(
            f"{NAMES[tag]}, flood",
            lambda d, tag=tag: full(d, [d.entry(tag, i, late=True) for i in range(limit)], []),  # type: ignore[misc]
        )
    for forced, sick, fund in FORCED:
        add(
            f"forced rescues, {forced}, flood",
            lambda d: full(d, [], [d.entry(constants.FORCED_RESCUE, i) for i in range(14)]),
            sick_ppm=sick,
            fund=fund,
        )
    add("forced ticks, flood", lambda d: full(d, [d.entry(constants.FORCED_TICK, i) for i in range(2)], []))
    add("long entries", lambda d: full(d, [venue.entry(constants.SET_VENUE, b"\x99" * 1_507)] * 5, []))
    add("orders in many slots of one account", lambda d: full(d, [d.order(0, slot=128 + i) for i in range(limit)], []))
    return proofs


def _transfers(dense: Dense, limit: int) -> list[bytes]:
    return [dense.request(constants.TRANSFER, 2 * i, 2 * i + 1) for i in range(limit // 2)]


def mixed(rng: random.Random) -> Proof:
    """A random chunk of dear operations, cold and hot, with a flood behind it."""
    limit = constants.MAX_ACCOUNT_REFERENCES
    dense = Dense(limit, rng, poor=rng.random() < 0.3)
    first: list[bytes] = []
    fresh = list(range(limit))
    orders = 0
    ticks = 0
    for _ in range(rng.randrange(1, 60)):
        kind = rng.choice([constants.ORDER, constants.ORDER, constants.ORDER, *KINDS])
        if kind == constants.FILL:
            if orders > 1:
                first += fills(rng.randrange(orders), rng.randrange(orders), rng.randrange(1, 8))
        elif kind == constants.TICK:
            first.append(dense.tick(ticks) if ticks < 2 else operations.tick_bytes(0, 0, []))
            ticks += 1
        elif len(fresh) > 1:
            number = fresh.pop()
            if kind == constants.ORDER:
                first.append(dense.order(number))
                orders += 1
            elif kind == constants.DEPOSIT:
                first.append(dense.deposit(number, owner=rng.choice([None, b"\x99" * 20])))
            elif kind == constants.TRANSFER:
                first.append(dense.request(kind, number, fresh.pop()))
            elif constants.LIQUIDATE <= kind <= constants.CLOSE_STEP:
                first.append(dense.rescue(kind, 0, rng.randrange(16)))
            elif kind == constants.FORCED_RESCUE:
                first.append(dense.entry(kind, rng.randrange(16)))
            elif kind > constants.FORCED_RESCUE:
                first.append(dense.entry(kind, number, late=rng.random() < 0.5))
            else:
                first.append(dense.request(kind, number))
    then = [operations.fill_bytes(a, b, 0x11) for a in range(orders) for b in range(orders) if (a + b) % 2] or [
        operations.fill_bytes(0, 0, 1)
    ]
    return measure(dense.state, full(dense, first, rng.sample(then, min(len(then), 30))))


def run(rounds: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Summary and violations of one search."""
    rng = random.Random(seed)
    broken: list[str] = []
    weights: dict[str, Any] = {}
    for tag, cases in kinds().items():
        worst, weight = max(cases.values()), KINDS[tag].weight * 1_000
        weights[NAMES[tag]] = {"weight": weight, "worst": worst, "cases": cases}
        if not worst <= weight <= 2 * worst:
            broken.append(f"{NAMES[tag]}: weight {weight}, measured {worst}")
    proofs = composites()
    proofs |= {f"mixed {number}": mixed(rng) for number in range(rounds)}
    for name, proof in proofs.items():
        if proof.gas > GAS_LIMIT or proof.calldata_bytes > CALLDATA_LIMIT:
            broken.append(f"{name}: {proof.gas} gas, {proof.calldata_bytes} bytes of calldata")
    dearest = max(proofs, key=lambda name: proofs[name].gas)
    largest = max(proofs, key=lambda name: proofs[name].calldata_bytes)
    empty = measure(Dense(1, rng).state, [])
    return {
        "chunks": len(proofs),
        "worst_gas": proofs[dearest].gas,
        "worst_gas_chunk": dearest,
        "worst_calldata_bytes": proofs[largest].calldata_bytes,
        "worst_calldata_chunk": largest,
        "fixed_gas": empty.gas,
        "weights": weights,
        "composites": {name: proof.describe() for name, proof in proofs.items() if not name.startswith("mixed")},
    }, broken
