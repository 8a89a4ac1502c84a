"""A seat that L1 took back is taken again where its bond was never put up, and nowhere else; on a simulated clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
import structlog
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import Signer, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import calls
from sequencer.l1.postable import Reason
from sequencer.l1.poster import Clocks, Poster, SeatTaken
from sequencer.l1.seating import WORD, Seating, SeatLost, forget_word
from tests.l1_bridge.simulated_l1 import SimulatedL1
from tests.l1_bridge.weather import Weather, WeatherTransport
from tests.sequencer.node_world import World
from tests.soak.weather_scene import CHAIN_ID, OPERATOR, Rollup

CLOCKS = Clocks(lambda: 0)

BLOCK_SECONDS = 2
OTHER = development_key(7)


class Chain:
    """A simulated L1 that mines, and the seat of the operator's node on it."""

    def __init__(self) -> None:
        self.rollup = Rollup()
        self._started = trio.current_time()
        self.l1 = SimulatedL1(lambda: trio.current_time() - self._started, self.rollup.evm, (), CHAIN_ID)
        self.l1.found(self.rollup.creation, self.rollup.logs)
        self.client = self._client()
        self.since: list[int] = []
        self.codes: list[str] = []
        # A devnet that makes a block for a transaction alone.
        self.is_quiet = False
        self._engine = World(domain=self.rollup.deployment.domain).engine
        poster = Poster(self.client, OPERATOR, self.rollup.deployment, self._engine, CLOCKS)
        self.seating = Seating(
            self.client, poster, self.since.append, lambda: [Reason(code, "") for code in self.codes]
        )

    def restarted(self, key: Signer = OPERATOR) -> Seating:
        """A key's seating in a new process."""
        poster = Poster(self._client(), key, self.rollup.deployment, self._engine, CLOCKS)
        return Seating(self.client, poster, self.since.append, lambda: [])

    def _client(self) -> L1Client:
        async def ask(content: bytes) -> bytes:
            return self.l1.respond(content)

        # No randomness is asked where there is no fault.
        random: Any = None
        clear = Weather(random, [], trio.current_time)
        return L1Client("http://l1", L1Options(poll_seconds=1), transport=WeatherTransport(clear, ask))

    async def mine(self) -> None:
        """Blocks, and what each says of the seat is heard."""
        while True:
            await trio.sleep(BLOCK_SECONDS)
            if self.is_quiet and not any(self.l1.pool.values()):
                continue
            self.l1.mine()
            self.seating.hear(await self.client.newest_block(), self.seat)

    @property
    def seat(self) -> calls.Seat:
        """Who has it."""
        return calls.decode_record(calls.Seat, self.rollup.view("seat"))

    @property
    def bonds(self) -> int:
        """How many were put up."""
        return int.from_bytes(self.rollup.view("bond_count"), "big")

    async def call(self, name: str, *arguments: int | str, signer: Any = OPERATOR, value: int = 0) -> None:
        """Somebody's call of the bridge, by a client that the node's sender does not know."""
        data = calls.encode_call(name, *arguments)
        await self._client().send(signer, self.rollup.deployment.bridge, data, value=value, gas=600_000)

    async def lose(self, depth: int) -> None:
        """A reorganisation that forgets what it took, seen from the height that was reached before."""
        self.l1.reorganise(depth, keeps=lambda _: False)
        await trio.sleep(20 * BLOCK_SECONDS)


@contextmanager
def on_chain(play: Any) -> Iterator[list[str]]:
    """Plays it on a clock that jumps; the events that were told of the seat."""

    async def main() -> None:
        chain = Chain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chain.mine)
            nursery.start_soon(chain.seating.run)
            await play(chain)
            nursery.cancel_scope.cancel()

    with structlog.testing.capture_logs() as lines:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    yield [line["event"] for line in lines if line["event"].startswith("seat.")]


