"""One pass over a multiproof gives the roots that a recomputation gives, and nothing else passes."""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l1_bridge.hashing import ZERO_HASH, keccak
from prover.state.multiproof import WitnessError, WitnessFault, prove, verify
from prover.state.tree import StateTree

LAST_INDEX = 2**32 - 1
LEAF = keccak(b"leaf")
OTHER = keccak(b"other")
HEADER = 5

SEAMS = [0, 1, 2, 15, 16, 255, 256, 2**20 - 1, 2**20, 2**31 - 1, 2**31, LAST_INDEX - 1, LAST_INDEX]
LEAF_INDICES = st.one_of(st.sampled_from(SEAMS), st.integers(0, 1023), st.integers(0, LAST_INDEX))
LEAF_HASHES = st.one_of(st.just(ZERO_HASH), st.binary(min_size=32, max_size=32))


def changes(tree: StateTree, after: Mapping[int, bytes]) -> list[tuple[int, bytes, bytes]]:
    return [(index, tree.leaf(index), after[index]) for index in sorted(after)]


def assert_roots(tree: StateTree, after: Mapping[int, bytes]) -> None:
    """The proof gives the root the tree has and the root it gets."""
    leaves = changes(tree, after)
    proof = prove(tree, sorted(after))
    root_before = tree.root
    assert verify(leaves, proof) == (root_before, tree.update(after))


def sparse_tree(seed: int) -> StateTree:
    rng = random.Random(seed)
    accounts = [rng.randrange(2**24) for _ in range(20)] + list(range(20))
    return StateTree((rng.choice(accounts) << 8 | rng.choice((0, 0, 1, 2, 40)), rng.randbytes(32)) for _ in range(80))


def refusal(leaves: Sequence[tuple[int, bytes, bytes]], proof: bytes) -> WitnessFault:
    with pytest.raises(WitnessError) as refused:
        verify(leaves, proof)
    return refused.value.fault


def record(height: int, mask: int, *siblings: bytes) -> bytes:
    return height.to_bytes(1, "big") + mask.to_bytes(4, "big") + b"".join(siblings)


@given(
    st.dictionaries(LEAF_INDICES, LEAF_HASHES, max_size=12),
    st.dictionaries(LEAF_INDICES, LEAF_HASHES, min_size=1, max_size=12),
    st.lists(st.integers(0, 11), max_size=6),
)
@settings(max_examples=80)
def test_roots_equal_those_of_the_tree(
    held: dict[int, bytes], touched: dict[int, bytes], overwritten: list[int]
) -> None:
    for position in overwritten:
        if position < len(held):
            touched[sorted(held)[position]] = ZERO_HASH if position % 2 else OTHER
    assert_roots(StateTree(held.items()), touched)


def test_roots_over_a_long_life() -> None:
    rng = random.Random(4)
    tree = StateTree()
    held: list[int] = []
    for _ in range(40):
        fresh = [rng.randrange(300) << 8 | rng.randrange(4) for _ in range(8)]
        touched = fresh + rng.sample(held, min(8, len(held)))
        held += fresh
        assert_roots(tree, {index: rng.choice((ZERO_HASH, rng.randbytes(32))) for index in touched})


@pytest.mark.parametrize("index", SEAMS)
def test_single_leaf_in_and_out_of_an_empty_tree(index: int) -> None:
    tree = StateTree()
    assert prove(tree, [index]) == record(33, 0)
    assert_roots(tree, {index: LEAF})
    assert tree.root != ZERO_HASH
    assert_roots(tree, {index: OTHER})
    assert_roots(tree, {index: ZERO_HASH})
    assert tree.root == ZERO_HASH


def test_both_ends_meet_below_the_root() -> None:
    tree = StateTree()
    assert prove(tree, [0, LAST_INDEX]) == record(32, 0) + record(33, 0)
    assert_roots(tree, {0: LEAF, LAST_INDEX: OTHER})
    assert_roots(tree, {0: ZERO_HASH, LAST_INDEX: LEAF})


