"""The two readings of the law side by side: same declarations in the same order, bodies equal line by line.

Both texts are brought to one normal form first (NORMALISED says how and why); what still differs is counted, printed,
and may not be more than one body line in ten. replay is the exception: there the rows differ (ARCHITECTURE.md).
"""

import ast
import difflib
import importlib
import re
from pathlib import Path
from typing import Final

import msgspec
import pytest

from prover.stf import codes, constants, containers

STF: Final = Path(constants.__file__).parent
STEMS: Final = ("debts", "encoding", "margin", "merkle", "signatures", "custody", "markets", "trading", "rescue")
LIMIT: Final = 0.1

# Every difference that the comparison does not count, with its reason.
NORMALISED: Final = {
    "decorators, docstrings, comments": "they decide nothing",
    "self.": "Vyper's way to name a function of the same file",
    "staticcall Interface(ADDRESS).": "the size limit of a contract splits the families",
    "convert(x, T)": "Vyper has no implicit conversion",
    "unsafe_add(a, b) and a + b, and so on": "the bounds of PROTOCOL.md hold there; checks would double a fill's gas",
    "loop variable annotations, range(n, bound=k)": "Vyper wants a type and a static bound",
    "T[n] and list[T]": "one kind of array",
    "empty(T[n]) and [0] * n": "a fresh array",
    ".copy()": "Vyper copies on assignment",
    "b'...' and '...'": "both are bytes to keccak256",
}

# Declared in Python alone.
PYTHON_ONLY: Final[dict[str, dict[str, str]]] = {
    "encoding": {
        "position_word": "a position is a struct in Python, its packed word in Vyper",
        "position_from_word": "the same",
        "globals_bytes": "Vyper's abi_encode",
        "commitment_bytes": "Vyper's abi_encode",
        "_signed": "Vyper's abi_decode",
        "globals_from_bytes": "Vyper's abi_decode",
        "commitment_from_bytes": "Vyper's abi_decode",
        "account_head": "Vyper's abi_encode",
        "account_payload": "the witness is written by Python and read in replay.vy",
        "account_payload_head": "the same",
        "account_from_payload": "the same",
        "slot_payload": "the same",
        "slot_from_payload": "the same",
        "no_account": "Vyper's empty(Account)",
        "no_slot": "Vyper's empty(Slot)",
    },
}
# Declared in Vyper alone.
VYPER_ONLY: Final[dict[str, dict[str, str]]] = {
    "merkle": {
        "at": "words.word_at: bytes are call data in Vyper",
        "roots": "prover/state/multiproof.py: Python has the tree itself",
    },
}


def normal_vyper(text: str) -> str:
    """Vyper source that Python's parser reads."""
    text = re.sub(r"\bstaticcall \w+\(\w+\)\.", "", text)
    text = text.replace("self.", "")
    text = re.sub(r"for (\w+): \w+ in", r"for \1 in", text)
    text = re.sub(r", bound=\d+\)", ")", text)
    return re.sub(r"^struct (\w+):", r"class \1:", text, flags=re.M)


UNSAFE: Final = {"unsafe_add": ast.Add, "unsafe_sub": ast.Sub, "unsafe_mul": ast.Mult, "unsafe_div": ast.FloorDiv}


