"""The node: one nursery around sequencer, L1, poster, prices and API; everything that lasts is in its datadir."""

import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final

import msgspec
import structlog
import trio
from prometheus_client import CollectorRegistry

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Unavailable
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID, Signer
from l1_bridge.client.values import Block
from l1_bridge.codec import calls
from prover.cli.running import first_of
from prover.contracts.deployment import DEVNET_CHAINS, Deployment, DeploymentRecord
from sequencer.api.methods.methods import Methods
from sequencer.api.methods.reports import Reports
from sequencer.api.methods.standing import Standing
from sequencer.api.rpc.handlers import register
from sequencer.api.rpc.jsonrpc import Registry
from sequencer.api.transport.http import Access
from sequencer.api.transport.http import Page as ServedPage
from sequencer.api.transport.port import ApiConfig, open_port
from sequencer.api.transport.server import Server
from sequencer.client.clock import monotonic_clock_ms, wall_clock_ms
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.history.history import History
from sequencer.l1 import postable
from sequencer.l1.bridge_view import BridgeView, Checkpoint
from sequencer.l1.follower import Follower, GoBack
from sequencer.l1.following import EntryFeeder, Following, read_checkpoint
from sequencer.l1.handing_over import CannotHandOver, HandOver
from sequencer.l1.known import Known, keep_known, read_known, words_of
from sequencer.l1.postable import BridgeFacts, Reason
from sequencer.l1.poster import Clocks, Poster, SeatTaken
from sequencer.l1.preflight import LocalVerdicts, Preflight, WorkerVerdicts
from sequencer.l1.seating import WORD, Seating, SeatLost
from sequencer.l1.watching import Watch, meet_time
from sequencer.node import metrics
from sequencer.node.config import CannotStart, DatadirUnusable, L1Away, L1Unusable, NodeConfig, unusable
from sequencer.node.datadir import Datadir, held
from sequencer.node.devnet_tasks import run_maker, simulate_oracle
from sequencer.node.opening import (
    AWAY_SECONDS,
    chain_of,
    connected,
    go_back,
    is_recallable,
    keep_levels,
    leave_levels,
    open_engine,
    open_journal,
    operator_of,
    parameters_of,
    recalled_engine,
    recalled_rollup,
    rollup_of,
    unreadable,
)
from sequencer.sequencing.bookkeeping import Bookkeeping
from sequencer.sequencing.journal import Journal, JournalError
from sequencer.sequencing.sequencer import Sequencer
from sequencer.sequencing.signature_pool import Verifiers
from sequencer.sequencing.venue_clock import VenueClock
from sequencer.soft.methods import Soft
from sequencer.soft.told import Untrue

_ASKED_SECONDS: Final = 0.5
_PRUNE_SECONDS: Final = 1.0
_LEVELS_SECONDS: Final = 300.0
_L1_PAUSE_SECONDS: Final = 1.0
_LONGEST_L1_PAUSE_SECONDS: Final = 15.0

# None of these ends by itself, and nothing could be taken meanwhile: where they stand a node does not come up.
_REFUSALS: Final[Mapping[str, type[CannotStart]]] = {
    "OTHER_SEAT": L1Unusable,
    "OTHER_HISTORY": DatadirUnusable,
    "SECOND_NODE": DatadirUnusable,
    "UNREAD": L1Away,
    "NO_BRIDGE": L1Unusable,
}


class Running(msgspec.Struct):
    """A node that is up."""

    url: str
    monitor_url: str | None
    l1_url: str
    l1_genesis_hash: bytes
    genesis_root: bytes
    deployment: Deployment
    engine: Engine
    sequencer: Sequencer
    view: BridgeView
    poster: Poster | None


