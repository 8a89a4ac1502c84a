"""`catenary oracle`: one signer as a process that anybody can run, or the outage drill of all seven of a devnet."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import httpx
import msgspec
import structlog
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.hashing import keccak
from prover.cli.keys import asked_password
from prover.cli.options import AddressType, config_option, output_options
from prover.cli.running import EXIT_USAGE, CommandFailed, StandardOutput, configure_logging, run, until_signal
from prover.signing import signatures
from prover.stf import constants
from prover.telling import Output
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError
from sequencer.devnet.funding import fund
from sequencer.devnet.prices import START_DOLLARS, devnet_signer_keys
from sequencer.devnet.signing_account import SigningAccount
from sequencer.oracle.drill import Desk, Finding, NoTick, drill
from sequencer.oracle.price_sources import (
    Guard,
    HttpPrice,
    HttpPrices,
    Market,
    NoisyPrices,
    PriceSource,
    RecordedPrices,
    Series,
    SimulatedPrices,
    SourceError,
    derived,
    parse_http_price,
    read_series,
)
from sequencer.oracle.signer import Expected, OracleSigner, Step, Terms, TermsDiffer, agreed_terms
from sequencer.schema.answers import Status
from sequencer.wallet.errors import WalletError
from sequencer.wallet.keys import open_keystore

DEFAULT_NODE: Final = "http://127.0.0.1:9545"
_WAIT_SECONDS: Final = 2.0
_DRILL_MICROS: Final = 5_000 * 10**6
_DRILL_PAYER: Final = 7
_DEPOSIT_MICROS: Final = 10 * 10**6

_Value = TypeVar("_Value")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose; maps are by market name."""

    node_url: tuple[str, ...]
    source: str
    seed: int
    jumps_per_hour: float
    jump_ppm: int
    noise_ppm: int
    start_price: dict[str, float]
    series: dict[str, Path]
    beta: dict[str, float]
    beta_noise_ppm: int
    speed: float
    play_from_ms: int | None
    http_price: dict[str, tuple[HttpPrice, ...]]
    max_age: float
    max_move_ppm: int
    confirmations: int
    impact_dollars: int
    premium_cap_ppm: int


class _Pair(click.ParamType[tuple[str, Any]]):
    """NAME=value -> (name, value)."""

    def __init__(self, value: str, read: Callable[[str], Any]) -> None:
        self.name = f"market={value}"
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """The pair; a usage error for anything else."""
        if isinstance(value, tuple):
            return value
        name, mark, text = str(value).partition("=")
        if not (name and mark):
            self.fail(f"{str(value)[:80]!r} is not {self.name}", param, ctx)
        try:
            return name, self._read(text)
        except ValueError as error:
            self.fail(f"{str(value)[:80]!r}: {error}", param, ctx)


def _dollars(text: str) -> float:
    value = float(text)
    if not 0 < value < 10**12:
        raise ValueError("it is not a price in dollars")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not -10 <= value <= 10:
        raise ValueError("a beta lies between -10 and 10")
    return value


