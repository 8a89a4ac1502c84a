"""How deep a process may recurse does not depend on what it imported."""

import sys

import pytest

from l1_bridge.recursion import recursion_limit_kept


def test_the_limit_comes_back_also_from_a_failure() -> None:
    limit = sys.getrecursionlimit()

    def greedy(is_failing: bool) -> None:
        with recursion_limit_kept():
            sys.setrecursionlimit(limit + 1_000)
            if is_failing:
                raise ImportError

    greedy(False)
    assert sys.getrecursionlimit() == limit
    with pytest.raises(ImportError):
        greedy(True)
    assert sys.getrecursionlimit() == limit
