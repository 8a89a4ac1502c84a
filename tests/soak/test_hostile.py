"""The search over a hostile seat's freedom: a small one within its bounds, and what it finds without a rule."""

import json
from random import Random

import pytest

from tests.soak import hostile, hostile_omission
from tests.soak.__main__ import main
from tests.soak.hostile import BESIDE, OLD, PATHS, found, played, strangers_lost
from tests.soak.hostile_seat import PRICE, SHIPPED, Case, Prices, Refused, Seat, tick
from tests.twins.venue import NOW


def test_nobody_wins_more_than_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    summary, broken = hostile.run(100 * (len(PATHS) + 1), 7)

    assert broken == []
    assert summary["old_rules_found"] == list(OLD)
    assert summary["strangers_settled_lost_micros"] == 0
    assert set(summary["by_path"]) == {*PATHS, *(beside for each in BESIDE.values() for beside in each)}
    for path, shown in summary["by_path"].items():
        # It is a search: what it finds comes close to what is bounded, where one history is enough for it.
        tenths = {"omitted_liquidation": 7, "beyond_the_fund": 3, "won_back": 1, "silent_seat": 1, "winner_open": 3}
        close = tenths.get(path, 9)
        assert shown["bound_micros"] * close < shown["gain_micros"] * 10 <= shown["bound_micros"] * 10


def test_a_history_is_played_again_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hostile", "--seed", "7", "--history", "4", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])

    path, shown = next(iter(summary["by_path"].items()))
    case = played(path, "7:4")
    assert (case.gain, case.bound) == (shown["gain_micros"], shown["bound_micros"])


def test_a_gain_above_its_bound_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "range_bound", lambda *arguments: 1)
    _, broken = hostile.run(1, 7, history=1)
    assert [line.partition(":")[0] for line in broken] == ["forced_close"]
    assert broken[0].endswith("--seed 7 --history 1")


@pytest.mark.parametrize("history", ["7:60", "7:148"])
def test_what_strangers_have_not_settled_pays_where_the_winner_stays_open(
    history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = played("winner_open", history)
    assert shown.gain <= shown.bound
    # The same history among strangers whose money has all settled: the fund is what there is to win.
    monkeypatch.setattr(hostile_omission, "STRANGERS_TO_FUND", (0, 0, 0))
    alone = played("winner_open", history)
    assert alone.gain <= alone.bound < shown.gain


@pytest.mark.parametrize("history", ["4201:13767"])
def test_what_is_only_won_back_stays_within_its_bound(history: str) -> None:
    lost, bound = strangers_lost(history)
    assert 0 < lost <= bound < 10 * lost


@pytest.mark.parametrize("name", OLD)
def test_under_the_shipped_rules_nothing_of_the_old_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "OLD_RULES", SHIPPED)
    monkeypatch.setattr(hostile, "OLD_HISTORIES", 20)
    monkeypatch.setitem(OLD, name, OLD[name]._replace(without=lambda patch: None))
    assert not found(name, 7)


def test_the_seat_is_held_to_what_the_bridge_asks() -> None:
    rules = SHIPPED

    def posted(begun: int, ended: int, now: int, waits: int = 0, is_late: bool = False) -> str:
        seat = Seat({}, rules)
        if waits:
            seat.enqueue(waits, 22, b"", b"")
        seat.chunk(begun, is_late=is_late)
        seat.chunk(ended, is_late=is_late)
        return seat.refusal(now)

    late = NOW + rules.inclusion
    assert posted(NOW, NOW, NOW + rules.lag) == ""
    assert posted(NOW, NOW + rules.lag, NOW + rules.lag + 1) == "TIMESTAMP_BEHIND"
    assert posted(NOW, NOW + 1, NOW) == "TIMESTAMP_AHEAD"
    assert posted(late, late - 1, late, waits=NOW + 1) == ""
    assert posted(late, late, late, waits=NOW) == "INCLUSION"
    assert posted(late, late, late, waits=NOW, is_late=True) == ""
    # What nobody has entered cannot be taken.
    seat = Seat({}, rules)
    entry = seat.enqueue(NOW + 1, 16, bytes(11), bytes(20))
    seat.chunk(NOW, entry)
    assert seat.refusal(NOW) == "TIMESTAMP_AHEAD"
    assert seat.refusal(NOW + 1) == ""
    seat.chain[1] = bytes(32)
    assert seat.refusal(NOW + 1) == "QUEUE_HASH"
    seat.queue[0] = (NOW + 2, entry)
    assert seat.refusal(NOW + 1) == "QUEUE_COUNT"
    with pytest.raises(Refused, match="QUEUE_COUNT"):
        seat.commit(NOW + 1)


def test_prices_are_ranged_by_whole_minutes() -> None:
    prices = Prices(Random(3), 100)
    every = [prices.at(NOW + 5_000 * step) for step in range(1_200)]
    assert (prices.low(NOW, NOW + 5_999_999), prices.high(NOW, NOW + 5_999_999)) == (min(every), max(every))
    assert tick(prices, NOW)[9 + 1 : 9 + 7] == prices.at(NOW).to_bytes(6, "big")
    prices.base, prices.noise = [PRICE, PRICE * 2, PRICE], [0] * 12
    end = NOW + 180_000
    assert prices.worst_fall(NOW, end, 60_000, 250_000) == PRICE // 2 + 1
    assert prices.worst_rise(NOW, end, 60_000, 250_000) == PRICE * 3 // 4 + 1
