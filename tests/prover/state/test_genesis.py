"""Which genesis bytes the law can work on: the bridge takes any, so everybody who uses a venue asks first."""

from collections.abc import Callable

import pytest

from prover.state import state
from prover.state.genesis import DEVNET_MARKETS, TIERS, genesis_bytes, label, legal_globals, name_and_decimals
from prover.state.store import MemoryStore
from prover.stf import constants, containers, encoding

OPERATOR = b"\x0f" * 20
SIGNERS = [bytes([index]) * 20 for index in range(1, 8)]


def devnet() -> containers.Globals:
    return encoding.globals_from_bytes(genesis_bytes(OPERATOR, SIGNERS, 5))


def test_the_devnet_is_legal_and_names_its_markets() -> None:
    globals = legal_globals(genesis_bytes(OPERATOR, SIGNERS, 5))
    assert encoding.globals_bytes(globals) == genesis_bytes(OPERATOR, SIGNERS, 5)
    assert [name_and_decimals(globals.markets[index]) for index in range(globals.market_count)] == [
        (listing.name, listing.size_decimals) for listing in DEVNET_MARKETS
    ]


def set_field(name: str, value: object) -> Callable[[containers.Globals], None]:
    return lambda globals: setattr(globals, name, value)


def set_market(name: str, value: object, market: int = 0) -> Callable[[containers.Globals], None]:
    return lambda globals: setattr(globals.markets[market], name, value)


def set_risk(name: str, value: int, market: int = 0) -> Callable[[containers.Globals], None]:
    return lambda globals: getattr(globals.risk, name).__setitem__(market, value)


def set_interest(lower: int, upper: int) -> Callable[[containers.Globals], None]:
    def change(globals: containers.Globals) -> None:
        globals.markets[0].interest_lower, globals.markets[0].interest_upper = lower, upper

    return change


ILLEGAL: dict[str, Callable[[containers.Globals], None]] = {
    "a quorum beyond the referee's loop": set_field("quorum", 9),
    "an even quorum": set_field("quorum", 6),
    "a quorum that two liars can meet": set_field("quorum", 3),
    "more markets than the referee's loop": set_field("market_count", 17),
    "no market": set_field("market_count", 0),
    "reserved accounts to be opened": set_field("next_account", 16),
    "a posting fee that no order can sign": set_field("posting_fee", 2**24),
    "a grace above an hour": set_field("grace_period", constants.MAX_GRACE + 1),
    "a negative grace": set_field("grace_period", -1),
    "a grace before genesis": set_field("grace_until", 1),
    "steady ticks before genesis": set_field("streak", 1),
    "a tick before genesis": set_field("tick_time", 5_000),
    "money before genesis": set_field("deposited_total", 1),
    "dust before genesis": set_field("funding_dust", 1),
    "withdrawals before genesis": set_field("withdrawal_count", 1),
    "a frontier before genesis": set_field("frontier", [b"\x01" * 32] + [bytes(32)] * 31),
    "a signer twice": set_field("signers", [SIGNERS[0], *SIGNERS[:6]]),
    "a gap between signers": set_field("signers", [bytes(20), *SIGNERS[1:]]),
    "a price before genesis": set_risk("price", 1),
    "funding before genesis": set_risk("funding_index", 1),
    "maintenance above initial": set_risk("maintenance_ppm", 20_001),
    "no maintenance": set_risk("maintenance_ppm", 0),
    "initial above one": set_risk("initial_ppm", 1_000_001),
    "an unknown status": set_market("status", 2),
    "a negative fee": set_market("maker_fee_ppm", -1),
    "a fee that no order can sign": set_market("taker_fee_ppm", 2**16),
    "a band above one": set_market("band_ppm", 1_000_001),
    "an unwinding band above one": set_market("unwind_band_ppm", 1_000_001),
    "seven size decimals": set_market("label", b"BTC".ljust(31, b"\x00") + b"\x07"),
    "a funding cap beyond a premium": set_market("funding_terms", 2**96),
    "negative terms of funding": set_market("funding_terms", -1),
    "a minimum beyond any order": set_market("minimum_notional", 2**104),
    "an insurance fund before genesis": set_market("fund", 1),
    "turnover before genesis": set_market("turned_over", 1),
    "payouts before genesis": set_market("paid_out", 1),
    "open interest without a bound": set_interest(0, 0),
    "scaling from a bound to nowhere": set_interest(1, 0),
    "scaling from an upper bound down": set_interest(2, 1),
    "scaling on a point": set_interest(1, 1),
    "scaling from below zero": set_interest(-1, 1),
    "scaling beyond any interest": set_interest(0, 2**104),
    "open interest before genesis": set_market("open_interest", 1),
    "an absent market with a fee": set_market("maker_fee_ppm", 1, market=15),
    "an absent market with scaling": set_market("interest_upper", 1, market=15),
}


