# pragma version 0.4.3
"""
@title Containers of the law
@license MIT
@notice What the law reads and returns. Functions construct by keyword and read attributes, nothing else.
"""

# A position is one packed word in an account: size 64, cost 112, funding index 80 bits, each biased; no position is 0.
EMPTY: constant(uint256) = 0
NOBODY: constant(address) = empty(address)
NO_HASH: constant(bytes32) = empty(bytes32)


struct Position:
    size: int256
    cost: int256
    funding: int256


struct Account:
    owner: address
    floor: int256
    collateral: int256
    positions: uint256[16]


struct Slot:
    sequence: int256
    filled: int256


struct Order:
    account: int256
    market: int256
    side: int256
    size: int256
    limit_price: int256
    slot: int256
    sequence: int256
    created_at: int256
    expires_at: int256
    time_in_force: int256
    post_only: int256
    reduce_only: int256
    trigger: int256
    trigger_price: int256
    max_fee_ppm: int256
    max_posting_fee: int256
    unused: int256


struct Request:
    account: int256
    slot: int256
    sequence: int256
    created_at: int256
    expires_at: int256
    amount: int256
    other: int256
    recipient: address


struct Deposit:
    depositor: address
    owner: address
    account: int256
    amount: int256


struct Risk:
    price: int256[16]
    funding_index: int256[16]
    initial_ppm: int256[16]
    maintenance_ppm: int256[16]


struct Market:
    label: bytes32
    status: int256
    maker_fee_ppm: int256
    taker_fee_ppm: int256
    band_ppm: int256
    funding_cap_ppm: int256
    minimum_notional: int256
    previous_price: int256
    premium_ppm: int256
    open_interest: int256


struct Globals:
    next_account: int256
    market_count: int256
    quorum: int256
    tick_time: int256
    posting_fee: int256
    deposited_total: int256
    funding_dust: int256
    withdrawal_count: int256
    operator: address
    signers: address[7]
    frontier: bytes32[32]
    risk: Risk
    markets: Market[16]


struct Commitment:
    law_version: int256
    tree_root: bytes32
    withdrawals_root: bytes32
    withdrawn_total: int256
    queue_count: int256
    queue_hash: bytes32
    queue_work: int256
    timestamp: int256
    globals_hash: bytes32


# Sums over positions. value = sum(size * price - cost), micro-dollars.
struct Sums:
    value: int256
    notional: int256
    initial: int256
    maintenance: int256


# One side of a fill, decided.
struct Traded:
    code: int256
    account: Account
    growth: int256
    dust: int256


# A fill, decided. growth is the change of the market's open interest in lots.
struct Filled:
    code: int256
    maker: Account
    taker: Account
    maker_slot: Slot
    taker_slot: Slot
    fee: int256
    growth: int256
    dust: int256


# A signed request on an account, decided.
struct Booked:
    code: int256
    account: Account
    other: Account
    slot: Slot
    dust: int256


# A tick, decided.
struct Ticked:
    code: int256
    time: int256
    price: int256[16]
    premium_ppm: int256[16]
    funding_index: int256[16]
