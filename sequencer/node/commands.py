"""`catenary node`: its options, and what an operator is told."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec
from click.core import ParameterSource

from l1_bridge.client.keys import Signer
from prover.cli.keys import load_signer
from prover.cli.options import AddressType, HostName, PageOrigin, config_option, gathered, key_options, output_options
from prover.cli.running import (
    EXIT_DATADIR,
    EXIT_L1,
    EXIT_USAGE,
    CommandFailed,
    StandardOutput,
    configure_logging,
    first_of,
    run,
    until_signal,
)
from prover.stf import constants, containers
from prover.telling import Output

if TYPE_CHECKING:
    from sequencer.node.config import NodeConfig
    from sequencer.node.first_trade import Place
    from sequencer.node.node import Running

_SOURCES: Final = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
    ParameterSource.DEFAULT: "default",
    ParameterSource.PROMPT: "prompt",
}
DEFAULT_DATADIR = Path("~/.catenary/node")


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary node` was told."""

    datadir: Path
    port: int
    monitor_port: int | None
    allow_host: tuple[str, ...]
    allow_origin: tuple[str, ...]
    no_page: bool
    page_l1_url: str
    challenger_url: str
    private_channels: bool
    l1_rpc_url: str
    l1_port: int
    rollup_address: bytes | None
    deploy: bool
    take_seat: bool
    follow: bool
    soft_from: str
    window_seconds: int
    governor: bytes | None
    governance_delay: int
    posting_fee_micros: int | None
    grace_ms: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    minimum_notional_micros: int
    bond_gwei: int
    entry_fee_gwei: int
    minimum_deposit_micros: int
    seal_seconds: float
    post_interval: float
    max_fee_gwei: float
    oracle_seed: int
    no_oracle: bool
    no_maker: bool
    verifiers: int
    preflight_workers: int
    preflight_percent: int
    preflight_seconds: float | None
    keep_history: tuple[str, ...]
    equity_seconds: int
    print_config: bool
    keystore: Path | None
    password_file: Path | None
    development_key: int
    json: bool
    log_level: str


