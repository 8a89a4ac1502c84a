"""Deposits under way, in the words of the API."""

import pytest

from l1_bridge.codec.events import Enqueued
from prover.stf import constants
from sequencer.api.rpc.errors import CallError
from sequencer.l1.following import DEVNET_FINALITY_BLOCKS
from tests.sequencer.desk import Desk
from tests.sequencer.node_world import DEPOSITOR, DOLLAR, FIRST, deposit, owner

pytestmark = pytest.mark.trio


async def test_a_deposit_is_told_with_its_blocks_until_it_is_sequenced(desk: Desk) -> None:
    taken = desk.venue.engine.view.commitment.queue_taken
    given = [deposit(owner(0), 7 * DOLLAR, FIRST), deposit(owner(0), 8 * DOLLAR), deposit(owner(1), 9 * DOLLAR)]
    for place, operation in enumerate(given):
        desk.view.take(10 + place, Enqueued(taken + place, b"", 1_800_000_000 + place, 0, operation))
    desk.view.block, desk.view.arriving.final = 12, 10
    first, second = (
        {
            "index": taken + place,
            "depositor": "0x" + DEPOSITOR.hex(),
            "owner": "0x" + owner(0).hex(),
            "account": FIRST if place == 0 else None,
            "amount_micros": str((7 + place) * DOLLAR),
            "l1_block": 10 + place,
            "confirmations": 3 - place,
            "entered_at_ms": (1_800_000_000 + place) * 1_000,
            "is_final": place == 0,
        }
        for place in range(2)
    )
    told = {"l1_block": 12, "confirmations_needed": DEVNET_FINALITY_BLOCKS + 1, "deposits": [first, second]}
    assert await desk.ask("catenary_deposits", owner="0x" + owner(0).hex()) == told
    assert await desk.ask("catenary_deposits", account=FIRST) == told
    assert (await desk.venue.submit(given[0])).code == 0
    assert (await desk.ask("catenary_deposits", account=FIRST))["deposits"] == [second]
    assert (await desk.ask("catenary_transfers", account=FIRST))["transfers"][0]["amount_micros"] == str(7 * DOLLAR)
    # Its block is no more.
    desk.view.arriving.revert(11)
    assert (await desk.ask("catenary_deposits", account=FIRST))["deposits"] == []


async def test_funds_are_found_by_their_account_and_nobody_by_nothing(desk: Desk) -> None:
    taken, fund = desk.venue.engine.view.commitment.queue_taken, constants.insurance_account(0)
    desk.view.take(10, Enqueued(taken, b"", 1_800_000_000, 0, deposit(owner(4), DOLLAR, fund)))
    assert [each["account"] for each in (await desk.ask("catenary_deposits", account=fund))["deposits"]] == [fund]
    with pytest.raises(CallError, match="an account or an owner"):
        await desk.ask("catenary_deposits")
