"""The embedded L1's chain on disk: py-evm's database and the index that answers receipts and logs, in one LevelDB.

Every write waits in memory until `commit`, which stores it in one synced batch. So a block, its state and its index
rows appear together or not at all, whatever moment the process is killed at.

Generations. A row belongs to the generation in which it was written, or for ever: genesis, what created a contract, and
of each kind of log the first few. Reading looks into the newest generation, the one before it, and what stays. `turn`
begins a generation, `drop` ends the one before: with it goes a stretch of history, and what the newest state still
needs of it was copied before by `copy`. What is dropped is deleted a piece at a time by `sweep`, also in the next run.
"""

import heapq
import struct
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Self

import msgspec
import plyvel
from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

# What an opening that failed leaves in an empty directory.
_WITHOUT_DATA = ("LOCK", "LOG", "LOG.old")
_FOR_EVER = b"p"
_OF_A_TIME = b"t"
_GENERATION = struct.Struct(">I")
# Of the logs with one address and first topic: whoever looks for what is rare finds it however old it is.
KEPT_OF_A_KIND = 16
# Whoever emits logs chooses their first topics, and whoever sends transactions the contracts: so many of one contract
# are kinds, of so many contracts, the first ones. Of all others nothing stays.
KINDS_OF_A_CONTRACT = 64
CONTRACTS_OF_KINDS = 1_024
# Of what has created a contract as many stay.
KEPT_CREATIONS = 1_024
# Deleted at once.
_SWEPT = 5_000
# How many logs of a kind there were, counted to the first that is not kept, and the block of the last one counted.
_SEEN = struct.Struct(">BQ")

_EVM = b"e"
_META = b"m"
_KIND = b"k"
_KIND_COUNT = b"c"
_CREATION_COUNT = b"n"
_TRANSACTION = b"t"
_RECEIPT = b"r"
_BLOCK_BODY = b"b"
_LOG = b"l"

_BODY_HEAD = struct.Struct(">I")
_LOG_KEY = struct.Struct(">QI")
_HASH_SIZE = 32
_ADDRESS_SIZE = 20
_TOPICS_AT = _ADDRESS_SIZE + 1


class DatadirError(Exception):
    """The datadir cannot be used: in use, unreadable, or of another chain. One sentence for the operator."""


class _Generations(msgspec.Struct, frozen=True):
    """The newest generation's number, its first block, and that of the one before where there is one."""

    newest: int
    since: int
    earlier_since: int | None


class LogRow:
    """One log as it lies in the index: what a filter asks for, and the finished JSON."""

    __slots__ = ("row",)

    def __init__(self, row: bytes) -> None:
        """row: address 20 | topic count 1 | topics 32 each | JSON."""
        self.row = row

    @classmethod
    def of(cls, address: bytes, topics: list[bytes], json: bytes) -> Self:
        """A log that was just emitted."""
        return cls(b"".join((address, bytes((len(topics),)), *topics, json)))

    @property
    def kind(self) -> bytes:
        """Its address and its first topic, if it has one."""
        return self.address + b"".join(self.topics[:1])

    @property
    def address(self) -> bytes:
        """20 bytes of the contract that emitted it."""
        return self.row[:_ADDRESS_SIZE]

    @property
    def topics(self) -> list[bytes]:
        """Zero to four topics of 32 bytes."""
        count = self.row[_ADDRESS_SIZE]
        return [self.row[at : at + 32] for at in range(_TOPICS_AT, _TOPICS_AT + 32 * count, 32)]

    @property
    def json(self) -> bytes:
        """The log object as JSON-RPC answers it."""
        return self.row[_TOPICS_AT + 32 * self.row[_ADDRESS_SIZE] :]


def _text(error: Exception) -> str:
    """What LevelDB says of it, which plyvel hands over as bytes."""
    reason = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(error)


