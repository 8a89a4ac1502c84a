"""The seat: anybody takes it when it is open, idleness costs it, the bond outlives the last batch's window."""

import pytest

from l1_bridge.codec.calls import Deadlines, Seat, decode_record
from l1_bridge.codec.events import BondWithdrawn, Enqueued, SeatLost, SeatResigned, SeatTaken, decode_log
from l1_bridge.hashing import ZERO_HASH
from tests.l1_bridge.evm import Reverted, account
from tests.l1_bridge.harness import PARAMETERS, SEQUENCER, STRANGER, SUCCESSOR, Harness

BOND = PARAMETERS.bond_wei


def seat(venue: Harness) -> Seat:
    """The seat as the bridge shows it."""
    return decode_record(Seat, venue.bridge.call_raw("seat"))


def deadlines(venue: Harness) -> Deadlines:
    """The clocks of the oldest waiting entry."""
    return decode_record(Deadlines, venue.bridge.call_raw("deadlines"))


def refused(venue: Harness, reason: str, function: str, *arguments: object, sender: bytes, value_wei: int = 0) -> None:
    """A call that must fail with this word."""
    with pytest.raises(Reverted) as failure:
        venue.bridge.send(function, *arguments, sender=sender, value_wei=value_wei)
    assert failure.value.reason == reason


OPEN = Seat(holder=bytes(20), bond_id=0, taken_at=0, handover_at=0)


def test_anybody_takes_the_open_seat_for_exactly_the_bond(venue: Harness) -> None:
    assert seat(venue) == OPEN
    for value_wei in (0, BOND - 1, BOND + 1):
        refused(venue, "BOND_AMOUNT", "take_seat", "http://a", sender=SEQUENCER, value_wei=value_wei)
    receipt = venue.bridge.send("take_seat", "http://a", sender=SEQUENCER, value_wei=BOND)
    assert venue.event(receipt) == SeatTaken(holder=SEQUENCER, bond_id=1, endpoint_url="http://a")
    assert seat(venue) == Seat(holder=SEQUENCER, bond_id=1, taken_at=venue.evm.now, handover_at=0)
    assert venue.bridge.call("endpoint_url") == "http://a"
    refused(venue, "SEAT_TAKEN", "take_seat", "http://b", sender=SUCCESSOR, value_wei=BOND)


def test_who_resigns_commits_until_the_handover_and_not_a_second_longer(seated: Harness) -> None:
    handover_at = seated.evm.now + 30
    refused(seated, "NOT_SEAT_HOLDER", "resign", handover_at, sender=STRANGER)
    refused(seated, "HANDOVER_TIME", "resign", seated.evm.now - 1, sender=SEQUENCER)
    refused(seated, "HANDOVER_TIME", "resign", seated.evm.now + PARAMETERS.inclusion_seconds + 1, sender=SEQUENCER)
    receipt = seated.bridge.send("resign", handover_at, sender=SEQUENCER)
    assert seated.event(receipt) == SeatResigned(holder=SEQUENCER, bond_id=1, handover_at=handover_at)
    refused(seated, "ALREADY_RESIGNED", "resign", handover_at + 1, sender=SEQUENCER)
    seated.evm.now = handover_at - 1
    seated.commit()
    refused(seated, "SEAT_TAKEN", "take_seat", "", sender=SUCCESSOR, value_wei=BOND)
    seated.evm.now = handover_at
    assert seat(seated) == OPEN
    with pytest.raises(Reverted, match="NOT_SEAT_HOLDER"):
        seated.commit()
    seated.take_seat(SUCCESSOR)
    assert seat(seated).handover_at == 0
    seated.commit(sender=SUCCESSOR)


def test_a_squatter_who_resigns_ahead_is_silent_for_the_inclusion_time_and_no_longer(venue: Harness) -> None:
    venue.take_seat()
    refused(venue, "HANDOVER_TIME", "resign", venue.evm.now + PARAMETERS.unseat_seconds, sender=SEQUENCER)
    venue.bridge.send("resign", venue.evm.now + PARAMETERS.inclusion_seconds, sender=SEQUENCER)
    venue.evm.now += 1
    venue.deposit()
    venue.evm.now += PARAMETERS.inclusion_seconds - 1
    assert seat(venue) == OPEN
    # A friend may do so once more, a second before the entry is owed; whoever follows cannot.
    venue.take_seat(SUCCESSOR)
    venue.bridge.send("resign", venue.evm.now + PARAMETERS.inclusion_seconds, sender=SUCCESSOR)
    venue.evm.now += PARAMETERS.inclusion_seconds
    venue.take_seat(STRANGER)
    refused(venue, "WORK_OWED", "resign", venue.evm.now, sender=STRANGER)


