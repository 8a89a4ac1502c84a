"""Operations as this wallet builds them: typed data and digest computed here, compared with a node's, never taken."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from l1_bridge.addresses import checksum_address
from prover.signing import operations
from prover.signing.signatures import order_digest, request_digest
from prover.signing.typed_data import typed_data
from prover.stf import constants, containers, signatures
from sequencer.client.errors import Rejected
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import MarketView, TypedData
from sequencer.wallet.errors import BadInput, NotGenuine, NotYet
from sequencer.wallet.record import CANCEL_ALL_SLOT, SLOTS
from sequencer.wallet.trust import ListedMarket, Venue
from sequencer.wallet.units import leverage_text, money_text, time_text, units_text

REQUEST_LIFETIME_MS: Final = 60_000
# Percents are read and shown with so many decimals: parts per million.
PERCENT_DECIMALS: Final = 4
# Of a size in lots that a node names.
_SIZE_DIGITS: Final = 20


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a trader wants: lots, ticks, milliseconds. None lets the wallet choose."""

    market: int
    side: int
    size: int
    limit_price: int
    time_in_force: int = constants.GOOD_TILL_TIME
    post_only: bool = False
    reduce_only: bool = False
    trigger: int = constants.NO_TRIGGER
    trigger_price: int = 0
    lifetime_ms: int | None = None
    max_fee_ppm: int | None = None
    slot: int | None = None


# How far from its trigger an order may be filled that names no price of its own, where nothing else is said.
TRIGGERED_SLIPPAGE_PPM: Final = 100_000


