"""The price of one proof: under the repricing that L1 has scheduled, and at gas prices at which waiting looks cheaper.

EIP-7976 asks at least 64 gas a byte of calldata, EIP-8037 97,920 for a new slot, EIP-8038 10,000 for a write. A proof
must still fit into a transaction (EIP-7825), and its reward must pay for it, or a challenger had better wait.
"""

import pytest

from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.contracts.referee import GAS_LIMIT
from tests.l1_bridge.evm import Evm, compile_stub
from tests.l1_bridge.harness import STRANGER, Harness
from tests.soak.worst_case import CALLDATA_LIMIT
from tests.soak.worst_case import GAS_LIMIT as PROMISED_GAS

GWEI = 10**9
NEW_SLOT, NEW_SLOT_THEN = 20_000, 97_920
WRITE, WRITE_THEN = 2_800, 10_000
FLOOR_A_BYTE_THEN = 64
PROMISED_GAS_THEN = 13_500_000


def written(first: bool) -> tuple[int, int]:
    """New slots and other writes of a proof: the bridge's first, or a second one against the same bond."""
    venue = Harness(Evm(), compile_stub("StubReferee"))
    venue.take_seat()
    theft = venue.commit_lie()
    if not first:
        venue.prove(venue.commit_lie(), sender=STRANGER)
    before = venue.evm._storage(venue.bridge.address)
    venue.evm.now += 1
    venue.prove(theft)
    after = venue.evm._storage(venue.bridge.address)
    changed = {slot for slot in before | after if before.get(slot, 0) != after.get(slot, 0)}
    return len(changed - set(before)), len(changed & set(before))


def repriced(gas: int, calldata_bytes: int, new_slots: int, writes: int) -> int:
    """Gas of a transaction under the schedule, from what it is today."""
    more = new_slots * (NEW_SLOT_THEN - NEW_SLOT) + writes * (WRITE_THEN - WRITE)
    return max(gas + more, 21_000 + FLOOR_A_BYTE_THEN * calldata_bytes)


@pytest.mark.parametrize("first", [True, False])
def test_the_scheduled_repricing_leaves_every_lie_provable(first: bool) -> None:
    new_slots, writes = written(first)
    assert new_slots <= 6
    assert writes <= 8
    # The dearest chunk there may be; tests/twins/test_worst_case.py holds today's limits.
    worst = repriced(PROMISED_GAS, CALLDATA_LIMIT, new_slots, writes)
    assert worst <= PROMISED_GAS_THEN < GAS_LIMIT


def test_the_floor_alone_does_not_decide() -> None:
    assert repriced(0, CALLDATA_LIMIT, 0, 0) == 6_421_000 < PROMISED_GAS


@pytest.mark.parametrize("gwei", [1, 30, 200, 500])
def test_the_reward_pays_for_the_dearest_proof(gwei: int) -> None:
    # The other half is burned: whoever proves his own lie loses it.
    reward_wei = DEVNET_PARAMETERS.bond_wei // 2
    assert PROMISED_GAS_THEN * gwei * GWEI <= reward_wei


def test_a_bond_of_an_ether_would_make_waiting_rational() -> None:
    assert PROMISED_GAS * 200 * GWEI > 10**18 // 2
