"""Faults of the law: how they are made, and that the published cases notice them."""

import random

import pytest

from tests.soak import mutants
from tests.soak.mutants import LAW, Counted, Mutant
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


def test_the_same_fault_at_two_places_of_a_function_has_two_keys() -> None:
    twice = "def decide(maker: int) -> int:\n    if maker < 0:\n        return 0\n    if maker < 0:\n        return 0\n"

    keys = [mutant.key for mutant in mutants_of("some.py", twice) if mutant.kind == "guard"]

    assert keys == [
        "some.py decide | if maker < 0: | if False:",
        "some.py decide (2) | if maker < 0: | if False:",
    ]


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
    line = text[: text.index(was)].count("\n") + 1
    return Mutant(name, "check_pair", line, "", was, now, text.replace(was, now))


@pytest.mark.slow
def test_a_fault_of_either_twin_is_noticed_and_none_is_none() -> None:
    worse = "if signed_size(taker, maker.limit_price - taker.limit_price) > 0:"
    ours = worse.replace("signed_size", "self.signed_size")
    expected = {
        fault("trading.py", worse, worse.replace(">", "<")): mutants.KILLED,
        # The same in other words.
        fault("trading.py", worse, worse[:-1] + " and True:"): mutants.SURVIVED,
        fault("trading.vy", ours, ours.replace(">", "<")): mutants.KILLED,
        fault("trading.vy", ours, ours[:-1] + " and True:"): mutants.SURVIVED,
        fault("trading.vy", "before: int256 = collateral", "before: int256 = no_text_of_the_law"): mutants.INVALID,
    }

    assert dict(mutants.judged(list(expected))) == expected


def test_what_does_not_come_to_an_end_is_noticed() -> None:
    worse = "if order.side == constants.BUY:"

    raises = fault("trading.py", worse, "if order.sides == constants.BUY:")

    assert mutants.first_to_notice(raises, b"", [{}]) == 0


def test_a_function_of_the_law_is_replaced_alone() -> None:
    from prover.stf import trading

    worse = "if order.side == constants.BUY:"
    function, code = mutants._function_with(fault("trading.py", worse, worse.replace("==", "!=")))
    assert function is trading.signed_size
    assert code != trading.signed_size.__code__
    outside = Mutant("constants.py", "", 1, "", "", "", (LAW / "constants.py").read_text() + "MORE = 1\n")
    assert mutants._function_with(outside)[0] is None


def test_cases_that_noticed_others_of_a_function_come_first() -> None:
    cases = mutants.Cases([{"body": "aaaa"}, {"body": "a"}, {"body": "aa"}])
    ours, theirs = (Mutant(file, "decide", 1, "", "", "", "") for file in ("some.py", "some.vy"))
    other = Mutant("some.py", "else", 1, "", "", "", "")

    assert [len(case["body"]) for case in cases.cases] == [1, 2, 4]
    cases.noticed(ours, 2)
    cases.noticed(ours, 1)
    cases.noticed(ours, 2)

    assert cases.order(theirs) == [2, 1, 0]
    assert cases.order(other) == [0, 1, 2]


def named(name: str) -> Mutant:
    return Mutant(f"{name}.py", "decide", 1, "", "was", "now", "")


def test_what_is_not_explained_or_wrongly_and_too_few_deaths_are_violations(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = [named("killed")] * 97
    counted = Counted(
        killed, [named("by a test")], [named("open"), named("unknown")], [named("equal")], [named("none")]
    )
    reasons = {
        named("open").key: "no chunk is so long",
        named("none").key: "= the same",
        named("equal").key: "= the same",
    }
    monkeypatch.setattr(mutants, "explained", lambda: reasons)

    summary, broken = mutants.summary_of(counted)

    assert (summary["mutants"], summary["killed_by_vectors"], summary["killed_by_tests"]) == (100, 97, 1)
    assert summary["survivors"] == [named("open").key, named("unknown").key]
    assert broken == [
        "not explained: unknown.py decide | was | now",
        "said to be the law, and noticed: none.py decide | was | now",
    ]
    (_, _, few) = mutants.summary_of(counted._replace(vectors=killed[1:]))[1]
    assert few == "the vectors kill 96 of 99, less than 97 in a hundred"


def test_what_is_equal_to_the_law_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "explained", lambda: {named("equal").key: "= the same", named("open").key: "too long"})
    counted = Counted([], [], [], [], [])

    for name, is_noticed in (("equal", False), ("equal", True), ("open", False), ("open", True)):
        mutants.count(counted, named(name), is_noticed, trees=False)

    assert counted == ([named("open")], [], [named("open")], [named("equal")], [named("equal")])


def test_mutants_are_drawn_of_both_twins_by_turns_until_there_are_no_more() -> None:
    suffixes = [mutant.file[-3:] for mutant in mutants.drawn(random.Random(1))]

    assert suffixes[:4] == [".py", ".vy"] * 2
    assert suffixes[-1] == max(suffixes, key=suffixes.count)
    assert {".py", ".vy"} == set(suffixes)
