"""What a challenger says while it runs and what it came to: verdicts, roll-backs, rewards, alarms."""

from typing import Any

import msgspec
import structlog

from prover.challenger.verdicts import Verdicts
from prover.history.records import SENTENCE, Collected, Judgement, Notice, Reason, Reorganised, Undone, Verdict
from prover.telling import Output, short


class Summary(msgspec.Struct):
    """What one run of a challenger came to; `held` is whether every canonical batch is valid in the end.

    proofs_alone: those of the sent ones that went on the word of one L1 node, another failing or speaking against it.
    canaries: invalid batches that were posted on purpose beside the venue; missed: those that outlived their time.
    """

    valid: int = 0
    fraud: int = 0
    unknown: int = 0
    proofs_sent: int = 0
    proofs_alone: int = 0
    proofs_won: int = 0
    proof_gas: int = 0
    rolled_back: int = 0
    rewards_wei: int = 0
    alarms: int = 0
    reorganisations: int = 0
    entries_sent: int = 0
    canaries: int = 0
    canaries_missed: int = 0
    tip: int = 0
    valid_tip: int = 0
    root: bytes = b""
    seconds: float = 0.0
    held: bool = False


class Report:
    """One run in the words of its output. `has_drifted`: the law of the replay is not the one on L1.

    is_asked_in_vain: whether nodes were asked again for what does not fit, and have told no better.
    """

    def __init__(self, output: Output, prover: bytes | None, verdicts: Verdicts | None = None) -> None:
        """prover: the address whose proofs and rewards are ours, None for nobody's. verdicts: told to whoever asks."""
        self.summary = Summary()
        self.has_drifted = self.is_asked_in_vain = False
        self._output = output
        self._prover = prover
        self._verdicts = verdicts
        self._logger = structlog.get_logger()
        self._said: set[tuple[str, bytes]] = set()

    def event(self, name: str, text: str, /, *, colour: str | None = None, **fields: Any) -> None:
        """One thing that happened."""
        self._output.event(name, text, colour=colour, **fields)

    def notice(self, notice: Notice) -> None:
        """Tells what the replay found, and counts it."""
        summary = self.summary
        if self._verdicts is not None:
            self._verdicts.notice(notice)
        if isinstance(notice, Judgement):
            self._judgement(notice)
        elif isinstance(notice, Undone):
            event = notice.event
            ours = event.prover == self._prover
            summary.rolled_back += notice.dropped
            summary.proofs_won += ours
            self._output.event(
                "rolled_back",
                f"batch {event.number} is rolled back by {'us' if ours else short(event.prover)}"
                + (f", {notice.dropped - 1} more fell with it" if notice.dropped > 1 else ""),
                colour="green",
                number=event.number,
                batch_hash=event.batch_hash,
                prover=event.prover,
                ours=ours,
                dropped=notice.dropped,
                chunk_index=event.chunk_index,
                bond_id=event.bond_id,
                reward_wei=event.reward_wei,
                release_at=event.release_at,
            )
        elif isinstance(notice, Collected):
            ours = notice.prover == self._prover
            summary.rewards_wei += notice.amount_wei if ours else 0
            self._output.event(
                "reward_collected",
                f"bond {notice.bond_id}: {notice.amount_wei / 10**18:g} ether to {short(notice.prover)}",
                bond_id=notice.bond_id,
                prover=notice.prover,
                ours=ours,
                amount_wei=notice.amount_wei,
            )
        elif isinstance(notice, Reorganised):
            summary.reorganisations += 1
            text = f"L1 dropped block {notice.block.number}, back at batch {notice.tip}"
            self._output.event("reorganised", text, block_number=notice.block.number, tip=notice.tip)
        else:
            self.has_drifted |= notice.reason == Reason.LAW_DRIFT
            if notice.reason == Reason.HISTORY:
                self.lost(notice.detail)
                return
            self.alarm(notice.reason, notice.detail or SENTENCE[notice.reason])

    def looked(self, tip: int, valid_tip: int) -> None:
        """L1 was heard."""
        if self._verdicts is not None:
            self._verdicts.looked(tip, valid_tip, self.summary.alarms)

    def _judgement(self, judged: Judgement) -> None:
        summary, verdict = self.summary, judged.verdict
        summary.valid += verdict == Verdict.VALID
        summary.fraud += verdict == Verdict.FRAUD
        summary.unknown += verdict == Verdict.UNKNOWN
        text = f"batch {judged.number:>5}  {verdict.value:<7}  {judged.chunks} chunks"
        if verdict == Verdict.VALID:
            text += f", {judged.operations} operations, root {short(judged.last_root)}"
        elif verdict == Verdict.FRAUD:
            text += f", chunk {judged.chunk_index} claims {short(judged.claimed_root)}, "
            text += f"the law gives {short(judged.replayed_root)}"
        else:
            text += f", {judged.reason.value}: {SENTENCE[judged.reason]}"
        colours = {Verdict.VALID: None, Verdict.FRAUD: "red", Verdict.UNKNOWN: "yellow"}
        fraud = verdict == Verdict.FRAUD
        self._output.event(
            "batch",
            text,
            colour=colours[verdict],
            number=judged.number,
            batch_hash=judged.batch_hash,
            committer=judged.committer,
            verdict=verdict,
            reason=judged.reason,
            chunks=judged.chunks,
            operations=judged.operations,
            root=judged.last_root,
            block_number=judged.block_number,
            chunk_index=judged.chunk_index if fraud else None,
            claimed_root=judged.claimed_root if fraud else None,
            replayed_root=judged.replayed_root if fraud else None,
        )

    def lost(self, detail: str) -> None:
        """The logs are not all that the bridge wrote: an alarm once the blocks were asked again, for some come late."""
        if self.is_asked_in_vain:
            self.alarm(Reason.HISTORY, detail)
        else:
            self._logger.warning("history_gap", detail=detail)

    def alarm(self, code: str, detail: str, once_for: bytes | None = None) -> None:
        """A human has to look; with `once_for` only the first time for it, until it is over."""
        if once_for is not None:
            if (code, once_for) in self._said:
                return
            self._said.add((code, once_for))
        self.summary.alarms += 1
        self._output.event("alarm", f"ALARM {code}: {detail}", colour="red", code=str(code), detail=detail)
        self._logger.error("alarm", code=str(code), detail=detail)

    def end_alarm(self, code: str, once_for: bytes) -> None:
        """What was wrong is over: the next time it is told again."""
        self._said.discard((code, once_for))

    def once(self, name: str, key: bytes, text: str, **fields: Any) -> None:
        """An event that is told only the first time for a key."""
        if (name, key) not in self._said:
            self._said.add((name, key))
            self._output.event(name, text, **fields)
