"""Faults of the law: how they are made, and that the published cases notice them."""

from collections import Counter

import pytest

from tests.soak import mutants
from tests.soak.mutants import LAW, Mutant
from tests.soak.mutations import UNREPLAYED, mutants_of

TEXT = '''"""Not a word of this is changed: 1 + 1."""
from somewhere import things

LIMIT: Final = 10


def decide(maker: int, taker: int) -> int:
    """Nor of this."""
    assert maker > 0
    if maker < taker:
        return codes.FIRST
    if not allowed(taker):
        return codes.SECOND
    return min(maker, taker) + LIMIT  # nor here: 5 < 6
'''


def test_a_place_is_changed_in_every_way_that_a_reader_may_get_wrong() -> None:
    found = {(mutant.line, mutant.kind, mutant.now) for mutant in mutants_of("some.py", TEXT)}

    assert found == {
        (4, "constant", "LIMIT: Final = 11"),
        (10, "comparison", "if maker <= taker:"),
        (10, "row", "if taker < taker:"),
        (10, "row", "if maker < maker:"),
        (10, "guard", "if False:"),
        (
            10,
            "order",
            "if not allowed(taker): ; return codes.SECOND ; if maker < taker: ; return codes.FIRST",
        ),
        (12, "boolean", "if allowed(taker):"),
        (12, "row", "if not allowed(maker):"),
        (12, "guard", "if False:"),
        (14, "arithmetic", "return min(maker, taker) - LIMIT  # nor here: 5 < 6"),
        (14, "row", "return min(taker, taker) + LIMIT  # nor here: 5 < 6"),
        (14, "row", "return min(maker, maker) + LIMIT  # nor here: 5 < 6"),
    }


def test_each_is_the_whole_text_with_one_line_changed_or_two_checks_swapped() -> None:
    for mutant in mutants_of("some.py", TEXT):
        before, after = TEXT.splitlines(), mutant.text.splitlines()
        assert len(before) == len(after)
        changed = [line for line, (was, now) in enumerate(zip(before, after, strict=True), 1) if was != now]
        assert changed == ([10, 11, 12, 13] if mutant.kind == "order" else [mutant.line])


IDLE = """
def decide(packed: int) -> int:
    dust: int = 0
    kept: int = 0
    settled, dust = settle(bits(word(packed), 232, 24))
    refused: Rescued = untouched(maker, taker)
    if dust == kept:
        raise ValueError
    account: Account = maker
    account = settle(account, taker)
    return dust


def admit(self) -> int:
    return 1 + 1


def after() -> int:
    return 2
"""


def test_what_decides_nothing_is_left_alone() -> None:
    found = {(mutant.line, mutant.now) for mutant in mutants_of("some.py", IDLE)}

    assert found == {
        # Nothing replaces it.
        (4, "kept: int = 1"),
        (5, "settled, dust = settle(bits(word(packed), 233, 24))"),
        (7, "if dust != kept:"),
        # It is read before it is replaced.
        (9, "account: Account = taker"),
        (10, "account = settle(account, maker)"),
        (19, "return 3"),
    }


def test_what_no_replay_comes_to_is_a_function_of_the_law() -> None:
    text = "".join(path.read_text() for path in LAW.glob("*.py"))

    assert all(text.count(f"def {name}(") == 1 for name in UNREPLAYED)


def fault(name: str, was: str, now: str) -> Mutant:
    text = (LAW / name).read_text()
    assert text.count(was) == 1
    return Mutant(name, 1, "", was, now, text.replace(was, now))


@pytest.mark.slow
def test_a_fault_of_either_twin_is_noticed_and_none_is_none() -> None:
    worse = "if signed_size(taker, maker.limit_price - taker.limit_price) > 0:"
    other = worse.replace(">", "<")

    assert mutants.judged(fault("trading.py", worse, other)) == mutants.KILLED
    ours = worse.replace("signed_size", "self.signed_size")
    assert mutants.judged(fault("trading.vy", ours, ours.replace(">", "<"))) == mutants.KILLED
    # The same in other words.
    assert mutants.judged(fault("trading.py", worse, worse[:-1] + " and True:")) == mutants.SURVIVED
    assert mutants.judged(fault("trading.vy", ours, "if this is no text of the law:")) == mutants.INVALID


def test_what_ends_badly_is_noticed() -> None:
    def raises() -> int:
        raise KeyError

    assert mutants.in_a_child(raises) == mutants.KILLED
    assert mutants.in_a_child(lambda: mutants.SURVIVED) == mutants.SURVIVED


def test_a_survivor_without_a_reason_and_too_few_deaths_are_violations(monkeypatch: pytest.MonkeyPatch) -> None:
    survivor = Mutant("a.py", 1, "", "was", "now", "")
    counted = Counter({"vectors": 99, "tests": 0})

    summary, broken = mutants.summary_of(100, counted, Counter(), [survivor])
    assert broken == ["not explained: a.py | was | now"]
    assert summary["survivors"] == ["a.py | was | now"]
    monkeypatch.setattr(mutants, "explained", lambda: {survivor.key: "equal"})
    assert mutants.summary_of(100, counted, Counter(), [survivor])[1] == []
    (few,) = mutants.summary_of(200, counted, Counter(), [survivor])[1]
    assert few == "the vectors kill 99 of 200, less than 97 in a hundred"
