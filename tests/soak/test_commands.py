"""The command line of the campaigns, and what of them no short run elsewhere holds."""

import json

import pytest

from tests.soak import rollback
from tests.soak.__main__ import CAMPAIGNS, main


def test_help_names_every_campaign(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in CAMPAIGNS)


def test_a_campaign_tells_its_seed_first_and_its_summary_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollback", "--followers", "20", "--seed", "7", "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == "seed 7\n"
    summary = json.loads(told.out.splitlines()[-1])
    assert summary["seed"] == 7
    assert {"0", "1", "20", "300"} <= set(summary["gas_by_followers"])
    assert set(summary["gas_by_followers"].values()) == {summary["gas"]}


def test_a_dearer_roll_back_is_a_violation() -> None:
    assert rollback.violations({0: 270_000, 1: 270_000, 300: 270_000}) == []
    assert rollback.violations({0: 270_000, 1: 270_000, 300: 270_436}) == [
        "270436 gas with 300 followers, 270000 with none"
    ]
