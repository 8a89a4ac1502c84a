"""`catenary wallet unlock | lock`: a session that signs without the password, for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sequencer.wallet.commands.running import Report, Settings, command, show
from sequencer.wallet.errors import KeystoreMissing

if TYPE_CHECKING:
    from sequencer.wallet import unlocked


def session_fields(session: unlocked.Session | None) -> dict[str, Any]:
    """For programs: until when a key is unlocked, none for a locked one."""
    return {"unlocked_until_ms": None if session is None else session.ends_at_ms}


def session_text(session: unlocked.Session) -> str:
    """One line on an unlocked session."""
    from sequencer.wallet.units import time_text

    return f"unlocked until {time_text(session.ends_at_ms)}; `catenary wallet lock` ends it"


@click.command()
@click.option("--minutes", type=click.IntRange(1, 10_080), default=15, show_default=True, help="When it ends.")
@command
def unlock(settings: Settings, minutes: int) -> None:
    """Keep the key open for a while: commands of this wallet then sign without the password.

    A process of its own holds the key and gives signatures, never the key, through a socket in the wallet directory
    that only your user may open. It ends at its time, by `lock`, or when the keystore is removed; closing the terminal
    does not end it.

    Until then it does not protect you from programs that run as your user: any of them can have anything signed. Nor
    from root, and the memory that holds the key may be swapped to disk.
    """
    from l1_bridge.addresses import checksum_address
    from sequencer.wallet import unlocked

    if not settings.path.exists():
        raise KeystoreMissing(f"there is no keystore at {settings.path}: make one with `catenary wallet new`")
    session = unlocked.start(settings.directory, settings.path, settings.password(), 60 * minutes)
    address = checksum_address(session.address)
    show(settings, Report({"address": address, **session_fields(session)}, [f"{address} is {session_text(session)}"]))


@click.command()
@command
def lock(settings: Settings) -> None:
    """End the unlocked session of this keystore."""
    from l1_bridge.addresses import checksum_address
    from sequencer.wallet import unlocked
    from sequencer.wallet.keys import keystore_address

    address = keystore_address(settings.path)
    was_unlocked = unlocked.end(settings.directory, address)
    shown = checksum_address(address)
    told = f"{shown} is locked" if was_unlocked else f"{shown} was not unlocked"
    show(settings, Report({"address": shown, "was_unlocked": was_unlocked}, [told]))
