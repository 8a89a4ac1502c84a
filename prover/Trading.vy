# pragma version 0.4.3
"""
@title Trading
@license MIT
@notice The trading family of the law as a contract of its own: stateless, called by the referee.
"""

from prover.stf import containers
from prover.stf import trading as law


@external
@pure
def check_order(order: containers.Order, account: containers.Account, signer: address, markets: containers.Market[16], market_count: int256, now: int256) -> int256:
    """
    @notice Admits an order to the chunk.
    @param order The signed order.
    @param account The account.
    @param signer Whom the signature recovers to.
    @param markets All markets.
    @param market_count How many of them exist.
    @param now The chunk's clock.
    @return The code.
    """
    return law.check_order(order, account, signer, markets, market_count, now)


@external
@pure
def fill(risk: containers.Risk, fresh: bool, market: containers.Market, posting_fee: int256, maker: containers.Order, taker: containers.Order, maker_account: containers.Account, taker_account: containers.Account, maker_slot: containers.Slot, taker_slot: containers.Slot, size: int256) -> containers.Filled:
    """
    @notice Decides a fill.
    @param risk Prices, funding indices and fractions of all markets.
    @param fresh Whether the oracle price is young enough.
    @param market The market of both orders.
    @param posting_fee Flat fee of an order, paid by the taker at its first fill.
    @param maker The resting order.
    @param taker The incoming order.
    @param maker_account The maker's account.
    @param taker_account The taker's account.
    @param maker_slot The maker's order slot.
    @param taker_slot The taker's order slot.
    @param size Lots.
    @return The decision and what it leads to.
    """
    return law.fill(risk, fresh, market, posting_fee, maker, taker, maker_account, taker_account, maker_slot, taker_slot, size)


@external
@pure
def cancel(request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    """
    @notice Decides a cancel of one order slot.
    @param request The signed request.
    @param account The account.
    @param slot The order slot.
    @param signer Whom the signature recovers to.
    @param now The chunk's clock.
    @return The decision and what it leads to.
    """
    return law.cancel(request, account, slot, signer, now)


@external
@pure
def cancel_all(request: containers.Request, account: containers.Account, signer: address, now: int256) -> containers.Booked:
    """
    @notice Decides a cancel of every order up to a sequence.
    @param request The signed request.
    @param account The account.
    @param signer Whom the signature recovers to.
    @param now The chunk's clock.
    @return The decision and what it leads to.
    """
    return law.cancel_all(request, account, signer, now)
