"""Bad weather between a program and its L1: a seeded schedule of faults, before a simulated L1 or a real node.

Each kind stands for something that public nodes were seen to do. `Weather` decides call by call, within batches too;
`WeatherTransport` puts it into a client of this process, `weather_proxy` before the port of any node.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import httpx
import msgspec
import trio

from tests.l1_bridge.http_proxy import answering
from tests.patience import PATIENCE_SECONDS

# Each with how often a call is hit while it lasts, in percent.
KINDS: Final = {
    "silent": 100,  # nobody listens
    "lost answer": 40,  # the node hears, and the answer is lost
    "busy status": 50,  # HTTP 429 or 503, some with a JSON body
    "rate limit": 40,  # status 200, and an error in the body
    "no pending tag": 100,
    "no logs": 100,  # status 200 and an empty list
    "late logs": 100,  # the logs of the newest blocks are missing
    "narrow logs": 100,  # a few blocks at a time, refused by a code that also means a rate limit
    "null": 30,
    "lagging head": 100,
    "header not found": 40,
    "nonsense": 20,
}
_LATE_BLOCKS: Final = 3
_LAG_BLOCKS: Final = 5
_NARROW_BLOCKS: Final = 7
_NULLABLE: Final = ("eth_getBlockByNumber", "eth_getTransactionReceipt", "eth_getTransactionByHash")
_STATEFUL: Final = ("eth_call", "eth_getTransactionCount", "eth_getBalance")

Ask = Callable[[bytes], Awaitable[bytes]]


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault from a second to another."""

    kind: str
    start: float
    end: float


class Lost(Exception):
    """No answer comes back."""


def drawn(random: Random, seconds: float, count: int) -> list[Fault]:
    """So many faults within a time, each between three seconds and a quarter of it."""
    faults = []
    for _ in range(count):
        start = random.uniform(0, seconds)
        faults.append(Fault(random.choice(list(KINDS)), start, min(seconds, start + random.uniform(3, seconds / 4))))
    return faults


class Weather:
    """A schedule over one L1; `seen` counts the calls that each kind has hit."""

    def __init__(
        self, random: Random, faults: Sequence[Fault], clock: Callable[[], float], seen: Counter[str] | None = None
    ) -> None:
        self.faults = list(faults)
        self.seen: Counter[str] = Counter() if seen is None else seen
        self._random = random
        self._clock = clock

    def _blows(self, *kinds: str) -> str:
        """The first of these kinds that hits this call."""
        now = self._clock()
        for fault in self.faults:
            is_due = fault.kind in kinds and fault.start <= now < fault.end
            if is_due and self._random.randrange(100) < KINDS[fault.kind]:
                self.seen[fault.kind] += 1
                return fault.kind
        return ""

    async def respond(self, content: bytes, ask: Ask) -> tuple[int, bytes]:
        """HTTP status and body; Lost where nothing comes back."""
        if self._blows("silent"):
            raise Lost
        if self._blows("busy status"):
            body = b'{"jsonrpc":"2.0","id":null,"error":{"code":429,"message":"slow down"}}'
            return self._random.choice(((429, body), (503, b"<html>"), (502, b"")))
        if self._blows("nonsense"):
            return 200, self._random.choice((b"<html>", b'{"jsonrpc":', b"[]", b"7"))
        asked = msgspec.json.decode(content)
        answers = [await self._call(call, ask) for call in (asked if isinstance(asked, list) else [asked])]
        if self._blows("lost answer"):
            raise Lost
        return 200, msgspec.json.encode(answers if isinstance(asked, list) else answers[0])

    async def _call(self, call: dict[str, Any], ask: Ask) -> dict[str, Any]:
        method, params = call["method"], call["params"]
        refusal = self._refused(method, params)
        if refusal is not None:
            code, message = refusal
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}
        if method in (*_STATEFUL, "eth_getBlockByNumber") and self._blows("lagging head"):
            call = call | {"params": await self._behind(method, params, ask)}
        answer: dict[str, Any] = msgspec.json.decode(await ask(msgspec.json.encode(call)))
        if "result" in answer:
            if method == "eth_getLogs" and answer["result"]:
                answer["result"] = await self._thinned(answer["result"], ask)
            elif method in _NULLABLE and self._blows("null"):
                answer["result"] = None
        return answer

    def _refused(self, method: str, params: list[Any]) -> tuple[int, str] | None:
        if self._blows("rate limit"):
            return self._random.choice(((429, "Too Many Requests"), (-32005, "limit exceeded"), (-32603, "try again")))
        if "pending" in params and self._blows("no pending tag"):
            return self._random.choice(((-32602, "invalid block tag"), (-32000, "pending block is unavailable")))
        if method in _STATEFUL and self._blows("header not found"):
            return -32000, "header not found"
        if method == "eth_getLogs":
            first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
            if last - first >= _NARROW_BLOCKS and self._blows("narrow logs"):
                return -32005, f"query exceeds max block range {_NARROW_BLOCKS}"
        return None

    async def _head(self, ask: Ask) -> int:
        question = {"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": []}
        return int(msgspec.json.decode(await ask(msgspec.json.encode(question)))["result"], 16)

    async def _behind(self, method: str, params: list[Any], ask: Ask) -> list[Any]:
        """The same question to a node that ends some blocks earlier."""
        at = 0 if method == "eth_getBlockByNumber" else 1
        head = max(0, await self._head(ask) - _LAG_BLOCKS)
        if params[at] == "latest":
            return [*params[:at], hex(head), *params[at + 1 :]]
        if params[at].startswith("0x") and int(params[at], 16) > head:
            # A block that is far ahead of the true head too, so that no such node has it.
            return [*params[:at], hex(head + 1_000_000), *params[at + 1 :]]
        return params

    async def _thinned(self, logs: list[Any], ask: Ask) -> list[Any]:
        if self._blows("no logs"):
            return []
        if self._blows("late logs"):
            newest = await self._head(ask) - _LATE_BLOCKS
            return [log for log in logs if int(log["blockNumber"], 16) <= newest]
        return logs


class WeatherTransport(httpx.AsyncBaseTransport):
    """The weather of one client in this process."""

    def __init__(self, weather: Weather, ask: Ask) -> None:
        self._weather = weather
        self._ask = ask

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One HTTP request."""
        await trio.lowlevel.checkpoint()
        try:
            status, body = await self._weather.respond(request.content, self._ask)
        except Lost:
            raise httpx.ConnectError("the weather is bad") from None
        return httpx.Response(status, content=body)


@asynccontextmanager
async def weather_proxy(weather: Weather, target: str) -> AsyncIterator[str]:
    """A proxy on a free port of this machine; its URL."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client:

        async def ask(content: bytes) -> bytes:
            return (await client.post(target, content=content, headers={"Content-Type": "application/json"})).content

        async def respond(body: bytes) -> tuple[int, bytes] | None:
            try:
                return await weather.respond(body, ask)
            except (Lost, httpx.HTTPError):
                return None

        async with answering(respond) as url:
            yield url
