"""Which reports are taken, when they become a tick, and what is kept: the oracle's desk without a node around it."""

from functools import partial
from typing import Any

import msgspec
import pytest

from prover.signing import signatures
from prover.signing.reports import Report, assembled, signed_report
from prover.stf import codes, constants
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from sequencer.sequencing.report_desk import (
    COUNTED,
    KEPT_ROUNDS,
    MAX_AHEAD_MS,
    SPARE,
    TICK,
    ReportDesk,
    ReportRefused,
    round_view,
)
from tests.sequencer.node_world import DOMAIN, PRICES, START, World, tick

KEYS = devnet_signer_keys()
STEP = constants.TICK_STEP


def report(index: int, time: int = START, prices: tuple[int, ...] = PRICES, **changes: Any) -> Report:
    """A good report of a devnet signer; changes by field name are made after it was signed."""
    signed = signed_report(DOMAIN, partial(signatures.sign, KEYS[index]), time, index, list(prices), [10, -20, 30])
    return msgspec.structs.replace(signed, **changes)


class Desk:
    """A desk over a venue's engine."""

    def __init__(self) -> None:
        self.world = World()
        self.desk = ReportDesk(DOMAIN, lambda: self.world.engine.globals)

    def take(self, given: Report) -> str:
        """The status; a tick goes to the law."""
        taken = self.desk.take(given, self.world.now)
        if taken.status == TICK:
            outcome = self.world.process(taken.tick)
            self.desk.decided(given.time_ms, codes.SENTENCE[outcome.code][0])
        return taken.status

    def refused(self, given: Report) -> tuple[str, dict[str, Any]]:
        """(name, data) of a refusal that changes nothing."""
        before = [round_view(found) for found in self.desk.newest(KEPT_ROUNDS)]
        with pytest.raises(ReportRefused) as caught:
            self.take(given)
        assert [round_view(found) for found in self.desk.newest(KEPT_ROUNDS)] == before
        return caught.value.name, caught.value.data


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_first_quorum_to_arrive_becomes_the_tick(desk: Desk) -> None:
    arrivals = [6, 2, 0, 5, 3, 1, 4]
    prices = [tuple(price + 10 * index for price in PRICES) for index in range(7)]
    statuses = [desk.take(report(index, prices=prices[index])) for index in arrivals]
    assert statuses == [COUNTED] * 4 + [TICK] + [SPARE] * 2
    globals = desk.world.engine.globals
    assert globals.tick_time == START
    # Of 0, 2, 3, 5, 6 the median is 3's; all seven would have had the same one.
    assert globals.risk.price[:3] == list(prices[3])
    assert [globals.markets[market].premium_ppb for market in range(3)] == [10, -20, 30]
    (round,) = desk.desk.newest(10)
    assert round.chosen == (0, 2, 3, 5, 6)
    assert round.code == "OK"
    assert [row.signer_index for row in round_view(round).reports] == arrivals
    # What anybody can enter on L1 is what the law took here.
    assert round_view(round).tick == "0x" + desk.world.journal[-1].operation.hex()
    assert desk.desk.at(START) is round
    assert desk.desk.at(START + STEP) is None


def test_what_is_assembled_is_what_a_quorum_would_have_signed_together() -> None:
    domain_tick = tick(START, PRICES, (10, -20, 30))
    assert assembled([report(index) for index in range(DEVNET_QUORUM)]) == domain_tick


def test_under_the_quorum_nothing_happens(desk: Desk) -> None:
    assert [desk.take(report(index)) for index in range(4)] == [COUNTED] * 4
    assert desk.world.engine.globals.tick_time == 0
    told = msgspec.to_builtins(round_view(desk.desk.newest(1)[0]))
    assert (told["chosen"], told["tick"]) == ([], "0x")


def test_one_report_a_signer_and_time(desk: Desk) -> None:
    assert desk.take(report(0)) == COUNTED
    assert desk.refused(report(0)) == ("REPEATED_REPORT", {"is_same": True})
    other = (PRICES[0] + 1, *PRICES[1:])
    assert desk.refused(report(0, prices=other)) == ("REPEATED_REPORT", {"is_same": False})
    # The first stands, and the next grid time is another matter.
    assert round_view(desk.desk.newest(1)[0]).reports[0].prices_ticks == list(PRICES)
    assert desk.take(report(0, START + STEP)) == COUNTED


