"""Every error that a caller of the API may see: one stable code, one name, one sentence."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from prover.stf.codes import SENTENCE

LAW_BASE: Final = -33_000


class ApiError(msgspec.Struct, frozen=True):
    """One row of the error table; `sentence` is the JSON-RPC message, `name` stands in its data."""

    code: int
    name: str
    sentence: str


PARSE_ERROR: Final = ApiError(-32700, "PARSE_ERROR", "The message is not well-formed.")
INVALID_REQUEST: Final = ApiError(-32600, "INVALID_REQUEST", "The message is not a JSON-RPC 2.0 request.")
METHOD_NOT_FOUND: Final = ApiError(-32601, "METHOD_NOT_FOUND", "There is no such method; rpc.discover lists them.")
INVALID_PARAMS: Final = ApiError(-32602, "INVALID_PARAMS", "The parameters do not fit the method.")
INTERNAL: Final = ApiError(-32603, "INTERNAL", "The node failed on its own account; report the incident id.")

RATE_LIMITED: Final = ApiError(-32000, "RATE_LIMITED", "Too many calls; wait retry_after_ms.")
TOO_LARGE: Final = ApiError(-32001, "TOO_LARGE", "The message or its answer is larger than the node takes.")
TOO_MANY_SUBSCRIPTIONS: Final = ApiError(
    -32002, "TOO_MANY_SUBSCRIPTIONS", "The connection or the node has no room for another subscription."
)
BACKLOG: Final = ApiError(
    -32003,
    "BACKLOG",
    "Too much waits to be posted to L1, or L1 is too dear: only what lowers risk is taken. Or the fees of this "
    "operation do not pay for its bytes, and the operator bears no more of its account or of all today.",
)
SHUTTING_DOWN: Final = ApiError(-32004, "SHUTTING_DOWN", "The node is shutting down; the call was not started.")
NOT_READY: Final = ApiError(-32005, "NOT_READY", "The node is not ready yet; ask /ready.")
BATCH_TOO_LARGE: Final = ApiError(-32006, "BATCH_TOO_LARGE", "The batch holds more calls than the node takes.")
TIMEOUT: Final = ApiError(
    -32007, "TIMEOUT", "The call took too long; whether it was applied is unknown and must be asked."
)
NO_CHANNEL: Final = ApiError(-32008, "NO_CHANNEL", "There is no such channel.")
NOT_STREAMING: Final = ApiError(-32009, "NOT_STREAMING", "Subscriptions need a WebSocket at /ws.")
ALREADY_SUBSCRIBED: Final = ApiError(-32010, "ALREADY_SUBSCRIBED", "This connection already has the channel.")
NOT_SUBSCRIBED: Final = ApiError(-32011, "NOT_SUBSCRIBED", "This connection does not have the channel.")
FORBIDDEN_HOST: Final = ApiError(-32012, "FORBIDDEN_HOST", "The Host header is not one of this node's names.")
FORBIDDEN_ORIGIN: Final = ApiError(-32013, "FORBIDDEN_ORIGIN", "Pages of this origin may not call this node.")
NO_PATH: Final = ApiError(-32014, "NO_PATH", "There is nothing at this path.")
WRONG_METHOD: Final = ApiError(-32015, "WRONG_METHOD", "This path does not take this HTTP method.")
TOO_MANY_CONNECTIONS: Final = ApiError(-32016, "TOO_MANY_CONNECTIONS", "The node has no room for another connection.")
TOO_SLOW: Final = ApiError(-32017, "TOO_SLOW", "The request did not arrive whole in time.")
BAD_HTTP: Final = ApiError(-32018, "BAD_HTTP", "The bytes are not an HTTP/1.1 request or not a WebSocket handshake.")
LATE_REPORT: Final = ApiError(-32019, "LATE_REPORT", "The report's time has passed: it was dropped.")
REPEATED_REPORT: Final = ApiError(
    -32020, "REPEATED_REPORT", "This signer has reported for this time already; the first report stands."
)
NO_REPORTS: Final = ApiError(
    -32021, "NO_REPORTS", "This node signs its own devnet prices; started with --no-oracle it takes reports."
)
NOT_POSTABLE: Final = ApiError(
    -32022,
    "NOT_POSTABLE",
    "What is taken now might never be on L1: `reasons` say why, and /ready does; reading goes on.",
)
UNKNOWN_ORDER: Final = ApiError(
    -32023,
    "UNKNOWN_ORDER",
    "No such order was taken, or it is forgotten: of each account the newest 10,000 are known, and all that are open.",
)
CURSOR_GONE: Final = ApiError(
    -32024, "CURSOR_GONE", "Rows behind this cursor are no longer kept: begin anew, there is a gap."
)
CURSOR_UNKNOWN: Final = ApiError(
    -32025, "CURSOR_UNKNOWN", "The cursor is of no row of this list, or of one that was taken back: begin anew."
)
SIGNED_PRICES: Final = ApiError(
    -32026,
    "SIGNED_PRICES",
    "Prices here are what signers report; only a devnet that simulates its own moves one.",
)
PRIVATE: Final = ApiError(
    -32027,
    "PRIVATE",
    "This is told to who has shown, on the same WebSocket, a key of the account's owner or of an agent of his.",
)

STANDARD_ERRORS: Final = (PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL)
TRANSPORT_ERRORS: Final = (
    RATE_LIMITED,
    TOO_LARGE,
    TOO_MANY_SUBSCRIPTIONS,
    BACKLOG,
    SHUTTING_DOWN,
    NOT_READY,
    BATCH_TOO_LARGE,
    TIMEOUT,
    NO_CHANNEL,
    NOT_STREAMING,
    ALREADY_SUBSCRIBED,
    NOT_SUBSCRIBED,
    FORBIDDEN_HOST,
    FORBIDDEN_ORIGIN,
    NO_PATH,
    WRONG_METHOD,
    TOO_MANY_CONNECTIONS,
    TOO_SLOW,
    BAD_HTTP,
    LATE_REPORT,
    REPEATED_REPORT,
    NO_REPORTS,
    NOT_POSTABLE,
    UNKNOWN_ORDER,
    CURSOR_GONE,
    CURSOR_UNKNOWN,
    SIGNED_PRICES,
    PRIVATE,
)


def law_error(law_code: int) -> ApiError:
    """The row of a code of the law (never OK): -33000 minus the code."""
    assert law_code != 0, "an applied operation is no error"
    name, sentence = SENTENCE[law_code]
    return ApiError(LAW_BASE - law_code, name, sentence)


LAW_ERRORS: Final = tuple(law_error(code) for code in SENTENCE if code != 0)
ALL_ERRORS: Final = STANDARD_ERRORS + TRANSPORT_ERRORS + LAW_ERRORS


class CallError(Exception):
    """What a handler raises to refuse a call: a row of the table, a detail for people, data for programs."""

    def __init__(self, error: ApiError, detail: str = "", data: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail or error.sentence)
        self.error = error
        self.detail = detail
        self.data = dict(data or {})

    def body(self) -> dict[str, Any]:
        """The JSON-RPC error object."""
        message = f"{self.error.sentence} {self.detail}" if self.detail else self.error.sentence
        return {"code": self.error.code, "message": message, "data": {**self.data, "name": self.error.name}}
