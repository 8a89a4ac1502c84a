"""batch.py: what it encodes the bridge takes, what it decodes is what the bridge wrote, and nothing else decodes."""

import msgspec
import pytest
from eth_abi.abi import decode, encode
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from l1_bridge.codec.batch import (
    Batch,
    BridgeId,
    Chunk,
    Commitment,
    Header,
    Withdrawal,
    WithdrawalTree,
    batch_hash,
    domain_separator,
    merkle_root,
)
from l1_bridge.codec.calls import (
    Bond,
    decode_record,
    encode_call,
    encode_claim,
    encode_commit,
    encode_deposit,
    encode_prove_fraud,
)
from l1_bridge.codec.events import BatchCommitted, LogError, SeatTaken, decode_log
from l1_bridge.contracts.artifact import ArtifactError, bridge_artifact
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.evm import Log, account
from tests.l1_bridge.harness import (
    CHALLENGER,
    DEPOSITOR,
    PARAMETERS,
    SEQUENCER,
    STRANGER,
    TRADER,
    Harness,
    genesis_commitment,
    honest_chunk,
)

BRIDGE = BridgeId(31_337, account(77))
words = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**256 - 1)
commitments = st.builds(Commitment, numbers, words, words, numbers, numbers, numbers, words, numbers, numbers, words)


@given(commitments)
def test_a_commitment_is_ten_words_and_back(commitment: Commitment) -> None:
    assert Commitment.decode(commitment.encode()) == commitment
    assert commitment.root() == keccak(commitment.encode())
    assert len(commitment.encode()) == 320


@pytest.mark.parametrize("size", [0, 288, 319, 321])
def test_a_commitment_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="320 bytes"):
        Commitment.decode(bytes(size))


def test_the_domain_is_the_one_of_eip_712() -> None:
    typed = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Empty": [],
        },
        "primaryType": "Empty",
        "domain": {
            "name": "Catenary",
            "version": "1",
            "chainId": BRIDGE.chain_id,
            "verifyingContract": "0x" + BRIDGE.address.hex(),
        },
        "message": {},
    }
    assert BRIDGE.domain_separator() == encode_typed_data(full_message=typed).header
    assert domain_separator(1, BRIDGE.address) != BRIDGE.domain_separator()
    with pytest.raises(ValueError, match="20 bytes"):
        domain_separator(1, bytes(32))


def test_h5_every_field_is_in_the_batch_hash() -> None:
    header = Header(number=3, parent_hash=keccak(b"parent"), rollback_counter=2, committer=SEQUENCER)
    pairs = [(keccak(b"a"), keccak(b"b")), (keccak(b"c"), keccak(b"d"))]
    hashes = {batch_hash(BRIDGE, header, pairs)}
    for bridge in (BridgeId(1, BRIDGE.address), BridgeId(31_337, account(78))):
        hashes.add(batch_hash(bridge, header, pairs))
    for change in (
        {"number": 4},
        {"parent_hash": ZERO_HASH},
        {"rollback_counter": 3},
        {"committer": STRANGER},
    ):
        hashes.add(batch_hash(BRIDGE, msgspec.structs.replace(header, **change), pairs))
    for other in (pairs[:1], pairs[::-1], [*pairs, pairs[0]], [(pairs[0][0], ZERO_HASH), pairs[1]]):
        hashes.add(batch_hash(BRIDGE, header, other))
    assert len(hashes) == 11


@settings(max_examples=30)
@given(st.lists(words, min_size=1, max_size=40))
def test_every_leaf_has_a_proof(leaves: list[bytes]) -> None:
    tree = WithdrawalTree(leaves)
    for index, leaf in enumerate(leaves):
        proof = tree.proof(index)
        assert len(proof) == 32
        assert merkle_root(leaf, index, proof) == tree.root
    with pytest.raises(IndexError):
        tree.proof(len(leaves))
    with pytest.raises(IndexError):
        tree.proof(-1)


