"""What a trader asks about an account: previews, explanations, contributions; and the margin calls that it is told.

What a preview adds to the law's own numbers is the venue's policy, asked of the same state: the margin call, with the
hysteresis of the level at which the account is called now, and where its positions stand in the deleveraging rankings.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from prover.stf import constants, containers
from sequencer.api.methods.submitting import Account, Submitting, UnsignedFields, sized, sized_request
from sequencer.api.methods.words import Json, Words
from sequencer.api.rpc.errors import INVALID_PARAMS, CallError
from sequencer.api.rpc.jsonrpc import Call, Registry
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.engine.engine import Engine
from sequencer.engine.ranking import Place
from sequencer.views.account import BASIS_POINTS, HIGHEST_RISE_BP, AccountView, Outlook, outlook
from sequencer.views.contribution import contribution
from sequencer.views.explain import explain
from sequencer.views.margin_calls import MarginCall, MarginCalls, next_level
from sequencer.views.preview import preview_order, preview_request

_LISTED_CALLS: Final = 200
_DEFAULT_SHOCK_BP: Final = -1_000
_PREVIEWED: Final = (constants.TRANSFER, constants.WITHDRAW, constants.SET_LEVERAGE)


class OperationOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation without signature: kind and any of its signed fields; the rest is filled in."""

    operation: UnsignedFields


class ExplanationOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account."""

    account: Account


class ContributionOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account, and a shock in basis points, of all markets or of one by name or index."""

    account: Account
    shock_bp: Annotated[int, msgspec.Meta(gt=-BASIS_POINTS, le=HIGHEST_RISE_BP)] = _DEFAULT_SHOCK_BP
    market: str | int | None = None


class AccountMethods:
    """The handlers, and the look at every account with positions after each tick."""

    def __init__(
        self,
        engine: Engine,
        words: Words,
        submitting: Submitting,
        now_ms: Callable[[], int],
        places_of: Callable[[int, AccountView], dict[int, Place]],
    ) -> None:
        """`places_of`: where an account's positions as they are seen stand in the deleveraging rankings, by market."""
        self._engine = engine
        self._words = words
        self._submitting = submitting
        self._now_ms = now_ms
        self._places_of = places_of
        self._calls = MarginCalls(engine.holders)
        self._looked_at_ms = engine.globals.tick_time

    def register(self, registry: Registry) -> None:
        """Adds every method."""
        sentence = (
            "An account before and after an order, transfer, withdrawal or bound of leverage that is not sent, with "
            "buying power, margin call and deleveraging ranks."
        )
        add = registry.add
        add("catenary_preview", self.preview, params=OperationOf, description=sentence, result=Json)
        sentence = "Every number of an account with its formula and inputs."
        add("catenary_explain", self.explain, params=ExplanationOf, description=sentence, result=Json)
        sentence = "What each position adds and takes, what a shock would liquidate, what sharing one pool saves."
        registry.add(
            "catenary_contribution", self.contribution, params=ContributionOf, description=sentence, result=Json
        )

    def open_feeds(self, feeds: Feeds) -> None:
        """Opens the channel of all margin calls."""
        feeds.open("margin_calls", lambda: [self._call(call) for call in self._calls.standing(_LISTED_CALLS)])

    def account(self, index: int) -> Json:
        """An account as catenary_account answers it."""
        seen = self._outlook(index)
        return {**self._ranked(self._words.account(index, seen), seen), "margin_call_percent": self._calls.level(index)}

    def _outlook(self, index: int) -> Outlook:
        engine = self._engine
        return outlook(engine.globals, engine.view.clock(), engine.account(index))

    def _ranked(self, told: Json, seen: AccountView) -> Json:
        """Adds where each position stands; None for one that has no place."""
        places = self._places_of(told["account"], seen)
        for leg, position in zip(seen.positions, told["positions"], strict=True):
            place = places.get(leg.market)
            position["deleveraging_rank"] = None if place is None else place.rank
        return told

    def ticked(self, feeds: Feeds) -> None:
        """Looks at the accounts once a tick, and tells the changed calls on `margin_calls` and `account:N`."""
        globals = self._engine.globals
        if globals.tick_time == self._looked_at_ms:
            return
        self._looked_at_ms = globals.tick_time
        now_ms = self._engine.view.commitment.timestamp
        for call in self._calls.look(globals.risk, globals.tick_time, now_ms, self._engine.account):
            told = self._call(call)
            feeds.publish("margin_calls", told)
            channel = f"account:{call.account}"
            if feeds.is_open(channel):
                feeds.publish(channel, {**self.account(call.account), "margin_call": told})

    def _call(self, call: MarginCall) -> Json:
        told: Json = self._words.plain(call)
        return told

    async def preview(self, params: OperationOf, call: Call) -> Json:
        """catenary_preview. A refusal is an answer here: the numbers before it are still good.

        margin_call_percent of every state: what the next tick would tell of it at the same prices.
        """
        drafted = self._submitting.draft(params.operation)
        message = drafted.message
        self._words.require_account(message.account)
        if isinstance(message, containers.Order):
            seen = preview_order(self._engine, sized(message), self._now_ms())
        elif drafted.tag in _PREVIEWED:
            given = sized_request(drafted.tag, message)
            seen = preview_request(self._engine, drafted.tag, given, self._now_ms())
        else:
            raise CallError(
                INVALID_PARAMS, "An order, a transfer, a withdrawal or a bound of leverage can be previewed."
            )
        told: Json = self._words.plain(seen)
        other = message.account if seen.other is None else seen.other
        for name, index, state in (
            ("before", message.account, seen.before),
            ("after", message.account, seen.after),
            ("if_filled", message.account, seen.if_filled),
            ("other_before", other, seen.other_before),
            ("other_after", other, seen.other_after),
        ):
            if state is not None:
                level = next_level(self._calls.level(index), state.standing)
                marked = {"account": index, "margin_call_percent": level, "finality": "preview"}
                told[name] = self._ranked({**told[name], **marked}, state)
        return {**told, "operation": drafted.operation, "finality": "preview"}

    async def explain(self, params: ExplanationOf, call: Call) -> Json:
        """catenary_explain. Numbers are decimal strings: they are for recomputing."""
        account = self._words.require_account(params.account)
        engine = self._engine
        look = self._calls.last_look(params.account)

        def places_of(seen: Outlook) -> dict[int, Place]:
            return self._places_of(params.account, seen)

        found = explain(engine.globals, engine.view.clock(), account, self._words.name, look, places_of)
        return {
            "account": params.account,
            "numbers": [
                {
                    "name": number.name,
                    "value": None if number.value is None else str(number.value),
                    "unit": number.unit,
                    "formula": number.formula,
                    "inputs": {name: _digits(value) for name, value in number.inputs.items()},
                }
                for number in found
            ],
            "finality": "sequenced",
        }

    async def contribution(self, params: ContributionOf, call: Call) -> Json:
        """catenary_contribution."""
        account = self._words.require_account(params.account)
        market = None if params.market is None else self._words.market(params.market)
        seen = contribution(self._engine.globals, self._engine.view.clock(), account, params.shock_bp, market)
        return {"account": params.account, **self._words.plain(seen), "finality": "sequenced"}


def _digits(value: int | list[int]) -> str | list[str]:
    return [str(item) for item in value] if isinstance(value, list) else str(value)
