"""Many faults in one text: how they are chosen. `test_mutants.py` has one that is compiled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.soak import schemata
from tests.soak.mutations import Mutant, mutants_of
from tests.soak.schemata import accused, holders, statements

SOME: Final = Path("law/some.vy")
OTHER: Final = Path("law/other.vy")

TEXT = """
LIMIT: constant(int256) = 10


def decide(maker: int256, taker: int256) -> int256:
    found: int256 = maker + 1
    if maker < taker:
        return found
    if taker > 7:  # so many
        return max(
            found,
            taker - 1,
        )
    both: int256[2] = [found, found]
    return both[0]
"""


def switched(source: str, faults: Mapping[int, Mutant]) -> tuple[str, set[int]]:
    texts, left = schemata.switched({SOME: source}, SOME, faults)
    return texts[SOME], left


def fault(was: str, now: str) -> Mutant:
    return next(m for m in mutants_of("some.vy", TEXT) if (m.was, m.now) == (was, now))


def test_a_statement_becomes_a_choice_between_its_texts() -> None:
    faults = {
        7: fault("found: int256 = maker + 1", "found: int256 = maker - 1"),
        8: fault("if maker < taker:", "if maker <= taker:"),
        9: fault("if maker < taker:", "if False:"),
        10: fault("taker - 1,", "taker + 1,"),
        11: fault("LIMIT: constant(int256) = 10", "LIMIT: constant(int256) = 11"),
        12: fault("both: int256[2] = [found, found]", "both: int256[3] = [found, found]"),
    }

    text, left = switched(TEXT, faults)

    # A type is none, and nobody asks for the constant.
    assert left == {12}
    assert "LIMIT: constant(int256) = 10\nLIMIT_11: constant(int256) = 11\n" in text
    assert (
        """
    found: int256 = empty(int256)
    if block.number == 7:
        found = maker - 1
    else:
        found = maker + 1
    if ((False) if block.number == 9 else (((maker <= taker) if block.number == 8 else (maker < taker)))):
        return found
    if taker > 7:  # so many
        if block.number == 10:
            return max(
                found,
                taker + 1,
            )
        else:
            return max(
                found,
                taker - 1,
            )
    both: int256[2] = [found, found]
    return both[0]
"""
        in text
    )


def test_two_checks_in_the_other_order_are_one_choice() -> None:
    text = TEXT.replace("return max(\n            found,\n            taker - 1,\n        )", "return taker")
    (swap,) = (mutant for mutant in mutants_of("some.vy", text) if mutant.kind == "order")

    made, left = switched(text, {5: swap})

    assert not left
    assert made.count("if block.number == 5:\n        if taker > 7:  # so many\n            return taker\n") == 1
    assert made.count("    else:\n        if maker < taker:\n            return found\n") == 1


USES = """
@internal
def more() -> int256:
    return some.LIMIT + some.LIMITED
"""


def test_a_constant_is_chosen_wherever_it_is_named() -> None:
    limit = fault("LIMIT: constant(int256) = 10", "LIMIT: constant(int256) = 11")

    texts, left = schemata.switched({SOME: TEXT, OTHER: USES}, SOME, {5: limit})

    assert not left
    assert """
    if block.number == 5:
        return some.LIMIT_5 + some.LIMITED
    else:
        return some.LIMIT + some.LIMITED
""" in texts[OTHER]
    # How often a loop runs, and what another constant is, cannot be chosen.
    for use in (
        "    for i: uint256 in range(some.LIMIT):\n        pass\n",
        "TWICE: constant(int256) = 2 * some.LIMIT\n",
    ):
        assert schemata.switched({SOME: TEXT, OTHER: USES + use}, SOME, {5: limit})[1] == {5}


def test_a_statement_is_known_by_each_of_its_lines() -> None:
    assert {statements(TEXT)[line] for line in (10, 11, 12, 13)} == {(10, 13)}


def test_whoever_the_compiler_complains_of_is_found() -> None:
    text, _ = switched(
        TEXT,
        {
            7: fault("found: int256 = maker + 1", "found: int256 = maker - 1"),
            8: fault("if maker < taker:", "if maker <= taker:"),
            9: fault("if maker < taker:", "if False:"),
            10: fault("taker - 1,", "taker + 1,"),
        },
    )
    lines = text.splitlines()

    def said(line: str) -> list[set[int]]:
        at = lines.index(line) + 1
        # Whoever imports it is named as well.
        return accused("some.vy", text, f'wrong:\n  contract "/law/some.vy:{at}"\n  contract "/law/other.vy:7", line 7')

    assert said("        found = maker - 1") == [{7}]
    assert said("                taker + 1,") == [{10}]
    assert said(next(line for line in lines if "maker <= taker" in line)) == [{8, 9}]
    # The law's own text.
    assert said("    return both[0]") == []


def test_a_second_constant_that_is_none_is_found() -> None:
    text = "LIMIT: constant(int256) = 7\nLIMIT_1034: constant(int256) = (\n    2\n    + 3**999\n)\n"

    assert accused("some.vy", text, 'too large\n  contract "law/some.vy:4", line 4') == [{1034}]
    assert accused("some.vy", text, 'what\n  contract "law/some.vy:1", line 1') == []


def test_a_file_stands_in_the_contracts_that_import_it() -> None:
    assert holders("markets.vy") == ["Markets"]
    assert holders("trading.vy") == ["Trading", "Markets", "Rescue"]
    assert set(holders("merkle.vy")) >= {"FraudReferee", "Markets"}
