"""Every bound, weight and tag of the law; a change of any of them is another law version."""

from typing import Final

LAW_VERSION: Final = 4

# State
ACCOUNT_BITS: Final = 24
SLOT_BITS: Final = 8
MARKETS: Final = 16
FEE_ACCOUNT: Final = 0
# Account 0 takes the fees, accounts 1 to 16 are the insurance account of one market each.
RESERVED_ACCOUNTS: Final = 17
# A queue entry or a transfer that names this index asks for the next free one; it is therefore no account.
NEW_ACCOUNT: Final = 16_777_215
# As much as may leave, micro-dollars.
EVERYTHING: Final = 2**64 - 1
SIGNERS: Final = 7
AGENTS: Final = 2
# A forced agent with this index names nobody and raises the floor.
FLOOR_INDEX: Final = 2
WITHDRAWAL_LEVELS: Final = 32
WITHDRAWAL_TAG: Final = 1
# One less than there are leaves: a frontier says nothing any more once the last leaf is taken.
MAX_WITHDRAWALS: Final = 2**32 - 1

# Bounds (PROTOCOL.md, table of bounds)
SIZE_BOUND: Final = 2**56
COST_BOUND: Final = 2**110
COLLATERAL_BOUND: Final = 2**96
FUNDING_BOUND: Final = 2**79

# Fractions
PPM: Final = 1_000_000
# One funding index unit is 10^-9 micro-dollar a lot.
FUNDING_SCALE: Final = 1_000_000_000
WITHDRAWAL_FLOOR_PPM: Final = 100_000
# What a forced withdrawal leaves of open notional while no young price stands, or ticks were missing.
FORCED_FLOOR_PPM: Final = 250_000
# Open-interest scaling begins at 25 times the market's fund, and is whole at 50 times, unless a parameter is lower.
FUND_MULTIPLE_LOWER: Final = 25
FUND_MULTIPLE_UPPER: Final = 50

# Micro-dollars for an account that a transfer opens: indices are never reused.
CREATION_FEE: Final = 1_000_000

# Time, milliseconds
CLOCK_TOLERANCE: Final = 10_000
ORDER_LIFETIME: Final = 86_400_000
IMMEDIATE_LIFETIME: Final = 10_000
# Of a reduce-only order with a trigger.
STOP_LIFETIME: Final = 2_592_000_000
REQUEST_LIFETIME: Final = 600_000
TICK_STEP: Final = 5_000
MAX_PRICE_AGE: Final = 20_000
# The price of a forced rescue may be so much older than the entry, and after so long without a tick it waits no more.
FORCED_PRICE_AGE: Final = 300_000
# An entry that is begun and finds no price for so long, by an entry that came behind it, is over.
HEAD_PATIENCE: Final = 1_800_000
# Stands in the place of its limit then.
HEAD_OVER: Final = 2**48
# And without any tick for so long it needs no entry: whoever withholds ticks has lost the seat before.
PRICES_GONE: Final = 259_200_000
# Ticks further apart than this are a gap: funding does not accrue over it and a grace begins after it.
TICK_GAP: Final = 60_000
# Profit matures in two steps of an epoch: fresh, older, settled.
EPOCH: Final = 14_400_000
MAX_GRACE: Final = 3_600_000
HOUR: Final = 3_600_000
# So much of an hour must be counted before its mean settles a market.
LEAST_SETTLING_TIME: Final = 2_700_000
# What is counted of an hour stands in one word: the sum of price * ms times this, and ms.
SETTLING_SHIFT: Final = 2**32
# The last epochs with a debt, each with the factor at its end; what of a factor is its mantissa.
FACTORS: Final = 16
FACTOR_BOUND: Final = 2**96
MANTISSA_BOUND: Final = 2**64
MANTISSA_ONE: Final = 2**63
LEAST_MANTISSA: Final = 2**32
MOST_EXPONENT: Final = 2**32 - 1
# No sum of unsettled money comes near it.
POOL_BOUND: Final = 2**118
# Micro-dollars that may be owed before nothing matures any more.
MOST_OWED: Final = 100_000_000
# So many ticks in a row, each one step after the last, before anybody is liquidated.
STEADY_TICKS: Final = 3

