"""The lists beside the tree: fills, withdrawals, rescues, who may hold positions, whose account is whose."""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

import msgspec

from prover.stf import containers, encoding
from sequencer.engine.post_mortem import PostMortem
from sequencer.engine.records import (
    RESCUE_KEY,
    SIGNERS_KEY,
    WITHDRAWAL_KEY,
    Fill,
    StagedStore,
    WithdrawalRecord,
    number_key,
)

_REMEMBERED_FILLS: Final = 10_000
_REMEMBERED_RESCUES: Final = 10_000


class Ledger:
    """holders: accounts that may hold a position; whoever looks at one that does not may discard it."""

    def __init__(self, store: StagedStore) -> None:
        self._store = store
        self._accounts_of: defaultdict[bytes, list[int]] = defaultdict(list)
        self.holders: set[int] = set()
        self.fills: deque[Fill] = deque(maxlen=_REMEMBERED_FILLS)
        self.withdrawals: list[WithdrawalRecord] = [
            msgspec.msgpack.decode(value, type=WithdrawalRecord) for _, value in store.iterate(WITHDRAWAL_KEY)
        ]
        self.rescues: deque[PostMortem] = deque(
            (msgspec.msgpack.decode(value, type=PostMortem) for _, value in store.iterate(RESCUE_KEY)),
            maxlen=_REMEMBERED_RESCUES,
        )
        # Who signed the last tick: a forced close may come long after it.
        self.tick_signers: list[int] = list(store.get(SIGNERS_KEY) or b"")
        for key, value in store.iterate(b"l"):
            if key[-1] == 0:
                account = encoding.account_from_payload(value)
                index = int.from_bytes(key[1:4], "big")
                if account.owner != containers.NOBODY:
                    self.opened(index, account.owner)
                if any(encoding.unpack(position).size for position in account.positions):
                    self.holders.add(index)

    def accounts_of(self, owner: bytes) -> list[int]:
        """Indices of an owner's accounts, ascending."""
        return sorted(self._accounts_of.get(owner, ()))

    def opened(self, index: int, owner: bytes) -> None:
        """Lists an account."""
        self._accounts_of[owner].append(index)

    def touched(self, accounts: Iterable[int]) -> None:
        """Lists accounts that may hold a position from now on."""
        self.holders.update(accounts)

    def note_withdrawal(self, recipient: bytes, amount: int, chunk: int) -> int:
        """Lists a withdrawal of the tree; its index."""
        record = WithdrawalRecord(index=len(self.withdrawals), recipient=recipient, amount=amount, chunk=chunk)
        self.withdrawals.append(record)
        self._store.write({number_key(WITHDRAWAL_KEY, record.index): msgspec.msgpack.encode(record)}, sync=False)
        return record.index

    def note_rescue(self, record: PostMortem) -> PostMortem:
        """Lists a post-mortem, numbered from 0."""
        number = self.rescues[-1].number + 1 if self.rescues else 0
        record = msgspec.structs.replace(record, number=number)
        self.rescues.append(record)
        self._store.write({number_key(RESCUE_KEY, number): msgspec.msgpack.encode(record)}, sync=False)
        return record
