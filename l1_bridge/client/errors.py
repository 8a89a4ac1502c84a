"""What can go wrong between us and an L1 node, each with one sentence."""

from collections.abc import Sequence

from l1_bridge.contracts.abi import decode

_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")


class L1Error(Exception):
    """Anything that went wrong between us and the L1; one sentence."""


class L1Unavailable(L1Error):
    """The node could not be reached or answered nonsense, after all retries: try again later."""


class L1TooLarge(L1Unavailable):
    """The answer passes this client's limit: asking the same again is useless, asking for less may help."""


class L1NoAnswer(L1Unavailable):
    """The node took the request and gave no answer in time."""


class L1Busy(L1Unavailable):
    """The node says, in whatever layer, that it cannot answer now: a rate limit, a header that it still lacks."""


class L1Unconfirmed(L1Unavailable):
    """The node fell silent after a transaction was sent, which may be mined. `transaction_hashes`: all that were."""

    def __init__(self, transaction_hashes: Sequence[bytes], why: object) -> None:
        super().__init__(f"sent {', '.join('0x' + item.hex() for item in transaction_hashes)}, then: {why}")
        self.transaction_hashes = tuple(transaction_hashes)


class L1Rejected(L1Error):
    """The node said no, or the contract. `code` is JSON-RPC's, `reason` the decoded revert text, `data` the raw.

    Only L1Reverted is a verdict of the contract; anything else says something about the node, or about the request.
    """

    def __init__(self, code: int, reason: str, data: bytes = b"") -> None:
        super().__init__(f"{reason} (code {code})")
        self.code = code
        self.reason = reason
        self.data = data


class L1Reverted(L1Rejected):
    """The contract said no: it ran, and reverted."""

    def __init__(self, reason: str, data: bytes = b"") -> None:
        super().__init__(3, reason, data)


class L1Pruned(L1Rejected):
    """The node does not have what is so old any more: another one, or another source of history, has to say it."""


class L1WrongChain(L1Error):
    """The node serves another chain than the one asked for."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"the L1 node serves chain {actual}, not chain {expected}")
        self.expected = expected
        self.actual = actual


class L1ReorgTooDeep(L1Error):
    """The chain reorganised deeper than the follower remembers: rebuild from an older block."""


class L1Timeout(L1Error):
    """The transaction was not confirmed in time; it may still be mined. `transaction_hashes` are all that were sent.

    Where there are none, nothing was sent, and nothing will be mined.
    """

    def __init__(self, transaction_hashes: Sequence[bytes], why: str = "") -> None:
        sent = ", ".join("0x" + item.hex() for item in transaction_hashes) or "nothing was sent"
        super().__init__(f"not confirmed in time: {sent}" + (f"; {why}" if why else ""))
        self.transaction_hashes = tuple(transaction_hashes)
        self.why = why


class L1Superseded(L1Timeout):
    """Another transaction of the same key took this one's nonce: it will not be mined unless the chain turns."""


def revert_reason(data: bytes) -> str:
    """Text of Error(string) or Panic(uint256) revert data; empty when it is neither."""
    try:
        if data[:4] == _ERROR_STRING:
            return str(decode(["string"], data[4:])[0])
        if data[:4] == _PANIC:
            return f"panic {decode(['uint256'], data[4:])[0]:#x}"
    except ValueError:
        return ""
    return ""