def test_a_seat_that_a_reorganisation_took_is_taken_again_once() -> None:
    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", True)
        first = chain.seat
        assert (first.holder, chain.bonds) == (OPERATOR.address, 1)
        for _ in range(2):
            await chain.lose(chain.l1.head.number)
            assert (chain.seat.holder, chain.bonds) == (OPERATOR.address, 1)
        assert chain.since[0] == first.taken_at * 1_000 < chain.seat.taken_at * 1_000 == chain.since[-1]
        # What a reorganisation leaves in its place costs nothing either.
        chain.l1.reorganise(1)
        await trio.sleep(20 * BLOCK_SECONDS)
        assert chain.bonds == 1

    with on_chain(play) as told:
        assert told.count("seat.taken_back") == told.count("seat.taken") - 1 == 2


def test_an_earlier_bond_of_the_same_key_is_not_taken_for_it() -> None:
    async def play(chain: Chain) -> None:
        bond_wei = calls.decode_record(calls.Parameters, chain.rollup.view("parameters")).bond_wei
        await chain.call("bond_ahead", "http://before", 0, value=bond_wei)
        at = chain.l1.head.number
        await chain.seating.take("http://here", True)
        assert chain.bonds == 2
        await chain.lose(chain.l1.head.number - at)
        assert (chain.seat.bond_id, chain.bonds) == (2, 2)

    with on_chain(play) as told:
        assert "seat.taken_back" in told


@pytest.mark.parametrize("is_home", [False, True])
def test_where_the_bond_was_put_up_no_second_one_is(is_home: bool) -> None:
    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", True)
        await chain.call("resign", chain.l1.head.timestamp + 20)
        await trio.sleep(20 * BLOCK_SECONDS)
        assert chain.seat.bond_id == 0
        bond_wei = calls.decode_record(calls.Parameters, chain.rollup.view("parameters")).bond_wei
        assert await chain.seating._poster.bonded() == (bond_wei, 0)
        if is_home:
            await chain.call("withdraw_bond", 1)
            assert await chain.seating._poster.bonded() == (0, 0)
        await trio.sleep(100 * BLOCK_SECONDS)
        assert (chain.seat.bond_id, chain.bonds) == (0, 1)
        # A reorganisation of something else changes nothing about it.
        await chain.lose(1)
        assert (chain.seat.bond_id, chain.bonds) == (0, 1)

    with on_chain(play) as told:
        assert told == ["seat.taken", "seat.lost"]


def test_a_restart_alone_puts_up_no_second_bond(tmp_path: Path) -> None:
    word = tmp_path / WORD

    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", True, word)
        # However often it comes up while it sits, and where a reorganisation took the seat meanwhile.
        await chain.restarted().take("http://here", True, word)
        chain.codes = ["OTHER_QUEUE"]
        await chain.lose(chain.l1.head.number)
        assert (chain.seat.bond_id, chain.bonds) == (0, 0)
        await chain.restarted().take("http://here", True, word)
        assert (chain.seat.holder, chain.bonds) == (OPERATOR.address, 1)
        await chain.call("resign", chain.l1.head.timestamp + 20)
        await trio.sleep(20 * BLOCK_SECONDS)
        for _ in range(2):
            with pytest.raises(SeatLost, match="bond-again"):
                await chain.restarted().take("http://here", True, word)
        assert (chain.seat.bond_id, chain.bonds) == (0, 1)
        assert forget_word(tmp_path)
        assert not forget_word(tmp_path)
        await chain.restarted().take("http://here", True, word)
        assert (chain.seat.holder, chain.bonds) == (OPERATOR.address, 2)

    with on_chain(play):
        pass


@pytest.mark.parametrize("key", [OPERATOR, OTHER])
def test_a_seat_whose_time_has_come_is_taken_where_no_block_says_so(tmp_path: Path, key: Signer) -> None:
    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", False)
        opens_at = chain.l1.head.timestamp + 20
        await chain.call("resign", opens_at)
        chain.is_quiet = True
        await trio.sleep(10)
        assert chain.l1.head.timestamp < opens_at
        # Not before: to its holder it is his own, to anybody else another's.
        early = chain.restarted(key)
        if key is OPERATOR:
            await early.take("http://here", True, tmp_path / "early.json")
        else:
            with pytest.raises(SeatTaken):
                await early.take("http://here", True, tmp_path / "early.json")
        await trio.sleep(20)
        assert (chain.bonds, chain.l1.head.timestamp < opens_at) == (1, True)
        await chain.restarted(key).take("http://here", True, tmp_path / WORD)
        assert (chain.seat.holder, chain.bonds, chain.l1.head.timestamp >= opens_at) == (key.address, 2, True)
        assert chain.since[-1] == chain.seat.taken_at * 1_000

    with on_chain(play):
        pass


