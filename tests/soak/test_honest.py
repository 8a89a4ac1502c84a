"""The campaign of honest chunks: a small one in which nobody is slashed, and a bridge that slashes the honest."""

from pathlib import Path

from tests.l1_bridge.contracts.test_attacks import RULES
from tests.l1_bridge.evm import compile_without
from tests.soak import honest


def test_no_abuse_of_a_proof_slashes_anybody_honest() -> None:
    summary, broken = honest.run(20 * len(honest.ABUSES), 3)

    assert broken == []
    assert summary["false_slashes"] == 0
    assert set(summary["by_abuse"].values()) == {20}
    assert list(summary["by_abuse"]) == list(honest.ABUSES)
    # True proofs go through: one for each case that a liar is to lose in.
    assert summary["right_proofs"] == 40
    reasons = summary["by_reason"]
    assert {"HONEST_CHUNK", "NOT_CANONICAL", "CHUNK_INDEX", "BODY", "FINAL", "GAS_FLOOR", "CHAIN_ID"} <= set(reasons)
    # Of the referee: whose witness does not authenticate.
    assert {"pre-root", "globals"} <= set(reasons)
    assert reasons["CHAIN_ID"] == 20
    assert reasons["locked"] == 20
    assert "answered" not in reasons
    assert "taken" not in reasons


def test_every_gas_limit_in_steps_of_a_percent_answers_as_law_or_not_at_all() -> None:
    campaign = honest.Campaign(4)
    answered = campaign.swept()

    assert campaign.slashes == []
    assert 0.2 * honest.STEPS_OF_GAS < answered < 0.8 * honest.STEPS_OF_GAS
    assert set(campaign.by_reason) <= {"HONEST_CHUNK", "GAS_FLOOR", "Initial gas", "OutOfGas", "bare"}


def test_a_bridge_that_takes_a_revert_for_a_verdict_slashes_the_honest(tmp_path: Path) -> None:
    campaign = honest.Campaign(3, compile_without(RULES, tmp_path))
    campaign.run(12 * len(honest.ABUSES))

    slashed = {line.partition(":")[0] for line in campaign.slashes}
    # A starved call leaves a sixty-fourth of its gas, too little for a roll-back even here.
    assert {"truncated", "reordered", "flipped", "wrong_predecessor"} <= slashed
    # What is refused before the law is asked stays refused.
    assert not {"wrong_index", "other_bytes", "wrong_header", "rolled_back"} & slashed
