"""What a node stands on before it runs: whose key, which rollup, and the engine on its state."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID, Signer, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from l1_bridge.contracts.artifact import ArtifactError
from prover.contracts.deployment import (
    DEVNET_CHAINS,
    DEVNET_PARAMETERS,
    Deployment,
    DeploymentRecord,
    WrongContracts,
    deploy,
    genesis_root,
    logged_genesis,
    read,
)
from prover.signing.signatures import address_of
from prover.state import levels
from prover.state import state as prover_state
from prover.state.genesis import DEVNET_MARKETS, DEVNET_POSTING_FEE_MICROS, genesis_bytes
from prover.state.leveldb import LevelDbStore
from prover.state.store import StoreUnavailable
from prover.stf.replay import is_entry
from sequencer.devnet.funding import endow
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from sequencer.engine.engine import Engine
from sequencer.engine.records import CURSOR_KEY, IDENTITY_KEY, Input
from sequencer.l1 import rebuild, resequence
from sequencer.l1.follower import entries_behind, step_back
from sequencer.l1.following import cut_checkpoint
from sequencer.l1.known import Known, read_known
from sequencer.l1.poster import Clocks, Poster, seat_now
from sequencer.node.checking import JOURNAL_LIMITS
from sequencer.node.config import (
    WRITABLE,
    CannotStart,
    DatadirUnusable,
    L1Away,
    L1Unusable,
    NodeConfig,
    is_of_the_disk,
    unusable,
)
from sequencer.node.datadir import RECORD, Datadir
from sequencer.node.embedded_l1 import embedded_l1, has_chain
from sequencer.sequencing.journal import Journal, JournalError, JournalInUse, has_segments
from sequencer.sequencing.staged_store import BufferedStore

# A start that can go on without L1 waits so long for it.
AWAY_SECONDS: Final = 60.0
_RECORDS_A_TURN: Final = 128
_MENDED: Final = (
    "Where the disk has room, and is the node's own, `catenary datadir repair` mends what can be mended, and says what "
    "is missing."
)
_ANOTHER: Final = "say another {}, or another --datadir, or `catenary datadir restore` one from its back-up."


@asynccontextmanager
async def connected(config: NodeConfig, datadir: Datadir) -> AsyncIterator[L1Client]:
    """A client of the operator's L1, which is not asked yet, or of an embedded one that lives as long as the node."""
    if not config.is_l1_embedded:
        async with _client(config.l1_rpc_url, config.max_fee_wei) as client:
            yield client
        return
    had_venue = any((datadir.path / name).exists() for name in (RECORD, resequence.STATE))
    if had_venue and not has_chain(datadir.l1):
        # A new chain would take its place, without the venue's contracts.
        raise DatadirUnusable(
            f"The datadir {datadir.path} is of a venue whose L1 is not in {datadir.l1}: say the --l1-rpc-url that it "
            "was of, or `catenary datadir restore` a back-up, which has the L1 too."
        )
    own = embedded_l1(datadir.l1, config.l1_port, config.window_seconds)
    async with own as l1, _client(l1.url, config.max_fee_wei) as client:
        yield client


@asynccontextmanager
async def _client(url: str, max_fee_wei: int) -> AsyncIterator[L1Client]:
    client = L1Client(url, L1Options(poll_seconds=0.5, max_fee_wei=max_fee_wei))
    try:
        yield client
    finally:
        with trio.CancelScope(shield=True):
            await client.close()


async def chain_of(client: L1Client) -> int:
    """Which chain this is; L1Unusable where it does not say."""
    try:
        return await client.chain_id()
    except L1Error as error:
        raise unusable("The L1 cannot be used", error) from None


def operator_of(config: NodeConfig, chain_id: int) -> Signer:
    """The key that posts; CannotStart where the chain is no devnet and none was given."""
    if config.operator is not None:
        return config.operator
    if config.is_following:
        # It signs nothing that anybody sees.
        return Signer(secrets.token_bytes(32))
    if chain_id != DEVELOPMENT_CHAIN_ID:
        raise CannotStart(f"On chain {chain_id} the node needs --keystore: it has no development keys there.")
    return development_key(config.development_key)


