"""A whole rollup for tests: contracts on a chain, an honest venue over the law, and lies as data on top of it.

A liar is the honest strategy with a `Lie`: where it diverges, and in what. Everything else of it is production code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.following import Applied
from l1_bridge.client.keys import development_key
from l1_bridge.client.values import Block, Log
from l1_bridge.codec import calls, events
from l1_bridge.codec.batch import BridgeId, Chunk, Commitment
from l1_bridge.codec.calls import Parameters
from l1_bridge.contracts.artifact import load_artifact
from l1_bridge.hashing import keccak
from prover.contracts import referee
from prover.signing import operations, signatures
from prover.signing.recover import recover_fast
from prover.signing.reports import tick_digest
from prover.state import state as states
from prover.state.genesis import genesis_bytes
from prover.state.store import MemoryStore
from prover.stf import constants, containers, encoding
from prover.stf.replay import Chunk as LawChunk
from prover.stf.words import Recover
from tests.l1_bridge.evm import GAS_LIMIT, Evm, Receipt, account

DOLLAR: Final = 1_000_000
SIGNER_KEYS: Final = [keccak(b"oracle %d" % i) for i in range(7)]
OPERATOR_KEY: Final = keccak(b"operator")
TRADER_KEYS: Final = [keccak(b"trader %d" % i) for i in range(4)]
TRADERS: Final = [signatures.address_of(key) for key in TRADER_KEYS]
PRICES: Final = (600_000, 300_000, 1_500_000)
GENESIS: Final = genesis_bytes(
    signatures.address_of(OPERATOR_KEY), [signatures.address_of(key) for key in SIGNER_KEYS], 5
)
# Roles: who pays on L1. Number 3 is the challenger, as the command's default.
SEQUENCER, SUCCESSOR, CHALLENGER, RIVAL, DEPOSITOR = 0, 1, 3, 4, 5
PARAMETERS: Final = Parameters(
    window_seconds=600,
    inclusion_seconds=3_600,
    max_lag_seconds=3_600,
    unseat_seconds=86_400,
    unseat_floor_seconds=7_200,
    freeze_grace_seconds=604_800,
    spacing_seconds=1,
    bond_wei=20 * 10**18,
    minimum_deposit_micros=DOLLAR,
    proof_gas_floor=400_000,
    entry_fee_wei=10**14,
    governor=signatures.address_of(OPERATOR_KEY),
    governance_delay_seconds=3_600,
)
_GAS: Final = 16_000_000


class Chain(Protocol):
    """Where the contracts live."""

    chain_id: int

    def address(self, role: int) -> bytes:
        """L1 address of a role."""

    async def now(self) -> int:
        """L1 time in seconds of the newest block."""

    async def deploy(self, code: bytes) -> bytes:
        """Address of a new contract."""

    async def send(self, role: int, to: bytes, data: bytes, value: int = 0) -> Sequence[events.LogLike]:
        """Logs of a transaction that succeeds."""

    async def call(self, to: bytes, data: bytes) -> bytes:
        """What a view returns."""


class EvmChain:
    """The fast EVM; every transaction is a block of its own, kept as a Follower would give it."""

    def __init__(self) -> None:
        self.evm = Evm()
        self.chain_id = self.evm.chain_id
        self.blocks: list[Applied] = []
        self.branch = b"main"

    def address(self, role: int) -> bytes:
        """L1 address of a role."""
        return account(100 + role)

    async def now(self) -> int:
        """L1 time."""
        return self.evm.now

    async def deploy(self, code: bytes) -> bytes:
        """A new contract."""
        address = self.evm.deploy_code(code, sender=self.address(SEQUENCER))
        self._seal(self.evm.deployment_logs)
        return address

    async def send(self, role: int, to: bytes, data: bytes, value: int = 0) -> Sequence[events.LogLike]:
        """One transaction, one block."""
        return self.send_from(self.address(role), to, data, value)

    def send_from(
        self, sender: bytes, to: bytes, data: bytes, value: int = 0, gas: int = GAS_LIMIT
    ) -> Sequence[events.LogLike]:
        """The same of any address, also of one that owns an account on L2."""
        receipt: Receipt = self.evm.send(sender, to, data, value_wei=value, gas=gas)
        self._seal(receipt.logs)
        return receipt.logs

    async def call(self, to: bytes, data: bytes) -> bytes:
        """A view."""
        return self.evm.call(account(0), to, data)

    def pass_time(self, seconds: int) -> None:
        """Empty block after some time."""
        self.evm.now += seconds
        self._seal(())

    def _seal(self, logs: Sequence[events.LogLike]) -> None:
        number = len(self.blocks)
        parent = self.blocks[-1].block.hash if self.blocks else bytes(32)
        block_hash = keccak(self.branch + number.to_bytes(8, "big") + parent)
        block = Block(number, block_hash, parent, self.evm.now, 1)
        located = tuple(
            Log(log.address, log.topics, log.data, number, block_hash, keccak(block_hash), 0, index)
            for index, log in enumerate(logs)
        )
        self.blocks.append(Applied(block, located))


class NodeChain:
    """A real L1 node; roles are its development keys."""

    def __init__(self, client: L1Client, chain_id: int = 31_337) -> None:
        self.client = client
        self.chain_id = chain_id

    def address(self, role: int) -> bytes:
        """L1 address of a role."""
        return development_key(role).address

    async def now(self) -> int:
        """L1 time of the head."""
        head = await self.client.block()
        assert head is not None
        return head.timestamp

    async def deploy(self, code: bytes) -> bytes:
        """A new contract."""
        address, _ = await self.client.deploy(development_key(SEQUENCER), code, gas=_GAS)
        return address

    async def send(self, role: int, to: bytes, data: bytes, value: int = 0) -> Sequence[events.LogLike]:
        """One transaction, mined."""
        receipt = await self.client.send(development_key(role), to, data, value, gas=_GAS)
        return receipt.logs

    async def call(self, to: bytes, data: bytes) -> bytes:
        """A view at the head."""
        return await self.client.eth_call(to, data)


@dataclass(frozen=True)
class Lie:
    """Where and how a batch leaves the law. `patch` changes the rows before they are hashed, and the liar goes on from
    there; `body` changes the bytes after they were applied; `claim` changes what the root is said to open to."""

    at: int
    patch: Callable[[LawChunk], None] | None = None
    body: Callable[[bytes], bytes] | None = None
    claim: Callable[[Commitment], Commitment] | None = None


def theft(victim: int, thief: int, amount_micros: int) -> Callable[[LawChunk], None]:
    """Moves collateral from one account to another without anybody's signature."""

    def patch(chunk: LawChunk) -> None:
        for index, change in ((victim, -amount_micros), (thief, amount_micros)):
            if index not in chunk.accounts:
                chunk.accounts[index] = chunk.loaded_accounts[index] = chunk.rows.account(index)
            row = chunk.accounts[index]
            chunk.accounts[index] = msgspec.structs.replace(row, settled=row.settled + change)

    return patch


