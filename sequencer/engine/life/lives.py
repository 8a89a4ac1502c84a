"""What became of each order: every step with its reason, time, role and own fee, kept in the store beside the state.

Made of the effects alone, so a replayed journal tells the same. Of each account the newest `HORIZON` orders are kept,
and those that are open, however old; of an order the first and the newest steps. In memory stands only what the open
chunk has touched.
"""

from collections import OrderedDict
from hashlib import sha256
from typing import Any, Final

import msgspec

from prover.signing.operations import order_name
from prover.stf import constants
from sequencer.engine.effects import (
    Accepted,
    AnyEffect,
    Armed,
    Filled,
    Fired,
    Left,
    Repeated,
    Rested,
    Shrunk,
    status_of,
)
from sequencer.engine.life.steps import Place, Step, Told
from sequencer.engine.records import CLIENT_KEY, HEAD_KEY, LIFE_KEY, RING_KEY, Fill, Input, StagedStore, Writes

# Orders of an account whose lives are kept after their end, the oldest forgotten first.
HORIZON: Final = 10_000
# Steps of one order: where there are more, those in the middle are counted and not told.
MOST_STEPS: Final = 128
# Of fills that are not told, the sums of so many chunks are kept apart, the oldest joined.
MOST_SUMS: Final = 64
# Heads of accounts that stand in memory, whoever was asked for last.
_HEADS_KEPT: Final = 4_096
_NAME_BYTES: Final = 16
# The signed fields of an order, by which it is known again: its bytes without the signature.
_SIGNED_BYTES: Final = constants.ORDER_LENGTH - 64

# Acknowledged, and L1 can never take it.
VOIDED: Final = "voided"
OPEN: Final = ("armed", "dormant", "resting", "partially_filled")


class Life(msgspec.Struct, array_like=True):
    """All that is kept of an order. signed: its bytes without the signature; quote: micro-dollars of its fills.

    fees: its own, micro-dollars; untold: steps that are not kept; sums: of the fills among them, by chunk.
    """

    signed: bytes
    signer: bytes
    market: int
    side: int
    client: str
    status: str = ""
    reason: str = ""
    detail: str = ""
    filled: int = 0
    left: int = 0
    quote: int = 0
    fees: int = 0
    untold: int = 0
    steps: list[Step] = []
    sums: list[tuple[int, int, int, int]] = []

    @property
    def is_open(self) -> bool:
        """Whether it stands in a book or waits."""
        return self.status in OPEN

    @property
    def fills(self) -> list[Fill]:
        """The fills that are kept, the oldest first."""
        return [step.fill for step in self.steps if step.fill is not None]


class _Head(msgspec.Struct, array_like=True):
    """Of an account: how many places of its ring were given, and the highest sequence of each slot."""

    given: int
    newest: dict[int, int]


def _step(life: Life, event: str, now: int, lots: int, sequence: int, **more: Any) -> Step:
    return Step(event, now, lots, sequence, life.status, life.filled, life.left, **more)


def _sums(step: Step) -> tuple[int, int, int, int]:
    """Of a fill: its chunk, lots, what they came to, and the order's own fee."""
    assert step.fill is not None, "a step without a fill comes to nothing"
    return step.fill.chunk, step.fill.size, step.fill.size * step.fill.price, step.fee


