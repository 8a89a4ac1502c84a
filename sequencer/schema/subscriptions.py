"""Subscriptions: what any channel has in common. What each tells stands in the OpenRPC document under x-channels."""

from typing import Annotated, Any, Final

import msgspec

# The method of every message that is told.
NOTIFICATION: Final = "catenary_subscription"
# Components of the document, which alone knows all channels.
CHANNEL_SNAPSHOT: Final = "ChannelSnapshot"
CHANNEL_UPDATE: Final = "ChannelUpdate"


def _component(name: str) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"$ref": f"#/components/schemas/{name}"})


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`since` is the last sequence that the caller has, `epoch` the feed's life in which it was given."""

    channel: str
    since: int | None = None
    epoch: str | None = None


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The channel to leave."""

    channel: str


class Subscribed(msgspec.Struct, frozen=True):
    """The state as of `sequence`: a snapshot, or the messages after `since` where the feed still holds them all.

    The next notification carries `sequence` + 1. Another epoch than before means that sequences have started anew.
    """

    channel: str
    epoch: str
    sequence: int
    snapshot: Annotated[Any, _component(CHANNEL_SNAPSHOT)]
    updates: list[Annotated[Any, _component(CHANNEL_UPDATE)]]


class Unsubscribed(msgspec.Struct, frozen=True):
    """The last sequence that was sent or skipped."""

    channel: str
    epoch: str
    sequence: int
