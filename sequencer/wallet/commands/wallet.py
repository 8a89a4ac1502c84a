"""`catenary wallet`: keys, money and orders of one trader, from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from prover.stf import constants
from sequencer.wallet.commands.again import replace, voided
from sequencer.wallet.commands.force import force, leave
from sequencer.wallet.commands.govern import govern
from sequencer.wallet.commands.grants import agent, leverage
from sequencer.wallet.commands.insight import contribution, explain, post_mortem, preview
from sequencer.wallet.commands.isolated import isolated
from sequencer.wallet.commands.options import (
    SECONDS,
    account_option,
    beside,
    beside_options,
    dry_run_option,
    guards,
    listed_price,
    market_grid,
    order_options,
    order_terms,
)
from sequencer.wallet.commands.requests import bracket_report, drafted_report, order_report, request_command
from sequencer.wallet.commands.running import Report, Settings, command, run_action, show, warn
from sequencer.wallet.commands.seen.past import history
from sequencer.wallet.commands.seen.prices import book, prices
from sequencer.wallet.commands.seen.watching import watch
from sequencer.wallet.commands.unlocking import lock, session_fields, session_text, unlock
from sequencer.wallet.errors import BadInput, BadProof, L1Unreachable, NotYet

if TYPE_CHECKING:
    from sequencer.schema.answers import RequestResult
    from sequencer.wallet.bridge import Broken
    from sequencer.wallet.trust import ProvenAccount
    from sequencer.wallet.wallet import Wallet
    from sequencer.wallet.word.promises import BrokenPromise


@click.group()
def wallet() -> None:
    """Keys, money and orders of one trader.

    Nothing is signed unless the contracts on L1 are the shipped ones. Exit codes: 0 done, 2 bad input, 3 missing or
    wrong L1 or rollup, 10 no node, 14 rejected, 15 refused by L1, 16 too little money, 17 wrong password, 18 no
    keystore, 19 it exists already, 20 not yet, 21 a proof contradicts L1.
    """


wallet.add_command(unlock)
wallet.add_command(lock)
wallet.add_command(preview)
wallet.add_command(explain)
wallet.add_command(contribution)
wallet.add_command(post_mortem)
wallet.add_command(isolated)
wallet.add_command(agent)
wallet.add_command(leverage)
wallet.add_command(leave)
wallet.add_command(force)
wallet.add_command(govern)
wallet.add_command(replace)
wallet.add_command(voided)
wallet.add_command(prices)
wallet.add_command(book)
wallet.add_command(watch)
wallet.add_command(history)


@wallet.command()
@click.option("--light-kdf", is_flag=True, help="Derive the file's key faster and weaker: for play money.")
@command
def new(settings: Settings, light_kdf: bool) -> None:
    """Make a key in a new keystore."""
    from l1_bridge.addresses import checksum_address
    from sequencer.wallet.keys import SCRYPT_LIGHT, SCRYPT_STANDARD, create_keystore

    if settings.path.exists():
        create_keystore(settings.path, "")
    key = create_keystore(
        settings.path, settings.password(confirm=True), SCRYPT_LIGHT if light_kdf else SCRYPT_STANDARD
    )
    address = checksum_address(key.address)
    show(
        settings,
        Report(
            {"address": address, "keystore": str(settings.path)},
            [f"address  {address}", f"keystore {settings.path}", "Whoever loses file or password loses the money."],
        ),
    )


@wallet.command()
@command
def address(settings: Settings) -> None:
    """Show the keystore's address, and whether it is unlocked."""
    from l1_bridge.addresses import checksum_address
    from sequencer.wallet.keys import keystore_address
    from sequencer.wallet.unlocked import find

    found = keystore_address(settings.path)
    shown, session = checksum_address(found), find(settings.directory, found)
    fields = {"address": shown, "keystore": str(settings.path), **session_fields(session)}
    show(settings, Report(fields, [shown] if session is None else [shown, session_text(session)]))


