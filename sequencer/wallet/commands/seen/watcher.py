"""What `catenary wallet watch` sees: the newest that the node tells on its feeds, and what L1 proves beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec
import trio

from prover.cli.running import first_of
from sequencer.client.errors import ClientError, NodeUnreachable
from sequencer.client.feeds import Away, Feeds, Gap, Opened, Told
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import Book, MarketView, Status
from sequencer.wallet.errors import L1Unreachable, NotYet
from sequencer.wallet.trust import ProvenAccount
from sequencer.wallet.wallet import Wallet

_PROOF_EVERY_SECONDS: Final = 10.0
# A connection that comes back so soon was never away.
_PATIENCE_SECONDS: Final = 2.0
# At the beginning, as for any call.
_FIRST_SECONDS: Final = 30.0


class Seen(msgspec.Struct, frozen=True):
    """What one update found."""

    view: AccountView
    status: Status
    markets: list[tuple[MarketView, Book]]
    proven: ProvenAccount | None


class Watcher:
    """Keeps the newest that the node tells of an account and of all markets; the proof is asked for less often."""

    def __init__(self, wallet: Wallet, account: int) -> None:
        self._wallet = wallet
        self._account = account
        self._view: AccountView | None = None
        self._markets: list[MarketView] = []
        self._books: dict[str, Book] = {}
        self._away = ""
        self._failed: ClientError | None = None
        self._told = trio.Event()
        self._proven: ProvenAccount | None = None
        self._asked_at: float | None = None

    async def run(self) -> None:
        """Listens, for ever; what ends that is told by `look`."""
        try:
            node, channels = self._wallet.node, ["prices", f"account:{self._account}"]
            async with Feeds(node.url, channels, identify=node.identify) as feeds:
                async for frame in feeds:
                    if not isinstance(frame, Gap):
                        await self._take(frame, feeds)
        except ClientError as error:
            self._failed = error
            self._tell()

    async def _take(self, frame: Opened | Told | Away, feeds: Feeds) -> None:
        self._away = frame.why if isinstance(frame, Away) else ""
        if isinstance(frame, Away):
            self._tell()
            return
        family, _, name = frame.channel.partition(":")
        if family == "account":
            self._view = frame.data
        elif family == "book":
            self._books[name] = frame.data
        else:
            known = {market.name for market in self._markets}
            self._markets = frame.data
            for market in self._markets:
                if market.name not in known:
                    await feeds.follow(f"book:{market.name}")
        if self._is_whole:
            self._tell()

    def _tell(self) -> None:
        told, self._told = self._told, trio.Event()
        told.set()

    @property
    def _is_whole(self) -> bool:
        return self._view is not None and {market.name for market in self._markets} <= self._books.keys()

    async def changed(self) -> None:
        """Until the node tells something, or is away."""
        await self._told.wait()

    async def look(self) -> Seen:
        """NodeUnreachable where nothing is told now, Rejected where the node tells no such account."""
        with trio.move_on_after(_FIRST_SECONDS if self._view is None else _PATIENCE_SECONDS):
            while (self._away or not self._is_whole) and self._failed is None:
                await self._told.wait()
        if self._failed is not None:
            raise self._failed
        if self._away or self._view is None or not self._is_whole:
            raise NodeUnreachable(f"what the node tells is cut off: {self._away or 'it does not begin'}")
        status = await self._wallet.node.status()
        if self._asked_at is None or trio.current_time() - self._asked_at >= _PROOF_EVERY_SECONDS:
            self._asked_at = trio.current_time()
            # What was proven stays so while there is no newer proof: it says of which batch it is.
            with suppress(NotYet, L1Unreachable):
                self._proven = await self._wallet.verified.account(self._account)
        return Seen(self._view, status, [(market, self._books[market.name]) for market in self._markets], self._proven)


@asynccontextmanager
async def watched(wallet: Wallet, account: int) -> AsyncIterator[Watcher]:
    """A watcher that listens until the block ends."""
    watcher = Watcher(wallet, account)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            yield watcher
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_of(group) from None
