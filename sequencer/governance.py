"""What the governor has announced on L1, what has become of it, and the venue as it stands by what was enacted."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from l1_bridge import batch
from l1_bridge.l1_client import L1Client, L1Unavailable
from prover import deployment, operations
from prover.genesis import label_parts
from prover.stf import codes, constants, containers, markets
from sequencer.api_client import MarketView
from sequencer.wallet_trust import ListedMarket, Venue

State = Literal["waiting", "enactable", "expired", "enacted", "retracted"]
_LOGGED: Final = ("Announced", "Retracted")


class Announcement(msgspec.Struct, frozen=True):
    """One announcement: waiting until `enactable_at`, L1 seconds, then open to anybody for two weeks."""

    announcement: bytes
    tag: int
    payload: bytes
    enactable_at: int
    state: State


async def announcements(l1: L1Client, identity: batch.BridgeId, block: int) -> list[Announcement]:
    """All that were made since an L1 block, the oldest first.

    Raises as the client does; LogError and ArtifactError for what the bridge cannot have said.
    """
    topics = [topic for topic, event in batch.bridge_artifact().events.items() if event.name in _LOGGED]
    head = await l1.block("latest")
    if head is None:
        raise L1Unavailable("the L1 node gives no latest block")
    found: list[Announcement] = []
    for log in await l1.logs(identity.address, [topics], block, head.number):
        event = batch.decode_log(identity, log)
        if isinstance(event, batch.Announced):
            # The same is refused while it waits: whatever stood here before it has been enacted or retracted.
            found = [_closed(one, event.announcement, "enacted") for one in found]
            made = Announcement(event.announcement, event.tag, event.payload, event.enactable_at, "waiting")
            found.append(made)
        elif isinstance(event, batch.Retracted):
            found = [_closed(one, event.announcement, "retracted") for one in found]
    return [await _now(l1, identity, one, head.timestamp) for one in found]


def _closed(one: Announcement, announcement: bytes, state: State) -> Announcement:
    is_meant = one.announcement == announcement and one.state == "waiting"
    return msgspec.structs.replace(one, state=state) if is_meant else one


async def _now(l1: L1Client, identity: batch.BridgeId, one: Announcement, now: int) -> Announcement:
    if one.state != "waiting" or now < one.enactable_at:
        return one
    artifact = batch.bridge_artifact()
    state: State = "enactable" if now < one.enactable_at + batch.ENACTMENT_SECONDS else "expired"
    if not await deployment.view(l1, artifact, identity.address, "announced_at", one.announcement):
        state = "enacted"
    return msgspec.structs.replace(one, state=state)


def amended(venue: Venue, made: list[Announcement]) -> Venue:
    """The venue by what was enacted, as far as the law can have taken it; of fees the highest counts.

    A market is what was first announced under its index: whoever signs for it wants no other meaning of its lots.
    """
    listed = list(venue.markets)
    posting_fee = venue.posting_fee_micros
    for one in made:
        if one.state != "enacted":
            continue
        try:
            if one.tag == constants.SET_VENUE:
                posting_fee = max(posting_fee, operations.venue_parameters(one.payload).posting_fee)
                continue
            given = operations.market_parameters(one.payload)
        except ValueError:
            # The law refuses what is no payload.
            continue
        if not markets.in_range(given):
            continue
        if given.market < len(listed):
            listed[given.market] = _changed(listed[given.market], given)
        elif given.market == len(listed) and markets.check_listing(given) == codes.OK:
            fees = given.maker_fee_ppm, given.taker_fee_ppm, given.band_ppm
            listed.append(ListedMarket(given.market, *label_parts(given.label), *fees))
    return msgspec.structs.replace(venue, markets=tuple(listed), posting_fee_micros=posting_fee)


def agreed(venue: Venue, genesis_count: int, told: Sequence[MarketView]) -> Venue:
    """Without the markets listed since genesis that the node calls otherwise: in them nothing is signed."""
    names = {market.index: (market.name, market.size_decimals, market.price_decimals) for market in told}
    kept = (
        market
        for market in venue.markets
        if market.index < genesis_count
        or names.get(market.index) == (market.name, market.size_decimals, market.price_decimals)
    )
    return msgspec.structs.replace(venue, markets=tuple(kept))


def _changed(market: ListedMarket, given: containers.Parameters) -> ListedMarket:
    return msgspec.structs.replace(
        market,
        maker_fee_ppm=max(market.maker_fee_ppm, given.maker_fee_ppm),
        taker_fee_ppm=max(market.taker_fee_ppm, given.taker_fee_ppm),
        band_ppm=given.band_ppm,
    )
