"""A rescue as it is told: all that decided it, with the formulas of its kind."""

from typing import Final

import msgspec

from prover.stf import constants, containers
from sequencer.engine.post_mortem import (
    DELEVERAGING,
    FORCED_CLOSE,
    FORCED_RESCUE,
    LIQUIDATION,
    TAKE_OVER,
    UNWINDING,
    PostMortem,
)
from sequencer.schema.answers import PostMortemView
from sequencer.views.markets import names

_BETTER: Final = "the better of the last two oracle prices for the account"
_THREE: Final = "at three ticks in a row one step apart"
_STEADY: Final = f"{_THREE}, or after {constants.FORCED_PRICE_AGE // 1_000} seconds without any"
_NEWER: Final = f"{_THREE}, the last newer than the entry"
_ZERO: Final = "-+ (equity - equity * maintenance_after / maintenance) / lots"
_GENTLE: Final = "(1 -+ 1.5 * maintenance_ppm * (1 - equity / maintenance))"
_FEWEST: Final = "equity after the fee with one lot less < initial requirement with one lot less"
# By kind. Equity and maintenance are those before, at the prices of `counted_at`; -+ is minus for a long.
_FORMULAS: Final = {
    LIQUIDATION: {
        "judged_price": _BETTER,
        "below": f"0 <= judged_equity < judged_maintenance, {_THREE}",
        "zero_price": f"judged_price {_ZERO}",
        "fillable_price": f"judged_price * {_GENTLE}",
        "price": "the order's, for the account no worse than zero_price and fillable_price",
        "one_lot_less": _FEWEST,
        "fee": f"min(maintenance of the lots * {constants.LIQUIDATION_FEE_PPM} ppm, gain over the zero price)",
    },
    TAKE_OVER: {
        "judged_price": _BETTER,
        "below": f"judged_equity < judged_maintenance * 2 / 3, {_THREE}",
        "zero_price": f"oracle_price {_ZERO}",
        "price": "zero_price",
    },
    DELEVERAGING: {
        "judged_price": _BETTER,
        "below": f"judged_equity < 0, {_THREE}",
        "zero_price": f"oracle_price {_ZERO}",
        "price": "zero_price; the counterparty bears of it what paid_by_fund leaves over oracle_price",
    },
    UNWINDING: {
        "judged_price": "oracle_price: an insurance account is not judged",
        "price": "the order's, at most the market's unwind_band_ppm worse than oracle_price, or one tick",
    },
    FORCED_CLOSE: {
        "judged_price": "the worse of the last two oracle prices for the account",
        "below": f"no matter, but judged_equity >= 0, {_NEWER}, and judged_price within the entry's limit",
        "zero_price": f"judged_price {_ZERO}",
        "price": f"judged_price -+ min({constants.FORCED_PENALTY_PPM} ppm, down to zero_price); against a debtor more, "
        "by what he is missing: at most all that the lots have won, and never beyond zero_price",
    },
    FORCED_RESCUE: {
        "judged_price": _BETTER,
        "below": f"judged_equity < judged_maintenance, {_STEADY}",
        "zero_price": f"oracle_price {_ZERO}",
        "price": f"oracle_price * {_GENTLE} where equity >= maintenance * 2 / 3, else zero_price",
        "one_lot_less": f"{_FEWEST}, where equity >= maintenance * 2 / 3",
    },
}


def post_mortem_view(globals: containers.Globals, record: PostMortem) -> PostMortemView:
    """One rescue by its record."""
    told = msgspec.structs.asdict(record) | {"market": names(globals)[record.market]}
    return PostMortemView(**told, formulas=_FORMULAS[record.kind], finality="sequenced")
