"""What shipped bytecode can run is what docs/contracts.md lists for it."""

from pathlib import Path

import pytest

from l1_bridge.contracts.artifact import load_artifact
from tests.static import lint, opcodes, surface

NEVER = {"DELEGATECALL", "CALLCODE", "CREATE", "CREATE2", "SELFDESTRUCT", "ORIGIN", "EXTCODECOPY", "BLOCKHASH"}


@pytest.mark.parametrize("artifact", surface.golden(), ids=lambda path: path.stem)
def test_code_runs_nothing_but_what_is_listed(artifact: Path) -> None:
    rows = [row for row in lint.table("What bytecode can run") if artifact.stem in lint.named(row[0])]
    listed = {opcode for _, which, _ in rows for opcode in lint.named(which)}
    found = opcodes.beyond_computing(load_artifact(artifact).runtime_bytecode)
    assert found == listed
    assert not found & NEVER


def test_the_law_touches_no_chain() -> None:
    for artifact in surface.golden():
        if "prover" in artifact.parts:
            found = opcodes.beyond_computing(load_artifact(artifact).runtime_bytecode)
            assert found <= {"CALLVALUE", "GAS", "STATICCALL"}, artifact.stem


@pytest.mark.parametrize(
    ("code", "run"),
    [
        ("00", {"STOP"}),
        # Behind an end only a JUMPDEST begins again.
        ("0055", {"STOP"}),
        ("005b55", {"STOP", "JUMPDEST", "SSTORE"}),
        # A JUMPDEST in pushed bytes is none.
        ("00605b55", {"STOP"}),
        ("60005755", {"PUSH", "JUMPI", "SSTORE"}),
        # What is no opcode ends a run.
        ("0c55", {"INVALID"}),
        # A push that is cut off.
        ("7f00", {"PUSH"}),
        ("5f80915bf4", {"PUSH0", "DUP", "SWAP", "JUMPDEST", "DELEGATECALL"}),
    ],
)
def test_only_what_can_run_is_counted(code: str, run: set[str]) -> None:
    assert opcodes.run_by(bytes.fromhex(code)) == run
