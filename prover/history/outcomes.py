"""What the bridge's logs come to in one pass that keeps nothing: the state, and what became of each queue entry."""

from collections import ChainMap
from collections.abc import AsyncGenerator, Callable, Collection, MutableMapping, Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar

import msgspec
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.values import Log
from l1_bridge.codec.batch import BridgeId, Commitment, Withdrawal
from l1_bridge.codec.batch import Chunk as BatchChunk
from l1_bridge.codec.calls import BatchRecord, decode_record, encode_call
from l1_bridge.codec.events import BatchCommitted, LogError, RolledBack, decode_log, topic_of
from prover.signing.recover import recover_fast
from prover.state.overlay import Overlay
from prover.state.state import State, create
from prover.state.store import MemoryStore, Store
from prover.stf import codes, constants, containers, encoding
from prover.stf.replay import HEAD_ENDS, Chunk, operation_length
from prover.stf.words import word_at

_Event = TypeVar("_Event", BatchCommitted, RolledBack)


class Outcome(msgspec.Struct, frozen=True):
    """What an entry came to in a batch; not done while a close or leave goes on, whose code is that of its end."""

    code: int
    done: bool
    withdrawal: int | None
    batch: int


class Rebuilt(msgspec.Struct, frozen=True):
    """State, outcomes and withdrawals after `batch`, the newest up to which all of the bridge's replay to their roots.

    `block`: up to which L1's log was read.
    `contradicted`: the next one stands on L1 and does not, so that it and all behind it can be proven wrong.
    """

    state: State
    outcomes: dict[int, Outcome]
    withdrawals: list[Withdrawal]
    batch: int
    block: int
    contradicted: bool

    def accounts_of(self, owner: bytes) -> list[int]:
        """The indexes of an owner's accounts, ascending."""
        every = range(constants.RESERVED_ACCOUNTS, self.state.globals.next_account)
        return [index for index in every if self.state.account(index).owner == owner]

    @property
    def commitment(self) -> Commitment:
        """What the root after `batch` opens to."""
        return Commitment.decode(encoding.commitment_bytes(self.state.commitment))


class Taken(msgspec.Struct, frozen=True):
    """An entry that a chunk took: its index in the queue, its place among the chunk's operations, its bytes."""

    index: int
    place: int
    operation: bytes


class Met(msgspec.Struct, frozen=True):
    """A fill between two orders: its lots, the fee in micro-dollars, and its place among the chunk's operations.

    before, after: the maker's account and the taker's.
    """

    maker: containers.Order
    taker: containers.Order
    lots: int
    fee: int
    place: int
    before: tuple[containers.Account, containers.Account]
    after: tuple[containers.Account, containers.Account]


class Step(msgspec.Struct, frozen=True):
    """An operation of a chunk with its code, and what it changed: of each account the row before and behind it.

    risk: prices and indices behind it; opened: the index at which it has opened an account, if it did.
    """

    operation: bytes
    code: int
    rows: dict[int, tuple[containers.Account, containers.Account]]
    risk: containers.Risk
    opened: int
    posting_fee: int
    withdrawals: int


class Replayed(msgspec.Struct, frozen=True):
    """A chunk of L1 that replayed to its root, and what it brought; `state` stands behind it.

    accounts: whose rows it changed. outcomes: of the entries that were taken, or came to their end, here. tick: bytes
    of the last one that the law took, from its tag on; empty where there was none.
    """

    body: bytes
    pre_root: bytes
    witness: bytes
    operations: int
    accounts: list[int]
    fills: list[Met]
    steps: list[Step]
    entries: list[Taken]
    outcomes: dict[int, Outcome]
    withdrawals: list[Withdrawal]
    tick: bytes
    state: State


class Keeper(Protocol):
    """Whoever keeps what a pass finds. Each batch reaches `store` whole, in one synced write, or not at all."""

    @property
    def store(self) -> Store:
        """Empty; the state is built in it."""

    def keep(self, replayed: Replayed) -> dict[bytes, bytes | None]:
        """What is to be written along with a chunk, under keys that start with b"m"."""

    def reached(self, batch: int, of: int) -> None:
        """So many batches are in the store."""

    def undone(self, committed_at: int, bodies: Sequence[bytes]) -> None:
        """A batch was undone by a proof: the bodies of its chunks, and when it was committed, in seconds of L1."""