def test_a_bond_that_was_never_put_up_is_by_the_next_start_and_a_word_that_cannot_be_read_by_none(
    tmp_path: Path,
) -> None:
    word = tmp_path / WORD

    async def play(chain: Chain) -> None:
        async def killed(endpoint_url: str) -> None:
            raise L1Unavailable("the process ends here")

        with patch.object(chain.seating._poster, "take_seat", killed), pytest.raises(L1Unavailable):
            await chain.seating.take("http://here", True, word)
        kept = word.read_bytes()
        word.write_bytes(kept[:-1])
        with pytest.raises(SeatLost, match="cannot be read"):
            await chain.restarted().take("http://here", True, word)
        assert chain.bonds == 0
        word.write_bytes(kept)
        await chain.restarted().take("http://here", True, word)
        assert (chain.seat.holder, chain.bonds, word.read_bytes()) == (OPERATOR.address, 1, kept)
        # Who sits puts nothing up: a start of his is not stopped by it, and mends nothing either.
        word.write_bytes(kept[:-1])
        await chain.restarted().take("http://here", True, word)
        assert (chain.bonds, word.read_bytes()) == (1, kept[:-1])
        word.write_bytes(kept)
        # Of another key, as in a datadir that was handed over, it says nothing of this one.
        word.write_bytes(kept.replace(OPERATOR.address.hex().encode(), OTHER.address.hex().encode()))
        other = word.read_bytes()
        await chain.restarted().take("http://here", True, word)
        assert (chain.bonds, word.read_bytes()) == (1, other[:-1] + b"," + kept[1:])

    with on_chain(play):
        pass


def test_a_slashed_bond_is_followed_by_none() -> None:
    """Whatever the bridge says beside it: an earlier bond that L1 took back makes the count no smaller."""

    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", True)
        (whole,) = await chain.seating._poster.bonds(chain.l1.head.number)
        slashed = msgspec.structs.replace(whole, slashed=True)

        async def told(block: int) -> list[calls.Bond]:
            return [slashed]

        chain.seating._earlier = 1, 0
        with patch.object(chain.seating._poster, "bonds", told):
            # What is left of it waits for a proof, and comes home to nobody.
            assert await chain.seating._poster.bonded() == (0, whole.amount_wei)
            await chain.lose(chain.l1.head.number)
        assert (chain.seat.bond_id, chain.bonds) == (0, 0)

    with on_chain(play) as told:
        assert told == ["seat.taken", "seat.lost"]


def test_nobody_who_was_not_told_to_takes_it_again() -> None:
    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", False)
        await chain.lose(chain.l1.head.number)
        assert (chain.seat.bond_id, chain.bonds) == (0, 0)

    with on_chain(play) as told:
        assert told == ["seat.taken"]


@pytest.mark.parametrize("code", ["OTHER_QUEUE", "OTHER_HISTORY", "HANDING_OVER", "OVERDUE"])
def test_no_bond_is_put_up_where_nothing_could_be_posted(code: str) -> None:
    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", True)
        chain.codes = [code]
        await chain.lose(chain.l1.head.number)
        assert chain.bonds == 0
        chain.codes = ["SEAT_OPEN", "OLD_PRICES"]
        await trio.sleep(10 * BLOCK_SECONDS)
        assert (chain.seat.holder, chain.bonds) == (OPERATOR.address, 1)

    with on_chain(play) as told:
        assert told == ["seat.taken", "seat.taken_back", "seat.taken"]


def test_a_seat_that_is_somebody_elses_by_then_stays_his() -> None:
    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", True)
        bond_wei = calls.decode_record(calls.Parameters, chain.rollup.view("parameters")).bond_wei
        chain.codes = ["OTHER_QUEUE"]
        await chain.lose(chain.l1.head.number)
        await chain.call("take_seat", "http://there", signer=OTHER, value=bond_wei)
        chain.codes = []
        await trio.sleep(20 * BLOCK_SECONDS)
        assert (chain.seat.holder, chain.bonds) == (OTHER.address, 1)
        with pytest.raises(SeatTaken):
            await chain.seating.take("http://here", True)

    with on_chain(play):
        pass


