"""The claims campaign: a small one that the bridge withstands, and a bridge without its rules that does not."""

from pathlib import Path

from tests.l1_bridge.evm import compile_without
from tests.soak import claims

# Each stands in the way of other mutations.
RULES = {
    '    assert node == commitment.withdrawals_root, "PROOF"\n': "",
    '    assert word & bit == 0, "ALREADY_CLAIMED"\n': "",
    '    assert block.timestamp >= self._final_at(batch_number), "NOT_FINAL"\n': "",
}


def test_no_mutation_is_taken_and_every_honest_claim_is_paid() -> None:
    summary, broken = claims.run(700, 11)

    assert broken == []
    assert summary["taken"] == 0
    assert summary["honest_paid"] == 14
    assert set(summary["by_mutation"].values()) == {50}
    # Each refusal of the bridge was met, so that no kind fails for another reason than its own.
    reasons = ("PROOF", "COMMITMENT", "ALREADY_CLAIMED", "CHAIN_ID", "NOT_CANONICAL", "NOT_FINAL", "INDEX", "bare")
    assert set(summary["by_reason"]) == set(reasons)
    assert summary["by_reason"]["CHAIN_ID"] == summary["by_mutation"]["other_chain"]


def test_a_bridge_without_its_rules_pays(tmp_path: Path) -> None:
    campaign = claims.Campaign(11, compile_without(RULES, tmp_path))
    campaign.run(280)

    paid = {line.partition(":")[0] for line in campaign.taken}
    assert {"siblings", "amount", "recipient", "double_claim", "not_final"} <= paid
    # The chain is asked first.
    assert "other_chain" not in paid
    assert list(claims.violations(campaign)) == campaign.taken
