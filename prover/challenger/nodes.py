"""The L1 nodes that a challenger asks: whether the bridge's storage and a second node tell the story of the logs."""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Reverted, L1Unavailable
from l1_bridge.client.values import Block
from l1_bridge.codec.calls import BatchRecord, Parameters, decode_record, encode_call
from l1_bridge.contracts.artifact import ArtifactError
from prover.challenger.pauses import Pauses
from prover.challenger.report import Report
from prover.history.history import ChainReplay
from prover.history.records import MEMORY_BLOCKS, MOST_KEPT_BLOCKS, Dispute, Standing

# So far a node may be behind another: six minutes.
MOST_BLOCKS_BEHIND: Final = 32
# So long nodes may leave open how the bridge stands before a human is told.
UNDECIDED_SECONDS: Final = 120.0
# So long the second node is waited for with one question: it must not hold up the one that answers.
_SECOND_SECONDS: Final = 30.0

# So long at most a node is followed that fails or is contradicted, where no window is known, whatever is left to read.
_LONGEST_TURN_SECONDS: Final = 86_400.0
_MOST_DOUBLINGS: Final = 16

# So many blocks apart the second node is asked whether it has them, too, and so long it is waited for.
_SHARED_EVERY: Final = MEMORY_BLOCKS // 2
_SHARED_SECONDS: Final = 5.0
_SHARED: Final = "shared"

_Answer = TypeVar("_Answer")


