"""Faults put into either twin of the law, one at a time: the published vectors have to notice each.

A mutant changes one place of one file of `prover/stf`. It is read against the cases of `law.json` alone: the Python
twin by `tests.vectors.reading`, the Vyper twin by the referee, with many faults compiled at once where that can be.
What passes is tried against the other vectors and then the tests of the law, in a copy of the tree; what passes those
too has to stand in `survivors.txt` with its reason. A mutant that says the same as the law for every input is marked
`=` there and is none: it does not count, and a case that tells it from the law is a violation.
"""

import importlib
import importlib.machinery
import importlib.util
import inspect
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple

from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
from vyper.compiler.phases import CompilerData
from vyper.compiler.settings import OptimizationLevel, Settings
from vyper.exceptions import VyperException

from l1_bridge.contracts.compile import EVM_VERSION, ROOT
from tests.soak.mutations import Mutant, mutants_of
from tests.soak.schemata import CONTRACTS, LAW, ManyFaults, holders, referee_with

CASES: Final = ROOT / "tests" / "vectors" / "law.json"
EXPLAINED: Final = Path(__file__).parent / "survivors.txt"
EQUAL: Final = "="
PATIENCE_SECONDS: Final = 60
NEEDED_PERCENT: Final = 97
# Faults that are compiled at once: code may not pass 64 KiB.
AT_ONCE: Final = 150
KILLED, SURVIVED, INVALID = range(3)
# Of a tree with a fault in it: whatever reads the published files, and the tests of the law.
VECTORS: Final = ("tests/vectors/test_vectors.py", "-k", "not what_the_law_gives and not a_file_that_differs")
TESTS: Final = ("tests/prover/stf", "tests/attacks", "tests/prover/state", "tests/twins/test_campaign.py")


class Cases:
    """The law's cases, each fault's in another order: those that noticed others of its function, then the shortest."""

    def __init__(self, cases: Sequence[Any]) -> None:
        self.cases = sorted(cases, key=lambda case: len(case["body"]))
        self._noticed: dict[tuple[str, str], list[int]] = defaultdict(list)

    def order(self, mutant: Mutant) -> list[int]:
        """Numbers of all cases."""
        first = self._noticed[_place(mutant)]
        known = set(first)
        return [*first, *(number for number in range(len(self.cases)) if number not in known)]

    def noticed(self, mutant: Mutant, number: int) -> None:
        """The case of this number told a fault from the law."""
        held = self._noticed[_place(mutant)]
        if number in held:
            held.remove(number)
        held.insert(0, number)


def _place(mutant: Mutant) -> tuple[str, str]:
    # Of both twins.
    return Path(mutant.file).stem, mutant.function


@cache
def published() -> Any:
    """What the law's file says."""
    return json.loads(CASES.read_text())


@cache
def cases() -> Cases:
    """The published ones."""
    return Cases(published()["cases"])


def first_to_notice(mutant: Mutant, domain: bytes, cases: Sequence[Any]) -> int | None:
    """The place of the first of the cases with which the Python twin does not agree once it has the fault."""
    reader, writer = os.pipe()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        at = 0
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            signal.alarm(PATIENCE_SECONDS)
            agrees = faulty_reading(mutant)
            while at < len(cases) and agrees(domain, cases[at]):
                at += 1
        finally:
            os.write(writer, at.to_bytes(4, "big"))
            os._exit(0)
    os.close(writer)
    told = os.read(reader, 4)
    os.close(reader)
    os.waitpid(child, 0)
    # Whoever does not end says nothing.
    at = int.from_bytes(told, "big")
    return None if told and at == len(cases) else at


def faulty_reading(mutant: Mutant) -> Callable[[bytes, Any], bool]:
    """The reading of a case by the Python twin with a fault: for a process that ends with it."""
    function, code = _function_with(mutant)
    if function is not None:
        function.__code__ = code
        agrees: Callable[[bytes, Any], bool] = importlib.import_module("tests.vectors.reading").agrees
        return agrees
    # What stands outside of functions is read as modules are loaded.
    from_file = importlib.machinery.SourceFileLoader.get_data
    target, text = str(LAW / mutant.file), mutant.text.encode()
    kept = importlib.util.cache_from_source(target)

    def get_data(self: Any, path: str) -> bytes:
        if str(path) == kept:
            raise OSError
        return text if str(path) == target else from_file(self, path)

    sys.dont_write_bytecode = True
    importlib.machinery.SourceFileLoader.get_data = get_data  # type: ignore[method-assign]
    for name in [name for name in sys.modules if name.startswith(("prover.", "tests.vectors", "tests.twins"))]:
        del sys.modules[name]
    agrees = importlib.import_module("tests.vectors.reading").agrees
    return agrees