class Normal(ast.NodeTransformer):
    """Brings both trees to one form."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in UNSAFE:
            return ast.BinOp(node.args[0], UNSAFE[node.func.id](), node.args[1])
        if isinstance(node.func, ast.Name) and node.func.id == "convert":
            return node.args[0]
        if isinstance(node.func, ast.Name) and node.func.id == "empty":
            return ast.Name("FRESH")
        if isinstance(node.func, ast.Attribute) and node.func.attr == "copy":
            return node.func.value
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return ast.Name("FRESH") if isinstance(node.left, ast.List) else node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return ast.Name("FRESH")

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(node.value.decode("latin-1")) if isinstance(node.value, bytes) else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        node.annotation = array(node.annotation)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        if node.annotation is not None:
            node.annotation = array(node.annotation)
        return node


def array(annotation: ast.expr) -> ast.expr:
    return ast.Name("array") if isinstance(annotation, ast.Subscript) else annotation


def functions_of(source: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(source)
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def lines_of(function: ast.FunctionDef) -> list[str]:
    """Signature and body, one statement a line, in the normal form."""
    normal = Normal().visit(function)
    body = normal.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    head = ", ".join(f"{each.arg}: {ast.unparse(each.annotation)}" for each in normal.args.args)
    return [head, *(line for statement in body for line in ast.unparse(statement).splitlines())]


def compared(stem: str) -> tuple[int, int, list[str]]:
    """Lines, differing lines and the difference itself over all functions that both twins declare."""
    python = functions_of((STF / f"{stem}.py").read_text())
    vyper = functions_of(normal_vyper((STF / f"{stem}.vy").read_text()))
    total = differing = 0
    shown: list[str] = []
    for name in python:
        if name in vyper:
            one, other = lines_of(python[name]), lines_of(vyper[name])
            total += len(one)
            for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
                if kind != "equal":
                    differing += max(b - a, d - c)
                    shown += [f"{stem}.{name} py: {line}" for line in one[a:b]]
                    shown += [f"{stem}.{name} vy: {line}" for line in other[c:d]]
    return total, differing, shown


@pytest.mark.parametrize("stem", STEMS)
def test_twins_declare_the_same_functions_in_the_same_order(stem: str) -> None:
    python = list(functions_of((STF / f"{stem}.py").read_text()))
    vyper = list(functions_of(normal_vyper((STF / f"{stem}.vy").read_text())))
    python_only, vyper_only = PYTHON_ONLY.get(stem, {}), VYPER_ONLY.get(stem, {})

    assert set(python_only) <= set(python)
    assert set(vyper_only) <= set(vyper)
    assert [name for name in python if name not in python_only] == [name for name in vyper if name not in vyper_only]


def test_at_most_one_body_line_in_ten_differs(capsys: pytest.CaptureFixture[str]) -> None:
    total = differing = 0
    shares: list[str] = []
    shown: list[str] = []
    for stem in STEMS:
        of_stem, differing_of_stem, lines = compared(stem)
        shares.append(f"{stem} {differing_of_stem}/{of_stem}")
        shown += lines
        total += of_stem
        differing += differing_of_stem
    with capsys.disabled():
        print(f"\ntwins: {differing} of {total} lines differ ({differing / total:.1%}): {', '.join(shares)}")

    assert differing <= total * LIMIT, "\n".join(shown)


# The lines that may differ, each for the reason beside it; a new one has to be written down here.
ALLOWED: Final = {
    "encoding": "a position is a packed word in Vyper; addresses convert; abi_encode writes every word by itself",
    "signatures": "one struct pack in Python on the hot path; ecrecover is an argument there",
    "markets": "call data offsets in Vyper, bytes in Python; ecrecover is an argument there",
}


@pytest.mark.parametrize("stem", [stem for stem in STEMS if stem not in ALLOWED])
def test_the_other_stems_do_not_differ_at_all(stem: str) -> None:
    _, differing, lines = compared(stem)

    assert differing == 0, "\n".join(lines)


def constants_of(stem: str) -> dict[str, int]:
    tree = ast.parse((STF / f"{stem}.vy").read_text())
    return {
        node.target.id: eval(compile(ast.Expression(node.value), stem, "eval"))
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }


@pytest.mark.parametrize(("stem", "module"), [("constants", constants), ("codes", codes)])
def test_values_are_equal(stem: str, module: object) -> None:
    python = {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, int)}
    vyper = constants_of(stem)

    assert python == vyper
    assert list(python) == list(vyper)


def test_every_code_has_a_sentence_and_its_own_number() -> None:
    numbers = {name: value for name, value in vars(codes).items() if name.isupper() and isinstance(value, int)}

    assert sorted(numbers.values()) == list(range(len(numbers)))
    assert {value: name for name, value in numbers.items()} == {
        value: name for value, (name, _) in codes.SENTENCE.items()
    }
    assert all(sentence.endswith(".") for _, sentence in codes.SENTENCE.values())


def test_containers_have_the_same_fields_in_the_same_order() -> None:
    tree = ast.parse(normal_vyper((STF / "containers.vy").read_text()))
    vyper = {
        node.name: [field.target.id for field in node.body if isinstance(field, ast.AnnAssign)]
        for node in tree.body
        # What a family contract reads for itself in Vyper: in Python the chunk has decoded it.
        if isinstance(node, ast.ClassDef) and node.name != "Signed"
    }
    python = {
        name: list(kind.__struct_fields__)
        for name, kind in vars(containers).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }

    assert python == vyper
    assert list(python) == list(vyper)


def test_layout_constants_of_encoding_are_equal() -> None:
    encoding = importlib.import_module("prover.stf.encoding")
    text = (STF / "encoding.vy").read_text()
    for name in ("SIZE_BIAS", "COST_BIAS", "FUNDING_BIAS", "PREMIUM_BIAS"):
        found = re.search(rf"^{name}: constant\(int256\) = (.+)$", text, re.M)
        assert found is not None
        assert eval(found[1]) == getattr(encoding, name)
    found = re.search(r"EMPTY_ACCOUNT: constant\(bytes32\) = 0x(\w+)", text)
    assert found is not None
    assert bytes.fromhex(found[1]) == encoding.EMPTY_ACCOUNT


def test_signed_types_are_equal() -> None:
    from l1_bridge.hashing import keccak
    from prover.stf import signatures

    text = (STF / "signatures.vy").read_text()
    found = re.findall(r'^(\w+_TYPE): constant\(bytes32\) = keccak256\("(.+)"\)$', text, re.M)

    assert {name: keccak(value.encode()) for name, value in found} == {
        name: value for name, value in vars(signatures).items() if name.endswith("_TYPE")
    }
    half = re.search(r"HALF_ORDER: constant\(uint256\) = (\d+)", text)
    assert half is not None
    assert int(half[1]) == signatures.HALF_ORDER


def test_the_comparison_sees_a_changed_operator() -> None:
    source = (STF / "margin.vy").read_text()
    changed = source.replace("owed = unsafe_add(owed", "owed = unsafe_sub(owed")
    assert changed != source
    python = functions_of((STF / "margin.py").read_text())["settle"]
    vyper = functions_of(normal_vyper(changed))["settle"]

    assert lines_of(python) != lines_of(vyper)
