"""Whom an account's own channels and methods are told, where the operator keeps them private.

A WebSocket asks for a challenge and shows a key by signing it. What it has shown ends with it: whatever stands between
may share one HTTP connection among strangers, so none of those can show anything.
"""

import secrets
from collections.abc import Callable
from typing import Final

from prover.signing import signatures
from prover.signing.access import access_digest, may_see
from prover.signing.signed import signer_of
from prover.stf import constants, containers
from sequencer.api.rpc.errors import INVALID_PARAMS, NOT_STREAMING, PRIVATE, TOO_MANY_SUBSCRIPTIONS, CallError
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call, Session
from sequencer.api.rpc.limits import BAD_SIGNATURE_TOKENS
from sequencer.api.transport.http import LOCAL_NAMES
from sequencer.engine.engine import Engine
from sequencer.schema.access import AccessShown, AccessView, ChallengeView
from sequencer.schema.accounts import MarginCall
from sequencer.schema.answers import FillView
from sequencer.schema.params import NoParams
from sequencer.schema.values import as_hex
from sequencer.views.books import nameless_fill
from sequencer.views.margin_calls import nameless_call

CHALLENGE_MS: Final = 60_000
# Of one connection.
MOST_ACCOUNTS: Final = 256
_CHALLENGE_BYTES: Final = 32
FAMILIES: Final = ("account:", "orders:")


class Privacy:
    """The handlers, and who may be told. Where nothing is private, keys may be shown and change nothing."""

    def __init__(
        self,
        engine: Engine,
        domain: bytes,
        now_ms: Callable[[], int],
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.is_on = False
        self.hosts = LOCAL_NAMES
        self._engine = engine
        self._domain = domain
        self._now_ms = now_ms
        self._draw = draw

    @method(
        "catenary_challenge",
        "What is to be signed on this WebSocket to show a key of an account; for a minute.",
        errors=(NOT_STREAMING,),
    )
    async def challenge(self, params: NoParams, call: Call) -> ChallengeView:
        """The newest one of a connection counts."""
        session = _streaming(call)
        session.challenge = self._draw(_CHALLENGE_BYTES)
        session.challenge_ends_ms = self._now_ms() + CHALLENGE_MS
        return ChallengeView(as_hex(session.challenge), session.challenge_ends_ms)

    @method(
        "catenary_access",
        "Shows a key of an account's owner, or of an agent, by a signed challenge of this WebSocket.",
        errors=(NOT_STREAMING, PRIVATE, TOO_MANY_SUBSCRIPTIONS),
    )
    async def access(self, params: AccessShown, call: Call) -> AccessView:
        """Another connection's challenge, an old one, or one that was signed for another node's name shows nothing."""
        session = _streaming(call)
        if params.host.lower() not in self.hosts:
            raise CallError(PRIVATE, "The name that was signed is not one of this node's.", self._data(params.account))
        if not session.challenge or self._now_ms() > session.challenge_ends_ms:
            raise CallError(PRIVATE, "Ask for a challenge first; it stands for a minute.", self._data(params.account))
        if params.account not in session.shown and len(session.shown) >= MOST_ACCOUNTS:
            raise CallError(TOO_MANY_SUBSCRIPTIONS, data={"most": MOST_ACCOUNTS})
        try:
            compact = signatures.compact(bytes(params.signature))
        except ValueError as error:
            raise CallError(INVALID_PARAMS, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        given = params.account, params.host, session.challenge, session.challenge_ends_ms
        signer = signer_of(access_digest(self._domain, *given), compact)
        if not self._may_see(params.account, signer):
            session.owe(BAD_SIGNATURE_TOKENS)
            told = {**self._data(params.account), "recovered": as_hex(signer)}
            raise CallError(PRIVATE, "The signature is neither the owner's nor an agent's.", told)
        session.shown[params.account] = signer
        return AccessView(params.account, as_hex(signer))

    def admit(self, account: int, session: Session) -> None:
        """CallError PRIVATE where a connection has shown no key that may see an account now, or there is no account."""
        if self.is_on and not self._may_see(account, session.shown.get(account, containers.NOBODY)):
            raise CallError(PRIVATE, data=self._data(account))

    def admit_to_channel(self, channel: str, session: Session) -> None:
        """The same of a channel, which is an account's own or anybody's."""
        prefix, colon, key = channel.partition(":")
        if self.is_on and prefix + colon in FAMILIES and key.isascii() and key.isdigit() and len(key) <= 8:
            self.admit(int(key), session)

    def fill_told(self, fill: FillView) -> FillView:
        """A fill as everybody is told of it."""
        return nameless_fill(fill) if self.is_on else fill

    def call_told(self, call: MarginCall) -> MarginCall:
        """A margin call as everybody is told of it; its own account is told whole, on its own channel."""
        return nameless_call(call) if self.is_on else call

    def may_see(self, account: int, session: Session) -> bool:
        """Whether a connection is told what is an account's alone."""
        return not self.is_on or self._may_see(account, session.shown.get(account, containers.NOBODY))

    def _may_see(self, account: int, signer: bytes) -> bool:
        # Fees and insurance accounts are everybody's affair.
        return account < constants.RESERVED_ACCOUNTS or may_see(self._engine.account(account), signer, self._now_ms())

    def _data(self, account: int) -> dict[str, int]:
        return {"account": account}


def _streaming(call: Call) -> Session:
    if call.session.subscriber is None:
        raise CallError(NOT_STREAMING)
    return call.session
