"""Libraries of the page: which files of which npm packages, gathered from where npm has put them.

`python -m sequencer.dashboard.libraries NODE_MODULES` copies them beside this module, into a folder that is in no
commit and in every wheel. Versions and sums stand in the project's package-lock.json.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

LIBRARIES: Final = Path(__file__).parent / "libraries"

# By folder of a package: the files that the page imports, and those that they import.
_FILES: Final = {
    "preact": ("dist/preact.mjs", "hooks/dist/hooks.mjs", "LICENSE"),
    "htm": ("dist/htm.mjs", "LICENSE"),
    "@preact/signals": ("dist/signals.mjs", "LICENSE"),
    "@preact/signals-core": ("dist/signals-core.mjs", "LICENSE"),
    "lightweight-charts": ("dist/lightweight-charts.standalone.production.mjs", "LICENSE"),
    "@noble/hashes": ("sha3.js", "sha2.js", "hmac.js", "utils.js", "_md.js", "_u64.js", "LICENSE"),
    "@noble/curves": (
        "secp256k1.js",
        "utils.js",
        "abstract/curve.js",
        "abstract/der.js",
        "abstract/fft.js",
        "abstract/frost.js",
        "abstract/hash-to-curve.js",
        "abstract/modular.js",
        "abstract/weierstrass.js",
        "LICENSE",
    ),
}
# What is imported by a name: where it is served, below the folder of libraries. All of them end in .js there.
SPECIFIERS: Final = {
    "preact": "preact/dist/preact.js",
    "preact/hooks": "preact/hooks/dist/hooks.js",
    "htm": "htm/dist/htm.js",
    "@preact/signals": "@preact/signals/dist/signals.js",
    "@preact/signals-core": "@preact/signals-core/dist/signals-core.js",
    "lightweight-charts": "lightweight-charts/dist/lightweight-charts.standalone.production.js",
    "@noble/hashes/": "@noble/hashes/",
    "@noble/curves/": "@noble/curves/",
}


def gather(modules: Path, target: Path = LIBRARIES) -> list[Path]:
    """Copies the files out of a node_modules folder; FileNotFoundError names one that is missing."""
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for package, names in _FILES.items():
        for name in names:
            copy = (fresh / package / name).with_suffix(".js" if name.endswith(".mjs") else Path(name).suffix)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(modules / package / name, copy)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return sorted(path for path in target.rglob("*") if path.is_file())


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
