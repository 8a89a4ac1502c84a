"""The prover's two commands, `challenger` and `verify`: their options, and what is opened for them."""

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prover.cli.options import AddressType, config_option, gathered, key_options, output_options
from prover.cli.running import (
    EXIT_DATADIR,
    EXIT_USAGE,
    CommandFailed,
    StandardOutput,
    configure_logging,
    first_of,
    replay_directory,
    run,
    until_signal,
)
from prover.telling import Output, short

if TYPE_CHECKING:
    import trio

    from l1_bridge.client.client import L1Client
    from prover.challenger.canary import CanaryWatch
    from prover.challenger.challenger import Challenger, Settings
    from prover.challenger.guard_purse import Policy
    from prover.challenger.verdicts import Verdicts
    from prover.contracts.deployment import Deployment
    from prover.history.history import ChainReplay
    from prover.history.records import Notice
    from prover.state.store import StoreDamaged


class ChallengerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary challenger` was told."""

    l1_rpc_url: str
    second_l1_rpc_url: str | None
    rollup_address: bytes
    chain_id: int | None
    from_block: int | None
    datadir: Path
    keystore: Path | None
    password_file: Path | None
    development_key: int
    watch: bool
    once: bool
    collect: bool
    guard: bool
    guard_patience: int
    guard_close_out_patience: int
    guard_hour_ether: float
    guard_day_ether: float
    guard_share: float
    guard_ether_price: float
    guard_max_fee_gwei: float
    guard_tick_url: str | None
    canary: bool
    canary_interval: float
    canary_patience: float
    canary_key: int
    monitor_port: int | None
    poll_interval: float
    max_fee_gwei: float
    json: bool
    log_level: str


class VerifyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary verify` was told."""

    l1_rpc_url: str
    rollup_address: bytes
    chain_id: int | None
    from_block: int | None
    datadir: Path | None
    block: int | None
    json: bool
    log_level: str


def _l1_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--from-block", type=click.IntRange(0), help="Block of the bridge's deployment; else searched."),
        click.option("--chain-id", type=click.IntRange(1), help="Refuse any other chain."),
        click.option("--rollup-address", type=AddressType(), required=True, help="Address of the bridge."),
        click.option("--l1-rpc-url", required=True, help="JSON-RPC of an L1 node."),
    ):
        command = option(command)
    return command


@click.command()
@_l1_options
@click.option(
    "--second-l1-rpc-url",
    help="A second L1 node: logs that one leaves out are read from the other, and both have to agree before a proof or "
    "a rescue is sent, for ten minutes and an eighth of the window at most. Needs --chain-id.",
)
@click.option("--datadir", type=click.Path(path_type=Path), required=True, help="Where the replayed state is kept.")
@key_options
@click.option("--watch", is_flag=True, help="Give verdicts, send nothing.")
@click.option("--once", is_flag=True, help="Replay up to the head, answer what is there, and end.")
@click.option("--collect/--no-collect", default=True, show_default=True, help="Collect rewards that are due.")
@click.option("--guard", is_flag=True, help="Enqueue on L1 what the sequencer omits: rescues, and ticks.")
@click.option(
    "--guard-patience",
    type=click.IntRange(0, 604_800),
    default=600,
    show_default=True,
    help="Seconds of L2 time below maintenance, seen by this process, before a rescue; age of prices before a tick.",
)
@click.option(
    "--guard-close-out-patience",
    type=click.IntRange(0, 604_800),
    default=180,
    show_default=True,
    help="The same below two thirds of maintenance, where the fund takes an account over whole.",
)
@click.option(
    "--guard-hour-ether", type=click.FloatRange(0, 1e6), default=0.25, show_default=True, help="Paid an hour at most."
)
@click.option(
    "--guard-day-ether", type=click.FloatRange(0, 1e6), default=1.0, show_default=True, help="Paid a day at most."
)
@click.option(
    "--guard-share",
    type=click.FloatRange(0, 100, min_open=True),
    default=10.0,
    show_default=True,
    help="Percent of the money at risk that an entry may cost; less as the budgets are used up.",
)
@click.option(
    "--guard-ether-price",
    type=click.FloatRange(0, 1e9, min_open=True),
    default=5_000.0,
    show_default=True,
    help="Dollars that an ether counts as.",
)
@click.option(
    "--guard-max-fee-gwei",
    type=click.FloatRange(0.001),
    default=100.0,
    show_default=True,
    help="Per gas; nothing is entered while L1 asks for more.",
)
@click.option("--guard-tick-url", help="A node's API, or a mirror, that tells the oracle's signed reports.")
@click.option("--canary", is_flag=True, help="On a devnet: post invalid batches to a second rollup beside the venue.")
@click.option(
    "--canary-interval", type=click.FloatRange(1), default=3_600.0, show_default=True, help="Seconds between them."
)
@click.option(
    "--canary-patience",
    type=click.FloatRange(1),
    default=120.0,
    show_default=True,
    help="Seconds that one may stand before an alarm.",
)
@click.option(
    "--canary-key", type=click.IntRange(0, 9), default=8, show_default=True, help="Which well-known key pays for them."
)
@click.option(
    "--monitor-port",
    type=click.IntRange(0, 65_535),
    help="Answers /verdicts, /health and /metrics on 127.0.0.1 (0: any free one); not given: none.",
)
@click.option("--poll-interval", type=click.FloatRange(0.01, 3_600), default=1.0, show_default=True, help="Seconds.")
@click.option("--max-fee-gwei", type=click.FloatRange(0.001), default=500.0, show_default=True, help="Per gas.")
@output_options
@config_option
@gathered(ChallengerOptions)
def challenger(options: ChallengerOptions) -> None:
    """Replay every batch from L1 alone and prove a fraudulent one in one transaction.

    No bond is needed. Ends with 0 if every canonical batch is valid. With --guard the same key also pays for entries of
    the L1 queue that rescue accounts, and bring prices, which the sequencer leaves out. With --canary it also proves
    invalid batches that are posted on purpose beside the venue, and one that outlives its time is an alarm and code 1.
    """
    if options.guard and options.watch:
        raise CommandFailed("--guard pays for entries of the L1 queue: it does not go with --watch.", EXIT_USAGE)
    if options.guard_tick_url is not None and not options.guard:
        raise CommandFailed("--guard-tick-url is of use with --guard alone.", EXIT_USAGE)
    if options.canary and (options.watch or options.once):
        raise CommandFailed("--canary is answered while the challenger runs: not with --watch or --once.", EXIT_USAGE)
    if options.monitor_port is not None and options.once:
        raise CommandFailed("--monitor-port tells while the challenger runs: not with --once.", EXIT_USAGE)
    if options.second_l1_rpc_url is not None and options.chain_id is None:
        text = "--second-l1-rpc-url goes with --chain-id: of two L1 nodes that differ neither may choose the chain."
        raise CommandFailed(text, EXIT_USAGE)
    configure_logging(options.log_level, options.json)
    output = StandardOutput(options.json)
    held = False

    async def follow() -> bool:
        nonlocal held
        async with until_signal():
            while True:
                directory = replay_directory(options.datadir)
                try:
                    async with _challenger(options, output, directory) as (opened, canary, verdicts):
                        try:
                            await _followed(options, output, opened, canary, verdicts)
                        finally:
                            held = _told(output, opened, canary)
                        return held
                except BaseException as raised:
                    damage = _damage(raised)
                    if damage is None:
                        raise
                    # All of it stands on L1: nobody has to be there for it to be rebuilt.
                    _set_aside(directory, damage, output)
        return held

    run(output, follow)


async def _followed(
    options: ChallengerOptions,
    output: StandardOutput,
    opened: "Challenger",
    canary: "CanaryWatch | None",
    verdicts: "Verdicts",
) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        if options.monitor_port is not None:
            await _monitored(nursery, verdicts, options.monitor_port, output)
        if canary is not None:
            nursery.start_soon(canary.run)
        await opened.run(options.once)


def _told(output: StandardOutput, opened: "Challenger", canary: "CanaryWatch | None") -> bool:
    """Whether the challenger's promise held, as its summary says it."""
    summary = opened.finish()
    if canary is not None:
        canary.finish(summary)
    title = "every batch is valid" if summary.held else "NOT every batch is valid"
    if summary.canaries_missed:
        title = "a canary's invalid batch outlived its time"
    output.summary(title, msgspec.structs.asdict(summary), good=summary.held)
    return summary.held


