"""The audit adds up an honest state exactly, and sees a single micro-dollar, lot or account too many."""

from collections.abc import Callable

import msgspec
import pytest

from l1_bridge.codec.batch import BridgeId
from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import constants, containers, encoding
from tests.prover.world import DOLLAR, TRADERS, Venue

NOW = 1_800_000_000_000


def deposit(trader: int) -> bytes:
    entry = containers.Deposit(b"\x55" * 20, TRADERS[trader], constants.NEW_ACCOUNT, 10_000 * DOLLAR)
    return operations.deposit_bytes(entry)


@pytest.fixture
def venue() -> Venue:
    """Two accounts with positions, funding pending on both, and a third without."""
    made = Venue(BridgeId(31_337, b"\x11" * 20))
    made.batch([[deposit(0), deposit(1), deposit(2), made.tick(NOW)], made.trade(NOW)], NOW)
    made.batch(
        [[made.tick(NOW + 5_000, premium_ppb=77_000)], [made.tick(NOW + 10_000, premium_ppb=-3_000)]], NOW + 10_000
    )
    return made


def test_an_honest_state_adds_up_with_funding_still_pending(venue: Venue) -> None:
    audit = conservation(venue.state)
    assert audit.sound
    assert (audit.accounts, audit.positions, audit.deposited_micros) == (3, 2, 30_000 * DOLLAR)
    assert audit.conservation_error_micros == 0
    # The premiums moved the index since both sides settled.
    risk = venue.state.globals.risk
    assert venue.state.account(17).positions[0].funding != risk.funding_index[0]
    # One more trade settles it, with dust.
    venue.batch([venue.trade(NOW + 10_000, sequence=2)], NOW + 10_000)
    assert conservation(venue.state).sound
    assert venue.state.globals.funding_dust >= 0


def forge(state: State, index: int, change: Callable[[containers.Account], containers.Account]) -> None:
    account = change(state.account(index))
    state.store.write({b"l" + (index << 8).to_bytes(4, "big"): encoding.account_payload(account)}, sync=False)


def moved(account: containers.Account, **changes: int) -> containers.Account:
    positions = list(account.positions)
    positions[0] = msgspec.structs.replace(
        positions[0], **{name: getattr(positions[0], name) + change for name, change in changes.items()}
    )
    return msgspec.structs.replace(account, positions=positions)


def test_one_micro_dollar_too_many_is_seen(venue: Venue) -> None:
    forge(venue.state, 19, lambda account: msgspec.structs.replace(account, fresh=account.fresh + 1))
    assert conservation(venue.state).conservation_error_micros == 1
    forge(venue.state, 17, lambda account: moved(account, cost=2))
    assert conservation(venue.state).conservation_error_micros == -1


def test_less_than_a_micro_dollar_of_funding_is_seen_and_never_rounded_away(venue: Venue) -> None:
    forge(venue.state, 18, lambda account: moved(account, funding=1))
    audit = conservation(venue.state)
    assert 0 < abs(audit.error_scaled) < constants.FUNDING_SCALE
    assert audit.conservation_error_micros == 1
    assert not audit.sound


def test_one_lot_too_many_is_seen_in_sizes_and_open_interest(venue: Venue) -> None:
    forge(venue.state, 18, lambda account: moved(account, size=1))
    audit = conservation(venue.state)
    assert audit.size_sums[0] == 1
    assert audit.open_interest_errors[0] == -1


def test_an_account_that_nobody_opened_is_seen(venue: Venue) -> None:
    forge(venue.state, 40, lambda account: msgspec.structs.replace(account, owner=TRADERS[0]))
    audit = conservation(venue.state)
    assert (audit.next_account_error, audit.conservation_error_micros) == (-1, 0)
    assert not audit.sound
