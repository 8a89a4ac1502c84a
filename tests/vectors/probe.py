"""Single functions of the law on bytecode: Probe.vy in an EVM, called with the Python containers."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pyrevm

from l1_bridge.contracts.compile import compile_to_artifact
from prover.stf import containers, encoding

_CALLER = "0x" + "ee" * 20


class ProbeReverted(Exception):
    """The function reverted."""


class Probe:
    """Calls by name; containers are passed as ABI tuples, positions as packed words."""

    def __init__(self) -> None:
        self.artifact = compile_to_artifact(Path(__file__).parent / "Probe.vy", optimize="none")
        self._evm = pyrevm.EVM(
            env=pyrevm.Env(cfg=pyrevm.CfgEnv(limit_contract_code_size=2**16)), gas_limit=2**40, spec_id="CANCUN"
        )
        self._evm.set_balance(_CALLER, 2**100)
        self._address = self._evm.deploy(_CALLER, self.artifact.creation_code())

    def call(self, name: str, *arguments: Any) -> Any:
        """What the function returns; ProbeReverted if it does not."""
        calldata = self.artifact.encode_call(name, *[plain(argument) for argument in arguments])
        try:
            output = self._evm.message_call(_CALLER, self._address, calldata=calldata, gas=2**32)
        except RuntimeError as error:
            raise ProbeReverted(str(error)[:100]) from None
        return self.artifact.decode_result(name, bytes(output))


@cache
def probe() -> Probe:
    """The probe, compiled once a process."""
    return Probe()


def plain(value: Any) -> Any:
    """An argument as the ABI encoder wants it."""
    if isinstance(value, containers.Position):
        return int.from_bytes(encoding.position_word(value), "big")
    if isinstance(value, msgspec.Struct):
        return tuple(plain(field) for field in msgspec.structs.astuple(value))
    if isinstance(value, bytes) and len(value) == 20:
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
