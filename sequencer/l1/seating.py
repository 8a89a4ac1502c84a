"""The seat that an operator asked for: taken at the start, and again where L1 took back that it ever was.

Invariant: for one word of the operator's one bond stands at most, across restarts too: which bonds there were before is
written beside the state before one is put up. Whether it was is what the bridge says at the head that the node follows,
never a receipt's memory: where it stands, was slashed, given up or taken home, a second one is not put up.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.values import Block
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import ArtifactError
from l1_bridge.files import replace_file
from sequencer.l1.handing_over import HANDING_OVER
from sequencer.l1.postable import Reason
from sequencer.l1.poster import Poster, SeatTaken

# Within the datadir.
WORD: Final = "take-seat.json"
_SAID_AGAIN: Final = "another one is after `catenary seat bond-again` alone, by a start with --take-seat"
_LOOK_SECONDS: Final = 1.0
# Keys and bridges of whose words one datadir knows; nobody has so many.
_MOST_WORDS: Final = 64
# While one of these stands a bond would be put up for a seat from which nothing could be posted.
_AGAINST: Final = frozenset(
    (
        *("OTHER_HISTORY", "SECOND_NODE", "OTHER_QUEUE", "OTHER_SEAT", "FROZEN", "NO_BRIDGE", "UNREAD", "OVERDUE"),
        HANDING_OVER,
    )
)


class SeatLost(Exception):
    """The bond of the operator's word was put up, and the seat is open again."""


class _Word(msgspec.Struct, frozen=True):
    """That a key shall take the seat of a bridge; how many bonds it had put up before, and how many were slashed."""

    bridge: str
    holder: str
    bonds: int
    slashed: int


class Seating:
    """The seat of one key, for as long as its node runs."""

    def __init__(
        self,
        client: L1Client,
        poster: Poster,
        seated: Callable[[int], None],
        reasons: Callable[[], Iterable[Reason]],
    ) -> None:
        """seated: hears since when this key sits, in milliseconds of L1's clock. reasons: those that stand."""
        self._client = client
        self._poster = poster
        self._seated = seated
        self._reasons = reasons
        self._url = ""
        self._is_wanted = self._is_given_up = False
        # How many bonds of this key were there before the one that is asked for, and how many of those were slashed.
        self._earlier = (0, 0)
        self._heard: tuple[Block, calls.Seat] | None = None
        # The highest block at which somebody sat: what a node says of an earlier one is old, and not other.
        self._held_at = 0
        self._taken_at = 0
        self._told: str = ""
        self._log = structlog.get_logger("seat")

    async def take(self, endpoint_url: str, is_wanted: bool, word: Path | None = None) -> None:
        """Takes an open seat, unless this key holds it. SeatTaken, SeatLost, L1Error, OSError.

        is_wanted: whether the operator asked for it, so that it is taken again where L1 takes it back.
        word: the file that remembers his word across restarts; None for one that only a new rollup can hear.
        """
        block = await self._client.newest_block()
        bonds = await self._poster.bonds(block.number)
        is_ours = (await self._poster.seat()).holder == self._poster.operator
        fresh = len(bonds) - (is_ours and len(bonds) > 0), sum(bond.slashed for bond in bonds)
        self._earlier = fresh if word is None else self._said(word, fresh, is_ours)
        if not is_ours and self._was_put_up(bonds):
            raise SeatLost(f"its bond was put up and is not in the seat any more: {_SAID_AGAIN}")
        await self._put_up(endpoint_url)
        self._url, self._is_wanted = endpoint_url, is_wanted
        self._seats(await self._poster.seat())

    def _said(self, word: Path, fresh: tuple[int, int], is_ours: bool) -> tuple[int, int]:
        """What was there when the operator said his word: of an earlier run where there was one, else now. SeatLost."""
        bridge, holder = self._poster.bridge.hex(), self._poster.operator.hex()
        try:
            words = _words(word)
        except SeatLost as error:
            if not is_ours:
                raise
            # Who sits puts nothing up. It stays as it is, for a start that would.
            self._log.warning("seat.word_unread", why=str(error))
            return fresh
        for kept in words:
            if (kept.bridge, kept.holder) == (bridge, holder):
                return kept.bonds, kept.slashed
        if len(words) < _MOST_WORDS:
            replace_file(word, msgspec.json.encode([*words, _Word(bridge, holder, *fresh)]), is_synced=True)
        elif not is_ours:
            # None is let go of: its key's next start would put up another bond.
            raise SeatLost(f"{word} remembers {_MOST_WORDS} bonds of other keys, the most: {_SAID_AGAIN}")
        return fresh

    def _was_put_up(self, bonds: list[calls.Bond]) -> bool:
        earlier, slashed = self._earlier
        return len(bonds) > earlier or sum(bond.slashed for bond in bonds) > slashed

    def hear(self, block: Block, seat: calls.Seat) -> None:
        """What the bridge says of the seat at a new block."""
        self._heard = block, seat
        if seat.bond_id:
            self._held_at = max(self._held_at, block.number)
        if self._is_wanted and seat.holder == self._poster.operator:
            self._is_given_up = seat.handover_at > 0
            self._seats(seat)

    def _seats(self, seat: calls.Seat) -> None:
        if seat.taken_at != self._taken_at:
            self._taken_at = seat.taken_at
            self._seated(seat.taken_at * 1_000)

    async def run(self) -> None:
        """Looks for ever; trouble with L1 is one line, and the next look."""
        while True:
            try:
                await self.look()
            except (L1Error, ArtifactError, SeatTaken) as error:
                self._tell("seat.not_taken_again", str(error))
            await trio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Takes the seat again where it is open and this key's bond was never put up. SeatTaken, L1Error."""
        if not self._is_wanted or self._heard is None:
            return
        block, seat = self._heard
        if seat.bond_id:
            self._told = ""
            return
        if block.number <= self._held_at or any(reason.code in _AGAINST for reason in self._reasons()):
            return
        bonds = await self._poster.bonds(block.number)
        again = await self._client.block(block.number)
        if again is None or again.hash != block.hash:
            # The answers may be of two chains.
            return
        if self._is_given_up or self._was_put_up(bonds):
            self._tell("seat.lost", f"its bond was put up: {_SAID_AGAIN}")
            return
        self._tell("seat.taken_back", "L1 was reorganised behind it, and its bond was never put up: it is again")
        await self._put_up(self._url)

    async def _put_up(self, endpoint_url: str) -> None:
        """The bond, unless the seat is this key's; what was heard before is old from then on. SeatTaken, L1Error."""
        await self._poster.take_seat(endpoint_url)
        self._held_at = max(self._held_at, (await self._client.newest_block()).number)

    def _tell(self, event: str, why: str) -> None:
        """One line for each change."""
        if self._told != event:
            self._told = event
            self._log.warning(event, why=why)


def _words(word: Path) -> list[_Word]:
    """Those that a file remembers; SeatLost where it cannot be read."""
    try:
        return msgspec.json.decode(word.read_bytes(), type=list[_Word])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        raise SeatLost(f"whether its bond was put up cannot be read from {word} ({error}): {_SAID_AGAIN}") from None


def forget_word(directory: Path) -> bool:
    """The operator says it again, for each key: the next start that is told to may put up another bond.

    Whether there was a word.
    """
    try:
        (directory / WORD).unlink()
    except FileNotFoundError:
        return False
    return True
