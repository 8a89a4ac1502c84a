"""An old chunk's witness comes again as it was, and where it cannot, that is said."""

from collections.abc import AsyncGenerator, Callable

import msgspec
import pytest
import trio

from l1_bridge.codec.batch import Chunk
from prover.state.state import State
from prover.state.store import MemoryStore
from sequencer.engine.records import CHUNK_KEY, SealedChunk, number_key
from sequencer.sequencing.rederiving import NotMade, posted, rederived
from tests.sequencer.datadirs import RECORD, history


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


def made(store: MemoryStore, number: int, l1: list[Chunk] | None = None) -> tuple[SealedChunk, State]:
    """The last of the chunks up to one, by what L1 holds."""

    async def chunks() -> AsyncGenerator[Chunk, None]:
        for chunk in l1 or []:
            yield chunk

    async def main() -> list[tuple[SealedChunk, State]]:
        return [
            each async for each in rederived(store, RECORD, number, posted(None, RECORD) if l1 is None else chunks())
        ]

    return trio.run(main)[-1]


def on_l1(rows: dict[bytes, bytes], count: int) -> list[Chunk]:
    """What L1 holds where so many chunks are posted."""
    own = [msgspec.msgpack.decode(rows[number_key(CHUNK_KEY, at)], type=SealedChunk) for at in range(1, count + 1)]
    return [Chunk(record.body, record.post_root) for record in own]


def without_witness(record: SealedChunk) -> None:
    record.witness = b""


@pytest.mark.parametrize("number", [1, 2, 6])
def test_a_witness_that_was_let_go_of_comes_again(rows: dict[bytes, bytes], number: int) -> None:
    wanted = msgspec.msgpack.decode(rows[number_key(CHUNK_KEY, number)], type=SealedChunk)
    assert wanted.witness
    found, state = made(store_of(rows, number, without_witness), number)
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
        made(store_of(rows, 2, damage), 3)


def test_what_is_not_there_or_is_another_one_is_said(rows: dict[bytes, bytes]) -> None:
    with pytest.raises(NotMade, match="is another one than its replay gives"):
        made(store_of(rows, 3, _other_witness), 3)
    with pytest.raises(NotMade, match="no record of chunk 7"):
        made(store_of(rows, 3, without_witness), 7)
    store = store_of(rows, 3, without_witness)
    store.write({number_key(CHUNK_KEY, 2): b"\xff"}, sync=False)
    with pytest.raises(NotMade, match="record of chunk 2 is damaged"):
        made(store, 3)


@pytest.mark.parametrize("damage", [_other_body, _other_commitment, _other_start, _other_witness])
@pytest.mark.parametrize("number", [2, 3, 6])
def test_what_the_store_has_lost_comes_again_from_l1(
    rows: dict[bytes, bytes], damage: Callable[[SealedChunk], None], number: int
) -> None:
    wanted = msgspec.msgpack.decode(rows[number_key(CHUNK_KEY, number)], type=SealedChunk)
    assert made(store_of(rows, 2, damage), number, on_l1(rows, 4))[0] == wanted
    store = store_of(rows, 2, damage)
    store.write({number_key(CHUNK_KEY, 2): None, number_key(CHUNK_KEY, 1): b"\xff"}, sync=False)
    assert made(store, number, on_l1(rows, 2))[0] == wanted


def test_what_l1_holds_has_to_come_to_its_root_and_what_it_does_not_hold_is_own(rows: dict[bytes, bytes]) -> None:
    l1 = on_l1(rows, 3)
    l1[1] = Chunk(l1[1].body, l1[2].post_root)
    with pytest.raises(NotMade, match="chunk 2 does not replay to its root"):
        made(store_of(rows, 3, without_witness), 3, l1)
    with pytest.raises(NotMade, match="chunk 2 does not begin where chunk 1 ends"):
        made(store_of(rows, 2, _other_start), 3, on_l1(rows, 1))
