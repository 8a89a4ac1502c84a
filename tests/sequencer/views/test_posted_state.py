"""The tree at a posted root, made of what is sequenced and of what the chunks behind L1 have kept."""

import random
from copy import deepcopy
from pathlib import Path

import msgspec
import pytest

from l1_bridge.codec.batch import Commitment
from l1_bridge.hashing import ZERO_HASH
from prover.state import levels
from prover.state.state import genesis_commitment, leaf_hash
from prover.state.store import StoreUnavailable
from prover.state.tree import StateTree
from prover.stf import constants
from sequencer.engine.engine import Engine
from sequencer.engine.records import CHUNK_KEY, SealedChunk, number_key
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.posted_state import PostedState, WayBackGone
from tests.sequencer.node_world import BUY, DOLLAR, DOMAIN, FIRST, PRICES, SELL, World, deposit, genesis, owner

TRADERS = 6


class Forward:
    """The same from the other side: every row that was ever written, from genesis on."""

    def __init__(self, sealed: list[SealedChunk], chunks: int) -> None:
        self.rows = dict(genesis_commitment(genesis())[1])
        for chunk in sealed[:chunks]:
            self.rows.update(chunk.leaves)
        self.tree = StateTree(sorted((leaf, leaf_hash(leaf, payload)) for leaf, payload in self.rows.items()))
        self.root = Commitment.decode(sealed[chunks - 1].commitment).tree_root if chunks else self.tree.root


def lively(world: World, rng: random.Random, chunks: int) -> None:
    """So many chunks: orders that meet, new slots, and now and then a new account."""
    for _ in range(chunks):
        buyer, seller = rng.sample(range(TRADERS), 2)
        slot, world.now = rng.choice([1, 2, 15, 16, 77]), world.now + 1_000
        world.order(seller, SELL, PRICES[0], slot=slot)
        world.order(buyer, BUY, PRICES[0], slot=slot)
        if rng.random() < 0.3:
            world.process(deposit(owner(50 + len(world.sealed)), 100 * DOLLAR))
        world.seal()


def assert_is(posted: PostedState, world: World, chunks: int) -> None:
    forward = Forward(world.sealed, chunks)
    assert (posted.chunks, posted.root) == (chunks, forward.root)
    for leaf in {leaf for chunk in world.sealed for leaf, _ in chunk.leaves}:
        assert posted.path(leaf) == forward.tree.path(leaf)
        held = forward.rows.get(leaf, b"")
        assert posted.payload(leaf) == (held if held and leaf_hash(leaf, held) != ZERO_HASH else b"")


def test_it_is_the_tree_of_every_chunk_that_was() -> None:
    world = World(TRADERS)
    lively(world, random.Random(1), 8)
    assert world.engine.chunk_count == len(world.sealed)
    for chunks in range(len(world.sealed) + 1):
        assert_is(PostedState.at(world.engine, chunks), world, chunks)
    absent = FIRST + 5_000 << constants.SLOT_BITS
    assert PostedState.at(world.engine, 3).payload(absent) == b""


def test_it_goes_on_with_what_is_posted_while_more_is_sealed() -> None:
    world, rng = World(TRADERS), random.Random(2)
    lively(world, rng, 4)
    posted = PostedState.at(world.engine, 2)
    for _ in range(4):
        lively(world, rng, 3)
        assert posted.reaches(posted.chunks)
        posted.advance(posted.chunks)
        assert_is(posted, world, posted.chunks)
        posted.advance(posted.chunks + 2)
        assert_is(posted, world, posted.chunks)
    # Neither back, nor past what it has seen: another is nearer there.
    assert not posted.reaches(posted.chunks - 1)
    assert not posted.reaches(posted.seen + 1)


def test_an_account_that_a_start_was_spared_is_as_it_was(tmp_path: Path) -> None:
    world, rng = World(TRADERS), random.Random(3)
    lively(world, rng, 4)
    levels.write(tmp_path / "levels", levels.dumped(DOMAIN, world.engine.state.remembered()))
    remembered = levels.read(tmp_path / "levels", DOMAIN)
    world.engine = Engine(BufferedStore(world.store), DOMAIN, levels=remembered)
    assert remembered.used > TRADERS
    posted = PostedState.at(world.engine, len(world.sealed) - 1)
    lively(world, rng, 3)
    posted.advance(posted.chunks)
    assert_is(posted, world, posted.chunks)
    posted.advance(posted.chunks + 1)
    assert_is(posted, world, posted.chunks)


def test_no_row_of_another_state_is_shown(tmp_path: Path) -> None:
    world = World(TRADERS)
    lively(world, random.Random(4), 4)
    dump = levels.dumped(DOMAIN, world.engine.state.remembered())
    levels.write(tmp_path / "levels", dump)
    world.engine = Engine(BufferedStore(world.store), DOMAIN, levels=levels.read(tmp_path / "levels", DOMAIN))
    posted = PostedState.at(world.engine, len(world.sealed))
    leaf = FIRST << constants.SLOT_BITS
    other = world.store.get(b"l" + (leaf + 256).to_bytes(4, "big"))
    world.store.write({b"l" + leaf.to_bytes(4, "big"): other}, sync=False)
    with pytest.raises(StoreUnavailable, match="not the state of its root"):
        posted.path(leaf)


def test_a_way_back_that_is_gone_or_damaged_is_said() -> None:
    world = World(TRADERS)
    lively(world, random.Random(5), 6)
    assert world.engine.open_chunk.sealed.prune(3) == 3
    world.engine.store.stage(world.engine.cursor)
    assert PostedState.at(world.engine, 3).chunks == 3
    with pytest.raises(WayBackGone, match="chunk 3 is gone"):
        PostedState.at(world.engine, 2)
    store = deepcopy(world.store)
    kept = world.engine.chunk_record(5)
    assert kept is not None
    leaf, _ = kept.leaves[0]
    place = kept.witness.index(leaf.to_bytes(4, "big"), 14_112) + 4 + 30
    kept.witness = kept.witness[:place] + bytes([kept.witness[place] ^ 1]) + kept.witness[place + 1 :]
    store.write({number_key(CHUNK_KEY, 5): msgspec.msgpack.encode(kept)}, sync=False)
    damaged = Engine(BufferedStore(store), DOMAIN)
    assert PostedState.at(damaged, 5).chunks == 5
    with pytest.raises(StoreUnavailable, match="behind chunk 4 do not lead back"):
        PostedState.at(damaged, 4)
