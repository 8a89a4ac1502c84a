"""What can go wrong between a program and a node: one line, one name, one stable exit status."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

# A node that always says "in no time" is not asked for ever.
_SHORTEST_WAIT_MS: Final = 50


class ClientError(Exception):
    """The base: `status` is the process's exit status, `name` what programs read, `data` what they may need."""

    status: ClassVar[int] = 1
    name: ClassVar[str] = "FAILED"

    def __init__(self, sentence: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.data = data or {}


class NodeUnreachable(ClientError):
    """No answer from the node, or one that is no answer; whether a submitted operation was applied is then unknown."""

    status = 10
    name = "NODE_UNREACHABLE"


class Misfit(NodeUnreachable):
    """The node answers, and not as the schema says: it is of another version."""


class Rejected(ClientError):
    """The node or the law refused; `code` and `rejection` are theirs."""

    status = 14
    name = "REJECTED"

    def __init__(self, code: int, rejection: str, sentence: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(f"{rejection}: {sentence}", {**(data or {}), "code": code, "rejection": rejection})
        self.code = code
        self.rejection = rejection


def rejection(error: Mapping[str, Any]) -> Rejected:
    """A JSON-RPC error object as the exception that it means."""
    code = error.get("code")
    found = error.get("data")
    data: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
    sentence = str(error.get("message", "the node gave no reason"))
    return Rejected(code if isinstance(code, int) else -32603, str(data.pop("name", "ERROR")), sentence, data)


def wait_seconds(rejected: Rejected) -> float | None:
    """How long a node asks to wait that has not begun the call; None if it was refused for another reason."""
    wait_ms = rejected.data.get("retry_after_ms")
    if rejected.rejection != "RATE_LIMITED" or type(wait_ms) is not int:
        return None
    return max(wait_ms, _SHORTEST_WAIT_MS) / 1_000