class _Watched(Chunk):
    """A chunk that notes what each entry of the queue comes to, and each withdrawal; PROTOCOL.md 4.9 and 8.15."""

    def __init__(
        self, state: State, outcomes: MutableMapping[int, Outcome], withdrawals: list[Withdrawal], batch: int
    ) -> None:
        super().__init__(state.domain, state.commitment, state.globals, state, recover_fast)
        self._outcomes = outcomes
        self._withdrawals = withdrawals
        self._batch = batch
        self.entries: list[Taken] = []
        self.fills: list[Met] = []
        self.steps: list[Step] = []
        self.last_tick = b""
        self._filled: tuple[int, tuple[containers.Account, containers.Account], containers.Filled] | None = None
        self._rows: dict[int, containers.Account] = {}

    def _append_withdrawal(self, recipient: bytes, amount: int) -> None:
        self._withdrawals.append(Withdrawal(self.globals.withdrawal_count, recipient, amount))
        super()._append_withdrawal(recipient, amount)

    def _book(self, maker: containers.Order, taker: containers.Order, filled: containers.Filled) -> None:
        self._filled = filled.fee, (self.accounts[maker.account], self.accounts[taker.account]), filled
        super()._book(maker, taker, filled)

    def _fill(self, operation: bytes) -> int:
        code = super()._fill(operation)
        if code == codes.OK:
            maker, taker = self.orders[operation[1]], self.orders[operation[2]]
            lots = int.from_bytes(operation[3:10], "big")
            assert self._filled is not None, "a fill that is taken is booked"
            fee, before, filled = self._filled
            after = filled.maker, filled.taker
            self.fills.append(Met(maker, taker, lots, fee, len(self.operation_codes), before, after))
        return code

    def apply(self, operation: bytes) -> int:
        """Applies one operation; returns its code."""
        taken, head = self.commitment.queue_taken, self.commitment.queue_count
        had_head, listed = self.globals.head_account != 0, self.globals.withdrawal_count
        opened = self.globals.next_account
        code = super().apply(operation)
        self._note_step(operation, code, opened)
        has_head = self.globals.head_account != 0
        withdrawal = listed if self.globals.withdrawal_count > listed else None
        if code == codes.OK and operation[0] in (constants.TICK, constants.FORCED_TICK):
            is_forced = operation[0] == constants.FORCED_TICK
            self.last_tick = operation[constants.ENTRY_HEAD_LENGTH - 1 :] if is_forced else operation
        if self.commitment.queue_taken > taken:
            self.entries.append(Taken(taken, len(self.operation_codes) - 1, operation))
            is_begun = has_head and not had_head
            self._outcomes[taken] = Outcome(code, not is_begun, withdrawal, self._batch)
        elif had_head and not has_head:
            ended = code if code in HEAD_ENDS else self._outcomes[head].code
            self._outcomes[head] = Outcome(ended, True, withdrawal, self._batch)
        return code

    def _note_step(self, operation: bytes, code: int, opened: int) -> None:
        rows: dict[int, tuple[containers.Account, containers.Account]] = {}
        for index, row in self.accounts.items():
            before = self._rows.get(index, self.loaded_accounts[index])
            if row is not before:
                rows[index] = before, row
                self._rows[index] = row
        globals = self.globals
        step = Step(operation, code, rows, globals.risk, opened, globals.posting_fee, globals.withdrawal_count)
        self.steps.append(step)


def replay_chunk(
    state: State,
    chunk: BatchChunk,
    batch: int,
    outcomes: ChainMap[int, Outcome],
    withdrawals: list[Withdrawal],
    *,
    has_witness: bool = True,
) -> Replayed | None:
    """Seals a chunk of L1 on a state. None where that is not its root: the state is then to be opened anew.

    outcomes: what is known of entries; those of this chunk are noted in the first of its maps. withdrawals: listed up
    to here; its own are added. Without `has_witness` that is left empty.
    """
    paid, pre_root = len(withdrawals), state.root
    replayed = _Watched(state, outcomes, withdrawals, batch)
    replayed.run(chunk.body)
    proof = state.witness(replayed) if has_witness else b""
    if state.seal(replayed) != chunk.post_root:
        return None
    return Replayed(
        body=chunk.body,
        pre_root=pre_root,
        witness=proof,
        operations=len(replayed.operation_codes),
        accounts=[at for at, row in replayed.accounts.items() if row is not replayed.loaded_accounts[at]],
        fills=replayed.fills,
        steps=replayed.steps,
        entries=replayed.entries,
        outcomes=dict(outcomes.maps[0]),
        withdrawals=withdrawals[paid:],
        tick=replayed.last_tick,
        state=state,
    )


