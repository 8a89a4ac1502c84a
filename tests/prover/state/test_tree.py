"""The tree against a recomputation that knows nothing of pages, rows and heaps."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l1_bridge.hashing import ZERO_HASH, keccak
from prover.state.tree import DEPTH, StateTree, TreeError

LAST_INDEX = 2**32 - 1
LEAF = keccak(b"leaf")
OTHER = keccak(b"other")

# Neighbours, the seams of rows, accounts and pages, and both ends.
SEAMS = [0, 1, 15, 16, 17, 31, 32, 127, 128, 255, 256, 2**20 - 1, 2**20, 2**20 + 16, 2**31 - 1, 2**31, LAST_INDEX]
LEAF_INDICES = st.one_of(st.sampled_from(SEAMS), st.integers(0, 1023), st.integers(0, LAST_INDEX))
LEAF_HASHES = st.one_of(st.just(ZERO_HASH), st.binary(min_size=32, max_size=32))


def naive_nodes(leaves: Mapping[int, bytes]) -> list[dict[int, bytes]]:
    """All non-empty nodes, per level, from the leaves up."""
    levels = [{index: leaf for index, leaf in leaves.items() if leaf != ZERO_HASH}]
    for _ in range(DEPTH):
        below = levels[-1]
        parents = {index >> 1 for index in below}
        levels.append(
            {i: keccak(below.get(2 * i, ZERO_HASH) + below.get(2 * i + 1, ZERO_HASH)) for i in parents},
        )
    return levels


def naive_root(leaves: Mapping[int, bytes]) -> bytes:
    return naive_nodes(leaves)[DEPTH].get(0, ZERO_HASH)


def assert_equals_naive(tree: StateTree, leaves: Mapping[int, bytes]) -> None:
    """The root, and every node on and beside every path."""
    levels = naive_nodes(leaves)
    assert tree.root == levels[DEPTH].get(0, ZERO_HASH)
    for index in leaves:
        assert tree.leaf(index) == leaves[index]
        assert [tree.node(h, index >> h) for h in range(DEPTH + 1)] == [
            levels[h].get(index >> h, ZERO_HASH) for h in range(DEPTH + 1)
        ]
        assert tree.path(index) == [levels[h].get(index >> h ^ 1, ZERO_HASH) for h in range(DEPTH)]


@given(st.lists(st.dictionaries(LEAF_INDICES, LEAF_HASHES, max_size=12), max_size=4))
@settings(max_examples=60)
def test_updates_equal_recomputation(chunks: list[dict[int, bytes]]) -> None:
    tree = StateTree()
    leaves: dict[int, bytes] = {}
    for chunk in chunks:
        leaves.update(chunk)
        assert tree.update(chunk) == tree.root
        assert_equals_naive(tree, leaves)


def test_long_random_life_of_few_accounts() -> None:
    rng = random.Random(2)
    tree = StateTree()
    leaves: dict[int, bytes] = {}
    for _ in range(60):
        chunk = {
            rng.choice((0, 1, 4095, 4096, 70_000)) << 8 | rng.randrange(256): rng.choice((ZERO_HASH, rng.randbytes(32)))
            for _ in range(rng.randrange(1, 40))
        }
        leaves.update(chunk)
        assert tree.update(chunk) == naive_root(leaves)
    assert_equals_naive(tree, leaves)


def test_every_single_leaf_position_within_an_account() -> None:
    for slot in range(256):
        leaves = {7 << 8 | slot: LEAF}
        tree = StateTree(leaves.items())
        assert_equals_naive(tree, leaves)
        assert tree.update({7 << 8 | slot: ZERO_HASH}) == ZERO_HASH


def test_all_slots_of_an_account_at_once_and_one_by_one() -> None:
    leaves = {9 << 8 | slot: keccak(bytes([slot])) for slot in range(256)}
    at_once = StateTree(leaves.items())
    one_by_one = StateTree()
    for index, leaf in leaves.items():
        one_by_one.update({index: leaf})
    assert_equals_naive(at_once, leaves)
    assert_equals_naive(one_by_one, leaves)


def test_order_of_leaves_and_division_into_updates_do_not_matter() -> None:
    rng = random.Random(3)
    leaves = [(rng.randrange(2**32), rng.randbytes(32)) for _ in range(200)]
    shuffled = rng.sample(leaves, len(leaves))
    in_two = StateTree(shuffled[:90])
    in_two.update(dict(shuffled[90:]))
    assert StateTree(leaves).root == StateTree(shuffled).root == in_two.root == naive_root(dict(leaves))


def test_empty_tree_is_zero_on_every_level() -> None:
    tree = StateTree()
    assert tree.root == ZERO_HASH
    assert tree.update({}) == ZERO_HASH
    assert tree.path(LAST_INDEX) == [ZERO_HASH] * DEPTH


def test_emptied_tree_forgets_its_past() -> None:
    tree = StateTree(dict.fromkeys(SEAMS, LEAF).items())
    assert tree.update(dict.fromkeys(SEAMS, ZERO_HASH)) == ZERO_HASH
    for index in SEAMS:
        assert tree.path(index) == [ZERO_HASH] * DEPTH


def test_empty_pair_in_the_middle_of_a_row_is_zero_and_not_hashed() -> None:
    tree = StateTree({0: LEAF, 4: OTHER}.items())
    assert tree.node(1, 1) == ZERO_HASH
    assert tree.node(2, 0) == keccak(keccak(LEAF + ZERO_HASH) + ZERO_HASH)
    assert tree.node(3, 0) == keccak(tree.node(2, 0) + tree.node(2, 1))


def test_same_leaves_elsewhere_are_another_root() -> None:
    roots = {StateTree({index: LEAF}.items()).root for index in SEAMS}
    assert len(roots) == len(SEAMS)


def test_last_hash_given_for_a_leaf_holds() -> None:
    assert StateTree([(5, LEAF), (5, OTHER)]).root == StateTree([(5, OTHER)]).root


@pytest.mark.parametrize(
    "leaves",
    [{-1: LEAF}, {2**32: LEAF}, {0: LEAF[:31]}, {0: LEAF + b"\0"}, {3: LEAF, 2**32: LEAF}, {3: LEAF, 4: b""}],
)
def test_refused_update_leaves_the_tree_untouched(leaves: dict[int, bytes]) -> None:
    tree = StateTree({3: OTHER}.items())
    root = tree.root
    with pytest.raises(AssertionError):
        tree.update(leaves)
    assert tree.root == root
    assert_equals_naive(tree, {3: OTHER})


@pytest.mark.parametrize(("level", "node_index"), [(-1, 0), (33, 0), (32, 1), (0, 2**32), (8, 2**24), (5, -1)])
def test_node_outside_the_tree_is_a_bug_of_the_caller(level: int, node_index: int) -> None:
    with pytest.raises(AssertionError):
        StateTree().node(level, node_index)


def test_a_copy_goes_its_own_way() -> None:
    leaves = {3: LEAF, 17 << 8 | 200: OTHER, 4097 << 8: LEAF, LAST_INDEX: OTHER}
    tree = StateTree(leaves.items(), bare={9: LEAF})
    copy = tree.copied(lambda account: [])
    root = tree.root
    assert copy.root == root
    for changed in ({3: OTHER}, {17 << 8 | 200: ZERO_HASH, 17 << 8 | 201: LEAF}, {4096 << 8 | 5: OTHER}):
        copy.update(changed)
        leaves.update(changed)
        assert tree.root == root
        assert StateTree(leaves.items(), bare={9: LEAF}).root == copy.root != root
    tree.update({3: ZERO_HASH})
    assert copy.leaf(3) == OTHER


def test_a_copy_asks_its_own_source_for_the_leaves_of_a_bare_account() -> None:
    held = {9 << 8: LEAF, 9 << 8 | 20: OTHER}
    node = StateTree(held.items()).node(8, 9)
    tree = StateTree(bare={9: node}, leaves_of=lambda account: held.items())
    copy, other = tree.copied(lambda account: held.items()), tree.copied(lambda account: [])
    tree.update({9 << 8: ZERO_HASH})
    assert [copy.leaf(leaf) for leaf in held] == [LEAF, OTHER]
    with pytest.raises(TreeError, match="account 9"):
        other.leaf(9 << 8)
