"""A rollup on the shipped bridge whose parent batch stands in one state of the queue, and what may be posted on it.

A scene gives honest bodies, the commitments that the law makes of them, and the rows that a liar may change below a
root. What the bridge takes of it is asked of the bridge alone.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

from l1_bridge.codec.batch import MAX_CHUNKS, Commitment
from l1_bridge.codec.calls import encode_call, encode_entry, encode_prove_fraud
from l1_bridge.codec.events import BatchCommitted
from l1_bridge.contracts.artifact import bridge_artifact
from prover.signing import operations, signatures
from prover.signing.recover import recover_fast
from prover.state.state import State, state_writes
from prover.state.store import MemoryStore
from prover.state.tree import StateTree
from prover.stf import constants, containers, encoding
from prover.stf.words import Recover
from tests.l1_bridge.evm import Reverted
from tests.prover import world
from tests.prover.world import DOLLAR, SEQUENCER, SUCCESSOR, TRADERS, EvmChain, Lie, World

QUEUE_ONLY: Final = 1 << 47
# What the parent of every batch of a scene leaves of the queue.
PARENTS: Final = ("waiting", "head", "lone_head", "late", "late_head", "empty")
STEP: Final = constants.TICK_STEP

# Most signatures are looked at again and again.
RECOVER: Final[Recover] = functools.lru_cache(maxsize=65_536)(recover_fast)

Tamper = Callable[[containers.Globals, dict[int, bytes]], None]


class Draft(msgspec.Struct):
    """A batch before the bridge has seen it: bytes, claimed roots, and the words behind the last of them."""

    bodies: list[bytes]
    roots: list[bytes]
    commitment: Commitment


class Scene:
    """One rollup; drafts change nothing of it."""

    def __init__(self, rollup: World, rng: Random, parent: str) -> None:
        assert isinstance(rollup.chain, EvmChain)
        self.rollup, self.chain, self.rng, self.parent = rollup, rollup.chain, rng, parent
        self.entries: list[bytes] = []
        self.sender = self.chain.address(SEQUENCER)
        # An operation that an earlier batch has done.
        self.used: list[bytes] = []
        self._sequence = 0
        self.tick_time = 0
        # The last bodies, and what came of them.
        self._replayed: dict[tuple[bytes, ...], list[Commitment]] = {}

    @classmethod
    async def make(cls, seed: int, parent: str, chain: EvmChain | None = None) -> "Scene":
        """Lives up to the parent: accounts, trades, a final batch, a roll-back in every second scene, a queue."""
        self = cls(await World.make(chain or EvmChain()), Random(seed), parent)
        rollup = self.rollup
        for trader in range(4):
            await rollup.deposit(trader)
        self.chain.pass_time(60)
        now = await rollup.now_ms()
        await rollup.commit([[*self.ticks(now), *self._opening(now)]])
        self.chain.pass_time(30)
        now = await rollup.now_ms()
        self.used = [rollup.venue.withdraw(1, 18, now, DOLLAR)]
        await rollup.commit([[*self.ticks(now), *self.used]])
        self.chain.pass_time(world.PARAMETERS.window_seconds - self.rng.choice([0, 20, 40]))
        if self.rng.random() < 0.5:
            await self._lose_the_seat()
        if parent != "empty":
            await self._queue()
        if parent.endswith("head"):
            await self._open_head()
        if parent in ("late", "late_head"):
            self.chain.pass_time(world.PARAMETERS.inclusion_seconds + 60)
        self.chain.pass_time(30)
        self._stand(rollup.venue.state)
        return self

    def _stand(self, state: State) -> None:
        self._replayed = {}
        self.stored = dict(state.store.iterate(b""))
        self.parent_commitment = Commitment.decode(encoding.commitment_bytes(state.commitment))
        self.tick_time = state.globals.tick_time

    def after(self, draft: Draft) -> "Scene":
        """The scene whose parent is this honest batch."""
        after = copy.copy(self)
        state = self.state()
        for body in draft.bodies:
            chunk = state.chunk(RECOVER)
            chunk.run(body)
            state.seal(chunk)
        after._stand(state)
        done = draft.commitment.queue_taken - self.parent_commitment.queue_taken
        after.entries = self.entries[done:]
        head = "head" if draft.commitment.queue_taken > draft.commitment.queue_count else ""
        after.parent = ("late_" if self.is_late else "") + head
        return after

    def _opening(self, now: int) -> list[bytes]:
        """Trader 0 sells to trader 1, trader 2 to trader 3."""
        sides = [(0, 17, constants.SELL), (1, 18, constants.BUY), (2, 19, constants.SELL), (3, 20, constants.BUY)]
        orders = [self.rollup.venue.order(trader, account, now, side=side) for trader, account, side in sides]
        return [*orders, operations.fill_bytes(0, 1, 10_000), operations.fill_bytes(2, 3, 10_000)]

    async def _lose_the_seat(self) -> None:
        tip = (await self.rollup.head()).number
        lie = await self.rollup.commit([[]], [Lie(0, claim=world.false_tree)])
        self.rollup.venue.go_back(tip)
        proof = encode_prove_fraud(lie.batch, 0, self.witness(lie.batch.chunks[0].body))
        self.chain.send_from(self.chain.address(world.RIVAL), self.rollup.bridge.address, proof)
        # A seat that opens is nobody's in the same second.
        self.chain.pass_time(1)
        await self.rollup.take_seat(SUCCESSOR)
        self.sender = self.chain.address(SUCCESSOR)

    async def _queue(self) -> None:
        """Entries of most kinds, honest ones and nonsense; those of accounts are sent by their owners."""
        account = [(17 + trader).to_bytes(3, "big") for trader in range(4)]
        cent = (10_000).to_bytes(8, "big")
        self._enter(0, constants.FORCED_WITHDRAW, account[0] + cent)
        self.entries.append(await self.rollup.deposit(1, role=world.DEPOSITOR))
        agent = TRADERS[0] + (2**47).to_bytes(6, "big") + bytes([0, 200])
        self._enter(2, constants.FORCED_AGENT, account[2] + bytes([1]) + agent)
        nobody = self.rng.choice([60, 2**24 - 1, 3]).to_bytes(3, "big")
        self._enter(1, constants.FORCED_RESCUE, bytes([self.rng.choice([0, 9])]) + nobody + (1).to_bytes(7, "big"))
        self._enter(1, constants.FORCED_CLOSE, account[1] + bytes([9]) + (1).to_bytes(13, "big"))
        self._enter(1, constants.FORCED_WITHDRAW, account[0] + cent)
        self._enter(3, constants.LEAVE, account[3])
        if self.parent != "lone_head":
            self.entries.append(await self.rollup.deposit(2, role=world.DEPOSITOR))
        self.rollup.waiting = []

    def _enter(self, trader: int, tag: int, payload: bytes) -> None:
        fee = world.PARAMETERS.entry_fee_wei
        logs = self.chain.send_from(TRADERS[trader], self.rollup.bridge.address, encode_entry(tag, payload), fee)
        (event,) = [world.events.decode_log(self.rollup.bridge, log) for log in logs]
        assert isinstance(event, world.events.Enqueued)
        self.entries.append(event.operation)

    async def _open_head(self) -> None:
        """A batch that ends while the leave is under way; what came behind it still waits."""
        self.chain.pass_time(20)
        now = await self.rollup.now_ms()
        role = SUCCESSOR if self.sender == self.chain.address(SUCCESSOR) else SEQUENCER
        begun = 1 + next(at for at, entry in enumerate(self.entries) if entry[0] == constants.LEAVE)
        await self.rollup.commit([[*self.ticks(now), *self.entries[:begun]]], role=role)
        commitment = self.rollup.venue.state.commitment
        assert commitment.queue_taken == commitment.queue_count + 1, self.rollup.venue.state.commitment
        self.entries = self.entries[begun:]

    def ticks(self, now: int) -> list[bytes]:
        """Three ticks one step apart: what steadies the forced paths."""
        last = max(self.tick_time, self.rollup.venue.state.globals.tick_time)
        return [self.rollup.venue.tick(time) for time in range(now - 2 * STEP, now + 1, STEP) if time > last]

    # What an honest operator may post.

    @property
    def is_late(self) -> bool:
        """Whether a batch up to now serves the queue alone."""
        return self.parent.startswith("late")

    @property
    def now(self) -> int:
        """L2 time of the next batch, on the tick grid."""
        milliseconds = self.chain.evm.now * 1_000
        return milliseconds - milliseconds % STEP

    def parts(self, taken: int | None = None, steps: bool | None = None) -> list[list[bytes]]:
        """Operations of three chunks: so many entries that wait, and steps of the head or none; at random unless said.

        The last of them that is not a request is always one with an effect.
        """
        rng = self.rng
        taken = rng.randrange(len(self.entries) + 1) if taken is None else taken
        steps = rng.random() < 0.5 if steps is None else steps
        first = self.ticks(self.now - STEP)
        if steps and self.parent.endswith("head"):
            first.append(self.step())
        for entry in self.entries[:taken]:
            first.append(entry)
            if steps and entry[0] == constants.LEAVE:
                first.append(self.step())
        if self.is_late:
            return [first, [], [self.rollup.venue.tick(self.now)]]
        second = [*self._trade(), self.leverage(0, 17), self.withdrawal(0, 17, DOLLAR)]
        third = [
            self.transfer(1, 18, constants.NEW_ACCOUNT, 50 * DOLLAR),
            self.cancel(0, 17),
            self.rollup.venue.tick(self.now),
        ]
        return [first, second, third]

    def bodies(self, parts: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Chunks of these operations, each with its time."""
        late = constants.QUEUE_ONLY_BIT if self.is_late else 0
        times = [self.now - STEP] * (len(parts) - 1) + [self.now]
        return [(time | late).to_bytes(6, "big") + b"".join(each) for time, each in zip(times, parts, strict=True)]

    def step(self) -> bytes:
        """A step of the leave's close against its opposite."""
        move = containers.Rescue(0, 0, 0, 19, self.rng.choice([10_000, 2_500]))
        return operations.rescue_bytes(constants.CLOSE_STEP, move)

    def _trade(self) -> list[bytes]:
        sequence, lots = self.next_sequence(), self.rng.randrange(1, 10_000)
        venue = self.rollup.venue
        sell = venue.order(0, 17, self.now - STEP, side=constants.SELL, sequence=sequence)
        buy = venue.order(1, 18, self.now - STEP, sequence=sequence)
        return [sell, buy, operations.fill_bytes(0, 1, lots)]

    def next_sequence(self) -> int:
        """A sequence that no slot has seen."""
        self._sequence += 1
        return self.now - 10**9 + self._sequence

    def signed(self, tag: int, trader: int, account: int, **fields: Any) -> bytes:
        """A request of a trader in a slot of its own."""
        now = self.now - STEP
        request = containers.Request(
            account,
            fields.pop("slot", 3),
            fields.pop("sequence", self.next_sequence()),
            now,
            now + 100_000,
            max_posting_fee=1_000,
            **fields,
        )
        digest = signatures.request_digest(self.rollup.bridge.domain_separator(), tag, request)
        return operations.request_bytes(tag, request, signatures.sign(world.TRADER_KEYS[trader], digest))

    def withdrawal(self, trader: int, account: int, amount: int) -> bytes:
        """Of an account's owner, to itself."""
        return self.signed(constants.WITHDRAW, trader, account, amount=amount, recipient=TRADERS[trader])

    def transfer(self, trader: int, account: int, other: int, amount: int) -> bytes:
        """Between two accounts."""
        return self.signed(constants.TRANSFER, trader, account, slot=4, amount=amount, other=other)

    def cancel(self, trader: int, account: int) -> bytes:
        """Of one slot."""
        return self.signed(constants.CANCEL, trader, account, slot=5)

    def leverage(self, trader: int, account: int) -> bytes:
        """A bound of the owner's own."""
        return self.signed(
            constants.SET_LEVERAGE, trader, account, slot=6, amount=self.rng.choice([100_000, 250_000, 500_000])
        )

    # What the law makes of it.

    def state(self) -> State:
        """The parent's state, for whoever replays on it."""
        store = MemoryStore()
        store.write(self.stored, sync=False)
        return State(store, self.rollup.bridge.domain_separator())

    def witness(self, body: bytes) -> bytes:
        """Of one chunk on the venue's state as it stands."""
        state = self.rollup.venue.state
        chunk = state.chunk(RECOVER)
        chunk.run(body)
        return state.witness(chunk)

    def replay(self, bodies: Sequence[bytes]) -> list[Commitment]:
        """The commitment after each chunk."""
        found = self._replayed.get(tuple(bodies))
        if found is None:
            state, found = self.state(), []
            for body in bodies:
                chunk = state.chunk(RECOVER)
                chunk.run(body)
                state.seal(chunk)
                found.append(Commitment.decode(encoding.commitment_bytes(state.commitment)))
            self._replayed = {tuple(bodies): found}
        return list(found)

    def honest(self, parts: Sequence[Sequence[bytes]] | None = None) -> Draft:
        """A batch that is true."""
        bodies = self.bodies(self.parts() if parts is None else parts)[:MAX_CHUNKS]
        return draft_of(bodies, self.replay(bodies))

    def tampered(self, bodies: Sequence[bytes], at: int, tamper: Tamper) -> Draft:
        """The law up to chunk `at`, rows or globals changed below its root, and then the law again if it bears that."""
        state, found = self.state(), []
        for index, body in enumerate(bodies):
            chunk = state.chunk(RECOVER)
            chunk.run(body)
            try:
                state.seal(chunk)
            except AssertionError:
                # Money that came from nowhere: the rest stays as it is.
                found.append(found[-1])
                continue
            if index == at:
                state = _changed(state, tamper)
            found.append(Commitment.decode(encoding.commitment_bytes(state.commitment)))
        return draft_of(bodies, found)

    # What the bridge says.

    def post(self, draft: Draft, sender: bytes | None = None, parent: tuple[int, bytes] | None = None) -> str:
        """Commits it; the bridge's reason if it refuses, "" if it stands."""
        data = self.chain.evm.call(self.sender, self.rollup.bridge.address, encode_call("head"))
        head = world.calls.decode_record(world.calls.BatchRecord, data)
        number, parent_hash = parent or (head.number, head.batch_hash)
        calldata = bridge_artifact().encode_call(
            "commit", number, parent_hash, draft.bodies, draft.roots, draft.commitment.words()
        )
        try:
            self.chain.send_from(sender or self.sender, self.rollup.bridge.address, calldata)
        except Reverted as refused:
            return refused.reason or "bare"
        return ""

    def posted(self) -> BatchCommitted:
        """The newest batch, as it was logged."""
        (log,) = self.chain.blocks[-1].logs
        event = world.events.decode_log(self.rollup.bridge, log)
        assert isinstance(event, BatchCommitted)
        return event

    def chain_after(self, count: int) -> bytes:
        """The bridge's chain after so many entries."""
        return self._view("queue_hash", count)

    @property
    def queue_length(self) -> int:
        """Entries that ever were."""
        length: int = self._view("queue_length")
        return length

    def _view(self, name: str, *arguments: Any) -> Any:
        data = self.chain.evm.call(self.sender, self.rollup.bridge.address, encode_call(name, *arguments))
        return bridge_artifact().decode_result(name, data)


def draft_of(bodies: Sequence[bytes], commitments: Sequence[Commitment]) -> Draft:
    """Bodies, and roots that open to these words."""
    return Draft(list(bodies), [each.root() for each in commitments], commitments[-1])


def _changed(state: State, tamper: Tamper) -> State:
    """Another state whose root opens to what was changed."""
    globals = encoding.globals_from_bytes(encoding.globals_bytes(state.globals))
    leaves = {int.from_bytes(key[1:], "big"): payload for key, payload in state.store.iterate(b"l")}
    tamper(globals, leaves)
    globals_data = encoding.globals_bytes(globals)
    tree = StateTree((leaf, _hash(leaf, payload)) for leaf, payload in leaves.items())
    commitment = msgspec.structs.replace(state.commitment, tree_root=tree.root, globals_hash=world.keccak(globals_data))
    store = MemoryStore()
    store.write(state_writes(encoding.commitment_bytes(commitment), globals_data, leaves.items()), sync=False)
    return State(store, state.domain)


def _hash(leaf: int, payload: bytes) -> bytes:
    if leaf & 255 == 0:
        return encoding.account_hash(encoding.account_from_payload(payload))
    return encoding.slot_hash(encoding.slot_from_payload(payload))
