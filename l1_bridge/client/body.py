"""A POST over HTTP: its body given in one piece, and an answer's body read no further than its reader can bear."""

from typing import Final

import httpx
import trio

_HEADERS: Final = {"Content-Type": "application/json"}
# What is packed so takes at most a thousand times what was read; packed twice, or otherwise, there is no bound.
_PACKED: Final = ("gzip", "deflate")


async def post(http: httpx.AsyncClient, url: str, content: bytes, limit: int) -> tuple[httpx.Response, bytes | None]:
    """The answer to JSON, closed, and its body; None where that has more than `limit` bytes. Errors as httpx's own.

    The caller's deadline covers all of it, so httpx needs no timeouts of its own.
    """
    request = http.build_request("POST", url, content=content, headers=_HEADERS, timeout=None)
    request.stream = _Piece(content)
    response = await http.send(request, stream=True)
    try:
        return response, await body_within(response, limit)
    finally:
        with trio.CancelScope(shield=True):
            await response.aclose()


async def body_within(response: httpx.Response, limit: int) -> bytes | None:
    """The body of a streamed response; None where it has more than `limit` bytes, and the response is closed.

    httpx.DecodingError for one that is packed twice: a kilobyte of it may unfold to gigabytes before it is counted.
    """
    codings = [name.lower() for name in response.headers.get_list("Content-Encoding", split_commas=True)]
    packed = [name for name in codings if name not in ("", "identity")]
    if packed and (len(packed) > 1 or packed[0] not in _PACKED):
        await response.aclose()
        raise httpx.DecodingError(f"an answer packed as {', '.join(packed)[:80]} is not read")
    # Its word for its own length, before a byte is read; h11 lets only digits through.
    if int(response.headers.get("Content-Length", 0)) > limit:
        await response.aclose()
        return None
    body = bytearray()
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > limit:
                # Left from here, or with contextlib.aclosing around the outermost, httpx's nested generators would be
                # left to the garbage collector: closed first, the next read fails and unwinds them all.
                await response.aclose()
    except (httpx.HTTPError, httpx.StreamError):
        if len(body) <= limit:
            raise
    return bytes(body) if len(body) <= limit else None


class _Piece(httpx.AsyncByteStream):
    """A request body in one piece. httpx's own is an async generator, which a broken connection leaves unfinished."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._given = False

    def __aiter__(self) -> "_Piece":
        self._given = False
        return self

    async def __anext__(self) -> bytes:
        if self._given:
            raise StopAsyncIteration
        self._given = True
        return self._content
