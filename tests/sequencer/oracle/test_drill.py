"""Signers fall silent and come back: the drill that `catenary oracle --drill` plays, against a node's real API."""

from pathlib import Path

import pytest
import trio
import trio.testing

from sequencer.devnet.signing_account import SigningAccount
from sequencer.oracle.drill import Desk, Finding, NoTick, Probes, drill
from tests.sequencer.node_world import DOLLAR, DOMAIN, deposit, key, owner
from tests.sequencer.oracle_world import OracleWorld, signer, trio_clock_ms

# Above what a journal's sync takes: the clock should not jump while a thread is at work.
AUTOJUMP_SECONDS = 0.02


async def opened_desk(world: OracleWorld) -> Desk:
    """Two funded traders; a deposit goes straight to the venue, as from the L1 queue."""
    traders = []
    for number in range(2):
        outcome = await world.venue.submit(deposit(owner(number), 10_000 * DOLLAR))
        assert outcome.account is not None
        traders.append(SigningAccount(key(number), DOMAIN, trio_clock_ms, outcome.account))

    async def deposited() -> None:
        assert (await world.venue.submit(deposit(owner(2), DOLLAR))).code == 0

    return Desk(world.client(), traders[0], traders[1], deposited, trio_clock_ms)


def test_the_outage_drill_holds(tmp_path: Path) -> None:
    findings = trio.run(_drill, tmp_path, 7, clock=trio.testing.MockClock(autojump_threshold=AUTOJUMP_SECONDS))
    going, stale = Probes("OK", "OK", "OK", "OK"), Probes("STALE", "STALE", "OK", "OK")
    assert findings == [
        Finding("all speak", 7, 2, going, True),
        Finding("two silent", 5, 2, going, True),
        Finding("three silent", 4, 0, stale, True),
        Finding("all back", 7, 2, going, True),
    ]


def test_the_drill_says_where_signers_are_not_the_nodes(tmp_path: Path) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(NoTick), flatten_subgroups=True):
        trio.run(_drill, tmp_path, 4, clock=trio.testing.MockClock(autojump_threshold=AUTOJUMP_SECONDS))


async def _drill(directory: Path, signer_count: int) -> list[Finding]:
    async with trio.open_nursery() as nursery:
        world = OracleWorld(directory)
        await world.start(nursery)
        desk = await opened_desk(world)
        findings = await drill(
            [signer(index, [world.client()]) for index in range(signer_count)], desk, patience_seconds=15
        )
        nursery.cancel_scope.cancel()
    return findings
