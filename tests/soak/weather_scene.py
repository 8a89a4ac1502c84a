"""One rollup in bad weather, in one process and on a fake clock: the shipped node and challenger over a simulated L1.

The L1 is a pool and blocks over the EVM with the shipped contracts. Node and challenger each see it through weather of
their own; a depositor, and the checks, see it as it is. The node's process ends where the seed says and begins again on
what its directory holds; threads run at once, so that the clock does not pass while one works.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import msgspec
import structlog
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from l1_bridge.contracts.artifact import load_artifact
from prover.challenger.challenger import Challenger, Settings
from prover.challenger.report import Summary
from prover.contracts import referee
from prover.contracts.deployment import DEVNET_PARAMETERS, Deployment, DeploymentRecord
from prover.history.history import ChainReplay
from prover.signing.signatures import address_of
from prover.state.genesis import genesis_bytes
from prover.state.state import genesis_commitment
from prover.state.store import MemoryStore
from prover.stf import constants, encoding
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from sequencer.l1.following import QueueUnreadable
from sequencer.l1.poster import Overdue
from sequencer.node import node as nodes
from sequencer.node import opening
from sequencer.node.config import CannotStart, NodeConfig
from sequencer.node.datadir import held
from tests.l1_bridge.evm import Evm
from tests.l1_bridge.simulated_l1 import GENESIS_TIME, GWEI, SimulatedL1
from tests.l1_bridge.weather import Fault, Weather, WeatherTransport, drawn
from tests.sequencer.node_world import DOLLAR, PRICES, owner, tick

# A devnet's other id: blocks become final behind reorganisations here, as on a chain of strangers.
CHAIN_ID: Final = 1_337
OPERATOR, DEPOSITOR, PROVER = (development_key(index) for index in (0, 3, 5))
BLOCK_SECONDS: Final = 2
DEEPEST: Final = 30
# Two blocks beyond the deepest reorganisation and the one block that it adds.
FINALITY_BLOCKS: Final = DEEPEST + 6
BAD_SECONDS: Final = 180
# How long everything may take to come to rest once the weather is good.
REST_SECONDS: Final = 900
_RESTART_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 2.0
_SAMPLE_SECONDS: Final = 3
# So long a node may take to notice what L1 tells it.
_KNOWN_SECONDS: Final = 30
_JUMPS: Final = (-3_600.0, -30.0, 5.0, 30.0, 3_600.0, 28_560.0)


class Schedule:
    """What happens in one case, all of it drawn from the seed before it begins."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.random = random
        self.node_faults = drawn(random, BAD_SECONDS, random.randrange(3, 12))
        self.challenger_faults = drawn(random, BAD_SECONDS, random.randrange(2, 8))
        times = [random.uniform(5, BAD_SECONDS) for _ in range(4)]
        self.reorganisations = [
            (at, random.choice((1, 1, 2, 3, random.randrange(1, DEEPEST + 1)))) for at in times[: random.randrange(5)]
        ]
        self.spikes = [
            (random.uniform(5, BAD_SECONDS), random.choice((20, 150, 800)) * GWEI, random.uniform(5, 60))
            for _ in range(random.randrange(3))
        ]
        self.drops = sorted(random.uniform(5, BAD_SECONDS) for _ in range(random.randrange(4)))
        self.kills = sorted(random.uniform(2, BAD_SECONDS) for _ in range(random.randrange(4)))
        self.jumps = [
            (random.uniform(5, BAD_SECONDS), random.choice(_JUMPS), random.uniform(3, 20))
            for _ in range(random.randrange(3))
        ]


class Told:
    """What the challenger said: alarms by code."""

    def __init__(self) -> None:
        self.alarms: Counter[str] = Counter()

    def event(self, name: str, text: str | None = None, /, *, colour: str | None = None, **fields: Any) -> None:
        """One thing that happened."""
        if name == "alarm":
            self.alarms[str(fields["code"])] += 1

    def summary(self, title: str, fields: Any, *, good: bool) -> None:
        """Not told here."""


