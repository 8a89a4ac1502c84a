"""A rollup as its node remembers it, and the token that it may be deployed over."""

import json
from types import SimpleNamespace
from typing import cast

import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Reverted
from l1_bridge.client.keys import development_key
from prover.contracts.deployment import (
    DEVNET_PARAMETERS,
    Deployment,
    DeploymentRecord,
    WrongContracts,
    deploy_bridge,
)
from tests.prover.world import GENESIS

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


def told(answer: bytes | Exception) -> L1Client:
    """An L1 whose every contract answers the same."""

    async def eth_call(to: bytes, data: bytes) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return cast(L1Client, SimpleNamespace(eth_call=eth_call))


@pytest.mark.trio
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((18).to_bytes(32, "big"), "token at 0x0303.* has 18 decimals, where amounts here have 6"),
        (b"", "does not say how many decimals"),
        (L1Reverted("no such function"), "does not say how many decimals"),
    ],
)
async def test_a_token_of_other_decimals_gets_no_bridge(answer: bytes | Exception, words: str) -> None:
    with pytest.raises(WrongContracts, match=words):
        await deploy_bridge(told(answer), development_key(0), GENESIS, DEVNET_PARAMETERS, b"\x03" * 20, b"\x02" * 20)


@pytest.mark.trio
async def test_an_l1_that_does_not_answer_has_said_nothing_of_the_token() -> None:
    client, key = told(L1Rejected(429, "too many")), development_key(0)
    with pytest.raises(L1Rejected, match="too many"):
        await deploy_bridge(client, key, GENESIS, DEVNET_PARAMETERS, b"\x03" * 20, b"\x02" * 20)
