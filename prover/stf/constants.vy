# pragma version 0.4.3
"""
@title Constants of the law
@license MIT
@notice Every bound, weight and tag; a change of any of them is another law version.
"""

LAW_VERSION: constant(int256) = 4

# State
ACCOUNT_BITS: constant(int256) = 24
SLOT_BITS: constant(int256) = 8
MARKETS: constant(int256) = 16
FEE_ACCOUNT: constant(int256) = 0
# Account 0 takes the fees, accounts 1 to 16 are the insurance account of one market each.
RESERVED_ACCOUNTS: constant(int256) = 17
# A queue entry or a transfer that names this index asks for the next free one; it is therefore no account.
NEW_ACCOUNT: constant(int256) = 16_777_215
# As much as may leave, micro-dollars.
EVERYTHING: constant(int256) = 2**64 - 1
SIGNERS: constant(int256) = 7
AGENTS: constant(int256) = 2
# A forced agent with this index names nobody and raises the floor.
FLOOR_INDEX: constant(int256) = 2
WITHDRAWAL_LEVELS: constant(int256) = 32
WITHDRAWAL_TAG: constant(int256) = 1
# One less than there are leaves: a frontier says nothing any more once the last leaf is taken.
MAX_WITHDRAWALS: constant(int256) = 2**32 - 1

# Bounds (PROTOCOL.md, table of bounds)
SIZE_BOUND: constant(int256) = 2**56
COST_BOUND: constant(int256) = 2**110
COLLATERAL_BOUND: constant(int256) = 2**96
FUNDING_BOUND: constant(int256) = 2**79

# Fractions
PPM: constant(int256) = 1_000_000
# One funding index unit is 10^-9 micro-dollar a lot.
FUNDING_SCALE: constant(int256) = 1_000_000_000
WITHDRAWAL_FLOOR_PPM: constant(int256) = 100_000
# What a forced withdrawal leaves of open notional while no young price stands, or ticks were missing.
FORCED_FLOOR_PPM: constant(int256) = 250_000
# Open-interest scaling begins at 25 times the market's fund, and is whole at 50 times, unless a parameter is lower.
FUND_MULTIPLE_LOWER: constant(int256) = 25
FUND_MULTIPLE_UPPER: constant(int256) = 50

# Micro-dollars for an account that a transfer opens: indices are never reused.
CREATION_FEE: constant(int256) = 1_000_000

# Time, milliseconds
CLOCK_TOLERANCE: constant(int256) = 10_000
ORDER_LIFETIME: constant(int256) = 86_400_000
IMMEDIATE_LIFETIME: constant(int256) = 10_000
# Of a reduce-only order with a trigger.
STOP_LIFETIME: constant(int256) = 2_592_000_000
REQUEST_LIFETIME: constant(int256) = 600_000
TICK_STEP: constant(int256) = 5_000
MAX_PRICE_AGE: constant(int256) = 20_000
# The price of a forced rescue may be so much older than the entry, and after so long without a tick it waits no more.
FORCED_PRICE_AGE: constant(int256) = 300_000
# An entry that is begun and finds no price for so long, by an entry that came behind it, is over.
HEAD_PATIENCE: constant(int256) = 1_800_000
# Stands in the place of its limit then.
HEAD_OVER: constant(int256) = 2**48
# And without any tick for so long it needs no entry: whoever withholds ticks has lost the seat before.
PRICES_GONE: constant(int256) = 259_200_000
# Ticks further apart than this are a gap: funding does not accrue over it and a grace begins after it.
TICK_GAP: constant(int256) = 60_000
# Profit matures in two steps of an epoch: fresh, older, settled.
EPOCH: constant(int256) = 14_400_000
MAX_GRACE: constant(int256) = 3_600_000
HOUR: constant(int256) = 3_600_000
# So much of an hour must be counted before its mean settles a market.
LEAST_SETTLING_TIME: constant(int256) = 2_700_000
# What is counted of an hour stands in one word: the sum of price * ms times this, and ms.
SETTLING_SHIFT: constant(int256) = 2**32
# The last epochs with a debt, each with the factor at its end; what of a factor is its mantissa.
FACTORS: constant(int256) = 16
FACTOR_BOUND: constant(int256) = 2**96
MANTISSA_BOUND: constant(int256) = 2**64
MANTISSA_ONE: constant(int256) = 2**63
LEAST_MANTISSA: constant(int256) = 2**32
MOST_EXPONENT: constant(int256) = 2**32 - 1
# No sum of unsettled money comes near it.
POOL_BOUND: constant(int256) = 2**118
# Micro-dollars that may be owed before nothing matures any more.
MOST_OWED: constant(int256) = 100_000_000
# So many ticks in a row, each one step after the last, before anybody is liquidated.
STEADY_TICKS: constant(int256) = 3

