"""What the law reads and returns. Functions construct by keyword and read attributes, nothing else.

Units: sizes in lots, prices in ticks, money in micro-dollars, times in milliseconds, fractions in ppm.
"""

from typing import Final

import msgspec

from prover.stf.words import address, bytes32, uint256

NOBODY: Final = bytes(20)
NO_HASH: Final = bytes(32)


class Position(msgspec.Struct, frozen=True, gc=False, eq=False):
    """size lots, net quote paid in micro-dollars, funding index at the last settlement."""

    size: int
    cost: int
    funding: int


# The one empty position: compared by identity, so that a walk over sixteen markets costs little.
EMPTY: Final = Position(size=0, cost=0, funding=0)


class Account(msgspec.Struct, frozen=True, gc=False):
    """The pool of collateral and the sixteen positions that it stands behind; orders below `floor` are cancelled.

    Collateral is settled + older + fresh: profit is fresh in the epoch in which it is made, older in the next one,
    settled after that. `initial_ppm` is the owner's own bound of leverage. An agent is a packed word: address 160,
    expires_at 48, first and last slot 8 each. `factor` is that of unsettled money at the last touch.
    """

    owner: address
    floor: int
    settled: int
    older: int
    fresh: int
    epoch: int
    initial_ppm: int
    agents: list[uint256]
    positions: list[Position]
    factor: int = 0


class Slot(msgspec.Struct, frozen=True, gc=False):
    """The smallest sequence that is still valid in an order slot, and how many lots of it are filled."""

    sequence: int
    filled: int


class Order(msgspec.Struct, frozen=True, gc=False):
    """The whole signed order word."""

    account: int
    market: int
    side: int
    size: int
    limit_price: int
    slot: int
    sequence: int
    created_at: int
    expires_at: int
    time_in_force: int
    post_only: int
    reduce_only: int
    trigger: int
    trigger_price: int
    max_fee_ppm: int
    max_posting_fee: int
    unused: int


class Request(msgspec.Struct, frozen=True, gc=False):
    """What an owner or an agent signs that is no order; fields that an operation lacks are zero."""

    account: int
    slot: int
    sequence: int
    created_at: int
    expires_at: int
    amount: int = 0
    other: int = 0
    recipient: address = NOBODY
    first_slot: int = 0
    last_slot: int = 0
    max_posting_fee: int = 0


class Clock(msgspec.Struct, frozen=True, gc=False):
    """The chunk's time and what the ticks before it allow.

    priced: the oracle price is young. grace: ticks were missing, and the grace after that still runs. steady: the last
    three ticks stand one step apart, or there has been none for so long that forced paths no longer wait for them.
    """

    now: int
    priced: bool
    grace: bool
    steady: bool


class Deposit(msgspec.Struct, frozen=True, gc=False):
    """A deposit from the L1 queue."""

    depositor: address
    owner: address
    account: int
    amount: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An entry of the L1 queue as its sender wrote it; zero where it has no field. amount: micro-dollars or lots."""

    sender: address
    time: int
    account: int
    market: int
    amount: int
    limit: int
    agent: address
    agent_index: int
    expires_at: int
    first_slot: int
    last_slot: int


class Parameters(msgspec.Struct, frozen=True, gc=False):
    """What a market would be by an entry of the governor."""

    market: int
    status: int
    label: bytes32
    initial_ppm: int
    maintenance_ppm: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    unwind_band_ppm: int
    funding_cap_ppb: int
    funding_interest_ppb: int
    funding_damping_ppb: int
    minimum_notional: int
    price: int
    interest_lower: int
    interest_upper: int


class VenueParameters(msgspec.Struct, frozen=True, gc=False):
    """What the venue would be by an entry of the governor; signer NOBODY leaves the oracle's signers as they are."""

    posting_fee: int
    grace_period: int
    signer_index: int
    signer: address


class Debts(msgspec.Struct, frozen=True, gc=False):
    """What unsettled money has paid for debts: (epoch * 2^96 + factor at its end) of the last epochs with one.

    clock: that money ages by: above 0 where it stands still, what it shows, else what it is ahead of the time.
    """

    clock: int
    factors: list[int]


NO_DEBTS: Final = Debts(clock=0, factors=[0] * 16)


class Pool(msgspec.Struct, frozen=True, gc=False):
    """Sums of unsettled money, of the epoch before and of this one; what accounts have still to pay of debts taken.

    owed: debts that found no unsettled money yet.
    """

    epoch: int
    older: int
    fresh: int
    receivable: int
    owed: int


class Risk(msgspec.Struct):
    """What a walk over an account reads: all sixteen markets, and debts; a settled market has no requirement."""

    price: list[int]
    funding_index: list[int]
    initial_ppm: list[int]
    maintenance_ppm: list[int]
    debts: Debts = NO_DEBTS