def worst_price(price: int, side: int, away_ppm: int) -> int:
    """The worst price at which somebody trades who goes so far from a price, rounded towards it."""
    if side == constants.SELL:
        return max(1, -(-price * (constants.PPM - away_ppm) // constants.PPM))
    return price * (constants.PPM + away_ppm) // constants.PPM


def market_limit(market: ListedMarket, seen: MarketView, side: int, away_ppm: int | None, now_ms: int) -> int:
    """The limit of an order at the market: so far from the newest oracle price, or the whole band; NotYet, BadInput.

    That price is the node's word: beyond the band around the true one the law fills nothing.
    """
    if seen.price_ticks <= 0:
        raise NotYet(f"{market.name} has no oracle price")
    age_ms = now_ms - seen.tick_time_ms
    if age_ms > constants.MAX_PRICE_AGE:
        raise NotYet(f"the newest oracle price of {market.name} is {age_ms // 1000} s old: nothing is measured at it")
    if away_ppm is not None and away_ppm > market.band_ppm:
        band = units_text(market.band_ppm, PERCENT_DECIMALS)
        raise BadInput(f"{market.name} trades within {band}% of the oracle price: --slippage {band} at most")
    return worst_price(seen.price_ticks, side, market.band_ppm if away_ppm is None else away_ppm)


def guard_terms(entry: OrderTerms, *, trigger_price: int, is_stop: bool, away_ppm: int) -> OrderTerms:
    """A stop or a target of an entry: reduce-only, for all of it, at the market once its trigger is reached."""
    side = constants.SELL if entry.side == constants.BUY else constants.BUY
    is_above = is_stop is (side == constants.BUY)
    return OrderTerms(
        market=entry.market,
        side=side,
        size=entry.size,
        limit_price=worst_price(trigger_price, side, away_ppm),
        time_in_force=constants.IMMEDIATE_OR_CANCEL,
        reduce_only=True,
        trigger=constants.TRIGGER_AT_OR_ABOVE if is_above else constants.TRIGGER_AT_OR_BELOW,
        trigger_price=trigger_price,
    )


class RequestTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner wants that is no order, under the law's field names. Slot 0: the wallet chooses.

    is_soft: of a cancel that takes out of the book and never comes to L1: nobody may post it.
    """

    kind: str
    amount: int = 0
    recipient: bytes = containers.NOBODY
    other: int = 0
    slot: int = 0
    first_slot: int = 0
    last_slot: int = 0
    is_soft: bool = False


class Place(msgspec.Struct, frozen=True):
    """Where and when an operation stands: its account, its slot, and the time that is its sequence as well."""

    account: int
    slot: int
    created_at: int


class Draft(msgspec.Struct, frozen=True):
    """An operation before it is signed, with the digest that this wallet computed itself."""

    kind: str
    message: containers.Order | containers.Request
    digest: bytes
    typed_data: dict[str, Any]
    value_micros: int
    text: str

    @property
    def fields(self) -> dict[str, Any]:
        """The signed fields under their signed names."""
        fields: dict[str, Any] = self.typed_data["message"]
        return fields


def request_text(kind: str, request: containers.Request) -> str:
    """What a request would do, in a few words."""
    amount = money_text(request.amount)
    if kind == "transfer" and request.other == constants.NEW_ACCOUNT:
        return f"transfer {amount} to a new account, {money_text(constants.CREATION_FEE)} of it as fee"
    if kind == "set_agent":
        if request.recipient == containers.NOBODY:
            return f"dismiss agent {request.other}"
        return (
            f"let {checksum_address(request.recipient)} trade as agent {request.other} in slots {request.first_slot} "
            f"to {request.last_slot} until {time_text(request.amount)}"
        )
    return {
        "withdraw": f"withdraw {amount} to {checksum_address(request.recipient)}",
        "transfer": f"transfer {amount} to account {request.other}",
        "cancel": f"cancel slot {request.slot}",
        "cancel_all": "cancel all orders",
        "set_leverage": f"set the own bound of leverage: {leverage_text(request.amount)}",
    }[kind]


def permitted_slots(view: AccountView, address: bytes, now_ms: int) -> Collection[int]:
    """The slots that an address may sign for, 0 standing for all at once; BadInput for an agent whose time is over.

    By the node's word: a lie costs no more than a refusal by the law. A stranger gets them all, for the law's refusal
    says whose account it is.
    """
    shown = "0x" + address.hex()
    grants = [agent for agent in view.agents if agent is not None and agent.address.lower() == shown]
    if view.owner.lower() == shown or not grants:
        return range(CANCEL_ALL_SLOT, SLOTS.stop)
    living = [grant for grant in grants if grant.expires_at_ms >= now_ms]
    if not living:
        ended = time_text(max(grant.expires_at_ms for grant in grants))
        raise BadInput(f"this key's grant for account {view.account} ended at {ended}")
    return {slot for grant in living for slot in range(grant.first_slot, grant.last_slot + 1)}


def draft(venue: Venue, kind: str, message: containers.Order | containers.Request, value: int, text: str) -> Draft:
    """The typed data and the digest of an operation for one venue."""
    tag = operations.TAG_OF_KIND[kind]
    if isinstance(message, containers.Order):
        digest = order_digest(venue.domain, message)
    else:
        digest = request_digest(venue.domain, tag, message)
    return Draft(kind, message, digest, typed_data(tag, message, venue.chain_id, venue.rollup), value, text)


def order_draft(venue: Venue, terms: OrderTerms, place: Place) -> Draft:
    """An order as it would be signed; BadInput for what the law can only refuse."""
    market = venue.market(terms.market)
    immediate = terms.time_in_force != constants.GOOD_TILL_TIME
    longest = constants.IMMEDIATE_LIFETIME if immediate else constants.ORDER_LIFETIME
    if terms.reduce_only and terms.trigger != constants.NO_TRIGGER:
        lifetime = longest = constants.STOP_LIFETIME
    else:
        # What a soft cancel takes out could still be filled by a hostile sequencer for so long.
        lifetime = min(longest, constants.HOUR)
    lifetime = lifetime if terms.lifetime_ms is None else terms.lifetime_ms
    if lifetime > longest:
        raise BadInput(f"this order may live {longest // 1000} s at most, not {lifetime / 1000:g} s")
    if terms.size >= constants.SIZE_BOUND or max(terms.limit_price, terms.trigger_price) >= 2**48:
        raise BadInput("size or price is larger than the law can hold")
    if terms.post_only and immediate:
        raise BadInput("a post-only order rests in the book: it cannot be ioc or fok")
    fee = max(market.maker_fee_ppm, market.taker_fee_ppm) if terms.max_fee_ppm is None else terms.max_fee_ppm
    order = containers.Order(
        account=place.account,
        market=market.index,
        side=terms.side,
        size=terms.size,
        limit_price=terms.limit_price,
        slot=place.slot,
        sequence=place.created_at,
        created_at=place.created_at,
        expires_at=place.created_at + lifetime,
        time_in_force=terms.time_in_force,
        post_only=int(terms.post_only),
        reduce_only=int(terms.reduce_only),
        trigger=terms.trigger,
        trigger_price=terms.trigger_price,
        max_fee_ppm=fee,
        max_posting_fee=venue.posting_fee_micros,
        unused=0,
    )
    size = units_text(order.size, market.size_decimals)
    price = units_text(order.limit_price, market.price_decimals)
    side = "buy" if order.side == constants.BUY else "sell"
    return draft(
        venue, "order", order, order.size * order.limit_price, f"{side} {size} {market.name} at {price} or better"
    )


def request_draft(venue: Venue, terms: RequestTerms, place: Place, signer: bytes) -> Draft:
    """A withdrawal, transfer, cancel, grant or bound as it would be signed."""
    kind = terms.kind
    request = containers.Request(
        account=place.account,
        slot=place.slot,
        sequence=place.created_at,
        created_at=place.created_at,
        expires_at=place.created_at + REQUEST_LIFETIME_MS,
        amount=terms.amount,
        other=terms.other,
        # Invariant: money goes to the address of the key that signs, unless somebody else is named.
        recipient=signer if kind == "withdraw" and terms.recipient == containers.NOBODY else terms.recipient,
        first_slot=terms.first_slot,
        last_slot=terms.last_slot,
        max_posting_fee=0 if terms.is_soft else venue.posting_fee_micros,
    )
    value = terms.amount if kind in ("withdraw", "transfer") else 0
    return draft(venue, kind, request, value, request_text(kind, request))


def sized_text(refusal: str, lots: int | None, market: ListedMarket) -> str:
    """A refusal for people: the largest size that the node says would pass in units, and not in lots."""
    if lots is None:
        return refusal
    size = f"{units_text(lots, market.size_decimals)} {market.name} is the largest size"
    return refusal.replace(f"{lots} lots are the largest size", size)


def sized_refusal(refusal: Rejected, market: ListedMarket) -> Rejected:
    """The same of an order that was refused, with `largest_size` beside the lots."""
    told = refusal.data.get("largest_size_lots")
    if not isinstance(told, str) or not (told.isascii() and told.isdecimal()) or len(told) > _SIZE_DIGITS:
        return refusal
    lots = int(told)
    sentence = sized_text(str(refusal).removeprefix(f"{refusal.rejection}: "), lots, market)
    beside = {"largest_size": units_text(lots, market.size_decimals)}
    return Rejected(refusal.code, refusal.rejection, sentence, refusal.data | beside)


def with_recovery_id(compact: bytes) -> bytes:
    """65 bytes r, s, v with v in {27, 28}, as wallets give them, of a compact signature (EIP-2098)."""
    parity_and_s = int.from_bytes(compact[32:], "big")
    s = parity_and_s & (1 << 255) - 1
    assert s <= signatures.HALF_ORDER, "this wallet signs with a low s only"
    return compact[:32] + s.to_bytes(32, "big") + bytes([27 + (parity_and_s >> 255)])


def compare_with_node(drafted: Draft, answer: TypedData) -> None:
    """NotGenuine unless the node would have this very operation signed under this very domain."""
    if answer.digest.lower() != "0x" + drafted.digest.hex():
        raise NotGenuine(f"the node's digest {answer.digest} is not this wallet's 0x{drafted.digest.hex()}")
    said, own = msgspec.to_builtins(answer.typed_data), drafted.typed_data
    same_types = said.get("types") == own["types"] and said.get("primaryType") == own["primaryType"]
    if not same_types or _plain(said.get("domain")) != _plain(own["domain"]):
        raise NotGenuine("the node's typed data names other types or another domain than this wallet's")
    if _plain(said.get("message")) != _plain(own["message"]):
        raise NotGenuine("the node's typed data does not show the operation that its digest is of")


def _plain(fields: Any) -> Any:
    """Fields with numbers as text and hexadecimal in lower case: equal meaning, equal value."""
    if not isinstance(fields, dict):
        return None
    return {
        name: value if isinstance(value, bool) else str(value).lower() if not isinstance(value, dict) else None
        for name, value in fields.items()
    }
