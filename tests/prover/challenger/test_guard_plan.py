"""What a guard decides on states of the law's own, without an L1: how much, for whom, and what it leaves alone."""

from collections.abc import Sequence

import pytest

from prover.challenger.guard_plan import Guard, Plan, Policy, Wanted
from prover.challenger.guard_queue import Waiting
from prover.signing import operations
from prover.state.state import State
from prover.state.trial import Trial
from prover.stf import codes, constants, containers, encoding
from tests.attacks.stage import BITCOIN, BTC, POOL, VICTIM, held, stage, value
from tests.prover.challenger.runs import queued_on
from tests.twins.venue import DOLLAR, NOW, OWNERS

SENDER = b"\x77" * 20
FIRST = POOL + 1
ALL = operations.ALL_LOTS


def planned(state: State, pending: Sequence[bytes] = (), budget: int = 20) -> Plan:
    """What a guard without patience would enqueue."""
    return Guard(Policy(0), SENDER).plan(state, queued_on(state, NOW, pending), NOW, 0, budget)


def rescues(plan: Plan) -> list[tuple[int, int]]:
    """Accounts and lots."""
    moves = [word(entry) for entry in plan.entries if entry.tag == constants.FORCED_RESCUE]
    return [(move.account, move.lots) for move in moves]


def word(wanted: Wanted) -> containers.Rescue:
    return encoding.rescue(wanted.tag, int.from_bytes(wanted.payload.ljust(32, b"\x00")))


def entry(payload: bytes, tag: int = constants.FORCED_RESCUE) -> bytes:
    return operations.entry_bytes(tag, SENDER, NOW, payload)


def code_of(state: State, lots: int, index: int = VICTIM) -> int:
    """What the law says of a forced rescue of so many lots."""
    chunk = state.chunk(lambda *_: SENDER)
    chunk.open(NOW)
    return chunk.apply(entry(operations.forced_rescue_payload(0, index, lots)))


def six_millions(fund: int) -> State:
    """6,000,000 dollars at four tenths of their maintenance."""
    lots = 100 * BITCOIN
    victim = held(lots, 28_800)
    assert value(victim, BTC) * 10 == 4 * 72_000 * DOLLAR
    return stage({VICTIM: victim}, fund)


# I1: what a fund cannot take whole.


def test_i1_off_all_lots_are_refused_for_ever() -> None:
    assert code_of(six_millions(200_000), ALL) == codes.FUND_LIMIT


def test_i1_on_the_largest_part_that_the_law_takes() -> None:
    state = six_millions(200_000)
    ((account, lots),) = rescues(planned(state))
    assert account == VICTIM
    assert 0 < lots < 100 * BITCOIN
    assert code_of(state, lots) == codes.OK
    assert code_of(state, lots + 1) == codes.FUND_LIMIT


def test_i1_a_fund_that_takes_all_is_asked_for_all() -> None:
    assert rescues(planned(six_millions(2_000_000))) == [(VICTIM, ALL)]


def test_i1_what_no_fund_takes_is_not_asked_for() -> None:
    plan = planned(six_millions(0))
    assert (plan.entries, plan.refused) == ((), {VICTIM: codes.FUND_LIMIT})


def test_i1_a_part_that_waits_leaves_the_fund_nothing_for_another() -> None:
    state = six_millions(200_000)
    (first,) = planned(state).entries
    plan = planned(state, [entry(first.payload)])
    assert (plan.entries, plan.refused) == ((), {VICTIM: codes.FUND_LIMIT})


def test_i1_a_part_counts_by_what_it_saves() -> None:
    state = six_millions(200_000)
    (part,) = planned(state).entries
    (whole,) = planned(six_millions(2_000_000)).entries
    # 2% of 6,000,000 dollars are asked for initially, and 28,800 are there.
    assert whole.at_risk == (120_000 - 28_800) * DOLLAR
    assert part.at_risk == whole.at_risk * word(part).lots // (100 * BITCOIN)


# I2: who goes first.


