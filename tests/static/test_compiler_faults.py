"""The pinned compiler's faults: it still has those that are said to be reproduced, and each is held off by a rule."""

from pathlib import Path

import pyrevm
import pytest
from vyper import ast
from vyper.compiler import compile_code
from vyper.compiler.settings import OptimizationLevel, Settings

from l1_bridge.contracts import compile as compiler
from l1_bridge.contracts.artifact import load_artifact
from tests.static import lint

ROOT = Path(__file__).parents[2]
_SENDER = "0x" + "ee" * 20


def answer(source: str, argument: int, value_wei: int = 0) -> list[int]:
    """Words that the one function of a source returns, compiled as the contracts are."""
    settings = Settings(evm_version=compiler.EVM_VERSION, optimize=OptimizationLevel.from_string(compiler.OPTIMIZE))
    out = compile_code(source, output_formats=["bytecode", "method_identifiers"], settings=settings)
    evm = pyrevm.EVM(spec_id="CANCUN")
    evm.set_balance(_SENDER, 10**30)
    address = evm.deploy(_SENDER, bytes.fromhex(out["bytecode"][2:]))
    (selector,) = out["method_identifiers"].values()
    calldata = bytes.fromhex(selector[2:].zfill(8)) + argument.to_bytes(32, "big")
    data = bytes(evm.message_call(_SENDER, address, calldata=calldata, value=value_wei))
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def literals(source: str) -> list[tuple[str, object]]:
    """Numbers of a source as the compiler reads them."""
    return [(type(node).__name__, node.value) for node in ast.parse_to_ast(source).get_descendants((ast.Int, ast.Hex))]


def test_the_compiler_is_the_one_that_the_page_speaks_of() -> None:
    pinned = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if '"vyper==' in line]
    assert pinned == [f'    "vyper=={compiler.COMPILER}",']
    assert f"Vyper {compiler.COMPILER}, its legacy pipeline" in lint.DOCUMENT.read_text()
    for _, artifact in compiler.deployable_contracts(ROOT):
        assert load_artifact(artifact).compiler["vyper"].startswith(f"{compiler.COMPILER}+")
        assert load_artifact(artifact).compiler["optimize"] == compiler.OPTIMIZE == "gas"


def test_each_fault_is_held_off_by_a_rule_or_by_a_file_of_tests() -> None:
    rows = lint.table("The pinned compiler's known faults")
    assert len(rows) >= 14
    for _, _, why, held_by in rows:
        assert why
        for name in lint.named(held_by):
            assert name in lint.RULES or (ROOT / name).exists(), name


def test_the_venom_pipeline_is_not_asked_for() -> None:
    text = Path(compiler.__file__).read_text()
    assert "experimental" not in text
    assert "venom" not in text


TERNARY = """
@external
@payable
def f(a: bool) -> uint256:
    return (msg.value | 4) if a else 9
"""
PLAIN = """
@external
@payable
def f(a: bool) -> uint256:
    if a:
        return msg.value | 4
    return 9
"""
NESTED = """
@external
def f(a: bool) -> DynArray[DynArray[uint256, 3], 2]:
    x: DynArray[DynArray[uint256, 2], 2] = [[1, 2], [3, 4]]
    y: DynArray[DynArray[uint256, 3], 2] = [[5, 6, 7], [8, 9, 10]]
    return x if a else y
"""


def test_the_pinned_compiler_folds_an_or_in_a_ternary() -> None:
    assert answer(TERNARY, 1, 16) == [1]
    assert answer(PLAIN, 1, 16) == [20]
    assert answer(PLAIN, 0, 16) == [9]


def test_the_pinned_compiler_misreads_the_narrower_array_of_a_ternary() -> None:
    words = answer(NESTED, 1)
    assert words[:5] == [32, 2, 64, 160, 2]
    # [[1, 2], [3, 4]] was asked for.
    assert words[5:] != [1, 2, 2, 3, 4]


@pytest.mark.parametrize("letter", ["x", "\uff58"])
def test_the_pinned_compiler_misreads_a_literal_behind_a_wide_letter(letter: str) -> None:
    number = "0x1111111111111111111111111111111111111112"
    found = literals(f"@external\ndef f():\n    {letter}: address = {number}\n")
    # An address is read as a number, since its first digits are looked for further to the right.
    assert found == ([("Hex", number)] if letter == "x" else [("Int", int(number, 16))])


def test_the_pinned_compiler_counts_a_line_separator_as_a_line() -> None:
    number = "0x1111111111111111111111111111111111111112"
    plain = f"# a b\n# c\nX: constant(address) = {number}\n"
    assert literals(plain) == [("Hex", number)]
    assert literals(plain.replace("a b", "a\u2028b")) != [("Hex", number)]
