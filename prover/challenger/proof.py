"""Where a lie becomes a transaction: the proof against the earliest fraudulent batch, built, checked, sent once.

Before it leaves, the shipped referee in a local EVM, the bridge's own simulation and, if given, a second L1 node have
agreed with the verdict of two signature libraries (`prover/history`). What a node says against it holds it up for a
while and never until the window ends: a proof that is wrong costs its gas alone. All nodes are given the same bytes.
Its intent is written first, so that a process that is killed and started again does not send another.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected, L1Reverted, L1Timeout, L1Unavailable
from l1_bridge.client.keys import Signer
from l1_bridge.client.sending import OWN_TERMS
from l1_bridge.client.values import Block, Receipt
from l1_bridge.codec.calls import encode_prove_fraud
from prover.challenger.nodes import UNDECIDED_SECONDS, Nodes
from prover.challenger.pauses import Pauses
from prover.challenger.report import Report
from prover.contracts.referee import GAS_LIMIT, LocalReferee, RefereeRefused, transaction_gas
from prover.history.history import ChainReplay
from prover.history.records import Dispute, Intent

# Beside the law's weight: memory and globals of the referee, decoding, and the bridge's own storage.
PROOF_FIXED_GAS: Final = 1_200_000
# How long a proof may wait in a pool, after a restart, before another one is sent.
POOL_PATIENCE_SECONDS: Final = 180.0
# A proof whose batch has left the chain gets so long to be found in a block.
GRACE_SECONDS: Final = 10.0
SIMULATION_SECONDS: Final = 120.0
# A proof that a node speaks against, or that was mined and has failed, is followed by the next one after so long, then
# twice as long each time, an eighth of the window at most: what a liar makes up costs its gas, and must not empty the
# key.
INSISTENCE_SECONDS: Final = 3_600.0
_MOST_DOUBLINGS: Final = 16


class Proving:
    """One key, None to watch only, and the disputes of one replay that it answers."""

    def __init__(
        self,
        nodes: Nodes,
        replay: ChainReplay,
        report: Report,
        signer: Signer | None,
        poll_seconds: float,
        referee: Callable[[], LocalReferee],
    ) -> None:
        """referee: makes the shipped one in a local EVM, once a dispute asks for it."""
        self._nodes = nodes
        self._replay = replay
        self._report = report
        self._signer = signer
        self._poll_seconds = poll_seconds
        self._make_referee = referee
        self._referee: LocalReferee | None = None
        self._logger = structlog.get_logger()
        # Batches that nobody may act on any more, and those on which the referee has agreed, by hash.
        self._unfit: set[bytes] = set()
        self._agreed: set[bytes] = set()
        # Since when a node speaks against a proof. By the node that is followed: from when on one may be sent all the
        # same, and how often one was. Each has its own turns, or a liar's disputes would take those of the other one.
        self._opposed_since: dict[bytes, float] = {}
        # Since when a dispute is known here, and the newest block at which it was put off for the next one.
        self._known_since: dict[bytes, float] = {}
        self._read_on_at = b""
        self._insistence: dict[L1Client, tuple[float, int]] = {}
        # Of a batch that stands although a proof of it was mined: why that one failed.
        self._in_vain: dict[bytes, str] = {}
        # So many proofs have failed: each is sent by the next node.
        self._failures = 0
        self._pauses = Pauses()
        self._pool_since: dict[bytes, float] = {}

    async def answer(self, dispute: Dispute, last: Block) -> bool:
        """Takes a fraud as far as it goes at block `last`; whether there is more to do at once."""
        key = dispute.batch_hash
        number = dispute.batch.header.number
        if key in self._unfit or not self._pauses.is_due(key):
            return False
        ended = self._ended(dispute, last)
        if ended and (self._signer is None or await self._is_final(dispute)):
            return False
        if not await self._referee_agrees(dispute):
            return False
        if self._signer is None:
            self._report.event("would_prove", f"batch {number}: watching only, no proof is sent", number=number)
            self._unfit.add(key)
            return False
        if await self._in_pool(self._signer, dispute):
            return False
        calldata = encode_prove_fraud(dispute.batch, dispute.chunk_index, dispute.witness)
        gas = proof_gas(dispute.weight_kilogas, calldata, self._replay.cursor.proof_gas_floor)
        opposition = ended or self._in_vain.get(key) or await self._opposition(self._signer, dispute, calldata, gas)
        if not opposition:
            self._opposed_since.pop(key, None)
            self._insistence.clear()
            return await self._prove(self._signer, dispute, calldata, gas)
        if self._insists(dispute, opposition):
            return await self._prove(self._signer, dispute, calldata, gas)
        head = await self._nodes.followed.block("latest")
        # A block more to read may have undone the batch: a reason to read on at once, and none to wait the longer.
        is_told = last.hash == self._read_on_at
        self._read_on_at = last.hash
        return head is not None and head.hash != last.hash and not is_told

    def rest(self) -> None:
        """Nothing is disputed: what nodes have said against earlier proofs is over."""
        self._opposed_since.clear()
        self._in_vain.clear()

    def _ended(self, dispute: Dispute, last: Block) -> str:
        """What one node's times say against the proof, or nothing."""
        self._known_since.setdefault(dispute.batch_hash, trio.current_time())
        if last.timestamp < dispute.committed_at + self._replay.cursor.window_seconds:
            return ""
        detail = f"batch {dispute.batch.header.number} is a fraud, and its window has passed"
        self._report.alarm("FINAL_FRAUD", detail, once_for=dispute.batch_hash)
        return detail

    async def _is_final(self, dispute: Dispute) -> bool:
        """Whether that is more than one node's word: another's, or this program's own time since it knows the batch."""
        known_for = trio.current_time() - self._known_since[dispute.batch_hash]
        return known_for >= self._replay.cursor.window_seconds or await self._nodes.second_ends(dispute)

    async def _opposition(self, signer: Signer, dispute: Dispute, calldata: bytes, gas: int) -> str:
        """What an L1 node says against the proof; nothing where all that answer agree."""
        number = dispute.batch.header.number
        if not await self._nodes.hold(dispute):
            return f"batch {number} is a fraud, and the L1 node, whose storage ends with it, denies it"
        if not await self._nodes.second_holds(dispute):
            return self._nodes.undecided
        return await self._simulated(signer, dispute, calldata, gas)

    def _insists(self, dispute: Dispute, opposition: str) -> bool:
        """Whether a proof goes out against what a node says, which has said it for long enough."""
        key, now = dispute.batch_hash, trio.current_time()
        since = self._opposed_since.setdefault(key, now)
        # What stands behind one address may be a moment apart, and a block more to read tells more.
        if now - since >= UNDECIDED_SECONDS:
            self._report.alarm("L1_DISAGREES", opposition, once_for=key)
        insists_at, times = self._insistence.get(self._nodes.followed, (0.0, 0))
        if now - since < self._nodes.patience or now < insists_at:
            return False
        pause = min(INSISTENCE_SECONDS * 2**times, self._replay.cursor.window_seconds / 8)
        self._insistence[self._nodes.followed] = now + pause, min(times + 1, _MOST_DOUBLINGS)
        self._report.alarm("L1_ALONE", f"the proof is sent all the same: {opposition}", once_for=key)
        return True

    async def _referee_agrees(self, dispute: Dispute) -> bool:
        if dispute.batch_hash in self._agreed:
            # An EVM keeps something of each call, and a proof may be waited for long.
            return True
        number = dispute.batch.header.number
        body = dispute.batch.chunks[dispute.chunk_index].body
        try:
            root = await trio.to_thread.run_sync(self._replay_locally, dispute.pre_root, body, dispute.witness)
        except RefereeRefused as error:
            return self._give_up(dispute.batch_hash, "REFEREE", f"batch {number}: the referee refuses: {error}")
        if root != dispute.replayed_root:
            detail = f"batch {number}: the referee gives 0x{root.hex()}, the law 0x{dispute.replayed_root.hex()}"
            return self._give_up(dispute.batch_hash, "REFEREE", detail)
        self._agreed.add(dispute.batch_hash)
        return True

    def _replay_locally(self, pre_root: bytes, body: bytes, proof: bytes) -> bytes:
        if self._referee is None:
            self._referee = self._make_referee()
        return self._referee.replay(self._replay.bridge.domain_separator(), pre_root, body, proof)

    async def _in_pool(self, signer: Signer, dispute: Dispute) -> bool:
        """Whether a proof of an earlier run, or of before a reorganisation, still waits to be mined."""
        intent = self._replay.records.intent(dispute.batch_hash)
        if intent is None or intent.sender != signer.address:
            return False
        mined = await self._nodes.followed.nonce(signer.address, "latest")
        known = await self._nodes.followed.nonce(signer.address, "pending")
        if not mined <= intent.nonce < known:
            return False
        since = self._pool_since.setdefault(dispute.batch_hash, trio.current_time())
        if trio.current_time() - since >= POOL_PATIENCE_SECONDS:
            return False
        number = dispute.batch.header.number
        text = f"batch {number}: a proof is in the pool already, waiting for it"
        self._report.once("proof_waiting", dispute.batch_hash, text, number=number, nonce=intent.nonce)
        return True

    async def _simulated(self, signer: Signer, dispute: Dispute, calldata: bytes, gas: int) -> str:
        """Why the bridge would not take the proof, as its node says; nothing where it would."""
        number, bridge = dispute.batch.header.number, self._replay.bridge.address
        try:
            await self._nodes.followed.eth_call(
                bridge, calldata, sender=signer.address, gas=gas, timeout_seconds=SIMULATION_SECONDS
            )
        except L1Reverted as error:
            if error.reason == "NOT_CANONICAL":
                return f"batch {number}: {error}"
            # Not even HONEST_CHUNK ends it: the referee has said otherwise, and one node's word is not the bridge's.
            self._pauses.postpone(dispute.batch_hash)
            self._report.alarm("SIMULATION", f"batch {number}: {error}", once_for=dispute.batch_hash)
            return f"batch {number}: {error}"
        except (L1Unavailable, L1Rejected) as error:
            # The local referee is the same code: a node that is slow, or will not run it, lets no window pass.
            self._logger.warning("simulation_without_answer", number=number, error=str(error))
        self._report.event(
            "proof_simulated",
            f"batch {number}: the bridge would accept a proof against chunk {dispute.chunk_index}",
            number=number,
            batch_hash=dispute.batch_hash,
            chunk_index=dispute.chunk_index,
            witness_bytes=len(dispute.witness),
            calldata_bytes=len(calldata),
            gas_limit=gas,
        )
        return ""

    async def _prove(self, signer: Signer, dispute: Dispute, calldata: bytes, gas: int) -> bool:
        number, key = dispute.batch.header.number, dispute.batch_hash
        route = self._nodes.route(self._failures)
        # Counted before it is tried: also where the node only falls silent the next one is asked to send.
        self._failures += 1
        nonce = await route[0].nonce(signer.address)
        intent = Intent(key, signer.address, nonce)
        await trio.to_thread.run_sync(self._replay.records.remember_intent, intent)
        alone = bool(self._nodes.undecided) or key in self._opposed_since
        self._report.summary.proofs_sent += 1
        self._report.summary.proofs_alone += alone
        self._report.event(
            "proof_sent", f"batch {number}: sending the proof", number=number, batch_hash=key, nonce=nonce, alone=alone
        )
        try:
            receipt = await self._send_while_canonical(route, signer, dispute, calldata, gas)
        except (L1Rejected, L1Timeout) as error:
            if await self._nodes.is_gone(dispute):
                self._lost(number)
                return True
            self._pauses.postpone(key)
            self._report.alarm("PROOF_FAILED", f"batch {number}: {error}", once_for=key)
            if isinstance(error, L1Reverted):
                # It was mined and paid for: the next one may fare no better, whatever nodes say.
                self._in_vain[key] = f"batch {number} stands, and its proof failed: {error}"
            return False
        if receipt is None:
            self._lost(number)
            return True
        # A node that has it mined and keeps the batch as well is not sent one proof after the other.
        self._failures -= 1
        self._pauses.postpone(key)
        self._report.summary.proof_gas += receipt.gas_used
        self._report.event(
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
        self, route: tuple[L1Client, ...], signer: Signer, dispute: Dispute, calldata: bytes, gas: int
    ) -> Receipt | None:
        """The receipt of the proof; None once somebody else's proof, or a reorganisation, was faster."""
        receipt: Receipt | None = None
        failure: L1Error | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_once_gone, dispute, nursery.cancel_scope)
            try:
                # Every node is given the bytes: one that takes them and passes nothing on is not the only way to L1.
                terms = msgspec.structs.replace(OWN_TERMS, others=route[1:])
                receipt = await route[0].send(signer, self._replay.bridge.address, calldata, gas=gas, terms=terms)
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
                if await self._nodes.is_gone(dispute):
                    # It may be our own proof that was faster: its receipt is a moment away.
                    scope.deadline = trio.current_time() + GRACE_SECONDS
                    return
            except L1Error:
                continue

    def _lost(self, number: int) -> None:
        text = f"batch {number}: it is gone already, somebody else was faster"
        self._report.event("proof_superseded", text, number=number)

    def _give_up(self, batch_hash: bytes, code: str, detail: str) -> bool:
        self._unfit.add(batch_hash)
        self._report.alarm(code, detail)
        return False


def proof_gas(weight_kilogas: int, calldata: bytes, floor: int) -> int:
    """Gas limit of a proof from the law's weight of the chunk; nobody has to estimate."""
    # 63/64 of the gas reaches the referee; the floor is counted where the bridge begins.
    execution = (1_000 * weight_kilogas + PROOF_FIXED_GAS) * 64 // 63
    return min(GAS_LIMIT, transaction_gas(max(execution, floor + PROOF_FIXED_GAS), calldata))
