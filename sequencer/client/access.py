"""What a node tells of an account to whoever shows a key of it: over one WebSocket, on which that is shown once."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import trio

from l1_bridge.recursion import recursion_bounded
from prover.signing.access import access_digest
from prover.stf import constants
from sequencer.client.errors import Misfit, NodeUnreachable, Rejected, rejection, wait_seconds
from sequencer.client.socket import Cut, Socket, connected
from sequencer.schema.access import ChallengeView
from sequencer.schema.values import decode_value
from sequencer.schema.writing import to_wire

PRIVATE: Final = "PRIVATE"
CHALLENGE: Final = "catenary_challenge"
ACCESS: Final = "catenary_access"
_ACCOUNTS: Final = 1 << constants.ACCOUNT_BITS


class Identity(msgspec.Struct, frozen=True):
    """Who may see an account. domain: of the rollup that he trusts, never by the node's word; sign: of a digest."""

    domain: bytes
    sign: Callable[[bytes], bytes]

    def shown(self, url: str, account: int, given: ChallengeView) -> dict[str, Any]:
        """Params that show its key to the node at a URL, and to no other that is given them."""
        host = urlsplit(url).hostname or ""
        challenge = bytes.fromhex(given.challenge[2:])
        digest = access_digest(self.domain, account, host, challenge, given.expires_at_ms)
        return {"account": account, "host": host, "signature": self.sign(digest)}


# Of an account; asked for where a node tells nothing without.
Identify = Callable[[int], Awaitable[Identity]]


class _Answer(msgspec.Struct, frozen=True):
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: dict[str, Any] | None = None


class Confidant:
    """Calls of methods that only look, so that one whose answer is lost is sent again, once."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._lock = trio.Lock()
        self._stack = AsyncExitStack()
        self._socket: Socket | None = None
        self._shown: set[int] = set()
        self._calls = 0

    async def close(self) -> None:
        """Ends the connection; the next call makes a new one."""
        self._socket, self._shown = None, set()
        await self._stack.aclose()

    async def call(self, account: int, identify: Identify, method: str, params: dict[str, Any]) -> Any:
        """The plain result; Rejected, or NodeUnreachable where there is none."""
        async with self._lock:
            # Whoever has to be asked for a password takes his time.
            identity = await identify(account)
            try:
                with trio.fail_after(self._timeout_seconds):
                    try:
                        return await self._told(account, identity, method, params)
                    except Cut:
                        # One that was kept may have ended long ago.
                        await self.close()
                        return await self._told(account, identity, method, params)
            except (Cut, trio.TooSlowError) as error:
                await self.close()
                why = str(error) or f"no answer in {self._timeout_seconds:g} s"
                raise NodeUnreachable(f"the node at {self._url} does not tell {method}: {why}") from None

    async def _told(self, account: int, identity: Identity, method: str, params: dict[str, Any]) -> Any:
        if self._socket is None:
            self._socket = await self._stack.enter_async_context(connected(self._url))
        if account not in self._shown:
            given = decoded(await self._asked(self._socket, CHALLENGE, {}), ChallengeView, self._url)
            await self._asked(self._socket, ACCESS, identity.shown(self._url, account, given))
            self._shown.add(account)
        return decoded(await self._asked(self._socket, method, params), Any, self._url)

    async def _asked(self, socket: Socket, method: str, params: dict[str, Any]) -> msgspec.Raw:
        while True:
            try:
                return await self._answered(socket, method, params)
            except Rejected as refusal:
                pause = wait_seconds(refusal)
                if pause is None:
                    raise
                await trio.sleep(pause)

    async def _answered(self, socket: Socket, method: str, params: dict[str, Any]) -> msgspec.Raw:
        self._calls += 1
        call = {"jsonrpc": "2.0", "id": self._calls, "method": method, "params": to_wire(params)}
        await socket.send(msgspec.json.encode(call).decode())
        while True:
            answer: _Answer = decoded((await socket.receive()).encode(), _Answer, self._url)
            if answer.error is not None and answer.id in (self._calls, None):
                raise rejection(answer.error)
            if answer.id == self._calls:
                return answer.result


def hidden_account(refusal: Rejected) -> int | None:
    """The account that a node tells nothing of before a key is shown; None where it refused for another reason."""
    account = refusal.data.get("account")
    is_account = type(account) is int and 0 <= account < _ACCOUNTS
    return account if refusal.rejection == PRIVATE and is_account else None


def decoded(text: bytes | msgspec.Raw, kind: Any, url: str) -> Any:
    """What a node tells, as a type of the schema; Misfit."""
    try:
        with recursion_bounded():
            return msgspec.json.decode(text, type=kind, strict=False, dec_hook=decode_value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Misfit(f"what {url} tells does not fit: {error}") from None
