# pragma version 0.4.3
"""
@title Merkle
@license MIT
@notice Nodes, and the append-only tree of withdrawals kept as its frontier. An empty subtree is zero on every level.
"""

from prover.stf import constants
from prover.stf import containers


@internal
@pure
def parent(left: bytes32, right: bytes32) -> bytes32:
    """The node above two nodes; PROTOCOL.md 4.2."""
    if left == containers.NO_HASH and right == containers.NO_HASH:
        return containers.NO_HASH
    return keccak256(abi_encode(left, right))


@internal
@pure
def append(frontier: bytes32[32], count: int256, leaf: bytes32) -> bytes32[32]:
    """The frontier after one more leaf; PROTOCOL.md 4.8."""
    nodes: bytes32[32] = frontier
    node: bytes32 = leaf
    rest: int256 = count
    for level: int256 in range(constants.WITHDRAWAL_LEVELS):
        if rest % 2 == 0:
            nodes[level] = node
            break
        node = self.parent(nodes[level], node)
        rest = rest // 2
    return nodes


@internal
@pure
def frontier_root(frontier: bytes32[32], count: int256) -> bytes32:
    """The root of the withdrawals tree; PROTOCOL.md 4.8."""
    node: bytes32 = containers.NO_HASH
    rest: int256 = count
    for level: int256 in range(constants.WITHDRAWAL_LEVELS):
        if rest % 2 == 1:
            node = self.parent(frontier[level], node)
        else:
            node = self.parent(node, containers.NO_HASH)
        rest = rest // 2
    return node


@internal
@view
def at(offset: uint256) -> uint256:
    """The word of the call data that starts here; PROTOCOL.md 11.1."""
    return convert(slice(msg.data, offset, 32), uint256)


@internal
@view
def roots(count: uint256, leaves: uint256[87], old: bytes32[87], new: bytes32[87], proof: uint256) -> (bytes32, bytes32):
    """
    @notice Old and new root of one depth-first multiproof in one pass; PROTOCOL.md 11.3.
    @dev Reverts when the proof is not the one canonical proof of these leaves: the caller's fault alone.
    @param proof Where the proof starts in the call data.
    """
    offset: uint256 = proof
    depth: uint256 = 0
    # The level that the stack's top waits at; 33 where the stack is empty.
    top: uint256 = 33
    stack_level: uint256[33] = empty(uint256[33])
    stack_old: bytes32[33] = empty(bytes32[33])
    stack_new: bytes32[33] = empty(bytes32[33])
    node_old: bytes32 = containers.NO_HASH
    node_new: bytes32 = containers.NO_HASH
    for i: uint256 in range(count, bound=87):
        index: uint256 = leaves[i]
        head: uint256 = self.at(offset)
        stop: uint256 = (head >> 248) - 1
        mask: uint256 = (head >> 216) & (2**32 - 1)
        offset += 5
        if i + 1 == count:
            assert stop == 32, "height"
        else:
            assert (index ^ leaves[i + 1]) >> stop == 1, "height"
        node_old = old[i]
        node_new = new[i]
        for level: uint256 in range(32):
            if level == stop:
                break
            left_old: bytes32 = node_old
            left_new: bytes32 = node_new
            right_old: bytes32 = node_old
            right_new: bytes32 = node_new
            if level == top:
                depth = unsafe_sub(depth, 1)
                left_old = stack_old[depth]
                left_new = stack_new[depth]
                top = 33
                if depth > 0:
                    top = stack_level[unsafe_sub(depth, 1)]
            else:
                sibling: bytes32 = containers.NO_HASH
                if (mask >> level) & 1 == 1:
                    mask = mask ^ (1 << level)
                    sibling = convert(self.at(offset), bytes32)
                    offset = unsafe_add(offset, 32)
                    # A zero sibling would make keccak(0, 0) of what must stay an empty subtree.
                    assert sibling != empty(bytes32), "sibling"
                if (index >> level) & 1 == 1:
                    left_old = sibling
                    left_new = sibling
                else:
                    right_old = sibling
                    right_new = sibling
            same: bool = left_old == left_new and right_old == right_new
            node_old = self.parent(left_old, right_old)
            node_new = node_old
            if not same:
                node_new = self.parent(left_new, right_new)
        assert mask == 0, "mask"
        stack_level[depth] = stop
        stack_old[depth] = node_old
        stack_new[depth] = node_new
        top = stop
        depth += 1
    assert depth == 1, "stack"
    return node_old, node_new
