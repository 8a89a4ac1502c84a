"""`catenary gateway`: options and how it starts."""

from pathlib import Path

import click

from prover.cli.options import AddressType, HostName, config_option, gathered, output_options
from prover.cli.running import EXIT_USAGE, CommandFailed, StandardOutput, configure_logging, run
from sequencer.gateway.options import Options


@click.command()
@click.option("--node-url", default="http://127.0.0.1:9545", show_default=True, help="The node's JSON-RPC.")
@click.option("--l1-rpc-url", default="http://127.0.0.1:8545", show_default=True, help="An L1 node that you trust.")
@click.option("--rollup-address", type=AddressType(), help="Refuse any other rollup; by default, any but the first.")
@click.option(
    "--wallet-dir",
    type=click.Path(path_type=Path),
    default=Path("~/.catenary/wallets"),
    show_default=True,
    help="Keystores, receipts, verified contracts.",
)
@click.option(
    "--signer",
    type=(AddressType(), click.IntRange(0), str),
    multiple=True,
    metavar="ADDRESS ACCOUNT KEYSTORE",
    help="Whose Hyperliquid signatures trade which account, and the keystore of its agent. Repeat for more.",
)
@click.option("--password-file", type=click.Path(path_type=Path), help="File with the keystores' password.")
@click.option("--port", type=click.IntRange(0, 65_535), default=9646, show_default=True, help="On 127.0.0.1; 0: any.")
@click.option("--good-till", default="24h", show_default=True, help="How long an order lives that is Gtc or Alo.")
@click.option("--allow-host", type=HostName(), multiple=True, help="Another name that requests may come for.")
@output_options
@config_option
@gathered(Options)
def gateway(options: Options) -> None:
    """Let programs written for Hyperliquid trade here, unmodified: its /info, /exchange and /ws on 127.0.0.1.

    Each order is signed anew by an agent that the account's owner has let trade (`catenary wallet agent set`). Only
    signatures of source "b" are taken, of fresh keys that are registered here: one of source "a" would be valid on
    Hyperliquid itself.
    """
    # Here and not above: whoever only reads the help needs neither trio nor a client.
    from sequencer.gateway.running import run_gateway

    configure_logging(options.log_level, options.json)
    if not options.signer:
        raise CommandFailed("Say who trades what: --signer ADDRESS ACCOUNT KEYSTORE.", EXIT_USAGE)
    output = StandardOutput(options.json)
    run(output, lambda: run_gateway(output, options))
