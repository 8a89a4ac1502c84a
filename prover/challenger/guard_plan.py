"""What a guard enqueues on L1 in place of a sequencer that does not: rescues, calls of funds and ticks; no I/O.

The law decides: whatever would be paid for is first applied to a scratch chunk on top of the posted state and of the
queue's entries that it has not consumed (`guard_queue`). Only what is OK there is enqueued.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Annotated, Final

import msgspec

from prover.challenger.guard_purse import Policy, Purse
from prover.challenger.guard_queue import Scratch, Waiting
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.signing.reports import tick_digest
from prover.signing.signatures import compact
from prover.standing import Judged, judged_by_rescue, won_where_over
from prover.state.state import State
from prover.stf import codes, constants, containers, signatures
from prover.stf.words import Recover, word_at
from prover.watch.watchlist import Watchlist

# Five L1 blocks: so much later than the newest block an entry may arrive, and must still find its price young.
ARRIVAL_MS: Final = 60_000


class Report(msgspec.Struct, frozen=True):
    """What a source says that one oracle signer signed for the round's time; ticks, ppb an hour, 64 or 65 bytes.

    A price of 0: the signer says that the market has none.
    """

    signer_index: Annotated[int, msgspec.Meta(ge=0, lt=constants.SIGNERS)]
    prices_ticks: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, lt=2**48)], ...], msgspec.Meta(max_length=constants.MARKETS)
    ]
    premiums_ppb: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)], ...], msgspec.Meta(max_length=constants.MARKETS)
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
    """What to enqueue, in this order; `refused` accounts by the law's code; `unpaid` ones, which are not worth it now,
    by micro-dollars at risk; whether a tick would change something."""

    entries: tuple[Wanted, ...] = ()
    refused: dict[int, int] = {}
    unpaid: dict[int, int] = {}
    wants_tick: bool = False


NOTHING: Final = Plan()


class Guard:
    """Remembers which accounts stay below maintenance, and decides what `sender` enqueues.

    The memory is of this process: a guard that has just started has not seen anything stay, and waits anew.
    """

    def __init__(self, policy: Policy, sender: bytes, recover: Recover = recover_fast) -> None:
        self._policy = policy
        self._sender = sender
        self._recover = recover
        # Of accounts below maintenance, and of those that the law would have taken over whole.
        self._since: dict[int, int] = {}
        self._close_out_since: dict[int, int] = {}
        self._seen = b""
        # Of the state that was seen last, which tells it what changes.
        self._watchlist = Watchlist(multiple=1)

    def observe(self, state: State) -> None:
        """Notes who is below maintenance in a posted state, and since which L2 time without a break."""
        if state.root == self._seen:
            return
        now, globals = state.commitment.timestamp, state.globals
        below: dict[int, int] = {}
        close_out: dict[int, int] = {}
        for index in self._near(state, globals):
            judged = judged_by_rescue(globals, state.account(index), now)
            # A roll-back or a reorganisation sets L2 time back.
            if _is_to_rescue(index, judged):
                below[index] = min(self._since.get(index, now), now)
            if judged.is_close_out or judged.is_left_owing or (_is_fund(index) and index in below):
                close_out[index] = min(self._close_out_since.get(index, now), now)
        self._since, self._close_out_since = below, close_out
        self._seen = state.root

    def _near(self, state: State, globals: containers.Globals) -> list[int]:
        """Whoever a rescue may be due for in a state at these prices, ascending; all are looked at once a state."""
        if self._watchlist not in state.watched_by:
            self._watchlist = Watchlist(multiple=1)
            self._watchlist.note(chain(*_everybody(globals)))
            state.watched_by.append(self._watchlist)
        near = self._watchlist.near(globals.risk, state.account)
        return [index for index in near if _is_anybody(globals, index)]

    def is_due(self, state: State, now_ms: int, max_lag_ms: int) -> bool:
        """Whether there is anything to plan for: cheap where nothing has changed."""
        self.observe(state)
        return self._is_withheld(state, state.globals.tick_time) or bool(self._ripe(state, now_ms, max_lag_ms))

    def _is_withheld(self, state: State, tick_time: int) -> bool:
        # By the clock of what is posted: a poster that is only late has its ticks with it, and another one were old
        # when it came to its turn. Nobody needs a price before there is an account.
        has_accounts = state.globals.next_account > constants.RESERVED_ACCOUNTS
        return has_accounts and state.commitment.timestamp - tick_time > self._policy.patience_ms

    def _ripe(self, state: State, now_ms: int, max_lag_ms: int) -> list[int]:
        # The next batch cannot end earlier than the lag, so a silent sequencer does not stop the clock for ever.
        clock = max(state.commitment.timestamp, now_ms - max_lag_ms)
        # Who may be below zero at the next tick is waited for less long.
        waits = ((self._since, self._policy.patience_ms), (self._close_out_since, self._policy.close_out_ms))
        ripe = {index for seen, patience in waits for index, since in seen.items() if clock - since >= patience}
        return sorted(ripe)

    def plan(
        self,
        state: State,
        waiting: Waiting,
        now_ms: int,
        max_lag_ms: int,
        purse: Purse,
        rounds: Sequence[Round] = (),
    ) -> Plan:
        """What to enqueue at L1 time `now_ms` out of a purse, behind what `waiting` holds for this state.

        `max_lag_ms`: how far behind L1 a batch may end. `rounds` are a source's, believed in nothing: the law asks.
        """
        if not self.is_due(state, now_ms, max_lag_ms):
            return NOTHING
        who = self._ripe(state, now_ms, max_lag_ms)
        scratch = waiting.scratch(now_ms)
        is_withheld = self._is_withheld(state, scratch.chunk.globals.tick_time)
        plan = self._rescues(scratch, who, now_ms, purse.copy())
        if not is_withheld and codes.STALE not in plan.refused.values():
            return plan
        has_ticks = False
        # Three in a row are evidence that nobody can spoil; one alone leaves the rescue to wait.
        for most in (constants.STEADY_TICKS, 1):
            scratch, left = waiting.scratch(now_ms), purse.copy()
            ticks = self._ticks(scratch, rounds, now_ms, most)
            has_ticks |= bool(ticks)
            for tick in ticks:
                left.pay(left.cost(tick.payload))
            if is_withheld and ticks:
                # Who fell below at prices that nobody posted has been waiting for as long as they were withheld.
                globals = scratch.chunk.globals
                touched = (index for index in scratch.touched() if _is_anybody(globals, index))
                who = sorted({*self._near(state, globals), *touched})
            found = self._rescues(scratch, who, now_ms, left) if ticks else NOTHING
            # A tick is bought for the rescues that it makes possible, and not without one.
            entries = (*ticks, *found.entries)
            if found.entries and purse.is_worth(sum(entry.at_risk for entry in entries), purse.price(entries)):
                return msgspec.structs.replace(found, entries=entries)
        return msgspec.structs.replace(plan, wants_tick=not has_ticks)

    def _rescues(self, scratch: Scratch, who: Iterable[int], now_ms: int, purse: Purse) -> Plan:
        """Where most is at risk first; each is tried after those before it, for they share the funds."""
        judged = {index: scratch.judged(index) for index in who}
        wanted: list[Wanted] = []
        refused: dict[int, int] = {}
        unpaid: dict[int, int] = {}
        winners: list[int] | None = None
        risks = {index: _at_risk(index, found) for index, found in judged.items() if _is_to_rescue(index, found)}
        for risk, index in sorted((-risk, index) for index, risk in risks.items()):
            cost = purse.cost(operations.forced_rescue_payload(0, index, operations.ALL_LOTS))
            if not purse.is_worth(-risk, cost):
                unpaid[index] = -risk
                continue
            is_fund, equity = _is_fund(index), judged[index].equity
            markets = [constants.insured_market(index)] if is_fund else scratch.may_begin(index, equity)
            market, lots, code = self._begun(scratch, index, markets, now_ms)
            if lots == 0:
                refused[index] = code
                continue
            # Whoever owes and holds nothing is called whole, as a fund is.
            size = scratch.size(index, market)
            saved = -risk if _is_fund(index) or size == 0 else -risk * min(lots, size) // size
            if not purse.is_worth(saved, cost):
                unpaid[index] = saved
                continue
            purse.pay(cost)
            since = self._since.get(index, scratch.chunk.globals.tick_time)
            if judged[index].is_left_owing:
                # Once for all who owe: nobody wins in a market that is over what he had not won before.
                winners = _winners(scratch) if winners is None else winners
                wanted += self._touches(scratch, winners, -risk, now_ms, since, purse)
            entry = self._rescue(index, market, lots, now_ms)
            scratch.apply(entry)
            wanted.append(
                Wanted(constants.FORCED_RESCUE, entry[constants.ENTRY_HEAD_LENGTH :], index, market, since, saved)
            )
        return Plan(tuple(wanted), refused, unpaid)

    def _touches(
        self, scratch: Scratch, winners: Iterable[int], missing: int, now_ms: int, since: int, purse: Purse
    ) -> Iterator[Wanted]:
        """Those who have won what is missing in a market that is over, the most first: else strangers pay it alone."""
        risk = scratch.chunk.globals.risk
        found = sorted(((*won_where_over(risk, scratch.account(index)), index) for index in winners), reverse=True)
        for won, market, index in found:
            entry = self._rescue(index, max(market, 0), operations.ALL_LOTS, now_ms)
            payload = entry[constants.ENTRY_HEAD_LENGTH :]
            saved, cost = min(won, missing), purse.cost(payload)
            if saved <= 0 or not purse.is_worth(saved, cost):
                return
            purse.pay(cost)
            scratch.apply(entry)
            missing -= won
            yield Wanted(constants.FORCED_RESCUE, payload, index, market, since, saved)

    def _begun(self, scratch: Scratch, index: int, markets: Iterable[int], now_ms: int) -> tuple[int, int, int]:
        """The first market whose fund takes anything, and what of it; else of the first one why it does not."""
        refused: tuple[int, int, int] | None = None
        for market in markets:
            lots, code = self._most_lots(scratch, index, market, now_ms)
            if lots > 0:
                return market, lots, code
            refused = refused or (market, lots, code)
        assert refused is not None, "there is one to ask"
        return refused

    def _most_lots(self, scratch: Scratch, index: int, market: int, now_ms: int) -> tuple[int, int]:
        """All lots, or the most that the law takes of an account; 0 where it takes none, and the code of all."""

        def tried(lots: int) -> tuple[bool, int]:
            above = scratch.above(now_ms)
            code = above.apply(self._rescue(index, market, lots, now_ms))
            # At the worse of two prices the fewest lots may be none: OK, and nothing done for the fee.
            is_done = above.judged(index) != scratch.judged(index)
            return code == codes.OK and is_done, code

        is_taken, code = tried(operations.ALL_LOTS)
        if is_taken:
            return operations.ALL_LOTS, code
        if _is_fund(index) or not tried(1)[0]:
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

    def _ticks(self, scratch: Scratch, rounds: Sequence[Round], now_ms: int, most: int) -> tuple[Wanted, ...]:
        """Whole ticks that are newer than the scratch's, tried: `most` in a row, the newest that there are, oldest
        first, or the newest one; or nothing. Whether they are young enough for a rescue is the law's to say."""
        globals = scratch.chunk.globals
        found = list(whole_ticks(scratch.chunk.domain, globals, rounds, globals.tick_time, now_ms, self._recover))
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


