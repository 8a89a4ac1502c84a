"""Acknowledgements as an owner keeps them: believed for a seat's signature, held against the batches of L1."""

from collections.abc import Sequence

import msgspec

from l1_bridge.addresses import checksum_address
from l1_bridge.client.client import L1Client
from l1_bridge.client.values import Log
from l1_bridge.codec import calls, events
from prover.signing.receipts import MOST_STEPS, Acknowledgement, Found, acknowledged_digest, began_ms, root_of
from prover.signing.signed import signer_of
from prover.stf import constants, containers
from sequencer.schema.answers import AcknowledgementView, OrderResult
from sequencer.wallet.entries import guarded, logged, seat_of
from sequencer.wallet.errors import BrokenReceipt, L1Unreachable, WalletError
from sequencer.wallet.record import AcknowledgementRecord, KeptAcknowledgement
from sequencer.wallet.trust import Venue

# Blocks of one second: how far a search for the first of them goes back.
_MOST_A_SECOND = 256


class BrokenPromise(msgspec.Struct, frozen=True):
    """What was acknowledged and not posted: a later chunk is, and what should stand before it does not.

    Evidence for anybody: the signed acknowledgement, and the batch and chunk of L1 that began after it.
    lots: of an order, those of its fills as taker that are posted. committer: who posted that batch.
    """

    promise: KeptAcknowledgement
    batch: int
    chunk: int
    chunk_began_ms: int
    is_there: bool
    lots: int
    committer: str

    @property
    def sentence(self) -> str:
        """For people."""
        given = self.promise.given
        what = f"{given.filled_lots} lots of the order" if given.tag == constants.ORDER else "the request"
        return (
            f"{what} of account {given.account} in slot {given.slot}, sequence {given.sequence}, acknowledged at "
            f"{given.time_ms} by {self.promise.holder}, stand in no chunk that began before (but {self.lots} lots do), "
            f"and batch {self.batch}, chunk {self.chunk} began later"
        )


class Given(msgspec.Struct, frozen=True):
    """What a node gave for what was sent. block: of L1, from which on it can have been posted.

    expected: what was sent, with what the node says that came of it, and the time by this clock.
    """

    expected: Acknowledgement
    given: AcknowledgementView | None
    block: int


class _Posted(msgspec.Struct, frozen=True):
    """A chunk of a batch that stands."""

    batch: int
    place: int
    body: bytes
    committer: bytes


class Promises:
    """The acknowledgements of one address."""

    def __init__(self, l1: L1Client, record: AcknowledgementRecord) -> None:
        self.record = record
        self._l1 = l1

    async def first_block(self, venue: Venue) -> int:
        """From which L1 block on what is sent now can be posted: the newest one, the venue's first where L1 is away."""
        try:
            return (await guarded(self._l1.newest_block())).number
        except L1Unreachable:
            return venue.block

    async def keep(
        self, venue: Venue, expected: Acknowledgement, given: AcknowledgementView | None, block: int
    ) -> None:
        """Keeps a promise on L1's word that it is the seat's; BrokenReceipt where it is none.

        expected: what was sent, with what the node says that came of it, and this clock's time.
        """
        (word,) = await self.words_on(venue, [Given(expected, given, block)])
        if isinstance(word, WalletError):
            raise word
        self.record.append([word])

    async def words_on(
        self, venue: Venue, all_given: Sequence[Given]
    ) -> list[KeptAcknowledgement | BrokenReceipt | L1Unreachable]:
        """What may be kept of many, for one look at the seat; where it is none BrokenReceipt stands in its place, and
        L1Unreachable where nobody can say yet."""
        signers = {signer_of_promise(venue.domain, each.given) for each in all_given if each.given is not None}
        seat = await seat_of(self._l1, venue, signers)
        found: list[KeptAcknowledgement | BrokenReceipt | L1Unreachable] = []
        for each in all_given:
            try:
                given = _fitting(each)
                holder = seat.require(signer_of_promise(venue.domain, given), "the node's acknowledgement")
                rollup = checksum_address(venue.rollup)
                found.append(KeptAcknowledgement(venue.chain_id, rollup, holder, each.block, given))
            except (BrokenReceipt, L1Unreachable) as error:
                found.append(error)
        return found

    async def broken(self, venue: Venue, kept: Sequence[KeptAcknowledgement]) -> list[BrokenPromise]:
        """Promises beside which something later is posted, and they are not."""
        if not kept:
            return []
        head = await guarded(self._l1.newest_block())
        first = await self._first_of_second(min(one.block for one in kept))
        posted = await self._posted(venue, first, head.number)
        # What is not signed by whom it names is no evidence, whoever wrote the line.
        signed = [one for one in kept if checksum_address(signer_of_promise(venue.domain, one.given)) == one.holder]
        found = (_held_against(one, posted) for one in signed)
        return [one for one in found if one is not None]

    async def _first_of_second(self, number: int) -> int:
        """The first block with a block's time: a chain for tests has several a second, and what the bridge keeps of a
        batch is its second alone."""
        began = await guarded(self._l1.block(number))
        for before in range(number - 1, max(number - 1 - _MOST_A_SECOND, -1), -1):
            block = await guarded(self._l1.block(before))
            if began is None or block is None or block.timestamp < began.timestamp:
                return before + 1
        return number

    async def _posted(self, venue: Venue, first: int, last: int) -> list[_Posted]:
        """Chunks of the batches in a range of blocks that stand, in their order."""
        committed = await logged(self._l1, venue, events.BatchCommitted, first, last)
        rolled_back = await logged(self._l1, venue, events.RolledBack, first, last)
        told: list[tuple[Log, events.BatchCommitted | events.RolledBack]] = [*committed, *rolled_back]
        told.sort(key=lambda one: (one[0].block_number, one[0].log_index))
        standing: list[events.BatchCommitted] = []
        for _, event in told:
            if isinstance(event, events.RolledBack):
                standing = [one for one in standing if one.batch.header.number < event.number]
            else:
                standing.append(event)
        await self._require_whole(venue, standing, first)
        return [
            _Posted(event.batch.header.number, place, chunk.body, event.batch.header.committer)
            for event in standing
            for place, chunk in enumerate(event.batch.chunks)
        ]

    async def _require_whole(self, venue: Venue, standing: Sequence[events.BatchCommitted], first: int) -> None:
        """L1Unreachable unless these are all batches since a block, as the bridge has them: who accuses a seat of what
        is not there has to know that nothing was left out."""
        if not standing:
            return
        began = await guarded(self._l1.block(first))
        before, last = await self._record(venue, standing[0], -1), await self._record(venue, standing[-1], 0)
        hashes = [before.batch_hash, *(event.batch_hash for event in standing)]
        is_whole = (
            began is not None
            and before.committed_at < began.timestamp
            and last.batch_hash == hashes[-1]
            and [event.batch.header.parent_hash for event in standing] == hashes[:-1]
        )
        if not is_whole:
            raise L1Unreachable("the L1 node does not show every batch that stands, so nothing is said of promises")

    async def _record(self, venue: Venue, event: events.BatchCommitted, away: int) -> calls.BatchRecord:
        """What the bridge keeps of a batch so many numbers away."""
        data = calls.encode_call("record", event.batch.header.number + away)
        return calls.decode_record(calls.BatchRecord, await guarded(self._l1.eth_call(venue.rollup, data)))


