"""How a connection shows a key, where a node tells what is an account's alone to who has one of its keys."""

from typing import Annotated

import msgspec

from sequencer.schema.params import TimeMs
from sequencer.schema.values import AccountIndex, AddressText, HexBytes, WordText

# As a URL has it: no longer than any name of the DNS.
HostName = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class ChallengeView(msgspec.Struct, frozen=True):
    """catenary_challenge: what is signed to show a key, on this connection and until then; PROTOCOL.md 5.6."""

    challenge: WordText
    expires_at_ms: TimeMs


class AccessShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of an account is shown: host is the node's name in its caller's URL, signature 64 or 65 bytes."""

    account: AccountIndex
    host: HostName
    signature: HexBytes


class AccessView(msgspec.Struct, frozen=True):
    """catenary_access: what is the account's alone is told on this connection, as long as the signer may see it."""

    account: int
    signer: AddressText
