"""A node's API without sockets or an L1, for the oracle's signers: the real venue, methods and dispatcher."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import structlog
import trio
from prometheus_client import CollectorRegistry

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.codec import batch
from prover.contracts.deployment import Deployment
from prover.signing import signatures
from sequencer.api.methods.methods import Methods
from sequencer.api.methods.reports import Reports
from sequencer.api.methods.standing import Standing
from sequencer.api.rpc.dispatch import Dispatcher
from sequencer.api.rpc.handlers import register
from sequencer.api.rpc.jsonrpc import JSON, Registry
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.client.client import NodeClient
from sequencer.devnet.prices import devnet_signer_keys
from sequencer.engine.engine import Engine
from sequencer.l1.bridge_view import BridgeView
from sequencer.oracle.premium import PremiumRule
from sequencer.oracle.price_filter import PriceFilter
from sequencer.oracle.price_sources import Market, PriceSource, Quote
from sequencer.oracle.signer import OracleSigner, SignerKey
from sequencer.oracle.terms import Terms
from sequencer.sequencing.journal import Journal
from sequencer.sequencing.sequencer import Sequencer
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import BRIDGE, CHAIN_ID, DOMAIN, START, genesis_store
from tests.sequencer.sequencing.test_sequencer import LIMITS

MARKETS = (Market("BTC", 1), Market("ETH", 2), Market("SOL", 4))
DOLLARS = (60_000.0, 3_000.0, 150.0)
TERMS = Terms(DOMAIN, MARKETS)


def trio_clock_ms() -> int:
    """Wall time by trio's clock, which tests own: START at its first moment."""
    return START + round(trio.current_time() * 1_000)


class Transport(httpx.AsyncBaseTransport):
    """Hands a client's requests to a dispatcher; away where the test says so."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._session = dispatcher.session()
        self.is_away = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One call."""
        if self.is_away:
            raise httpx.ConnectError("nobody listens")
        reply = await self._dispatcher.handle(await request.aread(), JSON, self._session)
        return httpx.Response(200, content=reply.body)


class OracleWorld:
    """A venue with the API of a node that waits for reports, on trio's clock."""

    def __init__(self, directory: Path, *, is_taking: bool = True) -> None:
        engine = Engine(BufferedStore(genesis_store()), DOMAIN)
        self.venue = Sequencer(engine, Journal(directory, LIMITS), trio_clock_ms)
        view = BridgeView(batch.BridgeId(CHAIN_ID, BRIDGE), engine)
        deployment = Deployment(CHAIN_ID, BRIDGE, b"\x12" * 20, b"\x13" * 20)
        sign, standing = development_key(0).sign, Standing()
        standing.is_up = True
        methods = Methods(self.venue, view, cast(L1Client, None), deployment, trio_clock_ms, sign, standing)
        self.reports = Reports(self.venue, DOMAIN, trio_clock_ms, is_taking=is_taking, is_simulated=not is_taking)
        registry = Registry()
        methods.register(registry, Limits())
        register(registry, self.reports)
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        dispatcher = Dispatcher(
            registry, Limits(), ApiMetrics(CollectorRegistry()), log, trio.current_time, lambda: "incident"
        )
        self.transport = Transport(dispatcher)

    async def start(self, nursery: trio.Nursery) -> None:
        """Starts the venue and the task that submits ticks."""
        await nursery.start(self.venue.run)
        nursery.start_soon(self.reports.run)

    def client(self, url: str = "http://node") -> NodeClient:
        """A client of its own; trio's clock bounds its calls."""
        return NodeClient(url, transport=self.transport)

    @property
    def tick_time(self) -> int:
        """Of the last tick, ms."""
        return int(self.venue.engine.globals.tick_time)


class Says:
    """A source that says what a test sets, fresh."""

    def __init__(self, dollars: tuple[float | None, ...] = DOLLARS) -> None:
        self.dollars = dollars

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """The set prices as of now."""
        return [None if dollars is None else Quote(dollars, time_ms) for dollars in self.dollars]


def signer(
    index: int,
    nodes: list[NodeClient],
    source: PriceSource | None = None,
    key_index: int | None = None,
    terms: Terms = TERMS,
    moment: Callable[[], float] = lambda: 0.0,
) -> OracleSigner:
    """A devnet signer, with another one's key where `key_index` says so."""
    key = devnet_signer_keys()[index if key_index is None else key_index]
    return OracleSigner(
        SignerKey(index, partial(signatures.sign, key)),
        terms,
        source or Says(),
        PriceFilter(terms.markets, 15_000, 50_000, 3, 60_000),
        nodes,
        trio_clock_ms,
        PremiumRule(1_000 * 10**6, 500_000, moment),
    )


def prices(source: Any, time: int) -> list[float | None]:
    """What a source quotes, in dollars."""
    return [quote.dollars if quote else None for quote in trio.run(source.quotes, time)]