@pytest.mark.parametrize("fault", ILLEGAL)
def test_an_illegal_genesis_is_refused_by_everybody(fault: str) -> None:
    globals = devnet()
    ILLEGAL[fault](globals)
    genesis = encoding.globals_bytes(globals)
    with pytest.raises(ValueError, match="no legal genesis"):
        legal_globals(genesis)
    with pytest.raises(ValueError, match="no legal genesis"):
        state.create(MemoryStore(), bytes(32), genesis)


@pytest.mark.parametrize("length", [0, 1, encoding.GLOBALS_BYTES - 1, encoding.GLOBALS_BYTES + 1])
def test_bytes_of_another_length_are_no_globals(length: int) -> None:
    with pytest.raises(ValueError, match=f"globals are {encoding.GLOBALS_BYTES} bytes"):
        legal_globals(bytes(length))


def test_bits_outside_their_field_are_not_canonical() -> None:
    genesis = bytearray(genesis_bytes(OPERATOR, SIGNERS, 5))
    genesis[32 * 18] = 1
    with pytest.raises(ValueError, match="not canonical"):
        legal_globals(bytes(genesis))


def test_a_grace_of_an_hour_and_scaling_up_to_its_ends_are_legal() -> None:
    for grace, lower, upper in ((constants.MAX_GRACE, 0, 1), (0, 2**104 - 2, 2**104 - 1), (1, 1, 2)):
        globals = devnet()
        globals.grace_period = grace
        set_interest(lower, upper)(globals)
        legal_globals(encoding.globals_bytes(globals))


def test_every_tier_can_be_listed() -> None:
    assert set(TIERS) == {"large", "mid", "small", "long-tail", "isolated"}
    listings = tuple(tier.listing(f"M{index}", 4) for index, tier in enumerate(TIERS.values()))
    globals = legal_globals(genesis_bytes(OPERATOR, SIGNERS, 5, listings))

    assert globals.markets[1].interest_lower == 40 * 10**12
    assert globals.markets[1].interest_upper == 100 * 10**12
    assert globals.risk.maintenance_ppm[3] == 100_000


def test_reserved_accounts_come_before_the_first() -> None:
    assert devnet().next_account == constants.RESERVED_ACCOUNTS


@pytest.mark.parametrize(("name", "size_decimals"), [("", 3), ("N" * 32, 3), ("Ŋ", 3), ("DOGE", 7), ("DOGE", -1)])
def test_a_market_without_a_lawful_label_is_refused_by_name(name: str, size_decimals: int) -> None:
    with pytest.raises(ValueError, match="a market"):
        label(name, size_decimals)
    listed = TIERS["small"].listing(name, size_decimals)
    with pytest.raises(ValueError, match="a market"):
        genesis_bytes(bytes([1]) * 20, [bytes([2]) * 20], 1, (listed,))
    assert label("N" * 31, 6) == b"N" * 31 + b"\x06"
