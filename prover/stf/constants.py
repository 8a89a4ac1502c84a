"""Every bound, weight and tag of the law; a change of any of them is another law version."""

from typing import Final

LAW_VERSION: Final = 1

# State
ACCOUNT_BITS: Final = 24
SLOT_BITS: Final = 8
MARKETS: Final = 16
FEE_ACCOUNT: Final = 0
# Account 0 takes the fees, accounts 1 to 16 are the insurance account of one market each.
RESERVED_ACCOUNTS: Final = 17
# A queue entry that names this index asks for the next free one; it is therefore no account.
NEW_ACCOUNT: Final = 16_777_215
SIGNERS: Final = 7
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
# ppm an hour * price_ticks * ms / (3.6 * 10^6 ms an hour) / 10^6 * FUNDING_SCALE = ppm * price_ticks * ms / 3_600.
FUNDING_DIVISOR: Final = 3_600
WITHDRAWAL_FLOOR_PPM: Final = 100_000

# Time, milliseconds
CLOCK_TOLERANCE: Final = 10_000
ORDER_LIFETIME: Final = 86_400_000
IMMEDIATE_LIFETIME: Final = 10_000
REQUEST_LIFETIME: Final = 600_000
TICK_STEP: Final = 5_000
MAX_PRICE_AGE: Final = 20_000
MAX_FUNDING_GAP: Final = 60_000

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

# Operations: tag, length in bytes, weight in kilogas
DEPOSIT: Final = 1
WITHDRAW: Final = 2
TRANSFER: Final = 3
CANCEL: Final = 4
CANCEL_ALL: Final = 5
TICK: Final = 6
ORDER: Final = 7
FILL: Final = 8

DEPOSIT_LENGTH: Final = 52
WITHDRAW_LENGTH: Final = 115
TRANSFER_LENGTH: Final = 98
CANCEL_LENGTH: Final = 87
CANCEL_ALL_LENGTH: Final = 87
TICK_HEAD_LENGTH: Final = 9
TICK_SIGNER_LENGTH: Final = 65
TICK_MARKET_LENGTH: Final = 9
ORDER_LENGTH: Final = 113
FILL_LENGTH: Final = 10

# Measured worst cases (python -m tests.soak worst), with the leaves that the operation brings and all their siblings.
DEPOSIT_WEIGHT: Final = 80
WITHDRAW_WEIGHT: Final = 140
TRANSFER_WEIGHT: Final = 190
CANCEL_WEIGHT: Final = 90
CANCEL_ALL_WEIGHT: Final = 80
TICK_WEIGHT: Final = 600
ORDER_WEIGHT: Final = 100
FILL_WEIGHT: Final = 95

# Chunk
TIMESTAMP_LENGTH: Final = 6
MAX_CHUNK_BYTES: Final = 8_192
# The shortest operation is a tick of no signer, 9 bytes: (8_192 - 6) // 9 whole ones, and one that is cut off.
MAX_OPERATIONS: Final = 910
# 10,000,000 gas of a proof, less 700,000 for an empty chunk and 1,300,000 for operations that are FULL.
MAX_WEIGHT: Final = 8_000
MAX_ORDERS: Final = 48
MAX_ACCOUNT_REFERENCES: Final = 48
MAX_SLOT_REFERENCES: Final = 48
# The fee account is in every chunk.
MAX_ACCOUNT_ROWS: Final = 49
MAX_LEAVES: Final = 97
