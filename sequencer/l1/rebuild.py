"""A node's store from L1 alone: chunks, state, withdrawals and queue entries, replayed and compared with the bridge.

What L1 does not hold is not there afterwards: open orders, soft cancels, post-mortems, and whatever was acknowledged
and not posted. So nothing is taken that was created before the rebuild: it may have been cancelled off L1.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.codec import calls
from prover.contracts.deployment import DeploymentRecord, logged_genesis
from prover.history.outcomes import Rebuilt, Replayed, rebuild
from prover.state import state as prover_state
from prover.state.leveldb import LevelDbStore
from prover.state.store import Store
from prover.stf import constants, containers
from sequencer.engine.effects import AnyEffect, PaidOut
from sequencer.engine.effects import number as number_effects
from sequencer.engine.queue import entry_record
from sequencer.engine.records import (
    CHUNK_KEY,
    CURSOR_KEY,
    IDENTITY_KEY,
    NOT_BEFORE_KEY,
    QUEUE_KEY,
    ROOT_KEY,
    SIGNERS_KEY,
    WITHDRAWAL_KEY,
    EntryRecord,
    WithdrawalRecord,
    Writes,
    number_key,
    signers_of,
)
from sequencer.history.books import Books, Seen
from sequencer.history.lists import Lists
from sequencer.history.replayed import effects_of
from sequencer.l1.resequence import STATE, operations_of, sync_directory
from sequencer.l1.voided import Void
from sequencer.sequencing.rederiving import sealed_chunk

# In the datadir while it is being built; what is left there by a kill is no state of anybody's.
UNFINISHED: Final = "state.unfinished"
_EVERY_LIST: Final = 1 << 32


class Contradicted(Exception):
    """The bridge holds a batch that does not replay to its roots: nobody may build on it before it is undone."""


class StoreKeeper:
    """Writes each chunk of L1 as the engine keeps those that it seals itself."""

    def __init__(
        self,
        store: Store,
        reached: Callable[[int, int], None] = lambda batch, of: None,
        *,
        chunks: int = 0,
        unfinished: Iterable[EntryRecord] = (),
        lists: Lists | None = None,
    ) -> None:
        """reached: told how many batches of how many are in the store. chunks: that it holds already; unfinished: its
        entries that are taken and not done, a close under way. lists: where history is booked."""
        self._store = store
        # All ends are remembered: what a batch has written cannot be read before its end.
        self._lists = lists or Lists(store, remembered_ends=_EVERY_LIST)
        self._books = Books(self._lists)
        self.effects: list[AnyEffect] = []
        self.reached = reached
        self.chunks = chunks
        self.void = Void()
        self._unfinished = {record.index: record for record in unfinished}

    @property
    def store(self) -> Store:
        """Where the state is built."""
        return self._store

    def keep(self, replayed: Replayed) -> Writes:
        """What stands beside the state behind this chunk."""
        self.chunks += 1
        number = self.chunks
        chunk = sealed_chunk(number, replayed)
        for operation in operations_of(chunk.body):
            self.void.stands(operation)
        writes: Writes = {
            number_key(CHUNK_KEY, number): msgspec.msgpack.encode(chunk),
            ROOT_KEY + chunk.post_root: number.to_bytes(8, "big"),
            # The journal begins anew behind it.
            CURSOR_KEY: msgspec.msgpack.encode((0, number, 0)),
        }
        for paid in replayed.withdrawals:
            record = WithdrawalRecord(paid.index, paid.recipient, paid.amount_micros, number)
            writes[number_key(WITHDRAWAL_KEY, paid.index)] = msgspec.msgpack.encode(record)
        if replayed.tick:
            writes[SIGNERS_KEY] = bytes(signers_of(replayed.tick))
        entries, forced = self._entries(replayed)
        self.effects = effects_of(replayed, number, forced)
        number_effects(self.effects, number)
        state = replayed.state
        self._books.book(self.effects, Seen(number, state.commitment.timestamp, state.globals))
        return writes | entries | self._lists.writes()

    def undone(self, committed_at: int, bodies: Sequence[bytes]) -> None:
        """What stood in a batch that was proven wrong is told to its owners, unless it comes again."""
        for body in bodies:
            for operation in operations_of(body):
                self.void.note(operation, 0, committed_at * 1_000)

    @property
    def unfinished(self) -> list[EntryRecord]:
        """Entries that are taken and not done."""
        return list(self._unfinished.values())

    def _entries(self, replayed: Replayed) -> tuple[Writes, list[tuple[int, PaidOut]]]:
        """The rows of entries, and what forced paths have paid from which account."""
        for taken in replayed.entries:
            record = entry_record(taken.index, taken.operation, 0, False, self.chunks, taken.place)
            self._unfinished[taken.index] = record
        writes: Writes = {}
        paid = {one.index: one for one in replayed.withdrawals}
        forced: list[tuple[int, PaidOut]] = []
        for index, outcome in replayed.outcomes.items():
            record = self._unfinished[index]
            record.code, record.done = outcome.code, outcome.done
            if record.account is not None:
                record.withdrawal = outcome.withdrawal
                if (one := paid.get(-1 if outcome.withdrawal is None else outcome.withdrawal)) is not None:
                    payment = PaidOut(withdrawal=one.index, recipient=one.recipient, amount=one.amount_micros)
                    forced.append((record.account, payment))
            if record.done:
                del self._unfinished[index]
            writes[number_key(QUEUE_KEY, index)] = msgspec.msgpack.encode(record)
        return writes, forced


class RebuiltState(msgspec.Struct, frozen=True):
    """What a rebuilt store holds, compared with the bridge."""

    batches: int
    chunks: int
    accounts: int
    withdrawals: int
    queue_entries: int
    root: str


def genesis_state(datadir: Path, record: DeploymentRecord) -> None:
    """Puts the store of a rollup without batches where the datadir has none. StoreUnavailable."""
    with _unfinished(datadir, record) as store:
        prover_state.create(store, record.deployment.domain, record.genesis)


def write_genesis(directory: Path, record: DeploymentRecord) -> None:
    """That store in a directory of any name. StoreUnavailable."""
    store = LevelDbStore(directory)
    try:
        store.write({IDENTITY_KEY: record.encode()}, sync=True)
        prover_state.create(store, record.deployment.domain, record.genesis)
    finally:
        store.close()


async def rebuild_state(
    client: L1Client,
    record: DeploymentRecord,
    datadir: Path,
    now_ms: int,
    reached: Callable[[int, int], None],
    make_way: Callable[[], None] = lambda: None,
) -> RebuiltState:
    """Puts a store that holds what L1 holds where the datadir has none. L1Error, Contradicted, StoreUnavailable.

    Killed at any moment there is a whole store or none. The journal of the datadir has to be empty.
    make_way: called once it is whole, where a state or a journal may still stand in its place.
    """
    with _unfinished(datadir, record, make_way) as store:
        keeper = StoreKeeper(store, reached)
        rebuilt = await _replayed(client, record, keeper)
        commitment, globals = rebuilt.state.commitment, rebuilt.state.globals
        not_before = max(now_ms, commitment.timestamp) + constants.CLOCK_TOLERANCE
        keeper.void.require_signers(rebuilt.state)
        told = dict(keeper.void.rows(max(now_ms, commitment.timestamp)))
        store.write({NOT_BEFORE_KEY: not_before.to_bytes(8, "big"), **told}, sync=True)
        return RebuiltState(
            batches=rebuilt.batch,
            chunks=keeper.chunks,
            accounts=globals.next_account,
            withdrawals=globals.withdrawal_count,
            queue_entries=commitment.queue_taken,
            root="0x" + rebuilt.state.root.hex(),
        )


@contextmanager
def _unfinished(
    datadir: Path, record: DeploymentRecord, make_way: Callable[[], None] = lambda: None
) -> Iterator[LevelDbStore]:
    """A store that says of which rollup it is, and nothing else; it becomes the datadir's where the body ends well.

    Else nothing is left of it: it may have taken the room that was there.
    """
    unfinished = datadir / UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        store = LevelDbStore(unfinished)
        try:
            store.write({IDENTITY_KEY: record.encode()}, sync=True)
            yield store
        finally:
            store.close()
        sync_directory(unfinished)
        make_way()
        assert not (datadir / STATE).exists(), "a state is not built over another"
        unfinished.rename(datadir / STATE)
        sync_directory(datadir)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


async def _replayed(client: L1Client, record: DeploymentRecord, keeper: StoreKeeper) -> Rebuilt:
    """The replay, whose root and queue are those of the bridge."""
    at = record.deployment
    logged = await logged_genesis(client, at.identity)
    if logged is None or logged[0] != record.genesis:
        raise L1Unavailable("the L1 node does not give the bridge's genesis log: try again")
    rebuilt = await rebuild(client, at.identity, record.genesis, logged[1], lambda sentence: None, keeper=keeper)
    if rebuilt.contradicted:
        raise Contradicted(
            f"batch {rebuilt.batch + 1} on the bridge does not replay to its roots: `catenary challenger` proves that, "
            "and then this node can be rebuilt"
        )
    answer = await client.eth_call(at.bridge, calls.encode_call("record", rebuilt.batch))
    held = calls.decode_record(calls.BatchRecord, answer)
    commitment = rebuilt.state.commitment
    if held.last_root != rebuilt.state.root:
        raise L1Unavailable(f"batch {rebuilt.batch} changed while it was read: try again")
    queue_hash = containers.NO_HASH
    if commitment.queue_taken:
        answer = await client.eth_call(at.bridge, calls.encode_call("queue_entry", commitment.queue_taken - 1))
        queue_hash = calls.decode_record(calls.QueueEntry, answer).chain_hash
    if queue_hash != commitment.queue_hash:
        raise L1Unavailable(f"the bridge's queue is another up to entry {commitment.queue_taken}: try again")
    return rebuilt