# Rescue
# Of the closed lots' maintenance requirement, and never more than what the price is better than the zero price.
LIQUIDATION_FEE_PPM: Final = 100_000
# An insurance account holds, grows by in an hour and unwinds in an hour at most ten times its equity each, and pays
# out at most a quarter of it an hour.
TURNOVER_MULTIPLE: Final = 10
PAYOUT_PPM: Final = 250_000
# In the word of an hour's turnover what was unwound stands above what was taken.
UNWOUND: Final = 2**128
# Of the notional, from whoever forces a close to whoever takes the other side.
FORCED_PENALTY_PPM: Final = 10_000

# Orders
BUY: Final = 0
SELL: Final = 1
GOOD_TILL_TIME: Final = 0
IMMEDIATE_OR_CANCEL: Final = 1
FILL_OR_KILL: Final = 2
NO_TRIGGER: Final = 0
TRIGGER_AT_OR_ABOVE: Final = 1
TRIGGER_AT_OR_BELOW: Final = 2

# Market status
MARKET_CLOSED: Final = 0
MARKET_OPEN: Final = 1
MARKET_REDUCE_ONLY: Final = 2
MARKET_SETTLING: Final = 3
MARKET_SETTLED: Final = 4
# What scaling says of a leg that must not grow.
NO_GROWTH: Final = -1
# What stands as the previous price of a market that had none at the last tick, but had one before.
SET_ASIDE: Final = -1

# Parameters: ranges, and how far one change may go
# One change of a market, and one of the venue, in thirty days.
PARAMETER_PERIOD: Final = 2_592_000_000
# A fraction or a bound moves by at most a quarter of itself, a fee by at most so many ppm.
STEP_DIVISOR: Final = 4
FEE_STEP_PPM: Final = 100
# From nothing, or from little: micro-dollars, and ms.
POSTING_FEE_STEP: Final = 10_000
GRACE_STEP: Final = 300_000
# Of the cap, interest and damping: ppb an hour, 0.01 percent in eight hours.
FUNDING_STEP_PPB: Final = 12_500
LEAST_INITIAL_PPM: Final = 5_000
LEAST_MAINTENANCE_PPM: Final = 2_500
# Maintenance is at most three quarters of the initial fraction.
MAINTENANCE_NUMERATOR: Final = 3
MAINTENANCE_DENOMINATOR: Final = 4
MOST_FEE_PPM: Final = 1_000
LEAST_BAND_PPM: Final = 10_000
LEAST_UNWIND_BAND_PPM: Final = 100
# Of ten times its equity an hour: a fifth of it.
MOST_UNWIND_BAND_PPM: Final = 5_000
MOST_BAND_PPM: Final = 500_000
# Four percent an hour, as Hyperliquid caps it; interest and damping up to 0.1 percent in eight hours.
MOST_FUNDING_CAP_PPB: Final = 40_000_000
MOST_FUNDING_INTEREST_PPB: Final = 125_000
MOST_FUNDING_DAMPING_PPB: Final = 125_000
MOST_MINIMUM_NOTIONAL: Final = 1_000_000_000
MOST_POSTING_FEE: Final = 1_000_000
MOST_SIZE_DECIMALS: Final = 6
# Of the price that a listing names: a coarser one leaves no room to fall, and a tick of it is wider than bands.
LEAST_LISTING_TICKS: Final = 10_000
# How many times a first price may be above or below the named one.
LISTING_MULTIPLE: Final = 4

# Operations: tag, length in bytes, weight in kilogas
DEPOSIT: Final = 1
WITHDRAW: Final = 2
TRANSFER: Final = 3
CANCEL: Final = 4
CANCEL_ALL: Final = 5
TICK: Final = 6
ORDER: Final = 7
FILL: Final = 8
SET_AGENT: Final = 9
SET_LEVERAGE: Final = 10
LIQUIDATE: Final = 11
TAKE_OVER: Final = 12
DELEVERAGE: Final = 13
UNWIND: Final = 14
CLOSE_STEP: Final = 15
# Entries of the L1 queue, like the deposit: all tags from here on.
FORCED_RESCUE: Final = 16
FORCED_WITHDRAW: Final = 17
FORCED_CLOSE: Final = 18
LEAVE: Final = 19
FORCED_AGENT: Final = 20
FORCED_TICK: Final = 21
SET_MARKET: Final = 22
SET_VENUE: Final = 23