def _damage(raised: BaseException) -> "StoreDamaged | None":
    """The damage of the store that ended a run, if it was that and nothing else."""
    from prover.state.store import StoreDamaged

    if isinstance(raised, BaseExceptionGroup):
        found, rest = raised.split(StoreDamaged)
        return first_of(found) if found is not None and rest is None else None
    return raised if isinstance(raised, StoreDamaged) else None


def _set_aside(directory: Path, damage: "StoreDamaged", output: Output) -> None:
    """Puts a damaged replay beside its place, over an earlier one; CommandFailed where that is not possible."""
    beside = directory.with_name("replay.damaged")
    detail = f"{damage} It is put aside as {beside.name} and rebuilt from L1."
    output.event("alarm", f"ALARM STORE_DAMAGED: {detail}", colour="red", code="STORE_DAMAGED", detail=detail)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        directory.rename(beside)
    except OSError as error:
        raise CommandFailed(f"{directory} cannot be put aside: {error.strerror}.", EXIT_DATADIR) from None


@asynccontextmanager
async def _unasked(client: "L1Client") -> "AsyncIterator[L1Client]":
    """Closes a client that is not asked for its chain first."""
    import trio

    try:
        yield client
    finally:
        with trio.CancelScope(shield=True):
            await client.close()


@asynccontextmanager
async def _challenger(
    options: ChallengerOptions, output: Output, directory: Path
) -> "AsyncIterator[tuple[Challenger, CanaryWatch | None, Verdicts]]":
    from l1_bridge.client.client import L1Client
    from l1_bridge.client.options import L1Options
    from prover.challenger.challenger import Challenger, Settings
    from prover.challenger.guard import report_source
    from prover.challenger.verdicts import MOST, Verdicts
    from prover.cli import beginning
    from prover.cli.keys import load_signer
    from prover.contracts import deployment

    bridge, url = options.rollup_address, options.guard_tick_url
    l1_options = L1Options(
        chain_id=options.chain_id,
        poll_seconds=options.poll_interval,
        max_fee_wei=int(options.max_fee_gwei * 10**9),
    )
    async with AsyncExitStack() as stack:
        urls = (options.l1_rpc_url, *filter(None, [options.second_l1_rpc_url]))
        given = [await stack.enter_async_context(_unasked(L1Client(url, l1_options))) for url in urls]
        chain = options.chain_id
        if chain is None or len(given) == 1:
            # Of two nodes neither is asked which one it is.
            chain = await beginning.awaited(given[0].chain_id, options.poll_interval, options.once)
        if options.canary and chain not in deployment.DEVNET_CHAINS:
            text = (
                f"Chain {chain} is not a devnet: --canary posts invalid batches and burns bonds, and is refused there."
            )
            raise CommandFailed(text, EXIT_USAGE)
        signer = None
        if not options.watch:
            signer = load_signer(chain, options.keystore, options.password_file, options.development_key)
        given, found = await beginning.begin(given, bridge, options.poll_interval, options.once)
        client = given[0]
        first_block = partial(
            beginning.awaited, partial(beginning.first_block, given, bridge), options.poll_interval, options.once
        )
        async with _opened(found, directory, options.from_block, first_block) as replay:
            verdicts = Verdicts(chain, bridge, lambda: time.time_ns() // 10**6)
            tip = replay.cursor.tip
            verdicts.began(replay.records.judgement(one) for one in range(max(1, tip - MOST + 1), tip + 1))
            settings = Settings(
                signer=signer,
                second_client=given[1] if len(given) > 1 else None,
                collect=options.collect,
                poll_seconds=options.poll_interval,
                guard=guard_policy(options) if options.guard else None,
                source=None if url is None else report_source(url),
                verdicts=verdicts,
            )
            opened = Challenger(client, replay, output, settings)
            output.event(
                "started",
                f"challenger {'watching' if signer is None else '0x' + signer.address.hex()}, bridge "
                f"0x{bridge.hex()} on chain {chain}, from batch {replay.cursor.valid}",
                chain_id=chain,
                rollup_address=bridge,
                referee_address=found.referee,
                challenger=None if signer is None else signer.address,
                from_block=replay.cursor.from_block,
                tip=replay.cursor.tip,
                valid_tip=replay.cursor.valid,
            )
            canary = await _canary(options, client, found, output, settings) if options.canary else None
            yield opened, canary, verdicts


async def _monitored(nursery: "trio.Nursery", verdicts: "Verdicts", port: int, output: Output) -> None:
    from prover.challenger.monitor import CannotListenError, Monitor

    try:
        url = await nursery.start(Monitor(verdicts).serve, port)
    except CannotListenError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from None
    output.event("monitored", f"verdicts are told at {url}/verdicts", url=url)


def guard_policy(options: ChallengerOptions) -> "Policy":
    """How a guard waits and what it pays, by these options."""
    from prover.challenger.guard_purse import Policy

    return Policy(
        patience_ms=options.guard_patience * 1_000,
        close_out_ms=options.guard_close_out_patience * 1_000,
        hour_wei=int(options.guard_hour_ether * 10**9) * 10**9,
        day_wei=int(options.guard_day_ether * 10**9) * 10**9,
        share_ppm=int(options.guard_share * 10_000),
        ether_micros=int(options.guard_ether_price * 1_000_000),
        max_fee_wei=int(options.guard_max_fee_gwei * 10**9),
    )


async def _canary(
    options: ChallengerOptions, client: "L1Client", found: "Deployment", output: Output, settings: "Settings"
) -> "CanaryWatch":
    from l1_bridge.client.keys import development_key
    from prover.challenger.canary import Terms, open_watch

    terms = Terms(options.canary_interval, options.canary_patience, options.poll_interval)
    liar = development_key(options.canary_key)
    if settings.signer is not None and settings.signer.address == liar.address:
        raise CommandFailed("--canary-key is the challenger's own: its proofs would wait for lies.", EXIT_USAGE)
    return await open_watch(client, liar, found, output, settings, terms)


@click.command()
@_l1_options
@click.option("--datadir", type=click.Path(path_type=Path), help="An empty directory; a temporary one if not given.")
@click.option("--block", type=click.IntRange(0), help="Compare at this L1 block; at the latest if not given.")
@output_options
@config_option
@gathered(VerifyOptions)
def verify(options: VerifyOptions) -> None:
    """Rebuild the state from L1 alone and compare it with what the bridge keeps."""
    configure_logging(options.log_level, options.json)
    output = StandardOutput(options.json)
    if options.datadir is None:
        with tempfile.TemporaryDirectory(prefix="catenary-verify-") as temporary:
            run(output, lambda: _compare(options, output, replay_directory(Path(temporary))))
        return
    directory = replay_directory(options.datadir)
    if any(directory.iterdir()):
        raise CommandFailed(f"{directory} is not empty: verify starts from nothing.", EXIT_DATADIR)
    run(output, lambda: _compare(options, output, directory))


async def _compare(options: VerifyOptions, output: Output, directory: Path) -> bool:
    from l1_bridge.client.client import L1Client
    from l1_bridge.client.options import L1Options
    from prover.cli import beginning
    from prover.contracts import deployment
    from prover.history import verify as verification

    held: bool | None = None
    until = "latest" if options.block is None else options.block
    async with until_signal(), L1Client(options.l1_rpc_url, L1Options(chain_id=options.chain_id)) as client:
        found = await deployment.read(client, options.rollup_address)
        first_block = partial(beginning.first_block, [client], found.bridge)
        async with _opened(found, directory, options.from_block, first_block) as replay:
            report = await verification.verify(client, replay, found.token, until=until, tell=_teller(output))
        held = report.held
        title = "L1 and replay agree, and the money adds up" if held else "L1 and replay do NOT agree"
        output.summary(title, msgspec.structs.asdict(report), good=held)
    if held is None:
        raise CommandFailed("Stopped before the comparison was complete.")
    return held


def _teller(output: Output) -> "Callable[[Notice], None]":
    from prover.history.records import Judgement

    def tell(notice: "Notice") -> None:
        if isinstance(notice, Judgement):
            output.event(
                "batch",
                f"batch {notice.number:>5}  {notice.verdict.value:<7}  {notice.chunks} chunks, "
                f"{notice.operations} operations, root {short(notice.last_root)}",
                number=notice.number,
                batch_hash=notice.batch_hash,
                verdict=notice.verdict,
                reason=notice.reason,
                chunks=notice.chunks,
                operations=notice.operations,
                root=notice.last_root,
            )

    return tell


@asynccontextmanager
async def _opened(
    found: "Deployment", directory: Path, from_block: int | None, first_block: Callable[[], Awaitable[int]]
) -> "AsyncIterator[ChainReplay]":
    from l1_bridge.codec.batch import BridgeId
    from prover.history.history import ChainReplay
    from prover.state.leveldb import LevelDbStore

    store = LevelDbStore(directory)
    try:
        bridge = BridgeId(found.chain_id, found.bridge)
        if from_block is None and next(store.iterate(b""), None) is None:
            from_block = await first_block()
        yield ChainReplay(store, bridge, from_block=from_block or 0)
    finally:
        store.close()
