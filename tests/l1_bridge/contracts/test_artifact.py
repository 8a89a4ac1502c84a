"""Artifacts: calls by name, deployed code against shipped code, and artifacts that are what their sources give."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from l1_bridge.contracts import compile as compiler
from l1_bridge.contracts.artifact import ARTIFACTS, ArtifactError, load_artifact
from tests.l1_bridge.harness import Harness

CODE_SIZE_LIMIT = 24_576


@pytest.mark.parametrize("name", ["RollupBridge", "MockDollar"])
def test_the_committed_artifact_is_what_the_source_compiles_to(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compiler.main(["--check", name]) == 0
    assert capsys.readouterr().err == ""


def test_a_stale_missing_or_orphaned_artifact_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room = tmp_path / "l1_bridge" / "contracts"
    room.mkdir(parents=True)
    source = room / "MockDollar.vy"
    shutil.copy(ARTIFACTS.parent / "MockDollar.vy", source)
    assert compiler.main(["--check"], tmp_path) == 1
    assert "MockDollar.vy: stale artifact" in capsys.readouterr().err
    assert compiler.main([], tmp_path) == 0
    assert compiler.main(["--check"], tmp_path) == 0
    # the same source elsewhere gives the same bytes: no path of a machine is in an artifact
    assert (room / "artifacts" / "MockDollar.json").read_bytes() == (ARTIFACTS / "MockDollar.json").read_bytes()
    (room / "artifacts" / "Gone.json").write_text("{}")
    assert compiler.main(["--check"], tmp_path) == 1
    assert "Gone.json: an artifact without a contract" in capsys.readouterr().err
    (room / "artifacts" / "Gone.json").unlink()
    source.write_text(source.read_text() + "\n# another comment\n")
    assert compiler.main(["--check", "MockDollar"], tmp_path) == 1
    assert compiler.main(["Nobody"], tmp_path) == 1
    assert "no such contract: Nobody" in capsys.readouterr().err


def test_a_source_that_does_not_compile_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "l1_bridge" / "contracts" / "Broken.vy"
    source.parent.mkdir(parents=True)
    source.write_text("# pragma version 0.4.3\n\nx: nothing\n")
    assert compiler.main([], tmp_path) == 1
    assert capsys.readouterr().err.startswith("l1_bridge/contracts/Broken.vy: ")
    assert list(tmp_path.glob("l1_bridge/contracts/artifacts/*")) == []


def test_the_loader_needs_no_compiler() -> None:
    load = "from l1_bridge.contracts.artifact import bridge_artifact; bridge_artifact()"
    program = f"import sys; {load}; print('vyper' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_bridge_fits_into_a_contract() -> None:
    artifact = load_artifact("RollupBridge")
    assert len(artifact.runtime_bytecode) + artifact.immutable_bytes < CODE_SIZE_LIMIT
    assert set(artifact.sources) == {
        "l1_bridge/contracts/RollupBridge.vy",
        "l1_bridge/contracts/interfaces/IReferee.vyi",
    }


def test_deployed_code_is_compared_without_its_immutables(venue: Harness) -> None:
    artifact = venue.bridge.artifact
    code = venue.evm.code(venue.bridge.address)
    assert artifact.immutable_bytes > 0
    assert artifact.matches_runtime(code)
    assert artifact.matches_runtime(code[:-1] + bytes([code[-1] ^ 1]))
    assert not artifact.matches_runtime(bytes([code[0] ^ 1]) + code[1:])
    assert not artifact.matches_runtime(code[:-1])
    assert not artifact.matches_runtime(code + b"\x00")
    assert not artifact.matches_runtime(b"")


def test_selectors_are_of_the_whole_signature() -> None:
    token = load_artifact("MockDollar")
    assert token.functions["transfer"].selector == bytes.fromhex("a9059cbb")
    bridge = load_artifact("RollupBridge")
    pair = "(bytes32,bytes32)[]"
    assert bridge.functions["prove_fraud"].signature == (
        f"prove_fraud((uint256,bytes32,uint256,address),{pair},uint256,bytes,bytes)"
    )
    assert load_artifact(ARTIFACTS / "RollupBridge.json") == bridge


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"name": 1', '{"name": "a", "abi": [], "bytecode": "0xzz"}'])
def test_an_unreadable_artifact_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "Odd.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ArtifactError, match=r"Odd\.json"):
        load_artifact(path)
    with pytest.raises(ArtifactError, match="Nowhere"):
        load_artifact("Nowhere")
