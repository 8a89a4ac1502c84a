"""Whom an agent tells: URLs by POST, bounded and tried again, and commands that read one line of JSON."""

import subprocess
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import httpx
import msgspec
import structlog
import trio

from l1_bridge.client.rpc import without_secrets

# What waits to be told; past it the oldest is dropped, and said so in the log.
MOST_WAITING: Final = 64
_ATTEMPTS: Final = 5
_FIRST_PAUSE_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 10.0


class Alerts:
    """A queue of its own for each listener: one that hangs keeps nobody else waiting."""

    def __init__(
        self,
        webhooks: Sequence[str],
        commands: Sequence[Sequence[str]],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._log = structlog.get_logger("agent")
        self._transport = transport
        self._webhooks = {url: deque[bytes]() for url in webhooks}
        self._commands = {tuple(command): deque[bytes]() for command in commands}
        self._changed = trio.Event()

    def tell(self, event: str, **fields: Any) -> None:
        """Queues one event for everybody; never waits."""
        body = msgspec.json.encode({"event": event, **fields})
        for queue in (*self._webhooks.values(), *self._commands.values()):
            if len(queue) >= MOST_WAITING:
                queue.popleft()
                self._log.warning("agent.alert_dropped", event_told=event)
            queue.append(body)
        self._changed.set()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Tells until cancelled."""
        async with trio.open_nursery() as nursery:
            for url, queue in self._webhooks.items():
                nursery.start_soon(self._serve_webhook, url, queue)
            for command, queue in self._commands.items():
                nursery.start_soon(self._serve_command, command, queue)

    async def _next(self, queue: deque[bytes]) -> bytes:
        while not queue:
            await self._changed.wait()
        return queue.popleft()

    async def _serve_webhook(self, url: str, queue: deque[bytes]) -> None:
        verify = url.startswith("https:")
        async with httpx.AsyncClient(trust_env=False, verify=verify, transport=self._transport) as http:
            while True:
                await self._post(http, url, await self._next(queue))

    async def _post(self, http: httpx.AsyncClient, url: str, body: bytes) -> None:
        pause, why = _FIRST_PAUSE_SECONDS, ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await trio.sleep(pause)
                pause *= 2
            try:
                with trio.fail_after(_TIMEOUT_SECONDS):
                    # Its body is nobody's business: only the status is read.
                    async with http.stream(
                        "POST", url, content=body, headers={"content-type": "application/json"}
                    ) as answer:
                        if answer.is_success:
                            return
                        why = f"HTTP status {answer.status_code}"
            except trio.TooSlowError:
                why = f"no answer in {_TIMEOUT_SECONDS:g} s"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                why = str(error) or type(error).__name__
        self._log.error("agent.webhook_failed", url=without_secrets(url), why=why)

    async def _serve_command(self, command: tuple[str, ...], queue: deque[bytes]) -> None:
        while True:
            body = await self._next(queue)
            try:
                # Killed where the time is over.
                with trio.fail_after(_TIMEOUT_SECONDS):
                    done = await trio.run_process(
                        command, stdin=body + b"\n", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
                    )
                if done.returncode:
                    self._log.error("agent.command_failed", command=command[0], status=done.returncode)
            except trio.TooSlowError:
                self._log.error("agent.command_failed", command=command[0], why=f"longer than {_TIMEOUT_SECONDS:g} s")
            except OSError as error:
                self._log.error("agent.command_failed", command=command[0], why=error.strerror)
