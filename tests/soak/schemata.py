"""Many faults of one text of the Vyper twin compiled at once: the number of the block says which of them is there.

A statement with faults becomes a choice between it and each of its faulty texts, so that a contract is compiled once
for hundreds of faults and not once for each. What stands outside of a function, or says how often a loop runs, cannot
be chosen like this.
"""

import io
import re
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import msgspec
import pyrevm
from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
from vyper.compiler.phases import CompilerData
from vyper.compiler.settings import OptimizationLevel, Settings
from vyper.exceptions import VyperException

from l1_bridge.contracts.compile import EVM_VERSION, ROOT
from prover.contracts.referee import FAMILIES, LocalReferee, RefereeRefused, artifact
from tests.soak.mutations import Mutant

LAW: Final = ROOT / "prover" / "stf"
CONTRACTS: Final = ("FraudReferee", *FAMILIES)
# A block of this number, and of those after it, has a fault.
FIRST_NUMBER: Final = 1_000
_DEPLOYER: Final = "0x" + "ee" * 20
_CONDITION: Final = re.compile(r"( *)(if|elif) (.+):(?: *#.*)?\n", re.DOTALL)
_DECLARATION: Final = re.compile(r"( *)(\w+): ([^=]+) = (.+)", re.DOTALL)
_WHOLE: Final = re.compile(r" *(for |else:|assert |def |@|struct )")


def statements(source: str) -> dict[int, tuple[int, int]]:
    """Line -> first and last line of the logical line that it is a part of."""
    found: dict[int, tuple[int, int]] = {}
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
            continue
        first = first or token.start[0]
        if token.type == tokenize.NEWLINE:
            found |= dict.fromkeys(range(first, token.end[0] + 1), (first, token.end[0]))
            first = 0
    return found


def switched(source: str, faults: Mapping[int, Mutant]) -> tuple[str, set[int]]:
    """The text that holds these faults, each under its number, and the numbers of those that it cannot hold."""
    lines = source.splitlines(keepends=True)
    places = statements(source)
    inside: dict[tuple[int, int], dict[int, str]] = {}
    swaps: dict[tuple[int, int], dict[int, str]] = {}
    left: set[int] = set()
    for number, fault in faults.items():
        theirs = fault.text.splitlines(keepends=True)
        if fault.kind == "order":
            span = (fault.line, fault.line + 3)
            if any(first <= span[1] and last >= span[0] for first, last in swaps):
                left.add(number)
            else:
                swaps[span] = {number: "".join(theirs[span[0] - 1 : span[1]])}
            continue
        span = places[fault.line]
        text = "".join(lines[span[0] - 1 : span[1]])
        other = "".join(theirs[span[0] - 1 : span[1]])
        if not text.startswith(" ") or _WHOLE.match(text) or _declared(text) != _declared(other):
            left.add(number)
        else:
            inside.setdefault(span, {})[number] = other
    for (first, last), texts in inside.items():
        lines[first - 1 : last] = [chosen("".join(lines[first - 1 : last]), texts), *[""] * (last - first)]
    for (first, last), texts in swaps.items():
        lines[first - 1 : last] = [chosen("".join(lines[first - 1 : last]), texts, False), *[""] * (last - first)]
    return "".join(lines), left


def chosen(text: str, others: Mapping[int, str], is_single: bool = True) -> str:
    """A statement, or in place of it the one of its number."""
    condition = _CONDITION.fullmatch(text) if is_single else None
    if condition is not None:
        asked = condition[3]
        for number, other in others.items():
            theirs = _CONDITION.fullmatch(other)
            assert theirs is not None
            asked = f"(({theirs[3]}) if block.number == {number} else ({asked}))"
        return f"{condition[1]}{condition[2]} {asked}:\n"
    indent = " " * (len(text) - len(text.lstrip(" ")))
    declaration = _DECLARATION.fullmatch(text) if is_single else None
    declared = ""
    if declaration is not None:
        declared = f"{indent}{declaration[2]}: {declaration[3]} = empty({declaration[3]})\n"
        text = _assigned(text)
        others = {number: _assigned(other) for number, other in others.items()}
    word = "if"
    made = declared
    for number, other in others.items():
        made += f"{indent}{word} block.number == {number}:\n{_indented(other)}"
        word = "elif"
    return f"{made}{indent}else:\n{_indented(text)}"


def _declared(text: str) -> tuple[str, ...]:
    found = _DECLARATION.fullmatch(text)
    return (found[2], found[3]) if found else ()


def _assigned(text: str) -> str:
    found = _DECLARATION.fullmatch(text)
    assert found is not None
    return f"{found[1]}{found[2]} = {found[4]}"


def _indented(text: str) -> str:
    return "".join("    " + line for line in text.splitlines(keepends=True))


