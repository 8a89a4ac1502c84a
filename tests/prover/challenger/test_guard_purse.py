"""What a guard may pay: within an hour, within a day, and a share of what it saves."""

import pytest

from prover.challenger.guard_purse import DAY, Policy
from prover.history.records import Payment
from prover.stf import constants
from tests.prover.challenger.runs import purse

NOW = 100 * DAY
COST = 10**15
# Of 5 dollars, at ten percent, 50 are at risk.
AT_RISK = 50 * 10**6


def paid(ago_ms: int, wei: int = COST) -> Payment:
    return Payment(NOW - ago_ms, wei.to_bytes(32, "big"))


def test_an_entry_costs_its_fee_and_all_the_gas_that_it_may_use() -> None:
    assert purse(2 * 10**9).cost(bytes(11)) == 10**14 + (250_000 + 64 * 11) * 2 * 10**9
    assert purse(2 * 10**9).cost(bytes(12)) - purse(2 * 10**9).cost(bytes(11)) == 64 * 2 * 10**9


def test_a_share_of_what_is_at_risk_and_no_more() -> None:
    assert purse().is_worth(AT_RISK, COST)
    assert not purse().is_worth(AT_RISK - 1, COST)
    assert not purse().is_worth(AT_RISK, COST + 1)
    assert purse(ether_micros=Policy().ether_micros // 2).is_worth(AT_RISK // 2, COST)


@pytest.mark.parametrize(("span", "budget"), [(constants.HOUR, "hour_wei"), (DAY, "day_wei")])
def test_payments_count_for_an_hour_and_for_a_day(span: int, budget: str) -> None:
    for ago, left in ((0, False), (span - 1, False), (span, True)):
        found = purse(payments=[paid(ago)], now_ms=NOW, **{budget: 2 * COST - 1})
        assert found.is_worth(10**15, COST) == left


def test_an_l1_time_that_went_back_refills_nothing() -> None:
    assert not purse(payments=[paid(-DAY)], now_ms=NOW, hour_wei=COST).is_worth(10**15, COST)


def test_what_is_left_gets_dearer() -> None:
    for budget in ("hour_wei", "day_wei"):
        half = purse(payments=[paid(0)], now_ms=NOW, **{budget: 2 * COST})
        assert half.is_worth(2 * AT_RISK, COST)
        assert not half.is_worth(2 * AT_RISK - 1, COST)


def test_nothing_is_worth_what_is_not_there() -> None:
    for budget in ("hour_wei", "day_wei"):
        assert purse(**{budget: COST}).is_worth(10**18, COST)
        assert not purse(**{budget: COST - 1}).is_worth(10**18, COST)
        assert not purse(**{budget: 0}).is_worth(10**18, COST)


def test_a_copy_pays_for_itself() -> None:
    first = purse(hour_wei=COST)
    second = first.copy()
    second.pay(1)
    assert first.is_worth(10**18, COST)
    assert not second.is_worth(10**18, COST)
