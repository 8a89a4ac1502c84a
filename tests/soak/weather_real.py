"""One rollup in bad weather with processes: `catenary node` and `catenary challenger` on anvil, a faulting proxy each.

Reorganisations are as deep as this chain is not final, processes end by SIGKILL, and clocks do not jump: that is played
on the fake clock alone.
"""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from subprocess import DEVNULL, PIPE
from typing import Any, Final

import httpx
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import DEVELOPMENT_KEYS
from l1_bridge.client.keystore import encrypt
from l1_bridge.client.options import L1Options
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import load_artifact
from prover.contracts.deployment import deploy
from prover.signing.signatures import address_of
from prover.state.genesis import genesis_bytes
from prover.stf import constants
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from tests.l1_bridge.l1_nodes import anvil
from tests.l1_bridge.weather import Fault, Weather, drawn, weather_proxy
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import PRICES, ROOT, Client, report
from tests.sequencer.node_world import DOLLAR, owner
from tests.soak.weather_scene import CHAIN_ID, DEPOSITOR, OPERATOR, PROVER, Played

BAD_SECONDS: Final = 30
# Nodes come to rest within a few dozen looks; the time is for one that hangs.
_MOST_ANSWERS: Final = 400
_LONGEST_REST_SECONDS: Final = 3 * PATIENCE_SECONDS
_EPOCH_SLOTS: Final = 6
_DEEPEST: Final = 9
# So long a node may take to notice what L1 tells it, on a machine that has much else to do.
_KNOWN_SECONDS: Final = 120
_OWNERS: Final = 5
_GWEI: Final = 10**9
_SCRYPT_N: Final = 1 << 10


class Program:
    """One command of ours that is started again whenever it ends; `said` are its lines."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: trio.Process | None = None
        self.said: list[dict[str, Any]] = []
        self.ends: Counter[str] = Counter()

    async def run(self) -> None:
        """For ever."""
        start = "from prover.cli.main import main; main()"
        while True:
            process = self._process = await trio.lowlevel.open_process(
                [sys.executable, "-c", start, *self._arguments], stdout=PIPE, stderr=DEVNULL, cwd=ROOT
            )
            assert process.stdout is not None
            try:
                buffer = b""
                async for piece in process.stdout:
                    *lines, buffer = (buffer + piece).split(b"\n")
                    self.said += [json.loads(line) for line in lines if line]
                code = await process.wait()
            finally:
                self.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                    await process.stdout.aclose()
            self.ends[f"code {code}"] += 1
            await trio.sleep(1)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest line of a kind."""
        return next((line for line in reversed(self.said) if line.get("event") == event), None)


