"""An HTTP answer's body, read no further than its reader can bear."""

import httpx


async def body_within(response: httpx.Response, limit: int) -> bytes | None:
    """The body of a streamed response; None where it has more than `limit` bytes, and the response is closed."""
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
