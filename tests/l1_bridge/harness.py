"""A bridge with a play token and a stub law, and the honest moves of everybody around it."""

from typing import Any

import msgspec

from l1_bridge.codec.batch import ZERO_ADDRESS, Batch, BridgeId, Chunk, Commitment, Header, Withdrawal, WithdrawalTree
from l1_bridge.codec.calls import BatchRecord, Bond, Parameters, decode_record
from l1_bridge.codec.events import BatchCommitted, BridgeEvent, decode_log
from l1_bridge.contracts.artifact import Artifact, load_artifact
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.evm import Contract, Evm, Receipt, account

DEPLOYER, SEQUENCER, SUCCESSOR, DEPOSITOR, TRADER, CHALLENGER, STRANGER, GOVERNOR = (account(i) for i in range(1, 9))

PARAMETERS = Parameters(
    window_seconds=600,
    inclusion_seconds=60,
    max_lag_seconds=300,
    unseat_seconds=120,
    unseat_floor_seconds=40,
    freeze_grace_seconds=300,
    spacing_seconds=30,
    bond_wei=20 * 10**18,
    minimum_deposit_micros=1_000_000,
    proof_gas_floor=400_000,
    entry_fee_wei=10**14,
    governor=GOVERNOR,
    governance_delay_seconds=3_600,
)
GENESIS_BYTES = b"genesis of a test"
LAW_VERSION = 4
NEW_ACCOUNT = 0xFFFFFF
DOLLAR = 1_000_000


def genesis_commitment(now: int) -> Commitment:
    """The first state of every test bridge."""
    return Commitment(
        law_version=LAW_VERSION,
        tree_root=keccak(b"tree"),
        withdrawals_root=ZERO_HASH,
        withdrawn_total_micros=0,
        queue_count=0,
        queue_taken=0,
        queue_hash=ZERO_HASH,
        timestamp_ms=now * 1000,
        globals_hash=keccak(b"globals"),
    )


def honest_chunk(
    commitment: Commitment, note: bytes = b"", *, queue_only: bool = False, time_ms: int | None = None
) -> Chunk:
    """A chunk that the stub law carries to this commitment; its own time is that of the commitment."""
    time = (commitment.timestamp_ms if time_ms is None else time_ms) & (2**47 - 1) | queue_only << 47
    return Chunk(time.to_bytes(6, "big") + commitment.encode() + note, commitment.root())


