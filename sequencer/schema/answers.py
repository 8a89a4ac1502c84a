"""What the node answers and what it tells on channels, but for accounts."""

import msgspec

from sequencer.schema.accounts import AccountView, MarginCall
from sequencer.schema.params import UnsignedOperation
from sequencer.schema.values import (
    AddressText,
    Digits,
    Finality,
    HexText,
    Micros,
    OrderId,
    OrderIdIfAny,
    Side,
    Whole,
    WordText,
)

# Where the node stands.


class Sequenced(msgspec.Struct, frozen=True):
    """How far the node itself has come; `queue_count` is how many L1 queue entries it has applied."""

    chunk: int
    operations: int
    timestamp_ms: int
    queue_count: int


class Posted(msgspec.Struct, frozen=True):
    """How far L1 has come, by the node's word only; `root` is empty before the first batch."""

    batch: int
    chunks: int
    root: str


class FinalBatch(msgspec.Struct, frozen=True):
    """The newest batch past its window, by the node's word only."""

    batch: int


class ReadinessReason(msgspec.Struct, frozen=True):
    """Why a node is not ready: a stable code, and a sentence."""

    code: str
    sentence: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_status."""

    chain_id: int
    rollup_address: AddressText
    referee_address: AddressText
    token_address: AddressText
    l1_block: int
    law_version: int
    state_root: WordText
    sequenced: Sequenced
    posted: Posted
    final: FinalBatch
    now_ms: int
    grace_until_ms: int
    ready: bool
    reasons: list[ReadinessReason]


class Tokens(msgspec.Struct, frozen=True):
    """What a caller may spend: `left` now, `rate` more a second, never above `burst`."""

    left: int
    rate: int
    burst: int


class VenueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders may be open and how long they may live.

    An account has `account_orders` places and one more for each `place_micros` of its equity, in all books together.
    """

    account_orders: int
    place_micros: int
    book_orders: int
    orders_a_call: int
    order_life_ms: int
    immediate_life_ms: int
    trigger_life_ms: int
    request_life_ms: int


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_limits: what a caller may ask, and how much of it is left; sizes in bytes.

    A call costs a token, each whole `token_bytes` of a message one more, an order of a batch one, and one is owed for
    each order that a preview meets. How large a method's params may be stands in the document (`x-params-bytes`).
    """

    connection: Tokens
    address: Tokens
    token_bytes: int
    connections: int
    calls_in_flight: int
    batch_calls: int
    body_bytes: int
    answer_bytes: int
    connection_subscriptions: int
    idle_ms: int
    call_ms: int
    venue: VenueLimits


# Markets and trades.


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of catenary_markets: prices, requirements, fees.

    growing_initial_ppm: what a leg that grows stands under at today's open interest, -1 where none may; a fill
    adds its own size.
    previous_price_ticks: of a market without a price, the one that its listing named. All of funding in ppb an hour.
    """

    index: int
    name: str
    size_decimals: int
    price_decimals: int
    status: str
    price_ticks: int
    previous_price_ticks: int
    premium_ppb: int
    open_interest_lots: int
    initial_ppm: int
    growing_initial_ppm: int
    maintenance_ppm: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    funding_rate_ppb: int
    funding_cap_ppb: int
    funding_interest_ppb: int
    funding_damping_ppb: int
    interest_lower_micros: Micros
    interest_upper_micros: Micros
    fund_micros: Micros
    minimum_notional_micros: Micros
    posting_fee_micros: int
    tick_time_ms: int


class Book(msgspec.Struct, frozen=True):
    """The best levels of one market as (price_ticks, size_lots), the best first."""

    market: str
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class FillView(msgspec.Struct, frozen=True, kw_only=True):
    """One fill; fee_micros is of both sides and with the posting fee, the other two are what each of them paid.

    is_rescue: no order of the taker's asked for it. maker, taker: None, and their orders empty, where everybody is told
    by a node that keeps accounts private.
    """

    market: str
    price_ticks: int
    size_lots: int
    fee_micros: Micros
    maker_fee_micros: Micros
    taker_fee_micros: Micros
    maker: int | None
    taker: int | None
    maker_order_id: OrderIdIfAny
    taker_order_id: OrderIdIfAny
    taker_side: Side
    is_rescue: bool
    time_ms: int
    chunk: int
    operation_index: int


