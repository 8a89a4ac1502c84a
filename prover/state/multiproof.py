"""The depth-first multiproof: one pass over sorted leaves gives the tree's root before and after they change.

Proof bytes: one record per leaf, in the order of the leaves (which travel before it and are no part of it).

    | height 1 | mask 4, big-endian | sibling 32 | ... one per set bit of mask, lowest bit first |

Rule. x is the index of a leaf, y that of the next one; a node is a pair (hash before, hash after).

    0. There is at least one leaf (no leaf touched: the root stays as it was). Indices are u32, strictly ascending.
    1. height = bit_length(x ^ y), that is 1 <= height <= 32 and (x ^ y) >> (height - 1) == 1.
       For the last leaf height = 33.
    2. No bit of mask at or above height - 1 is set.
    3. node = the leaf, at level 0. It climbs height - 1 levels; at each level h = 0 .. height - 2:
         a. The stack's top stopped at level h: bit h of mask is clear; pop the top, node = parent(top, node).
         b. Otherwise sibling = the next 32 bytes, not zero, if bit h of mask is set, and 0 if it is clear;
            node = parent(sibling, node) if bit h of x is set, else parent(node, sibling).
       parent(l, r) = keccak(l ++ r), parent(0, 0) = 0, for "before" and "after" apart; a sibling is the same in both.
    4. A leaf other than the last: push (node, level height - 1); node is a left child there, and its sibling the
       subtree that holds y. The last leaf: node, at level 32, is (root before, root after); no byte is left over.

Invariant: levels fall strictly from the bottom of the stack to its top, so it holds at most 32 nodes and only its top
can match in 3a; bit h of x is set there; it is empty after the last climb. All this follows from 0 and 1.

An empty leaf has hash 0, decided by its hash and never by a field. A sibling with its bit set may not be zero: the root
before would not differ, but once the leaf beside it is emptied the root after would be keccak(0, 0) in place of 0.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from l1_bridge.hashing import ZERO_HASH, keccak
from prover.state.tree import DEPTH, StateTree

LAST_HEIGHT: Final = DEPTH + 1
_HEADER_BYTES: Final = 5
_HASH_BYTES: Final = 32

_Node = tuple[bytes, bytes]


class WitnessFault(StrEnum):
    """Why a multiproof is refused."""

    NO_LEAVES = "A multiproof needs at least one leaf."
    INDEX_RANGE = "A leaf index does not fit into 32 bits."
    UNSORTED = "Leaf indices are not strictly ascending."
    TRUNCATED = "The proof ends before its last record does."
    WRONG_HEIGHT = "A height is not the level at which two leaves' paths meet."
    MASK_ABOVE_STOP = "A mask announces a sibling at or above the level where the climb stops."
    MASK_ON_STACK = "A mask announces a sibling where the sibling is a leaf's subtree of this very proof."
    ZERO_SIBLING = "A sibling that the mask announces is zero."
    TRAILING_BYTES = "Bytes follow the last record."


class WitnessError(Exception):
    """A witness that does not authenticate anything; `fault` says why."""

    def __init__(self, fault: WitnessFault) -> None:
        super().__init__(fault.value)
        self.fault: Final = fault


def prove(tree: StateTree, leaf_indices: Sequence[int]) -> bytes:
    """Proof bytes for strictly ascending indices, empty leaves included, from the tree BEFORE its leaves change.

    WitnessError for indices that no proof can be about (none, out of range, not ascending).
    """
    _check_indices(leaf_indices)
    proof = bytearray()
    stack: list[int] = []
    for height, index in zip(_heights(leaf_indices), leaf_indices, strict=True):
        mask = 0
        siblings: list[bytes] = []
        for level, sibling in enumerate(tree.siblings(index, height - 1)):
            if stack and stack[-1] == level:
                stack.pop()
            elif sibling != ZERO_HASH:
                mask |= 1 << level
                siblings.append(sibling)
        stack.append(height - 1)
        proof += height.to_bytes(1, "big") + mask.to_bytes(4, "big") + b"".join(siblings)
    return bytes(proof)


def verify(leaves: Sequence[tuple[int, bytes, bytes]], proof: bytes) -> tuple[bytes, bytes]:
    """Both roots, before and after, from (leaf index, hash before, hash after); WitnessError if the rule is broken."""
    indices = [index for index, _, _ in leaves]
    _check_indices(indices)
    stack: list[tuple[int, _Node]] = []
    offset = 0
    node: _Node = (ZERO_HASH, ZERO_HASH)
    for expected_height, (index, before, after) in zip(_heights(indices), leaves, strict=True):
        assert len(before) == len(after) == _HASH_BYTES, index
        if offset + _HEADER_BYTES > len(proof):
            raise WitnessError(WitnessFault.TRUNCATED)
        height = proof[offset]
        mask = int.from_bytes(proof[offset + 1 : offset + _HEADER_BYTES], "big")
        offset += _HEADER_BYTES
        if height != expected_height:
            raise WitnessError(WitnessFault.WRONG_HEIGHT)
        if mask >> (height - 1) != 0:
            raise WitnessError(WitnessFault.MASK_ABOVE_STOP)
        node = (before, after)
        for level in range(height - 1):
            announced = mask >> level & 1 == 1
            if stack and stack[-1][0] == level:
                if announced:
                    raise WitnessError(WitnessFault.MASK_ON_STACK)
                node = _parent(stack.pop()[1], node)
                continue
            sibling = ZERO_HASH
            if announced:
                sibling = _read_sibling(proof, offset)
                offset += _HASH_BYTES
            pair = (sibling, sibling)
            node = _parent(pair, node) if index >> level & 1 else _parent(node, pair)
        stack.append((height - 1, node))
    if offset != len(proof):
        raise WitnessError(WitnessFault.TRAILING_BYTES)
    assert len(stack) == 1, "the last climb takes every other node from the stack"
    return node


def _check_indices(indices: Sequence[int]) -> None:
    if not indices:
        raise WitnessError(WitnessFault.NO_LEAVES)
    previous = -1
    for index in indices:
        if not 0 <= index < 1 << DEPTH:
            raise WitnessError(WitnessFault.INDEX_RANGE)
        if index <= previous:
            raise WitnessError(WitnessFault.UNSORTED)
        previous = index


def _heights(indices: Sequence[int]) -> list[int]:
    heights = [(indices[i] ^ indices[i + 1]).bit_length() for i in range(len(indices) - 1)]
    return [*heights, LAST_HEIGHT]


def _read_sibling(proof: bytes, offset: int) -> bytes:
    if offset + _HASH_BYTES > len(proof):
        raise WitnessError(WitnessFault.TRUNCATED)
    sibling = proof[offset : offset + _HASH_BYTES]
    if sibling == ZERO_HASH:
        raise WitnessError(WitnessFault.ZERO_SIBLING)
    return sibling


def _parent(left: _Node, right: _Node) -> _Node:
    return _hash_pair(left[0], right[0]), _hash_pair(left[1], right[1])


def _hash_pair(left: bytes, right: bytes) -> bytes:
    if left == ZERO_HASH and right == ZERO_HASH:
        return ZERO_HASH
    return keccak(left + right)
