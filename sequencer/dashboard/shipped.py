"""What the page holds contracts on L1 to: hashes of the shipped code, out of the artifacts.

`python -m sequencer.dashboard.shipped` writes static/shipped.js anew. A test holds the file to the artifacts.
"""

import json
from pathlib import Path
from typing import Any, Final

from l1_bridge.contracts.artifact import Artifact, bridge_artifact
from l1_bridge.hashing import keccak
from prover.contracts.referee import FAMILIES, artifact
from prover.stf import constants

TARGET: Final = Path(__file__).parent / "static" / "shipped.js"
_HEAD: Final = (
    "// Hashes of the contracts that this version ships, of their artifacts: python -m sequencer.dashboard.shipped\n"
    "// Of each the runtime code without the immutables behind it, and of the bridge the creation code, too.\n"
)


def shipped() -> str:
    """The module's text."""
    contracts = [bridge_artifact(), artifact("FraudReferee"), *(artifact(name) for name in FAMILIES)]
    whole: dict[str, Any] = {one.name: _hashes(one) for one in contracts}
    written = json.dumps(whole, indent=2)
    families = json.dumps(list(FAMILIES))
    return (
        f"{_HEAD}export const SHIPPED = {written};\n\n"
        f"export const FAMILIES = {families};\n\nexport const LAW_VERSION = {constants.LAW_VERSION};\n"
    )


def _hashes(contract: Artifact) -> dict[str, Any]:
    return {
        "runtimeHash": "0x" + keccak(contract.runtime_bytecode).hex(),
        "runtimeBytes": len(contract.runtime_bytecode),
        "immutableBytes": contract.immutable_bytes,
        "creationHash": "0x" + keccak(contract.bytecode).hex(),
        "creationBytes": len(contract.bytecode),
    }


if __name__ == "__main__":
    TARGET.write_text(shipped())
