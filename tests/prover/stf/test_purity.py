"""What keeps the law a law: pure, total, the same on every machine. Read from its text."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from prover.stf import constants
from prover.stf.replay import KINDS

STF: Final = Path(constants.__file__).parent
PYTHON: Final = sorted(STF.glob("*.py"))
VYPER: Final = sorted(STF.glob("*.vy"))
# Values, containers, fixed-width packing, and the one hash. Nothing that knows a clock, a file, a thread or chance.
PURE: Final = {"typing", "collections.abc", "struct", "msgspec", "l1_bridge.hashing"}
IMPURE_CALLS: Final = {"open", "print", "input", "hash", "id", "eval", "exec", "float", "round", "set"}
# An assert on L1 is a revert. These are the caller's faults, each about the witness alone.
WITNESS_FAULTS: Final = {
    "replay": {"pre-root", "globals", "order", "fee account", "hint", "tree root"},
    "merkle": {"height", "sibling", "mask", "stack"},
}
# Where a checked operation is left out, within PROTOCOL.md's bounds (test_bounds.py); in replay counters alone, of what
# one chunk and its witness hold.
UNSAFE: Final = {"margin", "encoding", "merkle", "replay"}


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def imports_of(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def impurities(source: str) -> list[str]:
    """Imports, floats, divisions, randomness by hash order and globals that are written."""
    found = [name for name in imports_of(source) if name not in PURE and not name.startswith("prover.stf")]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"float {node.value}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append("true division")
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Try | ast.Raise):
            found.append(type(node).__name__)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append(node.func.id)
    return found


@pytest.mark.parametrize("path", PYTHON, ids=names(PYTHON))
def test_the_python_law_is_pure(path: Path) -> None:
    found = impurities(path.read_text())
    # Decoders of what a store or L1 hands over say ValueError; no operation reaches them.
    allowed = ["Raise"] * 4 if path.name == "encoding.py" else []

    assert [each for each in found if each not in allowed] == []
    assert len(found) <= len(allowed)


@pytest.mark.parametrize(
    "source", ["import time", "from random import choice", "x = 0.5", "y = 1 / 2", "raise ValueError", "z = hash('a')"]
)
def test_an_impurity_is_noticed(source: str) -> None:
    assert impurities(source) != []


@pytest.mark.parametrize("path", PYTHON, ids=names(PYTHON))
def test_no_law_function_asserts_in_python(path: Path) -> None:
    asserting = [
        function.name
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef) and any(isinstance(node, ast.Assert) for node in ast.walk(function))
    ]
    # Both are called by the venue with what the law has already decided, never by a replay.
    assert asserting == (["admit", "book_fill"] if path.name == "replay.py" else [])


@pytest.mark.parametrize("path", VYPER, ids=names(VYPER))
def test_asserts_on_l1_are_about_the_witness_alone(path: Path) -> None:
    text = path.read_text()
    asserts = re.findall(r"^ *assert (.*)$", text, re.M)
    reasons = {line.rpartition('"')[0].rpartition('"')[2] for line in asserts}

    assert reasons == WITNESS_FAULTS.get(path.stem, set())
    assert all(line.endswith('"') for line in asserts)
    assert not re.search(r"^ *raise\b", text, re.M)
    assert "UNREACHABLE" not in text


@pytest.mark.parametrize("path", VYPER, ids=names(VYPER))
def test_unsafe_arithmetic_stands_only_where_bounds_are_proven(path: Path) -> None:
    assert ("unsafe_" in path.read_text()) == (path.stem in UNSAFE)


@pytest.mark.parametrize("path", VYPER, ids=names(VYPER))
def test_bounded_loops_run_over_what_the_law_has_clamped(path: Path) -> None:
    # A loop whose count is larger than its bound reverts: the count must not be the sequencer's.
    counts = set(re.findall(r"range\((\w+), bound=(\d+)\)", path.read_text()))

    assert counts <= {
        # check_tick has compared both with the globals, whose genesis keeps them in range.
        ("signer_count", "7"),
        ("market_count", "16"),
        # The caller's own counts.
        ("count", str(constants.MAX_LEAVES)),
        ("leaf_count", str(constants.MAX_LEAVES)),
    }


def test_capacities_follow_from_the_law_s_room() -> None:
    replay = (STF / "replay.vy").read_text()
    merkle = (STF / "merkle.vy").read_text()

    assert constants.MAX_ACCOUNT_ROWS == constants.MAX_ACCOUNT_REFERENCES + 1
    assert constants.MAX_LEAVES == constants.MAX_ACCOUNT_ROWS + constants.MAX_SLOT_REFERENCES
    # An operation leaves three rows, and the fee account's.
    assert set(re.findall(r"Account\[(\d+)\]", replay)) == {str(constants.MAX_ACCOUNT_ROWS), "4"}
    assert f"put_at: uint256[4] = [{', '.join([str(constants.MAX_ACCOUNT_ROWS)] * 4)}]" in replay
    assert set(re.findall(r"Slot\[(\d+)\]", replay)) == {str(constants.MAX_SLOT_REFERENCES)}
    assert set(re.findall(r"Order\[(\d+)\]", replay)) == {str(constants.MAX_ORDERS)}
    assert set(re.findall(r"DynArray\[int256, (\d+)\]", replay)) == {str(constants.MAX_OPERATIONS)}
    assert f"bytes32[{constants.MAX_LEAVES}]" in merkle
    # An order takes a slot and an account: no more orders than the smaller of both.
    assert min(constants.MAX_SLOT_REFERENCES, constants.MAX_ACCOUNT_REFERENCES) <= constants.MAX_ORDERS
    # Every row's number fits a hint's byte.
    assert constants.MAX_LEAVES < 256
    # The shortest operation, as often as a body holds it, and one that is cut off.
    shortest = constants.TICK_HEAD_LENGTH
    assert (constants.MAX_CHUNK_BYTES - constants.TIMESTAMP_LENGTH) // shortest + 1 == constants.MAX_OPERATIONS


def test_weights_are_those_of_the_bridge_s_queue() -> None:
    bridge = (STF.parents[1] / "l1_bridge" / "contracts" / "RollupBridge.vy").read_text()

    assert f"DEPOSIT_WEIGHT_KILOGAS: public(constant(uint256)) = {constants.DEPOSIT_WEIGHT}\n" in bridge
    weights = [KINDS[tag].weight for tag in range(constants.FORCED_RESCUE, constants.SET_VENUE + 1)]
    assert f"ENTRY_WEIGHTS_KILOGAS: public(constant(uint256[ENTRY_TAGS])) = {weights}\n" in bridge
    assert f"FIRST_ENTRY_TAG: constant(uint256) = {constants.FORCED_RESCUE}\n" in bridge
    assert f"FIRST_GOVERNOR_TAG: constant(uint256) = {constants.SET_MARKET}\n" in bridge
    assert f"ENTRY_TAGS: constant(uint256) = {len(weights)}\n" in bridge
    assert f"MAX_ENTRY_BYTES: constant(uint256) = {constants.MAX_ENTRY_BYTES}\n" in bridge
    payload_bytes = constants.MAX_ENTRY_BYTES - constants.ENTRY_HEAD_LENGTH
    assert f"MAX_PAYLOAD_BYTES: constant(uint256) = {payload_bytes}\n" in bridge
