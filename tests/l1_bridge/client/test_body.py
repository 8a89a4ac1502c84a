"""Bodies at and past the bound, and what is left of a response whose reader has had enough."""

import gc
import gzip
from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest
import trio

from l1_bridge.client.body import body_within, post

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


@pytest.mark.parametrize(("said", "given"), [(LIMIT, 2), (LIMIT + 1, 0)])
async def test_the_word_of_an_answer_for_its_own_length_is_enough_to_leave_it(said: int, given: int) -> None:
    pieces = Pieces(2)
    answer = httpx.Response(200, headers={"Content-Length": str(said)}, stream=pieces)
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        _, body = await post(client, "http://node", b"{}", LIMIT)
    assert (body is None, pieces.given, pieces.is_closed) == (given == 0, given, True)


def packed(times: int, mebibytes: int = 8) -> bytes:
    """Spaces, packed so often."""
    body = b" " * (mebibytes << 20)
    for _ in range(times):
        body = gzip.compress(body)
    return body


async def answered(content: bytes, coding: str, limit: int) -> bytes | None:
    """What a caller reads of an answer that is packed."""
    answer = httpx.Response(200, headers={"Content-Encoding": coding}, stream=httpx.ByteStream(content))
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        return (await post(client, "http://node", b"{}", limit))[1]


@pytest.mark.parametrize(("coding", "times"), [("gzip", 1), ("identity", 0), ("identity, gzip", 1), ("", 0)])
async def test_an_answer_may_be_packed_once(coding: str, times: int) -> None:
    content = packed(times, mebibytes=1)
    assert await answered(content, coding, 2 << 20) == b" " * (1 << 20)
    assert await answered(content, coding, 1_000) is None


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,GZIP", "deflate, gzip", "br", "zstd", "gzip, identity, gzip"])
async def test_an_answer_that_is_packed_twice_is_not_unfolded(coding: str) -> None:
    content = packed(2)
    # Eight mebibytes in a hundred bytes: each further one is a byte or two.
    assert len(content) < 200
    with pytest.raises(httpx.DecodingError, match="not read"):
        await answered(content, coding, 64 << 20)


class Stuck(httpx.AsyncBaseTransport):
    """Takes a piece of the request's body and no more, as a connection does that hangs."""

    def __init__(self) -> None:
        self.has_taken = trio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Never ends."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for piece in request.stream:
            assert piece == b"{}"
            self.has_taken.set()
            await trio.sleep_forever()
        raise AssertionError("no piece")


async def test_a_body_whose_sending_is_broken_off_leaves_nothing_behind() -> None:
    """An unfinished async generator would be a warning, hence an error, once the garbage collector finds it."""
    stuck = Stuck()
    async with httpx.AsyncClient(transport=stuck) as client, trio.open_nursery() as nursery:
        nursery.start_soon(post, client, "http://node", b"{}", LIMIT)
        await stuck.has_taken.wait()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
    gc.collect()
