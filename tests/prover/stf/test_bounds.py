"""PROTOCOL.md's table of bounds, driven to its ends: no sum and no product of the law passes its size in bits.

Each row is an expression of the law, the most it can come to, and the bits that the table says. The functions are then
run on bytecode over every combination of extremes: they may not revert, and must say what Python says.
"""

import itertools
import random
from typing import Any, Final

import msgspec
import pytest

from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin, markets, trading
from tests.twins import venue
from tests.twins.venue import OWNERS, account, build_state, order, position
from tests.vectors.probe import Probe, ProbeReverted, plain, probe

SIZE: Final = constants.SIZE_BOUND - 1
PRICE: Final = 2**48 - 1
# A reduction may pass the bound by the notional of one whole position.
COST: Final = constants.COST_BOUND - 1 + SIZE * PRICE
FUNDING: Final = constants.FUNDING_BOUND - 1
COLLATERAL: Final = constants.COLLATERAL_BOUND - 1
PPM: Final = constants.PPM
FEE_PPM: Final = 2**16 - 1
PREMIUM: Final = 2**31
AMOUNT: Final = 2**64 - 1
AGENT: Final = 2**224 - 1
TIME: Final = 2**48 - 1
NOW: Final = venue.NOW
EPOCH: Final = venue.EPOCH
CLOCK: Final = containers.Clock(now=NOW, priced=True, grace=False, steady=True)
M: Final = constants.MARKETS

NOTIONAL: Final = SIZE * PRICE
INDEX_ENDS: Final = (FUNDING, -FUNDING)
OWED: Final = M * SIZE * 2 * FUNDING
PAYMENT: Final = OWED // constants.FUNDING_SCALE + 1
SETTLED: Final = COLLATERAL + PAYMENT
VALUE: Final = M * (NOTIONAL + COST)
EQUITY: Final = SETTLED + VALUE
REQUIREMENTS: Final = M * NOTIONAL
FEE: Final = NOTIONAL * FEE_PPM // PPM + 1 + 2**24
INTEREST: Final = 2**24 * SIZE * PRICE