async def rollup_of(config: NodeConfig, datadir: Datadir, client: L1Client, operator: Signer) -> DeploymentRecord:
    """The rollup that this datadir belongs to: recorded, named by the operator, or deployed now."""
    recorded = datadir.record() or _kept_identity(datadir)
    named = config.rollup_address
    if recorded is not None:
        await _require_recorded(config, recorded, client)
        found = DeploymentRecord(await _checked(client, recorded.deployment.bridge), recorded.genesis)
        await _require_same_genesis(config, found, client)
        return found
    if named:
        deployment = await _checked(client, named)
        try:
            logged = await logged_genesis(client, deployment.identity)
        except WrongContracts as error:
            raise L1Unusable(f"This rollup cannot be served: {error}.") from None
        except L1Error as error:
            raise unusable("The L1 does not give the bridge's genesis log", error) from None
        if logged is None:
            raise L1Unusable("The L1 node does not give the bridge's genesis log.")
        record = DeploymentRecord(deployment, logged[0])
    elif config.is_l1_embedded or config.is_deploy_allowed:
        record = await _deployed(config, client, operator)
    else:
        raise CannotStart("Say which rollup with --rollup-address, or deploy a new one with --deploy.")
    try:
        datadir.keep_record(record)
    except OSError as error:
        at = "0x" + record.deployment.bridge.hex()
        paid = (
            "" if named or config.is_l1_embedded else f" The rollup {at} is deployed: start with --rollup-address {at}."
        )
        raise DatadirUnusable(f"The datadir {datadir.path} takes nothing: {error}. {WRITABLE}{paid}") from None
    if not config.is_l1_embedded and not named:
        # Contracts on somebody's L1 were paid for, and this is the only place that says where they are.
        datadir.keep()
    return record


def _kept_identity(datadir: Datadir) -> DeploymentRecord | None:
    """The rollup that the store itself is of, where its record is gone; None where there is no store. DatadirUnusable.

    Nothing is deployed over what somebody's money is in.
    """
    resequence.settle(datadir.path)
    if not (datadir.path / resequence.STATE).exists():
        if datadir.journal.exists() and any(datadir.journal.iterdir()):
            raise DatadirUnusable(
                f"The datadir {datadir.path} has a journal, and neither a state nor a deployment: `catenary datadir "
                "repair` makes both anew, with the --l1-rpc-url and the --rollup-address that it was of."
            )
        return None
    try:
        with closing(LevelDbStore(datadir.path / resequence.STATE, is_strict=True)) as store:
            identity, commitment = store.get(IDENTITY_KEY), store.get(b"commitment")
        if identity is None and commitment is not None:
            raise DatadirUnusable(
                f"The datadir {datadir.path} has a state that does not say of which rollup it is: `catenary datadir "
                "repair` compares it with the --l1-rpc-url and the --rollup-address that it was of."
            )
        record = None if identity is None else DeploymentRecord.decode(identity)
    except (StoreUnavailable, ValueError) as error:
        raise DatadirUnusable(f"The datadir {datadir.path} cannot be used: {error} {_MENDED}") from None
    if record is not None:
        datadir.keep_record(record)
        at = "0x" + record.deployment.bridge.hex()
        structlog.get_logger("node").warning("deployment.restored", rollup=at, source="the store's own identity")
    return record


async def _require_recorded(config: NodeConfig, recorded: DeploymentRecord, client: L1Client) -> None:
    chain_id, at = await chain_of(client), recorded.deployment
    if at.chain_id != chain_id:
        raise DatadirUnusable(
            f"The datadir {config.datadir} belongs to chain {at.chain_id}, this L1 is chain {chain_id}: "
            f"{_ANOTHER.format('--l1-rpc-url')}"
        )
    if config.rollup_address and config.rollup_address != at.bridge:
        raise DatadirUnusable(
            f"The datadir {config.datadir} belongs to the rollup 0x{at.bridge.hex()}: "
            f"{_ANOTHER.format('--rollup-address')}"
        )


async def _require_same_genesis(config: NodeConfig, recorded: DeploymentRecord, client: L1Client) -> None:
    """The datadir's state begins where the bridge's does: it may be a copy, or the L1 may have been made anew."""
    try:
        root = await genesis_root(client, recorded.deployment.bridge)
        is_same = root == recorded.genesis_root
    except L1Error as error:
        raise unusable("The L1 does not say what the rollup began with", error) from None
    except ValueError as error:
        raise DatadirUnusable(
            f"The genesis in the datadir {config.datadir} cannot be used ({error}). {_MENDED}"
        ) from None
    if not is_same:
        raise DatadirUnusable(
            f"The datadir {config.datadir} has another genesis than the rollup, 0x{root.hex()}: the L1 was made anew, "
            f"or deployment.json is not of this state. {_ANOTHER.format('--l1-rpc-url')} {_MENDED}"
        )


