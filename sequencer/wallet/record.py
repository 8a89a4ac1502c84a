"""What this wallet has signed and what of it can still be used against it; also which order slot comes next."""

import fcntl
import os
from collections.abc import Container, Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from l1_bridge.files import replace_file
from sequencer.schema.answers import AcknowledgementView
from sequencer.wallet.errors import BadInput, WalletError

SLOTS: Final = range(1, 256)
# A cancel-all names no slot and raises the floor of all.
CANCEL_ALL_SLOT: Final = 0
# Statuses after which the node will not use a signature again; L1's word on it comes with the next posted batch.
DONE: Final = frozenset(("filled", "expired", "refused", "cancelled", "applied"))
_COMPACT_AT_LINES: Final = 1_000

_Line = TypeVar("_Line", bound=msgspec.Struct)


class Signed(msgspec.Struct, frozen=True):
    """One signature. `value_micros` is what it can move: the notional of an order, the amount of a payment."""

    digest: str
    kind: str
    chain_id: int
    rollup: str
    account: int
    slot: int
    sequence: int
    expires_at_ms: int
    value_micros: int
    text: str
    status: str = "signed"

    @property
    def is_done(self) -> bool:
        """Whether the node says that it is used up or void."""
        return self.status in DONE


class Exposure(msgspec.Struct, frozen=True):
    """Sums over signatures that have not expired; `open_*` leaves out those that the node calls done."""

    signatures: int
    value_micros: int
    open_signatures: int
    open_value_micros: int


def exposure(entries: Iterable[Signed], now_ms: int) -> Exposure:
    """What could still be used: until it expires, only a posted batch really takes a signature back."""
    living = [entry for entry in entries if entry.expires_at_ms >= now_ms]
    waiting = [entry for entry in living if not entry.is_done]
    return Exposure(
        signatures=len(living),
        value_micros=sum(entry.value_micros for entry in living),
        open_signatures=len(waiting),
        open_value_micros=sum(entry.value_micros for entry in waiting),
    )


class KeptReceipt(msgspec.Struct, frozen=True):
    """A receipt of a soft cancel, whose seat signed it, and from which L1 block on it could be broken."""

    chain_id: int
    rollup: str
    holder: str
    block: int
    account: int
    slot: int
    sequence: int
    time_ms: int
    running_hash: str
    signature: str


class KeptAcknowledgement(msgspec.Struct, frozen=True):
    """A promise that an operation will be posted, whose seat signed it, and from which L1 block on it can have been."""

    chain_id: int
    rollup: str
    holder: str
    block: int
    given: AcknowledgementView


class _Lines:
    """A file of lines that are added durably; one that a crash cut off counts for nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, entries: Iterable[msgspec.Struct]) -> None:
        """Adds lines durably."""
        content = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "ab") as file:
                # A line that a crash cut off must not swallow this one.
                file.write(b"\n" + content if _is_cut_off(handle) else content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WalletError(f"the wallet's record {self._path} cannot be written: {error.strerror}") from None

    def _read(self, kind: type[_Line]) -> list[_Line]:
        """Every whole line, the oldest first."""
        found: list[_Line] = []
        for line in self._lines():
            try:
                found.append(msgspec.json.decode(line, type=kind))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return found

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise WalletError(f"the wallet's record {self._path} cannot be read: {error.strerror}") from None


def _is_cut_off(handle: int) -> bool:
    """The last byte alone is read: what is kept for good grows."""
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"


class ReceiptRecord(_Lines):
    """The receipts of one address: evidence beside a fill on L1, kept for good."""

    def read(self) -> list[KeptReceipt]:
        """Every receipt, the oldest first."""
        return self._read(KeptReceipt)


class AcknowledgementRecord(_Lines):
    """The acknowledgements of one address: evidence beside what L1 does not hold, kept for good."""

    def read(self) -> list[KeptAcknowledgement]:
        """Every acknowledgement, the oldest first."""
        return self._read(KeptAcknowledgement)


class SignedRecord(_Lines):
    """The signatures of one address, in a file of its own, written before anything is sent; added while locked.

    A line a signature or change of status; the last one of a digest counts. A line cut off by a crash was never sent.
    """

    @contextmanager
    def locked(self) -> Iterator[dict[str, Signed]]:
        """The entries by digest, held against other processes of the same wallet until the block ends."""
        lock = self._path.with_suffix(".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise WalletError(f"the record of signatures at {lock} cannot be locked: {error.strerror}") from None
        with os.fdopen(handle, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield self._load()

    def read(self) -> list[Signed]:
        """Every signature as it stands, oldest first."""
        with self.locked() as entries:
            return list(entries.values())

    def mark(self, digests: Set[str], status: str) -> None:
        """Notes what became of signatures."""
        with self.locked() as entries:
            self.append(
                msgspec.structs.replace(entries[digest], status=status)
                for digest in digests
                if digest in entries and entries[digest].status != status
            )

    def compact(self, now_ms: int) -> None:
        """Forgets what has expired once the file has grown long."""
        with self.locked() as entries:
            if self._line_count() < _COMPACT_AT_LINES:
                return
            living = [entry for entry in entries.values() if entry.expires_at_ms >= now_ms]
            content = b"".join(msgspec.json.encode(entry) + b"\n" for entry in living)
            replace_file(self._path, content, is_synced=True, is_private=True)

    def _load(self) -> dict[str, Signed]:
        return {entry.digest: entry for entry in self._read(Signed)}

    def _line_count(self) -> int:
        return len(self._lines())


def next_slot(
    entries: Iterable[Signed],
    account: int,
    now_ms: int,
    node_busy: Set[int],
    hinted: int | None,
    rollup: str,
    permitted: Container[int] = SLOTS,
) -> int:
    """The lowest permitted slot in which neither the node holds an order nor an open signature of ours waits.

    Taking a slot with an order in it would replace that order. The node's hint is taken only where it is free here too.
    """
    waiting = {
        entry.slot
        for entry in entries
        if entry.account == account and entry.rollup == rollup and entry.expires_at_ms >= now_ms and not entry.is_done
    }
    busy = waiting | node_busy
    slots = [slot for slot in SLOTS if slot in permitted]
    if hinted in slots and hinted not in busy:
        return hinted
    for taken in (busy, node_busy):
        for slot in slots:
            if slot not in taken:
                return slot
    raise BadInput(
        f"all {len(slots)} order slots of account {account} that this key may use hold an order: cancel one, or name "
        "one with --slot"
    )


def last_sequence(entries: Iterable[Signed], account: int, slot: int, rollup: str) -> int:
    """The highest sequence signed for a slot or for all of them, 0 for none."""
    return max(
        (
            entry.sequence
            for entry in entries
            if (entry.account, entry.rollup) == (account, rollup) and entry.slot in (slot, CANCEL_ALL_SLOT)
        ),
        default=0,
    )
