"""The L1 nodes that a challenger asks: whether the bridge's storage and a second node tell the story of the logs."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Unavailable
from l1_bridge.client.values import Block
from l1_bridge.codec.calls import BatchRecord, decode_record, encode_call
from l1_bridge.contracts.artifact import ArtifactError
from prover.challenger.report import Report
from prover.history.history import ChainReplay
from prover.history.records import Dispute, Reason

_Answer = TypeVar("_Answer")


class Nodes:
    """One node that is followed, and a second one, if given, that is asked before anybody acts."""

    def __init__(self, client: L1Client, second: L1Client | None, replay: ChainReplay, report: Report) -> None:
        self.disagree = False
        self._client = client
        self._second = second
        self._replay = replay
        self._report = report

    async def agree(self, last: Block) -> bool:
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
            self.disagree = False
            self._report.end_alarm("L1_DISAGREES", b"")
            return True
        again = await self._client.block(last.number)
        if again is None or again.hash != last.hash:
            return False
        if (head.number, head.batch_hash) != (tip, expected):
            self._replay.lose(f"block {last.number}: the bridge is at batch {head.number}, its logs at batch {tip}")
            self._report.alarm(Reason.HISTORY, self._replay.cursor.incomplete)
        else:
            self.disagree = True
            self._report.alarm("L1_DISAGREES", f"the two L1 nodes have different blocks {last.number}", once_for=b"")
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
        if self._second is None or await self._ask_second(partial(self._holds, dispute=dispute)):
            return True
        number = dispute.batch.header.number
        detail = f"the second L1 node does not hold batch {number}"
        self._report.alarm("L1_DISAGREES", detail, once_for=dispute.batch_hash)
        self.disagree = True
        return False

    async def _holds(self, client: L1Client, dispute: Dispute) -> bool:
        """Whether one node holds the batch as canonical, on top of the state that the proof starts from."""
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
