"""How the house stands: what its folders, classes, functions and words come to, counted from the text."""

import ast
import gc
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import trio

from tests.processor_time import LAST_WHOLE_RUN

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("l1_bridge", "prover", "sequencer")
LAW: Final = ROOT / "prover" / "stf"
FUNCTION_LINES: Final = 70
ARGUMENTS: Final = 7
# Modules that no file of tests is named after, each with the reason why none is.
WITHOUT_TEST: Final = ROOT / "tests" / "without_test.txt"

Function = ast.FunctionDef | ast.AsyncFunctionDef
COUNTED: Final = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Name,
    ast.Attribute,
)


class Place(NamedTuple):
    """Something that is counted, where it stands, and its size."""

    size: int
    where: str


def modules(*rooms: str) -> list[Path]:
    """Python files of rooms, __init__ aside."""
    found = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in found if path.name != "__init__.py"]


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection within: a syntax tree holds no garbage, and looking for it costs more than parsing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@cache
def parsed(path: Path) -> list[tuple[ast.AST, str]]:
    """Nodes of a module that are counted or looked at, each with the place where it stands."""
    name = path.relative_to(ROOT).as_posix()
    with uncollected():
        return [
            (node, f"{name}:{getattr(node, 'lineno', 0)}")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, COUNTED)
        ]


def folders(*rooms: str) -> list[Place]:
    """Modules of each folder."""
    counted = Counter(path.parent for path in modules(*rooms))
    return sorted((Place(count, str(path.relative_to(ROOT))) for path, count in counted.items()), reverse=True)


def classes(*rooms: str) -> list[Place]:
    """Lines of each class."""
    return sorted(
        (
            Place(lines(node), f"{where} {node.name}")
            for path in modules(*rooms)
            for node, where in parsed(path)
            if isinstance(node, ast.ClassDef)
        ),
        reverse=True,
    )


def lines(node: ast.ClassDef | Function) -> int:
    """Lines from the name to the end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def arguments(function: Function) -> int:
    """Arguments that a caller may give; self and cls are not."""
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]
    return len([argument for argument in every if argument.arg not in ("self", "cls")])


def long_functions(*rooms: str) -> list[Place]:
    """Functions over FUNCTION_LINES lines."""
    return sorted((place for place in _sized(lines, *rooms) if place.size > FUNCTION_LINES), reverse=True)


def wide_signatures(*rooms: str) -> list[Place]:
    """Functions with more than ARGUMENTS arguments."""
    return sorted((place for place in _sized(arguments, *rooms) if place.size > ARGUMENTS), reverse=True)


def _sized(size: Any, *rooms: str) -> Iterator[Place]:
    for path in modules(*rooms):
        for node, where in parsed(path):
            if isinstance(node, Function):
                yield Place(size(node), f"{where} {node.name}")


def law_without_words() -> list[str]:
    """Functions of the law, in either twin, that do not say what they decide."""
    bare = [
        f"{path.name} {node.name}"
        for path in sorted(LAW.glob("*.py"))
        for node, _ in parsed(path)
        if isinstance(node, Function) and not ast.get_docstring(node) and not node.name.startswith("__")
    ]
    for path in sorted(LAW.glob("*.vy")):
        bare += [f"{path.name} {name}" for name in vyper_without_words(path.read_text())]
    return bare


def vyper_without_words(source: str) -> list[str]:
    """Functions of a Vyper text whose signature is not followed by a docstring."""
    found = re.findall(r"^def (\w+)\((?:.|\n)*?\)(?: -> [^\n]+)?:\n((?: *#[^\n]*\n)* *[^\n]*)", source, re.M)
    return [name for name, first in found if not first.lstrip().startswith('"""')]


def excuses() -> dict[str, str]:
    """Module -> why no test is named after it."""
    lines = WITHOUT_TEST.read_text().splitlines()
    return {name: reason for name, _, reason in (line.partition(" ") for line in lines) if name != "#"}


def without_test() -> list[str]:
    """Modules of the product that no reason excuses and no test of their room is named after or imports."""
    return [name for name in untested() if name not in excuses()]


def untested() -> list[str]:
    """Modules of the product that no test of their room is named after or imports."""
    tested = {room: imported_by_tests(room) for room in PRODUCT}
    bare = []
    for path in modules(*PRODUCT):
        name = path.relative_to(ROOT)
        beside = ROOT / "tests" / name.parent
        is_named = list(beside.glob(f"test_{path.stem}.py")) or list(beside.glob(f"test_{path.stem}_*.py"))
        if not is_named and ".".join(name.with_suffix("").parts) not in tested[name.parts[0]]:
            bare.append(name.as_posix())
    return bare


def imported_by_tests(room: str) -> set[str]:
    """Modules that the test files of a room, or those of the whole law beside it, import by name."""
    folders = [room, *(("twins", "vectors", "attacks") if room == "prover" else ())]
    found: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / "tests" / folder).rglob("test_*.py")):
        for node, _ in parsed(path):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def hidden_imports(*rooms: str) -> list[str]:
    """Imports that no linter sees: by string, or for the type checker alone."""
    return [
        f"{where} {found}"
        for path in modules(*rooms)
        for node, where in parsed(path)
        for found in (getattr(node, "id", ""), getattr(node, "attr", ""))
        if found in ("__import__", "import_module", "TYPE_CHECKING")
    ]


def untyped_results() -> list[str]:
    """Methods whose result the OpenRPC document calls an object, an array or anything, and no more."""
    from tests.sequencer.api.json_schema import untyped
    from tests.sequencer.api.methods.test_schema import Whole
    from tests.sequencer.desk import Desk

    async def document() -> Any:
        with TemporaryDirectory() as directory:
            whole = Whole(Desk(Path(directory)))
            await whole.read()
            return whole.document

    return [name for name in untyped(trio.run(document)) if name.endswith("_result") or name.startswith("component ")]


def exemptions(*rooms: str) -> int:
    """Lines that ask a checker to look away."""
    return sum(len(re.findall(r"# (?:noqa|type: ignore)", path.read_text())) for path in modules(*rooms))


def test_cpu_seconds() -> float | None:
    """Processor time of the last whole run of the tests; None where there was none."""
    if not LAST_WHOLE_RUN.exists():
        return None
    return float(json.loads(LAST_WHOLE_RUN.read_text())["seconds"])


def run(size: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """The figures, and where each of the largest `size` stands; nothing is left to chance."""
    widest, longest, largest = wide_signatures(*PRODUCT), long_functions(*PRODUCT), classes(*PRODUCT, "tests")
    full = folders(*PRODUCT)
    summary: dict[str, Any] = {
        "noqa_and_type_ignores": exemptions(*PRODUCT, "tests"),
        "fullest_folders": [list(place) for place in full[:size]],
        "largest_classes": [list(place) for place in largest[:size]],
        "longest_functions": [list(place) for place in longest[:size]],
        "widest_signatures": [list(place) for place in widest[:size]],
        "modules_per_folder_max": full[0].size,
        "class_lines_max": largest[0].size,
        "functions_over_70_lines": len(longest),
        "signatures_over_7": len(widest),
        "law_functions_without_docstring": len(law_without_words()),
        "modules_without_test": len(without_test()),
        "test_cpu_seconds": test_cpu_seconds(),
        "openrpc_untyped_results": len(untyped_results()),
    }
    return summary, []
