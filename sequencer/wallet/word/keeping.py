"""What a sequencer signed, kept by a process that trades all the time: held to the seat on L1 off the orders' way."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

import structlog
import trio

from l1_bridge.addresses import checksum_address
from l1_bridge.client.client import L1Client
from prover.signing.receipts import Acknowledgement
from prover.stf import constants, containers
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import ClientError
from sequencer.schema.answers import OrderResult, ReceiptView
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.errors import BrokenReceipt, L1Unreachable
from sequencer.wallet.record import AcknowledgementRecord, KeptAcknowledgement, KeptReceipt, ReceiptRecord
from sequencer.wallet.trust import Venue
from sequencer.wallet.word.promises import Given, Promises, taken_lots

# Of an account and of each kind, while L1 does not answer.
MOST_WAITING: Final = 10_000
# L1 is asked again after this, and then after twice as long, up to the longest pause.
FIRST_PAUSE_SECONDS: Final = 1
LONGEST_PAUSE_SECONDS: Final = 60

Cancelled: TypeAlias = tuple[containers.Request, ReceiptView | None]


class Keeping:
    """Compares receipts and acknowledgements with the seat on L1; what is none is said aloud.

    All that came while L1 was asked share the next look and one write of each file. What it did not answer, or could
    not be written, waits and is asked for again.
    """

    def __init__(
        self,
        venue: Venue,
        bridge: Bridge,
        receipts: ReceiptRecord,
        promises: Promises,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._venue = venue
        self._bridge = bridge
        self._receipts = receipts
        self._promises = promises
        self._cancelled: list[Cancelled] = []
        self._given: list[Given] = []
        self._came = trio.Event()
        self._log = log
        # Asked for before what is sent now: nothing of that is posted in an earlier one.
        self.block = venue.block

    def cancelled(self, message: containers.Request, given: ReceiptView | None) -> None:
        """A receipt. Never waits; past the bound it is given up, in the log."""
        if len(self._cancelled) >= MOST_WAITING:
            self._lost(message, f"{MOST_WAITING} wait for L1 already")
            return
        self._cancelled.append((message, given))
        self._came.set()

    def ordered(self, account: int, slot: int, sequence: int, result: OrderResult, block: int) -> None:
        """The acknowledgement of an order, of which the node says so. block: `block` before the order was sent."""
        lots = taken_lots(result)
        expected = Acknowledgement(constants.ORDER, account, slot, sequence, lots, wall_clock_ms())
        self._acknowledged(Given(expected, result.acknowledgement, block))

    def _acknowledged(self, given: Given) -> None:
        if len(self._given) >= MOST_WAITING:
            self._lost(given.expected, f"{MOST_WAITING} wait for L1 already")
            return
        self._given.append(given)
        self._came.set()

    async def run(self) -> None:
        """For ever. What still waits when it is ended is said aloud."""
        try:
            while True:
                await self._came.wait()
                self._came = trio.Event()
                await self._until_answered()
        finally:
            for message, _ in self._cancelled:
                self._lost(message, "L1 had not answered when it was ended")
            for each in self._given:
                self._lost(each.expected, "L1 had not answered when it was ended")

    async def _until_answered(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self._cancelled or self._given:
            unanswered = ""
            for keep in (self._keep_receipts, self._keep_promises):
                try:
                    await keep()
                except ClientError as error:
                    unanswered = str(error)
            self.block = await self._promises.first_block(self._venue)
            if unanswered:
                waiting = len(self._cancelled) + len(self._given)
                self._log.warning("word.waits", waiting=waiting, pause_seconds=pause, why=unanswered)
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                pause = FIRST_PAUSE_SECONDS

    async def _keep_receipts(self) -> None:
        cancelled = [*self._cancelled]
        if not cancelled:
            return
        words = await self._bridge.words_on(self._venue, cancelled, wall_clock_ms())
        kept = [word for word in words if isinstance(word, KeptReceipt)]
        await trio.to_thread.run_sync(self._receipts.append, kept)
        self._cancelled[: len(cancelled)] = [
            each for each, word in zip(cancelled, words, strict=True) if isinstance(word, L1Unreachable)
        ]
        for (message, _), word in zip(cancelled, words, strict=True):
            if isinstance(word, BrokenReceipt):
                self._lost(message, str(word))
        _require_said(words)

    async def _keep_promises(self) -> None:
        given = [*self._given]
        if not given:
            return
        words = await self._promises.words_on(self._venue, given)
        kept = [word for word in words if isinstance(word, KeptAcknowledgement)]
        await trio.to_thread.run_sync(self._promises.record.append, kept)
        self._given[: len(given)] = [
            each for each, word in zip(given, words, strict=True) if isinstance(word, L1Unreachable)
        ]
        for each, word in zip(given, words, strict=True):
            if isinstance(word, BrokenReceipt):
                self._lost(each.expected, str(word))
        _require_said(words)

    def _lost(self, message: containers.Request | Acknowledgement, why: str) -> None:
        self._log.error("word.not_kept", account=message.account, slot=message.slot, why=why)


def _require_said(words: Iterable[object]) -> None:
    """L1Unreachable where L1 has not said of everybody: whoever is asked about stays, and the others do not wait."""
    for word in words:
        if isinstance(word, L1Unreachable):
            raise word


def keeping_of(venue: Venue, bridge: Bridge, l1: L1Client, directory: Path, address: bytes) -> Keeping:
    """In the files in which the wallet of that address keeps its own: `wallet receipts` holds both to L1."""
    name = checksum_address(address)
    receipts = ReceiptRecord(directory / f"{name}.receipts.jsonl")
    promises = Promises(l1, AcknowledgementRecord(directory / f"{name}.acknowledged.jsonl"))
    return Keeping(venue, bridge, receipts, promises, structlog.get_logger("word"))