# Name, the largest magnitude, bits without the sign.
TABLE: Final[list[tuple[str, int, int]]] = [
    ("size_lots", SIZE, 56),
    ("price_ticks", PRICE, 48),
    ("size * price", NOTIONAL, 104),
    ("size * price * ppm", NOTIONAL * PPM + PPM, 124),
    ("cost after a growth or a turn", constants.COST_BOUND - 1, 110),
    ("cost after a reduction", COST, 111),
    ("funding index", FUNDING, 79),
    ("index - index at settlement", 2 * FUNDING, 80),
    ("size * index difference", SIZE * 2 * FUNDING, 136),
    ("owed, sixteen markets", OWED, 140),
    ("payment = ceil(owed / 10^9)", PAYMENT, 111),
    ("payment * 10^9 - owed", constants.FUNDING_SCALE, 30),
    ("collateral after a fill, a deposit or a transfer", COLLATERAL, 96),
    ("collateral after a settlement", SETTLED, 111),
    ("value, sixteen markets", VALUE, 115),
    ("notional, sixteen markets", REQUIREMENTS, 108),
    ("notional * 100,000 ppm", REQUIREMENTS * constants.WITHDRAWAL_FLOOR_PPM, 125),
    ("requirements, sixteen markets", REQUIREMENTS + M, 108),
    ("equity", EQUITY, 115),
    ("size * (oracle - price) - fee", NOTIONAL + FEE, 105),
    ("equity * maintenance", (EQUITY + NOTIONAL + FEE) * (REQUIREMENTS + M), 223),
    ("size * price * fee ppm", NOTIONAL * FEE_PPM, 120),
    ("fee", FEE, 101),
    ("|limit - oracle| * 10^6, oracle * band", PRICE * PPM, 68),
    ("size_lots * limit_price_ticks of an order", NOTIONAL, 104),
    ("filled + size", 2 * SIZE, 57),
    ("sequence + 1", TIME + 1, 49),
    ("created_at + lifetime", TIME + constants.ORDER_LIFETIME, 49),
    ("rate * price * gap", PREMIUM * PRICE * constants.TICK_GAP, 95),
    ("index + growth", FUNDING + PREMIUM * PRICE * constants.TICK_GAP // constants.HOUR + 1, 80),
    ("collateral + deposit", COLLATERAL + AMOUNT, 97),
    ("open interest * price", INTEREST, 128),
    ("(1 - initial fraction) * (open interest * price - lower bound)", PPM * INTEREST, 148),
    ("50 * collateral of an insurance account", constants.FUND_MULTIPLE_UPPER * COLLATERAL, 102),
    ("open interest, 2^24 accounts", 2**24 * SIZE, 80),
    ("deposited total after 2^40 entries", 2**40 * AMOUNT, 104),
    ("withdrawn total", constants.MAX_WITHDRAWALS * AMOUNT, 96),
    ("funding dust after 2^64 settlements", 2**64 * constants.FUNDING_SCALE, 94),
    ("fee account after 2^24 fills at the bound", COLLATERAL + 2**24 * 2 * FEE, 126),
    ("queue work after 2^40 entries", 2**40 * constants.DEPOSIT_WEIGHT, 47),
]


@pytest.fixture(scope="module")
def bytecode() -> Probe:
    return probe()


@pytest.mark.parametrize(("name", "largest", "bits"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table_says_how_many_bits_each_expression_takes(name: str, largest: int, bits: int) -> None:
    assert largest.bit_length() == bits
    # int256, and room for a sum of two.
    assert bits <= 253


def test_what_is_stored_fits_its_field() -> None:
    assert SIZE < encoding.SIZE_BIAS
    assert COST < encoding.COST_BIAS
    assert FUNDING < encoding.FUNDING_BIAS
    assert SETTLED < encoding.COLLATERAL_BIAS
    assert COLLATERAL + 2**24 * 2 * FEE < encoding.COLLATERAL_BIAS
    assert TIME + 1 < 2**56
    assert 2 * SIZE < 2**64


def risk(price: int, funding: int, ppm: int) -> containers.Risk:
    return containers.Risk([price] * M, [funding] * M, [ppm] * M, [ppm] * M)


def every_position(size: int, cost: int, funding: int) -> list[containers.Position]:
    return [position(size, cost, funding)] * M


def accounts_at_the_ends() -> list[containers.Account]:
    # Settled money may be a debt while profit on top of it is still maturing.
    money = [(COLLATERAL, 0, 0, EPOCH), (-COLLATERAL, 0, 0, 0), (-COLLATERAL, COLLATERAL, COLLATERAL, EPOCH - 1)]
    return [
        containers.Account(OWNERS[1], TIME + 1, *held, PPM, [AGENT, AGENT], every_position(size, cost, funding))
        for held, size, cost, funding in itertools.product(money, (SIZE, -SIZE, 1), (COST, -COST), (FUNDING, -FUNDING))
    ]


RISKS: Final = [risk(*row) for row in itertools.product((PRICE, 1), (FUNDING, -FUNDING), (PPM, 1))]


def flat(account: containers.Account) -> Any:
    return (
        "0x" + account.owner.hex(),
        account.floor,
        account.settled,
        account.older,
        account.fresh,
        account.epoch,
        account.initial_ppm,
        tuple(account.agents),
        tuple(plain(each) for each in account.positions),
        account.factor,
    )


def test_settle_sums_and_spendable_at_the_ends(bytecode: Probe) -> None:
    for row, prices in itertools.product(accounts_at_the_ends(), RISKS):
        settled, dust = margin.settle(prices, row, NOW)
        assert abs(margin.collateral(settled)) <= SETTLED
        assert 0 <= dust < constants.FUNDING_SCALE
        theirs, dust_of_theirs = bytecode.call("settle", prices, row, NOW)
        assert (theirs, dust_of_theirs) == (flat(settled), dust)
        sums = margin.sums(prices, settled, M)
        assert abs(sums.value) <= VALUE
        assert sums.maintenance <= REQUIREMENTS + M
        assert tuple(bytecode.call("sums", prices, settled, M)) == msgspec.structs.astuple(sums)
        assert bytecode.call("spendable", prices, settled, constants.WITHDRAWAL_FLOOR_PPM) == margin.spendable(
            prices, settled, constants.WITHDRAWAL_FLOOR_PPM
        )


def test_trade_at_the_ends(bytecode: Probe) -> None:
    seen: set[int] = set()
    sample = random.Random(1)
    cases = list(itertools.product(accounts_at_the_ends(), RISKS, (SIZE, -SIZE, 1, -1), (PRICE, 1), (0, FEE), (0, 15)))
    for row, prices, size, price, fee, market in sample.sample(cases, 1_200):
        leg = containers.Leg(market, size, price, fee, PPM)
        traded = trading.trade(prices, CLOCK, row, leg)
        theirs = bytecode.call("trade", prices, CLOCK, row, leg)
        assert theirs == (traded.code, flat(traded.account), traded.growth, traded.dust)
        seen.add(traded.code)
        if traded.code == c.OK:
            assert abs(margin.collateral(traded.account)) <= COLLATERAL
            encoding.account_payload(traded.account)
    assert seen >= {c.OUT_OF_BOUNDS, c.MARGIN}


def listed(**changes: Any) -> containers.Market:
    """An open market with changes by field name."""
    return msgspec.structs.replace(venue.globals_of().markets[0], **changes)


def test_scaled_fractions_at_the_ends(bytecode: Probe) -> None:
    interest = 2**24 * SIZE
    seen: set[int] = set()
    for price, lots, base, lower, upper, fund in itertools.product(
        (PRICE, 1), (interest, 1, 0), (PPM, 1), (0, 2**104 - 2), (0, 1, 2**104 - 1), (COLLATERAL, 1, 0, -COLLATERAL)
    ):
        if upper not in (0, 1) or lower == 0:
            market = listed(interest_lower=lower, interest_upper=upper, fund=fund)
            scaled = margin.scaled_ppm(market, price, lots, base)
            assert base <= scaled <= PPM
            assert bytecode.call("scaled_ppm", market, price, lots, base) == scaled
            seen.add(scaled)
    assert seen >= {1, PPM}


def test_only_reduced_at_the_ends(bytecode: Probe) -> None:
    equity = EQUITY + 2 * NOTIONAL + FEE
    needed = REQUIREMENTS + M
    for before, after, one, two in itertools.product(
        (equity, -equity, 0), (equity, -equity, 0), (needed, 0), (needed, 0)
    ):
        for old, new in ((SIZE, SIZE), (-SIZE, -1), (SIZE, -SIZE), (SIZE, 0)):
            arguments = (old, new, before, after, one, two)
            assert bytecode.call("only_reduced", *arguments) is margin.only_reduced(*arguments)


def test_accrued_and_medians_at_the_ends(bytecode: Probe) -> None:
    for arguments in itertools.product(
        (FUNDING, -FUNDING, 0), (PREMIUM - 1, -PREMIUM, 0), (PRICE, 1), (TIME, 5_000, 1)
    ):
        index = markets.accrued(*arguments)
        assert abs(index) <= FUNDING
        assert bytecode.call("accrued", *arguments) == index
    for premium, terms in itertools.product((PREMIUM - 1, -PREMIUM, 0), (0, 2**96 - 1, 2**64 - 1, 2**96 - 2**64)):
        rate = markets.funding_rate(terms, premium)
        assert abs(rate) <= 2 * PREMIUM
        assert bytecode.call("funding_rate", terms, premium) == rate
    for count in (1, 3, 5, 7):
        for reports in itertools.product((PRICE, 1), repeat=count):
            padded = [*reports, *[0] * (7 - count)]
            assert markets.median(padded, count) == sorted(reports)[count // 2]
    assert bytecode.call("median", [PRICE, 1, -PREMIUM, PRICE, 1, 0, -1], 7) == 1


def test_check_pair_at_the_ends(bytecode: Probe) -> None:
    for price, limit, band, side, size in itertools.product((PRICE, 1), (PRICE, 1), (PPM, 0), (0, 1), (SIZE, 1)):
        market = listed(maker_fee_ppm=FEE_PPM, taker_fee_ppm=FEE_PPM, band_ppm=band)
        maker = order(17, side=side, limit_price=limit, size=size, max_fee_ppm=FEE_PPM)
        taker = order(18, side=1 - side, limit_price=limit, size=size, max_fee_ppm=FEE_PPM, max_posting_fee=2**24 - 1)
        arguments = (price, True, market, 2**24 - 1, maker, taker, size)
        assert bytecode.call("check_pair", *arguments) == trading.check_pair(*arguments)


@pytest.mark.parametrize(
    ("size", "cost", "funding"),
    [(2**63, 0, 0), (1, 2**112, 0), (1, -(2**111) - 1, 0), (1, 0, -(2**79) - 1)],
)
def test_past_its_field_a_position_would_make_the_referee_revert(
    bytecode: Probe, size: int, cost: int, funding: int
) -> None:
    # What the bounds are for: on L1 this is a chunk that cannot be proven wrong.
    if size == 2**63 or cost == 2**112:
        packed = bytecode.call("pack", size, cost, funding)
        assert tuple(bytecode.call("unpack", packed)) != (size, cost, funding)
    else:
        with pytest.raises(ProbeReverted):
            bytecode.call("pack", size, cost, funding)


def test_a_whole_fill_at_the_ends_does_not_revert() -> None:
    rng = random.Random(7)
    reached: set[int] = set()
    for _ in range(150):
        globals = venue.globals_of()
        globals.risk.price[0] = globals.markets[0].previous_price = rng.choice([PRICE, PRICE // 2, 1])
        globals.risk.funding_index = [rng.choice([FUNDING, -FUNDING])] * 3 + [0] * 13
        globals.markets[0].band_ppm = PPM
        rows = {
            index: account(
                OWNERS[index - 16],
                rng.choice([COLLATERAL, -COLLATERAL, 2**90]),
                {
                    m: position(
                        rng.choice([SIZE, -SIZE, 1]), rng.choice([COST, -COST, 0]), rng.choice([FUNDING, -FUNDING])
                    )
                    for m in range(3)
                },
            )
            for index in (17, 18)
        }
        side = rng.randrange(2)
        limit = rng.choice([PRICE, PRICE // 2, 1])
        orders = [
            venue.signed_order(
                order(index, side=where, size=SIZE, limit_price=limit, max_fee_ppm=FEE_PPM), venue.KEYS[index - 16]
            )
            for index, where in ((17, side), (18, 1 - side))
        ]
        fill = venue.operations.fill_bytes(0, 1, rng.choice([SIZE, SIZE - 1, 1]))
        reached.add(venue.run(build_state(globals, rows), *orders, fill).codes[-1])
    assert reached >= {c.OUT_OF_BOUNDS, c.PRICE_BAND, c.OK, c.MAKER_MARGIN}
