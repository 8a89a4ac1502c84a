"""The challenger's edge: follows L1, replays every batch, and answers a fraudulent one with the one transaction.

It acts on nothing but a verdict of fraud that two signature libraries, the shipped referee in a local EVM, the bridge's
own simulation and, if given, a second L1 node agree on. Whatever is unknown is an alarm for a human.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected, L1ReorgTooDeep, L1Timeout, L1Unavailable
from l1_bridge.client.following import Applied, Follower, Reverted
from l1_bridge.client.keys import Signer
from l1_bridge.client.values import Block, Receipt
from l1_bridge.codec.calls import BatchRecord, Bond, decode_record, encode_call, encode_prove_fraud
from l1_bridge.contracts.artifact import ArtifactError
from prover.challenger.guard import Guarding, Source
from prover.challenger.guard_plan import Policy
from prover.contracts.referee import GAS_LIMIT, LocalReferee, RefereeRefused, transaction_gas
from prover.history.history import ChainReplay
from prover.history.records import (
    MEMORY_BLOCKS,
    SENTENCE,
    Collected,
    Dispute,
    Intent,
    Judgement,
    Notice,
    Reason,
    Reorganised,
    Reward,
    Undone,
    Verdict,
)
from prover.telling import Output, short

# Beside the law's weight: memory and globals of the referee, decoding, and the bridge's own storage.
PROOF_FIXED_GAS: Final = 1_200_000
COLLECT_GAS: Final = 150_000
# How long a proof may wait in a pool, after a restart, before another one is sent.
POOL_PATIENCE_SECONDS: Final = 180.0
# A proof whose batch has left the chain gets so long to be found in a block.
GRACE_SECONDS: Final = 10.0
SIMULATION_SECONDS: Final = 120.0
_RETRY_FIRST_SECONDS: Final = 2.0
_RETRY_MAX_SECONDS: Final = 120.0

_Answer = TypeVar("_Answer")


class Summary(msgspec.Struct):
    """What one run of a challenger came to; `held` is whether every canonical batch is valid in the end."""

    valid: int = 0
    fraud: int = 0
    unknown: int = 0
    proofs_sent: int = 0
    proofs_won: int = 0
    proof_gas: int = 0
    rolled_back: int = 0
    rewards_wei: int = 0
    alarms: int = 0
    reorganisations: int = 0
    entries_sent: int = 0
    tip: int = 0
    valid_tip: int = 0
    root: bytes = b""
    seconds: float = 0.0
    held: bool = False


class Challenger:
    """One follower, one replay, one key. `signer` None only watches."""

    def __init__(
        self,
        client: L1Client,
        replay: ChainReplay,
        output: Output,
        *,
        signer: Signer | None = None,
        second_client: L1Client | None = None,
        collect: bool = True,
        poll_seconds: float = 1.0,
        referee: Callable[[], LocalReferee] = LocalReferee,
        guard: Policy | None = None,
        source: Source | None = None,
    ) -> None:
        """With `guard` it also enqueues what a sequencer omits, ticks from `source`; that needs a signer."""
        self.summary = Summary()
        self._client = client
        self._replay = replay
        self._output = output
        self._signer = signer
        self._second = second_client
        self._collect = collect
        self._poll_seconds = poll_seconds
        self._make_referee = referee
        self._referee: LocalReferee | None = None
        self._logger = structlog.get_logger()
        self._started_at = time.monotonic()
        self._last: Block | None = None
        # Batches that nobody may act on any more, by hash, and what else was said already.
        self._unfit: set[bytes] = set()
        self._raised: set[tuple[str, bytes]] = set()
        self._pauses: dict[tuple[str, bytes], tuple[float, float]] = {}
        self._pool_since: dict[bytes, float] = {}
        self._paid: set[tuple[int, int]] = set()
        self._disagreeing = False
        self._drifted = False
        self._guarding: Guarding | None = None
        if guard is not None:
            if signer is None:
                raise ValueError("a guard pays for entries of the queue: it needs a key")
            self._guarding = Guarding(client, replay, output, signer, guard, source)
        self._follower = self._follow()

    async def run(self, once: bool = False) -> None:
        """Follow and answer, for ever; with `once`, up to the head and until nothing is left to do there."""
        if self._replay.cursor.incomplete:
            self._begin_again()
        unreachable = False
        while True:
            try:
                busy = await self._step(once)
                unreachable = False
            except L1Error as error:
                if once:
                    raise
                if not unreachable:
                    self._logger.warning("l1_unavailable", error=str(error))
                unreachable, busy = True, False
            if not busy:
                if once and await self._at_head():
                    return
                await trio.sleep(self._poll_seconds)

    def finish(self) -> Summary:
        """The summary as things stand now."""
        cursor, summary = self._replay.cursor, self.summary
        summary.tip, summary.valid_tip = cursor.tip, cursor.valid
        summary.root = self._replay.state.root if self._replay.started else b""
        summary.seconds = round(time.monotonic() - self._started_at, 3)
        summary.held = self._is_tip_valid()
        return summary

    # Following.

    def _follow(self) -> Follower:
        return self._client.follow(
            self._replay.bridge.address,
            self._replay.cursor.from_block,
            memory_blocks=MEMORY_BLOCKS,
            resume=self._replay.records.blocks(),
        )

    async def _at_head(self) -> bool:
        # An empty poll may also mean that the chain moved while it was read.
        head = await self._client.block("latest")
        return head is not None and head.number < self._follower.next_block

    def _begin_again(self) -> None:
        self._logger.warning("replaying_from_genesis", reason=self._replay.cursor.incomplete)
        self._replay.wipe()
        self._follower = self._follow()

    async def _step(self, once: bool) -> bool:
        try:
            events = await self._follower.poll()
        except L1ReorgTooDeep as error:
            self._alarm("REORG_TOO_DEEP", str(error))
            self._begin_again()
            return True
        for event in events:
            await self._handle(event)
        if events:
            return True
        remembered = self._follower.remembered
        if not remembered:
            return False
        self._last = remembered[-1]
        return await self._settle(self._last, once)

    async def _handle(self, event: Applied | Reverted) -> None:
        # In a thread: a full batch is seconds of work, and a signal must not wait for it.
        for notice in await trio.to_thread.run_sync(self._replay.handle, event):
            self._report(notice)

    async def _settle(self, last: Block, once: bool) -> bool:
        """Act at the head; whether there is more to do at once."""
        if self._replay.cursor.incomplete:
            if not once and self._due(("begin_again", b"")):
                self._begin_again()
                return True
            return False
        if not self._replay.started:
            self._alarm("NO_BRIDGE", f"up to block {last.number} there is no Genesis of the bridge")
            return False
        if not await self._nodes_agree(last):
            return False
        dispute = self._replay.dispute()
        acted = dispute is not None and await self._answer(dispute, last)
        for reward in self._replay.records.rewards():
            acted |= await self._collect_reward(reward, last)
        if self._guarding is not None and not acted and self._is_tip_valid():
            acted = await self._guarding.act(last)
            self.summary.entries_sent += acted
        return acted

    def _is_tip_valid(self) -> bool:
        """Whether every canonical batch is valid, by logs that neither bridge nor second node contradicts."""
        cursor = self._replay.cursor
        trusted = self._replay.started and not cursor.incomplete and not self._disagreeing and not self._drifted
        return trusted and cursor.tip == cursor.valid

    async def _nodes_agree(self, last: Block) -> bool:
        """Whether the bridge's storage, and the second node, tell the story that the logs told."""
        bridge = self._replay.bridge.address
        try:
            answer = await self._client.eth_call(bridge, encode_call("head"), last.number)
            head = decode_record(BatchRecord, answer)
        except (L1Rejected, ArtifactError):
            # The block left the chain meanwhile, or the node forgot its state: the next poll tells.
            return False
        tip = self._replay.cursor.tip
        expected = self._replay.batch_hash(tip)
        other: Block | None = last
        if self._second is not None:
            other = await self._ask_second(lambda second: second.block(last.number))
            if other is None:
                return False
        if (head.number, head.batch_hash) == (tip, expected) and other is not None and other.hash == last.hash:
            self._disagreeing = False
            self._raised.discard(("L1_DISAGREES", b""))
            return True
        again = await self._client.block(last.number)
        if again is None or again.hash != last.hash:
            return False
        if (head.number, head.batch_hash) != (tip, expected):
            self._replay.lose(f"block {last.number}: the bridge is at batch {head.number}, its logs at batch {tip}")
            self._alarm(Reason.HISTORY, self._replay.cursor.incomplete)
        else:
            self._disagreeing = True
            self._alarm("L1_DISAGREES", f"the two L1 nodes have different blocks {last.number}", once_for=b"")
        return False

    async def _ask_second(self, question: Callable[[L1Client], Awaitable[_Answer]]) -> _Answer | None:
        assert self._second is not None
        try:
            answer = await question(self._second)
        except (L1Unavailable, L1Rejected, ArtifactError) as error:
            self._alarm("SECOND_L1_UNAVAILABLE", str(error), once_for=b"")
            return None
        self._raised.discard(("SECOND_L1_UNAVAILABLE", b""))
        return answer

    # Answering a fraud.

    async def _answer(self, dispute: Dispute, last: Block) -> bool:
        key = dispute.batch_hash
        number = dispute.batch.header.number
        if key in self._unfit or not self._due(("prove", key), peek=True):
            return False
        cursor = self._replay.cursor
        if last.timestamp >= dispute.committed_at + cursor.window_seconds:
            return self._give_up(key, "FINAL_FRAUD", f"batch {number} is a fraud, and its window has passed")
        if not await self._referee_agrees(dispute):
            return False
        if self._signer is None:
            self._output.event("would_prove", f"batch {number}: watching only, no proof is sent", number=number)
            self._unfit.add(key)
            return False
        if not await self._stands(self._client, dispute):
            # Rolled back or reorganised in a block that is still to be read, or else the node contradicts itself.
            head = await self._client.block("latest")
            return head is not None and head.hash != last.hash
        if self._second is not None and not await self._ask_second(partial(self._stands, dispute=dispute)):
            self._alarm("L1_DISAGREES", f"the second L1 node does not hold batch {number}", once_for=key)
            self._disagreeing = True
            return False
        if await self._in_pool(self._signer, dispute):
            return False
        calldata = encode_prove_fraud(dispute.batch, dispute.chunk_index, dispute.witness)
        gas = proof_gas(dispute.weight_kilogas, calldata, cursor.proof_gas_floor)
        if not await self._simulated(self._signer, dispute, calldata, gas):
            return False
        return await self._prove(self._signer, dispute, calldata, gas)

    async def _referee_agrees(self, dispute: Dispute) -> bool:
        number = dispute.batch.header.number
        body = dispute.batch.chunks[dispute.chunk_index].body
        try:
            root = await trio.to_thread.run_sync(self._replay_locally, dispute.pre_root, body, dispute.witness)
        except RefereeRefused as error:
            return self._give_up(dispute.batch_hash, "REFEREE", f"batch {number}: the referee refuses: {error}")
        if root != dispute.replayed_root:
            detail = f"batch {number}: the referee gives 0x{root.hex()}, the law 0x{dispute.replayed_root.hex()}"
            return self._give_up(dispute.batch_hash, "REFEREE", detail)
        return True

    def _replay_locally(self, pre_root: bytes, body: bytes, proof: bytes) -> bytes:
        if self._referee is None:
            self._referee = self._make_referee()
        return self._referee.replay(self._replay.bridge.domain_separator(), pre_root, body, proof)

    async def _stands(self, client: L1Client, dispute: Dispute) -> bool:
        """Whether a node holds the batch as canonical, on top of the state that the proof starts from."""
        bridge, number = self._replay.bridge.address, dispute.batch.header.number
        call = encode_call("is_canonical", number, dispute.batch_hash)
        try:
            if not int.from_bytes(await client.eth_call(bridge, call), "big"):
                return False
            record = await client.eth_call(bridge, encode_call("record", number - 1))
            parent_root = decode_record(BatchRecord, record).last_root
        except (L1Rejected, ArtifactError):
            return False
        return dispute.batch.pre_root(dispute.chunk_index, parent_root) == dispute.pre_root

    async def _in_pool(self, signer: Signer, dispute: Dispute) -> bool:
        """Whether a proof of an earlier run, or of before a reorganisation, still waits to be mined."""
        intent = self._replay.records.intent(dispute.batch_hash)
        if intent is None or intent.sender != signer.address:
            return False
        mined = await self._client.nonce(signer.address, "latest")
        known = await self._client.nonce(signer.address, "pending")
        if not mined <= intent.nonce < known:
            return False
        since = self._pool_since.setdefault(dispute.batch_hash, trio.current_time())
        if trio.current_time() - since >= POOL_PATIENCE_SECONDS:
            return False
        number = dispute.batch.header.number
        text = f"batch {number}: a proof is in the pool already, waiting for it"
        self._say_once("proof_waiting", dispute.batch_hash, text, number=number, nonce=intent.nonce)
        return True

    async def _simulated(self, signer: Signer, dispute: Dispute, calldata: bytes, gas: int) -> bool:
        number, bridge = dispute.batch.header.number, self._replay.bridge.address
        try:
            await self._client.eth_call(
                bridge, calldata, sender=signer.address, gas=gas, timeout_seconds=SIMULATION_SECONDS
            )
        except L1Rejected as error:
            if error.reason == "NOT_CANONICAL":
                return False
            if error.reason == "HONEST_CHUNK":
                return self._give_up(dispute.batch_hash, "REFEREE", f"batch {number}: the bridge calls it honest")
            self._postpone(("prove", dispute.batch_hash))
            self._alarm("SIMULATION", f"batch {number}: {error}", once_for=dispute.batch_hash)
            return False
        except L1Unavailable as error:
            # The local referee is the same code: a slow node is no reason to let a window pass.
            self._logger.warning("simulation_without_answer", number=number, error=str(error))
        self._output.event(
            "proof_simulated",
            f"batch {number}: the bridge would accept a proof against chunk {dispute.chunk_index}",
            number=number,
            batch_hash=dispute.batch_hash,
            chunk_index=dispute.chunk_index,
            witness_bytes=len(dispute.witness),
            calldata_bytes=len(calldata),
            gas_limit=gas,
        )
        return True

    async def _prove(self, signer: Signer, dispute: Dispute, calldata: bytes, gas: int) -> bool:
        number, key = dispute.batch.header.number, dispute.batch_hash
        nonce = await self._client.nonce(signer.address, "pending")
        intent = Intent(key, signer.address, nonce)
        await trio.to_thread.run_sync(self._replay.records.remember_intent, intent)
        self.summary.proofs_sent += 1
        self._output.event(
            "proof_sent", f"batch {number}: sending the proof", number=number, batch_hash=key, nonce=nonce
        )
        try:
            receipt = await self._send_while_canonical(signer, dispute, calldata, gas)
        except (L1Rejected, L1Timeout) as error:
            if not await self._stands(self._client, dispute):
                self._lost(number)
                return True
            self._postpone(("prove", key))
            self._alarm("PROOF_FAILED", f"batch {number}: {error}", once_for=key)
            return False
        if receipt is None:
            self._lost(number)
            return True
        self.summary.proof_gas += receipt.gas_used
        self._output.event(
            "proof_mined",
            f"batch {number}: the proof is in block {receipt.block_number}, {receipt.gas_used:,} gas",
            colour="green",
            number=number,
            transaction_hash=receipt.transaction_hash,
            block_number=receipt.block_number,
            gas_used=receipt.gas_used,
            calldata_bytes=len(calldata),
        )
        return True

    async def _send_while_canonical(
        self, signer: Signer, dispute: Dispute, calldata: bytes, gas: int
    ) -> Receipt | None:
        """The receipt of the proof; None once somebody else's proof, or a reorganisation, was faster."""
        receipt: Receipt | None = None
        failure: L1Error | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_once_gone, dispute, nursery.cancel_scope)
            try:
                receipt = await self._client.send(signer, self._replay.bridge.address, calldata, gas=gas)
            except L1Error as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return receipt

    async def _cancel_once_gone(self, dispute: Dispute, scope: trio.CancelScope) -> None:
        while True:
            await trio.sleep(self._poll_seconds)
            try:
                if not await self._stands(self._client, dispute):
                    # It may be our own proof that was faster: its receipt is a moment away.
                    scope.deadline = trio.current_time() + GRACE_SECONDS
                    return
            except L1Unavailable:
                continue

    def _lost(self, number: int) -> None:
        text = f"batch {number}: it is gone already, somebody else was faster"
        self._output.event("proof_superseded", text, number=number)

    # Rewards.

    async def _collect_reward(self, reward: Reward, last: Block) -> bool:
        signer, key = self._signer, ("collect", reward.bond_id.to_bytes(8, "big"))
        if not self._collect or signer is None or reward.prover != signer.address:
            return False
        owed = (reward.bond_id, reward.release_at)
        if owed in self._paid or last.timestamp < reward.release_at or not self._due(key, peek=True):
            return False
        bridge = self._replay.bridge.address
        bond = decode_record(Bond, await self._client.eth_call(bridge, encode_call("bond", reward.bond_id)))
        if bond.prover != signer.address or bond.reward_wei == 0:
            return False
        calldata = encode_call("collect_reward", reward.bond_id)
        try:
            await self._client.send(signer, bridge, calldata, gas=COLLECT_GAS)
        except (L1Rejected, L1Timeout) as error:
            self._postpone(key)
            self._logger.warning("reward_not_collected", bond_id=reward.bond_id, error=str(error))
            return False
        self._paid.add(owed)
        return True

    # Saying.

    def _report(self, notice: Notice) -> None:
        summary, cursor = self.summary, self._replay.cursor
        if isinstance(notice, Judgement):
            self._report_judgement(notice)
        elif isinstance(notice, Undone):
            event = notice.event
            ours = self._signer is not None and event.prover == self._signer.address
            summary.rolled_back += notice.dropped
            summary.proofs_won += ours
            self._output.event(
                "rolled_back",
                f"batch {event.number} is rolled back by {'us' if ours else short(event.prover)}"
                + (f", {notice.dropped - 1} more fell with it" if notice.dropped > 1 else ""),
                colour="green",
                number=event.number,
                batch_hash=event.batch_hash,
                prover=event.prover,
                ours=ours,
                dropped=notice.dropped,
                chunk_index=event.chunk_index,
                bond_id=event.bond_id,
                reward_wei=event.reward_wei,
                release_at=event.release_at,
            )
        elif isinstance(notice, Collected):
            ours = self._signer is not None and notice.prover == self._signer.address
            summary.rewards_wei += notice.amount_wei if ours else 0
            self._output.event(
                "reward_collected",
                f"bond {notice.bond_id}: {notice.amount_wei / 10**18:g} ether to {short(notice.prover)}",
                bond_id=notice.bond_id,
                prover=notice.prover,
                ours=ours,
                amount_wei=notice.amount_wei,
            )
        elif isinstance(notice, Reorganised):
            summary.reorganisations += 1
            self._paid.clear()
            text = f"L1 dropped block {notice.block.number}, back at batch {notice.tip}"
            self._output.event("reorganised", text, block_number=notice.block.number, tip=cursor.tip)
        else:
            self._drifted |= notice.reason == Reason.LAW_DRIFT
            self._alarm(notice.reason, notice.detail or SENTENCE[notice.reason])

    def _report_judgement(self, judged: Judgement) -> None:
        summary, verdict = self.summary, judged.verdict
        summary.valid += verdict == Verdict.VALID
        summary.fraud += verdict == Verdict.FRAUD
        summary.unknown += verdict == Verdict.UNKNOWN
        text = f"batch {judged.number:>5}  {verdict.value:<7}  {judged.chunks} chunks"
        if verdict == Verdict.VALID:
            text += f", {judged.operations} operations, root {short(judged.last_root)}"
        elif verdict == Verdict.FRAUD:
            text += f", chunk {judged.chunk_index} claims {short(judged.claimed_root)}, "
            text += f"the law gives {short(judged.replayed_root)}"
        else:
            text += f", {judged.reason.value}: {SENTENCE[judged.reason]}"
        colours = {Verdict.VALID: None, Verdict.FRAUD: "red", Verdict.UNKNOWN: "yellow"}
        fraud = verdict == Verdict.FRAUD
        self._output.event(
            "batch",
            text,
            colour=colours[verdict],
            number=judged.number,
            batch_hash=judged.batch_hash,
            committer=judged.committer,
            verdict=verdict,
            reason=judged.reason,
            chunks=judged.chunks,
            operations=judged.operations,
            root=judged.last_root,
            block_number=judged.block_number,
            chunk_index=judged.chunk_index if fraud else None,
            claimed_root=judged.claimed_root if fraud else None,
            replayed_root=judged.replayed_root if fraud else None,
        )

    def _alarm(self, code: str, detail: str, once_for: bytes | None = None) -> None:
        if once_for is not None:
            if (code, once_for) in self._raised:
                return
            self._raised.add((code, once_for))
        self.summary.alarms += 1
        self._output.event("alarm", f"ALARM {code}: {detail}", colour="red", code=str(code), detail=detail)
        self._logger.error("alarm", code=str(code), detail=detail)

    def _give_up(self, batch_hash: bytes, code: str, detail: str) -> bool:
        self._unfit.add(batch_hash)
        self._alarm(code, detail)
        return False

    def _say_once(self, name: str, key: bytes, text: str, **fields: Any) -> None:
        if (name, key) not in self._raised:
            self._raised.add((name, key))
            self._output.event(name, text, **fields)

    # Pauses between attempts, doubling.

    def _due(self, key: tuple[str, bytes], peek: bool = False) -> bool:
        at, _ = self._pauses.get(key, (0.0, 0.0))
        due = trio.current_time() >= at
        if due and not peek:
            self._postpone(key)
        return due

    def _postpone(self, key: tuple[str, bytes]) -> None:
        _, pause = self._pauses.get(key, (0.0, 0.0))
        pause = min(max(2 * pause, _RETRY_FIRST_SECONDS), _RETRY_MAX_SECONDS)
        self._pauses[key] = (trio.current_time() + pause, pause)


def proof_gas(weight_kilogas: int, calldata: bytes, floor: int) -> int:
    """Gas limit of a proof from the law's weight of the chunk; nobody has to estimate."""
    # 63/64 of the gas reaches the referee; the floor is counted where the bridge begins.
    execution = (1_000 * weight_kilogas + PROOF_FIXED_GAS) * 64 // 63
    return min(GAS_LIMIT, transaction_gas(max(execution, floor + PROOF_FIXED_GAS), calldata))