def test_a_tree_without_leaves_is_zero() -> None:
    assert WithdrawalTree([]).root == ZERO_HASH


def test_the_bridge_takes_what_the_encoders_write(venue: Harness) -> None:
    evm, bridge = venue.evm, venue.bridge.address
    evm.send(SEQUENCER, bridge, encode_call("take_seat", "http://a"), value_wei=PARAMETERS.bond_wei)
    venue.fund(DEPOSITOR, 10**7)
    evm.send(DEPOSITOR, bridge, encode_deposit(TRADER, 0, 10**7))
    payee = Withdrawal(0, TRADER, 10**6)
    tree = WithdrawalTree([payee.leaf()])
    commitment = venue.next_commitment(withdrawals_root=tree.root, withdrawn_total_micros=10**6)
    chunks = (Chunk(b"\x01\x02", keccak(b"any")), honest_chunk(commitment))
    head = venue.head
    (log,) = evm.send(SEQUENCER, bridge, encode_commit(head.number, head.batch_hash, chunks, commitment)).logs
    event = decode_log(venue.id, log)
    assert isinstance(event, BatchCommitted)
    assert event.batch.chunks == chunks
    assert event.batch.commitment == commitment
    assert event.batch.pre_root(0, head.last_root) == head.last_root
    assert event.batch.pre_root(1, head.last_root) == chunks[0].post_root
    with evm.rolled_back():
        evm.send(CHALLENGER, bridge, encode_prove_fraud(event.batch, 0, b""))
        assert venue.tip == 0
    evm.now += PARAMETERS.window_seconds
    evm.send(STRANGER, bridge, encode_claim(1, commitment, payee, tree.proof(0)))
    assert venue.token.call("balanceOf", TRADER) == 10**6


def test_the_encoders_refuse_what_the_bridge_would() -> None:
    commitment = genesis_commitment(1)
    good = honest_chunk(commitment)
    for chunks, sentence in (
        ([], "1 to 24 chunks"),
        ([good] * 25, "1 to 24 chunks"),
        ([Chunk(bytes(8193), ZERO_HASH), good], "8192 bytes"),
        ([good, Chunk(b"", ZERO_HASH)], "does not open"),
    ):
        with pytest.raises(ValueError, match=sentence):
            encode_commit(0, ZERO_HASH, chunks, commitment)
    header = Header(number=1, parent_hash=ZERO_HASH, rollback_counter=0, committer=SEQUENCER)
    batch = Batch(header, (good,), commitment)
    with pytest.raises(ValueError, match="98304 bytes"):
        encode_prove_fraud(batch, 0, bytes(98_305))


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
    count, size = 6_000, 190_000 - 32 * 6_000 % 1_000
    bomb = count.to_bytes(32, "big") + (32 * count).to_bytes(32, "big") * count + size.to_bytes(32, "big")
    assert code_of(venue.id, msgspec.structs.replace(log, data=heads + bomb)) == "MALFORMED"
    assert code_of(venue.id, msgspec.structs.replace(log, data=bytes(250_000))) == "TOO_LARGE"


def test_a_url_that_is_no_text_blinds_nobody(venue: Harness) -> None:
    url = b"\xff\xfehttp"
    calldata = bridge_artifact().functions["take_seat"].selector + encode(["bytes"], [url])
    (log,) = venue.evm.send(STRANGER, venue.bridge.address, calldata, value_wei=PARAMETERS.bond_wei).logs
    event = decode_log(venue.id, log)
    assert event == SeatTaken(holder=STRANGER, bond_id=1, endpoint_url="\ufffd\ufffdhttp")


@pytest.mark.parametrize("data", [b"", bytes(7 * 32 - 1), bytes(8 * 32), b"\x01" + bytes(7 * 32 - 1)])
def test_foreign_bytes_are_no_record(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        decode_record(Bond, data)
    assert decode_record(Bond, bytes(7 * 32)).amount_wei == 0