class _Pass:
    """Batches one after the other, each whole or not at all."""

    def __init__(self, bridge: BridgeId, genesis: bytes, keeper: Keeper | None) -> None:
        self._keeper = keeper
        self._store = Overlay(MemoryStore() if keeper is None else keeper.store)
        self._domain = bridge.domain_separator()
        self.state = create(self._store, self._domain, genesis)
        self._store.flush(sync=True)
        self.outcomes: dict[int, Outcome] = {}
        self.withdrawals: list[Withdrawal] = []
        self.batch = 0
        self.contradicted = False

    def take(self, event: BatchCommitted) -> None:
        """Replays a batch on top of the newest; one that does not come to its roots leaves no trace."""
        number = event.batch.header.number
        fresh: dict[int, Outcome] = {}
        listed = len(self.withdrawals)
        for chunk in event.batch.chunks:
            here: dict[int, Outcome] = {}
            seen = ChainMap(here, fresh, self.outcomes)
            told = replay_chunk(self.state, chunk, number, seen, self.withdrawals, has_witness=self._keeper is not None)
            if told is None:
                self._store.restore({})
                del self.withdrawals[listed:]
                self.state = State(self._store, self._domain)
                self.contradicted = True
                return
            fresh |= here
            if self._keeper is not None:
                self._store.write(self._keeper.keep(told), sync=True)
        self._store.flush(sync=True)
        self.outcomes.update(fresh)
        self.batch = number


async def rebuild(
    client: L1Client,
    bridge: BridgeId,
    genesis: bytes,
    from_block: int,
    tell: Callable[[str], None],
    until: int | None = None,
    keeper: Keeper | None = None,
) -> Rebuilt:
    """Replays what stands on the bridge by now, up to a batch; L1Unavailable where logs are not all that it wrote.

    keeper: who keeps chunks and state; without one all is in memory, and forgotten.
    """
    target = await client.newest_block()
    record = decode_record(BatchRecord, await client.eth_call(bridge.address, encode_call("head"), target.number))
    tell(f"replaying {record.number if until is None else min(until, record.number)} batches from L1's log")
    replayed = _Pass(bridge, genesis, keeper)
    undone = None if keeper is None else keeper.undone
    async for event in _standing(client, bridge, record, from_block, target.number, (0, b""), undone):
        if (until is None or event.batch.header.number <= until) and not replayed.contradicted:
            await trio.to_thread.run_sync(replayed.take, event)
            if keeper is not None:
                keeper.reached(replayed.batch, record.number)
    return Rebuilt(
        replayed.state,
        replayed.outcomes,
        replayed.withdrawals,
        replayed.batch,
        target.number,
        replayed.contradicted,
    )


async def may_have_opened(
    client: L1Client, bridge: BridgeId, known: BatchRecord, from_block: int, owner: bytes, accounts: Collection[int]
) -> bool:
    """Whether a batch that stands behind a known one may have opened an account of an owner, who has these; no replay.

    from_block: what came later is looked at. L1Unavailable where logs are not all that the bridge wrote from there on.
    """
    found = False
    async for event in _behind(client, bridge, known, from_block):
        found = found or any(opens(chunk.body, owner, accounts) for chunk in event.batch.chunks)
    return found


async def posted_ticks(client: L1Client, bridge: BridgeId, known: BatchRecord, from_block: int) -> list[bytes]:
    """Ticks in the batches behind a known one, the queue's among them, each from its tag on; no replay.

    Whether the law takes them, and who signed them, is for others to say. L1Unavailable as above.
    """
    found: list[bytes] = []
    async for event in _behind(client, bridge, known, from_block):
        for chunk in event.batch.chunks:
            found += ticks_in(chunk.body)
    return found


async def _behind(
    client: L1Client, bridge: BridgeId, known: BatchRecord, from_block: int
) -> AsyncGenerator[BatchCommitted, None]:
    target = await client.newest_block()
    head = decode_record(BatchRecord, await client.eth_call(bridge.address, encode_call("head"), target.number))
    tip = known.number, known.batch_hash
    async with aclosing(_standing(client, bridge, head, from_block, target.number, tip)) as batches:
        async for event in batches:
            yield event