def taken_lots(result: OrderResult) -> int:
    """Lots that an order took at its arrival, by an answer that may come long after: those are what is promised."""
    given = result.acknowledgement
    if given is None or not result.fills:
        return result.filled_lots
    own = [fill for fill in result.fills if fill.taker_order_id == result.order_id and fill.time_ms <= given.time_ms]
    return sum(fill.size_lots for fill in own)


def _fitting(each: Given) -> AcknowledgementView:
    expected, given = each.expected, each.given
    if given is None:
        raise BrokenReceipt("the node gave no acknowledgement")
    said = (given.tag, given.account, given.slot, given.sequence)
    if said != (expected.tag, expected.account, expected.slot, expected.sequence):
        raise BrokenReceipt("the node's acknowledgement is of something else")
    if given.filled_lots < expected.filled_lots:
        raise BrokenReceipt("the node acknowledges fewer lots than it says are filled")
    # Later than now it would be no evidence until then.
    if given.time_ms > expected.time_ms + constants.CLOCK_TOLERANCE:
        raise BrokenReceipt("the node's acknowledgement is of a time that has not come")
    return given


def signer_of_promise(domain: bytes, given: AcknowledgementView) -> bytes:
    """Whose key signed the group that an acknowledgement is of; nobody's where it is none."""
    if len(given.path) > MOST_STEPS or not 0 <= given.place < 1 << len(given.path):
        return containers.NOBODY
    own = acknowledgement(given)
    root = root_of(own.leaf, given.place, [bytes.fromhex(sibling[2:]) for sibling in given.path])
    return signer_of(acknowledged_digest(domain, root), bytes.fromhex(given.signature[2:]))


def acknowledgement(given: AcknowledgementView) -> Acknowledgement:
    """What it says, as it is hashed."""
    return Acknowledgement(given.tag, given.account, given.slot, given.sequence, given.filled_lots, given.time_ms)


def _held_against(kept: KeptAcknowledgement, posted: Sequence[_Posted]) -> BrokenPromise | None:
    found = Found(acknowledgement(kept.given))
    for chunk in posted:
        began = began_ms(chunk.body)
        if began <= kept.given.time_ms:
            found.read(chunk.body)
        elif not found.is_whole:
            committer = checksum_address(chunk.committer)
            return BrokenPromise(kept, chunk.batch, chunk.place, began, found.is_there, found.lots, committer)
        else:
            return None
    return None