@wallet.command()
@command
def faucet(settings: Settings) -> None:
    """Take play dollars and a little ether; devnets only."""
    from l1_bridge.addresses import checksum_address
    from sequencer.wallet.units import money_text

    async def action(wallet: Wallet) -> Report:
        await wallet.bridge.take_play_money()
        dollars, ether = await wallet.bridge.token_balance(), await wallet.bridge.ether_balance()
        return Report(
            {"address": checksum_address(wallet.address), "balance_micros": str(dollars), "balance_wei": str(ether)},
            [f"{checksum_address(wallet.address)} has {money_text(dollars)} and {ether / 10**18:g} ether on L1"],
        )

    run_action(settings, action, signing=False)


@wallet.command()
@click.option("--amount", required=True, help="Dollars.")
@click.option("--timeout", type=SECONDS, default=300.0, show_default=True, help="Seconds to wait for the booking.")
@click.option("--account", type=int, help="Add to this account instead of opening a new one.")
@click.option("--insurance", help="Give it to the insurance account of this market, for good.")
@click.option("--faucet", "from_faucet", is_flag=True, help="Take play money first; devnets only.")
@click.option("--anyway", is_flag=True, help="Also where the queue is overdue: lost if the bridge freezes.")
@command
def deposit(
    settings: Settings,
    amount: str,
    timeout: float,
    account: int | None,
    insurance: str | None,
    from_faucet: bool,
    anyway: bool,
) -> None:
    """Move dollars from L1 into a new account, into one that you own, or into a market's insurance account."""
    from sequencer.wallet.units import money_text, parse_money

    micros = parse_money(amount)
    if account is not None and account < constants.RESERVED_ACCOUNTS:
        raise BadInput("a reserved account is nobody's own; --insurance gives to that of a market")
    if account is not None and insurance is not None:
        raise BadInput("--account or --insurance, not both")

    async def action(wallet: Wallet) -> Report:
        index = account
        if insurance is not None:
            index = constants.insurance_account((await wallet.venue()).market(insurance).index)
        if from_faucet:
            await wallet.bridge.take_play_money()
        done = await wallet.bridge.deposit(micros, index, timeout, anyway=anyway)
        return Report(
            {**msgspec.to_builtins(done), "amount_micros": str(micros)},
            [f"{money_text(micros)} booked: account {done.account} (queue entry {done.queue_index})"],
        )

    run_action(settings, action, signing=True)


@wallet.command()
@order_options
@beside_options
@account_option
@dry_run_option
@command
def order(settings: Settings, account: int | None, dry_run: bool, **given: Any) -> None:
    """Sign an order and submit it, with --stop and --target behind it.

    Without --price at the market: a limit so far from the newest oracle price, which is refused where that is stale;
    with a trigger so far from the trigger.
    """

    async def action(wallet: Wallet) -> Report:
        market = (await wallet.venue()).market(given["market"])
        seen = await listed_price(wallet, market, given)
        terms = order_terms(market, given, seen)
        behind = guards(market, terms, given, seen)
        index = await wallet.own_account(account)
        if dry_run:
            return await drafted_report(wallet, await wallet.draft_order(terms, index))
        if behind:
            return bracket_report(await wallet.bracket(terms, behind, index, beside(given)), market)
        drafted, result = await wallet.order(terms, index, beside(given))
        return order_report(drafted, result, market)

    run_action(settings, action, signing=not dry_run)


@wallet.command()
@click.option("--slot", type=click.IntRange(1, 255), help="The order's slot.")
@click.option("--all", "every", is_flag=True, help="All orders of the account, seen or unseen.")
@click.option("--hard", is_flag=True, help="On L1 as well, for the posting fee: the law refuses it for ever.")
@account_option
@dry_run_option
@command
def cancel(settings: Settings, slot: int | None, every: bool, hard: bool, account: int | None, dry_run: bool) -> None:
    """Cancel the order in a slot, or all orders signed so far: out of the book at once, and for nothing."""
    from sequencer.wallet.drafts import RequestTerms

    if (slot is None) is not every:
        raise BadInput("say which: --slot N or --all")
    told = "Out of the book. A hostile sequencer could still fill it until it expires; --hard ends that, on L1."
    if hard:
        told = "The law refuses the order from here on; L1 holds that with the next posted batch."
    kind = "cancel_all" if slot is None else "cancel"
    terms = RequestTerms(kind=kind, slot=slot or 0, is_soft=not hard)
    request_command(settings, terms, account, dry_run, lambda _: told)


