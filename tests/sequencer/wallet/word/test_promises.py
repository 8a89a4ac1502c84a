"""Promises as an owner keeps them: believed for the seat's signature, and held against what L1 has."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from l1_bridge.addresses import checksum_address
from l1_bridge.client.keys import Signer
from l1_bridge.client.values import Block
from l1_bridge.codec import batch, events
from prover.signing import operations
from prover.signing.receipts import Acknowledgement, acknowledged_digest, levels, path_of
from prover.stf import constants, containers
from sequencer.schema.answers import AcknowledgementView
from sequencer.schema.values import as_hex
from sequencer.wallet.errors import BrokenReceipt, L1Unreachable
from sequencer.wallet.record import AcknowledgementRecord, KeptAcknowledgement
from sequencer.wallet.word.promises import Promises, _held_against, _Posted, signer_of_promise
from tests.sequencer.answers import answer
from tests.sequencer.wallet.test_bridge import KEY, NOW, VENUE, OpenL1, SeatedL1

OTHER = Signer(b"\x06" * 32)
EXPECTED = Acknowledgement(constants.ORDER, 17, 3, NOW, 5, NOW + 10)


def given(sign: Any = KEY.sign, domain: bytes = VENUE.domain, place: int = 2, **changes: Any) -> AcknowledgementView:
    """What a node answers to an order, of which five lots were filled, in a group of five."""
    fields = {"tag": constants.ORDER, "account": 17, "slot": 3, "sequence": NOW, "filled_lots": 5, "time_ms": NOW + 5}
    own = Acknowledgement(**{**fields, **changes})
    members = [msgspec.structs.replace(own, account=20 + at) if at != place else own for at in range(5)]
    tree = levels([member.leaf for member in members])
    return AcknowledgementView(
        **msgspec.structs.asdict(own),
        place=place,
        path=[as_hex(sibling) for sibling in path_of(tree, place)],
        signature=as_hex(sign(acknowledged_digest(domain, tree[-1][0]))),
    )


def promises(directory: Path, l1: Any = None) -> Promises:
    """Over an L1 on which a key holds the seat, or another one."""
    return Promises(l1 or SeatedL1(), AcknowledgementRecord(directory / "promises.jsonl"))


def test_a_promise_that_the_seat_signed_is_kept(tmp_path: Path) -> None:
    kept = promises(tmp_path)
    trio.run(kept.keep, VENUE, EXPECTED, given(), 76)
    (one,) = kept.record.read()
    assert (one.given, one.block, one.holder) == (given(), 76, checksum_address(KEY.address))


@pytest.mark.parametrize(
    "l1", [SeatedL1(OTHER.address, [KEY.address, OTHER.address]), OpenL1(KEY.address, OTHER.address)]
)
def test_a_promise_of_who_has_held_the_seat_is_kept_as_his(tmp_path: Path, l1: SeatedL1) -> None:
    kept = promises(tmp_path, l1)
    trio.run(kept.keep, VENUE, EXPECTED, given(), 76)
    (one,) = kept.record.read()
    assert one.holder == checksum_address(KEY.address)


def test_a_promise_of_who_is_not_shown_is_none_or_waits(tmp_path: Path) -> None:
    with pytest.raises(BrokenReceipt, match="nor by anybody who has held it"):
        trio.run(promises(tmp_path, SeatedL1(OTHER.address)).keep, VENUE, EXPECTED, given(), 76)
    for l1 in (OpenL1(), OpenL1(OTHER.address), SeatedL1(OTHER.address, [])):
        with pytest.raises(L1Unreachable, match="does not show everybody"):
            trio.run(promises(tmp_path, l1).keep, VENUE, EXPECTED, given(), 76)


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (None, "gave no acknowledgement"),
        (given(slot=4), "something else"),
        (given(sequence=NOW - 1), "something else"),
        (given(tag=constants.TRANSFER), "something else"),
        (given(filled_lots=4), "fewer lots"),
        (given(time_ms=NOW + 11 + constants.CLOCK_TOLERANCE), "has not come"),
        (given(OTHER.sign), "not signed by the seat"),
        (given(domain=bytes(32)), "not signed by the seat"),
        (msgspec.structs.replace(given(), place=3), "not signed by the seat"),
        (msgspec.structs.replace(given(), place=10), "not signed by the seat"),
        (msgspec.structs.replace(given(), path=given().path * 6), "not signed by the seat"),
        (msgspec.structs.replace(given(), filled_lots=6), "not signed by the seat"),
    ],
)
def test_a_promise_that_is_no_evidence_is_told_and_not_kept(
    tmp_path: Path, view: AcknowledgementView | None, sentence: str
) -> None:
    kept = promises(tmp_path)
    with pytest.raises(BrokenReceipt, match=sentence):
        trio.run(kept.keep, VENUE, EXPECTED, view, 76)
    assert kept.record.read() == []


def test_whoever_has_the_answer_alone_can_tell_who_signed_it() -> None:
    assert signer_of_promise(VENUE.domain, given()) == KEY.address
    assert signer_of_promise(VENUE.domain, given(OTHER.sign)) == OTHER.address


def posted(began: int, *parts: bytes, batch: int = 4) -> _Posted:
    """A chunk on L1."""
    return _Posted(batch, 0, began.to_bytes(6, "big") + b"".join(parts), OTHER.address)


def an_order(account: int) -> bytes:
    """As a chunk carries it."""
    order = containers.Order(account, 0, 0, 5, 7, 3, NOW, NOW, NOW + 1, 0, 0, 0, 0, 0, 500, 500, unused=0)
    return operations.order_bytes(order, b"\x01" * 64)


FILLED = (an_order(18), an_order(17), operations.fill_bytes(0, 1, 5))
LATER = NOW + 6


@pytest.mark.parametrize(
    ("chunks", "is_broken"),
    [
        ([], False),
        ([posted(NOW, *FILLED)], False),
        ([posted(NOW, *FILLED), posted(LATER)], False),
        # Nothing that began later is there yet: it may still come.
        ([posted(NOW)], False),
        ([posted(NOW), posted(LATER)], True),
        # What comes too late was not kept in time.
        ([posted(LATER, *FILLED)], True),
        ([posted(NOW, *FILLED[:2], operations.fill_bytes(0, 1, 4)), posted(LATER)], True),
    ],
)
def test_a_promise_is_broken_by_a_later_chunk_alone(chunks: list[_Posted], is_broken: bool) -> None:
    kept = KeptAcknowledgement(VENUE.chain_id, "0x", "0xseat", 76, given())
    broken = _held_against(kept, chunks)
    assert (broken is not None) is is_broken
    if broken is not None:
        assert (broken.batch, broken.chunk_began_ms, broken.committer) == (4, LATER, checksum_address(OTHER.address))
        assert "5 lots of the order of account 17" in broken.sentence
        assert msgspec.json.decode(msgspec.json.encode(broken), type=type(broken)) == broken


HASHES = [bytes([number]) * 32 for number in range(6)]


def committed(number: int, parent: int | None = None) -> events.BatchCommitted:
    """A batch that says which stood before it."""
    header = batch.Header(number, HASHES[number - 1 if parent is None else parent], 0, OTHER.address)
    return events.BatchCommitted(batch.Batch(header, (), answer(batch.Commitment)), HASHES[number], 1, 100 * number)


class RecordingL1:
    """A bridge of five batches, one every 100 seconds; block 2 came a second before the second of them."""

    def __init__(self, began: int | None = 199, tip: bytes = HASHES[5]) -> None:
        self.began = began
        self.tip = tip

    async def block(self, number: int) -> Block | None:
        return None if self.began is None else answer(Block, number=number, timestamp=self.began)

    async def eth_call(self, to: bytes, data: bytes) -> bytes:
        number = int.from_bytes(data[4:], "big")
        known = self.tip if number == 5 else HASHES[number]
        words = (number, known, bytes(32), 1, 100 * number, 0, 0)
        return b"".join(word if isinstance(word, bytes) else word.to_bytes(32, "big") for word in words)


WHOLE = [committed(number) for number in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("standing", "l1", "is_whole"),
    [
        (WHOLE, RecordingL1(), True),
        # Without a batch there is nobody to accuse.
        ([], RecordingL1(began=None), True),
        ([WHOLE[0], *WHOLE[2:]], RecordingL1(), False),
        # The first one is left out: what stood before the others came later than the block.
        (WHOLE[1:], RecordingL1(), False),
        (WHOLE, RecordingL1(began=100), False),
        # A roll-back is left out: other batches stand, in the middle or at the end.
        ([*WHOLE[:2], committed(4, parent=0), WHOLE[3]], RecordingL1(), False),
        (WHOLE, RecordingL1(tip=bytes(32)), False),
        (WHOLE, RecordingL1(began=None), False),
    ],
)
def test_nobody_is_accused_by_what_a_node_leaves_out(
    tmp_path: Path, standing: list[events.BatchCommitted], l1: RecordingL1, is_whole: bool
) -> None:
    over = promises(tmp_path, l1)
    if is_whole:
        trio.run(over._require_whole, VENUE, standing, 2)
        return
    with pytest.raises(L1Unreachable, match="every batch that stands"):
        trio.run(over._require_whole, VENUE, standing, 2)


class HastyL1(RecordingL1):
    """Three blocks a second, of which those before the second one are gone."""

    async def block(self, number: int) -> Block | None:
        return answer(Block, number=number, timestamp=number // 3) if number >= 3 else None


@pytest.mark.parametrize(("number", "first"), [(8, 6), (7, 6), (6, 6), (4, 3), (3, 3), (1, 1)])
def test_the_batches_of_a_whole_second_are_read(tmp_path: Path, number: int, first: int) -> None:
    over = promises(tmp_path, HastyL1())
    assert trio.run(over._first_of_second, number) == first


def test_a_chain_whose_time_stands_still_ends_the_search(tmp_path: Path) -> None:
    over = promises(tmp_path, RecordingL1(began=7))
    assert trio.run(over._first_of_second, 5_000) == 5_000