class ChainDatabase(BaseAtomicDB):
    """py-evm's database over LevelDB plus index rows; opened by one process, read from any thread, written by one."""

    def __init__(self, directory: Path) -> None:
        """Open or create; raises DatadirError when another process holds it or it cannot be read."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # Where any file of a chain is left, a missing or damaged one is damage: LevelDB would begin a new chain in
            # its place, or go on with holes.
            is_new = all(entry.name in _WITHOUT_DATA for entry in directory.iterdir())
            self._level = plyvel.DB(
                str(directory), create_if_missing=is_new, paranoid_checks=True, bloom_filter_bits=10
            )
            foreign = next(self._level.iterator(include_value=False, stop=_FOR_EVER), None)
        except plyvel.IOError as error:
            if "lock" in str(error).lower():
                raise DatadirError(f"{directory} is in use by another process") from None
            raise DatadirError(f"{directory} cannot be opened: {_text(error)}") from None
        except (OSError, plyvel.Error) as error:
            raise DatadirError(f"{directory} cannot be opened: {_text(error)}") from None
        self._waiting: dict[bytes, bytes | None] = {}
        if foreign is not None:
            self._level.close()
            raise DatadirError(f"{directory} was written by another version of the embedded L1")
        kept = self.meta("generations")
        self._become(_Generations(1, 0, None) if kept is None else msgspec.json.decode(kept, type=_Generations))
        # Rows are of no time until genesis stands.
        self._is_founding = self.meta("chain_id") is None

    def _become(self, generations: "_Generations") -> None:
        self._generations = generations
        # In which a row may stand, the first looked into first.
        count = 1 if generations.earlier_since is None else 2
        times = range(generations.newest, generations.newest - count, -1)
        self._places = (*(_OF_A_TIME + _GENERATION.pack(time) for time in times), _FOR_EVER)

    @property
    def since(self) -> int:
        """The first block of the newest generation."""
        return self._generations.since

    @property
    def has_earlier(self) -> bool:
        """Whether there is a generation before the newest."""
        return self._generations.earlier_since is not None

    @property
    def first_block(self) -> int:
        """The oldest block of which everything is here, but for genesis."""
        earlier = self._generations.earlier_since
        return self.since if earlier is None else earlier

    def founded(self) -> None:
        """What was written until now stays for ever."""
        self._is_founding = False

    def turn(self, block: int) -> None:
        """A block is the first of a new generation; durable at once."""
        assert not self.has_earlier, "of three generations one is dropped first"
        assert not self._waiting, "between two blocks"
        self._note(_Generations(self._generations.newest + 1, block, self.since))

    def drop(self) -> None:
        """The generation before the newest is gone; durable at once."""
        assert self.has_earlier, "there is one"
        self._note(_Generations(self._generations.newest, self.since, None))

    def _note(self, generations: "_Generations") -> None:
        # Durable first: what is written from here on is found by the next run, whatever this one comes to.
        self._level.put(_FOR_EVER + _META + b"generations", msgspec.json.encode(generations), sync=True)
        self._become(generations)

    def copy(self, keys: list[bytes]) -> None:
        """Rows of py-evm's, addressed by their content, into the newest generation, and at once: they never change."""
        with self._level.write_batch() as batch:
            for key in keys:
                if self._level.get(self._places[0] + _EVM + key) is None:
                    batch.put(self._places[0] + _EVM + key, self[key])

    def sweep(self) -> None:
        """Deletes a piece of what was dropped."""
        generations = self._generations
        oldest = _OF_A_TIME + _GENERATION.pack(generations.newest - (generations.earlier_since is not None))
        with self._level.iterator(start=_OF_A_TIME, stop=oldest, include_value=False) as rows:
            doomed = list(islice(rows, _SWEPT))
        with self._level.write_batch() as batch:
            for key in doomed:
                batch.delete(key)
        if 0 < len(doomed) < _SWEPT:
            # Else every later look would pass over what was deleted.
            self._level.compact_range(start=_OF_A_TIME, stop=oldest)

    def close(self) -> None:
        """Release the directory; what was not committed is dropped."""
        self._level.close()

    def commit(self) -> None:
        """Make everything written since the last commit durable, at once."""
        with self._level.write_batch(transaction=True, sync=True) as batch:
            for key, value in self._waiting.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
        # After the batch and by replacement: a reader in another thread finds each key in one of the two places.
        self._waiting = {}

    def discard(self) -> None:
        """Forget everything written since the last commit."""
        self._waiting = {}

    def _get(self, key: bytes) -> bytes | None:
        waiting = self._waiting
        for place in self._places:
            placed = place + key
            if placed in waiting:
                return waiting[placed]
            value: bytes | None = self._level.get(placed)
            if value is not None:
                return value
        return None

    def _put(self, key: bytes, value: bytes | None, *, is_kept: bool = False) -> None:
        place = _FOR_EVER if is_kept or self._is_founding else self._places[0]
        self._waiting[place + key] = value

    # What py-evm asks of a database.

    def __getitem__(self, key: bytes) -> bytes:
        value = self._get(_EVM + key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._put(_EVM + key, bytes(value))

    def __delitem__(self, key: bytes) -> None:
        if not self._exists(key):
            raise KeyError(key)
        for place in self._places:
            self._waiting[place + _EVM + key] = None

    def _exists(self, key: bytes) -> bool:
        return self._get(_EVM + key) is not None

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """All writes of the context or none; durable only with the next `commit`."""
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:
            yield batch

    # The index.

    def meta(self, name: str) -> bytes | None:
        """A named fact about this datadir, None when it was never set."""
        key = _FOR_EVER + _META + name.encode()
        waiting = self._waiting
        return waiting[key] if key in waiting else self._level.get(key)

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a named fact about this datadir."""
        self._put(_META + name.encode(), value, is_kept=True)

    def put_transaction(self, transaction_hash: bytes, transaction: bytes, receipt: bytes, *, is_kept: bool) -> None:
        """Index one mined transaction; both values are finished JSON. is_kept: for ever, if it is one of the first."""
        if is_kept:
            count = self._counted(_CREATION_COUNT)
            is_kept = count < KEPT_CREATIONS
            if is_kept:
                self._put(_CREATION_COUNT, (count + 1).to_bytes(4, "big"), is_kept=True)
        self._put(_TRANSACTION + transaction_hash, transaction, is_kept=is_kept)
        self._put(_RECEIPT + transaction_hash, receipt, is_kept=is_kept)

    def transaction(self, transaction_hash: bytes) -> bytes | None:
        """JSON of a mined transaction."""
        return self._get(_TRANSACTION + transaction_hash)

    def receipt(self, transaction_hash: bytes) -> bytes | None:
        """JSON of a mined transaction's receipt."""
        return self._get(_RECEIPT + transaction_hash)

    def put_block_body(self, number: int, size: int, transaction_hashes: list[bytes]) -> None:
        """Index a block that holds transactions; `size` is in bytes of RLP."""
        row = _BODY_HEAD.pack(size) + b"".join(transaction_hashes)
        self._put(_BLOCK_BODY + number.to_bytes(8, "big"), row)

    def block_body(self, number: int) -> tuple[int, list[bytes]] | None:
        """(RLP size, transaction hashes) of a block, None for an empty one."""
        row = self._get(_BLOCK_BODY + number.to_bytes(8, "big"))
        if row is None:
            return None
        hashes = [row[at : at + _HASH_SIZE] for at in range(_BODY_HEAD.size, len(row), _HASH_SIZE)]
        return _BODY_HEAD.unpack_from(row)[0], hashes

    def put_log(self, block_number: int, log_index: int, log: LogRow) -> None:
        """Index one log; the first of its kind stay for ever."""
        kind = _KIND + log.kind
        told = self._get(kind)
        if told is None and not self._is_kind(log.address):
            if self.meta("other_kinds") is None:
                self.set_meta("other_kinds", block_number.to_bytes(8, "big"))
            count = KEPT_OF_A_KIND
        else:
            count, _ = (0, 0) if told is None else _SEEN.unpack(told)
            if count <= KEPT_OF_A_KIND:
                self._put(kind, _SEEN.pack(count + 1, block_number), is_kept=True)
        self._put(_LOG + _LOG_KEY.pack(block_number, log_index), log.row, is_kept=count < KEPT_OF_A_KIND)

    def _is_kind(self, address: bytes) -> bool:
        """Counts one kind more of a contract, if there may be one."""
        if not self._may_have_kinds(address):
            return False
        kinds = self._counted(_KIND_COUNT + address)
        if kinds == 0:
            self._put(_KIND_COUNT, (self._counted(_KIND_COUNT) + 1).to_bytes(4, "big"), is_kept=True)
        self._put(_KIND_COUNT + address, (kinds + 1).to_bytes(4, "big"), is_kept=True)
        return True

    def _may_have_kinds(self, address: bytes) -> bool:
        """Whether a contract may have more kinds than it has."""
        kinds = self._counted(_KIND_COUNT + address)
        return kinds < KINDS_OF_A_CONTRACT if kinds else self._counted(_KIND_COUNT) < CONTRACTS_OF_KINDS

    def _counted(self, key: bytes) -> int:
        return int.from_bytes(self._get(key) or b"", "big")

    def logs(self, first_block: int, last_block: int) -> Iterator[LogRow]:
        """Committed logs of the blocks first..last inclusive, in chain order; of blocks before `first_block` those
        that are kept for ever."""
        start, stop = _LOG + _LOG_KEY.pack(first_block, 0), _LOG + _LOG_KEY.pack(last_block + 1, 0)
        with ExitStack() as stack:
            found = [
                stack.enter_context(self._level.iterator(start=place + start, stop=place + stop))
                for place in self._places
            ]
            for _, row in heapq.merge(*found, key=lambda pair: pair[0][-_LOG_KEY.size :]):
                yield LogRow(row)

    def has_dropped(self, addresses: Collection[bytes], first_topics: Collection[bytes]) -> bool:
        """Whether logs that such a filter wants were dropped; empty: of any address, or of any first topic."""
        if self._has_dropped_others(addresses, first_topics):
            return True
        place = _FOR_EVER + _KIND
        with self._level.iterator(prefix=place) as rows:
            for key, told in rows:
                address, topic = key[len(place) :][:_ADDRESS_SIZE], key[len(place) + _ADDRESS_SIZE :]
                count, block = _SEEN.unpack(told)
                is_wanted = (not addresses or address in addresses) and (not first_topics or topic in first_topics)
                if is_wanted and count > KEPT_OF_A_KIND and block < self.first_block:
                    return True
        return False

    def _has_dropped_others(self, addresses: Collection[bytes], first_topics: Collection[bytes]) -> bool:
        """The same of logs that are of no kind: which there were, nobody knows any more."""
        since = self.meta("other_kinds")
        if since is None or int.from_bytes(since, "big") >= self.first_block:
            return False
        if not addresses:
            return True
        full = [address for address in addresses if not self._may_have_kinds(address)]
        if not first_topics:
            return bool(full)
        return any(self._get(_KIND + address + topic) is None for address in full for topic in first_topics)