class Rollup:
    """The contracts on an EVM of their own, and what a node's directory says of them."""

    def __init__(self) -> None:
        self.evm = Evm(CHAIN_ID, GENESIS_TIME)
        self.genesis = genesis_bytes(OPERATOR.address, [address_of(key) for key in devnet_signer_keys()], DEVNET_QUORUM)
        families = [self.evm.deploy_code(referee.artifact(name).bytecode) for name in referee.FAMILIES]
        law = self.evm.deploy_code(referee.artifact("FraudReferee").creation_code(*families))
        token = self.evm.deploy(load_artifact("MockDollar"))
        opened = batch.Commitment.decode(encoding.commitment_bytes(genesis_commitment(self.genesis)[0]))
        self.creation = calls.encode_creation(token.address, law, DEVNET_PARAMETERS, opened, self.genesis)
        bridge = self.evm.deploy_code(self.creation)
        self.logs = self.evm.deployment_logs
        self.deployment = Deployment(CHAIN_ID, bridge, law, token.address, 1)
        token.send("mint", DEPOSITOR.address, 1_000_000 * DOLLAR, sender=DEPOSITOR.address)
        token.send("approve", bridge, 2**255, sender=DEPOSITOR.address)

    def view(self, name: str, *arguments: int) -> bytes:
        """What the bridge says now."""
        return self.evm.call(bytes(20), self.deployment.bridge, calls.encode_call(name, *arguments))