class ManyFaults(LocalReferee):
    """The referee with these contracts in place of the shipped ones, whatever their size: without a fault at first."""

    def __init__(self, contracts: Mapping[str, bytes]) -> None:
        self._evm = pyrevm.EVM(
            env=pyrevm.Env(cfg=pyrevm.CfgEnv(limit_contract_code_size=2**17)), gas_limit=2**40, spec_id="CANCUN"
        )
        self._evm.set_balance(_DEPLOYER, 2**100)
        codes = {name: contracts.get(name, artifact(name).bytecode) for name in CONTRACTS}
        families = [self._evm.deploy(_DEPLOYER, codes[each]) for each in FAMILIES]
        self._referee = msgspec.structs.replace(artifact("FraudReferee"), bytecode=codes["FraudReferee"])
        self._address = self._evm.deploy(_DEPLOYER, self._referee.creation_code(*families))
        self.gas_used = 0

    def choose(self, number: int) -> None:
        """The fault of this number, and no other; none where there is no such."""
        self._evm.set_block_env(pyrevm.BlockEnv(number=number, gas_limit=2**40))

    def agrees(self, domain: bytes, case: Any) -> bool:
        """Whether it comes to the codes and the root of a case."""
        before, body, witness = (bytes.fromhex(case[part]) for part in ("pre_root", "body", "witness"))
        try:
            root, found = self.trace(domain, before, body, witness)
        except RefereeRefused:
            return False
        return (list(found), root.hex()) == (case["codes"], case["post_root"])


class Held(NamedTuple):
    """A referee and its faults by their numbers; those that it cannot hold; those that are no text of the law."""

    referee: ManyFaults
    faults: dict[int, Mutant]
    left: list[Mutant]
    invalid: list[Mutant]


def referee_with(file: str, faults: Sequence[Mutant]) -> Held:
    """The referee with as many of these faults of a file as it can hold."""
    held = dict(enumerate(faults, FIRST_NUMBER))
    left: list[Mutant] = []
    invalid: list[Mutant] = []
    while True:
        text, cannot = switched((LAW / file).read_text(), held)
        left += [held.pop(number) for number in cannot]
        try:
            return Held(ManyFaults(codes_of(file, text)), held, left, invalid)
        except VyperException as error:
            found = accused(file, text, str(error))
            for numbers in found:
                # Of several in one line the compiler does not say which.
                wrong = invalid if len(numbers) == 1 else left
                wrong += [held.pop(number) for number in numbers if number in held]
            if not found:
                # Functions that call each other: it says their names alone.
                named = [number for number, fault in held.items() if re.search(rf"\b{fault.function}\b", str(error))]
                if not named:
                    raise
                left += [held.pop(number) for number in named]


def accused(file: str, text: str, complaint: str) -> list[set[int]]:
    """The numbers of the faults that are chosen in, or by what stands around, each line that the compiler rejects."""
    lines = text.splitlines()
    found: list[set[int]] = []
    for line in map(int, re.findall(rf'^ *contract "[^"]*/{re.escape(file)}:(\d+)"', complaint, re.MULTILINE)):
        least = 10**6
        for at in range(min(line, len(lines)) - 1, -1, -1):
            indent = len(lines[at]) - len(lines[at].lstrip(" "))
            if not lines[at].strip() or indent >= least:
                continue
            least = indent
            numbers = set(map(int, re.findall(r"block\.number == (\d+)", lines[at])))
            if numbers:
                found.append(numbers)
            if numbers or (at < line - 1 and lines[at].endswith(":")):
                break
    return found


def codes_of(file: str, text: str) -> dict[str, bytes]:
    """The code of each contract that holds a file, with this text in its place; VyperException where it is none."""
    with TemporaryDirectory() as directory:
        above = Path(directory) / LAW.relative_to(ROOT)
        above.mkdir(parents=True)
        for path in LAW.glob("*.vy"):
            # What asks for the number of the block only reads, and so does whoever calls it.
            (above / path.name).write_text((text if path.name == file else path.read_text()).replace("@pure", "@view"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = {name: _compilation(name, Path(directory)) for name in holders(file)}
            # All that is wrong is said before anything is generated.
            for data in asked.values():
                _ = data.annotated_vyper_module
            return {name: data.bytecode for name, data in asked.items()}


def _compilation(name: str, above: Path) -> CompilerData:
    path = ROOT / "prover" / "contracts" / f"{name}.vy"
    text = path.read_text().replace("@pure", "@view")
    source = FileInput(source_id=0, path=path.relative_to(ROOT), resolved_path=path, contents=text)
    settings = Settings(evm_version=EVM_VERSION, optimize=OptimizationLevel.GAS)
    bundle = FilesystemInputBundle([ROOT, above])
    return CompilerData(source, bundle, settings=settings, no_bytecode_metadata=True)


def holders(file: str) -> list[str]:
    """The contracts that import a file of the law, themselves or by another one."""
    return [
        name for name in CONTRACTS if f"{Path(file).stem}" in _imported(ROOT / "prover" / "contracts" / f"{name}.vy")
    ]


@cache
def _imported(path: Path) -> frozenset[str]:
    direct = re.findall(r"^from prover\.stf import (\w+)", path.read_text(), re.MULTILINE)
    return frozenset(direct).union(*(_imported(LAW / f"{stem}.vy") for stem in direct))
