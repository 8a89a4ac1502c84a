"""Which signed price reports are taken, when k of them become a tick, and what readers may see of them afterwards."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from prover.signing.recover import recover_fast
from prover.signing.reports import Report, assembled, report_digest
from prover.stf import codes, constants, containers, signatures
from prover.stf.words import Recover, word_at
from sequencer.schema.answers import KeptReport, ReportRound
from sequencer.schema.params import KEPT_ROUNDS
from sequencer.schema.values import as_hex

# A chunk's clock may be as old as the longest --seal-seconds, so half of the law's tolerance is left to the signers.
MAX_AHEAD_MS: Final = constants.CLOCK_TOLERANCE // 2
# Why the desk itself refuses a report; all other reasons are the law's, by their names.
LATE: Final = "LATE_REPORT"
REPEATED: Final = "REPEATED_REPORT"

COUNTED: Final = "counted"
TICK: Final = "tick"
SPARE: Final = "spare"


class Kept(msgspec.Struct, frozen=True):
    """A report with the node's time at its arrival, ms."""

    report: Report
    received_ms: int


class Round(msgspec.Struct):
    """One grid time: its reports in the order of arrival, the signers of the tick, and the law's word on the tick."""

    time_ms: int
    kept: dict[int, Kept] = {}
    chosen: tuple[int, ...] = ()
    code: str = ""


class Taken(msgspec.Struct, frozen=True):
    """What became of a good report. status: counted, tick (it completed the quorum) or spare (the tick stands)."""

    status: str
    received: int
    quorum: int
    tick: bytes = b""


class ReportRefused(Exception):
    """A report that is not taken: the reason by name, what programs may want to know beside it."""

    def __init__(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.data = dict(data or {})


class ReportDesk:
    """Takes reports; exactly the first k that arrive for a time become its tick, sorted by signer.

    The rule leaves no choice to the node's will, but arrival is only the node's word: whoever runs it may pretend any
    order. That is why all reports are kept for readers, those of the signers that were not needed too.

    Invariant: memory is bounded. Only signers of the genesis have a place, one a time, and only times of the last
    MAX_PRICE_AGE and the next MAX_AHEAD_MS are opened; beyond KEPT_ROUNDS the oldest goes.
    """

    def __init__(
        self, domain: bytes, globals: Callable[[], containers.Globals], recover: Recover = recover_fast
    ) -> None:
        self._domain = domain
        self._globals = globals
        self._recover = recover
        self._rounds: dict[int, Round] = {}

    def take(self, report: Report, now_ms: int) -> Taken:
        """Takes a report, or raises ReportRefused; a tick's bytes come with the report that completes its quorum."""
        globals = self._globals()
        self._check(report, globals, now_ms)
        signer = globals.signers[report.signer_index]
        recovered = self._signer_of(report)
        if recovered != signer:
            data = {"recovered": "0x" + recovered.hex(), "expected_signer": "0x" + signer.hex()}
            raise ReportRefused(codes.SENTENCE[codes.BAD_SIGNERS][0], data)
        found = self._rounds.get(report.time_ms) or self._open(report.time_ms)
        earlier = found.kept.get(report.signer_index)
        if earlier is not None:
            same = (earlier.report.prices_ticks, earlier.report.premiums_ppb)
            is_same = same == (report.prices_ticks, report.premiums_ppb)
            raise ReportRefused(REPEATED, {"is_same": is_same})
        found.kept[report.signer_index] = Kept(report, now_ms)
        if found.chosen:
            return Taken(SPARE, len(found.kept), globals.quorum)
        if len(found.kept) < globals.quorum:
            return Taken(COUNTED, len(found.kept), globals.quorum)
        found.chosen = tuple(sorted(found.kept))
        return Taken(TICK, len(found.kept), globals.quorum, assembled([found.kept[i].report for i in found.chosen]))

    def decided(self, time_ms: int, code: str) -> None:
        """Notes the law's word on the tick of a time."""
        if time_ms in self._rounds:
            self._rounds[time_ms].code = code

    def newest(self, limit: int) -> list[Round]:
        """The rounds that are kept, the newest first."""
        return [self._rounds[time] for time in sorted(self._rounds, reverse=True)[:limit]]

    def at(self, time_ms: int) -> Round | None:
        """The round of one grid time."""
        return self._rounds.get(time_ms)

    def _check(self, report: Report, globals: containers.Globals, now_ms: int) -> None:
        """The cheap checks, in the law's order where it has them."""
        time = report.time_ms
        if time % constants.TICK_STEP != 0 or time > now_ms + MAX_AHEAD_MS:
            raise ReportRefused(codes.SENTENCE[codes.OFF_GRID][0], {"now_ms": now_ms})
        found = self._rounds.get(time)
        is_passed = time <= globals.tick_time and (found is None or not found.chosen)
        if is_passed or time < now_ms - constants.MAX_PRICE_AGE:
            raise ReportRefused(LATE, {"tick_time_ms": globals.tick_time, "now_ms": now_ms})
        if len(report.prices_ticks) != globals.market_count or len(report.premiums_ppb) != globals.market_count:
            raise ReportRefused(codes.SENTENCE[codes.QUORUM][0], {"market_count": globals.market_count})
        index = report.signer_index
        if not 0 <= index < constants.SIGNERS or globals.signers[index] == containers.NOBODY:
            raise ReportRefused(codes.SENTENCE[codes.BAD_SIGNERS][0], {"signer_index": index})
        if not any(report.prices_ticks):
            raise ReportRefused(codes.SENTENCE[codes.ZERO_PRICE][0])

    def _signer_of(self, report: Report) -> bytes:
        digest = report_digest(self._domain, report.time_ms, report.prices_ticks, report.premiums_ppb)
        return signatures.recover(digest, word_at(report.signature, 0), word_at(report.signature, 32), self._recover)

    def _open(self, time_ms: int) -> Round:
        if len(self._rounds) >= KEPT_ROUNDS:
            del self._rounds[min(self._rounds)]
        opened = self._rounds[time_ms] = Round(time_ms)
        return opened


def round_view(found: Round) -> ReportRound:
    """A round as it is told."""
    tick = assembled([found.kept[index].report for index in found.chosen]) if found.chosen else b""
    return ReportRound(
        time_ms=found.time_ms,
        chosen=list(found.chosen),
        code=found.code,
        tick=as_hex(tick),
        reports=[
            KeptReport(
                signer_index=index,
                prices_ticks=list(kept.report.prices_ticks),
                premiums_ppb=list(kept.report.premiums_ppb),
                signature=as_hex(kept.report.signature),
                received_ms=kept.received_ms,
            )
            for index, kept in found.kept.items()
        ],
    )
