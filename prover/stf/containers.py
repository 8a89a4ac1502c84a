"""What the law reads and returns. Functions construct by keyword and read attributes, nothing else.

Units: sizes in lots, prices in ticks, money in micro-dollars, times in milliseconds, fractions in ppm.
"""

from typing import Final

import msgspec

from prover.stf.words import address, bytes32

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
    """The pool of collateral and the sixteen positions that it stands behind; orders below `floor` are cancelled."""

    owner: address
    floor: int
    collateral: int
    positions: list[Position]


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
    """A signed withdrawal, transfer or cancel; fields that an operation lacks are zero."""

    account: int
    slot: int
    sequence: int
    created_at: int
    expires_at: int
    amount: int
    other: int
    recipient: address


class Deposit(msgspec.Struct, frozen=True, gc=False):
    """A deposit from the L1 queue."""

    depositor: address
    owner: address
    account: int
    amount: int


class Risk(msgspec.Struct):
    """What a margin walk reads of all sixteen markets."""

    price: list[int]
    funding_index: list[int]
    initial_ppm: list[int]
    maintenance_ppm: list[int]


class Market(msgspec.Struct):
    """The rest of a market. label: up to 31 bytes of ASCII name and the size decimals in the last byte."""

    label: bytes32
    status: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    funding_cap_ppm: int
    minimum_notional: int
    previous_price: int
    premium_ppm: int
    open_interest: int


class Globals(msgspec.Struct):
    """Everything of the state that is no account and no slot."""

    next_account: int
    market_count: int
    quorum: int
    tick_time: int
    posting_fee: int
    deposited_total: int
    funding_dust: int
    withdrawal_count: int
    operator: address
    signers: list[address]
    frontier: list[bytes32]
    risk: Risk
    markets: list[Market]


class Commitment(msgspec.Struct):
    """The preimage of a state root, which the bridge opens at commit."""

    law_version: int
    tree_root: bytes32
    withdrawals_root: bytes32
    withdrawn_total: int
    queue_count: int
    queue_hash: bytes32
    queue_work: int
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


class Booked(msgspec.Struct, gc=False):
    """A signed request on an account, decided."""

    code: int
    account: Account
    other: Account
    slot: Slot
    dust: int


class Ticked(msgspec.Struct, gc=False):
    """A tick, decided."""

    code: int
    time: int
    price: list[int]
    premium_ppm: list[int]
    funding_index: list[int]
