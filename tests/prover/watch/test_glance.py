"""A glance at a payload is the glance at the account that it holds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.stf import constants, containers, debts, encoding
from prover.watch.glance import matters, of_account, of_payload
from tests.twins.venue import account, globals_of, position

SIZES = st.integers(-constants.SIZE_BOUND + 1, constants.SIZE_BOUND - 1)
COSTS = st.integers(-constants.COST_BOUND + 1, constants.COST_BOUND - 1)
FUNDINGS = st.integers(-constants.FUNDING_BOUND + 1, constants.FUNDING_BOUND - 1)
POSITIONS = st.dictionaries(st.integers(0, constants.MARKETS - 1), st.builds(position, SIZES, COSTS, FUNDINGS))
MONEY = st.integers(-constants.COLLATERAL_BOUND, constants.COLLATERAL_BOUND)
RISK = globals_of().risk


@given(POSITIONS, MONEY, st.integers(0, 10**9), st.integers(0, 10**9), st.booleans())
def test_both_see_the_same(
    positions: dict[int, containers.Position], settled: int, older: int, fresh: int, is_aged: bool
) -> None:
    latest = debts.latest(RISK.debts)
    row = account(collateral=settled, positions=positions)
    row = msgspec.structs.replace(row, older=older, fresh=fresh, factor=latest + 1 if is_aged else latest)
    seen, read = of_account(RISK, row), of_payload(RISK, encoding.account_payload(row))
    assert msgspec.structs.astuple(seen) == msgspec.structs.astuple(read)
    assert seen.unsettled == older + fresh


@pytest.mark.parametrize(("money", "lots", "is_seen"), [(0, 0, False), (-1, 0, True), (0, 1, True), (-1, 1, True)])
def test_what_neither_holds_nor_owes_needs_no_look(money: int, lots: int, is_seen: bool) -> None:
    held = {3: position(lots, 0)} if lots else None
    assert matters(encoding.account_payload(account(collateral=money, positions=held))) == is_seen


def test_a_payload_of_a_wrong_length_is_no_account() -> None:
    payload = encoding.account_payload(account(positions={3: position(5, -7)}))
    for wrong in (payload[:-1], payload + bytes(32), payload[:152]):
        with pytest.raises(ValueError, match="wrong length"):
            of_payload(RISK, wrong)
