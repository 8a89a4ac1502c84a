"""What stands between a client and its L1 node in tests that hold requests or change answers: HTTP/1.1, POST alone."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

# Status and body of the answer to a request's body; None hangs up.
Respond = Callable[[bytes], Awaitable[tuple[int, bytes] | None]]


@asynccontextmanager
async def answering(respond: Respond) -> AsyncIterator[str]:
    """Answers on a free port of this machine; its URL."""
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, partial(_serve, respond), 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def _serve(respond: Respond, stream: trio.SocketStream) -> None:
    """One connection, request by request."""
    buffer = bytearray()
    try:
        while True:
            while b"\r\n\r\n" not in buffer:
                if not await _received(stream, buffer):
                    return
            head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            buffer[:] = rest
            while len(buffer) < length:
                if not await _received(stream, buffer):
                    return
            answer = await respond(bytes(buffer[:length]))
            if answer is None:
                return
            del buffer[:length]
            status, content = answer
            await stream.send_all(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(content)) + content)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def _received(stream: trio.SocketStream, buffer: bytearray) -> bool:
    """Whether anything came; False where the client has hung up."""
    received = await stream.receive_some()
    buffer.extend(received)
    return bool(received)
