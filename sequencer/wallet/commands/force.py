"""`catenary wallet leave | force`: what an owner, or anybody, can do through L1 when the sequencer does not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prover.stf import constants
from sequencer.client.errors import Rejected
from sequencer.wallet.commands.options import SECONDS, account_option, read_grant, slot_options
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prover.stf import containers
    from sequencer.wallet.entries import Entered, Forced
    from sequencer.wallet.wallet import Wallet

_ALL = "all"
# The bridge takes four entries at once.
_EVIDENCE = 3

timeout_option = click.option(
    "--timeout",
    type=SECONDS,
    help="Seconds of L1's clock to wait for what the entry comes to; until it is late if not given, 0 does not wait.",
)


def _entry(account: int, **fields: int | bytes) -> containers.Entry:
    from prover.stf import containers

    values: dict[str, int | bytes] = dict.fromkeys(containers.Entry.__struct_fields__, 0)
    values |= {"sender": containers.NOBODY, "agent": containers.NOBODY, "account": account}
    return msgspec.convert(values | fields, containers.Entry)


async def forced(
    wallet: Wallet, tag: int, payload: bytes, timeout_seconds: float | None, evidence: Sequence[bytes] = ()
) -> Report:
    """Queues an entry and tells what came of it; Rejected where the law refused it, NotYet where nothing is known."""
    return come_of(tag, await wallet.bridge.force(tag, payload, timeout_seconds, evidence))


async def _kept(
    wallet: Wallet, tag: int, payload: bytes, timeout_seconds: float | None, ticks: tuple[bool, tuple[str, ...]]
) -> Report:
    """The same of a close or leave, which is not left without prices while it is waited for."""
    from sequencer.client.client import NodeClient

    is_off, urls = ticks
    async with AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(NodeClient(url)) for url in urls]
        found = await wallet.bridge.force(tag, payload, timeout_seconds, ticks_of=None if is_off else sources)
    return come_of(tag, found)


def _ticks_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option(
        "--tick-url",
        "tick_urls",
        multiple=True,
        help="JSON-RPC of another node that signers report to, for ticks that --node-url withholds.",
    )(function)
    return click.option(
        "--no-ticks",
        is_flag=True,
        help="Enter no signed tick while this waits, where L1 has had none for twenty minutes; each costs the bridge's "
        "fee and gas.",
    )(function)


def come_of(tag: int, found: Forced) -> Report:
    """What came of an entry, told as `forced` does."""
    from prover.signing import operations
    from prover.stf import codes

    name = operations.ENTRY_NAMES[tag]
    if found.code not in (None, codes.OK):
        _, sentence = codes.SENTENCE.get(found.code or 0, ("", "The law has no such code."))
        if not found.proven:
            sentence += f" That is the node's word: `{_status(found)} --replay` asks L1 before anything is paid again."
        # Nothing that was asked for is done.
        data = msgspec.to_builtins(msgspec.structs.replace(found, done=False))
        raise Rejected(-33_000 - (found.code or 0), found.rejection, sentence, data)
    return Report({"operation": name, **msgspec.to_builtins(found)}, _lines(name, found))


def _status(found: Forced) -> str:
    return f"catenary wallet force status {found.queue_index}"


def _lines(name: str, found: Forced) -> list[str]:
    lines = [f"{name} is entry {found.queue_index} of the L1 queue: {found.transaction_hash}"]
    if found.code is None:
        return [*lines, f"what it comes to: {_status(found)}"]
    said = "done" if found.done else "under way, its positions are closed step by step"
    if found.batch is not None:
        said += f": L1 has it in batch {found.batch}"
        said += "" if found.account is None else f", and account {found.account} is its sender's"
    word = "" if found.proven else f"; what it came to is the node's word, by L1's: {_status(found)} --replay"
    lines.append(said + word)
    if not found.done:
        lines.append(f"what it comes to: {_status(found)}")
    if found.withdrawal is not None and found.batch is not None:
        lines.append(f"paid as withdrawal {found.withdrawal}: catenary wallet claim {found.withdrawal} --wait")
    return lines


@click.command()
@account_option
@timeout_option
@_ticks_options
@command
def leave(
    settings: Settings, account: int | None, timeout: float | None, no_ticks: bool, tick_urls: tuple[str, ...]
) -> None:
    """Leave through L1: void every signature, dismiss agents, close all positions, pay what may leave.

    Positions are closed at the worse of the last two oracle prices less at most one percent, and less what they bear
    of a debtor on the other side, at whatever prices come within the hour that the operator may take. Profit that has
    not matured can be forced out later by `force withdraw`.

    Without a price on L1 for half an hour anybody's entry ends it: while this waits it enters signed ticks for that.
    """
    from prover.signing import operations

    async def action(wallet: Wallet) -> Report:
        own = await wallet.forced_account(account)
        payload = operations.entry_payload(constants.LEAVE, _entry(own))
        return await _kept(wallet, constants.LEAVE, payload, timeout, (no_ticks, tick_urls))

    run_action(settings, action, signing=True)


@click.group()
def force() -> None:
    """Operations through L1's queue, which no sequencer can leave out; each costs the bridge's fee and L1 gas.

    L1 and this wallet's key are enough, and no node is believed. The rollup is the one that this wallet is pinned to,
    or --rollup-address; without --account the key's accounts are found by replaying L1's log, which takes a while where
    much was traded. What was found is kept, signed by the key, and proven against L1 anew each time.
    """


@force.command("status")
@click.argument("index", type=click.IntRange(0, 2**40 - 1), required=False)
@click.option("--replay", is_flag=True, help="By L1's log alone, whatever a node says.")
@timeout_option
@command
def force_status(settings: Settings, index: int | None, replay: bool, timeout: float | None) -> None:
    """Tell what entry INDEX of the queue came to, waiting for it, or list the entries of this key. Costs nothing."""

    async def action(wallet: Wallet) -> Report:
        venue, entries = await wallet.verified.forced_venue(), wallet.bridge.entries
        if index is None:
            return _listed([entry for entry in await entries.all(venue) if entry.sender == wallet.address])
        entered = await entries.one(venue, index)
        found = await (entries.replayed(venue, entered) if replay else entries.outcome(venue, entered, timeout))
        return come_of(entered.tag, found)

    run_action(settings, action, signing=False)


def _listed(entries: Sequence[Entered]) -> Report:
    from sequencer.wallet.units import time_text

    fields = [{"queue_index": entry.index, "operation": entry.name, "due_at": entry.due_at} for entry in entries]
    shown = [f"entry {entry.index}: {entry.name}, due by {time_text(1_000 * entry.due_at)}" for entry in entries]
    return Report({"entries": fields}, shown or ["this key has entered nothing"])


@force.command("withdraw")
@click.option("--amount", required=True, help="Dollars, or all that may leave.")
@account_option
@timeout_option
@command
def force_withdraw(settings: Settings, amount: str, account: int | None, timeout: float | None) -> None:
    """Pay what may leave, at most this, to the owner."""
    from prover.signing import operations
    from sequencer.wallet.units import parse_money

    micros = constants.EVERYTHING if amount == _ALL else parse_money(amount)

    async def action(wallet: Wallet) -> Report:
        entry = _entry(await wallet.forced_account(account), amount=micros)
        payload = operations.entry_payload(constants.FORCED_WITHDRAW, entry)
        return await forced(wallet, constants.FORCED_WITHDRAW, payload, timeout)

    run_action(settings, action, signing=True)


@force.command("close")
@click.option("--market", required=True, help="Name or index, such as BTC.")
@click.option("--size", default=_ALL, show_default=True, help="In units of the market, such as 0.25, or all.")
@click.option("--limit", help="Dollars: the oracle price beyond which nothing more is closed; none takes any price.")
@account_option
@timeout_option
@_ticks_options
@command
def force_close(settings: Settings, account: int | None, timeout: float | None, **given: Any) -> None:
    """Close a position, or part of it, at the worse of the last two oracle prices less at most one percent.

    Less, too, what it bears of a debtor on the other side. The operator may take an hour, and picks the ticks: without
    a limit the owner bears what prices do in it. Without a price on L1 for half an hour anybody's entry ends it: while
    this waits it enters signed ticks for that.
    """
    from prover.signing import operations

    market, limit = given["market"], given["limit"]

    async def action(wallet: Wallet) -> Report:
        index, lots = await _lots(wallet, market, given["size"])
        ticks = 0 if limit is None else await _price(wallet, market, limit)
        entry = _entry(await wallet.forced_account(account), market=index, amount=lots, limit=ticks)
        payload = operations.entry_payload(constants.FORCED_CLOSE, entry)
        return await _kept(wallet, constants.FORCED_CLOSE, payload, timeout, (given["no_ticks"], given["tick_urls"]))

    run_action(settings, action, signing=True)


@force.command("agent")
@click.option("--agent", "address", help="The agent's address; none revokes.")
@click.option("--expires", default="24h", show_default=True, help="How long the grant lasts.")
@slot_options
@click.option(
    "--index", type=click.IntRange(0, constants.AGENTS - 1), default=0, show_default=True, help="Which grant."
)
@account_option
@timeout_option
@command
def force_agent(settings: Settings, index: int, account: int | None, timeout: float | None, **given: Any) -> None:
    """Grant or revoke without a signature: for contracts, and against a stolen agent under censorship."""
    from prover.signing import operations

    fields: dict[str, int | bytes] = {"agent_index": index}
    if given["address"] is not None:
        grant = read_grant(**given)
        fields |= {"agent": grant.agent, "expires_at": grant.expires_at_ms}
        fields |= {"first_slot": grant.first_slot, "last_slot": grant.last_slot}

    async def action(wallet: Wallet) -> Report:
        entry = _entry(await wallet.forced_account(account), **fields)
        payload = operations.entry_payload(constants.FORCED_AGENT, entry)
        return await forced(wallet, constants.FORCED_AGENT, payload, timeout)

    run_action(settings, action, signing=True)


@force.command("cancel-all")
@account_option
@timeout_option
@command
def force_cancel_all(settings: Settings, account: int | None, timeout: float | None) -> None:
    """Void every order and request that was signed before L1 takes this, softly cancelled ones included."""
    from prover.signing import operations

    async def action(wallet: Wallet) -> Report:
        entry = _entry(await wallet.forced_account(account), agent_index=constants.FLOOR_INDEX)
        payload = operations.entry_payload(constants.FORCED_AGENT, entry)
        return await forced(wallet, constants.FORCED_AGENT, payload, timeout)

    run_action(settings, action, signing=True)


@force.command("rescue")
@click.option("--target", type=click.IntRange(1), required=True, help="Whose account.")
@click.option("--market", required=True, help="The market of its largest requirement, by name or index.")
@click.option("--size", default=_ALL, show_default=True, help="At most so much, in units of the market, or all.")
@click.option("--tick", "texts", multiple=True, help="A signed tick in hex that is to stand in front; at most three.")
@timeout_option
@command
def force_rescue(
    settings: Settings, target: int, market: str, size: str, texts: tuple[str, ...], timeout: float | None
) -> None:
    """Have the insurance account liquidate, or take over, an account that the sequencer leaves alone.

    Of an insurance account itself, the market's number plus one: have unsettled money pay what it owes.

    Three young ticks in a row are the evidence for it: entered in one transaction, nobody can tear them apart.
    """
    from prover.signing import operations

    ticks = [_tick(text) for text in texts]
    if len(ticks) > _EVIDENCE:
        raise BadInput(f"at most {_EVIDENCE} ticks stand in front of a rescue, these are {len(ticks)}")

    async def action(wallet: Wallet) -> Report:
        index, lots = await _lots(wallet, market, size)
        payload = operations.forced_rescue_payload(index, target, lots)
        return await forced(wallet, constants.FORCED_RESCUE, payload, timeout, ticks)

    run_action(settings, action, signing=True)


@force.command("tick")
@click.option("--tick", "text", required=True, help="A whole signed tick in hex: `tick` of catenary_reports.")
@timeout_option
@command
def force_tick(settings: Settings, text: str, timeout: float | None) -> None:
    """Enter signed prices that the sequencer withholds.

    While a forced close or a leave stands, one in each half hour keeps it from ending without a price: they do it
    themselves while they wait. It must be young: half an hour old, and with no newer price on L1, it ends them itself.
    """
    tick = _tick(text)

    async def action(wallet: Wallet) -> Report:
        return await forced(wallet, constants.FORCED_TICK, tick[1:], timeout)

    run_action(settings, action, signing=True)


def _tick(text: str) -> bytes:
    try:
        tick = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise BadInput("a tick is hex, such as 0x06...") from None
    if not tick or tick[0] != constants.TICK:
        raise BadInput("these are not the bytes of a tick: they begin with 06")
    return tick


async def _price(wallet: Wallet, market: str, price: str) -> int:
    from sequencer.wallet.units import parse_units

    listed = (await wallet.verified.forced_venue()).market(market)
    ticks = parse_units(price.removeprefix("$"), listed.price_decimals, "price", "dollars")
    if ticks == 0:
        raise BadInput("a limit of nothing would be no limit: leave --limit out")
    return ticks


async def _lots(wallet: Wallet, market: str, size: str) -> tuple[int, int]:
    from prover.signing import operations
    from sequencer.wallet.units import parse_units

    venue = await wallet.verified.forced_venue()
    known = [str(listed.index) for listed in venue.markets if listed.final_in == 0]
    is_unknown = market.isascii() and market.isdigit() and str(int(market)) not in known
    if is_unknown and int(market) < constants.MARKETS and size == _ALL:
        # Listed since genesis, in no final batch: what its lots mean is not certain, and all of them need no meaning.
        return int(market), operations.ALL_LOTS
    listed = venue.market(market)
    if size == _ALL:
        return listed.index, operations.ALL_LOTS
    return listed.index, parse_units(size, listed.size_decimals, "size", listed.name)