@wallet.command()
@click.option("--amount", required=True, help="Dollars.")
@click.option("--recipient", help="Who may have the money on L1; your own address by default.")
@account_option
@dry_run_option
@command
def withdraw(settings: Settings, amount: str, recipient: str | None, account: int | None, dry_run: bool) -> None:
    """Take dollars out of an account, to be claimed on L1 once final."""
    from prover.stf import containers
    from sequencer.wallet.drafts import RequestTerms
    from sequencer.wallet.units import parse_address, parse_money

    to = containers.NOBODY if recipient is None else parse_address(recipient)

    def told(result: RequestResult) -> str:
        index = result.withdrawal_index
        return f"withdrawal {index}; once its batch is final: catenary wallet claim {index} --wait"

    terms = RequestTerms(kind="withdraw", amount=parse_money(amount), recipient=to)
    request_command(settings, terms, account, dry_run, told)


@wallet.command()
@click.option("--amount", required=True, help="Dollars.")
@click.option("--to-account", type=int, required=True, help="Another account of the same owner.")
@account_option
@dry_run_option
@command
def transfer(settings: Settings, amount: str, to_account: int, account: int | None, dry_run: bool) -> None:
    """Move dollars between two accounts of your own."""
    from sequencer.wallet.drafts import RequestTerms
    from sequencer.wallet.units import parse_money

    if not constants.RESERVED_ACCOUNTS <= to_account < constants.NEW_ACCOUNT:
        raise BadInput(f"{to_account} is no trader's account")
    terms = RequestTerms(kind="transfer", amount=parse_money(amount), other=to_account)
    request_command(settings, terms, account, dry_run, lambda _: f"account {to_account} has the money now")


@wallet.command()
@click.argument("index", type=click.IntRange(0, 2**32 - 1))
@click.option("--wait", is_flag=True, help="Wait until the withdrawal's batch is posted and final.")
@click.option("--timeout", type=float, default=900.0, show_default=True, help="Seconds that --wait waits.")
@click.option("--replay", is_flag=True, help="By L1's log alone, whatever a node says.")
@command
def claim(settings: Settings, index: int, wait: bool, timeout: float, replay: bool) -> None:
    """Have L1 pay withdrawal INDEX; anybody may, the recipient gets the money."""
    from sequencer.wallet.units import money_text

    async def action(wallet: Wallet) -> Report:
        done = await wallet.bridge.claim(index, wait, timeout, replay)
        return Report(
            {**msgspec.to_builtins(done), "amount_micros": str(done.amount_micros)},
            [f"L1 paid {money_text(done.amount_micros)} to {done.recipient} in {done.transaction_hash}"],
        )

    run_action(settings, action, signing=True)


@wallet.command()
@command
def orders(settings: Settings) -> None:
    """Show what this wallet has signed that has not expired, and what it could cost."""
    from l1_bridge.addresses import checksum_address
    from sequencer.client.clock import wall_clock_ms
    from sequencer.wallet.commands.tables import exposure_text, signed_table
    from sequencer.wallet.keys import keystore_address
    from sequencer.wallet.record import SignedRecord, exposure

    now = wall_clock_ms()
    shown = checksum_address(keystore_address(settings.path))
    record = SignedRecord(settings.directory / f"{shown}.signed.jsonl")
    living = [entry for entry in record.read() if entry.expires_at_ms >= now]
    total = exposure(living, now)
    fields = {
        "address": shown,
        "exposure_micros": str(total.value_micros),
        "open_exposure_micros": str(total.open_value_micros),
        "signatures": [{**msgspec.to_builtins(entry), "value_micros": str(entry.value_micros)} for entry in living],
    }
    show(settings, Report(fields, [*([signed_table(living, now)] if living else []), exposure_text(total)]))


