"""One round of an agent: what became of each task's order, what it wants now, and how the account stands."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

import msgspec
import structlog

from prover.stf import constants
from sequencer.agent import plans
from sequencer.agent.alerts import Alerts
from sequencer.agent.config import Config, Keep, Trail, Twap
from sequencer.agent.hand import Hand, pay
from sequencer.agent.journal import Began, Ended, Journal, Paid, Progress, Stopped
from sequencer.client.access import Identity
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import MarketView
from sequencer.wallet.drafts import permitted_slots
from sequencer.wallet.errors import BadInput, NotYet
from sequencer.wallet.keys import SigningKey
from sequencer.wallet.trust import ListedMarket
from sequencer.wallet.units import parse_money, parse_units

# After a refusal a task waits so long, and after a top-up, whatever came of it, so does the next one.
_PAUSE_MS: Final = 30_000
DAY_MS: Final = 24 * constants.HOUR
_GONE_PPM: Final = constants.PPM


class Round:
    """The tasks of one account, asked one behind the other."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        hand: Hand,
        alerts: Alerts,
        owner: SigningKey | None,
        tell: Callable[[str, str], None],
    ) -> None:
        """owner: his key where the configuration has a top_up; tell: a name and a line of what happened."""
        assert (owner is None) is (config.top_up is None), "an owner's key is given for top-ups alone"
        self._config = config
        self._journal = journal
        self._hand = hand
        self._alerts = alerts
        self._owner = owner
        self._tell = tell
        self._log = structlog.get_logger("agent")
        self._waits: dict[str, int] = {}
        self._troubles: dict[str, str] = {}
        self._level = 0
        self._paid_at = -_PAUSE_MS
        hand.node.identify = self._identify

    async def _identify(self, account: int) -> Identity:
        """The agent looks at its own account, and its owner at the one that tops up."""
        return self._hand.identity(None if account == self._config.account else self._owner)

    async def check(self, address: bytes) -> None:
        """BadInput where a task could never be done: no grant for its slot, no market, slices below what is traded."""
        view = await self._hand.node.account(self._config.account)
        permitted = permitted_slots(view, address, self._hand.clock_ms())
        shown = {market.index: market for market in await self._hand.node.markets()}
        for task in self._config.tasks:
            if task.slot not in permitted:
                raise BadInput(f"task {task.name}: the key may not sign for slot {task.slot}")
            self._check_terms(task, *self._market(task, shown))
        if self._config.top_up is not None:
            # Not only when the margin call is there.
            for text in (self._config.top_up.amount, self._config.top_up.most_a_day):
                parse_money(text)

    def _market(self, task: Twap | Keep | Trail, shown: dict[int, MarketView]) -> tuple[ListedMarket, MarketView]:
        """A task's market, and what the node says of it, which it may not do in each of its answers. NotYet."""
        market = self._hand.venue.market(task.market)
        seen = shown.get(market.index)
        if seen is None:
            raise NotYet(f"task {task.name}: the node shows no market {market.name}")
        return market, seen

    def _check_terms(self, task: Twap | Keep | Trail, market: ListedMarket, seen: MarketView) -> None:
        if isinstance(task, Keep):
            plans.keep(task, market, Progress())
        elif isinstance(task, Trail):
            for text, what in ((task.trail, "trail"), (task.step, "step"), (task.slippage, "slippage")):
                plans.percent(text, what)
        else:
            plans.percent(task.slippage, "slippage", below=market.band_ppm + 1)
            least = parse_units(task.size, market.size_decimals, "size", market.name) // task.slices
            if least * seen.price_ticks < seen.minimum_notional_micros:
                raise BadInput(f"task {task.name}: a slice is worth less than the least order of {market.name}")

    async def go(self) -> None:
        """One round; NodeUnreachable where the node does not answer."""
        shown = {market.index: market for market in await self._hand.node.markets()}
        view = await self._hand.node.account(self._config.account)
        for task in self._config.tasks:
            try:
                await self._do(task, shown, view)
            except NodeUnreachable:
                raise
            except (Rejected, NotYet, BadInput) as error:
                self._trouble(task.name, str(error))
                self._waits[task.name] = self._hand.clock_ms() + _PAUSE_MS
        self._watch(view)
        await self._top_up(view)

    async def _do(self, task: Twap | Keep | Trail, shown: dict[int, MarketView], view: AccountView) -> None:
        progress = await self._begun(task)
        if progress.stopped or self._hand.clock_ms() < self._waits.get(task.name, 0):
            return
        if progress.open is not None and not await self._settled(task, progress, view):
            return
        if progress.stopped:
            return
        market, seen = self._market(task, shown)
        now = self._hand.clock_ms()
        wanted: plans.Want | plans.Over | None
        if isinstance(task, Twap):
            wanted = plans.twap(task, market, seen, progress, now)
        elif isinstance(task, Keep):
            wanted = plans.keep(task, market, progress)
        else:
            wanted = plans.trail(task, market, seen, self._held(market, view), progress, now)
        if isinstance(wanted, plans.Over):
            self._stop(task.name, wanted.why)
        elif wanted is not None:
            await self._hand.place(task.name, wanted.terms, wanted.part)
            self._placed(task, progress)

    async def _begun(self, task: Twap | Keep | Trail) -> Progress:
        """How far a task is; one whose terms were changed begins anew, once its old order is gone."""
        what_for = sha256(msgspec.json.encode(task)).hexdigest()[:16]
        progress = self._journal.of(task.name)
        if progress.began is None or progress.began.what_for != what_for:
            if progress.open is not None:
                await self._hand.cancel(int(progress.open.fields["slot"]))
                await self._hand.ask(progress.open)
            self._journal.add(Began(task.name, what_for, self._hand.clock_ms()))
        return self._journal.of(task.name)

    async def _settled(self, task: Twap | Keep | Trail, progress: Progress, view: AccountView) -> bool:
        """Whether a task's open order leaves room for a plan: it is over, or it is one that is signed anew."""
        standing = progress.open
        assert standing is not None
        is_due = isinstance(task, Keep) and self._hand.clock_ms() >= standing.expires_at - task.lifetime_seconds * 250
        if any(order.order_id == standing.order_id for order in view.open_orders):
            if not is_due:
                return isinstance(task, Trail)
            # First out, then asked for its fills: two of them never stand side by side.
            await self._hand.cancel(task.slot)
        await self._hand.ask(standing)
        if progress.open is not None:
            return False
        assert progress.last is not None, "an order that is gone has ended"
        if progress.last.why.startswith("cancelled") and not is_due and not isinstance(task, Twap):
            # Its owner, or the venue, has taken it out: nobody puts it back behind his back.
            self._stop(task.name, progress.last.why)
        return True

    def _placed(self, task: Twap | Keep | Trail, progress: Progress) -> None:
        ended = progress.last
        if progress.open is not None or ended is None:
            self._troubles.pop(task.name, None)
            return
        self._tell("order", f"{task.name}: {ended.filled} lots, {ended.why}")
        if _is_refusal(ended):
            self._trouble(task.name, ended.why)
            self._waits[task.name] = self._hand.clock_ms() + _PAUSE_MS

    def _stop(self, task: str, why: str) -> None:
        self._journal.add(Stopped(task, why))
        self._tell("stopped", f"{task} is over: {why}")
        self._alerts.tell("task_over", account=self._config.account, task=task, why=why)

    def _trouble(self, task: str, why: str) -> None:
        """Told once, and again where it is another."""
        if self._troubles.get(task) != why:
            self._troubles[task] = why
            self._log.warning("agent.trouble", task=task, why=why)
            self._alerts.tell("trouble", account=self._config.account, task=task, why=why)

    def _held(self, market: ListedMarket, view: AccountView) -> int:
        held = (one for one in view.positions if self._hand.venue.market(one.market).index == market.index)
        return next((int(one.size_lots) for one in held), 0)

    def _watch(self, view: AccountView) -> None:
        """A margin call is told where it rises, and once where it is over."""
        level = view.margin_call_percent if view.margin_call_percent >= self._config.alerts.at_percent else 0
        if level > self._level or (level == 0 and self._level > 0):
            self._tell("margin_call", f"margin call at {level}%" if level else "the margin call is over")
            self._alerts.tell(
                "margin_call",
                account=self._config.account,
                level_percent=level,
                margin_ratio_ppm=view.margin_ratio_ppm,
                equity_micros=str(view.equity_micros),
                maintenance_micros=str(view.maintenance_micros),
            )
        self._level = level

    async def _top_up(self, view: AccountView) -> None:
        """A transfer where maintenance over equity has come so far; counted before it is sent, whatever comes of it."""
        given, now = self._config.top_up, self._hand.clock_ms()
        if given is None or self._owner is None or not view.maintenance_micros:
            return
        ratio = _GONE_PPM if view.margin_ratio_ppm is None else view.margin_ratio_ppm
        if ratio < given.at_percent * constants.PPM // 100 or now < self._paid_at + _PAUSE_MS:
            return
        day = now // DAY_MS
        left = parse_money(given.most_a_day) - self._journal.paid.get(day, 0)
        micros = min(parse_money(given.amount), left)
        if micros <= 0:
            self._trouble("top_up", f"the {given.most_a_day} dollars of today are given")
            return
        self._paid_at = now
        self._journal.add(Paid(day, micros))
        amounts = (given.from_account, self._config.account, micros)
        try:
            await pay(self._hand.node, self._hand.venue, self._owner, amounts, self._hand.clock_ms)
        except Rejected as error:
            self._trouble("top_up", str(error))
            return
        self._tell("top_up", f"{micros // 10**6} dollars from account {given.from_account}")
        self._alerts.tell("top_up", account=self._config.account, amount_micros=str(micros))


def _is_refusal(ended: Ended) -> bool:
    """Whether an order was never taken: refusals have the name of a rule, ends the word of a status."""
    return ended.why.partition(" ")[0].isupper()