def false_tree(commitment: Commitment) -> Commitment:
    """A root over leaves that do not exist."""
    return msgspec.structs.replace(commitment, tree_root=keccak(b"false" + commitment.tree_root))


def open_head(commitment: Commitment) -> Commitment:
    """The last entry that was done counts as begun: the queue's hash is the same."""
    return msgspec.structs.replace(commitment, queue_count=commitment.queue_count - 1)


@dataclass
class Venue:
    """The honest sequencer: applies operations by the law and says which chunks that makes."""

    bridge: BridgeId
    state: states.State = field(init=False)
    _past: dict[int, dict[bytes, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = states.create(MemoryStore(), self.domain, GENESIS)
        self.keep(0)

    @property
    def domain(self) -> bytes:
        """What traders sign for."""
        return self.bridge.domain_separator()

    def copy(self) -> "Venue":
        """The same venue after its newest batch."""
        copied = Venue(self.bridge)
        copied._past = dict(self._past)
        copied.go_back(max(self._past))
        return copied

    def keep(self, number: int) -> None:
        """Remember the state after a batch."""
        self._past[number] = dict(self.state.store.iterate(b""))

    def go_back(self, number: int) -> None:
        """The state after a batch, as it was."""
        store = MemoryStore()
        store.write(self._past[number], sync=False)
        self.state = states.State(store, self.domain)

    def batch(
        self,
        bodies: Sequence[Sequence[bytes] | bytes],
        now_ms: int,
        lies: Sequence[Lie] = (),
        recover: Recover = recover_fast,
    ) -> tuple[list[Chunk], Commitment]:
        """Chunks of these operations (or of a whole body's bytes), and what their last root opens to."""
        chunks = []
        for index, parts in enumerate(bodies):
            body = parts if isinstance(parts, bytes) else now_ms.to_bytes(6, "big") + b"".join(parts)
            replayed = self.state.chunk(recover)
            replayed.run(body)
            lying = [lie for lie in lies if lie.at == index]
            for lie in lying:
                if lie.patch is not None:
                    lie.patch(replayed)
            self.state.seal(replayed)
            claimed = Commitment.decode(encoding.commitment_bytes(self.state.commitment))
            for lie in lying:
                body = body if lie.body is None else lie.body(body)
                claimed = claimed if lie.claim is None else lie.claim(claimed)
            chunks.append(Chunk(body, claimed.root()))
        return chunks, claimed

    # Operations, signed.

    def tick(self, time_ms: int, prices: Sequence[int] = PRICES, premium_ppb: int = 100_000) -> bytes:
        """A quorum of the oracle's signers says the same."""
        every = [*prices, *[0] * (constants.MARKETS - len(prices))]
        premiums = [premium_ppb if price else 0 for price in every]
        digest = tick_digest(self.domain, time_ms, every, premiums)
        reports = [(i, every, premiums, signatures.sign(SIGNER_KEYS[i], digest)) for i in range(5)]
        return operations.tick_bytes(time_ms, len(prices), reports)

    def order(self, trader: int, account: int, now_ms: int, **changes: int) -> bytes:
        """A signed order of a tenth of a bitcoin at the oracle price, unless said otherwise."""
        fields: dict[str, Any] = {
            "account": account,
            "market": 0,
            "side": constants.BUY,
            "size": 10_000,
            "limit_price": PRICES[0],
            "slot": 1,
            "sequence": 1,
            "created_at": now_ms,
            "expires_at": now_ms + 60_000,
            "time_in_force": 0,
            "post_only": 0,
            "reduce_only": 0,
            "trigger": 0,
            "trigger_price": 0,
            "max_fee_ppm": 1_000,
            "max_posting_fee": 1_000,
            "unused": 0,
        }
        signed = containers.Order(**(fields | changes))
        digest = signatures.order_digest(self.domain, signed)
        return operations.order_bytes(signed, signatures.sign(TRADER_KEYS[trader], digest))

    def trade(self, now_ms: int, first: int = 17, second: int = 18, sequence: int = 1) -> list[bytes]:
        """Trader 0 sells to trader 1."""
        sell = self.order(0, first, now_ms, side=constants.SELL, sequence=sequence)
        return [sell, self.order(1, second, now_ms, sequence=sequence), operations.fill_bytes(0, 1, 10_000)]

    def withdraw(self, trader: int, account: int, now_ms: int, amount_micros: int, slot: int = 2) -> bytes:
        """A signed withdrawal to the trader's own address."""
        request = containers.Request(
            account,
            slot,
            now_ms,
            now_ms,
            now_ms + 1_000,
            amount_micros,
            recipient=TRADERS[trader],
            max_posting_fee=1_000,
        )
        digest = signatures.request_digest(self.domain, constants.WITHDRAW, request)
        signature = signatures.sign(TRADER_KEYS[trader], digest)
        return operations.request_bytes(constants.WITHDRAW, request, signature)


async def deploy_law(chain: Chain) -> bytes:
    """The shipped referee over its families: code without state, which many bridges may share."""
    families = [await chain.deploy(referee.artifact(name).bytecode) for name in referee.FAMILIES]
    return await chain.deploy(referee.artifact("FraudReferee").creation_code(*families))


class World:
    """One rollup on one chain, with its honest venue."""

    def __init__(self, chain: Chain, bridge: bytes, token: bytes, parameters: Parameters) -> None:
        self.chain = chain
        self.bridge = BridgeId(chain.chain_id, bridge)
        self.token = token
        self.parameters = parameters
        self.venue = Venue(self.bridge)
        self.waiting: list[bytes] = []

    @classmethod
    async def make(cls, chain: Chain, parameters: Parameters = PARAMETERS, law: bytes | None = None) -> "World":
        """Deploys token and bridge, and the law unless one stands already, and seats the sequencer."""
        token = await chain.deploy(load_artifact("MockDollar").creation_code())
        opened = Commitment.decode(encoding.commitment_bytes(states.genesis_commitment(GENESIS)[0]))
        code = calls.encode_creation(token, law or await deploy_law(chain), parameters, opened, GENESIS)
        world = cls(chain, await chain.deploy(code), token, parameters)
        await world.take_seat()
        return world

    def copy(self, chain: Chain) -> "World":
        """The same rollup as it stands, for whoever changes it on a chain that stands so, too."""
        copied = World(chain, self.bridge.address, self.token, self.parameters)
        copied.venue = self.venue.copy()
        copied.waiting = [*self.waiting]
        return copied

    async def send(self, role: int, data: bytes, value: int = 0) -> list[events.BridgeEvent]:
        """The bridge's events of a transaction to it."""
        logs = await self.chain.send(role, self.bridge.address, data, value)
        return [events.decode_log(self.bridge, log) for log in logs if log.address == self.bridge.address]

    async def take_seat(self, role: int = SEQUENCER) -> None:
        """Bonds a sequencer."""
        await self.send(role, calls.encode_call("take_seat", "http://127.0.0.1:9"), self.parameters.bond_wei)

    async def deposit(self, trader: int, amount_micros: int = 10_000 * DOLLAR, role: int = DEPOSITOR) -> bytes:
        """Money for a new account of a trader; the entry waits until a batch takes it."""
        token = load_artifact("MockDollar")
        holder = self.chain.address(role)
        await self.chain.send(role, self.token, token.encode_call("mint", holder, amount_micros))
        await self.chain.send(role, self.token, token.encode_call("approve", self.bridge.address, amount_micros))
        (event,) = await self.send(role, calls.encode_deposit(TRADERS[trader], constants.NEW_ACCOUNT, amount_micros))
        assert isinstance(event, events.Enqueued)
        self.waiting.append(event.operation)
        return event.operation

    async def now_ms(self) -> int:
        """L2 time of the next batch, on the tick grid, never behind the state's."""
        now = await self.chain.now() * 1_000
        return max(now - now % constants.TICK_STEP, self.venue.state.commitment.timestamp)

    async def head(self) -> calls.BatchRecord:
        """The tip as the bridge keeps it."""
        answer = await self.chain.call(self.bridge.address, calls.encode_call("head"))
        return calls.decode_record(calls.BatchRecord, answer)

    async def commit(
        self,
        bodies: Sequence[Sequence[bytes] | bytes] = ((),),
        lies: Sequence[Lie] = (),
        role: int = SEQUENCER,
        recover: Recover = recover_fast,
    ) -> events.BatchCommitted:
        """Posts a batch of these operations, one chunk a list; what waits in the queue goes into the first chunk."""
        now_ms = await self.now_ms()
        first = bodies[0]
        if not isinstance(first, bytes):
            first = [*self.waiting, *first]
            self.waiting = []
        chunks, commitment = self.venue.batch([first, *bodies[1:]], now_ms, lies, recover)
        parent = await self.head()
        (event,) = await self.send(role, calls.encode_commit(parent.number, parent.batch_hash, chunks, commitment))
        assert isinstance(event, events.BatchCommitted)
        self.venue.keep(event.batch.header.number)
        return event

    async def open_accounts(self, count: int = 2) -> events.BatchCommitted:
        """Deposits of the first traders, booked in one batch with the first prices: accounts 17, 18, ..."""
        for trader in range(count):
            await self.deposit(trader)
        return await self.commit([[self.venue.tick(await self.now_ms())]])

    async def steal(self, amount_micros: int = 1_000 * DOLLAR, lies: Sequence[Lie] = ()) -> events.BatchCommitted:
        """The second chunk of three pays trader 1 with trader 0's money; the third withdraws it."""
        now = await self.now_ms()
        bodies = [
            [self.venue.tick(now)] if self.venue.state.globals.tick_time < now else [],
            [],
            [self.venue.withdraw(1, 18, now, amount_micros)],
        ]
        return await self.commit(bodies, [Lie(1, patch=theft(17, 18, amount_micros)), *lies])


# Stages that many tests begin with (tests/prover/conftest.py).


async def opened(world: World, _client: L1Client) -> None:
    """Two accounts with their first prices."""
    await world.open_accounts()


async def stolen(world: World, _client: L1Client) -> None:
    """A theft in the newest of two batches."""
    await world.open_accounts()
    await world.steal()


async def lied(world: World, _client: L1Client) -> None:
    """A first batch whose root opens to nothing."""
    await world.commit([[]], [Lie(0, claim=false_tree)])
