"""An entry of the L1 queue alone in a chunk: whatever it says, it is answered, and the queue goes on.

The smallest batch there is must be able to serve the next entry, or one entry is enough to freeze the bridge.
"""

import pytest

from prover.stf import codes as c
from prover.stf import constants
from prover.stf.replay import KINDS, is_entry
from tests.attacks.test_law_witness import garbage, trader_state
from tests.twins import venue

ENTRIES = [tag for tag in sorted(KINDS) if is_entry(tag)]


def test_every_kind_of_entry_is_tried() -> None:
    assert {constants.DEPOSIT, constants.FORCED_RESCUE, constants.LEAVE, constants.SET_VENUE} <= set(ENTRIES)


@pytest.mark.parametrize("tag", ENTRIES)
def test_it_fits_into_an_empty_chunk(tag: int) -> None:
    kind = KINDS[tag]
    assert kind.weight <= constants.MAX_WEIGHT
    assert kind.accounts <= constants.MAX_ACCOUNT_REFERENCES
    assert kind.slots <= constants.MAX_SLOT_REFERENCES


@pytest.mark.parametrize("tag", ENTRIES)
def test_nonsense_is_consumed_with_a_code(tag: int) -> None:
    for seed in range(12):
        state = trader_state()
        outcome = venue.run_body(state, venue.body_of([garbage(tag, seed)]))

        assert len(outcome.codes) == 1
        assert outcome.codes[0] not in (c.FULL, c.MALFORMED)
        assert state.commitment.queue_count == 1, c.SENTENCE[outcome.codes[0]][0]