class Market(msgspec.Struct):
    """The rest of a market. label: up to 31 bytes of ASCII name and the size decimals in the last byte.

    Open-interest scaling of the initial fraction runs between the two interest bounds, micro-dollars of notional, zero
    for none; `fund` is the collateral of the market's insurance account, `turned_over` and `paid_out` what it took and
    gave within the hour of the last tick, micro-dollars. `changed_at` is when its parameters changed. `settling` is
    the sum of price * milliseconds, times 2^32, and milliseconds of an hour whose mean settles the market.
    """

    label: bytes32
    status: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    unwind_band_ppm: int
    funding_terms: int
    minimum_notional: int
    previous_price: int
    premium_ppb: int
    open_interest: int
    interest_lower: int
    interest_upper: int
    fund: int
    turned_over: int
    paid_out: int
    changed_at: int
    settling: int


class Globals(msgspec.Struct):
    """Everything of the state that is no account and no slot.

    The head is the entry of the L1 queue that is only partly done: an account, 0 for none, a market or MARKETS for all
    of them, the lots that are left of it, its entry's time and its limit price, 0 for none. tick_queued is 1 where the
    last tick came by the queue.
    """

    next_account: int
    market_count: int
    quorum: int
    tick_time: int
    posting_fee: int
    deposited_total: int
    funding_dust: int
    withdrawal_count: int
    grace_period: int
    grace_until: int
    streak: int
    head_account: int
    head_market: int
    head_lots: int
    venue_changed_at: int
    head_time: int
    head_limit: int
    tick_queued: int
    operator: address
    signers: list[address]
    frontier: list[bytes32]
    risk: Risk
    markets: list[Market]
    pool: Pool = Pool(epoch=0, older=0, fresh=0, receivable=0, owed=0)


class Commitment(msgspec.Struct):
    """The preimage of a state root, which the bridge opens at commit.

    queue_count entries of the L1 queue are done; queue_taken are in the hash, more while a head is only partly done.
    """

    law_version: int
    tree_root: bytes32
    withdrawals_root: bytes32
    withdrawn_total: int
    queue_count: int
    queue_taken: int
    queue_hash: bytes32
    timestamp: int
    globals_hash: bytes32


class Sums(msgspec.Struct, frozen=True, gc=False):
    """Sums over positions. value = sum(size * price - cost), micro-dollars."""

    value: int
    notional: int
    initial: int
    maintenance: int


class Traded(msgspec.Struct, frozen=True, gc=False):
    """One side of a fill, decided."""

    code: int
    account: Account
    growth: int
    dust: int


class Filled(msgspec.Struct, gc=False):
    """A fill, decided. growth is the change of the market's open interest in lots."""

    code: int
    maker: Account
    taker: Account
    maker_slot: Slot
    taker_slot: Slot
    fee: int
    growth: int
    dust: int


class Side(msgspec.Struct, frozen=True, gc=False):
    """An order with what it stands on: its account, and its slot."""

    order: Order
    account: Account
    slot: Slot


class Leg(msgspec.Struct, frozen=True, gc=False):
    """What one side of a fill trades: signed lots at a price, its own fee, the initial fraction of a leg that grows."""

    market: int
    size: int
    price: int
    fee: int
    growing_ppm: int


class Conditions(msgspec.Struct, frozen=True, gc=False):
    """What a rescue is decided under: prices, those of the tick before, the time, and its market.

    entered_at: when the entry came that asks for it, or that it goes on with; limit: of a close, ticks, 0 for none;
    tick_queued: 1 where the last tick came by the queue.
    """

    risk: Risk
    previous: list[int]
    clock: Clock
    listed: Market
    tick_time: int
    tick_queued: int
    entered_at: int
    limit: int


class Terms(msgspec.Struct, frozen=True, gc=False):
    """What a request is decided under: prices, the time, the posting fee, and how many withdrawals there are."""

    risk: Risk
    clock: Clock
    posting_fee: int
    withdrawal_count: int


class Booked(msgspec.Struct, gc=False):
    """A signed request on an account, decided."""

    code: int
    account: Account
    other: Account
    slot: Slot
    fee: int
    dust: int


class Entered(msgspec.Struct, gc=False):
    """An entry of the L1 queue, decided. amount: micro-dollars to the owner; lots: what is to be closed from now on."""

    code: int
    account: Account
    amount: int
    lots: int
    opened: bool
    dust: int


class Changed(msgspec.Struct, gc=False):
    """A market's parameters, decided."""

    code: int
    listed: Market
    initial_ppm: int
    maintenance_ppm: int


class Rescue(msgspec.Struct, frozen=True, gc=False):
    """A rescue, or a step of a forced close, as its author asks for it; zero where one has no field."""

    maker: int
    market: int
    account: int
    other: int
    lots: int


class Rescued(msgspec.Struct, gc=False):
    """A rescue, decided. other: the maker or the counterparty; slot: the maker's; fee: to the fee account.

    debt: micro-dollars that unsettled money pays.
    """

    code: int
    account: Account
    other: Account
    insurance: Account
    slot: Slot
    fee: int
    growth: int
    dust: int
    turned_over: int
    paid_out: int
    debt: int


class Funded(msgspec.Struct, gc=False):
    """What an insurance account takes, decided."""

    code: int
    account: Account
    growth: int
    dust: int
    turned_over: int


class Ticked(msgspec.Struct, gc=False):
    """A tick, decided. status: of each market after it."""

    code: int
    time: int
    grace_until: int
    streak: int
    price: list[int]
    premium_ppb: list[int]
    funding_index: list[int]
    settling: list[int]
    status: list[int]
    previous_price: list[int]
