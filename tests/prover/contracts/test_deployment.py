"""A rollup as its node remembers it."""

import json

import pytest

from prover.contracts.deployment import Deployment, DeploymentRecord

RECORD = DeploymentRecord(Deployment(31_337, b"\x01" * 20, b"\x02" * 20, b"\x03" * 20), b"genesis")


def test_a_record_comes_back_as_it_was() -> None:
    assert DeploymentRecord.decode(RECORD.encode()) == RECORD


@pytest.mark.parametrize(
    "changes",
    [{"chain_id": "1"}, {"rollup_address": "zz"}, {"token_address": "0102"}, {"genesis": None}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_record_is_none(changes: dict[str, object]) -> None:
    written = json.loads(RECORD.encode())
    assert DeploymentRecord.decode(json.dumps(written).encode()) == RECORD
    with pytest.raises(ValueError, match=r"."):
        DeploymentRecord.decode(json.dumps(written | changes).encode())


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_what_is_no_record_at_all(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        DeploymentRecord.decode(line)
