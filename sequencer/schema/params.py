"""What each method takes. A misspelt parameter is refused."""

from typing import Annotated, Final, Literal

import msgspec

from prover.stf import constants
from sequencer.schema.values import AccountIndex, Byte, Bytes20, HexBytes, OrderId, OrderIdIfAny, RepeatedUint64, Uint64

LIST_LIMIT: Final = 200
BOOK_LEVELS: Final = 50
MOST_ORDERS: Final = 100
# Cancels that a connection hands in for its end.
MOST_AT_END: Final = 16
# Grid times of the oracle's reports: ten minutes of them are kept.
KEPT_ROUNDS: Final = 128
# All prices at zero are no prices any more; a rise to eleven times is where nobody looks further.
LOWEST_SHOCK_BP: Final = -9_999
HIGHEST_SHOCK_BP: Final = 100_000
# What a simulated price may be made to move by at one step.
MOST_MOVE_PPM: Final = 20_000
# As many as there may ever be markets.
MOST_BETAS: Final = constants.MARKETS

Limit = Annotated[int, msgspec.Meta(ge=1, le=LIST_LIMIT)]
Index = Annotated[int, msgspec.Meta(ge=0)]
# A market by name or index.
MarketKey = str | int
# How much of a shock a market takes, in basis points; a price that moves against the others has a negative one.
Beta = Annotated[int, msgspec.Meta(ge=-100_000, le=100_000)]
Uint24 = Annotated[int, msgspec.Meta(ge=0, lt=2**24)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, lt=2**48)]
Group = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
SelfTrade = Literal["cancel_taker", "cancel_maker", "decrement"]
# Printable ASCII, no blanks.
ClientId = Annotated[str, msgspec.Meta(max_length=64, pattern="^[!-~]*$")]
Kind = Literal["order", "withdraw", "transfer", "cancel", "cancel_all", "set_agent", "set_leverage"]


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For methods that take nothing."""


class AtRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest posted root, or the newest final one."""

    final: bool = False


class OfAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account."""

    account: AccountIndex


class OfOwner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One owner's address."""

    owner: Bytes20


class OfMarket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One market by name or index."""

    market: MarketKey
    levels: Annotated[int, msgspec.Meta(ge=1, le=BOOK_LEVELS)] = 20


class WithdrawalsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Withdrawals by recipient, or of all accounts of the owner of one."""

    account: AccountIndex | None = None
    recipient: Bytes20 | None = None


class DepositsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Deposits under way to an owner, or to an account and its owner."""

    account: AccountIndex | None = None
    owner: Bytes20 | None = None


class OfIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One withdrawal."""

    index: Index


class QueueOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest entries, of one account or of all, or the one with this index."""

    index: Index | None = None
    account: AccountIndex | None = None
    limit: Limit = 20


class Newest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = 20


class ContributionOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account, and a shock in basis points, of all markets or of one by name or index.

    betas_bp: by a market's name, how much of the shock it takes, 10,000 all of it as a market that is not named.
    """

    account: AccountIndex
    shock_bp: Annotated[int, msgspec.Meta(ge=LOWEST_SHOCK_BP, le=HIGHEST_SHOCK_BP)] = -1_000
    market: MarketKey | None = None
    betas_bp: Annotated[dict[str, Beta], msgspec.Meta(max_length=MOST_BETAS)] = {}


class PostMortemsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest rescues, of one account or of all."""

    account: AccountIndex | None = None
    limit: Limit = 20


class RankingOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side of one market by name or index."""

    market: MarketKey
    side: Literal["long", "short"]
    limit: Limit = 50


class OrderFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed order word. side: 0 buys, 1 sells; time_in_force: 0 GTC, 1 IOC, 2 FOK; trigger: 0, 1 (>=), 2 (<=)."""

    account: AccountIndex
    market: Byte
    side: Annotated[int, msgspec.Meta(ge=0, le=1)]
    size_lots: Uint64
    limit_price_ticks: Uint64
    slot: Byte
    sequence: Uint64
    created_at_ms: Uint64
    expires_at_ms: Uint64
    time_in_force: Annotated[int, msgspec.Meta(ge=0, le=3)]
    post_only: bool
    reduce_only: bool
    trigger: Annotated[int, msgspec.Meta(ge=0, le=3)]
    trigger_price_ticks: Uint64
    max_fee_ppm: Annotated[int, msgspec.Meta(ge=0, lt=2**16)]
    max_posting_fee_micros: Uint24


class RequestFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed fields of a request that is no order; those that it lacks are left out.

    to_account 16,777,215 opens an account for the same owner; agent_index: 0 or 1; an agent left out is dismissed.
    """

    account: AccountIndex
    sequence: Uint64
    created_at_ms: Uint64
    expires_at_ms: Uint64
    slot: Byte = 0
    amount_micros: Uint64 = msgspec.field(default_factory=lambda: Uint64(0))
    recipient: Bytes20 = msgspec.field(default_factory=lambda: Bytes20(20))
    to_account: AccountIndex = 0
    agent_index: Byte = 0
    agent: Bytes20 = msgspec.field(default_factory=lambda: Bytes20(20))
    agent_expires_at_ms: Uint64 = msgspec.field(default_factory=lambda: Uint64(0))
    first_slot: Byte = 0
    last_slot: Byte = 0
    initial_ppm: Uint24 = 0
    max_posting_fee_micros: Uint24 = 0


