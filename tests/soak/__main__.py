"""The one home of long campaigns: a subcommand each, seed printed, non-zero exit on a violation, JSON summary last."""

import argparse
import importlib
import json
import random
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple


class Campaign(NamedTuple):
    """A module with `run(size, seed) -> (summary, violations)`, imported only when it is asked for."""

    module: str
    promise: str
    size: str
    default: int
    # Further keywords of `run`: whole numbers, each with its default.
    options: tuple[tuple[str, int], ...] = ()


CAMPAIGNS: Final = {
    "twins": Campaign("twins", "the Python law against the deployed bytecode", "cases", 20_000),
    "worst": Campaign("worst_case", "the dearest chunks: gas and calldata of a fraud proof", "rounds", 40),
    "venue": Campaign("venue", "crowds, and venues that die at every point of their writing", "cases", 20_000),
    "margin": Campaign("margin", "random histories against an independent reading of the margin law", "cases", 10_000),
    "rollback": Campaign("rollback", "a roll-back costs the same whatever follows the lie", "followers", 100_000),
    "crash": Campaign("crash", "January 2022: gentle against full liquidation", "accounts", 200, (("hours", 48),)),
    "house": Campaign("house", "folders, classes, functions and words of the source, counted", "most", 5),
    "bridge": Campaign("bridge", "states of a bridge: the node has a batch that it takes, always", "cases", 20_000),
    "claims": Campaign("claims", "mutated withdrawal proofs against the bridge: none is taken", "cases", 100_000),
    "honest": Campaign("honest", "honest chunks against every abuse of a proof: nobody is slashed", "cases", 10_000),
    "byzantine": Campaign(
        "byzantine", "whatever the bridge takes: each lie is proven, no truth is", "seeds", 100, (("process", 0),)
    ),
    "hostile": Campaign("hostile", "what a hostile seat wins, path by path", "cases", 20_000, (("history", -1),)),
    "mutants": Campaign(
        "mutants", "faults of either twin: the published vectors notice each", "cases", 400, (("trees", 1),)
    ),
    "rebuild": Campaign("rebuild", "a node's rebuild from L1 beside a challenger's replay", "rounds", 100),
    "scale": Campaign(
        "scale", "a tick that hurts nobody costs the same however many accounts there are", "accounts", 100_000
    ),
    "overload": Campaign(
        "overload", "forty attackers cost a fair client little, and nothing acknowledged", "seconds", 60
    ),
    "weather": Campaign(
        "weather",
        "faults of L1, reorganisations, kills, clocks: all end where the bridge is",
        "cases",
        300,
        (("real", -1), ("workers", 1)),
    ),
    "memory": Campaign("memory", "a node's memory under an hour's number of fills, sampled", "fills", 36_000),
    "kills": Campaign(
        "kills", "kill -9 under load, in starts, rebuilds and hand-overs: what was acknowledged stays", "kills", 500
    ),
    "bots": Campaign(
        "bots",
        "two bots over a connection that is cut and a node that is killed: their books stay right",
        "minutes",
        10,
    ),
    "api": Campaign("api", "whatever is sent to the API has an answer that its document explains", "requests", 100_000),
    "drill": Campaign("drill", "the oracle's outage drill against a real node", "rounds", 1),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 only when the campaign's promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, campaign in CAMPAIGNS.items():
        command = commands.add_parser(name, help=campaign.promise)
        command.add_argument(f"--{campaign.size}", dest="size", type=int, default=campaign.default)
        for option, default in campaign.options:
            command.add_argument(f"--{option}", type=int, default=default)
        command.add_argument("--seed", type=int, default=None)
        command.add_argument("--json", action="store_true", help="the summary as one line of JSON")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", file=sys.stderr)
    started = time.monotonic()
    summary: dict[str, Any]
    chosen = CAMPAIGNS[options.command]
    further = {option: getattr(options, option) for option, _ in chosen.options}
    summary, broken = importlib.import_module(f"tests.soak.{chosen.module}").run(options.size, seed, **further)
    summary = {"seed": seed, "seconds": round(time.monotonic() - started, 1)} | summary
    for line in broken:
        print(f"VIOLATION: {line}", file=sys.stderr)
    print(json.dumps(summary) if options.json else json.dumps(summary, indent=1))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
