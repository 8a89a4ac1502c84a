"""What a guard enqueues on L1 in place of a sequencer that does not: rescues and ticks; no I/O.

The law decides: whatever would be paid for is first applied to a scratch chunk on top of the posted state and of the
queue's entries that it has not consumed (`guard_queue`). Only what is OK there is enqueued.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec

from prover.challenger.guard_queue import Scratch, Waiting
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.signing.reports import tick_digest
from prover.signing.signatures import compact
from prover.standing import judged_by_rescue
from prover.state.state import State
from prover.stf import codes, constants, containers, signatures
from prover.stf.words import Recover, word_at

# An honest venue rescues within one tick and posts within minutes; a queue entry is due an hour after its arrival at
# the earliest. Ten minutes spare it what is only not posted yet, and cost the account a sixth of that hour.
PATIENCE_SECONDS: Final = 600
# About three entries are one account with its tick; a venue that needs more than this an hour is lost anyway.
ENTRIES_AN_HOUR: Final = 20
# Five L1 blocks: so much later than the newest block an entry may arrive, and must still find its price young.
ARRIVAL_MS: Final = 60_000


class Policy(msgspec.Struct, frozen=True):
    """How long a guard waits, and how much it pays for: ms, entries within 3,600 s of L1 time."""

    patience_ms: int = PATIENCE_SECONDS * 1_000
    entries_an_hour: int = ENTRIES_AN_HOUR


class Report(msgspec.Struct, frozen=True):
    """What a source says that one oracle signer signed for the round's time; ticks, ppm an hour, 64 or 65 bytes."""

    signer_index: Annotated[int, msgspec.Meta(ge=0, lt=constants.SIGNERS)]
    prices_ticks: Annotated[
        tuple[Annotated[int, msgspec.Meta(gt=0, lt=2**48)], ...], msgspec.Meta(max_length=constants.MARKETS)
    ]
    premiums_ppm: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=-(2**23), lt=2**23)], ...], msgspec.Meta(max_length=constants.MARKETS)
    ]
    signature: Annotated[str, msgspec.Meta(pattern="^0x([0-9a-fA-F]{128}|[0-9a-fA-F]{130})$")]


class Round(msgspec.Struct, frozen=True):
    """One grid time of the oracle in a source's words."""

    time_ms: Annotated[int, msgspec.Meta(ge=0, lt=2**48)]
    reports: Annotated[tuple[Report, ...], msgspec.Meta(max_length=64)]


class Wanted(msgspec.Struct, frozen=True):
    """An entry that is worth its fee. account and market: of a rescue, else -1; since_ms: L2 time, or of a tick.

    at_risk: micro-dollars that fund and pool stand to lose by what is rescued; 0 for a tick.
    """

    tag: int
    payload: bytes
    account: int = -1
    market: int = -1
    since_ms: int = -1
    at_risk: int = 0


class Plan(msgspec.Struct, frozen=True):
    """What to enqueue, in this order; `refused` accounts by the law's code; whether a tick would change something."""

    entries: tuple[Wanted, ...]
    refused: dict[int, int]
    wants_tick: bool


NOTHING: Final = Plan((), {}, False)


