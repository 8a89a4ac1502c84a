"""What `make quick` leaves out: files that start something or say so, folders of campaigns, and nothing else."""

import pytest

from tests.conftest import TESTS, is_slow


@pytest.mark.parametrize(
    "name",
    [
        "soak",
        "l1_bridge/contracts",
        "twins/test_text.py",
        "test_house.py",
        "sequencer/sequencing/test_journal.py",
        "sequencer/engine/test_engine_properties.py",
    ],
)
def test_campaigns_processes_and_what_says_so_are_left_out(name: str) -> None:
    assert is_slow(TESTS / name)


@pytest.mark.parametrize(
    "name",
    [".", "sequencer", "l1_bridge", "conftest.py", "l1_bridge/test_hashing.py", "sequencer/views/test_preview.py"],
)
def test_what_stays_in_memory_is_tried(name: str) -> None:
    assert not is_slow(TESTS / name)
