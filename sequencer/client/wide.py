"""More channels than a connection may have: feeds side by side, read as one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import trio

from sequencer.client.access import Identify
from sequencer.client.feeds import Feeds, Frame


class WideFeeds:
    """`async for frame in feeds`: of each channel its frames in order. What ends one connection's reader ends all.

    Nothing is read ahead but a frame of each connection, so that a reader that is too slow is slow for the node too.
    """

    def __init__(self, url: str, most: int, nursery: trio.Nursery, identify: Identify | None = None) -> None:
        """most: channels of one connection, as `catenary_limits` says; identify: as of Feeds."""
        assert most > 0, "a connection has at least one channel"
        self._url = url
        self._most = most
        self._nursery = nursery
        self._identify = identify
        self._feeds: list[Feeds] = []
        self._followed: set[str] = set()
        self._send, self._receive = trio.open_memory_channel[Frame](0)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        return await self._receive.receive()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._feeds)

    def begin(self, channels: Sequence[str]) -> None:
        """As many connections as these need."""
        self._followed.update(channels)
        for start in range(0, len(channels), self._most):
            feeds = Feeds(self._url, channels[start : start + self._most], identify=self._identify)
            self._feeds.append(feeds)
            self._nursery.start_soon(self._read, feeds)

    async def follow(self, channel: str) -> None:
        """One channel more, where there is room for it; nothing where it is followed already."""
        if channel in self._followed:
            return
        feeds = next((each for each in self._feeds if each.channels < self._most), None)
        if feeds is None:
            self.begin([channel])
            return
        self._followed.add(channel)
        await feeds.follow(channel)

    async def _read(self, feeds: Feeds) -> None:
        async with feeds:
            async for frame in feeds:
                await self._send.send(frame)


@asynccontextmanager
async def wide_feeds(
    url: str, channels: Sequence[str], most: int, *, identify: Identify | None = None
) -> AsyncIterator[WideFeeds]:
    """Open until the block ends."""
    async with trio.open_nursery() as nursery:
        feeds = WideFeeds(url, most, nursery, identify)
        feeds.begin(channels)
        yield feeds
        nursery.cancel_scope.cancel()