class Guard:
    """Remembers which accounts stay below maintenance, and decides what `sender` enqueues.

    The memory is of this process: a guard that has just started has not seen anything stay, and waits anew.
    """

    def __init__(self, policy: Policy, sender: bytes, recover: Recover = recover_fast) -> None:
        self._policy = policy
        self._sender = sender
        self._recover = recover
        self._since: dict[int, int] = {}
        self._seen = b""

    def observe(self, state: State) -> None:
        """Notes who is below maintenance in a posted state, and since which L2 time without a break."""
        if state.root == self._seen:
            return
        now, globals = state.commitment.timestamp, state.globals
        below = {
            index
            for index in range(constants.RESERVED_ACCOUNTS, globals.next_account)
            if judged_by_rescue(globals, state.account(index), now).is_below
        }
        # A roll-back or a reorganisation sets L2 time back.
        self._since = {index: min(self._since.get(index, now), now) for index in below}
        self._seen = state.root

    def is_due(self, state: State, now_ms: int, max_lag_ms: int) -> bool:
        """Whether there is anything to plan for: cheap where nothing has changed."""
        self.observe(state)
        return self._is_old(state.globals, now_ms) or bool(self._ripe(state, now_ms, max_lag_ms))

    def _is_old(self, globals: containers.Globals, now_ms: int) -> bool:
        # Nobody needs a price before there is an account.
        has_accounts = globals.next_account > constants.RESERVED_ACCOUNTS
        return has_accounts and now_ms - globals.tick_time > self._policy.patience_ms

    def _ripe(self, state: State, now_ms: int, max_lag_ms: int) -> list[int]:
        # The next batch cannot end earlier than the lag, so a silent sequencer does not stop the clock for ever.
        clock = max(state.commitment.timestamp, now_ms - max_lag_ms)
        return [index for index, since in self._since.items() if clock - since >= self._policy.patience_ms]

    def plan(
        self,
        state: State,
        waiting: Waiting,
        now_ms: int,
        max_lag_ms: int,
        budget: int,
        rounds: Sequence[Round] = (),
    ) -> Plan:
        """What to enqueue at L1 time `now_ms`, at most `budget` entries, behind what `waiting` holds for this state.

        `max_lag_ms`: how far behind L1 a batch may end. `rounds` are a source's, believed in nothing: the law asks.
        """
        if budget <= 0 or not self.is_due(state, now_ms, max_lag_ms):
            return NOTHING
        ripe = self._ripe(state, now_ms, max_lag_ms)
        scratch, held_off = waiting.scratch(now_ms), waiting.held_off
        if self._is_old(scratch.chunk.globals, now_ms):
            oldest = now_ms - self._policy.patience_ms
            ticks = self._ticks(scratch, rounds, oldest, now_ms, _most_ticks(budget) if ripe else 1)
            rescues, refused = self._rescues(scratch, ripe, held_off, now_ms, budget - len(ticks))
            return Plan((*ticks, *rescues), refused, not ticks)
        rescues, refused = self._rescues(scratch, ripe, held_off, now_ms, budget)
        if codes.STALE not in refused.values():
            return Plan(rescues, refused, False)
        # Ticks are bought for the rescues that they make possible, and not without one.
        scratch = waiting.scratch(now_ms)
        oldest = now_ms + ARRIVAL_MS - constants.FORCED_PRICE_AGE
        ticks = self._ticks(scratch, rounds, oldest, now_ms, _most_ticks(budget))
        if not ticks:
            return Plan(rescues, refused, True)
        rescues, refused = self._rescues(scratch, ripe, held_off, now_ms, budget - len(ticks))
        return Plan((*ticks, *rescues) if rescues else (), refused, False)

    def _rescues(
        self, scratch: Scratch, ripe: list[int], held_off: set[tuple[int, int]], now_ms: int, budget: int
    ) -> tuple[tuple[Wanted, ...], dict[int, int]]:
        """Where most is at risk first; each is tried after those before it, for they share the funds."""
        judged = {index: scratch.judged(index) for index in ripe}
        judged = {index: found for index, found in judged.items() if (index, found.largest) not in held_off}
        below = sorted((-found.at_risk, index) for index, found in judged.items() if found.is_below)
        wanted: list[Wanted] = []
        refused: dict[int, int] = {}
        for _, index in below:
            if len(wanted) >= budget:
                break
            found = judged[index]
            lots, code = self._most_lots(scratch, index, found.largest, now_ms)
            if lots == 0:
                refused[index] = code
                continue
            size, entry = scratch.size(index, found.largest), self._rescue(index, found.largest, lots, now_ms)
            scratch.apply(entry)
            saved = found.at_risk * min(lots, size) // size
            payload = entry[constants.ENTRY_HEAD_LENGTH :]
            wanted.append(Wanted(constants.FORCED_RESCUE, payload, index, found.largest, self._since[index], saved))
        return tuple(wanted), refused

    def _most_lots(self, scratch: Scratch, index: int, market: int, now_ms: int) -> tuple[int, int]:
        """All lots, or the most that the law takes of an account; 0 where it takes none, and the code of all."""

        def tried(lots: int) -> tuple[bool, int]:
            above = scratch.above(now_ms)
            code = above.apply(self._rescue(index, market, lots, now_ms))
            # At the worse of two prices the fewest lots may be none: OK, and nothing done for the fee.
            return code == codes.OK and above.size(index, market) < scratch.size(index, market), code

        is_taken, code = tried(operations.ALL_LOTS)
        if is_taken:
            return operations.ALL_LOTS, code
        if not tried(1)[0]:
            return 0, code
        # What a fund cannot take whole it takes in part: the law says where between one lot and all of them it ends.
        taken, refused = 1, scratch.size(index, market)
        while refused - taken > 1:
            middle = (taken + refused) // 2
            taken, refused = (middle, refused) if tried(middle)[0] else (taken, middle)
        return taken, code

    def _rescue(self, index: int, market: int, lots: int, now_ms: int) -> bytes:
        payload = operations.forced_rescue_payload(market, index, lots)
        return self._entry(constants.FORCED_RESCUE, now_ms + ARRIVAL_MS, payload)

    def _ticks(
        self, scratch: Scratch, rounds: Sequence[Round], oldest_ms: int, now_ms: int, most: int
    ) -> tuple[Wanted, ...]:
        """Whole ticks that are newer than the scratch's and not before `oldest_ms`, tried: `most` in a row, the newest
        that there are, oldest first, or the newest one; or nothing."""
        globals = scratch.chunk.globals
        after = max(globals.tick_time, oldest_ms - 1)
        found = list(whole_ticks(scratch.chunk.domain, globals, rounds, after, now_ms, self._recover))
        times = [_time_of(tick) for tick in found]
        rows = (
            found[at : at + most][::-1] for at, time in enumerate(times) if _row(time, most) == times[at : at + most]
        )
        for row in (next(rows, []), *([tick] for tick in found)):
            taken = [
                Wanted(constants.FORCED_TICK, tick[1:], since_ms=_time_of(tick))
                for tick in row
                if scratch.apply(self._entry(constants.FORCED_TICK, now_ms, tick[1:])) == codes.OK
            ]
            if taken:
                return tuple(taken)
        return ()

    def _entry(self, tag: int, time_ms: int, payload: bytes) -> bytes:
        return operations.entry_bytes(tag, self._sender, time_ms, payload)


