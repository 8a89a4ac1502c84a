"""Actions as Hyperliquid's /exchange takes them, each done by the account's agent with a native signature."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from prover.stf import constants
from sequencer.client.errors import ClientError, Rejected
from sequencer.gateway import shapes
from sequencer.gateway.exact import dollars, is_cloid, oid_of, steps
from sequencer.gateway.nonces import Nonces
from sequencer.gateway.refusals import (
    BAD_SIZE,
    BAD_TRIGGER,
    NO_MATCH,
    NO_ORDER,
    OFF_TICK,
    POST_ONLY,
    ZERO_SIZE,
    Bbo,
    Refused,
    UnknownSigner,
    of_order,
    owners_alone,
)
from sequencer.gateway.signed import (
    REFUSED_SOURCE,
    TAKEN_SOURCE,
    Envelope,
    envelope,
    mainnet,
    signer_of,
    unknown,
)
from sequencer.gateway.trader import Placed, Trader, Wanted
from sequencer.schema.accounts import OpenOrder
from sequencer.schema.answers import MarketView, OrderResult
from sequencer.wallet.drafts import OrderTerms

MOST_ORDERS: Final = 100
# A dead-man switch shorter than that would fire while it is set anew.
SOONEST_SWITCH_MS: Final = 5_000
_GROUPS: Final = 2**32 - 1
_GROUPINGS: Final = ("na", "normalTpsl", "positionTpsl")
_DONE: Final[dict[str, Any]] = {"status": "ok", "response": {"type": "default"}}

_T = TypeVar("_T")
_Text = Annotated[str, msgspec.Meta(max_length=64)]


class _Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tif: _Text


class _Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    is_market: bool
    trigger_px: _Text
    tpsl: _Text


class _Type(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: _Limit | None = None
    trigger: _Trigger | None = None


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """a: the asset; b: buys; p, s: price and size; r: reduce-only; t: its type; c: the client's name for it."""

    a: int
    b: bool
    p: _Text
    s: _Text
    r: bool
    t: _Type
    c: _Text | None = None


class _Orders(msgspec.Struct, frozen=True):
    orders: Annotated[list[_Order], msgspec.Meta(min_length=1, max_length=MOST_ORDERS)]
    grouping: _Text = "na"


class _Cancel(msgspec.Struct, frozen=True):
    a: int
    o: int


class _Cancels(msgspec.Struct, frozen=True):
    cancels: Annotated[list[_Cancel], msgspec.Meta(min_length=1, max_length=MOST_ORDERS)]


class _NamedCancel(msgspec.Struct, frozen=True):
    asset: int
    cloid: _Text


class _NamedCancels(msgspec.Struct, frozen=True):
    cancels: Annotated[list[_NamedCancel], msgspec.Meta(min_length=1, max_length=MOST_ORDERS)]


class _Modify(msgspec.Struct, frozen=True):
    oid: int | _Text
    order: _Order


class _Modifies(msgspec.Struct, frozen=True):
    modifies: Annotated[list[_Modify], msgspec.Meta(min_length=1, max_length=MOST_ORDERS)]


class _Switch(msgspec.Struct, frozen=True):
    time: Annotated[int, msgspec.Meta(ge=0, lt=2**48)] | None = None


class _Unfit(Exception):
    """One order of a batch that cannot be asked for; the text is what the program reads."""


class Served(msgspec.Struct, frozen=True):
    """A signer of Hyperliquid's kind, and the account that is traded for it."""

    signer: bytes
    trader: Trader
    nonces: Nonces


