"""The command `catenary`: what the prover does is here, what the venue does is loaded when it is asked for."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected
from l1_bridge.client.options import L1Options
from l1_bridge.codec.batch import BridgeId
from prover.cli.running import (
    EXIT_DATADIR,
    EXIT_L1,
    EXIT_USAGE,
    AddressType,
    CommandFailed,
    Output,
    config_option,
    configure_logging,
    key_options,
    load_signer,
    name_variables,
    output_options,
    replay_directory,
    run,
    short,
    until_signal,
)

if TYPE_CHECKING:
    from prover.contracts.deployment import Deployment
    from prover.history.history import ChainReplay
    from prover.history.records import Notice


class Commands(click.Group):
    """The prover's commands are its own; every other name is the venue's, imported at the first need."""

    _venue_loaded = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, those of the venue too."""
        self._load_venue()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name; the venue is imported only for a name that is not the prover's."""
        command = super().get_command(ctx, cmd_name)
        if command is None and not self._venue_loaded:
            self._load_venue()
            command = super().get_command(ctx, cmd_name)
        if command is not None:
            name_variables(command, f"CATENARY_{cmd_name.upper()}")
        return command

    def _load_venue(self) -> None:
        if self._venue_loaded:
            return
        # By name: the prover's room may not import the venue's, and a challenger never does.
        venue: Any = __import__("sequencer.node.commands", fromlist=["register"])
        venue.register(self)
        self._venue_loaded = True


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="catenary")
def cli() -> None:
    """Catenary: cross-margin perpetual futures on an optimistic rollup with one-transaction fraud proofs.

    Every option is also an environment variable, CATENARY_<COMMAND>_<OPTION>. Exit codes: 0 the promise held, 1 it did
    not, 2 usage, 3 missing or wrong L1, 4 datadir in use, foreign or damaged.
    """


def main() -> None:
    """Entry point of the console script."""
    cli()


def _l1_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--from-block", type=click.IntRange(0), help="Block of the bridge's deployment; else searched."),
        click.option("--chain-id", type=click.IntRange(1), help="Refuse any other chain."),
        click.option("--rollup-address", type=AddressType(), required=True, help="Address of the bridge."),
        click.option("--l1-rpc-url", required=True, help="JSON-RPC of an L1 node."),
    ):
        command = option(command)
    return command


@cli.command()
@_l1_options
@click.option("--second-l1-rpc-url", help="A second opinion: nothing is sent unless both L1 nodes agree.")
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
    "--guard-entries",
    type=click.IntRange(1, 1_000),
    default=20,
    show_default=True,
    help="Entries an hour that are paid for at most.",
)
@click.option("--guard-tick-url", help="A node's API, or a mirror, that tells the oracle's signed reports.")
@click.option("--poll-interval", type=click.FloatRange(0.01, 3_600), default=1.0, show_default=True, help="Seconds.")
@click.option("--max-fee-gwei", type=click.FloatRange(0.001), default=500.0, show_default=True, help="Per gas.")
@output_options
@config_option
def challenger(
    l1_rpc_url: str,
    second_l1_rpc_url: str | None,
    rollup_address: bytes,
    chain_id: int | None,
    from_block: int | None,
    datadir: Path,
    keystore: Path | None,
    password_file: Path | None,
    development_key: int,
    watch: bool,
    once: bool,
    collect: bool,
    guard: bool,
    guard_patience: int,
    guard_entries: int,
    guard_tick_url: str | None,
    poll_interval: float,
    max_fee_gwei: float,
    json: bool,
    log_level: str,
) -> None:
    """Replay every batch from L1 alone and prove a fraudulent one in one transaction.

    No bond is needed. Ends with 0 if every canonical batch is valid. With --guard the same key also pays for entries of
    the L1 queue that rescue accounts, and bring prices, which the sequencer leaves out.
    """
    from prover.challenger.challenger import Challenger
    from prover.challenger.guard import report_source
    from prover.challenger.guard_plan import Policy
    from prover.contracts import deployment

    if guard and watch:
        raise CommandFailed("--guard pays for entries of the L1 queue: it does not go with --watch.", EXIT_USAGE)
    if guard_tick_url is not None and not guard:
        raise CommandFailed("--guard-tick-url is of use with --guard alone.", EXIT_USAGE)
    configure_logging(log_level, json)
    output = Output(json)

    async def follow() -> bool:
        fee = int(max_fee_gwei * 10**9)
        async with (
            until_signal(),
            L1Client(l1_rpc_url, L1Options(chain_id=chain_id, poll_seconds=poll_interval, max_fee_wei=fee)) as client,
        ):
            chain = await client.chain_id()
            signer = None if watch else load_signer(chain, keystore, password_file, development_key)
            found = await deployment.read(client, rollup_address)
            async with (
                _opened(client, found, replay_directory(datadir), from_block) as replay,
                _second(second_l1_rpc_url, chain, rollup_address) as second,
            ):
                follower = Challenger(
                    client,
                    replay,
                    output,
                    signer=signer,
                    second_client=second,
                    collect=collect,
                    poll_seconds=poll_interval,
                    guard=Policy(guard_patience * 1_000, guard_entries) if guard else None,
                    source=None if guard_tick_url is None else report_source(guard_tick_url),
                )
                output.event(
                    "started",
                    f"challenger {'watching' if signer is None else '0x' + signer.address.hex()}, bridge "
                    f"0x{rollup_address.hex()} on chain {chain}, from batch {replay.cursor.valid}",
                    chain_id=chain,
                    rollup_address=rollup_address,
                    referee_address=found.referee,
                    challenger=None if signer is None else signer.address,
                    from_block=replay.cursor.from_block,
                    tip=replay.cursor.tip,
                    valid_tip=replay.cursor.valid,
                )
                try:
                    await follower.run(once)
                finally:
                    summary = follower.finish()
                    title = "every batch is valid" if summary.held else "NOT every batch is valid"
                    output.summary(title, msgspec.structs.asdict(summary), good=summary.held)
                    held.append(summary.held)
        return held == [True]

    held: list[bool] = []
    run(output, follow)