def test_nobody_resigns_away_from_owed_work(seated: Harness) -> None:
    seated.deposit()
    due_at = seated.evm.now
    seated.evm.now = due_at + PARAMETERS.inclusion_seconds
    refused(seated, "WORK_OWED", "resign", seated.evm.now, sender=SEQUENCER)
    seated.commit(queue_only=True)
    seated.evm.now += PARAMETERS.inclusion_seconds
    seated.bridge.send("resign", seated.evm.now, sender=SEQUENCER)


@pytest.mark.parametrize("leaving", ["resign", "hand_over"])
@pytest.mark.parametrize("is_late", [False, True])
def test_whoever_served_what_was_owed_stays_for_as_long_as_a_proof_may_take(
    seated: Harness, leaving: str, is_late: bool
) -> None:
    seated.bridge.send("bond_ahead", "", 1, sender=SUCCESSOR, value_wei=BOND)
    seated.deposit()
    seated.evm.now += PARAMETERS.inclusion_seconds - (not is_late)
    seated.commit(queue_only=is_late)
    served_at = seated.evm.now

    def leave() -> None:
        given = seated.evm.now if leaving == "resign" else 2
        seated.bridge.send(leaving, given, sender=SEQUENCER)

    if is_late:
        # What comes in time behind it changes nothing.
        for seated.evm.now in (served_at, served_at + PARAMETERS.inclusion_seconds - 1):
            with pytest.raises(Reverted, match="WAS_LATE"):
                leave()
            seated.commit()
        seated.evm.now = served_at + PARAMETERS.inclusion_seconds
    leave()


