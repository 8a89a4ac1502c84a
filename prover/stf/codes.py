"""What an operation came to: OK or the one rule that it broke; the same numbers in both twins, on L1 and in the API."""

from typing import Final

OK: Final = 0
FULL: Final = 1
MALFORMED: Final = 2
NOT_CANONICAL: Final = 3
NO_ACCOUNT: Final = 4
RESERVED: Final = 5
BAD_SIGNATURE: Final = 6
NOT_YET: Final = 7
EXPIRED: Final = 8
LIFETIME: Final = 9
SEQUENCE_AHEAD: Final = 10
CANCELLED: Final = 11
USED: Final = 12
NO_MARKET: Final = 13
TOO_SMALL: Final = 14
NO_ORDER: Final = 15
SAME_ACCOUNT: Final = 16
MISMATCHED: Final = 17
NOT_CROSSED: Final = 18
POST_ONLY: Final = 19
OVERFILLED: Final = 20
ALL_OR_NOTHING: Final = 21
NOT_TRIGGERED: Final = 22
REDUCE_ONLY: Final = 23
FEE_ABOVE_MAXIMUM: Final = 24
STALE: Final = 25
PRICE_BAND: Final = 26
OUT_OF_BOUNDS: Final = 27
MAKER_MARGIN: Final = 28
TAKER_MARGIN: Final = 29
MARGIN: Final = 30
COLLATERAL: Final = 31
ZERO_AMOUNT: Final = 32
NO_RECIPIENT: Final = 33
NOT_OWNER: Final = 34
OFF_GRID: Final = 35
OLD_TICK: Final = 36
QUORUM: Final = 37
BAD_SIGNERS: Final = 38
ZERO_PRICE: Final = 39
REFUNDED: Final = 40
WITHDRAWALS_FULL: Final = 41
GRACE: Final = 42
AGENT_LIMITS: Final = 43
ACCOUNTS_FULL: Final = 44
HEALTHY: Final = 45
INSOLVENT: Final = 46
NOT_LARGEST: Final = 47
TOO_MANY_LOTS: Final = 48
LIQUIDATION_PRICE: Final = 49
UNSTEADY: Final = 50
FUND_LIMIT: Final = 51
INDEBTED: Final = 52
NO_OPPOSITE: Final = 53
HEAD_UNFINISHED: Final = 54
NO_HEAD: Final = 55
BAD_ENTRY: Final = 56
FUND_FIRST: Final = 57
OUT_OF_RANGE: Final = 58
STEP_LIMIT: Final = 59
TOO_SOON: Final = 60
MARKET_REDUCES: Final = 61
DUPLICATE_SIGNER: Final = 62
UNSORTED_SIGNERS: Final = 63
QUEUE_ONLY: Final = 64
LIMIT: Final = 65

