"""An oracle's signed report, and the tick that a quorum of them makes."""

from functools import partial

import pytest

from prover.signing import operations
from prover.signing.reports import Report, assembled, report_digest, signed_report, tick_digest
from prover.signing.signatures import sign
from prover.stf import constants
from tests.twins.venue import KEYS, NOW

DOMAIN = b"\x05" * 32
PRICES, PREMIUMS = [600_000, 300_000, 1_500_000], [10, -20, 30]
NOTHING = [0] * (constants.MARKETS - 3)


def reported(index: int) -> Report:
    """What one signer says."""
    return signed_report(DOMAIN, partial(sign, KEYS[index]), NOW, index, PRICES, PREMIUMS)


def test_a_report_is_signed_with_zeroes_for_markets_that_do_not_exist() -> None:
    digest = tick_digest(DOMAIN, NOW, PRICES + NOTHING, PREMIUMS + NOTHING)
    assert report_digest(DOMAIN, NOW, tuple(PRICES), tuple(PREMIUMS)) == digest
    assert reported(2).signature == sign(KEYS[2], digest)
    assert report_digest(DOMAIN, NOW + 1, tuple(PRICES), tuple(PREMIUMS)) != digest


def test_a_quorum_of_reports_is_one_tick() -> None:
    rows = [(index, PRICES + NOTHING, PREMIUMS + NOTHING, reported(index).signature) for index in (0, 2, 3)]
    assert assembled([reported(index) for index in (0, 2, 3)]) == operations.tick_bytes(NOW, 3, rows)


@pytest.mark.parametrize("signers", [(1, 0), (1, 1)])
def test_reports_out_of_order_are_no_tick(signers: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError):
        assembled([reported(index) for index in signers])
