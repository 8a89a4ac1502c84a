"""A venue for the law's tests: keys, states built directly, signed operations, and both twins run on one chunk."""

import copy
import pickle
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final

import msgspec
from coincurve import PrivateKey

from l1_bridge.hashing import keccak
from prover.contracts.referee import LocalReferee, RefereeRefused
from prover.signing import operations, signatures
from prover.signing.recover import recover_fast
from prover.signing.reports import tick_digest
from prover.signing.typed_data import domain_separator
from prover.state import witness
from prover.state.genesis import DEVNET_MARKETS, MarketListing, genesis_bytes
from prover.state.state import State, genesis_commitment
from prover.state.store import MemoryStore
from prover.state.tree import StateTree
from prover.stf import constants, containers, encoding, margin, merkle
from prover.stf.replay import KINDS, Chunk, operation_length

CHAIN_ID: Final = 31_337
BRIDGE: Final = b"\x11" * 20
DOMAIN: Final = domain_separator(CHAIN_ID, BRIDGE)
# On the tick grid.
NOW: Final = 1_800_000_000_000
DOLLAR: Final = 1_000_000
EPOCH: Final = NOW // constants.EPOCH
KEYS: Final = [keccak(b"catenary test key %d" % i) for i in range(32)]
OWNERS: Final = [signatures.address_of(key) for key in KEYS]
KEY_OF: Final = dict(zip(OWNERS, KEYS, strict=True))
SIGNER_KEYS: Final = [keccak(b"catenary test signer %d" % i) for i in range(constants.SIGNERS)]
SIGNERS: Final = [signatures.address_of(key) for key in SIGNER_KEYS]
OPERATOR_KEY: Final = KEYS[0]
OPERATOR: Final = OWNERS[0]
# Agents sign for others and own nothing.
AGENTS: Final = OWNERS[20:24]
DEPOSITOR: Final = b"\x55" * 20
RECIPIENT: Final = b"\x66" * 20
FIRST: Final = constants.RESERVED_ACCOUNTS
# Micro-dollars of a fund whose multiples no test reaches.
FUND: Final = 10**18

_private_keys: Final = {key: PrivateKey(key) for key in [*KEYS, *SIGNER_KEYS]}


def sign(key: bytes, digest: bytes) -> bytes:
    """A compact signature; keys of this module are parsed once."""
    return signatures.compact(_private_keys[key].sign_recoverable(digest, hasher=None))


@cache
def referee() -> LocalReferee:
    """The shipped referee, deployed once a process."""
    return LocalReferee()


def position(size: int, cost: int, funding: int = 0) -> containers.Position:
    """A position; none where the size is zero."""
    return encoding.pack(size, cost, funding)


def account(
    owner: bytes = OWNERS[1],
    collateral: int = 1_000 * DOLLAR,
    positions: Mapping[int, containers.Position] | None = None,
    floor: int = 0,
    **changes: Any,
) -> containers.Account:
    """An account with settled collateral that holds the given positions; further fields by name."""
    held = [containers.EMPTY] * constants.MARKETS
    for market, position in (positions or {}).items():
        held[market] = position
    row = msgspec.structs.replace(
        encoding.no_account(), owner=owner, floor=floor, settled=collateral, epoch=EPOCH, positions=held
    )
    return msgspec.structs.replace(row, **changes)


@cache
def _genesis(listings: tuple[MarketListing, ...], quorum: int, signer_count: int) -> bytes:
    """Pickled, because nothing else makes a copy that shares no list as quickly."""
    return pickle.dumps(encoding.globals_from_bytes(genesis_bytes(OPERATOR, SIGNERS[:signer_count], quorum, listings)))


def terms_of(listed: containers.Market) -> dict[str, int]:
    """A market's terms of funding, as parameters call them."""
    return {
        "funding_cap_ppb": encoding.funding_cap(listed.funding_terms),
        "funding_interest_ppb": encoding.funding_interest(listed.funding_terms),
        "funding_damping_ppb": encoding.funding_damping(listed.funding_terms),
    }


def with_funds(globals: containers.Globals) -> containers.Globals:
    """Every market's fund as open-interest scaling reads it, large; the accounts that rescues draw on stay empty."""
    for market in globals.markets[: globals.market_count]:
        market.fund = FUND
    return globals


def globals_of(
    listings: tuple[MarketListing, ...] = DEVNET_MARKETS,
    quorum: int = 5,
    signer_count: int = 7,
    prices: Iterable[int] = (600_000, 300_000, 1_500_000),
    **changes: Any,
) -> containers.Globals:
    """Globals of a venue that has ticked at NOW; changes by field name."""
    globals = with_funds(pickle.loads(_genesis(listings, quorum, signer_count)))
    globals.tick_time = NOW
    for market, price in enumerate(prices):
        globals.risk.price[market] = price
        globals.markets[market].previous_price = price
    for name, value in changes.items():
        setattr(globals, name, value)
    return globals


