"""The command `catenary`: every command is an entry point of this distribution, and only the asked one is imported."""

import gc
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import click

from prover.cli.options import name_variables

GROUP: Final = "catenary.commands"
# What the list says of each, so that it is printed without importing one of them.
SHORT_HELP: Final = {
    "agent": "A trader's own process: slices of a size, orders that are kept, stops that trail, alerts.",
    "bench": "Measure the node's path from signature check to LevelDB, and a challenger's replay.",
    "challenger": "Replay every batch from L1 alone and prove a fraudulent one in one transaction.",
    "datadir": "Check, back up, restore and repair a node's datadir. The node must not run.",
    "demo": "Play the whole story: trade, a lying sequencer, the proof, a new sequencer, the claim, rebuilt from L1.",
    "gateway": "Let programs written for Hyperliquid trade here, unmodified.",
    "node": "Run the venue: match, sequence, keep, post.",
    "oracle": "Sign prices and premiums at every grid time and report them to nodes.",
    "practice": "Learn it with play money: positions, a margin call, a gentle liquidation, the exit through L1.",
    "seat": "The committer's seat: who holds it, bond ahead, bond again, hand it over, take a bond home.",
    "verify": "Rebuild the state from L1 alone and compare it with what the bridge keeps.",
    "wallet": "Keys, money and orders of one trader.",
}

_YOUNG_OBJECTS: Final = 100_000


class Commands(click.Group):
    """A group whose commands are found as entry points, by their name in `SHORT_HELP`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, and nothing is imported for them."""
        return sorted({*SHORT_HELP, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name, its options named after it in the environment."""
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in SHORT_HELP:
            command = installed(cmd_name)
        if command is not None:
            name_variables(command, f"CATENARY_{cmd_name.upper()}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(SHORT_HELP.items()))


def installed(name: str) -> click.Command:
    """The command that is this distribution's entry point of a name; a usage error where it was installed without."""
    target = _entry_points().get(name)
    if target is None:
        raise click.UsageError(f"this installation is older than its source and has no {name!r}: install it again.")
    module, _, attribute = target.partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


def _entry_points() -> dict[str, str]:
    """Name -> module:attribute, from the file that an installer wrote as importlib.metadata would read it."""
    # That module takes as long to import as click does, and would be half of what `--help` costs.
    for directory in sys.path:
        for path in Path(directory).glob("catenary-*.dist-info/entry_points.txt"):
            _, _, section = path.read_text().partition(f"[{GROUP}]\n")
            pairs = (line.partition("=") for line in section.partition("[")[0].splitlines() if line)
            return {name.strip(): target.strip() for name, _, target in pairs}
    return {}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="catenary")
def cli() -> None:
    """Catenary: cross-margin perpetual futures on an optimistic rollup with one-transaction fraud proofs.

    Every option is also an environment variable, CATENARY_<COMMAND>_<OPTION>. Exit codes: 0 the promise held, 1 it did
    not, 2 usage, 3 missing or wrong L1, 4 datadir in use, foreign or damaged.
    """


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:2] == ["wallet"]:
        _start_quickly()
    cli()


def _start_quickly() -> None:
    """What a process of half a second can do without."""
    # httpx has a command of its own, which imports what colours sources, and speaks HTTP/2, which no node is asked in.
    for unneeded in ("httpx._main", "h2"):
        sys.modules.setdefault(unneeded, ModuleType(unneeded))
    # Nothing that modules make while they load is garbage: looking for it takes a tenth of a start.
    gc.set_threshold(_YOUNG_OBJECTS)


if __name__ == "__main__":
    main()
