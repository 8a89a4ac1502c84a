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
_CONSTANT: Final = re.compile(r"(\w+): constant\([^=]+\) = .+", re.DOTALL)
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


Span = tuple[int, int]
Texts = dict[Path, str]


class Choices:
    """The statements of one text that have faults, each with its faulty texts by number."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines(keepends=True)
        self.places = statements(source)
        self.inside: dict[Span, dict[int, str]] = {}
        self.swaps: dict[Span, dict[int, str]] = {}

    def text(self, span: Span) -> str:
        """What stands there."""
        return "".join(self.lines[span[0] - 1 : span[1]])

    def using(self, pattern: str) -> list[Span]:
        """The statements in which something is named."""
        spans = sorted(set(self.places.values()))
        return [span for span in spans if '"""' not in self.text(span) and re.search(pattern, self.text(span))]

    def switched(self) -> str:
        """The text with all choices."""
        lines = list(self.lines)
        for spans, is_single in ((self.inside, True), (self.swaps, False)):
            for (first, last), texts in spans.items():
                lines[first - 1 : last] = [
                    chosen("".join(lines[first - 1 : last]), texts, is_single),
                    *[""] * (last - first),
                ]
        return "".join(lines)


def switched(sources: Texts, path: Path, faults: Mapping[int, Mutant]) -> tuple[Texts, set[int]]:
    """The texts that hold these faults of one of them, each under its number, and the numbers that they cannot hold."""
    every = {each: Choices(source) for each, source in sources.items()}
    ours = every[path]
    left: set[int] = set()
    for number, fault in faults.items():
        theirs = fault.text.splitlines(keepends=True)
        swap = (fault.line, fault.line + 3)
        span = swap if fault.kind == "order" else ours.places[fault.line]
        text, other = ours.text(span), "".join(theirs[span[0] - 1 : span[1]])
        if fault.kind == "order":
            if any(first <= swap[1] and last >= swap[0] for first, last in ours.swaps):
                left.add(number)
            else:
                ours.swaps[swap] = {number: other}
        elif is_choosable(text) and _declared(text) == _declared(other):
            ours.inside.setdefault(span, {})[number] = other
        elif not chosen_where_it_is_used(every, path, span, other, number):
            left.add(number)
    return {each: choices.switched() for each, choices in every.items()}, left


def is_choosable(text: str) -> bool:
    """Whether a statement of a function can be a choice."""
    return text.startswith(" ") and not _WHOLE.match(text)


def chosen_where_it_is_used(every: Mapping[Path, Choices], path: Path, span: Span, other: str, number: int) -> bool:
    """Puts a second constant beside one, to be chosen in every statement that names it; whether that can be."""
    found = _CONSTANT.fullmatch(other)
    if found is None:
        return False
    name, second = found[1], f"{found[1]}_{number}"
    uses: list[tuple[Choices, Span, str]] = []
    for each, choices in every.items():
        prefix = "" if each == path else rf"{path.stem}\."
        uses += [
            (choices, where, re.sub(rf"(?<![\w.])({prefix}){name}\b", rf"\g<1>{second}", choices.text(where)))
            for where in choices.using(rf"(?<![\w.]){prefix}{name}\b")
            if (each, where) != (path, span)
        ]
    if any(
        not is_choosable(choices.text(where)) or _declared(choices.text(where)) != _declared(text)
        for choices, where, text in uses
    ):
        return False
    for choices, where, text in uses:
        choices.inside.setdefault(where, {})[number] = text
    ours = every[path]
    ours.lines[span[1] - 1] += other.replace(name, second, 1)
    return True


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
        texts, cannot = switched(sources(), LAW / file, held)
        left += [held.pop(number) for number in cannot]
        try:
            return Held(ManyFaults(codes_of(file, texts)), held, left, invalid)
        except VyperException as error:
            found = [numbers for path, text in texts.items() for numbers in accused(path.name, text, str(error))]
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


def sources() -> Texts:
    """The text of every file of the Vyper twin; what asks for the block's number only reads, and so do its callers."""
    paths = [*sorted(LAW.glob("*.vy")), *(ROOT / "prover" / "contracts" / f"{name}.vy" for name in CONTRACTS)]
    return {path: path.read_text().replace("@pure", "@view") for path in paths}


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
            # In a choice, or in a second constant.
            numbers = {int(number) for number in re.findall(r"(?:block\.number == |^\w+_)(\d+)(?!\d|\w)", lines[at])}
            if numbers:
                found.append(numbers)
            if numbers or (at < line - 1 and lines[at].endswith(":")):
                break
    return found


def codes_of(file: str, texts: Texts) -> dict[str, bytes]:
    """The code of each contract that holds a file, by these texts; VyperException where they are none."""
    with TemporaryDirectory() as directory:
        for path, text in texts.items():
            copy = Path(directory) / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = {name: _compilation(name, Path(directory)) for name in holders(file)}
            # All that is wrong is said before anything is generated.
            for data in asked.values():
                _ = data.annotated_vyper_module
            return {name: data.bytecode for name, data in asked.items()}


def _compilation(name: str, above: Path) -> CompilerData:
    path = Path("prover") / "contracts" / f"{name}.vy"
    text = (above / path).read_text()
    source = FileInput(source_id=0, path=path, resolved_path=ROOT / path, contents=text)
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
