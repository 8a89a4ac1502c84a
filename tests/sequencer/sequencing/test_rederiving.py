"""An old chunk's witness comes again as it was, and where it cannot, that is said."""

from collections.abc import Callable

import msgspec
import pytest

from prover.state.store import MemoryStore
from sequencer.engine.records import CHUNK_KEY, SealedChunk, number_key
from sequencer.sequencing.rederiving import NotMade, rederived
from tests.sequencer.datadirs import RECORD, history
from tests.sequencer.node_world import DOMAIN


@pytest.fixture(scope="module")
def rows() -> dict[bytes, bytes]:
    """Of a store that has six chunks, and all their witnesses."""
    world = history()
    world.engine.store.stage(len(world.journal))
    world.engine.store.flush()
    return dict(world.store.iterate(b""))


def store_of(rows: dict[bytes, bytes], number: int, change: Callable[[SealedChunk], object]) -> MemoryStore:
    """The same with one record changed."""
    store = MemoryStore()
    store.write(rows, sync=False)
    record = msgspec.msgpack.decode(rows[number_key(CHUNK_KEY, number)], type=SealedChunk)
    change(record)
    store.write({number_key(CHUNK_KEY, number): msgspec.msgpack.encode(record)}, sync=False)
    return store


def without_witness(record: SealedChunk) -> None:
    record.witness = b""


@pytest.mark.parametrize("number", [1, 2, 6])
def test_a_witness_that_was_let_go_of_comes_again(rows: dict[bytes, bytes], number: int) -> None:
    wanted = msgspec.msgpack.decode(rows[number_key(CHUNK_KEY, number)], type=SealedChunk)
    assert wanted.witness
    found, state = rederived(store_of(rows, number, without_witness), DOMAIN, RECORD.genesis, number)
    assert found == wanted
    assert state.root == wanted.post_root


def _other_body(record: SealedChunk) -> None:
    record.body = record.body[:-1] + bytes([record.body[-1] ^ 1])


def _other_start(record: SealedChunk) -> None:
    record.pre_root = b"\x01" * 32


def _other_commitment(record: SealedChunk) -> None:
    record.commitment = bytes(len(record.commitment))


def _other_witness(record: SealedChunk) -> None:
    record.witness = b"\x01" + record.witness


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_other_body, "chunk 2 does not replay to its root"),
        (_other_commitment, "chunk 2 does not replay to its root"),
        (_other_start, "chunk 2 does not begin where chunk 1 ends"),
    ],
)
def test_a_chunk_on_the_way_that_is_not_what_it_was(
    rows: dict[bytes, bytes], damage: Callable[[SealedChunk], None], sentence: str
) -> None:
    with pytest.raises(NotMade, match=sentence):
        rederived(store_of(rows, 2, damage), DOMAIN, RECORD.genesis, 3)


def test_what_is_not_there_or_is_another_one_is_said(rows: dict[bytes, bytes]) -> None:
    with pytest.raises(NotMade, match="is another one than its replay gives"):
        rederived(store_of(rows, 3, _other_witness), DOMAIN, RECORD.genesis, 3)
    with pytest.raises(NotMade, match="no record of chunk 7"):
        rederived(store_of(rows, 3, without_witness), DOMAIN, RECORD.genesis, 7)
    store = store_of(rows, 3, without_witness)
    store.write({number_key(CHUNK_KEY, 2): b"\xff"}, sync=False)
    with pytest.raises(NotMade, match="record of chunk 2 is damaged"):
        rederived(store, DOMAIN, RECORD.genesis, 3)
