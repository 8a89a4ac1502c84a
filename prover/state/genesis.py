"""The first state of a venue: canonical bytes of globals, given to the bridge's constructor and logged there."""

from collections.abc import Sequence
from typing import Final

import msgspec

from prover.stf import constants, containers, encoding


class MarketListing(msgspec.Struct, frozen=True, kw_only=True):
    """A market as it is listed. size_decimals + price_decimals = 6, so lots times ticks are micro-dollars."""

    name: str
    size_decimals: int
    initial_ppm: int
    maintenance_ppm: int
    maker_fee_ppm: int = 100
    taker_fee_ppm: int = 450
    band_ppm: int = 50_000
    unwind_band_ppm: int = 1_000
    funding_cap_ppb: int = 500_000
    funding_interest_ppb: int = 0
    funding_damping_ppb: int = 0
    minimum_notional_micros: int = 10_000_000
    interest_lower_micros: int = 0
    interest_upper_micros: int

    @property
    def whole_fund_micros(self) -> int:
        """The least that its insurance account holds where its own bounds count, and no multiple of the fund."""
        lower = -(-self.interest_lower_micros // constants.FUND_MULTIPLE_LOWER)
        return max(lower, -(-self.interest_upper_micros // constants.FUND_MULTIPLE_UPPER))


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """What markets of like liquidity share; interest bounds in micro-dollars of notional."""

    initial_ppm: int
    maintenance_ppm: int
    interest_lower_micros: int
    interest_upper_micros: int
    band_ppm: int = 50_000
    unwind_band_ppm: int = 1_000
    funding_cap_ppb: int = 500_000
    funding_interest_ppb: int = 12_500
    funding_damping_ppb: int = 62_500

    def listing(self, name: str, size_decimals: int) -> MarketListing:
        """A market of this tier."""
        return MarketListing(name=name, size_decimals=size_decimals, **msgspec.structs.asdict(self))


_MILLION: Final = 10**12
# Initial fraction, share of it that is maintenance, open-interest bounds: dYdX v4 genesis liquidity tiers, but those of
# the large one, which has none there. Interest and damping of funding: Hyperliquid. Bands and funding caps are our own:
# what trades less may stray further.
TIERS: Final = {
    "large": Tier(
        initial_ppm=20_000,
        maintenance_ppm=12_000,
        interest_lower_micros=400 * _MILLION,
        interest_upper_micros=1_000 * _MILLION,
    ),
    "mid": Tier(
        initial_ppm=50_000,
        maintenance_ppm=30_000,
        interest_lower_micros=40 * _MILLION,
        interest_upper_micros=100 * _MILLION,
    ),
    "small": Tier(
        initial_ppm=100_000,
        maintenance_ppm=50_000,
        interest_lower_micros=20 * _MILLION,
        interest_upper_micros=50 * _MILLION,
        band_ppm=100_000,
        unwind_band_ppm=5_000,
        funding_cap_ppb=1_000_000,
    ),
    "long-tail": Tier(
        initial_ppm=200_000,
        maintenance_ppm=100_000,
        interest_lower_micros=5 * _MILLION,
        interest_upper_micros=10 * _MILLION,
        band_ppm=200_000,
        unwind_band_ppm=5_000,
        funding_cap_ppb=2_000_000,
    ),
    "isolated": Tier(
        initial_ppm=50_000,
        maintenance_ppm=30_000,
        interest_lower_micros=_MILLION // 2,
        interest_upper_micros=_MILLION,
        band_ppm=200_000,
        unwind_band_ppm=5_000,
        funding_cap_ppb=2_000_000,
    ),
}
# A devnet's positions pay no interest: what an example says of them stays true while it is read.
_PLAIN: Final = {"funding_interest_ppb": 0, "funding_damping_ppb": 0}
DEVNET_MARKETS: Final = (
    msgspec.structs.replace(TIERS["large"].listing("BTC", 5), **_PLAIN),
    msgspec.structs.replace(TIERS["large"].listing("ETH", 4), **_PLAIN),
    msgspec.structs.replace(TIERS["mid"].listing("SOL", 2), **_PLAIN),
)
DEVNET_POSTING_FEE_MICROS: Final = 500
DEVNET_GRACE_MS: Final = 10_000


def label(name: str, size_decimals: int) -> bytes:
    """32 bytes: the ASCII name, zeros, and the size decimals in the last byte; ValueError for what has no place."""
    if not (name.isascii() and 0 < len(name) <= 31):
        raise ValueError(f"a market's name has 1 to 31 ASCII characters, this one has {len(name)}")
    if not 0 <= size_decimals <= constants.MOST_SIZE_DECIMALS:
        raise ValueError(f"a market has 0 to {constants.MOST_SIZE_DECIMALS} size decimals, not {size_decimals}")
    return name.encode("ascii").ljust(31, b"\x00") + bytes([size_decimals])


def market_names(labels: Sequence[bytes]) -> list[str]:
    """What to call each market, by index; the law lets a label be any bytes and stand twice, a name must not mislead.

    What is not printable becomes a question mark; a name that is taken, that is a number or nothing gets its index.
    """
    names: list[str] = []
    for index, label in enumerate(labels):
        text = label[:31].rstrip(b"\x00").decode("ascii", "replace")
        name = "".join(mark if mark.isascii() and mark.isprintable() else "?" for mark in text)
        is_plain = name and not name.isdigit() and name.upper() not in (taken.upper() for taken in names)
        names.append(name if is_plain else f"{name}#{index}")
    return names


def name_and_decimals(market: containers.Market) -> tuple[str, int]:
    """The name and the size decimals in a market's label."""
    return market.label[:31].rstrip(b"\x00").decode("ascii", "replace"), market.label[31]


def legal_globals(genesis: bytes) -> containers.Globals:
    """The globals that genesis bytes stand for; ValueError unless they are canonical and a state the law can work on.

    The bridge cannot look into them. A deployer with genuine contracts could else open a venue whose chunks make the
    referee revert, so that no fraud in them could be proven.
    """
    globals = encoding.globals_from_bytes(genesis)
    _require(globals.next_account == constants.RESERVED_ACCOUNTS, "the first free account is 17")
    _require(0 < globals.market_count <= constants.MARKETS, "a venue has one to sixteen markets")
    _require(
        0 < globals.posting_fee <= constants.MOST_POSTING_FEE, "the posting fee is above zero and at most a dollar"
    )
    counters = (
        globals.tick_time,
        globals.grace_until,
        globals.streak,
        globals.deposited_total,
        globals.funding_dust,
        globals.withdrawal_count,
        globals.head_account,
        globals.head_market,
        globals.head_lots,
        globals.head_time,
        globals.head_limit,
        globals.tick_queued,
        globals.venue_changed_at,
    )
    _require(not any(counters), "nothing has happened before genesis")
    _require(0 <= globals.grace_period <= constants.MAX_GRACE, "a grace lasts at most an hour")
    _require(not any(any(node) for node in globals.frontier), "there are no withdrawals before genesis")
    signers = [signer for signer in globals.signers if signer != containers.NOBODY]
    _require(globals.signers[: len(signers)] == signers, "oracle signers stand without gaps")
    _require(len(set(signers)) == len(signers), "oracle signers are distinct")
    faults = (len(signers) - 1) // 3
    is_quorum = globals.quorum % 2 == 1 and 2 * faults < globals.quorum <= len(signers)
    _require(is_quorum, "the oracle has an odd quorum above two thirds of its signers")
    _require_no_debts(globals)
    risk = globals.risk
    for market in range(constants.MARKETS):
        row = globals.markets[market]
        moving = (risk.price[market], risk.funding_index[market], row.previous_price, row.premium_ppb)
        counted = (row.open_interest, row.fund, row.turned_over, row.paid_out)
        lived = (row.changed_at, row.settling)
        _require(not any((*moving, *counted, *lived)), "no market has a history before genesis")
        interest = (row.interest_lower, row.interest_upper)
        fixed = (
            row.maker_fee_ppm,
            row.taker_fee_ppm,
            row.band_ppm,
            row.unwind_band_ppm,
            row.funding_terms,
            row.minimum_notional,
            *interest,
        )
        if market >= globals.market_count:
            margins = (risk.initial_ppm[market], risk.maintenance_ppm[market], row.status, *fixed)
            _require(not any(margins) and row.label == containers.NO_HASH, "absent markets are zero")
            continue
        is_margin = 0 < risk.maintenance_ppm[market] <= risk.initial_ppm[market] <= constants.PPM
        _require(is_margin, "0 < maintenance <= initial <= 1")
        _require(row.label[31] <= constants.MOST_SIZE_DECIMALS, "size decimals are at most six")
        _require(row.status in (constants.MARKET_CLOSED, constants.MARKET_OPEN), "a market is open or closed")
        _require(0 <= row.maker_fee_ppm < 2**16 and 0 <= row.taker_fee_ppm < 2**16, "fees fit what orders can sign")
        _require(0 <= row.band_ppm <= constants.PPM, "the price band is a fraction")
        _require(0 <= row.unwind_band_ppm <= constants.PPM, "the unwinding band is a fraction")
        _require(0 <= row.funding_terms < 2**96, "the terms of funding are three numbers of 32 bits")
        _require(0 <= row.minimum_notional < 2**104, "the minimum notional can be reached")
        is_interest = 0 <= interest[0] < interest[1] < 2**104
        _require(is_interest, "open interest is scaled from a lower to an upper bound, and is never without one")
    return globals


def _require_no_debts(globals: containers.Globals) -> None:
    pool, debts = globals.pool, globals.risk.debts
    _require(not any((pool.epoch, pool.older, pool.fresh, pool.receivable, pool.owed)), "nobody owes before genesis")
    _require(not any((debts.clock, *debts.factors)), "nobody has paid for others before genesis")


def _require(is_legal: bool, sentence: str) -> None:
    if not is_legal:
        raise ValueError(f"no legal genesis: {sentence}")


def _funding_terms(listing: MarketListing) -> int:
    return encoding.funding_terms(listing.funding_cap_ppb, listing.funding_interest_ppb, listing.funding_damping_ppb)


def genesis_bytes(
    operator: bytes,
    signers: list[bytes],
    quorum: int,
    listings: tuple[MarketListing, ...] = DEVNET_MARKETS,
    posting_fee_micros: int = DEVNET_POSTING_FEE_MICROS,
    grace_period_ms: int = DEVNET_GRACE_MS,
) -> bytes:
    """Canonical globals of a new venue; ValueError for an oracle or a market that the law could not work with."""
    if len(signers) > constants.SIGNERS or len(listings) > constants.MARKETS:
        raise ValueError("a venue has at most seven oracle signers and sixteen markets")
    absent = containers.Market(containers.NO_HASH, constants.MARKET_CLOSED, *[0] * 16)
    markets = [
        containers.Market(
            label=label(listing.name, listing.size_decimals),
            status=constants.MARKET_OPEN,
            maker_fee_ppm=listing.maker_fee_ppm,
            taker_fee_ppm=listing.taker_fee_ppm,
            band_ppm=listing.band_ppm,
            unwind_band_ppm=listing.unwind_band_ppm,
            funding_terms=_funding_terms(listing),
            minimum_notional=listing.minimum_notional_micros,
            previous_price=0,
            premium_ppb=0,
            open_interest=0,
            interest_lower=listing.interest_lower_micros,
            interest_upper=listing.interest_upper_micros,
            fund=0,
            turned_over=0,
            paid_out=0,
            changed_at=0,
            settling=0,
        )
        for listing in listings
    ]
    none = [0] * (constants.MARKETS - len(listings))
    globals = containers.Globals(
        next_account=constants.RESERVED_ACCOUNTS,
        market_count=len(listings),
        quorum=quorum,
        tick_time=0,
        posting_fee=posting_fee_micros,
        deposited_total=0,
        funding_dust=0,
        withdrawal_count=0,
        grace_period=grace_period_ms,
        grace_until=0,
        streak=0,
        head_account=0,
        head_market=0,
        head_lots=0,
        venue_changed_at=0,
        head_time=0,
        head_limit=0,
        tick_queued=0,
        operator=operator,
        signers=signers + [containers.NOBODY] * (constants.SIGNERS - len(signers)),
        frontier=[containers.NO_HASH] * constants.WITHDRAWAL_LEVELS,
        risk=containers.Risk(
            price=[0] * constants.MARKETS,
            funding_index=[0] * constants.MARKETS,
            initial_ppm=[listing.initial_ppm for listing in listings] + none,
            maintenance_ppm=[listing.maintenance_ppm for listing in listings] + none,
        ),
        markets=markets + [absent] * len(none),
    )
    genesis = encoding.globals_bytes(globals)
    legal_globals(genesis)
    return genesis