async def standing_chunks(client: L1Client, bridge: BridgeId, from_block: int) -> AsyncGenerator[BatchChunk, None]:
    """The chunks of all that stands on the bridge by now, in order; L1Unavailable where logs are not all of it."""
    target = await client.newest_block()
    head = decode_record(BatchRecord, await client.eth_call(bridge.address, encode_call("head"), target.number))
    async with aclosing(_standing(client, bridge, head, from_block, target.number, (0, b""))) as batches:
        async for event in batches:
            for chunk in event.batch.chunks:
                yield chunk


def ticks_in(body: bytes) -> list[bytes]:
    """The ticks of a chunk, each from its tag on, whether they stand there by themselves or as an entry."""
    at, found = constants.TIMESTAMP_LENGTH, []
    while at < len(body) and (size := operation_length(body, at)):
        if body[at] == constants.TICK:
            found.append(body[at : at + size])
        elif body[at] == constants.FORCED_TICK:
            payload = body[at + constants.ENTRY_HEAD_LENGTH : at + size]
            found.append(bytes([constants.TICK]) + payload)
        at += size
    return found


def opens(body: bytes, owner: bytes, accounts: Collection[int]) -> bool:
    """Whether a chunk asks for an account of an owner, who has these; what the law says of it takes a replay."""
    at = constants.TIMESTAMP_LENGTH
    while at < len(body) and (size := operation_length(body, at)):
        operation = body[at : at + size]
        if operation[0] == constants.DEPOSIT:
            entry = encoding.deposit(word_at(operation, 1), word_at(operation, 21))
            if (entry.owner, entry.account) == (owner, constants.NEW_ACCOUNT):
                return True
        elif operation[0] == constants.TRANSFER:
            request = encoding.request(operation[0], word_at(operation, 1), word_at(operation, 31))
            if request.account in accounts and request.other == constants.NEW_ACCOUNT:
                return True
        at += size
    return False


async def _standing(
    client: L1Client,
    bridge: BridgeId,
    head: BatchRecord,
    first_block: int,
    last_block: int,
    tip: tuple[int, bytes],
    tell_undone: Callable[[int, Sequence[bytes]], None] | None = None,
) -> AsyncGenerator[BatchCommitted, None]:
    """The batches behind `tip`, a number and a hash, up to the bridge's head; they stand in the log of these blocks.

    tell_undone: hears when each batch that is passed over was committed, and its chunks' bodies.
    """
    undone = _read(
        bridge, RolledBack, await client.logs(bridge.address, [topic_of(RolledBack)], first_block, last_block)
    )
    begun, first = tip[0], first_block
    while first <= last_block:
        # A page at a time: how many batches stand in a thousand blocks is the seat's choice.
        logs, last = await client.page_of_logs(bridge.address, [topic_of(BatchCommitted)], first, last_block)
        for at, event in _read(bridge, BatchCommitted, logs):
            header = event.batch.header
            if any(later > at and one.number <= header.number for later, one in undone):
                if tell_undone is not None:
                    tell_undone(event.committed_at, [chunk.body for chunk in event.batch.chunks])
                continue
            if header.number <= begun:
                continue
            if header.number != tip[0] + 1 or (tip[0] and header.parent_hash != tip[1]):
                raise L1Unavailable(f"the L1 node's logs have batch {header.number} right behind batch {tip[0]}")
            tip = header.number, event.batch_hash
            yield event
        first = last + 1
    if head.number and tip != (head.number, head.batch_hash):
        raise L1Unavailable(f"the bridge is at batch {head.number}, the L1 node's logs at batch {tip[0]}: try again")


def _read(bridge: BridgeId, kind: type[_Event], logs: Sequence[Log]) -> list[tuple[tuple[int, int], _Event]]:
    """The bridge's events of one kind, each with its place on L1."""
    found = []
    try:
        for log in logs:
            event = decode_log(bridge, log)
            if isinstance(event, kind):
                found.append(((log.block_number, log.log_index), event))
    except LogError as error:
        raise L1Unavailable(f"the L1 node's logs are not the bridge's: {error}") from None
    return found
