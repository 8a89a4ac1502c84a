"""What the options of a signer open: the nodes that it reports to, its source of prices, the signer itself."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

import httpx
import msgspec
import structlog

from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID
from prover.cli.running import EXIT_USAGE, CommandFailed
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import ClientError, Misfit
from sequencer.devnet.prices import START_DOLLARS
from sequencer.oracle.http_prices import Agreement, HttpPrices
from sequencer.oracle.options import Options
from sequencer.oracle.premium import PremiumRule
from sequencer.oracle.price_filter import PriceFilter
from sequencer.oracle.price_sources import Market, NoisyPrices, PriceSource, SimulatedPrices, SourceError
from sequencer.oracle.recorded_prices import RecordedPrices, Series, derived, read_series
from sequencer.oracle.signer import OracleSigner, SignerKey
from sequencer.oracle.terms import Expected, Terms, TermsDiffer, awaited_terms
from sequencer.schema.answers import Status

_Value = TypeVar("_Value")


class Connection(msgspec.Struct, frozen=True):
    """The nodes, and what the first of them that answered says of itself.

    last_ticks: the venue's last prices by market, ticks.
    """

    nodes: list[NodeClient]
    status: Status
    terms: Terms
    last_ticks: dict[str, int]


def expected_terms(options: Options) -> Expected:
    """What the operator says beforehand."""
    markets = tuple(Market(name, decimals) for name, decimals in options.market)
    return Expected(options.chain_id, options.rollup_address, markets or None)


@asynccontextmanager
async def connected(options: Options) -> AsyncIterator[Connection]:
    """All nodes, and the terms of the first that answers; waits until one does."""
    expected = expected_terms(options)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(NodeClient(url)) for url in options.node_url]
        try:
            status, terms = await awaited_terms(nodes, expected)
        except TermsDiffer as error:
            raise CommandFailed(f"This is not the venue: {error}.", EXIT_USAGE) from None
        except Misfit as error:
            raise CommandFailed(f"The node is of another version: {error}.") from None
        fixed = (expected.rollup_address, expected.chain_id, expected.markets)
        if status.chain_id != DEVELOPMENT_CHAIN_ID and None in fixed:
            # A node that lies about them would have this key sign for another venue, or another market's price.
            raise CommandFailed(
                f"Chain {status.chain_id} is not a devnet: --chain-id, --rollup-address and --market are required.",
                EXIT_USAGE,
            )
        yield Connection(nodes, status, terms, await last_ticks(nodes))


@asynccontextmanager
async def price_source(options: Options, markets: Sequence[Market]) -> AsyncIterator[PriceSource]:
    """The source that the operator chose; CommandFailed where it cannot be used."""
    try:
        if options.source == "simulated":
            starts = [_start(options, market) for market in markets]
            yield SimulatedPrices(options.seed, starts, options.jumps_per_hour, options.jump_ppm)
        elif options.source == "recorded":
            yield RecordedPrices(_recordings(options, markets), options.speed, options.play_from_ms)
        else:
            async with _http(options, markets) as source:
                yield source
    except SourceError as error:
        raise CommandFailed(f"{str(error)[:1].upper()}{str(error)[1:]}.", EXIT_USAGE) from None


async def last_ticks(nodes: Sequence[NodeClient]) -> dict[str, int]:
    """The venue's last prices by market, of the first node that tells them; none of a market that never had one."""
    for node in nodes:
        with suppress(ClientError):
            return {market.name: market.price_ticks for market in await node.markets() if market.price_ticks}
    return {}


def seen_by(options: Options, source: PriceSource, signer_index: int) -> PriceSource:
    """A source as one signer sees it."""
    return NoisyPrices(source, options.noise_ppm, signer_index) if options.noise_ppm else source


def opened_signer(options: Options, connection: Connection, source: PriceSource, key: SignerKey) -> OracleSigner:
    """A signer by the wall clock."""
    markets = connection.terms.markets
    ages = round(options.max_age * 1_000), round(options.missing_seconds * 1_000)
    price_filter = PriceFilter(markets, ages[0], options.max_move_ppm, options.confirmations, ages[1])
    price_filter.begin_at(connection.last_ticks)
    return OracleSigner(
        key,
        connection.terms,
        seen_by(options, source, key.index),
        price_filter,
        connection.nodes,
        wall_clock_ms,
        PremiumRule(options.impact_dollars * 10**6, options.premium_cap_ppb),
    )


@asynccontextmanager
async def _http(options: Options, markets: Sequence[Market]) -> AsyncIterator[PriceSource]:
    prices = [_of(options.http_price, market, "--http-price") for market in markets]
    for market, given in zip(markets, prices, strict=True):
        if options.min_sources is not None and len(given) < options.min_sources:
            raise SourceError(f"market {market.name} has {len(given)} sources, fewer than --min-sources")
    log = structlog.get_logger("oracle")

    def failed(url: str, reason: str) -> None:
        log.warning("oracle.no_price", url=url, reason=reason)

    async with httpx.AsyncClient(follow_redirects=False, timeout=None) as client:
        agreement = Agreement(options.min_sources, options.max_spread_ppm)
        yield HttpPrices(client, prices, wall_clock_ms, failed, round(options.max_age * 1_000), agreement)


def _recordings(options: Options, markets: Sequence[Market]) -> list[Series]:
    read = {name: read_series(path.expanduser()) for name, path in options.series.items()}
    base = next(iter(read.values()))
    found: list[Series] = []
    for market in markets:
        if market.name not in read:
            beta = _of(options.beta, market, "--series or --beta")
            noise = options.beta_noise_ppm / 1_000_000
            read[market.name] = derived(base, _start(options, market), beta, noise, f"{options.seed}/{market.name}")
        found.append(read[market.name])
    return found


def _start(options: Options, market: Market) -> float:
    return options.start_price.get(market.name, START_DOLLARS.get(market.name, 100.0))


def _of(values: Mapping[str, _Value], market: Market, option: str) -> _Value:
    if market.name not in values:
        raise SourceError(f"market {market.name} has no price: give {option} {market.name}=…")
    return values[market.name]
