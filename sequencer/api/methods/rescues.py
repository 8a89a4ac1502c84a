"""What anybody may ask about rescues: the post-mortem of each, and who would be deleveraged first."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from prover.stf import constants
from sequencer.api.methods.submitting import Account
from sequencer.api.methods.words import Json, Words
from sequencer.api.rpc.jsonrpc import Call, Registry
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.engine.post_mortem import (
    DELEVERAGING,
    FORCED_CLOSE,
    FORCED_RESCUE,
    LIQUIDATION,
    TAKE_OVER,
    UNWINDING,
    PostMortem,
)
from sequencer.engine.ranking import Place, Ranked, ranking, score
from sequencer.views.account import AccountView

_LIST_LIMIT: Final = 200
_TOLD: Final = 20

_BETTER: Final = "the better of the last two oracle prices for the account"
_THREE: Final = "at three ticks in a row one step apart"
_STEADY: Final = f"{_THREE}, or after {constants.FORCED_PRICE_AGE // 1_000} seconds without any"
_ZERO: Final = "-+ (equity - equity * maintenance_after / maintenance) / lots"
_GENTLE: Final = "(1 -+ 1.5 * maintenance_ppm * (1 - equity / maintenance))"
_FEWEST: Final = "equity with one lot less < initial requirement with one lot less"
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
        "price": f"the order's, at most {constants.UNWIND_BAND_PPM} ppm worse than oracle_price",
    },
    FORCED_CLOSE: {
        "judged_price": "the worse of the last two oracle prices for the account",
        "below": f"no matter, but judged_equity >= 0, {_STEADY}",
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


class PostMortemsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest rescues, of one account or of all."""

    account: Account | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=_LIST_LIMIT)] = 20


class RankingOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side of one market by name or index."""

    market: str | int
    side: Literal["long", "short"]
    limit: Annotated[int, msgspec.Meta(ge=1, le=_LIST_LIMIT)] = 50


class RescueMethods:
    """The handlers, and the channel on which every rescue is told."""

    def __init__(self, engine: Engine, words: Words) -> None:
        self._engine = engine
        self._words = words
        self.rankings = Rankings(engine)

    def register(self, registry: Registry) -> None:
        """Adds every method."""
        sentence = "The newest rescues of each kind, with all that decided them and what was paid."
        registry.add(
            "catenary_postMortems", self.post_mortems, params=PostMortemsOf, description=sentence, result=list[Json]
        )
        sentence = "Who would be deleveraged first: return times leverage, the largest first."
        registry.add(
            "catenary_deleveragingRanking", self.ranking, params=RankingOf, description=sentence, result=list[Json]
        )

    def open_feeds(self, feeds: Feeds) -> None:
        """Opens the channel of all rescues."""
        feeds.open("rescues", lambda: [self._told(record) for record in list(self._engine.rescues)[-_TOLD:]])

    def sequenced(self, outcome: Processed, feeds: Feeds, account_of: Callable[[int], Json]) -> None:
        """Tells what an input brought on `rescues`, and on the channel of each account that it concerns.

        account_of: an account as its channel tells it.
        """
        for record in outcome.rescues:
            told = self._told(record)
            feeds.publish("rescues", told)
            for account in (record.account, record.counterparty):
                channel = f"account:{account}"
                if feeds.is_open(channel):
                    feeds.publish(channel, {**account_of(account), "rescue": told})

    def _told(self, record: PostMortem) -> Json:
        told: Json = self._words.plain(record)
        return {**told, "formulas": _FORMULAS[record.kind], "finality": "sequenced"}

    async def post_mortems(self, params: PostMortemsOf, call: Call) -> list[Json]:
        """catenary_postMortems, the newest first."""
        found = [
            record
            for record in reversed(self._engine.rescues)
            if params.account is None or params.account in (record.account, record.counterparty)
        ]
        return [self._told(record) for record in found[: params.limit]]

    async def ranking(self, params: RankingOf, call: Call) -> list[Json]:
        """catenary_deleveragingRanking."""
        market = self._words.market(params.market)
        places = self.rankings.of_side(market, 1 if params.side == "long" else -1)
        return [
            {"account": place.account, "rank": place.rank, "score_ppm": self._words.plain(place.score_ppm)}
            for place in places[: params.limit]
        ]


class Rankings:
    """The deleveraging rankings as of the last tick: both sides of each market are sorted at most once a tick."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tick_time = -1
        self._sides: dict[tuple[int, int], list[Ranked]] = {}

    def of_side(self, market: int, side: int) -> list[Ranked]:
        """The ranking of the longs (1) or shorts (-1) of a market."""
        engine = self._engine
        if engine.globals.tick_time != self._tick_time:
            self._tick_time = engine.globals.tick_time
            self._sides = {}
        if (market, side) not in self._sides:
            rows = [(index, engine.account(index)) for index in sorted(engine.holders)]
            now_ms = engine.view.commitment.timestamp
            self._sides[(market, side)] = ranking(engine.globals, now_ms, market, side, rows)
        return self._sides[(market, side)]

    def places(self, index: int, seen: AccountView) -> dict[int, Place]:
        """Where an account's positions in profit stand, by market, as it is seen: now, or after what is imagined.

        Its own scores are of what is seen, those of all others of the last tick; its fills since then, and its
        counterparties in what is imagined, move the others only with the next tick. Insurance accounts have no place.
        """
        found: dict[int, Place] = {}
        for leg in seen.positions:
            own = score(leg.unrealised_micros, leg.cost_micros, seen.notional_micros, seen.equity_micros)
            if own == 0 or index < constants.RESERVED_ACCOUNTS:
                continue
            side = self.of_side(leg.market, 1 if leg.size_lots > 0 else -1)
            others = [place for place in side if place.account != index]
            at = bisect_left(others, (-own, index), key=lambda place: (-place.score, place.account))
            found[leg.market] = Place(
                rank=at + 1,
                ahead=others[at - 1] if at > 0 else None,
                behind=others[at] if at < len(others) else None,
            )
        return found
