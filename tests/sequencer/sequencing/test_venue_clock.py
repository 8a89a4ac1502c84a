"""The time that is sequenced: no jump of the machine's clock reaches it, and a right clock is believed again."""

import random

import pytest

from sequencer.sequencing.venue_clock import DEVNET_SLACK_MS, JUMP_MS, L1_SLACK_MS, SETTLED_MS, VenueClock

START = 1_800_000_000_000
HOUR = 3_600_000
SLOT = 12_000


class Machine:
    """True time, a wall clock that is off by `skew` and a monotonic one; L1 makes blocks at each slot."""

    def __init__(self, skew: int = 0, *, has_slots: bool = True) -> None:
        self.now = START
        self.skew = skew
        self.clock = VenueClock(lambda: self.now + self.skew, lambda: self.now - START + 5, has_slots=has_slots)

    def sees_block(self, age: int = 0) -> None:
        """The newest block, made so long ago."""
        self.clock.met_l1(self.now - age)

    def passes(self, milliseconds: int, by: int = 1_000) -> list[int]:
        """Time passes while the clock is asked, and L1 makes blocks; how far each told time was from the true one."""
        errors = []
        for _ in range(milliseconds // by):
            self.now += by
            if self.now % SLOT < by:
                self.sees_block()
            errors.append(self.clock() - self.now)
        return errors


@pytest.mark.parametrize("skew", [HOUR, 8 * HOUR, -HOUR, 30_000, -30_000, JUMP_MS + 1, -JUMP_MS - 1])
def test_a_jump_for_a_while_is_not_followed_is_said_and_is_over(skew: int) -> None:
    machine = Machine()
    machine.sees_block()
    machine.passes(30_000)
    machine.skew = skew
    assert machine.passes(15_000) == [0] * 15
    assert machine.clock.skew_ms == skew
    machine.skew = 0
    assert machine.passes(60_000) == [0] * 60
    assert machine.clock.skew_ms == 0


def test_a_step_of_less_is_the_clock_s_own_business() -> None:
    for skew in (JUMP_MS, -JUMP_MS):
        machine = Machine()
        machine.skew = skew
        assert machine.clock() - machine.now == skew
        assert machine.clock.skew_ms == 0


def test_an_l1_that_was_moved_ahead_is_not_followed_and_how_far_it_is_is_told_until_it_is_moved_back() -> None:
    machine = Machine(has_slots=False)
    assert machine.clock.l1_ahead_ms == 0
    machine.clock.met_l1(machine.now + HOUR)
    for _ in range(3):
        machine.now += 10_000
        assert machine.clock() == machine.now
        assert (machine.clock.l1_ahead_ms, machine.clock.skew_ms) == (HOUR, 0)
    machine.clock.met_l1(machine.now + 5)
    assert machine.clock.l1_ahead_ms == 5
    machine.clock.met_l1(machine.now - 60_000)
    assert machine.clock.l1_ahead_ms == 0


def test_without_an_l1_the_monotonic_clock_goes_on() -> None:
    machine = Machine()
    machine.clock()
    machine.skew = HOUR
    for _ in range(100):
        machine.now += 10_000
        assert machine.clock() == machine.now


def test_an_l1_that_is_away_goes_on_in_the_same_way() -> None:
    machine = Machine(skew=HOUR)
    machine.sees_block(age=5_000)
    for _ in range(100):
        machine.now += 60_000
        assert machine.clock() == machine.now - 5_000


@pytest.mark.parametrize("skew", [HOUR, 30_000, -HOUR])
def test_a_start_within_a_jump_takes_l1_s_time_until_the_clock_is_right(skew: int) -> None:
    machine = Machine(skew=skew)
    machine.sees_block(age=7_000)
    assert machine.clock() == machine.now - 7_000
    assert machine.clock.skew_ms == skew + 7_000
    # A block that is seen as it comes brings it near.
    machine.passes(SLOT)
    assert machine.passes(SLOT) == [0] * 12
    machine.skew = 0
    machine.now += 1
    assert machine.clock() == machine.now
    assert machine.clock.skew_ms == 0


def test_a_start_within_the_slack_takes_the_machine_s_time() -> None:
    for skew in (L1_SLACK_MS - 7_000, 0, -7_000):
        machine = Machine(skew=skew)
        machine.sees_block(age=7_000)
        assert machine.clock() - machine.now == skew
    machine = Machine(skew=L1_SLACK_MS - 7_000 + 1)
    machine.sees_block(age=7_000)
    assert machine.clock() == machine.now - 7_000


def test_a_restart_behind_what_was_sequenced_goes_on_from_there() -> None:
    for has_slots in (True, False):
        machine = Machine(skew=-HOUR, has_slots=has_slots)
        machine.clock.met_state(START - 9_000)
        assert machine.clock() == START - 9_000
        assert machine.clock.skew_ms == -HOUR + 9_000
        machine.sees_block(age=10_000)
        assert machine.clock() == START - 9_000
        machine.skew = 0
        assert machine.clock() == machine.now
        assert machine.clock.skew_ms == 0
    # What was sequenced a moment ahead is no jump.
    machine = Machine()
    machine.clock.met_state(START + JUMP_MS)
    assert machine.clock() == machine.now
    # L1 knows better than what an earlier run had sequenced an hour ahead.
    machine.sees_block()
    machine.clock.met_state(START + HOUR)
    assert machine.clock() == machine.now


def test_what_l1_agrees_with_for_long_enough_is_the_time() -> None:
    machine = Machine()
    machine.sees_block()
    machine.passes(SLOT)
    # The machine slept, and nobody's clock counted it but L1's: it is the monotonic one that is wrong.
    asleep = HOUR
    machine.clock._monotonic_ms = lambda: machine.now - START + 5 - asleep
    assert machine.clock() == machine.now - asleep
    machine.sees_block()
    assert machine.clock() == machine.now
    # Where L1's slack leaves open who is right, it takes a while.
    asleep = HOUR + 10_000
    assert set(machine.passes(SETTLED_MS)) <= {-10_000, -9_000, 0}
    machine.passes(3 * SLOT)
    assert machine.clock() == machine.now
    assert machine.clock.skew_ms == 0


def test_a_devnet_s_clock_is_moved_by_hand_and_nobody_follows() -> None:
    machine = Machine(has_slots=False)
    machine.clock.met_l1(machine.now + 10 * HOUR)
    assert machine.passes(30_000) == [0] * 30
    # Its time bounds from above alone, and what it said before stands.
    machine = Machine(skew=HOUR, has_slots=False)
    machine.sees_block()
    machine.clock.met_l1(machine.now - HOUR)
    assert machine.clock() == machine.now
    # It tells an hour from none, and not a minute.
    for skew, error in ((DEVNET_SLACK_MS, DEVNET_SLACK_MS), (DEVNET_SLACK_MS + 1, 0)):
        machine = Machine(skew=skew, has_slots=False)
        machine.sees_block()
        assert machine.clock() - machine.now == error


def test_a_clock_that_runs_off_is_followed_no_faster_than_by_a_jump_in_ten_seconds() -> None:
    slow = Machine()
    for _ in range(600):
        slow.now += 1_000
        slow.skew += 100
        slow.clock()
    assert slow.clock.skew_ms == 0
    fast = Machine()
    for _ in range(600):
        fast.now += 1_000
        fast.skew += 500
        fast.clock()
    assert fast.clock() - fast.now <= JUMP_MS
    assert fast.clock.skew_ms > 200_000


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_clock_does_the_time_stays_near_the_true_one(seed: int) -> None:
    rng = random.Random(seed)
    machine = Machine(skew=rng.choice([0, HOUR, -HOUR, 15_000]))
    machine.sees_block(age=rng.randrange(SLOT))
    for _ in range(100):
        machine.skew = rng.choice([0, 0, HOUR, -HOUR, 3_000, -3_000, 25_000, -25_000, 400 * 24 * HOUR])
        for error in machine.passes(rng.randrange(1, 40) * 1_000):
            # A jump that lasts and stays within L1's slack is believed in the end: nobody knows better.
            assert -SLOT - 25_000 <= error <= L1_SLACK_MS, (seed, error)
    machine.skew = 0
    machine.passes(SETTLED_MS + 2 * SLOT)
    assert machine.clock() == machine.now
