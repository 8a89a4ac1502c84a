"""The law with one rule taken out: what an attack test runs to show the loss that the rule prevents."""

import inspect
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pyrevm
import pytest

from l1_bridge.contracts.compile import compile_to_artifact
from prover.contracts.referee import FAMILIES, LocalReferee, RefereeRefused, artifact
from prover.signing.recover import recover_fast
from prover.state.state import State
from prover.stf.replay import Chunk
from tests.twins import venue

ROOT: Final = Path(__file__).parent.parent.parent
_DEPLOYER: Final = "0x" + "ee" * 20


def rule_off(monkeypatch: pytest.MonkeyPatch, module: ModuleType, rule: str, instead: str = "") -> None:
    """Runs the module's own text without `rule` in place of its functions, and of a chunk's, until the test ends."""
    source = inspect.getsource(module)
    assert source.count(rule) >= 1, f"{module.__name__} has no such rule: {rule}"
    namespace: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(rule, instead), f"{module.__name__} without a rule", "exec"), namespace)
    for name, own in list(vars(module).items()):
        if getattr(own, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(own):
            monkeypatch.setattr(module, name, namespace[name])
        elif name in ("WorkingState", "Chunk"):
            for method, function in vars(namespace[name]).items():
                if inspect.isfunction(function):
                    monkeypatch.setattr(own, method, function)


def python_chunk(state: State, *operations: bytes, timestamp: int = venue.NOW) -> Chunk:
    """A chunk of the Python law alone, not made the new state."""
    chunk = state.chunk(recover_fast)
    chunk.run(venue.body_of(operations, timestamp))
    return chunk


class VariantReferee(LocalReferee):
    """A FraudReferee compiled from changed sources, with the shipped families."""

    def __init__(self, changes: Mapping[str, tuple[str, str]]) -> None:
        super().__init__()
        # Code that is not optimised is larger than a chain would take, and dearer.
        unlimited = pyrevm.CfgEnv(limit_contract_code_size=2**16)
        self._evm = pyrevm.EVM(env=pyrevm.Env(cfg=unlimited), gas_limit=2**40, spec_id="CANCUN")
        self._evm.set_balance(_DEPLOYER, 2**100)
        families = [self._evm.deploy(_DEPLOYER, artifact(name).bytecode) for name in FAMILIES]
        code = compile_variant(changes) + b"".join(bytes(12) + bytes.fromhex(each[2:]) for each in families)
        self._address = self._evm.deploy(_DEPLOYER, code)


def compile_variant(changes: Mapping[str, tuple[str, str]], contract: str = "FraudReferee") -> bytes:
    """Creation code of a contract after textual changes {stem: (rule, what stands there instead)}, not optimised."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for source in [*(ROOT / "prover" / "contracts").glob("*.vy"), *(ROOT / "prover" / "stf").glob("*.vy")]:
            text = source.read_text()
            for name, (rule, instead) in changes.items():
                if name.partition("#")[0] == source.stem:
                    assert text.count(rule) == 1, f"{source.name} has no such rule: {rule}"
                    text = text.replace(rule, instead)
            target = root / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return compile_to_artifact(root / "prover" / "contracts" / f"{contract}.vy", root, "none").bytecode


# Every guard of the witness, and of the edge between chunk and witness, that an attack of test_law_witness.py needs.
WITNESS_RULES: Final[dict[str, tuple[str, str]]] = {
    # Trap 1: emptiness decided by one field.
    "encoding#account": ("    if digest == EMPTY_ACCOUNT:", "    if account.owner == containers.NOBODY:"),
    "encoding#slot": ("    if slot.sequence == 0 and slot.filled == 0:", "    if slot.sequence == 0:"),
    # Trap 2: a sibling that is announced but zero.
    "merkle": ('                    assert sibling != empty(bytes32), "sibling"\n', ""),
    # Trap 3: a hint to a row that was never loaded.
    "replay#hint": (
        "assert found < account_count and convert(account_at[found], int256) == index",
        "assert convert(account_at[found], int256) == index",
    ),
    # Trap 7: reading before the length is checked.
    "replay#length": ("        if size == 0 or size > unsafe_sub(length, at):", "        if size == 0:"),
    # Rows in any order: one address in two places.
    "replay#order": ('        assert i == 0 or leaf > leaves[i - 1], "order"\n', ""),
}


@cache
def without_witness_rules() -> VariantReferee:
    """The referee with none of WITNESS_RULES; the reason of the shipped one's revert says which rule is at work."""
    return VariantReferee(WITNESS_RULES)


def refusal(domain: bytes, pre_root: bytes, body: bytes, witness: bytes) -> str:
    """Why the shipped referee refuses; "" for a bare revert. Fails where it does not refuse."""
    with pytest.raises(RefereeRefused) as caught:
        venue.referee().replay(domain, pre_root, body, witness, gas=2**32)
    return reason(str(caught.value))


def reason(text: str) -> str:
    """The revert reason in an error's text, which may be cut off."""
    output = text.partition("0x08c379a0")[2].rstrip(" }")
    if not output:
        return ""
    length = int(output[64:128], 16)
    return bytes.fromhex(output[128 : 128 + 2 * length][: (len(output) - 128) // 2 * 2]).decode()