def _leave_untold(life: Life) -> None:
    """Drops the step in the middle; of a fill its sums stay."""
    step = life.steps.pop(MOST_STEPS // 2)
    life.untold += 1
    if step.fill is None:
        return
    life.sums.append(_sums(step))
    # Chunks only rise, so that what is of one chunk stands side by side; past the bound the oldest two are one.
    is_same = len(life.sums) > 1 and life.sums[-2][0] == life.sums[-1][0]
    if is_same or len(life.sums) > MOST_SUMS:
        at = len(life.sums) - 2 if is_same else 0
        first, second = life.sums[at : at + 2]
        joined = (second[0], first[1] + second[1], first[2] + second[2], first[3] + second[3])
        life.sums[at : at + 2] = [joined]


def voided(life: Life, chunk: int, now: int) -> bool:
    """Takes back what stood in chunks above one that L1 can never take; whether anything of a life was void.

    Where the sums of many chunks were joined and some of them are void, all of them are taken back: nothing is told as
    filled that L1 may not hold.
    """
    gone = [_sums(step) for step in life.steps if step.fill is not None and step.fill.chunk > chunk]
    gone += [sums for sums in life.sums if sums[0] > chunk]
    if not gone and not life.is_open:
        return False
    life.steps = [step for step in life.steps if step.fill is None or step.fill.chunk <= chunk]
    life.sums = [sums for sums in life.sums if sums[0] <= chunk]
    for _, lots, quote, fees in gone:
        life.filled, life.left = life.filled - lots, life.left + lots
        life.quote, life.fees = life.quote - quote, life.fees - fees
    life.status = life.reason = VOIDED
    life.steps.append(_step(life, VOIDED, now, life.left, 0))
    return True


def place_of(name: str) -> Place:
    """Account, slot and sequence of an order's name."""
    number = int(name, 16)
    return number >> 56, number >> 48 & 0xFF, number & 2**48 - 1


class Lives:
    """The lives of orders by account, slot and sequence."""

    def __init__(self, store: StagedStore, horizon: int = HORIZON) -> None:
        self.horizon = horizon
        self._store = store
        self._lives: dict[Place, Life | None] = {}
        self._heads: OrderedDict[int, _Head] = OrderedDict()
        self._dirty_heads: set[int] = set()
        self._rows: Writes = {}

    # What is seen.

    def find(self, account: int, slot: int, sequence: int) -> Life | None:
        """The life of one order; None for one that was never taken, or is forgotten."""
        place = (account, slot, sequence)
        if place in self._lives:
            return self._lives[place]
        value = self._store.get(_life_key(place))
        return None if value is None else msgspec.msgpack.decode(value, type=Life)

    def newest(self, account: int, slot: int) -> int | None:
        """The sequence of the newest order that a slot has held; None for none."""
        return self._head(account).newest.get(slot)

    def past(self, account: int, before: int | None, most: int) -> list[tuple[int, Place, Life]]:
        """Lives of an account, the newest first, each with its number: of those numbered below one, so many at most.

        One that has been open for longer than the horizon stands where it was last passed over.
        """
        given = self._head(account).given
        number = given if before is None else min(before, given)
        found: list[tuple[int, Place, Life]] = []
        while number > max(0, given - self.horizon) and len(found) < most:
            number -= 1
            row = self._row(_ring_key(account, number % self.horizon))
            place = (account, 0, 0) if row is None else (account, row[0], int.from_bytes(row[1:], "big"))
            life = None if row is None else self.find(*place)
            if life is not None:
                found.append((number, place, life))
        return found

    def named(self, account: int, client: str) -> tuple[int, int] | None:
        """Slot and sequence of the order that an account's owner has called so, the newest of that name."""
        value = self._row(_client_key(account, client))
        return None if value is None else (value[0], int.from_bytes(value[1:], "big"))

    def repeated(self, account: int, slot: int, sequence: int, operation: bytes, signer: bytes) -> Repeated | None:
        """What is answered to the same signed order again: what it has come to; None for one that is new."""
        if sequence > self._head(account).newest.get(slot, -1):
            # Newer than all that its slot has held: most orders, for which nothing is looked up.
            return None
        life = self.find(account, slot, sequence)
        if life is None or life.status == VOIDED or life.signed != operation[:_SIGNED_BYTES] or life.signer != signer:
            return None
        return Repeated(
            order=order_name(account, slot, sequence),
            account=account,
            market=life.market,
            status=life.status,
            filled=life.filled,
            lots=life.left,
            detail=life.detail,
            fills=life.fills,
            fees=life.fees,
            untold=life.untold,
            client=life.client,
        )

    # What changes.

    def note(self, effects: list[AnyEffect], given: Input) -> list[Told]:
        """Keeps what an input came to, effect by effect; what is told of it."""
        told: list[Told] = []
        for effect in effects:
            if isinstance(effect, Accepted):
                told.append(self._accepted(effect, given))
            elif isinstance(effect, Filled):
                told += self._filled(effect, given.now)
            elif isinstance(effect, Armed | Fired | Rested | Shrunk | Left):
                told += self._stepped(effect, given.now)
        return told

    def _accepted(self, effect: Accepted, given: Input) -> Told:
        place = place_of(effect.order)
        client = "" if given.terms is None else given.terms.client
        life = Life(
            signed=given.operation[:_SIGNED_BYTES],
            signer=given.signer,
            market=effect.market,
            side=effect.side,
            client=client,
            status="resting",
            left=effect.size,
            steps=[],
        )
        self._enter(place, client)
        return self._told(place, life, _step(life, "accepted", given.now, effect.size, effect.sequence))

    def _stepped(self, effect: Armed | Fired | Rested | Shrunk | Left, now: int) -> list[Told]:
        place = place_of(effect.order)
        life = self.find(*place)
        if life is None:
            return []
        life.left = effect.lots
        reason = detail = ""
        if isinstance(effect, Left):
            life.status = event = status_of(effect.reason)
            life.reason, life.detail = reason, detail = str(effect.reason), effect.detail
        elif isinstance(effect, Armed):
            life.status = event = "dormant" if effect.dormant else "armed"
        else:
            event = {Fired: "triggered", Rested: "resting", Shrunk: "reduced"}[type(effect)]
            if not isinstance(effect, Shrunk):
                life.status = "partially_filled" if life.filled else "resting"
            reason = str(effect.reason) if isinstance(effect, Shrunk) else ""
        step = _step(life, event, now, effect.lots, effect.sequence, reason=reason, detail=detail)
        return [self._told(place, life, step)]

    def _filled(self, effect: Filled, now: int) -> list[Told]:
        fill, told = effect.fill, list[Told]()
        sides = ((fill.maker_order, "maker", effect.maker_fee), (fill.taker_order, "taker", effect.taker_fee))
        for name, role, fee in sides:
            # The taker of a rescue has no order.
            place = place_of(name) if name else None
            life = None if place is None else self.find(*place)
            if place is None or life is None:
                continue
            life.filled += fill.size
            life.left -= fill.size
            life.quote += fill.size * fill.price
            life.fees += fee
            life.status = "partially_filled" if life.left else "filled"
            step = _step(life, "filled", now, fill.size, effect.sequence, role=role, fee=fee, fill=fill)
            told.append(self._told(place, life, step))
        return told

    def _told(self, place: Place, life: Life, step: Step) -> Told:
        life.steps.append(step)
        if len(life.steps) > MOST_STEPS:
            _leave_untold(life)
        self._lives[place] = life
        return Told(place, life.market, life.side, life.client, step)

    def _enter(self, place: Place, client: str) -> None:
        """Gives a new order its place in the ring of its account; whoever stood there is forgotten."""
        account, slot, sequence = place
        head = self._head(account)
        self._dirty_heads.add(account)
        for _ in range(1 << constants.SLOT_BITS):
            key = _ring_key(account, head.given % self.horizon)
            # In the first round nobody stands there.
            standing = self._row(key) if head.given >= self.horizon else None
            head.given += 1
            oldest = None if standing is None else (account, standing[0], int.from_bytes(standing[1:], "big"))
            life = None if oldest is None else self.find(*oldest)
            if life is not None and life.is_open:
                # An open order keeps its place: of each slot there is one at most.
                continue
            if oldest is not None and life is not None:
                self._forget(oldest, life)
            break
        told = bytes([slot]) + sequence.to_bytes(6, "big")
        self._rows[key] = told
        head.newest[slot] = max(sequence, head.newest.get(slot, -1))
        if client:
            self._rows[_client_key(account, client)] = told

    def _forget(self, place: Place, life: Life) -> None:
        account, slot, sequence = place
        self._lives[place] = None
        if life.client and self.named(account, life.client) == (slot, sequence):
            self._rows[_client_key(account, life.client)] = None

    def _head(self, account: int) -> _Head:
        head = self._heads.get(account)
        if head is None:
            value = self._store.get(HEAD_KEY + account.to_bytes(3, "big"))
            head = _Head(0, {}) if value is None else msgspec.msgpack.decode(value, type=_Head)
            self._heads[account] = head
            if len(self._heads) > _HEADS_KEPT:
                # Whoever has something to write is needed for it.
                gone = next((one for one in self._heads if one not in self._dirty_heads and one != account), None)
                if gone is not None:
                    del self._heads[gone]
        self._heads.move_to_end(account)
        return head

    def _row(self, key: bytes) -> bytes | None:
        return self._rows[key] if key in self._rows else self._store.get(key)

    # What is kept.

    def writes(self) -> Writes:
        """What has changed since the last call, as the store keeps it."""
        writes, self._rows = self._rows, {}
        for place, life in self._lives.items():
            writes[_life_key(place)] = None if life is None else msgspec.msgpack.encode(life)
        for account in self._dirty_heads:
            writes[HEAD_KEY + account.to_bytes(3, "big")] = msgspec.msgpack.encode(self._heads[account])
        self._lives = {}
        self._dirty_heads.clear()
        return writes


def _life_key(place: Place) -> bytes:
    account, slot, sequence = place
    return LIFE_KEY + (account << 56 | slot << 48 | sequence).to_bytes(10, "big")


def _ring_key(account: int, place: int) -> bytes:
    return RING_KEY + account.to_bytes(3, "big") + place.to_bytes(4, "big")


def _client_key(account: int, client: str) -> bytes:
    return CLIENT_KEY + account.to_bytes(3, "big") + sha256(client.encode()).digest()[:_NAME_BYTES]
