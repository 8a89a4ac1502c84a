"""Deposits under way: from L1's head until they are sequenced, or their block is no more."""

from pathlib import Path

import pytest

from l1_bridge.client.keys import development_key
from l1_bridge.codec.events import Enqueued
from prover.stf import constants
from sequencer.devnet.funding import fund
from sequencer.views.arriving import Arriving
from tests.sequencer.l1.test_following import Follow
from tests.sequencer.l1.test_poster import site
from tests.sequencer.node_world import DOLLAR, FIRST, deposit, leave, owner


def entered(index: int, operation: bytes) -> Enqueued:
    """An entry of the queue."""
    return Enqueued(index, b"", 1_000 + index, 0, operation)


def arriving(*blocks: int, most: int = 10) -> Arriving:
    """A deposit of so many dollars in each block, to two owners in turn."""
    found = Arriving(most)
    for index, block in enumerate(blocks):
        found.add(block, entered(index, deposit(owner(index % 2), (index + 1) * DOLLAR)))
    return found


def indexes(found: Arriving, of: int = 0, account: int | None = None) -> list[int]:
    return [arrival.index for arrival in found.of(owner(of), account)]


def test_each_owner_has_his_own_in_their_order() -> None:
    found = arriving(5, 5, 6, 7)
    assert (indexes(found), indexes(found, 1), indexes(found, 2)) == ([0, 2], [1, 3], [])
    first = next(found.of(owner(0)))
    assert (first.block, first.entered_at, first.deposit.amount) == (5, 1_000, DOLLAR)


def test_what_is_given_to_an_account_is_found_by_it() -> None:
    found = arriving()
    found.add(5, entered(0, deposit(owner(3), DOLLAR, constants.insurance_account(0))))
    assert (indexes(found, 9), indexes(found, 9, constants.insurance_account(0))) == ([], [0])


def test_what_was_sequenced_and_what_is_no_more_is_gone() -> None:
    found = arriving(5, 5, 6, 7)
    found.drop(1)
    assert (indexes(found), indexes(found, 1)) == ([2], [1, 3])
    found.revert(7)
    assert (indexes(found), indexes(found, 1)) == ([2], [1])
    # The other branch has it in another block.
    found.add(8, entered(3, deposit(owner(0), DOLLAR)))
    assert indexes(found) == [2, 3]
    found.revert(0)
    assert (indexes(found), indexes(found, 1)) == ([], [])


def test_other_entries_are_none_and_the_list_is_bounded() -> None:
    found = arriving(5, most=2)
    found.add(5, entered(1, leave(1, FIRST, owner(0))))
    found.add(5, entered(2, deposit(owner(0), DOLLAR)))
    found.add(5, entered(3, deposit(owner(0), DOLLAR)))
    assert indexes(found) == [0, 2]
    found.drop(1)
    found.add(5, entered(4, deposit(owner(0), DOLLAR)))
    assert indexes(found) == [2, 4]


@pytest.mark.trio
async def test_a_deposit_is_under_way_from_its_block_until_it_is_credited(tmp_path: Path) -> None:
    async with site() as here:
        await here.client.call("anvil_mine", ["0x4"])
        node, contracts = Follow(here, tmp_path / "c"), (here.deployment.token, here.deployment.bridge)
        await fund(here.client, development_key(3), *contracts, [(owner(1), 10 * DOLLAR)])
        newest = await here.client.newest_block()
        await node.following.catch_up()
        (arrival,) = node.view.arriving.of(owner(1))
        assert (arrival.block, arrival.deposit.amount, node.is_credited) == (newest.number, 10 * DOLLAR, False)
        assert node.view.arriving.final < arrival.block
        await here.client.call("anvil_mine", ["0x4"])
        await node.following.catch_up()
        assert node.is_credited
        assert node.view.arriving.final >= arrival.block
        node.view.arriving.drop(here.world.engine.view.commitment.queue_taken)
        assert list(node.view.arriving.of(owner(1))) == []
