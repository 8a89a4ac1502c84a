"""A venue on the Python law alone for the margin campaign: rows in dictionaries, and everything applied is shown.

Signatures are not the subject: the r of a signature names its signer, so that every byte still goes through the law.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from prover.signing import operations
from prover.stf import constants, containers, encoding
from prover.stf.replay import Chunk
from tests.twins import venue as twins_venue

NOW: Final = twins_venue.NOW
AGENTS: Final = twins_venue.OWNERS[10:13]
SIGNER: Final = twins_venue.OWNERS[9]
FIRST: Final = constants.RESERVED_ACCOUNTS


def signature(signer: bytes) -> bytes:
    """64 bytes that `recover` answers with this signer."""
    return signer.rjust(32, b"\x00") + bytes(32)


def recover(_digest: bytes, _v: int, r: int, _s: int) -> bytes:
    """The signer that a signature of `signature` names."""
    return r.to_bytes(32, "big")[12:]


class Step(NamedTuple):
    """One operation as it went through the law, and every account as it stood before.

    head: account, market (16 for all) and lots of the forced close that was under way, if one was. entered_at: when an
    entry was written on L1.
    """

    tag: int
    code: int
    now: int
    before: dict[int, containers.Account]
    maker: containers.Order | None = None
    taker: containers.Order | None = None
    size: int = 0
    request: containers.Request | None = None
    deposit: containers.Deposit | None = None
    move: containers.Rescue | None = None
    entry: containers.Entry | None = None
    parameters: containers.Parameters | None = None
    entered_at: int = 0
    head: tuple[int, int, int] | None = None
    time: int = 0
    prices: Sequence[int] = ()
    premiums: Sequence[int] = ()


class Ledger:
    """All rows in dictionaries, chunks one after the other; everything applied is shown to `watch`."""

    def __init__(self, globals: containers.Globals, watch: Callable[["Ledger", Step], None]) -> None:
        none = containers.NO_HASH
        commitment = containers.Commitment(constants.LAW_VERSION, none, none, 0, 0, 0, none, NOW, none)
        self.watch = watch
        fees = msgspec.structs.replace(encoding.no_account(), owner=twins_venue.OPERATOR)
        self.rows: dict[int, containers.Account] = {constants.FEE_ACCOUNT: fees}
        self.slots: dict[int, containers.Slot] = {}
        self.chunk = Chunk(twins_venue.DOMAIN, commitment, globals, self, recover)

    def account(self, index: int) -> containers.Account:
        """The row of an account; the empty one where there is none."""
        row = self.rows.get(index)
        return encoding.no_account() if row is None else row

    def slot(self, leaf_index: int) -> containers.Slot:
        """The row of an order slot."""
        return self.slots.get(leaf_index) or encoding.no_slot()

    @property
    def globals(self) -> containers.Globals:
        """As they stand now."""
        return self.chunk.globals

    @property
    def now(self) -> int:
        """The chunk's clock, milliseconds."""
        return self.chunk.commitment.timestamp

    def open(self, timestamp: int) -> None:
        """Begins the next chunk."""
        self.slots.update(self.chunk.slots)
        self.chunk = Chunk(twins_venue.DOMAIN, self.chunk.commitment, self.globals, self, recover)
        self.chunk.open(timestamp)

    def make_room(self, *tags: int) -> None:
        """Begins another chunk at the same time unless these operations still fit."""
        if not self.chunk.has_room(*tags):
            self.open(self.now)

    def apply(self, operation: bytes, **what: object) -> int:
        """Applies an operation and shows it; `what` are the fields of the step that tell what it says."""
        before = dict(self.rows)
        head = self.head
        code = self.chunk.apply(operation)
        self.rows.update(self.chunk.accounts)
        self.watch(self, Step(operation[0], code, self.now, before, head=head, **what))  # type: ignore[arg-type]
        return code

    @property
    def head(self) -> tuple[int, int, int] | None:
        """Account, market and lots of the forced close that is under way."""
        globals = self.globals
        head = globals.head_account, globals.head_market, globals.head_lots
        return head if globals.head_account else None

    def tick(self, time: int, prices: list[int], premiums: list[int], is_forced: bool = False) -> int:
        """One oracle signer's tick, by the queue where it is forced."""
        tag = constants.FORCED_TICK if is_forced else constants.TICK
        self.make_room(tag)
        report = (0, prices, premiums, signature(SIGNER))
        operation = operations.tick_bytes(time, len(prices), [report])
        if is_forced:
            operation = operations.entry_bytes(tag, AGENTS[0], time, operation[1:])
        entered_at = time if is_forced else 0
        return self.apply(operation, time=time, prices=prices, premiums=premiums, entered_at=entered_at)

    def enter(self, tag: int, entry: containers.Entry) -> int:
        """What an owner has entered on L1."""
        self.make_room(tag)
        payload = operations.entry_payload(tag, entry)
        operation = operations.entry_bytes(tag, entry.sender, entry.time, payload)
        return self.apply(operation, entry=entry, entered_at=entry.time)

    def enter_rescue(self, time: int, move: containers.Rescue) -> int:
        """A rescue that a stranger has entered on L1."""
        self.make_room(constants.FORCED_RESCUE)
        payload = operations.forced_rescue_payload(move.market, move.account, move.lots)
        operation = operations.entry_bytes(constants.FORCED_RESCUE, AGENTS[0], time, payload)
        return self.apply(operation, move=move, entered_at=time)

    def set_market(self, given: containers.Parameters) -> int:
        """What the governor would have of a market."""
        self.make_room(constants.SET_MARKET)
        payload = operations.market_payload(given)
        operation = operations.entry_bytes(constants.SET_MARKET, twins_venue.OPERATOR, self.now, payload)
        return self.apply(operation, parameters=given, entered_at=self.now)

    def deposit(self, entry: containers.Deposit) -> int:
        """A deposit from L1."""
        self.make_room(constants.DEPOSIT)
        return self.apply(operations.deposit_bytes(entry), deposit=entry)

    def order(self, order: containers.Order, signer: bytes) -> int:
        """An order; its place in the chunk is the last when the law takes it."""
        return self.apply(operations.order_bytes(order, signature(signer)), maker=order)

    def request(self, tag: int, request: containers.Request, signer: bytes) -> int:
        """A signed request."""
        self.make_room(tag)
        return self.apply(operations.request_bytes(tag, request, signature(signer)), request=request)

    def fill(self, maker: int, taker: int, size: int) -> int:
        """A fill between two orders by their places in the chunk."""
        orders = self.chunk.orders
        return self.apply(
            operations.fill_bytes(maker, taker, size), maker=orders[maker], taker=orders[taker], size=size
        )

    def rescue(self, tag: int, move: containers.Rescue) -> int:
        """A rescue; its maker, where it has one, is admitted to the chunk already."""
        self.make_room(tag)
        by_order = tag in (constants.LIQUIDATE, constants.UNWIND) and move.maker < len(self.chunk.orders)
        maker = self.chunk.orders[move.maker] if by_order else None
        return self.apply(operations.rescue_bytes(tag, move), move=move, maker=maker)
