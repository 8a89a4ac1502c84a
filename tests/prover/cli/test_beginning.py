"""How a challenger begins: one L1 node of two that fails or lies neither ends it nor chooses what it begins with."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Unavailable, L1WrongChain
from l1_bridge.client.options import L1Options
from l1_bridge.client.reading import L1Reader
from prover.cli import beginning
from prover.cli.running import EXIT_L1, EXIT_USAGE, CommandFailed
from prover.contracts import deployment
from prover.contracts.deployment import WrongContracts
from tests.l1_bridge.http_proxy import answering
from tests.l1_bridge.l1_nodes import L1Node
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.liars import selector
from tests.prover.challenger.runs import Hanging, honest
from tests.prover.cli.conftest import Ended
from tests.prover.cli.test_main import command
from tests.prover.l1_faults import Tamper, Tampering
from tests.prover.world import World

CHAIN = 31_337


def another_chain(method: str, params: list[Any], result: Any) -> Any:
    """A node that says it serves another chain."""
    return "0x1" if method == "eth_chainId" else result


def another_code(method: str, params: list[Any], result: Any) -> Any:
    """A node that shows other code wherever some stands."""
    return "0x6001" if method == "eth_getCode" and result != "0x" else result


def no_code(method: str, params: list[Any], result: Any) -> Any:
    """A node that denies the bridge."""
    return "0x" if method == "eth_getCode" else result


def answering_a_call(name: str, answer: str) -> Tamper:
    """A node that answers one view of the bridge with this."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        return answer if method == "eth_call" and params[0]["data"].startswith(selector(name)) else result

    return tamper


def down(method: str, params: list[Any], result: Any) -> Any:
    """A node that nobody reaches."""
    raise L1Unavailable("down") from None


def began_in(number: int) -> Tamper:
    """A node that denies all older code."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        is_old = method == "eth_getCode" and params[1] != "latest" and int(params[1], 16) < number
        return "0x" if is_old else result

    return tamper


@asynccontextmanager
async def asked(url: str, *transports: httpx.AsyncBaseTransport) -> AsyncIterator[list[L1Client]]:
    """A challenger's clients of these nodes, told which chain it is."""
    async with AsyncExitStack() as stack:
        clients = []
        for transport in transports:
            limit = 0.3 if isinstance(transport, Hanging) else PATIENCE_SECONDS
            options = L1Options(chain_id=CHAIN, attempts=1, timeout_seconds=limit)
            clients.append(L1Client(url, options, transport=transport))
            stack.push_async_callback(clients[-1].close)
        yield clients


LIARS: dict[str, Callable[[], httpx.AsyncBaseTransport]] = {
    "another chain": lambda: Tampering(another_chain),
    "another code": lambda: Tampering(another_code),
    "no code": lambda: Tampering(no_code),
    "a referee that is none": lambda: Tampering(answering_a_call("REFEREE", "0x" + "ff" * 32)),
    "another referee": lambda: Tampering(answering_a_call("REFEREE", "0x" + "00" * 31 + "07")),
    "another token": lambda: Tampering(answering_a_call("TOKEN", "0x" + "00" * 31 + "07")),
    "another domain": lambda: Tampering(answering_a_call("DOMAIN_SEPARATOR", "0x" + "11" * 32)),
    "no domain": lambda: Tampering(answering_a_call("DOMAIN_SEPARATOR", "0x")),
    "down": lambda: Tampering(down),
    "hanging": Hanging,
}


@pytest.mark.trio
@pytest.mark.parametrize("liar", LIARS)
@pytest.mark.parametrize("at", [0, 1], ids=["first", "second"])
async def test_one_of_two_l1_nodes_that_fails_or_lies_ends_no_start(
    node_world: World, node: L1Node, liar: str, at: int
) -> None:
    nodes: list[httpx.AsyncBaseTransport] = [Tampering(honest)]
    nodes.insert(at, LIARS[liar]())
    async with asked(node.url, *nodes) as given:
        with structlog.testing.capture_logs() as lines:
            clients, found = await beginning.begin(given, node_world.bridge.address, 0.01, True)
        # Whoever shows the rollup is followed first, and the other one is still asked later.
        assert clients == [given[1 - at], given[at]]
        assert found == await deployment.read(given[1 - at], node_world.bridge.address)
    assert [line["event"] in ("l1_away", "l1_contradicts") for line in lines] == [True]
    assert found.token == node_world.token


@pytest.mark.trio
@pytest.mark.parametrize(
    ("liar", "error"),
    [("another chain", L1WrongChain), ("no code", WrongContracts), ("a referee that is none", L1Unavailable)],
)
async def test_what_the_only_node_says_or_all_of_them_ends_it(
    node_world: World, node: L1Node, liar: str, error: type[Exception]
) -> None:
    for count in (1, 2):
        async with asked(node.url, *(LIARS[liar]() for _ in range(count))) as given:
            # The last one is no verdict about the rollup: without `once` it is waited for.
            with pytest.raises(error):
                await beginning.begin(given, node_world.bridge.address, 0.01, error is L1Unavailable)


