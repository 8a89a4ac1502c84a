"""Nodes, and the append-only tree of withdrawals kept as its frontier. An empty subtree is zero on every level."""

from prover.stf import constants, containers
from prover.stf.words import abi_encode, bytes32, int256, keccak256


def parent(left: bytes32, right: bytes32) -> bytes32:
    """The node above two nodes; PROTOCOL.md 4.2."""
    if left == containers.NO_HASH and right == containers.NO_HASH:
        return containers.NO_HASH
    return keccak256(abi_encode(left, right))


def append(frontier: list[bytes32], count: int256, leaf: bytes32) -> list[bytes32]:
    """The frontier after one more leaf; PROTOCOL.md 4.8."""
    nodes: list[bytes32] = frontier.copy()
    node: bytes32 = leaf
    rest: int256 = count
    for level in range(constants.WITHDRAWAL_LEVELS):
        if rest % 2 == 0:
            nodes[level] = node
            break
        node = parent(nodes[level], node)
        rest = rest // 2
    return nodes


def frontier_root(frontier: list[bytes32], count: int256) -> bytes32:
    """The root of the withdrawals tree; PROTOCOL.md 4.8."""
    node: bytes32 = containers.NO_HASH
    rest: int256 = count
    for level in range(constants.WITHDRAWAL_LEVELS):
        if rest % 2 == 1:  # noqa: SIM108  (Vyper's text)
            node = parent(frontier[level], node)
        else:
            node = parent(node, containers.NO_HASH)
        rest = rest // 2
    return node
