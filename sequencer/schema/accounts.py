"""What is told of an account: as it stands, as it would be, and where each of its numbers comes from."""

import msgspec

from sequencer.schema.params import SelfTrade, UnsignedOperation
from sequencer.schema.values import AddressText, Digits, Finality, Micros, OrderId, Side, Whole, WordText


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One position; money in micro-dollars.

    liquidation_price_ticks: the first price on the way against the position at which equity is below the maintenance
    requirement, all other prices and positions as they are; None where there is none. `pending_funding_micros` is
    rounded up for this position alone, the account's is rounded once. deleveraging_rank: 1 would be first, None for
    one that is not in profit or not ranked.
    """

    market: str
    size_lots: Whole
    cost_micros: Micros
    price_ticks: Whole
    value_micros: Micros
    notional_micros: Micros
    pending_funding_micros: Micros
    unrealised_micros: Micros
    initial_micros: Micros
    maintenance_micros: Micros
    liquidation_price_ticks: Whole | None
    deleveraging_rank: int | None


class Maturing(msgspec.Struct, frozen=True):
    """Profit that cannot leave yet; micro-dollars."""

    amount_micros: Micros
    settles_at_ms: int


class AgentView(msgspec.Struct, frozen=True):
    """Who else may sign orders and cancels in these slots; a range from 0 covers cancel-all."""

    address: AddressText
    expires_at_ms: int
    first_slot: int
    last_slot: int


class BuyingPower(msgspec.Struct, frozen=True):
    """The largest fill in one market, in lots at the oracle price and with the taker's fees, beside all open orders."""

    market: str
    buy_lots: Whole
    sell_lots: Whole


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """An account after all funding that is due, as it is or as it would be; money in micro-dollars.

    Collateral is settled money, which alone may leave, and what is maturing. reserved_micros: what open orders need
    above the initial requirement. Free collateral is what neither needs; what may leave is for the law alone.
    initial_ppm: the owner's own bound of leverage, 0 for none.

    margin_usage_ppm = initial / equity, margin_ratio_ppm = maintenance / equity, leverage_ppm = notional / equity; None
    where equity is gone. Exactly where margin_ratio_ppm is None or above 10^6 the account is below maintenance.
    fall_bp and rise_bp: the smallest move of all prices together, in basis points, at which it is; None where there is
    none down to a ten-thousandth of the prices or up to eleven times.
    """

    account: int
    owner: AddressText
    floor: Whole
    collateral_micros: Micros
    settled_micros: Micros
    maturing: list[Maturing]
    initial_ppm: int
    agents: list[AgentView | None]
    equity_micros: Micros
    initial_micros: Micros
    maintenance_micros: Micros
    notional_micros: Micros
    reserved_micros: Micros
    free_collateral_micros: Micros
    withdrawable_micros: Micros
    margin_usage_ppm: Whole | None
    margin_ratio_ppm: Whole | None
    leverage_ppm: Whole | None
    fall_bp: int | None
    rise_bp: int | None
    positions: list[PositionView]
    buying_power: list[BuyingPower]
    margin_call_percent: int
    finality: Finality


class SlotHint(msgspec.Struct, frozen=True):
    """The slot that the node would take next, and the smallest sequence that is still valid there."""

    slot: int
    sequence: int


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that an account has in a book ("resting") or that waits for its trigger ("armed").

    A "dormant" one waits for a fill of the order that it comes after, and then for its trigger.
    time_in_force, trigger: as they are signed. self_trade, group, after: as they were asked for beside it, 0 and ""
    where they were not; whoever replaces the order has to ask for them again.
    """

    order_id: OrderId
    client_id: str
    market: str
    side: Side
    size_lots: int
    filled_lots: int
    remaining_lots: int
    limit_price_ticks: int
    slot: int
    sequence: int
    expires_at_ms: int
    time_in_force: int
    reduce_only: bool
    post_only: bool
    trigger: int
    trigger_price_ticks: int
    self_trade: SelfTrade
    group: int
    after: str
    status: str


class VoidedView(msgspec.Struct, frozen=True, kw_only=True):
    """A signed operation that was acknowledged and will never be on L1, by which it is as if it had not been.

    order_id: None for what is no order. chunk: where it stood, None for in none. send_again: "as_signed", the same
    signature until expires_at_ms, or "sign_anew": an order's bytes are never taken twice.
    """

    operation: str
    order_id: OrderId | None
    slot: int
    sequence: int
    expires_at_ms: int
    chunk: int | None
    voided_at_ms: int
    send_again: str


class AccountView(Outlook, frozen=True, kw_only=True):
    """catenary_account: with its orders, where the next one would go, and the state root that it is of.

    has_voided: whether something that was acknowledged is void; catenary_voided says what.
    """

    slots_hint: SlotHint
    open_orders: list[OpenOrder]
    root: WordText
    has_voided: bool


class PreviewFill(msgspec.Struct, frozen=True):
    """One fill as it would be. fee_micros: of both sides, as in the fill that is told afterwards.

    maker: None of a node that keeps accounts private.
    """

    maker: int | None
    price_ticks: Whole
    size_lots: Whole
    fee_micros: Micros


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """What would come of an operation. code: of the law; refusal: why it, or its rest, would not go on.

    fees_micros: what the account itself would pay. Each state has the buying power that the law would leave it at the
    prices, fees and open interest of that state, and the margin call that the next tick would tell of it at the same
    prices. leaving: open orders that the collateral that is left would not cover, the newest first. if_filled: the
    account once the rest that would rest or wait is filled at its limit; None where there is no rest or where the law
    would not take that fill today. other: the account that receives a transfer; where the transfer opens it, there is
    none before it nor after a refusal, and none at all where it is private and another's. largest_size_lots: of an
    order that lacks margin, the one that would pass.
    """

    code: int
    refusal: str
    status: str
    before: Outlook
    after: Outlook
    filled_lots: Whole = 0
    remaining_lots: Whole = 0
    largest_size_lots: Whole | None = None
    fills: list[PreviewFill] = []
    fees_micros: Micros = 0
    leaving: list[OrderId] = []
    if_filled: Outlook | None = None
    other: int | None = None
    other_before: Outlook | None = None
    other_after: Outlook | None = None


class Preview(Foreseen, frozen=True, kw_only=True):
    """catenary_preview: what was foreseen of which operation, with everything that was filled in."""

    operation: UnsignedOperation
    finality: Finality


class DepositPreview(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_previewDeposit: what would come of a deposit. code: of the law; refusal: why it would come back."""

    code: int
    refusal: str
    before: Outlook
    after: Outlook
    finality: Finality


