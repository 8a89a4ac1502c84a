"""The published cases take every branch of the law that a chunk can take."""

import json
from pathlib import Path
from typing import Any, Final

from tests.vectors.picking import Branches
from tests.vectors.reading import agrees

LAW: Final[Any] = json.loads((Path(__file__).parent / "law.json").read_text())
# What no chunk comes to, and why.
UNREACHED: Final = {
    ("encoding.py", "if len(data) != GLOBALS_BYTES:"): "a witness that does not authenticate",
    ("encoding.py", "if globals_bytes(decoded) != data:"): "a witness that does not authenticate",
    ("encoding.py", "if len(data) != COMMITMENT_BYTES:"): "a witness that does not authenticate",
    ("encoding.py", "if len(data) != ACCOUNT_PAYLOAD_BYTES + 32 * held.bit_count():"): "the same",
    ("encoding.py", "if value == 0:"): "a witness names positions that are held",
    ("encoding.py", "for market, position in enumerate(account.positions):"): "writes a witness, decides nothing",
    ("encoding.py", "if position is not containers.EMPTY:"): "writes a witness, decides nothing",
    ("margin.py", "if maintenance_after > maintenance_before:"): "a smaller position never requires more at one price",
    ("markets.py", "for j in range(constants.SIGNERS):  # noqa: B007  (Vyper's loop)"): "ends before its bound",
    ("merkle.py", "for level in range(constants.WITHDRAWAL_LEVELS):"): "the last withdrawal is refused before",
    ("replay.py", "if not self.has_room(constants.ORDER):"): "the engine's way in, which no chunk takes",
    ("rescue.py", "if every.maintenance == 0:"): "whoever is asked about holds a position with a price",
    ("rescue.py", "if relief <= 0:"): "asked where equity is two thirds of maintenance at least",
}


def test_every_branch_of_the_law_is_taken_by_a_published_case() -> None:
    domain = bytes.fromhex(LAW["domain"])

    untaken = Branches().untaken(lambda: [agrees(domain, case) for case in LAW["cases"]])

    assert untaken == set(UNREACHED)
