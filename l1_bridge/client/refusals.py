"""What a node's error object means: the contract's verdict, the node's own refusal, or "ask again".

JSON-RPC has no code for either, and every node its own words: whoever takes a rate limit for a verdict of the bridge
acts on what nobody said.
"""

from typing import Any, Final

from l1_bridge.client.errors import L1Busy, L1Error, L1Pruned, L1Rejected, L1Reverted, revert_reason

_REVERT_CODE: Final = 3
_INTERNAL_CODE: Final = -32603
# What nodes that have let go of old blocks say since EIP-4444.
_PRUNED_CODE: Final = 4444
_PRUNED_WORDS: Final = ("pruned history", "history has been pruned")
# HTTP's own number put into the body, EIP-1474's "limit exceeded" and "resource unavailable", and a balancer's.
_BUSY_CODES: Final = frozenset((429, 502, 503, 504, -32005, -32002, -32097))
_RATE_WORDS: Final = ("rate limit", "ratelimit", "too many requests", "per second", "throttl", "compute units")
# Also what a node says of a block that its neighbours behind the same address have already.
_BUSY_WORDS: Final = (
    *_RATE_WORDS,
    "limit exceeded",
    "capacity",
    "try again",
    "timed out",
    "timeout",
    "temporar",
    "overload",
    "busy",
    "unavailable",
    "unhealthy",
    "no backend",
    "bad gateway",
    "upstream",
    "connection",
    "syncing",
    "header not found",
    "block not found",
    "unknown block",
    "header for hash not found",
)
# What bounds the width of one question: asked again unchanged it is refused again.
_WIDTH_WORDS: Final = ("range", "more than", "too large", "too many results", "too many logs", "exceeds", "size")
# Whatever was executed here is an answer, also where its words sound like a busy node's.
_FINAL_WORDS: Final = ("nonce", "underpriced", "insufficient funds", "already known", "gas")


def refusal(method: str, error: Any) -> L1Error:
    """The error to raise for JSON-RPC's error object, or for what stands in its place.

    L1Reverted where a contract said it, L1Busy where the same request may be answered a moment later, L1Pruned where
    it never will be, since it is about what the node has let go of; else L1Rejected.
    """
    if not isinstance(error, dict):
        return L1Rejected(_INTERNAL_CODE, str(error))
    code = error.get("code")
    code = code if isinstance(code, int) else _INTERNAL_CODE
    text = str(error.get("message", "no reason given"))
    raw = _raw(error.get("data"))
    reason = revert_reason(raw) or text
    words = text.lower()
    if code == _REVERT_CODE or "execution reverted" in words or "vm exception" in words:
        # Some nodes keep the data to themselves, and the reason stands behind these words alone.
        return L1Reverted(reason.removeprefix("execution reverted: "), raw)
    if code == _PRUNED_CODE or any(word in words for word in _PRUNED_WORDS):
        return L1Pruned(code, reason, raw)
    if is_busy(method, code, words):
        return L1Busy(f"{text} (code {code})")
    return L1Rejected(code, reason, raw)


def is_busy(method: str, code: int, words: str) -> bool:
    """Whether the same request may be answered a moment later; `words` is the message in small letters."""
    if any(word in words for word in _RATE_WORDS) or code == 429:
        return True
    if method == "eth_sendRawTransaction" and any(word in words for word in _FINAL_WORDS):
        return False
    # Before there is one: as long as finality stalls it is asked for in vain.
    if "finalized block" in words or "safe block" in words:
        return False
    if method == "eth_getLogs" and any(word in words for word in _WIDTH_WORDS):
        return False
    return code in _BUSY_CODES or any(word in words for word in _BUSY_WORDS) or words == "internal error"


def _raw(data: Any) -> bytes:
    if not isinstance(data, str) or not data.startswith("0x"):
        return b""
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return b""
