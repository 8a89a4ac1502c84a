"""What an operator is told in numbers: one table of them, read when they are asked for."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version

import msgspec
import structlog
import trio
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.contracts.artifact import ArtifactError
from sequencer.api.methods.standing import Standing
from sequencer.api.transport.server import Server
from sequencer.l1.bridge_view import BridgeView
from sequencer.l1.follower import CONTRADICTED, FOLLOWING
from sequencer.l1.handing_over import HANDING_OVER
from sequencer.l1.postable import CODES
from sequencer.l1.poster import Poster
from sequencer.l1.preflight import WorkerVerdicts
from sequencer.sequencing.sequencer import LANES, Sequencer
from sequencer.sequencing.signature_pool import Verifiers
from sequencer.sequencing.venue_clock import VenueClock
from sequencer.soft.tail import DROPPED

_ASK_SECONDS = 30.0


class Sources(msgspec.Struct, frozen=True):
    """The parts of a node that the numbers are of; None for those that it lacks."""

    sequencer: Sequencer
    view: BridgeView
    standing: Standing
    client: L1Client
    poster: Poster
    clock: VenueClock
    purse: "Purse"
    verifiers: Verifiers | None
    referees: WorkerVerdicts | None


class Purse:
    """What L1 says of the key that posts, and what it is owed: asked now and then, each number as it was said last.

    bond_wei, bond_missing_wei: what stands in bonds of this key, and what was burned or slashed of them. owed_since:
    L1's time, in seconds, of the oldest entry of the queue that no batch serves, 0 for none.
    """

    def __init__(self, client: L1Client, poster: Poster) -> None:
        self.balance_wei = 0
        self.holds_seat = self.bond_wei = self.bond_missing_wei = self.owed_since = 0
        self.asked_at = 0.0
        self._client = client
        self._poster = poster
        self._log = structlog.get_logger("purse")

    async def run(self) -> None:
        """Asks for ever; what L1 does not answer stays as it was, and is one line."""
        while True:
            try:
                self.balance_wei = await self._client.balance(self._poster.operator)
                self.holds_seat = int((await self._poster.seat()).holder == self._poster.operator)
                self.bond_wei, self.bond_missing_wei = await self._poster.bonded()
                self.asked_at = trio.current_time()
                _, _, owed = await self._poster.head_and_owed()
                self.owed_since = 0 if owed is None else owed.enqueued_at
            except (L1Error, ArtifactError) as error:
                self._log.warning("purse.unread", error=str(error))
            await trio.sleep(_ASK_SECONDS)


def register(collectors: CollectorRegistry, sources: Sources) -> None:
    """Adds them all, those of the process among them."""
    for name, sentence, read in _numbers(sources):
        Gauge(f"catenary_{name}", sentence, registry=collectors).set_function(read)
    not_ready = Gauge("catenary_not_ready", "1 for each reason that stands.", ["reason"], registry=collectors)
    for code in (*CODES, HANDING_OVER, FOLLOWING, CONTRADICTED, DROPPED):
        not_ready.labels(code).set_function(partial(sources.standing.has, code))
    lanes = Gauge("catenary_lane_waiting", "Operations that wait to be sequenced.", ["lane"], registry=collectors)
    for lane, name in enumerate(LANES):
        lanes.labels(name).set_function(partial(sources.sequencer.waiting, lane))
    build = Gauge("catenary_build_info", "1, with the version of this node.", ["version"], registry=collectors)
    build.labels(version("catenary")).set(1)
    ProcessCollector(registry=collectors)


def register_gate(collectors: CollectorRegistry, server: Server) -> None:
    """Adds those of the server's queue of calls."""
    gate = server.dispatcher.gate
    for name, sentence, read in (
        ("api_waiting_calls", "Calls that wait for their turn.", lambda: gate.waiting),
        ("api_waiting_bytes", "Bytes of the calls that wait for their turn.", lambda: gate.waiting_bytes),
        ("api_shed_calls", "Calls refused because too much waited before them.", lambda: gate.shed),
    ):
        Gauge(f"catenary_{name}", sentence, registry=collectors).set_function(read)