async def _deployed(config: NodeConfig, client: L1Client, operator: Signer) -> DeploymentRecord:
    genesis = new_genesis(config, await chain_of(client), operator.address)
    try:
        made = await deploy(client, operator, genesis, _parameters(config))
        # The queue's first entries: whoever deposits later finds the funds that his leverage stands on.
        await endow(client, operator, made.token, made.bridge, DEVNET_MARKETS)
        return DeploymentRecord(made, genesis)
    except L1Error as error:
        raise unusable("The contracts could not be deployed", error) from None


def new_genesis(config: NodeConfig, chain_id: int, operator: bytes) -> bytes:
    """What a rollup begins with that is deployed now; CannotStart where the law has no such venue, or nobody chose."""
    posting_fee = config.posting_fee_micros
    if posting_fee is None and chain_id not in DEVNET_CHAINS:
        raise CannotStart(
            f"On chain {chain_id} bytes cost money: say with --posting-fee-micros what a new rollup takes for a "
            "request's, and see docs/operating.md for how much that is."
        )
    terms = {
        "maker_fee_ppm": config.maker_fee_ppm,
        "taker_fee_ppm": config.taker_fee_ppm,
        "minimum_notional_micros": config.minimum_notional_micros,
    }
    listings = tuple(msgspec.structs.replace(listing, **terms) for listing in DEVNET_MARKETS)
    fee = DEVNET_POSTING_FEE_MICROS if posting_fee is None else posting_fee
    signers = [address_of(key) for key in devnet_signer_keys()]
    try:
        return genesis_bytes(operator, signers, DEVNET_QUORUM, listings, fee, config.grace_ms)
    except ValueError as error:
        raise CannotStart(f"There can be no such rollup: {error}.") from None


async def parameters_of(client: L1Client, bridge: bytes) -> calls.Parameters:
    """What the rollup's bridge was deployed with; L1Unusable."""
    try:
        return calls.decode_record(calls.Parameters, await client.eth_call(bridge, calls.encode_call("parameters")))
    except (L1Error, ArtifactError) as error:
        raise unusable("The L1 does not say what the bridge was deployed with", error) from None


def _parameters(config: NodeConfig) -> calls.Parameters:
    return msgspec.structs.replace(
        DEVNET_PARAMETERS,
        window_seconds=config.window_seconds,
        governor=config.governor,
        governance_delay_seconds=config.governance_delay_seconds,
        bond_wei=config.bond_wei,
        entry_fee_wei=config.entry_fee_wei,
        minimum_deposit_micros=config.minimum_deposit_micros,
    )


async def _checked(client: L1Client, address: bytes) -> Deployment:
    try:
        return await read(client, address)
    except WrongContracts as error:
        raise L1Unusable(f"These are not the shipped contracts: {error}.") from None
    except L1Error as error:
        raise unusable("The L1 does not show the contracts", error) from None


def open_journal(datadir: Datadir) -> Journal:
    """The journal of a datadir; DatadirUnusable where it is damaged, or gone from beside a state."""
    resequence.settle(datadir.path)
    if (datadir.path / resequence.STATE).exists() and not has_segments(datadir.journal):
        # A new one would take its place, and nobody would know what the old one held.
        raise DatadirUnusable(
            f"The datadir {datadir.path} has a state and no journal, which holds what was acknowledged and is in no "
            f"chunk yet. {_MENDED}"
        )
    try:
        journal = Journal(datadir.journal, JOURNAL_LIMITS)
    except JournalError as error:
        raise unreadable(error) from None
    if (cut := journal.cut) is not None:
        # Torn by the end of the process or the machine before its sync: nobody was answered by it.
        structlog.get_logger("journal").warning(
            "journal.cut", segment=cut.segment.name, offset=cut.offset, bytes=cut.length
        )
    return journal


def unreadable(error: JournalError) -> DatadirUnusable:
    """What an operator is told of a journal that cannot be used."""
    if isinstance(error, JournalInUse):
        return DatadirUnusable(str(error))
    return DatadirUnusable(f"{error} {WRITABLE if is_of_the_disk(error) else _MENDED}")


