"""The law's table, in one place: which codes an operation can come to, what it then takes of a chunk's room and queue.

PROTOCOL.md prints it, `python -m tests.vectors` writes it to law_table.json, and the twins campaign hits every row.
"""

from typing import Any, Final

from prover.stf import codes as c
from prover.stf import constants
from prover.stf.replay import KINDS, is_entry, serves_queue

# A tag that the law does not know; it takes no room.
UNKNOWN: Final = 0

NAMES: Final[dict[int, str]] = {
    UNKNOWN: "unknown",
    constants.DEPOSIT: "deposit",
    constants.WITHDRAW: "withdraw",
    constants.TRANSFER: "transfer",
    constants.CANCEL: "cancel",
    constants.CANCEL_ALL: "cancel_all",
    constants.TICK: "tick",
    constants.ORDER: "order",
    constants.FILL: "fill",
    constants.SET_AGENT: "set_agent",
    constants.SET_LEVERAGE: "set_leverage",
    constants.LIQUIDATE: "liquidate",
    constants.TAKE_OVER: "take_over",
    constants.DELEVERAGE: "deleverage",
    constants.UNWIND: "unwind",
    constants.CLOSE_STEP: "close_step",
    constants.FORCED_RESCUE: "forced_rescue",
    constants.FORCED_WITHDRAW: "forced_withdraw",
    constants.FORCED_CLOSE: "forced_close",
    constants.LEAVE: "leave",
    constants.FORCED_AGENT: "forced_agent",
    constants.FORCED_TICK: "forced_tick",
    constants.SET_MARKET: "set_market",
    constants.SET_VENUE: "set_venue",
}

# What `signatures.permitted` answers, in its order.
_PERMITTED: Final = (
    c.NO_ACCOUNT,
    c.BAD_SIGNATURE,
    c.NOT_YET,
    c.EXPIRED,
    c.LIFETIME,
    c.SEQUENCE_AHEAD,
    c.CANCELLED,
    c.USED,
    c.FEE_ABOVE_MAXIMUM,
)

# The same where an agent may sign.
_ENTRUSTED: Final = (*_PERMITTED[:2], c.AGENT_LIMITS, *_PERMITTED[2:])

# What `rescue.check_rescue` and `check_maker` answer.
_RESCUABLE: Final = (c.NO_MARKET, c.STALE, c.GRACE, c.UNSTEADY)
_MAKER: Final = (
    c.POST_ONLY,
    c.PRICE_BAND,
    c.FEE_ABOVE_MAXIMUM,
    c.CANCELLED,
    c.USED,
    c.OVERFILLED,
    c.NOT_TRIGGERED,
    c.REDUCE_ONLY,
)

_TICK: Final = (
    c.OFF_GRID,
    c.OLD_TICK,
    c.QUORUM,
    c.DUPLICATE_SIGNER,
    c.UNSORTED_SIGNERS,
    c.BAD_SIGNERS,
    c.ZERO_PRICE,
    c.OK,
)

# What comes before everything else for an entry of the L1 queue, and for one that an account's owner writes.
_ENTRY: Final = (c.MALFORMED, c.FULL, c.BAD_ENTRY)
_OWNED: Final = (*_ENTRY, c.RESERVED, c.NO_ACCOUNT, c.NOT_OWNER)