class Nodes:
    """One node that is followed, and a second one, if given, that is asked before anybody acts.

    Both have to agree, but not for ever: a lie stands once its window has passed, and a proof that is wrong costs its
    gas alone, for the bridge judges it; a guard's rescue likewise, for the law does. After `patience` seconds the word
    of one is enough for either, and where the one that is followed fails or is contradicted, they change places. Much
    is read anew then: a node whose blocks were not read to their end meanwhile is followed for twice as long next time.
    """

    def __init__(
        self,
        client: L1Client,
        second: L1Client | None,
        replay: ChainReplay,
        report: Report,
        patience_seconds: float = math.inf,
    ) -> None:
        # The newest block at which all agreed; why they do not yet, or nothing.
        self.agreed: int | None = None
        self.undecided = ""
        self._client = client
        self._second = second
        self._replay = replay
        self._report = report
        self._most_patience = patience_seconds
        self._pauses = Pauses()
        self._parameters: dict[L1Client, tuple[int, int]] = {}
        self._undecided_since: float | None = None
        # Since when the node that is followed fails or is contradicted, since they have changed places.
        self._doubted_since: float | None = None
        # How often a node was left before the end of its chain was read, since all have agreed; whether the one that is
        # followed has told blocks since it is, and their end.
        self._left_early: dict[L1Client, int] = {}
        self._has_told = self._has_ended = False
        if second is not None:
            # Whatever is remembered may be the word of one node.
            replay.share(min((block.number for block in replay.records.blocks()), default=replay.cursor.from_block))

    @property
    def followed(self) -> L1Client:
        """The node whose logs are read."""
        return self._client

    @property
    def patience(self) -> float:
        """Seconds after which the word of one is enough: at most an eighth of the challenge window."""
        window = self._window
        return min(self._most_patience, window / 8) if window else self._most_patience

    @property
    def _window(self) -> int:
        return self._replay.cursor.window_seconds if self._replay.started else 0

    def has_told(self, is_end: bool) -> None:
        """The node that is followed has told blocks, or that there is none behind those that were read."""
        self._has_told, self._has_ended = True, self._has_ended or is_end

    @property
    def is_memory_shared(self) -> bool:
        """Whether what is remembered reaches back to a block that all have told."""
        shared, blocks = self._replay.shared, self._replay.records.blocks()
        return shared is None or not blocks or blocks[0].number <= shared

    @property
    def every(self) -> tuple[L1Client, ...]:
        """Whoever can be asked for logs, the node that is followed first."""
        return (self._client,) if self._second is None else (self._client, self._second)

    def route(self, failures: int) -> tuple[L1Client, ...]:
        """Whom a transaction is given to, at each failure another one first: one may lie about nonce or fees."""
        turn = failures % len(self.every)
        return self.every[turn:] + self.every[:turn]

    async def agree(self, last: Block, is_end: bool = False) -> bool:
        """Whether the bridge's storage, and the second node, tell the story that the logs told.

        is_end: nobody reads on, whatever has come behind `last` meanwhile.
        """
        try:
            told = await self._bridge(self._client, last)
        except (L1Rejected, ArtifactError) as error:
            # The block left the chain meanwhile, or the node forgot its state: the next poll tells.
            return self.doubt(f"block {last.number}: the L1 node does not say how the bridge stands: {error}")
        head = await self._client.block("latest")
        if head is None or (head.number > last.number + MOST_BLOCKS_BEHIND and not is_end):
            ends = "nowhere" if head is None else f"at block {head.number}"
            return self.doubt(f"the L1 node ends {ends}, and what it tells ends at block {last.number}")
        if not await self._hold_to_parameters(last):
            return False
        agrees = self._second is None or await self._second_agrees(last, head, told)
        if not agrees and not self._is_over(self._undecided_since):
            return False
        expected = self._replay.standing(last.number)
        if told != expected:
            again = await self._client.block(last.number)
            if again is None or again.hash != last.hash:
                # A reorganisation is over by the next agreement; whoever says so again and again fails.
                return self.doubt(f"block {last.number} left the chain")
            what = "the bridge is at batch {} with {} queue entries"
            theirs, ours = (what.format(found.tip, found.queue_length) for found in (told, expected))
            self._replay.lose(f"block {last.number}: {theirs}, by its logs {ours}")
            self._report.lost(self._replay.cursor.incomplete)
            return False
        if not agrees:
            why = f"proofs and rescues go on the word of one L1 node: {self.undecided}"
            self._report.alarm("L1_ALONE", why, once_for=b"")
            return True
        self._doubted_since = None
        self._left_early.clear()
        self.agreed, self.undecided, self._undecided_since = last.number, "", None
        if self._second is not None:
            self._replay.share(last.number)
        for code in ("L1_DISAGREES", "L1_UNDECIDED", "L1_ALONE", "UNEXPECTED"):
            self._report.end_alarm(code, b"")
        return True

    async def _bridge(self, client: L1Client, at: Block) -> Standing:
        """How the bridge stands in its own storage."""
        bridge = self._replay.bridge.address
        head = decode_record(BatchRecord, await client.eth_call(bridge, encode_call("head"), at.number))
        length = await client.word(bridge, encode_call("queue_length"), at.number)
        return Standing(head.number, head.batch_hash, head.committed_at, length, head.bond_id)

    async def _fixed(self, client: L1Client, at: Block) -> tuple[int, int]:
        """Window and gas floor of the bridge, which never change: asked once. ArtifactError for what none has."""
        if client not in self._parameters:
            answer = await client.eth_call(self._replay.bridge.address, encode_call("parameters"), at.number)
            found = decode_record(Parameters, answer)
            if (found.window_seconds | found.proof_gas_floor) >> 63:
                raise ArtifactError("a window or gas floor beyond 63 bits")
            self._parameters[client] = found.window_seconds, found.proof_gas_floor
        return self._parameters[client]

    async def _hold_to_parameters(self, last: Block) -> bool:
        """No hash binds what the Genesis log says of them: the followed node's storage has to, as long as it is."""
        cursor = self._replay.cursor
        try:
            fixed = await self._fixed(self._client, last)
        except (L1Rejected, ArtifactError) as error:
            return self.doubt(f"block {last.number}: the L1 node does not say the bridge's parameters: {error}")
        if fixed != (cursor.window_seconds, cursor.proof_gas_floor):
            detail = "the window or gas floor that the Genesis log was said to have is not the bridge's"
            self._report.alarm("PARAMETERS", detail, once_for=b"")
            self._replay.hold_to(*fixed)
        return True

    async def _second_agrees(self, last: Block, head: Block, told: Standing) -> bool:
        other = await self._ask_second(lambda second: second.block(last.number))
        if other is None:
            return await self._is_behind(last)
        # A hash stands for the whole header, but a node may tell any time beside it.
        if (other.hash, other.timestamp) != (last.hash, last.timestamp):
            again = await self._client.block(last.number)
            if again is None or again.hash != last.hash:
                return self.doubt(f"block {last.number} left the chain")
            return self._contradict(f"the two L1 nodes have different blocks {last.number}")
        fixed = await self._ask_second(lambda second: self._fixed(second, last))
        if fixed is not None and fixed != await self._fixed(self._client, last):
            return self._contradict("the bridge has another window or gas floor on the second L1 node")
        theirs = await self._ask_second(lambda second: self._bridge(second, last))
        if theirs is None:
            return self._silent(f"the second L1 node does not say how the bridge stands in block {last.number}")
        if theirs != told:
            return self._contradict(f"in block {last.number} the bridge stands otherwise on the second L1 node")
        newest = await self._ask_second(lambda second: second.block("latest"))
        if newest is not None and newest.number > head.number + MOST_BLOCKS_BEHIND:
            return self._contradict(f"the L1 node ends at block {head.number}, the second one at {newest.number}")
        return True

    async def may_read_on(self, last: Block) -> bool:
        """Whether blocks behind `last` may be read: of those that one node alone has told so many can be taken back.

        Else whoever makes up more of them than are remembered has made itself the only one whose chain fits.
        """
        shared = self._replay.shared
        if self._second is None or shared is None or last.number - shared < _SHARED_EVERY:
            return True
        if not self._has_told and self._left_early:
            # What is remembered may be the word of the node that was left, which says the same again.
            return True
        # One more poll would push the shared block out. Whoever is followed again, after the other one in vain, is read
        # on all the same: should he be left once more, everything is read anew.
        is_full = last.number + MEMORY_BLOCKS - shared >= MOST_KEPT_BLOCKS and not self._left_early.get(self._client)
        if not self._pauses.is_due(_SHARED):
            return not is_full
        told = None
        with trio.move_on_after(_SHARED_SECONDS):
            told = await self._ask_second(lambda second: _newest_until(second, last.number))
        if told is None:
            self._pauses.postpone(_SHARED)
            if not is_full:
                return True
            self.leave_open(f"the second L1 node does not say whether it has block {last.number}")
            return self._is_over(self._undecided_since)
        entry = self._replay.records.block_entry(told.number)
        if entry is not None and entry.block.hash == told.hash and told.number > shared:
            self._pauses.end(_SHARED)
            self._replay.share(told.number)
            return True
        self._pauses.postpone(_SHARED)
        if entry is not None and entry.block.hash != told.hash:
            self.doubt(f"the two L1 nodes have different blocks {told.number}")
        elif is_full:
            self.doubt(f"the second L1 node ends at block {told.number}, and what was read at block {last.number}")
        return not is_full

    async def _is_behind(self, last: Block) -> bool:
        """False: the second node lacks the newest block. It says so in silence where all that it has is the same story.

        Or else whoever is followed could hide whatever it likes by blocks of its own, which the other one never has.
        """
        newest = await self._ask_second(lambda second: second.block("latest"))
        entry = None if newest is None else self._replay.records.block_entry(newest.number)
        if newest is not None and entry is not None:
            if entry.block.hash != newest.hash:
                return self.doubt(
                    f"the second L1 node ends at another block {newest.number} than the one that was read"
                )
            theirs = await self._ask_second(lambda second: self._bridge(second, newest))
            if theirs is not None and theirs != self._replay.standing(newest.number):
                return self._contradict(f"in block {newest.number} the bridge stands otherwise on the second L1 node")
        return self._silent(f"the second L1 node does not have block {last.number}")

    def _contradict(self, detail: str) -> bool:
        self._doubt(detail)
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

    def _silent(self, why: str) -> bool:
        """Left open by the second node alone: the one that is followed answers."""
        self._doubted_since = None
        return self.leave_open(why)

    def doubt(self, why: str) -> bool:
        """Left open, and it is the node that is followed which fails; False."""
        self._doubt(why)
        return self.leave_open(why)

    def _doubt(self, why: str) -> None:
        self.undecided, now = why, trio.current_time()
        if self._undecided_since is None:
            self._undecided_since = now
        if self._doubted_since is None:
            self._doubted_since = now

    async def ends_at(self) -> int:
        """The number of the newest block that any of the nodes has; L1Unavailable where the followed one has none."""
        newest = (await self._client.newest_block()).number
        other = None if self._second is None else await self._ask_second(lambda second: second.block("latest"))
        return newest if other is None else max(newest, other.number)

    def is_too_slow(self, detail: str, since: float) -> None:
        """The followed node keeps the end of the chain out of reach since then."""
        self.doubt(detail)
        self._doubted_since = min(since, self._doubted_since or since)

    def _is_over(self, since: float | None) -> bool:
        return since is not None and trio.current_time() - since >= self.patience

    def change_places(self) -> bool:
        """Follows the other node where the followed one has failed, or has been contradicted, for too long."""
        if self._second is None or self._doubted_since is None:
            return False
        left, window = self._left_early.get(self._client, 0), self._window
        longest = max(self.patience, window / 8 if window else _LONGEST_TURN_SECONDS)
        if trio.current_time() - self._doubted_since < min(self.patience * 2**left, longest):
            return False
        if self._has_told and not self._has_ended and not self._replay.cursor.incomplete:
            self._left_early[self._client] = min(left + 1, _MOST_DOUBLINGS)
        self._has_told = self._has_ended = False
        self._client, self._second = self._second, self._client
        self._doubted_since = None
        self._report.alarm("L1_ALONE", f"the other L1 node is followed now: {self.undecided}", once_for=b"")
        return True

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
            with trio.fail_after(_SECOND_SECONDS):
                answer = await question(self._second)
        except trio.TooSlowError:
            self._report.alarm("SECOND_L1_UNAVAILABLE", f"no answer in {_SECOND_SECONDS:g} s", once_for=b"")
            return None
        except (L1Unavailable, L1Rejected, ArtifactError) as error:
            self._report.alarm("SECOND_L1_UNAVAILABLE", str(error), once_for=b"")
            return None
        self._report.end_alarm("SECOND_L1_UNAVAILABLE", b"")
        return answer

    async def hold(self, dispute: Dispute) -> bool:
        """Whether the node that is followed holds the disputed batch."""
        return await self._holds(self._client, dispute)

    async def is_gone(self, dispute: Dispute) -> bool:
        """Whether no node holds the disputed batch any more."""
        if await self.hold(dispute):
            return False
        return self._second is None or not await self._ask_second(partial(self._holds, dispute=dispute))

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

    async def second_ends(self, dispute: Dispute) -> bool:
        """Whether the second node says by its own times, too, that the window of the disputed batch has passed."""
        if self._second is None:
            return False
        bridge, number = self._replay.bridge.address, dispute.batch.header.number

        async def ends(second: L1Client) -> bool:
            record = decode_record(BatchRecord, await second.eth_call(bridge, encode_call("record", number)))
            now = (await second.newest_block()).timestamp
            is_same = record.batch_hash == dispute.batch_hash
            return is_same and now >= record.committed_at + self._replay.cursor.window_seconds

        return bool(await self._ask_second(ends))

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


async def _newest_until(client: L1Client, number: int) -> Block | None:
    """A node's block of this number, or its newest one where it has none so new."""
    newest = await client.block("latest")
    return newest if newest is None or newest.number < number else await client.block(number)
