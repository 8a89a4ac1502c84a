"""The authenticated tree over accounts and their order slots: depth 32, one keccak per touched inner node.

    level 32                      root                      parent(l, r) = keccak(l ++ r), parent(0, 0) = 0,
    level 20..32   top            2^12 pages                so an empty subtree is 32 zero bytes on every level
    level  8..20   page           2^12 accounts each
    level  0..8    account        2^8 slots: slot 0 the account, 1..255 its order slots

    leaf index (u32) = account (24 bits) << 8 | slot (8 bits)

A page and the top are heaps of 2^13 nodes: root at 1, children of k at 2k and 2k + 1. Slots 0..15 are kept as bare
leaf hashes and folded anew at every touch (at most 15 keccaks); of the higher slots every non-empty node is kept. So
an account with low slots only is cheap to hold, and one with many pays 8 keccaks a touched slot, not 255 an update.

An account may be given by its node alone, as a dump of an earlier run remembers it. Its leaves are asked for where they
are needed first, and have to hash to that node.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby, islice, pairwise
from typing import Final, Self

from l1_bridge.hashing import ZERO_HASH, keccak
from prover.stf.constants import ACCOUNT_BITS, SLOT_BITS

DEPTH: Final = ACCOUNT_BITS + SLOT_BITS

_HASH_BYTES: Final = 32
_ZERO_PAIR: Final = bytes(2 * _HASH_BYTES)
_PAGE_BITS: Final = 12
_PAGE_SIZE: Final = 1 << _PAGE_BITS
_PAGE_MASK: Final = _PAGE_SIZE - 1
_PAGE_LEVEL: Final = SLOT_BITS + _PAGE_BITS
_SLOTS: Final = 1 << SLOT_BITS
_SLOT_MASK: Final = _SLOTS - 1
_LOW_BITS: Final = 4
_LOW_SLOTS: Final = 1 << _LOW_BITS
# Accounts whose folded slots are remembered, about 500 bytes each: a proof reads what the last update hashed.
_FOLDED_LIMIT: Final = 1 << 14
# Bounds what sorting and grouping hold besides the tree itself while it is filled from a store.
_BULK_LEAVES: Final = 1 << 16


class TreeError(Exception):
    """Leaves that were asked for late do not hash to the node that stands for them."""


class _Page:
    """2^12 accounts: inner nodes, and a row each: leaf hashes of slots 0..15, packed up to the last non-empty one."""

    __slots__ = ("nodes", "rows")

    def __init__(self) -> None:
        self.nodes: list[bytes] = [ZERO_HASH] * (2 * _PAGE_SIZE)
        self.rows: list[bytes] = [b""] * _PAGE_SIZE


class StateTree:
    """Leaf hashes in, root out; leaves themselves live in the store. Not safe for use from two threads."""

    def __init__(
        self,
        leaves: Iterable[tuple[int, bytes]] = (),
        bare: dict[int, bytes] | None = None,
        leaves_of: Callable[[int], Iterable[tuple[int, bytes]]] = lambda account: (),
    ) -> None:
        """Fill from (leaf index, leaf hash); ascending order, as a store yields it, is the fastest.

        bare: the nodes of accounts whose leaves are not among these, known once all have been drawn; `leaves_of` gives
        the leaves of one, when it is touched.
        """
        self._pages: dict[int, _Page] = {}
        self._top: list[bytes] = [ZERO_HASH] * (2 * _PAGE_SIZE)
        # account -> (256 >> level) + index within the account -> node, non-empty nodes over slots 16..255 only.
        self._high: dict[int, dict[int, bytes]] = {}
        # account -> packed nodes over slots 0..15 on levels 0 (its row) to 4.
        self._folded: dict[int, list[bytes]] = {}
        rest = iter(leaves)
        while bulk := dict(islice(rest, _BULK_LEAVES)):
            self._set(bulk, is_filling=True)
        self._bare: dict[int, bytes] = bare or {}
        self._leaves_of = leaves_of
        self._plant()

    def _plant(self) -> None:
        """Hashes up from the nodes of bare accounts, every node of their pages once."""
        pages = {account >> _PAGE_BITS for account in self._bare}
        for account, node in self._bare.items():
            assert len(node) == _HASH_BYTES, node
            page = self._pages.get(account >> _PAGE_BITS)
            if page is None:
                page = self._pages[account >> _PAGE_BITS] = _Page()
            page.nodes[_PAGE_SIZE + (account & _PAGE_MASK)] = node
        for page_index in pages:
            _hash_up(self._pages[page_index].nodes)
            self._top[_PAGE_SIZE + page_index] = self._pages[page_index].nodes[1]
        if pages:
            _hash_up(self._top)

    def copied(self, leaves_of: Callable[[int], Iterable[tuple[int, bytes]]]) -> Self:
        """A tree of its own that stands where this one does; `leaves_of` gives it the leaves of bare accounts."""
        other = type(self)(leaves_of=leaves_of)
        for index, page in self._pages.items():
            copy = other._pages[index] = _Page()
            copy.nodes, copy.rows = page.nodes.copy(), page.rows.copy()
        other._top = self._top.copy()
        other._high = {account: nodes.copy() for account, nodes in self._high.items()}
        other._bare = self._bare.copy()
        return other

    def fill(self, account: int) -> None:
        """Has the leaves of an account, if it is bare; TreeError where they are not those of its node."""
        node = self._bare.pop(account, None)
        if node is None:
            return
        slots = [(leaf_index & _SLOT_MASK, leaf_hash) for leaf_index, leaf_hash in sorted(self._leaves_of(account))]
        if self._set_slots(account, slots) != node:
            # Asked again it says the same: nothing is ever done with this account.
            self._bare[account] = node
            raise TreeError(f"the rows of account {account} do not hash to its node")

    @property
    def root(self) -> bytes:
        """32 bytes; zero for a tree without leaves."""
        return self._top[1]

    def update(self, leaves: Mapping[int, bytes]) -> bytes:
        """Set leaf hashes (32 zero bytes empty a leaf) and return the new root; meant to be called once a chunk."""
        return self._set(leaves, is_filling=False)

    def _set(self, leaves: Mapping[int, bytes], *, is_filling: bool) -> bytes:
        for leaf_index, leaf_hash in leaves.items():
            assert 0 <= leaf_index < 1 << DEPTH, leaf_index
            assert len(leaf_hash) == _HASH_BYTES, leaf_hash
        changed: list[tuple[int, bytes]] = []
        for account, entries in groupby(sorted(leaves.items()), lambda entry: entry[0] >> SLOT_BITS):
            slots = [(leaf_index & _SLOT_MASK, leaf_hash) for leaf_index, leaf_hash in entries]
            if not is_filling and account in self._bare:
                self.fill(account)
            node = self._fill_slots(account, slots) if is_filling else None
            changed.append((account, self._set_slots(account, slots) if node is None else node))
        # Each account climbs to where the next one's path joins, so whoever climbs on finds both children fresh.
        for (account, node), (following, _) in pairwise(changed):
            self._climb_account(account, node, (account ^ following).bit_length() - 1)
        if changed:
            self._climb_account(*changed[-1], ACCOUNT_BITS)
        return self.root

    def leaf(self, leaf_index: int) -> bytes:
        """Leaf hash at `leaf_index`, zero if empty."""
        return self.node(0, leaf_index)

    def node(self, level: int, node_index: int) -> bytes:
        """Hash over the 2^level leaves from node_index << level on (level 0 = leaves, 32 = root), zero if empty."""
        assert 0 <= level <= DEPTH, level
        assert 0 <= node_index < 1 << (DEPTH - level), node_index
        if level >= _PAGE_LEVEL:
            return self._top[(_PAGE_SIZE >> (level - _PAGE_LEVEL)) + node_index]
        page = self._pages.get(node_index >> (_PAGE_LEVEL - level))
        if page is None:
            return ZERO_HASH
        if level >= SLOT_BITS:
            width = _PAGE_SIZE >> (level - SLOT_BITS)
            return page.nodes[width + (node_index & (width - 1))]
        account = node_index >> (SLOT_BITS - level)
        if account in self._bare:
            self.fill(account)
        width = _SLOTS >> level
        return self._slot_node(page.rows[account & _PAGE_MASK], account, level, node_index & (width - 1))

    def leaves_of(self, account: int) -> list[int]:
        """Indices of an account's leaves that are not empty, ascending."""
        if account in self._bare:
            self.fill(account)
        page = self._pages.get(account >> _PAGE_BITS)
        row = b"" if page is None else page.rows[account & _PAGE_MASK]
        low = [at // _HASH_BYTES for at in range(0, len(row), _HASH_BYTES) if row[at : at + _HASH_BYTES] != ZERO_HASH]
        high = sorted(k - _SLOTS for k in self._high.get(account, ()) if k >= _SLOTS)
        return [account << SLOT_BITS | slot for slot in (*low, *high)]

    def sibling(self, level: int, node_index: int) -> bytes:
        """The node that shares its parent with (level, node_index)."""
        return self.node(level, node_index ^ 1)

    def path(self, leaf_index: int) -> list[bytes]:
        """The 32 siblings from the leaf up to below the root."""
        return self.siblings(leaf_index, DEPTH)

    def siblings(self, leaf_index: int, stop: int) -> list[bytes]:
        """The siblings beside the path of a leaf on the levels 0 to stop - 1."""
        account, slot = leaf_index >> SLOT_BITS, leaf_index & _SLOT_MASK
        page = self._pages.get(account >> _PAGE_BITS)
        if page is None:
            return [self.sibling(level, leaf_index >> level) for level in range(stop)]
        if account in self._bare:
            self.fill(account)
        row = page.rows[account & _PAGE_MASK]
        folded = self._fold_row(account, row)
        high = self._high.get(account, {})
        found: list[bytes] = []
        for level in range(min(stop, SLOT_BITS)):
            index = slot >> level ^ 1
            if index < _LOW_SLOTS >> level:
                found.append(folded[level][index * _HASH_BYTES : (index + 1) * _HASH_BYTES] or ZERO_HASH)
            elif index != 0:
                found.append(high.get((_SLOTS >> level) + index, ZERO_HASH))
            else:
                found.append(self._slot_node(row, account, level, index))
        for nodes, index, first, last in (
            (page.nodes, account & _PAGE_MASK, SLOT_BITS, _PAGE_LEVEL),
            (self._top, account >> _PAGE_BITS, _PAGE_LEVEL, DEPTH),
        ):
            k = _PAGE_SIZE + index
            for _ in range(first, min(stop, last)):
                found.append(nodes[k ^ 1])
                k >>= 1
        return found

    def _fill_slots(self, account: int, slots: list[tuple[int, bytes]]) -> bytes | None:
        """The node of a new account with low slots alone, whose row nobody may ever ask for; None for any other one."""
        page = self._pages.get(account >> _PAGE_BITS)
        last = slots[-1][0]
        if page is None or page.rows[account & _PAGE_MASK] or last >= _LOW_SLOTS or slots[-1][1] == ZERO_HASH:
            return None
        cells = [ZERO_HASH] * (last + 1)
        for slot, leaf in slots:
            cells[slot] = leaf
        page.rows[account & _PAGE_MASK] = b"".join(cells)
        for _ in range(SLOT_BITS):
            if len(cells) == 1:
                cells = [keccak(cells[0] + ZERO_HASH)]
                continue
            if len(cells) & 1:
                cells.append(ZERO_HASH)
            pairs = [left + right for left, right in zip(cells[::2], cells[1::2], strict=True)]
            cells = [keccak(pair) if pair != _ZERO_PAIR else ZERO_HASH for pair in pairs]
        return cells[0]

    def _set_slots(self, account: int, slots: list[tuple[int, bytes]]) -> bytes:
        page = self._pages.get(account >> _PAGE_BITS)
        if page is None:
            page = self._pages[account >> _PAGE_BITS] = _Page()
        row = page.rows[account & _PAGE_MASK]
        for position, (slot, leaf) in enumerate(slots):
            if slot >= _LOW_SLOTS:
                self._set_high_slots(account, slots[position:])
                break
            start = slot * _HASH_BYTES
            row = leaf if start == 0 and len(row) <= _HASH_BYTES else _replace(row, start, leaf)
        while row.endswith(ZERO_HASH):
            row = row[:-_HASH_BYTES]
        page.rows[account & _PAGE_MASK] = row
        return self._slot_node(row, account, SLOT_BITS, 0)

    def _set_high_slots(self, account: int, slots: list[tuple[int, bytes]]) -> None:
        nodes = self._high.setdefault(account, {})
        for position, (slot, node) in enumerate(slots):
            # Up to the node of index 1 on its level: its sibling is on the path of slot 0 and depends on the low slots.
            stop = slot.bit_length() - 1
            if position + 1 < len(slots):
                stop = min(stop, (slot ^ slots[position + 1][0]).bit_length() - 1)
            k = _SLOTS + slot
            _put(nodes, k, node)
            for _ in range(stop):
                other = nodes.get(k ^ 1, ZERO_HASH)
                pair = other + node if k & 1 else node + other
                node = keccak(pair) if pair != _ZERO_PAIR else ZERO_HASH
                k >>= 1
                _put(nodes, k, node)
        if not nodes:
            del self._high[account]

    def _slot_node(self, row: bytes, account: int, level: int, index: int) -> bytes:
        high = self._high.get(account, {})
        if index != 0 and index >= _LOW_SLOTS >> level:
            return high.get((_SLOTS >> level) + index, ZERO_HASH)
        low_level = min(level, _LOW_BITS)
        packed = self._fold_row(account, row)[low_level]
        node = packed[index * _HASH_BYTES : (index + 1) * _HASH_BYTES] or ZERO_HASH
        for climbed in range(low_level, level):
            pair = node + high.get((_SLOTS >> climbed) + 1, ZERO_HASH)
            node = keccak(pair) if pair != _ZERO_PAIR else ZERO_HASH
        return node

    def _fold_row(self, account: int, row: bytes) -> list[bytes]:
        folded = self._folded.get(account)
        if folded is None or folded[0] is not row:
            if len(self._folded) >= _FOLDED_LIMIT:
                self._folded.clear()
            folded = self._folded[account] = _fold(row)
        return folded

    def _climb_account(self, account: int, node: bytes, stop: int) -> None:
        page_index = account >> _PAGE_BITS
        node = _climb(self._pages[page_index].nodes, account & _PAGE_MASK, node, min(stop, _PAGE_BITS))
        if stop >= _PAGE_BITS:
            _climb(self._top, page_index, node, stop - _PAGE_BITS)


def _climb(nodes: list[bytes], index: int, node: bytes, stop: int) -> bytes:
    k = _PAGE_SIZE + index
    nodes[k] = node
    for _ in range(stop):
        pair = nodes[k - 1] + node if k & 1 else node + nodes[k + 1]
        node = keccak(pair) if pair != _ZERO_PAIR else ZERO_HASH
        k >>= 1
        nodes[k] = node
    return node


def _hash_up(nodes: list[bytes]) -> None:
    for k in range(_PAGE_SIZE - 1, 0, -1):
        pair = nodes[2 * k] + nodes[2 * k + 1]
        nodes[k] = keccak(pair) if pair != _ZERO_PAIR else ZERO_HASH


def _fold(row: bytes) -> list[bytes]:
    """Packed nodes over a packed row of leaves, on the levels 0 to 4."""
    folded = [row]
    for _ in range(_LOW_BITS):
        if len(row) & _HASH_BYTES:
            row += ZERO_HASH
        pairs = [row[start : start + 64] for start in range(0, len(row), 64)]
        row = b"".join([keccak(pair) if pair != _ZERO_PAIR else ZERO_HASH for pair in pairs])
        folded.append(row)
    return folded


def _replace(row: bytes, start: int, leaf: bytes) -> bytes:
    return row[:start].ljust(start, b"\0") + leaf + row[start + _HASH_BYTES :]


def _put(nodes: dict[int, bytes], k: int, node: bytes) -> None:
    if node == ZERO_HASH:
        nodes.pop(k, None)
    else:
        nodes[k] = node