def build_state(
    globals: containers.Globals | None = None,
    accounts: Mapping[int, containers.Account] | None = None,
    slots: Mapping[int, containers.Slot] | None = None,
    timestamp: int = NOW,
    begun: int = 0,
) -> State:
    """A state made directly: whatever these leaves and globals are, without a history that leads there."""
    globals = globals or globals_of()
    rows = {constants.FEE_ACCOUNT: account(OPERATOR, 0), **(accounts or {})}
    return planted(globals, Leaves(rows, slots or {}), timestamp, begun)


class Leaves:
    """Payloads and hashes of these rows, and the tree over them."""

    def __init__(self, rows: Mapping[int, containers.Account], slots: Mapping[int, containers.Slot]) -> None:
        leaves: dict[int, tuple[bytes, bytes]] = {}
        for index, row in rows.items():
            leaves[index << constants.SLOT_BITS] = (encoding.account_payload(row), encoding.account_hash(row))
        for index, slot in slots.items():
            leaves[index] = (encoding.slot_payload(slot), encoding.slot_hash(slot))
        self.stored = {b"l" + index.to_bytes(4, "big"): payload for index, (payload, _) in leaves.items()}
        self.tree = StateTree([(index, digest) for index, (_, digest) in leaves.items()])
        self.next_account = max(rows) + 1 if max(rows) + 1 < constants.NEW_ACCOUNT else 0


class Copies(dict[int, Any]):
    """Copies by number, each made when it is asked for: a chunk touches few of a tree's hundreds of pages."""

    def __init__(self, originals: Mapping[int, Any], copied: Callable[[Any], Any]) -> None:
        super().__init__()
        self._left, self._copied = dict(originals), copied

    def _take(self, number: int) -> None:
        if number in self._left:
            self[number] = self._copied(self._left.pop(number))

    def __getitem__(self, number: int) -> Any:
        self._take(number)
        return super().__getitem__(number)

    def get(self, number: int, default: Any = None) -> Any:
        """As a dict has it."""
        self._take(number)
        return super().get(number, default)

    def setdefault(self, number: int, default: Any = None) -> Any:
        """As a dict has it."""
        self._take(number)
        return super().setdefault(number, default)


def copy_of(tree: StateTree) -> StateTree:
    """The same tree, and what is written to the copy is not in the original, which stays as it is."""
    other = StateTree()
    other._top = tree._top.copy()
    other._pages = Copies(tree._pages, _copy_of_page)
    other._high = Copies(tree._high, dict)
    return other


def _copy_of_page(page: Any) -> Any:
    held = copy.copy(page)
    held.nodes, held.rows = page.nodes.copy(), page.rows.copy()
    return held


def begun(commitment: containers.Commitment) -> int:
    """How many entries of the queue are in its hash and not done."""
    return commitment.queue_taken - commitment.queue_count


def planted(globals: containers.Globals, leaves: Leaves, timestamp: int = NOW, begun: int = 0) -> State:
    """A state over leaves, whose tree it takes over; one tree is built, and opening a store would build another."""
    globals.next_account = max(globals.next_account, leaves.next_account)
    commitment = containers.Commitment(
        law_version=constants.LAW_VERSION,
        tree_root=containers.NO_HASH,
        withdrawals_root=merkle.frontier_root(globals.frontier, globals.withdrawal_count),
        withdrawn_total=0,
        queue_count=0,
        queue_taken=begun,
        queue_hash=containers.NO_HASH,
        timestamp=timestamp,
        globals_hash=keccak(data := encoding.globals_bytes(globals)),
    )
    store = MemoryStore()
    store.write({b"globals": data, b"commitment": encoding.commitment_bytes(commitment)}, sync=False)
    state = State(store, DOMAIN)
    commitment.tree_root = leaves.tree.root
    store.write({**leaves.stored, b"commitment": encoding.commitment_bytes(commitment)}, sync=False)
    state.tree, state.commitment = leaves.tree, commitment
    return state


def copied(state: State) -> State:
    """The same state over a store of its own."""
    store = MemoryStore()
    store.write(dict(state.store.iterate(b"")), sync=False)
    return State(store, DOMAIN)


def free_of_charge(**changes: Any) -> containers.Globals:
    """Globals of a venue without fees, so that sums of money stay round."""
    globals = globals_of(**({"posting_fee": 0} | changes))
    for market in globals.markets:
        market.maker_fee_ppm = market.taker_fee_ppm = 0
    return globals


