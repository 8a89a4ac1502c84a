"""The page knows the shipped contracts by their hashes."""

from sequencer.dashboard.shipped import TARGET, shipped


def test_the_hashes_are_the_artifacts() -> None:
    assert TARGET.read_text() == shipped(), "python -m sequencer.dashboard.shipped makes it anew"
