"""Any wallet can trade: the node's typed data, signed by viem, ethers and eth-account, is taken by a real node."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from eth_account import Account

from prover.signing.signatures import address_of
from prover.state import genesis
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from tests.sequencer.node_process import Node, funded, node_inside
from tests.sequencer.node_world import DOLLAR, key
from tests.sequencer.typed_data.npm import NpmWallets

Signs = Callable[[bytes, dict[str, Any]], str]


def by_eth_account(private_key: bytes, typed_data: dict[str, Any]) -> str:
    """A signature by eth-account."""
    signed = Account.sign_typed_data(private_key, full_message=typed_data)
    return "0x" + bytes(signed.signature).hex()


LIBRARIES = ("eth-account", "viem", "ethers")


@pytest.fixture
def signs(library: str, request: pytest.FixtureRequest) -> Signs:
    """How the library signs."""
    if library == "eth-account":
        return by_eth_account
    sign: NpmWallets = request.getfixturevalue("other_wallets")
    return lambda private_key, typed_data: str(sign(private_key, [typed_data])[0][library]["signature"])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, int, bytes]]:
    with node_inside(tmp_path_factory.mktemp("typed-data")) as process:
        trader = SigningAccount(key(0), process.domain, wall_clock_ms)
        trio.run(funded, process, [trader], 10_000 * DOLLAR)
        yield process, trader.account, key(0)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_node_takes_an_order_that_another_library_signed(node: tuple[Node, int, bytes], signs: Signs) -> None:
    process, account, private_key = node
    wanted = {"kind": "order", "account": account, "market": 0, "side": 0, "size_lots": 1_000, "post_only": True}
    price = process.client.call("catenary_markets")[0]["price_ticks"] * 99 // 100
    answer = process.client.call("catenary_typedData", operation={**wanted, "limit_price_ticks": price})
    order = {name: value for name, value in answer["operation"].items() if name != "kind"}
    signature = signs(private_key, answer["typed_data"])
    taken = process.client.call("catenary_order", order=order, signature=signature)
    assert taken["status"] == "resting"
    # The same signature under another price is nobody's.
    code, name, data = process.client.refused(
        "catenary_order", order={**order, "limit_price_ticks": price - 1}, signature=signature
    )
    assert (code, name) == (-33_006, "BAD_SIGNATURE")
    assert set(data) == {"recovered", "expected_owner", "digest"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_node_takes_a_cancel_all_that_another_library_signed(node: tuple[Node, int, bytes], signs: Signs) -> None:
    process, account, private_key = node
    answer = process.client.call("catenary_typedData", operation={"kind": "cancel_all", "account": account})
    request = {name: value for name, value in answer["operation"].items() if name != "kind"}
    signature = signs(private_key, answer["typed_data"])
    assert process.client.call("catenary_cancelAll", request=request, signature=signature)["code"] == 0
    assert process.client.call("catenary_openOrders", account=account) == []


def sent(process: Node, method: str, sign: Callable[[dict[str, Any]], str], **wanted: Any) -> Any:
    """A request that the node drafts, a wallet signs and the node takes."""
    answer = process.client.call("catenary_typedData", operation=wanted)
    request = {name: value for name, value in answer["operation"].items() if name != "kind"}
    return process.client.call(method, request=request, signature=sign(answer["typed_data"]))


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_agent_that_a_wallet_trusts_trades_and_cancels(node: tuple[Node, int, bytes], signs: Signs) -> None:
    process, account, private_key = node
    agent = key(33)
    ends = wall_clock_ms() + 3_600_000
    grant = {"agent_index": 1, "agent": "0x" + address_of(agent).hex(), "agent_expires_at_ms": ends, "last_slot": 20}

    def by_owner(typed_data: dict[str, Any]) -> str:
        return signs(private_key, typed_data)

    def by_agent(typed_data: dict[str, Any]) -> str:
        return signs(agent, typed_data)

    granted = sent(process, "catenary_setAgent", by_owner, kind="set_agent", account=account, **grant)
    assert (granted["code"], granted["account_opened"]) == (0, None)
    seen = process.client.call("catenary_account", account=account)
    trusted = {"address": grant["agent"], "expires_at_ms": ends, "first_slot": 0, "last_slot": 20}
    assert seen["agents"] == [None, trusted]

    price = process.client.call("catenary_markets")[0]["price_ticks"] * 99 // 100
    wanted = {"kind": "order", "account": account, "market": 0, "side": 0, "size_lots": 1_000, "slot": 7}
    answer = process.client.call("catenary_typedData", operation={**wanted, "limit_price_ticks": price})
    order = {name: value for name, value in answer["operation"].items() if name != "kind"}
    signature = by_agent(answer["typed_data"])
    assert process.client.call("catenary_order", order=order, signature=signature)["status"] == "resting"
    assert sent(process, "catenary_cancel", by_agent, kind="cancel", account=account, slot=7)["code"] == 0
    assert process.client.call("catenary_openOrders", account=account) == []

    # Left out, the agent is dismissed.
    sent(process, "catenary_setAgent", by_owner, kind="set_agent", account=account, agent_index=1)
    assert process.client.call("catenary_account", account=account)["agents"] == [None, None]
    with pytest.raises(AssertionError, match="BAD_SIGNATURE"):
        sent(process, "catenary_cancel", by_agent, kind="cancel", account=account, slot=8)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_wallet_bounds_its_leverage_and_opens_an_account_beside_it(
    node: tuple[Node, int, bytes], signs: Signs
) -> None:
    process, account, private_key = node

    def by_owner(typed_data: dict[str, Any]) -> str:
        return signs(private_key, typed_data)

    sent(process, "catenary_setLeverage", by_owner, kind="set_leverage", account=account, initial_ppm=100_000)
    before = process.client.call("catenary_account", account=account)
    assert before["initial_ppm"] == 100_000
    new = {"kind": "transfer", "account": account, "amount_micros": str(50 * DOLLAR), "to_account": 16_777_215}
    foreseen = process.client.call("catenary_preview", operation=new)
    opened = sent(process, "catenary_transfer", by_owner, **new)
    index = opened["account_opened"]
    owned = process.client.call("catenary_accounts", owner=before["owner"])
    assert index in owned
    assert foreseen["other"] == foreseen["other_after"]["account"] == index
    fees = 1 * DOLLAR + genesis.DEVNET_POSTING_FEE_MICROS
    assert (foreseen["other_before"], foreseen["fees_micros"]) == (None, str(fees))
    second = process.client.call("catenary_account", account=index)
    assert (second["owner"], second["settled_micros"], second["maturing"]) == (before["owner"], str(49 * DOLLAR), [])
    sent(process, "catenary_setLeverage", by_owner, kind="set_leverage", account=account)
    assert process.client.call("catenary_account", account=account)["initial_ppm"] == 0
