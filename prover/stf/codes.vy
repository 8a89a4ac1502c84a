# pragma version 0.4.3
"""
@title Codes of the law
@license MIT
@notice What an operation came to; sentences in codes.py and PROTOCOL.md.
"""

OK: constant(int256) = 0
FULL: constant(int256) = 1
MALFORMED: constant(int256) = 2
NOT_CANONICAL: constant(int256) = 3
NO_ACCOUNT: constant(int256) = 4
RESERVED: constant(int256) = 5
BAD_SIGNATURE: constant(int256) = 6
NOT_YET: constant(int256) = 7
EXPIRED: constant(int256) = 8
LIFETIME: constant(int256) = 9
SEQUENCE_AHEAD: constant(int256) = 10
CANCELLED: constant(int256) = 11
USED: constant(int256) = 12
NO_MARKET: constant(int256) = 13
TOO_SMALL: constant(int256) = 14
NO_ORDER: constant(int256) = 15
SAME_ACCOUNT: constant(int256) = 16
MISMATCHED: constant(int256) = 17
NOT_CROSSED: constant(int256) = 18
POST_ONLY: constant(int256) = 19
OVERFILLED: constant(int256) = 20
ALL_OR_NOTHING: constant(int256) = 21
NOT_TRIGGERED: constant(int256) = 22
REDUCE_ONLY: constant(int256) = 23
FEE_ABOVE_MAXIMUM: constant(int256) = 24
STALE: constant(int256) = 25
PRICE_BAND: constant(int256) = 26
OUT_OF_BOUNDS: constant(int256) = 27
MAKER_MARGIN: constant(int256) = 28
TAKER_MARGIN: constant(int256) = 29
MARGIN: constant(int256) = 30
COLLATERAL: constant(int256) = 31
ZERO_AMOUNT: constant(int256) = 32
NO_RECIPIENT: constant(int256) = 33
NOT_OWNER: constant(int256) = 34
OFF_GRID: constant(int256) = 35
OLD_TICK: constant(int256) = 36
QUORUM: constant(int256) = 37
BAD_SIGNERS: constant(int256) = 38
ZERO_PRICE: constant(int256) = 39
REFUNDED: constant(int256) = 40
WITHDRAWALS_FULL: constant(int256) = 41
GRACE: constant(int256) = 42
AGENT_LIMITS: constant(int256) = 43
ACCOUNTS_FULL: constant(int256) = 44
HEALTHY: constant(int256) = 45
INSOLVENT: constant(int256) = 46
NOT_LARGEST: constant(int256) = 47
TOO_MANY_LOTS: constant(int256) = 48
LIQUIDATION_PRICE: constant(int256) = 49
UNSTEADY: constant(int256) = 50
FUND_LIMIT: constant(int256) = 51
NOT_IN_PROFIT: constant(int256) = 52
NO_OPPOSITE: constant(int256) = 53