def test_a_passed_on_seat_does_not_make_owed_work_younger(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += PARAMETERS.inclusion_seconds - 1
    seated.bridge.send("resign", seated.evm.now, sender=SEQUENCER)
    seated.take_seat(SUCCESSOR)
    seated.evm.now += 1
    refused(seated, "WORK_OWED", "resign", seated.evm.now, sender=SUCCESSOR)


def test_c2_an_idle_holder_is_unseated_and_loses_a_quarter(seated: Harness) -> None:
    refused(seated, "NOTHING_OWED", "unseat", sender=STRANGER)
    seated.deposit()
    unseat_at = seated.evm.now + PARAMETERS.unseat_seconds
    assert deadlines(seated).unseat_at == unseat_at
    seated.evm.now = unseat_at - 1
    refused(seated, "TOO_EARLY", "unseat", sender=STRANGER)
    seated.evm.now = unseat_at
    burned_before = seated.burned_wei
    receipt = seated.bridge.send("unseat", sender=STRANGER)
    assert seated.event(receipt) == SeatLost(holder=SEQUENCER, bond_id=1, entry_index=0, burned_wei=BOND // 4, misses=1)
    assert seated.burned_wei == burned_before + BOND // 4
    assert seated.bond(1).amount_wei == BOND - BOND // 4
    assert seat(seated) == OPEN
    refused(seated, "SEAT_OPEN", "unseat", sender=STRANGER)


def test_who_serves_the_queue_is_not_unseated(seated: Harness) -> None:
    seated.deposit()
    seated.commit()
    seated.evm.now += PARAMETERS.unseat_seconds
    refused(seated, "NOTHING_OWED", "unseat", sender=STRANGER)
    assert deadlines(seated) == Deadlines(entry_index=1, due_at=0, unseat_at=0, freeze_at=0)


def test_every_miss_halves_the_deadline_to_a_floor_and_seven_days_restore_it(seated: Harness) -> None:
    seated.deposit()
    for turn, delay in enumerate((120, 60, 40, 40)):
        start = seated.evm.now
        assert deadlines(seated).unseat_at == start + delay
        seated.evm.now = start + delay
        seated.bridge.send("unseat", sender=STRANGER)
        seated.take_seat(account(50 + turn))
    assert seated.bridge.call("misses") == 4
    seated.commit(sender=account(53), queue_only=True)
    missed_at = seated.evm.now
    seated.evm.now = missed_at + 7 * 86_400 - 1
    seated.deposit()
    assert deadlines(seated).unseat_at == seated.evm.now + 40
    seated.evm.now += 1
    assert deadlines(seated).unseat_at == seated.evm.now - 1 + 120


def test_h3_what_a_miss_burns_doubles_with_each_one_within_thirty_days(seated: Harness) -> None:
    for turn, (quiet, part) in enumerate([(0, 4), (0, 2), (0, 1), (29 * 86_400, 1), (30 * 86_400, 4)]):
        # Nothing is owed meanwhile.
        seated.evm.now += quiet
        entry = seated.event(seated.deposit())
        assert isinstance(entry, Enqueued)
        seated.evm.now = deadlines(seated).unseat_at
        lost = seated.event(seated.bridge.send("unseat", sender=STRANGER))
        assert isinstance(lost, SeatLost)
        assert (lost.burned_wei, lost.misses) == (BOND // max(part, 2), 1 if part == 4 else turn + 1)
        # What is not burned of a bond that is lost whole waits for a proof, and goes home to nobody.
        left = seated.bond(lost.bond_id)
        assert (left.amount_wei, left.slashed) == (BOND - lost.burned_wei, part == 1)
        seated.take_seat(account(60 + turn))
        following = seated.next_commitment()
        seated.commit(following, sender=account(60 + turn), queue_only=seated.is_late(following))


def test_h3_who_lost_the_seat_leaves_it_to_others_first(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += PARAMETERS.unseat_seconds
    seated.bridge.send("unseat", sender=STRANGER)
    for seconds in (0, PARAMETERS.unseat_seconds - 1):
        with seated.evm.rolled_back():
            seated.evm.now += seconds
            refused(seated, "LOST_SEAT", "take_seat", "", sender=SEQUENCER, value_wei=BOND)
    with seated.evm.rolled_back():
        seated.evm.now += PARAMETERS.unseat_seconds
        seated.take_seat(SEQUENCER)
    seated.take_seat(SUCCESSOR)
    seated.bridge.send("bond_ahead", "", 2, sender=SEQUENCER, value_wei=BOND)
    seated.commit(sender=SUCCESSOR, queue_only=True)
    seated.evm.now += PARAMETERS.inclusion_seconds
    refused(seated, "LOST_SEAT", "hand_over", 3, sender=SUCCESSOR)


def test_who_has_bonded_ahead_gets_the_seat_in_the_transaction_that_hands_it_over(seated: Harness) -> None:
    receipt = seated.bridge.send("bond_ahead", "http://next", 1, sender=SUCCESSOR, value_wei=BOND)
    assert receipt.logs == ()
    refused(seated, "BOND_AMOUNT", "bond_ahead", "", 1, sender=SUCCESSOR, value_wei=BOND - 1)
    refused(seated, "NOT_SEAT_HOLDER", "hand_over", 2, sender=SUCCESSOR)
    for nobody in (0, 1, 3):
        refused(seated, "BOND_AMOUNT", "hand_over", nobody, sender=SEQUENCER)
    seated.evm.now += 7
    receipt = seated.bridge.send("hand_over", 2, sender=SEQUENCER)
    resigned, taken = (decode_log(seated.id, log) for log in receipt.logs)
    assert resigned == SeatResigned(holder=SEQUENCER, bond_id=1, handover_at=seated.evm.now)
    assert taken == SeatTaken(holder=SUCCESSOR, bond_id=2, endpoint_url="http://next")
    assert seat(seated) == Seat(holder=SUCCESSOR, bond_id=2, taken_at=seated.evm.now, handover_at=0)
    assert seated.bridge.call("endpoint_url") == "http://next"
    with pytest.raises(Reverted, match="NOT_SEAT_HOLDER"):
        seated.commit()
    seated.commit(sender=SUCCESSOR)
    seated.bridge.send("withdraw_bond", 1, sender=SEQUENCER)
    # A bond that was taken home seats nobody.
    refused(seated, "BOND_AMOUNT", "hand_over", 1, sender=SUCCESSOR)


def test_f12_a_bond_ahead_is_seated_by_the_holder_whom_it_names_alone(seated: Harness) -> None:
    seated.bridge.send("bond_ahead", "", 1, sender=SUCCESSOR, value_wei=BOND)
    seated.bridge.send("resign", seated.evm.now, sender=SEQUENCER)
    seated.take_seat(STRANGER)
    refused(seated, "NOT_AHEAD", "hand_over", 2, sender=STRANGER)
    # Nor is the bond of somebody who once took the seat himself.
    refused(seated, "NOT_AHEAD", "hand_over", 1, sender=STRANGER)
    seated.bridge.send("bond_ahead", "", 3, sender=SUCCESSOR, value_wei=BOND)
    seated.bridge.send("hand_over", 4, sender=STRANGER)
    assert seat(seated).holder == SUCCESSOR


def test_f10_nobody_takes_the_seat_in_the_block_that_opened_it(seated: Harness) -> None:
    lie = seated.commit_lie()
    seated.prove(lie)
    refused(seated, "SEAT_JUST_OPENED", "take_seat", "", sender=STRANGER, value_wei=BOND)
    seated.take_seat(STRANGER)
    assert seat(seated).holder == STRANGER


@pytest.mark.parametrize(
    ("waits", "misses"), [(PARAMETERS.inclusion_seconds - 1, 0), (PARAMETERS.inclusion_seconds, 1)]
)
def test_f10_who_is_slashed_while_he_owes_work_has_missed_it(seated: Harness, waits: int, misses: int) -> None:
    seated.deposit()
    seated.evm.now += waits
    lie = seated.commit_lie(queue_only=bool(misses))
    seated.prove(lie)
    assert seated.bridge.call("misses") == misses
    seated.evm.now += 1
    if misses:
        refused(seated, "LOST_SEAT", "take_seat", "", sender=SEQUENCER, value_wei=BOND)
    seated.take_seat(SUCCESSOR)
    assert deadlines(seated).unseat_at == seated.evm.now + (PARAMETERS.unseat_seconds >> misses)


def test_f10_a_lie_of_a_bond_that_is_not_seated_is_nobodys_miss(seated: Harness) -> None:
    lie = seated.commit_lie()
    seated.bridge.send("resign", seated.evm.now, sender=SEQUENCER)
    seated.take_seat(SUCCESSOR)
    seated.deposit()
    seated.evm.now += PARAMETERS.inclusion_seconds
    seated.prove(lie)
    assert seated.bridge.call("misses") == 0
    assert seat(seated).holder == SUCCESSOR


def test_nobody_hands_over_what_he_owes(seated: Harness) -> None:
    seated.bridge.send("bond_ahead", "", 1, sender=SUCCESSOR, value_wei=BOND)
    seated.deposit()
    seated.evm.now += PARAMETERS.inclusion_seconds
    refused(seated, "WORK_OWED", "hand_over", 2, sender=SEQUENCER)
    seated.commit(queue_only=True)
    seated.evm.now += PARAMETERS.inclusion_seconds
    seated.bridge.send("hand_over", 2, sender=SEQUENCER)


def test_a_bond_paid_ahead_goes_home_as_long_as_it_is_not_seated(seated: Harness) -> None:
    seated.bridge.send("bond_ahead", "", 1, sender=SUCCESSOR, value_wei=BOND)
    before = seated.evm.balance_wei(SUCCESSOR)
    refused(seated, "NOT_BOND_HOLDER", "withdraw_bond", 2, sender=STRANGER)
    seated.bridge.send("withdraw_bond", 2, sender=SUCCESSOR)
    assert seated.evm.balance_wei(SUCCESSOR) == before + BOND


def test_c2_the_deadline_runs_anew_after_a_roll_back_and_a_change_of_seat(seated: Harness) -> None:
    seated.deposit()
    due_at = seated.evm.now
    lie = seated.commit_lie()
    seated.bridge.send("resign", seated.evm.now, sender=SEQUENCER)
    seated.evm.now += 50
    seated.take_seat(SUCCESSOR)
    seated.evm.now += 400
    seated.prove(lie)
    assert deadlines(seated) == Deadlines(
        entry_index=0,
        due_at=due_at,
        unseat_at=seated.evm.now + PARAMETERS.unseat_seconds,
        freeze_at=due_at + PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds,
    )
    refused(seated, "TOO_EARLY", "unseat", sender=STRANGER)


def test_h5_the_bond_is_locked_until_the_last_batch_is_final(seated: Harness) -> None:
    refused(seated, "SEATED", "withdraw_bond", 1, sender=SEQUENCER)
    seated.commit()
    seated.evm.now += 10
    seated.commit()
    last_batch_at = seated.evm.now
    seated.bridge.send("resign", seated.evm.now, sender=SEQUENCER)
    seated.take_seat(SUCCESSOR)
    seated.evm.now += 10
    seated.commit(sender=SUCCESSOR)
    seated.evm.now = last_batch_at + PARAMETERS.window_seconds - 1
    refused(seated, "BOND_LOCKED", "withdraw_bond", 1, sender=SEQUENCER)
    seated.evm.now += 1
    refused(seated, "NOT_BOND_HOLDER", "withdraw_bond", 1, sender=STRANGER)
    refused(seated, "NOT_BOND_HOLDER", "withdraw_bond", 3, sender=STRANGER)
    before = seated.evm.balance_wei(SEQUENCER)
    receipt = seated.bridge.send("withdraw_bond", 1, sender=SEQUENCER)
    assert seated.event(receipt) == BondWithdrawn(holder=SEQUENCER, bond_id=1, amount_wei=BOND)
    assert seated.evm.balance_wei(SEQUENCER) == before + BOND
    refused(seated, "NOTHING_LEFT", "withdraw_bond", 1, sender=SEQUENCER)
    assert seated.evm.balance_wei(seated.bridge.address) == BOND


def test_a_resigned_holder_gets_the_bond_though_nobody_follows(seated: Harness) -> None:
    seated.bridge.send("resign", seated.evm.now + 5, sender=SEQUENCER)
    refused(seated, "SEATED", "withdraw_bond", 1, sender=SEQUENCER)
    seated.evm.now += 5
    seated.bridge.send("withdraw_bond", 1, sender=SEQUENCER)
    assert seat(seated) == OPEN
    seated.take_seat(SUCCESSOR)


def test_an_unseated_holder_gets_back_what_was_not_burned(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += PARAMETERS.unseat_seconds
    seated.bridge.send("unseat", sender=STRANGER)
    before = seated.evm.balance_wei(SEQUENCER)
    seated.bridge.send("withdraw_bond", 1, sender=SEQUENCER)
    assert seated.evm.balance_wei(SEQUENCER) == before + BOND - BOND // 4


def test_freeze_needs_an_entry_unserved_for_window_and_grace(seated: Harness) -> None:
    refused(seated, "NOTHING_OWED", "freeze", sender=STRANGER)
    seated.deposit()
    freeze_at = seated.evm.now + PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    assert deadlines(seated).freeze_at == freeze_at
    seated.evm.now = freeze_at - 1
    refused(seated, "TOO_EARLY", "freeze", sender=STRANGER)
    # changes of seat do not move it
    seated.bridge.send("unseat", sender=STRANGER)
    seated.take_seat(SUCCESSOR)
    seated.evm.now = freeze_at
    seated.bridge.send("freeze", sender=STRANGER)
    assert seated.bridge.call("frozen_at") == freeze_at
    refused(seated, "FROZEN", "freeze", sender=STRANGER)


def test_a_served_entry_does_not_freeze(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    seated.commit(queue_only=True)
    refused(seated, "NOTHING_OWED", "freeze", sender=STRANGER)


def test_frozen_means_no_commits_deposits_or_seats_while_proofs_and_bonds_go_on(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    lie = seated.commit_lie(queue_only=True, queue_count=0, tree_root=ZERO_HASH)
    seated.bridge.send("freeze", sender=STRANGER)
    for attempt in (seated.commit, seated.deposit, seated.take_seat):
        with pytest.raises(Reverted, match="FROZEN"):
            attempt()
    refused(seated, "SEAT_OPEN", "unseat", sender=STRANGER)
    seated.prove(lie)
    assert seated.tip == 0


def test_a_frozen_bridge_gives_the_bond_back(seated: Harness) -> None:
    seated.deposit()
    seated.evm.now += PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds
    seated.bridge.send("freeze", sender=STRANGER)
    seated.bridge.send("withdraw_bond", 1, sender=SEQUENCER)
    assert seated.bond(1).amount_wei == 0