def _most_ticks(budget: int) -> int:
    # Three in a row are evidence that nobody can spoil; one alone leaves the rescue to wait.
    return constants.STEADY_TICKS if budget > constants.STEADY_TICKS else 1


def _row(time: int, count: int) -> list[int]:
    return [time - place * constants.TICK_STEP for place in range(count)]


def _time_of(tick: bytes) -> int:
    return int.from_bytes(tick[1:7], "big")


def whole_ticks(
    domain: bytes,
    globals: containers.Globals,
    rounds: Sequence[Round],
    after_ms: int,
    until_ms: int,
    recover: Recover = recover_fast,
) -> Iterator[bytes]:
    """Tick operations of the times in (after_ms, until_ms] for which a quorum has signed, the newest first.

    Of more than a quorum the lowest signer indices count, so that a source's order chooses nothing.
    """
    for found in sorted(rounds, key=lambda found: -found.time_ms):
        if not after_ms < found.time_ms <= until_ms or found.time_ms % constants.TICK_STEP != 0:
            continue
        good: dict[int, tuple[int, list[int], list[int], bytes]] = {}
        for report in found.reports:
            row = _signed(domain, globals, found.time_ms, report, recover)
            if row is not None:
                good.setdefault(report.signer_index, row)
        if len(good) >= globals.quorum:
            chosen = [good[index] for index in sorted(good)[: globals.quorum]]
            yield operations.tick_bytes(found.time_ms, globals.market_count, chosen)


def _signed(
    domain: bytes, globals: containers.Globals, time_ms: int, report: Report, recover: Recover
) -> tuple[int, list[int], list[int], bytes] | None:
    """A report as a tick holds it; None unless its signer signed just this."""
    if not len(report.prices_ticks) == len(report.premiums_ppm) == globals.market_count:
        return None
    try:
        signature = compact(bytes.fromhex(report.signature[2:]))
    except ValueError:
        return None
    absent = [0] * (constants.MARKETS - globals.market_count)
    prices, premiums = [*report.prices_ticks, *absent], [*report.premiums_ppm, *absent]
    digest = tick_digest(domain, time_ms, prices, premiums)
    signer = signatures.recover(digest, word_at(signature, 0), word_at(signature, 32), recover)
    if signer == containers.NOBODY or signer != globals.signers[report.signer_index]:
        return None
    return report.signer_index, prices, premiums, signature


def entries_within_hour(queue: Sequence[bytes], sender: bytes, now_ms: int) -> int:
    """How many of the queue's newest entries, oldest first, `sender` paid for in the hour before L1 time `now_ms`."""
    count = 0
    for operation in reversed(queue):
        if operation[0] not in (constants.FORCED_RESCUE, constants.FORCED_TICK):
            continue
        if int.from_bytes(operation[21:27], "big") <= now_ms - constants.HOUR:
            break
        count += operation[1:21] == sender
    return count
