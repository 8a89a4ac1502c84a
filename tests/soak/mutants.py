"""Faults put into either twin of the law, one at a time: the published vectors have to notice each.

A mutant changes one place of one file of `prover/stf`. It is read against the cases of `law.json` alone: the Python
twin by `tests.vectors.reading`, the Vyper twin by the referee with a contract that holds the place compiled again, one
after another until one is noticed. What passes is tried against the other vectors and then the tests of the law, in a
copy of the tree; what passes those too has to stand in `survivors.txt`, with the reason why no chunk can tell it from
the law.
"""

import importlib.machinery
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import pyrevm
from vyper.compiler import outputs_from_compiler_data
from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
from vyper.compiler.phases import CompilerData
from vyper.compiler.settings import OptimizationLevel, Settings
from vyper.exceptions import VyperException

from l1_bridge.contracts.artifact import Artifact
from l1_bridge.contracts.compile import EVM_VERSION, ROOT
from prover.contracts.referee import FAMILIES, LocalReferee, RefereeRefused, artifact
from tests.soak.mutations import Mutant, mutants_of

LAW: Final = ROOT / "prover" / "stf"
CASES: Final = ROOT / "tests" / "vectors" / "law.json"
EXPLAINED: Final = Path(__file__).parent / "survivors.txt"
CONTRACTS: Final = ("FraudReferee", *FAMILIES)
# The contracts that hold a file of the Vyper twin, where not all may: the likeliest first.
HOLDERS: Final = {
    "trading": ("Trading",),
    "rescue": ("Rescue", "Trading"),
    "markets": ("Markets", "FraudReferee"),
    "margin": ("Trading", "Rescue", "Custody", "Markets", "FraudReferee"),
}
PATIENCE_SECONDS: Final = 300
NEEDED_PERCENT: Final = 97
KILLED, SURVIVED, INVALID = range(3)
_DEPLOYER: Final = "0x" + "ee" * 20
# Of a tree with a fault in it: whatever reads the published files, and the tests of the law.
VECTORS: Final = ("tests/vectors/test_vectors.py", "-k", "not what_the_law_gives and not a_file_that_differs")
TESTS: Final = ("tests/prover/stf", "tests/attacks", "tests/prover/state", "tests/twins/test_campaign.py")


class FaultyReferee(LocalReferee):
    """The shipped referee with one contract of another text, whatever its size."""

    def __init__(self, name: str, faulty: Artifact) -> None:
        contracts = {each: faulty if each == name else artifact(each) for each in CONTRACTS}
        self._evm = pyrevm.EVM(
            env=pyrevm.Env(cfg=pyrevm.CfgEnv(limit_contract_code_size=2**17)), gas_limit=2**40, spec_id="CANCUN"
        )
        self._evm.set_balance(_DEPLOYER, 2**100)
        families = [self._evm.deploy(_DEPLOYER, contracts[each].bytecode) for each in FAMILIES]
        self._referee = contracts["FraudReferee"]
        self._address = self._evm.deploy(_DEPLOYER, self._referee.creation_code(*families))
        self.gas_used = 0

    def agrees(self, domain: bytes, case: Any) -> bool:
        """Whether it comes to the codes and the root of a case."""
        before, body, witness = (bytes.fromhex(case[part]) for part in ("pre_root", "body", "witness"))
        try:
            root, found = self.trace(domain, before, body, witness)
        except RefereeRefused:
            return False
        return list(found) == case["codes"] and root.hex() == case["post_root"]


