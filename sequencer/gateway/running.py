"""A gateway as a process: opens keys and venue, checks each grant, serves the port until a signal."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog
import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from l1_bridge.addresses import address_bytes, checksum_address
from l1_bridge.client.client import L1Client
from l1_bridge.client.options import L1Options
from prover.cli.keys import asked_password
from prover.cli.running import EXIT_BROKEN, EXIT_USAGE, CommandFailed, first_of, until_signal
from prover.telling import Output
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.transport.http import JSON_TYPE, Access, Answer
from sequencer.api.transport.port import HOST, ApiConfig, CannotListenError, Port, Surroundings
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import ClientError
from sequencer.gateway.entrance import Gateway
from sequencer.gateway.exchange import Exchange, Served
from sequencer.gateway.info import Info
from sequencer.gateway.nonces import Nonces
from sequencer.gateway.options import Options
from sequencer.gateway.streams import Streams
from sequencer.gateway.trader import Trader, identity
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.errors import BadInput
from sequencer.wallet.keys import Key, keystore_path, open_keystore
from sequencer.wallet.units import parse_duration
from sequencer.wallet.verified import Verified, WalletOptions
from sequencer.wallet.word.keeping import keeping_of


async def run_gateway(output: Output, options: Options) -> bool:
    """Serves until a signal; CommandFailed where it cannot begin."""
    try:
        async with until_signal():
            await _run(output, options)
    except* ClientError as group:
        error = first_of(group)
        raise CommandFailed(f"The gateway cannot go on: {error}.", getattr(error, "status", EXIT_BROKEN)) from None
    except* CannotListenError as group:
        raise CommandFailed(str(first_of(group))) from None
    return True


async def _run(output: Output, options: Options) -> None:
    directory = options.wallet_dir.expanduser()
    keys = _keys(options, directory)
    log = structlog.get_logger("gateway")
    wallet_options = WalletOptions(
        expected_rollup=options.rollup_address, warn=partial(log.warning, "gateway.warning"), tell=log.info
    )
    async with NodeClient(options.node_url) as node, L1Client(options.l1_rpc_url, L1Options(attempts=2)) as l1:
        verified = Verified(node, l1, directory, wallet_options)
        venue = await verified.venue()
        traders = {account: Trader(node, venue, account, key, wall_clock_ms) for account, key in keys.items()}
        node.identify = partial(identity, traders)
        for trader in traders.values():
            await trader.require_grant()
        served = [
            Served(signer, traders[account], Nonces(directory / f"{checksum_address(signer)}.nonce", wall_clock_ms))
            for signer, account, _ in options.signer
        ]
        by_address = await addresses(node, served)
        async with trio.open_nursery() as nursery:
            for trader in traders.values():
                bridge = Bridge(node, l1, verified, trader.agent, None, wallet_options, directory)
                trader.keeping = keeping_of(venue, bridge, l1, directory, trader.agent)
                nursery.start_soon(trader.keeping.run)
            port, run_streams = _wired(
                options, node, served, by_address, (await node.limits()).connection_subscriptions
            )
            await nursery.start(run_streams)
            number = await nursery.start(port.serve)
            url = f"http://{HOST}:{number}"
            output.event(
                "ready",
                f"Programs of Hyperliquid's trade at {url}: the SDK's base_url, ccxt's urls.api with sandboxMode",
                url=url,
                accounts=sorted(traders),
            )
            await trio.sleep_forever()


def _keys(options: Options, directory: Path) -> dict[int, Key]:
    """The agent of each account."""
    found: dict[int, Key] = {}
    names: dict[int, str] = {}
    for _, account, keystore in options.signer:
        if names.setdefault(account, keystore) != keystore:
            raise CommandFailed(f"Account {account} has one agent here: name one keystore for it.", EXIT_USAGE)
        if account not in found:
            path = keystore_path(directory, keystore)
            found[account] = open_keystore(path, asked_password(path, options.password_file))
    return found


async def addresses(node: NodeClient, served: Sequence[Served]) -> dict[bytes, Trader]:
    """Whose account an address means: a signer's, or that of an owner of one account here. BadInput for an old key."""
    found = {each.signer: each.trader for each in served}
    if len(found) < len(served):
        raise BadInput("a signer is registered twice: one address trades one account")
    accounts = {each.trader.account: each.trader for each in served}
    owners = {account: address_bytes((await node.account(account)).owner) for account in accounts}
    for each in served:
        if each.signer in (each.trader.agent, *owners.values()):
            raise BadInput(
                f"{checksum_address(each.signer)} is an owner's or the agent's own: a signer is a fresh key, used for "
                "nothing else, since what it signs is sent in the open to this gateway"
            )
    for account, owner in owners.items():
        if list(owners.values()).count(owner) == 1:
            found.setdefault(owner, accounts[account])
    return found


def _wired(
    options: Options, node: NodeClient, served: Sequence[Served], by_address: Mapping[bytes, Trader], most: int
) -> tuple[Port, Callable[..., Awaitable[None]]]:
    """The port, and what has to run before it serves. most: channels of one connection to the node."""
    limits, registry = Limits(), CollectorRegistry()
    config = ApiConfig(port=options.port, limits=limits, access=Access(hosts=frozenset(options.allow_host)))
    around = Surroundings(log=structlog.get_logger("gateway"))
    metrics = ApiMetrics(registry)
    streams = Streams(limits, wall_clock_ms)
    info = Info(node, by_address, wall_clock_ms)
    exchange = Exchange(served, info.markets, wall_clock_ms, parse_duration(options.good_till))
    gateway = Gateway(info, exchange, streams, limits, metrics, around)
    named = {"0x" + address.hex(): trader for address, trader in by_address.items()}

    async def healthy(path: str) -> Answer:
        return Answer(200, JSON_TYPE, b'{"healthy":true}')

    async def told(path: str) -> Answer:
        return Answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))

    port = Port(config, gateway, metrics, {"/health": healthy, "/metrics": told}, around.log)
    return port, partial(streams.run, options.node_url, named, info, most)