def _everybody(globals: containers.Globals) -> tuple[range, range]:
    """The markets' funds, and everybody's accounts."""
    return range(1, globals.market_count + 1), range(constants.RESERVED_ACCOUNTS, globals.next_account)


def _is_anybody(globals: containers.Globals, index: int) -> bool:
    return any(index in each for each in _everybody(globals))


def _winners(scratch: Scratch) -> list[int]:
    """Whoever has won something in a market that is over, and was not touched since."""
    risk, traders = scratch.chunk.globals.risk, range(constants.RESERVED_ACCOUNTS, scratch.chunk.globals.next_account)
    return [index for index in traders if won_where_over(risk, scratch.account(index))[0] > 0]


def _is_fund(index: int) -> bool:
    return index < constants.RESERVED_ACCOUNTS


def _is_to_rescue(index: int, judged: Judged) -> bool:
    # A fund has nobody to take its lots: it is called once it owes, also for what it holds no longer.
    return judged.equity < 0 if _is_fund(index) else judged.is_below or judged.is_left_owing


def _at_risk(index: int, judged: Judged) -> int:
    return -judged.equity if _is_fund(index) else judged.at_risk


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
    # What is signed has sixteen markets, zero where there is none: it is of a market as well that is listed by an entry
    # which waits, and which signers learn of when somebody serves it. One that had a price would be set aside.
    count = len(report.prices_ticks)
    if len(report.premiums_ppb) != count or count > globals.market_count or any(globals.risk.price[count:]):
        return None
    try:
        signature = compact(bytes.fromhex(report.signature[2:]))
    except ValueError:
        return None
    absent = [0] * (constants.MARKETS - count)
    prices, premiums = [*report.prices_ticks, *absent], [*report.premiums_ppb, *absent]
    digest = tick_digest(domain, time_ms, prices, premiums)
    signer = signatures.recover(digest, word_at(signature, 0), word_at(signature, 32), recover)
    if signer == containers.NOBODY or signer != globals.signers[report.signer_index]:
        return None
    return report.signer_index, prices, premiums, signature