@wallet.command()
@click.option(
    "--broken", "only_broken", is_flag=True, help="Show the evidence alone, as JSON, and fail for no promise."
)
@click.option(
    "--also",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file of promises that the page has saved, beside those that this wallet keeps.",
)
@command
def receipts(settings: Settings, only_broken: bool, also: Path | None) -> None:
    """Compare what the sequencer signed with what is on L1; BROKEN_RECEIPT where its word was not kept.

    Its word is a receipt for each soft cancel, and for all else that it took an acknowledgement: that it will be
    posted. The evidence names batch and chunk; anybody can hold it against L1's own bytes (PROTOCOL.md 5.4, 5.5).
    """
    from sequencer.wallet.errors import BrokenReceipt, WalletError
    from sequencer.wallet.record import AcknowledgementRecord, ReceiptRecord

    async def action(wallet: Wallet) -> Report:
        cancels, promises = (None, None) if also is None else (ReceiptRecord(also), AcknowledgementRecord(also))
        if cancels is not None and promises is not None and not (cancels.read() or promises.read()):
            raise WalletError(f"{also} holds no promise and no receipt")
        kept, taken_back = await wallet.checked_receipts(cancels)
        promised, left_out = await wallet.broken_promises(promises)
        broken: list[Broken | BrokenPromise] = [*taken_back, *left_out]
        evidence = msgspec.to_builtins(broken)
        if only_broken:
            lines = [msgspec.json.encode(one).decode() for one in broken]
            return Report({"evidence": evidence}, lines or ["no promise is broken by what is on L1"])
        if broken:
            sentence = f"{len(broken)} times the sequencer has broken its word: {broken[0].sentence}"
            raise BrokenReceipt(sentence, {"evidence": evidence})
        fields = {"receipts": msgspec.to_builtins(kept), "acknowledgements": promised}
        told = f"{len(kept)} receipts for soft cancels and {promised} acknowledgements, none broken by what is on L1"
        return Report(fields, [told])

    run_action(settings, action, signing=False)


@wallet.command()
@account_option
@command
def positions(settings: Settings, account: int | None) -> None:
    """Show an account: what the node says now, and what L1 proves."""
    from l1_bridge.addresses import checksum_address
    from prover.stf import containers
    from sequencer.wallet.commands.fields import account_fields

    async def action(wallet: Wallet) -> Report:
        grid = await market_grid(wallet)
        owned = await wallet.node.accounts(wallet.address) if account is None else [account]
        if not owned:
            await wallet.own_account(None)
        accounts, shown = [], []
        for index in owned:
            view = await wallet.node.account(index)
            proven = await _proof(wallet, index)
            # One that was opened just now is nobody's in the newest posted batch.
            strangers = proven is not None and proven.account.owner not in (wallet.address, containers.NOBODY)
            if account is None and proven is not None and strangers:
                whose = checksum_address(proven.account.owner)
                raise BadProof(f"the node says that account {index} is this address's, and L1 that it is {whose}'s")
            if view.has_voided:
                warn(f"some of what account {index} had sent is void: `catenary wallet voided` says what to send again")
            accounts.append(account_fields(view, proven, grid))
            if settings.as_json:
                continue
            from sequencer.wallet.commands.tables import account_table, posted_text

            shown += [account_table(view, grid), "posted: not proven" if proven is None else posted_text(proven, grid)]
        return Report({"address": checksum_address(wallet.address), "accounts": accounts}, shown)

    run_action(settings, action, signing=False)


async def _proof(wallet: Wallet, account: int) -> ProvenAccount | None:
    """The posted account; None where there is no proof yet. A proof that contradicts L1 is an error."""
    try:
        return await wallet.verified.account(account)
    except (NotYet, L1Unreachable) as error:
        warn(f"not posted by proof: {error}")
        return None
