"""Every code that an order or a request can be refused with, or end by, has a sentence on the page."""

import re
from typing import Final

from prover.stf import codes
from sequencer.dashboard.page import STATIC
from sequencer.engine.effects import Reason
from sequencer.engine.order_book import Stop

# Of ticks, rescues, entries of the queue, fills and parameters: no order and no request of a trader's has them.
OTHERS: Final = {
    *("OK", "MALFORMED", "NO_ORDER", "MISMATCHED", "NOT_CROSSED", "NOT_TRIGGERED", "OFF_GRID", "OLD_TICK", "QUORUM"),
    *("BAD_SIGNERS", "ZERO_PRICE", "REFUNDED", "ACCOUNTS_FULL", "HEALTHY", "INSOLVENT", "NOT_LARGEST"),
    *("TOO_MANY_LOTS", "LIQUIDATION_PRICE", "UNSTEADY", "FUND_LIMIT", "NO_OPPOSITE", "HEAD_UNFINISHED", "NO_HEAD"),
    *("BAD_ENTRY", "FUND_FIRST", "OUT_OF_RANGE", "STEP_LIMIT", "TOO_SOON", "DUPLICATE_SIGNER", "UNSORTED_SIGNERS"),
    *("LIMIT", "FILLED"),
}


def test_each_code_has_a_sentence() -> None:
    told = set(re.findall(r"^  (\w+): \"[A-Z]", (STATIC / "reasons.js").read_text(), re.M))
    law = {name for name, _ in codes.SENTENCE.values()}
    venue = {str(one) for one in (*Reason, *Stop)} | {"voided"}

    assert told == (law | venue) - OTHERS
    assert not OTHERS - (law | venue)
