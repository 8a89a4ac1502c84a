"""A rollup with honest batches in every state that a proof may meet, on the shipped bytecode.

Final ones, provable ones, some that were rolled back with a lie below them, and followers of a lie that still stands;
each chunk with its bytes, its place and the witness that replays it.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

import msgspec

from l1_bridge.codec.batch import MAX_CHUNK_BYTES, Batch, Commitment
from l1_bridge.codec.calls import Bond, decode_record, encode_call, encode_prove_fraud
from l1_bridge.codec.events import BatchCommitted
from l1_bridge.contracts.artifact import Artifact, bridge_artifact, load_artifact
from prover.contracts.referee import GAS_LIMIT
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.state import witness
from prover.state.state import State, genesis_commitment
from prover.state.store import MemoryStore
from prover.stf import constants, encoding
from tests.l1_bridge.evm import Contract, Evm, account, compile_stub
from tests.prover import world
from tests.prover.world import EvmChain, Lie, World

LIAR, HONEST, SECOND_LIAR, FOLLOWER = 0, 1, 3, 4
# Pairs of accounts; the first of each is trader 0's, the second trader 1's.
PAIRS: Final = 8
ATTACKER: Final = account(77)
CHALLENGER: Final = account(78)


class Posted(msgspec.Struct, frozen=True):
    """A chunk of a batch that was posted, and the witness that replays it."""

    batch: Batch
    index: int
    pre_root: bytes
    witness: bytes

    @property
    def body(self) -> bytes:
        """The chunk's bytes."""
        return self.batch.chunks[self.index].body

    def proof(self) -> bytes:
        """Calldata of prove_fraud against this chunk."""
        return encode_prove_fraud(self.batch, self.index, self.witness)