class RealScene:
    """One case."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = Random(seed)
        self.directory = directory
        self.harm: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.is_over = self.has_ticked = False
        # How often the node has told its state since the weather is good.
        self.answered = 0
        self._started = 0.0
        self.node_faults = drawn(self.random, BAD_SECONDS, self.random.randrange(2, 7))
        self.challenger_faults = drawn(self.random, BAD_SECONDS, self.random.randrange(1, 5))

    def seconds(self) -> float:
        """Since the weather began."""
        return trio.current_time() - self._started

    async def run(self) -> None:
        """Bad weather, then good, then the checks."""
        options = ("--chain-id", str(CHAIN_ID))
        with anvil(*options, epoch_slots=_EPOCH_SLOTS) as l1:
            async with L1Client(l1.url, L1Options(poll_seconds=0.2)) as self.l1:
                await self._deploy()
                async with (
                    weather_proxy(self._weather(self.node_faults), l1.url) as node_url,
                    weather_proxy(self._weather(self.challenger_faults), l1.url) as challenger_url,
                    trio.open_nursery() as nursery,
                ):
                    self._started = trio.current_time()
                    await self._play(nursery, node_url, challenger_url)
                    nursery.cancel_scope.cancel()

    def _weather(self, faults: list[Fault]) -> Weather:
        return Weather(self.random, faults, self.seconds, self.seen)

    async def _deploy(self) -> None:
        signers = [address_of(key) for key in devnet_signer_keys()]
        self.deployment = await deploy(self.l1, OPERATOR, genesis_bytes(OPERATOR.address, signers, DEVNET_QUORUM))
        token = load_artifact("MockDollar")
        for call in (
            token.encode_call("mint", DEPOSITOR.address, 1_000_000 * DOLLAR),
            token.encode_call("approve", self.deployment.bridge, 2**255),
        ):
            await self.l1.send(DEPOSITOR, self.deployment.token, call, gas=200_000)
        await self.l1.call("evm_setAutomine", [False])
        self.floor = (await self.l1.newest_block()).number

    async def _play(self, nursery: trio.Nursery, node_url: str, challenger_url: str) -> None:
        rollup = ("--rollup-address", "0x" + self.deployment.bridge.hex(), "--json", "--log-level", "error")
        self.node = Program(
            *("node", "--port", "0", "--datadir", str(self.directory / "node"), "--l1-rpc-url", node_url),
            *("--take-seat", "--no-oracle", "--no-maker", "--verifiers", "0", "--post-interval", "1"),
            *(*self._key("operator", 0), *rollup),
        )
        self.challenger = Program(
            *("challenger", "--datadir", str(self.directory / "challenger"), "--l1-rpc-url", challenger_url),
            *(*self._key("prover", 5), *rollup),
        )
        assert (OPERATOR.address, PROVER.address) == tuple(address_of(DEVELOPMENT_KEYS[index]) for index in (0, 5))
        tasks = (self._mine, self._turn, self._deposit, self._tick, self._kill, self._sample)
        for task in (self.node.run, self.challenger.run, *tasks):
            nursery.start_soon(task)
        await trio.sleep(BAD_SECONDS)
        self.is_over = True
        # By what the node has answered, and not by the clock: on a machine that has much else to do all of it waits.
        with trio.move_on_after(_LONGEST_REST_SECONDS):
            while not await self._is_at_rest() and self.answered < _MOST_ANSWERS:
                await trio.sleep(2)
        await self._judge()

    def _key(self, name: str, index: int) -> tuple[str, ...]:
        keystore, password = self.directory / f"{name}.json", self.directory / "password"
        content = encrypt(DEVELOPMENT_KEYS[index], address_of(DEVELOPMENT_KEYS[index]), "weather", _SCRYPT_N)
        keystore.write_text(json.dumps(content))
        password.write_text("weather\n")
        password.chmod(0o600)
        return "--keystore", str(keystore), "--password-file", str(password)

    # What happens.

    async def _mine(self) -> None:
        """A block a second, by no interval of anvil's own."""
        while True:
            await trio.sleep(1)
            await self.l1.call("evm_mine", [])

    async def _turn(self) -> None:
        """Reorganisations, fee spikes, and what pools forget."""
        acts = [self.random.choice(("reorganise", "reorganise", "drop", "spike")) for _ in range(4)]
        for at, act in sorted((self.random.uniform(5, BAD_SECONDS), act) for act in acts):
            await trio.sleep(max(0, at - self.seconds()))
            if act == "reorganise":
                depth = self.random.choice((1, 2, self.random.randrange(1, _DEEPEST + 1)))
                # The rollup, and what the depositor has, stand however slowly blocks came.
                depth = min(depth, (await self.l1.newest_block()).number - self.floor)
                if depth > 0:
                    await self.l1.call("anvil_reorg", [depth, []])
            elif act == "drop":
                await self.l1.call("anvil_dropAllTransactions")
            else:
                await self.l1.call("anvil_setNextBlockBaseFeePerGas", [hex(self.random.choice((20, 150)) * _GWEI)])

    async def _deposit(self) -> None:
        count = 0
        while not self.is_over:
            await trio.sleep(self.random.uniform(2, 12))
            data = calls.encode_deposit(owner(count % _OWNERS), constants.NEW_ACCOUNT, 10 * DOLLAR)
            count += 1
            try:
                await self.l1.send(DEPOSITOR, self.deployment.bridge, data, gas=500_000)
            except L1Error:
                continue

    async def _tick(self) -> None:
        """The oracle, until the weather is good and there is something to judge: a batch with at least one tick.

        On a slow machine the node comes up behind the bad weather: without a tick nothing would ever be posted.
        """
        while not (self.is_over and self.has_ticked and await self._head_number()):
            await trio.sleep(1)
            ready = self.node.last("ready")
            newest = await self.l1.newest_block()
            time_ms = newest.timestamp * 1_000
            if ready is not None:
                await trio.to_thread.run_sync(self._report, ready["url"], time_ms - time_ms % constants.TICK_STEP)

    def _report(self, url: str, time_ms: int) -> None:
        try:
            with Client(url) as client:
                self.has_ticked |= report(client, self.deployment.domain, time_ms, list(PRICES)) == "tick"
        except (httpx.HTTPError, KeyError, ValueError):
            # A node that is down or comes up.
            return

    async def _kill(self) -> None:
        victims = [self.random.choice((self.node, self.node, self.challenger)) for _ in range(self.random.randrange(3))]
        for at, victim in sorted(((self.random.uniform(5, BAD_SECONDS), v) for v in victims), key=lambda it: it[0]):
            await trio.sleep(max(0, at - self.seconds()))
            victim.kill()

    # What must hold.

    async def _ask(self, name: str) -> bytes:
        return await self.l1.eth_call(self.deployment.bridge, calls.encode_call(name))

    async def _head_number(self) -> int:
        return calls.decode_record(calls.BatchRecord, await self._ask("head")).number

    def _status(self) -> dict[str, Any] | None:
        ready = self.node.last("ready")
        try:
            if ready is not None:
                with Client(ready["url"]) as client:
                    status = client.status()
                    self.answered += self.is_over
                    return status
        except (httpx.HTTPError, AssertionError, ValueError):
            pass
        return None

    async def _sample(self) -> None:
        lasting = 0
        while True:
            await trio.sleep(3)
            status = await trio.to_thread.run_sync(self._status)
            is_clear = not any(fault.start <= self.seconds() < fault.end for fault in self.node_faults)
            is_harm = is_clear and status is not None and status["ready"]
            lasting = lasting + 1 if is_harm and not await self._is_postable(status or {}) else 0
            if lasting * 3 >= _KNOWN_SECONDS:
                self.harm["ready_but_unpostable"] = 1

    async def _is_postable(self, status: dict[str, Any]) -> bool:
        head = calls.decode_record(calls.BatchRecord, await self._ask("head"))
        seat = calls.decode_record(calls.Seat, await self._ask("seat"))
        is_known = head.number == 0 or status["posted"]["root"] == "0x" + head.last_root.hex()
        return is_known and seat.holder == OPERATOR.address

    async def _is_at_rest(self) -> bool:
        status = await trio.to_thread.run_sync(self._status)
        head = calls.decode_record(calls.BatchRecord, await self._ask("head"))
        queue = int.from_bytes(await self._ask("queue_length"), "big")
        judged = self.challenger.last("batch")
        if status is None or judged is None or head.number == 0 or not self.has_ticked:
            return False
        root = "0x" + head.last_root.hex()
        is_posted = status["posted"]["chunks"] == status["sequenced"]["chunk"] and status["posted"]["root"] == root
        is_served = status["sequenced"]["queue_count"] == queue == head.queue_count
        is_followed = (judged["number"], judged["verdict"], judged["root"]) == (head.number, "valid", root)
        return is_posted and is_served and is_followed

    async def _judge(self) -> None:
        if not await self._is_at_rest():
            self.harm["stuck"] = 1
        queue = int.from_bytes(await self._ask("queue_length"), "big")
        if await trio.to_thread.run_sync(self._accounts) > queue:
            self.harm["double_credits"] = 1
        seat = calls.decode_record(calls.Seat, await self._ask("seat"))
        if seat.bond_id > 1 or (seat.bond_id and seat.holder != OPERATOR.address):
            self.harm["lost_bonds"] = 1
        said = self.challenger.said
        if any(line.get("verdict") == "fraud" or line["event"] == "proof_sent" for line in said):
            self.harm["false_verdicts"] = 1
        status = await trio.to_thread.run_sync(self._status)
        self.ended = {
            "node": dict(self.node.ends),
            "challenger": dict(self.challenger.ends),
            "judged": self.challenger.last("batch"),
            "failed": self.node.last("failed"),
            "queue": queue,
            "status": status and {name: status[name] for name in ("sequenced", "posted", "ready", "reasons")},
        }

    def _accounts(self) -> int:
        ready = self.node.last("ready")
        if ready is None:
            return 0
        try:
            with Client(ready["url"]) as client:
                owners = ["0x" + owner(index).hex() for index in range(_OWNERS)]
                return sum(len(client.call("catenary_accounts", owner=each)) for each in owners)
        except (httpx.HTTPError, AssertionError):
            return 0


def play_real(seed: int) -> Played:
    """One case."""
    with tempfile.TemporaryDirectory(prefix="catenary-weather-") as name, structlog.testing.capture_logs():
        scene = RealScene(seed, Path(name))
        trio.run(scene.run)
        return Played(seed, scene.harm, scene.ended, scene.seen)
