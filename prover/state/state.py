"""The state of the rollup: tree, leaves, globals and commitment over a store; one atomic write a sealed chunk."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, TypeVar

import msgspec

from l1_bridge.hashing import keccak
from prover.state import witness
from prover.state.genesis import legal_globals
from prover.state.levels import Levels, digest_of
from prover.state.store import Store, StoreUnavailable
from prover.state.tree import StateTree, TreeError
from prover.stf import constants, containers, encoding, margin, merkle
from prover.stf.replay import Chunk
from prover.stf.words import Recover, word
from prover.watch.watchlist import Watchlist

_LEAF: Final = b"l"
_COMMITMENT: Final = b"commitment"
_GLOBALS: Final = b"globals"
_DECODED_LIMIT: Final = 65_536
# About a kilobyte each.
_IMAGE_LIMIT: Final = 16_384

_ZEROS: Final = bytes(32)

_Row = TypeVar("_Row")


class _Image(msgspec.Struct, frozen=True):
    """An account as it was encoded last: its positions, their words, and its payload."""

    positions: list[containers.Position]
    words: list[bytes]
    payload: bytes


class StateError(Exception):
    """What the store holds is not the state that it says it is."""


class State:
    """The current state. `store` keys: b"l" + tree address -> leaf payload, b"commitment", b"globals", b"m" + name.

    `sealed_leaves`: tree address and payload of every row that the last seal wrote. `watched_by`: who is told of each
    account that a seal changes.
    """

    def __init__(
        self, store: Store, domain: bytes, accounts: dict[int, bytes] | None = None, levels: Levels | None = None
    ) -> None:
        """Opens the state in `store`; StateError when it holds none, or rows that are not those it commits to.

        accounts: takes the payload of every account, ascending, for who would walk over all rows again; levels: what
        an earlier run remembers of the tree, refused where it does not lead to the root. Rows that it spared are hashed
        when their account is touched first: StoreUnavailable where they are not those of the root.
        """
        self.store = store
        self.domain = domain
        commitment = store.get(_COMMITMENT)
        globals_data = store.get(_GLOBALS)
        if commitment is None or globals_data is None:
            raise StateError("the store holds no state")
        self.commitment = encoding.commitment_from_bytes(commitment)
        if keccak(globals_data) != self.commitment.globals_hash:
            raise StateError("the globals in the store do not hash to the committed ones")
        self.globals = encoding.globals_from_bytes(globals_data)
        self.sealed_leaves: list[tuple[int, bytes]] = []
        self.watched_by: list[Watchlist] = []
        self._globals_data = globals_data
        self._images: dict[int, _Image] = {}
        self._accounts: dict[int, containers.Account] = {}
        self._slots: dict[int, containers.Slot] = {}
        # Of accounts that the tree knows by their nodes alone: the last byte of each row's key.
        self._bare_slots: dict[int, bytes] = {}
        # Of each account the digest of its rows, empty where they have changed.
        self._digests: dict[int, bytes] = {}
        levels = Levels() if levels is None else levels
        self.tree = self._built({} if accounts is None else accounts, levels)
        if self.tree.root != self.commitment.tree_root and levels.used:
            levels.refuse("its nodes do not hash to the committed root")
            self.tree = self._built({} if accounts is None else accounts, levels)
        levels.forget()
        if self.tree.root != self.commitment.tree_root:
            raise StateError("the leaves in the store do not hash to the committed tree root")

    def _built(self, accounts: dict[int, bytes], levels: Levels) -> StateTree:
        """The tree over the store's rows; of accounts that `levels` knows the nodes alone."""
        bare: dict[int, bytes] = {}
        self._bare_slots = {}

        def leaves() -> Iterator[tuple[int, bytes]]:
            # Most accounts use the same few slots.
            kept: dict[bytes, bytes] = {}
            for name, rows in groupby(self.store.iterate(_LEAF), _account_of):
                held = list(rows)
                index = int.from_bytes(name, "big")
                if held[0][0][-1] == 0:
                    accounts[index] = held[0][1]
                digest = self._digests[index] = digest_of([part for row in held for part in row])
                node = levels.node(name, digest)
                if node is None:
                    for key, payload in held:
                        leaf = int.from_bytes(key[1:], "big")
                        yield leaf, leaf_hash(leaf, payload)
                    continue
                slots = bytes([key[-1] for key, _ in held])
                bare[index] = node
                self._bare_slots[index] = kept.setdefault(slots, slots)

        return StateTree(leaves(), bare, self._leaves_of)

    def _leaves_of(self, index: int) -> Iterator[tuple[int, bytes]]:
        """The leaves of an account that the tree knows by its node alone."""
        for slot in self._bare_slots[index]:
            leaf = index << constants.SLOT_BITS | slot
            yield leaf, leaf_hash(leaf, self.payload(leaf))

    def payload(self, leaf_index: int) -> bytes:
        """What the store holds of a leaf, as it is hashed; nothing where there is none."""
        return self.store.get(_leaf_key(leaf_index)) or b""

    def _require_rows(self, index: int) -> None:
        """The rows of an account, of which one is about to be read, are those that the root commits to."""
        try:
            self.tree.fill(index)
        except (TreeError, ValueError) as error:
            raise StoreUnavailable(f"The store is not the state of its root: {error}.") from None
        self._bare_slots.pop(index, None)

    def remembered(self) -> Iterator[tuple[int, bytes, bytes]]:
        """What a dump of levels holds of each account: index, digest of its rows and node, ascending.

        The state may change between two of them: each is true when it is given.
        """
        for index in sorted(self._digests):
            digest = self._digests[index]
            if not digest:
                leaves = self.tree.leaves_of(index)
                digest = digest_of([part for leaf in leaves for part in (_leaf_key(leaf), self.payload(leaf))])
                self._digests[index] = digest
            yield index, digest, self.tree.node(constants.SLOT_BITS, index)

    @property
    def root(self) -> bytes:
        """The state root."""
        return encoding.state_root(self.commitment)

    def account(self, index: int) -> containers.Account:
        """The account at an index; the empty account where nobody opened one."""
        account = self._accounts.get(index)
        if account is None:
            self._require_rows(index)
            payload = self.store.get(_leaf_key(index << constants.SLOT_BITS))
            account = encoding.no_account() if payload is None else encoding.account_from_payload(payload)
            _bound(self._accounts, _DECODED_LIMIT)
            self._accounts[index] = account
        return account

    def slot(self, leaf_index: int) -> containers.Slot:
        """The order slot at a tree address; the empty slot where none was used."""
        slot = self._slots.get(leaf_index)
        if slot is None:
            self._require_rows(leaf_index >> constants.SLOT_BITS)
            payload = self.store.get(_leaf_key(leaf_index))
            slot = encoding.no_slot() if payload is None else encoding.slot_from_payload(payload)
            _bound(self._slots, _DECODED_LIMIT)
            self._slots[leaf_index] = slot
        return slot

    def chunk(self, ecrecover: Recover) -> Chunk:
        """A new chunk on top of this state; nothing of it is in the state before `seal`."""
        return Chunk(self.domain, self.commitment, self.globals, self, ecrecover)

    def witness(self, chunk: Chunk) -> bytes:
        """The witness of a chunk that is about to be sealed on this state."""
        assert chunk.pre_commitment is self.commitment, "the tree stands at the chunk's pre-root"
        payloads = {index: self._images[index].payload for index in chunk.loaded_accounts if index in self._images}
        return witness.build(self.tree, chunk, payloads, self._globals_data)

    def seal(self, chunk: Chunk, extra: dict[bytes, bytes | None] | None = None, sync: bool = False) -> bytes:
        """Makes a chunk the new state in one atomic write; returns the post-root.

        `extra` goes into the same write (batch contents, cursors), under keys of the caller's that start with b"m".
        """
        assert chunk.pre_commitment is self.commitment, "a chunk is sealed on the state that it was begun on"
        _assert_conserved(chunk)
        hashes: dict[int, bytes] = {}
        leaves: list[tuple[int, bytes]] = []
        _bound(self._images, _IMAGE_LIMIT)
        for index, account in chunk.accounts.items():
            if account is not chunk.loaded_accounts[index]:
                leaf = index << constants.SLOT_BITS
                hashes[leaf], payload = self._encoded(index, account)
                leaves.append((leaf, payload))
        for leaf, slot in chunk.slots.items():
            if slot is not chunk.loaded_slots[leaf]:
                hashes[leaf] = encoding.slot_hash(slot)
                leaves.append((leaf, encoding.slot_payload(slot)))
        changed = {leaf >> constants.SLOT_BITS for leaf in hashes}
        self._digests.update(dict.fromkeys(changed, b""))
        for watchlist in self.watched_by:
            watchlist.note(changed)
        commitment = chunk.commitment
        commitment.tree_root = self.tree.update(hashes)
        commitment.withdrawals_root = merkle.frontier_root(chunk.globals.frontier, chunk.globals.withdrawal_count)
        globals_data = encoding.globals_bytes(chunk.globals)
        commitment.globals_hash = keccak(globals_data)
        writes: dict[bytes, bytes | None] = {_leaf_key(leaf): payload for leaf, payload in leaves}
        writes[_COMMITMENT] = encoding.commitment_bytes(commitment)
        writes[_GLOBALS] = globals_data
        if extra:
            writes.update(extra)
        self.store.write(writes, sync=sync)
        self.commitment = commitment
        self.globals = chunk.globals
        self.sealed_leaves = leaves
        self._globals_data = globals_data
        self._accounts.update(chunk.accounts)
        self._slots.update(chunk.slots)
        return self.root

    def _encoded(self, index: int, account: containers.Account) -> tuple[bytes, bytes]:
        """`encoding.account_hash` and `account_payload` at once; only positions that changed are packed anew."""
        image = self._images.get(index)
        packed = encoding.no_account().positions if image is None else image.positions
        words = [containers.NO_HASH] * constants.MARKETS if image is None else image.words.copy()
        held = 0
        for market, position in enumerate(account.positions):
            if position is not packed[market]:
                words[market] = encoding.position_word(position)
            if position is not containers.EMPTY:
                held |= 1 << market
        digest = keccak(encoding.account_head(account) + b"".join(words) + word(account.factor))
        payload = b"".join(
            [
                encoding.account_payload_head(account),
                held.to_bytes(2, "big"),
                *[words[market] for market in range(constants.MARKETS) if held >> market & 1],
            ]
        )
        self._images[index] = _Image(account.positions, words, payload)
        return containers.NO_HASH if digest == encoding.EMPTY_ACCOUNT else digest, payload


