"""What a guard decides on states of the law's own, without an L1: how much, for whom, and what it leaves alone."""

from collections.abc import Sequence
from random import Random

import msgspec
import pytest

from prover.challenger import guard_plan, guard_queue
from prover.challenger.guard_plan import ARRIVAL_MS, NOTHING, Guard, Plan, Report, Round, Wanted, whole_ticks
from prover.challenger.guard_purse import Policy, Purse
from prover.challenger.guard_queue import Waiting
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.signing.reports import tick_digest
from prover.standing import Judged, judged_by_rescue
from prover.state.state import State
from prover.state.trial import Trial
from prover.stf import codes, constants, containers, encoding
from tests.attacks.stage import BITCOIN, BTC, ETH, POOL, SOL, STEP, VICTIM, held, stage, ticks, value
from tests.prover.challenger.runs import purse, queued_on
from tests.prover.stf.test_market_life import change
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS

SENDER = b"\x77" * 20
FIRST = POOL + 1
ALL = operations.ALL_LOTS


def planned(state: State, pending: Sequence[bytes] = (), money: Purse | None = None) -> Plan:
    """What a guard without patience would enqueue."""
    return Guard(Policy(0), SENDER).plan(state, queued_on(state, NOW, pending), NOW, 0, money or purse())


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


# What a rescue may cost where L1 asks for a gwei, 1.75 dollars.
COST = purse().cost(bytes(constants.FORCED_RESCUE_LENGTH))


# When.


@pytest.mark.parametrize(("dollars", "patience"), [(480, 600_000), (479, 180_000)])
def test_who_is_to_be_taken_over_whole_is_waited_for_less_long(dollars: int, patience: int) -> None:
    # 720 dollars of maintenance, and two thirds of them.
    state, guard = stage({VICTIM: held(BITCOIN, dollars)}, 100_000), Guard(Policy(), SENDER)
    for late, wanted in ((0, False), (patience - 1, False), (patience, True)):
        at(state, NOW + late)
        assert guard.is_due(state, NOW + late, LAG) == wanted
        plan = guard.plan(state, queued_on(state, NOW + late), NOW + late, LAG, purse(), [])
        # At a price that is too old by then it is asked for, and refused.
        assert rescues(plan) == [(VICTIM, ALL)] * (wanted and late < constants.FORCED_PRICE_AGE)


def test_who_recovers_in_between_is_waited_for_anew() -> None:
    state, guard = stage({VICTIM: held(BITCOIN, 479)}, 100_000), Guard(Policy(), SENDER)
    guard.observe(state)
    guard.observe(stage({VICTIM: held(BITCOIN, 480)}, 100_000))
    assert (guard._since, guard._close_out_since) == ({VICTIM: NOW}, {})
    at(state, NOW + 1)
    guard.observe(state)
    assert (guard._since, guard._close_out_since) == ({VICTIM: NOW}, {VICTIM: NOW + 1})


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