def _function_with(mutant: Mutant) -> tuple[FunctionType | None, CodeType]:
    """The one function of the law that a fault changes, and its faulty code; none where it changes anything else."""
    path = LAW / mutant.file
    faulty = compile(mutant.text, str(path), "exec", dont_inherit=True)
    sound, theirs = _functions(_compiled(path)), _functions(faulty)
    changed = [name for name, code in sound.items() if code != theirs.get(name)]
    found: Any = importlib.import_module(f"prover.stf.{path.stem}")
    if not mutant.function or len(changed) != 1:
        return None, faulty
    for part in changed[0].split("."):
        found = getattr(found, part, None)
    return (found, theirs[changed[0]]) if isinstance(found, FunctionType) else (None, faulty)


@cache
def _compiled(path: Path) -> CodeType:
    return compile(path.read_text(), str(path), "exec", dont_inherit=True)


def _functions(code: CodeType, above: str = "") -> dict[str, CodeType]:
    """Every function and method of a module by its name, with whatever stands inside it."""
    found: dict[str, CodeType] = {}
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and not inner.co_name.startswith("<"):
            # A class's body is no function: its names are not fast ones.
            if inner.co_flags & inspect.CO_NEWLOCALS:
                found[above + inner.co_name] = inner
            else:
                found |= _functions(inner, f"{above}{inner.co_name}.")
    return found


def judged_python(mutant: Mutant, cases: Cases) -> int:
    """Whether a case tells the Python twin with the fault from the law."""
    order = cases.order(mutant)
    at = first_to_notice(mutant, bytes.fromhex(published()["domain"]), [cases.cases[number] for number in order])
    if at is None:
        return SURVIVED
    cases.noticed(mutant, order[at])
    return KILLED


def judged_by(referee: ManyFaults, mutant: Mutant, cases: Cases) -> int:
    """Whether a case tells a referee that has the fault from the law."""
    domain = bytes.fromhex(published()["domain"])
    for number in cases.order(mutant):
        if not referee.agrees(domain, cases.cases[number]):
            cases.noticed(mutant, number)
            return KILLED
    return SURVIVED


def judged_alone(mutant: Mutant, cases: Cases) -> int:
    """The contracts that hold the place, each with the fault; INVALID where none does, or it does not compile."""
    verdict = INVALID
    with TemporaryDirectory() as above:
        write_fault(Path(above), mutant)
        for name in holders(mutant.file):
            found = compiled(name, Path(above))
            if found is None:
                return INVALID
            if found != sound(name):
                verdict = judged_by(ManyFaults({name: found}), mutant, cases)
            if verdict == KILLED:
                break
    return verdict


def compiled(name: str, above: Path) -> bytes | None:
    """A contract's code, not optimized, with the files below `above` instead of the tree's; None if there is none."""
    path = ROOT / "prover" / "contracts" / f"{name}.vy"
    source = FileInput(source_id=0, path=path.relative_to(ROOT), resolved_path=path, contents=path.read_text())
    settings = Settings(evm_version=EVM_VERSION, optimize=OptimizationLevel.NONE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bundle = FilesystemInputBundle([ROOT, above])
            return CompilerData(source, bundle, settings=settings, no_bytecode_metadata=True).bytecode
    except VyperException:
        return None


@cache
def sound(name: str) -> bytes:
    """The code of a contract as it stands, compiled in the same way."""
    with TemporaryDirectory() as nothing:
        found = compiled(name, Path(nothing))
    assert found is not None
    return found


def judged_vyper(file: str, mutants: Sequence[Mutant], cases: Cases) -> Iterator[tuple[Mutant, int]]:
    """What the cases make of mutants of one file."""
    alone: list[Mutant] = []
    parts = -(-len(mutants) // AT_ONCE)
    for part in range(parts):
        # Those of one line are parted: choices stand inside each other.
        held = referee_with(file, mutants[part::parts])
        domain = bytes.fromhex(published()["domain"])
        assert all(held.referee.agrees(domain, case) for case in cases.cases), "it has no fault before one is chosen"
        alone += held.left
        yield from ((mutant, INVALID) for mutant in held.invalid)
        for number, mutant in held.faults.items():
            held.referee.choose(number)
            yield mutant, judged_by(held.referee, mutant, cases)
    yield from ((mutant, judged_alone(mutant, cases)) for mutant in alone)


def judged(mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, int]]:
    """What the published cases make of mutants of both twins."""
    files: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        files[mutant.file].append(mutant)
    for file, several in sorted(files.items()):
        if file.endswith(".py"):
            yield from ((mutant, judged_python(mutant, cases())) for mutant in several)
        else:
            yield from judged_vyper(file, several, cases())


def write_fault(root: Path, mutant: Mutant) -> None:
    """The text of a mutant at its place in a tree."""
    path = root / LAW.relative_to(ROOT) / mutant.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mutant.text)


