"""`catenary practice`: its options."""

import sys
import tempfile
from pathlib import Path

import click
import msgspec
import trio

from prover.cli.options import config_option, output_options
from prover.cli.running import CommandFailed, StandardOutput, configure_logging, run, until_signal


@click.command()
@click.option("--yes", "is_hurried", is_flag=True, help="Do not wait for Enter between the steps.")
@output_options
@config_option
def practice(is_hurried: bool, json: bool, log_level: str) -> None:
    """Learn it with play money: positions, a margin call, a gentle liquidation, the exit through L1.

    A devnet of its own with played prices, and a key made for it; all of it is gone at the end.
    """
    from sequencer.demo import practice as practice_module

    configure_logging(log_level, json)
    output = StandardOutput(json)
    is_asking = not is_hurried and not json and sys.stdin.isatty()

    async def pause() -> None:
        if is_asking:
            click.echo("\n  [Enter] goes on", nl=False)
            await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)

    async def story(directory: Path) -> bool:
        async with until_signal():
            learnt = await practice_module.play(directory, output, pause)
            title = (
                "That is all: docs/trading.md has the words" if learnt.held else "A step did not show what it should"
            )
            output.summary(title, msgspec.structs.asdict(learnt), good=learnt.held)
            return learnt.held
        raise CommandFailed("Stopped before the end.")

    with tempfile.TemporaryDirectory(prefix="catenary-practice-") as temporary:
        run(output, lambda: story(Path(temporary)))
