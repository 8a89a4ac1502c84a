"""What a challenger has found of late, as it tells whoever asks: verdicts, the newest first, and how L1 was heard last.

Bounded whatever is posted. Nothing here is asked for anything: it is told by a report, and read.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from prover.history.records import SENTENCE, Judgement, Notice, Reorganised, Undone, Verdict

# Batches that are remembered.
MOST: Final = 256
# So long without a look at L1, and a challenger is silent: whatever it has said before is of then.
SILENT_MS: Final = 60_000


class Judged(msgspec.Struct, frozen=True):
    """A batch and what was found of it. judged_at_ms: by this machine's clock; None before this process began.

    chunk: the first one that the law does not give; is_rolled_back: a proof has undone the batch since.
    """

    batch: int
    batch_hash: bytes
    verdict: Verdict
    reason: str
    sentence: str
    chunk: int | None
    committed_at: int
    judged_at_ms: int | None
    is_rolled_back: bool = False


class Heard(msgspec.Struct, frozen=True):
    """As of the last look at L1: the newest batch, the newest that is valid with all before it, alarms of this run."""

    at_ms: int = 0
    tip: int = 0
    valid_tip: int = 0
    alarms: int = 0


class Verdicts:
    """Those of one bridge. now_ms: wall clock."""

    def __init__(self, chain_id: int, rollup: bytes, now_ms: Callable[[], int]) -> None:
        self.chain_id, self.rollup = chain_id, rollup
        self.heard = Heard()
        self._now_ms = now_ms
        # By batch hash, the newest last: a number may be another batch's after a roll-back.
        self._judged: dict[bytes, Judged] = {}

    @property
    def newest_first(self) -> list[Judged]:
        """At most MOST."""
        return list(reversed(self._judged.values()))

    @property
    def is_silent(self) -> bool:
        """Whether L1 was not looked at for a minute."""
        return self._now_ms() - self.heard.at_ms > SILENT_MS

    def began(self, judgements: Iterable[Judgement | None]) -> None:
        """With those that an earlier process has given, the oldest first."""
        for one in judgements:
            if one is not None:
                self._keep(one, None)

    def notice(self, notice: Notice) -> None:
        """What the replay has found."""
        if isinstance(notice, Judgement):
            self._keep(notice, self._now_ms())
        elif isinstance(notice, Undone):
            first = notice.event.number
            for key, one in self._judged.items():
                if one.batch >= first:
                    self._judged[key] = msgspec.structs.replace(one, is_rolled_back=True)
        elif isinstance(notice, Reorganised):
            # They never were; what stands in their place will be judged.
            self._judged = {key: one for key, one in self._judged.items() if one.batch <= notice.tip}

    def looked(self, tip: int, valid_tip: int, alarms: int) -> None:
        """L1 was heard just now."""
        self.heard = Heard(self._now_ms(), tip, valid_tip, alarms)

    def told(self) -> dict[str, Any]:
        """As JSON has it: bytes as hexadecimal text."""
        return {
            "chain_id": self.chain_id,
            "rollup_address": "0x" + self.rollup.hex(),
            "now_ms": self._now_ms(),
            "heard_ms": self.heard.at_ms,
            "tip": self.heard.tip,
            "valid_tip": self.heard.valid_tip,
            "verdicts": [
                {**msgspec.structs.asdict(one), "batch_hash": "0x" + one.batch_hash.hex()} for one in self.newest_first
            ],
        }

    def _keep(self, judged: Judgement, at_ms: int | None) -> None:
        # Judged anew it is the newest.
        self._judged.pop(judged.batch_hash, None)
        self._judged[judged.batch_hash] = Judged(
            batch=judged.number,
            batch_hash=judged.batch_hash,
            verdict=judged.verdict,
            reason=judged.reason.value,
            sentence=SENTENCE[judged.reason],
            chunk=judged.chunk_index if judged.verdict == Verdict.FRAUD else None,
            committed_at=judged.committed_at,
            judged_at_ms=at_ms,
        )
        while len(self._judged) > MOST:
            del self._judged[next(iter(self._judged))]