def test_neighbours_need_no_sibling() -> None:
    tree = StateTree({6: LEAF, 7: OTHER}.items())
    assert prove(tree, [6, 7]) == record(1, 0) + record(33, 0)
    assert verify([(6, LEAF, LEAF), (7, OTHER, ZERO_HASH)], prove(tree, [6, 7])) == (
        tree.root,
        tree.update({7: ZERO_HASH}),
    )


def test_layout_of_siblings() -> None:
    tree = StateTree({0: LEAF, 1: OTHER, 2: LEAF, 256: OTHER}.items())
    proof = prove(tree, [0, 2])
    assert proof == record(2, 0b1, OTHER) + record(33, 1 << 8, tree.node(8, 1))
    assert verify([(0, LEAF, LEAF), (2, LEAF, LEAF)], proof) == (tree.root, tree.root)


def test_all_slots_of_an_account() -> None:
    tree = sparse_tree(5)
    assert_roots(tree, {3 << 8 | slot: keccak(bytes([slot])) for slot in range(256)})
    assert_roots(tree, {3 << 8 | slot: keccak(bytes([slot, 1])) for slot in range(0, 256, 3)})
    assert_roots(tree, dict.fromkeys((3 << 8 | slot for slot in range(256)), ZERO_HASH))


def test_changing_any_byte_is_another_root_before_or_refused() -> None:
    tree = sparse_tree(6)
    rng = random.Random(6)
    touched = [5 << 8, 5 << 8 | 1, 9 << 8, 77 << 8, LAST_INDEX]
    leaves = [(index, tree.leaf(index), rng.randbytes(32)) for index in touched]
    proof = prove(tree, touched)
    assert verify(leaves, proof)[0] == tree.root
    for position in range(len(proof)):
        for flipped in {1, 0x80, rng.randrange(1, 256)}:
            tampered = bytearray(proof)
            tampered[position] ^= flipped
            try:
                root_before, _ = verify(leaves, bytes(tampered))
            except WitnessError:
                continue
            assert root_before != tree.root, position


def test_changing_any_leaf_before_is_another_root_before() -> None:
    tree = sparse_tree(7)
    touched = [1 << 8, 2 << 8, 2 << 8 | 1, 300 << 8]
    leaves = changes(tree, dict.fromkeys(touched, LEAF))
    proof = prove(tree, touched)
    for position, (index, before, after) in enumerate(leaves):
        for forged_before in (keccak(before), LEAF, ZERO_HASH):
            forged = [*leaves[:position], (index, forged_before, after), *leaves[position + 1 :]]
            assert (verify(forged, proof)[0] == tree.root) == (forged_before == before)


def test_same_leaf_at_another_index_is_another_root_before() -> None:
    tree = StateTree({4: LEAF, 9 << 8: OTHER}.items())
    proof = prove(tree, [4])
    for index in (0, 5, 6, 260, LAST_INDEX):
        assert verify([(index, LEAF, LEAF)], proof)[0] != tree.root


def test_proof_of_another_tree_is_another_root_before() -> None:
    tree = sparse_tree(8)
    index = 2 << 8
    proof = prove(tree, [index])
    leaf = tree.leaf(index)
    tree.update({3 << 8: OTHER})
    assert verify([(index, leaf, leaf)], proof)[0] != tree.root


def test_inner_node_does_not_pass_for_a_leaf() -> None:
    # Every climb has 32 steps, so a node one level up can only stand where no leaf's path leads.
    tree = StateTree({0: LEAF, 1: OTHER}.items())
    node = tree.node(1, 0)
    proof = prove(tree, [0])
    assert refusal([(0, node, node)], record(32, 0)) == WitnessFault.WRONG_HEIGHT
    assert verify([(0, node, node)], proof)[0] != tree.root
    assert verify([(0, node, node)], record(33, 0))[0] != tree.root


@pytest.mark.parametrize(
    ("indices", "fault"),
    [
        ([], WitnessFault.NO_LEAVES),
        ([2, 1], WitnessFault.UNSORTED),
        ([1, 1], WitnessFault.UNSORTED),
        ([0, 5, 5, 9], WitnessFault.UNSORTED),
        ([-1], WitnessFault.INDEX_RANGE),
        ([0, 2**32], WitnessFault.INDEX_RANGE),
    ],
)
def test_indices_that_no_proof_is_about(indices: list[int], fault: WitnessFault) -> None:
    proof = record(1, 0) * len(indices)
    assert refusal([(index, LEAF, LEAF) for index in indices], proof) == fault
    with pytest.raises(WitnessError) as refused:
        prove(StateTree(), indices)
    assert refused.value.fault == fault


