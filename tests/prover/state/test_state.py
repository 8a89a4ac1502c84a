"""What the state remembers of its rows is what encoding them anew would give."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.signing.recover import recover_fast
from prover.state import state, witness
from prover.state.state import State
from prover.stf import constants, containers, encoding
from tests.twins import venue

SIZES = st.integers(-constants.SIZE_BOUND + 1, constants.SIZE_BOUND - 1)
COSTS = st.integers(-constants.COST_BOUND + 1, constants.COST_BOUND - 1)
FUNDINGS = st.integers(-constants.FUNDING_BOUND + 1, constants.FUNDING_BOUND - 1)
POSITIONS = st.builds(encoding.pack, SIZES, COSTS, FUNDINGS)
COLLATERAL = st.integers(-constants.COLLATERAL_BOUND, constants.COLLATERAL_BOUND)
FIELDS = st.fixed_dictionaries(
    {
        "owner": st.sampled_from([bytes(20), b"\xee" * 20]),
        "floor": st.integers(0, 2**48),
        "settled": COLLATERAL,
        "older": COLLATERAL,
        "fresh": COLLATERAL,
        "epoch": st.integers(0, 2**32 - 1),
        "initial_ppm": st.integers(0, constants.PPM),
        "agents": st.lists(st.integers(0, 2**224 - 1), min_size=2, max_size=2),
    }
)
CHANGES = st.dictionaries(
    st.integers(0, constants.MARKETS - 1), st.one_of(st.just(containers.EMPTY), POSITIONS), max_size=4
)


def fresh() -> State:
    return venue.genesis_state()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), CHANGES, FIELDS), max_size=8))
def test_an_account_encoded_from_its_last_image_is_encoded_as_by_the_law(
    changes: list[tuple[int, dict[int, containers.Position], dict[str, Any]]],
) -> None:
    opened = fresh()
    accounts = [encoding.no_account() for _ in range(3)]
    for index, changed, fields in changes:
        positions = accounts[index].positions.copy()
        for market, position in changed.items():
            positions[market] = position
        accounts[index] = containers.Account(positions=positions, **fields)
        digest, payload = opened._encoded(index, accounts[index])
        assert digest == encoding.account_hash(accounts[index])
        assert payload == encoding.account_payload(accounts[index])
        assert encoding.account_payload(encoding.account_from_payload(payload)) == payload
        assert state.leaf_hash(index << constants.SLOT_BITS, payload) == digest


@given(st.integers(0, 2**56 - 1), st.integers(0, 2**64 - 1))
def test_a_slot_is_hashed_from_its_payload_as_by_the_law(sequence: int, filled: int) -> None:
    slot = containers.Slot(sequence=sequence, filled=filled)
    assert state.leaf_hash(257, encoding.slot_payload(slot)) == encoding.slot_hash(slot)
    assert state.leaf_hash(257, encoding.slot_payload(encoding.no_slot())) == containers.NO_HASH


def test_a_payload_of_a_wrong_length_has_no_hash() -> None:
    held = encoding.account_payload(venue.account(positions={3: venue.position(5, -7)}))
    for leaf, payload in ((256, held[:-1]), (256, held + bytes(32)), (256, b""), (257, bytes(14)), (257, bytes(16))):
        with pytest.raises(ValueError, match="wrong length"):
            state.leaf_hash(leaf, payload)


def test_an_opened_state_gives_the_payload_of_every_account() -> None:
    opened = venue.build_state(
        accounts={17: venue.account(), 40: venue.account()}, slots={(17 << 8) + 3: containers.Slot(1, 1)}
    )
    taken: dict[int, bytes] = {}
    State(opened.store, opened.domain, taken)
    assert taken == {index: encoding.account_payload(opened.account(index)) for index in (0, 17, 40)}


def test_an_account_that_is_empty_again_has_no_hash() -> None:
    opened = fresh()
    opened._encoded(17, venue.account(positions={3: venue.position(5, -7)}))
    assert opened._encoded(17, encoding.no_account())[0] == containers.NO_HASH


def test_a_witness_of_remembered_rows_is_the_one_of_rows_encoded_anew() -> None:
    opened = fresh()
    for amount in (10**9, 5, 10**12):
        chunk = opened.chunk(recover_fast)
        chunk.open(venue.NOW)
        for account in (constants.NEW_ACCOUNT, constants.RESERVED_ACCOUNTS):
            chunk.apply(venue.deposit(venue.OWNERS[1], amount, account))
        proof = opened.witness(chunk)
        assert proof == witness.build(opened.tree, chunk)
        assert witness.rows(proof) == {
            index << constants.SLOT_BITS: encoding.account_payload(row) for index, row in chunk.loaded_accounts.items()
        }
        opened.seal(chunk)
        assert opened.sealed_leaves == [
            (index << constants.SLOT_BITS, encoding.account_payload(row))
            for index, row in chunk.accounts.items()
            if row is not chunk.loaded_accounts[index]
        ]
        assert all(
            opened.store.get(b"l" + leaf.to_bytes(4, "big")) == payload for leaf, payload in opened.sealed_leaves
        )


def test_old_images_go_when_they_pile_up() -> None:
    cache = dict.fromkeys(range(10), b"")
    state._bound(cache, 11)
    assert len(cache) == 10
    state._bound(cache, 10)
    assert sorted(cache) == list(range(5, 10))
