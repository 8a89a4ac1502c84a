"""The constructor fixes everything for ever, and refuses what would be unsafe."""

from typing import Any

import msgspec
import pytest

from l1_bridge.codec.batch import domain_separator, genesis_hash
from l1_bridge.codec.calls import BatchRecord, Parameters, decode_record, encode_creation
from l1_bridge.codec.events import Genesis, decode_log
from l1_bridge.contracts.artifact import Artifact, load_artifact
from l1_bridge.hashing import ZERO_HASH, keccak
from tests.l1_bridge.evm import Evm, Reverted
from tests.l1_bridge.harness import (
    GENESIS_BYTES,
    PARAMETERS,
    SEQUENCER,
    STRANGER,
    Harness,
    genesis_commitment,
)

DAY = 86_400
MAINNET = 1
LONG = msgspec.structs.replace(
    PARAMETERS, window_seconds=7 * DAY, freeze_grace_seconds=7 * DAY, governance_delay_seconds=30 * DAY
)


def deploy(evm: Evm, referee: Artifact, parameters: Parameters = PARAMETERS, **genesis: Any) -> None:
    """Deploys a bridge between two contracts that exist."""
    other = evm.deploy(referee)
    commitment = msgspec.structs.replace(genesis_commitment(evm.now), **genesis)
    evm.deploy(
        load_artifact("RollupBridge"),
        other.address,
        other.address,
        parameters.words(),
        commitment.words(),
        GENESIS_BYTES,
    )


def test_genesis_is_batch_0_and_final_at_once(venue: Harness) -> None:
    genesis = venue.commitments[0]
    expected_hash = genesis_hash(venue.id, GENESIS_BYTES, genesis.root())
    assert venue.head == BatchRecord(
        number=0,
        batch_hash=expected_hash,
        last_root=genesis.root(),
        bond_id=0,
        committed_at=0,
        queue_count=0,
        withdrawn_total_micros=0,
    )
    assert (venue.bridge.call("final_number"), venue.bridge.call("final_at", 0)) == (0, 0)
    assert venue.bridge.call("is_canonical", 0, expected_hash)
    assert decode_record(Parameters, venue.bridge.call_raw("parameters")) == PARAMETERS


def test_l1_alone_holds_the_genesis_bytes(stub_referee: Artifact) -> None:
    evm = Evm()
    venue = Harness(evm, stub_referee)
    (log,) = evm.deployment_logs
    assert decode_log(venue.id, log) == Genesis(
        batch_hash=venue.head.batch_hash,
        root=venue.commitments[0].root(),
        referee=venue.referee.address,
        token=venue.token.address,
        parameters=PARAMETERS,
        commitment=venue.commitments[0],
        genesis_bytes=GENESIS_BYTES,
    )


def test_the_creation_code_of_batch_py_is_the_one_that_is_deployed(venue: Harness) -> None:
    code = encode_creation(venue.token.address, venue.referee.address, PARAMETERS, venue.commitments[0], GENESIS_BYTES)
    assert code.startswith(venue.bridge.artifact.bytecode)
    address = venue.evm.deploy_code(code)
    assert venue.bridge.artifact.matches_runtime(venue.evm.code(address))


def test_h10_domain_and_chain_are_fixed_at_deployment(venue: Harness) -> None:
    assert venue.bridge.call("CHAIN_ID") == 31_337
    assert venue.bridge.call("DOMAIN_SEPARATOR") == domain_separator(31_337, venue.bridge.address)
    assert venue.bridge.call("TOKEN") == "0x" + venue.token.address.hex()
    assert venue.bridge.call("REFEREE") == "0x" + venue.referee.address.hex()


def test_h10_nothing_moves_on_the_other_side_of_a_chain_split(seated: Harness) -> None:
    seated.deposit()
    seated.commit()
    code = seated.evm.code(seated.bridge.address)
    calls: list[tuple[Any, ...]] = [
        ("deposit", STRANGER, 0, 10**6),
        ("commit", 1, seated.head.batch_hash, [b""], [ZERO_HASH], seated.commitments[1].words()),
        ("prove_fraud", (1, ZERO_HASH, 0, SEQUENCER), [], 0, b"", b""),
        ("claim", 1, seated.commitments[1].words(), 0, STRANGER, 1, [ZERO_HASH] * 32),
    ]
    for chain_id, split in ((1, True), (31_337, False)):
        other = Evm(chain_id)
        other.put_code(seated.bridge.address, code)
        for name, *arguments in calls:
            calldata = seated.bridge.artifact.encode_call(name, *arguments)
            with pytest.raises(Reverted) as failure:
                other.send(SEQUENCER, seated.bridge.address, calldata)
            assert (failure.value.reason == "CHAIN_ID") is split