def balanced(globals: containers.Globals, accounts: Mapping[int, containers.Account]) -> State:
    """A state whose deposits, funds and open interest are what its rows come to: the audit finds it sound."""
    globals.deposited_total = 0
    for market in globals.markets:
        market.open_interest = 0
    for index, row in accounts.items():
        globals.deposited_total += margin.collateral(row) - sum(held.cost for held in row.positions)
        for listed, held in zip(globals.markets, row.positions, strict=True):
            listed.open_interest += max(held.size, 0)
        if constants.FEE_ACCOUNT < index < constants.RESERVED_ACCOUNTS:
            globals.markets[index - 1].fund = margin.collateral(row)
    return build_state(globals, accounts)


def genesis_state() -> State:
    """The state that the devnet's genesis bytes stand for."""
    data = genesis_bytes(OPERATOR, SIGNERS, 5)
    commitment, leaves = genesis_commitment(data)
    store = MemoryStore()
    store.write(
        {
            **{b"l" + index.to_bytes(4, "big"): payload for index, payload in leaves},
            b"globals": data,
            b"commitment": encoding.commitment_bytes(commitment),
        },
        sync=False,
    )
    return State(store, DOMAIN)


# Signed operations


def order(account_index: int, **fields: Any) -> containers.Order:
    """A good buy order of 100,000 lots of market 0 at its price, signed fields by name."""
    values: dict[str, Any] = {
        "account": account_index,
        "market": 0,
        "side": constants.BUY,
        "size": 100_000,
        "limit_price": 600_000,
        "slot": 1,
        "sequence": 1,
        "created_at": NOW,
        "expires_at": NOW + 10_000,
        "time_in_force": constants.GOOD_TILL_TIME,
        "post_only": 0,
        "reduce_only": 0,
        "trigger": constants.NO_TRIGGER,
        "trigger_price": 0,
        "max_fee_ppm": 1_000,
        "max_posting_fee": 1_000,
        "unused": 0,
    }
    return containers.Order(**(values | fields))


def signed_order(message: containers.Order, key: bytes) -> bytes:
    """The bytes of an order signed by a key."""
    return operations.order_bytes(message, sign(key, signatures.order_digest(DOMAIN, message)))


def request(account_index: int, **fields: Any) -> containers.Request:
    """A request with every field that no operation needs at zero."""
    values: dict[str, Any] = {
        "account": account_index,
        "slot": 1,
        "sequence": 1,
        "created_at": NOW,
        "expires_at": NOW + 10_000,
        "amount": 0,
        "other": 0,
        "recipient": containers.NOBODY,
        "first_slot": 0,
        "last_slot": 0,
        "max_posting_fee": 1_000,
    }
    return containers.Request(**(values | fields))


def signed_request(tag: int, message: containers.Request, key: bytes) -> bytes:
    """The bytes of a request signed by a key."""
    return operations.request_bytes(tag, message, sign(key, signatures.request_digest(DOMAIN, tag, message)))


def at(now: int) -> dict[str, int]:
    """The two times of a message that is signed now and lives for ten seconds."""
    return {"created_at": now, "expires_at": now + 10_000}


def withdrawal(state: State, index: int, amount: int, now: int = NOW, **fields: Any) -> bytes:
    """A withdrawal in slot 2, signed by the owner."""
    slot = fields.get("slot", 2)
    values = {"slot": slot, "sequence": state.slot(index << 8 | slot).sequence, "recipient": RECIPIENT, **at(now)}
    message = request(index, **(values | {"amount": amount} | fields))
    return signed_request(constants.WITHDRAW, message, KEY_OF[state.account(index).owner])


def transfer(state: State, index: int, other: int, amount: int, now: int = NOW, **fields: Any) -> bytes:
    """A transfer in slot 3, signed by the owner."""
    slot = fields.get("slot", 3)
    values = {"slot": slot, "sequence": state.slot(index << 8 | slot).sequence, **at(now)}
    message = request(index, **(values | {"amount": amount, "other": other} | fields))
    return signed_request(constants.TRANSFER, message, KEY_OF[state.account(index).owner])


def trade(
    state: State, seller: int, buyer: int, size: int, price: int = 600_000, market: int = 0, now: int = NOW
) -> list[bytes]:
    """Two orders in slot 1 and their whole fill, for the beginning of a chunk; the seller makes, the buyer takes."""
    orders = []
    for index, side in ((seller, constants.SELL), (buyer, constants.BUY)):
        sequence = state.slot(index << 8 | 1).sequence + 1
        fields = {"market": market, "side": side, "size": size, "limit_price": price, "sequence": sequence}
        orders.append(signed_order(order(index, **fields, **at(now)), KEY_OF[state.account(index).owner]))
    return [*orders, operations.fill_bytes(0, 1, size)]


