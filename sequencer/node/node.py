"""The node: one nursery around venue, L1, poster, prices and API; everything that lasts is in its datadir."""

import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import msgspec
import structlog
import trio
from prometheus_client import CollectorRegistry, Gauge

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID, Signer, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import calls
from l1_bridge.hashing import keccak
from prover.contracts.deployment import DEVNET_PARAMETERS, Deployment, WrongContracts, deploy, logged_genesis, read
from prover.signing.reports import signed_report
from prover.signing.signatures import address_of, sign
from prover.state import state as prover_state
from prover.state.genesis import genesis_bytes, name_and_decimals
from prover.state.leveldb import LevelDbStore
from prover.state.store import StoreUnavailable
from prover.stf import constants, containers
from sequencer.api.methods.reports import ReportMethods
from sequencer.api.methods.venue import Methods
from sequencer.api.rpc.errors import CallError
from sequencer.api.rpc.jsonrpc import Registry
from sequencer.api.transport.server import ApiConfig, Server
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError
from sequencer.devnet.prices import DEVNET_QUORUM, SimulatedPrices, devnet_signer_keys
from sequencer.devnet.trader import Trader, fund, make_markets
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.l1 import resequence
from sequencer.l1.bridge_view import BridgeView
from sequencer.l1.following import CHECKPOINT, Following, Queue, read_checkpoint
from sequencer.l1.poster import Poster, SeatTaken
from sequencer.sequencing.journal import Journal, JournalError
from sequencer.sequencing.journal import Limits as JournalLimits
from sequencer.sequencing.reports import TICK
from sequencer.sequencing.sequencer import Sequencer
from sequencer.sequencing.signature_pool import Verifiers
from sequencer.sequencing.staged_store import BufferedStore

_STARTUP_SECONDS: Final = 60.0
_PREDECESSOR_SECONDS: Final = 10.0
_MAKER_KEY: Final = 9
_MAKER_DEPOSIT_MICROS: Final = 1_000_000 * 10**6


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose. `l1_rpc_url` empty: an embedded L1 starts in the datadir."""

    datadir: Path
    port: int = 9545
    l1_rpc_url: str = ""
    l1_port: int = 8545
    rollup_address: bytes = b""
    is_deploy_allowed: bool = False
    operator: Signer | None = None
    development_key: int = 0
    is_maker_running: bool = True
    is_oracle_simulated: bool = True
    oracle_seed: int = 0
    seal_seconds: float = 1.0
    post_seconds: float = 5.0
    window_seconds: int = 30
    governor: bytes = containers.NOBODY
    governance_delay_seconds: int = 30
    is_posting: bool = True
    # Signature workers; 0 checks signatures in the node's own process.
    verifiers: int = 0


class CannotStart(Exception):
    """One sentence for the operator, and a non-zero exit: what was asked for does not go together."""


class L1Unusable(CannotStart):
    """There is no L1, or not the right one, or not the right contracts on it."""


class DatadirUnusable(CannotStart):
    """The datadir is in use, damaged, or belongs to another rollup."""


class Running(msgspec.Struct):
    """A node that is up."""

    url: str
    l1_url: str
    deployment: Deployment
    engine: Engine
    venue: Sequencer
    view: BridgeView
    poster: Poster | None


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


async def run(
    config: NodeConfig,
    now_ms: Callable[[], int] = wall_clock_ms,
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs a node until cancelled; CannotStart where it cannot come up.

    PreflightFailed and Overdue where it must not go on: after the latter it re-sequences at the next start.
    """
    log = structlog.get_logger("node")
    with _held(config.datadir), ExitStack() as opened:
        async with _l1(config) as l1_url, _connected(l1_url) as client:
            is_embedded = not config.l1_rpc_url
            chain_id = await client.chain_id()
            operator = config.operator
            if operator is None:
                if chain_id != DEVELOPMENT_CHAIN_ID:
                    raise CannotStart(
                        f"On chain {chain_id} the node needs --keystore: it has no development keys there."
                    )
                operator = development_key(config.development_key)
            deployment = await _deployment(config, client, operator, chain_id, is_embedded)
            genesis = _recorded(config.datadir)["genesis"]
            try:
                journal = Journal(
                    config.datadir / "journal", JournalLimits(segment_bytes=64 << 20, pending_bytes=64 << 20)
                )
                opened.callback(journal.close)
                engine = await _open_engine(config, deployment, client, operator, journal)
                opened.callback(engine.store.close)
                verifiers = Verifiers(config.verifiers) if config.verifiers else None
                checkpoint = await read_checkpoint(config.datadir / CHECKPOINT, client)
                view = BridgeView(deployment.identity, engine, bytes.fromhex(genesis), checkpoint)
                venue = Sequencer(
                    engine,
                    journal,
                    now_ms,
                    seal_seconds=config.seal_seconds,
                    recoverer=verifiers,
                    posted_chunks=lambda: view.posted_chunks,
                )
            except JournalError as error:
                raise DatadirUnusable(str(error)) from None
            methods = Methods(venue, view, client, deployment, now_ms)
            venue.listeners.append(methods)
            view.listeners.append(methods.posted)
            registry = Registry()
            methods.register(registry)
            is_oracle_simulated = config.is_oracle_simulated and chain_id == DEVELOPMENT_CHAIN_ID
            reports = ReportMethods(venue, deployment.domain, now_ms, is_taking=not is_oracle_simulated)
            reports.register(registry)
            collectors = CollectorRegistry()
            _register_gauges(collectors, venue, view)
            server = Server(
                ApiConfig(port=config.port),
                registry,
                metrics=collectors,
                epoch=secrets.token_hex(4),
                why_not_ready=lambda: None if methods.is_ready else "The node is catching up with L1.",
            )
            methods.open_feeds(server.feeds)
            poster = Poster(client, operator, deployment, engine, post_seconds=config.post_seconds)
            async with trio.open_nursery() as nursery:
                if verifiers is not None:
                    await nursery.start(verifiers.run)
                await nursery.start(venue.run)
                port = await nursery.start(server.serve)
                url = f"http://127.0.0.1:{port}"
                following = Following(client, deployment, view, Queue(venue), config.datadir / CHECKPOINT)
                try:
                    await following.catch_up()
                except L1Error as error:
                    raise L1Unusable(f"The L1 cannot be followed: {error}") from None
                nursery.start_soon(following.run)
                if config.is_posting:
                    try:
                        await poster.take_seat(url)
                    except SeatTaken as error:
                        raise L1Unusable(f"This node cannot post: {error}.") from None
                    nursery.start_soon(poster.run)
                if is_oracle_simulated:
                    await nursery.start(simulate_oracle, venue, reports, deployment.domain, config.oracle_seed)
                else:
                    nursery.start_soon(reports.run)
                methods.is_ready = True
                if config.is_maker_running and chain_id == DEVELOPMENT_CHAIN_ID:
                    nursery.start_soon(run_maker, client, deployment, url)
                log.info("node.ready", url=url, l1=l1_url, rollup="0x" + deployment.bridge.hex())
                task_status.started(Running(url, l1_url, deployment, engine, venue, view, poster))
                try:
                    await trio.sleep_forever()
                finally:
                    methods.is_ready = False
                    server.stop()


