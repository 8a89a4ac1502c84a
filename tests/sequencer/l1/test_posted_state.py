"""The tree at a posted root, rebuilt from what each chunk wrote."""

from l1_bridge.codec.batch import Commitment
from prover.state.state import genesis_commitment
from prover.stf import constants, encoding
from sequencer.l1.bridge_view import PostedState
from tests.sequencer.node_world import DOLLAR, FIRST, World, deposit, genesis, owner


def test_it_is_the_commitments_tree_after_every_chunk_and_no_other() -> None:
    world = World()
    posted = PostedState(genesis())
    assert posted.tree.root == genesis_commitment(genesis())[0].tree_root
    for index in range(3):
        world.process(deposit(owner(index), 100 * DOLLAR))
        world.seal()
    roots = [Commitment.decode(chunk.commitment).tree_root for chunk in world.sealed]
    assert len(set(roots)) == 3
    for chunk, root in zip(world.sealed, roots, strict=True):
        assert posted.tree.root != root
        posted.advance(chunk.leaves)
        assert posted.tree.root == root
    assert posted.chunks == 3
    leaf = FIRST << constants.SLOT_BITS
    assert encoding.account_from_payload(posted.payloads[leaf]).owner == owner(0)
    assert FIRST + 3 << constants.SLOT_BITS not in posted.payloads
