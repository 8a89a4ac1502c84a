"""`catenary agent`: a trader's own process, by a configuration."""

from pathlib import Path

import click

from prover.cli.options import output_options
from prover.cli.running import CommandFailed, StandardOutput, configure_logging, run

_FILE = click.Path(path_type=Path)


@click.group()
def agent() -> None:
    """A trader's own process: slices of a size, orders that are kept, stops that trail, alerts.

    By the key of an agent that the account's owner has let trade (`catenary wallet agent set`); docs/bots.md has a
    configuration. Everything signed stands in a journal before it is sent: a restart goes on and doubles nothing.
    """


@agent.command("run")
@click.argument("config", type=_FILE)
@click.option("--password-file", type=_FILE, help="File with the agent's password.")
@click.option("--owner-password-file", type=_FILE, help="File with the owner's password, for top_up alone.")
@output_options
def run_command(
    config: Path, password_file: Path | None, owner_password_file: Path | None, json: bool, log_level: str
) -> None:
    """Go round until a signal."""
    # Here and not above: whoever only reads the help needs neither trio nor a client.
    from sequencer.agent.running import Given, run_agent

    configure_logging(log_level, json)
    output = StandardOutput(json)
    run(output, lambda: run_agent(output, Given(config, password_file, owner_password_file)))


@agent.command("status")
@click.argument("config", type=_FILE)
@output_options
def status_command(config: Path, json: bool, log_level: str) -> None:
    """What the journal says of each task; asks nobody."""
    from sequencer.agent.running import told_status
    from sequencer.client.errors import ClientError

    configure_logging(log_level, json)
    try:
        told_status(StandardOutput(json), config)
    except ClientError as error:
        raise CommandFailed(f"{error}.", error.status) from None
