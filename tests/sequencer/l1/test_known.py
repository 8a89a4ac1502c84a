"""What was known of L1 comes back as it was kept, or not at all."""

from pathlib import Path

from l1_bridge.client.values import Block
from l1_bridge.codec import calls
from prover.contracts.deployment import DEVNET_PARAMETERS
from sequencer.l1.known import KNOWN, Known, keep_known, read_known, words_of
from sequencer.l1.postable import BridgeFacts

HASH, DOMAIN = b"\x07" * 32, b"\x08" * 32


def known(number: int) -> Known:
    record = calls.BatchRecord(*([0] * len(calls.BatchRecord.__struct_fields__)))
    seat = calls.Seat(*([0] * len(calls.Seat.__struct_fields__)))
    facts = BridgeFacts(
        head=calls.decode_record(calls.BatchRecord, bytes(32 * len(record.__struct_fields__))),
        head_holder=bytes(20),
        head_chunk=3,
        seat=calls.decode_record(calls.Seat, bytes(32 * len(seat.__struct_fields__))),
        queue_length=2,
        taken=2,
        taken_hash=HASH,
        chain_hash=None,
        frozen_at=0,
    )
    return Known(words_of(DEVNET_PARAMETERS), Block(number, HASH, HASH, 1_800_000_000, 7), facts, 12)


def test_what_was_kept_last_is_known(tmp_path: Path) -> None:
    assert read_known(tmp_path, DOMAIN) is None
    for number in (4, 5):
        keep_known(tmp_path, DOMAIN, known(number))
    found = read_known(tmp_path, DOMAIN)
    assert found == known(5)
    assert found is not None
    assert found.parameters == DEVNET_PARAMETERS


def test_what_is_damaged_is_not_known(tmp_path: Path) -> None:
    keep_known(tmp_path, DOMAIN, known(4))
    content = (tmp_path / KNOWN).read_bytes()
    for place in range(0, len(content), 7):
        (tmp_path / KNOWN).write_bytes(content[:place])
        assert read_known(tmp_path, DOMAIN) is None
        (tmp_path / KNOWN).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert read_known(tmp_path, DOMAIN) is None


def test_what_another_rollup_knew_is_not_known(tmp_path: Path) -> None:
    keep_known(tmp_path, DOMAIN, known(4))
    assert read_known(tmp_path, HASH) is None
