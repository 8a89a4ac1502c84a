# pragma version 0.4.3
"""
@title Trading
@license MIT
@notice The trading family of the law, and rescues against resting orders, as a contract of its own: stateless, called by the referee.
"""

from prover.stf import containers
from prover.stf import encoding
from prover.stf import rescue
from prover.stf import signatures
from prover.stf import trading as law


@external
@pure
def check_order(signed: containers.Signed, account: containers.Account, markets: containers.Market[16], market_count: int256, now: int256) -> (int256, containers.Order):
    """
    @notice Admits an order to the chunk.
    @param signed The operation as it stands in the chunk.
    @param account The account.
    @param markets All markets.
    @param market_count How many of them exist.
    @param now The chunk's clock.
    @return The code, and the order.
    """
    order: containers.Order = encoding.order(signed.head, signed.tail)
    digest: bytes32 = signatures.digest(signed.domain, signatures.order_hash(order))
    signer: address = signatures.recover(digest, signed.r, signed.parity_and_s)
    return law.check_order(order, account, signer, markets, market_count, now), order


@external
@pure
def fill(risk: containers.Risk, clock: containers.Clock, market: containers.Market, posting_fee: int256, maker: containers.Side, taker: containers.Side, size: int256) -> containers.Filled:
    """
    @notice Decides a fill.
    @param risk Prices, funding indices and fractions of all markets.
    @param clock The chunk's time and what it allows.
    @param market The market of both orders.
    @param posting_fee Flat fee of an order, paid by the taker at its first fill.
    @param maker The resting order, with its account and its slot.
    @param taker The incoming order, with its account and its slot.
    @param size Lots.
    @return The decision and what it leads to.
    """
    return law.fill(risk, clock, market, posting_fee, maker, taker, size)


@external
@pure
def decide(tag: int256, under: containers.Conditions, move: containers.Rescue, account: containers.Account, maker: containers.Side, insurance: containers.Account) -> containers.Rescued:
    """
    @notice Decides a rescue against a resting order: a liquidation or an unwinding.
    @param tag Which of them.
    @param under Prices, those of the tick before, the chunk's time and what the ticks before it allow, the market.
    @param move What its author asks for.
    @param account The account that is liquidated.
    @param maker The resting order with its account and its slot.
    @param insurance The market's insurance account.
    @return The decision and what it leads to.
    """
    return rescue.decide_by_order(tag, under, move, account, maker, insurance)
