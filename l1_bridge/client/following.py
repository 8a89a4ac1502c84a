"""A chain that may reorganise as events: a block joined with its logs, or an applied one left."""

import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.errors import L1Rejected, L1ReorgTooDeep, L1TooLarge, L1Unavailable
from l1_bridge.client.reading import MOST_LOG_BYTES, L1Reader
from l1_bridge.client.values import Block, Log

# A node that answers each question just in time must not keep its reader for hours: a poll takes what it has by then.
_POLL_SECONDS: Final = 30.0
# So often it is said at most that blocks or logs are not given.
_SAID_SECONDS: Final = 60.0


class Applied(msgspec.Struct, frozen=True):
    """A block joined the followed chain; its logs in order."""

    block: Block
    logs: tuple[Log, ...]


class Reverted(msgspec.Struct, frozen=True):
    """A block that was applied left the chain; newest first."""

    block: Block


class Depth(msgspec.Struct, frozen=True):
    """How far behind the latest block: at a tag's block or, where that one is too old, so many blocks behind.

    Finality may stall for hours while the chain goes on; what is so deep moves then with a fork of the whole chain.
    """

    tag: str
    stalled_seconds: int
    blocks: int


async def block_at(client: L1Reader, depth: int | str | Depth) -> Block | None:
    """The newest block at a depth: a tag, or so many blocks behind the latest; None where there is none yet."""
    if isinstance(depth, str):
        return await client.block(depth)
    latest = await client.block("latest")
    if latest is None:
        return None
    if isinstance(depth, Depth):
        tagged = await client.block(depth.tag)
        if tagged is not None and latest.timestamp - tagged.timestamp <= depth.stalled_seconds:
            return tagged
        behind = max(0, latest.number - depth.blocks)
        return tagged if tagged is not None and tagged.number >= behind else await client.block(behind)
    return await client.block(max(0, latest.number - depth))


class LogFilter(msgspec.Struct, frozen=True):
    """Whose logs: one contract's, several, anybody's; a position of `topics` is one topic, alternatives, or None."""

    address: bytes | Sequence[bytes] | None
    topics: Sequence[bytes | Sequence[bytes] | None] = ()


IsWhole = Callable[[Sequence[Applied]], Awaitable[bool]]


