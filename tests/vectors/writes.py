"""What each operation writes, read from the published cases: fields of accounts, slots, globals and commitment."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from prover.signing.recover import recover_fast
from prover.stf.replay import KINDS, Chunk
from tests.vectors import law_table
from tests.vectors.reading import Given, Witness

# Tag -> kind of row, field, and whether it grew, fell or became another.
Written = dict[int, set[tuple[str, str, str]]]


class Watched(Chunk):
    """A chunk that notes what each of its operations changes."""

    written: Written

    def apply(self, operation: bytes) -> int:
        """As the law has it."""
        before = _rows(self)
        code = super().apply(operation)
        # What the operation was the first to look at stood as it was loaded.
        before["account"] |= {
            index: _fields(row) for index, row in self.loaded_accounts.items() if index not in before["account"]
        }
        before["slot"] |= {leaf: _fields(row) for leaf, row in self.loaded_slots.items() if leaf not in before["slot"]}
        self.written[operation[0]] |= _changed(before, _rows(self))
        return code


def written(domain: bytes, chunks: Iterable[Given]) -> Written:
    """Whatever the operations of these chunks change, by tag."""
    found: Written = defaultdict(set)
    for given in chunks:
        witness = Witness(given.witness)
        chunk = Watched(domain, witness.commitment, witness.globals, witness, recover_fast)
        chunk.written = found
        chunk.run(given.body)
    return found


def _rows(chunk: Chunk) -> dict[str, dict[Any, Any]]:
    """Fields by kind of row and row, every value by itself."""
    globals = msgspec.to_builtins(chunk.globals)
    return {
        "account": {index: _fields(row) for index, row in (chunk.loaded_accounts | chunk.accounts).items()},
        "slot": {leaf: _fields(row) for leaf, row in (chunk.loaded_slots | chunk.slots).items()},
        "market": dict(enumerate(globals.pop("markets"))),
        "risk": {0: globals.pop("risk")},
        "globals": {0: globals},
        "commitment": {0: msgspec.to_builtins(chunk.commitment)},
    }


def _fields(row: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _changed(before: dict[str, dict[Any, Any]], after: dict[str, dict[Any, Any]]) -> set[tuple[str, str, str]]:
    return {
        (kind, name, _direction(before[kind][row][name], value))
        for kind, rows in after.items()
        for row, fields in rows.items()
        for name, value in fields.items()
        if value != before[kind][row][name]
    }


def _direction(was: Any, now: Any) -> str:
    if isinstance(was, int) and isinstance(now, int):
        return "up" if now > was else "down"
    return "other"


# What the table says in a word.
GROUPS: Final = {
    "as settled": ("epoch", "factor", "fresh", "older", "positions", "settled"),
    "the queue": ("queue_count", "queue_hash", "queue_taken", "timestamp"),
    "the head": ("head_account", "head_market", "head_time"),
    "a withdrawal": ("frontier", "withdrawal_count"),
    "a tick": ("funding_index", "premium_ppb", "previous_price", "price", "settling", "status"),
    "fees and bands": ("band_ppm", "funding_terms", "maker_fee_ppm", "taker_fee_ppm", "unwind_band_ppm"),
    "margins": ("initial_ppm", "maintenance_ppm"),
    "interest": ("interest_lower", "interest_upper"),
}


def listed(names: Iterable[str], groups: Mapping[str, Sequence[str]]) -> str:
    """Names behind each other; a group of which all are there by its own name, first."""
    left, told = list(names), list[str]()
    for group, members in groups.items():
        if set(members) <= set(left):
            told.append(group)
            left = [name for name in left if name not in members]
    return ", ".join([*told, *left])


def rows(found: Written) -> list[list[str]]:
    """The table of writes as PROTOCOL.md prints it: operation, fields of account, slot, market, globals, commitment."""
    kinds = (("account",), ("slot",), ("market", "risk"), ("globals",), ("commitment",))
    return [
        [
            law_table.NAMES[tag],
            *(
                listed(sorted({name for kind, name, _ in found[tag] if kind in several}), GROUPS) or "-"
                for several in kinds
            ),
        ]
        for tag in sorted(KINDS)
    ]