def deposit(
    owner: bytes, amount: int, account_index: int = constants.NEW_ACCOUNT, depositor: bytes = DEPOSITOR
) -> bytes:
    """The bytes of a deposit."""
    return operations.deposit_bytes(containers.Deposit(depositor, owner, account_index, amount))


def entry(tag: int, payload: bytes, sender: bytes = OWNERS[1], time: int = NOW) -> bytes:
    """The bytes of an entry of the L1 queue."""
    return operations.entry_bytes(tag, sender, time, payload)


def about_nobody(time: int) -> bytes:
    """An entry that leads to nothing but what its time does to a head: a stranger leaves with the fee account."""
    return entry(constants.LEAVE, bytes(constants.LEAVE_LENGTH), DEPOSITOR, time)


def owned(tag: int, account_index: int, **fields: Any) -> bytes:
    """The payload of an entry that an account's owner writes, fields by name."""
    values: dict[str, Any] = {
        "sender": containers.NOBODY,
        "time": 0,
        "account": account_index,
        "market": 0,
        "amount": 0,
        "limit": 0,
        "agent": containers.NOBODY,
        "agent_index": 0,
        "expires_at": 0,
        "first_slot": 0,
        "last_slot": 0,
    }
    return operations.entry_payload(tag, containers.Entry(**(values | fields)))


def tick(
    time: int,
    prices: list[int],
    premiums: list[int] | None = None,
    signers: Iterable[int] = range(5),
    market_count: int = 3,
    forged: int = -1,
) -> bytes:
    """The bytes of a tick in which every signer says the same; in the name of `forged` somebody else signs."""
    prices = prices + [0] * (constants.MARKETS - len(prices))
    premiums = (premiums or []) + [0] * (constants.MARKETS - len(premiums or []))
    digest = tick_digest(DOMAIN, time, prices, premiums)
    keys = [KEYS[30] if index == forged else key for index, key in enumerate(SIGNER_KEYS)]
    return operations.tick_bytes(time, market_count, [(i, prices, premiums, sign(keys[i], digest)) for i in signers])


def body_of(operations_: Iterable[bytes], timestamp: int = NOW) -> bytes:
    """A chunk body."""
    return timestamp.to_bytes(constants.TIMESTAMP_LENGTH, "big") + b"".join(operations_)


def tags_of(body: bytes) -> list[int]:
    """The tag of every operation of a body; 0 for what ends it as malformed because nobody knows the tag."""
    tags: list[int] = []
    at = constants.TIMESTAMP_LENGTH
    while at < len(body):
        size = operation_length(body, at)
        tags.append(body[at] if body[at] in KINDS else 0)
        if size == 0:
            break
        at += size
    return tags


class Played:
    """One chunk by the Python law alone, the state left where it was."""

    def __init__(self, state: State, body: bytes, recover: Any = recover_fast) -> None:
        self.body = body
        self.state = state
        self.pre_root = state.root
        self.chunk: Chunk = state.chunk(recover)
        self.chunk.run(body)
        self.codes = tuple(self.chunk.operation_codes)


class Outcome(Played):
    """One chunk by both twins, which is then the state."""

    def __init__(self, state: State, body: bytes, recover: Any = recover_fast) -> None:
        super().__init__(state, body, recover)
        self.witness = witness.build(state.tree, self.chunk)
        self.post_root = state.seal(self.chunk)
        try:
            self.vyper_root, self.vyper_codes = referee().trace(DOMAIN, self.pre_root, body, self.witness)
        except RefereeRefused:
            # The witness is what the Python twin touched: one that the other cannot run on is a difference too.
            self.vyper_root, self.vyper_codes = containers.NO_HASH, ()
        self.gas_used = referee().gas_used

    @property
    def same(self) -> bool:
        """Whether both twins came to the same root and the same codes."""
        return self.post_root == self.vyper_root and self.codes == self.vyper_codes


def run(state: State, *operations_: bytes, timestamp: int = NOW) -> Outcome:
    """Runs operations as one chunk through both twins, which must agree, and makes it the new state."""
    return run_body(state, body_of(operations_, timestamp))


def run_body(state: State, body: bytes) -> Outcome:
    """Runs any bytes as a chunk through both twins, which must agree."""
    outcome = Outcome(state, body)
    assert outcome.codes == outcome.vyper_codes, (outcome.codes, outcome.vyper_codes)
    assert outcome.post_root == outcome.vyper_root
    return outcome


def later(state: State, now: int, prices: Iterable[int] = (600_000, 300_000, 1_500_000)) -> int:
    """A tick at `now`, which stands on the grid; answers with the first time at which no grace runs any more."""
    assert run(state, tick(now, list(prices)), timestamp=now).codes == (0,)
    return max(now, state.globals.grace_until)