class Follower:
    """Turns a chain that may reorganise into Applied and Reverted events; holds at most `memory_blocks` headers.

    Invariant: the events, replayed in order, leave exactly the blocks from_block..`position` of one chain.
    `is_whole` is asked about new blocks before any of them counts as read: whether their logs are all that there are.
    """

    def __init__(
        self,
        client: L1Reader,
        wanted: LogFilter,
        from_block: int,
        depth: int | str | Depth,
        memory_blocks: int,
        resume: Sequence[Block],
        is_whole: IsWhole | None = None,
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._from_block = from_block
        self._depth = depth
        self._recent: deque[Block] = deque(resume, maxlen=memory_blocks)
        self._is_whole = is_whole
        # When it had last come as far as the node says that the chain goes, or further on the way there.
        self.heard_at = -math.inf

    @property
    def remembered(self) -> tuple[Block, ...]:
        """The newest applied blocks, oldest first: keep them to resume."""
        return tuple(self._recent)

    @property
    def next_block(self) -> int:
        """Number of the block that will be applied next."""
        return self._recent[-1].number + 1 if self._recent else self._from_block

    async def poll(self) -> list[Applied | Reverted]:
        """What happened since the last poll, at most one page of blocks; empty when nothing did."""
        target = await self._target()
        if target is None:
            return []
        reverted = await self._unwind(target)
        if reverted:
            # Answered at once: a failure further down must not lose events whose blocks are forgotten already.
            return list(reverted)
        first = self.next_block
        # A page per poll lets a caller store its progress on the way through a long history.
        last = min(target, first + min(self._client.options.page_blocks, self._recent.maxlen or 1) - 1)
        found = await self._advance(first, last) if first <= last else []
        if found or first > last:
            self.heard_at = trio.current_time()
        return list(found)

    async def events(self) -> AsyncIterator[Applied | Reverted]:
        """Events for ever; asks every `poll_seconds` while nothing new is there. Transport failures end it."""
        while True:
            found = await self.poll()
            for event in found:
                yield event
            if not found:
                await trio.sleep(self._client.options.poll_seconds)

    async def run(self, handle: Callable[[Applied | Reverted], Awaitable[None]]) -> None:
        """Hand every event to `handle`, for ever; waits out an unreachable or refusing node, not too large answers."""
        log, said_at = structlog.get_logger("l1"), -math.inf
        while True:
            try:
                found = await self.poll()
            except L1TooLarge:
                raise
            except (L1Unavailable, L1Rejected) as error:
                # A rate limit or a header that a node behind a balancer lacks is a refusal in form only.
                found = []
                if trio.current_time() - said_at >= _SAID_SECONDS:
                    said_at = trio.current_time()
                    log.warning("l1.not_followed", next_block=self.next_block, error=str(error))
            for event in found:
                await handle(event)
            if not found:
                await trio.sleep(self._client.options.poll_seconds)

    async def _target(self) -> int | None:
        if isinstance(self._depth, int):
            head = await self._client.block("latest")
            return None if head is None else head.number - self._depth
        found = await block_at(self._client, self._depth)
        return None if found is None else found.number

    async def _unwind(self, target: int) -> list[Reverted]:
        kept = len(self._recent)
        while kept:
            # A target below what was applied is a node that lags or that went back: compare what both sides have.
            index = min(kept - 1, target - self._recent[0].number)
            if index < 0:
                return []
            actual = await self._client.block(self._recent[index].number)
            if actual is None:
                return []
            if actual.hash == self._recent[index].hash:
                break
            kept = index
        if kept == len(self._recent):
            return []
        if kept == 0 and self._recent[0].number > self._from_block:
            raise L1ReorgTooDeep(
                f"none of the {len(self._recent)} remembered blocks up to {self._recent[-1].number} "
                "is part of the L1 chain any more"
            )
        return [Reverted(self._recent.pop()) for _ in range(len(self._recent) - kept)]

    async def _logs(self, first: int, last: int) -> tuple[list[Log], int]:
        """Logs of the first blocks of a range, and the last of them: of as many as memory and time are meant for."""
        found: list[Log] = []
        stop, held, until = first - 1, 0, trio.current_time() + _POLL_SECONDS
        while stop < last and held < MOST_LOG_BYTES and (stop < first or trio.current_time() < until):
            page, stop = await self._client.page_of_logs(self._wanted.address, self._wanted.topics, stop + 1, last)
            found += page
            held += sum(log.held_bytes for log in page)
        return found, stop

    async def _headers(self, first: int, last: int) -> list[Block | None]:
        found: list[Block | None] = []
        until = trio.current_time() + _POLL_SECONDS
        while first <= last and (not found or trio.current_time() < until):
            page, stop = await self._client.page_of_blocks(first, last)
            found += page
            first = stop + 1
        return found

    async def _advance(self, first: int, last: int) -> list[Applied]:
        blocks: list[Block] = []
        parent = self._recent[-1].hash if self._recent else None
        for block in await self._headers(first, last):
            # A broken link means that the chain changed while we read: the next poll sees it whole.
            if block is None or (parent is not None and block.parent_hash != parent):
                break
            blocks.append(block)
            parent = block.hash
        if not blocks:
            return []
        found, last = await self._logs(first, blocks[-1].number)
        blocks = blocks[: last - first + 1]
        # By place: a node behind a balancer may tell one twice, or in an order of its own.
        logs: dict[bytes, dict[int, Log]] = {block.hash: {} for block in blocks}
        for log in sorted(found, key=lambda log: log.log_index):
            if log.block_hash not in logs:
                return []
            logs[log.block_hash][log.log_index] = log
        applied = [Applied(block, tuple(logs[block.hash].values())) for block in blocks]
        # No absence is believed: a node that answers with no logs, in time and with status 200, may lack them.
        if self._is_whole is not None and not await self._is_whole(applied):
            return []
        still = await self._client.block(blocks[-1].number)
        if still is None or still.hash != blocks[-1].hash:
            return []
        self._recent.extend(blocks)
        return applied
