"""L1 nodes that lie, stall or cut off: a transport that changes answers, and a proxy that holds requests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import trio

from tests.l1_bridge.http_proxy import answering

Tamper = Callable[[str, list[Any], Any], Any]


class Tampering(httpx.AsyncBaseTransport):
    """Asks the real node and hands its results through a function of (method, params, result)."""

    def __init__(self, tamper: Tamper) -> None:
        self.tamper = tamper
        self._honest = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One HTTP request."""
        asked = msgspec.json.decode(request.content)
        # Whole, whoever is cancelled meanwhile: a body that is half sent would be left to the collector.
        with trio.CancelScope(shield=True):
            answer = await self._honest.handle_async_request(request)
        results = msgspec.json.decode(await answer.aread())
        if isinstance(asked, list):
            for item, result in zip(asked, results, strict=True):
                self._change(item, result)
        else:
            self._change(asked, results)
        return httpx.Response(200, content=msgspec.json.encode(results))

    def _change(self, asked: Any, answer: Any) -> None:
        if "result" in answer:
            answer["result"] = self.tamper(asked["method"], asked["params"], answer["result"])

    async def aclose(self) -> None:
        """Closes the real connection."""
        await self._honest.aclose()


class Proxy:
    """Forwards to a node, and holds every request of one method: before it arrives there, or its answer after."""

    def __init__(self, client: httpx.AsyncClient, url: str, method: str, *, after: bool) -> None:
        self._client = client
        self._target = url
        self._method = method
        self._after = after
        self.url = ""
        self.held = trio.Event()

    async def respond(self, body: bytes) -> tuple[int, bytes]:
        """What the node answers, unless it is held."""
        holding = self._method.encode() in body
        if holding and not self._after:
            await self._hold()
        answer = await self._client.post(self._target, content=body, headers={"Content-Type": "application/json"})
        if holding:
            await self._hold()
        return 200, answer.content

    async def _hold(self) -> None:
        self.held.set()
        await trio.sleep_forever()


@asynccontextmanager
async def proxy(url: str, method: str, *, after: bool = False) -> AsyncIterator[Proxy]:
    """A proxy on a free port of this machine."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=None) as client:
        made = Proxy(client, url, method, after=after)
        async with answering(made.respond) as made.url:
            yield made
