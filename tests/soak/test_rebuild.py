"""The campaign of rebuilds in small: the rates are its own business, what is rebuilt is everybody's."""

from tests.soak import rebuild


def test_a_short_history_is_rebuilt_row_by_row() -> None:
    summary, violations = rebuild.run(3, seed=5)
    assert (summary["rows_equal"], summary["batches"]) == (True, 1)
    # Speed is measured, not tested.
    assert [line for line in violations if "rate" not in line] == []
