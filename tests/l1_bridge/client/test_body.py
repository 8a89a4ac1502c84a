"""Bodies at and past the bound, and what is left of a response whose reader has had enough."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest

from l1_bridge.client.body import body_within

pytestmark = pytest.mark.trio

LIMIT: Final = 10


class Pieces(httpx.AsyncByteStream):
    """So many pieces of four bytes; a read after the end or of a closed one fails as httpcore's does."""

    def __init__(self, count: int, breaks: bool = False) -> None:
        self.given = 0
        self.is_closed = False
        self._count = count
        self._breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            if self.is_closed:
                raise httpx.StreamClosed
            self.given += 1
            yield b"four"
        if self._breaks:
            raise httpx.ReadError("the connection broke")

    async def aclose(self) -> None:
        """Closed by whoever reads it."""
        self.is_closed = True


async def read(pieces: Pieces, limit: int = LIMIT) -> bytes | None:
    """As a caller reads it: streamed."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=pieces))
    async with httpx.AsyncClient(transport=transport) as client, client.stream("GET", "http://node") as response:
        return await body_within(response, limit)


@pytest.mark.parametrize(("count", "expected"), [(0, b""), (2, b"four" * 2), (3, None), (1_000, None)])
async def test_a_body_is_read_no_further_than_the_bound(count: int, expected: bytes | None) -> None:
    pieces = Pieces(count)
    assert await read(pieces) == expected
    assert pieces.is_closed
    assert pieces.given <= 3


async def test_the_bound_itself_is_within() -> None:
    assert await read(Pieces(3), limit=12) == b"four" * 3
    assert await read(Pieces(3), limit=11) is None


async def test_a_connection_that_breaks_before_the_bound_is_the_callers_to_hear() -> None:
    with pytest.raises(httpx.ReadError, match="broke"):
        await read(Pieces(2, breaks=True))