def _assert_conserved(chunk: Chunk) -> None:
    """Invariant: money comes in by deposits and leaves by withdrawals, to the last fraction of a micro-dollar.

    In units of micro-dollar / FUNDING_SCALE. Sizes of a market sum to zero over all accounts, so what is pending there
    is minus the sum of size * (index at the last settlement): rows that the chunk did not touch cancel out. A settled
    market's positions become money one by one; each counts as what it will become.
    """
    risk = chunk.globals.risk
    settled = [market.status == constants.MARKET_SETTLED for market in chunk.globals.markets]
    money = 0
    sizes = [0] * constants.MARKETS
    longs = [0] * constants.MARKETS
    for index, account in chunk.accounts.items():
        before = chunk.loaded_accounts[index]
        if account is before:
            continue
        for sign, row in ((1, account), (-1, before)):
            money += sign * margin.collateral(row) * constants.FUNDING_SCALE
            for market, position in enumerate(row.positions):
                # Most positions stay the same object: they add nothing here and nothing below.
                if position is before.positions[market] and position is account.positions[market]:
                    continue
                money += sign * (position.size * position.funding - position.cost * constants.FUNDING_SCALE)
                if settled[market]:
                    worth = risk.price[market] * constants.FUNDING_SCALE - risk.funding_index[market]
                    money += sign * position.size * worth
                sizes[market] += sign * position.size
                longs[market] += sign * max(position.size, 0)
    globals, pre_globals = chunk.globals, chunk.pre_globals
    money += globals.funding_dust - pre_globals.funding_dust
    # What debtors were credited, and nobody has paid yet.
    pool, pre_pool = globals.pool, pre_globals.pool
    money -= (pool.receivable + pool.owed - pre_pool.receivable - pre_pool.owed) * constants.FUNDING_SCALE
    deposited = globals.deposited_total - pre_globals.deposited_total
    withdrawn = chunk.commitment.withdrawn_total - chunk.pre_commitment.withdrawn_total
    assert money == (deposited - withdrawn) * constants.FUNDING_SCALE, "conservation"
    for market in range(constants.MARKETS):
        if settled[market]:
            continue
        growth = globals.markets[market].open_interest - pre_globals.markets[market].open_interest
        assert sizes[market] == 0, "sizes sum to zero"
        assert longs[market] == growth, "open interest is the sum of the longs"