@pytest.mark.trio
async def test_a_liar_beside_a_node_that_is_away_is_not_believed_either(node_world: World, node: L1Node) -> None:
    asked_for = 0

    def back_later(method: str, params: list[Any], result: Any) -> Any:
        nonlocal asked_for
        asked_for += 1
        if asked_for <= 3:
            raise L1Unavailable("down") from None
        return result

    async with asked(node.url, Tampering(no_code), Tampering(back_later)) as given:
        with trio.fail_after(PATIENCE_SECONDS), structlog.testing.capture_logs() as lines:
            clients, _ = await beginning.begin(given, node_world.bridge.address, 0.01, False)
        assert clients == [given[1], given[0]]
    assert sum(line["event"] == "l1_contradicts" for line in lines) == 4


@pytest.mark.trio
async def test_two_nodes_that_show_another_rollup_each_are_told(
    node_world: World, node: L1Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = deployment.read

    async def forged(client: L1Client, bridge: bytes) -> deployment.Deployment:
        found = await read(client, bridge)
        return found if client is given[0] else msgspec.structs.replace(found, token=bytes(20))

    monkeypatch.setattr(deployment, "read", forged)
    async with asked(node.url, Tampering(honest), Tampering(honest)) as given:
        with structlog.testing.capture_logs() as lines:
            clients, found = await beginning.begin(given, node_world.bridge.address, 0.01, True)
    assert (clients, found.token) == (given, node_world.token)
    assert [line["event"] for line in lines] == ["l1_contradicts"]


@pytest.mark.trio
async def test_a_challenger_begins_reading_in_the_latest_block_that_a_node_says(
    node_world: World, node: L1Node, client: L1Client
) -> None:
    bridge = node_world.bridge.address
    began = await deployment.first_block(client, bridge)
    newest = (await client.newest_block()).number
    assert 0 < began < newest
    for late in (0, began, newest):
        for order in (1, -1):
            async with asked(node.url, *[Tampering(began_in(late)), Tampering(honest)][::order]) as given:
                assert await beginning.first_block(given, bridge) == max(began, late)
    async with asked(node.url, Tampering(down), Tampering(honest)) as given:
        assert await beginning.first_block(given, bridge) == began
    async with asked(node.url, Tampering(down)) as given:
        with pytest.raises(L1Unavailable):
            await beginning.first_block(given, bridge)


@pytest.mark.trio
async def test_where_all_nodes_keep_no_old_state_the_block_has_to_be_said(
    node_world: World, node: L1Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def code(client: L1Reader, address: bytes, block: object = "latest") -> bytes:
        raise L1Rejected(-32000, "missing trie node")

    monkeypatch.setattr(L1Reader, "code", code)
    async with asked(node.url, Tampering(honest), Tampering(honest)) as given:
        with pytest.raises(CommandFailed, match=r"missing trie node.*--from-block") as failed:
            await beginning.first_block(given, node_world.bridge.address)
    assert failed.value.exit_code == EXIT_L1


@pytest.mark.trio
@pytest.mark.parametrize("once", [False, True])
async def test_a_challenger_waits_for_an_l1_that_is_away_and_once_does_not(
    autojump_clock: trio.testing.MockClock, once: bool
) -> None:
    times: list[float] = []

    async def chain_id() -> int:
        times.append(trio.current_time())
        if len(times) < 8:
            raise L1Unavailable("nobody listens")
        return 7

    with structlog.testing.capture_logs() as lines:
        if once:
            with pytest.raises(L1Unavailable):
                await beginning.awaited(chain_id, 1.0, once)
        else:
            assert await beginning.awaited(chain_id, 1.0, once) == 7
    assert len(lines) == (0 if once else 7)
    assert once or max(later - at for at, later in itertools.pairwise(times)) == 30


@pytest.mark.trio
@pytest.mark.parametrize("tamper", [another_chain, no_code, answering_a_call("REFEREE", "0x11")])
async def test_the_command_ends_well_beside_a_liar(
    node_world: World, node: L1Node, tmp_path: Path, quietly: Ended, tamper: Tamper
) -> None:
    bridge = "0x" + node_world.bridge.address.hex()
    transport = Tampering(tamper)

    async def respond(body: bytes) -> tuple[int, bytes]:
        request = httpx.Request("POST", node.url, content=body, headers={"Content-Type": "application/json"})
        return 200, (await transport.handle_async_request(request)).content

    async with answering(respond) as url:
        for at, urls in enumerate(((url, node.url), (node.url, url))):
            options = ("--second-l1-rpc-url", urls[1], "--chain-id", str(CHAIN), "--watch")
            code, said, stderr = await quietly(*command(urls[0], bridge, tmp_path / str(at), *options))
            assert ("started" in [line["event"] for line in said], code) == (True, 0), stderr
        # Nobody may choose the chain by being asked first.
        code, _, stderr = await quietly(*command(url, bridge, tmp_path, "--second-l1-rpc-url", node.url))
        assert (code, "goes with --chain-id" in stderr) == (EXIT_USAGE, True)
    await transport.aclose()
