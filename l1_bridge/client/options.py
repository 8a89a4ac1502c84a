"""How a client meets its L1 node: patience, pages, fees and limits."""

import msgspec

# A full batch is 0.4 MB of hex: 64 MiB are 160 of them, and decoded they still fit a small machine.
_ANSWER_LIMIT_BYTES = 64 << 20


class L1Options(msgspec.Struct, frozen=True, kw_only=True):
    """With `chain_id` given, entering a client checks it. `max_fee_wei` per gas is never exceeded.

    silence_seconds: so long a node may answer nothing while a transaction is under way.
    """

    chain_id: int | None = None
    timeout_seconds: float = 20.0
    attempts: int = 5
    page_blocks: int = 1_000
    resubmit_seconds: float = 48.0
    silence_seconds: float = 120.0
    max_fee_wei: int = 500 * 10**9
    poll_seconds: float = 1.0
    answer_limit_bytes: int = _ANSWER_LIMIT_BYTES


DEFAULT_OPTIONS = L1Options()
