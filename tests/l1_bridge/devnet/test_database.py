"""What the embedded L1 keeps for ever is bounded, whatever strangers emit and create."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from l1_bridge.devnet import database
from l1_bridge.devnet.database import ChainDatabase, LogRow

BRIDGE, STRANGER, THIRD, LATE = (bytes([number]) * 20 for number in (1, 2, 3, 4))


def topic(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChainDatabase]:
    """Three contracts may have kinds, three each; genesis is past."""
    monkeypatch.setattr(database, "KINDS_OF_A_CONTRACT", 3)
    monkeypatch.setattr(database, "CONTRACTS_OF_KINDS", 3)
    opened = ChainDatabase(tmp_path)
    opened.founded()
    yield opened
    opened.close()


def emit(kept: ChainDatabase, block: int, address: bytes, first_topic: int, times: int = 1) -> None:
    for place in range(times):
        kept.put_log(block, first_topic * 100 + place, LogRow.of(address, [topic(first_topic)], b"{}"))
    kept.commit()


def age(kept: ChainDatabase, block: int) -> None:
    """What was before a block is a generation that is dropped."""
    kept.turn(block)
    kept.drop()


def told(kept: ChainDatabase, address: bytes) -> int:
    return sum(log.address == address for log in kept.logs(0, 10_000))


def test_a_contract_has_so_many_kinds_and_what_it_emits_beside_them_does_not_stay(kept: ChainDatabase) -> None:
    emit(kept, 1, BRIDGE, 1)
    for number in range(20):
        emit(kept, 2, STRANGER, number)
    assert (told(kept, BRIDGE), told(kept, STRANGER)) == (1, 20)
    assert not kept.has_dropped([], [])
    age(kept, 3)
    assert (told(kept, BRIDGE), told(kept, STRANGER)) == (1, 3)
    # Of whom it is known that nothing is missing is told so, also of what there never was.
    for first_topics in ([topic(1)], [topic(9)], []):
        assert not kept.has_dropped([BRIDGE], first_topics)
        assert not kept.has_dropped([THIRD], first_topics)
    assert not kept.has_dropped([STRANGER], [topic(0), topic(2)])
    for addresses, first_topics in (([STRANGER], [topic(3)]), ([BRIDGE, STRANGER], []), ([], [topic(1)]), ([], [])):
        assert kept.has_dropped(addresses, first_topics)
    # A kind that was there before goes on to be one, up to its bound.
    emit(kept, 4, BRIDGE, 1, times=database.KEPT_OF_A_KIND)
    age(kept, 5)
    assert told(kept, BRIDGE) == database.KEPT_OF_A_KIND
    assert kept.has_dropped([BRIDGE], [topic(1)])
    assert not kept.has_dropped([BRIDGE], [topic(2)])


def test_so_many_contracts_have_kinds(kept: ChainDatabase) -> None:
    every = (BRIDGE, STRANGER, THIRD, LATE)
    for block, address in enumerate(every, start=1):
        emit(kept, block, address, 1)
    age(kept, 5)
    assert [told(kept, address) for address in every] == [1, 1, 1, 0]
    assert [kept.has_dropped([address], []) for address in every] == [False, False, False, True]


def test_what_is_kept_for_ever_is_bounded(tmp_path: Path) -> None:
    kept = ChainDatabase(tmp_path)
    kept.founded()
    for contract in range(database.CONTRACTS_OF_KINDS + 50):
        kept.put_log(1, contract, LogRow.of(contract.to_bytes(20, "big"), [topic(1)], b"{}"))
    for number in range(database.KINDS_OF_A_CONTRACT + 50):
        kept.put_log(2, number, LogRow.of(bytes(20), [topic(number)], b"{}"))
    for number in range(database.KEPT_CREATIONS + 50):
        kept.put_transaction(topic(number), b"{}", b"{}", is_kept=True)
    kept.commit()
    age(kept, 3)
    # Of the first contract one kind has two.
    most = database.CONTRACTS_OF_KINDS + database.KINDS_OF_A_CONTRACT
    assert sum(1 for _ in kept.logs(0, 10)) == most
    created = [number for number in range(database.KEPT_CREATIONS + 50) if kept.receipt(topic(number)) is not None]
    assert created == list(range(database.KEPT_CREATIONS))
    kept.close()
