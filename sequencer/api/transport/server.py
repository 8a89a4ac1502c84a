"""The node's API on its port: JSON-RPC, feeds, and the pages that tell of the node."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from sequencer.api.rpc.dispatch import Dispatcher
from sequencer.api.rpc.errors import SHUTTING_DOWN
from sequencer.api.rpc.handlers import method, register
from sequencer.api.rpc.jsonrpc import Call, Registry
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.rpc.openrpc import openrpc_document
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.api.transport.http import JSON_TYPE, PAGE_TOKENS, Answer, Page
from sequencer.api.transport.port import ApiConfig, Port, Surroundings
from sequencer.schema.document import Document
from sequencer.schema.params import NoParams
from sequencer.schema.writing import to_json

# Metrics are read anew at most so often.
METRICS_SECONDS: Final = 1.0
# Connections of the port that tells of the node.
MONITORS: Final = 32


class NotReady(Protocol):
    """Why a node is not ready."""

    @property
    def code(self) -> str:
        """A stable word for programs."""
        ...

    @property
    def sentence(self) -> str:
        """The same for people."""
        ...


class Server(Port):
    """One node's API. Fill `registry` and `feeds` first, then `await nursery.start(server.serve)` gives the port."""

    def __init__(
        self,
        config: ApiConfig,
        registry: Registry,
        *,
        metrics: CollectorRegistry,
        epoch: str,
        why_not_ready: Callable[[], Sequence[NotReady]] = tuple,
        pages: Mapping[str, Page] | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """`why_not_ready` gives nothing once the node is ready, else why, the gravest first.

        `epoch` differs between two runs. `pages` maps a path, or a folder ending in a slash, to what answers GET there.
        """
        around = surroundings or Surroundings()
        told = ApiMetrics(metrics)
        dispatcher = Dispatcher(registry, config.limits, told, around.log, around.clock, around.new_incident)
        own: dict[str, Page] = {
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._metrics_page,
            "/openrpc.json": self._openrpc_page,
        }
        super().__init__(config, dispatcher, told, {**own, **(pages or {})}, around.log)
        self._registry = registry
        self._collectors = metrics
        self._why_not_ready = why_not_ready
        self._clock = around.clock
        self.feeds = Feeds(epoch, config.limits, told)
        register(registry, self.feeds, self)
        # Written once: methods and channels' families stand when the server starts.
        self._described: Document | None = None
        self._page = b""
        self._told_metrics = (-math.inf, b"")

    def monitor(self, port: int) -> "Server":
        """What tells of this one on a port of its own, where no crowd of callers stands before a monitor."""
        pages = {"/ready": self._ready, "/metrics": self._metrics_page}
        limits = Limits(connections=MONITORS)
        return Server(
            ApiConfig(port=port, limits=limits), Registry(), metrics=CollectorRegistry(), epoch="monitor", pages=pages
        )

    @method(
        "rpc.discover",
        "This document: every method, its parameters, results and errors; every channel.",
        weigh=lambda params: PAGE_TOKENS,
    )
    async def discover(self, params: NoParams, call: Call) -> Document:
        """rpc.discover."""
        return self._document()

    async def _openrpc_page(self, path: str) -> Answer:
        if not self._page:
            self._page = to_json(self._document())
        return Answer(200, JSON_TYPE, self._page)

    def _document(self) -> Document:
        if self._described is None:
            self._described = openrpc_document(self._registry, self.feeds.channels, self._config.version)
        return self._described

    async def _health(self, path: str) -> Answer:
        return Answer(200, JSON_TYPE, to_json({"healthy": True}))

    async def _ready(self, path: str) -> Answer:
        told = [(one.code, one.sentence) for one in self._why_not_ready()]
        if self.dispatcher.is_draining:
            told = [(SHUTTING_DOWN.name, "The node is shutting down.")]
        reasons = [{"code": code, "sentence": sentence} for code, sentence in told]
        return Answer(503 if reasons else 200, JSON_TYPE, to_json({"ready": not reasons, "reasons": reasons}))

    async def _metrics_page(self, path: str) -> Answer:
        told_at, told = self._told_metrics
        if self._clock() - told_at >= METRICS_SECONDS:
            told = generate_latest(self._collectors)
            self._told_metrics = self._clock(), told
        return Answer(200, CONTENT_TYPE_LATEST, told)
