"""Every function of the law says in a line what it decides, and where PROTOCOL.md decides it; both twins alike."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from prover.stf import constants
from tests.twins.test_text import STEMS, functions_of, normal_vyper

STF: Final = Path(constants.__file__).parent
CONTRACTS: Final = STF.parent / "contracts"
PYTHON: Final = sorted(STF.glob("*.py"))
VYPER: Final = [*sorted(STF.glob("*.vy")), *sorted(CONTRACTS.glob("*.vy"))]
SECTIONS: Final = set(re.findall(r"^#+ (\d+(?:\.\d+)?) ", (STF.parents[1] / "PROTOCOL.md").read_text(), re.M))
# They speak Vyper's language, decode what the prover stores, or are the rows' own side of a replay.
WITHOUT_SECTION: Final = {"words.py"}
REFERENCE: Final = re.compile(r"PROTOCOL\.md ((?:\d+(?:\.\d+)?(?:, | and | to )?)+)")


def sections_of(text: str) -> list[str]:
    """The sections that a docstring names."""
    return [section for found in REFERENCE.findall(text) for section in re.findall(r"\d+(?:\.\d+)?", found)]


def faults(functions: dict[str, str | None], *, needs_section: bool) -> list[str]:
    """What is wrong with the docstrings of these functions."""
    found: list[str] = []
    for name, text in functions.items():
        if text is None:
            found.append(f"{name}: no docstring")
        elif needs_section and not sections_of(text):
            found.append(f"{name}: no section of PROTOCOL.md")
        else:
            found += [f"{name}: no section {each}" for each in sections_of(text or "") if each not in SECTIONS]
    return found


def of_python(source: str, *, private: bool = True) -> dict[str, str | None]:
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_docstring(node) for node in nodes if node.name != "__init__"}


def of_vyper(source: str) -> dict[str, str | None]:
    """Vyper functions with a body; interfaces have none."""
    found: dict[str, str | None] = {}
    for match in re.finditer(r"^def (\w+)\([^\n]*:\n(    \"\"\"(.*?)\"\"\")?", source, re.M | re.S):
        found[match[1]] = match[3]
    return found


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_every_python_function_says_what_it_decides(path: Path) -> None:
    needs = path.name not in WITHOUT_SECTION
    assert faults(of_python(path.read_text()), needs_section=needs) == []


@pytest.mark.parametrize("path", VYPER, ids=lambda path: path.name)
def test_every_vyper_function_says_what_it_decides(path: Path) -> None:
    assert faults(of_vyper(path.read_text()), needs_section=path.parent == STF) == []


@pytest.mark.parametrize("stem", [*STEMS, "constants"])
def test_twins_say_it_in_the_same_words(stem: str) -> None:
    python = functions_of((STF / f"{stem}.py").read_text())
    vyper = functions_of(normal_vyper((STF / f"{stem}.vy").read_text()))

    assert {name: ast.get_docstring(python[name]) for name in python if name in vyper} == {
        name: ast.get_docstring(vyper[name]) for name in python if name in vyper
    }


def test_every_vyper_function_is_seen() -> None:
    for path in VYPER:
        text = path.read_text()
        assert len(of_vyper(text)) == len(re.findall(r"^def ", text, re.M)), path.name


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "f: no docstring"),
        ("Whether.", "f: no section of PROTOCOL.md"),
        ("Whether; PROTOCOL.md 8.99.", "f: no section 8.99"),
        ("Whether; PROTOCOL.md 8.1, 77 and 8.2.", "f: no section 77"),
    ],
)
def test_a_bare_function_is_noticed(text: str | None, fault: str) -> None:
    assert faults({"f": text}, needs_section=True) == [fault]


def test_ranges_and_lists_of_sections_are_read() -> None:
    assert sections_of("A; PROTOCOL.md 8.2 to 8.5, 8.9 and 3.") == ["8.2", "8.5", "8.9", "3"]
