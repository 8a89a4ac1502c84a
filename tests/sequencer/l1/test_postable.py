"""Facts in, reasons out: each reason stands where it should and nowhere else."""

import re
from typing import Any

import msgspec
import pytest

from l1_bridge.codec import calls
from prover.stf import constants
from sequencer.l1.postable import CODES, PATIENCE_SECONDS, BridgeFacts, Facts, blocking, reasons, taken
from sequencer.sequencing.admission import Taking

OPERATOR, OTHER = b"\x01" * 20, b"\x02" * 20
NOW = 10**12
HEAD = calls.BatchRecord(7, b"\x03" * 32, b"\x04" * 32, 1, NOW // 1_000, 2, 0)
BRIDGE = BridgeFacts(
    head=HEAD,
    head_holder=OPERATOR,
    head_chunk=9,
    seat=calls.Seat(OPERATOR, 1, 5, 0),
    queue_length=3,
    taken=2,
    taken_hash=b"\x05" * 32,
    chain_hash=b"\x05" * 32,
    frozen_at=0,
)
GOOD = Facts(
    operator=OPERATOR,
    bridge=BRIDGE,
    chunk_count=12,
    now_ms=NOW,
    lag_ms=3_600_000,
    oldest_ms=NOW - 1_799_999,
    tick_ms=NOW - constants.MAX_PRICE_AGE,
    unanswered_seconds=PATIENCE_SECONDS - 1,
    trouble="no answer",
    trouble_seconds=PATIENCE_SECONDS - 1,
    is_refused=True,
    stalled_seconds=PATIENCE_SECONDS - 1,
)
NO_SEAT = calls.Seat(bytes(20), 0, 0, 0)


def bridge(**changes: Any) -> dict[str, Any]:
    """Facts of the bridge as changed."""
    return {"bridge": msgspec.structs.replace(BRIDGE, **changes)}


CASES: list[tuple[dict[str, Any], str, Taking, bool, str]] = [
    (bridge(head_chunk=None), "SECOND_NODE", Taking.NOTHING, True, "another node posts with the same key"),
    (
        bridge(head_chunk=None, head_holder=OTHER),
        "OTHER_HISTORY",
        Taking.NOTHING,
        True,
        "7 .* never had its root",
    ),
    (
        bridge(head_chunk=None) | {"chunk_count": 0, "oldest_ms": None},
        "OTHER_HISTORY",
        Taking.NOTHING,
        True,
        "this datadir has no history at all: .* makes this one anew from L1",
    ),
    (bridge(chain_hash=b"\x06" * 32), "OTHER_QUEUE", Taking.CANCELS, True, "first 2 entries .* A restart re-sequences"),
    (bridge(chain_hash=None, queue_length=1), "OTHER_QUEUE", Taking.CANCELS, True, "taken 2 entries .* which has 1:"),
    (bridge(frozen_at=5, seat=NO_SEAT), "FROZEN", Taking.CANCELS, True, "takes no batch any more"),
    (bridge(seat=NO_SEAT), "SEAT_OPEN", Taking.NOTHING, True, "start with --take-seat"),
    (bridge(seat=calls.Seat(OTHER, 2, 5, 0)), "OTHER_SEAT", Taking.NOTHING, True, "held by 0x0202"),
    (bridge(seat=calls.Seat(OPERATOR, 1, 5, NOW // 1_000 + 1)), "SEAT_RESIGNED", Taking.ALL, False, "opens at 1"),
    (bridge(seat=calls.Seat(OPERATOR, 1, 5, NOW // 1_000)), "SEAT_OPEN", Taking.NOTHING, True, "has opened at 1"),
    # Whoever held it: to anybody else it is as open.
    (bridge(seat=calls.Seat(OTHER, 2, 5, NOW // 1_000)), "SEAT_OPEN", Taking.NOTHING, True, "has opened at 1"),
    (bridge(seat=calls.Seat(OTHER, 2, 5, NOW // 1_000 + 1)), "OTHER_SEAT", Taking.NOTHING, True, "held by 0x0202"),
    (
        bridge(seat=calls.Seat(OPERATOR, 1, 5, NOW // 1_000 + 1)) | {"l1_ahead_ms": 1_000, "oldest_ms": None},
        "SEAT_OPEN",
        Taking.NOTHING,
        True,
        "has opened at 1",
    ),
    ({"bridge": None}, "UNREAD", Taking.NOTHING, True, "not said yet"),
    ({"bridge": None, "is_bridge_gone": True}, "NO_BRIDGE", Taking.CANCELS, True, "no bridge"),
    ({"unanswered_seconds": PATIENCE_SECONDS}, "L1_AWAY", Taking.ALL, False, "not answered for 60 s"),
    ({"l1_ahead_ms": 1_800_000}, "L1_AHEAD", Taking.REDUCING, True, "1800 s ahead .* only what lowers risk"),
    ({"l1_ahead_ms": 3_599_999}, "L1_AHEAD", Taking.REDUCING, True, "3600 s behind it: only"),
    ({"l1_ahead_ms": 3_600_000}, "L1_AHEAD", Taking.NOTHING, True, "nothing can be posted, until the machine's clock"),
    # No restart is told to help.
    (
        {"l1_ahead_ms": 3_600_000, "oldest_ms": NOW - 3_600_000},
        "L1_AHEAD",
        Taking.NOTHING,
        True,
        "3600 s ahead",
    ),
    ({"l1_ahead_ms": 1}, "LATE", Taking.REDUCING, True, "for 1800 s more"),
    ({"l1_ahead_ms": 1_799_999, "oldest_ms": NOW - 1_800_001}, "OVERDUE", Taking.NOTHING, True, "is void"),
    ({"oldest_ms": NOW - 1_800_000}, "LATE", Taking.REDUCING, True, "1800 s ago .* for 1800 s more"),
    ({"oldest_ms": NOW - 3_599_999}, "LATE", Taking.REDUCING, True, "for 0 s more"),
    ({"oldest_ms": NOW - 3_600_000}, "OVERDUE", Taking.NOTHING, True, "is void"),
    ({"clock_skew_ms": 3_600_000}, "CLOCK", Taking.ALL, True, "3600000 ms ahead of the venue's"),
    ({"clock_skew_ms": -9}, "CLOCK", Taking.ALL, True, "9 ms behind the venue's"),
    ({"tick_ms": 0}, "NO_PRICES", Taking.ALL, True, "no price yet"),
    ({"tick_ms": NOW - constants.MAX_PRICE_AGE - 1}, "OLD_PRICES", Taking.ALL, True, "are 20 s old"),
    ({"trouble_seconds": PATIENCE_SECONDS}, "REFUSED", Taking.CANCELS, True, "refused .* for 60 s: no answer"),
    (
        {"trouble_seconds": PATIENCE_SECONDS, "is_refused": False},
        "NOT_POSTING",
        Taking.ALL,
        True,
        "No batch .* no answer",
    ),
    ({"stalled_seconds": PATIENCE_SECONDS}, "NOT_POSTING", Taking.ALL, True, "for 60 s longer .* one waits"),
]


def test_where_everything_is_as_it_should_be_no_reason_stands() -> None:
    assert reasons(GOOD) == ()
    assert taken(()) is Taking.ALL
    fresh = msgspec.structs.replace(GOOD, oldest_ms=None, trouble="", trouble_seconds=10**6)
    assert reasons(fresh) == ()
    # Nothing was taken of the queue, and nothing is of L1's.
    assert reasons(msgspec.structs.replace(GOOD, **bridge(taken=0, taken_hash=bytes(32), chain_hash=bytes(32)))) == ()


@pytest.mark.parametrize(("changes", "code", "taking", "is_blocking", "words"), CASES)
def test_each_reason_stands_for_its_fact_alone(
    changes: dict[str, Any], code: str, taking: Taking, is_blocking: bool, words: str
) -> None:
    found = reasons(msgspec.structs.replace(GOOD, **changes))
    (reason,) = found
    assert (reason.code, reason.taking, reason.is_blocking) == (code, taking, is_blocking)
    assert re.search(words, reason.sentence), reason.sentence
    assert taken(found) is taking
    assert blocking(found) == ([reason] if is_blocking else [])


def test_every_code_has_its_case() -> None:
    assert {case[1] for case in CASES} == set(CODES)


def test_a_node_that_only_reads_has_no_seat_to_hold() -> None:
    reader = msgspec.structs.replace(GOOD, operator=None)
    for changes in (bridge(seat=NO_SEAT), bridge(seat=calls.Seat(OTHER, 2, 5, 0)), bridge(frozen_at=5)):
        assert reasons(msgspec.structs.replace(reader, **changes)) == ()
    (reason,) = reasons(msgspec.structs.replace(reader, **bridge(head_chunk=None)))
    assert reason.code == "OTHER_HISTORY"


def test_the_gravest_reason_is_told_first_and_the_strictest_decides() -> None:
    worst = msgspec.structs.replace(
        GOOD,
        **bridge(seat=calls.Seat(OTHER, 2, 5, 0), chain_hash=None),
        unanswered_seconds=10**3,
        clock_skew_ms=5_000,
        oldest_ms=NOW - 2_000_000,
    )
    found = reasons(worst)
    assert [reason.code for reason in found] == ["OTHER_SEAT", "OTHER_QUEUE", "LATE", "CLOCK", "L1_AWAY"]
    assert taken(found) is Taking.NOTHING
    assert [reason.code for reason in blocking(found)] == ["OTHER_SEAT", "OTHER_QUEUE", "LATE", "CLOCK"]