# Rescue
# Of the closed lots' maintenance requirement, and never more than what the price is better than the zero price.
LIQUIDATION_FEE_PPM: constant(int256) = 100_000
# An insurance account holds, grows by in an hour and unwinds in an hour at most ten times its equity each, and pays
# out at most a quarter of it an hour.
TURNOVER_MULTIPLE: constant(int256) = 10
PAYOUT_PPM: constant(int256) = 250_000
# In the word of an hour's turnover what was unwound stands above what was taken.
UNWOUND: constant(int256) = 2**128
# Of the notional, from whoever forces a close to whoever takes the other side.
FORCED_PENALTY_PPM: constant(int256) = 10_000

# Orders
BUY: constant(int256) = 0
SELL: constant(int256) = 1
GOOD_TILL_TIME: constant(int256) = 0
IMMEDIATE_OR_CANCEL: constant(int256) = 1
FILL_OR_KILL: constant(int256) = 2
NO_TRIGGER: constant(int256) = 0
TRIGGER_AT_OR_ABOVE: constant(int256) = 1
TRIGGER_AT_OR_BELOW: constant(int256) = 2

# Market status
MARKET_CLOSED: constant(int256) = 0
MARKET_OPEN: constant(int256) = 1
MARKET_REDUCE_ONLY: constant(int256) = 2
MARKET_SETTLING: constant(int256) = 3
MARKET_SETTLED: constant(int256) = 4
# What scaling says of a leg that must not grow.
NO_GROWTH: constant(int256) = -1
# What stands as the previous price of a market that had none at the last tick, but had one before.
SET_ASIDE: constant(int256) = -1

# Parameters: ranges, and how far one change may go
# One change of a market, and one of the venue, in thirty days.
PARAMETER_PERIOD: constant(int256) = 2_592_000_000
# A fraction or a bound moves by at most a quarter of itself, a fee by at most so many ppm.
STEP_DIVISOR: constant(int256) = 4
FEE_STEP_PPM: constant(int256) = 100
# From nothing, or from little: micro-dollars, and ms.
POSTING_FEE_STEP: constant(int256) = 10_000
GRACE_STEP: constant(int256) = 300_000
# Of the cap, interest and damping: ppb an hour, 0.01 percent in eight hours.
FUNDING_STEP_PPB: constant(int256) = 12_500
LEAST_INITIAL_PPM: constant(int256) = 5_000
LEAST_MAINTENANCE_PPM: constant(int256) = 2_500
# Maintenance is at most three quarters of the initial fraction.
MAINTENANCE_NUMERATOR: constant(int256) = 3
MAINTENANCE_DENOMINATOR: constant(int256) = 4
MOST_FEE_PPM: constant(int256) = 1_000
LEAST_BAND_PPM: constant(int256) = 10_000
LEAST_UNWIND_BAND_PPM: constant(int256) = 100
# Of ten times its equity an hour: a fifth of it.
MOST_UNWIND_BAND_PPM: constant(int256) = 5_000
MOST_BAND_PPM: constant(int256) = 500_000
# Four percent an hour, as Hyperliquid caps it; interest and damping up to 0.1 percent in eight hours.
MOST_FUNDING_CAP_PPB: constant(int256) = 40_000_000
MOST_FUNDING_INTEREST_PPB: constant(int256) = 125_000
MOST_FUNDING_DAMPING_PPB: constant(int256) = 125_000
MOST_MINIMUM_NOTIONAL: constant(int256) = 1_000_000_000
MOST_POSTING_FEE: constant(int256) = 1_000_000
MOST_SIZE_DECIMALS: constant(int256) = 6
# Of the price that a listing names: a coarser one leaves no room to fall, and a tick of it is wider than bands.
LEAST_LISTING_TICKS: constant(int256) = 10_000
# How many times a first price may be above or below the named one.
LISTING_MULTIPLE: constant(int256) = 4

# Operations: tag, length in bytes, weight in kilogas
DEPOSIT: constant(int256) = 1
WITHDRAW: constant(int256) = 2
TRANSFER: constant(int256) = 3
CANCEL: constant(int256) = 4
CANCEL_ALL: constant(int256) = 5
TICK: constant(int256) = 6
ORDER: constant(int256) = 7
FILL: constant(int256) = 8
SET_AGENT: constant(int256) = 9
SET_LEVERAGE: constant(int256) = 10
LIQUIDATE: constant(int256) = 11
TAKE_OVER: constant(int256) = 12
DELEVERAGE: constant(int256) = 13
UNWIND: constant(int256) = 14
CLOSE_STEP: constant(int256) = 15
# Entries of the L1 queue, like the deposit: all tags from here on.
FORCED_RESCUE: constant(int256) = 16
FORCED_WITHDRAW: constant(int256) = 17
FORCED_CLOSE: constant(int256) = 18
LEAVE: constant(int256) = 19
FORCED_AGENT: constant(int256) = 20
FORCED_TICK: constant(int256) = 21
SET_MARKET: constant(int256) = 22
SET_VENUE: constant(int256) = 23

