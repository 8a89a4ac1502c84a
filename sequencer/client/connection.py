"""JSON-RPC over HTTP to one node: one call, its plain result or the reason why there is none."""

import itertools
import ssl
from typing import Any, Final

import httpx
import msgspec
import trio

from l1_bridge.client.body import post
from l1_bridge.recursion import recursion_bounded
from sequencer.client.errors import NodeUnreachable, rejection, wait_seconds
from sequencer.schema.writing import to_wire

_ANSWER_LIMIT_BYTES: Final = 16 << 20


class Connection:
    """NodeUnreachable when there is no answer, Rejected when the answer is no.

    Nothing is sent twice by itself: whether an unanswered operation was applied must be asked, not guessed. What a node
    did not begin because its caller had asked too much (RATE_LIMITED) is asked again when it says, within the timeout.
    """

    def __init__(self, url: str, *, timeout_seconds: float, transport: httpx.AsyncBaseTransport | None) -> None:
        self.url = url
        self._timeout_seconds = timeout_seconds
        self._request_ids = itertools.count(1)
        # Plain HTTP needs no certificate store, which is slow to load; proxies of the environment are not for the node.
        verify: bool | ssl.SSLContext = url.startswith("https:")
        self._http = httpx.AsyncClient(trust_env=False, verify=verify, transport=transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """The plain result of one call by its full name; params by name."""
        request = {"jsonrpc": "2.0", "id": next(self._request_ids), "method": method, "params": to_wire(params)}
        left_seconds = self._timeout_seconds
        while True:
            answer = await self._post(request)
            error = answer.get("error") if isinstance(answer, dict) else None
            if not isinstance(error, dict):
                if not isinstance(answer, dict) or "result" not in answer or error is not None:
                    raise NodeUnreachable(f"what answers at {self.url} is not a Catenary node")
                return answer["result"]
            rejected = rejection(error)
            pause = wait_seconds(rejected)
            if pause is None or pause > left_seconds:
                raise rejected
            left_seconds -= pause
            await trio.sleep(pause)

    async def _post(self, request: Any) -> Any:
        try:
            with trio.fail_after(self._timeout_seconds):
                return await self._post_once(msgspec.json.encode(request))
        except trio.TooSlowError:
            raise NodeUnreachable(f"the node at {self.url} gave no answer in {self._timeout_seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise NodeUnreachable(f"the node at {self.url} cannot be reached: {reason}") from None

    async def _post_once(self, content: bytes) -> Any:
        response, body = await post(self._http, self.url, content, _ANSWER_LIMIT_BYTES)
        if body is None:
            raise NodeUnreachable(f"the answer of {self.url} is larger than {_ANSWER_LIMIT_BYTES} bytes")
        try:
            with recursion_bounded():
                return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise NodeUnreachable(
                f"what answers at {self.url} is not a Catenary node (HTTP status {response.status_code})"
            ) from None
