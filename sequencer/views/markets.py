"""What each market is called, and what is told of it."""

from functools import lru_cache
from typing import Final

from prover.state.genesis import market_names
from prover.stf import constants, containers, encoding, margin, markets
from sequencer.schema.answers import MarketView

_STATUS: Final = {
    constants.MARKET_CLOSED: "closed",
    constants.MARKET_OPEN: "open",
    constants.MARKET_REDUCE_ONLY: "reduce_only",
    constants.MARKET_SETTLING: "settling",
    constants.MARKET_SETTLED: "settled",
}

_named = lru_cache(maxsize=16)(market_names)


def names(globals: containers.Globals) -> list[str]:
    """What each listed market is called, by index."""
    return _named(tuple(listed.label for listed in globals.markets[: globals.market_count]))


def index_of(globals: containers.Globals, market: str | int) -> int | None:
    """The index of a listed market that is given by name or index."""
    return next((index for index, name in enumerate(names(globals)) if market in (index, name)), None)


def market_views(globals: containers.Globals) -> list[MarketView]:
    """All markets: prices, requirements, fees."""
    return [_market_view(globals, index, name) for index, name in enumerate(names(globals))]


def _market_view(globals: containers.Globals, index: int, name: str) -> MarketView:
    market, risk = globals.markets[index], globals.risk
    decimals = market.label[31]
    price, initial_ppm = risk.price[index], risk.initial_ppm[index]
    return MarketView(
        index=index,
        name=name,
        size_decimals=decimals,
        price_decimals=6 - decimals,
        status=_STATUS[market.status],
        price_ticks=price,
        previous_price_ticks=max(market.previous_price, 0),
        premium_ppb=market.premium_ppb,
        open_interest_lots=market.open_interest,
        initial_ppm=initial_ppm,
        growing_initial_ppm=margin.scaled_ppm(market, price, market.open_interest, initial_ppm),
        maintenance_ppm=risk.maintenance_ppm[index],
        maker_fee_ppm=market.maker_fee_ppm,
        taker_fee_ppm=market.taker_fee_ppm,
        band_ppm=market.band_ppm,
        funding_rate_ppb=markets.funding_rate(market.funding_terms, market.premium_ppb),
        funding_cap_ppb=encoding.funding_cap(market.funding_terms),
        funding_interest_ppb=encoding.funding_interest(market.funding_terms),
        funding_damping_ppb=encoding.funding_damping(market.funding_terms),
        interest_lower_micros=market.interest_lower,
        interest_upper_micros=market.interest_upper,
        fund_micros=market.fund,
        minimum_notional_micros=market.minimum_notional,
        posting_fee_micros=globals.posting_fee,
        tick_time_ms=globals.tick_time,
    )
