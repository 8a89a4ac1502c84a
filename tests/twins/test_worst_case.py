"""Any chunk is provable: weights cover what operations cost, and the dearest chunks stay within gas and calldata."""

import random

import msgspec

from l1_bridge.codec.batch import MAX_CHUNKS, Chunk, Commitment
from l1_bridge.codec.calls import BatchRecord, decode_record
from l1_bridge.contracts.artifact import load_artifact
from prover.contracts.referee import FAMILIES, LocalReferee, artifact, intrinsic_gas, transaction_gas
from prover.signing.recover import recover_fast
from prover.signing.typed_data import domain_separator
from prover.state import witness
from prover.state.state import State
from prover.stf import constants, encoding
from tests.l1_bridge.evm import Evm
from tests.l1_bridge.harness import CHALLENGER, DEPLOYER, PARAMETERS, SEQUENCER
from tests.soak import worst_case
from tests.soak.worst_case import Dense
from tests.twins import venue


def test_every_weight_covers_its_worst_case_and_no_chunk_passes_the_limits() -> None:
    summary, violations = worst_case.run(1, 1)

    assert violations == []
    assert summary["worst_gas"] <= 10_000_000
    assert summary["worst_calldata_bytes"] <= worst_case.CALLDATA_LIMIT


def test_a_weight_that_is_too_small_is_noticed() -> None:
    hot = worst_case.slope(lambda d, n: [d.order(0), d.order(1), *worst_case.fills(0, 1, n)], 2, 20)

    # 40 was the first guess.
    assert 40_000 < hot <= constants.FILL_WEIGHT * 1_000


def test_the_real_bridge_takes_no_more_than_is_set_aside_for_it() -> None:

    dense = Dense(constants.MAX_ACCOUNT_REFERENCES, random.Random(5), withdrawal_count=0)
    limit = constants.MAX_ACCOUNT_REFERENCES
    state = dense.state
    evm = Evm()
    families = [evm.deploy(artifact(name)) for name in FAMILIES]
    referee = evm.deploy(artifact("FraudReferee"), *[family.address for family in families])
    token = evm.deploy(load_artifact("MockDollar"))
    genesis = Commitment.decode(encoding.commitment_bytes(state.commitment))
    bridge = evm.deploy(
        load_artifact("RollupBridge"),
        token.address,
        referee.address,
        PARAMETERS.words(),
        genesis.words(),
        encoding.globals_bytes(state.globals),
        sender=DEPLOYER,
    )
    bridge.send("take_seat", "http://sequencer.test", sender=SEQUENCER, value_wei=PARAMETERS.bond_wei)

    # Signatures are of another domain: what the referee finds differs, not what the bridge carries to it.
    body = venue.body_of(worst_case.full(dense, [dense.order(i) for i in range(limit)], []))
    state.domain = domain_separator(evm.chain_id, bridge.address)
    pre_root = state.root
    chunk = state.chunk(recover_fast)
    chunk.run(body)
    proof = witness.build(state.tree, chunk)
    assert len(proof) > 88_000
    lie = msgspec.structs.replace(genesis, tree_root=b"\x66" * 32)
    idle = Chunk(body[:6], b"\x77" * 32)
    chunks = [Chunk(body, b"\x77" * 32), *[idle] * (MAX_CHUNKS - 2), Chunk(idle.body, lie.root())]
    head = decode_record(BatchRecord, bridge.call_raw("head"))
    bridge.send(
        "commit",
        0,
        head.batch_hash,
        [each.body for each in chunks],
        [each.post_root for each in chunks],
        lie.words(),
        sender=SEQUENCER,
    )
    header = (1, head.batch_hash, 0, SEQUENCER)
    pairs = [(venue.keccak(each.body), each.post_root) for each in chunks]
    calldata = bridge.artifact.encode_call("prove_fraud", header, pairs, 0, body, proof)
    # In a block of its own the bridge's storage is cold: that is what a challenger has to bring.
    others = [token.address, referee.address, *(family.address for family in families)]
    cold = evm.gas_in_a_block(CHALLENGER, bridge.address, calldata, *others, keys=2)
    receipt = evm.send(CHALLENGER, bridge.address, calldata)

    referee_alone = LocalReferee()
    post_root = referee_alone.replay(state.domain, pre_root, body, proof)
    assert cold is not None
    assert cold > receipt.gas_used
    taken_by_bridge = cold - intrinsic_gas(calldata) - referee_alone.gas_used
    assert post_root == state.seal(chunk)
    assert bridge.call("tip") == 0
    assert len(calldata) <= worst_case.CALLDATA_LIMIT
    assert transaction_gas(cold - intrinsic_gas(calldata), calldata) <= worst_case.GAS_LIMIT
    assert 0 < taken_by_bridge <= worst_case.BRIDGE_GAS
    assert taken_by_bridge > worst_case.BRIDGE_GAS // 2


def test_a_state_that_is_planted_is_the_one_that_its_store_opens() -> None:
    dense = [Dense(8, random.Random(5)) for _ in range(2)]
    outcome = venue.run(dense[0].state, *worst_case.pairs_filled(dense[0], 4), timestamp=venue.NOW)

    assert outcome.post_root != outcome.pre_root == dense[1].state.root
    for state in (dense[0].state, dense[1].state, venue.build_state(accounts={17: venue.account()})):
        assert State(state.store, state.domain).root == state.root
