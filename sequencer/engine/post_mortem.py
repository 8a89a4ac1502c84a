"""The post-mortem of a rescue: where the law judged the account, what was paid, and what was left."""

from typing import Final

import msgspec

from prover.standing import counted_by_rescue, judged_risk
from prover.stf import constants, containers, encoding, margin, rescue
from sequencer.engine.money.touched import Sides, behind_rescue
from sequencer.engine.open_chunk import OpenChunk
from sequencer.engine.records import Fill

LIQUIDATION: Final = "liquidation"
TAKE_OVER: Final = "take_over"
DELEVERAGING: Final = "deleveraging"
UNWINDING: Final = "unwinding"
FORCED_CLOSE: Final = "forced_close"
FORCED_RESCUE: Final = "forced_rescue"
KINDS: Final = {
    constants.LIQUIDATE: LIQUIDATION,
    constants.TAKE_OVER: TAKE_OVER,
    constants.DELEVERAGE: DELEVERAGING,
    constants.UNWIND: UNWINDING,
    constants.CLOSE_STEP: FORCED_CLOSE,
    constants.FORCED_RESCUE: FORCED_RESCUE,
}

JUDGED_PRICES: Final = "judged_prices"
LAST_TICK: Final = "last_tick"


class PostMortem(msgspec.Struct, frozen=True):
    """One rescue with all that decided it; money in micro-dollars, prices in ticks.

    judged_price_ticks: of the last two oracle prices the better one for the account, at a forced close the worse; an
    unwinding judges nobody and has the last one. judged_equity, judged_maintenance: the account where each position
    has its judged price. counted_at: the prices at which the law counted what was paid, JUDGED_PRICES or LAST_TICK;
    before, after, one_lot_less and the zero price are at the same ones.
    quote_micros: what a long got for the lots or a short paid, before the fee; over lots it is the exact price.
    price_ticks: that price. zero_price_ticks: at it equity over maintenance stays as it was; None at an unwinding.
    Both are rounded for the account: up where it was long.
    one_lot_less: equity after the fee, rounded down, and initial requirement had one lot less been closed, or, of a
    whole position, as many less as make an order; None where the law bounds no lots. paid_by_fund: what the insurance
    account gave beyond the oracle price. signers: indices of the oracle signers of the last tick. counterparty: the
    maker, the insurance account, or who stood on the other side.
    """

    number: int
    kind: str
    account: int
    market: int
    lots: int
    quote_micros: int
    price_ticks: int
    oracle_price_ticks: int
    previous_price_ticks: int
    judged_price_ticks: int
    zero_price_ticks: int | None
    tick_time_ms: int
    signers: list[int]
    judged_equity_micros: int
    judged_maintenance_micros: int
    counted_at: str
    equity_before_micros: int
    initial_before_micros: int
    maintenance_before_micros: int
    equity_after_micros: int
    initial_after_micros: int
    maintenance_after_micros: int
    one_lot_less_equity_micros: int | None
    one_lot_less_initial_micros: int | None
    fee_micros: int
    paid_by_fund_micros: int
    counterparty: int
    chunk: int
    operation: int


