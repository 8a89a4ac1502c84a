"""Selectors, topics and layouts are those of the golden files; one command writes them anew."""

from pathlib import Path

import pytest

from l1_bridge.contracts.artifact import load_artifact
from tests.static import surface

ARTIFACTS = surface.golden()


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda path: path.stem)
def test_what_others_see_is_what_the_golden_file_says(artifact: Path) -> None:
    assert surface.text(artifact) == ARTIFACTS[artifact].read_text(), (
        "python -m tests.static.surface, and read the diff"
    )


def test_no_golden_file_is_left_over() -> None:
    assert sorted(surface.GOLDEN.iterdir()) == sorted(ARTIFACTS.values())


def test_no_two_functions_of_a_contract_share_a_selector() -> None:
    for artifact in ARTIFACTS:
        functions = load_artifact(artifact).functions.values()
        assert len({each.selector for each in functions}) == len(functions)


def test_the_law_has_no_storage_and_the_bridge_no_gap() -> None:
    for artifact in ARTIFACTS:
        seen = surface.surface(artifact)
        if "prover" in artifact.parts:
            assert (seen["storage"], seen["transient"]) == ([], [])
        following = 0
        for line in seen["storage"]:
            at, size = line.split()[:2]
            assert int(at) == following, line
            following += int(size)


def test_every_function_of_the_law_only_reads() -> None:
    for artifact in ARTIFACTS:
        if "prover" in artifact.parts:
            assert {line.split()[1] for line in surface.surface(artifact)["functions"]} <= {"view", "pure"}
