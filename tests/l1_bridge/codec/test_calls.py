"""Calldata that the bridge takes, and what its views return."""

import pytest

from l1_bridge.codec.batch import (
    Batch,
    Chunk,
    Header,
    Withdrawal,
    WithdrawalTree,
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
from l1_bridge.codec.events import BatchCommitted, decode_log
from l1_bridge.contracts.artifact import ArtifactError
from l1_bridge.hashing import ZERO_HASH, keccak
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


def test_the_bridge_takes_what_the_encoders_write(venue: Harness) -> None:
    evm, bridge = venue.evm, venue.bridge.address
    evm.send(SEQUENCER, bridge, encode_call("take_seat", "http://a"), value_wei=PARAMETERS.bond_wei)
    venue.fund(DEPOSITOR, 10**7)
    evm.send(DEPOSITOR, bridge, encode_deposit(TRADER, 0, 10**7))
    payee = Withdrawal(0, TRADER, 10**6)
    tree = WithdrawalTree([payee.leaf()])
    commitment = venue.next_commitment(withdrawals_root=tree.root, withdrawn_total_micros=10**6)
    chunks = (Chunk(b"any bytes", keccak(b"any")), honest_chunk(commitment))
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
        ([Chunk(bytes(7601), ZERO_HASH), good], "7600 bytes"),
        ([good, Chunk(b"", ZERO_HASH)], "does not open"),
    ):
        with pytest.raises(ValueError, match=sentence):
            encode_commit(0, ZERO_HASH, chunks, commitment)
    header = Header(number=1, parent_hash=ZERO_HASH, rollback_counter=0, committer=SEQUENCER)
    batch = Batch(header, (good,), commitment)
    with pytest.raises(ValueError, match="98304 bytes"):
        encode_prove_fraud(batch, 0, bytes(98_305))


@pytest.mark.parametrize("data", [b"", bytes(8 * 32 - 1), bytes(9 * 32), b"\x01" + bytes(8 * 32 - 1)])
def test_foreign_bytes_are_no_record(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        decode_record(Bond, data)
    assert decode_record(Bond, bytes(8 * 32)).amount_wei == 0
