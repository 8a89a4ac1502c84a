"""The entries of the L1 queue as the venue has consumed them, and what each came to."""

from collections import deque
from typing import Final

import msgspec

from prover.stf import constants, encoding
from prover.stf.words import word_at
from sequencer.engine.records import QUEUE_KEY, EntryRecord, StagedStore, number_key

_REMEMBERED_ENTRIES: Final = 10_000
_ABOUT_AN_ACCOUNT: Final = (
    constants.FORCED_WITHDRAW,
    constants.FORCED_CLOSE,
    constants.LEAVE,
    constants.FORCED_AGENT,
)


class Queue:
    """The newest entries; the last one may still be the head that a close goes on with."""

    def __init__(self, store: StagedStore) -> None:
        self._store = store
        self.entries: deque[EntryRecord] = deque(
            (msgspec.msgpack.decode(value, type=EntryRecord) for _, value in store.iterate(QUEUE_KEY)),
            maxlen=_REMEMBERED_ENTRIES,
        )

    def note(self, index: int, operation: bytes, code: int, is_done: bool, chunk: int, place: int) -> EntryRecord:
        """Lists an entry; what it pays and whether it is done is added where it becomes known."""
        tag = operation[0]
        account = None
        if tag in _ABOUT_AN_ACCOUNT:
            account = encoding.entry(tag, 0, word_at(operation, constants.ENTRY_HEAD_LENGTH)).account
        record = EntryRecord(
            index=index,
            tag=tag,
            sender=operation[1:21],
            account=account,
            code=code,
            done=is_done,
            withdrawal=None,
            chunk=chunk,
            operation=place,
            time=0 if tag == constants.DEPOSIT else encoding.entry_time(word_at(operation, 1)),
        )
        self.entries.append(record)
        self._keep()
        return record

    def went_on(self, is_done: bool, withdrawal: int | None, code: int | None = None) -> None:
        """What has become of the last entry. withdrawal: what was paid just now; code: how it ended, if otherwise."""
        head = self.entries[-1]
        head.done = is_done
        if withdrawal is not None:
            head.withdrawal = withdrawal
        if code is not None:
            head.code = code
        self._keep()

    def _keep(self) -> None:
        record = self.entries[-1]
        self._store.write({number_key(QUEUE_KEY, record.index): msgspec.msgpack.encode(record)}, sync=False)
