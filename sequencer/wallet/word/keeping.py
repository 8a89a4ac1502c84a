"""What a sequencer signed, kept by a process that trades all the time: held to the seat on L1 off the orders' way."""

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
from sequencer.wallet.errors import BrokenReceipt
from sequencer.wallet.record import AcknowledgementRecord, KeptAcknowledgement, KeptReceipt, ReceiptRecord
from sequencer.wallet.trust import Venue
from sequencer.wallet.word.promises import Given, Promises, taken_lots

# Of an account, while L1 does not answer.
MOST_WAITING: Final = 10_000

Cancelled: TypeAlias = tuple[containers.Request, ReceiptView | None]


class Keeping:
    """Compares receipts and acknowledgements with the seat on L1; what is none is said aloud.

    All that came while L1 was asked share the next look and one write of each file.
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
        """For ever."""
        while True:
            await self._came.wait()
            self._came = trio.Event()
            cancelled, self._cancelled = self._cancelled, []
            given, self._given = self._given, []
            await self._keep_receipts(cancelled)
            await self._keep_promises(given)
            self.block = await self._promises.first_block(self._venue)

    async def _keep_receipts(self, cancelled: list[Cancelled]) -> None:
        if not cancelled:
            return
        try:
            words = await self._bridge.words_on(self._venue, cancelled, wall_clock_ms())
            kept = [word for word in words if isinstance(word, KeptReceipt)]
            await trio.to_thread.run_sync(self._receipts.append, kept)
        except ClientError as error:
            words = [BrokenReceipt(str(error))] * len(cancelled)
        for (message, _), word in zip(cancelled, words, strict=True):
            if isinstance(word, BrokenReceipt):
                self._lost(message, str(word))

    async def _keep_promises(self, given: list[Given]) -> None:
        if not given:
            return
        try:
            words = await self._promises.words_on(self._venue, given)
            kept = [word for word in words if isinstance(word, KeptAcknowledgement)]
            await trio.to_thread.run_sync(self._promises.record.append, kept)
        except ClientError as error:
            words = [BrokenReceipt(str(error))] * len(given)
        for each, word in zip(given, words, strict=True):
            if isinstance(word, BrokenReceipt):
                self._lost(each.expected, str(word))

    def _lost(self, message: containers.Request | Acknowledgement, why: str) -> None:
        self._log.error("word.not_kept", account=message.account, slot=message.slot, why=why)


def keeping_of(venue: Venue, bridge: Bridge, l1: L1Client, directory: Path, address: bytes) -> Keeping:
    """In the files in which the wallet of that address keeps its own: `wallet receipts` holds both to L1."""
    name = checksum_address(address)
    receipts = ReceiptRecord(directory / f"{name}.receipts.jsonl")
    promises = Promises(l1, AcknowledgementRecord(directory / f"{name}.acknowledged.jsonl"))
    return Keeping(venue, bridge, receipts, promises, structlog.get_logger("word"))
