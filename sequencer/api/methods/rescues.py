"""What anybody may ask about rescues: the post-mortem of each, and who would be deleveraged first."""

from sequencer.api.methods.lookup import NO_MARKET, require_market
from sequencer.api.methods.privacy import Privacy
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.engine.engine import Engine
from sequencer.schema.answers import PostMortemView, RankView
from sequencer.schema.params import PostMortemsOf, RankingOf
from sequencer.views.rankings import Rankings
from sequencer.views.rescues import post_mortem_view


class Rescues:
    """The handlers."""

    def __init__(self, engine: Engine, rankings: Rankings, privacy: Privacy) -> None:
        self._engine = engine
        self._rankings = rankings
        self._privacy = privacy

    @method("catenary_postMortems", "The newest rescues of each kind, with all that decided them and what was paid.")
    async def post_mortems(self, params: PostMortemsOf, call: Call) -> list[PostMortemView]:
        """The newest first."""
        found = [
            record
            for record in reversed(self._engine.rescues)
            if params.account is None or params.account in (record.account, record.counterparty)
        ]
        return [post_mortem_view(self._engine.globals, record) for record in found[: params.limit]]

    @method(
        "catenary_deleveragingRanking",
        "Who would be deleveraged first: return times leverage, the largest first.",
        errors=(NO_MARKET,),
    )
    async def ranking(self, params: RankingOf, call: Call) -> list[RankView]:
        market = require_market(self._engine, params.market)
        places = self._rankings.of_side(market, 1 if params.side == "long" else -1)
        return [
            RankView(
                place.account if self._privacy.may_see(place.account, call.session) else None,
                place.rank,
                place.score_ppm,
            )
            for place in places[: params.limit]
        ]
