"""The lists beside the tree: fills, withdrawals, rescues, who may hold positions, whose account is whose."""

from array import array
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from prover.stf import constants, containers, encoding
from prover.watch.glance import Glance, matters, of_payload
from prover.watch.watchlist import CALLED_MULTIPLE, Watchlist
from sequencer.engine.money.posting import Unpaid
from sequencer.engine.post_mortem import PostMortem
from sequencer.engine.records import (
    RESCUE_KEY,
    SIGNERS_KEY,
    VOID_KEY,
    WITHDRAWAL_KEY,
    StagedStore,
    VoidedOperation,
    WithdrawalRecord,
    number_key,
)

_REMEMBERED_RESCUES: Final = 10_000
_LEAF_BYTES: Final = 32
_NO_POSITIONS: Final = [containers.EMPTY] * constants.MARKETS


class Withdrawals:
    """Every withdrawal of the tree: records in the store, in memory a leaf of 32 bytes and a place in the index."""

    def __init__(self, store: StagedStore) -> None:
        self._store = store
        self._leaves = bytearray()
        self._of: defaultdict[bytes, array[int]] = defaultdict(lambda: array("I"))
        for _, value in store.iterate(WITHDRAWAL_KEY):
            self.listed(msgspec.msgpack.decode(value, type=WithdrawalRecord))

    def __len__(self) -> int:
        return len(self._leaves) // _LEAF_BYTES

    def __getitem__(self, index: int) -> WithdrawalRecord:
        """By index, from the end where that is below zero; IndexError for one that is not there."""
        value = self._store.get(number_key(WITHDRAWAL_KEY, range(len(self))[index]))
        assert value is not None, "what is listed is in the store"
        return msgspec.msgpack.decode(value, type=WithdrawalRecord)

    def newest_of(self, recipient: bytes) -> Iterator[WithdrawalRecord]:
        """Those of a recipient, the newest first."""
        return (self[index] for index in reversed(self._of.get(recipient, array("I"))))

    def leaves(self, count: int) -> list[bytes]:
        """The tree's leaves of the first `count`."""
        return [bytes(self._leaves[at : at + _LEAF_BYTES]) for at in range(0, count * _LEAF_BYTES, _LEAF_BYTES)]

    def add(self, recipient: bytes, amount: int, chunk: int) -> WithdrawalRecord:
        """Lists one more."""
        record = WithdrawalRecord(index=len(self), recipient=recipient, amount=amount, chunk=chunk)
        self._store.write({number_key(WITHDRAWAL_KEY, record.index): msgspec.msgpack.encode(record)}, sync=False)
        self.listed(record)
        return record

    def listed(self, record: WithdrawalRecord) -> None:
        """Lists one more that is, or will be, in the store."""
        self._of[record.recipient].append(record.index)
        self._leaves += encoding.withdrawal_hash(record.index, record.recipient, record.amount)


class Ledger:
    """holders: accounts that hold a position.

    watchlist: those that may be below maintenance.
    """

    def __init__(self, store: StagedStore, risk: containers.Risk, accounts: Mapping[int, bytes]) -> None:
        """accounts: the payload of every account, ascending."""
        self._store = store
        self._accounts_of: defaultdict[bytes, list[int]] = defaultdict(list)
        self.holders: set[int] = set()
        self.withdrawals = Withdrawals(store)
        self.unpaid = Unpaid(store)
        self.rescues: deque[PostMortem] = deque(
            (msgspec.msgpack.decode(value, type=PostMortem) for _, value in store.iterate(RESCUE_KEY)),
            maxlen=_REMEMBERED_RESCUES,
        )
        # What an owner was acknowledged and a re-sequencing made void, the oldest first.
        self._voided: defaultdict[int, list[VoidedOperation]] = defaultdict(list)
        for _, value in store.iterate(VOID_KEY):
            void = msgspec.msgpack.decode(value, type=VoidedOperation)
            self._voided[void.account].append(void)
        # Who signed the last tick: a forced close may come long after it.
        self.tick_signers: list[int] = list(store.get(SIGNERS_KEY) or b"")
        self.watchlist = Watchlist(multiple=1)
        self._call_watchlist: Watchlist | None = Watchlist(multiple=CALLED_MULTIPLE)
        # Whom the open chunk tells of every account that changes.
        self.watching = [self.watchlist, self._call_watchlist]
        # Everybody is looked at once, before anybody waits for it.
        Watchlist.look_together(self.watching, risk, self._opened(risk, accounts))

    def _opened(self, risk: containers.Risk, accounts: Mapping[int, bytes]) -> Iterator[tuple[int, Glance]]:
        """Lists the accounts; gives those that hold positions, or owe."""
        for index, payload in accounts.items():
            if payload[:20] != containers.NOBODY:
                self.opened(index, payload[:20])
            if len(payload) > encoding.ACCOUNT_PAYLOAD_BYTES:
                self.holders.add(index)
            if matters(payload):
                yield index, of_payload(risk, payload)

    def watch_calls(self, watched_by: list[Watchlist]) -> Watchlist:
        """A watchlist of those near a margin call; for whoever asks first everybody was looked at already.

        watched_by: where a further one is told of what changes.
        """
        watchlist, self._call_watchlist = self._call_watchlist, None
        if watchlist is None:
            watchlist = Watchlist(multiple=CALLED_MULTIPLE)
            watchlist.note(self.holders)
            watched_by.append(watchlist)
        return watchlist

    def accounts_of(self, owner: bytes) -> list[int]:
        """Indices of an owner's accounts, ascending."""
        return sorted(self._accounts_of.get(owner, ()))

    def voided_of(self, account: int) -> Sequence[VoidedOperation]:
        """What was signed for an account and is void, the oldest first."""
        return self._voided.get(account, ())

    def stands(self, void: VoidedOperation) -> None:
        """One that was void has come again."""
        self._voided[void.account].remove(void)

    def opened(self, index: int, owner: bytes) -> None:
        """Lists an account."""
        self._accounts_of[owner].append(index)

    def touched(self, rows: Iterable[tuple[int, containers.Account]]) -> None:
        """Lists whoever holds a position, of accounts that may have changed."""
        for index, account in rows:
            if account.positions == _NO_POSITIONS:
                self.holders.discard(index)
            else:
                self.holders.add(index)

    def note_withdrawal(self, recipient: bytes, amount: int, chunk: int) -> int:
        """Lists a withdrawal of the tree; its index."""
        return self.withdrawals.add(recipient, amount, chunk).index

    def note_rescue(self, record: PostMortem) -> PostMortem:
        """Lists a post-mortem, numbered from 0."""
        number = self.rescues[-1].number + 1 if self.rescues else 0
        most = self.rescues.maxlen or _REMEMBERED_RESCUES
        record = msgspec.structs.replace(record, number=number)
        self.rescues.append(record)
        # What a restart would not remember either is no longer kept.
        self._store.write(
            {
                number_key(RESCUE_KEY, number): msgspec.msgpack.encode(record),
                **({number_key(RESCUE_KEY, number - most): None} if number >= most else {}),
            },
            sync=False,
        )
        return record