# Submitting.


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of an order, told on `orders:N`.

    event: accepted, dormant, armed, triggered, resting, filled, reduced (goes on with fewer lots), or what ended it:
    reduced (nothing was left to reduce), cancelled, expired, refused (was never taken), voided (L1 can never take it).
    reason: why it left or shrank; detail: the law's rule or what stopped it, by name. lots: of this step: filled, or
    left behind it. status, filled_lots and remaining_lots: of the order after it. role: of a fill, maker or taker;
    fee_micros: what the order itself paid. time_ms: of the venue's clock. sequence: rises with every effect of the
    venue, across restarts too; 0 of a refusal, which changes nothing.
    """

    order_id: OrderId
    client_id: str
    account: int
    market: str
    side: Side
    event: str
    status: str
    reason: str
    detail: str
    lots: int
    filled_lots: int
    remaining_lots: int
    price_ticks: int | None
    role: str
    fee_micros: Micros
    time_ms: int
    sequence: Whole


class AcknowledgementView(msgspec.Struct, frozen=True, kw_only=True):
    """The promise of whoever posts that what was taken will be posted (PROTOCOL.md §5.5).

    One signature over the root of all that was taken together: `place` and `path` lead there from this one.
    filled_lots: of an order, as taker, at its arrival.
    """

    tag: int
    account: int
    slot: int
    sequence: int
    filled_lots: Whole
    time_ms: int
    place: int
    path: list[WordText]
    signature: HexText


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an order's owner has signed. time_in_force, trigger: as they are signed; the prices in ticks."""

    size_lots: int
    limit_price_ticks: int
    time_in_force: int
    post_only: bool
    reduce_only: bool
    trigger: int
    trigger_price_ticks: int
    expires_at_ms: int


