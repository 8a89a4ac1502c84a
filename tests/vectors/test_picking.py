"""How golden cases are picked."""

import ast
import json

from tests.vectors.picking import Branches, picked, shortened
from tests.vectors.pool import CORNER, CORNERS, ROOT


def test_what_is_picked_shows_all_and_nothing_is_picked_for_what_others_show() -> None:
    marks = [frozenset("ab"), frozenset("bc"), frozenset("abc"), frozenset("d"), frozenset("ad")]

    # The third shows what the first two do, but is larger; the last shows "d" and the first makes it needless.
    assert picked(marks, [1, 1, 9, 1, 3]) == {0: {"a", "b"}, 1: {"c"}, 3: {"d"}}
    assert picked(marks, [9, 9, 1, 1, 3]) == {2: {"a", "b", "c"}, 3: {"d"}}


def test_a_case_is_cut_down_to_the_parts_that_it_needs() -> None:
    parts = [bytes([n]) for n in range(9)]

    assert shortened(parts, lambda left: {b"\2", b"\7"} <= set(left)) == [b"\2", b"\7"]
    assert shortened(parts, lambda left: True) == []
    assert shortened([], lambda left: True) == []


def test_each_run_is_counted_alone() -> None:
    from prover.stf import margin

    branches = Branches()
    up = branches.of(lambda: margin.ceil_div(7, 2))
    down = branches.of(lambda: margin.floor_div(7, 2))

    assert up != down
    assert {name for name, _, _ in up | down} == {"margin.py"}


def test_each_corner_is_published() -> None:
    corners = {
        node.name
        for path in CORNERS
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    names = [case["name"] for case in json.loads((ROOT / "tests" / "vectors" / "law.json").read_text())["cases"]]

    published = {name.removeprefix(f"{CORNER} ").partition(" ")[0].partition("[")[0] for name in names}
    assert corners <= published, "python -m tests.vectors --corners"
