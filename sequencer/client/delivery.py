"""Signed orders until their fate is known: an answer that was lost is no reason to sign anew."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import trio

from sequencer.client.client import Fields, NodeClient
from sequencer.client.errors import Misfit, NodeUnreachable, Rejected
from sequencer.schema.answers import OrderResult

# What a node says that takes nothing now: it does not say what became of an order that was sent before.
_TAKES_NOTHING: Final = frozenset(
    ("BACKLOG", "NOT_POSTABLE", "NOT_READY", "QUEUE_ONLY", "RATE_LIMITED", "SHUTTING_DOWN")
)
# What it says of a call that it has begun and not ended: no more than no answer does.
_UNKNOWN: Final = "TIMEOUT"
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0

# Signed fields, signature, and what may be asked beside them: client_id, self_trade, group.
Placing: TypeAlias = tuple[Fields, bytes] | tuple[Fields, bytes, Fields]


async def delivered(
    node: NodeClient, placings: Sequence[Placing], *, within_seconds: float = 60.0
) -> list[OrderResult | Rejected]:
    """What became of each. The same signed orders are sent again after a lost answer; nothing happens twice.

    NodeUnreachable where no answer came in time: then it is unknown, and the same orders may be delivered again.
    """
    pause, is_doubtful = _FIRST_PAUSE_SECONDS, False
    deadline = trio.current_time() + within_seconds
    while True:
        try:
            answers = await node.orders(placings)
            break
        except Misfit:
            raise
        except Rejected as refusal:
            if refusal.rejection != _UNKNOWN:
                # None of them was read this time: that says nothing of what was sent before.
                if not is_doubtful:
                    raise
                answers = [refusal] * len(placings)
                break
            lost: NodeUnreachable = NodeUnreachable(str(refusal))
        except NodeUnreachable as error:
            lost = error
        if trio.current_time() + pause > deadline:
            raise lost
        is_doubtful = True
        await trio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    if not is_doubtful:
        return answers
    return [await _known(node, placing[0], answer) for placing, answer in zip(placings, answers, strict=True)]


async def placed(node: NodeClient, placing: Placing, *, within_seconds: float = 60.0) -> OrderResult:
    """What became of one, delivered so; Rejected where it was refused."""
    (outcome,) = await delivered(node, [placing], within_seconds=within_seconds)
    if isinstance(outcome, Rejected):
        raise outcome
    return outcome


async def _known(node: NodeClient, fields: Fields, answer: OrderResult | Rejected) -> OrderResult | Rejected:
    """Where a node took nothing the second time: what it knows of the first."""
    if isinstance(answer, OrderResult) or answer.rejection not in _TAKES_NOTHING:
        return answer
    named: dict[str, Any] = {name: fields[name] for name in ("account", "slot", "sequence")}
    try:
        return await node.fate(**named)
    except Rejected as unknown:
        if unknown.rejection == "UNKNOWN_ORDER":
            return answer
        raise NodeUnreachable(f"whether the order was taken is unknown, and the node does not say: {unknown}") from None