@contextmanager
def _held(datadir: Path) -> Iterator[None]:
    """Holds the datadir for this process. DatadirUnusable where another one does, or where it cannot be made."""
    try:
        datadir.mkdir(parents=True, exist_ok=True)
        lock = os.open(datadir / "LOCK", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatadirUnusable(f"The datadir {datadir} cannot be used: {error.strerror}.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DatadirUnusable(f"The datadir {datadir} is in use by another node.") from None
    try:
        yield
    finally:
        os.close(lock)


# L1.


@asynccontextmanager
async def _l1(config: NodeConfig) -> AsyncIterator[str]:
    """The URL of the L1: the operator's, or an embedded one that lives as long as the node."""
    if config.l1_rpc_url:
        yield config.l1_rpc_url
        return
    async with embedded_l1(config.datadir / "l1", config.l1_port) as url:
        yield url


@asynccontextmanager
async def embedded_l1(datadir: Path, port: int) -> AsyncIterator[str]:
    """An embedded L1 as a process of its own; gives its URL. CannotStart where it does not come up."""
    await _predecessor_gone(datadir)
    command = [sys.executable, "-m", "l1_bridge.devnet.server", "--datadir", str(datadir), "--port", str(port)]
    command.append("--exit-with-stdin")
    # A group of its own: the terminal's Ctrl-C reaches the node first, which then ends its L1. The pipe to its stdin is
    # never written to: it closes with the node, however the node ends.
    process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = b""
        with trio.move_on_after(_STARTUP_SECONDS):
            while not line.endswith(b"\n"):
                piece = await process.stdout.receive_some(4096)
                if not piece:
                    break
                line += piece
        if not line.endswith(b"\n"):
            said = await process.stderr.receive_some(4096)
            raise L1Unusable(f"The embedded L1 did not start: {said.decode(errors='replace').strip() or 'no answer'}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, process.stdout)
            nursery.start_soon(_drain, process.stderr)
            yield str(json.loads(line)["url"])
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            with trio.move_on_after(10):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()
            await process.stderr.aclose()


async def _predecessor_gone(datadir: Path) -> None:
    """Waits for the embedded L1 of a node that was killed: it ends by itself, but not before its last call."""
    try:
        left_behind = int(json.loads((datadir / "devnet.json").read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    with trio.move_on_after(_PREDECESSOR_SECONDS):
        while _is_running(left_behind):
            await trio.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        # No such file system here: then the signal has told.
        return True
    except OSError:
        return False
    # Where nobody reaps orphans, a dead one stays as a name without locks or sockets.
    return state != "Z"


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[L1Client]:
    client = L1Client(url, L1Options(poll_seconds=0.5))
    try:
        await client.chain_id()
    except L1Error as error:
        await client.close()
        raise L1Unusable(f"The L1 cannot be used: {error}") from None
    try:
        yield client
    finally:
        with trio.CancelScope(shield=True):
            await client.close()


def _recorded(datadir: Path) -> dict[str, Any]:
    """What the datadir says it belongs to; empty for a new one."""
    path = datadir / "deployment.json"
    if not path.exists():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        bytes.fromhex(found["rollup_address"] + found["genesis"])
        int(found["chain_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatadirUnusable(f"{path} is damaged: {type(error).__name__}: {error}.") from None
    return found


async def _deployment(
    config: NodeConfig, client: L1Client, operator: Signer, chain_id: int, is_embedded: bool
) -> Deployment:
    """The rollup that this datadir belongs to: recorded, named by the operator, or deployed now."""
    recorded = _recorded(config.datadir)
    named = config.rollup_address
    if recorded:
        address = bytes.fromhex(recorded["rollup_address"])
        if recorded["chain_id"] != chain_id:
            raise DatadirUnusable(
                f"The datadir {config.datadir} belongs to chain {recorded['chain_id']}, this L1 is chain {chain_id}."
            )
        if named and named != address:
            raise DatadirUnusable(f"The datadir {config.datadir} belongs to the rollup 0x{address.hex()}.")
        return await _checked(client, address)
    if named:
        deployment = await _checked(client, named)
        logged = await logged_genesis(client, deployment.identity)
        if logged is None:
            raise L1Unusable("The L1 node does not give the bridge's genesis log.")
        genesis, _ = logged
    elif is_embedded or config.is_deploy_allowed:
        genesis = genesis_bytes(operator.address, [address_of(key) for key in devnet_signer_keys()], DEVNET_QUORUM)
        parameters = _parameters(config)
        try:
            deployment = await deploy(client, operator, genesis, parameters)
        except L1Error as error:
            raise L1Unusable(f"The contracts could not be deployed: {error}") from None
    else:
        raise CannotStart("Say which rollup with --rollup-address, or deploy a new one with --deploy.")
    record = {
        "chain_id": chain_id,
        "rollup_address": deployment.bridge.hex(),
        "referee_address": deployment.referee.hex(),
        "token_address": deployment.token.hex(),
        "genesis": genesis.hex(),
    }
    temporary = config.datadir / "deployment.tmp"
    with temporary.open("w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(config.datadir / "deployment.json")
    return deployment


def _parameters(config: NodeConfig) -> calls.Parameters:
    return msgspec.structs.replace(
        DEVNET_PARAMETERS,
        window_seconds=config.window_seconds,
        governor=config.governor,
        governance_delay_seconds=config.governance_delay_seconds,
    )


async def _checked(client: L1Client, address: bytes) -> Deployment:
    try:
        return await read(client, address)
    except WrongContracts as error:
        raise L1Unusable(f"These are not the shipped contracts: {error}.") from None


async def _open_engine(
    config: NodeConfig, deployment: Deployment, client: L1Client, operator: Signer, journal: Journal
) -> Engine:
    """The engine on the datadir's state; at the last posted chunk where L1 will never take what comes behind it."""
    genesis = bytes.fromhex(_recorded(config.datadir)["genesis"])
    resequence.settle(config.datadir)
    engine = _engine_on(config, deployment, genesis)
    if not config.is_posting:
        return engine
    final_block: str | int = "latest" if deployment.chain_id == DEVELOPMENT_CHAIN_ID else "finalized"
    try:
        kept = await Poster(client, operator, deployment, engine).overdue_behind(final_block)
    except L1Error as error:
        engine.store.close()
        raise L1Unusable(f"The L1 does not say what it holds: {error}") from None
    if kept is None:
        return engine
    # The checkpoint would leave out the queue's entries that are to be consumed again.
    (config.datadir / CHECKPOINT).unlink(missing_ok=True)
    journaled = (msgspec.msgpack.decode(record, type=Input) for _, record in journal.replay(engine.cursor + 1))
    try:
        voided = resequence.resequence(
            config.datadir, engine.store, deployment.domain, genesis, kept, journaled, journal.durable_sequence
        )
    except (StoreUnavailable, OSError) as error:
        raise DatadirUnusable(f"The venue cannot be re-sequenced in {config.datadir}: {error}") from None
    structlog.get_logger("node").error(
        f"RE-SEQUENCED: {voided.operation_count} acknowledged operations were not posted in time and are VOID",
        **msgspec.structs.asdict(voided),
        open_orders="all dropped",
    )
    return _engine_on(config, deployment, genesis)


def _engine_on(config: NodeConfig, deployment: Deployment, genesis: bytes) -> Engine:
    try:
        store = LevelDbStore(config.datadir / resequence.STATE)
        if store.get(b"commitment") is None:
            prover_state.create(store, deployment.domain, genesis)
        return Engine(BufferedStore(store), deployment.domain)
    except (StoreUnavailable, prover_state.StateError) as error:
        raise DatadirUnusable(f"The datadir {config.datadir} cannot be used: {error}") from None


# Prices.


def _labels(globals: containers.Globals) -> list[tuple[str, int]]:
    return [name_and_decimals(market) for market in globals.markets[: globals.market_count]]


async def simulate_oracle(
    venue: Sequencer,
    reports: ReportMethods,
    domain: bytes,
    seed: int,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Devnets only: seven well-known keys sign a simulated price at every grid time."""
    globals = venue.engine.globals
    labels = _labels(globals)
    prices = SimulatedPrices(seed, labels, globals.risk.price)
    keys = devnet_signer_keys()
    is_started = False
    while True:
        now = venue.now_ms()
        step = now - now % constants.TICK_STEP
        if step > venue.engine.globals.tick_time:
            prices.follow(_labels(venue.engine.globals))
            current, premiums = prices.step()
            for index, key in enumerate(keys):
                report = signed_report(domain, partial(sign, key), step, index, current, premiums)
                try:
                    taken = reports.desk.take(report, now)
                except CallError as error:
                    # A rollup of somebody else on a devnet may have other signers; its node still serves.
                    structlog.get_logger("oracle").warning("report.refused", code=error.error.name, signer=index)
                    continue
                if taken.status == TICK:
                    await reports.submit(step, taken.tick)
        if not is_started:
            is_started = True
            task_status.started()
        await trio.sleep((constants.TICK_STEP - (venue.now_ms() % constants.TICK_STEP) + 20) / 1_000)


async def run_maker(client: L1Client, deployment: Deployment, url: str) -> None:
    """Devnets only: somebody to trade with. Its account is opened by the first run and used by all."""
    log = structlog.get_logger("maker")
    trader = Trader(keccak(b"catenary devnet market maker"), deployment.domain, wall_clock_ms)
    async with NodeClient(url) as api:
        try:
            accounts = await api.accounts(trader.address)
            if not accounts:
                payer = development_key(_MAKER_KEY)
                deposits = [(trader.address, _MAKER_DEPOSIT_MICROS)]
                await fund(client, payer, deployment.token, deployment.bridge, deposits)
                while not (accounts := await api.accounts(trader.address)):
                    await trio.sleep(0.5)
        except (ClientError, L1Error) as error:
            log.warning("maker.gave_up", error=str(error))
            return
        trader.account = accounts[0]
        await make_markets(trader, api)


def _register_gauges(collectors: CollectorRegistry, venue: Sequencer, view: BridgeView) -> None:
    def gauge(name: str, sentence: str, read: Any) -> None:
        Gauge(f"catenary_{name}", sentence, registry=collectors).set_function(read)

    engine = venue.engine
    gauge("chunks_sealed", "Chunks sealed since genesis.", lambda: engine.chunk_count)
    gauge("chunks_posted", "Chunks that the newest batch on L1 contains.", lambda: view.posted_chunks)
    gauge("backlog_chunks", "Sealed chunks that L1 does not hold yet.", lambda: venue.backlog)
    gauge("l1_block", "Newest L1 block that was read.", lambda: view.block)
    gauge("batches_rolled_back", "Batches that a proof removed.", lambda: view.rolled_back)
    gauge("accounts", "Accounts that were ever opened.", lambda: engine.globals.next_account)
    gauge("tick_time_ms", "Grid time of the newest price.", lambda: engine.globals.tick_time)
