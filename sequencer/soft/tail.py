"""Follows a sequencer's stream, and tells how it stands with it: open, away, or dropped for good."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
import trio

from l1_bridge.client.rpc import without_secrets
from l1_bridge.recursion import recursion_bounded
from prover.contracts.deployment import Deployment
from sequencer.api.rpc.limits import TokenBucket
from sequencer.client.socket import Cut, Socket, connected
from sequencer.engine.effects import Processed
from sequencer.l1.postable import Reason
from sequencer.schema.answers import Status
from sequencer.schema.soft import SoftStanding
from sequencer.schema.subscriptions import NOTIFICATION, Subscribed
from sequencer.schema.values import as_hex, decode_value
from sequencer.soft.told import Message, Told, Untrue, misfit

DROPPED: Final = "SOFT_DROPPED"
# Nothing was told for so long: prices come every five seconds.
SILENT_SECONDS: Final = 60
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 15.0
# A stream that is faster is read later, over all its connections; a long message counts for several.
_MESSAGES_A_SECOND: Final = 500
_MESSAGES_AT_ONCE: Final = 4_000
_MESSAGE_CHARACTERS: Final = 4_096


class _Answer(msgspec.Struct, frozen=True):
    """Whatever comes: an answer by its id, or a message of a feed."""

    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: Any = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()


class Tail:
    """One stream. A contradiction ends it: what was told goes, and it is not asked again before the next start."""

    def __init__(
        self,
        url: str,
        told: Told,
        deployment: Deployment,
        changed: Callable[[str], None],
        dropped: Untrue | None = None,
    ) -> None:
        """changed: told a channel whose data changed, empty where the standing did. dropped: for what, if it is."""
        self.told = told
        self._url = url
        self._deployment = deployment
        self._changed = changed
        self._scope = trio.CancelScope()
        self._dropped = dropped
        self._away = "it was not asked yet"
        self._log = structlog.get_logger("soft")

    @property
    def standing(self) -> SoftStanding:
        """How it stands."""
        source = without_secrets(self._url)
        if self._dropped is not None:
            code, sentence = self._dropped.code, str(self._dropped)
            return SoftStanding(source=source, standing="dropped", code=code, sentence=sentence)
        standing = SoftStanding(source=source, standing="open", code="", sentence="")
        if self._away:
            return msgspec.structs.replace(standing, standing="away", sentence=f"The stream is away: {self._away}.")
        return standing

    @property
    def liar(self) -> Untrue | None:
        """What it has said that is not so whatever L1 says; None where L1 might take back that it is not."""
        return None if self._dropped is None or self._dropped.is_by_l1 else self._dropped

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """That the stream was dropped: told, and what is posted is shown as before."""
        if self._dropped is None:
            return ()
        said = f"The sequencer's stream is not shown any more, {self._dropped.code}: {self._dropped}"
        return (Reason(DROPPED, said, is_blocking=False),)

    def sequenced(self, outcome: Processed) -> None:
        """L1 holds one chunk more."""
        if self._dropped is None:
            try:
                self.told.posted(outcome)
            except Untrue as untrue:
                self._drop(untrue)

    async def run(self) -> None:
        """For ever, or until it is dropped."""
        pause = _FIRST_PAUSE_SECONDS
        bucket = TokenBucket(_MESSAGES_A_SECOND, _MESSAGES_AT_ONCE, trio.current_time)
        with self._scope:
            while self._dropped is None:
                try:
                    async with connected(self._url) as socket:
                        await self._read(socket, bucket)
                except Untrue as untrue:
                    self._drop(untrue)
                    return
                except Cut as cut:
                    pause = _FIRST_PAUSE_SECONDS if not self._away else min(2 * pause, _LONGEST_PAUSE_SECONDS)
                    self._cut(str(cut), pause)
                await trio.sleep(pause)

    def _cut(self, why: str, pause: float) -> None:
        self._away = why
        self.told.cut()
        self._log.warning("soft.away", why=why, next_in_seconds=pause)
        self._changed("")

    def _drop(self, untrue: Untrue) -> None:
        self._dropped = untrue
        self.told.forget()
        self._log.error("soft.dropped", code=untrue.code, why=str(untrue), source=without_secrets(self._url))
        self._changed("")
        self._scope.cancel()

    async def _read(self, socket: Socket, bucket: TokenBucket) -> None:
        await socket.send(_call(0, "catenary_status", {}))
        self._require_same_rollup((await _next(socket, bucket)).result)
        channels = self.told.channels()
        for place, channel in enumerate(channels, start=1):
            await socket.send(_call(place, "catenary_subscribe", self._subscription(channel)))
        waiting = dict(enumerate(channels, start=1))
        while True:
            came = await _next(socket, bucket)
            if came.id is None and came.method == NOTIFICATION:
                message: Message = _decoded(came.params, Message)
                self.told.heard(message)
                self._changed(message.channel)
            elif came.id in waiting:
                channel = waiting.pop(came.id)
                self.told.answered(channel, _decoded(came.result, Subscribed))
                self._opened(channel, not waiting)
            else:
                raise Untrue("MISFIT", "It answers what nobody has asked.")
            if self.told.channels() != channels:
                raise Cut("a market was listed, whose feeds are asked for now")

    def _opened(self, channel: str, is_last: bool) -> None:
        self._changed(channel)
        if is_last:
            self._away = ""
            self._log.info("soft.open", source=without_secrets(self._url))
            self._changed("")

    def _subscription(self, channel: str) -> dict[str, object]:
        since = self.told.since(channel)
        return {"channel": channel} if since is None else {"channel": channel, "epoch": since[0], "since": since[1]}

    def _require_same_rollup(self, answer: msgspec.Raw) -> None:
        status: Status = _decoded(answer, Status)
        at = self._deployment
        if (status.chain_id, status.rollup_address) != (at.chain_id, as_hex(at.bridge)):
            raise Untrue("OTHER_ROLLUP", "It is a node of another rollup.")


def _call(number: int, method: str, params: dict[str, object]) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).decode()


async def _next(socket: Socket, bucket: TokenBucket) -> _Answer:
    if wait_seconds := bucket.wait_seconds():
        await trio.sleep(wait_seconds)
    with trio.move_on_after(SILENT_SECONDS):
        text = await socket.receive()
        bucket.owe(1 + len(text) // _MESSAGE_CHARACTERS)
        came: _Answer = _decoded(msgspec.Raw(text.encode()), _Answer)
        if came.error is not None:
            # Too many ask it, or it has not got so far as to know a market.
            raise Cut("it refuses to tell")
        return came
    raise Cut(f"it has told nothing for {SILENT_SECONDS} s")


def _decoded(text: msgspec.Raw, kind: Any) -> Any:
    try:
        with recursion_bounded():
            return msgspec.json.decode(text, type=kind, strict=False, dec_hook=decode_value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise misfit(error) from None
