"""What others see of each contract, from its artifact: selectors, topics, storage and immutables as golden files.

python -m tests.static.surface        writes the golden files anew
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from l1_bridge.contracts.artifact import load_artifact
from l1_bridge.contracts.compile import ROOT, deployable_contracts

GOLDEN: Final = Path(__file__).parent / "golden"


def surface(artifact: Path) -> dict[str, Any]:
    """Functions and events by selector and topic; where each variable and each immutable lies."""
    compiled = load_artifact(artifact)
    mutability = {entry["name"]: entry["stateMutability"] for entry in compiled.abi if entry["type"] == "function"}
    layout = json.loads(artifact.read_text())["layout"]
    return {
        "functions": [
            f"{each.selector.hex()} {mutability[each.name]} {each.signature} -> ({','.join(each.output_types)})"
            for each in sorted(compiled.functions.values(), key=lambda each: each.signature)
        ],
        "events": [
            f"{topic.hex()} {event.signature} indexed {' '.join(name for name, _ in event.indexed)}"
            for topic, event in sorted(compiled.events.items(), key=lambda item: item[1].signature)
        ],
        "storage": _places(layout.get("storage_layout", {}), "slot", "n_slots"),
        "transient": _places(layout.get("transient_storage_layout", {}), "slot", "n_slots"),
        "immutables": _places(layout.get("code_layout", {}), "offset", "length"),
    }


def _places(layout: dict[str, Any], at: str, size: str, prefix: str = "") -> list[str]:
    """Variables in the order of their places: where, how much, name and type."""
    found = []
    for name, held in layout.items():
        if at in held:
            found.append((held[at], f"{held[at]} +{held[size]} {prefix}{name}: {held['type']}"))
        else:
            found += [(int(line.split()[0]), line) for line in _places(held, at, size, f"{prefix}{name}.")]
    return [line for _, line in sorted(found)]


def text(artifact: Path) -> str:
    """A golden file's content."""
    return json.dumps(surface(artifact), indent=1) + "\n"


def golden() -> dict[Path, Path]:
    """The golden file of each artifact."""
    return {artifact: GOLDEN / artifact.name for _, artifact in deployable_contracts(ROOT)}


def main() -> int:
    """Writes every golden file."""
    GOLDEN.mkdir(exist_ok=True)
    for artifact, place in golden().items():
        place.write_text(text(artifact))
    return 0


if __name__ == "__main__":
    sys.exit(main())
