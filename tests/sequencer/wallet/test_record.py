"""The record of signatures: durable, private, honest about what can still be used; and the slots that it keeps free."""

from pathlib import Path

import msgspec
import pytest

from sequencer.wallet.errors import BadInput
from sequencer.wallet.record import Exposure, Signed, SignedRecord, exposure, last_sequence, next_slot
from tests.sequencer.wallet_node import mode

NOW = 1_800_000_000_000
ROLLUP = "0x" + "11" * 20


def signed(number: int, slot: int = 1, status: str = "signed", kind: str = "order", expires: int = NOW) -> Signed:
    """A signature worth `number` micro-dollars at sequence `number`."""
    return Signed(f"0x{number:064x}", kind, 31_337, ROLLUP, 17, slot, number, expires, number, "buy", status)


def test_what_is_written_is_read_back_by_others(tmp_path: Path) -> None:
    record = SignedRecord(tmp_path / "wallets" / "record.jsonl")
    assert record.read() == []
    with record.locked() as entries:
        assert entries == {}
        record.append([signed(1), signed(2)])
    assert SignedRecord(tmp_path / "wallets" / "record.jsonl").read() == [signed(1), signed(2)]
    assert mode(tmp_path / "wallets" / "record.jsonl") == 0o600
    record.mark({signed(1).digest, "0xunknown"}, "filled")
    assert record.read() == [signed(1, status="filled"), signed(2)]


def test_a_line_that_a_crash_cut_off_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = SignedRecord(path)
    with record.locked():
        record.append([signed(1), signed(2)])
    path.write_bytes(path.read_bytes()[:-20])
    assert record.read() == [signed(1)]
    with record.locked():
        record.append([signed(3)])
    assert record.read() == [signed(1), signed(3)]


def test_a_long_record_forgets_what_has_expired(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = SignedRecord(path)
    with record.locked():
        record.append(signed(number, expires=NOW + number) for number in range(999))
    record.compact(NOW + 998)
    assert len(record.read()) == 999
    with record.locked():
        record.append([signed(999, expires=NOW + 999)])
    record.compact(NOW + 998)
    assert record.read() == [signed(998, expires=NOW + 998), signed(999, expires=NOW + 999)]
    assert mode(path) == 0o600


def test_exposure_counts_every_signature_until_it_expires() -> None:
    entries = [
        signed(1, expires=NOW - 1),
        signed(10),
        signed(100, status="resting"),
        signed(1_000, status="cancelled"),
        signed(10_000, status="refused", kind="withdraw"),
    ]
    assert exposure(entries, NOW) == Exposure(
        signatures=4, value_micros=11_110, open_signatures=2, open_value_micros=110
    )


def test_the_lowest_free_slot_is_free_at_the_node_and_here() -> None:
    assert next_slot([], 17, NOW, set(), None, ROLLUP) == 1
    assert next_slot([], 17, NOW, {1, 2}, None, ROLLUP) == 3
    waiting = [signed(1, slot=1), signed(2, slot=2, status="cancelled"), signed(3, slot=3, expires=NOW - 1)]
    assert next_slot(waiting, 17, NOW, set(), None, ROLLUP) == 2
    # Other accounts and other rollups have slots of their own.
    assert next_slot(waiting, 18, NOW, set(), None, ROLLUP) == 1
    assert next_slot(waiting, 17, NOW, set(), None, "0x" + "22" * 20) == 1


def test_a_hint_is_taken_only_where_it_replaces_nothing() -> None:
    waiting = [signed(1, slot=7)]
    assert next_slot(waiting, 17, NOW, set(), 9, ROLLUP) == 9
    assert next_slot(waiting, 17, NOW, set(), 7, ROLLUP) == 1
    assert next_slot(waiting, 17, NOW, {1, 9}, 9, ROLLUP) == 2
    for hint in (0, 256, -1):
        assert next_slot(waiting, 17, NOW, set(), hint, ROLLUP) == 1


def test_an_agent_stays_in_its_slots() -> None:
    waiting = [signed(1, slot=100)]
    assert next_slot(waiting, 17, NOW, {101}, None, ROLLUP, range(100, 110)) == 102
    assert next_slot(waiting, 17, NOW, set(), 105, ROLLUP, range(100, 110)) == 105
    assert next_slot(waiting, 17, NOW, set(), 1, ROLLUP, range(100, 110)) == 101
    # Slot 0 stands for cancel-all and holds no order.
    assert next_slot([], 17, NOW, set(), None, ROLLUP, range(0, 3)) == 1
    with pytest.raises(BadInput, match="all 2 order slots of account 17 that this key may use"):
        next_slot([], 17, NOW, {1, 2}, 7, ROLLUP, range(0, 3))


def test_when_all_slots_wait_here_the_nodes_word_decides() -> None:
    waiting = [signed(slot, slot=slot) for slot in range(1, 256)]
    assert next_slot(waiting, 17, NOW, {1}, None, ROLLUP) == 2
    with pytest.raises(BadInput, match="all 255 order slots"):
        next_slot(waiting, 17, NOW, set(range(1, 256)), None, ROLLUP)


def test_sequences_grow_past_the_slots_and_past_a_cancel_all() -> None:
    entries = [signed(5, slot=1), signed(9, slot=2), signed(7, slot=0, kind="cancel_all")]
    assert last_sequence(entries, 17, 1, ROLLUP) == 7
    assert last_sequence(entries, 17, 2, ROLLUP) == 9
    assert last_sequence(entries, 17, 3, ROLLUP) == 7
    assert last_sequence(entries, 18, 1, ROLLUP) == 0
    assert last_sequence([], 17, 1, ROLLUP) == 0
    assert msgspec.json.decode(msgspec.json.encode(entries[0]), type=Signed) == entries[0]
