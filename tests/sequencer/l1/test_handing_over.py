"""A seat goes to the successor when all that was taken is on L1, and not before."""

from typing import Any
from unittest.mock import patch

import pytest
import structlog
import trio

from l1_bridge.client.errors import L1Reverted
from l1_bridge.client.keys import Signer, development_key
from l1_bridge.codec import calls
from sequencer.l1.handing_over import CannotHandOver, HandOver
from sequencer.sequencing.admission import Taking
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.l1.test_poster import OPERATOR, Site, site

pytestmark = pytest.mark.trio


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


BOND_WEI = 20 * 10**18
SUCCESSOR = development_key(1)


class Queue:
    """A sequencer of which a hand-over needs nothing but the seal."""

    def __init__(self, here: Site) -> None:
        self.engine = here.world.engine
        self._here = here

    async def submit(self, operation: bytes) -> None:
        """Seals."""
        assert operation == b""
        self._here.world.seal()


def hand_over(here: Site, signer: Signer = OPERATOR) -> HandOver:
    """That of the site's operator, or of whoever says that he is."""
    queue: Any = Queue(here)
    return HandOver(here.client, signer, here.deployment.bridge, queue, here.view, BOND_WEI)


async def bonded(here: Site) -> None:
    """Bond 2 is the successor's."""
    data = calls.encode_call("bond_ahead", "http://next", 1)
    await here.client.send(SUCCESSOR, here.deployment.bridge, data, value=BOND_WEI, gas=600_000)


async def test_it_waits_until_all_is_on_l1() -> None:
    async with site() as here, trio.open_nursery() as nursery:
        await bonded(here)
        here.seal(2)
        leaving = hand_over(here)
        done = []

        async def leave() -> None:
            done.append(await leaving.run(2))

        nursery.start_soon(leave)
        while not leaving.reasons:
            await trio.sleep(0.01)
        assert [(reason.code, reason.taking) for reason in leaving.reasons] == [("HANDING_OVER", Taking.NOTHING)]
        await trio.sleep(0.3)
        assert (await here.poster.seat()).holder == OPERATOR.address
        assert await here.poster.post_once()
        await here.follow()
        while not done:
            await trio.sleep(0.01)
        assert (await here.poster.seat()).holder == SUCCESSOR.address
        assert (done[0].successor, done[0].bond_id, done[0].chunks) == (SUCCESSOR.address, 2, 2)
        assert done[0].root == here.world.engine.state.root


async def test_what_the_bridge_would_not_seat_stops_nothing() -> None:
    async with site() as here:
        leaving = hand_over(here)
        for bond_id, sentence in ((1, "its own bond"), (2, "is not whole"), (10**9, "is not whole")):
            with pytest.raises(CannotHandOver, match=sentence):
                await leaving.run(bond_id)
        await bonded(here)
        for_another = calls.encode_call("bond_ahead", "http://elsewhere", 2)
        await here.client.send(SUCCESSOR, here.deployment.bridge, for_another, value=BOND_WEI, gas=600_000)
        with pytest.raises(CannotHandOver, match="bond 3 was put up ahead of bond 2, and this seat's is 1"):
            await leaving.run(3)
        stranger = hand_over(here, SUCCESSOR)
        with pytest.raises(CannotHandOver, match="not this node's to give"):
            await stranger.run(2)
        assert leaving.reasons == ()
        await leaving.check(2)
        taken_home = calls.encode_call("withdraw_bond", 2)
        await here.client.send(SUCCESSOR, here.deployment.bridge, taken_home, gas=600_000)
        with pytest.raises(CannotHandOver, match="is not whole"):
            await leaving.check(2)


@pytest.mark.parametrize("is_posted", [True, False])
async def test_a_bond_that_goes_away_ends_the_hand_over_and_all_is_taken_again(
    is_posted: bool, quiet: list[dict[str, Any]]
) -> None:
    async with site() as here:
        await bonded(here)
        here.seal(1)
        assert await here.poster.post_once()
        await here.follow()
        leaving = hand_over(here)
        with (
            patch.object(leaving._sequencer, "submit", withdrawn(here, is_posted)),
            trio.fail_after(PATIENCE_SECONDS),
            pytest.raises(CannotHandOver, match="bond 2 is not whole"),
        ):
            await leaving.run(2)
        assert leaving.reasons == ()
        assert (await here.poster.seat()).holder == OPERATOR.address
        assert [line["bond_id"] for line in quiet if line["event"] == "seat.not_handed_over"] == [2]


def withdrawn(here: Site, is_posted: bool) -> Any:
    """The last input, behind which the successor takes his bond home; not posted, it leaves a chunk that never is."""

    async def submit(operation: bytes) -> None:
        taken_home = calls.encode_call("withdraw_bond", 2)
        await here.client.send(SUCCESSOR, here.deployment.bridge, taken_home, gas=600_000)
        if not is_posted:
            here.seal(1)

    return submit


async def test_a_seat_that_has_changed_hands_unheard_is_handed_over() -> None:
    async with site() as here:
        await bonded(here)
        leaving = hand_over(here)
        data = calls.encode_call("hand_over", 2)
        await here.client.send(OPERATOR, here.deployment.bridge, data, gas=300_000)
        with trio.fail_after(PATIENCE_SECONDS):
            assert await leaving._named(2) <= (await here.client.newest_block()).number


async def test_a_seat_that_changes_hands_while_l1_is_asked_is_handed_over() -> None:
    async with site() as here:
        await bonded(here)
        leaving = hand_over(here)
        check = leaving.check

        async def slow(bond_id: int) -> bytes:
            data = calls.encode_call("hand_over", bond_id)
            await here.client.send(OPERATOR, here.deployment.bridge, data, gas=300_000)
            return await check(bond_id)

        with patch.object(leaving, "check", slow):
            assert await leaving._block_of(2) == (await here.client.newest_block()).number


@pytest.mark.parametrize(("word", "is_refused"), [("WAS_LATE", True), ("WORK_OWED", True), ("NOT_AHEAD", False)])
async def test_who_was_late_or_owes_hands_over_later_and_stops_nothing_until_then(word: str, is_refused: bool) -> None:
    async with site() as here:
        await bonded(here)
        leaving = hand_over(here)
        with patch.object(here.client, "eth_call", refusing(here, word, behind=0)):
            if is_refused:
                with pytest.raises(CannotHandOver, match="served late"):
                    await leaving.run(2)
                assert leaving.reasons == ()
            else:
                # What else it says now ends with what is posted before it goes.
                assert await leaving.check(2) == SUCCESSOR.address


async def test_what_is_owed_only_when_all_is_posted_ends_it_and_all_is_taken_again() -> None:
    """Served, it was served late: nothing would be taken for an hour."""
    async with site() as here:
        await bonded(here)
        leaving = hand_over(here)
        refused = patch.object(here.client, "eth_call", refusing(here, "WORK_OWED", behind=1))
        with refused, trio.fail_after(60), pytest.raises(CannotHandOver, match="is owed"):
            await leaving.run(2)
        assert leaving.reasons == ()


def refusing(here: Any, word: str, behind: int) -> Any:
    """The client's eth_call, to which the bridge refuses to hand over behind so many times that it was asked."""
    ask, asked, times = here.client.eth_call, calls.encode_call("hand_over", 2), [behind]

    async def refused(to: bytes, data: bytes, *given: Any, **named: Any) -> bytes:
        if data == asked:
            times[0] -= 1
            if times[0] < 0:
                raise L1Reverted(word)
        return await ask(to, data, *given, **named)

    return refused
