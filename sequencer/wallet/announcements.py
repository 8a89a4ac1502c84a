"""What the governor of a venue has announced on L1, and what has become of it."""

from typing import Literal

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.codec import batch, events
from l1_bridge.contracts.artifact import bridge_artifact
from prover.contracts import deployment

State = Literal["waiting", "enactable", "expired", "enacted", "retracted"]


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
    topics = [events.topic_of(kind) for kind in (events.Announced, events.Retracted)]
    head = await l1.newest_block()
    found: list[Announcement] = []
    for log in await l1.logs(identity.address, [topics], block, head.number):
        event = events.decode_log(identity, log)
        if isinstance(event, events.Announced):
            # The same is refused while it waits: whatever stood here before it has been enacted or retracted.
            found = [_closed(one, event.announcement, "enacted") for one in found]
            made = Announcement(event.announcement, event.tag, event.payload, event.enactable_at, "waiting")
            found.append(made)
        elif isinstance(event, events.Retracted):
            found = [_closed(one, event.announcement, "retracted") for one in found]
    return [await _now(l1, identity, one, head.timestamp) for one in found]


def _closed(one: Announcement, announcement: bytes, state: State) -> Announcement:
    is_meant = one.announcement == announcement and one.state == "waiting"
    return msgspec.structs.replace(one, state=state) if is_meant else one


async def _now(l1: L1Client, identity: batch.BridgeId, one: Announcement, now: int) -> Announcement:
    if one.state != "waiting" or now < one.enactable_at:
        return one
    artifact = bridge_artifact()
    state: State = "enactable" if now < one.enactable_at + events.ENACTMENT_SECONDS else "expired"
    if not await deployment.view(l1, artifact, identity.address, "announced_at", one.announcement):
        state = "enacted"
    return msgspec.structs.replace(one, state=state)
