"""All methods and channels of a node, put together."""

from collections.abc import Callable

from l1_bridge.client.client import L1Client
from prover.contracts.deployment import Deployment
from sequencer.api.methods.accounts import Accounts
from sequencer.api.methods.bounds import Bounds
from sequencer.api.methods.drafts import Drafter
from sequencer.api.methods.fates import Fates
from sequencer.api.methods.feeds.channels import Channels
from sequencer.api.methods.markets import Markets
from sequencer.api.methods.operations import Operations
from sequencer.api.methods.past import Past
from sequencer.api.methods.privacy import Privacy
from sequencer.api.methods.rescues import Rescues
from sequencer.api.methods.rollup import Rollup
from sequencer.api.methods.standing import Standing
from sequencer.api.rpc.handlers import register
from sequencer.api.rpc.jsonrpc import Registry
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.engine.effects import Processed
from sequencer.l1.bridge_view import BridgeView
from sequencer.sequencing.sequencer import Sequencer
from sequencer.views.margin_calls import MarginCalls
from sequencer.views.rankings import Rankings


class Methods:
    """Everything that is answered says which finality it has."""

    def __init__(
        self,
        venue: Sequencer,
        view: BridgeView,
        client: L1Client,
        deployment: Deployment,
        now_ms: Callable[[], int],
        sign: Callable[[bytes], bytes],
        standing: Standing,
    ) -> None:
        """sign: 64 compact bytes of a digest, by the key that posts."""
        engine = venue.engine
        self._durable = venue.durable
        self._is_told = lambda: venue.is_told
        self._book_limits = engine.limits.book
        rankings, calls, drafter = Rankings(engine), MarginCalls(engine), Drafter(engine, now_ms)
        self._privacy = Privacy(engine, deployment.domain, now_ms)
        self.markets = Markets(engine)
        self.accounts = Accounts(engine, calls, rankings, drafter, now_ms, self._privacy)
        self.rollup = Rollup(engine, view, deployment, now_ms, standing)
        fates = Fates(engine, now_ms)
        self.operations = Operations(venue, drafter, client, deployment, standing, sign, fates)
        self.rescues = Rescues(engine, rankings, self._privacy)
        self.past = Past(engine, venue.history, now_ms, self._privacy)
        self._channels = Channels(engine, venue.history, self.accounts, self.rollup, calls, self._privacy)
        fates.tell = self._channels.refused

    def keep_private(self, hosts: frozenset[str]) -> None:
        """What is an account's alone is told to its owner and agents, before anything is registered.

        hosts: by which callers know this node, beside this machine's names.
        """
        self._privacy.is_on = True
        self._privacy.hosts |= hosts

    def register(self, registry: Registry, limits: Limits) -> None:
        """Adds every method; limits: of the server that calls them."""
        admit = self._privacy.admit if self._privacy.is_on else None
        register(registry, self.rollup, self.markets, self.accounts, admit=admit, durable=self._durable)
        register(registry, self.operations, admit=admit)
        register(registry, self.rescues, self.past, admit=admit, durable=self._durable)
        register(registry, Bounds(limits, self._book_limits), self._privacy)

    def open_feeds(self, feeds: Feeds) -> None:
        """Opens the channels."""
        feeds.is_told = self._is_told
        feeds.admit = self._privacy.admit_to_channel
        self._channels.open(feeds)

    def sequenced(self, outcome: Processed) -> None:
        """A durable input is told."""
        self._channels.sequenced(outcome)

    def ended(self) -> None:
        """A group of inputs was told."""
        self._channels.ended()

    async def run(self) -> None:
        """Tells accounts as there is time."""
        await self._channels.run(self._durable)

    def posted(self) -> None:
        """That the batches on L1 changed is told."""
        self._channels.posted()
