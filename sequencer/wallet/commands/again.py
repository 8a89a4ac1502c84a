"""`catenary wallet replace | voided`: what was sent once and came to nothing yet, or came to nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import msgspec

from sequencer.wallet.commands.options import account_option
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.errors import BadInput

if TYPE_CHECKING:
    from l1_bridge.client.replacing import Replaced
    from sequencer.schema.accounts import VoidedView
    from sequencer.wallet.wallet import Wallet

_GWEI: Final = 10**9
_HASH_BYTES: Final = 32


@click.command()
@click.argument("transaction")
@click.option("--max-fee-gwei", type=click.IntRange(1), help="The most that it may offer per gas; 500 by default.")
@click.option("--drop", is_flag=True, help="Send nothing in its place, so that it is never mined.")
@command
def replace(settings: Settings, transaction: str, max_fee_gwei: int | None, drop: bool) -> None:
    """Send a transaction that waits on L1 again at its nonce, dearer, and say which of the two was mined.

    TRANSACTION is its hash, as the command told it that sent it. Only one of two with the same nonce is ever mined, so
    nothing is paid twice. What waits under an earlier nonce of this key goes first.
    """
    try:
        named = bytes.fromhex(transaction.removeprefix("0x"))
    except ValueError:
        named = b""
    if len(named) != _HASH_BYTES:
        raise BadInput(f"{transaction!r} is no hash of a transaction: 64 hexadecimal digits")
    most = None if max_fee_gwei is None else max_fee_gwei * _GWEI

    async def action(wallet: Wallet) -> Report:
        done = await wallet.bridge.replace(named, most, drop)
        fields = {
            "nonce": done.nonce,
            "mined": "original" if done.is_original else "replacement",
            "transaction_hash": "0x" + done.receipt.transaction_hash.hex(),
            "block_number": done.receipt.block_number,
            "succeeded": done.receipt.succeeded,
        }
        return Report(fields, [replaced_text(done, drop)])

    run_action(settings, action, signing=True)


def replaced_text(done: Replaced, is_dropped: bool) -> str:
    """What was mined, in a sentence."""
    mined, block = "0x" + done.receipt.transaction_hash.hex(), done.receipt.block_number
    if done.is_original:
        outcome = "" if done.receipt.succeeded else ", and reverted"
        return f"it was mined as it was, in block {block}{outcome}: nothing was sent in its place"
    what = "nothing goes in its place" if is_dropped else "the dearer one was mined"
    return f"{what}: {mined} in block {block}, nonce {done.nonce}; the one before will never be"


@click.command()
@account_option
@command
def voided(settings: Settings, account: int | None) -> None:
    """Show what the venue had taken and L1 will never hold, and what of it can be sent again; the node's word.

    A roll-back, or an outage of L1 that lasted too long, makes it void: it is as if it had never been sent.
    """
    from sequencer.client.clock import wall_clock_ms

    async def action(wallet: Wallet) -> Report:
        index, now_ms = await wallet.own_account(account), wall_clock_ms()
        found = await wallet.node.voided(index)
        fields = {"account": index, "voided": msgspec.to_builtins(found)}
        return Report(fields, [voided_text(one, now_ms) for one in found] or ["nothing of this account is void"])

    run_action(settings, action, signing=False)


def voided_text(void: VoidedView, now_ms: int) -> str:
    """One line on one operation: what it was, when it ended, and what its owner can do."""
    from sequencer.wallet.units import time_text

    where = "in no chunk" if void.chunk is None else f"in chunk {void.chunk}"
    said = f"{void.operation.replace('_', ' ')}, slot {void.slot}, sequence {void.sequence}, {where}, void since "
    said += f"{time_text(void.voided_at_ms)}: "
    if void.send_again == "sign_anew":
        return f"{said}send it anew if you still want it"
    if void.expires_at_ms <= now_ms:
        return f"{said}its signature has expired, send it anew if you still want it"
    return f"{said}send it anew, or whoever has its signature may until {time_text(void.expires_at_ms)}"
