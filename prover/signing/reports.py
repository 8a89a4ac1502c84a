"""An oracle's signed message: what one signer says of one time, and the tick that a quorum of them makes."""

from collections.abc import Callable

import msgspec

from prover.signing import operations
from prover.stf import constants, signatures


class Report(msgspec.Struct, frozen=True):
    """What one oracle signer says of one grid time: ticks and ppb an hour by market, and its 64-byte signature."""

    time_ms: int
    signer_index: int
    prices_ticks: tuple[int, ...]
    premiums_ppb: tuple[int, ...]
    signature: bytes


def tick_digest(domain: bytes, time: int, prices: list[int], premiums: list[int]) -> bytes:
    """The 32 bytes that an oracle signer signs; both lists have sixteen entries, zero where there is no market."""
    return signatures.digest(domain, signatures.tick_hash(time, prices, premiums))


def report_digest(domain: bytes, time_ms: int, prices_ticks: tuple[int, ...], premiums_ppb: tuple[int, ...]) -> bytes:
    """The 32 bytes that a signer signs; markets that do not exist are zero."""
    return tick_digest(domain, time_ms, _padded(prices_ticks), _padded(premiums_ppb))


def signed_report(
    domain: bytes,
    sign: Callable[[bytes], bytes],
    time_ms: int,
    signer_index: int,
    prices_ticks: list[int],
    premiums_ppb: list[int],
) -> Report:
    """One signer's report; `sign` makes 64 compact bytes of a digest."""
    prices, premiums = tuple(prices_ticks), tuple(premiums_ppb)
    return Report(time_ms, signer_index, prices, premiums, sign(report_digest(domain, time_ms, prices, premiums)))


def assembled(reports: list[Report]) -> bytes:
    """The tick operation of reports of one time, signers strictly increasing."""
    assert [report.signer_index for report in reports] == sorted({report.signer_index for report in reports})
    first = reports[0]
    rows = [
        (report.signer_index, _padded(report.prices_ticks), _padded(report.premiums_ppb), report.signature)
        for report in reports
    ]
    return operations.tick_bytes(first.time_ms, len(first.prices_ticks), rows)


def _padded(values: tuple[int, ...]) -> list[int]:
    return [*values, *([0] * (constants.MARKETS - len(values)))]