@pytest.mark.parametrize("chain_id", [31_337, 1_337])
def test_short_windows_are_for_devnets(stub_referee: Artifact, chain_id: int) -> None:
    deploy(Evm(chain_id), stub_referee)


@pytest.mark.parametrize("chain_id", [MAINNET, 11_155_111, 131_277_322_940_537])
def test_short_windows_are_refused_on_all_other_chains(stub_referee: Artifact, chain_id: int) -> None:
    for change, reason in (
        ({"window_seconds": 7 * DAY - 1}, "WINDOW_TOO_SHORT"),
        ({"freeze_grace_seconds": 7 * DAY - 1}, "GRACE_TOO_SHORT"),
        ({"governance_delay_seconds": 30 * DAY - 1}, "DELAY_TOO_SHORT"),
        ({"window_seconds": 15 * DAY, "freeze_grace_seconds": 15 * DAY}, "DELAY_TOO_SHORT"),
        ({"max_lag_seconds": 3_600, "inclusion_seconds": 7_201}, "SERVED_TOO_LATE"),
        ({"unseat_seconds": 172_801}, "UNSEATED_TOO_LATE"),
    ):
        with pytest.raises(Reverted, match=reason):
            deploy(Evm(chain_id), stub_referee, msgspec.structs.replace(LONG, **change))
    deploy(Evm(chain_id), stub_referee, LONG)
    slow = msgspec.structs.replace(LONG, max_lag_seconds=3_600, inclusion_seconds=7_200)
    deploy(Evm(chain_id), stub_referee, slow)


@pytest.mark.parametrize(
    "change",
    [
        {"window_seconds": 0},
        {"window_seconds": 2**32},
        {"freeze_grace_seconds": 2**32},
        {"inclusion_seconds": 0},
        {"inclusion_seconds": 2**32},
        {"max_lag_seconds": 0},
        {"max_lag_seconds": 2**32},
        {"unseat_floor_seconds": 0},
        {"unseat_floor_seconds": 121},
        {"unseat_seconds": 2**32},
        {"spacing_seconds": 2**16},
        {"bond_wei": 3},
        {"proof_gas_floor": 10_000_001},
        {"governance_delay_seconds": 2**32},
    ],
)
def test_parameters_out_of_range_are_refused(stub_referee: Artifact, change: dict[str, int]) -> None:
    with pytest.raises(Reverted, match="PARAMETERS"):
        deploy(Evm(), stub_referee, msgspec.structs.replace(PARAMETERS, **change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"law_version": 3}, "LAW_VERSION"),
        ({"withdrawals_root": keccak(b"")}, "GENESIS"),
        ({"withdrawn_total_micros": 1}, "GENESIS"),
        ({"queue_count": 1}, "GENESIS"),
        ({"queue_hash": keccak(b"")}, "GENESIS"),
        ({"queue_taken": 1}, "GENESIS"),
        ({"timestamp_ms": 2**60}, "TIMESTAMP_AHEAD"),
    ],
)
def test_a_genesis_with_a_past_is_refused(stub_referee: Artifact, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Reverted, match=reason):
        deploy(Evm(), stub_referee, **change)


def test_token_and_referee_are_contracts(venue: Harness) -> None:
    genesis = venue.commitments[0]
    real, nobody = venue.token.address, STRANGER
    for token, referee in ((real, nobody), (nobody, real)):
        with pytest.raises(Reverted, match="NOT_A_CONTRACT"):
            venue.evm.deploy_code(encode_creation(token, referee, PARAMETERS, genesis, GENESIS_BYTES))


def test_the_play_token_exists_only_on_devnets() -> None:
    with pytest.raises(Reverted, match="NOT_A_DEVNET"):
        Evm(MAINNET).deploy(load_artifact("MockDollar"))
    token = Evm().deploy(load_artifact("MockDollar"))
    assert (token.call("decimals"), token.call("symbol")) == (6, "mUSD")


def test_stray_ether_and_unknown_calls_are_refused(venue: Harness) -> None:
    for calldata, value_wei in ((b"", 1), (b"", 0), (b"\x00\x00\x00\x00", 0)):
        with pytest.raises(Reverted):
            venue.evm.send(STRANGER, venue.bridge.address, calldata, value_wei=value_wei)
    with pytest.raises(Reverted):
        venue.bridge.send("resign", 0, sender=STRANGER, value_wei=1)