def dust(count: int) -> dict[int, containers.Account]:
    """Accounts of 12 dollars that owe more than they have."""
    return {FIRST + number: held(BITCOIN // 1_000, -12, owner=OWNERS[4]) for number in range(count)}


def test_i2_money_at_risk_goes_first_and_not_the_worst_ratio() -> None:
    rows = {VICTIM: held(100 * BITCOIN, 70_000), **dust(40)}
    plan = planned(stage(rows, 2_000_000), budget=1)
    assert rescues(plan) == [(VICTIM, ALL)]
    assert plan.entries[0].at_risk == 50_000 * DOLLAR


def test_i2_an_owner_cannot_make_its_account_look_dearer() -> None:
    # A bound of its own asks for all of the notional as margin.
    rows = {VICTIM: held(BITCOIN, 100), FIRST: held(BITCOIN // 2, 50, owner=OWNERS[4], initial_ppm=constants.PPM)}
    plan = planned(stage(rows, 2_000_000))
    assert [found.account for found in plan.entries] == [VICTIM, FIRST]
    assert [found.at_risk for found in plan.entries] == [1_100 * DOLLAR, 550 * DOLLAR]


# I3: a long queue.


def deposit(index: int = constants.NEW_ACCOUNT, dollars: int = 1, owner: bytes = OWNERS[5]) -> bytes:
    return operations.deposit_bytes(containers.Deposit(SENDER, owner, index, dollars * DOLLAR))


def test_i3_thousands_of_deposits_keep_nobody_from_deciding() -> None:
    state = stage({VICTIM: held(BITCOIN, 100)}, 100_000)
    root = state.root
    found = queued_on(state, NOW, [deposit()] * 5_000)
    assert found.next == state.commitment.queue_taken + 5_000
    assert rescues(Guard(Policy(0), SENDER).plan(state, found, NOW, 0, 5)) == [(VICTIM, ALL)]
    assert state.root == root


def test_i3_the_last_of_thousands_counts() -> None:
    state = stage({VICTIM: held(BITCOIN, 100)}, 100_000)
    # Enough to be healthy again, and one dollar less than that.
    for dollars, wanted in ((620, []), (619, [(VICTIM, ALL)])):
        queue = [deposit()] * 4_200 + [deposit(VICTIM, dollars, OWNERS[1])]
        assert rescues(planned(state, queue)) == wanted


def test_i3_asking_again_costs_no_work_of_what_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    state = stage({VICTIM: held(BITCOIN, 100)}, 100_000)
    found = queued_on(state, NOW, [deposit()] * 50)
    guard, applied = Guard(Policy(0), SENDER), 0
    apply = Trial.apply

    def counted(trial: Trial, operation: bytes) -> int:
        nonlocal applied
        applied += 1
        return apply(trial, operation)

    monkeypatch.setattr(Trial, "apply", counted)
    for _ in range(3):
        assert rescues(guard.plan(state, found, NOW, 0, 5)) == [(VICTIM, ALL)]
    # Tried, and then kept for those behind it.
    assert applied == 3 * 2


def test_what_waits_is_of_one_state_and_one_queue() -> None:
    state, other = (stage({VICTIM: held(BITCOIN, dollars)}) for dollars in (100, 200))
    found = Waiting(state, NOW)
    assert found.is_of(state, lambda _: None), "nothing was taken"
    assert not found.is_of(other, lambda _: None)
    found.take(deposit(), b"\x01" * 32)
    first = state.commitment.queue_taken
    assert found.is_of(state, {first: b"\x01" * 32}.get)
    assert not found.is_of(state, {first: b"\x02" * 32}.get), "a reorganisation"
    assert not found.is_of(state, {first + 1: b"\x01" * 32}.get), "a shorter queue"
    chunk = state.chunk(lambda *_: SENDER)
    chunk.open(NOW)
    assert chunk.apply(deposit()) == codes.OK
    state.seal(chunk)
    assert not found.is_of(state, {first: b"\x01" * 32}.get), "a new batch"