# Codes in the order in which the law asks. Not here, hence unreachable: CANCEL_ALL with USED (it has no slot).
_REACHABLE: Final[dict[int, tuple[int, ...]]] = {
    UNKNOWN: (c.MALFORMED,),
    constants.DEPOSIT: (c.MALFORMED, c.FULL, c.ZERO_AMOUNT, c.REFUNDED, c.WITHDRAWALS_FULL, c.OK),
    constants.WITHDRAW: (
        c.MALFORMED,
        c.FULL,
        c.NOT_CANONICAL,
        *_PERMITTED,
        c.NO_RECIPIENT,
        c.WITHDRAWALS_FULL,
        c.ZERO_AMOUNT,
        c.STALE,
        c.GRACE,
        c.COLLATERAL,
        c.MARGIN,
        c.OK,
    ),
    constants.TRANSFER: (
        c.MALFORMED,
        c.FULL,
        c.NOT_CANONICAL,
        c.SAME_ACCOUNT,
        *_PERMITTED,
        c.ACCOUNTS_FULL,
        c.TOO_SMALL,
        c.NOT_OWNER,
        c.ZERO_AMOUNT,
        c.STALE,
        c.GRACE,
        c.COLLATERAL,
        c.MARGIN,
        c.OUT_OF_BOUNDS,
        c.OK,
    ),
    constants.CANCEL: (c.MALFORMED, c.FULL, c.NOT_CANONICAL, *_ENTRUSTED, c.INSOLVENT, c.OK),
    constants.SET_AGENT: (c.MALFORMED, c.FULL, c.NOT_CANONICAL, *_PERMITTED, c.INSOLVENT, c.OK),
    constants.SET_LEVERAGE: (c.MALFORMED, c.FULL, c.NOT_CANONICAL, *_PERMITTED, c.INSOLVENT, c.OK),
    constants.CANCEL_ALL: (
        c.MALFORMED,
        c.FULL,
        c.NOT_CANONICAL,
        *[code for code in _ENTRUSTED if code != c.USED],
        c.INSOLVENT,
        c.OK,
    ),
    constants.TICK: (
        c.MALFORMED,
        c.FULL,
        *_TICK,
    ),
    constants.ORDER: (
        c.MALFORMED,
        c.FULL,
        c.RESERVED,
        c.NO_ACCOUNT,
        c.BAD_SIGNATURE,
        c.AGENT_LIMITS,
        c.NOT_CANONICAL,
        c.NOT_YET,
        c.EXPIRED,
        c.LIFETIME,
        c.SEQUENCE_AHEAD,
        c.NO_MARKET,
        c.TOO_SMALL,
        c.OK,
    ),
    constants.FILL: (
        c.MALFORMED,
        c.FULL,
        c.NO_ORDER,
        c.SAME_ACCOUNT,
        c.MISMATCHED,
        c.NO_MARKET,
        c.STALE,
        c.POST_ONLY,
        c.ALL_OR_NOTHING,
        c.NOT_CROSSED,
        c.PRICE_BAND,
        c.FEE_ABOVE_MAXIMUM,
        c.CANCELLED,
        c.USED,
        c.OVERFILLED,
        c.NOT_TRIGGERED,
        c.REDUCE_ONLY,
        c.OUT_OF_BOUNDS,
        c.GRACE,
        c.MARKET_REDUCES,
        c.MAKER_MARGIN,
        c.TAKER_MARGIN,
        c.OK,
    ),
    constants.LIQUIDATE: (
        c.MALFORMED,
        c.FULL,
        c.NO_ORDER,
        c.RESERVED,
        c.SAME_ACCOUNT,
        *_RESCUABLE,
        *_MAKER,
        c.HEALTHY,
        c.INSOLVENT,
        c.NOT_LARGEST,
        c.LIQUIDATION_PRICE,
        c.TOO_MANY_LOTS,
        c.MISMATCHED,
        c.OUT_OF_BOUNDS,
        c.MARKET_REDUCES,
        c.MAKER_MARGIN,
        c.OK,
    ),
    constants.TAKE_OVER: (
        c.MALFORMED,
        c.FULL,
        c.NO_MARKET,
        c.RESERVED,
        *_RESCUABLE[1:],
        c.HEALTHY,
        c.NOT_LARGEST,
        c.OVERFILLED,
        c.OUT_OF_BOUNDS,
        c.FUND_LIMIT,
        c.OK,
    ),
    constants.DELEVERAGE: (
        c.MALFORMED,
        c.FULL,
        c.NO_MARKET,
        c.RESERVED,
        c.SAME_ACCOUNT,
        *_RESCUABLE[1:],
        c.HEALTHY,
        c.OVERFILLED,
        c.TOO_MANY_LOTS,
        c.NO_OPPOSITE,
        c.INDEBTED,
        c.OK,
    ),
    constants.UNWIND: (
        c.MALFORMED,
        c.FULL,
        c.NO_ORDER,
        *_RESCUABLE,
        *_MAKER,
        c.MISMATCHED,
        c.FUND_LIMIT,
        c.OUT_OF_BOUNDS,
        c.MARKET_REDUCES,
        c.MAKER_MARGIN,
        c.OK,
    ),
    constants.CLOSE_STEP: (
        c.MALFORMED,
        c.FULL,
        c.NO_HEAD,
        c.NO_MARKET,
        c.RESERVED,
        c.SAME_ACCOUNT,
        c.STALE,
        c.OVERFILLED,
        c.UNSTEADY,
        c.LIMIT,
        c.INSOLVENT,
        c.OUT_OF_BOUNDS,
        c.FUND_LIMIT,
        c.FUND_FIRST,
        c.NO_OPPOSITE,
        c.OK,
    ),
    constants.FORCED_RESCUE: (
        *_ENTRY,
        c.NO_MARKET,
        c.RESERVED,
        c.NO_ACCOUNT,
        c.OVERFILLED,
        c.STALE,
        c.UNSTEADY,
        c.HEALTHY,
        c.NOT_LARGEST,
        c.OUT_OF_BOUNDS,
        c.FUND_LIMIT,
        c.COLLATERAL,
        c.OK,
    ),
    constants.FORCED_WITHDRAW: (*_OWNED, c.COLLATERAL, c.OK),
    constants.FORCED_CLOSE: (*_OWNED, c.NO_MARKET, c.OVERFILLED, c.HEAD_UNFINISHED, c.OK),
    constants.LEAVE: (*_OWNED, c.HEAD_UNFINISHED, c.OK),
    constants.FORCED_AGENT: (*_OWNED, c.OK),
    constants.FORCED_TICK: (*_ENTRY, *_TICK),
    constants.SET_MARKET: (*_ENTRY, c.NO_MARKET, c.OUT_OF_RANGE, c.TOO_SOON, c.STEP_LIMIT, c.OK),
    constants.SET_VENUE: (*_ENTRY, c.OUT_OF_RANGE, c.TOO_SOON, c.STEP_LIMIT, c.OK),
}

