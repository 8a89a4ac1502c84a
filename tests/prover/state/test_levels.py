"""A dump of the tree's levels spares hashing and is never believed: torn, damaged, stale and false ones are found."""

from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

import pytest

from l1_bridge.hashing import ZERO_HASH
from prover.state import levels
from prover.state import state as state_module
from prover.state.state import State
from prover.state.store import MemoryStore, StoreUnavailable
from prover.state.tree import DEPTH
from prover.stf import constants, containers, encoding
from tests.twins import venue

ACCOUNTS = (17, 18, 40, 4_096, 5_000)
SLOTS = (1, 3, 15, 16, 200)


def store_of() -> MemoryStore:
    """Accounts on two pages, with slots below and above the sixteenth."""
    rng = Random(4)
    built = venue.build_state(
        accounts={
            index: venue.account(collateral=index, positions={2: venue.position(index, -index)}) for index in ACCOUNTS
        },
        slots={
            index << 8 | slot: containers.Slot(rng.randrange(1, 99), slot) for index in ACCOUNTS for slot in SLOTS[:-1]
        }
        | {17 << 8 | 200: containers.Slot(5, 5)},
    )
    store = venue.copied(built).store
    assert isinstance(store, MemoryStore)
    return store


def dump_of(state: State) -> bytes:
    return b"".join(levels.dumped(venue.DOMAIN, state.remembered()))


def opened(store: MemoryStore, dump: bytes, path: Path) -> tuple[State, levels.Levels]:
    path.write_bytes(dump)
    read = levels.read(path, venue.DOMAIN)
    return State(store, venue.DOMAIN, levels=read), read


def put(store: MemoryStore, leaf: int, payload: bytes) -> None:
    store.write({b"l" + leaf.to_bytes(4, "big"): payload}, sync=False)


