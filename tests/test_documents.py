"""What the documents say of the tree is true: paths exist, rooms list their files, decisions are short, lines end."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
# Whoever clones the repository loads each state of a picture.
MOST_PICTURE_BYTES: Final = 250_000
PACKAGES: Final = ("l1_bridge", "prover", "sequencer")
DOCUMENTS: Final = ("README.md", "ARCHITECTURE.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
WORDS_OF_A_DECISION: Final = 60
ATTACKS_BEGIN: Final = "| attack or fault | our answer | played by |\n|---|---|---|\n"
ATTACKS: Final = 101
FEATURES: Final = 24
NOT_PLAYED: Final = "not played yet: "
UNPLAYED: Final = 0
# Of a path in backticks, from the repository's root.
_PATH: Final = re.compile(r"`((?:l1_bridge|prover|sequencer|tests|docs)/[\w./]*)`")


def decisions(text: str) -> list[str]:
    """Paragraphs of the section Decisions."""
    section = text.split("\n## Decisions\n")[1].split("\n## ")[0]
    return [paragraph.strip() for paragraph in section.split("\n\n") if paragraph.strip()]


def listed(text: str) -> dict[str, set[str]]:
    """Files by room, as the table of ARCHITECTURE.md has them."""
    rows = re.findall(r"^\| `([\w/]+)/` \| (.*) \|$", text, re.MULTILINE)
    return {room: set(files.split(" · ")) for room, files in rows}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_path_that_is_named_exists(document: str) -> None:
    named = _PATH.findall((ROOT / document).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_path_that_is_gone_would_be_found() -> None:
    assert _PATH.findall("see `prover/stf/gone.py` and `prover/stf`") == ["prover/stf/gone.py", "prover/stf"]


def test_every_room_lists_its_files() -> None:
    rooms: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.stem != "__init__":
                rooms.setdefault(path.parent.relative_to(ROOT).as_posix(), set()).add(path.stem)
        for path in (ROOT / package / "contracts").glob("*.vy"):
            rooms[f"{package}/contracts"].add(path.name)
    assert listed((ROOT / "ARCHITECTURE.md").read_text()) == rooms


def test_a_decision_is_short() -> None:
    found = decisions((ROOT / "ARCHITECTURE.md").read_text())
    assert len(found) > 20
    too_long = [(len(each.split()), each[:40]) for each in found if len(each.split()) > WORDS_OF_A_DECISION]
    assert too_long == []


def attacks(text: str) -> list[list[str]]:
    """Rows of the tables of docs/attacks.md that are about attacks."""
    tables = text.split(ATTACKS_BEGIN)[1:]
    return [line.strip("| ").split(" | ") for table in tables for line in table.split("\n\n")[0].splitlines()]


def played_by(cell: str) -> list[str]:
    """Paths and names in a cell that are not there: a test or a class of tests has to stand in a file of the cell."""
    paths = [path for path in _PATH.findall(cell) if path.startswith("tests/")]
    whole = "".join((ROOT / path).read_text() for path in paths if (ROOT / path).is_file())
    tests = [name for name in re.findall(r"`(test_\w+)`", cell) if f"def {name}(" not in whole]
    classes = [name for name in re.findall(r"`(Test\w+)`", cell) if f"class {name}:" not in whole]
    return [path for path in paths if not (ROOT / path).exists()] + tests + classes


def test_every_attack_has_an_answer_and_a_test_that_is_there() -> None:
    found = attacks((ROOT / "docs" / "attacks.md").read_text())
    assert len(found) >= ATTACKS
    for row in found:
        assert len(row) == 3, row
        assert all(cell.strip() for cell in row), row
        # Also of what is not played yet: what holds today is named.
        assert "`tests/" in row[2] or row[2].startswith(NOT_PLAYED), row
        assert played_by(row[2]) == [], row


def test_attacks_that_nobody_plays_say_so_and_become_fewer() -> None:
    cells = [row[2] for row in attacks((ROOT / "docs" / "attacks.md").read_text())]
    assert len([cell for cell in cells if cell.startswith(NOT_PLAYED)]) <= UNPLAYED
    assert [cell for cell in cells if cell.startswith(NOT_PLAYED) and len(cell) < len(NOT_PLAYED) + 20] == []


def test_a_test_that_is_gone_would_be_found() -> None:
    assert played_by("`tests/test_documents.py` `test_a_decision_is_short`") == []
    assert played_by("`tests/test_documents.py` `test_gone` `TestGone`") == ["test_gone", "TestGone"]
    assert played_by("`tests/test_gone.py`") == ["tests/test_gone.py"]


def features(text: str) -> list[list[str]]:
    """Rows of the table at the end of docs/bots.md."""
    rows = text.split("\n## Feature by feature\n")[1].split("\n|---|---|---|---|---|\n")[1].strip().splitlines()
    return [line.strip("| ").split(" | ") for line in rows]


def test_every_feature_is_shown_by_a_test_that_is_there() -> None:
    found = features((ROOT / "docs" / "bots.md").read_text())
    assert len(found) >= FEATURES
    for row in found:
        assert len(row) == 5, row
        # What is not known of others is said in words, and of us there is no such cell.
        assert all(cell.strip("? ") for cell in row), row
        assert re.search(r"`tests/\S+` `test_\w+`", row[4]), row
        assert "not documented" not in row[4], row
        assert played_by(row[4]) == [], row


def test_the_readme_says_that_nobody_has_audited_this() -> None:
    assert "it has not been audited" in (ROOT / "README.md").read_text()


def test_pictures_weigh_little() -> None:
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > MOST_PICTURE_BYTES] == []
