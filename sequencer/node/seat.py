"""`catenary seat`: the committer's seat on L1, how it goes from one operator to the next, and a second bond."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from prover.cli.options import AddressType, config_option, gathered, key_options, output_options
from prover.cli.running import EXIT_BROKEN, EXIT_DATADIR, EXIT_USAGE, CommandFailed, StandardOutput, configure_logging
from prover.cli.running import run as run_command
from sequencer.node.commands import DEFAULT_DATADIR

if TYPE_CHECKING:
    from l1_bridge.client.client import L1Client
    from l1_bridge.client.keys import Signer

_GAS: Final = 600_000
_LOOK_SECONDS: Final = 0.2


class SeatOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a command of the seat was told."""

    l1_rpc_url: str
    rollup_address: bytes
    json: bool
    log_level: str
    keystore: Path | None = None
    password_file: Path | None = None
    development_key: int = 0
    endpoint_url: str = ""
    bond_id: int = 0


class HandOverOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary seat hand-over` was told."""

    datadir: Path
    bond_id: int
    json: bool
    log_level: str


class BondAgainOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `catenary seat bond-again` was told."""

    datadir: Path
    json: bool
    log_level: str


def _on_l1(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--rollup-address", type=AddressType(), required=True, help="Address of the bridge."),
        click.option("--l1-rpc-url", required=True, help="JSON-RPC of an L1 node."),
    ):
        command = option(command)
    return output_options(config_option(command))


@click.group()
def seat() -> None:
    """The committer's seat: who holds it, bond ahead, bond again, hand it over, take a bond home."""


@seat.command()
@_on_l1
@gathered(SeatOptions)
def show(options: SeatOptions) -> None:
    """Say who holds the seat, and since when."""
    output = _output(options)

    async def asked() -> bool:
        from sequencer.l1.poster import seat_now

        async with _bridge(options) as client:
            held = await seat_now(client, options.rollup_address)
        title = "the seat is held" if held.bond_id else "the seat is open"
        output.summary(title, msgspec.structs.asdict(held), good=bool(held.bond_id))
        return True

    run_command(output, asked)


@seat.command("bond-ahead")
@_on_l1
@key_options
@click.option("--endpoint-url", required=True, help="Where the node will answer; wallets read it on L1.")
@gathered(SeatOptions)
def bond_ahead(options: SeatOptions) -> None:
    """Pay the bond of a seat that its holder will hand over; the id is for him. It goes home as long as it waits."""
    output = _output(options)

    async def paid() -> bool:
        from l1_bridge.codec import calls
        from sequencer.l1.poster import seat_now

        async with _bridge(options) as client:
            bridge = options.rollup_address
            fixed = calls.decode_record(
                calls.Parameters, await client.eth_call(bridge, calls.encode_call("parameters"))
            )
            held = await seat_now(client, bridge)
            if not held.bond_id:
                raise CommandFailed("The seat is open: `catenary node --take-seat` takes it.", EXIT_USAGE)
            data, signer = (
                calls.encode_call("bond_ahead", options.endpoint_url, held.bond_id),
                await _signer(options, client),
            )
            receipt = await client.send(signer, bridge, data, value=fixed.bond_wei, gas=_GAS)
            found = await _bond_of(client, bridge, signer.address, receipt.block_number)
        fields = {
            "bond_id": found,
            "holder": signer.address,
            "bond_wei": fixed.bond_wei,
            "ahead_of": held.holder,
        }
        output.summary("bonded ahead", fields, good=True)
        return True

    run_command(output, paid)


@seat.command()
@_on_l1
@key_options
@click.argument("bond_id", type=click.IntRange(1))
@gathered(SeatOptions)
def withdraw(options: SeatOptions) -> None:
    """Take a bond home that is not seated and whose batches are final."""
    output = _output(options)

    async def taken() -> bool:
        from l1_bridge.codec import calls

        async with _bridge(options) as client:
            data, signer = calls.encode_call("withdraw_bond", options.bond_id), await _signer(options, client)
            # Asked before it is paid for: the refusal says why.
            await client.eth_call(options.rollup_address, data, sender=signer.address, gas=_GAS)
            receipt = await client.send(signer, options.rollup_address, data, gas=_GAS)
        fields = {"bond_id": options.bond_id, "transaction_hash": receipt.transaction_hash}
        output.summary("the bond is home", fields, good=True)
        return True

    run_command(output, taken)


@seat.command("bond-again")
@click.option(
    "--datadir", type=click.Path(path_type=Path), default=DEFAULT_DATADIR, show_default=True, help="Of the node."
)
@output_options
@config_option
@gathered(BondAgainOptions)
def bond_again(options: BondAgainOptions) -> None:
    """Let the next start with --take-seat put up another bond, where the one that an earlier start put up is lost.

    However often a node is started, it puts up one bond for one --take-seat; this says it again.
    """
    configure_logging(options.log_level, options.json)
    output = StandardOutput(options.json)

    async def said() -> bool:
        from sequencer.l1.seating import forget_word

        path = options.datadir.expanduser()
        if not forget_word(path):
            raise CommandFailed(f"No start in {path} has put up a bond: --take-seat alone says it.", EXIT_USAGE)
        output.summary("the next start with --take-seat may put up a bond", {"datadir": str(path)}, good=True)
        return True

    run_command(output, said)


@seat.command("hand-over")
@click.option(
    "--datadir", type=click.Path(path_type=Path), default=DEFAULT_DATADIR, show_default=True, help="Of a running node."
)
@click.argument("bond_id", type=click.IntRange(1))
@output_options
@config_option
@gathered(HandOverOptions)
def hand_over(options: HandOverOptions) -> None:
    """Let the running node stop taking, post all, hand its seat to the holder of a bond, and end.

    Ends once the node has: its datadir is then the successor's to copy, open orders and journal with it.
    """
    configure_logging(options.log_level, options.json)
    output = StandardOutput(options.json)

    async def left() -> bool:
        import trio

        from sequencer.node import datadir as datadirs

        path = options.datadir.expanduser()
        if not datadirs.is_held(path):
            raise CommandFailed(f"No node runs on {path}: a seat is handed over by the node that has it.", EXIT_DATADIR)
        try:
            datadirs.ask(path, options.bond_id)
        except OSError as error:
            raise CommandFailed(f"The node cannot be asked: {error}.", EXIT_DATADIR) from None
        while (said := datadirs.answered(path)) is None:
            if not datadirs.is_held(path):
                raise CommandFailed(
                    "The node ended and did not say whether it had handed its seat over: see its log, and `show`.",
                    EXIT_BROKEN,
                )
            await trio.sleep(_LOOK_SECONDS)
        refused = said.pop("refused")
        if refused:
            raise CommandFailed(f"Not handed over: {refused}.", EXIT_USAGE)
        while datadirs.is_held(path):
            await trio.sleep(_LOOK_SECONDS)
        output.summary("the seat is handed over", said, good=True)
        return True

    run_command(output, left)


def _output(options: SeatOptions) -> StandardOutput:
    configure_logging(options.log_level, options.json)
    return StandardOutput(options.json)


@asynccontextmanager
async def _bridge(options: SeatOptions) -> "AsyncIterator[L1Client]":
    """The L1, once the bridge there is known to be the shipped one."""
    from l1_bridge.client.client import L1Client
    from prover.contracts import deployment

    async with L1Client(options.l1_rpc_url) as client:
        await deployment.read(client, options.rollup_address)
        yield client


async def _signer(options: SeatOptions, client: "L1Client") -> "Signer":
    from prover.cli.keys import load_signer

    chain_id = await client.chain_id()
    return load_signer(chain_id, options.keystore, options.password_file, options.development_key)


async def _bond_of(client: "L1Client", bridge: bytes, holder: bytes, block: int) -> int:
    """The newest whole bond of an address at a block; 0 where there is none."""
    from l1_bridge.codec import calls

    count = await client.word(bridge, calls.encode_call("bond_count"), block)
    for bond_id in range(count, 0, -1):
        answer = await client.eth_call(bridge, calls.encode_call("bond", bond_id), block)
        if calls.decode_record(calls.Bond, answer).holder == holder:
            return bond_id
    return 0
