"""A short twins campaign on every run; `python -m tests.soak twins` is the long one."""

import pytest

from prover.stf import constants, margin
from tests.soak import twins
from tests.vectors.law_table import PAIRS


@pytest.mark.parametrize("seed", [1, 2])
def test_random_chunks_come_to_the_same_codes_and_roots(seed: int) -> None:
    summary, violations = twins.run(1_500, seed)

    assert violations == []
    assert summary["mismatches"] == 0
    assert summary["cases"] >= 1_500


def test_every_reachable_pair_of_the_table_is_reached_and_no_other() -> None:
    summary, violations = twins.run(8_000, 3)

    assert violations == []
    assert summary["never_reached"] == []
    assert summary["outside_the_table"] == []
    assert len(summary["by_code"]) == len(PAIRS)


def test_a_campaign_repeats_itself_from_its_seed() -> None:
    first, _ = twins.run(300, 9)
    again, _ = twins.run(300, 9)

    assert first == again


def test_a_drift_of_one_unit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = margin.ceil_div
    monkeypatch.setattr(margin, "ceil_div", lambda numerator, denominator: exact(numerator, denominator) + 1)
    summary, violations = twins.run(300, 4)

    assert summary["mismatches"] > 0
    assert violations != []


def test_a_bound_that_is_off_by_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "CLOCK_TOLERANCE", constants.CLOCK_TOLERANCE + 1)
    summary, _ = twins.run(1_000, 4)

    assert summary["mismatches"] > 0
