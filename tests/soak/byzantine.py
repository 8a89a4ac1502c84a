"""The byzantine campaign: whatever the bridge takes is judged, and whatever is false is proven on the bytecode.

Batches are drawn from what the bridge takes, not from what the sequencer makes (byzantine_lies.py). The shipped replay
judges them from the logs; what it calls valid is put to the referee chunk by chunk, what it calls a fraud is proven by
the transaction and the gas that the challenger would send. Every run is taken back by a reorganisation.
"""

import copy
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

import trio

from l1_bridge.client.following import Reverted as Left
from l1_bridge.codec.calls import encode_call, encode_prove_fraud
from l1_bridge.codec.events import BatchCommitted
from prover.challenger.proof import proof_gas
from prover.history.history import ChainReplay
from prover.history.records import Alarm, Judgement, Notice, Reason, Undone, Verdict
from prover.signing.recover import recover_slow
from prover.state.store import MemoryStore
from prover.stf import constants
from tests.l1_bridge.evm import Reverted
from tests.prover import world
from tests.soak.byzantine_lies import BODIES, LAST, LIES, MIDDLE, Lie
from tests.soak.byzantine_scene import PARENTS, RECOVER, Draft, Scene, draft_of

# Draws of a class in one seed until the bridge takes a false one.
DRAWS: Final = 60
HEADERS: Final = ("number", "parent_hash", "rollback_counter", "committer")
# A second look at the same signature by the slow library says the same.
_SECOND: Final = functools.lru_cache(maxsize=65_536)(recover_slow)

Replaying = Callable[..., ChainReplay]


class Watched:
    """A scene, and the replay that follows its chain."""

    def __init__(self, scene: Scene, replaying: Replaying) -> None:
        self.scene = scene
        self.replay = replaying(MemoryStore(), scene.rollup.bridge, recover=RECOVER, second_recover=_SECOND)
        self._read = 0
        self.follow()

    def follow(self) -> list[Notice]:
        """Notices of every block since."""
        notices: list[Notice] = []
        for block in self.scene.chain.blocks[self._read :]:
            notices += self.replay.handle(block)
        self._read = len(self.scene.chain.blocks)
        return notices

    @contextmanager
    def branch(self) -> Iterator[None]:
        """Whatever happens inside is reorganised away, on the chain and in the replay."""
        blocks, began = self.scene.chain.blocks, len(self.scene.chain.blocks)
        with self.scene.chain.evm.rolled_back():
            yield
        for block in reversed(blocks[began : self._read]):
            self.replay.handle(Left(block.block))
        del blocks[began:]
        self._read = began


