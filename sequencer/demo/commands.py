"""`catenary demo`: its options."""

import tempfile
from pathlib import Path

import click
import msgspec

from prover.cli.options import config_option, output_options
from prover.cli.running import CommandFailed, StandardOutput, configure_logging, run, until_signal


@click.command()
@click.option(
    "--datadir", type=click.Path(path_type=Path), help="Where it keeps everything; a temporary one if not given."
)
@click.option("--l1-rpc-url", default="", help="Play on this devnet L1, such as anvil, and not on an embedded one.")
@click.option("--keep", is_flag=True, help="Leave L1 and node up at the end.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of traders and prices.")
@click.option("--window", "window_seconds", type=click.IntRange(10), default=20, show_default=True, help="Seconds.")
@output_options
@config_option
def demo(
    datadir: Path | None, l1_rpc_url: str, keep: bool, seed: int, window_seconds: int, json: bool, log_level: str
) -> None:
    """Play the whole story: trade, a lying sequencer, the proof, a new sequencer, the claim, rebuilt from L1."""
    from sequencer.demo import demo as demo_module

    configure_logging(log_level, json)
    output = StandardOutput(json)

    async def story(directory: Path) -> bool:
        config = demo_module.DemoConfig(directory, l1_rpc_url, keep, seed, window_seconds)
        async with until_signal():
            summary = await demo_module.play(config, output)
            title = "Nobody lost a cent" if summary.held else "The promise did NOT hold"
            output.summary(title, msgspec.structs.asdict(summary), good=summary.held)
            return summary.held
        raise CommandFailed("Stopped before the end.")

    if datadir is not None:
        run(output, lambda: story(datadir.expanduser()))
        return
    with tempfile.TemporaryDirectory(prefix="catenary-demo-") as temporary:
        run(output, lambda: story(Path(temporary)))
