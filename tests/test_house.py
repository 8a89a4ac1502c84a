"""The house may only get better: what is counted of its text stands here as a bound, and each bound may only fall."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from vulture import Vulture

from tests.soak import house
from tests.soak.house import PRODUCT, ROOT

pytestmark = pytest.mark.slow

# Called by others: click, py-evm's database, and whoever registers handlers by a decorator.
CALLED_FROM_OUTSIDE: Final = {"atomic_batch", "format_commands", "posted_globals", "unsubscribe", "discover"}
# An entry point's command is imported when it is called: its name comes from the installed package.
IMPORTS_BY_NAME: Final = {"prover/cli/main.py"}
EXEMPTIONS: Final = 40


def test_a_folder_holds_at_most_14_modules() -> None:
    assert [place for place in house.folders(*PRODUCT) if place.size > 14] == []


def test_a_class_has_at_most_400_lines() -> None:
    assert [place for place in house.classes(*PRODUCT, "tests") if place.size > 400] == []


def test_no_function_has_over_70_lines() -> None:
    assert house.long_functions(*PRODUCT) == []


def test_few_signatures_have_over_7_arguments() -> None:
    assert len(house.wide_signatures(*PRODUCT)) <= 1, house.wide_signatures(*PRODUCT)


def test_every_function_of_the_law_says_what_it_decides() -> None:
    assert house.law_without_words() == []


def test_every_module_has_a_test_or_a_reason() -> None:
    assert house.without_test() == []
    bare = house.untested()
    for name, reason in house.excuses().items():
        assert name in bare, f"{name} needs no excuse"
        assert reason, name
        for told in re.findall(r"tests/[\w/.]+\w", reason):
            assert (ROOT / told).exists(), f"{name}: {told} is gone"


def test_no_import_is_hidden_from_the_linter() -> None:
    found = [place.partition(":")[0] for place in house.hidden_imports(*PRODUCT) if not place.endswith("TYPE_CHECKING")]

    assert set(found) == IMPORTS_BY_NAME
    # What only the type checker imports is seen by the linter, which is told so nowhere else.
    assert "exclude_type_checking_imports" not in (ROOT / "pyproject.toml").read_text()


def test_checkers_are_asked_to_look_away_no_more_often() -> None:
    assert house.exemptions(*PRODUCT, "tests") <= EXEMPTIONS


def test_nothing_is_dead() -> None:
    vulture = Vulture(ignore_decorators=["@*.command", "@*.group", "@command", "@method"])
    with house.uncollected():
        vulture.scavenge([ROOT / room for room in (*PRODUCT, "tests")])
    dead = [
        f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno} {item.name}"
        for item in vulture.get_unused_code()
        if item.typ in ("function", "method", "class", "property", "import")
        and Path(item.filename).relative_to(ROOT).parts[0] in PRODUCT
        and item.name not in CALLED_FROM_OUTSIDE
    ]

    assert dead == []


@pytest.mark.parametrize(
    ("source", "bare"),
    [
        ('@internal\ndef f(a: uint256) -> uint256:\n    """Decides."""\n    return a\n', []),
        ("@internal\ndef f(a: uint256) -> uint256:\n    return a\n", ["f"]),
        ("@internal\ndef f(\n    a: uint256,\n) -> (uint256, bool):\n    # A reason.\n    return a, True\n", ["f"]),
    ],
)
def test_a_bare_function_is_noticed(source: str, bare: list[str]) -> None:
    assert house.vyper_without_words(source) == bare


def test_arguments_are_counted_without_self() -> None:
    (function,) = ast.parse("def f(self, a, /, b, *c, d=1, **e): pass").body
    assert isinstance(function, ast.FunctionDef)
    assert (house.arguments(function), house.lines(function)) == (5, 1)


def test_the_figures_end_with_those_that_are_promised() -> None:
    summary, violations = house.run(3, 0)

    assert violations == []
    assert list(summary)[-8:] == [
        "modules_per_folder_max",
        "class_lines_max",
        "functions_over_70_lines",
        "signatures_over_7",
        "law_functions_without_docstring",
        "modules_without_test",
        "test_cpu_seconds",
        "openrpc_untyped_results",
    ]
    assert summary["openrpc_untyped_results"] == 0
    assert summary["modules_without_test"] == 0
    assert summary["law_functions_without_docstring"] == 0
