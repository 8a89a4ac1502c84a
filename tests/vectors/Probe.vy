# pragma version 0.4.3
"""
@title Probe
@license MIT
@notice The law's pure functions one by one, for vectors and for the table of bounds. Never deployed outside tests.
"""

from prover.stf import containers
from prover.stf import encoding
from prover.stf import margin
from prover.stf import markets
from prover.stf import merkle
from prover.stf import signatures
from prover.stf import trading


@external
@pure
def floor_div(numerator: int256, denominator: int256) -> int256:
    return margin.floor_div(numerator, denominator)


@external
@pure
def ceil_div(numerator: int256, denominator: int256) -> int256:
    return margin.ceil_div(numerator, denominator)


@external
@pure
def requirement(price: int256, size: int256, ppm: int256) -> int256:
    return margin.requirement(price, size, ppm)


@external
@pure
def settle(risk: containers.Risk, account: containers.Account, now: int256) -> (containers.Account, int256):
    return margin.settle(risk, account, now)


@external
@pure
def scaled_ppm(market: containers.Market, price: int256, open_interest: int256, base_ppm: int256) -> int256:
    return margin.scaled_ppm(market, price, open_interest, base_ppm)


@external
@pure
def sums(risk: containers.Risk, account: containers.Account, left_out: int256) -> containers.Sums:
    return margin.sums(risk, account, left_out)


@external
@pure
def spendable(risk: containers.Risk, account: containers.Account, floor_ppm: int256) -> int256:
    return margin.spendable(risk, account, floor_ppm)


@external
@pure
def only_reduced(old_size: int256, new_size: int256, before: int256, after: int256, maintenance_before: int256, maintenance_after: int256) -> bool:
    return margin.only_reduced(old_size, new_size, before, after, maintenance_before, maintenance_after)


@external
@pure
def median(reports: int256[7], count: int256) -> int256:
    return markets.median(reports, count)


@external
@pure
def funding_rate(terms: uint256, premium_ppb: int256) -> int256:
    return markets.funding_rate(terms, premium_ppb)


@external
@pure
def accrued(funding_index: int256, rate_ppb: int256, price: int256, elapsed: int256) -> int256:
    return markets.accrued(funding_index, rate_ppb, price, elapsed)


@external
@pure
def trade(risk: containers.Risk, clock: containers.Clock, account: containers.Account, leg: containers.Leg) -> containers.Traded:
    return trading.trade(risk, clock, account, leg)


@external
@pure
def check_pair(price: int256, priced: bool, market: containers.Market, posting_fee: int256, maker: containers.Order, taker: containers.Order, size: int256) -> int256:
    return trading.check_pair(price, priced, market, posting_fee, maker, taker, size)


@external
@pure
def pack(size: int256, cost: int256, funding: int256) -> uint256:
    return encoding.pack(size, cost, funding)


@external
@pure
def unpack(word: uint256) -> containers.Position:
    return encoding.unpack(word)


@external
@pure
def account_hash(account: containers.Account) -> bytes32:
    return encoding.account_hash(account)


@external
@pure
def slot_hash(slot: containers.Slot) -> bytes32:
    return encoding.slot_hash(slot)


@external
@pure
def withdrawal_hash(index: int256, recipient: address, amount: int256) -> bytes32:
    return encoding.withdrawal_hash(index, recipient, amount)


@external
@pure
def globals_hash(globals: containers.Globals) -> bytes32:
    return encoding.globals_hash(globals)


@external
@pure
def state_root(commitment: containers.Commitment) -> bytes32:
    return encoding.state_root(commitment)


@external
@pure
def append(frontier: bytes32[32], count: int256, leaf: bytes32) -> bytes32[32]:
    return merkle.append(frontier, count, leaf)


@external
@pure
def frontier_root(frontier: bytes32[32], count: int256) -> bytes32:
    return merkle.frontier_root(frontier, count)


@external
@pure
def order_hash(order: containers.Order) -> bytes32:
    return signatures.order_hash(order)


@external
@pure
def request_hash(tag: int256, request: containers.Request) -> bytes32:
    return signatures.request_hash(tag, request)


@external
@pure
def tick_hash(time: int256, prices: int256[16], premiums: int256[16]) -> bytes32:
    return signatures.tick_hash(time, prices, premiums)


@external
@pure
def recover(digest: bytes32, r: uint256, parity_and_s: uint256) -> address:
    return signatures.recover(digest, r, parity_and_s)