def _numbers(sources: Sources) -> Iterable[tuple[str, str, Callable[[], float]]]:
    sequencer, view, poster, client = sources.sequencer, sources.view, sources.poster, sources.client
    engine = sequencer.engine
    yield "ready", "1 while nothing stands against posting what is taken.", lambda: sources.standing.is_ready
    # The venue.
    yield "accounts", "Accounts that were ever opened.", lambda: engine.globals.next_account
    yield "position_holders", "Accounts that hold a position.", lambda: len(engine.holders)
    yield "open_orders", "Orders that rest or wait for a trigger.", lambda: engine.orders.open_count
    yield "inputs", "Inputs that changed something, since genesis.", lambda: engine.inputs
    yield "withdrawals", "Withdrawals since genesis.", lambda: engine.globals.withdrawal_count
    yield "tick_time_ms", "Grid time of the newest price.", lambda: engine.globals.tick_time
    yield "tick_age_seconds", "Age of the newest price.", lambda: _age(sources, engine.globals.tick_time)
    yield "sync_seconds", "What the journal's last sync took.", lambda: sequencer.sync_seconds
    yield "clock_skew_ms", "How far the machine's clock is ahead of the venue's.", lambda: sources.clock.skew_ms
    # What L1 has of it.
    yield "chunks_sealed", "Chunks sealed since genesis.", lambda: engine.chunk_count
    yield "chunks_posted", "Chunks that the newest batch on L1 contains.", lambda: view.posted_chunks
    yield "backlog_chunks", "Sealed chunks that L1 does not hold yet.", lambda: sequencer.backlog
    yield "batches_posted", "Batches that this process has posted.", lambda: poster.batches_posted
    yield "batches_rolled_back", "Batches that a proof removed.", lambda: view.rolled_back
    yield "final_batch", "Number of the newest final batch.", lambda: view.final_batch
    yield "last_batch_age_seconds", "Age of the newest batch on L1, 0 for none.", lambda: _batch_age(view)
    yield "queue_entries", "Entries of the L1 queue that are taken.", lambda: engine.view.commitment.queue_taken
    yield "queue_oldest_seconds", "Age of the oldest entry that no batch serves, 0 for none.", lambda: _owed(sources)
    yield "queue_unfinished", "1 while the head of the queue is being closed.", lambda: _is_closing(sequencer)
    yield "posting_trouble_seconds", "How long posting has been in trouble, 0 for none.", poster.trouble_seconds
    yield "preflight_checked", "Chunks that the pre-flight has judged.", lambda: poster.preflight.checked
    yield "preflight_left_out", "Chunks that were posted without it.", lambda: poster.preflight.left_out
    # L1 and the key.
    yield "l1_block", "Newest L1 block that was read.", lambda: view.block
    yield "l1_balance_wei", "Ether of the key that posts, as L1 said last.", lambda: sources.purse.balance_wei
    yield "l1_bond_wei", "What stands in bonds of this key.", lambda: sources.purse.bond_wei
    yield "l1_bond_missing_wei", "What was burned or slashed of them.", lambda: sources.purse.bond_missing_wei
    yield "l1_seat_held", "1 while this key holds the seat.", lambda: sources.purse.holds_seat
    yield "l1_asked_seconds", "How long ago L1 told of the key.", lambda: trio.current_time() - sources.purse.asked_at
    yield "l1_pending_seconds", "How long a transaction has waited to be mined.", lambda: _pending_seconds(client)
    yield "l1_pending_fee_wei", "What it offers per gas.", lambda: _pending_fee(client)
    # Processes.
    verifiers, referees = sources.verifiers, sources.referees
    yield "verifiers", "Signature workers that are alive.", lambda: len(verifiers.worker_pids) if verifiers else 0
    yield "verifier_restarts", "Signature workers that died.", lambda: verifiers.restarts if verifiers else 0
    yield "preflight_workers_died", "Pre-flight workers that died.", lambda: referees.died if referees else 0


def _age(sources: Sources, time_ms: int) -> float:
    return (sources.clock() - time_ms) / 1_000 if time_ms else 0


def _owed(sources: Sources) -> float:
    return _age(sources, 1_000 * sources.purse.owed_since)


def _batch_age(view: BridgeView) -> float:
    return time.time() - view.batches[-1].committed_at if view.batches else 0


def _is_closing(sequencer: Sequencer) -> bool:
    commitment = sequencer.engine.view.commitment
    return commitment.queue_taken > commitment.queue_count


def _pending_seconds(client: L1Client) -> float:
    return max((trio.current_time() - at.since for at in client.waiting), default=0)


def _pending_fee(client: L1Client) -> int:
    return max((at.max_fee_wei for at in client.waiting), default=0)