@cli.command()
@_l1_options
@click.option("--datadir", type=click.Path(path_type=Path), help="An empty directory; a temporary one if not given.")
@click.option("--block", type=click.IntRange(0), help="Compare at this L1 block; at the latest if not given.")
@output_options
@config_option
def verify(
    l1_rpc_url: str,
    rollup_address: bytes,
    chain_id: int | None,
    from_block: int | None,
    datadir: Path | None,
    block: int | None,
    json: bool,
    log_level: str,
) -> None:
    """Rebuild the state from L1 alone and compare it with what the bridge keeps."""
    from prover.contracts import deployment
    from prover.history import verify as verification

    configure_logging(log_level, json)
    output = Output(json)

    async def compare(directory: Path) -> bool:
        held: bool | None = None
        async with until_signal(), L1Client(l1_rpc_url, L1Options(chain_id=chain_id)) as client:
            found = await deployment.read(client, rollup_address)
            async with _opened(client, found, directory, from_block) as replay:
                report = await verification.verify(
                    client, replay, found.token, until="latest" if block is None else block, tell=_teller(output)
                )
            held = report.held
            title = "L1 and replay agree, and the money adds up" if held else "L1 and replay do NOT agree"
            output.summary(title, msgspec.structs.asdict(report), good=held)
        if held is None:
            raise CommandFailed("Stopped before the comparison was complete.")
        return held

    if datadir is None:
        with tempfile.TemporaryDirectory(prefix="catenary-verify-") as temporary:
            run(output, lambda: compare(replay_directory(Path(temporary))))
        return
    directory = replay_directory(datadir)
    if any(directory.iterdir()):
        raise CommandFailed(f"{directory} is not empty: verify starts from nothing.", EXIT_DATADIR)
    run(output, lambda: compare(directory))


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
    client: L1Client, found: "Deployment", directory: Path, from_block: int | None
) -> "AsyncIterator[ChainReplay]":
    from prover.history.history import ChainReplay
    from prover.state.leveldb import LevelDbStore

    store = LevelDbStore(directory)
    try:
        bridge = BridgeId(found.chain_id, found.bridge)
        if from_block is None and next(store.iterate(b""), None) is None:
            from_block = await _deployment_block(client, found.bridge)
        yield ChainReplay(store, bridge, from_block=from_block or 0)
    finally:
        store.close()


async def _deployment_block(client: L1Client, bridge: bytes) -> int:
    head = await client.block("latest")
    low, high = 0, 0 if head is None else head.number
    try:
        while low < high:
            middle = (low + high) // 2
            if await client.code(bridge, middle):
                high = middle
            else:
                low = middle + 1
    except L1Rejected as error:
        text = (
            f"The L1 node keeps no old state ({error.reason}): say --from-block, the block of the bridge's deployment."
        )
        raise CommandFailed(text, EXIT_L1) from None
    return low


@asynccontextmanager
async def _second(url: str | None, chain_id: int, bridge: bytes) -> AsyncIterator[L1Client | None]:
    from prover.contracts import deployment

    if url is None:
        yield None
        return
    async with L1Client(url, L1Options(chain_id=chain_id)) as client:
        await deployment.read(client, bridge)
        yield client


if __name__ == "__main__":
    main()
