"""batch.py: what it encodes the bridge takes, what it decodes is what the bridge wrote, and nothing else decodes."""

import msgspec
import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from l1_bridge.codec.batch import (
    BridgeId,
    Commitment,
    Header,
    WithdrawalTree,
    batch_hash,
    domain_separator,
    merkle_root,
)
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.evm import account
from tests.l1_bridge.harness import (
    SEQUENCER,
    STRANGER,
)

BRIDGE = BridgeId(31_337, account(77))
words = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**256 - 1)
commitments = st.builds(Commitment, numbers, words, words, numbers, numbers, numbers, words, numbers, words)


@given(commitments)
def test_a_commitment_is_nine_words_and_back(commitment: Commitment) -> None:
    assert Commitment.decode(commitment.encode()) == commitment
    assert commitment.root() == keccak(commitment.encode())
    assert len(commitment.encode()) == 288


@pytest.mark.parametrize("size", [0, 256, 287, 289])
def test_a_commitment_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="288 bytes"):
        Commitment.decode(bytes(size))


def test_the_domain_is_the_one_of_eip_712() -> None:
    typed = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Empty": [],
        },
        "primaryType": "Empty",
        "domain": {
            "name": "Catenary",
            "version": "1",
            "chainId": BRIDGE.chain_id,
            "verifyingContract": "0x" + BRIDGE.address.hex(),
        },
        "message": {},
    }
    assert BRIDGE.domain_separator() == encode_typed_data(full_message=typed).header
    assert domain_separator(1, BRIDGE.address) != BRIDGE.domain_separator()
    with pytest.raises(ValueError, match="20 bytes"):
        domain_separator(1, bytes(32))


def test_h5_every_field_is_in_the_batch_hash() -> None:
    header = Header(number=3, parent_hash=keccak(b"parent"), rollback_counter=2, committer=SEQUENCER)
    pairs = [(keccak(b"a"), keccak(b"b")), (keccak(b"c"), keccak(b"d"))]
    hashes = {batch_hash(BRIDGE, header, pairs)}
    for bridge in (BridgeId(1, BRIDGE.address), BridgeId(31_337, account(78))):
        hashes.add(batch_hash(bridge, header, pairs))
    for change in (
        {"number": 4},
        {"parent_hash": ZERO_HASH},
        {"rollback_counter": 3},
        {"committer": STRANGER},
    ):
        hashes.add(batch_hash(BRIDGE, msgspec.structs.replace(header, **change), pairs))
    for other in (pairs[:1], pairs[::-1], [*pairs, pairs[0]], [(pairs[0][0], ZERO_HASH), pairs[1]]):
        hashes.add(batch_hash(BRIDGE, header, other))
    assert len(hashes) == 11


@settings(max_examples=30)
@given(st.lists(words, min_size=1, max_size=40))
def test_every_leaf_has_a_proof(leaves: list[bytes]) -> None:
    tree = WithdrawalTree(leaves)
    for index, leaf in enumerate(leaves):
        proof = tree.proof(index)
        assert len(proof) == 32
        assert merkle_root(leaf, index, proof) == tree.root
    with pytest.raises(IndexError):
        tree.proof(len(leaves))
    with pytest.raises(IndexError):
        tree.proof(-1)


def test_a_tree_without_leaves_is_zero() -> None:
    assert WithdrawalTree([]).root == ZERO_HASH
