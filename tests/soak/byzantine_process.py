"""The byzantine campaign against the challenger's own process: each scene is played on anvil, act by act.

The draws and the first judgement are those of byzantine.py, on the fast EVM; before a proof is sent there, the same
transactions at the same times stand on anvil, and `catenary challenger --once` has to prove it there first.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import httpx
import rlp
import trio

from l1_bridge.codec import calls
from l1_bridge.codec.calls import encode_call
from l1_bridge.codec.events import BatchCommitted
from l1_bridge.hashing import keccak
from prover.history.records import Judgement
from tests.l1_bridge.evm import GAS_LIMIT, GENESIS_TIME, RICH_WEI
from tests.l1_bridge.l1_nodes import ROOT, anvil
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.runs import command
from tests.prover.world import SEQUENCER, EvmChain
from tests.soak.byzantine import Campaign, Watched
from tests.soak.byzantine_scene import Scene

# anvil as it has to be started: the scene's clock, anybody's transactions.
_ANVIL: Final = ("--auto-impersonate", "--timestamp", str(GENESIS_TIME - 1))
# Of so many true batches one is shown to a process: in each of them it must find nothing to prove.
ONE_OF_TRUE: Final = 16
_NONCES: Final = 4_096


class Act(NamedTuple):
    """A transaction that succeeded, or an empty block (without `sender`); `creates` is a new contract's address."""

    time: int
    sender: bytes = b""
    to: bytes = b""
    data: bytes = b""
    value: int = 0
    creates: bytes = b""


class PlayedChain(EvmChain):
    """The fast EVM that knows how it came to be."""

    def __init__(self) -> None:
        super().__init__()
        self._acts: list[Act] = []

    @property
    def acts(self) -> list[Act]:
        """One for each block, without those that a reorganisation took back."""
        return self._acts[: len(self.blocks)]

    async def deploy(self, code: bytes) -> bytes:
        """A new contract."""
        address = await super().deploy(code)
        self._keep(Act(self.evm.now, self.address(SEQUENCER), data=code, creates=address))
        return address

    def send_from(self, sender: bytes, to: bytes, data: bytes, value: int = 0, gas: int = GAS_LIMIT) -> Any:
        """One transaction, one block."""
        logs = super().send_from(sender, to, data, value, gas)
        self._keep(Act(self.evm.now, sender, to, data, value))
        return logs

    def pass_time(self, seconds: int) -> None:
        """An empty block."""
        super().pass_time(seconds)
        self._keep(Act(self.evm.now))

    def _keep(self, act: Act) -> None:
        # What lies behind the newest block belongs to a branch that is gone.
        del self._acts[len(self.blocks) - 1 :]
        self._acts.append(act)


class Stage:
    """One anvil on which acts are played; what a chain shares with the last one is not played again."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url, self._http = url, http
        self._played: list[Act] = []
        # Points to go back to: how many acts stood, and anvil's name for it.
        self._points: list[tuple[int, str]] = [(0, self.call("evm_snapshot"))]

    @classmethod
    @contextmanager
    def raised(cls) -> Iterator["Stage"]:
        """On an anvil of its own; skips a test where there is none."""
        with anvil(*_ANVIL) as node, httpx.Client(timeout=PATIENCE_SECONDS) as http:
            yield cls(node.url, http)

    def call(self, method: str, *parameters: Any) -> Any:
        """One request."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = self._http.post(self.url, json=body).json()
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def play(self, acts: list[Act], point: bool = False) -> None:
        """Makes anvil's chain that of `acts`; whoever acts on anvil beside it is taken back by the next play.

        point: later plays begin here, at the least, where they share these acts.
        """
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._played, acts, strict=False)))
        while self._points[-1][0] > shared:
            self._points.pop()
        at, name = self._points.pop()
        assert self.call("evm_revert", name)
        self._points.append((at, self.call("evm_snapshot")))
        self._played = acts[:at]
        # Its own mining comes some time after a transaction was taken.
        self.call("evm_setAutomine", False)
        for act in acts[at:]:
            self._act(act)
        self.call("evm_setAutomine", True)
        if point:
            self._points.append((len(acts), self.call("evm_snapshot")))

    def _act(self, act: Act) -> None:
        self._played.append(act)
        self.call("evm_setNextBlockTimestamp", act.time)
        sent = self._send(act) if act.sender else ""
        self.call("evm_mine")
        if sent:
            receipt = self.call("eth_getTransactionReceipt", sent)
            assert int(receipt["status"], 16) == 1, receipt
            assert not act.creates or receipt["contractAddress"] == _hex(act.creates), receipt

    def _send(self, act: Act) -> str:
        sender = _hex(act.sender)
        if not int(self.call("eth_getBalance", sender, "latest"), 16):
            self.call("anvil_setBalance", sender, hex(RICH_WEI))
        transaction = {"from": sender, "data": _hex(act.data), "value": hex(act.value), "gas": hex(GAS_LIMIT)}
        if act.creates:
            self.call("anvil_setNonce", sender, hex(_nonce_of(act)))
        else:
            transaction["to"] = _hex(act.to)
        sent: str = self.call("eth_sendTransaction", transaction)
        return sent

    def head(self, bridge: bytes) -> calls.BatchRecord:
        """The tip on anvil."""
        answer = self.call("eth_call", {"to": _hex(bridge), "data": _hex(encode_call("head"))}, "latest")
        return calls.decode_record(calls.BatchRecord, bytes.fromhex(answer[2:]))