class UnsignedOperation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An operation without signature: its kind and any of its signed fields; what is left out is filled in.

    Of an order the fields of OrderFields, of all others those of RequestFields.
    """

    kind: Kind
    account: AccountIndex
    market: Byte | None = None
    side: Annotated[int, msgspec.Meta(ge=0, le=1)] | None = None
    size_lots: RepeatedUint64 | None = None
    limit_price_ticks: RepeatedUint64 | None = None
    slot: Byte | None = None
    sequence: RepeatedUint64 | None = None
    created_at_ms: RepeatedUint64 | None = None
    expires_at_ms: RepeatedUint64 | None = None
    time_in_force: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    trigger: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = None
    trigger_price_ticks: RepeatedUint64 | None = None
    max_fee_ppm: Annotated[int, msgspec.Meta(ge=0, lt=2**16)] | None = None
    max_posting_fee_micros: Uint24 | None = None
    amount_micros: RepeatedUint64 | None = None
    recipient: Bytes20 | None = None
    to_account: AccountIndex | None = None
    agent_index: Byte | None = None
    agent: Bytes20 | None = None
    agent_expires_at_ms: RepeatedUint64 | None = None
    first_slot: Byte | None = None
    last_slot: Byte | None = None
    initial_ppm: Uint24 | None = None


class OfOperation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation without signature."""

    operation: UnsignedOperation


class ToPreview(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation without signature; with `opened_with_micros` an order of an account that is not there yet.

    It is previewed as if a transfer of so much from the account that it names had opened one for it.
    """

    operation: UnsignedOperation
    opened_with_micros: RepeatedUint64 | None = None


class ToDeposit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account, and what its owner would deposit into it."""

    account: AccountIndex
    amount_micros: RepeatedUint64


class SignedOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order and its 64- or 65-byte signature; and, unsigned, what is asked of the venue beside it.

    client_id: the caller's own name for the order, by which it can be asked for. self_trade: where it meets an order of
    its owner, its rest leaves, or the other one does, or both lose what they have in common. group: of an account's
    orders with the same number, other than 0, one cancels the other. after: the order_id of an order that has to have a
    fill before this one, reduce-only and with a trigger, does anything, and is not reduce-only itself. replaces: the
    order_id of the order that has to stand in the slot, or this one is refused.
    """

    order: OrderFields
    signature: HexBytes
    client_id: ClientId = ""
    self_trade: SelfTrade = "cancel_taker"
    group: Group = 0
    after: OrderIdIfAny = ""
    replaces: OrderIdIfAny = ""


class OrderCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order that is submitted: as SignedOrder has it. Or one that is asked for, with account and no signature.

    It is named by order_id alone, or by account and client_id, or by account and slot: the newest order of the slot,
    or the one with that sequence.
    """

    order: OrderFields | None = None
    signature: HexBytes | None = None
    client_id: ClientId = ""
    self_trade: SelfTrade = "cancel_taker"
    group: Group = 0
    after: OrderIdIfAny = ""
    replaces: OrderIdIfAny = ""
    account: AccountIndex | None = None
    slot: Byte | None = None
    sequence: Uint64 | None = None
    order_id: OrderId | None = None


class BatchItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of a batch with its signature: an order, as SignedOrder has it, or a soft cancel.

    cancel: the signed fields of a Cancel, or with slot 0 of a CancelAll; max_posting_fee_micros is 0. order_id or
    client_id: the order that is meant, whose slot it has to be; then what became of that one is told beside.
    """

    signature: HexBytes
    order: OrderFields | None = None
    cancel: RequestFields | None = None
    client_id: ClientId = ""
    self_trade: SelfTrade = "cancel_taker"
    group: Group = 0
    after: OrderIdIfAny = ""
    replaces: OrderIdIfAny = ""
    order_id: OrderId | None = None


class SignedBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to a hundred orders and soft cancels, mixed; each is answered for itself, and cancels come first."""

    orders: Annotated[list[BatchItem], msgspec.Meta(max_length=MOST_ORDERS)]


class PriceMove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By how much a simulated price is to move at its next step, beside its walk."""

    market: MarketKey
    ppm: Annotated[int, msgspec.Meta(ge=-MOST_MOVE_PPM, le=MOST_MOVE_PPM)]


class SignedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and its 64- or 65-byte signature."""

    request: RequestFields
    signature: HexBytes


class ScheduledCancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A soft cancel of all orders with its signature, and when it is to happen; 0 takes the last one back."""

    request: RequestFields
    signature: HexBytes
    at_ms: TimeMs


class DisconnectCancels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Soft cancels of all orders, of one account each, for when this connection ends; none takes them back."""

    cancels: Annotated[list[SignedRequest], msgspec.Meta(max_length=MOST_AT_END)]


class ToAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the faucet pays."""

    address: Bytes20


Prices = Annotated[list[Annotated[int, msgspec.Meta(ge=0, lt=2**48)]], msgspec.Meta(max_length=constants.MARKETS)]
Premiums = Annotated[
    list[Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]], msgspec.Meta(max_length=constants.MARKETS)
]


class SignedReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An oracle signer's Tick message (PROTOCOL.md §5.2), one entry a market, and its 64- or 65-byte signature."""

    time_ms: TimeMs
    signer_index: Byte
    prices_ticks: Prices
    premiums_ppb: Premiums
    signature: HexBytes


class ReportsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest grid times, or one of them."""

    time_ms: TimeMs | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=KEPT_ROUNDS)] = 10
