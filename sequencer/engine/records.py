"""What is kept of the venue beside the state: inputs, sealed chunks, open orders and the lists, each under its key."""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import msgspec

from prover.stf import constants

CURSOR_KEY: Final = b"mcursor"
SIGNERS_KEY: Final = b"msigners"
CHUNK_KEY: Final = b"mchunk"
ORDER_KEY: Final = b"morder"
ROOT_KEY: Final = b"mroot"
WITHDRAWAL_KEY: Final = b"mwithdrawal"
TAKEN_KEY: Final = b"mtaken"
RESCUE_KEY: Final = b"mrescue"
RECEIPTS_KEY: Final = b"mreceipts"
QUEUE_KEY: Final = b"mqueue"
# Numbers of the newest writes; each row says the lowest number that is kept.
WRITE_KEY: Final = b"mwrite"
# Milliseconds, 8 bytes: what was created before is not taken, since a store rebuilt from L1 knows of no soft cancel.
NOT_BEFORE_KEY: Final = b"mnotbefore"
VOID_KEY: Final = b"mvoid"
# By the number of chunks before it: what a batch that a follower took has replaced, until it is old.
UNDO_KEY: Final = b"mundo"
# Up to which chunk the witnesses are gone: 8 bytes.
PRUNED_KEY: Final = b"mpruned"
# By account, four bytes: the day of UTC, and what its bytes cost beyond what they paid, micro-dollars.
UNPAID_KEY: Final = b"munpaid"
# Which rollup the store is of, as its node remembers it.
IDENTITY_KEY: Final = b"midentity"
# Lives of orders: each by its name, of each account its head and the ring of those that are kept, and clients' names.
LIFE_KEY: Final = b"mlife"
HEAD_KEY: Final = b"mpast"
RING_KEY: Final = b"mring"
CLIENT_KEY: Final = b"mclient"
# Dead-man switches by account.
SWITCH_KEY: Final = b"mswitch"

Writes = dict[bytes, bytes | None]


class Staged(msgspec.Struct, frozen=True):
    """Writes of `batches` stages, joined: they may reach the store once the journal is durable up to `cursor`."""

    cursor: int
    batches: int
    writes: Writes


class StagedStore(Protocol):
    """A store whose writes wait, closed into batches that the journal has to hold first."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, writes that wait included."""

    def written(self, key: bytes) -> bytes | None:
        """The value under `key` without any write that waits."""

    def write(self, puts: Mapping[bytes, bytes | None], sync: bool) -> None:
        """Keeps the writes for the batch that is open."""

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries in the store; only asked before anything is pending."""

    def stage(self, cursor: int) -> None:
        """Closes everything pending as a batch that a journal durable up to `cursor` allows to be written."""

    def staged(self, durable: int) -> Staged | None:
        """The batches that a journal durable up to `durable` allows, joined; None where there is none."""

    def persist(self, staged: Staged) -> None:
        """One atomic, synced write; the only call that may come from another thread."""

    def persisted(self, staged: Staged) -> None:
        """Lets go of what `persist` has written."""

    def flush(self) -> None:
        """Writes every batch at once."""

    def close(self) -> None:
        """Closes the store below."""


# Where an order meets one of its owner: its rest leaves, or the other one, or of both what they have in common.
CANCEL_TAKER: Final = 0
CANCEL_MAKER: Final = 1
DECREMENT: Final = 2


class Terms(msgspec.Struct, frozen=True, array_like=True):
    """What a trader asks of the venue beside the order that he signs; the law knows nothing of it.

    client: his own name for the order, empty for none. self_trade: what happens where it meets an order of its owner.
    at: of a soft cancel of all orders, when it is to happen, ms; 0 takes that back. asked: of one that was handed in
    for the end of a connection, when that was, ms: all that is open leaves now.
    group: of orders that are linked, one cancels the other; 0 for none. after: the name of the order that has to have a
    fill first; replaces: of the one that has to stand in the slot; empty for none.
    """

    client: str = ""
    self_trade: int = CANCEL_TAKER
    at: int | None = None
    group: int = 0
    after: str = ""
    replaces: str = ""
    asked: int | None = None


class Input(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happened to the venue, as the journal keeps it.

    operation: the bytes as a chunk carries them; empty for "seal now", after what stops that are due and a forced close
    under way can do by the clock alone. now: the node's clock in milliseconds.
    signer: whom the signature recovers to; empty where there is none or many. queue_only: entries of the L1 queue have
    waited so long by L1's clock that a chunk takes nothing but the queue. terms: of an order, beside what is signed.
    byte_micros: what a byte on L1 costs, micro-dollars; 0 where nothing is counted.
    """

    now: int
    operation: bytes
    signer: bytes = b""
    queue_only: bool = False
    terms: Terms | None = None
    byte_micros: int = 0


