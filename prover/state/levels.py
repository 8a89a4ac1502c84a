"""A dump of the tree's levels: of each account what its rows hash to, so that a start need not hash every row.

    file = magic 8 | domain 32 | records | BLAKE2b-256 of all before it
    record = account 3 | digest of its rows in the store 16 | the tree's node over them 32, ascending by account

It is a memory of hashing, and no source of anything: nodes over accounts are hashed anew up to the root, which has to
be the committed one, and a record counts only for an account whose rows in the store have its digest. So one that is
torn or damaged is refused whole, one that is stale serves the accounts that have not changed since, one with a false
node gives another root, and a row that was changed along with its record is found before the law does anything with it:
an account's own rows are hashed where it is touched first (`StateTree`). Lists that a start makes of all rows, of
owners and of who holds positions, have read it by then.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

NAME: Final = "levels"
DIGEST_BYTES: Final = 16

_MAGIC: Final = b"CATLEV01"
_DOMAIN_BYTES: Final = 32
_ACCOUNT_BYTES: Final = 3
_RECORD_BYTES: Final = _ACCOUNT_BYTES + DIGEST_BYTES + 32
_HEAD_BYTES: Final = len(_MAGIC) + _DOMAIN_BYTES
_SUM_BYTES: Final = 32


class Levels:
    """What a dump says, while a state is opened with it.

    used: accounts that it has spared; why_not: why it, or what is left of it, was not believed, one sentence or empty.
    """

    def __init__(self, records: dict[bytes, bytes] | None = None, why_not: str = "") -> None:
        """records: digest and node by the account's three bytes."""
        self.used = 0
        self.why_not = why_not
        self._records = records or {}

    def node(self, account: bytes, digest: bytes) -> bytes | None:
        """The node over an account with rows of this digest; None where the dump has none."""
        record = self._records.get(account)
        if record is None or record[:DIGEST_BYTES] != digest:
            return None
        self.used += 1
        return record[DIGEST_BYTES:]

    def refuse(self, why_not: str) -> None:
        """Nothing of it counts."""
        self.used = 0
        self.why_not = why_not
        self._records = {}

    def forget(self) -> None:
        """Lets go of the records: it has served."""
        self._records = {}


def digest_of(rows: Iterable[bytes]) -> bytes:
    """The digest of an account's rows, keys and payloads as the store yields them."""
    return blake2b(b"".join(rows), digest_size=DIGEST_BYTES).digest()


def read(path: Path, domain: bytes) -> Levels:
    """The dump in a file, an empty one with its reason where there is none of this rollup that is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Levels()
    except OSError as error:
        return Levels(why_not=f"it cannot be read: {error.strerror}")
    body, summed = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
    if blake2b(body, digest_size=_SUM_BYTES).digest() != summed:
        return Levels(why_not="it is torn or damaged")
    if body[:_HEAD_BYTES] != _MAGIC + domain or (len(body) - _HEAD_BYTES) % _RECORD_BYTES:
        return Levels(why_not="it is of another rollup or version")
    return Levels(
        {
            body[at : at + _ACCOUNT_BYTES]: body[at + _ACCOUNT_BYTES : at + _RECORD_BYTES]
            for at in range(_HEAD_BYTES, len(body), _RECORD_BYTES)
        }
    )


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """Puts a dump in its place; OSError. Not synced: what a power cut leaves of it is torn, and found to be."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.writelines(pieces)
    temporary.replace(path)


def dumped(domain: bytes, records: Iterable[tuple[int, bytes, bytes]]) -> Iterator[bytes]:
    """The pieces of a dump, one a record, of (account, digest, node), ascending."""
    summed = blake2b(_MAGIC + domain, digest_size=_SUM_BYTES)
    yield _MAGIC + domain
    for account, digest, node in records:
        piece = account.to_bytes(_ACCOUNT_BYTES, "big") + digest + node
        summed.update(piece)
        yield piece
    yield summed.digest()
