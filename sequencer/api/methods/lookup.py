"""What callers name, or the refusal that it is not there."""

from typing import Final

from prover.stf import codes, constants, containers
from sequencer.api.rpc.errors import CallError, law_error
from sequencer.engine.engine import Engine
from sequencer.schema.history import AccountSpan, OrdersOf
from sequencer.schema.params import ContributionOf, OfAccount
from sequencer.views.markets import index_of

NO_ACCOUNT: Final = law_error(codes.NO_ACCOUNT)
NO_MARKET: Final = law_error(codes.NO_MARKET)


def own(params: OfAccount | AccountSpan | ContributionOf | OrdersOf) -> int:
    """Whose affair an answer is, where it is that account's alone."""
    return params.account


def require_account(engine: Engine, index: int) -> containers.Account:
    """An account that exists, insurance accounts of listed markets too; CallError NO_ACCOUNT."""
    account = engine.account(index)
    is_insurance = constants.FEE_ACCOUNT < index <= engine.globals.market_count
    if account.owner == containers.NOBODY and not is_insurance:
        raise CallError(NO_ACCOUNT, data={"account": index})
    return account


def require_market(engine: Engine, market: str | int) -> int:
    """The index of a market given by name or index; CallError NO_MARKET."""
    index = index_of(engine.globals, market)
    if index is None:
        raise CallError(NO_MARKET, data={"market": market})
    return index
