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


# Collateral is settled + older + fresh. An agent is a packed word: address 160, expires_at 48, first and last slot 8 each.
struct Account:
    owner: address
    floor: int256
    settled: int256
    older: int256
    fresh: int256
    epoch: int256
    initial_ppm: int256
    agents: uint256[2]
    positions: uint256[16]
    factor: int256


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
    first_slot: int256
    last_slot: int256
    max_posting_fee: int256


# The chunk's time and what the ticks before it allow: priced where the oracle price is young, grace where ticks were
# missing and the grace after that still runs, steady where the last three ticks stand one step apart.
struct Clock:
    now: int256
    priced: bool
    grace: bool
    steady: bool


# An operation with one signature, before anybody has read it: its two words of fields, r, and s with the parity of y.
struct Signed:
    domain: bytes32
    tag: int256
    head: uint256
    tail: uint256
    r: uint256
    parity_and_s: uint256


struct Deposit:
    depositor: address
    owner: address
    account: int256
    amount: int256


# An entry of the L1 queue as its sender wrote it; zero where a kind has no field. amount: micro-dollars or lots.
struct Entry:
    sender: address
    time: int256
    account: int256
    market: int256
    amount: int256
    limit: int256
    agent: address
    agent_index: int256
    expires_at: int256
    first_slot: int256
    last_slot: int256


# What a market would be by an entry of the governor.
struct Parameters:
    market: int256
    status: int256
    label: bytes32
    initial_ppm: int256
    maintenance_ppm: int256
    maker_fee_ppm: int256
    taker_fee_ppm: int256
    band_ppm: int256
    unwind_band_ppm: int256
    funding_cap_ppb: int256
    funding_interest_ppb: int256
    funding_damping_ppb: int256
    minimum_notional: int256
    price: int256
    interest_lower: int256
    interest_upper: int256


# What the venue would be by an entry of the governor; signer NOBODY leaves the oracle's signers as they are.
struct VenueParameters:
    posting_fee: int256
    grace_period: int256
    signer_index: int256
    signer: address


# What unsettled money has paid for debts: (epoch * 2^96 + factor at its end) of the last epochs with one. clock: that
# money ages by: above 0 where it stands still, what it shows, else what it is ahead of the time.
struct Debts:
    clock: int256
    factors: int256[16]


# Sums of unsettled money, of the epoch before and of this one; what accounts have still to pay of debts taken; debts that
# found no unsettled money yet.
struct Pool:
    epoch: int256
    older: int256
    fresh: int256
    receivable: int256
    owed: int256


# A settled market has no requirement.
struct Risk:
    price: int256[16]
    funding_index: int256[16]
    initial_ppm: int256[16]
    maintenance_ppm: int256[16]
    debts: Debts


struct Market:
    label: bytes32
    status: int256
    maker_fee_ppm: int256
    taker_fee_ppm: int256
    band_ppm: int256
    unwind_band_ppm: int256
    funding_terms: uint256
    minimum_notional: int256
    previous_price: int256
    premium_ppb: int256
    open_interest: int256
    interest_lower: int256
    interest_upper: int256
    fund: int256
    turned_over: int256
    paid_out: int256
    changed_at: int256
    settling: int256


# The head is the entry of the L1 queue that is only partly done: an account, 0 for none, a market or MARKETS for all.
# Its addresses are plain words: a struct of nothing that could be dirty is taken from a call as it stands (replay.vy).
struct Globals:
    next_account: int256
    market_count: int256
    quorum: int256
    tick_time: int256
    posting_fee: int256
    deposited_total: int256
    funding_dust: int256
    withdrawal_count: int256
    grace_period: int256
    grace_until: int256
    streak: int256
    head_account: int256
    head_market: int256
    head_lots: int256
    venue_changed_at: int256
    head_time: int256
    head_limit: int256
    tick_queued: int256
    operator: uint256
    signers: uint256[7]
    frontier: bytes32[32]
    risk: Risk
    markets: Market[16]
    pool: Pool


struct Commitment:
    law_version: int256
    tree_root: bytes32
    withdrawals_root: bytes32
    withdrawn_total: int256
    queue_count: int256
    queue_taken: int256
    queue_hash: bytes32
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
struct Side:
    order: Order
    account: Account
    slot: Slot


struct Leg:
    market: int256
    size: int256
    price: int256
    fee: int256
    growing_ppm: int256


# What a rescue is decided under. entered_at: when the entry came that asks for it, or that it goes on with; limit: of a
# close, 0 for none; tick_queued: 1 where the last tick came by the queue.
struct Conditions:
    risk: Risk
    previous: int256[16]
    clock: Clock
    listed: Market
    tick_time: int256
    tick_queued: int256
    entered_at: int256
    limit: int256


struct Terms:
    risk: Risk
    clock: Clock
    posting_fee: int256
    withdrawal_count: int256


struct Booked:
    code: int256
    account: Account
    other: Account
    slot: Slot
    fee: int256
    dust: int256


# An entry of the L1 queue, decided. amount: micro-dollars to the owner; lots: what is to be closed from now on.
struct Entered:
    code: int256
    account: Account
    amount: int256
    lots: int256
    opened: bool
    dust: int256


# A market's parameters, decided.
struct Changed:
    code: int256
    listed: Market
    initial_ppm: int256
    maintenance_ppm: int256


# A rescue, or a step of a forced close, as its author asks for it; zero where one has no field.
struct Rescue:
    maker: int256
    market: int256
    account: int256
    other: int256
    lots: int256


# A rescue, decided. other: the maker or the counterparty; slot: the maker's; fee: to the fee account.
struct Rescued:
    code: int256
    account: Account
    other: Account
    insurance: Account
    slot: Slot
    fee: int256
    growth: int256
    dust: int256
    turned_over: int256
    paid_out: int256
    debt: int256


# What an insurance account takes, decided.
struct Funded:
    code: int256
    account: Account
    growth: int256
    dust: int256
    turned_over: int256


# A tick, decided.
struct Ticked:
    code: int256
    time: int256
    grace_until: int256
    streak: int256
    price: int256[16]
    premium_ppb: int256[16]
    funding_index: int256[16]
    settling: int256[16]
    status: int256[16]
    previous_price: int256[16]
