"""What the L1 queue holds, as a guard reckons with it: applied by the law to the posted state, each entry once."""

from collections.abc import Callable

from prover.signing.recover import recover_fast
from prover.standing import Judged, judged_by_rescue, may_begin
from prover.state.state import State
from prover.state.trial import Trial
from prover.stf import constants, containers, encoding, margin
from prover.stf.replay import Chunk
from prover.stf.words import Recover


class Scratch:
    """A trial of queue entries, opened at an L1 time, as if what a guard cannot know had gone well."""

    def __init__(self, trial: Trial, now_ms: int) -> None:
        self._trial = trial
        self.chunk.open(now_ms)
        self._end_head()

    def above(self, now_ms: int) -> "Scratch":
        """Another one on top of this one, which stays as it is."""
        return Scratch(self._trial.above(), now_ms)

    @property
    def chunk(self) -> Chunk:
        """The chunk that is open now."""
        return self._trial.chunk

    def apply(self, operation: bytes) -> int:
        """The law's code of one queue entry; what it changes stays."""
        # A rescue waits in the queue until the prices are steady: here it counts as having waited.
        self.chunk.globals.streak = constants.STEADY_TICKS
        code = self._trial.apply(operation)
        self._end_head()
        return code

    def judged(self, index: int) -> Judged:
        """An account as a rescue judges it here."""
        return judged_by_rescue(self.chunk.globals, self.account(index), self.chunk.commitment.timestamp)

    def may_begin(self, index: int, equity: int) -> list[int]:
        """Markets in which a rescue of an account of this equity may begin, the largest first; market 0 if none."""
        globals, now = self.chunk.globals, self.chunk.commitment.timestamp
        settled, _ = margin.settle(globals.risk, self.account(index), now)
        return may_begin(globals, settled, equity) or [0]

    def account(self, index: int) -> containers.Account:
        """An account as it stands here."""
        return self._trial.account(index)

    def touched(self) -> set[int]:
        """Accounts that may stand otherwise here than in the posted state."""
        return self._trial.touched()

    def size(self, index: int, market: int) -> int:
        """Lots of a position, long or short."""
        return abs(encoding.unpack(self.account(index).positions[market]).size)

    def _end_head(self) -> None:
        # Close steps are the venue's choice and cannot be guessed: the head counts as done, its account as it stands.
        self.chunk.end_head()


class Waiting:
    """A posted state with the entries on top that it has not consumed, in order, one `take` for each as it comes.

    What has been taken is kept until the state or the queue is another one: an entry costs its work once for each
    posted state, however often somebody asks and however many there are.
    """

    def __init__(self, state: State, now_ms: int, recover: Recover = recover_fast) -> None:
        trial = Trial(state.domain, state.commitment, state.globals, state, recover)
        self.next = state.commitment.queue_taken
        self._state, self._root, self._first = state, state.root, self.next
        self._scratch = Scratch(trial, now_ms)
        self._chain_hash = b""

    def is_of(self, state: State, chain_hash: Callable[[int], bytes | None]) -> bool:
        """Whether it still stands on this state and on this queue, of which `chain_hash` tells the hash by index."""
        if self._state is not state or self._root != state.root:
            return False
        return self.next == self._first or chain_hash(self.next - 1) == self._chain_hash

    def take(self, operation: bytes, chain_hash: bytes) -> None:
        """Applies the next entry, up to and with which the queue has this hash."""
        self._scratch.apply(operation)
        self.next += 1
        self._chain_hash = chain_hash

    def scratch(self, now_ms: int) -> Scratch:
        """A scratch on top of all that was taken, at an L1 time; what is applied to it is forgotten with it."""
        return self._scratch.above(now_ms)