def test_zero_sibling_is_refused_where_its_bit_is_set() -> None:
    # Hashed in earnest it gives the same root before, and keccak(0, 0) for an emptied leaf in the root after.
    tree = StateTree({0: LEAF}.items())
    leaves = [(0, LEAF, ZERO_HASH)]
    assert verify(leaves, record(33, 0)) == (tree.root, ZERO_HASH)
    for level in range(32):
        assert refusal(leaves, record(33, 1 << level, ZERO_HASH)) == WitnessFault.ZERO_SIBLING


@pytest.mark.parametrize("height", [0, 1, 2, 4, 31, 32, 33, 34, 64, 255])
def test_wrong_height_is_refused(height: int) -> None:
    leaves = [(0, LEAF, LEAF), (4, LEAF, LEAF)]
    assert verify(leaves, record(3, 0) + record(33, 0))[0] == StateTree({0: LEAF, 4: LEAF}.items()).root
    assert refusal(leaves, record(height, 0) + record(33, 0)) == WitnessFault.WRONG_HEIGHT
    if height != 33:
        assert refusal(leaves, record(3, 0) + record(height, 0)) == WitnessFault.WRONG_HEIGHT
        assert refusal([(0, LEAF, LEAF)], record(height, 0)) == WitnessFault.WRONG_HEIGHT


@pytest.mark.parametrize("level", [2, 3, 8, 31])
def test_mask_at_or_above_the_stop_is_refused(level: int) -> None:
    leaves = [(0, LEAF, LEAF), (4, LEAF, LEAF)]
    assert verify(leaves, record(3, 0b10, OTHER) + record(33, 0))
    assert refusal(leaves, record(3, 1 << level, OTHER) + record(33, 0)) == WitnessFault.MASK_ABOVE_STOP


def test_mask_where_the_stack_is_taken_is_refused() -> None:
    leaves = [(0, LEAF, LEAF), (1, LEAF, LEAF), (4, LEAF, LEAF)]
    start = record(1, 0) + record(3, 0)
    assert verify(leaves, start + record(33, 1 << 3, OTHER))
    assert refusal(leaves, start + record(33, 1 << 2, OTHER)) == WitnessFault.MASK_ON_STACK
    assert refusal(leaves, record(1, 0) + record(3, 1, OTHER) + record(33, 0)) == WitnessFault.MASK_ON_STACK


def test_every_cut_is_truncated_and_every_addition_trails() -> None:
    tree = sparse_tree(9)
    touched = [1 << 8, 2 << 8, 500 << 8]
    leaves = changes(tree, dict.fromkeys(touched, LEAF))
    proof = prove(tree, touched)
    for length in range(len(proof)):
        assert refusal(leaves, proof[:length]) == WitnessFault.TRUNCATED
    for tail in (b"\0", bytes(32), proof):
        assert refusal(leaves, proof + tail) == WitnessFault.TRAILING_BYTES


def test_proof_for_more_or_fewer_leaves_is_refused() -> None:
    tree = sparse_tree(10)
    touched = [1 << 8, 2 << 8, 500 << 8]
    leaves = changes(tree, dict.fromkeys(touched, LEAF))
    proof = prove(tree, touched)
    assert refusal(leaves[:2], proof) == WitnessFault.WRONG_HEIGHT
    assert refusal([*leaves, (LAST_INDEX, LEAF, LEAF)], proof) == WitnessFault.WRONG_HEIGHT


@given(st.binary(max_size=200), st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True))
@settings(max_examples=150)
def test_arbitrary_bytes_never_crash_the_verifier(proof: bytes, indices: list[int]) -> None:
    leaves = [(index, LEAF, OTHER) for index in sorted(indices)]
    with suppress(WitnessError):
        verify(leaves, proof)