def test_what_a_node_says_of_an_earlier_block_is_old_and_not_other() -> None:
    async def play(chain: Chain) -> None:
        before = await chain.client.newest_block()
        await chain.seating.take("http://here", True)
        await trio.sleep(2 * BLOCK_SECONDS)
        empty = calls.Seat(bytes(20), 0, 0, 0)
        chain.seating.hear(before, empty)
        await chain.seating.look()
        assert chain.bonds == 1

    with on_chain(play) as told:
        assert told == ["seat.taken"]


def test_what_was_heard_before_a_bond_was_put_up_puts_up_no_other() -> None:
    async def play(chain: Chain) -> None:
        # Nobody tells this one of new blocks.
        seating = Seating(chain.client, chain.seating._poster, chain.since.append, lambda: [])
        before = await chain.client.newest_block()
        empty = calls.Seat(bytes(20), 0, 0, 0)
        await seating.take("http://here", True)
        seating.hear(before, empty)
        await seating.look()
        await chain.lose(chain.l1.head.number)
        seating.hear(await chain.client.newest_block(), empty)
        await seating.look()
        await chain.call("resign", chain.l1.head.timestamp + 20)
        await trio.sleep(20 * BLOCK_SECONDS)
        assert (chain.seat.bond_id, chain.bonds) == (0, 1)
        await seating.look()
        assert (chain.seat.bond_id, chain.bonds) == (0, 1)

    with on_chain(play) as told:
        assert told == ["seat.taken", "seat.taken_back", "seat.taken"]


def test_bonds_of_others_are_asked_for_until_they_are_final() -> None:
    async def play(chain: Chain) -> None:
        poster = chain.seating._poster
        await chain.seating.take("http://here", True)
        bond_wei = calls.decode_record(calls.Parameters, chain.rollup.view("parameters")).bond_wei
        for bond_id in (2, 3):
            await chain.call("bond_ahead", "http://there", 1, signer=OTHER, value=bond_wei)
            await chain.call("withdraw_bond", bond_id, signer=OTHER)
        asked = []
        eth_call = chain.client.eth_call

        async def counted(to: bytes, data: bytes, *rest: Any) -> bytes:
            asked.append(data)
            return await eth_call(to, data, *rest)

        bridge, count = chain.rollup.deployment.bridge, calls.encode_call("bond_count")
        final = chain.l1.at("finalized")
        assert final is not None
        with patch.object(chain.client, "eth_call", counted):
            for final_bonds, wanted in ((1, 3), (1, 3), (2, 3), (2, 2), (3, 2), (3, 1)):
                asked.clear()
                final.views[bridge, count] = final_bonds.to_bytes(32, "big")
                assert [bond.amount_wei for bond in await poster.bonds(chain.l1.head.number)] == [bond_wei]
                assert sum(data[:4] == calls.encode_call("bond", 1)[:4] for data in asked) == wanted

    with on_chain(play):
        pass


def test_the_words_of_all_keys_are_remembered_and_bounded(tmp_path: Path) -> None:
    """Else whoever starts another key in between lets the first put up a second bond."""
    word = tmp_path / WORD

    async def play(chain: Chain) -> None:
        await chain.seating.take("http://here", True, word)
        first = word.read_bytes()
        await chain.call("resign", chain.l1.head.timestamp + 20)
        await trio.sleep(20 * BLOCK_SECONDS)
        await chain.restarted(OTHER).take("http://there", True, word)
        assert (chain.seat.holder, chain.bonds) == (OTHER.address, 2)
        await chain.call("resign", chain.l1.head.timestamp + 20, signer=OTHER)
        await trio.sleep(20 * BLOCK_SECONDS)
        for key in (OPERATOR, OTHER):
            with pytest.raises(SeatLost, match="bond-again"):
                await chain.restarted(key).take("http://here", True, word)
        words = msgspec.json.decode(first)
        word.write_bytes(msgspec.json.encode([{**words[0], "holder": f"{number:040x}"} for number in range(64)]))
        with pytest.raises(SeatLost, match="remembers 64"):
            await chain.restarted().take("http://here", True, word)
        assert chain.bonds == 2

    with on_chain(play):
        pass