class Explained(msgspec.Struct, frozen=True):
    """One number: value = formula over inputs. unit: micros, lots, ticks, ppm, bp or what else is said."""

    name: str
    value: Digits | None
    unit: str
    formula: str
    inputs: dict[str, Digits | list[Digits]]


class Explanation(msgspec.Struct, frozen=True):
    """catenary_explain: numbers in the order in which they can be recomputed."""

    account: int
    numbers: list[Explained]
    finality: Finality


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """What one position does to the pool; micro-dollars.

    to_equity: what it adds (takes, if negative) now. to_free = to_equity - initial, to_room = to_equity - maintenance:
    what free collateral and the room above maintenance would lose without it. share_ppm: of the account's maintenance
    requirement. margin_ratio_without_ppm: the account's, were the position closed at the oracle price without a fee.
    """

    market: str
    size_lots: Whole
    to_equity_micros: Micros
    initial_micros: Micros
    maintenance_micros: Micros
    to_free_micros: Micros
    to_room_micros: Micros
    share_ppm: Whole | None
    margin_ratio_without_ppm: Whole | None


class Reduced(msgspec.Struct, frozen=True):
    """A position that would be reduced by this many lots at least, and what it had lost by the shock."""

    market: str
    lots: Whole
    lost_micros: Micros


class ShockedLeg(msgspec.Struct, frozen=True):
    """A position at its moved price, before anything is closed."""

    market: str
    price_ticks: Whole
    unrealised_micros: Micros
    initial_micros: Micros
    maintenance_micros: Micros


class Shocked(msgspec.Struct, frozen=True, kw_only=True):
    """An account after prices moved by shock_bp, all of them or one market's; moved prices are rounded down to ticks.

    legs: by market. liquidated: in order, empty where the account stays at or above maintenance. The position with the
    largest requirement goes first, no more of it than brings the account back to its initial requirement, closed at the
    moved oracle price without a fee: worse prices close more. deficit_micros: what is missing once all is closed.
    """

    shock_bp: int
    market: str | None
    equity_micros: Micros
    initial_micros: Micros
    maintenance_micros: Micros
    margin_ratio_ppm: Whole | None
    legs: list[ShockedLeg]
    liquidated: list[Reduced]
    deficit_micros: Micros


class Saved(msgspec.Struct, frozen=True):
    """Collateral that the positions need to be at their initial requirement: together, and each in an own account."""

    together_micros: Micros
    isolated_micros: Micros
    saved_micros: Micros


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_contribution: positions by what they take from the pool, the largest requirement first."""

    account: int
    equity_micros: Micros
    legs: list[Leg]
    saved: Saved
    shocked: Shocked
    finality: Finality


class MarginCall(msgspec.Struct, frozen=True):
    """An account's level changed, or, where both are the same, stands. Level 0: no call. Micro-dollars.

    margin_ratio_ppm: None where equity is gone. On `margin_calls` of a node that keeps accounts private the levels and
    the time alone are told, of nobody by name.
    """

    account: int | None
    level_percent: int
    previous_percent: int
    margin_ratio_ppm: Whole | None
    equity_micros: Micros | None
    maintenance_micros: Micros | None
    tick_time_ms: int