async def open_engine(
    config: NodeConfig,
    datadir: Datadir,
    record: DeploymentRecord,
    client: L1Client,
    journal: Journal,
    now_ms: Callable[[], int],
) -> Engine:
    """The engine on the datadir's state; at the last posted chunk where L1 will never take what comes behind it."""
    resequence.settle(datadir.path)
    if config.is_following and journal.durable_sequence:
        raise DatadirUnusable(
            f"The datadir {datadir.path} is a sequencer's, with a journal: `catenary node --follow` needs another."
        )
    if not (datadir.path / resequence.STATE).exists():
        chosen = operator_of(config, record.deployment.chain_id) if config.is_posting else None
        await _first_state(datadir, record, client, journal, now_ms(), chosen)
    if config.is_following:
        # Chunks come that no record of it led to.
        datadir.begin_journal(b"")
    engine = _engine_on(datadir, record)
    if not config.is_posting:
        return engine
    deployment = record.deployment
    final_block: str | int = "latest" if deployment.chain_id == DEVELOPMENT_CHAIN_ID else "finalized"
    poster = Poster(client, operator_of(config, deployment.chain_id), deployment, engine, Clocks(now_ms))
    tail = [msgspec.msgpack.decode(given, type=Input) for _, given in journal.replay(engine.cursor + 1)]
    try:
        kept = await poster.overdue_behind(final_block, tail[0].now if tail else None)
        because = "were not posted in time"
        if kept is None:
            kept = await poster.other_queue_behind(final_block, *_queue_taken(engine, tail))
            because = "followed from entries that L1's queue does not have"
    except L1Error as error:
        engine.store.close()
        raise unusable("The L1 does not say what it holds", error) from None
    if kept is None:
        return engine
    # The checkpoint would leave out the queue's entries that are to be consumed again.
    datadir.checkpoint.unlink(missing_ok=True)
    datadir.begin_journal(b"")
    kept_place = resequence.Kept(deployment.domain, record.genesis, kept, journal.durable_sequence)
    try:
        voided = resequence.resequence(datadir.path, engine.store, kept_place, iter(tail))
    except (StoreUnavailable, OSError) as error:
        raise DatadirUnusable(
            f"The venue cannot be re-sequenced in {config.datadir}: {error} Make room on the disk, or: {_MENDED}"
        ) from None
    structlog.get_logger("node").error(
        f"RE-SEQUENCED: {voided.operation_count} acknowledged operations {because} and are VOID",
        **msgspec.structs.asdict(voided),
        open_orders="all dropped",
    )
    return _engine_on(datadir, record)


def is_recallable(datadir: Datadir) -> bool:
    """Whether a datadir knows enough to go on while L1 is away. DatadirUnusable."""
    record = datadir.record()
    return record is not None and read_known(datadir.path, record.deployment.domain) is not None


def recalled_rollup(datadir: Datadir, away: L1Away) -> DeploymentRecord:
    """The rollup of a datadir that knows enough to go on while L1 is away; raises `away` where it does not."""
    record = datadir.record()
    if record is None or not is_recallable(datadir):
        raise away
    return record


def recalled_engine(datadir: Datadir, record: DeploymentRecord, away: L1Away) -> tuple[Engine, Known]:
    """The engine on the datadir's state as it is, and what was known of L1; raises `away` where nothing was."""
    known = read_known(datadir.path, record.deployment.domain)
    resequence.settle(datadir.path)
    if known is None or not (datadir.path / resequence.STATE).exists():
        raise away
    structlog.get_logger("node").warning("l1.away", why=str(away), known_block=known.block.number)
    return _engine_on(datadir, record), known


