"""Writes the golden vectors, or checks them: python -m tests.vectors [--check | --corners | --pick] [--to DIR].

The chunks of `law.json` are given: it says anew what both twins decide about them. `--corners` makes those of the
corner tests anew and leaves the others, `--pick` chooses all of them again (`--mutants N` by faults as well).
"""

import argparse
import json
import sys
from pathlib import Path

from tests.vectors.generate import FILES, held, law_of
from tests.vectors.pool import picks, with_corners

HERE = Path(__file__).parent


def main() -> int:
    """Exit code 1 when --check finds a file that differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--pick", action="store_true", help="choose the law's chunks anew, by its branches: minutes")
    parser.add_argument("--corners", action="store_true", help="the corner tests' chunks anew, the others as they are")
    parser.add_argument("--mutants", type=int, default=0, help="with --pick: and until they notice so many faults, too")
    parser.add_argument("--to", type=Path, default=HERE, help="another directory")
    options = parser.parse_args()
    stale = False
    for name, make in FILES.items():
        if name == "law.json" and options.pick:
            made = law_of(picks(options.mutants))
        elif name == "law.json" and options.corners:
            made = law_of(with_corners(held()))
        else:
            made = make()
        text = json.dumps(made, indent=1) + "\n"
        path = options.to / name
        if not options.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{name}: not what the law gives, run python -m tests.vectors", file=sys.stderr)
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
