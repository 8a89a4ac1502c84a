"""`catenary wallet agent | leverage`: what an owner lets others do, and how much risk the owner allows at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prover.stf import constants
from sequencer.wallet.commands.options import account_option, dry_run_option, read_grant, slot_options
from sequencer.wallet.commands.requests import drafted_report, request_command, request_report
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.errors import BadInput

if TYPE_CHECKING:
    from sequencer.schema.accounts import AccountView
    from sequencer.wallet.wallet import Wallet

_index = click.IntRange(0, constants.AGENTS - 1)


@click.group()
def agent() -> None:
    """Let another key trade for an account: orders and cancels in a range of slots, never money."""


@agent.command("set")
@click.option("--agent", "address", required=True, help="The agent's address.")
@click.option("--expires", required=True, help="How long the grant lasts, such as 24h or 30d.")
@slot_options
@click.option("--index", type=_index, help="Which of two grants; the agent's own, else a free one by default.")
@account_option
@dry_run_option
@command
def set_agent(settings: Settings, index: int | None, account: int | None, dry_run: bool, **given: Any) -> None:
    """Let an agent trade, or change what it may do."""
    from sequencer.wallet.drafts import RequestTerms

    grant = read_grant(**given)

    async def action(wallet: Wallet) -> Report:
        own = await wallet.own_account(account)
        if grant.agent == wallet.address:
            raise BadInput("an owner needs no grant")
        chosen = _free_index(await wallet.node.account(own), grant.agent) if index is None else index
        terms = RequestTerms(
            kind="set_agent",
            recipient=grant.agent,
            amount=grant.expires_at_ms,
            other=chosen,
            first_slot=grant.first_slot,
            last_slot=grant.last_slot,
        )
        if dry_run:
            return await drafted_report(wallet, await wallet.draft_request(terms, own))
        drafted, result = await wallet.request(terms, own)
        report = request_report(drafted, result, f"the agent trades with: catenary wallet order --account {own}")
        report.fields |= {
            "agent_index": chosen,
            "agent": given["address"],
            "agent_expires_at_ms": grant.expires_at_ms,
            "first_slot": grant.first_slot,
            "last_slot": grant.last_slot,
        }
        return report

    run_action(settings, action, signing=not dry_run)


def _free_index(view: AccountView, trusted: bytes) -> int:
    """The grant that the agent has, else the first that nobody has or whose time is over; BadInput where none is."""
    from sequencer.client.clock import wall_clock_ms

    grants = [*view.agents, *[None] * constants.AGENTS][: constants.AGENTS]
    now = wall_clock_ms()
    for index, grant in enumerate(grants):
        if grant is not None and grant.address.lower() == "0x" + trusted.hex():
            return index
    for index, grant in enumerate(grants):
        if grant is None or grant.expires_at_ms < now:
            return index
    raise BadInput(f"account {view.account} has {constants.AGENTS} agents already: replace one with --index")


@agent.command()
@click.option("--index", type=_index, required=True, help="Which of two grants.")
@account_option
@dry_run_option
@command
def revoke(settings: Settings, index: int, account: int | None, dry_run: bool) -> None:
    """Dismiss an agent; its open orders fill no more."""
    from prover.stf import containers
    from sequencer.wallet.drafts import RequestTerms

    terms = RequestTerms(kind="set_agent", recipient=containers.NOBODY, other=index)
    told = "The law takes nothing from this agent from here on; L1 holds that with the next posted batch."
    request_command(settings, terms, account, dry_run, lambda _: told)


@click.command()
@click.option("--max", "most", required=True, help="A multiple such as 5 or 2.5, or none.")
@account_option
@dry_run_option
@command
def leverage(settings: Settings, most: str, account: int | None, dry_run: bool) -> None:
    """Bound an account's leverage below what its markets allow; for new risk and for what may leave."""
    from sequencer.wallet.drafts import RequestTerms
    from sequencer.wallet.units import leverage_text, parse_leverage

    initial_ppm = parse_leverage(most)
    terms = RequestTerms(kind="set_leverage", amount=initial_ppm)
    told = f"own bound of leverage: {leverage_text(initial_ppm)} (initial fraction {initial_ppm} ppm)"
    request_command(settings, terms, account, dry_run, lambda _: told)
