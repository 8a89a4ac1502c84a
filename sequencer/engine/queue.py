"""The entries of the L1 queue as the venue has consumed them, and what each came to."""

from collections import deque
from typing import Final

import msgspec

from prover.stf import constants, encoding
from prover.stf.words import word_at
from sequencer.engine.open_chunk import entered_ms
from sequencer.engine.records import QUEUE_KEY, EntryRecord, StagedStore, number_key

_REMEMBERED_ENTRIES: Final = 10_000
_ABOUT_AN_ACCOUNT: Final = (
    constants.FORCED_WITHDRAW,
    constants.FORCED_CLOSE,
    constants.LEAVE,
    constants.FORCED_AGENT,
)


class Queue:
    """The newest entries; one of them may still be the head that a close goes on with."""

    def __init__(self, store: StagedStore) -> None:
        self._store = store
        self.entries: deque[EntryRecord] = deque(maxlen=_REMEMBERED_ENTRIES)
        # Entries pass it by, however many: it is kept though it be forgotten among them.
        self.head: EntryRecord | None = None
        for _, value in store.iterate(QUEUE_KEY):
            record = msgspec.msgpack.decode(value, type=EntryRecord)
            self.entries.append(record)
            if not record.done:
                self.head = record

    def note(self, index: int, operation: bytes, code: int, is_done: bool, chunk: int, place: int) -> EntryRecord:
        """Lists an entry; what it pays, and that it is done, is added where it becomes known."""
        record = entry_record(index, operation, code, is_done, chunk, place)
        self.entries.append(record)
        if not is_done:
            self.head = record
        self._keep(record)
        return record

    def paid(self, record: EntryRecord, withdrawal: int) -> None:
        """An entry's withdrawal has been listed."""
        record.withdrawal = withdrawal
        self._keep(record)

    def ended(self, record: EntryRecord, code: int | None) -> None:
        """The head is done; code: how it ended, if not as it began."""
        record.done = True
        if code is not None:
            record.code = code
        self.head = None
        self._keep(record)

    def _keep(self, record: EntryRecord) -> None:
        self._store.write({number_key(QUEUE_KEY, record.index): msgspec.msgpack.encode(record)}, sync=False)


def entry_record(index: int, operation: bytes, code: int, is_done: bool, chunk: int, place: int) -> EntryRecord:
    """What is kept of an entry, by its bytes; chunk and place are where it stands."""
    tag = operation[0]
    account = None
    if tag in _ABOUT_AN_ACCOUNT:
        account = encoding.entry(tag, 0, word_at(operation, constants.ENTRY_HEAD_LENGTH)).account
    return EntryRecord(
        index=index,
        tag=tag,
        sender=operation[1:21],
        account=account,
        code=code,
        done=is_done,
        withdrawal=None,
        chunk=chunk,
        operation=place,
        time=entered_ms(operation),
    )