def killed_in_a_tree(mutant: Mutant) -> str | None:
    """`vectors` or `tests`, whichever notices a mutant in a copy of the tree; None where neither does."""
    with TemporaryDirectory() as directory:
        root = Path(directory)
        for name in ("l1_bridge", "prover", "sequencer", "tests"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "PROTOCOL.md"):
            shutil.copy(ROOT / name, root / name)
        write_fault(root, mutant)
        if mutant.file.endswith(".vy") and not _passes(root, "-m", "l1_bridge.contracts.compile", *CONTRACTS):
            return "tests"
        if not _passes(root, "-m", "pytest", "-x", *VECTORS):
            return "vectors"
        return None if _passes(root, "-m", "pytest", "-x", *TESTS) else "tests"


def _passes(root: Path, *arguments: str) -> bool:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, timeout=3_600, check=False
    )
    return done.returncode == 0


def explained() -> dict[str, str]:
    """Key of a mutant -> why nothing notices it."""
    rows = [line.rpartition(" | ") for line in EXPLAINED.read_text().splitlines() if not line.startswith("#")]
    return {key: reason for key, _, reason in rows}


def is_equal(mutant: Mutant) -> bool:
    """Whether it is said to be the law in other words."""
    return explained().get(mutant.key, "").startswith(EQUAL)


def drawn(rng: random.Random) -> Iterator[Mutant]:
    """Mutants of both twins by turns, in random order; those of the larger one alone at last."""
    rest = [
        [
            mutant
            for path in sorted(LAW.glob(f"*{suffix}"))
            if path.stem not in ("__init__", "codes")
            for mutant in mutants_of(path.name, path.read_text())
        ]
        for suffix in (".py", ".vy")
    ]
    for mutants in rest:
        rng.shuffle(mutants)
    for several in itertools.zip_longest(*rest):
        yield from (mutant for mutant in several if mutant is not None)


class Counted(NamedTuple):
    """What became of mutants: those that count, by who noticed them; those that are none, noticed or not."""

    vectors: list[Mutant]
    tests: list[Mutant]
    survivors: list[Mutant]
    equal: list[Mutant]
    told_apart: list[Mutant]

    @property
    def tried(self) -> list[Mutant]:
        """Those that count."""
        return self.vectors + self.tests + self.survivors


def run(size: int, seed: int, trees: int = 1) -> tuple[dict[str, Any], list[str]]:
    """So many mutants; without `trees` the ones that pass the law's cases are not tried any further."""
    agrees = importlib.import_module("tests.vectors.reading").agrees
    assert all(agrees(bytes.fromhex(published()["domain"]), case) for case in published()["cases"])
    counted = Counted([], [], [], [], [])
    rest = drawn(random.Random(seed))
    while part := list(itertools.islice(rest, size - len(counted.tried))):
        for mutant, verdict in judged(part):
            if verdict != INVALID:
                count(counted, mutant, verdict == KILLED, bool(trees))
    return summary_of(counted)


def count(counted: Counted, mutant: Mutant, is_noticed: bool, trees: bool) -> None:
    """Puts a mutant where it belongs; what no case notices is told at once."""
    if is_equal(mutant):
        (counted.told_apart if is_noticed else counted.equal).append(mutant)
        return
    if is_noticed:
        counted.vectors.append(mutant)
        return
    killer = killed_in_a_tree(mutant) if trees else None
    {"vectors": counted.vectors, "tests": counted.tests, None: counted.survivors}[killer].append(mutant)
    print(f"{mutant.file}:{mutant.line} {mutant.was} -> {mutant.now}: {killer}", file=sys.stderr, flush=True)


def summary_of(counted: Counted) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what is not as it has to be."""
    reasons = explained()
    tried, killed = len(counted.tried), len(counted.vectors)
    summary = {
        "mutants": tried,
        "killed_by_vectors": killed,
        "killed_by_tests": len(counted.tests),
        "survivors": [mutant.key for mutant in counted.survivors],
        "equal_to_the_law": len(counted.equal),
        "by_twin": {
            twin: {
                "mutants": sum(mutant.file.endswith(suffix) for mutant in counted.tried),
                "killed_by_vectors": sum(mutant.file.endswith(suffix) for mutant in counted.vectors),
            }
            for twin, suffix in (("python", ".py"), ("vyper", ".vy"))
        },
    }
    broken = [f"not explained: {mutant.key}" for mutant in counted.survivors if mutant.key not in reasons]
    broken += [f"said to be the law, and noticed: {mutant.key}" for mutant in counted.told_apart]
    if killed * 100 < tried * NEEDED_PERCENT:
        broken.append(f"the vectors kill {killed} of {tried}, less than {NEEDED_PERCENT} in a hundred")
    return summary, broken
