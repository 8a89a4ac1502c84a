"""Compiles every deployable contract of the repository into committed artifacts, or checks that they are up to date.

What the compiler said is kept under the hash of all that it may have read: it takes seconds and says the same again.
A clean checkout compiles anew, and an artifact that was written by hand differs from what was kept.

python -m l1_bridge.contracts.compile [--check] [NAME ...]
"""

import argparse
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vyper import __long_version__
from vyper.compiler import outputs_from_compiler_data
from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
from vyper.compiler.phases import CompilerData
from vyper.compiler.settings import OptimizationLevel, Settings, anchor_settings
from vyper.exceptions import VyperException
from vyper.warnings import ContractSizeLimit

from l1_bridge.contracts.artifact import Artifact, load_artifact

ROOT = Path(__file__).parents[2]
ROOMS = ("l1_bridge", "prover")
COMPILER = "0.4.3"
EVM_VERSION = "cancun"  # the oldest with transient storage (the lock) and MCOPY: runs on every L1 since March 2024
OPTIMIZE = "gas"
CODE_SIZE_LIMIT = 24_576
KEPT = ROOT / ".compiled"


class CompileError(Exception):
    """A contract that does not compile, or is too large to be deployed."""


def compile_contract(path: Path, root: Path = ROOT, optimize: str = OPTIMIZE) -> dict[str, Any]:
    """What the artifact file of one contract holds, ready for JSON; modules are found from the repository's root."""
    kept = KEPT / f"{_digest_of_all_read(path, root, optimize)}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_bytes())
        return found
    compiled = _compile(path, root, optimize)
    KEPT.mkdir(exist_ok=True)
    # Two processes may compile the same at once: each puts a whole file in place.
    draft = kept.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(compiled))
    draft.replace(kept)
    return compiled


def _digest_of_all_read(path: Path, root: Path, optimize: str) -> str:
    """Hex SHA-256 of this file, the compiler, its settings and every source that a contract can import, with paths."""
    sources = {path, *(each for room in ROOMS for each in (root / room).rglob("*.vy*"))}
    digest = hashlib.sha256()
    for part in (Path(__file__).read_bytes(), __long_version__, optimize, path.relative_to(root).as_posix()):
        digest.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    for source in sorted(sources):
        digest.update(hashlib.sha256(source.relative_to(root).as_posix().encode()).digest())
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def _compile(path: Path, root: Path, optimize: str) -> dict[str, Any]:
    # the real path of a source must not leak into what is compared
    source = FileInput(source_id=0, path=path.relative_to(root), resolved_path=path, contents=path.read_text())
    settings = Settings(evm_version=EVM_VERSION, optimize=OptimizationLevel.from_string(optimize))
    data = CompilerData(source, FilesystemInputBundle([root]), settings=settings, no_bytecode_metadata=True)
    try:
        with warnings.catch_warnings():
            # the size is judged below
            warnings.simplefilter("ignore", ContractSizeLimit)
            outputs = outputs_from_compiler_data(data, ["abi", "bytecode", "bytecode_runtime", "layout"])
        with anchor_settings(data.settings):
            immutable_bytes = data.global_ctx.immutable_section_bytes
    except VyperException as error:
        raise CompileError(f"{path.relative_to(root)}: {error}") from error
    size = (len(outputs["bytecode_runtime"]) - 2) // 2 + immutable_bytes
    # otherwise it is made for a test's machine, which asks for no size
    if optimize == OPTIMIZE and size > CODE_SIZE_LIMIT:
        raise CompileError(f"{path.relative_to(root)}: {size} bytes of code, the limit is {CODE_SIZE_LIMIT}")
    sources = {path, *(Path(each.resolved_path) for each in data.resolved_imports.compiler_inputs)}
    return {
        "name": path.stem,
        "compiler": {"vyper": __long_version__, "evm_version": EVM_VERSION, "optimize": optimize},
        "sources": {
            each.relative_to(root).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
            for each in sorted(sources)
            # the compiler's own interfaces may lie below the root too, in a virtual environment
            if each.is_relative_to(root) and "site-packages" not in each.relative_to(root).parts
        },
        "abi": outputs["abi"],
        "bytecode": outputs["bytecode"],
        "runtime_bytecode": outputs["bytecode_runtime"],
        "immutable_bytes": immutable_bytes,
        "layout": outputs["layout"],
    }


def compile_to_artifact(path: Path, root: Path = ROOT, optimize: str = OPTIMIZE) -> Artifact:
    """Compiles without writing an artifact: for contracts that only tests deploy."""
    content = compile_contract(path, root, optimize)
    return Artifact(
        name=content["name"],
        abi=content["abi"],
        bytecode=bytes.fromhex(content["bytecode"][2:]),
        runtime_bytecode=bytes.fromhex(content["runtime_bytecode"][2:]),
        immutable_bytes=content["immutable_bytes"],
        sources=content["sources"],
        compiler=content["compiler"],
    )


def deployable_contracts(root: Path) -> Iterator[tuple[Path, Path]]:
    """(source, artifact) of every contract that is deployed; what stands elsewhere in a room is a module."""
    for room in ROOMS:
        contracts = root / room / "contracts"
        for source in sorted(contracts.glob("*.vy")):
            yield source, contracts / "artifacts" / f"{source.stem}.json"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Exit code 0 if all is written (or, with --check, up to date), 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m l1_bridge.contracts.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed artifacts, write nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="contracts to compile (default: all)")
    options = parser.parse_args(arguments)
    if not __long_version__.startswith(COMPILER):
        print(f"vyper {COMPILER} is required, this is {__long_version__}", file=sys.stderr)
        return 1
    contracts = list(deployable_contracts(root))
    unknown = set(options.names) - {source.stem for source, _ in contracts}
    if unknown:
        print(f"no such contract: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 1
    stale = False
    for source, artifact in contracts:
        if options.names and source.stem not in options.names:
            continue
        try:
            text = json.dumps(compile_contract(source, root), indent=1, sort_keys=True) + "\n"
        except CompileError as error:
            print(error, file=sys.stderr)
            stale = True
            continue
        if not options.check:
            artifact.parent.mkdir(exist_ok=True)
            artifact.write_text(text)
            compiled = load_artifact(artifact)
            size = len(compiled.runtime_bytecode) + compiled.immutable_bytes
            print(f"{source.relative_to(root)}: {size} bytes of {CODE_SIZE_LIMIT}")
        elif not artifact.exists() or artifact.read_text() != text:
            print(
                f"{source.relative_to(root)}: stale artifact, run python -m l1_bridge.contracts.compile",
                file=sys.stderr,
            )
            stale = True
    if options.check and not options.names:
        expected = {artifact for _, artifact in contracts}
        found = [path for room in ROOMS for path in (root / room / "contracts" / "artifacts").glob("*.json")]
        for orphan in sorted(found):
            if orphan not in expected:
                print(f"{orphan.relative_to(root)}: an artifact without a contract", file=sys.stderr)
                stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
