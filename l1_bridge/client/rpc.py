"""JSON-RPC over HTTP to one node: retries with growing pauses, a limit on every answer, single requests or batches."""

import itertools
import ssl
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import trio

from l1_bridge.client.body import body_within
from l1_bridge.client.errors import L1NoAnswer, L1Rejected, L1TooLarge, L1Unavailable, revert_reason
from l1_bridge.client.options import DEFAULT_OPTIONS, L1Options
from l1_bridge.recursion import recursion_bounded

BATCH_LIMIT = 100
# What an EVM has to execute first, a call or a transaction, may take longer than an answer from a store.
CALL_TIMEOUT_SECONDS = 120.0
_BACKOFF_FIRST_SECONDS = 0.1
_BACKOFF_MAX_SECONDS = 3.0


class JsonRpc:
    """Requests to one node, alone or a hundred at a time; every method can be cancelled."""

    def __init__(
        self, url: str, options: L1Options = DEFAULT_OPTIONS, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url
        self.options = options
        self._request_ids = itertools.count(1)
        # Proxies of the environment are not for the L1; plain HTTP needs no certificate store, which is slow to load.
        verify: bool | ssl.SSLContext = url.startswith("https:")
        self._http = httpx.AsyncClient(
            trust_env=False, verify=verify, limits=httpx.Limits(max_connections=16), transport=transport
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self, method: str, params: Sequence[Any] = (), *, timeout_seconds: float | None = None, hasty: bool = False
    ) -> Any:
        """One request; the decoded result. Raises L1Rejected or L1Unavailable; `hasty`: at the first timeout."""
        request = {"jsonrpc": "2.0", "id": next(self._request_ids), "method": method, "params": list(params)}
        return _result(await self._post(request, timeout_seconds, hasty))

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, timeout_seconds: float | None = None, hasty: bool = False
    ) -> list[Any]:
        """Results in the order of the calls, a hundred to a request; the first error is raised."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_LIMIT):
            requests = [
                {"jsonrpc": "2.0", "id": next(self._request_ids), "method": method, "params": list(params)}
                for method, params in calls[start : start + BATCH_LIMIT]
            ]
            answers = await self._post(requests, timeout_seconds, hasty)
            if not isinstance(answers, list):
                _result(answers)
                raise L1Unavailable("the L1 node answered a batch with a single result")
            by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
            for request in requests:
                if request["id"] not in by_id:
                    raise L1Unavailable("the L1 node left out a part of a batch")
                results.append(_result(by_id[request["id"]]))
        return results

    async def _post(self, request: Any, timeout_seconds: float | None, hasty: bool) -> Any:
        content = msgspec.json.encode(request)
        limit = self.options.timeout_seconds if timeout_seconds is None else timeout_seconds
        pause = _BACKOFF_FIRST_SECONDS
        for attempt in range(1, self.options.attempts + 1):
            try:
                with trio.fail_after(limit):
                    return await self._post_once(content)
            except (trio.TooSlowError, _GatewayTimeoutError) as error:
                if hasty or attempt == self.options.attempts:
                    raise L1NoAnswer(
                        f"the L1 node at {self.url}: {str(error) or f'no answer in {limit:g} s'}"
                    ) from error
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, _BadAnswerError) as error:
                if attempt == self.options.attempts or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                    raise L1Unavailable(f"the L1 node at {self.url}: {str(error) or type(error).__name__}") from error
            await trio.sleep(pause)
            pause = min(2 * pause, _BACKOFF_MAX_SECONDS)
        raise AssertionError("attempts is at least one")

    async def _post_once(self, content: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        # trio's deadline around this covers all of it, so httpx needs no timeouts of its own.
        request = self._http.build_request("POST", self.url, content=content, headers=headers, timeout=None)
        request.stream = _Body(content)
        response = await self._http.send(request, stream=True)
        try:
            body = await self._body_of(response)
        finally:
            with trio.CancelScope(shield=True):
                await response.aclose()
        try:
            with recursion_bounded():
                answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answer = None
        if response.status_code == 504:
            raise _GatewayTimeoutError("HTTP status 504")
        if response.status_code in (429, 502, 503):
            raise _BadAnswerError(f"HTTP status {response.status_code}")
        if response.status_code == 413 and not isinstance(answer, dict | list):
            raise L1TooLarge(f"the L1 node at {self.url}: HTTP status 413")
        if not isinstance(answer, dict | list):
            raise _BadAnswerError(f"HTTP status {response.status_code} without JSON-RPC")
        return answer

    async def _body_of(self, response: httpx.Response) -> bytes:
        limit = self.options.answer_limit_bytes
        too_large = L1TooLarge(f"the L1 node at {self.url}: an answer of more than {limit} bytes")
        # Its word for its own answer, before a byte of that is read; h11 lets only digits through.
        if int(response.headers.get("Content-Length", 0)) > limit:
            raise too_large
        body = await body_within(response, limit)
        if body is None:
            raise too_large
        return body


class _Body(httpx.AsyncByteStream):
    """A request body in one piece. httpx's own is an async generator, which a broken connection leaves unfinished."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._given = False

    def __aiter__(self) -> "_Body":
        self._given = False
        return self

    async def __anext__(self) -> bytes:
        if self._given:
            raise StopAsyncIteration
        self._given = True
        return self._content


class _BadAnswerError(Exception):
    """What came back is not JSON-RPC."""


class _GatewayTimeoutError(Exception):
    """Something before the node waited for it in vain."""


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise L1Unavailable("the L1 node's answer is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        raise L1Rejected(-32603, str(error))
    code = error.get("code")
    data = error.get("data")
    raw = b""
    if isinstance(data, str) and data.startswith("0x"):
        try:
            raw = bytes.fromhex(data[2:])
        except ValueError:
            raw = b""
    reason = revert_reason(raw) or str(error.get("message", "no reason given"))
    raise L1Rejected(code if isinstance(code, int) else -32603, reason, raw)
