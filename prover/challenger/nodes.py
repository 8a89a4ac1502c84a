"""The L1 nodes that a challenger asks: whether the bridge's storage and a second node tell the story of the logs."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Reverted, L1Unavailable
from l1_bridge.client.values import Block
from l1_bridge.codec.calls import BatchRecord, decode_record, encode_call
from l1_bridge.contracts.artifact import ArtifactError
from prover.challenger.report import Report
from prover.history.history import ChainReplay
from prover.history.records import Dispute

# So far a node may be behind another: six minutes.
MOST_BLOCKS_BEHIND: Final = 32
# So long nodes may leave open how the bridge stands before a human is told.
UNDECIDED_SECONDS: Final = 120.0

_Answer = TypeVar("_Answer")


class Nodes:
    """One node that is followed, and a second one, if given, that is asked before anybody acts."""

    def __init__(self, client: L1Client, second: L1Client | None, replay: ChainReplay, report: Report) -> None:
        # The newest block at which all agreed; why they do not yet, or nothing.
        self.agreed: int | None = None
        self.undecided = ""
        self._client = client
        self._second = second
        self._replay = replay
        self._report = report
        self._undecided_since: float | None = None

    @property
    def every(self) -> tuple[L1Client, ...]:
        """Whoever can be asked for logs, the node that is followed first."""
        return (self._client,) if self._second is None else (self._client, self._second)

    async def agree(self, last: Block) -> bool:
        """Whether the bridge's storage, and the second node, tell the story that the logs told."""
        try:
            told = await self._bridge(self._client, last)
        except (L1Rejected, ArtifactError) as error:
            # The block left the chain meanwhile, or the node forgot its state: the next poll tells.
            return self.leave_open(f"block {last.number}: the L1 node does not say how the bridge stands: {error}")
        head = await self._client.block("latest")
        if head is None or head.number > last.number + MOST_BLOCKS_BEHIND:
            ends = "nowhere" if head is None else f"at block {head.number}"
            return self.leave_open(f"the L1 node ends {ends}, and what it tells ends at block {last.number}")
        if self._second is not None and not await self._second_agrees(last, head, told):
            return False
        cursor = self._replay.cursor
        expected = (cursor.tip, self._replay.batch_hash(cursor.tip), cursor.queue_length)
        if told != expected:
            again = await self._client.block(last.number)
            if again is None or again.hash != last.hash:
                return self.leave_open(f"block {last.number} left the chain")
            what = "the bridge is at batch {} with {} queue entries"
            theirs, ours = (what.format(found[0], found[2]) for found in (told, expected))
            self._replay.lose(f"block {last.number}: {theirs}, by its logs {ours}")
            self._report.lost(self._replay.cursor.incomplete)
            return False
        self.agreed, self.undecided, self._undecided_since = last.number, "", None
        for code in ("L1_DISAGREES", "L1_UNDECIDED"):
            self._report.end_alarm(code, b"")
        return True

    async def _bridge(self, client: L1Client, at: Block) -> tuple[int, bytes, int]:
        """Number and hash of the newest batch, and the length of the queue, in the bridge's storage."""
        bridge = self._replay.bridge.address
        head = decode_record(BatchRecord, await client.eth_call(bridge, encode_call("head"), at.number))
        length = await client.word(bridge, encode_call("queue_length"), at.number)
        return head.number, head.batch_hash, length

    async def _second_agrees(self, last: Block, head: Block, told: tuple[int, bytes, int]) -> bool:
        other = await self._ask_second(lambda second: second.block(last.number))
        if other is None:
            return self.leave_open(f"the second L1 node does not have block {last.number}")
        if other.hash != last.hash:
            again = await self._client.block(last.number)
            if again is None or again.hash != last.hash:
                return self.leave_open(f"block {last.number} left the chain")
            return self._contradict(f"the two L1 nodes have different blocks {last.number}")
        theirs = await self._ask_second(lambda second: self._bridge(second, last))
        if theirs is None:
            return self.leave_open(f"the second L1 node does not say how the bridge stands in block {last.number}")
        if theirs != told:
            return self._contradict(f"in block {last.number} the bridge stands otherwise on the second L1 node")
        newest = await self._ask_second(lambda second: second.block("latest"))
        if newest is not None and newest.number > head.number + MOST_BLOCKS_BEHIND:
            return self._contradict(f"the L1 node ends at block {head.number}, the second one at {newest.number}")
        return True

    def _contradict(self, detail: str) -> bool:
        self.undecided = detail
        self._report.alarm("L1_DISAGREES", detail, once_for=b"")
        return False

    def leave_open(self, why: str) -> bool:
        """Not decided yet, for a block may come late; False. What lasts is told."""
        self.undecided = why
        now = trio.current_time()
        if self._undecided_since is None:
            self._undecided_since = now
        if now - self._undecided_since >= UNDECIDED_SECONDS:
            self._report.alarm("L1_UNDECIDED", why, once_for=b"")
        return False

    async def is_elsewhere(self, block: Block) -> bool:
        """Whether the node that has left a block serves another chain, or the second one still has it: an alarm."""
        chain, ours = await self._client.chain_id(again=True), self._replay.bridge.chain_id
        if chain != ours:
            return not self._contradict(f"the L1 node serves chain {chain}, not chain {ours}")
        if self._second is None:
            return False
        other = await self._ask_second(lambda second: second.block(block.number))
        if other is None or other.hash == block.hash:
            return not self._contradict(f"block {block.number} has left the L1 node, and the second one keeps it")
        return False

    async def _ask_second(self, question: Callable[[L1Client], Awaitable[_Answer]]) -> _Answer | None:
        assert self._second is not None
        try:
            answer = await question(self._second)
        except (L1Unavailable, L1Rejected, ArtifactError) as error:
            self._report.alarm("SECOND_L1_UNAVAILABLE", str(error), once_for=b"")
            return None
        self._report.end_alarm("SECOND_L1_UNAVAILABLE", b"")
        return answer

    async def hold(self, dispute: Dispute) -> bool:
        """Whether the node that is followed holds the disputed batch."""
        return await self._holds(self._client, dispute)

    async def second_holds(self, dispute: Dispute) -> bool:
        """Whether the second node holds it too, if there is one; an alarm and a disagreement where it does not."""
        if self._second is None:
            return True
        held = await self._ask_second(partial(self._holds, dispute=dispute))
        if held:
            return True
        number = dispute.batch.header.number
        if held is None:
            self.undecided = f"the second L1 node does not say whether it holds batch {number}"
            return False
        self.undecided = f"the second L1 node does not hold batch {number}"
        self._report.alarm("L1_DISAGREES", self.undecided, once_for=dispute.batch_hash)
        return False

    async def _holds(self, client: L1Client, dispute: Dispute) -> bool:
        """Whether one node holds the batch as canonical, on top of the state that the proof starts from.

        L1Unavailable for an answer that is none: a batch that is there would be taken for one that is gone.
        """
        bridge, number = self._replay.bridge.address, dispute.batch.header.number
        call = encode_call("is_canonical", number, dispute.batch_hash)
        try:
            if not await client.word(bridge, call):
                return False
            record = await client.eth_call(bridge, encode_call("record", number - 1))
            parent_root = decode_record(BatchRecord, record).last_root
        except L1Reverted:
            return False
        except ArtifactError as error:
            raise L1Unavailable(f"the L1 node does not say how batch {number - 1} ends: {error}") from error
        return dispute.batch.pre_root(dispute.chunk_index, parent_root) == dispute.pre_root
