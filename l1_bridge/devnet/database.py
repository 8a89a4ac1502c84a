"""The embedded L1's chain on disk: py-evm's database and the index that answers receipts and logs, in one LevelDB.

Every write waits in memory until `commit`, which stores it in one synced batch. So a block, its state and its index
rows appear together or not at all, whatever moment the process is killed at.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import plyvel
from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

_EVM = b"e"
_META = b"m"
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


class LogRow:
    """One log as it lies in the index: what a filter asks for, and the finished JSON."""

    __slots__ = ("_row",)

    def __init__(self, row: bytes) -> None:
        self._row = row

    @staticmethod
    def pack(address: bytes, topics: list[bytes], json: bytes) -> bytes:
        """address 20 | topic count 1 | topics 32 each | JSON."""
        return b"".join((address, bytes((len(topics),)), *topics, json))

    @property
    def address(self) -> bytes:
        """20 bytes of the contract that emitted it."""
        return self._row[:_ADDRESS_SIZE]

    @property
    def topics(self) -> list[bytes]:
        """Zero to four topics of 32 bytes."""
        count = self._row[_ADDRESS_SIZE]
        return [self._row[at : at + 32] for at in range(_TOPICS_AT, _TOPICS_AT + 32 * count, 32)]

    @property
    def json(self) -> bytes:
        """The log object as JSON-RPC answers it."""
        return self._row[_TOPICS_AT + 32 * self._row[_ADDRESS_SIZE] :]


class ChainDatabase(BaseAtomicDB):
    """py-evm's database over LevelDB plus index rows; opened by one process, read from any thread, written by one."""

    def __init__(self, directory: Path) -> None:
        """Open or create; raises DatadirError when another process holds it or it cannot be read."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._level = plyvel.DB(str(directory), create_if_missing=True, bloom_filter_bits=10)
        except plyvel.IOError as error:
            if "lock" in str(error).lower():
                raise DatadirError(f"{directory} is in use by another process") from None
            raise DatadirError(f"{directory} cannot be opened: {error}") from None
        except (OSError, plyvel.Error) as error:
            raise DatadirError(f"{directory} cannot be opened: {error}") from None
        self._waiting: dict[bytes, bytes | None] = {}

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
        if key in waiting:
            return waiting[key]
        value: bytes | None = self._level.get(key)
        return value

    # What py-evm asks of a database.

    def __getitem__(self, key: bytes) -> bytes:
        value = self._get(_EVM + key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._waiting[_EVM + key] = bytes(value)

    def __delitem__(self, key: bytes) -> None:
        if not self._exists(key):
            raise KeyError(key)
        self._waiting[_EVM + key] = None

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
        return self._get(_META + name.encode())

    def set_meta(self, name: str, value: bytes) -> None:
        """Set a named fact about this datadir."""
        self._waiting[_META + name.encode()] = value

    def put_transaction(self, transaction_hash: bytes, transaction: bytes, receipt: bytes) -> None:
        """Index one mined transaction; both values are finished JSON."""
        self._waiting[_TRANSACTION + transaction_hash] = transaction
        self._waiting[_RECEIPT + transaction_hash] = receipt

    def transaction(self, transaction_hash: bytes) -> bytes | None:
        """JSON of a mined transaction."""
        return self._get(_TRANSACTION + transaction_hash)

    def receipt(self, transaction_hash: bytes) -> bytes | None:
        """JSON of a mined transaction's receipt."""
        return self._get(_RECEIPT + transaction_hash)

    def put_block_body(self, number: int, size: int, transaction_hashes: list[bytes]) -> None:
        """Index a block that holds transactions; `size` is in bytes of RLP."""
        self._waiting[_BLOCK_BODY + number.to_bytes(8, "big")] = _BODY_HEAD.pack(size) + b"".join(transaction_hashes)

    def block_body(self, number: int) -> tuple[int, list[bytes]] | None:
        """(RLP size, transaction hashes) of a block, None for an empty one."""
        row = self._get(_BLOCK_BODY + number.to_bytes(8, "big"))
        if row is None:
            return None
        hashes = [row[at : at + _HASH_SIZE] for at in range(_BODY_HEAD.size, len(row), _HASH_SIZE)]
        return _BODY_HEAD.unpack_from(row)[0], hashes

    def put_log(self, block_number: int, log_index: int, row: bytes) -> None:
        """Index one log; `row` comes from `LogRow.pack`."""
        self._waiting[_LOG + _LOG_KEY.pack(block_number, log_index)] = row

    def logs(self, first_block: int, last_block: int) -> Iterator[LogRow]:
        """Committed logs of the blocks first..last inclusive, in chain order."""
        start = _LOG + _LOG_KEY.pack(first_block, 0)
        stop = _LOG + _LOG_KEY.pack(last_block + 1, 0)
        with self._level.iterator(start=start, stop=stop, include_key=False) as rows:
            for row in rows:
                yield LogRow(row)