DEPOSIT_LENGTH: constant(int256) = 52
WITHDRAW_LENGTH: constant(int256) = 118
TRANSFER_LENGTH: constant(int256) = 101
CANCEL_LENGTH: constant(int256) = 90
CANCEL_ALL_LENGTH: constant(int256) = 90
TICK_HEAD_LENGTH: constant(int256) = 9
TICK_SIGNER_LENGTH: constant(int256) = 65
TICK_MARKET_LENGTH: constant(int256) = 10
ORDER_LENGTH: constant(int256) = 113
FILL_LENGTH: constant(int256) = 10
SET_AGENT_LENGTH: constant(int256) = 119
SET_LEVERAGE_LENGTH: constant(int256) = 93
LIQUIDATE_LENGTH: constant(int256) = 12
TAKE_OVER_LENGTH: constant(int256) = 12
DELEVERAGE_LENGTH: constant(int256) = 15
UNWIND_LENGTH: constant(int256) = 9
CLOSE_STEP_LENGTH: constant(int256) = 12
# Of an entry: tag, sender, time, length of its payload; then the payloads.
ENTRY_HEAD_LENGTH: constant(int256) = 29
MAX_ENTRY_BYTES: constant(int256) = 1_632
FORCED_RESCUE_LENGTH: constant(int256) = 11
FORCED_WITHDRAW_LENGTH: constant(int256) = 11
FORCED_CLOSE_LENGTH: constant(int256) = 17
LEAVE_LENGTH: constant(int256) = 3
FORCED_AGENT_LENGTH: constant(int256) = 32
SET_MARKET_LENGTH: constant(int256) = 98
SET_VENUE_LENGTH: constant(int256) = 27

# Measured worst cases (python -m tests.soak worst), with the leaves that the operation brings and all their siblings.
DEPOSIT_WEIGHT: constant(int256) = 100
WITHDRAW_WEIGHT: constant(int256) = 165
TRANSFER_WEIGHT: constant(int256) = 250
CANCEL_WEIGHT: constant(int256) = 162
CANCEL_ALL_WEIGHT: constant(int256) = 149
TICK_WEIGHT: constant(int256) = 600
ORDER_WEIGHT: constant(int256) = 122
FILL_WEIGHT: constant(int256) = 124
SET_AGENT_WEIGHT: constant(int256) = 165
SET_LEVERAGE_WEIGHT: constant(int256) = 162
LIQUIDATE_WEIGHT: constant(int256) = 300
TAKE_OVER_WEIGHT: constant(int256) = 285
DELEVERAGE_WEIGHT: constant(int256) = 385
UNWIND_WEIGHT: constant(int256) = 162
CLOSE_STEP_WEIGHT: constant(int256) = 600
FORCED_RESCUE_WEIGHT: constant(int256) = 320
FORCED_WITHDRAW_WEIGHT: constant(int256) = 145
FORCED_CLOSE_WEIGHT: constant(int256) = 125
LEAVE_WEIGHT: constant(int256) = 145
FORCED_AGENT_WEIGHT: constant(int256) = 99
FORCED_TICK_WEIGHT: constant(int256) = 600
SET_MARKET_WEIGHT: constant(int256) = 32
SET_VENUE_WEIGHT: constant(int256) = 32

# Chunk
TIMESTAMP_LENGTH: constant(int256) = 6
# Of a chunk's time: it serves the queue alone.
QUEUE_ONLY_BIT: constant(int256) = 2**47
MAX_CHUNK_BYTES: constant(int256) = 7_600
# The shortest operation is a tick of no signer, 9 bytes: (7_600 - 6) // 9 whole ones, and one that is cut off.
MAX_OPERATIONS: constant(int256) = 844
# With an empty chunk (832,000 gas) and operations that are FULL, the dearest proof stays below 10,000,000 gas.
MAX_WEIGHT: constant(int256) = 8_000
MAX_ORDERS: constant(int256) = 43
MAX_ACCOUNT_REFERENCES: constant(int256) = 43
MAX_SLOT_REFERENCES: constant(int256) = 43
# The fee account is in every chunk.
MAX_ACCOUNT_ROWS: constant(int256) = 44
MAX_LEAVES: constant(int256) = 87


@internal
@pure
def insurance_account(market: int256) -> int256:
    """The account that insures a market; PROTOCOL.md 4.7."""
    return market + 1


@internal
@pure
def insured_market(account: int256) -> int256:
    """The market of an insurance account; PROTOCOL.md 4.7."""
    return account - 1
