"""`catenary bench`: its options."""

import tempfile
from pathlib import Path

import click


def _even(_context: click.Context, _parameter: click.Parameter, value: int) -> int:
    if value % 2:
        raise click.BadParameter("accounts open their positions in pairs, so their number is even.")
    return value


@click.command(help="Measure the node's path from signature check to LevelDB, and a challenger's replay.")
@click.option("--seconds", type=click.FloatRange(min=0.1, max=600.0), default=20.0, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--accounts", type=click.IntRange(min=200, max=100_000), default=1_000, show_default=True, callback=_even)
@click.option("--json", "json_lines", is_flag=True, help="One JSON object, the summary.")
def bench(seconds: float, seed: int, accounts: int, json_lines: bool) -> None:
    import msgspec
    import trio
    from rich.console import Console

    from sequencer.bench.bench import ORDERS_PER_FILL, measure, progress, table

    with tempfile.TemporaryDirectory(prefix="catenary-bench-") as directory, progress(json_lines) as say:
        summary = trio.run(measure, Path(directory), seconds, seed, accounts, say)
    if json_lines:
        click.echo(msgspec.json.encode(summary))
    else:
        Console().print(table(summary))
    if not summary.roots_equal:
        raise click.ClickException("the replay does not end at the roots that were sealed")
    lowest, highest = ORDERS_PER_FILL
    if not lowest <= summary.orders_per_fill <= highest:
        raise click.ClickException(
            f"{summary.orders_per_fill:.2f} orders a fill are not {lowest} to {highest}: measure longer"
        )