@click.command()
@click.option(
    "--datadir",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATADIR,
    show_default=True,
    help="Journal, state, deployment and the embedded L1's chain.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=9545, show_default=True, help="API port, 0: any.")
@click.option(
    "--monitor-port",
    type=click.IntRange(0, 65535),
    default=None,
    show_default="the one after --port",
    help="Port of /health, /ready and /metrics alone, 0: any.",
)
@click.option(
    "--allow-host",
    type=HostName(),
    multiple=True,
    help="A name that requests may come for, as through a proxy; this machine's may always. Give it several times.",
)
@click.option(
    "--allow-origin",
    type=PageOrigin(),
    multiple=True,
    help="https://host[:port] whose pages may ask; this machine's may always. Give it several times.",
)
@click.option("--no-page", is_flag=True, help="Serve no page on the API's port.")
@click.option("--page-l1-url", default="", help="JSON-RPC of L1 for browsers, without a secret in it.")
@click.option("--challenger-url", default="", help="A challenger's monitor, whose verdicts the page shows.")
@click.option(
    "--private-channels",
    is_flag=True,
    help="Accounts and orders are told to who shows a key of the account's owner or agent; books and trades to all, "
    "without names.",
)
@click.option("--l1-rpc-url", default="", help="JSON-RPC of an L1 node; without one an embedded L1 starts.")
@click.option("--l1-port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="Embedded L1's port.")
@click.option("--rollup-address", type=AddressType(), help="Bridge of an existing rollup.")
@click.option("--deploy", is_flag=True, help="Deploy a new rollup to --l1-rpc-url (implied by the embedded L1).")
@click.option("--take-seat", is_flag=True, help="Put up one bond for an open seat, once (implied for a new rollup).")
@click.option("--follow", is_flag=True, help="Without the seat: show what L1 holds, take nothing. Needs no key.")
@click.option(
    "--soft-from", default="", help="With --follow: the sequencer's URL, whose stream is shown as not yet posted."
)
@click.option("--window", "window_seconds", type=click.IntRange(1), default=30, show_default=True, help="Seconds.")
@click.option(
    "--governor", type=AddressType(), help="Of a new rollup: who may announce parameters; nobody if not given."
)
@click.option(
    "--governance-delay",
    type=click.IntRange(0),
    default=30,
    show_default=True,
    help="Of a new rollup: seconds before an announcement stands.",
)
@click.option(
    "--posting-fee-micros",
    type=click.IntRange(1, constants.MOST_POSTING_FEE),
    show_default="500 on a devnet; needed elsewhere",
    help="Of a new rollup: micro-dollars for a request's bytes on L1, and once for a taker's order.",
)
@click.option(
    "--grace-ms",
    type=click.IntRange(0, constants.MAX_GRACE),
    default=10_000,
    show_default=True,
    help="Of a new rollup: how long risk may only fall once prices are back.",
)
@click.option(
    "--maker-fee-ppm",
    type=click.IntRange(0, 2**16 - 1),
    default=100,
    show_default=True,
    help="Of a new rollup: of each market.",
)
@click.option(
    "--taker-fee-ppm",
    type=click.IntRange(0, 2**16 - 1),
    default=450,
    show_default=True,
    help="Of a new rollup: of each market.",
)
@click.option(
    "--minimum-notional-micros",
    type=click.IntRange(0, 2**63 - 1),
    default=10_000_000,
    show_default=True,
    help="Of a new rollup: the least that an order which may open a position is worth, in each market.",
)
@click.option(
    "--bond-gwei",
    type=click.IntRange(1, 2**63 - 1),
    default=20 * 10**9,
    show_default=True,
    help="Of a new rollup, for ever: what the seat puts up.",
)
@click.option(
    "--entry-fee-gwei",
    type=click.IntRange(0, 2**63 - 1),
    default=10**5,
    show_default=True,
    help="Of a new rollup, for ever: what an entry of the queue that is no deposit burns.",
)
@click.option(
    "--minimum-deposit-micros",
    type=click.IntRange(1, 2**63 - 1),
    default=1_000_000,
    show_default=True,
    help="Of a new rollup, for ever: the least that is deposited.",
)
# A chunk has one clock: past half of the law's tolerance, what is signed now would soon be too new for an open chunk.
@click.option("--seal-seconds", type=click.FloatRange(0.05, 5), default=1.0, show_default=True, help="Chunk age.")
@click.option("--post-interval", type=click.FloatRange(0.05, 600), default=5.0, show_default=True, help="Post every.")
@click.option("--max-fee-gwei", type=click.FloatRange(0.001), default=500.0, show_default=True, help="Per gas.")
@click.option("--oracle-seed", type=int, default=0, show_default=True, help="Seed of the simulated devnet prices.")
@click.option("--no-oracle", is_flag=True, help="Simulate no prices: wait for the reports of `catenary oracle`.")
@click.option("--no-maker", is_flag=True, help="No devnet market maker: the book is empty until somebody quotes.")
@click.option(
    "--verifiers",
    type=click.IntRange(0, 256),
    default=lambda: max(1, len(os.sched_getaffinity(0)) - 1),
    show_default="cores - 1, at least 1",
    help="Signature worker processes, 0: none.",
)
@click.option(
    "--preflight-workers",
    type=click.IntRange(0, 64),
    default=1,
    show_default=True,
    help="Processes that replay chunks on the shipped bytecode before they are posted, 0: none, in the node itself.",
)
@click.option("--preflight-percent", type=click.IntRange(0, 100), default=100, show_default=True, help="Of all chunks.")
@click.option(
    "--preflight-seconds",
    type=click.FloatRange(0),
    default=None,
    show_default="no end",
    help="Of one batch; later chunks are posted without it.",
)
@click.option(
    "--keep-history",
    multiple=True,
    metavar="KIND=ROWS:DAYS",
    help="Of each list of history at most so many rows, none older than that: fills, funding, transfers, equity, "
    "trades, rates, candles.",
)
@click.option(
    "--equity-seconds",
    type=click.IntRange(0),
    default=900,
    show_default=True,
    help="How often an account with positions is valued for its curve of equity, 0: never.",
)
@click.option("--print-config", is_flag=True, help="Say each option's value and where it is from, and end.")
@key_options
@output_options
@config_option
@gathered(NodeOptions)
def node(options: NodeOptions) -> None:
    """Run the venue: match, sequence, keep, post. Without --l1-rpc-url it brings an L1 of its own."""
    configure_logging(options.log_level, options.json)
    output = StandardOutput(options.json)
    if options.print_config:
        print_config(output)
        return
    if options.follow and (not options.l1_rpc_url or options.deploy or options.take_seat):
        raise CommandFailed("--follow reads an --l1-rpc-url, and neither deploys nor takes a seat.", EXIT_USAGE)
    if options.soft_from and not options.follow:
        raise CommandFailed("--soft-from is for a node that follows: say --follow.", EXIT_USAGE)
    config = config_of(options)
    run(output, lambda: serve(config, output))


def print_config(output: Output) -> None:
    """Tells the options of the running command, and where each value is from; of URLs not what may be a key."""
    from l1_bridge.client.rpc import without_secrets

    context = click.get_current_context()
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in (None, "print_config", "config") or source is None:
            continue
        given = context.params.get(option.name)
        value = without_secrets(given) if isinstance(given, str) and "://" in given else given
        told = "0x" + value.hex() if isinstance(value, bytes) else value if value is None else str(value)
        name = max(option.opts, key=len)
        output.event(
            "option", f"{name:<24} {told!s:<40} {_SOURCES[source]}", option=name, value=told, source=_SOURCES[source]
        )


def config_of(options: NodeOptions) -> "NodeConfig":
    """What the node makes of its flags; CommandFailed for a keystore that does not open."""
    from sequencer.l1.preflight import PreflightPolicy
    from sequencer.node.config import NodeConfig
    from sequencer.sequencing.bookkeeping import kept_of

    try:
        kept_history = kept_of(options.keep_history)
    except ValueError as error:
        raise CommandFailed(f"--keep-history: {error}", EXIT_USAGE) from None
    operator: Signer | None = None
    if options.keystore is not None:
        # The chain is not known yet; a keystore is good on any.
        operator = load_signer(0, options.keystore, options.password_file, options.development_key)
    return NodeConfig(
        datadir=options.datadir.expanduser(),
        port=options.port,
        monitor_port=_monitor_port(options),
        api_hosts=frozenset(options.allow_host),
        api_origins=frozenset(options.allow_origin),
        has_page=not options.no_page,
        page_l1_url=options.page_l1_url,
        challenger_url=options.challenger_url,
        is_private=options.private_channels,
        l1_rpc_url=options.l1_rpc_url,
        l1_port=options.l1_port,
        rollup_address=options.rollup_address or b"",
        is_deploy_allowed=options.deploy,
        is_seat_wanted=options.take_seat,
        is_following=options.follow,
        soft_from=options.soft_from,
        is_posting=not options.follow,
        operator=operator,
        is_oracle_simulated=not options.no_oracle,
        oracle_seed=options.oracle_seed,
        seal_seconds=options.seal_seconds,
        post_seconds=options.post_interval,
        max_fee_wei=int(options.max_fee_gwei * 10**9),
        window_seconds=options.window_seconds,
        governor=options.governor or containers.NOBODY,
        governance_delay_seconds=options.governance_delay,
        posting_fee_micros=options.posting_fee_micros,
        grace_ms=options.grace_ms,
        maker_fee_ppm=options.maker_fee_ppm,
        taker_fee_ppm=options.taker_fee_ppm,
        minimum_notional_micros=options.minimum_notional_micros,
        bond_wei=options.bond_gwei * 10**9,
        entry_fee_wei=options.entry_fee_gwei * 10**9,
        minimum_deposit_micros=options.minimum_deposit_micros,
        development_key=options.development_key if _is_given("development_key") else 0,
        is_maker_running=not options.no_maker,
        verifiers=options.verifiers,
        preflight_workers=0 if options.follow else options.preflight_workers,
        preflight=PreflightPolicy(options.preflight_percent, seconds_of_batch=options.preflight_seconds),
        kept_history=kept_history,
        sample_seconds=options.equity_seconds,
    )


def _monitor_port(options: NodeOptions) -> int:
    if options.monitor_port is not None:
        return options.monitor_port
    return options.port + 1 if 0 < options.port < 65_535 else 0


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


async def serve(config: "NodeConfig", output: Output) -> bool:
    """Runs a node until a signal; CommandFailed for what comes from outside."""
    from prover.state.store import StoreUnavailable
    from sequencer.api.transport.port import CannotListenError
    from sequencer.l1.following import QueueUnreadable
    from sequencer.l1.poster import Overdue
    from sequencer.l1.preflight import PreflightFailed
    from sequencer.node.config import WRITABLE, CannotStart, DatadirUnusable, L1Unusable
    from sequencer.sequencing.journal import JournalError
    from sequencer.sequencing.signature_pool import VerifierError

    async with until_signal():
        try:
            while not await _is_over(config, output):
                output.event("restarting", "The node starts again and re-sequences.")
        except* L1Unusable as errors:
            said = ""
            if config.is_l1_embedded and (config.datadir / "l1").exists():
                said = " Where files in l1/ are damaged, `catenary datadir restore` brings them back from a back-up."
            raise CommandFailed(f"{first_of(errors)}{said}", EXIT_L1) from None
        except* DatadirUnusable as errors:
            raise CommandFailed(str(first_of(errors)), EXIT_DATADIR) from None
        except* CannotStart as errors:
            raise CommandFailed(str(first_of(errors)), EXIT_USAGE) from None
        except* CannotListenError as errors:
            raise CommandFailed(str(first_of(errors)), EXIT_USAGE) from None
        except* PreflightFailed as errors:
            raise CommandFailed(f"STOPPED before a wrong commit: {first_of(errors)}") from None
        except* Overdue as errors:
            raise CommandFailed(f"STOPPED: {first_of(errors)}.") from None
        except* VerifierError as errors:
            raise CommandFailed(f"STOPPED: {first_of(errors)}.") from None
        except* (JournalError, StoreUnavailable) as errors:
            # A full disk, or one that fails: nothing was acknowledged that is not on it.
            said = "Start again, with room on the disk; where that does not help, `catenary datadir check` says why."
            raise CommandFailed(f"STOPPED, the disk refuses: {first_of(errors)} {said}", EXIT_DATADIR) from None
        except* OSError as errors:
            error = first_of(errors)
            if error.filename is None:
                # No file's: a defect of ours.
                raise
            raise CommandFailed(f"STOPPED, the disk refuses: {error}. {WRITABLE}", EXIT_DATADIR) from None
        except* QueueUnreadable as errors:
            raise CommandFailed(f"STOPPED before an unlawful batch: {first_of(errors)}", EXIT_L1) from None
    output.event("stopped", "Stopped; everything acknowledged is in the datadir.")
    return True


async def _is_over(config: "NodeConfig", output: Output) -> bool:
    """Runs a node until it is stopped; False where what it took was not posted in time: its next start re-sequences."""
    import trio

    from sequencer.l1.poster import Overdue
    from sequencer.node import node as node_module
    from sequencer.node.first_trade import hint, program_name, wallet_directory

    is_up, is_over = False, True
    try:
        async with trio.open_nursery() as nursery:
            running: node_module.Running = await nursery.start(node_module.run, config)
            is_up = True
            rollup = "0x" + running.deployment.bridge.hex()
            lines = "\n".join(
                [
                    f"Catenary is up: API {running.url}, L1 {running.l1_url}, rollup {rollup}",
                    page_line(config.has_page, running.url),
                    "",
                    *hint(program_name(), _place(running), wallet_directory()),
                    "",
                    "Ctrl-C stops the node; the same command continues this venue.",
                ]
            )
            output.event(
                "ready",
                lines,
                url=running.url,
                monitor_url=running.monitor_url,
                l1_rpc_url=running.l1_url,
                rollup_address=running.deployment.bridge,
                chain_id=running.deployment.chain_id,
            )
    except* Overdue as errors:
        if not is_up:
            # It has just looked: a start that does not help is not repeated.
            raise
        output.event("overdue", f"STOPPED: {first_of(errors)}.", reason=str(first_of(errors)))
        is_over = False
    return is_over


def page_line(is_wanted: bool, url: str) -> str:
    """Where the page is for a browser, or why there is none."""
    from sequencer.dashboard.page import why_none

    why = why_none() if is_wanted else "--no-page says so"
    return f"No page is served: {why}." if why else f"The page: {url}/"


def _place(running: "Running") -> "Place":
    from sequencer.node.first_trade import Place

    at = running.deployment
    return Place(running.url, running.l1_url, at.chain_id, running.l1_genesis_hash, at.bridge, running.genesis_root)