class History:
    """The rollup's life, and what was posted in it."""

    def __init__(self, rollup: World, payee: Contract, rng: Random) -> None:
        self.rollup = rollup
        self.payee = payee
        self.rng = rng
        self.final: list[Posted] = []
        self.provable: list[Posted] = []
        self.rolled_back: list[Posted] = []
        # Of those whose bond fell already, and of the liar whose lie still stands.
        self.slashed, self.lying_bond = {1}, 3
        # The lie, which can be proven, and honest chunks beside and above it.
        self.lie: Posted
        self.beside: list[Posted] = []
        self.states: list[Mapping[bytes, bytes]] = []

    @property
    def evm(self) -> Evm:
        """The chain."""
        assert isinstance(self.rollup.chain, EvmChain)
        return self.rollup.chain.evm

    @classmethod
    async def make(cls, seed: int, bridge: Artifact | None = None) -> "History":
        """Lives it: a final batch, a lie and its follower rolled back, honest batches, a lie with a follower."""
        chain = EvmChain()
        token = await chain.deploy(load_artifact("MockDollar").creation_code())
        opened = Commitment.decode(encoding.commitment_bytes(genesis_commitment(world.GENESIS)[0]))
        arguments = (token, await world.deploy_law(chain), world.PARAMETERS.words(), opened.words(), world.GENESIS)
        address = await chain.deploy((bridge or bridge_artifact()).creation_code(*arguments))
        rollup = World(chain, address, token, world.PARAMETERS)
        self = cls(rollup, chain.evm.deploy(compile_stub("StubPayee")), Random(seed))
        await rollup.take_seat(LIAR)
        await self._live()
        return self

    def _pass_time(self, seconds: int) -> None:
        assert isinstance(self.rollup.chain, EvmChain)
        self.rollup.chain.pass_time(seconds)

    async def _live(self) -> None:
        rollup, window = self.rollup, world.PARAMETERS.window_seconds
        for number in range(2 * PAIRS):
            await rollup.deposit(number % 2)
        self.final += await self._honest(LIAR, 0)
        lie = await self._lie(LIAR)
        await self._hand_over(LIAR, HONEST)
        self.rolled_back += [*lie, *await self._honest(HONEST, 1)]
        self.send(lie[-1].proof())
        rollup.venue.go_back(1)
        self._pass_time(window)
        for number in range(2, 5):
            self._pass_time(10)
            self.provable += await self._honest(HONEST, number)
        await self._hand_over(HONEST, SECOND_LIAR)
        *self.beside, self.lie = await self._lie(SECOND_LIAR)
        await self._hand_over(SECOND_LIAR, FOLLOWER)
        self.beside += await self._honest(FOLLOWER, 5)

    async def _hand_over(self, old: int, new: int) -> None:
        await self.rollup.send(old, encode_call("resign", self.evm.now))
        await self.rollup.take_seat(new)

    async def _honest(self, role: int, number: int) -> list[Posted]:
        """Ticks, trades, withdrawals, bytes without sense, and nothing at all."""
        rollup, rng = self.rollup, self.rng
        self._pass_time(5)
        now = await rollup.now_ms()
        time = now.to_bytes(6, "big")
        junk = self._junk(time)
        bodies: list[Any] = [
            [rollup.venue.tick(now), *(self._trades(now, number) if number else ())],
            [] if not number else [rollup.venue.withdraw(1, 18, now, world.DOLLAR * number)],
            rng.choice([junk, time, time + bytes(9), time + b"\xff" * 50]),
        ]
        return await self._posted(role, bodies, ())

    def _junk(self, time: bytes) -> bytes:
        """Bytes without sense that are no entry by chance: the bridge takes none that its queue does not have."""
        state = self.rollup.venue.state
        while True:
            junk = time + self.rng.randbytes(self.rng.randrange(200, MAX_CHUNK_BYTES - 6))
            replayed = state.chunk(recover_fast)
            replayed.run(junk)
            if replayed.commitment.queue_taken == state.commitment.queue_taken:
                return junk

    def _trades(self, now_ms: int, sequence: int) -> list[bytes]:
        """Some pairs of accounts trade, all orders first: rows, slots and siblings enough to be shuffled."""
        venue, orders = self.rollup.venue, []
        for pair in sorted(self.rng.sample(range(PAIRS), self.rng.randrange(1, PAIRS + 1))):
            seller, buyer = 17 + 2 * pair, 18 + 2 * pair
            orders.append(venue.order(0, seller, now_ms, side=constants.SELL, sequence=sequence))
            orders.append(venue.order(1, buyer, now_ms, sequence=sequence))
        return [*orders, *(operations.fill_bytes(place, place + 1, 10_000) for place in range(0, len(orders), 2))]

    async def _lie(self, role: int) -> list[Posted]:
        """An honest chunk and a theft; other bytes in each, or a wrong index would be a right proof."""
        self._pass_time(5)
        now = await self.rollup.now_ms()
        return await self._posted(
            role, [[self.rollup.venue.tick(now)], []], [Lie(1, patch=world.theft(17, 18, 1_000 * world.DOLLAR))]
        )

    async def _posted(self, role: int, bodies: Sequence[Any], lies: Sequence[Lie]) -> list[Posted]:
        venue = self.rollup.venue
        stored = dict(venue.state.store.iterate(b""))
        event: BatchCommitted = await self.rollup.commit(bodies, lies, role)
        found = []
        state = state_of(stored, venue.domain)
        for index, chunk in enumerate(event.batch.chunks):
            self.states.append(dict(state.store.iterate(b"")))
            replayed = state.chunk(recover_fast)
            replayed.run(chunk.body)
            found.append(Posted(event.batch, index, state.root, witness.build(state.tree, replayed)))
            if state.seal(replayed) != chunk.post_root:
                break
        return found

    def send(self, calldata: bytes, sender: bytes = CHALLENGER, gas: int = GAS_LIMIT, evm: Evm | None = None) -> None:
        """One transaction to the bridge."""
        (evm or self.evm).send(sender, self.rollup.bridge.address, calldata, gas=gas)

    def act(self, calldata: bytes, value_wei: int = 0, gas: int = GAS_LIMIT, inner: int = GAS_LIMIT) -> None:
        """The same by the contract that refuses or answers ether, which hands on at most `inner` gas."""
        fields = (self.rollup.bridge.address, calldata, inner)
        self.payee.send("act", *fields, sender=ATTACKER, value_wei=value_wei, gas=gas)

    def view(self, name: str, *arguments: Any) -> Any:
        """What the bridge answers."""
        data = self.evm.call(ATTACKER, self.rollup.bridge.address, encode_call(name, *arguments))
        return bridge_artifact().decode_result(name, data)

    def bond(self, number: int) -> Bond:
        """A bond as it stands."""
        return decode_record(Bond, self.evm.call(ATTACKER, self.rollup.bridge.address, encode_call("bond", number)))


def state_of(stored: Mapping[bytes, bytes], domain: bytes) -> State:
    """The state that these entries of a store are."""
    store = MemoryStore()
    store.write(stored, sync=False)
    return State(store, domain)