def summed(body: bytes) -> bytes:
    return body + blake2b(body, digest_size=32).digest()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The leaves that were hashed."""
    hashed: list[int] = []
    real = state_module.leaf_hash

    def leaf_hash(leaf: int, payload: bytes) -> bytes:
        hashed.append(leaf)
        return real(leaf, payload)

    monkeypatch.setattr(state_module, "leaf_hash", leaf_hash)
    return hashed


def test_a_start_with_a_dump_hashes_no_row_and_answers_the_same(tmp_path: Path, counted: list[int]) -> None:
    store = store_of()
    plain = State(store, venue.DOMAIN)
    dump = dump_of(plain)
    counted.clear()

    spared, read = opened(store, dump, tmp_path / "levels")

    assert (read.used, read.why_not, counted) == (len(ACCOUNTS) + 1, "", [])
    assert dump_of(spared) == dump
    assert counted == []
    rng = Random(5)
    leaves = [index << 8 | slot for index in (*ACCOUNTS, 19, 9_000) for slot in (0, *SLOTS, 77)]
    for leaf in rng.sample(leaves, len(leaves)):
        assert spared.tree.path(leaf) == plain.tree.path(leaf)
        level = rng.randrange(DEPTH)
        assert spared.tree.node(level, leaf >> level) == plain.tree.node(level, leaf >> level)
        accounts = [encoding.account_payload(one.account(leaf >> 8)) for one in (spared, plain)]
        assert accounts[0] == accounts[1]
        assert spared.slot(leaf | 1) == plain.slot(leaf | 1)
    # Each row of an account once, when it is touched first.
    assert len(counted) == len(set(counted))


def test_what_is_written_on_a_spared_account_comes_to_the_same_root(tmp_path: Path) -> None:
    store = store_of()
    plain = State(store, venue.DOMAIN)
    spared, _ = opened(store, dump_of(plain), tmp_path / "levels")
    for leaf, digest in ((17 << 8 | 3, b"a" * 32), (40 << 8 | 99, b"b" * 32), (18 << 8, ZERO_HASH), (7, b"c" * 32)):
        assert spared.tree.update({leaf: digest}) == plain.tree.update({leaf: digest})


@pytest.mark.parametrize("cut", [0, 1, 30, 100])
def test_a_torn_dump_is_refused_whole(tmp_path: Path, cut: int) -> None:
    store = store_of()
    dump = dump_of(State(store, venue.DOMAIN))

    state, read = opened(store, dump[:cut], tmp_path / "levels")

    assert (read.used, read.why_not) == (0, "it is torn or damaged")
    assert state.tree.root == state.commitment.tree_root


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    store = store_of()
    dump = bytearray(dump_of(State(store, venue.DOMAIN)))
    for at in range(0, len(dump), 13):
        dump[at] ^= 1 << at % 8
        _, read = opened(store, bytes(dump), tmp_path / "levels")
        assert (read.used, read.why_not) == (0, "it is torn or damaged")
        dump[at] ^= 1 << at % 8


def test_a_stale_dump_serves_the_accounts_that_have_not_changed(tmp_path: Path, counted: list[int]) -> None:
    store = store_of()
    stale = dump_of(State(store, venue.DOMAIN))
    put(store, 17 << 8 | 3, encoding.slot_payload(containers.Slot(77, 7)))
    put(store, 6_000 << 8 | 1, encoding.slot_payload(containers.Slot(1, 1)))
    put(store, 6_000 << 8, encoding.account_payload(venue.account(collateral=9)))
    leaves = [(int.from_bytes(key[1:], "big"), payload) for key, payload in store.iterate(b"l")]
    root = state_module.StateTree([(leaf, state_module.leaf_hash(leaf, payload)) for leaf, payload in leaves]).root
    commitment = encoding.commitment_from_bytes(store.get(b"commitment") or b"")
    commitment.tree_root = root
    store.write({b"commitment": encoding.commitment_bytes(commitment)}, sync=False)
    counted.clear()

    state, read = opened(store, stale, tmp_path / "levels")

    assert (state.tree.root, read.used, read.why_not) == (root, len(ACCOUNTS), "")
    assert {leaf >> 8 for leaf in counted} == {17, 6_000}


def test_a_false_node_is_another_root_and_all_rows_are_hashed(tmp_path: Path, counted: list[int]) -> None:
    store = store_of()
    state = State(store, venue.DOMAIN)
    records = [(account, digest, node) for account, digest, node in state.remembered()]
    account, digest, node = records[2]
    records[2] = (account, digest, node[:-1] + bytes([node[-1] ^ 1]))
    counted.clear()

    forged, read = opened(store, b"".join(levels.dumped(venue.DOMAIN, records)), tmp_path / "levels")

    assert (read.used, read.why_not) == (0, "its nodes do not hash to the committed root")
    assert forged.tree.root == state.tree.root
    assert len(counted) == len(list(store.iterate(b"l")))


def test_rows_that_were_changed_along_with_their_record_are_never_used(tmp_path: Path) -> None:
    """Who writes both can pass the start: the rows are hashed when their account is touched."""
    store = store_of()
    state = State(store, venue.DOMAIN)
    records = list(state.remembered())
    rich = encoding.account_payload(venue.account(collateral=10**12, positions={2: venue.position(40, -40)}))
    put(store, 40 << 8, rich)
    rows = [part for key, payload in store.iterate(b"l" + (40).to_bytes(3, "big")) for part in (key, payload)]
    records = [(a, levels.digest_of(rows) if a == 40 else digest, node) for a, digest, node in records]

    forged, read = opened(store, b"".join(levels.dumped(venue.DOMAIN, records)), tmp_path / "levels")

    assert read.why_not == ""
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="the rows of account 40 do not hash to its node"):
            forged.account(40)
    with pytest.raises(StoreUnavailable, match="account 40"):
        forged.slot(40 << 8 | 1)
    assert forged.account(17).settled == state.account(17).settled


def test_a_row_that_is_gone_or_too_long_behind_its_record_is_found(tmp_path: Path) -> None:
    store = store_of()
    spared, _ = opened(store, dump_of(State(store, venue.DOMAIN)), tmp_path / "levels")
    put(store, 40 << 8 | 3, bytes(16))
    with pytest.raises(StoreUnavailable, match="wrong length"):
        spared.account(40)


@pytest.mark.parametrize("change", [{"domain": bytes(32)}, {"magic": b"CATLEV00"}, {"tail": b"\0"}])
def test_another_rollups_or_versions_dump_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    store = store_of()
    body = dump_of(State(store, venue.DOMAIN))[:-32]
    body = change.get("magic", body[:8]) + change.get("domain", body[8:40]) + body[40:] + change.get("tail", b"")

    _, read = opened(store, summed(body), tmp_path / "levels")

    assert (read.used, read.why_not) == (0, "it is of another rollup or version")


def test_no_dump_is_no_reason_and_one_that_cannot_be_read_is(tmp_path: Path) -> None:
    assert levels.read(tmp_path / "levels", venue.DOMAIN).why_not == ""
    (tmp_path / "levels").mkdir()
    assert levels.read(tmp_path / "levels", venue.DOMAIN).why_not.startswith("it cannot be read")


def test_wrong_leaves_in_the_store_are_found_with_a_dump_as_without(tmp_path: Path) -> None:
    store = store_of()
    dump = dump_of(State(store, venue.DOMAIN))
    put(store, 40 << 8, encoding.account_payload(venue.account(collateral=10**12)))
    with pytest.raises(state_module.StateError, match="do not hash"):
        opened(store, dump, tmp_path / "levels")


def test_a_dump_is_put_in_its_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "levels"
    levels.write(path, [b"one", b"two"])
    levels.write(path, [b"three"])
    assert path.read_bytes() == b"three"
    assert [entry.name for entry in tmp_path.iterdir()] == ["levels"]


def test_accounts_that_a_chunk_changed_are_remembered_as_they_are_now(tmp_path: Path) -> None:
    world = venue.copied(venue.build_state(accounts={17: venue.account(), 40: venue.account(), 41: venue.account()}))
    before = {account: digest for account, digest, _ in world.remembered()}
    played = venue.Played(world, venue.body_of([venue.transfer(world, 17, 40, 5)]))
    assert played.codes == (0,)
    world.seal(played.chunk)

    after = {account: digest for account, digest, _ in world.remembered()}

    assert {account for account in before if before[account] != after[account]} == {constants.FEE_ACCOUNT, 17, 40}
    store = world.store
    assert isinstance(store, MemoryStore)
    reopened, read = opened(store, dump_of(world), tmp_path / "levels")
    assert (reopened.root, read.used) == (world.root, len(before))
