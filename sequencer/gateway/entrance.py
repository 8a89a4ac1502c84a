"""The gateway's port: /info, /exchange and /ws, each answered by HTTP 200 and with words that its programs read."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from sequencer.api.rpc.entrance import Entrance, Passing, Reply
from sequencer.api.rpc.errors import TIMEOUT, CallError
from sequencer.api.rpc.jsonrpc import JSON, Codec, Push, Session
from sequencer.api.rpc.limits import BAD_SIGNATURE_TOKENS, Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.transport.http import WEBSOCKET_PATH
from sequencer.api.transport.port import Surroundings
from sequencer.client.errors import ClientError
from sequencer.gateway.exchange import Exchange
from sequencer.gateway.info import Info
from sequencer.gateway.refusals import Refused, UnknownSigner, of_call
from sequencer.gateway.streams import Streams
from sequencer.schema.writing import to_json

INFO: Final = "/info"
EXCHANGE: Final = "/exchange"
# What a signature of nobody has cost in vain, in tokens.


class Gateway(Entrance):
    """Bounded and paid for as the node's own calls are."""

    paths = frozenset((INFO, EXCHANGE))

    def __init__(
        self,
        info: Info,
        exchange: Exchange,
        streams: Streams,
        limits: Limits,
        metrics: ApiMetrics,
        around: Surroundings,
    ) -> None:
        super().__init__(limits, metrics, around.log, around.clock, around.new_incident)
        self._info = info
        self._exchange = exchange
        self._streams = streams

    def refusal(self, error: CallError, codec: Codec) -> bytes:
        """With what both kinds of programs look for: `code` and `msg`, and a status with its text."""
        sentence = str(error)
        return codec.encode(
            {"code": error.error.name, "msg": sentence, "data": error.data, "status": "err", "response": sentence}
        )

    async def answer(self, body: bytes, codec: Codec, session: Session, passing: Passing) -> Reply:
        """One message of one of the three."""
        # It waits for the node from here on, and not for this process.
        passing.step_aside()
        try:
            message = codec.decode(body)
        except CallError as error:
            if passing.path == WEBSOCKET_PATH:
                return Reply(codec.encode({"channel": "error", "data": str(error)}))
            return self.refused(error, codec, passing.release)
        if passing.path == WEBSOCKET_PATH:
            return await self._spoken(message, codec, session, passing)
        ask = self._asked if passing.path == INFO else self._acted
        return Reply(codec.encode(await self._told(passing.path, ask, message, session)))

    async def _told(
        self, path: str, ask: Callable[[Any, Session], Awaitable[Any]], message: Any, session: Session
    ) -> Any:
        """What is answered; an error of ours is an incident, as it is in the node."""
        try:
            told = await ask(message, session)
        except Refused as refused:
            if isinstance(refused, UnknownSigner):
                session.owe(BAD_SIGNATURE_TOKENS)
            self.count(path, "REFUSED")
            return {"status": "err", "response": str(refused)}
        except ClientError as error:
            self.count(path, error.name)
            return {"status": "err", "response": of_call(error)}
        except CallError as error:
            self.count(path, error.error.name)
            return {"status": "err", "response": str(error)}
        except Exception as error:
            failed = self.incident(error, path=path)
            return {"status": "err", "response": f"{failed} {failed.data['incident']}"}
        self.count(path, "OK")
        return told

    async def _asked(self, question: Any, session: Session) -> Any:
        with trio.move_on_after(self._limits.call_seconds):
            return await self._info.ask(question)
        raise CallError(TIMEOUT)

    async def _acted(self, payload: Any, session: Session) -> Any:
        return await self._exchange.act(payload)

    # Over the WebSocket.

    async def _spoken(self, message: Any, codec: Codec, session: Session, passing: Passing) -> Reply:
        spoken = message if isinstance(message, dict) else {}
        method = spoken.get("method")
        if method == "ping":
            return Reply(codec.encode({"channel": "pong"}))
        if method == "post":
            return Reply(codec.encode(await self._posted(spoken, session)))
        if method == "subscribe":
            return await self._subscribed(spoken, codec, session)
        told = await self._told(WEBSOCKET_PATH, self._unsubscribed, spoken, session)
        return Reply(codec.encode(_or_error(told, spoken)))

    async def _subscribed(self, spoken: dict[str, Any], codec: Codec, session: Session) -> Reply:
        after: list[Callable[[], None]] = []

        async def subscribe(message: Any, session: Session) -> Any:
            key = self._streams.key(message.get("subscription"), self._info)
            # What happens while the snapshot is read is held back, and told behind it.
            subscription = self._streams.listen(key, session)
            try:
                snapshot = await self._streams.snapshot(key, self._info)
            except BaseException:
                # Whatever went wrong: what is held back for nobody would fill up and end the connection.
                session.leave(key.name)
                raise
            first = [] if snapshot is None else [Push(to_json({"channel": snapshot[0], "data": snapshot[1]}))]
            after.append(lambda: subscription.release(*first))
            return {"channel": "subscriptionResponse", "data": message}

        told = await self._told(WEBSOCKET_PATH, subscribe, spoken, session)
        return Reply(codec.encode(_or_error(told, spoken)), after)

    async def _unsubscribed(self, spoken: Any, session: Session) -> Any:
        if spoken.get("method") != "unsubscribe":
            raise Refused(
                "Error parsing JSON into valid websocket request: a method is subscribe, unsubscribe, ping or post"
            )
        key = self._streams.key(spoken.get("subscription"), self._info)
        if not session.leave(key.name):
            raise Refused(f"Already unsubscribed: {key.name}")
        return {"channel": "subscriptionResponse", "data": spoken}

    async def _posted(self, spoken: dict[str, Any], session: Session) -> Any:
        request = spoken.get("request")
        request = request if isinstance(request, dict) else {}
        kind, payload = request.get("type"), request.get("payload")
        if kind not in ("info", "action"):
            response: dict[str, Any] = {"type": "error", "payload": "a request is of type info or action"}
        else:
            ask = self._asked if kind == "info" else self._acted
            told = await self._told(INFO if kind == "info" else EXCHANGE, ask, payload, session)
            asked = payload.get("type") if kind == "info" and isinstance(payload, dict) else None
            response = {"type": kind, "payload": {"type": asked, "data": told} if kind == "info" else told}
        return {"channel": "post", "data": {"id": spoken.get("id"), "response": response}}


def _or_error(told: Any, spoken: dict[str, Any]) -> Any:
    """What was refused, as a message of the channel for that."""
    if isinstance(told, dict) and told.get("status") == "err":
        return {"channel": "error", "data": f"{told['response']} {JSON.encode(spoken).decode()[:200]}"}
    return told