class Exchange:
    """Who signed, whether it is new, and what it asks for; `act` answers whatever is posted."""

    def __init__(
        self,
        served: Sequence[Served],
        markets: Callable[[], Awaitable[list[MarketView]]],
        clock_ms: Callable[[], int],
        lifetime_ms: int,
    ) -> None:
        """lifetime_ms: of an order that is good till cancelled, since no signature is for ever here."""
        self._served = {each.signer: each for each in served}
        self._markets = markets
        self._clock_ms = clock_ms
        self._lifetime_ms = lifetime_ms
        self._does: Mapping[str, Callable[[Trader, Envelope], Awaitable[dict[str, Any]]]] = {
            "order": self._order,
            "cancel": self._cancel,
            "cancelByCloid": self._cancel_named,
            "modify": self._modify_one,
            "batchModify": self._modify,
            "scheduleCancel": self._schedule,
            "noop": self._nothing,
            # Programs say these before their first order; there are no referrals here, and nobody is paid.
            "setReferrer": self._nothing,
            "updateLeverage": self._leverage,
            "updateIsolatedMargin": self._isolated,
        }

    async def act(self, payload: object) -> dict[str, Any]:
        """What an action came to; Refused or ClientError where none of it was done."""
        given = envelope(payload)
        kind = given.action["type"]
        served = self._signer(given)
        now = self._clock_ms()
        if given.vault_address is not None:
            raise Refused("There are no vaults and no sub-accounts here: register another signer for another account")
        if given.expires_after is not None and now > given.expires_after:
            raise Refused(f"The action expired at {given.expires_after}; it is {now}")
        does = self._does.get(kind)
        if does is None:
            raise Refused(f"Catenary's gateway does not do {kind[:64]!r}; it does {', '.join(sorted(self._does))}")
        served.nonces.take(given.nonce)
        async with served.trader.lock:
            return await does(served.trader, given)

    def _signer(self, given: Envelope) -> Served:
        kind = given.action["type"]
        if "signatureChainId" in given.action or "hyperliquidChain" in given.action:
            raise owners_alone(f"{kind[:64]!r} is signed by a user, and it", "catenary wallet --help")
        recovered = signer_of(given, TAKEN_SOURCE)
        served = self._served.get(recovered)
        if served is None:
            of_mainnet = signer_of(given, REFUSED_SOURCE)
            if of_mainnet in self._served:
                raise Refused(mainnet(of_mainnet))
            raise UnknownSigner(unknown(given, recovered))
        return served

    async def _nothing(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        return _DONE

    async def _leverage(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        raise owners_alone(
            "An account has one bound of leverage, for all its markets, which", "catenary wallet leverage --max"
        )

    async def _isolated(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        raise owners_alone(
            "Isolated margin is an account of its own, and moving money into it", "catenary wallet isolated"
        )

    # Orders.

    async def _order(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        asked = _read(given.action, _Orders)
        markets = await self._markets()
        if asked.grouping not in _GROUPINGS:
            raise Refused(f"grouping {asked.grouping!r} is none of {', '.join(_GROUPINGS)}")
        linked = asked.grouping != "na"
        like = Wanted(OrderTerms(market=0, side=0, size=0, limit_price=0), group=given.nonce % _GROUPS + 1)
        # What guards an entry is linked among itself, and waits for it.
        entries = 0 if asked.grouping == "positionTpsl" else 1 if linked else len(asked.orders)
        guard = msgspec.structs.replace(like, is_guard=asked.grouping == "normalTpsl")
        plain = msgspec.structs.replace(like, group=0)
        orders = [(order, plain if at < entries else guard) for at, order in enumerate(asked.orders)]
        return _ok("order", await self._place(trader, markets, orders))

    async def _place(
        self, trader: Trader, markets: list[MarketView], asked: Sequence[tuple[_Order, Wanted]]
    ) -> list[Any]:
        """Statuses of orders, each with what it is like but for its own terms and name."""
        statuses: list[Any] = [None] * len(asked)
        wanted: dict[int, Wanted] = {}
        for at, (order, like) in enumerate(asked):
            try:
                if order.c is not None and not is_cloid(order.c):
                    raise _Unfit("A cloid is 0x and 32 hexadecimal digits.")
                known = None if like.replaces else await self._known(trader, order, markets)
                if known is not None:
                    statuses[at] = known
                    continue
                is_whole = like.group != 0 and not (like.is_guard or like.replaces)
                terms = await self._terms(trader, order, markets, is_whole=is_whole)
                terms = msgspec.structs.replace(terms, slot=like.terms.slot)
                wanted[at] = msgspec.structs.replace(like, terms=terms, client_id=order.c or "")
            except _Unfit as unfit:
                statuses[at] = {"error": f"{unfit} asset={order.a}"}
        for at, placed in zip(wanted, await trader.place(list(wanted.values())), strict=True):
            statuses[at] = await self._status(trader, markets[asked[at][0].a], placed)
        return statuses

    async def _known(self, trader: Trader, order: _Order, markets: list[MarketView]) -> dict[str, Any] | None:
        """What became of an order of the same name: the same cloid twice is one order."""
        if order.c is None:
            return None
        result = await trader.fate(None, order.c)
        if result is None or result.status == "refused":
            return None
        market = _market(markets, order.a)
        number = oid_of(result.order_id)
        status = shapes.placed_status(number, result, market)
        return status or {"error": f"cloid {order.c} is of order {number}, which left: {result.status} asset={order.a}"}

    async def _terms(self, trader: Trader, order: _Order, markets: list[MarketView], *, is_whole: bool) -> OrderTerms:
        """is_whole: a size of zero stands for the whole position."""
        market = _market(markets, order.a)
        price, size = steps(order.p, market.price_decimals), steps(order.s, market.size_decimals)
        if not price:
            raise _Unfit(OFF_TICK)
        if size is None:
            raise _Unfit(BAD_SIZE)
        if size == 0 and is_whole:
            view = await trader.node.account(trader.account)
            size = next((abs(held.size_lots) for held in view.positions if held.market == market.name), 0)
        if size == 0:
            raise _Unfit(ZERO_SIZE)
        side = constants.BUY if order.b else constants.SELL
        terms = OrderTerms(market=market.index, side=side, size=size, limit_price=price, reduce_only=order.r)
        if order.t.trigger is not None:
            return self._triggered(terms, order.t.trigger, market)
        tif = "" if order.t.limit is None else order.t.limit.tif
        if tif in ("Ioc", "FrontendMarket"):
            return msgspec.structs.replace(terms, time_in_force=constants.IMMEDIATE_OR_CANCEL)
        if tif not in ("Gtc", "Alo"):
            raise _Unfit("A limit order is Gtc, Ioc or Alo.")
        return msgspec.structs.replace(terms, post_only=tif == "Alo", lifetime_ms=self._lifetime_ms)

    def _triggered(self, terms: OrderTerms, trigger: _Trigger, market: MarketView) -> OrderTerms:
        trigger_price = steps(trigger.trigger_px, market.price_decimals)
        if not trigger_price or trigger.tpsl not in ("tp", "sl"):
            raise _Unfit(BAD_TRIGGER)
        if trigger.is_market and not terms.reduce_only:
            raise _Unfit(
                "An order that takes at once lives ten seconds here, so one that waits for a trigger is reduce-only or "
                "a limit order: set reduceOnly, or isMarket to false."
            )
        # A stop buys above and sells below, a target the other way round.
        is_above = (trigger.tpsl == "sl") == (terms.side == constants.BUY)
        lifetime = None if terms.reduce_only else self._lifetime_ms
        return msgspec.structs.replace(
            terms,
            trigger=constants.TRIGGER_AT_OR_ABOVE if is_above else constants.TRIGGER_AT_OR_BELOW,
            trigger_price=trigger_price,
            time_in_force=constants.IMMEDIATE_OR_CANCEL if trigger.is_market else constants.GOOD_TILL_TIME,
            lifetime_ms=lifetime,
        )

    async def _status(self, trader: Trader, market: MarketView, placed: Placed) -> dict[str, Any]:
        outcome = placed.outcome
        if isinstance(outcome, OrderResult):
            status = shapes.placed_status(placed.number, outcome, market)
            return status or {"error": f"{NO_MATCH} asset={market.index} ({outcome.status} {outcome.reason})"}
        minimum = dollars(market.minimum_notional_micros)
        return {"error": of_order(outcome, market.index, await self._best(trader, market, outcome), minimum)}

    async def _best(self, trader: Trader, market: MarketView, outcome: ClientError) -> Bbo:
        """What a post-only order would have met. Without an answer it stays untold: what was placed is placed."""
        if not isinstance(outcome, Rejected) or outcome.rejection != POST_ONLY:
            return Bbo("", "")
        try:
            book = await trader.node.book(market.name, 1)
        except ClientError:
            return Bbo("", "")
        return Bbo(*(shapes.price(market, side[0][0]) if side else "" for side in (book.bids, book.asks)))

    # Cancelling and changing.

    async def _cancel(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        asked = _read(given.action, _Cancels)
        standing = await trader.standing()
        return _ok("cancel", [await self._out(trader, standing.get(one.o), one.a) for one in asked.cancels])

    async def _cancel_named(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        asked = _read(given.action, _NamedCancels)
        standing = {order.client_id: order for order in (await trader.standing()).values() if order.client_id}
        statuses = [await self._out(trader, standing.get(one.cloid), one.asset) for one in asked.cancels]
        return _ok("cancel", statuses)

    async def _out(self, trader: Trader, order: OpenOrder | None, asset: int) -> Any:
        if order is None:
            return {"error": f"{NO_ORDER} asset={asset}"}
        try:
            await trader.cancel(order.slot)
        except ClientError as error:
            return {"error": of_order(error, asset, Bbo("", ""), "")}
        return "success"

    async def _modify_one(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        return await self._modified(trader, [_read(given.action, _Modify)])

    async def _modify(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        return await self._modified(trader, _read(given.action, _Modifies).modifies)

    async def _modified(self, trader: Trader, asked: Sequence[_Modify]) -> dict[str, Any]:
        """An order with new terms stands in the slot of the old one, which it replaces at once."""
        markets = await self._markets()
        standing = await trader.standing()
        names = {order.order_id for order in standing.values()}
        named = {order.client_id: order for order in standing.values() if order.client_id}
        statuses: list[Any] = [None] * len(asked)
        known: dict[int, tuple[_Order, Wanted]] = {}
        for at, one in enumerate(asked):
            old = standing.get(one.oid) if isinstance(one.oid, int) else named.get(one.oid)
            if old is None:
                statuses[at] = {"error": f"Cannot modify canceled or filled order. {NO_ORDER} asset={one.order.a}"}
                continue
            like = OrderTerms(market=0, side=0, size=0, limit_price=0, slot=old.slot)
            # Where the old one is filled meanwhile, the new one is not placed beside what came of it. What was asked
            # beside the old one is asked again: a stop stays linked to its target, and to an entry that stands.
            after = old.after if old.after in names else ""
            known[at] = (one.order, Wanted(like, group=old.group, replaces=old.order_id, after=after))
        placed = await self._place(trader, markets, list(known.values()))
        for at, status in zip(known, placed, strict=True):
            statuses[at] = status
        return _ok("order", statuses)

    async def _schedule(self, trader: Trader, given: Envelope) -> dict[str, Any]:
        at_ms = _read(given.action, _Switch).time
        if at_ms is not None and at_ms < self._clock_ms() + SOONEST_SWITCH_MS:
            raise Refused(f"Cannot set scheduled cancel time within {SOONEST_SWITCH_MS} ms from now")
        await trader.schedule_cancel(at_ms or 0)
        return _DONE


def _read(action: dict[str, Any], kind: type[_T]) -> _T:
    try:
        return msgspec.convert(action, kind)
    except msgspec.ValidationError as error:
        raise Refused(f"Failed to deserialize the JSON body into the target type: {error}") from None


def _market(markets: Sequence[MarketView], asset: int) -> MarketView:
    if not 0 <= asset < len(markets):
        raise _Unfit(f"There is no asset {asset}; meta lists {len(markets)}.")
    return markets[asset]


def _ok(kind: str, statuses: list[Any]) -> dict[str, Any]:
    return {"status": "ok", "response": {"type": kind, "data": {"statuses": statuses}}}