class Case:
    """What a post-mortem has to know from before; made on the state that the rescue finds."""

    def __init__(self, chunk: OpenChunk, signers: list[int], tag: int, move: containers.Rescue) -> None:
        """signers: indices of the oracle signers of the last tick."""
        self.tag = tag
        self.move = move
        self.account = constants.insurance_account(move.market) if tag == constants.UNWIND else move.account
        self._chunk = chunk
        self._signers = signers
        globals = chunk.globals
        self._now_ms = chunk.view.clock().now
        self._settled = self._row()
        self._judged = globals.risk
        if tag != constants.UNWIND:
            self._judged = judged_risk(globals, self._settled, kinder=tag != constants.CLOSE_STEP)
        # The others are chosen at the judged prices and pay at today's.
        self._counted_at = JUDGED_PRICES if tag in (constants.LIQUIDATE, constants.CLOSE_STEP) else LAST_TICK
        self._counted = self._judged if self._counted_at == JUDGED_PRICES else globals.risk
        self._before = counted_by_rescue(self._counted, self._settled)
        self._paid_out = globals.markets[move.market].paid_out
        self._fund = self._held_by_fund()
        self._withdrawn = chunk.view.commitment.withdrawn_total
        other = move.other or constants.insurance_account(move.market)
        self._rows = chunk.account(self.account), chunk.account(other)

    def record(self, fill: Fill | None) -> PostMortem | None:
        """The post-mortem, not numbered yet, once the law has taken the rescue; None where it closed no lots."""
        chunk, before, market = self._chunk, self._before, self.move.market
        globals = chunk.globals
        listed = globals.markets[market]
        row = self._row()
        closed = encoding.unpack(self._settled.positions[market]).size - encoding.unpack(row.positions[market]).size
        if closed == 0:
            return None
        judged, after = counted_by_rescue(self._judged, self._settled), counted_by_rescue(self._counted, row)
        # Whoever leaves is paid with the last step: that is no part of what the step cost.
        withdrawn = chunk.view.commitment.withdrawn_total - self._withdrawn
        fee = self._held_by_fund() - self._fund if self.tag == constants.LIQUIDATE else 0
        # Besides the fee nothing but the quote moves what the account has: what other positions have won or lost may
        # pay for it or be made good by it, as another cost (PROTOCOL.md 7.4).
        quote = _money(row) + withdrawn + fee - _money(self._settled)
        price = _price_ticks(quote, closed)
        premium = rescue.premium_of(self._counted, self._settled, market, closed)
        zero_price = _price_ticks(closed * self._counted.price[market] + premium, closed)
        less_equity, less_initial = self._one_lot_less(closed, price)
        return PostMortem(
            number=0,
            kind=KINDS[self.tag],
            account=self.account,
            market=market,
            lots=abs(closed),
            quote_micros=quote if closed > 0 else -quote,
            price_ticks=price,
            oracle_price_ticks=globals.risk.price[market],
            previous_price_ticks=max(listed.previous_price, 0),
            judged_price_ticks=self._judged.price[market],
            zero_price_ticks=None if self.tag == constants.UNWIND else zero_price,
            tick_time_ms=globals.tick_time,
            signers=self._signers,
            judged_equity_micros=judged.equity,
            judged_maintenance_micros=judged.maintenance,
            counted_at=self._counted_at,
            equity_before_micros=before.equity,
            initial_before_micros=before.initial,
            maintenance_before_micros=before.maintenance,
            equity_after_micros=after.equity + withdrawn,
            initial_after_micros=after.initial,
            maintenance_after_micros=after.maintenance,
            one_lot_less_equity_micros=less_equity,
            one_lot_less_initial_micros=less_initial,
            fee_micros=fee,
            paid_by_fund_micros=listed.paid_out - self._paid_out,
            counterparty=fill.maker if fill else self.move.other or constants.insurance_account(market),
            chunk=chunk.chunk_count + 1,
            operation=chunk.operations - 1,
        )

    def sides(self, record: PostMortem) -> Sides:
        """Both sides behind a rescue without an order, whose post-mortem this is."""
        was_long = encoding.unpack(self._rows[0].positions[record.market]).size > 0
        risk = self._chunk.globals.risk
        accounts = zip(self._rows, (record.account, record.counterparty), strict=True)
        first, second = (
            behind_rescue(margin.settle(risk, row, self._now_ms)[0], self._chunk.account(index), record.market)
            for row, index in accounts
        )
        return Sides(-record.lots if was_long else record.lots, first, second)

    def _row(self) -> containers.Account:
        """The account as it stands, settled."""
        settled, _ = margin.settle(self._chunk.globals.risk, self._chunk.account(self.account), self._now_ms)
        return settled

    def _held_by_fund(self) -> int:
        """Money of the market's insurance account."""
        return margin.collateral(self._chunk.account(constants.insurance_account(self.move.market)))

    def _one_lot_less(self, closed: int, price: int) -> tuple[int, int] | tuple[None, None]:
        """Equity after the fee and base initial requirement had one lot less been closed, or an order been left."""
        before, market = self._before, self.move.market
        oracle, maintenance_ppm = self._counted.price[market], self._counted.maintenance_ppm[market]
        size = encoding.unpack(self._settled.positions[market]).size
        lots = abs(closed) - 1
        if closed == size:
            smallest = margin.ceil_div(self._chunk.globals.markets[market].minimum_notional, oracle)
            lots = max(min(lots, abs(size) - smallest), 0)
        fewer = lots if closed > 0 else -lots
        if self.tag == constants.LIQUIDATE:
            gain, _, fee = rescue.liquidated(
                before.equity, before.maintenance, size, oracle, maintenance_ppm, price, fewer
            )
            gain -= fee
        elif self.tag == constants.FORCED_RESCUE and before.equity * 3 >= before.maintenance * 2:
            # The bound is by the law's fraction of a tick, not by the quote that is cut to micro-dollars.
            discount = 3 * maintenance_ppm * (before.maintenance - before.equity)
            gain = -margin.ceil_div(lots * oracle * discount, 2 * constants.PPM * before.maintenance)
        else:
            return None, None
        ppm = self._counted.initial_ppm[market]
        freed = margin.requirement(oracle, size, ppm) - margin.requirement(oracle, size - fewer, ppm)
        return before.equity + gain, before.initial - freed


def _money(account: containers.Account) -> int:
    return margin.collateral(account) - sum(encoding.unpack(position).cost for position in account.positions)


def _price_ticks(quote: int, closed: int) -> int:
    """The price of the closed lots, negative of a short, rounded for the account: up of a long, down of a short."""
    return -(-quote // closed) if closed > 0 else quote // closed