# Of a chunk that serves the queue alone: what it does not take has room in it, and is asked nothing more.
REACHABLE: Final = {
    tag: of_tag if tag == UNKNOWN or serves_queue(tag) else (*of_tag[:2], c.QUEUE_ONLY, *of_tag[2:])
    for tag, of_tag in _REACHABLE.items()
}

PAIRS: Final = frozenset((tag, code) for tag, of_tag in REACHABLE.items() for code in of_tag)


def rows() -> list[dict[str, Any]]:
    """operation, tag, code, name; whether an L1 queue entry is consumed (null where none can be); leaves, weight."""
    table: list[dict[str, Any]] = []
    for tag, of_tag in REACHABLE.items():
        for code in of_tag:
            counted = code not in (c.FULL, c.MALFORMED)
            consumed = counted and code not in (c.HEAD_UNFINISHED, c.UNSTEADY)
            kind = KINDS.get(tag)
            table.append(
                {
                    "operation": NAMES[tag],
                    "tag": tag if kind else None,
                    "code": code,
                    "name": c.SENTENCE[code][0],
                    "consumed": consumed if is_entry(tag) else None,
                    "accounts": kind.accounts if kind and counted else 0,
                    "slots": kind.slots if kind and counted else 0,
                    "weight_kilogas": kind.weight if kind and counted else 0,
                    "ends_chunk": code == c.MALFORMED,
                }
            )
    return table
