"""What the bench trades: keys, listings, and a flow of signed orders that is a function of the seed alone."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from random import Random
from typing import Final

import msgspec
from coincurve import PrivateKey

from l1_bridge.hashing import keccak
from prover.signing import operations, signatures
from prover.signing.reports import assembled, signed_report
from prover.signing.typed_data import domain_separator
from prover.state.genesis import DEVNET_MARKETS, genesis_bytes
from prover.stf import constants, containers

# Three are traded; in the fourth every account only holds a position, so that each margin sum walks over four.
LISTINGS: Final = (
    *DEVNET_MARKETS,
    msgspec.structs.replace(DEVNET_MARKETS[-1], name="LINK", size_decimals=1),
)
MARKET_COUNT: Final = len(LISTINGS)
TRADED: Final = 3
PRICES: Final = (600_000, 300_000, 1_500_000, 1_500_000)
# Orders come in multiples of these, about sixty dollars each.
UNITS: Final = (100, 200, 40, 40)
HELD_UNITS: Final = 2_000
MAX_UNITS: Final = 3
# On the tick grid. The bench's clock starts here, so that everything can be signed before it runs.
START: Final = 1_800_000_000_000
DOMAIN: Final = domain_separator(31_337, b"\x11" * 20)
BLOCK_ORDERS: Final = 1_000

_FIRST: Final = constants.RESERVED_ACCOUNTS
_DEPOSIT_MICROS: Final = 10_000_000_000_000
_QUORUM: Final = 5
# An order takes one of an account's low slots at random, and the place of what still rests there.
_SLOTS: Final = 4
_TAKING_PERCENT: Final = 34
_POST_ONLY_PERCENT: Final = 10
# How far from the middle orders stand, as a part of the price.
_DEPTH_PARTS: Final = 2_000
_WAVE_BLOCKS: Final = 64
# The traded price swings by this fraction either way, far inside the price band.
_WAVE_PPM: Final = 1_000


class Wish(msgspec.Struct, frozen=True):
    """What somebody wants to trade, unsigned."""

    account: int
    market: int
    side: int
    size_lots: int
    price_ticks: int
    slot: int
    sequence: int
    post_only: int = 0


@cache
def key(seed: int, index: int) -> PrivateKey:
    """The key behind the account `index`, parsed once a process."""
    return PrivateKey(keccak(b"catenary bench account %d %d" % (seed, index)))


@cache
def _signer_key(seed: int, index: int) -> PrivateKey:
    return PrivateKey(keccak(b"catenary bench signer %d %d" % (seed, index)))


def address(private_key: PrivateKey) -> bytes:
    """The 20-byte address of a parsed key."""
    return signatures.address_of(private_key.secret)


def genesis(seed: int) -> bytes:
    """Canonical globals of the bench's venue."""
    signers = [address(_signer_key(seed, index)) for index in range(constants.SIGNERS)]
    return genesis_bytes(address(key(seed, 0)), signers, _QUORUM, LISTINGS)


def endowments(seed: int) -> list[bytes]:
    """What the markets' funds need, so that open interest is scaled by the bounds of its market alone."""
    payer = address(key(seed, 0))
    return [
        operations.deposit_bytes(
            containers.Deposit(depositor=payer, owner=payer, account=market + 1, amount=listing.whole_fund_micros)
        )
        for market, listing in enumerate(LISTINGS)
    ]


def deposits(seed: int, accounts: int) -> list[bytes]:
    """One deposit an account, enough that margin refuses nothing."""
    return [
        operations.deposit_bytes(
            containers.Deposit(
                depositor=address(key(seed, index)),
                owner=address(key(seed, index)),
                account=constants.NEW_ACCOUNT,
                amount=_DEPOSIT_MICROS,
            )
        )
        for index in range(accounts)
    ]


