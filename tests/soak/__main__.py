"""The one home of long campaigns: a subcommand each, seed printed, non-zero exit on a violation, JSON summary last."""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 only when the campaign's promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    twins = commands.add_parser("twins", help="the Python law against the deployed bytecode")
    twins.add_argument("--cases", type=int, default=20_000)
    worst = commands.add_parser("worst", help="the dearest chunks: gas and calldata of a fraud proof")
    worst.add_argument("--rounds", type=int, default=40)
    for command in (twins, worst):
        command.add_argument("--seed", type=int, default=None)
        command.add_argument("--json", action="store_true", help="the summary as one line of JSON")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", file=sys.stderr)
    summary: dict[str, Any]
    if options.command == "twins":
        from tests.soak import twins as campaign

        summary, broken = campaign.run(options.cases, seed)
    else:
        from tests.soak import worst_case

        summary, broken = worst_case.run(options.rounds, seed)
    for line in broken:
        print(f"VIOLATION: {line}", file=sys.stderr)
    print(json.dumps(summary) if options.json else json.dumps(summary, indent=1))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