DEPOSIT_LENGTH: Final = 52
WITHDRAW_LENGTH: Final = 118
TRANSFER_LENGTH: Final = 101
CANCEL_LENGTH: Final = 90
CANCEL_ALL_LENGTH: Final = 90
TICK_HEAD_LENGTH: Final = 9
TICK_SIGNER_LENGTH: Final = 65
TICK_MARKET_LENGTH: Final = 10
ORDER_LENGTH: Final = 113
FILL_LENGTH: Final = 10
SET_AGENT_LENGTH: Final = 119
SET_LEVERAGE_LENGTH: Final = 93
LIQUIDATE_LENGTH: Final = 12
TAKE_OVER_LENGTH: Final = 12
DELEVERAGE_LENGTH: Final = 15
UNWIND_LENGTH: Final = 9
CLOSE_STEP_LENGTH: Final = 12
# Of an entry: tag, sender, time, length of its payload; then the payloads.
ENTRY_HEAD_LENGTH: Final = 29
MAX_ENTRY_BYTES: Final = 1_632
FORCED_RESCUE_LENGTH: Final = 11
FORCED_WITHDRAW_LENGTH: Final = 11
FORCED_CLOSE_LENGTH: Final = 17
LEAVE_LENGTH: Final = 3
FORCED_AGENT_LENGTH: Final = 32
SET_MARKET_LENGTH: Final = 98
SET_VENUE_LENGTH: Final = 27

# Measured worst cases (python -m tests.soak worst), with the leaves that the operation brings and all their siblings.
DEPOSIT_WEIGHT: Final = 100
WITHDRAW_WEIGHT: Final = 165
TRANSFER_WEIGHT: Final = 250
CANCEL_WEIGHT: Final = 162
CANCEL_ALL_WEIGHT: Final = 149
TICK_WEIGHT: Final = 600
ORDER_WEIGHT: Final = 122
FILL_WEIGHT: Final = 124
SET_AGENT_WEIGHT: Final = 165
SET_LEVERAGE_WEIGHT: Final = 162
LIQUIDATE_WEIGHT: Final = 300
TAKE_OVER_WEIGHT: Final = 285
DELEVERAGE_WEIGHT: Final = 385
UNWIND_WEIGHT: Final = 162
CLOSE_STEP_WEIGHT: Final = 600
FORCED_RESCUE_WEIGHT: Final = 320
FORCED_WITHDRAW_WEIGHT: Final = 145
FORCED_CLOSE_WEIGHT: Final = 125
LEAVE_WEIGHT: Final = 145
FORCED_AGENT_WEIGHT: Final = 99
FORCED_TICK_WEIGHT: Final = 600
SET_MARKET_WEIGHT: Final = 32
SET_VENUE_WEIGHT: Final = 32

# Chunk
TIMESTAMP_LENGTH: Final = 6
# Of a chunk's time: it serves the queue alone.
QUEUE_ONLY_BIT: Final = 2**47
MAX_CHUNK_BYTES: Final = 7_600
# The shortest operation is a tick of no signer, 9 bytes: (7_600 - 6) // 9 whole ones, and one that is cut off.
MAX_OPERATIONS: Final = 844
# With an empty chunk (832,000 gas) and operations that are FULL, the dearest proof stays below 10,000,000 gas.
MAX_WEIGHT: Final = 8_000
MAX_ORDERS: Final = 43
MAX_ACCOUNT_REFERENCES: Final = 43
MAX_SLOT_REFERENCES: Final = 43
# The fee account is in every chunk.
MAX_ACCOUNT_ROWS: Final = 44
MAX_LEAVES: Final = 87


def insurance_account(market: int) -> int:
    """The account that insures a market; PROTOCOL.md 4.7."""
    return market + 1


def insured_market(account: int) -> int:
    """The market of an insurance account; PROTOCOL.md 4.7."""
    return account - 1