def tick(seed: int, count: int) -> bytes:
    """The signed tick number `count` of the run, one every grid step."""
    rng = Random(f"{seed}/tick/{count}")
    time = START + count * constants.TICK_STEP
    prices = [price + rng.randint(-price // 1_000, price // 1_000) for price in PRICES]
    premiums = [rng.randint(-100, 100) for _ in LISTINGS]
    signers = [partial(_sign, _signer_key(seed, index)) for index in range(_QUORUM)]
    return assembled([signed_report(DOMAIN, sign, time, index, prices, premiums) for index, sign in enumerate(signers)])


def opening_orders(seed: int, accounts: int) -> list[bytes]:
    """Pairs of accounts open a position in every market, large beside what the flow trades."""
    opened: list[bytes] = []
    for market in range(MARKET_COUNT):
        for index in range(accounts):
            size = HELD_UNITS * UNITS[market]
            wish = Wish(index, market, index % 2, size, PRICES[market], slot=1 + market, sequence=1)
            opened.append(_order(seed, wish))
    return opened


def wishes(seed: int, accounts: int, number: int) -> Iterator[Wish]:
    """What block `number` of the flow wants; accounts count from 0."""
    rng = Random(f"{seed}/block/{number}")
    phase = number % _WAVE_BLOCKS
    swing = abs(phase - _WAVE_BLOCKS // 2) - _WAVE_BLOCKS // 4
    for position in range(BLOCK_ORDERS):
        market = rng.randrange(TRADED)
        side = rng.randrange(2)
        middle = PRICES[market] + PRICES[market] * _WAVE_PPM * swing // (constants.PPM * _WAVE_BLOCKS // 4)
        takes = rng.randrange(100) < _TAKING_PERCENT
        # A taker reaches over the middle as far as a maker stays away from it.
        distance = rng.randint(1, PRICES[market] // _DEPTH_PARTS)
        towards = 1 if (side == constants.BUY) == takes else -1
        yield Wish(
            rng.randrange(accounts),
            market,
            side,
            rng.randint(1, MAX_UNITS) * UNITS[market],
            middle + towards * distance,
            slot=rng.randint(1, _SLOTS),
            # Rising over the whole flow: no two orders are alike, and a later one may take a slot over.
            sequence=2 + number * BLOCK_ORDERS + position,
            post_only=int(not takes and rng.randrange(100) < _POST_ONLY_PERCENT),
        )


def block(seed: int, accounts: int, number: int) -> bytes:
    """Block `number` of the flow: a thousand signed orders of 113 bytes, one behind the other."""
    return b"".join(_order(seed, wish) for wish in wishes(seed, accounts, number))


def blocks(executor: ProcessPoolExecutor, seed: int, accounts: int, first: int, count: int) -> list[bytes]:
    """Blocks of the flow, signed in other processes."""
    numbers = range(first, first + count)
    return list(executor.map(block, [seed] * count, [accounts] * count, numbers))


def orders_of(blocks: list[bytes]) -> list[bytes]:
    """The signed orders in blocks."""
    size = constants.ORDER_LENGTH
    return [signed[at : at + size] for signed in blocks for at in range(0, len(signed), size)]


def _sign(private_key: PrivateKey, digest: bytes) -> bytes:
    return signatures.compact(private_key.sign_recoverable(digest, hasher=None))


def _order(seed: int, wish: Wish) -> bytes:
    order = containers.Order(
        account=_FIRST + wish.account,
        market=wish.market,
        side=wish.side,
        size=wish.size_lots,
        limit_price=wish.price_ticks,
        slot=wish.slot,
        sequence=wish.sequence,
        created_at=START,
        expires_at=START + constants.ORDER_LIFETIME,
        time_in_force=constants.GOOD_TILL_TIME,
        post_only=wish.post_only,
        reduce_only=0,
        trigger=constants.NO_TRIGGER,
        trigger_price=0,
        max_fee_ppm=1_000,
        max_posting_fee=1_000,
        unused=0,
    )
    return operations.order_bytes(order, _sign(key(seed, wish.account), signatures.order_digest(DOMAIN, order)))
