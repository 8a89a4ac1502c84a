"""Whatever is wrong with a datadir is found before anybody trades on it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from prover.state.leveldb import LevelDbStore
from prover.stf import constants
from sequencer.engine.records import (
    CHUNK_KEY,
    IDENTITY_KEY,
    QUEUE_KEY,
    ROOT_KEY,
    WITHDRAWAL_KEY,
    WRITE_KEY,
    SealedChunk,
    number_key,
)
from sequencer.l1.resequence import STATE
from sequencer.node.checking import check
from tests.sequencer.datadirs import RECORD, datadir, flip, history, log_of

Damage = Callable[[Path], None]
_OTHER = msgspec.structs.replace(RECORD, genesis=RECORD.genesis[:-1] + b"\x01").encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datadir that every test copies."""
    return datadir(tmp_path_factory.mktemp("made") / "node", history())


def found(path: Path) -> list[str]:
    """Codes of what is wrong."""
    return [finding.code for finding in check(path / STATE, path / "journal", RECORD).findings]


def test_what_a_node_left_is_whole(made: Path, tmp_path: Path) -> None:
    path = shutil.copytree(made, tmp_path / "node")
    checked = check(path / STATE, path / "journal", RECORD)
    assert (checked.findings, checked.chunks, checked.is_sound) == ([], 6, True)
    assert checked.journal_first == 1
    assert checked.cursor < checked.journal_last
    assert checked.rows > 40


def rows(change: Callable[[LevelDbStore], dict[bytes, bytes | None]]) -> Damage:
    """A change of rows that LevelDB knows nothing of."""

    def damage(path: Path) -> None:
        store = LevelDbStore(path / STATE)
        store.write(change(store), sync=True)
        store.close()

    return damage


def without(*keys: bytes) -> Damage:
    """Rows that are gone."""
    return rows(lambda store: dict.fromkeys(keys))


def _other_body(store: LevelDbStore) -> dict[bytes, bytes | None]:
    at = number_key(CHUNK_KEY, 6)
    chunk = msgspec.msgpack.decode(store.get(at) or b"", type=SealedChunk)
    chunk.leaves = chunk.leaves[1:]
    return {at: msgspec.msgpack.encode(chunk)}


def _lost_root(store: LevelDbStore) -> dict[bytes, bytes | None]:
    return {next(iter(store.iterate(ROOT_KEY)))[0]: None}


def _richer(store: LevelDbStore) -> dict[bytes, bytes | None]:
    at = b"l" + (constants.RESERVED_ACCOUNTS << constants.SLOT_BITS).to_bytes(4, "big")
    value = bytearray(store.get(at) or b"")
    value[-1] ^= 1
    return {at: bytes(value)}


def _gone(*names: str) -> Damage:
    def damage(path: Path) -> None:
        for name in names:
            for each in path.glob(name):
                shutil.rmtree(each) if each.is_dir() else each.unlink()

    return damage


def _first_segment_gone(path: Path) -> None:
    min((path / "journal").glob("*.journal")).unlink()


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (lambda path: flip(log_of(path), 0.5), ["STORE"]),
        (lambda path: flip(log_of(path), 0.99), ["STORE"]),
        (_gone("state/CURRENT"), ["STORE"]),
        (_gone("state/MANIFEST-*"), ["STORE"]),
        (_gone("state"), ["NO_STATE"]),
        (without(number_key(WRITE_KEY, 3)), ["STORE"]),
        (without(number_key(CHUNK_KEY, 3)), ["CHUNK"]),
        (without(number_key(CHUNK_KEY, 6)), ["CHUNK"]),
        (rows(_other_body), ["CHUNK"]),
        (rows(_lost_root), ["CHUNK"]),
        (rows(_richer), ["STATE"]),
        (rows(lambda store: {number_key(CHUNK_KEY, 2): b"\xc1"}), ["ROW"]),
        (without(number_key(WITHDRAWAL_KEY, 1)), ["WITHDRAWALS"]),
        (without(number_key(QUEUE_KEY, 1)), ["ENTRIES"]),
        (without(IDENTITY_KEY), ["IDENTITY"]),
        (rows(lambda store: {IDENTITY_KEY: _OTHER}), ["IDENTITY"]),
        (_gone("journal"), ["JOURNAL_GONE"]),
        (_gone("journal/*.journal"), ["JOURNAL_GONE"]),
        (lambda path: flip(min((path / "journal").glob("*.journal")), 0.5), ["JOURNAL"]),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_what_is_wrong_is_named(made: Path, tmp_path: Path, damage: Damage, codes: list[str]) -> None:
    path = shutil.copytree(made, tmp_path / "node")
    damage(path)
    assert set(codes) <= set(found(path))
    # One fault may show in more than one place, and never as none.
    assert len(found(path)) <= 3


def test_a_journal_that_is_gone_is_not_begun_by_looking(made: Path, tmp_path: Path) -> None:
    path = shutil.copytree(made, tmp_path / "node")
    _gone("journal/*.journal")(path)
    assert found(path) == ["JOURNAL_GONE"]
    assert list((path / "journal").glob("*.journal")) == []


def test_an_older_part_of_the_journal_may_be_cut(made: Path, tmp_path: Path) -> None:
    path = shutil.copytree(made, tmp_path / "node")
    _first_segment_gone(path)
    assert found(path) == []