def _decimals(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 6:
        raise ValueError("a price has 0 to 6 decimals")
    return value


def _pairs(*names: str, kind: click.ParamType[tuple[str, Any]], help: str) -> Callable[[Any], Any]:
    return click.option(*names, type=kind, multiple=True, help=help)


@click.command()
@click.option("--node-url", multiple=True, default=(DEFAULT_NODE,), show_default=True, help="Repeat for more nodes.")
@click.option("--signer-index", type=click.IntRange(0, constants.SIGNERS - 1), help="Which of the genesis' signers.")
@click.option(
    "--keystore", type=click.Path(path_type=Path), help="Keystore V3 file; a devnet's well-known key if none."
)
@click.option("--password-file", type=click.Path(path_type=Path), help="File with the keystore's password.")
@click.option("--rollup-address", type=AddressType(), help="Sign for this bridge only; required beside devnets.")
@click.option("--chain-id", type=click.IntRange(1), help="Sign for this chain only; required beside devnets.")
@_pairs(
    "--market",
    kind=_Pair("price_decimals", _decimals),
    help="All markets in order, those to come behind; required beside devnets.",
)
@click.option("--source", type=click.Choice(("simulated", "recorded", "http")), default="simulated", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of simulated and derived prices.")
@click.option("--jumps-per-hour", type=click.FloatRange(0, 720), default=0.0, show_default=True, help="Simulated.")
@click.option("--jump-ppm", type=click.IntRange(0, 900_000), default=50_000, show_default=True, help="Their size.")
@click.option(
    "--noise-ppm", type=click.IntRange(0, 10_000), default=0, show_default=True, help="How far signers differ."
)
@_pairs("--start-price", kind=_Pair("dollars", _dollars), help="Where simulated and derived prices start.")
@_pairs("--series", kind=_Pair("file", Path), help="Recorded closes: a CSV or CSV.gz with timestamp and close.")
@_pairs("--beta", kind=_Pair("number", _finite), help="Derive a market from the first series: not market data.")
@click.option("--beta-noise-ppm", type=click.IntRange(0, 100_000), default=300, show_default=True, help="A row.")
@click.option("--speed", type=click.FloatRange(0.01, 10_000), default=1.0, show_default=True, help="Recorded s a s.")
@click.option("--play-from-ms", type=click.IntRange(0), help="Play once from this Unix time on; else round and round.")
@_pairs("--http-price", kind=_Pair("URL#path[,time.path]", parse_http_price), help="Repeat for a median of several.")
@click.option(
    "--max-age", type=click.FloatRange(0.1, 600), default=15.0, show_default=True, help="Of a price, seconds."
)
@click.option("--max-move-ppm", type=click.IntRange(1, 10**6), default=50_000, show_default=True, help="Else confirm.")
@click.option("--confirmations", type=click.IntRange(1, 100), default=3, show_default=True, help="Readings of a jump.")
@click.option("--impact-dollars", type=click.IntRange(1, 10**9), default=1_000, show_default=True, help="For premiums.")
@click.option("--premium-cap-ppm", type=click.IntRange(0, 10**6), default=500, show_default=True, help="An hour.")
@click.option("--ticks", type=click.IntRange(1), help="Stop after so many grid times.")
@click.option("--drill", "is_drill", is_flag=True, help="Outage drill: seven devnet signers against --no-oracle.")
@click.option("--l1-rpc-url", default="http://127.0.0.1:8545", show_default=True, help="For the drill's deposits.")
@output_options
@config_option
def oracle(
    signer_index: int | None,
    keystore: Path | None,
    password_file: Path | None,
    rollup_address: bytes | None,
    chain_id: int | None,
    market: Sequence[tuple[str, int]],
    ticks: int | None,
    is_drill: bool,
    l1_rpc_url: str,
    json: bool,
    log_level: str,
    **given: Any,
) -> None:
    """Sign prices and premiums at every grid time and report them to nodes that were started with --no-oracle.

    A signer reads a recorded series, a seeded simulation or any JSON over HTTP, measures the premium in the node's
    public book, and rather says nothing than a price that is old or has jumped for one reading only.
    """
    configure_logging(log_level, json)
    output = StandardOutput(json)
    options = _options(given)
    needed = {"recorded": ("--series", options.series), "http": ("--http-price", options.http_price)}
    option, has_any = needed.get(options.source, ("", True))
    if not has_any:
        raise CommandFailed(f"The source {options.source} needs {option} MARKET=….", EXIT_USAGE)
    expected = Expected(chain_id, rollup_address, tuple(Market(name, decimals) for name, decimals in market) or None)
    if is_drill:
        if keystore is not None or signer_index is not None:
            raise CommandFailed("The drill plays all signers of a devnet with their well-known keys.", EXIT_USAGE)
        run(output, lambda: _drill(output, options, expected, l1_rpc_url))
        return
    if signer_index is None:
        raise CommandFailed("Say which signer this is: --signer-index.", EXIT_USAGE)
    sign: Callable[[bytes], bytes] | None = None
    if keystore is not None:
        try:
            sign = open_keystore(keystore.expanduser(), asked_password(keystore, password_file)).sign
        except WalletError as error:
            raise CommandFailed(f"{error}.", EXIT_USAGE) from None
    run(output, lambda: _sign(output, options, expected, signer_index, sign, ticks))


def _options(given: Mapping[str, Any]) -> Options:
    fields = dict(given)
    for name in ("start_price", "series", "beta"):
        fields[name] = dict(fields[name])
    prices: dict[str, tuple[HttpPrice, ...]] = {}
    for name, price in fields["http_price"]:
        prices[name] = (*prices.get(name, ()), price)
    return Options(**{**fields, "http_price": prices})


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


# One signer.


async def _sign(
    output: Output,
    options: Options,
    expected: Expected,
    signer_index: int,
    sign: Callable[[bytes], bytes] | None,
    ticks: int | None,
) -> bool:
    counts = {"grid_times": 0, "signed": 0, "taken": 0}

    def told(step: Step) -> None:
        counts["grid_times"] += 1
        counts["signed"] += step.report is not None
        counts["taken"] += step.is_taken
        if step.report is None:
            output.event("silent", f"{step.time_ms} silent: {step.reason}", time_ms=step.time_ms, reason=step.reason)
            return
        output.event(
            "report",
            f"{step.time_ms} prices {step.report.prices_ticks} premiums {step.report.premiums_ppm} {step.answers}",
            time_ms=step.time_ms,
            prices_ticks=step.report.prices_ticks,
            premiums_ppm=step.report.premiums_ppm,
            signature=step.report.signature,
            answers=step.answers,
        )

    async with until_signal(), _connected(options, expected) as (nodes, status, terms):
        if sign is None:
            sign = _devnet_key(status, signer_index)
        signer: OracleSigner | None = None
        is_done = False
        while not is_done:
            async with _source(options, terms.markets) as source:
                if signer is None:
                    signer = _signer(options, terms, nodes, source, signer_index, sign)
                else:
                    signer.follow(terms, _noisy(options, source, signer_index))
                output.event(
                    "ready",
                    f"Signer {signer_index} reports {len(terms.markets)} markets to {', '.join(options.node_url)}",
                    signer=signer_index,
                    markets=[market.name for market in terms.markets],
                )
                followed = terms
                while not is_done and followed == terms:
                    is_done = await signer.run(None if ticks is None else ticks - counts["grid_times"], told)
                    followed = terms if is_done else await _followed(nodes, expected, terms)
            terms = followed
    held = ticks is None or counts["taken"] == ticks
    output.summary("Signer stopped", {"signer_index": signer_index, **counts}, good=held)
    return held


def _devnet_key(status: Status, signer_index: int) -> Callable[[bytes], bytes]:
    if status.chain_id != DEVELOPMENT_CHAIN_ID:
        raise CommandFailed(f"Chain {status.chain_id} is not a devnet: --keystore is required.", EXIT_USAGE)
    key = devnet_signer_keys()[signer_index]
    return lambda digest: signatures.sign(key, digest)


@asynccontextmanager
async def _connected(options: Options, expected: Expected) -> AsyncIterator[tuple[list[NodeClient], Status, Terms]]:
    """All nodes, and the terms of the first that answers; waits until one does."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(NodeClient(url)) for url in options.node_url]
        status, terms = await _terms(nodes, expected)
        fixed = (expected.rollup_address, expected.chain_id, expected.markets)
        if status.chain_id != DEVELOPMENT_CHAIN_ID and None in fixed:
            # A node that lies about them would have this key sign for another venue, or another market's price.
            raise CommandFailed(
                f"Chain {status.chain_id} is not a devnet: --chain-id, --rollup-address and --market are required.",
                EXIT_USAGE,
            )
        yield nodes, status, terms


async def _terms(nodes: Sequence[NodeClient], expected: Expected) -> tuple[Status, Terms]:
    """What the nodes agree to, the longest list of markets first; waits for one, and fails where all are of another."""
    while True:
        found, differ = await _asked(nodes, expected)
        if found:
            return max(found, key=lambda one: len(one[1].markets))
        if len(differ) == len(nodes):
            raise CommandFailed(f"This is not the venue: {differ[0]}.", EXIT_USAGE)
        await trio.sleep(_WAIT_SECONDS)


async def _asked(
    nodes: Sequence[NodeClient], expected: Expected
) -> tuple[list[tuple[Status, Terms]], list[TermsDiffer]]:
    """Status and terms of each node that serves the venue, and what the others said instead."""
    log = structlog.get_logger("oracle")
    found: list[tuple[Status, Terms]] = []
    differ: list[TermsDiffer] = []
    for node in nodes:
        try:
            found.append((await node.status(), await agreed_terms(node, expected)))
        except TermsDiffer as error:
            log.warning("oracle.another_venue", node=node.url, error=str(error))
            differ.append(error)
        except ClientError as error:
            log.warning("oracle.no_node", node=node.url, error=str(error))
    return found, differ


async def _followed(nodes: Sequence[NodeClient], expected: Expected, terms: Terms) -> Terms:
    """The terms once a market may have been listed: the longest list that begins with the markets so far.

    A node that says otherwise is one of several: it ends no signer, and mutes none.
    """
    found, _ = await _asked(nodes, expected)
    longer = [
        found_terms
        for _, found_terms in found
        if found_terms.domain == terms.domain and found_terms.markets[: len(terms.markets)] == terms.markets
    ]
    return max([terms, *longer], key=lambda one: len(one.markets))


def _noisy(options: Options, source: PriceSource, signer_index: int) -> PriceSource:
    return NoisyPrices(source, options.noise_ppm, signer_index) if options.noise_ppm else source


def _signer(
    options: Options,
    terms: Terms,
    nodes: Sequence[NodeClient],
    source: PriceSource,
    signer_index: int,
    sign: Callable[[bytes], bytes],
) -> OracleSigner:
    return OracleSigner(
        signer_index,
        sign,
        terms,
        _noisy(options, source, signer_index),
        Guard(terms.markets, round(options.max_age * 1_000), options.max_move_ppm, options.confirmations),
        nodes,
        _wall_clock_ms,
        impact_micros=options.impact_dollars * 10**6,
        premium_cap_ppm=options.premium_cap_ppm,
    )


@asynccontextmanager
async def _source(options: Options, markets: Sequence[Market]) -> AsyncIterator[PriceSource]:
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


@asynccontextmanager
async def _http(options: Options, markets: Sequence[Market]) -> AsyncIterator[PriceSource]:
    prices = [_of(options.http_price, market, "--http-price") for market in markets]
    log = structlog.get_logger("oracle")

    def failed(url: str, reason: str) -> None:
        log.warning("oracle.no_price", url=url, reason=reason)

    async with httpx.AsyncClient(follow_redirects=False, timeout=None) as client:
        yield HttpPrices(client, prices, _wall_clock_ms, failed, round(options.max_age * 1_000))


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


# The drill.


async def _drill(output: Output, options: Options, expected: Expected, l1_rpc_url: str) -> bool:
    def told(finding: Finding) -> None:
        probes = finding.probes
        output.event(
            "phase",
            f"{finding.phase:<12} {finding.speaking} speak, {finding.ticks} ticks: fill {probes.fill}, withdrawal "
            f"{probes.withdrawal}, cancel {probes.cancel}, deposit {probes.deposit}",
            colour="green" if finding.is_held else "red",
            **msgspec.to_builtins(finding),
        )

    async with (
        until_signal(),
        _connected(options, expected) as (nodes, status, terms),
        _source(options, terms.markets) as source,
        L1Client(l1_rpc_url, L1Options(poll_seconds=0.2)) as l1,
    ):
        signers = [
            _signer(options, terms, nodes, source, index, _devnet_key(status, index))
            for index in range(constants.SIGNERS)
        ]
        seed = _wall_clock_ms().to_bytes(8, "big")
        traders = [
            SigningAccount(keccak(b"drill" + bytes([number]) + seed), terms.domain, _wall_clock_ms) for number in (0, 1)
        ]

        async def deposited(owner: bytes, micros: int) -> int:
            before = await nodes[0].accounts(owner)
            token, bridge = (address_bytes(text) for text in (status.token_address, status.rollup_address))
            await fund(l1, development_key(_DRILL_PAYER), token, bridge, [(owner, micros)])
            while (after := await nodes[0].accounts(owner)) == before:
                await trio.sleep(0.2)
            return after[-1]

        async def deposit() -> None:
            await deposited(traders[0].address, _DEPOSIT_MICROS)

        try:
            for trader in traders:
                trader.account = await deposited(trader.address, _DRILL_MICROS)
            desk = Desk(nodes[0], traders[0], traders[1], deposit, _wall_clock_ms)
            findings = await drill(signers, desk, told)
        except NoTick as error:
            raise CommandFailed(f"There was {error}: was the node started with --no-oracle?") from None
        except (ClientError, L1Error) as error:
            raise CommandFailed(f"The drill could not be played: {error}.") from None
        held = all(finding.is_held for finding in findings)
        output.summary(
            "Outage drill held" if held else "Outage drill did NOT hold",
            {"phases": len(findings), "held": held},
            good=held,
        )
        return held
    raise CommandFailed("Stopped before the end.")