def test_late_reports_are_dropped(desk: Desk) -> None:
    assert desk.take(report(0)) == COUNTED
    desk.world.now += STEP
    for index in range(5):
        desk.take(report(index, START + STEP))
    assert desk.world.engine.globals.tick_time == START + STEP
    # Its time has no tick and never will: a newer one stands.
    assert desk.refused(report(1))[0] == "LATE_REPORT"
    assert desk.take(report(5, START + STEP)) == SPARE
    desk.world.now = START + STEP + constants.MAX_PRICE_AGE
    assert desk.take(report(6, START + STEP)) == SPARE
    # The spare's time passes too.
    late = Desk()
    for index in range(5):
        late.take(report(index))
    late.world.now += constants.MAX_PRICE_AGE + 1
    assert late.refused(report(5))[0] == "LATE_REPORT"


def test_a_report_of_a_tick_that_came_another_way_is_late(desk: Desk) -> None:
    desk.world.process(tick(START))
    assert desk.refused(report(0)) == ("LATE_REPORT", {"tick_time_ms": START, "now_ms": START})


def test_the_grid_and_the_clock(desk: Desk) -> None:
    assert desk.refused(report(0, START - 1))[0] == "OFF_GRID"
    assert desk.take(report(0, START + MAX_AHEAD_MS)) == COUNTED
    desk.world.now -= 1
    assert desk.refused(report(1, START + MAX_AHEAD_MS))[0] == "OFF_GRID"
    desk.world.now = START + constants.MAX_PRICE_AGE
    assert desk.take(report(0)) == COUNTED
    desk.world.now += 1
    assert desk.refused(report(1))[0] == "LATE_REPORT"


@pytest.mark.parametrize("ahead", [0, MAX_AHEAD_MS])
def test_whatever_the_desk_takes_the_law_takes_on_the_oldest_clock_of_a_chunk(desk: Desk, ahead: int) -> None:
    # A chunk that was opened five seconds ago, the longest that --seal-seconds allows.
    desk.world.process(tick(START))
    assert desk.world.engine.open_operations > 0
    desk.world.now += 5_000
    for index in range(5):
        desk.take(report(index, START + 5_000 + ahead))
    assert desk.desk.newest(1)[0].code == "OK"


def test_who_signed(desk: Desk) -> None:
    signer = "0x" + signatures.address_of(KEYS[1]).hex()
    impostor = "0x" + signatures.address_of(KEYS[0]).hex()
    expected = {"recovered": impostor, "expected_signer": signer}
    assert desk.refused(report(0, signer_index=1)) == ("BAD_SIGNERS", expected)
    signature = report(0).signature
    assert desk.refused(report(1, signature=signature)) == ("BAD_SIGNERS", expected)
    assert desk.refused(report(0, signer_index=7)) == ("BAD_SIGNERS", {"signer_index": 7})
    changed = (PRICES[0] + 1, *PRICES[1:])
    assert desk.refused(report(0, prices_ticks=changed))[0] == "BAD_SIGNERS"
    assert desk.refused(report(0, premiums_ppb=(10, -20, 31)))[0] == "BAD_SIGNERS"
    assert desk.refused(report(0, time_ms=START + STEP))[0] == "BAD_SIGNERS"
    assert desk.refused(report(0, signature=bytes(64)))[0] == "BAD_SIGNERS"
    foreign = signed_report(b"\x01" * 32, partial(signatures.sign, KEYS[0]), START, 0, list(PRICES), [0, 0, 0])
    assert desk.refused(foreign)[0] == "BAD_SIGNERS"
    assert desk.take(report(0)) == COUNTED


def test_every_market_has_a_price(desk: Desk) -> None:
    assert desk.refused(report(0, prices=PRICES[:2], premiums_ppb=(0, 0)))[0] == "QUORUM"
    assert desk.refused(report(0, prices=(*PRICES, 1), premiums_ppb=(0,) * 4))[0] == "QUORUM"
    assert desk.refused(report(0, premiums_ppb=(0, 0)))[0] == "QUORUM"
    assert desk.refused(report(0, prices=(0, 0, 0)))[0] == "ZERO_PRICE"


def test_memory_is_bounded_and_the_oldest_goes(desk: Desk) -> None:
    for step in range(KEPT_ROUNDS + 3):
        desk.world.now = START + step * STEP
        assert desk.take(report(0, desk.world.now)) == COUNTED
    rounds = desk.desk.newest(10 * KEPT_ROUNDS)
    assert [found.time_ms for found in rounds] == [desk.world.now - step * STEP for step in range(KEPT_ROUNDS)]


def test_what_a_stranger_sends_opens_nothing(desk: Desk) -> None:
    for step in range(4):
        desk.refused(report(0, START - step * STEP, signature=bytes(64)))
    assert desk.desk.newest(10) == []
