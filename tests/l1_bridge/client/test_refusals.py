"""A contract's verdict, a node's refusal and "ask again" are told apart, whatever words a node has for them."""

from typing import Any

import pytest

from l1_bridge.client.errors import L1Busy, L1Pruned, L1Rejected, L1Reverted
from l1_bridge.client.refusals import refusal

ERROR_STRING = "0x08c379a0" + f"{32:064x}" + f"{12:064x}" + b"WRONG_PARENT".hex().ljust(64, "0")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": 3, "message": "execution reverted: WRONG_PARENT", "data": ERROR_STRING}, "WRONG_PARENT"),
        ({"code": -32000, "message": "execution reverted: WRONG_PARENT"}, "WRONG_PARENT"),
        ({"code": 3, "message": "execution reverted", "data": "0x"}, "execution reverted"),
        ({"code": -32015, "message": "VM Exception while processing transaction: revert"}, "VM Exception"),
    ],
)
def test_a_contract_that_ran_and_reverted_has_given_a_verdict(error: dict[str, Any], reason: str) -> None:
    found = refusal("eth_call", error)
    assert isinstance(found, L1Reverted)
    assert found.reason.startswith(reason)
    assert found.code == 3


@pytest.mark.parametrize(
    ("method", "code", "message"),
    [
        ("eth_call", 429, "Too Many Requests"),
        ("eth_call", 429, ""),
        ("eth_getLogs", -32005, "daily request count exceeded, request rate limited: rate limit"),
        ("eth_call", -32000, "header not found"),
        ("eth_call", -32000, "missing block: upstream does not have it"),
        ("eth_blockNumber", -32603, "Internal error"),
        ("eth_sendRawTransaction", -32000, "Your app has exceeded its compute units per second capacity"),
        ("eth_getLogs", -32002, "request timed out"),
        ("eth_getBlockByNumber", -32000, "pending block is not available: service temporarily unavailable"),
    ],
)
def test_a_node_that_is_busy_or_behind_is_asked_again(method: str, code: int, message: str) -> None:
    assert isinstance(refusal(method, {"code": code, "message": message}), L1Busy)


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("eth_getLogs", {"code": -32005, "message": "query returned more than 10000 results"}),
        ("eth_getLogs", {"code": -32000, "message": "block range is too wide: try again with 500"}),
        ("eth_sendRawTransaction", {"code": -32000, "message": "nonce too low: next nonce 4, tx nonce 3"}),
        ("eth_sendRawTransaction", {"code": -32000, "message": "replacement transaction underpriced, try again"}),
        ("eth_call", {"code": -32601, "message": "the method does not exist"}),
        ("eth_call", {"code": -32000, "message": "out of gas"}),
        ("eth_call", {"message": 7}),
        ("eth_call", "no"),
    ],
)
def test_what_would_be_refused_again_is_a_refusal_and_no_verdict(method: str, error: Any) -> None:
    found = refusal(method, error)
    assert type(found) is L1Rejected


@pytest.mark.parametrize("method", ["eth_getLogs", "eth_getBlockByNumber", "eth_call"])
def test_history_that_a_node_has_let_go_of_is_not_asked_for_again(method: str) -> None:
    for error in (
        {"code": 4444, "message": "pruned history unavailable: block 1 is before 9, the oldest that is kept"},
        {"code": -32000, "message": "Pruned history unavailable"},
    ):
        found = refusal(method, error)
        assert type(found) is L1Pruned
        assert found.code == error["code"]
