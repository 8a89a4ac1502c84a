"""A small venue of its own behind a real port: echo, failures, slow and ordered calls."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry

from prover.stf.codes import MAKER_MARGIN
from sequencer.api.rpc.errors import LAW_ERRORS, NOT_READY, CallError, law_error
from sequencer.api.rpc.jsonrpc import Call, Registry
from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.http import Access, Answer
from sequencer.api.transport.port import ApiConfig, Surroundings
from sequencer.api.transport.server import Server
from sequencer.schema.params import NoParams
from sequencer.schema.values import Bytes20, Uint64, WideInteger
from tests.patience import PATIENCE_SECONDS


class Int64(WideInteger):
    """One that may be below zero."""

    MINIMUM = -(2**63)
    MAXIMUM = 2**63 - 1


class Echo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bit of every type."""

    amount: Uint64
    text: str = ""
    owner: Bytes20 | None = None


class Echoed(msgspec.Struct, frozen=True):
    """The same, answered."""

    amount: Uint64
    text: str
    owner: Bytes20 | None
    negative: Int64


class Venue:
    """Handlers with the gates that the tests open."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.finished: list[str] = []
        self.ended: list[str] = []
        self.gate = trio.Event()
        self.entered = trio.Event()
        self.registry = Registry()
        add = self.registry.add
        add("echo", self.echo, params=Echo, result=Echoed, description="Answers what it got.")
        add("fail", self.fail, params=NoParams, result=None, description="Has a bug.")
        add("refuse", self.refuse, params=NoParams, result=None, description="Breaks the law.", errors=LAW_ERRORS)
        add("not_ready", self.not_ready, params=NoParams, result=None, description="Waits.", errors=(NOT_READY,))
        add("slow", self.slow, params=Echo, result=str, description="Waits for the gate.")
        add("ordered", self.ordered, params=Echo, result=str, description="Takes its place, then waits.")
        add("unwritable", self.unwritable, params=NoParams, result=str, description="Answers what nobody can write.")
        add("at_end", self.at_end, params=Echo, result=str, description="Does something once the connection ends.")
        add("large", self.large, params=Echo, result=str, description="Answers so many characters.")

    async def echo(self, params: Echo, call: Call) -> Echoed:
        return Echoed(params.amount, params.text, params.owner, Int64(-int(params.amount) // 2))

    async def fail(self, params: NoParams, call: Call) -> None:
        raise RuntimeError("secret detail")

    async def refuse(self, params: NoParams, call: Call) -> None:
        raise CallError(law_error(MAKER_MARGIN), data={"account": 7})

    async def not_ready(self, params: NoParams, call: Call) -> None:
        raise CallError(NOT_READY)

    async def slow(self, params: Echo, call: Call) -> str:
        self.started.append(params.text)
        self.entered.set()
        await self.gate.wait()
        self.finished.append(params.text)
        return params.text

    async def ordered(self, params: Echo, call: Call) -> str:
        self.started.append(params.text)
        call.release()
        if params.text == "last":
            self.gate.set()
        await self.gate.wait()
        return params.text

    async def at_end(self, params: Echo, call: Call) -> str:
        call.session.at_end = partial(self.ended.append, params.text) if params.text else None
        return params.text

    async def unwritable(self, params: NoParams, call: Call) -> object:
        return object()

    async def large(self, params: Echo, call: Call) -> str:
        return "x" * params.amount


class Running:
    """A server that runs, its port and a client for it."""

    def __init__(self, server: Server, venue: Venue, port: int, collectors: CollectorRegistry) -> None:
        self.server = server
        self.venue = venue
        self.port = port
        self.collectors = collectors
        self.is_served = True

    async def post(self, body: bytes, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False, timeout=PATIENCE_SECONDS
        ) as client:
            return await client.post("/", content=body, headers=headers)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False, timeout=PATIENCE_SECONDS
        ) as client:
            return await client.get(path, headers=headers)

    async def call(self, method: str, params: Any = None, identifier: Any = 1) -> Any:
        body = {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}}
        return (await self.post(msgspec.json.encode(body))).json()

    async def assert_alive(self) -> None:
        answer = await self.call("echo", {"amount": 5})
        assert answer["result"]["amount"] == "5"
        assert self.is_served

    def sample(self, name: str, **labels: str) -> float:
        return self.collectors.get_sample_value(name, labels) or 0.0


Start = Callable[..., Any]


async def page(path: str) -> Answer:
    """A registered page; /pages/broken has a bug."""
    if path.endswith("broken"):
        raise RuntimeError("secret detail")
    return Answer(200, "text/plain", path.encode())


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Start]:
    """Starts servers with the given limits."""

    async def start_server(limits: Limits | None = None, **options: Any) -> Running:
        venue, collectors = Venue(), CollectorRegistry()
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        around = {name: options.pop(name) for name in ("clock", "new_incident") if name in options}
        server = Server(
            ApiConfig(port=0, limits=limits or Limits(), access=options.pop("access", Access())),
            venue.registry,
            metrics=collectors,
            epoch="run",
            pages={"/pages/": page},
            surroundings=Surroundings(log=log, **around),
            **options,
        )
        served: list[Running] = []

        async def serve(task_status: trio.TaskStatus[int]) -> None:
            await server.serve(task_status=task_status)
            served[0].is_served = False

        port = await nursery.start(serve)
        served.append(Running(server, venue, port, collectors))
        return served[0]

    yield start_server
    nursery.cancel_scope.cancel()
