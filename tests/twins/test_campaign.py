"""A short twins campaign on every run; `python -m tests.soak twins` is the long one."""

from collections.abc import Callable
from typing import Any

import pytest

from prover.stf import constants, margin
from tests.soak import twins
from tests.soak.world import World
from tests.vectors.law_table import PAIRS


class Ending(twins.Campaign):
    """A campaign that ends as soon as it has shown what it was run for."""

    def __init__(self, cases: int, seed: int, has_shown: Callable[[twins.Campaign], bool]) -> None:
        super().__init__(cases, seed, lambda line: None)
        self.has_shown = has_shown

    def chunk(self, world: World, turn: int) -> None:
        """One chunk, and perhaps no more."""
        super().chunk(world, turn)
        if self.has_shown(self):
            self.cases = self.done


def ended(cases: int, seed: int, has_shown: Callable[[twins.Campaign], bool]) -> tuple[dict[str, Any], list[str]]:
    """Summary and violations of a campaign of at most so many cases."""
    summary = Ending(cases, seed, has_shown).run()
    return summary, twins.violations(summary, summary["cases"])


@pytest.mark.parametrize("seed", [1, 2])
def test_random_chunks_come_to_the_same_codes_and_roots(seed: int) -> None:
    summary, violations = twins.run(500, seed)

    assert violations == []
    assert summary["mismatches"] == 0
    assert summary["cases"] >= 500


def test_every_reachable_pair_of_the_table_is_reached_and_no_other() -> None:
    summary, violations = ended(12_000, 3, lambda campaign: all(campaign.hits[pair] for pair in PAIRS))

    assert violations == []
    assert summary["never_reached"] == []
    assert summary["outside_the_table"] == []
    assert len(summary["by_code"]) == len(PAIRS)


def test_a_campaign_repeats_itself_from_its_seed() -> None:
    first, _ = twins.run(200, 9)
    again, _ = twins.run(200, 9)

    assert first == again


def test_a_drift_of_one_unit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = margin.ceil_div
    monkeypatch.setattr(margin, "ceil_div", lambda numerator, denominator: exact(numerator, denominator) + 1)
    summary, violations = ended(300, 4, lambda campaign: campaign.mismatches > 0)

    assert summary["mismatches"] > 0
    assert violations != []


def test_a_bound_that_is_off_by_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "CLOCK_TOLERANCE", constants.CLOCK_TOLERANCE + 1)
    summary, _ = ended(1_000, 4, lambda campaign: campaign.mismatches > 0)

    assert summary["mismatches"] > 0
