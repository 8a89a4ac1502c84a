"""The shipped referee in a local EVM: what L1 would answer, asked before anything is sent there."""

from pathlib import Path
from typing import Any, Final

from l1_bridge.contracts.artifact import Artifact, load_artifact

ARTIFACTS: Final = Path(__file__).parent / "artifacts"
FAMILIES: Final = ("Trading", "Custody", "Markets", "Rescue")
# EIP-7825: no transaction may have more.
GAS_LIMIT: Final = 16_777_216
_DEPLOYER: Final = "0x" + "ee" * 20


class RefereeRefused(Exception):
    """The referee reverted: the witness does not authenticate, or the gas ran out. Never a verdict on the chunk."""


def artifact(name: str) -> Artifact:
    """A contract of this room by its name."""
    return load_artifact(ARTIFACTS / f"{name}.json")


class LocalReferee:
    """FraudReferee and its families, deployed from the artifacts into an EVM of their own."""

    def __init__(self) -> None:
        # An EVM is loaded where one runs: wallets ask this module for artifacts alone.
        import pyrevm

        self._evm = pyrevm.EVM(gas_limit=2**40, spec_id="CANCUN")
        self._evm.set_balance(_DEPLOYER, 2**100)
        families = [self._evm.deploy(_DEPLOYER, artifact(name).bytecode) for name in FAMILIES]
        self._referee = artifact("FraudReferee")
        self._address = self._evm.deploy(_DEPLOYER, self._referee.creation_code(*families))
        self.gas_used = 0

    def replay(self, domain: bytes, pre_root: bytes, body: bytes, witness: bytes, gas: int = GAS_LIMIT) -> bytes:
        """The post-root; `gas_used` is then the gas of execution alone. `gas` limits a transaction of this calldata."""
        root: bytes = self._call("replay", domain, pre_root, body, witness, gas)
        return root

    def trace(
        self, domain: bytes, pre_root: bytes, body: bytes, witness: bytes, gas: int = 2**32
    ) -> tuple[bytes, tuple[int, ...]]:
        """The post-root, and the code of every operation."""
        root, operation_codes = self._call("trace", domain, pre_root, body, witness, gas)
        return root, operation_codes

    def _call(self, name: str, domain: bytes, pre_root: bytes, body: bytes, witness: bytes, gas: int) -> Any:
        calldata = self._referee.encode_call(name, domain, pre_root, body, witness)
        try:
            output = self._evm.message_call(_DEPLOYER, self._address, calldata=calldata, gas=gas)
        except RuntimeError as error:
            raise RefereeRefused(str(error)[:200]) from None
        result = self._evm.result
        assert result is not None
        # The EVM runs a whole transaction and counts its 21,000 and its calldata too.
        self.gas_used = result.gas_used - intrinsic_gas(calldata)
        return self._referee.decode_result(name, bytes(output))


def intrinsic_gas(calldata: bytes) -> int:
    """Gas that a transaction with this calldata pays before anything runs."""
    return 21_000 + 4 * _tokens(calldata)


def transaction_gas(execution_gas: int, calldata: bytes) -> int:
    """Gas of a transaction with this calldata: the larger of its parts and the floor of EIP-7623."""
    return max(intrinsic_gas(calldata) + execution_gas, 21_000 + 10 * _tokens(calldata))


def _tokens(calldata: bytes) -> int:
    zeros = calldata.count(0)
    return zeros + 4 * (len(calldata) - zeros)