@pytest.mark.parametrize("is_on", [False, True])
def test_i1_where_the_largest_positions_fund_has_nothing_the_next_ones_is_asked(
    is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bitcoin for 720 dollars of maintenance, and ether for 719 whose fund has a million."""
    lots = 719 * DOLLAR * constants.PPM // (ETH * stage({}).globals.risk.maintenance_ppm[1])
    legs = {0: venue.position(BITCOIN, BITCOIN * BTC), 1: venue.position(lots, lots * ETH)}
    rows = {2: venue.account(containers.NOBODY, 10**6 * DOLLAR), VICTIM: venue.account(OWNERS[1], 300 * DOLLAR, legs)}
    if not is_on:
        monkeypatch.setattr(guard_queue.Scratch, "may_begin", lambda self, index, equity: [self.judged(index).largest])
    plan = planned(stage(rows, 0))
    moves = [(move.account, move.market) for move in map(word, plan.entries)]
    assert (moves, plan.refused) == (([(VICTIM, 1)], {}) if is_on else ([], {VICTIM: codes.FUND_LIMIT}))


def test_below_zero_it_is_asked_for_all_whatever_the_fund_has() -> None:
    assert rescues(planned(stage({VICTIM: held(100 * BITCOIN, -1)}, 0))) == [(VICTIM, ALL)]


@pytest.mark.parametrize(("dollars", "lots"), [(-2_000, 0), (-2_000, BITCOIN), (-2, 0), (0, 0)])
def test_a_fund_is_called_for_what_it_owes(dollars: int, lots: int) -> None:
    state = stage({1: held(lots, dollars, owner=containers.NOBODY)})
    plan = planned(state)
    if dollars == -2_000:
        assert [(rescue.account, rescue.market) for rescue in map(word, plan.entries)] == [(1, 0)]
        assert plan.entries[0].at_risk == 2_000 * DOLLAR
    else:
        assert (plan.entries, plan.unpaid) == ((), {1: -dollars * DOLLAR} if dollars else {})


@pytest.mark.parametrize("dollars", [-2_000, -2, 0])
def test_whoever_owes_and_holds_nothing_is_called(dollars: int) -> None:
    plan = planned(stage({VICTIM: venue.account(OWNERS[1], dollars * DOLLAR)}))
    if dollars == -2_000:
        assert [rescue.account for rescue in map(word, plan.entries)] == [VICTIM]
        assert plan.entries[0].at_risk == 2_000 * DOLLAR
    else:
        assert (plan.entries, plan.unpaid) == ((), {VICTIM: -dollars * DOLLAR} if dollars else {})


@pytest.mark.parametrize(("won", "touched"), [((3_000, 5_000), [1]), ((1_500, 1_000), [0, 1]), ((1_500, 2), [0])])
def test_who_has_won_it_where_a_market_is_over_is_touched_first(won: tuple[int, int], touched: list[int]) -> None:
    rows = {
        FIRST + place: held(BITCOIN, 0, BTC - dollars * DOLLAR // BITCOIN, owner=OWNERS[2])
        for place, dollars in enumerate(won)
    }
    state = stage({VICTIM: venue.account(OWNERS[1], -2_000 * DOLLAR), **rows})
    settle_market(state)
    plan = planned(state)
    assert [(rescue.account, rescue.market) for rescue in map(word, plan.entries)] == [
        *((FIRST + place, 0) for place in touched),
        (VICTIM, 0),
    ]
    assert sum(entry.at_risk for entry in plan.entries[:-1]) <= 2_000 * DOLLAR


def test_who_has_won_is_looked_for_once_however_many_owe(monkeypatch: pytest.MonkeyPatch) -> None:
    owing, idle = range(FIRST, FIRST + 30), range(FIRST + 30, FIRST + 130)
    rows = {index: venue.account(OWNERS[1], -2_000 * DOLLAR) for index in owing}
    rows |= {index: venue.account(OWNERS[2], 100 * DOLLAR) for index in idle}
    winner = held(BITCOIN, 0, BTC - 3_000 * DOLLAR // BITCOIN, owner=OWNERS[2])
    state, looked = stage({VICTIM: winner, **rows}), 0
    settle_market(state)
    ask = guard_plan.won_where_over

    def counted(risk: containers.Risk, account: containers.Account) -> tuple[int, int]:
        nonlocal looked
        looked += 1
        return ask(risk, account)

    monkeypatch.setattr(guard_plan, "won_where_over", counted)
    assert [move.account for move in map(word, planned(state).entries)] == [VICTIM, *owing]
    # Everybody once, and each time the one who has won.
    assert looked <= len(rows) + 3 + len(owing)


def settle_market(state: State) -> None:
    """The first market is over at its price."""
    state.globals.markets[0].status = constants.MARKET_SETTLED
    state.globals.risk.initial_ppm[0] = state.globals.risk.maintenance_ppm[0] = 0


def test_i1_what_no_fund_takes_is_not_asked_for() -> None:
    plan = planned(six_millions(0))
    assert (plan.entries, plan.refused) == ((), {VICTIM: codes.FUND_LIMIT})


def test_i1_behind_a_part_that_waits_there_is_what_the_fund_then_takes() -> None:
    state, pending, parts = six_millions(200_000), [], []
    while (plan := planned(state, pending)).entries:
        ((_, lots),) = rescues(plan)
        parts.append(lots)
        pending.append(entry(plan.entries[0].payload))
    # The discount of one part is what the fund takes the next one with, until that is worth no entry.
    assert parts == sorted(parts, reverse=True)
    assert 0 < sum(parts) < 50 * BITCOIN
    assert [*plan.refused, *plan.unpaid] == [VICTIM]


def test_i1_a_part_counts_by_what_it_saves() -> None:
    state = six_millions(200_000)
    (part,) = planned(state).entries
    (whole,) = planned(six_millions(2_000_000)).entries
    # 2% of 6,000,000 dollars are asked for initially, and 28,800 are there.
    assert whole.at_risk == (120_000 - 28_800) * DOLLAR
    assert part.at_risk == whole.at_risk * word(part).lots // (100 * BITCOIN)


def test_i1_a_part_that_saves_too_little_is_not_asked_for() -> None:
    plan = planned(six_millions(10))
    # A hundred dollars of six millions: 1.52 of 91,200 at risk.
    assert (plan.entries, plan.refused) == ((), {})
    assert 0 < plan.unpaid[VICTIM] < 1_520_000 + DOLLAR
    assert rescues(planned(six_millions(10), money=purse(share_ppm=10**7))) != []


def test_what_the_law_takes_and_changes_nothing_is_not_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    state = six_millions(2_000_000)
    monkeypatch.setattr(Trial, "apply", lambda trial, operation: codes.OK)
    plan = planned(state)
    assert (plan.entries, plan.refused) == ((), {VICTIM: codes.OK})


# I2: who goes first.


def dust(count: int) -> dict[int, containers.Account]:
    """Accounts of 12 dollars that owe more than they have."""
    return {FIRST + number: held(BITCOIN // 1_000, -12, owner=OWNERS[4]) for number in range(count)}


def test_i2_money_at_risk_goes_first_and_not_the_worst_ratio() -> None:
    rows = {VICTIM: held(100 * BITCOIN, 70_000), **dust(40)}
    plan = planned(stage(rows, 2_000_000))
    assert rescues(plan)[0] == (VICTIM, ALL)
    assert plan.entries[0].at_risk == 50_000 * DOLLAR


def test_i2_an_owner_cannot_make_its_account_look_dearer() -> None:
    # A bound of its own asks for all of the notional as margin.
    rows = {VICTIM: held(BITCOIN, 100), FIRST: held(BITCOIN // 2, 50, owner=OWNERS[4], initial_ppm=constants.PPM)}
    plan = planned(stage(rows, 2_000_000))
    assert [found.account for found in plan.entries] == [VICTIM, FIRST]
    assert [found.at_risk for found in plan.entries] == [1_100 * DOLLAR, 550 * DOLLAR]


def test_i2_off_forty_accounts_of_dust_use_up_what_is_paid_an_hour() -> None:
    # By the number of entries alone, that is: whoever is below is worth one, whatever it may cost.
    plan = planned(stage(dust(40), 2_000_000), money=purse(share_ppm=10**12, hour_wei=40 * COST))
    assert len(plan.entries) == 40


def test_i2_on_dust_is_not_worth_an_entry() -> None:
    plan = planned(stage(dust(40), 2_000_000), money=purse(hour_wei=40 * COST))
    # 12 dollars and what 60 dollars ask for initially, against an entry of 1.75 dollars.
    assert (plan.entries, plan.unpaid) == ((), dict.fromkeys(dust(40), 13200000))
    # Nor worth a trial: no fund could take them, and nobody asks.
    assert planned(stage(dust(40), 0)).refused == {}
    assert purse().is_worth(17_535_200, COST)
    assert not purse().is_worth(17_535_199, COST)


def test_i2_on_small_accounts_leave_what_a_large_one_needs() -> None:
    # A hundred accounts that are worth an entry each while the budget is whole.
    rows = {FIRST + number: held(BITCOIN // 10, 60, owner=OWNERS[4]) for number in range(100)}
    state, hour = stage(rows, 2_000_000), 40 * COST
    plan = planned(state, money=purse(hour_wei=hour))
    # At 60 dollars each: until 29% of the budget are left.
    assert (len(plan.entries), len(plan.unpaid)) == (29, 71)
    left = purse(hour_wei=hour)
    for _ in plan.entries:
        left.pay(COST)
    later = stage(rows | {VICTIM: held(BITCOIN, 100)}, 2_000_000)
    assert rescues(planned(later, money=left)) == [(VICTIM, ALL)]


# I3: a long queue.


def deposit(index: int = constants.NEW_ACCOUNT, dollars: int = 1, owner: bytes = OWNERS[5]) -> bytes:
    return operations.deposit_bytes(containers.Deposit(SENDER, owner, index, dollars * DOLLAR))


def test_i3_thousands_of_deposits_keep_nobody_from_deciding() -> None:
    state = stage({VICTIM: held(BITCOIN, 100)}, 100_000)
    root = state.root
    found = queued_on(state, NOW, [deposit()] * 5_000)
    assert found.next == state.commitment.queue_taken + 5_000
    assert rescues(Guard(Policy(0), SENDER).plan(state, found, NOW, 0, purse())) == [(VICTIM, ALL)]
    assert state.root == root


def test_i3_the_last_of_thousands_counts() -> None:
    state = stage({VICTIM: held(BITCOIN, 100)}, 100_000)
    # Enough to be healthy again, and one dollar less than that.
    for dollars, wanted in ((620, []), (619, [(VICTIM, ALL)])):
        queue = [deposit()] * 4_200 + [deposit(VICTIM, dollars, OWNERS[1])]
        plan = planned(state, queue)
        assert (rescues(plan), plan.refused) == (wanted, {})


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
        assert rescues(guard.plan(state, found, NOW, 0, purse())) == [(VICTIM, ALL)]
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


# I4: ticks.

PATIENCE = 600_000
LAG = 3_600_000


def round_of(time_ms: int, price: int, signers: Sequence[int] = range(5)) -> Round:
    """What a source tells of one grid time."""
    prices = [price, ETH, SOL]
    digest = tick_digest(venue.DOMAIN, time_ms, [*prices, *[0] * 13], [0] * 16)
    signed = ["0x" + venue.sign(venue.SIGNER_KEYS[index], digest).hex() for index in signers]
    return Round(
        time_ms,
        tuple(Report(index, tuple(prices), (0,) * 3, found) for index, found in zip(signers, signed, strict=True)),
    )


def row(now: int, price: int, count: int = 3) -> list[Round]:
    return [round_of(now - late * STEP, price) for late in range(count)]


def at(state: State, clock: int) -> State:
    """The state as it is posted once its clock stands there; no tick came meanwhile."""
    chunk = state.chunk(lambda *_: SENDER)
    chunk.open(clock)
    state.seal(chunk)
    return state


def guarded(state: State, now: int, rounds: Sequence[Round], money: Purse | None = None, since: int = NOW) -> Plan:
    """What a guard enqueues that has been watching for a while."""
    guard = Guard(Policy(PATIENCE), SENDER)
    guard.observe(state)
    guard._since = dict.fromkeys(guard._since, since)
    return guard.plan(state, queued_on(state, now), now, LAG, money or purse(), rounds)


def tags(plan: Plan) -> list[int]:
    return [entry.tag for entry in plan.entries]


TICK, RESCUE = constants.FORCED_TICK, constants.FORCED_RESCUE
ELEVEN_MINUTES = 660_000


def test_i4_off_a_tick_beside_a_late_poster_ends_as_an_old_one() -> None:
    # The poster's chunk has a newer tick, and the entry comes to its turn behind it.
    state, now = stage({VICTIM: held(BITCOIN, 1_000)}, 100_000), NOW + ELEVEN_MINUTES
    bought = entry_of(TICK, whole(state, round_of(now, BTC)), now)
    chunk = state.chunk(recover_fast)
    chunk.open(now + STEP)
    assert chunk.apply(whole(state, round_of(now + STEP, BTC))) == codes.OK
    assert chunk.apply(bought) == codes.OLD_TICK


def test_i4_on_a_poster_that_is_late_has_its_ticks_with_it() -> None:
    now = NOW + ELEVEN_MINUTES
    fallen = row(now, 594_000)
    state = stage({VICTIM: held(BITCOIN, 1_000)}, 100_000)
    assert guarded(state, now, fallen) == NOTHING
    # Nor after any time: nothing of that is posted yet.
    assert guarded(state, now + 10 * LAG, row(now + 10 * LAG, 594_000)) == NOTHING
    # It has posted, and left the ticks out.
    assert tags(guarded(at(state, now), now, fallen)) == [TICK] * 3 + [RESCUE]


def test_i4_one_millisecond_more_than_patience_is_withheld() -> None:
    state = stage({VICTIM: held(BITCOIN, 1_000)}, 100_000)
    now = NOW + PATIENCE
    assert guarded(at(state, now), now, row(now, 594_000)) == NOTHING
    assert tags(guarded(at(state, now + 1), now, row(now, 594_000))) == [TICK] * 3 + [RESCUE]


def listing() -> bytes:
    """An entry of the governor that lists a fourth market."""
    state = stage({VICTIM: held(BITCOIN, 1_000)}, 100_000)
    return change(state, state.globals.market_count, label=b"listed".ljust(32, b"\x00"))


def test_i4_behind_a_listing_that_waits_what_signers_say_of_the_markets_so_far_is_a_tick() -> None:
    # They learn of the market when a batch has it: until then a seat need only leave the listing where it is.
    now = NOW + ELEVEN_MINUTES
    state = at(stage({VICTIM: held(BITCOIN, 1_000)}, 100_000), now)
    listed = listing()
    guard = Guard(Policy(PATIENCE), SENDER)
    guard.observe(state)
    plan = guard.plan(state, queued_on(state, now, [listed]), now, LAG, purse(), row(now, 594_000))
    assert tags(plan) == [TICK] * 3 + [RESCUE]
    # As it stands it is a tick of three markets, and there are four.
    found = round_of(now, 594_000)
    chunk = state.chunk(recover_fast)
    chunk.open(now)
    assert chunk.apply(listed) == codes.OK
    assert chunk.apply(entry_of(TICK, whole(state, found), now)) == codes.QUORUM
    entries = [operations.entry_bytes(each.tag, SENDER, now, each.payload) for each in plan.entries]
    assert [chunk.apply(each) for each in entries] == [codes.OK] * 4
    assert chunk.globals.risk.price[:4] == [594_000, ETH, SOL, 0]


def test_i4_a_report_of_more_markets_than_there_are_is_none() -> None:
    now = NOW + ELEVEN_MINUTES
    state = at(stage({VICTIM: held(BITCOIN, 1_000)}, 100_000), now)
    longer = [
        msgspec.structs.replace(
            found,
            reports=tuple(
                msgspec.structs.replace(each, prices_ticks=(*each.prices_ticks, 0), premiums_ppb=(0,) * 4)
                for each in found.reports
            ),
        )
        for found in row(now, 594_000)
    ]
    assert guarded(state, now, longer).wants_tick


def test_i4_no_tick_without_anybody_below_at_it() -> None:
    now = NOW + ELEVEN_MINUTES
    state = at(stage({VICTIM: held(BITCOIN, 1_000)}, 100_000), now)
    plan = guarded(state, now, row(now, BTC))
    assert (plan.entries, plan.wants_tick) == ((), False)
    # One tick alone: the kinder one before it judges.
    assert guarded(state, now, row(now, 594_000, 1)).entries == ()
    assert guarded(state, now, []).wants_tick


def test_i4_ticks_that_wait_are_not_bought_again() -> None:
    now = NOW + ELEVEN_MINUTES
    state = at(stage({VICTIM: held(BITCOIN, 1_000)}, 0), now)
    pending = [entry_of(TICK, whole(state, found), now) for found in reversed(row(now, 594_000))]
    guard = Guard(Policy(PATIENCE), SENDER)
    later = row(now + STEP, 594_000)
    plan = guard.plan(state, queued_on(state, now, pending), now, LAG, purse(), later)
    assert (plan.entries, plan.wants_tick) == ((), False)


def test_i4_ticks_and_rescue_cost_a_share_of_what_is_at_risk_at_most() -> None:
    now = NOW + ELEVEN_MINUTES
    state = at(stage({VICTIM: held(BITCOIN, 1_000)}, 100_000), now)
    # At 594,000 a position of 59,400 dollars asks for 1,188, and 400 are there.
    at_risk, fallen = 788 * DOLLAR, row(now, 594_000)
    bought = guarded(state, now, fallen)
    assert sum(entry.at_risk for entry in bought.entries) == at_risk
    cost = purse().price(bought.entries)
    enough = cost * Policy().ether_micros * constants.PPM // (at_risk * 10**18) + 1
    assert tags(guarded(state, now, fallen, purse(share_ppm=enough))) == [TICK] * 3 + [RESCUE]
    assert guarded(state, now, fallen, purse(share_ppm=enough - 1)).entries == ()
    # Nor at a hundred times the gas price.
    assert guarded(state, now, fallen, purse(10**11)).entries == ()


def test_i4_one_tick_where_three_are_too_dear() -> None:
    now = NOW + 400_000
    state = at(stage({VICTIM: held(BITCOIN, 400)}, 100_000), now)
    # Below since long ago, at prices too old for a rescue that arrives now.
    assert guarded(state, now, [], since=0).refused == {VICTIM: codes.STALE}
    cost = purse().price(guarded(state, now, row(now, BTC), since=0).entries)
    assert tags(guarded(state, now, row(now, BTC), purse(hour_wei=10 * cost), since=0)) == [TICK] * 3 + [RESCUE]
    assert tags(guarded(state, now, row(now, BTC), purse(hour_wei=cost - 1), since=0)) == [TICK, RESCUE]
    one = purse().price(guarded(state, now, row(now, BTC, 1), since=0).entries)
    assert tags(guarded(state, now, row(now, BTC), purse(hour_wei=one - 1), since=0)) == []


def test_i4_a_tick_is_young_enough_when_its_rescue_arrives() -> None:
    now = NOW + 400_000
    state = at(stage({VICTIM: held(BITCOIN, 400)}, 100_000), now)
    oldest = now + ARRIVAL_MS - constants.FORCED_PRICE_AGE
    assert tags(guarded(state, now, row(oldest, BTC, 1), since=0)) == [TICK, RESCUE]
    assert tags(guarded(state, now, row(oldest - STEP, BTC, 1), since=0)) == []


def test_i4_what_ticks_cost_is_not_there_for_rescues() -> None:
    now = NOW + ELEVEN_MINUTES
    state = at(stage({VICTIM: held(BITCOIN, 1_000), FIRST: held(BITCOIN, 1_000, owner=OWNERS[4])}, 200_000), now)
    fallen = row(now, 594_000)
    both = guarded(state, now, fallen)
    assert tags(both) == [TICK] * 3 + [RESCUE] * 2
    # All that they show counts against them.
    enough = purse().price(both.entries) * Policy().ether_micros * constants.PPM // (2 * 788 * DOLLAR * 10**18) + 1
    assert guarded(state, now, fallen, purse(share_ppm=enough)) == both
    short = purse(hour_wei=purse().price(both.entries) - 1, share_ppm=10**9)
    assert tags(guarded(state, now, fallen, short)) == [TICK] * 3 + [RESCUE]


def whole(state: State, found: Round) -> bytes:
    """A round as a tick."""
    (tick,) = whole_ticks(venue.DOMAIN, state.globals, [found], 0, found.time_ms)
    return tick


def entry_of(tag: int, tick: bytes, now: int) -> bytes:
    return operations.entry_bytes(tag, SENDER, now, tick[1:])


# What it costs: whoever a posted state cannot have hurt is not looked at.

CROWD = range(POOL + 1, POOL + 201)


def crowd(rng: Random) -> State:
    """Two hundred who hold from a hundredth of a bitcoin to two of them, most of them far from their maintenance."""
    rows = {}
    for index in CROWD:
        lots = rng.choice((1, -1)) * rng.randrange(BITCOIN // 100, 2 * BITCOIN)
        needed = abs(lots) * 720 // BITCOIN
        rows[index] = held(lots, needed * rng.choice((2, 5, 20, 20, 20, 20)))
    return stage(rows, 100_000)


def everybody(state: State) -> tuple[set[int], set[int]]:
    """Who is to be rescued and who is to be taken over whole, by a look at all of them."""
    below, whole = set(), set()
    for index in (*range(1, state.globals.market_count + 1), *range(VICTIM, state.globals.next_account)):
        judged = judged_by_rescue(state.globals, state.account(index), state.commitment.timestamp)
        if judged.equity < 0 if index < VICTIM else judged.is_below or judged.is_left_owing:
            below.add(index)
        if judged.is_close_out or judged.is_left_owing or (index < VICTIM and index in below):
            whole.add(index)
    return below, whole


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_whom_a_look_at_everybody_finds(seed: int) -> None:
    rng = Random(seed)
    state, guard = crowd(rng), Guard(Policy(), SENDER)
    price, found = BTC, 0
    for _ in range(12):
        price = price * rng.randrange(985, 1_016) // 1_000
        ticks(state, *[price] * rng.randrange(1, 3))
        guard.observe(state)
        below, whole = everybody(state)
        assert (set(guard._since), set(guard._close_out_since)) == (below, whole)
        found += len(below)
        if below and rng.random() < 0.5:
            # Whoever has paid in is looked at again.
            saved = rng.choice(sorted(below))
            paid = venue.deposit(OWNERS[1], 1_000 * DOLLAR, saved)
            assert venue.run(state, paid, timestamp=state.commitment.timestamp).codes == (codes.OK,)
    assert found > 0


def test_a_state_that_hurts_nobody_costs_no_look_at_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(globals: containers.Globals, account: containers.Account, now_ms: int) -> Judged:
        asked.append(now_ms)
        return judged_by_rescue(globals, account, now_ms)

    monkeypatch.setattr(guard_plan, "judged_by_rescue", counted)
    monkeypatch.setattr(guard_queue, "judged_by_rescue", counted)
    rows = {index: held(BITCOIN, 50_000) for index in CROWD}
    state, guard = stage({VICTIM: held(BITCOIN, 480), **rows}, 100_000), Guard(Policy(PATIENCE), SENDER)
    read: list[int] = []
    of_state = state.account

    def noted(index: int) -> containers.Account:
        read.append(index)
        return of_state(index)

    monkeypatch.setattr(state, "account", noted)
    guard.observe(state)
    assert len(read) > len(CROWD)
    for price in (BTC + 100, BTC - 100, BTC - 50):
        ticks(state, price)
        asked.clear()
        read.clear()
        guard.observe(state)
        assert (set(read), len(asked)) == ({VICTIM}, 1)
    # Nor does what nobody posted: the prices that are bought for it.
    now = NOW + ELEVEN_MINUTES
    at(state, now)
    asked.clear()
    read.clear()
    plan = guard.plan(state, queued_on(state, now), now, LAG, purse(), row(now, BTC - 60))
    assert tags(plan) == [TICK] * 3 + [RESCUE]
    assert len(asked) < 10
    assert set(read).isdisjoint(CROWD)


def test_who_was_safe_and_has_changed_since_is_looked_at() -> None:
    state, guard = stage({VICTIM: held(BITCOIN, 50_000)}, 100_000), Guard(Policy(), SENDER)
    guard.observe(state)
    taken_out = venue.withdrawal(state, VICTIM, 44_000 * DOLLAR, sequence=1)
    assert venue.run(state, taken_out, timestamp=NOW).codes == (codes.OK,)
    guard.observe(state)
    assert guard._since == {}
    ticks(state, *[BTC - BTC * step // 100 for step in range(1, 11)])
    guard.observe(state)
    assert set(guard._since) == {VICTIM}


def test_of_another_state_everybody_is_looked_at_again() -> None:
    guard = Guard(Policy(), SENDER)
    guard.observe(stage({VICTIM: held(BITCOIN, 1_000)}, 100_000))
    assert guard._since == {}
    # A roll-back, or a reorganisation: what had changed was told to nobody.
    guard.observe(stage({VICTIM: held(BITCOIN, 479)}, 100_000))
    assert set(guard._since) == {VICTIM}