class Harness:
    """One bridge on one chain; remembers what was committed, as a node that follows the logs does."""

    def __init__(
        self,
        evm: Evm,
        referee_artifact: Artifact,
        token_artifact: Artifact | None = None,
        parameters: Parameters = PARAMETERS,
        bridge_artifact: Artifact | None = None,
    ) -> None:
        self.evm = evm
        self.parameters = parameters
        self.referee = evm.deploy(referee_artifact)
        self.token = evm.deploy(token_artifact or load_artifact("MockDollar"))
        genesis = genesis_commitment(evm.now)
        self.bridge: Contract = evm.deploy(
            bridge_artifact or load_artifact("RollupBridge"),
            self.token.address,
            self.referee.address,
            parameters.words(),
            genesis.words(),
            GENESIS_BYTES,
            sender=DEPLOYER,
        )
        self.id = BridgeId(evm.chain_id, self.bridge.address)
        self.commitments = {0: genesis}
        self.batches: dict[int, Batch] = {}

    def fund(self, holder: bytes, amount_micros: int) -> None:
        """Play money, approved for the bridge."""
        self.token.send("mint", holder, amount_micros, sender=holder)
        self.token.send("approve", self.bridge.address, 2**255, sender=holder)

    def deposit(
        self,
        amount_micros: int = 5 * DOLLAR,
        *,
        owner: bytes = TRADER,
        account_index: int = NEW_ACCOUNT,
        sender: bytes = DEPOSITOR,
    ) -> Receipt:
        """A deposit by somebody who has just got the money."""
        self.fund(sender, amount_micros)
        return self.bridge.send("deposit", owner, account_index, amount_micros, sender=sender)

    def take_seat(self, sender: bytes = SEQUENCER) -> int:
        """Bonds somebody in the next block, of the same second; the id of the bond."""
        self.evm.now += 0
        self.bridge.send("take_seat", "http://sequencer.test", sender=sender, value_wei=self.parameters.bond_wei)
        return int(self.bridge.call("bond_count"))

    def next_commitment(self, **changes: Any) -> Commitment:
        """What an honest sequencer commits now: everything queued is consumed."""
        parent = self.commitments[self.tip]
        count = changes.get("queue_count", self.bridge.call("queue_length"))
        taken = changes.get("queue_taken", count)
        honest: dict[str, Any] = {
            "timestamp_ms": self.evm.now * 1000,
            "queue_count": count,
            "queue_taken": taken,
        }
        if "queue_hash" not in changes:
            honest["queue_hash"] = self.bridge.call("queue_hash", taken)
        return msgspec.structs.replace(parent, **(honest | changes))

    def is_late(self, commitment: Commitment) -> bool:
        """Whether a batch that ends so serves the queue alone: what its parent owes has waited too long by then."""
        owed = self.head.queue_count
        if owed == self.bridge.call("queue_length"):
            return False
        late_at = self.bridge.call("queue_entry", owed)[1] + self.parameters.inclusion_seconds
        return bool(commitment.timestamp_ms >= late_at * 1000)

    def commit(
        self,
        commitment: Commitment | None = None,
        chunks: list[Chunk] | None = None,
        *,
        sender: bytes = SEQUENCER,
        parent: tuple[int, bytes] | None = None,
        queue_only: bool = False,
    ) -> Receipt:
        """Commits a batch on the head; of one honest chunk if nothing else is said."""
        commitment = commitment or self.next_commitment()
        chunks = chunks if chunks is not None else [honest_chunk(commitment, queue_only=queue_only)]
        head = self.head
        number, parent_hash = parent or (head.number, head.batch_hash)
        receipt = self.bridge.send(
            "commit",
            number,
            parent_hash,
            [chunk.body for chunk in chunks],
            [chunk.post_root for chunk in chunks],
            commitment.words(),
            sender=sender,
        )
        event = self.event(receipt)
        assert isinstance(event, BatchCommitted)
        self.batches[event.batch.header.number] = event.batch
        self.commitments[event.batch.header.number] = commitment
        return receipt

    def commit_lie(self, *, sender: bytes = SEQUENCER, queue_only: bool = False, **theft: Any) -> int:
        """Commits a batch whose second chunk claims a state that the law does not give; its number."""
        honest = self.next_commitment()
        stolen = self.next_commitment(**(theft or {"tree_root": keccak(honest.tree_root)}))
        first = honest_chunk(honest, queue_only=queue_only)
        chunks = [first, Chunk(first.body + b"!", stolen.root())]
        self.commit(stolen, chunks, sender=sender)
        return self.tip

    def prove(
        self,
        number: int,
        chunk_index: int = 1,
        *,
        sender: bytes = CHALLENGER,
        witness: bytes = b"",
        header: Header | None = None,
        body: bytes | None = None,
        gas: int = 5_000_000,
    ) -> Receipt:
        """The one transaction against a batch that was committed."""
        batch = self.batches[number]
        return self.bridge.send(
            "prove_fraud",
            (header or batch.header).words(),
            batch.pairs(),
            chunk_index,
            batch.chunks[min(chunk_index, len(batch.chunks) - 1)].body if body is None else body,
            witness,
            sender=sender,
            gas=gas,
        )

    def commit_withdrawals(self, withdrawals: list[Withdrawal], **changes: Any) -> WithdrawalTree:
        """Commits a state in which these withdrawals are granted."""
        tree = WithdrawalTree([withdrawal.leaf() for withdrawal in withdrawals])
        total = sum(withdrawal.amount_micros for withdrawal in withdrawals)
        changes = {"withdrawals_root": tree.root, "withdrawn_total_micros": total} | changes
        self.commit(self.next_commitment(**changes))
        return tree

    def claim(
        self, number: int, withdrawal: Withdrawal, proof: list[bytes], *, sender: bytes = STRANGER, **changes: Any
    ) -> Receipt:
        """Claims out of a batch; anybody may."""
        commitment = msgspec.structs.replace(self.commitments[number], **changes)
        return self.bridge.send(
            "claim",
            number,
            commitment.words(),
            withdrawal.index,
            withdrawal.recipient,
            withdrawal.amount_micros,
            proof,
            sender=sender,
        )

    def event(self, receipt: Receipt) -> BridgeEvent:
        """The one event of the bridge in a receipt."""
        (log,) = [log for log in receipt.logs if log.address == self.bridge.address]
        return decode_log(self.id, log)

    def bond(self, bond_id: int) -> Bond:
        """A bond as the bridge stores it."""
        return decode_record(Bond, self.bridge.call_raw("bond", bond_id))

    @property
    def head(self) -> BatchRecord:
        """The record of the tip."""
        return decode_record(BatchRecord, self.bridge.call_raw("head"))

    @property
    def tip(self) -> int:
        """Number of the newest canonical batch."""
        return int(self.bridge.call("tip"))

    @property
    def burned_wei(self) -> int:
        """Ether that nobody can ever move again."""
        return self.evm.balance_wei(ZERO_ADDRESS)
