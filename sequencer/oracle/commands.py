"""`catenary oracle`: its options, and which of them go together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID
from prover.cli.keys import load_signer
from prover.cli.options import AddressType, config_option, gathered, output_options
from prover.cli.running import EXIT_USAGE, CommandFailed, StandardOutput, configure_logging, run
from prover.stf import constants
from sequencer.oracle.options import Options, parse_http_price

DEFAULT_NODE: Final = "http://127.0.0.1:9545"

Pairs = tuple[tuple[str, Any], ...]


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


def _by_market(_context: click.Context, _parameter: click.Parameter, pairs: Pairs) -> dict[str, Any]:
    return dict(pairs)


def _all_by_market(_context: click.Context, _parameter: click.Parameter, pairs: Pairs) -> dict[str, tuple[Any, ...]]:
    values: dict[str, tuple[Any, ...]] = {}
    for name, value in pairs:
        values[name] = (*values.get(name, ()), value)
    return values


def _pairs(
    name: str,
    value: str,
    read: Callable[[str], Any],
    help: str,
    callback: Callable[[click.Context, click.Parameter, Pairs], Any] | None = _by_market,
) -> Callable[[Any], Any]:
    return click.option(name, type=_Pair(value, read), multiple=True, callback=callback, help=help)


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
    "price_decimals",
    _decimals,
    "All markets in order, those to come behind; required beside devnets.",
    callback=None,
)
@click.option("--source", type=click.Choice(("simulated", "recorded", "http")), default="simulated", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of simulated and derived prices.")
@click.option("--jumps-per-hour", type=click.FloatRange(0, 720), default=0.0, show_default=True, help="Simulated.")
@click.option("--jump-ppm", type=click.IntRange(0, 900_000), default=50_000, show_default=True, help="Their size.")
@click.option(
    "--noise-ppm", type=click.IntRange(0, 10_000), default=0, show_default=True, help="How far signers differ."
)
@_pairs("--start-price", "dollars", _dollars, "Where simulated and derived prices start.")
@_pairs("--series", "file", Path, "Recorded closes: a CSV or CSV.gz with timestamp and close.")
@_pairs("--beta", "number", _finite, "Derive a market from the first series: not market data.")
@click.option("--beta-noise-ppm", type=click.IntRange(0, 100_000), default=300, show_default=True, help="A row.")
@click.option("--speed", type=click.FloatRange(0.01, 10_000), default=1.0, show_default=True, help="Recorded s a s.")
@click.option("--play-from-ms", type=click.IntRange(0), help="Play once from this Unix time on; else round and round.")
@_pairs("--http-price", "URL#path[,time.path]", parse_http_price, "Repeat for a median of several.", _all_by_market)
@click.option(
    "--min-sources",
    type=click.IntRange(1, 100),
    show_default="more than half of those given",
    help="URLs of a market that must agree, or it has no price.",
)
@click.option(
    "--max-spread-ppm", type=click.IntRange(1, 10**6), default=10_000, show_default=True, help="How far they may stand."
)
@click.option(
    "--max-age", type=click.FloatRange(0.1, 600), default=15.0, show_default=True, help="Of a price, seconds."
)
@click.option("--max-move-ppm", type=click.IntRange(1, 10**6), default=50_000, show_default=True, help="Else confirm.")
@click.option("--confirmations", type=click.IntRange(1, 100), default=3, show_default=True, help="Readings of a jump.")
@click.option(
    "--missing-seconds",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="A market without a price for more than half of so long is said to have none, and the others are signed.",
)
@click.option("--impact-dollars", type=click.IntRange(1, 10**9), default=1_000, show_default=True, help="For premiums.")
@click.option(
    "--premium-cap-ppb",
    type=click.IntRange(0, 2**31 - 1),
    # What the lowest of the shipped listings has funding take: 0.05 percent an hour.
    default=500_000,
    show_default=True,
    help="The most to sign, an hour, in 10^-9: a node alone may have funding take it.",
)
@click.option("--ticks", type=click.IntRange(1), help="Stop after so many grid times.")
@click.option("--drill", "is_drill", is_flag=True, help="Outage drill: seven devnet signers against --no-oracle.")
@click.option("--l1-rpc-url", default="http://127.0.0.1:8545", show_default=True, help="For the drill's deposits.")
@output_options
@config_option
@gathered(Options)
def oracle(options: Options) -> None:
    """Sign prices and premiums at every grid time and report them to nodes that were started with --no-oracle.

    A signer reads a recorded series, a seeded simulation or any JSON over HTTP, measures the premium in the node's
    public book, and rather says nothing than a price that is old or has jumped for one reading only.
    """
    # Here and not above: whoever only reads the help needs neither trio nor a client.
    from sequencer.oracle.running import run_drill, run_signer

    configure_logging(options.log_level, options.json)
    output = StandardOutput(options.json)
    needed = {"recorded": ("--series", options.series), "http": ("--http-price", options.http_price)}
    option, has_any = needed.get(options.source, ("", True))
    if not has_any:
        raise CommandFailed(f"The source {options.source} needs {option} MARKET=….", EXIT_USAGE)
    if options.is_drill:
        if options.keystore is not None or options.signer_index is not None:
            raise CommandFailed("The drill plays all signers of a devnet with their well-known keys.", EXIT_USAGE)
        run(output, lambda: run_drill(output, options))
        return
    signer_index = options.signer_index
    if signer_index is None:
        raise CommandFailed("Say which signer this is: --signer-index.", EXIT_USAGE)
    sign: Callable[[bytes], bytes] | None = None
    if options.keystore is not None:
        # The chain is not known yet; a keystore is good on any.
        sign = load_signer(DEVELOPMENT_CHAIN_ID, options.keystore.expanduser(), options.password_file, 0).sign
    run(output, lambda: run_signer(output, options, signer_index, sign))
