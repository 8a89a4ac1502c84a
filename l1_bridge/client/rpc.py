"""JSON-RPC over HTTP to one node: retries with growing pauses, a limit on every answer, single requests or batches."""

import itertools
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import trio

from l1_bridge.client.body import post
from l1_bridge.client.errors import L1Busy, L1NoAnswer, L1TooLarge, L1Unavailable
from l1_bridge.client.options import DEFAULT_OPTIONS, L1Options
from l1_bridge.client.refusals import refusal
from l1_bridge.recursion import recursion_bounded

BATCH_LIMIT = 100
# What an EVM has to execute first, a call or a transaction, may take longer than an answer from a store.
CALL_TIMEOUT_SECONDS = 120.0
_BACKOFF_FIRST_SECONDS = 0.1
_BACKOFF_MAX_SECONDS = 3.0
_RETRY_AFTER_MAX_SECONDS = 10.0
# Whatever stands before a node says with these that it is no answer of its own; 504 is told apart, as a timeout.
_BUSY_STATUSES = frozenset((408, 425, 429, 502, 503, *range(520, 531)))


def without_secrets(url: str) -> str:
    """A URL as it may be logged: without user, password, path and query, where providers have their keys."""
    parts = urlsplit(url)
    rest = "/..." if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{rest}" if parts.netloc else url


class JsonRpc:
    """Requests to one node, alone or a hundred at a time; every method can be cancelled."""

    def __init__(
        self, url: str, options: L1Options = DEFAULT_OPTIONS, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url
        # As it is told: many providers' URLs have a key in them.
        self.place = without_secrets(url)
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
        return (await self._ask([(method, params)], timeout_seconds, hasty, is_batch=False))[0]

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], *, timeout_seconds: float | None = None, hasty: bool = False
    ) -> list[Any]:
        """Results in the order of the calls, a hundred to a request; the first error is raised.

        What a node was too busy for, or left out, is asked again alone.
        """
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_LIMIT):
            results += await self._ask(calls[start : start + BATCH_LIMIT], timeout_seconds, hasty, is_batch=True)
        return results

    async def _ask(
        self, calls: Sequence[tuple[str, Sequence[Any]]], timeout_seconds: float | None, hasty: bool, *, is_batch: bool
    ) -> list[Any]:
        """Results of the calls, each asked until it is answered or the attempts without any progress are over."""
        found: dict[int, Any] = {}
        patience = _Patience(self.options.attempts)
        while True:
            left = [index for index in range(len(calls)) if index not in found]
            requests = [self._request(*calls[index]) for index in left]
            answer = await self._post(requests if is_batch else requests[0], timeout_seconds, hasty, patience)
            busy: L1Busy | None = None
            for index, request, given in zip(left, requests, _matched(requests, answer, is_batch), strict=True):
                try:
                    found[index] = _result(request["method"], given)
                except L1Busy as error:
                    busy = error
            if busy is None:
                return [found[index] for index in range(len(calls))]
            if len(found) > len(calls) - len(left):
                patience.renew()
            if not await patience.waited():
                raise L1Busy(f"the L1 node at {self.place}: {busy}")

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._request_ids), "method": method, "params": list(params)}

    async def _post(self, request: Any, timeout_seconds: float | None, hasty: bool, patience: "_Patience") -> Any:
        content = msgspec.json.encode(request)
        limit = self.options.timeout_seconds if timeout_seconds is None else timeout_seconds
        while True:
            try:
                with trio.fail_after(limit):
                    return await self._post_once(content)
            except (trio.TooSlowError, _GatewayTimeoutError) as error:
                if hasty or not await patience.waited():
                    raise L1NoAnswer(
                        f"the L1 node at {self.place}: {str(error) or f'no answer in {limit:g} s'}"
                    ) from error
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, _BadAnswerError) as error:
                is_hopeless = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
                asked_for = error.retry_after_seconds if isinstance(error, _BadAnswerError) else 0.0
                if is_hopeless or not await patience.waited(asked_for):
                    raise L1Unavailable(f"the L1 node at {self.place}: {str(error) or type(error).__name__}") from error

    async def _post_once(self, content: bytes) -> Any:
        limit = self.options.answer_limit_bytes
        response, body = await post(self._http, self.url, content, limit)
        if body is None:
            raise L1TooLarge(f"the L1 node at {self.place}: an answer of more than {limit} bytes")
        try:
            with recursion_bounded():
                answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answer = None
        if response.status_code == 504:
            raise _GatewayTimeoutError("HTTP status 504")
        if response.status_code in _BUSY_STATUSES:
            raise _BadAnswerError(f"HTTP status {response.status_code}", response.headers.get("Retry-After", ""))
        if response.status_code == 413 and not isinstance(answer, dict | list):
            raise L1TooLarge(f"the L1 node at {self.place}: HTTP status 413")
        if not isinstance(answer, dict | list):
            raise _BadAnswerError(f"HTTP status {response.status_code} without JSON-RPC")
        return answer


class _BadAnswerError(Exception):
    """What came back is not JSON-RPC, or the node has said in HTTP alone that it is busy, perhaps for how long."""

    def __init__(self, why: str, retry_after: str = "") -> None:
        super().__init__(why)
        # In seconds; the other form, a date, is not worth two clocks that differ.
        self.retry_after_seconds = float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 0.0


class _GatewayTimeoutError(Exception):
    """Something before the node waited for it in vain."""


class _Patience:
    """How often one question is asked, with pauses that grow; anew once a part of it was answered."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self.renew()

    def renew(self) -> None:
        """There was progress: all attempts are left."""
        self._left = self._attempts
        self._pause = _BACKOFF_FIRST_SECONDS

    async def waited(self, asked_for: float = 0.0) -> bool:
        """Sleeps before the next attempt, at least as long as the node asked for; False where this was the last."""
        self._left -= 1
        if self._left <= 0:
            return False
        await trio.sleep(max(self._pause, min(asked_for, _RETRY_AFTER_MAX_SECONDS)))
        self._pause = min(2 * self._pause, _BACKOFF_MAX_SECONDS)
        return True


def _matched(requests: Sequence[dict[str, Any]], answer: Any, is_batch: bool) -> list[Any]:
    """The answer to each request, None where the node left it out."""
    if not is_batch:
        return [answer]
    if not isinstance(answer, list):
        if not isinstance(answer, dict) or answer.get("error") is None:
            raise L1Unavailable("the L1 node answered a batch with a single result")
        return [answer] * len(requests)
    by_id = {item.get("id"): item for item in answer if isinstance(item, dict)}
    return [by_id.get(request["id"]) for request in requests]


def _result(method: str, answer: Any) -> Any:
    if answer is None:
        raise L1Busy("the L1 node left out a part of a batch")
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise L1Unavailable("the L1 node's answer is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    raise refusal(method, error)
