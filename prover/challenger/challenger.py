"""The challenger's edge: follows L1, replays every batch, and hands a fraudulent one to whoever proves it.

It acts on nothing but a verdict of fraud that all agree on (`proof`). Whatever is unknown is an alarm for a human.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected, L1ReorgTooDeep, L1Timeout
from l1_bridge.client.following import Applied, Follower, Reverted
from l1_bridge.client.keys import Signer
from l1_bridge.client.sending import OWN_TERMS
from l1_bridge.client.values import Block
from l1_bridge.codec.calls import Bond, decode_record, encode_call
from l1_bridge.contracts.artifact import ArtifactError
from prover.challenger.guard import Guarding, Source
from prover.challenger.guard_purse import Policy
from prover.challenger.nodes import Nodes
from prover.challenger.pace import Pace
from prover.challenger.pauses import Pauses
from prover.challenger.proof import Proving
from prover.challenger.report import Report, Summary
from prover.challenger.verdicts import Verdicts
from prover.contracts import deployment
from prover.contracts.referee import LocalReferee
from prover.history.history import ChainReplay, check_state
from prover.history.records import MEMORY_BLOCKS, Reorganised, Reward
from prover.state.state import StateError
from prover.state.store import StoreUnavailable
from prover.telling import Output

COLLECT_GAS: Final = 150_000
_ASK_AGAIN: Final = "ask again"
_LEAVE_CHAIN: Final = "leave chain"
_BEGIN: Final = "begin"
# So long a poll may take: what it reads is bounded by itself, but a node has many ways to be slow.
_POLL_SECONDS: Final = 300.0
# So long reading up to the end of the chain may take before a human is told, where no window is known.
_BEHIND_SECONDS: Final = 86_400.0
# So long one node is asked where the bridge began.
_BEGAN_SECONDS: Final = 60.0
# So often at most a single run looks where the chain ends: after each thing that it has done, and while a node tells of
# an end that it does not show. Whoever lies in each block, or is slower than L1, would have no end otherwise.
_TIMES_TO_THE_END: Final = 64
# So often every node is asked once more for what does not fit, from the newest block on at which all agreed, so often
# from the oldest that is remembered, and only then everything is read anew: with pauses up to two minutes.
_TIMES_FROM_AGREED: Final = 4
_TIMES_FROM_MEMORY: Final = 3
# So often where what is known is the word of a node that was left, and no other one has ever agreed: it may have hidden
# what lies deeper than all that is remembered, and nodes change places again before all those pauses are over.
_TIMES_ON_ONE_WORD: Final = 2
# So often in a row a node must say that the chain left all that is remembered, with pauses likewise.
_TIMES_TOO_DEEP: Final = 6
# So long two L1 nodes have to agree before a proof goes on the word of one: long enough for a restart of either.
PATIENCE_SECONDS: Final = 600.0


class Settings(msgspec.Struct, frozen=True):
    """How a challenger acts. No signer: it only watches. With a guard it enqueues too, ticks from `source`.

    patience_seconds: so long L1 nodes may fail or contradict each other before a proof goes on the word of one.
    verdicts: what a monitor tells.
    """

    signer: Signer | None = None
    second_client: L1Client | None = None
    collect: bool = True
    poll_seconds: float = 1.0
    referee: Callable[[], LocalReferee] = LocalReferee
    guard: Policy | None = None
    source: Source | None = None
    patience_seconds: float = PATIENCE_SECONDS
    verdicts: Verdicts | None = None


class Challenger:
    """One follower, one replay, one key."""

    def __init__(self, client: L1Client, replay: ChainReplay, output: Output, settings: Settings) -> None:
        """ValueError for a guard without a signer."""
        self._replay = replay
        self._settings = settings
        self._logger = structlog.get_logger()
        self._started_at = time.monotonic()
        signer, policy = settings.signer, settings.guard
        self._report = Report(output, None if signer is None else signer.address, settings.verdicts)
        self._nodes = Nodes(client, settings.second_client, replay, self._report, settings.patience_seconds)
        self._proving = Proving(self._nodes, replay, self._report, signer, settings.poll_seconds, settings.referee)
        self._pauses = Pauses()
        self._paid: set[tuple[int, int]] = set()
        self._guarding: Guarding | None = None
        if policy is not None:
            if signer is None:
                raise ValueError("a guard pays for entries of the queue: it needs a key")
            self._guarding = Guarding(self._nodes, replay, output, signer, policy, settings.source)
        # Since all fitted: how often nodes were asked again, and how often one has told another chain.
        self._asked_again = 0
        self._too_deep = 0
        self._has_changed = False
        self._pace = Pace(0.0)
        self._from_block = replay.cursor.from_block
        self._said_began: dict[L1Client, int] = {}
        # Of a single run: the block at which it ends, once that is known, and how often it may look for one.
        self._until: int | None = None
        self._looks = _TIMES_TO_THE_END
        self._follower = self._follow()

    async def run(self, once: bool = False) -> None:
        """Follow and answer, for ever; with `once`, up to where the chain ended when it was looked at, at the start and
        after each thing done, and until nothing is left to do there."""
        unreachable = False
        self._until, self._looks = None, _TIMES_TO_THE_END
        self._pace.reached(trio.current_time())
        if self._replay.started:
            try:
                await trio.to_thread.run_sync(check_state, self._replay)
            except StateError as error:
                self._begin_damaged(error)
        while True:
            try:
                busy = await self._step(once)
                unreachable = False
                self._report.looked(self._replay.cursor.tip, self._replay.cursor.valid)
            except (StoreUnavailable, MemoryError):
                raise
            except StateError as error:
                self._begin_damaged(error)
                busy = False
            except L1Error as error:
                self._nodes.doubt(str(error))
                if once:
                    raise
                if not unreachable:
                    self._logger.warning("l1_unavailable", error=str(error))
                unreachable, busy = True, False
            except Exception as error:
                if once:
                    raise
                busy = self._survive(error)
            if self._nodes.change_places():
                self._has_changed = True
                self._pace.reached(trio.current_time())
                if self._replay.started:
                    # What the other one has hidden may lie before the newest block, under the same block hashes.
                    await trio.to_thread.run_sync(
                        self._replay.rewind, min(self._nodes.agreed or 0, self._replay.shared or 0)
                    )
                else:
                    # Or before all blocks that are remembered: nothing is known yet that could be forgotten.
                    self._replay.wipe(next(iter(await self._began()), self._from_block))
                self._follower = self._follow()
            if not busy:
                if once and await self._at_head():
                    self._until = None
                    return
                await trio.sleep(self._settings.poll_seconds)

    def _begin_damaged(self, error: StateError) -> None:
        """A store that was damaged is rebuilt from L1: by what is left of it nothing is judged."""
        self._report.alarm("STORE_DAMAGED", f"{error}; it is rebuilt from L1")
        self._replay.wipe()
        self._follower = self._follow()

    def _survive(self, error: Exception) -> bool:
        """Whatever a node has told that breaks this program is told, and is a reason to follow another one; False."""
        detail = f"{type(error).__name__}: {error}"
        self._logger.error("unexpected", exc_info=error)
        self._report.alarm("UNEXPECTED", detail, once_for=b"")
        # What was not taken is read again.
        self._follower = self._follow()
        return self._nodes.doubt(detail)

    async def _began(self) -> list[int]:
        """Where the bridge began, as each node says that does, the latest block first; each is asked until it has said.

        A false late one is behind the Genesis, which is found out; a false early one is days of reading.
        """
        for client in self._nodes.every:
            if client not in self._said_began:
                with trio.move_on_after(_BEGAN_SECONDS), contextlib.suppress(L1Error):
                    self._said_began[client] = await deployment.first_block(client, self._replay.bridge.address)
        return sorted(self._said_began.values(), reverse=True)

    async def _begins_anew(self) -> bool:
        """Where the bridge began was one node's word, too: reads from the latest earlier block that one says."""
        began = next((at for at in await self._began() if at < self._replay.cursor.from_block), None)
        if began is None:
            return False
        self._replay.wipe(began)
        self._follower = self._follow()
        return True

    def finish(self) -> Summary:
        """The summary as things stand now."""
        cursor, summary = self._replay.cursor, self._report.summary
        summary.tip, summary.valid_tip = cursor.tip, cursor.valid
        summary.root = self._replay.state.root if self._replay.started else b""
        summary.seconds = round(time.monotonic() - self._started_at, 3)
        summary.held = self._is_tip_valid()
        return summary

    def _follow(self) -> Follower:
        every = self._nodes.every
        return every[self._asked_again % len(every)].follow(
            self._replay.bridge.address,
            self._replay.cursor.from_block,
            memory_blocks=MEMORY_BLOCKS,
            resume=self._replay.records.blocks(),
        )

    async def _at_head(self) -> bool:
        # What nobody could tell better stays as it is; an empty poll may also mean that the chain moved meanwhile.
        if self._replay.cursor.incomplete or self._too_deep or self._has_reached():
            return True
        self._looks -= 1
        head = await self._nodes.followed.block("latest")
        return head is None or head.number < self._follower.next_block or self._looks < 0

    async def _look_for_end(self) -> None:
        head = await self._nodes.followed.block("latest") if self._until is None and self._looks > 0 else None
        if head is not None:
            self._until, self._looks = head.number, self._looks - 1

    def _has_reached(self) -> bool:
        """Whether a single run has read as far as it is to."""
        return self._until is not None and self._follower.next_block > self._until

    async def _ask_again(self, once: bool) -> bool:
        """Reads anew what does not fit, from one node after the other, and forgets no more for it than it has to."""
        round_, turn = divmod(self._asked_again, len(self._nodes.every))
        is_on_one_word = self._has_changed and self._nodes.agreed is None
        rounds = _TIMES_ON_ONE_WORD if is_on_one_word else _TIMES_FROM_AGREED + _TIMES_FROM_MEMORY
        if (once and round_ > rounds) or not (once or self._pauses.is_due(_ASK_AGAIN)):
            return False
        self._pauses.postpone(_ASK_AGAIN)
        reason, agreed = self._replay.cursor.incomplete, self._nodes.agreed
        # Once every node's logs were read from there in vain: one may show a false Genesis, or say an early block.
        if not self._replay.started and round_ and await self._begins_anew():
            return True
        back_to = agreed if agreed is not None and round_ < _TIMES_FROM_AGREED else 0
        is_whole = round_ < rounds and await trio.to_thread.run_sync(self._replay.rewind, back_to)
        if not is_whole:
            self._replay.wipe()
        self._follower = self._follow()
        self._logger.warning("asking_again", reason=reason, from_block=self._follower.next_block, node=turn)
        self._asked_again += 1
        # The block may be a few seconds old: a human hears of it once every node has left it out again and again.
        self._report.is_asked_in_vain = self._asked_again >= _TIMES_FROM_AGREED * len(self._nodes.every)
        return True

    async def _leave_chain(self, error: L1ReorgTooDeep, once: bool) -> bool:
        """What is known is forgotten only where a node of this chain says so again and again, and no other keeps it, or
        nothing that is remembered was told by more than that other one."""
        self._report.alarm("REORG_TOO_DEEP", str(error), once_for=b"")
        self._nodes.doubt(str(error))
        if not (once or self._pauses.is_due(_LEAVE_CHAIN)):
            return False
        self._pauses.postpone(_LEAVE_CHAIN)
        self._too_deep += 1
        if self._too_deep < _TIMES_TOO_DEEP:
            return once
        blocks, is_shared = self._replay.records.blocks(), self._nodes.is_memory_shared
        if await self._nodes.is_elsewhere(blocks[-1]) and is_shared:
            return False
        self._fit_again()
        self._replay.wipe()
        self._follower = self._follow()
        return True

    def _fit_again(self) -> None:
        if self._too_deep:
            self._too_deep = 0
            self._pauses.end(_LEAVE_CHAIN)
            self._report.end_alarm("REORG_TOO_DEEP", b"")

    async def _step(self, once: bool) -> bool:
        if self._replay.cursor.incomplete:
            return await self._ask_again(once)
        read = self._follower.remembered
        if read and not await self._nodes.may_read_on(read[-1]) and not once:
            return False
        await self._keep_pace()
        if once:
            await self._look_for_end()
        begun = trio.current_time()
        try:
            with trio.fail_after(_POLL_SECONDS):
                events = await self._follower.poll()
        except trio.TooSlowError:
            return self._nodes.doubt(f"the L1 node has told no block in {_POLL_SECONDS:g} s")
        except L1ReorgTooDeep as error:
            return await self._leave_chain(error, once)
        finally:
            self._pace.waited(trio.current_time() - begun)
        self._fit_again()
        self._nodes.has_told(is_end=not events)
        for event in events:
            await self._handle(event)
            if self._replay.cursor.incomplete:
                break
        if events and (self._replay.cursor.incomplete or not self._has_reached()):
            if not self._replay.cursor.incomplete:
                await self._answer_meanwhile()
            return True
        self._pace.reached(trio.current_time())
        self._report.end_alarm("BEHIND", b"")
        remembered = self._follower.remembered
        if not remembered:
            return self._nodes.doubt("the L1 node shows no block")
        acted = await self._settle(remembered[-1])
        if acted:
            # What that came to stands behind the end that was looked at.
            self._until = None
        return acted and self._looks > 0

    async def _keep_pace(self) -> None:
        """Tells that the end of the chain is not reached in time, and doubts the node where that is its doing."""
        now, nodes, read = trio.current_time(), self._nodes, self._follower.remembered
        if not read or not self._pace.is_due(now, nodes.patience):
            return
        lag = await nodes.ends_at() - read[-1].number
        window = self._replay.cursor.window_seconds if self._replay.started else 0
        is_behind, is_waiting = self._pace.look(now, lag, window / 8 or _BEHIND_SECONDS)
        if not is_behind:
            return
        detail = f"{lag} blocks behind the end of L1, which comes no nearer in time"
        self._report.alarm("BEHIND", detail, once_for=b"")
        if is_waiting:
            nodes.is_too_slow(detail, self._pace.since)

    async def _answer_meanwhile(self) -> None:
        """A known lie that the node still holds is answered before the end of the chain, if that is long in coming."""
        dispute, is_long = self._replay.dispute(), trio.current_time() - self._pace.since >= self._nodes.patience
        if dispute is None or not is_long or not self._pauses.is_due(dispute.batch_hash):
            return
        self._pauses.postpone(dispute.batch_hash)
        if await self._nodes.hold(dispute):
            await self._proving.answer(dispute, await self._nodes.followed.newest_block())

    async def _handle(self, event: Applied | Reverted) -> None:
        # In a thread: a full batch is seconds of work, and a signal must not wait for it.
        for notice in await trio.to_thread.run_sync(self._replay.handle, event):
            if isinstance(notice, Reorganised):
                self._paid.clear()
            self._report.notice(notice)

    async def _settle(self, last: Block) -> bool:
        """Act at the head; whether there is more to do at once."""
        if not self._replay.started:
            detail = f"up to block {last.number} there is no Genesis of the bridge"
            self._report.alarm("NO_BRIDGE", detail, once_for=b"")
            # A node that hides the bridge from the beginning is one that fails: another may have it.
            self._nodes.doubt(detail)
            if self._pauses.is_due(_BEGIN):
                self._pauses.postpone(_BEGIN)
                return await self._begins_anew()
            return False
        if not await self._nodes.agree(last, self._has_reached()):
            return bool(self._replay.cursor.incomplete)
        if self._asked_again:
            self._asked_again = 0
            self._report.is_asked_in_vain = False
            self._pauses.end(_ASK_AGAIN)
            # From here on by the first node again, which may have left out that one thing alone.
            self._follower = self._follow()
        dispute = self._replay.dispute()
        if dispute is None:
            self._proving.rest()
        acted = dispute is not None and await self._proving.answer(dispute, last)
        for reward in self._replay.records.rewards():
            acted |= await self._collect_reward(reward, last)
        if self._guarding is not None and not acted and self._are_batches_valid():
            sent = await self._guarding.act(last)
            self._report.summary.entries_sent += sent
            acted = sent > 0
        return acted

    def _is_tip_valid(self) -> bool:
        """Whether every canonical batch is valid, by logs that neither bridge nor second node contradicts."""
        return self._are_batches_valid() and not self._nodes.undecided

    def _are_batches_valid(self) -> bool:
        """Whether they are by the logs that were read, whatever a second node says."""
        cursor = self._replay.cursor
        if not self._replay.started or cursor.incomplete or self._report.has_drifted:
            return False
        return cursor.tip == cursor.valid

    async def _collect_reward(self, reward: Reward, last: Block) -> bool:
        signer, key = self._settings.signer, reward.bond_id
        owed = (reward.bond_id, reward.release_at)
        if not self._settings.collect or signer is None or owed in self._paid or not self._pauses.is_due(key):
            return False
        bridge, client = self._replay.bridge.address, self._nodes.followed
        try:
            bond = decode_record(Bond, await client.eth_call(bridge, encode_call("bond", reward.bond_id)))
        except (L1Rejected, ArtifactError) as error:
            # A node that does not know it now: a reward waits, and batches are judged meanwhile.
            self._pauses.postpone(key)
            self._logger.warning("reward_not_known", bond_id=reward.bond_id, error=str(error))
            return False
        # No hash binds what a log says of whom it is owed to, from when on, or that it was paid: the bridge is asked.
        if bond.prover != signer.address or bond.reward_wei == 0 or last.timestamp < bond.release_at:
            self._pauses.postpone(key)
            return False
        calldata = encode_call("collect_reward", reward.bond_id)
        try:
            await client.send(signer, bridge, calldata, gas=COLLECT_GAS, terms=OWN_TERMS)
        except (L1Rejected, L1Timeout) as error:
            self._pauses.postpone(key)
            self._logger.warning("reward_not_collected", bond_id=reward.bond_id, error=str(error))
            return False
        self._paid.add(owed)
        return True
