"""What commands that sign have in common: dry runs, requests that are sent, and how their outcome is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sequencer.client.errors import Rejected
from sequencer.wallet.commands.running import Report, Settings, run_action, warn

if TYPE_CHECKING:
    from sequencer.schema.answers import OrderResult, RequestResult
    from sequencer.wallet.drafts import Draft, RequestTerms
    from sequencer.wallet.trust import ListedMarket
    from sequencer.wallet.wallet import Wallet


async def drafted_report(wallet: Wallet, drafted: Draft) -> Report:
    """A draft, compared with what the node would have signed."""
    from sequencer.schema.writing import to_wire
    from sequencer.wallet.drafts import compare_with_node

    compare_with_node(drafted, await wallet.node.typed_data({"kind": drafted.kind, **drafted.fields}))
    digest = "0x" + drafted.digest.hex()
    return Report(
        {"dry_run": True, "digest": digest, "typed_data": to_wire(drafted.typed_data)},
        [f"{drafted.text}: not signed", f"digest {digest}, the node computes the same"]
        + [f"  {name} {value}" for name, value in drafted.fields.items()],
    )


def order_report(drafted: Draft, result: OrderResult, market: ListedMarket) -> Report:
    """What became of an order."""
    from sequencer.wallet.units import money_text, units_text

    fills = [
        {
            "price": units_text(fill.price_ticks, market.price_decimals),
            "size": units_text(fill.size_lots, market.size_decimals),
            "fee_micros": str(fill.fee_micros),
        }
        for fill in result.fills
    ]
    fields = {
        "account": drafted.message.account,
        "slot": drafted.message.slot,
        "sequence": drafted.message.sequence,
        "digest": "0x" + drafted.digest.hex(),
        "order_id": result.order_id,
        "status": result.status,
        "reason": result.reason,
        "filled_lots": str(result.filled_lots),
        "filled": units_text(result.filled_lots, market.size_decimals),
        "fills": fills,
        "finality": "sequenced",
    }
    status = f"{result.status} ({result.reason})" if result.reason else result.status
    shown = [f"{drafted.text}: {status} in slot {drafted.message.slot}, sequenced (the node's word)"]
    shown += [f"  filled {fill['size']} at {fill['price']}" for fill in fills]
    if fills:
        shown.append(f"  fees {money_text(result.fees_micros)}")
    return Report(fields, shown)


def bracket_report(placed: list[tuple[Draft, OrderResult | Rejected]], market: ListedMarket) -> Report:
    """What became of an entry and of what comes after it; the first Rejected, with the orders that stand."""
    reports = [order_report(drafted, one, market) for drafted, one in placed if not isinstance(one, Rejected)]
    refusal = next((result for _, result in placed if isinstance(result, Rejected)), None)
    if refusal is not None:
        for line in (line for report in reports for line in report.shown):
            warn(line)
        refusal.data |= {"taken": [report.fields for report in reports]}
        raise refusal
    entry, *behind = reports
    fields = {**entry.fields, "behind": [report.fields for report in behind]}
    return Report(fields, [line for report in reports for line in report.shown])


def request_report(drafted: Draft, result: RequestResult, told: str) -> Report:
    """What became of a request, with one more line for people."""
    fields = {
        "account": drafted.message.account,
        "kind": drafted.kind,
        "slot": drafted.message.slot,
        "sequence": drafted.message.sequence,
        "digest": "0x" + drafted.digest.hex(),
        "finality": "sequenced",
    }
    if drafted.kind == "withdraw":
        fields["withdrawal_index"] = result.withdrawal_index
    return Report(fields, [f"{drafted.text}: sequenced (the node's word)", told])


def request_command(
    settings: Settings, terms: RequestTerms, account: int | None, dry_run: bool, told: Callable[[RequestResult], str]
) -> None:
    """Signs and sends a request of the wallet's own account; a dry run only shows and compares it."""

    async def action(wallet: Wallet) -> Report:
        index = await wallet.own_account(account)
        if dry_run:
            return await drafted_report(wallet, await wallet.draft_request(terms, index))
        drafted, result = await wallet.request(terms, index)
        return request_report(drafted, result, told(result))

    run_action(settings, action, signing=not dry_run)
