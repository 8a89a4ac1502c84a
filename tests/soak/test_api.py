"""The campaign over the API: a small one without a fault, and what it finds where handler or document is wrong."""

import pytest

from sequencer.api.methods import markets
from tests.soak import api


def test_every_request_is_answered_and_every_answer_explained() -> None:
    summary, broken = api.run(1_500, 11)

    assert broken == []
    assert (summary["crashes"], summary["unexplained_errors"]) == (0, 0)
    # The law, the types and the shape of a message have each refused, and much was answered.
    assert {"result", "INVALID_PARAMS", "PARSE_ERROR", "TAKER_MARGIN", "NO_ACCOUNT", "USED"} <= set(summary["answers"])


def test_a_handler_that_fails_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(engine: object, market: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(markets, "require_market", failing)
    summary, broken = api.run(300, 12)

    assert summary["crashes"] > 0
    assert broken


def test_an_error_that_the_document_does_not_name_is_not_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.Judge, "_allowed", lambda self, name: {"INVALID_PARAMS"})
    summary, _ = api.run(300, 13)

    assert summary["unexplained_errors"] > 0
