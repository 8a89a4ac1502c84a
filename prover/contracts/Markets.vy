# pragma version 0.4.3
"""
@title Markets
@license MIT
@notice The markets family of the law, forced rescues of insurance accounts, and debts that all pay, as a contract of its own: stateless, called by the referee.
"""

from prover.stf import containers
from prover.stf import debts
from prover.stf import encoding
from prover.stf import markets as law
from prover.stf import merkle
from prover.stf import rescue


@external
@view
def tick(domain: bytes32, globals: containers.Globals, now: int256, operation: Bytes[1_616]) -> containers.Ticked:
    """
    @notice Decides a tick.
    @param domain EIP-712 domain separator of the rollup.
    @param globals The globals before the tick.
    @param now The chunk's clock.
    @param operation The operation's bytes; what follows them is not read.
    @return The decision: medians and the accrued funding indices.
    """
    return law.tick(domain, globals, now, 4 + merkle.at(4 + 32 + 13_824 + 32) + 32)


@external
@pure
def change(tail: uint256, label: bytes32, fractions: uint256, bounds: uint256, listed: containers.Market, initial_ppm: int256, maintenance_ppm: int256, price: int256, market_count: int256, now: int256) -> containers.Changed:
    """
    @notice Decides a listing, new parameters of a market, or the beginning of its end.
    @param tail The entry's market and status.
    @param label Its label.
    @param fractions Its fractions, funding and smallest notional.
    @param bounds The price that it names, and its bounds of open interest.
    @param listed The market as it stands.
    @param initial_ppm Its initial fraction as it stands.
    @param maintenance_ppm Its maintenance fraction as it stands.
    @param price Its oracle price, zero for none yet.
    @param market_count How many markets there are.
    @param now The chunk's clock.
    @return The decision, and the market afterwards.
    """
    given: containers.Parameters = encoding.parameters(tail, label, fractions, bounds)
    return law.change(given, listed, initial_ppm, maintenance_ppm, price, market_count, now)


@external
@pure
def check_venue(tail: uint256, signers: uint256[7], posting_fee: int256, grace_period: int256, changed_at: int256, now: int256) -> int256:
    """
    @notice Decides new parameters of the venue.
    @param tail The entry's payload.
    @param signers The oracle's signers as they stand.
    @param posting_fee The posting fee as it stands.
    @param grace_period The grace as it stands.
    @param changed_at When the venue's parameters changed last.
    @param now The chunk's clock.
    @return Code.
    """
    return law.check_venue(encoding.venue_parameters(tail), signers, posting_fee, grace_period, changed_at, now)


@external
@pure
def decide(tag: int256, under: containers.Conditions, move: containers.Rescue, account: containers.Account, other: containers.Side, insurance: containers.Account) -> containers.Rescued:
    """
    @notice Decides a forced rescue of an insurance account.
    @param tag Nothing else comes here.
    @param under Prices, those of the tick before, the chunk's time and what the ticks before it allow, the market.
    @param move What its author asks for.
    @param account The insurance account that is rescued.
    @param other Nobody.
    @param insurance The market's insurance account.
    @return The decision and what it leads to.
    """
    return rescue.decide_of_fund(under, move, account, insurance)


@external
@pure
def take(pool: containers.Pool, owing: containers.Debts, debt: int256, now: int256) -> (containers.Pool, containers.Debts):
    """
    @notice Takes what is owed from money that has not settled.
    @param pool The sums of unsettled money, and what is owed already.
    @param owing The debts that unsettled money has paid.
    @param debt What is owed more, micro-dollars.
    @param now The chunk's clock.
    @return Both afterwards.
    """
    return debts.take(pool, owing, debt, now)
