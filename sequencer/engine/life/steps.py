"""One step in the life of an order, as it is kept and as it is told."""

import msgspec

from sequencer.engine.records import Fill

# Account, slot and sequence.
Place = tuple[int, int, int]


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One step of an order's life. lots: of this step; fee: the order's own, micro-dollars; sequence: of its effect.

    status, filled, left: of the order after it. event: accepted, dormant, armed, triggered, resting, filled, reduced,
    or the status with which it ended.
    """

    event: str
    time: int
    lots: int
    sequence: int
    status: str
    filled: int
    left: int
    reason: str = ""
    detail: str = ""
    role: str = ""
    fee: int = 0
    fill: Fill | None = None


class Told(msgspec.Struct, frozen=True):
    """A step as it happened, and whose it is."""

    place: Place
    market: int
    side: int
    client: str
    step: Step