def compiled(name: str, above: Path) -> Artifact | None:
    """A contract, not optimized, with the files below `above` instead of the tree's; None if it does not compile."""
    path = ROOT / "prover" / "contracts" / f"{name}.vy"
    source = FileInput(source_id=0, path=path.relative_to(ROOT), resolved_path=path, contents=path.read_text())
    settings = Settings(evm_version=EVM_VERSION, optimize=OptimizationLevel.NONE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bundle = FilesystemInputBundle([ROOT, above])
            data = CompilerData(source, bundle, settings=settings, no_bytecode_metadata=True)
            outputs = outputs_from_compiler_data(data, ["bytecode", "bytecode_runtime"])
    except VyperException:
        return None
    code, runtime = (bytes.fromhex(outputs[part][2:]) for part in ("bytecode", "bytecode_runtime"))
    return msgspec.structs.replace(artifact(name), bytecode=code, runtime_bytecode=runtime)


@cache
def sound(name: str) -> bytes:
    """The code of a contract as it stands, compiled in the same way."""
    with TemporaryDirectory() as nothing:
        found = compiled(name, Path(nothing))
    assert found is not None
    return found.bytecode


@cache
def published() -> Any:
    """The law's cases."""
    return json.loads(CASES.read_text())


def every_case(agrees: Callable[[bytes, Any], bool]) -> int:
    """KILLED by the first case with which it does not agree."""
    domain = bytes.fromhex(published()["domain"])
    return SURVIVED if all(agrees(domain, case) for case in published()["cases"]) else KILLED


def in_a_child(judge: Callable[[], int]) -> int:
    """What `judge` says in a process of its own: KILLED where it raises or does not end."""
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = KILLED
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            signal.alarm(PATIENCE_SECONDS)
            code = judge()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else KILLED


def judge_python(mutant: Mutant) -> int:
    """The Python twin with the fault."""
    return every_case(faulty_reading(mutant))


def faulty_reading(mutant: Mutant) -> Callable[[bytes, Any], bool]:
    """The reading of a case by the Python twin with a fault: for a process that ends with it."""
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
    agrees: Callable[[bytes, Any], bool] = importlib.import_module("tests.vectors.reading").agrees
    return agrees


def first_to_notice(mutant: Mutant, domain: bytes, cases: Sequence[Any]) -> int | None:
    """The first of the cases with which the Python twin does not agree once it has the fault."""
    reader, writer = os.pipe()

    def judge() -> int:
        at = 0
        try:
            agrees = faulty_reading(mutant)
            while at < len(cases) and agrees(domain, cases[at]):
                at += 1
        finally:
            os.write(writer, at.to_bytes(4, "big"))
        return SURVIVED

    in_a_child(judge)
    os.close(writer)
    told = os.read(reader, 4)
    os.close(reader)
    at = int.from_bytes(told, "big") if told else 0
    return None if at == len(cases) else at


def judge_vyper(mutant: Mutant) -> int:
    """The contract that holds the place, with the fault; INVALID where none does, or it does not compile."""
    verdict = INVALID
    with TemporaryDirectory() as above:
        write_fault(Path(above), mutant)
        for name in HOLDERS.get(Path(mutant.file).stem, CONTRACTS):
            found = compiled(name, Path(above))
            if found is None:
                return INVALID
            if found.bytecode != sound(name):
                verdict = every_case(FaultyReferee(name, found).agrees)
            if verdict == KILLED:
                break
    return verdict


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
    """Key of a mutant -> why nothing tells it from the law."""
    rows = [line.rpartition(" | ") for line in EXPLAINED.read_text().splitlines() if not line.startswith("#")]
    return {key: reason for key, _, reason in rows}


def drawn(rng: random.Random) -> Iterator[Mutant]:
    """Mutants of both twins by turns, in random order, kind by kind."""
    rest = {
        suffix: [
            mutant
            for path in sorted(LAW.glob(f"*{suffix}"))
            if path.stem not in ("__init__", "codes")
            for mutant in mutants_of(path.name, path.read_text())
        ]
        for suffix in (".py", ".vy")
    }
    for mutants in rest.values():
        rng.shuffle(mutants)
    while all(rest.values()):
        for mutants in rest.values():
            yield mutants.pop()


def judged(mutant: Mutant) -> int:
    """What the published cases make of a mutant."""
    judge = judge_python if mutant.file.endswith(".py") else judge_vyper
    return in_a_child(lambda: judge(mutant))


def run(size: int, seed: int, trees: int = 1) -> tuple[dict[str, Any], list[str]]:
    """So many mutants; without `trees` the ones that pass the law's cases are not tried any further."""
    assert every_case(importlib.import_module("tests.vectors.reading").agrees) == SURVIVED
    for name in CONTRACTS:
        sound(name)
    counted = {"vectors": 0, "tests": 0}
    by_twin = {".py": 0, ".vy": 0}
    survivors: list[Mutant] = []
    tried = 0
    for mutant in drawn(random.Random(seed)):
        verdict = judged(mutant)
        if verdict == INVALID:
            continue
        tried += 1
        by_twin[Path(mutant.file).suffix] += 1
        killer = "vectors" if verdict == KILLED else killed_in_a_tree(mutant) if trees else None
        if killer:
            counted[killer] += 1
        else:
            survivors.append(mutant)
        if verdict == SURVIVED:
            print(f"{mutant.file}:{mutant.line} {mutant.was} -> {mutant.now}: {killer}", file=sys.stderr)
        if tried == size:
            break
    return summary_of(tried, counted, by_twin, survivors)


def summary_of(
    tried: int, counted: dict[str, int], by_twin: dict[str, int], survivors: Sequence[Mutant]
) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what is not as it has to be."""
    reasons = explained()
    summary = {
        "mutants": tried,
        "killed_by_vectors": counted["vectors"],
        "killed_by_tests": counted["tests"],
        "survivors": [mutant.key for mutant in survivors],
        "by_twin": {"python": by_twin[".py"], "vyper": by_twin[".vy"]},
    }
    broken = [f"not explained: {mutant.key}" for mutant in survivors if mutant.key not in reasons]
    if counted["vectors"] * 100 < tried * NEEDED_PERCENT:
        broken.append(f"the vectors kill {counted['vectors']} of {tried}, less than {NEEDED_PERCENT} in a hundred")
    return summary, broken
