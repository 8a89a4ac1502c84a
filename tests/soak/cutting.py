"""A TCP proxy that cuts: each connection through it ends after so many bytes, drawn by chance, wherever that is."""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Final

import trio

_PIECE_BYTES: Final = 65_536
# An end with this option is a reset: nothing that is under way arrives any more.
_RESET: Final = struct.pack("ii", 1, 0)


class CuttingProxy:
    """cuts: how many connections it has ended; target: the port behind it, anew for each connection."""

    def __init__(self, random: Random, mean_bytes: int, target: Callable[[], int]) -> None:
        self.cuts = 0
        self.is_cutting = True
        self._random = random
        self._mean_bytes = mean_bytes
        self._target = target

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """On a free port of this machine; its URL."""
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, self._serve, 0, host="127.0.0.1"))
            yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()

    async def _serve(self, client: trio.SocketStream) -> None:
        left = [int(self._random.expovariate(1 / self._mean_bytes))]
        is_reset = self._random.random() < 0.5
        async with client:
            try:
                server = await trio.open_tcp_stream("127.0.0.1", self._target())
            except OSError:
                return
            async with server:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, client, server, left, nursery.cancel_scope)
                    nursery.start_soon(self._pump, server, client, left, nursery.cancel_scope)
                if is_reset and self.is_cutting:
                    for end in (client, server):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, left: list[int], scope: trio.CancelScope
    ) -> None:
        """One direction until either end is over; left: bytes that both directions may still pass."""
        try:
            while data := await source.receive_some(_PIECE_BYTES):
                if self.is_cutting and len(data) > left[0]:
                    self.cuts += 1
                    await sink.send_all(data[: left[0]])
                    break
                left[0] -= len(data)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()