class Campaign:
    """Draws batches, posts them, and compares what is said of them with what the referee says."""

    def __init__(self, seed: int, replaying: Replaying = ChainReplay) -> None:
        self.rng = Random(seed)
        self._replaying = replaying
        self.by_class: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.honest = 0
        self.undetected: list[str] = []
        self.unproven: list[str] = []
        self.false_verdicts: list[str] = []
        self.never: Counter[str] = Counter()

    def run(self, seeds: int, classes: dict[str, Lie] | None = None) -> None:
        """So many rounds: every class once, and honest batches in every state of the queue."""
        for _ in range(seeds):
            scenes = [self._watched(parent) for parent in PARENTS]
            for watched in scenes:
                self._honest(watched)
            self._odd(self.rng.choice(scenes))
            for name, lie in (LIES if classes is None else classes).items():
                self._lie(name, lie, scenes)
            for name in HEADERS if classes is None else ():
                # Nobody resigns while work is owed.
                self._header(name, self.rng.choice([each for each in scenes if not each.scene.is_late]))

    def _watched(self, parent: str) -> Watched:
        scene: Scene = trio.run(Scene.make, self.rng.randrange(2**32), parent)
        return Watched(scene, self._replaying)

    # False batches.

    def _lie(self, name: str, lie: Lie, scenes: list[Watched]) -> None:
        """Draws until the bridge takes one that says something false; what is true by chance is judged too."""
        for _ in range(DRAWS):
            watched = self.rng.choice(scenes)
            draft = lie(watched.scene)
            with watched.branch():
                if not self._post(watched.scene, draft):
                    continue
                if self._judge(name, watched, watched.scene, draft):
                    return
        self.never[name] += 1

    def _post(self, scene: Scene, draft: Draft) -> bool:
        reason = scene.post(draft)
        if reason:
            self.refused[reason] += 1
        return not reason

    def _judge(self, name: str, watched: Watched, scene: Scene, draft: Draft) -> bool:
        """Whether the batch on top of the scene is false; its verdict, and the proof, must say the same."""
        wrong = first_wrong(scene, draft)
        event = watched.scene.posted()
        notices = watched.follow()
        judged = next((each for each in notices if isinstance(each, Judgement)), None)
        if wrong is None:
            self._true(name, watched, scene, judged, event)
            return False
        self.by_class[name] += 1
        if judged is None or judged.verdict != Verdict.FRAUD:
            said = "nothing" if judged is None else f"{judged.verdict} {judged.reason} {judged.detail}"
            self.undetected.append(f"{name}: {said} {watched.replay.cursor.incomplete}")
        elif judged.chunk_index != wrong:
            self.unproven.append(f"{name}: chunk {judged.chunk_index}, not {wrong}")
        else:
            self._prove(name, watched)
        return True

    def _prove(self, name: str, watched: Watched) -> None:
        """As the challenger would, with its gas."""
        dispute = watched.replay.dispute()
        assert dispute is not None
        calldata = encode_prove_fraud(dispute.batch, dispute.chunk_index, dispute.witness)
        gas = proof_gas(dispute.weight_kilogas, calldata, watched.replay.cursor.proof_gas_floor)
        chain, bridge = watched.scene.chain, watched.scene.rollup.bridge.address
        try:
            chain.send_from(chain.address(world.CHALLENGER), bridge, calldata, gas=gas)
        except Reverted as refused:
            self.unproven.append(f"{name}: {refused.reason}")
            return
        notices = watched.follow()
        undone = [each for each in notices if isinstance(each, Undone)]
        tip = dispute.batch.header.number - 1
        if len(undone) != 1 or watched.replay.cursor.tip != tip or any(isinstance(each, Alarm) for each in notices):
            self.unproven.append(f"{name}: the proof left tip {watched.replay.cursor.tip}, not {tip}")

    # True batches.

    def _honest(self, watched: Watched) -> None:
        """Every number of entries, with a step of the head and without one."""
        scene = watched.scene
        for taken in range(len(scene.entries) + 1):
            begins = any(entry[0] == constants.LEAVE for entry in scene.entries[:taken])
            for steps in (False, True) if begins or scene.parent.endswith("head") else (False,):
                draft = scene.honest(scene.parts(taken, steps))
                with watched.branch():
                    reason = scene.post(draft)
                    assert not reason, f"the bridge refuses an honest batch: {reason}"
                    assert not self._judge(f"honest {scene.parent} {taken} {steps}", watched, scene, draft)

    def _odd(self, watched: Watched) -> None:
        """Arbitrary bytes, and the roots that the law gives them."""
        scene = watched.scene
        for name, lie in BODIES.items():
            bodies = lie(scene).bodies
            draft = draft_of(bodies, scene.replay(bodies))
            with watched.branch():
                if self._post(scene, draft):
                    assert not self._judge(f"honest {name}", watched, scene, draft)

    def _true(self, name: str, watched: Watched, scene: Scene, judged: Judgement | None, event: BatchCommitted) -> None:
        """A batch without a false word: valid, and the referee says so of one of its chunks."""
        self.honest += 1
        if judged is None or judged.verdict != Verdict.VALID:
            said = "nothing" if judged is None else f"{judged.verdict} {judged.reason} {judged.detail}"
            self.false_verdicts.append(f"{name}: {said} {watched.replay.cursor.incomplete}")
        chunks = event.batch.chunks
        at = self.rng.randrange(len(chunks))
        state = scene.state()
        for chunk in chunks[: at + 1]:
            replayed = state.chunk(RECOVER)
            replayed.run(chunk.body)
            proof = state.witness(replayed)
            state.seal(replayed)
        calldata = encode_prove_fraud(event.batch, at, proof)
        try:
            watched.scene.chain.evm.call(scene.sender, scene.rollup.bridge.address, calldata)
        except Reverted as refused:
            if refused.reason == "HONEST_CHUNK":
                return
        self.false_verdicts.append(f"{name}: the referee does not call chunk {at} honest")

    # Headers.

    def _header(self, field: str, watched: Watched) -> None:
        """A lie under another number, parent, roll-back counter and committer; no other header is taken."""
        name = f"header {field}"
        with watched.branch():
            scene = self._before(field, watched)
            for _ in range(DRAWS):
                draft = self.rng.choice([*LAST.values(), *MIDDLE.values(), *BODIES.values()])(scene)
                if first_wrong(scene, draft) is None:
                    continue
                self._refused_headers(scene, draft)
                if self._post(scene, draft):
                    break
            else:
                self.never[name] += 1
                return
            if field != "parent_hash":
                self._judge(name, watched, scene, draft)
                return
            self._followed(name, watched, scene, draft)

    def _before(self, field: str, watched: Watched) -> Scene:
        """What happens before the lie, so that this field of its header is another one."""
        scene = copy.copy(watched.scene)
        chain, bridge = scene.chain, scene.rollup.bridge.address
        if field == "number":
            for _ in range(self.rng.randrange(1, 4)):
                draft = scene.honest()
                assert not scene.post(draft)
                scene = scene.after(draft)
                chain.pass_time(20)
        elif field == "committer":
            chain.send_from(scene.sender, bridge, encode_call("resign", chain.evm.now))
            self._seat(scene, world.RIVAL)
        elif field == "rollback_counter":
            for role in (world.RIVAL, world.SUCCESSOR, world.RIVAL)[: self.rng.randrange(1, 4)]:
                draft = LAST["last tree_root"](scene)
                while first_wrong(scene, draft) is None or scene.post(draft):
                    draft = LAST["last tree_root"](scene)
                watched.follow()
                self._prove("header rollback_counter", watched)
                self._seat(scene, role)
        watched.follow()
        return scene

    def _seat(self, scene: Scene, role: int) -> None:
        scene.sender = scene.chain.address(role)
        # A seat that opens is nobody's in the same second.
        scene.chain.pass_time(1)
        take = encode_call("take_seat", "http://127.0.0.1:9")
        bond = world.PARAMETERS.bond_wei
        scene.chain.send_from(scene.sender, scene.rollup.bridge.address, take, bond)

    def _refused_headers(self, scene: Scene, draft: Draft) -> None:
        rng = self.rng
        head = world.calls.decode_record(
            world.calls.BatchRecord,
            scene.chain.evm.call(scene.sender, scene.rollup.bridge.address, encode_call("head")),
        )
        number, parent = head.number, head.batch_hash
        others = [
            {"parent": (number + rng.choice([-1, 1, 2**40]), parent)},
            {"parent": (number, rng.choice([rng.randbytes(32), bytes(32), head.last_root]))},
            {"sender": scene.chain.address(rng.choice([world.CHALLENGER, world.DEPOSITOR]))},
        ]
        for other in others:
            reason = scene.post(draft, **other)  # type: ignore[arg-type]
            assert reason, "the bridge takes a batch of nobody, or on no tip"
            self.refused[reason] += 1

    def _followed(self, name: str, watched: Watched, scene: Scene, draft: Draft) -> None:
        """Batches on top of a lie are not judged, and fall with it."""
        for _ in range(self.rng.randrange(1, 4)):
            time = scene.bodies([[]])[0]
            reason = scene.post(Draft([time], [draft.roots[-1]], draft.commitment))
            assert not reason, reason
        self.by_class[name] += 1
        judged = [each for each in watched.follow() if isinstance(each, Judgement)]
        if judged[0].verdict != Verdict.FRAUD:
            self.undetected.append(f"{name}: {judged[0].verdict} {judged[0].reason}")
            return
        if any((each.verdict, each.reason) != (Verdict.UNKNOWN, Reason.DESCENDANT) for each in judged[1:]):
            self.false_verdicts.append(f"{name}: a follower of a lie was judged")
        self._prove(name, watched)


