"""What is asked about an account: as it stands, what would become of it, and where its numbers come from.

What a preview adds to the law's own numbers is the venue's policy, asked of the same state: the margin call, with the
hysteresis of the level at which the account is called now, and where its positions stand in the deleveraging rankings.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from prover.stf import constants, containers
from sequencer.api.methods.drafts import Drafter, sized, sized_request
from sequencer.api.methods.lookup import NO_ACCOUNT, NO_MARKET, own, require_account, require_market
from sequencer.api.methods.privacy import Privacy
from sequencer.api.rpc.errors import INVALID_PARAMS, TOO_LARGE, CallError
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.engine.engine import Engine
from sequencer.engine.ranking import Place
from sequencer.engine.reservation import Open
from sequencer.schema.accounts import (
    AccountView,
    Contribution,
    DepositPreview,
    Explanation,
    Foreseen,
    OpenOrder,
    Outlook,
    Preview,
    SlotHint,
    VoidedView,
)
from sequencer.schema.params import (
    LIST_LIMIT,
    ContributionOf,
    OfAccount,
    OfOwner,
    ToDeposit,
    ToPreview,
    UnsignedOperation,
)
from sequencer.schema.values import RepeatedUint64, as_hex
from sequencer.views.account import outlook, standing_of
from sequencer.views.books import free_slot, open_orders, voided_view
from sequencer.views.contribution import Moves, contribution
from sequencer.views.explain import explain
from sequencer.views.margin_calls import MarginCalls, next_level
from sequencer.views.preview import opened_by, preview_deposit, preview_order, preview_request
from sequencer.views.rankings import Rankings

_PREVIEWED: Final = (constants.TRANSFER, constants.WITHDRAW, constants.SET_LEVERAGE)
# With how many resting orders the preview of one is gone through: a tenth of a second in which the node does no more.
MOST_MET: Final = 1_024


def _paying(call: Call) -> Callable[[int], None]:
    """Charges a token for each order that a previewed one meets, as it were sent; raises CallError (TOO_LARGE)."""

    def meets(count: int) -> None:
        if count > MOST_MET:
            data = {"limit": "orders_met", "most": MOST_MET}
            raise CallError(TOO_LARGE, "The order meets too many others for a preview: ask for less.", data)
        call.session.owe(1)

    return meets


class Accounts:
    """The handlers. `calls`: the margin calls as of the last tick."""

    def __init__(
        self,
        engine: Engine,
        calls: MarginCalls,
        rankings: Rankings,
        drafter: Drafter,
        now_ms: Callable[[], int],
        privacy: Privacy,
    ) -> None:
        self._engine = engine
        self._calls = calls
        self._rankings = rankings
        self._drafter = drafter
        self._now_ms = now_ms
        self._privacy = privacy

    @method("catenary_accounts", "An owner's accounts.")
    async def accounts(self, params: OfOwner, call: Call) -> list[int]:
        return self._engine.accounts_of(bytes(params.owner))

    @method("catenary_account", "One account, valued.", errors=(NO_ACCOUNT,), of_account=own)
    async def account(self, params: OfAccount, call: Call) -> AccountView:
        require_account(self._engine, params.account)
        return self.account_view(params.account)

    def account_view(self, index: int) -> AccountView:
        """An account as it is told, whether it exists or not."""
        engine = self._engine
        seen = self._ranked(
            outlook(engine.globals, engine.view.clock(), index, engine.account(index), self._open(index))
        )
        slot = free_slot(engine, index)
        sequence = max(engine.slot(index << constants.SLOT_BITS | slot).sequence, seen.floor)
        told = msgspec.structs.asdict(seen) | {"margin_call_percent": self._calls.level(index)}
        return AccountView(
            **told,
            slots_hint=SlotHint(slot, sequence),
            open_orders=open_orders(engine, index),
            root=as_hex(engine.state.root),
            has_voided=bool(engine.voided_of(index)),
        )

    def _open(self, index: int) -> Open:
        return self._engine.orders.reserved(index, self._engine.globals.risk.price)

    def _places(self, seen: Outlook) -> dict[str, Place]:
        """Where positions stand; of a node that keeps accounts private without who stands beside them."""
        places = self._rankings.places(seen)
        if not self._privacy.is_on:
            return places
        return {market: msgspec.structs.replace(place, ahead=None, behind=None) for market, place in places.items()}

    def _ranked(self, seen: Outlook) -> Outlook:
        """Says where each position stands; None for one that has no place."""
        places = self._rankings.places(seen)
        positions = [
            msgspec.structs.replace(leg, deleveraging_rank=places[leg.market].rank) if leg.market in places else leg
            for leg in seen.positions
        ]
        return msgspec.structs.replace(seen, positions=positions)

    @method(
        "catenary_voided",
        "What was acknowledged to an account and is void, because L1 can never take it; and what can be sent again.",
        of_account=own,
    )
    async def voided(self, params: OfAccount, call: Call) -> list[VoidedView]:
        """Of the last seven days, the newest first."""
        return [voided_view(one) for one in list(self._engine.voided_of(params.account))[-LIST_LIMIT:][::-1]]

    @method("catenary_openOrders", "Orders it holds.", of_account=own)
    async def open_orders(self, params: OfAccount, call: Call) -> list[OpenOrder]:
        return open_orders(self._engine, params.account)

    @method(
        "catenary_preview",
        "An account before and after an order, transfer, withdrawal or bound of leverage that is not sent, with "
        "buying power, margin call and deleveraging ranks.",
        errors=(NO_ACCOUNT,),
        of_account=lambda params: params.operation.account,
    )
    async def preview(self, params: ToPreview, call: Call) -> Preview:
        """A refusal is an answer here: the numbers before it are still good."""
        drafted = self._drafter.draft(params.operation)
        message = drafted.message
        require_account(self._engine, message.account)
        if params.opened_with_micros is not None:
            seen = self._preview_opened(message, params.opened_with_micros, call)
        elif isinstance(message, containers.Order):
            seen = preview_order(self._engine, sized(message), self._now_ms(), meets=_paying(call))
        elif drafted.tag in _PREVIEWED:
            given = sized_request(drafted.tag, message)
            seen = preview_request(self._engine, drafted.tag, given, self._now_ms())
        else:
            raise CallError(
                INVALID_PARAMS, "An order, a transfer, a withdrawal or a bound of leverage can be previewed."
            )
        told = msgspec.structs.asdict(self._withheld(self._marked(seen), call))
        return Preview(**told, operation=drafted.operation, finality="preview")

    @method(
        "catenary_previewDeposit",
        "An account before and after a deposit that is not made, as of catenary_preview.",
        errors=(NO_ACCOUNT,),
        of_account=own,
    )
    async def preview_of_deposit(self, params: ToDeposit, call: Call) -> DepositPreview:
        """What comes in stands behind the positions as soon as it is booked."""
        require_account(self._engine, params.account)
        seen = self._marked(preview_deposit(self._engine, params.account, int(params.amount_micros), self._now_ms()))
        return DepositPreview(
            code=seen.code, refusal=seen.refusal, before=seen.before, after=seen.after, finality="preview"
        )

    def _preview_opened(
        self, message: containers.Order | containers.Request, micros: RepeatedUint64, call: Call
    ) -> Foreseen:
        """An order in an account that a transfer from its own would open; of the transfer, where that is refused."""
        if not isinstance(message, containers.Order):
            raise CallError(INVALID_PARAMS, "Only an order can be previewed in an account that is not there yet.")
        asked = UnsignedOperation(
            "transfer", message.account, amount_micros=micros, to_account=constants.NEW_ACCOUNT
        )  # fmt: skip
        transfer = self._drafter.draft(asked).message
        assert isinstance(transfer, containers.Request)
        opened = opened_by(self._engine, sized_request(constants.TRANSFER, transfer), self._now_ms())
        if isinstance(opened, Foreseen):
            return opened
        order = msgspec.structs.replace(message, account=opened.account)
        return preview_order(self._engine, sized(order), self._now_ms(), opened, _paying(call))

    def _withheld(self, seen: Foreseen, call: Call) -> Foreseen:
        """Without what is another's alone: how he stands, and whose orders rest in the book."""
        if not self._privacy.is_on:
            return seen
        fills = [msgspec.structs.replace(fill, maker=None) for fill in seen.fills]
        if seen.other is None or self._privacy.may_see(seen.other, call.session):
            return msgspec.structs.replace(seen, fills=fills)
        return msgspec.structs.replace(seen, fills=fills, other_before=None, other_after=None)

    def _marked(self, seen: Foreseen) -> Foreseen:
        """Every state with its ranks and with the margin call that the next tick would tell at the same prices."""
        states = {name: getattr(seen, name) for name in ("before", "after", "if_filled", "other_before", "other_after")}
        marked = {name: self._called(state) for name, state in states.items() if state is not None}
        return msgspec.structs.replace(seen, **marked)

    def _called(self, state: Outlook) -> Outlook:
        level = next_level(self._calls.level(state.account), standing_of(state))
        return msgspec.structs.replace(self._ranked(state), margin_call_percent=level, finality="preview")

    @method(
        "catenary_explain",
        "Every number of an account with its formula and inputs.",
        errors=(NO_ACCOUNT,),
        of_account=own,
    )
    async def explain(self, params: OfAccount, call: Call) -> Explanation:
        """Numbers are decimal strings: they are for recomputing."""
        account = require_account(self._engine, params.account)
        engine, index = self._engine, params.account
        look = self._calls.last_look(index)
        found = explain(engine.globals, engine.view.clock(), index, account, self._open(index), look, self._places)
        return Explanation(index, found, "sequenced")

    @method(
        "catenary_contribution",
        "What each position adds and takes, what a shock would liquidate, what sharing one pool saves.",
        errors=(NO_ACCOUNT, NO_MARKET),
        of_account=own,
    )
    async def contribution(self, params: ContributionOf, call: Call) -> Contribution:
        engine = self._engine
        account = require_account(engine, params.account)
        market = None if params.market is None else require_market(engine, params.market)
        betas = {require_market(engine, name): beta for name, beta in params.betas_bp.items()}
        moves = Moves(params.shock_bp, market, betas)
        return contribution(engine.globals, engine.view.clock(), params.account, account, moves)