class InProcesses(Campaign):
    """Every false batch is proven by a challenger's process on anvil, before it is on the fast EVM."""

    def __init__(self, seed: int, stage: Stage, *options: str) -> None:
        """options: what the challenger is told beside its L1 and rollup."""
        super().__init__(seed)
        self._stage, self._options = stage, options
        # Runs of the challenger's process, and what of it was not as it had to be.
        self.processes = 0
        self._show = Random(seed)

    def _watched(self, parent: str) -> Watched:
        scene: Scene = trio.run(Scene.make, self.rng.randrange(2**32), parent, PlayedChain())
        self._stage.play(acts_of(scene), point=True)
        return Watched(scene, self._replaying)

    def _prove(self, name: str, watched: Watched) -> None:
        dispute = watched.replay.dispute()
        assert dispute is not None
        tip, found = dispute.batch.header.number - 1, self._challenged(watched.scene)
        head = self._stage.head(watched.scene.rollup.bridge.address).number
        if (found["held"], found["proofs_won"], found["tip"], head) != (True, 1, tip, tip):
            self.unproven.append(f"{name}: a process left tip {head}, not {tip}, and said {found}")
        super()._prove(name, watched)

    def _true(self, name: str, watched: Watched, scene: Scene, judged: Judgement | None, event: BatchCommitted) -> None:
        if self._show.randrange(ONE_OF_TRUE) == 0:
            found, number = self._challenged(watched.scene), event.batch.header.number
            if (found["held"], found["proofs_sent"], found["alarms"], found["tip"]) != (True, 0, 0, number):
                self.false_verdicts.append(f"{name}: a process said {found}")
        super()._true(name, watched, scene, judged, event)

    def _challenged(self, scene: Scene) -> dict[str, Any]:
        """What a new challenger sums up after it answered what stands on the chain."""
        self.processes += 1
        self._stage.play(acts_of(scene))
        with tempfile.TemporaryDirectory() as datadir:
            # anvil forgets the states of blocks that it was taken back behind, as a pruned node those of old ones.
            options = ("--once", "--from-block", "0", *self._options)
            arguments = command(scene.rollup, self._stage.url, Path(datadir), *options)
            ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
        lines = ended.stdout.splitlines()
        summary: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        if summary.get("event") != "summary":
            return dict.fromkeys(("held", "proofs_won", "proofs_sent", "alarms", "tip")) | {"stderr": ended.stderr}
        return summary


def played(seeds: int, seed: int) -> tuple[Campaign, dict[str, int]]:
    """The campaign after so many rounds, and how often a process ran."""
    with Stage.raised() as stage:
        campaign = InProcesses(seed, stage)
        campaign.run(seeds)
    return campaign, {"processes": campaign.processes}


def acts_of(scene: Scene) -> list[Act]:
    """How a scene came to be, on the chain that it was made on."""
    assert isinstance(scene.chain, PlayedChain)
    return scene.chain.acts


def _nonce_of(act: Act) -> int:
    """The nonce at which this address is what the sender creates (EIP-161, the yellow paper's CREATE)."""
    return next(nonce for nonce in range(_NONCES) if keccak(rlp.encode([act.sender, nonce]))[12:] == act.creates)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