class OrderResult(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_order and catenary_orders: what became of an order, by now where it came again or was asked for.

    status: armed, dormant, resting, partially_filled, filled, cancelled, expired, reduced, voided, or refused where it
    was asked for. reason: why it, or its rest, did not go on. fees_micros: its own. blocking_lots: of what stood
    first and was in its way, as less than a fill-or-kill order; blocking_order_id: whose it was, of the same owner.
    events: where it was asked for, the first and the newest steps, all but untold_events of them.
    terms: where it was asked for and once taken, as it was signed.
    acknowledgement: where it was submitted; None where it came again long after.
    """

    order_id: OrderId
    client_id: str
    status: str
    reason: str
    filled_lots: int
    remaining_lots: int
    fees_micros: Micros
    fills: list[FillView]
    blocking_order_id: OrderIdIfAny
    blocking_lots: int
    events: list[OrderEvent]
    untold_events: int
    terms: OrderTerms | None = None
    acknowledgement: AcknowledgementView | None = None
    finality: Finality


class RefusedCall(msgspec.Struct, frozen=True):
    """The JSON-RPC error object; data names the error."""

    code: int
    message: str
    data: dict[str, str | int | bool | list[str] | None]


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """A soft cancel's, signed by whoever posts (PROTOCOL.md §5.4); slot 0: of every slot."""

    account: int
    slot: int
    sequence: int
    time_ms: int
    running_hash: WordText
    signature: HexText


class RequestResult(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_withdraw, transfer, cancel, cancelAll, setAgent and setLeverage; a soft cancel stands in no chunk.

    acknowledgement: None of a soft cancel, which has its receipt.
    """

    code: int
    chunk: int
    operation_index: int
    receipt: ReceiptView | None
    withdrawal_index: int | None
    account_opened: int | None
    acknowledgement: AcknowledgementView | None = None
    finality: Finality


class AnsweredOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of catenary_orders: what became of an order, or of a cancel and of the order that it named; or an error."""

    result: OrderResult | None = None
    cancelled: RequestResult | None = None
    error: RefusedCall | None = None


class AtEnd(msgspec.Struct, frozen=True):
    """catenary_cancelOnDisconnect: the accounts whose open orders leave when this connection ends."""

    accounts: list[int]


class TypedField(msgspec.Struct, frozen=True):
    """One field of an EIP-712 type."""

    name: str
    type: str


class TypedDomain(msgspec.Struct, frozen=True, rename="camel"):
    """The EIP-712 domain of one rollup."""

    name: str
    version: str
    chain_id: int
    verifying_contract: AddressText


class SigningRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What eth_signTypedData_v4 takes."""

    types: dict[str, list[TypedField]]
    primary_type: str
    domain: TypedDomain
    message: dict[str, bool | str | Whole]


class TypedData(msgspec.Struct, frozen=True):
    """catenary_typedData; `operation` is what was asked for with all fields."""

    typed_data: SigningRequest
    digest: WordText
    operation: UnsignedOperation


class FaucetPayment(msgspec.Struct, frozen=True):
    """catenary_faucet."""

    amount_micros: Micros
    wei: Digits
    transaction_hash: WordText


# What L1 holds.


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of catenary_batches; bytes: of its operations."""

    number: int
    batch_hash: WordText
    committer: AddressText
    root: WordText
    chunks: int
    bytes: int
    committed_at: int
    l1_block: int
    finality: Finality


class QueueHead(msgspec.Struct, frozen=True):
    """A forced close under way; market and left_lots are None where every position of the account is closed.

    limit_price_ticks: beyond which it ends, None for none; entered_at_ms: L1's time of its entry.
    """

    account: int
    market: str | None
    left_lots: int | None
    limit_price_ticks: int | None
    entered_at_ms: int


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue entry came to: the law's code with its name and sentence, and what it paid."""

    index: int
    operation: str
    sender: AddressText
    account: int | None
    code: int
    name: str
    sentence: str
    done: bool
    withdrawal: int | None
    chunk: int
    operation_index: int


class QueueView(msgspec.Struct, frozen=True):
    """catenary_queue: how many entries are done, and the newest of them."""

    done: int
    head: QueueHead | None
    entries: list[EntryView]


class WithdrawalView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of catenary_withdrawals, by the node's word."""

    index: int
    recipient: AddressText
    amount_micros: Micros
    batch: int | None
    finality: Finality


class DepositView(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit in L1's queue that is in no account yet. index: of its entry; account: None for one that it opens.

    l1_block, entered_at_ms: where and when L1 took it; confirmations: blocks since, its own counted. is_final: the node
    may take it: it comes with the next operations, or once what stands before it in the queue is done.
    """

    index: int
    depositor: AddressText
    owner: AddressText
    account: int | None
    amount_micros: Micros
    l1_block: int
    confirmations: int
    entered_at_ms: int
    is_final: bool


class DepositsView(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_deposits: what is under way, the first first; what has arrived stands in catenary_transfers.

    confirmations_needed: of a devnet; None where the node waits until L1 calls a block final.
    """

    l1_block: int
    confirmations_needed: int | None
    deposits: list[DepositView]


class WithdrawalProof(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_withdrawalProof; `commitment` is nine words in the order of the state root."""

    batch: int
    commitment: list[WordText]
    proof: list[WordText]
    recipient: AddressText
    amount_micros: Micros


class AccountProof(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_proof: an account's leaf, empty for none, and its siblings up to the newest posted root."""

    batch: int
    leaf: HexText
    path: list[WordText]
    commitment: list[WordText]


class GlobalsProof(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_globals: the encoded globals at the newest posted root, or the newest final one."""

    batch: int
    globals: HexText
    commitment: list[WordText]


# Rescues.


class PostMortemView(msgspec.Struct, frozen=True, kw_only=True):
    """One rescue with all that decided it; money in micro-dollars, prices in ticks.

    judged_price_ticks: of the last two oracle prices the better one for the account, at a forced close the worse; an
    unwinding judges nobody and has the last one. judged_equity, judged_maintenance: the account where each position
    has its judged price. counted_at: the prices at which the law counted what was paid, "judged_prices" or
    "last_tick"; before, after, one_lot_less and the zero price are at the same ones.
    quote_micros: what a long got for the lots or a short paid, before the fee; over lots it is the exact price.
    price_ticks: that price. zero_price_ticks: at it equity over maintenance stays as it was; None at an unwinding.
    Both are rounded for the account: up where it was long.
    one_lot_less: equity after the fee, rounded down, and initial requirement had one lot less been closed, or, of a
    whole position, as many less as make an order; None where the law bounds no lots. paid_by_fund: what the insurance
    account gave beyond the oracle price. signers: indices of the oracle signers of the last tick. counterparty: the
    maker, the insurance account, or who stood on the other side.
    formulas: by what they decide, of this kind of rescue.
    """

    number: int
    kind: str
    account: int
    market: str
    lots: Whole
    quote_micros: Micros
    price_ticks: Whole
    oracle_price_ticks: Whole
    previous_price_ticks: Whole
    judged_price_ticks: Whole
    zero_price_ticks: Whole | None
    tick_time_ms: int
    signers: list[int]
    judged_equity_micros: Micros
    judged_maintenance_micros: Micros
    counted_at: str
    equity_before_micros: Micros
    initial_before_micros: Micros
    maintenance_before_micros: Micros
    equity_after_micros: Micros
    initial_after_micros: Micros
    maintenance_after_micros: Micros
    one_lot_less_equity_micros: Micros | None
    one_lot_less_initial_micros: Micros | None
    fee_micros: Micros
    paid_by_fund_micros: Micros
    counterparty: int
    chunk: int
    operation: int
    formulas: dict[str, str]
    finality: Finality


class RankView(msgspec.Struct, frozen=True):
    """One place of catenary_deleveragingRanking. account: None where the node does not tell whose it is."""

    account: int | None
    rank: int
    score_ppm: Whole


# The oracle's reports.


class ReportAnswer(msgspec.Struct, frozen=True):
    """catenary_report: "counted", "tick" (it completed the quorum) or "spare" (the tick stands already)."""

    status: str
    received: int
    quorum: int


class MovedPrice(msgspec.Struct, frozen=True):
    """catenary_movePrice: by how much the market's next tick moves, with what was asked before it."""

    market: str
    ppm: int


class KeptReport(msgspec.Struct, frozen=True, kw_only=True):
    """A signer's report with the node's time at its arrival."""

    signer_index: int
    prices_ticks: list[int]
    premiums_ppb: list[int]
    signature: HexText
    received_ms: int


class ReportRound(msgspec.Struct, frozen=True, kw_only=True):
    """One grid time of catenary_reports: the signers of the tick, the law's word on it, and every report.

    tick: what anybody may enter on L1 in the node's place; empty before the quorum is whole.
    """

    time_ms: int
    chosen: list[int]
    code: str
    tick: HexText
    reports: list[KeptReport]


# Channels.


class AccountUpdate(AccountView, frozen=True, kw_only=True, omit_defaults=True):
    """A message of `account:N`: the account, and the margin call or rescue that it is told for."""

    margin_call: MarginCall | None = None
    rescue: PostMortemView | None = None
