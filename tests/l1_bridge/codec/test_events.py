"""Logs of the bridge: what it wrote is read, and nothing else is."""

import msgspec
import pytest
from eth_abi.abi import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from l1_bridge.codec.batch import (
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    BridgeId,
    Chunk,
)
from l1_bridge.codec.events import MAX_LOG_BYTES, BatchCommitted, LogError, SeatTaken, decode_log
from l1_bridge.contracts.artifact import bridge_artifact
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.evm import Log, account
from tests.l1_bridge.harness import (
    PARAMETERS,
    STRANGER,
    Harness,
    honest_chunk,
)

BRIDGE = BridgeId(31_337, account(77))
words = st.binary(min_size=32, max_size=32)


def committed(venue: Harness) -> tuple[Log, BatchCommitted]:
    """A log that the bridge wrote, and what it says."""
    venue.take_seat()
    commitment = venue.next_commitment()
    (log,) = venue.commit(commitment, [Chunk(b"some bytes", keccak(b"any")), honest_chunk(commitment)]).logs
    event = decode_log(venue.id, log)
    assert isinstance(event, BatchCommitted)
    return log, event


def code_of(bridge: BridgeId, log: Log) -> str:
    """The code with which a log is refused."""
    with pytest.raises(LogError) as failure:
        decode_log(bridge, log)
    return failure.value.code


def test_foreign_and_unknown_logs_are_named_as_such(venue: Harness) -> None:
    log, _ = committed(venue)
    replace = msgspec.structs.replace
    assert code_of(venue.id, replace(log, address=STRANGER)) == "FOREIGN_ADDRESS"
    assert code_of(venue.id, replace(log, topics=())) == "UNKNOWN_EVENT"
    assert code_of(venue.id, replace(log, topics=(ZERO_HASH, *log.topics[1:]))) == "UNKNOWN_EVENT"
    assert code_of(venue.id, replace(log, topics=log.topics[:-1])) == "TOPIC_COUNT"
    assert code_of(venue.id, replace(log, topics=(*log.topics, ZERO_HASH))) == "TOPIC_COUNT"
    assert code_of(venue.id, replace(log, topics=(*log.topics[:-1], b"\x01" * 32))) == "MALFORMED"
    assert code_of(venue.id, replace(log, topics=(*log.topics[:-1], log.topics[-1][1:]))) == "MALFORMED"
    assert code_of(venue.id, replace(log, data=b"")) == "MALFORMED"
    assert code_of(venue.id, replace(log, data=log.data + bytes(32))) == "MALFORMED"
    assert code_of(BridgeId(1, venue.id.address), log) == "INCONSISTENT"


def test_no_flipped_bit_of_a_batch_log_decodes_to_another_batch(venue: Harness) -> None:
    log, event = committed(venue)
    decoded = 0
    for position in range(0, len(log.data), 5):
        data = bytearray(log.data)
        data[position] ^= 1 << (position % 8)
        try:
            other = decode_log(venue.id, msgspec.structs.replace(log, data=bytes(data)))
        except LogError:
            continue
        decoded += 1
        assert isinstance(other, BatchCommitted)
        # bond and time are bound to nothing in a log: whoever needs them certain asks the bridge's record
        assert other.batch == event.batch
        assert other.batch_hash == event.batch_hash
    assert decoded <= 2 * 32 // 5 + 2


@settings(max_examples=200)
@given(st.sampled_from(sorted(bridge_artifact().events)), st.lists(words, max_size=3), st.binary(max_size=700))
def test_noise_in_a_log_is_an_error_or_a_plain_event(topic: bytes, topics: list[bytes], data: bytes) -> None:
    try:
        event = decode_log(BRIDGE, Log(BRIDGE.address, (topic, *topics), data))
    except LogError:
        return
    assert not isinstance(event, BatchCommitted)


def test_odd_offsets_that_a_lax_reader_takes_are_refused(venue: Harness) -> None:
    log, _ = committed(venue)
    last_head = 32 * 14
    offset = int.from_bytes(log.data[last_head : last_head + 32], "big")
    # the same roots once more at the end, and the offset points there: same values, other bytes
    moved = log.data[:last_head] + len(log.data).to_bytes(32, "big") + log.data[last_head + 32 :] + log.data[offset:]
    kinds = [kind for _, kind in bridge_artifact().events[log.topics[0]].data]
    assert decode(kinds, moved) == decode(kinds, log.data)
    assert code_of(venue.id, msgspec.structs.replace(log, data=moved)) == "MALFORMED"


def test_a_log_that_unfolds_to_gigabytes_is_refused_before_it_is_decoded(venue: Harness) -> None:
    log, _ = committed(venue)
    heads = log.data[: 32 * 13] + (480).to_bytes(32, "big") + (480).to_bytes(32, "big")
    # thousands of bodies that all point to the same bytes
    count, size = 5_500, 174_000
    bomb = count.to_bytes(32, "big") + (32 * count).to_bytes(32, "big") * count + size.to_bytes(32, "big")
    assert code_of(venue.id, msgspec.structs.replace(log, data=heads + bomb)) == "MALFORMED"
    assert code_of(venue.id, msgspec.structs.replace(log, data=bytes(250_000))) == "TOO_LARGE"


def test_the_largest_batch_that_the_bridge_takes_is_read(venue: Harness) -> None:
    venue.take_seat()
    commitment = venue.next_commitment()
    honest = honest_chunk(commitment)
    largest = Chunk(honest.body.ljust(MAX_CHUNK_BYTES, b"!"), honest.post_root)
    (log,) = venue.commit(commitment, [largest] * MAX_CHUNKS).logs
    event = decode_log(venue.id, log)
    assert isinstance(event, BatchCommitted)
    assert event.batch.chunks == (largest,) * MAX_CHUNKS
    # The bound is what the bridge can write, and not a word more.
    assert len(log.data) == MAX_LOG_BYTES
    assert code_of(venue.id, msgspec.structs.replace(log, data=log.data + bytes(32))) == "TOO_LARGE"


def test_a_url_that_is_no_text_blinds_nobody(venue: Harness) -> None:
    url = b"\xff\xfehttp"
    calldata = bridge_artifact().functions["take_seat"].selector + encode(["bytes"], [url])
    (log,) = venue.evm.send(STRANGER, venue.bridge.address, calldata, value_wei=PARAMETERS.bond_wei).logs
    event = decode_log(venue.id, log)
    assert event == SeatTaken(holder=STRANGER, bond_id=1, endpoint_url="\ufffd\ufffdhttp")
