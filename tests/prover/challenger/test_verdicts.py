"""What a challenger remembers of its verdicts, and tells: bounded, newest first, and never of a batch that is gone."""

from typing import Any

from l1_bridge.client.values import Block
from l1_bridge.codec.events import RolledBack
from l1_bridge.hashing import ZERO_HASH, keccak
from prover.challenger.verdicts import MOST, SILENT_MS, Verdicts
from prover.history.records import Judgement, Reason, Reorganised, Undone, Verdict

ROLLUP = b"\x11" * 20


class Clock:
    """A wall clock that stands."""

    now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def judged(number: int, verdict: Verdict = Verdict.VALID, **more: Any) -> Judgement:
    fields: dict[str, Any] = {
        "number": number,
        "batch_hash": keccak(b"%d" % number),
        "parent_hash": ZERO_HASH,
        "last_root": ZERO_HASH,
        "committer": b"\x22" * 20,
        "bond_id": 0,
        "committed_at": 1_800_000_000 + number,
        "block_number": number,
        "queue_count": 0,
        "chunks": 1,
        "operations": 1,
        "total_chunks": number,
        "total_operations": number,
        "verdict": verdict,
        "reason": Reason.NONE,
    }
    return Judgement(**{**fields, **more})


def undone(number: int) -> Undone:
    fields = dict.fromkeys(RolledBack.__struct_fields__, 0)
    return Undone(RolledBack(**{**fields, "number": number}), 1, Verdict.FRAUD)  # type: ignore[arg-type]


def numbers(board: Verdicts) -> list[int]:
    return [one.batch for one in board.newest_first]


def test_the_newest_is_first_and_no_more_are_kept_than_it_says() -> None:
    board = Verdicts(31_337, ROLLUP, Clock())
    for number in range(1, MOST + 3):
        board.notice(judged(number))
    assert numbers(board) == list(range(MOST + 2, 2, -1))


def test_a_verdict_is_told_with_its_reason_and_the_wrong_chunk() -> None:
    board = Verdicts(31_337, ROLLUP, Clock())
    board.began([None, judged(1)])
    board.notice(judged(2, Verdict.FRAUD, chunk_index=3))
    board.notice(judged(3, Verdict.UNKNOWN, reason=Reason.DESCENDANT))
    board.looked(3, 1, 0)
    told = board.told()
    unknown, fraud, valid = told["verdicts"]
    assert (told["chain_id"], told["rollup_address"]) == (31_337, "0x" + "11" * 20)
    assert (told["tip"], told["valid_tip"]) == (3, 1)
    assert (valid["verdict"], valid["chunk"], valid["judged_at_ms"]) == ("valid", None, None)
    assert (fraud["verdict"], fraud["chunk"], fraud["judged_at_ms"]) == ("fraud", 3, Clock.now_ms)
    assert fraud["batch_hash"] == "0x" + keccak(b"2").hex()
    assert unknown["reason"] == "DESCENDANT"
    assert unknown["sentence"].startswith("The batch builds on one that is not valid")


def test_what_was_proven_says_so_and_what_left_the_chain_is_forgotten() -> None:
    board = Verdicts(31_337, ROLLUP, Clock())
    for number in (1, 2, 3):
        board.notice(judged(number))
    board.notice(undone(2))
    assert [one.is_rolled_back for one in board.newest_first] == [True, True, False]
    board.notice(judged(2, batch_hash=keccak(b"another")))
    newest, *others = board.newest_first
    assert (newest.batch, newest.is_rolled_back, newest.batch_hash) == (2, False, keccak(b"another"))
    assert [(one.batch, one.is_rolled_back) for one in others] == [(3, True), (2, True), (1, False)]
    board.notice(Reorganised(Block(9, ZERO_HASH, ZERO_HASH, 0, 0), 1))
    assert numbers(board) == [1]


def test_it_is_silent_once_l1_was_not_heard_for_a_minute() -> None:
    clock = Clock()
    board = Verdicts(31_337, ROLLUP, clock)
    assert board.is_silent
    board.looked(1, 1, 0)
    assert not board.is_silent
    clock.now_ms += SILENT_MS
    assert not board.is_silent
    clock.now_ms += 1
    assert board.is_silent