async def run(
    config: NodeConfig,
    wall_ms: Callable[[], int] = wall_clock_ms,
    monotonic_ms: Callable[[], int] = monotonic_clock_ms,
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs a node until cancelled; CannotStart where it cannot come up, and then nothing is left of a first start.

    PreflightFailed and Overdue where it must not go on: after the latter it re-sequences at the next start.
    """
    with held(config.datadir) as datadir:
        datadir.forget_asked()
        # Before anything is deployed and paid for; that nobody takes it meanwhile is likely enough.
        await (await open_port(config.port)).aclose()
        async with connected(config, datadir) as client:
            record, away = await _rollup_or_known(config, datadir, client)
            clock = VenueClock(wall_ms, monotonic_ms, has_slots=record.deployment.chain_id not in DEVNET_CHAINS)
            learnt = Learnt(away=away)
            while True:
                with ExitStack() as opened:
                    node = await _opened(config, datadir, client, record, clock, opened, learnt)
                    went_back: GoBack | None = None
                    try:
                        await node.run(task_status)
                    except* GoBack as errors:
                        went_back = first_of(errors)
                if went_back is None:
                    return
                # Only a node that follows goes back. It comes up again where it was, and told already that it is up.
                structlog.get_logger("node").warning("follow.back", chunks=went_back.chunks)
                go_back(datadir, record, went_back.chunks)
                learnt = Learnt(went_back.contradicted, node.liar)
                config = msgspec.structs.replace(config, port=node.port or config.port)
                if node.was_up:
                    task_status = trio.TASK_STATUS_IGNORED


async def _opened(
    config: NodeConfig,
    datadir: Datadir,
    client: L1Client,
    record: DeploymentRecord,
    clock: VenueClock,
    opened: ExitStack,
    learnt: "Learnt",
) -> "Node":
    """A node on journal and engine, which `opened` closes. CannotStart."""
    try:
        journal = open_journal(datadir)
        opened.callback(journal.close)
        known: Known | None = None
        try:
            if learnt.away is not None:
                raise learnt.away
            await _meet_time(client, clock)
            fixed = await parameters_of(client, record.deployment.bridge)
            engine = await open_engine(config, datadir, record, client, journal, clock)
        except L1Away as away:
            engine, known = recalled_engine(datadir, record, away)
            fixed = known.parameters
        opened.callback(engine.store.close)
        # Before the store is closed, however the node ends: whoever reads it compares it with the store.
        opened.callback(leave_levels, engine, datadir.levels)
        clock.met_state(engine.state.commitment.timestamp)
        ground = Ground(config, datadir, client, record, fixed, engine, journal, clock, known)
        asked = client if known is None else None
        return Node(ground, await read_checkpoint(datadir.checkpoint, asked, record.deployment.domain), learnt)
    except JournalError as error:
        raise unreadable(error) from None


async def _rollup_or_known(
    config: NodeConfig, datadir: Datadir, client: L1Client
) -> tuple[DeploymentRecord, L1Away | None]:
    """The rollup that is served, and whether L1 is away and what is known of it has to do meanwhile. CannotStart.

    Where enough is known an L1 that takes calls and answers none is away as soon as any other: a client asks for long.
    """
    try:
        with trio.move_on_after(AWAY_SECONDS if is_recallable(datadir) else math.inf):
            return await _rollup(config, datadir, client), None
        raise L1Away(f"the L1 node at {client.place} has not said in {AWAY_SECONDS} s which rollup it has")
    except L1Away as away:
        return recalled_rollup(datadir, away), away


async def _rollup(config: NodeConfig, datadir: Datadir, client: L1Client) -> DeploymentRecord:
    """The rollup that is served, whose contracts L1 has shown. CannotStart."""
    return await rollup_of(config, datadir, client, operator_of(config, await chain_of(client)))


async def _meet_time(client: L1Client, clock: VenueClock) -> None:
    try:
        await meet_time(client, clock)
    except L1Error as error:
        raise unusable("The L1 does not say what time it is", error) from None


class Learnt(msgspec.Struct, frozen=True):
    """What is known when a node is opened: that L1 is away; where it went back with L1, the batch that it has found not
    to replay, and the lie for which the stream beside it is not asked again."""

    contradicted: bytes = b""
    liar: Untrue | None = None
    away: L1Away | None = None


class Ground(msgspec.Struct, frozen=True):
    """What a node stands on, opened by whoever closes it again. known: what is gone by while L1 is away."""

    config: NodeConfig
    datadir: Datadir
    client: L1Client
    record: DeploymentRecord
    parameters: calls.Parameters
    engine: Engine
    journal: Journal
    now_ms: VenueClock
    known: Known | None = None


class Node:
    """The parts of one node and their tasks."""

    def __init__(self, ground: Ground, checkpoint: Checkpoint | None, learnt: Learnt) -> None:
        """Replays what the journal holds beyond the engine's store; JournalError when it is damaged."""
        config, client, deployment = ground.config, ground.client, ground.record.deployment
        self._ground = ground
        self._deployment = deployment
        self._is_devnet = deployment.chain_id == DEVELOPMENT_CHAIN_ID
        self._is_oracle_simulated = config.is_oracle_simulated and self._is_devnet and not config.is_following
        # Where it is served, once it is; and whether it has said that it is up.
        self.port = 0
        self.was_up = False
        self._verifiers = Verifiers(config.verifiers) if config.verifiers else None
        self._view = BridgeView(deployment.identity, ground.engine, checkpoint)
        self._sequencer = Sequencer(
            ground.engine,
            ground.journal,
            ground.now_ms,
            seal_seconds=config.seal_seconds,
            recoverer=self._verifiers,
            posted_chunks=lambda: self._view.posted_chunks,
        )
        lists = self._sequencer.history.lists
        self._bookkeeping = self._books(self._sequencer.history)
        operator = operator_of(config, deployment.chain_id)
        self._referees: WorkerVerdicts | None = None
        if config.preflight_workers:
            self._referees = WorkerVerdicts(deployment.domain, config.preflight, config.preflight_workers)
        self._poster = self._poster_of(operator)
        self._purse = metrics.Purse(client, self._poster)
        self._sequencer.byte_micros = lambda: self._poster.byte_micros
        self._watch = Watch(
            client,
            self._sequencer,
            self._poster,
            is_posting=config.is_posting,
            max_lag_seconds=ground.parameters.max_lag_seconds,
            venue_clock=ground.now_ms,
        )
        self._hand_over = HandOver(
            client, operator, deployment.bridge, self._sequencer, self._view, ground.parameters.bond_wei
        )
        self._seating = Seating(client, self._poster, self._sit, self._reasons)
        self._follower: Follower | None = None
        if config.is_following:
            follower = Follower(ground.engine, lists, ground.record.genesis_root, self._tell, learnt.contradicted)
            self._view.before.append(lambda event: follower.hear(event, self._view.batches))
            self._follower = follower
        self._soft: Soft | None = None
        if config.soft_from:
            self._soft = Soft(ground.engine, lists, deployment, config.soft_from, learnt.liar)
        self._sequencer.taking = lambda: min(self._watch.taking, postable.taken(self._reasons()))
        self._standing = Standing(self._reasons)
        self._methods = Methods(
            self._sequencer, self._view, client, deployment, ground.now_ms, operator.sign, self._standing
        )
        self._sequencer.listeners.append(self._methods)
        self._view.listeners.append(self._methods.posted)
        self._reports = Reports(
            self._sequencer,
            deployment.domain,
            ground.now_ms,
            is_taking=not self._is_oracle_simulated and not config.is_following,
            is_simulated=self._is_oracle_simulated,
        )
        self._server = self._api()
        self._feeder = EntryFeeder(self._sequencer, ground.parameters.inclusion_seconds)
        self._following = Following(
            client, deployment, self._view, self._follower or self._feeder, ground.datadir.checkpoint
        )
        self._watch.heard = self._hear
        self._is_watching = False

    def _books(self, history: History) -> Bookkeeping:
        ground, config = self._ground, self._ground.config
        history.kept = config.kept_history
        return Bookkeeping(history, ground.engine.holders, ground.now_ms, config.sample_seconds)

    def _poster_of(self, operator: Signer) -> Poster:
        config, domain = self._ground.config, self._deployment.domain
        return Poster(
            self._ground.client,
            operator,
            self._deployment,
            self._ground.engine,
            Clocks(self._ground.now_ms),
            post_seconds=config.post_seconds,
            preflight=Preflight(self._referees or LocalVerdicts(domain), config.preflight),
        )

    def _reasons(self) -> tuple[Reason, ...]:
        if self._follower is not None:
            soft = self._soft.tail.reasons if self._soft else ()
            return (*self._following.reasons, *self._follower.reasons, *soft)
        return (*self._hand_over.reasons, *self._watch.reasons)

    def _tell(self, outcome: Processed) -> None:
        for listener in self._sequencer.listeners:
            listener.sequenced(outcome)
        for ended in self._sequencer.ended:
            ended()

    def _page_of(self, config: NodeConfig) -> dict[str, ServedPage]:
        """What a browser gets at /. An embedded L1 is asked where it is; another one only where the operator says so,
        whose own URL of it may hold a secret."""
        if not config.has_page:
            return {}
        # Nothing of the page is loaded where none is served.
        from sequencer.dashboard.page import Page, Place

        l1_url = config.page_l1_url or (self._ground.client.url if config.is_l1_embedded else "")
        return Page(Place(l1_url, config.challenger_url, self._is_devnet)).pages

    def _api(self) -> Server:
        registry = Registry()
        config = self._ground.config
        api = ApiConfig(port=config.port, access=Access(config.api_hosts, config.api_origins))
        if config.is_private:
            self._methods.keep_private(config.api_hosts)
        self._methods.register(registry, api.limits)
        register(registry, self._reports)
        collectors = CollectorRegistry()
        metrics.register(
            collectors,
            metrics.Sources(
                sequencer=self._sequencer,
                view=self._view,
                standing=self._standing,
                client=self._ground.client,
                poster=self._poster,
                clock=self._ground.now_ms,
                purse=self._purse,
                verifiers=self._verifiers,
                referees=self._referees,
            ),
        )
        server = Server(
            api,
            registry,
            metrics=collectors,
            epoch=secrets.token_hex(4),
            why_not_ready=self._standing.why_not,
            pages=self._page_of(config),
        )
        metrics.register_gate(collectors, server)
        self._methods.open_feeds(server.feeds)
        self._sequencer.ended.append(self._methods.ended)
        if self._soft is not None:
            register(registry, self._soft)
            self._soft.open_feeds(server.feeds)
            self._sequencer.listeners.append(self._soft)
        return server

    async def run(self, task_status: trio.TaskStatus[Running]) -> None:
        """Serves until cancelled; says so once it has caught up with L1 and may post."""
        client, deployment = self._ground.client, self._deployment
        async with trio.open_nursery() as nursery:
            if self._verifiers is not None:
                await nursery.start(self._verifiers.run)
            if self._referees is not None:
                await nursery.start(self._referees.run)
            if self._follower is None:
                await nursery.start(self._sequencer.run)
            self.port = await nursery.start(self._server.serve)
            url = f"http://127.0.0.1:{self.port}"
            monitor_url = await self._monitored(nursery)
            first: Block | None
            if self._follower is not None:
                first = await self._follow(nursery, self._follower)
            else:
                first = await self._begin(nursery, url)
                await self._meet_prices(nursery)
            self._ground.datadir.keep()
            self._standing.is_up = True
            self.was_up = True
            structlog.get_logger("node").info(
                "node.ready", url=url, l1=client.place, rollup="0x" + deployment.bridge.hex()
            )
            nursery.start_soon(self._prune)
            nursery.start_soon(self._keep_levels)
            nursery.start_soon(self._bookkeeping.run)
            nursery.start_soon(self._methods.run)
            nursery.start_soon(self._leave_when_asked, nursery.cancel_scope)
            task_status.started(
                Running(
                    url=url,
                    monitor_url=monitor_url,
                    l1_url=client.url,
                    l1_genesis_hash=b"" if first is None else first.hash,
                    genesis_root=self._ground.record.genesis_root,
                    deployment=deployment,
                    engine=self._ground.engine,
                    sequencer=self._sequencer,
                    view=self._view,
                    poster=self._poster,
                )
            )
            try:
                await trio.sleep_forever()
            finally:
                self._standing.is_up = False
                self._server.stop()

    async def _follow(self, nursery: trio.Nursery, follower: Follower) -> Block | None:
        """Without a seat: reads up to L1's head, and goes on; L1's first block. GoBack where L1 did."""
        try:
            await self._following.catch_up()
            first = await self._ground.client.block(0)
        except L1Error as error:
            raise unusable("The L1 cannot be followed", error) from None
        follower.settle(self._view.batches)
        nursery.start_soon(self._following.run)
        if self._soft is not None:
            nursery.start_soon(self._soft.tail.run)
        return first

    async def _prune(self) -> None:
        """Lets go of what nobody needs of final chunks, some at a time; it is written with the next chunk."""
        kept, sealed = self._ground.config.kept_witnesses, self._ground.engine.open_chunk.sealed
        while True:
            await trio.sleep(_PRUNE_SECONDS)
            final = [one.chunks for one in self._view.batches if one.chunks and self._view.is_final(one.number)]
            if final:
                sealed.prune(final[-1] - kept)

    async def _keep_levels(self) -> None:
        """For a start after a kill, when nothing is left behind."""
        engine, kept = self._ground.engine, 0
        while True:
            if engine.chunk_count != kept:
                kept = engine.chunk_count
                await keep_levels(engine, self._ground.datadir.levels)
            await trio.sleep(_LEVELS_SECONDS)

    async def _leave_when_asked(self, scope: trio.CancelScope) -> None:
        """Hands the seat over where the operator asks for it, and ends."""
        datadir = self._ground.datadir
        while True:
            bond_id = datadir.asked()
            if bond_id is not None and not self._ground.config.is_posting:
                datadir.answer(refused="this node posts nothing, and has no seat to give away")
            elif bond_id is not None:
                try:
                    done = await self._hand_over.run(bond_id)
                except (CannotHandOver, L1Error) as error:
                    datadir.answer(refused=str(error))
                else:
                    told = {**msgspec.structs.asdict(done), "successor": done.successor.hex(), "root": done.root.hex()}
                    datadir.answer(**told)
                    scope.cancel()
                    return
            await trio.sleep(_ASKED_SECONDS)

    async def _monitored(self, nursery: trio.Nursery) -> str | None:
        port = self._ground.config.monitor_port
        if port is None:
            return None
        return f"http://127.0.0.1:{await nursery.start(self._server.monitor(port).serve)}"

    async def _begin(self, nursery: trio.Nursery, url: str) -> Block | None:
        """Meets L1, or goes on from what was known of it while it is away; its first block where it answers."""
        known = self._ground.known
        try:
            if known is None:
                await self._meet_l1(nursery, url)
                return await self._ground.client.block(0)
        except (L1Away, L1Unavailable) as error:
            known = read_known(self._ground.datadir.path, self._deployment.domain)
            if known is None:
                raise L1Away(str(error)) from None
        self._feeder.horizon_seconds = known.horizon_seconds
        self._sit(known.bridge.seat.taken_at * 1_000)
        self._watch.recall(known.block, known.bridge)
        self._require_postable()
        self._is_watching = True
        nursery.start_soon(self._watch.run)
        nursery.start_soon(self._meet_l1_again, nursery, url)
        return None

    async def _meet_l1_again(self, nursery: trio.Nursery, url: str) -> None:
        """Asks until L1 answers, and then whether it is the one that is known. CannotStart ends the node."""
        ground, log, pause = self._ground, structlog.get_logger("node"), _L1_PAUSE_SECONDS
        while True:
            try:
                await _rollup(ground.config, ground.datadir, ground.client)
                await self._meet_l1(nursery, url)
                log.info("l1.back", l1=ground.client.url)
                return
            except L1Away as error:
                log.warning("l1.away", why=str(error), next_in_seconds=pause)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_L1_PAUSE_SECONDS)

    def _hear(self, block: Block, bridge: BridgeFacts) -> None:
        self._seating.hear(block, bridge.seat)
        self._keep_known(block, bridge)

    def _keep_known(self, block: Block, bridge: BridgeFacts) -> None:
        if self._feeder.horizon_seconds is None and not self._is_devnet:
            # The queue was not read yet: what an earlier run kept knows more.
            return
        known = Known(words_of(self._ground.parameters), block, bridge, self._feeder.horizon_seconds)
        try:
            keep_known(self._ground.datadir.path, self._deployment.domain, known)
        except OSError as error:
            structlog.get_logger("node").warning("known.not_kept", error=str(error))

    async def _meet_l1(self, nursery: trio.Nursery, url: str) -> None:
        # Before the first entry of the queue is taken: a store that cannot post begins no history of its own.
        await self._watch.look()
        self._require_postable()
        try:
            await self._following.catch_up()
        except L1Error as error:
            raise unusable("The L1 cannot be followed", error) from None
        config = self._ground.config
        if config.is_posting:
            await self._take_seat(url)
        await self._follow_seat()
        await self._watch.look()
        nursery.start_soon(self._following.run)
        if not self._is_watching:
            nursery.start_soon(self._watch.run)
        nursery.start_soon(self._purse.run)
        if config.is_posting:
            nursery.start_soon(self._poster.run)
            nursery.start_soon(self._seating.run)
        if config.is_maker_running and self._is_devnet:
            nursery.start_soon(run_maker, self._ground.client, self._deployment, url, self._ground.now_ms)

    def _require_postable(self) -> None:
        """CannotStart where this store can post nothing, and time alone changes nothing about it."""
        sentences = {reason.code: reason.sentence for reason in self._watch.reasons}
        for code, refusal in _REFUSALS.items():
            if code in sentences:
                raise refusal(f"{code}: {sentences[code]}")

    async def _take_seat(self, url: str) -> None:
        """Takes an open seat where the operator says so, which a new rollup's is the same as. CannotStart."""
        config = self._ground.config
        is_deploying = config.is_l1_embedded or config.is_deploy_allowed
        try:
            is_wanted = config.is_seat_wanted or (is_deploying and await self._poster.is_seat_new())
            if not is_wanted and not (await self._poster.seat()).bond_id:
                raise CannotStart(
                    "SEAT_OPEN: nobody holds the committer's seat, and a bond of "
                    f"{self._ground.parameters.bond_wei / 10**18:g} ether is put up with --take-seat alone."
                )
            word = self._ground.datadir.path / WORD if config.is_seat_wanted else None
            await self._seating.take(url, is_wanted, word)
        except SeatTaken as error:
            raise L1Unusable(f"This node cannot post: {error}.") from None
        except SeatLost as error:
            raise CannotStart(f"SEAT_LOST: {error}.") from None
        except OSError as error:
            raise DatadirUnusable(f"The datadir {self._ground.datadir.path} takes nothing: {error}.") from None
        except L1Error as error:
            raise unusable("The committer's seat cannot be taken", error) from None

    async def _follow_seat(self) -> None:
        try:
            seat = await self._poster.seat()
        except L1Error as error:
            raise unusable("The L1 does not say who holds the seat", error) from None
        self._sit(seat.taken_at * 1_000)

    @property
    def liar(self) -> Untrue | None:
        """For what the stream beside L1 is not asked again, whatever L1 says."""
        return self._soft.tail.liar if self._soft is not None else None

    def _sit(self, since_ms: int) -> None:
        """Refuses what was created under an earlier seat; by this node's clock where L1's is ahead of it."""
        self._sequencer.seated(min(since_ms, self._ground.now_ms()))

    async def _meet_prices(self, nursery: trio.Nursery) -> None:
        if self._is_oracle_simulated:
            seed = self._ground.config.oracle_seed
            await nursery.start(simulate_oracle, self._sequencer, self._reports, self._deployment.domain, seed)
        else:
            nursery.start_soon(self._reports.run)