class Fill(msgspec.Struct, frozen=True, array_like=True):
    """One fill as feeds and receipts tell it. fee: of both sides; maker_fee: the maker's part of it; micro-dollars."""

    market: int
    price: int
    size: int
    maker: int
    taker: int
    maker_order: str
    taker_order: str
    maker_side: int
    fee: int
    time: int
    chunk: int
    operation: int
    maker_fee: int


class SealedChunk(msgspec.Struct, array_like=True):
    """A chunk as it is kept until its batch is final. leaves: tree address and payload of every row that it wrote."""

    number: int
    body: bytes
    pre_root: bytes
    post_root: bytes
    commitment: bytes
    witness: bytes
    operations: int
    withdrawal_count: int
    leaves: list[tuple[int, bytes]]

    @property
    def began_ms(self) -> int:
        """The time with which it begins; an entry of the queue may move its clock on."""
        return int.from_bytes(self.body[: constants.TIMESTAMP_LENGTH], "big") % constants.QUEUE_ONLY_BIT


class WithdrawalRecord(msgspec.Struct, array_like=True):
    """A withdrawal as its leaf has it, and the chunk that booked it."""

    index: int
    recipient: bytes
    amount: int
    chunk: int


class EntryRecord(msgspec.Struct, array_like=True):
    """An entry of the L1 queue and what it came to; `done` once nothing of it is left to do.

    account: whom it is about, None where it is about nobody. withdrawal: the index of what it paid, None for nothing.
    time: when L1 took it, ms; 0 where its bytes do not say so.
    """

    index: int
    tag: int
    sender: bytes
    account: int | None
    code: int
    done: bool
    withdrawal: int | None
    chunk: int
    operation: int
    time: int


class VoidedOperation(msgspec.Struct, array_like=True):
    """A signed operation that was acknowledged and will never be on L1; chunk: where it stood, 0 for in none."""

    tag: int
    account: int
    slot: int
    sequence: int
    expires_at: int
    chunk: int
    voided_at: int


class OpenOrder(msgspec.Struct, array_like=True):
    """An open order: its whole signed operation, who signed it, when it came, and whether it waits for its trigger.

    behind: the money that stands behind it, by which it keeps its place in a full book. reduced: lots that were taken
    from it without a fill. dormant: it waits for a fill of the order that it comes after, and then for its trigger.
    """

    arrival: int
    armed: bool
    remaining: int
    operation: bytes
    signer: bytes
    behind: int
    terms: Terms | None = None
    reduced: int = 0
    dormant: bool = False


def place_key(prefix: bytes, account: int, slot: int) -> bytes:
    """Where what is kept of an order slot stands in the store."""
    return prefix + (account << constants.SLOT_BITS | slot).to_bytes(4, "big")


def number_key(prefix: bytes, number: int) -> bytes:
    """Where the entry of a list or the chunk of that number stands in the store."""
    return prefix + number.to_bytes(8, "big")


def void_key(account: int, place: int) -> bytes:
    """Where the entry of that place of what is void stands in the store."""
    return VOID_KEY + account.to_bytes(4, "big") + place.to_bytes(4, "big")


def tick_of(operation: bytes) -> bytes:
    """The bytes of the tick that an operation is or brings from L1, from its tag on; nothing of any other one."""
    if operation[0] == constants.FORCED_TICK:
        return operation[constants.ENTRY_HEAD_LENGTH - 1 :]
    return operation if operation[0] == constants.TICK else b""


def signers_of(tick: bytes) -> list[int]:
    """Indices of the signers of a tick's bytes."""
    size = constants.TICK_SIGNER_LENGTH + constants.TICK_MARKET_LENGTH * tick[8]
    return [tick[constants.TICK_HEAD_LENGTH + size * place] for place in range(tick[7])]