SENTENCE: Final[dict[int, tuple[str, str]]] = {
    OK: ("OK", "The operation was applied."),
    FULL: ("FULL", "The chunk has no room left for this operation's weight or leaves; a later chunk may take it."),
    MALFORMED: ("MALFORMED", "The tag is unknown or the bytes are cut off; the chunk ends here."),
    NOT_CANONICAL: (
        "NOT_CANONICAL",
        "A field holds a value that no wallet may sign (unused bits, zero slot, size or price).",
    ),
    NO_ACCOUNT: ("NO_ACCOUNT", "The account does not exist."),
    RESERVED: ("RESERVED", "The fee account and the insurance accounts do not trade."),
    BAD_SIGNATURE: (
        "BAD_SIGNATURE",
        "The signature recovers neither to the account's owner nor to an agent that may sign this.",
    ),
    NOT_YET: ("NOT_YET", "created_at_ms lies further ahead of the chunk's clock than the tolerance."),
    EXPIRED: ("EXPIRED", "expires_at_ms has passed."),
    LIFETIME: ("LIFETIME", "expires_at_ms is further from created_at_ms than this operation allows."),
    SEQUENCE_AHEAD: ("SEQUENCE_AHEAD", "The sequence is larger than created_at_ms."),
    CANCELLED: ("CANCELLED", "The sequence is below the account's floor: a cancel-all covers it."),
    USED: ("USED", "The slot has moved past this sequence: cancelled, replaced or already executed."),
    NO_MARKET: ("NO_MARKET", "The market does not exist, is not open or has no price."),
    TOO_SMALL: (
        "TOO_SMALL",
        "The order's notional is below the market's minimum, or the amount below the creation fee.",
    ),
    NO_ORDER: ("NO_ORDER", "The fill names an order that the chunk does not hold."),
    SAME_ACCOUNT: ("SAME_ACCOUNT", "Both sides are the same account."),
    MISMATCHED: ("MISMATCHED", "The two orders are of different markets or of the same side."),
    NOT_CROSSED: ("NOT_CROSSED", "The maker's price is beyond the taker's limit."),
    POST_ONLY: ("POST_ONLY", "A post-only order may not take, an immediate one may not make."),
    OVERFILLED: ("OVERFILLED", "The size is zero or more than an order, or a position, has left."),
    ALL_OR_NOTHING: ("ALL_OR_NOTHING", "A fill-or-kill order must be filled whole by one fill."),
    NOT_TRIGGERED: ("NOT_TRIGGERED", "The oracle price has not reached the order's trigger."),
    REDUCE_ONLY: ("REDUCE_ONLY", "A reduce-only order would open, grow or turn a position."),
    FEE_ABOVE_MAXIMUM: ("FEE_ABOVE_MAXIMUM", "The fee is above what the signature allows."),
    STALE: ("STALE", "The oracle price is too old for an operation that moves risk or money out."),
    PRICE_BAND: ("PRICE_BAND", "The fill price is further from the oracle price than the market's band."),
    OUT_OF_BOUNDS: ("OUT_OF_BOUNDS", "A size, cost or collateral would pass the law's bounds."),
    MAKER_MARGIN: ("MAKER_MARGIN", "The maker would be neither healthy nor only reduced."),
    TAKER_MARGIN: ("TAKER_MARGIN", "The taker would be neither healthy nor only reduced."),
    MARGIN: ("MARGIN", "What stays would not cover the initial requirement and the floor on open notional."),
    COLLATERAL: ("COLLATERAL", "The amount is more than the account's settled collateral, or nothing may leave."),
    ZERO_AMOUNT: ("ZERO_AMOUNT", "The amount is zero."),
    NO_RECIPIENT: ("NO_RECIPIENT", "The recipient is the zero address."),
    NOT_OWNER: ("NOT_OWNER", "The other account belongs to somebody else."),
    OFF_GRID: ("OFF_GRID", "The tick's time is not on the grid or lies ahead of the chunk's clock."),
    OLD_TICK: ("OLD_TICK", "The tick is not newer than the last one."),
    QUORUM: ("QUORUM", "The tick does not carry exactly the quorum of signatures or all markets."),
    BAD_SIGNERS: ("BAD_SIGNERS", "A signer of the tick is unknown or did not sign it."),
    ZERO_PRICE: ("ZERO_PRICE", "No market has a price in this tick."),
    REFUNDED: ("REFUNDED", "The deposit could not be booked and became a withdrawal to its depositor."),
    WITHDRAWALS_FULL: ("WITHDRAWALS_FULL", "The withdrawal tree has no leaf left."),
    GRACE: ("GRACE", "Ticks were missing: until the grace ends nothing may grow risk or take money out."),
    AGENT_LIMITS: ("AGENT_LIMITS", "The signer is an agent whose grant has expired or does not cover this slot."),
    ACCOUNTS_FULL: ("ACCOUNTS_FULL", "No account index is left."),
    HEALTHY: ("HEALTHY", "The account is not below the requirement at which this operation may touch it."),
    INSOLVENT: (
        "INSOLVENT",
        "Equity is, or would be, below zero: only a take-over or deleveraging may touch the account.",
    ),
    NOT_LARGEST: ("NOT_LARGEST", "Another position of the account has a larger maintenance requirement."),
    TOO_MANY_LOTS: (
        "TOO_MANY_LOTS",
        "Fewer lots would bring the account back to its initial requirement, the fee paid.",
    ),
    LIQUIDATION_PRICE: (
        "LIQUIDATION_PRICE",
        "The price is worse for the account than the zero price or the fillable price.",
    ),
    UNSTEADY: ("UNSTEADY", "There were not three ticks in a row, each one step after the last."),
    FUND_LIMIT: ("FUND_LIMIT", "The insurance account would pass its limits."),
    INDEBTED: ("INDEBTED", "The counterparty is below zero, and a debt keeps its position."),
    NO_OPPOSITE: ("NO_OPPOSITE", "The other account does not hold the opposite position, or not so many lots of it."),
    HEAD_UNFINISHED: (
        "HEAD_UNFINISHED",
        "A forced close is under way: no other close or leave is begun before it is finished.",
    ),
    NO_HEAD: ("NO_HEAD", "No forced close is under way in this market."),
    BAD_ENTRY: ("BAD_ENTRY", "The entry's payload is too short, too long, or names what cannot be."),
    FUND_FIRST: ("FUND_FIRST", "The insurance account may take these lots: it comes before any counterparty."),
    OUT_OF_RANGE: ("OUT_OF_RANGE", "A parameter is outside the law's range."),
    STEP_LIMIT: ("STEP_LIMIT", "A parameter moves further at once than the law allows."),
    TOO_SOON: ("TOO_SOON", "The parameters changed less than thirty days ago."),
    MARKET_REDUCES: ("MARKET_REDUCES", "The market only lets positions shrink."),
    DUPLICATE_SIGNER: ("DUPLICATE_SIGNER", "A signer of the tick stands in it twice."),
    UNSORTED_SIGNERS: ("UNSORTED_SIGNERS", "The tick's signers do not stand in ascending order."),
    QUEUE_ONLY: (
        "QUEUE_ONLY",
        "Entries of the L1 queue have waited too long: until they are served nothing else is.",
    ),
    LIMIT: ("LIMIT", "The price is beyond the limit of the forced close that is under way, which ends."),
}
