"""A book told by its changes: the sum is what the documents say, and a reader knows where he has lost one."""

from zlib import crc32

from sequencer.schema.depth import Depth, DepthChange, Mirror, changes, checksum

BIDS = [(100, 5), (99, 7)]
ASKS = [(101, 3)]


def test_the_checksum_is_as_the_documents_say() -> None:
    assert checksum(BIDS, ASKS) == crc32(b"100:5,99:7,101:3")
    assert checksum([], []) == 0
    many = [(price, 1) for price in range(100, 50, -1)]
    assert checksum(many, []) == checksum(many[:10], []) != checksum(many[:9], [])


def test_changes_are_levels_as_they_are_now() -> None:
    assert changes(BIDS, BIDS) == []
    assert changes(BIDS, [(100, 6), (98, 1)]) == [(99, 0), (100, 6), (98, 1)]
    assert changes([], ASKS) == ASKS


def test_a_mirror_is_the_book_or_says_that_it_is_not() -> None:
    mirror = Mirror(Depth(market="BTC", bids=BIDS, asks=ASKS, checksum=checksum(BIDS, ASKS), time_ms=1))
    now = [(102, 1), (100, 6)]
    change = DepthChange(
        market="BTC", previous=1, bids=changes(BIDS, now), asks=[(101, 0)], checksum=checksum(now, []), time_ms=2
    )
    assert mirror.change(change)
    assert (mirror.bids, mirror.asks) == (now, [])
    assert not mirror.change(DepthChange(market="BTC", previous=3, bids=[(90, 1)], asks=[], checksum=7, time_ms=3))
