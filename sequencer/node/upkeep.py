"""`catenary datadir`: what an operator does with a datadir while no node runs on it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prover.cli.options import AddressType, config_option, gathered, output_options
from prover.cli.running import (
    EXIT_BROKEN,
    EXIT_DATADIR,
    EXIT_L1,
    EXIT_USAGE,
    CommandFailed,
    StandardOutput,
    configure_logging,
    run,
    until_signal,
)
from prover.stf import constants
from sequencer.node.commands import DEFAULT_DATADIR

if TYPE_CHECKING:
    from l1_bridge.client.client import L1Client
    from prover.contracts.deployment import DeploymentRecord
    from prover.state.leveldb import LevelDbStore
    from sequencer.node.datadir import Datadir
    from sequencer.node.repair import Mended


class CheckOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary datadir check` was told."""

    datadir: Path
    l1_rpc_url: str | None
    json: bool
    log_level: str


class CopyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `backup` and `restore` were told; the other end of the copy."""

    datadir: Path
    copy: Path
    json: bool
    log_level: str


class ChunkOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary datadir chunk` was told."""

    datadir: Path
    number: int
    account: int | None
    l1_rpc_url: str | None
    json: bool
    log_level: str


class RepairOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary datadir repair` was told."""

    datadir: Path
    backup: Path | None
    l1_rpc_url: str | None
    rollup_address: bytes | None
    accept_loss: bool
    json: bool
    log_level: str


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option(
        "--datadir",
        type=click.Path(path_type=Path),
        default=DEFAULT_DATADIR,
        show_default=True,
        help="The node's directory.",
    )
    return option(output_options(config_option(command)))


@click.group()
def datadir() -> None:
    """Check, back up, restore and repair a node's datadir. The node must not run."""


@datadir.command()
@_common
@click.option("--l1-rpc-url", help="JSON-RPC of the L1: its newest batch must be of this datadir too.")
@gathered(CheckOptions)
def check(options: CheckOptions) -> None:
    """Read every row and record, and compare all of it with itself. Ends with 0 where nothing is wrong."""
    output = _output(options.json, options.log_level)

    async def looked() -> bool:
        from sequencer.l1.resequence import STATE
        from sequencer.node import checking

        path = options.datadir.expanduser()
        async with _l1(options.l1_rpc_url) as client:
            with _held(path) as (held, record):
                checked = checking.check(path / STATE, held.journal, record)
                foreign = await checking.foreign_head(client, record, path / STATE) if checked.is_sound else None
        checked.findings += [] if foreign is None else [foreign]
        for finding in checked.findings:
            line = f"{finding.code}: {finding.sentence}"
            output.event("finding", line, colour="red", code=finding.code, sentence=finding.sentence)
        title = "the datadir is whole" if checked.is_sound else "the datadir is NOT whole: `catenary datadir repair`"
        fields = {**msgspec.structs.asdict(checked), "findings": [finding.code for finding in checked.findings]}
        output.summary(title, {"sound": checked.is_sound, **fields}, good=checked.is_sound)
        return checked.is_sound

    run(output, looked)


@datadir.command()
@_common
@click.option("--to", "copy", type=click.Path(path_type=Path), required=True, help="A directory that is not there yet.")
@gathered(CopyOptions)
def backup(options: CopyOptions) -> None:
    """Copy a sound datadir, each file with its hash. A copy that is not whole is never taken for one."""
    output = _output(options.json, options.log_level)

    async def copied() -> bool:
        from sequencer.l1.resequence import STATE
        from sequencer.node.backup import back_up
        from sequencer.node.checking import check as look

        with _held(options.datadir.expanduser()) as (held, record):
            checked = look(held.path / STATE, held.journal, record)
            if not checked.is_sound:
                said = " ".join(finding.sentence for finding in checked.findings)
                raise CommandFailed(f"What is damaged is not backed up: {said}", EXIT_DATADIR)
            bridge, target = record.deployment.bridge, options.copy.expanduser()
            made = back_up(held.path, target, bridge, checked.chunks, checked.cursor, checked.root)
        size = sum(copy.size for copy in made.files.values())
        fields = {"backup": str(target), "files": len(made.files), "bytes": size, "chunks": made.chunks}
        output.summary("backed up", {**fields, "root": made.root}, good=True)
        return True

    run(output, copied)


@datadir.command()
@_common
@click.option("--from", "copy", type=click.Path(path_type=Path), required=True, help="A back-up.")
@gathered(CopyOptions)
def restore(options: CopyOptions) -> None:
    """Make a datadir of a back-up, where there is none.

    L1 may have gone on since: then the node says OTHER_HISTORY, and `catenary datadir repair` follows L1.
    """
    output = _output(options.json, options.log_level)

    async def copied() -> bool:
        from sequencer.node import backup as copies

        target = options.datadir.expanduser()
        with _refusals():
            made = copies.restore(options.copy.expanduser(), target)
        output.summary("restored", {"datadir": str(target), "chunks": made.chunks, "root": made.root}, good=True)
        return True

    run(output, copied)


@datadir.command()
@_common
@click.option(
    "--account", type=click.IntRange(0, constants.NEW_ACCOUNT - 1), help="Show its membership behind the chunk."
)
@click.option("--l1-rpc-url", help="JSON-RPC of the L1: what was posted is made of its logs, not of own records.")
@click.argument("number", type=click.IntRange(1))
@gathered(ChunkOptions)
def chunk(options: ChunkOptions) -> None:
    """Tell an old chunk whole: what was let go of is replayed from genesis, and held to each root on the way."""
    output = _output(options.json, options.log_level)

    async def made() -> bool:
        from sequencer.l1.resequence import STATE
        from sequencer.sequencing.rederiving import NotMade, posted, rederived

        async with _l1(options.l1_rpc_url) as client:
            with _held(options.datadir.expanduser()) as (held, record), _read(held.path / STATE) as store:
                try:
                    async for each in rederived(store, record, options.number, posted(client, record)):
                        found, state = each
                except NotMade as error:
                    advice = "" if client is not None else " --l1-rpc-url has it made of what L1 holds."
                    said = f"Chunk {options.number} cannot be made again: {error}.{advice}"
                    raise CommandFailed(said, EXIT_DATADIR) from None
        fields: dict[str, object] = {
            name: getattr(found, name)
            for name in ("number", "operations", "pre_root", "post_root", "commitment", "body", "witness")
        }
        if options.account is not None:
            leaf = options.account << constants.SLOT_BITS
            fields |= {"account": options.account, "leaf": state.payload(leaf), "path": b"".join(state.tree.path(leaf))}
        output.summary("the chunk, whole", fields, good=True)
        return True

    run(output, made)


@datadir.command()
@_common
@click.option("--backup", type=click.Path(path_type=Path), help="A back-up, behind which the journal may go on.")
@click.option("--l1-rpc-url", help="JSON-RPC of the L1, from which what was posted can be rebuilt.")
@click.option("--rollup-address", type=AddressType(), help="Which rollup it is of, where the datadir does not say.")
@click.option("--accept-loss", is_flag=True, help="Give up what was acknowledged and can be found nowhere.")
@gathered(RepairOptions)
def repair(options: RepairOptions) -> None:
    """Mend a datadir: from what is left of it, from a back-up, from its journal, or from L1.

    Without --accept-loss nothing is done that loses what was acknowledged. What is damaged is put aside, not deleted.
    """
    output = _output(options.json, options.log_level)

    async def mended() -> bool:
        async with until_signal():
            done = await _mended(options)
            fields = {name: value for name, value in msgspec.structs.asdict(done).items() if value != ""}
            output.summary("mended, with a loss" if done.lost else "the datadir is whole", fields, good=not done.lost)
            return True
        raise CommandFailed("Stopped before the datadir was whole.", EXIT_BROKEN)

    run(output, mended)


async def _mended(options: RepairOptions) -> "Mended":
    from sequencer.l1.rebuild import Contradicted
    from sequencer.l1.resequence import STATE, settle
    from sequencer.node import backup, checking, repair

    path = options.datadir.expanduser()
    source = None if options.backup is None else options.backup.expanduser()
    async with _l1(options.l1_rpc_url) as client:
        with _taken(path) as held:
            settle(path)
            if source is not None:
                backup.read_backup(source)
            try:
                record, is_new = await repair.settle_record(held, source, client, options.rollup_address)
            except repair.Irreparable as error:
                raise CommandFailed(str(error), EXIT_USAGE) from None
            try:
                done = await repair.mend(held, record, source, client)
                return msgspec.structs.replace(done, how=f"{repair.WRITTEN_ANEW}; {done.how}") if is_new else done
            except repair.Irreparable as error:
                if not options.accept_loss:
                    said = "Not mended, since it would lose what was acknowledged; --accept-loss gives that up."
                    raise CommandFailed(f"{said} {error}", EXIT_DATADIR) from None
            foreign = await checking.foreign_head(client, record, path / STATE)
            if foreign is None and checking.check(path / STATE, held.journal, record).is_journal_alone:
                return repair.cut_journal(held, record)
            if client is None:
                raise CommandFailed("Only L1 is left to mend it from: say --l1-rpc-url.", EXIT_USAGE)
            try:
                return await repair.mend_from_l1(held, record, client)
            except Contradicted as error:
                raise CommandFailed(f"It cannot be rebuilt: {error}.", EXIT_L1) from None


def _output(as_json: bool, log_level: str) -> StandardOutput:
    configure_logging(log_level, as_json)
    return StandardOutput(as_json)


@asynccontextmanager
async def _l1(url: str | None) -> "AsyncIterator[L1Client | None]":
    from l1_bridge.client.client import L1Client

    if url is None:
        yield None
        return
    async with L1Client(url) as client:
        yield client


@contextmanager
def _held(path: Path) -> "Iterator[tuple[Datadir, DeploymentRecord]]":
    """The datadir of a node that does not run, and the rollup that it is of."""
    with _taken(path) as datadir:
        record = datadir.record()
        if record is None:
            said = "says no more which rollup it is of: `catenary datadir repair` writes that anew."
            raise CommandFailed(f"The datadir {path} {said}", EXIT_DATADIR)
        yield datadir, record


@contextmanager
def _taken(path: Path) -> "Iterator[Datadir]":
    from sequencer.node.datadir import held

    if not path.is_dir():
        raise CommandFailed(f"There is no datadir {path}.", EXIT_DATADIR)
    with _refusals(), held(path) as datadir:
        datadir.keep()
        yield datadir


@contextmanager
def _read(path: Path) -> "Iterator[LevelDbStore]":
    """The store, for reading."""
    from prover.state.leveldb import LevelDbStore
    from prover.state.store import StoreUnavailable

    try:
        store = LevelDbStore(path, is_strict=True)
    except StoreUnavailable as error:
        raise CommandFailed(f"The state cannot be read: {error}", EXIT_DATADIR) from None
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _refusals() -> Iterator[None]:
    from sequencer.node.config import WRITABLE, DatadirUnusable
    from sequencer.node.repair import reason_of

    try:
        yield
    except DatadirUnusable as error:
        raise CommandFailed(str(error), EXIT_DATADIR) from None
    except OSError as error:
        raise CommandFailed(f"The disk refuses: {reason_of(error)}. {WRITABLE}", EXIT_DATADIR) from None