class Scene:
    """One case; `run` plays it and `harm` is what it came to."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.schedule = Schedule(seed)
        self.rollup = Rollup()
        self.directory = directory
        self.stops: Counter[str] = Counter()
        self.harm: Counter[str] = Counter()
        self.told = Told()
        self.seen: Counter[str] = Counter()
        self.deposits = 0
        self.is_over = False
        self._jump_ms = 0
        self._running: nodes.Running | None = None
        self._node: nodes.Node | None = None
        self._life: trio.CancelScope | None = None

    async def run(self) -> None:
        """Bad weather, then good, then the checks."""
        self._started = trio.current_time()
        bridge = self.rollup.deployment.bridge
        views = [(bridge, calls.encode_call(name)) for name in ("head", "queue_length", "seat", "final_number")]
        self.l1 = SimulatedL1(self.seconds, self.rollup.evm, views, CHAIN_ID)
        self.l1.finality_blocks = FINALITY_BLOCKS
        self.l1.found(self.rollup.creation, self.rollup.logs)
        config = NodeConfig(
            datadir=self.directory,
            port=0,
            l1_rpc_url="http://l1",
            operator=OPERATOR,
            is_maker_running=False,
            is_oracle_simulated=False,
            is_seat_wanted=True,
        )
        with held(self.directory) as datadir:
            datadir.keep_record(DeploymentRecord(self.rollup.deployment, self.rollup.genesis))
            datadir.keep()
        self._store = MemoryStore()
        async with trio.open_nursery() as nursery:
            for task in (self._mine, self._turn, self._sample, self._deposit, self._tick, self._kill, self._challenge):
                nursery.start_soon(task)
            nursery.start_soon(self._operate, config)
            await trio.sleep(BAD_SECONDS)
            self.is_over = True
            with trio.move_on_after(REST_SECONDS):
                while not self._is_at_rest():
                    await trio.sleep(5)
            self._judge()
            self.ended = self._looks()
            nursery.cancel_scope.cancel()

    def seconds(self) -> float:
        """Since the case began."""
        return trio.current_time() - self._started

    def _client(self, faults: list[Fault], **options: Any) -> L1Client:
        """A client in weather; without faults, one that sees L1 as it is."""

        async def ask(content: bytes) -> bytes:
            return self.l1.respond(content)

        weather = Weather(self.schedule.random, faults, self.seconds, self.seen)
        return L1Client("http://l1", L1Options(**options), transport=WeatherTransport(weather, ask))

    def _monotonic_ms(self) -> int:
        return int(trio.current_time() * 1_000)

    def now_ms(self) -> int:
        """The clock of the node's machine."""
        jump = sum(by for at, by, lasts in self.schedule.jumps if at <= self.seconds() < at + lasts)
        return int((GENESIS_TIME + self.seconds() + jump) * 1_000)

    # L1.

    async def _mine(self) -> None:
        while True:
            await trio.sleep(BLOCK_SECONDS)
            now = self.seconds()
            spikes = [fee for at, fee, lasts in self.schedule.spikes if at <= now < at + lasts]
            self.l1.base_fee = max(spikes, default=GWEI)
            self.l1.mine()

    async def _turn(self) -> None:
        """Reorganisations and what pools forget."""
        events = [(at, depth) for at, depth in self.schedule.reorganisations]
        for at, depth in sorted(events + [(at, 0) for at in self.schedule.drops]):
            await trio.sleep(max(0, at - self.seconds()))
            if depth:
                kept = self.schedule.random.choice((0, 50, 100))
                self.l1.reorganise(depth, keeps=lambda _, kept=kept: self.schedule.random.randrange(100) < kept)
            else:
                self.l1.forget()

    async def _deposit(self) -> None:
        """A stranger's deposits, at any time of bad weather, by a client that sees L1 as it is."""
        client = self._client([])
        random = Random(self.schedule.random.random())
        while not self.is_over:
            await trio.sleep(random.uniform(5, 60))
            data = calls.encode_deposit(owner(self.deposits % 5), constants.NEW_ACCOUNT, 10 * DOLLAR)
            try:
                await client.send(DEPOSITOR, self.rollup.deployment.bridge, data, gas=500_000)
                self.deposits += 1
            except L1Error as error:
                self.stops[f"deposit: {type(error).__name__}"] += 1

    # The node.

    async def _operate(self, config: NodeConfig) -> None:
        """Starts the node as a service manager does, again and again."""

        def made(url: str, options: L1Options) -> L1Client:
            client = self._client(self.schedule.node_faults)
            client.options = msgspec.structs.replace(options, poll_seconds=_POLL_SECONDS)
            return client

        def kept(*arguments: Any) -> nodes.Node:
            self._node = node_class(*arguments)
            return self._node

        node_class = nodes.Node
        with patch.object(opening, "L1Client", made), patch.object(nodes, "Node", kept):
            while True:
                try:
                    async with trio.open_nursery() as nursery:
                        self._life = nursery.cancel_scope
                        self._running = await nursery.start(nodes.run, config, self.now_ms, self._monotonic_ms)
                except* (CannotStart, L1Error, QueueUnreadable, Overdue) as errors:
                    self.stops[f"node: {_names(errors)}"] += 1
                finally:
                    self._running = self._node = self._life = None
                await trio.sleep(_RESTART_SECONDS)

    async def _kill(self) -> None:
        for at in self.schedule.kills:
            await trio.sleep(max(0, at - self.seconds()))
            if self._life is not None:
                self._life.cancel()
                self.stops["node: killed"] += 1

    async def _tick(self) -> None:
        """The oracle, whose clock is right."""
        step = constants.TICK_STEP // 1_000
        while not self.is_over:
            await trio.sleep(step)
            running = self._running
            if running is None:
                continue
            time_ms = int(GENESIS_TIME + self.seconds()) * 1_000
            time_ms -= time_ms % constants.TICK_STEP
            with trio.move_on_after(step):
                await running.sequencer.submit(tick(time_ms, PRICES, domain=self.rollup.deployment.domain))

    # The challenger.

    async def _challenge(self) -> None:
        replay = ChainReplay(self._store, self.rollup.deployment.identity)
        client = self._client(self.schedule.challenger_faults)
        self.challenger = Challenger(client, replay, self.told, Settings(signer=PROVER, poll_seconds=_POLL_SECONDS))
        self.replay = replay
        await self.challenger.run()

    # What must hold.

    def _head(self) -> calls.BatchRecord:
        return calls.decode_record(calls.BatchRecord, self.rollup.view("head"))

    def _seat(self) -> calls.Seat:
        return calls.decode_record(calls.Seat, self.rollup.view("seat"))

    async def _sample(self) -> None:
        """Who says that it is ready can post: the bridge's head is its own, and so is the seat.

        What it is not told it cannot know: only what has lasted since the weather between it and L1 was good counts.
        """
        lasting = 0
        while True:
            await trio.sleep(_SAMPLE_SECONDS)
            now, node, running = self.seconds(), self._node, self._running
            is_clear = not any(fault.start <= now < fault.end for fault in self.schedule.node_faults)
            is_harm = is_clear and node is not None and running is not None and node._standing.is_ready
            lasting = lasting + 1 if is_harm and running is not None and not self._is_postable(running) else 0
            if lasting * _SAMPLE_SECONDS >= _KNOWN_SECONDS:
                self.harm["ready_but_unpostable"] = 1

    def _is_postable(self, running: nodes.Running) -> bool:
        root = self._head().last_root
        is_ours = root == running.genesis_root or running.engine.chunk_with_root(root) is not None
        return is_ours and self._seat().holder == OPERATOR.address

    def _is_at_rest(self) -> bool:
        running = self._running
        if running is None or not self.replay.started:
            return False
        head, engine, cursor = self._head(), running.engine, self.replay.cursor
        if engine.chunk_count == 0 or engine.chunk_with_root(head.last_root) != engine.chunk_count:
            return False
        queue = int.from_bytes(self.rollup.view("queue_length"), "big")
        is_served = engine.view.commitment.queue_count == queue == head.queue_count
        is_followed = cursor.tip == cursor.valid == head.number and self.replay.state.root == head.last_root
        return is_served and is_followed

    def _judge(self) -> None:
        if not self._is_at_rest():
            self.harm["stuck"] = 1
        running, queue = self._running, int.from_bytes(self.rollup.view("queue_length"), "big")
        if running is not None and running.engine.globals.deposited_total > queue * 10 * DOLLAR:
            self.harm["double_credits"] = 1
        seat = self._seat()
        if self.stops["seat"] or (seat.bond_id and seat.holder != OPERATOR.address) or seat.bond_id > 1:
            self.harm["lost_bonds"] = 1
        summary: Summary = self.challenger.finish()
        alarms = sum(self.told.alarms[code] for code in ("REFEREE", "LIBRARIES", "LAW_FAILED", "LAW_DRIFT"))
        if summary.fraud or summary.proofs_sent or alarms:
            self.harm["false_verdicts"] = 1

    def _looks(self) -> dict[str, Any]:
        """What it looked like in the end, for whoever searches."""
        head, running = self._head(), self._running
        return {
            "stops": dict(self.stops),
            "alarms": dict(self.told.alarms),
            "head": head.number,
            "queue": [head.queue_count, int.from_bytes(self.rollup.view("queue_length"), "big")],
            "ready": self._node is not None and [reason.code for reason in self._node._watch.reasons],
            "trouble": None if running is None or running.poster is None else running.poster.trouble,
            "chunks": None if running is None else (running.engine.chunk_count, running.view.posted_chunks),
            "taken": None if running is None else running.engine.view.commitment.queue_taken,
            "challenger": (self.replay.cursor.tip, self.replay.cursor.valid, self.replay.cursor.incomplete),
        }


def _names(errors: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {str(error)[:80]}"


async def _at_once(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """A thread on the fake clock: no time passes while it works."""
    await trio.lowlevel.checkpoint()
    return work(*arguments)


class Played(NamedTuple):
    """One case: harm by kind, what it looked like in the end, and how many calls each kind of fault has hit."""

    seed: int
    harm: Counter[str]
    ended: dict[str, Any]
    seen: Counter[str]


def play(seed: int) -> Played:
    """One case."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catenary-weather-")))
        stack.enter_context(structlog.testing.capture_logs())
        stack.enter_context(patch.object(trio.to_thread, "run_sync", _at_once))
        scene = Scene(seed, directory / "node")
        trio.run(scene.run, clock=trio.testing.MockClock(autojump_threshold=0))
        return Played(seed, scene.harm, scene.ended, scene.seen)
