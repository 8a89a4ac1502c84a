"""The API of prices: reports of the oracle's signers, or moves of a devnet's own; and who hands ticks to the venue."""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from prover.signing.reports import Report
from prover.signing.signatures import compact
from prover.stf import codes
from sequencer.api.methods.lookup import NO_MARKET, require_market
from sequencer.api.rpc.errors import (
    INVALID_PARAMS,
    LATE_REPORT,
    NO_REPORTS,
    REPEATED_REPORT,
    SIGNED_PRICES,
    CallError,
    law_error,
)
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.schema.answers import MovedPrice, ReportAnswer, ReportRound
from sequencer.schema.params import MOST_MOVE_PPM, PriceMove, ReportsOf, SignedReport
from sequencer.sequencing.report_desk import LATE, REPEATED, TICK, ReportDesk, ReportRefused, round_view
from sequencer.sequencing.sequencer import Sequencer
from sequencer.views.markets import names

# A tick is due every five seconds; whoever is this far behind gains nothing from older ones.
_WAITING_TICKS: Final = 8
_REFUSALS: Final = {
    LATE: LATE_REPORT,
    REPEATED: REPEATED_REPORT,
    **{
        codes.SENTENCE[code][0]: law_error(code)
        for code in (codes.OFF_GRID, codes.QUORUM, codes.BAD_SIGNERS, codes.ZERO_PRICE)
    },
}


class Reports:
    """Reports of signers, or, where the node signs a devnet's prices itself, moves that they are asked to make."""

    def __init__(
        self,
        venue: Sequencer,
        domain: bytes,
        now_ms: Callable[[], int],
        *,
        is_taking: bool,
        is_simulated: bool = False,
    ) -> None:
        """is_taking: reports; is_simulated: whoever simulates prices comes for `moves` at each step."""
        self.desk = ReportDesk(domain, lambda: venue.engine.globals)
        self._venue = venue
        self._now_ms = now_ms
        self._is_taking = is_taking
        self._is_simulated = is_simulated
        self._moves: dict[int, int] = {}
        self._log = structlog.get_logger("oracle")
        self._send, self._receive = trio.open_memory_channel[tuple[int, bytes]](_WAITING_TICKS)

    @method(
        "catenary_report",
        "Takes an oracle signer's report; the quorum's first reports become the tick.",
        errors=(*_REFUSALS.values(), NO_REPORTS),
    )
    async def report(self, params: SignedReport, call: Call) -> ReportAnswer:
        """What became of it: "tick" says that the quorum is whole, not yet that the tick is sequenced."""
        if not self._is_taking:
            raise CallError(NO_REPORTS)
        try:
            signature = compact(bytes(params.signature))
        except ValueError as error:
            raise CallError(INVALID_PARAMS, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        prices, premiums = tuple(params.prices_ticks), tuple(params.premiums_ppb)
        given = Report(params.time_ms, params.signer_index, prices, premiums, signature)
        try:
            taken = self.desk.take(given, self._now_ms())
        except ReportRefused as refused:
            raise CallError(_REFUSALS[refused.name], data=refused.data) from None
        if taken.status == TICK:
            # Not submitted here: a signer that hangs up would take the others' tick with it.
            try:
                self._send.send_nowait((params.time_ms, taken.tick))
            except trio.WouldBlock:
                self._log.error("tick.dropped", time_ms=params.time_ms)
        return ReportAnswer(taken.status, taken.received, taken.quorum)

    @method("catenary_reports", "What the signers reported of the last grid times, and whom the node chose.")
    async def reports(self, params: ReportsOf, call: Call) -> list[ReportRound]:
        if params.time_ms is None:
            return [round_view(found) for found in self.desk.newest(params.limit)]
        found = self.desk.at(params.time_ms)
        return [] if found is None else [round_view(found)]

    @method(
        "catenary_movePrice",
        "On a devnet whose node simulates prices: moves one by so much at its next step, to see what comes of it.",
        errors=(SIGNED_PRICES, NO_MARKET),
    )
    async def move_price(self, params: PriceMove, call: Call) -> MovedPrice:
        """Several moves of one step come to no more than one may."""
        if not self._is_simulated:
            raise CallError(SIGNED_PRICES)
        market = require_market(self._venue.engine, params.market)
        ppm = self._moves.get(market, 0) + params.ppm
        self._moves[market] = max(-MOST_MOVE_PPM, min(MOST_MOVE_PPM, ppm))
        return MovedPrice(names(self._venue.engine.globals)[market], self._moves[market])

    def taken_moves(self) -> dict[int, int]:
        """What was asked of the step that is made now, in ppm by market."""
        moves, self._moves = self._moves, {}
        return moves

    async def run(self) -> None:
        """Submits ticks in the order in which their quorums were whole."""
        async for time_ms, tick in self._receive:
            await self.submit(time_ms, tick)

    async def submit(self, time_ms: int, tick: bytes) -> None:
        """Sequences a tick and notes the law's word on it."""
        outcome = await self._venue.submit(tick)
        name = codes.SENTENCE[outcome.code][0]
        self.desk.decided(time_ms, name)
        if outcome.code != codes.OK:
            self._log.warning("tick.refused", code=name, time_ms=time_ms)
