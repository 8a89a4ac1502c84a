"""A venue with the methods of its API, asked without sockets or an L1, and feeds that keep what was told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.codec import batch
from prover.contracts.deployment import Deployment
from prover.signing.typed_data import typed_data
from prover.stf import constants, containers
from sequencer.api.methods.methods import Methods
from sequencer.api.methods.standing import Standing
from sequencer.api.rpc.jsonrpc import JSON, Call, Registry, Session
from sequencer.api.rpc.limits import Limits, TokenBucket
from sequencer.api.rpc.subscriptions import Channel, Feeds
from sequencer.l1.bridge_view import BridgeView
from sequencer.l1.postable import Reason
from sequencer.schema.accounts import AccountView
from sequencer.schema.params import OrderFields, SignedOrder
from sequencer.schema.values import HexBytes, decode_value
from sequencer.schema.writing import to_json, to_wire, writer
from sequencer.sequencing.journal import REAL_DISK, Disk
from tests.sequencer.node_world import (
    BRIDGE,
    CHAIN_ID,
    FIRST,
    LOTS,
    key,
    order,
    signed_order,
)
from tests.sequencer.sequencing.test_sequencer import opened


class Released:
    """A call whose place in the order of arrival nobody waits for; its session counts what was done in vain."""

    def __init__(self) -> None:
        self.session = Session(TokenBucket(1, 9, lambda: 0.0), address=TokenBucket(1, 9, lambda: 0.0))

    def release(self) -> None:
        """Nothing waits."""

    def step_aside(self) -> None:
        """Nobody else is there."""


RELEASED = cast(Call, Released())


def travelled(kind: Any, value: Any) -> Any:
    """An answer as its reader finds it in JSON. Invariant: it is what its type says, with no key more or less."""
    plain = msgspec.json.decode(to_json(writer(kind)(value)))
    again = msgspec.convert(plain, kind, strict=False, dec_hook=decode_value)
    assert msgspec.json.decode(to_json(writer(kind)(again))) == plain
    return plain


class Channels:
    """Feeds that keep what was published, as it travels."""

    def __init__(self) -> None:
        self.opened: dict[str, Callable[[], object]] = {}
        self.families: dict[str, Callable[[str], Callable[[], object] | None]] = {}
        self.told: list[tuple[str, Any]] = []
        self.declared: dict[str, Channel] = {}

    def declare(self, *channels: Channel) -> None:
        """The channels that there will be."""
        self.declared = {channel.name: channel for channel in channels}

    def of(self, channel: str) -> Channel:
        """What a channel tells."""
        prefix, colon, _ = channel.partition(":")
        return self.declared[prefix + colon]

    def open(self, channel: str, snapshot: Callable[[], object]) -> None:
        """A channel with its snapshot."""
        self.opened[channel] = lambda: travelled(self.of(channel).snapshot, snapshot())

    def family(self, prefix: str, find: Callable[[str], Callable[[], object] | None]) -> None:
        """Channels of one kind."""

        def found(key: str) -> Callable[[], object] | None:
            snapshot = find(key)
            return None if snapshot is None else lambda: travelled(self.of(prefix).snapshot, snapshot())

        self.families[prefix] = found

    def is_open(self, channel: str) -> bool:
        """Everybody listens to everything."""
        return True

    def publish(self, channel: str, message: Any) -> None:
        """One message."""
        self.told.append((channel, travelled(self.of(channel).message, message)))

    def changed(self, channel: str) -> bool:
        """Everybody listens to everything."""
        return True

    def tell(self, channel: str, message: Any, *, is_whole: bool = True) -> None:
        """One state."""
        self.publish(channel, message)

    def heard(self, prefix: str) -> list[str]:
        """Nobody's key in particular."""
        return []

    def review(self, prefix: str) -> None:
        """Everybody may hear everything."""

    def settle(self) -> None:
        """Nobody waits to join."""

    def sequence(self, channel: str) -> int:
        """How often a channel was told."""
        return sum(name == channel for name, _ in self.told)

    def names(self) -> set[str]:
        """Channels that were told since the last question."""
        names = {channel for channel, _ in self.told}
        self.told = []
        return names


class NoL1:
    """An L1 that is away."""

    async def send(self, *arguments: object, **options: object) -> None:
        """Always fails."""
        raise L1Unavailable("the L1 node at nowhere: no answer in 20 s")


class Desk:
    """Methods over a venue, and what a test asks them."""

    def __init__(self, directory: Path, disk: Disk = REAL_DISK) -> None:
        self.venue, self.clock, _ = opened(directory, disk=disk)
        self.view = BridgeView(batch.BridgeId(CHAIN_ID, BRIDGE), self.venue.engine)
        deployment = Deployment(CHAIN_ID, BRIDGE, b"\x12" * 20, b"\x13" * 20)
        client = cast(L1Client, NoL1())
        self.reasons: list[Reason] = []
        self.standing = Standing(lambda: self.reasons)
        self.standing.is_up = True
        sign = development_key(0).sign
        self.methods = Methods(self.venue, self.view, client, deployment, self.clock, sign, self.standing)
        self.channels = Channels()
        self.methods.open_feeds(cast(Feeds, self.channels))
        self.venue.listeners.append(self.methods)
        self.venue.ended.append(self._tell)
        self.registry = Registry()
        self.methods.register(self.registry, Limits())

    def _tell(self) -> None:
        """States at once, and accounts with them."""
        self.methods.ended()
        channels = self.methods._channels
        while (due := channels.next_account())[0]:
            channels.tell_account(*due)

    async def ask(self, name: str, **params: Any) -> Any:
        """The answer of a method as it travels."""
        method = self.registry.find(name)
        return travelled(method.result, await method.handler(method.bind(JSON, to_json(to_wire(params))), RELEASED))

    def account(self, index: int) -> Any:
        """An account as catenary_account tells it, whether it exists or not."""
        return travelled(AccountView, self.methods.accounts.account_view(index))

    async def order(self, trader: int, side: int, price: int, size: int = LOTS, **changes: Any) -> None:
        given = order(self.clock.now, FIRST + trader, side, price, size, **changes)
        outcome = await self.venue.submit(signed_order(given, key(trader)))
        assert outcome.code == 0, outcome


def submitted(given: containers.Order, trader: int) -> SignedOrder:
    """An order as the API takes it."""
    message = typed_data(constants.ORDER, given, CHAIN_ID, BRIDGE)["message"]
    fields = msgspec.convert(message, OrderFields, dec_hook=decode_value)
    return SignedOrder(fields, HexBytes(signed_order(given, key(trader))[-64:]))