async def _first_state(
    datadir: Datadir, record: DeploymentRecord, client: L1Client, journal: Journal, now_ms: int, operator: Signer | None
) -> None:
    """The state of a datadir that has none yet: what the bridge holds, or genesis where it holds no batch.

    operator: who would post, None where nobody does.
    """
    if journal.durable_sequence:
        raise DatadirUnusable(
            f"The datadir {datadir.path} has a journal of {journal.durable_sequence} records and no state: "
            f"`catenary datadir repair` builds it again"
        )
    log = structlog.get_logger("node")
    # It would leave out the queue's entries that are to be consumed.
    datadir.checkpoint.unlink(missing_ok=True)

    def reached(batch: int, of: int) -> None:
        log.info("rebuild.progress", batch=batch, of=of, percent=100 * batch // of)

    try:
        answer = await client.eth_call(record.deployment.bridge, calls.encode_call("head"))
        if calls.decode_record(calls.BatchRecord, answer).number == 0:
            datadir.begin_journal(record.genesis_root)
            rebuild.genesis_state(datadir.path, record)
            return
        seat = await seat_now(client, record.deployment.bridge)
        if operator is not None and seat.bond_id and seat.holder != operator.address:
            # Said before hours of replay.
            raise L1Unusable(f"This node cannot post: the committer's seat is held by 0x{seat.holder.hex()}.")
        log.info("rebuild.started", rollup="0x" + record.deployment.bridge.hex())
        datadir.begin_journal(b"")
        rebuilt = await rebuild.rebuild_state(client, record, datadir.path, now_ms, reached)
    except rebuild.Contradicted as error:
        raise L1Unusable(f"This node cannot be rebuilt: {error}.") from None
    except (L1Error, ArtifactError) as error:
        raise unusable("The L1 does not say what the rollup holds", error) from None
    except (StoreUnavailable, OSError) as error:
        raise DatadirUnusable(f"The state cannot be built in {datadir.path}: {error}") from None
    datadir.keep()
    log.warning(
        "rebuild.done",
        **msgspec.structs.asdict(rebuilt),
        lost="open orders, soft cancels, and what was acknowledged and not posted",
    )


def _queue_taken(engine: Engine, tail: Sequence[Input]) -> tuple[int, bytes]:
    """How many entries of the L1 queue a store and what is journaled behind it have taken, and their hash chain."""
    count, chain_hash = engine.state.commitment.queue_taken, engine.state.commitment.queue_hash
    for given in tail:
        if given.operation and is_entry(given.operation[0]):
            count, chain_hash = count + 1, batch.extend_queue_hash(chain_hash, given.operation)
    return count, chain_hash


def _engine_on(datadir: Datadir, record: DeploymentRecord) -> Engine:
    try:
        store = LevelDbStore(datadir.path / resequence.STATE, is_strict=True)
        if store.get(IDENTITY_KEY) != record.encode():
            store.close()
            raise DatadirUnusable(
                f"The state in the datadir {datadir.path} is not of the rollup that deployment.json names. {_MENDED}"
            )
        return remembering_engine(BufferedStore(store), record.deployment.domain, datadir.levels)
    except (StoreUnavailable, prover_state.StateError) as error:
        raise DatadirUnusable(f"The datadir {datadir.path} cannot be used: {error} {_MENDED}") from None


def remembering_engine(store: BufferedStore, domain: bytes, dump: Path) -> Engine:
    """The engine on a store, with what a dump remembers of its tree. StoreUnavailable, StateError."""
    remembered = levels.read(dump, domain)
    engine = Engine(store, domain, levels=remembered)
    log = structlog.get_logger("node")
    if remembered.why_not:
        log.warning("levels.refused", why=remembered.why_not, instead="every row was hashed")
    elif remembered.used:
        log.info("levels.used", accounts_spared=remembered.used)
    return engine


async def keep_levels(engine: Engine, dump: Path) -> None:
    """Writes a dump of the tree's levels as it stands, a piece at a time beside the node's other work."""
    pieces: list[bytes] = []
    with _told_if_not_kept():
        for piece in levels.dumped(engine.domain, engine.state.remembered()):
            pieces.append(piece)
            if len(pieces) % _RECORDS_A_TURN == 0:
                await trio.lowlevel.checkpoint()
        await trio.to_thread.run_sync(levels.write, dump, pieces)


def leave_levels(engine: Engine, dump: Path) -> None:
    """The same at once, by a node that ends."""
    with _told_if_not_kept():
        levels.write(dump, levels.dumped(engine.domain, engine.state.remembered()))


@contextmanager
def _told_if_not_kept() -> Iterator[None]:
    """The next start hashes every row, and that is all."""
    try:
        yield
    except (OSError, StoreUnavailable) as error:
        structlog.get_logger("node").warning("levels.not_kept", error=str(error))


def go_back(datadir: Datadir, record: DeploymentRecord, chunks: int) -> None:
    """The store of a node that follows ends with this chunk. DatadirUnusable."""
    try:
        store = LevelDbStore(datadir.path / resequence.STATE, is_strict=True)
        _, held, _ = msgspec.msgpack.decode(store.get(CURSOR_KEY) or b"", type=tuple[int, int, int])
        if held == chunks:
            store.close()
            return
        # All of L1 is read anew only where what was read has to come again.
        cut_checkpoint(datadir.checkpoint, record.deployment.domain, chunks, entries_behind(store, chunks))
        if step_back(store, chunks, record.genesis_root):
            store.close()
            return
        # Further than is remembered. L1 holds all that a follower ever had: no copy is kept.
        kept = resequence.Kept(record.deployment.domain, record.genesis, chunks, 0)
        resequence.resequence(datadir.path, store, kept, iter(()), most=0)
    except (StoreUnavailable, OSError) as error:
        raise DatadirUnusable(
            f"The datadir {datadir.path} cannot go back to chunk {chunks}: {error} {_MENDED}"
        ) from None
