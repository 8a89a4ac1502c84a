"""The bridge campaign: a small one without a fault, and what it finds where a rule of node or bridge is taken out."""

from pathlib import Path

import pytest

from tests.l1_bridge.evm import compile_without
from tests.soak import bridge


def test_the_node_has_a_batch_that_the_bridge_takes_in_every_state() -> None:
    summary, broken = bridge.run(24, 8)

    assert broken == []
    assert (summary["stuck"], summary["frozen_while_served"]) == (0, 0)
    # Open and held seats, roll-backs, final batches, late ones and void chunks were among them.
    reached = {"open", "unseated", "rolled back", "final", "late batches", "void", "served", "resigning", "handed over"}
    assert reached <= set(summary["seen"])


def test_a_node_that_trades_where_an_entry_has_waited_too_long_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "serves_queue_alone", lambda *_: False)
    summary, broken = bridge.run(8, 7)

    assert summary["stuck"] > 0
    assert broken[0].startswith("stuck: no batch")


def test_a_node_that_posts_more_than_what_is_late_allows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "batch_length", lambda chunks, _: min(len(chunks), 11))
    _, broken = bridge.run(24, 7)

    assert any(line.startswith(("stuck: INCLUSION", "stuck: TIMESTAMP_BEHIND")) for line in broken)


def test_a_bridge_that_freezes_for_what_is_only_due_freezes_a_node_that_serves(tmp_path: Path) -> None:
    early = compile_without(
        {
            "    return self._due_at(entry_index) + PARAMETERS.window_seconds + PARAMETERS.freeze_grace_seconds\n": (
                "    return self._due_at(entry_index)\n"
            )
        },
        tmp_path,
    )
    summary, broken = bridge.run(8, 7, early)

    assert summary["frozen_while_served"] > 0
    assert broken[0].startswith("frozen: ")