def first_wrong(scene: Scene, draft: Draft) -> int | None:
    """The chunk from which on the law gives other roots than the batch claims; None if it gives the same."""
    found = scene.replay(draft.bodies)
    differ = (index for index, each in enumerate(found) if each.root() != draft.roots[index])
    return next(differ, None)


def run(size: int, seed: int, process: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Batches that the bridge took and refused, and every one of which something else was said than what is so.

    process: 1 has each false batch proven by the challenger's own process on anvil as well.
    """
    if process:
        # Here and not above: it is this campaign on another stage.
        from tests.soak.byzantine_process import played

        campaign, further = played(size, seed)
    else:
        campaign, further = Campaign(seed), {}
        campaign.run(size)
    summary = {
        "classes": len(campaign.by_class),
        "runs": campaign.by_class.total() + campaign.honest,
        "refused_by_bridge": campaign.refused.total(),
        "undetected": len(campaign.undetected),
        "unproven": len(campaign.unproven),
        "honest": campaign.honest,
        "false_verdicts": len(campaign.false_verdicts),
        "refused_by_reason": dict(sorted(campaign.refused.items())),
        "never_taken": sorted(name for name in campaign.never if not campaign.by_class[name]),
    }
    return summary | further, [*campaign.undetected, *campaign.unproven, *campaign.false_verdicts]