def _bound(cache: dict[int, _Row], limit: int) -> None:
    # The oldest half goes at once: cheaper than an order kept on each read.
    if len(cache) >= limit:
        for key in list(cache)[: limit // 2]:
            del cache[key]


def _leaf_key(leaf_index: int) -> bytes:
    return _LEAF + leaf_index.to_bytes(4, "big")


def _account_of(row: tuple[bytes, bytes]) -> bytes:
    return row[0][1:4]


def leaf_hash(leaf_index: int, payload: bytes) -> bytes:
    """What the tree keeps of a row: an account's where the index ends in a zero byte, else an order slot's.

    From the payload itself: the words are there already, and a start hashes every row. ValueError where the payload is
    none.
    """
    if leaf_index & 255:
        if len(payload) != witness.SLOT_PAYLOAD_BYTES:
            raise ValueError("order slot payload of a wrong length")
        return keccak(_ZEROS[:17] + payload) if payload != _ZEROS[: witness.SLOT_PAYLOAD_BYTES] else containers.NO_HASH
    held = int.from_bytes(payload[150:152], "big")
    if len(payload) != encoding.ACCOUNT_PAYLOAD_BYTES + 32 * held.bit_count():
        raise ValueError("account payload of a wrong length")
    words = [_ZEROS] * constants.MARKETS
    at = encoding.ACCOUNT_PAYLOAD_BYTES
    while held:
        words[(held & -held).bit_length() - 1] = payload[at : at + 32]
        held &= held - 1
        at += 32
    digest = keccak(
        b"".join(
            [
                _ZEROS[:12],
                payload[:20],
                _ZEROS[:25],
                payload[20:27],
                *[word(int.from_bytes(payload[i : i + 16], "big") - encoding.COLLATERAL_BIAS) for i in (27, 43, 59)],
                _ZEROS[:28],
                payload[75:79],
                _ZEROS[:29],
                payload[79:82],
                _ZEROS[:4],
                payload[82:110],
                _ZEROS[:4],
                payload[110:138],
                *words,
                _ZEROS[:20],
                payload[138:150],
            ]
        )
    )
    return containers.NO_HASH if digest == encoding.EMPTY_ACCOUNT else digest


def create(store: Store, domain: bytes, genesis: bytes) -> State:
    """Writes the genesis state into an empty store and opens it.

    `genesis` is the canonical bytes of globals; the tree holds the fee account alone, owned by the operator.
    """
    if store.get(_COMMITMENT) is not None:
        raise StateError("the store already holds a state")
    commitment, leaves = genesis_commitment(genesis)
    store.write(state_writes(encoding.commitment_bytes(commitment), genesis, leaves), sync=True)
    return State(store, domain)


def state_writes(commitment: bytes, globals_data: bytes, leaves: Iterable[tuple[int, bytes]]) -> dict[bytes, bytes]:
    """What a store holds of a state whose canonical bytes and leaf payloads are these; `State` checks the root."""
    return {
        **{_leaf_key(leaf): payload for leaf, payload in leaves},
        _GLOBALS: globals_data,
        _COMMITMENT: commitment,
    }


def genesis_commitment(genesis: bytes) -> tuple[containers.Commitment, list[tuple[int, bytes]]]:
    """Commitment and leaf payloads of the first state; ValueError unless the genesis bytes are legal."""
    globals = legal_globals(genesis)
    fees = msgspec.structs.replace(encoding.no_account(), owner=globals.operator)
    tree = StateTree([(constants.FEE_ACCOUNT << constants.SLOT_BITS, encoding.account_hash(fees))])
    commitment = containers.Commitment(
        law_version=constants.LAW_VERSION,
        tree_root=tree.root,
        withdrawals_root=containers.NO_HASH,
        withdrawn_total=0,
        queue_count=0,
        queue_taken=0,
        queue_hash=containers.NO_HASH,
        timestamp=0,
        globals_hash=keccak(genesis),
    )
    return commitment, [(constants.FEE_ACCOUNT << constants.SLOT_BITS, encoding.account_payload(fees))]
