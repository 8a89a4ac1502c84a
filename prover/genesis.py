"""The first state of a venue: canonical bytes of globals, given to the bridge's constructor and logged there."""

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
    funding_cap_ppm: int = 500
    minimum_notional_micros: int = 10_000_000


# Initial and maintenance fractions: dYdX v4 genesis tiers, Large-Cap 2% and 60% of it, Mid-Cap 5% and 60%.
DEVNET_MARKETS: Final = (
    MarketListing(name="BTC", size_decimals=5, initial_ppm=20_000, maintenance_ppm=12_000),
    MarketListing(name="ETH", size_decimals=4, initial_ppm=20_000, maintenance_ppm=12_000),
    MarketListing(name="SOL", size_decimals=2, initial_ppm=50_000, maintenance_ppm=30_000),
)
DEVNET_POSTING_FEE_MICROS: Final = 500


def label(listing: MarketListing) -> bytes:
    """32 bytes: the ASCII name, zeros, and the size decimals in the last byte."""
    return listing.name.encode("ascii").ljust(31, b"\x00") + bytes([listing.size_decimals])


def name_and_decimals(market: containers.Market) -> tuple[str, int]:
    """The name and the size decimals in a market's label."""
    return market.label[:31].rstrip(b"\x00").decode("ascii", "replace"), market.label[31]


def genesis_bytes(
    operator: bytes,
    signers: list[bytes],
    quorum: int,
    listings: tuple[MarketListing, ...] = DEVNET_MARKETS,
    posting_fee_micros: int = DEVNET_POSTING_FEE_MICROS,
) -> bytes:
    """Canonical globals of a new venue; ValueError for an oracle or a market that the law could not work with."""
    faults = (len(signers) - 1) // 3
    if len(signers) > constants.SIGNERS or quorum % 2 == 0 or not 2 * faults < quorum <= len(signers):
        raise ValueError("the oracle needs an odd quorum above two thirds of at most seven signers")
    if len(set(signers)) != len(signers) or containers.NOBODY in signers:
        raise ValueError("oracle signers must be distinct addresses")
    if not 0 < len(listings) <= constants.MARKETS:
        raise ValueError("a venue has one to sixteen markets")
    for listing in listings:
        if not 0 < listing.maintenance_ppm <= listing.initial_ppm <= constants.PPM:
            raise ValueError(f"{listing.name}: 0 < maintenance <= initial <= 1 does not hold")
    absent = containers.Market(containers.NO_HASH, constants.MARKET_CLOSED, 0, 0, 0, 0, 0, 0, 0, 0)
    markets = [
        containers.Market(
            label=label(listing),
            status=constants.MARKET_OPEN,
            maker_fee_ppm=listing.maker_fee_ppm,
            taker_fee_ppm=listing.taker_fee_ppm,
            band_ppm=listing.band_ppm,
            funding_cap_ppm=listing.funding_cap_ppm,
            minimum_notional=listing.minimum_notional_micros,
            previous_price=0,
            premium_ppm=0,
            open_interest=0,
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
    return encoding.globals_bytes(globals)
